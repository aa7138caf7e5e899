"""From text to values: days, and amounts as whole minor units. What cannot be read becomes null."""

import re
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from clvkit.ledger.engine import to_decimal, try_strptime
from clvkit.ledger.localdays import local_day
from clvkit.ledger.section import SourceSection

# Amounts of one row lie below this many minor units (a trillion dollars, in cents). Sums of any
# ledger then stay far below what a 128-bit integer holds, and what is refused is a number typed into
# the wrong column (a telephone number with an exponent, a barcode repeated), not a purchase.
MAX_MINOR = 10**14


@dataclass(frozen=True)
class Amounts:
    """Expressions of one amount column: was it readable as a number, its minor units, what rounding added."""

    readable: ir.BooleanColumn
    minor: ir.IntegerColumn
    rounded_by: ir.DecimalColumn


def day(text: ir.StringColumn, section: SourceSection) -> ir.DateColumn:
    """The day written in ``text`` by ``section.date_format``; null where it does not follow the format.

    Without ``section.timezone`` the day is the one written: an offset from UTC at the end (``%z``) is passed over,
    not applied. With it, the text is a moment (UTC where it has no offset), and the day is the zone's.
    """
    form, offset = section.date_format, None
    if form.endswith("%z"):
        form = form.removesuffix("%z").rstrip()
        offset = text.re_extract(r"(Z|[+-][0-9]{2}:?[0-9]{2})$", 1)
        text = text.re_replace(r"\s*(Z|[+-][0-9]{2}:?[0-9]{2})$", "")
    moment = try_strptime(text, form)
    readable = ~text.lower().isin(("epoch", "infinity", "-infinity"))
    if re.search(r"%[A-Za-z]%[A-Za-z]", form):
        # Without a sign between them, 1997111 could be 11 January or 1 November: take full digits only.
        readable &= moment.strftime(form) == text
    if section.timezone:
        if offset is not None:
            moment = moment - _minutes(offset).as_interval("m")
        moment = local_day(moment, section.timezone, section.day_starts, written_in="UTC")
    return ibis.ifelse(readable, moment.cast("date"), ibis.null("date"))


def typed_day(column: ir.Column, section: SourceSection) -> ir.DateColumn:
    """The day of a column of dates or moments: the one written, or the zone's where the section names one."""
    if section.timezone and column.type().is_timestamp():
        return local_day(column, section.timezone, section.day_starts, written_in="UTC")
    return column.cast("date")


def _minutes(offset: ir.StringColumn) -> ir.IntegerColumn:
    """Minutes east of Greenwich of ``+01:00``, ``-0330``, ``Z`` or an empty text."""
    digits = offset.re_replace("[^0-9]", "")
    east = digits.left(2).try_cast("int64") * 60 + digits.right(2).try_cast("int64")
    return ibis.coalesce(ibis.ifelse(offset.startswith("-"), -east, east), 0)


def minor_units(
    text: ir.StringColumn,
    section: SourceSection,
    digits: ir.IntegerColumn | int,
    kinds: set[int],
    numeric: bool,
) -> Amounts:
    """`amounts` where rows are in currencies with different minor units.

    ``digits`` are those of each row's currency, ``kinds`` the numbers of digits that occur.
    """
    if section.amount_unit == "minor":
        return amounts(text, section, 0, numeric)
    if len(kinds) == 1:
        return amounts(text, section, next(iter(kinds)), numeric)
    each = {kind: amounts(text, section, kind, numeric) for kind in sorted(kinds)}

    def chosen(part):
        return ibis.cases(*((digits == kind, getattr(made, part)) for kind, made in each.items()))

    return Amounts(chosen("readable"), chosen("minor"), chosen("rounded_by"))


def product(
    quantity: ir.StringColumn,
    price: ir.StringColumn,
    section: SourceSection,
    minor_digits: int,
    numeric: bool,
) -> Amounts:
    """Pieces times the price of one, multiplied as exact decimals and rounded half up to minor units."""
    pieces, each = (_number(text, section, numeric) for text in (quantity, price))
    left, right = (
        to_decimal(ibis.ifelse(readable, number, ibis.null("string")), 18, places)
        for (readable, number), places in ((pieces, 3), (each, 6))
    )
    in_range = (left.cast("float64") * right.cast("float64")).abs() < MAX_MINOR // 10**minor_digits
    exact = (ibis.ifelse(in_range, left, None) * ibis.ifelse(in_range, right, None)).cast("decimal(36, 9)")
    rounded = exact.cast(f"decimal(24, {minor_digits})")
    minor = (rounded * 10**minor_digits).cast("int64")
    return Amounts(
        pieces[0] & each[0], minor, rounded.cast("decimal(38, 15)") - exact.cast("decimal(38, 15)")
    )


def decimals(text: ir.StringColumn, section: SourceSection, numeric: bool, kind: str) -> ir.DecimalColumn:
    """A text as a decimal of type ``kind``; null where it is no number, or one that the type cannot hold."""
    readable, number = _number(text, section, numeric)
    return ibis.ifelse(readable, number, ibis.null("string")).try_cast(kind)


def _number(
    text: ir.StringColumn, section: SourceSection, numeric: bool
) -> tuple[ir.BooleanColumn, ir.StringColumn]:
    """Whether a text is a number as the section writes numbers, and the text with a point and without groups."""
    point, group = (".", None) if numeric else (section.decimal, section.thousands)
    whole = r"[0-9]+" if group is None else rf"(?:[0-9]{{1,3}}(?:{re.escape(group)}[0-9]{{3}})+|[0-9]+)"
    sign = re.escape(point)
    pattern = rf"^[+-]?(?:{whole}(?:{sign}[0-9]*)?|{sign}[0-9]+)(?:[eE][+-]?[0-9]{{1,3}})?$"
    readable = text.re_search(pattern).fill_null(False)
    if group is not None:
        text = text.replace(group, "")
    if point != ".":
        text = text.replace(point, ".")
    return readable, text


def amounts(text: ir.StringColumn, section: SourceSection, minor_digits: int, numeric: bool) -> Amounts:
    """Amounts as exact decimals, rounded half up (away from zero) to minor units.

    Parameters
    ----------
    text : amounts as they stand in the source.
    section : gives the decimal sign and the sign between thousands.
    minor_digits : digits of the currency's minor unit (ISO 4217), 2 for USD, 0 for JPY.
    numeric : the source had numbers, not text; they are written with a point whatever the study says.
    """
    readable, text = _number(text, section, numeric)
    number = ibis.ifelse(readable, text, ibis.null("string"))
    # Eighteen digits are more than MAX_MINOR has, and the most that DuckDB reads fast.
    rounded = to_decimal(number, 18, minor_digits)
    in_range = rounded.abs() < ibis.literal(MAX_MINOR // 10**minor_digits)
    minor = ibis.ifelse(in_range, (rounded * 10**minor_digits).cast("int64"), ibis.null("int64"))
    # The exact value is only asked for where there can be more digits than the currency has.
    longer = number.re_search(rf"[.][0-9]{{{minor_digits + 1},}}|[eE]")
    exact = to_decimal(ibis.ifelse(longer & in_range, number, ibis.null("string")), 38, 15)
    return Amounts(readable, minor, rounded.cast("decimal(38, 15)") - exact)
