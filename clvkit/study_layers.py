"""Layers of studies, as global, region and business unit: what a study may say otherwise than the one it extends."""

from collections.abc import Iterator
from typing import Any

from clvkit.rules import did_you_mean, listed
from clvkit.study_document import Document, Key, Mark, Problem, dotted

#: What every study says for itself.
OWN = ("name", "title", "description", "extends", "overridable")


def not_allowed(document: Document, below: Document, above_name: str) -> list[Problem]:
    """What ``document`` says though the studies that it extends, merged in ``below``, do not let it."""
    allowed = below.values.get("overridable")
    if not isinstance(allowed, list):
        return []
    keys = [_steps(one) for one in allowed if isinstance(one, str)]
    found = []
    for key in _leaves(document.values, ()):
        if key[0] not in OWN and not any(key[: len(one)] == one for one in keys):
            words = listed(allowed) if allowed else "nothing"
            hint = did_you_mean(dotted(key), [one for one in allowed if isinstance(one, str)])
            message = (
                f"{dotted(key)} may not be set here: {above_name} lets studies that extend it set {words}"
                f"{f' ({hint})' if hint else ''}; take it out, or add it to overridable there"
            )
            found.append(Problem(message, key, _mark(document, key)))
    for place, one in enumerate(document.values.get("overridable") or ()):
        if isinstance(one, str) and not any(_steps(one)[: len(key)] == key for key in keys):
            message = (
                f"overridable may not let others set {one}, which this study may not set itself: {above_name} lets "
                f"studies that extend it set {listed(allowed) if allowed else 'nothing'}"
            )
            found.append(Problem(message, ("overridable", place), _mark(document, ("overridable",))))
    return found


def _steps(dotted_key: str) -> Key:
    return tuple(dotted_key.split("."))


def _leaves(values: dict[str, Any], key: Key) -> Iterator[Key]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*key, name))
        else:
            yield (*key, name)


def _mark(document: Document, key: Key) -> Mark:
    """The place of a key, or of the nearest mapping around it."""
    while key and key not in document.marks:
        key = key[:-1]
    return document.marks.get(key, Mark("the study"))
