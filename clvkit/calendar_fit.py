"""Factors of a calendar by maximum likelihood, in turns with the process.

With g the speed of a day and γ_j the log of the factor of a group of days (a month, a window), the log-likelihood of
purchases in calendar time is that of the histories in purchase time plus Σ_j n_j γ_j, n_j being the repeat purchases on
the days of the group. Its slope is n_j - e_j with e_j = -∂/∂γ_j of the first part: the purchases expected on these days
of the customers as their histories show them. So in each turn the process is fitted on the clock, and every factor
multiplied by n_j / e_j; a fixed point is a maximum in all together. Months are brought to a mean of 1 over a year in
each turn: the level is the process's.

Intervals are of the curvature of that log-likelihood in factors and parameters together (Schur complement of the
parameters, on the plane on which the months' mean stays 1), so that they hold what is unknown of the process as well.
"""

from dataclasses import replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from clvkit.calendar_section import DAYS_OF_MONTH, MONTHS, normalised
from clvkit.errors import FitError

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.calendar import Speeds
    from clvkit.models_section import ModelsSection

SETTLED, MOST_TURNS, INTERVAL = 1e-4, 60, 0.9
STEP = 1e-3  # of a log factor, for slopes; its square root's size for curvature
BEND = 2e-2
ENOUGH = 20_000  # cells that a curvature is taken on; more are thinned out


def estimate(
    speeds: "Speeds",
    cells: "pd.DataFrame",
    daily: "pd.DataFrame",
    models: "ModelsSection",
    days_per_year: float,
) -> "tuple[Speeds, int, dict[str, tuple[float, float]]]":
    """The factors at the maximum of the likelihood, the turns it took, and an interval of 90 % for each.

    Raises
    ------
    FitError : factors that do not settle.
    """
    from clvkit.fitting import fit_process

    order = ["frequency", "recency_days", "T_days"]
    merged = cells.groupby(order, as_index=False)["n"].sum()
    bought = {key: max(float(n), 0.5) for key, n in speeds.purchases(daily).items()}  # a factor stays above 0
    moved, before = np.inf, None
    for turn in range(1, MOST_TURNS + 1):
        fit = fit_process(
            models.headline, merged, models, sample=False, days_per_year=days_per_year, clock=speeds.clock()
        )
        there = History(fit, merged)
        slope = there.slope(speeds)
        made = {
            key: speeds.groups[key] * bought[key] / slope[key] if slope[key] > 0 else 1.0
            for key in speeds.groups
        }
        step = np.log([made[key] / speeds.groups[key] for key in made])
        if before is not None and turn % 3 == 0:  # Aitken: what is left of a geometric approach, at once
            ratio = np.clip(float(step @ before / max(before @ before, 1e-30)), 0.0, 0.9)
            made = {
                key: speeds.groups[key] * np.exp(one / (1 - ratio))
                for key, one in zip(made, step, strict=True)
            }
        now = replace(speeds, groups=_level(made))
        moved = max(abs(np.log(now.groups[key] / speeds.groups[key])) for key in made)
        before, speeds = step, now
        if moved < SETTLED:
            return speeds, turn, intervals(fit, merged, speeds)
    raise FitError(
        f"the factors of the calendar do not settle (they still moved by {moved:.1e} after {MOST_TURNS} turns)",
        place="calendar",
        fix="give month_factors and the speeds of windows, or estimate fewer of them",
    )


def _level(groups: dict[str, float]) -> dict[str, float]:
    """The factors with those of the months brought to a mean of 1."""
    if "month 1" not in groups:
        return groups
    months = normalised({m: groups[f"month {m}"] for m in MONTHS})
    return groups | {f"month {m}": value for m, value in months.items()}


class History:
    """The likelihood of customers' histories on a clock that changes, at parameters that may."""

    def __init__(self, fit, cells: "pd.DataFrame"):
        self.fit, self.unit = fit, fit.unit_days
        self.x, self.n = cells["frequency"].to_numpy(np.int64), cells["n"].to_numpy(float)
        self.recency, self.age = (cells[name].to_numpy(float) for name in ("recency_days", "T_days"))

    def value(self, speeds: "Speeds", logs: np.ndarray | None = None) -> tuple[float, np.ndarray]:
        """Log-likelihood in purchase time, and its slope (k,) in the logs of the parameters."""
        from clvkit.fitting import on_clock

        clock, parameters = speeds.clock(), self.fit.mle if logs is None else np.exp(logs)
        model = self.fit.model.on_clock(*clock.past(self.unit))
        recency, age = on_clock(self.fit.model, clock, self.recency, self.age)
        F, whole = model.prepare(self.x, recency / self.unit, age / self.unit, self.n)
        gradient, none = np.empty(len(parameters)), np.empty(0)
        value = model.evaluate(np.asarray(parameters, float), F, whole, gradient, none, none)
        return value, gradient

    def slope(self, speeds: "Speeds") -> dict[str, float]:
        """Purchases expected on the days of each factor: minus the slope of the likelihood in its log."""
        found = {}
        for key in speeds.groups:
            up, down = (self.value(_moved(speeds, {key: way * STEP}))[0] for way in (1, -1))
            found[key] = -(up - down) / (2 * STEP)
        return found


def _moved(speeds: "Speeds", by: dict[str, float]) -> "Speeds":
    return replace(speeds, groups={key: one * np.exp(by.get(key, 0.0)) for key, one in speeds.groups.items()})


def intervals(fit, cells: "pd.DataFrame", speeds: "Speeds") -> dict[str, tuple[float, float]]:
    """Ranges of the factors that hold 90 %, normal in their logs."""
    every = max(1, len(cells) // ENOUGH)
    part = cells.iloc[::every]
    history, keys = History(fit, part), list(speeds.groups)
    share = cells["n"].sum() / part["n"].sum()
    logs, size = np.log(fit.mle), len(keys)
    middle = history.value(speeds)[0]
    single = {key: [history.value(_moved(speeds, {key: way * BEND})) for way in (1, -1)] for key in keys}
    across = np.array([(single[key][0][1] - single[key][1][1]) / (2 * BEND) for key in keys])
    own = np.empty((size, size))
    for j, one in enumerate(keys):
        own[j, j] = (single[one][0][0] + single[one][1][0] - 2 * middle) / BEND**2
        for k, other in enumerate(keys[:j]):
            both = [history.value(_moved(speeds, {one: way * BEND, other: way * BEND}))[0] for way in (1, -1)]
            alone = sum(value for key in (one, other) for value, _ in single[key])
            own[j, k] = own[k, j] = (sum(both) + 2 * middle - alone) / (2 * BEND**2)
    small = 1e-4 * np.eye(len(logs))
    inner = np.array(
        [
            (history.value(speeds, logs + one)[1] - history.value(speeds, logs - one)[1]) / 2e-4
            for one in small
        ]
    )
    information = -share * (own - across @ np.linalg.pinv((inner + inner.T) / 2, hermitian=True) @ across.T)
    plane = _plane(speeds)
    variance = np.diag(plane @ np.linalg.pinv(plane.T @ information @ plane, hermitian=True) @ plane.T)
    wide = NormalDist().inv_cdf((1 + INTERVAL) / 2) * np.sqrt(np.maximum(variance, 0.0))
    return {
        key: (float(speeds.groups[key] * np.exp(-one)), float(speeds.groups[key] * np.exp(one)))
        for key, one in zip(keys, wide, strict=True)
    }


def _plane(speeds: "Speeds") -> np.ndarray:
    """Directions (factors, directions) in which factors can move without moving the mean of the months."""
    keys = list(speeds.groups)
    if "month 1" not in keys:
        return np.eye(len(keys))
    weight = dict(zip((f"month {m}" for m in MONTHS), DAYS_OF_MONTH, strict=True))
    normal = np.array([weight.get(key, 0.0) * speeds.groups[key] for key in keys])
    return np.linalg.svd(normal[None, :])[2][1:].T
