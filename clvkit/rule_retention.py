"""Retention by rule: a constant rate, rates by age, a hiatus; assumptions that somebody states, and no estimates.

Where nobody has followed customers over time, retention is assumed: "80 % stay from one year to the next". Such a rule gives
a curve and a value, which here stand beside those of a model, so that the gap is seen. One rate for all is the assumption
that does most harm where data exist: who is likely to leave leaves early, so that the rate among those who stay rises, and
a constant rate makes long-standing customers too few (Fader & Hardie 2007).

Between two ages a share is interpolated geometrically, so that a rate a year can be asked by the month. Ages of contracts
are counted in renewals, those of other customers from the first purchase.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, field_validator, model_validator

from clvkit.contracts_section import MONTHS, Period
from clvkit.rules import RuleBroken, rate_hint
from clvkit.section import Section

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What every exhibit of a rule says of it.
LABEL = "an assumption, not an estimate"
_PER = {"month": "a month", "quarter": "a quarter", "half_year": "half a year", "year": "a year"}


class RetentionRuleSection(Section):
    """Retention as somebody assumes it; each rule that is given is shown beside the model by itself."""

    constant: float | None = Field(
        None,
        description="Share of customers who stay from one period to the next, whatever their age: 0.80 is 80 %.",
    )
    by_age: dict[int, float] | None = Field(
        None,
        description=(
            "Share who stay by age in periods, each up to the next age that is named: {1: 0.63, 2: 0.74, 4: 0.85} lets 63 % make "
            "the first period, 74 % of them the second and the third, and 85 % every later one."
        ),
    )
    hiatus_days: int | None = Field(
        None,
        gt=0,
        description=(
            "Silence after which a customer is given up, while every other customer goes on as before; of purchases only. "
            "Unit: days."
        ),
    )
    period: Period = Field(
        "year", description="What rates are stated for: month, quarter, half_year or year."
    )

    @field_validator("constant")
    @classmethod
    def _rate(cls, value: float | None) -> float | None:
        if value is not None and not 0 < value <= 1:
            raise RuleBroken("must be a fraction above 0 and at most 1", rate_hint(value))
        return value

    @field_validator("by_age")
    @classmethod
    def _bands(cls, value: dict[int, float] | None) -> dict[int, float] | None:
        if value is None:
            return None
        if 1 not in value or min(value) < 1:
            raise RuleBroken("must name the first age, 1, and none below it", "such as {1: 0.63, 2: 0.74}")
        for age, rate in value.items():
            if not 0 < rate <= 1:
                raise RuleBroken("must be a fraction above 0 and at most 1", rate_hint(rate), at=age)
        return dict(sorted(value.items()))

    @model_validator(mode="after")
    def _says_something(self):
        if self.constant is None and self.by_age is None and self.hiatus_days is None:
            raise RuleBroken(
                "states no rule", "give constant, by_age or hiatus_days, or leave retention.rule out"
            )
        return self


@dataclass(frozen=True)
class RateRule:
    """Rates by age, the last one for ever: ``rates`` are (first age, share who stay), ``months`` the length of a period."""

    name: str
    label: str
    rates: tuple[tuple[int, float], ...]
    months: float

    @classmethod
    def constant(cls, rate: float, period: str = "year", label: str | None = None) -> "RateRule":
        """One rate for everybody at every age."""
        return cls(
            "constant",
            label or f"One rate for all, {_percent(rate)} {_PER[period]}",
            ((1, rate),),
            MONTHS[period],
        )

    @classmethod
    def by_age(cls, rates: "Mapping[int, float]", period: str = "year") -> "RateRule":
        """A rate for each band of ages; keys are the first age of each, in periods."""
        bands = tuple(sorted(rates.items()))
        ends = [age - 1 for age, _ in bands[1:]]
        said = [
            f"{_percent(rate)} {_ages(age, end)}"
            for (age, rate), end in zip(bands, [*ends, None], strict=True)
        ]
        return cls("by_age", f"Rates by age, {', '.join(said)} ({_PER[period]})", bands, MONTHS[period])

    def log_survival(self, months) -> np.ndarray:
        """Log of the share still there after so many ``months``, of any shape."""
        age = np.asarray(months, float) / self.months
        starts = np.array([first - 1 for first, _ in self.rates], float)
        ends = np.append(starts[1:], np.inf)
        total = np.zeros(age.shape)
        for (_, rate), start, end in zip(self.rates, starts, ends, strict=True):
            total += np.log(rate) * (np.clip(age, start, end) - start)
        return total

    def survival(self, months, given=0.0) -> np.ndarray:
        """Share still there after ``months``, of those still there after ``given`` months."""
        return np.exp(self.log_survival(months) - self.log_survival(given))


def rules_of(section: RetentionRuleSection | None) -> list[RateRule]:
    """The rules with rates that a study states, in the order constant, by_age."""
    if section is None:
        return []
    found = [] if section.constant is None else [RateRule.constant(section.constant, section.period)]
    return found + ([] if section.by_age is None else [RateRule.by_age(section.by_age, section.period)])


def one_rate(renewals, ended, entry=0, n=1) -> float:
    """The share of renewals that were made, of all that could have been: the one rate that the data would give to all.

    Parameters
    ----------
    renewals, ended, entry, n : of cells of contracts, as `clvkit.processes.contract.Contract.log_likelihood` takes them.
    """
    made = np.asarray(renewals, float) - entry
    faced = np.sum(n * (made + np.asarray(ended, float)))
    if not faced > 0:
        raise ValueError("no renewal was due, so that there is no share of them that was made")
    return float(np.sum(n * made) / faced)


@dataclass(frozen=True)
class RenewalRule:
    """A rule in the place of a model of renewals: renewals are ``months`` apart; parameters are not looked at."""

    rule: RateRule
    months: float

    def survival(self, parameters, renewals, given=0) -> np.ndarray:
        """Share of contracts that make ``renewals``, of those that made ``given``."""
        return self.rule.survival(np.asarray(renewals) * self.months, np.asarray(given) * self.months)

    def derl(self, parameters, renewals, discount_per_period, horizon=np.inf) -> np.ndarray:
        """Renewals to come, discounted to the next one: (1, contracts); see `Contract.derl`.

        Without end, the rates of the last band make a geometric series: a·q/(1−q/(1+d)) with q its share a renewal.
        """
        made, d = np.atleast_1d(np.asarray(renewals, float)), float(discount_per_period)
        before = (
            (self.rule.rates[-1][0] - 1) * self.rule.months / self.months
        )  # renewals before the last band
        steps = int(horizon) if np.isfinite(horizon) else max(int(np.ceil(before - made.min())), 0) + 1
        ahead = np.arange(1, steps + 1)
        shares = self.survival(None, made[:, None] + ahead, made[:, None])
        total = shares @ (1 + d) ** -(ahead - 1.0)
        if not np.isfinite(horizon):
            q = self.rule.rates[-1][1] ** (self.months / self.rule.months)
            rest = q / (1 + d)
            tail = np.inf if rest >= 1 else rest / (1 - rest)
            total = total + shares[:, -1] * (1 + d) ** -(steps - 1.0) * tail
        return total[None, :]

    def simulate_future(self, parameters, renewals, periods, rng, hazard=1.0):
        """Active contracts followed over ``periods`` further renewals; see `Contract.simulate_future`."""
        made, most = np.broadcast_arrays(np.asarray(renewals, np.int64), np.asarray(periods, np.int64))
        luck, more = rng.random(made.shape), np.zeros(made.shape, np.int64)
        for k in range(1, int(most.max(initial=0)) + 1):
            more += (k <= most) & (luck < self.survival(None, made + k, made))
        return more, more < most


@dataclass(frozen=True)
class AsFit:
    """A rule where a fit of renewals is asked for, as `clvkit.contract_value.contract_value` does: it has no posterior."""

    model: RenewalRule

    def posterior(self, count: int) -> np.ndarray:
        """One row, which stands for the rule as it is."""
        return np.zeros((1, 1))


def _percent(rate: float) -> str:
    from clvkit import numbers

    return numbers.percent(rate, 0 if abs(rate * 100 - round(rate * 100)) < 1e-9 else 1)


def _ages(first: int, last: int | None) -> str:
    if last is None:
        return f"from {first} on"
    return f"at {first}" if first == last else f"at {first} to {last}"
