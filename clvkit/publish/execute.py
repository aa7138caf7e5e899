"""A run: the notebooks executed in order, the pages made, and the folder published - or set aside."""

import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clvkit import runs
from clvkit.errors import ClvError, StudyError
from clvkit.publish import parameters
from clvkit.publish.finish import finish_pages
from clvkit.publish.interrupts import deaf, terminable
from clvkit.publish.kernel import Limits, Outcome, execute
from clvkit.publish.making import Making
from clvkit.publish.progress import Progress, slowest_words, tally_words
from clvkit.publish.trouble import disk_error, interrupted, outcome_error, unexpected
from clvkit.results import stopped_by, tally
from clvkit.workbench import RUN_DIR, STEM, STUDY_DIR, Workbench

if TYPE_CHECKING:
    from clvkit.study import Study

#: Chapters that are made also when the data gate finds the data insufficient; the others need a value.
WITHOUT_VALUE = ("00", "01", "02")
#: Chapters on the value of purchases, which contracts alone do not have; and on contracts, where there are none.
OF_PURCHASES, OF_CONTRACTS = ("04_value", "05_backtest", "06_sensitivity"), ("04b_contracts",)
#: Cells with this tag are of no use where customers are under contract and nothing else.
PURCHASES_ONLY = "purchases-only"
#: Cells with this tag are of no use where a study names no contracts.
CONTRACTS_ONLY = "contracts-only"


@dataclass(frozen=True)
class Finished:
    """What came of a run: its folder, state, exit code of the command, and the message for the terminal."""

    folder: Path
    state: str
    exit_code: int
    error: ClvError | None = None
    traceback: str = ""


def run_study(
    study: "Study",
    *,
    notebooks: Path | None = None,
    reports: Path | None = None,
    only: str | None = None,
    limits: Limits | None = None,
    progress: Progress | None = None,
    command: str = "clv run",
) -> Finished:
    """Execute a study's notebooks, and publish the run, or set it aside when it does not complete.

    Parameters
    ----------
    study : the validated study.
    notebooks : folder of the notebooks; the checkout's by default.
    reports : folder of all reports; the checkout's by default.
    only : name of one notebook to execute into ``reports/<study>/draft/``, which is never published.
    limits : how long cells and the run may take.
    progress : where to report; silent by default.
    command : how the run was asked for, for the audit file.

    Raises
    ------
    StudyError, DataError : before anything was executed; there is no run then. Whatever happens later ends in
        a :class:`Finished` whose state says so.
    """
    notebooks = notebooks or runs.project_root() / "notebooks"
    limits, progress = limits or Limits(), progress or Progress(quiet=True)
    prepared = _prepare(study, notebooks, only)
    study_folder = (reports or runs.reports_root()) / study.name
    if study_folder.exists():  # before anything is read from it: a person who was half erased is erased
        from clvkit.erasure import finish_interrupted

        finish_interrupted(study, reports=reports)
    folder = _draft_folder(study_folder) if only else runs.start_folder(study_folder)
    manifest = _first_manifest(study, None if only else folder.name, command)
    making = Making(study, folder, notebooks, manifest, limits, progress, time.monotonic() + limits.run)
    progress.say(f"{study.name} as of {study.as_of}, " + (f"run {folder.name}" if not only else "draft"))
    with terminable():
        try:
            state = _execute_all(making, prepared)
        except ClvError as error:
            if error.exit_code == 2:
                _remove_unless_draft(making)
                raise
            state, making.error = "failed", error
        except KeyboardInterrupt:
            state, making.error = "interrupted", interrupted(making)
        except OSError as error:
            state, making.error = "failed", disk_error(error)
        except Exception as error:
            state, making.error = "failed", unexpected(error, making)
        return _draft_end(making, state) if only else _end(making, state)


def find_notebooks(folder: Path) -> dict[str, Path]:
    """The numbered notebooks of a folder in order of execution: by number, the summary last."""
    found = {path.stem: path for path in sorted(folder.glob("[0-9][0-9]*_*.ipynb"))}
    if not found:
        raise StudyError(
            "there is no notebook to execute",
            place=str(folder),
            fix="notebooks are called 01_ledger.ipynb, 02_cohorts.ipynb, …",
        )
    return dict(sorted(found.items(), key=lambda item: (item[0].startswith("00"), item[0])))


def _prepare(study: "Study", folder: Path, only: str | None) -> dict[str, Any]:
    """Every notebook with its parameters, before the first is executed: mistakes show at once."""
    found = find_notebooks(folder)
    if only:
        wanted = only.removesuffix(".ipynb")
        if wanted not in found:
            raise StudyError(f"there is no notebook {wanted}", fix="notebooks are: " + ", ".join(found))
        found = {wanted: found[wanted]}
    shown = study.source_path or f"{study.name}.yml"
    prepared = {}
    for stem, path in found.items():
        notebook = parameters.load(path)
        values = parameters.values_for(stem, parameters.declared(notebook, stem), study, shown)
        prepared[stem] = parameters.inject(notebook, stem, values)
    return prepared


def _first_manifest(study: "Study", run_id: str | None, command: str) -> dict[str, Any]:
    return {
        "schema": 1,
        "run_id": run_id,
        "state": "running" if run_id else runs.DRAFT,
        "exit_code": None,
        "study": study.name,
        "title": study.title,
        "as_of": study.as_of.isoformat(),
        "command": command,
        "started": runs.now(),
        "finished": None,
        "message": "",
        "stopped": None,
        "not_executed": [],
        "left_out": [],
        "resolved": study.resolved(),
        "inputs": [],
        "artifacts": {},
        "notebooks": [],
    }


def _execute_all(making: Making, prepared: dict[str, Any]) -> str:
    blocked = _gate(making)
    if blocked:
        making.manifest["not_executed"] = [stem for stem in prepared if not stem.startswith(WITHOUT_VALUE)]
        making.progress.say(
            "the data do not carry a value; none is computed: "
            + " ".join(check.message for check in blocked),
            mark="!",
        )
    left_out = making.manifest["left_out"]
    if making.drafting and set(prepared) <= set(left_out):
        raise StudyError(
            f"{next(iter(prepared))} has nothing to show: "
            + (
                "the customers of this study are under contract"
                if left_out == [*OF_PURCHASES]
                else "nobody is under contract"
            ),
            place="business_model",
            fix="look at " + ("04b_contracts" if left_out == [*OF_PURCHASES] else "04_value"),
        )
    making.save()
    with tempfile.TemporaryDirectory(prefix="clv-") as private:
        for stem, notebook in prepared.items():
            if stem in making.manifest["not_executed"] or stem in left_out:
                continue
            useless = {PURCHASES_ONLY} if left_out == [*OF_PURCHASES] else set()
            useless |= {CONTRACTS_ONLY} if making.study.contracts.source is None else set()
            notebook.cells = [c for c in notebook.cells if not useless & set(c.metadata.get("tags", []))]
            outcome = _execute_one(making, stem, notebook, Path(private))
            if outcome.state != "complete":
                making.error = outcome_error(outcome, making)
                return outcome.state
    return "complete"


def _gate(making: Making) -> list[Any]:
    """Build the ledger, judge whether the data suffice, record both; the stop checks that fail."""
    from clvkit.erasure.log import read_log
    from clvkit.erasure.replay import withheld

    started = time.monotonic()
    with making.progress.stage("reading the data"):
        bench = Workbench(
            making.study,
            study_folder=making.study_folder,
            folder=making.folder,
            stem="gate",
            run_id=making.manifest["run_id"],
        )
        making.manifest["inputs"] = bench.inputs
        making.manifest["erasures"] = len(read_log(making.study_folder))
        ledger = bench.ledger()
        sufficiency = bench.sufficiency()
        making.manifest["left_out"] = _left_out(bench)
    gone = withheld(ledger)
    bench.record("ledger", ledger.totals | ({"erased": gone} if gone["rows"] else {}))
    bench.part["checks"] = [check.to_json() for check in [*ledger.checks, *sufficiency]]
    bench.write()
    totals = ledger.totals
    making.progress.done(
        "data",
        time.monotonic() - started,
        f"{totals['customers']:,} customers, {totals['rows']['in']:,} rows",
    )
    return [check for check in sufficiency if check.stops]


def _left_out(bench: Workbench) -> list[str]:
    """The chapters that the kind of business has no use for."""
    if bench.contractual:
        return [*OF_PURCHASES]
    under_contract = bench.contracts() is not None and bench.kind_of_business().used != "non_contractual"
    return [] if under_contract else [*OF_CONTRACTS]


def _execute_one(making: Making, stem: str, notebook: Any, private: Path) -> Outcome:
    env = {
        RUN_DIR: str(making.folder),
        STEM: stem,
        STUDY_DIR: str(making.study.base),
        "IPYTHONDIR": str(private),
        "PYTHONHASHSEED": "0",
        "MPLBACKEND": "agg",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(runs.project_root()), os.environ.get("PYTHONPATH")])),
    }
    with making.progress.stage(stem):
        outcome = execute(
            notebook,
            making.folder / "notebooks" / f"{stem}.ipynb",
            cwd=making.notebooks,
            env=env,
            log=making.folder / "notebooks" / f"{stem}.log",
            limits=making.limits,
            deadline=making.deadline,
            run_id=making.manifest["run_id"],
        )
    making.outcomes.append(outcome)
    making.progress.done(
        stem,
        outcome.seconds,
        slowest_words(outcome.slowest) if outcome.state == "complete" else outcome.message,
        good=outcome.state == "complete",
    )
    return outcome


def _end(making: Making, state: str) -> Finished:
    """Make the pages, then publish a complete run and set aside any other."""
    if state == "complete":
        try:
            checks = finish_pages(making, state)
            with deaf():  # the rename is the moment of truth; an interrupt comes before it or after it
                folder = runs.publish(making.folder, making.manifest["as_of"])
            making.progress.say(
                f"complete in {time.monotonic() - making.began:.0f} s; checks: " + tally_words(tally(checks))
            )
            making.progress.link(folder / "index.html")
            return Finished(folder, state, runs.STOP_CHECK_EXIT if stopped_by(checks) else 0)
        except ClvError as error:
            state, making.error = "failed", error
        except KeyboardInterrupt:
            state, making.error = "interrupted", interrupted(making)
        except OSError as error:
            state, making.error = "failed", disk_error(error)
        except Exception as error:
            state, making.error = "failed", unexpected(error, making)
    folder = _set_aside(making, state)
    if (folder / "index.html").exists():
        making.progress.say("a partial report, not for use, is at")
        making.progress.link(folder / "index.html")
    return Finished(folder, state, runs.EXIT_CODES[state], making.error, making.traceback)


def _set_aside(making: Making, state: str) -> Path:
    """Make what can be made of a run that did not complete, and move it out of the way of the good ones."""
    (making.folder / "index.html").unlink(missing_ok=True)
    with deaf():
        try:
            finish_pages(making, state)
        except Exception as error:  # why the run failed matters more than that this failed too
            making.progress.say(
                f"the partial report could not be made ({type(error).__name__}: {error})", mark="!"
            )
            making.manifest |= {
                "state": state,
                "exit_code": runs.EXIT_CODES[state],
                "finished": runs.now(),
                "message": making.error.message if making.error else "",
            }
            _save_somehow(making)
        try:
            return runs.set_aside(making.folder)
        except OSError:
            return making.folder


def _save_somehow(making: Making) -> None:
    """Write the manifest, on a full disk at the cost of what is in its way."""
    for obstacle in (None, "figures", "tables", "notebooks"):
        if obstacle:
            shutil.rmtree(making.folder / obstacle, ignore_errors=True)
        with suppress(OSError):
            making.save()
            return


def _draft_folder(study_folder: Path) -> Path:
    folder = study_folder / runs.DRAFT
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("parts", "tables", "figures", "notebooks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    return folder


def _draft_end(making: Making, state: str) -> Finished:
    try:
        finish_pages(making, state, draft=True)
    except (ClvError, OSError) as error:
        making.error = making.error or (error if isinstance(error, ClvError) else disk_error(error))
        state = "failed" if state == "complete" else state
    else:
        making.progress.say("the draft is at")
        making.progress.link(making.folder / "index.html")
    return Finished(making.folder, state, runs.EXIT_CODES[state], making.error, making.traceback)


def _remove_unless_draft(making: Making) -> None:
    if not making.drafting:
        shutil.rmtree(making.folder, ignore_errors=True)
