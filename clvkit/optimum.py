"""The top of a log-density with an exact gradient: finding it, and the curvature there."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from clvkit.processes._posterior import Target

#: Coordinates are logs and logits of unit-free quantities: beyond this a density is flat, and a search that gets
#: there has been running away.
BOUND = 15.0
FLAT = (
    1e-3  # curvature of a log or a logit, whose standard error would be 30 and more: what is left is rounding
)
_STEP, RESTARTS = 1e-4, 6


@dataclass(frozen=True)
class Peak:
    """A maximum: where (k,), how high, the gradient (k,) and the curvature (k, k), minus the second derivatives."""

    eta: np.ndarray
    value: float
    gradient: np.ndarray
    curvature: np.ndarray

    @property
    def at_bound(self) -> np.ndarray:
        """Which coordinates ran away to the bound of the search: (k,) booleans."""
        return np.abs(self.eta) > BOUND - 1e-6

    def root(self) -> np.ndarray:
        """A root (k, k) of the inverse curvature; directions without curvature get unit length."""
        values, vectors = np.linalg.eigh(self.curvature)
        return vectors / np.sqrt(np.where(values > 1e-2, values, 1.0))

    def covariance(self) -> np.ndarray:
        """The inverse curvature; NaN where the top is flat to rounding, so that no standard error is made up."""
        size = len(self.eta)
        if not np.all(np.isfinite(self.curvature)) or self.at_bound.any():
            return np.full((size, size), np.nan)
        if np.linalg.eigvalsh(self.curvature).min() <= FLAT:
            return np.full((size, size), np.nan)
        return np.linalg.inv(self.curvature)


def climb(target: "Target", start: np.ndarray) -> Peak:
    """The nearest maximum: L-BFGS within bounds, then Newton steps with the exact gradient to finish."""
    from scipy.optimize import minimize

    def downhill(eta):
        value, gradient = target.value_and_gradient(eta)
        return (-value / unit, -gradient / unit) if np.isfinite(value) else (1e10, np.zeros_like(eta))

    options = {"gtol": 1e-7, "ftol": 1e-15, "maxiter": 500, "maxcor": 20}
    bounds = [(-BOUND, BOUND)] * len(start)
    eta = np.clip(start, -BOUND, BOUND)
    for _ in range(RESTARTS):
        value, _ = target.value_and_gradient(eta)
        unit = (
            max(1.0, abs(value)) if np.isfinite(value) else 1.0
        )  # at a good start, of the order of the customers
        found = minimize(downhill, eta, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        eta = found.x
        if (
            not abs(found.fun) < 0.1
        ):  # from far away all slopes look small in the unit of the start: measure anew
            break
    peak = survey(target, eta)
    for _ in range(8):
        step = np.where(peak.at_bound, 0.0, peak.root() @ (peak.root().T @ peak.gradient))
        if not np.all(np.isfinite(step)) or np.abs(step).max() > 0.5:
            break  # the surface is flat or not concave here: the search's answer stands
        value, gradient = target.value_and_gradient(np.clip(peak.eta + step, -BOUND, BOUND))
        if value < peak.value - 1e-9 * abs(peak.value):
            break
        close = np.abs(step).max() < 1e-2  # the curvature hardly changes over such a step
        peak = (
            Peak(peak.eta + step, value, gradient, peak.curvature)
            if close
            else survey(target, peak.eta + step)
        )
        if np.abs(step).max() < 1e-8:
            break
    return survey(target, peak.eta) if np.abs(peak.eta - eta).max() > 1e-2 else peak


def survey(target: "Target", eta: np.ndarray) -> Peak:
    """Value, gradient and curvature at a point."""
    value, gradient = target.value_and_gradient(eta)
    return Peak(eta, value, gradient, -hessian(lambda at: target.value_and_gradient(at)[1], eta))


def hessian(gradient: "Callable", at: np.ndarray) -> np.ndarray:
    """Symmetric matrix of second derivatives by central differences of an exact gradient."""
    columns = [(gradient(at + move) - gradient(at - move)) / (2 * _STEP) for move in _STEP * np.eye(len(at))]
    matrix = np.stack(columns)
    return (matrix + matrix.T) / 2


def best_of(
    target: "Target", thin: "Target", first: np.ndarray, others: list[np.ndarray]
) -> tuple[Peak, int]:
    """The highest maximum from several starts, and how many of them led to it.

    ``thin`` is the same density on a part of the cells. All starts are tried there, where a try costs little; on
    all of the data the search goes on from the highest, which leaves it a few steps.
    """
    tries = [climb(thin, start) for start in (first, *others)]
    best = max(tries, key=lambda one: one.value)
    agree = sum(one.value >= best.value - 1e-6 * abs(best.value) for one in tries)
    if thin is target:
        return best, agree
    # what runs away on a part of the cells may be held by all of them
    return climb(target, first if best.at_bound.any() else best.eta), agree
