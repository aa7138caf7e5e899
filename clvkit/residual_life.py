"""What is left of relations that run, by a lifetime distribution: contracts that may end on any day."""

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clvkit.errors import FitError

if TYPE_CHECKING:
    from clvkit.parametric_survival import ParametricFit

_NODES, _PANELS = 24, 16
_NEGLIGIBLE = (
    1e-10  # of what is left: a horizon that is not given ends where less than that share comes after it
)


@dataclass(frozen=True)
class Residual:
    """What is left of relations, each (draws, relations).

    ``days`` : expected days until the end or the horizon. ``discounted``: the same, each day discounted to today; times what a
    day brings it is the value of a relation that pays as it goes.
    """

    days: np.ndarray
    discounted: np.ndarray


def parametric_residual(
    fit: "ParametricFit",
    tenure_days: np.ndarray,
    annual_discount_rate: float,
    horizon_days: float,
    *,
    x: np.ndarray | None = None,
    draws: np.ndarray | None = None,
    unit_days: float = 1.0,
    days_per_year: float = 365.25,
) -> Residual:
    """Residual life of relations that have lasted ``tenure_days``: the integral of S(u + t) / S(u), plain and discounted.

    Parameters
    ----------
    fit : a `clvkit.parametric_survival.ParametricFit`, with ``unit_days`` days to its unit.
    tenure_days : (relations,) days that each has lasted.
    annual_discount_rate : effective, a year; a day t ahead counts (1 + rate)^(−t / days_per_year).
    horizon_days : days after today count up to here; infinity needs a discount rate above 0.
    x : (relations, p) drivers. ``draws``: (draws, p + 2) from ``fit.draws``; default: the estimates alone, as one draw.

    Raises
    ------
    FitError : an infinite horizon without discounting, for which the mean need not exist.
    """
    delta = np.log1p(annual_discount_rate) / days_per_year
    if not np.isfinite(horizon_days):
        if delta <= 0:
            raise FitError(
                "days without end and without discounting need not have a mean",
                place="value.horizon_months",
                fix="give a horizon, or a discount rate above 0",
            )
        horizon_days = -np.log(_NEGLIGIBLE) / delta
    at = fit.estimates[None, :] if draws is None else np.atleast_2d(draws)
    tenure = np.asarray(tenure_days, float)
    start = fit.log_survival(tenure / unit_days, x, at)
    node, weight = np.polynomial.legendre.leggauss(_NODES)
    days = np.zeros((len(at), tenure.size))
    discounted = np.zeros_like(days)
    # panels that grow as a square: a hazard that falls steeply is steepest at the start
    edges = horizon_days * np.linspace(0, 1, _PANELS + 1) ** 2
    for low, high in itertools.pairwise(edges):
        for place, share in zip(node, weight, strict=True):
            t = (low + high) / 2 + (high - low) / 2 * place
            stays = np.exp(fit.log_survival((tenure + t) / unit_days, x, at) - start)
            days += share * (high - low) / 2 * stays
            discounted += share * (high - low) / 2 * stays * np.exp(-delta * t)
    return Residual(days, discounted)
