"""A value by cohort, without single customers: what cohorts brought at each age on average, drawn on into the future.

The mean repeat revenue of a customer at age a, over all cohorts that have reached it, is fitted by A·(1 + a/B)^−S: the rate at
which a customer of gamma-distributed purchase and dropout rates is expected to buy (Pareto/NBD has that form). Every cohort is
expected to follow the curve from its own age on. What single customers did since plays no part, so that a cohort that went
well is worth no more than one that went badly.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clvkit.errors import FitError

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.value import Terms

#: Length of a period in days; months and quarters are means.
DAYS = {"day": 1.0, "week": 7.0, "month": 30.4375, "quarter": 91.3125}
LEAST_AGES = 4
_STEPS = 2000


@dataclass(frozen=True)
class CohortCurve:
    """Repeat revenue of a customer acquired, in minor units a period, by age in periods: ``level·(1 + age/scale)^−power``."""

    level: float
    scale: float
    power: float
    seen: "pd.DataFrame"

    def at(self, age) -> np.ndarray:
        """Revenue a period of a customer of this age."""
        return self.level * (1 + np.asarray(age, float) / self.scale) ** -self.power

    def ahead(self, age_days: np.ndarray, period_days: float, terms: "Terms") -> np.ndarray:
        """Discounted margin still to come of a customer of each age, (ages,) in minor units; the horizon is finite."""
        u = np.linspace(0, terms.horizon_days, _STEPS + 1)
        factor = np.exp(-terms.force(1.0) * u)
        rate = self.at((np.asarray(age_days, float)[:, None] + u) / period_days) / period_days
        return terms.margin * np.trapezoid(rate * factor, u, axis=1)


def cohort_curve(cells: "pd.DataFrame") -> CohortCurve:
    """Fit the curve to what cohorts brought at each age.

    Parameters
    ----------
    cells : of mature cells: ``age`` (whole periods), ``customers`` (acquired, of whom anybody could have bought), ``repeat_minor``.

    Raises
    ------
    FitError : fewer than `LEAST_AGES` ages after the first period have been reached, or nothing came back.
    """
    from scipy.optimize import least_squares

    seen = cells[cells["age"] >= 1].groupby("age")[["customers", "repeat_minor"]].sum()
    seen = seen[seen["customers"] > 0]
    if len(seen) < LEAST_AGES or seen["repeat_minor"].sum() <= 0:
        raise FitError(
            f"a curve of cohorts needs {LEAST_AGES} ages with repeat purchases (got {len(seen)})",
            fix="choose a finer cohorts.grain, or wait",
        )
    age, mean = seen.index.to_numpy(float), (seen["repeat_minor"] / seen["customers"]).to_numpy()
    weight = np.sqrt(seen["customers"].to_numpy(float) / seen["customers"].sum())
    typical = float(np.average(mean, weights=weight**2))

    def off(at):
        level, scale, power = np.exp(at)
        return weight * (level * (1 + age / scale) ** -power - mean) / typical

    starts = [
        (math.log(typical), math.log(scale), math.log(power)) for scale in (1.0, 10.0) for power in (0.3, 1.0)
    ]
    bounds = (
        [math.log(typical) - 7, math.log(0.2), math.log(1e-3)],
        [math.log(typical) + 7, math.log(1e3), math.log(20)],
    )
    best = min((least_squares(off, start, bounds=bounds) for start in starts), key=lambda one: one.cost)
    level, scale, power = np.exp(best.x).tolist()
    return CohortCurve(level, scale, power, seen.assign(mean_minor=mean).reset_index())
