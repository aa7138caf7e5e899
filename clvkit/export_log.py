"""The log of exports: what left a study for what purpose, so that somebody can be told when a person is erased."""

import os
from pathlib import Path
from typing import Any

from clvkit.chained_log import add_chained, read_chained

LOG = "exports.jsonl"


def read_exports(study_folder: Path) -> list[dict[str, Any]]:
    """The exports of a study, first one first.

    Each has ``number, time`` (UTC), ``purpose, run, target`` (a file relative to the study's folder of reports, or
    ``table:NAME``), ``database`` (the study's name for it; null for a file), ``rows, rows_sha256`` (of the rows as CSV),
    ``sha256`` (of the file; null for a table), ``total`` and ``currency`` (what the values add up to), ``use_until`` and
    ``previous``.

    Raises
    ------
    RunError : a line was changed, taken out or cannot be read.
    """
    return read_chained(Path(study_folder) / LOG, "exports")


def add_export(study_folder: Path, entry: dict[str, Any]) -> int:
    """Add one export to the log; its number."""
    number = len(read_exports(study_folder)) + 1
    add_chained(Path(study_folder) / LOG, {"number": number} | entry, "exports")
    return number


def recipients(study_folder: Path) -> list[str]:
    """Who has scores from exports, in words: each purpose and target once, with the last export to it."""
    last = {(one["purpose"], one["target"]): one for one in read_exports(study_folder)}
    return [
        f"{purpose}: {_shown(one)} (export {one['number']} of {one['time'][:10]})"
        for (purpose, _), one in last.items()
    ]


def exported_files(study_folder: Path) -> list[Path]:
    """Files outside of the study's folder that exports were written to, each once, whether they are there or not."""
    folder = Path(study_folder).resolve()
    found = [
        Path(os.path.normpath(folder / one["target"])) for one in read_exports(folder) if not one["database"]
    ]
    return [path for path in dict.fromkeys(found) if not path.is_relative_to(folder)]


def exported_tables(study_folder: Path) -> list[str]:
    """Tables that exports were written to, in words, each once: nothing here searches them for a person."""
    return list(dict.fromkeys(_shown(one) for one in read_exports(study_folder) if one["database"]))


def _shown(one: dict[str, Any]) -> str:
    if one["database"]:
        return f"{one['target'].removeprefix('table:')} in {one['database']}"
    return Path(one["target"]).name
