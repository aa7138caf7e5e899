import json
import os
import time
from pathlib import Path

import pytest

from clvkit import runs
from clvkit.errors import RunError
from clvkit.results import collect, collect_checks, stopped_by, tally


@pytest.fixture
def reports(tmp_path):
    """Three complete runs of two studies, and a failed one that ended last."""
    for study, as_of, run_id, state, finished in [
        ("acme", "2024-06-30", "aaaa0001", "complete", "2024-07-01T10:00:00Z"),
        ("acme", "2024-03-31", "aaaa0002", "complete", "2024-07-02T10:00:00Z"),
        ("acme", "failed", "bbbb0003", "failed", "2024-07-03T10:00:00Z"),
        ("other", "2024-06-30", "cccc0004", "complete", "2024-07-01T09:00:00Z"),
    ]:
        folder = tmp_path / study / as_of / run_id
        folder.mkdir(parents=True)
        said = {"run_id": run_id, "study": study, "as_of": as_of, "state": state, "finished": finished}
        (folder / "run.json").write_text(json.dumps(said))
    running = tmp_path / "acme" / ".running" / "dddd0005"
    running.mkdir(parents=True)
    (running / "run.json").write_text('{"run_id": "dddd0005", "state": "running"}')
    return tmp_path


def test_list_is_newest_first_and_without_what_is_under_way(reports):
    assert [run.run_id for run in runs.list_runs(None, reports)] == [
        "bbbb0003",
        "aaaa0002",
        "aaaa0001",
        "cccc0004",
    ]
    assert [run.run_id for run in runs.list_runs("other", reports)] == ["cccc0004"]
    assert runs.list_runs("nothing", reports) == []


def test_a_broken_manifest_does_not_hide_the_others(reports):
    (reports / "acme" / "2024-06-30" / "aaaa0001" / "run.json").write_text("{")
    states = {run.run_id: run.state for run in runs.list_runs("acme", reports)}
    assert states == {"aaaa0001": "unreadable", "aaaa0002": "complete", "bbbb0003": "failed"}


@pytest.mark.parametrize(
    ("name", "run_id"),
    [
        ("acme@latest", "aaaa0002"),
        ("other@latest", "cccc0004"),
        ("aaaa0001", "aaaa0001"),
        ("bbbb", "bbbb0003"),
    ],
)
def test_find(reports, name, run_id):
    assert runs.find_run(name, reports).run_id == run_id


def test_find_by_folder(reports):
    assert runs.find_run(reports / "acme" / "2024-06-30" / "aaaa0001").as_of == "2024-06-30"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("aaaa", "start of 2 run ids"),
        ("ffff0000", "there is no run"),
        ("aaa", "there is no run"),
        ("acme", "there is no run"),
        ("nothing@latest", "no complete run"),
    ],
)
def test_find_says_what_is_wrong(reports, name, words):
    with pytest.raises(runs.NoSuchRun, match=words) as error:
        runs.find_run(name, reports)
    assert error.value.exit_code == 2 and error.value.fix


def test_the_next_step_is_one_that_works(reports, tmp_path):
    def advised(name, folder):
        with pytest.raises(runs.NoSuchRun) as error:
            runs.find_run(f"{name}@latest", folder)
        return error.value.fix

    assert advised("acm", reports) == "did you mean 'acme'?"
    assert advised("nothing", reports) == "studies with complete runs: acme, other"
    assert "params" not in advised("nothing", tmp_path / "empty")  # there is no such study to run
    run = advised("cdnow", tmp_path / "empty").split()
    assert run[:2] == ["clv", "run"] and Path(run[2]).is_file() and run[3] == "--out"


def test_publish_and_set_aside(tmp_path):
    study = tmp_path / "acme"
    good, bad = runs.start_folder(study), runs.start_folder(study)
    (good / "index.html").write_text("x")
    assert runs.publish(good, "2024-06-30") == study / "2024-06-30" / good.name
    assert runs.set_aside(bad) == study / "failed" / bad.name
    assert not good.exists() and not bad.exists()
    for _ in range(7):
        runs.set_aside(runs.start_folder(study))
    assert len(list((study / "failed").iterdir())) == runs.FAILED_RUNS_KEPT


def test_abandoned_folders_go_and_others_stay(tmp_path):
    old, young = runs.start_folder(tmp_path), runs.start_folder(tmp_path)
    os.utime(old, (0, time.time() - 3 * 86400))
    runs.start_folder(tmp_path)
    assert young.exists() and not old.exists()


def test_json_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "run.json"
    runs.write_json(path, {"a": 1})
    with pytest.raises(ValueError):
        runs.write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}
    path.write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        runs.read_json(path)


MANIFEST = {
    "run_id": "aaaa0001",
    "study": "acme",
    "as_of": "2024-06-30",
    "state": "complete",
    "resolved": {"currency": "USD"},
}


def part(stem, **more):
    return {"stem": stem, "metrics": {}, "checks": [], "artifacts": {}, **more}


def test_collect():
    found = collect(
        [
            part("04", metrics={"equity": {"value": 1}}, results={"fits": {"bgnbd": {"a": 1}}}),
            part("05", metrics={"equity": {"value": 1}}, results={"backtests": [{"origin": "o"}]}),
            part("06", results={"fits": {"paretonbd": {}}, "sensitivity": {"margin": 1}}),
        ],
        MANIFEST,
    )
    assert found["fits"] == {"bgnbd": {"a": 1}, "paretonbd": {}} and found["backtests"] == [{"origin": "o"}]
    assert found["metrics"] == {"equity": {"value": 1}} and found["sensitivity"] == {"margin": 1}
    assert list(found)[:6] == ["schema", "run_id", "study", "as_of", "state", "currency"]


def test_two_values_for_one_metric_are_refused():
    with pytest.raises(RunError, match="04 and 05 give different values for the metric equity"):
        collect([part("04", metrics={"equity": 1}), part("05", metrics={"equity": 2})], MANIFEST)


def test_checks():
    def check(name, status, severity="warn"):
        return {"id": name, "status": status, "severity": severity}

    checks = collect_checks(
        [
            part("gate", checks=[check("a", "pass"), check("b", "fail", "stop")]),
            part("01", checks=[check("a", "review"), check("c", "fail")]),
        ]
    )
    assert [one["id"] for one in checks] == ["a", "b", "c"]
    assert tally(checks) == {"pass": 0, "review": 1, "fail": 2, "info": 0}
    assert [one["id"] for one in stopped_by(checks)] == ["b"]
