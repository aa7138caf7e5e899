"""Incentives included, excluded, or amortised: three values of the same cash flows that differ as they must."""

from datetime import date
from decimal import Decimal

import ibis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clvkit.errors import StudyError
from clvkit.ledger.promotions import promotion_views, tenure_flows

flow = st.tuples(
    st.floats(0, 10).map(lambda t: round(t, 3)), st.integers(-(10**7), 10**7), st.integers(0, 10**6)
)


def present(amounts, years, rate):
    growth = Decimal(1) + Decimal(str(rate))
    return sum(
        (Decimal(a) * growth ** -Decimal(str(t)) for a, t in zip(amounts, years, strict=True)), Decimal(0)
    )


@given(st.lists(flow, max_size=12), st.sampled_from([0.0, 0.1, 0.15, 0.333]))
def test_include_less_exclude_is_the_present_value_of_the_incentives(flows, rate):
    years, margin, incentive = ([f[i] for f in flows] for i in range(3))
    views = promotion_views(years, margin, incentive, rate)
    assert views.include - views.exclude == views.incentives
    assert abs(views.incentives + present(incentive, years, rate)) <= Decimal("0.5")
    assert abs(views.exclude - present(margin, years, rate)) <= Decimal("0.5")
    assert views.acquisition == sum(incentive)


def test_three_values_by_hand():
    views = promotion_views([0, 1], [10_000, 11_000], [2_000, 1_100], 0.1, amortise_years=1 / 12)
    assert (views.exclude, views.include, views.incentives) == (20_000, 17_000, -3_000)
    # One instalment of 3,100 after a month.
    assert views.amortise == 20_000 - round(3_100 / 1.1 ** (1 / 12))


def test_without_discounting_it_does_not_matter_when_incentives_are_borne():
    views = promotion_views([0, 0.5, 3], [900, 800, 700], [100, 0, 60], 0.0, amortise_years=2)
    assert views.include == views.amortise == 2_240


def test_a_reward_at_the_start_weighs_less_when_it_is_spread():
    views = promotion_views([0, 1], [5_000, 5_000], [3_000, 0], 0.2, amortise_years=3)
    assert views.include < views.amortise < views.exclude


@pytest.mark.parametrize(
    "arguments, word",
    [
        (([0], [1], [-5], 0.1), "below zero"),
        (([0, 1], [1], [5], 0.1), "needs a time"),
        (([0], [1], [5], -1), "above −1"),
    ],
)
def test_what_cannot_be_valued_is_refused(arguments, word):
    with pytest.raises(StudyError, match=word):
        promotion_views(*arguments)


def test_flows_of_lines_by_days_since_the_first_purchase():
    rows = {
        "source": ["shop"] * 7,
        "account": ["a", "a", "b", "b", None, "b", "b"],
        "day": [date(2024, 1, d) for d in (1, 11, 5, 5, 1, 15, 1)],
        "value_minor": [900, 500, 300, -100, 999, 200, 50],
        "discount_value_minor": [100, None, 0, 10, 1, 20, 0],
        "cost_minor": [400, 200, 100, -40, 9, 90, 1],
        "reason": [None, None, None, None, None, None, "test_account"],
    }
    schema = {"reason": "string", "day": "date", "source": "string", "account": "string"}
    schema |= {n: "int64" for n in ("value_minor", "discount_value_minor", "cost_minor")}
    lines = ibis.memtable(rows, schema=ibis.schema({n: schema[n] for n in rows}))
    flows = tenure_flows(ibis.duckdb.connect().create_table("lines", lines))
    assert flows.to_dict("list") == {
        "tenure_days": [0, 10],
        "margin_minor": [900 + 100 - 400 + 300 - 100 - 100 + 40, 500 - 200 + 200 + 20 - 90],
        "incentive_minor": [100, 20],
    }
    views = promotion_views(
        flows["tenure_days"] / 365.25, flows["margin_minor"], flows["incentive_minor"], 0.1
    )
    assert views.include - views.exclude == views.incentives < 0
