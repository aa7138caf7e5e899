"""The ledger's checks in groups, and what of it would worry us, with what to do about it."""

from typing import TYPE_CHECKING

from clvkit import numbers
from clvkit.chapters.ledger_words import amount, are, count, groups
from clvkit.exhibits import Sentence

if TYPE_CHECKING:
    from clvkit.checks import Check
    from clvkit.ledger import Ledger, LedgerSection

#: Groups of checks by the beginnings of their names; what fits none is about how rows were read.
_GROUPS = {
    "ties": ("ledger.rows_balance", "ledger.money_balances", "ledger.control", "ledger.books"),
    "history": ("ledger.as_of", "history."),
}
MOST_ESTIMATED = 0.5  # of net revenue, above which a ladder rests on estimates
MOST_GUESTS = 0.05  # of the money that came in


def checks(ledger: "Ledger", group: str) -> "list[Check]":
    """The checks of one group: ``ties``, ``history`` or ``rows``; together, every check once."""
    return [check for check in ledger.checks if _group(check.id) == group]


def _group(check_id: str) -> str:
    return next((name for name, starts in _GROUPS.items() if check_id.startswith(starts)), "rows")


def worries(ledger: "Ledger", section: "LedgerSection") -> Sentence:
    """What this ledger gives reason to worry about, the gravest first, with what to do."""
    order = {"fail": 0, "review": 1}
    found = [(order[check.status], f"**{check.title}.** {check.message}", check.recommendation)
             for check in ledger.checks if check.status in order]  # fmt: skip
    found += [(2, said, advice) for said, advice in _facts(ledger, section)]
    if not found:
        return Sentence("Nothing in this ledger stands out. What it cannot show is below.")
    lines = [f"- {said}" + (f" *What to do:* {advice}" if advice else "")
             for _, said, advice in sorted(found, key=lambda one: one[0])]  # fmt: skip
    return Sentence("In this ledger:\n\n" + "\n".join(lines))


def _facts(ledger: "Ledger", section: "LedgerSection") -> list[tuple[str, str]]:
    """What no check tells: pairs of what was found and what to do."""
    return [
        *_no_control(ledger),
        *_guests(ledger),
        *_unconverted(ledger),
        *_review(ledger),
        *_estimated(ledger),
    ]


def _no_control(ledger: "Ledger") -> list[tuple[str, str]]:
    outside = ("ledger.control", "ledger.books")
    if any(c.status != "info" for c in ledger.checks if c.id.startswith(outside)):
        return []
    return [(
        "**Nobody outside vouches for the extract.** No control total was declared, so a file that was cut short would not show.",
        "Ask finance for the revenue of the period, and write it as `control_total` of the source.")]  # fmt: skip


def _guests(ledger: "Ledger") -> list[tuple[str, str]]:
    found = groups(ledger)
    value = int(found.loc[found["reason"].isin(("guest", "customer_missing")), "value_minor"].sum())
    whole = int(found["value_minor"].sum())
    if whole <= 0 or value / whole < MOST_GUESTS:
        return []
    return [(
        f"**{numbers.percent(value / whole)} of the money is of guests**, {amount(value, ledger.currency)}, and in no customer's value.",
        "Look whether guest orders have an e-mail address or a phone number that could be a key under `identity`.")]  # fmt: skip


def _unconverted(ledger: "Ledger") -> list[tuple[str, str]]:
    found = groups(ledger)
    rows = int(found["unconverted"].sum())
    if not rows:
        return []
    return [(
        f"**{count(rows, 'row')} could not be converted** to {ledger.currency}; {are(rows)} in no sum.",
        "Add the missing rates to the source of rates.")]  # fmt: skip


def _review(ledger: "Ledger") -> list[tuple[str, str]]:
    found = ledger.frames.get("identity_review")
    if found is None or found.empty:
        return []
    waiting = int((~found["links"].astype(bool)).sum())
    if not waiting:
        return []
    return [(
        f"**{count(waiting, 'link')} between accounts {are(waiting)} not used** until somebody has looked: people may stand "
        "in the ledger twice.",
        "Go through the review list above.")]  # fmt: skip


def _estimated(ledger: "Ledger") -> list[tuple[str, str]]:
    found = ledger.frames.get("cost_sources")
    if found is None or found.empty:
        return []
    share = float(found.loc[found["estimated"], "share"].sum())
    if share < MOST_ESTIMATED:
        return []
    return [(
        f"**The cost of {numbers.percent(share)} of net revenue is estimated**, so the margin is hardly more than assumed.",
        "Add unit costs to the source of products, of the products that sell most first.")]  # fmt: skip
