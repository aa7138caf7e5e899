"""Exports: the scores of a complete run's customers as a file or a table, each logged with its purpose."""

import hashlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

from clvkit import numbers, runs
from clvkit.artifacts import CROSSWALK, KINDS
from clvkit.errors import DataError, RunError, StudyError
from clvkit.export_log import LOG, add_export
from clvkit.publish.section import months_after
from clvkit.rules import did_you_mean, listed
from clvkit.store import Store, sha256_file
from clvkit.study import Study, load_study, study_from_resolved

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

    from clvkit.customer_total import Rule
    from clvkit.ledger import Ledger

TABLE = "table:"


@dataclass(frozen=True)
class Exported:
    """What an export came to: the customers and what they add up to, and the number it has in the log."""

    number: int
    rows: int
    total: float
    currency: str
    target: str
    use_until: date

    def text(self, today: date | None = None) -> str:
        """What was written, in two or three lines."""
        worth = numbers.money(self.total, self.currency)
        lines = [
            f"{numbers.count(self.rows)} customers, together {worth}, are in {self.target}",
            f"export {self.number} in {LOG} of the study; it is personal data: keep it no longer than its purpose needs",
        ]
        if (today or date.today()) > self.use_until:
            lines.append(f"note: these scores were to be used until {numbers.date_words(self.use_until)}")
        return "\n".join(lines)


def export_scores(run: runs.Run, target: str, purpose: str, *, study_file: Path | None = None) -> Exported:
    """Write the scores of every customer of a run to ``target``, and log it in the study's ``exports.jsonl``.

    Scores are made from the run's own artifacts, and nothing is fitted. The columns are those of
    `clvkit.ledger.writeback.SCORES`, and where contracts are valued `clvkit.contract_export.WITH_CONTRACTS`; customers go by
    their pseudonyms.

    Parameters
    ----------
    target : a file that ends in .csv or .parquet, or ``table:NAME`` (``table:SCHEMA.NAME``) of the database that the
        study reads. What is there is replaced, in one step.
    purpose : what the scores are for; one of the study's ``privacy.purposes`` where it lists any.
    study_file : of the study, for a table of a DuckDB file: its path counts from there. ``params/<study>.yml`` of the
        checkout by default.

    Raises
    ------
    RunError : the run is not complete, has no value, an artifact of it is gone, or an erasure is not finished.
    StudyError, DataError : the purpose is not one of the study's, or the target cannot be written to.
    """
    study, tally, source = scores_of(run, purpose)
    write = _to_table(study, target, study_file) if target.startswith(TABLE) else to_file(run, Path(target))
    database = write(tally, source)
    number, until = log_export(run, study, purpose, tally, target, database, tally.rows, tally.total)
    return Exported(number, tally.rows, tally.total, study.currency, target, until)


def log_export(
    run: runs.Run,
    study: Study,
    purpose: str,
    tally: "Tally",
    target: str,
    database: str | None,
    rows: int,
    total: float,
) -> tuple[int, date]:
    """Note in the log of a study what left it; the number of the export and the day until which it is to be used.

    ``rows`` and ``total`` are the study's own, where a file holds the scores of several.
    """
    folder = run.folder.resolve().parent.parent
    path, until = (
        None if database else Path(target).resolve(),
        months_after(study.as_of, study.report.use_for_months),
    )
    entry = {
        "time": runs.now(),
        "purpose": purpose,
        "run": run.run_id,
        "target": Path(os.path.relpath(path, folder)).as_posix() if path else target,
        "database": database,
        "rows": rows,
        "rows_sha256": tally.digest.hexdigest(),
        "sha256": sha256_file(path) if path else None,
        "total": round(total, 2),
        "currency": study.currency,
        "use_until": until.isoformat(),
    }
    return add_export(folder, entry), until


def scores_of(run: runs.Run, purpose: str) -> "tuple[Study, Tally, ir.Table]":
    """The study of a run, the scores of its customers, and the summary they are read from, where they may be used so.

    Raises
    ------
    RunError, StudyError : as `export_scores` does.
    """
    _require_complete(run)
    study = study_from_resolved(run.manifest["resolved"], source=f"the study of run {run.run_id}")
    _require_purpose(study, purpose)
    folder = run.folder.resolve().parent.parent
    _require_erased(folder)
    return study, *_scores(run, study, folder)


@dataclass
class Tally:
    """Blocks of scores with what passes through them counted: rows, their sum, and the sha256 of them as CSV."""

    reader: pa.RecordBatchReader
    rows: int = 0
    total: float = 0.0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def blocks(self) -> pa.RecordBatchReader:
        """The blocks, once."""

        def counted():
            for batch in self.reader:
                self.rows += len(batch)
                self.total += pa.compute.sum(batch["clv"]).as_py() or 0.0
                self.digest.update(as_csv(batch, header=False))
                yield batch

        schema = self.reader.schema
        self.digest.update(as_csv(pa.RecordBatch.from_pylist([], schema=schema), header=True))
        return pa.RecordBatchReader.from_batches(schema, counted())


#: Writes the blocks of a tally, read from a summary; returns the study's name for the database, None for a file.
_Writer = Callable[[Tally, "ir.Table"], str | None]


def as_csv(batch: pa.RecordBatch, *, header: bool) -> bytes:
    """A block as CSV: commas, text in quotes, missing values empty."""
    buffer = pa.BufferOutputStream()
    pa.csv.write_csv(batch, buffer, pa.csv.WriteOptions(include_header=header))
    return buffer.getvalue().to_pybytes()


def _require_complete(run: runs.Run) -> None:
    if run.state != "complete":
        raise RunError(
            f"the run {run.run_id} is not complete (its state is {run.state.replace('_', ' ')}), and its scores are not for use",
            fix=f"export a complete run; clv list {run.study} shows them",
        )
    if run.manifest.get("not_executed"):
        raise RunError(
            f"the run {run.run_id} gives no value: its data did not carry one, and there are no scores",
            fix="the report of the run says what was missing",
        )


def _require_erased(folder: Path) -> None:
    from clvkit.erasure.carry_out import interrupted

    if interrupted(folder):
        raise RunError(
            "an erasure of this study was begun and is not finished, and its person may still be among the scores",
            place=folder.name,
            fix="finish it first: clv erase again, or clv run, goes on from where it stopped",
        )


def _require_purpose(study: Study, purpose: str) -> None:
    allowed = study.privacy.purposes
    if not purpose.strip():
        raise StudyError(
            "an export names its purpose", place="--purpose", fix="say what the scores are used for"
        )
    if allowed and purpose not in allowed:
        raise StudyError(
            f"{purpose!r} is not a purpose that the study allows scores to be used for",
            place="privacy.purposes",
            fix=did_you_mean(purpose, allowed) or f"it allows: {listed(allowed)}",
        )


def _scores(run: runs.Run, study: Study, folder: Path) -> tuple[Tally, "ir.Table"]:
    """The scores of the run's customers from what the store has kept of the run, and the summary they are read from."""
    from clvkit.averaging import marked, segment_means
    from clvkit.customers import averaged_cells, customer_summary, score_cells
    from clvkit.ledger.crosswalk import known_members
    from clvkit.ledger.customers import with_confidence
    from clvkit.ledger.inclusion import InclusionSection, apply
    from clvkit.ledger.writeback import customer_scores
    from clvkit.opportunities import known_until
    from clvkit.seen import Seen

    ledger: Ledger = _kept(run, folder, "ledger")
    contracts = _contracts(run, folder)
    if contracts is not None and contracts[1] == "contracts":
        from clvkit.contract_export import with_contracts

        paid = ledger.purchases.group_by("customer").agg(minor=ledger.purchases.amount_minor.sum())
        frame = paid.to_pyarrow().to_pandas().set_index("customer")["minor"]
        so_far = study.value.margin * frame.astype(float) / 10**ledger.minor_digits
        made = with_contracts(None, *contracts, as_of=study.as_of, run=run.run_id, so_far=so_far)
        return Tally(made), ledger.purchases
    by_segment = study.models.segments == "value"
    refined = (
        "fit_with_covariates"
        if study.models.covariates.use == "value"
        else "fit_by_segment"
        if by_segment
        else None
    )
    fit = _kept(run, folder, refined or f"fit:{study.models.headline}")
    of_segments = by_segment and "spend_by_segment" in run.manifest["artifacts"]
    spend = _kept(run, folder, "spend_by_segment" if of_segments else "spend")
    money = {"minor_per_unit": 10**ledger.minor_digits, "days_per_year": study.days_per_year}
    accounts = known_members(ledger.con, folder / CROSSWALK)
    seen = Seen(ledger, study, accounts)
    summary = customer_summary(seen.purchases(), known_until(study.as_of, study.models.opportunity))
    means = None
    if study.ledger.inclusion != InclusionSection():
        summary = with_confidence(summary, study.ledger.identity, accounts, study.base)
        summary = apply(seen.with_survey(summary), study.ledger.inclusion, accounts)
    if study.ledger.inclusion.averages:
        valued = summary.filter(summary.treatment != "exclude")
        kinds = marked(score_cells(valued), averaged_cells(valued))
        means = segment_means(fit, spend, kinds, study.value, **money)
    made = customer_scores(
        summary, fit, spend, study.value, as_of=study.as_of, run=run.run_id, means=means, **money
    )
    if contracts is not None:
        from clvkit.contract_export import with_contracts

        made = with_contracts(made, *contracts, as_of=study.as_of, run=run.run_id)
    return Tally(made), summary


def _contracts(run: runs.Run, folder: Path) -> "tuple[pd.DataFrame, Rule] | None":
    """The values of single customers' contracts, and how they and purchases make one value; None where the run has none."""
    if not {"contract_scores", "customer_total"} <= set(run.manifest["artifacts"]):
        return None
    return _kept(run, folder, "contract_scores"), _kept(run, folder, "customer_total").rule


def _kept(run: runs.Run, folder: Path, name: str):
    """An artifact of the run, as the store has it.

    Raises
    ------
    RunError : it is not there any more, or is damaged.
    """
    store, key = Store(folder / runs.STORE), run.manifest["artifacts"].get(name)
    if key is None or not store.complete(key):
        again = f"clv run {run.manifest.get('command', '').removeprefix('clv run ') or run.study}"
        raise RunError(
            f"the store no longer has the {name.partition(':')[0]} of run {run.run_id}: it was removed, or its time was over",
            place=f"{run.study}/{runs.STORE}/{key or '(no key)'}",
            fix=f"make the run again, which makes it anew ({again}), and export that run",
        )
    return KINDS[name.partition(":")[0]].load(store.folder(key))


def to_file(run: runs.Run, path: Path) -> _Writer:
    """A function that writes a file under a temporary name first, readable by its owner alone."""
    if path.suffix not in (".csv", ".parquet"):
        raise DataError(
            f"scores are written to a .csv or a .parquet file, or to a table (got {str(path)!r})",
            place="--to",
            fix="write --to scores.csv, --to scores.parquet or --to table:SCHEMA.NAME",
        )
    if not path.resolve().parent.is_dir():
        raise DataError(f"the folder {str(path.parent)!r} does not exist", place="--to", fix="make it first")
    if path.resolve().is_relative_to(run.folder.resolve()):
        raise DataError(
            "a run holds no rows of customers, and scores are not written into its folder",
            place="--to",
            fix="write them to a place that only those may read who need them",
        )

    def write(tally: Tally, source: "ir.Table") -> None:
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        blocks = tally.blocks()
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                _write(file, path.suffix, blocks)
            os.replace(draft, path)
        except OSError as error:
            raise DataError(f"{path.name} cannot be written: {error.strerror}", place="--to") from error
        finally:
            draft.unlink(missing_ok=True)

    return write


def _write(file, suffix: str, blocks: pa.RecordBatchReader) -> None:
    if suffix == ".parquet":
        with pa.parquet.ParquetWriter(file, blocks.schema, compression="zstd") as writer:
            for batch in blocks:
                writer.write_batch(batch)
        return
    file.write(as_csv(pa.RecordBatch.from_pylist([], schema=blocks.schema), header=True))
    for batch in blocks:
        file.write(as_csv(batch, header=False))


def _to_table(study: Study, target: str, study_file: Path | None) -> _Writer:
    """A function that replaces a table of the study's own database; it returns the study's name for that."""
    from clvkit.ledger.databases import database_kind, open_database
    from clvkit.ledger.writeback import write_back

    named = [one.database for one in study.ledger.by_name().values() if one.database]
    name = target.removeprefix(TABLE)
    if not named or not name:
        raise DataError(
            "the study reads files, and has no database to write a table to"
            if name
            else "--to table: names no table",
            place="--to",
            fix="write --to scores.csv or --to scores.parquet" if name else "write --to table:SCHEMA.NAME",
        )
    base = _base(study, study_file) if database_kind(named[0])[0] in ("duckdb", "sqlite") else Path()

    def write(tally: Tally, source: "ir.Table") -> str:
        database = open_database(named[0], base, write=True)
        try:
            write_back(database, name, tally.blocks(), source=source)
        finally:
            if database.con.name != "pyspark":  # whose session the ledger is read in, too
                database.con.disconnect()
        return named[0]

    return write


def _base(study: Study, study_file: Path | None) -> Path:
    """The folder that the study's paths count from; the file must be of that study."""
    file = study_file or runs.project_root() / "params" / f"{study.name}.yml"
    if not file.is_file():
        raise StudyError(
            f"a table of {study.name} is written to a file whose path counts from the study's own",
            place=str(file.name),
            fix="name the study's file with --study",
        )
    found = load_study(file)
    if found.name != study.name:
        raise StudyError(f"the run is of the study {study.name}, and not of {found.name}", place="--study")
    return found.base
