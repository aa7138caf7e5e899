"""BG/NBD and MBG/NBD: purchases at random, a coin flipped after each of them.

BG/NBD: Fader, Hardie & Lee (2005), "Counting Your Customers the Easy Way", Marketing Science 24(2). Nobody
can drop out before a first repeat purchase, so P(alive) of a never-repeater is 1 by construction. MBG/NBD:
Batislam, Denizel & Filiztekin (2007), International Journal of Research in Marketing 24(3): the coin is also
flipped after the first purchase.
"""

import numpy as np
from scipy.special import betainc, betaln, gammaln, hyp2f1

from clvkit.processes import _betageo, _future
from clvkit.processes._draw import expand, geometric
from clvkit.processes.base import Drawn, Prior, Process


class BetaGeometric(Process):
    """BG/NBD (``offset`` 0) or MBG/NBD (``offset`` 1)."""

    kernel = "betageo"
    parameters = ("r", "alpha", "a", "b")
    scale_parameters = frozenset({"alpha"})
    priors = {
        "log_mean_purchases": Prior(0.0, 1.5, "log of the mean purchases r/α while alive, per median age"),
        "log_r": Prior(0.0, 1.0, "log of r: how alike purchase rates are"),
        "logit_mean_dropout": Prior(0.0, 1.5, "logit of the mean dropout probability a/(a+b)"),
        "log_concentration": Prior(1.0, 1.0, "log of a+b: how alike dropout probabilities are"),
    }

    def __init__(self, name: str, label: str, source: str, offset: int):
        self.name, self.label, self.source, self.offset = name, label, source, offset

    def prepare(self, x, t_x, T, n):
        """Pack cells for the likelihood kernel."""
        return _betageo.prepare(x, t_x, T, n, self.offset)

    def evaluate(self, parameters, F, whole, gradient, alive, cell):
        """The compiled likelihood."""
        return _betageo.kernel(parameters, F, whole, gradient, alive, cell)

    def coordinates(self, parameters):
        """(r, α, a, b) to the coordinates of the priors."""
        return _betageo.log_to_coordinates(np.log(parameters))

    def from_coordinates(self, eta):
        """Coordinates of the priors to (r, α, a, b)."""
        rate, lr, logit, concentration = np.moveaxis(np.asarray(eta, float), -1, 0)
        la, lb = concentration - np.logaddexp(0, -logit), concentration - np.logaddexp(0, logit)
        return np.exp(np.stack([lr, lr - rate, la, lb], axis=-1))

    def expected(self, parameters, x, T, horizon, discount=0.0, rate=1.0, hazard=1.0, t_x=None):
        """(Discounted) expected transactions of a customer who is alive; see `Process.expected`."""
        draws = np.atleast_2d(np.asarray(parameters, float))
        x, T = np.broadcast_arrays(np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(T, float)))
        if np.isinf(horizon) and not discount:
            out = self._without_end(draws, x, hazard)
            return out[0] if np.ndim(parameters) == 1 else out
        pairs, where = np.unique(np.stack([x, T]), axis=1, return_inverse=True)
        first = np.append(np.unique(pairs[0], return_index=True)[1], pairs.shape[1])
        grid = _future.betageo(
            draws,
            np.ascontiguousarray(pairs[0]),
            first,
            np.ascontiguousarray(pairs[1]),
            self.offset,
            float(horizon),
            float(discount),
            float(rate),
            float(hazard),
        )
        out = grid[:, where.ravel()]
        return out[0] if np.ndim(parameters) == 1 else out

    def _without_end(self, draws, x, hazard) -> np.ndarray:
        """All purchases to come, undiscounted: E[1/p] = (a + b + m − 1)/(a − 1); infinite for a ≤ 1."""
        if hazard != 1:
            raise ValueError("without discounting and without end, expected purchases need a hazard of 1")
        a, left = draws[:, 2, None], draws[:, 3, None] + x + self.offset
        return np.where(a > 1, (a + left - 1) / np.where(a > 1, a - 1, 1.0), np.inf)

    def stays(self, parameters, x, t_x, T, horizon):
        """E[exp(−λph)] over λ ~ Gamma(r+x, α+T) and p ~ Beta(a, b+x (+1)): ₂F₁(r+x, a; a+b+x (+1); −h/(α+T)).

        Who buys at rate λ and leaves after a purchase with probability p leaves at rate λp; a customer who is alive has
        survived each of the x flips of the coin (x + 1 in MBG/NBD).
        """
        draws = np.atleast_2d(np.asarray(parameters, float))
        x, T = np.broadcast_arrays(np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(T, float)))
        pairs, where = np.unique(np.stack([x, T]), axis=1, return_inverse=True)
        r, alpha, a, b = draws.T[:, :, None]
        left = b + pairs[0] + self.offset
        z = horizon / (alpha + pairs[1])
        # Pfaff's transformation: the argument is between 0 and 1, where the series converges.
        value = (1 + z) ** -a * hyp2f1(a, a + left - r - pairs[0], a + left, z / (1 + z))
        out = np.clip(value, 0.0, 1.0)[:, where.ravel()]
        return out[0] if np.ndim(parameters) == 1 else out

    clock_is_time = True  # nothing happens between purchases: in purchase time the process is what it is

    def on_clock(self, changes, levels) -> "BetaGeometric":
        """The process itself: its times are then purchase times."""
        return self

    def pmf(self, parameters, count, t):
        """P(X(t) = count) of a new customer (Fader, Hardie & Lee 2005, eq. 8, as an incomplete beta)."""
        r, alpha, a, b = np.asarray(parameters, float)
        x, t = np.broadcast_arrays(np.asarray(count, float), np.asarray(t, float))
        share, flips = t / (alpha + t), x + self.offset
        log_nbd = gammaln(r + x) - gammaln(r) - gammaln(x + 1) - r * np.log1p(t / alpha)
        with np.errstate(divide="ignore"):  # at t = 0 nobody has bought
            log_nbd = log_nbd + np.where(x > 0, x, 0.0) * np.log(np.where(x > 0, share, 1.0))
        stayed = np.exp(betaln(a, b + flips) - betaln(a, b) + log_nbd)
        reached = np.where(x > 0, betainc(np.where(x > 0, x, 1.0), r, share), 1.0)  # P(at least x purchases)
        left = np.exp(betaln(a + 1, np.maximum(b + flips - 1, 1e-300)) - betaln(a, b)) * reached
        return stayed + np.where(flips > 0, left, 0.0)

    def simulate(self, parameters, T, rng):
        """Repeat purchases of new customers observed for ``T`` (customers,)."""
        r, alpha, a, b = np.asarray(parameters, float)
        T = np.asarray(T, float)
        rate, dropout = rng.gamma(r, 1 / alpha, T.size), rng.beta(a, b, T.size)
        return _until_dropout(rate, geometric(dropout, rng) - self.offset, T, rng)

    def simulate_future(self, parameters, x, t_x, T, horizon, rng):
        """Purchases in the next ``horizon`` of customers with these histories."""
        r, alpha, a, b = np.asarray(parameters, float)
        alive = rng.random(len(x)) < self.p_alive(parameters, x, t_x, T)
        rate = rng.gamma(r + x, 1.0) / (alpha + T) * alive
        dropout = rng.beta(a, b + x + self.offset)
        return _until_dropout(rate, geometric(dropout, rng), np.full(len(x), float(horizon)), rng)


def _until_dropout(rate, allowed, T, rng) -> Drawn:
    """Poisson purchases at ``rate`` over ``T``, of which each customer makes at most ``allowed``."""
    customer, time, rank = expand(rng.poisson(rate * T), T, rng)
    kept = rank < allowed[customer]
    return Drawn(customer[kept], time[kept])


BGNBD = BetaGeometric("bgnbd", "BG/NBD", "Fader, Hardie & Lee 2005", 0)
MBGNBD = BetaGeometric("mbgnbd", "MBG/NBD", "Batislam, Denizel & Filiztekin 2007", 1)
