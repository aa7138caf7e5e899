"""Simulated outcomes have the expected values as their means, and luck around them."""

import math

import numpy as np
import pytest

from clvkit.outcomes import simulate_counts, simulate_outcomes, simulate_period
from clvkit.value import Future, Terms, pair, sweep

TERMS = Terms(0.3, 0.10, 365.25)
NAMES = ("bgnbd", "mbgnbd", "paretonbd")
EACH = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def estimates(cdnow_fits):
    """The estimates of a process and of spend, repeated: every draw is another turn of luck."""

    def repeat(name, times):
        return np.tile(cdnow_fits[name].mle, (times, 1)), np.tile(cdnow_fits["gammagamma"].mle, (times, 1))

    return repeat


def expected(fit, spend, cells, terms=TERMS):
    """Purchases and value that the formulas expect of the cells at the estimates."""
    group = np.zeros(len(cells), int)
    draws = fit.mle[None], spend.mle[None]
    found = sweep(fit, spend, draws, cells, [group], [(terms, Future())], 100)[0][0]
    return found.purchases.item(), found.value.item()


@EACH
def test_outcomes_scatter_around_what_is_expected(cdnow_fits, cdnow_cells, cdnow_customers, estimates, name):
    """Means of purchases and of discounted margin within 4 standard errors, fixed seed."""
    fit, spend = cdnow_fits[name], cdnow_fits["gammagamma"]
    counts, money = simulate_outcomes(fit, spend, *estimates(name, 300), cdnow_customers, TERMS, 100, seed=1)
    purchases, value = expected(fit, spend, cdnow_cells)
    assert counts.mean() == pytest.approx(purchases, abs=4 * counts.std() / np.sqrt(300))
    assert money.mean() == pytest.approx(value, abs=4 * money.std() / np.sqrt(300))
    # at least the luck of independent Poisson purchases, and of amounts on top
    assert counts.std() > math.sqrt(purchases)
    assert money.std() / money.mean() > counts.std() / counts.mean()


def test_seed_margin_and_discount(cdnow_fits, cdnow_customers, estimates):
    fit, spend = cdnow_fits["bgnbd"], cdnow_fits["gammagamma"]

    def run(terms=TERMS, seed=1):
        return simulate_outcomes(fit, spend, *estimates("bgnbd", 5), cdnow_customers, terms, 100, seed)

    counts, money = run()
    np.testing.assert_array_equal(run()[1], money)
    assert np.all(run(seed=2)[1] != money)
    assert len(set(money)) == 5
    np.testing.assert_allclose(run(Terms(0.6, 0.10, 365.25))[1], 2 * money, rtol=1e-13)
    undiscounted = run(Terms(0.3, 0.0, 365.25))
    np.testing.assert_array_equal(undiscounted[0], counts)
    assert np.all((money < undiscounted[1]) & (undiscounted[1] / 1.1 < money))


def test_amounts_follow_each_customers_own(cdnow_fits, cdnow_customers, estimates):
    """Customers who spent more bring more; refunds that outweigh their purchases do not break the draw."""
    fit, spend = cdnow_fits["paretonbd"], cdnow_fits["gammagamma"]
    some = cdnow_customers[cdnow_customers["frequency"] > 3]
    draws = estimates("paretonbd", 50)
    rich = some.assign(spend_minor=10 * some["spend_minor"])
    refunded = some.assign(spend_minor=-500)
    low, middle, high = (
        simulate_outcomes(fit, spend, *draws, customers, TERMS, 100, seed=3)[1].mean()
        for customers in (refunded, some, rich)
    )
    assert 0 < low < middle < high
    assert high / middle > 5


@EACH
def test_counts_per_cell(cdnow_fits, cdnow_cells, estimates, name):
    """One customer of each cell: means within 4 standard errors of the conditional expectation, all but a few."""
    fit = cdnow_fits[name]
    some = cdnow_cells.iloc[::25]
    counts = simulate_counts(fit, estimates(name, 1000)[0], some, 273.0, seed=2)
    assert counts.shape == (1000, len(some)) and counts.dtype == np.int64
    columns = some["frequency"], some["recency_days"] / 7, some["T_days"] / 7
    exact = fit.model.conditional(fit.mle, *(column.to_numpy() for column in columns), 39.0)
    often = exact > 0.02
    score = (counts.mean(axis=0) - exact)[often] / (counts.std(axis=0)[often] / np.sqrt(1000))
    assert np.abs(score).max() < 4.5 and abs(score.mean()) < 4 / np.sqrt(often.sum())
    np.testing.assert_array_equal(
        simulate_counts(fit, estimates(name, 3)[0], some, 273.0, seed=2), counts[:3]
    )


def test_a_period_tells_one_story(cdnow_posteriors, cdnow_fits, cdnow_cells, cdnow_customers):
    """Groups and path add up to all purchases; value is undiscounted."""
    fit, spend = cdnow_posteriors["paretonbd"], cdnow_posteriors["gammagamma"]
    rng = np.random.default_rng(1)
    groupings = [np.zeros(len(cdnow_customers), int), rng.integers(0, 4, len(cdnow_customers))]
    steps = np.array([30.0, 90.0, 273.0])
    draws = pair(fit, spend, 30)
    found = simulate_period(fit, spend, draws, cdnow_customers, steps, groupings, 100, seed=4)
    for group in found.groups:
        np.testing.assert_array_equal(group.sum(axis=1), found.transactions)
    assert found.path.shape == (30, 3) and np.all(np.diff(found.path) >= 0)
    np.testing.assert_array_equal(found.path[:, -1], found.transactions)
    assert np.all((found.buyers > 0) & (found.buyers < found.transactions) & (found.buyers <= 2357))
    again = simulate_period(fit, spend, draws, cdnow_customers, steps, groupings, 100, seed=4)
    np.testing.assert_array_equal(again.value, found.value)


def test_a_period_has_the_expected_mean(cdnow_fits, cdnow_cells, cdnow_customers, estimates):
    fit, spend = cdnow_fits["paretonbd"], cdnow_fits["gammagamma"]
    everybody = np.zeros(len(cdnow_customers), int)
    found = simulate_period(fit, spend, estimates("paretonbd", 300), cdnow_customers, np.array([100.0, 273.0]),
                            [everybody], 100, seed=5)  # fmt: skip
    for days, counts in ((100.0, found.path[:, 0]), (273.0, found.transactions)):
        purchases, value = expected(fit, spend, cdnow_cells, Terms(1.0, 0.0, days))
        assert counts.mean() == pytest.approx(purchases, abs=4 * counts.std() / np.sqrt(300))
    assert purchases == pytest.approx(1665.5, abs=0.06)  # the plug-in forecast of the hold-out
    assert found.value.mean() == pytest.approx(value, abs=4 * found.value.std() / np.sqrt(300))
