"""The engine a ledger is computed in: where intermediate tables go, and what Ibis has no one name for."""

import os
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import duckdb
import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pyarrow as pa

from clvkit.errors import DataError

MEMORY = "CLVKIT_MEMORY_GB"
#: Bytes of sources from which on their tables are kept compressed on the disk. Smaller ones are faster in memory.
LARGE = 200_000_000
ROWS_AT_ONCE = 12_000_000  # that are grouped at once: by customer and day, that takes about 2 GB
HASH_BITS = 0x7FFFFFFF


def connect(source_bytes: int = 0) -> ibis.BaseBackend:
    """A private DuckDB that spills to the system's temporary folder when memory runs short.

    ``CLVKIT_MEMORY_GB`` in the environment limits what it holds at once; by default that is 80 % of the machine's. Of
    `LARGE` sources the tables themselves lie in that folder until the connection is gone: DuckDB compresses what it
    writes to a database and not what it spills, so that they take a fifth of the room.
    """
    # DuckDB makes the folder only when it first spills, and removes it when the connection closes.
    spill = os.path.join(tempfile.gettempdir(), f"clvkit-{uuid.uuid4().hex}")
    # No result depends on the order of rows in a table: without it, DuckDB writes in parallel and holds less.
    settings = {"temp_directory": spill, "preserve_insertion_order": False} | _memory_limit()
    if source_bytes < LARGE:
        return ibis.duckdb.connect(":memory:", **settings)
    os.mkdir(spill, mode=0o700)
    con = ibis.duckdb.connect(os.path.join(spill, "ledger.duckdb"), **settings)
    weakref.finalize(con, shutil.rmtree, spill, ignore_errors=True)
    return con


@contextmanager
def enough_room() -> Iterator[None]:
    """What DuckDB says when its memory does not suffice, or the disk it spills to, is an error of ours."""
    try:
        yield
    except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
        said = str(error).splitlines()[0]
        if isinstance(error, duckdb.IOException):
            if "No space left" not in said:
                raise
            said = "the disk with the temporary folder is full"
        raise DataError(
            f"there is not enough room to build the ledger: {said}",
            place="the memory, or the temporary folder",
            fix=f"raise {MEMORY} where it is set, close other programs, or name a folder on a larger disk in TMPDIR",
        ) from error


def _memory_limit() -> dict[str, str]:
    text = os.environ.get(MEMORY, "").strip()
    if not text:
        return {}
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = 0.0
    if not 0.05 <= gigabytes < float("inf"):
        raise DataError(
            f"{MEMORY} is {text!r}, which is no number of gigabytes from 0.05 on",
            place=f"the environment variable {MEMORY}",
            fix=f"set it to a number, such as {MEMORY}=4, or unset it",
        )
    return {"memory_limit": f"{round(gigabytes * 1000)}MB"}


def engine_of(expression: ir.Expr) -> str:
    """Where an expression runs: ``duckdb``, ``postgres`` or ``pyspark``."""
    return expression.get_backend().name


class Scratch:
    """Intermediate tables of one ledger, where its data lives, gone when the connection or this object is.

    DuckDB keeps them in its private memory, PostgreSQL as temporary tables of the session, Spark as checkpointed
    data frames. Neither a table nor a view of the user's database is made or replaced.
    """

    def __init__(self, con: ibis.BaseBackend):
        self.con = con
        self._kept: dict[str, ir.Table] = {}
        self._views: set[str] = set()

    def __getitem__(self, name: str) -> ir.Table:
        """The table or view of that name."""
        return self._kept[name]

    def view(self, name: str, rows: ir.Table) -> ir.Table:
        """``rows`` under a name, so that steps built on them do not repeat the work that made them."""
        if self.con.name == "duckdb":
            rows = self.con.create_view(name, rows)
            self._views.add(name)
        elif self.con.name == "pyspark":
            rows = self.con.create_view(f"clvkit_{uuid.uuid4().hex}_{name}", rows)
        # PostgreSQL has no temporary view in Ibis, and plans nested selects as one.
        self._kept[name] = rows
        return rows

    def table(self, name: str, rows: ir.Table | pa.Table) -> ir.Table:
        """``rows`` computed once, never again, and kept until ``drop``."""
        if self.con.name == "duckdb":
            made = self.con.create_table(name, rows)
        elif self.con.name == "pyspark":
            made = self._in_spark(name, rows)
        elif isinstance(rows, pa.Table):
            made = self.con.create_table(f"clvkit_{uuid.uuid4().hex}", rows, temp=True)
        else:
            made = rows.cache()
        self._kept[name] = made
        return made

    def table_by_parts(
        self, name: str, lines: ir.Table, key: str, make: Callable[[ir.Table], ir.Table], rows: int
    ) -> ir.Table:
        """``make(lines)`` as a table, of about ``rows`` lines, made for some values of ``key`` after the others.

        DuckDB holds what a group adds up to in memory, whatever the number of groups; the other engines spill.
        """
        parts = 1 + rows // ROWS_AT_ONCE if self.con.name == "duckdb" else 1
        if parts == 1:
            return self.table(name, make(lines))
        # One hash serves all parts of one run; nothing depends on which part a row is in.
        part = (lines[key].hash() & HASH_BITS) % parts
        made = self.table(name, make(lines.filter(part == 0)))
        for number in range(1, parts):
            more = self.con.compile(make(lines.filter(part == number)))
            self.con.raw_sql(f'INSERT INTO "{made.op().name}" BY NAME {more}')
        return made

    def _in_spark(self, name: str, rows: ir.Table | pa.Table) -> ir.Table:
        from pyspark.sql import SparkSession

        session = SparkSession.active()
        if isinstance(rows, pa.Table):
            frame = session.createDataFrame(rows)
        else:
            made = self.con.create_view(f"clvkit_{uuid.uuid4().hex}", rows)
            # A checkpoint forgets how it was made: plans stay short, and what was drawn by chance stays drawn.
            frame = session.table(made.op().name).localCheckpoint(eager=True)
            self.con.drop_view(made.op().name)
        view = f"clvkit_{uuid.uuid4().hex}_{name}"
        frame.createOrReplaceTempView(view)
        return self.con.table(view)

    def drop(self, *names: str) -> None:
        """Give back the space of tables; names that were never made are passed over."""
        for name in names:
            kept = self._kept.pop(name, None)
            if kept is None:
                continue
            name_there = kept.op().name if hasattr(kept.op(), "name") else ""
            if self.con.name == "pyspark" or name in self._views:
                self.con.drop_view(name_there, force=True)
            elif hasattr(kept, "release"):
                kept.release()
            else:
                self.con.drop_table(name_there, force=True)


@ibis.udf.scalar.builtin
def md5(text: str) -> str:
    """MD5 of a text in hexadecimal: DuckDB, PostgreSQL and Spark have it under this name and agree on it."""


@ibis.udf.scalar.builtin
def regexp_extract_all(text: str, pattern: str, group: int) -> list[str]:
    """Every match's group, from left to right."""


@ibis.udf.scalar.builtin
def try_strptime(text: str, format: str) -> datetime:
    """The moment written in ``text``, or null where it does not follow ``format``."""


@ibis.udf.scalar.builtin
def convert_to(text: str, encoding: str) -> bytes:
    """The bytes of a text (PostgreSQL)."""


@ibis.udf.scalar.builtin(name="hash")
def _duckdb_hash(text: str) -> dt.uint64:
    """A 64-bit hash (DuckDB)."""


@ibis.udf.scalar.builtin
def hashtextextended(text: str, seed: dt.int64) -> dt.int64:
    """A 64-bit hash (PostgreSQL)."""


@ibis.udf.scalar.builtin
def xxhash64(text: str) -> dt.int64:
    """A 64-bit hash (Spark)."""


def row_hash(text: ir.StringColumn) -> ir.IntegerColumn:
    """A hash of a text in 64 bits, each engine's own: equal within one engine, not between two."""
    engine = engine_of(text)
    if engine == "postgres":
        return hashtextextended(text, 0)
    return _duckdb_hash(text) if engine == "duckdb" else xxhash64(text)


def fingerprint(text: ir.StringColumn) -> ir.Value:
    """128 bits that stand for a text of any length, equal where texts are: sixteen bytes to group by and to keep.

    MD5, which all engines have. Somebody who means to can write two texts that share it, and gains two rows that
    count as copies of each other.
    """
    digest = md5(text)
    return digest if engine_of(text) == "pyspark" else digest.cast("uuid")


def bytewise(text: ir.StringColumn) -> ir.Value:
    """What to sort ``text`` by, so that every engine gives the same order: that of its bytes in UTF-8.

    PostgreSQL sorts text as the database's language does. The smallest text is ``text.argmin(bytewise(text))``.
    """
    return convert_to(text, "UTF8") if engine_of(text) == "postgres" else text


def first_text(text: ir.StringColumn) -> ir.StringScalar:
    """The smallest text by its bytes, the same on every engine."""
    return text.argmin(bytewise(text)) if engine_of(text) == "postgres" else text.min()


def last_text(text: ir.StringColumn) -> ir.StringScalar:
    """The largest text by its bytes, the same on every engine."""
    return text.argmax(bytewise(text)) if engine_of(text) == "postgres" else text.max()


def to_decimal(text: ir.StringColumn, precision: int, scale: int) -> ir.DecimalColumn:
    """The number written in ``text``, rounded half away from zero; null where it is none or has no room."""
    wanted = f"decimal({precision}, {scale})"
    if engine_of(text) != "postgres":
        return text.try_cast(wanted)
    # PostgreSQL cannot try a cast; its numbers without a stated size hold every text of this form.
    written = text.re_search(r"^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]{1,3})?$")
    number = ibis.ifelse(written, text, ibis.null("string")).cast("decimal")
    # Half a unit of the last place below the first number that has no room.
    limit = ibis.literal(f"{10 ** (precision - scale) - 1}.{'9' * scale}5").cast("decimal")
    return ibis.ifelse(number.abs() < limit, number, ibis.null("decimal")).cast(wanted)


def total(column: ir.IntegerColumn) -> ir.DecimalScalar:
    """The exact sum of whole numbers: DuckDB and PostgreSQL sum 64-bit integers in more, and this keeps them."""
    if engine_of(column) == "pyspark":  # sums in 64 bits, and wraps around where ANSI mode is off
        return column.cast("decimal(20, 0)").sum().cast("decimal(38, 0)")
    return column.sum().cast("decimal(38, 0)")
