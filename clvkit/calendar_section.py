"""The calendar of a study: windows of days that were not like others, and a season of purchases."""

from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from clvkit.rules import RuleBroken, listed
from clvkit.section import Section

if TYPE_CHECKING:
    from clvkit.ledger.section import LedgerSection
    from clvkit.promotions import PromotionsSection

Treatment = Literal["ignore", "compress", "estimate"]
TREATMENTS: tuple[Treatment, ...] = ("ignore", "compress", "estimate")
#: Processes that can run on a clock of purchases.
KNOW_A_CLOCK = ("bgnbd", "mbgnbd", "paretonbd")
MONTHS = tuple(range(1, 13))
#: Mean days in each month of the calendar, over leap years.
DAYS_OF_MONTH = (31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class Window(Section):
    """Days on which customers could not buy, or did not buy, as they usually do."""

    first: date = Field(description="First day of the window.")
    last: date = Field(description="Last day of the window, counted in.")
    reason: str = Field(min_length=1, description="What happened then; printed in the report.")
    treatment: Treatment = Field(
        description=(
            "ignore: it is listed, and nothing else; compress: in it the clock of purchases runs at `speed`, so that "
            "silence in it says nothing of a customer; estimate: as compress, with the speed that the data show."
        )
    )
    speed: float = Field(
        0.0,
        ge=0,
        le=100,
        description=(
            "With compress, purchases in the window as a multiple of what is usual: 0 is shut, 0.5 half as many. "
            "Unit: usual days a day."
        ),
    )

    @model_validator(mode="after")
    def _in_order(self):
        if self.last < self.first:
            raise RuleBroken(
                f"must not be before the first day of its window, {self.first}",
                "last is the last day, counted in",
                at="last",
            )
        return self

    @property
    def days(self) -> int:
        """Days in it, both ends counted."""
        return (self.last - self.first).days + 1


class CalendarSection(Section):
    """What acts on the purchases of everybody at once: windows of odd days, and a season."""

    windows: tuple[Window, ...] = Field(
        (),
        description=(
            "Windows of days unlike others, such as a pandemic or an outage, with what to do about each. They are "
            "printed in the report, never flagged as odd, and no part of what is usual."
        ),
    )
    season: Literal["none", "given", "estimate"] = Field(
        "none",
        description=(
            "Season of purchases by calendar month: none; given, by month_factors; estimate: from the data, where two "
            "years of them with acquisition spread over both can tell it from the customers' age."
        ),
    )
    month_factors: dict[int, float] = Field(
        default_factory=dict,
        description=(
            "With season given, purchases in each month of the year as a multiple of what is usual, {1: 0.9, ..., "
            "12: 1.6}; brought to a mean of 1 over a year."
        ),
    )

    @field_validator("windows")
    @classmethod
    def _apart(cls, value: tuple[Window, ...]) -> tuple[Window, ...]:
        order = sorted(range(len(value)), key=lambda k: value[k].first)
        for before, after in pairwise(order):
            if value[after].first <= value[before].last:
                raise RuleBroken(
                    f"must not overlap: {value[before].reason!r} lasts until {value[before].last}, and "
                    f"{value[after].reason!r} begins on {value[after].first}",
                    "part them into windows that follow one another",
                    at=after,
                )
        return value

    @field_validator("month_factors")
    @classmethod
    def _positive(cls, value: dict[int, float], info: ValidationInfo) -> dict[int, float]:
        strange = sorted(set(value) - set(MONTHS))
        if strange:
            raise RuleBroken(f"must be by month, 1 to 12 (there is no month {strange[0]})")
        for month, factor in value.items():
            if factor <= 0:
                raise RuleBroken(
                    f"must be above 0 (month {month} has {factor:g})",
                    "a month in which nothing can be bought is a window of speed 0",
                )
        season = info.data.get("season")
        missing = sorted(set(MONTHS) - set(value))
        if season == "given" and missing:
            raise RuleBroken(
                f"must have all twelve months where season is given (missing: {listed(missing)})",
                "a usual month is 1.0; or let season be none",
            )
        if season in ("none", "estimate") and value:
            raise RuleBroken(
                f"must be empty where season is {season}", "let season be given, or leave the factors out"
            )
        return value

    @property
    def acts(self) -> bool:
        """Whether anything is done about it: purchases then run on a clock of their own."""
        return self.season != "none" or any(one.treatment != "ignore" for one in self.windows)

    @property
    def shares(self) -> dict[int, float]:
        """The given factors by month, with a mean of 1 over a year."""
        return normalised(self.month_factors) if self.season == "given" else dict.fromkeys(MONTHS, 1.0)

    def all_treated(self, treatment: Treatment) -> "CalendarSection":
        """The same calendar with every window treated alike."""
        windows = tuple(one.model_copy(update={"treatment": treatment}) for one in self.windows)
        return self.model_copy(update={"windows": windows})

    def without_season(self) -> "CalendarSection":
        """The same windows, and no season."""
        return self.model_copy(update={"season": "none", "month_factors": {}})


def normalised(factors: dict[int, float]) -> dict[int, float]:
    """Factors by month, brought to a mean of 1 over the days of a year."""
    mean = sum(factors[m] * days for m, days in zip(MONTHS, DAYS_OF_MONTH, strict=True)) / sum(DAYS_OF_MONTH)
    return {m: factors[m] / mean for m in MONTHS}


def with_windows(
    ledger: "LedgerSection", calendar: CalendarSection, promotions: "PromotionsSection"
) -> "LedgerSection":
    """The section of the ledger that takes the windows of the calendar, and promotions, for days known to be odd.

    Such days are no part of what is usual, whatever is done about them elsewhere.
    """
    from clvkit.ledger.anomalies import IgnoreWindow

    known = [(one.first, one.last, one.reason) for one in calendar.windows]
    known += [(one.first, one.last, name) for name, one in promotions.windows.items()]
    if not known:
        return ledger
    more = tuple(IgnoreWindow(first=first, last=last, reason=reason) for first, last, reason in known)
    anomalies = ledger.anomalies.model_copy(update={"ignore": (*ledger.anomalies.ignore, *more)})
    return ledger.model_copy(update={"anomalies": anomalies})
