"""Discounted sums over the renewals to come of a contract, to nine digits at any rate, horizon and heterogeneity.

The first terms are added one by one. What follows is smooth, and its sum is an integral with Gregory's correction by
differences at the ends (the Euler–Maclaurin formula without derivatives), taken by Gauss's rule over ranges that double:
a tail that falls like a power of time, discounted by little or nothing, costs a few hundred evaluations. Gauss's
hypergeometric function, which the sum is for sBG without a horizon, fails where α or β is large or the rate is next to
nothing, and has no horizon, c or hazard.
"""

import math

import numpy as np
from numba import njit, prange

from clvkit.processes._contract import minus_log_stay, span

ONE_BY_ONE = 32  # terms added by themselves; up to twice as many where there are no more
_DIFFERENCES = (1 / 12, 1 / 24, 19 / 720, 3 / 160, 863 / 60480, 275 / 24192)  # Gregory's coefficients
_END = np.array(
    [
        (0.5 if i == 0 else 0.0)
        + sum(gregory * (-1) ** i * math.comb(j, i) for j, gregory in enumerate(_DIFFERENCES, 1))
        for i in range(len(_DIFFERENCES) + 1)
    ]
)
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_NEGLIGIBLE, _POWER_LAW = 1e-17, 1e14


@njit(cache=True, error_model="numpy")
def _term(gamma, delta, c, made, k, log_v, hazard):
    return math.exp(log_v * (k - 1.0) - minus_log_stay(gamma, delta, c, made, k, hazard))


@njit(cache=True, error_model="numpy")
def _sum(gamma, delta, c, made, horizon, log_v, hazard):
    """Σ f(k) and Σ k f(k) over k = 1..horizon, f(k) = v^{k−1} P(k further renewals | ``made``)."""
    endless = math.isinf(horizon) and log_v == 0.0
    if endless and gamma * c <= 1.0:
        return np.inf, np.inf
    plain = weighted = 0.0
    for k in range(1, int(horizon if horizon <= 2 * ONE_BY_ONE else ONE_BY_ONE) + 1):
        term = _term(gamma, delta, c, made, float(k), log_v, hazard)
        plain += term
        weighted += k * term
    if horizon <= 2 * ONE_BY_ONE:
        return plain, weighted
    low = ONE_BY_ONE + 1.0
    for i in range(_END.size):
        term = _END[i] * _term(gamma, delta, c, made, low + i, log_v, hazard)
        plain += term
        weighted += (low + i) * term
        if horizon < np.inf:
            term = _END[i] * _term(gamma, delta, c, made, horizon - i, log_v, hazard)
            plain += term
            weighted += (horizon - i) * term
    while low < horizon:
        high = min(2.0 * low, horizon)
        for i in range(_NODES.size):
            k = low + (high - low) * (1.0 + _NODES[i]) / 2.0
            term = _WEIGHTS[i] * (high - low) / 2.0 * _term(gamma, delta, c, made, k, log_v, hazard)
            plain += term
            weighted += k * term
        low = high
        last = _term(gamma, delta, c, made, low, log_v, hazard)
        if log_v < 0.0:  # what follows is at most a geometric series
            rest = last / -log_v
            if rest <= _NEGLIGIBLE * plain and rest * (low - 1.0 / log_v) <= _NEGLIGIBLE * weighted:
                break
        elif endless:
            if last * low * low <= _NEGLIGIBLE * plain:
                break
            u, w, _, _, _ = span(c, made, low, hazard)
            if w > _POWER_LAW * (gamma + delta + u) or low > 1e290:  # f falls like k^(−γc) from here on
                plain += last * low / (gamma * c - 1.0)
                weighted += last * low * low / (gamma * c - 2.0) if gamma * c > 2.0 else 0.0
                break
    return plain, np.inf if endless and gamma * c <= 2.0 else weighted


@njit(cache=True, parallel=True, error_model="numpy")
def renewal_sums(draws, made, horizon, log_v, hazard):
    """Both sums of `_sum` for parameters ``draws`` (draws, 3) and ascending ``made`` (contracts,): (draws, contracts, 2).

    Without a horizon and a hazard those after one renewal less follow from those after one more, from the last down.
    """
    out = np.empty((len(draws), made.size, 2))
    for d in prange(len(draws)):
        gamma, delta, c = draws[d, 0], draws[d, 1], draws[d, 2]
        if math.isinf(horizon) and hazard == 1.0:
            at = made[-1]
            plain, weighted = _sum(gamma, delta, c, at, horizon, log_v, hazard)
            for i in range(made.size - 1, -1, -1):
                while at > made[i]:
                    at -= 1.0
                    stay = math.exp(-minus_log_stay(gamma, delta, c, at, 1.0, 1.0))
                    weighted = stay * (1.0 + math.exp(log_v) * (weighted + plain))
                    plain = stay * (1.0 + math.exp(log_v) * plain)
                out[d, i, 0], out[d, i, 1] = plain, weighted
        else:
            for i in range(made.size):
                out[d, i, 0], out[d, i, 1] = _sum(gamma, delta, c, made[i], horizon, log_v, hazard)
    return out


@njit(cache=True, parallel=True, error_model="numpy")
def log_stay(draws, made, more, hazard):
    """Log-probability of ``more`` further renewals after ``made`` (both (cells,)): (draws, cells)."""
    out = np.empty((len(draws), made.size))
    for d in prange(len(draws)):
        for i in range(made.size):
            out[d, i] = -minus_log_stay(draws[d, 0], draws[d, 1], draws[d, 2], made[i], more[i], hazard)
    return out
