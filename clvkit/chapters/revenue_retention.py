"""What became of recurring revenue: movements by period, gross and net retention, and who holds it."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit import numbers
from clvkit.chapters.drawing import label_ends
from clvkit.checks import Check
from clvkit.estimate import Estimate
from clvkit.exhibits import Figure, Sentence, Table
from clvkit.publish import style
from clvkit.revenue_retention import MOVES, RATES, RevenueRetention

if TYPE_CHECKING:
    from clvkit.workbench import Workbench

CHAPTER = "04b_contracts"
SHOWN = 12  # periods in the table; the figure and its data have all
#: What each convention counts, as the report says it.
CONVENTIONS = {
    "win_backs_new": "who comes back counts as new, outside of net retention",
    "win_backs_expansion": "who comes back counts as expansion, inside of net retention",
    "without_contraction": "smaller fees are left out of both rates, so that they are higher than those that count them",
}
_NAMES = {"gross": "Gross retention", "net": "Net retention", "logos": "Customers kept"}
_MOVES = {
    "new": "New",
    "won_back": "Won back",
    "expansion": "Expansion",
    "contraction": "Contraction",
    "churn": "Churn",
}
_LOST = ("contraction", "churn")
_WHO = {"plan": "Customers with the plan", "cohort": "Customers who came in"}


def exhibits(run: "Workbench") -> list[Sentence | Table | Figure]:
    """The year in a sentence, movements by period, both rates over time, and who holds the revenue."""
    found, currency = run.revenue_retention(), run.study.currency
    if found is None or found.periods.empty:
        return [Sentence(_nothing(found, currency))]
    shown: list[Sentence | Table | Figure] = [answer(found, currency), movements(found, currency)]
    if found.periods["gross"].notna().sum() > 1:
        shown.append(drawn(found))
    for frame, name, title in (
        (found.by_plan, "plan", "Plan a year ago"),
        (found.by_cohort, "cohort", "First contract"),
    ):
        if len(frame) > 1:
            shown.append(held_by(frame, found, name, title, currency))
    return shown


def _nothing(found: RevenueRetention | None, currency: str) -> str:
    if found is None:
        return "Revenue retention is not counted: the study has no contracts that can be used."
    return f"Revenue retention is not counted: no whole period has contracts with a fee in {currency}."


def answer(found: RevenueRetention, currency: str) -> Sentence:
    """Gross and net retention over the last twelve months, under the convention of the study."""
    last = found.periods.iloc[-1]
    worth = _money(last["end"], found, currency)
    convention = f"By the convention of the study, {CONVENTIONS[found.convention]}."
    if found.year.empty:
        return Sentence(
            f"Contracts bring {worth} a month at the end of {last['period']}. Retention over twelve months cannot be told yet: "
            f"the contracts, or the record of their ends, are younger. {convention}"
        )
    year = found.year.iloc[0]
    gross, net = (_rate_words(year, name, found.interval) for name in ("gross", "net"))
    text = (
        f"Of the {_money(year['start'], found, currency)} a month that contracts brought twelve months ago, customers kept "
        f"**{gross}** (gross retention); with what they took in addition it is **{net}** (net retention). "
        f"{numbers.percent(year['logos'])} of the {numbers.count(year['customers'])} customers are still there. "
    )
    if year["won_back"]:
        text += f"Customers who came back bring {_money(year['won_back'], found, currency)} of {_money(year['end'], found, currency)} a month today. "  # fmt: skip
    return Sentence(text + convention)


def _money(minor: float, found: RevenueRetention, currency: str) -> str:
    return numbers.money(minor / found.minor_per_unit, currency)


def _rate_words(row: pd.Series, name: str, interval: float) -> str:
    value = numbers.percent(row[name])
    ends = [row[f"{name}_{end}"] for end in ("low", "high")]
    if np.isnan(ends).any():
        return value
    return f"{value}, {numbers.interval_words(*map(numbers.percent, ends), interval)}"


def movements(found: RevenueRetention, currency: str) -> Table:
    """The waterfall by period: start, movements, end, with the rates."""
    rows = found.periods.tail(SHOWN)
    frame = rows[["period", "start", *MOVES, "end"]].copy()
    for name in _LOST:
        frame[name] = -frame[name]
    amounts = ["start", *MOVES, "end"]
    frame[amounts] = frame[amounts] / found.minor_per_unit
    frame = frame.assign(**{name: rows[name] for name in RATES})
    last = rows.iloc[-1]
    gained = last["new"] + last["won_back"] + last["expansion"]
    lost = last["contraction"] + last["churn"]
    title = (
        f"In {last['period']} contracts gained {_money(gained, found, currency)} a month and lost "
        f"{_money(lost, found, currency)}"
    )
    left_out = [
        f"{numbers.count(count)} contracts {words}"
        for count, words in ((found.foreign, "in other currencies"), (found.free, "without a fee"))
        if count
    ]
    return Table(
        "revenue_movements",
        frame.reset_index(drop=True),
        title,
        f"Monthly recurring revenue of contracts ({currency}): fees spread over the months that they pay for. An end counts on the "
        "first day without the contract; a pause, or a gap before another contract, that a relation bridges is no loss.",
        formats=dict.fromkeys(amounts, "money:0") | dict.fromkeys(RATES, "percent"),
        labels={"period": found.period.capitalize(), "start": "Start", "end": "End", **_MOVES, **_NAMES},
        note=" ".join([
            f"Rates are those of one {found.period}; {CONVENTIONS[found.convention]}.",
            *([f"{' and '.join(left_out)} are left out."] if left_out else []),
        ]),
    )  # fmt: skip


def drawn(found: RevenueRetention) -> Figure:
    """Gross and net retention of each period, with their bands."""
    from matplotlib.ticker import MaxNLocator

    rows = found.periods[found.periods["gross"].notna()].reset_index(drop=True)
    place, ends = np.arange(len(rows)), []
    with style.canvas() as (drawing, axes):
        for name, colour in (("gross", style.PALETTE[0]), ("net", style.PALETTE[1])):
            axes.fill_between(
                place, rows[f"{name}_low"], rows[f"{name}_high"], **style.BAND | {"facecolor": colour}
            )
            axes.plot(place, rows[name], **style.HISTORY | {"color": colour})
            ends.append((float(rows[name].iloc[-1]), _NAMES[name].lower().removesuffix(" retention"), colour))
        axes.axhline(1, color=style.MUTED, linewidth=0.8)
        step = max(1, -(-len(rows) // 8))
        axes.set_xticks(place[::step], rows["period"][::step])
        axes.set_ylabel("Of the revenue at its start")
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        style.percent_axis(axes.yaxis)
        label_ends(axes, ends, float(place[-1]))
    last = rows.iloc[-1]
    return Figure(
        "revenue_retention",
        drawing,
        f"{numbers.percent(last['gross'])} of recurring revenue outlasted {last['period']}, {numbers.percent(last['net'])} with what "
        "customers took in addition",
        f"Gross and net retention of monthly recurring revenue by {found.period}, each with its band, "
        f"{numbers.odds_words(found.interval)} (bootstrap over customers). {_sentence(CONVENTIONS[found.convention])}.",
        alt=f"Two lines by {found.period}: gross retention from {numbers.percent(rows['gross'].iloc[0])} to "
        f"{numbers.percent(last['gross'])}, net retention from {numbers.percent(rows['net'].iloc[0])} to {numbers.percent(last['net'])}.",
        frame=rows[["period", *(f"{name}{end}" for name in RATES for end in ("", "_low", "_high"))]],
        worry="The first periods rest on few customers. Where contracts run for a year, most cannot end within a month or a "
        "quarter: rates of short periods are not comparable between companies that bill differently.",
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def held_by(frame: pd.DataFrame, found: RevenueRetention, name: str, title: str, currency: str) -> Table:
    """Retention over the last twelve months of each group of customers."""
    total = found.year.assign(group="All")
    rows = pd.concat([frame, total], ignore_index=True)
    shown = pd.DataFrame(
        {
            "group": rows["group"],
            "customers": rows["customers"],
            "start": rows["start"] / found.minor_per_unit,
        }
    )
    for move in ("expansion", *_LOST):
        shown[move] = rows[move] * (-1 if move in _LOST else 1) / found.minor_per_unit
    for rate in ("gross", "net"):
        shown[[rate, f"{rate}_low", f"{rate}_high"]] = rows[[rate, f"{rate}_low", f"{rate}_high"]].astype(
            float
        )
    shown["logos"] = rows["logos"].astype(float)
    large = frame[frame["start"] >= frame["start"].sum() / 20]
    worst = large.loc[large["gross"].idxmin()]
    return Table(
        f"revenue_by_{name}",
        shown,
        f"{_WHO[name]} {worst['group']} kept least: {numbers.percent(worst['gross'])} of their revenue",
        f"Monthly recurring revenue twelve months ago ({currency}), what became of it, and retention over these twelve months; "
        f"intervals {numbers.odds_words(found.interval)}. The title names no group with less than a twentieth of the revenue.",
        formats={"customers": "count", "start": "money:0", **dict.fromkeys(["expansion", *_LOST], "money:0"),
                 **{f"{rate}{end}": "percent" for rate in ("gross", "net") for end in ("", "_low", "_high")}, "logos": "percent"},
        labels={"group": title, "customers": "Customers", "start": "Start", **{move: _MOVES[move] for move in ("expansion", *_LOST)},
                "gross": "Gross", "gross_low": "Low", "gross_high": "High", "net": "Net", "net_low": "Low ", "net_high": "High ",
                "logos": "Customers kept"},
        total=True,
    )  # fmt: skip


def checks(run: "Workbench") -> list[Check]:
    """Whether movements add up, gross retention is possible, and what the convention hides."""
    found = run.revenue_retention()
    if found is None or found.periods.empty:
        return []
    every = pd.concat([found.periods, found.year, found.by_plan, found.by_cohort], ignore_index=True)
    gained = every["start"] + every["new"] + every["won_back"] + every["expansion"]
    off = int((gained - every["contraction"] - every["churn"] - every["end"]).abs().sum())
    highest = float(every["gross"].max()) if every["gross"].notna().any() else 0.0
    title = "Recurring revenue adds up"
    made = [
        Check("revenue_retention.adds_up", title, "pass" if off == 0 else "fail",
              "Start and movements of recurring revenue give its end in every period and group, to the minor unit." if off == 0
              else f"Start and movements of recurring revenue miss its end by {numbers.count(off)} minor units.",
              value=off, threshold=0, unit="minor units", severity="stop", chapter=CHAPTER,
              recommendation="" if off == 0 else "Report this: the movements are integers and must add up."),
        Check("revenue_retention.gross", "Gross retention is at most 100 %", "pass" if highest <= 1 else "fail",
              f"The highest gross retention of any period or group is {numbers.percent(highest)}.",
              value=highest, threshold=1, unit="share", severity="stop", chapter=CHAPTER,
              recommendation="" if highest <= 1 else "Report this: what is kept of a fee cannot exceed it."),
    ]  # fmt: skip
    if found.convention == "without_contraction" and len(found.year):
        year = found.year.iloc[0]
        hidden = year["contraction"] / year["start"]
        made.append(Check(
            "revenue_retention.convention", "What the convention leaves out", "review" if hidden > 0.01 else "info",
            f"Gross and net retention leave smaller fees out, which took {numbers.percent(hidden)} of the revenue in twelve months.",
            value=float(hidden), threshold=0.01, unit="share", chapter=CHAPTER,
            recommendation="Set contracts.revenue_retention.convention to win_backs_new where others are compared with.",
        ))  # fmt: skip
    return made


def metrics(run: "Workbench") -> dict[str, Estimate]:
    """Headline figures over the last twelve months: ``gross_revenue_retention``, ``net_revenue_retention``, ``logo_retention``."""
    found = run.revenue_retention()
    if found is None or found.year.empty:
        return {}
    year, names = (
        found.year.iloc[0],
        {"gross": "gross_revenue_retention", "net": "net_revenue_retention", "logos": "logo_retention"},
    )
    bare = lambda value: None if np.isnan(value) else float(value)  # noqa: E731
    return {
        metric: Estimate(float(year[name]), bare(year[f"{name}_low"]), bare(year[f"{name}_high"]), float(year[name]),
                         unit="share", interval=found.interval)
        for name, metric in names.items()
    }  # fmt: skip


def as_results(run: "Workbench") -> dict:
    """The convention, and the movements of the last twelve months, as ``results.json`` holds them (money in the currency)."""
    found = run.revenue_retention()
    if found is None:
        return {}
    said: dict = {"convention": found.convention, "period": found.period}
    if len(found.year):
        year = found.year.iloc[0]
        said["monthly"] = {
            name: float(year[name] / found.minor_per_unit) for name in ("start", *MOVES, "end")
        }
        said["customers"], said["kept"] = int(year["customers"]), int(year["kept"])
    return said
