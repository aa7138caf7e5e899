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
    parameters,
    spend_by_class,
    tracking,
)
from clvkit.chapters.value_holders import (
    by_group,
    by_segment,
    horizon_words,
    months_of,
    per_customer,
    value_by_holder,
    who_they_are,
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
    "by_segment",
    "checks",
    "comparison",
    "conditional",
    "histogram",
    "horizon",
    "horizon_words",
    "kinds",
    "metrics",
    "months_of",
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


def answer(valuation: "Valuation") -> Headline:
    """The value, its interval, and how far ahead one looks."""
    equity = valuation.estimates["customer_equity"]
    worth = numbers.money_with_interval(
        equity.value, equity.low, equity.high, valuation.currency, valuation.interval
    )
    comma = "" if equity.low is None else ","
    return Headline(
        f"The {numbers.count(valuation.customers)} customers are expected to bring **{worth}**{comma} of margin "
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
            (
                "Timing",
                f"by {study.models.opportunity}",
                "a purchase is discounted from the end of its period",
            )
            if valuation.process in processes.DISCRETE
            else (
                "Timing",
                "continuous",
                "a purchase is discounted from the moment it is expected, not from a period's end",
            )
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
