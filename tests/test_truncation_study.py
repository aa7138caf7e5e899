"""A study over a log that begins mid-life: refused, run with a named burn-in, or fitted and valued by dates."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
import yaml

from clvkit.chapters.truncation import value_of_first
from clvkit.chapters.value import horizon
from clvkit.processes import get
from clvkit.study import load_study, study_from_resolved
from clvkit.valuation import BURN_IN, OLDER
from clvkit.workbench import Workbench

START, YEAR = date(2021, 1, 1), 365
TRUTH = np.array([1.2, 6.0, 0.9, 15.0])  # weeks


def write_study(folder, customers=1500, seed=5):
    """Three years of a company whose log has the last two; the table of customers says when each was acquired."""
    rng = np.random.default_rng(seed)
    arrival = rng.random(customers) * 3 * YEAR
    drawn = get("paretonbd").simulate(TRUTH, (3 * YEAR - arrival) / 7, rng)
    who = np.concatenate([np.arange(customers), drawn.customer])
    when = np.floor(np.concatenate([arrival, arrival[drawn.customer] + 7 * drawn.time])).astype(int)
    orders = pd.DataFrame({"customer_id": who, "date": [START + timedelta(days=int(day)) for day in when]})
    orders["amount"] = np.round(20 + rng.gamma(4.0, 5.0, len(orders)), 2)
    orders[when >= YEAR].to_csv(folder / "orders.csv", index=False)
    first = [START + timedelta(days=int(day)) for day in np.floor(arrival)]
    pd.DataFrame({"id": np.arange(customers), "since": first}).to_csv(folder / "people.csv", index=False)
    study = {
        "name": "midlife", "title": "Begins in mid-life", "currency": "EUR", "as_of": "2023-12-31",
        "ledger": {"sources": {
            "shop": {"path": "orders.csv", "date_format": "%Y-%m-%d"},
            "crm": {"holds": "customers", "path": "people.csv", "date_format": "%Y-%m-%d", "accounts": {"shop": "id"},
                    "fields": {"acquired": "since"}}}},
        "models": {"processes": ["paretonbd", "bgnbd"], "sampled": [], "sampler": {"draws": 100, "chains": 2}},
        "value": {"margin": 0.3, "annual_discount_rate": 0.1, "horizon_months": 12, "posterior_draws": 50},
        "backtest": {"origins": ["2023-06-30"], "posterior_draws": 50},
    }  # fmt: skip
    (folder / "study.yml").write_text(yaml.safe_dump(study, sort_keys=False))
    return folder / "study.yml"


@pytest.fixture(scope="module")
def bench_of(tmp_path_factory):
    folder = tmp_path_factory.mktemp("midlife")
    path = write_study(folder)

    def bench(**said):
        study = load_study(path, {f"models.left_truncation.{key}": str(value) for key, value in said.items()})
        assert study_from_resolved(study.resolved(), base=study.base) == study
        return Workbench(study, study_folder=folder / "reports", folder=folder / "draft", stem="04_value")

    return bench


def check(bench):
    return next(one for one in bench.sufficiency() if one.id == "data.left_truncation")


def test_without_a_treatment_such_a_log_gives_no_value(bench_of):
    bench = bench_of()
    assert not bench.carries_value() and check(bench).status == "fail"
    assert "(fields: acquired)" in check(bench).recommendation


def test_a_burn_in_is_fitted_without_and_valued_with_a_label(bench_of):
    bench = bench_of(treatment="burn_in", burn_in_days=120)
    assert check(bench).status == "review" and bench.carries_value()
    everybody = bench.cells()["n"].sum()
    groups = bench.valuation().groups["left_truncation"].set_index("group")
    assert groups["customers"].sum() == everybody
    assert groups.loc[BURN_IN, "customers"] == everybody - bench.fit().customers > 0
    (sentence,) = value_of_first(bench.valuation())
    assert "parameters that they did not help to fit" in sentence.text


def test_dates_of_acquisition_make_older_customers_what_they_are(bench_of):
    bench = bench_of(treatment="acquired")
    assert check(bench).status == "pass" and bench.carries_value(), check(bench).message
    older = bench.cells()[bench.cells()["before_days"] >= 0]["n"].sum()
    fit, valuation = bench.fit(), bench.valuation()
    assert fit.customers == bench.cells()["n"].sum() and np.all(np.abs(fit.mle - TRUTH) < 4 * fit.se)
    assert bench.fit("bgnbd").customers == fit.customers - older
    groups = valuation.groups["left_truncation"].set_index("group")
    assert groups.loc[OLDER, "customers"] == older > 100
    assert len(valuation.groups["cohort"]) > 30, "months of acquisition, of which the log has 24"
    scores = bench.scores()
    assert (scores["n"] @ scores["clv"]) == pytest.approx(
        valuation.estimates["customer_equity"].value, rel=1e-6
    )
    (tried,) = bench.backtests().champion
    assert tried.predicted["transactions"].mle == pytest.approx(tried.actual["transactions"], rel=0.15)


def test_a_process_without_endless_values_of_older_customers_leaves_that_line_out(bench_of, tmp_path):
    study = bench_of().study
    said = {"models.headline": "bgnbd", "models.left_truncation.treatment": "acquired"}
    study = load_study(study.base / "study.yml", said)
    bench = Workbench(study, study_folder=tmp_path / "reports", folder=tmp_path / "draft", stem="04_value")
    found = bench.valuation()
    assert "customer_equity_lifetime" not in found.estimates and np.isfinite(found.path["months"]).all()
    assert found.estimates["customer_equity"].value > 0
    shown = horizon(found)
    assert len(shown.frame) == len(found.path)
