"""The Gamma-Gamma likelihood of mean spend, with its exact gradient.

With ``S`` the total of ``x`` transactions of one customer (``z̄ = S / x``),

    log L = log Γ(px+q) − log Γ(px) − log Γ(q) + q log γ + px log S − log z̄ − (px+q) log(γ + S)

(Fader & Hardie 2013, "The Gamma-Gamma Model of Monetary Value", eq. 1a, written in totals). With a fourth
parameter exp(κ), amounts over ``(1 + x)^κ`` are Gamma-Gamma: S is then ``S (1 + x)^−κ`` in log Γ … log(γ + S), and the
change of variable adds ``−κ log(1 + x)``.
"""

import math

import numpy as np
from numba import njit

from clvkit.processes._pack import inverse, pack, real, whole


def prepare(x, spend, n) -> tuple[np.ndarray, np.ndarray]:
    """Pack spend cells (number of transactions, their total, count of customers) for `kernel`."""
    distinct, x_at = inverse(x)
    spend = np.asarray(spend, float)
    return pack([distinct, spend, np.log(spend), n], [x_at])


@njit(cache=True, error_model="numpy")
def digamma(z):
    """ψ(z) for z > 0: the recurrence up to 10, then the asymptotic series (error below 1e-15)."""
    shift = 0.0
    while z < 10.0:
        shift -= 1.0 / z
        z += 1.0
    y = 1.0 / (z * z)
    series = y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y * (1 / 132 - y * 691 / 32760)))))
    return shift + math.log(z) - 0.5 / z - series


@njit(cache=True, nogil=True, error_model="numpy")
def kernel(parameters, F, I, gradient, alive, cell):  # noqa: E741
    """Log-likelihood of all spend cells; ``gradient`` (3,) or (4,) receives d LL / d(log parameter).

    ``parameters`` are p, q, γ and, where spend depends on frequency, exp(κ), of which the gradient is in κ. ``cell`` (one per cell, or empty) receives the log-likelihood of one customer of the cell; ``alive`` is
    not used and keeps the signature of the purchase processes.
    """
    p, q, gamma = parameters[0], parameters[1], parameters[2]
    kappa = math.log(parameters[3]) if parameters.size > 3 else 0.0
    distinct, spend, log_spend, n = real(F, I, 0), real(F, I, 1), real(F, I, 2), real(F, I, 3)
    x_at = whole(I, 0)
    fixed, psi, psi_sum = np.empty(distinct.size), np.empty(distinct.size), np.empty(distinct.size)
    shift, factor = (
        np.empty(distinct.size),
        np.empty(distinct.size),
    )  # κ log(1+x), and what amounts are divided by
    psi_q = digamma(q)
    for k in range(distinct.size):
        px = p * distinct[k]
        fixed[k] = math.lgamma(px + q) - math.lgamma(px) - math.lgamma(q) + q * math.log(gamma)
        psi_sum[k] = digamma(px + q)
        psi[k] = psi_sum[k] - digamma(px)
        shift[k] = kappa * math.log1p(distinct[k])
        factor[k] = math.exp(shift[k])
    total = g_p = g_q = g_gamma = g_kappa = 0.0
    for i in range(x_at.size):
        k = x_at[i]
        x = distinct[k]
        paid, log_paid = spend[i] / factor[k], log_spend[i] - shift[k]
        log_sum = math.log(gamma + paid)
        value = fixed[k] + (p * x - 1.0) * log_paid + math.log(x) - (p * x + q) * log_sum - shift[k]
        total += n[i] * value
        g_p += n[i] * x * (psi[k] + log_paid - log_sum)
        g_q += n[i] * (psi_sum[k] - psi_q + math.log(gamma) - log_sum)
        g_gamma += n[i] * (q / gamma - (p * x + q) / (gamma + paid))
        g_kappa -= n[i] * math.log1p(x) * (p * x - (p * x + q) * paid / (gamma + paid))
        if cell.size:
            cell[i] = value
    gradient[0], gradient[1], gradient[2] = g_p * p, g_q * q, g_gamma * gamma
    if parameters.size > 3:
        gradient[3] = g_kappa
    return total


@njit(cache=True, error_model="numpy")
def coordinates_to_log(eta, out, jacobian):
    """Log (p, q, γ) from (log p, log q, log typical spend pγ/q); a fourth coordinate κ is the log of exp(κ)."""
    out[0], out[1], out[2] = eta[0], eta[1], eta[2] + eta[1] - eta[0]
    jacobian[:, :] = 0.0
    jacobian[0, 0], jacobian[1, 1] = 1.0, 1.0
    jacobian[2, 0], jacobian[2, 1], jacobian[2, 2] = -1.0, 1.0, 1.0
    if eta.size > 3:
        out[3], jacobian[3, 3] = eta[3], 1.0


def log_to_coordinates(log_parameters: np.ndarray) -> np.ndarray:
    """Inverse of `coordinates_to_log` over the last axis."""
    lp, lq, lgamma, *kappa = np.moveaxis(np.asarray(log_parameters, float), -1, 0)
    return np.stack([lp, lq, lgamma + lp - lq, *kappa], axis=-1)
