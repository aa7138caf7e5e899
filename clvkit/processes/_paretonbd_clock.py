"""The Pareto/NBD likelihood where purchases run on a clock of their own and lifetimes by the calendar.

    L = Γ(r+x)/Γ(r) · α^r β^s · [ (α+Λ(T))^-(r+x) (β+T)^-s + s ∫_{t_x}^{T} (α+Λ(τ))^-(r+x) (β+τ)^-(s+1) dτ ]

with Λ(τ) = ∫_0^τ g, the purchase time that has passed since the first purchase of a customer: the likelihood of
Schmittlein, Morrison & Colombo (1987) for a purchase rate λ g(t). The constant Σ log g at the purchases is left to the caller.

``g`` is constant between changes of the calendar. On such a piece from a, α+Λ(τ) = g · (α' + τ) with
α' = (α+Λ(a))/g − a, so that the integral over it is that of the model without a clock at another α; where g is zero, it
is elementary. Customers with the same first day and x share the tail, summed backward from T as without a clock; all with
the same first day share the logarithms at the nodes of whole pieces, whatever their x.
"""

import math

import numpy as np
from numba import njit

from clvkit.processes._betageo import rising
from clvkit.processes._pack import pack, real, whole
from clvkit.processes._paretonbd import _N4, _W4, FAR, _piece, add, add_short, begin, is_short, lift

_SMOOTH = 1.05  # as `_SHORT` of the kernel without a clock, for four nodes: p h/a + 3.5 h/a is to be less


def prepare(x, t_x, T, n, changes, levels) -> tuple[np.ndarray, np.ndarray]:
    """Pack cells (frequency, recency, age, count; calendar times in any unit) for `kernel`.

    ``changes`` (pieces + 1,) are the moments at which the clock changes its speed to ``levels`` (pieces,), in the same
    unit, as times before the as-of date: ascending, negative, the last one 0; the first is before every first purchase.
    """
    x = np.asarray(x, np.int64)
    t_x, T, n = (np.asarray(one, float) for one in (t_x, T, n))
    order = np.lexsort((-t_x, x, T))  # blocks of one first day and x, the latest last purchase first
    block = np.concatenate([[True], (np.diff(x[order]) != 0) | (np.diff(T[order]) != 0)])
    starts = np.append(np.flatnonzero(block), order.size)
    passed = np.concatenate([[0.0], np.cumsum(np.diff(changes) * levels)])
    return pack([t_x[order], T[order], n[order], changes, levels, passed], [x[order], starts, order])


@njit(cache=True, error_model="numpy")
def _flat_piece(k, s, level, beta, low, high, mean):
    """As `_piece` where the clock stands still at α+Λ = ``level``: the integral of level^-k (β+τ)^-(s+1)."""
    width = math.log((beta + high) / (beta + low))
    q = s * width
    log_low = math.log(beta + low)
    share = -math.expm1(-q)  # of the integral to infinity
    value = -k * math.log(level) - s * log_low - math.log(s) + math.log(share)
    mean[0], mean[1] = math.log(level), 1.0 / level
    # averages of log(β+τ) and 1/(β+τ) under (β+τ)^-(s+1)
    mean[2] = log_low + 1.0 / s - width * math.exp(-q) / share
    mean[3] = s / (s + 1.0) * -math.expm1(-(s + 1.0) * width) / share / (beta + low)
    return value


@njit(cache=True, error_model="numpy")
def _place(changes, at):
    """The piece that the moment ``at`` lies in, or ends."""
    place = np.searchsorted(changes, at) - 1
    return max(0, min(place, changes.size - 2))


@njit(cache=True, error_model="numpy")
def _add_part(sums, k, s, a, beta, speed, low, high, here):
    """The integral over [low, high] of a piece at ``speed`` is added; ``a`` is α+Λ at low, ``here`` (4,) room to work in."""
    b, width = beta + low, high - low
    if is_short(k, s + 1.0, a, b, speed, width):
        add_short(sums, k, s + 1.0, a, b, math.log(a), math.log(b), speed, width)
    elif speed * width > 1e-9 * a:
        value = _piece(k, s + 1.0, a / speed - low, beta, low, high, here) - k * math.log(speed)
        here[0] += math.log(speed)
        here[1] /= speed
        add(sums, value, here)
    else:
        add(sums, _flat_piece(k, s, a, beta, low, high, here), here)


@njit(cache=True, error_model="numpy")
def _nodes(piece, T, alpha, beta, before, changes, levels, passed, at, weight, smooth):
    """What the integrand over a whole ``piece`` needs of customers of age ``T``, whatever their x.

    ``at`` (4 nodes, 4) receives log(α+Λ), 1/(α+Λ), log(β+τ) and 1/(β+τ), ``weight`` (4,) the weights of the nodes and
    ``smooth`` (3,) how much both factors grow over the piece, and what their growth adds for any x.
    """
    low, width, speed = changes[piece] + T, changes[piece + 1] - changes[piece], levels[piece]
    begun = alpha + passed[piece] - before
    smooth[0], smooth[1] = speed * width / begun, width / (beta + low)
    smooth[2] = 3.5 * max(smooth[0], smooth[1])
    for j in range(4):
        clock, tau = begun + speed * width * _N4[j], beta + low + width * _N4[j]
        at[j, 0], at[j, 1], at[j, 2], at[j, 3] = math.log(clock), 1.0 / clock, math.log(tau), 1.0 / tau
        weight[j] = width * _W4[j]


@njit(cache=True, nogil=True, error_model="numpy")
def kernel(parameters, F, I, gradient, alive, cell):  # noqa: E741
    """Log-likelihood of all cells; arguments as those of the kernel without a clock."""
    r, alpha, s, beta = parameters[0], parameters[1], parameters[2], parameters[3]
    recency, age, n = real(F, I, 0), real(F, I, 1), real(F, I, 2)
    changes, levels, passed = real(F, I, 3), real(F, I, 4), real(F, I, 5)
    xs, starts, order = whole(I, 0), whole(I, 1), whole(I, 2)
    up, up_slope = rising(r, xs.max())
    log_alpha, log_beta, log_s = math.log(alpha), math.log(beta), math.log(s)
    here, mean, sums, full = np.empty(4), np.empty(4), np.empty(6), np.empty(6)
    pieces = levels.size
    at, weight, smooth = np.empty((pieces, 4, 4)), np.empty((pieces, 4)), np.empty((pieces, 3))
    known, T = pieces, -1.0  # nodes of pieces from ``known`` on are of customers of age T
    before = clock = 0.0
    total = g_r = g_alpha = g_s = g_beta = 0.0
    for block in range(starts.size - 1):
        first = starts[block]
        if age[first] != T:
            T, known = age[first], pieces
            place = _place(changes, -T)
            before = passed[place] + levels[place] * (-T - changes[place])  # clock at the first purchase
            clock = passed[-1] - before
        x = xs[first]
        k = r + x
        log_age, log_age_beta = math.log(alpha + clock), math.log(beta + T)
        living = -k * log_age - s * log_age_beta
        begin(sums, living)  # the integral over whole pieces, from T back to the last of them
        piece = pieces - 1
        for i in range(first, starts[block + 1]):
            while piece >= 0 and changes[piece] + T >= recency[i]:
                if piece < known:
                    _nodes(
                        piece,
                        T,
                        alpha,
                        beta,
                        before,
                        changes,
                        levels,
                        passed,
                        at[piece],
                        weight[piece],
                        smooth[piece],
                    )
                    known = piece
                if k * smooth[piece, 0] + (s + 1.0) * smooth[piece, 1] + smooth[piece, 2] < _SMOOTH:
                    for j in range(4):
                        node = at[piece, j]
                        power = -k * node[0] - (s + 1.0) * node[2]
                        if power - sums[5] > FAR:
                            lift(sums, power)
                        w = weight[piece, j] * math.exp(power - sums[5])
                        sums[0] += w * node[0]
                        sums[1] += w * node[1]
                        sums[2] += w * node[2]
                        sums[3] += w * node[3]
                        sums[4] += w
                else:
                    low, a = changes[piece] + T, alpha + passed[piece] - before
                    _add_part(sums, k, s, a, beta, levels[piece], low, changes[piece + 1] + T, here)
                piece -= 1
            full[:] = sums
            high = changes[piece + 1] + T if piece >= 0 else 0.0
            if high - recency[i] > 1e-12 * T:  # else the rounding of a moment of change, and no time
                # and the rest of the piece that the last purchase lies in
                a = alpha + passed[piece] + levels[piece] * (recency[i] - T - changes[piece]) - before
                _add_part(full, k, s, a, beta, levels[piece], recency[i], high, here)
            tail = full[5] + math.log(full[4]) if full[4] > 0 else -np.inf
            for j in range(4):
                mean[j] = full[j] / full[4] if full[4] > 0 else 0.0
            value = up[x] + r * log_alpha + s * log_beta + living
            d_r, d_alpha, d_s, d_beta = -log_age, -k / (alpha + clock), -log_age_beta, -s / (beta + T)
            dead = small = 0.0
            if tail > -np.inf:
                odds = log_s + tail - living
                if odds > 0:
                    small = math.exp(-odds)
                    value += odds + math.log1p(small)
                    dead = 1.0 / (1.0 + small)
                else:
                    small = math.exp(odds)
                    value += math.log1p(small)
                    dead = small / (1.0 + small)
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
                alive[order[i]] = 1.0 - dead if dead < 0.5 else small / (1.0 + small)
            if cell.size:
                cell[order[i]] = value
    gradient[0], gradient[1], gradient[2], gradient[3] = g_r * r, g_alpha * alpha, g_s * s, g_beta * beta
    return total
