"""The comparison of refinements over logs, on a small simulated one: what it measures, says and leaves out."""

import json
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the benchmarks are no part of the package

logs, logs_data, logs_measures, logs_report = (
    import_module(f"benchmarks.{name}") for name in ("logs", "logs_data", "logs_measures", "logs_report")
)


@pytest.fixture(scope="module")
def found():
    """A year of a log of few customers, tried like the large ones, with fewer futures of each."""
    log = logs_data.simulated(customers=250)
    short = log.purchases.filter(log.purchases.day > pd.Timestamp("2022-12-01").date())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs_measures, "DRAWS", 60)
        patch.setattr(logs, "POOLED", ("bgnbd", "mbgnbd", "mbgcnbd"))
        return logs.measured(replace(log, purchases=short))


def test_every_fit_and_rule_is_measured_from_both_origins(found):
    models = found["models"]
    assert {one["kind"] for one in models.values()} == {"pooled", "rule", "spend", "segments"}
    assert {"bgnbd", "mbgnbd", "mbgcnbd", "last_period", "segment_mean", "hiatus"} < set(models)
    for one in models.values():
        for word in logs.WORDS:
            assert one[word]["rmse"] >= one[word]["mae"] > 0
            if one["kind"] == "rule":
                assert one[word]["crps"] == one[word]["mae"], "of one number the score is the absolute error"
            else:
                assert 0 < one[word]["crps"] < one[word]["mae_median"] and 0.8 < one[word]["coverage"] <= 1
    assert models[f"{found['base']}_by_segment"]["refines"] == found["base"] in logs.POOLED
    assert models["mbgcnbd"]["refines"] == "mbgnbd"
    assert "crps_lead" not in models["bgnbd"]["later"] and len(models["mbgcnbd"]["later"]["crps_lead"]) == 3
    assert found["refused"] == {"season": logs.NO_SEASON}, "one year says nothing of a season"


def test_logs_are_tried_as_they_allow():
    log = logs_data.simulated(customers=20)
    dated = replace(log, burn_in_days=40, segments="")
    asked = {one.kind: one for one in logs.trials(dated, "paretonbd")}
    assert set(asked) == {"spend", "burn_in", "season"} and asked["season"].calendar == log.calendar
    assert asked["burn_in"].models["left_truncation"] == {"treatment": "burn_in", "burn_in_days": 40}
    assert logs._refined("mbgcnbd_after_burn_in", asked["burn_in"]) == "mbgcnbd"
    assert logs._refined("paretonbd_with_season", asked["season"]) == "paretonbd"
    assert logs._refined("paretonbd_with_covariates", logs.Trial("covariates", {})) == "paretonbd"


def test_measures_are_those_of_the_back_test(found):
    log = logs_data.simulated(customers=250)
    from clvkit.backtest import BacktestSection, back_test
    from clvkit.models_section import ModelsSection

    models = ModelsSection(processes=("bgnbd",), headline="bgnbd", sampled=(), spend="gammagamma")
    section = BacktestSection(origins=log.origins[1:], horizon_days=log.horizon_days)
    given = {"as_of": log.as_of, "currency": "USD", "minor_per_unit": 100, "silence_days": 180}
    (made,) = back_test(log.purchases, section, models, **given)
    rows = logs_measures.rows_of(log, made)
    mine, errors = logs_measures.of_model(log, made, rows, 1)
    for name, other in (("purchases", "bias"), ("mae", "mae"), ("rmse", "rmse"), ("wmape", "wmape")):
        assert getattr(mine, name) == pytest.approx(getattr(made.at_mle, other))
    assert mine.value == pytest.approx(made.bias_value) and mine.coverage == made.coverage
    rule, _ = logs_measures.of_rule(log, made, rows, "hiatus")
    assert rule.mae == pytest.approx(made.baselines["hiatus"].accuracy.mae)
    assert rule.value == pytest.approx(made.baselines["hiatus"].bias_value)
    known = logs_measures.at_true_total(log, made, rows, "last_period", 1)
    assert set(known) == {"median", "rule"} and min(known.values()) > 0
    n = rows["n"].to_numpy()
    assert n @ np.abs(errors.median) <= n @ np.abs(errors.mean), "the median is what minimises this error"


def test_the_score_is_that_of_its_definition():
    rng = np.random.default_rng(1)
    counts, cell, actual = rng.poisson([1.0, 5.0], (60, 2)), np.array([1, 0, 1]), np.array([4.0, 0.0, 9.0])
    expected = []
    for at, y in zip(cell, actual, strict=True):
        x = counts[:, at]
        pairs = np.abs(x[:, None] - x).sum() / (60 * 59)
        expected.append(np.abs(x - y).mean() - pairs / 2)
    assert logs_measures.crps(counts, cell, actual) == pytest.approx(np.array(expected))
    same = np.full((60, 1), 3)
    assert logs_measures.crps(same, np.array([0]), np.array([5.0])) == pytest.approx(2.0)


def test_a_rule_has_no_share_where_it_adds_nothing():
    rows = pd.DataFrame({"n": [1, 3]})
    right, wrong = (SimpleNamespace(median=np.array(x), mean=np.array(x)) for x in ([0.0, 0.0], [2.0, -1.0]))
    assert logs_measures.blends((rows, right, wrong), (rows, wrong, right)) == {
        "share": 0.0,
        "early": 0.0,
        "later": 1.25,
    }
    half = logs_measures.blends((rows, wrong, SimpleNamespace(mean=-wrong.mean)), (rows, right, right))
    assert half["share"] == 0.5 and half["early"] == pytest.approx(0)


def test_it_is_said_what_helps_and_what_could_not_be_had(found):
    kept = {"machine": {"cores": 2, "python": "3"}, "versions": {"commit": "abc"},
            "logs": {"simulated": json.loads(json.dumps(logs.rounded(found))), "online_retail": {"unavailable": "It is elsewhere."}}}  # fmt: skip
    text = logs_report.section(kept)
    assert "It is elsewhere." in text and logs.NO_SEASON in text
    assert "A challenger" in text and "none yet" in text
    assert text.count("| Last period repeated |") == 1
    assert "**Covariates (against the same process without)**: not tried on these logs." in text


def test_a_difference_is_one_where_it_is_clear_and_worth_it():
    def judged(lead, crps=1.0):
        return logs_report.verdict({"crps_lead": lead}, {"crps": crps})

    assert judged([0.05, 0.01, 0.09]) == 1 and judged([-0.05, -0.09, -0.01]) == -1
    assert judged([0.05, -0.01, 0.11]) == 0, "chance"
    assert judged([0.005, 0.004, 0.006]) == 0, "too small for more parameters"


def test_a_log_that_is_not_here_is_left_out_with_a_sentence(monkeypatch):
    monkeypatch.delenv(logs_data.SHARED, raising=False)
    with pytest.raises(logs_data.Unavailable, match="CLVKIT_SHARED_DATA"):
        logs_data.online_retail()


def test_regions_by_lot_are_the_same_every_time():
    drawn = [logs_data._hashed(str(n)) % 3 for n in range(3000)]
    assert drawn[:6] == [logs_data._hashed(str(n)) % 3 for n in range(6)]
    assert np.bincount(drawn).min() > 900


@pytest.mark.parametrize(
    ("income", "is_in"),
    [
        ("Under 15K", "under 35K"),
        ("25-34K", "under 35K"),
        ("35-49K", "35K to 74K"),
        ("250K+", "75K and more"),
    ],
)
def test_incomes_are_of_three_classes(income, is_in):
    assert logs_data._income(income) == is_in
