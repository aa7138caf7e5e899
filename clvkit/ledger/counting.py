"""What is counted once every row has its state: facts for the checks, totals, reasons, and a sample of the quarantine."""

from decimal import Decimal

import ibis
import ibis.expr.types as ir
import pandas as pd

from clvkit.ledger.currencies import minor_digits
from clvkit.ledger.engine import bytewise, total
from clvkit.ledger.facts import Control, Facts, Money
from clvkit.ledger.ledger import QUARANTINE_COLUMNS, REASON_COLUMNS
from clvkit.ledger.lines import Reading
from clvkit.ledger.reasons import STATES, meaning
from clvkit.ledger.source import Source

SAMPLE_PER_REASON = 20


def quarantine_sample(rows: ir.Table) -> pd.DataFrame:
    """At most 20 quarantined rows per reason; personal data."""
    held = rows.filter(rows.state == "quarantined")
    held = held.mutate(place=ibis.row_number().over(group_by="reason", order_by=[bytewise(held.file), "row"]))
    sample = held.filter(held.place < SAMPLE_PER_REASON)
    sample = sample.order_by(bytewise(sample.reason), bytewise(sample.file), "row")
    return sample.select(*QUARANTINE_COLUMNS).to_pandas().replace({float("nan"): None})


def gather_facts(
    orders: list[tuple[Reading, Source]],
    lines: ir.Table,
    rows: ir.Table,
    bought: ir.Table,
    copies: ir.Table,
    quarantine: pd.DataFrame,
    segmented: bool,
    currency: str,
) -> Facts:
    """Rows and money counted by source, currency and state, for the checks."""
    states = _listed(
        rows.group_by("currency", "state").agg(
            rows=rows.count(),
            amount=total(rows.amount_minor),
            value=total(rows.value_minor),
            unreadable=rows.amount_minor.isnull().sum(),
        )
    )
    came_in = _listed(lines.group_by("source", "currency").agg(amount=total(lines.amount_minor)))
    held = rows.filter(rows.state == "quarantined")
    reasons = _listed(held.group_by("reason").agg(n=held.count()))
    rounded = _listed(
        lines.aggregate(rounded=(lines.rounded_by != 0).sum(), rounding=lines.rounded_by.sum())
    )[0]
    refunds = rows.filter((rows.state == "excluded") & (rows.reason == "amount_negative"))
    refunded = _listed(refunds.aggregate(rows=refunds.count(), amount=total(refunds.value_minor)))[0]
    whole = _listed(bought.aggregate(lines=bought.lines.sum(), amount=total(bought.amount_minor)))[0]
    digits = {code: kind for reading, _ in orders for code, kind in reading.digits.items()} | {
        currency: minor_digits(currency)
    }

    def money(code: str) -> Money:
        mine = {s["state"]: int(s["amount"] or 0) for s in states if s["currency"] == code}
        return Money(
            code,
            digits.get(code, 2),
            sum(int(one["amount"] or 0) for one in came_in if one["currency"] == code),
            {state: mine.get(state, 0) for state in STATES},
        )

    codes = [currency, *sorted({s["currency"] for s in states} - {currency, None})]
    return Facts(
        rows_in=sum(sum(source.rows_in) for _, source in orders),
        rows={state: sum(s["rows"] for s in states if s["state"] == state) for state in STATES},
        money=tuple(money(code) for code in codes),
        amount_unreadable=sum(s["unreadable"] for s in states),
        kept_value=sum(int(s["value"] or 0) for s in states if s["state"] in ("used", "merged")),
        purchase_lines=int(whole["lines"] or 0),
        purchase_amount=int(whole["amount"] or 0),
        controls=tuple(_control(reading, source, came_in, digits) for reading, source in orders),
        duplicate_rows=copies.count().execute(),
        overlap_rows=rows.filter(rows.reason.isin(("overlap", "superseded"))).count().execute(),
        rounded_rows=int(rounded["rounded"] or 0),
        rounding=Decimal(rounded["rounding"] or 0),
        reasons={r["reason"]: r["n"] for r in reasons},
        reason_values={r: list(part["value"]) for r, part in quarantine.groupby("reason")},
        segmented=segmented,
        segment_changes=_segment_changes(rows) if segmented else 0,
        negative_rows=int(refunded["rows"]),
        negative_minor=int(refunded["amount"] or 0),
        notes=tuple(note for _, source in orders for note in source.notes),
    )


def _control(reading: Reading, source: Source, came_in: list[dict], digits: dict[str, int]) -> Control:
    """What one source had, beside what its section declares."""
    sums = {one["currency"]: int(one["amount"] or 0) for one in came_in if one["source"] == reading.name}
    code = reading.section.currency or reading.currency
    return Control(
        reading.name,
        sum(source.rows_in),
        Money(code, digits[code], sums.get(code, 0), {}),
        reading.section.control_rows,
        reading.section.control_total,
        len(sums) > 1,
    )


def totals_of(facts: Facts, bought: ir.Table) -> dict:
    """The ``ledger`` object of ``results.json``."""
    return {
        "customers": bought.customer.nunique().execute(),
        "rows": {"in": facts.rows_in} | facts.rows,
        # One division of two integers is the nearest number there is to the exact decimal.
        "amount": {
            one.currency: {
                state: minor / 10**one.digits for state, minor in ({"in": one.came_in} | one.by_state).items()
            }
            for one in facts.money
        },
        "amount_unreadable": facts.amount_unreadable,
    }


def reasons_of(rows: ir.Table, facts: Facts) -> pd.DataFrame:
    """Rows and money by state, reason and currency, with the reason in words."""
    digits = {one.currency: one.digits for one in facts.money}
    found = _listed(
        rows.group_by("state", "reason", "currency").agg(rows=rows.count(), amount=total(rows.amount_minor))
    )
    found.sort(key=lambda g: (STATES.index(g["state"]), -g["rows"], g["reason"] or "", g["currency"] or ""))
    return pd.DataFrame(
        [
            {
                "state": g["state"],
                "reason": g["reason"] or "",
                "meaning": meaning(g["reason"] or ""),
                "currency": g["currency"],
                "rows": g["rows"],
                "amount": int(g["amount"] or 0) / 10 ** digits.get(g["currency"], 2),
            }
            for g in found
        ],
        columns=list(REASON_COLUMNS),
    )


def _segment_changes(rows: ir.Table) -> int:
    used = rows.filter(rows.state.isin(("used", "merged")))
    each = used.group_by("customer").agg(segments=used.segment.nunique())
    return each.filter(each.segments > 1).count().execute()


def _listed(table: ir.Table) -> list[dict]:
    return table.to_pyarrow().to_pylist()
