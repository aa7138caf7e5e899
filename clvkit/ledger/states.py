"""Every source row in exactly one of five states, with the reason; and the purchases the used rows make."""

from datetime import date

import ibis
import ibis.expr.types as ir

from clvkit.ledger.engine import first_text


def duplicates(typed: ir.Table, *, also_excluded: bool) -> ir.Table:
    """``ordinal`` of every row that repeats an earlier one of its file, among the rows no rule touches.

    ``also_excluded``: among those that a policy leaves out, too, so that each is reported once.
    """
    sound = ~typed.quarantined if also_excluded else typed.reason.isnull()
    sound = typed.filter(sound & typed.record.notnull())
    repeated = sound.group_by("file_no", "record").agg(first=sound.ordinal.min(), copies=sound.count())
    repeated = repeated.filter(repeated.copies > 1)
    both = sound.join(repeated, ["file_no", "record"])
    return both.filter(both.ordinal > both.first).select("ordinal")


def overlapping(lines: ir.Table, as_of: date | None = None) -> ir.Table:
    """Rows that another file has too, as ``ordinal, reason``, among those that no rule touches.

    A row with a line id is in another file if the id is: the last file's row counts, and the earlier one is an
    ``overlap``, or ``superseded`` where it says something else. Without ids, a row counts as often as in the one file
    that has it most often, and a file is never held against itself: two equal rows of one file may be two sales.

    ``as_of``: rows that were loaded later take no earlier row's place; None where no row has a day of loading.
    """
    # What a policy leaves out, such as guests, is reported once, too.
    sound = lines.filter(~lines.quarantined & lines.record.notnull())
    named = sound.filter(sound.line_id.notnull())
    by_id = _said_again(named if as_of is None else named.filter(known(named, as_of)))
    if as_of is not None:
        by_id = by_id.union(_said_again(named.filter(~known(named, as_of))))
        by_id = by_id.union(_known_already(named, as_of))
    plain = sound.filter(sound.line_id.isnull()).select("source", "record", "file_no", "ordinal")
    files = plain.group_by("source", "record").agg(files=plain.file_no.nunique())
    several = files.filter(files.files > 1).drop("files")
    several = plain.join(several, ["source", "record"])  # no semi-join: PostgreSQL is not given one it reads
    counted = several.mutate(
        copy=ibis.row_number().over(group_by=["source", "record", "file_no"], order_by="ordinal")
    )
    first = counted.file_no.min().over(group_by=[counted.source, counted.record, counted["copy"]])
    counted = counted.mutate(first_file=first)
    by_text = counted.filter(counted.file_no > counted.first_file).select(
        "ordinal", reason=ibis.literal("overlap")
    )
    return by_id.union(by_text)


SAID = ("account", "day", "currency", "amount_minor")  # what makes a row with the same id another one


def _said_again(named: ir.Table) -> ir.Table:
    """Rows whose id a later file has."""
    both = named.join(_last_said(named), "record")
    both = both.filter(both.file_no < both.last)
    return both.select("ordinal", reason=ibis.ifelse(_same(both), "overlap", "superseded"))


def _known_already(named: ir.Table, as_of: date) -> ir.Table:
    """Rows loaded after the as-of date that say what was known before it."""
    before = _last_said(named.filter(known(named, as_of)))
    both = named.filter(~known(named, as_of)).join(before, "record")
    return both.filter(_same(both)).select("ordinal", reason=ibis.literal("overlap"))


def _last_said(named: ir.Table) -> ir.Table:
    return named.group_by("record").agg(
        last=named.file_no.max(), **{f"last_{one}": named[one].argmax(named.ordinal) for one in SAID}
    )


def _same(both: ir.Table) -> ir.BooleanValue:
    same = both.account.identical_to(both.last_account) & (both.day == both.last_day)
    return same & (both.currency == both.last_currency) & (both.amount_minor == both.last_amount_minor)


def purchases(lines: ir.Table, segmented: bool) -> ir.Table:
    """One row per customer and day: ``customer, day, amount_minor, lines, segment, ordinal``.

    Parameters
    ----------
    lines : rows that count, with ``customer`` and ``value_minor``.

    ``ordinal`` is that of the day's first row. A customer's segment is that of the first purchase; where
    rows of that day disagree, the first by name, so that the order of the rows does not matter.
    """
    days = lines.group_by("customer", "day").agg(
        amount_minor=lines.value_minor.sum().cast("int64"),
        lines=lines.count(),
        **({"segment": first_text(lines.segment)} if segmented else {}),
        ordinal=ibis.coalesce(lines.ordinal.min(where=lines.amount_minor >= 0), lines.ordinal.min()),
    )
    if segmented:
        first = days.group_by("customer").agg(segment=days.segment.argmin(days.day))
        days = days.drop("segment").join(first, "customer")
    else:
        days = days.mutate(segment=ibis.literal("all"))
    return days.select("customer", "day", "amount_minor", "lines", "segment", "ordinal")


def with_states(lines: ir.Table, bought: ir.Table, names: ir.Table, as_of: date) -> ir.Table:
    """``lines`` with ``file``, ``state``, and in ``ended`` the reason why it is that one; see `rows_of`.

    Parameters
    ----------
    lines : rows, ``reason`` filled by rules, policies, copies and refunds.
    bought : the purchases, for the ``ordinal`` of each day's first row.
    names : ``file_no, file``.
    """
    firsts = bought.select("ordinal", is_first=ibis.literal(True))
    rows = lines.left_join(firsts, "ordinal").drop("ordinal_right")
    is_first = rows.is_first.fill_null(False)
    late, unknown = rows.day > ibis.date(as_of), ~known(rows, as_of)
    state = ibis.cases(
        (rows.quarantined, "quarantined"),
        (rows.reason.notnull(), "excluded"),
        (late | unknown, "later"),
        (is_first, "used"),
        else_="merged",
    )
    reason = ibis.cases(
        (rows.reason.notnull(), rows.reason),
        (late, "after_as_of"),
        (unknown, "known_after_as_of"),
        (is_first, ibis.null("string")),
        else_=ibis.ifelse(rows.amount_minor < 0, "refund", "same_day"),
    )
    return rows.mutate(state=state, ended=reason).drop("is_first").join(names, "file_no")


def rows_of(stated: ir.Table) -> ir.Table:
    """The ledger's rows: `ROW_COLUMNS` of `with_states`, and what they cost where that is known."""
    booked = stated.booked_day if "booked_day" in stated.columns else stated.day
    rows = stated.mutate(booked_day=booked, reason=stated.ended)
    return rows.select(*ROW_COLUMNS, *({"cost_minor"} & set(rows.columns)))


ROW_COLUMNS = ("row", "file", "source", "line_id", "customer", "day", "booked_day", "currency", "amount_minor",
               "value_minor", "segment", "product", "category", "state", "reason", "value")  # fmt: skip


def known(rows: ir.Table, as_of: date) -> ir.BooleanColumn:
    """Whether a row had reached its source by the end of the as-of date; rows without a day of loading had."""
    return rows.loaded.isnull() | (rows.loaded <= ibis.date(as_of))
