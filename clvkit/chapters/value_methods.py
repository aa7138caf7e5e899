"""Chapter 05: the same customers valued in several ways side by side, and which value to use."""

from typing import TYPE_CHECKING

import pandas as pd

from clvkit import numbers
from clvkit.exhibits import Sentence, Table
from clvkit.value_methods import METHODS, Methods

if TYPE_CHECKING:
    from clvkit.workbench import Workbench

#: What to use, in a sentence.
USED = {
    "historical": "what customers have brought, and no forecast",
    "repeated": "the last period repeated",
    "cohort": "the mean of customers of an age",
    "process": "the purchase process",
    "machine": "the machine",
    "contracts": "the models of renewals",
}
_SHORT = {"repeated": "Last period repeated", "cohort": "By cohort", "process": "Probabilistic", "machine": "Machine",
          "contracts": "Contracts"}  # fmt: skip


_GROUPS = {"segment": "Segment", "plan": "Plan, the last one"}
_BY = {"segment": "segment", "plan": "the plan of the last contract"}


def of_run(run: "Workbench") -> Methods | str:
    """The values side by side of a run; why there are none, as a sentence."""
    if not run.carries_value():
        return "the data do not carry a value."
    return run.methods()


def alone(run: "Workbench") -> list[Sentence | Table]:
    """Everything of it, for a report on contracts alone, which has no chapter 5; else where it stands."""
    if not run.contractual:
        return [Sentence("Chapter 5 values the same customers in several ways side by side.")]
    found = of_run(run)
    run.record("value_methods", {"all": as_results(found)})
    return [*answer(found), *methods(found), *groups(found)]


def answer(found: Methods | str) -> list[Sentence]:
    """Which value to use, because of what."""
    if isinstance(found, str):
        return [Sentence(f"**No values side by side**: {found}")]
    total = found.groups.iloc[-1]
    text = f"**Recommended: {USED[found.recommended]}**, because {found.because}. "
    brought = numbers.money(total["historical"], found.currency)
    if found.recommended == "historical":
        text += f"The customers have brought {brought} of margin so far; nothing is said of what is still to come. "
    elif total["residual"] == total["residual"]:
        text += (
            f"The customers have brought {brought} of margin so far and are expected to "
            f"bring {numbers.money(total['residual'], found.currency)} more, {numbers.money(total['total'], found.currency)} together. "
        )
    ways = (
        found.table if found.recommended == "contracts" else found.table[found.table["method"] != "contracts"]
    )
    told = ways[ways["value"].notna()]  # contracts of a hybrid stand beside purchases, and not in their place
    if len(told) > 1:
        low, high = told.loc[told["value"].idxmin()], told.loc[told["value"].idxmax()]
        text += (
            f"Had another way been taken, the residual would read between {numbers.money(low['value'], found.currency)} "
            f"({_SHORT[low['method']].lower()}) and {numbers.money(high['value'], found.currency)} ({_SHORT[high['method']].lower()})."
        )
    return [Sentence(text)]


def methods(found: Methods | str) -> list[Table]:
    """One row a way to value: what it assumes, its value and error, whether the business admits it, and the row to use."""
    if isinstance(found, str):
        return []
    frame = found.table.drop(columns="method")
    frame["verdict"] = [
        "recommended" if name == found.recommended else "admitted" if ok else "refused"
        for name, ok in zip(found.table["method"], found.table["admitted"], strict=True)
    ]
    frame["verdict"] += frame["note"].map(lambda note: f": {note}" if note else "")
    frame[["value", "error", "error_each"]] = frame[["value", "error", "error_each"]].astype(object).where(frame[["value", "error", "error_each"]].notna(), "[z]")  # fmt: skip
    last = {"label": "Recommended", "assumes": f"{USED[found.recommended]}, because {found.because}", "value": found.groups.iloc[-1]["residual"],
            "error": "[z]", "error_each": "[z]", "verdict": ""}  # fmt: skip
    if last["value"] != last["value"]:
        last["value"] = "[z]"
    columns = ["label", "assumes", "value", "error", "error_each", "verdict"]
    past = ["Historical: brought so far", "nothing: it is in the ledger", found.groups.iloc[-1]["historical"], "[z]", "[z]",
            "no forecast: what is still to come is added to it"]  # fmt: skip
    frame = pd.concat([pd.DataFrame([past], columns=columns).astype(object), frame[columns].astype(object)], ignore_index=True)  # fmt: skip
    frame.loc[len(frame)] = [last[name] for name in columns]
    untried = [name for name in ("error", "error_each") if found.table[name].isna().all()]
    frame = frame.drop(columns=untried)
    money = numbers.money_header(found.currency)
    return [Table(
        "value_methods",
        frame,
        f"The value to use is that of {USED[found.recommended]}"
        if found.recommended != "historical"
        else "No value to come can be told",
        f"Margin of all customers: brought so far, undiscounted, and still to come over {numbers.number(found.horizon_months, 0)} "
        f"months, discounted, by each way to value ({money})"
        + ("." if len(untried) == 2 else "; errors of revenue in the hold-out of this chapter."),
        formats={name: form for name, form in {"value": "money", "error": "percent", "error_each": "number:2"}.items() if name in frame},
        labels={name: said for name, said in {"label": "Way to value", "assumes": "It assumes, or because", "value": money, "error": "Error of the total",
                "error_each": "Error per customer", "verdict": "Verdict"}.items() if name in frame},
        total=True,
        note=None if len(untried) == 2 else "Error of the total: forecast less actual revenue, as a share of actual. Error per customer: root mean squared, known where "
        "the study compares machines as well.",
    )]  # fmt: skip


def groups(found: Methods | str) -> list[Table]:
    """What each group has brought, what each way has still to come of it, and their sum by the recommended way."""
    if isinstance(found, str):
        return []
    used = [name for name in METHODS if found.groups[name].notna().any()]
    frame = found.groups[
        ["group", "customers", "repeaters", "historical", *used, "total", "use", "because"]
    ].copy()
    frame["use"] = frame["use"].map(USED) + ", because " + frame.pop("because")
    amounts = [*used, "total"]
    frame[amounts] = frame[amounts].astype(object).where(frame[amounts].notna(), "[z]")
    ends = frame["use"].nunique() == 1
    note = "Still to come: by each way, of these customers. Together: what they have brought and what the recommended way has still to come."
    if ends:  # the same words in every line tell nothing
        note += f" For every group the way to use is the same: {frame['use'].iloc[0]}."
        frame = frame.drop(columns="use")
    money = numbers.money_header(found.currency)
    labels = {"group": _GROUPS.get(found.scheme, "Customers with"), "customers": "Customers",
              "repeaters": "Bought again", "historical": "Brought so far", "total": "Together", "use": "Use"} | _SHORT  # fmt: skip
    return [Table(
        "value_methods_by_group",
        frame,
        "What customers have brought, and what each way has still to come",
        f"Margin by {_BY.get(found.scheme, 'repeat purchases so far')}, {money}: so far undiscounted, still to come "
        f"discounted over {numbers.number(found.horizon_months, 0)} months.",
        formats={"customers": "count", "repeaters": "percent:0"} | dict.fromkeys(["historical", *amounts], "money"),
        labels={name: said for name, said in labels.items() if name in frame},
        total=True,
        note=note,
    )]  # fmt: skip


def as_results(found: Methods | str) -> dict | None:
    """The comparison as ``results.json`` holds it."""
    return None if isinstance(found, str) else found.to_json()
