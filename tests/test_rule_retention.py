"""Retention by rule: golden gaps to sBG, closed forms, and what is refused."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from survivors import BLUE_APRON, spells

from clvkit.contract_value import contract_value
from clvkit.contracts import Contracts, contracts
from clvkit.contracts_section import ContractsSection
from clvkit.processes import get
from clvkit.rule_retention import AsFit, RateRule, RenewalRule, RetentionRuleSection, one_rate, rules_of
from clvkit.rule_value import ONE_RATE, contract_rules, purchases_by_hiatus, purchases_by_rule
from clvkit.value import Terms

AS_OF = date(2024, 12, 31)
TERMS = Terms(margin=0.3, annual_discount_rate=0.1, horizon_days=3 * 365.25)


def blue_apron() -> pd.DataFrame:
    renewals, ended, n = spells(BLUE_APRON)
    return pd.DataFrame({"renewals": renewals, "ended": ended, "entry": 0, "n": n})


def test_one_rate_has_88_of_10_000_customers_of_blue_apron_left_at_month_24_and_sbg_1137():
    """The teaching file of tests/survivors.py; sBG at its estimates (0.7104, 1.3072)."""
    rules = contract_rules(None, blue_apron(), 1)
    assert list(rules) == [ONE_RATE]
    assert round(10_000 * float(rules[ONE_RATE].survival(None, 24))) == 88
    assert 10_000 * get("sbg").survival((0.7104, 1.3072), 24) == pytest.approx(1137, abs=0.5)


def test_rates_by_age_hold_from_their_first_age_on_and_are_interpolated_geometrically():
    rule = RateRule.by_age({1: 0.5, 2: 0.8, 4: 0.9})
    yearly = 12 * np.arange(6)
    np.testing.assert_allclose(rule.survival(yearly), [1, 0.5, 0.4, 0.32, 0.288, 0.2592])
    assert rule.survival(6) == pytest.approx(0.5**0.5)
    assert rule.survival(36, 12) == pytest.approx(0.64)
    assert rule.label == "Rates by age, 50 % at 1, 80 % at 2 to 3, 90 % from 4 on (a year)"


@pytest.mark.parametrize("made", [0, 1, 5])
def test_renewals_to_come_at_one_rate_are_a_geometric_series(made):
    """(r + r²/(1+d) + …) = r(1+d)/(1+d−r)."""
    rule, d = RenewalRule(RateRule.constant(0.8, "month"), 1), 0.01
    assert rule.derl(None, [made], d)[0, 0] == pytest.approx(0.8 * 1.01 / (1.01 - 0.8))
    assert rule.derl(None, [made], d, 3)[0, 0] == pytest.approx(0.8 + 0.64 / 1.01 + 0.512 / 1.01**2)
    assert rule.derl(None, [made], 0.0, 0)[0, 0] == 0


def test_renewals_to_come_without_end_are_those_of_a_far_horizon():
    rule = RenewalRule(RateRule.by_age({1: 0.5, 3: 0.8}, "quarter"), 1)
    made = np.array([0, 4, 30])
    np.testing.assert_allclose(rule.derl(None, made, 0.02), rule.derl(None, made, 0.02, 2000), rtol=1e-12)
    assert np.isinf(RenewalRule(RateRule.constant(1.0), 1).derl(None, [0], 0.0)).all()


def test_simulated_renewals_come_to_the_expected_number():
    rule, rng = RenewalRule(RateRule.by_age({1: 0.5, 3: 0.9}, "month"), 1), np.random.default_rng(5)
    made, ended = rule.simulate_future(None, np.zeros(100_000, int), 6, rng)
    assert made.mean() == pytest.approx(rule.derl(None, [0], 0.0, 6)[0, 0], abs=0.03)
    assert ((made < 6) == ended).all()


SECTION = ContractsSection(source="c")


def held(months) -> Contracts:
    """Running contracts by the month, begun on the first so many months ago, 10 a month each."""
    start = [pd.Timestamp("2025-01-01") - pd.DateOffset(months=m) for m in months]
    names = [f"c{k}" for k in range(len(months))]
    table = {
        "contract": names,
        "customer": names,
        "start": start,
        "end": pd.NaT,
        "plan": "one",
        "fee": 10.0,
        "currency": "EUR",
    }
    return contracts(pd.DataFrame(table), SECTION, AS_OF)


def test_contracts_are_valued_by_a_rule_as_by_a_model():
    from clvkit.value import ValueSection

    value = ValueSection(margin=0.5, annual_discount_rate=0.1, horizon_months=12)
    rule = AsFit(RenewalRule(RateRule.constant(0.9, "month"), 1))
    made = contract_value(
        rule, held([1, 3, 11]), SECTION, value, as_of=AS_OF, currency="EUR", days_per_year=365.25
    )
    d = 1.1 ** (1 / 12) - 1
    each = sum(0.9**k / (1 + d) ** (k - 1) for k in range(1, 13))
    assert made.equity.value == pytest.approx(
        3 * 5 * each, rel=0.01
    )  # the next renewal is up to a month ahead
    assert made.equity.low is None


def test_a_rule_values_purchases_by_the_margin_of_the_time_that_it_says_customers_were_there():
    people = pd.DataFrame(
        {"T_days": [365.25, 730.5], "recency_days": [300, 100], "spend_minor": [10_000, 30_000], "n": [2, 1]}
    )
    found = purchases_by_rule(RateRule.constant(1.0), people, TERMS, 100)
    # nobody leaves: 500 of repeat revenue in four customer-years, times three customers over three discounted years
    force = np.log(1.1)
    assert found.customers == 3
    assert found.value == pytest.approx(0.3 * 500 / 4 * 3 * (1 - 1.1**-3) / force, rel=1e-4)
    half = purchases_by_rule(RateRule.constant(0.5), people, TERMS, 100)
    assert half.customers == pytest.approx(2 * 0.5 + 0.25, rel=1e-9)
    assert half.value < found.value


def test_a_hiatus_gives_up_who_is_silent_and_lets_others_go_on_for_good():
    people = pd.DataFrame(
        {"T_days": [100, 100], "recency_days": [95, 10], "spend_minor": [10_000, 99_000], "n": [1, 4]}
    )
    found = purchases_by_hiatus(30, people, TERMS, 100)
    assert found.customers == 1
    assert found.value == pytest.approx(0.3 * 1.0 * (1 - 1.1**-3) / (np.log(1.1) / 365.25))


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({}, "states no rule"),
        ({"constant": 80}, "80 % is written 0.8"),
        ({"by_age": {2: 0.8}}, "must name the first age, 1"),
        ({"by_age": {1: 1.2}}, "must be a fraction above 0"),
    ],
)
def test_what_is_no_rule_is_refused(given, rule):
    with pytest.raises(ValueError, match=rule):
        RetentionRuleSection(**given)


def test_each_rule_of_a_study_stands_by_itself():
    section = RetentionRuleSection(constant=0.8, by_age={1: 0.6, 2: 0.9}, hiatus_days=90, period="quarter")
    assert [rule.name for rule in rules_of(section)] == ["constant", "by_age"]
    assert rules_of(section)[0].survival(3) == pytest.approx(0.8)
    assert rules_of(None) == []


def test_the_rules_stand_beside_the_process_with_the_gap_in_value(tmp_path):
    from small_company import write_small_study

    from clvkit.chapters import rule_retention as chapter
    from clvkit.publish.figures import svg
    from clvkit.study import load_study
    from clvkit.workbench import Workbench

    rule = {"constant": 0.7, "by_age": {1: 0.5, 2: 0.8}, "hiatus_days": 120}
    study = load_study(write_small_study(tmp_path, retention={"rule": rule}, models={"sampled": []}))
    run = Workbench(study, study_folder=tmp_path / "s", folder=tmp_path / "s" / "draft", stem="x")
    curves, values = chapter.purchases(run)
    assert svg(curves).startswith("<") and "an assumption, not an estimate" in curves.caption
    frame = values.frame
    assert frame["kind"].tolist() == ["estimate"] + ["an assumption, not an estimate"] * 3
    equity = run.valuation().estimates["customer_equity"].value
    assert frame["value"].iloc[0] == equity
    np.testing.assert_allclose(frame["gap"].iloc[1:].astype(float), frame["value"].iloc[1:] - equity)
    by_month = curves.frame.set_index("months")
    # Pareto/NBD: (β/(β+t))^s of new customers
    fit = run.fit()
    s, beta = fit.mle[2:]
    months = 12 * 30.4375 / fit.unit_days
    assert by_month.loc[12, "model"] == pytest.approx((beta / (beta + months)) ** s, rel=1e-6)
    assert by_month.loc[24, "constant"] == pytest.approx(0.49)
    plain = load_study(write_small_study(tmp_path / "b"))
    (sentence,) = chapter.purchases(
        Workbench(plain, study_folder=tmp_path / "t", folder=tmp_path / "t", stem="x")
    )
    assert "assumes no retention by rule" in sentence.text


def test_without_a_renewal_due_there_is_no_rate():
    with pytest.raises(ValueError, match="no renewal was due"):
        one_rate(np.array([0]), np.array([False]))


def test_the_gap_of_one_rate_to_sbg_is_shown_on_blue_apron(tmp_path):
    """A study of the table of survivors: of 10,000 at month 24 one rate leaves 88, sBG 1,137, and the value differs by that."""
    import yaml

    from clvkit.chapters import contract_value as values
    from clvkit.chapters import rule_retention as words
    from clvkit.study import load_study
    from clvkit.workbench import Workbench

    rows = "".join(f"{month},{number},60\n" for month, number in enumerate(BLUE_APRON))
    (tmp_path / "survivors.csv").write_text("month,survivors,fee\n" + rows, encoding="utf-8")
    survivors = {"holds": "survivors", "path": "survivors.csv", "account_space": "fees", "extracted": "2018-01-01",
                 "fields": {"age": "month", "survivors": "survivors", "fee": "fee"}}  # fmt: skip
    study = {"name": "kits", "title": "Kits", "currency": "USD", "as_of": "2018-01-01", "business_model": "contractual",
             "ledger": {"sources": {"survivors": survivors, "fees": {"bills_of": "survivors"}}},
             "contracts": {"source": "survivors"}, "value": {"margin": 1.0, "annual_discount_rate": 0.1}}  # fmt: skip
    (tmp_path / "kits.yml").write_text(yaml.safe_dump(study), encoding="utf-8")
    folder = tmp_path / "reports"
    bench = Workbench(
        load_study(tmp_path / "kits.yml"), study_folder=folder, folder=folder / "draft", stem="04b_contracts"
    )
    found = values.of_run(bench)
    figure, table = words.contracts(bench, found)
    sbg = 10_000 * float(get("sbg").survival(found[0].sbg.mle, 24))
    assert sbg == pytest.approx(1137, abs=3)
    shown = table.frame.set_index("what")["renewal_24"]
    assert round(shown.iloc[1]) == 88 and "88" in figure.title
    # the figure beside the other is the model that is used, as a mean over its draws
    used = 10_000 * float(found[0].used.model.survival(found[0].used.mle, 24))
    assert shown.iloc[0] == pytest.approx(used, rel=0.03) and shown.iloc[0] > 10 * shown.iloc[1]
    assert table.frame["gap"].iloc[1] < 0
