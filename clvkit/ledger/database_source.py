"""Sources that are tables, views or queries of a database, read where they lie."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from clvkit.errors import StudyError
from clvkit.ledger.columns import find_columns
from clvkit.ledger.databases import Database, open_database, refusing
from clvkit.ledger.engine import row_hash, total
from clvkit.ledger.relations import open_relation
from clvkit.ledger.section import LedgerSection, SourceSection
from clvkit.ledger.side_fields import fields_of
from clvkit.ledger.source import Place, Source, typed_texts, uniform
from clvkit.ledger.typed import day_of, typed_table_rows

_FIX = "try the table or query in the database's own client first, and ask for the right to read it"


@dataclass(frozen=True)
class SourceTable:
    """A table, view or query of a source. ``name`` is what reports show."""

    table: ir.Table = field(repr=False)
    name: str
    source: str
    said: str  # the relation or query, as the study has it
    format: str = "table"


def database_of(section: LedgerSection, base: Path) -> Database | None:
    """The database that sources of the study are in, opened; None where all are files.

    Raises
    ------
    StudyError : sources are in different databases, or files hold orders beside a server's tables.
    """
    sources = section.by_name()
    there = {name: one.database for name, one in sources.items() if one.database is not None}
    if not there:
        return None
    first, *others = there
    for name in others:
        if there[name] != there[first]:
            raise StudyError(
                f"the sources {first} and {name} are in different databases, and rows of two are not joined",
                place=f"ledger.sources.{name}.database",
                fix="make the tables of one visible in the other, or export one of them as Parquet",
            )
    database = open_database(there[first], base)
    for name, one in sources.items():
        if database.con.name != "duckdb" and one.is_lines and one.database is None:
            raise StudyError(
                f"{name} is made of files with {one.holds}, and other sources are tables of {database.name}, where "
                "orders are worked on",
                place=f"ledger.sources.{name}.path",
                fix="load the files into a table there; only tables beside the orders may be files",
            )
    return database


def open_table(database: Database, name: str, section: SourceSection, banned: Collection[str]) -> SourceTable:
    """What the section of a source says is its table, without banned columns."""
    table = open_relation(database, section.relation, section.query, without=banned)
    shown = section.relation or ("query" if name == "orders" else f"query of {name}")
    return SourceTable(table, shown, name, section.relation or section.query)


def read_table(found: SourceTable, section: SourceSection, place: Place, local: ibis.BaseBackend) -> Source:
    """Rows of a table; see `clvkit.ledger.source` for their shape.

    Those of orders stay in their engine. A table beside the orders is read into ``local``, the columns that the study
    names and no others.
    """
    table, zone = found.table, section.timezone or "UTC"
    at = find_columns(list(table.columns), section, found.name, place.banned)
    columns = {role: table.columns[i] for role, i in at.items()}
    with refusing(found.name, _FIX):
        count = int(table.count().execute())
        if not section.is_lines:
            return _beside(table, columns, section, found.name, place, local, count)
        rows = typed_table_rows(
            table,
            columns,
            # From 1: rows of files are numbered below the first table's.
            place.source + 1,
            zone=zone,
            day_starts=section.day_starts,
            written_in="UTC",
            missing_words=section.missing_words,
        )
    none = ibis.null("string")
    texts = {role: rows[role] if role in columns else none for role in section.roles()}
    rows = rows.select(
        "ordinal", "row", "parsed", "record", "typed_day", "typed_loaded",
        file_no=ibis.literal(place.file, "int64"), **texts,
    )  # fmt: skip
    money = columns.get("amount") or columns["price"]
    return Source(rows, [count], place.ordinal, [], table[money].type().is_numeric(), True)


def _beside(
    table: ir.Table,
    columns: dict[str, str],
    section: SourceSection,
    name: str,
    place: Place,
    local: ibis.BaseBackend,
    count: int,
) -> Source:
    needed, others = fields_of(section)
    days = {
        columns[field]
        for field, kind in (needed | others).items()
        if kind == "date" and field in columns and table[columns[field]].type().is_timestamp()
    }
    zone = section.timezone or "UTC"
    wanted = table.select(
        **{
            column: day_of(table[column], column, zone, section.day_starts, "UTC")[0]
            if column in days
            else table[column]
            for column in dict.fromkeys(columns.values())
        }
    )
    if table.get_backend() is not local:
        wanted = local.create_table(f"table{place.source}", wanted.to_pyarrow())
    numbered = wanted.mutate(number=ibis.row_number())
    rows, numeric, notes = typed_texts(numbered, list(wanted.columns), columns, section, name)
    rows = rows.mutate(
        ordinal=rows.number + place.ordinal, file_no=ibis.literal(place.file, "int64"), row=rows.number + 1
    )
    return Source(uniform(rows, section), [count], place.ordinal + count, [], numeric, True, notes)


def table_fingerprint(found: SourceTable) -> dict:
    """``{"source", "file", "sha256", "bytes"}`` of a table: of its name or query, its columns and a sum over its rows.

    The sum is worked out in the engine, whatever the order of rows; ``bytes`` is the length of the rows as text.
    """
    table = found.table
    with refusing(found.name, _FIX):
        text = ibis.literal("\x1f").join([table[c].cast("string").fill_null("\x1e") for c in table.columns])
        rows = table.select(said=text)
        sums = rows.aggregate(
            rows=rows.count().cast("int64"),
            length=total(rows.said.length().cast("int64")),
            sum=total(row_hash(rows.said)),
        )
        row: dict = sums.to_pyarrow().to_pylist()[0]
    kinds = [[name, str(kind)] for name, kind in table.schema().items()]
    words = [found.said, kinds, *(str(int(row[part] or 0)) for part in ("rows", "length", "sum"))]
    digest = hashlib.sha256(json.dumps(words).encode()).hexdigest()
    return {"source": found.source, "file": found.name, "sha256": digest, "bytes": int(row["length"] or 0)}


def into(con: ibis.BaseBackend, table: ir.Table) -> pa.Table | ir.Table:
    """A small table as one that ``con`` can join."""
    return table if table.get_backend() is con else table.to_pyarrow()
