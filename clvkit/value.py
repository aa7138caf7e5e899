"""Value: P(alive), discounted expected purchases and expected margin make customer lifetime value."""

from pydantic import Field, field_validator

from clvkit.rules import RuleBroken, rate_hint
from clvkit.section import Section


class ValueSection(Section):
    """What turns expected purchases into money: margin, discount rate, horizon."""

    margin: float = Field(description=(
        "Contribution margin as a fraction of the amounts in the ledger: 0.30 is 30 %. "
        "Above 0, at most 1 (amounts are margin already)."))
    annual_discount_rate: float = Field(description=(
        "Effective rate per year that future margin is discounted with, as a fraction: 0.10 is 10 % a year."))
    horizon_months: float = Field(36, gt=0, le=600, description=(
        "How far ahead purchases count, from the as-of date. Unit: months (a twelfth of a year)."))
    interval: float = Field(0.9, description="Probability that intervals are stated for: 0.9 is nine times in ten.")
    posterior_draws: int = Field(400, ge=50, description="Posterior draws that value is computed for.")

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
