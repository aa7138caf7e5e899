"""Pareto/NBD: purchases at random over an unobserved lifetime.

Schmittlein, Morrison & Colombo (1987), "Counting Your Customers", Management Science 33(1); notation of
Fader & Hardie (2005), "A Note on Deriving the Pareto/NBD Model".
"""

import numpy as np
from scipy.special import gammaln

from clvkit.processes import _future, _paretonbd, _paretonbd_clock
from clvkit.processes._draw import expand, scatter
from clvkit.processes._pack import inverse
from clvkit.processes.base import Drawn, Prior, Process


class ParetoNBD(Process):
    """Gamma(r, α) purchase rates, Gamma(s, β) dropout rates, independent."""

    name, label, kernel = "paretonbd", "Pareto/NBD", "paretonbd"
    source = "Schmittlein, Morrison & Colombo 1987"
    parameters = ("r", "alpha", "s", "beta")
    scale_parameters = frozenset({"alpha", "beta"})
    priors = {
        "log_mean_purchases": Prior(0.0, 1.5, "log of the mean purchases r/α while alive, per median age"),
        "log_r": Prior(0.0, 1.0, "log of r: how alike purchase rates are"),
        "log_s": Prior(0.0, 1.0, "log of s: how alike dropout rates are"),
        "log_mean_dropout": Prior(0.0, 1.5, "log of the mean dropout rate s/β, per median age"),
    }

    def prepare(self, x, t_x, T, n):
        """Pack cells for the likelihood kernel."""
        return _paretonbd.prepare(x, t_x, T, n)

    def evaluate(self, parameters, F, whole, gradient, alive, cell):
        """The compiled likelihood."""
        return _paretonbd.kernel(parameters, F, whole, gradient, alive, cell)

    def coordinates(self, parameters):
        """(r, α, s, β) to the coordinates of the priors."""
        return _paretonbd.log_to_coordinates(np.log(parameters))

    def from_coordinates(self, eta):
        """Coordinates of the priors to (r, α, s, β)."""
        rate, lr, ls, dropout = np.moveaxis(np.asarray(eta, float), -1, 0)
        return np.exp(np.stack([lr, lr - rate, ls, ls - dropout], axis=-1))

    def expected(self, parameters, x, T, horizon, discount=0.0, rate=1.0, hazard=1.0, t_x=None):
        """(Discounted) expected transactions of a customer who is alive; see `Process.expected`."""
        draws = np.atleast_2d(np.asarray(parameters, float))
        x, T = np.broadcast_arrays(np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(T, float)))
        ages, age_at = inverse(T)
        out = _future.paretonbd(
            draws,
            np.ascontiguousarray(x),
            age_at,
            ages,
            float(horizon),
            float(discount),
            float(rate),
            float(hazard),
        )
        return out[0] if np.ndim(parameters) == 1 else out

    clock_is_time = False  # lifetimes go by the calendar

    def stays(self, parameters, x, t_x, T, horizon):
        """((β+T)/(β+T+h))^s: what is known of the dropout rate of who is alive at T is Gamma(s, β+T)."""
        draws = np.atleast_2d(np.asarray(parameters, float))
        s, beta = draws[:, 2, None], draws[:, 3, None]
        age, _ = np.broadcast_arrays(np.atleast_1d(np.asarray(T, float)), np.atleast_1d(x))
        out = np.exp(-s * np.log1p(horizon / (beta + age)))
        return out[0] if np.ndim(parameters) == 1 else out

    def on_clock(self, changes, levels) -> "ParetoNBDOnClock":
        """The same process with purchases on a clock, whose changes are in the unit of the times asked for."""
        return ParetoNBDOnClock(changes, levels)

    def pmf(self, parameters, count, t):
        """P(X(t) = count) of a new customer, by quadrature over the moment of dropping out."""
        r, alpha, s, beta = np.asarray(parameters, float)
        x, t = np.broadcast_arrays(np.asarray(count, float), np.asarray(t, float))
        nodes, weights = np.polynomial.legendre.leggauss(96)
        kappa = min(alpha, beta)
        width = np.log1p(t / kappa)[..., None]
        shift = np.exp((nodes + 1) / 2 * width)
        moment = kappa * (shift - 1)
        density = s / (beta + moment) * np.exp(-s * np.log1p(moment / beta)) * kappa * shift
        ended = np.sum(weights / 2 * width * density * _nbd(r, alpha, x[..., None], moment), axis=-1)
        return np.exp(-s * np.log1p(t / beta)) * _nbd(r, alpha, x, t) + ended

    def simulate(self, parameters, T, rng):
        """Repeat purchases of new customers observed for ``T`` (customers,)."""
        r, alpha, s, beta = np.asarray(parameters, float)
        T = np.asarray(T, float)
        rate, dropout = rng.gamma(r, 1 / alpha, T.size), rng.gamma(s, 1 / beta, T.size)
        end = _end_of_life(dropout, T, rng)
        customer, time, _ = expand(rng.poisson(rate * end), end, rng)
        return Drawn(customer, time)

    def simulate_future(self, parameters, x, t_x, T, horizon, rng):
        """Purchases in the next ``horizon`` of customers with these histories."""
        r, alpha, s, beta = np.asarray(parameters, float)
        alive = rng.random(len(x)) < self.p_alive(parameters, x, t_x, T)
        rate = rng.gamma(r + x, 1.0) / (alpha + T) * alive
        dropout = rng.gamma(s, 1.0, len(x)) / (beta + T)
        end = _end_of_life(dropout, np.full(len(x), float(horizon)), rng)
        return Drawn(*scatter(rng.poisson(rate * end), end, rng))


def _end_of_life(dropout, T, rng) -> np.ndarray:
    """The exponential moment of leaving, or ``T``, whichever is first."""
    with np.errstate(divide="ignore"):
        return np.minimum(T, rng.exponential(1.0, T.size) / dropout)


def _nbd(r, alpha, x, t):
    """P(N(t) = x) of the NBD without dropout."""
    log_share = np.log(np.where(t > 0, t, 1.0) / (alpha + t))
    log_p = gammaln(r + x) - gammaln(r) - gammaln(x + 1) - r * np.log1p(t / alpha) + x * log_share
    return np.where((t > 0) | (x == 0), np.exp(log_p), 0.0)


class ParetoNBDOnClock(ParetoNBD):
    """Pareto/NBD whose purchases run on a clock, and lifetimes by the calendar; see `_paretonbd_clock`.

    ``changes`` (pieces + 1,) and ``levels`` (pieces,) are the clock's, up to the as-of date and in the unit of the times
    that are asked for. Times are calendar times; the likelihood lacks Σ log g at the purchases.
    """

    kernel = "paretonbd_clock"

    def __init__(self, changes: np.ndarray, levels: np.ndarray):
        self.changes, self.levels = np.asarray(changes, float), np.asarray(levels, float)

    def prepare(self, x, t_x, T, n):
        """Pack cells for the likelihood kernel."""
        return _paretonbd_clock.prepare(x, t_x, T, n, self.changes, self.levels)

    def evaluate(self, parameters, F, whole, gradient, alive, cell):
        """The compiled likelihood."""
        return _paretonbd_clock.kernel(parameters, F, whole, gradient, alive, cell)


PARETONBD = ParetoNBD()
