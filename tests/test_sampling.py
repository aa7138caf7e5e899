"""Posteriors: what is sampled is the stated posterior, converged, repeatable, and the same in every unit."""

from types import SimpleNamespace

import numpy as np
import pytest

from clvkit import processes, sampling
from clvkit.fitting import fit_process, fit_spend
from clvkit.laplace import LEAST_ESS, Weighted, limit, weigh
from clvkit.models_section import ModelsSection, PriorSpec, SamplerSection
from clvkit.sampling import diagnose, pymc_model

ALL = ("bgnbd", "mbgnbd", "paretonbd", "gammagamma")
SHORT = SamplerSection(draws=100, tune=150, chains=2)
TIMES = {"bgnbd": [1], "paretonbd": [1, 3]}  # places of the parameters that carry a time


def sampled(name, cells, spend_cells, minor=100, **settings):
    section = ModelsSection(**{"sampler": SHORT} | settings)
    if name == "gammagamma":
        return fit_spend(spend_cells, section, minor, sample=True)
    return fit_process(name, cells, section, sample=True)


def packed(name, cells, spend_cells):
    """The model, and its unit-free cells as the kernels take them."""
    model = processes.get(name)
    if name == "gammagamma":
        return model, model.prepare(
            spend_cells["frequency"], spend_cells["spend_minor"] / 2750, spend_cells["n"]
        )
    times = cells["recency_days"] / 240, cells["T_days"] / 240
    return model, model.prepare(cells["frequency"], *times, cells["n"])


@pytest.mark.filterwarnings("ignore:Numba will use object mode")
@pytest.mark.parametrize("name", ALL)
def test_pymc_states_the_density_that_is_sampled(cdnow_cells, cdnow_spend_cells, name):
    model, (F, whole) = packed(name, cdnow_cells, cdnow_spend_cells)
    stated = pymc_model(model, model.priors, F, whole)
    assert [one.name for one in stated.value_vars] == list(model.priors)
    log_density, slope = stated.compile_logp(), stated.compile_dlogp()
    target = model.target(F, whole, model.priors)
    for eta in np.random.default_rng(1).normal(0, 1, (5, len(model.priors))):
        value, gradient = target.value_and_gradient(eta)
        point = dict(zip(model.priors, eta, strict=True))
        assert log_density(point) == pytest.approx(value, abs=1e-7)  # PyMC's log √2π has eight digits
        np.testing.assert_allclose(slope(point), gradient, rtol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_default_settings_converge_on_cdnow(cdnow_cells, cdnow_spend_cells, name):
    fit = sampled(name, cdnow_cells, cdnow_spend_cells, sampler=SamplerSection())
    assert fit.method == "nuts" and fit.draws.shape[:2] == (4, 1000)
    assert fit.diagnostics["r_hat_max"] < 1.01
    assert fit.diagnostics["ess_min"] > 400
    assert fit.diagnostics["divergences"] == 0
    near_mle(fit)


@pytest.mark.parametrize("name", ALL)
def test_posterior_means_are_near_the_estimates(cdnow_posteriors, name):
    """Priors say little beside 2,357 customers: within one standard error, two for skewed dropout."""
    near_mle(cdnow_posteriors[name])
    assert cdnow_posteriors[name].diagnostics["divergences"] == 0


def near_mle(fit):
    distance = np.abs(fit.flat.mean(axis=0) - fit.mle) / fit.se
    assert np.all(distance[:2] < 1), distance
    assert np.all(distance < 2), distance
    spread = fit.flat.std(axis=0)[:2] / fit.se[:2]
    assert np.all((spread > 0.7) & (spread < 1.5)), spread


@pytest.mark.parametrize("name", ["bgnbd", "gammagamma"])
def test_the_same_seed_gives_the_same_draws(cdnow_cells, cdnow_spend_cells, name):
    """In any order of the cells; another seed gives others."""
    once = sampled(name, cdnow_cells, cdnow_spend_cells).draws
    shuffled = (frame.sample(frac=1, random_state=1) for frame in (cdnow_cells, cdnow_spend_cells))
    np.testing.assert_array_equal(sampled(name, *shuffled).draws, once)
    other = sampled(name, cdnow_cells, cdnow_spend_cells, sampler=SHORT.model_copy(update={"seed": 1})).draws
    assert not np.any(other == once)


@pytest.mark.parametrize("name", ["bgnbd", "paretonbd"])
def test_weeks_and_days_give_the_same_draws(cdnow_cells, name):
    weekly, daily = (sampled(name, cdnow_cells, None, time_unit=unit) for unit in ("week", "day"))
    factor = np.ones(4)
    factor[TIMES[name]] = 7
    np.testing.assert_allclose(daily.draws, weekly.draws * factor, rtol=1e-12)
    np.testing.assert_allclose(daily.coordinates(), weekly.coordinates(), rtol=1e-11, atol=1e-11)


def test_cents_and_dollars_give_the_same_draws(cdnow_spend_cells):
    """The unit-free amounts differ in their last digit, which a sampler may amplify but not turn."""
    dollars, cents = (sampled("gammagamma", None, cdnow_spend_cells, minor) for minor in (100, 1))
    np.testing.assert_allclose(cents.draws, dollars.draws * (1, 1, 100), rtol=1e-6)


def test_a_prior_of_the_study_replaces_the_default(cdnow_cells):
    """A prior that leaves no doubt decides; one on r too wide to matter does not."""
    firm = {"bgnbd": {"log_r": PriorSpec(mean=0.0, sd=0.001)}}
    fit = sampled("bgnbd", cdnow_cells, None, priors=firm)
    assert fit.priors["log_r"].sd == 0.001 and fit.priors["log_r"].meaning.startswith("log of r")
    assert fit.priors["logit_mean_dropout"] == processes.get("bgnbd").priors["logit_mean_dropout"]
    np.testing.assert_allclose(fit.flat[:, 0], 1.0, atol=0.006)
    assert fit.mle[0] == pytest.approx(0.2425945, abs=1e-6)  # maximum likelihood knows no priors


@pytest.mark.parametrize("name", ALL)
def test_importance_sampling_agrees_with_chains(cdnow_cells, cdnow_spend_cells, cdnow_posteriors, name):
    """Two methods, one posterior: means within 5 Monte Carlo errors of the shorter one, spreads alike."""
    other = sampled(
        name, cdnow_cells, cdnow_spend_cells, sampler=SHORT.model_copy(update={"method": "laplace"})
    )
    if other.method == "nuts":
        pytest.skip(f"importance sampling was not accepted (k = {other.diagnostics['pareto_k']:.2f})")
    assert other.diagnostics["pareto_k"] < limit(4000) and other.diagnostics["ess_min"] > LEAST_ESS
    chains, weighted = cdnow_posteriors[name].coordinates(), other.coordinates()
    spread = weighted.std(axis=0)
    error = spread / np.sqrt(min(cdnow_posteriors[name].diagnostics["ess_min"], 400))
    np.testing.assert_array_less(np.abs(chains.mean(axis=0) - weighted.mean(axis=0)), 5 * error)
    np.testing.assert_allclose(chains.std(axis=0), spread, rtol=0.25)


def test_smoothing_of_weights_with_known_tails():
    """Ratios of a wide proposal have light tails, of a narrow one heavy: k must not come out the other way.

    For a normal target of variance 1 and a normal proposal of variance v < 1 the ratios have a Pareto tail with
    k = 1 − v; for v > 1 they are bounded.
    """
    rng = np.random.default_rng(2)
    for variance, low, high in ((0.25, 0.55, 0.95), (0.5, 0.3, 0.7), (4.0, -np.inf, 0.2)):
        z = rng.normal(0, np.sqrt(variance), (20_000, 1))
        found = weigh(z, (-0.5 * z**2 + 0.5 * z**2 / variance).ravel())
        assert low < found.pareto_k < high, variance
        assert np.exp(found.log_weights).sum() == pytest.approx(1)
    assert found.resample(20_000, rng).std() == pytest.approx(1, abs=0.03)


def test_diagnostics_see_chains_that_disagree():
    rng = np.random.default_rng(3)
    mixed = rng.normal(size=(4, 500, 2))
    assert diagnose(mixed)["r_hat_max"] < 1.02
    apart = mixed.copy()
    apart[0, :, 1] += 3
    assert diagnose(apart)["r_hat_max"] > 1.2
    assert diagnose(apart)["ess_min"] < 100 < diagnose(mixed)["ess_min"]


@pytest.mark.parametrize(
    ("cells", "accepted", "method", "coarsened"),
    [
        (5_000, True, "nuts", False),
        (5_001, True, "laplace", False),
        (20_000, False, "nuts", False),  # rejected, and affordable on the cells themselves
        (20_001, False, "nuts", True),
    ],
)
def test_auto_takes_the_method_that_the_cells_afford(monkeypatch, cells, accepted, method, coarsened):
    drawn = np.random.default_rng(4).normal(size=(4, 500, 2))
    weighted = Weighted(drawn[0], np.full(500, -np.log(500)), 0.1 if accepted else 0.9, 450.0)
    ran_on = []
    monkeypatch.setattr(sampling, "importance", lambda *given, **named: weighted)
    monkeypatch.setattr(
        sampling, "nuts", lambda target, *given, **named: (ran_on.append(target), (drawn, 0))[1]
    )
    mode = SimpleNamespace(eta=np.zeros(2), root=lambda: np.eye(2))
    _, found, diagnostics = sampling.sample_posterior(
        "cells", mode, SamplerSection(), cells=cells, seed=1, coarse=lambda: "weeks"
    )
    assert (found, diagnostics["coarsened"]) == (method, coarsened)
    assert ran_on == ([] if method == "laplace" else ["weeks" if coarsened else "cells"])
