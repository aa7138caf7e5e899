"""Runs: their folders, states, manifests and results; finding and listing them."""

import json
import os
import secrets
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from clvkit.errors import RunError
from clvkit.rules import did_you_mean, listed
from clvkit.store import sha256_file

#: State of a run and the exit code of the command that made it. A complete run exits with 1 when a check
#: of severity ``stop`` fails; a run that is not complete is never published.
EXIT_CODES = {"complete": 0, "failed": 3, "died": 3, "timed_out": 3, "stopped_early": 3, "interrupted": 130}
STOP_CHECK_EXIT = 1

RUNNING, FAILED, DRAFT, STORE = ".running", "failed", "draft", ".store"
FAILED_RUNS_KEPT = 5
ABANDONED_AFTER_DAYS = 2

_HEX = set("0123456789abcdef")


def project_root() -> Path:
    """The checkout that this package is run from: it holds ``notebooks/``, ``params/`` and ``reports/``."""
    return Path(__file__).resolve().parent.parent


def reports_root() -> Path:
    """Where runs go: ``reports/`` of the checkout, or the folder that ``CLVKIT_REPORTS`` names."""
    named = os.environ.get("CLVKIT_REPORTS")
    return Path(named).resolve() if named else project_root() / "reports"


def now() -> str:
    """This moment in UTC, to the second, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def write_json(path: Path, value: object) -> None:
    """Write JSON to a file in one step: a reader sees the old or the new one, never half."""
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
    os.replace(draft, path)


def read_json(path: Path) -> dict:
    """Read a JSON file of a run; what cannot be read is a :class:`RunError`."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path.name} of this run cannot be read",
            place=str(path),
            fix="the folder may have been changed by hand; make the run again",
        ) from error


class NoSuchRun(RunError):
    """The run asked for is not there, or is not the only one meant."""

    exit_code = 2


@dataclass(frozen=True)
class Run:
    """A run on disk: its folder and what its manifest ``run.json`` says."""

    folder: Path
    manifest: dict

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """Read a run's manifest."""
        return cls(Path(folder), read_json(Path(folder) / "run.json"))

    @property
    def run_id(self) -> str:
        """Eight hexadecimal digits."""
        return self.manifest["run_id"]

    @property
    def study(self) -> str:
        """Name of the study."""
        return self.manifest["study"]

    @property
    def as_of(self) -> str:
        """The day the values hold for, in ISO 8601."""
        return self.manifest["as_of"]

    @property
    def state(self) -> str:
        """One of :data:`EXIT_CODES`, or ``running`` and ``draft``."""
        return self.manifest["state"]

    def results(self) -> dict:
        """The headline figures, ``results.json``."""
        return read_json(self.folder / "results.json")

    def checks(self) -> list[dict]:
        """The checks, ``checks.json``."""
        return read_json(self.folder / "checks.json")


def new_run_id(study_folder: Path) -> str:
    """An identifier that no run of this study has."""
    while True:
        run_id = secrets.token_hex(4)
        if not any(study_folder.glob(f"*/{run_id}")):
            return run_id


def start_folder(study_folder: Path) -> Path:
    """Make the folder that a new run is written to, outside the published path."""
    _clear_abandoned(study_folder)
    folder = study_folder / RUNNING / new_run_id(study_folder)
    for part in ("parts", "tables", "figures", "notebooks"):
        (folder / part).mkdir(parents=True)
    return folder


def publish(folder: Path, as_of: str) -> Path:
    """Rename a finished run to ``<study>/<as_of>/<run_id>/``, in one step on one file system."""
    target = folder.parent.parent / as_of / folder.name
    target.parent.mkdir(exist_ok=True)
    os.rename(folder, target)
    return target


def set_aside(folder: Path) -> Path:
    """Rename a run that is not complete to ``<study>/failed/<run_id>/``; older ones beyond five go."""
    target = folder.parent.parent / FAILED / folder.name
    target.parent.mkdir(exist_ok=True)
    os.rename(folder, target)
    by_age = sorted(target.parent.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in by_age[FAILED_RUNS_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def hash_files(folder: Path) -> dict[str, str]:
    """sha256 of every file of a run but its manifest, by path within the run."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in files
        if path != folder / "run.json"
    }


def list_runs(study: str | None = None, reports: Path | None = None) -> list[Run]:
    """Runs that were published or set aside, newest first.

    Parameters
    ----------
    study : only runs of this study.
    reports : the folder of all reports; the checkout's by default.
    """
    root = reports or reports_root()
    pattern = f"{study or '*'}/*/*/run.json"
    found = [
        _listed(path.parent) for path in root.glob(pattern) if not path.parent.parent.name.startswith(".")
    ]
    return sorted(found, key=lambda run: (run.manifest.get("finished") or "", run.run_id), reverse=True)


def _listed(folder: Path) -> Run:
    """A run for a list, where one broken manifest must not hide all the others."""
    try:
        return Run.open(folder)
    except RunError:
        broken = {"run_id": folder.name, "study": folder.parent.parent.name, "as_of": folder.parent.name}
        return Run(folder, broken | {"state": "unreadable"})


def find_run(name: str | Path, reports: Path | None = None) -> Run:
    """The run meant by a folder, a run id (or its first four digits or more), or ``STUDY@latest``.

    ``STUDY@latest`` is the complete run of that study that was published last, whatever its as-of date.

    Raises
    ------
    NoSuchRun : there is no such run, or more than one.
    """
    folder = Path(name)
    if (folder / "run.json").is_file():
        return Run.open(folder)
    text = str(name)
    if text.endswith("@latest"):
        study = text.removesuffix("@latest")
        runs = [run for run in list_runs(study, reports) if run.state == "complete"]
        if not runs:
            raise NoSuchRun(f"the study {study} has no complete run", fix=_next_step(study, reports))
        return runs[0]
    matches = (
        [run for run in list_runs(None, reports) if run.run_id.startswith(text)]
        if len(text) >= 4 and set(text) <= _HEX
        else []
    )
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise NoSuchRun(
            f"{text} is the start of {len(matches)} run ids: " + ", ".join(run.run_id for run in matches),
            fix="give more of its digits",
        )
    raise NoSuchRun(
        f"there is no run {text}", fix="clv list shows the runs; RUN is a folder, a run id or STUDY@latest"
    )


def _next_step(study: str, reports: Path | None) -> str:
    """What to do where a study has no complete run: make one, or name a study that has."""
    file = project_root() / "params" / f"{study}.yml"
    if file.is_file():
        return f"clv run {os.path.relpath(file)}" + (f" --out {os.path.relpath(reports)}" if reports else "")
    there = sorted({run.study for run in list_runs(None, reports) if run.state == "complete"})
    if there:
        return did_you_mean(study, there) or f"studies with complete runs: {listed(there)}"
    return "make a run with clv run, or say with --out where the reports are"


def _clear_abandoned(study_folder: Path) -> None:
    """Remove what runs left that were killed with no chance to set themselves aside."""
    for folder in study_folder.glob(f"{RUNNING}/*"):
        if time.time() - folder.stat().st_mtime > ABANDONED_AFTER_DAYS * 86400:
            shutil.rmtree(folder, ignore_errors=True)
