"""The plan of an erasure: every file that names the person, with its new content beside it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clvkit.artifacts import CROSSWALK
from clvkit.erasure import files
from clvkit.erasure.log import LOG, read_log
from clvkit.erasure.own_files import OwnFiles, search, source_names
from clvkit.erasure.person import Person, whom
from clvkit.erasure.store import CELLS, LABEL, REFIT, CannotTell, dependents, labels, rewrite_cells
from clvkit.erasure.suppression import FILE, FOLDER, Suppression
from clvkit.errors import DataError
from clvkit.export_log import LOG as EXPORTS
from clvkit.export_log import exported_files, exported_tables, recipients
from clvkit.ledger.crosswalk import Crosswalk
from clvkit.ledger.side_accounts import ADDRESS
from clvkit.runs import STORE, list_runs
from clvkit.store import sha256_file

if TYPE_CHECKING:
    from clvkit.study import Study

REQUEST = "request.json"

_SPLIT = (
    "the person was once held to be another one, too: tables from before may hold their purchases under that "
    "customer; remove the study's store to be rid of them, a run makes it again"
)


class _Changes:
    """Files to change, in order, with the new content in the journal."""

    def __init__(self, folder: Path, journal: Path, done: list[dict[str, Any]]):
        self.folder, self.journal = folder, journal
        self.entries: list[dict[str, Any]] = []
        self.done = {one["file"]: one for one in done}

    def draft(self) -> Path:
        """Where the next new content goes."""
        return self.journal / f"{len(self.entries):06d}.new"

    def replace(self, file: Path) -> None:
        """The draft is the file's new content."""
        self._add(file, self.draft().name)

    def write(self, file: Path, text: str) -> None:
        """The text is the file's new content."""
        self.draft().write_text(text, "utf-8")
        self.draft().chmod(0o600)
        self.replace(file)

    def remove(self, file: Path) -> None:
        """The file goes."""
        self._add(file, None)

    def _add(self, file: Path, staged: str | None) -> None:
        name = file.relative_to(self.folder).as_posix()
        before = self.done.get(name)
        # What an earlier attempt has changed already counts from what it was then.
        self.entries.append(
            {
                "file": name,
                "old": sha256_file(file) if file.is_file() else None,
                "new": sha256_file(self.journal / staged) if staged else None,
                "staged": staged,
                "first": before["old"] if before else None,
            }
        )

    def logged(self) -> list[dict[str, Any]]:
        """The changes as the log has them: what was changed, from what it was at first."""
        now = {
            one["file"]: {"file": one["file"], "old": one["first"] or one["old"], "new": one["new"]}
            for one in self.entries
        }
        return list((self.done | now).values())


def make_plan(study: "Study", folder: Path, journal: Path, request: dict, number: int) -> dict[str, Any]:
    """Find the person everywhere, and write every file without them into the journal.

    Returns ``{"files", "entry", "certificate", "person"}``: what to change, the entry of the log, the certificate,
    and who is meant.

    Raises
    ------
    DataError : nobody is meant, or there is nothing of them left.
    """
    crosswalk = Crosswalk.load(folder / CROSSWALK)
    if request["person"]:  # an earlier attempt has taken them out of the crosswalk already
        person = Person.from_json(request["person"])
    else:
        person = whom(request["customer"], crosswalk, source_names(study)).with_keys(request["keys"])
    person, own = search(study, person)
    changes = _Changes(folder, journal, request["done"])
    suppression = Suppression.load(folder)
    # By their addresses, too: tables beside the orders may name them so.
    addresses = {(ADDRESS, key.strip().lower()) for key in person.keys}
    listed = suppression.with_accounts({*person.accounts, *addresses})
    known = labels(folder / STORE)

    if listed != suppression:
        changes.write(folder / FOLDER / FILE, listed.text())
    if person.pseudonym and crosswalk.accounts(person.pseudonym):
        _crosswalk(changes, crosswalk, person, date.fromisoformat(request["day"]))
    changed = _store(changes, known, person)
    others, left = _others(changes, person)
    new = own.holding and listed != suppression  # nobody that a run has seen yet, but a source holds them
    if not (changed or others or left or person.pseudonym or new or request["done"]):
        raise _nobody(folder, suppression, person)
    affected = changed | dependents(changed, known)
    runs = [run for run in list_runs(folder.name, folder.parent) if run.state == "complete"]
    used = {run.run_id: set(run.manifest["artifacts"].values()) for run in runs}
    refit = [
        {
            "kind": known[key]["kind"],
            "key": key,
            "runs": sorted(run for run, keys in used.items() if key in keys),
        }
        for key in sorted(affected)
        if known[key]["kind"] in REFIT
    ]
    privacy = getattr(study, "privacy", None)
    certificate = {
        "number": number,
        "day": request["day"],
        "by": request["by"],
        "person": listed.hash("", person.pseudonym or ":".join(min(person.accounts))),
        "accounts": len(person.accounts),
        "files": changes.logged(),
        "refit": refit,
        "runs": sorted(run for run, keys in used.items() if keys & affected),
        "recipients": [*getattr(privacy, "recipients", ()), *recipients(folder)],
        "own_files": _with_exports(own, [*request["exports"], *exported_files(folder)], person).holding,
        "unsearched": own.unsearched
        + [f"{table}: a table of an export" for table in exported_tables(folder)],
        "left": left,
        "possible": _possible(folder, changes, person),
        "notes": [_SPLIT] if person.split else [],
    }
    entry = {name: certificate[name] for name in ("number", "day", "by", "person", "files", "recipients")}
    entry["accounts"] = sorted(listed.hash(*one) for one in person.accounts)
    entry["refit"] = [one["key"] for one in refit]
    return {
        "files": changes.entries,
        "entry": entry,
        "certificate": certificate,
        "person": person.to_json(),
    }


def _crosswalk(changes: _Changes, crosswalk: Crosswalk, person: Person, day: date) -> None:
    """The crosswalk without the person: its new members first, then the file that names them."""
    left = crosswalk.without(person.pseudonym, as_of=day)
    gone = dict.fromkeys(person.names, f"erased {len(left.erased)}")
    left = replace(
        left,
        events=left.events.replace({"from": gone, "into": gone}),
        review=left.review[~left.review["customer"].isin(person.names)].reset_index(drop=True),
    )
    made, home = changes.journal / "crosswalk", changes.folder / CROSSWALK
    left.save(made)
    old = [path for path in sorted(home.iterdir()) if path.is_file() and path.name != "crosswalk.json"]
    new = sorted(made.iterdir(), key=lambda path: (path.name == "crosswalk.json", path.name))
    for path in new:
        path.rename(changes.draft())
        changes.replace(home / path.name)
    for path in old:
        changes.remove(path)


def _store(changes: _Changes, known: dict[str, dict], person: Person) -> set[str]:
    """Artifacts without the person; the keys of those that change."""
    changed = set()
    # In any order: until the plan is carried out, the purchases are there as they were.
    for key, label in known.items():
        folder = changes.folder / STORE / key
        before = len(changes.entries)
        digests = dict(label["files"])
        try:
            for path in _files_below(folder):
                name = path.relative_to(folder).as_posix()
                if name == LABEL:
                    continue
                if label["kind"] in CELLS and name == "table.parquet":
                    hit = rewrite_cells(folder, changes.draft(), label, known, person)
                else:
                    hit = files.rewrite(path, changes.draft(), person)
                if hit:
                    digests[name] = sha256_file(changes.draft())
                    changes.replace(path)
        except (CannotTell, *files.DAMAGED):
            del changes.entries[before:]
            for path in _files_below(folder):
                changes.remove(path)
            changed.add(key)
            continue
        if digests != label["files"]:
            said = label | {"files": digests}
            changes.write(folder / LABEL, json.dumps(said, indent=1, sort_keys=True) + "\n")
            changed.add(key)
    return changed


def _others(changes: _Changes, person: Person) -> tuple[int, list[str]]:
    """Everything else in the study's folder: how many files change, and which cannot be rewritten."""
    found, left = 0, []
    known = set(labels(changes.folder / STORE))
    for path in _files_below(changes.folder):
        parts = path.relative_to(changes.folder).parts
        if parts[0] in (FOLDER, CROSSWALK, LOG, EXPORTS) or (parts[0] == STORE and parts[1] in known):
            continue
        if parts[0] == STORE:  # a draft that a killed run left, or an artifact whose label is broken
            changes.remove(path)
            continue
        try:
            if files.rewrite(path, changes.draft(), person):
                changes.replace(path)
                found += 1
            elif files.count(path, person):
                left.append("/".join(parts))
        except files.DAMAGED:
            left.append("/".join(parts))
    return found, left


def _possible(folder: Path, changes: _Changes, person: Person) -> list[str]:
    """Published files that have an account as a word of their own, where it is too plain to be surely one."""
    rewritten = {one["file"] for one in changes.entries}
    found = []
    for path in _files_below(folder):
        name = path.relative_to(folder).as_posix()
        if (
            name.startswith(".")
            or name in rewritten
            or path.suffix not in (".html", ".csv", ".json", ".ipynb")
        ):
            continue
        if person.anywhere.search(path.read_text("utf-8", "replace")):
            found.append(name)
    return found


def _with_exports(own: OwnFiles, exports: list[str | Path], person: Person) -> OwnFiles:
    for name in exports:
        path = Path(name)
        try:
            rows = files.count(path, person)
        except files.DAMAGED as error:
            own.unsearched.append(f"{path.name}: {type(error).__name__}")
            continue
        if rows:
            own.holding.append({"source": "export", "file": path.name, "rows": rows})
    return own


def _nobody(folder: Path, suppression: Suppression, person: Person) -> DataError:
    hashes = {suppression.hash(*one) for one in person.accounts}
    before = [entry for entry in read_log(folder) if hashes & set(entry["accounts"])]
    if before:
        entry = before[-1]
        return DataError(
            f"this account was erased by erasure {entry['number']} on {entry['day']}, and is nowhere left",
            place=folder.name,
            fix="nothing is to be done",
        )
    return DataError(
        "no account of the study is the one to erase, and no source file holds it",
        place=folder.name,
        fix="check the source and how the account is written there",
    )


def _files_below(folder: Path) -> Iterator[Path]:
    return iter(sorted(path for path in folder.rglob("*") if path.is_file()))
