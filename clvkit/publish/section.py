"""The study's section on the report."""

import calendar
from datetime import date

from pydantic import Field

from clvkit.section import Section


class ReportSection(Section):
    """What the published report says about itself."""

    use_for_months: int = Field(
        3,
        ge=1,
        description=(
            "How long the report may be used after the as-of date; page one prints the date. Unit: months."
        ),
    )


def months_after(day: date, months: int) -> date:
    """The same day some months later, or the last one of a shorter month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
