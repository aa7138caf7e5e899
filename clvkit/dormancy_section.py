"""What a study says of dormant customers: from which silence on somebody is one, and what that does to the value."""

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from clvkit.rules import RuleBroken
from clvkit.section import Section

Treatment = Literal["retain", "depreciate", "zero"]
TREATMENTS: tuple[Treatment, ...] = ("retain", "depreciate", "zero")


class DormancySection(Section):
    """What becomes of the value of customers who have been silent for long; all three treatments are shown in any case."""

    treatment: Treatment = Field(
        "retain",
        description=(
            "retain: what the process leaves them (P(alive) falls with silence already); depreciate: half of it after "
            "`half_life_days` beyond the threshold, a quarter after twice as many; zero: nothing."
        ),
    )
    after_days: int | None = Field(
        None,
        gt=0,
        description=(
            "Silence from which on a customer is dormant; null: the `quantile` of the gaps between purchases, in the "
            "comparison alone. Unit: days since the last purchase."
        ),
    )
    quantile: float = Field(
        0.95,
        gt=0.5,
        lt=1,
        description="Share of gaps between purchases that are no longer than the threshold, where `after_days` is null.",
    )
    half_life_days: float = Field(
        180.0, gt=0, description="Days beyond the threshold after which half of the value is left."
    )

    @model_validator(mode="after")
    def _a_treatment_needs_a_threshold(self) -> "DormancySection":
        if self.treatment != "retain" and self.after_days is None:
            raise RuleBroken(
                f"must be a number of days where treatment is {self.treatment}",
                "chapter 4 lists thresholds and what each would do",
                at="after_days",
            )
        return self


def kept(treatment: Treatment, silence_days, after_days: float, half_life_days: float) -> np.ndarray:
    """The share of its value that a customer keeps after a silence: 1 up to the threshold, then as the treatment has it."""
    beyond = np.maximum(np.asarray(silence_days, float) - after_days, 0.0)
    if treatment == "retain":
        return np.ones_like(beyond)
    return np.where(beyond > 0, 0.0 if treatment == "zero" else 0.5 ** (beyond / half_life_days), 1.0)
