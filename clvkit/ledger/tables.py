"""The tables beside the orders: customers, products, rates, contracts, tickets, behaviour, marketing, totals.

Every row of such a source is either in its table or among the rejects, with the field and the reason.
"""

from dataclasses import dataclass

import ibis
import ibis.expr.types as ir
import pandas as pd

from clvkit.checks import Check
from clvkit.ledger.contract_rows import dates_of_snapshot, has_left, of_survivors, whole
from clvkit.ledger.lines import NO_DAY, Reading
from clvkit.ledger.side_fields import CONTRACTS, TABLES, fields_of
from clvkit.ledger.source import Source
from clvkit.ledger.values import day, decimals

REJECTS_SHOWN = 20
REJECT_COLUMNS = ("source", "file_no", "row", "field", "reason", "value")


@dataclass(frozen=True)
class SideTable:
    """A table beside the orders.

    ``rows`` has the fields of its kind, typed, those that the source does not have as nulls; ``account_…``, ``about_…`` and
    ``key_…`` columns are texts. ``rows_in`` is what was read (without ``erased``, rows of people who were erased), ``kept`` what is in ``rows``; ``rejects`` shows some of
    the rest, as ``source, file_no, row, field, reason, value``.
    """

    holds: str
    rows: ir.Table
    rows_in: int
    kept: int
    rejects: pd.DataFrame
    erased: int = 0


def side_table(
    con: ibis.BaseBackend, source: Source, reading: Reading, erased: int = 0, age_months: int = 1
) -> SideTable:
    """Type the rows of a table beside the orders; what cannot be read where it must be is rejected, and counted.

    Contracts have their dates in ``rows`` however they are written, and stand with their ``file_no`` and ``row`` in the
    engine's table ``NAME_contracts``; ``age_months`` is what the ages of survivors count.
    """
    section, (needed, others) = reading.section, fields_of(reading.section)
    texts = con.create_view(f"{reading.name}_texts", source.rows)
    rules = [(~texts.parsed, "", "row_unparseable", texts.record)]
    typed: dict[str, ir.Value] = {}
    for field, kind in (needed | others).items():
        if field not in section.fields:
            typed[field] = {"date": NO_DAY, "number": ibis.null(NUMBER), "text": ibis.null("string")}[kind]
            continue
        text = texts[field]
        typed[field] = _value(texts, field, kind, reading, source)
        if field in needed:
            rules.append((text.isnull(), field, "missing", text))
        if kind != "text":
            rules.append((text.notnull() & typed[field].isnull(), field, "unreadable", text))
    if "tenure" in section.fields:
        rules.append((whole(typed["tenure"]).isnull(), "tenure", "unreadable", texts.tenure))
        rules.append((has_left(texts.left).isnull(), "left", "unreadable", texts.left))
        typed |= dates_of_snapshot(typed["tenure"], texts.left, section.extracted)
    extra = [name for name in section.wanted() if name.startswith(("account_", "key_", "about_"))]
    judged = con.create_table(
        f"{reading.name}_table",
        texts.select(
            "file_no",
            "row",
            *extra,
            **typed,
            wrong_field=ibis.cases(*((broken, field) for broken, field, _, _ in rules), else_=None),
            wrong=ibis.cases(*((broken, reason) for broken, _, reason, _ in rules), else_=None),
            wrong_value=ibis.cases(*((broken, value) for broken, _, _, value in rules), else_=None).left(200),
        ),
    )
    good, bad = judged.filter(judged.wrong.isnull()), judged.filter(judged.wrong.notnull())
    rejects = bad.select(
        source=ibis.literal(reading.name),
        file_no="file_no",
        row="row",
        field="wrong_field",
        reason="wrong",
        value="wrong_value",
    ).order_by("file_no", "row")
    rows = good.select(*typed, *extra)
    if section.holds in CONTRACTS:
        dated = _contracts(con, good, reading, age_months)
        rows = dated.drop("file_no", "row", *(name for name in dated.columns if name.startswith("wrong")))
    return SideTable(
        section.holds,
        rows,
        sum(source.rows_in) - erased,
        good.count().execute(),
        rejects.limit(REJECTS_SHOWN).to_pyarrow().to_pandas(),
        erased,
    )


def _contracts(con: ibis.BaseBackend, good: ir.Table, reading: Reading, age_months: int) -> ir.Table:
    """The contracts with their dates, and where each stands."""
    if reading.section.holds == "survivors":
        read = good.to_pyarrow().to_pandas()
        made = of_survivors(read, reading.section.extracted, age_months, reading.name)
        kinds = TABLES["contracts"][0] | TABLES["contracts"][1]
        frame = made.reindex(columns=[*kinds, "file_no", "row"])
        schema = {
            name: {"date": "date", "number": NUMBER, "text": "string"}[kind] for name, kind in kinds.items()
        }
        good = ibis.memtable(frame.astype({"start": "datetime64[us]", "end": "datetime64[us]"}))
        good = good.cast(schema | {"file_no": "int64", "row": "int64"})
    return con.create_table(f"{reading.name}_contracts", good)


NUMBER = "decimal(28, 12)"


def _value(texts: ir.Table, field: str, kind: str, reading: Reading, source: Source) -> ir.Value:
    if kind == "text":
        return texts[field]
    if kind == "number":
        return decimals(texts[field], reading.section, source.typed, NUMBER)
    if source.typed:
        return texts[field].left(10).try_cast("date")
    return day(texts[field], reading.section)


def table_checks(tables: dict[str, SideTable]) -> list[Check]:
    """One check per table beside the orders: how many of its rows could be used."""
    return [
        Check(
            f"ledger.table.{name}",
            f"The rows of {name} can be read",
            "review" if one.kept < one.rows_in else "pass",
            f"{one.kept:,} of {one.rows_in:,} rows of {name} ({one.holds}) can be used."
            + (f" The first that cannot: {_first_reject(one.rejects)}." if len(one.rejects) else "")
            + (
                f" {one.erased:,} more are of people who were erased, and are not kept." if one.erased else ""
            ),
            value=one.rows_in - one.kept,
            threshold=0,
            unit="rows",
            severity="warn",
            recommendation="" if one.kept == one.rows_in else "Correct the rows in the source and run again.",
            chapter="01_ledger",
        )
        for name, one in tables.items()
    ]


def _first_reject(rejects: pd.DataFrame) -> str:
    first = rejects.iloc[0]
    return f"row {first['row']}, {first['field'] or 'the line'} is {first['reason'].replace('_', ' ')}"


def rate_table(tables: list[SideTable]) -> ir.Table | None:
    """All exchange rates, ``date, currency, rate``; None where no source holds any."""
    found = [one.rows.select("date", "currency", "rate") for one in tables if one.holds == "rates"]
    return (ibis.union(*found) if len(found) > 1 else found[0]) if found else None


def links(texts: ir.Table, reading: Reading) -> list[ir.Table]:
    """What a source says of who is who: ``source, account, kind, value`` for each of its identity keys.

    ``texts`` are its rows as read. A row of customers that names a person's accounts in several sources links them by
    itself, as the kind ``record``.
    """
    section, found = reading.section, []
    owners = (
        {reading.name: texts.customer}
        if section.is_lines
        else {name: texts[f"account_{name}"] for name in section.accounts}
    )
    if (
        section.account_space and "customer" in section.fields
    ):  # a contract or a ticket says of its customer what an order does
        owners[section.account_space] = texts.customer
    record = ibis.literal(reading.name + ":") + texts.file_no.cast("string") + ":" + texts.row.cast("string")
    for name, account in owners.items():
        values = {kind: texts[f"key_{kind}"] for kind in section.keys}
        if section.accounts:
            values["record"] = record
        for kind, value in values.items():
            pairs = texts.select(
                source=ibis.literal(name), account=account, kind=ibis.literal(kind), value=value
            )
            found.append(pairs.filter(pairs.account.notnull() & pairs.value.notnull()))
    return found
