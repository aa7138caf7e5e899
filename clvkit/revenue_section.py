"""What a study says of how revenue retention is counted."""

from typing import Literal

from pydantic import Field

from clvkit.section import Section

Convention = Literal["win_backs_new", "win_backs_expansion", "without_contraction"]
RevenuePeriod = Literal["month", "quarter", "year"]


class RevenueRetentionSection(Section):
    """The convention of gross and net revenue retention, and the period they are counted by."""

    convention: Convention = Field(
        "win_backs_new",
        description=(
            "win_backs_new: who comes back counts as a new customer, outside of net retention; win_backs_expansion: who comes "
            "back counts as expansion, inside of it; without_contraction: as win_backs_new, but smaller fees are left out of "
            "both rates, as some publish it: they are then too high wherever fees shrink."
        ),
    )
    period: RevenuePeriod = Field("quarter", description="Movements are shown by month, quarter or year.")
