"""Build a ledger: read, type, give states, add up, test."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from clvkit.errors import DataError, StudyError
from clvkit.ledger.engine import connect, total
from clvkit.ledger.files import fingerprint, source_files
from clvkit.ledger.ledger import QUARANTINE_COLUMNS, REASON_COLUMNS, Ledger
from clvkit.ledger.quality import Facts, count, ledger_checks
from clvkit.ledger.reasons import STATES, WORDS, hint
from clvkit.ledger.section import LedgerSection
from clvkit.ledger.source import Source, read_source
from clvkit.ledger.states import duplicates, purchases, typed_rows, with_states

SAMPLE_PER_REASON = 20


def minor_digits(currency: str) -> int:
    """Digits of the currency's minor unit (ISO 4217): 2 for USD, 0 for JPY, 3 for KWD.

    Raises
    ------
    StudyError : the code is not one of ISO 4217.
    """
    from babel import Locale
    from babel.numbers import get_currency_precision

    if currency not in Locale("en").currencies:
        raise StudyError(
            f"currency must be an ISO 4217 code such as USD, EUR or JPY (got {currency!r})",
            place="currency",
            fix="use the three-letter code of the currency of the amounts",
        )
    return get_currency_precision(currency)


def build_ledger(
    section: LedgerSection, *, as_of: date, currency: str, base: Path, today: date | None = None
) -> Ledger:
    """Read the source a study names and give every row one state.

    Parameters
    ----------
    section : the study's ledger section.
    as_of : last day whose purchases count; later ones are kept apart for the hold-out.
    currency : ISO 4217 code of the amounts.
    base : folder of the study file, from which a relative path counts.
    today : stands in for the day the extract was made where the section does not say; today by default.

    Raises
    ------
    DataError : the source cannot be read as the section describes it, or no row of it is usable.
    StudyError : the currency is not one of ISO 4217.
    """
    limit = section.extracted or today or date.today()
    digits = minor_digits(currency)
    files = source_files(section, Path(base))
    con = connect()
    source = read_source(con, files, section)
    rows = typed_rows(con, source, section, limit=limit, minor_digits=digits)
    try:
        typed = con.create_table("typed", rows)
    except duckdb.Error as error:
        raise DataError(
            f"the source could not be read to its end: {error}",
            place=section.path,
            fix="check that every file is complete; export damaged ones again",
        ) from error
    _drop(con, "lines", "joined", "absorbed")
    copies = con.create_table("copies", duplicates(typed))
    if section.duplicate_lines == "drop":
        typed = _exclude(typed, copies)
    bought = con.create_table("bought", purchases(typed, as_of, bool(section.columns.segment)))
    names = con.create_table(
        "names",
        pa.table({"file_no": pa.array(range(len(files)), pa.int64()), "file": [f.name for f in files]}),
    )
    rows = con.create_table("rows", with_states(typed, bought, names, as_of))
    bought = con.create_table("purchases", bought.drop("ordinal").order_by("customer", "day"))

    quarantine = _quarantine_sample(rows)
    facts = _facts(source, con.table("typed"), rows, bought, copies, quarantine, section, currency, digits)
    _refuse_useless(facts, rows, quarantine, section, as_of, files[0].format == "csv")
    _drop(con, "typed", "copies", "bought", "names")
    inputs = [fingerprint(f) | {"rows": n} for f, n in zip(files, source.rows_in, strict=True)]
    return Ledger(
        rows,
        bought,
        _totals(facts, bought),
        _reasons(rows, digits),
        quarantine,
        inputs,
        ledger_checks(facts, section, as_of=as_of, limit=limit),
        currency,
        digits,
        as_of,
        con,
    )


def _exclude(typed: ir.Table, copies: ir.Table) -> ir.Table:
    marked = typed.left_join(copies.select("ordinal", copy=ibis.literal(True)), "ordinal").drop(
        "ordinal_right"
    )
    reason = ibis.ifelse(marked.copy.fill_null(False), "duplicate_line", marked.reason)
    return marked.mutate(reason=reason).drop("copy")


def _quarantine_sample(rows: ir.Table) -> pd.DataFrame:
    held = rows.filter(rows.state == "quarantined")
    held = held.mutate(place=ibis.row_number().over(group_by="reason", order_by=["file", "row"]))
    sample = held.filter(held.place < SAMPLE_PER_REASON).order_by("reason", "file", "row")
    return sample.select(*QUARANTINE_COLUMNS).to_pandas().replace({float("nan"): None})


def _facts(
    source: Source,
    typed: ir.Table,
    rows: ir.Table,
    bought: ir.Table,
    copies: ir.Table,
    quarantine: pd.DataFrame,
    section: LedgerSection,
    currency: str,
    digits: int,
) -> Facts:
    states = (
        rows.group_by("state")
        .agg(rows=rows.count(), amount=total(rows.amount_minor), unreadable=rows.amount_minor.isnull().sum())
        .to_pyarrow()
        .to_pylist()
    )
    by_state = {s["state"]: s for s in states}
    held = rows.filter(rows.state == "quarantined")
    reasons = held.group_by("reason").agg(n=held.count()).to_pyarrow().to_pylist()
    changed = (
        typed.aggregate(
            amount=total(typed.amount_minor),
            rounded=(typed.rounded_by != 0).sum(),
            rounding=typed.rounded_by.sum(),
        )
        .to_pyarrow()
        .to_pylist()[0]
    )
    refunds = rows.filter((rows.state == "excluded") & (rows.reason == "amount_negative"))
    refunded = (
        refunds.aggregate(rows=refunds.count(), amount=total(refunds.amount_minor))
        .to_pyarrow()
        .to_pylist()[0]
    )
    whole = (
        bought.aggregate(lines=bought.lines.sum(), amount=total(bought.amount_minor))
        .to_pyarrow()
        .to_pylist()[0]
    )
    return Facts(
        currency=currency,
        minor_digits=digits,
        rows_in=sum(source.rows_in),
        rows={s: by_state[s]["rows"] if s in by_state else 0 for s in STATES},
        amount_in=int(changed["amount"] or 0),
        amount={s: int(by_state[s]["amount"] or 0) if s in by_state else 0 for s in STATES},
        amount_unreadable=sum(s["unreadable"] for s in states),
        purchase_lines=int(whole["lines"] or 0),
        purchase_amount=int(whole["amount"] or 0),
        duplicate_rows=copies.count().execute(),
        rounded_rows=int(changed["rounded"] or 0),
        rounding=Decimal(changed["rounding"] or 0),
        reasons={r["reason"]: r["n"] for r in reasons},
        reason_values={r: list(part["value"]) for r, part in quarantine.groupby("reason")},
        segment_changes=_segment_changes(rows) if section.columns.segment else 0,
        negative_rows=int(refunded["rows"]),
        negative_minor=int(refunded["amount"] or 0),
        notes=tuple(source.notes),
    )


def _segment_changes(rows: ir.Table) -> int:
    used = rows.filter(rows.state.isin(("used", "merged")))
    each = used.group_by("customer").agg(segments=used.segment.nunique())
    return each.filter(each.segments > 1).count().execute()


def _refuse_useless(
    facts: Facts, rows: ir.Table, quarantine: pd.DataFrame, section: LedgerSection, as_of: date, csv: bool
) -> None:
    if facts.rows["used"]:
        return
    if facts.rows["quarantined"] == facts.rows_in:
        worst = max(facts.reasons, key=lambda r: (facts.reasons[r], r))
        first = quarantine[quarantine["reason"] == worst].iloc[0]
        place = "line" if csv else "row"
        shown = f", such as {first['value']!r}" if first["value"] else ""
        raise DataError(
            f"none of the source's rows ({facts.rows_in:,}) can be used; the most common reason "
            f"({count(facts.reasons[worst], 'row')}): {WORDS[worst]}{shown}",
            place=f"{first['file']}: {place} {first['row']}",
            fix=hint(worst, facts.reason_values[worst], section),
        )
    if facts.rows["later"]:
        later = rows.filter(rows.state == "later")
        raise DataError(
            f"no purchase is dated up to the as-of date {as_of}; the first is of "
            f"{later.day.min().to_pyarrow().as_py()}",
            place="as_of",
            fix="use a later as-of date",
        )
    raise DataError(
        f"none of the source's rows ({facts.rows_in:,}) is a purchase: excluded by policy "
        f"{facts.rows['excluded']:,}, in quarantine {facts.rows['quarantined']:,}",
        place=section.path,
        fix="look at ledger.zero_amounts, ledger.negative_amounts and ledger.columns.amount",
    )


def _totals(facts: Facts, bought: ir.Table) -> dict:
    # One division of two integers is the nearest number there is to the exact decimal.
    unit = 10**facts.minor_digits
    return {
        "customers": bought.customer.nunique().execute(),
        "rows": {"in": facts.rows_in} | facts.rows,
        "amount": {
            facts.currency: {"in": facts.amount_in / unit} | {s: a / unit for s, a in facts.amount.items()}
        },
        "amount_unreadable": facts.amount_unreadable,
    }


def _reasons(rows: ir.Table, digits: int) -> pd.DataFrame:
    grouped = rows.group_by("state", "reason").agg(rows=rows.count(), amount=total(rows.amount_minor))
    found = grouped.to_pyarrow().to_pylist()
    found.sort(key=lambda g: (STATES.index(g["state"]), -g["rows"], g["reason"] or ""))
    return pd.DataFrame(
        [
            {
                "state": g["state"],
                "reason": g["reason"] or "",
                "meaning": WORDS[g["reason"] or ""],
                "rows": g["rows"],
                "amount": int(g["amount"] or 0) / 10**digits,
            }
            for g in found
        ],
        columns=list(REASON_COLUMNS),
    )


def _drop(con: ibis.BaseBackend, *names: str) -> None:
    for name in names:
        con.drop_table(name, force=True)
