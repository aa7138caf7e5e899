"""Refunds: which sale each one takes back, and what a purchase is worth once it is taken back.

A refund is booked days after the sale it belongs to. Counted on its own day it would look like a visit with a
negative amount, and the order it cancels like a sale; so each refund is given its sale, and the sale's day.
"""

from collections.abc import Sequence
from datetime import date

import ibis
import ibis.expr.types as ir

from clvkit.ledger.policies import RefundsSection


def match_refunds(lines: ir.Table, section: RefundsSection, as_of: date | None = None) -> ir.Table:
    """The sale of each refund, for the refunds that have one.

    Parameters
    ----------
    lines : one row per source row. Refunds are rows with ``amount_minor < 0`` and no ``reason``, sales those
        above zero. With a column ``customer`` (resolved identity) the latest sale of a customer is looked
        for in all sources, else in the refund's own source and account.
    as_of : what was booked or loaded after this day is not known; by default everything is.

    Returns
    -------
    Table of ``ordinal, matched_ordinal, matched_day, how``; ``how`` is ``order``, ``line``, ``product`` or
    ``customer`` (the policy ``net_customer``). No refund precedes its sale; a sale matched by ``line`` serves
    one refund and no other. Pairs by ``order`` and ``line`` depend on what rows hold, not on how rows are
    ordered, but for rows that are alike.
    """
    known = lines.filter(lines.reason.isnull() & _is_known(lines, as_of))
    # Where neither row has a product, the product does not tell them apart.
    known = known.mutate(product=known.product.fill_null(""))
    wanted = {*_who(lines), "source", "account", "order_id", "product", "currency", "day", "amount_minor"}
    known = known.select("ordinal", *sorted(wanted))
    refunds = known.filter(known.amount_minor < 0)
    sales = known.filter(known.amount_minor > 0)
    found, taken = [], []
    for way in [*section.match, *(["customer"] if section.unmatched == "net_customer" else [])]:
        if way == "order":
            pairs = _by_order(refunds, sales)
        elif way == "line":
            pairs = _by_line(refunds, sales, taken)
        elif way == "product":
            keys = [*_who(lines), "product", "currency"]
            pairs = _by_latest(refunds, sales, taken, keys, section.max_lag_days)
        else:
            pairs = _by_latest(refunds, sales, taken, [*_who(lines), "currency"], None)
        pairs = pairs.select("ordinal", "matched_ordinal", "matched_day", how=ibis.literal(way))
        found.append(pairs)
        both = refunds.join(pairs, "ordinal")
        taken.append(both.select(ordinal="matched_ordinal", taken_minor="amount_minor"))
        refunds = _without(refunds, pairs)
    return ibis.union(*found) if len(found) > 1 else found[0]


def net_lines(
    lines: ir.Table, matches: ir.Table, section: RefundsSection, as_of: date | None = None
) -> ir.Table:
    """Lines with every matched refund on the day of its sale, and reasons for what is no purchase.

    Parameters
    ----------
    lines, as_of : as handed to :func:`match_refunds`.
    matches : what it returned; best stored as a table first, it is read more than once.

    Returns
    -------
    ``lines`` with ``booked_day`` (the day in the source), ``day`` (that of the sale, for matched refunds; for
    refunds that name an order, ``account`` and ``customer`` are the order's too), ``reason`` and
    ``quarantined``. Reasons set: ``refund_unmatched`` by policy, and ``returned_in_full`` on every row of a
    customer's day (for guests: of an order's day) that holds a sale and whose total, refunds included, is
    not above zero in any currency. Refunds not yet known at ``as_of`` stay as they are.
    """
    who = _who(lines)
    people = [c for c in ("account", "customer") if c in lines.columns]
    sold = lines.select(matched_ordinal="ordinal", **{f"sale_{c}": c for c in people})
    found = matches.join(sold, "matched_ordinal").drop("matched_ordinal")
    rows = lines.left_join(found, "ordinal").drop("ordinal_right")
    named = (rows.how == "order").fill_null(False)
    lost = (
        (rows.amount_minor < 0).fill_null(False)
        & rows.reason.isnull()
        & rows.matched_day.isnull()
        & _is_known(rows, as_of)
    )
    rows = rows.mutate(
        booked_day=rows.day,
        day=ibis.coalesce(rows.matched_day, rows.day),
        reason=ibis.ifelse(lost, "refund_unmatched", rows.reason),
        quarantined=rows.quarantined | (lost & ibis.literal(section.unmatched == "quarantine")),
        is_refund=rows.matched_day.notnull(),
        **{c: ibis.ifelse(named, rows[f"sale_{c}"], rows[c]) for c in people},
    )
    # A guest's purchase is an order; a guest's row without one is nobody's purchase and is left alone.
    guest = rows[who[-1]].isnull()
    rows = rows.mutate(
        guest_order=ibis.ifelse(guest, rows.order_id, "").fill_null(""),
        **{f"unit_{c}": rows[c].fill_null("") for c in who},
    )
    unit = [*(f"unit_{c}" for c in who), "guest_order", "day"]
    live = rows.filter(
        rows.reason.isnull() & _is_known(rows, as_of, booked="booked_day") & ~(guest & rows.order_id.isnull())
    )
    touched = live.filter(live.is_refund).select(unit).distinct()
    live = live.join(touched, unit)
    money = live.group_by(*unit, "currency").agg(
        total=live.amount_minor.sum().cast("int64"), sold=live.amount_minor.max()
    )
    whole = money.group_by(unit).agg(total=money.total.max(), sold=money.sold.max())
    whole = whole.filter((whole.total <= 0) & (whole.sold > 0)).select(*unit, returned=ibis.literal(True))
    rows = rows.left_join(whole, unit)
    returned = (
        rows.returned.fill_null(False)
        & rows.reason.isnull()
        & _is_known(rows, as_of, booked="booked_day")
        & ~(rows[who[-1]].isnull() & rows.order_id.isnull())
    )
    rows = rows.mutate(reason=ibis.ifelse(returned, "returned_in_full", rows.reason))
    return rows.select(*lines.columns, "booked_day")


def _who(lines: ir.Table) -> list[str]:
    """The columns that name a person; the last is null for guests."""
    return ["customer"] if "customer" in lines.columns else ["source", "account"]


def _is_known(rows: ir.Table, as_of: date | None, booked: str = "day") -> ir.BooleanValue:
    if as_of is None:
        return ibis.literal(True)
    limit = ibis.date(as_of)
    return (rows[booked] <= limit).fill_null(False) & (rows.loaded.isnull() | (rows.loaded <= limit))


def _without(rows: ir.Table, others: ir.Table) -> ir.Table:
    """Rows whose ``ordinal`` is not among the others'. Not an anti-join: PostgreSQL is not given one it reads."""
    others = others.select(other="ordinal")
    both = rows.left_join(others, rows.ordinal == others.other)
    return both.filter(both.other.isnull()).select(rows.columns)


def _sums(taken: Sequence[ir.Table]) -> ir.Table:
    """``ordinal, taken_minor``: what refunds matched so far take from each sale (below zero)."""
    each = ibis.union(*taken) if len(taken) > 1 else taken[0]
    return each.group_by("ordinal").agg(taken_minor=each.taken_minor.sum().cast("int64"))


def _by_order(refunds: ir.Table, sales: ir.Table) -> ir.Table:
    """The order a refund names: its line of the same product, then of the same amount, then the first.

    Of lines that are alike in all this it is one of the refund's own account.
    """
    sold = sales.select(
        "source",
        "order_id",
        sold_product="product",
        sold_minor="amount_minor",
        sold_account="account",
        sold_currency="currency",
        matched_ordinal="ordinal",
        matched_day="day",
    )
    both = refunds.join(sold, ["source", "order_id"])
    both = both.filter(both.matched_day <= both.day)
    order = [
        ibis.ifelse(both["product"] == both.sold_product, 0, 1),
        ibis.ifelse(both.sold_minor == -both.amount_minor, 0, 1),
        # By content before the ordinal, so that shuffled rows give the same sale.
        both.matched_day,
        both.sold_product,
        both.sold_minor,
        ibis.ifelse(both.account == both.sold_account, 0, 1),
        both.sold_account.fill_null(""),
        both.sold_currency,
        both.matched_ordinal,
    ]
    ranked = both.mutate(place=ibis.row_number().over(group_by="ordinal", order_by=order))
    return ranked.filter(ranked.place == 0)


def _by_line(refunds: ir.Table, sales: ir.Table, taken: Sequence[ir.Table]) -> ir.Table:
    """Pairs of equal size in one account and product, the latest open sale first.

    Sales open a bracket, refunds close one, and brackets are matched by depth: a running sum held at zero.
    Window functions alone do it, so a group of any length costs one sort and no loop.
    """
    keys = ["source", "account", "product", "currency", "size"]
    columns = [*keys, "ordinal", "day", "step"]
    one, minus_one = ibis.literal(1, "int64"), ibis.literal(-1, "int64")
    closing = refunds.filter(refunds.account.notnull()).mutate(size=-refunds.amount_minor, step=minus_one)
    opening = sales.filter(sales.account.notnull()).mutate(size=sales.amount_minor, step=one)
    opening = opening.join(closing.select(keys).distinct(), keys)
    if taken:
        opening = _without(opening, _sums(taken))
    events = opening.select(columns).union(closing.select(columns))
    events = events.mutate(total=events.step.sum().over(_running(events, keys)).cast("int64"))
    low = ibis.least(events.total.min().over(_running(events, keys)), 0)
    events = events.mutate(depth=events.total - low)
    before = events.depth.lag().over(_in_order(events, keys)).fill_null(0)
    events = events.mutate(level=ibis.ifelse(events.step == 1, events.depth, before))
    events = events.filter(events.level > 0)
    window = _in_order(events, [*keys, "level"])
    events = events.mutate(
        opened=events.step.lag().over(window),
        matched_ordinal=events.ordinal.lag().over(window),
        matched_day=events.day.lag().over(window),
    )
    return events.filter((events.step == -1) & (events.opened == 1))


def _by_latest(
    refunds: ir.Table,
    sales: ir.Table,
    taken: Sequence[ir.Table],
    keys: Sequence[str],
    max_lag_days: int | None,
) -> ir.Table:
    """The latest sale with the same ``keys`` on or before a refund's day that is not yet used up."""
    columns = [*keys, "ordinal", "day", "amount_minor", "step"]
    open_sales = sales.join(refunds.select(keys).distinct(), keys)
    if taken:
        sums = _sums(taken)
        open_sales = open_sales.left_join(sums, "ordinal")
        left = open_sales.amount_minor + open_sales.taken_minor.fill_null(0)
        open_sales = open_sales.filter(left > 0)
    open_sales = open_sales.mutate(step=ibis.literal(1, "int64"))
    back = refunds.mutate(step=ibis.literal(-1, "int64"))
    events = open_sales.select(columns).union(back.select(columns))
    order = [events.day, events.step.desc(), events.amount_minor, events.ordinal]
    events = events.mutate(place=ibis.row_number().over(group_by=keys, order_by=order).cast("int64"))
    sold = ibis.ifelse(events.step == 1, events.place, ibis.null("int64"))
    running = ibis.cumulative_window(group_by=keys, order_by="place")
    events = events.mutate(latest=sold.max().over(running))
    sold = events.filter(events.step == 1)
    sold = sold.select(*keys, latest="place", matched_ordinal="ordinal", matched_day="day")
    both = events.filter(events.step == -1).join(sold, [*keys, "latest"])
    if max_lag_days is not None:
        both = both.filter(both.day.delta(both.matched_day, unit="day") <= max_lag_days)
    return both


def _in_order(events: ir.Table, keys: Sequence[str]):
    return ibis.window(group_by=keys, order_by=[events.day, events.step.desc(), events.ordinal])


def _running(events: ir.Table, keys: Sequence[str]):
    return ibis.cumulative_window(group_by=keys, order_by=[events.day, events.step.desc(), events.ordinal])
