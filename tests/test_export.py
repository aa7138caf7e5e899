"""Scores of a run as a file or a table: nothing fitted, everybody in it once, logged, and remembered by an erasure."""

import hashlib
import json
import os
import shutil
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from small_company import write_small_study

from clvkit import cli
from clvkit.averaging import OWN, SEGMENT
from clvkit.erasure import erase
from clvkit.erasure.suppression import FOLDER
from clvkit.errors import ClvError, RunError
from clvkit.export import export_scores
from clvkit.export_log import read_exports, recipients
from clvkit.ledger.writeback import SCORES
from clvkit.runs import Run
from clvkit.study import load_study
from clvkit.workbench import Workbench

POSTGRES = "CLVKIT_TEST_POSTGRES"


def made(root: Path, file: Path, **manifest) -> Run:
    """A run of the study as `clv run` leaves it, as far as an export looks: its artifacts and its manifest."""
    study = load_study(file)
    folder = root / "reports" / study.name / study.as_of.isoformat() / "aaaa0001"
    folder.mkdir(parents=True)
    bench = Workbench(study, study_folder=folder.parent.parent, folder=folder, stem="04_value")
    bench.ledger(), bench.fit(), bench.spend()
    said = {"run_id": "aaaa0001", "study": study.name, "as_of": study.as_of.isoformat(), "state": "complete",
            "resolved": study.resolved(), "artifacts": bench.part["artifacts"], "command": f"clv run {file.name}",
            "inputs": bench.inputs}  # fmt: skip
    (folder / "run.json").write_text(json.dumps(said | manifest))
    return Run.open(folder)


def study_file(folder: Path, rules=None, database=None) -> Path:
    """A study of few customers, fitted at maximum likelihood alone; read from a file or from a table of a database."""
    file = write_small_study(folder, every=4, models={"sampled": [], "processes": ["paretonbd"], "headline": "paretonbd"},
                             privacy={"purposes": ["mailing", "credit"]})  # fmt: skip
    study = yaml.safe_load(file.read_text())
    study["ledger"] |= {"inclusion": rules or {}}
    if database:
        study["ledger"] |= {"path": None, "database": database, "relation": "orders"}
    study["backtest"] = {"origins": []}
    file.write_text(yaml.safe_dump(study, sort_keys=False))
    return file


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("export")
    rules = {"min_history_days": {"at_least": 480}, "exclude_where": {"few": {"T_days": ["470"]}}}
    return made(root, study_file(root / "params", rules)), root


@pytest.fixture(scope="module")
def table(world):
    run, root = world
    done = export_scores(run, str(root / "scores.csv"), "mailing")
    return done, pd.read_csv(root / "scores.csv", dtype={"customer": str})


def test_everybody_is_in_it_once_with_the_value_of_the_run(world, table):
    run, root = world
    done, frame = table
    assert list(frame.columns) == SCORES.names and frame["customer"].is_unique
    bench = Workbench(load_study(root / "params" / "small.yml"), study_folder=run.folder.parent.parent,
                      folder=root / "draft", stem="04_value")  # fmt: skip
    valuation = bench.valuation()
    assert done.rows == len(frame) == valuation.customers
    assert frame["clv"].sum() == pytest.approx(valuation.estimates["customer_equity"].value, rel=1e-9)
    assert done.total == pytest.approx(frame["clv"].sum()) and set(frame["run"]) == {"aaaa0001"}
    averaged = frame[frame["valued_as"] != OWN]
    assert set(averaged["valued_as"]) == {SEGMENT} and set(averaged["inclusion"]) == {"min_history_days"}
    assert averaged["clv"].nunique() == 1 and len(averaged) == bench.get("averaged")["n"].sum()
    assert frame.loc[frame["valued_as"] == OWN, "inclusion"].isna().all()
    excluded = (
        bench.everybody().filter(lambda t: t.treatment == "exclude").to_pyarrow()["customer"].to_pylist()
    )
    assert excluded and not set(excluded) & set(frame["customer"])


def test_the_log_says_what_went_where_for_what(world, table):
    run, root = world
    export_scores(run, str(root / "scores.parquet"), "credit")
    folder = run.folder.parent.parent
    first, second = read_exports(folder)[:2]
    assert (first["number"], first["purpose"], first["rows"], first["run"]) == (
        1,
        "mailing",
        table[0].rows,
        "aaaa0001",
    )
    assert (
        first["sha256"]
        == hashlib.sha256((root / "scores.csv").read_bytes()).hexdigest()
        == first["rows_sha256"]
    )
    assert second["rows_sha256"] == first["rows_sha256"] != second["sha256"]  # the same rows in another shape
    assert pq.read_schema(root / "scores.parquet").names == SCORES.names
    assert not Path(first["target"]).is_absolute() and first["time"].endswith("Z")
    assert first["use_until"] == "1998-09-30"
    assert "were to be used until 30 September 1998" in table[0].text(date(1998, 10, 1))
    assert "to be used" not in table[0].text(date(1998, 9, 30))
    if os.name == "posix":
        assert (root / "scores.csv").stat().st_mode & 0o077 == 0
    assert [one.split(" (")[0] for one in recipients(folder)] == [
        "mailing: scores.csv",
        "credit: scores.parquet",
    ]
    assert not list(root.glob(".scores*"))


def test_a_changed_log_is_noticed(world, table, tmp_path):
    text = (world[0].folder.parent.parent / "exports.jsonl").read_text()
    (tmp_path / "exports.jsonl").write_text(text.replace("mailing", "nothing"))
    if text.count("\n") > 1:
        with pytest.raises(RunError, match="log of exports was changed"):
            read_exports(tmp_path)


@pytest.mark.parametrize(
    ("target", "purpose", "words"),
    [
        ("scores.xlsx", "mailing", "a .csv or a .parquet file"),
        ("nowhere/scores.csv", "mailing", "does not exist"),
        ("table:scores", "mailing", "reads files, and has no database"),
        ("scores.csv", "maling", "did you mean 'mailing'"),
        ("scores.csv", " ", "names its purpose"),
    ],
)
def test_what_cannot_be_exported_says_why(world, target, purpose, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = (world[0].folder.parent.parent / "exports.jsonl").read_text()
    with pytest.raises(ClvError) as caught:
        export_scores(world[0], target, purpose)
    assert words in str(caught.value) and caught.value.exit_code in (2, 3)
    assert (world[0].folder.parent.parent / "exports.jsonl").read_text() == before and not list(
        tmp_path.iterdir()
    )


def test_never_into_a_run(world):
    with pytest.raises(ClvError, match="a run holds no rows of customers"):
        export_scores(world[0], str(world[0].folder / "scores.csv"), "mailing")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"state": "timed_out"}, "is not complete (its state is timed out)"),
        ({"not_executed": ["04_value"]}, "gives no value"),
        ({"artifacts": {}}, "the store no longer has the ledger"),
    ],
)
def test_a_run_without_scores_says_what_to_do(world, said, words, tmp_path):
    run = Run(world[0].folder, world[0].manifest | said)
    with pytest.raises(RunError) as caught:
        export_scores(run, str(tmp_path / "scores.csv"), "mailing")
    assert words in str(caught.value) and "next:" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_not_while_an_erasure_is_unfinished(world, tmp_path):
    journal = world[0].folder.parent.parent / ".erasure" / "journal"
    assert FOLDER == journal.parent.name
    journal.mkdir(parents=True)
    (journal / "request.json").write_text('{"customer": "x"}')
    with pytest.raises(RunError, match="begun and is not finished"):
        export_scores(world[0], str(tmp_path / "scores.csv"), "mailing")
    shutil.rmtree(journal.parent)


def test_into_a_table_of_the_study_s_own_database(tmp_path, capsys):
    file = study_file(tmp_path / "params", database="duckdb:shop.duckdb")
    shop = tmp_path / "params" / "shop.duckdb"
    with duckdb.connect(str(shop)) as con:
        con.execute(
            f"CREATE TABLE orders AS FROM read_csv('{tmp_path}/params/small.csv', all_varchar = true)"
        )
        con.execute("CREATE SCHEMA marts")
    run = made(tmp_path, file)
    for _ in range(2):  # the second replaces the first
        with pytest.raises(SystemExit) as ended:
            cli.main(
                [
                    "export",
                    str(run.folder),
                    "--to",
                    "table:marts.scores",
                    "--purpose",
                    "credit",
                    "--study",
                    str(file),
                ]
            )
        assert ended.value.code == 0, capsys.readouterr().err
    assert "are in table:marts.scores" in capsys.readouterr().out
    with duckdb.connect(str(shop), read_only=True) as con:
        rows = con.sql(
            "SELECT count(*), count(DISTINCT customer), min(valued_as) FROM marts.scores"
        ).fetchone()
    log = read_exports(run.folder.parent.parent)
    assert rows == (log[1]["rows"], log[1]["rows"], OWN)
    assert (log[1]["database"], log[1]["target"], log[1]["sha256"]) == (
        "duckdb:shop.duckdb",
        "table:marts.scores",
        None,
    )
    assert log[1]["rows_sha256"] == log[0]["rows_sha256"]
    with pytest.raises(ClvError, match="--study"):
        export_scores(run, "table:scores", "credit")


@pytest.mark.engines
def test_into_a_table_of_a_server(tmp_path):
    if not os.environ.get(POSTGRES):
        pytest.skip(f"{POSTGRES} does not name a PostgreSQL server")
    from clvkit.ledger.databases import open_database
    from clvkit.ledger.scores import write_scores

    file = study_file(tmp_path / "params", database=f"env:{POSTGRES}")
    orders = pd.read_csv(tmp_path / "params" / "small.csv", dtype={"customer_id": str})
    orders["date"] = pd.to_datetime(orders["date"]).dt.date
    database = open_database(f"env:{POSTGRES}", tmp_path)
    write_scores(database, "orders", orders)
    try:
        run = made(tmp_path, file)
        done = export_scores(run, "table:clv_scores", "credit")
        back = database.con.table("clv_scores").to_pandas()
        assert len(back) == done.rows and back["customer"].is_unique
        assert back["clv"].sum() == pytest.approx(done.total)
        file = export_scores(run, str(tmp_path / "scores.csv"), "credit")
        log = read_exports(run.folder.parent.parent)
        assert log[0]["rows_sha256"] == log[1]["rows_sha256"] and file.rows == done.rows
    finally:
        for name in ("orders", "clv_scores"):
            database.con.drop_table(name, force=True)


def test_an_erasure_names_who_has_the_scores_and_where_the_person_still_is(tmp_path):
    file = study_file(tmp_path / "params")
    run = made(tmp_path, file)
    export_scores(run, str(tmp_path / "scores.csv"), "mailing")
    kept = run.folder.parent.parent / "exports"
    kept.mkdir()
    export_scores(run, str(kept / "scores.csv"), "credit")
    customer = pd.read_csv(kept / "scores.csv", dtype=str)["customer"].iloc[3]
    certificate = erase(load_study(file), customer, by="Data protection", today=date(2024, 7, 1),
                        reports=tmp_path / "reports")  # fmt: skip
    assert [one.split(" (")[0] for one in certificate.recipients] == [
        "mailing: scores.csv",
        "credit: scores.csv",
    ]
    assert [one["rows"] for one in certificate.own_files if one["source"] == "export"] == [1]
    assert customer not in (kept / "scores.csv").read_text()  # below the study's folder it is rewritten
    assert customer in (tmp_path / "scores.csv").read_text()  # elsewhere it is yours, and named
    assert len(read_exports(run.folder.parent.parent)) == 2
    again = export_scores(run, str(tmp_path / "scores.csv"), "mailing")
    assert customer not in (tmp_path / "scores.csv").read_text() and again.number == 3
