"""What the ledger chapter's exhibits share: the rows counted once, and reasons and amounts in words."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import ibis
import pandas as pd

from clvkit import numbers
from clvkit.ledger.currencies import digits_of
from clvkit.ledger.reasons import STATES, meaning

if TYPE_CHECKING:
    from clvkit.ledger import Ledger

#: What a reason is called beside a bar; reasons that a study names are called so there too.
SHORT = {
    "row_unparseable": "damaged lines",
    "customer_missing": "no customer",
    "date_missing": "no date",
    "date_unreadable": "unreadable dates",
    "date_before_earliest": "dates too early",
    "date_after_extract": "dates after the extract",
    "amount_missing": "no amount",
    "amount_unreadable": "unreadable amounts",
    "amount_out_of_range": "amounts out of range",
    "amount_zero": "amounts of zero",
    "amount_negative": "negative amounts",
    "currency_unknown": "unknown currencies",
    "guest": "guests",
    "erased": "erased persons",
    "duplicate_line": "copies of rows",
    "overlap": "rows that two files have",
    "superseded": "rows that were corrected later",
    "refund_unmatched": "refunds without a sale",
    "returned_in_full": "orders returned in full",
    "known_after_as_of": "known after the as-of date",
    "after_as_of": "after the as-of date",
}
_ORDER = (*[reason for reason in SHORT if reason not in ("guest", "erased")],)


def groups(ledger: "Ledger") -> pd.DataFrame:
    """The rows added up, as :func:`added_up` does it, once for all exhibits of a ledger."""
    if "states" not in ledger.frames:
        ledger.frames["states"] = added_up(ledger)
    return ledger.frames["states"].copy()


def added_up(ledger: "Ledger") -> pd.DataFrame:
    """The rows added up: one line per source, state, reason and currency.

    Returns ``source, state, reason`` (empty for used rows), ``currency`` (empty where it is unknown), ``negative`` (the
    amount is below zero), ``rows``, ``amount_minor`` (in minor units of its currency), ``value_minor`` (in the study's),
    ``unreadable`` (rows without an amount), ``unconverted`` and ``unconverted_minor`` (rows with an amount and no value).
    """
    rows = ledger.rows
    readable = rows.amount_minor.notnull()
    lost = readable & rows.value_minor.isnull()
    keys = {
        "source": rows.source,
        "state": rows.state,
        "reason": rows.reason.fill_null(""),
        "currency": rows.currency.fill_null(""),
        "negative": (rows.amount_minor < 0).fill_null(False),
    }
    grouped = rows.group_by(**keys).agg(
        rows=rows.count().cast("int64"),
        amount_minor=rows.amount_minor.sum().fill_null(0).cast("int64"),
        value_minor=rows.value_minor.sum().fill_null(0).cast("int64"),
        unreadable=(~readable).sum().fill_null(0).cast("int64"),
        unconverted=lost.sum().fill_null(0).cast("int64"),
        unconverted_minor=ibis.ifelse(lost, rows.amount_minor, 0).sum().fill_null(0).cast("int64"),
    )
    # sorted here, as engines disagree about the order of texts
    return grouped.to_pyarrow().to_pandas().sort_values([*keys], ignore_index=True)


def modelled_minor(ledger: "Ledger") -> int:
    """What is modelled, in minor units of the study's currency: used and merged rows, whatever they were booked in."""
    sums = ledger.totals["amount"]
    if set(sums) <= {ledger.currency}:
        own = sums.get(ledger.currency, {"used": 0, "merged": 0})
        return round((own["used"] + own["merged"]) * 10**ledger.minor_digits)
    found = groups(ledger)
    return int(found.loc[found["state"].isin(("used", "merged")), "value_minor"].sum())


def currencies(found: pd.DataFrame, ledger: "Ledger") -> list[str]:
    """The currencies of the rows, the study's own first."""
    return [ledger.currency, *sorted(set(found["currency"]) - {ledger.currency, ""})]


def in_order(found: pd.DataFrame) -> list[tuple[str, str]]:
    """The (state, reason) pairs that take rows away, in the order in which the ledger takes them away."""
    pairs = set(zip(found["state"], found["reason"], strict=True))
    states = ("quarantined", "excluded", "later")
    known = {reason: place for place, reason in enumerate(_ORDER)}
    gone = [pair for pair in pairs if pair[0] in states]
    return sorted(gone, key=lambda pair: (states.index(pair[0]), known.get(pair[1], -1), pair[1]))


def short(reason: str) -> str:
    """A reason in two or three words."""
    _, _, name = reason.partition(":")
    return name or SHORT.get(reason) or reason.replace("_", " ")


def step_words(reason: str) -> str:
    """Why rows were taken away, as a sentence begins: ``A copy of an earlier row``."""
    words = meaning(reason)
    return words[:1].upper() + words[1:]


def state_order(state: str) -> int:
    """Place of a state in the ledger's own order."""
    return STATES.index(state)


def amount(minor: int, currency: str) -> str:
    """An amount to the minor unit, as a controller compares it: ``EUR 1,234.50``."""
    digits = digits_of(currency)
    return numbers.money(int(minor) / 10**digits, currency, "one", digits)


def amounts(minor: Mapping[str, int]) -> str:
    """Amounts in several currencies: ``EUR 10.00, CHF 5.00 and GBP 1.00``."""
    return listed(amount(one, code) for code, one in minor.items())


def listed(words: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *most, last = list(words)
    return f"{', '.join(most)} and {last}" if most else last


def count(number: int, noun: str) -> str:
    """``1 row``, ``2,000 rows``."""
    return f"{numbers.count(number)} {noun}" + ("" if number == 1 else "s")


def are(number: int) -> str:
    """``is`` or ``are``."""
    return "is" if number == 1 else "are"
