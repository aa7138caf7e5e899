"""Diagnostics: whether a fit converged, and whether its posterior was sampled well enough to be used."""

from typing import TYPE_CHECKING

import numpy as np

from clvkit import numbers
from clvkit.checks import Check
from clvkit.covariates import CovariateFit
from clvkit.laplace import DRAWS, limit
from clvkit.processes import SPEND
from clvkit.segments import SegmentedFit

if TYPE_CHECKING:
    from clvkit.fit import Fit

CHAPTER = "04_value"
MOST_GRADIENT = 1e-6  # |d LL / d log parameter| per customer
MOST_R_HAT, LEAST_ESS = 1.01, 400  # Vehtari et al. (2021), Bayesian Analysis 16(2)
BAD_R_HAT = 1.05
MOST_UNKNOWN = 0.05  # of the draws of a spend model; more than that decide about an interval's end


def fit_checks(fit: "Fit | SegmentedFit | CovariateFit") -> list[Check]:
    """The checks of one fit; those of a posterior only where one was sampled.

    A maximum that was not reached and chains that disagree fail; what makes an interval less sure is put up
    for review. BG/NBD carries its caveat about customers who never bought again as information.
    """
    if fit.process == "segment_means":  # nothing was searched for or sampled
        return []
    if isinstance(
        fit, SegmentedFit
    ):  # its likelihood is an average over segments: what is judged is the sampling
        return [] if fit.draws is None else [_chains(fit), _effective_draws(fit)]
    if isinstance(fit, CovariateFit):
        if fit.draws is None:
            return [_no_posterior(fit)] if "no_posterior" in fit.diagnostics else []
        return [_importance(fit), _effective_draws(fit)]
    checks = [_converged(fit), _standard_errors(fit)]
    if fit.diagnostics.get("pareto_k") is not None:
        checks.append(_importance(fit))
    if fit.method == "nuts":
        checks += [_chains(fit), _divergences(fit)]
    if fit.draws is not None:
        checks.append(_effective_draws(fit))
    if fit.process == "bgnbd":
        checks.append(_never_repeaters(fit))
    if fit.process in SPEND:
        checks.append(_mean_spend(fit))
    return checks


def challengers_checks(fits: "dict[str, Fit]", headline: str) -> list[Check]:
    """The checks of every fit but the headline's, which has a section of its own."""
    return [check for name, fit in fits.items() if name != headline for check in fit_checks(fit)]


def _check(fit: "Fit", what: str, title: str, status: str, message: str, advice: str = "", **values) -> Check:
    severity = "info" if status == "info" else "warn"
    return Check(
        f"fit.{fit.name}.{what}",
        f"{fit.label}: {title}",
        status,
        message,
        severity=severity,
        recommendation="" if status == "pass" else advice,
        chapter=CHAPTER,
        **values,
    )


def _converged(fit: "Fit") -> Check:
    flat = fit.gradient_norm < MOST_GRADIENT
    return _check(
        fit,
        "converged",
        "the likelihood's maximum was reached",
        "pass" if flat else "fail",
        f"At the estimate of {fit.label} the log-likelihood changes by {fit.gradient_norm:.1e} per customer "
        f"for a parameter multiplied by e; less than {MOST_GRADIENT:.0e} counts as flat. "
        + (
            "No other start led there."
            if fit.starts_agreeing == 1
            else f"{fit.starts_agreeing} starts led there."
        ),
        "Do not use the estimate: look for a parameter that runs to zero or infinity, and value with a process "
        "that the data can carry.",
        value=fit.gradient_norm,
        threshold=MOST_GRADIENT,
        unit="log-likelihood per customer",
    )


#: What it means for the value when the data do not determine a coordinate, by what it governs.
CONSEQUENCES = {
    "log_mean_purchases": "how often customers buy",
    "log_r": "how much customers differ in how often they buy",
    "log_mean_dropout": "how fast customers leave; P(alive) and everything beyond the first year rest on the prior",
    "log_s": "how much customers differ in how fast they leave; the value far ahead rests on the prior",
    "logit_mean_dropout": "how readily customers leave; P(alive) and everything beyond the first year rest on the prior",
    "log_concentration": "how much customers differ in how readily they leave; the value far ahead rests on the prior",
    "logit_mean_purchase": "how often customers buy",
    "log_purchase_concentration": "how much customers differ in how often they buy",
    "log_p": "how steady one customer's amounts are",
    "log_q": "how much customers differ in what they spend; the mean spend of customers without a repeat purchase "
    "rests on the prior",
    "log_typical_spend": "what is spent on a purchase",
    "kappa": "how spend depends on how often customers buy",
}


def _standard_errors(fit: "Fit") -> Check:
    unknown = [name for name, se in zip(fit.parameters, fit.se, strict=True) if not np.isfinite(se)]
    message = f"All {len(fit.parameters)} parameters of {fit.label} have a standard error."
    if fit.at_bound:
        governed = "; ".join(CONSEQUENCES[name] for name in fit.at_bound)
        message = (
            f"Maximum likelihood of {fit.label} runs away in {', '.join(fit.at_bound)}: the data do not limit "
            f"{governed}."
        )
    elif unknown:
        message = (
            f"The likelihood of {fit.label} is flat where it is highest: {', '.join(unknown)} have no "
            "standard error."
        )
    return _check(
        fit,
        "standard_errors",
        "the data determine every parameter",
        "review" if unknown or fit.at_bound else "pass",
        message,
        "The data cannot tell these parameters apart: the fit is weakly identified. Use the posterior, where the "
        "prior says what is plausible, and not the estimate; a longer history is the cure.",
        value=max(len(unknown), len(fit.at_bound)),
        threshold=0,
        unit="parameters without",
    )


def _importance(fit: "Fit") -> Check:
    k, most = fit.diagnostics["pareto_k"], limit(DRAWS)
    good, coarse = k < most, fit.diagnostics.get("coarsened")
    message = (
        f"The posterior of {fit.label} was drawn around its mode and re-weighted; the tail of the weights has "
        f"k = {numbers.number(k, 2)}, and below {numbers.number(most, 2)} the result can be relied on."
    )
    if not good:
        message = (
            f"Drawing the posterior of {fit.label} around its mode was not good enough (k = "
            f"{numbers.number(k, 2)}, not below {numbers.number(most, 2)}), so chains were run instead"
            + (", on times rounded to weeks." if coarse else ".")
        )
    return _check(
        fit,
        "pareto_k",
        "importance sampling is reliable",
        "pass" if good else "review" if coarse else "info",
        message,
        "Intervals come from the coarser times; compare the estimates of both before relying on them.",
        value=k,
        threshold=most,
        unit="k",
    )


def _no_posterior(fit: "CovariateFit") -> Check:
    return _check(
        fit,
        "posterior",
        "a posterior was drawn",
        "review",
        f"{fit.label} has an estimate and no intervals: {fit.diagnostics['no_posterior']}.",
        "Name fewer covariates or fewer levels, or a smaller models.covariates.prior_sd.",
        value=fit.diagnostics["pareto_k"],
        threshold=limit(DRAWS),
        unit="k",
    )


def _chains(fit: "Fit") -> Check:
    r_hat = fit.diagnostics["r_hat_max"]
    status = "pass" if r_hat < MOST_R_HAT else "review" if r_hat < BAD_R_HAT else "fail"
    return _check(
        fit,
        "r_hat",
        "the chains agree",
        status,
        f"The largest R-hat of {fit.label} is {numbers.number(r_hat, 3)}; below {MOST_R_HAT} the "
        f"{len(fit.draws)} chains have found the same posterior.",
        "Raise models.sampler.tune and models.sampler.draws; if it stays, the posterior has several modes or a "
        "prior is far from the data.",
        value=r_hat,
        threshold=MOST_R_HAT,
        unit="R-hat",
    )


def _effective_draws(fit: "Fit") -> Check:
    size = fit.diagnostics["ess_min"]
    return _check(
        fit,
        "ess",
        "there are enough independent draws",
        "pass" if size > LEAST_ESS else "review",
        f"The posterior of {fit.label} is worth at least {numbers.count(size)} independent draws, in its "
        f"middle and its tails; ends of intervals need more than {LEAST_ESS}.",
        "Raise models.sampler.draws.",
        value=size,
        threshold=LEAST_ESS,
        unit="draws",
    )


def _divergences(fit: "Fit") -> Check:
    found = fit.diagnostics["divergences"]
    every = fit.draws.shape[0] * fit.draws.shape[1]
    said = "No step" if not found else f"{numbers.count(found)} of {numbers.count(every)} steps"
    return _check(
        fit,
        "divergences",
        "no step of the sampler diverged",
        "review" if found else "pass",
        f"{said} of the sampler diverged for {fit.label}.",
        "Raise models.sampler.target_accept towards 1: the intervals may leave out a corner of the posterior.",
        value=found,
        threshold=0,
        unit="steps",
    )


def _never_repeaters(fit: "Fit") -> Check:
    return _check(
        fit,
        "never_repeaters",
        "customers who never bought again count as alive",
        "info",
        "BG/NBD lets customers leave only right after a repeat purchase, so it counts everybody who never bought "
        "again as alive with certainty, however long ago the first purchase was.",
        "For decisions about single one-time buyers use MBG/NBD or Pareto/NBD.",
        value=1.0,
        unit="P(alive)",
    )


def unknown_mean_spend(spend: "Fit") -> tuple[float, str]:
    """Share of the posterior draws whose mean spend the data cannot know, and in words where that is so ("": nowhere).

    Without a posterior the one draw is the estimate.
    """
    estimate = bool(spend.model.unknown_mean(spend.mle, spend.observed))
    share = float(spend.model.unknown_mean(spend.flat, spend.observed).mean())
    where = (
        [f"in {numbers.percent(share)} of the posterior draws"] if share and spend.draws is not None else []
    )
    return share, " and ".join(where + ["at the estimate"] * estimate)


def _mean_spend(fit: "Fit") -> Check:
    share, where = unknown_mean_spend(fit)
    mean, most = (numbers.number(fit.observed[name], 2) for name in ("mean_spend", "largest_spend"))
    message = (
        f"The mean amount of a purchase that {fit.label} gives to customers without a repeat purchase is one that "
        "the data can know: it exists, and does not exceed the averages seen."
    )
    if where:
        message = (
            f"The mean amount of a purchase that {fit.label} would give to customers without a repeat purchase "
            f"does not exist (q of 1 or less) {where}, or exceeds every average seen, of which {most} is the largest: a "
            "few enormous amounts make the tail too heavy for the data to know its mean. There, the value of "
            f"customers without a repeat purchase rests on the observed mean of repeat customers' averages, {mean}, and "
            "not on the model; repeat customers are valued between that and their own average, or at their own "
            "average alone."
        )
    bad = share > MOST_UNKNOWN or "at the estimate" in where
    return _check(
        fit,
        "mean_spend",
        "the mean spend exists and lies within what was seen",
        "fail" if bad else "review" if where else "pass",
        message,
        "Look for a few enormous amounts in chapter 1: orders that were cancelled, wholesalers, wrong amounts. Value "
        "them apart, or value a longer history. Until then do not rely on the value of customers without a repeat "
        "purchase.",
        value=share,
        threshold=MOST_UNKNOWN,
        unit="share of draws",
    )
