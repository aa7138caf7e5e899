"""What two files or two sources both have: rows that count once, and whether the two agree month by month."""

from typing import TYPE_CHECKING

import pandas as pd

from clvkit import numbers
from clvkit.chapters.ledger_words import amount, are, count
from clvkit.exhibits import Sentence, Table
from clvkit.ledger.currencies import digits_of

if TYPE_CHECKING:
    from clvkit.ledger import Ledger

MOST_MONTHS = 24
_SAID = {"overlap": "the same in both", "superseded": "corrected by the later file"}


def overlaps(ledger: "Ledger") -> list[Table | Sentence]:
    """Rows that another file has too, by month, and the difference between sources that cover the same days."""
    return [*_rows_twice(ledger), *_difference(ledger)]


def _rows_twice(ledger: "Ledger") -> list[Table | Sentence]:
    found = ledger.frames["overlaps"]
    if found.empty:
        if sum(one["source"] not in ledger.tables for one in ledger.inputs) < 2:
            return []
        return [Sentence("**Overlaps**: no row stands in two files.")]
    rows = int(found["rows"].sum())
    found = found.sort_values(["month", "source", "currency", "reason"])
    frame = pd.DataFrame({
        "month": [f"{month:%B %Y}" for month in pd.to_datetime(found["month"])],
        "source": found["source"].to_numpy(),
        "said": found["reason"].map(_SAID).to_numpy(),
        "rows": found["rows"].to_numpy(),
        "currency": found["currency"].to_numpy(),
        "amount": [minor / 10 ** digits_of(code) for minor, code in zip(found["amount_minor"], found["currency"], strict=True)],
    })  # fmt: skip
    many = f" The last {MOST_MONTHS} lines of {len(frame)}." if len(frame) > MOST_MONTHS else ""
    digits = max(digits_of(code) for code in found["currency"].unique())
    changed = int(found.loc[found["reason"] == "superseded", "rows"].sum())
    return [Table(
        "ledger_overlaps",
        frame.tail(MOST_MONTHS),
        f"{count(rows, 'row')} {are(rows)} in two files" + (f", {numbers.count(changed)} of them corrected" if changed else ", and say the same in both"),
        f"Rows left out because another file has them too, by month of the row and by the source they were left out of.{many}",
        formats={"rows": "count", "amount": f"money:{digits}"},
        labels={"month": "Month", "source": "Source", "said": "The other file's row", "rows": "Rows", "currency": "Currency", "amount": "Amount"},
        note="Counted twice, this money would have been in the ledger twice.",
    )]  # fmt: skip


def _difference(ledger: "Ledger") -> list[Table | Sentence]:
    """Two sources over the days that both cover.

    Needs the frame ``overlap_months``: ``first, second`` (sources that share their order ids), ``month, currency``,
    ``rows_first, rows_second, minor_first, minor_second`` (rows and money of the days that both cover, booked days, guests
    included, rows in quarantine not); nothing without it.
    """
    found = ledger.frames.get("overlap_months")
    if found is None or found.empty:
        return []
    gap = found["minor_second"] - found["minor_first"]
    unit = [10 ** digits_of(code) for code in found["currency"]]
    frame = pd.DataFrame({
        "month": [f"{month:%B %Y}" for month in pd.to_datetime(found["month"])],
        "sources": found["first"] + " and " + found["second"],
        "currency": found["currency"],
        "rows_first": found["rows_first"],
        "rows_second": found["rows_second"],
        "first": found["minor_first"] / unit,
        "second": found["minor_second"] / unit,
        "gap": gap / unit,
    })  # fmt: skip
    digits = max(digits_of(code) for code in found["currency"].unique())
    worst = found.loc[gap.abs().idxmax()]
    size = amount(abs(int(worst["minor_second"] - worst["minor_first"])), worst["currency"])
    agree = not gap.any() and (found["rows_first"] == found["rows_second"]).all()
    return [Table(
        "ledger_overlap_months",
        frame,
        "Sources that cover the same days agree to the last row" if agree
        else f"{worst['first']} and {worst['second']} differ by up to {size} a month",
        "Rows and money of two sources whose orders have the same numbers, over the days that both have, by month.",
        formats={"rows_first": "count", "rows_second": "count"} | {column: f"money:{digits}" for column in ("first", "second", "gap")},
        labels={"month": "Month", "sources": "First and second source", "currency": "Currency", "rows_first": "Rows, first",
                "rows_second": "Rows, second", "first": "Money, first", "second": "Money, second", "gap": "Difference"},
        note=None if agree else "A row that only one of the two has counts. Where a new system took over midway through a month, a "
        "difference is as it should be; where both ran, one of them lost something.",
    )]  # fmt: skip
