"""The sample data are the published files, and have the facts that the literature states of them."""

import csv
import hashlib
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "data_samples" / "cdnow"


def _read(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(encoding="ascii", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def master() -> list[dict[str, str]]:
    """Every purchase of every customer."""
    return _read("cdnow.csv")


@pytest.fixture(scope="module")
def sample() -> list[dict[str, str]]:
    """The purchases of one customer in ten."""
    return _read("cdnow_sample.csv")


def _fixed_width(row: dict[str, str], *keys: str) -> str:
    """A row as the published files have it."""
    fields = [
        *(row[key] for key in keys),
        row["date"].replace("-", ""),
        f"{row['cds']:>2}",
        f"{row['amount']:>7}",
    ]
    return f" {' '.join(fields)}\r\n"


def test_master_loses_nothing_of_the_published_file(master):
    """sha256 of lifetimes 0.11.3's CDNOW_master.txt, rebuilt byte by byte."""
    text = " customer_id  date number_of_cds  dollar_value\r\n"
    text += "".join(_fixed_width(row, "customer_id") for row in master)
    digest = hashlib.sha256(text.encode("ascii")).hexdigest()
    assert digest == "eff6889ed364c5199d6eacbbeb7a6d559971df4406ac876f322c373f00a072ef"


def test_sample_loses_nothing_of_the_published_file(sample):
    """sha256 of lifetimes 0.11.3's CDNOW_sample.txt, rebuilt byte by byte."""
    text = "".join(_fixed_width(row, "customer_id", "sample_id") for row in sample)
    digest = hashlib.sha256(text.encode("ascii")).hexdigest()
    assert digest == "6fae10155c0b0ba363c2c386e30f77990d22328220efd862a5edd1443420d94a"


def test_master_counts(master):
    assert len(master) == 69_659
    assert {row["customer_id"] for row in master} == {f"{i:05d}" for i in range(1, 23_571)}
    assert sum(Decimal(row["amount"]) for row in master) == Decimal("2500315.63")
    assert sum(Decimal(row["amount"]) == 0 for row in master) == 80
    assert min(Decimal(row["amount"]) for row in master) == 0
    assert len({(row["customer_id"], row["date"]) for row in master}) == 67_591


def test_sample_counts(sample):
    assert len(sample) == 6_919
    assert len({row["customer_id"] for row in sample}) == 2_357
    assert sum(Decimal(row["amount"]) for row in sample) == Decimal("244091.94")
    assert sum(Decimal(row["amount"]) == 0 for row in sample) == 8
    assert len({(row["customer_id"], row["date"]) for row in sample}) == 6_696


def test_repeated_lines(master, sample):
    """Lines beyond the first of their kind: a line that occurs nine times counts eight."""
    times = Counter(tuple(row.values()) for row in master)
    assert sum(n - 1 for n in times.values()) == 255
    assert sum(n > 1 for n in times.values()) == 215
    assert len(sample) - len({tuple(row.values()) for row in sample}) == 21


def test_dates(master):
    """A cohort of the first quarter of 1997, followed to the end of June 1998."""
    first: dict[str, str] = {}
    for row in master:
        first[row["customer_id"]] = min(row["date"], first.get(row["customer_id"], row["date"]))
    assert (min(first.values()), max(first.values())) == ("1997-01-01", "1997-03-25")
    assert max(row["date"] for row in master) == "1998-06-30"


def test_sample_is_the_masters_rows_of_its_customers(master, sample):
    keys = ("customer_id", "date", "cds", "amount")
    chosen = {row["customer_id"] for row in sample}
    assert Counter(tuple(row[k] for k in keys) for row in sample) == Counter(
        tuple(row[k] for k in keys) for row in master if row["customer_id"] in chosen
    )


def test_sample_ids_number_its_customers(sample):
    pairs = {(row["sample_id"], row["customer_id"]) for row in sample}
    assert sorted(s for s, _ in pairs) == [f"{i:04d}" for i in range(1, 2_358)]
    assert len({c for _, c in pairs}) == len(pairs)
