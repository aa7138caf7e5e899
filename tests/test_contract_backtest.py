"""Back-tests of contracts: what came and simple rules by hand, nothing of later known, verdicts, and intervals that hold."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from spell_worlds import excluded
from test_contract_models import MODELS, YEAR, table

from clvkit.backtest import BacktestSection
from clvkit.chapters import contract_backtest as words
from clvkit.contract_backtest import ContractBacktests, back_test, what_was_paid
from clvkit.contract_past import as_known
from clvkit.contract_value import ForAll
from clvkit.contract_verdict import checks
from clvkit.contract_worth import Money, running
from clvkit.contracts_section import ContractsSection
from clvkit.estimate import Estimate
from clvkit.processes import get

AS_OF, ORIGIN = date(2024, 6, 30), date(2023, 6, 30)
ASKED = {"as_of": AS_OF, "currency": "EUR", "days_per_year": YEAR}
SECTION = BacktestSection(origins=(ORIGIN,), posterior_draws=200)
COLUMNS = ["contract", "customer", "start", "end", "plan", "fee", "period"]


@pytest.fixture(scope="module")
def made() -> ContractBacktests:
    rows = table([("m", 1, 1500, 1.0, 12.0), ("y", 12, 800, 1.5, 4.0)], seed=4)
    return back_test(rows, ContractsSection(source="c"), MODELS, SECTION, **ASKED)


def test_what_came_by_hand():
    said = ContractsSection(source="c")
    rows = pd.DataFrame([
        ("C1", "a", "2023-01-15", None, "p", 10.0, "month"),  # 12 renewals from 15 July on
        ("C2", "b", "2023-01-15", "2023-09-14", "p", 10.0, "month"),  # 15 July and 15 August
        ("C3", "c", "2023-01-15", "2023-12-14", "p", 10.0, "month"),  # changes its plan in December
        ("C4", "c", "2023-12-15", None, "q", 15.0, "month"),
        ("C5", "d", "2022-10-01", None, "y", 120.0, "year"),  # 1 October
        ("C6", "e", "2024-01-01", None, "p", 10.0, "month"),  # did not run then
        ("C7", "f", "2023-01-15", "2023-12-14", "p", 10.0, "month"),  # becomes a yearly one
        ("C8", "f", "2023-12-15", None, "y", 96.0, "year"),
    ], columns=COLUMNS)  # fmt: skip
    before, after = (as_known(rows, said, day) for day in (ORIGIN, AS_OF))
    ran = running(before.relations, ForAll(None), Money(1.0, 0.0), ORIGIN, AS_OF)
    came = what_was_paid(ran, before, after, AS_OF)
    assert ran["customer"].tolist() == ["a", "b", "c", "d", "f"] and ran["within"].tolist() == [
        12,
        12,
        12,
        1,
        12,
    ]
    assert came["renewals"].tolist() == [12, 2, 12, 1, 12] and came["running"].tolist() == [
        True,
        False,
        True,
        True,
        True,
    ]
    # five months at the old fee and seven at the new one; a yearly fee by the month
    assert came["value"].tolist() == pytest.approx([120.0, 20.0, 5 * 10 + 7 * 15, 120.0, 5 * 10 + 7 * 8])


def test_nobody_pays_in_a_pause():
    said = ContractsSection(source="c")
    rows = pd.DataFrame([("C1", "a", "2023-01-15", "2023-08-14", "p", 10.0, "month"),
                         ("C2", "a", "2023-09-10", None, "p", 10.0, "month")], columns=COLUMNS)  # fmt: skip
    before, after = (as_known(rows, said, day) for day in (ORIGIN, AS_OF))
    came = what_was_paid(
        running(before.relations, ForAll(None), Money(1.0, 0.0), ORIGIN, AS_OF), before, after, AS_OF
    )
    assert came["renewals"].tolist() == [12] and came["value"].tolist() == [
        110.0
    ]  # all but that of 15 August


def test_forecasts_hold_what_came_and_simple_rules_do_not(made):
    one = made.latest
    for name in ("renewals", "value", "running"):
        sd = (one.predicted[name].high - one.predicted[name].low) / 3.29  # nine times in ten
        assert one.actual[name] == pytest.approx(one.predicted[name].value, abs=4 * sd)
        assert one.predicted[name].kind == "outcome" and one.expected[name].kind == "expected"
        assert (
            one.predicted[name].high - one.predicted[name].low
            > one.expected[name].high - one.expected[name].low
        )
        assert one.error(name) < min(one.error(name, rule) for rule in one.baselines)
    assert (
        one.by_period["months"].tolist() == [1, 12]
        and one.by_period["actual"].sum() == one.actual["renewals"]
    )
    assert one.by_period["expected"].sum() == pytest.approx(one.expected["renewals"].value, rel=1e-9)


def test_simple_rules_by_hand():
    said = ContractsSection(source="c")
    # known at the origin: 40 contracts of six months with five renewals each, ten of which ended at the sixth
    rows = [
        (f"C{k}", f"k{k}", "2022-12-15", "2023-06-14" if k < 10 else None, "p", 10.0, "month")
        for k in range(40)
    ]
    rows += [(f"D{k}", f"d{k}", "2023-01-15", "2023-03-14", "p", 10.0, "month") for k in range(10)]
    short = replace_days(30)
    found = back_test(pd.DataFrame(rows, columns=COLUMNS), said, MODELS, short, **ASKED).latest
    made, ends = 30 * 6 + 10 * 5 + 10 * 1, 20
    assert found.end == date(2023, 7, 30) and found.relations == 30
    assert found.baselines["constant_rate"]["renewals"] == pytest.approx(30 * made / (made + ends))
    assert found.baselines["nobody_leaves"] == {"renewals": 30.0, "value": 300.0, "running": 30.0}
    assert found.actual == {"renewals": 30.0, "value": 300.0, "running": 30.0}


def replace_days(days) -> BacktestSection:
    return SECTION.model_copy(update={"horizon_days": days})


def test_nothing_of_later_is_used():
    rows = table([("m", 1, 400, 1.0, 9.0)], seed=1)
    later = rows["end"] > pd.Timestamp(ORIGIN)
    other = rows.assign(end=rows["end"].where(~later, rows["end"] + pd.DateOffset(months=1)))
    other["end"] = other["end"].where(other["end"] < pd.Timestamp(AS_OF))
    said = ContractsSection(source="c")
    one, two = (back_test(frame, said, MODELS, SECTION, **ASKED).latest for frame in (rows, other))
    assert one.expected == two.expected and one.predicted == two.predicted and one.actual != two.actual


class TestVerdict:
    def judged(self, made, **actual):
        one = made.latest
        return ContractBacktests((replace(one, actual=one.actual | actual),)).judged(SECTION)

    def test_good_where_all_rules_are_met(self, made):
        assert made.judged(SECTION).latest.verdict.level == "good"
        assert {check.status for check in checks(made.judged(SECTION))} == {"pass"}

    @pytest.mark.parametrize("share, level", [(1.07, "fair"), (1.2, "poor"), (0.85, "poor")])
    def test_by_the_thresholds_of_the_study(self, made, share, level):
        forecast = made.latest.expected["value"].value
        found = self.judged(made, value=forecast / share)
        assert found.latest.verdict.level == level and "evenue of renewals was" in found.latest.verdict.reason
        (check,) = [one for one in checks(found) if one.id == "contract_backtest.bias_value"]
        assert check.status == {"fair": "review", "poor": "fail"}[level] and check.recommendation

    def test_a_rule_that_did_better_is_said(self, made):
        rate = made.latest.baselines["constant_rate"]["renewals"]
        found = self.judged(made, renewals=rate).latest.verdict
        (lost,) = [one for one in found.findings if one.rule == "baselines_beaten"]
        assert lost.level == "fair" and "with one rate of retention for all" in lost.message

    def test_nothing_came(self, made):
        assert self.judged(made, renewals=0.0, value=0.0, running=0.0).latest.verdict.level == "poor"


def test_an_origin_without_anything_to_learn_from_is_said():
    rows = table([("m", 1, 30, 1.0, 9.0)], seed=1)
    rows = rows[rows["start"] > pd.Timestamp(ORIGIN)]
    found = back_test(rows, ContractsSection(source="c"), MODELS, SECTION, **ASKED)
    assert not found.tried and found.latest is None and len(found.refused) == 1
    (check,) = checks(found)
    assert check.status == "review" and "2023-06-30" in check.message
    assert "could not be tried" in words.exhibits(found, "EUR")[0].text


def test_saving_loses_nothing(made, tmp_path):
    made.save(tmp_path)
    again = ContractBacktests.load(tmp_path)
    assert again.latest.expected == made.latest.expected and again.latest.actual == made.latest.actual
    pd.testing.assert_frame_equal(again.latest.by_period, made.latest.by_period, check_dtype=False)
    assert again.judged(SECTION).latest.verdict == made.judged(SECTION).latest.verdict


def test_words_are_made_of_the_numbers(made):
    found = made.judged(SECTION)
    (opening, shown) = words.exhibits(found, "EUR")
    assert (
        "**The forecast was good.**" in opening.text
        and shown.frame["actual"].iloc[0] == found.latest.actual["renewals"]
    )
    assert words.exhibits(None, "EUR") == [] and words.as_results(None) == []
    assert words.as_results(found)[0]["verdict"] == "good"


@pytest.mark.slow
def test_intervals_hold_what_came():
    # 60 worlds with truths from the priors: intervals of 90 % that held 62 % would be found with 95 % power
    quick = MODELS.model_copy(update={"sampler": MODELS.sampler.model_copy(update={"draws": 150})})
    worlds, hits = 60, {"renewals": 0, "value": 0, "running": 0}
    for seed in range(worlds):
        rng = np.random.default_rng([8, seed])
        truth = get("sbg").from_coordinates(np.array([rng.normal(-1.5, 0.7), rng.normal(1.0, 0.7)]))
        rows = table([("m", 1, 300, *truth)], seed=seed)
        one = back_test(rows, ContractsSection(source="c"), quick, SECTION, **ASKED).latest
        for name in hits:
            made: Estimate = one.predicted[name]
            hits[name] += made.low <= one.actual[name] <= made.high
    print(hits)
    assert not any(excluded(count, worlds, 0.9) for count in hits.values())
