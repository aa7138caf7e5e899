"""What page one and the cohorts say of money that was booked in several currencies."""

from types import SimpleNamespace

import pandas as pd

from clvkit.chapters.ledger_words import modelled_minor
from clvkit.chapters.summary import ties
from clvkit.checks import Check

ROWS = {"in": 5, "used": 3, "merged": 1, "later": 0, "excluded": 1, "quarantined": 0}


def ledger(**sums):
    """A ledger whose rows come to these amounts, by currency and state; a franc is worth half a euro."""
    states = pd.DataFrame(
        [(state, round(value * 100 * {"EUR": 1, "CHF": 0.5}[code])) for code, one in sums.items()
         for state, value in one.items() if state != "in"],
        columns=["state", "value_minor"],
    )  # fmt: skip
    amounts = {code: dict.fromkeys(ROWS, 0.0) | one for code, one in sums.items()}
    return SimpleNamespace(totals={"rows": ROWS, "amount": amounts}, currency="EUR", minor_digits=2, checks=[],
                           frames={"states": states})  # fmt: skip


SEVERAL = {
    "EUR": {"in": 150.0, "used": 100.0, "merged": 20.0, "excluded": 30.0},
    "CHF": {"in": 80.0, "used": 80.0},
}


def test_what_is_modelled_is_in_the_study_s_currency_whatever_it_was_booked_in():
    assert modelled_minor(ledger(**SEVERAL)) == 16_000
    assert modelled_minor(ledger(EUR=SEVERAL["EUR"])) == 12_000
    assert modelled_minor(ledger(CHF=SEVERAL["CHF"])) == 4_000


def test_page_one_names_every_currency_that_came_in():
    text = ties(ledger(**SEVERAL))
    assert (
        "All 5 rows that came in, EUR 150.00 and CHF 80.00, are accounted for. EUR 160.00 is modelled, with CHF "
        "converted into EUR." in text
    )
    assert "1 row with EUR 30.00 is excluded" in text
    plain = ties(ledger(EUR=SEVERAL["EUR"]))
    assert "All 5 rows that came in, EUR 150.00, are accounted for. EUR 120.00 is modelled." in plain


def test_page_one_says_that_later_rows_came_after_the_as_of_date():
    one = ledger(EUR={"in": 150.0, "used": 120.0, "later": 30.0})
    one.totals["rows"] = ROWS | {"excluded": 0, "later": 1}
    assert "Left out: 1 row with EUR 30.00 came after the as-of date." in ties(one)


def test_page_one_says_what_was_held_against_the_books():
    one = ledger(**SEVERAL)
    assert "nothing outside the file was compared" in ties(one)
    one.checks = [Check("ledger.books", "", "pass", "29 months of sales agree with the books.")]
    assert ties(one).startswith("**Yes.** All 5") and ties(one).endswith(
        "29 months of sales agree with the books."
    )
    one.checks = [Check("ledger.books", "", "review", "One month differs.", severity="stop")]
    assert ties(one).startswith("**Not all of it.**") and "nothing outside" not in ties(one)
