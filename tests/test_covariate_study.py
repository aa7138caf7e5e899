"""Covariates from a customers table to the value: what is written decides what is fitted, forecast, scored and shown."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

import clvkit
from clvkit import champion, processes
from clvkit.chapters import covariates as words
from clvkit.errors import StudyError
from clvkit.study import load_study

SIZE, WEEKS, DAY = 3000, 78, date(2022, 1, 3)
RATE = 1.8  # what the plan gold multiplies the purchase rate by
STUDY = """\
name: toy
title: Toy company
currency: USD
as_of: 2023-07-02
ledger:
  sources:
    shop: {path: orders.csv, date_format: "%Y-%m-%d"}
    people: {holds: customers, path: people.csv, accounts: {shop: customer_id}, about: {plan: plan, age: age, points: points}}
models:
  processes: [mbgnbd]
  headline: mbgnbd
  sampled: [mbgnbd, gammagamma]
  covariates: {use: compare, of: {plan: {}, age: {bins: 3, on: [rate]}}}
value: {margin: 0.3, annual_discount_rate: 0.1, posterior_draws: 100}
backtest: {origins: [2022-10-02, 2023-01-01], posterior_draws: 50}
"""


def write_company(folder):
    """Orders of customers on two plans, the half on gold buying more often; age says nothing; points count purchases."""
    rng = np.random.default_rng(7)
    model, rows, people = processes.get("mbgnbd"), [], []
    for plan, factor in (("basic", 1.0), ("gold", RATE)):
        first = rng.integers(0, 200, SIZE // 2)
        age = 7 * WEEKS - first
        theta = np.array([0.8, 6.0 / factor, 1.2, 3.0])
        drawn = model.simulate(theta, age / 7, rng)
        spend = rng.gamma(6, 5, SIZE // 2)
        for n in range(SIZE // 2):
            name = f"{plan[0]}{n:05d}"
            days = first[n] + np.r_[0, np.floor(7 * drawn.time[drawn.customer == n])]
            rows += [
                (name, DAY + timedelta(days=int(day)), f"{spend[n] * rng.gamma(8, 1 / 8):.2f}")
                for day in days
            ]
            people.append((name, plan, rng.integers(18, 80), len(days)))
    pd.DataFrame(rows, columns=["customer_id", "date", "amount"]).to_csv(folder / "orders.csv", index=False)
    frame = pd.DataFrame(people, columns=["customer_id", "plan", "age", "points"]).sample(
        frac=1, random_state=1
    )
    frame.loc[frame.index[:60], "age"] = np.nan
    frame.to_csv(folder / "people.csv", index=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("covariates")
    write_company(folder)
    return folder


@pytest.fixture(scope="module")
def opened(folder):
    """A function that opens the study with another use of its covariates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLVKIT_REPORTS", str(folder / "reports"))

        def open_(change=("", "")):
            path = folder / "toy.yml"
            path.write_text(STUDY.replace(*change) if change[0] else STUDY)
            return clvkit.open_run(path)

        yield open_


@pytest.fixture(scope="module")
def run(opened):
    return opened()


def test_cells_know_their_pattern_and_stay_few(run):
    cells = run.cells()
    assert cells["pattern"].nunique() == 8  # two plans, three ages and no age
    assert cells["n"].sum() == SIZE and len(cells) < SIZE
    assert run.get("score_cells")["n"].sum() == SIZE


def test_the_planted_effect_is_found_and_age_shows_none(run):
    effects = run.fit_with_covariates().effects().set_index(["covariate", "step", "on"])
    gold = effects.loc[("plan", "gold", "rate")]
    assert gold["low"] < RATE < gold["high"] and gold["differs"]
    age = effects.loc["age"]
    assert set(age.reset_index()["on"]) == {"rate"}
    assert (age["low"] < 1.05).all() and (age["high"] > 0.95).all()


def test_the_chapter_says_what_covariates_multiply(run):
    (table,) = words.exhibits(run)
    assert "plan gold" in table.title and "for sure" in table.title
    line = table.frame.query("covariate == 'plan' and on == 'purchase rate'").iloc[0]
    assert line["reference"] == "basic" and line["customers"] == SIZE // 2
    checks = {check.id: check for check in words.checks(run)}
    assert checks["covariates.mbgnbd"].status == "review"  # they help, and the value does not use them
    assert checks["covariates.after_the_fact.plan"].status == "pass"
    assert words.as_results(run)["mbgnbd_with_covariates"]["by_pattern"]


def test_what_counts_purchases_is_put_up_for_review(opened):
    run = opened(("of: {plan: {}", "of: {points: {bins: 4}"))
    found = {check.id: check for check in words.checks(run)}
    assert found["covariates.after_the_fact.points"].status == "review"


@pytest.mark.slow
def test_they_enter_the_comparison_and_are_tried_in_the_back_tests(run):
    tried = {(b.process, b.origin): b for b in run.backtests()}
    assert len(tried) == 4
    both = [tried[name, date(2022, 10, 2)].at_mle.rmse for name in ("mbgnbd", "mbgnbd_with_covariates")]
    assert both[1] < both[0]
    chosen = champion.choose(run.candidates(), run.backtests(), run.study.models.valued_with)
    assert set(chosen.table["process"]) == {"mbgnbd", "mbgnbd_with_covariates"}


@pytest.mark.slow
def test_the_value_can_be_computed_with_them_and_every_customer_is_scored(opened, run, folder):
    valued = opened(("use: compare", "use: value"))
    assert valued.study.models.valued_with == "mbgnbd_with_covariates"
    equity, plain = (one.valuation().estimates["customer_equity"] for one in (valued, run))
    assert equity.low < equity.value < equity.high
    assert equity.value == pytest.approx(plain.value, rel=0.15)
    scores = valued.scores()
    assert len(scores) == len(valued.get("score_cells"))
    gold = scores["pattern"].str.startswith("1" if _reference(valued) == "basic" else "0")
    once = scores["frequency"] == 0
    by_plan = [scores[once & which].groupby("T_days")["p_alive"].mean() for which in (gold, ~gold)]
    # The same silence says more of somebody who buys more often.
    assert (by_plan[0] / by_plan[1]).dropna().max() < 1


def test_customers_who_answered_too_little_are_valued_as_their_segment(opened, folder):
    rule = "min_survey_response: {about: points, at_least: 3, below: segment_average}"
    run = opened(("  sources:", f"  inclusion: {{{rule}}}\n  sources:"))
    everybody = run.everybody().to_pyarrow().to_pandas()
    labelled = everybody["inclusion"].eq("min_survey_response")
    points = pd.read_csv(folder / "people.csv")["points"]
    assert labelled.sum() == (points < 3).sum() and 0 < labelled.sum() < SIZE
    assert (everybody.loc[labelled, "treatment"] == "segment_average").all()
    assert (everybody.loc[labelled, "survey_response"] < 3).all()
    with pytest.raises(StudyError, match="no customers table has"):
        opened(("  sources:", f"  inclusion: {{{rule.replace('points', 'point')}}}\n  sources:"))


def _reference(run):
    return run.seen.people.design.covariates[0].levels[0]


def test_only_what_a_table_has_can_be_a_covariate(folder):
    path = folder / "wrong.yml"
    path.write_text(STUDY.replace("of: {plan: {}", "of: {plann: {}"))
    with pytest.raises(StudyError, match="no customers table has"):
        load_study(path)
    path.write_text(STUDY.replace("of: {plan: {}, age: {bins: 3, on: [rate]}}", "of: {}"))
    with pytest.raises(StudyError, match="must name at least one covariate"):
        load_study(path)
    path.write_text(
        STUDY.replace("  headline: mbgnbd", "  headline: mbgcnbd").replace("[mbgnbd]", "[mbgcnbd]")
    )
    with pytest.raises(StudyError, match="are known to"):
        load_study(path)
    path.write_text(
        STUDY.replace("use: compare", "use: value").replace("  headline", "  segments: value\n  headline")
    )
    with pytest.raises(StudyError, match="one fit makes the value"):
        load_study(path)
    path.write_text(STUDY.replace("accounts: {shop: customer_id}, ", ""))
    with pytest.raises(StudyError, match="about needs accounts"):
        load_study(path)


@pytest.mark.slow
def test_what_is_written_of_customers_can_make_the_segments(opened):
    run = opened(
        (
            "covariates: {use: compare, of: {plan: {}, age: {bins: 3, on: [rate]}}}",
            "segments: value\n  segment_by: plan",
        )
    )
    cells = run.cells()
    assert cells.groupby("segment")["n"].sum().to_dict() == {"basic": SIZE // 2, "gold": SIZE // 2}
    fit = run.fit_by_segment()
    rate = dict(zip(fit.segments, fit.mle[:, 0] / fit.mle[:, 1], strict=True))
    assert rate["gold"] / rate["basic"] == pytest.approx(RATE, rel=0.2)
    by = run.valuation().groups["segment"].set_index("group")
    assert by.loc["gold", "value"] > 1.2 * by.loc["basic", "value"]
    assert by["value"].sum() == pytest.approx(run.valuation().estimates["customer_equity"].value, rel=1e-9)
    assert {one.process for one in run.backtests()} == {"mbgnbd", "mbgnbd_by_segment"}


def test_segments_that_no_table_has_are_refused(folder):
    path = folder / "wrong.yml"
    path.write_text(STUDY.replace("covariates: {use", "segment_by: plam\n  covariates: {use"))
    with pytest.raises(
        StudyError,
        match=r"segment_by names 'plam', which no customers table has .got 'plam'.; did you mean 'plan'",
    ):
        load_study(path)
