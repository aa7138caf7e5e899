"""Contracts that may end on any day: against closed forms of a constant hazard, and on simulated ones."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from clvkit.contract_continuous import ContinuousFits, fit_continuous
from clvkit.contract_scores import contract_scores, contract_sensitivity
from clvkit.contract_value import ContractValue, contract_value
from clvkit.contracts import contracts
from clvkit.contracts_section import ContractsSection
from clvkit.errors import FitError
from clvkit.parametric_survival import ParametricFit
from clvkit.value import ValueSection

AS_OF, YEAR = date(2024, 6, 30), 365.25
SECTION = ContractsSection(source="c", time="continuous")
VALUE = ValueSection(margin=0.5, annual_discount_rate=0.1, horizon_months=24, posterior_draws=50)
MONEY = {"as_of": AS_OF, "currency": "EUR", "days_per_year": YEAR}
HAZARD = 1 / 300  # a day
DELTA = np.log(1.1) / YEAR
HORIZON = (date(2026, 6, 30) - AS_OF).days
COLUMNS = ["contract", "customer", "start", "end", "plan", "fee", "period"]


def constant(hazard=HAZARD) -> ContinuousFits:
    """Everybody has the same hazard on every day: a Weibull lifetime of scale 1."""
    fit = ParametricFit("weibull", (), np.array([-np.log(hazard), 0.0]), np.zeros((2, 2)), 0.0, 1)
    return ContinuousFits(fit, {"weibull": 0.0}, YEAR)


def held(*rows, section=SECTION):
    filled = [(*row, *[None] * (len(COLUMNS) - len(row))) for row in rows]
    return contracts(pd.DataFrame(filled, columns=COLUMNS), section, AS_OF)


def days(hazard, delta, horizon) -> float:
    """Discounted days under contract within a horizon, at a constant hazard."""
    return (1 - np.exp(-(hazard + delta) * horizon)) / (hazard + delta)


MONTH = YEAR / 12
PLAIN = ("C1", "a", "2024-01-15", None, "p", 10.0, "month")


def test_a_constant_hazard_in_closed_form():
    found = contract_value(constant(), held(PLAIN), SECTION, VALUE, **MONEY)
    assert found.equity.value == pytest.approx(0.5 * 10 / MONTH * days(HAZARD, DELTA, HORIZON), rel=1e-6)
    assert found.lifetime.value == pytest.approx(0.5 * 10 / MONTH / (HAZARD + DELTA), rel=1e-6)
    assert (
        found.renewals.value == pytest.approx(days(HAZARD, 0.0, HORIZON), rel=1e-6)
        and found.renewals.unit == "days"
    )
    assert found.how == "Weibull lifetime" and found.elasticity is None


def test_fees_of_a_year_and_of_a_month_come_to_the_same():
    year = contract_value(constant(), held((*PLAIN[:5], 120.0, "year")), SECTION, VALUE, **MONEY)
    assert year.equity.value == pytest.approx(
        contract_value(constant(), held(PLAIN), SECTION, VALUE, **MONEY).equity.value, rel=1e-12
    )


def test_days_of_notice_are_sure():
    section = SECTION.model_copy(update={"notice_days": 90})
    found = contract_value(constant(), held(PLAIN, section=section), section, VALUE, **MONEY)
    rest = days(HAZARD, DELTA, HORIZON - 90)
    sure = days(0.0, DELTA, 90)
    assert found.equity.value == pytest.approx(
        5 / MONTH * (sure + np.exp(-90 * DELTA) * rest), rel=1e-3
    )  # a day, not a moment
    assert found.sure.value == pytest.approx(5 / MONTH * sure, rel=1e-3)


def test_an_announced_end_is_believed():
    found = contract_value(constant(), held((*PLAIN[:3], "2024-07-30", *PLAIN[4:])), SECTION, VALUE, **MONEY)
    assert found.renewals.value == 30 and found.equity.value == pytest.approx(found.sure.value)


def test_luck_of_one_contract():
    # of a time to an end at a constant hazard, cut at a horizon, undiscounted: E T² = 2 ∫ t S(t) dt
    free = VALUE.model_copy(update={"annual_discount_rate": 0.0, "posterior_draws": 4000, "margin": 1.0})
    rows = [(f"C{k}", f"k{k}", *PLAIN[2:]) for k in range(400)]
    found = contract_value(constant(), held(*rows), SECTION, free, **MONEY)
    t = np.linspace(0, HORIZON, 200_001)
    stays = np.exp(-HAZARD * t)
    variance = 2 * np.trapezoid(t * stays, t) - np.trapezoid(stays, t) ** 2
    assert found.outcome_draws.std() == pytest.approx(10 / MONTH * np.sqrt(400 * variance), rel=0.06)


def test_customers_add_up_and_a_higher_hazard_costs():
    rows = held(
        *[(f"C{k}", f"k{k}", f"2023-0{1 + k % 9}-15", None, "p", 5.0 + k, "month") for k in range(30)]
    )
    value = contract_value(constant(), rows, SECTION, VALUE, **MONEY)
    each = contract_scores(constant(), rows, SECTION, VALUE, **MONEY)
    assert each["clv_contracts"].sum() == pytest.approx(value.equity.value, rel=1e-9)
    moved = contract_sensitivity(constant(), rows, SECTION, VALUE, 0.1, **MONEY).set_index("driver")
    more = contract_value(constant(1.1 * HAZARD), rows, SECTION, VALUE, **MONEY)
    assert moved.loc["hazard", "equity_up"] == pytest.approx(more.equity.value, rel=1e-9)


def simulated(count, seed, section=SECTION):
    rng = np.random.default_rng(seed)
    start = pd.Timestamp("2021-01-01") + pd.to_timedelta(rng.integers(0, 1000, count), unit="D")
    last = start + pd.to_timedelta(np.ceil(400 * rng.weibull(0.8, count)) - 1, unit="D")
    end = pd.Series(last).where(pd.Series(last) < pd.Timestamp(AS_OF))
    names = [f"k{k}" for k in range(count)]
    frame = pd.DataFrame(
        {"contract": names, "customer": names, "start": start, "end": end, "plan": "p", "fee": 10.0}
    )
    return contracts(frame, section, AS_OF)


def test_truth_is_found_and_kept(tmp_path):
    fits = fit_continuous(simulated(4000, 0), SECTION, AS_OF, YEAR)
    assert fits.fit.family == "weibull" and set(fits.aic) == {"weibull", "lognormal", "loglogistic"}
    sd = np.sqrt(np.diag(fits.fit.covariance))
    np.testing.assert_array_less(np.abs(fits.fit.estimates - [np.log(400), np.log(1 / 0.8)]), 4 * sd)
    fits.save(tmp_path)
    again = ContinuousFits.load(tmp_path)
    np.testing.assert_array_equal(again.posterior(20), fits.posterior(20))
    value = contract_value(again, simulated(200, 1), SECTION, VALUE, **MONEY)
    value.save(tmp_path / "value")
    assert (
        ContractValue.load(tmp_path / "value").how == "Weibull lifetime"
        and value.equity.low < value.equity.high
    )


def test_late_entry_is_taken_as_such():
    late = SECTION.model_copy(update={"observed_from": date(2023, 6, 30)})
    every = simulated(4000, 2, late)
    gone = every.relations["end"] < pd.Timestamp("2023-06-30")
    from dataclasses import replace

    fits = fit_continuous(replace(every, relations=every.relations[~gone]), late, AS_OF, YEAR)
    sd = np.sqrt(np.diag(fits.fit.covariance))
    if fits.fit.family == "weibull":
        np.testing.assert_array_less(np.abs(fits.fit.estimates - [np.log(400), np.log(1 / 0.8)]), 4 * sd)
    naive = fit_continuous(replace(every, relations=every.relations[~gone]), SECTION, AS_OF, YEAR)
    assert naive.fit.survival(365.0)[0] > fits.fit.survival(365.0)[0] + 0.1


def test_where_nobody_left_there_is_nothing_to_learn():
    with pytest.raises(FitError):
        fit_continuous(held(PLAIN), SECTION, AS_OF, YEAR)
