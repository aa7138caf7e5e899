"""Chapter 04: customers who have been silent for long, and what a rule about them would do to the value."""

from typing import TYPE_CHECKING

from clvkit import numbers
from clvkit.exhibits import Sentence, Table

if TYPE_CHECKING:
    from clvkit.dormancy import Dormancy
    from clvkit.valuation import Valuation

_DOES = {
    "retain": "leaves them what the process has for them",
    "depreciate": "halves it for every {} days beyond the threshold",
    "zero": "writes it off",
}


def exhibits(found: "Dormancy | None", valuation: "Valuation") -> list[Sentence | Table]:
    """Customer equity under each treatment and threshold; a sentence where nobody bought twice."""
    if found is None:
        return [
            Sentence(
                "Nobody bought twice, so that no silence is longer than usual: there are no dormant customers."
            )
        ]
    row, money = found.row, lambda amount: numbers.money(amount, valuation.currency)
    lost = row["retain"] - row["zero"]
    title = (
        f"Writing off customers silent for more than {numbers.count(found.after_days)} days would take "
        f"{numbers.percent(lost / row['retain'] if row['retain'] else 0.0)} of customer equity away"
    )
    does = _DOES[found.treatment].format(numbers.number(found.half_life_days, 0))
    said = Sentence(
        f"{numbers.count(row['customers'])} of {numbers.count(valuation.customers)} customers have been silent for more than "
        f"{numbers.count(found.after_days)} days"
        + ("" if row["from"] == "study" else f", longer than {row['from']} of the gaps between purchases")
        + f". The process leaves them {money(row['held'])} of value. The study {does}: customer equity is "
        f"{money(row[found.treatment])}."
    )
    columns = ["after_days", "from", "customers", "held", "retain", "depreciate", "zero"]
    frame = found.table[columns].assign(**{"from": found.table["from"].map(_origin)})
    return [said, Table(
        "dormancy",
        frame,
        title,
        f"Customers beyond a silence, their value as the process has it, and customer equity ({valuation.currency}) if it is "
        f"kept, halved every {numbers.number(found.half_life_days, 0)} days beyond the threshold, or written off.",
        formats={"after_days": "count", "customers": "count"} | dict.fromkeys(columns[3:], "money"),
        labels={"after_days": "Silent for more than, days", "from": "Threshold", "customers": "Customers", "held": "They hold",
                "retain": "Equity, retained", "depreciate": "depreciated", "zero": "written off"},
        note="The process already holds most of the silent for gone: what they hold is the little it still sees. A rule that "
        "takes more away is a policy, such as prudence, and no finding of the data.",
    )]  # fmt: skip


def _origin(name: str) -> str:
    return "the study's" if name == "study" else f"{name} of gaps are no longer"


def as_results(found: "Dormancy | None") -> dict | None:
    """The comparison as ``results.json`` holds it."""
    if found is None:
        return None
    rows = found.table.astype(object).where(found.table.notna(), None).to_dict("records")
    return {
        "treatment": found.treatment,
        "after_days": found.after_days,
        "half_life_days": found.half_life_days,
        "thresholds": rows,
    }
