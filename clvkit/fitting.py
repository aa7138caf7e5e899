"""Fitting: cells and a process make a fit, by maximum likelihood and by posterior sampling."""

import time
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from clvkit.errors import FitError, StudyError
from clvkit.models_section import ModelsSection
from clvkit.opportunities import DAYS, TOO_FEW
from clvkit.optimum import best_of, climb
from clvkit.rules import did_you_mean, listed

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.clock import Clock
    from clvkit.fit import Fit
    from clvkit.optimum import Peak
    from clvkit.processes.base import Model, Prior

THIN = 5_000  # about so many cells are enough to tell whether another start leads to a higher maximum


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
