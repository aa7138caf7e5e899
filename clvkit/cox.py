"""Cox regression: what multiplies the hazard of leaving, with late entry, ties, strata and relations of one customer.

Partial likelihood of Cox (1972) with Efron's ties, maximised by Newton's method. The usual library ignores late entry in its
baseline, its residuals and its concordance, so they are computed here from the same risk sets as the multipliers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clvkit.errors import FitError
from clvkit.risk_sets import RiskSets

_STEPS, _TOLERANCE = 50, 1e-10
#: A coefficient beyond this, per standard deviation of its driver, runs away: the ends are told apart completely.
RUNAWAY = 10.0


@dataclass(frozen=True)
class Cox:
    """A fitted Cox regression.

    Attributes
    ----------
    names : (p,) of the coefficients, which are logs of multipliers.
    coefficients : (p,). ``covariance``: (p, p); robust where relations of one customer were given as such.
    log_likelihood, null_log_likelihood : at the estimates, and with all multipliers 1.
    strata : the risk sets that it was fitted to.
    """

    names: tuple[str, ...]
    coefficients: np.ndarray
    covariance: np.ndarray
    log_likelihood: float
    null_log_likelihood: float
    strata: tuple[RiskSets, ...]
    labels: tuple[str, ...]

    @property
    def standard_errors(self) -> np.ndarray:
        """(p,) standard errors of the coefficients."""
        return np.sqrt(np.diag(self.covariance))

    def wald(self, places: Sequence[int]) -> tuple[float, int, float]:
        """χ², degrees of freedom and p of the coefficients at ``places`` being zero together."""
        return chi_square(self.coefficients[list(places)], self.covariance[np.ix_(places, places)])

    def survival(self, at: float, x: np.ndarray, stratum: np.ndarray) -> np.ndarray:
        """Probability of lasting beyond ``at``, counted from a start that was seen: (spells,).

        ``stratum`` holds the places of the spells' strata in ``labels``.
        """
        reached = [one.moments(self.coefficients).hazard[one.times <= at].sum() for one in self.strata]
        return np.exp(-np.array(reached)[stratum] * np.exp(x @ self.coefficients))


def chi_square(found: np.ndarray, covariance: np.ndarray) -> tuple[float, int, float]:
    """Wald's χ² of ``found`` being zero, its degrees of freedom and p."""
    from scipy.stats import chi2

    statistic = float(found @ np.linalg.solve(covariance, found))
    return statistic, len(found), float(chi2.sf(statistic, len(found)))


def fit_cox(
    entry: np.ndarray,
    until: np.ndarray,
    ended: np.ndarray,
    x: np.ndarray,
    names: Sequence[str],
    *,
    stratum: np.ndarray | None = None,
    cluster: np.ndarray | None = None,
) -> Cox:
    """Fit a Cox regression.

    Parameters
    ----------
    entry, until, ended : (spells,), as `clvkit.risk_sets.RiskSets` has them.
    x : (spells, p). ``names``: p names.
    stratum : (spells,) labels; each has a hazard of its own. ``cluster``: (spells,) labels of spells that are not
        independent, such as their customer; the covariance is then Lin & Wei's (1989).

    Raises
    ------
    FitError : nobody ended; drivers that tell all ends apart, or say the same as each other.
    """
    ended = np.asarray(ended, bool)
    if not ended.any():
        raise FitError("no relation ended, so nothing can be said of what multiplies the hazard")
    entry, until, x = np.asarray(entry, float), np.asarray(until, float), np.asarray(x, float)
    label = np.zeros(len(until), int) if stratum is None else np.asarray(stratum)
    labels = np.unique(label)
    parts = tuple(
        RiskSets(entry[inside], until[inside], ended[inside], x[inside])
        for inside in (label == one for one in labels)
    )
    beta, spread = np.zeros(x.shape[1]), np.maximum(x.std(axis=0), 1e-300)
    value, score, information = _summed(parts, beta)
    null = value
    for _ in range(_STEPS):
        if _singular(information, ended.sum() * x.var(axis=0)):
            raise FitError(
                "the drivers say the same as each other, or nothing, of those at risk",
                place="contracts.drivers",
                fix="leave one of them out",
            )
        step = np.linalg.solve(information, score)
        gain = score @ step
        for _ in range(30):  # a step too long is halved
            trial = _summed(parts, beta + step)
            if np.isfinite(trial[0]) and trial[0] >= value - 1e-12 * abs(value):
                break
            step = step / 2
        beta = beta + step
        value, score, information = trial
        if (wild := np.abs(beta * spread) > RUNAWAY).any():
            raise FitError(
                f"{names[int(np.argmax(wild))]} tells those who left from those who stayed completely: its multiplier has no end",
                place="contracts.drivers",
                fix="leave it out, or put its levels together",
            )
        if gain < _TOLERANCE:
            break
    else:
        raise FitError("the regression does not settle", place="contracts.drivers", fix="leave drivers out")
    covariance = np.linalg.inv(information)
    if cluster is not None:
        covariance = _sandwich(parts, label, labels, np.asarray(cluster), beta, covariance)
    return Cox(tuple(names), beta, covariance, float(value), float(null), parts, tuple(map(str, labels)))


def _summed(parts: tuple[RiskSets, ...], beta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Log-likelihood, score and information of all strata."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found = [one.moments(beta) for one in parts if one.times.size]
    return (
        sum(one.log_likelihood.sum() for one in found),
        sum(one.score.sum(axis=0) for one in found),
        sum(one.spread.sum(axis=0) for one in found),
    )


def _singular(information: np.ndarray, most: np.ndarray) -> bool:
    """Whether some coefficient, or a mix of them, moves the likelihood by no more than rounding; ``most``: its usual size."""
    size = np.diag(information)
    if not np.isfinite(information).all() or (size <= 1e-9 * most).any():
        return True
    unit = np.sqrt(size)
    return bool(np.linalg.eigvalsh(information / np.outer(unit, unit)).min() < 1e-9)


def _sandwich(parts, label, labels, cluster, beta, naive):
    """Lin & Wei's covariance from score residuals, summed over the spells of a cluster."""
    residuals = np.zeros((len(label), len(beta)))
    for one, part in zip(labels, parts, strict=True):
        if not part.times.size:
            continue
        found = part.moments(beta)
        hazard, drift = found.hazard, found.mean * (found.hazard / part.deaths)[:, None]
        risk = np.exp(part.x @ beta)[:, None]
        score = -risk * (part.x * part.between(hazard)[:, None] - part.between(drift))
        score[part.ended] += part.x[part.ended] - (found.mean / part.deaths[:, None])[part.place]
        residuals[label == one] = score
    _, who = np.unique(cluster, return_inverse=True)
    summed = np.stack([np.bincount(who, column) for column in residuals.T], axis=1)
    return naive @ (summed.T @ summed) @ naive


def proportional(fit: Cox, groups: dict[str, Sequence[int]]) -> dict[str, tuple[float, int, float]]:
    """Whether multipliers stay the same over time: χ², degrees of freedom and p of each group of coefficients.

    The score test of a multiplier that changes with 1 − the Kaplan–Meier curve before each moment, adjusted for the estimated
    coefficients; Grambsch & Therneau (1994) with their variance at each moment instead of its mean.
    """
    p = len(fit.coefficients)
    u, both, mixed, plain = np.zeros(p), np.zeros((p, p)), np.zeros((p, p)), np.zeros((p, p))
    moments = [(part, part.moments(fit.coefficients)) for part in fit.strata if part.times.size]
    clocks = [1 - kaplan_meier_before(part) for part, _ in moments]
    weight = sum(part.deaths.sum() for part, _ in moments)
    centre = (
        sum((clock * part.deaths).sum() for clock, (part, _) in zip(clocks, moments, strict=True)) / weight
    )
    for clock, (_, found) in zip(clocks, moments, strict=True):
        g = clock - centre
        u += (found.score * g[:, None]).sum(axis=0)
        both += (found.spread * (g**2)[:, None, None]).sum(axis=0)
        mixed += (found.spread * g[:, None, None]).sum(axis=0)
        plain += found.spread.sum(axis=0)
    result = {}
    for name, places in groups.items():
        places = list(places)
        variance = both[np.ix_(places, places)] - mixed[places] @ np.linalg.solve(plain, mixed[:, places])
        try:
            result[name] = chi_square(u[places], variance) if np.trace(variance) > 0 else _unknown(places)
        except np.linalg.LinAlgError:
            result[name] = _unknown(places)
    return result


def _unknown(places: Sequence[int]) -> tuple[float, int, float]:
    return float("nan"), len(places), float("nan")


def kaplan_meier_before(part: RiskSets) -> np.ndarray:
    """The Kaplan–Meier curve just before each moment: (k,)."""
    stays = 1 - part.deaths / part.at_risk(np.ones(len(part.until)))
    return np.concatenate([[1.0], np.cumprod(stays)[:-1]])


def concordance(
    entry: np.ndarray,
    until: np.ndarray,
    ended: np.ndarray,
    risk: np.ndarray,
    *,
    most: int = 4000,
    seed: int = 0,
) -> float:
    """Harrell's C: of two spells at risk when one of them ends, how often the one with the higher ``risk`` does.

    Ties of risk count one half. With late entry only spells that are at risk together are compared. Of more than ``most``
    ends a seeded sample is compared with everybody. NaN where there is no pair.
    """
    ends = np.flatnonzero(ended)
    if ends.size > most:
        ends = np.sort(np.random.default_rng(seed).choice(ends, most, replace=False))
    good = pairs = 0.0
    for at in ends:
        t = until[at]
        beside = (entry < t) & ((until > t) | ((until == t) & ~ended))
        pairs += beside.sum()
        good += (risk[beside] < risk[at]).sum() + 0.5 * (risk[beside] == risk[at]).sum()
    return float(good / pairs) if pairs else float("nan")
