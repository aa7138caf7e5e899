"""A source far larger than the memory it is given becomes a ledger, with the cells that bare SQL finds."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks import big
from clvkit.errors import DataError
from clvkit.ledger.engine import connect

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
