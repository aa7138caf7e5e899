"""Chapter 04: what contracts that run are still worth, by the models of renewals."""

from typing import TYPE_CHECKING

import pandas as pd

from clvkit import numbers
from clvkit.contract_value import LEVEL, ContractFits, ContractValue
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
    return [
        answer(value, billed, valuation, study),
        models(fits),
        _by(value.by_tenure, "contract_value_by_tenure", "By renewals made", study),
        _by(value.by_plan, "contract_value_by_plan", "By plan", study),
        *_tried(value),
    ]


def answer(value: ContractValue, billed: bool, valuation: "Valuation | None", study: "Study") -> Sentence:
    """What contracts are worth, and what customers are worth with and without them; ``valuation`` is that of purchases."""
    one = value.equity
    worth = numbers.money_with_interval(one.value, one.low, one.high, study.currency, one.interval)
    running = int(value.by_plan["relations"].sum())
    text = (
        f"Beyond what is paid for already, the margin of the {numbers.count(running)} contracts that run is expected to come to "
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
    if value.unpriced:
        text += f" {numbers.count(value.unpriced)} running contracts have no fee in {study.currency} and are in no value."
    return Sentence(text)


def models(fits: ContractFits) -> Table:
    """Both models of renewals, and which one is used."""
    rows = []
    for fit in (fits.sbg, fits.bdw):
        if fit is not None:
            said = ", ".join(
                f"{name} {numbers.number(one, 3)}" for name, one in zip(fit.parameters, fit.mle, strict=True)
            )
            first, twelfth = (float(fit.model.survival(fit.mle, t)) for t in (1, 12))
            rows.append((fit.model.label, said, fit.log_likelihood, fit.aic_bic()[1], first, twelfth))
    frame = pd.DataFrame(rows, columns=["model", "parameters", "log_likelihood", "bic", "first", "twelfth"])
    twice, p = fits.ratio
    told = (
        fits.why
        if fits.bdw is None
        else f"BdW is sBG where c = 1. Twice the gain in log-likelihood is {numbers.number(twice, 2)} (p = {numbers.number(p, 3)}): "
        + (
            "a customer's own chance of leaving changes with tenure."
            if p < LEVEL
            else "nothing speaks for a chance of leaving that changes with a customer's own tenure, so the simpler model is used."
        )
    )
    return Table(
        "contract_models",
        frame,
        f"Contracts are valued with {fits.used.model.label}",
        "Models of renewals at their maximum-likelihood estimates; shares of new contracts that make 1 and 12 renewals.",
        formats={"log_likelihood": "number:1", "bic": "number:1", "first": "percent", "twelfth": "percent"},
        labels={"model": "Model", "parameters": "Estimates", "log_likelihood": "Log-likelihood", "bic": "BIC",
                "first": "Make 1 renewal", "twelfth": "Make 12"},
        note=told,
    )  # fmt: skip


def _by(frame: pd.DataFrame, name: str, title: str, study: "Study") -> Table:
    best = frame.loc[frame["mean"].idxmax()]
    total = pd.DataFrame([{"group": "All", "relations": frame["relations"].sum(), "value": frame["value"].sum(),
                           "mean": frame["value"].sum() / max(frame["relations"].sum(), 1)}])  # fmt: skip
    shown = pd.concat([frame, total], ignore_index=True)[
        ["group", "relations", "mean", "value", "low", "high"]
    ]
    note = (
        "A contract with more renewals behind it is worth more, though nobody becomes more loyal: those who leave early have left."
        if name.endswith("tenure")
        else None
    )
    return Table(
        name,
        shown.astype({"low": float, "high": float}),
        f"{title}, a contract of {best['group']} is worth most: {numbers.money(best['mean'], study.currency)}",
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
        f"{numbers.count(one.actual)} still run; sBG, fitted to what was known that day, forecast {numbers.number(one.expected, 0)} "
        f"({numbers.number(one.low, 0)} to {numbers.number(one.high, 0)}, with the luck of single contracts), so that what came is "
        f"{inside} its range. One rate of retention for all would have forecast {numbers.number(one.flat, 0)}."
    )]  # fmt: skip


def metrics(found: "Found | str", *, alone: bool = False) -> "dict[str, Estimate]":
    """Headline figures: ``contract_equity`` and ``contract_renewals``; ``alone``, it is ``customer_equity`` as well."""
    if isinstance(found, str):
        return {}
    made = {"contract_equity": found[1].equity, "contract_renewals": found[1].renewals}
    return made | ({"customer_equity": found[1].equity} if alone else {})
