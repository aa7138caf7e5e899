"""Files rewritten without a person, one way for each kind of file."""

import csv
import gzip
import io
import json
import re
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clvkit.erasure.person import ACCOUNT, CUSTOMER, ERASED, QUOTING, Person

PARQUET = (".parquet", ".pq")
OF_SOURCE = "account_"
_DELIMITER = {".csv": ",", ".tsv": "\t"}
#: What reading a damaged file raises.
DAMAGED = (OSError, EOFError, csv.Error, pa.ArrowException, zlib.error)
_TEXT = (".html", ".ipynb", ".svg", ".txt", ".log", ".md", ".yml", ".yaml", ".jsonl")


def rewrite(path: Path, target: Path, person: Person) -> bool:
    """Write ``path`` without the person to ``target``; whether there was anything to take out.

    Parquet and CSV lose the person's rows, JSON the entries of lists; in other text the names are replaced.
    """
    if path.suffix in PARQUET:
        return _parquet(path, target, person)
    packed = path.suffix == ".gz"
    suffix = Path(path.stem).suffix if packed else path.suffix
    if suffix not in (*_DELIMITER, *_TEXT, ".json"):
        return False
    data = path.read_bytes()
    text = (gzip.decompress(data) if packed else data).decode("utf-8", "surrogateescape")
    left = _without(text, suffix, person)
    if left == text:
        return False
    data = left.encode("utf-8", "surrogateescape")
    target.write_bytes(gzip.compress(data, mtime=0) if packed else data)
    return True


def count(path: Path, person: Person) -> int:
    """In how many rows (of text: how often) a file names the person, whatever kind of file it is."""
    if path.suffix in PARQUET:
        return sum(
            pc.sum(_named(batch, person)).as_py() or 0 for batch in pq.ParquetFile(path).iter_batches()
        )
    data = path.read_bytes()
    packed = path.suffix == ".gz"
    text = (gzip.decompress(data) if packed else data).decode("utf-8", "replace")
    suffix = Path(path.stem).suffix if packed else path.suffix
    if suffix in _DELIMITER:
        rows, kept = _kept(text, _DELIMITER[suffix], person)
        return len(rows) - len(kept)
    return len(person.sure.findall(text))


def _parquet(path: Path, target: Path, person: Person) -> bool:
    file = pq.ParquetFile(path)
    texts = [f.name for f in file.schema_arrow if _is_text(f.type) or f.name.startswith((CUSTOMER, ACCOUNT))]
    if not texts or not any(
        pc.any(_named(batch, person)).as_py() for batch in file.iter_batches(columns=texts)
    ):
        return False
    # Block by block: a ledger may be larger than memory.
    with pq.ParquetWriter(target, file.schema_arrow, compression="zstd") as writer:
        for batch in file.iter_batches():
            writer.write_batch(batch.filter(pc.invert(_named(batch, person))))
    return True


def _named(batch: pa.RecordBatch, person: Person) -> pa.BooleanArray:
    """Which rows name the person."""
    found = pa.array([False] * len(batch), pa.bool_())
    columns = {field.name: batch.column(at) for at, field in enumerate(batch.schema)}
    for name, column in columns.items():
        if name == CUSTOMER:
            here = _is_in(column, person.names)
            # A source of tickets may name customers by their address.
            if person.keys and _is_text(column.type):
                text = column.cast(pa.large_string())
                here = pc.or_kleene(here, pc.match_substring_regex(text, person.sure_re2))
        elif name == ACCOUNT and "source" in columns:
            here = pa.array([False] * len(batch), pa.bool_())
            for source, account in person.accounts:
                both = pc.and_(_is_in(columns["source"], {source}), _is_in(column, {account}))
                here = pc.or_(here, both)
        elif name == ACCOUNT:
            here = _is_in(column, person.account_ids)
        elif name.startswith(OF_SOURCE):  # of a table of customers: the account in that source
            theirs = {
                account for source, account in person.accounts if source == name.removeprefix(OF_SOURCE)
            }
            here = _is_in(column, theirs)
        elif _is_text(column.type):
            text = column.cast(pa.large_string())
            here = pc.match_substring_regex(text, person.sure_re2)
            if name in QUOTING:
                here = pc.or_kleene(here, pc.match_substring_regex(text, person.quoted))
        else:
            continue
        found = pc.or_(found, pc.fill_null(here, False))
    return found


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_in(column: pa.Array, words: frozenset[str] | set[str]) -> pa.BooleanArray:
    return pc.is_in(column.cast(pa.large_string()), value_set=pa.array(sorted(words), pa.large_string()))


def _without(text: str, suffix: str, person: Person) -> str:
    if suffix in _DELIMITER:
        return _csv(text, _DELIMITER[suffix], person)
    if suffix == ".json":
        try:
            value = json.loads(text)
        except ValueError:
            return person.sure.sub(ERASED, text)
        left = _json(value, person)
        return text if left == value else json.dumps(left, indent=1, ensure_ascii=False) + "\n"
    return person.sure.sub(ERASED, text)


def _csv(text: str, delimiter: str, person: Person) -> str:
    rows, kept = _kept(text, delimiter, person)
    if len(kept) == len(rows):
        return text
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(kept)
    return out.getvalue()


def _kept(text: str, delimiter: str, person: Person) -> tuple[list[list[str]], list[list[str]]]:
    """All rows of a CSV text, and those that do not name the person."""
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    at = {name: place for place, name in enumerate(rows[0])} if rows else {}

    def theirs(row: list[str]) -> bool:
        cell = {name: row[place] for name, place in at.items() if place < len(row)}
        named = cell.get(CUSTOMER) in person.names or person.owns(cell.get(ACCOUNT), cell.get("source"))
        return named or any(person.sure.search(text) for text in row)

    return rows, [row for row in rows if not theirs(row)]


def _json(value: Any, person: Person) -> Any:
    if isinstance(value, list):
        return [_json(one, person) for one in value if not _is_theirs(one, person)]
    if isinstance(value, dict):
        return {person.sure.sub(ERASED, name): _json(one, person) for name, one in value.items()}
    return person.sure.sub(ERASED, value) if isinstance(value, str) else value


def _is_theirs(one: Any, person: Person) -> bool:
    """Whether an entry of a list is about the person: it names them as its customer, or quotes a row of theirs."""
    if not isinstance(one, dict):
        return False
    if str(one.get(CUSTOMER)) in person.names or person.owns(one.get(ACCOUNT), one.get("source")):
        return True
    quotes = [one[name] for name in QUOTING if "row" in one and isinstance(one.get(name), str)]
    return any(person.sure.search(text) or re.search(person.quoted, text) for text in quotes)
