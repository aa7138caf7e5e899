"""The models told as stories and averaged over what is not observed: slow, in double precision.

A living customer buys at rate λ and is lost at rate h: until the horizon H that is expected to give
λ (1 − e^{-(δ+h)H}) / (δ+h) purchases, discounted at δ. Nothing of the kernels' algebra is used.
"""

import numpy as np

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)


def _grid(low, high, width):
    """Nodes and weights of Gauss-Legendre panels over [low, high], each at most ``width`` wide."""
    edges = np.linspace(low, high, 2 + int((high - low) / width))
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half * (1 + _NODES)).ravel(), (half * _WEIGHTS).ravel()


def _gamma(shape, rate):
    """Values and probabilities of a gamma variable, over its logarithm."""
    spread, middle = 1 / np.sqrt(shape), np.log(shape / rate)
    u, weight = _grid(middle - 45 / shape - 8 * spread, middle + 8 * spread + 4, min(3, spread))
    log_density = shape * u - rate * np.exp(u)
    density = weight * np.exp(log_density - log_density.max())
    return np.exp(u), density / density.sum()


def _beta(a, b):
    """-log(1 − p) and probabilities of a beta variable p, over its logit."""
    spread, middle = np.sqrt(1 / a + 1 / b), np.log(a / b)
    y, weight = _grid(middle - 45 / a - 8 * spread, middle + 45 / b + 8 * spread, min(3, spread))
    hazard = np.logaddexp(0, y)
    log_density = -a * np.logaddexp(0, -y) - b * hazard
    density = weight * np.exp(log_density - log_density.max())
    return hazard, density / density.sum()


def _bought(rate, loss, horizon, discount):
    total = loss + discount
    within = -np.expm1(-total * horizon) if np.isfinite(horizon) else 1.0
    return rate * within / total


def betageo(parameters, x, T, horizon, offset, discount=0.0, rate=1.0, hazard=1.0):
    """Expected transactions of a living customer who drops out with probability p after each purchase."""
    r, alpha, a, b = parameters
    purchase_rate, chance = _gamma(r + x, (alpha + T) / rate)
    flip, share = _beta(a, b + x + offset)
    lost = -np.expm1(-hazard * flip)
    each = [chance @ _bought(purchase_rate, purchase_rate * p, horizon, discount) for p in lost]
    return share @ np.array(each)


def paretonbd(parameters, x, T, horizon, discount=0.0, rate=1.0, hazard=1.0):
    """Expected transactions of a living customer who is lost at a gamma-distributed rate."""
    r, alpha, s, beta = parameters
    loss, chance = _gamma(s, (beta + T) / hazard)
    return rate * (r + x) / (alpha + T) * (chance @ _bought(1.0, loss, horizon, discount))
