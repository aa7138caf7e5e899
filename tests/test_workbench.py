"""A study opened as a notebook opens it, with the artifacts that it makes on the way."""

import json

import nbformat
import pytest
from toys import FINISH, TABLE, snapshot, write_notebook, write_study

import clvkit
from clvkit.chapters.ledger_shared import shared
from clvkit.errors import DataError, StudyError
from clvkit.workbench import RUN_DIR, STEM, STUDY_DIR


@pytest.fixture
def study_file(tmp_path, monkeypatch):
    monkeypatch.setenv("CLVKIT_REPORTS", str(tmp_path / "reports"))
    return write_study(tmp_path / "params")


def artifacts(tmp_path):
    return sorted(path.name for path in (tmp_path / "reports" / "toy" / ".store").iterdir())


def test_artifacts_are_made_once_and_follow_what_they_are_made_from(study_file, tmp_path):
    run = clvkit.open_run(study_file)
    cells = run.cells()
    made = artifacts(tmp_path)
    assert made == sorted([run.key("ledger"), run.key("cells")]) == sorted(run.part["artifacts"].values())
    again = clvkit.open_run(study_file, value={"margin": 0.5})  # margin decides about neither
    assert again.cells().equals(cells) and artifacts(tmp_path) == made
    earlier = clvkit.open_run(study_file, as_of="2023-05-01")
    assert earlier.key("cells") != run.key("cells")
    data = study_file.with_suffix(".csv")
    data.write_text(data.read_text() + "NEW,2023-06-01,5.00\n")
    assert clvkit.open_run(study_file).cells()["n"].sum() == cells["n"].sum() + 1


def test_an_outside_crosswalk_is_an_input_and_says_how_sure_it_is(study_file):
    """A linker's file decides who is who: another file, another ledger; customers below a confidence are labelled."""
    outside = study_file.with_name("outside.csv")
    lines = study_file.with_suffix(".csv").read_text().splitlines()[1:]
    first, second, third = list(dict.fromkeys(line.split(",")[0] for line in lines))[:3]
    said = f"orders,{first},1,0.9\norders,{second},1,0.6\norders,{third},2,0.95\n"
    outside.write_text("source,account,customer,confidence\n" + said)
    ledger = {
        "identity": {"crosswalk": "outside.csv"},
        "inclusion": {"min_identity_confidence": {"at_least": 0.8}},
    }
    run = clvkit.open_run(study_file, ledger=ledger)
    assert [one["file"] for one in run.inputs if one.get("source") == "identity"] == ["outside.csv"]
    everybody = run.everybody().to_pandas()
    assert sorted(everybody["identity_confidence"])[:3] == [0.6, 0.95, 1.0]
    labelled = everybody[everybody["inclusion"].notna()]
    assert labelled[["identity_confidence", "inclusion"]].values.tolist() == [
        [0.6, "min_identity_confidence"]
    ]
    outside.write_text("source,account,customer\n")
    again = clvkit.open_run(study_file, ledger=ledger)
    assert again.key("ledger") != run.key("ledger")
    apart = again.everybody().to_pandas()
    assert len(apart) == len(everybody) + 1 and (apart["identity_confidence"] == 1).all()
    outside.write_text(f"source,account,customer,confidence\norders,{first},1,95\n")
    with pytest.raises(DataError, match="between 0 and 1"):
        clvkit.open_run(study_file, ledger=ledger).everybody()


def test_who_shares_an_account_is_an_input_of_what_is_shown(study_file):
    """Another list is another input, and the same ledger: nothing is fitted again."""
    members = study_file.with_name("members.csv")
    members.write_text("account,customer\nSECRET00001,a\nSECRET00001,b\n")
    ledger = {"shared_accounts": {"rule": "equal", "members": "members.csv"}}
    run = clvkit.open_run(study_file, ledger=ledger)
    (read,) = [one for one in run.inputs if one["source"] == "shared_accounts"]
    assert read["file"] == "members.csv"
    run.show(shared(run))
    assert run.part["reads"] == ["shared_accounts"]
    members.write_text("account,customer\nSECRET00001,a\nSECRET00001,b\nSECRET00002,b\n")
    again = clvkit.open_run(study_file, ledger=ledger)
    assert [one["sha256"] for one in again.inputs if one["source"] == "shared_accounts"] != [read["sha256"]]
    assert again.key("ledger") == run.key("ledger")


def test_parameters_lie_over_the_study(study_file):
    run = clvkit.open_run(study_file, as_of="2023-06-01", value={"margin": 0.5, "horizon_months": None})
    assert (run.study.value.margin, run.study.value.horizon_months) == (0.5, 36)
    assert run.study.as_of.isoformat() == "2023-06-01"
    with pytest.raises(StudyError, match=r"value\.margin must be"):
        clvkit.open_run(study_file, value={"margin": 30})


def test_the_data_carry_a_value_or_do_not(study_file):
    assert clvkit.open_run(study_file).carries_value()
    assert not clvkit.open_run(study_file, sufficiency={"min_customers": 1000}).carries_value()


def test_in_a_run_the_run_decides(study_file, tmp_path, monkeypatch):
    study = clvkit.open_run(study_file).study
    folder = tmp_path / "reports" / "toy" / ".running" / "aaaa0001"
    folder.mkdir(parents=True)
    said = {
        "run_id": "aaaa0001",
        "state": "running",
        "resolved": study.resolved(),
        "inputs": [{"file": "toy.csv", "sha256": "fixed"}],
    }
    (folder / "run.json").write_text(json.dumps(said))
    for name, value in ((RUN_DIR, folder), (STEM, "04_value"), (STUDY_DIR, study_file.parent)):
        monkeypatch.setenv(name, str(value))
    run = clvkit.open_run("not/looked/at.yml", as_of="2023-07-01", value={"margin": 0.3})
    assert (run.study, run.stem, run.run_id) == (study, "04_value", "aaaa0001")
    assert run.inputs == said["inputs"] and run.store.root == tmp_path / "reports" / "toy" / ".store"
    with pytest.raises(StudyError, match="changes parameters of the run"):
        clvkit.open_run("not/looked/at.yml", value={"margin": 0.4})


@pytest.mark.slow
def test_a_notebook_opened_alone_records_a_draft(study_file, tmp_path):
    """As JupyterLab runs it: nobody tells the kernel about a run."""
    from nbclient import NotebookClient

    path = write_notebook(tmp_path / "notebooks", "04_value", TABLE, TABLE, FINISH)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, kernel_name="python3", timeout=60, resources={"metadata": {"path": str(path.parent)}}
    ).execute()
    opening, first, second, _ = [cell for cell in notebook.cells if cell.cell_type == "code"][1:]
    assert "<style>" in opening.outputs[0].data["text/html"]
    assert first.outputs == second.outputs and "clv-table" in first.outputs[0].data["text/html"]
    drafts = snapshot(tmp_path / "reports" / "toy" / "draft")
    assert set(drafts) == {"tables/by_group.csv", "parts/notebook.json"}
