"""Whose each line is: accounts of the sources, and the customers that they belong to."""

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from clvkit.errors import DataError
from clvkit.ledger.crosswalk import Crosswalk, known_members, save_members
from clvkit.ledger.engine import Scratch
from clvkit.ledger.identity import as_remembered, assign, resolve
from clvkit.ledger.identity_tables import read_small_table
from clvkit.ledger.lines import Reading, any_of
from clvkit.ledger.policies import IdentitySection
from clvkit.ledger.section import LedgerSection
from clvkit.ledger.side_accounts import kept_names
from clvkit.ledger.source import Source
from clvkit.ledger.states import known
from clvkit.ledger.tables import links


def with_customers(
    scratch: Scratch,
    lines: ir.Table,
    sources: list[tuple[Reading, Source]],
    section: LedgerSection,
    folder: Path | None,
    texts: dict[str, ir.Table],
    *,
    as_of: date,
    base: Path,
    beside: Sequence[ir.Table] = (),
    withhold: Callable[[ir.Table], ir.Table] | None = None,
) -> tuple[ir.Table, dict[str, pd.DataFrame]]:
    """Lines with their ``customer``, and what is to be shown of who is who.

    Parameters
    ----------
    folder : the crosswalk, which is read and kept up to date; customers are pseudonyms then. Without it they go by
        their accounts, and by source and account where there are several sources.
    texts : the rows of each source as read.
    beside : further ``source, account`` that are somebody's: those of tables beside the orders.
    withhold : takes the names of people who were erased off rows; nothing that a source says of them is used.
    """
    if folder is None:
        several = sum(reading.section.is_lines for reading, _ in sources) > 1
        name = lines.source + ":" + lines.account if several else lines.account
        return lines.mutate(customer=name), {}
    accounts = lines.filter(lines.account.notnull()).select("source", "account").distinct()
    if beside:
        accounts = ibis.union(accounts, *beside, distinct=True)
    if not section.identity.keys and not section.identity.crosswalk:
        who = assign(scratch.con, accounts, known_members(scratch.con, folder), as_of=as_of)
        save_members(scratch.con, who, folder)
        shown = {}
    else:
        patterns = tuple(one for named in section.excluded_customers.values() for one in named)
        late = lines.filter(~known(lines, as_of)).select("ordinal", late=ibis.literal(True))
        read = {r.name: _so_far(texts[r.name], late) if r.section.columns.loaded else texts[r.name]
                for r, _ in sources}  # fmt: skip
        said = [one for reading, _ in sources for one in links(read[reading.name], reading)]
        # A key that stands beside an account of nobody says nothing of the others who have it.
        said = [one.filter(~any_of(one.account, patterns)) for one in said] if patterns else said
        said = [kept_names(one, withhold) for one in said] if withhold else said
        before = Crosswalk.load(folder)
        names = {one.account_space for one in section.by_name().values() if one.account_space}
        followers = names - {r.name for r, _ in sources if r.section.is_lines}
        found = resolve(
            accounts, _together(said), section.identity, before, as_of=as_of, base=base, followers=followers
        )
        as_remembered(found, before, as_of).save(folder)
        who = scratch.table("who", found.members)
        shown = _shown(found)
    both = lines.left_join(who.select("source", "account", "customer"), ["source", "account"])
    return both.drop("source_right", "account_right"), shown


def _so_far(texts: ir.Table, late: ir.Table) -> ir.Table:
    """The rows that are not in ``late``: what was loaded after the as-of date says nothing of who is who before it."""
    both = texts.left_join(late, "ordinal")  # no anti-join: PostgreSQL is not given one it reads
    return both.filter(both.late.isnull()).select(*texts.columns)


def _together(said: list[ir.Table]) -> ir.Table | pa.Table | None:
    """Links of all sources, which may lie in two engines, each once; None where an outside crosswalk stands alone."""
    if not said:
        return None
    engines = {id(one.get_backend()) for one in said}
    if len(engines) == 1:
        return (ibis.union(*said) if len(said) > 1 else said[0]).distinct()
    every = pa.concat_tables([one.to_pyarrow() for one in said], promote_options="permissive")
    return every.group_by(every.column_names).aggregate([])


def _shown(found: Crosswalk) -> dict[str, pd.DataFrame]:
    """What a report says of a crosswalk; it names nobody."""
    events = found.events.groupby(["event", "key"], dropna=False).size().rename("events").reset_index()
    return {
        "identity_sizes": found.sizes(),
        "identity_events": events,
        "identity_review": found.review.drop(columns="customer"),
    }


def with_confidence(
    summary: ir.Table, section: IdentitySection, accounts: ir.Table | None, base: Path
) -> ir.Table:
    """The customer summary with ``identity_confidence``: the least that the outside crosswalk says of an account.

    Parameters
    ----------
    accounts : ``source, account, customer``; None where customers go by their accounts.
    base : folder from which the path of the outside crosswalk counts.

    A customer of whom it says nothing rests on exact keys alone, and has 1; so has everybody where it has no column
    ``confidence``.

    Raises
    ------
    DataError : a confidence is not between 0 and 1.
    """
    sure = summary.mutate(identity_confidence=ibis.literal(1.0))
    if section.crosswalk is None or accounts is None:
        return sure
    place = "ledger.identity.crosswalk"
    table = read_small_table(section.crosswalk, base, place, ("source", "account", "customer"))
    if "confidence" not in table.column_names:
        return sure
    said = table.select(["source", "account", "confidence"]).to_pandas()
    said["confidence"] = pd.to_numeric(said["confidence"], errors="coerce")
    if not said["confidence"].between(0, 1).all():
        raise DataError(
            "every confidence must be a number between 0 and 1",
            place=section.crosswalk,
            fix="write 0.9 where nine in ten such links are right, and 1 where there is no doubt",
        )
    both = accounts.join(ibis.memtable(said), ["source", "account"])
    least = both.group_by("customer").agg(least=both.confidence.min())
    found = summary.left_join(least, "customer")
    return found.select(*summary.columns, identity_confidence=found.least.fill_null(1.0))
