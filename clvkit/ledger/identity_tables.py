"""Tables that identity resolution reads: accounts, links, an outside crosswalk; as texts, and as numbers."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from clvkit.errors import DataError

if TYPE_CHECKING:
    import ibis.expr.types as ir

type Tabular = pd.DataFrame | pa.Table | "ir.Table"


def texts(
    table: Tabular | None, columns: tuple[str, ...], what: str, *, none_is_empty: bool = False
) -> pa.Table:
    """These columns as texts, without the rows in which one is missing.

    Raises
    ------
    DataError : a column is not there, or holds neither texts nor whole numbers.
    """
    if table is None and none_is_empty:
        return pa.table({column: pa.array([], pa.large_string()) for column in columns})
    missing = [column for column in columns if column not in _names(table)]
    if missing:
        raise DataError(
            f"{what} must have the columns {', '.join(columns)}; {missing[0]} is not there",
            place=what,
            fix="name the columns so",
        )
    try:
        table = _arrow(table, columns)
        fields = [_text(table[column], column) for column in columns]
    except (pa.ArrowException, TypeError) as error:
        raise DataError(
            f"{what} must hold texts or whole numbers: {error}",
            place=what,
            fix="write them as text",
        ) from error
    return pa.table(fields, names=list(columns)).drop_null()


def _names(table: Tabular) -> list[str]:
    return list(table.column_names if isinstance(table, pa.Table) else table.columns)


def _arrow(table: Tabular, columns: tuple[str, ...]) -> pa.Table:
    if isinstance(table, pa.Table):
        return table.select(columns)
    if isinstance(table, pd.DataFrame):
        return pa.Table.from_pandas(table[list(columns)], preserve_index=False)
    return table.select(*columns).to_pyarrow()


def _text(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if not (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_null(kind)
    ):
        raise TypeError(f"{name} is of type {kind}")
    return column.cast(kind).cast(pa.large_string())


def number_accounts(*tables: pa.Table) -> tuple[pa.Table, list[np.ndarray]]:
    """Number the distinct (source, account) pairs from 0 in the order in which they first appear.

    Returns ``source, account`` by number, and for each table the numbers of its rows. The last table (an outside
    crosswalk) adds no account: what only it has, is numbered beyond the accounts returned.

    Raises
    ------
    DataError : the first table (the members of a crosswalk) has an account twice.
    """
    columns = [
        pa.chunked_array(
            [c for table in tables for c in table[name].chunks], pa.large_string()
        ).combine_chunks()
        for name in ("source", "account")
    ]
    source, account = (column.dictionary_encode() for column in columns)
    pair = source.indices.to_numpy().astype(np.int64) * max(len(account.dictionary), 1)
    number, distinct = pd.factorize(pair + account.indices.to_numpy())
    ends = np.cumsum([len(table) for table in tables])
    each = np.split(number, ends[:-1])
    if len(each[0]) and each[0].max() + 1 < len(each[0]):
        raise DataError(
            "the crosswalk of the last run has an account twice",
            place="crosswalk",
            fix="restore its folder from a backup",
        )
    count = number[: ends[-2]].max(initial=-1) + 1
    codes = np.divmod(distinct[:count], max(len(account.dictionary), 1))
    names = [
        column.dictionary.take(pa.array(code)) for column, code in zip((source, account), codes, strict=True)
    ]
    return pa.table(names, names=["source", "account"]), each


def outside_crosswalk(path: str | None, base: Path) -> pa.Table:
    """``source, account, customer`` of the file; empty without one.

    Raises
    ------
    DataError : the file cannot be read, lacks a column, or gives an account two customers.
    """
    columns = ("source", "account", "customer")
    if path is None:
        return texts(None, columns, "the outside crosswalk", none_is_empty=True)
    table = texts(read_small_table(path, base, "identity.crosswalk", columns), columns, path)
    table = table.group_by(list(columns)).aggregate([])
    twice = table.group_by(["source", "account"]).aggregate([("customer", "count")])
    twice = pc.sum(pc.greater(twice["customer_count"], 1)).as_py()
    if twice:
        raise DataError(
            f"{twice} {'account has' if twice == 1 else 'accounts have'} two customers or more",
            place=path,
            fix="give every account one customer in the file that identity.crosswalk names",
        )
    return table


def read_small_table(path: str, base: Path, place: str, as_text: tuple[str, ...]) -> pa.Table:
    """A CSV (comma, UTF-8, header) or Parquet file that a field of the study names; ``as_text`` stay texts.

    Raises
    ------
    DataError : the file is not there or is not such a table.
    """
    file = Path(base) / path
    try:
        if file.suffix.lower() in (".parquet", ".pq"):
            return pq.read_table(file)
        types = pa.csv.ConvertOptions(column_types=dict.fromkeys(as_text, pa.large_string()))
        types.strings_can_be_null, types.quoted_strings_can_be_null = True, True
        types.null_values = [""]
        return pa.csv.read_csv(file, convert_options=types)
    except FileNotFoundError as error:
        raise DataError(
            f"{place} names {path}, which is not there", place=place, fix="check the path"
        ) from error
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path} cannot be read: {error}", place=place, fix="save it as CSV in UTF-8 or as Parquet"
        ) from error
