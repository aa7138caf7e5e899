"""The same orders give the same cells on DuckDB, PostgreSQL and Spark, to the last byte."""

from datetime import date

import ibis
import pandas as pd
import pytest
from engine_frames import as_bytes

from clvkit import customers
from clvkit.ledger.engine import Scratch, bytewise, to_decimal, total
from clvkit.ledger.relations import open_relation
from clvkit.ledger.typed import typed_table_rows

pytestmark = pytest.mark.engines
AS_OF, END = date(2024, 3, 31), date(2024, 11, 30)
COLUMNS = {"customer": "account", "date": "placed", "amount": "net", "segment": "channel"}


def _purchases(database, amount="net"):
    """From the table of orders to one row per customer and day, copies of a row dropped."""
    table = open_relation(database, "orders")
    raw = typed_table_rows(table, COLUMNS | {"amount": amount}, 0, zone="Europe/Berlin")
    scratch = Scratch(database.con)
    rows = scratch.table(f"raw_{amount}", scratch.view(f"typed_{amount}", raw))
    kept = rows.group_by("record").agg(ordinal=rows.ordinal.min())
    rows = rows.semi_join(kept, "ordinal")
    minor = (to_decimal(rows.amount, 18, 2) * 100).cast("int64")
    rows = rows.mutate(amount_minor=minor, segment=rows.segment.fill_null("(none)"))
    days = rows.group_by("customer", day="typed_day").agg(
        amount_minor=rows.amount_minor.sum().cast("int64"),
        segment=rows.segment.argmin(bytewise(rows.segment)),
    )
    first = days.group_by("customer").agg(segment=days.segment.argmin(days.day))
    bought = days.drop("segment").join(first, "customer")
    return scratch, scratch.table(f"purchases_{amount}", bought)


@pytest.fixture(scope="module")
def frames(opened):
    made = {}

    def get(engine, amount="net"):
        if (engine, amount) in made:
            return made[engine, amount]
        scratch, bought = _purchases(opened(engine), amount)
        summary = scratch.table(f"summary_{amount}", customers.customer_summary(bought, AS_OF))
        held = customers.holdout(bought, AS_OF, END)
        made[engine, amount] = {
            "cells": customers.cells(summary),
            "spend_cells": customers.spend_cells(summary),
            "score_cells": customers.score_cells(summary),
            "holdout_cells": customers.holdout_cells(held),
            "daily_purchases": customers.daily_purchases(bought),
            "total": int(bought.aggregate(sum=total(bought.amount_minor)).to_pyarrow()["sum"][0].as_py()),
        }
        scratch.drop(f"raw_{amount}", f"purchases_{amount}", f"summary_{amount}")
        return made[engine, amount]

    return get


@pytest.mark.parametrize("engine", ["postgres", "spark"])
@pytest.mark.parametrize("amount", ["net", "gross"])
def test_every_frame_is_the_same(frames, engine, amount):
    here, there = frames("duckdb", amount), frames(engine, amount)
    assert here["total"] == there["total"] != 0
    for name in ("cells", "spend_cells", "score_cells", "holdout_cells", "daily_purchases"):
        pd.testing.assert_frame_equal(here[name], there[name], obj=f"{name} on {engine}")
        assert as_bytes(here[name]) == as_bytes(there[name]), name
        assert len(here[name]) > 50, name


def test_the_orders_are_a_test(frames):
    """Segments in an order that a language would change; repeat customers; late ones in the hold-out."""
    cells = frames("duckdb")["cells"]
    assert list(cells["segment"].unique()) == ["(none)", "Web", "_till", "shop", "web", "éclair", "Ωmega"]
    assert cells["frequency"].max() >= 5
    assert frames("duckdb")["holdout_cells"]["n_holdout"].sum() > 500


@pytest.mark.parametrize("engine", ["postgres", "spark"])
def test_rows_have_the_same_numbers_and_texts(opened, engine):
    """``record`` is a key within one engine: how it writes a moment is its own."""
    both = []
    for name in ("duckdb", engine):
        rows = typed_table_rows(open_relation(opened(name), "orders"), COLUMNS, 2, zone="Europe/Berlin")
        both.append(rows.drop("record").order_by("ordinal").to_pyarrow().to_pylist())
    assert both[0] == both[1]
    assert len({row["ordinal"] for row in both[0]}) == len(both[0])
    first = both[0][0]
    assert first["row"] == int(f"{first['typed_day']:%Y%m%d}") * 10**9 + 1
    assert first["ordinal"] == first["row"] + 2 * 10**17


@pytest.mark.parametrize("engine", ["duckdb", "postgres", "spark"])
def test_amounts_round_half_away_from_zero(opened, engine):
    table = open_relation(
        opened(engine),
        query="SELECT * FROM (VALUES ('1.005'), ('-1.005'), ('2.004'), ('12x'), ('.5'), ('1e3'), ('99999999999999999')) t(a)",
    )
    made = table.select("a", n=to_decimal(table.a, 18, 2)).to_pyarrow().to_pylist()
    wanted = {
        "1.005": "1.01",
        "-1.005": "-1.01",
        "2.004": "2.00",
        "12x": None,
        ".5": "0.50",
        "1e3": "1000.00",
    }
    wanted["99999999999999999"] = None
    assert {row["a"]: None if row["n"] is None else str(row["n"]) for row in made} == wanted


@pytest.mark.parametrize("engine", ["duckdb", "postgres", "spark"])
def test_a_sum_past_64_bits_is_exact(opened, engine):
    table = open_relation(opened(engine), query="SELECT account FROM orders LIMIT 4")
    big = table.mutate(n=ibis.literal(2**62, "int64"))
    assert int(big.aggregate(sum=total(big.n)).to_pyarrow()["sum"][0].as_py()) == 4 * 2**62
