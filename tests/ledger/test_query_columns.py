"""A banned column comes in under no other name: queries that read one are refused before they run."""

import duckdb
import pytest

from clvkit.errors import StudyError
from clvkit.ledger.databases import open_database
from clvkit.ledger.query_columns import refuse_banned
from clvkit.ledger.relations import open_relation

COLUMNS = {"orders": ("who", "day", "net", "Email"), "lines": ("who", "sku")}


def columns_of(words: str) -> tuple[str, ...]:
    """The columns of the table that a ``SELECT * FROM`` names."""
    return COLUMNS[words.split()[-1].split(".")[-1].strip('"')]


REFUSED = {
    "by name": "SELECT who, email FROM orders",
    "renamed": "SELECT who, email AS key FROM orders",
    "quoted": 'SELECT who, "Email" AS key FROM orders',
    "in an expression": "SELECT lower(o.email) AS key FROM orders AS o",
    "in a condition": "SELECT who FROM orders WHERE email LIKE '%@acme.example'",
    "below": "SELECT key FROM (SELECT email AS key FROM orders) AS inner_one",
    "with": "WITH one AS (SELECT email AS key FROM orders) SELECT key FROM one",
    "in the second of a union": "SELECT who FROM orders UNION ALL SELECT email FROM orders",
    "joined by it": "SELECT a.who FROM orders AS a JOIN orders AS b USING (email)",
    "everything": "SELECT * FROM orders",
    "everything of one": "SELECT o.* FROM lines AS l JOIN orders AS o ON o.who = l.who",
    "everything below": "SELECT who FROM (SELECT * FROM orders) AS inner_one",
    "by position": "SELECT d FROM orders AS o(a, b, c, d)",
    "with, by position": "WITH o(a, b, c, d) AS (SELECT * FROM orders) SELECT d FROM o",
    "a whole row": "SELECT o FROM orders AS o",
    "by a pattern": "SELECT COLUMNS('em.*') FROM orders",
    "from alone": "FROM orders",
}
TAKEN = {
    "other columns": "SELECT who, net FROM orders",
    "counted": "SELECT who, count(*) AS n FROM orders GROUP BY who",
    "everything without it": "SELECT * FROM lines",
    "a text that says so": "SELECT who, 'email' AS kind FROM orders",
}


@pytest.mark.parametrize("query", REFUSED.values(), ids=REFUSED)
def test_a_query_that_reads_it_is_refused(query):
    with pytest.raises(StudyError, match=r"which privacy\.banned_columns forbids"):
        refuse_banned(query, "duckdb", [" EMAIL"], columns_of)


@pytest.mark.parametrize("query", TAKEN.values(), ids=TAKEN)
def test_other_queries_are_taken(query):
    refuse_banned(query, "duckdb", ["email"], columns_of)


def test_without_banned_columns_nothing_is_asked():
    refuse_banned(
        "SELECT * FROM orders", "duckdb", [], lambda words: pytest.fail("the database need not be asked")
    )


def test_the_columns_of_a_database_file_are_looked_up(tmp_path):
    con = duckdb.connect(str(tmp_path / "shop.db"))
    con.sql("CREATE TABLE orders AS SELECT 'a' AS who, 1.5 AS net, 'a@mail.example' AS email")
    con.sql("CREATE TABLE lines AS SELECT 'a' AS who, 'X1' AS sku")
    con.close()
    database = open_database("duckdb:shop.db", tmp_path)
    with pytest.raises(StudyError, match="takes all columns of orders, which has email"):
        open_relation(database, query="SELECT who, net FROM (SELECT * FROM orders)", without=["email"])
    assert open_relation(database, query="SELECT * FROM lines", without=["email"]).columns == ("who", "sku")
