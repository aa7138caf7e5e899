"""Drivers as columns: categories, numbers, what is missing, rare, or said twice."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from clvkit.relation_drivers import attributes, design, round_step


def test_categories_count_against_the_most_frequent_one():
    made = design(pd.DataFrame({"plan": ["b"] * 50 + ["a"] * 100 + ["c"] * 70}))
    assert made.names == ("plan: c", "plan: b") and made.drivers[0].reference == "a"
    np.testing.assert_array_equal(made.x.sum(axis=0), [70, 50])


def test_missing_is_a_level_and_rare_ones_are_one():
    made = design(pd.DataFrame({"plan": ["a"] * 100 + ["b"] * 60 + ["c"] * 5 + ["d"] * 4 + [None] * 7}))
    assert made.names == ("plan: b", "plan: other", "plan: missing")
    np.testing.assert_array_equal(made.x.sum(axis=0), [60, 9, 7])


def test_numbers_count_by_a_round_step_and_are_shown_in_classes():
    fee = pd.Series(np.random.default_rng(0).normal(60, 30, 400).round(2))
    fee[:10] = np.nan
    made = design(pd.DataFrame({"fee": fee}))
    assert made.names == ("fee: each 20 more", "fee: missing")
    np.testing.assert_allclose(np.diff(made.x[10:, 0]), np.diff(fee[10:]) / 20)
    assert made.x[:10, 0].sum() == 0 and made.x[:, 1].sum() == 10
    sizes = made.levels["fee"].value_counts()
    assert len(sizes) == 4 and sizes.drop("missing").min() > 120


@pytest.mark.parametrize(("spread", "step"), [(30.1, 20), (1.0, 1), (0.074, 0.05), (999, 500), (2.0, 2)])
def test_steps_are_round(spread, step):
    assert round_step(spread) == pytest.approx(step)


def test_a_number_of_few_values_is_categories():
    assert (
        design(pd.DataFrame({"fee": [9.99] * 60 + [4.99] * 100 + [19.99] * 50})).drivers[0].kind
        == "categories"
    )


def test_what_another_driver_says_already_is_left_out_and_said():
    plan = ["a"] * 100 + ["b"] * 60 + ["c"] * 50
    frame = pd.DataFrame(
        {"plan": plan, "fee": [4.99] * 100 + [9.99] * 60 + [19.99] * 50, "same": ["x"] * 210}
    )
    made = design(frame)
    assert [one.name for one in made.drivers] == ["plan"]
    assert made.left_out == (
        "fee says nothing that plan does not say already, and is left out.",
        "same is the same for all relations, and says nothing.",
    )


def test_one_level_that_another_driver_says_counts_there():
    net = ["fibre"] * 100 + ["none"] * 60 + ["dsl"] * 50
    guard = ["yes"] * 70 + ["no"] * 30 + ["no net"] * 60 + ["no"] * 50
    made = design(pd.DataFrame({"net": net, "guard": guard}))
    assert made.names == ("net: none", "net: dsl", "guard: yes")
    assert made.left_out == ("guard no net is told by net, and counts there.",)


def test_what_was_known_at_the_start():
    relations = pd.DataFrame({"customer": ["k1", "k2"], "start": pd.to_datetime(["2024-01-01", "2024-02-01"]), "plan": ["a", "b"],
                              "fee": [99.0, 99.0], "about_term": ["x", " "]})  # fmt: skip
    rows = pd.DataFrame({"customer": ["k1", "k1", "k1", "k2"], "fee": [10.0, 5.0, 99.0, 24.0], "period_months": [1, 1, 1, 12],
                         "start": pd.to_datetime(["2024-01-01", "2024-01-01", "2024-05-01", "2024-02-01"])})  # fmt: skip
    people = [pd.DataFrame({"account_deals": ["k1", "k2"], "about_channel": ["shop", "web"]})]
    found = attributes(
        SimpleNamespace(relations=relations, rows=rows), ["plan", "fee", "term", "channel"], (people, None)
    )
    assert list(found["fee"]) == [15.0, 2.0] and list(found["channel"]) == ["shop", "web"]
    assert found["term"].iloc[0] == "x" and pd.isna(found["term"].iloc[1])
