"""Build a ledger: read, type, give states, add up, test."""

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from clvkit.errors import DataError
from clvkit.ledger.bills import MONTHLY, Billing, bill_files, bills, bills_section
from clvkit.ledger.costs import costed, margin_ladder
from clvkit.ledger.counting import gather_facts, quarantine_sample, reasons_of, totals_of
from clvkit.ledger.currencies import is_currency, minor_digits
from clvkit.ledger.customers import with_customers
from clvkit.ledger.database_source import SourceTable, database_of, open_table, read_table
from clvkit.ledger.databases import Database, first_line, refusing
from clvkit.ledger.engine import Scratch, connect, enough_room, first_text, last_text
from clvkit.ledger.exchange import in_currency
from clvkit.ledger.facts import Facts
from clvkit.ledger.files import SourceFile, bytes_of_files, fingerprint, source_files
from clvkit.ledger.history import history_checks, history_frames
from clvkit.ledger.ledger import Ledger
from clvkit.ledger.lines import Reading, typed_rows
from clvkit.ledger.mapping import mapping_frame
from clvkit.ledger.quality import count, ledger_checks
from clvkit.ledger.reasons import hint, meaning
from clvkit.ledger.refunds import match_refunds, net_lines
from clvkit.ledger.section import LedgerSection, SourceSection
from clvkit.ledger.settle import settled
from clvkit.ledger.side_accounts import accounts_beside, with_pseudonyms, without_erased
from clvkit.ledger.source import Place, Source, read_source
from clvkit.ledger.states import duplicates, known, overlapping, purchases, rows_of, with_states
from clvkit.ledger.tables import SideTable, rate_table, side_table, table_checks
from clvkit.ledger.validation import validation_checks, validation_frames

STEPS = ("lines", "copies", "overlaps", "named", "matches", "netted", "names", "who")
IN_ORDER = 1_000_000  # rows: more are left in the order that the engine has them in, which costs nothing


@enough_room()
def build_ledger(
    section: LedgerSection,
    *,
    as_of: date,
    currency: str,
    base: Path,
    today: date | None = None,
    crosswalk: Path | None = None,
    withhold: Callable[[ir.Table], ir.Table] | None = None,
    banned: Collection[str] = (),
    billing: Billing = MONTHLY,
) -> Ledger:
    """Read the source a study names and give every row one state.

    Parameters
    ----------
    section : the study's ledger section.
    as_of : last day whose purchases count; later ones are kept apart for the hold-out.
    currency : ISO 4217 code of the amounts.
    base : folder of the study file, from which a relative path counts.
    today : stands in for the day the extract was made where the section does not say; today by default.
    crosswalk : folder of the accounts' pseudonyms, which is kept up to date. Without one, customers go by the names
        of their accounts.
    withhold : takes the names off the lines of people who were erased.
    banned : columns that must not be read; a study that names one of them is refused.
    billing : how contracts are billed, for sources whose rows are the bills of contracts.

    Raises
    ------
    DataError : the source cannot be read as the section describes it, or no row of it is usable.
    StudyError : the currency is not one of ISO 4217.
    """
    digits = minor_digits(currency)
    database = database_of(section, Path(base))
    size = bytes_of_files(section, Path(base))
    con = database.con if database else connect(size)
    # Files are read in DuckDB, whatever engine the orders are in.
    local = con if con.name == "duckdb" else connect(size)
    scratch = Scratch(con)
    readings, files, sources = _read(
        local, database, section, Path(base), currency, today or date.today(), banned
    )
    tables = {}
    for reading, source in zip(readings, sources, strict=True):
        if not reading.section.is_lines:
            with _reading_files(reading.name, reading.section, Path(base)):
                named = _named_by_nobody(source, reading, withhold)
                tables[reading.name] = side_table(local, *named, age_months=billing.months)
    _add_bills(local, section, currency, billing, as_of, readings, files, sources)
    orders = [(r, s) for r, s in zip(readings, sources, strict=True) if r.section.is_lines]
    lines = _typed(scratch, orders, Path(base))
    if withhold and (named := withhold(lines)) is not lines:
        lines = scratch.table("lines", named)
    copies = scratch.table("copies", duplicates(lines, also_excluded=section.duplicate_lines == "drop"))
    timed = any(r.section.columns.loaded for r, _ in orders)
    lines = _counted_once(scratch, lines, copies, section, len(files), as_of if timed else None)
    lines, people = with_customers(
        scratch,
        lines,
        list(zip(readings, sources, strict=True)),
        section,
        crosswalk,
        {
            r.name: scratch[f"{r.name}_texts"] if r.section.is_lines else local.table(f"{r.name}_texts")
            for r in readings
        },
        as_of=as_of,
        base=Path(base),
        beside=accounts_beside(tables, readings),
        withhold=withhold,
    )
    tables = with_pseudonyms(local, tables, readings, crosswalk)
    lines = lines.drop("record")  # copies and overlaps are found
    if section.negative_amounts == "net":
        lines = scratch.table("named", lines)
        if _has_refunds(lines):
            lines = scratch.table("netted", _netted(scratch, lines, section, as_of))
            scratch.drop("named")
    lines = in_currency(lines, rate_table(list(tables.values())), section, currency)
    segmented = any(r.section.columns.segment or r.section.segment for r, _ in orders)
    counts = lines.filter(lines.reason.isnull() & (lines.day <= ibis.date(as_of)) & known(lines, as_of))
    counted = [n for source in sources for n in source.rows_in]
    bought = scratch.table_by_parts(
        "bought", counts, "customer", lambda part: purchases(part, segmented), sum(counted)
    )
    names = scratch.table(
        "names",
        pa.table({"file_no": pa.array(range(len(files)), pa.int64()), "file": [f.name for f in files]}),
    )
    if section.costs is not None:
        joined = [replace(one, rows=_joinable(scratch, n, one)) for n, one in tables.items()]
        lines = costed(lines, joined, section.costs, currency)
    # A table as large as the source is the dearest thing here: this one holds all that is asked of lines from now on.
    stated = with_states(lines, bought, names, as_of)
    lines = scratch.table("rows", stated.order_by("ordinal") if sum(counted) <= IN_ORDER else stated)
    scratch.drop("lines", "named", "netted", "who", *(f"{r.name}_typed" for r, _ in orders))
    rows = rows_of(lines)
    bought = bought.drop("ordinal")
    if sum(counted) <= IN_ORDER:
        bought = scratch.table("purchases", bought.order_by("customer", "day"))
        scratch.drop("bought")
    quarantine = quarantine_sample(rows)
    facts = gather_facts(orders, lines, rows, bought, copies, quarantine, segmented, currency)
    _refuse_useless(facts, rows, quarantine, [r for r, _ in orders], as_of, files)
    frames = history_frames(con, lines, section, currency, as_of) | people
    frames["mapping"] = mapping_frame(readings, files, banned)
    if section.costs is not None:
        frames |= margin_ladder(lines.filter((lines.day <= ibis.date(as_of)) & known(lines, as_of)), currency)
    texts = {r.name: (r, scratch[f"{r.name}_texts"]) for r, _ in orders}
    frames |= validation_frames(
        lines, bought, texts, tables, [f.name for f in files], section, currency=currency, as_of=as_of
    )
    checks = ledger_checks(facts, section, as_of=as_of, limit=min(r.limit for r, _ in orders))
    checks += table_checks(tables) + history_checks(frames, section, as_of)
    checks += validation_checks(frames, tables, section, facts.rows_in)
    inputs = [fingerprint(f) | {"rows": n} for f, n in zip(files, counted, strict=True)]
    for name in (name for source in sources for name in source.scratch):
        local.drop_table(name, force=True)
    scratch.drop(*(f"{n}_joined" for n in tables), *STEPS)
    return Ledger(
        rows,
        bought,
        totals_of(facts, bought),
        reasons_of(rows, facts),
        quarantine,
        inputs,
        checks,
        currency,
        digits,
        as_of,
        con,
        {name: one.rows for name, one in tables.items()},
        frames,
        database.name if database and con is not local else None,
    )


def _add_bills(
    local: ibis.BaseBackend,
    section: LedgerSection,
    currency: str,
    billing: Billing,
    as_of: date,
    readings: list[Reading],
    files: list[SourceFile | SourceTable],
    sources: list[Source],
) -> None:
    """Add the sources whose rows are the bills of contracts, which have been read by now, to those that were read."""
    for name, one in section.sources.items():
        if one.bills_of is None:
            continue
        billed = next(reading for reading in readings if reading.name == one.bills_of)
        made_of = bills_section(billed.section, one)
        place = {"file": len(files), "ordinal": sources[-1].end}
        # Without a day of the extract, what fell due after the as-of date is not known to have done so.
        until = max(as_of, billed.section.extracted or as_of)
        source = bills(local, billed, made_of, billing, until, **place)
        theirs = [file for file in files if file.source == one.bills_of]
        files += bill_files(theirs, name, len(source.rows_in))
        reading = Reading(name, made_of, section, currency, {}, date.max)
        readings.append(replace(reading, digits=_currencies(source, reading)))
        sources.append(source)


def _named_by_nobody(
    source: Source, reading: Reading, withhold: Callable | None
) -> tuple[Source, Reading, int]:
    left, erased = without_erased(source, reading, withhold)
    return left, reading, erased


def _joinable(scratch: Scratch, name: str, one: SideTable) -> ir.Table:
    """The rows of a table beside the orders where the orders are."""
    if one.rows.get_backend() is scratch.con:
        return one.rows
    return scratch.table(f"{name}_joined", one.rows.to_pyarrow())


def _read(
    local: ibis.BaseBackend,
    database: Database | None,
    section: LedgerSection,
    base: Path,
    currency: str,
    today: date,
    banned: Collection[str],
) -> tuple[list[Reading], list[SourceFile | SourceTable], list[Source]]:
    """Every source: what it is made of, its rows, and what decides how they are typed."""
    readings, files, sources, ordinal = [], [], [], 0
    read = [(name, one) for name, one in section.by_name().items() if one.bills_of is None]
    for number, (name, one) in enumerate(read):
        place = Place(number, len(files), ordinal, tuple(banned))
        if one.database is not None:
            found = [open_table(database, name, one, banned)]
            sources.append(read_table(found[0], one, place, local))
        else:
            found = source_files(one, base, name if section.sources else None)
            with _reading_files(name, one, base):
                one, notes = settled(one, found, name if section.sources else None)
                sources.append(read_source(local, found, one, place))
            sources[-1].notes[:0] = notes
        files, ordinal = files + found, sources[-1].end
        reading = Reading(name, one, section, currency, {}, one.extracted or today)
        with _reading_files(name, one, base):
            digits = _currencies(sources[-1], reading)
        readings.append(replace(reading, digits=digits))
    return readings, files, sources


def _currencies(source: Source, reading: Reading) -> dict[str, int]:
    """Digits of the minor unit of every ISO currency that the source's rows are in."""
    fixed = reading.section.currency or reading.currency
    codes = {fixed}
    if reading.section.columns.currency:
        texts = source.rows.currency.upper()
        codes |= {
            code
            for code in source.rows.select(code=texts).distinct().to_pyarrow()["code"].to_pylist()
            if code
        }
    known = {code: minor_digits(code) for code in codes if is_currency(code)}
    return known if fixed in known else known | {fixed: minor_digits(fixed)}


def _typed(scratch: Scratch, orders: list[tuple[Reading, Source]], base: Path) -> ir.Table:
    """The lines of all sources, typed."""
    tables = []
    for reading, source in orders:
        with _reading_files(reading.name, reading.section, base), _reading_table(reading):
            rows = typed_rows(scratch, source, reading)
            tables.append(scratch.table(f"{reading.name}_typed", rows))
    return ibis.union(*tables) if len(tables) > 1 else tables[0]


@contextmanager
def _reading_files(name: str, section: SourceSection, base: Path) -> Iterator[None]:
    """What the engine says against a file, at whatever step it comes upon the damage, is an error of ours."""
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        if "No space left" in str(error):
            raise  # the disk that is spilled to, which is no fault of the file
        said = first_line(error)
        for folder in (base, base.resolve()):  # a message names places as the study does
            said = said.replace(f"{folder}{os.sep}", "")
        raise DataError(
            f"the source could not be read to its end: {said}",
            place=section.path or name,
            fix="check that every file is complete; export damaged ones again",
        ) from error


def _reading_table(reading: Reading) -> AbstractContextManager:
    """What a server says against a table is an error of ours."""
    if reading.section.database is None:
        return nullcontext()
    fix = (
        "look at the columns and their types, and ask for the right to read them and to make temporary tables"
    )
    return refusing(reading.section.relation or "ledger.query", fix)


def _has_refunds(lines: ir.Table) -> bool:
    return lines.filter(lines.reason.isnull() & (lines.amount_minor < 0)).limit(1).count().execute() > 0


def _netted(scratch: Scratch, lines: ir.Table, section: LedgerSection, as_of: date) -> ir.Table:
    """Refunds on the day of the orders that they take back; orders are looked for in the sources that share their ids."""
    shared = lines.rename(own="source").mutate(source=lines.space)
    matches = scratch.table("matches", match_refunds(shared, section.refunds, as_of))
    netted = net_lines(shared, matches, section.refunds, as_of)
    # A refund of an order that a policy leaves out with its customer is left out with it.
    out = (netted.account.isnull() & (netted.reason == "guest")) | netted.reason.startswith("customer:")
    orders = netted.filter(out.fill_null(False) & netted.order_id.notnull())
    orders = orders.group_by("source", "order_id").agg(of_order=first_text(orders.reason))
    netted = netted.left_join(orders, ["source", "order_id"]).drop("source_right", "order_id_right")
    lost = (netted.reason == "refund_unmatched").fill_null(False) & netted.of_order.notnull()
    netted = netted.mutate(
        reason=ibis.ifelse(lost, netted.of_order, netted.reason), quarantined=netted.quarantined & ~lost
    ).drop("of_order")
    return netted.drop("source").rename(source="own")


def _counted_once(
    scratch: Scratch,
    lines: ir.Table,
    copies: ir.Table,
    section: LedgerSection,
    files: int,
    as_of: date | None,
) -> ir.Table:
    """Rows that an earlier file has too, and dropped copies, with the reason why they do not count.

    ``as_of`` is None where no row has a day of loading.
    """
    gone = []
    if section.overlaps == "once" and files > 1:
        gone.append(scratch.table("overlaps", overlapping(lines, as_of)))
    if section.duplicate_lines == "drop":
        gone.append(copies.select("ordinal", reason=ibis.literal("duplicate_line")))
    if not gone:
        return lines
    marked = ibis.union(*gone) if len(gone) > 1 else gone[0]
    marked = marked.group_by("ordinal").agg(why=last_text(marked.reason))
    both = lines.left_join(marked, "ordinal").drop("ordinal_right")
    # Before the policy that leaves a row out: a copy of a guest's row is no second guest.
    return both.mutate(reason=ibis.coalesce(both.why, both.reason)).drop("why")


def _refuse_useless(
    facts: Facts,
    rows: ir.Table,
    quarantine: pd.DataFrame,
    readings: list[Reading],
    as_of: date,
    files: list[SourceFile | SourceTable],
) -> None:
    if facts.rows["used"]:
        return
    if facts.rows["quarantined"] == facts.rows_in:
        worst = max(facts.reasons, key=lambda r: (facts.reasons[r], r))
        first = quarantine[quarantine["reason"] == worst].iloc[0]
        kind = next((file.format for file in files if file.name == first["file"]), "csv")
        place = "line" if kind == "csv" else "row"
        shown = f", such as {first['value']!r}" if first["value"] else ""
        raise DataError(
            f"none of the source's rows ({facts.rows_in:,}) can be used; the most common reason "
            f"({count(facts.reasons[worst], 'row')}): {meaning(worst)}{shown}",
            place=f"{first['file']}: {place} {first['row']}",
            fix=hint(worst, facts.reason_values[worst], readings[0].section),
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
        place=readings[0].section.path or readings[0].name,
        fix="look at ledger.zero_amounts, ledger.negative_amounts and ledger.columns.amount",
    )
