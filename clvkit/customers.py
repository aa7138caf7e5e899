"""From purchases to the customer summary and its cells, the sufficient statistic of every count model.

Days are whole days: a purchase day counts once per customer, ``T`` runs from the first purchase to the as-of
date, recency from the first to the last. Expressions stay in the engine; what comes back as a frame is
grouped.
"""

from datetime import date, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

CELL_KEYS = ["segment", "frequency", "recency_days", "T_days"]
MORE_KEYS = ["before_days", "pattern"]  # where customers may be older than the log, or have covariates
GROUPINGS = ("segment", "pattern")  # the keys that say which customers these are, and not what they did
INSIDE, UNDATED = -1, -2  # in place of an age before the log: acquired in it, and of no known date


def keys_of(table: "ir.Table | pd.DataFrame") -> list[str]:
    """The columns that a cell is known by; `MORE_KEYS` are among them where the table has them."""
    return CELL_KEYS + [key for key in MORE_KEYS if key in table.columns]


def customer_summary(purchases: "ir.Table", as_of: date) -> "ir.Table":
    """One row per customer who bought up to ``as_of``.

    Parameters
    ----------
    purchases : one row per customer and day: ``customer, day, amount_minor, segment``; a customer's segment
        is the same in all rows. Without a column ``segment`` everybody is in segment ``all``. With a column
        ``acquired`` (date, null where it is not known), customers acquired before the first day of the purchases
        are seen through a window that opens on the evening before that day. With ``pattern``, the levels of a customer's
        covariates (`clvkit.covariate_levels`), the same in all rows, the summary has it too.
    as_of : last day that counts; purchases after it, and customers who first bought after it, are left out.

    Returns
    -------
    Table of ``customer, segment, first_day`` (date), ``frequency`` (repeat purchase days, x),
    ``recency_days`` (last day minus first, t_x), ``T_days`` (``as_of`` minus first day), ``spend_minor``
    (sum over repeat purchase days, the first purchase is not in it) and ``first_minor`` (the first day's
    amount); integers are 64-bit. With ``acquired`` also ``before_days``: the age of an older customer when the window
    opens, whose ``frequency`` and ``spend_minor`` are then of all days in it, ``recency_days`` and ``T_days`` from its
    opening, and ``first_minor`` zero; else `INSIDE`, or `UNDATED`, of customers who count from the first day seen.
    """
    import ibis

    known = purchases.filter(purchases.day <= ibis.date(as_of))
    segmented = {"segment": known.segment.min()} if "segment" in known.columns else {}
    each = known.group_by("customer").agg(
        **segmented,
        first_day=known.day.min(),
        last_day=known.day.max(),
        days=known.count(),
        total_minor=known.amount_minor.sum().cast("int64"),
        first_minor=known.amount_minor.argmin(known.day),
        **{key: known[key].min() for key in ("acquired", "pattern") if key in known.columns},
    )
    if "acquired" in known.columns:
        each = _windowed(each, purchases.day.min().to_pyarrow().as_py() or as_of)
    else:
        each = each.mutate(begins=each.first_day, repeats=each.days - 1)
    return each.select(
        "customer",
        "first_day",
        segment=each.segment if segmented else ibis.literal("all"),
        frequency=each.repeats.cast("int64"),
        recency_days=each.last_day.delta(each.begins, unit="day").cast("int64"),
        T_days=ibis.date(as_of).delta(each.begins, unit="day").cast("int64"),
        spend_minor=each.total_minor - each.first_minor,
        first_minor=each.first_minor.cast("int64"),
        **{key: each[key] for key in MORE_KEYS if key in each.columns},
    )


def _windowed(each: "ir.Table", start: date) -> "ir.Table":
    """Where customers begin to count, and their repeat purchases, if the log begins on ``start``."""
    import ibis

    opening = ibis.date(start - timedelta(days=1))
    older = (each.acquired < ibis.date(start)).fill_null(False)
    age = opening.delta(each.acquired, unit="day").cast("int64")
    return each.mutate(
        begins=older.ifelse(opening, each.first_day),
        repeats=each.days - (~older).cast("int64"),
        first_minor=older.ifelse(0, each.first_minor),
        before_days=ibis.cases((each.acquired.isnull(), UNDATED), (older, age), else_=INSIDE).cast("int64"),
    )


def _frame(table: "ir.Table", keys: list[str]) -> "pd.DataFrame":
    """The rows, sorted by ``keys``, text by its bytes as no engine's language would.

    By way of Arrow: sums arrive as integers there, and as Python objects else.
    """
    from clvkit.ledger.engine import bytewise

    ordered = table.order_by([bytewise(table[key]) if key in GROUPINGS else key for key in keys])
    return ordered.to_pyarrow().to_pandas()


def cells(summary: "ir.Table") -> "pd.DataFrame":
    """Distinct (segment, frequency, recency, T) with the number of customers ``n`` in each.

    Returns ``segment, frequency, recency_days, T_days, n, spend_minor, first_minor`` (sums over the customers
    of the cell), sorted by the first four, so that a fit sees the same order every time.
    """
    keys = keys_of(summary)
    grouped = summary.group_by(keys).agg(
        n=summary.count().cast("int64"),
        spend_minor=summary.spend_minor.sum().cast("int64"),
        first_minor=summary.first_minor.sum().cast("int64"),
    )
    return _frame(grouped, keys)


def spend_cells(summary: "ir.Table") -> "pd.DataFrame":
    """Distinct (frequency, spend) of repeat customers: ``frequency, spend_minor, n``, sorted."""
    repeaters = summary.filter(summary.frequency >= 1)
    grouped = repeaters.group_by("frequency", "spend_minor").agg(n=repeaters.count().cast("int64"))
    return _frame(grouped, ["frequency", "spend_minor"])


def score_cells(summary: "ir.Table") -> "pd.DataFrame":
    """Distinct (segment, frequency, recency, T, spend) with the number of customers ``n`` in each, sorted.

    What the value of one customer depends on; nearly one row per customer where amounts differ.
    """
    keys = [*keys_of(summary), "spend_minor"]
    grouped = summary.group_by(keys).agg(n=summary.count().cast("int64"))
    return _frame(grouped, keys)


def averaged_cells(summary: "ir.Table") -> "pd.DataFrame":
    """Those of the `score_cells` who are valued as their segment, by the rule that says so, ``averaged_by``; sorted.

    ``summary`` is one row per customer with ``inclusion`` and ``treatment`` (`clvkit.ledger.inclusion.apply`).
    """
    theirs = summary.filter(summary.treatment == "segment_average").rename(averaged_by="inclusion")
    keys = [*keys_of(theirs), "spend_minor", "averaged_by"]
    grouped = theirs.group_by(keys).agg(n=theirs.count().cast("int64"))
    return _frame(grouped, keys)


def holdout(purchases: "ir.Table", origin: date, end: date) -> "ir.Table":
    """What customers known at ``origin`` bought after it, up to and including ``end``.

    Returns the customer summary at ``origin`` with ``n_holdout`` (purchase days after ``origin``) and
    ``holdout_minor`` (their amounts), zero for customers who did not come back. New customers are not in it.
    """
    import ibis

    known = customer_summary(purchases, origin)
    after = purchases.filter((purchases.day > ibis.date(origin)) & (purchases.day <= ibis.date(end)))
    bought = after.group_by("customer").agg(
        n_holdout=after.count().cast("int64"), holdout_minor=after.amount_minor.sum().cast("int64")
    )
    both = known.left_join(bought, "customer").drop("customer_right")
    return both.mutate(n_holdout=both.n_holdout.fill_null(0), holdout_minor=both.holdout_minor.fill_null(0))


def holdout_cells(held_out: "ir.Table") -> "pd.DataFrame":
    """Cells of a hold-out, sorted: the keys of a cell, ``n_holdout``, ``n`` and ``holdout_minor`` (sum)."""
    keys = [*keys_of(held_out), "n_holdout"]
    grouped = held_out.group_by(keys).agg(
        n=held_out.count().cast("int64"), holdout_minor=held_out.holdout_minor.sum().cast("int64")
    )
    return _frame(grouped, keys)


def daily_purchases(purchases: "ir.Table", origin: date | None = None) -> "pd.DataFrame":
    """First and repeat purchases per day, one row for every day of the calendar they span.

    Parameters
    ----------
    purchases : one row per customer and day.
    origin : if given, only customers who first bought up to this day are followed (through the end of the
        purchases), as a back-test follows them.

    Returns
    -------
    ``day`` (datetime64), ``first`` and ``repeat`` (customers buying), ``first_minor`` and ``repeat_minor``
    (amounts in minor units), integers.
    """
    import ibis
    import pandas as pd

    begun = purchases.group_by("customer").agg(first_day=purchases.day.min())
    if origin is not None:
        begun = begun.filter(begun.first_day <= ibis.date(origin))
    both = purchases.join(begun, "customer")
    is_first = both.day == both.first_day
    grouped = both.group_by("day").agg(
        first=is_first.sum().cast("int64"),
        repeat=(~is_first).sum().cast("int64"),
        first_minor=both.amount_minor.sum(where=is_first).fill_null(0).cast("int64"),
        repeat_minor=both.amount_minor.sum(where=~is_first).fill_null(0).cast("int64"),
    )
    frame = grouped.order_by("day").to_pandas()
    frame["day"] = pd.to_datetime(frame["day"])
    if frame.empty:
        return frame
    calendar = pd.date_range(frame["day"].iloc[0], frame["day"].iloc[-1], name="day")
    return frame.set_index("day").reindex(calendar, fill_value=0).reset_index()
