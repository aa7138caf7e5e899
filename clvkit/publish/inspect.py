"""What the terminal shows of studies, data and runs without making any."""

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clvkit import runs
from clvkit.numbers import count, money_cell, number
from clvkit.results import stopped_by, tally
from clvkit.workbench import Workbench

if TYPE_CHECKING:
    from rich.console import Console

    from clvkit.study import Study

#: The check that a run after an erasure equals what was published before it.
REPLAY = "ledger.replay"

_STYLES = {"pass": "green", "review": "yellow", "fail": "bold red", "info": "dim"}


def inspect_study(study: "Study", reports: Path | None = None, *, as_json: bool = False) -> int:
    """Build a study's ledger, print what would be used and what is wrong; the exit code.

    The ledger is kept in the store, so that the run that follows does not read the data again.
    """
    study_folder = (reports or runs.reports_root()) / study.name
    with tempfile.TemporaryDirectory(prefix="clv-") as folder:
        bench = Workbench(study, study_folder=study_folder, folder=Path(folder), stem="gate")
        ledger = bench.ledger()
        plain = [check.to_json() for check in [*ledger.checks, *_of_contracts(bench), *bench.sufficiency()]]
    if as_json:
        json.dump(
            {
                "study": study.name,
                "as_of": study.as_of.isoformat(),
                "inputs": bench.inputs,
                "ledger": ledger.totals,
                "checks": plain,
            },
            sys.stdout,
            indent=1,
        )
        print()
    else:
        _print_ledger(study, bench, ledger)
        _print_checks(plain)
    return runs.STOP_CHECK_EXIT if stopped_by(plain) else 0


def _of_contracts(bench: Workbench) -> list:
    """What is wrong with the contracts of a study; nothing where it has none."""
    held = bench.contracts()
    if held is None:
        return []
    from clvkit.business_model import kind_checks
    from clvkit.contract_checks import contract_checks

    found = kind_checks(bench.kind_of_business())
    return [*found, *contract_checks(held, bench.seen.contract_section, bench.study.as_of)]


def print_runs(study: str | None, reports: Path | None = None) -> None:
    """Print one line per run."""
    found = runs.list_runs(study, reports)
    if not found:
        print("there are no runs yet" + (f" of {study}" if study else ""))
        return
    table = _table("run", "study", "as of", "finished", "state", "verdict")
    for run in found:
        table.add_row(
            run.run_id,
            run.study,
            run.as_of,
            (run.manifest.get("finished") or "").replace("T", " "),
            run.state.replace("_", " "),
            _verdict(run),
        )
    _console().print(table)


def print_run(run: runs.Run, *, as_json: bool = False) -> None:
    """Print a run's headline figures and its checks that need a reader."""
    results = run.results()
    if as_json:
        json.dump(results, sys.stdout, indent=1, ensure_ascii=False)
        print()
        return
    console = _console()
    console.print(
        f"{run.manifest['title']}, as of {run.as_of}, run {run.run_id}: {run.state.replace('_', ' ')}"
    )
    table = _table("figure", "value:right", "low:right", "high:right", "", "unit")
    for name, metric in results["metrics"].items():
        table.add_row(
            name,
            *(_plain(metric[part]) for part in ("value", "low", "high")),
            metric["kind"] or "",
            metric["unit"],
        )
    console.print(table)
    _print_checks([check for check in run.checks() if check["status"] in ("fail", "review")])
    counted = tally(run.checks())
    console.print(
        "checks: " + ", ".join(f"{counted[status]} {status}" for status in ("pass", "review", "fail"))
    )
    for line in [*_erasures(run), *_replays(run)]:
        console.print(line)
    if (run.folder / "index.html").exists():
        print(run.folder / "index.html")


def _erasures(run: runs.Run) -> list[str]:
    """Which artifacts of a run were changed by erasures since."""
    from clvkit.erasure.log import read_log

    made = {key: name for name, key in run.manifest.get("artifacts", {}).items()}
    lines = []
    for entry in read_log(run.folder.resolve().parent.parent):
        keys = {
            change["file"].split("/")[1] for change in entry["files"] if change["file"].startswith(".store/")
        }
        if changed := sorted(made[key] for key in keys & set(made)):
            lines.append(
                f"changed by erasure {entry['number']} of {entry['day']}: {', '.join(changed)}; the figures of the run "
                "stand, and name nobody"
            )
    return lines


def _replays(run: runs.Run) -> list[str]:
    """What a run after an erasure says of the one it repeats, and which runs repeat this one."""
    said = [one["message"] for one in run.checks() if one["id"] == REPLAY and one["status"] == "pass"]
    others = runs.list_runs(run.study, run.folder.resolve().parent.parent.parent)
    for other in others:
        if other.state != "complete" or not (other.folder / "checks.json").is_file():
            continue
        for check in other.checks():
            if check["id"] == REPLAY and check["value"] == run.run_id:
                ties = "ties to it" if check["status"] == "pass" else "does not tie to it"
                said.append(f"repeated after an erasure by run {other.run_id}, which {ties}")
    return said


def _print_ledger(study: "Study", bench: Workbench, ledger: Any) -> None:
    from clvkit.chapters.ledger_mapping import in_short

    console, totals = _console(), ledger.totals
    console.print(f"{study.title}, as of {study.as_of}")
    for source in bench.inputs:
        console.print(f"  {source['file']}  sha256 {source['sha256'][:12]}…")
    for line in in_short(ledger, study.ledger):
        console.print(f"  {line}", style="dim", markup=False)
    console.print(f"  {count(totals['customers'])} customer{'s' if totals['customers'] != 1 else ''}")
    table = _table("state", "rows:right", *(f"{currency}:right" for currency in totals["amount"]))
    for state in ("used", "merged", "later", "excluded", "quarantined", "in"):
        table.add_row(
            "read" if state == "in" else state,
            count(totals["rows"][state]),
            *(money_cell(amount[state], digits=ledger.minor_digits) for amount in totals["amount"].values()),
            end_section=state == "quarantined",
        )
    console.print(table)
    for reason in ledger.quarantine["reason"].drop_duplicates():
        for row in ledger.quarantine[ledger.quarantine["reason"] == reason].head(3).itertuples():
            said = f" {row.value!r}" if row.value else ""
            console.print(
                f"  quarantined, {reason}: {row.file} row {row.row}{said}", style="dim", markup=False
            )
    if totals["amount_unreadable"]:
        rows = "row has" if totals["amount_unreadable"] == 1 else "rows have"
        console.print(f"  {count(totals['amount_unreadable'])} {rows} an amount that cannot be read")


def _print_checks(checks: list[dict[str, Any]]) -> None:
    console = _console()
    for check in checks:
        stop = ", stops" if check["status"] == "fail" and check["severity"] == "stop" else ""
        console.print(f"{check['status']:>6}{stop}", style=_STYLES[check["status"]], end="  ")
        console.print(f"{check['title']}: {check['message']}")
        if check["recommendation"] and check["status"] != "pass":
            console.print(f"        {check['recommendation']}", style="dim")


def _verdict(run: runs.Run) -> str:
    if run.state != "complete":
        return run.manifest.get("message", "").splitlines()[0][:60] if run.manifest.get("message") else ""
    checks = run.checks()
    counted = tally(checks)
    words = f"{_model(run)}{counted['pass']} pass, {counted['review']} review, {counted['fail']} fail"
    return f"{words}; stops" if stopped_by(checks) else words


def _model(run: runs.Run) -> str:
    """The verdict on the headline's process at its latest origin, where there was a back-test."""
    headline = run.manifest.get("resolved", {}).get("models", {}).get("headline")
    tried = [one for one in run.results()["backtests"] if one["process"] == headline]
    return f"model {max(tried, key=lambda one: one['origin'])['verdict']}; " if tried else ""


def _plain(value: Any) -> str:
    return (
        number(value, 0 if isinstance(value, int) or abs(value) >= 1000 else 4) if value is not None else ""
    )


def _console() -> "Console":
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, markup=False)
    if not console.is_terminal:
        console.width = 200  # in a file or a pipe nothing needs to be cut short
    return console


def _table(*columns: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    for column in columns:
        name, _, justify = column.partition(":")
        table.add_column(name, justify=justify or "left", no_wrap=True)  # type: ignore[arg-type]
    return table
