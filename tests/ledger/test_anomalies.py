"""Planted faults are found by their kind; clean histories are left in peace; rates by exact tests, seeds fixed."""

from datetime import date
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy.stats import poisson

from clvkit.ledger.anomalies import AnomaliesSection, IgnoreWindow, anomaly_checks, daily_inputs, flag

WEEK = np.array([1.0, 0.95, 0.95, 1.0, 1.25, 1.5, 0.5])
CDNOW = Path(__file__).parents[2] / "data_samples" / "cdnow" / "cdnow.csv"


def history(seed, *, level=120.0, years=3, closed_sundays=False):
    """A shop's days: week, season, growth of 20 % a year, Christmas peak, closed on 25 and 26 December."""
    rng = np.random.default_rng(seed)
    days = pd.date_range("2021-01-04", periods=365 * years, name="day")
    t = np.arange(len(days))
    to_christmas = (pd.to_datetime([f"{d.year}-12-18" for d in days]) - days).days.to_numpy()
    season = 1 + 0.15 * np.sin(2 * np.pi * t / 365.25) + 1.2 * np.exp(-((to_christmas / 9) ** 2))
    mean = level * WEEK[days.dayofweek] * season * 1.2 ** (t / 365.25)
    mean = np.where((days.month == 12) & np.isin(days.day, [25, 26]), mean * 0.01, mean)
    if closed_sundays:
        mean = np.where(days.dayofweek == 6, 0, mean)
    orders = rng.poisson(mean * rng.gamma(40, 1 / 40, len(days)))  # variance: mean + mean² / 40
    lines = orders + rng.binomial(orders, 0.4)
    ends = np.concatenate([[0], np.cumsum(lines)])
    amounts = np.round(np.exp(rng.normal(7.8, 0.9, ends[-1]))).astype("int64")
    money, digits = (np.diff(np.concatenate([[0], np.cumsum(one)])[ends])
                     for one in (amounts, np.floor(np.log10(np.maximum(amounts, 1))).astype("int64") + 1))  # fmt: skip
    return pd.DataFrame({
        "source": "shop", "currency": "EUR", "day": days, "rows": lines, "copies": rng.binomial(lines, 0.01),
        "amount_minor": money, "digits": digits,
        "accounts": orders, "new_accounts": rng.binomial(orders, 0.3),
    })  # fmt: skip


def at(frame, first, last):
    return frame["day"].between(first, last)


def put(frame, first, last, **columns):
    frame = frame.copy()
    for name, factor in columns.items():
        frame.loc[at(frame, first, last), name] = np.round(frame[name] * factor).astype("int64")
    return frame


def outage(frame, first, last):
    return frame[~at(frame, first, last)]  # days without a row are not in the frame


def double(frame, first, last):
    found = at(frame, first, last)
    frame = put(frame, first, last, rows=2, amount_minor=2, digits=2)
    frame.loc[found, "copies"] = frame.loc[found, "rows"] // 2 + 2
    return frame


def slip(frame, first, last, digits=2):
    found, frame = at(frame, first, last), put(frame, first, last, amount_minor=10**digits)
    frame.loc[found, "digits"] += digits * frame.loc[found, "rows"]
    return frame


def is_found(flags, kind, first, last):
    near = pd.Timedelta(days=1)
    return (
        (flags["kind"] == kind)
        & ((flags["first_day"] - pd.Timestamp(first)).abs() <= near)
        & ((flags["last_day"] - pd.Timestamp(last)).abs() <= near)
    ).sum() == 1


def test_clean_histories_have_at_most_one_flag_a_year():
    worlds = [dict(level=120), dict(level=6), dict(level=0.6), dict(level=40, closed_sundays=True)]
    years = flags = 0
    for number, world in enumerate(worlds):
        for seed in range(20):
            found = flag(history([seed, number], **world), AnomaliesSection())
            assert len(found) <= 3, f"seed {seed} of {world}:\n{found.to_string()}"
            flags, years = flags + len(found), years + 3
    p = poisson.sf(flags - 1, years)  # how likely so many are where one a year is the truth
    print(f"{flags} flags in {years} clean years of {len(worlds) * 20} histories; p {p:.3g}")
    assert p > 0.001
    # had there truly been 1.5 a year, 95 % of such trials would exceed the limit of the test
    limit = poisson.isf(0.001, years)
    assert poisson.sf(limit, 1.5 * years) > 0.95


@pytest.mark.parametrize("closed_sundays", [False, True])
@pytest.mark.parametrize("level", [40.0, 400.0])
def test_planted_faults_are_found_by_kind_and_days(level, closed_sundays):
    faults = {
        "outage": [("2021-05-11", "2021-05-13"), ("2023-10-10", "2023-10-25")],
        "surge": [("2022-03-08", "2022-03-08"), ("2023-11-21", "2023-11-24")],
        "unit_slip": [("2022-08-16", "2022-08-20")],
        # losing two thirds for five days is within what a shop of 40 orders a day may see
        "level": [("2023-04-11", "2023-04-15")] if level > 100 else [],
    }
    planted = sum(map(len, faults.values()))
    missed = []
    for seed in range(5):
        frame = history([seed, 77], level=level, closed_sundays=closed_sundays)
        for days in faults["surge"]:
            frame = double(frame, *days)
        for days in faults["unit_slip"]:
            frame = slip(frame, *days)
        for days in faults["level"]:
            frame = put(frame, *days, rows=0.3, amount_minor=0.3, digits=0.3, accounts=0.3, new_accounts=0.3)
        for days in faults["outage"]:
            frame = outage(frame, *days)
        flags = flag(frame, AnomaliesSection())
        missed += [(seed, kind, days) for kind, each in faults.items() for days in each
                   if not is_found(flags, kind, *days)]  # fmt: skip
        assert len(flags) <= planted + 3  # one false flag a year
    print(f"{len(missed)} of {5 * planted} planted faults missed: {missed}")
    assert not missed


def test_a_lasting_slip_of_a_currency_is_found_and_a_lasting_step_of_price_is_not():
    frame = history(5, level=30)
    flags = flag(slip(frame, "2023-09-01", "2023-12-31", digits=2), AnomaliesSection())
    assert is_found(flags, "unit_slip", "2023-09-01", "2023-12-31")
    assert flags["seen"].iloc[0] / flags["expected"].iloc[0] == pytest.approx(100, rel=0.3)
    dearer = put(frame, "2022-09-01", "2024-12-31", amount_minor=1.5)
    assert flag(dearer, AnomaliesSection()).empty


def test_more_demand_is_no_double_load():
    frame = put(history(6), "2022-06-07", "2022-06-07", rows=2.2, amount_minor=2.2, digits=2.2, accounts=2.2)
    assert flag(frame, AnomaliesSection()).empty


def test_a_small_shop_needs_a_long_silence():
    frame = history(7, level=0.6)
    assert flag(outage(frame, "2022-05-10", "2022-05-13"), AnomaliesSection()).empty
    flags = flag(outage(frame, "2022-04-01", "2022-06-10"), AnomaliesSection())
    assert list(flags["kind"]) == ["outage"]


def test_a_stall_that_stays_away_on_many_weekends_is_left_in_peace():
    days = pd.date_range("2021-01-04", periods=1001)
    flags = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        open_ = np.repeat(rng.random(143) < 0.5, 7) & (days.dayofweek >= 5)
        rows = rng.poisson(40 * open_)
        stall = pd.DataFrame({"source": "stall", "currency": "EUR", "day": days, "rows": rows, "copies": 0,
                              "amount_minor": rows * 1234, "digits": rows * 4, "accounts": rows, "new_accounts": rows // 3})  # fmt: skip
        flags += len(flag(stall, AnomaliesSection()))
    years = 10 * 1001 / 365.25
    print(f"{flags} flags in {years:.0f} years of stalls")
    assert poisson.sf(flags - 1, years) > 0.001


def test_bills_of_every_first_of_the_month_are_no_slip_and_short_histories_say_nothing():
    frame = history(8, level=20)
    for first in pd.date_range("2021-02-01", "2023-12-01", freq="MS"):
        frame = slip(frame, first, first, digits=1)
    assert flag(frame, AnomaliesSection()).empty
    for n in (0, 1, 10, 40):
        assert flag(history(8)[:n], AnomaliesSection()).empty


def test_a_slip_in_one_of_two_currencies_is_found_there():
    dollars = slip(history(4, level=30).assign(currency="USD"), "2022-05-01", "2022-05-20")
    flags = flag(pd.concat([history(3), dollars]), AnomaliesSection())
    assert is_found(flags, "unit_slip", "2022-05-01", "2022-05-20") and len(flags) == 1


def test_ignored_windows_are_not_flagged_and_do_not_hide_others():
    frame = outage(history(8), "2022-05-10", "2022-05-12")
    frame = outage(frame, "2022-05-24", "2022-05-26")
    window = IgnoreWindow(first=date(2022, 5, 10), last=date(2022, 5, 12), reason="move of the warehouse")
    flags = flag(frame, AnomaliesSection(ignore=(window,)))
    assert is_found(flags, "outage", "2022-05-24", "2022-05-26") and len(flags) == 1
    elsewhere = window.model_copy(update={"source": "till"})
    assert len(flag(frame, AnomaliesSection(ignore=(elsewhere,)))) == 2
    with pytest.raises(ValidationError, match="must not end before it begins"):
        IgnoreWindow(first=date(2022, 5, 10), last=date(2022, 5, 1), reason="typing error")


def test_money_touched_is_what_the_run_holds_or_lacks():
    frame = history(9)
    expected = frame.loc[at(frame, "2022-05-10", "2022-05-16"), "amount_minor"].sum()
    gone = outage(frame, "2022-05-10", "2022-05-16")
    flags = flag(gone, AnomaliesSection())
    assert flags["share"].iloc[0] == pytest.approx(expected / gone["amount_minor"].sum(), rel=0.25)
    assert anomaly_checks(flags)[0].status == "review"
    assert "outage" in anomaly_checks(flags)[0].message
    one = flags.iloc[[0]].assign(source="shop", kind="double_load", share=0.019,
                                 first_day=pd.Timestamp("2024-03-04"), last_day=pd.Timestamp("2024-03-05"))  # fmt: skip
    two = pd.concat([one.assign(share=0.001, last_day=one["first_day"], kind="outage"), one])
    assert anomaly_checks(two)[0].message == (
        "2 runs of days stand off from the days around: double load in shop, 4 March 2024 to 5 March 2024 (1.9 % of its "
        "money); outage in shop, 4 March 2024 (0.1 % of its money)."
    )
    assert (
        "4 runs of days stand off from the days around, such as double load"
        in anomaly_checks(pd.concat([two, two]))[0].message
    )
    assert anomaly_checks(flags[:0])[0].status == "pass"


def lines(rows):
    """Lines with the columns that are asked for; the rest is empty."""
    frame = pd.DataFrame(rows, columns=["source", "day", "account", "order_id", "amount_minor", "reason"])
    frame = frame.assign(currency="EUR", product=None, quantity=1.0, day=pd.to_datetime(frame["day"]).dt.date)
    kinds = {
        "day": "date",
        "product": "string",
        "order_id": "string",
        "reason": "string",
        "account": "string",
    }
    table = ibis.memtable(frame)
    return table.mutate(**{name: table[name].cast(kind) for name, kind in kinds.items()})


def test_daily_inputs_count_rows_copies_digits_and_new_accounts():
    found = daily_inputs(lines([
        ("shop", "2024-01-01", "ann", "1", 1000, None),
        ("shop", "2024-01-01", "ann", "1", 1000, None),
        ("shop", "2024-01-01", None, "2", -50, None),
        ("shop", "2024-01-02", "ann", "3", 999, None),
        ("shop", "2024-01-02", "bob", "4", 1, None),
        ("shop", "2024-01-03", "bob", "5", 7, "duplicate_line"),
        ("till", "2024-01-02", "bob", "4", 1, None),
    ]))  # fmt: skip
    got = found.assign(day=found["day"].dt.day).drop(columns="currency").to_numpy().tolist()
    assert got == [
        ["shop", 1, 3, 1, 1950, 10, 1],
        ["shop", 2, 2, 0, 1000, 4, 1],
        ["till", 2, 1, 0, 1, 1, 1],
    ]


def test_the_end_of_acquisition_at_cdnow_is_no_outage():
    table = ibis.read_csv(CDNOW)
    days = daily_inputs(table.select(
        source=ibis.literal("cdnow"), currency=ibis.literal("USD"), day=table.date.cast("date"),
        account=table.customer_id.cast("string"), order_id=ibis.null("string"), product=ibis.null("string"),
        quantity=table.cds.cast("float64"), amount_minor=(table.amount * 100).round().cast("int64"),
        reason=ibis.null("string"),
    ))  # fmt: skip
    assert days["rows"].sum() == 69659 and days["new_accounts"].sum() == 23570
    flags = flag(days, AnomaliesSection())
    print(flags.to_string())
    assert not ((flags["first_day"] <= "1997-04-10") & (flags["last_day"] >= "1997-03-15")).any()
    assert not (flags["kind"] == "outage").any()
