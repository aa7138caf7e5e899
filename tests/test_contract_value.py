"""What running contracts are worth: against closed forms, brute force, and what came of simulated ones."""

from datetime import date
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from clvkit import numbers
from clvkit.chapters import contract_value as words
from clvkit.contract_models import ContractFits, PeriodFits
from clvkit.contract_value import ContractValue, contract_value, fit_both, period_days
from clvkit.contracts import contracts
from clvkit.contracts_fit import fit_contracts
from clvkit.contracts_section import ContractsSection
from clvkit.estimate import Estimate
from clvkit.models_section import ModelsSection, SamplerSection
from clvkit.processes import get
from clvkit.value import ValueSection

AS_OF, YEAR = date(2024, 6, 30), 365.25
SECTION = ContractsSection(source="c")
MODELS = ModelsSection(sampler=SamplerSection(draws=300, tune=300, chains=2))
VALUE = ValueSection(margin=0.5, annual_discount_rate=0.1, horizon_months=24, posterior_draws=200)
MONEY = {"as_of": AS_OF, "currency": "EUR", "days_per_year": YEAR}


def table(count=1500, seed=0, churn=(1.0, 12.0), fee=10.0, until="2024-06-30") -> pd.DataFrame:
    """Monthly contracts begun over four years, each with a churn probability of its own."""
    rng = np.random.default_rng(seed)
    start = pd.Timestamp("2020-07-01") + pd.to_timedelta(rng.integers(0, 1430, count), unit="D")
    lasts = np.minimum(rng.geometric(np.maximum(rng.beta(*churn, count), 1e-6)), 120)
    ends = [
        day + pd.DateOffset(months=int(n)) - pd.Timedelta(days=1) for day, n in zip(start, lasts, strict=True)
    ]
    end = pd.Series(ends).where(pd.Series(ends) < pd.Timestamp(until))
    return pd.DataFrame({"contract": np.arange(count).astype(str), "customer": np.arange(count).astype(str), "start": start,
                         "end": end, "plan": rng.choice(["basic", "plus"], count), "fee": fee, "currency": "EUR"})  # fmt: skip


@pytest.fixture(scope="module")
def known():
    held = contracts(table(), SECTION, AS_OF)
    return held, fit_both(held, SECTION, MODELS, YEAR)


def test_the_simpler_model_is_used_where_nothing_speaks_against_it(known):
    _, fits = known
    assert fits.used is fits.sbg and fits.ratio[1] > 0.05
    alpha, beta = fits.sbg.mle
    assert alpha / (alpha + beta) == pytest.approx(1 / 13, rel=0.1)


def test_a_chance_that_changes_with_tenure_is_found():
    rng, model = np.random.default_rng(1), get("bdw")
    start = pd.Timestamp("2020-07-01") + pd.to_timedelta(rng.integers(0, 1430, 4000), unit="D")
    most = ((pd.Timestamp(AS_OF) - start).days // 31).to_numpy()
    made, ended = model.simulate(np.array([1.0, 9.0, 1.7]), most, rng)
    cells = pd.DataFrame({"renewals": made, "ended": ended, "entry": 0, "n": 1})
    fits = [
        fit_contracts(cells, MODELS, model=name, period_days=30.4, sample=False) for name in ("sbg", "bdw")
    ]
    both = ContractFits({1: PeriodFits(1, 4000, int(ended.sum()), *fits)})
    assert both.ratio[1] < 1e-4 and both.used is both.bdw


def test_value_is_what_a_sum_over_relations_gives(known):
    held, fits = known
    found = contract_value(fits.sbg, held, SECTION, VALUE, **MONEY)
    running = held.relations[~held.relations["ended"]]
    rate, draws, total = 1.1 ** (1 / 12) - 1, fits.sbg.posterior(200), np.zeros(200)
    for one in running.itertuples():
        following = one.start + pd.DateOffset(months=int(one.renewals) + 1)
        ahead = (following - pd.Timestamp(AS_OF)).days / period_days(SECTION, YEAR)
        k = np.arange(1, 25)
        stays = np.stack(
            [fits.sbg.model.survival(draws, one.renewals + step, one.renewals) for step in k], axis=-1
        )
        total += 0.5 * 10.0 * (stays * (1 + rate) ** (1 - k)).sum(axis=-1).reshape(200) * (1 + rate) ** -ahead
    assert found.equity.value == pytest.approx(total.mean(), rel=1e-9)
    assert found.equity.low == pytest.approx(np.quantile(total, 0.05), rel=1e-9)
    assert found.by_plan["value"].sum() == pytest.approx(found.equity.value, rel=1e-12)
    assert found.by_tenure["value"].sum() == pytest.approx(found.equity.value, rel=1e-12)
    assert found.by_plan["relations"].sum() == len(running) and found.lifetime.value > found.equity.value


def test_residual_value_rises_with_tenure(known):
    held, fits = known
    mean = contract_value(fits.sbg, held, SECTION, VALUE, **MONEY).by_tenure["mean"]
    assert mean.is_monotonic_increasing


def test_what_may_come_has_the_same_mean_and_is_less_sure(known):
    held, fits = known
    value = contract_value(fits.sbg, held, SECTION, VALUE, **MONEY, seed=3)
    one, other = value.equity, value.outcome
    error = (other.high - other.low) / 3.29 / np.sqrt(VALUE.posterior_draws)
    assert abs(other.value - one.value) < 4 * error
    assert other.high - other.low > one.high - one.low and other.kind == "outcome"
    assert contract_value(fits.sbg, held, SECTION, VALUE, **MONEY, seed=3).outcome == other


def test_who_surely_stays_surely_pays():
    """An announced end leaves nothing to luck: the outcome is the expectation, to the cent."""
    row = {
        "contract": "C1",
        "customer": "a",
        "plan": "p",
        "fee": 10.0,
        "currency": "EUR",
        "start": "2024-01-15",
    }
    fit = fit_contracts(
        contracts(table(), SECTION, AS_OF).cells(), MODELS, model="sbg", period_days=30.4, sample=True
    )
    held = contracts(pd.DataFrame([row | {"end": "2024-12-14"}]), SECTION, AS_OF)
    found = contract_value(fit, held, SECTION, VALUE, **MONEY)
    assert found.outcome.low == pytest.approx(found.outcome.high) == pytest.approx(found.equity.value)


def test_an_announced_end_is_believed():
    row = {"contract": "C1", "customer": "a", "plan": "p", "fee": 10.0, "currency": "EUR"}
    held = contracts(table(), SECTION, AS_OF)
    fit = fit_contracts(held.cells(), MODELS, model="sbg", period_days=30.4, sample=False)
    for end, renewals in (("2024-07-14", 0), ("2024-08-14", 1), ("2024-12-14", 5)):
        frame = pd.DataFrame([row | {"start": "2024-01-15", "end": end}])
        one = contract_value(fit, contracts(frame, SECTION, AS_OF), SECTION, VALUE, **MONEY)
        assert one.renewals.value == pytest.approx(renewals)
        assert one.equity.value <= 5.0 * renewals and (one.equity.value > 4.7 * renewals or not renewals)


def test_who_has_left_or_pays_in_another_currency_is_in_no_value(known):
    _, fits = known
    frame = table(50)
    frame.loc[frame.index[:10], "currency"] = "USD"
    held = contracts(frame, SECTION, AS_OF)
    found = contract_value(fits.sbg, held, SECTION, VALUE, **MONEY)
    running = held.relations[~held.relations["ended"]]
    foreign = running["customer"].isin([str(k) for k in range(10)]).sum()
    assert found.unpriced == foreign and found.by_plan["relations"].sum() == len(running) - foreign


@pytest.mark.slow
def test_intervals_of_value_hold_what_is_expected_at_the_truth():
    # 40 worlds: intervals of 90 % that held 58 % would fail here with 95 % power
    held_it, rate = 0, 1.1 ** (1 / 12) - 1
    quick = ModelsSection(sampler=SamplerSection(draws=200, tune=200, chains=2))
    for seed in range(40):
        rng = np.random.default_rng([9, seed])
        truth = get("sbg").from_coordinates(np.array([rng.normal(-1.5, 0.7), rng.normal(1.0, 0.7)]))
        held = contracts(table(400, seed, tuple(truth)), SECTION, AS_OF)
        running = held.relations[~held.relations["ended"]]
        fit = fit_contracts(held.cells(), quick, model="sbg", period_days=30.4, sample=True)
        found = contract_value(fit, held, SECTION, VALUE, **MONEY)
        following = [one.start + pd.DateOffset(months=int(one.renewals) + 1) for one in running.itertuples()]
        ahead = (pd.DatetimeIndex(following) - pd.Timestamp(AS_OF)).days.to_numpy() / period_days(
            SECTION, YEAR
        )
        exact = (
            5.0 * (1 + rate) ** -ahead * get("sbg").derl(truth, running["renewals"].to_numpy(), rate, 24)
        ).sum()
        held_it += found.equity.low <= exact <= found.equity.high
    print(f"{held_it} of 40 intervals")
    assert held_it >= 29  # 28 or fewer of 40 have a probability below 0.1 % at 90 %


class TestWords:
    worth = SimpleNamespace(estimates={"customer_equity": Estimate(5000.0, 4000.0, 6000.0)}, currency="EUR")

    def said(self, known, billed):
        held, fits = known
        value = contract_value(fits.sbg, held, SECTION, VALUE, **MONEY)
        study = SimpleNamespace(currency="EUR", value=VALUE)
        return words.exhibits((fits, value, billed), self.worth, study), value

    def test_purchases_and_contracts_are_added_once(self, known):
        (first, *tables), value = self.said(known, False)
        assert (
            numbers.money(value.equity.value + 5000, "EUR") in first.text
            and "nothing is in it twice" in first.text
        )
        assert [one.name for one in tables] == [
            "contract_models",
            "contract_value_by_tenure",
            "contract_value_by_plan",
        ]
        assert tables[1].frame["value"].iloc[-1] == pytest.approx(value.equity.value)

    def test_bills_among_the_orders_are_not_added_again(self, known):
        (first, *_), _ = self.said(known, True)
        assert "must not be added" in first.text and "together" not in first.text

    def test_no_contracts_are_a_sentence(self):
        assert [one.text for one in words.exhibits("None.", self.worth, None)] == ["None."] and words.metrics(
            "None."
        ) == {}


def test_saving_loses_nothing(known, tmp_path):
    held, fits = known
    value = contract_value(fits.sbg, held, SECTION, VALUE, **MONEY)
    value.save(tmp_path / "value")
    fits.save(tmp_path / "fits")
    again, both = ContractValue.load(tmp_path / "value"), ContractFits.load(tmp_path / "fits")
    for name in ("equity", "lifetime", "renewals", "outcome", "unpriced"):
        assert getattr(again, name) == getattr(value, name)
    pd.testing.assert_frame_equal(again.by_tenure, value.by_tenure)
    assert both.used.name == "sbg" and both.ratio == pytest.approx(fits.ratio)
