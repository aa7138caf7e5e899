"""The likelihood of BG/CNBD-k and MBG/CNBD-k, Erlang gaps between purchases, with its exact gradient.

Gaps are Erlang-k with rate λ ~ Gamma(r, α), so a purchase is every k-th event of a Poisson clock, and a coin
of P(leave) = p ~ Beta(a, b) is flipped as in BG/NBD (``offset`` 0) or MBG/NBD (``offset`` 1). With
``A = r + kx``, ``m = x + offset`` and ``w = (T - t_x)/(α+T)``,

    L = Γ(A)/Γ(r) α^r · B(a, b+m)/B(a, b) · { (α+T)^-A Σ_{j<k} (A)_j/j! w^j + [m>0] a/(b+m-1) (α+t_x)^-A }

(Reutterer, Platzer & Schröder 2021, appendix; Platzer & Reutterer 2016 for the Erlang clock). Term j of the sum
is a customer who is alive with j of the k events of the next gap behind it. What depends on the single gaps,
``Π gap^(k-1) / Γ(k)^x``, holds no parameter and is added where whole fits are compared
(`clvkit.rhythm.gap_log_density`). At k = 1 this is `clvkit.processes._betageo`.
"""

import math

import numpy as np
from numba import njit

from clvkit.processes import _betageo
from clvkit.processes._betageo import rising
from clvkit.processes._pack import inverse, pack, real, whole


def prepare(x, t_x, T, n, offset: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Pack cells (frequency, recency, age, count; times in any unit) for `kernel`."""
    ages, age_at = inverse(T)
    recencies, recency_at = inverse(t_x)
    return pack([ages, recencies, n], [x, age_at, recency_at, [offset, k]])


@njit(cache=True, nogil=True, error_model="numpy")
def kernel(parameters, F, I, gradient, alive, cell):  # noqa: E741
    """Log-likelihood of all cells, without the term of the single gaps.

    ``gradient`` (4,) receives d LL / d(log parameter); ``alive`` and ``cell`` (one per cell) receive
    P(alive) and the log-likelihood of one customer of the cell; each may have length 0.
    """
    r, alpha, a, b = parameters[0], parameters[1], parameters[2], parameters[3]
    ages, recencies, n = real(F, I, 0), real(F, I, 1), real(F, I, 2)
    xs, age_at, recency_at = whole(I, 0), whole(I, 1), whole(I, 2)
    offset, k = whole(I, 3)[0], whole(I, 3)[1]
    most = 0
    for i in range(xs.size):
        most = max(most, xs[i])
    up_r, up_r_slope = rising(r, k * most)
    up_b, up_b_slope = rising(b, most + offset)
    up_ab, up_ab_slope = rising(a + b, most + offset)
    log_age, log_recency = np.log(alpha + ages), np.log(alpha + recencies)
    log_alpha, log_a = math.log(alpha), math.log(a)
    total = g_r = g_alpha = g_a = g_b = 0.0
    for i in range(xs.size):
        x = xs[i]
        m, shape = x + offset, r + k * x
        age, recency = ages[age_at[i]], recencies[recency_at[i]]
        la, lt = log_age[age_at[i]], log_recency[recency_at[i]]
        value = up_r[k * x] + r * log_alpha + up_b[m] - up_ab[m] - shape * la
        d_r = up_r_slope[k * x] + log_alpha - la
        d_alpha = r / alpha - shape / (alpha + age)
        d_a = -up_ab_slope[m]
        d_b = up_b_slope[m] - up_ab_slope[m]
        phases, by_shape, by_alpha = _phases(shape, (age - recency) / (alpha + age), k)
        value += math.log(phases)
        by_alpha *= -1.0 / (alpha + age)
        dead = 0.0
        if m > 0:
            odds = (
                log_a - math.log(b + (m - 1)) + shape * (la - lt) - math.log(phases)
            )  # log odds of having left
            if odds > 0:
                small = math.exp(-odds)
                value += odds + math.log1p(small)
                dead = 1.0 / (1.0 + small)
            else:
                small = math.exp(odds)
                value += math.log1p(small)
                dead = small / (1.0 + small)
            d_r += dead * (la - lt)
            d_alpha += dead * shape * (1 / (alpha + age) - 1 / (alpha + recency))
            d_a += dead / a
            d_b -= dead / (b + (m - 1))
        stays = 1.0 - dead if dead < 0.5 else small / (1.0 + small)
        d_r += stays * by_shape
        d_alpha += stays * by_alpha
        total += n[i] * value
        g_r += n[i] * d_r
        g_alpha += n[i] * d_alpha
        g_a += n[i] * d_a
        g_b += n[i] * d_b
        if alive.size:
            alive[i] = stays
        if cell.size:
            cell[i] = value
    gradient[0], gradient[1], gradient[2], gradient[3] = g_r * r, g_alpha * alpha, g_a * a, g_b * b
    return total


@njit(cache=True, error_model="numpy")
def _phases(shape, w, k):
    """``Σ_{j<k} (shape)_j/j! w^j``; its relative slopes in shape, and in log w (the mean j)."""
    total = term = 1.0
    slope = reciprocals = mean = 0.0
    for j in range(1, k):
        term *= (shape + (j - 1)) / j * w
        reciprocals += 1.0 / (shape + (j - 1))
        total += term
        slope += term * reciprocals
        mean += term * j
    return total, slope / total, mean / total


@njit(cache=True, error_model="numpy")
def coordinates_to_log(eta, I, out, jacobian):  # noqa: E741
    """Log (r, α, a, b) from (log mean purchases r/(kα), log r, logit mean dropout, log concentration)."""
    _betageo.coordinates_to_log(eta, out, jacobian)
    out[1] -= math.log(whole(I, 3)[1])
