"""Versions of the data: what a ledger's lines were, by source and month, and what has changed since.

A snapshot holds counts, sums and hashes, and no row. Two snapshots say which closed months differ; with the lines
of both at hand, the rows that were added, removed or changed are listed with old and new value.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis

from clvkit.errors import DataError
from clvkit.ledger.engine import md5
from clvkit.runs import read_json, write_json
from clvkit.store import canonical_json, sha256_text

if TYPE_CHECKING:
    import ibis.expr.types as ir

VERSIONS = ".versions"
FORMAT = 1

#: Columns that say where a row stood, which a new export may change for every row, and what became of it in the
#: ledger, which depends on its neighbours and on the study.
PLACE = ("ordinal", "file", "file_no", "row", "state", "reason", "quarantined")

_HEX = "0123456789abcdef"
_LANE = 15  # hexadecimal digits in one lane: 60 bits, so that a 64-bit integer holds them
_EXACT = 10**12  # numbers with a fraction count to six places below this, as they are written above it


def content_columns(lines: "ir.Table") -> list[str]:
    """The columns that make up what a row says, sorted by name."""
    return sorted(set(lines.columns) - set(PLACE))


def row_lanes(lines: "ir.Table", columns: Iterable[str] | None = None) -> "tuple[ir.Value, ir.Value]":
    """Two whole numbers below 2^60, together the first 120 bits of the MD5 of each row.

    The row is written as its values in order of the column names, each with its length before it, so that no
    value can be mistaken for its neighbour; null is ``-``. The same rows have the same numbers on every engine.
    """
    names = content_columns(lines) if columns is None else list(columns)
    text = ibis.literal("")
    for name in names:
        value = _text(lines[name])
        text = text + (value.length().cast("string") + ":" + value).fill_null("-")
    digest, number = md5(text), _number_in_duckdb if _engine(lines) == "duckdb" else _number
    return number(digest, 0), number(digest, _LANE)


def content_hash(rows: int, low: int, high: int) -> str:
    """Hash of a table that does not depend on the order of its rows: their number, and the sums of both lanes."""
    return sha256_text(f"{rows}:{low}:{high}")


def schema_of(columns: Iterable[tuple[str, str]]) -> dict:
    """Names and types of the columns with their hash; the order of the columns is part of neither."""
    listed = sorted([str(name), str(kind)] for name, kind in columns)
    return {"columns": listed, "sha256": sha256_text(canonical_json(listed))}


def schema_of_table(table: "ir.Table") -> dict:
    """`schema_of` an Ibis table."""
    return schema_of((name, str(kind).removeprefix("!")) for name, kind in table.schema().items())


def schema_of_file(
    path: Path, *, delimiter: str = ",", encoding: str = "utf-8", header: bool = True, format: str = "auto"
) -> dict:
    """`schema_of` a CSV file (every column is text) or a Parquet file, as the user has it.

    Raises
    ------
    DataError : the file cannot be read.
    """
    import csv
    import gzip

    path = Path(path)
    try:
        if format == "parquet" or (format == "auto" and path.suffix in (".parquet", ".pq")):
            import pyarrow.parquet as pq

            return schema_of((field.name, str(field.type)) for field in pq.read_schema(path))
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding=encoding, newline="") as file:
            first = next(csv.reader(file, delimiter=delimiter), [])
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(
            f"the columns of {path.name} cannot be read: {error}",
            place=path.name,
            fix="check that the file is complete and in the encoding that the study names",
        ) from error
    names = [name.strip() for name in first] if header else [str(n + 1) for n in range(len(first))]
    return schema_of((name, "text") for name in names)


def snapshot(
    lines: "ir.Table",
    *,
    as_of: date,
    files: Mapping[str, list[dict]],
    schemas: Mapping[str, dict] | None = None,
) -> dict:
    """What the lines are: counts, sums and hashes by source, month and currency, as JSON values.

    Parameters
    ----------
    lines : one row per source row with at least ``source, day, currency, amount_minor``.
    as_of : the as-of date; months that end by it are closed.
    files : by source the ``{"file", "sha256", …}`` of each of its files.
    schemas : by source what `schema_of_file` says of its files; that of the lines by default.

    Returns
    -------
    ``{"format", "as_of", "sources": {name: {"files", "schema", "rows", "content", "months": [{"month",
    "currency", "rows", "amount_minor", "content"}]}}}``; ``month`` is ``1998-06``, or null for rows without a
    readable day; ``amount_minor`` is in minor units of the currency.
    """
    low, high = row_lanes(lines)
    rows = lines.mutate(month=_month(lines), low=low, high=high)
    grouped = rows.group_by("source", "month", "currency").agg(
        rows=rows.count(),
        amount_minor=_exact(rows.amount_minor),
        low=_exact(rows.low),
        high=_exact(rows.high),
    )
    found = [
        {k: int(v or 0) if k in _SUMS else v for k, v in group.items()}
        for group in grouped.to_pyarrow().to_pylist()
    ]
    schema = schema_of_table(lines.drop(*(name for name in PLACE if name in lines.columns)))
    sources = {}
    for name in sorted({*files, *(group["source"] for group in found)}):
        own = sorted(
            (group for group in found if group["source"] == name),
            key=lambda group: (group["month"] or "", group["currency"] or ""),
        )
        sources[name] = {
            "files": [{"file": one["file"], "sha256": one["sha256"]} for one in files.get(name, [])],
            "schema": (schemas or {}).get(name, schema),
            "rows": sum(group["rows"] for group in own),
            "content": content_hash(*(sum(group[k] for group in own) for k in ("rows", "low", "high"))),
            "months": [
                {k: group[k] for k in ("month", "currency", "rows", "amount_minor")}
                | {"content": content_hash(group["rows"], group["low"], group["high"])}
                for group in own
            ],
        }
    return {"format": FORMAT, "as_of": as_of.isoformat(), "sources": sources}


def closed_before(as_of: date) -> date:
    """The first day that does not lie in a closed month: a month is closed when its last day is known."""
    return (as_of + timedelta(days=1)).replace(day=1)


def version_id(snapshot: Mapping[str, Any]) -> str:
    """Name of a version: the first twelve digits of the sha256 of its canonical JSON."""
    return sha256_text(canonical_json(snapshot))[:12]


def keep_version(study_folder: Path, snapshot: Mapping[str, Any], *, run_id: str, ledger: str) -> str:
    """Keep a snapshot under ``reports/<study>/.versions/``; one that is there already stays as it was.

    Parameters
    ----------
    run_id : the run that saw it first.
    ledger : key of the artifact that holds its lines.

    Returns the name of the version.
    """
    name = version_id(snapshot)
    path = Path(study_folder) / VERSIONS / f"{name}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        number = 1 + max((one["number"] for one in list_versions(study_folder)), default=0)
        kept = {"version": name, "number": number, "run_id": run_id, "ledger": ledger, "snapshot": snapshot}
        write_json(path, kept)
    return name


def list_versions(study_folder: Path) -> list[dict]:
    """The versions kept, first one first: ``version, number, run_id, ledger, snapshot``.

    Raises
    ------
    RunError : a version cannot be read.
    """
    kept = [read_json(path) for path in (Path(study_folder) / VERSIONS).glob("*.json")]
    return sorted(kept, key=lambda one: (one["number"], one["version"]))


_SUMS = ("rows", "amount_minor", "low", "high")


def _month(lines: "ir.Table") -> "ir.StringValue":
    """The month of each row as text, ``1998-06``."""
    month = lines.day.month().cast("string").lpad(2, "0")
    return lines.day.year().cast("string") + "-" + month


def _exact(column: "ir.IntegerValue") -> "ir.DecimalValue":
    return column.cast("decimal(38, 0)").sum().cast("decimal(38, 0)")


def _text(column: "ir.Value") -> "ir.StringValue":
    """A value as text, written alike by every engine."""
    kind = column.type()
    if kind.is_boolean():
        return ibis.cases((column.isnull(), ibis.null("string")), (column, "1"), else_="0")
    if kind.is_floating():
        small = column.abs() < _EXACT
        whole = (ibis.ifelse(small, column, 0.0) * 10**6).round().cast("int64")
        return ibis.ifelse(small, whole.cast("string"), column.cast("string"))
    return column.cast("string")


def _number(digest: "ir.StringValue", start: int) -> "ir.IntegerValue":
    """Fifteen hexadecimal digits as a number. No two engines share a function for it, but all find a letter."""
    number = ibis.literal(0, "int64")
    for at in range(start, start + _LANE):
        # By way of 32 bits: Ibis takes a place in a text for 64 wide, and PostgreSQL, where it is 32, would overflow.
        place = ibis.literal(_HEX).find(digest.substr(at, 1)).cast("int32").cast("int64")
        number = number * 16 + place
    return number


def _number_in_duckdb(digest: "ir.StringValue", start: int) -> "ir.IntegerValue":
    """The same number in half the time: DuckDB reads hexadecimal when it casts."""
    return (ibis.literal("0x") + digest.substr(start, _LANE)).cast("int64")


def _engine(table: "ir.Table") -> str:
    return table.get_backend().name


def expected_lanes(values: Iterable[str | None]) -> tuple[int, int]:
    """What `row_lanes` gives for one row of these texts, computed outside of any engine."""
    text = "".join("-" if value is None else f"{len(value)}:{value}" for value in values)
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return int(digest[:_LANE], 16), int(digest[_LANE : 2 * _LANE], 16)
