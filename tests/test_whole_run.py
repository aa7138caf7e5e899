"""The main job as a user does it: one command over the published sample, and what it leaves behind."""

import csv
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser
from published import check_page, check_results, page_without_ids, read_json, without_times

ROOT = Path(__file__).resolve().parents[1]
STUDY = "params/cdnow_sample.yml"
SAMPLE = ROOT / "data_samples" / "cdnow" / "cdnow_sample.csv"

# Of the 273 days after 30 September 1997, by maximum likelihood; 1,882 purchases were made.
# BG/NBD, MBG/NBD and Pareto/NBD on exact days with weeks as the unit of time.
HOLD_OUT = {"bgnbd": 1653.4, "mbgnbd": 1576.7, "paretonbd": 1665.5}

pytestmark = pytest.mark.slow


def clv(*arguments) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CLVKIT_")}
    command = [sys.executable, "-m", "clvkit.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, timeout=1800)


@pytest.fixture(scope="module")
def run_once(tmp_path_factory):
    """A function that runs the study into a reports folder of its own; the run's folder."""

    @cache
    def run(name: str) -> Path:
        out = tmp_path_factory.mktemp(name)
        done = clv("run", STUDY, "--out", out)
        assert done.returncode == 0, done.stderr
        page = Path(done.stdout.splitlines()[-1])
        assert page.name == "index.html" and page.is_file()
        return page.parent

    return run


@pytest.fixture(scope="module")
def folder(run_once):
    return run_once("first")


@pytest.fixture(scope="module")
def results(folder):
    return read_json(folder / "results.json")


def test_show_prints_the_results(folder):
    out = folder.parents[2]
    shown = clv("show", "cdnow_sample@latest", "--json", "--out", out)
    assert shown.returncode == 0
    assert json.loads(shown.stdout) == read_json(folder / "results.json")
    assert "customer_equity" in clv("show", folder).stdout
    assert folder.name in clv("list", "cdnow_sample", "--out", out).stdout


def test_every_key_of_the_contract_is_there(results):
    check_results(results)
    assert (results["study"], results["as_of"], results["currency"]) == ("cdnow_sample", "1998-06-30", "USD")
    assert set(results["fits"]) == {*HOLD_OUT, "gammagamma"}
    assert results["ledger"]["customers"] == 2357 and results["ledger"]["rows"]["in"] == 6919
    assert results["ledger"]["amount"]["USD"]["in"] == 244091.94
    assert all(results["metrics"][name]["low"] is not None for name in ("customer_equity", "customers_alive"))
    expected, outcome = (results["metrics"][f"customer_equity{kind}"] for kind in ("", "_outcome"))
    assert outcome["high"] - outcome["low"] > expected["high"] - expected["low"]


def test_hold_out_totals_of_the_literature(results):
    assert [one["origin"] for one in results["backtests"]] == 3 * ["1997-06-30"] + 3 * ["1997-09-30"]
    found = {one["process"]: one for one in results["backtests"] if one["origin"] == "1997-09-30"}
    assert set(found) == set(HOLD_OUT)
    for process, total in HOLD_OUT.items():
        one = found[process]
        assert (one["origin"], one["horizon_days"]) == ("1997-09-30", 273)
        assert one["actual"]["transactions"] == 1882
        purchases = one["predicted"]["transactions"]
        assert purchases["mle"] == pytest.approx(total, abs=0.05)
        assert purchases["low"] < purchases["value"] < purchases["high"]
        assert purchases["value"] == pytest.approx(total, rel=0.05)
        assert one["bias"] == pytest.approx(purchases["value"] / 1882 - 1)
        assert 0.9 < one["coverage_90"] < 1


def test_the_champion_is_chosen_before_its_error_is_quoted(results):
    champion = results["champion"]
    assert (champion["chosen"]["end"], champion["quoted"]["origin"]) == ("1997-09-30", "1997-09-30")
    assert champion["process"] in HOLD_OUT and champion["headline"] == "paretonbd"
    assert "which had no part in the choice" in champion["reason"]
    assert set(champion["processes"]) == set(HOLD_OUT)
    for process, one in champion["processes"].items():
        assert one["log_likelihood"] == results["fits"][process]["log_likelihood"]
        assert one["bic"] > -2 * one["log_likelihood"]
        assert one["quoted"]["bias"] == pytest.approx(HOLD_OUT[process] / 1882 - 1, abs=1e-4)
        for trial in (one["chosen"], one["quoted"]):
            assert all(trial[name] is not None for name in ("bias", "rmse", "coverage", "calibration"))
    said = [made for made in results["backtests"] if made["process"] == "paretonbd"][-1]
    assert (
        results["metrics"]["backtest_bias"]["value"] == said["bias"]
    )  # the latest is the one that is quoted


def test_every_posterior_has_converged(results):
    fits = dict(results["fits"])
    for one in results["backtests"]:
        fits[f"{one['process']} at {one['origin']}"] = one["fit"]
        fits[f"gammagamma at {one['origin']}"] = one["spend_fit"]
    assert len(fits) == 12 and all(fit["method"] == "nuts" for fit in fits.values())
    for name, fit in fits.items():
        diagnostics = fit["diagnostics"]
        assert diagnostics["r_hat_max"] < 1.01, name
        assert diagnostics["ess_min"] > 400, name
        assert diagnostics["divergences"] == 0, name


def test_what_a_run_holds(folder):
    assert {path.name for path in folder.iterdir()} == {
        *("index.html", "audit.html", "results.json", "checks.json", "run.json"),
        *("tables", "figures", "notebooks", "parts"),
    }
    manifest = read_json(folder / "run.json")
    assert manifest["state"] == "complete" and manifest["study"] == "cdnow_sample"
    assert len(manifest["lock_sha256"]) == 64 and manifest["versions"] and manifest["seeds"]
    assert all(len(source["sha256"]) == 64 for source in manifest["inputs"])
    assert {"ledger", "cells", "fit:paretonbd", "spend", "valuation", "backtests"} <= set(
        manifest["artifacts"]
    )
    for check in read_json(folder / "checks.json"):
        assert {"value", "threshold", "status", "severity", "message", "recommendation"} <= set(check)
    assert len(list((folder / "tables").glob("*.csv"))) > 15
    independence = [one for one in read_json(folder / "checks.json") if "Independence" in one["title"]]
    assert [one["status"] for one in independence] == ["review"]


def customers() -> set[str]:
    """Ids of the sample; written with five digits they cannot be mistaken for counts."""
    with open(SAMPLE, newline="") as file:
        found = {row["customer_id"] for row in csv.DictReader(file)}
    assert len(found) == 2357 and all(re.fullmatch(r"\d{5}", one) for one in found)
    return {one for one in found if one.startswith("0")}


def test_the_page_is_one_anonymous_file(folder):
    check_page((folder / "index.html").read_text("utf-8"), customers())


def test_no_customer_in_anything_that_is_published(folder):
    ids = {one.encode() for one in customers()}
    for path in folder.rglob("*"):
        if path.suffix in {".csv", ".json", ".html", ".ipynb"}:
            words = set(re.findall(rb"(?<![\w.,+-])\d{5}(?![\w.])", path.read_bytes()))
            assert not words & ids, path.name


def test_page_one_says_what_it_must(folder, results):
    text = re.sub(r"<[^>]+>", "", (folder / "index.html").read_text("utf-8"))
    answer = next(line for line in text.splitlines() if "customers are expected to bring" in line)
    for words in (
        "nine times in ten between",
        "used nine months earlier, the model forecast",
        "range with errors seen",
    ):
        assert words in answer, answer
    first = text[: text.index("Contents")]
    for words in (
        "between 1 January 1997 and 25 March 1997. Nobody who came in the 462 days since",
        "assumptions of the study, nominal and before tax",
        "The verdict on the model is poor",
        "agrees with the control totals",
    ):
        assert words in first, words


def test_a_second_run_elsewhere_gives_the_same(folder, run_once):
    """Nothing is shared: the store is that of another folder, so everything is computed again."""
    again = run_once("second")
    assert again.name != folder.name
    one, two = (
        without_times((where / "results.json").read_text("utf-8"), where.name) for where in (folder, again)
    )
    assert one == two
    assert page_without_ids(folder) == page_without_ids(again)
    tables = {path.name: path.read_bytes() for path in (folder / "tables").iterdir()}
    assert tables == {path.name: path.read_bytes() for path in (again / "tables").iterdir()}


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_page_opens_without_a_network(folder):
    with Browser() as browser:
        for page in ("index.html", "audit.html"):
            browser.requests.clear()
            browser.complaints.clear()
            browser.open(folder / page)
            assert browser.requests == [(folder / page).resolve().as_uri()]
            assert browser.complaints == []
        browser.open(folder / "index.html", 1440, 900)
        assert browser.value("document.querySelector('.page-one').getBoundingClientRect().bottom") < 900
