"""Discounted expected purchases of a living customer whose gaps are Erlang-k, by the phase of the current gap.

Given that a customer is alive at the as-of date, dropout is independent of the rest, and the rate of the Poisson
clock and the events already behind the customer in the current gap, j of k, are a mixture over j: with weight
``v_j ∝ (A)_j/j! w^j`` (see `clvkit.processes._cnbd`) the rate is Gamma(A+j, α+T). So expected purchases are
``Σ_j v_j E_j``, in which ``E_j`` depends on the history through frequency and age alone; recency enters by the
weights. N(t), the events of the clock in the next t, is negative binomial, and every k-th is a purchase unless
somebody left, so that

    E_j(t) = Σ_i P(N(t) = i) C(⌊(i+j)/k⌋),   C(n) = Σ_{l<n} E[(1-p)^(hazard·l)],

a sum of positive terms: nothing cancels and nothing is approximated. Discounting integrates by parts,
``e^{-δH} E_j(H) + δ ∫_0^H e^{-δt} E_j(t) dt``, and E_j has steps of a gap's length that die out after about k
purchases. Without end, ``φ^(k-j) / (1 - (1-p)^hazard φ^k)`` with φ = λ/(λ+δ) is averaged over λ and p.
"""

import math

import numpy as np
from numba import njit, prange

from clvkit.processes._future import _log1pexp, _nodes_for

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(10)
_BARYCENTRIC = (-1.0) ** np.arange(10) * np.sqrt((1 - _NODES**2) * _WEIGHTS)
_NODES, _WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2
_TAIL = 1e-13  # probability left out on either side of a count's distribution


@njit(cache=True)
def _survivals(a, b, hazard, up_to, out):
    """Fill ``out[n] = C(n)``, n = 0..up_to, from ``out[0]``; expected purchases if n moments of them pass."""
    out[0] = 0.0
    stay = 1.0
    at_b, at_ab = math.lgamma(b), math.lgamma(a + b)
    for n in range(up_to):
        out[n + 1] = out[n] + stay
        if hazard == 1.0:
            stay *= (b + n) / (a + b + n)
        else:
            flips = hazard * (n + 1)
            stay = math.exp(math.lgamma(b + flips) - at_b - math.lgamma(a + b + flips) + at_ab)
    return out


@njit(cache=True)
def _most(shape, share):
    """Events of the clock that are exceeded with a chance below `_TAIL`: NB(shape), ``share`` = t/(α'+t)."""
    mean = shape * share / (1.0 - share)
    sd = math.sqrt(mean / (1.0 - share))
    return int(mean + 8.0 * sd + 32.0 / (1.0 - share)) + 8


@njit(cache=True)
def _counted(shape, share, j, k, purchases):
    """``E_j``: the mean of ``purchases[(N + j) // k]`` over N ~ NB(shape, share)."""
    if share <= 0.0:
        return 0.0
    mean = shape * share / (1.0 - share)
    first = max(0, int(mean - 9.0 * math.sqrt(mean / (1.0 - share)))) if shape > 50.0 else 0
    term = math.exp(math.lgamma(shape + first) - math.lgamma(shape) - math.lgamma(first + 1.0)
                    + first * math.log(share) + shape * math.log1p(-share))  # fmt: skip
    last = min(_most(shape, share), (purchases.size - 1) * k)
    total, i, phase, done = 0.0, first, (first + j) % k, (first + j) // k
    while i < last:
        total += term * purchases[done]
        term *= (shape + i) / (i + 1.0) * share
        i += 1
        phase += 1
        if phase == k:
            phase = 0
            done += 1
        if i > mean and term * purchases[done] * (last - i) < 1e-16 * total:
            break
    return total


@njit(cache=True)
def _edges(shape, k, longest):
    """Where panels end that resolve ``E_j`` in s = t/α', from 0 to beyond ``longest``: (panels + 1,).

    The step of the n-th purchase is √(n/k) gaps wide; from about the k-th on they are one line.
    """
    gap = k / (shape + 0.5 * k)
    edges = [0.0]
    width = 0.0
    while edges[-1] < longest:
        passed = edges[-1] / gap
        width = 1.2 * gap * math.sqrt(max(passed, 1.0) / k) if passed <= k else 1.5 * width
        edges.append(edges[-1] + width)
    return np.array(edges)


@njit(cache=True)
def _interpolated(values, at):
    """The polynomial through ``values`` (10,) at the nodes of a panel, at the place ``at`` from 0 to 1 within it."""
    above = below = 0.0
    for node in range(_NODES.size):
        gap = at - _NODES[node]
        if gap == 0.0:
            return values[node]
        above += _BARYCENTRIC[node] / gap * values[node]
        below += _BARYCENTRIC[node] / gap
    return above / below


@njit(cache=True)
def _within(a, b, shape, scales, k, horizon, discount, hazard, out):
    """Fill ``out`` (scales, k) with what is expected within a finite horizon; clock Gamma(shape + j, scale).

    Time enters as s = t/scale alone, so one table over s serves all ``scales``.
    """
    longest = horizon / scales.min()
    edges = _edges(shape, k, longest)
    panels = edges.size - 1
    share = edges[-1] / (1.0 + edges[-1])
    reach = _most(shape + k, share) // k + 2
    purchases = _survivals(a, b, hazard, reach, np.empty(reach + 1))
    table = np.empty((panels, k, _NODES.size))
    for panel in range(panels):
        for node in range(_NODES.size):
            s = edges[panel] + (edges[panel + 1] - edges[panel]) * _NODES[node]
            for j in range(k):
                table[panel, j, node] = _counted(shape + j, s / (1.0 + s), j, k, purchases)
    for i in range(scales.size):
        end, force = horizon / scales[i], discount * scales[i]
        last = 0
        while edges[last + 1] < end:
            last += 1
        width = edges[last + 1] - edges[last]
        for j in range(k):
            if last == 0:  # a value next to nothing has all its digits too
                value = _counted(shape + j, end / (1.0 + end), j, k, purchases)
            else:
                value = _interpolated(table[last, j], (end - edges[last]) / width)
            out[i, j] = value * math.exp(-force * end)
        if force == 0.0:
            continue
        for panel in range(last + 1):
            start, stop = edges[panel], min(edges[panel + 1], end)
            for node in range(_NODES.size):
                s = start + (stop - start) * _NODES[node]
                weight = force * (stop - start) * _WEIGHTS[node] * math.exp(-force * s)
                for j in range(k):
                    if panel < last:
                        out[i, j] += weight * table[panel, j, node]
                    else:
                        out[i, j] += weight * _interpolated(table[panel, j], (s - start) / width)


@njit(cache=True)
def _for_ever(a, b, shape, scale, k, discount, hazard, out):
    """Fill ``out[j]`` (k,) with discounted purchases without end, by trapezoid rules in logit p and in log λ."""
    spread = math.sqrt(1.0 / a + 1.0 / b)
    step = min(0.45, 0.8 * spread) if a > 0.5 and b > 0.5 else 0.45
    middle = math.log(a / b)
    low = min(middle, -math.log(max(1.0, shape / (scale * discount)))) - 20.0
    high = max(middle, 0.0) + 20.0 / min(1.0, hazard)
    top = -a * _log1pexp(-middle) - b * _log1pexp(middle)
    nodes = int(2 * (40.0 / min(a, b, 1.0) + high - low) / step) + 8
    stays, weights = np.empty(nodes), np.empty(nodes)
    used, norm = 0, 0.0
    for side in range(2):
        i = 0 if side == 0 else 1
        while used < nodes:
            y = middle + i * step if side == 0 else middle - i * step
            density = math.exp(-a * _log1pexp(-y) - b * _log1pexp(y) - top)
            ends = density < 1e-14 or (y > high if side == 0 else y < low)
            weights[used] = density / (1.0 - math.exp(-step * (b if side == 0 else a))) if ends else density
            stays[used] = math.exp(-_log1pexp(y) * hazard)
            norm += weights[used]
            used += 1
            if ends:
                break
            i += 1
    for j in range(k):
        out[j] = 0.0
    pace = min(0.25, 0.5 / math.sqrt(shape + k))
    for j in range(k):  # λ ~ Gamma(shape + j, scale): its own nodes, since shapes near zero differ a lot
        own = shape + j
        peak, mass, sum_ = math.log(own), 0.0, 0.0
        floor = own * peak - own
        for side in range(2):
            i = 0 if side == 0 else 1
            while True:
                u = peak + i * pace if side == 0 else peak - i * pace
                density = math.exp(own * u - math.exp(u) - floor)
                rate = math.exp(u) / scale
                phi = rate / (rate + discount)
                cycle = phi**k
                value = 0.0
                for one in range(used):
                    value += weights[one] / (1.0 - stays[one] * cycle)
                value *= phi ** (k - j) / norm
                ends = density < 1e-15
                if not ends and side == 1 and u < peak - 12.0 / min(1.0, own):
                    ends = True
                if ends:
                    tail = density / (1.0 - math.exp(-own * pace)) if side == 1 else density
                    mass += tail
                    sum_ += tail * value
                    break
                mass += density
                sum_ += density * value
                i += 1
        out[j] = sum_ / mass


@njit(cache=True, parallel=True)
def grid(draws, x, first, T, offset, k, horizon, discount, rate, hazard):
    """``E_j`` for pairs (x, T) sorted by x; returns (draws, pairs, k).

    ``first`` (distinct x + 1) tells where each x begins; within an x the ages ascend. Without end, where there are
    more ages than Chebyshev nodes, the logarithm is interpolated in log(α+T), in which it is smooth.
    """
    out = np.empty((draws.shape[0], T.size, k))
    blocks = first.size - 1
    for task in prange(draws.shape[0] * blocks):
        d, block = task // blocks, task % blocks
        r, alpha, a, b = draws[d, 0], draws[d, 1], draws[d, 2], draws[d, 3]
        start, stop = first[block], first[block + 1]
        shape, left = r + k * x[start], b + x[start] + offset
        scales = (alpha + T[start:stop]) / rate
        if horizon < np.inf:
            _within(a, left, shape, scales, k, horizon, discount, hazard, out[d, start:stop])
            continue
        low, high = math.log(scales[0]), math.log(scales[-1])
        nodes = _nodes_for(high - low)
        if scales.size <= nodes:
            for i in range(scales.size):
                _for_ever(a, left, shape, scales[i], k, discount, hazard, out[d, start + i])
            continue
        u, value, weight = np.empty(nodes), np.empty((nodes, k)), np.empty(nodes)
        for j in range(nodes):
            angle = math.pi * (j + 0.5) / nodes
            u[j] = 0.5 * (low + high) + 0.5 * (high - low) * math.cos(angle)
            weight[j] = math.sin(angle) * (1.0 if j % 2 == 0 else -1.0)
            _for_ever(a, left, shape, math.exp(u[j]), k, discount, hazard, value[j])
        value = np.log(value)
        for i in range(scales.size):
            at, below, exact = math.log(scales[i]), 0.0, -1
            above = np.zeros(k)
            for j in range(nodes):
                gap = at - u[j]
                if gap == 0.0:
                    exact = j
                    break
                above += weight[j] / gap * value[j]
                below += weight[j] / gap
            out[d, start + i] = np.exp(value[exact]) if exact >= 0 else np.exp(above / below)
    return out


@njit(cache=True, parallel=True)
def mixed(draws, grid_, pair, x, t_x, T, k):
    """``Σ_j v_j E_j`` of every cell (draws, cells), the phases weighed by how long the customer is silent."""
    out = np.empty((draws.shape[0], x.size))
    for d in prange(draws.shape[0]):
        r, alpha = draws[d, 0], draws[d, 1]
        for i in range(x.size):
            w, shape = (T[i] - t_x[i]) / (alpha + T[i]), r + k * x[i]
            term = total = 1.0
            value = grid_[d, pair[i], 0]
            for j in range(1, k):
                term *= (shape + (j - 1)) / j * w
                total += term
                value += term * grid_[d, pair[i], j]
            out[d, i] = value / total
    return out
