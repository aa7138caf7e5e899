"""The likelihood of BG/BB with its exact gradient, and sums over the opportunities to come.

At each opportunity a living customer buys with probability ``p ~ Beta(α, β)``; before each, it leaves for good with
probability ``θ ~ Beta(γ, δ)``. With ``x`` purchases at ``n`` opportunities, the last at number ``t``,

    L = B(α+x, β+n−x)/B(α, β) · B(γ, δ+n)/B(γ, δ)
        + Σ_{s=t}^{n−1} B(α+x, β+s−x)/B(α, β) · B(γ+1, δ+s)/B(γ, δ)

(Fader, Hardie & Shang 2010, eq. 5, with s = t_x + i). Ratios of beta functions are products over whole numbers. The
terms of one (x, n) are summed once, from the latest s down, and every t on the way is read off.
"""

import math

import numpy as np
from numba import njit, prange

from clvkit.errors import FitError
from clvkit.processes._betageo import rising
from clvkit.processes._pack import pack, real, whole

#: How far a time may lie from a whole number of opportunities: calendar months differ in length by a tenth.
TOLERANCE = 0.12
#: Up to so many opportunities are added one by one; more, and those without end, are an integral.
ONE_BY_ONE = 256


def opportunities(times) -> np.ndarray:
    """Times as whole numbers of opportunities.

    Raises
    ------
    FitError : a time lies further than `TOLERANCE` from a whole number.
    """
    times = np.asarray(times, float)
    counted = np.rint(times)
    off = np.abs(times - counted) > TOLERANCE
    if off.any():
        raise FitError(
            f"BG/BB counts opportunities, so times must be whole numbers of them (got {times[off].flat[0]:g})",
            place="models.opportunity",
            fix="set models.opportunity to the period in which a customer buys at most once, so that purchases are "
            "counted by it",
        )
    return counted.astype(np.int64)


def prepare(x, t_x, n_opportunities, n) -> tuple[np.ndarray, np.ndarray]:
    """Pack cells (frequency, number of the last purchase's opportunity, opportunities, count) for `kernel`.

    Raises
    ------
    FitError : times that are not whole, or more purchases than there were opportunities up to the last.
    """
    x, last, seen = np.asarray(x, np.int64), opportunities(t_x), opportunities(n_opportunities)
    wrong = (x < 0) | (x > last) | (last > seen) | ((x == 0) & (last > 0))
    if wrong.any():
        k = int(np.argmax(wrong))
        raise FitError(
            f"BG/BB lets a customer buy at most once at an opportunity (got {x[k]} repeat purchases, the last at "
            f"opportunity {last[k]} of {seen[k]})",
            place="models.opportunity",
            fix="set models.opportunity to the period in which a customer buys at most once",
        )
    return pack([n], [x, last, seen, np.lexsort((-last, seen, x))])


@njit(cache=True, nogil=True, error_model="numpy")
def kernel(parameters, F, I, gradient, alive, cell):  # noqa: E741
    """Log-likelihood of all cells.

    ``gradient`` (4,) receives d LL / d(log parameter); ``alive`` and ``cell`` (one per cell) receive the probability
    of being in the market at the next opportunity and the log-likelihood of one customer of the cell; each may have
    length 0.
    """
    alpha, beta, gamma, delta = parameters[0], parameters[1], parameters[2], parameters[3]
    n = real(F, I, 0)
    xs, lasts, seens, order = whole(I, 0), whole(I, 1), whole(I, 2), whole(I, 3)
    most = 0
    for i in range(seens.size):
        most = max(most, seens[i])
    up_a, slope_a = rising(alpha, most)
    up_b, slope_b = rising(beta, most)
    up_ab, slope_ab = rising(alpha + beta, most)
    up_d, slope_d = rising(delta, most)
    up_gd, slope_gd = rising(gamma + delta, most)
    log_gamma = math.log(gamma)
    total = g_a = g_b = g_c = g_d = 0.0
    x = seen = s = -1
    value = stayed = d_a = d_b = d_c = d_d = 0.0
    for j in range(order.size):
        i = order[j]
        if xs[i] != x or seens[i] != seen:
            x, seen = xs[i], seens[i]
            s = seen
            stayed = up_a[x] + up_b[seen - x] - up_ab[seen] + up_d[seen] - up_gd[seen]
            value = stayed
            d_a, d_b = slope_a[x] - slope_ab[seen], slope_b[seen - x] - slope_ab[seen]
            d_c, d_d = -slope_gd[seen], slope_d[seen] - slope_gd[seen]
        while s > lasts[i]:
            s -= 1  # left after s opportunities
            left = up_a[x] + up_b[s - x] - up_ab[s] + log_gamma + up_d[s] - up_gd[s + 1]
            if left > value:
                small = math.exp(value - left)
                value = left + math.log1p(small)
                share = 1.0 / (1.0 + small)
            else:
                small = math.exp(left - value)
                value += math.log1p(small)
                share = small / (1.0 + small)
            d_a += share * (slope_a[x] - slope_ab[s] - d_a)
            d_b += share * (slope_b[s - x] - slope_ab[s] - d_b)
            d_c += share * (1.0 / gamma - slope_gd[s + 1] - d_c)
            d_d += share * (slope_d[s] - slope_gd[s + 1] - d_d)
        total += n[i] * value
        g_a += n[i] * d_a
        g_b += n[i] * d_b
        g_c += n[i] * d_c
        g_d += n[i] * d_d
        if alive.size:
            alive[i] = math.exp(stayed - value) * (delta + seen) / (gamma + delta + seen)
        if cell.size:
            cell[i] = value
    gradient[0], gradient[1], gradient[2], gradient[3] = g_a * alpha, g_b * beta, g_c * gamma, g_d * delta
    return total


@njit(cache=True)
def _log1pexp(y):
    return y + math.log1p(math.exp(-y)) if y > 0 else math.log1p(math.exp(y))


@njit(cache=True)
def _one_by_one(gamma, left, horizon, discount, hazard):
    """Σ_{k=1}^{H} e^{-dk} B(γ, left + hazard·k) / B(γ, left + 1)."""
    total = 0.0
    if hazard == 1.0:
        term = math.exp(-discount)
        for k in range(1, int(horizon) + 1):
            total += term
            term *= math.exp(-discount) * (left + k) / (gamma + left + k)
        return total
    base = math.lgamma(gamma + left + 1.0) - math.lgamma(left + 1.0)
    for k in range(1, int(horizon) + 1):
        there = left + hazard * k
        total += math.exp(base + math.lgamma(there) - math.lgamma(gamma + there) - discount * k)
    return total


@njit(cache=True)
def _integral(gamma, left, horizon, discount, hazard):
    """The same sum as the mean of a geometric one over θ ~ Beta(γ, left), by the trapezoid rule in logit θ.

    With c = d − hazard·log(1−θ) the sum over k is (1 − e^{-cH}) / (e^c − 1). The integrand is analytic in a strip and
    falls off exponentially on both sides, where the rule converges geometrically; what lies beyond the last node is
    summed as the geometric series it is, and the same sum with integrand 1 normalises.
    """
    step = min(0.3, 0.6 * math.sqrt(1.0 / gamma + 1.0 / left))
    middle = math.log(gamma / left)
    flat = max(discount, 1.0 / horizon) / hazard  # θ far below this changes nothing any more
    low, high = min(middle, math.log(flat)) - 20.0, max(middle, 0.0) + 20.0 / min(1.0, hazard)
    top = -gamma * _log1pexp(-middle) - left * _log1pexp(middle)
    norm = total = 0.0
    for side in range(2):
        k = side
        while True:
            y = middle - k * step if side else middle + k * step
            density = math.exp(-gamma * _log1pexp(-y) - left * _log1pexp(y) - top)
            c = discount + hazard * _log1pexp(y)
            value = 1.0 / math.expm1(c) if c < 700.0 else 0.0
            if horizon < np.inf:
                value *= -math.expm1(-c * horizon)
            beyond = y < low if side else y > high
            if density < 1e-16 or beyond:
                weight = density / (1.0 - math.exp(-step * (gamma if side else left)))
                norm += weight
                total += weight * value
                break
            norm += density
            total += density * value
            k += 1
    return total / norm * (gamma + left) / left


@njit(cache=True, parallel=True)
def survival_sums(draws, seen, horizon, discount, hazard):
    """Discounted opportunities at which a customer in the market at the next one is in it: (draws, seen).

    ``seen`` are whole numbers of opportunities so far, ``horizon`` (whole, or infinite where ``discount`` > 0) those to
    come, counted at their ends and discounted by e^{-discount} each. ``hazard`` multiplies −log(1−θ) from now on, the
    coin before the next opportunity included: its chance to stay under the fit is in P(alive), and is divided out.
    """
    out = np.empty((draws.shape[0], seen.size))
    for d in prange(draws.shape[0]):
        gamma, delta = draws[d, 2], draws[d, 3]
        for i in range(seen.size):
            left = delta + seen[i]
            if horizon <= ONE_BY_ONE:
                out[d, i] = _one_by_one(gamma, left, horizon, discount, hazard)
            else:
                out[d, i] = _integral(gamma, left, horizon, discount, hazard)
    return out


@njit(cache=True, error_model="numpy")
def coordinates_to_log(eta, out, jacobian):
    """Log (α, β, γ, δ) from the logit mean and log concentration of purchasing, and the same of dropping out."""
    jacobian[:, :] = 0.0
    for k in range(2):
        logit, concentration = eta[2 * k], eta[2 * k + 1]
        mean = 1.0 / (1.0 + math.exp(-logit))
        out[2 * k] = concentration - math.log1p(math.exp(-logit))
        out[2 * k + 1] = concentration - math.log1p(math.exp(logit))
        jacobian[2 * k, 2 * k], jacobian[2 * k, 2 * k + 1] = 1.0 - mean, 1.0
        jacobian[2 * k + 1, 2 * k], jacobian[2 * k + 1, 2 * k + 1] = -mean, 1.0


def log_to_coordinates(log_parameters: np.ndarray) -> np.ndarray:
    """Inverse of `coordinates_to_log` over the last axis."""
    la, lb, lc, ld = np.moveaxis(np.asarray(log_parameters, float), -1, 0)
    return np.stack([la - lb, np.logaddexp(la, lb), lc - ld, np.logaddexp(lc, ld)], axis=-1)
