"""One account that is many people is put up for review, without its name unless that is nobody's."""

from datetime import date, timedelta

from ledger_reading import check

DAYS = [date(2024, 1, 1) + timedelta(days=k) for k in range(150)]
HEADER = "customer_id,date,amount,mail\n"
KEYS = {"keys": {"mail": "mail"}}


def rows(busy, often=1, mails=1):
    """Fifty customers on three days each, and one account on every ``often``-th day, with so many addresses."""
    text = "".join(f"c{k % 50},{one},10,c{k % 50}@mail.example\n" for k, one in enumerate(DAYS))
    return text + "".join(
        f"{busy},{one},5,m{k % mails}@mail.example\n" for k, one in enumerate(DAYS[::often])
    )


def test_customers_who_buy_like_others_are_none(ledger_of):
    ledger = ledger_of(rows("c77", often=40), HEADER, **KEYS)
    assert check(ledger, "ledger.catch_all").status == "pass" and ledger.frames["catch_all"].empty


def test_an_account_that_buys_far_more_often_than_the_next(ledger_of):
    ledger = ledger_of(rows("0", often=2), HEADER)
    found = check(ledger, "ledger.catch_all")
    assert found.status == "review"
    assert (
        "The account '0' of orders (first in orders.csv, row 152) has 75 rows, 33.3 % of that source's"
        in found.message
    )
    assert "on 75 days; the next customer bought on 3 days" in found.message
    assert "{guests: ['0']}" in found.recommendation


def test_the_last_of_many_frequent_customers_stands_out_from_nobody(ledger_of):
    many = "".join(f"b{k:02d},{one},5,m{k}@mail.example\n" for k in range(25) for one in DAYS[::2])
    ledger = ledger_of(many, HEADER)
    assert check(ledger, "ledger.catch_all").status == "pass" and ledger.frames["catch_all"].empty


def test_a_name_that_may_be_somebodys_is_not_shown(ledger_of):
    ledger = ledger_of(rows("anna.adler", often=2), HEADER)
    found = check(ledger, "ledger.catch_all")
    assert found.status == "review" and "adler" not in found.message + found.recommendation
    assert "adler" not in ledger.frames["catch_all"].to_string()


def test_an_account_with_many_addresses(ledger_of):
    """On few days, so that only its keys tell."""
    ledger = ledger_of(rows("GUEST", often=10, mails=15), HEADER, **KEYS)
    (one,) = ledger.frames["catch_all"].itertuples()
    assert (one.shown, one.kind, one.keys, one.days) == ("GUEST", "mail", 15, 15)
    assert "with 15 different values of the key mail" in check(ledger, "ledger.catch_all").message
    more = ledger_of(rows("GUEST", often=10, mails=15), HEADER, catch_all={"max_keys": 15}, **KEYS)
    assert check(more, "ledger.catch_all").status == "pass"


def test_what_a_study_leaves_out_is_settled(ledger_of):
    ledger = ledger_of(rows("0", often=2), HEADER, excluded_customers={"guests": ["0"]})
    assert check(ledger, "ledger.catch_all").status == "pass"
