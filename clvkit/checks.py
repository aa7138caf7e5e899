"""A check: one named test of data, model or report, with its words."""

from dataclasses import asdict, dataclass
from typing import Literal

Status = Literal["pass", "review", "fail", "info"]
Severity = Literal["stop", "warn", "info"]


@dataclass(frozen=True)
class Check:
    """The result of one named test.

    ``status`` is what was found, ``severity`` what a failure does: a failing ``stop`` check makes the
    run exit with 1. ``value`` and ``threshold`` are in ``unit``; ``message`` says in one sentence what was
    found, ``recommendation`` what to do about it (empty when there is nothing to do).
    """

    id: str
    title: str
    status: Status
    message: str
    value: float | int | str | None = None
    threshold: float | int | str | None = None
    unit: str = ""
    severity: Severity = "warn"
    recommendation: str = ""
    chapter: str = ""

    def to_json(self) -> dict:
        """The check as plain JSON, as ``checks.json`` holds it."""
        return asdict(self)

    @property
    def stops(self) -> bool:
        """Whether this check must end the run with exit code 1."""
        return self.status == "fail" and self.severity == "stop"
