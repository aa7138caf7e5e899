"""Cohorts: customers grouped by the period of their first purchase."""

from typing import Literal

from pydantic import Field

from clvkit.section import Section

Grain = Literal["day", "week", "month", "quarter"]


class CohortsSection(Section):
    """How customers are grouped by the date of their first purchase."""

    grain: Grain = Field("month", description="Calendar period that a cohort's first purchases share.")
