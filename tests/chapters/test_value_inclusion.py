"""What rules of inclusion do to the value, as the report says it: customers, revenue and value add up."""

from types import SimpleNamespace

import pandas as pd
import pytest

from clvkit import numbers
from clvkit.chapters.value_inclusion import by_treatment, in_words
from clvkit.estimate import Estimate
from clvkit.ledger.inclusion import InclusionSection
from clvkit.value import Terms

STEPS = pd.DataFrame(
    [
        ("all customers", "", 100, 500_000, 100),
        ("staff", "exclude", 4, 90_000, 96),
        ("min_identity_confidence", "segment_average", 0, 0, 96),
        ("min_history_days", "segment_average", 16, 40_000, 80),
        ("min_purchases", "include", 30, 20_000, 80),
        ("modelled", "", 80, 370_000, 80),
    ],
    columns=["step", "treatment", "customers", "revenue_minor", "customers_left"],
)
GROUPS = pd.DataFrame(
    [("min_history_days", 16, 150.0, 140.0, 160.0), ("modelled", 80, 750.0, 700.0, 800.0)],
    columns=["group", "customers", "value", "low", "high"],
)


def valuation(averaged=True):
    equity = Estimate(900.0, 850.0, 950.0, 890.0, unit="USD")
    return SimpleNamespace(
        currency="USD",
        terms=Terms(0.3, 0.1, 3 * 365.25),
        estimates={"customer_equity": equity},
        groups={"valued_as": GROUPS} if averaged else {},
        one_by_one=990.0 if averaged else None,
    )


def test_customers_revenue_and_value_add_up():
    table, sentence = by_treatment(valuation(), STEPS, 2)
    frame = table.frame
    assert list(frame["who"]) == ["Valued one by one", "Staff: left out", "Too short a history: valued as the segment",
                                  "All customers of the ledger"]  # fmt: skip
    assert list(frame["customers"]) == [80, 4, 16, 100]
    assert frame["revenue"].iloc[:-1].sum() == frame["revenue"].iloc[-1] == 5000
    assert list(frame["value"]) == [750.0, numbers.NOT_APPLICABLE, 150.0, 900.0]
    assert frame["each"].iloc[2] == pytest.approx(150 / 16)
    assert table.title == (
        "16.7 % of the value is that of customers valued as their segment; customers with 18.0 % of the revenue are left out"
    )
    assert "USD 990.00, 10.0 % more" in sentence.text


def test_without_means_everybody_left_holds_the_equity():
    steps = STEPS[STEPS["treatment"] != "segment_average"].reset_index(drop=True)
    (table,) = by_treatment(valuation(averaged=False), steps, 2)
    assert list(table.frame["value"]) == [900.0, numbers.NOT_APPLICABLE, 900.0]


def test_nothing_is_shown_without_a_rule():
    assert by_treatment(valuation(), None, 2) == []
    assert in_words(None, "USD", 2) == ""
    assert not InclusionSection().averages
    assert InclusionSection(min_history_days={"at_least": 30}).averages
    assert not InclusionSection(min_purchases={"at_least": 2, "below": "include"}).averages


def test_page_one_says_whom_it_leaves_out():
    assert in_words(STEPS, "USD", 2) == (
        " The study leaves 4 customers with USD 900.00 of revenue out of the value. 16 customers are valued at the mean of the "
        "segment."
    )
