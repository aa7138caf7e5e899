"""The values of a study with the place of every one, before they are validated."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Key = tuple[str | int, ...]


@dataclass(frozen=True)
class Mark:
    """Where a key stands and how its value was written (``raw``, and ``plain`` if without quotes)."""

    file: str
    line: int | None = None
    raw: str = ""
    plain: bool = False

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}: line {self.line}"


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a study: the sentence that says so, the key it is about, and its place."""

    message: str
    key: Key
    mark: Mark


@dataclass
class Document:
    """Values as plain JSON (dates are text), the mark of every key, and the problems met while reading."""

    values: dict[str, Any] = field(default_factory=dict)
    marks: dict[Key, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def over(self, below: "Document") -> "Document":
        """Lay this document over another: mappings merge key by key, anything else replaces."""
        marks = dict(below.marks)
        values = _merge(below.values, self.values, (), marks)
        return Document(values, marks | self.marks, below.problems + self.problems)


def _merge(below: dict, above: dict, key: Key, marks: dict[Key, Mark]) -> dict:
    merged = dict(below)
    for name, value in above.items():
        here = (*key, name)
        if isinstance(value, dict) and isinstance(merged.get(name), dict):
            merged[name] = _merge(merged[name], value, here, marks)
        else:
            for replaced in [mark for mark in marks if mark[: len(here)] == here]:
                del marks[replaced]
            merged[name] = value
    return merged


def dotted(key: Key) -> str:
    """A key as readers write it: ``models.processes[1]``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in key)
    return text.removeprefix(".")


def shown(path: Path) -> str:
    """A path as messages and reports show it: as given, or shortened so that it does not name the machine."""
    if not path.is_absolute():
        return path.as_posix()
    inside = path.is_relative_to(Path.cwd())
    return path.relative_to(Path.cwd()).as_posix() if inside else "/".join(path.parts[-2:])


def nested(key: Key, value: Any) -> dict[str, Any]:
    """A mapping with ``value`` under ``key``."""
    for step in reversed(key):
        value = {step: value}
    return value


def relative_paths(values: dict[str, Any], written_in: Path, base: Path) -> dict[str, Any]:
    """The same values with every ``path`` stated relative to ``base``.

    A path is relative to the file it is written in. Stated relative to the study's own folder it can be
    stored in a run without naming the machine. Addresses with a scheme (``s3://…``) are left alone.
    """

    def moved(name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return relative_paths(value, written_in, base)
        is_path = isinstance(value, str) and value and (name == "path" or name.endswith("_path"))
        if not is_path or "://" in value:
            return value
        full = os.path.expanduser(value)
        if not os.path.isabs(full) and written_in == base:
            return value
        try:
            return Path(os.path.relpath(os.path.join(written_in, full), base)).as_posix()
        except ValueError:  # another drive of a Windows machine has no relative path
            return value

    return {name: moved(name, value) for name, value in values.items()}
