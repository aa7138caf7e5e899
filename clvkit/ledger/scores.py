"""Scores of customers written back as a table of the database they came from."""

import uuid

import ibis
import pandas as pd
import pyarrow as pa

from clvkit.errors import DataError
from clvkit.ledger.databases import SOURCE, Database, refusing

_FIX = "ask for the right to create and write tables in that schema, or name another one"


def write_scores(database: Database, name: str, frame: pd.DataFrame | pa.Table) -> int:
    """Replace a table by ``frame``; returns the number of rows written.

    DuckDB and PostgreSQL replace in one transaction: who reads sees the old table or the new one, and a
    failure leaves the old one. PostgreSQL keeps the table, with its grants and views, where its columns stay
    the same. Spark writes beside the old table first, then drops it and renames the new one.

    Parameters
    ----------
    database : open for writing; a DuckDB file by ``open_database(..., write=True)``.
    name : ``table`` or ``schema.table``.

    Raises
    ------
    DataError : the database cannot be written to, or does not allow it.
    """
    if database.file is not None:
        raise DataError(
            "scores cannot be written into a SQLite file, which is only read",
            place="ledger.database",
            fix="write them to a DuckDB file or a server, or take them from the run's store as Parquet",
        )
    rows = frame if isinstance(frame, pa.Table) else pa.Table.from_pandas(frame, preserve_index=False)
    *path, table = name.split(".")
    schema = ".".join(path) or None
    write = {"duckdb": _to_duckdb, "postgres": _to_postgres, "pyspark": _to_spark}[database.con.name]
    with refusing(f"table {name}", _FIX):
        write(database.con, schema, table, rows)
    return rows.num_rows


def _to_duckdb(con: ibis.BaseBackend, schema: str | None, table: str, rows: pa.Table) -> None:
    con.create_table(table, rows, database=(SOURCE, schema or "main"), overwrite=True)


def _to_postgres(con: ibis.BaseBackend, schema: str | None, table: str, rows: pa.Table) -> None:
    from psycopg import sql

    wanted = ibis.Schema.from_pyarrow(rows.schema)
    there = table in con.list_tables(database=schema)
    same = there and _same(con.table(table, database=schema).schema(), wanted)
    target = sql.Identifier(*filter(None, (schema, table)))
    types = wanted.to_sqlglot_column_defs(con.dialect)
    # COPY is the one way that takes millions of rows, and Ibis has none.
    with con.con.transaction(), con.con.cursor() as cursor:
        if same:
            cursor.execute(sql.SQL("DELETE FROM {}").format(target))
        else:
            if there:
                cursor.execute(sql.SQL("DROP TABLE {}").format(target))
            columns = sql.SQL(", ").join(sql.SQL(column.sql(con.dialect)) for column in types)
            cursor.execute(sql.SQL("CREATE TABLE {} ({})").format(target, columns))
        names = sql.SQL(", ").join(map(sql.Identifier, rows.column_names))
        with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(target, names)) as copy:
            for batch in rows.to_batches(max_chunksize=50_000):
                for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    copy.write_row(row)


def _same(there: ibis.Schema, wanted: ibis.Schema) -> bool:
    kinds = [[(name, kind.copy(nullable=True)) for name, kind in each.items()] for each in (there, wanted)]
    return kinds[0] == kinds[1]


def _to_spark(con: ibis.BaseBackend, schema: str | None, table: str, rows: pa.Table) -> None:
    from pyspark.sql import SparkSession

    staged = f"{table}_{uuid.uuid4().hex[:8]}"
    where = f"{schema}." if schema else ""
    # Ibis would hand the rows over one by one; Spark takes them as Arrow.
    SparkSession.active().createDataFrame(rows).write.saveAsTable(f"{where}{staged}")
    con.drop_table(table, database=schema, force=True)
    con.rename_table(f"{where}{staged}", f"{where}{table}")
