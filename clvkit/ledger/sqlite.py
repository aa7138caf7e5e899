"""SQLite files, read by Python's own driver into DuckDB, whose extension for them would be a download."""

import sqlite3
from collections.abc import Collection
from contextlib import closing

import ibis.expr.types as ir
import pyarrow as pa

from clvkit.ledger.columns import open_columns
from clvkit.ledger.databases import Database, not_found, refuse_other_than_select, refusing
from clvkit.ledger.query_columns import refuse_banned

ROWS_AT_ONCE = 50_000
_ARROW = {
    frozenset(["integer"]): pa.int64(),
    frozenset(["real"]): pa.float64(),
    frozenset(["integer", "real"]): pa.float64(),
    frozenset(["blob"]): pa.binary(),
}


def copy_sqlite(
    database: Database, relation: str | None, query: str | None, without: Collection[str] = ()
) -> ir.Table:
    """A table, view or query of a SQLite file as a table of the database's DuckDB, without some columns.

    SQLite keeps a type per value. A column whose values are all numbers is one of numbers here, any other is
    text, with numbers as they are written.
    """
    place = "ledger.query" if query is not None else "ledger.relation"
    fix = "check with the sqlite3 shell that the file is a sound SQLite 3 database; export it again"
    if query is not None:
        refuse_other_than_select(query, "sqlite")
    with (
        refusing(place, fix),
        closing(sqlite3.connect(f"{database.file.resolve().as_uri()}?mode=ro", uri=True)) as file,
    ):
        if query is None:
            listing = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
            names = [name for (name,) in file.execute(listing)]
            if relation not in names:
                raise not_found(relation, relation, names, database)
            query = f"SELECT * FROM {_quoted(relation)}"
        else:
            refuse_banned(query, "sqlite", without, lambda words: _columns(file, words))
        inner = query.strip().rstrip(";")
        columns = open_columns(_columns(file, inner), (), without)
        schema = _schema(file, inner, columns)
        name = f"sqlite_{len(database.con.list_tables())}"
        database.con.create_table(name, schema=pa.schema(schema))
        rows = file.execute(f"SELECT {', '.join(map(_quoted, columns))} FROM ({inner})")
        while batch := rows.fetchmany(ROWS_AT_ONCE):
            arrays = [
                _array(values, kind)
                for values, (_, kind) in zip(zip(*batch, strict=True), schema, strict=True)
            ]
            database.con.insert(name, pa.table(arrays, schema=pa.schema(schema)))
    return database.con.table(name)


def _columns(file: sqlite3.Connection, query: str) -> list[str]:
    return [column[0] for column in file.execute(f"SELECT * FROM ({query}) LIMIT 0").description]


def _schema(file: sqlite3.Connection, query: str, columns: list[str]) -> list[tuple[str, pa.DataType]]:
    kinds = ", ".join(f"group_concat(DISTINCT typeof({_quoted(name)}))" for name in columns)
    found = file.execute(f"SELECT {kinds} FROM ({query})").fetchone()
    there = [frozenset((text or "").split(",")) - {"null", ""} for text in found]
    return [(name, _ARROW.get(kind, pa.string())) for name, kind in zip(columns, there, strict=True)]


def _array(values: tuple, kind: pa.DataType) -> pa.Array:
    if kind == pa.string():
        values = [_text(value) for value in values]
    elif kind == pa.float64():
        values = [None if value is None else float(value) for value in values]
    return pa.array(values, kind)


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if value is None else str(value)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
