"""Chapter 04b: what customers are worth in all, by purchases and by contracts, and what moves the value of contracts."""

from typing import TYPE_CHECKING

import pandas as pd

from clvkit import numbers
from clvkit.customer_total import WORDS, CustomerTotal
from clvkit.exhibits import Sentence, Table

if TYPE_CHECKING:
    from clvkit.chapters.contract_value import Found
    from clvkit.checks import Check
    from clvkit.contract_value import ContractValue
    from clvkit.estimate import Estimate
    from clvkit.study import Study
    from clvkit.workbench import Workbench

TIES = 1e-9  # of the total, that sums of customers may be off


def exhibits(found: CustomerTotal, study: "Study") -> list[Sentence | Table]:
    """The total, how it is made, and its parts."""
    one = found.total
    worth = numbers.money_with_interval(one.value, one.low, one.high, study.currency, one.interval)
    text = f"All customers together are worth **{worth}**. {WORDS[found.rule]}"
    if found.left_out is not None:
        text += (
            f" The purchases of customers under contract, which the model of purchases would put at "
            f"{numbers.money(found.left_out.value, study.currency)}, are left out for that reason."
        )
    rows = [
        (words, found.customers.get(name), part.value, part.low, part.high)
        for name, words, part in (
            ("purchases", "Purchases", found.purchases),
            ("contracts", "Contracts", found.contracts),
        )
        if part is not None
    ]
    if len(rows) < 2:
        return [Sentence(text)]
    both = found.customers.get("both", 0)
    counts = [(row[1] or 0) + both for row in rows]
    total = ("All", sum(row[1] or 0 for row in rows) + both, one.value, one.low, one.high)
    frame = pd.DataFrame(
        [*((row[0], count, *row[2:]) for row, count in zip(rows, counts, strict=True)), total],
        columns=["part", "customers", "value", "low", "high"],
    )
    table = Table(
        "customer_total",
        frame,
        f"Contracts hold {numbers.percent(found.contracts.value / one.value if one.value else 0.0)} of the value",
        f"Expected margin within the horizon, discounted ({study.currency}), with its interval; the total is added draw by draw.",
        formats={"customers": "count"} | dict.fromkeys(["value", "low", "high"], "money:0"),
        labels={"part": "Part", "customers": "Customers", "value": "Value", "low": "Low", "high": "High"},
        total=True,
        note=f"{numbers.count(both)} customers have both, and count once in the last line." if both else None,
    )
    return [Sentence(text), table]


def metrics(found: CustomerTotal) -> "dict[str, Estimate]":
    """Headline figure: ``customer_equity_total``."""
    return {"customer_equity_total": found.total}


def checks(scores: "pd.DataFrame", value: "ContractValue") -> "list[Check]":
    """Whether the contracts of single customers add up to their total."""
    from clvkit.checks import Check

    total, equity = float(scores["clv_contracts"].sum()), value.equity.value
    off = abs(total - equity) / max(abs(equity), 1e-12)
    fine = off <= TIES and scores["customer"].is_unique
    return [Check(
        "contract_value.ties", "The contracts of single customers add up to the total", "pass" if fine else "fail",
        f"The values of {numbers.count(len(scores))} customers add up to {numbers.number(total, 2)} {value.equity.unit}, and the total is "
        f"{numbers.number(equity, 2)}; " + ("every customer is in it once." if scores["customer"].is_unique else "some are in it twice."),
        value=off, threshold=TIES, unit="share", severity="stop", chapter="04b_contracts",
        recommendation="" if fine else "Do not publish: report the difference to those who maintain the software.",
    )]  # fmt: skip


def sensitivity(found: "pd.DataFrame", study: "Study", change: float) -> Table:
    """What moves the value of contracts; ``found`` is of `clvkit.contract_scores.contract_sensitivity`."""
    frame = found[["label", "unit", "base", "down", "up", "equity_down", "equity_up", "swing"]].copy()
    frame["swing"] = found["swing"] / found["equity"].where(found["equity"] > 0)
    first, data = found.iloc[0], found[found["driver"] == "hazard"].iloc[0]
    drop = -data["difference_up"] / data["equity"] if data["equity"] else 0.0
    return Table(
        "contract_sensitivity",
        frame,
        f"{first['label']} moves the value of contracts most; a chance of leaving {numbers.percent(change, 0)} higher costs "
        f"{numbers.percent(drop)} of it",
        f"Contract equity ({study.currency}) with one thing alone {numbers.percent(change, 0)} lower and higher, from the as-of date on; "
        "the last column is the distance between the two, as a share of equity.",
        formats=dict.fromkeys(["base", "down", "up"], "number:3") | dict.fromkeys(["equity_down", "equity_up"], "money:0") | {"swing": "percent"},
        labels={"label": "What is moved", "unit": "Unit", "base": "Now", "down": "Lower", "up": "Higher", "equity_down": "Value, lower",
                "equity_up": "Value, higher", "swing": "Swing"},
        note="Margin, discount rate and horizon are stated in the study and cannot be tested on its data.",
    )  # fmt: skip


def moved(run: "Workbench", found: "Found | str") -> list[Table]:
    """What moves the value of a run's contracts; nothing where none are valued. ``found`` is of `contract_value.of_run`."""
    if isinstance(found, str):
        return []
    from clvkit.artifact_contracts import contracts_valued_with
    from clvkit.contract_scores import contract_sensitivity

    study, change = run.study, run.study.sensitivity.change
    table = contract_sensitivity(
        contracts_valued_with(run), run.contracts(), run.seen.contract_section, study.value, change,
        as_of=study.as_of, currency=study.currency, days_per_year=study.days_per_year,
    )  # fmt: skip
    return [sensitivity(table, study, change)]


def of_run(run: "Workbench", found: "Found | str") -> "list[Sentence | Table | Check]":
    """The total of a run's customers, with its parts and whether they tie; nothing where no contracts are valued."""
    if isinstance(found, str):
        return []
    total, scores = run.get("customer_total"), run.get("contract_scores")
    return [*exhibits(total, run.study), *checks(scores, found[1])]


def metrics_of(run: "Workbench", found: "Found | str") -> "dict[str, Estimate]":
    """Headline figure of a run; none where no contracts are valued."""
    return {} if isinstance(found, str) else metrics(run.get("customer_total"))
