"""The regularised Poisson regression against statsmodels, its own conditions of optimality, and a known truth."""

import numpy as np
import pytest

from clvkit.elastic_net import Scale, deviance, fit_path, largest_penalty
from clvkit.paired import draws_of_means, interval_of


def data(seed=0, rows=2000):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4)) / 3
    return x, rng.poisson(np.exp(-1 + x @ [1.5, -0.8, 0, 0])).astype(float)


def test_without_a_penalty_it_is_the_maximum_likelihood_of_statsmodels():
    import statsmodels.api as sm

    x, y = data()
    scale = Scale.of(x)
    peer = sm.GLM(y, sm.add_constant(scale(x)), family=sm.families.Poisson()).fit()
    own = fit_path(x, y, [1e-9])[0]
    np.testing.assert_allclose([own.intercept, *own.coefficients], peer.params, atol=1e-5)
    np.testing.assert_allclose(deviance(y, own.predict(x)).sum(), peer.deviance, rtol=1e-8)


@pytest.mark.parametrize("mix", [0.1, 0.5, 0.9])
def test_the_conditions_of_an_optimum_hold(mix):
    x, y = data(1)
    y[::3] *= 40.0  # amounts, mostly zero
    fit = fit_path(x, y, [0.05], mix)[0]
    scaled, unit = fit.scale(x), y.mean()
    slope = scaled.T @ (y - fit.predict(x)) / unit / len(y) - 0.05 * (1 - mix) * fit.coefficients
    used = fit.coefficients != 0
    np.testing.assert_allclose(slope[used], 0.05 * mix * np.sign(fit.coefficients[used]), atol=1e-4)
    assert (np.abs(slope[~used]) <= 0.05 * mix + 1e-4).all()
    assert fit.predict(x).sum() == pytest.approx(y.sum(), rel=1e-4)


def test_from_the_largest_penalty_on_nothing_is_left():
    x, y = data(2)
    top = largest_penalty(x, y, 0.5)
    gone, some = fit_path(x, y, [top * 1.001, top * 0.9], 0.5)
    assert (gone.coefficients == 0).all() and (some.coefficients != 0).any()
    assert gone.predict(x) == pytest.approx(y.mean())


def test_a_change_of_money_changes_nothing_else():
    x, y = data(3)
    one, cents = (fit_path(x, y * unit, [0.01])[0] for unit in (1.0, 100.0))
    np.testing.assert_allclose(one.coefficients, cents.coefficients, atol=1e-10)
    np.testing.assert_allclose(100 * one.predict(x), cents.predict(x), rtol=1e-9)


def test_beyond_what_was_seen_it_does_not_run_away():
    x, y = data(4)
    fit = fit_path(x, y, [0.001])[0]
    far = np.full((1, 4), 1e6)
    assert fit.predict(far)[0] <= fit.predict(np.vstack([x, x.max(axis=0)])).max() * 50


def test_drawn_means_have_the_spread_of_a_mean():
    each = np.random.default_rng(5).gamma(2, 1, (800, 2))
    drawn = draws_of_means(each, 4000, 1)
    np.testing.assert_allclose(drawn.mean(axis=0), each.mean(axis=0), rtol=0.01)
    np.testing.assert_allclose(drawn.std(axis=0), each.std(axis=0) / np.sqrt(800), rtol=0.06)
    low, high = interval_of(drawn, 0.9)
    assert (low < each.mean(axis=0)).all() and (high > each.mean(axis=0)).all()
