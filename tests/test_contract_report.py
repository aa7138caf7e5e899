"""A report of contracts alone, made as a user makes it: what it says, what it leaves out, and whether its value is the truth."""

import json
from pathlib import Path

import pytest
from published import check_page, check_results, read_json

from clvkit.errors import StudyError
from clvkit.publish.execute import run_study
from clvkit.study import load_study
from clvkit.workbench import Workbench

ROOT = Path(__file__).resolve().parents[1]
TRUTH = ROOT / "data_samples" / "subscriptions" / "truth" / "truth.json"
STEMS = ["01_ledger", "02_cohorts", "03_retention", "04b_contracts", "00_summary"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    done = run_study(
        load_study(ROOT / "params" / "subscription.yml"), reports=tmp_path_factory.mktemp("reports")
    )
    assert done.error is None, done.error
    return done


@pytest.fixture
def results(finished):
    return read_json(finished.folder / "results.json")


def test_is_complete_without_the_chapters_on_purchases(finished):
    done = finished
    manifest = read_json(done.folder / "run.json")
    assert (done.state, done.exit_code) == ("complete", 0)
    assert [one["notebook"] for one in manifest["notebooks"]] == STEMS
    assert (
        manifest["left_out"] == ["04_value", "05_backtest", "06_sensitivity"]
        and manifest["not_executed"] == []
    )


def test_page_one_and_the_rest_can_be_mailed(finished, results):
    done = finished
    page = (done.folder / "index.html").read_text("utf-8")
    check_page(page)
    check_results(
        results, frozenset({"customer_equity", "customer_equity_outcome", "customer_equity_lifetime"})
    )
    assert "contracts that run are expected to bring" in page and "contractual" in page
    assert "a customer falls silent" not in page.lower(), "chapter 3 speaks of silence where nobody is silent"
    assert results["business_model"]["used"] == "contractual"
    assert not {"bgnbd", "mbgnbd", "paretonbd"} & set(results["fits"]), (
        "a purchase process was fitted to bills"
    )


def test_customer_equity_is_that_of_contracts(results):
    equity = results["metrics"]["customer_equity"]
    assert equity["low"] < equity["value"] < equity["high"]
    assert equity == results["metrics"]["contract_equity"]


def test_the_value_of_the_sample_is_the_truth(tmp_path):
    said = {"value.margin": "1", "value.annual_discount_rate": "0"}  # as the truth is told
    study = load_study(ROOT / "params" / "subscription.yml", said)
    found = Workbench(study, study_folder=tmp_path, folder=tmp_path / "draft", stem="04b_contracts").get(
        "contract_value"
    )
    truth = json.loads(TRUTH.read_text("utf-8"))["to_come"]
    assert found.equity.low < truth["expected"] / 100 < found.equity.high
    # one thing came: it lies within three of its standard deviations
    assert abs(truth["paid"] / 100 - found.outcome.value) < 3 * (found.outcome.high - found.outcome.low) / (
        2 * 1.645
    )


def test_survivors_are_projected_as_the_paper_did(tmp_path):
    """Fader & Hardie (2007): fitted to seven years, sBG foretells the five after; 173 of 1,000 and 394 of 1,000 are left then."""
    study = load_study(ROOT / "params" / "survivors.yml")
    bench = Workbench(study, study_folder=tmp_path, folder=tmp_path / "draft", stem="04b_contracts")
    relations = bench.contracts().relations
    assert (len(relations), int(relations["ended"].sum())) == (2000, 2000 - 173 - 394)
    # what was billed: those who began, and everybody who made a renewal, at 100 each
    billed = 100 * (sum((1000, 631, 468, 382, 326, 289, 262, 241, 223, 207, 194, 183, 173))
                    + sum((1000, 869, 743, 653, 593, 551, 517, 491, 468, 445, 427, 409, 394)))  # fmt: skip
    assert bench.ledger().totals["amount"]["USD"]["used"] == billed
    held = bench.get("contract_backtests").latest.held
    assert held.relations == 241 + 491 and held.actual == 173 + 394
    assert held.expected == pytest.approx(held.actual, rel=0.03) and held.low < held.actual < held.high


def test_a_chapter_that_has_nothing_to_show_says_so(tmp_path):
    study = load_study(ROOT / "params" / "survivors.yml")
    with pytest.raises(
        StudyError, match="04_value has nothing to show: the customers of this study are under contract"
    ):
        run_study(study, reports=tmp_path, only="04_value")
