"""Chapter 03: whether customers are seen to leave, and how long contracts last."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit import numbers
from clvkit.business_model import kind_checks
from clvkit.chapters.drawing import label_ends
from clvkit.contract_calendar import billed_words
from clvkit.contract_checks import contract_checks
from clvkit.contract_survival import (
    Comparison,
    Readings,
    by_group,
    compare,
    mean_renewals,
    survival,
    two_readings,
)
from clvkit.contracts import counted
from clvkit.exhibits import Figure, Sentence, Table
from clvkit.publish import style

if TYPE_CHECKING:
    from clvkit.business_model import KindOfBusiness
    from clvkit.checks import Check
    from clvkit.contracts import Contracts
    from clvkit.workbench import Workbench

FEWEST = 10  # curves are drawn to so many relations at risk


def kind(found: "KindOfBusiness") -> list[Sentence | Table]:
    """What kind of business it is, the evidence for each rule, and the models that it admits."""
    rules = Table(
        "business_rules",
        found.rules(),
        f"What makes the business {found.used.replace('_', '-')}",
        "Customers with purchases or contracts up to the as-of date. A purchase within three days of a monthly anniversary of "
        "a contract that runs is its bill. One customer in ten makes a difference; fewer are an exception.",
        labels={"question": "Question", "found": "What the data say", "says": "So"},
    )
    models = Table(
        "business_models",
        found.models(),
        "Which models are admissible, and why the others are not",
        "By whether leaving is seen, whether purchases come at any time or by opportunity, and whether there is enough to learn from.",
        labels={"model": "Model", "admitted": "Admitted", "because": "Because"},
    )
    return [Sentence(found.sentence()), rules, models]


def checks(run: "Workbench", found: "KindOfBusiness") -> "list[Check]":
    """Whether the kind of business is clear, and what is wrong with the contracts."""
    held, study = run.contracts(), run.study
    wrong = [] if held is None else contract_checks(held, study.contracts, study.as_of)
    return [*kind_checks(found), *wrong]


def exhibits(run: "Workbench") -> list[Sentence | Table | Figure]:
    """How long contracts last: together, by plan, against each other; a sentence where there are none."""
    held, study = run.contracts(), run.study
    if held is None:
        return [
            Sentence(
                "The study names no source of contracts: nobody is seen to leave, and this says all there is to say."
            )
        ]
    if held.relations.empty:
        return [Sentence("None of the contracts can be used; the checks say why.")]
    interval, section = study.retention.interval, study.contracts
    curve = survival(held.cells(), interval)
    shown: list[Sentence | Table | Figure] = [
        answer(held, curve, interval),
        relations_by_plan(held, interval),
    ]
    if len(curve) > 1:
        groups = by_group(held.relations, "plan", interval)
        shown += [drawn(curve, groups, interval), at_renewals(curve, interval)]
    compared = compare(held.relations, "plan")
    if len(compared.pairs):
        shown.append(differences(compared))
    source = study.ledger.by_name()[section.source]
    if both := two_readings(held, section, interval, source.extracted if "tenure" in source.fields else None):
        shown += [Sentence(_open(both)), readings(both)]
    return shown


def answer(held: "Contracts", curve: "pd.DataFrame", interval: float) -> Sentence:
    """How many contracts there are and how many renew."""
    relations = held.relations
    ended, wins = int(relations["ended"].sum()), int((relations["relation"] > 1).sum())
    text = (
        f"{numbers.count(len(relations))} relations under contract, of {numbers.count(relations['customer'].nunique())} "
        f"customers: {numbers.count(len(relations) - ended)} run and {numbers.count(ended)} have ended"
        + (f"; {numbers.count(wins)} of them are win-backs." if wins else ".")
    )
    periods = sorted(int(one) for one in held.periods)
    for months in periods:
        own = curve if len(periods) == 1 else survival(held.cells(period_months=months), interval)
        known = own[own["at_risk"] >= FEWEST]
        if len(known) < 2:
            continue
        last, billed = int(known["renewal"].max()), billed_words(months)
        text += (
            f" Of those billed {billed}, **{numbers.percent(known['survival'].iloc[1])}** are renewed the first time; after "
            f"{numbers.count(last)} renewals **{numbers.percent(known['survival'].iloc[-1])}** are still there. Of the first {last} "
            f"renewals, such a relation makes {numbers.number(mean_renewals(own, last), 1)} on average."
        )
    return Sentence(text)


def relations_by_plan(held: "Contracts", interval: float) -> Table:
    """Counts of relations by the plan they began with."""
    frame = held.relations.assign(plan=held.relations["plan"].fillna("not named"))
    frame = frame.assign(running=~frame["ended"], moved=frame["changes"] > 0)
    columns = {
        "relations": ("customer", "size"),
        "running": ("running", "sum"),
        "ended": ("ended", "sum"),
        "moved": ("moved", "sum"),
    }
    rows = frame.groupby("plan").agg(**columns).reset_index()
    first = [_first(held.relations[frame["plan"] == plan], interval) for plan in rows["plan"]]
    total = rows[list(columns)].sum().to_frame().T.assign(plan="All")
    rows = pd.concat([rows, total], ignore_index=True).assign(
        first=[*first, _first(held.relations, interval)]
    )
    best = rows.iloc[:-1].sort_values("relations").iloc[-1]
    return Table(
        "contracts_by_plan",
        rows[["plan", "relations", "running", "ended", "moved", "first"]].astype(dict.fromkeys(columns, "int64")),
        f"The plan {best['plan']} has the most relations, {numbers.count(best['relations'])}",
        "Relations by the plan they began with. A relation is an unbroken time under contract of one customer.",
        formats=dict.fromkeys(columns, "count") | {"first": "percent"},
        labels={"plan": "Plan", "relations": "Relations", "running": "Running", "ended": "Ended", "moved": "Changed plan",
                "first": "First renewal"},
        total=True,
    )  # fmt: skip


def _first(relations: "pd.DataFrame", interval: float) -> float:
    """Share that makes the first renewal."""
    curve = survival(counted(relations), interval)
    return float(curve["survival"].iloc[1]) if len(curve) > 1 else np.nan


def drawn(curve: "pd.DataFrame", groups: "pd.DataFrame", interval: float) -> Figure:
    """The curve of all, with its band and the number at risk, and those of plans."""
    seen, names = curve[curve["at_risk"] >= FEWEST], list(groups["group"].unique())
    reach = max(int(seen["renewal"].max()), 1)
    with style.canvas(height=3.7) as (drawing, axes):
        axes.fill_between(seen["renewal"], seen["low"], seen["high"], step="post", **style.BAND)
        axes.step(seen["renewal"], seen["survival"], where="post", **style.HISTORY)
        ends = [(float(seen["survival"].iloc[-1]), "all", style.PALETTE[0])]
        for colour, name in zip(style.PALETTE[1:], names if len(names) > 1 else [], strict=False):
            part = groups[(groups["group"] == name) & (groups["at_risk"] >= FEWEST)]
            axes.step(
                part["renewal"],
                part["survival"],
                where="post",
                **style.HISTORY | {"color": colour, "linewidth": 1.2},
            )
            if len(part):
                axes.plot(
                    part["renewal"].iloc[-1:], part["survival"].iloc[-1:], "o", color=colour, markersize=3
                )
                ends.append((float(part["survival"].iloc[-1]), str(name), colour))
        axes.set_xlim(0, reach)
        axes.set_ylim(0, 1)
        style.percent_axis(axes.yaxis)
        ticks = np.unique(np.linspace(0, reach, min(reach, 8) + 1).round().astype(int))
        at_risk = curve.set_index("renewal")["at_risk"]
        axes.set_xticks(ticks, [f"{tick}\n{numbers.count(at_risk[tick])}" for tick in ticks])
        axes.set_xlabel("Renewals; below: relations at risk")
        axes.set_ylabel("Still under contract")
        label_ends(axes, ends, reach)
    last = seen.iloc[-1]
    return Figure(
        "contract_survival",
        drawing,
        f"{numbers.percent(last['survival'])} of relations outlast {numbers.count(last['renewal'])} renewals",
        f"Kaplan–Meier estimate with its band, {numbers.odds_words(interval)} at each renewal, to {FEWEST} relations at risk; "
        "thin lines by the plan a relation began with, dots where those end.",
        alt=f"Falling curve of relations under contract: {numbers.percent(seen['survival'].iloc[min(1, len(seen) - 1)])} after one "
        f"renewal, {numbers.percent(last['survival'])} after {int(last['renewal'])}; thin curves for {', '.join(map(str, names))}.",
        frame=pd.concat([curve.assign(group="all"), groups], ignore_index=True),
        worry="A curve that falls ever more slowly does not say that customers become more loyal: those who were going to leave "
        "soon are gone, and the others are left.",
    )


def at_renewals(curve: "pd.DataFrame", interval: float) -> Table:
    """The curve at chosen renewals, with the number at risk."""
    known = curve[curve["at_risk"] >= FEWEST]
    last = int(known["renewal"].max())
    wanted = sorted({1, 2, 3, 6, 12, 18, 24, 36, 48, 60, last} & set(range(1, last + 1)))
    rows = curve[curve["renewal"].isin(wanted)]
    first = rows.iloc[0]
    return Table(
        "contracts_at_renewals",
        rows[["renewal", "at_risk", "left", "survival", "low", "high"]].reset_index(drop=True),
        f"{numbers.count(first['left'])} of {numbers.count(first['at_risk'])} relations were left at the first renewal",
        f"Relations at risk and left at a renewal, and the share that is still there after it; band {numbers.odds_words(interval)}.",
        formats={
            "renewal": "count",
            "at_risk": "count",
            "left": "count",
            "survival": "percent",
            "low": "percent",
            "high": "percent",
        },
        labels={
            "renewal": "Renewal",
            "at_risk": "At risk",
            "left": "Left",
            "survival": "Still there",
            "low": "from",
            "high": "to",
        },
    )


def differences(found: Comparison) -> Table:
    """Which plans differ, and how sure that is."""
    pairs = found.pairs.sort_values("adjusted", ignore_index=True)
    sure = int((pairs["adjusted"] < 0.05).sum())
    title = (
        "No two plans are told apart" if not sure else f"{sure} of {len(pairs)} pairs of plans are told apart"
    )
    return Table(
        "contracts_differences",
        pairs.assign(**{name: pairs[name].clip(lower=1e-12) for name in ("p", "adjusted")}),
        title,
        "Log-rank tests of the curves of two plans; the last column is corrected for the number of pairs (Holm).",
        formats={"p": "number:4", "adjusted": "number:4"},
        labels={"one": "Plan", "other": "beside", "p": "p", "adjusted": "p, corrected"},
        note=f"All plans at once: {_p(found.p)}. A small p says that curves as different as these seldom come "
        "about by chance; it does not say that the difference matters.",
    )


_TIME = {"month": "month", "quarter": "quarter", "half_year": "half year", "year": "year", "two_years": "two years",
         "three_years": "three years"}  # fmt: skip


def _p(value: float) -> str:
    return "p < 0.0001" if value < 5e-5 else f"p = {numbers.number(value, 4)}"


def _open(both: Readings) -> str:
    if both.window is not None:
        last = int(min(both.whole["renewal"].max(), both.late["renewal"].max()))
        whole, late = both.at(last)
        text = (
            "The source is a snapshot: it says how long each customer has been there, and who has left, but not when. It can be "
            "read in two ways. If everybody who ever came is in it, all were watched from their start, and "
            f"{numbers.percent(whole)} outlast {last} renewals. If only those are in it who were customers "
            f"{numbers.date_words(both.first_end)} or came since, those who left did so in the last {_TIME[both.window]}, whoever "
            f"left earlier is missing, and {numbers.percent(late)} do. "
        )
        if both.used == "late":
            return (
                text
                + "The study says the second (`contracts.left_within`), and all that follows rests on it."
            )
        return text + (
            "**The study does not say which, and all that follows rests on the first, which is the rosier.** If the second is "
            "true, the value of these contracts is far lower: set `contracts.left_within`, and compare."
        )
    return (
        f"The contracts can be read in two ways. No end is recorded before {numbers.date_words(both.first_end)}, though some "
        f"{numbers.count(both.expected)} were due by then at the rate at which relations were left since. Either nobody left for "
        "that long, or nobody recorded it: then only those who stayed are in the data, and counting their whole past makes "
        "contracts look far too long. Set contracts.observed_from to settle it; until then both are shown, and no value should "
        "rest on the first."
    )


def readings(both: Readings) -> Table:
    """Survival by both readings."""
    last = int(min(both.whole["renewal"].max(), both.late["renewal"].max()))
    since = "only in the time before the snapshot" if both.window else "only from the first recorded end on"
    wanted = sorted({1, 3, 6, 12, 24, 36, 48, 60, 72, last} & set(range(1, last + 1)))
    frame = pd.DataFrame([(at, *both.at(at)) for at in wanted], columns=["renewal", "whole", "late"])
    end = frame.iloc[-1]
    return Table(
        "contracts_readings",
        frame,
        f"After {numbers.count(end['renewal'])} renewals {numbers.percent(end['whole'])} are still there by one reading and "
        f"{numbers.percent(end['late'])} by the other",
        f"Kaplan–Meier estimates: all relations watched from their start, and all watched {since}.",
        formats={"renewal": "count", "whole": "percent", "late": "percent"},
        labels={
            "renewal": "Renewal",
            "whole": "Watched from the start",
            "late": "Watched of late" if both.window else "Watched since the first end",
        },
    )


def as_results(found: "KindOfBusiness", held: "Contracts | None") -> dict:
    """The kind of business and the counts of contracts, as ``results.json`` holds them."""
    made = {"verdict": found.verdict, "declared": found.declared, "used": found.used, "admissible": list(found.admissible),
            "under_contract": found.under_contract, "buying_freely": found.buying_freely}  # fmt: skip
    if held is not None:
        made["relations"] = {"running": found.running, "ended": found.ends, "set_aside": len(held.set_aside)}
    return made
