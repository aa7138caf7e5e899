"""Why a row ended in its state: the rules in words, and what to try when many rows break one."""

from collections import Counter
from datetime import datetime

from clvkit.ledger.section import SourceSection

STATES = ("used", "merged", "later", "excluded", "quarantined")

WORDS = {
    "": "a purchase",
    "same_day": "another row of the same customer on the same day; its amount is added to the first",
    "after_as_of": "dated after the as-of date: kept for the hold-out",
    "duplicate_line": "a copy of an earlier row",
    "amount_negative": "a negative amount",
    "amount_zero": "an amount of zero",
    "row_unparseable": "the line does not split into the columns of its header",
    "customer_missing": "no customer",
    "date_missing": "no date",
    "date_unreadable": "the date does not follow ledger.date_format",
    "date_before_earliest": "the date lies before ledger.earliest",
    "date_after_extract": "the date lies after the day the extract was made",
    "amount_missing": "no amount",
    "amount_unreadable": "the amount is not a number",
    "amount_out_of_range": "the amount is too large to be one",
    "currency_unknown": "the currency is not a code of ISO 4217",
    "quantity_sign": "fewer than no pieces for more than nothing: neither a sale nor a return",
    "known_after_as_of": "not yet known to its source on the as-of date",
    "overlap": "an earlier file has the same row; it counts once",
    "superseded": "a later file says something else of the same line; the later one counts",
    "guest": "no customer: a guest, who is reported and not modelled",
    "erased": "a person who was erased: the amount stays, and names nobody",
    "refund": "a refund, taken off the order that it belongs to",
    "refund_unmatched": "a refund that no earlier purchase of the customer explains",
    "returned_in_full": "a purchase that was returned whole, and its refund",
}
_POLICIES = {
    "customer": "an account that the study leaves out",
    "product": "no sale, by the study's list of product codes",
}


def meaning(reason: str) -> str:
    """A reason in words; ``product:postage`` is one that a study names."""
    kind, _, name = reason.partition(":")
    return f"{_POLICIES[kind]}: {name}" if name else WORDS[reason]


_DATE_FORMATS = (
    "%Y-%m-%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%Y/%m/%d",
    "%Y%m%d",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%S%z",
    "%d.%m.%Y %H:%M",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M",
    "%d %b %Y",
    "%b %d %Y",
    "%d.%m.%y",
    "%m/%d/%y",
    "%d/%m/%y",
)


def hint(reason: str, values: list[str | None], section: SourceSection) -> str:
    """What to try when rows break the rule ``reason``; ``values`` are texts that broke it."""
    texts = [v for v in values if v]
    if reason == "date_unreadable" and (form := _format_of(texts)):
        return f'set ledger.date_format: "{form}", which reads the dates in question, such as {texts[0]!r}'
    if reason == "amount_unreadable":
        other = "," if section.decimal == "." else "."
        if texts and all(t.rsplit(other, 1)[-1].isdigit() and other in t for t in texts):
            return f'set ledger.decimal: "{other}" if amounts such as {texts[0]!r} use it as decimal sign'
        return (
            "look at the examples that `clv check` prints; a currency sign or a word must go from the source"
        )
    if reason == "row_unparseable":
        return (
            "look at the examples that `clv check` prints: a delimiter inside a field needs quotes around the "
            "field, and every line as many fields as the header"
        )
    if reason == "date_after_extract":
        return "set ledger.extracted to the day the extract was made, or correct the dates"
    return {
        "customer_missing": "check ledger.columns.customer; if these rows are guests, ledger.guests: exclude "
        "reports their money and values nobody for it",
        "date_missing": "check ledger.columns.date, and how the export writes dates",
        "date_before_earliest": "check ledger.date_format (%y or %Y), or set ledger.earliest",
        "amount_missing": "check ledger.columns.amount, and how the export writes empty amounts",
        "quantity_sign": "ask how the source writes returns: an amount below zero, or only the quantity",
        "amount_out_of_range": "check ledger.columns.amount: it may name a number that is not an amount",
    }.get(reason, "look at the examples that `clv check` prints")


def _format_of(texts: list[str]) -> str | None:
    """The usual format that reads most of ``texts``, if one reads at least half of them."""
    votes = Counter()
    for text in texts:
        for form in _DATE_FORMATS:
            try:
                datetime.strptime(text, form)
            except ValueError:
                continue
            votes[form] += 1
    best = votes.most_common(1)
    return best[0][0] if best and best[0][1] * 2 >= len(texts) else None
