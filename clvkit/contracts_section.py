"""What a study says of its contracts, and of whether customers can be seen to leave."""

from datetime import date
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from clvkit.ledger.side_fields import source_that_holds
from clvkit.rules import RuleBroken
from clvkit.section import Section

if TYPE_CHECKING:
    from clvkit.ledger.section import LedgerSection

BusinessModel = Literal["auto", "contractual", "non_contractual", "hybrid"]
Period = Literal["month", "quarter", "half_year", "year"]
MONTHS: dict[str, int] = {"month": 1, "quarter": 3, "half_year": 6, "year": 12}


class ContractsSection(Section):
    """Where the contracts stand, when they can be left, and what one relation is."""

    source: str | None = Field(
        None,
        description="The source that holds contracts; null: none are used, even where the ledger has some.",
    )
    period: Period = Field(
        "month",
        description=(
            "From renewal to renewal: a contract can be left when one ends, counted from its first day (month, quarter, "
            "half_year or year)."
        ),
    )
    end_is: Literal["last_day", "first_day_after"] = Field(
        "last_day",
        description="What the date in the field end is: the last day of a contract, or the first without it.",
    )
    win_back_days: int = Field(
        31,
        ge=0,
        description=(
            "A contract that follows the last one of the same customer after at most so many days goes on with it (a pause, "
            "another plan); later, it is a win-back, a relation of its own. Unit: days."
        ),
    )
    observed_from: date | None = Field(
        None,
        description=(
            "First day on which an end would have been recorded; contracts that ended before it are not in the data. null: "
            "every contract was recorded from its start."
        ),
    )


def require_contracts(section: ContractsSection, ledger: "LedgerSection") -> None:
    """Refuse a source that does not exist, or holds something else.

    Raises
    ------
    RuleBroken : says which.
    """
    if section.source is None:
        return
    source = source_that_holds("contracts", section.source, ledger, at="source")
    if source.account_space is None:
        raise RuleBroken(
            f"names {section.source!r}, which has no account_space: nobody knows whose accounts its customers are",
            f"add it under ledger.sources.{section.source}",
            at="source",
        )
    if "end" not in source.fields:
        raise RuleBroken(
            f"names {section.source!r}, which has no field end: without it nobody could be seen to leave",
            f"add end under ledger.sources.{section.source}.fields; running contracts leave it empty",
            at="source",
        )
