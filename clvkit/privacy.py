"""Privacy: what may be read, how long it is kept, how samples are shown, and what doing without a column costs."""

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from clvkit.errors import StudyError
from clvkit.rules import RuleBroken, did_you_mean, listed
from clvkit.runs import DRAFT, FAILED, STORE, reports_root
from clvkit.section import Section
from clvkit.store import canonical_json

if TYPE_CHECKING:
    from clvkit.study import Study

LOG = "expiries.jsonl"
SHOWN_LENGTH = 60

_SECRET = re.compile(
    r"(?:^|[_\-.])(?:password|passwd|pwd|token|secret|dsn|api_?key|credentials?)$", re.IGNORECASE
)
_WITH_CREDENTIALS = re.compile(
    r"[a-z][a-z0-9+.\-]*://[^/\s@]*:[^/\s@]+@|\b(?:password|pwd)\s*=\s*\S", re.IGNORECASE
)


class PrivacySection(Section):
    """What a study may not read, how long its tables are kept, and whom they were given to."""

    banned_columns: tuple[str, ...] = Field(
        (), description="Columns of the sources that must never be read, in capitals or not."
    )
    try_without: tuple[str, ...] = Field(
        (),
        description="Columns that are still read and may have to go: the report shows what the values would be without them.",
    )
    retention: dict[str, int] = Field(
        {},
        description=(
            "How long tables are kept, by kind of artifact (ledger, cells, scores, ...), draft or failed. Unit: days."
        ),
    )
    recipients: tuple[str, ...] = Field(
        (), description="Who was given scores or exports, and is told when a person is erased."
    )
    purpose: str | None = Field(None, description="What the personal data are used for, in a sentence.")
    purposes: tuple[str, ...] = Field(
        (),
        description="Purposes that scores may be exported for, each by its name; none: any, and each is logged.",
    )

    @field_validator("retention")
    @classmethod
    def _known_classes(cls, value: dict[str, int]) -> dict[str, int]:
        from clvkit.artifacts import KINDS

        known = [*KINDS, DRAFT, FAILED]
        for name, days in value.items():
            if name not in known:
                raise RuleBroken(
                    f"must name kinds of artifact, {DRAFT} or {FAILED} (got {name!r})",
                    did_you_mean(name, known) or f"there are {listed(known)}",
                    at=name,
                )
            if days < 1:
                raise RuleBroken(
                    f"must be at least 1 day (got {days})", "leave it out to keep no table of it", at=name
                )
        return value


@dataclass(frozen=True)
class Expired:
    """Something past its retention class; ages in days."""

    kind: str
    path: str
    age_days: int
    class_days: int


def expire(study_folder: Path, section: PrivacySection, today: date, *, remove: bool = True) -> list[Expired]:
    """What is kept longer than its class allows, oldest first; removed unless ``remove`` is false.

    Age counts from the day a thing was last written; an erasure does not make it younger. What is removed is noted in
    ``expiries.jsonl``. A run makes artifacts again when it needs them.

    Raises
    ------
    RunError : a run of the study is being made.
    """
    from clvkit.erasure.carry_out import refuse_while_running

    study_folder = Path(study_folder)
    found = sorted(_past(study_folder, section.retention, today), key=lambda one: (-one.age_days, one.path))
    if not remove or not found:
        return found
    refuse_while_running(study_folder)
    with open(study_folder / LOG, "a", encoding="utf-8") as log:
        for one in found:
            shutil.rmtree(study_folder / one.path)
            log.write(canonical_json({"day": today.isoformat(), **vars(one)}) + "\n")
    return found


def expire_text(study: "Study", today: date, *, reports: Path | None = None, remove: bool = True) -> str:
    """Carry out, or only list, what the retention classes of a study ask for, and say so."""
    if not study.privacy.retention:
        return "privacy.retention of the study states no time for any kind of table: nothing expires"
    found = expire((reports or reports_root()) / study.name, study.privacy, today, remove=remove)
    if not found:
        return "nothing is kept longer than privacy.retention of the study allows"
    lines = [
        f"  {one.kind}: {one.path}, {one.age_days:,} days old, {one.class_days:,} allowed" for one in found
    ]
    return "\n".join(["removed:" if remove else "past their time:", *lines])


def masked(text: str | None) -> str | None:
    """The shape of a text without its content: ``Ada 12 <a@b.de>`` is ``Xxx 99 <x@x.xx>``.

    Capitals become X, other letters x, digits 9; what cannot be printed becomes a dot, and long texts are cut.
    """
    if text is None:
        return None
    shape = "".join(map(_mask, text[:SHOWN_LENGTH]))
    return shape + ("…" if len(text) > SHOWN_LENGTH else "")


def secret_names(values: Mapping[str, Any]) -> list[str]:
    """Dotted keys of a study that hold a secret as it is: by their name, or a value with a password in it.

    A reference such as ``env:WAREHOUSE_URL`` is no secret, and neither is a missing value.
    """
    return sorted(set(_secrets(values, ())))


def refuse_secrets(values: Mapping[str, Any], place: str | None = None) -> None:
    """Stop where a study holds a secret; the message names the key and never the value.

    Raises
    ------
    StudyError : names the keys and how to give the secret instead.
    """
    found = secret_names(values)
    if found:
        name = re.sub(r"[^A-Z0-9]+", "_", found[0].upper()).strip("_")
        raise StudyError(
            f"a study holds no secrets, since runs publish it ({listed(found)} has one)",
            place=place,
            fix=f"put it into an environment variable and write env:{name}; then change the secret, if it was shared",
        )


def _plain(name: str) -> str:
    return name.strip().casefold()


def _past(study_folder: Path, classes: Mapping[str, int], today: date) -> Iterator[Expired]:
    from clvkit.erasure.store import LABEL, labels

    places: list[tuple[str, Path, Path]] = [
        (label["kind"], study_folder / STORE / key, study_folder / STORE / key / LABEL)
        for key, label in labels(study_folder / STORE).items()
    ]
    places += [(FAILED, path, path) for path in study_folder.glob(f"{FAILED}/*")]
    if (study_folder / DRAFT).is_dir():
        places.append((DRAFT, study_folder / DRAFT, study_folder / DRAFT))
    for kind, path, dated in places:
        written = datetime.fromtimestamp(_written(dated), UTC).date()
        age = (today - written).days
        if kind in classes and age > classes[kind]:
            yield Expired(kind, path.relative_to(study_folder).as_posix(), age, classes[kind])


def _written(path: Path) -> float:
    """When a file, or the newest file below a folder, was last written."""
    below = [one.stat().st_mtime for one in path.rglob("*") if one.is_file()] if path.is_dir() else []
    return max(below, default=path.stat().st_mtime)


def _mask(sign: str) -> str:
    if sign.isnumeric():
        return "9"
    if sign.isalpha():
        return "X" if sign.isupper() else "x"
    return sign if sign.isprintable() else "·"


def _secrets(value: Any, key: tuple[str, ...]) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _secrets(part, (*key, str(name)))
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for number, part in enumerate(value):
            yield from _secrets(part, (*key, str(number)))
    elif isinstance(value, str) and value.strip() and not value.startswith("env:"):
        if _WITH_CREDENTIALS.search(value) or any(_SECRET.search(name) for name in key[-1:]):
            yield ".".join(key)
