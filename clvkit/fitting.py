"""Fitting: cells and a process make a fit, by maximum likelihood and by posterior sampling."""

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from clvkit.rules import RuleBroken, did_you_mean, listed
from clvkit.section import Section

CountProcess = Literal["bgnbd", "mbgnbd", "paretonbd"]
AnyProcess = Literal["bgnbd", "mbgnbd", "paretonbd", "gammagamma"]
TimeUnit = Literal["day", "week", "month", "year"]


class SamplerSection(Section):
    """How posteriors are sampled."""

    draws: int = Field(1000, ge=100, description="Posterior draws kept per chain.")
    tune: int = Field(1000, ge=100, description="Tuning steps per chain, discarded.")
    chains: int = Field(4, ge=2, description="Independent chains; convergence is judged by comparing them.")
    target_accept: float = Field(0.9, gt=0.5, lt=1, description=(
        "Acceptance rate the step size is tuned to; raise it towards 1 when divergences are reported."))
    seed: int = Field(20240117, ge=0, description="Seed of every random draw of the run.")


class PriorSpec(Section):
    """A normal prior on the unit-free scale that the fit runs in."""

    mean: float = Field(description="Mean of the prior, on its unit-free scale.")
    sd: float = Field(gt=0, description="Standard deviation of the prior, on its unit-free scale.")


class ModelsSection(Section):
    """Which purchase processes are fitted, and how."""

    processes: tuple[CountProcess, ...] = Field(
        ("bgnbd", "mbgnbd", "paretonbd"), min_length=1, description=(
            "Purchase processes to fit side by side: bgnbd (BG/NBD), mbgnbd (MBG/NBD), paretonbd (Pareto/NBD)."))
    headline: CountProcess = Field("paretonbd", description=(
        "Process that the headline value is computed with; one of `processes`."))
    sampled: tuple[AnyProcess, ...] = Field(("paretonbd", "gammagamma"), description=(
        "Processes that get a sampled posterior, hence intervals; the others are fitted by maximum likelihood "
        "alone. gammagamma is the model of spend per purchase."))
    time_unit: TimeUnit = Field("week", description="Unit of time that fitted parameters are stated in.")
    priors: dict[AnyProcess, dict[str, PriorSpec]] = Field(default_factory=dict, description=(
        "Priors that replace the defaults: process, then name of the prior, then mean and sd."))
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
            raise RuleBroken(f"must be one of the processes fitted: {listed(fitted)}", did_you_mean(value, fitted))
        return value

    @field_validator("sampled")
    @classmethod
    def _sampled_are_fitted(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        fitted = info.data.get("processes")
        for place, name in enumerate(value):
            if fitted is not None and name not in (*fitted, "gammagamma"):
                raise RuleBroken(f"must be one of the processes fitted ({listed(fitted)}) or gammagamma",
                                 f"add {name} to models.processes", at=place)
        return value
