"""The top of a log-density with an exact gradient: finding it, and the curvature there."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from clvkit.processes._posterior import Target


def climb(target: "Target", start: np.ndarray) -> np.ndarray:
    """The coordinates of the nearest maximum: BFGS with the exact gradient, then Newton steps to finish."""
    from scipy.optimize import minimize

    def downhill(eta):
        value, gradient = target.value_and_gradient(eta)
        return (-value, -gradient) if np.isfinite(value) else (1e300, np.zeros_like(eta))

    eta = minimize(downhill, start, jac=True, method="BFGS", options={"gtol": 1e-6, "maxiter": 500}).x
    for _ in range(5):
        value, gradient = target.value_and_gradient(eta)
        step = whiten(target, eta)
        step = step @ step.T @ gradient
        if not np.all(np.isfinite(step)) or np.abs(step).max() > 0.5:
            break  # the surface is flat or not concave here: BFGS's answer stands
        if target.value_and_gradient(eta + step)[0] < value:
            break
        eta = eta + step
        if np.abs(step).max() < 1e-9:
            break
    return eta


def whiten(target: "Target", eta: np.ndarray) -> np.ndarray:
    """A root (k, k) of the inverse curvature at ``eta``; directions without curvature get unit length."""
    curvature = -hessian(lambda at: target.value_and_gradient(at)[1], eta)
    values, vectors = np.linalg.eigh(curvature)
    return vectors / np.sqrt(np.where(values > 1e-2, values, 1.0))


def hessian(gradient, at: np.ndarray, step: float = 1e-4) -> np.ndarray:
    """Symmetric matrix of second derivatives by central differences of an exact gradient."""
    columns = [(gradient(at + move) - gradient(at - move)) / (2 * step) for move in step * np.eye(len(at))]
    matrix = np.stack(columns)
    return (matrix + matrix.T) / 2


def log_standard_errors(model, F, whole, parameters: np.ndarray) -> np.ndarray:
    """Standard errors of the log parameters from the observed information; NaN where it is singular."""
    none = np.empty(0)

    def gradient(logs):
        out = np.zeros(len(logs))
        model.evaluate(np.exp(logs), F, whole, out, none, none)
        return out

    information = -hessian(gradient, np.log(parameters))
    if not np.all(np.isfinite(information)) or np.linalg.eigvalsh(information).min() <= 0:
        return np.full(len(parameters), np.nan)
    return np.sqrt(np.diag(np.linalg.inv(information)))
