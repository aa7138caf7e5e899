"""How good the history is: how far it is complete, which days look odd, and whom the models speak for."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit import numbers
from clvkit.chapters.drawing import label_ends
from clvkit.chapters.ledger_words import listed
from clvkit.exhibits import Figure, Sentence, Table
from clvkit.publish import style

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from clvkit.calendar_section import Window
    from clvkit.ledger.anomalies import AnomaliesSection
    from clvkit.ledger.completeness import Completeness

MOST_SOURCES = 8  # strips of the calendar, and lines of the lag chart
KINDS = {"outage": "outage", "surge": "double load", "unit_slip": "slip of unit", "level": "odd level"}
MEASURES = {"rows": "rows", "new_accounts": "new accounts", "amount_per_row": "amount per row, minor units"}
RULES = {
    "min_history_days": "too short a history",
    "min_purchases": "too few purchases",
    "min_identity_confidence": "identity too uncertain",
    "min_survey_response": "too few answers to surveys",
    "all customers": "All customers",
    "modelled": "Modelled one by one",
}
TREATMENTS = {
    "": "",
    "include": "labelled only",
    "segment_average": "valued as the segment",
    "exclude": "left out",
}
_WHY = {
    "latency": "later days are still arriving",
    "cut off": "the last day or days hold too few rows to be whole",
    "last day": "the last day with rows",
    "ended": "the source ended for good, by the study",
    "made": "bills fell due by contracts up to that day",
}


def answer(found: "Completeness", flags: pd.DataFrame, as_of: "date") -> Sentence:
    """How far all sources are complete, and how many odd runs of days there are."""
    one = len(found.sources) == 1
    reach = (
        f"{'The source is' if one else 'All sources are'} complete to **{numbers.date_words(found.cut_off)}**"
    )
    gap = (as_of - found.cut_off).days
    if gap > 0:
        reach += f", {count(gap, 'day')} before the as-of date: silence after it may only mean that rows have not come"
    odd = (
        "No run of days stands off from the days around it"
        if flags.empty
        else f"**{count(len(flags), 'run')} of days** {'stands' if len(flags) == 1 else 'stand'} off from the days around"
    )
    return Sentence(f"{reach}. {odd}.")


def ignored(section: "AnomaliesSection", windows: "Sequence[Window]" = ()) -> list[Sentence]:
    """The windows that the study declares to be odd, with their reasons; ``windows`` are those of its calendar."""
    if not section.ignore and not windows:
        return []
    lines = [f"- {numbers.date_words(one.first)} to {numbers.date_words(one.last)}, {one.source or 'all sources'}: {one.reason}"
             for one in section.ignore]  # fmt: skip
    lines += [
        f"- {numbers.date_words(one.first)} to {numbers.date_words(one.last)}, all sources: {one.reason}"
        for one in windows
    ]
    return [Sentence("Not looked at, by `anomalies.ignore` and `calendar.windows`:\n\n" + "\n".join(lines))]


def complete_to(found: "Completeness") -> Table:
    """How far each source is complete, and by when its rows and its money arrive."""
    lags = found.quantiles.pivot(index="source", columns="share", values=["lag_rows", "lag_money"])
    columns = {("lag_rows", 0.5): "half", ("lag_rows", 0.99): "rows_99", ("lag_money", 0.99): "money_99"}
    frame = found.sources[["source", "rows", "first_day", "last_day", "complete_to"]].copy()
    for key, name in columns.items():
        known = lags[key] if key in lags.columns else pd.Series(dtype=float)
        frame[name] = (
            frame["source"].map(known).astype(object).where(frame["source"].isin(known.index), "[z]")
        )
    frame["why"] = found.sources["why"].map(_WHY)
    first = found.sources.loc[found.sources["complete_to"] == found.cut_off].iloc[0]
    several = len(frame) > 1
    return Table(
        "data_complete_to",
        frame,
        f"Data are complete to {numbers.date_words(found.cut_off)}"
        + (f", when {first['source']} ends" if several and frame["complete_to"].nunique() > 1 else ""),
        "Rows by source with first and last day; days until half and 99 % of a day's rows, and 99 % of its money, have "
        "arrived.",
        formats={"rows": "count", "first_day": "date", "last_day": "date", "complete_to": "date", "half": "number:0",
                 "rows_99": "number:0", "money_99": "number:0"},
        labels={"source": "Source", "rows": "Rows", "first_day": "First day", "last_day": "Last day",
                "complete_to": "Complete to", "half": "Half of the rows after", "rows_99": "99 % of the rows after",
                "money_99": "99 % of the money after", "why": "Complete to is"},
        note="Arrival can only be told where the source says when a row was loaded; without that, a last day far below "
        "its weekday's usual is taken for cut off.",
    )  # fmt: skip


def arrivals(found: "Completeness") -> list[Table | Figure | Sentence]:
    """How far each source is complete and how soon rows arrive; a sentence where nothing comes late."""
    if found.latency.empty:
        return [Sentence("No source says when its rows were loaded, so late rows cannot be told from none.")]
    if found.quantiles["lag_rows"].max() > 0:
        return [complete_to(found), *lags(found)]
    names = sorted(found.latency["source"].unique())
    return [
        Sentence(
            f"By their days of loading, nearly all rows of {listed(names)} were there on the day itself."
        )
    ]


def lags(found: "Completeness") -> list[Figure]:
    """Share of a day's rows that has arrived by lag; nothing where no source has load dates."""
    curves = found.latency
    if curves.empty:
        return []
    sizes = found.sources.set_index("source")["rows"]
    names = sorted(curves["source"].unique(), key=lambda name: -sizes[name])[:MOST_SOURCES]
    longest = curves.loc[curves["source"].isin(names) & (curves["rows"] < 0.999), "lag_days"].max()
    until = int(max(7, 0 if np.isnan(longest) else longest + 1))
    with style.canvas(height=3.0) as (drawing, axes):
        ends = []
        for place, name in enumerate(names):
            curve = curves[curves["source"] == name]
            colour = style.PALETTE[place % len(style.PALETTE)]
            x, y = [*curve["lag_days"], until], [*curve["rows"], 1.0]
            axes.step(x, y, where="post", color=colour, linewidth=1.8, linestyle="-" if place < 5 else "--")
            ends.append((float(np.interp(until, x, y)) - 0.03 * place, short(name), colour))
        axes.axhline(0.99, color=style.MUTED, linewidth=0.7, linestyle=":")
        axes.set_xlim(0, until)
        axes.set_ylim(0, 1.06)
        style.percent_axis(axes.yaxis)
        axes.set_xlabel("days after the event")
        axes.set_ylabel("rows arrived")
        label_ends(axes, ends, until)
    slow = found.quantiles[found.quantiles["share"] == 0.99]
    slow = slow.loc[slow["lag_rows"].idxmax()]
    first = curves[curves["lag_days"] == 0].set_index("source")["rows"]
    return [Figure(
        "arrival_lags",
        drawing,
        f"99 % of the rows of {slow['source']} are there after {count(int(slow['lag_rows']), 'day')}",
        "Share of a day's rows that has arrived by the number of days after it; the newest days, whose late rows are yet "
        "to come, are allowed for. Dotted: 99 %.",
        alt="Rising steps of the share of rows arrived by lag. " + "; ".join(
            f"{name}: {numbers.percent(first[name], 0)} on the day itself" for name in names) + ".",
        frame=curves,
        worry="Days nearer to the end of the data than this lag look quieter than they were, and customers who bought on "
        "them look lost.",
    )]  # fmt: skip


def funnel(steps: pd.DataFrame, currency: str, minor_digits: int) -> Table:
    """Customers, purchases and revenue by rule of inclusion, and what is modelled after each.

    ``steps`` is what :func:`clvkit.ledger.inclusion.funnel` returns; revenue is shown in units of ``currency``.
    """
    unit, money = 10**minor_digits, numbers.money_header(currency)
    frame = pd.DataFrame({
        "step": steps["step"].map(lambda step: RULES.get(step, step)),
        "treatment": steps["treatment"].map(TREATMENTS),
        "customers": steps["customers"],
        "purchases": steps["purchases"],
        "revenue": steps["revenue_minor"] / unit,
        "customers_left": steps["customers_left"],
        "revenue_left": steps["revenue_left_minor"] / unit,
    })  # fmt: skip
    came, stay = frame.iloc[0], frame.iloc[-1]
    title = "All customers are modelled one by one"
    if came["customers"] > stay["customers"]:
        title = f"{numbers.percent(stay['customers'] / came['customers'])} of the customers are modelled one by one"
        if came["revenue"] > 0:
            title += f"; they brought {numbers.percent(stay['revenue'] / came['revenue'])} of the revenue"
    return Table(
        "inclusion_funnel",
        frame,
        title,
        f"Customers, purchases and revenue ({money}) that each rule meets, in the order in which rules count, and what is "
        "left after it.",
        formats={"customers": "count", "purchases": "count", "revenue": "money", "customers_left": "count",
                 "revenue_left": "money"},
        labels={"step": "Rule", "treatment": "What becomes of them", "customers": "Customers", "purchases": "Purchases",
                "revenue": f"Revenue, {money}", "customers_left": "Customers left", "revenue_left": f"Revenue left, {money}"},
        total=True,
        note="A customer counts under the first rule that fits. Customers valued as their segment stay in the fit; those "
        "left out keep their actual revenue in the reconciliation.",
    )  # fmt: skip


def maturity(frame: pd.DataFrame) -> Table:
    """Customers with at least so many days of history, as :func:`clvkit.ledger.completeness.maturity` counts them."""
    least = frame.loc[frame["days"].idxmax()]
    return Table(
        "history_maturity",
        frame,
        ("Every customer has" if least["share"] == 1 else f"{numbers.percent(least['share'])} of the customers have")
        + f" been watched for {count(int(least['days']), 'day')} or more",
        "Customers by days from their first purchase to the as-of date.",
        formats={"days": "count", "customers": "count", "share": "percent"},
        labels={"days": "Days or more", "customers": "Customers", "share": "Of all"},
    )  # fmt: skip


def span(first: pd.Timestamp, last: pd.Timestamp) -> str:
    """Days in words: ``on 1 May 2020``, ``from 1 May 2020 to 3 May 2020``."""
    if first == last:
        return f"on {numbers.date_words(first)}"
    return f"from {numbers.date_words(first)} to {numbers.date_words(last)}"


def short(name: str) -> str:
    """A source's name where there is little room."""
    return name if len(name) <= 14 else name[:13] + "…"


def count(number: int, noun: str) -> str:
    """``1 run``, ``2 runs``; slips of unit have their own plural."""
    word = noun if number == 1 else "slips of unit" if noun == KINDS["unit_slip"] else f"{noun}s"
    return f"{numbers.count(number)} {word}"
