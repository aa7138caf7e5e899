"""From text to values: days, and amounts as whole minor units. What cannot be read becomes null."""

import re
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from clvkit.ledger.engine import try_strptime
from clvkit.ledger.section import LedgerSection

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


def day(text: ir.StringColumn, section: LedgerSection) -> ir.DateColumn:
    """The day written in ``text`` by ``section.date_format``; null where it does not follow the format.

    The day is the one written: an offset from UTC at the end (``%z``) is passed over, not applied.
    """
    form = section.date_format
    if form.endswith("%z"):
        form = form.removesuffix("%z").rstrip()
        text = text.re_replace(r"\s*(Z|[+-][0-9]{2}:?[0-9]{2})$", "")
    moment = try_strptime(text, form)
    readable = ~text.lower().isin(("epoch", "infinity", "-infinity"))
    if re.search(r"%[A-Za-z]%[A-Za-z]", form):
        # Without a sign between them, 1997111 could be 11 January or 1 November: take full digits only.
        readable &= moment.strftime(form) == text
    return ibis.ifelse(readable, moment.cast("date"), ibis.null("date"))


def amounts(text: ir.StringColumn, section: LedgerSection, minor_digits: int, numeric: bool) -> Amounts:
    """Amounts as exact decimals, rounded half up (away from zero) to minor units.

    Parameters
    ----------
    text : amounts as they stand in the source.
    section : gives the decimal sign and the sign between thousands.
    minor_digits : digits of the currency's minor unit (ISO 4217), 2 for USD, 0 for JPY.
    numeric : the source had numbers, not text; they are written with a point whatever the study says.
    """
    point, group = (".", None) if numeric else (section.decimal, section.thousands)
    whole = r"[0-9]+" if group is None else rf"(?:[0-9]{{1,3}}(?:{re.escape(group)}[0-9]{{3}})+|[0-9]+)"
    sign = re.escape(point)
    pattern = rf"^[+-]?(?:{whole}(?:{sign}[0-9]*)?|{sign}[0-9]+)(?:[eE][+-]?[0-9]{{1,3}})?$"
    readable = text.re_search(pattern).fill_null(False)
    if group is not None:
        text = text.replace(group, "")
    if point != ".":
        text = text.replace(point, ".")
    number = ibis.ifelse(readable, text, ibis.null("string"))
    # Eighteen digits are more than MAX_MINOR has, and the most that DuckDB reads fast.
    rounded = number.try_cast(f"decimal(18, {minor_digits})")
    in_range = rounded.abs() < ibis.literal(MAX_MINOR // 10**minor_digits)
    minor = ibis.ifelse(in_range, (rounded * 10**minor_digits).cast("int64"), ibis.null("int64"))
    # The exact value is only asked for where there can be more digits than the currency has.
    longer = number.re_search(rf"[.][0-9]{{{minor_digits + 1},}}|[eE]")
    exact = ibis.ifelse(longer & in_range, number, ibis.null("string")).try_cast("decimal(38, 15)")
    return Amounts(readable, minor, rounded.cast("decimal(38, 15)") - exact)
