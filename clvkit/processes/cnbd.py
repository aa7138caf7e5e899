"""MBG/CNBD-k: purchases more regular than at random, and a coin flipped after each of them.

Platzer & Reutterer (2016), "Ticking Away the Moments", Marketing Science 35(5), for Erlang gaps beside a dropout;
Reutterer, Platzer & Schröder (2021), "Leveraging purchase regularity for predicting customer behavior the easy
way", International Journal of Research in Marketing 38(1), for MBG/CNBD-k. A purchase is every k-th event of a
Poisson clock of rate λ ~ Gamma(r, α), so gaps have mean k/λ and a coefficient of variation of 1/√k. Silence of
more than a few gaps is then strong evidence of having left, and who has just bought will not buy at once. At
k = 1 this is MBG/NBD.
"""

from functools import cache

import numpy as np
from scipy.special import betainc, betaln

from clvkit.errors import FitError
from clvkit.processes import _cnbd, _erlang
from clvkit.processes._draw import expand, geometric
from clvkit.processes.base import Drawn
from clvkit.processes.betageo import BetaGeometric

_MOST_EVENTS = 20_000  # of the clock within a horizon
LARGEST = 12  # k: gaps of an Erlang-12 are as even as those of a monthly habit give or take nine days


class ErlangGeometric(BetaGeometric):
    """MBG/CNBD-k for one whole ``k`` (``offset`` 1; 0 makes BG/CNBD-k of it)."""

    kernel = "cnbd"

    def __init__(self, k: int, offset: int = 1):
        prefix = "M" if offset else ""
        super().__init__(
            f"{prefix.lower()}bgcnbd-{k}",
            f"{prefix}BG/CNBD-{k}",
            "Platzer & Reutterer 2016; Reutterer, Platzer & Schröder 2021",
            offset,
        )
        self.k = k

    def prepare(self, x, t_x, T, n):
        """Pack cells for the likelihood kernel."""
        return _cnbd.prepare(x, t_x, T, n, self.offset, self.k)

    def evaluate(self, parameters, F, whole, gradient, alive, cell):
        """The compiled likelihood, without the term of the single gaps; see `clvkit.rhythm.gap_log_density`."""
        return _cnbd.kernel(parameters, F, whole, gradient, alive, cell)

    def on_clock(self, *_):
        """Refuse a clock of purchases: gaps would have to be told on it, one by one."""
        raise FitError(
            f"{self.label} cannot run on a clock of purchases",
            place="calendar",
            fix="use bgnbd, mbgnbd or paretonbd, or leave the calendar out",
        )

    def coordinates(self, parameters):
        """(r, α, a, b) to the coordinates of the priors; the mean of purchases is r/(kα)."""
        return super().coordinates(np.asarray(parameters, float) * [1.0, self.k, 1.0, 1.0])

    def from_coordinates(self, eta):
        """Coordinates of the priors to (r, α, a, b)."""
        return super().from_coordinates(eta) / [1.0, self.k, 1.0, 1.0]

    def expected(self, parameters, x, T, horizon, discount=0.0, rate=1.0, hazard=1.0, t_x=None):
        """(Discounted) expected transactions of a customer who is alive; see `Process.expected`.

        For k > 1 it depends on ``t_x`` as well: the longer the silence, the sooner a living customer buys.
        """
        draws = np.atleast_2d(np.asarray(parameters, float))
        if t_x is None:
            if self.k > 1:
                raise ValueError(
                    f"{self.label} needs t_x beside x and T: a customer who has just bought will not buy at once; "
                    "call expected(..., t_x=...)"
                )
            t_x = T
        x, t_x, T = np.broadcast_arrays(*(np.atleast_1d(np.asarray(v, float)) for v in (x, t_x, T)))
        if np.isinf(horizon) and not discount:
            out = self._without_end(draws, x, hazard)
            return out[0] if np.ndim(parameters) == 1 else out
        pairs, where = np.unique(np.stack([x, T]), axis=1, return_inverse=True)
        first = np.append(np.unique(pairs[0], return_index=True)[1], pairs.shape[1])
        ask = (self.k, float(horizon), float(discount), float(rate), float(hazard))
        by_phase = _erlang.grid(
            draws, np.ascontiguousarray(pairs[0]), first, np.ascontiguousarray(pairs[1]), self.offset, *ask
        )
        columns = (np.ascontiguousarray(v) for v in (x, t_x, T))
        out = _erlang.mixed(draws, by_phase, where.ravel().astype(np.int64), *columns, self.k)
        return out[0] if np.ndim(parameters) == 1 else out

    def stays(self, parameters, x, t_x, T, horizon):
        """E[(1−p)^N] over the N purchases within ``horizon`` of who is alive: sums over the phase and the clock's events.

        In phase j the rate is Gamma(r+kx+j, α+T), the clock's events within h are negative binomial, every k-th of them a
        purchase, and E[(1−p)^n] = B(a, b+x+1+n)/B(a, b+x+1).
        """
        draws = np.atleast_2d(np.asarray(parameters, float))
        x, t_x, T = np.broadcast_arrays(*(np.atleast_1d(np.asarray(v, float)) for v in (x, t_x, T)))
        trios, where = np.unique(np.stack([x, t_x, T]), axis=1, return_inverse=True)
        grid = np.stack([self._stays(one, *trios, float(horizon)) for one in draws])
        out = grid[:, where.ravel()]
        return out[0] if np.ndim(parameters) == 1 else out

    def _stays(self, one, x, t_x, T, horizon) -> np.ndarray:
        """`stays` at one set of parameters; events are summed until all but 1e-9 of them are met."""
        r, alpha, a, b = one
        left, share = b + x + self.offset, horizon / (alpha + T + horizon)
        weight, found, phases = np.ones(x.size), np.zeros(x.size), np.zeros(x.size)
        for j in range(self.k):
            shape = r + self.k * x + j
            if j:
                weight = weight * (shape - 1) / j * (T - t_x) / (alpha + T)
            chance, met, m, expected = (1 - share) ** shape, np.zeros(x.size), 0, np.zeros(x.size)
            while m < 10 or (np.any(met < 1 - 1e-9) and m < _MOST_EVENTS):
                n = (j + m) // self.k
                expected += chance * np.exp(betaln(a, left + n) - betaln(a, left))
                met += chance
                chance = chance * (shape + m) / (m + 1) * share
                m += 1
            found, phases = found + weight * expected, phases + weight
        return found / phases

    def pmf(self, parameters, count, t):
        """P(X(t) = count) of a new customer: the clock's events are negative binomial, every k-th a purchase."""
        r, alpha, a, b = np.asarray(parameters, float)
        x, t = np.broadcast_arrays(np.asarray(count, float), np.asarray(t, float))
        flips = x + self.offset

        def reached(n):  # P(at least n events of the clock)
            return np.where(n > 0, betainc(np.where(n > 0, n, 1.0), r, t / (alpha + t)), 1.0)

        at, after = reached(self.k * x), reached(self.k * (x + 1))
        stayed = np.exp(betaln(a, b + flips) - betaln(a, b)) * (at - after)
        left = np.exp(betaln(a + 1, np.maximum(b + flips - 1, 1e-300)) - betaln(a, b)) * at
        return stayed + np.where(flips > 0, left, 0.0)

    def simulate(self, parameters, T, rng):
        """Repeat purchases of new customers observed for ``T`` (customers,)."""
        r, alpha, a, b = np.asarray(parameters, float)
        T = np.asarray(T, float)
        rate, dropout = rng.gamma(r, 1 / alpha, T.size), rng.beta(a, b, T.size)
        return self._ticks(rate, np.zeros(T.size, np.int64), geometric(dropout, rng) - self.offset, T, rng)

    def simulate_future(self, parameters, x, t_x, T, horizon, rng):
        """Purchases in the next ``horizon`` of customers with these histories."""
        r, alpha, a, b = np.asarray(parameters, float)
        x, t_x, T = (np.asarray(v) for v in (x, t_x, T))
        alive = rng.random(len(x)) < self.p_alive(parameters, x, t_x, T)
        phase = self._phase(r + self.k * x, (T - t_x) / (alpha + T), rng)
        rate = rng.gamma(r + self.k * x + phase, 1.0) / (alpha + T) * alive
        allowed = geometric(rng.beta(a, b + x + self.offset), rng)
        return self._ticks(rate, phase, allowed, np.full(len(x), float(horizon)), rng)

    def _phase(self, shape, w, rng) -> np.ndarray:
        """How many of the k events of the current gap a living customer has behind it."""
        weights = np.ones((self.k, len(shape)))
        for j in range(1, self.k):
            weights[j] = weights[j - 1] * (shape + j - 1) / j * w
        reached = np.cumsum(weights, axis=0)
        return (rng.random(len(shape)) * reached[-1] >= reached).sum(axis=0)

    def _ticks(self, rate, phase, allowed, T, rng) -> Drawn:
        """Every k-th event of the clock over ``T``, beginning in ``phase``, as many as each is ``allowed``."""
        customer, time, rank = expand(rng.poisson(rate * T), T, rng)
        event = rank + 1 + phase[customer]
        kept = (event % self.k == 0) & (event // self.k <= allowed[customer])
        return Drawn(customer[kept], time[kept])


@cache
def mbgcnbd(k: int) -> ErlangGeometric:
    """MBG/CNBD-k; ``k`` from 1."""
    return ErlangGeometric(k)
