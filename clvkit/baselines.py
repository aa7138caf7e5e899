"""Baselines: what simple rules would have forecast. A model that does not beat them is not worth its cost.

Wübben & von Wangenheim (2008), Journal of Marketing 72(3), found that rules of thumb such as the hiatus rule do
at least as well as purchase models for single customers; so a back-test without them proves nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

    from clvkit.accuracy import Accuracy


@dataclass(frozen=True)
class Span:
    """The days a rule looks at: forecast ``horizon_days`` from the origin.

    ``window_days`` is as much of the same length before the origin as there is history for; a customer silent
    for more than ``hiatus_days`` is taken for lost by the hiatus rule.
    """

    horizon_days: int
    window_days: int
    hiatus_days: int


@dataclass(frozen=True)
class Rule:
    """A rule of thumb: its label, what it does in words, and the forecast it makes.

    ``forecast`` takes the rows of :func:`known_customers` and a :class:`Span`, and returns two arrays (rows,):
    purchases, and revenue in minor units, of one customer of each row.
    """

    label: str
    words: str
    forecast: Callable[["pd.DataFrame", Span], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Baseline:
    """What a rule forecast, and how it did.

    ``value`` is revenue in major units; ``mae_lead`` and ``mse_lead`` are (value, low, high): by how much the
    model's mean absolute and mean squared errors are smaller than the rule's, with an interval over customers.
    """

    name: str
    value: float
    bias_value: float | None
    accuracy: "Accuracy"
    mae_lead: tuple[float, float, float]
    mse_lead: tuple[float, float, float]

    @property
    def label(self) -> str:
        """The rule's name for readers."""
        return RULES[self.name].label

    def to_json(self) -> dict:
        """The baseline as ``results.json`` holds it."""
        measures = self.accuracy.to_json()
        for name in ("customers", "actual"):
            del measures[name]
        lead = {
            name: dict(zip(("value", "low", "high"), getattr(self, name), strict=True))
            for name in ("mae_lead", "mse_lead")
        }
        return {"label": self.label, "transactions": measures.pop("predicted"), "value": self.value,
                "bias_value": self.bias_value, **measures, **lead}  # fmt: skip


def known_each(purchases: "ir.Table", origin: date, end: date, window_days: int) -> "ir.Table":
    """Every customer known at ``origin`` (see `clvkit.customers.holdout`), with ``n_before`` and ``before_minor``.

    These are the repeat purchase days within ``window_days`` up to the origin, and their amounts. A first purchase is not
    among them: it made the customer known and cannot happen again.
    """
    import ibis

    from clvkit.customers import holdout

    known = holdout(purchases, origin, end)
    opens = ibis.date(origin - timedelta(days=window_days))
    recent = purchases.filter((purchases.day <= ibis.date(origin)) & (purchases.day > opens))
    recent = recent.join(known.select("customer", "first_day"), "customer")
    recent = recent.filter(recent.day > recent.first_day)
    before = recent.group_by("customer").agg(
        n_before=recent.count().cast("int64"), before_minor=recent.amount_minor.sum().cast("int64")
    )
    both = known.left_join(before, "customer").drop("customer_right")
    return both.mutate(n_before=both.n_before.fill_null(0), before_minor=both.before_minor.fill_null(0))


def known_customers(purchases: "ir.Table", origin: date, end: date, window_days: int) -> "pd.DataFrame":
    """Customers known at ``origin``, alike ones in one row: their history, and what they did after it.

    Returns ``segment, frequency, recency_days, T_days, spend_minor`` (as in the customer summary at the origin),
    ``n_before`` (repeat purchase days within ``window_days`` up to the origin) and ``n_holdout`` (purchase days
    after it, up to ``end``), with ``n`` customers and their sums ``before_minor`` and ``holdout_minor``; sorted.
    """
    from clvkit.customers import keys_of

    both = known_each(purchases, origin, end, window_days)
    keys = [*keys_of(both), "spend_minor", "n_before", "n_holdout"]
    grouped = both.group_by(keys).agg(
        n=both.count().cast("int64"),
        before_minor=both.before_minor.sum().cast("int64"),
        holdout_minor=both.holdout_minor.sum().cast("int64"),
    )
    return grouped.order_by(keys).to_pandas()


def lead(
    rule_error: np.ndarray, model_error: np.ndarray, n: np.ndarray, interval: float
) -> tuple[float, float, float]:
    """Mean of ``rule_error − model_error`` over customers, with a normal interval for other such customers.

    Both errors are of the same customers, so their difference is far better known than either.
    """
    from statistics import NormalDist

    gain, total = rule_error - model_error, n.sum()
    mean = n @ gain / total
    wide = NormalDist().inv_cdf((1 + interval) / 2) * np.sqrt(n @ (gain - mean) ** 2 / total / total)
    return float(mean), float(mean - wide), float(mean + wide)


def _last_period(rows: "pd.DataFrame", span: Span) -> tuple[np.ndarray, np.ndarray]:
    times = span.horizon_days / span.window_days
    return rows["n_before"].to_numpy() * times, (rows["before_minor"] / rows["n"]).to_numpy() * times


def _segment_mean(rows: "pd.DataFrame", span: Span) -> tuple[np.ndarray, np.ndarray]:
    from clvkit.valuation import frequency_class

    codes, n = frequency_class(rows["frequency"]).codes, rows["n"].to_numpy(float)
    days = np.bincount(codes, weights=n * rows["T_days"])

    def daily(column: str) -> np.ndarray:
        total = np.bincount(codes, weights=n * rows[column])
        return np.divide(total, days, out=np.zeros_like(total), where=days > 0)[codes]

    return daily("frequency") * span.horizon_days, daily("spend_minor") * span.horizon_days


def _hiatus(rows: "pd.DataFrame", span: Span) -> tuple[np.ndarray, np.ndarray]:
    age = rows["T_days"].to_numpy(float)
    active = age - rows["recency_days"].to_numpy() <= span.hiatus_days
    per_day = np.divide(1.0, age, out=np.zeros_like(age), where=active & (age > 0))
    return tuple(
        rows[column].to_numpy() * per_day * span.horizon_days for column in ("frequency", "spend_minor")
    )


RULES = {
    "last_period": Rule(
        "Last period repeated",
        "every customer repeats the repeat purchases of the period of the same length before the origin; where "
        "the history is shorter, they are scaled up to that length",
        _last_period,
    ),
    "segment_mean": Rule(
        "Mean of the class",
        "every customer buys at the mean daily rate of all customers with about as many repeat purchases",
        _segment_mean,
    ),
    "hiatus": Rule(
        "Hiatus rule",
        "a customer silent for longer than the hiatus is lost and buys nothing, any other goes on at the rate "
        "of the past",
        _hiatus,
    ),
}
