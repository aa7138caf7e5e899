"""Fitting: cells and a process make a fit, by maximum likelihood and by posterior sampling."""

import time
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from clvkit.covariate_section import KNOWN as KNOW_COVARIATES
from clvkit.covariate_section import CovariatesSection
from clvkit.errors import FitError, StudyError
from clvkit.opportunities import DAYS, TOO_FEW, Opportunity
from clvkit.optimum import best_of, climb
from clvkit.rules import RuleBroken, did_you_mean, listed
from clvkit.section import Section
from clvkit.truncation import LeftTruncationSection

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.clock import Clock
    from clvkit.fit import Fit
    from clvkit.optimum import Peak
    from clvkit.processes.base import Model, Prior

THIN = 5_000  # about so many cells are enough to tell whether another start leads to a higher maximum

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


def priors_of(name: str, section: ModelsSection) -> dict[str, "Prior"]:
    """The priors of a model: its own, with those that the study replaces."""
    from clvkit import processes
    from clvkit.processes.base import Prior

    model = processes.get(name)
    given = section.priors.get(name.partition("-")[0], {})  # MBG/CNBD-k has the same for any k
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
    """Days in the unit of time that parameters are stated in: the opportunity, where there is one."""
    if section.opportunity:
        return DAYS[section.opportunity]
    return {"day": 1.0, "week": 7.0, "month": days_per_year / 12, "year": days_per_year}[section.time_unit]


def fit_process(
    name: str,
    cells: "pd.DataFrame",
    section: ModelsSection,
    *,
    sample: bool | None = None,
    days_per_year: float = 365.25,
    gaps: "pd.DataFrame | None" = None,
    clock: "Clock | None" = None,
    repeats: "pd.DataFrame | None" = None,
) -> "Fit":
    """Fit a purchase process to cells.

    Parameters
    ----------
    cells : columns ``frequency``, ``recency_days``, ``T_days`` and ``n``; order and grouping do not matter. With
        ``before_days`` (`clvkit.customers.customer_summary`) some are of customers older than the log.
    sample : whether to draw a posterior; default: whether ``section.sampled`` names the process.
    gaps : of the same customers, from `clvkit.rhythm.gap_statistics`; ``mbgcnbd`` needs them to find its k, other
        processes do without. The log-likelihood of an MBG/CNBD-k that is named with its k is NaN without them.
    clock : of purchases; None: the calendar. Cells are of its as-of date.
    repeats : ``day, repeat``, the repeat purchases of each day (`clvkit.customers.daily_purchases`). With them the
        log-likelihood is one of purchases in calendar time, as without a clock; else it is one in purchase time.

    Raises
    ------
    FitError : where no customer, no repeat purchase or no time is there to learn from, or a history is impossible.
    """
    from clvkit import processes

    if "before_days" in cells:
        from clvkit.truncation_fit import fit_windows

        _refuse_clock(clock)
        return fit_windows(name, cells, section, sample=sample, days_per_year=days_per_year)
    if name == processes.REGULAR:
        from clvkit.rhythm_fit import fit_regular

        if clock is not None:
            processes.get(name).on_clock()  # which refuses
        return fit_regular(cells, section, gaps, sample=sample, days_per_year=days_per_year)
    model, unit, priors = processes.get(name), unit_days(section, days_per_year), priors_of(name, section)
    order = ["frequency", "recency_days", "T_days"]
    merged = cells.groupby(order, as_index=False)["n"].sum().sort_values(order)
    x, n = merged["frequency"].to_numpy(np.int64), merged["n"].to_numpy(float)
    if n.sum() < 2 or not (x * n).sum():
        raise FitError(
            f"{model.label} cannot be fitted: {n.sum():,.0f} customers with {(x * n).sum():,.0f} repeat "
            "purchases hold nothing to learn from",
            fix="take a longer period or more customers",
        )
    recency, age = merged["recency_days"].to_numpy(float), merged["T_days"].to_numpy(float)
    _require_possible(model, x, recency, age, n)
    if section.opportunity and age.max() / unit < TOO_FEW - 0.5:
        raise FitError(
            f"{model.label} needs a history of at least {TOO_FEW} opportunities (got {round(age.max() / unit)} whole "
            f"{section.opportunity}s after that of the first purchase)",
            place="models.opportunity",
            fix=f"take a later date, or a shorter period than {section.opportunity}",
        )
    if clock is not None:
        recency, age = on_clock(model, clock, recency, age)
    # days; fits run in multiples of the median age, but opportunities are counted
    scale = unit if model.discrete else weighted_median(age, n) or float(age.max())
    fit = _fit(
        model if clock is None else model.on_clock(*clock.past(scale)),
        (x, recency / scale, age / scale, n),
        priors,
        section,
        scale=scale / unit,
        densities=0.0 if model.discrete else float(getattr(model, "k", 1) * (x * n).sum()),
        unit=unit,
        week=None if model.discrete else 7.0 / scale,
        sample=name.partition("-")[0] in section.sampled if sample is None else sample,
    )
    if clock is not None:
        gain = 0.0 if repeats is None else clock.log_speed(repeats["day"], repeats["repeat"])
        fit = replace(fit, clock=clock, log_likelihood=fit.log_likelihood + gain)
    if getattr(model, "k", 1) == 1:
        return fit
    from clvkit.rhythm_fit import with_gaps

    return with_gaps(fit, gaps, float((x * n).sum()))


def _refuse_clock(clock: "Clock | None") -> None:
    if clock is not None:
        raise FitError(
            "customers older than the log cannot be fitted on a clock of purchases",
            place="models.left_truncation.treatment",
            fix="name a burn-in instead, or leave the calendar out",
        )


def on_clock(model: "Model", clock: "Clock", recency_days, T_days) -> tuple[np.ndarray, np.ndarray]:
    """Recency and age (cells,) in the time that the likelihood of a process knows.

    It is purchase time where customers can only leave at a purchase. Where lifetimes go by the calendar it is the
    calendar, and the likelihood itself has the clock.

    Raises
    ------
    FitError : a process that knows no clock.
    """
    if not hasattr(model, "on_clock"):
        raise FitError(
            f"{model.label} cannot run on a clock of purchases",
            place="calendar",
            fix="use bgnbd, mbgnbd or paretonbd, or leave the calendar out",
        )
    if model.clock_is_time:
        return clock.histories(recency_days, T_days)
    return recency_days, T_days


def _require_possible(model: "Model", x, recency, age, n) -> None:
    """Refuse histories that no customer can have, and those in which no time has passed for anybody."""
    wrong = ~((recency >= 0) & (recency <= age) & np.isfinite(age) & ((recency == 0) | (x > 0)))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise FitError(
            f"{model.label} cannot be fitted: {n[wrong].sum():,.0f} customers have an impossible history, such as "
            f"{x[at]} repeat purchases, the last {recency[at]:g} days after the first, in {age[at]:g} days",
            fix="count purchases up to the as-of date, from the first one on",
        )
    if not age.any():
        raise FitError(
            f"{model.label} cannot be fitted: all {n.sum():,.0f} customers first bought on the as-of day itself",
            fix="take a later as-of date",
        )


def fit_spend(
    spend_cells: "pd.DataFrame",
    section: ModelsSection,
    minor_per_unit: float,
    *,
    model: str = "gammagamma",
    sample: bool | None = None,
) -> "Fit":
    """Fit a model of spend, Gamma-Gamma by default, to spend cells: ``frequency``, ``spend_minor`` (a total), ``n``.

    Customers whose repeat purchases total zero or less have no place in a model of positive amounts and are left out;
    `clvkit.spend.refused` lists them. Which of the models of spend to use, `clvkit.spend_choice` says.

    Raises
    ------
    FitError : where fewer than two customers with a positive total remain.
    """
    from clvkit import processes

    name, model = model, processes.get(model)
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
    fit = _fit(
        model,
        (x, spend / scale, n),
        priors_of(name, section),
        section,
        scale=scale,
        densities=float(n.sum()),
        unit=1.0,
        sample="gammagamma" in section.sampled if sample is None else sample,
    )
    averages = {"mean_spend": float(n @ (spend / x) / n.sum()), "largest_spend": float((spend / x).max())}
    if name == "by_frequency":
        weight = n * spend / x
        averages["log_frequency"] = float(weight @ np.log1p(x) / weight.sum())
    return replace(fit, observed=averages)


def weighted_median(values: np.ndarray, n: np.ndarray) -> float:
    """The median of ``values``, each counted ``n`` times (the lower one of two)."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(n[order]) >= n.sum() / 2
    return float(values[order][np.argmax(reached)])


def _fit(model, cells, priors, section, *, scale, densities, unit, sample, week=None) -> "Fit":
    """Maximum likelihood from several starts, and a posterior where asked for, on unit-free cells.

    ``cells`` are the columns of `Model.prepare`, the last of them the counts; ``week`` is the length of a week in
    their times, where they have times.
    """
    from clvkit.fit import Fit
    from clvkit.sampling import sample_posterior

    began = time.perf_counter()
    F, whole = model.prepare(*cells)
    every = max(1, len(cells[0]) // THIN)
    thin = model.target(*model.prepare(*(column[::every] for column in cells)), None) if every > 1 else None
    flat = model.target(F, whole, None)
    middle, neutral = (
        np.array([prior.mean for prior in each.values()]) for each in (priors, model.priors)
    )  # the study may centre its priors anywhere: a start of our own stays near every business
    mode = climb(model.target(F, whole, priors), middle) if sample else None
    first = neutral if mode is None else mode.eta
    others = [middle, neutral, first + 1.0, first - 1.0]
    others = [
        one for k, one in enumerate(others) if not any(np.array_equal(one, o) for o in [first, *others[:k]])
    ]
    peak, agreeing = best_of(flat, thin or flat, first, others)
    customers = int(cells[-1].sum())
    estimate = model.in_unit(model.from_coordinates(peak.eta), scale)
    fit = Fit(
        model.name,
        unit,
        estimate,
        estimate * log_standard_errors(model, peak),
        peak.value - densities * np.log(scale),
        float(np.abs(peak.gradient).max() / customers),
        customers,
        len(cells[0]),
        scale,
        priors,
        time.perf_counter() - began,
        at_bound=tuple(name for name, there in zip(priors, peak.at_bound, strict=True) if there),
        starts_agreeing=agreeing,
    )
    if not sample:
        return fit
    draws, method, diagnostics = sample_posterior(
        model.target(F, whole, priors),
        mode,
        section.sampler,
        cells=len(cells[0]),
        coarse=lambda: model.target(*model.prepare(*coarsened(*cells, week)), priors) if week else None,
        seed=section.sampler.seed + zlib.crc32(model.name.encode()) % 10_000,
    )
    draws = model.in_unit(model.from_coordinates(draws), scale)
    if not np.all(np.isfinite(draws)):
        raise FitError(
            f"the posterior of {model.label} holds values that are not finite",
            fix="look at the priors in models.priors and at the cells the model was fitted to",
        )
    seconds = time.perf_counter() - began
    return replace(fit, method=method, draws=draws, seconds=seconds, diagnostics=diagnostics)


def coarsened(x, t_x, T, n, week: float) -> list[np.ndarray]:
    """The same customers with times rounded to whole weeks: a hundredth of the cells or fewer.

    A repeat purchase stays at least a week from the first: in no time, it would ask for an infinite rate.
    """
    last = np.maximum(np.round(t_x / week), np.asarray(x) > 0)
    keys = np.stack([x, last, np.maximum(np.round(T / week), last)]).astype(np.int64)
    distinct, where = np.unique(keys, axis=1, return_inverse=True)
    return [distinct[0], distinct[1] * week, distinct[2] * week, np.bincount(where.ravel(), weights=n)]


def log_standard_errors(model: "Model", peak: "Peak") -> np.ndarray:
    """Standard errors of the log parameters at a maximum; NaN where the likelihood is flat there."""
    logs = lambda eta: np.log(model.from_coordinates(eta))  # noqa: E731
    moves = 1e-6 * np.eye(len(peak.eta))
    jacobian = np.stack([(logs(peak.eta + move) - logs(peak.eta - move)) / 2e-6 for move in moves], axis=1)
    variance = np.diag(jacobian @ peak.covariance() @ jacobian.T)
    return np.sqrt(np.where(variance > 0, variance, np.nan))
