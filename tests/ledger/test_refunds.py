"""Refunds find their sales; what came back whole is no purchase; money balances whatever is done."""

import random
from collections import defaultdict
from datetime import date, timedelta
from itertools import permutations

import ibis
import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from clvkit.errors import DataError
from clvkit.ledger.refund_lags import curve_of, lag_curve, outstanding
from clvkit.ledger.refunds import RefundsSection, match_refunds, net_lines

START = date(2024, 1, 1)
SCHEMA = ibis.schema(
    {
        "ordinal": "int64",
        "source": "string",
        "account": "string",
        "day": "date",
        "order_id": "string",
        "product": "string",
        "currency": "string",
        "amount_minor": "int64",
        "loaded": "date",
        "reason": "string",
        "quarantined": "boolean",
    }
)
CON = ibis.duckdb.connect()


def on(day):
    return START + timedelta(days=day)


def lines_of(rows):
    """Lines from dictionaries; ``day`` counts from 1 January 2024, what is left out is usual."""
    usual = {"source": "shop", "account": "a", "order_id": None, "product": "p", "currency": "EUR"}
    usual |= {"loaded": None, "reason": None, "quarantined": False}
    full = [
        usual | {"ordinal": i} | row | {"day": on(row["day"]), "loaded": row.get("loaded")}
        for i, row in enumerate(rows)
    ]
    table = ibis.memtable(
        {name: [row[name] for row in full] for name in SCHEMA} if full else [], schema=SCHEMA
    )
    return CON.create_table("lines", table, schema=SCHEMA, overwrite=True)


def matched(lines, as_of=None, **section):
    """``{refund: (sale, day, how)}``."""
    found = match_refunds(lines, RefundsSection(**section), as_of).to_pyarrow().to_pylist()
    assert len({f["ordinal"] for f in found}) == len(found)
    return {f["ordinal"]: (f["matched_ordinal"], f["matched_day"], f["how"]) for f in found}


def netted(lines, as_of=None, **section):
    """Rows after netting, in order of reading."""
    section = RefundsSection(**section)
    matches = CON.create_table("matches", match_refunds(lines, section, as_of), overwrite=True)
    table = net_lines(lines, matches, section, as_of)
    return table.order_by("ordinal").to_pyarrow().to_pylist()


def by_stack(rows):
    """What the brackets must find, the plain way: a stack of open sales per group, refunds pop the latest."""
    pairs, open_sales = {}, defaultdict(list)
    order = sorted(range(len(rows)), key=lambda i: (rows[i]["day"], rows[i]["amount_minor"] < 0, i))
    for i in order:
        row = rows[i]
        stack = open_sales[row["source"], row["account"], row["product"], abs(row["amount_minor"])]
        if row["amount_minor"] > 0:
            stack.append(i)
        elif stack:
            pairs[i] = stack.pop()
    return pairs


row_of = st.fixed_dictionaries(
    {
        "day": st.integers(0, 5),
        "amount_minor": st.sampled_from([500, 500, -500, -500, 700, -700]),
        "account": st.sampled_from(["a", "a", "a", "b"]),
        "product": st.sampled_from(["p", "p", "q", None]),
    }
)
any_row = st.fixed_dictionaries(
    {
        "day": st.integers(0, 6),
        "amount_minor": st.sampled_from([500, 700, 900, -200, -500, -700, -900, 0]),
        "account": st.sampled_from(["a", "a", "b", None]),
        "product": st.sampled_from(["p", "q", None]),
        "order_id": st.sampled_from([None, "o1", "o2"]),
        "currency": st.sampled_from(["EUR", "EUR", "EUR", "USD"]),
    }
)
policies = st.sampled_from(["exclude", "net_customer", "quarantine"])
# The engine takes longest to plan: each example is many small worlds side by side, each a source of its own.
properties = settings(max_examples=3, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])


def worlds(row, size):
    """Lists of rows whose source is the number of their world."""
    many = st.lists(st.lists(row, max_size=size), min_size=20, max_size=40)
    return many.map(lambda lists: [r | {"source": str(i)} for i, rows in enumerate(lists) for r in rows])


@properties
@given(rows=worlds(row_of, 24))
def test_line_matching_is_what_a_stack_finds(rows):
    found = matched(lines_of(rows), match=("line",))
    assert {i: sale for i, (sale, _, _) in found.items()} == by_stack(rows)


@properties
@given(rows=worlds(any_row, 12), unmatched=policies)
def test_refunds_follow_their_sales_and_all_rows_and_money_stay(rows, unmatched):
    lines = lines_of(rows)
    found = matched(lines, unmatched=unmatched)
    for refund, (sale, day, _) in found.items():
        assert rows[refund]["amount_minor"] < 0 < rows[sale]["amount_minor"]
        assert day == on(rows[sale]["day"]) and rows[sale]["day"] <= rows[refund]["day"]
    exact = [sale for sale, _, how in found.values() if how == "line"]
    others = {sale for sale, _, how in found.values() if how != "line"}
    assert len(set(exact)) == len(exact) and not others & set(exact)

    after = netted(lines, unmatched=unmatched)
    assert [r["amount_minor"] for r in after] == [r["amount_minor"] for r in rows]
    assert [r["booked_day"] for r in after] == [on(r["day"]) for r in rows]
    for i, r in enumerate(after):
        lost = rows[i]["amount_minor"] < 0 and i not in found
        assert (r["reason"] == "refund_unmatched") == lost
        assert r["reason"] in (None, "refund_unmatched", "returned_in_full")
        assert r["quarantined"] == (lost and unmatched == "quarantine")

    days = defaultdict(list)
    for r in after:
        if r["account"] is not None and r["reason"] != "refund_unmatched":
            days[r["source"], r["account"], r["day"]].append(r)
    for held in days.values():
        sums = defaultdict(int)
        for r in held:
            sums[r["currency"]] += r["amount_minor"]
        returned = max(sums.values()) <= 0 and any(r["amount_minor"] > 0 for r in held)
        assert {r["reason"] for r in held} == {"returned_in_full" if returned else None}


def purchases_of(rows):
    """What is left per person and day, as a purchase table would add it up."""
    sums = defaultdict(int)
    for r in rows:
        if r["reason"] is None:
            sums[r["source"], r["account"], r["day"], r["currency"]] += r["amount_minor"]
    return dict(sums)


@properties
@given(rows=worlds(any_row, 12), unmatched=policies, seed=st.integers(0, 99))
def test_the_order_of_rows_does_not_matter(rows, unmatched, seed):
    shuffled = random.Random(seed).sample(rows, len(rows))
    first = netted(lines_of(rows), unmatched=unmatched)
    second = netted(lines_of(shuffled), unmatched=unmatched)
    assert purchases_of(first) == purchases_of(second)


def test_of_two_lines_of_an_order_that_are_alike_a_refund_takes_that_of_its_own_account():
    line = {"day": 5, "amount_minor": 700, "order_id": "o1", "product": "q"}
    back = {"day": 6, "amount_minor": -500, "order_id": "o1", "product": "p", "account": "a"}
    rows = [line | {"account": None}, line | {"account": "a"}, back]
    for order in permutations(rows):
        assert purchases_of(netted(lines_of(list(order))))["shop", "a", on(5), "EUR"] == 200


def test_a_giant_order_and_its_cancellation_net_to_nothing():
    giant = 7_718_360
    rows = [
        {"day": 17, "amount_minor": giant, "order_id": "541431"},
        {"day": 17, "amount_minor": -giant, "order_id": "C541433"},
        {"day": 3, "amount_minor": 1_250},
    ]
    lines = lines_of(rows)
    assert matched(lines) == {1: (0, on(17), "line")}
    after = netted(lines)
    assert [r["reason"] for r in after] == ["returned_in_full", "returned_in_full", None]
    assert purchases_of(after) == {("shop", "a", on(3), "EUR"): 1_250}


def test_a_cancellation_pairs_across_days_and_the_visit_is_gone():
    after = netted(lines_of([{"day": 2, "amount_minor": 900}, {"day": 40, "amount_minor": -900}]))
    assert {r["reason"] for r in after} == {"returned_in_full"}
    assert [r["day"] for r in after] == [on(2), on(2)]


def test_refunds_reduce_value():
    sales = [
        {"day": 1, "amount_minor": 5_000, "order_id": "o1"},
        {"day": 9, "amount_minor": 3_000, "order_id": "o2"},
    ]
    refund = {"day": 12, "amount_minor": -1_000, "order_id": "o1"}
    before, after = purchases_of(netted(lines_of(sales))), purchases_of(netted(lines_of([*sales, refund])))
    assert before == {("shop", "a", on(1), "EUR"): 5_000, ("shop", "a", on(9), "EUR"): 3_000}
    assert after == {("shop", "a", on(1), "EUR"): 4_000, ("shop", "a", on(9), "EUR"): 3_000}


def test_an_order_named_by_a_refund_gives_its_line_of_that_product():
    rows = [
        {"day": 1, "amount_minor": 400, "order_id": "o1", "product": "p"},
        {"day": 1, "amount_minor": 600, "order_id": "o1", "product": "q"},
        {"day": 5, "amount_minor": -100, "order_id": "o1", "product": "q"},
        {"day": 5, "amount_minor": -50, "order_id": "o1", "product": None, "account": None},
        {"day": 5, "amount_minor": -50, "order_id": "o1", "source": "till"},
    ]
    found = matched(lines_of(rows), match=("order",))
    assert found[2] == (1, on(1), "order") and found[3] == (0, on(1), "order") and 4 not in found
    assert netted(lines_of(rows), match=("order",))[3]["account"] == "a"


def test_what_no_order_and_no_amount_ties_goes_to_the_latest_sale_of_the_product_in_time():
    rows = [
        {"day": 0, "amount_minor": 900},
        {"day": 10, "amount_minor": 900},
        {"day": 20, "amount_minor": 900},
        {"day": 15, "amount_minor": -300},
        {"day": 15, "amount_minor": -300, "product": "other"},
        {"day": 400, "amount_minor": -300},
    ]
    assert matched(lines_of(rows)) == {3: (1, on(10), "product")}
    assert matched(lines_of(rows), max_lag_days=380)[5] == (2, on(20), "product")
    assert matched(lines_of(rows), unmatched="net_customer")[4] == (1, on(10), "customer")


def test_a_sale_returned_whole_is_not_returned_again():
    rows = [
        {"day": 0, "amount_minor": 900},
        {"day": 10, "amount_minor": 500},
        {"day": 12, "amount_minor": -500},
        {"day": 13, "amount_minor": -200},
    ]
    found = matched(lines_of(rows))
    assert found == {2: (1, on(10), "line"), 3: (0, on(0), "product")}


def test_with_resolved_customers_the_latest_sale_is_looked_for_in_every_source():
    rows = [
        {"day": 0, "amount_minor": 900, "source": "shop", "account": "17"},
        {"day": 5, "amount_minor": 800, "source": "till", "account": "17"},
        {"day": 9, "amount_minor": -100, "source": "till", "account": "99"},
    ]
    lines = lines_of(rows)
    assert matched(lines) == {}
    people = lines.mutate(customer=ibis.ifelse(lines.ordinal == 1, "other", "one"))
    assert matched(people) == {2: (0, on(0), "product")}


@pytest.mark.parametrize("policy, quarantined", [("exclude", False), ("quarantine", True)])
def test_refunds_without_a_sale_follow_the_policy(policy, quarantined):
    after = netted(
        lines_of([{"day": 5, "amount_minor": -100}, {"day": 9, "amount_minor": 500}]), unmatched=policy
    )
    assert (after[0]["reason"], after[0]["quarantined"]) == ("refund_unmatched", quarantined)
    assert (after[1]["reason"], after[1]["quarantined"]) == (None, False)


def test_a_refund_booked_or_loaded_after_the_date_is_not_known_then():
    rows = [
        {"day": 1, "amount_minor": 900},
        {"day": 1, "amount_minor": 800},
        {"day": 30, "amount_minor": -900},
        {"day": 3, "amount_minor": -800, "loaded": on(31)},
    ]
    lines = lines_of(rows)
    assert matched(lines, as_of=on(29)) == {}
    assert {(r["reason"], r["day"] == r["booked_day"]) for r in netted(lines, as_of=on(29))} == {(None, True)}
    assert matched(lines, as_of=on(30)).keys() == {2}
    assert {r["reason"] for r in netted(lines, as_of=on(31))} == {"returned_in_full"}


def test_rows_that_a_rule_touched_take_no_part():
    rows = [{"day": 1, "amount_minor": 900, "reason": "test_account"}, {"day": 2, "amount_minor": -900}]
    assert matched(lines_of(rows)) == {}


def test_a_guests_returned_order_is_no_purchase_and_other_guests_keep_theirs():
    guest = {"account": None, "day": 4}
    rows = [
        guest | {"amount_minor": 700, "order_id": "g1"},
        guest | {"amount_minor": 700, "order_id": "g2"},
        guest | {"amount_minor": -700, "order_id": "g1"},
        guest | {"amount_minor": -700},
    ]
    reasons = [r["reason"] for r in netted(lines_of(rows))]
    assert reasons == ["returned_in_full", None, "returned_in_full", "refund_unmatched"]


def test_lags_of_refunds_are_counted_in_the_engine_on_both_days():
    rows = [
        {"day": 0, "amount_minor": 1_000},
        {"day": 0, "amount_minor": 900},
        {"day": 8, "amount_minor": 2_000, "product": "q"},
        {"day": 3, "amount_minor": -900},
        {"day": 9, "amount_minor": -500, "product": "q"},
    ]
    curve = lag_curve(CON.create_table("net", net_of(rows), overwrite=True), on(10))
    came = curve.curve.set_index("lag_days")
    assert dict(came["refund_minor"][came["refund_minor"] > 0]) == {1: 500, 3: 900}
    assert list(came["exposed_minor"]) == [3_900] * 3 + [1_900] * 8
    assert curve.rate == pytest.approx(500 / 3_900 + 900 / 1_900)
    assert curve.seen == pytest.approx(1_400 / 3_900)
    table = outstanding(curve)
    assert list(table["label"].unique()) == ["estimated"]
    assert table["expected_minor"].iloc[-1] == pytest.approx(2_000 * 900 / 1_900)
    assert table["low_minor"].iloc[-1] < table["expected_minor"].iloc[-1] < table["high_minor"].iloc[-1]


def test_a_refund_after_the_longest_lag_is_no_part_of_the_curve_and_is_booked_all_the_same():
    rows = [{"day": 0, "amount_minor": 1_000}, {"day": 8, "amount_minor": 2_000, "product": "q"},
            {"day": 9, "amount_minor": -300}, {"day": 9, "amount_minor": -500, "product": "q"}]  # fmt: skip
    curve = lag_curve(CON.create_table("net", net_of(rows), overwrite=True), on(10), max_lag_days=5)
    assert curve.curve["refund_minor"].sum() == 500 and curve.seen == pytest.approx(500 / 3_000)
    assert outstanding(curve)["refund_minor"].iloc[-1] == 800


def net_of(rows):
    section = RefundsSection()
    lines = lines_of(rows)
    return net_lines(lines, match_refunds(lines, section), section)


def test_lags_in_two_currencies_ask_for_a_conversion():
    rows = [{"day": 0, "amount_minor": 10}, {"day": 0, "amount_minor": 10, "currency": "USD"}]
    with pytest.raises(DataError, match="the lines have EUR, USD"):
        lag_curve(net_of(rows), on(5))


def world_of_returns(rng, days=240, per_day=30, share=0.2, mean_lag=40):
    """A shop with a known share of returns, cut on its last day; and what came back after it, in money."""
    day = np.repeat(np.arange(days), per_day)
    amount = np.round(rng.lognormal(8, 0.6, day.size)).astype(int)
    back = rng.random(day.size) < share
    lag = rng.geometric(1 / mean_lag, day.size) - 1
    seen = back & (day + lag < days)
    frame = pd.DataFrame({"day": day, "sale_minor": amount, "lag_days": lag})
    frame["day"] = np.datetime64(START) + frame["day"].to_numpy()
    sales = frame.groupby("day", as_index=False)["sale_minor"].sum()
    found = frame[seen].assign(squares=amount[seen].astype(float) ** 2)
    grouped = found.groupby(["day", "lag_days"], as_index=False).agg(
        refunds=("lag_days", "size"), refund_minor=("sale_minor", "sum"), squares=("squares", "sum")
    )
    return curve_of(sales, grouped, on(days - 1)), int(amount[back & ~seen].sum())


def test_known_returns_are_recovered_where_the_naive_share_is_too_low():
    rng = np.random.default_rng(7)
    inside, runs, rates, naive, errors = 0, 120, [], [], []
    for _ in range(runs):
        curve, truth = world_of_returns(rng)
        total = outstanding(curve).iloc[-1]
        inside += total["low_minor"] <= truth <= total["high_minor"]
        errors.append(total["expected_minor"] / truth - 1)
        rates.append(curve.rate)
        naive.append(curve.seen)
    assert np.mean(rates) == pytest.approx(0.2, rel=0.02)
    assert np.mean(naive) < 0.18
    assert abs(np.mean(errors)) < 0.03
    # 0.1 % tails of what a true 90 % interval gives in so many runs.
    low, high = binom.ppf([0.0005, 0.9995], runs, 0.9)
    assert low <= inside <= high, f"{inside} of {runs} inside"
