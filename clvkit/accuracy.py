"""Accuracy: what was forecast for customers beside what they did, one by one, in classes, in order.

Customers with the same history have the same forecast, so everything is computed on rows that stand for ``n``
customers each. Percentage errors of single customers are not offered: most customers buy nothing in a hold-out,
and a percentage of nothing is nothing.
"""

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

TOP = 0.2  # the best fifth, as Malthouse & Blattberg (2005) judge forecasts of customer value


@dataclass(frozen=True)
class Accuracy:
    """How close forecasts of purchases came; errors are forecast minus actual, per customer.

    Attributes
    ----------
    actual, predicted : purchases of all customers.
    bias : (predicted − actual) / actual; None where nothing was bought. Negative is too low.
    mae, rmse : mean absolute and root mean squared error. Unit: purchases per customer.
    correlation, rank_correlation : Pearson's, and Spearman's with ties at their mean rank; None where one side
        does not vary.
    wmape : sum of absolute errors over customers / actual purchases; None where nothing was bought.
    top_missed : share of the fifth of customers who bought most that is not in the fifth forecast highest.
    rest_misplaced : share of the other four fifths that is in the fifth forecast highest.
    wmape_by_segment : `wmape` within each class of customers.
    """

    customers: int
    actual: float
    predicted: float
    bias: float | None
    mae: float
    rmse: float
    correlation: float | None
    rank_correlation: float | None
    wmape: float | None
    top_missed: float
    rest_misplaced: float
    wmape_by_segment: dict[str, float | None] = field(default_factory=dict)

    def to_json(self) -> dict:
        """The measures by name."""
        return asdict(self)


def accuracy(
    actual: np.ndarray, predicted: np.ndarray, n: np.ndarray, classes: "pd.Categorical | None" = None
) -> Accuracy:
    """Compare forecasts with what happened.

    Parameters
    ----------
    actual, predicted : (rows,) purchases of one customer of each row.
    n : (rows,) customers that each row stands for.
    classes : (rows,) class of each row.
    """
    actual, predicted, n = (np.asarray(values, float) for values in (actual, predicted, n))
    total, error = n.sum(), predicted - actual
    bought = float(n @ actual)
    missed, misplaced = top_errors(actual, predicted, n)
    within = {}
    if classes is not None:
        for code, name in enumerate(classes.categories):
            rows = classes.codes == code
            within[str(name)] = share(n[rows] @ np.abs(error[rows]), n[rows] @ actual[rows])
    return Accuracy(
        customers=int(total),
        actual=bought,
        predicted=float(n @ predicted),
        bias=share(n @ error, bought),
        mae=float(n @ np.abs(error) / total),
        rmse=float(np.sqrt(n @ error**2 / total)),
        correlation=correlation(actual, predicted, n),
        rank_correlation=correlation(ranks(actual, n), ranks(predicted, n), n),
        wmape=share(n @ np.abs(error), bought),
        top_missed=missed,
        rest_misplaced=misplaced,
        wmape_by_segment=within,
    )


def share(part: float, whole: float) -> float | None:
    """``part / whole``, or None where there is no whole to take a share of."""
    return float(part / whole) if whole else None


def correlation(one: np.ndarray, other: np.ndarray, n: np.ndarray) -> float | None:
    """Pearson's correlation of rows that stand for ``n`` customers; None where a side does not vary."""
    one, other = one - n @ one / n.sum(), other - n @ other / n.sum()
    spread = (n @ one**2) * (n @ other**2)
    return float(n @ (one * other) / np.sqrt(spread)) if spread > 0 else None


def ranks(values: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Rank of each row's customers, ties at the mean of the ranks they share."""
    _, where = np.unique(values, return_inverse=True)
    tied = np.bincount(where, weights=n)
    return (np.cumsum(tied) - (tied - 1) / 2)[where]


def top_errors(actual: np.ndarray, predicted: np.ndarray, n: np.ndarray) -> tuple[float, float]:
    """Share of the true top fifth that was missed, and of the rest that was put into it.

    Customers tied at the edge of the fifth are taken into it in proportion, as by drawing lots.
    """
    truly, called = _in_top(actual, n), _in_top(predicted, n)
    top = n @ truly
    return float(n @ (truly * (1 - called)) / top), float(n @ ((1 - truly) * called) / (n.sum() - top))


def _in_top(values: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Chance of each row's customers to be among the top fifth by ``values``."""
    _, where = np.unique(-values, return_inverse=True)
    tied = np.bincount(where, weights=n)
    room = TOP * n.sum() - (np.cumsum(tied) - tied)
    return np.clip(room / tied, 0, 1)[where]


def tenths(predicted: np.ndarray, n: np.ndarray, groups: int = 10) -> np.ndarray:
    """The tenth that each row belongs to when customers stand in order of their forecast, 0 the lowest.

    Customers with the same forecast stay together, so tenths are of about equal size only.
    """
    middle = ranks(predicted, n) - 0.5
    return np.minimum((middle / n.sum() * groups).astype(int), groups - 1)


def by_group(
    labels: "pd.Categorical",
    n: np.ndarray,
    actual: np.ndarray,
    predicted: np.ndarray,
    interval: tuple[np.ndarray, np.ndarray] | None = None,
) -> "pd.DataFrame":
    """Forecast and actual purchases of groups of customers.

    Parameters
    ----------
    labels : (rows,) group of each row.
    n, actual, predicted : (rows,) customers, and purchases of one of them.
    interval : low and high (groups,) of each group's purchases, where they were simulated.

    Returns
    -------
    One row a group: ``group, customers, actual, predicted, low, high`` (purchases of the group),
    ``actual_each, predicted_each`` (per customer), ``ape`` (error of the group's total, as a share of actual) and
    ``wmape`` (errors of its customers added up, as a share of actual); both NaN where nothing was bought.
    """
    import pandas as pd

    codes, groups = labels.codes, len(labels.categories)
    add = lambda values: np.bincount(codes, weights=values, minlength=groups)  # noqa: E731
    customers, bought, expected = add(n), add(n * actual), add(n * predicted)
    low, high = interval or (np.full(groups, np.nan), np.full(groups, np.nan))
    per = np.where(bought > 0, bought, np.nan)
    return pd.DataFrame(
        {
            "group": [str(name) for name in labels.categories],
            "customers": customers.astype(int),
            "actual": bought,
            "predicted": expected,
            "low": low,
            "high": high,
            "actual_each": bought / customers,
            "predicted_each": expected / customers,
            "ape": np.abs(expected - bought) / per,
            "wmape": add(n * np.abs(predicted - actual)) / per,
        }
    )
