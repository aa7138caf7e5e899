"""What the study makes of the columns of each source: their roles, those not used, and what a field takes by default."""

from typing import TYPE_CHECKING

import pandas as pd

from clvkit.chapters.ledger_words import count
from clvkit.exhibits import Table
from clvkit.ledger.mapping import BANNED, UNUSED
from clvkit.ledger.side_fields import TABLES

if TYPE_CHECKING:
    from clvkit.ledger import Ledger, LedgerSection
    from clvkit.ledger.section import SourceSection

NOTHING = "none"
#: What holds of a field of order lines that no column has.
_WITHOUT = {
    "order": "no order",
    "line_id": "rows alike are copies",
    "product": "no product",
    "quantity": "no quantity",
    "loaded": "known since its day",
}


def mapping(ledger: "Ledger", section: "LedgerSection") -> list[Table]:
    """One line per source: which column is what, which are not used, which are banned, and what is taken by default."""
    found = ledger.frames.get("mapping")
    if found is None or found.empty:  # a ledger that was kept before there was one
        return []
    sources = section.by_name()
    made = [
        name for name, one in sources.items() if one.bills_of
    ]  # of the columns of the contracts, which stand there
    found = found[~found["source"].isin(made)]
    lines = [_line(name, one, found, ledger.currency) for name, one in sources.items() if name not in made]
    frame = pd.DataFrame(lines)
    columns = found.drop_duplicates(["source", "column"])
    unused, banned = (int((columns["role"] == role).sum()) for role in (UNUSED, BANNED))
    said = f"Of {count(len(columns), 'column')} of the sources {len(columns) - unused - banned:,} are used"
    return [
        Table(
            "ledger_mapping",
            frame,
            said + (f", and {banned:,} must not be read" if banned else ""),
            "The columns of each source by what they are to the study; fields that no column has, and what holds of them "
            "instead.",
            labels={"source": "Source", "mapped": "Field: column", "unused": "Columns not used", "banned": "Banned columns",
                    "default": "By default"},
            note="A column that is not used stands in no figure; a row that repeats another is told by all columns. Banned "
            "columns are known by name alone, and are not read.",
        )
    ]  # fmt: skip


def in_short(ledger: "Ledger", section: "LedgerSection") -> list[str]:
    """The same for a terminal, one line per source."""
    return [
        f"{one['source']}: {one['mapped']}"
        + "".join(
            f"; {words}: {one[part]}"
            for part, words in (("unused", "not used"), ("banned", "banned, not read"), ("default", "by default"))
            if one[part] != NOTHING
        )
        for table in mapping(ledger, section)
        for one in table.frame.to_dict("records")
    ]  # fmt: skip


def _line(name: str, one: "SourceSection", found: pd.DataFrame, currency: str) -> dict[str, str]:
    here = found[found["source"] == name]
    used = here[~here["role"].isin((UNUSED, BANNED))]
    said = [
        f"{role.replace('_', ' ')}: {column}"
        for role, column in zip(used["role"], used["column"], strict=True)
    ]
    return {
        "source": name,
        "mapped": ", ".join(said),
        "unused": ", ".join(here.loc[here["role"] == UNUSED, "column"]) or NOTHING,
        "banned": ", ".join(here.loc[here["role"] == BANNED, "column"]) or NOTHING,
        "default": "; ".join(_defaults(one, currency)) or NOTHING,
    }  # fmt: skip


def _defaults(one: "SourceSection", currency: str) -> list[str]:
    """What fields that no column has take instead."""
    wanted = one.wanted()
    if not one.is_lines:
        return [
            f"{field}: empty"
            for field in {**TABLES[one.holds][0], **TABLES[one.holds][1]}
            if field not in wanted
        ]
    found = []
    if one.columns.customer is None:
        found.append("customer: that of the order")
    if "currency" not in wanted:
        found.append(f"currency: {one.currency or f'{currency}, of the study'}")
    if "segment" not in wanted:
        found.append(f"segment: {one.segment or 'all'}")
    if "tax" not in wanted and one.tax_rate is not None:
        found.append(f"tax: {one.tax_rate:.2%} of the net amount")
    found += [
        f"{field.replace('_', ' ')}: {words}" for field, words in _WITHOUT.items() if field not in wanted
    ]
    return found + [f"{field}: 0" for field in ("discount", "tax", "shipping")
                    if field not in wanted and not (field == "tax" and one.tax_rate is not None)]  # fmt: skip
