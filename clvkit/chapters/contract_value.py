"""Chapter 04: what contracts that run are still worth, by the models of renewals."""

from typing import TYPE_CHECKING

import pandas as pd

from clvkit import numbers
from clvkit.contract_calendar import billed_words
from clvkit.contract_models import LEVEL, WORTH_IT, ContractFits, PeriodFits
from clvkit.contract_value import ContractValue
from clvkit.errors import FitError
from clvkit.exhibits import Sentence, Table

if TYPE_CHECKING:
    from clvkit.estimate import Estimate
    from clvkit.study import Study
    from clvkit.valuation import Valuation
    from clvkit.workbench import Workbench


Found = tuple[ContractFits, ContractValue, bool]


def of_run(run: "Workbench") -> "Found | str":
    """Fits and value of a run's contracts, and whether orders hold their bills; why there are none, as a sentence."""
    held = run.contracts()
    if held is None or held.relations.empty:
        return "No contracts are valued: the study names none that can be used."
    kind = run.kind_of_business()
    if kind.used == "non_contractual":
        return "Contracts are not valued: the business is treated as non-contractual."
    try:
        return run.get("contract_fits"), run.get("contract_value"), kind.bills_among_orders
    except FitError as error:
        return f"Contracts cannot be valued: {str(error).splitlines()[0]}."


def exhibits(found: "Found | str", valuation: "Valuation | None", study: "Study") -> list[Sentence | Table]:
    """The models of renewals, the value of running contracts by plan and tenure, and it beside that of purchases."""
    if isinstance(found, str):
        return [Sentence(found)]
    fits, value, billed = found
    shown = [answer(value, billed, valuation, study), models(fits), *segments(fits, value, study)]
    shown.append(
        _by(
            value.by_tenure,
            "contract_value_by_tenure",
            "By renewals made",
            study,
            _OLDER if len(value.by_period) < 2 else _MIXED,
        )
    )
    shown.append(_by(value.by_plan, "contract_value_by_plan", "By plan", study))
    if len(value.by_period) > 1:
        named = value.by_period.assign(
            group=[billed_words(int(months)) for months in value.by_period["group"]]
        )
        shown.append(_by(named, "contract_value_by_period", "By billing period", study))
    if len(value.by_segment):
        shown.append(
            _by(value.by_segment, "contract_value_by_segment", f"By {study.contracts.segment_by}", study)
        )
    return [*shown, *_tried(value)]


def answer(value: ContractValue, billed: bool, valuation: "Valuation | None", study: "Study") -> Sentence:
    """What contracts are worth, and what customers are worth with and without them; ``valuation`` is that of purchases."""
    one = value.equity
    worth = numbers.money_with_interval(one.value, one.low, one.high, study.currency, one.interval)
    running = int(value.by_plan["relations"].sum())
    text = (
        f"{'Earned from today on' if value.how else 'Beyond what is paid for already'}, the margin of the {numbers.count(running)} contracts that run is expected to come to "
        f"**{worth}**, over the next {numbers.number(study.value.horizon_months, 0)} months. "
    )
    if valuation is None:
        text += "Nothing else is valued: what customers pay are the bills of their contracts."
    elif billed:
        text += (
            "Their bills are among the orders, so that the value of purchases above holds them already, as if they came at "
            "random: the two must not be added, and for customers under contract this one is to be used."
        )
    else:
        purchases = valuation.estimates["customer_equity"].value
        text += (
            f"Their bills are not among the orders. With the {numbers.money(purchases, study.currency)} of purchases the customers "
            f"are worth {numbers.money(one.value + purchases, study.currency)} together, and nothing is in it twice."
        )
    if value.how:
        text += (
            f" Contracts may end on any day, and are valued by a {value.how}, a fee being spread evenly over its period; what follows "
            "on renewals is for comparison."
        )
    if value.outcome is not None and value.outcome.low is not None:
        low, high = numbers.monies([value.outcome.low, value.outcome.high], study.currency)
        text += f" With the luck of single contracts, what comes may lie between {low} and {high}."
    if value.unpriced:
        text += f" {numbers.count(value.unpriced)} running contracts have no fee in {study.currency} and are in no value."
    return Sentence(text)


def models(fits: ContractFits) -> Table:
    """The models of renewals of each billing period, and which one is used."""
    rows = []
    for months, part in sorted(fits.parts.items()):
        own = [fit for fit in (part.sbg, part.bdw) if fit is not None]
        for fit in own or [fits.of(months)]:
            rows.append(_model(fit, months, part))
    frame = pd.DataFrame(
        rows, columns=["billed", "model", "used", "parameters", "log_likelihood", "bic", "first", "twelfth"]
    )
    used = {fits.of(months, plain=True).model.label for months in fits.parts}
    several = len(fits.parts) > 1
    if not several:
        frame = frame.drop(columns=["billed"])
    return Table(
        "contract_models",
        frame,
        f"Contracts are valued with {' and '.join(sorted(used, reverse=True))}",
        "Models of renewals at their maximum-likelihood estimates; shares of new contracts that make 1 and 12 renewals"
        + (", each of its own billing period." if several else "."),
        formats={"log_likelihood": "number:1", "bic": "number:1", "first": "percent", "twelfth": "percent"},
        labels={"model": "Model", "used": "Used", "parameters": "Estimates", "log_likelihood": "Log-likelihood", "bic": "BIC",
                "first": "Make 1 renewal", "twelfth": "Make 12"} | ({"billed": "Billed"} if several else {}),
        note=" ".join(_told(months, part, several) for months, part in sorted(fits.parts.items())),
    )  # fmt: skip


def _model(fit, months: int, part: PeriodFits) -> tuple:
    """One line of the table of models."""
    said = ", ".join(
        f"{name} {numbers.number(one, 3)}" for name, one in zip(fit.model.parameters, fit.mle, strict=True)
    )
    first, twelfth = (float(fit.model.survival(fit.mle, t)) for t in (1, 12))
    own = part.sbg is not None
    heights = (fit.log_likelihood, fit.aic_bic()[1]) if own else (float("nan"), float("nan"))
    used = "yes" if not own or fit is part.used else "no"
    return billed_words(months), fit.label, used, said, *heights, first, twelfth


def _told(months: int, part: PeriodFits, several: bool) -> str:
    """Why one model is used, of one billing period."""
    of = f"Billed {billed_words(months)}: " if several else ""
    if part.sbg is None:
        return f"{of}too little to learn from by itself ({part.why}), so that it leans on the other periods."
    if part.bdw is None:
        return of + part.why
    twice, p = part.ratio
    return (
        f"{of}BdW is sBG where c = 1. Twice the gain in log-likelihood is {numbers.number(twice, 2)} (p = {numbers.number(p, 3)}): "
        + (
            "a customer's own chance of leaving changes with tenure."
            if p < LEVEL
            else "nothing speaks for a chance of leaving that changes with a customer's own tenure, so the simpler model is used."
        )
    )


def segments(fits: ContractFits, value: ContractValue, study: "Study") -> list[Sentence | Table]:
    """The fits by segment, and whether the value uses them; nothing where the study names no segments."""
    parts = [part for part in fits.parts.values() if part.by_segment is not None]
    if not parts:
        return []
    rows, why = [], []
    for part in parts:
        fit = part.by_segment
        for name, at, count in zip(fit.segments, fit.mle, fit.customers_of, strict=True):
            first, twelfth = (float(fit.model.survival(at, t)) for t in (1, 12))
            rows.append((billed_words(part.months), name, int(count), first, twelfth))
        tried = (
            f"segments raise the log-probability of what came after an earlier day by {numbers.number(part.gain, 1)}"
            if part.gain == part.gain
            else "there was no earlier day to try it from, and BIC decides"
        )
        why.append(
            f"Billed {billed_words(part.months)}: {tried}; {'they are used' if part.segments_used else 'the simpler model is used'}."
        )
    frame = pd.DataFrame(rows, columns=["billed", "segment", "relations", "first", "twelfth"])
    by = study.contracts.segment_by
    title = (
        f"Contracts are valued by {by}"
        if value.plain is not None
        else f"Contracts are not valued by {by}: it foretells no more"
    )
    beside = ""
    if value.plain is not None:
        beside = (
            f" Without segments the value would be {numbers.money(value.plain.value, study.currency)}, with them it is "
            f"{numbers.money(value.equity.value, study.currency)}."
        )
    return [Table(
        "contract_models_by_segment",
        frame,
        title,
        f"Shares of new contracts that make 1 and 12 renewals, by {by}, each drawn towards what segments have in common.",
        formats={"relations": "count", "first": "percent", "twelfth": "percent"},
        labels={"billed": "Billed", "segment": by.capitalize(), "relations": "Relations", "first": "Make 1 renewal",
                "twelfth": "Make 12"},
        note=" ".join(why) + f" Segments are used from a gain of {numbers.number(WORTH_IT, 0)} on.{beside}",
    )]  # fmt: skip


_OLDER = "Where a contract with more renewals behind it is worth more, customers need not have become more loyal: those who leave early have left."
_MIXED = "Renewals of months and of years are in one column here; the figure by renewals made has each billing period by itself."


def _by(frame: pd.DataFrame, name: str, title: str, study: "Study", note: str | None = None) -> Table:
    best = frame.loc[frame["mean"].idxmax()]
    total = pd.DataFrame([{"group": "All", "relations": frame["relations"].sum(), "value": frame["value"].sum(),
                           "mean": frame["value"].sum() / max(frame["relations"].sum(), 1)}])  # fmt: skip
    shown = pd.concat([frame, total], ignore_index=True)[
        ["group", "relations", "mean", "value", "low", "high"]
    ]
    return Table(
        name,
        shown.astype({"low": float, "high": float}),
        f"{title}, a contract is worth most at {best['group']}: {numbers.money(best['mean'], study.currency)}"
        if name.endswith("tenure")
        else f"{title}, a contract of {best['group']} is worth most: {numbers.money(best['mean'], study.currency)}",
        f"Expected margin of renewals within the horizon, discounted ({study.currency}): mean of a running contract, and the sum "
        "with its interval.",
        formats={"relations": "count"} | dict.fromkeys(["mean", "value", "low", "high"], "money:2"),
        labels={
            "group": title,
            "relations": "Running",
            "mean": "Each",
            "value": "Together",
            "low": "Low",
            "high": "High",
        },
        total=True,
        note=note,
    )


def _tried(value: ContractValue) -> list[Sentence]:
    one = value.trial
    if one is None:
        return []
    inside = "within" if one.low <= one.actual <= one.high else "outside"
    return [Sentence(
        f"Tried from {numbers.date_words(one.origin)}: of the {numbers.count(one.relations)} contracts that ran then, "
        f"{numbers.count(one.actual)} ran to the end of the forecast; the model, fitted to what was known that day, forecast {numbers.number(one.expected, 0)} "
        f"({numbers.number(one.low, 0)} to {numbers.number(one.high, 0)}, with the luck of single contracts), so that what came is "
        f"{inside} its range. One rate of retention for all would have forecast {numbers.number(one.flat, 0)}."
    )]  # fmt: skip


def metrics(found: "Found | str", *, alone: bool = False) -> "dict[str, Estimate]":
    """Headline figures: ``contract_equity``, ``contract_renewals`` and, with the luck of single contracts, ``…_outcome``.

    ``alone``, where customers have nothing but contracts, their equity is ``customer_equity`` as well.
    """
    if isinstance(found, str):
        return {}
    value = found[1]
    made = {"contract_equity": value.equity, "contract_renewals": value.renewals}
    kinds = {"": value.equity, "_outcome": value.outcome, "_lifetime": value.lifetime}
    names = ("contract_equity", "customer_equity") if alone else ("contract_equity",)
    made |= {name + kind: one for name in names for kind, one in kinds.items() if one is not None}
    return made


def fits_as_results(found: "Found | str", interval: float) -> dict:
    """The models of renewals as ``results.json`` holds fits: ``sbg`` and ``bdw`` of the billing period that most have."""
    if isinstance(found, str):
        return {}
    main = found[0].main
    return {one.process: one.to_json(interval) for one in (main.sbg, main.bdw) if one is not None}


def as_results(found: "Found | str") -> dict:
    """The models of renewals as ``results.json`` holds them: by billing period, with estimates, and which is used."""
    if isinstance(found, str):
        return {"refused": found}
    fits = found[0]
    made = {}
    for months, part in sorted(fits.parts.items()):
        own = {fit.process: fit.to_json() for fit in (part.sbg, part.bdw) if fit is not None}
        made[str(months)] = {"relations": part.relations, "ended": part.ends, "fits": own,
                             "used": fits.of(months, plain=True).model.name, "why": part.why,
                             "segments_used": part.segments_used}  # fmt: skip
    return made
