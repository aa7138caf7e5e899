"""Chapter 04: who may leave within a year, and how much value goes with them."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit import numbers
from clvkit.apportion import apportion
from clvkit.chapters.grains import CHAPTER, minor
from clvkit.chapters.value_holders import horizon_words, months_of
from clvkit.checks import Check
from clvkit.exhibits import Figure, Table
from clvkit.grains import COHORT, HIGH, OFTEN, SEGMENT, TIER, Grains
from clvkit.publish import style

if TYPE_CHECKING:
    from clvkit.ledger import Ledger
    from clvkit.valuation import Valuation

#: Groupings with more groups are left to ``results.json``.
MOST_GROUPS = 12
_BY = {OFTEN: "Repeat purchases", SEGMENT: "Segment", TIER: "Product tier", COHORT: "Cohort"}
_WHAT = {
    (HIGH, HIGH): "worth much, likely gone in a year",
    (HIGH, "low"): "worth much, likely still there",
    ("low", HIGH): "worth little, likely gone in a year",
    ("low", "low"): "worth little, likely still there",
}


def exhibits(grains: Grains, valuation: "Valuation", ledger: "Ledger") -> list[Table | Figure]:
    """The churn profile by group, the quadrants as a picture of groups and as a table of customers."""
    return [
        profile(grains, valuation),
        map_of_groups(grains, valuation),
        quadrants(grains, valuation, ledger),
    ]


def profile_frame(grains: Grains) -> pd.DataFrame:
    """One row a group of every grouping with more than one, and no more than `MOST_GROUPS`.

    ``by, group, customers, alive, leaving`` (P(leaves within a year) of who is there), ``hazard`` (a year), ``gone`` (P(gone in a
    year) of a customer of the group, who may have left by now), ``clv, at_risk, share`` (of the value that is at risk).
    """
    frames = [
        frame.assign(by=_BY.get(name, name))
        for name, frame in grains.groups.items()
        if 1 < len(frame) <= MOST_GROUPS
    ]
    frame = pd.concat([*frames, grains.base.to_frame().T.assign(by="All", group="All")], ignore_index=True)
    numeric = ["customers", "alive", "clv", "leaves", "at_risk"]
    frame[numeric] = frame[numeric].astype(float)
    frame["leaving"] = frame["leaves"] / frame["alive"].where(frame["alive"] > 0)
    frame["hazard"] = -np.log1p(-frame["leaving"])
    frame["gone"] = 1 - (frame["alive"] - frame["leaves"]) / frame["customers"]
    frame["share"] = frame["at_risk"] / frame["clv"].where(frame["clv"] > 0)
    return frame[
        ["by", "group", "customers", "alive", "leaving", "hazard", "gone", "clv", "at_risk", "share"]
    ]


def profile(grains: Grains, valuation: "Valuation") -> Table:
    """Probability and hazard of leaving within a year, and value at risk, by group."""
    frame, money = profile_frame(grains), numbers.money_header(valuation.currency)
    whole = frame.iloc[-1]
    return Table(
        "churn_profile",
        frame,
        f"{numbers.percent(whole['leaving'], 0)} of those who are still customers leave within twelve months, and "
        f"{numbers.money(whole['at_risk'], valuation.currency)} of the value is at risk with them",
        f"Probability of leaving within twelve months of a customer who is there today, and the hazard a year that it amounts to; "
        f"share who are gone in twelve months, those who have left by now included; as {valuation.label} has it. Value {horizon_words(months_of(valuation))} and value at risk, {money}.",
        formats={"customers": "count", "alive": "count", "leaving": "percent", "hazard": "number:2", "gone": "percent", "clv": "money",
                 "at_risk": "money", "share": "percent"},
        labels={"by": "By", "group": "Group", "customers": "Customers", "alive": "Still customers", "leaving": "Leave in 12 months",
                "hazard": "Hazard a year", "gone": "Gone in 12 months", "clv": f"Value, {money}", "at_risk": "At risk", "share": "of value"},
        total=True,
        note="Value at risk is the value of each customer times the probability that it leaves within twelve months. It is in the "
        "value already, which counts no purchase after the leaving: it says where keeping customers would pay, and is not to be "
        "taken off." + _alike(frame.iloc[:-1], valuation.label),
    )  # fmt: skip


def _alike(frame: pd.DataFrame, label: str) -> str:
    """What to think of groups that hardly differ in who leaves."""
    told = frame["leaving"].dropna()
    if told.empty or told.max() - told.min() > 0.05:
        return ""
    return (
        f" By {label} those who are still there leave at much the same rate in every group; what sets groups apart is how many have "
        "left already."
    )


def map_of_groups(grains: Grains, valuation: "Valuation") -> Figure:
    """Each group by value of a customer and probability of leaving, with the lines that part the quadrants."""
    frame = profile_frame(grains).iloc[:-1].assign(each=lambda f: f["clv"] / f["customers"])
    names = list(dict.fromkeys(frame["by"]))
    most = float(frame["customers"].max()) if len(frame) else 1.0
    right, top = (float(frame[column].max()) if len(frame) else 1.0 for column in ("gone", "each"))
    with style.canvas(height=3.8) as (drawing, axes):
        for colour, name in zip(style.PALETTE, names, strict=False):
            part = frame[frame["by"] == name]
            axes.scatter(part["gone"], part["each"], s=20 + 260 * part["customers"] / most, color=colour, alpha=0.75,
                         edgecolor="#ffffff", linewidth=0.8)  # fmt: skip
            axes.scatter([], [], s=40, color=colour, label=name)
        for row in _apart(frame, right, top):
            colour = style.PALETTE[names.index(row.by) % len(style.PALETTE)]
            style.label(axes, row.gone, row.each, f"  {row.group}", color=colour)
        axes.axvline(grains.mean_risk, color="#8a8a8a", linewidth=0.8, linestyle=":")
        axes.axhline(grains.mean_clv, color="#8a8a8a", linewidth=0.8, linestyle=":")
        axes.set_xlim(0, 1.25 * right)
        axes.set_ylim(-0.05 * top, 1.1 * top)
        style.percent_axis(axes.xaxis)
        style.thousands_axis(axes.yaxis)
        axes.set_xlabel("gone in twelve months, of the group's customers")
        axes.set_ylabel(f"{valuation.currency} per customer")
        if len(names) > 1:
            axes.legend(loc="upper right", frameon=False, fontsize=8)
    spread = frame.loc[frame["each"].idxmax()] if len(frame) else None
    return Figure(
        "churn_quadrant",
        drawing,
        f"Of the most valuable group, {spread['group']}, {numbers.percent(spread['gone'], 0)} are gone in twelve months"
        if spread is not None
        else "There are no groups to tell apart",
        "Groups of customers by the mean value of a customer and the share who are gone in twelve months, those who have left by now included; "
        "size: customers. "
        "Dotted: the means of all, which part the quadrants.",
        alt="Scatter of groups. "
        + "; ".join(
            f"{row.group}: {numbers.money(row.each, valuation.currency)} each, {numbers.percent(row.gone)} gone in twelve months"
            for row in frame.itertuples()
        )
        + ".",
        frame=frame,
        worry="Groups to the upper right are worth keeping and likely to go. Groups are means: inside each are customers of every "
        "quadrant, which the table counts.",
    )  # fmt: skip


def _apart(frame: pd.DataFrame, right: float, top: float) -> list:
    """The groups that can be named without their names lying on another's, in the order of the frame."""
    named: list = []
    for row in frame.itertuples():
        if not any(
            abs(row.gone - one.gone) < 0.2 * right and abs(row.each - one.each) < 0.07 * top for one in named
        ):
            named.append(row)
    return named


def quadrants(grains: Grains, valuation: "Valuation", ledger: "Ledger") -> Table:
    """Customers, value and value at risk in each quadrant, in parts that add up to all."""
    frame, unit = grains.quadrants, 10**ledger.minor_digits
    cents = {
        name: apportion(frame[name].to_numpy() * unit, minor(grains.base[name], ledger))
        for name in ("clv", "at_risk")
    }
    shown = pd.DataFrame({
        "quadrant": [_WHAT[row.value, row.risk].capitalize() for row in frame.itertuples()],
        "customers": frame["customers"], "clv": cents["clv"] / unit, "at_risk": cents["at_risk"] / unit,
    })  # fmt: skip
    total = pd.DataFrame([{"quadrant": "All", "customers": frame["customers"].sum(), "clv": cents["clv"].sum() / unit,
                           "at_risk": cents["at_risk"].sum() / unit}])  # fmt: skip
    shown = pd.concat([shown, total], ignore_index=True)
    first = frame.iloc[0]
    share = first["clv"] / frame["clv"].sum() if frame["clv"].sum() > 0 else 0.0
    money = numbers.money_header(valuation.currency)
    return Table(
        "churn_quadrants",
        shown,
        f"{numbers.count(first['customers'])} customers are worth more than the mean and likelier than the mean to be gone in a year; they hold "
        f"{numbers.percent(share, 0)} of the value",
        f"Customers by whether their value is at least the mean ({numbers.money(grains.mean_clv, valuation.currency)}) and the probability that "
        f"they are gone in twelve months at least that of all ({numbers.percent(grains.mean_risk)}); {money}.",
        formats={
            "customers": "count",
            "clv": f"money:{ledger.minor_digits}",
            "at_risk": f"money:{ledger.minor_digits}",
        },
        labels={
            "quadrant": "Customers",
            "customers": "Number",
            "clv": f"Value, {money}",
            "at_risk": "At risk",
        },
        total=True,
    )


def checks(grains: Grains, ledger: "Ledger") -> list[Check]:
    """Whether the quadrants hold every customer and all of the value, to the minor unit."""
    base, found = grains.base, grains.quadrants
    off = [int(found["customers"].sum() - base["customers"])]
    off += [minor(found[name].sum(), ledger) - minor(base[name], ledger) for name in ("clv", "at_risk")]
    same = not any(off)
    return [Check(
        "value.quadrants",
        "The quadrants of value and risk add up to all customers",
        "pass" if same else "fail",
        f"{numbers.count(base['customers'])} customers are in one quadrant each, with all of the value and all that is at risk."
        if same
        else "Customers or value are missing from the quadrants, or in them twice.",
        value=max(abs(one) for one in off), threshold=0, unit="customers or minor units", severity="stop", chapter=CHAPTER,
        recommendation="" if same else "Do not use the quadrants.",
    )]  # fmt: skip
