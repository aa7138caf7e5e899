"""What one fit foretold of single customers from one origin, and how far off it was."""

from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.logs_data import Log

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.backtest_results import Backtest

DRAWS, INTERVAL = 400, 0.9  # futures of each kind of customer; probability of the intervals of differences


@dataclass(frozen=True)
class Errors:
    """Error of each kind of customer (rows,), by what the error is of: purchases of one customer.

    ``mean`` and ``median``: the forecast less what happened, of the expected count and of the median of simulated ones.
    ``crps``: the continuous ranked probability score of the simulated counts, in purchases; of a forecast that is one
    number it is the absolute error, so that models and rules stand on one scale.
    """

    mean: np.ndarray
    median: np.ndarray
    crps: np.ndarray


@dataclass(frozen=True)
class Measures:
    """How one model or rule did from one origin.

    Biases are shares of what happened: ``by_class`` adds up the errors in the revenue of classes of frequency,
    ``by_segment`` those in the purchases of segments once the total is put right, ``purchases_median`` is of the sum of
    medians. ``mae_expected`` is what the model takes the absolute error of its median to be, if it is right.
    """

    purchases: float
    value: float
    mae: float
    mae_median: float
    mae_expected: float | None
    rmse: float
    wmape: float
    crps: float
    by_class: float
    purchases_median: float
    by_segment: float
    coverage: float | None = None
    coverage_expected: float | None = None

    def to_json(self) -> dict:
        """The measures by name."""
        return asdict(self)


def rows_of(log: Log, made: "Backtest") -> "pd.DataFrame":
    """The customers known at the origin of a back-test, alike ones in one row, with what they did after it."""
    from clvkit.baselines import known_customers

    end = made.origin + timedelta(days=made.horizon_days)
    return known_customers(log.purchases, made.origin, end, made.span.window_days)


def of_model(log: Log, made: "Backtest", rows: "pd.DataFrame", seed: int) -> tuple[Measures, Errors]:
    """Measures of a fit at maximum likelihood, as all are compared, with the futures of customers simulated there."""
    from clvkit.forecast import cells_of, expect
    from clvkit.outcomes import simulate_counts
    from clvkit.value import Block, Future, Terms

    n, bought = rows["n"].to_numpy(float), rows["n_holdout"].to_numpy(float)
    cells, cell = cells_of(rows, made.fit, made.spend)
    at_mle, horizon = (made.fit.mle[None], made.spend.mle[None]), float(made.horizon_days)
    each = expect(made.fit, made.spend, at_mle, cells, np.array([horizon]), log.minor_per_unit).each[cell]
    counts = simulate_counts(made.fit, np.repeat(at_mle[0], DRAWS, axis=0), cells, horizon, seed)
    median = np.quantile(counts, 0.5, axis=0, method="inverted_cdf")
    spread = np.abs(counts - median).mean(axis=0)
    errors = Errors(each - bought, median[cell] - bought, crps(counts, cell, bought))
    spent = rows.assign(spend_minor=rows["n"] * rows["spend_minor"])
    block = Block.of(made.fit, made.spend, at_mle, spent, log.minor_per_unit)
    revenue = block.value(Terms(1.0, 0.0, horizon), Future())[0]
    found = _measured(log, rows, errors, revenue, float(n @ spread[cell] / n.sum()))
    return replace(found, coverage=made.coverage, coverage_expected=made.coverage_expected), errors


def of_rule(log: Log, made: "Backtest", rows: "pd.DataFrame", name: str) -> tuple[Measures, Errors]:
    """Measures of a rule of thumb, for the customers of a back-test."""
    from clvkit.baselines import RULES

    purchases, amounts = RULES[name].forecast(rows, made.span)
    off = purchases - rows["n_holdout"].to_numpy(float)
    errors = Errors(off, off, np.abs(off))
    revenue = rows["n"].to_numpy() * amounts / log.minor_per_unit
    return _measured(log, rows, errors, revenue, None), errors


def _measured(log, rows, errors: Errors, revenue: np.ndarray, expected: float | None) -> Measures:
    from clvkit.valuation import frequency_class

    n, actual = rows["n"].to_numpy(float), rows["holdout_minor"].to_numpy() / log.minor_per_unit
    bought, total = n @ rows["n_holdout"].to_numpy(float), n.sum()
    classes = frequency_class(rows["frequency"]).codes
    segments = rows["segment"].fillna("").astype("category").cat.codes
    happened = np.bincount(segments, weights=n * rows["n_holdout"])
    foretold = happened + np.bincount(segments, weights=n * errors.mean)
    gaps = np.bincount(classes, weights=revenue - actual)
    return Measures(
        purchases=float(n @ errors.mean / bought),
        value=float(gaps.sum() / actual.sum()),
        mae=float(n @ np.abs(errors.mean) / total),
        mae_median=float(n @ np.abs(errors.median) / total),
        mae_expected=expected,
        rmse=float(np.sqrt(n @ errors.mean**2 / total)),
        wmape=float(n @ np.abs(errors.mean) / bought),
        crps=float(n @ errors.crps / total),
        by_class=float(np.abs(gaps).sum() / actual.sum()),
        by_segment=float(np.abs(foretold * bought / foretold.sum() - happened).sum() / bought),
        purchases_median=float(n @ errors.median / bought),
    )


def crps(counts: np.ndarray, cell: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """The continuous ranked probability score of simulated ``counts`` (draws, cells) for what rows of them did: (rows,).

    E|X − y| − ½ E|X − X'|, the second over pairs of different draws.
    """
    draws, ordered = len(counts), np.sort(counts, axis=0)
    place = 2 * np.arange(1, draws + 1) - draws - 1
    between = 2 * (place @ ordered) / (draws * (draws - 1))
    # in blocks of rows, so that draws times rows are never held at once
    near = np.concatenate([
        np.abs(counts[:, cell[part]] - actual[part]).mean(axis=0)
        for part in np.array_split(np.arange(len(cell)), max(1, len(cell) // 5_000))
    ])  # fmt: skip
    return near - between[cell] / 2


def blends(early: tuple, later: tuple) -> dict:
    """A share of the rule in the forecast, chosen on the early origin: whether the rule knows what the model does not.

    Each origin is (rows, errors of a model, errors of a rule); the forecast is the median of the model, moved towards the
    rule by the share that has the least mean absolute error on the early origin. Both errors are of the same rows, so
    that the errors blend as the forecasts do.
    """
    shares = np.linspace(0, 1, 21)

    def mae(origin: tuple, share: float) -> float:
        rows, model, rule = origin
        n = rows["n"].to_numpy(float)
        return float(n @ np.abs((1 - share) * model.median + share * rule.mean) / n.sum())

    best = float(shares[np.argmin([mae(early, share) for share in shares])])
    return {"share": best, "early": mae(early, best), "later": mae(later, best)}


def at_true_total(log: Log, made: "Backtest", rows: "pd.DataFrame", rule: str, seed: int) -> dict[str, float]:
    """Mean absolute errors, were the total known: of the model's medians and of a rule, both scaled to what was bought.

    The model's forecast is of as many days as it expects the purchases to take that were made.
    """
    from scipy.optimize import brentq

    from clvkit.baselines import RULES
    from clvkit.forecast import cells_of, expect
    from clvkit.outcomes import simulate_counts

    n, bought = rows["n"].to_numpy(float), rows["n_holdout"].to_numpy(float)
    cells, cell = cells_of(rows, made.fit, made.spend)
    at_mle = made.fit.mle[None], made.spend.mle[None]

    def short(days: float) -> float:
        each = expect(made.fit, made.spend, at_mle, cells, np.array([days]), log.minor_per_unit).each
        return float(n @ (each[cell] - bought))

    days = brentq(short, made.horizon_days / 5, made.horizon_days * 5, xtol=0.1)
    counts = simulate_counts(made.fit, np.repeat(at_mle[0], DRAWS, axis=0), cells, days, seed)
    median = np.quantile(counts, 0.5, axis=0, method="inverted_cdf")[cell]
    repeated, _ = RULES[rule].forecast(rows, made.span)
    scaled = repeated * (n @ bought) / (n @ repeated)
    return {
        "median": float(n @ np.abs(median - bought) / n.sum()),
        "rule": float(n @ np.abs(scaled - bought) / n.sum()),
    }
