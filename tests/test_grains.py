"""The value at four grains, what was brought with what is to come, and what is at risk of leaving."""

import numpy as np
import pandas as pd
import pytest
from small_company import write_small_study

from clvkit.chapters import churn_risk, one_time
from clvkit.chapters import grains as words
from clvkit.cohort_curve import DAYS, CohortCurve, cohort_curve
from clvkit.errors import FitError
from clvkit.grains import COHORT, OFTEN, SEGMENT, TIER, Grains, people_of
from clvkit.publish.figures import svg
from clvkit.publish.tables import table_html
from clvkit.study import load_study
from clvkit.value import Terms
from clvkit.workbench import Workbench


def opened(root, **sections) -> Workbench:
    study = load_study(write_small_study(root / "params", **sections))
    folder = root / "reports" / study.name
    return Workbench(study, study_folder=folder, folder=folder / "draft", stem="04_value")


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return opened(tmp_path_factory.mktemp("grains"))


@pytest.fixture(scope="module")
def grains(bench):
    return bench.grains()


def test_all_grains_and_customer_equity_agree_to_the_cent(bench, grains):
    assert grains.grains["grain"].tolist() == ["individual", "segment", "cohort"]
    equity = bench.valuation().estimates["customer_equity"].value
    np.testing.assert_allclose(grains.grains["value"], equity, rtol=1e-9)
    for name in (SEGMENT, COHORT, OFTEN):
        assert grains.groups[name]["clv"].sum() == pytest.approx(equity, rel=1e-9)
    checks = words.checks(grains, bench.valuation(), bench.ledger())
    assert [check.status for check in checks] == ["pass", "pass"]


def test_product_tiers_are_the_fourth_grain(tmp_path):
    """What the first order held parts customers: here the number of discs stands for a category."""
    columns = {"customer": "customer_id", "date": "date", "amount": "amount", "category": "cds"}
    tiers = {"one disc": ["1"], "a few": ["2", "3"]}
    bench = opened(tmp_path, ledger={"path": "small.csv", "control_total": None, "control_rows": None, "columns": columns},
                   cohorts={"by": {"tiers": ["period", "tier"]}, "tiers": tiers})  # fmt: skip
    found, equity = bench.grains(), bench.valuation().estimates["customer_equity"].value
    assert found.grains["grain"].tolist() == ["individual", "segment", "product tier", "cohort"]
    np.testing.assert_allclose(found.grains["value"], equity, rtol=1e-9)
    groups = found.groups[TIER]
    assert {"one disc", "a few"} <= set(groups["group"]) and groups["clv"].sum() == pytest.approx(
        equity, rel=1e-9
    )
    assert groups["customers"].sum() == bench.valuation().customers


def test_the_individuals_are_the_scores_of_the_run(bench, grains):
    scores = bench.scores()
    assert grains.base["clv"] == pytest.approx(scores["n"] @ scores["clv"], rel=1e-12)
    assert grains.base["alive"] == pytest.approx(scores["n"] @ scores["p_alive"], rel=1e-12)


def test_so_far_and_to_come_make_the_total_in_every_group_and_in_sum(bench, grains):
    for frame in grains.groups.values():
        np.testing.assert_allclose(frame["so_far"] + frame["clv"], frame["total"], rtol=1e-9)
    ledger = bench.ledger()
    revenue = int(ledger.purchases.amount_minor.sum().execute()) / 100
    assert grains.base["so_far"] == pytest.approx(bench.study.value.margin * revenue, rel=1e-12)
    assert grains.base["total"] == pytest.approx(grains.base["so_far"] + grains.base["clv"], rel=1e-9)


def test_the_cohorts_are_those_of_the_valuation(bench, grains):
    cohort = bench.valuation().groups["cohort"]
    assert grains.groups[COHORT]["group"].tolist() == cohort["group"].tolist()
    np.testing.assert_allclose(grains.groups[COHORT]["clv"], cohort["value"], rtol=1e-9)


def test_parts_shown_add_up_to_the_sum_that_is_rounded_once(bench, grains):
    table = words.parts(grains, bench.valuation(), bench.ledger())
    *parts, total = table.frame.to_dict("records")
    for grain in ("Segments", "Cohorts"):
        mine = [one for one in parts if one["grain"] == grain]
        for column in ("so_far", "clv", "total"):
            assert round(100 * sum(one[column] for one in mine)) == round(100 * total[column])


def test_value_at_risk_is_value_times_the_probability_of_leaving(bench, grains):
    """By Pareto/NBD customers leave by age alone, 1 − ((β+T)/(β+T+h))^s: the share at risk lies between those of the ages."""
    people, keyed = people_of(bench)
    assert people["n"].sum() == bench.valuation().customers and keyed[COHORT] == "cohort"
    fit, _ = bench.valued_with()
    draws = fit.posterior(bench.study.value.posterior_draws)
    s, beta = draws[:, 2, None], draws[:, 3, None]
    T, h = people["T_days"].to_numpy() / fit.unit_days, 365.25 / fit.unit_days
    leaving = (1 - ((beta + T) / (beta + T + h)) ** s).mean(axis=0)
    assert leaving.min() < grains.base["at_risk"] / grains.base["clv"] < leaving.max()
    assert 0 < grains.base["leaves"] < grains.base["alive"]


def test_the_quadrants_hold_everybody_and_all_of_the_value(bench, grains):
    assert len(grains.quadrants) == 4
    for column in ("customers", "clv", "at_risk"):
        assert grains.quadrants[column].sum() == pytest.approx(grains.base[column], rel=1e-12)
    table = churn_risk.quadrants(grains, bench.valuation(), bench.ledger())
    *parts, total = table.frame.to_dict("records")
    for column in ("customers", "clv", "at_risk"):
        assert round(100 * sum(one[column] for one in parts)) == round(100 * total[column])
    assert [check.status for check in churn_risk.checks(grains, bench.ledger())] == ["pass"]


def test_a_quadrant_that_loses_somebody_stops_the_run(bench, grains):
    from dataclasses import replace

    (check,) = churn_risk.checks(replace(grains, quadrants=grains.quadrants.iloc[:-1]), bench.ledger())
    assert check.stops


def test_the_difference_of_the_model_of_cohorts_is_printed(bench, grains):
    table, text = (
        words.at_grains(grains, bench.valuation(), bench.ledger()),
        words.curve(grains, bench.valuation())[0],
    )
    difference = grains.curve["curve"].sum() - grains.base["clv"]
    assert table.frame["difference"].iloc[-1] == pytest.approx(difference, abs=0.011)
    assert (table.frame["difference"].iloc[:-1] == 0).all()
    assert text.frame["difference"].iloc[-1] == pytest.approx(difference, rel=1e-9)
    assert "Run time in seconds" in table.note


def test_the_exhibits_can_be_shown(bench, grains):
    valuation, ledger = bench.valuation(), bench.ledger()
    for one in [*words.exhibits(grains, valuation, ledger), *churn_risk.exhibits(grains, valuation, ledger)]:
        assert (svg(one) if hasattr(one, "draw") else table_html(one)).startswith("<")
    assert set(words.metrics(grains, valuation)) >= {"margin_so_far", "customer_value_total", "value_at_risk"}
    assert "seconds" not in words.as_results(grains)["grains"][0]


def test_saved_and_loaded_grains_are_the_same(grains, tmp_path):
    grains.save(tmp_path / "made")
    back = Grains.load(tmp_path / "made")
    assert list(back.groups) == list(grains.groups) and back.mean_risk == grains.mean_risk
    pd.testing.assert_frame_equal(back.quadrants, grains.quadrants)


def test_customers_valued_as_their_segment_are_in_every_grain(tmp_path):
    rule = {"inclusion": {"min_purchases": {"at_least": 3, "below": "segment_average"}}}
    bench = opened(tmp_path, ledger=rule, models={"sampled": []})
    equity, grains = bench.valuation().estimates["customer_equity"].value, bench.grains()
    np.testing.assert_allclose(grains.grains["value"], equity, rtol=1e-9)
    assert grains.base["customers"] == bench.valuation().customers


def test_bgnbd_takes_one_time_buyers_for_alive_and_the_run_says_so(bench):
    (check,) = one_time.checks(bench)
    assert check.status == "info" and check.value == 1
    assert "an artefact" in check.message and "Pareto/NBD" in check.message and "MBG/NBD" in check.message


class TestCohortCurve:
    def cells(self, level, scale, power, ages=15) -> pd.DataFrame:
        curve = CohortCurve(level, scale, power, pd.DataFrame())
        age = np.concatenate([np.arange(ages - start) for start in range(3)])
        return pd.DataFrame(
            {"age": age, "customers": 1000, "repeat_minor": np.rint(1000 * curve.at(age)).astype(int)}
        )

    def test_finds_the_curve_that_cohorts_follow(self):
        found = cohort_curve(self.cells(500, 4.0, 0.8))
        np.testing.assert_allclose(
            found.at(np.arange(1, 40)), CohortCurve(500, 4.0, 0.8, None).at(np.arange(1, 40)), rtol=0.01
        )

    def test_what_is_ahead_is_the_discounted_integral(self):
        flat = CohortCurve(300.0, 1e9, 1e-9, pd.DataFrame())
        terms = Terms(margin=0.5, annual_discount_rate=0.1, horizon_days=2 * 365.25)
        (found,) = flat.ahead(np.array([100.0]), DAYS["month"], terms)
        assert found == pytest.approx(0.5 * 300 * 12 * (1 - 1.1**-2) / np.log(1.1), rel=1e-5)

    def test_too_few_ages_are_refused(self):
        with pytest.raises(FitError, match="needs 4 ages"):
            cohort_curve(self.cells(500, 4.0, 0.8, ages=4))
