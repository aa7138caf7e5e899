"""Fits with covariates: what is known of customers besides their purchases moves purchase rates and dropout.

Fader & Hardie (2007), "Incorporating Time-Invariant Covariates into the Pareto/NBD and BG/NBD Models". With covariates z
the purchase rate is ``λ exp(γ₁'z)``, so ``α(z) = α exp(−γ₁'z)``; in Pareto/NBD the dropout rate is ``μ exp(γ₂'z)``, so
``β(z) = β exp(−γ₂'z)``. In BG/NBD the note lets a and b each depend on z by a log link, ``a exp(γ₂'z)`` and
``b exp(γ₃'z)``; here the two move together, so that the odds a/b of the mean dropout probability are multiplied by
``exp(γ'z)`` and a + b, how alike customers are, stays. That leaves one effect to read, and the data hardly know the other.

In the coordinates of the processes each of these is a shift: of log r/α, of log s/β, of logit a/(a+b). The likelihood is
the sum over patterns of the ordinary one, and its gradient follows.
"""

import json
import time
import zlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clvkit.covariate_levels import MOST_PATTERNS, PATTERN, Design
from clvkit.covariate_section import KNOWN
from clvkit.covariate_target import CovariateTarget, moved_by, sampled, spread
from clvkit.errors import FitError
from clvkit.fit import Fit
from clvkit.grouped import GroupedFit, every, histories_by
from clvkit.optimum import climb

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.clock import Clock
    from clvkit.models_section import ModelsSection


@dataclass(frozen=True)
class CovariateFit(GroupedFit):
    """A process whose purchase rate and dropout depend on covariates.

    Attributes
    ----------
    pooled : the fit of all customers together, which it refines.
    design : the covariates and their levels; ``patterns`` (G,) those that occur, ``customers_of`` (G,) in each.
    estimate : (k + coefficients,) coordinates at the reference, unit-free, and coefficients, at the maximum of the
        likelihood times the prior of the coefficients; that prior keeps a category in which nobody bought from running away.
    errors : (k + coefficients,) standard errors there, NaN where it is flat.
    log_likelihood : the likelihood alone, at that estimate, in the stated unit.
    prior_sd : of the normal priors of the coefficients, whose mean is 0.
    drawn : (chains, draws, k + coefficients) posterior, or None.
    """

    pooled: Fit
    design: Design
    patterns: tuple[str, ...]
    customers_of: np.ndarray
    estimate: np.ndarray
    errors: np.ndarray
    log_likelihood: float
    prior_sd: float
    seconds: float = 0.0
    drawn: np.ndarray | None = None
    diagnostics: dict = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What tells this fit from the others of a study."""
        return with_covariates(self.process)

    @property
    def keyed_by(self) -> tuple[str, ...]:
        """The columns that say whose parameters a row's are."""
        return (PATTERN,)

    @property
    def label(self) -> str:
        """The fit as readers know it."""
        return f"{self.model.label} with covariates"

    @property
    def method(self) -> str:
        """``mle`` without a posterior, else ``laplace``."""
        return "mle" if self.drawn is None else "laplace"

    @cached_property
    def mle(self) -> np.ndarray:
        """Parameters of each pattern at the estimate: (G, k)."""
        return self._parameters(self.estimate)

    @cached_property
    def draws(self) -> np.ndarray | None:
        """Posterior parameters of each pattern, (chains, draws, G, k), or None."""
        return None if self.drawn is None else self._parameters(self.drawn)

    @cached_property
    def flat(self) -> np.ndarray:
        """Posterior draws as (chains · draws, G, k); the estimate alone where there is no posterior."""
        return self._parameters(self._flat)

    @property
    def _flat(self) -> np.ndarray:
        """Coordinates and coefficients of all draws, (draws, k + coefficients)."""
        return self.estimate[None] if self.drawn is None else self.drawn.reshape(-1, len(self.estimate))

    def _parameters(self, at: np.ndarray) -> np.ndarray:
        matrix, moved = self.design.matrix(self.patterns), moved_by(self.design, self.model)
        return self.model.in_unit(self.model.from_coordinates(spread(at, matrix, moved)), self.pooled.scale)

    def aic_bic(self) -> tuple[float, float]:
        """Akaike's and Schwarz's criteria, coefficients counted as parameters."""
        k = len(self.estimate)
        return 2 * k - 2 * self.log_likelihood, k * np.log(self.customers) - 2 * self.log_likelihood

    def posterior(self, count: int) -> np.ndarray:
        """At most ``count`` draws, evenly spaced: (count, G, k)."""
        return self._parameters(self._flat[every(len(self._flat), count)])

    def wider_prior_weights(self, count: int) -> np.ndarray:
        """Weights of the draws of `posterior` under priors twice as wide, of parameters and of coefficients."""
        if self.drawn is None:
            return np.ones(1)
        mean, sd = _priors(self.pooled, self.prior_sd, len(self.design.effects))
        score = (self._flat[every(len(self._flat), count)] - mean) / sd
        logs = 0.375 * np.sum(score**2, axis=1)
        return np.exp(logs - logs.max())

    def group_of(self, rows: "pd.DataFrame") -> np.ndarray:
        """The place of each row's pattern among ``patterns``: (rows,).

        Raises
        ------
        FitError : rows without patterns, or with one that the fit has not seen.
        """
        if PATTERN not in rows:
            raise FitError(
                f"{self.label} needs to know the covariates of the customers",
                place="models.covariates",
                fix=f"give rows with a column {PATTERN}, as cells of this study have",
            )
        places = {name: place for place, name in enumerate(self.patterns)}
        named = rows[PATTERN].astype(str)
        if unknown := sorted(set(named) - set(places)):
            raise FitError(
                f"{self.label} has seen no customer with {self.design.words(unknown[0])}",
                fix="fit it to data that have customers of every pattern",
            )
        return named.map(places).to_numpy(np.int64)

    def effects(self, interval: float = 0.9) -> "pd.DataFrame":
        """What each step of a covariate multiplies.

        Returns ``covariate, step, on`` (rate or dropout), ``mle``, and of the posterior ``value, low, high`` (NaN without
        one) and ``differs``, whether the interval leaves 1 out. On dropout it is the dropout rate that is multiplied in
        Pareto/NBD, and the odds of the mean dropout probability in BG/NBD and MBG/NBD.
        """
        import pandas as pd

        k = len(self.estimate) - len(self.design.effects)
        rows, tail = [], (1 - interval) / 2
        for place, (on, covariate, step) in enumerate(self.design.effects):
            row = {"covariate": self.design.covariates[covariate].name, "step": step, "on": on}
            row["mle"] = float(np.exp(self.estimate[k + place]))
            value = low = high = np.nan
            if self.drawn is not None:
                many = np.exp(self._flat[:, k + place])
                value, (low, high) = many.mean(), np.quantile(many, [tail, 1 - tail])
            row |= {"value": float(value), "low": float(low), "high": float(high)}
            rows.append(row | {"differs": bool(low > 1 or high < 1)})
        return pd.DataFrame(rows)

    def to_json(self, interval: float = 0.9) -> dict:
        """The fit as ``results.json`` holds it: the effects, and the parameters at each pattern."""
        effects = self.effects(interval).drop(columns="differs")
        effects = effects.astype(object).where(effects.notna(), None).to_dict("records")
        by = {
            self.design.words(name): {"customers": int(n)}
            | dict(zip(self.parameters, map(float, one), strict=True))
            for name, n, one in zip(self.patterns, self.customers_of, self.mle, strict=True)
        }
        blank = {"r_hat_max": None, "ess_min": None, "divergences": None, "pareto_k": None}
        return {
            "effects": effects,
            "by_pattern": by,
            "levels": [one.rule for one in self.design.covariates],
            "prior_sd": self.prior_sd,
            "log_likelihood": self.log_likelihood,
            "customers": self.customers,
            "method": self.method,
            "unit_days": self.unit_days,
            "seconds": self.seconds,
            "diagnostics": blank | self.diagnostics,
        }

    def save(self, folder: Path) -> None:
        """Write the estimates as JSON and the posterior as NetCDF."""
        self.pooled.save(folder / "pooled")
        made = {name: getattr(self, name).tolist() for name in ("customers_of", "estimate")}
        made |= {name: getattr(self, name) for name in ("patterns", "log_likelihood", "prior_sd", "seconds")}
        made |= {"errors": [float(v) if np.isfinite(v) else None for v in self.errors]}
        made |= {"diagnostics": self.diagnostics, "design": self.design.to_json()}
        (folder / "covariates.json").write_text(json.dumps(made), encoding="utf-8")
        if self.drawn is not None:
            import xarray as xr

            named = {"drawn": (("chain", "draw", "coordinate"), self.drawn)}
            xr.Dataset(named).to_netcdf(folder / "posterior.nc", engine="scipy")

    @classmethod
    def load(cls, folder: Path) -> "CovariateFit":
        """Read what `save` wrote."""
        made = json.loads((folder / "covariates.json").read_text(encoding="utf-8"))
        made |= {name: np.array(made[name]) for name in ("customers_of", "estimate")}
        made["errors"] = np.array([np.nan if v is None else v for v in made["errors"]])
        made |= {"patterns": tuple(made["patterns"]), "design": Design.from_json(made["design"])}
        fit = cls(Fit.load(folder / "pooled"), **made)
        if not (folder / "posterior.nc").exists():
            return fit
        import xarray as xr

        with xr.open_dataset(folder / "posterior.nc", engine="scipy") as posterior:
            return replace(fit, drawn=posterior["drawn"].values)


def with_covariates(process: str) -> str:
    """Name of the fit with covariates of a process."""
    return f"{process}_with_covariates"


def _priors(pooled: Fit, prior_sd: float, coefficients: int) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of the priors of coordinates and coefficients, two arrays."""
    mean, sd = (np.array([getattr(p, name) for p in pooled.priors.values()]) for name in ("mean", "sd"))
    return np.append(mean, np.zeros(coefficients)), np.append(sd, np.full(coefficients, prior_sd))


def fit_process_with_covariates(
    process: str,
    cells: "pd.DataFrame",
    design: Design,
    section: "ModelsSection",
    *,
    prior_sd: float = 0.5,
    sample: bool | None = None,
    days_per_year: float = 365.25,
    clock: "Clock | None" = None,
    repeats: "pd.DataFrame | None" = None,
) -> CovariateFit:
    """Fit a purchase process with covariates.

    Parameters
    ----------
    process : bgnbd, mbgnbd or paretonbd.
    cells, clock, repeats : as `clvkit.fitting.fit_process` takes them, cells with ``pattern``.
    prior_sd : of the normal prior of each coefficient, per category or per standard deviation.
    sample : whether to draw a posterior; default: whether ``section.sampled`` names the process. Where importance
        sampling cannot be trusted, the diagnostics say so and the fit has none.

    Raises
    ------
    FitError : another process, nobody to compare with, too many patterns, or nothing to learn from.
    """
    from clvkit.fitting import fit_process

    _require_comparable(process, cells, design)
    began = time.perf_counter()
    timed = {"days_per_year": days_per_year, "clock": clock, "repeats": repeats}
    pooled = fit_process(process, cells, section, sample=False, **timed)
    scale = pooled.scale * pooled.unit_days
    model = pooled.model if clock is None else pooled.model.on_clock(*clock.past(scale))
    targets, patterns, customers = [], [], []
    for name, columns, count in histories_by(cells, cells[PATTERN].astype(str), pooled, clock):
        targets.append(model.target(*model.prepare(*columns), None))
        patterns.append(name)
        customers.append(count)
    steps, moved = design.matrix(patterns), moved_by(design, model)
    mean, sd = _priors(pooled, prior_sd, len(moved))
    k = len(mean) - len(moved)
    flat = CovariateTarget(targets, steps, moved, mean, np.append(np.full(k, np.inf), sd[k:]))
    start = np.append(pooled.coordinates(pooled.mle[None])[0], np.zeros(len(moved)))
    peak = climb(flat, start)
    gain = 0.0 if clock is None or repeats is None else clock.log_speed(repeats["day"], repeats["repeat"])
    densities = float((cells["frequency"] * cells["n"]).sum())
    fit = CovariateFit(
        replace(pooled, draws=None, method="mle", diagnostics={}),
        design,
        tuple(patterns),
        np.array(customers),
        peak.eta,
        np.sqrt(np.diag(peak.covariance())),
        flat.log_likelihood(peak.eta) - densities * np.log(pooled.scale) + gain,
        prior_sd,
    )
    if process in section.sampled if sample is None else sample:
        seed = section.sampler.seed + zlib.crc32(fit.name.encode()) % 10_000
        drawn, diagnostics = sampled(replace(flat, sd=sd), peak.eta, seed)
        fit = replace(fit, drawn=drawn, diagnostics=diagnostics)
    return replace(fit, seconds=time.perf_counter() - began)


def _require_comparable(process: str, cells: "pd.DataFrame", design: Design) -> None:
    """Refuse what covariates cannot be fitted to."""
    if process not in KNOWN:
        raise FitError(
            f"covariates are known to {', '.join(KNOWN)} (got {process})",
            place="models.headline",
            fix="value with one of those, or leave models.covariates out",
        )
    if PATTERN not in cells:
        raise FitError(
            "the cells do not say which covariates their customers have",
            place="models.covariates",
            fix=f"give cells with a column {PATTERN}",
        )
    patterns = cells[PATTERN].nunique()
    if not 1 < patterns <= MOST_PATTERNS:
        raise FitError(
            f"covariates must part the customers into 2 to {MOST_PATTERNS} patterns (got {patterns})",
            place="models.covariates",
            fix="name a covariate that differs between customers"
            if patterns < 2
            else "name fewer covariates, or fewer bins",
        )
