"""Simulated customers do what the formulas say, and the fit finds the truth they were made with.

Seeds are fixed. A chi-square fails only where the stated distribution is excluded at 0.1 %, a mean where it
lies more than 4 standard errors off.
"""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from clvkit import processes
from clvkit.fitting import fit_process, fit_spend
from clvkit.models_section import ModelsSection

TRUTHS = {
    "bgnbd": (0.243, 4.414, 0.793, 2.426),
    "mbgnbd": (0.525, 6.183, 0.891, 1.614),
    "paretonbd": (0.553, 10.578, 0.606, 11.669),
}
EACH = pytest.mark.parametrize("name", TRUTHS)


@EACH
def test_counts_have_the_stated_distribution(name):
    model, customers = processes.get(name), 50_000
    drawn = model.simulate(TRUTHS[name], np.full(customers, 39.0), np.random.default_rng(11))
    counts = drawn.counts(customers)
    expected = customers * model.pmf(TRUTHS[name], np.arange(20), 39.0)
    expected = np.append(expected, customers - expected.sum())
    found = np.bincount(np.minimum(counts, 20), minlength=21)
    assert np.sum((found - expected) ** 2 / expected) < chi2.ppf(0.999, 20)
    error = counts.std() / np.sqrt(customers)
    assert counts.mean() == pytest.approx(model.mean(TRUTHS[name], 39.0), abs=4 * error)


@EACH
def test_purchases_come_in_order_and_within_the_time_observed(name):
    model, T = processes.get(name), np.random.default_rng(3).uniform(0, 60, 5000)
    drawn = model.simulate(TRUTHS[name], T, np.random.default_rng(4))
    assert np.all(np.diff(drawn.customer) >= 0)
    assert np.all((np.diff(drawn.time) > 0) | (np.diff(drawn.customer) > 0))
    assert np.all((drawn.time >= 0) & (drawn.time <= T[drawn.customer]))
    x, t_x = drawn.summary(5000)
    assert x.sum() == drawn.customer.size
    assert np.all((t_x == 0) == (x == 0))


@EACH
def test_the_past_of_simulated_customers_is_as_likely_as_stated(name):
    """P(alive) is calibrated: who is judged alive with p per cent buys again with p times the chance to."""
    model, customers = processes.get(name), 60_000
    drawn = model.simulate(TRUTHS[name], np.full(customers, 78.0), np.random.default_rng(5))
    past = drawn.time <= 39.0
    x, t_x = type(drawn)(drawn.customer[past], drawn.time[past]).summary(customers)
    later = drawn.counts(customers) - x
    forecast = model.conditional(TRUTHS[name], x, t_x, np.full(customers, 39.0), 39.0)
    for band in np.array_split(np.argsort(forecast, kind="stable"), 6):
        error = later[band].std() / np.sqrt(band.size)
        assert later[band].mean() == pytest.approx(forecast[band].mean(), abs=4 * error)


@EACH
def test_simulated_futures_have_the_conditional_mean(name):
    model, copies = processes.get(name), 20_000
    for x, t_x, T in ((0, 0.0, 39.0), (2, 30.43, 38.86), (10, 33.0, 39.0), (40, 38.0, 39.0)):
        history = (np.full(copies, v) for v in (x, t_x, T))
        drawn = model.simulate_future(TRUTHS[name], *history, 52.0, np.random.default_rng(x))
        bought = drawn.counts(copies)
        exact = model.conditional(TRUTHS[name], x, t_x, T, 52.0)[0]
        assert bought.mean() == pytest.approx(exact, abs=4 * bought.std() / np.sqrt(copies))
        discount = 0.02  # the moments matter too
        value = np.bincount(drawn.customer, np.exp(-discount * drawn.time), minlength=copies)
        exact = model.conditional(TRUTHS[name], x, t_x, T, 52.0, discount)[0]
        assert value.mean() == pytest.approx(exact, abs=4 * value.std() / np.sqrt(copies))


@EACH
def test_the_fit_finds_the_truth(name):
    """20,000 customers on continuous times, ages spread over 27 to 78 weeks: each estimate within 4 errors."""
    customers, rng = 20_000, np.random.default_rng(20)
    T = rng.integers(27 * 7, 78 * 7, customers) / 7
    x, t_x = processes.get(name).simulate(TRUTHS[name], T, rng).summary(customers)
    cells = pd.DataFrame({"frequency": x, "recency_days": 7 * t_x, "T_days": 7 * T, "n": 1})
    fit = fit_process(name, cells, ModelsSection(), sample=False)
    assert np.all(np.abs(fit.mle - TRUTHS[name]) < 4 * fit.se)
    assert np.all(fit.se < 0.6 * np.array(TRUTHS[name]))


def test_the_spend_fit_finds_the_truth():
    truth, rng = np.array([6.25, 3.74, 15.44]), np.random.default_rng(21)
    x = 1 + rng.poisson(2, 20_000)
    means = processes.get("gammagamma").simulate_means(truth, x, rng)
    cells = pd.DataFrame({"frequency": x, "spend_minor": 100 * x * means, "n": 1})
    fit = fit_spend(cells, ModelsSection(), 100, sample=False)
    assert np.all(np.abs(fit.mle - truth) < 4 * fit.se)
    assert np.all(fit.se < 0.1 * truth)


def test_the_same_seed_gives_the_same_customers():
    for name, truth in TRUTHS.items():
        once, again = (
            processes.get(name).simulate(truth, np.full(100, 39.0), np.random.default_rng(1))
            for _ in range(2)
        )
        np.testing.assert_array_equal(once.time, again.time)
