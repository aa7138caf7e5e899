"""Pareto/NBD against its papers' formulas in 50 digits, and against printed values."""

import math

import closed_forms
import numpy as np
import pytest
import stories
from mpmath import mp

from clvkit import processes

PARETONBD = processes.get("paretonbd")
CDNOW = (0.55327701, 10.57768261, 0.60623994, 11.66873405)
PRINTED = (0.553, 10.578, 0.606, 11.669)
WORLDS = [
    PRINTED,
    (0.5143, 2.8845, 0.2856, 14.1087),
    (2.0, 0.5, 1.0000001, 3.0),  # s ≈ 1, where closed forms divide by s − 1
    (0.05, 100.0, 3.5, 0.2),  # α far above β, short lives
    (1.3, 7.0, 0.1, 400.0),  # β far above α, long lives
]
FREQUENCIES = (0, 5, 29, 161, 300, 600)


def _histories(x):
    """Early and late last purchases, T = t_x, and an age of zero for those without a repeat."""
    if x == 0:
        return [(0.0, 39.0), (0.0, 0.14), (0.0, 0.0), (0.0, 400.0)]
    return [(0.14, 39.0), (38.86, 39.0), (39.0, 39.0), (100.0, 103.5), (100.0, 400.0)]


@pytest.mark.parametrize("world", [WORLDS[0], WORLDS[3], WORLDS[4]], ids=str)
@pytest.mark.parametrize("x", FREQUENCIES)
def test_likelihood_and_p_alive_against_quadrature(world, x):
    for t_x, T in _histories(x):
        stayed, ended = closed_forms.paretonbd_parts(world, x, t_x, T)
        found = PARETONBD.cell_log_likelihood(world, x, t_x, T)[0]
        assert found == pytest.approx(float(mp.log(stayed + ended)), abs=1e-9), (t_x, T)
        alive = float(stayed / (stayed + ended))
        assert PARETONBD.p_alive(world, x, t_x, T)[0] == pytest.approx(alive, rel=2e-9, abs=1e-300), (t_x, T)


@pytest.mark.parametrize("world", WORLDS[:3], ids=str)
@pytest.mark.parametrize("history", [(0, 0.0, 39.0), (2, 30.43, 38.86), (29, 10.0, 39.0)], ids=str)
def test_likelihood_against_the_hypergeometric_form(world, history):
    exact = float(closed_forms.paretonbd_hypergeometric(world, *history))
    assert PARETONBD.cell_log_likelihood(world, *history)[0] == pytest.approx(exact, abs=1e-9)


def test_cells_together_are_the_cells_alone(cdnow_cells):
    """The integral is tabulated over all moments of a frequency at once: that must not lose digits."""
    some = cdnow_cells.iloc[::40]
    columns = some["frequency"].to_numpy(), some["recency_days"].to_numpy() / 7, some["T_days"].to_numpy() / 7
    alone = [PARETONBD.cell_log_likelihood(CDNOW, *cell)[0] for cell in zip(*columns, strict=True)]
    together = PARETONBD.cell_log_likelihood(
        CDNOW, cdnow_cells["frequency"], cdnow_cells["recency_days"] / 7, cdnow_cells["T_days"] / 7
    )
    np.testing.assert_allclose(together[::40], alone, rtol=0, atol=2e-9)


@pytest.mark.parametrize(
    ("parameters", "history", "value"),
    [
        ((0.55, 10.58, 0.61, 11.67), (1, 1.5, 12.0), -4.00694866),
        ((0.45, 10.58, 0.61, 11.67), (1, 1.5, 12.0), -4.14770211),
        ((0.45, 10.58, 0.71, 11.67), (1, 1.5, 12.0), -4.13593316),
        ((0.55, 11.67, 0.61, 10.58), (1, 1.5, 12.0), -4.03618538),
        ((0.55, 11.67, 0.61, 10.58), (4, 5.3, 10.0), -10.72932589),
        ((0.55, 11.67, 0.61, 10.58), (2, 6.0, 8.0), -6.66878882),
    ],
)
def test_likelihoods_of_another_program(parameters, history, value):
    """pymc-marketing 0.19.2, tests/clv/test_distributions.py."""
    assert PARETONBD.cell_log_likelihood(parameters, *history)[0] == pytest.approx(value, abs=1e-8)


def test_frequent_buyers_do_not_overflow():
    """CLVTools, test_correctness_pnbd.R: histories for which an earlier release returned NaN."""
    x, t_x = [221, 254, 161, 204], [103.42857, 97.14286, 94.71429, 98.57143]
    alive = PARETONBD.p_alive(WORLDS[1], x, t_x, [103.57143, 97.28571, 98.00000, 99.42857])
    assert np.all((alive > 0) & (alive < 1))
    # lifetimes' tests: the next ten weeks of a customer with 132 or 133 purchases at t_x = T = 200
    found = PARETONBD.conditional((0.55, 10.58, 0.61, 11.67), [132, 133], 200.0, 200.0, 10.0)
    np.testing.assert_allclose(found, (6.20605, 6.25287), rtol=0, atol=6e-6)
    assert PARETONBD.p_alive(PRINTED, [5000], 10.0, 500.0)[0] == 0.0  # 1e-4000 of a chance


def test_conditional_expectation_and_p_alive_of_the_paper():
    """x = 2, t_x = 30.43, T = 38.86, the next 39 weeks; digits recomputed."""
    assert PARETONBD.p_alive(CDNOW, 2, 30.43, 38.86)[0] == pytest.approx(0.869116, abs=6e-7)
    assert PARETONBD.conditional(CDNOW, 2, 30.43, 38.86, 39.0)[0] == pytest.approx(1.455099, abs=6e-7)


def test_value_of_a_customer_just_acquired():
    """Fader & Hardie (2015), eq. 3.14: 4.8 discounted purchases at 10 % a year of 52 weeks; digits recomputed."""
    found = PARETONBD.conditional(PRINTED, 0, 0.0, 0.0, np.inf, math.log(1.1) / 52)[0]
    assert found == pytest.approx(4.814492, abs=6e-7)


def test_residual_transactions_and_the_iso_value_paradox():
    """BTYD's documented parameters: DERT at T = 77.86 and δ = .0027; digits recomputed.

    At the same recency more past purchases first raise and then lower what is to come: the same silence says
    more of a frequent buyer. With a later last purchase the peak moves to more purchases.
    """
    parameters = (0.5629966, 12.5590370, 0.4081095, 10.5148048)
    x = np.arange(1, 9)
    early = PARETONBD.conditional(parameters, x, 30.0, 77.86, np.inf, 0.0027)
    np.testing.assert_array_equal(early[:4].round(3), (2.199, 2.844, 2.867, 2.445))
    assert x[np.argmax(early)] == 3
    peaks = [
        x[np.argmax(PARETONBD.conditional(parameters, x, t_x, 77.86, np.inf, 0.0027))]
        for t_x in (20.0, 30.0, 40.0)
    ]
    assert peaks[0] < peaks[1] < peaks[2]


@pytest.mark.parametrize("world", WORLDS, ids=str)
@pytest.mark.parametrize("discount", [1e-5, 0.0018, 0.05, 1.0])
def test_lifetime_against_tricomis_function(world, discount):
    for x, T in ((0, 0.0), (3, 39.0), (300, 500.0)):
        exact = float(closed_forms.paretonbd_dert(world, x, T, discount))
        assert PARETONBD.expected(world, x, T, np.inf, discount)[0] == pytest.approx(exact, rel=1e-9)


FUTURES = [  # horizon, discount, rate, hazard
    (0.01, 0.0, 1.0, 1.0),
    (39.0, 0.0018, 1.0, 1.0),
    (500.0, 0.05, 1.0, 1.0),
    (5000.0, 0.0, 1.0, 1.0),
    (np.inf, 0.0018, 1.1, 2.0),
    (100.0, 0.0018, 1.1, 1.0),
    (100.0, 0.0, 0.5, 0.3),
]


@pytest.mark.parametrize("world", WORLDS, ids=str)
@pytest.mark.parametrize("x", [0, 300])
def test_expected_against_the_story(world, x):
    for T in (0.0, 39.0):
        found = [PARETONBD.expected(world, x, T, *future)[0] for future in FUTURES]
        told = [stories.paretonbd(world, x, T, *future) for future in FUTURES]
        np.testing.assert_allclose(found, told, rtol=1e-9)


@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_expected_against_the_papers_closed_form(world):
    for T, horizon in ((0.0, 39.0), (39.0, 0.01), (39.0, 5000.0)):
        exact = float(closed_forms.paretonbd_expected(world, 3, T, horizon))
        assert PARETONBD.expected(world, 3, T, horizon)[0] == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("discount", [0.0, 0.0018])
def test_elasticity_of_the_purchase_rate_is_one(discount):
    """In Pareto/NBD the hazard does not depend on how often one buys, so purchases scale with their rate."""
    x, T = np.array([0, 2, 300]), np.array([39.0, 10.0, 200.0])
    plain = PARETONBD.expected(PRINTED, x, T, 156.0, discount)
    np.testing.assert_allclose(
        PARETONBD.expected(PRINTED, x, T, 156.0, discount, rate=1.1), 1.1 * plain, rtol=1e-14
    )
    worse = PARETONBD.expected(PRINTED, x, T, 156.0, discount, hazard=1.1)
    assert np.all((plain / 1.1 < worse) & (worse < plain))


def test_without_discount_a_small_discount_makes_no_difference():
    """What pymc-marketing#467 tests its discounting with."""
    plain = PARETONBD.expected(PRINTED, [0, 3, 300], 39.0, 39.0)
    np.testing.assert_allclose(PARETONBD.expected(PRINTED, [0, 3, 300], 39.0, 39.0, 1e-12), plain, rtol=1e-9)
    by_horizon = [PARETONBD.expected(PRINTED, 3, 39.0, h, 0.002)[0] for h in (1, 10, 100, 10_000, np.inf)]
    assert np.all(np.diff(by_horizon) > 0)
    assert PARETONBD.expected(PRINTED, 3, 39.0, np.inf)[0] == np.inf  # s < 1 and no discount


@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_pmf_against_quadrature(world):
    counts = np.array([0, 1, 7, 40])
    exact = [float(closed_forms.paretonbd_pmf(world, int(x), 39.0)) for x in counts]
    np.testing.assert_allclose(PARETONBD.pmf(world, counts, 39.0), exact, rtol=1e-9)


def test_pmf_adds_up_to_one_and_to_the_mean():
    counts = np.arange(2000)
    share = PARETONBD.pmf(PRINTED, counts, 39.0)
    assert share.sum() == pytest.approx(1, abs=1e-12)
    assert share @ counts == pytest.approx(PARETONBD.mean(PRINTED, 39.0), rel=1e-9)
    np.testing.assert_allclose(PARETONBD.pmf(PRINTED, np.array([0, 1]), 0.0), (1, 0), atol=1e-15)
