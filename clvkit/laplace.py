"""A posterior without chains: a normal approximation at the mode, corrected by importance sampling.

Where one evaluation of the likelihood costs too much for thousands of sampler steps in a row, many independent
ones at once still serve: the posterior of millions of customers is close to normal, draws from a heavy-tailed
proposal around its mode are re-weighted to it, and the weights themselves say whether that was good enough
(Vehtari, Simpson, Gelman, Yao & Gabry 2024, "Pareto Smoothed Importance Sampling", JMLR 25).
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from clvkit.processes._posterior import Target

DRAWS, FREEDOM, LEAST_ESS = 4000, 5, 400.0


@dataclass(frozen=True)
class Weighted:
    """Draws of the coordinates (draws, k) with normalised log weights (draws,), and how good they are."""

    eta: np.ndarray
    log_weights: np.ndarray
    pareto_k: float
    ess: float

    @property
    def good(self) -> bool:
        """Whether the draws may stand for the posterior: k̂ and the effective sample size within limits."""
        return self.pareto_k < limit(len(self.eta)) and self.ess > LEAST_ESS

    def resample(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """``count`` draws of equal weight, by systematic resampling: (count, k), in random order."""
        heights = np.cumsum(np.exp(self.log_weights))
        at = np.searchsorted(heights / heights[-1], (rng.random() + np.arange(count)) / count)
        return self.eta[rng.permutation(np.minimum(at, len(self.eta) - 1))]


def limit(draws: int) -> float:
    """Largest k̂ at which ``draws`` importance-sampled draws give a reliable mean."""
    return min(1 - 1 / np.log10(draws), 0.7)


def importance(
    target: "Target", mode: np.ndarray, root: np.ndarray, *, seed: int, draws: int = DRAWS
) -> Weighted:
    """Draw from a multivariate t around ``mode`` with scale ``root`` (k, k), weighted to the posterior."""
    rng, size = np.random.default_rng(seed), len(mode)
    z = rng.standard_normal((draws, size)) / np.sqrt(rng.chisquare(FREEDOM, (draws, 1)) / FREEDOM)
    eta = mode + z @ root.T
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:  # the likelihood runs outside Python's lock
        parts = pool.map(
            lambda part: [target.value_and_gradient(one)[0] for one in part], np.array_split(eta, 64)
        )
        heights = np.concatenate(list(parts))
    proposal = -(FREEDOM + size) / 2 * np.log1p(np.sum(z**2, axis=1) / FREEDOM)  # but for a constant
    return weigh(eta, heights - proposal)


def weigh(eta: np.ndarray, log_ratios: np.ndarray) -> Weighted:
    """Smooth log importance ratios (target − proposal), so that a few large ones do not decide everything."""
    from arviz_stats.base import array_stats

    finite = np.where(np.isfinite(log_ratios), log_ratios, log_ratios[np.isfinite(log_ratios)].min() - 700)
    # the routine is written for leave-one-out, where the ratio is 1/likelihood: it wants minus the log ratios
    smooth, k = array_stats.psislw(-(finite - finite.max()))
    smooth = smooth - np.logaddexp.reduce(smooth)
    return Weighted(eta, smooth, float(k), float(1 / np.sum(np.exp(2 * smooth))))
