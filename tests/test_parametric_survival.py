"""Lifetime distributions and what is left of a lifetime: against a library, closed forms, quadrature and known truths."""

import numpy as np
import pandas as pd
import pytest
from lifelines import LogLogisticAFTFitter, LogNormalAFTFitter, WeibullAFTFitter
from scipy.integrate import quad
from spell_worlds import excluded, spells

from clvkit.errors import FitError
from clvkit.parametric_survival import FAMILIES, ParametricFit, fit_parametric
from clvkit.residual_life import parametric_residual

NAMES = ("a", "b")
YEAR = 365.25


def lifetimes(family, seed, count=800, where=2.5, scale=0.8, beta=(0.4, -0.3), late=6):
    """Spells in whole units of a lifetime distribution."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.random(count) < 0.4, rng.normal(size=count)]).astype(float)
    noise = {"weibull": np.log(rng.exponential(size=count)), "lognormal": rng.normal(size=count),
             "loglogistic": rng.logistic(size=count)}[family]  # fmt: skip
    lasts = np.ceil(np.exp(where + x @ np.array(beta) + scale * noise))
    entry = rng.integers(0, late + 1, count).astype(float)
    last = entry + rng.integers(1, 40, count)
    seen = lasts > entry
    return entry[seen], np.minimum(lasts, last)[seen], (lasts <= last)[seen], x[seen]


def test_a_weibull_of_lifelines_by_intervals():
    entry, until, ended, x = lifetimes("weibull", 1)
    found = fit_parametric("weibull", entry, until, ended, x, NAMES)
    frame = pd.DataFrame(x, columns=NAMES).assign(lower=np.where(ended, until - 1, until), entry=entry)
    frame = frame.assign(upper=np.where(ended, until, np.inf), event=0)
    other = WeibullAFTFitter().fit_interval_censoring(
        frame, "lower", "upper", event_col="event", entry_col="entry"
    )
    ours = np.array([*found.estimates[1:3], found.estimates[0], -found.estimates[3]])
    np.testing.assert_allclose(ours, other.params_, atol=2e-3)
    assert found.log_likelihood == pytest.approx(other.log_likelihood_, abs=1e-3)


@pytest.mark.parametrize(("family", "fitter"), list(zip(FAMILIES, (WeibullAFTFitter, LogNormalAFTFitter, LogLogisticAFTFitter), strict=True)))  # fmt: skip
def test_lifelines_where_ends_are_known_exactly(family, fitter):
    # an interval of a thousandth of a unit is an exact end, to three digits
    rng = np.random.default_rng(2)
    x = rng.normal(size=(500, 1))
    lasts, last = np.exp(2.0 + 0.3 * x[:, 0] + 0.7 * rng.logistic(size=500)), rng.uniform(2, 30, 500)
    until, ended = np.minimum(lasts, last), lasts <= last
    found = fit_parametric(family, np.zeros(500), until, ended, x, ("a",), width=1e-3)
    other = fitter().fit(pd.DataFrame({"a": x[:, 0], "until": until, "ended": ended}), "until", "ended")
    scale = found.estimates[2] if family == "lognormal" else -found.estimates[2]
    np.testing.assert_allclose([found.estimates[1], found.estimates[0], scale], other.params_, atol=3e-3)
    np.testing.assert_allclose(
        np.sqrt(np.diag(found.covariance))[[1, 0, 2]], other.standard_errors_, rtol=0.02
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_intervals_hold_the_truth_as_often_as_they_say(family):
    # 200 worlds: intervals of 90 % that held 79 % would be found with 95 % power
    held, truth = np.zeros(4), np.array([2.5, 0.4, -0.3, np.log(0.8)])
    for seed in range(200):
        entry, until, ended, x = lifetimes(family, [3, seed], 400)
        found = fit_parametric(family, entry, until, ended, x, NAMES)
        held += np.abs(found.estimates - truth) < 1.6449 * np.sqrt(np.diag(found.covariance))
    print(family, held)
    assert not any(excluded(int(one), 200, 0.9) for one in held)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_right_family_wins_and_counted_spells_are_single_ones(family):
    entry, until, ended, _ = lifetimes(family, 4, 6000, beta=(0.0, 0.0))
    fits = {name: fit_parametric(name, entry, until, ended) for name in FAMILIES}
    assert min(fits, key=lambda name: fits[name].aic) == family
    frame = pd.DataFrame({"entry": entry, "until": until, "ended": ended}).value_counts().reset_index()
    merged = fit_parametric(family, frame["entry"], frame["until"], frame["ended"], n=frame["count"])
    np.testing.assert_allclose(merged.estimates, fits[family].estimates, atol=1e-6)
    np.testing.assert_allclose(merged.covariance, fits[family].covariance, rtol=1e-4)
    assert merged.relations == len(until)


def test_a_constant_hazard_is_found_as_one():
    entry, until, ended, _ = spells(5, 8000, (0.0, 0.0), hazard=0.07, late=5)
    found = fit_parametric("weibull", entry, until, ended)
    assert found.shape == pytest.approx(1, abs=0.03) and np.exp(-found.estimates[0]) == pytest.approx(
        0.07, rel=0.05
    )


def test_annual_ends_carry_no_news_of_the_months_between():
    # by the year, each end is known to twelve months; the fit in months is the fit in years, twelve times as long
    entry, until, ended, _ = spells(6, 3000, (0.0, 0.0), hazard=0.4, watched=8)
    years = fit_parametric("weibull", entry, until, ended)
    months = fit_parametric("weibull", entry * 12, until * 12, ended, width=12.0)
    np.testing.assert_allclose(months.estimates - [np.log(12), 0], years.estimates, atol=1e-5)
    assert months.aic == pytest.approx(years.aic, abs=1e-6)


def test_too_little_says_so():
    with pytest.raises(FitError, match="no relation ended"):
        fit_parametric("weibull", [0, 0], [3, 4], [False, False])
    with pytest.raises(FitError, match="no best estimate"):
        fit_parametric("loglogistic", np.zeros(30), np.full(30, 5.0), np.ones(30, bool))


def exponential(mean):
    """A Weibull of shape 1."""
    return ParametricFit("weibull", (), np.array([np.log(mean), 0.0]), np.diag([0.01, 0.0]), 0.0, 1)


class TestResidual:
    def test_a_constant_hazard_in_closed_form(self):
        # 1 / (hazard + rate), at any tenure
        rate = np.log(1.1) / YEAR
        found = parametric_residual(exponential(400.0), np.array([0.0, 30.0, 3000.0]), 0.1, np.inf)
        np.testing.assert_allclose(found.discounted[0], 1 / (1 / 400 + rate), rtol=1e-7)
        found = parametric_residual(exponential(400.0), np.array([0.0, 30.0]), 0.1, 700.0)
        np.testing.assert_allclose(found.days[0], 400 * (1 - np.exp(-700 / 400)), rtol=1e-9)

    @pytest.mark.parametrize("family", FAMILIES)
    @pytest.mark.parametrize("tenure", [0.0, 45.0, 900.0])
    def test_quadrature(self, family, tenure):
        fit = ParametricFit(family, ("a",), np.array([6.0, 0.5, np.log(1.3)]), np.eye(3) * 1e-4, 0.0, 1)
        x, rate = np.array([[0.7]]), np.log(1.08) / YEAR
        found = parametric_residual(fit, np.array([tenure]), 0.08, 1100.0, x=x)
        now = fit.survival(tenure, x)[0] if tenure else 1.0
        for made, delta in ((found.days, 0.0), (found.discounted, rate)):
            exact = quad(
                lambda t, d=delta: fit.survival(tenure + t, x)[0] / now * np.exp(-d * t), 0, 1100, limit=300
            )[0]
            assert made[0, 0] == pytest.approx(exact, rel=1e-6)

    def test_units_are_units(self):
        days, months = exponential(400.0), exponential(400.0 / 30.4375)
        one = parametric_residual(days, np.array([100.0]), 0.1, 900.0)
        other = parametric_residual(months, np.array([100.0]), 0.1, 900.0, unit_days=30.4375)
        np.testing.assert_allclose(one.discounted, other.discounted, rtol=1e-9)

    def test_who_has_stayed_stays_where_the_hazard_falls(self):
        fit = ParametricFit("weibull", (), np.array([5.5, np.log(1.6)]), np.eye(2), 0.0, 1)
        found = parametric_residual(fit, np.array([0.0, 100.0, 1000.0]), 0.1, 1000.0)
        assert (np.diff(found.days[0]) > 0).all() and (found.discounted < found.days).all()

    def test_draws_carry_what_is_not_known(self):
        # the mean lifetime has a standard deviation of 10 %; far from the horizon, so has the residual
        fit = exponential(100.0)
        found = parametric_residual(fit, np.array([50.0]), 0.0, 5000.0, draws=fit.draws(4000, 1))
        assert found.days.shape == (4000, 1)
        assert np.log(found.days[:, 0]).std() == pytest.approx(0.1, rel=0.05)

    def test_no_end_and_no_discount_is_no_mean(self):
        with pytest.raises(FitError, match="need not have a mean"):
            parametric_residual(exponential(100.0), np.array([1.0]), 0.0, np.inf)
