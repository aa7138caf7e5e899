"""The public Telco file through params/telco.yml: a snapshot, both of its readings, and what is kept out of the models."""

import os
from pathlib import Path

import pytest

from clvkit.chapters import contracts as words
from clvkit.chapters.summary_contracts import rests_on
from clvkit.contract_survival import two_readings
from clvkit.errors import StudyError
from clvkit.study import load_study
from clvkit.workbench import Workbench

STUDY = Path(__file__).parents[1] / "params" / "telco.yml"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    folder = os.environ.get("CLVKIT_SHARED_DATA")
    if folder is None:
        pytest.skip("set CLVKIT_SHARED_DATA to the folder that holds telco_churn.csv.gz")
    root = tmp_path_factory.mktemp("telco")
    path = {"ledger.sources.subscribers.path": str(Path(folder) / "telco_churn.csv.gz")}
    study = load_study(STUDY, path)
    return Workbench(study, study_folder=root, folder=root / "draft", stem="04b_contracts")


@pytest.fixture(scope="module")
def held(bench):
    return bench.contracts()


def test_every_subscriber_is_there_and_what_they_paid(bench, held):
    ledger = bench.ledger()
    # counted in the file with awk: 7,043 rows, 1,869 churned, 11 with tenure 0 and a blank total, totals of 16,056,168.70
    assert len(held.relations) == 7043 and held.relations["ended"].sum() == 1869
    assert ledger.totals["amount"]["USD"]["used"] == 16_056_168.70
    assert ledger.totals["customers"] == 7043 - 11
    new = held.relations[held.relations["start"] == "2018-09-30"]
    assert len(new) == 11 and not new["ended"].any() and (new["renewals"] == 0).all()


def test_both_readings_are_printed(bench, held):
    both = two_readings(held, bench.study.contracts, 0.9, bench.study.as_of)
    whole, late = both.at(72)
    assert round(whole, 2) == 0.59 and 0 < late < 0.01 and both.used == "late"
    shown = words.exhibits(bench)
    said = " ".join(one.text for one in shown if hasattr(one, "text"))
    assert "59.3 % outlast 72 renewals" in said and "0.2 % do" in said


def test_the_value_rests_on_the_reading_that_the_study_names(bench, held):
    relations = held.relations
    assert (relations["entry"] >= relations["renewals"] + relations["ended"] - 3).all()
    path = bench.study.resolved()["ledger"]["sources"]["subscribers"]["path"]
    said = {"ledger.sources.subscribers.path": str(bench.study.base / path), "contracts.left_within": "null"}
    root = bench.study_folder.parent / "rosy"  # accounts have their pseudonyms per folder
    rosy = Workbench(load_study(STUDY, said), study_folder=root, folder=root / "draft", stem="04b_contracts")
    assert rosy.contracts().relations["entry"].eq(0).all()
    assert rosy.get("contract_value").equity.value > bench.get("contract_value").equity.value
    said = " ".join(one.text for one in words.exhibits(rosy) if hasattr(one, "text"))
    assert "The study does not say which" in said
    assert "taken to hold everybody who ever came" in rests_on(rosy.get("contract_fits"), rosy.study)


def test_gender_and_age_are_kept_and_in_no_model(bench, held):
    assert {"about_gender", "about_senior"} <= set(held.relations.columns)
    assert not {"gender", "senior"} & set(bench.study.contracts.drivers)
    with pytest.raises(StudyError, match="protected keeps out of every model"):
        load_study(STUDY, {"contracts.drivers": "[plan, gender]"})


def test_what_is_blank_is_said(bench):
    notes = [check.message for check in bench.ledger().checks if check.id == "ledger.note"]
    assert any(
        "11 contracts of subscribers have a tenure of 0; 11 of them have a blank total" in note
        for note in notes
    )


def test_rates_of_leaving_by_contract_tenure_and_charges(bench):
    """Counted in the file: of 3,875, 1,473 and 1,695 with each contract 1,655, 166 and 48 have left."""
    found = bench.contract_drivers()
    levels = found.rates
    plans = levels[levels["driver"] == "plan"].set_index("group")
    assert plans["ended"].to_dict() == {"Month-to-month": 1655, "One year": 166, "Two year": 48}
    for frame in (levels, found.tenures):
        assert ((frame["low"] < frame["rate"]) & (frame["rate"] < frame["high"])).all()
    assert {"plan", "fee", "internet", "payment", "paperless"} == set(levels["driver"])
    assert plans.loc["Month-to-month", "low"] > plans.loc["One year", "high"]
