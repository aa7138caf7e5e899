"""Fits do not depend on how the same customers are written down, say what they cannot do, and survive saving."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clvkit import processes
from clvkit.errors import FitError, StudyError
from clvkit.fit import Fit
from clvkit.fitting import coarsened, fit_process, fit_spend, unit_days, weighted_median
from clvkit.models_section import ModelsSection, SamplerSection

NAMES = ("bgnbd", "mbgnbd", "paretonbd")
EACH = pytest.mark.parametrize("name", NAMES)
TIMES = {"bgnbd": [1], "mbgnbd": [1], "paretonbd": [1, 3]}  # places of the parameters that carry a time
PLAIN = ModelsSection()


def same(fit, other):
    """Estimates, errors and log-likelihood to the last bit."""
    np.testing.assert_array_equal(fit.mle, other.mle)
    np.testing.assert_array_equal(fit.se, other.se)
    assert (fit.log_likelihood, fit.customers, fit.cells) == (
        other.log_likelihood,
        other.customers,
        other.cells,
    )


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), name=st.sampled_from(NAMES))
def test_order_and_grouping_of_cells_do_not_matter(cdnow_cells, cdnow_fits, seed, name):
    """Shuffled, with some cells split in two rows and segments that do not count."""
    rng = np.random.default_rng(seed)
    part = (cdnow_cells["n"] * rng.random(len(cdnow_cells))).astype(int)
    pieces = [cdnow_cells.assign(n=part), cdnow_cells.assign(n=cdnow_cells["n"] - part, segment="other")]
    split = pd.concat(pieces, ignore_index=True).query("n > 0").sample(frac=1, random_state=seed)
    same(fit_process(name, split, PLAIN, sample=False), cdnow_fits[name])


@pytest.mark.slow
@EACH
def test_posteriors_do_not_see_order_and_grouping_either(cdnow_summary, name):
    """One row per customer in any order, against cells: the same draws to the last bit."""
    section = ModelsSection(sampler=SamplerSection(draws=100, tune=100, chains=2))
    customers = cdnow_summary.assign(n=1).sample(frac=1, random_state=4)
    keys = ["segment", "frequency", "recency_days", "T_days"]
    grouped = customers.groupby(keys, as_index=False)[["n", "spend_minor", "first_minor"]].sum()
    fits = [fit_process(name, cells, section, sample=True) for cells in (grouped, customers)]
    np.testing.assert_array_equal(*(fit.draws for fit in fits))


@EACH
def test_one_row_per_customer_is_the_same(cdnow_summary, cdnow_fits, name):
    same(fit_process(name, cdnow_summary.assign(n=1), PLAIN, sample=False), cdnow_fits[name])


def test_spend_cells_in_any_order(cdnow_spend_cells, cdnow_summary, cdnow_fits):
    shuffled = cdnow_spend_cells.sample(frac=1, random_state=3)
    same(fit_spend(shuffled, PLAIN, 100, sample=False), cdnow_fits["gammagamma"])
    same(fit_spend(cdnow_summary.assign(n=1), PLAIN, 100, sample=False), cdnow_fits["gammagamma"])


@EACH
@pytest.mark.parametrize("unit", ["day", "month", "year"])
def test_the_unit_of_time_only_restates_the_fit(cdnow_cells, cdnow_fits, name, unit):
    """Times scale, the log-likelihood of 2,457 moments moves by its Jacobian, coordinates stay."""
    weekly, section = cdnow_fits[name], ModelsSection(time_unit=unit)
    fit = fit_process(name, cdnow_cells, section, sample=False)
    factor = np.ones(4)
    factor[TIMES[name]] = 7 / unit_days(section)
    np.testing.assert_allclose(fit.mle, weekly.mle * factor, rtol=1e-13)
    np.testing.assert_allclose(fit.se, weekly.se * factor, rtol=1e-13)
    jacobian = 2457 * np.log(7 / unit_days(section))
    assert fit.log_likelihood == pytest.approx(weekly.log_likelihood - jacobian, rel=1e-12)
    np.testing.assert_allclose(fit.coordinates(), weekly.coordinates(), rtol=1e-12)


@EACH
def test_slower_customers_are_the_same_customers(cdnow_cells, cdnow_fits, name):
    """All times multiplied by 7: rates fall by 7, and nothing else happens."""
    slow = cdnow_cells.assign(recency_days=7 * cdnow_cells["recency_days"], T_days=7 * cdnow_cells["T_days"])
    fit = fit_process(name, slow, PLAIN, sample=False)
    factor = np.ones(4)
    factor[TIMES[name]] = 7
    np.testing.assert_allclose(fit.mle, cdnow_fits[name].mle * factor, rtol=1e-12)
    np.testing.assert_allclose(fit.coordinates(), cdnow_fits[name].coordinates(), rtol=1e-12)


def test_cents_and_dollars_are_the_same_money(cdnow_spend_cells, cdnow_fits):
    dollars, cents = cdnow_fits["gammagamma"], fit_spend(cdnow_spend_cells, PLAIN, 1, sample=False)
    np.testing.assert_allclose(cents.mle, dollars.mle * (1, 1, 100), rtol=1e-12)
    assert cents.log_likelihood == pytest.approx(dollars.log_likelihood - 946 * np.log(100), rel=1e-12)
    np.testing.assert_allclose(cents.coordinates(), dollars.coordinates(), rtol=1e-12)


def test_years_of_another_length():
    assert unit_days(ModelsSection(time_unit="year"), 364) == 364
    assert unit_days(ModelsSection(time_unit="month"), 360) == 30
    assert unit_days(PLAIN, 360) == 7


CELL = {"frequency": 0, "recency_days": 0, "T_days": 100, "n": 1}


@EACH
@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([CELL | {"n": 500}], "500 customers with 0 repeat purchases"),
        ([CELL | {"frequency": 3, "recency_days": 90}], "1 customers with 3 repeat purchases"),
        ([], "0 customers"),
    ],
    ids=["no repeat", "one customer", "nobody"],
)
def test_nothing_to_learn_from(name, rows, words):
    with pytest.raises(FitError, match=words) as refused:
        fit_process(name, pd.DataFrame(rows, columns=list(CELL)), PLAIN)
    assert processes.get(name).label in str(refused.value) and "take a longer period" in str(refused.value)


@pytest.mark.parametrize("spend", [[], [1000], [0, -500, 1000]], ids=["nobody", "one", "one positive"])
def test_no_spend_to_learn_from(spend):
    cells = pd.DataFrame({"frequency": 1, "spend_minor": np.array(spend, int), "n": 1})
    with pytest.raises(FitError, match="positive repeat spend"):
        fit_spend(cells, PLAIN, 100)


def test_customers_without_positive_spend_are_left_out(cdnow_spend_cells, cdnow_fits):
    more = pd.DataFrame({"frequency": [1, 2, 0], "spend_minor": [0, -300, 0], "n": [5, 1, 7]})
    same(fit_spend(pd.concat([cdnow_spend_cells, more]), PLAIN, 100, sample=False), cdnow_fits["gammagamma"])


def test_customers_who_are_all_alike_leave_a_parameter_unlimited():
    """Poisson counts without any dropout: heterogeneity is not limited by the data, and the fit says so."""
    rng = np.random.default_rng(5)
    x = rng.poisson(20.0, 400)
    cells = pd.DataFrame({"frequency": x, "recency_days": 364, "T_days": 365, "n": 1})
    fit = fit_process("bgnbd", cells, PLAIN, sample=False)
    assert "log_r" in fit.at_bound or fit.mle[0] > 50
    assert np.all(np.isnan(fit.se)) or not fit.at_bound
    assert fit.mle[0] / fit.mle[1] * 365 / 7 == pytest.approx(x.mean(), rel=0.02)
    assert np.isfinite(fit.log_likelihood)


def test_an_unknown_prior_is_named():
    section = ModelsSection(priors={"bgnbd": {"log_s": {"mean": 0, "sd": 1}}})
    with pytest.raises(StudyError, match="bgnbd has no prior called 'log_s'"):
        fit_process("bgnbd", pd.DataFrame([CELL | {"frequency": 1, "n": 9}]), section, sample=False)


def test_weighted_median():
    values, n = np.array([30.0, 10.0, 20.0]), np.array([1.0, 5.0, 4.0])
    assert weighted_median(values, n) == np.sort(np.repeat(values, n.astype(int)))[4] == 10
    assert weighted_median(values, np.array([10.0, 1.0, 1.0])) == 30


def test_cells_coarsened_to_weeks_keep_their_customers(cdnow_cells):
    columns = [cdnow_cells[name].to_numpy() for name in ("frequency", "recency_days", "T_days", "n")]
    x, t_x, T, n = coarsened(*columns, week=7)
    assert n.sum() == 2357 and (x * n).sum() == 2457
    assert len(x) < len(cdnow_cells)
    assert np.all(t_x % 7 == 0) and np.all(T % 7 == 0) and np.all(t_x <= T)


@pytest.mark.parametrize("name", [*NAMES, "gammagamma"])
def test_saved_and_loaded(cdnow_posteriors, cdnow_fits, tmp_path, name):
    for kind, fit in (("sampled", cdnow_posteriors[name]), ("estimated", cdnow_fits[name])):
        fit.save(tmp_path / kind)
        loaded = Fit.load(tmp_path / kind)
        same(loaded, fit)
        assert loaded.to_json() == fit.to_json()
        assert (loaded.priors, loaded.scale, loaded.method) == (fit.priors, fit.scale, fit.method)
        np.testing.assert_array_equal(loaded.flat, fit.flat)
        np.testing.assert_array_equal(loaded.coordinates(), fit.coordinates())


def test_as_results_hold_it(cdnow_posteriors, cdnow_fits):
    made = cdnow_posteriors["paretonbd"].to_json()
    assert {"parameters", "log_likelihood", "customers", "cells", "method", "diagnostics", "seconds"} <= set(
        made
    )
    assert set(made["diagnostics"]) >= {"r_hat_max", "ess_min", "divergences", "pareto_k"}
    for entry in made["parameters"].values():
        assert entry["low"] < entry["mean"] < entry["high"]
    plain = cdnow_fits["paretonbd"].to_json()["parameters"]["r"]
    assert plain["mle"] == pytest.approx(0.553277, abs=1e-6) and plain["low"] is plain["mean"] is None


def test_thinned_posterior(cdnow_posteriors, cdnow_fits):
    fit = cdnow_posteriors["paretonbd"]
    assert fit.posterior(400).shape == (400, 4)
    np.testing.assert_array_equal(fit.posterior(10**6), fit.flat)
    np.testing.assert_array_equal(cdnow_fits["paretonbd"].posterior(400), cdnow_fits["paretonbd"].mle[None])


def test_information_criteria(cdnow_fits):
    aic, bic = cdnow_fits["bgnbd"].aic_bic()
    assert aic == pytest.approx(2 * 4 + 2 * 9582.429207, abs=1e-4)
    assert bic == pytest.approx(4 * np.log(2357) + 2 * 9582.429207, abs=1e-4)
