"""Shared accounts of a study: split by the declared rule, the same total under every rule, and nobody named."""

from datetime import date

import pytest

from clvkit.chapters.ledger_shared import rules_table, split_table
from clvkit.errors import DataError
from clvkit.ledger import LedgerSection, build_ledger
from clvkit.ledger.policies import SharedAccountsSection
from clvkit.ledger.shared_totals import shared_totals

ORDERS = """customer_id,date,amount
firm,2024-01-01,100.00
firm,2024-02-01,50.00
club,2024-01-05,30.01
club,2024-06-05,999.00
ann,2024-01-07,12.00
lost,2024-01-09,7.00
"""
MEMBERS = """account,customer,margin_minor,first_day
firm,x,300,2024-01-02
firm,y,100,2024-01-01
club,x,5,2024-01-02
club,y,5,2024-01-03
ann,x,1,2024-01-01
nobody,z,1,2024-01-01
"""


@pytest.fixture
def world(tmp_path):
    (tmp_path / "orders.csv").write_text(ORDERS)
    (tmp_path / "members.csv").write_text(MEMBERS)
    (tmp_path / "weights.csv").write_text("account,customer,weight\nclub,x,0.25\nclub,y,0.75\n")
    ledger = build_ledger(LedgerSection(path="orders.csv", extracted="2024-12-31"), as_of=date(2024, 3, 31), currency="USD",
                          base=tmp_path, crosswalk=tmp_path / ".crosswalk")  # fmt: skip

    def split(**section):
        section = {"members": "members.csv"} | section
        return shared_totals(ledger, SharedAccountsSection(**section), tmp_path / ".crosswalk", tmp_path)

    return split


def rows(frame):
    return frame.set_index(frame.columns[0]).to_dict("index")


def test_the_declared_rule_splits_what_was_brought_up_to_the_as_of_date(world):
    found = world(rule="equal", allocation="weights.csv")
    assert rows(found.split) == {
        "equal": {"accounts": 1, "customers": 2, "amount_minor": 15_000},
        "one customer": {"accounts": 1, "customers": 1, "amount_minor": 1_200},
        "stated weights": {"accounts": 1, "customers": 2, "amount_minor": 3_001},
    }


def test_every_rule_has_the_same_total_and_says_what_it_moves(world):
    found = rows(world(rule="margin").rules)
    assert set(found) == {"equal", "margin", "first_touch", "none"}
    assert {one["total_minor"] for one in found.values()} == {15_000 + 3_001 + 1_200}
    assert found["margin"]["moved_minor"] == 0
    # by margin x has 11,250 of the firm's and half of the club's, equally 7,500 of the firm's
    assert found["equal"]["moved_minor"] == 3_750
    assert found["none"]["unassigned_minor"] == 18_001 and found["none"]["customers"] == 1
    assert found["first_touch"]["largest_minor"] == 15_000


def test_accounts_without_a_rule_stay_nobody_s(world):
    found = world()
    assert rows(found.split)["no rule"] == {"accounts": 2, "customers": 4, "amount_minor": 18_001}
    table = split_table(found.split, "USD", 2)
    assert table.title == "3 accounts listed as shared brought USD 192.01; USD 180.01 of it is nobody's"
    assert table.frame["amount"].iloc[:-1].sum() == pytest.approx(table.frame["amount"].iloc[-1])
    rules = rules_table(found.rules, "none", "USD", 2)
    assert rules.frame["rule"].iloc[-1] == "Not at all (declared)" and "would change no total" in rules.title


def test_rules_that_the_list_does_not_allow(world, tmp_path):
    (tmp_path / "plain.csv").write_text("account,customer\nfirm,x\nfirm,y\n")
    found = world(rule="equal", members="plain.csv")
    assert set(found.rules["rule"]) == {"equal", "none"}
    with pytest.raises(DataError, match="needs the column margin_minor"):
        world(rule="margin", members="plain.csv")
    (tmp_path / "odd.csv").write_text("konto,customer\nfirm,x\n")
    with pytest.raises(DataError, match="has no column account"):
        world(members="odd.csv")
    with pytest.raises(ValueError, match="must name the file"):
        SharedAccountsSection(rule="equal")
