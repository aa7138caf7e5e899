"""Whose the rows of a table beside the orders are: by an account of a source or of a space of its own, or by an address."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from clvkit.ledger.crosswalk import known_members
from clvkit.ledger.lines import Reading
from clvkit.ledger.source import Source
from clvkit.ledger.tables import SideTable

#: Stands for the source of an address; no source can be called so.
ADDRESS = "@"

Withhold = Callable[[ir.Table], ir.Table]


def kept_names(named: ir.Table, withhold: Withhold) -> ir.Table:
    """The rows of ``named`` (``source, account``, and further columns) but those of people who were erased."""
    left = _asked(named, withhold)
    return named if left is None else left.filter(left.reason.isnull()).select(*named.columns)


def _asked(named: ir.Table, withhold: Withhold) -> ir.Table | None:
    """``named`` with a reason where the person was erased; None while nobody was."""
    asked = named.mutate(reason=ibis.null("string"), quarantined=ibis.literal(False))
    left = withhold(asked)
    return None if left is asked else left


def without_erased(source: Source, reading: Reading, withhold: Withhold | None) -> tuple[Source, int]:
    """A source beside the orders without the rows of erased people, and how many those are."""
    if withhold is None:
        return source, 0
    gone: set[int] = set()
    for named in _named(source.rows, reading):
        left = _asked(named, withhold)
        if left is None:
            return source, 0
        gone |= set(left.filter(left.reason.notnull()).ordinal.to_pyarrow().to_pylist())
    if not gone:
        return source, 0
    return replace(source, rows=source.rows.filter(source.rows.ordinal.notin(sorted(gone)))), len(gone)


def _named(rows: ir.Table, reading: Reading) -> Iterator[ir.Table]:
    """``ordinal, source, account`` of what the rows name, one table for each column that names somebody."""
    section, accounts = reading.section, [f"account_{name}" for name in reading.section.accounts]
    for name in section.accounts:
        yield _pairs(rows, name, rows[f"account_{name}"])
    if "customer" in section.fields:
        space = section.account_space
        yield _pairs(rows, space or ADDRESS, rows.customer if space else address(rows.customer))
    if section.holds == "customers":  # a row with accounts is theirs who have them, whoever has the address
        alone = rows.filter(*(rows[one].isnull() for one in accounts)) if accounts else rows
        for kind in section.keys:
            yield _pairs(alone, ADDRESS, address(alone[f"key_{kind}"]))


def _pairs(rows: ir.Table, source: str, account: ir.StringValue) -> ir.Table:
    found = rows.select("ordinal", source=ibis.literal(source), account=account.cast("string"))
    return found.filter(found.account.notnull())


def address(text: ir.StringValue) -> ir.StringValue:
    """An address as the list of erased people has it: without capitals and spaces around it."""
    return text.strip().lower()


def accounts_beside(tables: dict[str, SideTable], readings: Iterable[Reading]) -> list[ir.Table]:
    """``source, account`` of the tables that say whose accounts their customers are."""
    found = []
    for reading in readings:
        space = reading.section.account_space
        if space and reading.name in tables:
            rows = tables[reading.name].rows
            pairs = rows.select(source=ibis.literal(space), account=rows.customer).distinct()
            found.append(ibis.memtable(pairs.to_pyarrow().cast(_PAIRS)))
    return found


_PAIRS = pa.schema([("source", pa.string()), ("account", pa.string())])


def with_pseudonyms(
    con: ibis.BaseBackend, tables: dict[str, SideTable], readings: Iterable[Reading], folder: Path | None
) -> dict[str, SideTable]:
    """The tables with their ``customer`` as the crosswalk has it, where they say whose accounts these are."""
    declared = {one.name: one.section.account_space for one in readings if one.section.account_space}
    if folder is None or not declared:
        return tables
    members = known_members(con, folder)
    done = {}
    for name, one in tables.items():
        if name in declared:
            theirs = members.filter(members.source == declared[name])
            theirs = theirs.select(account="account", pseudonym="customer")
            both = one.rows.left_join(theirs, one.rows.customer == theirs.account)
            both = both.mutate(customer=both.pseudonym).select(*one.rows.columns)
            # A table: the members are rewritten by later runs.
            one = replace(one, rows=con.create_table(f"{name}_named", both))
        done[name] = one
    return done
