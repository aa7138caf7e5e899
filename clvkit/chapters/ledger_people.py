"""Who is who: accounts joined to customers, guests, and whom the rules of inclusion leave out."""

from typing import TYPE_CHECKING

import pandas as pd

from clvkit import numbers
from clvkit.chapters.history import funnel as funnel_table
from clvkit.chapters.ledger_words import amount, amounts, are, count, groups, listed
from clvkit.exhibits import Sentence, Table

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from clvkit.ledger import Ledger, LedgerSection

REVIEWED = 10  # entries of the review list shown
_REASONS = {
    "shared": "shared by more accounts than one person has",
    "oversize": "would make one customer of very many accounts",
    "bridge": "alone joins two groups of accounts",
    "conflict": "says otherwise than the crosswalk",
}
_EVENTS = {"merge": "two customers became one", "split": "one customer became two"}


def identity(ledger: "Ledger") -> list[Table | Sentence]:
    """How many accounts are one customer, what changed, what waits for a review, and what the merging changes."""
    sizes = ledger.frames.get("identity_sizes")
    if sizes is None or sizes.empty:
        return [
            Sentence(
                "**Accounts**: every account counts as one customer; the study names no keys that could join two."
            )
        ]
    people, accounts = int(sizes["customers"].sum()), int((sizes["accounts"] * sizes["customers"]).sum())
    joined = int(sizes.loc[sizes["accounts"] > 1, "customers"].sum())
    frame = sizes.assign(share=sizes["customers"] / people)
    table = Table(
        "identity_sizes",
        frame,
        f"{count(accounts, 'account')} are {count(people, 'customer')}; {count(joined, 'customer')} {'has' if joined == 1 else 'have'} several",
        "Customers by number of accounts in all sources of orders and customers, whether they have bought or not.",
        formats={"accounts": "count", "customers": "count", "share": "percent"},
        labels={"accounts": "Accounts", "customers": "Customers", "share": "Of the customers"},
    )
    return [table, *_effect(ledger), _events(ledger), *_review(ledger)]


def _effect(ledger: "Ledger") -> list[Table]:
    """What merging changes.

    Needs the frame ``identity_effect``: one row for ``accounts`` and one for ``customers`` (in ``counted_as``) with
    ``customers``, ``purchases`` (days with a purchase) and ``once`` (who bought on one day only), up to the as-of date.
    """
    found = ledger.frames.get("identity_effect")
    if found is None or found.empty:
        return []
    by = found.set_index("counted_as").loc[["accounts", "customers"]]
    frame = pd.DataFrame({
        "counted_as": ["every account by itself", "accounts joined"],
        "customers": by["customers"].to_numpy(),
        "purchases": by["purchases"].to_numpy(),
        "each": (by["purchases"] / by["customers"]).to_numpy(),
        "once": (by["once"] / by["customers"]).to_numpy(),
    })  # fmt: skip
    apart, together = frame["once"]
    return [Table(
        "identity_effect",
        frame,
        f"Without joining accounts, {numbers.percent(apart)} instead of {numbers.percent(together)} would have bought once",
        f"Customers and purchases up to {numbers.date_words(ledger.as_of)}, with accounts apart and joined.",
        formats={"customers": "count", "purchases": "count", "each": "number:2", "once": "percent"},
        labels={"counted_as": "Counted as", "customers": "Customers", "purchases": "Purchases", "each": "Purchases each", "once": "Bought once"},
        note="Two purchases of a day by two accounts of one person become one. A person left in two halves looks like one "
        "customer who was lost and one who is new.",
    )]  # fmt: skip


def _events(ledger: "Ledger") -> Sentence:
    found = ledger.frames["identity_events"]
    if found.empty:
        return Sentence("No customer known from an earlier run was merged with another or split.")
    said = [
        f"{numbers.count(int(here['events'].sum()))} times {_EVENTS[event]}"
        for event, here in found.groupby("event")
    ]
    return Sentence(
        f"Since the first run of this study, {listed(said)}: figures of single customers changed with them."
    )


def _review(ledger: "Ledger") -> list[Table | Sentence]:
    found = ledger.frames["identity_review"]
    if found.empty:
        return [Sentence("No link between accounts waits for somebody to look at it.")]
    frame = pd.DataFrame({
        "reason": found["reason"].map(_REASONS),
        "kind": found["kind"],
        "value": found["value"],
        "accounts": found["accounts"],
        "links": found["links"].map({True: "joined all the same", False: "not joined"}),
    }).head(REVIEWED)  # fmt: skip
    more = f" The first {REVIEWED} of {len(found)}." if len(found) > REVIEWED else ""
    return [Table(
        "identity_review",
        frame,
        f"{count(len(found), 'link')} between accounts should be looked at",
        f"Values that link accounts in a doubtful way, masked.{more}",
        formats={"accounts": "count"},
        labels={"reason": "Why", "kind": "Key", "value": "Value, masked", "accounts": "Accounts that have it", "links": "What was done"},
        note="Settle a case with a line in a crosswalk (`ledger.identity.crosswalk`), or with the value under `ignore`.",
    )]  # fmt: skip


def guests(ledger: "Ledger") -> list[Sentence]:
    """Lines and money that belong to nobody."""
    found = groups(ledger)
    found = found[found["reason"].isin(("guest", "customer_missing")) & (found["currency"] != "")]
    if found.empty:
        return [Sentence("**Guests**: every line names a customer.")]
    rows, value = int(found["rows"].sum()), int(found["value_minor"].sum())
    sums = found.groupby("currency", sort=False)["amount_minor"].sum().to_dict()
    together = f", together {amount(value, ledger.currency)}" if len(sums) > 1 else ""
    whole = int(groups(ledger)["value_minor"].sum())
    share = f", {numbers.percent(value / whole)} of the money that came in" if whole > 0 else ""
    return [Sentence(
        f"**Guests**: {count(rows, 'line')} with {amounts(sums)}{together}{share}, {are(rows)} of nobody the ledger knows. "
        "This money is in no customer's value; some of it may be of customers who are modelled and did not sign in.")]  # fmt: skip


def inclusion(ledger: "Ledger", everybody: "ir.Table", section: "LedgerSection") -> list[Table | Sentence]:
    """Customers, purchases and revenue by rule of inclusion; a sentence where the study has no rule."""
    from clvkit.ledger.inclusion import InclusionSection, funnel

    customers = count(ledger.totals["customers"], "customer")
    if section.inclusion == InclusionSection():
        return [
            Sentence(
                f"**Inclusion**: no rule leaves anybody out; all {customers} of the ledger are modelled."
            )
        ]
    return [funnel_table(funnel(everybody, section.inclusion), ledger.currency, ledger.minor_digits)]
