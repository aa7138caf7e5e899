"""The bills of contracts, where no source of orders has them: what fell due from the first day of each to its last."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir

from clvkit.ledger.currencies import is_currency, minor_digits
from clvkit.ledger.files import SourceFile
from clvkit.ledger.lines import Reading
from clvkit.ledger.section import LedgerColumns, SourceSection
from clvkit.ledger.source import Source, uniform

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Billing:
    """How contracts are billed.

    Attributes
    ----------
    months : from one bill to the next; the first falls due on the first day.
    months_of_plan : the same of plans that are billed otherwise.
    end_is_last : whether the end of a contract is its last day, and not the first without it.
    free : plans that are not billed, such as trials.
    read_months : months from bill to bill of the texts in which contracts say their own; NaN where one cannot be read.
    """

    months: int = 1
    months_of_plan: tuple[tuple[str, int], ...] = ()
    end_is_last: bool = True
    free: tuple[str, ...] = ()
    read_months: "Callable[[pd.Series], pd.Series] | None" = None


MONTHLY = Billing()


def bills_section(billed: SourceSection, section: SourceSection) -> SourceSection:
    """The section of a source of bills as if it were read: where its columns come from."""
    columns = LedgerColumns(
        customer="customer", date="due", amount="amount", line_id=None, product="plan", order="contract",
        currency="currency" if "currency" in billed.fields else None,
    )  # fmt: skip
    shared = {
        "columns": columns,
        "amount_unit": "minor",
        "extracted": billed.extracted,
        "currency": billed.currency,
    }
    return section.model_copy(update=shared)


def bills(
    con: ibis.BaseBackend,
    billed: Reading,
    section: SourceSection,
    billing: Billing,
    until: date,
    *,
    file: int,
    ordinal: int,
) -> Source:
    """The bills of a source of contracts that fell due up to ``until``, as rows of a source of orders.

    Each bill is the contract's fee. Where the source says what was paid so far (the field ``paid``), that is spread over the
    months of its tenure instead, and adds up to it in minor units. A row stands where its contract stands.

    Parameters
    ----------
    file, ordinal : number of the first file, and of the first row, in the whole ledger.
    """
    rows = con.table(f"{billed.name}_contracts")
    first_file = rows.file_no.min()
    scale = 10 ** _digits(rows, billed)
    last = ibis.coalesce(rows.end, ibis.date(until)) if billing.end_is_last else ibis.coalesce(
        (rows.end - ibis.interval(days=1)).cast("date"), ibis.date(until)
    )  # fmt: skip
    last = ibis.least(last, ibis.date(until))
    every = _every(rows, billing)
    # more than there can be: those after the last day are left out
    months = last.year() * 12 + last.month() - rows.start.year() * 12 - rows.start.month()
    number = ibis.ifelse(every > 0, months // ibis.greatest(every, 1) + 1, 1)
    counts = rows.tenure.cast("int64") if "tenure" in billed.section.fields else number
    notes = _of_snapshot(rows, billed) if "tenure" in billed.section.fields else []
    rows = con.create_table(
        f"{billed.name}_billed",
        rows.select(
            "file_no", "row", "customer", "contract", "plan", "currency", "start", place=rows.file_no - first_file,
            last=last, every=every, number=counts.cast("int64"), fee=_known(_minor(rows.fee, scale), every), paid=_minor(rows.paid, scale),
            tenure=rows.tenure.cast("int64"),
        ).filter(ibis._.number > 0, ibis._["plan"].notin(list(billing.free)).fill_null(True) if billing.free else True),
    )  # fmt: skip
    # A contract without a fee is billed nothing that is known: one row of it says so, and is quarantined.
    each = rows.mutate(k=ibis.range(0, rows.number).unnest())
    each = each.mutate(due=(each.start + (each.k * each.every).as_interval("M")).cast("date"))
    each = each.filter(each.due <= each.last, (each.k == 0) | each.fee.notnull() | each.paid.notnull())
    shares = each.paid * (each.k + 1) // each.number - each.paid * each.k // each.number
    amount = ibis.ifelse(each.paid.notnull(), shares, each.fee)
    contract = ibis.coalesce(each.contract, ibis.literal("row ") + each.row.cast("string"))
    made = each.select(
        "row",
        file_no=each.place + file,
        parsed=ibis.literal(True),
        record=ibis.literal("\x1f").join([contract, each.due.cast("string"), amount.cast("string"), each.k.cast("string")]),
        typed_day="due", customer="customer", date=each.due.cast("string"), amount=amount.cast("string"), product="plan",
        order=contract, currency=ibis.coalesce(each.currency, ibis.literal(billed.section.currency or billed.currency)),
    )  # fmt: skip
    named = f"{billed.name}_bills"
    made = con.create_table(named, made.order_by("file_no", "row", "typed_day"))
    made = con.create_view(f"{named}_numbered", made.mutate(ordinal=ibis.row_number() + ordinal))
    counted = made.group_by("file_no").agg(n=made.count()).order_by("file_no").to_pyarrow().to_pylist()
    by_file = {one["file_no"]: one["n"] for one in counted}
    highest = max(by_file, default=file)
    rows_in = [by_file.get(number, 0) for number in range(file, highest + 1)]
    note = f"{sum(rows_in):,} bills that fell due by the contracts of {billed.name}; none of them was read from a file"
    return Source(uniform(made, section), rows_in, ordinal + sum(rows_in), [], True, True, [note, *notes])


def _of_snapshot(rows: ir.Table, billed: Reading) -> list[str]:
    """What a snapshot says of contracts that have paid nothing yet, and of those whose total is missing."""
    told = []
    new, blank = rows.tenure == 0, rows.paid.isnull()
    counts = rows.aggregate(
        new=new.sum().fill_null(0).cast("int64"), unpaid=(new & blank).sum().fill_null(0).cast("int64"),
        missing=(~new & blank).sum().fill_null(0).cast("int64"),
    ).to_pyarrow().to_pylist()[0]  # fmt: skip
    if counts["new"]:
        totals = (
            f"; {counts['unpaid']:,} of them have a blank total" if "paid" in billed.section.fields else ""
        )
        told.append(
            f"{counts['new']:,} contracts of {billed.name} have a tenure of 0{totals}: nothing has been billed to them, and they "
            "count as running, with no renewal made"
        )
    if "paid" in billed.section.fields and counts["missing"]:
        told.append(
            f"{counts['missing']:,} contracts of {billed.name} have a tenure and no total: their bills are the fee of today"
        )
    return told


def bill_files(files: list[SourceFile], name: str, number: int) -> list[SourceFile]:
    """The files of the contracts as those of their bills."""
    return [replace(one, name=f"{one.name} (bills)", source=name) for one in files[:number]]


def _minor(amount: ir.DecimalValue, scale: ir.IntegerValue) -> ir.IntegerValue:
    return (amount * scale).round().cast("int64")


def _known(fee: ir.IntegerValue, every: ir.IntegerValue) -> ir.IntegerValue:
    """The fee where it is known when it falls due; a contract whose period cannot be read has none."""
    return ibis.ifelse(every > 0, fee, ibis.null("int64"))


def _every(rows: ir.Table, billing: Billing) -> ir.IntegerValue:
    """Months from bill to bill: the contract's own, else its plan's, else those of all; 0 where its own cannot be read."""
    import pandas as pd

    of_plan = [(rows["plan"] == plan, months) for plan, months in billing.months_of_plan]
    texts = [
        one for one in rows.select("period").distinct().to_pyarrow()["period"].to_pylist() if one is not None
    ]
    read = billing.read_months(pd.Series(texts)) if texts and billing.read_months else []
    own = [
        (rows.period == text, 0 if pd.isna(months) else int(months))
        for text, months in zip(texts, read, strict=False)
    ]
    known = own + of_plan
    return ibis.cases(*known, else_=billing.months) if known else ibis.literal(billing.months)


def _digits(rows: ir.Table, reading: Reading) -> ir.IntegerValue:
    """Digits of the minor unit of each contract's currency."""
    home = minor_digits(reading.section.currency or reading.currency)
    if "currency" not in reading.section.fields:
        return ibis.literal(home)
    codes = [c for c in rows.select("currency").distinct().to_pyarrow()["currency"].to_pylist() if c]
    known = [(rows.currency == code, minor_digits(code)) for code in codes if is_currency(code)]
    return ibis.cases(*known, else_=2) if known else ibis.literal(home)
