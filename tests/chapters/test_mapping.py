"""The mapping report: every column of every source is used, not used or banned, and defaults are said."""

from datetime import date

import pandas as pd
import pytest

from clvkit.chapters.ledger_mapping import in_short, mapping
from clvkit.ledger import LedgerSection, build_ledger


@pytest.fixture
def made(tmp_path):
    (tmp_path / "shop").mkdir()
    for month in ("2024-01", "2024-02"):
        more = ",channel" if month == "2024-02" else ""
        text = f"account,day,net,email,note,birth_year{more}\nA1,{month}-03,10.00,a@example.org,x,1990{',web' if more else ''}\n"
        (tmp_path / "shop" / f"{month}.csv").write_text(text)
    (tmp_path / "till.csv").write_text("4711;2024-01-09;1.00;CHF;7\n")
    pd.DataFrame({"sku": ["a"], "unit_cost": ["1.00"], "colour": ["red"]}).to_parquet(
        tmp_path / "products.parquet"
    )
    pd.DataFrame({"d": [date(2024, 1, 1)], "c": ["CHF"], "r": [1.05]}).to_parquet(tmp_path / "rates.parquet")
    section = LedgerSection(
        sources={
            "shop": {"path": "shop", "columns": {"customer": "account", "date": "day", "amount": "net"},
                     "keys": {"email": "email"}, "extracted": "2024-03-01"},
            "till": {"path": "till.csv", "delimiter": ";", "header": False, "currency": "CHF", "segment": "till",
                     "columns": {"customer": "1", "date": "2", "amount": "3", "quantity": "5"}, "tax_rate": "0.19",
                     "amount_holds": ["tax"], "extracted": "2024-03-01"},
            "products": {"holds": "products", "path": "products.parquet",
                         "fields": {"product": "sku", "unit_cost": "unit_cost"}},
            "rates": {"holds": "rates", "path": "rates.parquet", "fields": {"date": "d", "currency": "c", "rate": "r"}},
        },
        exchange={"missing": "stale"},
    )  # fmt: skip
    ledger = build_ledger(
        section, as_of=date(2024, 2, 29), currency="EUR", base=tmp_path, banned=("BIRTH_YEAR", "colour")
    )
    return ledger, section


def test_every_column_of_every_source_is_used_or_not_or_banned(made):
    ledger, section = made
    (table,) = mapping(ledger, section)
    said = table.frame.set_index("source")
    assert said.loc["shop", "mapped"] == "customer: account, date: day, amount: net, key email: email"
    # A column that only a later file has is told, too.
    assert said.loc["shop", "unused"] == "note, channel" and said.loc["shop", "banned"] == "birth_year"
    assert said.loc["till", "unused"] == "4" and said.loc["till", "banned"] == "none"
    assert said.loc["products", ["mapped", "unused", "banned"]].tolist() == [
        "product: sku, unit cost: unit_cost", "none", "colour"]  # fmt: skip
    assert table.title == "Of 18 columns of the sources 13 are used, and 2 must not be read"


def test_defaults_are_said(made):
    ledger, section = made
    (table,) = mapping(ledger, section)
    default = table.frame.set_index("source")["default"]
    assert default["shop"].startswith(
        "currency: EUR, of the study; segment: all; order: no order; line id: rows"
    )
    assert default["shop"].endswith("discount: 0; tax: 0; shipping: 0")
    assert default["till"].startswith(
        "currency: CHF; segment: till; tax: 19.00% of the net amount; order: no order"
    )
    assert "tax: 0" not in default["till"] and "quantity" not in default["till"]
    assert default["products"] == "category: empty; list_price: empty"
    assert default["rates"] == "none"


def test_the_terminal_has_it_in_a_line_per_source(made):
    lines = in_short(*made)
    assert (
        lines[0].startswith("shop: customer: account, date: day") and "; not used: note, channel" in lines[0]
    )
    assert "; banned, not read: birth_year" in lines[0]
    assert lines[3] == "rates: date: d, currency: c, rate: r"
