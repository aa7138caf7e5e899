"""What a study says of the challenger: which features a machine may learn from, and which new ones are on trial."""

from datetime import date
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator, model_validator

from clvkit.rules import RuleBroken, did_you_mean, rate_hint
from clvkit.section import Section

if TYPE_CHECKING:
    from collections.abc import Collection

Behaviour = Literal["tickets", "returns", "contracts", "behaviour"]
SOURCES: tuple[Behaviour, ...] = ("tickets", "returns", "contracts", "behaviour")


class NewVariableSection(Section):
    """One trial of a new variable, as it was written down before anybody knew the result."""

    feature: str = Field(
        min_length=1, description="Name of the feature, as the table of features in chapter 5 has it."
    )
    hypothesis: str = Field(min_length=1, description="What it should do to future purchases, and why.")
    min_gain: float = Field(
        description=(
            "Share of the error of a model without it that it must take away to be worth having, in both forecasts: "
            "0.01 is 1 %."
        )
    )
    cost_per_year: float = Field(
        ge=0, description="What having the feature costs a year, in the study's currency."
    )
    registered: date = Field(description="The day on which this was written down.")
    by: str = Field(min_length=1, description="Who wrote it down: a person or a role.")

    @field_validator("min_gain")
    @classmethod
    def _gain(cls, value: float) -> float:
        if not 0 <= value < 1:
            raise RuleBroken("must be a fraction from 0 to below 1", rate_hint(value))
        return value


class ChallengerSection(Section):
    """Machine learning beside the purchase processes, on the hold-out of the latest back-test."""

    use: Literal["none", "compare"] = Field(
        "none",
        description=(
            "none: no machine learning; compare: an elastic net and gradient boosting are trained before the latest "
            "origin of the back-test and tried on the same days as the processes."
        ),
    )
    behaviour: tuple[Behaviour, ...] = Field(
        SOURCES,
        description=(
            "What besides purchases features are made of, where the ledger has it: tickets, returns (refunds), contracts, "
            "and tables that hold behaviour."
        ),
    )
    about: tuple[str, ...] = Field(
        (),
        description=(
            "What customers tables say of customers, by name, that was known when they first bought. What was written "
            "down later would tell the future; nobody can see that in a table without dates."
        ),
    )
    max_features: int = Field(
        30,
        ge=1,
        description="The most features that a machine may learn from: those that go most with what came, before the origin.",
    )
    decide_on: Literal["purchases", "revenue"] = Field(
        "purchases",
        description="Whose squared error per customer decides between the machine and the processes.",
    )
    interval: float = Field(
        0.9, description="Probability of the intervals of differences in error: 0.9 is nine times in ten."
    )
    bootstrap: int = Field(
        1000, ge=200, description="Times that customers are drawn anew for these intervals."
    )
    seed: int = Field(20240117, description="Of the machine, of permutations, and of these draws.")
    trials: tuple[NewVariableSection, ...] = Field(
        (),
        description=(
            "New variables on trial, in the order in which they were written down; entries are only ever added. The first "
            "is tried at a level of 2.5 %, the k-th at 5 % / (k (k + 1)), so that all of them together accept noise "
            "at most one time in twenty."
        ),
    )

    @field_validator("interval")
    @classmethod
    def _interval(cls, value: float) -> float:
        if not 0 < value < 1:
            raise RuleBroken("must be a probability between 0 and 1", rate_hint(value))
        return value

    @model_validator(mode="after")
    def _trials_are_compared(self) -> "ChallengerSection":
        if self.trials and self.use == "none":
            raise RuleBroken(
                "must be compare where there are trials",
                "a trial compares forecasts with and without a feature",
                at="use",
            )
        return self


def require_challenger(section: ChallengerSection, about: "Collection[str]") -> None:
    """Refuse what customers tables do not say; ``about`` are the names of what they do.

    Raises
    ------
    RuleBroken : says what.
    """
    for place, name in enumerate(section.about):
        if name not in about:
            raise RuleBroken(
                f"names {name!r}, which no customers table has",
                did_you_mean(name, about)
                or "describe a source that holds customers, with accounts and about: {name: column}",
                at=("about", place),
            )
