"""sBG and BdW against their papers, against formulas in 50 digits and quadrature over θ, and against simulated contracts.

Seeds are fixed; a chi-square fails only where the stated distribution is excluded at 0.1 %, a mean where it lies more
than 4 standard errors off.
"""

import closed_forms
import numpy as np
import pytest
from mpmath import mp
from scipy.integrate import quad
from scipy.special import hyp2f1
from scipy.stats import chi2
from survivors import BLUE_APRON, HIGH_END, REGULAR, spells

from clvkit import processes
from clvkit.errors import FitError
from clvkit.processes import _contract

SBG, BDW = (processes.get(name) for name in processes.CONTRACT)
# their estimates from 7 renewals, with the digits that an independent program gives
AT_REGULAR, AT_HIGH_END = (0.70407732, 1.18204308), (0.66808832, 3.80609472)
WORLDS = [
    (0.7, 1.2, 1.0),
    (0.2593, 1.7225, 1.5844),
    (1e-7, 3e-7, 0.5),
    (1e3, 1e4, 0.3),
    (3.2e6, 8.0, 1.7),
    (2.0, 3.2e6, 1.0),
    (1e-13, 5.0, 3.0),
    (5.0, 1e-13, 1e-6),
]
SPELLS = [
    (0, True, 0),
    (0, False, 0),
    (1, True, 0),
    (6, True, 2),
    (7, False, 5),
    (240, True, 0),
    (900, False, 13),
]


def log_likelihood(parameters, alive) -> float:
    renewals, ended, n = spells(alive)
    return SBG.log_likelihood(parameters, renewals, ended, n=n)


def exactly(world, renewals, ended, entry):
    """Log-likelihood of one contract in 50 digits: Fader et al. (2018), eqs. 3 and 4."""
    gamma, delta, c = (value if isinstance(value, mp.mpf) else mp.mpf(value) for value in world)

    def survival(t):
        u = mp.mpf(t) ** c
        return mp.gammaprod([delta + u, gamma + delta], [gamma + delta + u, delta])

    there = survival(int(renewals)) - (survival(int(renewals) + 1) if ended else 0)
    return mp.log(there / survival(int(entry)))


def over_theta(function, first, second):
    """E[function(θ)] over Beta(first, second), by quadrature with the ends as weights."""
    plain = quad(lambda _: 1.0, 0, 1, weight="alg", wvar=(first - 1, second - 1))[0]
    return quad(function, 0, 1, weight="alg", wvar=(first - 1, second - 1), epsabs=0, epsrel=1e-11)[0] / plain


class TestPublished:
    def test_log_likelihood(self):
        """Fader & Hardie (2007), appendix B; digits recomputed."""
        assert log_likelihood(AT_HIGH_END, HIGH_END[:8]) == pytest.approx(-1611.1581, abs=5e-5)
        assert log_likelihood(AT_REGULAR, REGULAR[:8]) == pytest.approx(-1680.2652, abs=5e-5)
        for at, high_end, regular in [
            ((1, 1), -2115.5455, -1741.7303),
            ((0.01, 0.01), -2741.7009, -2756.7198),
        ]:
            assert log_likelihood(at, HIGH_END[:8]) == pytest.approx(high_end, abs=5e-5)
            assert log_likelihood(at, REGULAR[:8]) == pytest.approx(regular, abs=5e-5)

    def test_the_paper_misprints_an_estimate(self):
        """Its body has α = .688 for High End; its appendix and the data say .668."""
        as_printed = log_likelihood((0.688, 3.806), HIGH_END[:8])
        assert as_printed < log_likelihood((0.668, 3.806), HIGH_END[:8]) - 0.1

    def test_survival(self):
        regular = [
            62.671,
            47.382,
            38.797,
            33.207,
            29.235,
            26.246,
            23.902,
            22.008,
            20.441,
            19.119,
            17.986,
            17.004,
        ]
        high_end = [85.068, 74.686, 66.979, 60.992, 56.183, 52.222, 48.891, 46.044, 43.578, 41.417, 39.506, 37.800]  # fmt: skip
        for at, exact in ((AT_REGULAR, regular), (AT_HIGH_END, high_end)):
            found = SBG.survival(at, np.arange(13))
            np.testing.assert_allclose(100 * found, [100, *exact], atol=5.1e-4)

    def test_the_projection_falls_short_in_year_12(self):
        """The paper says that it over-estimates by 4 % and 2 %; at its own estimates it is 4.1 % and 1.7 % too low."""
        errors = [
            1000 * SBG.survival(at, 12) / seen[12] - 1
            for at, seen in ((AT_HIGH_END, HIGH_END), (AT_REGULAR, REGULAR))
        ]
        np.testing.assert_allclose(errors, [-0.041, -0.017], atol=5e-4)

    def test_retention(self):
        regular = [0.62671, 0.75605, 0.81882, 0.85590, 0.88038, 0.89775, 0.91072, 0.92077, 0.92878, 0.93532, 0.94076, 0.94536]  # fmt: skip
        high_end = [0.85068, 0.87796, 0.89681, 0.91061, 0.92116, 0.92948, 0.93622, 0.94177, 0.94644, 0.95042, 0.95384, 0.95683]  # fmt: skip
        for at, exact in ((AT_REGULAR, regular), (AT_HIGH_END, high_end)):
            np.testing.assert_allclose(SBG.retention(at, np.arange(1, 13)), exact, atol=5.1e-6)

    def test_mean_churn(self):
        """E(θ) = .37 and .15 (2007)."""
        found = 1 - np.array([SBG.retention(at, 1) for at in (AT_REGULAR, AT_HIGH_END)])
        np.testing.assert_array_equal(found.round(3), [0.373, 0.149])

    def test_bdw_survival(self):
        """From 4 renewals, the "five-year" data of the notebook with Fader et al. (2018); digits recomputed."""
        regular = [28.754, 25.889, 23.659, 21.864, 20.384, 19.137, 18.070, 17.145]
        high_end = [54.661, 51.037, 48.104, 45.669, 43.604, 41.823, 40.267, 38.891]
        for at, exact in (((0.52303, 0.89428, 1.19640), regular), ((0.25934, 1.72255, 1.58436), high_end)):
            np.testing.assert_allclose(100 * BDW.survival(at, np.arange(5, 13)), exact, atol=2e-3)

    def test_del_and_derl(self):
        """Fader & Hardie (2010), eqs. 5 and 6, at the published estimates and 10 %; digits recomputed."""
        assert SBG.lifetime((0.668, 3.806), 0.1) == pytest.approx(5.9226, abs=5e-5)
        assert SBG.lifetime((0.704, 1.182), 0.1) == pytest.approx(3.6951, abs=5e-5)
        found = SBG.derl((0.668, 3.806), np.arange(5), 0.1)
        np.testing.assert_allclose(found, [5.4149, 5.9018, 6.2943, 6.6203, 6.8971], atol=5.1e-5)

    def test_derl_of_alike_and_of_unlike_contracts(self):
        """Table 3 of Fader & Hardie (2010): both mixtures have a mean churn of 20 %, and T = 1 to 5 periods."""
        alike, unlike = (SBG.derl(at, np.arange(5), 0.1) for at in ((3.80, 15.20), (0.067, 0.267)))
        np.testing.assert_array_equal(alike.round(2), [3.31, 3.45, 3.59, 3.72, 3.84])
        np.testing.assert_allclose(alike, [3.3098, 3.4510, 3.5865, 3.7168, 3.8421], atol=5.1e-5)
        # printed with estimates of more digits than these
        np.testing.assert_allclose(unlike, [7.68, 9.46, 9.86, 10.06, 10.19], atol=0.0101)
        np.testing.assert_allclose(unlike, [7.6708, 9.4553, 9.8508, 10.0562, 10.1886], atol=5.1e-5)

    def test_residual_value(self):
        """Fader & Hardie (2015): $100 a period at 10 %, after 1, 2 and 5 periods, against $343 at one rate for all."""
        found = 100 * SBG.derl((0.764, 1.296), [0, 1, 4], 0.1)
        np.testing.assert_allclose(found, [288.22, 393.94, 568.25], atol=5.1e-3)
        assert 100 * 0.833 * 1.1 / (1.1 - 0.833) == pytest.approx(343, abs=0.5)
        flat = SBG.derl((0.167e9, 0.833e9), 3, 0.1)  # contracts that are all alike
        assert 100 * flat == pytest.approx(343, abs=0.5)

    def test_straight_lines_through_survival_go_wrong(self):
        """Year 12 of High End by regression over years 0 to 7: −81, +92 and −30 % (2007)."""
        years, seen = np.arange(8), np.array(HIGH_END[:8]) / 1000
        at_12 = [np.polyval(np.polyfit(years, seen, degree), 12) for degree in (1, 2)]
        at_12.append(np.exp(np.polyval(np.polyfit(years, np.log(seen), 1), 12)))
        np.testing.assert_allclose(np.array(at_12) / 0.394 - 1, [-0.81, 0.92, -0.30], atol=5.1e-3)


class TestBlueApron:
    """One rate for all, two segments and sBG see 88, 665 and 1,137 of 10,000 customers in month 24."""

    def test_one_rate_of_churn(self):
        renewals, ended, n = spells(BLUE_APRON)
        churn = (n @ ended) / (n @ (renewals + ended))
        assert churn == pytest.approx(0.17886, abs=5e-6)
        natural = (n @ ended) * np.log(churn) + (n @ renewals) * np.log1p(-churn)
        assert natural == pytest.approx(-21568.74, abs=5e-3)
        assert natural / np.log(10) == pytest.approx(-9367.18, abs=5e-3)  # the file takes logs to base 10
        assert round(10_000 * (1 - churn) ** 24) == 88
        # and sBG of contracts that are all alike is that
        assert log_likelihood((churn * 1e13, (1 - churn) * 1e13), BLUE_APRON) == pytest.approx(
            natural, abs=1e-5
        )

    def test_two_segments(self):
        share, churn = np.array([0.4604, 0.5396]), np.array([0.07744, 0.56606])
        survival = lambda t: (1 - churn) ** np.asarray(t)[..., None] @ share  # noqa: E731
        renewals, ended, n = spells(BLUE_APRON)
        natural = n @ np.log(survival(renewals) - ended * survival(renewals + 1))
        assert natural == pytest.approx(-19914.05, abs=5e-3)
        assert natural / np.log(10) == pytest.approx(-8648.56, abs=5e-3)
        assert round(10_000 * survival(24)) == 665

    def test_sbg(self):
        """Better than two segments by 51, with one parameter fewer."""
        at = (0.7104, 1.3072)
        assert log_likelihood(at, BLUE_APRON) == pytest.approx(-19863.09, abs=5e-3)
        assert 10_000 * SBG.survival(at, 24) == pytest.approx(1137, abs=0.5)


class TestFormulas:
    @pytest.mark.parametrize("world", WORLDS, ids=str)
    def test_likelihood(self, world):
        found = BDW.cell_log_likelihood(world, *np.transpose(SPELLS))
        mp.dps = 60  # 1e-13 beside 1 in a difference
        exact = [float(exactly(world, *spell)) for spell in SPELLS]
        mp.dps = 50
        np.testing.assert_allclose(found, exact, rtol=1e-13, atol=1e-13)

    @pytest.mark.parametrize("world", WORLDS, ids=str)
    def test_gradient(self, world):
        for spell in SPELLS:
            exact = closed_forms.gradient(lambda at, s=spell: exactly(at, *s), world)
            packed, found = BDW.prepare(*(np.array([value]) for value in spell), np.ones(1)), np.empty(3)
            BDW.evaluate(np.array(world), *packed, found, np.empty(0), np.empty(0))
            size = max(abs(float(one)) for one in exact)
            # both sides are differences where a contract ran long: relative to the largest slope
            np.testing.assert_allclose(
                found, [float(one) for one in exact], rtol=1e-9, atol=1e-12 * max(1, size), err_msg=str(spell)
            )

    def test_the_second_difference_of_log_gamma_keeps_its_digits(self):
        rng = np.random.default_rng(1)
        mp.dps = 90
        for z, g, w in np.exp(rng.uniform(-30, 30, (150, 3))):
            a, b, c = mp.mpf(z), mp.mpf(g), mp.mpf(w)
            signs = ((a + b + c, 1), (a + b, -1), (a + c, -1), (a, 1))
            value, slope = _contract.mixed(z, g, w)
            assert value == pytest.approx(float(mp.fsum(s * mp.loggamma(x) for x, s in signs)), rel=3e-15)
            assert slope == pytest.approx(float(mp.fsum(s * mp.digamma(x) for x, s in signs)), rel=1e-13)
            rise = float(mp.digamma(a + c) - mp.digamma(a))
            assert _contract.rise(z, w) == pytest.approx(rise, rel=3e-15)
        mp.dps = 50

    def test_bdw_with_c_1_is_sbg(self):
        """By the recursion P(T=t) = P(T=t−1)(β+t−2)/(α+β+t−1) with P(T=1) = α/(α+β): Fader & Hardie (2007), eq. 7."""
        alpha, beta = AT_HIGH_END
        chance = [alpha / (alpha + beta)]
        for t in range(2, 41):
            chance.append(chance[-1] * (beta + t - 2) / (alpha + beta + t - 1))
        for model, at in ((SBG, (alpha, beta)), (BDW, (alpha, beta, 1.0))):
            found = model.cell_log_likelihood(at, np.arange(40), True)
            np.testing.assert_allclose(np.exp(found), chance, rtol=1e-13)
            np.testing.assert_allclose(
                model.survival(at, np.arange(1, 41)), 1 - np.cumsum(chance), rtol=1e-12
            )

    def test_survival_given_entry(self):
        at, t = (0.26, 1.72, 1.58), np.arange(12)
        given = BDW.survival(at, t, 3)
        np.testing.assert_allclose(given[3:], BDW.survival(at, t[3:]) / BDW.survival(at, 3), rtol=1e-14)
        assert (given[:4] == 1).all()
        np.testing.assert_allclose(np.log(given[5]), BDW.cell_log_likelihood(at, 5, False, 3)[0], rtol=1e-13)

    def test_draws_come_first(self):
        draws = np.array([AT_REGULAR, AT_HIGH_END])
        for method, args, shape in [
            (SBG.survival, (np.arange(5),), (5,)), (SBG.survival, (3,), ()), (SBG.retention, (np.ones((2, 3)),), (2, 3)),
            (SBG.derl, ([4, 0, 4], 0.1), (3,)), (SBG.derl, (2, 0.1, 12, 1.3), ()), (SBG.lifetime, (0.1,), ()),
            (SBG.retention_elasticity, ([1, 2], 0.1), (2,)), (SBG.cell_log_likelihood, ([1, 2], [True, False]), (2,)),
        ]:  # fmt: skip
            both, one = method(draws, *args), method(AT_HIGH_END, *args)
            assert np.shape(both) == (2, *shape) and np.shape(one) == shape
            np.testing.assert_allclose(both[1], one, rtol=1e-14)

    def test_posterior_gradient_and_coordinates(self):
        renewals, ended, n = spells(HIGH_END[:8])
        for model, at in ((SBG, np.array(AT_HIGH_END)), (BDW, np.array([0.26, 1.72, 1.58]))):
            eta = model.coordinates(at)
            np.testing.assert_allclose(eta[:2], [np.log(at[0] / at[1]), np.log(at[0] + at[1])], rtol=1e-13)
            np.testing.assert_allclose(model.from_coordinates(eta), at, rtol=1e-13)
            target = model.target(*model.prepare(renewals, ended, 0 * renewals, n), model.priors)
            value, step = lambda by: target.value_and_gradient(eta + by)[0], 1e-4 * np.eye(len(at))  # noqa: B023
            slope = [(8 * (value(m) - value(-m)) - value(2 * m) + value(-2 * m)) / 12e-4 for m in step]
            np.testing.assert_allclose(target.value_and_gradient(eta)[1], slope, rtol=1e-6, atol=1e-6)


class TestValues:
    @pytest.mark.parametrize("at", [(0.764, 1.296), (3.8, 15.2), (0.067, 0.267), (4.0, 9.0)], ids=str)
    def test_closed_forms_of_sbg(self, at):
        """Fader & Hardie (2010), eqs. 5 and 6, and the elasticity, by Gauss's function."""
        (a, b), v = at, 1 / 1.1
        m = np.array([0, 1, 7, 40])
        first = (b + m) / (a + b + m)
        assert SBG.lifetime(at, 0.1) == pytest.approx(hyp2f1(1, b, a + b, v), rel=1e-9)
        plain = first * hyp2f1(1, b + m + 1, a + b + m + 1, v)
        np.testing.assert_allclose(SBG.derl(at, m, 0.1), plain, rtol=1e-9)
        weighted = first * hyp2f1(2, b + m + 1, a + b + m + 1, v)
        np.testing.assert_allclose(SBG.retention_elasticity(at, m, 0.1), weighted / plain, rtol=1e-9)

    @pytest.mark.parametrize("hazard", [1.0, 0.5, 2.5])
    @pytest.mark.parametrize("discount", [0.1, 0.004])
    def test_sbg_by_quadrature_over_churn(self, discount, hazard):
        """θ given m renewals is Beta(α, β+m); with probability q of staying all the sum is q/(1−vq)."""
        v = 1 / (1 + discount)

        def worth(theta, horizon=np.inf):
            stay = (1 - theta) ** hazard
            end = 0.0 if np.isinf(horizon) else (v * stay) ** horizon
            return stay * (1 - end) / (1 - v * stay)

        for alpha, beta in ((0.764, 1.296), (3.8, 15.2)):
            for m in (0, 6):
                exact = over_theta(worth, alpha, beta + m)
                assert SBG.derl((alpha, beta), m, discount, hazard=hazard) == pytest.approx(exact, rel=1e-8)
                for horizon in (1, 40, 65, 300):
                    exact = over_theta(lambda theta, h=horizon: worth(theta, h), alpha, beta + m)
                    found = SBG.derl((alpha, beta), m, discount, horizon, hazard)
                    assert found == pytest.approx(exact, rel=1e-8)

    @pytest.mark.parametrize("hazard", [1.0, 0.5, 2.5])
    def test_bdw_by_quadrature_over_churn(self, hazard):
        """θ given m renewals is Beta(γ, δ+m^c), and of one contract −log S rises by hazard·((m+k)^c − m^c)."""
        (gamma, delta, c), m = (0.8, 1.7, 1.4), 3
        chance = [
            over_theta(lambda q, k=k: (1 - q) ** (hazard * ((m + k) ** c - m**c)), gamma, delta + m**c)
            for k in range(1, 121)
        ]
        for horizon, discount in ((5, 0.1), (80, 0.02), (np.inf, 0.3)):
            terms = np.array(chance[: int(min(horizon, 120))]) * (1 + discount) ** -np.arange(
                min(horizon, 120.0)
            )
            found = BDW.derl((gamma, delta, c), m, discount, horizon, hazard)
            assert found == pytest.approx(terms.sum(), rel=1e-8)

    @pytest.mark.parametrize(
        "at", [(0.7, 1.3, 0.4), (0.3, 1.7, 1.6), (1e3, 1e7, 3.0), (1e6, 9e6, 1.2), (1e-3, 1e-3, 3.0)], ids=str
    )
    def test_long_horizons_against_plain_sums(self, at):
        chance = BDW.survival(at, 4 + np.arange(1, 30_001), 4)
        for horizon, discount in ((64, 0.0), (65, 0.0), (500, 0.0), (30_000, 0.001), (np.inf, 0.002)):
            k = np.arange(1, min(horizon, 30_000) + 1)
            terms = chance[: len(k)] * (1 + discount) ** -(k - 1.0)
            assert BDW.derl(at, 4, discount, horizon) == pytest.approx(terms.sum(), rel=2e-9)
            elastic = k @ terms / terms.sum()
            assert BDW.retention_elasticity(at, 4, discount, horizon) == pytest.approx(elastic, rel=2e-9)

    def test_finite_horizons_grow_to_the_infinite_one(self):
        for model, at in ((SBG, AT_REGULAR), (BDW, (0.26, 1.72, 1.58))):
            values = [model.derl(at, 2, 0.1, horizon) for horizon in (0, 1, 10, 100, 1000, np.inf)]
            assert values[0] == 0 and values[1] == pytest.approx(model.retention(at, 3), rel=1e-14)
            assert np.all(np.diff(values) >= 0) and values[2] < 0.9 * values[-1]
            assert values[4] == pytest.approx(values[-1], rel=1e-9)

    def test_what_is_counted(self):
        """A period now and then the renewals to come; the renewal at hand at full value."""
        at, d = AT_HIGH_END, 0.1
        s = SBG.survival(at, np.arange(4))
        assert SBG.lifetime(at, d, 3) == pytest.approx(s[0] + s[1] / 1.1 + s[2] / 1.21, rel=1e-13)
        assert SBG.derl(at, 0, d, 2) == pytest.approx(s[1] + s[2] / 1.1, rel=1e-13)
        assert SBG.derl(at, 1, d, 2) == pytest.approx((s[2] + s[3] / 1.1) / s[1], rel=1e-13)
        assert SBG.lifetime(at, d, 0) == 0

    def test_no_discounting_and_no_end(self):
        """Σ S(m+k)/S(m) = E[(1−θ)/θ] = (β+m)/(α−1) for α > 1, else infinite; the elasticity exists for α > 2."""
        m = np.array([0, 5])
        for alpha in (1.05, 1.5, 2.5, 30.0):
            found = SBG.derl((alpha, 3.0), m, 0.0)
            np.testing.assert_allclose(found, (3 + m) / (alpha - 1), rtol=1e-8)
            elastic = SBG.retention_elasticity((alpha, 3.0), m, 0.0)
            np.testing.assert_allclose(
                elastic, (alpha + 2 + m) / (alpha - 2) if alpha > 2 else np.inf, rtol=1e-8
            )
        assert np.isinf(SBG.derl((1.0, 3.0), m, 0.0)).all() and np.isinf(BDW.derl((2.0, 3.0, 0.5), 0, 0.0))
        assert BDW.derl((2.0, 3.0, 0.8), 0, 0.0) == pytest.approx(
            BDW.derl((2.0, 3.0, 0.8), 0, 1e-13), rel=1e-5
        )

    def test_elasticity_is_that_of_one_per_cent_more_retention(self):
        """Of contracts all alike (1+d)/(1+d−r); of unlike ones by moving everybody's (1−θ) and summing anew."""
        alike = SBG.retention_elasticity((0.2e9, 0.8e9), 2, 0.1)
        assert alike == pytest.approx(1.1 / 0.3, rel=1e-6)
        (alpha, beta), m, v = (3.8, 15.2), 2, 1 / 1.1

        def moved(by):
            return over_theta(lambda q: (1 - q) * by / (1 - v * (1 - q) * by), alpha, beta + m)

        slope = (moved(1 + 1e-4) - moved(1 - 1e-4)) / 2e-4 / moved(1.0)
        assert SBG.retention_elasticity((alpha, beta), m, 0.1) == pytest.approx(slope, rel=1e-6)
        # one rate for everybody understates both: Fader & Hardie (2010)
        rate = SBG.retention((0.764, 1.296), 5)
        assert SBG.derl((0.764, 1.296), 4, 0.1) > rate * 1.1 / (1.1 - rate)
        assert SBG.retention_elasticity((0.764, 1.296), 4, 0.1) > 1.1 / (1.1 - rate)

    def test_a_hazard_multiplies_everybodys(self):
        values = [BDW.derl((0.26, 1.72, 1.58), 3, 0.1, hazard=h) for h in (1e-9, 0.5, 1.0, 2.0, 1e18)]
        assert np.all(np.diff(values) < 0)
        assert values[0] == pytest.approx(11, rel=1e-5)  # nobody leaves
        assert values[-1] < 0.001  # nobody stays, but for whose θ is as good as 0

    def test_what_makes_no_sense_is_refused(self):
        for call, words in [
            (lambda: SBG.derl(AT_REGULAR, 1.5, 0.1), "renewals must be whole numbers"),
            (lambda: SBG.derl(AT_REGULAR, 1, -0.01), "rate of discount must be 0 or more"),
            (lambda: SBG.derl(AT_REGULAR, 1, 0.1, hazard=0.0), "must be positive"),
            (lambda: SBG.derl(AT_REGULAR, 1, 0.1, 2.5), "horizon must be whole"),
            (lambda: SBG.retention(AT_REGULAR, 0), "first renewal is number 1"),
        ]:
            with pytest.raises(ValueError, match=words):
                call()


@pytest.mark.parametrize("at", range(3))
@pytest.mark.parametrize("value", [1e-30, 1e-13, np.exp(15), 1e17, 1e30])
def test_parameters_next_to_nothing_and_beyond_everything(at, value):
    """Samplers and searches go there: the answer is a number, with a gradient, and a share is a share."""
    parameters = np.array([0.7, 1.2, 1.1])
    parameters[at] = value
    made = np.array([0, 1, 2, 30, 1000])
    packed = BDW.prepare(made, made % 2 == 0, np.minimum(made, 1), np.ones(5))
    gradient = np.empty(3)
    assert np.isfinite(BDW.evaluate(parameters, *packed, gradient, np.empty(0), np.empty(0)))
    assert np.isfinite(gradient).all()
    share = BDW.survival(parameters, made)
    assert ((share >= 0) & (share <= 1)).all() and (np.diff(share) <= 0).all()
    worth = BDW.derl(parameters, made, 0.1)
    assert ((worth >= 0) & (worth <= 11 * (1 + 1e-9))).all()
    assert np.isfinite(BDW.derl(parameters, made, 0.1, 120, 1.5)).all()


class TestImpossible:
    @pytest.mark.parametrize(
        ("history", "words"),
        [
            (
                (1.5, True, 0, 3),
                "whole numbers of 0 or more .row 1: renewals 1.5, ended True, entry 0, n 3; 1 such",
            ),
            ((-1, True, 0, 3), "renewals are counted"),
            ((np.nan, True, 0, 3), "renewals are counted"),
            ((3, True, 0.5, 3), "entry is a count"),
            ((3, False, 4, 3), "seen from entry on"),
            ((3, 2, 0, 3), "ended must be true or false"),
            ((3, False, 0, -1), "n counts contracts"),
            ((3, False, 0, np.inf), "n counts contracts"),
        ],
    )
    def test_histories_are_refused(self, history, words):
        columns = np.array([(2, True, 0, 1), history], dtype=object).T
        with pytest.raises(FitError, match=words):
            SBG.prepare(*(np.array(list(column)) for column in columns))


class TestSimulated:
    @pytest.mark.parametrize("at", [(0.67, 3.8), (0.26, 1.72, 1.58), (2.0, 3.0, 0.6)], ids=str)
    def test_new_contracts_have_the_stated_distribution(self, at):
        model, contracts, periods = BDW if len(at) == 3 else SBG, 40_000, 9
        made, ended = model.simulate(at, np.full(contracts, periods), np.random.default_rng(11))
        assert (made[~ended] == periods).all() and (made[ended] < periods).all()
        share = np.exp(
            model.cell_log_likelihood(at, np.arange(periods + 1), np.arange(periods + 1) < periods)
        )
        assert share.sum() == pytest.approx(1, rel=1e-13)
        expected = contracts * share
        assert np.sum((np.bincount(made) - expected) ** 2 / expected) < chi2.ppf(0.999, periods)

    @pytest.mark.parametrize("hazard", [1.0, 1.8])
    @pytest.mark.parametrize("at", [(0.67, 3.8), (0.26, 1.72, 1.58)], ids=str)
    def test_futures_have_the_mean_of_derl(self, at, hazard):
        model, contracts = BDW if len(at) == 3 else SBG, 40_000
        rng = np.random.default_rng(12)
        for renewals in (0, 4):
            more, ended = model.simulate_future(at, np.full(contracts, renewals), 12, rng, hazard)
            exact = model.derl(at, renewals, 0.0, 12, hazard)
            assert more.mean() == pytest.approx(exact, abs=4 * more.std() / np.sqrt(contracts))
            assert (more[~ended] == 12).all() and (more[ended] < 12).all()

    def test_nothing_follows_where_nothing_is_followed(self):
        made, ended = SBG.simulate((0.7, 1.2), np.zeros(10, int), np.random.default_rng(1))
        assert not made.any() and not ended.any()
        made, ended = SBG.simulate((1e9, 1e-9), np.full(10, 3), np.random.default_rng(1))
        assert not made.any() and ended.all()
        made, ended = SBG.simulate((1e-9, 1e9), np.full(10, 3), np.random.default_rng(1))
        assert (made == 3).all() and not ended.any()
