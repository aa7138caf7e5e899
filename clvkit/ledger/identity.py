"""From accounts to customers: keys that accounts share, and customer ids that stay as they are.

A customer is known by a random pseudonym. An account keeps the one it has; new evidence can merge customers or
take one apart, and each time an event says so.
"""

import secrets
from collections.abc import Collection
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from clvkit.ledger.crosswalk import EVENT_COLUMNS, MEMBERS, REVIEW_COLUMNS, Crosswalk, new_pseudonyms
from clvkit.ledger.engine import Scratch
from clvkit.ledger.identity_customers import Naming, merge_ranks, name_pieces
from clvkit.ledger.identity_graph import Links, comparable, masked
from clvkit.ledger.identity_tables import Tabular, number_accounts, outside_crosswalk, texts
from clvkit.ledger.policies import IdentitySection

if TYPE_CHECKING:
    import ibis
    import ibis.expr.types as ir


def resolve(
    accounts: Tabular,
    links: Tabular | None,
    section: IdentitySection,
    previous: Crosswalk | None = None,
    *,
    as_of: date,
    base: Path = Path(),
    followers: Collection[str] = (),
) -> Crosswalk:
    """Find the customer of every account.

    Parameters
    ----------
    accounts : distinct ``source, account`` (pandas, Arrow or Ibis); rows without either are passed over.
    links : distinct ``source, account, kind, value``; kinds that the section does not name are passed over.
    previous : the crosswalk of the last run. Accounts it has and this run has not stay with their customer.
    as_of : the run's as-of date; the day since when new accounts are known.
    base : folder from which the path of an outside crosswalk counts.
    followers : sources whose accounts buy nothing, as billing accounts beside orders. They go with the customers that
        the others make, and count in no limit.

    Raises
    ------
    DataError : a table has not the columns it needs, or the outside crosswalk contradicts itself.
    """
    previous = previous or Crosswalk.empty()
    before = previous.members
    mine = texts(accounts, ("source", "account"), "accounts")
    keys = texts(links, ("source", "account", "kind", "value"), "links", none_is_empty=True)
    keys = keys.filter(pc.is_in(keys["kind"], value_set=pa.array(section.keys, pa.large_string())))
    outside = outside_crosswalk(section.crosswalk, base)
    names, (_, in_run, in_links, in_outside) = number_accounts(before, mine, keys, outside)
    count = len(names)
    in_outside, theirs = (
        in_outside[in_outside < count],
        outside["customer"].filter(pa.array(in_outside < count)),
    )

    old = before["customer"].combine_chunks().dictionary_encode()
    known, since = np.full(count, -1, np.int64), np.zeros(count, np.int64)
    known[: len(before)] = old.indices
    since[: len(before)] = before["since"].cast(pa.int32())
    present = np.zeros(count, bool)
    for nodes in (in_run, in_links, in_outside):
        present[nodes] = True

    weight = np.ones(count, np.int64)
    if followers:
        weight[
            np.asarray(pc.is_in(names["source"], value_set=pa.array(sorted(followers), pa.large_string())))
        ] = 0
    graph = _links(in_links, keys, in_outside, theirs, weight, section)
    piece, notes = _decide(graph, known, section)
    naming = name_pieces(piece, present, known, since, names)
    pseudonyms = pa.chunked_array([old.dictionary, new_pseudonyms(naming.new)], pa.large_string())
    days = pa.chunked_array(
        [before["since"].combine_chunks(), pa.repeat(pa.scalar(as_of), count - len(before))], pa.date32()
    )
    customer = pseudonyms.take(pa.array(naming.customer))
    return Crosswalk(
        pa.table([names["source"], names["account"], customer, days], schema=MEMBERS),
        pd.concat([previous.events, _events(naming, piece, known, graph, pseudonyms, section, as_of)])
        if len(naming.merges) + len(naming.splits)
        else previous.events,
        _review(notes, graph, naming.customer, pseudonyms, section),
        previous.erased,
    )


def as_remembered(found: Crosswalk, previous: Crosswalk, as_of: date) -> Crosswalk:
    """What of ``found`` is kept for later runs: all of it, unless it looks back.

    As of a date before those that ``previous`` knows, customers come apart again whose link was not known then. That
    holds for this run alone: they stay one customer, and the parts' pseudonyms are noted as merged into it, so that who
    asks for the customer finds them.
    """
    known = [
        *pc.unique(previous.members["since"]).to_pylist(),
        *previous.events["as_of"].map(date.fromisoformat),
    ]
    new = found.events.iloc[len(previous.events) :]
    parted = new[new["event"] == "split"]
    if as_of >= max(known, default=as_of) or parted.empty:
        return found
    whole = dict(zip(parted["into"], parted["from"], strict=True))
    customer = found.members["customer"].to_pandas().replace(whole)
    members = found.members.set_column(2, "customer", pa.array(customer, pa.large_string()))
    back = parted.assign(event="merge", key="", **{"from": parted["into"], "into": parted["from"]})
    return replace(found, members=members, events=pd.concat([found.events, back], ignore_index=True))


def _links(
    node: np.ndarray,
    keys: pa.Table,
    in_outside: np.ndarray,
    theirs: pa.ChunkedArray,
    weight: np.ndarray,
    section: IdentitySection,
) -> Links:
    """The edges: accounts with the values they have, and with the outside customer they belong to."""
    nodes, ranks, values = [in_outside], [np.full(len(in_outside), -1, np.int64)], [theirs]
    for rank, kind in enumerate(section.keys):
        here = np.flatnonzero(pc.equal(keys["kind"], kind))
        value = comparable(keys["value"].take(pa.array(here)), kind)
        ignored = comparable(pa.array(section.ignore, pa.large_string()), kind).drop_null()
        good = pc.and_(pc.is_valid(value), pc.invert(pc.is_in(value, value_set=ignored)))
        nodes.append(node[here][np.asarray(good)])
        values.append(value.filter(good))
        ranks.append(np.full(len(nodes[-1]), rank, np.int64))
    chunks = [chunk for column in values for chunk in column.chunks]
    text = pa.chunked_array(chunks, pa.large_string()).combine_chunks().dictionary_encode()
    node, rank, words = np.concatenate(nodes), np.concatenate(ranks), text.indices.to_numpy().astype(np.int64)
    count = len(weight)
    value, distinct = pd.factorize((rank + 1) * max(len(text.dictionary), 1) + words)
    edge = np.sort(pd.unique(value * max(count, 1) + node))
    value, node = edge // max(count, 1), edge % max(count, 1)
    spelt = text.dictionary.take(pa.array(distinct % max(len(text.dictionary), 1)))
    return Links(node, value, distinct // max(len(text.dictionary), 1) - 1, spelt, count, weight)


def _decide(
    graph: Links, known: np.ndarray, section: IdentitySection
) -> tuple[np.ndarray, list[tuple[str, np.ndarray]]]:
    """Switch off values that must not link; returns the pieces, and what to review: reason and values."""
    shared = np.flatnonzero((graph.rank >= 0) & (graph.degree > section.max_accounts_per_key))
    graph.alive[shared] = False
    notes = [("shared", shared)]
    theirs = np.full(graph.nodes, -1, np.int64)
    stated = graph.rank[graph.value] < 0
    theirs[graph.node[stated]] = graph.value[stated]
    if stated.any():
        of_edge = pd.Series(theirs[graph.node]).where(lambda customer: customer >= 0)
        several = of_edge.groupby(graph.value).nunique() > 1
        torn = several.index[several].to_numpy()
        torn = torn[graph.alive[torn]]
        graph.alive[torn] = False
        notes.append(("conflict", torn))
    while True:
        piece = graph.pieces()
        for reason, bad in _too_much(graph, piece, theirs, section).items():
            weakened = graph.weaken(piece, bad)
            if len(weakened):
                notes.append((reason, weakened))
                break
        else:
            break
    return _hold_bridges(graph, piece, known, section, notes), notes


def _too_much(
    graph: Links, piece: np.ndarray, theirs: np.ndarray, section: IdentitySection
) -> dict[str, np.ndarray]:
    """By reason, which pieces join too much. The accounts of one outside customer count as one."""
    count = piece.max(initial=-1) + 1
    stated = np.flatnonzero(theirs >= 0)
    each = pd.DataFrame({"piece": piece[stated], "theirs": theirs[stated]}).drop_duplicates()
    customers = np.bincount(each["piece"], minlength=count)
    size = np.bincount(piece[theirs < 0], graph.weight[theirs < 0], minlength=count) + customers
    return {"conflict": customers > 1, "oversize": size > section.max_cluster}


def _hold_bridges(
    graph: Links, piece: np.ndarray, known: np.ndarray, section: IdentitySection, notes: list
) -> np.ndarray:
    """Note the bridges; hold those that would join what was not one customer before, the weakest first."""
    while True:
        found = graph.bridges(piece, known)
        new = found[~found["old"]]
        if section.bridges == "link" or new.empty:
            notes.append(("bridge", found["value"].to_numpy()))
            return piece
        new = new.assign(
            weakness=graph.weakness()[new["value"]],
            text=graph.text.take(pa.array(new["value"])).to_pandas().to_numpy(),
        )
        new = new.sort_values(["weakness", "text"], ascending=[False, True]).drop_duplicates("piece")
        held = new["value"].to_numpy()
        graph.alive[held] = False
        notes.append(("bridge", held))
        piece = graph.pieces()


def _events(
    naming: Naming,
    piece: np.ndarray,
    known: np.ndarray,
    graph: Links,
    pseudonyms: pa.ChunkedArray,
    section: IdentitySection,
    as_of: date,
) -> pd.DataFrame:
    kinds = np.array([*section.keys, "crosswalk"], object)
    merges = naming.merges.assign(event="merge", key=kinds[merge_ranks(naming.merges, piece, known, graph)])
    both = pd.concat([merges, naming.splits.assign(event="split", key="")])
    for column, numbers in (("from", both["customer"]), ("into", both["into"])):
        both[column] = pseudonyms.take(pa.array(numbers)).to_pandas().to_numpy()
    return both.assign(as_of=as_of.isoformat())[list(EVENT_COLUMNS)]


def _review(
    notes: list[tuple[str, np.ndarray]],
    graph: Links,
    customer: np.ndarray,
    pseudonyms: pa.ChunkedArray,
    section: IdentitySection,
) -> pd.DataFrame:
    frames = [pd.DataFrame({"reason": reason, "number": values}) for reason, values in notes if len(values)]
    if not frames:
        return Crosswalk.empty().review
    found = pd.concat(frames)
    number = found["number"].to_numpy()
    text = graph.text.take(pa.array(number)).to_pylist()
    kinds = [section.keys[rank] for rank in graph.rank[number]]
    node = np.zeros(len(graph.rank), np.int64)
    node[graph.value[::-1]] = graph.node[::-1]
    found = found.assign(
        kind=kinds,
        text=text,
        value=[masked(value, kind) for value, kind in zip(text, kinds, strict=True)],
        accounts=graph.degree[number],
        links=graph.alive[number],
        customer=pseudonyms.take(pa.array(customer[node[number]])).to_pandas().to_numpy(),
    )
    order = ["reason", "accounts", "kind", "text"]
    found = found.sort_values(order, ascending=[True, False, True, True], ignore_index=True)
    return found[list(REVIEW_COLUMNS)]


def assign(
    con: "ibis.BaseBackend",
    accounts: "ir.Table",
    known: "ir.Table | None" = None,
    *,
    as_of: date,
    name: str | None = None,
) -> "ir.Table":
    """Give every account of a source without keys a customer of its own, in the engine.

    Parameters
    ----------
    con : the engine of both tables.
    accounts : ``source, account``; rows without an account are guests and get no customer.
    known : what this returned, or was saved, the last time; its accounts keep their customer.
    as_of : the day since when new accounts are known.
    name : of the table to make, which stays; without one it is temporary where the engine has such tables.

    Returns
    -------
    Table of ``source, account, customer, since``: the known ones and the new ones.
    """
    import ibis

    seen = accounts.filter(accounts.account.notnull())
    seen = seen.select(source=seen.source.cast("string"), account=seen.account.cast("string")).distinct()
    new = seen
    if known is not None:  # no anti-join: PostgreSQL is not given one it reads
        there = known.select("source", "account", there=ibis.literal(True))
        new = seen.left_join(there, ["source", "account"])
        new = new.filter(new.there.isnull()).select("source", "account")
    new = new.mutate(customer=_random_text(con).replace("-", ""), since=ibis.date(as_of))
    if known is not None:
        new = known.select("source", "account", "customer", "since").union(new)
    # A table, not an expression: an engine would draw again each time that it is asked.
    if name is None and con.name == "pyspark":
        return Scratch(con).table("customers", new)
    return con.create_table(name or f"customers_{secrets.token_hex(6)}", new, temp=name is None)


def _random_text(con: "ibis.BaseBackend") -> "ir.StringValue":
    import ibis

    if con.has_operation(ibis.expr.operations.RandomUUID):
        return ibis.uuid().cast("string")

    @ibis.udf.scalar.builtin(name="uuid")
    def spark_uuid() -> str:
        """Spark has the function; Ibis has no name for it there."""

    return spark_uuid()


def merge_effect(before_cells: pd.DataFrame, after_cells: pd.DataFrame) -> pd.DataFrame:
    """What merging accounts did to the customers that are counted.

    Parameters
    ----------
    before_cells, after_cells : cells with every account as one customer, and with customers as resolved.

    Returns
    -------
    Two rows, ``before`` and ``after``, in ``when``: ``customers``, ``repeat_share`` (customers with a repeat
    purchase, of all), ``purchases_per_customer`` (mean, the first one included); missing without customers.
    """
    rows = []
    for when, cells in (("before", before_cells), ("after", after_cells)):
        customers = int(cells["n"].sum())
        repeaters = int(cells.loc[cells["frequency"] >= 1, "n"].sum())
        purchases = int((cells["n"] * (cells["frequency"] + 1)).sum())
        of_all = (repeaters / customers, purchases / customers) if customers else (np.nan, np.nan)
        rows.append((when, customers, *of_all))
    return pd.DataFrame(rows, columns=["when", "customers", "repeat_share", "purchases_per_customer"])
