"""Rows to look up: a few of each step that takes rows out of the ledger, masked."""

from typing import TYPE_CHECKING

import ibis
import pandas as pd

from clvkit import numbers
from clvkit.chapters.ledger_words import amount
from clvkit.exhibits import Table
from clvkit.privacy import masked

if TYPE_CHECKING:
    from clvkit.ledger import Ledger

SAMPLES = 3  # rows shown of each step
WHO_SHOWN = 16  # letters of a masked customer


def samples(found: pd.DataFrame, ledger: "Ledger") -> list[Table]:
    """At most three rows of each step that takes rows away, the largest amounts first; nobody is named.

    ``found`` are the steps as :func:`clvkit.chapters.ledger_memo.steps` returns them.
    """
    numbered = found.assign(step=range(1, len(found) + 1)).query("state != ''")
    if numbered.empty:
        return []
    rows = ledger.rows.filter(~ledger.rows.state.isin(("used", "merged")))
    rows = rows.mutate(reason=rows.reason.fill_null(""), size=rows.value_minor.abs().fill_null(0))
    place = ibis.row_number().over(group_by=["state", "reason"], order_by=[ibis.desc("size"), "file", "row"])
    rows = rows.mutate(place=place)
    shown = rows.filter(rows.place < SAMPLES).to_pyarrow().to_pandas()
    both = shown.merge(numbered[["state", "reason", "step", "label"]], on=["state", "reason"]).sort_values(
        ["step", "place"]
    )
    frame = pd.DataFrame({
        "step": both["step"],
        "label": both["label"],
        "file": both["file"].str.split("/").str[-2:].str.join("/"),
        "row": both["row"],
        "day": both["day"].map(lambda day: "" if pd.isna(day) else numbers.date_words(day)),
        "amount": [_amount_shown(minor, code) for minor, code in zip(both["amount_minor"], both["currency"], strict=True)],
        "who": both["customer"].map(_who),
        "text": both["value"].map(_shape),
    })  # fmt: skip
    if not (frame["text"] != "").any():
        frame = frame.drop(columns="text")
    labels = {"step": "Step", "label": "Taken away as", "file": "File", "row": "Row", "day": "Day", "amount": "Amount",
              "who": "Customer, masked", "text": "Text that broke the rule, masked"}  # fmt: skip
    return [Table(
        "ledger_samples",
        frame,
        "Rows to look up in the source",
        f"At most {SAMPLES} rows of each step, the largest amounts first. Masked: letters are x, digits 9.",
        formats={"step": "count", "row": "number:0", "amount": "text"},
        labels={name: labels[name] for name in frame.columns},
        note="A file and a row number are enough to find a row in the source; who may see the source sees the rest there.",
    )]  # fmt: skip


def _who(customer: str | None) -> str:
    """The shape of a name; of a long pseudonym the beginning."""
    shape = _shape(customer) or "none"
    return shape if len(shape) <= WHO_SHOWN else shape[:WHO_SHOWN] + "…"


def _shape(text: str | None) -> str:
    return "" if text is None or pd.isna(text) else str(masked(text))


def _amount_shown(minor: float, currency: str | None) -> str:
    if pd.isna(minor):
        return numbers.NOT_AVAILABLE
    return amount(int(minor), currency) if currency else numbers.NOT_AVAILABLE
