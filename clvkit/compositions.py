"""How whole-day gaps share out a span of days: the constant of Erlang gaps given their number and their sum.

    Z(m, s; k) = Σ Π d_i^(k-1) over all whole d_1, …, d_m ≥ 1 with Σ d_i = s,

so that, given m gaps over s days, gaps d have probability ``Π d_i^(k-1) / Z``, whatever the customer's rate. At
k = 1 it is the number of compositions, ``C(s-1, m-1)``, and the statement is exact: the days on which a Poisson
customer buys are independent coin flips, and merging what is bought on one day changes nothing about that.
"""

import math

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
def log_constants(gaps, span, k):
    """``log Z(gaps, span; k)`` for each pair of whole numbers (rows,), 1 ≤ gaps ≤ span.

    One gap after another is added, for the ratio of ``Z`` to its continuous counterpart,
    ``Γ(k)^m s^(km-1)/Γ(km)``: that stays near one where ``Z`` itself would overflow.
    """
    most, longest = 0, 0
    for i in range(gaps.size):
        most, longest = max(most, gaps[i]), max(longest, span[i])
    logs = np.zeros(longest + 1)
    for s in range(1, longest + 1):
        logs[s] = math.log(s)
    ratio, added = np.ones(longest + 1), np.zeros(longest + 1)
    ratio[0] = 0.0
    out = np.empty(gaps.size)
    for m in range(1, most + 1):
        if m > 1:
            before = k * (m - 1)
            constant = math.lgamma(k * m) - math.lgamma(k) - math.lgamma(before)
            peak = (k - 1.0) / max(k * m - 2.0, 1e-9)  # of the next gap's share of the span, if it has one
            for s in range(1, longest + 1):
                total = 0.0
                if s >= m:
                    scale = constant - (k * m - 1.0) * logs[s]
                    for d in range(1, s - m + 2):
                        if ratio[s - d] > 0.0:
                            term = ratio[s - d] * math.exp(
                                scale + (k - 1.0) * logs[d] + (before - 1.0) * logs[s - d]
                            )
                            total += term
                            if d > peak * s and before > 1.0 and term * s < 1e-14 * total:
                                break
                added[s] = total
            ratio[:] = added
        for i in range(gaps.size):
            if gaps[i] == m:
                s = span[i]
                out[i] = (
                    math.log(ratio[s]) + m * math.lgamma(k) + (k * m - 1.0) * logs[s] - math.lgamma(k * m)
                )
    return out
