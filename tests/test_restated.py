"""What a source says differently from the last time it was read."""

import pytest

import clvkit
from clvkit.restated import restatement_check

STUDY = """\
name: toy
title: Toy
currency: EUR
as_of: 2024-06-30
ledger: {path: orders.csv, extracted: 2024-07-31}
value: {margin: 0.3, annual_discount_rate: 0.1}
"""
ROWS = ["a,2024-01-05,10", "a,2024-03-01,20", "b,2024-02-01,30", "b,2024-07-05,40"]


@pytest.fixture
def restated(tmp_path, monkeypatch):
    """What is restated once the source has these rows."""
    monkeypatch.setenv("CLVKIT_REPORTS", str(tmp_path / "reports"))
    (tmp_path / "toy.yml").write_text(STUDY)

    def read(rows):
        (tmp_path / "orders.csv").write_text("\n".join(["customer_id,date,amount", *rows, ""]))
        return clvkit.open_run(tmp_path / "toy.yml").restatement()

    return read


def test_a_changed_cell_of_a_closed_month_is_told_with_both_values(restated):
    assert restated(ROWS) is None
    assert restatement_check(None).status == "info"
    found = restated([ROWS[0], "a,2024-03-01,25", *ROWS[2:]])
    (month,), (row,) = found.restated, found.rows
    assert (month.month, month.amount_minor) == ("2024-03", (2000, 2500))
    assert (row.kind, row.values["amount_minor"]) == ("changed", (2000, 2500))
    check = restatement_check(found)
    assert check.status == "review" and "2024-03 of orders; 1 row changed" in check.message


def test_new_rows_of_the_open_month_restate_nothing(restated):
    restated(ROWS)
    found = restated([*ROWS, "b,2024-07-06,5"])
    assert not found.restated and restatement_check(found).status == "pass"


def test_the_same_data_again_are_no_new_version(restated):
    restated(ROWS)
    assert restated(list(ROWS)) is None
