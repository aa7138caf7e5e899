"""The log of erasures: numbered, only ever added to, and free of personal data."""

from pathlib import Path
from typing import Any

from clvkit.chained_log import add_chained, read_chained

LOG = "erasures.jsonl"


def read_log(study_folder: Path) -> list[dict[str, Any]]:
    """The erasures of a study, first one first.

    Each has ``number, day, by``, ``person`` and ``accounts`` (keyed hashes), ``files`` (``file`` within the study's
    folder, ``old`` and ``new`` sha256; null: not there), ``refit``, ``recipients`` and ``previous`` (sha256 of
    the line before).

    Raises
    ------
    RunError : a line was changed, taken out or cannot be read.
    """
    return read_chained(Path(study_folder) / LOG, "erasures")


def add_entry(study_folder: Path, entry: dict[str, Any]) -> None:
    """Add one erasure to the log, once: an entry of that number that is there already stays.

    Half a line, left where the machine stopped while writing one, is taken off first.
    """
    add_chained(Path(study_folder) / LOG, entry, "erasures")


def changed_by(study_folder: Path, file: str, old: str | None, new: str | None) -> list[int]:
    """Numbers of the erasures that, one after another, made ``old`` of a file into ``new``; empty if they did not.

    ``file`` is its path within the study's folder, the hashes are sha256 (None: not there).
    """
    found, here = [], old
    for entry in read_log(study_folder):
        for change in entry["files"]:
            if change["file"] == file and change["old"] == here:
                here = change["new"]
                found.append(entry["number"])
                if here == new:
                    return found
    return []


def explain(study_folder: Path, file: str, expected: str, found: str | None) -> str:
    """What a verification says of a file: ``as recorded``, ``changed by erasure 1`` or ``changed``."""
    if expected == found:
        return "as recorded"
    numbers = changed_by(study_folder, file, expected, found)
    if numbers:
        verb = "removed" if found is None else "changed"
        return f"{verb} by erasure " + " and ".join(str(number) for number in numbers)
    return "missing" if found is None else "changed"
