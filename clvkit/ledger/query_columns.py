"""A study's query and the columns that must not be read: no other name, and no star, brings one of them in."""

from collections.abc import Callable, Collection

import sqlglot
from sqlglot import exp

from clvkit.errors import StudyError
from clvkit.rules import listed

#: The columns of a table or table function, by its words in SQL.
ColumnsOf = Callable[[str], Collection[str]]


def refuse_banned(query: str, dialect: str, banned: Collection[str], columns_of: ColumnsOf) -> None:
    """Refuse a query that reads a banned column, under whatever name it hands it on.

    Parameters
    ----------
    query : one SELECT.
    dialect : the engine's SQL, as sqlglot names it.
    banned : columns that must not be read; capitals and spaces around a name make no difference.
    columns_of : asked where the query takes all columns of a table (``*``, a whole row, a list of new names).

    Raises
    ------
    StudyError : a banned name stands anywhere in the query, or all columns are taken of a table that has one.
    """
    closed = {name.strip().casefold() for name in banned}
    if not closed:
        return
    tree = sqlglot.parse_one(query, read=dialect)
    named = {
        one.name for one in tree.find_all(exp.Identifier) if _is(one.name, closed) and not _of_table(one)
    }
    if named:
        raise _refused(f"reads {listed(sorted(named))}", "leave the column out of the query")
    if not _takes_all(tree):
        return
    for table in _tables(tree):
        words = exp.select("*").from_(table).sql(dialect)
        if held := [name for name in columns_of(words) if _is(name, closed)]:
            raise _refused(
                f"takes all columns of {table.sql(dialect)}, which has {listed(held)}",
                "name the columns that are needed, instead of *",
            )


def _is(name: str, closed: set[str]) -> bool:
    return name.strip().casefold() in closed


def _of_table(name: exp.Identifier) -> bool:
    """Whether a name is that of a table or schema, and of no column."""
    return isinstance(name.parent, exp.Table)


def _takes_all(tree: exp.Expression) -> bool:
    """Whether columns come in that the query does not name: a star, a table's whole row, names by position."""
    if any(not isinstance(one.parent, exp.Count) for one in tree.find_all(exp.Star)):
        return True
    if any(one.args.get("columns") for one in tree.find_all(exp.TableAlias)):
        return True
    tables = {one.alias_or_name.casefold() for one in tree.find_all(exp.Table, exp.Subquery, exp.CTE)}
    if any(one.name.casefold() in tables for one in tree.find_all(exp.Column)):
        return True
    # DuckDB's COLUMNS(...) picks columns by a pattern.
    return any(one.sql_name().upper() == "COLUMNS" for one in tree.find_all(exp.Func)) or any(
        one.name.upper() == "COLUMNS" for one in tree.find_all(exp.Anonymous)
    )


def _tables(tree: exp.Expression) -> list[exp.Table]:
    """The tables and table functions that a query reads, without what it names itself by WITH."""
    own = {one.alias.casefold() for one in tree.find_all(exp.CTE)}
    found = []
    for one in tree.find_all(exp.Table):
        if one.name.casefold() in own and not one.args.get("db"):
            continue
        bare = one.copy()
        for part in ("alias", "joins", "pivots", "sample"):
            bare.set(part, None)
        found.append(bare)
    return found


def _refused(what: str, fix: str) -> StudyError:
    return StudyError(
        f"the query {what}, which privacy.banned_columns forbids",
        place="ledger.query",
        fix=f"{fix}, or take it off privacy.banned_columns",
    )
