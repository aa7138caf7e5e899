"""Forecasts of what known customers will do: one fit, one horizon, no discounting and no margin.

The same P(alive), expected transactions and expected spend as in :mod:`clvkit.value`; what is added is the
interval of what may actually happen, by simulation, since a forecast is compared with what did.
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from clvkit.accuracy import tenths
from clvkit.customers import GROUPINGS, keys_of
from clvkit.estimate import Estimate
from clvkit.value import BLOCK, Block, Future, Terms, pair

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.fit import Fit

COVERAGE = 0.9  # interval that single customers' counts are held against
STEP_DAYS = 7  # of the path


@dataclass(frozen=True)
class Expected:
    """Expected purchases: ``each`` (cells,) of one customer, ``value`` of all, ``path`` (steps,) of all."""

    each: np.ndarray
    value: float
    path: np.ndarray


@dataclass(frozen=True)
class Forecast:
    """What one fit forecasts.

    Attributes
    ----------
    transactions, value : purchases and revenue of all customers: posterior mean, outcome interval, and the plug-in
        at maximum likelihood; without a posterior the plug-in alone. Revenue in major units.
    buyers : customers who buy at least once; None without a posterior.
    each, each_mle : (rows,) expected purchases of one customer: posterior mean, and plug-in.
    path : (steps,) purchases of all customers by the end of each step, ``path_range`` (2, steps) its interval.
    schemes : the groupings asked for and ``calibration``: tenths of customers in order of ``each``, from 1.
    ranges : per scheme, (2, groups) interval of the purchases of each group.
    coverage, coverage_expected : share of customers whose count lies inside the interval of customers with their
        history, in what happened and in the model's own simulation. The second is above 90 %, since counts are
        whole numbers. Without a posterior all draws are the estimate: what one customer does is nearly all luck.
    """

    transactions: Estimate
    value: Estimate
    buyers: Estimate | None
    each: np.ndarray
    each_mle: np.ndarray
    path: np.ndarray
    path_range: np.ndarray
    schemes: "dict[str, pd.Categorical]"
    ranges: dict[str, np.ndarray]
    coverage: float
    coverage_expected: float


def steps_to(horizon_days: int) -> np.ndarray:
    """Days from the origin to the end of each whole week of a forecast, and to its end."""
    return np.append(np.arange(STEP_DAYS, horizon_days, STEP_DAYS), horizon_days)


def forecast(
    fit: "Fit",
    spend: "Fit",
    rows: "pd.DataFrame",
    horizon_days: int,
    schemes: "dict[str, pd.Categorical]",
    *,
    draws: int,
    interval: float,
    currency: str,
    minor_per_unit: float,
    seed: int,
) -> Forecast:
    """Forecast the purchases and the revenue of known customers.

    Parameters
    ----------
    rows : rows of customers alike: ``frequency, recency_days, T_days, spend_minor, n``, and ``n_holdout`` that
        intervals of single customers are held against.
    schemes : per name, the (rows,) group of each row; intervals are given for the totals of groups.
    draws : posterior draws used.
    """
    import pandas as pd

    steps = steps_to(horizon_days)
    cells, cell = cells_of(rows, fit, spend)
    n, sampled = rows["n"].to_numpy(float), fit.draws is not None
    plug = (fit.mle[None], spend.mle[None])
    at_mle = expect(fit, spend, plug, cells, steps, minor_per_unit)
    count, money = float(n @ at_mle.each[cell]), at_mle.value
    make = {"kind": "outcome", "interval": interval}
    draws_used = pair(fit, spend, draws)
    mean = expect(fit, spend, draws_used, cells, steps, minor_per_unit) if sampled else at_mle
    schemes = schemes | {"calibration": pd.Categorical(tenths(mean.each[cell], n) + 1)}
    lucky = draws_used[0][np.resize(np.arange(len(draws_used[0])), draws)]
    inside = coverage(fit, lucky, cells, cell, rows, horizon_days, seed)
    if not sampled:
        return Forecast(
            transactions=Estimate(count, mle=count, unit="purchases", **make),
            value=Estimate(money, mle=money, unit=currency, **make),
            buyers=None,
            each=mean.each[cell],
            each_mle=mean.each[cell],
            path=mean.path,
            path_range=np.full((2, len(steps)), np.nan),
            schemes=schemes,
            ranges={name: np.full((2, len(one.categories)), np.nan) for name, one in schemes.items()},
            coverage=inside[0],
            coverage_expected=inside[1],
        )

    from clvkit.outcomes import simulate_period

    groupings = [one.codes for one in schemes.values()]
    seen = simulate_period(fit, spend, draws_used, rows, steps, groupings, minor_per_unit, seed)
    tails = [(1 - interval) / 2, (1 + interval) / 2]

    def estimate(value: float, simulated: np.ndarray, mle: float | None, unit: str) -> Estimate:
        low, high = np.quantile(simulated, tails)
        return Estimate(value, float(low), float(high), mle, unit=unit, **make)

    return Forecast(
        transactions=estimate(float(n @ mean.each[cell]), seen.transactions, count, "purchases"),
        value=estimate(mean.value, seen.value, money, currency),
        buyers=estimate(float(seen.buyers.mean()), seen.buyers, None, "customers"),
        each=mean.each[cell],
        each_mle=at_mle.each[cell],
        path=mean.path,
        path_range=np.quantile(seen.path, tails, axis=0),
        schemes=schemes,
        ranges={
            name: np.quantile(group, tails, axis=0) for name, group in zip(schemes, seen.groups, strict=True)
        },
        coverage=inside[0],
        coverage_expected=inside[1],
    )


def cells_of(rows: "pd.DataFrame", fit: "Fit", spend: "Fit") -> tuple["pd.DataFrame", np.ndarray]:
    """The cells that two fits tell apart, with ``n`` and ``spend_minor`` of all their customers, and the cell of each row.

    Rows come by segment and pattern of covariates too: only a fit by them needs them apart.
    """
    needed = {*fit.keyed_by, *spend.keyed_by}
    keys = [key for key in keys_of(rows) if key not in GROUPINGS or key in needed]
    spent = rows.assign(spend_minor=rows["n"] * rows["spend_minor"])
    cells = spent.groupby(keys, as_index=False, dropna=False)[["n", "spend_minor"]].sum()
    return cells, rows.groupby(keys, dropna=False).ngroup().to_numpy()


def expect(
    fit: "Fit",
    spend: "Fit",
    draws: tuple[np.ndarray, np.ndarray],
    cells: "pd.DataFrame",
    steps: np.ndarray,
    minor_per_unit: float,
) -> Expected:
    """Means over ``draws`` of what is expected of the customers of ``cells`` up to the last of ``steps`` (days)."""
    each, value, path = np.empty(len(cells)), 0.0, np.zeros(len(steps))
    terms, ordered = Terms(1.0, 0.0, float(steps[-1])), np.lexsort((cells["T_days"], cells["frequency"]))
    for part in _parts(ordered, len(draws[0])):
        block = Block.of(fit, spend, draws, cells.iloc[part], minor_per_unit)
        bought = block.purchases(terms, Future()).mean(axis=0)
        each[part] = bought / cells["n"].to_numpy()[part]
        value += block.value(terms, Future()).mean(axis=0).sum()
        for k, step in enumerate(steps[:-1]):
            path[k] += block.purchases(replace(terms, horizon_days=float(step)), Future()).mean(axis=0).sum()
        path[-1] += bought.sum()
    return Expected(each, float(value), path)


def coverage(
    fit: "Fit",
    draws: np.ndarray,
    cells: "pd.DataFrame",
    cell: np.ndarray,
    rows: "pd.DataFrame",
    horizon_days: int,
    seed: int,
) -> tuple[float, float]:
    """Share of customers inside the 90 % outcome interval of their cell: actual, and of those simulated.

    ``cell`` (rows,) is the cell of each row. Counts are simulated for cells in blocks of bounded size, each with
    random numbers of its own.
    """
    from clvkit.outcomes import simulate_counts

    tails = [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2]
    low, high, inside = np.empty(len(cells)), np.empty(len(cells)), np.empty(len(cells))
    for block, part in enumerate(_parts(np.arange(len(cells)), len(draws)), start=1):
        counts = simulate_counts(fit, draws, cells.iloc[part], horizon_days, seed + block)
        low[part], high[part] = np.quantile(counts, tails, axis=0, method="inverted_cdf")
        inside[part] = ((counts >= low[part]) & (counts <= high[part])).mean(axis=0)
    n, actual = rows["n"].to_numpy(float), rows["n_holdout"].to_numpy()
    covered = (actual >= low[cell]) & (actual <= high[cell])
    return float(n @ covered / n.sum()), float(n @ inside[cell] / n.sum())


def _parts(order: np.ndarray, draws: int) -> list[np.ndarray]:
    """Cells in blocks that hold a bounded number of values for all draws."""
    return np.array_split(order, max(1, math.ceil(len(order) * draws / BLOCK)))
