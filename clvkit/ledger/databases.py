"""Databases as sources: opened by what a study names them, without an address in any word of it."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import ibis
import sqlglot
from sqlglot import exp

from clvkit.errors import DataError, StudyError
from clvkit.ledger.engine import connect
from clvkit.rules import did_you_mean, listed

SOURCE = "source"  # the name under which a DuckDB file is attached
_FORMS = "duckdb:FILE, sqlite:FILE, env:NAME (a variable with a postgres:// address) or spark"
_BY_VARIABLE = "put the address into an environment variable, such as WAREHOUSE_URL, and write database: env:WAREHOUSE_URL"


@dataclass(frozen=True)
class Database:
    """An open database: ``name`` as the study has it, never an address; ``con`` the engine it is read in."""

    name: str
    con: ibis.BaseBackend = field(repr=False)
    file: Path | None = field(default=None, repr=False)  # of SQLite, whose tables are copied when asked for


def database_kind(text: str) -> tuple[str, str]:
    """Split ``database:`` of a study into its kind (``duckdb``, ``sqlite``, ``env``, ``spark``) and the rest.

    Raises
    ------
    DataError : it is none of the forms; the text, which may hold a password, is not repeated.
    """
    kind, _, rest = text.partition(":")
    if text == "spark" or (kind in ("duckdb", "sqlite") and rest and not rest.startswith("//")):
        return kind, rest
    if kind == "env" and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", rest):
        return kind, rest
    if "://" in text or "password" in text.lower():
        raise DataError(
            "ledger.database holds the address of a server, and a study is no place for a password",
            place="ledger.database",
            fix=_BY_VARIABLE,
        )
    hint = did_you_mean(kind, ("duckdb", "sqlite", "env", "spark"))
    raise DataError(
        f"ledger.database must be {_FORMS}{f'; {hint}' if hint else ''}",
        place="ledger.database",
        fix=_BY_VARIABLE if kind == "env" else "write the kind, a colon and the file or variable",
    )


def open_database(text: str, base: Path, *, write: bool = False) -> Database:
    """Open what a study names under ``database:``.

    Parameters
    ----------
    text : ``duckdb:FILE``, ``sqlite:FILE``, ``env:NAME`` or ``spark``.
    base : folder of the study file, from which a relative FILE counts.
    write : whether a DuckDB file may be written to; it is attached read-only otherwise.

    Raises
    ------
    DataError : the form is unknown, a file or variable is missing, or the server cannot be reached.
    """
    kind, rest = database_kind(text)
    if kind == "spark":
        return Database(text, _open_spark())
    if kind == "env":
        return Database(text, _open_postgres(rest))
    file = Path(base) / Path(rest).expanduser()
    if not file.is_file():
        near = did_you_mean(
            file.name, [p.name for p in file.parent.glob("*")] if file.parent.is_dir() else []
        )
        raise DataError(
            f"the database file {rest!r} does not exist{f'; {near}' if near else ''}",
            place="ledger.database",
            fix="correct the path; it counts from the folder of the study file",
        )
    con = connect()
    if kind == "sqlite":
        return Database(text, con, file)
    try:
        con.attach(str(file).replace("'", "''"), SOURCE, read_only=not write)
    except duckdb.Error as error:
        raise DataError(
            f"{rest} cannot be opened as a DuckDB database: {first_line(error)}",
            place="ledger.database",
            fix="close the program that is writing to it, or export it again with a DuckDB of version 1",
        ) from error
    con.raw_sql(f"SET search_path = 'memory.main,{SOURCE}.main'")  # so that a query finds its tables
    return Database(text, con)


def _open_postgres(variable: str) -> ibis.BaseBackend:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    address = os.environ.get(variable, "")
    place = f"the environment variable {variable}"
    if not address:
        raise DataError(
            f"the environment variable {variable}, which ledger.database names, is not set",
            place="ledger.database",
            fix=f"export {variable}=postgres://USER:PASSWORD@HOST:5432/DATABASE before the run",
        )
    if not address.startswith(("postgres://", "postgresql://")):
        raise DataError(
            f"{place} does not hold an address that begins with postgres://",
            place="ledger.database",
            fix="other servers: export the table as Parquet, or read it through Spark",
        )
    con, code = None, None
    try:
        con = psycopg.connect(**{"connect_timeout": 10} | conninfo_to_dict(address), autocommit=True)
    except psycopg.Error as error:
        code = _reason(str(error))
    # Raised out here: an error's context would carry the address's parts into a traceback.
    if con is None:
        raise DataError(
            f"the PostgreSQL server that {place} names cannot be used: {code}",
            place="ledger.database",
            fix="check the address with psql, that the server runs, and that this machine may reach it",
        )
    return ibis.postgres.from_connection(con)


def _reason(message: str) -> str:
    """What a driver says in words of ours: its own hold host, user and sometimes the address."""
    known = {
        "password authentication failed": "it does not accept the user or the password",
        "no password supplied": "it asks for a password, and the address has none",
        "no pg_hba.conf entry": "it does not let this user in from this machine",
        "does not exist": "the database or the user does not exist",
        "timeout": "it did not answer within the time allowed",
        "refused": "nothing listens at its host and port",
        "resolve": "its host name is unknown here",
        "Name or service": "its host name is unknown here",
        "SSL": "the two sides do not agree on encryption (sslmode)",
    }
    return next((words for sign, words in known.items() if sign in message), "the connection failed")


def _open_spark() -> ibis.BaseBackend:
    # Workers must run the Python of the driver.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise DataError(
            "the study reads from Spark, and pyspark is not installed",
            place="ledger.database",
            fix="run `make engines`; on a cluster, start the run with the cluster's Python (docs/cluster.md)",
        ) from error
    try:
        session = SparkSession.getActiveSession() or (
            SparkSession.builder.appName("clvkit")
            .config("spark.ui.showConsoleProgress", "false")
            .getOrCreate()
        )
    except (PySparkException, RuntimeError, OSError) as error:
        raise DataError(
            f"Spark does not start: {first_line(error)}",
            place="ledger.database",
            fix="install Java 17 or set JAVA_HOME; on a cluster, start the run through spark-submit",
        ) from error
    # What Spark infers of long chains of cases grows without bound, and is no use to them.
    session.conf.set("spark.sql.constraintPropagation.enabled", "false")
    return ibis.pyspark.connect(session)


def not_found(relation: str, name: str, names: list[str] | None, database: Database) -> DataError:
    """The error for a table that is not there; ``names`` are those that are, None without the schema."""
    if names is None:
        schema = relation.rpartition(".")[0]
        return DataError(
            f"the schema {schema!r} of ledger.relation {relation!r} is not in {database.name}",
            place="ledger.relation",
            fix="write SCHEMA.TABLE as the database's own client lists it",
        )
    some = listed(sorted(names)[:20]) + (", ..." if len(names) > 20 else "")
    if not relation:
        return DataError(
            f"one of the tables of {database.name} has to be named; it has: {some or 'none that may be read'}",
            place="ledger.relation",
            fix="write the table as ledger.relation, or after --relation",
        )
    hint = did_you_mean(name, names)
    return DataError(
        f"{database.name} has no table or view {relation!r} that may be read"
        + (
            f"; {hint} It has: {some}" if hint else f"; it has: {some}" if names else " and shows none at all"
        ),
        place="ledger.relation",
        fix="correct ledger.relation, or ask for the right to read it",
    )


def refuse_other_than_select(query: str, dialect: str) -> None:
    """DataError unless ``query`` is one statement that only reads."""
    try:
        statements = sqlglot.parse(query, read=dialect)
    except sqlglot.ParseError as error:
        raise DataError(
            f"ledger.query cannot be read as SQL: {first_line(error)}",
            place="ledger.query",
            fix="try the query in the database's own client first, or make it a view and name that",
        ) from error
    writes = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Command)
    if len(statements) != 1 or not isinstance(statements[0], exp.Query) or statements[0].find(*writes):
        raise DataError(
            "ledger.query must be one SELECT that changes nothing",
            place="ledger.query",
            fix="leave one statement that begins with SELECT or WITH",
        )


@contextmanager
def refusing(place: str, fix: str) -> Iterator[None]:
    """Turn what an engine says about a table or query into an error of ours: its first line, no traceback."""
    try:
        yield
    except (DataError, StudyError):
        raise
    except Exception as error:  # each engine has its own classes
        raise DataError(f"the database refuses: {first_line(error)}", place=place, fix=fix) from error


def first_line(error: Exception) -> str:
    """What an engine says, short enough for an error of ours."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if lines[0].startswith("An error occurred while calling") and len(lines) > 1:
        return lines[1].removeprefix(": ")[:300]  # Spark's, by way of its bridge
    return lines[0][:300]
