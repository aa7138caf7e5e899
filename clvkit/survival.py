"""Survival: the rule by which a silent customer is lost, and the curve that follows from it.

Customers of a shop do not say when they leave; one only sees them fall silent. The rule used here:

    A customer is *lost* at the last purchase before the first silence of more than H days
    (``silence_days``): no purchase on any of the H days after it. The *duration* is the number of days
    from the first purchase to that purchase.

A customer who came back after such a silence stays lost at the purchase before it (and is counted as
``returned``): the first silence decides, or else the same customer would be lost or not depending on how
long we watched. A customer who never bought a second time is lost at duration 0, so the curve starts
below 1: S(0) is the share who bought again within H days of their first purchase.

Censoring. Whether somebody was lost at day t is only known at day t + H. A customer whose first purchase
lies ``window`` days before the as-of date can therefore be judged for durations up to ``window − H`` and
for no longer one: whoever was not lost by then is censored *there*, and not at the last purchase. The
later purchases are seen, but the losses among them are not; counting the one without the other would make
customers look more loyal than they are. The time of censoring depends on the day of the first purchase
alone, never on what the customer did, which is what the Kaplan–Meier estimator needs to be unbiased.
Customers with a window shorter than H cannot be judged at all, not even at duration 0: they are counted
as ``too_new`` and stay out of the curve.
"""

from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from clvkit.cohorts import Grain, period_index
from clvkit.errors import DataError

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

_CURVE_TYPES = dict.fromkeys(["day", "at_risk", "lost", "censored"], "int64") | dict.fromkeys(
    ["survival", "low", "high"], "float64"
)


def spells(purchases: "ir.Table", silence_days: int, grain: Grain, as_of: date) -> "ir.Table":
    """One row per customer, judged by the rule at the head of this module, in the engine.

    Columns: ``customer``; ``cohort_index`` (period of the first purchase); ``window_days`` (from the first
    purchase to the as-of date); ``lost``; ``returned``; ``duration_days`` (to the loss, or to where the
    customer is censored; negative for customers who are too new to be judged).
    """
    import ibis

    end = ibis.literal(as_of, type="date")
    known = purchases.filter(purchases.day <= end)
    ordered = known.mutate(before=known.day.lag().over(group_by="customer", order_by="day"))
    silent = ordered.day.delta(ordered.before, unit="day") > silence_days
    runs = ordered.group_by("customer").agg(
        first=ordered.day.min(), last=ordered.day.max(), broke=ordered.before.min(where=silent)
    )
    silence = end.delta(runs.last, unit="day")
    runs = runs.mutate(
        cohort_index=period_index(runs.first, grain),
        window_days=end.delta(runs.first, unit="day"),
        lost=runs.broke.notnull() | (silence >= silence_days),
        returned=runs.broke.notnull(),
        run_days=ibis.coalesce(runs.broke, runs.last).delta(runs.first, unit="day"),
    )
    duration = ibis.ifelse(runs.lost, runs.run_days, runs.window_days - silence_days)
    return runs.select(
        "customer", "cohort_index", "window_days", "lost", "returned", duration_days=duration.cast("int64")
    )


def run_lengths(customer: np.ndarray, day: np.ndarray, customers: int, silence_days: int) -> np.ndarray:
    """The same rule on repeat purchases in memory: day of the last purchase before the first long silence.

    Parameters
    ----------
    customer : (k,) integers from 0 to ``customers`` − 1, in any order.
    day : (k,) days since the customer's first purchase, 1 or more.
    customers : number of customers, those without a repeat purchase included.
    silence_days : H; a silence is long when no purchase falls on the H days after a purchase.

    Returns
    -------
    (customers,) days; 0 for those who bought nothing within H days of their first purchase.
    """
    order = np.lexsort((day, customer))
    customer, day = customer[order], day[order]
    gap = np.diff(day, prepend=0)
    start = np.searchsorted(customer, np.arange(customers))
    opens = start[start < customer.size]
    gap[opens] = day[opens]  # the first gap counts from the first purchase, not from another customer's last
    silences = np.cumsum(gap > silence_days)
    before = np.concatenate([[0], silences])[start]
    unbroken = silences == before[customer]
    lengths = np.zeros(customers, day.dtype)
    np.maximum.at(lengths, customer[unbroken], day[unbroken])
    return lengths


def spell_cells(table: "ir.Table") -> "pd.DataFrame":
    """Spells counted: cohort_index, duration_days, lost, returned and n; all that the curves need."""
    keys = ["cohort_index", "duration_days", "lost", "returned"]
    return table.group_by(keys).agg(n=table.count()).order_by(keys).to_pandas()


def kaplan_meier(cells: "pd.DataFrame", interval: float) -> "pd.DataFrame":
    """The Kaplan–Meier estimate of S(t) = P(duration > t), with Greenwood bands on the log-log scale.

    Parameters
    ----------
    cells : ``duration_days`` (0 or more), ``lost`` (False: censored) and ``n`` (customers).
    interval : probability of the band at each t.

    Returns
    -------
    One row per day at which somebody was lost or censored, and day 0: ``day``, ``at_risk`` (customers with
    a duration of t or more), ``lost`` and ``censored`` on the day, ``survival``, ``low``, ``high`` (NaN
    where nobody or everybody has been lost: the band is not defined there). No row when nobody can be judged.

    Raises
    ------
    DataError : there is no column that says who was lost.
    """
    import pandas as pd

    if "lost" not in cells:
        raise DataError(
            "retention needs to know which customers were lost and which are only not lost yet: "
            "the column 'lost' is missing",
            fix="make durations with clvkit.survival.spells, which tells the two apart",
        )
    if cells.empty:
        counted = pd.DataFrame(columns=["day", "at_risk", "lost", "censored"], dtype="int64")
        return counted.reindex(columns=[*counted, "survival", "low", "high"]).astype(_CURVE_TYPES)
    from lifelines import KaplanMeierFitter

    fitter = KaplanMeierFitter(alpha=1 - interval)
    fitter.fit(cells["duration_days"], event_observed=cells["lost"], weights=cells["n"])
    table, band = fitter.event_table, fitter.confidence_interval_
    curve = pd.DataFrame(
        {
            "day": table.index.astype("int64"),
            "at_risk": table["at_risk"].to_numpy("int64"),
            "lost": table["observed"].to_numpy("int64"),
            "censored": table["censored"].to_numpy("int64"),
            "survival": fitter.survival_function_.iloc[:, 0].to_numpy(float),
            "low": band.iloc[:, 0].to_numpy(float),
            "high": band.iloc[:, 1].to_numpy(float),
        }
    )
    return without_ends(curve)


def without_ends(curve: "pd.DataFrame") -> "pd.DataFrame":
    """The curve without its band where nobody or everybody has been lost: it is not defined there."""
    inside = curve["survival"].between(0, 1, inclusive="neither")
    return curve.assign(low=curve["low"].where(inside), high=curve["high"].where(inside))


def log_rank(cells: "pd.DataFrame", group: str) -> float:
    """Probability of curves as different as these if the groups were alike (log-rank test).

    Parameters
    ----------
    cells : as for :func:`kaplan_meier`, with a column ``group``.
    group : the column that tells the groups apart.

    Returns
    -------
    The p-value; NaN with fewer than two groups, or when nobody was lost.
    """
    if cells[group].nunique() < 2 or not cells["lost"].any():
        return float("nan")
    from lifelines.statistics import multivariate_logrank_test

    durations, groups, lost, n = (cells[name].to_numpy() for name in ("duration_days", group, "lost", "n"))
    test = multivariate_logrank_test(durations, groups, lost, weights=n)
    return float(test.p_value)


def curve_at(curve: "pd.DataFrame", ages_days: tuple[int, ...], min_at_risk: int = 1) -> "pd.DataFrame":
    """A step curve read at chosen ages: ``day``, ``survival``, ``low``, ``high``, ``at_risk``.

    ``at_risk`` counts customers with a duration of at least that age. Survival and band are NaN where fewer
    than ``min_at_risk`` are at risk.
    """
    import pandas as pd

    if curve.empty:
        return pd.DataFrame(
            {"day": list(ages_days), "survival": np.nan, "low": np.nan, "high": np.nan, "at_risk": 0}
        )
    last = int(curve["day"].max())
    step = np.searchsorted(curve["day"], ages_days, side="right") - 1
    read = curve.iloc[step][["survival", "low", "high"]].reset_index(drop=True)
    read.insert(0, "day", list(ages_days))
    ahead = np.searchsorted(curve["day"], ages_days, side="left")
    at_risk = curve["at_risk"].to_numpy()
    read["at_risk"] = [int(at_risk[i]) if age <= last else 0 for i, age in zip(ahead, ages_days, strict=True)]
    thin = read["at_risk"] < max(min_at_risk, 1)
    read.loc[thin, ["survival", "low", "high"]] = np.nan
    return read
