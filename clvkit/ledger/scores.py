"""Scores of customers written back as a table of the database they came from."""

import uuid
from itertools import chain

import ibis
import pandas as pd
import pyarrow as pa

from clvkit.errors import DataError
from clvkit.ledger.databases import SOURCE, Database, refusing

_FIX = "ask for the right to create and write tables in that schema, or name another one"


def write_scores(database: Database, name: str, frame: pd.DataFrame | pa.Table | pa.RecordBatchReader) -> int:
    """Replace a table by ``frame``; returns the number of rows written. A reader is written block by block.

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
    if isinstance(frame, pd.DataFrame):
        frame = pa.Table.from_pandas(frame, preserve_index=False)
    blocks = frame.to_reader() if isinstance(frame, pa.Table) else frame
    *path, table = name.split(".")
    schema = ".".join(path) or None
    write = {"duckdb": _to_duckdb, "postgres": _to_postgres, "pyspark": _to_spark}[database.con.name]
    with refusing(f"table {name}", _FIX):
        return write(database.con, schema, table, blocks)


def _to_duckdb(con: ibis.BaseBackend, schema: str | None, table: str, blocks: pa.RecordBatchReader) -> int:
    where, count, staged = (SOURCE, schema or "main"), 0, f"{table}_{uuid.uuid4().hex[:8]}"
    # In the memory of this process first, which spills: the file sees one change.
    con.create_table(staged, schema=blocks.schema)
    for batch in blocks:
        con.insert(staged, pa.Table.from_batches([batch]))
        count += len(batch)
    con.create_table(table, con.table(staged), database=where, overwrite=True)
    con.drop_table(staged)
    return count


def _to_postgres(con: ibis.BaseBackend, schema: str | None, table: str, blocks: pa.RecordBatchReader) -> int:
    from psycopg import sql

    wanted = ibis.Schema.from_pyarrow(blocks.schema)
    there = table in con.list_tables(database=schema)
    same = there and _same(con.table(table, database=schema).schema(), wanted)
    target = sql.Identifier(*filter(None, (schema, table)))
    types = wanted.to_sqlglot_column_defs(con.dialect)
    count = 0
    # COPY is the one way that takes millions of rows, and Ibis has none.
    with con.con.transaction(), con.con.cursor() as cursor:
        if same:
            cursor.execute(sql.SQL("DELETE FROM {}").format(target))
        else:
            if there:
                cursor.execute(sql.SQL("DROP TABLE {}").format(target))
            columns = sql.SQL(", ").join(sql.SQL(column.sql(con.dialect)) for column in types)
            cursor.execute(sql.SQL("CREATE TABLE {} ({})").format(target, columns))
        names = sql.SQL(", ").join(map(sql.Identifier, blocks.schema.names))
        with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(target, names)) as copy:
            for batch in blocks:
                count += len(batch)
                for start in range(0, len(batch), 50_000):
                    columns = batch.slice(start, 50_000).columns
                    for row in zip(*(column.to_pylist() for column in columns), strict=True):
                        copy.write_row(row)
    return count


def _same(there: ibis.Schema, wanted: ibis.Schema) -> bool:
    kinds = [[(name, kind.copy(nullable=True)) for name, kind in each.items()] for each in (there, wanted)]
    return kinds[0] == kinds[1]


def _to_spark(con: ibis.BaseBackend, schema: str | None, table: str, blocks: pa.RecordBatchReader) -> int:
    from pyspark.sql import SparkSession

    staged, count = f"{table}_{uuid.uuid4().hex[:8]}", 0
    where = f"{schema}." if schema else ""
    try:
        # The first block has no rows: a table is made where there are none at all.
        for block in chain(
            [blocks.schema.empty_table()], (pa.Table.from_batches([batch]) for batch in blocks)
        ):
            # Ibis would hand the rows over one by one; Spark takes them as Arrow.
            rows = SparkSession.active().createDataFrame(block)
            rows.write.mode("append").saveAsTable(f"{where}{staged}")
            count += len(block)
    except BaseException:
        con.drop_table(staged, database=schema, force=True)
        raise
    con.drop_table(table, database=schema, force=True)
    con.rename_table(f"{where}{staged}", f"{where}{table}")
    return count
