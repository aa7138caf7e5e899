"""Several sources, currencies and files in one ledger: who has which row, and what it is worth."""

import pytest
from ledger_reading import AS_OF, TODAY, bought, check

from clvkit.errors import DataError, StudyError
from clvkit.ledger import LedgerSection, build_ledger

COLUMNS = {
    "customer": "who",
    "date": "day",
    "amount": "paid",
    "order": "order",
    "line_id": "line",
    "currency": "cur",
}
HEADER = "who,day,paid,order,line,cur\n"
RATES = {
    "holds": "rates",
    "path": "rates.csv",
    "fields": {"date": "date", "currency": "code", "rate": "rate"},
}


@pytest.fixture
def many(source, tmp_path):
    """A ledger of several sources: ``many({"shop.csv": rows}, {"shop": {...}})``."""

    def make(files, sources, crosswalk=None, banned=(), **section):
        for name, rows in files.items():
            source(rows if name == "rates.csv" else HEADER + rows, name=name)
        filled = {
            name: one if one.get("holds") == "rates" else {"columns": COLUMNS, "path": f"{name}.csv"} | one
            for name, one in sources.items()
        }
        return build_ledger(
            LedgerSection(sources=filled, **section), as_of=AS_OF, currency="EUR", base=tmp_path, today=TODAY,
            crosswalk=crosswalk, banned=banned,
        )  # fmt: skip

    return make


def reasons(ledger):
    """``{(state, reason): rows}``."""
    frame = ledger.reasons.groupby(["state", "reason"])["rows"].sum()
    return {key: int(rows) for key, rows in frame.items()}


def test_accounts_of_two_sources_are_two_customers(many):
    ledger = many(
        {"shop.csv": "a,2024-01-05,1,o1,1,EUR\n", "till.csv": "a,2024-01-05,2,o1,1,EUR\n"},
        {"shop": {}, "till": {}},
    )
    assert bought(ledger) == [("shop:a", "2024-01-05", 100, 1), ("till:a", "2024-01-05", 200, 1)]
    assert [one["source"] for one in ledger.inputs] == ["shop", "till"]


def test_two_systems_that_share_receipts_count_them_once(many):
    files = {
        "old.csv": "a,2024-01-05,1,o1,1,EUR\na,2024-01-06,5,o2,1,EUR\n",
        "new.csv": "a,2024-01-06,5,o2,1,EUR\na,2024-01-07,7,o3,1,EUR\n",
    }
    ledger = many(files, {"old": {"id_space": "till"}, "new": {"id_space": "till"}})
    assert reasons(ledger)["excluded", "overlap"] == 1
    assert sum(amount for _, _, amount, _ in bought(ledger)) == 1300
    assert check(ledger, "ledger.overlaps").status == "review"
    assert ledger.frames["overlaps"]["rows"].tolist() == [1]


def test_the_last_file_that_says_a_line_counts(many):
    """A line loaded again with another amount is restated, and not a second purchase."""
    files = {"shop/1.csv": "a,2024-01-05,1,o1,1,EUR\n", "shop/2.csv": "a,2024-01-05,3,o1,1,EUR\n"}
    ledger = many(files, {"shop": {"path": "shop"}})
    assert bought(ledger) == [("a", "2024-01-05", 300, 1)]
    assert reasons(ledger)["excluded", "superseded"] == 1


def test_amounts_keep_their_currency_and_are_valued_in_the_studys(many):
    files = {
        "shop.csv": "a,2024-01-05,10,o1,1,CHF\na,2024-01-05,100,o2,1,JPY\na,2024-01-08,1.00,o3,1,EUR\n",
        "rates.csv": "date,code,rate\n2024-01-05,CHF,1.07\n2024-01-05,JPY,0.0063\n",
    }
    ledger = many(files, {"shop": {}, "rates": RATES})
    assert bought(ledger) == [("a", "2024-01-05", 1070 + 63, 2), ("a", "2024-01-08", 100, 1)]
    assert {code: one["in"] for code, one in ledger.totals["amount"].items()} == {
        "EUR": 1,
        "CHF": 10,
        "JPY": 100,
    }
    for money in ledger.totals["amount"].values():
        assert money["in"] == sum(amount for state, amount in money.items() if state != "in")
    assert not [one for one in ledger.checks if one.stops]


def test_a_code_that_is_no_currency_is_quarantined(many):
    ledger = many({"shop.csv": "a,2024-01-05,1,o1,1,EUR\na,2024-01-06,1,o2,1,QQQ\n"}, {"shop": {}})
    assert reasons(ledger)["quarantined", "currency_unknown"] == 1
    assert ledger.quarantine["value"].tolist() == ["QQQ"]


@pytest.mark.parametrize(
    ("rates", "said"),
    [(None, "no source holds exchange rates"), ("date,code,rate\n2023-01-05,CHF,1.07\n", "CHF")],
)
def test_a_missing_rate_stops(many, rates, said):
    files = {"shop.csv": "a,2024-01-05,10,o1,1,CHF\n"} | ({"rates.csv": rates} if rates else {})
    with pytest.raises(DataError, match=said) as error:
        many(files, {"shop": {}} | ({"rates": RATES} if rates else {}))
    assert error.value.fix


REFUNDS = {"holds": "refunds", "id_space": "shop", "columns": COLUMNS | {"customer": None}}


def test_refunds_of_another_source_net_against_their_orders(many):
    files = {
        "shop.csv": "a,2024-01-05,10,o1,1,EUR\na,2024-02-05,8,o2,1,EUR\n,2024-02-06,9,o3,1,EUR\n",
        "back.csv": "x,2024-01-20,4,o1,r1,EUR\nx,2024-02-20,8,o2,r2,EUR\nx,2024-02-21,1,o3,r3,EUR\nx,2024-02-22,1,o9,r4,EUR\n",
    }
    policies = {"negative_amounts": "net", "guests": "exclude", "refunds": {"max_unmatched_share": 0.25}}
    ledger = many(files, {"shop": {}, "back": REFUNDS}, **policies)
    assert bought(ledger) == [("shop:a", "2024-01-05", 600, 2)]
    assert reasons(ledger) == {
        ("used", ""): 1,
        ("merged", "refund"): 1,
        ("excluded", "returned_in_full"): 2,
        ("excluded", "guest"): 2,
        ("excluded", "refund_unmatched"): 1,
    }
    assert not [one for one in ledger.checks if one.stops]


def test_people_are_found_by_their_keys_and_known_by_pseudonyms(many, tmp_path):
    files = {"shop.csv": "a,2024-01-05,1,o1,ann@x.test,EUR\nb,2024-01-06,1,o2,bob@x.test,EUR\n",
             "till.csv": "7,2024-01-07,1,o1,Ann@X.test,EUR\n"}  # fmt: skip
    plain = {"columns": COLUMNS | {"line_id": None}, "keys": {"email": "line"}}
    folder = tmp_path / "crosswalk"
    made = [
        many(files, {"shop": plain, "till": plain}, folder, identity={"keys": ["email"]}) for _ in range(2)
    ]
    first, second = (sorted(bought(one), key=lambda each: each[1]) for one in made)
    assert first == second  # the pseudonyms are kept from run to run
    assert first[0][0] == first[2][0] != first[1][0]
    assert not {"a", "b", "7", "shop:a"} & {customer for customer, *_ in first}


def test_what_must_not_be_read_is_nowhere(many):
    files = {"shop.csv": "a,2024-01-05,1,secret,1,EUR\na,2024-01-06,oops,secret,2,EUR\nsecret,x\n"}
    open_columns = {key: column for key, column in COLUMNS.items() if key != "order"}
    ledger = many(files, {"shop": {"columns": open_columns}}, banned=["Order"])
    held = [str(value) for row in ledger.rows.to_pyarrow().to_pylist() for value in row.values()]
    assert not [value for value in held if "secret" in value]
    assert "secret" not in ledger.quarantine.to_csv()
    with pytest.raises(StudyError, match=r"reads order, which privacy\.banned_columns forbids"):
        many(files, {"shop": {}}, banned=["order"])


def test_tax_and_delivery_count_by_policy(source, build):
    source("customer_id,date,amount,vat,post\nc1,2024-01-05,119,19,5\n")
    columns = {"tax": "vat", "shipping": "post"}
    net = {"columns": columns, "amount_holds": ["tax"]}
    assert bought(build(**net))[0][2] == 10000
    assert bought(build(**net, tax="include"))[0][2] == 11900
    assert bought(build(**net, shipping="include"))[0][2] == 10500
    assert bought(build(amount_holds=["tax"], tax_rate="0.19"))[0][2] == 10000
    assert bought(build(tax="include", tax_rate="0.07"))[0][2] == 12733


@pytest.mark.parametrize(
    ("written", "form", "day"),
    [
        ("2024-03-31T21:30:00Z", "%Y-%m-%dT%H:%M:%SZ", "2024-03-31"),  # half past eleven on the short day
        ("2024-03-31T22:30:00Z", "%Y-%m-%dT%H:%M:%SZ", "2024-04-01"),
        ("2023-10-29T22:30:00+0000", "%Y-%m-%dT%H:%M:%S%z", "2023-10-29"),  # and on the long one
        ("2023-10-29T23:30:00+01:00", "%Y-%m-%dT%H:%M:%S%z", "2023-10-29"),
        ("2023-10-29T17:30:00-0500", "%Y-%m-%dT%H:%M:%S%z", "2023-10-29"),
        ("2023-10-29 23:30", "%Y-%m-%d %H:%M", "2023-10-30"),  # without an offset a moment is UTC
    ],
)
def test_a_moment_belongs_to_the_day_of_the_business(source, build, written, form, day):
    source(f"customer_id,date,amount\nc1,{written},1\n")
    assert bought(build(date_format=form, timezone="Europe/Berlin"))[0][1] == day
