"""How many customers there are with accounts apart and joined: counted by hand, refunds of another source included."""

from datetime import date

from clvkit.ledger import LedgerSection, build_ledger

ORDERS = """account,date,amount,order,email
a1,2024-01-01,10.00,o1,ann@x.example
a2,2024-02-01,20.00,o2,ann@x.example
b1,2024-01-05,30.00,o3,ben@x.example
b1,2024-03-05,30.00,o4,ben@x.example
"""
REFUNDS = "order,date,amount\no3,2024-01-20,5.00\no2,2024-02-20,5.00\n"


def test_a_refund_of_another_source_is_no_account(tmp_path):
    (tmp_path / "orders.csv").write_text(ORDERS)
    (tmp_path / "refunds.csv").write_text(REFUNDS)
    extracted = "2024-06-30"
    section = LedgerSection.model_validate({
        "sources": {
            "shop": {"path": "orders.csv", "extracted": extracted, "keys": {"email": "email"},
                     "columns": {"customer": "account", "order": "order"}},
            "refunds": {"path": "refunds.csv", "holds": "refunds", "extracted": extracted, "id_space": "shop",
                        "columns": {"customer": None, "order": "order"}},
        },
        "negative_amounts": "net",
        "identity": {"keys": ["email"]},
    })  # fmt: skip
    ledger = build_ledger(
        section, as_of=date(2024, 4, 30), currency="USD", base=tmp_path, crosswalk=tmp_path / "known"
    )
    assert ledger.totals["rows"]["merged"] == 2  # both refunds found their orders
    found = ledger.frames["identity_effect"].set_index("counted_as").to_dict("index")
    assert found == {
        "accounts": {"customers": 3, "purchases": 4, "once": 2},
        "customers": {"customers": 2, "purchases": 4, "once": 0},
    }
