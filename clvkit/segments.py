"""Fits by segment: parameters of each from a common distribution, so that thin segments lean on the rest.

The same processes and the same likelihood as a fit of all customers together; `clvkit.hierarchy` does the pooling.
"""

import json
import time
import zlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clvkit.errors import FitError
from clvkit.fit import Fit
from clvkit.grouped import GroupedFit, every, histories_by
from clvkit.hierarchy import Hyper, Pooled, each_of, estimate, sample
from clvkit.optimum import climb
from clvkit.processes.base import Model

if TYPE_CHECKING:
    from collections.abc import Collection

    import pandas as pd

    from clvkit.clock import Clock
    from clvkit.models_section import ModelsSection, SamplerSection

NOT_NAMED = "not named"
MOST_SWEEPS = 800  # per chain: for all but the spreads a sweep is nearly an independent draw


@dataclass(frozen=True)
class SegmentedFit(GroupedFit):
    """One model fitted by segment, with the parameters of each drawn towards those of all.

    Attributes
    ----------
    pooled : the fit of all customers together, which it refines.
    segments : names, in the order of every array; ``customers`` (G,) in each.
    mle : (G, k) estimates at the maximum of the marginal likelihood, in which the parameters of single segments are
        integrated out (Laplace); ``alone`` (G, k) those of each segment by itself, ``runs_away`` (G,) where that has none.
    centre, spread : (k,) mean and standard deviation over segments of the coordinates, at that maximum.
    draws : (chains, draws, G, k) posterior, or None; ``centre_draws`` and ``spread_draws`` (chains, draws, k).
    log_likelihood : the marginal one, in the stated unit; ``apart`` the sum of the segments' own.
    """

    pooled: Fit
    segments: tuple[str, ...]
    customers_of: np.ndarray
    mle: np.ndarray
    alone: np.ndarray
    runs_away: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    log_likelihood: float
    apart: float
    spread_scale: float
    seconds: float = 0.0
    draws: np.ndarray | None = None
    centre_draws: np.ndarray | None = None
    spread_draws: np.ndarray | None = None
    diagnostics: dict = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What tells this fit from the others of a study."""
        return by_segment(self.pooled.name)

    @property
    def keyed_by(self) -> tuple[str, ...]:
        """The columns that say whose parameters a row's are."""
        return ("segment",)

    @property
    def label(self) -> str:
        """The fit as readers know it."""
        return f"{self.model.label} by segment"

    @property
    def method(self) -> str:
        """``mle`` without a posterior, else ``gibbs``: sweeps over segments and hyperparameters."""
        return "mle" if self.draws is None else "gibbs"

    @cached_property
    def flat(self) -> np.ndarray:
        """Posterior draws as (chains · draws, G, k); the estimate alone where there is no posterior."""
        return self.mle[None] if self.draws is None else self.draws.reshape(-1, *self.draws.shape[-2:])

    def aic_bic(self) -> tuple[float, float]:
        """Akaike's and Schwarz's criteria of the marginal likelihood, whose parameters are the centre and the spread."""
        k = 2 * len(self.centre)
        return 2 * k - 2 * self.log_likelihood, k * np.log(self.customers) - 2 * self.log_likelihood

    def posterior(self, count: int) -> np.ndarray:
        """At most ``count`` draws, evenly spaced over chains and time: (count, G, k)."""
        return self.flat[every(len(self.flat), count)]

    def wider_prior_weights(self, count: int) -> np.ndarray:
        """Weights of the draws of `posterior` under priors twice as wide, of the centre and of the spread."""
        if self.draws is None:
            return np.ones(1)
        taken = every(len(self.flat), count)
        centre = self.centre_draws.reshape(-1, len(self.centre))[taken]
        spread = self.spread_draws.reshape(-1, len(self.centre))[taken]
        mean, sd = (
            np.array([getattr(p, name) for p in self.pooled.priors.values()]) for name in ("mean", "sd")
        )
        logs = 0.375 * (((centre - mean) / sd) ** 2 + (spread / self.spread_scale) ** 2).sum(axis=1)
        return np.exp(logs - logs.max())

    def group_of(self, rows: "pd.DataFrame") -> np.ndarray:
        """The place of each row's segment among ``segments``: (rows,).

        Raises
        ------
        FitError : a segment that the fit has not seen.
        """
        named = segment_names(rows)
        places = {name: place for place, name in enumerate(self.segments)}
        unknown = sorted(set(named) - set(places))
        if unknown:
            raise FitError(
                f"{self.model.label} by segment knows no segment {unknown[0]!r}; it was fitted to {', '.join(self.segments)}",
                fix="fit it to data that have customers of every segment",
            )
        return np.array([places[name] for name in named], np.int64)

    def to_json(self, interval: float = 0.9) -> dict:
        """The fit as ``results.json`` holds it: of every segment its customers and parameters."""
        tail, by = (1 - interval) / 2, {}
        for g, name in enumerate(self.segments):
            found = {}
            for k, parameter in enumerate(self.parameters):
                drawn = None if self.draws is None else self.flat[:, g, k]
                low, high = (
                    (None, None) if drawn is None else map(float, np.quantile(drawn, [tail, 1 - tail]))
                )
                mean = None if drawn is None else float(drawn.mean())
                found[parameter] = {"mle": float(self.mle[g, k]), "mean": mean, "low": low, "high": high}
            by[name] = {"customers": int(self.customers_of[g]), "parameters": found}
        return {"by_segment": by, "log_likelihood": self.log_likelihood, "customers": self.customers,
                "method": self.method, "unit_days": self.unit_days, "seconds": self.seconds,
                "diagnostics": {"r_hat_max": None, "ess_min": None, "divergences": None, "pareto_k": None} | self.diagnostics,
                }  # fmt: skip

    def save(self, folder: Path) -> None:
        """Write the estimates as JSON and the posterior as NetCDF."""
        self.pooled.save(folder / "pooled")
        arrays = ("customers_of", "mle", "alone", "runs_away", "centre", "spread")
        made = {name: getattr(self, name).tolist() for name in arrays}
        plain = ("segments", "log_likelihood", "apart", "spread_scale", "seconds", "diagnostics")
        made |= {name: getattr(self, name) for name in plain}
        (folder / "segments.json").write_text(json.dumps(made), encoding="utf-8")
        if self.draws is not None:
            import xarray as xr

            of_segments = ("chain", "draw", "segment")
            names = {name: (of_segments, self.draws[..., k]) for k, name in enumerate(self.parameters)}
            names |= {"centre": (("chain", "draw", "coordinate"), self.centre_draws),
                      "spread": (("chain", "draw", "coordinate"), self.spread_draws)}  # fmt: skip
            xr.Dataset(names).to_netcdf(folder / "posterior.nc", engine="scipy")

    @classmethod
    def load(cls, folder: Path) -> "SegmentedFit":
        """Read what `save` wrote."""
        made = json.loads((folder / "segments.json").read_text(encoding="utf-8"))
        for name in ("customers_of", "mle", "alone", "runs_away", "centre", "spread"):
            made[name] = np.array(made[name])
        made["segments"] = tuple(made["segments"])
        fit = cls(Fit.load(folder / "pooled"), **made)
        if not (folder / "posterior.nc").exists():
            return fit
        import xarray as xr

        with xr.open_dataset(folder / "posterior.nc", engine="scipy") as posterior:
            draws = np.stack([posterior[name].values for name in fit.parameters], axis=-1)
            centre, spread = posterior["centre"].values, posterior["spread"].values
        return replace(fit, draws=draws, centre_draws=centre, spread_draws=spread)


def by_segment(process: str) -> str:
    """Name of the fit by segment of a process."""
    return f"{process}_by_segment"


def segment_names(rows: "pd.DataFrame") -> "pd.Series":
    """The segment of each row as text; customers without one are ``not named``."""
    return rows["segment"].fillna(NOT_NAMED).astype(str)


def fit_process_by_segment(
    process: str,
    cells: "pd.DataFrame",
    section: "ModelsSection",
    *,
    sample: bool | None = None,
    days_per_year: float = 365.25,
    clock: "Clock | None" = None,
    repeats: "pd.DataFrame | None" = None,
    gaps: "pd.DataFrame | None" = None,
    known: "Collection[str]" = (),
) -> SegmentedFit:
    """Fit a purchase process by segment, with partial pooling.

    Parameters
    ----------
    cells, clock, repeats, gaps : as `clvkit.fitting.fit_process` takes them, cells with ``segment``. All segments have
        the k of MBG/CNBD-k that all customers together have.
    sample : whether to draw a posterior; default: whether ``section.sampled`` names the process.
    known : further segments, without a customer to learn from, such as one that lies wholly in a burn-in: they have the
        parameters that segments have in general, and of these as much uncertainty as segments differ.

    Raises
    ------
    FitError : fewer than two segments, or nothing to learn from.
    """
    from clvkit.fitting import fit_process

    timed = {"days_per_year": days_per_year, "clock": clock, "repeats": repeats}
    pooled = fit_process(process, cells, section, sample=False, gaps=gaps, **timed)
    k = getattr(pooled.model, "k", 1)
    scale = pooled.scale * pooled.unit_days
    model = pooled.model if clock is None else pooled.model.on_clock(*clock.past(scale))
    packed = {
        name: (*model.prepare(*columns), customers)
        for name, columns, customers in histories_by(cells, segment_names(cells), pooled, clock)
    }
    gain = 0.0 if clock is None or repeats is None else clock.log_speed(repeats["day"], repeats["repeat"])
    if k > 1:
        from clvkit.rhythm_fit import gap_log_density

        gain += np.nan if gaps is None else gap_log_density(gaps, k, pooled.unit_days)
    return _fit_packed(
        pooled,
        packed,
        section,
        model=model,
        gain=gain,
        densities=0.0 if pooled.model.discrete else k * float((cells["frequency"] * cells["n"]).sum()),
        sample_it=process in section.sampled if sample is None else sample,
        unseen=tuple(sorted(set(known) - set(packed))),
    )


def fit_spend_by_segment(
    spend_cells: "pd.DataFrame",
    section: "ModelsSection",
    minor_per_unit: float,
    *,
    model: str = "gammagamma",
    sample: bool | None = None,
) -> SegmentedFit:
    """Fit a model of spend by segment, with partial pooling.

    ``spend_cells`` are as `clvkit.fitting.fit_spend` takes them, with ``segment``; `customers.score_cells` are such cells.
    A segment without a repeat customer has the parameters that segments have in general.
    """
    from clvkit.fitting import fit_spend

    pooled = fit_spend(spend_cells, section, minor_per_unit, model=model, sample=False)
    packed = {}
    for name, part in spend_cells.groupby(segment_names(spend_cells)):
        used = part[(part["frequency"] > 0) & (part["spend_minor"] > 0)]
        one = used.groupby(["frequency", "spend_minor"], as_index=False)["n"].sum()
        spend = one["spend_minor"].to_numpy(float) / minor_per_unit / pooled.scale
        columns = one["frequency"].to_numpy(float), spend, one["n"].to_numpy(float)
        packed[str(name)] = *pooled.model.prepare(*columns), int(one["n"].sum())
    return _fit_packed(
        pooled,
        packed,
        section,
        densities=float(sum(count for _, _, count in packed.values())),
        sample_it="gammagamma" in section.sampled if sample is None else sample,
    )


def _fit_packed(
    pooled: Fit,
    packed: "dict[str, tuple[np.ndarray, np.ndarray, int]]",
    section: "ModelsSection",
    *,
    densities: float,
    sample_it: bool,
    model: Model | None = None,
    gain: float = 0.0,
    unseen: tuple[str, ...] = (),
) -> SegmentedFit:
    """Fit a model by segment around the fit of all.

    Parameters
    ----------
    pooled : the fit of all customers; its scale, unit and priors are the segments', too.
    packed : per segment, the cells as `Model.prepare` packs them, in multiples of ``pooled.scale``, and its customers.
    densities : times (or amounts) whose densities the likelihood multiplies, for stating it in the unit of the fit.
    model : the likelihood of the packed cells, where it is not that of the fit of all; ``gain`` is added to it.
    unseen : segments of nobody.
    """
    began, model = time.perf_counter(), model or pooled.model
    if len(packed) < 2:
        raise FitError(
            f"{model.label} by segment needs two segments or more (got {len(packed)})",
            place="models.segments",
            fix="name a column of segments in the ledger, or set models.segments to ignore",
        )
    start = pooled.coordinates(pooled.mle[None])[0]
    targets = [model.target(F, whole, None) for F, whole, _ in packed.values()]
    targets += [model.target(np.empty(0), np.empty(0, np.int64), None)] * len(unseen)
    found = estimate(targets, start)
    peaks = each_of(targets, climb, found.eta)
    customers = np.array([count for _, _, count in packed.values()] + [0] * len(unseen))
    restate = lambda eta: model.in_unit(model.from_coordinates(eta), pooled.scale)  # noqa: E731
    shift = densities * np.log(pooled.scale) - gain
    fit = SegmentedFit(
        replace(pooled, draws=None, method="mle", diagnostics={}),
        (*packed, *unseen),
        customers,
        restate(found.eta),
        restate(np.array([peak.eta for peak in peaks])),
        np.array([bool(peak.at_bound.any()) for peak in peaks]) | (customers == 0),
        found.centre,
        found.spread,
        found.log_likelihood - shift,
        sum(peak.value for peak in peaks) - shift,
        section.segment_spread,
    )
    if not sample_it:
        return replace(fit, seconds=time.perf_counter() - began)
    drawn, diagnostics = _sampled(targets, start, pooled, section.sampler, section.segment_spread)
    return replace(
        fit,
        draws=restate(drawn.eta),
        centre_draws=drawn.centre,
        spread_draws=drawn.spread,
        diagnostics=diagnostics,
        seconds=time.perf_counter() - began,
    )


def _sampled(targets, start, pooled: Fit, settings: "SamplerSection", spread: float):
    from clvkit.sampling import diagnose

    mean, sd = (np.array([getattr(p, name) for p in pooled.priors.values()]) for name in ("mean", "sd"))
    hyper = Hyper(mean, sd, np.full(len(mean), spread))
    found: Pooled = estimate(targets, start, hyper)
    drawn = sample(
        targets,
        found,
        hyper,
        draws=min(settings.draws, MOST_SWEEPS),
        tune=max(50, min(settings.tune, MOST_SWEEPS) // 5),
        chains=settings.chains,
        seed=settings.seed + zlib.crc32(pooled.process.encode()) % 10_000,
    )
    every = [drawn.eta.reshape(*drawn.eta.shape[:2], -1), drawn.centre, np.log(drawn.spread)]
    judged = diagnose(np.concatenate(every, axis=-1))
    moves = {
        "accepted_groups": drawn.accepted_groups,
        "accepted_hyper": drawn.accepted_hyper,
        "accepted_centre": drawn.accepted_centre,
    }
    return drawn, judged | moves
