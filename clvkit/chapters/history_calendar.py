"""The calendar of a history: rows per day and source, and the days that stand off."""

import numpy as np
import pandas as pd

from clvkit import numbers
from clvkit.chapters.history import KINDS, MEASURES, MOST_SOURCES, count, short, span
from clvkit.exhibits import Figure, Table
from clvkit.publish import style


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
        axes.set_yticks([strip * pitch + 3.5 for strip in range(len(sources))], [short(s) for s in sources])
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
    told = ", ".join(count(n, kind) for kind, n in kinds.items())
    return f"{count(len(flags), 'run')} of days {'stands' if len(flags) == 1 else 'stand'} off: {told}"


def _calendar_alt(frame: pd.DataFrame, flags: pd.DataFrame, shown: list[str]) -> str:
    parts = []
    for source in shown:
        days = frame[frame["source"] == source]
        parts.append(f"{source} from {numbers.date_words(days['day'].min())} to {numbers.date_words(days['day'].max())}, at most "
                     f"{numbers.count(days['rows'].max())} rows a day")  # fmt: skip
    marked = [f"{KINDS[one.kind]} of {one.source} {span(one.first_day, one.last_day)}" for one in flags.itertuples()
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
        f"The {KINDS[worst['kind']]} of {worst['source']} {span(worst['first_day'], worst['last_day'])} touches "
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
