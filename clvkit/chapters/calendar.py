"""Chapter 04: what acts on everybody's purchases at once, and the results with and without it."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit import numbers
from clvkit.checks import Check
from clvkit.exhibits import Figure, Sentence, Table
from clvkit.publish import style

if TYPE_CHECKING:
    from clvkit.calendar import Calendar
    from clvkit.study import Study

_DONE = {
    "ignore": "listed only",
    "compress": "purchase time at the speed given",
    "estimate": "purchase time at the speed the data show",
}


def exhibits(found: "Calendar", treatments: pd.DataFrame, study: "Study") -> list[Table | Figure | Sentence]:
    """The windows, the season, and the results under each treatment; a sentence where the study has no calendar."""
    section = study.calendar
    if not section.windows and not section.acts:
        told = (
            f"Whether there is a season could not be told from these data: {found.untold}"
            if found.untold
            else "These data could tell a season: `calendar.season: estimate` asks them."
        )
        return [
            Sentence(
                "The study has no calendar: no day is taken to be unlike others, and no season is. `calendar.windows` names "
                f"such days (a shut shop, an outage), `calendar.season` a season. {told}"
            )
        ]
    shown: list[Table | Figure | Sentence] = [Sentence(one) for one in found.refused]
    if section.windows:
        shown.append(windows(found, study))
    if found.months:
        shown.append(season(found))
    return [*shown, with_and_without(treatments, study)]


def windows(found: "Calendar", study: "Study") -> Table:
    """All windows that the study names, and what is done about each."""
    # one whose speed could not be estimated is not among them
    speeds = {one.begins: one for one in found.windows}
    rows = []
    for one in study.calendar.windows:
        speed = speeds.get(one.first.isoformat()) if one.treatment != "ignore" else None
        rows.append({
            "first": pd.Timestamp(one.first), "last": pd.Timestamp(one.last), "days": one.days, "reason": one.reason,
            "treatment": _DONE[one.treatment] if speed or one.treatment == "ignore" else "could not be estimated: nothing",
            "speed": speed.value if speed else numbers.NOT_APPLICABLE,
            "low": speed.low if speed and speed.low is not None else numbers.NOT_APPLICABLE,
            "high": speed.high if speed and speed.high is not None else numbers.NOT_APPLICABLE,
        })  # fmt: skip
    acted = sum(one["speed"] != numbers.NOT_APPLICABLE for one in rows)
    return Table(
        "calendar_windows",
        pd.DataFrame(rows).astype({"speed": object, "low": object, "high": object}),
        f"Windows of days unlike others: {len(rows)} named, of which {acted or 'none'} {'acts' if acted == 1 else 'act'} on "
        "purchases",
        "Windows of the study's calendar. Speed: purchases as a multiple of what is usual; a range holds 90 %.",
        formats={"first": "date", "last": "date", "days": "count", "speed": "number:2", "low": "number:2", "high": "number:2"},
        labels={"first": "First day", "last": "Last day", "days": "Days", "reason": "What happened", "treatment": "What is done",
                "speed": "Speed", "low": "Low", "high": "High"},
        note="In a window that acts, the calendar goes on and purchase time does not, or goes slower: silence in it says less "
        "of a customer. None of these days is flagged as odd or part of what is usual in the chapter on the data.",
    )  # fmt: skip


def season(found: "Calendar") -> Figure:
    """The factors of the season, with intervals where they were estimated."""
    frame = pd.DataFrame([{"month": one.name, "factor": one.value, "low": one.low, "high": one.high,
                           "purchases": one.purchases} for one in found.months])  # fmt: skip
    estimated = found.months[0].how == "estimated"
    top, least = frame.loc[frame["factor"].idxmax()], frame.loc[frame["factor"].idxmin()]
    with style.canvas(height=2.6) as (drawing, axes):
        places = np.arange(len(frame))
        bar = style.PREVIOUS_BAR if estimated else style.HISTORY_BAR  # light, so that all of a range is seen
        axes.bar(places, frame["factor"], 0.62, **bar)
        if estimated:
            ends = np.array([frame["factor"] - frame["low"], frame["high"] - frame["factor"]], float)
            axes.errorbar(
                places, frame["factor"], yerr=ends, fmt="none", ecolor=style.INK, elinewidth=1, capsize=2
            )
        axes.axhline(1.0, color=style.MUTED, linewidth=0.8)
        axes.set_xticks(places, [name[:3] for name in frame["month"]])
        axes.set_ylim(bottom=0)
    how = "found by likelihood, with ranges that hold 90 %" if estimated else "as the study gives them"
    return Figure(
        "calendar_season",
        drawing,
        f"In {top['month']} customers buy {_times(top)} times as much as usual, in {least['month']} {_times(least)} times",
        f"Purchases of one and the same customer in each month, as a multiple of the mean of the year: {how}. Forecasts carry "
        "the season on.",
        alt=f"Bar chart of twelve factors; the highest is {top['month']} with {numbers.number(top['factor'], 2)}, the lowest "
        f"{least['month']} with {numbers.number(least['factor'], 2)}.",
        frame=frame,
        worry="A season of few years is partly chance: a month that was good twice need not be good again."
        if estimated
        else "The factors are given, and nothing here says that the data agree; the table of treatments does.",
    )


def _times(month: pd.Series) -> str:
    """A factor in words, with its range where it was estimated."""
    if pd.isna(month["low"]):
        return numbers.number(month["factor"], 2)
    ends = f"{numbers.number(month['low'], 2)} to {numbers.number(month['high'], 2)}"
    return f"{numbers.number(month['factor'], 2)} ({ends})"


def with_and_without(found: pd.DataFrame, study: "Study") -> Table:
    """The fit and the value under each treatment."""
    currency, unit = study.currency, study.models.opportunity or study.models.time_unit
    plain = found.loc[~found["used"].astype(bool), "equity"].iloc[0]
    used = found.loc[found["used"].astype(bool), "equity"].iloc[0]
    moved = used / plain - 1 if plain else 0.0
    frame = found.assign(
        how=np.where(found["used"], found["how"] + ", used", found["how"]), apart=found["equity"] / used - 1
    ).drop(columns="used")
    more = "more" if moved > 0 else "less"
    shown = ["how", "rate", "alpha", "equity", "apart", "log_likelihood"]
    shown += ["why"] if frame["why"].astype(bool).any() else []
    return Table(
        "calendar_treatments",
        frame[shown],
        f"With its calendar the study values the customers {numbers.percent(abs(moved))} {more} than without",
        f"The headline process at maximum likelihood: purchases a {unit} of a mean customer on usual days (r/alpha), alpha, "
        f"customer equity within the horizon ({currency}), and the log-likelihood, under each treatment.",
        formats={"rate": "number:4", "alpha": "number:3", "equity": "money:0", "apart": "percent:1", "log_likelihood": "number:1"},
        labels={"how": "Treatment", "rate": f"Purchases a {unit}", "alpha": "alpha", "equity": f"Customer equity, {currency}",
                "apart": "Beside the one used", "log_likelihood": "Log-likelihood"} | ({"why": "Remark"} if "why" in shown else {}),
        note="All log-likelihoods are of purchases in calendar time (with the sum of log speeds at the repeat purchases), so "
        "that they compare: the higher one describes the history better. Estimated speeds have that advantage by nature.",
    )  # fmt: skip


def checks(found: "Calendar") -> list[Check]:
    """Whether everything that the calendar asks for could be told from the data."""
    if found.clock is None:
        return []
    return [Check(
        "calendar.estimated", "The calendar could be told from the data", "review" if found.refused else "pass",
        " ".join(found.refused) or "Everything that the study asks to have estimated could be.",
        value=len(found.refused), threshold=0, unit="factors refused",
        recommendation="Give the season or the speed in the study, or leave them out." if found.refused else "",
        chapter="04_value",
    )]  # fmt: skip


def as_results(found: "Calendar", treatments: pd.DataFrame) -> dict:
    """What ``results.json`` holds under ``calendar``."""
    from dataclasses import asdict

    table = treatments.astype(object).where(treatments.notna(), None)
    return {
        "acts": found.clock is not None,
        "months": [asdict(one) for one in found.months],
        "windows": [asdict(one) for one in found.windows],
        "refused": list(found.refused),
        "treatments": table.to_dict("records"),
    }
