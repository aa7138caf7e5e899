"""Back-tests: the same fit on an earlier date, compared with what then happened."""

from datetime import date
from itertools import pairwise

from pydantic import Field, field_validator

from clvkit.rules import RuleBroken, rate_hint
from clvkit.section import Section


class BacktestSection(Section):
    """The earlier dates that the models are tried from."""

    origins: tuple[date, ...] = Field((), description=(
        "Dates to forecast from with what was known then, earliest first, each before the as-of date. "
        "Empty: no back-test."))
    horizon_days: int | None = Field(None, gt=0, description=(
        "Length of each forecast; null forecasts to the as-of date. Unit: days."))
    interval: float = Field(0.9, description="Probability that forecast intervals are stated for.")

    @field_validator("origins")
    @classmethod
    def _sorted(cls, value: tuple[date, ...]) -> tuple[date, ...]:
        for place, (earlier, later) in enumerate(pairwise(value), start=1):
            if later <= earlier:
                raise RuleBroken(f"must come after the origin before it ({earlier})",
                                 "list the dates from earliest to latest, each once", at=place)
        return value

    @field_validator("interval")
    @classmethod
    def _interval(cls, value: float) -> float:
        if not 0 < value < 1:
            raise RuleBroken("must be a probability between 0 and 1", rate_hint(value))
        return value
