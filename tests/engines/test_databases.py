"""Databases: opened by a name, without a secret in any word; found tables; SQLite; scores written back."""

import os
import re
import sqlite3
import traceback
from urllib.parse import urlsplit, urlunsplit

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from study_files import MINIMAL

from clvkit.errors import DataError, StudyError
from clvkit.ledger.databases import database_kind, open_database
from clvkit.ledger.relations import open_relation
from clvkit.ledger.scores import write_scores
from clvkit.ledger.typed import typed_table_rows
from clvkit.study import load_study

ENGINES = ["duckdb", "postgres", "spark"]
ADDRESS = "CLVKIT_TEST_POSTGRES"
SECRET = "s3cr3t-f1sh"


def _whole(error: BaseException) -> str:
    """Everything a log could show of an error: its chain of causes and contexts too."""
    words, seen = [], error
    while seen is not None:
        words += [str(seen), repr(seen), repr(seen.args)]
        seen = seen.__cause__ or seen.__context__
    return "\n".join([*words, *traceback.format_exception(error)])


@pytest.mark.parametrize(
    "text",
    [
        f"postgres://me:{SECRET}@db.example:5432/sales",
        f"postgresql+psycopg://me:{SECRET}@db.example/sales",
        f"duckdb://{SECRET}",
        f"host=db.example password={SECRET}",
        f"env:postgres://me:{SECRET}@db.example/sales",
        f"mysql:me:{SECRET}@db.example",
    ],
)
def test_an_address_in_the_study_is_refused_and_not_repeated(text):
    with pytest.raises(DataError) as caught:
        database_kind(text)
    assert SECRET not in _whole(caught.value)
    assert caught.value.fix and caught.value.place == "ledger.database"


def test_a_slip_in_the_kind_is_pointed_out(tmp_path):
    with pytest.raises(DataError, match="did you mean 'duckdb'"):
        open_database("dukdb:sales.duckdb", tmp_path)
    (tmp_path / "sales.duckdb").touch()
    with pytest.raises(DataError, match=r"did you mean 'sales\.duckdb'"):
        open_database("duckdb:sale.duckdb", tmp_path)


def test_an_unset_variable_and_one_of_another_kind(tmp_path, monkeypatch):
    monkeypatch.delenv("NO_SUCH_URL", raising=False)
    with pytest.raises(DataError, match=r"NO_SUCH_URL, which ledger.database names, is not set"):
        open_database("env:NO_SUCH_URL", tmp_path)
    monkeypatch.setenv("OTHER_URL", f"mysql://me:{SECRET}@db.example/sales")
    with pytest.raises(DataError, match="begins with postgres") as caught:
        open_database("env:OTHER_URL", tmp_path)
    assert SECRET not in _whole(caught.value)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (f"postgres://me:{SECRET}@127.0.0.1:1/sales", "nothing listens"),
        (f"postgres://me:{SECRET}@127.0.0.1:1/sales?nonsense={SECRET}", "connection failed"),
        (f"postgres://me:{SECRET}@no-such-host.invalid/sales", "unknown here|connection failed"),
    ],
)
def test_a_server_that_cannot_be_reached(tmp_path, monkeypatch, address, words):
    monkeypatch.setenv("SALES_URL", address)
    with pytest.raises(DataError, match=f"SALES_URL names cannot be used: .*({words})") as caught:
        open_database("env:SALES_URL", tmp_path)
    whole = _whole(caught.value)
    assert SECRET not in whole and "127.0.0.1" not in whole and "no-such-host" not in whole


@pytest.mark.engines
def test_a_wrong_password_is_not_repeated(tmp_path, monkeypatch):
    if not os.environ.get(ADDRESS):
        pytest.skip(f"{ADDRESS} does not name a PostgreSQL server")
    parts = urlsplit(os.environ[ADDRESS])
    wrong = parts._replace(netloc=f"{parts.username}:{SECRET}@{parts.hostname}:{parts.port}")
    monkeypatch.setenv("WRONG_URL", urlunsplit(wrong))
    with pytest.raises(DataError, match="does not accept the user or the password") as caught:
        open_database("env:WRONG_URL", tmp_path)
    assert SECRET not in _whole(caught.value)


@pytest.mark.engines
def test_an_open_database_does_not_show_its_address(opened):
    database = opened("postgres")
    password = urlsplit(os.environ[ADDRESS]).password
    assert repr(database) == f"Database(name='env:{ADDRESS}')"
    table = open_relation(database, "orders")
    assert password not in repr(table) + repr(database.con) + repr(vars(database.con))
    with pytest.raises(DataError) as caught:
        open_relation(database, query="SELECT no_such_column FROM orders")
    assert password not in _whole(caught.value)


@pytest.mark.engines
@pytest.mark.parametrize("engine", ENGINES)
def test_a_missing_table_names_the_nearest(opened, engine):
    database = opened(engine)
    with pytest.raises(DataError, match="did you mean 'orders'"):
        open_relation(database, "oders")
    with pytest.raises(DataError, match="schema 'no_such_place'"):
        open_relation(database, "no_such_place.orders")
    with pytest.raises(DataError, match=r"refuses: .*no_such_column"):
        open_relation(database, query="SELECT no_such_column FROM orders")
    with pytest.raises(DataError, match="either"):
        open_relation(database)
    for query in ("DROP TABLE orders", "SELECT 1; SELECT 2", "DELETE FROM orders"):
        with pytest.raises(DataError, match="one SELECT"):
            open_relation(database, query=query)
    assert "net" not in open_relation(database, "orders", without=["net", "absent"]).columns
    assert open_relation(database, query="SELECT account FROM orders WHERE net > 1").columns == ("account",)


@pytest.mark.engines
@pytest.mark.parametrize("engine", ENGINES)
def test_scores_replace_a_table(opened, engine):
    database = opened(engine)
    first = pd.DataFrame({"customer": ["a", "ü\t\\", None], "clv": [1.25, 2.5, -0.125], "n": [1, 2, 3]})
    assert write_scores(database, "scores", first) == 3
    assert write_scores(database, "scores", first.iloc[1:]) == 2
    rows = open_relation(database, "scores").order_by("n").to_pyarrow().to_pylist()
    assert rows == [{"customer": "ü\t\\", "clv": 2.5, "n": 2}, {"customer": None, "clv": -0.125, "n": 3}]
    assert write_scores(database, "scores", pa.table({"customer": ["z"], "segment": ["web"]})) == 1
    assert open_relation(database, "scores").to_pyarrow().to_pylist() == [{"customer": "z", "segment": "web"}]
    assert not [n for n in database.con.list_tables() if re.match("scores_", n)]


@pytest.mark.engines
def test_postgres_keeps_grants_and_the_old_scores_where_writing_fails(opened):
    database = opened("postgres")
    write_scores(database, "kept", pa.table({"customer": ["a", "b"]}))
    with database.con.begin() as cursor:
        cursor.execute("GRANT SELECT ON kept TO PUBLIC")
    write_scores(database, "kept", pa.table({"customer": ["c"]}))
    with database.con.begin() as cursor:
        cursor.execute("SELECT relacl::text FROM pg_class WHERE relname = 'kept'")
        assert "=r/" in cursor.fetchone()[0]
    with pytest.raises(DataError, match="table kept"):
        write_scores(database, "kept", pa.table({"customer": ["nul \0 is no text of PostgreSQL"]}))
    assert open_relation(database, "kept").to_pyarrow()["customer"].to_pylist() == ["c"]


def test_a_duckdb_file_is_read_only_unless_it_is_to_be_written(tmp_path):
    with duckdb.connect(str(tmp_path / "it's.duckdb")) as con:
        con.execute("CREATE SCHEMA shop; CREATE TABLE shop.orders AS SELECT 1 AS id")
    database = open_database("duckdb:it's.duckdb", tmp_path)
    assert open_relation(database, "shop.orders").to_pyarrow()["id"].to_pylist() == [1]
    with pytest.raises(DataError, match="read-only"):
        write_scores(database, "scores", pa.table({"customer": ["a"]}))
    with pytest.raises(DataError, match="cannot be opened"):
        (tmp_path / "text.duckdb").write_text("no database, only some text in a file", encoding="utf-8")
        open_database("duckdb:text.duckdb", tmp_path)


class TestSqlite:
    @pytest.fixture
    def till(self, tmp_path):
        with sqlite3.connect(tmp_path / "till.db") as file:
            file.execute(
                'CREATE TABLE "bon" (who TEXT, day TEXT, net REAL, mixed, n INTEGER, "odd "" name" TEXT, e)'
            )
            rows = [
                ("a", "2024-01-05", 1.005, 1, 2**62, "x", None),
                ("b", "2024-01-06", 12, "z", None, "ü", None),
            ]
            file.executemany("INSERT INTO bon VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            file.execute("CREATE VIEW late AS SELECT who, day FROM bon WHERE day > '2024-01-05'")
        file.close()
        return open_database("sqlite:till.db", tmp_path)

    def test_columns_have_the_types_of_their_values(self, till):
        table = open_relation(till, "bon")
        assert [str(kind) for kind in table.schema().types] == [
            "string", "string", "float64", "string", "int64", "string", "string",
        ]  # fmt: skip
        rows = table.order_by("who").to_pyarrow().to_pylist()
        assert rows[0] == {
            "who": "a", "day": "2024-01-05", "net": 1.005, "mixed": "1", "n": 2**62, 'odd " name': "x", "e": None,
        }  # fmt: skip
        assert rows[1]["mixed"] == "z" and rows[1]["net"] == 12.0 and rows[1]["n"] is None

    def test_views_queries_and_columns_left_out(self, till):
        assert open_relation(till, "late").to_pyarrow()["who"].to_pylist() == ["b"]
        made = open_relation(till, query="SELECT who FROM bon WHERE n > 1;", without=["net"])
        assert made.to_pyarrow().to_pylist() == [{"who": "a"}]
        with pytest.raises(StudyError, match=r"reads net, which privacy\.banned_columns forbids"):
            open_relation(till, query="SELECT who, net AS money FROM bon", without=["Net "])

    def test_rows_have_the_common_shape(self, till):
        rows = typed_table_rows(
            open_relation(till, "bon"), {"customer": "who", "date": "day", "amount": "net"}, 0
        )
        made = rows.order_by("ordinal").to_pyarrow().to_pylist()
        assert [(r["row"], r["date"], r["amount"], r["typed_day"], r["segment"]) for r in made] == [
            (1, "2024-01-05", "1.005", None, None),
            (2, "2024-01-06", "12", None, None),
        ]

    def test_errors_name_the_next_step(self, till, tmp_path):
        with pytest.raises(DataError, match="did you mean 'bon'"):
            open_relation(till, "bonn")
        with pytest.raises(DataError, match="one SELECT"):
            open_relation(till, query="DELETE FROM bon")
        with pytest.raises(DataError, match="SQLite file, which is only read"):
            write_scores(till, "scores", pa.table({"customer": ["a"]}))
        (tmp_path / "text.db").write_text("no database, only some text in a file" * 9, encoding="utf-8")
        with pytest.raises(DataError, match="not a database"):
            open_relation(open_database("sqlite:text.db", tmp_path), "bon")


@pytest.mark.engines
@pytest.mark.parametrize("engine", ["postgres", "spark"])
def test_dates_as_text_need_a_cast(opened, engine):
    table = open_relation(opened(engine), query="SELECT account, '2024-01-05' AS day, net FROM orders")
    with pytest.raises(DataError, match="not dates or moments"):
        typed_table_rows(table, {"customer": "account", "date": "day", "amount": "net"}, 0)


@pytest.mark.parametrize(
    "value",
    [
        f'"postgres://me:{SECRET}@db.example/sales"',
        f'["postgres://me:{SECRET}@db.example/sales"]',
        f'"host=db.example password={SECRET}"',
        f'"env:{SECRET}://db.example"',
        f'"mysql:me:{SECRET}@db.example"',
    ],
)
def test_a_study_with_an_address_in_it_is_refused_without_a_word_of_it(value, tmp_path):
    text = MINIMAL.replace("path: sales.csv", f"database: {value}\n  relation: shop.orders")
    (tmp_path / "study.yml").write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match=r"ledger\.database") as caught:
        load_study(tmp_path / "study.yml")
    assert SECRET not in _whole(caught.value)
