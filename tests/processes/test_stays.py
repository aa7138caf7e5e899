"""P(not gone within a horizon) of customers who are alive: closed forms against what the same processes simulate."""

import numpy as np
import pytest
from scipy.stats import binomtest

from clvkit.processes import get
from clvkit.processes._draw import geometric
from clvkit.processes.cnbd import mbgcnbd
from clvkit.processes.window import Through

X, LAST, AGE = np.array([0, 1, 5, 30]), np.array([0.0, 10.0, 40.0, 50.0]), np.array([30.0, 30.0, 52.0, 52.0])
H = 26.0
MANY = 200_000


def excluded(seen: int, share: float) -> bool:
    """Whether the share is excluded at 0.1 %."""
    return binomtest(int(seen), MANY, float(share)).pvalue < 0.001


def test_paretonbd_is_the_ratio_of_survival_of_a_dropout_rate_known_to_be_gamma():
    r, alpha, s, beta = 0.55, 10.6, 0.61, 11.7
    found = get("paretonbd").stays((r, alpha, s, beta), X, LAST, AGE, H)
    rng = np.random.default_rng(1)
    for share, age in zip(found, AGE, strict=True):
        life = rng.exponential(1.0, MANY) / rng.gamma(s, 1 / (beta + age), MANY)
        assert not excluded((life > H).sum(), share)


@pytest.mark.parametrize("name", ["bgnbd", "mbgnbd"])
def test_who_leaves_after_purchases_leaves_at_the_rate_of_those_purchases(name):
    process, (r, alpha, a, b) = get(name), (0.8, 4.4, 0.79, 2.43)
    found = process.stays((r, alpha, a, b), X, LAST, AGE, H)
    rng = np.random.default_rng(2)
    for share, x, age in zip(found, X, AGE, strict=True):
        bought = rng.poisson(rng.gamma(r + x, 1 / (alpha + age), MANY) * H)
        stayed = geometric(rng.beta(a, b + x + process.offset, MANY), rng) > bought
        assert not excluded(stayed.sum(), share)


def test_regular_purchases_with_one_event_a_gap_are_mbgnbd():
    at = (0.8, 4.4, 0.79, 2.43)
    np.testing.assert_allclose(
        mbgcnbd(1).stays(at, X, LAST, AGE, H), get("mbgnbd").stays(at, X, LAST, AGE, H), rtol=1e-7
    )


def test_who_buys_regularly_and_has_long_been_silent_has_the_next_flip_of_the_coin_soon():
    process, (r, alpha, a, b) = mbgcnbd(4), (1.2, 2.0, 0.8, 2.4)
    found = process.stays((r, alpha, a, b), X, LAST, AGE, H)
    rng = np.random.default_rng(3)
    for share, x, last, age in zip(found, X, LAST, AGE, strict=True):
        phase = process._phase(np.full(MANY, r + 4 * x), (age - last) / (alpha + age), rng)
        events = phase + rng.poisson(rng.gamma(r + 4 * x + phase, 1.0) / (alpha + age) * H)
        stayed = geometric(rng.beta(a, b + x + 1, MANY), rng) > events // 4
        assert not excluded(stayed.sum(), share)


def test_bgbb_flips_a_coin_at_every_opportunity():
    alpha, beta, gamma, delta = 1.2, 0.75, 0.66, 2.78
    found = get("bgbb").stays((alpha, beta, gamma, delta), [0, 3], [0, 6], [6, 6], 5)
    leave = np.random.default_rng(4).beta(gamma, delta + 7, MANY)
    assert found[0] == found[1]
    assert found[0] == pytest.approx(((1 - leave) ** 5).mean(), abs=0.003)


@pytest.mark.parametrize("name", ["paretonbd", "bgnbd", "mbgnbd"])
def test_a_customer_acquired_as_the_log_begins_is_no_older_than_it(name):
    at = (0.8, 4.4, 0.79, 2.43)
    through = Through(get(name), np.zeros(X.size))
    np.testing.assert_allclose(
        through.stays(at, X, LAST, AGE, H), get(name).stays(at, X, LAST, AGE, H), rtol=1e-6
    )


@pytest.mark.parametrize("name", ["paretonbd", "bgnbd", "mbgnbd", "bgbb"])
def test_nobody_leaves_at_once_and_the_longer_the_fewer_stay(name):
    process, at = get(name), (0.8, 4.4, 0.79, 2.43)
    columns = (X, np.floor(LAST), AGE)
    found = np.stack([process.stays(at, *columns, h) for h in (0, 1, 10, 100)])
    np.testing.assert_allclose(found[0], 1)
    assert (np.diff(found, axis=0) <= 0).all() and (found > 0).all()
    assert process.stays([at, at], *columns, 1).shape == (2, len(X))
