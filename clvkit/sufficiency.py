"""Sufficiency: whether the data can carry the models."""

from pydantic import Field

from clvkit.section import Section


class SufficiencySection(Section):
    """The least data that a study must have before anything is fitted."""

    min_customers: int = Field(100, ge=1, description="Fewest customers. Unit: customers.")
    min_repeat_customers: int = Field(30, ge=1, description=(
        "Fewest customers who bought on at least two days. Unit: customers."))
    min_history_days: int = Field(90, ge=1, description=(
        "Shortest time from the first purchase to the as-of date. Unit: days."))
    max_days_since_last_purchase: int = Field(60, ge=0, description=(
        "Longest time from the last purchase of all to the as-of date; longer means the data look stale. "
        "Unit: days."))
