"""Shared accounts: weights sum to one and money to the cent, whatever the rule."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clvkit.errors import DataError
from clvkit.ledger.shared_accounts import SharedAccountsSection, allocate

RULES = ("equal", "margin", "first_touch", "none")
VALUES = pd.DataFrame({"account": ["a", "b", "c", "d"], "amount_minor": [100, -101, 7, 50]})
MEMBERS = pd.DataFrame(
    {
        "account": ["a", "a", "a", "b", "b", "c"],
        "customer": ["x", "y", "z", "x", "y", "w"],
        "margin_minor": [1, 2, 0, 0, -4, np.nan],
        "first_day": pd.to_datetime(["2024-01-02", "2024-01-01", "2024-02-01", "2024-01-05", None, None]),
    }
)


def amounts(rule, values=VALUES, members=MEMBERS, **more):
    split, without = allocate(
        values, members, SharedAccountsSection(members="m.csv", rule=rule, **more.pop("section", {})), **more
    )
    return {(r.account, r.customer): r.amount_minor for r in split.itertuples()}, without


def test_each_rule():
    assert amounts("equal")[0] == {
        **{("a", "x"): 34, ("a", "y"): 33, ("a", "z"): 33, ("b", "x"): -51, ("b", "y"): -50},
        **{("c", "w"): 7, ("d", None): 50},
    }
    by_margin, without = amounts("margin")
    assert by_margin == {("a", "x"): 33, ("a", "y"): 67, ("b", None): -101, ("c", "w"): 7, ("d", None): 50}
    assert without.values.tolist() == [["b", 2, -101, "no positive margin"], ["d", 0, 50, "no customer"]]
    first, without = amounts("first_touch")
    assert first == {("a", "y"): 100, ("b", None): -101, ("c", "w"): 7, ("d", None): 50}
    assert list(without["reason"]) == ["no first day", "no customer"]
    none, without = amounts("none")
    assert none == {("a", None): 100, ("b", None): -101, ("c", "w"): 7, ("d", None): 50}
    assert list(without["reason"]) == ["no rule", "no rule", "no customer"]


@st.composite
def shared(draw):
    accounts = draw(st.lists(st.integers(0, 30), unique=True, max_size=8))
    values = pd.DataFrame(
        {
            "account": [f"a{a}" for a in accounts],
            "amount_minor": [draw(st.integers(-(10**14), 10**14)) for _ in accounts],
        }
    )
    pairs = draw(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9)), unique=True, max_size=40))
    members = pd.DataFrame(
        {
            "account": [f"a{a}" for a, _ in pairs],
            "customer": [f"c{c}" for _, c in pairs],
            "margin_minor": [draw(st.integers(-(10**9), 10**12) | st.none()) for _ in pairs],
            "first_day": pd.to_datetime(
                [
                    draw(st.dates(pd.Timestamp("2020-01-01").date(), pd.Timestamp("2020-01-09").date()))
                    for _ in pairs
                ]
            ),
        }
    )
    return values.astype({"account": object, "amount_minor": "int64"}), members.astype(
        {"account": object, "customer": object, "margin_minor": float}
    )


@settings(max_examples=30, deadline=None)
@given(shared(), st.sampled_from(RULES), st.randoms(use_true_random=False))
def test_weights_sum_to_one_and_money_to_the_cent(tables, rule, random):
    values, members = tables
    split, without = allocate(values, members, SharedAccountsSection(members="m.csv", rule=rule))
    assert split["amount_minor"].dtype == np.int64
    each = split.groupby("account")
    assert each["amount_minor"].sum().to_dict() == values.set_index("account")["amount_minor"].to_dict()
    assert (each["weight"].sum() - 1).abs().max() <= 1e-12 or values.empty
    value = split["account"].map(values.set_index("account")["amount_minor"])
    assert ((split["amount_minor"] - value * split["weight"]).abs() <= 1 + 1e-14 * value.abs()).all()
    assert set(without["account"]) == set(split.loc[split["customer"].isna(), "account"])
    order = random.sample(range(len(members)), len(members))
    mixed = allocate(values[::-1], members.iloc[order], SharedAccountsSection(members="m.csv", rule=rule))
    for one, two in zip((split, without), mixed, strict=True):
        pd.testing.assert_frame_equal(one, two)


def test_stated_weights_win_over_the_rule(tmp_path):
    (tmp_path / "w.csv").write_text("account,customer,weight\na,x,0.25\na,new,0.75\nelsewhere,q,1\n")
    split, _ = amounts("equal", section={"allocation": "w.csv"}, base=tmp_path)
    assert {k: v for k, v in split.items() if k[0] == "a"} == {("a", "x"): 25, ("a", "new"): 75}
    assert split["b", "x"] == -51
    assert ("elsewhere", "q") not in split


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("a,x,0.5\na,y,0.6\n", "must sum to 1"),
        ("a,x,-0.5\na,y,1.5\n", "at least 0"),
        ("a,x,half\na,y,0.5\n", "at least 0"),
        ("a,x,0.5\na,x,0.5\n", "one row per account and customer"),
    ],
)
def test_weights_that_cannot_be_meant_are_an_error(tmp_path, rows, words):
    (tmp_path / "w.csv").write_text("account,customer,weight\n" + rows)
    with pytest.raises(DataError, match=words):
        amounts("equal", section={"allocation": "w.csv"}, base=tmp_path)


def test_a_rule_without_its_column_is_an_error():
    with pytest.raises(DataError, match="needs the column margin_minor"):
        amounts("margin", members=MEMBERS[["account", "customer"]])


def test_accounts_of_two_sources_are_two_accounts():
    values = pd.DataFrame({"source": ["s", "t"], "account": ["a", "a"], "amount_minor": [10, 20]})
    members = pd.DataFrame({"source": ["s", "s", "t"], "account": "a", "customer": ["x", "y", "z"]})
    split, _ = allocate(values, members, SharedAccountsSection(members="m.csv", rule="equal"))
    assert split[["source", "customer", "amount_minor"]].values.tolist() == [
        ["s", "x", 5],
        ["s", "y", 5],
        ["t", "z", 20],
    ]


def test_an_account_given_twice_is_an_error():
    with pytest.raises(DataError, match="values must have one row per account"):
        amounts("equal", values=pd.concat([VALUES, VALUES]))
