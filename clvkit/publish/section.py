"""The study's section on the report."""

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
