"""Whose each line is: accounts of the sources, and the customers that they belong to."""

from datetime import date
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from clvkit.ledger.crosswalk import Crosswalk, known_members, save_members
from clvkit.ledger.engine import Scratch
from clvkit.ledger.identity import assign, resolve
from clvkit.ledger.lines import Reading, any_of
from clvkit.ledger.section import LedgerSection
from clvkit.ledger.source import Source
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
) -> tuple[ir.Table, dict[str, pd.DataFrame]]:
    """Lines with their ``customer``, and what is to be shown of who is who.

    Parameters
    ----------
    folder : the crosswalk, which is read and kept up to date; customers are pseudonyms then. Without it they go by
        their accounts, and by source and account where there are several sources.
    texts : the rows of each source as read.
    """
    if folder is None:
        several = sum(reading.section.is_lines for reading, _ in sources) > 1
        name = lines.source + ":" + lines.account if several else lines.account
        return lines.mutate(customer=name), {}
    accounts = lines.filter(lines.account.notnull()).select("source", "account").distinct()
    if not section.identity.keys and not section.identity.crosswalk:
        who = assign(scratch.con, accounts, known_members(scratch.con, folder), as_of=as_of)
        save_members(scratch.con, who, folder)
        shown = {}
    else:
        patterns = tuple(one for named in section.excluded_customers.values() for one in named)
        said = [one for reading, _ in sources for one in links(texts[reading.name], reading)]
        # A key that stands beside an account of nobody says nothing of the others who have it.
        said = [one.filter(~any_of(one.account, patterns)) for one in said] if patterns else said
        found = resolve(
            accounts, _together(said), section.identity, Crosswalk.load(folder), as_of=as_of, base=base
        )
        found.save(folder)
        who = scratch.table("who", found.members)
        shown = _shown(found)
    both = lines.left_join(who.select("source", "account", "customer"), ["source", "account"])
    return both.drop("source_right", "account_right"), shown


def _together(said: list[ir.Table]) -> ir.Table | pa.Table:
    """Links of all sources, which may lie in two engines, each once."""
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
