"""From a figure to the files it rests on, and from a source to all that rests on it."""

import itertools
import json

import pytest
from toys import good_notebooks, write_study

from clvkit.artifacts import KINDS
from clvkit.errors import RunError
from clvkit.lineage import Node, depends_on, graph, inputs_of
from clvkit.provenance import KIND_WORDS, RestsOn, dependents_text, headline_of, rests_on
from clvkit.runs import Run
from clvkit.store import sha256_file


def label(study_folder, key, kind, needs=(), inputs=()):
    folder = study_folder / ".store" / key
    folder.mkdir(parents=True)
    made_from = {"needs": dict(needs)} | ({"inputs": list(inputs)} if inputs else {})
    said = {"key": key, "kind": kind, "ingredients": made_from, "files": {}}
    (folder / "artifact.json").write_text(json.dumps(said))


def run(study_folder, run_id, inputs, **parts):
    folder = study_folder / "2024-01-31" / run_id
    (folder / "parts").mkdir(parents=True)
    said = {"run_id": run_id, "study": "shop", "as_of": "2024-01-31", "state": "complete", "inputs": inputs}
    (folder / "run.json").write_text(json.dumps(said))
    for stem, (artifacts, metrics, exhibits) in parts.items():
        part = {"stem": stem, "artifacts": artifacts, "metrics": {name: {} for name in metrics}, "checks": []}
        part["exhibits"] = [{"kind": kind, "name": name, "title": ""} for kind, name in exhibits]
        (folder / "parts" / f"{stem}.json").write_text(json.dumps(part))
    return folder


@pytest.fixture
def study(tmp_path):
    """Two runs: the second has a newer file of the till; rates are read by the ledger of the second alone."""
    folder = tmp_path / "shop"
    shop, till, newer = (
        {"source": "shop", "file": "shop/a.csv", "sha256": "a" * 64, "bytes": 1},
        {"source": "till", "file": "till.csv", "sha256": "b" * 64, "bytes": 1},
        {"source": "till", "file": "till.csv", "sha256": "c" * 64, "bytes": 1},
    )
    for number, (key, sha256) in enumerate((("ledger-1", "b" * 64), ("ledger-2", "c" * 64)), start=1):
        label(folder, key, "ledger", inputs=[["shop/a.csv", "a" * 64], ["till.csv", sha256]])
        label(folder, f"cells-{number}", "cells", {"ledger": key})
        label(folder, f"fit-{number}", "fit", {"cells": f"cells-{number}"})
        label(folder, f"cohorts-{number}", "cohorts", {"ledger": key})
    first = run(
        folder,
        "aaaa0001",
        [shop, till],
        **{
            "01_ledger": ({"ledger": "ledger-1"}, ["customers"], [("tables", "rows")]),
            "04_value": ({"fit:bgnbd": "fit-1"}, ["customer_equity"], [("figures", "path")]),
            "09_words": ({}, ["invented"], []),
        },
    )
    run(folder, "aaaa0002", [shop, newer], **{"04_value": ({"fit:bgnbd": "fit-2"}, ["customer_equity"], [])})
    return folder, first


def test_from_a_figure_to_its_files(study):
    _, first = study
    files = [("shop/a.csv", "a" * 64), ("till.csv", "b" * 64)]
    for name in ("customer_equity", "customers", "path", "rows"):
        assert inputs_of(first, name) == files


def test_only_what_a_notebook_used_counts(study):
    folder, first = study
    (folder / ".store" / "ledger-1" / "artifact.json").write_text(
        json.dumps({"kind": "ledger", "ingredients": {"needs": {}, "inputs": [["till.csv", "b" * 64]]}})
    )
    assert inputs_of(first, "customer_equity") == [("till.csv", "b" * 64)]


def test_files_that_a_notebook_read_itself_count_for_it_alone(study):
    """Who shares an account is no row of the ledger, and still decides what is shown of it."""
    folder, first = study
    said = json.loads((first / "run.json").read_text())
    shared = [{"source": "shared_accounts", "file": "members.csv", "sha256": "d" * 64, "bytes": 1}]
    (first / "run.json").write_text(json.dumps(said | {"inputs": said["inputs"] + shared}))
    part = json.loads((first / "parts" / "01_ledger.json").read_text())
    (first / "parts" / "01_ledger.json").write_text(json.dumps(part | {"reads": ["shared_accounts"]}))
    assert ("members.csv", "d" * 64) in inputs_of(first, "rows")
    assert ("members.csv", "d" * 64) not in inputs_of(first, "customer_equity")
    resting = depends_on(folder, "shared_accounts")
    assert resting.runs == ("aaaa0001",) and resting.artifacts == ()
    assert resting.shown == {"aaaa0001": (("metric", "customers"), ("table", "rows"))}


def test_a_figure_without_a_source_is_an_error(study):
    with pytest.raises(RunError, match="invented rests on no source"):
        inputs_of(study[1], "invented")
    with pytest.raises(RunError, match="did you mean 'customer_equity'"):
        inputs_of(study[1], "customer_equty")


def test_where_a_label_is_gone_all_files_of_the_run_count(study):
    folder, first = study
    (folder / ".store" / "fit-1" / "artifact.json").unlink()
    assert inputs_of(first, "customer_equity") == [("shop/a.csv", "a" * 64), ("till.csv", "b" * 64)]


def test_what_depends_on_a_source(study):
    folder, _ = study
    found = depends_on(folder, "till")
    assert found.runs == ("aaaa0001", "aaaa0002")
    # The cohorts are in the store, and no run has used them.
    assert {name for name, _ in found.artifacts} == {"ledger", "cells", "fit"}
    assert found.metrics == ("customer_equity", "customers")
    assert found.shown["aaaa0001"] == (
        ("figure", "path"),
        ("metric", "customer_equity"),
        ("metric", "customers"),
        ("table", "rows"),
    )


def test_what_depends_on_one_version_of_a_file(study):
    folder, _ = study
    assert depends_on(folder, "c" * 8).runs == ("aaaa0002",)
    assert depends_on(folder, "c" * 8).artifacts == (
        ("cells", "cells-2"),
        ("fit", "fit-2"),
        ("ledger", "ledger-2"),
    )
    assert depends_on(folder, "till.csv").runs == ("aaaa0001", "aaaa0002")
    with pytest.raises(RunError, match=r"no run of shop has read tills"):
        depends_on(folder, "tills")


def test_what_a_number_rests_on_in_the_order_in_which_it_was_made(study):
    found = rests_on(Run.open(study[1]))
    assert found.files == (("shop", "shop/a.csv", "a" * 64), ("till", "till.csv", "b" * 64))
    assert [(one.name, one.made_from) for one in found.artifacts] == [
        ("ledger", ("shop", "till")),
        ("cells", ("ledger",)),
        ("fit:bgnbd", ("cells",)),
    ]
    assert found.notebooks == ("04_value",)
    text = found.text()
    assert (
        text.index("till.csv")
        < text.index("cells  cells-1")
        < text.index("04_value")
        < text.index("customer_equity")
    )
    with pytest.raises(RunError, match="did you mean 'customer_equity'"):
        rests_on(Run.open(study[1]), "customer_equty")
    assert headline_of(Run(study[1], {"run_id": "none", "study": "shop", "inputs": []})) is not None


def test_the_value_is_made_from_the_fit_of_the_headline_process(study):
    folder, first = study
    label(folder, "valuation-1", "valuation", {"cells": "cells-1"})
    part = json.loads((first / "parts" / "04_value.json").read_text())
    part["artifacts"]["valuation"] = "valuation-1"
    (first / "parts" / "04_value.json").write_text(json.dumps(part))
    opened = Run.open(first)
    opened.manifest["resolved"] = {"models": {"headline": "bgnbd"}}
    found = {one.name: one.made_from for one in rests_on(opened).artifacts}
    assert found["valuation"] == ("cells", "fit:bgnbd") and found["fit:bgnbd"] == ("cells",)


def test_every_kind_of_artifact_has_words():
    assert set(KIND_WORDS) == set(KINDS)


def test_many_files_of_a_source_are_one_row_with_one_hash():
    months = [("shop", f"{month}.csv", str(month) * 64) for month in range(5)]
    files = (*months, ("till", "t.csv", "f" * 64))
    found = RestsOn("customer_equity", 1.0, "EUR", files, (), ("04_value",))
    (source, words, sha256), till = found.file_rows()
    assert (source, words) == ("shop", "5 files, 0.csv to 4.csv") and till == files[-1]
    changed = RestsOn(
        "customer_equity", 1.0, "EUR", (*files[:4], ("shop", "4.csv", "e" * 64)), (), ("04_value",)
    )
    assert changed.file_rows()[0][2] != sha256
    assert len(found.file_rows(most=5)) == 6


def test_from_a_source_in_words(study):
    text = dependents_text(study[0], "till")
    assert text.startswith("on till rest 2 runs") and "run aaaa0002\n  metrics: customer_equity" in text
    assert "figures: path" in text
    with pytest.raises(RunError, match="no run of shop has read"):
        dependents_text(study[0], "tillx")


def test_the_graph_as_json(study):
    made = graph(study[0])
    said = made.to_json()
    place = {(n["kind"], n["name"], n["key"]): number for number, n in enumerate(said["nodes"])}
    tills = sorted(key for kind, name, key in place if (kind, name) == ("source", "till"))
    assert len(tills) == 2  # one for each file it has been
    (newer,) = made.edges[Node("file", "till.csv", "c" * 64)]
    chain = [
        ("file", "till.csv", "c" * 64),
        ("source", "till", newer.key),
        ("artifact", "ledger", "ledger-2"),
        ("artifact", "cells", "cells-2"),
        ("artifact", "fit", "fit-2"),
        ("metric", "customer_equity", "aaaa0002"),
    ]
    for above, below in itertools.pairwise(chain):
        assert [place[above], place[below]] in said["edges"]
    assert Node("run", "shop", "aaaa0001") in made.below(Node("file", "shop/a.csv", "a" * 64))


@pytest.mark.slow
def test_every_headline_figure_of_a_real_run_has_its_files(tmp_path):
    from clvkit.publish.execute import run_study
    from clvkit.study import load_study

    study = load_study(write_study(tmp_path / "params"))
    done = run_study(study, notebooks=good_notebooks(tmp_path / "notebooks"), reports=tmp_path / "reports")
    assert done.state == "complete", done.error
    metrics = json.loads((done.folder / "results.json").read_text())["metrics"]
    assert "customers" in metrics
    for name in metrics:
        assert inputs_of(done.folder, name) == [("toy.csv", sha256_file(tmp_path / "params" / "toy.csv"))]
    found = depends_on(tmp_path / "reports" / "toy", "toy.csv")
    assert found.runs == (done.folder.name,) and "customers" in found.metrics
