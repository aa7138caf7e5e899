"""Artifacts of the store without a person: rows go, and cells lose the person's share.

A cell with a single customer is that customer's own row; one with several holds a share of each. From both the person
is taken out: ``n`` less one, the sums less the person's amounts, and a cell that is left empty goes. What the share is
comes from the purchases of the ledger that the cells were made from. Where that cannot be told, the artifact is removed
as a whole: it is made again when it is needed.
"""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clvkit.customers import CELL_KEYS
from clvkit.erasure.person import Person

LABEL = "artifact.json"

#: By kind of artifact: the columns that a cell is known by, and the sums over its customers.
CELLS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "cells": (tuple(CELL_KEYS), ("spend_minor", "first_minor")),
    "spend_cells": (("frequency", "spend_minor"), ()),
    "score_cells": ((*CELL_KEYS, "spend_minor"), ()),
    "scores": ((*CELL_KEYS, "spend_minor"), ()),
    "averaged": ((*CELL_KEYS, "spend_minor"), ()),
}
#: Fitted to the customers: to be fitted again without the person.
REFIT = ("fit", "fit_by_segment", "fit_with_covariates", "spend", "spend_by_segment", "backtests")


class CannotTell(Exception):
    """The person's share in a table is not known."""


def labels(store: Path) -> dict[str, dict]:
    """The label of every artifact that has a readable one, by key."""
    found = {}
    for path in sorted(store.glob(f"*/{LABEL}")):
        try:
            label = json.loads(path.read_text("utf-8"))
            if label["key"] == path.parent.name:
                found[label["key"]] = label
        except (ValueError, KeyError, TypeError):
            continue  # a broken label is no artifact: the store makes it again, and its files are searched alone
    return found


def ledger_of(key: str, known: dict[str, dict]) -> str | None:
    """Key of the ledger that an artifact was made from, by way of what it needs."""
    label = known.get(key)
    if label is None:
        return None
    if label["kind"] == "ledger":
        return key
    found = (ledger_of(need, known) for need in label["ingredients"].get("needs", {}).values())
    return next((ledger for ledger in found if ledger), None)


def dependents(keys: set[str], known: dict[str, dict]) -> set[str]:
    """Artifacts made from these, at any remove."""
    found: set[str] = set()
    while more := {
        key
        for key, label in known.items()
        if key not in found and (keys | found) & set(label["ingredients"].get("needs", {}).values())
    }:
        found |= more
    return found - keys


def without_share(table: pa.Table, kind: str, shares: list[dict]) -> pa.Table:
    """A table of cells without the person's share.

    Raises
    ------
    CannotTell : the cell is not there, or the table has columns of which nobody says how they add up.
    """
    keys, sums = CELLS[kind]
    if kind != "scores" and set(table.column_names) != {*keys, *sums, "n"}:
        raise CannotTell
    for share in shares:
        here = np.ones(len(table), bool)
        for key in keys:
            here &= pc.fill_null(pc.equal(table[key], share[key]), False).to_numpy(zero_copy_only=False)
        (places,) = np.nonzero(here)
        if len(places) != 1:
            raise CannotTell
        for name, less in (("n", 1), *((name, share[name]) for name in sums)):
            values = table[name].to_numpy().copy()
            values[places[0]] -= less
            at = table.column_names.index(name)
            table = table.set_column(
                at, table.schema.field(at), pa.array(values, table.schema.field(at).type)
            )
        table = table.filter(pc.greater(table["n"], 0))
    return table


def shares_of(purchases: Path, as_of: date, person: Person) -> list[dict]:
    """The customer summary of the person alone, one entry for each pseudonym that bought by ``as_of``.

    Raises
    ------
    CannotTell : the purchases are not there.
    """
    from clvkit.customers import customer_summary
    from clvkit.ledger.engine import connect

    if not purchases.is_file():
        raise CannotTell
    con = connect()
    try:
        bought = con.read_parquet(str(purchases))
        theirs = bought.filter(bought.customer.cast("string").isin(sorted(person.names)))
        return customer_summary(theirs, as_of).to_pyarrow().to_pylist() if person.names else []
    finally:
        con.disconnect()


def rewrite_cells(folder: Path, target: Path, label: dict, known: dict[str, dict], person: Person) -> bool:
    """Write a cell table without the person to ``target``; whether the person was in it.

    Raises
    ------
    CannotTell : see `shares_of` and `without_share`.
    """
    kind, ledger = label["kind"], ledger_of(label["key"], known)
    settings = label["ingredients"].get("settings", {})
    as_of, cut = settings.get("as_of"), settings.get("left_truncation", {})
    dated = cut.get("treatment") == "acquired"  # the purchases alone do not say how old who is
    if ledger is None or as_of is None or dated:
        raise CannotTell
    shares = shares_of(folder.parent / ledger / "purchases.parquet", date.fromisoformat(as_of), person)
    if kind == "spend_cells":  # only those who came back are in it
        shares = [share for share in shares if share["frequency"] >= 1]
    if not shares:
        return False
    if kind == "averaged":  # which of those who are alike it holds, the purchases do not say
        if pq.read_metadata(folder / "table.parquet").num_rows:
            raise CannotTell
        return False
    # One file by its handle: a path with an equals sign would be taken for a partition.
    table = without_share(pq.ParquetFile(folder / "table.parquet").read(), kind, shares)
    pq.write_table(table, target, compression="zstd")
    return True
