"""One study, three engines: `build_ledger` gives the same ledger, to the last byte of its cells."""

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from engine_frames import SEGMENTS, as_bytes

from clvkit import customers
from clvkit.cohorts import CohortsSection, cohort_triangles
from clvkit.errors import DataError, StudyError
from clvkit.ledger import Ledger, LedgerSection, build_ledger, inputs
from clvkit.ledger.crosswalk import Crosswalk
from clvkit.ledger.databases import open_database
from clvkit.ledger.kept import forget_kept
from clvkit.ledger.scores import write_scores
from clvkit.restated import _lines
from clvkit.retention import RetentionSection, measure_retention
from clvkit.versions import snapshot

pytestmark = pytest.mark.engines
AS_OF, TODAY = date(2024, 6, 30), date(2025, 1, 31)
ORDERS = pa.schema(
    [("account", pa.string()), ("placed", pa.timestamp("us", "UTC")), ("net", pa.decimal128(12, 3)),
     ("receipt", pa.string()), ("line", pa.int32()), ("sku", pa.string()), ("currency", pa.string()),
     ("off", pa.float64()), ("pieces", pa.float64()), ("channel", pa.string()), ("loaded", pa.date32()),
     ("email", pa.string())]
)  # fmt: skip
REFUNDS = pa.schema(
    [("receipt", pa.string()), ("booked", pa.timestamp("us", "UTC")), ("paid_back", pa.float64()),
     ("currency", pa.string()), ("loaded", pa.date32())]
)  # fmt: skip
PRODUCTS = {"sku": [f"P{n}" for n in range(30)], "cost": [Decimal(n) / 7 for n in range(30)]}


def _tables(seed: int = 71, people: int = 400) -> dict[str, pa.Table]:
    """Orders and refunds: guests, several lines of a day, copies, late loads, gift cards, test accounts, odd amounts."""
    rng = random.Random(seed)
    orders, refunds = [], []
    for number in range(people):
        account = None if number % 23 == 0 else f"{'TEST' if number % 37 == 0 else 'c'}{number:04d}"
        segment = rng.choice(SEGMENTS)
        for visit in range(1 + int(rng.expovariate(0.5))):
            placed = datetime(2022, 3, 1, tzinfo=UTC) + timedelta(seconds=rng.randrange(920 * 86_400))
            if rng.random() < 0.2:
                placed = placed.replace(hour=rng.choice([21, 22, 23]), minute=rng.choice([0, 59]), second=0)
            receipt, currency = (
                f"R{number:04d}-{visit}",
                rng.choice(["EUR", "EUR", "EUR", "usd", "JPY", "XX?"]),
            )
            loaded = placed.date() + timedelta(days=rng.choice([0, 0, 1, 1, 2, 60]))
            for line in range(1, 1 + rng.choice([1, 1, 2, 3])):
                net = Decimal(rng.randrange(-3_000, 90_000)) / 1000
                if currency == "JPY":
                    net = Decimal(int(net) * 100)
                sku = rng.choice(["GIFT-5.0", "GIFT-50", "GIFTS", *PRODUCTS["sku"]])
                row = (account, placed, net, receipt, line, sku, currency, rng.choice([0.0, 0.05, 1.5]),
                       float(rng.randrange(1, 4)), rng.choice([segment, segment, rng.choice(SEGMENTS)]), loaded,
                       f"{account}@example.org")  # fmt: skip
                orders += [row] * (2 if rng.random() < 0.03 else 1)
            if rng.random() < 0.15:
                booked = placed + timedelta(days=rng.randrange(0, 50), hours=3)
                refunds.append((receipt, booked, float(abs(net)), currency, booked.date()))
    made = {}
    for name, rows, schema in (("shop_orders", orders, ORDERS), ("shop_refunds", refunds, REFUNDS)):
        rng.shuffle(rows)
        columns = zip(*rows, strict=True)
        arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
        made[name] = pa.table(arrays, schema=schema)
    costs = pa.array([round(cost, 6) for cost in PRODUCTS["cost"]], pa.decimal128(20, 6))
    made["shop_products"] = pa.table({"sku": PRODUCTS["sku"], "cost": costs})
    return made


def _section(database: str, **extra) -> LedgerSection:
    """Orders, refunds and products in the database; rates in a file beside it."""
    zone = {"database": database, "timezone": "Europe/Berlin", "id_space": "shop", "extracted": TODAY}
    return LedgerSection(
        sources={
            "shop": zone | {
                "relation": "shop_orders",
                "columns": {"customer": "account", "date": "placed", "amount": "net", "order": "receipt",
                            "line_id": "line", "product": "sku", "currency": "currency", "discount": "off",
                            "quantity": "pieces", "segment": "channel", "loaded": "loaded"},
            },
            "refunds": zone | {
                "holds": "refunds",
                "query": "SELECT receipt, booked, paid_back, currency, loaded FROM shop_refunds",
                "columns": {"customer": None, "date": "booked", "amount": "paid_back", "order": "receipt",
                            "currency": "currency", "loaded": "loaded"},
            },
            "products": {"holds": "products", "database": database, "relation": "shop_products",
                         "fields": {"product": "sku", "unit_cost": "cost"}},
            "rates": {"holds": "rates", "path": "rates.csv",
                      "fields": {"date": "day", "currency": "code", "rate": "rate"}},
        },
        guests="exclude", negative_amounts="net", duplicate_lines="drop",
        not_sales={"gift_card": ["GIFT-*"]}, excluded_customers={"test": ["TEST*"]},
        costs={"company": 0.5}, **extra,
    )  # fmt: skip


TEXT = {"duckdb": "duckdb:sales.duckdb", "postgres": "env:CLVKIT_TEST_POSTGRES", "spark": "spark"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of the study, with the file of rates."""
    made = tmp_path_factory.mktemp("study")
    days = [date(2022, 2, 1) + timedelta(days=n) for n in range(1100)]
    rows = [f"{day},{code},{rate}" for day in days for code, rate in
            (("USD", 0.9 + day.toordinal() % 97 / 1000), ("JPY", 0.0061 + day.day / 1e6))]  # fmt: skip
    (made / "rates.csv").write_text("\n".join(["day,code,rate", *rows]) + "\n", encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def built(opened, folder):
    """The ledger on each engine, built when first asked for, and what the models see of it."""
    tables, made = _tables(), {}

    def get(engine: str) -> tuple[Ledger, dict[str, pd.DataFrame]]:
        if engine not in made:
            if engine == "duckdb":
                duckdb.connect(str(folder / "sales.duckdb")).close()
                database = open_database(TEXT[engine], folder, write=True)
            else:
                database = opened(engine)
            for name, table in tables.items():
                write_scores(database, name, table)
            if engine == "duckdb":  # a file that is written to is not opened twice
                database.con.disconnect()
            ledger = build_ledger(
                _section(TEXT[engine]), as_of=AS_OF, currency="EUR", base=folder, today=TODAY,
                crosswalk=folder / f"crosswalk-{engine}", banned=["Email"],
            )  # fmt: skip
            made[engine] = ledger, _seen(ledger)
        return made[engine]

    return get


def _seen(ledger: Ledger) -> dict[str, pd.DataFrame]:
    summary = customers.customer_summary(ledger.purchases, AS_OF)
    cohorts = cohort_triangles(ledger.purchases, CohortsSection(), AS_OF)
    return {
        "cells": customers.cells(summary),
        "spend_cells": customers.spend_cells(summary),
        "score_cells": customers.score_cells(summary),
        "daily_purchases": customers.daily_purchases(ledger.purchases),
        "retention": measure_retention(ledger.purchases, RetentionSection(), AS_OF).curve,
        "cohort_sizes": cohorts.sizes,
        "cohorts": cohorts.long,
    }


@pytest.mark.parametrize("engine", ["postgres", "spark"])
def test_the_ledger_is_the_same(built, engine):
    (here, seen_here), (there, seen_there) = built("duckdb"), built(engine)
    assert here.totals == there.totals
    pd.testing.assert_frame_equal(here.reasons, there.reasons)
    pd.testing.assert_frame_equal(here.quarantine, there.quarantine)
    for name in seen_here:
        pd.testing.assert_frame_equal(seen_here[name], seen_there[name], obj=f"{name} on {engine}")
        assert as_bytes(seen_here[name]) == as_bytes(seen_there[name]), name
    assert here.frames.keys() == there.frames.keys()
    for name, frame in here.frames.items():
        pd.testing.assert_frame_equal(frame, there.frames[name], obj=f"{name} on {engine}")
    assert [(c.id, c.status, c.message) for c in here.checks] == [
        (c.id, c.status, c.message) for c in there.checks
    ]


def test_the_study_is_a_test(built):
    """Every policy finds rows, and there are cells of several segments and purchases."""
    ledger, seen = built("duckdb")
    reasons = set(ledger.reasons["reason"])
    wanted = {"guest", "product:gift_card", "customer:test", "duplicate_line", "refund", "same_day", "after_as_of",
              "currency_unknown", "known_after_as_of", "returned_in_full"}  # fmt: skip
    assert wanted <= reasons, wanted - reasons
    assert seen["cells"]["segment"].nunique() > 5 and seen["cells"]["frequency"].max() >= 4
    assert ledger.frames["conversions"]["currency"].tolist() == ["EUR", "JPY", "USD"]
    assert set(ledger.frames["cost_sources"]["cost_source"]) == {"product", "company"}


@pytest.mark.parametrize("engine", ["postgres", "spark"])
def test_rows_stay_in_the_server(built, engine, tmp_path):
    """Saved, opened again and forgotten: what lies in the folder has no customer, and nothing is left in the server."""
    ledger, seen = built(engine)
    assert ledger.server == TEXT[engine]
    ledger.save(tmp_path / "saved")
    assert not {"rows.parquet", "purchases.parquet"} & {p.name for p in (tmp_path / "saved").iterdir()}
    again = Ledger.load(tmp_path / "saved")
    assert again.totals == ledger.totals
    assert as_bytes(_seen(again)["score_cells"]) == as_bytes(seen["score_cells"])
    assert again.rows.count().execute() == ledger.totals["rows"]["in"]
    # Beside another ledger of the same server, as versions of the data are compared.
    both = [_lines(one) for one in (ledger, Ledger.load(tmp_path / "saved", con=ledger.con))]
    assert both[0].get_backend() is both[1].get_backend()
    one, other = (snapshot(lines, as_of=AS_OF, files={}) for lines in both)
    assert one == other and len(one["sources"]) == 2
    gone = forget_kept(tmp_path / "saved")
    assert len(gone) == 2 and not set(gone) & set(again.con.list_tables())
    with pytest.raises(DataError, match="no longer has the table"):
        Ledger.load(tmp_path / "saved")


@pytest.mark.parametrize("engine", ["duckdb", "postgres", "spark"])
def test_a_changed_table_is_another_input(built, opened, folder, engine):
    """The hash is of what the rows hold, in whatever order; one cent makes another."""
    built(engine)
    section = _section(TEXT[engine])
    before = inputs(section, folder)
    assert before == inputs(section, folder)
    assert [(one["source"], one["file"]) for one in before] == [
        ("shop", "shop_orders"), ("refunds", "query of refunds"), ("products", "shop_products"), ("rates", "rates.csv"),
    ]  # fmt: skip
    shorter = section.model_copy(
        update={
            "sources": section.sources
            | {
                "refunds": section.sources["refunds"].model_copy(
                    update={
                        "query": "SELECT receipt, booked, paid_back + 0.01 AS paid_back, currency, loaded FROM shop_refunds"
                    }
                )
            }
        }
    )
    after = inputs(shorter, folder)
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True, True]


def test_pseudonyms_stay_on_a_server(built, folder):
    ledger, _ = built("postgres")
    first = ledger.purchases.select("customer").distinct().order_by("customer").to_pyarrow()
    again = build_ledger(
        _section(TEXT["postgres"]), as_of=AS_OF, currency="EUR", base=folder, today=TODAY,
        crosswalk=folder / "crosswalk-postgres",
    )  # fmt: skip
    assert again.purchases.select("customer").distinct().order_by("customer").to_pyarrow().equals(first)


def _joined(engine, folder):
    """The ledger with accounts joined by an address of four of them, and who is together by its crosswalk."""
    section = _section(TEXT[engine], identity={"keys": ["email"]})
    shop = section.sources["shop"].model_copy(
        update={
            "relation": None,
            "query": "SELECT o.*, substr(email, 4) AS mail FROM shop_orders o",
            "keys": {"email": "mail"},
        }
    )
    ledger = build_ledger(
        section.model_copy(update={"sources": section.sources | {"shop": shop}}), as_of=AS_OF, currency="EUR", base=folder,
        today=TODAY, crosswalk=folder / f"people-{engine}",
    )  # fmt: skip
    together: dict = {}
    for one in Crosswalk.load(folder / f"people-{engine}").members.to_pylist():
        together.setdefault(one["customer"], set()).add(one["account"])
    return ledger, {frozenset(accounts) for accounts in together.values()}


@pytest.mark.parametrize("engine", ["postgres", "spark"])
def test_accounts_that_share_a_key_are_one_customer_on_every_engine(built, folder, engine):
    both = []
    for name in ("duckdb", engine):
        built(name)  # the tables are there
        both.append(_joined(name, folder))
    (here, people), (there, same_people) = both
    assert people == same_people and max(map(len, people)) > 1
    frames = [_seen(ledger) for ledger in (here, there)]
    for name in ("cells", "score_cells"):
        assert as_bytes(frames[0][name]) == as_bytes(frames[1][name]), name
    assert here.totals["customers"] == there.totals["customers"]


def test_a_banned_column_is_not_read_and_not_asked_for(built, folder):
    built("postgres")
    section = _section(TEXT["postgres"])
    shop = section.sources["shop"]
    asked = shop.model_copy(update={"columns": shop.columns.model_copy(update={"category": "email"})})
    with pytest.raises(StudyError, match="forbids"):
        build_ledger(section.model_copy(update={"sources": section.sources | {"shop": asked}}),
                     as_of=AS_OF, currency="EUR", base=folder, banned=["EMAIL "])  # fmt: skip


def test_orders_in_files_beside_a_server_are_refused(built, folder):
    built("postgres")
    section = LedgerSection(
        sources={
            "shop": {"database": TEXT["postgres"], "relation": "shop_orders",
                     "columns": {"customer": "account", "date": "placed", "amount": "net"}},
            "till": {"path": "rates.csv", "columns": {"customer": "code", "date": "day", "amount": "rate"}},
        }
    )  # fmt: skip
    with pytest.raises(StudyError, match="till is made of files with orders"):
        build_ledger(section, as_of=AS_OF, currency="EUR", base=folder)
    other = section.sources["till"].model_copy(update={"path": None, "database": "spark", "relation": "x"})
    with pytest.raises(StudyError, match="different databases"):
        build_ledger(section.model_copy(update={"sources": section.sources | {"till": other}}),
                     as_of=AS_OF, currency="EUR", base=folder)  # fmt: skip
