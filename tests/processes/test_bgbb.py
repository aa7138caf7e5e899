"""BG/BB against the 1995 donors of its paper, against its formulas in 50 digits, and against simulated donors.

Fader, Hardie & Shang (2010), Marketing Science 29(6). Digits beyond the paper's were computed by an independent program
and agree with it. Seeds are fixed; a chi-square fails only where the stated distribution is excluded at 0.1 %, a mean
where it lies more than 4 standard errors off.
"""

from pathlib import Path

import closed_forms
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp
from scipy.stats import binomtest, chi2

from clvkit import processes
from clvkit.errors import FitError
from clvkit.fitting import fit_process
from clvkit.models_section import ModelsSection
from clvkit.processes import _bgbb

BGBB = processes.get("bgbb")
DONORS = pd.read_csv(Path(__file__).parents[2] / "data_samples" / "donors" / "cohort_1995.csv")
X, LAST, SEEN, N = DONORS.to_numpy().T
PAPER, EXACT = (1.204, 0.750, 0.657, 2.783), (1.20352238, 0.74971636, 0.65671814, 2.78344192)
SECTION = ModelsSection(opportunity="year", processes=("bgbb",), headline="bgbb", sampled=("bgbb",))
WORLDS = [
    PAPER,
    (0.05, 0.8, 0.02, 0.3),
    (30.0, 70.0, 40.0, 900.0),
    (1e-3, 1e-3, 1e-3, 1e-3),
    (1e3, 1e4, 0.3, 1e-3),
]
HISTORIES = [
    (0, 0, 0),
    (0, 0, 6),
    (1, 1, 1),
    (1, 1, 300),
    (3, 4, 6),
    (6, 6, 6),
    (40, 200, 300),
    (200, 200, 300),
]


def cells(x, last, seen, n) -> pd.DataFrame:
    """Cells of a study by year."""
    return pd.DataFrame({"frequency": x, "recency_days": last * 365.25, "T_days": seen * 365.25, "n": n})


def parts(world, x, last, seen):
    """Likelihood of staying, and of dropping out after each number of opportunities: eq. 5, in 50 digits."""
    a, b, c, d = (value if isinstance(value, mp.mpf) else mp.mpf(float(value)) for value in world)
    x, last, seen = (int(value) for value in (x, last, seen))
    bought = lambda s: mp.beta(a + x, b + s - x) / mp.beta(a, b)  # noqa: E731
    stayed = bought(seen) * mp.beta(c, d + seen) / mp.beta(c, d)
    return stayed, mp.fsum(bought(s) * mp.beta(c + 1, d + s) / mp.beta(c, d) for s in range(last, seen))


def total(parameters, x, last, seen, n):
    """Log-likelihood and its gradient in the log parameters."""
    gradient, none = np.empty(4), np.empty(0)
    packed = BGBB.prepare(x, last, seen, n)
    return BGBB.evaluate(np.asarray(parameters, float), *packed, gradient, none, none), gradient


class TestPublished:
    def test_fit(self):
        fit = fit_process("bgbb", cells(X, LAST, SEEN, N), SECTION, sample=False)
        np.testing.assert_allclose(fit.mle, EXACT, rtol=3e-7)
        np.testing.assert_array_equal(fit.mle.round(3), PAPER)  # table 3
        assert fit.log_likelihood == pytest.approx(-33225.581274, abs=5e-7)  # table 3: -33,225.6
        assert fit.customers == 11_104
        assert fit.starts_agreeing > 1
        assert fit.gradient_norm < 1e-9

    def test_each_donor(self):
        """Hardie's sheet of note 010, by pymc-marketing's tests/clv/test_distributions.py; its estimates are unrounded."""
        x = [6, 5, 4, 3, 2, 1, 5, 4, 3, 2, 1, 4, 3, 2, 1, 3, 2, 1, 2, 1, 1, 0]
        last = [6, 6, 6, 6, 6, 6, 5, 5, 5, 5, 5, 4, 4, 4, 4, 3, 3, 3, 2, 2, 1, 0]
        sheet = [-2.18167018824, -4.29485034929, -5.38473334360, -5.80915881601, -5.65172964525, -4.88370164695,
                 -3.71682127437, -5.09558227343, -5.61576884108, -5.50636893346, -4.76723821904, -3.84829625138,
                 -5.05936147828, -5.19562191019, -4.57070931973, -3.52745257839, -4.51620272962, -4.22465969453,
                 -3.01199924784, -3.58817880928, -2.28882847451, -1.16751622367]  # fmt: skip
        np.testing.assert_allclose(BGBB.cell_log_likelihood(EXACT, x, last, 6), sheet, rtol=0, atol=5e-6)

    def test_expected_gifts_of_a_new_donor(self):
        """Hardie's sheet, by pymc-marketing's tests."""
        sheet = [0.4985, 0.9233, 1.2969, 1.6323, 1.9381, 2.2202, 2.4826, 2.7285, 2.9603, 3.1798, 3.3887]
        np.testing.assert_array_equal(BGBB.mean(EXACT, np.arange(1, 12)).round(4), sheet)

    def test_p_alive(self):
        """In the market in 2002: .11, .59, .93 (table 6)."""
        found = BGBB.p_alive(EXACT, [0, 2, 6], [0, 4, 6], 6)
        np.testing.assert_array_equal(found.round(2), [0.11, 0.59, 0.93])
        np.testing.assert_allclose(found, [0.108133, 0.589657, 0.930434], atol=5e-7)

    def test_gifts_of_the_next_five_years(self):
        found = N @ BGBB.conditional(EXACT, X, LAST, SEEN, 5)
        assert found == pytest.approx(12_884.157, abs=5e-4)  # Hardie's sheet: 12,884.2

    def test_gifts_of_the_next_ten_years(self):
        """Donors A and B at the published parameters, by lifetimes' and pymc-marketing's tests."""
        found = BGBB.conditional(EXACT, [0, 4], [0, 5], 6, 10)
        np.testing.assert_allclose(found, [0.1302169, 3.627858], rtol=4e-5)

    def test_histogram(self):
        """Never again 3,454.9, every year 1,253.1: the sheet."""
        found = N.sum() * BGBB.pmf(EXACT, np.arange(7), 6)
        np.testing.assert_array_equal(found[[0, 6]].round(1), [3454.9, 1253.1])
        assert found.sum() == pytest.approx(N.sum(), rel=1e-13)

    def test_discounted_gifts_without_end(self):
        """DERT at 10 % a year; digits of the closed form with Gauss's function, at these parameters."""
        found = BGBB.conditional((1.20, 0.75, 0.66, 2.78), [3, 6, 0], [4, 6, 0], 6, np.inf, np.log(1.1))
        np.testing.assert_array_less(np.abs(found - [1.6214, 5.898, 0.114]), [5e-5, 5e-4, 5e-4])


@pytest.mark.parametrize("world", WORLDS, ids=str)
class TestFormulas:
    def test_likelihood_and_p_alive(self, world):
        exact = [parts(world, *history) for history in HISTORIES]
        found = BGBB.cell_log_likelihood(world, *np.transpose(HISTORIES))
        np.testing.assert_allclose(
            found, [float(mp.log(sum(both))) for both in exact], rtol=1e-11, atol=1e-11
        )
        c, d = world[2:]
        alive = [
            float(both[0] / sum(both)) * (d + h[2]) / (c + d + h[2])
            for both, h in zip(exact, HISTORIES, strict=True)
        ]
        np.testing.assert_allclose(
            BGBB.p_alive(world, *np.transpose(HISTORIES)), alive, rtol=1e-10, atol=1e-300
        )

    def test_gradient(self, world):
        for history in HISTORIES[1:-1]:
            exact = closed_forms.gradient(lambda at, h=history: mp.log(sum(parts(at, *h))), world)
            found = total(world, *(np.array([value]) for value in history), np.ones(1))[1]
            np.testing.assert_allclose(
                found, [float(one) for one in exact], rtol=1e-8, atol=1e-9 * max(1, max(world) / 1e3)
            )

    def test_pmf_is_a_distribution_with_its_mean(self, world):
        count = np.arange(31)
        share = BGBB.pmf(world, count, 30)
        assert share.sum() == pytest.approx(1, abs=1e-10)
        assert share @ count == pytest.approx(BGBB.mean(world, 30), rel=1e-9)
        together = BGBB.pmf(world, count[:, None], np.array([[0, 1, 30]]))
        np.testing.assert_allclose(together[:, 2], share, rtol=1e-12)
        assert together[0, 0] == pytest.approx(1)

    @pytest.mark.parametrize(
        ("horizon", "discount"), [(1, 0.0), (7, 0.1), (400, 0.003), (np.inf, 0.095), (np.inf, 2e-4)]
    )
    @pytest.mark.parametrize("hazard", [1.0, 0.7, 3.0])
    def test_sums_over_the_future(self, world, horizon, discount, hazard):
        """Term by term in 50 digits; without end by Gauss's function."""
        c, left, z = mp.mpf(world[2]), mp.mpf(world[3]) + 6, mp.exp(-mp.mpf(discount))

        def term(k):
            return z**k * mp.gammaprod([left + hazard * k, c + left + 1], [c + left + hazard * k, left + 1])

        if np.isinf(horizon) and hazard == 1:
            exact = z * mp.hyp2f1(1, left + 1, c + left + 1, z)
        elif np.isinf(horizon) and discount < 0.01:
            pytest.skip(
                "a hundred thousand terms; the same integral is tested with a horizon and without a hazard"
            )
        else:
            exact = mp.fsum(term(k) for k in range(1, int(min(horizon, 600)) + 1))
        found = BGBB.expected(world, 2, 6, horizon, discount, hazard=hazard)[0]
        bought = (world[0] + 2) / (world[0] + world[1] + 6)
        assert found == pytest.approx(float(exact) * bought, rel=2e-8)


def test_a_rate_multiplies_the_chance_to_buy_up_to_certainty():
    half, same, twice = (BGBB.expected(PAPER, 3, 6, 5, rate=rate)[0] for rate in (0.5, 1.0, 2.0))
    assert half == pytest.approx(same / 2, rel=1e-14)
    p = np.random.default_rng(5).beta(PAPER[0] + 3, PAPER[1] + 3, 200_000)
    capped = np.minimum(2 * p, 1)
    assert twice / same == pytest.approx(
        capped.mean() / p.mean(), abs=4 * capped.std() / p.mean() / np.sqrt(p.size)
    )


def test_all_gifts_to_come_without_discounting():
    """E[1/θ] exists for γ > 1 and is the limit of ever longer horizons; up to 1 it is infinite, and says so."""
    found = BGBB.expected(np.array([(1.2, 0.8, 3.0, 2.8), (1.2, 0.8, 1.0, 2.8)]), 3, 6, np.inf)
    assert found[0, 0] == pytest.approx(BGBB.expected((1.2, 0.8, 3.0, 2.8), 3, 6, 1e8)[0], rel=1e-7)
    assert found[1, 0] == np.inf
    with pytest.raises(ValueError, match="hazard of 1"):
        BGBB.expected(PAPER, 3, 6, np.inf, hazard=2.0)


def test_posterior_gradient_and_coordinates():
    target = BGBB.target(*BGBB.prepare(X, LAST, SEEN, N), BGBB.priors)
    eta = BGBB.coordinates(np.array(PAPER))
    np.testing.assert_allclose(BGBB.from_coordinates(eta), PAPER, rtol=1e-13)
    np.testing.assert_allclose(eta[:2], [np.log(1.204 / 0.750), np.log(1.954)], rtol=1e-12)
    moves = 1e-4 * np.eye(4)
    slope = [
        (8 * (target.value_and_gradient(eta + m)[0] - target.value_and_gradient(eta - m)[0])
         - target.value_and_gradient(eta + 2 * m)[0] + target.value_and_gradient(eta - 2 * m)[0]) / 12e-4
        for m in moves
    ]  # fmt: skip
    np.testing.assert_allclose(target.value_and_gradient(eta)[1], slope, rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_cells_compress_and_order_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    seen = rng.integers(0, 30, 25)
    last = rng.integers(0, seen + 1)
    x = np.where(last > 0, rng.integers(np.minimum(1, last), last + 1), 0)
    n = rng.integers(1, 9, 25)
    value, gradient = total(PAPER, x, last, seen, n)
    order = rng.permutation(np.repeat(np.arange(25), n))
    again, slope = total(PAPER, x[order], last[order], seen[order], np.ones(order.size))
    assert again == pytest.approx(value, rel=1e-10)
    np.testing.assert_allclose(slope, gradient, rtol=1e-9, atol=1e-9 * np.abs(gradient).max())


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("value", [1e-30, 1e-17, 1e17])
def test_parameters_next_to_nothing_and_beyond_everything(at, value):
    """Samplers go there: the answer is a number, and never an exception inside compiled code."""
    parameters = np.array([1.0, 1.0, 0.5, 0.5])
    parameters[at] = value
    assert not np.isnan(BGBB.cell_log_likelihood(parameters, [0, 1, 2], [0, 1, 2], [3, 3, 3])).any()
    alive = BGBB.p_alive(parameters, [0, 1, 2], [0, 1, 2], [3, 3, 3])
    assert ((alive >= 0) & (alive <= 1)).all()


class TestTimes:
    def test_calendar_months_count_as_whole(self):
        np.testing.assert_array_equal(
            _bgbb.opportunities([28 / 30.4375, 0.0, 62 / 30.4375, 2192 / 365.25]), [1, 0, 2, 6]
        )

    def test_other_times_are_refused(self):
        with pytest.raises(FitError, match=r"whole numbers of them \(got 3\.4\)"):
            BGBB.p_alive(PAPER, 1, 1.0, 3.4)

    def test_two_purchases_at_one_opportunity_are_refused(self):
        with pytest.raises(
            FitError,
            match=r"at most once at an opportunity \(got 4 repeat purchases, the last at opportunity 3",
        ):
            BGBB.p_alive(PAPER, 4, 3, 6)

    def test_an_opportunity_counts_at_its_end(self):
        at = [BGBB.expected(PAPER, 3, 6, horizon)[0] for horizon in (0.5, 1.0, 1.7, 2.0, 730 / 365.25)]
        assert at[0] == 0
        assert at[1] == at[2] < at[3] == at[4]

    def test_one_opportunity_is_too_short_a_history(self):
        with pytest.raises(FitError, match=r"at least 2 opportunities \(got 1 whole years"):
            fit_process("bgbb", cells(np.array([0, 1]), np.array([0, 1]), np.array([1, 1]), [5, 5]), SECTION)


def test_the_study_needs_a_period():
    with pytest.raises(Exception, match=r"bgbb .* only where customers buy at most once in a period"):
        ModelsSection(processes=("bgbb",), headline="bgbb", sampled=())


class TestSimulated:
    def test_counts_have_the_stated_distribution(self):
        customers = 50_000
        counts = BGBB.simulate(PAPER, np.full(customers, 6.0), np.random.default_rng(11)).counts(customers)
        expected = customers * BGBB.pmf(PAPER, np.arange(7), 6)
        assert np.sum((np.bincount(counts, minlength=7) - expected) ** 2 / expected) < chi2.ppf(0.999, 6)

    def test_purchases_come_in_order_and_once_an_opportunity(self):
        T = np.random.default_rng(3).integers(0, 30, 5000)
        drawn = BGBB.simulate(PAPER, T, np.random.default_rng(4))
        assert np.all(
            (np.diff(drawn.customer) > 0) | ((np.diff(drawn.customer) == 0) & (np.diff(drawn.time) >= 1))
        )
        assert np.all((drawn.time >= 1) & (drawn.time <= T[drawn.customer]))

    def test_the_past_of_simulated_customers_is_as_likely_as_stated(self):
        customers = 60_000
        drawn = BGBB.simulate(PAPER, np.full(customers, 12), np.random.default_rng(5))
        past = drawn.time <= 6
        x, last = type(drawn)(drawn.customer[past], drawn.time[past]).summary(customers)
        later = drawn.counts(customers) - x
        forecast = BGBB.conditional(PAPER, x, last, np.full(customers, 6), 6)
        for band in np.array_split(np.argsort(forecast, kind="stable"), 6):
            error = later[band].std() / np.sqrt(band.size)
            assert later[band].mean() == pytest.approx(forecast[band].mean(), abs=4 * error)

    @pytest.mark.parametrize("history", [(0, 0, 0), (0, 0, 6), (3, 4, 6), (6, 6, 6)])
    def test_futures_have_the_conditional_mean(self, history):
        copies, discount = 20_000, 0.1
        drawn = BGBB.simulate_future(
            PAPER, *(np.full(copies, v) for v in history), 8.0, np.random.default_rng(6)
        )
        for rate in (0.0, discount):
            value = np.bincount(drawn.customer, np.exp(-rate * drawn.time), minlength=copies)
            exact = BGBB.conditional(PAPER, *history, 8, rate)[0]
            assert value.mean() == pytest.approx(exact, abs=4 * value.std() / np.sqrt(copies))

    def test_the_fit_finds_the_truth(self):
        """20,000 donors of several cohorts, 3 to 10 opportunities: each estimate within 4 standard errors."""
        customers, rng = 20_000, np.random.default_rng(20)
        seen = rng.integers(3, 11, customers)
        x, last = BGBB.simulate(PAPER, seen, rng).summary(customers)
        fit = fit_process("bgbb", cells(x, last, seen, 1), SECTION, sample=False)
        assert np.all(np.abs(fit.mle - PAPER) < 4 * fit.se)
        assert np.all(fit.se < 0.3 * np.array(PAPER))

    @pytest.mark.slow
    def test_intervals_hold_the_truth(self):
        """90 % intervals of each parameter in 100 worlds drawn from the prior: excluded at 0.1 % or not.

        An interval that holds 70 % is found with a chance of 95 % or more.
        """
        rng = np.random.default_rng(21)
        sampler = SECTION.sampler.model_copy(update={"method": "laplace"})
        section = SECTION.model_copy(update={"sampler": sampler})
        mean, sd = ([getattr(prior, name) for prior in BGBB.priors.values()] for name in ("mean", "sd"))
        seen, inside, worlds = np.full(1500, 12), np.zeros(4, int), 0
        while worlds < 100:
            truth = BGBB.from_coordinates(rng.normal(mean, sd))
            x, last = BGBB.simulate(truth, seen, rng).summary(seen.size)
            if not x.sum():
                continue  # nothing to fit
            fit = fit_process("bgbb", cells(x, last, seen, 1), section)
            low, high = np.quantile(fit.flat, [0.05, 0.95], axis=0)
            inside += (truth >= low) & (truth <= high)
            worlds += 1
        for name, count in zip(BGBB.parameters, inside, strict=True):
            found = binomtest(int(count), worlds, 0.9)
            print(name, count, worlds, found.proportion_ci(0.95))
            assert found.pvalue > 0.001
