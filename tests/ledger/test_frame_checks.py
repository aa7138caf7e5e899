"""Refunds without a sale against the share that the study allows, and exchange rates with their age."""

import pytest
from ledger_reading import check

HEADER = "customer_id,date,amount,order\n"
NETTED = {"columns": {"order": "order"}, "negative_amounts": "net", "refunds": {"match": ["order"]}}
SALES = "".join(f"c{k},2024-01-{k:02d},100,o{k}\n" for k in range(1, 11))


def refunds(lost, of=10, amount=-10):
    """Refunds of the orders, the first ``lost`` of them of orders that nobody has."""
    return "".join(
        f"c{k},2024-02-{k:02d},{amount},{'x' if k <= lost else 'o'}{k}\n" for k in range(1, of + 1)
    )


@pytest.mark.parametrize(("lost", "status"), [(0, "pass"), (2, "review"), (3, "fail")])
def test_refunds_without_a_sale_are_counted(ledger_of, lost, status):
    found = check(ledger_of(SALES + refunds(lost), HEADER, **NETTED), "ledger.refunds_unmatched")
    assert (found.status, found.value, found.stops) == (status, lost / 10, status == "fail")
    assert bool(found.recommendation) == bool(lost)
    if lost:
        assert f"{lost} of 10 refunds ({lost}0.0 %, and {lost}0.0 % of the money" in found.message


def test_one_large_refund_without_a_sale_weighs_by_its_money(ledger_of):
    rows = SALES + refunds(0, of=9) + "c10,2024-02-10,-90,x10\n"
    found = check(ledger_of(rows, HEADER, **NETTED), "ledger.refunds_unmatched")
    assert (found.status, found.value) == (
        "fail",
        0.5,
    ) and "50.0 % of the money paid back in EUR" in found.message


def test_a_study_may_allow_more(ledger_of):
    more = NETTED | {"refunds": {"match": ["order"], "max_unmatched_share": 0.3}}
    assert check(ledger_of(SALES + refunds(3), HEADER, **more), "ledger.refunds_unmatched").status == "review"


@pytest.mark.parametrize("unmatched", ["exclude", "quarantine"])
def test_a_refund_of_an_order_that_is_left_out_is_left_out_with_it(ledger_of, unmatched):
    """The refund was booked by the desk, for an order of an account that the study excludes."""
    rows = SALES + "T1,2024-01-20,50,o99\n" + "desk,2024-02-01,-50,o99\n"
    refunds = {"refunds": {"match": ["order"], "unmatched": unmatched}}
    ledger = ledger_of(
        rows + "c1,2024-02-01,-5,o1\n", HEADER, excluded_customers={"test": ["T1"]}, **NETTED | refunds
    )
    assert check(ledger, "ledger.refunds_unmatched").status == "pass"
    left = ledger.reasons[ledger.reasons["state"] == "excluded"].groupby("reason")["rows"].sum().to_dict()
    assert left == {"customer:test": 2}


def test_without_netting_nothing_is_said(ledger_of):
    ids = {one.id for one in ledger_of(SALES + refunds(3), HEADER, columns={"order": "order"}).checks}
    assert "ledger.refunds_unmatched" not in ids and "ledger.rates_age" not in ids


@pytest.mark.parametrize(("day", "status", "age"), [("2024-01-14", "pass", 1), ("2023-12-31", "review", 15)])
def test_old_rates_are_labelled_by_their_age(source, build, day, status, age):
    source("customer_id,date,amount,currency\nc1,2024-01-15,10,USD\nc2,2024-01-15,10,EUR\n")
    source(f"date,currency,rate\n{day},USD,0.5\n", "rates.csv")
    fields = {"date": "date", "currency": "currency", "rate": "rate"}
    sources = {
        "shop": {"path": "orders.csv", "columns": {"currency": "currency"}},
        "rates": {"path": "rates.csv", "holds": "rates", "fields": fields},
    }
    found = check(build(None, sources=sources, exchange={"missing": "stale"}), "ledger.rates_age")
    assert (found.status, found.value, found.threshold) == (status, age, 5)
    stale = "Converted at a rate more than 5 days old: 1 of 1 rows in USD, at rates up to 15 days old."
    assert (found.message == stale) == (status == "review")
