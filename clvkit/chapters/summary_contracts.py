"""Page one where customers are under contract and nothing else: the value of the contracts that run."""

from typing import TYPE_CHECKING

import numpy as np

from clvkit import numbers
from clvkit.chapters.summary import kind_words, ties
from clvkit.chapters.value_holders import horizon_words
from clvkit.exhibits import Exhibit, Facts, Figure, Headline
from clvkit.publish import style

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.contract_value import ContractFits, ContractValue, Held
    from clvkit.contracts import Contracts
    from clvkit.study import Study
    from clvkit.workbench import Workbench


def page_one(run: "Workbench") -> list[Exhibit]:
    """Everything page one shows of a contractual business, in order."""
    fits, value, held = run.get("contract_fits"), run.get("contract_value"), run.contracts()
    return [
        headline(value, run.study),
        holders(value, run.study),
        Facts(
            {
                "Whom it covers and whom not": coverage(held, value) + kind_words(run),
                "What it rests on": rests_on(fits, run.study),
                "Does it tie to the ledger": ties(run.ledger(), valued=False),
                "What would change it most": drivers(run),
                "What to do with it": advice(value.trial),
            }
        ),
    ]


def headline(value: "ContractValue", study: "Study") -> Headline:
    """The value, how sure, and how the model did when it was tried before."""
    one, running = value.equity, int(value.by_plan["relations"].sum())
    sentence = (
        f"The {numbers.count(running)} contracts that run are expected to bring **"
        f"{numbers.money(one.value, study.currency)} of margin** {horizon_words(study.value.horizon_months)}, beyond what is "
        "paid for already"
    )
    if one.low is not None and one.high > one.low:
        ends = (numbers.money(end, study.currency) for end in (one.low, one.high))
        sentence += f", {numbers.interval_words(*ends, one.interval)}"
    if value.trial is None:
        return Headline(f"{sentence}; how the model would have done earlier was not tried.")
    return Headline(f"{sentence}; {missed(value.trial)}.")


def missed(trial: "Held") -> str:
    """How far off a projection from an earlier date was."""
    off = trial.expected / max(trial.actual, 1) - 1
    outside = not trial.low <= trial.actual <= trial.high
    return (
        f"used on {numbers.date_words(trial.origin)}, the model forecast that {numbers.count(round(trial.expected))} of "
        f"{numbers.count(trial.relations)} contracts would still run, and {numbers.count(trial.actual)} did "
        f"({numbers.percent(abs(off))} too {'many' if off > 0 else 'few'}"
        + (", outside its range)" if outside else ")")
    )


def holders(value: "ContractValue", study: "Study") -> Figure:
    """Share of contracts and of value, by plan; by renewals made where there is one plan."""
    by_plan = len(value.by_plan) > 1
    frame: pd.DataFrame = value.by_plan if by_plan else value.by_tenure
    if by_plan:
        frame = frame.sort_values("value", ignore_index=True).tail(8)
    shares = frame["relations"] / frame["relations"].sum()
    worth = frame["value"] / max(frame["value"].sum(), 1e-12)
    amounts = numbers.monies(frame["value"], study.currency)
    with style.canvas(height=0.5 + 0.36 * len(frame)) as (drawing, axes):
        places = np.arange(len(frame))
        axes.barh(places - 0.19, shares, 0.34, **style.PREVIOUS_BAR)
        axes.barh(places + 0.19, worth, 0.34, **style.FORECAST_BAR)
        for place, of_all, of_value, amount in zip(places, shares, worth, amounts, strict=True):
            style.label(axes, of_all, place - 0.19, f"{numbers.percent(of_all, 0)} of contracts")
            style.label(axes, of_value, place + 0.19, f"{numbers.percent(of_value, 0)} of value, {amount}")
        axes.set_yticks(places, frame["group"])
        axes.set_xlim(0, max(shares.max(), worth.max()) * 1.45)
        style.percent_axis(axes.xaxis)
        style.horizontal(axes)
    top = int(worth.to_numpy().argmax())
    what = "plan" if by_plan else "renewals made"
    return Figure(
        "page_one",
        drawing,
        f"{frame['group'].iloc[top]}: {numbers.percent(shares.iloc[top], 0)} of the contracts that run, "
        f"{numbers.percent(worth.iloc[top], 0)} of their value",
        f"Share of contracts that run (light) and of their value {horizon_words(study.value.horizon_months)} (hatched), by {what}.",
        alt=f"Bar chart of shares by {what}. "
        + "; ".join(
            f"{group}: {numbers.percent(c, 0)} of contracts, {numbers.percent(v, 0)} of value"
            for group, c, v in zip(frame["group"], shares, worth, strict=True)
        ),
        frame=frame.assign(contract_share=shares, value_share=worth),
    )


def coverage(held: "Contracts", value: "ContractValue") -> str:
    """Whom the number covers, and whom it leaves out."""
    relations = held.relations
    ended = int(relations["ended"].sum())
    text = (
        f"{numbers.count(len(relations) - ended)} contracts that run, of {numbers.count(relations['customer'].nunique())} "
        f"customers who ever had one. Whoever has left ({numbers.count(ended)} contracts) is worth nothing here, though some come "
        "back; customers yet to come are not counted."
    )
    if len(held.set_aside):
        text += f" {numbers.count(len(held.set_aside))} contracts contradict themselves and are set aside."
    if value.unpriced:
        text += f" {numbers.count(value.unpriced)} have no fee in the study's currency and are in no value."
    return text


def rests_on(fits: "ContractFits", study: "Study") -> str:
    """The assumptions, named as such."""
    text = (
        f"A margin of {numbers.rate(study.value.margin).removesuffix(' a year')} of fees and a discount rate of "
        f"{numbers.rate(study.value.annual_discount_rate)}: both are **assumptions** of the study, nominal and before tax. Fees "
        f"stay what they are. Renewals are modelled with {fits.used.model.label}."
    )
    said = study.ledger.by_name()[study.contracts.source]
    if "tenure" in said.fields:
        text += (
            " The source is a snapshot, taken to hold only those who were customers shortly before or came since."
            if study.contracts.left_within
            else " The source is a snapshot, **taken to hold everybody who ever came**; if it does not, the value is far too high."
        )
    return text


def advice(trial: "Held | None") -> str:
    """What to do with the number, given how the model did."""
    if trial is None:
        return "Give the study an earlier date in `backtest.origins` before relying on the number."
    if trial.low <= trial.actual <= trial.high:
        return (
            "What came lay within the forecast's range: plan with the range, spend on keeping a contract at most what it is worth, "
            "and compare the next report with this one."
        )
    return (
        "What came lay outside the forecast's range: find out what changed after "
        f"{numbers.date_words(trial.origin)} before the next report, and do not plan on the narrow range."
    )


def drivers(run: "Workbench") -> str:
    """What the value is proportional to, and what moves it most besides."""
    from clvkit.artifact_contracts import contracts_valued_with
    from clvkit.contract_scores import contract_sensitivity

    study, change = run.study, run.study.sensitivity.change
    table = contract_sensitivity(
        contracts_valued_with(run), run.contracts(), run.seen.contract_section, study.value, change,
        as_of=study.as_of, currency=study.currency, days_per_year=study.days_per_year,
    ).set_index("driver")  # fmt: skip
    text = "It moves one for one with the **margin** (assumed) and with fees."
    for name, words in (
        ("hazard", "**Leaving** (estimated): a chance"),
        ("annual_discount_rate", "**Discount rate** (assumed): a rate"),
    ):
        if name in table.index:
            row = table.loc[name]
            up, down = (
                numbers.variance(row[f"difference_{way}"] / row["equity"], kind="percent")
                for way in ("up", "down")
            )
            text += f" {words} {numbers.percent(change, 0)} higher moves it by {up}, lower by {down}."
    return text
