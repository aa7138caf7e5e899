"""What a study says of its models: which processes are fitted, how, and what the value is computed with."""

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from clvkit.covariate_section import KNOWN as KNOW_COVARIATES
from clvkit.covariate_section import CovariatesSection
from clvkit.opportunities import Opportunity
from clvkit.rules import RuleBroken, did_you_mean, listed
from clvkit.section import Section
from clvkit.truncation import LeftTruncationSection

CountProcess = Literal["bgnbd", "mbgnbd", "paretonbd", "mbgcnbd", "bgbb"]
AnyProcess = Literal["bgnbd", "mbgnbd", "paretonbd", "mbgcnbd", "bgbb", "gammagamma"]
WithPriors = Literal[AnyProcess, "by_frequency"]
TimeUnit = Literal["day", "week", "month", "year"]


class SamplerSection(Section):
    """How posteriors are sampled."""

    method: Literal["auto", "nuts", "laplace"] = Field(
        "auto",
        description=(
            "nuts: the No-U-Turn sampler; laplace: importance sampling around the mode, used only where its own "
            "diagnostics accept it, else nuts; auto: laplace where there are more cells than nuts_max_cells."
        ),
    )
    nuts_max_cells: int = Field(
        5_000,
        ge=0,
        description="With method auto, the most cells that the No-U-Turn sampler is used for at once.",
    )
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

    opportunity: Opportunity | None = Field(
        None,
        description=(
            "Where a customer buys at most once in a period, such as one gift a year: the period (day, week, month, "
            "quarter or year). Purchases are then counted by whole calendar periods, which are also the unit of time "
            "that parameters are stated in, and the running period is left out. null: purchases come at any time."
        ),
    )
    processes: tuple[CountProcess, ...] = Field(
        ("bgnbd", "mbgnbd", "paretonbd"),
        min_length=1,
        description=(
            "Purchase processes to fit side by side: bgnbd (BG/NBD), mbgnbd (MBG/NBD), "
            "paretonbd (Pareto/NBD), mbgcnbd (MBG/CNBD-k, for purchases more regular than at random; k is found by "
            "likelihood); where `opportunity` is set, also bgbb (BG/BB)."
        ),
    )
    headline: CountProcess = Field(
        "paretonbd", description=("Process that the headline value is computed with; one of `processes`.")
    )
    sampled: tuple[AnyProcess, ...] = Field(
        ("paretonbd", "gammagamma"),
        description=(
            "Processes that get a sampled posterior, hence intervals; the others are fitted by maximum "
            "likelihood alone. gammagamma stands for the model of spend per purchase, whichever it is."
        ),
    )
    time_unit: TimeUnit = Field(
        "week",
        description=(
            "Unit of time that fitted parameters are stated in; where `opportunity` is set, that is the unit."
        ),
    )
    spend: Literal["auto", "gammagamma", "by_frequency"] = Field(
        "auto",
        description=(
            "Model of spend per purchase that the value is computed with: gammagamma, where it has nothing to do with "
            "how often customers buy; by_frequency, where it grows or falls with that; auto: gammagamma, unless the "
            "data reject it and by_frequency foretells amounts better."
        ),
    )
    segments: Literal["ignore", "compare", "value"] = Field(
        "ignore",
        description=(
            "What to do with the segments of the ledger: ignore them; compare: fit the headline process and spend by "
            "segment as well, with partial pooling, and try them in the back-tests; value: compute the value with those."
        ),
    )
    segment_by: str | None = Field(
        None,
        description=(
            "What makes the segments: a name that `about` of a customers table gives, or its field region or segment, such as "
            "the channel that won a customer; null: the column `segment` of the orders."
        ),
    )
    segment_spread: float = Field(
        0.5,
        gt=0,
        le=5,
        description=(
            "Scale of the half-normal prior of how much segments differ: standard deviation of their logs and logits "
            "(0.5: rates half as high again, or two thirds, are usual)."
        ),
    )
    covariates: CovariatesSection = Field(
        default_factory=CovariatesSection,
        description="What is known of customers besides their purchases, and may move their purchase rate and dropout.",
    )
    left_truncation: LeftTruncationSection = Field(
        default_factory=LeftTruncationSection,
        description="What is done where the log begins in the middle of the customers' lives.",
    )
    priors: dict[WithPriors, dict[str, PriorSpec]] = Field(
        default_factory=dict,
        description=("Priors that replace the defaults: process, then name of the prior, then mean and sd."),
    )
    sampler: SamplerSection = Field(default_factory=SamplerSection, description="Settings of the sampler.")

    @property
    def by_segment(self) -> bool:
        """Whether anything is fitted by segment."""
        return self.segments != "ignore"

    @property
    def valued_with(self) -> str:
        """Name of the fit that the value is computed with: a process, or a refinement of it."""
        if self.covariates.use == "value":
            return f"{self.headline}_with_covariates"
        return f"{self.headline}_by_segment" if self.segments == "value" else self.headline

    @field_validator("covariates")
    @classmethod
    def _covariates_fit_the_rest(cls, value: CovariatesSection, info: ValidationInfo) -> CovariatesSection:
        if value.use == "ignore":
            return value
        if not value.of:
            raise RuleBroken(
                "must name at least one covariate under `of`",
                "such as {plan: {on: [rate]}}; or set use to ignore",
            )
        headline = info.data.get("headline")
        if headline is not None and headline not in KNOW_COVARIATES:
            raise RuleBroken(
                f"are known to {listed(KNOW_COVARIATES)} (models.headline is {headline})",
                "value with one of those, or set use to ignore",
                at="use",
            )
        if value.use == "value" == info.data.get("segments"):
            raise RuleBroken(
                "cannot be value where models.segments is value: one fit makes the value",
                "set one of them to compare; a segment can be a covariate",
                at="use",
            )
        return value

    @field_validator("processes", "sampled")
    @classmethod
    def _once_each(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in value if value.count(name) > 1})
        if twice:
            raise RuleBroken(f"must name each process once ({listed(twice)} is repeated)")
        return value

    @field_validator("processes")
    @classmethod
    def _discrete_has_opportunities(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "bgbb" in value and info.data.get("opportunity", "") is None:
            raise RuleBroken(
                "can have bgbb (BG/BB) only where customers buy at most once in a period",
                "set models.opportunity to that period (day, week, month, quarter or year), or leave bgbb out",
                at=value.index("bgbb"),
            )
        return value

    @field_validator("left_truncation")
    @classmethod
    def _dates_need_a_window(
        cls, value: LeftTruncationSection, info: ValidationInfo
    ) -> LeftTruncationSection:
        others = set(info.data.get("processes", ())) - {"bgnbd", "mbgnbd", "paretonbd"}
        if value.treatment == "acquired" and (others or info.data.get("opportunity")):
            raise RuleBroken(
                "can be acquired only with bgnbd, mbgnbd and paretonbd, for purchases that come at any time",
                f"leave {listed(sorted(others))} out, or name a burn-in"
                if others
                else "name a burn-in instead",
                at="treatment",
            )
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
