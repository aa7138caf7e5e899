"""Data that hardly say anything, and searches that begin nowhere: a named doubt or a named error, and finite numbers."""

import cdnow_frames
import numpy as np
import pandas as pd
import pytest

from clvkit import processes
from clvkit.diagnostics import MOST_GRADIENT, fit_checks
from clvkit.errors import FitError
from clvkit.fitting import coarsened, fit_process, fit_spend, weighted_median
from clvkit.models_section import ModelsSection, SamplerSection
from clvkit.optimum import climb
from clvkit.sampling import diagnose
from clvkit.value import Future, Terms, pair, sweep

NAMES = ("bgnbd", "mbgnbd", "paretonbd")
EACH = pytest.mark.parametrize("name", NAMES)
SHORT = ModelsSection(sampler=SamplerSection(draws=100, tune=200, chains=2))


def histories(x, recency, T, n=1):
    return pd.DataFrame({"frequency": x, "recency_days": recency, "T_days": T, "n": n})


def poisson(mean, recency, customers=300):
    return histories(np.random.default_rng(0).poisson(mean, customers), recency, 365)


DEGENERATE = {
    "one cell": histories([3], 90, 100, 500),
    "one cell, T = t_x": histories([3], 100, 100, 500),
    "nobody is seen to leave": poisson(10, 360),
    "all as often, none leaves": histories([12], 360, 365, 300),
    "hundreds of purchases each, none leaves": poisson(400, 364),
    "a day of history": histories([0, 1], [0, 1], 1, [300, 20]),
    "all leave at once": histories([0, 1], [0, 1], 700, [300, 5]),
    "one repeat purchase in all": histories([0, 1], [0, 50], 100, [499, 1]),
    "two customers": histories([0, 2], [0, 10], [100, 90]),
    "repeat purchases in no time": histories([0, 1, 1], [0, 0, 30], [100, 0, 60], [100, 300, 50]),
}
KINDS = pytest.mark.parametrize("cells", DEGENERATE.values(), ids=DEGENERATE)


def doubts(fit):
    """Last word of the id of every check that does not pass, with its message."""
    return {c.id.rsplit(".", 1)[1]: c.message for c in fit_checks(fit) if c.status in ("review", "fail")}


def is_finite(fit, cells):
    """Estimate, posterior, P(alive), purchases and value with and without end."""
    spend = cdnow_frames.fit("gammagamma")
    given = cells.assign(spend_minor=1000 * cells["frequency"] * cells["n"])
    for horizon in (1096.0, np.inf):
        draws, terms = pair(fit, spend, 50), Terms(0.3, 0.10, horizon)
        found = sweep(fit, spend, draws, given, [np.zeros(len(given), int)], [(terms, Future())], 100)[0][0]
        figures = [found.alive, found.value] + [found.purchases] * bool(np.isfinite(horizon))
        assert all(np.isfinite(one).all() and (one >= 0).all() for one in figures)
    assert (
        np.isfinite([*fit.mle, fit.log_likelihood, fit.gradient_norm]).all() and np.isfinite(fit.flat).all()
    )


@EACH
@KINDS
def test_an_estimate_from_next_to_nothing_is_named_and_finite(name, cells):
    fit = fit_process(name, cells, SHORT, sample=False)
    found = doubts(fit)
    assert {"standard_errors", "converged"} & set(found), fit.mle
    for runaway in fit.at_bound:
        assert runaway in found["standard_errors"] and "do not limit" in found["standard_errors"]
    is_finite(fit, cells)


@pytest.mark.slow
@EACH
@KINDS
def test_a_posterior_from_next_to_nothing_is_finite(name, cells):
    fit = fit_process(name, cells, SHORT, sample=True)
    assert doubts(fit)
    is_finite(fit, cells)


@EACH
@pytest.mark.parametrize(
    ("x", "recency", "T"),
    [(2, 40, 30), (0, 5, 30), (3, -1, 30), (2, 10, np.inf)],
    ids=["t_x above T", "t_x without a repeat", "t_x below 0", "T infinite"],
)
def test_histories_that_no_customer_can_have(name, x, recency, T):
    cells = histories([1, x], [10, recency], [30.0, T], [5, 7])
    with pytest.raises(FitError, match="7 customers have an impossible history") as refused:
        fit_process(name, cells, SHORT)
    assert "up to the as-of date" in str(refused.value)


@EACH
@pytest.mark.parametrize(
    ("x", "words"),
    [([0], "0 repeat purchases"), ([0, 1], "all 500 customers first bought on the as-of day itself")],
)
def test_nobody_observed_for_any_time(name, x, words):
    with pytest.raises(FitError, match=words):
        fit_process(name, histories(x, 0, 0, 500 // len(x)), SHORT)


def test_coarser_times_do_not_ask_for_an_infinite_rate():
    """A repeat purchase within half a week of the first stays after it; customers and purchases stay."""
    x, t_x, T, n = (
        np.array(column, float) for column in ([0, 1, 2, 5], [0, 2, 3, 300], [3, 2, 4, 301], [9, 1, 2, 3])
    )
    x, t_x, T, n = coarsened(x, t_x, T, n, week=7.0)
    assert np.all((t_x > 0) == (x > 0)) and np.all(t_x <= T)
    assert n.sum() == 15 and x @ n == 20 and T[x == 0] == 0


#: r, α and the other two as other programs begin, or worse; CLVTools returned r = 1e67 for such a million.
FAR = [(1e3, 1e-3, 1.0, 1.0), (1e4, 1e4, 1e4, 1e-2)]
FAR += [
    pytest.param(start, marks=pytest.mark.slow)
    for start in [(1e3, 1e-3, 1e3, 1e-3), (1e-3, 1e3, 1e-3, 1e3), (1e5, 1e-3, 1e-3, 1e5)]
]


@pytest.fixture(scope="module")
def million():
    """CDNOW's cells with 425 customers for each: a million."""
    cells = cdnow_frames.cells("1997-09-30")
    return cells.assign(n=425 * cells["n"])


@EACH
@pytest.mark.parametrize(
    "start", [*FAR, pytest.param((1e67, 1.0, 1.0, 1.0), marks=pytest.mark.slow)], ids=str
)
def test_a_million_customers_from_a_bad_start(million, name, start):
    """Priors centred far away move the start, not the maximum: that of CDNOW, to its sixth digit."""
    model = processes.get(name)
    middle = dict(zip(model.priors, model.coordinates(np.array(start)), strict=True))
    section = ModelsSection(
        priors={name: {prior: {"mean": mean, "sd": 1.0} for prior, mean in middle.items()}}
    )
    fit, known = fit_process(name, million, section, sample=False), cdnow_frames.fit(name, "1997-09-30")
    assert fit.customers == 1_001_725
    np.testing.assert_allclose(fit.mle, known.mle, rtol=1e-6)
    assert fit.log_likelihood == pytest.approx(425 * known.log_likelihood, rel=1e-10)
    assert fit.gradient_norm < MOST_GRADIENT and not doubts(fit)


@EACH
@pytest.mark.parametrize("start", FAR, ids=str)
def test_one_search_from_a_bad_start_arrives_or_is_seen_not_to(million, name, start):
    """On a plateau where one parameter hardly matters a single search can stop; its curvature tells."""
    model, known = processes.get(name), cdnow_frames.fit(name, "1997-09-30")
    merged = million.groupby(["frequency", "recency_days", "T_days"], as_index=False)["n"].sum()
    x, t_x, T, n = (merged[c].to_numpy() for c in ("frequency", "recency_days", "T_days", "n"))
    scale = weighted_median(T.astype(float), n.astype(float))
    peak = climb(
        model.target(*model.prepare(x, t_x / scale, T / scale, n), None), model.coordinates(np.array(start))
    )
    arrived = np.allclose(model.in_unit(model.from_coordinates(peak.eta), scale / 7), known.mle, rtol=1e-4)
    lost = np.isnan(peak.covariance()).any() or np.abs(peak.gradient).max() / n.sum() > MOST_GRADIENT
    assert arrived or lost
    assert np.isfinite(peak.value)


def amounts(frequency, spend_minor, n=1):
    return pd.DataFrame({"frequency": frequency, "spend_minor": spend_minor, "n": n})


SPEND = {
    "one price": amounts([1, 2, 7], [1500, 3000, 10500], [200, 60, 9]),
    "one cell": amounts([3], [9000], [500]),
    "two customers": amounts([1, 2], [1000, 5000]),
    "cents": amounts([1, 2, 5], [1, 2, 5], [200, 60, 9]),
}


@pytest.mark.parametrize("cells", SPEND.values(), ids=SPEND)
@pytest.mark.parametrize("sample", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_spend_that_hardly_varies_is_named_and_finite(cells, sample):
    spend = fit_spend(cells, SHORT, 100, sample=sample)
    assert {"standard_errors", "converged"} & set(doubts(spend))
    base, slope = spend.model.expected_spend(spend.posterior(100), np.array([0, 1, 5]), spend.observed)
    assert np.isfinite(base).all() and np.isfinite(slope).all()
    assert spend.observed["mean_spend"] / 2 < base[:, 0].mean() < 2 * spend.observed["mean_spend"]


def test_chains_that_do_not_move_pass_no_check():
    rng = np.random.default_rng(1)
    found = diagnose(np.concatenate([np.zeros((2, 200, 1)), rng.normal(size=(2, 200, 2))], axis=2))
    assert np.isnan(found["r_hat_max"])
    fit = cdnow_frames.with_posterior(cdnow_frames.fit("paretonbd"))
    fit.diagnostics.update(found)
    status = {check.id: check.status for check in fit_checks(fit)}
    assert status["fit.paretonbd.r_hat"] == "fail" and status["fit.paretonbd.ess"] == "review"
