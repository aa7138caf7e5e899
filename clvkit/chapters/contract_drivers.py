"""Chapter 03: what makes customers under contract leave sooner or later, and whether that can be relied on."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit import numbers
from clvkit.chapters.driver_words import listing
from clvkit.exhibits import Figure, Sentence, Table
from clvkit.publish import style
from clvkit.survival_regression import CALIBRATED, LEVEL

if TYPE_CHECKING:
    from clvkit.contract_analysis import ContractDrivers
    from clvkit.contracts_section import ContractsSection

_SHOWN = 3  # drivers that the answer names
_RATES = {"relations": "count", "ended": "count", "exposure": "count", "rate": "percent:2", "low": "percent:2", "high": "percent:2"}  # fmt: skip


def exhibits(found: "ContractDrivers | None", section: "ContractsSection") -> list[Sentence | Table | Figure]:
    """Rates of leaving, the drivers' multipliers and their checks; a sentence where there is nothing to show."""
    if found is None:
        return [Sentence("No contracts are analysed: the study names none that can be used.")]
    shown: list[Sentence | Table | Figure] = [answer(found, section)]
    if len(found.tenures):
        shown.append(by_tenure(found))
    if len(found.rates):
        shown.append(by_level(found))
    if len(found.effects):
        shown += [drawn(found), multipliers(found), tests(found), calibrated(found)]
    return shown


def answer(found: "ContractDrivers", section: "ContractsSection") -> Sentence:
    """What drives leaving, what was counted, and what is kept out."""
    if found.why:
        text = found.why
    else:
        sure = found.effects[found.effects["adjusted"] < LEVEL].copy()
        sure["size"] = np.abs(np.log(sure["multiplier"]))
        best = sure.sort_values("size", ascending=False).drop_duplicates("driver").head(_SHOWN)
        text = (
            f"Of the {numbers.count(found.effects['driver'].nunique())} drivers, {numbers.count(sure['driver'].nunique())} make a "
            "difference that is told from chance, the others held equal: "
            + "; ".join(_said(found, row) for row in best.itertuples())
            if len(best)
            else "None of the drivers makes a difference that is told from chance, the others held equal"
        ) + (
            ". A multiplier compares customers who are alike in all other drivers of the study. It does not say what would come of "
            "changing one: that takes a trial."
        )
    if found.censored and not found.why:
        text += (
            f" The {numbers.count(found.ends)} ends that are a choice, or whose reason is not named, are explained; the "
            f"{numbers.count(found.censored)} involuntary ones ({listing(list(section.involuntary), 'or')}) only say that a customer "
            "had stayed until then."
        )
    if found.stratified and not found.why:
        text += f" {_capital(listing(list(found.stratified)))}: each level has a hazard of its own, and no multiplier."
    if section.protected:
        verb, them = ("is", "it") if len(section.protected) == 1 else ("are", "them")
        text += (
            f" {_capital(listing(list(section.protected)))} {verb} kept out of every model of leaving, as the study asks "
            f"(`contracts.protected`): nobody is to be treated by {them}. What is written of {them} stays in the data, to look at whether "
            "groups fare alike."
        )
    if found.notes and not found.why:
        text += " " + " ".join(found.notes)
    return Sentence(text)


def _said(found: "ContractDrivers", row) -> str:
    times = f"**{numbers.number(row.multiplier, 2)}** times as fast"
    range_ = f"({numbers.number(row.low, 2)} to {numbers.number(row.high, 2)})"
    if row.level.startswith("each "):
        return f"with {row.level} of {row.driver}, customers leave {times} {range_}"
    reference = found.effects[(found.effects["driver"] == row.driver) & found.effects["p"].isna()]["level"]
    beside = f" as those with {reference.iloc[0]}" if len(reference) else ""
    return f"customers with {row.driver} {row.level} leave {times}{beside} {range_}"


def by_tenure(found: "ContractDrivers") -> Table:
    """How often contracts are left, by how long they have run."""
    rows = found.tenures
    first, last = rows.iloc[0], rows.iloc[-1]
    much = rows.loc[rows["rate"].idxmax()]
    when = f"{found.time} {much['group']}" if much["group"].isdigit() else f"{found.time}s {much['group']}"
    title = f"{numbers.percent(much['rate'])} a {found.time} leave in {when}, more than at any other tenure"
    if much["group"] == first["group"] and len(rows) > 1 and not first["group"].isdigit():
        title = f"{numbers.percent(first['rate'])} a {found.time} leave early, {numbers.percent(last['rate'])} of those who have stayed long"
    return Table(
        "contract_rates_by_tenure",
        rows,
        title,
        f"Relations watched at a tenure, those that ended there, the {found.time}s watched, and ends per {found.time} watched; "
        f"{numbers.odds_words(found.interval)} (exact binomial). All ends count, whatever their reason.",
        formats=_RATES,
        labels={"group": f"Tenure, {found.time}s", "relations": "Relations", "ended": "Ended", "exposure": f"{found.time.capitalize()}s watched",
                "rate": f"Left a {found.time}", "low": "from", "high": "to"},
        note="That fewer leave later need not mean that customers become loyal: those who were going to leave have left.",
    )  # fmt: skip


def by_level(found: "ContractDrivers") -> Table:
    """How often contracts are left, by each level of each driver, nothing held equal."""
    rows = found.rates[["driver", "group", "relations", "ended", "exposure", "rate", "low", "high"]]
    place = rows["driver"].map({name: at for at, name in enumerate(rows["driver"].unique())})
    rows = (
        rows.assign(place=place)
        .sort_values(["place", "rate"], ascending=[True, False], ignore_index=True)
        .drop(columns="place")
    )
    spread = rows.groupby("driver")["rate"].agg(lambda one: one.max() / max(one.min(), 1e-12))
    widest = spread.idxmax()
    part = rows[rows["driver"] == widest].sort_values("rate")
    low, high = part.iloc[0], part.iloc[-1]
    return Table(
        "contract_rates_by_driver",
        rows,
        f"By {widest}, {numbers.percent(low['rate'])} ({low['group']}) to {numbers.percent(high['rate'])} ({high['group']}) leave a {found.time}",
        f"Ends per {found.time} watched, of all relations with that level; {numbers.odds_words(found.interval)} (exact binomial). Numbers are in three "
        "classes of about as many relations. Nothing else is held equal.",
        formats=_RATES,
        labels={"driver": "Driver", "group": "Level", "relations": "Relations", "ended": "Ended",
                "exposure": f"{found.time.capitalize()}s watched", "rate": f"Left a {found.time}", "low": "from", "high": "to"},
    )  # fmt: skip


def drawn(found: "ContractDrivers") -> Figure:
    """Multipliers with their intervals, one under the other."""
    rows = found.effects[found.effects["p"].notna()].reset_index(drop=True)
    names = [f"{one.driver}: {one.level}" for one in rows.itertuples()]
    with style.canvas(height=0.9 + 0.27 * len(rows)) as (drawing, axes):
        place = np.arange(len(rows))
        axes.axvline(1, color=style.MUTED, linewidth=0.8)
        axes.hlines(place, rows["low"], rows["high"], color=style.PALETTE[0], linewidth=1.6)
        axes.plot(rows["multiplier"], place, "o", color=style.PALETTE[0], markersize=4.5)
        axes.set_xscale("log")
        low, high = float(rows["low"].min()), float(rows["high"].max())
        ticks = [t for t in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low / 1.6 <= t <= high * 1.6]
        axes.set_xticks(sorted({*ticks, 1}), [f"{t:g}" for t in sorted({*ticks, 1})])
        axes.minorticks_off()
        axes.set_yticks(place, names)
        axes.set_xlabel("Times the rate of leaving of the level it is compared with")
        style.horizontal(axes)
    sure = rows[rows["adjusted"] < LEVEL]
    among = sure if len(sure) else rows
    strongest = rows.loc[np.abs(np.log(among["multiplier"])).idxmax()]
    title = f"{_capital(strongest['driver'])} {strongest['level']} multiplies the rate of leaving by {numbers.number(strongest['multiplier'], 2)}"
    if not len(sure):
        title = f"No driver is told from chance; {strongest['driver']} {strongest['level']} comes furthest, {numbers.number(strongest['multiplier'], 2)}"
    return Figure(
        "contract_drivers",
        drawing,
        title,
        f"Multipliers of the rate of leaving with their intervals, {numbers.odds_words(found.interval)}, from one Cox regression: each "
        "with the other drivers held equal. Left of 1, customers stay longer.",
        alt="Multipliers of the rate of leaving: " + "; ".join(f"{name} {numbers.number(one, 2)}" for name, one in zip(names, rows["multiplier"], strict=True)) + ".",
        frame=rows,
        worry="What is not among the drivers may stand behind one that is: who chooses a plan is not who was given it. And where customers differ "
        "in more than the drivers, multipliers come out nearer to 1 than they are for a single customer.",
    )  # fmt: skip


def multipliers(found: "ContractDrivers") -> Table:
    """Every level with its multiplier."""
    rows = found.effects[["driver", "level", "relations", "ended", "multiplier", "low", "high", "adjusted"]]
    sure = int((rows["adjusted"] < LEVEL).sum())
    every = int(rows["adjusted"].notna().sum())
    note = (
        f"Relations are left at the end of a {found.time}, and many at the same: their order is not known, and is averaged over "
        "(Efron). "
        + (
            "Some customers have several relations; the intervals allow for that (Lin and Wei). "
            if found.robust
            else ""
        )
        + f"Of two customers, the one at higher risk by these drivers leaves first in {numbers.percent(found.concordance, 0)} of "
        "pairs; 50 % is chance."
    )
    return Table(
        "contract_multipliers",
        rows,
        f"{sure} of {every} multipliers are told from 1" if sure else "No multiplier is told from 1",
        f"Cox regression: how many times as fast relations are left, the other drivers held equal; {numbers.odds_words(found.interval)}. The level "
        "without an interval is what the others of its driver are compared with. p is corrected for the number of multipliers (Holm).",
        formats={"relations": "count", "ended": "count", "multiplier": "number:2", "low": "number:2", "high": "number:2", "adjusted": "number:4"},
        labels={"driver": "Driver", "level": "Level", "relations": "Relations", "ended": "Ended", "multiplier": "Multiplier",
                "low": "from", "high": "to", "adjusted": "p, corrected"},
        note=note,
    )  # fmt: skip


def tests(found: "ContractDrivers") -> Table:
    """Whether each driver says anything, and whether its multiplier stays the same."""
    rows = found.tests.merge(_drift(found), on="driver", how="left")
    moving = changing(found)
    rows["so"] = [
        "changes with tenure: name it in contracts.stratify_by, or read it as an average" if one in moving else "one multiplier will do"
        for one in rows["driver"]
    ]  # fmt: skip
    return Table(
        "contract_driver_tests",
        rows[["driver", "adjusted", "ph_adjusted", "early", "late", "so"]],
        f"The multiplier of {listing(moving)} changes with tenure" if moving else "No multiplier is seen to change with tenure",
        "p of a driver saying nothing at all, and of its multiplier being the same at every tenure (scaled Schoenfeld residuals), both "
        f"corrected for the number of drivers (Holm). Beside them its strongest multiplier up to the {found.time} by which half of the ends "
        "have come, and after it.",
        formats={"adjusted": "number:4", "ph_adjusted": "number:4", "early": "number:2", "late": "number:2"},
        labels={"driver": "Driver", "adjusted": "p, says nothing", "ph_adjusted": "p, stays the same", "early": "Early", "late": "Late",
                "so": "So"},
    )  # fmt: skip


def _drift(found: "ContractDrivers") -> pd.DataFrame:
    rows = found.effects[found.effects["p"].notna()].copy()
    rows["size"] = np.abs(np.log(rows["multiplier"]))
    return rows.sort_values("size", ascending=False).drop_duplicates("driver")[["driver", "early", "late"]]


def changing(found: "ContractDrivers") -> list[str]:
    """Drivers whose multiplier changes with tenure."""
    return list(found.tests.loc[found.tests["ph_adjusted"] < LEVEL, "driver"]) if len(found.tests) else []


def missed(found: "ContractDrivers") -> pd.DataFrame:
    """Classes of risk of which what came lies outside its interval around what was predicted."""
    rows = found.calibration
    return rows[(rows["predicted"] < rows["low"]) | (rows["predicted"] > rows["high"])] if len(rows) else rows


def calibrated(found: "ContractDrivers") -> Table:
    """Predicted and seen shares by fifths of risk."""
    rows, off = found.calibration, missed(found)
    title = (
        f"In {len(off)} of {len(rows)} classes of risk, what was predicted lies outside what was seen"
        if len(off)
        else "What is predicted lies within what was seen, at every class of risk"
    )
    return Table(
        "contract_calibration",
        rows,
        title,
        f"Share of relations left within {numbers.count(found.horizon)} {found.time}s, by fifths of predicted risk: the mean prediction of the Cox "
        f"regression, and what was seen (Kaplan–Meier); the intervals hold for all classes at once, {numbers.odds_words(CALIBRATED)}.",
        formats={"risk": "count", "relations": "count"} | dict.fromkeys(["predicted", "seen", "low", "high"], "percent"),
        labels={"risk": "Class of risk", "relations": "Relations", "predicted": "Predicted", "seen": "Seen", "low": "from", "high": "to"},
        note="The same relations were fitted, so this tells whether the form is right, and not how well others would be predicted.",
    )  # fmt: skip


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
