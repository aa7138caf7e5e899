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
            "currency": "text",
            "status": "text",
            "reason": "text",
        },
    ),
    "tickets": (
        {"customer": "text", "opened": "date"},
        {"ticket": "text", "closed": "date", "minutes": "number", "topic": "text"},
    ),
    "marketing": ({"date": "date", "amount": "number"}, {"channel": "text", "currency": "text"}),
    "totals": ({"date": "date", "account": "text", "amount": "number"}, {"currency": "text"}),
}


def require_fields(section: "SourceSection") -> None:
    """Refuse a table beside the orders that lacks a field it needs, or names what it cannot have."""
    needed, others = TABLES[section.holds]
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
    if section.account_space and "customer" not in section.fields:
        raise ValueError("account_space belongs to a table with the field customer")


def source_that_holds(kind: str, name: str, ledger: "LedgerSection", *, at: str) -> "SourceSection":
    """The source of that name; ``at`` is the field of a study that names it.

    Raises
    ------
    RuleBroken : no source of that name holds tables of this kind.
    """
    sources = {other: one for other, one in ledger.by_name().items() if one.holds == kind}
    if name not in sources:
        raise RuleBroken(
            f"must be a source that holds {kind} (got {name!r})",
            f"the ledger has {listed(sources)}" if sources else "describe one under ledger.sources",
            at=at,
        )
    return sources[name]
