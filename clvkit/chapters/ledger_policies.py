"""What the study decided about rows that are a matter of judgement, and why."""

from typing import TYPE_CHECKING

from clvkit.chapters.ledger_words import amounts, count, listed
from clvkit.exhibits import Sentence

if TYPE_CHECKING:
    from clvkit.ledger import Ledger, LedgerSection


def policies(ledger: "Ledger", section: "LedgerSection") -> Sentence:
    """What becomes of amounts of zero, repeated lines, negative amounts, guests, tax and delivery."""
    rows = ledger.rows
    counted = rows.group_by(rows.currency).agg(
        zero=(rows.amount_minor == 0).sum().fill_null(0).cast("int64"),
        negative=(rows.amount_minor < 0).sum().fill_null(0).cast("int64"),
        negative_minor=rows.amount_minor.sum(where=rows.amount_minor < 0).fill_null(0).cast("int64"),
    )
    found = counted.to_pyarrow().to_pandas()
    found = found.sort_values("currency", key=lambda codes: codes.where(codes != ledger.currency, ""))
    below = {one.currency: one.negative_minor for one in found.itertuples() if one.negative and one.currency}
    copies = next((int(c.value) for c in ledger.checks if c.id == "ledger.duplicates" and c.value), 0)
    guests = rows.filter(rows.reason.isin(("guest", "customer_missing"))).count().execute()
    said = [
        _on_zero(int(found["zero"].sum()), section),
        _on_copies(copies, section),
        _on_negative(int(found["negative"].sum()), below, section),
        *_on_guests(guests, section),
        *on_tax(section),
    ]
    return Sentence("\n\n".join(said))


def _on_zero(rows: int, section: "LedgerSection") -> str:
    title = f"**Amounts of zero** ({count(rows, 'row')})"
    if not rows:
        return "**Amounts of zero**: there are none."
    if section.zero_amounts == "keep":
        return (
            f"{title} count. Somebody who ordered for nothing, with a voucher or as a gift, was there that day. The "
            "count of purchases tells a customer who is silent from one who is not; leaving these orders out would make "
            "their customers look more silent than they were, and move the first day of those who began with one."
        )
    what = "are left out" if section.zero_amounts == "exclude" else "are in quarantine"
    return f"{title} {what}: the study does not take them for purchases."


def _on_copies(rows: int, section: "LedgerSection") -> str:
    title = f"**Lines that repeat an earlier line in full** ({count(rows, 'row')})"
    if not rows:
        return "**Lines that repeat an earlier line in full**: there are none."
    if section.duplicate_lines == "keep":
        return (
            f"{title} stay. Nothing in them tells a second order of the same thing from a recording error. They do not "
            "change how often anybody bought, as all lines of a customer and day make one purchase; what hangs on them "
            "is only their money."
        )
    return f"{title} are left out as copies made by the export. If two of them were two sales, that money is missing."


def _on_negative(rows: int, below: dict[str, int], section: "LedgerSection") -> str:
    if not rows:
        return "**Negative amounts**: there are none, so returns are either not in the data or already taken off the amounts."
    title = f"**Negative amounts** ({count(rows, 'row')} with {amounts(below)})"
    if section.negative_amounts == "net":
        return (
            f"{title} are refunds. Each is taken off the order that it belongs to, on the day of that order: a refund is "
            "no visit, and an order that came back whole is no purchase."
        )
    what = "left out" if section.negative_amounts == "exclude" else "in quarantine"
    return f"{title} are {what}. They are mostly returns: revenue here is before returns, and value is too high by them."


def _on_guests(rows: int, section: "LedgerSection") -> list[str]:
    if not rows:
        return []
    what = "left out" if section.guests == "exclude" else "in quarantine"
    return [
        f"**Lines without a customer** ({count(rows, 'row')}) are {what}. Taken together they would be one customer who "
        "buys every day; nothing says which of them came back."
    ]


def on_tax(section: "LedgerSection") -> list[str]:
    """What is done with tax and delivery, where sources tell them from the goods: one text, or none."""
    known, held = {}, {}
    for name, one in section.by_name().items():
        for what in ("tax", "shipping"):
            if one.is_lines and (what in one.amount_holds or getattr(one.columns, what)):
                known.setdefault(what, []).append(name)
            if one.is_lines and what in one.amount_holds:
                held.setdefault(what, []).append(name)
    said = []
    for what, word in (("tax", "Tax"), ("shipping", "What customers pay for delivery")):
        if what not in known:
            continue
        if getattr(section, what) == "include":
            said.append(f"**{word}** counts in the amounts.")
        elif what in held:
            said.append(
                f"**{word}** does not count: it is taken off the amounts of {listed(held[what])}, which hold it."
            )
        else:
            said.append(f"**{word}** does not count.")
    return [" ".join(said)] if said else []
