"""Amounts in the study's currency, where rows are in others."""

import ibis
import ibis.expr.types as ir

from clvkit.errors import DataError
from clvkit.ledger.currencies import is_currency
from clvkit.ledger.currency import convert
from clvkit.ledger.section import LedgerSection


def in_currency(lines: ir.Table, rates: ir.Table | None, section: LedgerSection, currency: str) -> ir.Table:
    """Lines with ``value_minor`` and ``discount_value_minor`` in minor units of ``currency``, and how each was converted.

    Raises
    ------
    DataError : lines are in other currencies and no source holds rates, or a rate is missing.
    """
    sound = lines.filter(lines.reason.isnull() & (lines.currency != currency))
    others = sorted(sound.select("currency").distinct().to_pyarrow()["currency"].to_pylist())
    if others and rates is None:
        raise DataError(
            f"{sound.count().execute():,} rows are in {', '.join(others)}, the study is in {currency}, and no source "
            "holds exchange rates",
            place="ledger.sources",
            fix="add a source that holds: rates, with its fields date, currency and rate",
        )
    if rates is None:
        own = lines.currency == currency
        return lines.mutate(
            value_minor=ibis.ifelse(own, lines.amount_minor, ibis.null("int64")),
            discount_value_minor=ibis.ifelse(own, lines.discount_minor, ibis.null("int64")),
            rate_date=ibis.null("date"),
            rate_age_days=ibis.null("int64"),
            converted=ibis.literal(False),
        )
    codes = lines.select("currency").distinct().to_pyarrow()["currency"].to_pylist()
    if not (unknown := [code for code in codes if code and not is_currency(code)]):
        return convert(lines, rates, section.exchange, currency)
    # Rows in a currency that does not exist are in quarantine already; no rate is asked for them.
    known = ibis.ifelse(lines.currency.isin(unknown), ibis.null("string"), lines.currency)
    valued = convert(lines.mutate(stated=lines.currency, currency=known), rates, section.exchange, currency)
    return valued.mutate(currency=valued.stated).drop("stated")
