"""Whose each line is: accounts of the sources, and the customers that they belong to."""

from datetime import date
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pandas as pd

from clvkit.ledger.crosswalk import Crosswalk, known_members, save_members
from clvkit.ledger.identity import assign, resolve
from clvkit.ledger.lines import Reading
from clvkit.ledger.section import LedgerSection
from clvkit.ledger.source import Source
from clvkit.ledger.tables import links


def with_customers(
    con: ibis.BaseBackend,
    lines: ir.Table,
    sources: list[tuple[Reading, Source]],
    section: LedgerSection,
    folder: Path | None,
    *,
    as_of: date,
    base: Path,
) -> tuple[ir.Table, dict[str, pd.DataFrame]]:
    """Lines with their ``customer``, and what is to be shown of who is who.

    Parameters
    ----------
    folder : the crosswalk, which is read and kept up to date; customers are pseudonyms then. Without it they go by
        their accounts, and by source and account where there are several sources.
    """
    if folder is None:
        several = sum(reading.section.is_lines for reading, _ in sources) > 1
        name = lines.source + ":" + lines.account if several else lines.account
        return lines.mutate(customer=name), {}
    accounts = lines.filter(lines.account.notnull()).select("source", "account").distinct()
    if not section.identity.keys and not section.identity.crosswalk:
        who = assign(con, accounts, known_members(con, folder), as_of=as_of)
        save_members(con, who, folder)
        shown = {}
    else:
        said = [one for reading, _ in sources for one in links(con.table(f"{reading.name}_texts"), reading)]
        linked = ibis.union(*said) if len(said) > 1 else said[0]
        found = resolve(
            accounts, linked.distinct(), section.identity, Crosswalk.load(folder), as_of=as_of, base=base
        )
        found.save(folder)
        who = con.create_table("who", found.members, temp=True)
        shown = _shown(found)
    both = lines.left_join(who.select("source", "account", "customer"), ["source", "account"])
    return both.drop("source_right", "account_right"), shown


def _shown(found: Crosswalk) -> dict[str, pd.DataFrame]:
    """What a report says of a crosswalk; it names nobody."""
    events = found.events.groupby(["event", "key"], dropna=False).size().rename("events").reset_index()
    return {
        "identity_sizes": found.sizes(),
        "identity_events": events,
        "identity_review": found.review.drop(columns="customer"),
    }
