"""The embedded engine a ledger is computed in, and the few functions of it that Ibis has no name for."""

import os
import tempfile
import uuid
from datetime import datetime

import ibis


def connect() -> ibis.BaseBackend:
    """A private in-memory DuckDB that spills to the system's temporary folder when memory runs short."""
    # DuckDB makes the folder only when it first spills, and removes it when the connection closes.
    spill = os.path.join(tempfile.gettempdir(), f"clvkit-{uuid.uuid4().hex}")
    # No result depends on the order of rows in a table: without it, DuckDB writes in parallel and holds less.
    return ibis.duckdb.connect(":memory:", temp_directory=spill, preserve_insertion_order=False)


@ibis.udf.scalar.builtin
def regexp_extract_all(text: str, pattern: str, group: int) -> list[str]:
    """Every match's group, from left to right."""


@ibis.udf.scalar.builtin
def try_strptime(text: str, format: str) -> datetime:
    """The moment written in ``text``, or null where it does not follow ``format``."""


def total(column: ibis.expr.types.IntegerColumn) -> ibis.expr.types.DecimalScalar:
    """The exact sum of whole numbers: DuckDB sums 64-bit integers in 128 bits, and this keeps them."""
    return column.sum().cast("decimal(38, 0)")
