"""Tables, views and queries of an open database."""

from collections.abc import Collection

import ibis
import ibis.expr.types as ir

from clvkit.errors import DataError
from clvkit.ledger.columns import open_columns
from clvkit.ledger.databases import SOURCE, Database, not_found, refuse_other_than_select, refusing
from clvkit.ledger.query_columns import refuse_banned
from clvkit.ledger.sqlite import copy_sqlite


def open_relation(
    database: Database,
    relation: str | None = None,
    query: str | None = None,
    *,
    without: Collection[str] = (),
) -> ir.Table:
    """A table or view (``name`` or ``schema.name``), or the result of one SELECT.

    Parameters
    ----------
    without : columns that must not be read; a table comes without them, and a query that reads one is refused.

    Raises
    ------
    DataError : there is no such table (names the nearest), it may not be read, or the query is none.
    StudyError : the query reads a column that must not be read.
    """
    if (relation is None) == (query is None):
        raise DataError(
            "a database needs either ledger.relation or ledger.query",
            place="ledger",
            fix="name a table or view under relation, or write a SELECT under query",
        )
    if database.file is not None:
        return copy_sqlite(database, relation, query, without)
    if query is not None:
        refuse_other_than_select(query, database.con.dialect)
        with refusing("ledger.query", "try the query in the database's own client first"):
            dialect = database.con.dialect
            refuse_banned(query, dialect, without, lambda words: database.con.sql(words).columns)
            return _drop(database.con.sql(query), without)
    *path, name = relation.split(".")
    schema = ".".join(path) or None
    with refusing("ledger.relation", "ask for the right to read it"):
        where = _where(database.con, schema)
        names = _tables(database.con, where)
        if names is None or name not in names:
            raise not_found(relation, name, names, database)
        return _drop(database.con.table(name, database=where), without)


def _drop(table: ir.Table, names: Collection[str]) -> ir.Table:
    kept = open_columns(table.columns, (), names)
    return table.select(kept) if len(kept) < len(table.columns) else table


def _where(con: ibis.BaseBackend, schema: str | None) -> tuple[str, str] | str | None:
    if con.name == "duckdb":
        return (SOURCE, schema or "main")
    return schema


def _tables(con: ibis.BaseBackend, where: tuple[str, str] | str | None) -> list[str] | None:
    """Names of tables and views; None where the schema itself is missing."""
    schema = where[1] if isinstance(where, tuple) else where
    if schema is not None and "." not in schema:
        catalog = {"catalog": SOURCE} if con.name == "duckdb" else {}
        if schema not in con.list_databases(**catalog):
            return None
    return con.list_tables(database=where)
