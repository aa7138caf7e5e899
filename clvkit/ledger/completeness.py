"""How far the data are complete: when rows arrive, the last day that can be trusted, and what was known when.

Lines have two days: the day of the event and ``loaded``, the day the row became known. A figure of an old as-of date
is made again from what was known then (:func:`known_at`); rows that came late change nothing in it.

**Latency.** With lag = loaded - day (whole days, at least 0) and L the last load, a lag of u can only have been seen of
days up to L - u. The share of rows that have arrived by lag l is estimated as for reporting delays, in reverse time:

    F(l) = product over u > l of (1 - n(u) / N(u)),    n(u): rows with lag u,    N(u): rows with lag <= u and day <= L - u

so that the newest days, whose late rows are yet to come, do not make the source look faster than it is. Days before
the first load came in one piece, by migration, and are left out. *Complete to* is L less the first lag with F at
least ``arrived_share``; without load dates, the last day with rows unless too few rows say that it was cut off.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from clvkit.checks import Check
from clvkit.section import Section

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

CHAPTER = "01_ledger"
QUANTILES = (0.5, 0.9, 0.99)
SAME_WEEKDAYS = 8  # that the last day is compared with
LONGEST_CUT = 14  # days at the end that may be taken for cut off


class CompletenessSection(Section):
    """When a source counts as complete."""

    arrived_share: float = Field(
        0.99, gt=0, lt=1, description="Share of a day's rows that have arrived when it is complete. Unit: share of rows."
    )  # fmt: skip
    partial_probability: float = Field(
        0.001, gt=0, lt=1, description="A last day with so few rows that it has at most this probability was cut off. Unit: probability."
    )  # fmt: skip
    ended: tuple[str, ...] = Field(
        (),
        description="Sources that ended for good, such as a till that was replaced: they hold no cut-off back.",
    )
    history_days: tuple[int, ...] = Field(
        (90, 180, 365), description="Histories whose share of customers the report states. Unit: days."
    )


@dataclass(frozen=True)
class Completeness:
    """How far each source is complete.

    Attributes
    ----------
    sources : ``source, rows, first_day, last_day, first_load, last_load`` (dates, null without load dates),
        ``complete_to`` (date), ``why`` (latency, cut off, last day, ended, made), ``early_rows`` (loaded before their day),
        ``rows_a_day`` (mean of the eight weeks up to the last day).
    latency : ``source, lag_days, rows, money`` (shares arrived by that lag, 0 to 1; money in the source's most
        frequent currency, negative amounts by their size); sources without load dates have no row.
    quantiles : ``source, share, lag_rows, lag_money`` (days; NaN beyond what was seen).
    cut_off : the earliest ``complete_to`` of a source that has not ended: up to it every source is complete.
    """

    sources: "pd.DataFrame"
    latency: "pd.DataFrame"
    quantiles: "pd.DataFrame"
    cut_off: date


def known_at(lines: "ir.Table", as_of: date) -> "ir.Table":
    """The lines known on the evening of ``as_of``; lines without a load date count as known on their own day."""
    import ibis

    return lines.filter((lines.loaded <= ibis.date(as_of)) | lines.loaded.isnull())


def completeness(
    lines: "ir.Table", section: CompletenessSection, made: Mapping[str, date] = MappingProxyType({})
) -> Completeness:
    """How far each source is complete; only counts by day and lag leave the engine.

    ``made`` are sources whose rows follow from others (bills of contracts), with the day up to which they do.

    Raises
    ------
    DataError : no line has a day.
    """
    import pandas as pd

    from clvkit.errors import DataError

    days = _arrivals(lines)
    if days.empty:
        raise DataError(
            "no line has a day that could be read, so nothing says how far the data reach",
            place="ledger",
            fix="look at ledger.date_format and at the reasons of the quarantined rows",
        )
    sources, latency, quantiles = [], [], []
    for name, part in days.groupby("source"):
        curve = arrived(part)
        known = part[part["loaded"].notna()]
        by_day = part.groupby("day")["rows"].sum()
        found = {"source": name, "rows": int(part["rows"].sum()), "first_day": part["day"].min().date(),
                 "last_day": part["day"].max().date(), "first_load": None, "last_load": None,
                 "early_rows": int(known.loc[known["loaded"] < known["day"], "rows"].sum())}  # fmt: skip
        if len(known):
            found |= {"first_load": known["loaded"].min().date(), "last_load": known["loaded"].max().date()}
        recent = by_day[by_day.index > by_day.index.max() - pd.Timedelta(days=7 * SAME_WEEKDAYS)]
        span = min(7 * SAME_WEEKDAYS, (by_day.index.max() - by_day.index.min()).days + 1)
        found["rows_a_day"] = float(recent.sum() / span)
        found["complete_to"], found["why"] = (
            (made[name], "made") if name in made else _complete_to(found, curve, by_day, section)
        )
        sources.append(found)
        latency.append(curve.assign(source=name))
        for share in QUANTILES if len(curve) else ():
            quantiles.append({"source": name, "share": share, "lag_rows": _first(curve, "rows", share),
                              "lag_money": _first(curve, "money", share)})  # fmt: skip
    table = pd.DataFrame(sources)
    running = table.loc[table["why"] != "ended", "complete_to"]
    curves = pd.concat(latency, ignore_index=True)[["source", "lag_days", "rows", "money"]]
    columns = ["source", "share", "lag_rows", "lag_money"]
    return Completeness(
        table,
        curves,
        pd.DataFrame(quantiles, columns=columns),
        min(running if len(running) else table["complete_to"]),
    )


def _arrivals(lines: "ir.Table") -> "pd.DataFrame":
    """Rows and money (sizes, in the source's most frequent currency) by source, day and load day."""
    import pandas as pd

    dated = lines.filter(lines.day.notnull() & ~lines.quarantined)
    grouped = dated.group_by("source", "currency", "day", "loaded").agg(
        rows=dated.count().cast("int64"), money=dated.amount_minor.abs().sum().fill_null(0).cast("int64")
    )
    frame = grouped.order_by("source", "currency", "day", "loaded").to_pyarrow().to_pandas()
    frame[["day", "loaded"]] = frame[["day", "loaded"]].apply(pd.to_datetime)
    rows = frame.groupby(["source", "currency"], dropna=False)["rows"].sum().reset_index()
    main = rows.sort_values("rows", kind="stable").drop_duplicates("source", keep="last").set_index("source")
    frame.loc[frame["currency"] != frame["source"].map(main["currency"]), "money"] = 0
    return frame.groupby(["source", "day", "loaded"], dropna=False, as_index=False)[["rows", "money"]].sum()


def arrived(days: "pd.DataFrame") -> "pd.DataFrame":
    """Share of one source's rows and money that has arrived by each lag: ``lag_days, rows, money``.

    ``days`` has ``day, loaded`` (datetime64) and the weights ``rows, money``. Empty without load dates, and where
    all rows are older than the first load.
    """
    import pandas as pd

    known = days[days["loaded"].notna()]
    known = known[known["day"] >= known["loaded"].min()]
    if known.empty:
        return pd.DataFrame(columns=["lag_days", "rows", "money"], dtype=float)
    last = known["loaded"].max()
    lag = (known["loaded"] - known["day"]).dt.days.clip(lower=0).to_numpy()
    age = (last - known["day"]).dt.days.to_numpy()  # longest lag that could have been seen of the day
    lags = np.arange(lag.max() + 1)
    found = {"lag_days": lags}
    for measure in ("rows", "money"):
        weight = known[measure].to_numpy(float)
        n = np.bincount(lag, weight, len(lags))
        # at risk at lag u: lag <= u <= age
        starts = np.bincount(lag, weight, len(lags) + 1)
        ends = np.bincount(np.minimum(age, lags[-1]) + 1, weight, len(lags) + 1)
        at_risk = np.cumsum(starts - ends)[: len(lags)]
        keep = 1 - np.divide(n, at_risk, out=np.zeros(len(lags)), where=at_risk > 0)
        found[measure] = np.append(np.cumprod(keep[:0:-1])[::-1], 1.0)
    return pd.DataFrame(found)


def _first(curve: "pd.DataFrame", measure: str, share: float) -> float:
    reached = curve.loc[curve[measure] >= share, "lag_days"]
    return float(reached.iloc[0]) if len(reached) else np.nan


def _complete_to(
    found: dict, curve: "pd.DataFrame", by_day: "pd.Series", section: CompletenessSection
) -> tuple[date, str]:
    if found["source"] in section.ended:
        return found["last_day"], "ended"
    if len(curve):
        lag = int(_first(curve, "rows", section.arrived_share))
        reached = found["last_load"] - timedelta(days=lag)
        if reached < found["last_day"]:
            return max(reached, found["first_day"]), "latency"
        return found["last_day"], "last day"
    cut = cut_days(by_day, section.partial_probability)
    return found["last_day"] - timedelta(days=cut), "cut off" if cut else "last day"


def cut_days(by_day: "pd.Series", probability: float) -> int:
    """Days at the end with too few rows to be whole.

    Parameters
    ----------
    by_day : rows per day, indexed by day; days left out have none.
    probability : of as few rows, below which a day was cut off: Poisson with the mean of the eight same weekdays
        before, negative binomial where their variance is above their mean.
    """
    import pandas as pd
    from scipy.stats import nbinom, poisson

    rows = by_day.reindex(pd.date_range(by_day.index.min(), by_day.index.max()), fill_value=0).to_numpy()
    for cut in range(min(LONGEST_CUT, len(rows))):
        at = len(rows) - 1 - cut
        same = rows[at - 7 :: -7][:SAME_WEEKDAYS] if at >= 7 else rows[:0]
        if len(same) < 3 or not same.mean():
            return cut
        mean, extra = same.mean(), same.var(ddof=1) - same.mean()
        p = (
            nbinom.cdf(rows[at], mean**2 / extra, mean / (mean + extra))
            if extra > 0
            else poisson.cdf(rows[at], mean)
        )
        if p >= probability:
            return cut
    return LONGEST_CUT


def maturity(summary: "ir.Table", days: tuple[int, ...]) -> "pd.DataFrame":
    """Per number of days: ``days, customers`` whose history is at least as long, and their ``share`` of all."""
    import pandas as pd

    counted = summary.aggregate(
        all=summary.count(), **{f"at_{n}": (summary.T_days >= n).sum() for n in days}
    ).to_pyarrow().to_pylist()[0]  # fmt: skip
    n = [int(counted[f"at_{least}"] or 0) for least in days]
    share = [one / counted["all"] if counted["all"] else np.nan for one in n]
    return pd.DataFrame({"days": days, "customers": n, "share": share})


def completeness_checks(found: Completeness, section: CompletenessSection, as_of: date) -> list[Check]:
    """Whether every source is complete on the as-of date, and whether load dates make sense."""
    from clvkit.numbers import date_words, percent

    gap = found.sources["complete_to"].map(lambda day: max((as_of - day).days, 0))
    # few rows a day: that none came since the last day is no news
    by_chance = np.exp(-found.sources["rows_a_day"] * gap) >= section.partial_probability
    quiet = (found.sources["why"] == "last day") & by_chance
    short = found.sources[(gap > 0) & ~quiet & ~found.sources["why"].isin(["ended", "made"])]
    days = int(gap[short.index].max()) if len(short) else 0
    each = "; ".join(f"{one.source} to {date_words(one.complete_to)}" for one in short.itertuples())
    late = short["why"].isin(["latency", "cut off"]).any()
    checks = [Check(
        "history.complete", "All sources are complete on the as-of date",
        "pass" if short.empty else "fail" if late else "review",
        f"Every source is complete to {date_words(as_of)}." if short.empty
        else f"Not every source is complete: {each}; the as-of date is {date_words(as_of)}.",
        value=days, threshold=0, unit="days after the common cut-off", chapter=CHAPTER,
        recommendation="" if short.empty
        else f"Use an as-of date no later than {date_words(found.cut_off)}, or load the missing days: customers would be "
        "taken for silent on days whose rows have not arrived." if late
        else "See whether the source has no rows after its last day because nothing happened or because the extract "
        "ends there; in the second case use an earlier as-of date.",
    )]  # fmt: skip
    slow = found.quantiles[found.quantiles["share"] == 0.99]
    if len(slow):
        worst = slow.loc[slow["lag_rows"].idxmax()]
        checks.append(Check(
            "history.latency", "Rows arrive soon after their day", "info",
            f"The slowest source, {worst['source']}, has {percent(0.99, 0)} of a day's rows after "
            f"{_days(worst['lag_rows'])} and {percent(0.99, 0)} of its money after {_days(worst['lag_money'])}.",
            value=float(worst["lag_rows"]), unit="days", severity="info", chapter=CHAPTER,
        ))  # fmt: skip
    early, rows = int(found.sources["early_rows"].sum()), int(found.sources["rows"].sum())
    if early:
        checks.append(Check(
            "history.loaded", "No row is known before its day", "review",
            f"{early:,} of {rows:,} rows were loaded before the day they are of.",
            value=early, threshold=0, unit="rows", chapter=CHAPTER,
            recommendation="See whether the two dates are in different time zones, or whether the source books ahead.",
        ))  # fmt: skip
    return checks


def _days(number: float) -> str:
    return f"{number:.0f} day" + ("" if round(number) == 1 else "s")
