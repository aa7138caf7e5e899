"""When rows arrive, how far the data are complete, and that an old as-of date gives its old result."""

from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.stats import binomtest, poisson

from clvkit.customers import cells, customer_summary
from clvkit.errors import DataError
from clvkit.ledger.completeness import (
    CompletenessSection,
    arrived,
    completeness,
    completeness_checks,
    cut_days,
    known_at,
    maturity,
)

START = date(2024, 1, 1)
SCHEMA = pa.schema([("source", pa.string()), ("account", pa.string()), ("day", pa.date32()), ("loaded", pa.date32()),
                    ("currency", pa.string()), ("amount_minor", pa.int64()), ("quarantined", pa.bool_())])  # fmt: skip


def lines(days, lags, source="shop", accounts=None, amounts=None):
    """Lines of ``days`` after the start, loaded ``lags`` days later (None: no load date)."""
    rows = [{
        "source": source, "account": f"a{accounts[i] if accounts is not None else i}", "day": START + timedelta(int(day)),
        "loaded": None if lags is None else START + timedelta(int(day) + int(lags[i])), "currency": "EUR",
        "amount_minor": int(amounts[i]) if amounts is not None else 100, "quarantined": False,
    } for i, day in enumerate(days)]  # fmt: skip
    return pa.Table.from_pylist(rows, SCHEMA)


def table(*parts):
    return ibis.memtable(pa.concat_tables(parts))


def bought(known):
    grouped = known.group_by("account", "day").agg(amount_minor=known.amount_minor.sum().cast("int64"))
    return grouped.rename(customer="account")


def test_an_old_as_of_date_gives_its_old_result_bit_for_bit():
    rng = np.random.default_rng(1)
    days, lags = rng.integers(0, 200, 3000), rng.geometric(0.2, 3000) - 1
    accounts, amounts = rng.integers(0, 300, 3000), rng.integers(-500, 9000, 3000)
    all_rows = lines(days, lags, accounts=accounts, amounts=amounts)
    as_of = START + timedelta(150)
    then = all_rows.filter(pa.array([d <= as_of for d in all_rows["loaded"].to_pylist()]))
    late = [d for d, loaded in zip(all_rows["day"].to_pylist(), all_rows["loaded"].to_pylist(), strict=True)
            if d <= as_of < loaded]  # fmt: skip
    assert len(late) > 20, "the world has rows that came late"

    def result(source):
        found = cells(customer_summary(bought(source), as_of))
        return found.to_csv(index=False).encode()

    old = result(ibis.memtable(then))
    assert result(known_at(ibis.memtable(all_rows), as_of)) == old
    shuffled = all_rows.take(pa.array(rng.permutation(3000)))
    assert result(known_at(ibis.memtable(shuffled), as_of)) == old
    assert result(ibis.memtable(all_rows)) != old


def test_lines_without_a_load_date_are_known_on_their_day():
    assert known_at(table(lines([0, 5], None)), START).count().to_pyarrow().as_py() == 2


def test_latency_is_not_flattered_by_the_newest_days():
    rng = np.random.default_rng(2)
    truth, last = 0.15, 90
    days = np.repeat(np.arange(91), 300)
    lags = rng.geometric(truth, len(days)) - 1
    seen = days + lags <= last
    found = completeness(table(lines(days[seen], lags[seen])), CompletenessSection())
    curve = found.latency.set_index("lag_days")["rows"]
    naive = np.mean(lags[seen] <= 5)
    for lag in (0, 5, 10, 20):
        share = 1 - (1 - truth) ** (lag + 1)
        assert curve[lag] == pytest.approx(share, abs=0.01)
    assert naive > curve[5] + 0.02
    q99 = int(np.ceil(np.log(0.01) / np.log(1 - truth))) - 1
    assert abs((START + timedelta(last - q99) - found.sources["complete_to"].iloc[0]).days) <= 2
    assert found.sources["why"].iloc[0] == "latency"
    assert found.quantiles.loc[0, "lag_rows"] == np.ceil(np.log(0.5) / np.log(1 - truth)) - 1


def test_money_has_its_own_lag_and_a_migration_counts_for_nothing():
    old = lines([-400, -300], [500, 400])  # loaded on day 100, when loading began
    days = np.arange(100, 160)
    small, large = lines(days, np.zeros(60)), lines(days, np.full(60, 3), amounts=np.full(60, 9900))
    found = completeness(table(old, small, large), CompletenessSection())
    curve = found.latency.set_index("lag_days")
    assert curve.index.max() == 3
    assert curve.loc[0, "rows"] == pytest.approx(0.5, abs=0.02)
    assert curve.loc[0, "money"] == pytest.approx(0.01, abs=0.001)
    assert found.sources["complete_to"].iloc[0] == START + timedelta(159)
    assert arrived(
        pd.DataFrame({"day": [pd.Timestamp(START)], "loaded": [pd.NaT], "rows": [1], "money": [1]})
    ).empty


def test_the_cut_off_is_the_earliest_source_and_the_checks_say_so():
    section = CompletenessSection()
    full, short = (
        lines(np.repeat(np.arange(100), 30), None),
        lines(np.repeat(np.arange(80), 30), None, "till"),
    )
    part = lines([80] * 4, None, "till")
    found = completeness(table(full, short, part), section)
    assert list(found.sources["why"]) == ["last day", "cut off"]
    assert found.cut_off == START + timedelta(79)
    assert found.quantiles.empty
    checks = {c.id: c for c in completeness_checks(found, section, START + timedelta(90))}
    assert checks["history.complete"].status == "fail" and checks["history.complete"].value == 11
    assert "till to 20 March 2024" in checks["history.complete"].message
    assert "20 March 2024" in checks["history.complete"].recommendation
    assert completeness_checks(found, section, found.cut_off)[0].status == "pass"
    whole = completeness(table(full, short), section)
    assert completeness_checks(whole, section, START + timedelta(90))[0].status == "review"
    with pytest.raises(DataError, match="no line has a day"):
        completeness(table(full).filter(ibis.literal(False)), section)


def test_a_silent_small_source_is_no_gap_and_an_ended_one_holds_nothing_back():
    busy = lines(np.repeat(np.arange(100), 30), None)
    small, old = lines(np.arange(0, 95, 7), None, "stall"), lines(np.repeat(np.arange(40), 30), None, "old")
    as_of = START + timedelta(99)
    found = completeness(table(busy, small), CompletenessSection())
    assert found.cut_off == START + timedelta(91)
    assert completeness_checks(found, CompletenessSection(), as_of)[0].status == "pass"
    section = CompletenessSection()
    assert completeness_checks(completeness(table(busy, old), section), section, as_of)[0].status == "review"
    section = CompletenessSection(ended=("old",))
    found = completeness(table(busy, old), section)
    assert found.cut_off == as_of and list(found.sources["why"]) == ["ended", "last day"]
    assert completeness_checks(found, section, as_of)[0].status == "pass"


def test_rows_loaded_before_their_day_are_put_up_for_review():
    found = completeness(table(lines([5, 6, 7], [0, -2, 1])), CompletenessSection())
    check = next(
        c for c in completeness_checks(found, CompletenessSection(), START) if c.id == "history.loaded"
    )
    assert check.status == "review" and check.message.startswith("1 of 3 rows")


def test_whole_last_days_are_rarely_taken_for_cut_off_and_half_days_are_found():
    rng = np.random.default_rng(3)
    days = pd.date_range(START, periods=120)
    mean = np.array([100, 90, 90, 100, 130, 160, 20])[days.dayofweek]
    trials = 2000
    alarms = sum(cut_days(pd.Series(rng.poisson(mean), days), 0.001) > 0 for _ in range(trials))
    # eight days estimate mean and variance, so that the stated 0.1 % is exceeded; 1 % is the rate to exclude
    test = binomtest(alarms, trials, 0.01, alternative="greater")
    print(f"{alarms} of {trials} whole last days taken for cut off; p of 1 % {test.pvalue:.3g}")
    assert test.pvalue > 0.001
    found = 0
    for _ in range(200):
        rows = rng.poisson(mean)
        rows[-1] = rng.poisson(mean[-1] * 0.4)
        found += cut_days(pd.Series(rows, days), 0.001) == 1
    print(f"{found} of 200 days cut at 40 % found")
    assert binomtest(found, 200, 0.95).pvalue > 0.001 or found > 190
    assert (
        poisson.cdf(2, 20) < 0.001
        and cut_days(pd.Series([20] * 40 + [2], pd.date_range(START, periods=41)), 0.001) == 1
    )
    assert cut_days(pd.Series([1] * 40 + [0, 1], pd.date_range(START, periods=42)), 0.001) == 0


def test_maturity_counts_customers_with_a_long_enough_history():
    summary = customer_summary(bought(table(lines([0, 50, 100], None))), START + timedelta(100))
    assert maturity(summary, (0, 50, 51, 365)).to_numpy().tolist() == [[0, 3, 1.0], [50, 2, 2 / 3], [51, 1, 1 / 3], [365, 0, 0]]  # fmt: skip
