"""Cash flows in one currency: a declared method, rates with their age, and what the method does to totals.

Rates are few (currencies × days) and are worked out here, as exact decimals; the engine joins them to the
lines and rounds each line to whole minor units. Cash flows are converted, never scores.
"""

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from clvkit.errors import DataError, StudyError
from clvkit.ledger.policies import CurrencySection

DAYS_PER_YEAR = Decimal("365.25")
# Minor units of the study's currency per minor unit of the line's. With amounts below 10^17, products have
# at most 38 digits, which is what every engine's decimals hold.
RATE_DIGITS = 14
RATE_TYPE = pa.decimal128(20, RATE_DIGITS)


class Series:
    """The rates of one currency in order of days, and the mean of each month with its last day."""

    def __init__(self, rates: dict[date, Decimal]):
        self.days = sorted(rates)
        self.values = [rates[day] for day in self.days]
        months = defaultdict(list)
        for day in self.days:
            months[day.year, day.month].append(day)
        self.months = {
            month: (sum((rates[d] for d in days), Decimal(0)) / len(days), days[-1])
            for month, days in months.items()
        }

    def latest(self, day: date) -> "Rate | None":
        """The last rate on or before ``day``; None where there is none."""
        place = bisect_right(self.days, day) - 1
        if place < 0:
            return None
        return Rate(self.values[place], self.days[place], (day - self.days[place]).days)

    def month_average(self, day: date) -> "Rate | None":
        """The mean of the month's rates; the last earlier month's where it has none, with its age."""
        mean, last = self.months.get((day.year, day.month), (None, None))
        if mean is not None:
            return Rate(mean, last, 0)
        earlier = self.latest(day)
        if earlier is None:
            return None
        return Rate(self.months[earlier.day.year, earlier.day.month][0], earlier.day, earlier.age_days)


@dataclass(frozen=True)
class Rate:
    """Units of the study's currency per unit of another, the day it is of, and its age in days when used."""

    value: Decimal
    day: date
    age_days: int


def forward_rate[N: (float, Decimal)](spot: N, rate_domestic: N, rate_foreign: N, years: N) -> N:
    """The forward rate by covered interest parity, F = S (1 + i_d τ) / (1 + i_f τ).

    ``spot`` is in domestic units per foreign unit; interest rates are simple, fractions per year.
    """
    return spot * (1 + rate_domestic * years) / (1 + rate_foreign * years)


def convert(lines: ir.Table, rates: ir.Table, section: CurrencySection, to: str) -> ir.Table:
    """Lines with their amounts in minor units of the currency ``to``.

    Parameters
    ----------
    lines : with ``currency, day, amount_minor, reason``, and ``discount_minor`` if there is one. The day
        decides the rate: after refunds were netted it is that of the sale, so that what is returned is taken
        back at the rate it was sold at.
    rates : ``date, currency, rate``: units of ``to`` per one unit of ``currency``.

    Returns
    -------
    ``lines`` with ``value_minor`` (int64, each line rounded half away from zero in exact decimals),
    ``discount_value_minor`` likewise, ``rate_date`` and ``rate_age_days`` (null for lines in ``to``) and
    ``converted`` (whether a rate was applied). A rate older than ``max_age_days`` is stale.

    Raises
    ------
    DataError : a line without a reason finds no rate, or only a stale one where those stop; a rate is not
        above zero, or stands twice with different values.
    StudyError : a currency is not of ISO 4217, or ``interest_rates`` lacks one.
    """
    table = _rate_table(lines, rates, section, to)
    joined = lines.left_join(
        table.rename(rate_currency="currency", rate_day="day"),
        [lines.currency == table.currency, lines.day == table.day],
    )
    own = (joined.currency == to).fill_null(False)
    values = {"value_minor": ibis.ifelse(own, joined.amount_minor, _times(joined.amount_minor, joined.rate))}
    if "discount_minor" in lines.columns:
        taken_off = joined.discount_minor
        values["discount_value_minor"] = ibis.ifelse(own, taken_off, _times(taken_off, joined.rate))
    joined = joined.mutate(converted=joined.rate.notnull(), **values)
    return joined.select(*lines.columns, *values, "rate_date", "rate_age_days", "converted")


def conversions(converted: ir.Table, section: CurrencySection) -> pd.DataFrame:
    """What :func:`convert` did: ``currency, lines, stale, oldest_days, amount_minor, value_minor``.

    ``stale`` counts the lines at a rate older than ``max_age_days``, ``oldest_days`` is the age of the oldest
    rate used; lines with a reason are left out.
    """
    used = converted.filter(converted.reason.isnull())
    grouped = used.group_by("currency").agg(
        lines=used.count().cast("int64"),
        stale=(used.rate_age_days > section.max_age_days).fill_null(False).sum().cast("int64"),
        oldest_days=used.rate_age_days.max().fill_null(0),
        amount_minor=used.amount_minor.sum().cast("int64"),
        value_minor=used.value_minor.sum().cast("int64"),
    )
    return grouped.order_by("currency").to_pyarrow().to_pandas()


def fx_effect(
    lines: ir.Table, rates: ir.Table, first: CurrencySection, second: CurrencySection, to: str
) -> pd.DataFrame:
    """The same cash flows under two methods, by month.

    Returns
    -------
    ``month`` (first day), ``first_minor, second_minor, effect_minor`` (second less first), in minor units
    of ``to``; lines with a reason are left out.
    """
    sides = []
    for name, section in (("first_minor", first), ("second_minor", second)):
        valued = convert(lines.filter(lines.reason.isnull()), rates, section, to)
        valued = valued.mutate(month=valued.day.truncate("M"))
        grouped = valued.group_by("month").agg(valued.value_minor.sum().cast("int64").name(name))
        sides.append(grouped.order_by("month").to_pyarrow().to_pandas().set_index("month"))
    both = sides[0].join(sides[1]).reset_index()
    return both.assign(effect_minor=both["second_minor"] - both["first_minor"])


def _times(amount: ir.IntegerValue, rate: ir.DecimalValue) -> ir.IntegerValue:
    """Whole minor units, rounded half away from zero; a refund rounds as its sale did."""
    # The engine multiplies exactly; Ibis takes the product for as narrow as the rate, and has to be told.
    product = (amount.abs().cast("decimal(17, 0)") * rate).cast(f"decimal(37, {RATE_DIGITS})")
    half = ibis.literal("0.5").cast("decimal(2, 1)")
    size = (product + half).floor().cast("int64")
    return ibis.ifelse(amount < 0, -size, size)


def _rate_table(lines: ir.Table, rates: ir.Table, section: CurrencySection, to: str) -> ir.Table:
    """One row per currency and day that lines need: ``currency, day, rate, rate_date, rate_age_days``."""
    # The ledger's build imports this room, so this import has to wait.
    from clvkit.ledger.currencies import minor_digits

    foreign = lines.filter((lines.currency != to) & lines.day.notnull() & lines.amount_minor.notnull())
    needed = foreign.group_by("currency", "day").agg(
        lines=foreign.count(), used=foreign.reason.isnull().sum().cast("int64")
    )
    needed = needed.order_by("currency", "day").to_pyarrow().to_pylist()
    known = _known_rates(rates, {n["currency"] for n in needed})
    digits = {code: minor_digits(code) for code in [to, *known]}
    found, failed = [], defaultdict(list)
    for need in needed:
        code, day = need["currency"], need["day"]
        rate = _rate_of(known[code], day, section, code, to)
        stale = rate is None or rate.age_days > section.max_age_days
        if need["used"] and (rate is None or (stale and section.missing == "stop")):
            failed[code].append((day, need["used"], rate))
        elif rate is not None:
            per_minor = _per_minor(rate, digits[to] - digits[code], code)
            found.append((code, day, per_minor, rate.day, rate.age_days))
    if failed:
        raise _missing(failed, section, to)
    columns = list(zip(*found, strict=True)) or [[]] * 5
    types = {
        "currency": pa.string(),
        "day": pa.date32(),
        "rate": RATE_TYPE,
        "rate_date": pa.date32(),
        "rate_age_days": pa.int64(),
    }
    arrays = [pa.array(values, type_) for values, type_ in zip(columns, types.values(), strict=True)]
    return ibis.memtable(pa.table(dict(zip(types, arrays, strict=True))))


def _per_minor(rate: Rate, shift: int, code: str) -> Decimal:
    """Minor units of the study's currency per minor unit of ``code``, as many digits as the engine keeps."""
    value = rate.value.scaleb(shift)
    if not Decimal(1).scaleb(-RATE_DIGITS) <= value < 10**6:
        raise DataError(
            f"a rate of {rate.value} is out of range",
            place=f"rate of {code} on {rate.day}",
            fix="check that rates are units of the study's currency per one unit of the other",
        )
    return value.quantize(Decimal(1).scaleb(-RATE_DIGITS), ROUND_HALF_UP)


def _known_rates(rates: ir.Table, codes: set[str]) -> dict[str, Series]:
    """Rates by currency; a float is the decimal it is written as."""
    known: dict[str, dict[date, Decimal]] = {code: {} for code in codes}
    rows = rates.filter(rates.currency.isin(sorted(codes))).select("date", "currency", "rate").to_pyarrow()
    for row in sorted(rows.to_pylist(), key=lambda r: (r["currency"], r["date"])):
        place = f"rate of {row['currency']} on {row['date']}"
        value = None if row["rate"] is None else Decimal(str(row["rate"]))
        if value is None or not value.is_finite() or value <= 0:
            raise DataError(
                f"a rate must be above zero (got {row['rate']})", place=place, fix="correct it in the source"
            )
        earlier = known[row["currency"]].setdefault(row["date"], value)
        if earlier != value:
            raise DataError(
                f"a day must have one rate (got {earlier} and {value})",
                place=place,
                fix="leave one of them in the source of rates",
            )
    return {code: Series(by_day) for code, by_day in known.items()}


def _rate_of(known: Series, day: date, section: CurrencySection, code: str, to: str) -> Rate | None:
    if section.method == "period_average":
        return known.month_average(day)
    ahead = section.method == "constant" or (section.method == "forward" and day > section.constant_date)
    spot = known.latest(section.constant_date if ahead else day)
    if spot is None or section.method != "forward" or not ahead:
        return spot
    years = (day - section.constant_date).days / DAYS_PER_YEAR
    interest = [_interest(section, c) for c in (to, code)]
    return Rate(forward_rate(spot.value, *interest, years), spot.day, spot.age_days)


def _interest(section: CurrencySection, code: str) -> Decimal:
    if code not in section.interest_rates:
        raise StudyError(
            f"a forward rate needs the interest rate of {code}, which the study does not give",
            place="currency.interest_rates",
            fix=f"add {code}: its rate per year as a fraction, such as 0.03",
        )
    return Decimal(str(section.interest_rates[code]))


def _missing(failed: dict[str, list], section: CurrencySection, to: str) -> DataError:
    parts, only_old = [], True
    for code, days in sorted(failed.items()):
        first, last, count = days[0][0], days[-1][0], sum(lines for _, lines, _ in days)
        span = f"on {first}" if first == last else f"on {len(days):,} days from {first} to {last}"
        ages = [rate.age_days for _, _, rate in days if rate is not None]
        only_old &= len(ages) == len(days)
        why = f"the last known is up to {max(ages):,} days old" if len(ages) == len(days) else "none before"
        parts.append(f"{code} {span} ({count:,} line{'s' if count != 1 else ''}; {why})")
    fix = f"add rates in {to} per unit to the source of rates"
    if only_old:
        fix += ", or write currency.missing: stale to use old ones, labelled with their age"
    return DataError(
        f"no rate at most {section.max_age_days} days old for {'; '.join(parts)}", place="rates", fix=fix
    )
