"""Erase a person from a study: prepare every new file, commit to the plan, carry it out, log it."""

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clvkit.erasure.certificate import Certificate
from clvkit.erasure.log import add_entry, read_log
from clvkit.erasure.plan import REQUEST, make_plan
from clvkit.erasure.suppression import FOLDER
from clvkit.errors import DataError, RunError
from clvkit.runs import ABANDONED_AFTER_DAYS, RUNNING, read_json, reports_root, write_json
from clvkit.store import sha256_file

if TYPE_CHECKING:
    from clvkit.study import Study

JOURNAL = "journal"
_PLAN = "plan.json"
_ATTEMPTS = 3


def erase(
    study: "Study",
    customer: str,
    *,
    by: str,
    today: date,
    reports: Path | None = None,
    keys: Iterable[str] = (),
    exports: Iterable[Path] = (),
) -> Certificate:
    """Remove a person from everything that a study keeps.

    The crosswalk, the store, score tables and exports below ``reports/<study>/`` are rewritten; the log
    ``erasures.jsonl`` holds old and new hash of each file. Where the machine stops on the way, `finish_interrupted`
    goes on from there.

    Parameters
    ----------
    customer : pseudonym, or ``source:account``.
    by : who asks for it: a person or a role.
    today : the day that is logged.
    reports : the folder of all reports; the checkout's by default.
    keys : e-mail addresses and telephone numbers of the person, besides those found in the sources.
    exports : files outside of the study's folder that were made from it; searched, and listed where they name the
        person.

    Raises
    ------
    DataError : the customer is nobody of this study, or was erased before and is nowhere left.
    RunError : a run or another erasure is being made, or files change while they are being rewritten.
    """
    folder = Path(reports or reports_root()) / study.name
    if not by.strip():
        raise DataError("an erasure names who asks for it", place="by", fix="give a person or a role")
    refuse_while_running(folder)
    request = {
        "customer": customer,
        "by": by,
        "day": today.isoformat(),
        "keys": sorted(keys),
        "exports": [str(path) for path in exports],
        "done": [],
        "person": None,
    }
    with _alone(folder):
        before = interrupted(folder)
        finished = _finish(study, folder)
        if finished and before == customer:
            return finished
        journal = _journal(folder)
        journal.mkdir()
        os.chmod(folder / FOLDER, 0o700)
        write_json(journal / REQUEST, request)
        try:
            return _carry_out(study, folder)
        except DataError:  # nobody to erase: nothing was begun
            shutil.rmtree(journal)
            raise


def finish_interrupted(study: "Study", *, reports: Path | None = None) -> Certificate | None:
    """Finish an erasure that was interrupted; None where there is none. To be called before a run begins."""
    folder = Path(reports or reports_root()) / study.name
    if not _journal(folder).is_dir():
        return None
    with _alone(folder):
        return _finish(study, folder)


def _finish(study: "Study", folder: Path) -> Certificate | None:
    if not _journal(folder).is_dir():
        return None
    if interrupted(folder) is None:  # it stopped before it began, or after it was done
        shutil.rmtree(_journal(folder))
        return None
    return _carry_out(study, folder)


def refuse_while_running(study_folder: Path) -> None:
    """Stop where a run of the study is being made: it may have read the person already.

    Raises
    ------
    RunError : names the run.
    """
    for run in sorted((study_folder / RUNNING).glob("*")):
        if time.time() - run.stat().st_mtime < ABANDONED_AFTER_DAYS * 86400:
            raise RunError(
                f"the run {run.name} of this study is being made",
                place=f"{study_folder.name}/{RUNNING}/{run.name}",
                fix="wait until it has ended; if it was killed, remove that folder",
            )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One erasure of a study at a time: the lock ends with the process that holds it, however it ends.

    Where the system has no such locks, nothing is held.
    """
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    with open(folder / FOLDER / "lock", "w") as file:
        if find_spec("fcntl"):
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunError(
                    "another erasure of this study is being made",
                    place=folder.name,
                    fix="wait until it has ended",
                ) from error
        yield


def _journal(folder: Path) -> Path:
    return folder / FOLDER / JOURNAL


def interrupted(folder: Path) -> str | None:
    """The customer of an erasure that was begun and not finished."""
    path = _journal(folder) / REQUEST
    return read_json(path)["customer"] if path.is_file() else None


def _carry_out(study: "Study", folder: Path) -> Certificate:
    journal = _journal(folder)
    for _ in range(_ATTEMPTS):
        request = read_json(journal / REQUEST)
        if not (journal / _PLAN).is_file():
            for draft in journal.iterdir():
                if draft.name != REQUEST:
                    shutil.rmtree(draft) if draft.is_dir() else draft.unlink()
            number = len(read_log(folder)) + 1
            # Written in one step: from here on the erasure is finished as planned, whatever happens.
            write_json(journal / _PLAN, make_plan(study, folder, journal, request, number))
        plan = read_json(journal / _PLAN)
        if _apply(folder, journal, plan["files"]):
            return _close(folder, journal, plan)
        done = [one for one in plan["files"] if _hash(folder / one["file"]) == one["new"]]
        request["done"] = [{name: one[name] for name in ("file", "old", "new")} for one in done]
        request["person"] = plan["person"]
        write_json(journal / REQUEST, request)
        (journal / _PLAN).unlink()
    raise RunError(
        "files of the study change while the erasure is being made",
        place=folder.name,
        fix="let runs and notebooks of this study end, then erase again: it goes on from here",
    )


def _apply(folder: Path, journal: Path, files: list[dict[str, Any]]) -> bool:
    """Put every new file in its place; False where one is neither as it was nor as it should be."""
    for one in files:
        target, here = folder / one["file"], _hash(folder / one["file"])
        if here == one["new"]:
            continue
        if here != one["old"]:
            return False
        if one["new"] is None:
            target.unlink()
            if not any(target.parent.iterdir()):
                target.parent.rmdir()
            continue
        staged = journal / one["staged"]
        if here is not None:  # its age decides how long it is kept, and is not that of the rewriting
            was = target.stat()
            os.utime(staged, (was.st_atime, was.st_mtime))
            os.chmod(staged, was.st_mode & 0o777)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(staged, target)
    return True


def _close(folder: Path, journal: Path, plan: dict[str, Any]) -> Certificate:
    add_entry(folder, plan["entry"])
    certificate = Certificate.from_json(plan["certificate"])
    write_json(folder / FOLDER / f"certificate-{certificate.number}.json", certificate.to_json())
    (journal / REQUEST).unlink()
    shutil.rmtree(journal)
    return certificate


def _hash(path: Path) -> str | None:
    return sha256_file(path) if path.is_file() else None
