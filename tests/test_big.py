"""A source far larger than the memory it is given becomes a ledger, with the cells that bare SQL finds."""

import gc
import json
import os
import subprocess
import sys
import tempfile

import duckdb
import pyarrow as pa
import pytest

from benchmarks import big
from clvkit.errors import DataError
from clvkit.ledger import engine
from clvkit.ledger.engine import LARGE, connect, enough_room

LINES, CUSTOMERS, ENGINE_GB = 400_000, 40_000, 0.2


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_a_source_larger_than_its_memory(form, tmp_path):
    path = big.source(big.Big(form, LINES, CUSTOMERS), tmp_path)
    found = {}
    for kind in ("floor", "ledger"):
        said = subprocess.run(
            [sys.executable, "-m", "benchmarks.big", "--inside", kind, str(path)],
            env=os.environ | {"CLVKIT_MEMORY_GB": str(ENGINE_GB)},
            stdout=subprocess.PIPE,
            check=True,
        )
        found[kind] = json.loads(said.stdout)
    assert found["ledger"]["rows"] == LINES
    assert {k: found["ledger"][k] for k in ("cells", "customers")} == {
        k: found["floor"][k] for k in ("cells", "customers")
    }
    # Half of it is what is imported. Without a limit the same ledger holds 0.65 to 0.70 GB at once.
    assert found["ledger"]["peak_gb"] < 0.6


def test_tables_of_a_large_source_lie_compressed_on_the_disk_until_the_connection_is_gone(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    con = connect(LARGE)
    con.raw_sql("CREATE TABLE t AS SELECT range AS n, 'the same text' AS text FROM range(1_000_000)")
    con.raw_sql("CHECKPOINT")
    (folder,) = tmp_path.glob("clvkit-*")
    assert folder.stat().st_mode & 0o077 == 0  # nobody else reads them
    assert sum(one.stat().st_size for one in folder.iterdir()) < 8_000_000
    del con
    gc.collect()
    assert not folder.exists()


def test_a_table_made_in_parts_is_the_one_made_at_once_and_dropped_tables_are_gone(monkeypatch):
    monkeypatch.setattr(engine, "ROWS_AT_ONCE", 100)
    con = connect()
    scratch = engine.Scratch(con)
    lines = scratch.table(
        "lines", pa.table({"customer": [f"c{n % 97}" for n in range(1000)], "n": range(1000)})
    )
    sums = lambda part: part.group_by("customer").agg(n=part.n.sum())  # noqa: E731
    parts = scratch.table_by_parts("parts", lines, "customer", sums, 1000)
    whole = scratch.table("whole", sums(lines))
    found = [one.order_by("customer").to_pyarrow() for one in (parts, whole)]
    assert found[0].equals(found[1]) and len(found[0]) == 97
    scratch.view("seen", lines)
    scratch.drop("parts", "seen", "lines")
    assert con.list_tables() == ["whole"]


def test_a_full_disk_is_said_and_other_faults_of_a_disk_are_not_taken_for_one():
    with pytest.raises(DataError, match="the disk with the temporary folder is full"), enough_room():
        raise duckdb.IOException('Could not write file "/x/y.tmp": No space left on device')
    with pytest.raises(duckdb.IOException, match="is locked"), enough_room():
        raise duckdb.IOException("the file is locked")


def test_too_little_room_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("CLVKIT_MEMORY_GB", "0.05")
    path = big.source(big.Big("parquet", LINES, CUSTOMERS), tmp_path)
    with pytest.raises(DataError, match="not enough room") as told:
        big.ledger(path, tmp_path)
    assert "CLVKIT_MEMORY_GB" in str(told.value.fix)


def test_the_limit_is_the_engines(monkeypatch):
    monkeypatch.setenv("CLVKIT_MEMORY_GB", "0.25")
    limit = connect().raw_sql("SELECT current_setting('memory_limit')").fetchone()[0]
    assert limit == "238.4 MiB"


@pytest.mark.parametrize("text", ["much", "0", "-4", "inf", "nan"])
def test_a_limit_that_is_none_is_refused(text, monkeypatch):
    monkeypatch.setenv("CLVKIT_MEMORY_GB", text)
    with pytest.raises(DataError, match="CLVKIT_MEMORY_GB"):
        connect()
