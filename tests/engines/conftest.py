"""The three engines a ledger runs on, with the same orders in each."""

import importlib.util
import os
import random
import shutil
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest
from engine_frames import SEGMENTS

from clvkit.ledger.databases import open_database
from clvkit.ledger.scores import write_scores

ADDRESS = (
    "CLVKIT_TEST_POSTGRES"  # names the server of the tests, as `.ci/start-postgres start FOLDER` prints it
)
ORDERS = pa.schema(
    [
        ("account", pa.string()),
        ("placed", pa.timestamp("us", "UTC")),
        ("net", pa.decimal128(12, 3)),
        ("gross", pa.float64()),
        ("channel", pa.string()),
    ]
)


def orders(customers: int = 3000) -> pa.Table:
    """Seeded lines of orders: several of a day, exact copies, moments right before and after midnight."""
    rng = random.Random(20240331)
    start = datetime(2023, 1, 1, tzinfo=UTC)
    rows = []
    for number in range(customers):
        segment = rng.choice(SEGMENTS)
        for _ in range(1 + int(rng.expovariate(0.5))):
            moment = start + timedelta(seconds=rng.randrange(700 * 86_400))
            if rng.random() < 0.2:  # in Berlin, midnight is at 22 or 23 o'clock in UTC
                moment = moment.replace(hour=rng.choice([21, 22, 23]), minute=rng.choice([0, 59]), second=0)
            for _ in range(rng.choice([1, 1, 1, 2])):
                net = Decimal(rng.randrange(-20_000, 500_000)) / 1000
                other = rng.choice(SEGMENTS) if rng.random() < 0.1 else segment
                row = (f"c{number:05d}", moment, net, float(net), other)
                rows += [row] * (2 if rng.random() < 0.05 else 1)
    rng.shuffle(rows)
    columns = zip(*rows, strict=True)
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, ORDERS, strict=True)], schema=ORDERS)


def _needs_spark() -> None:
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("pyspark is not installed: make engines")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("there is no Java runtime for Spark")


@pytest.fixture(scope="session")
def spark_session(tmp_path_factory):
    _needs_spark()
    os.environ["PYSPARK_PYTHON"] = sys.executable
    from pyspark.sql import SparkSession

    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse")),
        # As far from UTC as can be: no result may hang on where the session runs.
        "spark.sql.session.timeZone": "Pacific/Kiritimati",
    }
    session = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def opened(tmp_path_factory, request):
    """Databases by engine, opened when first asked for, with the table ``orders`` in them."""
    folder = tmp_path_factory.mktemp("engines")
    duckdb.connect(str(folder / "sales.duckdb")).close()
    there, table = {}, orders()

    def get(engine: str):
        if engine not in there:
            if engine == "postgres" and not os.environ.get(ADDRESS):
                pytest.skip(f"{ADDRESS} does not name a PostgreSQL server")
            if engine == "spark":
                request.getfixturevalue("spark_session")
            text = {"duckdb": "duckdb:sales.duckdb", "postgres": f"env:{ADDRESS}", "spark": "spark"}[engine]
            database = open_database(text, folder, write=True)
            assert write_scores(database, "orders", table) == table.num_rows
            there[engine] = database
        return there[engine]

    get.folder = folder
    return get
