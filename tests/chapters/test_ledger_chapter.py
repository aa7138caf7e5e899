import datetime as dt
from pathlib import Path

import pytest

from clvkit.chapters import ledger as chapter
from clvkit.chapters import ledger_memo, ledger_policies, ledger_sources
from clvkit.customers import cells, customer_summary
from clvkit.ledger import LedgerSection, build_ledger
from clvkit.publish.figures import svg
from clvkit.publish.tables import table_html

SAMPLES = Path(__file__).parents[2] / "data_samples" / "cdnow"

LINES = """customer_id,date,amount
ann,2020-01-03,10.00
ann,2020-01-03,5.00
ann,2020-01-03,5.00
ann,2020-03-01,0.00
bob,2020-02-29,20.00
bob,2020-05-01,7.00
cyd,2020-03-31,-4.00
dan,2020-03-30,30.00
dan,2020-02-30,1.00
"""


def ledger_of(folder, lines, as_of=dt.date(2020, 4, 15), **fields):
    (folder / "orders.csv").write_text(lines, encoding="utf-8")
    section = LedgerSection(path="orders.csv", **fields)
    return build_ledger(section, as_of=as_of, currency="EUR", base=folder), section


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Every state once or more."""
    return ledger_of(tmp_path_factory.mktemp("tiny"), LINES, negative_amounts="exclude")


@pytest.fixture(scope="module")
def cdnow():
    section = LedgerSection(path="cdnow_sample.csv")
    return build_ledger(section, as_of=dt.date(1998, 6, 30), currency="USD", base=SAMPLES), section


def cells_of(ledger):
    return cells(customer_summary(ledger.purchases, ledger.as_of))


def test_the_balance_has_every_state_and_adds_up(tiny):
    table = ledger_sources.balance(tiny[0])
    rows = dict(table.frame.groupby("state")["rows"].sum())
    assert rows == {"used": 4, "merged": 2, "later": 1, "excluded": 1, "quarantined": 1, "came in": 9}
    amounts = dict(table.frame.groupby("state")["amount"].sum())
    assert amounts == {
        "used": 60.0,
        "merged": 10.0,
        "later": 7.0,
        "excluded": -4.0,
        "quarantined": 1.0,
        "came in": 74.0,
    }
    assert table.title == "66.7 % of the rows that came in make up the ledger"
    assert table.total


def test_a_state_that_no_row_is_in_stands_with_zero(cdnow):
    frame = ledger_sources.balance(cdnow[0]).frame.set_index("state")
    assert list(frame.index) == ["used", "merged", "later", "excluded", "quarantined", "came in"]
    assert frame.loc["quarantined", "rows"] == 0
    assert frame.loc["came in", "amount"] == 244091.94


def test_the_answer_gives_rows_money_and_what_is_left_out(tiny, cdnow):
    assert "9 rows with EUR 74.00" in ledger_memo.answer(tiny[0]).text
    assert "3 rows with EUR 4.00 are not among them" in ledger_memo.answer(tiny[0]).text
    text = ledger_memo.answer(cdnow[0]).text
    assert "6,919 rows with USD 244,091.94" in text
    assert "6,696 purchases by 2,357 customers" in text
    assert "nothing was left out" in text


def test_the_policies_say_what_was_done_and_why(tiny, cdnow):
    text = ledger_policies.policies(*cdnow).text
    assert "**Amounts of zero** (8 rows) count." in text
    assert "**Lines that repeat an earlier line in full** (21 rows) stay." in text
    assert "**Negative amounts**: there are none" in text
    assert "**Negative amounts** (1 row with EUR −4.00) are left out." in ledger_policies.policies(*tiny).text


def test_other_policies_have_other_words(tmp_path):
    lines = LINES.replace("-4.00", "4.00")
    text = ledger_policies.policies(
        *ledger_of(tmp_path, lines, duplicate_lines="drop", zero_amounts="quarantine")
    ).text
    assert "(1 row) are in quarantine: the study does not take them" in text
    assert "(1 row) are left out as copies" in text


def test_coverage_says_when_acquisition_ended(cdnow, tiny):
    text = chapter.coverage(cdnow[0]).text
    assert "2,357 customers" in text
    assert "between 1 January 1997 and 25 March 1997, **and nobody who came later**" in text
    assert "the last came 16 days before 15 April 2020" in chapter.coverage(tiny[0]).text


def test_months_keep_first_and_repeat_purchases_apart(tiny):
    figure = chapter.purchases_per_month(tiny[0])
    assert list(figure.frame["first"]) == [1, 1, 1, 0]
    assert list(figure.frame["repeat"]) == [0, 0, 1, 0]
    # January begins on its third day as far as the data know, April is not over
    assert list(figure.frame["whole"]) == [False, True, True, False]
    assert "In March 2020, 1 of 2 purchases were repeat purchases" == figure.title


def test_months_of_a_closed_group_say_so(cdnow):
    figure = chapter.purchases_per_month(cdnow[0])
    assert figure.title.startswith("Since the last new customers of March 1997 there have been ")
    assert figure.frame["first"].sum() == 2357
    assert figure.frame[["first", "repeat"]].sum().sum() == 6696
    assert svg(figure).startswith("<svg")


def test_frequencies_add_up_to_the_ledger(cdnow):
    table = chapter.frequencies(cells_of(cdnow[0]), cdnow[0])
    frame = table.frame.set_index("purchases")
    assert frame.loc["All", "customers"] == 2357
    assert frame.loc["All", "revenue"] == pytest.approx(244091.94, abs=1e-6)
    assert frame["customers"].iloc[:-1].sum() == 2357
    assert frame["customer_share"].iloc[:-1].sum() == pytest.approx(1)
    assert table.total
    assert "<table" in table_html(table)


def test_the_customer_facts_are_those_of_the_cells(tiny):
    facts = chapter.customers(cells_of(tiny[0]), tiny[0]).items
    assert facts["Bought once"] == "2 of 3 customers, 66.7 %"
    assert facts["Purchases per customer"] == "1.33 on average, 1 in the middle"
    assert facts["First purchase"] == "EUR 23.33 on average"
    assert facts["First to last purchase"] == "58 days in the middle of those who came again"
    assert facts["Watched for"] == "16 to 103 days"


def test_customers_who_never_came_again_leave_the_repeat_facts_out(tmp_path):
    ledger, _ = ledger_of(tmp_path, "customer_id,date,amount\nann,2020-01-03,10.00\n")
    facts = chapter.customers(cells_of(ledger), ledger).items
    assert "Repeat purchase" not in facts
    assert facts["Bought once"] == "1 of 1 customer, 100.0 %"
    assert chapter.frequencies(cells_of(ledger), ledger).frame["customers"].tolist() == [1, 1]
    assert chapter.purchases_per_month(ledger).alt
