"""Sensitivity: what a change in each driver does to customer equity."""

from pydantic import Field, field_validator

from clvkit.rules import RuleBroken, rate_hint
from clvkit.section import Section


class SensitivitySection(Section):
    """How far each driver is moved."""

    change: float = Field(0.10, description=(
        "Relative change made to each driver, down and up, as a fraction: 0.10 is 10 %."))

    @field_validator("change")
    @classmethod
    def _change(cls, value: float) -> float:
        if not 0 < value < 1:
            raise RuleBroken("must be a fraction between 0 and 1", rate_hint(value))
        return value
