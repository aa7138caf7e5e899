"""Chapter 04: who holds the value, by group and by single customer."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit import numbers
from clvkit.chapters.fits import mean_for_never
from clvkit.exhibits import Figure, Sentence, Table
from clvkit.publish import style

if TYPE_CHECKING:
    from clvkit.fit import Fit
    from clvkit.valuation import Valuation


def horizon_words(months: float) -> str:
    """How far ahead, in words: ``over the next three years``."""
    if np.isinf(months):
        return "without end"
    years = months / 12
    if years == int(years):
        words = {1: "year", 2: "two years", 3: "three years", 4: "four years", 5: "five years"}
        return f"over the next {words.get(int(years), f'{int(years)} years')}"
    return f"over the next {numbers.number(months, 0)} months"


def months_of(valuation: "Valuation") -> float:
    """The headline horizon in months."""
    return round(valuation.terms.horizon_days / valuation.terms.days_per_year * 12, 6)


def value_by_holder(valuation: "Valuation", name: str = "value_by_holder") -> Figure:
    """Share of customers and share of value, by how often they bought."""
    frame = valuation.groups["frequency_class"]
    share = frame["customers"] / frame["customers"].sum()
    top, amounts = frame.iloc[-1], numbers.monies(frame["value"], valuation.currency)
    with style.canvas(height=0.5 + (0.33 if name == "page_one" else 0.42) * len(frame)) as (drawing, axes):
        places = np.arange(len(frame))
        axes.barh(places - 0.19, share, 0.34, **style.PREVIOUS_BAR)
        axes.barh(places + 0.19, frame["share"], 0.34, **style.FORECAST_BAR)
        for place, of_customers, of_value, amount in zip(places, share, frame["share"], amounts, strict=True):
            style.label(axes, of_customers, place - 0.19, f"{numbers.percent(of_customers, 0)} of customers")
            style.label(axes, of_value, place + 0.19, f"{numbers.percent(of_value, 0)} of value, {amount}")
        axes.set_yticks(places, frame["group"])
        axes.set_xlim(0, max(share.max(), frame["share"].max()) * 1.45)
        style.percent_axis(axes.xaxis)
        style.horizontal(axes)
    held = numbers.percent(top["share"], 0)
    of = numbers.percent(top["customers"] / frame["customers"].sum(), 0)
    return Figure(
        name,
        drawing,
        f"{of} of the customers, those with {top['group']}, hold {held} of the value",
        f"Share of customers (light) and of customer equity {horizon_words(months_of(valuation))} (hatched), by repeat "
        "purchases up to the as-of date. Amounts are posterior means.",
        alt="Bar chart of shares by repeat purchases. "
        + "; ".join(
            f"{g}: {numbers.percent(c, 0)} of customers, {numbers.percent(v, 0)} of value"
            for g, c, v in zip(frame["group"], share, frame["share"], strict=True)
        ),
        frame=frame.assign(customer_share=share),
        worry=None
        if name == "page_one"
        else "Value held by few means that losing a few of them moves the total, and no interval here counts that "
        "somebody could lure them away together.",
    )


def by_group(valuation: "Valuation", scheme: str) -> Table:
    """Customers, expected purchases and value by group, with a total."""
    frame = valuation.groups[scheme].copy()
    equity = valuation.estimates["customer_equity"]
    total = {"group": "All", "value": equity.value, "low": equity.low, "high": equity.high, "mle": equity.mle}
    total |= {name: frame[name].sum() for name in ("customers", "alive", "purchases", "share")}
    outcome = valuation.estimates["customer_equity_outcome"]
    total |= {"outcome_low": outcome.low, "outcome_high": outcome.high}
    shown = pd.concat([frame, pd.DataFrame([total])], ignore_index=True)
    shown["per_customer"] = shown["value"] / shown["customers"]
    each = frame["value"] / frame["customers"]
    most, least = frame.loc[each.idxmax()], frame.loc[each.idxmin()]
    what = {"frequency_class": "Customers with", "cohort": "First bought in", "segment": "Segment"}[scheme]
    money = numbers.money_header(valuation.currency)
    title = (
        f"A customer of the group “{most['group']}” is worth {numbers.money(each.max(), valuation.currency)}, one of "
        f"“{least['group']}” {numbers.money(each.min(), valuation.currency)}"
        if len(frame) > 1
        else "All customers belong to one group"
    )
    return Table(
        f"value_by_{scheme}",
        shown[["group", "customers", "alive", "purchases", "value", "low", "high", "outcome_low", "outcome_high",
               "per_customer"]],
        title,
        f"Customer equity {horizon_words(months_of(valuation))}, {money}; low and high of what is expected, then of what "
        f"may be seen. Ranges hold {numbers.odds_words(valuation.interval)} for each line by itself and do not add up.",
        formats={"customers": "count", "alive": "count", "purchases": "count", "value": "money", "low": "money",
                 "high": "money", "outcome_low": "money", "outcome_high": "money", "per_customer": "money:2"},
        labels={"group": what, "customers": "Customers", "alive": "Still alive", "purchases": "Purchases",
                "value": f"Value, {money}", "low": "Low", "high": "High", "outcome_low": "Seen, low", "outcome_high": "Seen, high",
                "per_customer": f"Per customer, {money}"},
        total=True,
    )  # fmt: skip


def by_segment(valuation: "Valuation") -> list[Table]:
    """The value by segment; nothing where there is only one."""
    return [by_group(valuation, "segment")] if len(valuation.groups["segment"]) > 1 else []


def per_customer(scores: pd.DataFrame, valuation: "Valuation") -> Table:
    """What single customers are worth: the customer in the middle, and those nearer the top."""
    ranked = scores.sort_values("clv", ignore_index=True)
    reached = ranked["n"].cumsum() / ranked["n"].sum()
    ranks = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
    rows = ranked.iloc[[int(np.argmax(reached >= rank)) for rank in ranks]]
    frame = rows[["clv", "clv_low", "clv_high", "outcome_low", "outcome_high"]].reset_index(drop=True)
    frame.insert(0, "rank", [numbers.percent(rank, 0) for rank in ranks])
    middle, mean = frame["clv"].iloc[2], valuation.estimates["clv_mean"].value
    money = numbers.money_header(valuation.currency)
    return Table(
        "value_per_customer",
        frame,
        f"Half of the customers are worth {numbers.money(middle, valuation.currency)} or less; the mean is "
        f"{numbers.money(mean, valuation.currency)}",
        f"Value of single customers {horizon_words(months_of(valuation))}, {money}, in order of value: the customer below "
        "which that share of all customers lies; low and high of what is expected of it, then of what may be seen.",
        formats={name: "money:2" for name in frame.columns[1:]},
        labels={"rank": "Of customers below", "clv": f"Value, {money}", "clv_low": "Low", "clv_high": "High",
                "outcome_low": "Seen, low", "outcome_high": "Seen, high"},
        note="The value of one customer is an expectation, and what it will bring is mostly luck: most bring nothing, a few "
        "a lot. Use it for groups and for order, not as a promise.",
    )  # fmt: skip


def who_they_are(valuation: "Valuation", spend: "Fit") -> Sentence:
    """Never-repeaters are their own line, and how they are valued."""
    frame = valuation.groups["frequency_class"].set_index("group")
    if "no repeat purchase" not in frame.index:
        return Sentence("Every customer has bought at least twice.")
    never, whole = frame.loc["no repeat purchase"], frame.sum(numeric_only=True)
    label = valuation.label
    text = (
        f"**{numbers.count(never['customers'])} customers, {numbers.percent(never['customers'] / whole['customers'])} of "
        f"all, have never bought again.** They are expected to make {numbers.percent(never['purchases'] / whole['purchases'])} "
        f"of the purchases to come and hold {numbers.percent(never['share'])} of the value. Nothing is known of what they "
        f"spend on a repeat purchase, so they are valued at {mean_for_never(spend, valuation.currency)}."
    )
    if valuation.process == "bgnbd":
        text += (
            f" {label} counts every one of them as alive, by construction: nobody can leave before a first repeat "
            "purchase. MBG/NBD and Pareto/NBD do not have that flaw."
        )
    return Sentence(text)
