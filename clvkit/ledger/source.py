"""Source files as one table of rows, every column still text: nothing is interpreted here.

Both readers end in the same shape, one line per source row:

``ordinal`` (int64, place of the row over all files), ``file_no`` (int64), ``row`` (int64, line number in a
CSV file, row number in a Parquet file, from 1), ``parsed`` (bool), ``customer``, ``date``, ``amount``,
``line_id``, ``segment`` (text, null where missing), ``typed_day`` (date, only where the source has dates as
dates), ``record`` (the whole row as text).
"""

import csv
from dataclasses import dataclass, field

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from clvkit.errors import DataError
from clvkit.ledger.columns import find_columns, names_in_order
from clvkit.ledger.files import SourceFile
from clvkit.ledger.section import LedgerSection
from clvkit.ledger.split import fields, is_record, is_simple, mend, unquote
from clvkit.ledger.text import line_batches

LINES_LOOKED_AT = 1000
ROLES = ("customer", "date", "amount", "line_id", "segment")


@dataclass
class Source:
    """Rows of all files as an expression, with what was counted while reading them.

    ``rows_in`` is counted outside the engine (lines of text, Parquet's own row counts), so that comparing
    it with the engine's counts is a test. ``numeric_amount`` says that amounts were numbers in the source,
    written out with a point whatever the study's decimal sign.
    """

    rows: ir.Table
    rows_in: list[int]
    numeric_amount: bool = False
    notes: list[str] = field(default_factory=list)


def read_source(con: ibis.BaseBackend, files: list[SourceFile], section: LedgerSection) -> Source:
    """Read ``files`` into the engine; see the module's text for the shape of the rows."""
    read = {"csv": read_csv, "parquet": read_parquet}[files[0].format]
    source = read(con, files, section)
    if not sum(source.rows_in):
        names = ", ".join(f.name for f in files[:3])
        what = "a header and no rows" if section.header and files[0].format == "csv" else "no rows"
        raise DataError(
            f"the source has {what}",
            place=names,
            fix="check that the export finished and that it covers the period of the study",
        )
    return source


def read_csv(con: ibis.BaseBackend, files: list[SourceFile], section: LedgerSection) -> Source:
    """CSV files: lines streamed in, columns split by the engine."""
    con.raw_sql("CREATE TABLE lines (ordinal BIGINT, file_no BIGINT, row BIGINT, line VARCHAR)")
    widths, found, counts, base = [], [], [], 0
    for number, file in enumerate(files):
        width, columns, count, last_row = _load_lines(con, file, number, base, section)
        widths.append(width)
        found.append(columns)
        counts.append(count)
        base += last_row
    lines = con.table("lines")
    joined, absorbed = mend(lines, section.delimiter, widths)
    if len(joined):
        for gone in absorbed["file_no"].to_pylist():
            counts[gone] -= 1
        whole = con.create_table("joined", joined).select("ordinal", whole="line")
        lines = lines.anti_join(con.create_table("absorbed", absorbed), "ordinal")
        lines = lines.left_join(whole, "ordinal").drop("ordinal_right")
        lines = lines.mutate(line=ibis.coalesce(lines.whole, lines.line)).drop("whole")
    layouts: dict[tuple, list[int]] = {}
    for number, (width, columns) in enumerate(zip(widths, found, strict=True)):
        layouts.setdefault((width, tuple(columns.items())), []).append(number)
    parts = []
    for (width, columns), numbers in layouts.items():
        part = lines if len(layouts) == 1 else lines.filter(lines.file_no.isin(numbers))
        parts.append(_split(con, f"layout{len(parts)}", part, width, dict(columns), section))
    return Source(ibis.union(*parts) if len(parts) > 1 else parts[0], counts)


def _load_lines(
    con: ibis.BaseBackend, file: SourceFile, number: int, base: int, section: LedgerSection
) -> tuple[int, dict[str, int], int, int]:
    """Put the lines of one file into the engine.

    Returns its number of columns, where the study's columns are, its number of rows and the number of its
    last line.
    """
    columns, width, count, last_row = None, 0, 0, 0
    for batch in line_batches(file, section.encoding):
        if columns is None and len(batch):
            # Before the other blocks are read: a file that is no table is refused at its first line.
            names = _header(batch["line"][0].as_py(), section, file)
            columns, width = find_columns(names, section, file.name), len(names)
            batch = batch.slice(1) if section.header else batch
            _refuse_junk(batch["line"].slice(0, LINES_LOOKED_AT).to_pylist(), width, section, file)
        if not len(batch):
            continue
        con.con.register("batch", pa.Table.from_batches([batch]))
        con.raw_sql(f"INSERT INTO lines SELECT row + {base}, {number}, row, line FROM batch")
        con.con.unregister("batch")
        count += len(batch)
        last_row = batch["row"][-1].as_py()
    if columns is None:
        raise DataError(
            f"{file.name} has no line with anything in it",
            place=file.name,
            fix="check that the export finished, or take the file out of ledger.path",
        )
    return width, columns, count, last_row


def _refuse_junk(lines: list[str], width: int, section: LedgerSection, file: SourceFile) -> None:
    """Stop at once where a long file is no table behind its header, instead of quarantining all of it."""
    if len(lines) < LINES_LOOKED_AT:
        return
    try:
        if any(len(record) == width for record in csv.reader(lines, delimiter=section.delimiter)):
            return
    except csv.Error:
        return  # a quote that never closes: the rows behind it are judged one by one
    raise DataError(
        f"none of the first {len(lines):,} rows of {file.name} has the {width} columns of its header; "
        f"the first is {lines[0][:80]!r}",
        place=f"{file.name}: line 2",
        fix="check ledger.delimiter, and that the file is the table you mean",
    )


def _header(line: str, section: LedgerSection, file: SourceFile) -> list[str]:
    try:
        first = next(csv.reader([line], delimiter=section.delimiter), [])
    except csv.Error as error:
        raise DataError(
            f"the first line of {file.name} is not a row of a table: {error}",
            place=f"{file.name}: line 1",
            fix="check that ledger.path names a CSV file",
        ) from error
    return [name.strip() for name in first] if section.header else names_in_order(len(first))


def _split(
    con: ibis.BaseBackend,
    name: str,
    lines: ir.Table,
    width: int,
    columns: dict[str, int],
    section: LedgerSection,
) -> ir.Table:
    # Views keep the steps apart: as one expression, every use of a column would repeat the work that made it.
    sign = section.delimiter
    rows = con.create_view(
        f"{name}_kind", lines.mutate(quoted=lines.line.contains('"'), simple=is_simple(lines.line, sign))
    )
    # Of the two ways to split, the one that minds quotes costs ten times the other.
    rows = con.create_view(
        f"{name}_fields",
        rows.mutate(
            fields=ibis.ifelse(rows.simple, rows.line.split(sign), fields(rows.line, sign)),
            whole=ibis.ifelse(rows.simple, True, is_record(rows.line, sign)),
        ),
    )
    rows = con.create_view(
        f"{name}_text",
        rows.select(
            "ordinal",
            "file_no",
            "row",
            "quoted",
            parsed=rows.whole & (rows.fields.length() == width),
            record="line",
            **{role: rows.fields[at] for role, at in columns.items()},
        ),
    )
    rows = con.create_view(
        f"{name}_bare",
        rows.mutate(
            **{role: ibis.ifelse(rows.quoted, unquote(rows[role]), rows[role]).strip() for role in columns}
        ),
    )
    return _uniform(rows, section)


def _uniform(rows: ir.Table, section: LedgerSection) -> ir.Table:
    """The common shape: words for a missing value become null, columns the study does not name are null."""
    none = ibis.null("string")
    texts = {}
    for role in ROLES:
        if role in rows.columns:
            there = rows.parsed & rows[role].notin(("", *section.missing_words))
            texts[role] = ibis.ifelse(there, rows[role], none)
        else:
            texts[role] = none
    typed_day = rows.typed_day if "typed_day" in rows.columns else ibis.null("date")
    return rows.select("ordinal", "file_no", "row", "parsed", "record", typed_day=typed_day, **texts)


def read_parquet(con: ibis.BaseBackend, files: list[SourceFile], section: LedgerSection) -> Source:
    """Parquet files: columns as they are typed, written out as text except for dates."""
    parts, counts, base, numeric, notes = [], [], 0, [], []
    for number, file in enumerate(files):
        table, count = _open_parquet(con, file)
        names = [c for c in table.columns if c != "file_row_number"]
        at = {role: names[i] for role, i in find_columns(names, section, file.name).items()}
        day = table[at["date"]]
        dated = day.type().is_date() or day.type().is_timestamp()
        if day.type().is_timestamp() and day.type().timezone:
            notes.append(f"{file.name} has moments with a time zone; days are counted in UTC")
            con.raw_sql("SET TimeZone = 'UTC'")
        numeric.append(table[at["amount"]].type().is_numeric())
        rows = con.create_view(
            f"parquet{number}",
            table.select(
                ordinal=table.file_row_number + base,
                file_no=ibis.literal(number, "int64"),
                row=table.file_row_number + 1,
                parsed=ibis.literal(True),
                typed_day=day.cast("date") if dated else ibis.null("date"),
                record=ibis.literal("\x1f").join([table[c].cast("string").fill_null("\x1e") for c in names]),
                **{role: table[name].cast("string").strip() for role, name in at.items()},
            ),
        )
        parts.append(_uniform(rows, section))
        counts.append(count)
        base += count
    if len(set(numeric)) > 1:
        raise DataError(
            "the amount is a number in some files and text in others",
            place=section.path,
            fix="write all files with the same type, or name only those that agree in ledger.path",
        )
    return Source(ibis.union(*parts) if len(parts) > 1 else parts[0], counts, numeric[0], notes)


def _open_parquet(con, file: SourceFile) -> tuple[ir.Table, int]:
    import pyarrow.parquet as pq

    try:
        count = pq.read_metadata(file.path).num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{file.name} is not a readable Parquet file: {error}",
            place=file.name,
            fix="export it again, or set ledger.format: csv if it is text",
        ) from error
    return con.read_parquet(str(file.path), file_row_number=True), count
