"""Which accounts hang together: values of keys made comparable, and the pieces that they join.

A node is an account; an edge says that the account has a value. Everything is arrays: ten million accounts are
usual, and most have no value in common with anybody.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

#: Kinds whose values are compared in a form of their own; all others are stripped and lower-cased.
EMAILS, PHONES = ("email", "e-mail", "mail"), ("phone", "mobile", "telephone")
_SHORTEST_PHONE = 6


def comparable(values: pa.Array | pa.ChunkedArray, kind: str) -> pa.Array | pa.ChunkedArray:
    """The values of one kind in the form in which they are compared; null where they say nothing.

    E-mail addresses are stripped and lower-cased, and need an @. Of telephone numbers the digits count, without
    the 00 that stands for a plus; fewer than six digits, or one digit repeated, are not a number. A national
    and an international way of writing one number are not brought together: that would need its country.
    """
    text = pc.utf8_lower(pc.utf8_trim_whitespace(values))
    if kind in PHONES:
        text = pc.replace_substring_regex(text, r"[^0-9]", "")
        text = pc.replace_substring_regex(text, r"^00", "")
        said = pc.greater_equal(pc.binary_length(text), _SHORTEST_PHONE)
        same = "|".join(f"{digit}+" for digit in range(10))
        said = pc.and_(said, pc.invert(pc.match_substring_regex(text, f"^({same})$")))
    elif kind in EMAILS:
        said = pc.match_substring_regex(text, r"^[^@\s]+@[^@\s]+$")
    else:
        said = pc.greater(pc.binary_length(text), 0)
    return pc.if_else(said, text, pa.scalar(None, text.type))


def masked(value: str, kind: str) -> str:
    """A value as a report may show it: ``i***@a***``, ``***67``; of a short one, nothing."""
    if kind in EMAILS:
        local, _, domain = value.partition("@")
        return f"{local[:1]}***@{domain[:1]}***"
    return f"***{value[-2:]}" if len(value) >= _SHORTEST_PHONE else "***"


def _numbered(values: np.ndarray, below: int) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values, sorted, and the place of each value among them; all are from 0 to ``below``."""
    there = np.zeros(below, bool)
    there[values] = True
    return np.flatnonzero(there), (np.cumsum(there) - 1)[values]


@dataclass
class Links:
    """Accounts and the values they have: ``node[i]`` has ``value[i]``, each pair once.

    ``rank`` is a value's place in the study's list of keys (0: the strongest; -1: an outside crosswalk's
    customer, which nothing weakens), ``text`` what it says, ``alive`` says of each value whether it links.
    ``weight`` is 1 for an account that is counted where accounts are counted, and 0 for one that only follows the
    customers that the others make.
    """

    node: np.ndarray
    value: np.ndarray
    rank: np.ndarray
    text: pa.Array
    nodes: int
    weight: np.ndarray

    def __post_init__(self):
        self.degree = np.bincount(self.value, self.weight[self.node], minlength=len(self.rank)).astype(
            np.int64
        )
        self.alive = np.bincount(self.value, minlength=len(self.rank)) > 1

    @property
    def live(self) -> np.ndarray:
        """Which edges link."""
        return self.alive[self.value]

    def pieces(self, edges: np.ndarray | None = None) -> np.ndarray:
        """The piece of each node, numbered from 0, where only these edges (a mask) join."""
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        edges = self.live if edges is None else edges
        touched, node = _numbered(self.node[edges], self.nodes)
        used, value = _numbered(self.value[edges], len(self.rank))
        size = len(touched) + len(used)
        graph = coo_matrix((np.ones(len(node), np.int8), (node, value + len(touched))), shape=(size, size))
        found, labels = connected_components(graph, directed=False)
        piece = np.empty(self.nodes, np.int64)
        alone = np.ones(self.nodes, bool)
        alone[touched] = False
        piece[touched] = labels[: len(touched)]
        piece[alone] = found + np.arange(alone.sum())
        return piece

    def weakness(self) -> np.ndarray:
        """How weak each value is: later kinds before earlier ones, then by how many accounts share it."""
        return self.rank.astype(np.int64) * (self.degree.max(initial=0) + 1) + self.degree

    def weaken(self, piece: np.ndarray, too_much: np.ndarray) -> np.ndarray:
        """Take the weakest values out of the pieces in ``too_much`` (a mask over pieces); returns which."""
        edges = self.live & too_much[piece[self.node]] & (self.rank[self.value] >= 0)
        values = np.unique(self.value[edges])
        home = pd.Series(piece[self._first_node(edges, values)])
        weakness = pd.Series(self.weakness()[values])
        dropped = values[(weakness == weakness.groupby(home).transform("max")).to_numpy()]
        self.alive[dropped] = False
        return dropped

    def _first_node(self, edges: np.ndarray, values: np.ndarray) -> np.ndarray:
        node = np.empty(len(self.rank), np.int64)
        node[self.value[edges]] = self.node[edges]
        return node[values]

    def bridges(self, piece: np.ndarray, known: np.ndarray) -> pd.DataFrame:
        """Values that alone hold a piece together between two parts of at least two accounts each.

        ``known`` is the customer (a number) that each node had before, -1 for none. Returns ``value, piece,
        old``: whether an earlier run had accounts of two such parts as one customer.

        Takes the first value out of every piece at once, then the second, and so on: pieces do not touch each
        other, so that one search of components serves all of them.
        """
        size = np.bincount(piece, self.weight, minlength=piece.max(initial=-1) + 1)
        edges = self.live & (size[piece[self.node]] >= 4)
        nodes, node = _numbered(self.node[edges], self.nodes)
        part = Links(node, self.value[edges], self.rank, self.text, len(nodes), self.weight[nodes])
        piece, known = piece[nodes], known[nodes]
        values = np.unique(part.value)
        every = np.ones(len(node), bool)
        table = pd.DataFrame({"value": values, "piece": piece[part._first_node(every, values)]})
        # A bridge and one value on either side of it; an outside crosswalk's customers are no bridges.
        table = table[table.groupby("piece")["value"].transform("size") >= 3]
        table = table[self.rank[table["value"]] >= 0]
        turns = table.groupby("piece").cumcount().to_numpy()
        found = [table[:0].assign(old=False)]
        for turn in range(turns.max(initial=-1) + 1):
            out = table[turns == turn]
            here = np.isin(piece[part.node], out["piece"])
            taken = np.isin(part.value, out["value"])
            found.append(part._breaking(out, taken, part.pieces(here & ~taken), known))
        return pd.concat(found, ignore_index=True)

    def _breaking(
        self, out: pd.DataFrame, ends: np.ndarray, part: np.ndarray, known: np.ndarray
    ) -> pd.DataFrame:
        """Of the values in ``out``, whose edges are ``ends``: those without which there are large parts."""
        size = np.bincount(part, self.weight)
        each = pd.DataFrame({"value": self.value[ends], "node": self.node[ends]})
        each["part"], each["known"] = part[each["node"]], known[each["node"]]
        each = each[size[each["part"]] >= 2]
        parts = each.groupby("value")["part"].nunique()
        together = each[each["known"] >= 0].groupby(["value", "known"])["part"].nunique()
        old = together[together > 1].index.get_level_values("value")
        breaking = out[out["value"].isin(parts[parts > 1].index)]
        return breaking.assign(old=breaking["value"].isin(old))
