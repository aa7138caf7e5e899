"""Value: P(alive), discounted expected purchases and expected margin make customer lifetime value."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, field_validator

from clvkit.dormancy_section import DormancySection, Treatment, kept
from clvkit.rules import RuleBroken, rate_hint
from clvkit.section import Section

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.fit import Fit
    from clvkit.histories import Histories

BLOCK = 4_000_000  # draws times cells held at once; eight bytes each, a few arrays of them


class ValueSection(Section):
    """What turns expected purchases into money: margin, discount rate, horizon."""

    margin: float = Field(
        description=(
            "Contribution margin as a fraction of the amounts in the ledger: 0.30 is 30 %. "
            "Above 0, at most 1 (amounts are margin already)."
        )
    )
    annual_discount_rate: float = Field(
        description=(
            "Effective rate per year that future margin is discounted with, as a fraction: "
            "0.10 is 10 % a year."
        )
    )
    horizon_months: float = Field(
        36,
        gt=0,
        le=600,
        description=(
            "How far ahead purchases count, from the as-of date. Unit: months (a twelfth of a year)."
        ),
    )
    interval: float = Field(
        0.9, description="Probability that intervals are stated for: 0.9 is nine times in ten."
    )
    posterior_draws: int = Field(400, ge=50, description="Posterior draws that value is computed for.")
    dormancy: DormancySection = Field(
        default_factory=DormancySection,
        description="What becomes of the value of customers who have been silent for long.",
    )

    @field_validator("margin")
    @classmethod
    def _margin(cls, value: float) -> float:
        if not 0 < value <= 1:
            raise RuleBroken("must be a fraction above 0 and at most 1", rate_hint(value))
        return value

    @field_validator("annual_discount_rate")
    @classmethod
    def _rate(cls, value: float) -> float:
        if not 0 <= value < 1:
            raise RuleBroken("must be a fraction from 0 to below 1", rate_hint(value))
        return value

    @field_validator("interval")
    @classmethod
    def _interval(cls, value: float) -> float:
        if not 0 < value < 1:
            raise RuleBroken("must be a probability between 0 and 1", rate_hint(value))
        return value


@dataclass(frozen=True)
class Terms:
    """The money side of a value: what a purchase leaves, how it is discounted, how far ahead one looks.

    ``horizon_days`` may be infinite where the discount rate is positive. Purchases are discounted
    continuously, from the moment they are expected to happen, at the force of interest ln(1 + annual rate).
    ``dormant`` says what becomes of the value of customers who are silent for longer than ``dormant_after_days``.
    """

    margin: float
    annual_discount_rate: float
    horizon_days: float
    days_per_year: float = 365.25
    dormant: Treatment = "retain"
    dormant_after_days: float = math.inf
    half_life_days: float = 180.0

    @classmethod
    def of(cls, section: ValueSection, days_per_year: float) -> "Terms":
        """The terms a study states."""
        days, asleep = section.horizon_months * days_per_year / 12, section.dormancy
        after = math.inf if asleep.after_days is None else float(asleep.after_days)
        return cls(section.margin, section.annual_discount_rate, days, days_per_year, asleep.treatment, after,
                   asleep.half_life_days)  # fmt: skip

    def kept(self, silence_days: np.ndarray) -> np.ndarray:
        """The share of its value that a customer keeps who has been silent for so many days; see `clvkit.dormancy`."""
        return kept(self.dormant, silence_days, self.dormant_after_days, self.half_life_days)

    def force(self, unit_days: float) -> float:
        """Continuous discount rate per unit of ``unit_days`` days."""
        return math.log1p(self.annual_discount_rate) * unit_days / self.days_per_year


@dataclass(frozen=True)
class Future:
    """Multipliers on what happens from the as-of date on; P(alive) and the posteriors stay as data left them.

    ``rate`` acts on the purchase rate, ``hazard`` on the dropout hazard, ``spend`` on the amount per
    purchase.
    """

    rate: float = 1.0
    hazard: float = 1.0
    spend: float = 1.0


@dataclass(frozen=True)
class Totals:
    """Sums over the customers of each group, one row per posterior draw: arrays (draws, groups).

    ``alive`` customers, ``purchases`` expected within the horizon (undiscounted), ``value`` in major units.
    """

    alive: np.ndarray
    purchases: np.ndarray
    value: np.ndarray


def pair(fit: "Fit", spend: "Fit", count: int) -> tuple[np.ndarray, np.ndarray]:
    """Up to ``count`` draws of both posteriors, row by row; without a posterior, the estimate repeated."""
    purchases, amounts = fit.posterior(count), spend.posterior(count)
    rows = max(len(purchases), len(amounts))
    return stretch(purchases, rows), stretch(amounts, rows)


def stretch(draws: np.ndarray, rows: int) -> np.ndarray:
    """The same draws, evenly spaced, as ``rows`` of them."""
    return draws[np.linspace(0, len(draws) - 1, rows).round().astype(int)]


def sweep(
    fit: "Fit",
    spend: "Fit",
    draws: tuple[np.ndarray, np.ndarray],
    cells: "pd.DataFrame",
    groupings: list[np.ndarray],
    cases: list[tuple[Terms, Future]],
    minor_per_unit: float,
    *,
    money_only: bool = False,
) -> list[list[Totals]]:
    """Value the customers of ``cells``: P(alive) × discounted expected purchases × expected margin.

    Parameters
    ----------
    fit, spend : give the models and the unit of time.
    draws : (draws, k) parameters of the process and (draws, 3) of the spend model, row by row; see `pair`.
    cells : ``frequency``, ``recency_days``, ``T_days``, ``n`` and ``spend_minor`` (sum over the cell).
    groupings : each (cells,) whole numbers from 0, the group every cell belongs to.
    cases : the terms and futures to value under; P(alive) is the same in all of them.
    money_only : leave expected purchases out (they become NaN), which halves the work.

    Returns
    -------
    list : per case, per grouping, the totals.

    Notes
    -----
    Cells are taken in blocks of bounded size, so that memory does not grow with them. Expected spend is
    affine in a customer's total, so a cell needs only the sum of its customers' totals.
    """
    rows = len(draws[0])
    results = [[Totals(*np.zeros((3, rows, int(group.max()) + 1))) for group in groupings] for _ in cases]
    ordered = np.lexsort((cells["T_days"], cells["frequency"]))
    for part in np.array_split(ordered, max(1, math.ceil(len(cells) * rows / BLOCK))):
        members = [np.eye(int(group.max()) + 1)[group[part]] for group in groupings]
        block = Block.of(fit, spend, draws, cells.iloc[part], minor_per_unit)
        for case, result in zip(cases, results, strict=True):
            value = block.value(*case)
            purchases = np.full_like(value, np.nan) if money_only else block.purchases(*case)
            for member, totals in zip(members, result, strict=True):
                totals.alive[:] += block.alive @ member
                totals.purchases[:] += purchases @ member
                totals.value[:] += value @ member
    return results


@dataclass(frozen=True)
class Block:
    """Some cells under all draws: ``alive`` customers and the ``spend`` they would bring per purchase."""

    who: "Histories"
    parameters: np.ndarray
    alive: np.ndarray
    spend: np.ndarray
    silence_days: np.ndarray
    _known: dict = field(default_factory=dict, repr=False)  # margin and spend cases share their expectations

    @classmethod
    def of(cls, fit, spend, draws, cells, minor_per_unit) -> "Block":
        """P(alive) and expected spend of each cell and draw; nothing assumed of the future enters."""
        from clvkit.histories import Histories, Spenders

        n, who = cells["n"].to_numpy(float), Histories.of(fit, cells)
        alive = who.p_alive(draws[0])
        base, slope = Spenders.of(spend, cells, minor_per_unit).expected(draws[1])
        amount = base * n + slope * (cells["spend_minor"].to_numpy() / minor_per_unit)
        silence = (cells["T_days"] - cells["recency_days"]).to_numpy(float)
        return cls(who, draws[0], alive * n, alive * amount, silence)

    def _expected(self, terms: Terms, future: Future, discount: float) -> np.ndarray:
        asked = (terms.horizon_days, discount, future.rate, future.hazard)
        if asked not in self._known:
            while len(self._known) > 1:
                self._known.pop(next(iter(self._known)))
            self._known[asked] = self.who.expected(self.parameters, *asked)
        return self._known[asked]

    def purchases(self, terms: Terms, future: Future) -> np.ndarray:
        """Expected purchases within the horizon, undiscounted: (draws, cells); NaN where it is infinite."""
        if not math.isfinite(terms.horizon_days):
            return np.full(self.alive.shape, np.nan)
        return self.alive * self._expected(terms, future, 0.0)

    def value(self, terms: Terms, future: Future) -> np.ndarray:
        """Discounted expected margin, in major units: (draws, cells)."""
        discounted = self._expected(terms, future, terms.force(self.who.fit.unit_days))
        return terms.margin * future.spend * self.spend * discounted * terms.kept(self.silence_days)
