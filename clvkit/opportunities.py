"""Discrete opportunities: purchases counted by calendar periods in which a customer buys at most once.

Where a study names such a period, the models see each customer's purchases of a period as one, on the last day of the
period, and look from the last day of the last period that was over by the as-of date. Days between are then whole
periods, to within the difference of calendar months, and everything that works on days goes on working.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Literal

from clvkit.checks import Check
from clvkit.errors import StudyError

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

Opportunity = Literal["day", "week", "month", "quarter", "year"]
#: Mean days in each period, the unit of time of fits.
DAYS: dict[str, float] = {
    "day": 1.0,
    "week": 7.0,
    "month": 365.25 / 12,
    "quarter": 365.25 / 4,
    "year": 365.25,
}
#: A history of fewer opportunities shows nobody leaving.
TOO_FEW = 2
_MONTHS = {"month": 1, "quarter": 3, "year": 12}


def period_start(day: date, opportunity: str) -> date:
    """First day of the calendar period (weeks begin on Monday) that ``day`` lies in."""
    if opportunity in ("day", "week"):
        return day - timedelta(days=day.weekday() if opportunity == "week" else 0)
    months = _MONTHS[opportunity]
    return date(day.year, (day.month - 1) // months * months + 1, 1)


def period_end(day: date, opportunity: str) -> date:
    """Last day of the calendar period that ``day`` lies in."""
    if opportunity in ("day", "week"):
        return period_start(day, opportunity) + timedelta(days=6 if opportunity == "week" else 0)
    start = period_start(day, opportunity)
    after = start.month - 1 + _MONTHS[opportunity]
    return date(start.year + after // 12, after % 12 + 1, 1) - timedelta(days=1)


def known_until(as_of: date, opportunity: str | None) -> date:
    """Last day that models know of on ``as_of``: the end of the last period that is over; without periods, ``as_of``."""
    if opportunity is None or period_end(as_of, opportunity) == as_of:
        return as_of
    return period_start(as_of, opportunity) - timedelta(days=1)


def by_opportunity(purchases: "ir.Table", opportunity: str | None) -> "ir.Table":
    """Purchases with those of a customer in one period made one, on the last day of the period.

    Parameters
    ----------
    purchases : one row per customer and day: ``customer, day, amount_minor``, perhaps ``segment`` and ``lines``.
    opportunity : the period; None gives the purchases as they are.
    """
    if opportunity is None:
        return purchases
    dated = purchases.mutate(day=_end(purchases.day, opportunity))
    kept = {"amount_minor": dated.amount_minor.sum().cast("int64")}
    kept |= {key: dated[key].min() for key in ("segment", "pattern") if key in dated.columns}
    if "lines" in dated.columns:
        kept["lines"] = dated.lines.sum().cast("int64")
    return dated.group_by("customer", "day").agg(**kept)


def _end(day: "ir.DateValue", opportunity: str) -> "ir.DateValue":
    """`period_end` in the engine."""
    import ibis

    if opportunity == "day":
        return day
    unit = {"week": "W", "month": "M", "quarter": "Q", "year": "Y"}[opportunity]
    start = day.truncate(unit).cast("date")
    length = ibis.interval(days=7) if opportunity == "week" else ibis.interval(months=_MONTHS[opportunity])
    return ((start + length).cast("date") - ibis.interval(days=1)).cast("date")


def summary_of(purchases: "ir.Table", as_of: date, opportunity: str | None) -> "ir.Table":
    """The customer summary of `clvkit.customers` as models see it: by opportunity, up to the last one that is over."""
    from clvkit.customers import customer_summary

    return customer_summary(by_opportunity(purchases, opportunity), known_until(as_of, opportunity))


def trial(origin: date, horizon_days: int, opportunity: str | None) -> tuple[date, int]:
    """Origin and length of a back-test in whole periods: both ends fall back to the last period that is over.

    Raises
    ------
    StudyError : no period is over between the two.
    """
    if opportunity is None:
        return origin, horizon_days
    begin, end = (known_until(day, opportunity) for day in (origin, origin + timedelta(days=horizon_days)))
    if end <= begin:
        raise StudyError(
            f"a back-test must forecast at least one {opportunity} (got {horizon_days} days from {origin})",
            place="backtest.horizon_days",
            fix=f"choose an earlier origin, or a longer horizon, so that a whole {opportunity} lies between",
        )
    return begin, (end - begin).days


#: Fewest gaps between purchases that a verdict needs, and of pairs expected in one period.
FEWEST_GAPS, FEWEST_PAIRS = 30, 20
#: A period is one in which customers buy at most once where so many purchases are alone in it, ...
MOSTLY_ALONE = 0.98
#: ... and purchases closer than the period lie in the same one at most this often, relative to chance, ...
SELDOM_TOGETHER = 0.2
#: ... or gaps are so near to whole periods (1: all are; 0: any gap is as likely) and so few are much shorter.
REGULAR, SHORT = 0.8, 0.02
#: With a period in the study, more purchases than this merged away are put up for review.
MOST_MERGED = 0.05


@dataclass(frozen=True)
class Evidence:
    """Whether customers buy at most once in some calendar period.

    Attributes
    ----------
    purchases, gaps : customer-days, and gaps between successive ones of a customer.
    gap_variation : coefficient of variation of the gaps.
    table : one row per period, ``week`` to ``year``: ``opportunity``; ``alone``, the share of purchases that are the
        customer's only one in the period; ``merged``, the share that goes when the period's are made one; ``together``
        and ``chance``, the gaps that lie within one period, and how many would if purchases fell anywhere in it;
        ``near_whole``, how near gaps of at least half the period are to whole periods (length of the mean of
        e^{2πi gap/period}, 0 to 1); ``short``, the share of gaps under half the period; ``discrete``.
    same_day_of_year, same_day_of_month, same_weekday : share of gaps after which a customer buys within a week of the
        same day of the year, within a day of the same day of the month, on the same weekday.
    """

    purchases: int
    gaps: int
    gap_variation: float
    table: "pd.DataFrame"
    same_day_of_year: float
    same_day_of_month: float
    same_weekday: float

    @property
    def opportunity(self) -> str | None:
        """The longest period that the log is discrete in; None where purchases come at any time."""
        found = self.table.loc[self.table["discrete"], "opportunity"]
        return None if found.empty else str(found.iloc[-1])

    @property
    def verdict(self) -> str:
        """``discrete: year`` and the like, ``continuous``, or ``unknown`` where there are too few gaps."""
        if self.gaps < FEWEST_GAPS:
            return "unknown"
        return f"discrete: {self.opportunity}" if self.opportunity else "continuous"

    def of(self, opportunity: str) -> "pd.Series":
        """The row of a period."""
        return self.table.set_index("opportunity").loc[opportunity]


def evidence(purchases: "ir.Table", as_of: date) -> Evidence:
    """Look for a calendar period in which customers buy at most once, in purchases up to ``as_of``.

    Two gaps apart tell nothing by themselves: nobody who buys once in two years buys twice in a week. So each period is
    held against chance. Of purchases ``d`` days apart, a share of ``1 − d/length`` would lie in one period if purchases
    fell anywhere in it. Where the calendar rules, none do; where gaps are whole periods anyway, they show that.

    Parameters
    ----------
    purchases : one row per customer and day: ``customer, day``.
    """
    import ibis
    import numpy as np
    import pandas as pd

    known = purchases.filter(purchases.day <= ibis.date(as_of)).select("customer", "day")
    ordered = ibis.window(group_by="customer", order_by="day")
    grains = [grain for grain in DAYS if grain != "day"]
    dated = known.mutate(before=known.day.lag().over(ordered), after=known.day.lead().over(ordered))
    same = {
        f"{side}_{grain}": (_end(dated.day, grain) == _end(dated[side], grain)).fill_null(False)
        for grain in grains
        for side in ("before", "after")
    }
    dated = dated.mutate(
        gap=dated.day.delta(dated.before, unit="day").cast("int64"),
        month_shift=(dated.day.day() - dated.before.day()).cast("int64"),
        **same,
    )
    counted = dated.agg(
        purchases=dated.count().cast("int64"),
        **{f"alone_{g}": (~(dated[f"before_{g}"] | dated[f"after_{g}"])).sum().cast("int64") for g in grains},
    )
    found = counted.to_pyarrow().to_pylist()[0]
    repeats = dated.filter(dated.gap.notnull())
    grouped = repeats.group_by("gap").agg(
        n=repeats.count().cast("int64"),
        same_month_day=(repeats.month_shift.abs() <= 1).sum().cast("int64"),
        **{grain: repeats[f"before_{grain}"].sum().cast("int64") for grain in grains},
    )
    frame: pd.DataFrame = grouped.order_by("gap").to_pyarrow().to_pandas()
    gap, n = frame["gap"].to_numpy(float), frame["n"].to_numpy(float)
    total, number = max(found["purchases"], 1), max(n.sum(), 1.0)
    rows = []
    for grain in grains:
        length, long = DAYS[grain], gap >= DAYS[grain] / 2
        chance, together = float(n @ np.maximum(0, 1 - gap / length)), int(frame[grain].sum())
        near = abs((n * long) @ np.exp(2j * np.pi * gap / length)) / max(n[long].sum(), 1.0)
        alone, short = found[f"alone_{grain}"] / total, float(n[~long].sum() / number)
        ruled = chance >= FEWEST_PAIRS and together <= SELDOM_TOGETHER * chance
        regular = near >= REGULAR and short <= SHORT and n[long].sum() >= FEWEST_GAPS
        rows.append({"opportunity": grain, "alone": alone, "merged": together / total, "together": together,
                     "chance": chance, "near_whole": float(near), "short": short,
                     "discrete": bool(n.sum() >= FEWEST_GAPS and alone >= MOSTLY_ALONE and (ruled or regular))})  # fmt: skip
    mean = float(n @ gap / number)
    from_year = np.abs(gap - np.rint(gap / DAYS["year"]) * DAYS["year"])
    return Evidence(
        purchases=int(found["purchases"]),
        gaps=int(n.sum()),
        gap_variation=float(np.sqrt(n @ (gap - mean) ** 2 / number) / mean) if mean else 0.0,
        table=pd.DataFrame(rows),
        same_day_of_year=float(n @ ((from_year <= 7) & (gap > 180)) / number),
        same_day_of_month=float(frame["same_month_day"].sum() / number),
        same_weekday=float(n @ (gap % 7 == 0) / number),
    )


def opportunity_check(found: Evidence, opportunity: str | None) -> Check:
    """Whether the study's period of at most one purchase, or its having none, agrees with the log."""
    from clvkit import numbers

    if found.verdict == "unknown":
        status, advice = "info", ""
        message = (
            f"{numbers.count(found.gaps)} gaps between purchases are too few to tell whether customers buy at most once "
            f"in some period; {FEWEST_GAPS} are needed."
        )
    elif opportunity is None:
        status, message, advice = _without(found)
    else:
        status, message, advice = _with(found, opportunity)
    return Check(
        "models.opportunity",
        "Purchases at any time, or at most one in a period",
        status,
        message,
        value=found.verdict,
        threshold=opportunity or "none in the study",
        severity="info" if status == "info" else "warn",
        recommendation=advice,
        chapter="04_value",
    )


def _numbers_of(found: Evidence, grain: str) -> str:
    from clvkit import numbers

    row = found.of(grain)
    return (
        f"{numbers.percent(row['alone'])} of the purchases are a customer's only one in their {grain}; "
        f"{numbers.count(row['together'])} pairs of successive purchases lie within one, where chance would put "
        f"{numbers.count(round(row['chance']))}; gaps of half a {grain} or more lie near whole {grain}s to "
        f"{numbers.number(row['near_whole'], 2)} (1: all on them)"
    )


def _without(found: Evidence) -> tuple[str, str, str]:
    if found.opportunity is None:
        return (
            "pass",
            "In no week, month, quarter or year do customers buy at most once: purchases come at any time.",
            "",
        )
    grain = found.opportunity
    return (
        "review",
        f"Customers buy at most once a {grain}: {_numbers_of(found, grain)}. Processes of purchases at any time take the "
        "silence after each purchase for customers leaving.",
        f"Set models.opportunity to {grain} and add bgbb to models.processes; the back-test then shows which forecasts "
        "better.",
    )


def _with(found: Evidence, opportunity: str) -> tuple[str, str, str]:
    from clvkit import numbers

    merged = 0.0 if opportunity == "day" else float(found.of(opportunity)["merged"])
    if merged > MOST_MERGED:
        return (
            "review",
            f"The study counts at most one purchase a {opportunity}, and {numbers.percent(merged)} of the purchases are "
            f"further ones in the same {opportunity}, which it merges away. By the log, purchases are {found.verdict}.",
            f"Set models.opportunity to {found.opportunity or 'null'}, or to a period shorter than {opportunity}.",
        )
    what = f"The study counts at most one purchase a {opportunity}, which merges {numbers.percent(merged)} of them away"
    if opportunity == "day" or found.opportunity == opportunity:
        return "pass", f"{what}; by the log, purchases are {found.verdict}.", ""
    return (
        "review" if found.opportunity is None else "info",
        f"{what}. By the log, purchases are {found.verdict}: {_numbers_of(found, opportunity)}.",
        f"Compare with models.opportunity set to {found.opportunity or 'null'} in the back-test.",
    )
