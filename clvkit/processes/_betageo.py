"""The likelihood shared by BG/NBD and MBG/NBD, with its exact gradient.

Both let a customer drop out with probability ``p`` after each purchase at which a coin is flipped; they
differ only in the first purchase. ``flips(x) = x + offset`` coins have been survived by a customer who is
alive after ``x`` repeat purchases: ``offset`` is 0 in BG/NBD and 1 in MBG/NBD. With ``m = flips(x)``,

    L = Γ(r+x)/Γ(r) α^r · B(a, b+m)/B(a, b) · { (α+T)^-(r+x) + [m>0] a/(b+m-1) (α+t_x)^-(r+x) }

(Fader, Hardie & Lee 2005, eq. 6; Batislam, Denizel & Filiztekin 2007). The ratios of gamma functions are
products over whole numbers, so no special function is needed and nothing cancels.
"""

import math

import numpy as np
from numba import njit

from clvkit.processes._pack import inverse, pack, real, whole


def prepare(x, t_x, T, n, offset: int) -> tuple[np.ndarray, np.ndarray]:
    """Pack cells (frequency, recency, age, count; times in any unit) for `kernel`."""
    ages, age_at = inverse(T)
    recencies, recency_at = inverse(t_x)
    return pack([ages, recencies, n], [x, age_at, recency_at, [offset]])


@njit(cache=True, error_model="numpy")
def rising(value, count):
    """``log Γ(value+k) - log Γ(value)`` and its derivative for k = 0..count; two arrays (count+1,)."""
    total, slope = np.zeros(count + 1), np.zeros(count + 1)
    for k in range(count):
        total[k + 1] = total[k] + math.log(value + k)
        slope[k + 1] = slope[k] + 1.0 / (value + k)
    return total, slope


@njit(cache=True, nogil=True, error_model="numpy")
def kernel(parameters, F, I, gradient, alive, cell):  # noqa: E741
    """Log-likelihood of all cells.

    ``gradient`` (4,) receives d LL / d(log parameter); ``alive`` and ``cell`` (one per cell) receive
    P(alive) and the log-likelihood of one customer of the cell; each may have length 0.
    """
    r, alpha, a, b = parameters[0], parameters[1], parameters[2], parameters[3]
    ages, recencies, n = real(F, I, 0), real(F, I, 1), real(F, I, 2)
    xs, age_at, recency_at, offset = whole(I, 0), whole(I, 1), whole(I, 2), whole(I, 3)[0]
    most = 0
    for i in range(xs.size):
        most = max(most, xs[i])
    up_r, up_r_slope = rising(r, most)
    up_b, up_b_slope = rising(b, most + offset)
    up_ab, up_ab_slope = rising(a + b, most + offset)
    log_age, log_recency = np.log(alpha + ages), np.log(alpha + recencies)
    log_alpha, log_a = math.log(alpha), math.log(a)
    total = g_r = g_alpha = g_a = g_b = 0.0
    for i in range(xs.size):
        x = xs[i]
        m = x + offset
        la, lt = log_age[age_at[i]], log_recency[recency_at[i]]
        value = up_r[x] + r * log_alpha + up_b[m] - up_ab[m] - (r + x) * la
        d_r = up_r_slope[x] + log_alpha - la
        d_alpha = r / alpha - (r + x) / (alpha + ages[age_at[i]])
        d_a = -up_ab_slope[m]
        d_b = up_b_slope[m] - up_ab_slope[m]
        dead = 0.0
        if m > 0:
            odds = log_a - math.log(b + (m - 1)) + (r + x) * (la - lt)  # log odds of having dropped out
            if odds > 0:
                small = math.exp(-odds)
                value += odds + math.log1p(small)
                dead = 1.0 / (1.0 + small)
            else:
                small = math.exp(odds)
                value += math.log1p(small)
                dead = small / (1.0 + small)
            d_r += dead * (la - lt)
            d_alpha += (
                dead * (r + x) * (1 / (alpha + ages[age_at[i]]) - 1 / (alpha + recencies[recency_at[i]]))
            )
            d_a += dead / a
            d_b -= dead / (b + (m - 1))
        total += n[i] * value
        g_r += n[i] * d_r
        g_alpha += n[i] * d_alpha
        g_a += n[i] * d_a
        g_b += n[i] * d_b
        if alive.size:
            alive[i] = 1.0 - dead if dead < 0.5 else small / (1.0 + small)
        if cell.size:
            cell[i] = value
    gradient[0], gradient[1], gradient[2], gradient[3] = g_r * r, g_alpha * alpha, g_a * a, g_b * b
    return total


@njit(cache=True, error_model="numpy")
def coordinates_to_log(eta, out, jacobian):
    """Log (r, α, a, b) from (log mean rate r/α, log r, logit mean dropout, log concentration)."""
    mean = 1.0 / (1.0 + math.exp(-eta[2]))
    out[0], out[1] = eta[1], eta[1] - eta[0]
    out[2] = eta[3] - math.log1p(math.exp(-eta[2]))
    out[3] = eta[3] - math.log1p(math.exp(eta[2]))
    jacobian[:, :] = 0.0
    jacobian[0, 1], jacobian[1, 1], jacobian[1, 0] = 1.0, 1.0, -1.0
    jacobian[2, 2], jacobian[2, 3] = 1.0 - mean, 1.0
    jacobian[3, 2], jacobian[3, 3] = -mean, 1.0


def log_to_coordinates(log_parameters: np.ndarray) -> np.ndarray:
    """Inverse of `coordinates_to_log` over the last axis."""
    lr, lalpha, la, lb = np.moveaxis(np.asarray(log_parameters, float), -1, 0)
    return np.stack([lr - lalpha, lr, la - lb, np.logaddexp(la, lb)], axis=-1)
