"""Chapter 04: what covariates multiply, how sure that is, and what of them may be known too late."""

from typing import TYPE_CHECKING

import pandas as pd

from clvkit import numbers
from clvkit.checks import Check
from clvkit.covariate_rules import after_the_fact
from clvkit.exhibits import Sentence, Table

if TYPE_CHECKING:
    from clvkit.covariates import CovariateFit
    from clvkit.workbench import Workbench

SURE = 0.01  # a gain in likelihood that chance brings this seldom is taken for an effect
_ON = {"rate": "purchases a year, while a customer", "dropout": "leaving"}


def exhibits(run: "Workbench") -> list[Table | Sentence]:
    """The effects of the covariates; a sentence where the study uses none."""
    fit = run.fit_with_covariates()
    if fit is None:
        return [
            Sentence(
                "The study uses no covariates: `models.covariates.use` is `ignore`. Set to `compare`, it fits what a customers "
                "table says of the customers (`about`) as well, and shows what that multiplies."
            )
        ]
    return [effects(fit, run.study.value.interval)]


def effects(fit: "CovariateFit", interval: float) -> Table:
    """What each level of each covariate multiplies, against the reference level."""
    frame, sampled = fit.effects(interval), fit.drawn is not None
    kept = {one.name: one for one in fit.design.covariates}
    customers = [_customers(kept[row.covariate], row.step) for row in frame.itertuples()]
    reference = [_reference(kept[row.covariate], row.step) for row in frame.itertuples()]
    odds = "odds of leaving" if fit.process != "paretonbd" else "dropout rate"
    sure = [f"{row.covariate} {row.step}" for row in frame.itertuples() if row.differs]
    shown = pd.DataFrame({
        "covariate": frame["covariate"],
        "step": frame["step"],
        "reference": reference,
        "customers": customers,
        "on": frame["on"].map({"rate": "purchase rate", "dropout": odds}),
        "multiplier": frame["value"] if sampled else frame["mle"],
        "low": frame["low"],
        "high": frame["high"],
    })  # fmt: skip
    named = (
        " and ".join(dict.fromkeys(sure)) if len(set(sure)) <= 3 else f"{len(set(sure))} levels of covariates"
    )
    title = f"What covariates multiply: {named} {'differs' if len(set(sure)) == 1 else 'differ'} from the reference for sure"
    if not sampled:
        title = "What covariates multiply, by maximum likelihood and their priors"
    elif not sure:
        title = "What covariates multiply: no level differs from its reference for sure"
    rules = ". ".join(one.rule[0].upper() + one.rule[1:] for one in fit.design.covariates)
    return Table(
        "covariates",
        shown,
        title,
        f"Each line is what a customer of that level has, as a multiple of one of the reference level and alike in all else, as "
        f"{fit.model.label} has it"
        + (f"; posterior mean and {numbers.percent(interval, 0)} interval." if sampled else "."),
        formats={"customers": "count"} | dict.fromkeys(["multiplier", "low", "high"], "number:2"),
        labels={"covariate": "Covariate", "step": "Level", "reference": "Against", "customers": "Customers",
                "on": "Multiplies the", "multiplier": "By", "low": "Low", "high": "High"},
        note=f"{rules}. The prior takes every effect for none, give or take a factor of "
        f"{numbers.number(2.718281828**fit.prior_sd, 1)}, so that a level of few customers shows no wild effect. An effect is what "
        "goes with the covariate, and need not be what it causes.",
    )  # fmt: skip


def _customers(covariate, step: str):
    places = dict(zip(covariate.levels, covariate.customers, strict=True))
    return places.get(step, sum(covariate.customers))


def _reference(covariate, step: str) -> str:
    if covariate.kind == "number":
        return "the mean" if step != "missing" else "those known, at the mean"
    return covariate.levels[0]


def as_results(run: "Workbench") -> dict:
    """``fits`` of ``results.json``: the fit with covariates, by name."""
    fit = run.fit_with_covariates()
    return {} if fit is None else {fit.name: fit.to_json(run.study.value.interval)}


def checks(run: "Workbench") -> list[Check]:
    """Whether covariates say anything, whether their intervals hold, and whether they may be known only after the fact."""
    fit = run.fit_with_covariates()
    if fit is None:
        return []
    from clvkit.diagnostics import fit_checks

    seen = (
        run.summary()
        .select("customer", "frequency")
        .to_pyarrow()
        .to_pandas()
        .set_index("customer")["frequency"]
    )
    people = run.seen.people
    values = people.values.reindex(seen.index)
    late = [after_the_fact(name, values[name], seen, people.changed[name]) for name in values]
    return [gain(fit, run.study.models.covariates.use == "value"), *fit_checks(fit), *late]


def gain(fit: "CovariateFit", valued: bool) -> Check:
    """Whether the covariates describe the customers better than chance, and whether the value goes by that."""
    from scipy.stats import chi2

    freedom = len(fit.design.effects)
    better = max(fit.log_likelihood - fit.pooled.log_likelihood, 0.0)
    p = float(chi2.sf(2 * better, freedom))
    advice = ""
    if p < SURE and not valued:
        advice = (
            "Look at the back-test with covariates; where it is better, set models.covariates.use to value."
        )
    if p >= SURE and valued:
        advice = "A fit without covariates says as much: set models.covariates.use to compare."
    return Check(
        f"covariates.{fit.process}",
        f"{fit.model.label}: covariates",
        "review" if advice else "pass",
        f"{fit.label} gains {numbers.number(better, 1)} in log-likelihood over one fit of all, for {freedom} parameters more "
        f"(p = {numbers.number(p, 3) if p >= 0.0005 else 'below 0.001'}): "
        + ("they move how customers buy." if p < SURE else "nothing that could not be chance."),
        value=p,
        threshold=SURE,
        unit="probability",
        recommendation=advice,
        chapter="04_value",
    )
