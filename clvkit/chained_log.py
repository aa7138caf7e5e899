"""Logs of a study: numbered lines of JSON that are only ever added to, each holding the hash of the one before."""

import json
import os
from pathlib import Path
from typing import Any

from clvkit.errors import RunError
from clvkit.store import canonical_json, sha256_text


def read_chained(path: Path, what: str) -> list[dict[str, Any]]:
    """The entries of a log, first one first; none where there is no file.

    Each has its ``number``, from 1, and ``previous``, the sha256 of the line before (empty for the first). ``what``
    says in messages what the log is of, such as ``erasures``.

    Raises
    ------
    RunError : a line was changed, taken out or cannot be read.
    """
    if not path.is_file():
        return []
    entries: list[dict[str, Any]] = []
    previous = ""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        try:
            entry = json.loads(line)
            sound = entry["number"] == number and entry["previous"] == previous
        except (ValueError, KeyError, TypeError):
            sound = False
        if not sound:
            raise RunError(
                f"the log of {what} was changed: entry {number} does not follow from the one before",
                place=f"{path.name}: line {number}",
                fix="restore the log from a backup; lines are only ever added to it",
            )
        entries.append(entry)
        previous = sha256_text(line)
    return entries


def add_chained(path: Path, entry: dict[str, Any], what: str) -> None:
    """Add an entry with its ``number``, once: one of that number that is there already stays.

    Half a line, left where the machine stopped while writing one, is taken off first.
    """
    text = path.read_text("utf-8") if path.is_file() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        os.truncate(path, len(whole.encode()))
    if len(read_chained(path, what)) >= entry["number"]:
        return
    lines = whole.splitlines()
    previous = sha256_text(lines[-1]) if lines else ""
    with open(path, "a", encoding="utf-8") as file:
        file.write(canonical_json(entry | {"previous": previous}) + "\n")
        file.flush()
        os.fsync(file.fileno())
