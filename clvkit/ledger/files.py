"""Which files a ledger is made of: names, format, fingerprint."""

import glob
import hashlib
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clvkit.errors import DataError
from clvkit.ledger.section import LedgerSection, SourceSection

if TYPE_CHECKING:
    from clvkit.ledger.database_source import SourceTable

ENDINGS = {
    "csv": (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz"),
    "parquet": (".parquet", ".pq"),
}


#: The source of the files that say who shares an account: they decide what is shown of the ledger, and no row of it.
SHARED = "shared_accounts"


@dataclass(frozen=True)
class SourceFile:
    """One file of a source. ``name`` is what reports show: relative to the study, never absolute."""

    path: Path
    name: str
    format: str
    source: str = "orders"


def source_files(section: SourceSection, base: Path, name: str | None = None) -> list[SourceFile]:
    """The files that ``section.path`` means, sorted by name.

    Parameters
    ----------
    section : the section of one source.
    base : folder of the study file, from which a relative path counts.
    name : of the source where there are several, for messages.

    Raises
    ------
    DataError : nothing matches, or the format cannot be told from the names.
    """
    key = f"ledger.sources.{name}.path" if name else "ledger.path"
    written = Path(section.path).expanduser()
    target = Path(base) / written
    if target.is_file():
        found = [target]
    elif target.is_dir():
        wanted = ENDINGS[section.format] if section.format != "auto" else sum(ENDINGS.values(), ())
        found = [p for p in target.iterdir() if p.is_file() and p.name.lower().endswith(wanted)]
        found = [p for p in found if not p.name.startswith((".", "_"))]
    else:
        matches = [Path(base) / name for name in glob.glob(str(written), root_dir=base, recursive=True)]
        found = [p for p in matches if p.is_file()]
    if not found:
        raise DataError(
            f"{key} matches no file (got {section.path!r})",
            place=_nearest_folder(target, section.path),
            fix=f"correct {key}; it counts from the folder of the study file",
        )
    found.sort(key=lambda p: p.as_posix())
    formats = {_format(p, section) for p in found}
    if len(formats) > 1:
        raise DataError(
            f"{key} matches CSV and Parquet files together ({len(found)} files)",
            place=section.path,
            fix="set ledger.format to csv or parquet, or narrow ledger.path",
        )
    kind = formats.pop()
    return [SourceFile(p, _shown_name(p, written, Path(base)), kind, name or "orders") for p in found]


def bytes_of_files(section: LedgerSection, base: Path) -> int:
    """How large the files of all sources are together."""
    sections = section.by_name().items()
    found = [
        source_files(one, base, name if section.sources else None)
        for name, one in sections
        if one.database is None and one.bills_of is None
    ]
    return sum(file.path.stat().st_size for files in found for file in files)


def inputs(section: LedgerSection, base: Path, banned: Collection[str] = ()) -> list[dict]:
    """Name, sha256 and size of each file of the source, without reading its rows; of tables, a hash made of theirs.

    Returns a list of ``{"source": str, "file": str, "sha256": str, "bytes": int}`` in file order, an outside crosswalk
    as the source ``identity``, and last the files of `SHARED`. An artifact made from the ledger is keyed by all but
    these.
    """
    found: list = []
    database = None
    for name, one in section.by_name().items():
        if one.bills_of is not None:
            continue  # made of the files of the contracts
        if one.database is None:
            found += source_files(one, base, name if section.sources else None)
        else:
            from clvkit.ledger.database_source import database_of, open_table

            database = database or database_of(section, base)
            found.append(open_table(database, name, one, banned))
    if (written := section.identity.crosswalk) is not None:  # who is who decides every figure, too
        path = Path(base) / written
        found.append(SourceFile(path, _shown_name(path, Path(written), Path(base)), "", "identity"))
    shared = section.shared_accounts
    for written in dict.fromkeys((shared.members, shared.allocation)) if shared else ():
        if written is not None:
            path = Path(base) / written
            found.append(SourceFile(path, _shown_name(path, Path(written), Path(base)), "", SHARED))
    return [fingerprint(one) for one in found]


def fingerprint(file: "SourceFile | SourceTable") -> dict:
    """``{"source", "file", "sha256", "bytes"}`` of one file, read as a stream, or of a table."""
    if not isinstance(file, SourceFile):
        from clvkit.ledger.database_source import table_fingerprint

        return table_fingerprint(file)
    try:
        with open(file.path, "rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(file, error) from error
    return {"source": file.source, "file": file.name, "sha256": digest, "bytes": file.path.stat().st_size}


def unreadable(file: SourceFile, error: OSError) -> DataError:
    """The error for a file that exists and cannot be read."""
    return DataError(
        f"{file.name} cannot be read: {error.strerror or error}",
        place=file.name,
        fix="check that the file is complete and that you may read it",
    )


def _format(path: Path, section: SourceSection) -> str:
    if section.format != "auto":
        return section.format
    for kind, endings in ENDINGS.items():
        if path.name.lower().endswith(endings):
            return kind
    raise DataError(
        f"the format of {path.name} cannot be told from its name",
        place=section.path,
        fix="set ledger.format to csv or parquet",
    )


def _shown_name(path: Path, written: Path, base: Path) -> str:
    if written.is_absolute():
        return path.relative_to(_plain_part(written).parent).as_posix()
    return Path(os.path.relpath(path, base)).as_posix()


def _plain_part(path: Path) -> Path:
    parts = []
    for part in path.parts:
        if glob.has_magic(part):
            break
        parts.append(part)
    return Path(*parts)


def _nearest_folder(target: Path, written: str) -> str:
    folder = _plain_part(target)
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    names = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))[:8]
    return f"{written}; the nearest folder that exists, {folder.name or folder}, holds: " + (
        ", ".join(names) or "nothing"
    )
