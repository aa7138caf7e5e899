"""The tables beside the orders: what each kind may hold."""

from typing import TYPE_CHECKING

from clvkit.rules import RuleBroken, did_you_mean, listed

if TYPE_CHECKING:
    from clvkit.ledger.section import LedgerSection, SourceSection

#: The tables beside the orders: their fields, those that must be there first, and what each field is.
TABLES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "customers": ({}, {"region": "text", "segment": "text", "acquired": "date", "registered": "date"}),
    "products": ({"product": "text"}, {"category": "text", "unit_cost": "number", "list_price": "number"}),
    "rates": ({"date": "date", "currency": "text", "rate": "number"}, {}),
    "contracts": (
        {"customer": "text", "start": "date"},
        {
            "contract": "text",
            "end": "date",
            "plan": "text",
            "fee": "number",
            "period": "text",
            "currency": "text",
            "status": "text",
            "reason": "text",
            "tenure": "number",
            "left": "text",
            "paid": "number",
        },
    ),
    "survivors": ({"age": "number", "survivors": "number"}, {"plan": "text", "fee": "number"}),
    "tickets": (
        {"customer": "text", "opened": "date"},
        {"ticket": "text", "closed": "date", "minutes": "number", "topic": "text"},
    ),
    "behaviour": ({"customer": "text", "date": "date"}, {"feature": "text", "value": "number"}),
    "marketing": ({"date": "date", "amount": "number"}, {"channel": "text", "currency": "text"}),
    "totals": ({"date": "date", "account": "text", "amount": "number"}, {"currency": "text"}),
}


#: What says how long customers were under contract: contract by contract, or the survivors of those who began together.
CONTRACTS = ("contracts", "survivors")
#: Of contracts known by how long they have run, on the day of the extract: instead of dates.
SNAPSHOT = ("tenure", "left")


def fields_of(section: "SourceSection") -> tuple[dict[str, str], dict[str, str]]:
    """The fields that a table beside the orders needs, and those that it may have, each with its type.

    Contracts need the day they began, or, in a snapshot, how long they have run and who has left.
    """
    needed, others = TABLES[section.holds]
    if section.holds == "contracts" and "tenure" in section.fields:
        needed = {"customer": "text", **{name: others[name] for name in SNAPSHOT}}
        others = {name: kind for name, kind in others.items() if name not in needed} | {"start": "date"}
    return needed, others


def require_fields(section: "SourceSection") -> None:
    """Refuse a table beside the orders that lacks a field it needs, or names what it cannot have."""
    needed, others = fields_of(section)
    known = needed | others
    if missing := [name for name in needed if name not in section.fields]:
        raise ValueError(f"{section.holds} need the field {missing[0]!r} under fields")
    if unknown := [name for name in section.fields if name not in known]:
        hint = did_you_mean(unknown[0], known) or f"it has {', '.join(known) or 'none'}"
        raise ValueError(f"{section.holds} have no field {unknown[0]!r}; {hint}")
    if section.accounts and section.holds != "customers":
        raise ValueError("accounts belong to a source that holds customers")
    if section.about and section.holds not in ("customers", "contracts"):
        raise ValueError("about belongs to a source that holds customers or contracts")
    if section.about and section.holds == "customers" and not section.accounts:
        raise ValueError(
            "about needs accounts: which column holds the account of which source, such as {orders: customer_id}"
        )
    if section.account_space and section.holds != "survivors" and "customer" not in section.fields:
        raise ValueError("account_space belongs to a table with the field customer")
    if section.holds == "survivors" or "tenure" in section.fields:
        if section.extracted is None:
            raise ValueError("extracted must say on which day this was so: ages count back from it")
        if dated := [name for name in ("start", "end") if name in section.fields]:
            raise ValueError(f"fields: {dated[0]} is a date, and tenure stands instead of dates")


def source_that_holds(kind: str, name: str, ledger: "LedgerSection", *, at: str) -> "SourceSection":
    """The source of that name; ``at`` is the field of a study that names it.

    Raises
    ------
    RuleBroken : no source of that name holds tables of this kind.
    """
    kinds = CONTRACTS if kind == "contracts" else (kind,)
    sources = {other: one for other, one in ledger.by_name().items() if one.holds in kinds}
    if name not in sources:
        raise RuleBroken(
            f"must be a source that holds {kind} (got {name!r})",
            f"the ledger has {listed(sources)}" if sources else "describe one under ledger.sources",
            at=at,
        )
    return sources[name]
