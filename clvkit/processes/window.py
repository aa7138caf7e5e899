"""Customers older than the log: watched in a window that opens after their first purchase.

What is known of such a customer is the age ``A`` at which the window opens, the ``x`` purchases in it (the first one
seen is a repeat purchase like any other), the last at ``t_x``, and its length ``W``; times from the window's opening.
The purchases before it are not known, so they are summed out; see `_paretonbd_window` for Pareto/NBD.

In BG/NBD and MBG/NBD each unseen purchase was a chance to leave, so that a customer with rate λ and dropout
probability p is alive at the opening with probability (1−p)^m e^{−λpA} (m: flips at the first purchase, 0 or 1; the
purchases of a Poisson process thinned by p). With the Beta(a, b) of p left to sum over,

    alive at the end:   (1−p)^{x+m} (α + pA + W)^−(r+x),      left at the last purchase:   p (1−p)^{x+m−1} (α + pA + t_x)^−(r+x)
"""

from dataclasses import dataclass

import numpy as np

from clvkit.errors import FitError
from clvkit.processes import _paretonbd_window, get
from clvkit.processes._draw import geometric
from clvkit.processes.base import Drawn, Process
from clvkit.processes.betageo import BetaGeometric, _until_dropout
from clvkit.processes.paretonbd import ParetoNBD, _end_of_life

NODES = 64  # of the sum over dropout probabilities, and of the integral over the horizon


class WindowParetoNBD(ParetoNBD):
    """Pareto/NBD fitted to customers acquired in the log together with older ones, given that these were seen."""

    kernel = "paretonbd_window"

    def prepare(self, x, t_x, W, before, n):
        """Pack cells for the likelihood kernel; ``before`` is below zero for customers acquired in the log."""
        return _paretonbd_window.prepare(x, t_x, W, before, n)

    def evaluate(self, parameters, F, whole, gradient, alive, cell):
        """The compiled likelihood."""
        return _paretonbd_window.kernel(parameters, F, whole, gradient, alive, cell)


WINDOW_PARETONBD = WindowParetoNBD()


@dataclass(frozen=True)
class Through:
    """A process as it answers of customers older than the log, ``before`` (cells,) old when it begins."""

    process: Process
    before: np.ndarray

    def p_alive(self, parameters, x, t_x, T) -> np.ndarray:
        """See `p_alive`; ``T`` is the length of the window."""
        return p_alive(self.process, parameters, x, t_x, T, self.before)

    def expected(self, parameters, x, T, horizon, discount=0.0, rate=1.0, hazard=1.0, t_x=None) -> np.ndarray:
        """See `expected`."""
        return expected(self.process, parameters, x, t_x, T, self.before, horizon, discount, rate, hazard)

    def stays(self, parameters, x, t_x, T, horizon) -> np.ndarray:
        """P(not gone within ``horizon``) of who is alive at the end of the window; see `Process.stays`."""
        return stays(self.process, parameters, x, t_x, T, self.before, horizon)

    def simulate_future(self, parameters, x, t_x, T, horizon, rng) -> Drawn:
        """See `simulate_future`."""
        return simulate_future(self.process, parameters, x, t_x, T, self.before, horizon, rng)


def p_alive(process: Process, parameters, x, t_x, W, before) -> np.ndarray:
    """P(alive at the end of the window): (cells,) or (draws, cells).

    Parameters
    ----------
    parameters : (k,) or (draws, k). x, t_x, W, before : (cells,) as above; ``before`` (A) is at least 0, and ``x`` at
        least 1, since the others are not in the log.
    """
    x, t_x, W, before = _columns(x, t_x, W, before)
    draws = np.atleast_2d(np.asarray(parameters, float))
    if isinstance(process, ParetoNBD):
        F, whole = _paretonbd_window.prepare(x, t_x, W, before, np.ones(x.size))
        out, gradient, none = np.empty((len(draws), x.size)), np.empty(4), np.empty(0)
        for row, one in zip(out, draws, strict=True):
            _paretonbd_window.kernel(one, F, whole, gradient, row, none)
    else:
        out = np.stack([_thinned(process, one, x, t_x, W, before)[1] for one in draws])
    return out[0] if np.ndim(parameters) == 1 else out


def endless(process: Process) -> bool:
    """Whether purchases of customers older than the log have an expectation without a horizon: only in closed form."""
    return isinstance(process, ParetoNBD)


def expected(
    process: Process, parameters, x, t_x, W, before, horizon, discount=0.0, rate=1.0, hazard=1.0
) -> np.ndarray:
    """(Discounted) expected purchases in the next ``horizon`` of those alive at the end of the window.

    Shapes as in `p_alive`; ``rate`` and ``hazard`` act from the end of the window on, as in `Process.expected`. In Pareto/NBD the lifetime has age A + W and the rate is Gamma(r + x, α + W), which a factor
    (α + A + W)/(α + W) makes of what a customer watched for A + W is expected to do.
    """
    x, t_x, W, before = _columns(x, t_x, W, before)
    draws = np.atleast_2d(np.asarray(parameters, float))
    if endless(process):
        alpha, age = draws[:, 1, None], before + W
        out = (
            np.atleast_2d(process.expected(draws, x, age, horizon, discount, rate, hazard))
            * (alpha + age)
            / (alpha + W)
        )
    else:
        if not np.isfinite(horizon):
            raise FitError(
                f"expected purchases of customers older than the log need a finite horizon with {process.label} "
                f"(got {horizon})",
                fix="set value.horizon_months, or use paretonbd",
            )
        out = np.stack([_to_come(process, one, x, t_x, W, before, float(horizon), discount, rate, hazard)
                        for one in draws])  # fmt: skip
    return out[0] if np.ndim(parameters) == 1 else out


def stays(process: Process, parameters, x, t_x, W, before, horizon) -> np.ndarray:
    """P(not gone within ``horizon``) of those alive at the end of the window; shapes as in `p_alive`.

    In Pareto/NBD by the age A + W; else the mean of (1 + ph/(α + pA + W))^−(r+x) over what is known of p.
    """
    x, t_x, W, before = _columns(x, t_x, W, before)
    if isinstance(process, ParetoNBD):
        return process.stays(parameters, x, t_x, before + W, horizon)
    out = []
    for one in np.atleast_2d(np.asarray(parameters, float)):
        p, _, weight = _thinned(process, one, x, t_x, W, before)
        base = one[1] + p * before[:, None] + W[:, None]
        out.append((weight * (1 + p * horizon / base) ** -(one[0] + x)[:, None]).sum(axis=1))
    return np.stack(out) if np.ndim(parameters) > 1 else out[0]


def simulate_future(process: Process, parameters, x, t_x, W, before, horizon, rng) -> Drawn:
    """Purchases in the next ``horizon`` of customers with these windows, at one set of parameters (k,)."""
    x, t_x, W, before = _columns(x, t_x, W, before)
    limit = np.full(x.size, float(horizon))
    alive = rng.random(x.size) < p_alive(process, parameters, x, t_x, W, before)
    if isinstance(process, ParetoNBD):
        r, alpha, s, beta = np.asarray(parameters, float)
        rate = rng.gamma(r + x, 1.0) / (alpha + W) * alive
        end = _end_of_life(rng.gamma(s, 1.0, x.size) / (beta + before + W), limit, rng)
        return _scattered(rate, end, rng)
    r, alpha, *_ = np.asarray(parameters, float)
    p, _, weight = _thinned(process, parameters, x, t_x, W, before)
    chosen = p[(weight.cumsum(axis=1) < rng.random(x.size)[:, None]).sum(axis=1).clip(max=p.size - 1)]
    rate = rng.gamma(r + x, 1.0) / (alpha + chosen * before + W) * alive
    return _until_dropout(rate, geometric(chosen, rng), limit, rng)


def _scattered(rate, end, rng) -> Drawn:
    from clvkit.processes._draw import scatter

    return Drawn(*scatter(rng.poisson(rate * end), end, rng))


def _columns(x, t_x, W, before):
    x = np.atleast_1d(np.asarray(x, np.int64))
    return x, *(np.broadcast_to(np.asarray(one, float), x.shape) for one in (t_x, W, before))


def _thinned(process: BetaGeometric, parameters, x, t_x, W, before):
    """Nodes p (nodes,), P(alive) (cells,), and the weight of each node for those alive (cells, nodes), summing to one."""
    from scipy.special import roots_jacobi

    r, alpha, a, b = np.asarray(parameters, float)
    roots, weights = roots_jacobi(NODES, b - 1, a - 1)  # ∫ p^(a−1) (1−p)^(b−1) f(p) dp
    p = (roots + 1) / 2
    k, m = (r + x)[:, None], process.offset
    stay, leave = np.log1p(-p), np.log(p)
    pull = p * before[:, None]
    with np.errstate(divide="ignore"):
        living = np.log(weights) + (x[:, None] + m) * stay - k * np.log(alpha + pull + W[:, None])
        left = np.log(weights) + leave + (x[:, None] + m - 1) * stay - k * np.log(alpha + pull + t_x[:, None])
    top = np.maximum(living.max(axis=1), left.max(axis=1))[:, None]
    living, left = np.exp(living - top), np.exp(left - top)
    total = living.sum(axis=1)
    return p, total / (total + left.sum(axis=1)), living / total[:, None]


def _to_come(process, parameters, x, t_x, W, before, horizon, discount, rate, hazard) -> np.ndarray:
    """∫ e^{−δt} E[λ e^{−λpt} | alive] dt over the horizon: a customer alive buys at λ and leaves at λp.

    ``rate`` multiplies λ, ``hazard`` the dropout hazard −log(1−p) of a purchase.
    """
    r, alpha, *_ = np.asarray(parameters, float)
    p, _, weight = _thinned(process, parameters, x, t_x, W, before)
    nodes, weights = np.polynomial.legendre.leggauss(NODES // 2)
    width = np.log1p(horizon / alpha)
    shift = np.exp((nodes + 1) / 2 * width)
    moment, mass = alpha * (shift - 1), weights / 2 * width * alpha * shift
    base = alpha + p * before[:, None] + W[:, None]  # (cells, nodes of p)
    k, leaving = (r + x)[:, None], -np.expm1(hazard * np.log1p(-p)) * rate
    out = np.zeros(x.size)
    for t, dt in zip(moment, mass, strict=True):
        each = weight * k / base * (1 + leaving * t / base) ** -(k + 1)
        out += dt * np.exp(-discount * t) * rate * each.sum(axis=1)
    return out


def of(name: str) -> Process:
    """The process that is fitted where some customers are older than the log; FitError where there is none."""
    if name != "paretonbd":
        raise FitError(
            f"{get(name).label} is fitted to customers acquired in the log alone: it has no likelihood for older ones",
            fix="use paretonbd, or fit the customers acquired in the log",
        )
    return WINDOW_PARETONBD
