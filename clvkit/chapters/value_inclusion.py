"""Chapter 04: what the rules of inclusion do to the value: whom it holds one by one, as a mean, and not at all."""

from typing import TYPE_CHECKING

import pandas as pd

from clvkit import numbers
from clvkit.chapters.history import RULES
from clvkit.chapters.ledger_words import count
from clvkit.chapters.value_holders import horizon_words, months_of
from clvkit.exhibits import Sentence, Table

if TYPE_CHECKING:
    from clvkit.valuation import Valuation
    from clvkit.workbench import Workbench


def steps_of(run: "Workbench") -> pd.DataFrame | None:
    """The funnel of customers and revenue (`clvkit.ledger.inclusion.funnel`); None where the study has no rule."""
    from clvkit.ledger.inclusion import InclusionSection, funnel

    section = run.study.ledger.inclusion
    return None if section == InclusionSection() else funnel(run.everybody(), section)


def by_treatment(
    valuation: "Valuation", steps: pd.DataFrame | None, minor_digits: int
) -> list[Table | Sentence]:
    """Customers, what they have brought, and what they are worth, by what the study's rules do with them.

    Nothing where the study has no rule. ``steps`` is what `steps_of` returns, its revenue in minor units.
    """
    if steps is None:
        return []
    unit, money = 10**minor_digits, numbers.money_header(valuation.currency)
    frame = pd.DataFrame(list(_lines(valuation, steps, unit)))
    equity = valuation.estimates["customer_equity"]
    total = {
        "who": "All customers of the ledger",
        "value": equity.value,
        "low": equity.low,
        "high": equity.high,
    }
    total |= {name: frame[name].sum() for name in ("customers", "revenue")}
    shown = pd.concat([frame, pd.DataFrame([total])], ignore_index=True)
    shown["each"] = shown["value"].where(shown["value"].notna()) / shown["customers"]
    shown.loc[len(frame), "each"] = float("nan")
    shown = shown.astype({"value": object, "low": object, "high": object, "each": object})
    for name in ("value", "low", "high", "each"):
        shown[name] = shown[name].where(shown[name].notna(), numbers.NOT_APPLICABLE)
    table = Table(
        "value_by_inclusion",
        shown[["who", "customers", "revenue", "value", "low", "high", "each"]],
        _title(frame, equity.value),
        f"Customers by what the rules of inclusion do with them: actual revenue up to the as-of date, and customer equity "
        f"{horizon_words(months_of(valuation))} with its expected interval, {money}.",
        formats={"customers": "count", "revenue": "money", "value": "money", "low": "money", "high": "money",
                 "each": "money:2"},
        labels={"who": "Customers", "customers": "Number", "revenue": f"Revenue, {money}", "value": f"Value, {money}",
                "low": "Low", "high": "High", "each": f"Per customer, {money}"},
        total=True,
        note="Whoever is valued as the segment counts at the mean of its customers who are valued one by one (at the "
        "company's, where a segment has none), taken anew for every draw; the customers themselves stay in what models "
        "are fitted to. Whoever is left out is in no fit and no value, and stays in the reconciliation with the revenue "
        "shown here.",
    )  # fmt: skip
    return [table, *_instead(valuation)]


def _lines(valuation: "Valuation", steps: pd.DataFrame, unit: int):
    own = steps.iloc[-1]
    held = valuation.groups.get("valued_as")
    equity = valuation.estimates["customer_equity"]
    alone = {"value": equity.value, "low": equity.low, "high": equity.high}
    by_rule = {} if held is None else held.set_index("group")[["value", "low", "high"]].to_dict("index")
    yield {
        "who": "Valued one by one",
        "customers": int(own["customers"]),
        "revenue": own["revenue_minor"] / unit,
    } | (by_rule.get("modelled", alone))
    for step in steps.iloc[1:-1].itertuples():
        if step.treatment == "include" or not step.customers:
            continue
        as_segment = step.treatment == "segment_average"
        what = "valued as the segment" if as_segment else "left out"
        value = by_rule[step.step] if as_segment else dict.fromkeys(("value", "low", "high"), float("nan"))
        name = RULES.get(step.step, step.step)
        yield {"who": f"{name[:1].upper()}{name[1:]}: {what}", "customers": step.customers,
               "revenue": step.revenue_minor / unit} | value  # fmt: skip


def _title(frame: pd.DataFrame, equity: float) -> str:
    averaged = frame[frame["who"].str.endswith("valued as the segment")]
    gone = frame[frame["who"].str.endswith("left out")]
    said = []
    if len(averaged):
        share = averaged["value"].sum() / equity
        said.append(f"{numbers.percent(share)} of the value is that of customers valued as their segment")
    if len(gone):
        share = gone["revenue"].sum() / frame["revenue"].sum()
        said.append(f"customers with {numbers.percent(share)} of the revenue are left out")
    text = "; ".join(said) or "All customers are valued one by one"
    return text[:1].upper() + text[1:]


def _instead(valuation: "Valuation") -> list[Sentence]:
    """What equity would be without means; nothing where there are none."""
    if valuation.one_by_one is None:
        return []
    equity = valuation.estimates["customer_equity"].value
    more = "more" if valuation.one_by_one > equity else "less"
    change = abs(valuation.one_by_one / equity - 1)
    return [
        Sentence(
            f"Were everybody valued one by one, equity would be {numbers.money(valuation.one_by_one, valuation.currency)}, "
            f"{numbers.percent(change)} {more}: that is what valuing customers as their segment decides."
        )
    ]


def in_words(steps: pd.DataFrame | None, currency: str, minor_digits: int) -> str:
    """For page one: how many customers are left out with what revenue, and how many are valued as their segment."""
    if steps is None:
        return ""
    text = ""
    gone, averaged = (steps[steps["treatment"] == name] for name in ("exclude", "segment_average"))
    if number := int(gone["customers"].sum()):
        revenue = numbers.money(gone["revenue_minor"].sum() / 10**minor_digits, currency)
        text += f" The study leaves {count(number, 'customer')} with {revenue} of revenue out of the value."
    if number := int(averaged["customers"].sum()):
        text += f" {count(number, 'customer')} {'is' if number == 1 else 'are'} valued at the mean of the segment."
    return text
