"""The likelihood of contracts that end at a renewal, with its exact gradient: sBG and BdW.

A contract is cancelled at its first renewal with a probability θ ~ Beta(γ, δ) of its own, and is still there after t
renewals with probability ``(1−θ)^(t^c)``. Over everybody

    S(t) = B(γ, δ + t^c) / B(γ, δ)

(Fader, Hardie, Liu, Davin & Steenburgh 2018, eq. 3); with c = 1 and (α, β) for (γ, δ) it is the shifted beta-geometric
of Fader & Hardie (2007), eq. 6. Everything here is one second difference of log Γ,

    M(z, g, w) = log Γ(z+g+w) − log Γ(z+g) − log Γ(z+w) + log Γ(z),

with −log S(t) = M(δ, γ, t^c) and −log of the rate of retention at renewal t+1 = M(δ + t^c, γ, (t+1)^c − t^c). As a
difference of four logs it would lose all its digits where γ is small or both are large; here it is a sum of terms that
do not cancel.
"""

import math

import numpy as np
from numba import njit

from clvkit.processes._pack import inverse, pack, real, whole

#: Log of a time, transformed, from which on only its logarithm counts: no parameter comes near e^230.
FAR = 230.0
_ASYMPTOTIC = 16.0  # from here on five terms of Stirling's series are exact to rounding
_LOG_GAMMA = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188)  # of x^-1, x^-3, …
_DIGAMMA = (-1 / 12, 1 / 120, -1 / 252, 1 / 240, -1 / 132)  # of x^-2, x^-4, …


def prepare(renewals, ended, entry, n) -> tuple[np.ndarray, np.ndarray]:
    """Pack cells (renewals made, whether it then ended, renewals made when first seen, count) for `kernel`."""
    times, at = inverse(np.concatenate([renewals, entry]))
    made_at, entry_at = np.split(at, 2)
    ended = np.asarray(ended, np.int64)
    ends = np.zeros(len(times), np.int64)  # the renewals after which some contract ended
    ends[made_at[ended > 0]] = 1
    return pack([times, n], [made_at, entry_at, ended, ends])


@njit(cache=True)
def _times(f, h):
    """Corners and differences of a product from those of its factors: see `_inverse`; every term is positive."""
    return (
        f[0] * h[0],
        f[1] * h[1],
        f[2] * h[2],
        f[3] * h[3],
        f[4] * h[0] + f[1] * h[4],
        f[5] * h[2] + f[3] * h[5],
        f[6] * h[0] + f[2] * h[6],
        f[7] * h[1] + f[3] * h[7],
        f[8] * h[0] + f[5] * h[6] + f[7] * h[4] + f[3] * h[8],
    )


@njit(cache=True, error_model="numpy")
def _inverse(z, g, w):
    """Of 1/x its values at z, z+g, z+w and z+g+w, its falls along g (two) and along w (two), and their difference."""
    a, b, s = z + g, z + w, z + g + w
    second = (g / a) * (w / b) * (1.0 / z + 1.0 / s)
    return 1.0 / z, 1.0 / a, 1.0 / b, 1.0 / s, (g / a) / z, (g / s) / b, (w / b) / z, (w / s) / a, second


@njit(cache=True, error_model="numpy")
def mixed(z, g, w):
    """M(z, g, w) ≥ 0 and its derivative in z, both to a relative error near rounding; g, w ≥ 0."""
    value = slope = 0.0
    while z < _ASYMPTOTIC:
        s = z + g + w
        value += math.log1p((g / z) * (w / s))
        slope -= (g / (z + g)) * (w / (z + w)) * (1.0 / z + 1.0 / s)
        z += 1.0
    a, b, s = z + g, z + w, z + g + w
    fall = (g / a) * (w / b)
    log = math.log1p(-fall) if fall < 0.5 else math.log((s / a) * (z / b))
    value += (z - 0.5) * log + g * math.log1p(w / a) + w * math.log1p(g / b)
    one = _inverse(z, g, w)
    square = _times(one, one)
    slope += log - one[8] / 2
    odd, even = one, square
    for k in range(5):
        value += _LOG_GAMMA[k] * odd[8]
        slope += _DIGAMMA[k] * even[8]
        odd, even = _times(odd, square), _times(even, square)
    return value, slope


@njit(cache=True, error_model="numpy")
def rise(x, w):
    """ψ(x+w) − ψ(x) for x > 0 and w ≥ 0, to a relative error near rounding."""
    total = 0.0
    while x < _ASYMPTOTIC:
        total += (w / (x + w)) / x
        x += 1.0
    y = x + w
    near, far = 1.0 / (x * x), 1.0 / y / y
    fall = (w / y) / x
    total += math.log1p(w / x) + fall / 2
    square = fall * (1.0 / x + 1.0 / y)  # x^-2 − y^-2, and from it the higher powers
    power, below = square, far
    for k in range(5):
        total -= _DIGAMMA[k] * power
        power, below = power * near + below * square, below * far
    return total


@njit(cache=True, error_model="numpy")
def span(c, made, more, hazard):
    """Transformed time of ``made`` renewals, and of the ``more`` to come, times ``hazard``.

    Returns t^c and hazard·((t+k)^c − t^c), both held below e^460, the log by which the second was cut, and for `ahead`
    the derivatives in log c of the logs of both.
    """
    if made > 0.0:
        log_u, gap = c * math.log(made), c * math.log1p(more / made)
        u = math.exp(min(log_u, FAR))
        w = hazard * u * math.expm1(min(gap, FAR))
        return u, w, max(0.0, gap - FAR), log_u, log_u + gap / -math.expm1(-gap)
    log_w = c * math.log(more)
    return 0.0, hazard * math.exp(min(log_w, FAR)), max(0.0, log_w - FAR), 0.0, log_w


@njit(cache=True, error_model="numpy")
def minus_log_stay(gamma, delta, c, made, more, hazard):
    """−log of the probability to make ``more`` further renewals of a contract still there after ``made``."""
    if more <= 0.0:
        return 0.0
    u, w, cut, _, _ = span(c, made, more, hazard)
    return mixed(delta + u, gamma, w)[0] + gamma * cut


@njit(cache=True, error_model="numpy")
def ahead(gamma, delta, c, made, more):
    """`minus_log_stay` without a hazard, and its derivatives in γ, δ and log c."""
    if more <= 0.0:
        return 0.0, 0.0, 0.0, 0.0
    u, w, cut, log_u, log_w = span(c, made, more, 1.0)
    value, by_delta = mixed(delta + u, gamma, w)
    by_gamma = rise(gamma + delta + u, w) + cut
    by_c = by_delta * u * log_u + rise(delta + u + w, gamma) * w * log_w
    return value + gamma * cut, by_gamma, by_delta, by_c


@njit(cache=True, nogil=True, error_model="numpy")
def kernel(parameters, F, I, gradient, alive, cell):  # noqa: E741
    """Log-likelihood of all cells: log of S(renewals)/S(entry), times the chance to end at the next where it ended.

    ``parameters`` are γ, δ and, of BdW, c. ``gradient`` (2,) or (3,) receives d LL / d(log parameter), ``cell`` (one
    per cell, or empty) the log-likelihood of one contract of the cell; ``alive`` is not used and keeps the signature of
    the purchase processes.
    """
    gamma, delta = parameters[0], parameters[1]
    c = parameters[2] if parameters.size > 2 else 1.0
    times, n = real(F, I, 0), real(F, I, 1)
    made_at, entry_at, ended, ends = whole(I, 0), whole(I, 1), whole(I, 2), whole(I, 3)
    stay, end = np.zeros((times.size, 4)), np.zeros((times.size, 4))
    for j in range(times.size):
        value, by_gamma, by_delta, by_c = ahead(gamma, delta, c, 0.0, times[j])
        stay[j, 0], stay[j, 1], stay[j, 2], stay[j, 3] = -value, -by_gamma, -by_delta, -by_c
        if ends[j]:
            value, by_gamma, by_delta, by_c = ahead(gamma, delta, c, times[j], 1.0)
            odds = 1.0 / math.expm1(value)  # of staying
            end[j, 0] = math.log(-math.expm1(-value)) if value < 0.7 else math.log1p(-math.exp(-value))
            end[j, 1], end[j, 2], end[j, 3] = by_gamma * odds, by_delta * odds, by_c * odds
    total = np.zeros(4)
    for i in range(made_at.size):
        for k in range(4):
            one = stay[made_at[i], k] - stay[entry_at[i], k]
            if ended[i]:
                one += end[made_at[i], k]
            total[k] += n[i] * one
            if k == 0 and cell.size:
                cell[i] = one
    gradient[0], gradient[1] = total[1] * gamma, total[2] * delta
    if parameters.size > 2:
        gradient[2] = total[3]
    return total[0]


@njit(cache=True, error_model="numpy")
def coordinates_to_log(eta, out, jacobian):
    """Log (γ, δ) from the logit of the mean and the log concentration; a third coordinate is log c itself."""
    mean = 1.0 / (1.0 + math.exp(-eta[0]))
    out[0] = eta[1] - math.log1p(math.exp(-eta[0]))
    out[1] = eta[1] - math.log1p(math.exp(eta[0]))
    jacobian[:, :] = 0.0
    jacobian[0, 0], jacobian[0, 1] = 1.0 - mean, 1.0
    jacobian[1, 0], jacobian[1, 1] = -mean, 1.0
    if eta.size > 2:
        out[2], jacobian[2, 2] = eta[2], 1.0


def log_to_coordinates(log_parameters: np.ndarray) -> np.ndarray:
    """Inverse of `coordinates_to_log` over the last axis."""
    log_gamma, log_delta, *log_c = np.moveaxis(np.asarray(log_parameters, float), -1, 0)
    return np.stack([log_gamma - log_delta, np.logaddexp(log_gamma, log_delta), *log_c], axis=-1)
