"""Fitting: cells and a process make a fit, by maximum likelihood and by posterior sampling."""

import time
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from clvkit.errors import FitError, StudyError
from clvkit.optimum import climb, log_standard_errors, whiten
from clvkit.rules import RuleBroken, did_you_mean, listed
from clvkit.section import Section

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.fit import Fit
    from clvkit.processes.base import Prior

CountProcess = Literal["bgnbd", "mbgnbd", "paretonbd"]
AnyProcess = Literal["bgnbd", "mbgnbd", "paretonbd", "gammagamma"]
TimeUnit = Literal["day", "week", "month", "year"]


class SamplerSection(Section):
    """How posteriors are sampled."""

    draws: int = Field(1000, ge=100, description="Posterior draws kept per chain.")
    tune: int = Field(1000, ge=100, description="Tuning steps per chain, discarded.")
    chains: int = Field(4, ge=2, description="Independent chains; convergence is judged by comparing them.")
    target_accept: float = Field(
        0.9,
        gt=0.5,
        lt=1,
        description=(
            "Acceptance rate the step size is tuned to; raise it towards 1 when divergences are reported."
        ),
    )
    seed: int = Field(20240117, ge=0, description="Seed of every random draw of the run.")


class PriorSpec(Section):
    """A normal prior on the unit-free scale that the fit runs in."""

    mean: float = Field(description="Mean of the prior, on its unit-free scale.")
    sd: float = Field(gt=0, description="Standard deviation of the prior, on its unit-free scale.")


class ModelsSection(Section):
    """Which purchase processes are fitted, and how."""

    processes: tuple[CountProcess, ...] = Field(
        ("bgnbd", "mbgnbd", "paretonbd"),
        min_length=1,
        description=(
            "Purchase processes to fit side by side: bgnbd (BG/NBD), mbgnbd (MBG/NBD), "
            "paretonbd (Pareto/NBD)."
        ),
    )
    headline: CountProcess = Field(
        "paretonbd", description=("Process that the headline value is computed with; one of `processes`.")
    )
    sampled: tuple[AnyProcess, ...] = Field(
        ("paretonbd", "gammagamma"),
        description=(
            "Processes that get a sampled posterior, hence intervals; the others are fitted by maximum "
            "likelihood alone. gammagamma is the model of spend per purchase."
        ),
    )
    time_unit: TimeUnit = Field("week", description="Unit of time that fitted parameters are stated in.")
    priors: dict[AnyProcess, dict[str, PriorSpec]] = Field(
        default_factory=dict,
        description=("Priors that replace the defaults: process, then name of the prior, then mean and sd."),
    )
    sampler: SamplerSection = Field(default_factory=SamplerSection, description="Settings of the sampler.")

    @field_validator("processes", "sampled")
    @classmethod
    def _once_each(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in value if value.count(name) > 1})
        if twice:
            raise RuleBroken(f"must name each process once ({listed(twice)} is repeated)")
        return value

    @field_validator("headline")
    @classmethod
    def _headline_is_fitted(cls, value: str, info: ValidationInfo) -> str:
        fitted = info.data.get("processes")
        if fitted is not None and value not in fitted:
            raise RuleBroken(
                f"must be one of the processes fitted: {listed(fitted)}", did_you_mean(value, fitted)
            )
        return value

    @field_validator("sampled")
    @classmethod
    def _sampled_are_fitted(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        fitted = info.data.get("processes")
        for place, name in enumerate(value):
            if fitted is not None and name not in (*fitted, "gammagamma"):
                raise RuleBroken(
                    f"must be one of the processes fitted ({listed(fitted)}) or gammagamma",
                    f"add {name} to models.processes",
                    at=place,
                )
        return value


def priors_of(name: str, section: ModelsSection) -> dict[str, "Prior"]:
    """The priors of a model: its own, with those that the study replaces."""
    from clvkit import processes
    from clvkit.processes.base import Prior

    model = processes.get(name)
    given = section.priors.get(name, {})
    unknown = sorted(set(given) - set(model.priors))
    if unknown:
        raise StudyError(
            f"models.priors.{name} has no prior called {unknown[0]!r}; "
            f"{did_you_mean(unknown[0], model.priors) or 'it has ' + listed(model.priors)}"
        )
    return {
        key: Prior(given[key].mean, given[key].sd, prior.meaning) if key in given else prior
        for key, prior in model.priors.items()
    }


def unit_days(section: ModelsSection, days_per_year: float = 365.25) -> float:
    """Days in the unit of time that parameters are stated in."""
    return {"day": 1.0, "week": 7.0, "month": days_per_year / 12, "year": days_per_year}[section.time_unit]


def fit_process(
    name: str,
    cells: "pd.DataFrame",
    section: ModelsSection,
    *,
    sample: bool | None = None,
    days_per_year: float = 365.25,
) -> "Fit":
    """Fit a purchase process to cells.

    Parameters
    ----------
    cells : columns ``frequency``, ``recency_days``, ``T_days`` and ``n``; order and grouping do not matter.
    sample : whether to draw a posterior; default: whether ``section.sampled`` names the process.

    Raises
    ------
    FitError : where no customer, or no repeat purchase, is there to learn from.
    """
    from clvkit import processes

    model, unit = processes.get(name), unit_days(section, days_per_year)
    order = ["frequency", "recency_days", "T_days"]
    merged = cells.groupby(order, as_index=False)["n"].sum().sort_values(order)
    x, n = merged["frequency"].to_numpy(np.int64), merged["n"].to_numpy(float)
    if n.sum() < 2 or not (x * n).sum():
        raise FitError(
            f"{model.label} cannot be fitted: {n.sum():,.0f} customers with {(x * n).sum():,.0f} repeat "
            "purchases hold nothing to learn from",
            fix="take a longer period or more customers",
        )
    age = merged["T_days"].to_numpy(float)
    scale = weighted_median(age, n)  # days; fits run in multiples of the median age
    scale = scale if scale > 0 else max(float(age.max()), 1.0)
    F, whole = model.prepare(x, merged["recency_days"].to_numpy(float) / scale, age / scale, n)
    return _fit(
        model,
        F,
        whole,
        priors_of(name, section),
        section,
        scale=scale / unit,
        densities=float((x * n).sum()),
        customers=int(n.sum()),
        cells=len(merged),
        unit=unit,
        sample=name in section.sampled if sample is None else sample,
    )


def fit_spend(
    spend_cells: "pd.DataFrame",
    section: ModelsSection,
    minor_per_unit: float,
    *,
    sample: bool | None = None,
) -> "Fit":
    """Fit Gamma-Gamma to spend cells: ``frequency``, ``spend_minor`` (their total) and ``n``.

    Customers whose repeat purchases total zero or less have no place in a model of positive amounts and are
    left out; the ledger's chapter counts them. Raises `FitError` where fewer than two customers remain.
    """
    from clvkit import processes

    model = processes.get("gammagamma")
    used = spend_cells[(spend_cells["frequency"] > 0) & (spend_cells["spend_minor"] > 0)]
    merged = used.groupby(["frequency", "spend_minor"], as_index=False)["n"].sum()
    if merged["n"].sum() < 2:
        raise FitError(
            f"{model.label} cannot be fitted: {int(merged['n'].sum())} customers with a positive "
            "repeat spend hold nothing to learn from",
            fix="take a longer period or more customers",
        )
    x, n = merged["frequency"].to_numpy(float), merged["n"].to_numpy(float)
    spend = merged["spend_minor"].to_numpy(float) / minor_per_unit
    scale = weighted_median(spend / x, n)
    F, whole = model.prepare(x, spend / scale, n)
    return _fit(
        model,
        F,
        whole,
        priors_of("gammagamma", section),
        section,
        scale=scale,
        densities=float(n.sum()),
        customers=int(n.sum()),
        cells=len(merged),
        unit=1.0,
        sample="gammagamma" in section.sampled if sample is None else sample,
    )


def weighted_median(values: np.ndarray, n: np.ndarray) -> float:
    """The median of ``values``, each counted ``n`` times (the lower one of two)."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(n[order]) >= n.sum() / 2
    return float(values[order][np.argmax(reached)])


def _fit(
    model, F, whole, priors, section, *, scale, densities, customers, cells, unit, sample
) -> "Fit":
    """Maximum likelihood from several starts, and NUTS where asked for, on unit-free cells."""
    from clvkit.fit import Fit
    from clvkit.sampling import diagnose, nuts, require_finite

    began = time.perf_counter()
    flat, posterior = model.target(F, whole, None), model.target(F, whole, priors)
    middle = np.array([prior.mean for prior in priors.values()])
    mode = climb(posterior, middle)
    best = max(
        (climb(flat, start) for start in (mode, middle, mode + 1.0, mode - 1.0)),
        key=lambda eta: flat.value_and_gradient(eta)[0],
    )
    value, gradient = flat.value_and_gradient(best)
    unit_free = model.from_coordinates(best)
    estimate = model.in_unit(unit_free, scale)
    fit = Fit(
        model.name,
        unit,
        estimate,
        estimate * log_standard_errors(model, F, whole, unit_free),
        value - densities * np.log(scale),
        float(np.abs(gradient).max() / customers),
        customers,
        cells,
        scale,
        priors,
        time.perf_counter() - began,
    )
    if not sample:
        return fit
    settings = section.sampler
    eta, divergences = nuts(
        posterior,
        mode,
        whiten(posterior, mode),
        draws=settings.draws,
        tune=settings.tune,
        chains=settings.chains,
        target_accept=settings.target_accept,
        seed=settings.seed + zlib.crc32(model.name.encode()) % 10_000,
    )
    draws = model.in_unit(model.from_coordinates(eta), scale)
    require_finite(draws, model.label)
    return replace(
        fit,
        method="nuts",
        draws=draws,
        seconds=time.perf_counter() - began,
        diagnostics=diagnose(eta) | {"divergences": divergences, "pareto_k": None},
    )
