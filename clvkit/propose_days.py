"""The last complete day of data never seen before, by the rule that the ledger of the proposed study will use."""

from collections import Counter
from datetime import date, timedelta
from typing import TYPE_CHECKING

import duckdb
import numpy as np

from clvkit.ledger.completeness import SAME_WEEKDAYS, CompletenessSection, cut_days
from clvkit.ledger.detect import days_of
from clvkit.ledger.detect_values import MISSING
from clvkit.ledger.engine import connect
from clvkit.numbers import date_words

if TYPE_CHECKING:
    from clvkit.propose_look import Column, Source


def last_complete_day(
    source: "Source", day: "Column", customer: "Column", form: str | None
) -> tuple[date, date, str]:
    """First day, last day that is complete by `clvkit.ledger.completeness.cut_days`, and the reason for it.

    Rows without a customer do not count, as they do not in the ledger, which puts them into quarantine.
    """
    import pandas as pd

    rows = _counted(source, day, customer, form)
    whole = rows is not None
    if rows is None:
        read = days_of(day.values, form or "%Y-%m-%d")
        there = np.array([v is not None and v.strip() not in MISSING for v in customer.values])
        seen = read[(read >= 0) & there] if ((read >= 0) & there).any() else read[read >= 0]
        rows = {date.fromordinal(d): n for d, n in Counter(seen.tolist()).items()}
    known = sorted(d for d in rows if date(1980, 1, 1) <= d <= date.today()) or sorted(rows)
    by_day = pd.Series({pd.Timestamp(d): rows[d] for d in known})
    cut = cut_days(by_day, CompletenessSection().partial_probability)
    last = known[-1] - timedelta(days=cut)
    same = by_day.reindex(
        [by_day.index[-1] - pd.Timedelta(weeks=n) for n in range(1, SAME_WEEKDAYS + 1)]
    ).dropna()
    passed = (
        f"{date_words(known[-1])} has {rows[known[-1]]:,} rows where such a weekday has {same.mean():,.0f}; "
        if cut
        else ""
    )
    limit = "" if source.whole or whole else " of the part that was looked at"
    return known[0], last, f"{passed}the last day that looks complete{limit}"


def _counted(source: "Source", day: "Column", customer: "Column", form: str | None) -> dict[date, int] | None:
    """Rows by day, counted by the engine over all of the source; None where what was looked at has to do."""
    if source.table is not None and form is None:
        who = source.table[customer.name].cast("string").strip()
        rows = source.table.filter(who.notnull() & ~who.isin(sorted(MISSING)))
        grouped = rows.group_by(day=rows[day.name].cast("date")).agg(rows=rows.count())
        counted = {r["day"]: r["rows"] for r in grouped.to_pyarrow().to_pylist() if r["day"]}
        return counted or None
    if source.whole or form is None or source.table is not None or not source.paths:
        return None
    if source.settings["encoding"] not in (
        "utf-8",
        "utf-8-sig",
    ):  # the engine reads no other without a download
        return None
    header = (
        {"header": True} if source.named else {"header": False, "names": [c.name for c in source.columns]}
    )
    con = connect()
    try:
        rows = con.con.read_csv(
            [str(path) for path in source.paths], sep=source.settings["delimiter"], all_varchar=True,
            ignore_errors=True, **header,
        )  # fmt: skip
        date_of, who = (f"trim({_quoted(column.name)})" for column in (day, customer))
        missing = ", ".join(f"'{word}'" for word in sorted(MISSING))
        found = rows.filter(f"{who} not in ({missing})").aggregate(
            f"try_strptime({date_of}, '{form}')::date as day, count(*) as rows"
        ).fetchall()  # fmt: skip
    except (duckdb.Error, RuntimeError):
        return None
    finally:
        con.disconnect()
    return {d: n for d, n in found if d is not None} or None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
