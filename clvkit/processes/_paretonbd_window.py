"""Pareto/NBD where some customers were watched from the log's start on, and not from their first purchase.

A customer acquired ``A`` before the log begins is seen only in the window (0, W] after its start. Purchases count from
the start of the window, the lifetime from acquisition: the clock of purchases stands still while nobody looks.

    L = Γ(r+x)/Γ(r) · α^r β^s · [ (α+W)^-(r+x) (β+A+W)^-s + s ∫_{t_x}^{W} (α+τ)^-(r+x) (β+A+τ)^-(s+1) dτ ]

with ``x`` purchases in the window, the last at ``t_x``. Who bought nothing in it is not in the log, so L is divided by
the probability to be seen, that of a first purchase in the window by somebody still alive:

    P(seen | A) = ∫_0^W r α^r (α+τ)^-(r+1) · β^s (β+A+τ)^-s dτ

Both follow from Schmittlein, Morrison & Colombo (1987) with E[e^{-μ(A+τ)}] = (β / (β+A+τ))^s for being alive at τ.
"""

import math

import numpy as np
from numba import njit

from clvkit.processes import _paretonbd
from clvkit.processes._betageo import rising
from clvkit.processes._pack import pack, real, whole

INSIDE = -1.0  # the age before the log of customers acquired in it


def prepare(x, t_x, W, before, n) -> tuple[np.ndarray, np.ndarray]:
    """Pack cells for `kernel`.

    Parameters
    ----------
    x, t_x, W : of customers acquired in the log frequency, recency and age; of older ones the purchases in the window,
        the time of the last from its start, and its length. Times in one unit.
    before : ``A``, the age of older customers at the start of the window; below zero for those acquired in the log.
    n : customers of each cell.
    """
    x, n = np.asarray(x, np.int64), np.asarray(n, float)
    t_x, W, before = (np.asarray(one, float) for one in (t_x, W, before))
    older = before >= 0
    inside = np.flatnonzero(~older)
    if not inside.size:  # the other likelihood wants a cell: nobody, of whom nothing is known
        F, whole_ = _paretonbd.prepare([0], [0.0], [0.0], [0.0])
    else:
        F, whole_ = _paretonbd.prepare(x[inside], t_x[inside], W[inside], n[inside])
    windows = np.stack([W[older], before[older]])
    distinct, at = np.unique(windows, axis=1, return_inverse=True)
    seen = np.bincount(at.ravel(), weights=n[older], minlength=distinct.shape[1])
    floats = [real(F, whole_, k) for k in range(2)] + [t_x[older], n[older], distinct[0], distinct[1], seen]
    ints = [whole(whole_, k) for k in range(5)] + [x[older], at.ravel(), inside, np.flatnonzero(older)]
    return pack(floats, ints)


@njit(cache=True, nogil=True, error_model="numpy")
def kernel(parameters, F, I, gradient, alive, cell):  # noqa: E741
    """Log-likelihood of all cells, that of older customers given that they were seen; see `_paretonbd.kernel`."""
    inside, older = whole(I, 7), whole(I, 8)
    own_alive = np.empty(inside.size if alive.size else 0)
    own_cell = np.empty(inside.size if cell.size else 0)
    total = 0.0
    gradient[:] = 0.0
    if inside.size:
        total = _paretonbd.kernel(parameters, F, I, gradient, own_alive, own_cell)
        for i in range(own_alive.size):
            alive[inside[i]] = own_alive[i]
        for i in range(own_cell.size):
            cell[inside[i]] = own_cell[i]
    if not older.size:
        return total
    r, alpha, s, beta = parameters[0], parameters[1], parameters[2], parameters[3]
    last, n = real(F, I, 2), real(F, I, 3)
    window, before, weight = real(F, I, 4), real(F, I, 5), real(F, I, 6)
    xs, at = whole(I, 5), whole(I, 6)
    up, up_slope = rising(r, xs.max())
    log_alpha, log_beta, log_s = math.log(alpha), math.log(beta), math.log(s)
    g_r = g_alpha = g_s = g_beta = 0.0
    mean = np.empty(4)
    log_seen = np.empty(window.size)
    for j in range(window.size):
        piece = _paretonbd._piece(r + 1.0, s, alpha, beta + before[j], 0.0, window[j], mean)
        log_seen[j] = math.log(r) + r * log_alpha + s * log_beta + piece
        total -= weight[j] * log_seen[j]
        g_r -= weight[j] * (1.0 / r + log_alpha - mean[0])
        g_alpha -= weight[j] * (r / alpha - (r + 1.0) * mean[1])
        g_s -= weight[j] * (log_beta - mean[2])
        g_beta -= weight[j] * (s / beta - s * mean[3])
    for i in range(xs.size):
        j, x = at[i], xs[i]
        k, late = r + x, beta + before[j]
        end = window[j]
        m0, m2 = math.log(alpha + end), math.log(late + end)
        living = -k * m0 - s * m2
        d_r, d_alpha, d_s, d_beta = -m0, -k / (alpha + end), -m2, -s / (late + end)
        value = up[x] + r * log_alpha + s * log_beta + living
        odds = -math.inf
        if last[i] < end:
            odds = log_s + _paretonbd._piece(k, s + 1.0, alpha, late, last[i], end, mean) - living
        if odds > 0.0:
            small = math.exp(-odds)
            value += odds + math.log1p(small)
            dead, living_share = 1.0 / (1.0 + small), small / (1.0 + small)
        else:
            small = math.exp(odds)
            value += math.log1p(small)
            dead, living_share = small / (1.0 + small), 1.0 / (1.0 + small)
        if dead > 0.0:
            d_r += dead * (-mean[0] - d_r)
            d_alpha += dead * (-k * mean[1] - d_alpha)
            d_s += dead * (1.0 / s - mean[2] - d_s)
            d_beta += dead * (-(s + 1.0) * mean[3] - d_beta)
        total += n[i] * value
        g_r += n[i] * (d_r + up_slope[x] + log_alpha)
        g_alpha += n[i] * (d_alpha + r / alpha)
        g_s += n[i] * (d_s + log_beta)
        g_beta += n[i] * (d_beta + s / beta)
        if alive.size:
            alive[older[i]] = living_share
        if cell.size:
            cell[older[i]] = value - log_seen[j]
    gradient[0] += g_r * r
    gradient[1] += g_alpha * alpha
    gradient[2] += g_s * s
    gradient[3] += g_beta * beta
    return total
