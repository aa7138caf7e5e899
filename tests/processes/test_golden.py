"""The fits, histograms and forecasts that the literature gives for the CDNOW sample.

One tenth of the customers, calibrated from 1 January to 30 September 1997; days exact, parameters in weeks.
FHL 2005 is Fader, Hardie & Lee, "Counting Your Customers the Easy Way", Marketing Science 24(2). Digits
beyond a paper's were computed by an independent plain NumPy program and agree with the paper's.
"""

import numpy as np
import pandas as pd
import pytest

from clvkit import processes
from clvkit.fitting import fit_process, fit_spend
from clvkit.models_section import ModelsSection

PUBLISHED = {  # three digits: FHL 2005, table 2; BTYDplus for MBG/NBD; Fader & Hardie 2013 for Gamma-Gamma
    "bgnbd": (0.243, 4.414, 0.793, 2.426),
    "mbgnbd": (0.525, 6.183, 0.891, 1.614),
    "paretonbd": (0.553, 10.578, 0.606, 11.669),
    "gammagamma": (6.25, 3.74, 15.44),
}
EXACT = {  # at exact days
    "bgnbd": (0.24259453, 4.41360227, 0.79292215, 2.42590742),
    "mbgnbd": (0.52484321, 6.18308543, 0.89135923, 1.61400161),
    "paretonbd": (0.55327701, 10.57768261, 0.60623994, 11.66873405),
    "gammagamma": (6.249572, 3.744225, 15.443521),
}
ERRORS = {
    "bgnbd": (0.012557, 0.378224, 0.185734, 0.705415),
    "mbgnbd": (0.0833, 0.6956, 0.1548, 0.5375),
    "paretonbd": (0.047628, 0.842724, 0.187285, 6.211250),
}
LOG_LIKELIHOOD = {
    "bgnbd": -9582.429207,
    "mbgnbd": -9582.135716,
    "paretonbd": -9594.976179,
    "gammagamma": -4055.917695,
}
HISTOGRAM = (1411, 439, 214, 100, 62, 38, 29, 64)  # customers with 0..6 and with 7 or more repeat purchases


@pytest.mark.parametrize("name", PUBLISHED)
def test_estimates_are_the_published_ones(cdnow_fits, name):
    decimals = 2 if name == "gammagamma" else 3
    np.testing.assert_array_equal(np.round(cdnow_fits[name].mle, decimals), PUBLISHED[name])


@pytest.mark.parametrize("name", EXACT)
def test_estimates_to_all_digits(cdnow_fits, name):
    np.testing.assert_allclose(cdnow_fits[name].mle, EXACT[name], rtol=1e-6)


@pytest.mark.parametrize("name", LOG_LIKELIHOOD)
def test_log_likelihood_at_exact_days(cdnow_fits, name):
    assert cdnow_fits[name].log_likelihood == pytest.approx(LOG_LIKELIHOOD[name], abs=1e-5)
    assert cdnow_fits[name].gradient_norm < 1e-6


@pytest.mark.parametrize("name", ERRORS)
def test_standard_errors(cdnow_fits, name):
    rounding = 5e-4 if name == "mbgnbd" else 5e-5  # four digits are given for MBG/NBD
    np.testing.assert_allclose(cdnow_fits[name].se, ERRORS[name], rtol=rounding)


def test_estimates_of_other_programs(cdnow_fits):
    """CLVTools' tests: test_correctness_bgnbd.R, test_correctness_pnbd.R, test_correctness_gg.R."""
    bgnbd, paretonbd = cdnow_fits["bgnbd"], cdnow_fits["paretonbd"]
    np.testing.assert_allclose(bgnbd.mle, (0.2425945, 4.4136019, 0.7929199, 2.4258881), rtol=1e-5)
    assert bgnbd.log_likelihood == pytest.approx(-9582.429, abs=5e-4)
    np.testing.assert_allclose(paretonbd.mle, (0.55315, 10.57633, 0.60625, 11.67150), rtol=3e-4)
    np.testing.assert_allclose(paretonbd.se, (0.0476264, 0.8427222, 0.1872594, 6.2105448), rtol=2e-4)
    assert paretonbd.log_likelihood == pytest.approx(-9594.976, abs=5e-4)
    assert cdnow_fits["gammagamma"].log_likelihood == pytest.approx(-4055.9177, abs=5e-5)


@pytest.mark.parametrize(
    ("name", "estimates", "log_likelihood"),
    [
        ("bgnbd", (0.2425929, 4.4135313, 0.7928861, 2.4257530), -9582.425561),
        ("gammagamma", (6.248803, 3.744588, 15.447745), -4055.923244),
    ],
)
def test_the_file_rounded_to_two_decimals_is_another_file(cdnow_summary, name, estimates, log_likelihood):
    """The summary that lifetimes and pymc-marketing ship: weeks and mean spend to two decimals."""
    x = cdnow_summary["frequency"]
    if name == "gammagamma":
        mean = np.floor(cdnow_summary["spend_minor"] / x.clip(1) + 0.5)  # the file rounds half a cent up
        rounded = pd.DataFrame({"frequency": x, "spend_minor": mean * x, "n": 1})
        fit = fit_spend(rounded, ModelsSection(), 100, sample=False)
    else:
        weeks = (cdnow_summary[["recency_days", "T_days"]] / 7).round(2) * 7
        fit = fit_process(name, weeks.assign(frequency=x, n=1), ModelsSection(), sample=False)
    np.testing.assert_allclose(fit.mle, estimates, rtol=2e-6)
    assert fit.log_likelihood == pytest.approx(log_likelihood, abs=2e-5)


def test_facts_of_the_summary(cdnow_summary, cdnow_cells, cdnow_holdout):
    """Counts as FHL 2005 state them, and the sufficient statistics they compress to."""
    x = cdnow_summary["frequency"]
    assert (len(x), (x == 0).sum(), (x > 0).sum(), x.sum()) == (2357, 1411, 946, 2457)
    assert tuple(np.bincount(x.clip(upper=7))) == HISTOGRAM
    assert (len(cdnow_cells), cdnow_cells["n"].sum()) == (1016, 2357)
    assert (cdnow_holdout["n_holdout"] * cdnow_holdout["n"]).sum() == 1882


def test_facts_of_spend(cdnow_summary):
    """Mean repeat spend per customer: Fader, Hardie & Lee 2005, "RFM and CLV", table 1.

    The table's median is 27.54; halfway between the two middle customers lies 27.4975.
    """
    repeaters = cdnow_summary[cdnow_summary["frequency"] > 0]
    mean = repeaters["spend_minor"] / repeaters["frequency"] / 100
    assert round(mean.mean(), 4) == 35.0778
    found = [mean.std(), mean.min(), *mean.quantile([0.25, 0.5, 0.75]), mean.max()]
    np.testing.assert_allclose(found, (30.28, 2.99, 15.76, 27.4975, 41.79, 299.63), atol=0.006)
    assert round(mean.corr(repeaters["frequency"]), 2) == 0.11
    without = mean < mean.max()  # the paper's outlier
    assert round(mean[without].corr(repeaters["frequency"][without]), 2) == 0.06


def _histogram(fit, cells):
    ages = cells.groupby("T_days")["n"].sum()
    share = [fit.model.pmf(fit.mle, np.arange(7), days / fit.unit_days) for days in ages.index]
    expected = ages.to_numpy() @ np.array(share)
    return np.append(expected, ages.sum() - expected.sum())


@pytest.mark.parametrize(
    ("name", "chi_square"),
    [
        ("bgnbd", 4.8211),  # FHL 2005: 4.82
        ("paretonbd", 11.9900),  # a public notebook prints 11.561; quadrature in 30 digits gives this
    ],
)
def test_histogram_of_repeat_purchases(cdnow_fits, cdnow_cells, name, chi_square):
    expected = _histogram(cdnow_fits[name], cdnow_cells)
    found = np.sum((np.array(HISTOGRAM) - expected) ** 2 / expected)
    assert found == pytest.approx(chi_square, abs=2e-4)


@pytest.mark.parametrize(
    ("name", "total", "bias", "mae", "rmse", "correlation"),
    [
        ("paretonbd", 1665.5, -0.115, 0.7545, 1.6028, 0.6302),
        ("bgnbd", 1653.4, -0.121, 0.7855, 1.6080, 0.6256),
        ("mbgnbd", 1576.7, -0.162, 0.7648, 1.6072, 0.6273),
    ],
)
def test_forecast_of_the_hold_out(cdnow_fits, cdnow_holdout, name, total, bias, mae, rmse, correlation):
    """39 weeks at the estimates, customer by customer, against 1,882 actual purchases."""
    fit, known = cdnow_fits[name], cdnow_holdout
    forecast = fit.model.conditional(
        fit.mle, known["frequency"], known["recency_days"] / 7, known["T_days"] / 7, 39.0
    )
    forecast, actual = (np.repeat(values, known["n"]) for values in (forecast, known["n_holdout"]))
    assert round(forecast.sum(), 1) == total
    assert round(forecast.sum() / 1882 - 1, 3) == bias
    assert round(np.abs(forecast - actual).mean(), 4) == mae
    assert round(np.sqrt(np.mean((forecast - actual) ** 2)), 4) == rmse
    assert round(np.corrcoef(forecast, actual)[0, 1], 4) == correlation


def test_purchases_merge_by_day_and_not_by_week(cdnow_purchases, cdnow_fits):
    """The trap of the README of clvkit 0.2.1 on the package index: weekly buckets give other estimates.

    There the purchases of one calendar week are one, and the calibration ends with the week of 30 September.
    """
    bought = cdnow_purchases.to_pandas()
    week = pd.to_datetime(bought["day"]).dt.to_period("W-SUN")
    last = pd.Period("1997-09-30", "W-SUN")
    seen = bought.assign(week=week)[week <= last].groupby("customer")["week"].agg(["nunique", "min", "max"])
    weekly = pd.DataFrame(
        {
            "frequency": seen["nunique"] - 1,
            "recency_days": [7 * (b - a).n for a, b in zip(seen["min"], seen["max"], strict=True)],
            "T_days": [7 * (last - a).n for a in seen["min"]],
            "n": 1,
        }
    )
    trapped = fit_process("bgnbd", weekly, ModelsSection(), sample=False).mle
    np.testing.assert_array_equal(np.round(trapped, 3), (0.291, 6.852, 0.665, 2.320))
    assert np.all(np.abs(cdnow_fits["bgnbd"].mle / trapped - 1) > 0.04)


def test_gamma_gamma_at_the_published_estimates(cdnow_spend_cells):
    """LL -4055.919232049544 in the tests of clvkit 0.2.1 on the package index, on exact amounts."""
    model = processes.get("gammagamma")
    x, spend = cdnow_spend_cells["frequency"], cdnow_spend_cells["spend_minor"] / 100
    F, whole = model.prepare(x, spend, cdnow_spend_cells["n"])
    empty, gradient = np.empty(0), np.empty(3)
    value = model.evaluate(np.array(PUBLISHED["gammagamma"]), F, whole, gradient, empty, empty)
    assert value == pytest.approx(-4055.919232049544, abs=1e-8)
