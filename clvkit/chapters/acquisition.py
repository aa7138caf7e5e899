"""Chapter 04: what customers cost by the channel that won them, what they bring, and when they have paid for it."""

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit import numbers
from clvkit.acquisition import NO_CHANNEL, OUTSIDE, Economics
from clvkit.checks import Check
from clvkit.exhibits import Sentence, Table

if TYPE_CHECKING:
    from clvkit.study import Study
    from clvkit.valuation import Valuation

NEAR = 1e-6  # of equity: what sums of floats in another order may differ by


def exhibits(found: Economics | None, valuation: "Valuation", study: "Study") -> list[Table | Sentence]:
    """Cost and payback, differences, and what adds up to what; a sentence where the study names no channels."""
    if found is None:
        return [
            Sentence(
                "The study does not say who won its customers: `acquisition` is empty. With `by` (what a customers table says "
                "of them) and `spend` (a marketing table), cost, value and payback are shown by channel."
            )
        ]
    return [costs(found, study), differences(found, study), holders(found, valuation, study)]


def costs(found: Economics, study: "Study") -> Table:
    """What a customer costs and brings, and in which month it has paid for itself, by channel."""
    one, currency = found.channels, study.currency
    paid = [_payback(*row, found) for row in one[["payback", "payback_low", "payback_high"]].to_numpy()]
    frame = one[["channel", "customers", "spend", "cac", "so_far", "clv", "low", "high"]].assign(payback=paid)
    first, last = (f"{month.start_time:%B %Y}" for month in found.outlay.months)
    dear = one.loc[one["cac"].idxmax()] if one["cac"].notna().any() else None
    title = "No channel has both customers and spend"
    if dear is not None:
        cheap = one.loc[one["cac"].idxmin()]
        title = f"A customer costs {_money(cheap['cac'], currency)} by {cheap['channel']}"
        if cheap["channel"] != dear["channel"]:
            title += f" and {_money(dear['cac'], currency)} by {dear['channel']}"
    late = int(np.isinf(one["payback"]).sum())
    if late:
        title += f"; {numbers.count(late)} of {len(one)} channels not paid back within the horizon"
    torn = f" {numbers.percent(found.torn)} of the customers have records that name several channels: the most frequent counts."
    return Table(
        "acquisition_costs",
        frame,
        title,
        f"Customers first seen from {first} to {last}, the months with spend, by the channel that won them ({currency}). Cost: "
        f"spend over customers. So far: margin that a customer has brought. Still to come: mean value within the horizon, with "
        f"its {numbers.percent(found.interval, 0)} interval. Payback: months after which a new customer is expected to have "
        "brought its cost, the first purchase counted, not discounted (range of the parameters).",
        formats={"customers": "count"} | dict.fromkeys(["spend", "cac", "so_far", "clv", "low", "high"], "money:2"),
        labels={"channel": "Channel", "customers": "Customers", "spend": "Spend", "cac": "Cost a customer", "so_far": "So far",
                "clv": "Still to come", "low": "Low", "high": "High", "payback": "Payback, months"},
        note=(
            "What a new customer brings is the model's for the kinds of customers that the channel brings. "
            if found.by_channel
            else "What a new customer brings is the model's for all customers alike: channels pay back at other times because "
            "they cost otherwise. With the channel as segment (models.segment_by, models.segments) each has its own. "
        )
        + "Spend is taken to win the customers of its own month." + (torn if found.torn else ""),
    )  # fmt: skip


def differences(found: Economics, study: "Study") -> Table:
    """Whether the customers of a channel are worth more or less than those of the others."""
    frame = found.channels[["channel", "customers", "clv", "apart", "apart_low", "apart_high"]]
    sure = found.channels[found.channels["differs"]]
    title = "No channel brings customers worth more or less than the others' for sure"
    if len(sure):
        said = [f"{one.channel} {'more' if one.apart > 0 else 'less'}" for one in sure.itertuples()]
        title = f"Customers of some channels are worth more or less than the others': {' and '.join(said)}"
        if len(sure) == 1:
            how = "more" if sure["apart"].iloc[0] > 0 else "less"
            title = f"Customers of {sure['channel'].iloc[0]} are worth {how} than those of the other channels"
    return Table(
        "acquisition_differences",
        frame,
        title,
        f"Mean value still to come of a customer ({study.currency}), and how far it is from that of the other channels' "
        f"customers, with its {numbers.percent(found.interval, 0)} interval.",
        formats={"customers": "count"} | dict.fromkeys(["clv", "apart", "apart_low", "apart_high"], "money:2"),
        labels={"channel": "Channel", "customers": "Customers", "clv": "Still to come", "apart": "Beside the others",
                "apart_low": "Low", "apart_high": "High"},
        note="The interval holds the luck in which customers a channel brought, so that it speaks of those it will bring. A "
        "channel that grew lately has younger customers, and of these more is still to come: that is no merit of the channel. The "
        "title names a channel only where an interval made wider for the number of channels is without zero.",
    )  # fmt: skip


def holders(found: Economics, valuation: "Valuation", study: "Study") -> Table:
    """Customers, spend and value by channel, with the rest of both: what adds up to customer equity and to the table."""
    names = {NO_CHANNEL: "without a channel", OUTSIDE: "in other months"}
    spend = [
        found.outlay.rest.get(names[one], 0) if one in names else found.outlay.by_channel.get(one, 0)
        for one in found.holders["group"]
    ]
    equity, minor = valuation.estimates["customer_equity"], 10 ** numbers.minor_units(study.currency)
    frame = found.holders.assign(spend=np.array(spend) / minor)
    kept = (frame["customers"] > 0) | (frame["spend"] != 0)
    total = {"group": "all", "customers": int(frame["customers"].sum()), "value": equity.value, "low": equity.low,
             "high": equity.high, "spend": found.outlay.total / minor}  # fmt: skip
    shown = pd.concat([frame[kept], pd.DataFrame([total])], ignore_index=True)
    shown["share"] = shown["value"] / equity.value
    abroad = ", ".join(f"{code} {numbers.number(n / 100)}" for code, n in found.outlay.abroad.items())
    rest = frame.loc[frame["group"].isin(names), "value"].sum() / equity.value
    return Table(
        "acquisition_holders",
        shown[["group", "customers", "spend", "value", "low", "high", "share"]],
        f"{numbers.percent(1 - rest)} of customer equity is of customers whose channel and cost are known",
        f"Customers, spend of the marketing table and value still to come by channel ({study.currency}).",
        formats={"customers": "count", "spend": "money:2", "share": "percent:1"} | dict.fromkeys(["value", "low", "high"], "money:0"),
        labels={"group": "Channel", "customers": "Customers", "spend": "Spend", "value": "Value", "low": "Low", "high": "High",
                "share": "Share"},
        total=True,
        note="Lines add up to all customers, to all spend of the table and to customer equity; intervals do not add up."
        + (f" Spend in other currencies is not converted and not in it: {abroad}." if abroad else ""),
    )  # fmt: skip


def checks(found: Economics | None, valuation: "Valuation") -> list[Check]:
    """Whether channels and the rest add up to customer equity, and how many customers have no channel."""
    if found is None:
        return []
    equity, total = valuation.estimates["customer_equity"].value, float(found.holders["value"].sum())
    off = abs(total - equity) / max(abs(equity), 1e-12)
    inside = found.holders[found.holders["group"] != OUTSIDE]
    nobody = int(inside.loc[inside["group"] == NO_CHANNEL, "customers"].sum())
    share = nobody / max(int(inside["customers"].sum()), 1)
    ties = off <= NEAR and int(found.holders["customers"].sum()) == valuation.customers
    return [
        Check(
            "acquisition.ties", "Channels add up to customer equity", "pass" if ties else "fail",
            f"Channels, customers without one and those won in other months are {numbers.count(found.holders['customers'].sum())} "
            f"of {numbers.count(valuation.customers)} customers, and their value is "
            + ("customer equity." if ties else f"off it by {numbers.percent(off)}."),
            value=off, threshold=NEAR, unit="share of equity", severity="stop", chapter="04_value",
        ),
        Check(
            "acquisition.named", "Customers have a channel", "pass" if share <= 0.1 else "review",
            f"{numbers.count(nobody)} customers of the months with spend ({numbers.percent(share)}) have no channel"
            + (": the cost of a customer is too high by as much as they came by one." if nobody else "."),
            value=share, threshold=0.1, unit="share of customers", chapter="04_value",
            recommendation="" if share <= 0.1 else "Complete the attribute in the customers table, or read the costs as bounds.",
        ),
    ]  # fmt: skip


def as_results(found: Economics | None) -> dict:
    """What ``results.json`` holds under ``acquisition``; months that are never reached are null."""
    if found is None:
        return {}
    first, last = found.outlay.months
    tables = {"channels": found.channels, "holders": found.holders, "curve": found.curve}
    plain = {
        name: [{key: _plain(value) for key, value in row.items()} for row in frame.to_dict("records")]
        for name, frame in tables.items()
    }
    return {
        "first_month": str(first), "last_month": str(last), "torn": found.torn, "spend_rest": dict(found.outlay.rest),
        "spend_abroad": dict(found.outlay.abroad), **plain,
    }  # fmt: skip


def _plain(value: object) -> object:
    """A value as JSON has it; what is no number, or never comes, is null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _money(value: float, currency: str) -> str:
    return f"{currency} {numbers.number(value, 2)}"


def _payback(middle: float, low: float, high: float, found: Economics) -> str:
    """Months in words."""
    if math.isnan(middle):
        return numbers.NOT_APPLICABLE
    if middle == 0 and not high > 0:
        return "with the first purchase"
    words = f"not within {numbers.number(found.horizon_months, 0)}"
    one = words if math.isinf(middle) else numbers.number(middle, 1)
    if math.isnan(low) or math.isinf(low) or low == high:
        return one
    return f"{one} ({numbers.number(low, 1)} to {'more' if math.isinf(high) else numbers.number(high, 1)})"
