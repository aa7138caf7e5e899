"""Spend drift: false alarms at the stated rate, a planted drift found, and what the test must not take for one."""

from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from clvkit.spend_drift import SpendDrift, spend_drift, sums_within

START, AS_OF = date(2022, 1, 1), date(2023, 12, 31)
DAYS = (AS_OF - START).days


def log(seed, customers=400, yearly=0.0, mix=0.0):
    """Purchases of customers with levels of their own; ``yearly`` drifts amounts, ``mix`` lets later customers spend more."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, DAYS // 2, customers)
    who = np.repeat(np.arange(customers), 1 + rng.geometric(0.2, customers))
    day = first[who] + rng.integers(0, DAYS - first[who] + 1)
    frame = pd.DataFrame({"customer": np.append(who, np.arange(customers)), "day": np.append(day, first)})
    frame = frame.drop_duplicates().sort_values(["customer", "day"])
    level = rng.gamma(4, 10, customers) * np.exp(mix * first / DAYS)
    paid = rng.gamma(3, 1 / 3, len(frame)) * level[frame["customer"]]
    minor = np.rint(100 * paid * (1 + yearly) ** (frame["day"] / 365.25)).astype(int)
    return frame.assign(amount_minor=minor)


def table(frame):
    days = [START + timedelta(days=int(day)) for day in frame["day"]]
    made = pd.DataFrame({
        "customer": frame["customer"].astype(str), "day": days, "amount_minor": frame["amount_minor"].to_numpy(),
    })  # fmt: skip
    return ibis.memtable(made, schema={"customer": "string", "day": "date", "amount_minor": "int64"})


def by_hand(frame):
    """The same sums, customer by customer."""
    u, v = [], []
    for _, one in frame.groupby("customer"):
        repeat = one[one["day"] > one["day"].min()]
        if len(repeat) >= 2:
            t, a = repeat["day"].to_numpy() / 365.25, repeat["amount_minor"].to_numpy(float)
            u.append(np.sum((t - t.mean()) * a))
            v.append(a.sum() * t.var())
    u, v = np.array(u), np.array(v)
    beta = u.sum() / v.sum()
    error = np.sqrt(np.sum((u - beta * v) ** 2) * len(u) / (len(u) - 1)) / v.sum()
    return beta, error, len(u)


def test_the_engine_adds_up_what_a_loop_does():
    frame = log(1, 80, 0.05)
    found, (beta, error, customers) = spend_drift(table(frame), AS_OF), by_hand(frame)
    assert found.customers == customers
    assert found.log_change == pytest.approx(beta, rel=1e-6)
    assert found.log_error == pytest.approx(error, rel=1e-6)
    assert found.change == pytest.approx(np.expm1(beta))
    assert found.low < found.change < found.high


def test_sums_do_not_depend_on_the_order_of_rows():
    frame = log(2, 100)
    again = frame.sample(frac=1, random_state=3)
    assert sums_within(table(frame), AS_OF).to_pyarrow() == sums_within(table(again), AS_OF).to_pyarrow()


def test_false_alarms_come_at_the_nominal_rate():
    """Simulated by the same sums as the engine's (a test above holds the two together): 5 % of 400 logs without a drift."""
    alarms = 0
    for seed in range(400):
        beta, error, _ = _fast(log(1000 + seed, 150))
        alarms += abs(beta) > 1.976 * error  # t with about 140 degrees of freedom
    judged = binomtest(alarms, 400, 0.05)
    print(f"{alarms} of 400 alarms, p {judged.pvalue:.3f}")
    assert judged.pvalue > 0.001


def _fast(frame):
    first = frame.groupby("customer")["day"].transform("min")
    repeat = frame[frame["day"] > first]
    t, a = repeat["day"] / 365.25, repeat["amount_minor"].astype(float)
    sums = (
        pd.DataFrame({"c": repeat["customer"], "m": 1, "t": t, "tt": t * t, "a": a, "ta": t * a})
        .groupby("c")
        .sum()
    )
    sums = sums[sums["m"] >= 2]
    u = sums["ta"] - sums["a"] * sums["t"] / sums["m"]
    v = sums["a"] / sums["m"] * (sums["tt"] - sums["t"] ** 2 / sums["m"])
    beta = u.sum() / v.sum()
    return beta, np.sqrt(((u - beta * v) ** 2).sum() * len(u) / (len(u) - 1)) / v.sum(), len(u)


def test_ten_percent_a_year_is_found():
    """Every one of 20 logs of 1,500 customers raises the alarm; the interval holds 10 % as often as it should."""
    held, found = 0, 0
    for seed in range(20):
        beta, error, _ = _fast(log(seed, 1500, 0.10))
        found += beta > 1.96 * error
        held += abs(beta - np.log(1.1)) < 1.96 * error
    assert found >= 19
    assert binomtest(held, 20, 0.95).pvalue > 0.001
    check = spend_drift(table(log(0, 1500, 0.10)), AS_OF).check()
    assert (check.id, check.status, check.chapter) == ("spend.drift", "review", "04_value")
    assert check.value == pytest.approx(0.10, abs=0.04)


def test_later_customers_who_spend_more_are_no_drift():
    found = spend_drift(table(log(5, 1000, mix=1.5)), AS_OF)
    assert not found.found and found.check().status == "pass"


def test_another_currency_or_calendar_changes_nothing():
    frame = log(6, 200, 0.1)
    one, other = (
        spend_drift(table(made), AS_OF)
        for made in (frame, frame.assign(amount_minor=100 * frame["amount_minor"]))
    )
    assert other.change == pytest.approx(one.change, rel=1e-6)
    assert other.p_value == pytest.approx(one.p_value, rel=1e-5)


def test_zero_and_negative_amounts_are_held():
    frame = log(7, 300)
    rng = np.random.default_rng(8)
    odd = rng.random(len(frame))
    frame["amount_minor"] = np.where(
        odd < 0.1, 0, np.where(odd < 0.15, -frame["amount_minor"], frame["amount_minor"])
    )
    assert np.isfinite(spend_drift(table(frame), AS_OF).change)
    nothing = spend_drift(table(frame.assign(amount_minor=-5)), AS_OF)
    assert nothing.change is None and nothing.check().status == "info"


def test_few_customers_say_nothing():
    found = spend_drift(table(log(9, 10)), AS_OF)
    assert (found.change, found.check().status, found.check().severity) == (None, "info", "info")


def test_what_a_drift_does_to_the_value():
    """Value that comes evenly over two years, each year's at its middle: the mean of the two growths."""
    path = pd.DataFrame({"months": [12.0, 24.0, np.inf], "value": [100.0, 200.0, 900.0]})
    drift = SpendDrift(100, 900, np.log(1.1), 0.02, 0.1, 0.06, 0.14, 0.0001)
    assert drift.effect(path) == pytest.approx((1.1**0.5 + 1.1**1.5) / 2 - 1)
    check = drift.check(path)
    assert check.status == "review" and "10.1 % higher over the horizon" in check.recommendation
    assert SpendDrift(5, 9).effect(path) is None


def test_saved_and_loaded(tmp_path):
    drift = SpendDrift(100, 900, 0.1, 0.02, 0.105, 0.06, 0.14, 0.0001)
    drift.save(tmp_path)
    assert SpendDrift.load(tmp_path) == drift
