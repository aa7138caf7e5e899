"""A typed table of any engine as source rows in the shape that ``clvkit.ledger.source`` describes."""

from collections.abc import Collection, Mapping

import ibis
import ibis.expr.types as ir

from clvkit.errors import DataError
from clvkit.ledger.engine import bytewise, engine_of
from clvkit.ledger.localdays import local_day

ROLES = ("customer", "date", "amount", "line_id", "segment")
ROWS_PER_DAY = 10**9  # room for the rows of a day in a row's number
ROWS_PER_SOURCE = 10**17  # room for the rows of a source in the order of reading
NUMBERS = ("amount", "price", "quantity", "discount", "tax", "shipping")


def typed_table_rows(
    table: ir.Table,
    columns: Mapping[str, str],
    number: int,
    *,
    zone: str = "UTC",
    day_starts: str = "00:00",
    written_in: str | None = None,
    missing_words: Collection[str] = (),
) -> ir.Table:
    """Source rows of a table whose columns have types.

    A table has no order, so its rows are numbered day by day, within a day in the order of all their values:
    the number is the day, as ``YYYYMMDD``, and nine digits. It does not depend on the engine, and a cluster
    finds it day by day, without bringing all rows to one place.

    Parameters
    ----------
    table : the table, without columns that must not be read.
    columns : role (``customer``, ``date``, ``amount``, and any other) → name of the column.
    number : place of the source among the sources, from 0.
    zone, day_starts, written_in : see ``local_day``; they matter where dates are moments.
    missing_words : texts that stand for a missing value.

    Returns
    -------
    Table of ``ordinal, file_no, row`` (int64), ``parsed, record``, ``typed_day`` and ``typed_loaded`` (dates, null
    without such a column) and a text for each of ``ROLES`` and of ``columns``, null where missing. Amounts are plain decimals with a point, dates ``YYYY-MM-DD``.

    Raises
    ------
    DataError : dates are text, and the engine is not DuckDB, which alone reads them by a format.
    """
    dated = {"date": ibis.null("date"), "loaded": ibis.null("date")}
    texts = {}
    for role, name in columns.items():
        column = table[name]
        if role in dated:
            dated[role], text = day_of(column, f"columns.{role}", zone, day_starts, written_in)
        elif role in NUMBERS:
            text = _plain(column)
        else:
            text = column.cast("string").strip()
        texts[role] = _missing(text, missing_words)
    day = dated["date"]
    none = ibis.null("string")
    first = ibis.row_number().over(group_by=day, order_by=[_sortable(table[name]) for name in table.columns])
    ymd = (day.year().cast("int64") * 10_000 + day.month() * 100 + day.day()).fill_null(0)
    rows = table.select(
        row=(ymd * ROWS_PER_DAY + first + 1).cast("int64"),
        typed_day=day,
        typed_loaded=dated["loaded"],
        # Unit separators keep ("a", "bc") and ("ab", "c") apart, a record separator null and "".
        record=ibis.literal("\x1f").join([table[c].cast("string").fill_null("\x1e") for c in table.columns]),
        **{role: texts.get(role, none) for role in (*ROLES, *(r for r in columns if r not in ROLES))},
    )
    return rows.mutate(
        ordinal=rows.row + ibis.literal(number * ROWS_PER_SOURCE, "int64"),
        file_no=ibis.literal(number, "int64"),
        parsed=ibis.literal(True),
    )


def day_of(
    column: ir.Column, key: str, zone: str, day_starts: str = "00:00", written_in: str | None = None
) -> tuple[ir.DateValue, ir.StringValue]:
    """The local day of a column of dates or moments, and what it says as text; in DuckDB it may be text.

    ``key`` is the column's place in a source's section, for messages.
    """
    kind = column.type()
    if kind.is_timestamp():
        day = local_day(column, zone, day_starts, written_in=written_in)
        return day, day.cast("string")
    if kind.is_date():
        return column, column.cast("string")
    if kind.is_string() and engine_of(column) == "duckdb":
        return ibis.null("date"), column.strip()
    raise DataError(
        f"the column {column.get_name()!r} (ledger.{key}) holds {kind}, not dates or moments",
        place=f"ledger.{key}",
        fix="write a query that casts it: SELECT ..., CAST(... AS DATE) AS day FROM ...",
    )


def _plain(number: ir.Column) -> ir.StringValue:
    if not number.type().is_floating():
        return number.cast("string").strip()
    # The shortest text of a float is the same everywhere but for its exponent, which a decimal has not.
    text = ibis.ifelse(number.abs() < 1e15, number.cast("string"), ibis.null("string"))
    plain = text.cast("decimal(38, 15)").cast("string").re_replace(r"[.]?0+$", "")
    return ibis.coalesce(plain, number.cast("string"))


def _missing(text: ir.StringValue, words: Collection[str]) -> ir.StringValue:
    return ibis.ifelse(text.isin(("", *words)), ibis.null("string"), text)


def _sortable(column: ir.Column) -> ir.Value:
    kind = column.type()
    if kind.is_numeric() or kind.is_temporal() or kind.is_boolean():
        return column
    return bytewise(column if kind.is_string() else column.cast("string"))
