"""Source files as one table of rows, every column still text: nothing is interpreted here.

All readers end in the same shape, one line per source row:

``ordinal`` (int64, place of the row over all files), ``file_no`` (int64), ``row`` (int64, line number in a
CSV file, row number in a Parquet file or a table, from 1), ``parsed`` (bool), a text for each role of the source (null
where missing), ``typed_day`` and ``typed_loaded`` (date, only where the source has dates as dates), ``record``
(the whole row as text).
"""

import csv
from dataclasses import dataclass, field

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from clvkit.errors import DataError
from clvkit.ledger.columns import find_columns, names_in_order, open_columns
from clvkit.ledger.files import SourceFile
from clvkit.ledger.section import SourceSection
from clvkit.ledger.split import fields, is_record, is_simple, mend, unquote
from clvkit.ledger.text import line_batches
from clvkit.ledger.values import typed_day

LINES_LOOKED_AT = 1000
OPEN = "open:"  # columns that go into the record, where others must not


@dataclass
class Source:
    """Rows of all files as an expression, with what was counted while reading them.

    ``rows_in`` is counted outside the engine (lines of text, Parquet's own row counts), so that comparing
    it with the engine's counts is a test. ``numeric`` says that amounts were numbers in the source,
    written out with a point whatever the study's decimal sign.
    """

    rows: ir.Table
    rows_in: list[int]
    end: int  # the ordinal that the next source goes on from
    scratch: list[str] = field(default_factory=list)  # tables of the engine to drop once the rows are typed
    numeric: bool = False
    typed: bool = False  # columns had types, and their texts are dates as YYYY-MM-DD and numbers with a point
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """Where the rows of a source come in the whole ledger: the source's number, its first file and first row.

    ``banned`` are columns that must not be read.
    """

    source: int = 0
    file: int = 0
    ordinal: int = 0
    banned: tuple[str, ...] = ()


def read_source(
    con: ibis.BaseBackend, files: list[SourceFile], section: SourceSection, place: Place = Place()
) -> Source:
    """Read ``files`` into the engine; see the module's text for the shape of the rows."""
    read = {"csv": read_csv, "parquet": read_parquet}[files[0].format]
    source = read(con, files, section, place)
    if not sum(source.rows_in):
        names = ", ".join(f.name for f in files[:3])
        what = "a header and no rows" if section.header and files[0].format == "csv" else "no rows"
        raise DataError(
            f"the source has {what}",
            place=names,
            fix="check that the export finished and that it covers the period of the study",
        )
    return source


def read_csv(con: ibis.BaseBackend, files: list[SourceFile], section: SourceSection, place: Place) -> Source:
    """CSV files: lines streamed in, columns split by the engine."""
    tables = {name: f"{name}{place.source}" for name in ("lines", "joined", "absorbed")}
    con.raw_sql(f"CREATE TABLE {tables['lines']} (ordinal BIGINT, file_no BIGINT, row BIGINT, line VARCHAR)")
    widths, found, counts, base = [], [], [], place.ordinal
    for number, file in enumerate(files, start=place.file):
        width, columns, count, last_row = _load_lines(
            con, tables["lines"], file, number, base, section, place.banned
        )
        widths.append(width)
        found.append(columns)
        counts.append(count)
        base += last_row
    lines = con.table(tables["lines"])
    joined, absorbed = mend(lines, section.delimiter, dict(enumerate(widths, start=place.file)))
    if len(joined):
        for gone in absorbed["file_no"].to_pylist():
            counts[gone - place.file] -= 1
        whole = con.create_table(tables["joined"], joined).select("ordinal", whole="line")
        lines = lines.anti_join(con.create_table(tables["absorbed"], absorbed), "ordinal")
        lines = lines.left_join(whole, "ordinal").drop("ordinal_right")
        lines = lines.mutate(line=ibis.coalesce(lines.whole, lines.line)).drop("whole")
    layouts: dict[tuple, list[int]] = {}
    for number, (width, columns) in enumerate(zip(widths, found, strict=True), start=place.file):
        layouts.setdefault((width, tuple(columns.items())), []).append(number)
    parts = []
    for (width, columns), numbers in layouts.items():
        part = lines if len(layouts) == 1 else lines.filter(lines.file_no.isin(numbers))
        name = f"source{place.source}_layout{len(parts)}"
        parts.append(_split(con, name, part, width, dict(columns), section))
    return Source(ibis.union(*parts) if len(parts) > 1 else parts[0], counts, base, list(tables.values()))


def _load_lines(
    con: ibis.BaseBackend,
    table: str,
    file: SourceFile,
    number: int,
    base: int,
    section: SourceSection,
    banned: tuple[str, ...],
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
            columns, width = find_columns(names, section, file.name, banned), len(names)
            if banned:
                allowed = open_columns(names, (), banned)
                columns |= {f"{OPEN}{i}": i for i, name in enumerate(names) if name in allowed}
            batch = batch.slice(1) if section.header else batch
            _refuse_junk(batch["line"].slice(0, LINES_LOOKED_AT).to_pylist(), width, section, file)
        if not len(batch):
            continue
        con.con.register("batch", pa.Table.from_batches([batch]))
        con.raw_sql(f"INSERT INTO {table} SELECT row + {base}, {number}, row, line FROM batch")
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


def _refuse_junk(lines: list[str], width: int, section: SourceSection, file: SourceFile) -> None:
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


def _header(line: str, section: SourceSection, file: SourceFile) -> list[str]:
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
    section: SourceSection,
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
            record=_record(rows, width, columns),
            **{role: rows.fields[at] for role, at in columns.items() if not role.startswith(OPEN)},
        ),
    )
    rows = con.create_view(
        f"{name}_bare",
        rows.mutate(
            **{
                role: ibis.ifelse(rows.quoted, unquote(rows[role]), rows[role]).strip()
                for role in columns
                if not role.startswith(OPEN)
            }
        ),
    )
    return uniform(rows, section)


def _record(rows: ir.Table, width: int, columns: dict[str, int]) -> ir.StringValue:
    """The whole row; where columns are banned, the fields of the others, and nothing of a line that does not split."""
    allowed = [at for role, at in columns.items() if role.startswith(OPEN)]
    if not allowed:
        return rows.line
    kept = ibis.literal("\x1f").join([rows.fields[at] for at in allowed])
    return ibis.ifelse(rows.whole & (rows.fields.length() == width), kept, ibis.null("string"))


def uniform(rows: ir.Table, section: SourceSection) -> ir.Table:
    """The common shape: words for a missing value become null, columns the study does not name are null."""
    none = ibis.null("string")
    texts = {}
    for role in section.roles():
        if role in rows.columns:
            there = rows.parsed & rows[role].notin(("", *section.missing_words))
            texts[role] = ibis.ifelse(there, rows[role], none)
        else:
            texts[role] = none
    typed = {
        name: rows[name] if name in rows.columns else ibis.null("date")
        for name in ("typed_day", "typed_loaded")
    }
    return rows.select("ordinal", "file_no", "row", "parsed", "record", **typed, **texts)


def read_parquet(
    con: ibis.BaseBackend, files: list[SourceFile], section: SourceSection, place: Place
) -> Source:
    """Parquet files: columns as they are typed, written out as text except for dates."""
    con.raw_sql("SET TimeZone = 'UTC'")
    parts, counts, base, numeric, notes = [], [], place.ordinal, [], []
    for number, file in enumerate(files, start=place.file):
        table, count = _open_parquet(con, file)
        names = [c for c in table.columns if c != "file_row_number"]
        at = {role: names[i] for role, i in find_columns(names, section, file.name, place.banned).items()}
        names = open_columns(names, (), place.banned)
        rows, is_number, note = typed_texts(table, names, at, section, file.name)
        rows = con.create_view(
            f"parquet{number}",
            rows.select(
                *(name for name in rows.columns if name != "file_row_number"),
                ordinal=rows.file_row_number + base,
                file_no=ibis.literal(number, "int64"),
                row=rows.file_row_number + 1,
            ),
        )
        numeric.append(is_number)
        notes += note
        parts.append(uniform(rows, section))
        counts.append(count)
        base += count
    if len(set(numeric)) > 1:
        raise DataError(
            "the amount is a number in some files and text in others",
            place=section.path,
            fix="write all files with the same type, or name only those that agree in ledger.path",
        )
    rows = ibis.union(*parts) if len(parts) > 1 else parts[0]
    return Source(rows, counts, base, [], numeric[0], True, notes)


def typed_texts(
    table: ir.Table, names: list[str], at: dict[str, str], section: SourceSection, where: str
) -> tuple[ir.Table, bool, list[str]]:
    """Typed columns in the roles of a study: texts, except for dates.

    Parameters
    ----------
    table : typed columns ``names``, beside others that are handed on.
    at : the column of each role.
    where : what messages call the table.

    Returns
    -------
    The table with ``parsed``, ``record``, the roles, ``typed_day`` and ``typed_loaded``; whether amounts are
    numbers; notes on how it was read.
    """
    notes, days = [], {}
    for role, name in (("date", "typed_day"), ("loaded", "typed_loaded")):
        days[name] = ibis.null("date")
        kind = table[at[role]].type() if role in at else None
        if kind is not None and (kind.is_date() or kind.is_timestamp()):
            days[name] = typed_day(table[at[role]], section)
            if kind.is_timestamp() and kind.timezone and not section.timezone and role == "date":
                notes.append(f"{where} has moments with a time zone; days are counted in UTC")
    rest = [name for name in table.columns if name not in names]
    rows = table.select(
        *rest,
        parsed=ibis.literal(True),
        record=ibis.literal("\x1f").join([table[c].cast("string").fill_null("\x1e") for c in names]),
        **days,
        **{role: table[name].cast("string").strip() for role, name in at.items()},
    )
    money = at.get("amount") or at.get("price")
    return rows, money is not None and table[money].type().is_numeric(), notes


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
