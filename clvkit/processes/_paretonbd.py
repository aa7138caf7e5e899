"""The Pareto/NBD likelihood as one integral over the moment of dropping out, with its exact gradient.

    L = Γ(r+x)/Γ(r) · α^r β^s · [ (α+T)^-(r+x) (β+T)^-s + s ∫_{t_x}^{T} (α+τ)^-(r+x) (β+τ)^-(s+1) dτ ]

is the likelihood of Schmittlein, Morrison & Colombo (1987) before the integral is written as a Gauss
hypergeometric function, the form in which it is slow and loses digits. For each distinct ``x`` the integral
is tabulated once, from the latest moment that occurs with that ``x`` backward (summing the tail: a difference
of two forward sums would cancel), in logarithms, so that nothing underflows. A cell is then a difference of
two entries. The cost follows the distinct (x, moment) pairs and not the customers.
"""

import math

import numpy as np
from numba import njit

from clvkit.processes._betageo import rising
from clvkit.processes._pack import pack, real, whole

# Gauss–Legendre on [0, 1]: two nodes where the integrand hardly changes over a step, four where it may
# change by a factor e: relative errors of 1e-9 and below.
_N2, _W2 = (np.polynomial.legendre.leggauss(2)[0] + 1) / 2, np.polynomial.legendre.leggauss(2)[1] / 2
_N4, _W4 = (np.polynomial.legendre.leggauss(4)[0] + 1) / 2, np.polynomial.legendre.leggauss(4)[1] / 2
_N3, _W3 = (np.polynomial.legendre.leggauss(3)[0] + 1) / 2, np.polynomial.legendre.leggauss(3)[1] / 2
_SHORT = 0.35  # the rule's error is (_SHORT)^6 · 3!⁴ / (7 · 6!³), nine digits, for powers of p over a step h of a where
# p (p+1) … (p+5) (h/a)^6 is less: where, near enough, p h/a + 2.5 h/a is less than _SHORT
FAR = 300.0  # logs of integrands further apart than this are summed in another unit


def prepare(x, t_x, T, n) -> tuple[np.ndarray, np.ndarray]:
    """Pack cells (frequency, recency, age, count; times in any unit) for `kernel`."""
    x = np.asarray(x, np.int64)
    t_x, T = np.asarray(t_x, float), np.asarray(T, float)
    distinct = np.unique(x)
    block = np.searchsorted(distinct, x)
    both_block, both_time = np.concatenate([block, block]), np.concatenate([t_x, T])
    order = np.lexsort((-both_time, both_block))
    sorted_block, sorted_time = both_block[order], both_time[order]
    new = np.ones(order.size, bool)
    new[1:] = (sorted_block[1:] != sorted_block[:-1]) | (sorted_time[1:] != sorted_time[:-1])
    position = np.empty(order.size, np.int64)
    position[order] = np.cumsum(new) - 1
    ends, end_block = sorted_time[new], sorted_block[new]
    starts = np.searchsorted(end_block, np.arange(distinct.size + 1))
    return pack([ends, n], [x, position[: x.size], position[x.size :], distinct, starts])


@njit(cache=True, error_model="numpy")
def _piece(k, s1, alpha, beta, low, high, mean):
    """Log of the integral of (α+τ)^-k (β+τ)^-s1 over [low, high].

    ``mean`` (4,) receives the averages of log(α+τ), 1/(α+τ), log(β+τ), 1/(β+τ) under the integrand.
    """
    change = k * math.log((alpha + high) / (alpha + low)) + s1 * math.log((beta + high) / (beta + low))
    kappa = min(alpha, beta)
    width = math.log((kappa + high) / (kappa + low))
    fine = change + 1.5 * width < 0.045  # as `_SHORT`, for two nodes
    parts = 1 if fine else math.ceil(max(change, width))
    step = width / parts
    top = -k * math.log(alpha + low) - s1 * math.log(beta + low)  # the integrand falls: its largest value
    total = 0.0
    mean[:] = 0.0
    for part in range(parts):
        for j in range(2 if fine else 4):
            if fine:
                tau = low + (high - low) * _N2[j]
                weight = (high - low) * _W2[j]
            else:
                shift = math.exp((part + _N4[j]) * step)
                tau = low + (kappa + low) * (shift - 1.0)
                weight = _W4[j] * step * (kappa + low) * shift
            la, lb = math.log(alpha + tau), math.log(beta + tau)
            w = weight * math.exp(-k * la - s1 * lb - top)
            total += w
            mean[0] += w * la
            mean[1] += w / (alpha + tau)
            mean[2] += w * lb
            mean[3] += w / (beta + tau)
    mean /= total
    return top + math.log(total)


@njit(cache=True, error_model="numpy", inline="always")
def begin(sums, unit):
    """An empty integral, summed in units of e^unit.

    ``sums`` (6,) holds four averages under the integrand times the integral, the integral, and the unit.
    """
    sums[:5] = 0.0
    sums[5] = unit


@njit(cache=True, error_model="numpy")
def lift(sums, unit):
    """Another unit for what has been summed."""
    sums[:5] *= math.exp(sums[5] - unit)
    sums[5] = unit


@njit(cache=True, error_model="numpy")
def add(sums, log_value, mean):
    """A part of an integral is added: its log and the averages (4,) under it."""
    if log_value - sums[5] > FAR:
        lift(sums, log_value)
    w = math.exp(log_value - sums[5])
    for j in range(4):
        sums[j] += w * mean[j]
    sums[4] += w


@njit(cache=True, error_model="numpy", inline="always")
def _log1p_small(u):
    """log(1 + u) for 0 ≤ u ≤ 0.3, to ten digits and more."""
    z = u / (2.0 + u)
    square = z * z
    return 2.0 * z * (1.0 + square * (1.0 / 3.0 + square * (0.2 + square * (1.0 / 7.0 + square / 9.0))))


@njit(cache=True, error_model="numpy", inline="always")
def is_short(k, s1, a, b, speed, width):
    """Whether `add_short` may be used."""
    one, other = speed * width / a, width / b
    return k * one + s1 * other + 2.5 * max(one, other) < _SHORT


@njit(cache=True, error_model="numpy")
def add_short(sums, k, s1, a, b, log_a, log_b, speed, width):
    """The integral of (a + speed·u)^-k (b + u)^-s1 over u in [0, width], which changes little there, is added.

    ``log_a`` and ``log_b`` are the logarithms of a and b; averages are those of log and inverse of both factors.
    """
    top = -k * log_a - s1 * log_b
    if top - sums[5] > FAR:
        lift(sums, top)
    for j in range(3):
        u = width * _N3[j]
        la, lb = log_a + _log1p_small(speed * u / a), log_b + _log1p_small(u / b)
        w = width * _W3[j] * math.exp(-k * la - s1 * lb - sums[5])
        sums[0] += w * la
        sums[1] += w / (a + speed * u)
        sums[2] += w * lb
        sums[3] += w / (b + u)
        sums[4] += w


@njit(cache=True, nogil=True, error_model="numpy")
def kernel(parameters, F, I, gradient, alive, cell):  # noqa: E741
    """Log-likelihood of all cells.

    ``gradient`` (4,) receives d LL / d(log parameter); ``alive`` and ``cell`` (one per cell) receive
    P(alive) and the log-likelihood of one customer of the cell; each may have length 0.
    """
    r, alpha, s, beta = parameters[0], parameters[1], parameters[2], parameters[3]
    ends, n = real(F, I, 0), real(F, I, 1)
    xs, recency_at, age_at, distinct, starts = whole(I, 0), whole(I, 1), whole(I, 2), whole(I, 3), whole(I, 4)
    up, up_slope = rising(r, distinct[-1])
    tail = np.empty(ends.size)  # log of the integral from each moment to the latest one of its block
    means = np.empty((ends.size, 4))
    here, sums = np.empty(4), np.empty(6)
    log_age, log_age_beta = np.log(alpha + ends), np.log(beta + ends)
    for block in range(distinct.size):
        k, s1 = r + distinct[block], s + 1.0
        first = starts[block]
        tail[first] = -np.inf
        means[first] = 0.0
        begin(sums, -k * log_age[first] - s1 * log_age_beta[first])
        for e in range(first + 1, starts[block + 1]):
            a, b, width = alpha + ends[e], beta + ends[e], ends[e - 1] - ends[e]
            if is_short(k, s1, a, b, 1.0, width):
                add_short(sums, k, s1, a, b, log_age[e], log_age_beta[e], 1.0, width)
            else:
                add(sums, _piece(k, s1, alpha, beta, ends[e], ends[e - 1], here), here)
            tail[e] = sums[5] + math.log(sums[4])
            for j in range(4):
                means[e, j] = sums[j] / sums[4]
    log_alpha, log_beta, log_s = math.log(alpha), math.log(beta), math.log(s)
    total = g_r = g_alpha = g_s = g_beta = 0.0
    for i in range(xs.size):
        x, e, t = xs[i], age_at[i], recency_at[i]
        k = r + x
        living = -k * log_age[e] - s * log_age_beta[e]
        value = up[x] + r * log_alpha + s * log_beta + living
        m0, m1 = log_age[e], 1.0 / (alpha + ends[e])
        m2, m3 = log_age_beta[e], 1.0 / (beta + ends[e])
        d_r, d_alpha, d_s, d_beta = -m0, -k * m1, -m2, -s * m3
        dead = 0.0
        rest = math.exp(tail[e] - tail[t]) if t != e else 1.0  # share of the tail that lies beyond T
        if rest < 1.0:
            log_integral = log_s + tail[t] + math.log1p(-rest)
            odds = log_integral - living
            if odds > 0:
                small = math.exp(-odds)
                value += odds + math.log1p(small)
                dead = 1.0 / (1.0 + small)
            else:
                small = math.exp(odds)
                value += math.log1p(small)
                dead = small / (1.0 + small)
            q0 = (means[t, 0] - rest * means[e, 0]) / (1.0 - rest)
            q1 = (means[t, 1] - rest * means[e, 1]) / (1.0 - rest)
            q2 = (means[t, 2] - rest * means[e, 2]) / (1.0 - rest)
            q3 = (means[t, 3] - rest * means[e, 3]) / (1.0 - rest)
            d_r += dead * (-q0 - d_r)
            d_alpha += dead * (-k * q1 - d_alpha)
            d_s += dead * (1.0 / s - q2 - d_s)
            d_beta += dead * (-(s + 1.0) * q3 - d_beta)
        total += n[i] * value
        g_r += n[i] * (d_r + up_slope[x] + log_alpha)
        g_alpha += n[i] * (d_alpha + r / alpha)
        g_s += n[i] * (d_s + log_beta)
        g_beta += n[i] * (d_beta + s / beta)
        if alive.size:
            alive[i] = 1.0 - dead if dead < 0.5 else small / (1.0 + small)
        if cell.size:
            cell[i] = value
    gradient[0], gradient[1], gradient[2], gradient[3] = g_r * r, g_alpha * alpha, g_s * s, g_beta * beta
    return total


@njit(cache=True, error_model="numpy")
def coordinates_to_log(eta, out, jacobian):
    """Log (r, α, s, β) from (log mean rate r/α, log r, log s, log mean dropout rate s/β)."""
    out[0], out[1], out[2], out[3] = eta[1], eta[1] - eta[0], eta[2], eta[2] - eta[3]
    jacobian[:, :] = 0.0
    jacobian[0, 1], jacobian[1, 1], jacobian[1, 0] = 1.0, 1.0, -1.0
    jacobian[2, 2], jacobian[3, 2], jacobian[3, 3] = 1.0, 1.0, -1.0


def log_to_coordinates(log_parameters: np.ndarray) -> np.ndarray:
    """Inverse of `coordinates_to_log` over the last axis."""
    lr, lalpha, ls, lbeta = np.moveaxis(np.asarray(log_parameters, float), -1, 0)
    return np.stack([lr - lalpha, lr, ls, ls - lbeta], axis=-1)
