"""Columns of a file, folder or table never seen before, as text, with what is not sure of how to read them."""

import os
import re
import textwrap
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import ibis.expr.types as ir
import pyarrow as pa

from clvkit.errors import DataError
from clvkit.ledger import detect
from clvkit.ledger.columns import names_in_order
from clvkit.ledger.databases import database_kind, open_database
from clvkit.ledger.detect import Dates, Numbers, date_formats, decimal_sign
from clvkit.ledger.detect_values import MISSING
from clvkit.ledger.engine import connect
from clvkit.ledger.files import ENDINGS, SourceFile, source_files
from clvkit.ledger.relations import open_relation
from clvkit.ledger.section import LedgerSection

FILES_LOOKED_AT = 3


@dataclass
class Column:
    """A column as text, in the order of its rows; ``kind`` is date or number where the source has types."""

    name: str
    values: list[str | None]
    kind: str | None = None

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each value stands; missing ones are left out."""
        return Counter(v.strip() for v in self.values if v is not None and v.strip() not in MISSING)

    @property
    def there(self) -> int:
        """Rows with a value."""
        return self.counts.total()

    @property
    def missing(self) -> float:
        """Share of the rows without a value."""
        return 1 - self.there / len(self.values)

    @cached_property
    def numbers(self) -> Numbers:
        """How its numbers are written, judged by the head and the tail."""
        return decimal_sign(
            self.values[:20_000] + self.values[-2_000:] if len(self.values) > 22_000 else self.values
        )

    @cached_property
    def glance(self) -> Dates:
        """Dates in a part of the rows: enough to see whether the column is one of dates."""
        there = [v for v in self.values[:20_000] if v is not None]
        return date_formats(there[:1000] + there[1000:][-500:])

    @cached_property
    def dates(self) -> Dates:
        """How its dates may be written, judged by all rows."""
        return date_formats(self.values)

    @property
    def is_date(self) -> bool:
        """Whether it is a column of dates."""
        return self.kind == "date" or (self.kind is None and self.glance.share >= 0.8)

    @cached_property
    def fractional(self) -> float:
        """Share of the values with something behind a decimal sign."""
        hits = sum(
            n for v, n in self.counts.items() if re.search(r"[.,]\d*[1-9]\d?\D*$|[.,]\d{2}\D*$", v[:40])
        )
        return hits / self.there if self.there else 0.0

    @property
    def described(self) -> str:
        """What is in it, for a message."""
        if not self.there:
            return "empty"
        sample = textwrap.shorten(next(iter(self.counts)), 30, placeholder="...")
        if self.is_date:
            return "dates" if self.kind else f"dates as {self.glance.rivals[0].format}"
        kind = "numbers" if self.numbers.share >= 0.9 else "text"
        kind += f" (or {self.glance.serial})" if self.kind is None and self.glance.serial else ""
        return f"{kind}, {len(self.counts):,} different in {self.there:,} rows, such as {sample!r}"


@dataclass
class Source:
    """What was seen of a source: its columns, the settings that read it, and what is not sure."""

    name: str
    columns: list[Column]
    settings: dict[str, Any]
    named: bool = True
    whole: bool = True
    files: int = 1
    paths: tuple[Path, ...] = ()
    table: ir.Table | None = None
    unsure: dict[str, list[str]] = field(default_factory=dict)

    def doubt(self, key: str, text: str) -> None:
        """Note what is not sure about a value of the study, by its dotted key."""
        self.unsure.setdefault(key, []).append(text)


def look_at_files(data: Path, base: Path) -> Source:
    """Look at a file, folder or pattern; paths in the study count from ``base``.

    Raises
    ------
    DataError : nothing is there, or it is no table.
    """
    known = data.name.lower().endswith(sum(ENDINGS.values(), ()))
    form = "auto"
    if data.is_file() and not known:
        with open(data, "rb") as file:
            head = file.read(16)
        form = "parquet" if head[:4] == b"PAR1" else "csv"
        _refuse_database(data, head)
    try:
        files = source_files(LedgerSection(path=str(data), format=form), Path("."))
    except DataError as error:
        if "matches no file" not in error.message:
            raise
        raise DataError(
            f"nothing to look at: {str(data)!r} matches no file",
            place=error.place,
            fix="correct it; it counts from the current folder",
        ) from None
    path = Path(os.path.relpath(data, base)).as_posix()
    settings = {"path": path} | ({"format": form} if form != "auto" else {})
    chosen = list(dict.fromkeys((files[0], files[len(files) // 2], files[-1])))[:FILES_LOOKED_AT]
    look = _look_at_parquet if files[0].format == "parquet" else _look_at_csv
    source = look(
        chosen, Source(data.name, [], settings, files=len(files), paths=tuple(f.path for f in files))
    )
    if len(files) > len(chosen):
        source.whole = False
        shown = ", ".join(f.name for f in chosen)
        source.doubt("ledger.path", f"{len(chosen)} of {len(files)} files were looked at: {shown}")
    return source


def _refuse_database(data: Path, head: bytes) -> None:
    """DataError where a file is a database, of which a table has to be named."""
    kind = "sqlite" if head.startswith(b"SQLite format 3") else "duckdb" if head[8:12] == b"DUCK" else None
    if kind:
        raise DataError(
            f"{data.name} is a database, and a study needs one of its tables",
            place=str(data),
            fix=f"clv new {kind}:{data} --relation TABLE",
        )


def _look_at_csv(files: list[SourceFile], source: Source) -> Source:
    looks = [detect.encodings(file.path) for file in files]
    guesses = next((g for g in looks if not g[0].certain), looks[0])
    source.settings["encoding"] = guesses[0].encoding
    if not guesses[0].certain:
        others = "; ".join(g.why.removeprefix("not valid UTF-8; ") for g in guesses[1:])
        also = f"; less likely, {others}" if others and not guesses[0].ambiguous else f"; or {others}"
        source.doubt("ledger.encoding", guesses[0].why + (also if others else ""))
    encoding = source.settings["encoding"]
    signs = detect.delimiter(files[0].path, encoding)
    if not signs:
        raise DataError(
            f"{files[0].name} has no columns: no comma, semicolon, tab or | stands equally often in its lines",
            place=files[0].name,
            fix="name a table with one of these signs between its columns",
        )
    sign = signs[0].sign
    source.settings["delimiter"] = sign
    if signs[0].ambiguous:
        rivals = " and ".join(f"{d.sign!r} ({d.columns} columns)" for d in signs[:2])
        raise DataError(
            f"two signs split the lines of {files[0].name} equally well: {rivals}",
            place=files[0].name,
            fix="put quotes around the fields that hold one of them",
        )
    head = detect.header(files[0].path, encoding, sign)
    source.settings["header"] = source.named = head.names
    if not head.certain:
        source.doubt("ledger.header", head.why)
    names, rows = None, []
    for file in files:
        found = detect.read_rows(file.path, encoding, sign)
        if not found.rows:
            raise DataError(
                f"{file.name} has a quote that opens and never closes",
                place=file.name,
                fix="correct the quote in the source, or export it again",
            )
        top = [n.strip() for n in found.rows[0]] if head.names else names_in_order(len(found.rows[0]))
        names = names or top
        if top != names:
            source.doubt(
                "ledger.path", f"{file.name} has other columns than {files[0].name}: {', '.join(top[:12])}"
            )
            continue
        rows += [row for row in (found.rows[1:] if head.names else found.rows) if len(row) == len(names)]
        source.whole &= found.whole
    columns = zip(*rows, strict=True) if rows else [[] for _ in names]
    source.columns = [Column(n, list(v)) for n, v in zip(names, columns, strict=True) if n]
    return source


def _look_at_parquet(files: list[SourceFile], source: Source) -> Source:
    con = connect()
    try:
        table = con.read_parquet([str(file.path) for file in files])
        return _with_table(source, table)
    except (OSError, duckdb.Error) as error:
        raise DataError(
            f"{source.name} is not readable as Parquet: {error}", place=source.name, fix="export it again"
        ) from error


def look_at_database(database: str, relation: str | None, base: Path) -> Source:
    """Look at a table or view of what a study names under ``database:``; a file counts from the current folder.

    Raises
    ------
    DataError : the database cannot be opened, or has no such table; says which ones it has.
    """
    kind, rest = database_kind(database)
    table = open_relation(open_database(database, Path(".")), relation or "")
    if kind in ("duckdb", "sqlite"):
        database = f"{kind}:{Path(os.path.relpath(Path(rest).expanduser(), base)).as_posix()}"
    settings = {"database": database, "relation": relation}
    return _with_table(Source(relation.rpartition(".")[2], [], settings), table)


def look_at_table(table: ir.Table, base: Path) -> Source:
    """Look at a table where it lies; the engine's file is named relative to ``base``."""
    op = table.op()
    name = getattr(op, "name", "query")
    schema = getattr(getattr(op, "namespace", None), "database", None)
    source = Source(name, [], {})
    if "database" not in LedgerSection.model_fields:
        source.settings["path"] = f"{name}.parquet"
        source.doubt(
            "ledger.path", f"a study reads files: write the table {name} to this one, or name another"
        )
        return _with_table(source, table)
    backend = table.get_backend()
    place = next(iter(getattr(backend, "_con_args", ())), None)  # the file, of an engine that lies in one
    if backend.name in ("duckdb", "sqlite") and isinstance(place, str | Path) and Path(place).is_file():
        source.settings["database"] = f"{backend.name}:{Path(os.path.relpath(place, base)).as_posix()}"
    else:
        source.settings["database"] = f"{backend.name}:FILL"
        source.doubt(
            "ledger.database", "write where the table lies: duckdb:FILE, sqlite:FILE or env:VARIABLE"
        )
    source.settings["relation"] = name if schema in (None, "main") else f"{schema}.{name}"
    if LedgerSection.model_fields["path"].is_required():
        source.settings["path"] = f"{name}.parquet"
    return _with_table(source, table)


def _with_table(source: Source, table: ir.Table) -> Source:
    """Columns of a typed table, from a bounded number of its rows."""
    kinds = {}
    for column, kind in table.schema().items():
        if kind.is_date() or kind.is_timestamp():
            kinds[column] = "date"
        elif kind.is_numeric() and not kind.is_boolean():
            kinds[column] = "number"
        elif kind.is_string():
            kinds[column] = None
    sample: pa.Table = (
        table.select(**{c: table[c].cast("string") for c in kinds}).limit(detect.MAX_ROWS).to_pyarrow()
    )
    source.whole &= len(sample) < detect.MAX_ROWS
    source.columns = [Column(c, sample[c].to_pylist(), kind) for c, kind in kinds.items()]
    source.table = table
    return source
