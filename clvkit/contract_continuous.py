"""Contracts that may end on any day: one lifetime distribution for all, in the place of models of renewals.

Time is counted in days, and a day is to such a contract what a period is to one that renews: what it has been running for is
known, and so is what the days to come bring, a fee being spread evenly over its period. The distribution is the one of
`clvkit.parametric_survival` with the lowest AIC; its parameters are drawn from the normal distribution that maximum likelihood
has in the limit.
"""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clvkit.parametric_survival import FAMILIES, LABELS, ParametricFit, fit_parametric
from clvkit.residual_life import parametric_residual

if TYPE_CHECKING:
    from clvkit.contracts import Contracts
    from clvkit.contracts_section import ContractsSection

SEED = 20240117


@dataclass(frozen=True)
class _Times:
    """A fit whose hazard from now on is multiplied; of log S only differences to the present are ever asked for."""

    of: ParametricFit
    hazard: float

    @property
    def estimates(self) -> np.ndarray:
        return self.of.estimates

    def log_survival(self, t, x, at) -> np.ndarray:
        return self.hazard * self.of.log_survival(t, x, at)


@dataclass(frozen=True)
class Days:
    """A lifetime distribution where a model of renewals is asked for: a renewal is a day."""

    fit: ParametricFit
    days_per_year: float

    @property
    def label(self) -> str:
        """The distribution as readers know it."""
        return f"{LABELS[self.fit.family]} lifetime"

    def derl(self, draws, days, discount_per_day, horizon=np.inf, hazard=1.0) -> np.ndarray:
        """Expected days to come within ``horizon`` days, discounted: (draws, contracts), of contracts that ran for ``days``."""
        rate = (1 + discount_per_day) ** self.days_per_year - 1
        found = parametric_residual(
            _Times(self.fit, hazard), np.asarray(days, float), rate, float(horizon), draws=draws,
            days_per_year=self.days_per_year,
        )  # fmt: skip
        return found.discounted


@dataclass(frozen=True)
class ContinuousFits:
    """The lifetime distribution of all contracts of a study; ``aic`` of each that was tried, by name."""

    fit: ParametricFit
    aic: dict[str, float]
    days_per_year: float
    column: None = None
    daily: bool = True

    @property
    def model(self) -> Days:
        """The distribution as a model of days."""
        return Days(self.fit, self.days_per_year)

    @property
    def label(self) -> str:
        """The distribution as readers know it."""
        return self.model.label

    def of(self, months: int, segment: str | None = None, *, plain: bool = False) -> "ContinuousFits":
        """The fit, which all contracts share."""
        return self

    def posterior(self, count: int) -> np.ndarray:
        """(count, parameters) drawn around the estimates."""
        return self.fit.draws(count, SEED)

    def save(self, folder: Path) -> None:
        """Write it as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        one = self.fit
        made = {"family": one.family, "names": one.names, "estimates": one.estimates.tolist(), "covariance": one.covariance.tolist(),
                "log_likelihood": one.log_likelihood, "relations": one.relations}  # fmt: skip
        said = {"fit": made, "aic": self.aic, "days_per_year": self.days_per_year}
        (folder / "lifetime.json").write_text(json.dumps(said), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "ContinuousFits":
        """Read what `save` wrote."""
        said = json.loads((folder / "lifetime.json").read_text(encoding="utf-8"))
        made = said["fit"]
        arrays = {name: np.array(made.pop(name)) for name in ("estimates", "covariance")}
        fit = ParametricFit(**made | arrays | {"names": tuple(made["names"])})
        return cls(fit, said["aic"], said["days_per_year"])


def fit_continuous(
    held: "Contracts", section: "ContractsSection", as_of: date, days_per_year: float
) -> ContinuousFits:
    """Fit every distribution to the days that relations lasted, and take the one with the lowest AIC.

    Raises
    ------
    FitError : nobody ended.
    """
    import pandas as pd

    rows, known = held.relations, pd.Timestamp(as_of) + pd.Timedelta(days=section.notice_days)
    leaves = rows["ended"] | (rows["announced"] < known)
    last = rows["end"].fillna(rows["announced"].where(leaves)).fillna(known - pd.Timedelta(days=1))
    until = (last - rows["start"]).dt.days + 1
    entry = pd.Series(0, index=rows.index)
    if section.observed_from is not None:
        entry = (pd.Timestamp(section.observed_from) - rows["start"]).dt.days.clip(lower=0)
    alike = (
        pd.DataFrame({"entry": entry, "until": until, "ended": leaves}).value_counts().reset_index(name="n")
    )
    alike = alike.sort_values(["entry", "until", "ended"])
    columns = [alike[name].to_numpy() for name in ("entry", "until", "ended")]
    fits = [fit_parametric(family, *columns, n=alike["n"].to_numpy(float)) for family in FAMILIES]
    best = min(fits, key=lambda one: one.aic)
    return ContinuousFits(best, {one.family: float(one.aic) for one in fits}, days_per_year)
