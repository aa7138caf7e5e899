"""A fit: a model with its estimates, the posterior over its parameters, and how it was found."""

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clvkit.clock import Clock
from clvkit.processes.base import Model, Prior

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Fit:
    """Parameters of one model fitted to one set of cells.

    Attributes
    ----------
    process : name of the model, such as ``paretonbd``; ``model`` is the model itself.
    unit_days : days in the unit of time that parameters are stated in (1 for a spend model).
    mle, se : (k,) maximum-likelihood estimates and their standard errors (NaN where the likelihood is flat).
    log_likelihood : at ``mle``, in the stated unit.
    gradient_norm : largest |d LL / d log parameter| at ``mle``, per customer.
    draws : (chains, draws, k) posterior, or None where only maximum likelihood was asked for.
    method : ``mle``, ``nuts`` or ``laplace`` (importance sampling around the mode).
    diagnostics : ``r_hat_max``, ``ess_min`` (bulk and tail), ``divergences``, ``pareto_k``.
    scale : the unit-free scale of the priors: median age (or median mean spend), in the stated unit.
    at_bound : coordinates that maximum likelihood drove to the bound of the search: the data do not limit them.
    starts_agreeing : how many of the starting points led to the maximum.
    observed : of a spend model, in major units: ``mean_spend``, the mean over repeat customers of their average
        amount per purchase, and ``largest_spend``, the largest of those averages; and ``log_frequency``, the mean of
        log(1 + x) over them, weighted with those averages. Empty for a process.
    clock : of purchases, that the process was fitted on; None: the calendar.
    plain : whether the study has a calendar that acts, and this fit was made without it, to be compared with.
    """

    process: str
    unit_days: float
    mle: np.ndarray
    se: np.ndarray
    log_likelihood: float
    gradient_norm: float
    customers: int
    cells: int
    scale: float
    priors: dict[str, Prior]
    seconds: float = 0.0
    method: str = "mle"
    draws: np.ndarray | None = None
    diagnostics: dict = field(default_factory=dict)
    at_bound: tuple[str, ...] = ()
    starts_agreeing: int = 0
    observed: dict[str, float] = field(default_factory=dict)
    clock: Clock | None = None
    plain: bool = False

    @cached_property
    def model(self) -> Model:
        """The model that was fitted."""
        from clvkit import processes

        return processes.get(self.process)

    @property
    def name(self) -> str:
        """What tells this fit from the others of a study: its process, by the name that the study calls it."""
        base = self.process.partition("-")[0]  # a study has one MBG/CNBD-k, whichever k its data choose
        return without_calendar(base) if self.plain else base

    @property
    def label(self) -> str:
        """The fit as readers know it."""
        return f"{self.model.label} without the calendar" if self.plain else self.model.label

    @property
    def keyed_by(self) -> tuple[str, ...]:
        """The columns that say whose parameters a row's are: none."""
        return ()

    def group_of(self, rows: "pd.DataFrame") -> None:
        """None: all customers share one set of parameters (a fit by segment says whose each row's are)."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters, in the order of every array."""
        return self.model.parameters

    @cached_property
    def flat(self) -> np.ndarray:
        """Posterior draws as (chains · draws, k); the estimate alone, (1, k), where there is no posterior."""
        return self.mle[None] if self.draws is None else self.draws.reshape(-1, self.draws.shape[-1])

    def posterior(self, count: int) -> np.ndarray:
        """At most ``count`` draws, evenly spaced over chains and time; (1, k) without a posterior."""
        every = np.linspace(0, len(self.flat) - 1, min(count, len(self.flat))).round().astype(int)
        return self.flat[every]

    def wider_prior_weights(self, count: int) -> np.ndarray:
        """Weights (count,) that turn the draws of `posterior` into those under priors twice as wide."""
        draws = self.posterior(count)
        if self.draws is None:
            return np.ones(len(draws))
        mean, sd = (np.array([getattr(p, name) for p in self.priors.values()]) for name in ("mean", "sd"))
        score = (self.coordinates(draws) - mean) / sd
        logs = 0.375 * np.sum(score**2, axis=1)  # log N(2 sd) − log N(sd), but for a constant
        return np.exp(logs - logs.max())

    def coordinates(self, parameters: np.ndarray | None = None) -> np.ndarray:
        """Posterior draws (or ``parameters``) on the unit-free coordinates of the priors."""
        values = self.flat if parameters is None else parameters
        return self.model.coordinates(self.model.in_unit(values, 1 / self.scale))

    def aic_bic(self) -> tuple[float, float]:
        """Akaike's and Schwarz's criteria at the maximum-likelihood estimate."""
        k = len(self.mle)
        return 2 * k - 2 * self.log_likelihood, k * np.log(self.customers) - 2 * self.log_likelihood

    def to_json(self, interval: float = 0.9) -> dict:
        """The fit as ``results.json`` holds it under ``fits``; ``low`` and ``high`` at ``interval``."""
        tail = (1 - interval) / 2
        parameters = {}
        for k, name in enumerate(self.parameters):
            entry = {
                "mle": float(self.mle[k]),
                "se": _finite(self.se[k]),
                "mean": None,
                "low": None,
                "high": None,
            }
            if self.draws is not None:
                low, high = np.quantile(self.flat[:, k], [tail, 1 - tail])
                entry |= {"mean": float(self.flat[:, k].mean()), "low": float(low), "high": float(high)}
            parameters[name] = entry
        blank = {"r_hat_max": None, "ess_min": None, "divergences": None, "pareto_k": None}
        return {
            "parameters": parameters,
            "log_likelihood": self.log_likelihood,
            "customers": self.customers,
            "cells": self.cells,
            "method": self.method,
            "diagnostics": blank | self.diagnostics,
            "unit_days": self.unit_days,
            "seconds": self.seconds,
        }

    def save(self, folder: Path) -> None:
        """Write the estimates as JSON and the posterior as NetCDF, one variable (chain, draw) a parameter."""
        folder.mkdir(parents=True, exist_ok=True)
        made = {
            name: getattr(self, name)
            for name in (
                "process",
                "unit_days",
                "log_likelihood",
                "gradient_norm",
                "customers",
                "cells",
                "scale",
                "seconds",
                "method",
                "diagnostics",
                "at_bound",
                "starts_agreeing",
                "observed",
                "plain",
            )
        }
        made |= {"mle": self.mle.tolist(), "se": [_finite(v) for v in self.se]}
        made["priors"] = {name: [p.mean, p.sd, p.meaning] for name, p in self.priors.items()}
        made["clock"] = None if self.clock is None else self.clock.to_json()
        (folder / "fit.json").write_text(json.dumps(made), encoding="utf-8")
        if self.draws is not None:
            import xarray as xr

            names = {name: (("chain", "draw"), self.draws[..., k]) for k, name in enumerate(self.parameters)}
            xr.Dataset(names).to_netcdf(folder / "posterior.nc", engine="scipy")

    @classmethod
    def load(cls, folder: Path) -> "Fit":
        """Read what `save` wrote."""
        made = json.loads((folder / "fit.json").read_text(encoding="utf-8"))
        made["priors"] = {name: Prior(*values) for name, values in made["priors"].items()}
        made["mle"], made["at_bound"] = np.array(made["mle"]), tuple(made["at_bound"])
        made["se"] = np.array([np.nan if v is None else v for v in made["se"]])
        made["clock"] = Clock.from_json(made["clock"]) if made.get("clock") else None
        fit = cls(**made)
        if not (folder / "posterior.nc").exists():
            return fit
        import xarray as xr

        with xr.open_dataset(folder / "posterior.nc", engine="scipy") as posterior:
            draws = np.stack([posterior[name].values for name in fit.parameters], axis=-1)
        return replace(fit, draws=draws)


def without_calendar(process: str) -> str:
    """Name of the fit of a process without the calendar of its study."""
    return f"{process}_without_calendar"


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
