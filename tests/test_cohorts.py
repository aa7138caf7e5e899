from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clvkit.cohorts import (
    CohortsSection,
    CohortTriangles,
    cohort_triangles,
    first_purchases,
    period_index,
    period_label,
    period_start,
)
from clvkit.errors import DataError

GRAINS = ("day", "week", "month", "quarter")


def purchases(rows):
    """Rows (customer, ISO day or date, minor units) as the ledger's purchases."""
    frame = pd.DataFrame(rows, columns=["customer", "day", "amount_minor"])
    frame["day"] = pd.to_datetime(frame["day"]).dt.date
    return ibis.memtable(frame, schema={"customer": "string", "day": "date", "amount_minor": "int64"})


# Three customers in three months: what a pencil gets.
TINY = [
    ("ann", "1997-01-31", 1000),
    ("ann", "1997-02-01", 500),
    ("ann", "1997-02-20", 300),
    ("bob", "1997-01-02", 2000),
    ("bob", "1997-01-30", 0),
    ("bob", "1997-04-05", 700),
    ("cyd", "1997-02-14", 4000),
]


@pytest.fixture(scope="module")
def tiny() -> CohortTriangles:
    return cohort_triangles(purchases(TINY), CohortsSection(), date(1997, 4, 20))


def test_triangles_of_three_customers_by_hand(tiny):
    nan = np.nan
    expected = {
        "customers": [[2, 1, 0, nan], [1, 0, nan, nan]],
        "purchases": [[3, 2, 0, nan], [1, 0, nan, nan]],
        "revenue_minor": [[3000, 800, 0, nan], [4000, 0, nan, nan]],
        "repeat_rate": [[0.5, 0.5, 0, nan], [0, 0, nan, nan]],
        "cumulative_minor_per_customer": [[1500, 1900, 1900, nan], [4000, 4000, nan, nan]],
    }
    for measure, cells in expected.items():
        triangle = tiny.wide(measure)
        assert list(triangle.columns) == [0, 1, 2, 3]
        np.testing.assert_array_equal(triangle.to_numpy(), cells, err_msg=measure)


def test_age_counts_calendar_periods_and_not_days(tiny):
    # Ann's purchase of 1 February comes one day after her first, in the next month: age 1.
    january = tiny.long[tiny.long["cohort"] == "1997-01-01"].set_index("age")
    assert january.loc[1, "purchases"] == 2


def test_an_immature_cell_is_blank_and_keeps_what_was_seen_in_the_long_table(tiny):
    april = tiny.long[(tiny.long["cohort"] == "1997-01-01") & (tiny.long["age"] == 3)].iloc[0]
    assert not april["mature"]
    assert (april["purchases"], april["revenue_minor"]) == (1, 700)
    assert np.isnan(tiny.wide("purchases").loc["1997-01-01", 3])


def test_a_period_is_mature_on_its_last_day():
    day_before = cohort_triangles(purchases(TINY), CohortsSection(), date(1997, 4, 29)).wide("customers")
    last_day = cohort_triangles(purchases(TINY), CohortsSection(), date(1997, 4, 30)).wide("customers")
    assert np.isnan(day_before.loc["1997-01-01", 3])
    assert last_day.loc["1997-01-01", 3] == 1


def test_a_cohort_whose_own_period_is_not_over_says_so():
    with_dan = purchases([*TINY, ("dan", "1997-04-10", 1)])
    young = cohort_triangles(with_dan, CohortsSection(), date(1997, 4, 20))
    assert list(young.sizes["complete"]) == [True, True, False]
    assert young.wide("customers").loc["1997-04-01"].isna().all()


def test_purchases_after_the_as_of_date_do_not_count():
    early = cohort_triangles(purchases(TINY), CohortsSection(), date(1997, 2, 10))
    assert list(early.sizes["customers"]) == [2]
    assert early.long["purchases"].sum() == 4


def test_no_purchase_at_all_is_an_error():
    with pytest.raises(DataError, match="no purchase up to 1996-12-31"):
        cohort_triangles(purchases(TINY), CohortsSection(), date(1996, 12, 31))


def test_pooled_repeat_rate_weighs_cohorts_by_size_and_leaves_immature_ones_out(tiny):
    assert tiny.pooled_repeat_rate().to_dict() == {0: 1 / 3, 1: 1 / 3, 2: 0}


def test_max_periods_shortens_the_view_and_not_the_totals(tiny):
    assert list(tiny.wide("customers", max_periods=2).columns) == [0, 1]
    assert tiny.totals()["revenue_minor"].sum() == sum(amount for *_, amount in TINY)


def test_an_unknown_measure_is_refused(tiny):
    with pytest.raises(ValueError, match="measure must be one of"):
        tiny.wide("profit")


def test_saved_and_loaded_triangles_are_the_same(tiny, tmp_path):
    tiny.save(tmp_path / "cohorts")
    loaded = CohortTriangles.load(tmp_path / "cohorts")
    assert (loaded.grain, loaded.as_of) == (tiny.grain, tiny.as_of)
    pd.testing.assert_frame_equal(loaded.long, tiny.long)
    pd.testing.assert_frame_equal(loaded.sizes, tiny.sizes)


@pytest.mark.parametrize(
    ("grain", "start", "label"),
    [
        ("day", date(1997, 1, 8), "8 Jan 1997"),
        ("week", date(1997, 1, 6), "week of 6 Jan 1997"),
        ("month", date(1997, 1, 1), "Jan 1997"),
        ("quarter", date(1997, 1, 1), "1997 Q1"),
    ],
)
def test_periods_start_and_are_named(grain, start, label):
    wednesday = purchases([("ann", "1997-01-08", 1)])
    index = wednesday.select(index=period_index(wednesday.day, grain)).to_pandas()["index"].item()
    assert period_start(index, grain) == start
    assert period_label(start, grain) == label


days = st.integers(-400, 400).map(lambda n: date(1998, 1, 1) + timedelta(days=n))
logs = st.dictionaries(st.tuples(st.sampled_from("abcdefgh"), days), st.integers(0, 10**7), min_size=1)


@settings(max_examples=25, deadline=None)
@given(logs, st.sampled_from(GRAINS))
def test_everything_ties_to_the_ledger(log, grain):
    ledger = purchases([(customer, day, amount) for (customer, day), amount in log.items()])
    as_of = max(day for _, day in log)
    made = cohort_triangles(ledger, CohortsSection(grain=grain), as_of)
    assert made.long["purchases"].sum() == len(log)
    assert made.long["revenue_minor"].sum() == sum(log.values())
    assert made.long["revenue_minor"].dtype == "int64"
    customers = {customer for customer, _ in log}
    assert made.sizes["customers"].sum() == len(customers)
    # one cohort each, and everybody bought in their own cohort's period
    scheme = first_purchases(ledger, grain).to_pandas()
    assert scheme["customer"].is_unique
    assert set(scheme["customer"]) == customers
    at_start = made.long[made.long["age"] == 0]
    assert list(at_start["customers"]) == list(made.sizes["customers"])
    # mature cells are numbers, immature ones blank, and there is no third kind
    triangle = made.wide("purchases")
    assert triangle.notna().sum().sum() == made.long["mature"].sum()
    assert triangle.sum().sum() == made.long.loc[made.long["mature"], "purchases"].sum()
