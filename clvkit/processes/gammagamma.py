"""Gamma-Gamma: how much a customer spends per purchase.

Fader & Hardie (2013), "The Gamma-Gamma Model of Monetary Value"; Fader, Hardie & Lee (2005), "RFM and CLV",
Journal of Marketing Research 42(4). Amounts of one customer are Gamma(p, ν), and ν ~ Gamma(q, γ) across
customers, independently of how often they buy.
"""

import numpy as np

from clvkit.processes import _gammagamma
from clvkit.processes.base import Model, Prior


class GammaGamma(Model):
    """Spend per purchase; ``gamma`` is in units of money."""

    name, label, kernel = "gammagamma", "Gamma-Gamma", "gammagamma"
    source = "Fader & Hardie 2013"
    parameters = ("p", "q", "gamma")
    scale_parameters = frozenset({"gamma"})
    priors = {
        "log_p": Prior(1.0, 1.0, "log of p: how steady one customer's amounts are"),
        "log_q": Prior(1.0, 1.0, "log of q: how alike customers' mean amounts are"),
        "log_typical_spend": Prior(0.0, 1.0, "log of the typical amount pγ/q, per median mean spend"),
    }

    def prepare(self, x, spend, n):
        """Pack spend cells (number of purchases, their total, count of customers)."""
        return _gammagamma.prepare(x, spend, n)

    def evaluate(self, parameters, F, whole, gradient, alive, cell):
        """The compiled likelihood."""
        return _gammagamma.kernel(parameters, F, whole, gradient, alive, cell)

    def coordinates(self, parameters):
        """(p, q, γ) to the coordinates of the priors."""
        return _gammagamma.log_to_coordinates(np.log(parameters))

    def from_coordinates(self, eta):
        """Coordinates of the priors to (p, q, γ)."""
        lp, lq, typical = np.moveaxis(np.asarray(eta, float), -1, 0)
        return np.exp(np.stack([lp, lq, typical + lq - lp], axis=-1))

    def expected_spend(self, parameters, x) -> tuple[np.ndarray, np.ndarray]:
        """Expected spend per purchase as ``base + slope · (total of x purchases)``.

        Parameters
        ----------
        parameters : (3,) or (draws, 3).
        x : (cells,) number of purchases seen.

        Returns
        -------
        base, slope : (cells,) or (draws, cells). E[M | x, z̄] = p(γ + x z̄)/(px + q − 1) (eq. 5), which is
            affine in the total, so sums over customers need only the sum of their totals. With x = 0 it is
            the population mean pγ/(q − 1), which does not exist for q ≤ 1: then it is infinite.
        """
        p, q, gamma = (v[..., None] for v in np.moveaxis(np.asarray(parameters, float), -1, 0))
        below = p * np.asarray(x, float) + q - 1.0
        with np.errstate(divide="ignore"):
            slope = np.where(below > 0, p / np.where(below > 0, below, 1.0), np.inf)
        return slope * gamma, slope

    def draw_mean_rate(self, parameters, x, total, rng) -> np.ndarray:
        """ν of each customer given x purchases that total ``total``: Gamma(q + px, γ + total)."""
        p, q, gamma = np.asarray(parameters, float)
        return rng.gamma(q + p * np.asarray(x), 1.0) / (gamma + np.asarray(total))

    def simulate_means(self, parameters, x, rng) -> np.ndarray:
        """Mean spend over ``x`` (customers,) purchases of new customers."""
        p, q, gamma = np.asarray(parameters, float)
        x = np.asarray(x)
        return rng.gamma(p * x, 1.0) / (rng.gamma(q, 1 / gamma, x.size) * x)


GAMMAGAMMA = GammaGamma()
