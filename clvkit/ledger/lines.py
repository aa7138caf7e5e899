"""From the texts of a source to lines: values, and the first rule or policy that each row meets."""

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import reduce
from operator import or_

import ibis
import ibis.expr.types as ir

from clvkit.ledger.engine import Scratch, engine_of, fingerprint, to_decimal
from clvkit.ledger.section import LedgerSection, SourceSection
from clvkit.ledger.source import Source
from clvkit.ledger.values import Amounts, day, minor_units, product

QUARANTINE_VALUE_LENGTH = 200
NOTHING, NO_DAY, NO_NUMBER = (ibis.null(kind) for kind in ("string", "date", "float64"))


@dataclass(frozen=True)
class Reading:
    """What decides how the rows of one source are typed.

    ``digits`` are those of the minor unit of every currency that occurs, ``limit`` the last day a purchase can have.
    """

    name: str
    section: SourceSection
    policy: LedgerSection
    currency: str  # of rows without one of their own
    digits: dict[str, int]
    limit: date


def typed_rows(scratch: Scratch, source: Source, reading: Reading) -> ir.Table:
    """Source rows with values instead of text and the first rule each breaks.

    Returns
    -------
    Table of ``ordinal, source, space, file_no, row, account, day, order_id, product, category, quantity, currency,
    amount_minor, discount_minor, rounded_by, segment, loaded, reason, quarantined, value, record, line_id``; ``reason`` is null
    for rows that no rule and no policy touches. ``record`` is a fingerprint of the whole row, or of its id where the source
    has ids of lines (``line_id``).
    """
    section, columns = reading.section, reading.section.columns
    # Views keep the steps apart: as one expression, every use of a column would repeat the work that made it.
    rows = scratch.view(f"{reading.name}_texts", source.rows)
    fixed = section.currency or reading.currency
    currency = rows.currency.upper().fill_null(fixed) if columns.currency else ibis.literal(fixed)
    written = engine_of(rows) == "duckdb"  # other engines are only given days and moments, never text
    rows = scratch.view(
        f"{reading.name}_days",
        rows.mutate(
            day=ibis.coalesce(rows.typed_day, day(rows.date, section)) if written else rows.typed_day,
            loaded=ibis.coalesce(
                rows.typed_loaded, day(rows.loaded, section), rows.loaded.left(10).try_cast("date")
            )
            if written and columns.loaded
            else rows.typed_loaded,
            currency=currency,
            given=rows.amount if columns.price is None else rows.price,
        ),
    )
    money = _money(rows, reading, source.numeric)
    rows = scratch.view(
        f"{reading.name}_values",
        rows.mutate(
            amount_minor=money.minor,
            rounded_by=money.rounded_by,
            readable=money.readable,
            discount_minor=_part(rows, "discount", reading, source.numeric),
        ),
    )
    rules, policies = _rules(rows, reading), _policies(rows, reading)
    rows = rows.mutate(rule=_first(rules), policy=_first(policies))
    rows = scratch.view(f"{reading.name}_judged", rows)
    value = ibis.cases(
        (rows.rule == "row_unparseable", rows.record),
        (rows.rule.startswith("date"), rows.date),
        (rows.rule.startswith("amount"), rows.given),
        (rows.rule.startswith("currency"), rows.currency),
        (rows.rule.startswith("quantity"), rows.quantity),
        else_=NOTHING,
    )
    segment = rows.segment.fill_null("(none)") if columns.segment else ibis.literal(section.segment or "all")
    key = NOTHING
    if columns.line_id:
        space = ibis.literal((section.id_space or reading.name) + "\x1f")
        key = space + (rows.order + "\x1f" if columns.order else "") + rows.line_id
    return rows.select(
        "ordinal",
        "row",
        "product",
        "category",
        "currency",
        "amount_minor",
        "discount_minor",
        "rounded_by",
        "loaded",
        file_no=rows.file_no.cast(
            "int64"
        ),  # that of a Parquet file comes back from the engine as a small integer
        source=ibis.literal(reading.name),
        space=ibis.literal(section.id_space or reading.name),
        account=rows.customer,
        # Engines read days of years that no calendar of Python has; such rows are in quarantine, whatever they are.
        day=ibis.ifelse(rows.day.between(ibis.date(date.min), ibis.date(date.max)), rows.day, NO_DAY),
        order_id=ibis.coalesce(rows.refund_of, rows.order),
        quantity=to_decimal(_decimals(rows.quantity, section), 18, 6).cast("float64")
        if columns.quantity
        else NO_NUMBER,
        segment=segment,
        reason=ibis.coalesce(rows.rule, rows.policy),
        quarantined=rows.rule.notnull(),
        value=value.left(QUARANTINE_VALUE_LENGTH),
        record=fingerprint(key if columns.line_id else rows.record),
        line_id=key,
    )


def _money(rows: ir.Table, reading: Reading, numeric: bool) -> Amounts:
    """The net amount of each row: what was paid for goods, by the study's policies on tax and delivery."""
    section, policy = reading.section, reading.policy
    digits, kinds = _digits(rows, reading)
    if section.columns.price is None:
        made = minor_units(rows.amount, section, digits, kinds, numeric)
    else:
        made = product(rows.quantity, rows.price, section, max(kinds), numeric)
    net = made.minor
    for part, wanted in (("tax", policy.tax), ("shipping", policy.shipping)):
        inside = part in section.amount_holds
        if inside == (wanted == "include"):
            continue
        if part == "tax" and section.columns.tax is None and section.tax_rate is not None:
            amount = _tax_inside(net, section.tax_rate) if inside else _rounded(net, section.tax_rate)
        else:
            amount = _part(rows, part, reading, numeric)
        net = net - amount if inside else net + amount
    if section.holds == "refunds":
        net = -net.abs()
    return Amounts(made.readable, net, made.rounded_by)


def _tax_inside(gross: ir.IntegerColumn, rate: Decimal) -> ir.IntegerColumn:
    """The tax in a gross amount, rounded half up: the rate's share of one and the rate."""
    top, below = (int(part * 10**6) for part in (rate, 1 + rate))
    sized = gross.abs().cast("decimal(38, 0)") * 2 * top + below
    tax = ((sized - sized % (2 * below)) / (2 * below)).cast("int64")
    return ibis.ifelse(gross < 0, -tax, tax)


def _rounded(net: ir.IntegerColumn, rate: Decimal) -> ir.IntegerColumn:
    """The rate's share of an amount, rounded half up."""
    sized = net.abs().cast("decimal(38, 0)") * 2 * int(rate * 10**6) + 10**6
    tax = ((sized - sized % (2 * 10**6)) / (2 * 10**6)).cast("int64")
    return ibis.ifelse(net < 0, -tax, tax)


def _part(rows: ir.Table, part: str, reading: Reading, numeric: bool) -> ir.IntegerValue:
    """A discount, a tax or a delivery charge in minor units; zero where none is stated."""
    if getattr(reading.section.columns, part) is None:
        return ibis.literal(0).cast("int64")
    return minor_units(rows[part], reading.section, *_digits(rows, reading), numeric).minor.fill_null(0)


def _digits(rows: ir.Table, reading: Reading) -> tuple[ir.IntegerValue, set[int]]:
    """Digits of the minor unit of each row's currency, and which numbers of digits occur."""
    section = reading.section
    if section.columns.currency is None:
        digits = reading.digits[section.currency or reading.currency]
        return ibis.literal(digits), {digits}
    known = reading.digits
    return ibis.cases(*((rows.currency == code, d) for code, d in known.items()), else_=2), {
        2,
        *known.values(),
    }


def _decimals(text: ir.StringColumn, section: SourceSection) -> ir.StringColumn:
    return text.replace(section.decimal, ".") if section.decimal != "." else text


def _rules(rows: ir.Table, reading: Reading) -> list[tuple[ir.BooleanColumn, str]]:
    """What puts a row into quarantine, the first that holds counts."""
    policy, columns = reading.policy, reading.section.columns
    rules = [(~rows.parsed, "row_unparseable")]
    if policy.guests == "quarantine" and columns.customer:
        rules.append((rows.customer.isnull(), "customer_missing"))
    rules += [
        (rows.date.isnull() & rows.day.isnull(), "date_missing"),
        (rows.day.isnull(), "date_unreadable"),
        (rows.day < ibis.date(policy.earliest), "date_before_earliest"),
        (rows.day > ibis.date(reading.limit), "date_after_extract"),
        (rows.given.isnull(), "amount_missing"),
        (~rows.readable, "amount_unreadable"),
        (rows.amount_minor.isnull(), "amount_out_of_range"),
    ]
    if columns.currency:
        rules.append((rows.currency.notin(list(reading.digits)), "currency_unknown"))
    if columns.quantity:
        rules.append((rows.quantity.startswith("-") & (rows.amount_minor > 0), "quantity_sign"))
    if policy.negative_amounts == "quarantine":
        rules.append((rows.amount_minor < 0, "amount_negative"))
    if policy.zero_amounts == "quarantine":
        rules.append((rows.amount_minor == 0, "amount_zero"))
    return rules


def _policies(rows: ir.Table, reading: Reading) -> list[tuple[ir.BooleanColumn, str]]:
    """What leaves a sound row out, the first that holds counts."""
    policy, policies = reading.policy, []
    for kind, column, named in (
        ("customer", rows.customer, policy.excluded_customers),
        ("product", rows["product"], policy.not_sales),
    ):
        for name, patterns in named.items():
            policies.append((any_of(column, patterns), f"{kind}:{name}"))
    if policy.guests == "exclude" and reading.section.columns.customer:
        policies.append((rows.customer.isnull(), "guest"))
    if policy.negative_amounts == "exclude":
        policies.append((rows.amount_minor < 0, "amount_negative"))
    if policy.zero_amounts == "exclude":
        policies.append((rows.amount_minor == 0, "amount_zero"))
    return policies


def any_of(column: ir.StringColumn, patterns: tuple[str, ...]) -> ir.BooleanColumn:
    """Whether a text is one of those named, in which * stands for any text."""
    exact = [one for one in patterns if "*" not in one]
    tests = [column.isin(exact)] if exact else []
    for one in patterns:
        if "*" in one:
            parts = (re.escape(part) for part in one.split("*"))
            tests.append(column.re_search("^" + ".*".join(parts) + "$"))
    return reduce(or_, tests).fill_null(False) if tests else ibis.literal(False)


def _first(rules: list[tuple[ir.BooleanColumn, str]]) -> ir.StringValue:
    return ibis.cases(*rules, else_=ibis.null("string")) if rules else ibis.null("string")
