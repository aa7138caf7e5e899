"""The gate on too little data: each shortage has its own words and says what to do."""

from datetime import date

import pandas as pd
import pytest

from clvkit.sufficiency import SufficiencySection, sufficiency_checks

AS_OF = date(2024, 6, 30)


def checks(*rows, **section):
    """Checks of cells given as (frequency, recency_days, T_days, n)."""
    frame = pd.DataFrame(rows, columns=["frequency", "recency_days", "T_days", "n"])
    found = sufficiency_checks(frame, SufficiencySection(**section), AS_OF)
    return {c.id.removeprefix("sufficiency."): c for c in found}


def test_enough():
    found = checks((0, 0, 300, 900), (2, 280, 300, 100))
    assert {c.status for c in found.values()} == {"pass"}
    assert not any(c.recommendation for c in found.values())
    assert found["customers"].message == "There are 1,000 customers; a value needs at least 100."
    assert {c.chapter for c in found.values()} == {"01_ledger"}


def test_few_customers():
    found = checks((1, 280, 300, 12))["customers"]
    assert found.stops
    assert found.message == "There are 12 customers; a value needs at least 100."
    assert found.recommendation.startswith("Use a source with more customers")
    assert (found.value, found.threshold, found.unit) == (12, 100, "customers")


def test_one_customer():
    found = checks((0, 0, 30, 1))
    assert found["customers"].message == "There is one customer; a value needs at least 100."
    assert "says nothing about how customers differ" in found["customers"].recommendation
    assert found["repeat_customers"].message == (
        "The one customer has not bought on a second day; a value needs at least 30 customers who came back."
    )


def test_one_customer_who_came_back():
    assert checks((3, 20, 30, 1))["repeat_customers"].message == (
        "One customer has bought on a second day; a value needs at least 30."
    )


def test_no_customer():
    found = checks()
    assert list(found) == ["customers"]
    assert found["customers"].message == "There is no customer; a value needs at least 100."


def test_nobody_came_back():
    found = checks((0, 0, 300, 2000), max_days_since_last_purchase=300)
    assert found["repeat_customers"].stops
    assert found["repeat_customers"].message == (
        "None of the 2,000 customers has bought on a second day; "
        "a value needs at least 30 customers who came back."
    )
    assert "names the customer and not the order" in found["repeat_customers"].recommendation
    assert "repeat_share" not in found


@pytest.mark.parametrize("n, verb", [(1, "customer has"), (29, "customers have")])
def test_few_came_back(n, verb):
    found = checks((0, 0, 300, 200), (1, 290, 300, n))["repeat_customers"]
    assert found.stops
    assert found.message == f"{n} of {200 + n} {verb} bought on a second day; a value needs at least 30."


def test_short_history():
    found = checks((0, 0, 59, 200), (1, 50, 59, 100))["history"]
    assert found.stops
    assert found.message == (
        "The history covers 59 days, from the first purchase on 2 May 2024 to 30 June 2024; "
        "a value needs at least 90."
    )
    assert "an as-of date of 31 July 2024 or later" in found.recommendation


def test_stale_extract():
    found = checks((0, 0, 400, 200), (1, 200, 400, 100))["last_purchase"]
    assert found.stops
    assert found.message == (
        "The last purchase of any customer is of 13 December 2023, 200 days before the as-of date 30 June 2024; "
        "at most 90 are allowed."
    )
    assert "The extract seems to end before the as-of date" in found.recommendation


def test_a_small_share_is_reviewed_and_does_not_stop():
    found = checks((0, 0, 300, 99_950), (1, 290, 300, 50))["repeat_share"]
    assert (found.status, found.stops) == ("review", False)


def test_limits_are_inclusive():
    found = checks((0, 0, 90, 70), (1, 0, 90, 30))
    assert {c.status for c in found.values()} == {"pass"}


def test_limits_come_from_the_study():
    found = checks((1, 5, 9, 3), min_customers=3, min_repeat_customers=3, min_history_days=9)
    assert {c.status for c in found.values()} == {"pass"}
