"""Days on which an input does not look like itself: outages, double loads, slips of unit, odd levels.

**What a day is compared with.** Same weekdays only, so that the week's rhythm cancels. *Before* and *after* are the
medians of the five same weekdays on either side; what lies between the two is expected, and a day is odd only by its
distance to the nearer of them. A step (the end of acquisition, a new price list, the start and the end of Christmas)
agrees with one of its sides and is no flag; growth lies between them. Excursions of up to two weeks are found so.

**How far is far.** For a count y with nearer bound b

    z = (y - b) / sqrt(max(b, 1) + k b²),    k = max(0, s² - median(1/m)),    s = 1.4826 median|y/m - 1 - median(y/m - 1)|

with m the middle of before and after: the Poisson variance is the floor, and the MAD of relative residuals adds what
the source has beyond it. Amounts per row are compared as logs, with the MAD of their residuals.

**Kinds.** *outage*: a run with at most a tenth of what is usual, of two or more days that should have had rows, whose
probability under a negative binomial (mean: the smaller of the eight same weekdays before and after; variance from
the same days) is below that of ``threshold`` standard deviations; two weeks must be known on either side. A company with
few rows needs a longer silence, and one that is silent more than four times a year a silence far beyond its others.
*surge*: rows that repeat a row of the same account, order, product and amount on the same day make up the half that a
double load makes of them, beyond what is usual by a binomial test, while rows are at least 1.3 times the usual; one
day is enough. More rows without copies are more demand. *unit_slip*: the mean number of digits of a row's amount, a
whole number per row that no single large order can move far, lies half a digit or more from its median; one day is
enough. *level*: rows at half or less, amounts per row at double or half, for ``persistence_days`` days, each with |z| of half the
threshold or more and together, as the sum of z over the root of their number, beyond the threshold.

**Seasons.** Silences and levels that another year has in the same week (or within three days of it) are the
calendar's. With less than a year there is nothing to compare with: name such days in ``ignore``.
"""

from datetime import date
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, model_validator

from clvkit.checks import Check
from clvkit.rules import RuleBroken
from clvkit.section import Section

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

FLAG_COLUMNS = ("source", "measure", "first_day", "last_day", "kind", "score", "expected", "seen", "share")
SIDE_WEEKS, OUTAGE_WEEKS = 5, 8  # same weekdays on either side of a day, and of a silence
NEAR_ZERO = 0.1  # of what is usual; an outage may let some rows through
HALF, DIGITS = (
    0.5,
    0.5,
)  # least relative fall that is a level; least shift in digits that is a slip (3.2 times)
MORE = 1.3  # least ratio of rows to the usual of a double load that falls on a weak day
OFTEN = 4  # times a year; what happens more often is how the business works
MAX_SCORE = 40.0
NAMED = 3  # runs in the message of the check, those with most money


class IgnoreWindow(Section):
    """Days known to be odd, such as a holiday or a closed shop: never flagged and no part of what is usual."""

    first: date = Field(description="First day of the window.")
    last: date = Field(description="Last day of the window, counted in.")
    source: str | None = Field(None, description="Source it holds for; None: all.")
    reason: str = Field(description="Why these days are odd; printed in the report.")

    @model_validator(mode="after")
    def _in_order(self):
        if self.last < self.first:
            raise RuleBroken("must not end before it begins", "last is the last day, counted in", at="last")
        return self


class AnomaliesSection(Section):
    """When days of the history are put up for review."""

    threshold: float = Field(
        5.0, gt=0, description="Distance at which a day is odd. Unit: robust standard deviations."
    )
    persistence_days: int = Field(
        3, ge=1, description="Odd days in a row that make an odd level; outages, double loads and slips need fewer. Unit: days."
    )  # fmt: skip
    min_daily_rows: float = Field(
        3.0, ge=0, description="Sources with fewer rows are tested for silence and slips only. Unit: rows a day, on average."
    )  # fmt: skip
    ignore: tuple[IgnoreWindow, ...] = Field((), description="Windows of days known to be odd.")


_SAME = ("account", "order_id", "product", "quantity", "amount_minor")


def daily_inputs(lines: "ir.Table") -> "pd.DataFrame":
    """What each source holds per currency and day, of lines that no rule took out; days without a line are left out.

    Returns ``source, currency, day`` (datetime64), ``rows``, ``copies`` (rows equal to another of their day in account,
    order, product, quantity and amount), ``amount_minor``, ``digits`` (digits of the amounts in minor units, summed),
    ``new_accounts`` (first seen in that source and currency); whole numbers, sorted by the first three.
    """
    import ibis
    import pandas as pd

    from clvkit.ledger.engine import row_hash

    keys = ["source", "currency", "day"]
    usable = lines.filter(lines.reason.isnull() & lines.day.notnull() & lines.amount_minor.notnull())
    said = [usable[name].cast("string").fill_null("") for name in ("source", "currency", "day", *_SAME)]
    days = usable.group_by(keys).agg(
        rows=usable.count().cast("int64"),
        amount_minor=usable.amount_minor.sum().cast("int64"),
        digits=usable.amount_minor.abs().cast("string").length().sum().cast("int64"),
    )
    # Grouped by 64 bits instead of texts: this is looked at, nothing is left out for it.
    usable = usable.mutate(said=row_hash(ibis.literal("\x1f").join(said)))
    again = usable.group_by("said").agg(n=usable.count())
    again = usable.join(again.filter(again.n > 1), "said")
    again = again.group_by(keys).agg(copies=(again.count() - again.said.nunique()).cast("int64"))
    known = usable.filter(usable.account.notnull())
    begun = known.group_by("source", "currency", "account").agg(day=known.day.min())
    begun = begun.group_by(keys).agg(new_accounts=begun.count().cast("int64"))
    both = (
        days.left_join(again, keys).drop("source_right", "currency_right", "day_right").left_join(begun, keys)
    )
    filled = both.mutate(copies=both.copies.fill_null(0), new_accounts=both.new_accounts.fill_null(0))
    found = filled.select(*keys, "rows", "copies", "amount_minor", "digits", "new_accounts")
    frame = found.order_by(keys).to_pyarrow().to_pandas()
    return frame.assign(day=pd.to_datetime(frame["day"]))


def flag(daily: "pd.DataFrame", section: AnomaliesSection) -> "pd.DataFrame":
    """Runs of odd days, worst first within a source.

    Parameters
    ----------
    daily : as :func:`daily_inputs` makes it.

    Returns
    -------
    ``source``; ``measure`` (rows, new_accounts, amount_per_row); ``first_day``, ``last_day``; ``kind`` (outage, surge,
    unit_slip, level); ``score`` (standard deviations, at most 40); ``expected`` and ``seen`` (counts over the run,
    amounts per row in minor units); ``share`` of the source's money that the run holds or, by its usual amount per row,
    lacks (in the currency of the flag, for counts the source's most frequent one).
    """
    import pandas as pd

    found = [one for name, part in daily.groupby("source") for one in _of_source(str(name), part, section)]
    flags = pd.DataFrame(found, columns=list(FLAG_COLUMNS))
    return flags.sort_values(
        ["source", "score", "first_day"], ascending=[True, False, True], ignore_index=True
    )


def _of_source(name: str, part: "pd.DataFrame", section: AnomaliesSection) -> list[dict]:
    import pandas as pd

    calendar = pd.date_range(part["day"].min(), part["day"].max(), name="day")
    by_currency = {c: one.set_index("day")[["rows", "copies", "amount_minor", "digits"]].reindex(calendar, fill_value=0)
                   for c, one in part.groupby("currency")}  # fmt: skip
    counts = part.groupby("day")[["rows", "copies", "new_accounts"]].sum().reindex(calendar, fill_value=0)
    counts = counts.astype(float)
    counts[_ignored(calendar, name, section)] = np.nan
    main = max(by_currency.values(), key=lambda one: one["rows"].sum())
    odd, flags = np.zeros(len(calendar), bool), []

    def add(measure: str, kind: str, run: slice, score: float, expected: float, seen: float, money=main):
        total, rows = abs(money["amount_minor"].sum()), money["rows"].sum()
        lacking = max(expected - seen, 0.0) * total / rows if measure != "amount_per_row" and rows else 0.0
        held = abs(money["amount_minor"].iloc[run].sum())
        flags.append({"source": name, "measure": measure, "first_day": calendar[run.start],
                      "last_day": calendar[run.stop - 1], "kind": kind, "score": float(min(score, MAX_SCORE)),
                      "expected": float(expected), "seen": float(seen),
                      "share": min((held + lacking) / total, 1.0) if total else np.nan})  # fmt: skip
        odd[run] = True

    for measure in ("rows", "new_accounts"):
        for run, *told in _outages(counts[measure], section.threshold):
            if not odd[run].any():  # no rows, no new accounts: said once
                add(measure, "outage", run, *told)
    for run, *told in _double_loads(counts[~odd], section.threshold, calendar):
        add("rows", "surge", run, *told)
    for money in by_currency.values():
        for run, *told in _slips(money.where(counts["rows"].notna(), 0), section.threshold):
            add("amount_per_row", "unit_slip", run, *told, money)
    if counts["rows"].mean() >= section.min_daily_rows:
        for run, *told in _levels(counts["rows"].mask(odd), section, up=False):
            add("rows", "level", run, *told)
        for money in by_currency.values():
            kept = money.where(counts["rows"].notna() & ~odd)
            mean = kept["amount_minor"] / kept["rows"].replace(0, np.nan)
            if kept["rows"].mean() >= section.min_daily_rows:
                for run, *told in _levels(mean.where(mean > 0), section, up=True):
                    add("amount_per_row", "level", run, *told, money)
    return flags


def _ignored(calendar: "pd.DatetimeIndex", name: str, section: AnomaliesSection) -> np.ndarray:
    inside = np.zeros(len(calendar), bool)
    for window in section.ignore:
        if window.source in (None, name):
            inside |= (calendar.date >= window.first) & (calendar.date <= window.last)
    return inside


def _outages(y: "pd.Series", threshold: float):
    """Runs with next to nothing: ``(run, score, expected, seen)``."""
    from scipy.stats import nbinom, norm, poisson

    values = y.to_numpy()
    usual = _around(values)
    low = (values == 0) | (values <= NEAR_ZERO * np.nan_to_num(usual))
    silences = []
    for run in _runs(low):
        if run.stop - run.start < 2:
            continue
        sides, reach = [], 7 * OUTAGE_WEEKS
        for part in (values[max(run.start - reach, 0) : run.start], values[run.stop : run.stop + reach]):
            known = np.isfinite(part)
            if known.sum() < 14:
                break
            # a day's place in the week, counted from the run's first day
            start = run.start - len(part) if not sides else run.stop
            place = (np.arange(start, start + len(part)) - run.start) % 7
            week = np.bincount(place[known], part[known], 7) / np.maximum(
                np.bincount(place[known], minlength=7), 1
            )
            sides.append((week[(np.arange(run.stop - run.start)) % 7], part, week[place]))
        if len(sides) < 2:
            continue
        means = min((side[0] for side in sides), key=np.sum)
        seen, expected = values[run].sum(), means.sum()
        if (means > 0).sum() < 2 or seen > NEAR_ZERO * expected:
            continue
        part, fitted = (np.concatenate([side[i] for side in sides]) for i in (1, 2))
        # eight days per mean: the residuals fall short of the variance by an eighth
        excess = np.nanmean((part - fitted) ** 2) * 8 / 7 - np.nanmean(part)
        extra = max(excess, 0.0) / np.mean(fitted**2) * np.sum(means**2)
        p = (
            nbinom.cdf(seen, expected**2 / extra, expected / (expected + extra))
            if extra > 0
            else poisson.cdf(seen, expected)
        )
        silences.append((run, p, expected, seen))
    least, n = 0.0, len(silences)
    if n > OFTEN * max(len(values) / 365.25, 1):
        # 1 %: that the longest of n silences of exponential length, with their median, is as long
        least = np.median([one[2] for one in silences]) / np.log(2) * np.log(n / 0.01)
    for run, p, expected, seen in silences:
        if p < norm.sf(threshold) and expected > least and not _other_years(values, usual, run, below=True):
            yield run, norm.isf(max(p, 1e-300)), expected, seen


def _double_loads(counts: "pd.DataFrame", threshold: float, calendar: "pd.DatetimeIndex"):
    """Runs of days of which half are copies: ``(run, score, expected, seen)``."""
    from scipy.stats import binom, norm

    counts = counts.reindex(calendar)
    rows, copies = counts["rows"].to_numpy(), counts["copies"].to_numpy()
    share = counts["copies"] / counts["rows"].replace(0, np.nan)
    usual = share.rolling(57, center=True, min_periods=7).median().clip(upper=share.median())
    usual = usual.fillna(share.median()).clip(lower=0.02).to_numpy()
    before, after = _sides(counts["rows"])
    least = np.fmin(before, after)
    with np.errstate(invalid="ignore"):
        score = norm.isf(np.maximum(binom.sf(copies - 1, rows, usual), 1e-300))
        doubled = (copies >= 0.9 * (1 + usual) / 2 * rows) & (rows >= MORE * least) & (score >= threshold)
    for run in _runs(doubled & (usual < 0.6)):
        yield run, score[run].max(), (rows - copies)[run].sum(), rows[run].sum()


def _slips(money: "pd.DataFrame", threshold: float):
    """Runs of days whose amounts have other numbers of digits: ``(run, score, expected, seen)`` per row."""
    rows = money["rows"].to_numpy(float)
    some = rows > 0
    if some.sum() < 14:
        return
    mean = np.divide(money["digits"].to_numpy(float), rows, out=np.full(len(rows), np.nan), where=some)
    off = mean - np.nanmedian(mean)
    # digits are whole, so that the MAD of days with few rows may be zero: the ninth decile stands in, up to one digit
    spread = np.abs(off[some]) * np.sqrt(rows[some])
    per_row = max(1.4826 * np.median(spread), min(np.quantile(spread, 0.9) / 1.645, 1.0), 0.2)
    score = np.abs(off) / np.sqrt(per_row**2 / np.maximum(rows, 1) + 0.03**2)
    odd = some & (np.abs(off) >= DIGITS) & (score >= threshold)
    # a day with too few rows to be sure of does not end a run if it is off as well
    runs = [
        one for way in (1, -1) for one in _runs(odd & (way * off > 0), over=~some | (way * off >= DIGITS))
    ]
    if len(runs) > OFTEN * max(len(rows) / 365.25, 1):
        return
    amounts = money["amount_minor"].to_numpy(float)
    usual = np.median(amounts[some & ~odd] / rows[some & ~odd]) if (some & ~odd).any() else np.nan
    for run in runs:
        yield run, np.nanmax(score[run]), usual, amounts[run].sum() / rows[run].sum()


def _levels(y: "pd.Series", section: AnomaliesSection, *, up: bool):
    """Runs far from both sides, by half or double: ``(run, score, expected, seen)``; counts if not ``up``, else means."""
    before, after = _sides(y)
    bounds = np.array([before, after])
    low, high, middle = bounds.min(axis=0), bounds.max(axis=0), bounds.mean(axis=0)
    values = y.to_numpy()
    if not (np.isfinite(values) & (middle > 0)).any():  # too short to have both sides
        return
    usual = _around(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        if up:
            residual = np.log(values / middle)
            scale = max(1.4826 * np.nanmedian(np.abs(residual - np.nanmedian(residual))), 0.02)
            fall, rise = np.log(values / low) / scale, np.log(values / high) / scale
        else:
            residual = np.where(middle > 0, values / middle - 1, np.nan)
            scale = 1.4826 * np.nanmedian(np.abs(residual - np.nanmedian(residual)))
            k = max(0.0, scale**2 - np.nanmedian(1 / middle[middle > 0]))
            fall = (values - low) / np.sqrt(np.maximum(low, 1) + k * low**2)
            rise = np.zeros(len(values))
        sunk = (values <= HALF * low) & (fall <= -section.threshold / 2)
        risen = (values >= high / HALF) & (rise >= section.threshold / 2)
    for odd, score in ((sunk, -fall), (risen, rise)):
        for run in _runs(odd, over=~np.isfinite(values) | (middle == 0)):
            days = odd[run].sum()
            together = score[run][odd[run]].sum() / np.sqrt(days)
            enough = days >= section.persistence_days and together >= section.threshold
            if enough and not _other_years(values, usual, run, below=odd is sunk):
                total = np.nanmean if up else np.nansum
                yield run, together, total(middle[run]), total(values[run])


def _sides(y: "pd.Series") -> tuple[np.ndarray, np.ndarray]:
    """Medians of the same weekdays before and after each day; NaN with fewer than three of them."""

    def before(one):
        return one.shift(1).rolling(SIDE_WEEKS, min_periods=3).median()

    weekdays = y.groupby(y.index.dayofweek)
    after = weekdays.transform(lambda one: before(one[::-1])[::-1])
    return weekdays.transform(before).to_numpy(), after.to_numpy()


def _around(values: np.ndarray) -> np.ndarray:
    """Mean of the same weekdays within eight weeks on both sides, the day itself among them."""
    sums, n = np.zeros(len(values)), np.zeros(len(values))
    known = np.isfinite(values)
    for shift in range(-7 * OUTAGE_WEEKS, 7 * OUTAGE_WEEKS + 1, 7):
        to = slice(max(shift, 0), len(values) + min(shift, 0))
        source = slice(max(-shift, 0), len(values) + min(-shift, 0))
        if to.start < to.stop:
            sums[to] += np.where(known, values, 0)[source]
            n[to] += known[source]
    return np.divide(sums, n, out=np.full(len(values), np.nan), where=n > 0)


def _other_years(values: np.ndarray, usual: np.ndarray, run: slice, *, below: bool) -> bool:
    """Whether another year has the same fall (or rise), at least half of it on a log scale, within three days."""
    with np.errstate(invalid="ignore", divide="ignore"):
        here = np.nansum(values[run]) / np.nansum(usual[run])
        least = np.sqrt(max(here, NEAR_ZERO))
        for year in (-3, -2, -1, 1, 2, 3):
            for nearby in range(-3, 4):
                at = 364 * year + nearby
                if 0 <= run.start + at and run.stop + at <= len(values):
                    then = slice(run.start + at, run.stop + at)
                    ratio = np.nansum(values[then]) / np.nansum(usual[then])
                    if (ratio <= least) if below else (ratio >= least):
                        return True
    return False


def _runs(odd: np.ndarray, over: np.ndarray | None = None) -> list[slice]:
    """Runs of true days, as slices; with ``over``, days that say nothing do not break a run."""
    runs: list[slice] = []
    for day in np.flatnonzero(odd):
        if (
            runs
            and (gap := slice(runs[-1].stop, day))
            and (gap.start == day or (over is not None and over[gap].all()))
        ):
            runs[-1] = slice(runs[-1].start, int(day) + 1)
        else:
            runs.append(slice(int(day), int(day) + 1))
    return runs


def anomaly_checks(flags: "pd.DataFrame") -> list[Check]:
    """One check over all flags: are there days that do not look like their source."""
    from clvkit.numbers import date_words, percent

    n = len(flags)
    if not n:
        return [Check("history.anomalies", "The history has no odd days", "pass", "No run of days stands off from the days "
                      "around it.", value=0, threshold=0, unit="runs of days", chapter="01_ledger")]  # fmt: skip
    most = flags.assign(share=flags["share"].fillna(0)).sort_values("share", ascending=False, kind="stable")
    named = [f"{one.kind.replace('_', ' ')} in {one.source}, {date_words(one.first_day)}"
             + f" to {date_words(one.last_day)}" * (one.last_day != one.first_day)
             + f" ({percent(one.share)} of its money)" for one in most.head(NAMED).itertuples()]  # fmt: skip
    return [Check(
        "history.anomalies", "The history has no odd days", "review",
        f"{n} {'run' if n == 1 else 'runs'} of days {'stands' if n == 1 else 'stand'} off from the days around"
        f"{', such as' if n > NAMED else ':'} {'; '.join(named)}.",
        value=n, threshold=0, unit="runs of days", chapter="01_ledger",
        recommendation="Ask who runs the source what happened on these days. Load again what is missing, take out what "
        "came twice, put the unit right; name days that were truly so in anomalies.ignore, with the reason.",
    )]  # fmt: skip
