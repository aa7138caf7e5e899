"""The Gamma-Gamma likelihood of mean spend, with its exact gradient.

With ``S`` the total of ``x`` transactions of one customer (``z̄ = S / x``),

    log L = log Γ(px+q) − log Γ(px) − log Γ(q) + q log γ + px log S − log z̄ − (px+q) log(γ + S)

(Fader & Hardie 2013, "The Gamma-Gamma Model of Monetary Value", eq. 1a, written in totals).
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
    """Log-likelihood of all spend cells; ``gradient`` (3,) receives d LL / d(log parameter).

    ``cell`` (one per cell, or empty) receives the log-likelihood of one customer of the cell; ``alive`` is
    not used and keeps the signature of the purchase processes.
    """
    p, q, gamma = parameters[0], parameters[1], parameters[2]
    distinct, spend, log_spend, n = real(F, I, 0), real(F, I, 1), real(F, I, 2), real(F, I, 3)
    x_at = whole(I, 0)
    fixed, psi, psi_sum = np.empty(distinct.size), np.empty(distinct.size), np.empty(distinct.size)
    psi_q = digamma(q)
    for k in range(distinct.size):
        px = p * distinct[k]
        fixed[k] = math.lgamma(px + q) - math.lgamma(px) - math.lgamma(q) + q * math.log(gamma)
        psi_sum[k] = digamma(px + q)
        psi[k] = psi_sum[k] - digamma(px)
    total = g_p = g_q = g_gamma = 0.0
    for i in range(x_at.size):
        k = x_at[i]
        x = distinct[k]
        log_sum = math.log(gamma + spend[i])
        value = fixed[k] + (p * x - 1.0) * log_spend[i] + math.log(x) - (p * x + q) * log_sum
        total += n[i] * value
        g_p += n[i] * x * (psi[k] + log_spend[i] - log_sum)
        g_q += n[i] * (psi_sum[k] - psi_q + math.log(gamma) - log_sum)
        g_gamma += n[i] * (q / gamma - (p * x + q) / (gamma + spend[i]))
        if cell.size:
            cell[i] = value
    gradient[0], gradient[1], gradient[2] = g_p * p, g_q * q, g_gamma * gamma
    return total


@njit(cache=True, error_model="numpy")
def coordinates_to_log(eta, out, jacobian):
    """Log (p, q, γ) from (log p, log q, log typical spend pγ/q)."""
    out[0], out[1], out[2] = eta[0], eta[1], eta[2] + eta[1] - eta[0]
    jacobian[:, :] = 0.0
    jacobian[0, 0], jacobian[1, 1] = 1.0, 1.0
    jacobian[2, 0], jacobian[2, 1], jacobian[2, 2] = -1.0, 1.0, 1.0


def log_to_coordinates(log_parameters: np.ndarray) -> np.ndarray:
    """Inverse of `coordinates_to_log` over the last axis."""
    lp, lq, lgamma = np.moveaxis(np.asarray(log_parameters, float), -1, 0)
    return np.stack([lp, lq, lgamma + lp - lq], axis=-1)
