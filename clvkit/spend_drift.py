"""Spend drift: whether the same customers spend more, or less, per purchase as time goes by.

Amounts of a customer are taken as exp(a + β t) on average, with a level a of its own, so that who buys when (a change
of mix) is no drift. The score of Poisson's quasi-likelihood with a level for each customer needs only sums: with A the
total of m repeat purchases at times t,

    U = Σ over customers of (Σ t·amount − A·mean t),    V = Σ over customers of A·variance t,    β = U / V

is its one step from β = 0 (Wooldridge 1999, "Distribution-free estimation of some nonlinear panel data models", Journal
of Econometrics 90), which stays a mean and holds zero and negative amounts; its error is taken between customers. The
engine adds the sums up.
"""

import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clvkit import numbers
from clvkit.checks import Check

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

INTERVAL = 0.95  # amounts without a drift are put up for review once in twenty
LEAST_CUSTOMERS = 30  # with two repeat purchases or more; an error taken between fewer is itself a guess
MONTHS = 12
_EXACT = "decimal(38, 6)"  # sums of decimals do not depend on the order that an engine adds them in


@dataclass(frozen=True)
class SpendDrift:
    """Yearly change of the amount of a repeat purchase within customers, as a fraction.

    ``change, low, high`` are fractions a year, ``low`` and ``high`` hold it in 95 of 100 samples; all None where too few
    customers bought again on two days, or their amounts do not add up to anything positive. ``log_change, log_error`` are
    β and its standard error, per year.
    """

    customers: int
    purchases: int
    log_change: float | None = None
    log_error: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None

    @property
    def found(self) -> bool:
        """Whether amounts without a drift would look like this only once in twenty times."""
        return self.low is not None and not self.low <= 0 <= self.high

    def save(self, folder: Path) -> None:
        """Write it as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "drift.json").write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "SpendDrift":
        """Read what `save` wrote."""
        return cls(**json.loads((folder / "drift.json").read_text(encoding="utf-8")))

    def effect(self, path: "pd.DataFrame") -> float | None:
        """Change of customer equity, as a fraction, if amounts went on drifting at this rate; None where not tested.

        ``path`` has equity ``value`` by ``months`` ahead (`Valuation.path`), of which the horizon is the last finite one.
        """
        ahead = path[np.isfinite(path["months"])].sort_values("months")
        if self.log_change is None or ahead.empty or not ahead["value"].iloc[-1] > 0:
            return None
        ends = ahead["months"].to_numpy(float)
        middle = (ends + np.concatenate([[0.0], ends[:-1]])) / 2 / MONTHS
        parts = np.diff(ahead["value"].to_numpy(float), prepend=0.0)
        return float(parts @ np.expm1(self.log_change * middle) / parts.sum())

    def check(self, path: "pd.DataFrame | None" = None) -> Check:
        """Pass where the interval holds 0, review where it does not, information where nothing can be said."""
        about = {"id": "spend.drift", "title": "The same customers spend as much per purchase as they did",
                 "unit": "share a year", "chapter": "04_value"}  # fmt: skip
        if self.change is None:
            message = (
                f"Whether amounts drift cannot be said: {numbers.count(self.customers)} customers have two repeat purchases "
                f"or more, and the test takes {LEAST_CUSTOMERS} whose amounts add up to more than nothing."
            )
            return Check(**about, status="info", message=message, severity="info")
        more = "more" if self.change > 0 else "less"
        interval = f"{numbers.percent(self.low)} and {numbers.percent(self.high)}"
        message = (
            f"Within customers, a repeat purchase brought {numbers.percent(abs(self.change))} {more} a year; in 95 of 100 "
            f"samples the change lies between {interval} (over {numbers.count(self.purchases)} purchases of "
            f"{numbers.count(self.customers)} customers)."
        )
        effect, advice = None if path is None else self.effect(path), ""
        if self.found:
            advice = (
                "Look for a change of prices, of the currency or of what is sold. The value takes amounts to stay as they "
                "were on average over the history"
            )
            advice += "."
            if effect is not None:
                higher = "higher" if effect > 0 else "lower"
                advice = (
                    f"{advice[:-1]}; were they to drift on from the as-of date at this rate, it would be "
                    f"{numbers.percent(abs(effect))} {higher} over the horizon."
                )
        return Check(
            **about,
            status="review" if self.found else "pass",
            message=message,
            value=self.change,
            threshold=0.0,
            recommendation=advice,
        )


def sums_within(purchases: "ir.Table", as_of: date, days_per_year: float = 365.25) -> "ir.Table":
    """What the test needs, added up by the engine: one row.

    Parameters
    ----------
    purchases : one row per customer and day: ``customer, day, amount_minor``; those up to ``as_of`` count.

    Returns
    -------
    ``customers`` and ``purchases`` (with two repeat purchases or more, and these purchases), then per year, in minor
    units: ``u, v`` (U and V above) and ``uu, uv, vv``, the sums over customers of the products of their parts.
    """
    import ibis

    known = purchases.filter(purchases.day <= ibis.date(as_of))
    begun = known.group_by("customer").agg(first_day=known.day.min())
    both = known.join(begun, "customer")
    t = -ibis.date(as_of).delta(both.day, unit="day").cast("int64")
    both = both.mutate(t=t).filter(both.day > both.first_day)
    each = both.group_by("customer").agg(
        m=both.count().cast("int64"),
        t=both.t.sum().cast("float64"),
        tt=(both.t * both.t).sum().cast("float64"),
        a=both.amount_minor.sum().cast("float64"),
        ta=(both.t * both.amount_minor).sum().cast("float64"),
    )
    each = each.filter(each.m >= 2)
    each = each.select(
        "m",
        u=(each.ta - each.a * each.t / each.m) / days_per_year,
        v=each.a / each.m * (each.tt - each.t * each.t / each.m) / days_per_year**2,
    )
    return each.agg(
        customers=each.count().cast("int64"),
        purchases=each.m.sum().cast("int64"),
        u=each.u.cast(_EXACT).sum(),
        v=each.v.cast(_EXACT).sum(),
        uu=(each.u * each.u).cast(_EXACT).sum(),
        uv=(each.u * each.v).cast(_EXACT).sum(),
        vv=(each.v * each.v).cast(_EXACT).sum(),
    )


def spend_drift(purchases: "ir.Table", as_of: date, days_per_year: float = 365.25) -> SpendDrift:
    """Test the drift of the amounts of ``purchases`` (one row per customer and day) up to ``as_of``."""
    (row,) = sums_within(purchases, as_of, days_per_year).to_pyarrow().to_pylist()
    customers, count = row["customers"], row["purchases"] or 0
    u, v, uu, uv, vv = (float(row[name] or 0) for name in ("u", "v", "uu", "uv", "vv"))
    if customers < LEAST_CUSTOMERS or not v > 0:
        return SpendDrift(customers, count)
    from scipy.stats import t as student

    beta = u / v
    squares = max(uu - 2 * beta * uv + beta * beta * vv, 0.0) * customers / (customers - 1)
    error = np.sqrt(squares) / v
    reach = student.ppf((1 + INTERVAL) / 2, customers - 1) * error
    low, high = np.expm1([beta - reach, beta + reach]).tolist()
    p_value = float(2 * student.sf(abs(beta) / error, customers - 1)) if error > 0 else float(beta == 0)
    return SpendDrift(customers, count, beta, float(error), float(np.expm1(beta)), low, high, p_value)
