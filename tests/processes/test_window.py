"""Customers older than the log: the likelihood by quadrature, P(alive) and expected purchases by simulation."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import gammaln
from scipy.stats import beta, gamma

from clvkit.errors import FitError
from clvkit.processes import get, window

PARAMETERS = {
    "paretonbd": (0.8, 10.0, 0.7, 12.0),
    "bgnbd": (0.8, 6.0, 0.9, 2.5),
    "mbgnbd": (0.8, 6.0, 0.9, 2.5),
}
#: x, t_x, W, A; A below zero: acquired in the log
CELLS = np.array(
    [(1, 3, 50, 0), (3, 20, 50, 30), (0, 0, 40, -1), (5, 30, 50, 100), (29, 50, 50, 30)], float
).T
COUNTS = np.array([1.0, 2.0, 3.0, 1.0, 4.0])


def evaluated(parameters, columns=CELLS, counts=COUNTS):
    """Total, gradient in the logs, P(alive) and the log-likelihood of one customer of each cell."""
    model = window.WINDOW_PARETONBD
    F, whole = model.prepare(columns[0].astype(int), *columns[1:], counts)
    gradient, alive, cell = np.empty(4), *np.empty((2, len(counts)))
    return model.evaluate(np.asarray(parameters), F, whole, gradient, alive, cell), gradient, alive, cell


def by_quadrature(parameters, x, t, W, A):
    """Log-likelihood given being seen, and P(alive)."""
    r, alpha, s, b = parameters
    left = quad(lambda u: s * (alpha + u) ** -(r + x) * (b + A + u) ** -(s + 1), t, W, epsabs=0)[0]
    stayed = (alpha + W) ** -(r + x) * (b + A + W) ** -s
    seen = quad(lambda u: r * alpha**r * (alpha + u) ** -(r + 1) * (b / (b + A + u)) ** s, 0, W, epsabs=0)[0]
    rest = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + s * np.log(b)
    return rest + np.log(stayed + left) - np.log(seen), stayed / (stayed + left)


def test_the_likelihood_is_that_of_the_window_given_that_the_customer_was_seen():
    parameters = PARAMETERS["paretonbd"]
    total, _, alive, cell = evaluated(parameters)
    for k in (0, 1, 3, 4):
        log_likelihood, p_alive = by_quadrature(parameters, *CELLS[:, k])
        assert cell[k] == pytest.approx(log_likelihood, rel=1e-8)
        assert alive[k] == pytest.approx(p_alive, rel=1e-8)
    assert cell[2] == pytest.approx(get("paretonbd").cell_log_likelihood(parameters, 0, 0.0, 40.0)[0])
    assert total == pytest.approx(COUNTS @ cell, rel=1e-12)


def test_seen_and_not_seen_make_up_everybody():
    """P(seen | A) is 1 less the probabilities to have left before the log, and to buy nothing in it."""
    r, alpha, s, b = PARAMETERS["paretonbd"]
    W, A = 50.0, 30.0
    seen = quad(lambda u: r * alpha**r * (alpha + u) ** -(r + 1) * (b / (b + A + u)) ** s, 0, W)[0]
    silent = (alpha / (alpha + W)) ** r * (b / (b + A + W)) ** s
    silent += quad(lambda u: (alpha / (alpha + u)) ** r * s * b**s * (b + A + u) ** -(s + 1), 0, W)[0]
    assert seen == pytest.approx((b / (b + A)) ** s - silent, rel=1e-9)


@pytest.mark.parametrize(
    "parameters", [(0.8, 10.0, 0.7, 12.0), (0.1, 2.0, 3.0, 90.0), (4.0, 80.0, 0.05, 0.4)]
)
def test_the_gradient_is_exact(parameters):
    _, gradient, _, _ = evaluated(parameters)
    step = 1e-6 * np.eye(4)
    for k in range(4):
        up, down = (evaluated(parameters * np.exp(sign * step[k]))[0] for sign in (1, -1))
        assert gradient[k] == pytest.approx((up - down) / 2e-6, rel=1e-5, abs=1e-6)


def test_customers_of_the_log_alone_give_the_usual_likelihood():
    inside = CELLS[:, [2, 2]].copy()
    inside[:, 1] = (4, 11, 25, -1)
    total, gradient, _, _ = evaluated(PARAMETERS["paretonbd"], inside, np.array([3.0, 2.0]))
    model, own = get("paretonbd"), np.empty(4)
    F, whole = model.prepare(inside[0].astype(int), inside[1], inside[2], np.array([3.0, 2.0]))
    assert total == model.evaluate(np.array(PARAMETERS["paretonbd"]), F, whole, own, np.empty(0), np.empty(0))
    assert gradient == pytest.approx(own)


def test_older_customers_alone_are_a_likelihood_too():
    total, _, _, cell = evaluated(PARAMETERS["paretonbd"], CELLS[:, [1, 3]], np.array([2.0, 1.0]))
    assert total == pytest.approx(2 * cell[0] + cell[1])


@pytest.mark.parametrize("name", ["bgnbd", "mbgnbd"])
def test_bg_sums_over_rates_and_dropout_probabilities(name):
    """P(alive) by a double integral over λ and p of the story itself."""
    process, (r, alpha, a, b) = get(name), PARAMETERS[name]
    x, t, W, A, m = 3, 20.0, 50.0, 30.0, process.offset

    nodes, weights = np.polynomial.legendre.leggauss(400)
    rate, root = 4 * (nodes[:, None] + 1) / 2, (nodes + 1) / 2
    p = root**3  # the density of p has a pole at zero
    prior = gamma.pdf(rate, r, scale=1 / alpha) * beta.pdf(p, a, b) * 3 * root**2
    prior = prior * weights[:, None] * weights * (1 - p) ** m * np.exp(-rate * p * A)
    living = (prior * rate**x * (1 - p) ** x * np.exp(-rate * W)).sum()
    left = (prior * rate**x * p * (1 - p) ** (x - 1) * np.exp(-rate * t)).sum()
    found = window.p_alive(process, PARAMETERS[name], x, t, W, A)
    assert found[0] == pytest.approx(living / (living + left), rel=1e-5)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_window_that_opens_at_acquisition_is_the_usual_history(name):
    process, parameters = get(name), PARAMETERS[name]
    x, t, W = np.array([1, 4, 9]), np.array([3.0, 30.0, 44.0]), np.full(3, 50.0)
    alive = window.p_alive(process, parameters, x, t, W, 0.0)
    assert alive == pytest.approx(process.p_alive(parameters, x, t, W), rel=1e-8)
    to_come = window.expected(process, parameters, x, t, W, 0.0, 26.0, 0.002)
    assert to_come == pytest.approx(process.expected(parameters, x, W, 26.0, 0.002), rel=1e-6)


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_future_of_older_customers_is_what_their_simulated_likes_do(name):
    """Customers simulated from acquisition on: what those seen in the window do after it, by kind of history."""
    process, parameters, rng = get(name), np.array(PARAMETERS[name]), np.random.default_rng(5)
    n, A, W, horizon = 30_000, 40.0, 50.0, 30.0
    drawn = process.simulate(parameters, np.full(n, A + W + horizon), rng)
    inside = (drawn.time > A) & (drawn.time <= A + W)
    x = np.bincount(drawn.customer[inside], minlength=n)
    t = np.zeros(n)
    np.maximum.at(t, drawn.customer[inside], drawn.time[inside] - A)
    after = np.bincount(drawn.customer[drawn.time > A + W], minlength=n)
    seen = x > 0
    each = window.p_alive(process, parameters, x[seen], t[seen], W, A)
    each = each * window.expected(process, parameters, x[seen], t[seen], W, A, horizon)
    again = window.simulate_future(process, parameters, x[seen], t[seen], W, A, horizon, rng)
    made = np.bincount(again.customer, minlength=seen.sum())
    assert (again.time <= horizon).all()
    for kind in (x[seen] == 1, (x[seen] > 1) & (t[seen] < 30), (x[seen] > 1) & (t[seen] >= 30)):
        for what in (after[seen][kind], made[kind]):
            error = what.std() / np.sqrt(kind.sum())
            assert abs(what.mean() - each[kind].mean()) < 4 * error, (name, kind.sum())


def test_only_pareto_nbd_has_a_likelihood_for_older_customers():
    assert window.of("paretonbd") is window.WINDOW_PARETONBD
    with pytest.raises(FitError, match="acquired in the log alone"):
        window.of("bgnbd")
    with pytest.raises(FitError, match="finite horizon"):
        window.expected(get("bgnbd"), PARAMETERS["bgnbd"], 1, 2.0, 50.0, 10.0, np.inf)
