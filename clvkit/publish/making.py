"""A run while it is being made."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clvkit import runs
from clvkit.errors import ClvError
from clvkit.publish.kernel import Limits, Outcome
from clvkit.publish.progress import Progress

if TYPE_CHECKING:
    from clvkit.study import Study


@dataclass
class Making:
    """What is known of a run so far.

    ``folder`` is where it is written, ``manifest`` what becomes ``run.json``; ``deadline`` and ``began`` are
    on ``time.monotonic()``; ``error`` is why it does not complete, if it does not.
    """

    study: "Study"
    folder: Path
    notebooks: Path
    manifest: dict[str, Any]
    limits: Limits
    progress: Progress
    deadline: float
    began: float = field(default_factory=time.monotonic)
    outcomes: list[Outcome] = field(default_factory=list)
    error: ClvError | None = None
    traceback: str = ""

    @property
    def study_folder(self) -> Path:
        """``reports/<study>/``."""
        return self.folder.parent if self.drafting else self.folder.parent.parent

    @property
    def drafting(self) -> bool:
        """Whether this is a draft, which is never published."""
        return self.manifest["run_id"] is None

    def save(self) -> None:
        """Write the manifest as it stands."""
        runs.write_json(self.folder / "run.json", self.manifest)
