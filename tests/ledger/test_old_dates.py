"""A ledger made again as of an old date, from all that has been loaded since, is the old one."""

from datetime import date

import pandas as pd
import pytest

from clvkit.customers import cells, customer_summary
from clvkit.erasure.person import whom
from clvkit.ledger import LedgerSection, build_ledger
from clvkit.ledger.crosswalk import Crosswalk

AS_OF = date(2024, 1, 31)
FIRST = [("1", "a", "2024-01-03", "10", "2024-01-04"), ("2", "b", "2024-01-05", "20", "2024-01-06"),
         ("3", "b", "2024-01-09", "5", "2024-01-09"), ("4", "b", "2024-01-20", "-5", "2024-01-21")]  # fmt: skip
SECOND = [
    ("1", "a", "2024-01-03", "12", "2024-03-05"),  # restated
    ("2", "b", "2024-01-05", "20", "2024-03-05"),  # loaded again
    ("5", "a", "2024-01-20", "7", "2024-03-05"),  # late
    ("6", "a", "2024-01-30", "-2", "2024-03-05"),  # a refund booked before the date and loaded after it
    ("7", "c", "2024-02-10", "3", "2024-02-11"),
]
THIRD = [("7", "c", "2024-02-10", "4", "2024-04-01")]


@pytest.fixture
def ledger(tmp_path):
    def make(*files, as_of=AS_OF):
        for number, rows in enumerate(files):
            text = "".join(",".join(row) + "\n" for row in [("id", "who", "day", "amount", "loaded"), *rows])
            (tmp_path / f"{number}.csv").write_text(text)
        section = LedgerSection(
            path="*.csv",
            columns={
                "customer": "who",
                "date": "day",
                "amount": "amount",
                "line_id": "id",
                "loaded": "loaded",
            },
            negative_amounts="net",
            costs={"company": 0.5},
            extracted=date(2024, 6, 30),
        )
        return build_ledger(section, as_of=as_of, currency="EUR", base=tmp_path)

    return make


def bought(ledger):
    return ledger.purchases.order_by("customer", "day").to_pyarrow().to_pandas()


def test_what_came_later_changes_nothing(ledger):
    then = ledger(FIRST)
    now = ledger(FIRST, SECOND, THIRD)
    assert list(bought(then)["amount_minor"]) == [1_000, 2_000]
    pd.testing.assert_frame_equal(bought(now), bought(then))
    made = [cells(customer_summary(one.purchases, AS_OF)).to_csv().encode() for one in (then, now)]
    assert made[0] == made[1]
    for name in ("ladder", "cost_sources"):
        pd.testing.assert_frame_equal(now.frames[name], then.frames[name])
    assert now.frames["ladder"].loc[0, "net_revenue_minor"] == 3_000


def test_every_row_has_a_state_all_the_same(ledger):
    now = ledger(FIRST, SECOND, THIRD)
    found = now.rows.order_by("file", "row").to_pyarrow().to_pandas()
    late = list(zip(found["state"], found["reason"], strict=True))[4:]
    assert late == [
        ("later", "known_after_as_of"),
        ("excluded", "overlap"),
        ("later", "known_after_as_of"),
        ("later", "known_after_as_of"),
        ("excluded", "superseded"),
        ("later", found["reason"].iloc[9]),
    ]
    assert sum(now.totals["rows"][s] for s in ("used", "merged", "later", "excluded")) == 10


def test_who_is_who_is_what_was_known_then(tmp_path):
    """Two accounts that a row loaded later joins are two customers as of the old date, with or without memory of it."""
    then, later = AS_OF, date(2024, 5, 31)
    rows = [
        "id,who,day,amount,loaded,mail",
        "1,a,2024-01-03,10,2024-01-04,a@x.test",
        "2,b,2024-01-05,20,2024-01-06,b@x.test",
    ]

    def made(as_of, *more, memory="known"):
        (tmp_path / "0.csv").write_text("\n".join([*rows, *more]) + "\n")
        section = LedgerSection(
            path="0.csv", keys={"email": "mail"}, identity={"keys": ["email"]}, extracted=date(2024, 6, 30),
            columns={"customer": "who", "date": "day", "amount": "amount", "line_id": "id", "loaded": "loaded"},
        )  # fmt: skip
        return build_ledger(section, as_of=as_of, currency="EUR", base=tmp_path, crosswalk=tmp_path / memory)

    def seen(ledger, as_of):
        return cells(customer_summary(ledger.purchases, as_of)).to_csv()

    joins = "3,b,2024-03-01,7,2024-03-02,a@x.test"
    old = made(then)
    assert seen(made(then, joins, memory="other"), then) == seen(old, then)
    assert len(set(bought(made(later, joins))["customer"])) == 1
    one = Crosswalk.load(tmp_path / "known").members
    again = made(then, joins)
    assert seen(again, then) == seen(old, then)
    # The memory keeps the customer whole, and knows the part's name as one of theirs.
    after = Crosswalk.load(tmp_path / "known")
    assert after.members.equals(one)
    whole = one["customer"][0].as_py()
    part = next(name for name in bought(again)["customer"] if name != whole)
    assert part in whom(whole, after, ["orders"]).names
    assert set(bought(made(later, joins))["customer"]) == {whole}


def test_on_a_later_date_the_last_word_counts(ledger):
    now = bought(ledger(FIRST, SECOND, THIRD, as_of=date(2024, 5, 31)))
    assert now.set_index("customer")["amount_minor"].groupby(level=0).sum().to_dict() == {
        "a": 1_700,
        "b": 2_000,
        "c": 400,
    }
