"""Chapter 03: lifetime distributions of contracts, how far their projections can be trusted, and the checks of all this."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit import numbers
from clvkit.chapters.contract_drivers import changing, missed
from clvkit.chapters.driver_words import listing
from clvkit.checks import Check
from clvkit.exhibits import Sentence, Table
from clvkit.parametric_survival import LABELS

if TYPE_CHECKING:
    from clvkit.contract_analysis import ContractDrivers

_CHAPTER = "03_retention"


def exhibits(found: "ContractDrivers | None") -> list[Sentence | Table]:
    """The distributions beside each other, with drivers, and tried on what came later."""
    if found is None or not len(found.lifetimes):
        return []
    shown: list[Sentence | Table] = [models(found)]
    if len(found.ratios):
        shown.append(ratios(found))
    shown.append(
        tail(found)
        if len(found.tail)
        else Sentence(f"Tried on what came later: {found.tail_why[0].lower()}{found.tail_why[1:]}")
    )
    if len(found.beyond):
        shown.append(beyond(found))
    return shown  # fmt: skip


def models(found: "ContractDrivers") -> Table:
    """The three distributions by AIC."""
    rows = found.lifetimes.sort_values("aic", ignore_index=True)
    rows["label"] = rows["family"].map(LABELS).map(lambda one: one[0].upper() + one[1:])
    best, second = rows.iloc[0], rows.iloc[min(1, len(rows) - 1)]
    weibull = rows[rows["family"] == "weibull"]
    note = ""
    if len(weibull):
        shape = float(weibull["shape"].iloc[0])
        note = (
            f"A Weibull shape of {numbers.number(shape, 2)} says that the rate of leaving "
            + ("falls" if shape < 0.95 else "rises" if shape > 1.05 else "hardly changes")
            + " with tenure, of customers taken together."
        )
    if rows["driven_aic"].notna().any():
        gain = float((rows["aic"] - rows["driven_aic"]).max())
        note += (
            f" With the drivers, AIC falls by {numbers.number(gain, 0)}."
            if gain > 0
            else " The drivers do not lower AIC."
        )
    return Table(
        "contract_lifetimes",
        rows[["label", "parameters", "log_likelihood", "aic", "driven_aic"]],
        f"The {LABELS[best['family']]} lifetime fits best"
        + (f", {numbers.number(second['aic'] - best['aic'], 1)} of AIC ahead of the {LABELS[second['family']]}" if len(rows) > 1 else ""),
        f"Lifetime distributions fitted to all ends, in {found.time}s; relations that run are censored, and an end is known to its {found.time} or "
        "billing period and no closer. The lower AIC, the better; with drivers where the study names any.",
        formats={"log_likelihood": "number:1", "aic": "number:1", "driven_aic": "number:1"},
        labels={"label": "Distribution", "parameters": "Estimates", "log_likelihood": "Log-likelihood", "aic": "AIC",
                "driven_aic": "AIC with drivers"},
        note=note or None,
    )  # fmt: skip


def ratios(found: "ContractDrivers") -> Table:
    """How each level stretches time."""
    rows = found.ratios
    sure = rows[(rows["low"] > 1) | (rows["high"] < 1)]
    widest = rows.loc[np.abs(np.log((sure if len(sure) else rows)["ratio"])).idxmax()]
    beside = rows[(rows["driver"] == widest["driver"]) & rows["low"].isna()]["level"]
    than = f" as with {beside.iloc[0]}" if len(beside) else ""
    title = f"With {widest['driver']} {widest['level']}, contracts last {numbers.number(widest['ratio'], 2)} times as long{than}"
    return Table(
        "contract_time_ratios",
        rows,
        title if len(sure) else "No driver is seen to change how long contracts last",
        f"Time ratios of the {LABELS[found.ratio_family]} lifetime with drivers: how many times as long a relation lasts, the other drivers held "
        f"equal; {numbers.odds_words(found.interval)}. Above 1, it lasts longer. The level without an interval is what the others are compared with. All ends count.",
        formats={"ratio": "number:2", "low": "number:2", "high": "number:2"},
        labels={"driver": "Driver", "level": "Level", "ratio": "Times as long", "low": "from", "high": "to"},
    )  # fmt: skip


def tail(found: "ContractDrivers") -> Table:
    """Projections from an earlier date beside what came."""
    rows = found.tail.assign(size=found.tail["error"].abs()).sort_values("size", ignore_index=True)
    best = rows.iloc[0]
    return Table(
        "contract_tail",
        rows[["method", "expected", "low", "high", "error"]],
        f"Tried from {numbers.date_words(found.origin)}, {best['method'].split(',')[0]} comes closest: "
        f"{numbers.bias_words(float(best['error']))}",
        f"Of {numbers.count(found.running)} relations that ran then, {numbers.count(found.stayed)} still run. Each method was fitted to what was known "
        "that day; the range includes the luck of single relations.",
        formats={"expected": "number:0", "low": "number:0", "high": "number:0", "error": "percent"},
        labels={"method": "Method", "expected": "Forecast to run", "low": "from", "high": "to", "error": "Error"},
        note="One date is one trial: what came closest here need not do so next time.",
    )  # fmt: skip


def beyond(found: "ContractDrivers") -> Table:
    """Projections beyond the tenures that were fitted."""
    rows = found.beyond.assign(size=found.beyond["error"].abs()).sort_values("size", ignore_index=True)
    seen, best = rows.iloc[0], rows.iloc[0]
    band = (
        f" ({numbers.percent(seen['low'])} to {numbers.percent(seen['high'])})"
        if pd.notna(seen["low"])
        else ""
    )
    return Table(
        "contract_beyond",
        rows[["method", "projected", "error"]],
        f"From {found.cut} to {int(seen['unit'])} {found.time}s, {best['method']} comes closest: {numbers.bias_words(float(best['error']))}",
        f"Fitted to the first {found.cut} {found.time}s of every relation alone: the share of those there after {found.cut} that is there "
        f"after {int(seen['unit'])}. Seen (Kaplan–Meier): {numbers.percent(seen['seen'])}{band}.",
        formats={"projected": "percent", "error": "percent"},
        labels={"method": "Method", "projected": "Projected", "error": "Error"},
    )  # fmt: skip


def checks(found: "ContractDrivers | None") -> list[Check]:
    """Whether multipliers stay the same, predictions agree with what was seen, and projections with what came."""
    if found is None:
        return []
    made = []
    if len(found.tests):
        moving = changing(found)
        made.append(Check(
            "contracts.proportional", "Multipliers stay the same with tenure", "review" if moving else "pass",
            f"The multiplier of {listing(moving)} changes with tenure." if moving else "No driver's multiplier is seen to change with tenure.",
            value=len(moving), threshold=0, unit="drivers", chapter=_CHAPTER,
            recommendation=f"Set contracts.stratify_by to [{', '.join(moving)}], or read its multiplier as an average over tenures." if moving else "",
        ))  # fmt: skip
        off = missed(found)
        made.append(Check(
            "contracts.calibration", "Predicted risk agrees with what was seen", "review" if len(off) else "pass",
            f"In {len(off)} of {len(found.calibration)} classes of risk, the share predicted to have left within {found.horizon} {found.time}s lies "
            "outside the interval of what was seen." if len(off) else f"In every class of risk, the share predicted to have left within {found.horizon} {found.time}s agrees with what was seen.",
            value=len(off), threshold=0, unit="classes of risk", chapter=_CHAPTER,
            recommendation="Stratify by drivers whose multiplier changes, or leave the prediction of single customers alone." if len(off) else "",
        ))  # fmt: skip
    held = found.tail[found.tail["low"].notna()] if len(found.tail) else found.tail
    if len(held) and len(found.lifetimes):
        best = LABELS[found.lifetimes.sort_values("aic")["family"].iloc[0]]
        row = held[held["method"] == best].iloc[0] if (held["method"] == best).any() else held.iloc[0]
        inside = row["low"] <= found.stayed <= row["high"]
        made.append(Check(
            "contracts.projection", "Projected contracts agree with those that still run", "pass" if inside else "review",
            f"From {numbers.date_words(found.origin)} the {best} lifetime forecast {numbers.number(row['expected'], 0)} contracts to run on "
            f"({numbers.number(row['low'], 0)} to {numbers.number(row['high'], 0)}); {numbers.count(found.stayed)} do.",
            value=found.stayed, threshold=f"{row['low']:.0f} to {row['high']:.0f}", unit="relations", chapter=_CHAPTER,
            recommendation="" if inside else "Look for what changed since that date before projecting further.",
        ))  # fmt: skip
    return made


def as_results(found: "ContractDrivers | None") -> dict:
    """The analysis as ``results.json`` holds it."""
    if found is None:
        return {}
    keep = ["driver", "level", "relations", "ended", "multiplier", "low", "high", "adjusted"]
    return {
        "time": found.time, "interval": found.interval, "ends": found.ends, "censored": found.censored, "why": found.why,
        "concordance": found.concordance,
        "multipliers": found.effects[keep].to_dict("records") if len(found.effects) else [],
        "tests": found.tests.to_dict("records") if len(found.tests) else [],
        "lifetimes": found.lifetimes.to_dict("records"), "time_ratios": found.ratios.to_dict("records"),
        "tail": {"origin": found.origin, "running": found.running, "stayed": found.stayed, "methods": found.tail.to_dict("records")},
    }  # fmt: skip
