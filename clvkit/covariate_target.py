"""The posterior of a process with covariates: a sum over patterns, with its gradient, and draws from it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clvkit.laplace import Weighted, importance
from clvkit.optimum import climb

if TYPE_CHECKING:
    from clvkit.covariate_levels import Design
    from clvkit.processes._posterior import Target
    from clvkit.processes.base import Model

COORDINATES = {"rate": ("log_mean_purchases",), "dropout": ("log_mean_dropout", "logit_mean_dropout")}
ROUNDS = 3  # of importance sampling, each around what the one before found


@dataclass(frozen=True)
class CovariateTarget:
    """The log-posterior of (coordinates at the reference, coefficients), with its gradient.

    ``targets`` are the log-likelihoods of the patterns, ``matrix`` (patterns, coefficients) the steps of each, and
    ``moved`` (coefficients,) the coordinate that each coefficient shifts. Priors are normal with ``mean`` and ``sd``, flat
    where ``sd`` is infinite.
    """

    targets: "list[Target]"
    matrix: np.ndarray
    moved: np.ndarray
    mean: np.ndarray
    sd: np.ndarray

    def spread(self, at: np.ndarray) -> np.ndarray:
        """The coordinates of each pattern: (…, patterns, k) of ``at`` (…, k + coefficients)."""
        return spread(at, self.matrix, self.moved)

    def log_likelihood(self, at: np.ndarray) -> float:
        """Without the priors."""
        return sum(
            target.value_and_gradient(eta)[0]
            for target, eta in zip(self.targets, self.spread(at), strict=True)
        )

    def value_and_gradient(self, at: np.ndarray) -> tuple[float, np.ndarray]:
        """Log-posterior and gradient at ``at`` (k + coefficients,)."""
        score = (at - self.mean) / self.sd
        finite = np.isfinite(self.sd)
        value = -0.5 * score @ score - np.sum(np.log(self.sd[finite]) + 0.5 * np.log(2 * np.pi))
        gradient, k = -score / self.sd, len(at) - len(self.moved)
        for target, eta, steps in zip(self.targets, self.spread(at), self.matrix, strict=True):
            one, slope = target.value_and_gradient(eta)
            value += one
            gradient[:k] += slope
            gradient[k:] += steps * slope[self.moved]
        return float(value), gradient


def spread(at: np.ndarray, matrix: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Coordinates of each pattern (…, patterns, k), of coordinates and coefficients side by side (…, k + coefficients)."""
    at = np.asarray(at, float)
    k = at.shape[-1] - len(moved)
    eta = np.repeat(at[..., None, :k], len(matrix), axis=-2)
    for place, coordinate in enumerate(moved):
        eta[..., coordinate] += at[..., k + place, None] * matrix[:, place]
    return eta


def moved_by(design: "Design", model: "Model") -> np.ndarray:
    """The coordinate of the process that each coefficient shifts: (coefficients,)."""
    names = list(model.priors)
    at = {on: next(names.index(name) for name in known if name in names) for on, known in COORDINATES.items()}
    return np.array([at[on] for on, _, _ in design.effects], np.int64)


def sampled(target: CovariateTarget, start: np.ndarray, seed: int) -> tuple[np.ndarray | None, dict]:
    """Importance sampling around the mode, and where that is not good enough around what it found, or no posterior."""
    mode = climb(target, start)
    centre, root = mode.eta, mode.root()
    for at in range(ROUNDS):
        weighted = importance(target, centre, root, seed=seed + at)
        diagnostics = {"pareto_k": weighted.pareto_k, "ess_min": weighted.ess, "rounds": at + 1}
        if weighted.good:
            draws = weighted.resample(len(weighted.eta), np.random.default_rng([seed, 1]))
            return draws[None], diagnostics
        centre, root = _moments(weighted)
    return None, diagnostics | {
        "no_posterior": f"importance sampling cannot be trusted after {ROUNDS} rounds (Pareto k {weighted.pareto_k:.2f}, "
        f"effective draws {weighted.ess:.0f})"
    }


def _moments(weighted: Weighted) -> tuple[np.ndarray, np.ndarray]:
    """Mean and a root of the covariance of weighted draws."""
    weights = np.exp(weighted.log_weights)
    mean = weights @ weighted.eta
    away = weighted.eta - mean
    covariance = (weights[:, None] * away).T @ away
    values, vectors = np.linalg.eigh(covariance)
    return mean, vectors * np.sqrt(np.maximum(values, 1e-12))
