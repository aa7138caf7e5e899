"""The user's own source files, searched for a person and left as they are."""

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from clvkit.erasure.person import Person
from clvkit.errors import DataError
from clvkit.ledger.detect import encodings
from clvkit.ledger.files import source_files

if TYPE_CHECKING:
    from clvkit.study import Study


@dataclass
class OwnFiles:
    """What the search found.

    Attributes
    ----------
    holding : ``{"source", "file", "rows"}`` of every file that still holds the person.
    unsearched : places that the search did not reach, each with the reason.
    """

    holding: list[dict[str, Any]] = field(default_factory=list)
    unsearched: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _File:
    source: str
    name: str
    path: Path
    section: Any
    pairs: bool = (
        False  # whether it says who has which account, with the source beside it where there are several
    )

    def rows(self) -> Iterator[list[str]]:
        """The rows as text, a header line first where there is one."""
        if self.path.suffix in (".parquet", ".pq"):
            file = pq.ParquetFile(self.path)
            yield list(file.schema_arrow.names)
            for batch in file.iter_batches():
                columns = [_texts(column) for column in batch.columns]
                yield from ([cell or "" for cell in row] for row in zip(*columns, strict=True))
            return
        opening = gzip.open if self.path.suffix == ".gz" else open
        encoding = self.section.encoding or encodings(self.path)[0].encoding
        with opening(self.path, "rt", encoding=encoding, errors="replace", newline="") as file:
            lines = (line.replace("\x00", "") for line in file)
            delimiter = {"tab": "\t"}.get(self.section.delimiter, self.section.delimiter)
            # Line by line: a quote that never closes must not swallow the rest of the file.
            for line in lines:
                yield next(csv.reader([line], delimiter=delimiter), [])

    def accounted(self) -> Iterator["_Row"]:
        """The rows behind the header with their accounts: those of the columns that name them, or any cell.

        A table of customers may name accounts of several sources.
        """
        rows = self.rows()
        header = [name.strip() for name in next(rows, [])]
        columns = getattr(self.section, "columns", None)
        name = columns.customer if columns is not None else None
        keys = set((getattr(self.section, "keys", None) or {}).values())
        with_header = self.path.suffix in (".parquet", ".pq") or getattr(self.section, "header", True)
        names = header if with_header else [str(n + 1) for n in range(len(header))]
        owners = getattr(self.section, "accounts", None) or {}
        at = [(source, names.index(column)) for source, column in owners.items() if column in names]
        if name in names:
            at.append((self.source, names.index(name)))
        space = getattr(self.section, "account_space", None)
        if space and self.section.fields["customer"] in names:
            at.append((space, names.index(self.section.fields["customer"])))
        places = [place for place, one in enumerate(names) if one in keys]
        for row in rows if with_header else chain([header], rows):
            said = at or [(self.source, place) for place in range(len(row))]
            if self.pairs:
                of = dict(zip(names, row, strict=False)).get("source")
                said = [(of, place) for _, place in said]
            accounts = [(source, row[place].strip()) for source, place in said if place < len(row)]
            yield _Row(row, accounts, [row[n] for n in places if n < len(row)])


@dataclass(frozen=True)
class _Row:
    cells: list[str]
    accounts: list[tuple[str | None, str]]
    keys: list[str]


def source_names(study: "Study") -> list[str]:
    """Names of the study's sources."""
    return list(study.ledger.by_name())


def search(study: "Study", person: Person) -> tuple[Person, OwnFiles]:
    """Search every source file of a study for a person, compressed ones inside.

    The rows of the person's accounts are read for their keys (the columns that ``keys`` of a source names) first; then
    all files are searched for accounts, each in its own source, and for keys anywhere. Returns the person with
    the keys found, and where they are.
    """
    found = OwnFiles()
    files = list(_files(study, found))
    person = person.with_keys(key for file in files for key in _keys(file, person, found))
    for file in files:
        try:
            rows = sum(1 for row in file.accounted() if _is_in(row, person))
        except _UNREADABLE as error:
            found.unsearched.append(f"{file.name}: {type(error).__name__}")
            continue
        if rows:
            found.holding.append({"source": file.source, "file": file.name, "rows": rows})
    found.unsearched = sorted(set(found.unsearched))
    return person, found


_UNREADABLE = (OSError, EOFError, LookupError, ValueError, csv.Error, pa.ArrowException, DataError)


def _files(study: "Study", found: OwnFiles) -> Iterator[_File]:
    for source, section in study.ledger.by_name().items():
        if section.bills_of is not None:
            continue  # its rows are made of another source's
        if section.path is None:
            found.unsearched.append(f"{source}: not a file; look in the database")
            continue
        try:
            files = source_files(section, study.base)
        except DataError as error:
            found.unsearched.append(f"{source}: {error.message}")
            continue
        for file in files:
            yield _File(source, file.name, file.path, section)
    for name, path in _pairs(study):
        if (study.base / path).is_file():
            written = SimpleNamespace(
                columns=SimpleNamespace(customer="account"), encoding="utf-8", delimiter=","
            )
            yield _File(name, path, study.base / path, written, pairs=True)
        else:
            found.unsearched.append(f"{path}: {name} is not there")


def _pairs(study: "Study") -> list[tuple[str, str]]:
    """Files that say who has which account: the field of the study, and the path."""
    identity, shared = (getattr(study.ledger, name, None) for name in ("identity", "shared_accounts"))
    named = {
        "identity.crosswalk": getattr(identity, "crosswalk", None),
        "shared_accounts.members": getattr(shared, "members", None),
        "shared_accounts.allocation": getattr(shared, "allocation", None),
    }
    return [(name, path) for name, path in named.items() if path]


def _keys(file: _File, person: Person, found: OwnFiles) -> list[str]:
    if not getattr(file.section, "keys", None):
        return []
    try:
        return [key for row in file.accounted() if _has_account(row, person) for key in row.keys]
    except _UNREADABLE as error:
        found.unsearched.append(f"{file.name}: {type(error).__name__}")
        return []


def _has_account(row: _Row, person: Person) -> bool:
    return any(person.owns(account, source) for source, account in row.accounts)


def _is_in(row: _Row, person: Person) -> bool:
    if _has_account(row, person):
        return True
    return bool(person.keys) and any(person.sure.search(cell) for cell in row.cells if cell)


def _texts(column: pa.Array) -> list[str | None]:
    try:
        return column.cast(pa.large_string()).to_pylist()
    except pa.ArrowException:  # lists and structs have no text
        return [None if value is None else str(value) for value in column.to_pylist()]
