"""A Poisson regression with an elastic net: for counts and for amounts that are mostly zero.

The Poisson pseudo-likelihood with a log link gives a consistent mean of any outcome from zero up (Gourieroux, Monfort &
Trognon 1984; Santos Silva & Tenreyro 2006), so that it serves purchases and revenue alike, and a customer's zeros need no part
of their own. It is maximised by iteratively re-weighted coordinate descent (Friedman, Hastie & Tibshirani 2010, section 3).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

STEPS, TOLERANCE = 25, 1e-6
LARGEST = 12.0  # of the linear predictor, in logs of the mean


@dataclass(frozen=True)
class Scale:
    """How features are brought to one scale: skewed ones in logs, none beyond what was seen, mean 0 and deviation 1."""

    skewed: np.ndarray
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> "Scale":
        """The scale of the rows that are learned from."""
        skewed = (np.abs(features) > 1).any(axis=0)
        flat = _logs(features, skewed)
        low, high = flat.min(axis=0), flat.max(axis=0)
        deviation = flat.std(axis=0)
        return cls(skewed, low, high, flat.mean(axis=0), np.where(deviation > 0, deviation, 1.0))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Rows on this scale; what lies beyond the rows learned from counts as their extreme."""
        flat = np.clip(_logs(features, self.skewed), self.low, self.high)
        return (flat - self.mean) / self.deviation


def _logs(features: np.ndarray, skewed: np.ndarray) -> np.ndarray:
    return np.where(skewed, np.sign(features) * np.log1p(np.abs(features)), features)


@dataclass(frozen=True)
class ElasticNet:
    """A fitted regression: mean = exp(intercept + scaled features × coefficients)."""

    scale: Scale
    intercept: float
    coefficients: np.ndarray
    penalty: float

    def predict(self, features: np.ndarray) -> np.ndarray:
        """The mean of each row."""
        return np.exp(np.clip(self.intercept + self.scale(features) @ self.coefficients, -50, LARGEST * 2))


def largest_penalty(features: np.ndarray, outcome: np.ndarray, mix: float) -> float:
    """The least penalty at which every coefficient is zero."""
    scaled, mean = Scale.of(features)(features), outcome.mean()
    slope = np.abs(scaled.T @ (outcome / mean - 1)).max(initial=0.0) / len(outcome)
    return float(slope / mix)


def fit_path(
    features: np.ndarray, outcome: np.ndarray, penalties: Sequence[float], mix: float = 0.5
) -> list[ElasticNet]:
    """Fits along falling penalties, each begun where the one before ended.

    Parameters
    ----------
    features, outcome : (rows, columns) and (rows,); the outcome is not negative, and not all zero.
    penalties : of the mean log-likelihood of outcomes divided by their mean, so that they have no unit.
    mix : share of the penalty that is on absolute coefficients (lasso); the rest is on their squares (ridge).
    """
    from sklearn.linear_model import ElasticNet as Inner

    scale = Scale.of(features)
    scaled, unit = scale(features), float(outcome.mean())
    y = outcome / unit
    weights, start = np.zeros(scaled.shape[1]), 0.0
    made = []
    for penalty in penalties:
        value = _objective(scaled, y, start, weights, penalty, mix)
        for _ in range(STEPS):
            eta = np.clip(start + scaled @ weights, -LARGEST, LARGEST)
            mean = np.exp(eta)
            inner = Inner(alpha=penalty / mean.mean(), l1_ratio=mix, warm_start=True, tol=1e-5, max_iter=500)
            inner.coef_ = weights.copy()
            _quietly(inner, scaled, eta + (y - mean) / mean, mean)
            step, found = 1.0, None
            while step > 1e-3:  # a whole step may overshoot where means are small
                trial = (start + step * (inner.intercept_ - start), weights + step * (inner.coef_ - weights))
                found = _objective(scaled, y, *trial, penalty, mix)
                if found <= value + 1e-12:
                    break
                step /= 2
            else:
                break
            gained, value = value - found, found
            start, weights = float(trial[0]), trial[1]
            if gained < TOLERANCE * max(abs(value), 1.0):
                break
        made.append(ElasticNet(scale, start + np.log(unit), weights.copy(), penalty))
    return made


def _quietly(inner, scaled: np.ndarray, working: np.ndarray, weights: np.ndarray) -> None:
    import warnings

    with warnings.catch_warnings():  # the next re-weighting goes on where coordinate descent stopped
        warnings.simplefilter("ignore")
        inner.fit(scaled, working, sample_weight=weights)


def _objective(
    scaled: np.ndarray, y: np.ndarray, start: float, weights: np.ndarray, penalty: float, mix: float
) -> float:
    """Negative mean log-likelihood (up to a constant) with the penalty."""
    eta = np.clip(start + scaled @ weights, -LARGEST, LARGEST)
    net = mix * np.abs(weights).sum() + (1 - mix) / 2 * (weights**2).sum()
    return float((np.exp(eta) - y * eta).mean() + penalty * net)


def deviance(actual: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Poisson deviance of each row, 2 (y log(y / μ) − y + μ); it is least on average where μ is the mean of y."""
    safe = np.maximum(predicted, 1e-12)
    log = np.where(actual > 0, actual * np.log(np.maximum(actual, 1e-12) / safe), 0.0)
    return 2 * (log - actual + safe)
