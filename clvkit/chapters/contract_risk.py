"""Chapter 04b: which contracts may be left within a year, and how much value goes with them."""

from typing import TYPE_CHECKING

import pandas as pd

from clvkit import numbers
from clvkit.checks import Check
from clvkit.contract_risk import by_group, contract_risk, quadrants, rated
from clvkit.exhibits import Sentence, Table

if TYPE_CHECKING:
    from clvkit.chapters.contract_value import Found
    from clvkit.workbench import Workbench

CHAPTER = "04b_contracts"
_FORMATS = {"contracts": "count", "chance": "percent", "hazard": "number:2", "leaves": "count", "value": "money", "at_risk": "money",
            "share": "percent"}  # fmt: skip
_COLUMNS = ["group", "contracts", "chance", "hazard", "leaves", "value", "at_risk", "share"]


def of_run(run: "Workbench", found: "Found | str") -> list[Sentence | Table | Check]:
    """The risk by plan, the four quadrants, and whether both hold every contract; nothing where no contracts are valued."""
    if isinstance(found, str):
        return []
    from clvkit.artifact_contracts import contracts_valued_with

    study = run.study
    made = contract_risk(contracts_valued_with(run), run.contracts(), run.seen.contract_section, study.value, as_of=study.as_of,
                         currency=study.currency, days_per_year=study.days_per_year)  # fmt: skip
    if made is None:
        return [
            Sentence(
                "Contracts may end on any day here: who leaves within a year is not told renewal by renewal."
            )
        ]
    plans, parts = by_group(made, "plan"), quadrants(made)
    return [profile(plans, study.currency), quadrant(parts, study.currency), *checks(made, plans, parts)]


def profile(plans: pd.DataFrame, currency: str) -> Table:
    """Chance of leaving and value at risk by plan."""
    whole, worst = _total(plans), plans.loc[plans["chance"].idxmax()]
    title = (
        f"{numbers.percent(whole['chance'], 0)} of the contracts that run are expected to be left within twelve months, and "
        f"{numbers.money(whole['at_risk'], currency)} of the value with them"
    )
    note = f"The highest chance is that of the plan {worst['group']}." if len(plans) > 1 else None
    return _table("contract_risk", plans, title, "By the plan of today", "Plan", currency, note)


def quadrant(parts: pd.DataFrame, currency: str) -> Table:
    """The contracts by value and by chance of leaving, each parted at its middle."""
    first = parts[parts["group"] == "worth more, more likely to leave"]
    held = float(first["value"].sum()) / max(float(parts["value"].sum()), 1e-12)
    title = (
        f"{numbers.count(int(first['contracts'].sum()))} contracts are worth more than the middle and likelier to be left than the "
        f"middle: {numbers.percent(held, 0)} of the value"
    )
    note = "Whoever has money for keeping customers looks at these first: there is something to lose, and a chance that it is lost."
    said = "Parted where half of the contracts are worth less, and half are less likely to be left"
    return _table("contract_quadrants", parts, title, said, "Contracts", currency, note)


def checks(made: pd.DataFrame, plans: pd.DataFrame, parts: pd.DataFrame) -> list[Check]:
    """Whether plans and quadrants hold every contract, and all of the value."""
    total = float(made["value"].sum())
    off = max(abs(float(one["value"].sum()) - total) for one in (plans, parts)) / max(abs(total), 1e-12)
    fine = off <= 1e-9 and all(int(one["contracts"].sum()) == len(made) for one in (plans, parts))
    return [Check(
        "contract_risk.ties", "Quadrants and plans hold every contract once", "pass" if fine else "fail",
        f"{numbers.count(len(made))} contracts and all of their value stand in the table by plan and in the quadrants." if fine
        else "The tables of contracts at risk do not add up to the contracts that run.",
        value=off, threshold=1e-9, unit="share", severity="stop", chapter=CHAPTER,
        recommendation="" if fine else "Do not publish: report the difference to those who maintain the software.",
    )]  # fmt: skip


def _total(frame: pd.DataFrame) -> pd.Series:
    sums = frame[["contracts", "leaves", "value", "at_risk"]].sum().to_frame().T
    return rated(sums.assign(group="All")).iloc[0]


def _table(
    name: str, frame: pd.DataFrame, title: str, said: str, what: str, currency: str, note: str | None
) -> Table:
    money = numbers.money_header(currency)
    shown = pd.concat([frame, _total(frame).to_frame().T], ignore_index=True)[_COLUMNS]
    return Table(
        name,
        shown.astype({column: float for column in _COLUMNS[1:]}),
        title,
        f"{said}: chance that a contract is left at a renewal within twelve months, the hazard a year that it amounts to, how many are "
        f"expected to be, and the value at risk: that of each contract times its chance ({money}).",
        formats=_FORMATS,
        labels={"group": what, "contracts": "Running", "chance": "Leave in 12 months", "hazard": "Hazard a year", "leaves": "Expected to leave",
                "value": f"Value, {money}", "at_risk": "At risk", "share": "of value"},
        total=True,
        note=note,
    )  # fmt: skip
