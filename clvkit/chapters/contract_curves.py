"""Chapter 03: how long contracts last by group, with those at risk, and how they end."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit import numbers
from clvkit.chapters.drawing import label_ends
from clvkit.competing_ends import incidence_at
from clvkit.contract_analysis import FEWEST
from clvkit.exhibits import Figure, Sentence, Table
from clvkit.publish import style
from clvkit.survival_regression import LEVEL

if TYPE_CHECKING:
    from clvkit.contract_analysis import ContractCurves
    from clvkit.contracts_section import ContractsSection

_LEAST = 1e-12  # a p below it is rounding
_LINES = 4  # groups that a figure has room for
_AT = {"month": (1, 3, 6, 12, 24, 36, 48, 60, 72), "day": (30, 90, 180, 365, 730, 1095, 1460)}


def exhibits(found: "ContractCurves | None") -> list[Sentence | Table | Figure]:
    """Curves by group with bands and those at risk, and mean lifetimes."""
    if found is None or not len(found.curves):
        return []
    shown: list[Sentence | Table | Figure] = []
    for key in found.tests["key"]:
        curves = found.curves[found.curves["key"] == key]
        if (curves["at_risk"] >= FEWEST).any() and len(curves["group"].unique()) > 1:
            shown += [drawn(found, key), means(found, key)]
            if len(found.pairs) and (found.pairs["key"] == key).any():
                shown.append(pairs(found, key))
    return shown


def _words(key: str) -> str:
    return "when they began" if key == "began" else key.replace("_", " ")


def _verdict(found: "ContractCurves", key: str) -> tuple[str, float]:
    p = float(found.tests.loc[found.tests["key"] == key, "p"].iloc[0])
    if np.isnan(p):
        return "cannot be compared", p
    return ("differ" if p < LEVEL else "are not told apart"), p


def drawn(found: "ContractCurves", key: str) -> Figure:
    """Curves of the largest groups with their bands, and how many of each are at risk below."""
    curves = found.curves[(found.curves["key"] == key) & (found.curves["at_risk"] >= FEWEST)]
    sizes = curves[curves["renewal"] == 0].set_index("group")["at_risk"].sort_values(ascending=False)
    names = sorted(_spread(found, key) if key == "began" else sizes.index[:_LINES])
    reach = max(int(curves.loc[curves["group"].isin(names), "renewal"].max()), 1)
    ticks = _ticks(found.time, reach)
    ends = []
    with style.canvas(height=3.5 + 0.17 * len(names)) as (drawing, axes):
        for row, (colour, name) in enumerate(zip(style.PALETTE, names, strict=False), start=1):
            part = curves[curves["group"] == name]
            axes.fill_between(
                part["renewal"], part["low"], part["high"], step="post", **style.BAND | {"facecolor": colour}
            )
            axes.step(
                part["renewal"],
                part["survival"],
                where="post",
                **style.HISTORY | {"color": colour, "linewidth": 1.4},
            )
            ends.append((float(part["survival"].iloc[-1]), str(name), colour))
            at = part.set_index("renewal")["at_risk"]
            for tick in ticks:
                style.label(
                    axes, tick, 0, numbers.count(at[tick]) if tick in at.index else "·", color=colour, dx=0,
                    dy=-11 - 12 * row, ha="center",
                )  # fmt: skip
        axes.set_xlim(0, reach)
        axes.set_ylim(0, 1)
        style.percent_axis(axes.yaxis)
        axes.set_xticks(ticks)
        axes.set_xlabel(
            f"{found.time.capitalize()}s since the start; above, in the colours of the curves, those at risk",
            labelpad=6 + 12 * len(names),
        )
        axes.set_ylabel("Still under contract")
        label_ends(axes, ends, reach)
    verdict, p = _verdict(found, key)
    left = sizes.size - len(names)
    more = f" The {numbers.count(left)} other groups are in the table." if left > 0 else ""
    told = "" if np.isnan(p) else f" Log-rank test of all groups: p {_p(p)}."
    said = "; ".join(f"{name} {numbers.percent(y)}" for y, name, _ in ends)
    return Figure(
        f"contract_curves_{_slug(key)}",
        drawing,
        f"Contracts by {_words(key)} {verdict}",
        f"Kaplan–Meier estimates with their bands, {numbers.odds_words(found.interval)} at each {found.time}; each stops where fewer than "
        f"{FEWEST} are at risk.{told}{more}",
        alt=f"Falling curves of relations still under contract by {_words(key)}, at their ends: {said}.",
        frame=curves[["group", "renewal", "at_risk", "left", "survival", "low", "high"]].rename(columns={"renewal": found.time}),
    )  # fmt: skip


def _ticks(time: str, reach: int) -> list[int]:
    """Whole years, quarters or months, eight at most."""
    steps = (1, 3, 6, 12, 24, 60) if time == "month" else (30, 90, 180, 365, 730, 1825)
    step = next((one for one in steps if reach / one <= 7), steps[-1])
    return list(range(0, reach + 1, step))


def _spread(found: "ContractCurves", key: str) -> list[str]:
    """Groups evenly apart, from the first to the last that was watched for as long as means are restricted to."""
    known = sorted(found.means.loc[found.means["key"] == key, "group"])
    if not known:
        return sorted(found.curves.loc[found.curves["key"] == key, "group"].unique())[:_LINES]
    return [known[at] for at in np.unique(np.linspace(0, len(known) - 1, _LINES).round().astype(int))]


def _p(p: float) -> str:
    text = numbers.number(max(p, _LEAST), 4)
    return text if text.startswith("<") else f"= {text}"


def _slug(key: str) -> str:
    return "".join(one if one.isalnum() else "_" for one in key.lower())


def means(found: "ContractCurves", key: str) -> Table:
    """Mean lifetimes within a time that all were watched for, with those there and at risk at its end."""
    within = int(found.tests.loc[found.tests["key"] == key, "within"].iloc[0])
    rows = found.means[found.means["key"] == key].drop(columns="key")
    curves = found.curves[(found.curves["key"] == key) & (found.curves["renewal"] == within)]
    at_end = curves[["group", "survival", "low", "high", "at_risk"]].rename(
        columns={"low": "stay_low", "high": "stay_high"}
    )
    every = found.curves[(found.curves["key"] == key) & (found.curves["renewal"] == 0)][["group", "at_risk"]]
    every = every.rename(columns={"at_risk": "relations"})
    rows = every.merge(rows.drop(columns="relations"), on="group", how="left").merge(
        at_end, on="group", how="left"
    )
    rows.loc[rows["mean"].isna(), ["survival", "stay_low", "stay_high"]] = np.nan
    known = rows.dropna(subset="mean").sort_values("mean")
    title = f"Mean lifetimes by {_words(key)}"
    if len(known) > 1:
        low, high = known.iloc[0], known.iloc[-1]
        title = (
            f"Of the first {within} {found.time}s, {high['group']} last {numbers.number(high['mean'], 1)} and {low['group']} "
            f"{numbers.number(low['mean'], 1)}"
        )
    young = int(rows["mean"].isna().sum())
    rows = rows[rows["mean"].notna()]
    ends = rows["at_risk"].astype("Int64")
    left = (
        f" {numbers.count(young)} more began too late to be watched for so long; they add to what is known of shorter times."
        if young
        else ""
    )
    return Table(
        f"contract_means_{_slug(key)}",
        rows[["group", "relations", "mean", "low", "high", "survival", "stay_low", "stay_high"]].assign(at_risk=ends),
        title,
        f"Mean of the first {within} {found.time}s that a relation lasts (area under its Kaplan–Meier curve, with Greenwood's variance), and the share "
        f"that lasts longer; {numbers.odds_words(found.interval)}.{left}",
        formats={"relations": "count", "mean": "number:1", "low": "number:1", "high": "number:1", "survival": "percent",
                 "stay_low": "percent", "stay_high": "percent", "at_risk": "count"},
        labels={"group": "Began" if key == "began" else key.replace("_", " ").capitalize(), "relations": "Relations", "mean": f"Mean {found.time}s", "low": "from",
                "high": "to", "survival": f"There after {within}", "stay_low": "from ", "stay_high": "to ", "at_risk": "At risk then"},
    )  # fmt: skip


def pairs(found: "ContractCurves", key: str) -> Table:
    """Which groups differ, and by how much of a lifetime."""
    rows = found.pairs[found.pairs["key"] == key].sort_values("adjusted", ignore_index=True)
    within = int(found.tests.loc[found.tests["key"] == key, "within"].iloc[0])
    sure = int((rows["adjusted"] < LEVEL).sum())
    return Table(
        f"contract_pairs_{_slug(key)}",
        rows[["one", "other", "adjusted", "difference", "low", "high"]].assign(adjusted=rows["adjusted"].clip(lower=_LEAST)),
        f"{sure} of {len(rows)} pairs by {_words(key)} are told apart" if sure else f"No pair by {_words(key)} is told apart",
        f"Log-rank tests in pairs, corrected for their number (Holm), and the difference in mean lifetime within {within} {found.time}s with its "
        f"interval, {numbers.odds_words(found.interval)}.",
        formats={"adjusted": "number:4", "difference": "number:1", "low": "number:1", "high": "number:1"},
        labels={"one": "One", "other": "Other", "adjusted": "p, corrected", "difference": f"{found.time.capitalize()}s longer", "low": "from",
                "high": "to"},
    )  # fmt: skip


def endings(found: "ContractCurves | None", section: "ContractsSection") -> list[Sentence | Table]:
    """How contracts end: cumulative incidence by reason, and why one minus a curve would overstate it."""
    if found is None or not found.ends:
        return []
    if not len(found.incidence):
        return [Sentence("No reasons of ends are written (`reason`, in the source of contracts), so that a choice to leave cannot be told from a failed card or a death.")]  # fmt: skip
    curves, last = found.incidence, float(found.incidence["time"].max())
    times = [t for t in _AT[found.time] if t <= last] or [int(last)]
    rows = incidence_at(curves, times)
    thick = curves[curves["at_risk"] >= FEWEST]["time"].max()
    rows = rows[rows["time"] <= max(thick, times[0])]
    at = int(rows["time"].max())
    end = rows[rows["time"] == at]
    often = rows["cause"].map(end.set_index("cause")["incidence"])
    rows = rows.assign(often=often).sort_values(
        ["often", "time"], ascending=[False, True], ignore_index=True
    )[["cause", "time", "incidence", "low", "high", "alone"]]
    most = end.loc[end["incidence"].idxmax()]
    both, alone = float(end["incidence"].sum()), float(end["alone"].sum())
    text = (
        f"{numbers.count(found.ends)} relations ended, {numbers.count(found.named)} with a reason. "
        + ("A failed card or a death is not a choice to leave: the study names the reasons that are none (`contracts.involuntary`). " if found.grouped_ends
           else "The study does not say which reasons are no choice to leave (`contracts.involuntary`), so that they stand by themselves. ")
        + f"Within {at} {found.time}s {numbers.percent(both)} of relations have ended: **{numbers.percent(most['incidence'])}** {most['cause']}"
        + "".join(f", {numbers.percent(row.incidence)} {row.cause}" for row in end.itertuples() if row.cause != most["cause"])
        + ". Curves of each reason alone, with the others taken as if those customers could still leave by it, would "
        f"add up to {numbers.percent(alone)}; whoever has gone for one reason cannot go for another any more."
    )  # fmt: skip
    return [
        Sentence(text),
        Table(
            "contract_ends",
            rows,
            f"After {at} {found.time}s {numbers.percent(both)} have ended, most of them {most['cause']} ({numbers.percent(most['incidence'])})",
            f"Cumulative incidence (Aalen–Johansen): share of relations that have ended for a reason, while others may end them first; "
            f"{numbers.odds_words(found.interval)}. Last column: one minus the Kaplan–Meier curve of the reason alone, which overstates it.",
            formats={"time": "count"} | dict.fromkeys(["incidence", "low", "high", "alone"], "percent"),
            labels={"time": f"{found.time.capitalize()}s", "cause": "End", "incidence": "Share", "low": "from", "high": "to", "alone": "Alone"},
        ),
    ]  # fmt: skip


def as_results(found: "ContractCurves | None") -> dict:
    """Mean lifetimes and shares ended, as ``results.json`` holds them."""
    if found is None or not len(found.curves):
        return {}
    made = {
        "mean_lifetimes": pd.merge(found.means, found.tests[["key", "within"]], on="key").to_dict("records"),
        "time": found.time,
    }
    if len(found.incidence):
        last = found.incidence.groupby("cause").tail(1)
        made["ended_by"] = last[["cause", "time", "incidence", "low", "high"]].to_dict("records")
    return made
