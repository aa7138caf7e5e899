"""Dates with day and month exchanged: 3 May that was 5 March.

Only days up to the twelfth can be read as another day; three things give them away. *Unreadable*: dates of the same file
with a higher day cannot be read, and can with day and month exchanged. *Order*: in a file that is in the order of its days,
rows stand where the exchanged day belongs. *Days*: a source has sales on the first twelve days of its months and on no
others.
"""

from collections.abc import Sequence
from datetime import date

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from clvkit.checks import Check
from clvkit.ledger.engine import engine_of
from clvkit.ledger.lines import Reading
from clvkit.ledger.section import LedgerSection
from clvkit.ledger.values import day
from clvkit.numbers import percent
from clvkit.rules import listed

FEWEST = 5  # rows of a file that are no accident
LAST_DOUBTFUL = 12  # a later day is no month
IN_ORDER = 0.95  # share of a file's later days that follow each other, for its order to mean something
FEWEST_ROWS, FEWEST_MONTHS, LATER_SHARE = 100, 3, 0.05  # of a source judged by its days alone
PER_UNREADABLE = 0.6  # rows that can be read as another day, for each that cannot: 11 days of a month to 18
COLUMNS = ("source", "file", "how", "rows", "others", "row")


def exchanged_frame(lines: ir.Table, readings: Sequence[Reading], files: Sequence[str]) -> pd.DataFrame:
    """Files in which days and months are exchanged.

    Parameters
    ----------
    lines : rows with ``source, file_no, row, ordinal, reason, value`` and their day in the source.
    readings : what decides how the rows of each source are typed.
    files : names of the files, by number.

    Returns
    -------
    ``source, file, how`` (``unreadable``, ``order``, ``days``), ``rows`` that show it, about how many ``others`` were
    read as another day, and the first ``row`` that shows it.
    """
    lines = lines.mutate(on=lines.booked_day if "booked_day" in lines.columns else lines.day)
    spans = _spans(lines)
    found = [*_unreadable(lines, readings), *_out_of_order(lines, spans), *_early_days(spans)]
    frame = pd.DataFrame(found, columns=["source", "file_no", "how", "rows", "others", "row"])
    # Of a file whose dates cannot be read, that is the better reason.
    frame = frame.drop_duplicates(["source", "file_no"])
    frame["file"] = [files[number] for number in frame["file_no"]]
    return frame.sort_values(["source", "file_no"], ignore_index=True)[list(COLUMNS)]


def _spans(lines: ir.Table) -> pd.DataFrame:
    """``source, file_no, on, rows, first, last``: where in a file, in the order of reading, the rows of a day stand."""
    dated = lines.filter(lines.on.notnull() & ~lines.reason.fill_null("").startswith("date_"))
    grouped = dated.group_by("source", "file_no", "on").agg(
        rows=dated.count().cast("int64"), first=dated.ordinal.min(), last=dated.ordinal.max()
    )
    frame = grouped.to_pyarrow().to_pandas().sort_values(["source", "file_no", "on"], ignore_index=True)
    return frame.assign(month=[one.month for one in frame["on"]], day=[one.day for one in frame["on"]])


def _unreadable(lines: ir.Table, readings: Sequence[Reading]) -> list[tuple]:
    if engine_of(lines) != "duckdb":  # other engines are given days, and no text
        return []
    found = []
    for reading in readings:
        form = reading.section.date_format or ""
        if not ("%d" in form and "%m" in form):
            continue
        other = form.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m")
        flipped = reading.section.model_copy(update={"date_format": other})
        held = lines.filter((lines.source == reading.name) & (lines.reason == "date_unreadable"))
        held = held.mutate(other=day(held.value, flipped))
        each = held.group_by("file_no").agg(
            rows=held.count().cast("int64"),
            read=held.other.notnull().sum().cast("int64"),
            row=held["row"].min(where=held.other.notnull()),
        )
        for one in each.order_by("file_no").to_pyarrow().to_pylist():
            if one["read"] >= max(FEWEST, one["rows"] / 2):
                others = round(PER_UNREADABLE * one["read"])
                found.append((reading.name, one["file_no"], "unreadable", one["read"], others, one["row"]))
    return found


def _out_of_order(lines: ir.Table, spans: pd.DataFrame) -> list[tuple]:
    suspects = [one for _, part in spans.groupby(["source", "file_no"]) for one in _suspects(part)]
    if not suspects:
        return []
    names = ["source", "file_no", "on", "low", "high", "other_low", "other_high"]
    kinds = [pa.string(), pa.int64(), pa.date32(), *[pa.int64()] * 4]
    columns = [
        pa.array(values, kind) for values, kind in zip(zip(*suspects, strict=True), kinds, strict=True)
    ]
    both = lines.join(ibis.memtable(pa.table(columns, names=names)), ["source", "file_no", "on"])
    away = both.filter((both.ordinal < both.low) | (both.ordinal > both.high))
    fits = (away.ordinal >= away.other_low) & (away.ordinal <= away.other_high)
    each = away.group_by("source", "file_no").agg(
        rows=fits.sum().cast("int64"), stray=(~fits).sum().cast("int64"), row=away["row"].min(where=fits)
    )
    return [
        (one["source"], one["file_no"], "order", one["rows"], 0, one["row"])
        for one in each.order_by("source", "file_no").to_pyarrow().to_pylist()
        if one["rows"] >= FEWEST and one["rows"] > 3 * one["stray"]
    ]


def _suspects(part: pd.DataFrame) -> list[tuple]:
    """Days of a file in order with rows elsewhere than between the days around: where they and the exchanged day belong."""
    fixed = part[part["day"] > LAST_DOUBTFUL]
    follows = fixed["first"].iloc[1:].to_numpy() > fixed["last"].iloc[:-1].to_numpy()
    if len(follows) < FEWEST or follows.mean() < IN_ORDER:
        return []
    low, high = int(part["first"].min()), int(part["last"].max())

    def place(of: date) -> tuple[int, int]:
        before, after = fixed.loc[fixed["on"] < of, "last"], fixed.loc[fixed["on"] > of, "first"]
        return int(before.iloc[-1]) if len(before) else low, int(after.iloc[0]) if len(after) else high

    found = []
    for one in part[(part["day"] <= LAST_DOUBTFUL) & (part["day"] != part["month"])].itertuples():
        mine = place(one.on)
        if one.first < mine[0] or one.last > mine[1]:
            other = place(one.on.replace(month=one.day, day=one.month))
            found.append((one.source, one.file_no, one.on, *mine, *other))
    return found


def _early_days(spans: pd.DataFrame) -> list[tuple]:
    found = []
    for name, part in spans.groupby("source"):
        rows, later = part["rows"].sum(), part.loc[part["day"] > LAST_DOUBTFUL, "rows"].sum()
        by_day = part.groupby("day")["rows"].sum().reindex(range(1, LAST_DOUBTFUL + 1), fill_value=0)
        # Bills of one day of the month are no sign: all twelve days have to have their share.
        spread = by_day.min() >= rows / (4 * LAST_DOUBTFUL)
        if (
            rows >= FEWEST_ROWS
            and part["month"].nunique() >= FEWEST_MONTHS
            and later < LATER_SHARE * rows
            and spread
        ):
            found.append((name, int(part["file_no"].iloc[0]), "days", int(rows), 0, 1))
    return found


_SAID = {
    "unreadable": "{rows:,} dates in {file} (the first in row {row:,}) can only be read with day and month exchanged, and "
    "about {others:,} others were read as another day",
    "order": "{rows:,} rows in {file} (the first is row {row:,}) stand where their day would be with day and month exchanged",
    "days": "{source} has {rows:,} rows on the first twelve days of its months and next to none on others",
}


def exchanged_checks(frame: pd.DataFrame, section: LedgerSection, rows_in: int) -> list[Check]:
    """Whether days and months are where they belong; a failure stops where as many rows in quarantine would."""
    rows = int(frame["rows"].sum() + frame["others"].sum())
    share, limit = rows / max(rows_in, 1), section.max_quarantined_share
    said = [_SAID[one["how"]].format(**one) for one in frame.to_dict("records")]
    message = "; ".join(said[:3]) + (f"; and so in {len(said) - 3} more files" if len(said) > 3 else "") + "."
    forms = sorted(
        {one.date_format for one in section.by_name().values() if one.is_lines and one.date_format}
    )
    return [
        Check(
            "ledger.exchanged_days",
            "Days and months are not exchanged",
            "pass" if frame.empty else "fail" if share > limit else "review",
            message[:1].upper() + message[1:]
            if said
            else "No date looks as if its day and month were exchanged.",
            value=share,
            threshold=limit,
            unit="share of rows",
            severity="stop",
            recommendation=""
            if frame.empty
            else f"Ask how the file was written. If all its dates are meant so, give it a source of its own with another "
            f"date_format than {listed(forms)}; if some are, export it again: a spreadsheet exchanges those it can. "
            f"{percent(share)} of the rows are concerned.",
            chapter="01_ledger",
        )
    ]
