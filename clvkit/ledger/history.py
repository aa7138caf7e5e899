"""What a ledger says of its own history: odd days, completeness, refunds and conversions, as tables and checks."""

from datetime import date

import ibis
import ibis.expr.types as ir
import pandas as pd

from clvkit.checks import Check
from clvkit.ledger.anomalies import anomaly_checks, daily_inputs, flag
from clvkit.ledger.completeness import Completeness, completeness, completeness_checks
from clvkit.ledger.currency import conversions
from clvkit.ledger.memo_frames import memo_frames
from clvkit.ledger.section import LedgerSection
from clvkit.ledger.states import known

NAMED = 3  # rows to look up in the message of a check


def history_frames(
    con: ibis.BaseBackend, lines: ir.Table, section: LedgerSection, currency: str, as_of: date
) -> dict[str, pd.DataFrame]:
    """Tables without a customer in them: ``daily``, ``flags``, ``conversions``, ``refunds``, ``overlaps``."""
    booked = lines.mutate(day=lines.booked_day) if "booked_day" in lines.columns else lines
    daily = daily_inputs(booked)
    billed = {
        n: section.sources[one.bills_of].extracted for n, one in section.sources.items() if one.bills_of
    }
    # Bills come when they fall due: days without any say nothing of how they were recorded.
    frames = {"daily": daily, "flags": flag(daily[~daily["source"].isin(list(billed))], section.anomalies)}
    if len(daily["currency"].unique()) > 1 or (daily["currency"] != currency).any():
        frames["conversions"] = conversions(lines, section.exchange)
    if "booked_day" in lines.columns:
        frames["refunds"] = _refunds(lines, as_of)
        frames["over_refunded"], frames["over_refunded_rows"] = _over_refunded(lines)
    again = lines.filter(lines.reason.isin(("overlap", "superseded")))
    months = again.group_by("source", "currency", "reason", month=again.day.truncate("M").cast("date")).agg(
        rows=again.count().cast("int64"), amount_minor=again.amount_minor.sum().cast("int64")
    )
    found = completeness(booked, section.completeness, {n: until or as_of for n, until in billed.items()})
    frames |= {"sources": found.sources, "latency": found.latency, "quantiles": found.quantiles}
    frames["overlaps"] = _sorted(months, ["source", "currency", "reason", "month"])
    return frames | memo_frames(lines, section, as_of)


def _refunds(lines: ir.Table, as_of: date) -> pd.DataFrame:
    """Refunds by source, currency and what became of them: rows, amounts, mean days after the sale.

    ``became`` is a reason, or ``netted`` (on an earlier day), ``netted_same_day``, ``not_known_yet`` (at ``as_of``).
    """
    paid = lines.filter((lines.amount_minor < 0) & ~lines.quarantined)
    # A refund that is known and not netted has a reason.
    unknown = (paid.booked_day > ibis.date(as_of)) | ~known(paid, as_of)
    became = ibis.cases(
        (paid.reason.notnull(), paid.reason),
        (unknown, "not_known_yet"),
        (paid.booked_day != paid.day, "netted"),
        else_="netted_same_day",
    )
    grouped = paid.group_by("source", "currency", became=became).agg(
        rows=paid.count().cast("int64"),
        amount_minor=paid.amount_minor.sum().cast("int64"),
        mean_days=paid.booked_day.delta(paid.day, unit="day").cast("float64").mean(),
    )
    return _sorted(grouped, ["source", "currency", "became"])


def _sorted(table: ir.Table, keys: list[str]) -> pd.DataFrame:
    """A small table in an order that no engine's language has a say in."""
    return table.to_pyarrow().to_pandas().sort_values(keys, ignore_index=True)


def _over_refunded(lines: ir.Table) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Orders of which more was paid back than they cost, and rows to look up.

    A refund under a number of its own is in no order of sales. It counts against all that the customer bought on the
    day of its sale, where that was returned whole, and else against all that the customer ever bought of the product: a
    return of what several orders brought may well be larger than the last of them.

    Returns
    -------
    ``currency, orders, excess_minor`` (above 0), and of at most three orders, those that most was paid back of beyond
    what they cost in minor units, the largest refund: ``file, row, currency, excess_minor``.
    """
    counted = lines.reason.isnull() | lines.reason.isin(("guest", "returned_in_full"))
    order, day, product = (
        [*keys, "currency"] for keys in (("space", "order_id"), ("customer", "day"), ("customer", "product"))
    )
    rows = lines.filter(counted).select(
        *dict.fromkeys((*order, *day, *product)), "reason", "amount_minor", "ordinal", "file", "row"
    )
    named, known_who = rows.filter(rows.order_id.notnull()), rows.filter(rows.customer.notnull())
    orders = _beyond(named, order)
    rest = _without(known_who, orders, order)
    whole = rest.filter(rest.reason == "returned_in_full")
    days = _beyond(whole, day)
    rest = _without(rest, days, day).filter(lambda one: one["product"].notnull())
    back = _without(rest.filter(rest.amount_minor < 0), named.filter(named.amount_minor > 0), order)
    sold = rest.filter(rest.amount_minor > 0).join(back.select(product).distinct(), product)
    loose = back.union(sold.select(back.columns))
    products = _beyond(loose, product)
    found = [(orders, named, order), (days, whole, day), (products, loose, product)]
    over = ibis.union(*(groups.select("currency", "left") for groups, _, _ in found))
    grouped = over.group_by("currency").agg(
        orders=over.count().cast("int64"), excess_minor=-over.left.sum().cast("int64")
    )
    largest = [_largest(*one) for one in found]
    places = pd.concat([one for one in largest if len(one)] or largest[:1])
    places = places.sort_values(["excess_minor", "ordinal"], ascending=[False, True])
    shown = places.head(NAMED)[["file", "row", "currency", "excess_minor"]].reset_index(drop=True)
    return grouped.order_by("currency").to_pyarrow().to_pandas(), shown


def _beyond(rows: ir.Table, by: list[str]) -> ir.Table:
    """Groups of rows that hold a sale and add up to less than nothing, with what is ``left`` and their ``first`` row."""
    sums = rows.group_by(by).agg(
        left=rows.amount_minor.sum().cast("int64"), sold=rows.amount_minor.max(), first=rows.ordinal.min()
    )
    return sums.filter((sums.left < 0) & (sums.sold > 0))


def _largest(groups: ir.Table, rows: ir.Table, by: list[str]) -> pd.DataFrame:
    """The largest refund of the groups that are furthest below nothing: ``ordinal, file, row, currency, excess_minor``."""
    worst = groups.order_by("left", "first").limit(NAMED)
    back = rows.filter(rows.amount_minor < 0).join(worst.select(*by, "left", "first"), by)
    back = back.select("first", "amount_minor", "ordinal", "file", "row", "currency", excess_minor=-back.left)
    frame = back.to_pyarrow().to_pandas().sort_values(["amount_minor", "ordinal"])
    return frame.drop_duplicates("first").drop(columns=["first", "amount_minor"])


def _without(rows: ir.Table, groups: ir.Table, by: list[str]) -> ir.Table:
    """Rows of none of the groups. Not an anti-join: PostgreSQL is not given one it reads."""
    marked = groups.select(by).distinct().mutate(marked=ibis.literal(True))
    both = rows.left_join(marked, by)
    return both.filter(both.marked.isnull()).select(rows.columns)


def _over_refunded_check(over: pd.DataFrame, rows: pd.DataFrame) -> Check:
    orders = int(over["orders"].sum())
    some = f"Of {orders:,} order{'s' if orders > 1 else ''} more was paid back than was paid"
    if len(rows):
        such = "" if orders <= len(rows) else "such as "
        some += f": look up {such}{'; '.join(f'{one.file}, row {one.row:,}' for one in rows.itertuples())}"
    some += "."
    return Check(
        "ledger.over_refunded",
        "No order was refunded beyond its amount",
        "review" if orders else "pass",
        some if orders else "Of no order more was paid back than was paid.",
        value=orders,
        threshold=0,
        unit="orders",
        recommendation="Ask who books refunds: a wrong amount or order, or a refund that is booked twice."
        if orders
        else "",
        chapter="01_ledger",
    )


def completeness_of(frames: dict[str, pd.DataFrame]) -> Completeness:
    """How far each source is complete, from a ledger's ``frames``."""
    sources = frames["sources"]
    running = sources[sources["why"] != "ended"]["complete_to"]
    return Completeness(
        sources,
        frames["latency"],
        frames["quantiles"],
        min(running) if len(running) else max(sources["complete_to"]),
    )


def history_checks(frames: dict[str, pd.DataFrame], section: LedgerSection, as_of: date) -> list[Check]:
    """Whether the history looks whole: odd days, and how far each source is complete."""
    found = completeness_of(frames)
    over = (
        [_over_refunded_check(frames["over_refunded"], frames["over_refunded_rows"])]
        if "over_refunded" in frames
        else []
    )
    return over + anomaly_checks(frames["flags"]) + completeness_checks(found, section.completeness, as_of)
