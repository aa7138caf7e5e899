"""Discounts beside the margin ladder: three ways to count the same cash flows, where there are costs and discounts."""

from datetime import date

import pytest

from clvkit.chapters.ledger_promotions import promotions
from clvkit.ledger import LedgerSection, build_ledger
from clvkit.study import study_from_resolved

ORDERS = """customer_id,date,amount,off
ann,2024-01-01,80.00,20.00
ann,2025-01-01,100.00,0
ben,2024-02-01,50.00,
"""


def shown(tmp_path, orders=ORDERS, **section):
    (tmp_path / "orders.csv").write_text(orders)
    said = {
        "path": "orders.csv",
        "extracted": "2025-06-30",
        "columns": {"discount": "off"},
        "costs": {"company": 0.5},
    }
    said |= section
    study = study_from_resolved(
        {"name": "shop", "title": "Shop", "currency": "USD", "as_of": "2025-03-31", "days_per_year": 366,
         "ledger": said, "value": {"margin": 0.5, "annual_discount_rate": 0.1}}
    )  # fmt: skip
    ledger = build_ledger(
        LedgerSection.model_validate(said), as_of=date(2025, 3, 31), currency="USD", base=tmp_path
    )
    ledger.save(tmp_path / "kept")
    return promotions(type(ledger).load(tmp_path / "kept"), study)


def test_with_and_without_and_as_a_cost_of_winning_customers(tmp_path):
    (table,) = shown(tmp_path)
    include, amortise, exclude = table.frame["margin"]
    # margins after costs: 40 and 25 on the first day, 50 a year of 366 days later; 20 were given on the first day
    assert include == pytest.approx(65 + 50 / 1.1, abs=0.01)
    assert exclude == pytest.approx(include + 20, abs=0.01)
    spread = sum(20 / 12 * 1.1 ** -((month + 1) / 12) for month in range(12))
    assert amortise == pytest.approx(exclude - spread, abs=0.01)
    assert (
        table.title
        == f"Without discounts, the same sales would have left {20 / include:.1%} more margin".replace(
            "%", " %"
        )
    )


def test_nothing_is_shown_without_costs_or_discounts(tmp_path):
    assert shown(tmp_path, costs=None) == []
    assert shown(tmp_path, orders=ORDERS.replace("20.00", "0")) == []
