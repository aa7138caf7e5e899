"""Discounted expected transactions of a customer who is alive, as one-dimensional integrals.

Given that a customer is alive at the as-of date, its purchase rate and its dropout are independent, with the
updated parameters of the process, and depend on the history through frequency and age only. All horizons,
with and without discounting, are then smooth integrals over elementary functions:

* Pareto/NBD: ``(r+x)/(α+T) ∫_0^H e^{-δt} (1 + t/(β+T))^-s dt``; its infinite limit is the DERT of Fader,
  Hardie & Lee (2005, "RFM and CLV", eq. 2), there written with Tricomi's function;
* BG/NBD and MBG/NBD: the mean over ``p ~ Beta(a, b+m)`` of ``∫_0^H e^{-δt} (r'/α') (1 + p t/α')^-(r'+1) dt``
  with ``r' = r+x``, ``α' = α+T``; undiscounted it equals the conditional expectation of Fader, Hardie & Lee
  (2005), there written with a Gauss hypergeometric function that overflows for frequent buyers.

``rate`` multiplies the purchase rate and ``hazard`` the dropout hazard (μ, or −log(1−p)) from now on.
"""

import math

import numpy as np
from numba import njit, prange

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(10)
_NODES, _WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2


@njit(cache=True)
def _nodes_for(width):
    """Chebyshev nodes over a range of log(α+T) that interpolate to a relative error below 1e-8.

    Where dropout differs little between customers, zeros of the function come within π/2 of the range; there
    its logarithm is singular, and the error falls as exp(-nodes · asinh(π/width)).
    """
    return math.ceil(17.0 / math.asinh(math.pi / max(width, 1e-3)))


@njit(cache=True)
def _panels(length, decay):
    """Panels of ten nodes that resolve e^{-decay·v} and its double-exponential cut-off over ``length``."""
    return max(1, math.ceil(max(length * decay / 8.0, length / 2.0)))


@njit(cache=True)
def _dropout_integral(p, shape, scale, horizon, discount):
    """∫_0^H e^{-δt} (shape/scale) (1 + p t/scale)^-(shape+1) dt for one dropout probability ``p``."""
    if p <= 0.0:
        rate = shape / scale
        if discount > 0.0:
            return rate * (
                -math.expm1(-discount * horizon) / discount if horizon < np.inf else 1.0 / discount
            )
        return rate * horizon
    length = math.log1p(p * horizon / scale) if horizon < np.inf else np.inf
    if discount == 0.0:
        return (-math.expm1(-shape * length) if length < np.inf else 1.0) / p
    slope = discount * scale / p  # in units of v = log(1 + p t/scale)
    length = min(length, 28.0 / (shape + slope), math.log1p(30.0 / slope))
    panels = _panels(length, shape + slope)
    step = length / panels
    total = 0.0
    for panel in range(panels):
        for j in range(_NODES.size):
            v = (panel + _NODES[j]) * step
            total += _WEIGHTS[j] * math.exp(-shape * v - slope * math.expm1(v))
    return total * step * shape / p


@njit(cache=True)
def _log1pexp(y):
    return y + math.log1p(math.exp(-y)) if y > 0 else math.log1p(math.exp(y))


@njit(cache=True)
def _beta_mean(a, b, shape, scale, horizon, discount, hazard):
    """Mean of `_dropout_integral` over p ~ Beta(a, b), by the trapezoid rule in logit p.

    The integrand is analytic in a strip and falls off exponentially on both sides, where the rule converges
    geometrically in the step; what lies beyond the last node on either side is summed as the geometric series
    it is. The same sum with integrand 1 normalises, so no beta function is needed.
    """
    spread = math.sqrt(1.0 / a + 1.0 / b)
    step = min(0.45, 0.8 * spread) if a > 0.5 and b > 0.5 else 0.45
    middle = math.log(a / b)
    low = min(middle, -math.log(max(1.0, shape * horizon / scale if horizon < np.inf else 1e4))) - 20.0
    high = max(middle, 0.0) + 20.0 / min(1.0, hazard)  # a smaller hazard bends (1-p)^hazard only later
    top = -a * _log1pexp(-middle) - b * _log1pexp(middle)
    norm = total = 0.0
    for side in range(2):
        k = 0 if side == 0 else 1
        while True:
            y = middle + k * step if side == 0 else middle - k * step
            density = math.exp(-a * _log1pexp(-y) - b * _log1pexp(y) - top)
            survive = -_log1pexp(y) * hazard  # log of the chance to stay, after the hazard multiplier
            value = _dropout_integral(-math.expm1(survive), shape, scale, horizon, discount)
            beyond = y > high if side == 0 else y < low
            if density < 1e-14 or beyond:
                ratio = math.exp(-step * (b if side == 0 else a))
                weight = density / (1.0 - ratio)
                norm += weight
                total += weight * value
                break
            norm += density
            total += density * value
            k += 1
    return total / norm


@njit(cache=True)
def betageo_one(a, b, shape, scale, horizon, discount, rate, hazard):
    """Expected transactions of one living customer: Gamma(shape, scale) rate, Beta(a, b) dropout."""
    return _beta_mean(a, b, shape, scale / rate, horizon, discount, hazard)


@njit(cache=True, parallel=True)
def betageo(draws, x, first, T, offset, horizon, discount, rate, hazard):
    """Expected transactions for pairs (x, T) sorted by x; returns (draws, pairs).

    ``first`` (distinct x + 1) tells where each x begins; within an x the ages ascend. Where there are more
    ages than Chebyshev nodes, the logarithm is interpolated in log(α+T), in which it is smooth.
    """
    out = np.empty((draws.shape[0], T.size))
    blocks = first.size - 1
    for task in prange(draws.shape[0] * blocks):
        d, block = task // blocks, task % blocks
        r, alpha, a, b = draws[d, 0], draws[d, 1], draws[d, 2], draws[d, 3]
        start, stop = first[block], first[block + 1]
        shape, left = r + x[start], b + x[start] + offset
        low, high = math.log(alpha + T[start]), math.log(alpha + T[stop - 1])
        nodes = _nodes_for(high - low)
        if stop - start <= nodes:
            for i in range(start, stop):
                out[d, i] = betageo_one(a, left, shape, alpha + T[i], horizon, discount, rate, hazard)
            continue
        u, value, weight = np.empty(nodes), np.empty(nodes), np.empty(nodes)
        for j in range(nodes):
            angle = math.pi * (j + 0.5) / nodes
            u[j] = 0.5 * (low + high) + 0.5 * (high - low) * math.cos(angle)
            weight[j] = math.sin(angle) * (1.0 if j % 2 == 0 else -1.0)
            value[j] = math.log(betageo_one(a, left, shape, math.exp(u[j]), horizon, discount, rate, hazard))
        for i in range(start, stop):
            at = math.log(alpha + T[i])
            above = below = 0.0
            exact = -1
            for j in range(nodes):
                gap = at - u[j]
                if gap == 0.0:
                    exact = j
                    break
                above += weight[j] / gap * value[j]
                below += weight[j] / gap
            out[d, i] = math.exp(value[exact] if exact >= 0 else above / below)
    return out


@njit(cache=True)
def lifetime_one(s, beta, horizon, discount, hazard):
    """∫_0^H e^{-δt} (1 + hazard·t/beta)^-s dt: discounted expected remaining lifetime within the horizon."""
    scale = beta / hazard
    length = math.log1p(horizon / scale) if horizon < np.inf else np.inf
    if discount == 0.0:
        k = s - 1.0
        if length == np.inf:
            return scale / k if k > 0 else np.inf
        return scale * (-math.expm1(-k * length) / k if abs(k * length) > 1e-10 else length)
    slope = discount * scale
    length = min(length, math.log1p(40.0 / slope) if s > 1 else math.log1p((40.0 + 8.0) / slope))
    panels = _panels(length, abs(s - 1.0) + min(slope, 40.0 / length))
    step = length / panels
    total = 0.0
    for panel in range(panels):
        for j in range(_NODES.size):
            v = (panel + _NODES[j]) * step
            total += _WEIGHTS[j] * math.exp(-(s - 1.0) * v - slope * math.expm1(v))
    return total * step * scale


@njit(cache=True, parallel=True)
def paretonbd(draws, x, age_at, ages, horizon, discount, rate, hazard):
    """Expected transactions for pairs (x, T = ages[age_at]); returns (draws, pairs)."""
    out = np.empty((draws.shape[0], x.size))
    for d in prange(draws.shape[0]):
        r, alpha, s, beta = draws[d, 0], draws[d, 1], draws[d, 2], draws[d, 3]
        lifetime = np.empty(ages.size)
        for k in range(ages.size):
            lifetime[k] = lifetime_one(s, beta + ages[k], horizon, discount, hazard)
        for i in range(x.size):
            out[d, i] = rate * (r + x[i]) / (alpha + ages[age_at[i]]) * lifetime[age_at[i]]
    return out
