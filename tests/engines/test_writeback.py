"""Scores made block by block on each engine and written back: the same numbers whatever the blocks, nobody lost."""

import uuid
from datetime import date

import cdnow_frames
import ibis
import numpy as np
import pandas as pd
import pytest

from clvkit.customers import customer_summary, score_cells
from clvkit.errors import DataError
from clvkit.ledger.databases import open_database
from clvkit.ledger.engine import Scratch, first_text, to_decimal
from clvkit.ledger.relations import open_relation
from clvkit.ledger.writeback import SCORES, customer_scores, write_back
from clvkit.valuation import scores
from clvkit.value import ValueSection

AS_OF = date(2024, 3, 31)
VALUE = ValueSection(margin=0.3, annual_discount_rate=0.1, posterior_draws=50)
MONEY = {"minor_per_unit": 100, "days_per_year": 365.25}
TEXT = {"duckdb": "duckdb:sales.duckdb", "postgres": "env:CLVKIT_TEST_POSTGRES", "spark": "spark"}


@pytest.fixture(scope="module")
def fits():
    return [
        cdnow_frames.with_posterior(cdnow_frames.fit(name), draws=80) for name in ("paretonbd", "gammagamma")
    ]


def _summary(database):
    orders = open_relation(database, "orders")
    orders = orders.mutate(day=orders.placed.date(), segment=orders.channel.fill_null("(none)"))
    cents = (to_decimal(orders.net.abs().cast("string"), 18, 2) * 100).cast("int64")
    orders = orders.mutate(cents=cents)
    bought = orders.group_by("account", "day").agg(amount_minor=orders.cents.sum().cast("int64"))
    segments = orders.group_by("account").agg(segment=first_text(orders.segment))
    bought = bought.join(segments, "account").rename(customer="account")
    return Scratch(database.con).table(f"bought_{uuid.uuid4().hex}", customer_summary(bought, AS_OF))


@pytest.mark.engines
@pytest.mark.parametrize("engine", ["duckdb", "postgres", "spark"])
def test_every_customer_has_the_score_of_their_figures(opened, fits, engine):
    database = opened(engine)
    summary = _summary(database)
    if engine == "duckdb":  # a ledger of files lies beside the database
        summary = ibis.duckdb.connect().create_table("summary", summary.to_pyarrow())
    made = customer_scores(summary, *fits, VALUE, **MONEY, as_of=AS_OF, run="r1", at_once=700)
    # Rows are read while others are written: but for Spark, that takes two sessions.
    writing = open_database(TEXT[engine], opened.folder, write=True) if engine == "postgres" else database
    count = write_back(writing, "scores", made, source=summary)
    back = open_relation(writing, "scores").to_pyarrow()
    assert back.schema.names == SCORES.names
    back = back.to_pandas()
    assert count == len(back) == summary.count().execute() > 2000
    assert back["customer"].is_unique and set(back["run"]) == {"r1"} and set(back["as_of"]) == {AS_OF}
    assert ((back["low"] <= back["clv"]) & (back["clv"] <= back["high"])).all()
    kinds = scores(*fits, score_cells(summary), VALUE, **MONEY)
    assert back["clv"].sum() == pytest.approx((kinds["clv"] * kinds["n"]).sum(), rel=1e-7)
    whole = (
        summary.to_pyarrow()
        .to_pandas()
        .merge(kinds, on=["segment", "frequency", "recency_days", "T_days", "spend_minor"])
    )
    both = back.merge(whole, on="customer", suffixes=("", "_kind"))
    assert len(both) == len(back)
    np.testing.assert_allclose(both["clv"], both["clv_kind"], rtol=1e-7)
    np.testing.assert_allclose(both["p_alive"], both["p_alive_kind"], rtol=1e-7)
    if engine != "spark":
        with pytest.raises(DataError, match="one session"):
            write_back(database, "scores", made, source=_summary(database))


def test_blocks_are_made_when_asked_for(fits):
    rows = pd.DataFrame(
        {"customer": ["b", "a", "c"], "segment": "all", "frequency": [0, 3, 3], "recency_days": [0, 50, 50],
         "T_days": [90, 90, 90], "spend_minor": [0, 9000, 9000], "first_minor": [2500, 1000, 4000]}
    )  # fmt: skip
    table = ibis.duckdb.connect().create_table("t", rows)
    reader = customer_scores(table, *fits, VALUE, **MONEY, as_of=AS_OF, run="r", at_once=2)
    made = pd.concat([batch.to_pandas() for batch in reader]).set_index("customer")
    assert made.loc["a", "clv"] == pytest.approx(made.loc["c", "clv"], rel=1e-12)
    assert made.loc["a", "clv"] > made.loc["b", "clv"] > 0
    assert made.loc["b", "expected_purchases"] < made.loc["a", "expected_purchases"]
    # what was brought is the margin of all that each has bought, and both make the total
    np.testing.assert_allclose(
        made["margin_so_far"][["a", "b", "c"]], VALUE.margin * np.array([100, 25, 130])
    )
    np.testing.assert_allclose(made["total"], made["margin_so_far"] + made["clv"], rtol=1e-9)
