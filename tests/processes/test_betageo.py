"""BG/NBD and MBG/NBD against their papers' formulas in 50 digits, and against printed values."""

import closed_forms
import numpy as np
import pytest
import stories
from mpmath import mp

from clvkit import processes

BGNBD, MBGNBD = processes.get("bgnbd"), processes.get("mbgnbd")
BOTH = pytest.mark.parametrize("model", [BGNBD, MBGNBD], ids=lambda model: model.name)
CDNOW = (0.24259453, 4.41360227, 0.79292215, 2.42590742)
PRINTED = (0.243, 4.414, 0.793, 2.426)
WORLDS = [
    PRINTED,
    (0.525, 6.183, 0.891, 1.614),
    (0.05, 100.0, 0.02, 0.3),  # nearly nobody ever drops out
    (3.0, 0.5, 40.0, 90.0),  # everybody alike, and frequent
    (0.3, 5.0, 2000.0, 9000.0),
    (0.8, 3.0, 5.0, 0.05),  # nearly everybody drops out at once
]
HISTORIES = [(0, 0.0, 39.0), (0, 0.0, 0.0), (1, 0.14, 39.0), (1, 39.0, 39.0), (5, 30.0, 39.0), (5, 38.86, 39.0),
             (300, 0.14, 39.0), (300, 39.0, 39.0), (600, 2.0, 39.0), (600, 100.0, 103.5)]  # fmt: skip


@BOTH
@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_likelihood_and_p_alive(model, world):
    x, t_x, T = (np.array(column) for column in zip(*HISTORIES, strict=True))
    parts = [closed_forms.betageo_parts(world, *history, model.offset) for history in HISTORIES]
    likelihood = [float(mp.log(stayed + ended)) for stayed, ended in parts]
    np.testing.assert_allclose(
        model.cell_log_likelihood(world, x, t_x, T), likelihood, rtol=1e-12, atol=1e-13
    )
    alive = [float(stayed / (stayed + ended)) for stayed, ended in parts]
    np.testing.assert_allclose(model.p_alive(world, x, t_x, T), alive, rtol=1e-10, atol=1e-300)


@pytest.mark.parametrize(
    ("model", "none", "many"),
    [(BGNBD, -0.59947382, 100.7957), (MBGNBD, -0.41792826, 100.7869)],
    ids=["bgnbd", "mbgnbd"],
)
def test_likelihood_of_a_frequent_buyer_does_not_overflow(model, none, many):
    """Fader & Hardie, note 027; digits from pymc-marketing 0.19.2's test_beta_geo.py, test_modified_beta_geo.py."""
    found = model.cell_log_likelihood((0.25, 4.0, 0.80, 2.50), [0, 200], [0.0, 38.0], [40.0, 40.0])
    assert found[0] == pytest.approx(none, abs=1e-8)
    assert found[1] == pytest.approx(many, abs=1e-4)


def test_likelihoods_of_hardies_spreadsheet():
    """The first customers of note 004's sheet, by pymc-marketing 0.19.2's tests/clv/test_distributions.py.

    The test there has weeks to two decimals and estimates to three, hence its tolerance; the sheet has neither.
    """
    x = [2, 1, 0, 7, 1, 2, 5, 10, 1]
    days = np.array([213, 12, 0, 206, 35, 250, 171, 239, 34])
    sheet = [-9.4596, -4.4711, -0.5538, -21.8644, -4.8651, -9.5367, -17.3593, -27.3144, -4.8520]
    found = BGNBD.cell_log_likelihood(CDNOW, x, days / 7, np.full(9, 272 / 7))
    np.testing.assert_array_equal(found.round(4), sheet)


@pytest.mark.parametrize(
    ("parameters", "history", "value"),
    [
        ((0.55, 10.58, 0.61, 11.67), (1, 1.5, 12.0), -4.11031673),
        ((0.45, 10.58, 0.61, 11.67), (1, 1.5, 12.0), -4.24203129),
        ((0.45, 10.58, 0.71, 11.67), (1, 1.5, 12.0), -4.24032809),
        ((0.55, 11.67, 0.61, 10.58), (1, 1.5, 12.0), -4.13555424),
        ((0.55, 11.67, 0.61, 10.58), (4, 5.3, 10.0), -10.72053738),
        ((0.55, 11.67, 0.61, 10.58), (2, 6.0, 8.0), -6.49786493),
    ],
)
def test_mbgnbd_likelihoods_of_another_program(parameters, history, value):
    """pymc-marketing 0.19.2, tests/clv/test_distributions.py."""
    assert MBGNBD.cell_log_likelihood(parameters, *history)[0] == pytest.approx(value, abs=1e-8)


def test_who_can_have_dropped_out():
    """Before a first repeat purchase nobody in BG/NBD, and everybody with chance a/(a+b) in MBG/NBD."""
    assert np.all(BGNBD.p_alive(PRINTED, [0, 0], 0.0, [0.0, 500.0]) == 1.0)
    new, old = MBGNBD.p_alive((0.525, 6.183, 0.891, 1.614), [0, 0], 0.0, [0.0, 500.0])
    assert new == pytest.approx(1.614 / (0.891 + 1.614), rel=1e-12)
    assert old < new


@pytest.mark.parametrize(
    ("parameters", "t_x", "T", "value"),
    [
        (CDNOW, 30.43, 38.86, 1.225907),
        (PRINTED, 30.43, 38.86, 1.226028),
        (CDNOW, 30 + 3 / 7, 38 + 6 / 7, 1.225994),
    ],
)
def test_conditional_expectation_of_the_paper(parameters, t_x, T, value):
    """1.226 for x = 2 and the next 39 weeks: FHL 2005, section 6 and Hardie's spreadsheet."""
    assert BGNBD.conditional(parameters, 2, t_x, T, 39.0)[0] == pytest.approx(value, abs=6e-7)


def test_expectation_of_a_new_customer():
    """Hardie's spreadsheet, by lifetimes' tests: .0078 .0532 .1506 1.0405 1.0437 1.8576; digits recomputed."""
    found = BGNBD.mean(CDNOW, np.array([0.1429, 1.0, 3.0, 31.8571, 32.0, 78.0]))
    digits = (0.007816, 0.053184, 0.150631, 1.040489, 1.043732, 1.857958)
    np.testing.assert_allclose(found, digits, rtol=0, atol=6e-7)


def test_pmf_of_the_manual():
    """The BTYD manual, by lifetimes' tests."""
    assert BGNBD.pmf(PRINTED, 10, 2.0) == pytest.approx(1.0786896e-07, rel=1e-7)
    assert BGNBD.pmf(PRINTED, 0, 39.0) == pytest.approx(0.57378635, rel=1e-7)
    manual = (0.0019995214, 0.0015170236, 0.0011633150, 0.0009003148, 0.0007023638,
              0.0005517902, 0.0004361913, 0.0003467171, 0.0002769613, 0.0002222260)  # fmt: skip
    np.testing.assert_allclose(BGNBD.pmf(PRINTED, np.arange(11, 21), 30.0), manual, rtol=0, atol=6e-11)


@BOTH
@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_pmf_against_its_finite_sum(model, world):
    found = model.pmf(world, np.array([0, 1, 7, 40]), 39.0)
    exact = [float(closed_forms.betageo_pmf(world, x, 39.0, model.offset)) for x in (0, 1, 7, 40)]
    np.testing.assert_allclose(found, exact, rtol=1e-10)


@BOTH
def test_pmf_adds_up_to_one_and_to_the_mean(model):
    counts = np.arange(4000)
    share = model.pmf(PRINTED, counts, 39.0)
    assert share.sum() == pytest.approx(1, abs=1e-12)
    assert share @ counts == pytest.approx(model.mean(PRINTED, 39.0), rel=1e-8)
    np.testing.assert_allclose(model.pmf(PRINTED, np.array([0, 1]), 0.0), (1, 0), atol=1e-15)


@BOTH
@pytest.mark.parametrize("world", WORLDS[:4], ids=str)
@pytest.mark.parametrize("x", [0, 3, 400])
def test_expected_against_the_gauss_function(model, world, x):
    for T, horizon in ((0.0, 39.0), (39.0, 0.01), (39.0, 39.0), (500.0, 5000.0)):
        exact = float(closed_forms.betageo_expected(world, x, T, horizon, model.offset))
        assert model.expected(world, x, T, horizon)[0] == pytest.approx(exact, rel=5e-8)


FUTURES = [  # horizon, discount, rate, hazard
    (39.0, 0.0, 1.0, 1.0),
    (39.0, 0.0018, 1.0, 1.0),
    (500.0, 0.05, 1.0, 1.0),
    (np.inf, 0.0018, 1.0, 1.0),
    (np.inf, 0.05, 1.0, 1.0),
    (100.0, 0.0018, 1.1, 1.0),
    (100.0, 0.0018, 1.0, 2.0),
    (100.0, 0.0, 0.5, 0.3),
]


@BOTH
@pytest.mark.parametrize(
    "world", [WORLDS[0], WORLDS[1], (0.3, 5.0, 200.0, 900.0), (0.8, 3.0, 5.0, 0.2)], ids=str
)
@pytest.mark.parametrize("x", [0, 3, 300])
def test_expected_against_the_story(model, world, x):
    """Discounted, for ever, and with another purchase rate or hazard from now on."""
    found = [model.expected(world, x, 39.0, *future)[0] for future in FUTURES]
    told = [stories.betageo(world, x, 39.0, horizon, model.offset, *rest) for horizon, *rest in FUTURES]
    np.testing.assert_allclose(found, told, rtol=5e-8)


@BOTH
def test_without_discount_a_small_discount_makes_no_difference(model):
    plain = model.expected(PRINTED, [0, 3, 300], 39.0, 39.0)
    nearly = model.expected(PRINTED, [0, 3, 300], 39.0, 39.0, 1e-12)
    np.testing.assert_allclose(nearly, plain, rtol=1e-7)
    assert np.all(np.diff([model.expected(PRINTED, 3, 39.0, h, 0.002)[0] for h in (1, 10, 100, np.inf)]) > 0)


@BOTH
@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_many_ages_are_interpolated(model, world):
    ages = np.linspace(0, 500, 200)
    together = model.expected(world, np.full(200, 3), ages, 156.0, 0.0018)
    alone = [model.expected(world, 3, age, 156.0, 0.0018)[0] for age in ages[::25]]
    np.testing.assert_allclose(together[::25], alone, rtol=1e-8)


@BOTH
def test_draws_are_rows(model):
    draws = np.array(WORLDS[:3])
    x, t_x, T = np.array([0, 2, 9]), np.array([0.0, 5.0, 30.0]), np.array([39.0, 20.0, 39.0])
    by_row = [model.conditional(row, x, t_x, T, 39.0, 0.01) for row in draws]
    np.testing.assert_array_equal(model.conditional(draws, x, t_x, T, 39.0, 0.01), by_row)
    assert model.mean(draws, np.array([1.0, 2.0])).shape == (3, 2)


@BOTH
def test_nothing_overflows_for_the_busiest(model):
    x, T = np.array([221, 5000, 100_000]), np.array([103.57143, 500.0, 1000.0])
    for t_x in (T, T - 0.14, T / 2):
        found = model.conditional(PRINTED, x, t_x, T, np.inf, 0.002)
        assert np.all(np.isfinite(found)) and np.all(found >= 0)
