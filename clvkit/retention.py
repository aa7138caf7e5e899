"""Retention: how long customers stay, by survival analysis and by rule."""

from pydantic import Field

from clvkit.section import Section


class RetentionSection(Section):
    """When a silent customer is counted as lost."""

    silence_days: int = Field(180, gt=0, description=(
        "A customer without a purchase for this many days after the last one is counted as lost; "
        "one whose last purchase is more recent is censored. Unit: days."))
