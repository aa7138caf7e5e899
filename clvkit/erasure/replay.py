"""A replay after erasures: whether it adds up to what was published before them, once what was withheld is put back."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clvkit.erasure.log import read_log
from clvkit.erasure.suppression import REASON
from clvkit.ledger.currencies import digits_of
from clvkit.ledger.files import SHARED
from clvkit.ledger.reasons import STATES
from clvkit.runs import STORE, Run, list_runs
from clvkit.store import canonical_json

if TYPE_CHECKING:
    from clvkit.ledger import Ledger

Totals = Mapping[str, Any]


@dataclass(frozen=True)
class Replay:
    """A published run beside a ledger of the same study and as-of date that was made after erasures.

    Attributes
    ----------
    run_id : of the published run.
    erasures : numbers of the erasures between the two.
    same_inputs : whether both read the same files; nothing is compared where they did not.
    rows, minor : what has been withheld since as ``erased``: rows, and money by currency in minor units.
    customers : those published, and those of now.
    apart : what is not equal once that is put back; empty where all is.
    """

    run_id: str
    erasures: tuple[int, ...]
    same_inputs: bool
    rows: int = 0
    minor: Mapping[str, int] | None = None
    customers: tuple[int, int] = (0, 0)
    apart: tuple[str, ...] = ()

    @property
    def ties(self) -> bool:
        """Whether the replay adds up to what was published."""
        return self.same_inputs and not self.apart


def withheld(ledger: "Ledger") -> dict[str, Any]:
    """``{"rows", "amount": {currency: units}}`` of the rows that name nobody any more, as ``results.json`` has them."""
    found = ledger.reasons[ledger.reasons["reason"] == REASON]
    sums = found.dropna(subset=["currency"]).groupby("currency")["amount"].sum()
    return {"rows": int(found["rows"].sum()), "amount": {code: float(one) for code, one in sums.items()}}


def replay_of(
    study_folder: Path, *, as_of: str, inputs: list[dict], settings: Mapping, ledger: "Ledger"
) -> Replay | None:
    """The ledger beside the last run of its as-of date that was published before an erasure; None where there is none.

    What was published is read from that run's ``results.json``, never from rows of customers.

    Parameters
    ----------
    as_of : the day, in ISO 8601.
    inputs : name and sha256 of the files that the ledger was made from.
    settings : the study as resolved; a run of another ledger section or currency is no run of the same study.
    """
    log = read_log(study_folder)
    before = [
        run
        for run in list_runs(study_folder.name, study_folder.parent)
        if run.state == "complete" and run.as_of == as_of and _same_study(run, settings)
        and _erasures_before(run, log) < len(log)
    ]  # fmt: skip
    if not before:
        return None
    same = [run for run in before if _read(run.manifest["inputs"]) == _read(inputs)]
    run = (same or before)[0]
    since = log[_erasures_before(run, log) :]
    numbers = tuple(entry["number"] for entry in since)
    if not same:
        return Replay(run.run_id, numbers, False)
    published, known = run.results()["ledger"], f"{STORE}/{run.manifest['artifacts'].get('ledger')}/"
    # Whose purchases by the as-of date an erasure took out of that run's ledger was one of its customers.
    theirs = sum(
        any(change["file"] == f"{known}purchases.parquet" for change in entry["files"]) for entry in since
    )
    return _compared(run.run_id, numbers, published, ledger.totals, withheld(ledger), theirs)


def _compared(
    run_id: str, erasures: tuple[int, ...], then: Totals, now: Totals, gone: Totals, theirs: int
) -> Replay:
    """The published totals beside those of now; ``theirs`` erased persons at least were customers then."""
    before = then.get("erased", {"rows": 0, "amount": {}})
    rows, apart = gone["rows"] - before["rows"], []
    # By state it cannot be told where each withheld row would be; but no state can hold more than it did.
    lost = {state: then["rows"][state] - now["rows"][state] for state in STATES}
    lost["excluded"] += rows
    if then["rows"]["in"] != now["rows"]["in"] or then["amount_unreadable"] != now["amount_unreadable"]:
        apart.append("rows in")
    apart += [f"rows {state}" for state in STATES if lost[state] < 0]
    if sum(lost.values()) != rows:
        apart.append("rows withheld")
    minor = {}
    for code in sorted({*then["amount"], *now["amount"]}):
        old, new = (_minor(code, one["amount"].get(code, {})) for one in (then, now))
        part = _minor(code, gone["amount"]).get(code, 0) - _minor(code, before["amount"]).get(code, 0)
        left = {state: old.get(state, 0) - new.get(state, 0) for state in STATES}
        left["excluded"] += part
        if old.get("in", 0) != new.get("in", 0) or sum(left.values()) != part:
            apart.append(f"{code} in")
        apart += [f"{code} {state}" for state in STATES if left[state] and not lost[state]]
        if part:
            minor[code] = part
    customers = then["customers"], now["customers"]
    if not theirs <= customers[0] - customers[1] <= len(erasures):
        apart.append("customers")
    return Replay(run_id, erasures, True, rows, minor, customers, tuple(apart))


def _minor(code: str, amounts: Mapping[str, float]) -> dict[str, int]:
    return {name: round(amount * 10 ** digits_of(code)) for name, amount in amounts.items()}


def _same_study(run: Run, settings: Mapping) -> bool:
    said = [
        {"currency": one.get("currency"), "ledger": {**one.get("ledger", {}), SHARED: None}}
        for one in (run.manifest["resolved"], settings)
    ]
    return canonical_json(said[0]) == canonical_json(said[1])


def _erasures_before(run: Run, log: list[dict]) -> int:
    """How many persons had been erased when a run began; of a run that does not say, by the day it ended."""
    said = run.manifest.get("erasures")
    return said if said is not None else sum(one["day"] < run.manifest["finished"][:10] for one in log)


def _read(inputs: list[dict]) -> set[tuple[str, str, str]]:
    """The files that decide about rows."""
    return {(one.get("source"), one["file"], one["sha256"]) for one in inputs if one.get("source") != SHARED}
