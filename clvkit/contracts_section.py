"""What a study says of its contracts, and of whether customers can be seen to leave."""

from datetime import date
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from clvkit.leaving_section import LeavingSection, require_drivers
from clvkit.ledger.side_fields import source_that_holds
from clvkit.revenue_section import RevenueRetentionSection
from clvkit.rules import RuleBroken, did_you_mean, listed

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.ledger.bills import Billing
    from clvkit.ledger.section import LedgerSection

BusinessModel = Literal["auto", "contractual", "non_contractual", "hybrid"]
Period = Literal["month", "quarter", "half_year", "year", "two_years", "three_years"]
MONTHS: dict[str, int] = {
    "month": 1, "quarter": 3, "half_year": 6, "year": 12, "two_years": 24, "three_years": 36,
}  # fmt: skip


class ContractsSection(LeavingSection):
    """Where the contracts stand, when they can be left, and what one relation is."""

    source: str | None = Field(
        None,
        description="The source that holds contracts; null: none are used, even where the ledger has some.",
    )
    period: Period = Field(
        "month",
        description=(
            "From renewal to renewal: a contract can be left when one ends, counted from its first day (month, quarter, "
            "half_year, year, two_years or three_years). It is paid in advance."
        ),
    )
    periods: dict[str, Period] = Field(
        default_factory=dict,
        description=(
            "The period of plans that are not billed by `period`, by plan: {Annual: year, Two years: two_years}. A field "
            "`period` of the source, in which a contract says its own, goes before both."
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
    future_end: Literal["leaves", "renewal_due"] = Field(
        "leaves",
        description=(
            "What an end after the as-of date says: leaves: the contract was cancelled for that day; renewal_due: it is written "
            "for a term, at whose end it may be renewed."
        ),
    )
    notice_days: int = Field(
        0,
        ge=0,
        description=(
            "An end is announced at least so many days ahead: until then a contract that nobody has cancelled by the as-of "
            "date is sure to be paid. Unit: days."
        ),
    )
    trial_plans: tuple[str, ...] = Field(
        (),
        description=(
            "Plans that are trials, and no relation that renews. A contract with a fee of 0, or whose status is trial, is one "
            "as well."
        ),
    )
    segment_by: str | None = Field(
        None,
        description=(
            "What parts customers whose chances of leaving may differ: plan (the one a relation began with), or a name that "
            "`about` of the source gives; null: all have the same model."
        ),
    )
    time: Literal["periods", "continuous"] = Field(
        "periods",
        description=(
            "When contracts can be left: periods: at a renewal; continuous: on any day, what was paid too much being given back; "
            "then they are valued by a lifetime distribution, a fee being spread evenly over its period."
        ),
    )
    fee_growth: float = Field(
        0.0,
        gt=-0.5,
        lt=0.5,
        description=(
            "By how much fees are assumed to grow in a year, as a fraction; 0: they stay what they are. 0.02 is 2 % a year."
        ),
    )
    observed_from: date | None = Field(
        None,
        description=(
            "First day on which an end would have been recorded; contracts that ended before it are not in the data. null: "
            "every contract was recorded from its start."
        ),
    )
    revenue_retention: RevenueRetentionSection = Field(
        default_factory=RevenueRetentionSection,
        description="How gross and net retention of recurring revenue are counted.",
    )

    left_within: Period | None = Field(
        None,
        description=(
            "Of a snapshot (tenure and left instead of dates): those who have left did so within so long before the extract "
            "(month, quarter, half_year or year), and whoever left earlier is not in it. null: everybody who ever came is."
        ),
    )


def as_watched(section: ContractsSection, extracted: date | None) -> ContractsSection:
    """The section with ``observed_from``, where it says it as ``left_within`` of a snapshot made on that day."""
    if section.left_within is None or extracted is None:
        return section
    return section.model_copy(update={"observed_from": months_before(extracted, MONTHS[section.left_within])})


def months_before(day: date, months: int) -> date:
    """The same day so many months earlier, or the last of that month where it is shorter."""
    from calendar import monthrange

    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def billing(section: ContractsSection) -> "Billing":
    """How the contracts of a study are billed, for a source of bills in its ledger."""
    from clvkit.ledger.bills import Billing

    return Billing(
        MONTHS[section.period],
        tuple((plan, MONTHS[period]) for plan, period in section.periods.items()),
        section.end_is == "last_day",
        section.trial_plans,
        _read_months,
    )


def _read_months(text: "pd.Series") -> "pd.Series":
    from clvkit.contract_calendar import read_months

    return read_months(text)


def require_contracts(section: ContractsSection, ledger: "LedgerSection") -> None:
    """Refuse a source that does not exist, or holds something else.

    Raises
    ------
    RuleBroken : says which.
    """
    if section.source is None:
        return
    source = source_that_holds("contracts", section.source, ledger, at="source")
    if section.left_within is not None and "tenure" not in source.fields:
        raise RuleBroken(
            f"belongs to a snapshot, with tenure and left, and {section.source} has dates",
            "say with contracts.observed_from since when ends were recorded",
            at="left_within",
        )
    if section.left_within is not None and section.observed_from is not None:
        raise RuleBroken("and observed_from say the same in two ways", "keep one of them", at="left_within")
    if source.account_space is None:
        raise RuleBroken(
            f"names {section.source!r}, which has no account_space: nobody knows whose accounts its customers are",
            f"add it under ledger.sources.{section.source}",
            at="source",
        )
    if source.holds == "contracts" and not {"end", "left"} & set(source.fields):
        raise RuleBroken(
            f"names {section.source!r}, which has no field end: without it nobody could be seen to leave",
            f"add end under ledger.sources.{section.source}.fields; running contracts leave it empty (or tenure and left, of a snapshot)",
            at="source",
        )
    if section.segment_by not in (None, "plan", *source.about):
        known = ("plan", *source.about)
        raise RuleBroken(
            f"names {section.segment_by!r}, which the source {section.source!r} does not say of its contracts",
            did_you_mean(section.segment_by, known) or f"it says {listed(known)}",
            at="segment_by",
        )
    require_drivers(section, ledger, section.source)
