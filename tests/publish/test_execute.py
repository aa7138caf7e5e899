"""What a run is when something goes wrong: its state, its exit code, its words, and what it leaves alone."""

import json

import pytest
from toys import FINISH, TABLE, good_notebooks, manifest, snapshot, write_notebook, write_study

from clvkit.errors import DataError, StudyError
from clvkit.publish.execute import find_notebooks, run_study
from clvkit.publish.kernel import Limits
from clvkit.study import load_study


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A study, its reports folder, and one good run in it."""
    root = tmp_path_factory.mktemp("runs")
    study = load_study(write_study(root / "params"))
    done = run_study(study, notebooks=good_notebooks(root / "notebooks"), reports=root / "reports")
    assert (done.state, done.exit_code, done.error) == ("complete", 0, None)
    return root, study, done.folder


def test_complete_run(place):
    root, study, folder = place
    assert folder.parent == root / "reports" / "toy" / "2023-07-01"
    assert {path.name for path in folder.iterdir()} == {
        "index.html",
        "audit.html",
        "results.json",
        "checks.json",
        "run.json",
        "tables",
        "figures",
        "notebooks",
        "parts",
    }
    said = manifest(folder)
    assert said["state"] == "complete" and said["exit_code"] == 0
    assert [one["notebook"] for one in said["notebooks"]] == ["01_ledger", "00_summary"]  # the summary last
    assert said["resolved"] == study.resolved()
    assert {"ledger", "cells"} <= set(said["artifacts"]) and said["inputs"][0]["file"] == "toy.csv"
    assert said["seeds"]["models.sampler.seed"] == study.models.sampler.seed
    assert set(said["files"]) == set(snapshot(folder)) - {"run.json"}
    results = json.loads((folder / "results.json").read_text())
    assert results["run_id"] == folder.name and results["state"] == "complete"
    assert results["metrics"]["customers"]["value"] == 150
    assert results["ledger"]["customers"] == 150
    assert (
        folder / "tables" / "by_group.csv"
    ).read_text() == "group,amount,share\na,1234.5,0.0004\nb,-2.5,\n"
    assert not list((root / "reports" / "toy" / ".running").iterdir())


def test_pages_of_a_complete_run(place):
    root, _, folder = place
    index, audit = ((folder / name).read_text() for name in ("index.html", "audit.html"))
    for page in (index, audit):
        assert str(root) not in page and "SECRET" not in page
    assert "clvkit.open_run" not in index and "noise" not in index and "stdout" not in index
    assert "clvkit" in audit and "noise" in audit and "&lt;python&gt;" in audit
    assert (
        "(3)" in index
        and "1,235" in index
        and "&lt;~0.1~%".replace("~", "\N{NO-BREAK SPACE}") in index
        and "[x]" in index
    )
    assert index.index("The customers bring") < index.index("Chapter 01_ledger")
    assert "One &amp; two &lt; three." in index
    for path in folder.rglob("*"):
        assert path.is_dir() or str(root) not in path.read_text(), path


def test_two_runs_differ_in_id_and_times_alone(place):
    root, study, folder = place
    again = run_study(study, notebooks=root / "notebooks", reports=root / "reports").folder
    ours, theirs = ((one / "index.html").read_text() for one in (folder, again))
    digests = [manifest(one)["files"]["results.json"] for one in (folder, again)]
    theirs = theirs.replace(digests[1], digests[0]).replace(digests[1][:16], digests[0][:16])
    assert theirs.replace(again.name, folder.name) == ours
    same = [name for name in manifest(folder)["files"] if name.startswith(("tables/", "figures/"))]
    assert len(same) == 3
    assert all(manifest(folder)["files"][name] == manifest(again)["files"][name] for name in same)
    assert manifest(folder)["artifacts"] == manifest(again)["artifacts"]


FAILURES = {
    "exception": ("1/0", "failed", "ZeroDivisionError: division by zero"),
    "killed": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "died", "kernel was killed"),
    "left": ("import os\nos._exit(0)", "died", "kernel was killed"),
    "slow": ("import time\ntime.sleep(60)", "timed_out", "a cell took longer than 2 s"),
    "exit": ("import sys\nsys.exit(0)", "stopped_early", "run.finish()"),
}


@pytest.mark.parametrize("how", FAILURES)
def test_a_notebook_that_does_not_finish(place, tmp_path, how):
    root = place[0]
    cell, state, words = FAILURES[how]
    write_notebook(tmp_path, "01_ledger", TABLE, cell, 'run.show(Sentence("never shown"))', FINISH)
    write_notebook(tmp_path, "02_cohorts", FINISH)
    limits = Limits(cell=2 if how == "slow" else 60)
    check_failure(place, run_failing(place, tmp_path, limits), state, words)
    failed = max((root / "reports" / "toy" / "failed").iterdir(), key=lambda path: path.stat().st_mtime)
    assert manifest(failed)["stopped"] == {"notebook": "01_ledger", "cell": 5}  # as in the notebook one opens
    assert [one["notebook"] for one in manifest(failed)["notebooks"]] == ["01_ledger"]
    page = (failed / "index.html").read_text()
    assert "Group a brings nearly all of it" in page and "never shown" not in page
    assert "Traceback" not in page and "ZeroDivisionError" not in page


@pytest.mark.parametrize(
    "last",
    [
        "run.finsh()",
        'print("finished")',
        "run.write()",
        '"run.finish()"',
        'run.stem = "02_cohorts"\nrun.finish()',
        'run.run_id = "0"\nrun.finish()',
    ],
)
def test_a_finished_mark_that_is_not_this_notebooks(place, tmp_path, last):
    write_notebook(tmp_path, "01_ledger", last)
    state = "failed" if "finsh" in last else "stopped_early"
    check_failure(place, run_failing(place, tmp_path), state, "finish")


def test_a_run_over_its_time(place, tmp_path):
    write_notebook(tmp_path, "01_ledger", "import time\ntime.sleep(60)", FINISH)
    done = run_failing(place, tmp_path, Limits(cell=60, run=6))
    check_failure(place, done, "timed_out", "the run reached its limit of 6 s")


def test_a_table_shown_twice_fails(place, tmp_path):
    write_notebook(tmp_path, "01_ledger", TABLE, TABLE, FINISH)
    done = run_failing(place, tmp_path)
    check_failure(place, done, "failed", "under the name by_group")
    assert done.error.fix == "give one of the two another name"


def test_changed_parameters_fail(place, tmp_path):
    write_notebook(tmp_path, "04_value", 'run = clvkit.open_run(study, value={"margin": 0.9})', FINISH)
    check_failure(place, run_failing(place, tmp_path), "failed", "changes parameters of the run")


def test_a_page_that_loads_something_is_not_published(place, tmp_path):
    write_notebook(tmp_path, "01_ledger", "# A picture\n\n![alt](https://example.org/a.png)", FINISH)
    check_failure(place, run_failing(place, tmp_path), "failed", "leads out of the file")


def run_failing(place, notebooks, limits=None):
    root, study, _ = place
    before = snapshot(root / "reports" / "toy" / "2023-07-01")
    done = run_study(study, notebooks=notebooks, reports=root / "reports", limits=limits or Limits(cell=60))
    assert snapshot(root / "reports" / "toy" / "2023-07-01") == before, "what was published has changed"
    return done


def check_failure(place, done, state, words):
    root = place[0]
    assert (done.state, done.exit_code) == (state, 3)
    assert words in str(done.error)
    assert done.folder.parent == root / "reports" / "toy" / "failed"
    assert manifest(done.folder)["state"] == state and manifest(done.folder)["exit_code"] == 3
    assert words in manifest(done.folder)["message"]
    if (done.folder / "index.html").exists():
        assert "This run did not finish. Do not use." in (done.folder / "index.html").read_text()
    assert not list((root / "reports" / "toy" / ".running").iterdir())


def test_failed_runs_do_not_pile_up(place):
    root = place[0]
    assert 0 < len(list((root / "reports" / "toy" / "failed").iterdir())) <= 5


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ("study = None\ncustmers = 9", "declares the parameter 'custmers'"),
        ("study = None\nfor x in []: pass", "assignments of one name each"),
        ("study = (", "is not Python"),
    ],
)
def test_bad_parameters_make_no_run(place, tmp_path, parameters, words):
    root, study, _ = place
    notebooks = tmp_path / "notebooks"
    write_notebook(notebooks, "04_value", FINISH, parameters=parameters)
    before = snapshot(root / "reports")
    with pytest.raises(StudyError, match=words) as error:
        run_study(study, notebooks=notebooks, reports=root / "reports")
    assert error.value.exit_code == 2 and snapshot(root / "reports") == before


def test_unreadable_data_make_no_run(tmp_path):
    study = load_study(write_study(tmp_path / "params"))
    (tmp_path / "params" / "toy.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError):
        run_study(study, notebooks=good_notebooks(tmp_path / "notebooks"), reports=tmp_path / "reports")
    assert not list((tmp_path / "reports" / "toy" / ".running").iterdir())
    assert not list((tmp_path / "reports" / "toy").glob("*/*/run.json"))


def test_insufficient_data_give_a_report_without_a_value(tmp_path):
    study = load_study(write_study(tmp_path / "params", customers=20))
    notebooks = good_notebooks(tmp_path / "notebooks")
    write_notebook(notebooks, "04_value", "1/0", FINISH)
    done = run_study(study, notebooks=notebooks, reports=tmp_path / "reports")
    assert (done.state, done.exit_code) == ("complete", 1)
    assert manifest(done.folder)["not_executed"] == ["04_value"]
    page = (done.folder / "index.html").read_text()
    assert "The data do not carry a value" in page and "20 customers" in page


def test_failing_control_total_is_published_and_exits_with_1(tmp_path):
    study = load_study(write_study(tmp_path / "params", ledger="{path: toy.csv, control_total: 1}"))
    done = run_study(study, notebooks=good_notebooks(tmp_path / "notebooks"), reports=tmp_path / "reports")
    assert (done.state, done.exit_code) == ("complete", 1)
    assert "A control does not hold" in (done.folder / "index.html").read_text()
    assert manifest(done.folder)["exit_code"] == 1


def test_only_one_notebook_goes_to_the_draft(place):
    root, study, _ = place
    before = snapshot(root / "reports" / "toy" / "2023-07-01")
    done = run_study(study, notebooks=root / "notebooks", reports=root / "reports", only="01_ledger")
    assert (done.state, done.exit_code, done.folder) == ("complete", 0, root / "reports" / "toy" / "draft")
    assert "Draft. Do not use." in (done.folder / "index.html").read_text()
    assert manifest(done.folder)["state"] == "draft"
    assert snapshot(root / "reports" / "toy" / "2023-07-01") == before
    with pytest.raises(StudyError, match="there is no notebook 07_nothing"):
        run_study(study, notebooks=root / "notebooks", reports=root / "reports", only="07_nothing")


def test_order_of_notebooks(tmp_path):
    for stem in ("00_summary", "10_later", "02_cohorts", "01_ledger", "scratch"):
        write_notebook(tmp_path, stem, FINISH)
    assert list(find_notebooks(tmp_path)) == ["01_ledger", "02_cohorts", "10_later", "00_summary"]
    with pytest.raises(StudyError, match="no notebook to execute"):
        find_notebooks(tmp_path / "nowhere")
