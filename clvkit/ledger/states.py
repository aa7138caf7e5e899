"""Every source row in exactly one of five states, with the reason; and the purchases the used rows make."""

from datetime import date

import ibis
import ibis.expr.types as ir

from clvkit.ledger.section import LedgerSection
from clvkit.ledger.source import Source
from clvkit.ledger.values import amounts, day

QUARANTINE_VALUE_LENGTH = 200


def typed_rows(
    con: ibis.BaseBackend, source: Source, section: LedgerSection, *, limit: date, minor_digits: int
) -> ir.Table:
    """Source rows with values instead of text and the first rule each breaks.

    Parameters
    ----------
    limit : last day a purchase can have (the day of the extract).
    minor_digits : digits of the currency's minor unit.

    Returns
    -------
    Table of ``ordinal, file_no, row, customer, day, amount_minor, rounded_by, segment, reason, quarantined,
    value, record``; ``reason`` is null for rows that no rule and no policy touches.
    """
    # Views keep the steps apart: as one expression, every use of a column would repeat the work that made it.
    rows = con.create_view("texts", source.rows)
    rows = rows.mutate(day=ibis.coalesce(rows.typed_day, day(rows.date, section)))
    money = amounts(rows.amount, section, minor_digits, source.numeric_amount)
    rows = rows.mutate(amount_minor=money.minor, rounded_by=money.rounded_by, readable=money.readable)
    rows = con.create_view("values", rows)
    zero, negative = rows.amount_minor == 0, rows.amount_minor < 0
    rules = [
        (~rows.parsed, "row_unparseable"),
        (rows.customer.isnull(), "customer_missing"),
        (rows.date.isnull(), "date_missing"),
        (rows.day.isnull(), "date_unreadable"),
        (rows.day < ibis.date(section.earliest), "date_before_earliest"),
        (rows.day > ibis.date(limit), "date_after_extract"),
        (rows.amount.isnull(), "amount_missing"),
        (~rows.readable, "amount_unreadable"),
        (rows.amount_minor.isnull(), "amount_out_of_range"),
    ]
    policies = []
    for here, policy, name in (
        (negative, section.negative_amounts, "amount_negative"),
        (zero, section.zero_amounts, "amount_zero"),
    ):
        if policy != "keep":
            (rules if policy == "quarantine" else policies).append((here, name))
    rows = rows.mutate(rule=_first(rules), policy=_first(policies))
    rows = con.create_view("judged", rows)
    value = ibis.cases(
        (rows.rule == "row_unparseable", rows.record),
        (rows.rule.startswith("date"), rows.date),
        (rows.rule.startswith("amount"), rows.amount),
        else_=ibis.null("string"),
    )
    segment = rows.segment.fill_null("(none)") if section.columns.segment else ibis.literal("all")
    key = rows.line_id if section.columns.line_id else rows.record
    return rows.select(
        "ordinal",
        "file_no",
        "row",
        "customer",
        "day",
        "amount_minor",
        "rounded_by",
        segment=segment,
        reason=ibis.coalesce(rows.rule, rows.policy),
        quarantined=rows.rule.notnull(),
        value=value.left(QUARANTINE_VALUE_LENGTH),
        record=key,
    )


def duplicates(typed: ir.Table) -> ir.Table:
    """``ordinal`` of every row that repeats an earlier one, among the rows no rule or policy touches."""
    sound = typed.filter(typed.reason.isnull() & typed.record.notnull())
    repeated = sound.group_by("record").agg(first=sound.ordinal.min(), copies=sound.count())
    repeated = repeated.filter(repeated.copies > 1)
    both = sound.join(repeated, "record")
    return both.filter(both.ordinal > both.first).select("ordinal")


def purchases(typed: ir.Table, as_of: date, segmented: bool) -> ir.Table:
    """One row per customer and day up to ``as_of``: ``customer, day, amount_minor, lines, segment, ordinal``.

    ``ordinal`` is that of the day's first row. A customer's segment is that of the first purchase; where
    rows of that day disagree, the first by name, so that the order of the rows does not matter.
    """
    used = typed.filter(typed.reason.isnull() & (typed.day <= ibis.date(as_of)))
    days = used.group_by("customer", "day").agg(
        amount_minor=used.amount_minor.sum().cast("int64"),
        lines=used.count(),
        segment=used.segment.min(),
        ordinal=used.ordinal.min(),
    )
    if segmented:
        first = days.group_by("customer").agg(segment=days.segment.argmin(days.day))
        days = days.drop("segment").join(first, "customer")
    return days.select("customer", "day", "amount_minor", "lines", "segment", "ordinal").order_by(
        "customer", "day"
    )


def with_states(typed: ir.Table, bought: ir.Table, names: ir.Table, as_of: date) -> ir.Table:
    """Source rows with their state, in the order of the source.

    Parameters
    ----------
    typed : rows, ``reason`` filled by rules, policies and dropped duplicates.
    bought : the purchases, for the ``ordinal`` of each day's first row.
    names : ``file_no, file``.
    """
    firsts = bought.select("ordinal", is_first=ibis.literal(True))
    rows = typed.left_join(firsts, "ordinal").drop("ordinal_right")
    later = rows.day > ibis.date(as_of)
    state = ibis.cases(
        (rows.quarantined, "quarantined"),
        (rows.reason.notnull(), "excluded"),
        (later, "later"),
        (rows.is_first.fill_null(False), "used"),
        else_="merged",
    )
    reason = ibis.cases(
        (rows.reason.notnull(), rows.reason),
        (later, "after_as_of"),
        (rows.is_first.fill_null(False), ibis.null("string")),
        else_="same_day",
    )
    rows = rows.mutate(state=state, reason=reason).join(names, "file_no").order_by("ordinal")
    return rows.select(
        "row", "file", "customer", "day", "amount_minor", "segment", "state", "reason", "value"
    )


def _first(rules: list[tuple[ir.BooleanColumn, str]]) -> ir.StringValue:
    return ibis.cases(*rules, else_=ibis.null("string")) if rules else ibis.null("string")
