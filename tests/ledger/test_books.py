"""The ledger beside the books: months that agree, months that rows set aside explain, and months that differ."""

from datetime import date

import pytest
from ledger_reading import check

from clvkit.chapters import ledger_books
from clvkit.errors import StudyError
from clvkit.ledger.books_check import likeness

SALES = "".join(
    f"c{k},2024-0{month}-{2 * k + 1:02d},{amount}\n"
    for month, amounts in {1: (100, 50), 2: (80, 120), 3: (60, 40), 4: (30, 70)}.items()
    for k, amount in enumerate(amounts)
)
BOOKS = {"2024-01": "150.00", "2024-02": "200.00", "2024-03": "100.00", "2024-04": "100.00"}


@pytest.fixture
def beside(source, build):
    """A ledger of orders beside the books: ``beside(rows, {"2024-01": "150.00"})``."""

    def make(rows=SALES, booked=BOOKS, as_of=date(2024, 4, 30), header="customer_id,date,amount\n", **more):
        source(header + rows, "orders.csv")
        lines = "".join(f"{month},revenue,{amount}\n" for month, amount in booked.items())
        source("month,account,amount\n" + lines + "2024-01,vat,99.00\n", "books.csv")
        sources = {
            "shop": {"path": "orders.csv", **more.pop("shop", {})},
            "general_ledger": {
                "path": "books.csv",
                "holds": "totals",
                "fields": {"date": "month", "account": "account", "amount": "amount"},
                "date_format": "%Y-%m",
            },
        }
        sources |= more.pop("extra", {})
        books = {"compare": {"sales": {"accounts": ["revenue"], "sources": ["shop"], "rows": "sales"}}}
        return build(None, as_of=as_of, sources=sources, books=books | more.pop("books", {}), **more)

    return make


def status(ledger):
    """The status of each month."""
    frame = ledger.frames["books"]
    return {f"{one.month:%Y-%m}": one.status for one in frame.itertuples()}


def test_months_that_agree_are_said_to(beside):
    ledger = beside(booked=BOOKS | {"2024-02": "201.00"})
    assert set(status(ledger).values()) == {"agrees"}
    found = check(ledger, "ledger.books")
    assert (found.status, found.value) == ("pass", 0) and "4 months of sales agree" in found.message
    (table,) = ledger_books.books(ledger)
    assert table.title == "Sales and refunds are what accounting booked"
    assert table.frame[["booked", "ledger", "gap"]].iloc[0].tolist() == [551.0, 550.0, -1.0]


def test_a_month_with_tax_is_named_with_its_amounts_and_its_rate(beside):
    ledger = beside(SALES.replace(",80\n", ",95.20\n").replace(",120\n", ",142.80\n"))
    assert status(ledger) == {
        "2024-01": "agrees",
        "2024-02": "differs",
        "2024-03": "agrees",
        "2024-04": "agrees",
    }
    found = check(ledger, "ledger.books")
    assert found.status == "fail" and found.stops and found.value == pytest.approx(38 / 550)
    assert "sales in February 2024: EUR 238.00 in the ledger and EUR 200.00 booked" in found.message
    assert "as amounts with tax of 19% would be" in found.message and "amount_holds" in found.recommendation
    totals, months = ledger_books.books(ledger)
    assert "In 1 month the ledger holds something else" in totals.title
    assert months.frame[["month", "gap", "said"]].values.tolist() == [["February 2024", 38.0, "differs"]]


def test_what_the_two_sides_look_like():
    assert "tax of 8%" in likeness(10_810, 10_000)[0]
    assert likeness(10_000, 11_900)[0] == "as if tax of 19% had been taken off"
    assert likeness(1_000_000, 10_000)[0] == "about 100 times too large"
    assert likeness(100, 10_000)[0] == "about 100 times too small"
    assert likeness(20_000, 10_000)[0] == "twice what is booked"
    assert likeness(500, -500)[0] == "of the other sign"
    assert likeness(13_700, 10_000) is None and likeness(0, 500) is None and likeness(500, 0) is None


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("c9,2024-02-30,40\n", "date_unreadable"),
        ("c9,,40\n", "date_missing"),
        ("c9,2024-02-09,forty\n", "amount_unreadable"),
        ("TEST,2024-02-09,40\n", "customer:test"),
    ],
)
def test_what_a_rule_set_aside_explains_a_difference_and_no_more(beside, row, reason):
    """Forty more are booked; the row that lacks them is told by its own rule. A hundred more are not its."""
    policy = {"excluded_customers": {"test": ["TEST"]}, "max_quarantined_share": 1}
    ledger = beside(SALES + row, BOOKS | {"2024-02": "240.00"}, **policy)
    assert reason in set(ledger.reasons["reason"])
    assert status(ledger)["2024-02"] == "explained" and check(ledger, "ledger.books").status == "pass"
    more = beside(SALES + row, BOOKS | {"2024-02": "400.00"}, **policy)
    assert status(more)["2024-02"] == "differs" and check(more, "ledger.books").status == "fail"


def test_a_surplus_is_not_explained_by_what_is_missing(beside):
    ledger = beside(SALES + "c9,2024-02-09,forty\n", BOOKS | {"2024-02": "160.00"}, max_quarantined_share=1)
    assert status(ledger)["2024-02"] == "differs"


def test_months_to_come_and_months_that_the_sources_do_not_have(beside):
    ledger = beside(booked=BOOKS | {"2023-12": "500.00", "2024-04": "1.00"}, as_of=date(2024, 4, 15))
    assert status(ledger) == {
        "2023-12": "not covered", "2024-01": "agrees", "2024-02": "agrees", "2024-03": "agrees", "2024-04": "open",
    }  # fmt: skip
    assert check(ledger, "ledger.books").status == "pass"


def test_small_differences_over_all_months_are_put_up_for_review(beside):
    found = check(beside(booked=BOOKS | {"2024-03": "104.00"}), "ledger.books")
    assert (found.status, found.stops) == ("review", False) and "Ask accounting" in found.recommendation
    assert check(beside(booked=BOOKS | {"2024-03": "104.00"}, books={"tolerance": 0.04}), "ledger.books").status == "pass"  # fmt: skip


def test_books_in_the_studys_currency_are_held_against_converted_rows(beside, source):
    """The table has no currency: amounts in others are compared as they were converted."""
    source("date,currency,rate\n2023-12-29,USD,0.5\n", "rates.csv")
    fields = {"date": "date", "currency": "currency", "rate": "rate"}
    ledger = beside(
        "c1,2024-01-01,100,USD\nc2,2024-01-02,100,EUR\n",
        {"2024-01": "150.00"},
        header="customer_id,date,amount,currency\n",
        shop={"columns": {"currency": "currency"}},
        extra={"rates": {"path": "rates.csv", "holds": "rates", "fields": fields}},
    )
    (one,) = ledger.frames["books"].itertuples()
    assert (one.currency, one.ledger_minor, one.status) == ("EUR", 15000, "agrees")


def test_a_study_is_told_of_names_that_there_are_not(beside):
    wrong = {"compare": {"sales": {"accounts": ["revenu"], "sources": ["shop"]}}}
    with pytest.raises(StudyError, match="'revenu'") as caught:
        beside(books=wrong)
    assert "did you mean 'revenue'" in str(caught.value)
    with pytest.raises(StudyError, match="'till'"):
        beside(books={"compare": {"sales": {"accounts": ["revenue"], "sources": ["till"]}}})


def test_books_that_are_read_and_not_compared_are_said_to_be(beside):
    ledger = beside(books={"compare": {}})
    assert check(ledger, "ledger.books").status == "info" and "books" not in ledger.frames
    assert ledger_books.books(ledger) == []
