"""Parametric survival: Weibull, log-normal and log-logistic lifetimes, with late entry and ends known to the unit.

All three are accelerated failure time models: log T = location + drivers + scale × noise, the noise being of the smallest
extreme value, normal or logistic (Kalbfleisch & Prentice 2002, ch. 3). A relation that was left at the end of unit k, be it a
renewal, a month or a day, was left after k − 1 and by k, and no more is known: the likelihood takes it as that interval. So a
curve read at whole units may be laid beside a Kaplan–Meier curve. Who came under observation late is taken given that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from clvkit.errors import FitError

Family = Literal["weibull", "lognormal", "loglogistic"]
FAMILIES: tuple[Family, ...] = get_args(Family)
LABELS = {"weibull": "Weibull", "lognormal": "log-normal", "loglogistic": "log-logistic"}


def _weibull(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    h = np.exp(np.minimum(z, 300.0))
    return -h, h


def _lognormal(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from scipy.special import log_ndtr

    log_s = log_ndtr(-z)
    return log_s, np.exp(-0.5 * z**2 - 0.5 * np.log(2 * np.pi) - log_s)


def _loglogistic(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from scipy.special import expit

    return -np.logaddexp(0.0, z), expit(z)


#: log S and hazard of the noise at z.
_NOISE: dict[str, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    "weibull": _weibull,
    "lognormal": _lognormal,
    "loglogistic": _loglogistic,
}


@dataclass(frozen=True)
class ParametricFit:
    """A fitted lifetime distribution.

    Attributes
    ----------
    family : one of `FAMILIES`. ``names``: (p,) of the drivers.
    estimates : (p + 2,) location, drivers, log scale. ``covariance``: their asymptotic covariance.
    log_likelihood : at the estimates. ``relations``: how many there were.
    """

    family: Family
    names: tuple[str, ...]
    estimates: np.ndarray
    covariance: np.ndarray
    log_likelihood: float
    relations: int

    @property
    def aic(self) -> float:
        """Akaike's criterion; the lower the better."""
        return 2 * len(self.estimates) - 2 * self.log_likelihood

    @property
    def shape(self) -> float:
        """One over the scale. Of a Weibull above 1, the hazard rises with tenure; below, it falls."""
        return float(np.exp(-self.estimates[-1]))

    def draws(self, count: int, seed: int) -> np.ndarray:
        """Draws of the estimates from their asymptotic normal distribution: (count, p + 2)."""
        return np.random.default_rng(seed).multivariate_normal(
            self.estimates, self.covariance, count, method="eigh"
        )

    def log_survival(
        self, t: np.ndarray, x: np.ndarray | None = None, at: np.ndarray | None = None
    ) -> np.ndarray:
        """Log S(t): (times,) or, for several estimates, (draws, times).

        ``t`` is (times,) in units; ``x`` (times, p) the drivers that go with them; ``at`` estimates (p + 2,) or (draws, p + 2).
        """
        at = self.estimates if at is None else at
        where = at[..., :1] if x is None else at[..., :1] + at[..., 1:-1] @ np.asarray(x, float).T
        with np.errstate(divide="ignore"):
            z = (np.log(t) - where) * np.exp(-at[..., -1:])
        return _NOISE[self.family](z)[0]

    def survival(self, t: np.ndarray, x: np.ndarray | None = None) -> np.ndarray:
        """S(t): the share that lasts beyond ``t`` units; see `log_survival`."""
        return np.exp(self.log_survival(np.atleast_1d(np.asarray(t, float)), x))

    def remaining(
        self,
        tenure: np.ndarray,
        ahead: np.ndarray,
        x: np.ndarray | None = None,
        at: np.ndarray | None = None,
    ) -> np.ndarray:
        """Probability of lasting ``ahead`` more, given ``tenure`` so far; shapes as in `log_survival`."""
        tenure = np.asarray(tenure, float)
        return np.exp(self.log_survival(tenure + ahead, x, at) - self.log_survival(tenure, x, at))


def fit_parametric(
    family: Family,
    entry: np.ndarray,
    until: np.ndarray,
    ended: np.ndarray,
    x: np.ndarray | None = None,
    names: Sequence[str] = (),
    *,
    width: "float | np.ndarray" = 1.0,
    n: np.ndarray | None = None,
) -> ParametricFit:
    """Fit a lifetime distribution by maximum likelihood.

    Parameters
    ----------
    entry, until, ended : (relations,) as `clvkit.risk_sets.RiskSets` has them, in units; who was never at risk is left out.
    x : (relations, p) drivers; ``names`` their names.
    width : an end at ``until`` was after ``until`` − width; one for all, or (relations,).
    n : (relations,) how many are alike; default 1.

    Raises
    ------
    FitError : nobody ended, or the likelihood has no maximum.
    """
    from scipy.optimize import minimize

    entry, until, ended = np.asarray(entry, float), np.asarray(until, float), np.asarray(ended, bool)
    known = until > entry
    n = np.ones(len(until)) if n is None else np.asarray(n, float)
    drivers = np.zeros((len(until), 0)) if x is None else np.asarray(x, float)
    width = np.broadcast_to(np.asarray(width, float), until.shape)
    entry, until, ended, n, drivers, width = (
        part[known] for part in (entry, until, ended, n, drivers, width)
    )
    if not ended.any():
        raise FitError("no relation ended, so a lifetime cannot be estimated")
    lower = np.where(ended, np.maximum(until - width, entry), until)
    design, total = np.column_stack([np.ones(len(until)), drivers]), n.sum()
    logs = [_log(part) for part in (lower, until, entry)]

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = _likelihood(family, at, design, logs, ended, n)
        return -value / total, -gradient / total

    start = np.zeros(design.shape[1] + 1)
    start[0] = np.log((n * (until - entry)).sum() / n[ended].sum())
    found = minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-8, "maxiter": 500})
    at, hessian = _polished(loss, found.x)
    if (
        not np.isfinite(at).all()
        or np.linalg.eigvalsh(hessian).min() <= 1e-9
        or np.abs(loss(at)[1]).max() > 1e-5
    ):
        raise FitError(
            f"the {LABELS[family]} lifetime has no best estimate: the ends seen say too little of it",
            place="contracts.drivers" if len(names) else None,
            fix="leave drivers out, or wait for more ends",
        )
    covariance = np.linalg.inv(hessian) / total
    return ParametricFit(
        family, tuple(names), at, (covariance + covariance.T) / 2, -total * loss(at)[0], round(total)
    )


def _log(t: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(t)


def _polished(loss: Callable, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A few Newton steps to the maximum, and the Hessian there, by central differences of the gradient."""
    for _ in range(4):
        step = 1e-5 * np.maximum(np.abs(at), 0.1)
        rows = [(loss(at + d)[1] - loss(at - d)[1]) / (2 * d[i]) for i, d in enumerate(np.diag(step))]
        hessian = (np.array(rows) + np.array(rows).T) / 2
        gradient = loss(at)[1]
        if np.abs(gradient).max() < 1e-10 or not np.isfinite(hessian).all():
            break
        try:
            trial = at - np.linalg.solve(hessian, gradient)
        except np.linalg.LinAlgError:
            break
        if not loss(trial)[0] <= loss(at)[0]:
            break
        at = trial
    return at, hessian


def _likelihood(family, at, design, logs, ended, n) -> tuple[float, np.ndarray]:
    """Log-likelihood and its gradient; ``logs`` are those of lower and upper end and of entry."""
    scale, where = np.exp(-at[-1]), design @ at[:-1]
    s, h, dz = [], [], []
    for log_t in logs:
        started = np.isfinite(log_t)
        z = np.where(started, (np.where(started, log_t, 0.0) - where) * scale, 0.0)
        log_s, hazard = _NOISE[family](z)
        s.append(np.where(started, log_s, 0.0))
        h.append(np.where(started, hazard, 0.0))
        dz.append(z)
    low, high, begin = range(3)
    gap = np.minimum(s[high] - s[low], -1e-300)
    inside = s[low] + np.log(-np.expm1(gap))
    value = np.where(ended, inside, s[high]) - s[begin]
    with np.errstate(over="ignore", invalid="ignore"):
        to_low = np.where(ended, -h[low] * np.exp(s[low] - inside), 0.0)
        to_high = np.where(ended, h[high] * np.exp(s[high] - inside), -h[high])
    slopes = (to_low, to_high, h[begin])
    by_where = -scale * sum(slopes)
    by_scale = -sum(slope * z for slope, z in zip(slopes, dz, strict=True))
    gradient = np.append(design.T @ (n * by_where), n @ by_scale)
    return float(n @ value), gradient
