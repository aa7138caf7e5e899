"""The rules that look across rows: the books, exchanged days, accounts of many, refunds without a sale, old rates."""

from collections.abc import Mapping, Sequence
from datetime import date

import ibis.expr.types as ir
import pandas as pd

from clvkit.checks import Check
from clvkit.ledger.books import books_frame
from clvkit.ledger.books_check import books_checks
from clvkit.ledger.catch_all import catch_all_checks, catch_all_frame
from clvkit.ledger.exchanged_days import exchanged_checks, exchanged_frame
from clvkit.ledger.frame_checks import rate_ages, unmatched_refunds
from clvkit.ledger.lines import Reading
from clvkit.ledger.section import LedgerSection
from clvkit.ledger.tables import SideTable


def validation_frames(
    lines: ir.Table,
    bought: ir.Table,
    texts: Mapping[str, tuple[Reading, ir.Table]],
    tables: Mapping[str, SideTable],
    files: Sequence[str],
    section: LedgerSection,
    *,
    currency: str,
    as_of: date,
) -> dict[str, pd.DataFrame]:
    """Frames without a customer in them: ``exchanged_days, catch_all``, and ``books`` where a source holds totals.

    Parameters
    ----------
    lines : every row with its reason, customer and value.
    bought : one row per customer and day.
    texts : the rows of each source of orders as read, with what decides how they are typed.
    tables : the tables beside the orders.
    files : names of the files, by number.
    """
    books = books_frame(lines, tables, section, currency, as_of)
    readings = [reading for reading, _ in texts.values()]
    return {
        "exchanged_days": exchanged_frame(lines, readings, files),
        "catch_all": catch_all_frame(lines, bought, texts, files, section.catch_all),
    } | ({} if books is None else {"books": books})


def validation_checks(
    frames: Mapping[str, pd.DataFrame],
    tables: Mapping[str, SideTable],
    section: LedgerSection,
    rows_in: int,
) -> list[Check]:
    """What those frames, and those of the history, say of the rules."""
    return [
        *books_checks(
            frames.get("books"), section.books, totals=any(one.holds == "totals" for one in tables.values())
        ),
        *exchanged_checks(frames["exchanged_days"], section, rows_in),
        *catch_all_checks(frames["catch_all"], section),
        *unmatched_refunds(frames, section.refunds),
        *rate_ages(frames, section.exchange),
    ]
