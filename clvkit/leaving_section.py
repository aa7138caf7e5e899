"""What a study says of how leaving is analysed: drivers, what may never be one, and which ends are no choice."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from clvkit.rules import RuleBroken, did_you_mean, listed
from clvkit.section import Section

if TYPE_CHECKING:
    from clvkit.ledger.section import LedgerSection

#: Drivers that every source of contracts may have.
OWN = ("plan", "fee")


class LeavingSection(Section):
    """Fields of the section ``contracts`` that decide how survival is analysed, and nothing of what a relation is."""

    drivers: tuple[str, ...] = Field(
        (),
        description=(
            "What may make customers leave sooner or later: plan, fee (a month), and names that `about` of the source of contracts or "
            "of customers tables gives. Each must have been known when the relation began."
        ),
    )
    stratify_by: tuple[str, ...] = Field(
        (),
        description=(
            "Those of the drivers whose multiplier changes with tenure: their levels get a hazard of their own instead of a "
            "multiplier."
        ),
    )
    protected: tuple[str, ...] = Field(
        (),
        description=(
            "Names that may never be a driver nor a segment, such as gender or age. They are kept, so that one can look at whether groups are "
            "treated alike."
        ),
    )
    involuntary: tuple[str, ...] = Field(
        (),
        description="Reasons of an end that are no choice to leave, as they are written: [payment_failed, deceased].",
    )
    tenure_in: Literal["month", "day"] | None = Field(
        None,
        description=(
            "What tenure is counted in where survival is analysed: month, or day; null: days where contracts may be left on any "
            "(`time`), else months."
        ),
    )
    mean_within: int | None = Field(
        None,
        ge=1,
        description=(
            "The mean lifetime counts so much of the first of it. Unit: months or days, as `tenure_in` says; null: as long as ten of "
            "each group were watched."
        ),
    )
    began_in: Literal["month", "quarter", "year"] = Field(
        "quarter",
        description="Relations are compared by when they began: by month, quarter or year.",
    )

    @property
    def axis(self) -> Literal["month", "day"]:
        """What tenure is counted in."""
        return self.tenure_in or ("day" if getattr(self, "time", None) == "continuous" else "month")


def known_names(ledger: "LedgerSection", source: str) -> list[str]:
    """What is said of contracts and their customers: names of ``about``, and the fields region and segment of customers."""
    sources = ledger.by_name()
    people = [one for one in sources.values() if one.holds == "customers" and one.accounts]
    said = {name for one in people for name in (*one.about, *({"region", "segment"} & set(one.fields)))}
    return sorted(said | set(sources[source].about))


def require_drivers(section: LeavingSection, ledger: "LedgerSection", source: str) -> None:
    """Refuse drivers that nobody knows or that are protected, and strata that are no drivers.

    Raises
    ------
    RuleBroken : says which.
    """
    known, fields = known_names(ledger, source), ledger.by_name()[source].fields
    may_be = [name for name in OWN if name in fields] + known
    for at, name in enumerate(section.protected):
        if name in OWN or name not in known:
            raise RuleBroken(
                f"names {name!r}, which neither the source {source!r} nor a customers table says under about",
                did_you_mean(name, known) or (f"there are {listed(known)}" if known else "add it there"),
                at=("protected", at),
            )
    for at, name in enumerate(section.drivers):
        if name in section.protected:
            raise RuleBroken(
                f"names {name!r}, which contracts.protected keeps out of every model",
                "leave it out of one of the two",
                at=("drivers", at),
            )
        if name not in may_be:
            raise RuleBroken(
                f"names {name!r}, which neither the source {source!r} nor a customers table has",
                did_you_mean(name, may_be)
                or (f"there are {listed(may_be)}" if may_be else "add it under about"),
                at=("drivers", at),
            )
        if name in section.drivers[:at]:
            raise RuleBroken(f"names {name!r} twice", at=("drivers", at))
    for at, name in enumerate(section.stratify_by):
        if name not in section.drivers:
            raise RuleBroken(
                f"must be among the drivers (got {name!r})",
                did_you_mean(name, section.drivers) or "add it to contracts.drivers too",
                at=("stratify_by", at),
            )
    parts = getattr(section, "segment_by", None)
    if parts in section.protected:
        raise RuleBroken(
            f"names {parts!r}, which contracts.protected keeps out of every model",
            "leave it out of one of the two",
            at="segment_by",
        )
