"""Gamma-Gamma whose scale depends on frequency: Gamma-Gamma at κ = 0, and its own story elsewhere."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.special import gammaln

from clvkit import processes
from clvkit.fitting import fit_spend
from clvkit.models_section import ModelsSection

GAMMAGAMMA, BY_FREQUENCY = (processes.get(name) for name in processes.SPEND)
CDNOW = np.array([6.249572, 3.744225, 15.443521])
RISING = np.array([*CDNOW, np.exp(0.4)])
OBSERVED = {"mean_spend": 35.0, "largest_spend": 300.0, "log_frequency": 1.1}


def log_likelihood(model, parameters, x, spend, n=1.0):
    x, spend = np.atleast_1d(x), np.atleast_1d(np.asarray(spend, float))
    gradient = np.empty(len(parameters))
    cells = model.prepare(x, spend, np.broadcast_to(n, x.shape))
    return model.evaluate(np.asarray(parameters, float), *cells, gradient, np.empty(0), np.empty(0)), gradient


def test_the_golden_likelihood_at_no_dependence(cdnow_spend_cells):
    """Fader & Hardie (2013) at all digits: -4055.917695; κ = 0 is that model, to the last bit."""
    x, spend = cdnow_spend_cells["frequency"].to_numpy(), cdnow_spend_cells["spend_minor"].to_numpy() / 100
    n = cdnow_spend_cells["n"].to_numpy(float)
    plain, slope = log_likelihood(GAMMAGAMMA, CDNOW, x, spend, n)
    here, gradient = log_likelihood(BY_FREQUENCY, [*CDNOW, 1.0], x, spend, n)
    assert here == plain == pytest.approx(-4055.917695, abs=1e-5)
    np.testing.assert_array_equal(gradient[:3], slope)


@pytest.mark.parametrize("x", [0, 1, 2, 29])
def test_everything_at_no_dependence_is_gamma_gamma(x):
    flat, spend = np.array([[*CDNOW, 1.0], [0.5, 0.9, 40.0, 1.0]]), np.array([x])
    for observed in (None, OBSERVED):
        np.testing.assert_allclose(
            BY_FREQUENCY.expected_spend(flat, spend, observed),
            GAMMAGAMMA.expected_spend(flat[:, :3], spend, observed),
            rtol=1e-14,
        )
    np.testing.assert_array_equal(
        BY_FREQUENCY.unknown_mean(flat, OBSERVED), GAMMAGAMMA.unknown_mean(flat[:, :3], OBSERVED)
    )


@pytest.mark.parametrize("parameters", [RISING, [*CDNOW, 0.6]])
@pytest.mark.parametrize("x", [1, 7])
def test_density_of_a_mean_spend_integrates_to_one(parameters, x):
    density = lambda logs: np.exp(log_likelihood(BY_FREQUENCY, parameters, x, x * np.exp(logs))[0] + logs)  # noqa: E731
    assert quad(density, -15, 25, limit=200)[0] == pytest.approx(1, abs=1e-8)


def test_amounts_over_the_power_are_gamma_gamma():
    """The definition: z (1 + x)^-κ is Gamma-Gamma, and a density carries the Jacobian."""
    x, spend = np.array([1, 3, 12]), np.array([20.0, 44.0, 900.0])
    level = (1.0 + x) ** 0.4
    found, _ = log_likelihood(BY_FREQUENCY, RISING, x, spend)
    plain, _ = log_likelihood(GAMMAGAMMA, CDNOW, x, spend / level)
    assert found == pytest.approx(plain - np.log(level).sum(), rel=1e-12)


def test_expected_spend_is_affine_and_on_the_curve():
    p, q, gamma = CDNOW
    x, spend = np.array([1, 2, 29]), np.array([11.77, 44.69, 900.0])
    base, slope = BY_FREQUENCY.expected_spend(RISING, x)
    level = (1.0 + x) ** 0.4
    np.testing.assert_allclose(
        base + slope * spend, level * p * (gamma + spend / level) / (p * x + q - 1), rtol=1e-12
    )
    draws, _ = BY_FREQUENCY.expected_spend(np.array([RISING, RISING]), x, OBSERVED)
    np.testing.assert_allclose(draws, [base, base], rtol=1e-12)


def test_who_never_bought_again_has_the_level_of_those_who_did_once():
    """And not 1 + 0 to the power of κ, where nobody's amounts were seen."""
    (never,), _ = BY_FREQUENCY.expected_spend(RISING, np.array([0]))
    p, q, gamma = CDNOW
    assert never == pytest.approx(2**0.4 * p * gamma / (q - 1), rel=1e-12)
    rng = np.random.default_rng(3)
    paid = p / BY_FREQUENCY.draw_mean_rate(RISING, np.zeros(200_000), 0.0, rng)
    assert paid.mean() == pytest.approx(never, abs=4 * paid.std() / np.sqrt(paid.size))


def test_an_unknown_mean_is_the_observed_one_at_the_observed_frequency():
    heavy, seen = np.array([2.0, 0.9, 30.0, np.exp(0.4)]), np.expm1(OBSERVED["log_frequency"])
    assert BY_FREQUENCY.unknown_mean(heavy, OBSERVED)
    base, slope = BY_FREQUENCY.expected_spend(heavy, np.array([seen, 0.0]), OBSERVED)
    own = 50.0
    assert base[0] + slope[0] * own * seen == pytest.approx(own, rel=1e-9)  # q <= 1: a customer's own average
    assert base[1] == pytest.approx(35.0 * (2 / (1 + seen)) ** 0.4, rel=1e-9)


def test_simulated_means_and_rates_have_the_expected_spend():
    """4 standard errors, fixed seeds."""
    x = np.full(200_000, 3)
    means = BY_FREQUENCY.simulate_means(RISING, x, np.random.default_rng(1))
    p, q, gamma = CDNOW
    assert means.mean() == pytest.approx(
        4**0.4 * p * gamma / (q - 1), abs=4 * means.std() / np.sqrt(means.size)
    )
    per_purchase = p / BY_FREQUENCY.draw_mean_rate(RISING, x, 300.0, np.random.default_rng(2))
    base, slope = BY_FREQUENCY.expected_spend(RISING, x[:1])
    error = per_purchase.std() / np.sqrt(per_purchase.size)
    assert per_purchase.mean() == pytest.approx(base[0] + slope[0] * 300.0, abs=4 * error)


@pytest.mark.parametrize("kappa", [-0.3, 0.0, 0.5])
def test_the_fit_finds_the_truth(kappa):
    """5,000 customers: every log parameter within 4 standard errors, with the posterior's mean beside it."""
    import pandas as pd

    rng, truth = np.random.default_rng(8), np.array([6.25, 3.74, 15.44, np.exp(kappa)])
    x = 1 + rng.geometric(0.3, 5000)
    spend = np.rint(100 * x * BY_FREQUENCY.simulate_means(truth, x, rng)).astype(int)
    cells = pd.DataFrame({"frequency": x, "spend_minor": spend, "n": 1})
    fit = fit_spend(cells, ModelsSection(), 100, model="by_frequency", sample=False)
    assert np.all(np.abs(np.log(fit.mle / truth)) < 4 * fit.se / fit.mle)
    assert fit.se[3] / fit.mle[3] < 0.03
    assert fit.starts_agreeing > 1


def test_a_posterior_by_importance_and_its_prior():
    import cdnow_frames

    cells = cdnow_frames.spend_cells(cdnow_frames.CALIBRATION)
    section = ModelsSection(sampler={"method": "laplace"})
    fit = fit_spend(cells, section, 100, model="by_frequency", sample=True)
    assert fit.method == "laplace"
    assert fit.priors["kappa"].mean == 0
    mean = fit.flat.mean(axis=0)
    assert np.all(np.abs(mean - fit.mle) < 0.5 * fit.se)
    # golden: what the independent search of the next test finds
    assert fit.log_likelihood == pytest.approx(-4040.67797, abs=1e-4)


def test_an_independent_search_finds_the_same_maximum(cdnow_spend_cells):
    """The formula written out, amounts over (1 + x)^κ, and SciPy's simplex: nothing of the kernel, no gradient."""
    x = cdnow_spend_cells["frequency"].to_numpy(float)
    n, paid = cdnow_spend_cells["n"].to_numpy(float), cdnow_spend_cells["spend_minor"].to_numpy() / 100

    def less(free):
        p, q, gamma = np.exp(free[:3])
        total = paid * (1 + x) ** -free[3]
        z = total / x
        each = gammaln(p * x + q) - gammaln(p * x) - gammaln(q) + q * np.log(gamma) + (p * x - 1) * np.log(z)
        each += p * x * np.log(x) - (p * x + q) * np.log(gamma + total) - free[3] * np.log1p(x)
        return -(n @ each)

    start = [*np.log(CDNOW), 0.0]
    assert -less(start) == pytest.approx(-4055.917695, abs=1e-5)
    tight = {"xatol": 1e-9, "fatol": 1e-9, "maxiter": 20_000, "maxfev": 20_000}
    for _ in range(3):  # a simplex that has shrunk too soon is opened again
        start = minimize(less, start, method="Nelder-Mead", options=tight).x
    assert -less(start) == pytest.approx(-4040.67797, abs=1e-4)
