"""Rhythm: whether customers buy at random or like clockwork, from the gaps between their purchases.

The measure is ``k``, the shape of gamma gaps that all customers share, each at a rate of its own: 1 is purchases at
random (Poisson), above 1 they are more regular (the coefficient of variation of a customer's gaps is 1/√k), below 1
they come in bursts. It generalises Wheat & Morrison (1990), "Estimating Purchase Regularity with Two Interpurchase
Times", Journal of Marketing Research 27(1): of two gaps, their ``M = g₁/(g₁+g₂)`` is Beta(k, k) whatever the rate.

Here all gaps of a customer are used, given their number and their sum, which leaves neither the rate nor the dropout,
nor the day on which observation ends, in the likelihood. Days are whole and several purchases of a day are one, which
makes Poisson purchases look regular to estimators that take gaps for continuous; see `clvkit.compositions` for why it
does not here.
"""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from clvkit import numbers
from clvkit.checks import Check

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

BLOCK = 20  # gaps in a row that are looked at together; it bounds the work, not the customers
BOUNDS = (0.2, 30.0)  # k is looked for in
FEWEST = 30  # customers with two gaps or more; fewer tell nothing
NANO = 1e-9  # logarithms are added up as whole numbers of this, so that the order of the rows does not matter


def gap_statistics(purchases: "ir.Table", as_of: date, summary: "ir.Table | None" = None) -> "pd.DataFrame":
    """Logarithms of the gaps between purchase days, added up over customers who are alike.

    Parameters
    ----------
    purchases : one row per customer and day: ``customer, day``, and ``segment`` where there is one.
    as_of : last day that counts.
    summary : a table with ``customer``: only these count.

    Returns
    -------
    One row per ``segment``, ``gaps`` and ``span_days``, sorted. The gaps of a customer are taken in blocks of `BLOCK` in
    order of time, of which the last may be shorter; ``gaps`` is the number of gaps of a block, ``span_days`` the days
    they reach over. Then ``n`` (blocks), ``customers`` (blocks that are the first of their customer), ``log_nanos`` (sum
    of the log of the gaps in days, in units of 1e-9) and ``square_micros`` (sum over blocks of the square of their sum
    of logs, in units of 1e-6).
    """
    import ibis

    from clvkit.customers import _frame

    known = purchases.filter(purchases.day <= ibis.date(as_of))
    if summary is not None:
        known = known.semi_join(summary, "customer")
    if "segment" not in known.columns:
        known = known.mutate(segment=ibis.literal("all"))
    in_order = ibis.window(group_by="customer", order_by="day")
    placed = known.mutate(before=known.day.lag().over(in_order), place=ibis.row_number().over(in_order))
    later = placed.filter(placed.before.notnull())
    days = later.day.delta(later.before, unit="day").cast("int64")
    each = later.mutate(
        days=days,
        nanos=(days.cast("float64").ln() / NANO).round().cast("int64"),
        block=((later.place - 1) / BLOCK).floor().cast("int64"),
    )
    blocks = each.group_by("customer", "block").agg(
        segment=each.segment.min(),
        gaps=each.count().cast("int64"),
        span_days=each.days.sum().cast("int64"),
        nanos=each.nanos.sum().cast("int64"),
    )
    millis = (blocks.nanos.cast("float64") / 1e6).round().cast("int64")
    blocks = blocks.mutate(square=millis * millis, first=(blocks.block == 0).cast("int64"))
    keys = ["segment", "gaps", "span_days"]
    grouped = blocks.group_by(keys).agg(
        n=blocks.count().cast("int64"),
        customers=blocks["first"].sum().cast("int64"),
        log_nanos=blocks.nanos.sum().cast("int64"),
        square_micros=blocks.square.sum().cast("int64"),
    )
    return _frame(grouped, keys)


@dataclass(frozen=True)
class Rhythm:
    """How regular purchases are.

    Attributes
    ----------
    k : shape of the gaps; NaN where too few customers have two gaps, or where their gaps could not have been others.
    low, high : interval that holds k with probability ``interval``; it does not assume that k is the same for everybody.
    customers, gaps : with two gaps or more, and their gaps.
    """

    k: float
    low: float
    high: float
    interval: float
    customers: int
    gaps: int

    @property
    def known(self) -> bool:
        """Whether the log tells anything about rhythm."""
        return bool(np.isfinite(self.k))

    @property
    def regular(self) -> bool:
        """More regular than at random, and by enough that the nearest whole k is 2 or more."""
        return self.known and self.low > 1 and self.k > np.sqrt(2)


def rhythm(gaps: "pd.DataFrame", interval: float = 0.9) -> Rhythm:
    """Estimate k from `gap_statistics` by maximum likelihood, given each customer's number of gaps and their sum.

    The interval is of the logarithm, from the variance between blocks of gaps (a sandwich), so that customers who
    differ in their regularity, or whose gaps depend on each other, do not make it too narrow.
    """
    from scipy.optimize import minimize_scalar

    sums = ["n", "customers", "log_nanos", "square_micros"]
    used = gaps[gaps["gaps"] > 1].groupby(["gaps", "span_days"], as_index=False)[sums].sum()
    n, m = used["n"].to_numpy(float), used["gaps"].to_numpy(np.int64)
    span, logs = used["span_days"].to_numpy(np.int64), NANO * used["log_nanos"].to_numpy(float)
    customers, count = int(used["customers"].sum()), int(n @ m)
    nothing = Rhythm(np.nan, np.nan, np.nan, interval, customers, count)
    if customers < FEWEST or not (span > m).any():
        return nothing
    from clvkit.compositions import log_constants

    constants = lambda k: log_constants(m, span, float(k))  # noqa: E731
    lost = lambda u: -(np.exp(u) - 1) * logs.sum() + n @ constants(np.exp(u))  # noqa: E731
    k = float(
        np.exp(minimize_scalar(lost, bounds=np.log(BOUNDS), method="bounded", options={"xatol": 1e-3}).x)
    )
    step = 1e-3 * k
    below, at, above = (constants(k + move) for move in (-step, 0.0, step))
    expected = (above - below) / (2 * step)
    information = n @ (above - 2 * at + below) / step**2
    if BOUNDS[0] * 1.01 < k < BOUNDS[1] / 1.01 and information > 0:
        k += float(logs.sum() - n @ expected) / information  # Newton's step polishes the maximum
    spread = 1e-6 * used["square_micros"].to_numpy(float) - 2 * expected * logs + n * expected**2
    if not information > 0:
        return nothing
    error = float(np.sqrt(max(spread.sum(), 0.0)) / information / k)
    reach = float(np.exp(norm.ppf((1 + interval) / 2) * error))
    return Rhythm(float(k), float(k / reach), float(k * reach), interval, customers, count)


def in_words(found: Rhythm) -> str:
    """What the log says about the rhythm of its customers, in one sentence or two."""
    if not found.known:
        return (
            f"Whether customers buy at random or like clockwork cannot be told from {numbers.count(found.customers)} "
            "customers with two gaps between purchases or more."
        )
    size = (
        f"k = {numbers.number(found.k, 2)} ({numbers.percent(found.interval, 0)} interval {numbers.number(found.low, 2)} "
        f"to {numbers.number(found.high, 2)}; 1 is at random)"
    )
    if found.low > 1:
        said = (
            "are more regular than at random" if found.regular else "are hardly more regular than at random"
        )
    elif found.high < 1:
        said = "come in bursts, with more short and more long gaps than at random"
    else:
        said = "are as irregular as at random"
    return f"The gaps between a customer's purchases {said}: {size}, from {numbers.count(found.gaps)} gaps of {numbers.count(found.customers)} customers."


def rhythm_check(found: Rhythm, processes: tuple[str, ...]) -> Check:
    """Whether the purchase processes of a study know a rhythm as regular as that of its customers."""
    from clvkit.processes import REGULAR

    missing = found.regular and REGULAR not in processes
    return Check(
        "models.rhythm",
        "Purchases at random, or like clockwork",
        "review" if missing else "info" if not found.known or found.high < 1 else "pass",
        in_words(found)
        + (
            " Processes without a memory take the pause after a purchase for silence, and expect too much of those who "
            "are overdue."
            if missing
            else ""
        ),
        value=found.k if found.known else None,
        threshold=1.0,
        recommendation=f"Add {REGULAR} (MBG/CNBD-k) to models.processes, and see whether it forecasts better."
        if missing
        else "",
        chapter="04_value",
    )
