"""Numbers as readers meet them: rounded half up, with thousands separators, units and intervals in words.

Spreadsheets round half away from zero and Python rounds half to even; a controller who recomputes a column
must find the same figures, so everything here goes through :func:`half_up`. A value that is not zero never
reads as zero. Missing values (None, NaN) read ``[x]``, or what ``missing`` says.
"""

import math
from collections.abc import Iterable
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Literal

Unit = Literal["one", "thousand", "million", "billion"]

NOT_AVAILABLE = "[x]"
NOT_APPLICABLE = "[z]"
LEGEND = f"{NOT_AVAILABLE} not available, {NOT_APPLICABLE} not applicable"
DASH = "–"
"""Zero in a column of money."""
MINUS = "−"

_POWERS: dict[str, int] = {"one": 0, "thousand": 3, "million": 6, "billion": 9}
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_ODDS = {
    "0.5": "one time in two",
    "0.8": "eight times in ten",
    "0.9": "nine times in ten",
    "0.95": "nineteen times in twenty",
    "0.99": "ninety-nine times in a hundred",
}
# Babel's digits are those prices are shown with; for these currencies ISO 4217 has more.
_ISO_DIGITS = {"IQD": 3} | dict.fromkeys("AFN ALL IRR KPW LAK LBP MGA MMK RSD SOS SYP YER".split(), 2)


def half_up(value: float | Decimal, digits: int = 0) -> Decimal:
    """Round half away from zero to ``digits`` decimals (negative: to tens, hundreds, …).

    A float is taken as the decimal number it is written as: 2.675 rounds to 2.68.
    """
    with localcontext() as context:
        context.prec = 400  # every float, written out, fits
        return _exact(value).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)


def minor_units(currency: str) -> int:
    """Decimals of a currency in ISO 4217: 2 for USD, 0 for JPY, 3 for KWD.

    Raises
    ------
    ValueError : no such currency code.
    """
    from babel.numbers import get_currency_precision, list_currencies

    if currency not in list_currencies():
        raise ValueError(f"currency must be an ISO 4217 code such as USD (got {currency!r})")
    return _ISO_DIGITS.get(currency, get_currency_precision(currency))


def number(value: float | Decimal | None, digits: int = 2, *, missing: str = NOT_AVAILABLE) -> str:
    """A plain number: ``1,234.50``, ``−0.25``; ``< 0.01`` for what would round to zero."""
    return _signed(value, digits, missing)


def count(value: float | Decimal | None, *, missing: str = NOT_AVAILABLE) -> str:
    """A count: ``23,570``; ``< 1`` for an expected count that would round to zero."""
    return _signed(value, 0, missing)


def percent(value: float | Decimal | None, digits: int = 1, *, missing: str = NOT_AVAILABLE) -> str:
    """A fraction as a percentage: 0.129 is ``12.9 %``; ``< 0.1 %`` for a small positive, ``0 %`` for zero.

    A share short of the whole does not read ``100.0 %`` but ``> 99.9 %``.
    """
    if _is_missing(value):
        return missing
    hundredfold = _hundredfold(value)
    if hundredfold == 0:
        return "0 %"
    if 99 < hundredfold < 100 and half_up(hundredfold, digits) == 100:
        return f"> {_grouped(100 - Decimal(1).scaleb(-digits), digits)} %"
    return f"{_signed(hundredfold, digits, missing)} %"


def rate(value: float | Decimal | None, per: str = "year", *, missing: str = NOT_AVAILABLE) -> str:
    """A rate with no more decimals than it has: 0.10 is ``10 % a year``, 0.125 is ``12.5 % a year``."""
    if _is_missing(value):
        return missing
    hundredfold = half_up(_hundredfold(value), 4).normalize()
    digits = max(0, -int(hundredfold.as_tuple().exponent))
    return f"{percent(value, digits)} a {per}"


def bias_words(bias: float, digits: int = 1) -> str:
    """An error of a forecast, as a share of what happened, in words: ``13.3 % too low``."""
    return f"{percent(abs(bias), digits)} too {'low' if bias < 0 else 'high'}" if bias else "exactly right"


def variance(
    value: float | Decimal | None,
    digits: int = 1,
    *,
    kind: Literal["number", "percent"] = "number",
    missing: str = NOT_AVAILABLE,
) -> str:
    """A difference from plan or from last time, the one place where a plus sign is shown: ``+12.9 %``."""
    text = (percent if kind == "percent" else number)(value, digits, missing=missing)
    return f"+{text}" if not _is_missing(value) and value > 0 and text[0].isdigit() else text


def money(
    value: float | Decimal | None,
    currency: str,
    unit: Unit | Literal["auto"] = "auto",
    digits: int | None = None,
    *,
    missing: str = NOT_AVAILABLE,
) -> str:
    """An amount in a sentence: ``USD 1.10 million``, ``USD 244,092``, ``USD 35.10``, ``USD −1.10 million``.

    ``auto`` takes millions or billions from there on, with three digits that count; below that whole units
    from 1,000 on, and minor units under it. ``digits`` sets the decimals instead.
    """
    if _is_missing(value):
        return missing
    shown_unit, decimals = _unit_and_digits(value, currency, unit, digits)
    return f"{currency} {_amount(value, shown_unit, decimals)}{_after(shown_unit)}"


def money_with_interval(
    value: float, low: float | None, high: float | None, currency: str, interval: float = 0.9
) -> str:
    """An amount and its interval in one unit: ``USD 1.10 million, nine times in ten between 1.04 and 1.17``.

    Without ``low`` and ``high`` (no posterior was drawn) the amount stands alone.
    """
    if _is_missing(low) or _is_missing(high):
        return money(value, currency)
    unit, digits = _unit_and_digits(value, currency, "auto", None)
    ends = interval_words(_amount(low, unit, digits), _amount(high, unit, digits), interval)
    return f"{money(value, currency, unit, digits)}, {ends}"


def unit_for(values: object) -> Unit:
    """The unit that a column of amounts is stated in, by its largest: ``thousand`` from 1 million on.

    Millions serve from 1 billion on, so that a column keeps at least four digits of its largest amount.
    """
    largest = max((abs(value) for value in values if not _is_missing(value)), default=0)
    return "million" if largest >= 1e9 else "thousand" if largest >= 1e6 else "one"


def monies(values: Iterable[float], currency: str) -> list[str]:
    """Amounts of one figure, all in the unit of the largest: ``GBP 884 thousand``, ``GBP 1,140 thousand``."""
    values = list(values)
    unit = unit_for(values)
    digits = 0 if unit != "one" or max(map(abs, values), default=0) >= 1000 else None
    return [money(value, currency, unit, digits) for value in values]


def money_header(currency: str, unit: Unit = "one") -> str:
    """Currency and unit for a column's header: ``USD``, ``USD thousand``."""
    return f"{currency}{_after(unit)}"


def money_cell(
    value: float | Decimal | None, unit: Unit = "one", digits: int = 0, *, missing: str = NOT_AVAILABLE
) -> str:
    """An amount in a table, currency and unit being in the header: ``1,234``, ``(1,234)``, ``–`` for zero."""
    if _is_missing(value):
        return missing
    if value == 0:
        return DASH
    text = _magnitude(_in_unit(value, unit), digits)
    return f"({text})" if value < 0 else text


def date_words(day: date | str | None, *, missing: str = NOT_AVAILABLE) -> str:
    """A day in words: ``30 June 1998``. Takes a date, a timestamp or ISO text."""
    if _is_missing(day):
        return missing
    if isinstance(day, str):
        day = datetime.fromisoformat(day)
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def odds_words(interval: float) -> str:
    """A probability in words: 0.9 is ``nine times in ten``."""
    exact = Decimal(repr(float(interval))).normalize()
    return _ODDS.get(f"{exact:f}") or f"{rate(interval).removesuffix(' a year')} of the time"


def interval_words(
    low: float | str | None,
    high: float | str | None,
    interval: float = 0.9,
    *,
    digits: int = 2,
    missing: str = NOT_AVAILABLE,
) -> str:
    """An interval in words: ``nine times in ten between 1.04 and 1.17``.

    Ends that are text already (amounts, percentages) are taken as they are; ``digits`` is for numbers.
    """
    if _is_missing(low) or _is_missing(high):
        return missing
    ends = [end if isinstance(end, str) else number(end, digits) for end in (low, high)]
    return f"{odds_words(interval)} between {ends[0]} and {ends[1]}"


def _is_missing(value: object) -> bool:
    if value is None:
        return True
    try:
        return bool(value != value)  # NaN differs from itself
    except TypeError:  # pandas.NA does not say
        return True


def _exact(value: float | Decimal) -> Decimal:
    """A number as the decimal it is written as."""
    if isinstance(value, Decimal):
        return value
    return Decimal(repr(value.item() if hasattr(value, "item") else value))


def _hundredfold(value: float | Decimal) -> Decimal:
    return _exact(value).scaleb(2)


def _in_unit(value: float | Decimal, unit: str) -> Decimal:
    return _exact(value).scaleb(-_POWERS[unit])


def _grouped(value: Decimal, digits: int) -> str:
    return f"{half_up(value, digits):,f}"


def _magnitude(value: float | Decimal, digits: int) -> str:
    """The value without its sign; ``< 0.01`` where a value that is not zero would read as zero."""
    if math.isinf(value):
        return "∞"
    exact = abs(_exact(value))
    if exact and not half_up(exact, digits):
        return f"< {_grouped(Decimal(1).scaleb(-digits), digits)}"
    return _grouped(exact, digits)


def _signed(value: float | Decimal | None, digits: int, missing: str) -> str:
    if _is_missing(value):
        return missing
    text = _magnitude(value, digits)
    if value >= 0:
        return text
    return f"> {MINUS}{text[2:]}" if text.startswith("<") else f"{MINUS}{text}"


def _after(unit: str) -> str:
    return "" if unit == "one" else f" {unit}"


def _amount(value: float | Decimal, unit: str, digits: int) -> str:
    return _signed(_in_unit(value, unit) if not math.isinf(value) else value, digits, NOT_AVAILABLE)


def _unit_and_digits(
    value: float | Decimal, currency: str, unit: str, digits: int | None
) -> tuple[Unit, int]:
    """The unit an amount is stated in and its decimals, judged after rounding: 999,999.6 is 1.00 million."""
    if math.isinf(value):
        return "one", 0
    size = abs(_exact(value))
    if unit == "auto":
        whole = half_up(size)
        unit = "billion" if whole >= 10**9 else "million" if whole >= 10**6 else "one"
    if digits is not None:
        return unit, digits
    if unit == "one":
        few = minor_units(currency)
        return unit, 0 if half_up(size, few) >= 1000 or not size else few
    in_unit = size.scaleb(-_POWERS[unit])
    return unit, next((d for d in (2, 1) if half_up(in_unit, d) < 10 ** (3 - d)), 0)
