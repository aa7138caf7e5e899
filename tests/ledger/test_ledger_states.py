"""Every source row ends in one state, by the rule or policy that says so."""

from datetime import date

import pytest
from ledger_reading import AS_OF, HEADER, TODAY, bought, check, states

from clvkit.ledger import LedgerSection, build_ledger

Q = "quarantined"


CASES = [
    ("c1,2024-01-05,10.00", "used", None),
    ("c1,2024-07-01,10.00", "later", "after_as_of"),
    ("c1,2024-06-30,10.00", "used", None),
    ("c1,2024-07-31,10.00", "later", "after_as_of"),
    ("c1,2024-08-01,10.00", Q, "date_after_extract"),
    ("c1,2024-01-05,0", "used", None),
    ("c1,2024-01-05,-3.10", "excluded", "amount_negative"),
    (",2024-01-05,10.00", Q, "customer_missing"),
    ("  ,2024-01-05,10.00", Q, "customer_missing"),
    ("NULL,2024-01-05,10.00", Q, "customer_missing"),
    ("c1,,10.00", Q, "date_missing"),
    ("c1,yesterday,10.00", Q, "date_unreadable"),
    ("c1,2024-02-30,10.00", Q, "date_unreadable"),
    ("c1,infinity,10.00", Q, "date_unreadable"),
    ("c1,1900-01-01,10.00", Q, "date_before_earliest"),
    ("c1,0024-01-01,10.00", Q, "date_before_earliest"),
    ("c1,2024-01-05,", Q, "amount_missing"),
    ("c1,2024-01-05,nan", Q, "amount_missing"),
    ("c1,2024-01-05,ten", Q, "amount_unreadable"),
    ("c1,2024-01-05,$10.00", Q, "amount_unreadable"),
    ("c1,2024-01-05,1_000", Q, "amount_unreadable"),
    ("c1,2024-01-05,inf", Q, "amount_unreadable"),
    ("c1,2024-01-05,1e300", Q, "amount_out_of_range"),
    ("c1,2024-01-05,1000000000000", Q, "amount_out_of_range"),
    ("c1,2024-01-05,999999999999.99", "used", None),
    ("c1,2024-01-05", Q, "row_unparseable"),
    ("c1,2024-01-05,10,00", Q, "row_unparseable"),
    ('c1,2024-01-05,"10.00', Q, "row_unparseable"),
    ('c1,"2024-01-05"x,10.00', Q, "row_unparseable"),
    ("   ", Q, "row_unparseable"),
]


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """All cases in one source, one customer each."""
    folder = tmp_path_factory.mktemp("cases")
    rows = [row.replace("c1", f"c{i}") for i, (row, _, _) in enumerate(CASES)]
    (folder / "orders.csv").write_text(HEADER + "\n".join([*rows, "last,2024-01-01,1"]) + "\n")
    section = LedgerSection(path="orders.csv")
    return build_ledger(section, as_of=AS_OF, currency="EUR", base=folder, today=TODAY)


@pytest.mark.parametrize("case", range(len(CASES)), ids=[c[0] for c in CASES])
def test_one_row(judged, case):
    assert states(judged)[case + 2] == CASES[case][1:]


def test_the_cases_balance(judged):
    assert check(judged, "ledger.rows_balance").status == "pass"
    assert check(judged, "ledger.money_balances").status == "pass"
    assert states(judged)[len(CASES) + 2] == ("used", None)


def test_rows_of_one_day_are_merged_into_the_first(ledger_of):
    ledger = ledger_of("c1,2024-01-05,10.00\nc2,2024-01-05,1\nc1,2024-01-05,0.55\nc1,2024-01-06,2\n")
    assert states(ledger) == {
        2: ("used", None),
        3: ("used", None),
        4: ("merged", "same_day"),
        5: ("used", None),
    }
    assert bought(ledger) == [
        ("c1", "2024-01-05", 1055, 2),
        ("c1", "2024-01-06", 200, 1),
        ("c2", "2024-01-05", 100, 1),
    ]
    assert ledger.totals == {
        "customers": 2,
        "rows": {"in": 4, "used": 3, "merged": 1, "later": 0, "excluded": 0, "quarantined": 0},
        "amount": {
            "EUR": {
                "in": 13.55,
                "used": 13.0,
                "merged": 0.55,
                "later": 0.0,
                "excluded": 0.0,
                "quarantined": 0.0,
            }
        },
        "amount_unreadable": 0,
    }


def test_quarantined_money_is_counted_where_it_can_be_read(ledger_of):
    ledger = ledger_of("c1,2024-01-05,10.00\n,2024-01-05,7.25\nc1,soon,0.10\nc2,2024-01-05,ten\n")
    assert ledger.totals["amount"]["EUR"]["quarantined"] == 7.35
    assert ledger.totals["amount"]["EUR"]["in"] == 17.35
    assert ledger.totals["amount_unreadable"] == 1
    assert "the amount of 1 row could not be read" in check(ledger, "ledger.money_balances").message


@pytest.mark.parametrize("policy, state", [("keep", "used"), ("exclude", "excluded"), ("quarantine", Q)])
def test_zero_amounts(ledger_of, policy, state):
    ledger = ledger_of("c1,2024-01-05,0.00\nc2,2024-01-05,1\nc3,2024-01-05,0.004\n", zero_amounts=policy)
    assert [s for s, _ in states(ledger).values()] == [state, "used", state]


@pytest.mark.parametrize("policy, state", [("exclude", "excluded"), ("quarantine", Q)])
def test_negative_amounts(ledger_of, policy, state):
    ledger = ledger_of("c1,2024-01-05,-5\nc2,2024-01-05,1\n", negative_amounts=policy)
    assert states(ledger)[2] == (state, "amount_negative")
    assert ledger.totals["amount"]["EUR"][state] == -5.0


class TestDuplicates:
    ROWS = "c1,2024-01-05,10\nc1,2024-01-05,10\nc2,2024-01-05,10\nc1,2024-01-05,10\n"

    def test_are_kept_and_reported(self, ledger_of):
        ledger = ledger_of(self.ROWS)
        assert bought(ledger)[0] == ("c1", "2024-01-05", 3000, 3)
        message = check(ledger, "ledger.duplicates").message
        assert message.startswith("2 rows repeat an earlier row in every column; ")
        assert "copies are kept as purchases" in message

    def test_are_dropped_if_the_study_says_so(self, ledger_of):
        ledger = ledger_of(self.ROWS, duplicate_lines="drop")
        assert bought(ledger)[0] == ("c1", "2024-01-05", 1000, 1)
        assert states(ledger)[3] == states(ledger)[5] == ("excluded", "duplicate_line")

    def test_are_told_by_the_line_id_where_there_is_one(self, ledger_of):
        ledger = ledger_of(
            "c1,2024-01-05,10,a\nc1,2024-01-05,10,b\nc1,2024-01-05,10,a\nc1,2024-01-06,1,\nc1,2024-01-06,1,\n",
            header="customer_id,date,amount,id\n",
            columns={"line_id": "id"},
            duplicate_lines="drop",
        )
        assert states(ledger)[4] == ("excluded", "duplicate_line")
        assert ledger.totals["rows"]["excluded"] == 1
        assert "1 row has a line id seen before" in check(ledger, "ledger.duplicates").message

    def test_a_sound_copy_of_a_broken_row_is_used(self, ledger_of):
        ledger = ledger_of(
            "c1,2024-01-05,ten,a\nc1,2024-01-05,10,a\n",
            header="customer_id,date,amount,id\n",
            columns={"line_id": "id"},
            duplicate_lines="drop",
        )
        assert states(ledger)[3] == ("used", None)

    def test_over_files(self, source, build):
        source("customer_id,date,amount\nc1,2024-01-05,10\n", "in/a.csv")
        source("customer_id,date,amount\nc1,2024-01-05,10\n", "in/b.csv")
        ledger = build("in", duplicate_lines="drop")
        assert ledger.totals["rows"]["excluded"] == 1
        frame = ledger.rows.filter(ledger.rows.state == "excluded").to_pyarrow().to_pylist()
        assert frame[0]["file"] == "in/b.csv"


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ({"excluded_customers": {"test": ["c1"]}}, "customer:test"),
        ({"guests": "exclude", "missing_words": ["c1"]}, "guest"),
        ({"negative_amounts": "exclude"}, "amount_negative"),
    ],
)
def test_a_copy_of_what_a_policy_leaves_out_is_no_second_one(source, build, policy, reason):
    row = "c1,2024-01-05,-10\n"
    source(HEADER + "c2,2024-01-05,3\n" + row, "in/a.csv")
    source(HEADER + row + row, "in/b.csv")
    two = build("in", duplicate_lines="keep", **policy)
    assert two.reasons.groupby("reason")["rows"].sum().to_dict() == {"": 1, reason: 2, "overlap": 1}
    one = build("in", duplicate_lines="drop", **policy)
    counted = one.reasons.groupby("reason")["rows"].sum().to_dict()
    assert counted == {"": 1, reason: 1, "overlap": 1, "duplicate_line": 1}
    assert check(one, "ledger.duplicates").value == 1 and check(two, "ledger.duplicates").value == 0


def test_the_extract_date_limits_what_may_be_dated(ledger_of):
    rows = "c1,2024-01-05,10\nc1,2024-07-02,10\n"
    assert states(ledger_of(rows, extracted=date(2024, 7, 1)))[3] == (Q, "date_after_extract")
    assert states(ledger_of(rows, extracted=date(2024, 7, 2)))[3] == ("later", "after_as_of")


def test_an_as_of_date_beyond_the_extract_fails(ledger_of):
    ledger = ledger_of("c1,2024-01-05,10\n", extracted=date(2024, 6, 20))
    found = check(ledger, "ledger.as_of")
    assert found.stops
    assert found.message.startswith(
        "The as-of date 30 June 2024 lies 10 days after the extract of 20 June 2024"
    )


def test_an_as_of_date_within_the_extract_says_which_day_that_is(ledger_of):
    told = check(ledger_of("c1,2024-01-05,10\n", extracted=date(2024, 7, 2)), "ledger.as_of")
    assert told.message == "The as-of date 30 June 2024 is not after that of the extract, 2 July 2024."
    untold = check(ledger_of("c1,2024-01-05,10\n"), "ledger.as_of")
    assert untold.message == "The as-of date 30 June 2024 is not after the present day."


def test_of_several_extracts_the_first_to_end_is_named(source, build):
    for name in ("shop", "till"):
        source("customer_id,date,amount\nc1,2024-01-05,10\n", f"{name}.csv")
    sources = {
        "shop": {"path": "shop.csv", "extracted": date(2024, 6, 28)},
        "till": {"path": "till.csv", "extracted": date(2024, 7, 5)},
    }
    found = check(build(None, sources=sources), "ledger.as_of")
    assert found.stops and "2 days after the extract of shop of 28 June 2024: those" in found.message


def test_what_became_of_each_refund_is_told_apart(ledger_of):
    """One on its sale's day, one days later, one that the as-of date does not know, one without a sale."""
    rows = "c1,2024-01-05,30,a\nc1,2024-01-05,-10,a\nc1,2024-01-09,-5,a\nc1,2024-07-09,-5,a\nc2,2024-01-09,-5,b\n"
    ledger = ledger_of(
        rows,
        header="customer_id,date,amount,order\n",
        columns={"order": "order"},
        negative_amounts="net",
        refunds={"match": ["order"]},
    )
    became = ledger.frames["refunds"].set_index("became")["rows"].to_dict()
    assert became == {"netted": 1, "netted_same_day": 1, "not_known_yet": 1, "refund_unmatched": 1}


def test_a_refund_under_its_own_number_can_go_beyond_its_sale(ledger_of):
    """Its order holds no sale, so it is held against what the customer bought on the day of the sale."""
    rows = "c1,2024-01-05,30,a,p\nc1,2024-01-09,-34,r1,p\nc2,2024-01-05,20,b,p\nc2,2024-01-09,-20,r2,p\n"
    rows += "c3,2024-01-05,20,c,p\nc3,2024-01-09,-25,c,p\nc4,2024-01-05,20,d,p\n"
    # the day stays above zero, and of p more was paid back than the customer ever bought of it
    rows += "c5,2024-01-05,30,e,p\nc5,2024-01-05,50,e,q\nc5,2024-01-09,-36,r5,p\n"
    # larger than the last order of p, and not than both
    rows += "c6,2024-01-03,30,f,p\nc6,2024-01-05,30,g,p\nc6,2024-01-05,50,g,q\nc6,2024-01-09,-55,r6,p\n"
    ledger = ledger_of(
        rows,
        header="customer_id,date,amount,order,sku\n",
        columns={"order": "order", "product": "sku"},
        negative_amounts="net",
    )
    assert ledger.frames["over_refunded"].to_dict("records") == [
        {"currency": "EUR", "orders": 3, "excess_minor": 1500}
    ]
    found = check(ledger, "ledger.over_refunded")
    assert found.status == "review"
    (file,) = set(ledger.frames["over_refunded_rows"]["file"])
    assert list(ledger.frames["over_refunded_rows"]["row"]) == [
        11,
        7,
        3,
    ]  # of c5, c3 and c1: lines of the file
    assert found.message == (
        f"Of 3 orders more was paid back than was paid: look up {file}, row 11; {file}, row 7; {file}, row 3."
    )


def test_segment_is_that_of_the_first_purchase(ledger_of):
    ledger = ledger_of(
        "c1,2024-02-05,10,shop\nc1,2024-01-05,10,web\nc2,2024-01-05,1,\nc3,2024-01-05,1,web\nc3,2024-01-05,1,shop\n",
        header="customer_id,date,amount,channel\n",
        columns={"segment": "channel"},
    )
    found = (
        ledger.purchases.select("customer", "segment")
        .distinct()
        .order_by("customer")
        .to_pyarrow()
        .to_pylist()
    )
    assert [(f["customer"], f["segment"]) for f in found] == [("c1", "web"), ("c2", "(none)"), ("c3", "shop")]
    assert check(ledger, "ledger.segments").message.startswith("2 customers changed segment")


def test_reasons_and_sample_say_where_and_why(ledger_of):
    rows = "".join(f"c{i},2024-01-05,ten\n" for i in range(30)) + "c1,soon,1\nc1,2024-01-05,1\n"
    ledger = ledger_of(rows)
    reasons = ledger.reasons.set_index(["state", "reason"])
    assert reasons.loc[(Q, "amount_unreadable"), "rows"] == 30
    assert reasons.loc[(Q, "date_unreadable"), "amount"] == 1.0
    assert reasons["rows"].sum() == 32
    assert (ledger.quarantine["reason"] == "amount_unreadable").sum() == 20
    soon = ledger.quarantine[ledger.quarantine["reason"] == "date_unreadable"].iloc[0]
    assert (soon["file"], soon["row"], soon["value"]) == ("orders.csv", 32, "soon")
