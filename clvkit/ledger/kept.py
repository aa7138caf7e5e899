"""Rows and purchases of a ledger that stay in the server they were made in.

They are tables ``clv_<token>_rows`` and ``clv_<token>_purchases`` of the default schema: on PostgreSQL the first of the
user's ``search_path``, on Spark the current database of the catalog.
"""

import json
import secrets
from pathlib import Path

import ibis
import ibis.expr.types as ir

from clvkit.errors import DataError
from clvkit.ledger.databases import open_database, refusing

KEPT = ("rows", "purchases")
_PLACE = "the ledger's tables"
_FIX = (
    "give the user a schema to create tables in, and make it the first of its search path (docs/cluster.md)"
)


def keep_tables(con: ibis.BaseBackend, tables: dict[str, ir.Table]) -> dict[str, str]:
    """Keep ``tables`` beyond the session; returns the name that each has there.

    Raises
    ------
    DataError : the user may not create tables.
    """
    token = secrets.token_hex(8)
    made: dict[str, str] = {}
    try:
        for name, table in tables.items():
            with refusing(_PLACE, _FIX):
                con.create_table(f"clv_{token}_{name}", table)
            made[name] = f"clv_{token}_{name}"
    except BaseException:
        for name in made.values():
            con.drop_table(name, force=True)
        raise
    return made


def open_kept(server: str, kept: dict[str, str], con: ibis.BaseBackend | None) -> dict[str, ir.Table]:
    """The tables that `keep_tables` made, in ``con`` or a new session of the server.

    Raises
    ------
    DataError : the server cannot be reached, or a table is gone.
    """
    con = con or open_database(server, Path()).con
    with refusing(_PLACE, "build the ledger again"):
        there = con.list_tables(like="clv_")
        if gone := [name for name in kept.values() if name not in there]:
            raise DataError(
                f"{server} no longer has the table {gone[0]}, which a saved ledger is made of",
                place=_PLACE,
                fix="build the ledger again: remove its folder under the study's store",
            )
        return {name: con.table(table) for name, table in kept.items()}


def forget_kept(folder: Path) -> list[str]:
    """Drop the tables in a server that the ledger saved in ``folder`` is made of; returns their names.

    To be called before the folder is removed. A ledger without such tables, or a folder without a ledger, has none.

    Raises
    ------
    DataError : the server cannot be reached, or does not allow it.
    """
    try:
        words = json.loads((Path(folder) / "ledger.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return []
    kept = list((words.get("kept") or {}).values())
    if not kept:
        return []
    con = open_database(words["server"], Path()).con
    for name in kept:
        with refusing(_PLACE, "drop them with the database's own client, as the user who made them"):
            con.drop_table(name, force=True)
    return kept
