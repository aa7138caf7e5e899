"""What a study says of acquisition: where it is written how a customer was won, and what was spent on it."""

from typing import TYPE_CHECKING

from pydantic import Field

from clvkit.ledger.side_fields import source_that_holds
from clvkit.rules import RuleBroken, did_you_mean
from clvkit.section import Section

if TYPE_CHECKING:
    from collections.abc import Collection

    from clvkit.ledger.section import LedgerSection


class AcquisitionSection(Section):
    """Which channels won the customers, and where the spend on them stands; both null: nothing is reckoned."""

    by: str | None = Field(
        None,
        description=(
            "What names the channel that won a customer: a name that `about` of a customers table gives, or its field region "
            "or segment; null: nothing is reckoned by channel."
        ),
    )
    spend: str | None = Field(
        None,
        description=(
            "The source that holds marketing, with its fields date, channel and amount; its channels are named as `by` names "
            "them. Every month is taken whole."
        ),
    )


def require_written(section: AcquisitionSection, ledger: "LedgerSection", written: "Collection[str]") -> None:
    """Refuse an attribute that no customers table has, and a source that is no marketing table with channels.

    Raises
    ------
    RuleBroken : says which.
    """
    if section.by is None and section.spend is None:
        return
    for name, other in (("by", "spend"), ("spend", "by")):
        if getattr(section, name) is None:
            raise RuleBroken(f"must have {name} where it has {other}", "give both, or neither")
    if section.by not in written:
        hint = did_you_mean(section.by, written)
        raise RuleBroken(
            f"names {section.by!r}, which no customers table has",
            hint or "describe a source that holds customers, with accounts and about",
            at="by",
        )
    if "channel" not in source_that_holds("marketing", section.spend, ledger, at="spend").fields:
        raise RuleBroken(
            f"names {section.spend!r}, which has no field channel",
            f"add it under ledger.sources.{section.spend}.fields",
            at="spend",
        )
