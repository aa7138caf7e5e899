"""How good the history is: how far it is complete, which days look odd, and whom the models speak for."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit import numbers
from clvkit.chapters.drawing import label_ends
from clvkit.exhibits import Figure, Sentence, Table
from clvkit.publish import style

if TYPE_CHECKING:
    from datetime import date

    from clvkit.ledger.anomalies import AnomaliesSection
    from clvkit.ledger.completeness import Completeness

MOST_SOURCES = 8  # strips of the calendar, and lines of the lag chart
KINDS = {"outage": "outage", "surge": "double load", "unit_slip": "slip of unit", "level": "odd level"}
MEASURES = {"rows": "rows", "new_accounts": "new accounts", "amount_per_row": "amount per row, minor units"}
RULES = {
    "min_history_days": "too short a history",
    "min_purchases": "too few purchases",
    "min_identity_confidence": "identity too uncertain",
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
}


def answer(found: "Completeness", flags: pd.DataFrame, as_of: "date") -> Sentence:
    """How far all sources are complete, and how many odd runs of days there are."""
    reach = f"All sources are complete to **{numbers.date_words(found.cut_off)}**"
    gap = (as_of - found.cut_off).days
    if gap > 0:
        reach += f", {_count(gap, 'day')} before the as-of date: silence after it may only mean that rows have not come"
    odd = (
        "No run of days stands off from the days around it"
        if flags.empty
        else f"**{_count(len(flags), 'run')} of days** {'stands' if len(flags) == 1 else 'stand'} off from the days around"
    )
    return Sentence(f"{reach}. {odd}.")


def calendar(daily: pd.DataFrame, flags: pd.DataFrame) -> list[Figure]:
    """A strip of days by weeks per source, shaded by rows, with the flags numbered as in their table."""
    if daily.empty:
        return []
    rows = daily.groupby(["source", "day"], as_index=False)["rows"].sum()
    sizes = rows.groupby("source")["rows"].sum().sort_values(ascending=False, kind="stable")
    shown = list(sizes.index[:MOST_SOURCES])
    frame = rows[rows["source"].isin(shown)].merge(_flagged_days(flags), on=["source", "day"], how="outer")
    frame["rows"] = frame["rows"].fillna(0).astype("int64")
    frame = frame[frame["source"].isin(shown)].sort_values(["source", "day"], ignore_index=True)
    return [Figure(
        "history_calendar",
        _strips(frame, shown),
        _calendar_title(flags),
        "Rows per day, one column a week from Monday on top to Sunday, darker with more rows (of each source's busy days). "
        "Outlined: days that stand off, with the number of the flag."
        + (f" The {MOST_SOURCES} largest of {len(sizes)} sources." if len(sizes) > MOST_SOURCES else ""),
        alt=_calendar_alt(frame, flags, shown),
        frame=frame,
        worry="Blank days within a strip are days without a row. A hole that no flag marks is too small to tell from "
        "chance, or comes back every year.",
    )]  # fmt: skip


def _flagged_days(flags: pd.DataFrame) -> pd.DataFrame:
    """``source, day, flag``: the numbers of the flags that a day is in, as text."""
    days = [(one.source, day, str(one.Index + 1)) for one in flags.reset_index(drop=True).itertuples()
            for day in pd.date_range(one.first_day, one.last_day)]  # fmt: skip
    frame = pd.DataFrame(days, columns=["source", "day", "flag"])
    frame["day"] = pd.to_datetime(frame["day"])
    return frame.groupby(["source", "day"], as_index=False)["flag"].agg(", ".join)


def _strips(frame: pd.DataFrame, sources: list[str]):
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    shades = LinearSegmentedColormap.from_list("clvkit", ["#e6edf4", style.PALETTE[0]])
    monday = frame["day"].min() - pd.Timedelta(days=int(frame["day"].min().dayofweek))
    weeks = (frame["day"].max() - monday).days // 7 + 1
    pitch = 9.5  # days from one strip to the next: seven, and room for the numbers of flags
    with style.canvas(height=0.55 + 0.95 * len(sources)) as (drawing, axes):
        for strip, source in enumerate(sources):
            part = frame[frame["source"] == source]
            week = ((part["day"] - monday).dt.days // 7).to_numpy()
            weekday = part["day"].dt.dayofweek.to_numpy()
            cells = np.full((7, weeks), np.nan)
            cells[weekday, week] = np.where(part["rows"] > 0, part["rows"], np.nan)
            top = strip * pitch
            axes.pcolormesh(np.arange(weeks + 1), top + np.arange(8), cells, cmap=shades, vmin=0,
                            vmax=max(np.nanquantile(cells, 0.98), 1), edgecolor="#ffffff",
                            linewidth=0.4 if weeks < 80 else 0.0)  # fmt: skip
            axes.add_patch(Rectangle((week.min(), top), week.max() + 1 - week.min(), 7, fill=False,
                                     edgecolor=style.RULE, linewidth=0.7))  # fmt: skip
            flagged = part["flag"].notna().to_numpy()
            for at, day in zip(week[flagged], weekday[flagged], strict=True):
                axes.add_patch(Rectangle((at, top + day), 1, 1, fill=False, edgecolor=style.PALETTE[1], linewidth=1.1))  # fmt: skip
            _numbers(axes, part["flag"].to_numpy()[flagged], week[flagged], top, weeks)
        axes.set_xlim(0, weeks)
        axes.set_ylim(len(sources) * pitch - (pitch - 7) + 0.3, -2)
        axes.set_yticks([strip * pitch + 3.5 for strip in range(len(sources))], [_short(s) for s in sources])
        months = pd.date_range(monday, frame["day"].max(), freq="MS")
        every = next((n for n in (1, 2, 3, 6) if len(months) <= 8 * n), 12)
        months = months[(months.month - 1) % every == 0]
        axes.set_xticks(
            [(month - monday).days / 7 for month in months], [f"{month:%b %Y}" for month in months]
        )
        axes.grid(False)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", labelcolor=style.INK)
    return drawing


def _numbers(axes, flags: np.ndarray, weeks_of: np.ndarray, top: float, weeks: int) -> None:
    """Write the numbers of flags above their strip; what would overlap the number before it moves to the right."""
    reached = -np.inf
    for text in dict.fromkeys(flags):
        here = weeks_of[flags == text]
        place = max((here.min() + here.max() + 1) / 2, reached)
        axes.text(place, top - 0.9, text, color=style.PALETTE[1], ha="center", va="center", fontsize=8)
        reached = place + weeks * 0.016 * (len(text) + 1)


def _calendar_title(flags: pd.DataFrame) -> str:
    if flags.empty:
        return "Every day looks like the days around it"
    kinds = flags["kind"].map(KINDS).value_counts(sort=False)
    told = ", ".join(_count(n, kind) for kind, n in kinds.items())
    return f"{_count(len(flags), 'run')} of days {'stands' if len(flags) == 1 else 'stand'} off: {told}"


def _calendar_alt(frame: pd.DataFrame, flags: pd.DataFrame, shown: list[str]) -> str:
    parts = []
    for source in shown:
        days = frame[frame["source"] == source]
        parts.append(f"{source} from {numbers.date_words(days['day'].min())} to {numbers.date_words(days['day'].max())}, at most "
                     f"{numbers.count(days['rows'].max())} rows a day")  # fmt: skip
    marked = [f"{KINDS[one.kind]} of {one.source} {_span(one.first_day, one.last_day)}" for one in flags.itertuples()
              if one.source in shown]  # fmt: skip
    many = f" and {len(marked) - 10} more" if len(marked) > 10 else ""
    return (
        "Heat map of rows per day. "
        + "; ".join(parts)
        + ". Flagged: "
        + ("; ".join(marked[:10]) or "none")
        + many
        + "."
    )


def flagged(flags: pd.DataFrame) -> list[Table]:
    """The flags with their days, what was expected and seen, and the money touched; nothing without flags."""
    if flags.empty:
        return []
    frame = pd.DataFrame({
        "number": range(1, len(flags) + 1),
        "source": flags["source"],
        "first_day": flags["first_day"].dt.date,
        "last_day": flags["last_day"].dt.date,
        "kind": flags["kind"].map(KINDS),
        "measure": flags["measure"].map(MEASURES),
        "expected": flags["expected"],
        "seen": flags["seen"],
        "share": flags["share"],
        "score": flags["score"],
    })  # fmt: skip
    worst = flags.loc[flags["share"].fillna(0).idxmax()]
    return [Table(
        "history_flags",
        frame,
        f"The {KINDS[worst['kind']]} of {worst['source']} {_span(worst['first_day'], worst['last_day'])} touches "
        f"{numbers.percent(worst['share'])} of its money",
        "Runs of days that stand off from the same weekdays before and after: rows or new accounts over the run, or the "
        "amount of one row, as expected and as seen; the share of the source's money that the run holds or lacks.",
        formats={"number": "count", "first_day": "date", "last_day": "date", "expected": "number:0", "seen": "number:0",
                 "share": "percent", "score": "number:1"},
        labels={"number": "Flag", "source": "Source", "first_day": "From", "last_day": "To", "kind": "Looks like",
                "measure": "Measure", "expected": "Expected", "seen": "Seen", "share": "Of the money",
                "score": "Standard deviations"},
        note="A flag is a question to who runs the source, not a correction: nothing was changed. Score: distance to the "
        "nearer of the weeks before and the weeks after, in robust standard deviations, at most 40.",
    )]  # fmt: skip


def ignored(section: "AnomaliesSection") -> list[Sentence]:
    """The windows that the study declares to be odd, with their reasons."""
    if not section.ignore:
        return []
    lines = [f"- {numbers.date_words(one.first)} to {numbers.date_words(one.last)}, {one.source or 'all sources'}: {one.reason}"
             for one in section.ignore]  # fmt: skip
    return [Sentence("Not looked at, by `anomalies.ignore`:\n\n" + "\n".join(lines))]


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
            ends.append((float(np.interp(until, x, y)) - 0.03 * place, _short(name), colour))
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
        f"99 % of the rows of {slow['source']} are there after {_count(int(slow['lag_rows']), 'day')}",
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
        f"{numbers.percent(least['share'])} of the customers have been watched for {_count(int(least['days']), 'day')} or more",
        "Customers by days from their first purchase to the as-of date.",
        formats={"days": "count", "customers": "count", "share": "percent"},
        labels={"days": "Days or more", "customers": "Customers", "share": "Of all"},
    )  # fmt: skip


def _span(first: pd.Timestamp, last: pd.Timestamp) -> str:
    if first == last:
        return f"on {numbers.date_words(first)}"
    return f"from {numbers.date_words(first)} to {numbers.date_words(last)}"


def _short(name: str) -> str:
    return name if len(name) <= 14 else name[:13] + "…"


def _count(number: int, noun: str) -> str:
    word = noun if number == 1 else "slips of unit" if noun == KINDS["unit_slip"] else f"{noun}s"
    return f"{numbers.count(number)} {word}"
