"""From pieces of accounts to customers that keep their names: who survives a merge, who keeps the id in a split."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from clvkit.ledger.identity_graph import Links


@dataclass(frozen=True)
class Naming:
    """Customers as numbers: the known ones first, then ``new`` ones.

    ``customer`` is each node's. ``merges`` and ``splits`` have ``customer`` (the one that was), ``into`` and the
    ``piece`` in which it happened.
    """

    customer: np.ndarray
    new: int
    merges: pd.DataFrame
    splits: pd.DataFrame


def name_pieces(
    piece: np.ndarray, present: np.ndarray, known: np.ndarray, since: np.ndarray, names: pa.Table
) -> Naming:
    """Give every piece a customer.

    Parameters
    ----------
    piece : number of the piece each node is in.
    present : whether the node is in this run's accounts; nodes that are not follow their customer.
    known : the customer (number from 0) the node had, -1 for none.
    since : the day number since when the node is known, for nodes with a customer.
    names : ``source, account`` of each node; settles what is otherwise equal, whatever the order of rows.

    The largest part of a customer keeps it (then the one known longer). Where a piece keeps several, the one known
    longest survives (then the one with more accounts).
    """
    count = known.max(initial=-1) + 1
    old = known >= 0
    # Most accounts are alone and stay so.
    alone = old & present & (np.bincount(piece)[piece] == 1)
    alone[old] &= np.bincount(known[old])[known[old]] == 1
    old = np.flatnonzero(old & ~alone)
    whole = pd.DataFrame({"customer": known[old], "since": since[old], "node": old})
    seen = whole[present[old]].assign(piece=piece[old][present[old]])
    parts = seen.groupby(["customer", "piece"], sort=True).agg(
        size=("node", "size"), since=("since", "min"), node=("node", "min")
    )
    parts = parts.reset_index()
    torn = parts["customer"].duplicated(keep=False)
    kept = _first_by(parts[torn], "customer", ["size", "since"], [False, True], seen, names)
    owns = pd.concat([parts[~torn], kept])

    shared = owns["piece"].duplicated(keep=False)
    rivals = owns.loc[shared, ["customer", "piece"]]
    total = whole[whole["customer"].isin(rivals["customer"])].groupby("customer")
    rivals = rivals.merge(
        total.agg(size=("node", "size"), since=("since", "min")).reset_index(), on="customer"
    )
    survives = _first_by(rivals, "piece", ["since", "size"], [True, False], seen, names)

    of_piece = np.full(piece.max(initial=-1) + 1, -1, np.int64)
    of_piece[piece[alone]] = known[alone]
    for owner in (owns[~shared], survives):
        of_piece[owner["piece"]] = owner["customer"]
    unowned = np.zeros(len(of_piece), bool)
    unowned[piece[present & (of_piece[piece] < 0)]] = True
    fresh = np.flatnonzero(unowned)
    of_piece[fresh] = count + np.arange(len(fresh))

    follows = np.arange(count)
    follows[owns["customer"]] = of_piece[owns["piece"]]
    customer = np.where(present, of_piece[piece], -1)
    customer[~present] = follows[known[~present]]
    merges = rivals[["customer", "piece"]].assign(into=of_piece[rivals["piece"]])
    splits = parts[torn][["customer", "piece"]].assign(into=of_piece[parts.loc[torn, "piece"]])
    left = splits.merge(kept[["customer", "piece"]], how="left", indicator=True)["_merge"] == "left_only"
    return Naming(
        customer,
        len(fresh),
        merges[merges["customer"] != merges["into"]].reset_index(drop=True),
        splits[left.to_numpy()].reset_index(drop=True),
    )


def _first_by(
    rows: pd.DataFrame, group: str, by: list[str], ascending: list[bool], seen: pd.DataFrame, names: pa.Table
) -> pd.DataFrame:
    """Of each group the first row; equal ones go by the first (source, account) of their nodes."""
    if rows.empty:
        return rows
    nodes = seen.merge(rows[["customer", "piece"]], on=["customer", "piece"])
    text = names.take(pa.array(nodes["node"])).to_pandas()
    nodes = nodes.assign(source=text["source"], account=text["account"])
    nodes = nodes.sort_values(["source", "account"]).drop_duplicates(["customer", "piece"])
    rows = rows.merge(nodes[["customer", "piece", "source", "account"]], on=["customer", "piece"])
    rows = rows.sort_values([*by, "source", "account"], ascending=[*ascending, True, True])
    return rows.drop_duplicates(group)[["customer", "piece"]]


def merge_ranks(merges: pd.DataFrame, piece: np.ndarray, known: np.ndarray, links: Links) -> np.ndarray:
    """The strongest rank of the values by which each merged customer hangs together with others of its piece."""
    edges = links.live & np.isin(piece[links.node], merges["piece"])
    each = pd.DataFrame({"value": links.value[edges], "customer": known[links.node[edges]]})
    joins = each.groupby("value")["customer"].transform("nunique") > 1
    each = each[joins].assign(rank=links.rank[each.loc[joins, "value"]])
    best = each.groupby("customer")["rank"].min()
    return best.reindex(merges["customer"]).to_numpy()
