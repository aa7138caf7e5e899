"""MBG/CNBD-k: MBG/NBD at k = 1, and otherwise what simulation, quadrature and the formula in plain NumPy say."""

from itertools import pairwise
from math import comb

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import betaln, gammaln
from scipy.stats import chi2, nbinom

from clvkit import processes
from clvkit.fitting import fit_process
from clvkit.models_section import ModelsSection
from clvkit.processes import _erlang
from tests import cdnow_frames
from tests.processes.test_likelihoods import some_cells

MBGNBD = processes.get("mbgnbd")
PUBLISHED = np.array((0.525, 6.183, 0.891, 1.614))  # MBG/NBD on CDNOW: Batislam, Denizel & Filiztekin 2007
TRUTH = np.array((2.0, 3.0, 0.9, 4.0))
POINTS = [TRUTH, np.array((0.3, 8.0, 0.4, 1.2)), np.array((20.0, 10.0, 1.0, 6.0))]


def test_names():
    assert processes.get("mbgcnbd-3").label == processes.LABELS["mbgcnbd-3"] == "MBG/CNBD-3"
    assert processes.get("mbgcnbd-3") is processes.get("mbgcnbd-3")
    assert processes.LABELS["mbgcnbd"] == "MBG/CNBD-k"
    assert processes.get("mbgcnbd").k == 1
    for wrong in ("mbgcnbd-0", "mbgcnbd-x", "mbgcnbd--1", "bgnbd-2"):
        with pytest.raises(KeyError):
            processes.get(wrong)


class TestOne:
    """At k = 1 it is MBG/NBD."""

    model = processes.get("mbgcnbd-1")

    def test_likelihood_and_alive(self):
        cells = some_cells("mbgnbd")
        assert self.model.log_likelihood(PUBLISHED, *cells) == MBGNBD.log_likelihood(PUBLISHED, *cells)
        np.testing.assert_array_equal(
            self.model.p_alive(PUBLISHED, *cells[:3]), MBGNBD.p_alive(PUBLISHED, *cells[:3])
        )

    @pytest.mark.parametrize(
        "ask", [(39.0,), (39.0, 0.01), (156.0, 0.002, 1.3, 0.7), (np.inf, 0.002), (np.inf, 0.002, 1.2, 0.5)]
    )
    def test_expected(self, ask):
        x, _, T, _ = some_cells("mbgnbd")
        found = self.model.expected(np.stack(POINTS), x, T, *ask)
        np.testing.assert_allclose(found, MBGNBD.expected(np.stack(POINTS), x, T, *ask), rtol=2e-8)

    def test_pmf(self):
        counts = np.arange(30)
        np.testing.assert_allclose(
            self.model.pmf(PUBLISHED, counts, 39.0),
            MBGNBD.pmf(PUBLISHED, counts, 39.0),
            rtol=1e-9,
            atol=1e-15,
        )

    def test_the_fit_to_cdnow_is_the_published_one(self):
        """-9582.135716, and 1576.7 purchases in the 39 weeks held out: REFERENCE of MBG/NBD."""
        cells = cdnow_frames.cells("1997-09-30")
        fit = fit_process("mbgcnbd-1", cells, ModelsSection(), sample=False)
        assert fit.log_likelihood == pytest.approx(-9582.135716, abs=1e-5)
        np.testing.assert_allclose(fit.mle, (0.52484321, 6.18308543, 0.89135923, 1.61400161), rtol=1e-4)
        x, t_x, T = (cells[name].to_numpy() for name in ("frequency", "recency_days", "T_days"))
        expected = fit.model.conditional(fit.mle, x, t_x / 7, T / 7, 39.0)
        assert cells["n"].to_numpy() @ expected == pytest.approx(1576.7, abs=0.1)


def plain_log_likelihood(k, parameters, x, t_x, T):
    """The likelihood of one customer by quadrature over the rate, without the gaps' own term."""
    r, alpha, a, b = parameters
    m = x + 1
    stay, leave = np.exp(betaln(a, b + m) - betaln(a, b)), np.exp(betaln(a + 1, b + m - 1) - betaln(a, b))

    def at(rate):
        y = rate * (T - t_x)
        silent = np.exp(-y) * sum(y**j / np.exp(gammaln(j + 1)) for j in range(k))
        prior = np.exp(r * np.log(alpha) - gammaln(r) + (r - 1) * np.log(rate) - alpha * rate)
        return prior * rate ** (k * x) * np.exp(-rate * t_x) * (stay * silent + leave)

    edges = [0, 0.05, 0.2, 0.5, 1, 2, 4, 8, 20, 60]
    return np.log(sum(quad(at, lo, hi, epsrel=1e-11, limit=200)[0] for lo, hi in pairwise(edges)))


@pytest.mark.parametrize("k", [2, 3, 7])
@pytest.mark.parametrize("history", [(0, 0.0, 10.0), (1, 4.0, 12.0), (4, 11.0, 12.0), (6, 5.0, 30.0)])
def test_likelihood_is_the_integral(k, history):
    found = processes.get(f"mbgcnbd-{k}").cell_log_likelihood(TRUTH, *history)[0]
    assert found == pytest.approx(plain_log_likelihood(k, TRUTH, *history), rel=1e-8)


@pytest.mark.parametrize("k", [1, 2, 5, 12])
@pytest.mark.parametrize("point", POINTS)
def test_gradient_is_exact(k, point):
    model = processes.get(f"mbgcnbd-{k}")
    F, whole = model.prepare(*some_cells("mbgnbd"))
    gradient, none = np.zeros(4), np.empty(0)
    model.evaluate(point, F, whole, gradient, none, none)
    step, found = 1e-4, []
    for axis in np.eye(4):
        at = [
            model.evaluate(np.exp(np.log(point) + step * m * axis), F, whole, np.zeros(4), none, none)
            for m in (-2, -1, 1, 2)
        ]
        found.append((at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * step))
    np.testing.assert_allclose(gradient, found, rtol=1e-6, atol=1e-6 * np.abs(gradient).max())


def test_gradient_in_the_coordinates_of_the_priors():
    model = processes.get("mbgcnbd-3")
    target = model.target(*model.prepare(*some_cells("mbgnbd")), model.priors)
    eta = model.coordinates(TRUTH)
    np.testing.assert_allclose(model.from_coordinates(eta), TRUTH, rtol=1e-12)
    assert eta[0] == pytest.approx(np.log(2.0 / (3 * 3.0)))  # mean purchases: the clock's rate over k
    _, gradient = target.value_and_gradient(eta)
    step = 1e-4
    found = [
        sum(
            w * target.value_and_gradient(eta + m * step * axis)[0]
            for w, m in ((1, -2), (-8, -1), (8, 1), (-1, 2))
        )
        / (12 * step)
        for axis in np.eye(4)
    ]
    np.testing.assert_allclose(gradient, found, rtol=1e-6, atol=1e-6 * np.abs(gradient).max())


def phase_value(k, parameters, x, T, j, H, discount, hazard):
    """Expected purchases of a living customer in phase ``j``, from the clock's counts on a fine grid of moments."""
    r, alpha, a, b = parameters
    shape, scale, left = r + k * x + j, alpha + T, b + x + 1

    def by(t):
        t = np.atleast_1d(t)[:, None]
        mean = np.max(shape * t / scale)
        i = np.arange(int(mean + 12 * np.sqrt(mean * (1 + np.max(t) / scale)) + 40 * (1 + np.max(t) / scale)))
        survive = np.exp(betaln(a, left + hazard * np.arange(i.size // k + 2)) - betaln(a, left))
        purchases = np.concatenate([[0], np.cumsum(survive)])
        return (nbinom.pmf(i, shape, scale / (scale + t)) * purchases[(i + j) // k]).sum(axis=1)

    nodes, weights = np.polynomial.legendre.leggauss(12)
    edges = np.linspace(0, H, 31)
    t = (edges[:-1, None] + np.diff(edges)[:, None] * (nodes + 1) / 2).ravel()
    weights = (np.diff(edges)[:, None] * weights / 2).ravel()
    return np.exp(-discount * H) * by(H)[0] + discount * (weights * np.exp(-discount * t)) @ by(t)


@pytest.mark.parametrize("k", [2, 3, 12])
@pytest.mark.parametrize("ask", [(1.0, 0.0, 1.0), (30.0, 0.02, 1.0), (100.0, 0.004, 1.4)])
def test_expected_purchases_by_phase(k, ask):
    """Within 1e-7 of one purchase, a thousandth of what one draw moves it by."""
    for point in POINTS:
        for x in (0, 2, 25):
            T = np.arange(max(1, 3 * x), 546, 60) / 7
            found = _erlang.grid(
                point[None], np.array([float(x)]), np.array([0, T.size]), T, 1, k, ask[0], ask[1], 1.0, ask[2]
            )[0]
            for i, j in ((0, 0), (0, k - 1), (3, k // 2), (T.size - 1, 0)):
                exact = phase_value(k, point, x, T[i], j, *ask)
                assert found[i, j] == pytest.approx(exact, rel=2e-7, abs=1e-8)


def test_without_end_is_the_limit_of_long_horizons():
    model, (x, t_x, T, _) = processes.get("mbgcnbd-3"), some_cells("mbgnbd", size=12)
    for_ever = model.expected(TRUTH, x, T, np.inf, 0.02, t_x=t_x)
    np.testing.assert_allclose(for_ever, model.expected(TRUTH, x, T, 1800.0, 0.02, t_x=t_x), rtol=1e-7)
    draws = np.array([[2.0, 3.0, 1.7, 4.0]])
    undiscounted = model.expected(draws, x, T, np.inf, t_x=t_x)
    np.testing.assert_allclose(undiscounted, MBGNBD.expected(draws, x, T, np.inf), rtol=1e-12)


def test_rate_is_a_faster_clock():
    model, (x, t_x, T, _) = processes.get("mbgcnbd-3"), some_cells("mbgnbd", size=12)
    np.testing.assert_allclose(
        model.expected(TRUTH, x, T, 20.0, rate=1.5, t_x=t_x),
        model.expected(TRUTH, x, T, 30.0, t_x=t_x),
        rtol=1e-7,
    )


def test_silence_brings_the_next_purchase_nearer():
    """Of customers alive, one who has just bought buys later than one who is overdue; and t_x has to be said."""
    model = processes.get("mbgcnbd-4")
    t_x = np.linspace(10, 26, 9)
    found = model.expected(TRUTH, np.full(9, 3), np.full(9, 26.0), 4.0, t_x=t_x)
    assert np.all(np.diff(found) < 0)
    with pytest.raises(ValueError, match="needs t_x"):
        model.expected(TRUTH, np.array([3]), np.array([26.0]), 4.0)


@pytest.mark.parametrize("k", [2, 5])
class TestSimulation:
    customers = 60_000

    def test_counts_have_the_stated_distribution(self, k):
        model = processes.get(f"mbgcnbd-{k}")
        drawn = model.simulate(TRUTH, np.full(self.customers, 26.0), np.random.default_rng(11))
        assert np.all((np.diff(drawn.time) > 0) | (np.diff(drawn.customer) > 0))
        expected = self.customers * model.pmf(TRUTH, np.arange(12), 26.0)
        expected = np.append(expected, self.customers - expected.sum())
        found = np.bincount(np.minimum(drawn.counts(self.customers), 12), minlength=13)
        assert np.sum((found - expected) ** 2 / expected) < chi2.ppf(0.999, 12)
        mean = np.arange(600) @ model.pmf(TRUTH, np.arange(600), 26.0)
        assert model.mean(TRUTH, 26.0) == pytest.approx(mean, rel=1e-6)

    def test_customers_with_a_history_do_as_expected(self, k):
        """Simulated once to the as-of date and beyond: what they did, what is expected, and futures drawn anew."""
        model, rng = processes.get(f"mbgcnbd-{k}"), np.random.default_rng(k)
        T, horizon, discount = 26.0, 20.0, 0.03
        drawn = model.simulate(TRUTH, np.full(self.customers, T + horizon), rng)
        past = drawn.time <= T
        x, t_x = type(drawn)(drawn.customer[past], drawn.time[past]).summary(self.customers)
        later = np.bincount(
            drawn.customer[~past], np.exp(-discount * (drawn.time[~past] - T)), minlength=self.customers
        )
        ages = np.full(self.customers, T)
        future = model.simulate_future(TRUTH, x, t_x, ages, horizon, rng)
        again = np.bincount(future.customer, np.exp(-discount * future.time), minlength=self.customers)
        expected = model.conditional(TRUTH, x, t_x, ages, horizon, discount)
        silent = (ages - t_x) / np.maximum(t_x / np.maximum(x, 1), 0.1)  # in gaps of one's own
        for group in (x == 0, (x > 0) & (silent < 0.5), (x > 0) & (silent >= 0.5) & (silent < 1.5), x > 6):
            assert group.sum() > 300
            for done in (later, again):
                error = done[group].std() / np.sqrt(group.sum())
                assert done[group].mean() == pytest.approx(expected[group].mean(), abs=4 * error)

    def test_the_fit_finds_the_truth(self, k):
        import pandas as pd

        rng, customers = np.random.default_rng(20), 15_000
        T = rng.integers(27 * 7, 78 * 7, customers) / 7
        x, t_x = processes.get(f"mbgcnbd-{k}").simulate(TRUTH, T, rng).summary(customers)
        cells = pd.DataFrame({"frequency": x, "recency_days": 7 * t_x, "T_days": 7 * T, "n": 1})
        fit = fit_process(f"mbgcnbd-{k}", cells, ModelsSection(), sample=False)
        assert np.all(np.abs(fit.mle - TRUTH) < 4 * fit.se)
        assert np.isnan(fit.log_likelihood)  # without the gaps it would be no likelihood of the log


def test_compositions_at_random_are_counted():
    from clvkit.compositions import log_constants

    gaps, span = np.array([1, 2, 5, 20]), np.array([9, 9, 40, 20])
    exact = [np.log(comb(s - 1, m - 1)) for m, s in zip(gaps, span, strict=True)]
    np.testing.assert_allclose(log_constants(gaps, span, 1.0), exact, atol=1e-10)
