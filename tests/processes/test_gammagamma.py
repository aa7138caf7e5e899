"""Gamma-Gamma against its paper's formulas, and against what its story says."""

import closed_forms
import numpy as np
import pytest
from scipy.integrate import quad

from clvkit import processes

GAMMAGAMMA = processes.get("gammagamma")
CDNOW = np.array([6.249572, 3.744225, 15.443521])
WORLDS = [CDNOW, np.array([0.3, 1.5, 200.0]), np.array([40.0, 12.0, 3.0])]


def log_likelihood(parameters, x, spend, n=1.0):
    """Of all spend cells together, and of one customer of each."""
    x, spend = np.atleast_1d(x), np.atleast_1d(np.asarray(spend, float))
    F, whole = GAMMAGAMMA.prepare(x, spend, np.broadcast_to(n, x.shape))
    each, gradient = np.empty(x.size), np.empty(3)
    total = GAMMAGAMMA.evaluate(np.asarray(parameters), F, whole, gradient, np.empty(0), each)
    return total, each


@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_log_density_of_a_mean_spend(world):
    """From a cent once to a million over 600 purchases."""
    x = np.array([1, 1, 2, 7, 40, 600])
    spend = np.array([0.01, 35.0, 44.69, 516.19, 1400.0, 1e6])
    total, each = log_likelihood(world, x, spend, n=3.0)
    pairs = zip(x.tolist(), spend / x, strict=True)
    exact = [float(closed_forms.gammagamma_log_likelihood(world, k, mean)) for k, mean in pairs]
    np.testing.assert_allclose(each, exact, rtol=1e-12, atol=1e-11)
    assert total == pytest.approx(3 * sum(exact), rel=1e-12)


@pytest.mark.parametrize("x", [1, 7])
def test_density_of_a_mean_spend_integrates_to_one(x):
    density = lambda logs: np.exp(log_likelihood(CDNOW, x, x * np.exp(logs))[0] + logs)  # noqa: E731
    assert quad(density, -15, 25, limit=200)[0] == pytest.approx(1, abs=1e-8)


def test_expected_spend_is_affine_in_the_total():
    """Fader & Hardie (2013), eq. 5: a mean of the customer's own mean and the population's, weighted by x."""
    p, q, gamma = CDNOW
    x, spend = np.array([0, 1, 2, 29]), np.array([0.0, 11.77, 44.69, 900.0])
    base, slope = GAMMAGAMMA.expected_spend(CDNOW, x)
    weight = p * x / (p * x + q - 1)
    own = spend / np.maximum(x, 1)
    np.testing.assert_allclose(
        base + slope * spend, (1 - weight) * p * gamma / (q - 1) + weight * own, rtol=1e-14
    )
    draws_base, draws_slope = GAMMAGAMMA.expected_spend(np.array([CDNOW, WORLDS[1]]), x)
    assert draws_base.shape == draws_slope.shape == (2, 4)
    np.testing.assert_array_equal((draws_base[0], draws_slope[0]), (base, slope))


def test_a_mean_that_does_not_exist_is_infinite():
    base, slope = GAMMAGAMMA.expected_spend(np.array([6.0, 0.9, 15.0]), np.array([0, 1]))
    assert base[0] == np.inf and np.isfinite(base[1])
    assert np.isfinite(slope[1])


def test_mean_spend_of_a_made_up_population():
    """Over many purchases a customer's mean is p/ν: 4 standard errors, fixed seed."""
    rng = np.random.default_rng(1)
    p, q, gamma = CDNOW
    means = GAMMAGAMMA.simulate_means(CDNOW, np.full(200_000, 3), rng)
    assert means.mean() == pytest.approx(p * gamma / (q - 1), abs=4 * means.std() / np.sqrt(means.size))


def test_a_customers_rate_has_the_expected_spend_as_its_mean():
    """E[p/ν | x, total] is the expected spend: 4 standard errors, fixed seed."""
    rng, x, total = np.random.default_rng(2), np.full(200_000, 4), np.full(200_000, 300.0)
    per_purchase = CDNOW[0] / GAMMAGAMMA.draw_mean_rate(CDNOW, x, total, rng)
    base, slope = GAMMAGAMMA.expected_spend(CDNOW, x[:1])
    error = per_purchase.std() / np.sqrt(per_purchase.size)
    assert per_purchase.mean() == pytest.approx(base[0] + slope[0] * 300.0, abs=4 * error)
