"""BG/BB: purchases at discrete opportunities, such as one gift a year, with a coin flipped before each.

Fader, Hardie & Shang (2010), "Customer-Base Analysis in a Discrete-Time Noncontractual Setting", Marketing Science
29(6). Times are whole numbers of opportunities; an opportunity counts at its end, so the first one to come lies one
unit of time ahead.
"""

import numpy as np
from scipy.special import betainc, gammaln

from clvkit.processes import _bgbb
from clvkit.processes._draw import geometric
from clvkit.processes.base import Drawn, Prior, Process


def within(horizon) -> np.ndarray:
    """Opportunities that end within a time: whole numbers, as floats; infinite stays so."""
    return np.floor(np.asarray(horizon, float) + _bgbb.TOLERANCE)


class BetaGeometricBetaBernoulli(Process):
    """BG/BB with parameters α, β (of the purchase probability) and γ, δ (of the dropout probability).

    P(alive) is the probability of being in the market at the *next* opportunity, as the paper tabulates it.
    ``rate`` multiplies the purchase probability, which stays at most 1.
    """

    name, label, source, kernel = "bgbb", "BG/BB", "Fader, Hardie & Shang 2010", "bgbb"
    parameters = ("alpha", "beta", "gamma", "delta")
    scale_parameters = frozenset()
    discrete = True
    priors = {
        "logit_mean_purchase": Prior(-1.0, 2.0, "logit of the mean purchase probability α/(α+β) while alive"),
        "log_purchase_concentration": Prior(1.0, 1.0, "log of α+β: how alike purchase probabilities are"),
        "logit_mean_dropout": Prior(
            -2.0, 1.5, "logit of the mean dropout probability γ/(γ+δ) per opportunity"
        ),
        "log_concentration": Prior(1.0, 1.0, "log of γ+δ: how alike dropout probabilities are"),
    }

    def prepare(self, x, t_x, T, n):
        """Pack cells for the likelihood kernel; FitError where times are not whole opportunities."""
        return _bgbb.prepare(x, t_x, T, n)

    def evaluate(self, parameters, F, whole, gradient, alive, cell):
        """The compiled likelihood."""
        return _bgbb.kernel(parameters, F, whole, gradient, alive, cell)

    def coordinates(self, parameters):
        """(α, β, γ, δ) to the coordinates of the priors."""
        return _bgbb.log_to_coordinates(np.log(parameters))

    def from_coordinates(self, eta):
        """Coordinates of the priors to (α, β, γ, δ)."""
        buy, alike, leave, together = np.moveaxis(np.asarray(eta, float), -1, 0)
        logs = [alike - np.logaddexp(0, -buy), alike - np.logaddexp(0, buy)]
        logs += [together - np.logaddexp(0, -leave), together - np.logaddexp(0, leave)]
        return np.exp(np.stack(logs, axis=-1))

    def expected(self, parameters, x, T, horizon, discount=0.0, rate=1.0, hazard=1.0, t_x=None):
        """(Discounted) expected purchases of a customer in the market at the next opportunity (eqs. 11 and 13).

        Without end and without discounting the sum exists for γ > 1 (with a hazard of 1). ``hazard`` acts on every
        coin from now on: times P(alive) of the fit, the result is the expectation under the changed hazard.
        """
        draws = np.ascontiguousarray(np.atleast_2d(np.asarray(parameters, float)))
        x, seen = np.broadcast_arrays(
            np.atleast_1d(np.asarray(x, float)), _bgbb.opportunities(np.atleast_1d(T))
        )
        distinct, where = np.unique(seen, return_inverse=True)
        ahead = float(within(horizon))
        if np.isinf(ahead) and not discount:
            sums = self._without_end(draws, distinct, hazard)
        else:
            sums = _bgbb.survival_sums(draws, distinct, ahead, float(discount), float(hazard))
        bought, not_bought = draws[:, 0, None] + x, draws[:, 1, None] + seen - x
        out = _mean_probability(bought, not_bought, rate) * sums[:, where.ravel()]
        return out[0] if np.ndim(parameters) == 1 else out

    def stays(self, parameters, x, t_x, T, horizon):
        """B(γ, δ+n+m)/B(γ, δ+n): the m coins of the opportunities within ``horizon`` all let the customer stay.

        As in `expected`, alive is who is still in the market at the next opportunity: its coin is flipped already.
        """
        draws = np.atleast_2d(np.asarray(parameters, float))
        seen, _ = np.broadcast_arrays(_bgbb.opportunities(np.atleast_1d(T)), np.atleast_1d(x))
        gamma, delta = draws[:, 2, None], draws[:, 3, None]
        out = np.exp(_log_beta_ratio(gamma, delta + seen + 1, 0, within(horizon)))
        return out[0] if np.ndim(parameters) == 1 else out

    def _without_end(self, draws, seen, hazard) -> np.ndarray:
        """All opportunities to come, undiscounted: E[1/θ] given alive at the next; infinite for γ ≤ 1."""
        if hazard != 1:
            raise ValueError("without discounting and without end, expected purchases need a hazard of 1")
        gamma, left = draws[:, 2, None], draws[:, 3, None] + seen
        return np.where(gamma > 1, (gamma + left) / np.where(gamma > 1, gamma - 1, 1.0), np.inf)

    def pmf(self, parameters, count, t):
        """P(X(n) = count) of a new customer, n the opportunities that end within ``t`` (eq. 8)."""
        alpha, beta, gamma, delta = np.asarray(parameters, float)
        x, n = np.broadcast_arrays(np.asarray(count, float), within(t))
        out = np.zeros(x.shape)
        for s in range(int(n.max()) + 1):
            # s opportunities lived through: by now and staying, or fewer than there were and left after them
            stayed = _log_beta_ratio(gamma, delta, 0, s)
            left = (
                np.log(gamma)
                + gammaln(delta + s)
                - gammaln(delta)
                + gammaln(gamma + delta)
                - gammaln(gamma + delta + s + 1)
            )
            ended = np.where(n == s, stayed, np.where(n > s, left, -np.inf))
            there = x <= s
            k = np.where(there, x, 0.0)
            ways = gammaln(s + 1) - gammaln(k + 1) - gammaln(s - k + 1)
            out += np.where(there, np.exp(ended + ways + _log_beta_ratio(alpha, beta, k, s - k)), 0.0)
        return out

    def mean(self, parameters, t):
        """E[X(n)] of a new customer, n the opportunities that end within ``t`` (eq. 9)."""
        draws = np.atleast_2d(np.asarray(parameters, float))
        n = within(np.atleast_1d(t)).astype(np.int64)
        k = np.arange(1, n.max() + 1)
        alpha, beta, gamma, delta = draws.T[:, :, None]
        lived = np.cumsum(np.exp(_log_beta_ratio(gamma, delta, 0, k)), axis=1)
        sums = np.concatenate([np.zeros((len(draws), 1)), lived], axis=1)
        out = alpha / (alpha + beta) * sums[:, n]
        out = out[0] if np.ndim(parameters) == 1 else out
        return out if np.ndim(t) else out[..., 0]

    def simulate(self, parameters, T, rng):
        """Repeat purchases of new customers at the opportunities that end within ``T`` (customers,); times are their numbers."""
        alpha, beta, gamma, delta = np.asarray(parameters, float)
        seen = within(T)
        buy, leave = rng.beta(alpha, beta, seen.size), rng.beta(gamma, delta, seen.size)
        return _flipped(buy, np.minimum(geometric(leave, rng) - 1, seen), rng)

    def simulate_future(self, parameters, x, t_x, T, horizon, rng):
        """Purchases in the next ``horizon`` of customers with these histories."""
        alpha, beta, gamma, delta = np.asarray(parameters, float)
        x, seen = np.asarray(x), _bgbb.opportunities(T)
        alive = rng.random(len(x)) < self.p_alive(parameters, x, t_x, T)
        buy, leave = rng.beta(alpha + x, beta + seen - x), rng.beta(gamma, delta + seen + 1)
        lives = np.where(alive, geometric(leave, rng), 0.0)
        drawn = _flipped(buy, np.minimum(lives, within(horizon)), rng)
        return Drawn(drawn.customer, np.minimum(drawn.time, horizon))  # the last may end a day late


def _log_beta_ratio(a, b, more_a, more_b):
    """The log of B(a + more_a, b + more_b) / B(a, b)."""
    up = gammaln(a + more_a) - gammaln(a) + gammaln(b + more_b) - gammaln(b)
    return up - gammaln(a + b + more_a + more_b) + gammaln(a + b)


def _mean_probability(a, b, rate: float) -> np.ndarray:
    """E[min(1, rate · p)] over p ~ Beta(a, b)."""
    if rate <= 1:
        return rate * a / (a + b)
    return rate * a / (a + b) * betainc(a + 1, b, 1 / rate) + 1 - betainc(a, b, 1 / rate)


def _flipped(buy, lives, rng) -> Drawn:
    """Purchases at the first ``lives`` (customers,) opportunities, each with the customer's own chance ``buy``."""
    customers, numbers, number = [], [], 0
    who = np.flatnonzero(lives > 0)
    while who.size:
        number += 1
        bought = who[rng.random(who.size) < buy[who]]
        customers.append(bought)
        numbers.append(np.full(bought.size, float(number)))
        who = who[lives[who] > number]
    customer = np.concatenate([*customers, np.zeros(0, np.int64)])
    order = np.argsort(customer, kind="stable")
    return Drawn(customer[order], np.concatenate([*numbers, np.zeros(0)])[order])


BGBB = BetaGeometricBetaBernoulli()
