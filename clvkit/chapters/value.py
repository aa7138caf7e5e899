"""Chapter 04, second half: what the customers are worth, who holds it, and what it rests on."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit import numbers, processes
from clvkit.chapters.fits import (
    as_results,
    comparison,
    conditional,
    histogram,
    mean_for_never,
    parameters,
    spend_by_class,
    tracking,
)
from clvkit.checks import Check
from clvkit.estimate import Estimate
from clvkit.exhibits import Figure, Headline, Sentence, Table
from clvkit.publish import style

if TYPE_CHECKING:
    from clvkit.fit import Fit
    from clvkit.study import Study
    from clvkit.valuation import Valuation

MOST_ALIVE, MOST_AHEAD = 0.98, 2.5  # beyond these, a reader should know what the value rests on

__all__ = [
    "answer",
    "as_results",
    "by_group",
    "checks",
    "comparison",
    "conditional",
    "histogram",
    "horizon",
    "kinds",
    "metrics",
    "parameters",
    "per_customer",
    "prior_effect",
    "rate_card",
    "spend_by_class",
    "tracking",
    "value_by_holder",
    "who_they_are",
]  # fmt: skip

METRICS = {
    "customer_equity": "Customer equity",
    "customer_equity_outcome": "Customer equity, with the luck of single purchases",
    "customer_equity_lifetime": "Customer equity, without end",
    "customers_alive": "Customers still alive",
    "purchases_expected": "Purchases",
    "purchases_outcome": "Purchases, with the luck of single purchases",
}


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


def answer(valuation: "Valuation") -> Headline:
    """The value, its interval, and how far ahead one looks."""
    equity = valuation.estimates["customer_equity"]
    worth = numbers.money_with_interval(
        equity.value, equity.low, equity.high, valuation.currency, valuation.interval
    )
    return Headline(
        f"The {numbers.count(valuation.customers)} customers are expected to bring **{worth}**, of margin "
        f"{horizon_words(months_of(valuation))}, in today's money."
    )


def metrics(valuation: "Valuation") -> dict:
    """Every headline figure by metric id: the estimate, and for equity the same by group of each scheme."""
    make = {"unit": valuation.currency, "interval": valuation.interval}
    by = {
        f"{scheme}: {row.group}": Estimate(row.value, row.low, row.high, row.mle, **make)
        for scheme, frame in valuation.groups.items()
        for row in frame.itertuples()
    }
    seen = {
        f"{scheme}: {row.group}": Estimate(
            row.value, row.outcome_low, row.outcome_high, row.mle, kind="outcome", **make
        )
        for scheme, frame in valuation.groups.items()
        for row in frame.itertuples()
    }
    parts = {"customer_equity": by, "customer_equity_outcome": seen}
    return {
        name: {"value": one} | ({"by": parts[name]} if name in parts else {})
        for name, one in valuation.estimates.items()
    }


def kinds(valuation: "Valuation") -> Table:
    """Every headline figure with its interval, its kind, and the plug-in beside it."""
    rows = []
    for name, label in METRICS.items():
        one = valuation.estimates.get(name)
        if one is not None:
            rows.append({"figure": label, "unit": one.unit, "kind": one.kind, "value": one.value, "low": one.low,
                         "high": one.high, "mle": one.mle})  # fmt: skip
    frame = pd.DataFrame(rows)
    equity, outcome = (valuation.estimates[k] for k in ("customer_equity", "customer_equity_outcome"))
    title = "No posterior was drawn for the headline process: the figures have no expected interval"
    if equity.high is not None and equity.high > equity.low:
        wider = (outcome.high - outcome.low) / (equity.high - equity.low)
        title = (
            f"What will be seen is less certain than what is expected: its range is {wider:.1f} times as wide"
        )
    return Table(
        "headline_figures",
        frame,
        title,
        f"Posterior means with intervals that hold {numbers.odds_words(valuation.interval)}, "
        f"{horizon_words(months_of(valuation))} unless said otherwise. Kind: expected, the parameters are uncertain; "
        "outcome, purchases and amounts are random as well.",
        formats={
            name: "number:2" if valuation.customers < 10 else "number:0"
            for name in ("value", "low", "high", "mle")
        },
        labels={
            "figure": "Figure",
            "unit": "Unit",
            "kind": "Kind",
            "value": "Value",
            "low": "Low",
            "high": "High",
            "mle": "At maximum likelihood",
        },
        note="The value is the posterior mean: the only figure that adds up over customers. It differs from the "
        "plug-in at the maximum-likelihood estimate because the posterior is skewed.",
    )


def value_by_holder(valuation: "Valuation", name: str = "value_by_holder") -> Figure:
    """Share of customers and share of value, by how often they bought."""
    frame = valuation.groups["frequency_class"]
    share = frame["customers"] / frame["customers"].sum()
    top = frame.iloc[-1]
    with style.canvas(height=0.5 + (0.36 if name == "page_one" else 0.42) * len(frame)) as (drawing, axes):
        places = np.arange(len(frame))
        axes.barh(places - 0.19, share, 0.34, **style.PREVIOUS_BAR)
        axes.barh(places + 0.19, frame["share"], 0.34, **style.FORECAST_BAR)
        for place, of_customers, of_value, worth in zip(
            places, share, frame["share"], frame["value"], strict=True
        ):
            style.label(axes, of_customers, place - 0.19, f"{numbers.percent(of_customers, 0)} of customers")
            amount = numbers.money(worth, valuation.currency)
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
    label = processes.LABELS[valuation.process]
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


def horizon(valuation: "Valuation") -> Figure:
    """Equity by how far ahead one looks, and without end."""
    frame = valuation.path
    finite = frame[np.isfinite(frame["months"])]
    endless = frame[~np.isfinite(frame["months"])]
    reached, here = finite.iloc[-1], months_of(valuation)
    unit = (
        "million" if finite["value"].max() >= 1e6 else "thousand" if finite["value"].max() >= 1e4 else "one"
    )
    scale = {"million": 1e6, "thousand": 1e3, "one": 1.0}[unit]
    ends = [0.0, *finite["months"]]
    with style.canvas(height=2.9) as (drawing, axes):
        axes.plot(ends, [0.0, *(finite["value"] / scale)], **style.FORECAST)
        if finite["low"].notna().all():
            axes.fill_between(
                ends, [0.0, *(finite["low"] / scale)], [0.0, *(finite["high"] / scale)], **style.BAND
            )
        style.label(
            axes,
            reached["months"],
            reached["value"] / scale,
            numbers.money(reached["value"], valuation.currency),
        )
        axes.set_xlim(0, reached["months"] * 1.22)
        axes.set_ylim(bottom=0)
        axes.set_xticks(ends if len(ends) < 9 else ends[::2])
        axes.set_xlabel("months ahead")
        axes.set_ylabel(numbers.money_header(valuation.currency, unit))
    title = f"{horizon_words(here)[0].upper()}{horizon_words(here)[1:]} the value reaches {numbers.money(reached['value'], valuation.currency)}"
    if len(endless):
        share = reached["value"] / endless["value"].iloc[0]
        title = f"The horizon of {numbers.number(here, 0)} months holds {numbers.percent(share, 0)} of the value without end"
    return Figure(
        "value_by_horizon",
        drawing,
        title,
        "Customer equity by how far ahead purchases count, in today's money; the band holds "
        f"{numbers.odds_words(valuation.interval)} at each point.",
        alt=f"A rising curve of customer equity over {numbers.number(here, 0)} months, reaching "
        f"{numbers.money(reached['value'], valuation.currency)}.",
        frame=frame.assign(months=frame["months"].astype(float)),
        worry="What lies beyond the horizon is the model's extrapolation of how slowly customers leave; no back-test "
        "here reaches that far. The figure without end is for comparison and not for use.",
    )


def prior_effect(valuation: "Valuation") -> Sentence:
    """What the priors contribute to equity."""
    equity = valuation.estimates["customer_equity"]
    plug = f"At the maximum-likelihood estimate equity is {numbers.money(equity.mle, valuation.currency)}"
    if valuation.wider_priors is None:
        return Sentence(f"{plug}; no posterior was drawn, and no prior enters.")
    return Sentence(
        f"{plug}, the posterior mean is {numbers.money(equity.value, valuation.currency)}, "
        f"{_change(equity.value / equity.mle)}. Had every prior been twice as wide, it would be "
        f"{numbers.money(valuation.wider_priors, valuation.currency)}, "
        f"{_change(valuation.wider_priors / equity.value)}: that much is the priors' doing."
    )


def _change(ratio: float) -> str:
    """What a ratio of two amounts is in words: ``0.3 % more``, ``the same to within 0.1 %``."""
    if abs(ratio - 1) < 0.0005:
        return "the same to within 0.1 %"
    return f"{numbers.percent(abs(ratio - 1))} {'more' if ratio > 1 else 'less'}"


def rate_card(valuation: "Valuation", study: "Study") -> Table:
    """What turns purchases into value: each assumption with its unit and its meaning."""
    terms = valuation.terms
    months = numbers.number(study.value.horizon_months, 0)
    rows = [
        (
            "Margin",
            f"{numbers.rate(terms.margin).removesuffix(' a year')} of revenue",
            "assumed; before tax, constant",
        ),
        (
            "Discount rate",
            numbers.rate(terms.annual_discount_rate),
            "assumed; nominal, before tax, effective a year",
        ),
        (
            "Timing",
            "continuous",
            "a purchase is discounted from the moment it is expected, not from a period's end",
        ),
        ("Horizon", f"{months} months", "from the as-of date"),
        (
            "Attrition",
            "in the process",
            "in P(alive) and expected purchases, never in the discount rate as well",
        ),
        ("Year", f"{numbers.number(terms.days_per_year, 2)} days", "converts annual rates and the horizon"),
    ]
    return Table(
        "rate_card",
        pd.DataFrame(rows, columns=["what", "value", "means"]),
        "Margin and discount rate are assumptions, and the value is proportional to the margin",
        "What turns expected purchases into money. The audit file lists every parameter and where it was given.",
        labels={"what": "Assumption", "value": "Value", "means": "What it means"},
    )


def checks(valuation: "Valuation", fit: "Fit", cells: "pd.DataFrame") -> list[Check]:
    """Whether the value rests on attrition that was seen, and on a history as long as what it looks ahead to."""
    alive = valuation.estimates["customers_alive"].value / valuation.customers
    all_alive = alive > MOST_ALIVE and valuation.process != "bgnbd"
    history, ahead = float(cells["T_days"].max()), valuation.terms.horizon_days
    far = ahead / history > MOST_AHEAD
    return [
        Check(
            "value.attrition",
            "Customers are seen to leave",
            "review" if all_alive else "pass",
            f"{fit.model.label} takes {numbers.percent(alive)} of the customers for still alive"
            + (
                ": it saw hardly anybody leave, so the value takes them to go on buying as they do."
                if all_alive
                else "."
            ),
            value=alive,
            threshold=MOST_ALIVE,
            unit="share of customers",
            recommendation="The history may be too short for leaving to show, or its start may cut off the first purchases "
            "of old customers. Shorten the horizon, or use a longer history."
            if all_alive
            else "",
            chapter="04_value",
        ),
        Check(
            "value.horizon",
            "The horizon beside the history",
            "review" if far else "pass",
            f"The value looks {numbers.count(ahead)} days ahead, after a history of {numbers.count(history)} days.",
            value=ahead / history,
            threshold=MOST_AHEAD,
            unit="horizon over history",
            recommendation="No back-test reaches as far as the value does: shorten value.horizon_months to what the history "
            "can bear, or say that the rest is extrapolated."
            if far
            else "",
            chapter="04_value",
        ),
    ]
