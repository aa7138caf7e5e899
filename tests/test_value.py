"""Value is P(alive) × discounted expected purchases × expected margin, for every cell, draw and grouping."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from clvkit import processes, value
from clvkit.fitting import fit_process, fit_spend
from clvkit.models_section import ModelsSection
from clvkit.value import Future, Terms, ValueSection, pair, sweep

NAMES = ("bgnbd", "mbgnbd", "paretonbd")
TERMS, AS_IS = Terms(0.3, 0.10, 3 * 365.25), Future()


@pytest.fixture(scope="module")
def everybody(cdnow_cells):
    """One group for all cells."""
    return np.zeros(len(cdnow_cells), int)


@pytest.fixture(scope="module")
def worth(cdnow_fits, cdnow_cells, everybody):
    """Equity at the estimates under some terms and future."""

    def total(terms=TERMS, future=AS_IS, name="paretonbd", cells=cdnow_cells, minor=100, **fits):
        fit, spend = fits.get("fit", cdnow_fits[name]), fits.get("spend", cdnow_fits["gammagamma"])
        found = sweep(
            fit, spend, (fit.mle[None], spend.mle[None]), cells, [everybody], [(terms, future)], minor
        )
        return found[0][0].value.item()

    return total


@pytest.mark.parametrize("name", NAMES)
def test_three_factors_multiply(cdnow_fits, cdnow_cells, worth, name):
    fit, model = cdnow_fits[name], processes.get(name)
    x, t_x, T = (
        cdnow_cells[c].to_numpy() / u for c, u in (("frequency", 1), ("recency_days", 7), ("T_days", 7))
    )
    p, q, gamma = cdnow_fits["gammagamma"].mle
    mean_spend = p * (gamma + cdnow_cells["spend_minor"] / cdnow_cells["n"] / 100) / (p * x + q - 1)
    purchases = model.expected(fit.mle, x, T, 3 * 365.25 / 7, math.log(1.1) * 7 / 365.25)
    by_hand = np.sum(cdnow_cells["n"] * model.p_alive(fit.mle, x, t_x, T) * purchases * 0.3 * mean_spend)
    assert worth(name=name) == pytest.approx(by_hand, rel=1e-9)


def test_a_customer_just_acquired(cdnow_fits):
    """4.814492 discounted purchases (Fader & Hardie 2015, eq. 3.14; weeks of a 52-week year) at mean spend."""
    fit = replace(cdnow_fits["paretonbd"], mle=np.array([0.553, 10.578, 0.606, 11.669]))
    spend = replace(cdnow_fits["gammagamma"], mle=np.array([6.25, 3.74, 15.44]))
    new = pd.DataFrame({"frequency": [0], "recency_days": [0], "T_days": [0], "n": [1], "spend_minor": [0]})
    terms = Terms(0.4, 0.10, math.inf, days_per_year=364)
    found = sweep(
        fit, spend, (fit.mle[None], spend.mle[None]), new, [np.zeros(1, int)], [(terms, Future())], 100
    )
    assert found[0][0].value.item() == pytest.approx(0.4 * 6.25 * 15.44 / 2.74 * 4.814492, rel=2e-7)
    assert found[0][0].alive.item() == 1


def test_rates_are_annual_and_continuous():
    assert TERMS.force(365.25) == pytest.approx(0.0953102, abs=1e-7)  # ln 1.1
    assert TERMS.force(7.0) == pytest.approx(math.log(1.1) * 7 / 365.25, rel=1e-15)
    # 15 % a year on weekly data of 52 weeks: 0.0026877 (the BTYD manual rounds to 0.0027)
    assert Terms(1.0, 0.15, 1.0, days_per_year=364).force(7.0) == pytest.approx(0.0026877, abs=5e-8)
    assert Terms.of(ValueSection(margin=0.3, annual_discount_rate=0.1, horizon_months=36), 365.25) == TERMS


@pytest.mark.parametrize("name", NAMES)
def test_groups_add_up_in_any_grouping(cdnow_posteriors, cdnow_cells, everybody, name):
    draws = pair(cdnow_posteriors[name], cdnow_posteriors["gammagamma"], 40)
    rng = np.random.default_rng(1)
    groupings = [everybody, rng.integers(0, 7, len(cdnow_cells)), np.arange(len(cdnow_cells))]
    found = sweep(cdnow_posteriors[name], cdnow_posteriors["gammagamma"], draws, cdnow_cells, groupings,
                  [(TERMS, Future())], 100)[0]  # fmt: skip
    for totals in found:
        for each, whole in zip(
            (totals.alive, totals.purchases, totals.value),
            (found[0].alive, found[0].purchases, found[0].value),
            strict=True,
        ):
            assert each.shape[0] == 40
            np.testing.assert_allclose(each.sum(axis=1), whole[:, 0], rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_memory_is_bounded_and_results_do_not_notice(
    cdnow_posteriors, cdnow_cells, everybody, monkeypatch, name
):
    """In blocks of any size the same; ages are interpolated within a block, hence not to the last bit."""
    fit, spend = cdnow_posteriors[name], cdnow_posteriors["gammagamma"]
    draws = pair(fit, spend, 10)
    arguments = (fit, spend, draws, cdnow_cells, [everybody], [(TERMS, Future())], 100)
    whole = sweep(*arguments)[0][0].value
    for block in (1500, 7000):
        monkeypatch.setattr(value, "BLOCK", block)
        np.testing.assert_allclose(sweep(*arguments)[0][0].value, whole, rtol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_cells_in_any_order_and_grouping(cdnow_customers, cdnow_cells, cdnow_fits, worth, name):
    fit, spend = cdnow_fits[name], cdnow_fits["gammagamma"]
    shuffled = cdnow_customers.assign(spend_minor=cdnow_customers["n"] * cdnow_customers["spend_minor"])
    shuffled = shuffled.sample(frac=1, random_state=4)
    found = sweep(fit, spend, (fit.mle[None], spend.mle[None]), shuffled, [np.zeros(len(shuffled), int)],
                  [(TERMS, Future())], 100)[0][0]  # fmt: skip
    assert found.value.item() == pytest.approx(worth(name=name), rel=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_further_ahead_is_worth_more(worth, name):
    horizons = [
        worth(replace(TERMS, horizon_days=d), name=name) for d in (1e-6, 1, 30, 365, 3650, 36500, math.inf)
    ]
    assert np.all(np.diff(horizons) > 0)
    assert horizons[0] < 1e-4
    assert horizons[-2] == pytest.approx(horizons[-1], rel=1e-3)
    assert worth(replace(TERMS, annual_discount_rate=0.2), name=name) < worth(name=name)
    assert worth(replace(TERMS, annual_discount_rate=0.0), name=name) > worth(name=name)


def test_money_scales(worth, cdnow_spend_cells):
    assert worth(replace(TERMS, margin=0.6)) == pytest.approx(2 * worth(), rel=1e-13)
    assert worth(future=Future(spend=1.1)) == pytest.approx(1.1 * worth(), rel=1e-13)
    cents = fit_spend(cdnow_spend_cells, ModelsSection(), 1, sample=False)
    assert worth(spend=cents, minor=1) == pytest.approx(100 * worth(), rel=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_the_unit_of_time_does_not_matter(worth, cdnow_cells, name):
    fit = fit_process(name, cdnow_cells, ModelsSection(time_unit="year"), sample=False)
    assert worth(fit=fit) == pytest.approx(worth(name=name), rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_a_future_changes_the_future_only(cdnow_fits, cdnow_cells, everybody, worth, name):
    """P(alive) stays as the data left it; in Pareto/NBD the elasticity of the purchase rate is exactly 1."""
    fit, spend = cdnow_fits[name], cdnow_fits["gammagamma"]
    cases = [(TERMS, f) for f in (Future(), Future(rate=1.1), Future(hazard=1.1), Future(spend=1.1))]
    plain, faster, shorter, dearer = (
        found[0]
        for found in sweep(fit, spend, (fit.mle[None], spend.mle[None]), cdnow_cells, [everybody], cases, 100)
    )
    for other in (faster, shorter, dearer):
        np.testing.assert_array_equal(other.alive, plain.alive)
    assert shorter.value < plain.value < faster.value
    assert dearer.purchases == plain.purchases and shorter.purchases < plain.purchases
    gain = faster.value.item() / plain.value.item()
    assert gain == pytest.approx(1.1, rel=1e-13) if name == "paretonbd" else 1 < gain < 1.1


def test_purchases_without_end_are_not_a_number(cdnow_fits, cdnow_cells, everybody):
    fit, spend = cdnow_fits["paretonbd"], cdnow_fits["gammagamma"]
    terms = replace(TERMS, horizon_days=math.inf)
    found = sweep(
        fit, spend, (fit.mle[None], spend.mle[None]), cdnow_cells, [everybody], [(terms, Future())], 100
    )
    assert np.isnan(found[0][0].purchases).all() and np.isfinite(found[0][0].value).all()


def test_draws_of_both_posteriors_go_together(cdnow_posteriors, cdnow_fits):
    purchases, amounts = pair(cdnow_posteriors["paretonbd"], cdnow_posteriors["gammagamma"], 50)
    assert purchases.shape == (50, 4) and amounts.shape == (50, 3)
    purchases, amounts = pair(cdnow_fits["paretonbd"], cdnow_posteriors["gammagamma"], 50)
    np.testing.assert_array_equal(purchases, np.tile(cdnow_fits["paretonbd"].mle, (50, 1)))
    assert len(np.unique(amounts[:, 0])) == 50
    assert pair(cdnow_fits["paretonbd"], cdnow_fits["gammagamma"], 50)[0].shape == (1, 4)
