"""The customer summary and its cells, against the facts of CDNOW and against a plain count."""

from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clvkit.customers import (
    cells,
    customer_summary,
    daily_purchases,
    holdout,
    holdout_cells,
    score_cells,
    spend_cells,
)
from clvkit.ledger import LedgerSection, build_ledger

SAMPLES = Path(__file__).parents[1] / "data_samples" / "cdnow"
ORIGIN, END = date(1997, 9, 30), date(1998, 6, 30)


def cdnow(name):
    section = LedgerSection(path=name)
    return build_ledger(section, as_of=END, currency="USD", base=SAMPLES, today=date(2024, 1, 1))


@pytest.fixture(scope="module")
def sample():
    return cdnow("cdnow_sample.csv")


@pytest.fixture(scope="module")
def full():
    return cdnow("cdnow.csv")


def purchases(rows):
    """Rows of customer, day, minor units, segment as the ledger's purchases."""
    frame = pd.DataFrame(rows, columns=["customer", "day", "amount_minor", "segment"])
    kinds = {"customer": "string", "day": "date", "amount_minor": "int64", "segment": "string"}
    return ibis.memtable(frame, schema=kinds)


class TestCdnow:
    """Facts of the 1/10 sample at 30 September 1997: Fader, Hardie & Lee (2005), and counted anew."""

    def test_customers_and_repeats(self, sample):
        found = cells(customer_summary(sample.purchases, ORIGIN))
        assert found["n"].sum() == 2357
        assert found.loc[found["frequency"] == 0, "n"].sum() == 1411
        assert found.loc[found["frequency"] > 0, "n"].sum() == 946
        assert (found["frequency"] * found["n"]).sum() == 2457

    def test_distinct_cells(self, sample):
        assert len(cells(customer_summary(sample.purchases, ORIGIN))) == 1016

    def test_histogram(self, sample):
        found = cells(customer_summary(sample.purchases, ORIGIN))
        counts = found.groupby(found["frequency"].clip(upper=7))["n"].sum()
        assert counts.tolist() == [1411, 439, 214, 100, 62, 38, 29, 64]

    def test_mean_repeat_spend(self, sample):
        found = spend_cells(customer_summary(sample.purchases, ORIGIN))
        mean = found["spend_minor"] / 100 / found["frequency"]
        assert found["n"].sum() == 946
        assert round(np.average(mean, weights=found["n"]), 4) == 35.0778

    def test_holdout(self, sample):
        found = holdout_cells(holdout(sample.purchases, ORIGIN, END))
        assert (found["n_holdout"] * found["n"]).sum() == 1882
        assert found["n"].sum() == 2357

    def test_sample_is_whole(self, sample):
        assert sample.totals["rows"] == {
            "in": 6919, "used": 6696, "merged": 223, "later": 0, "excluded": 0, "quarantined": 0,
        }  # fmt: skip
        assert sample.totals["amount"]["USD"]["in"] == 244091.94

    def test_full_data_keeps_copies_and_free_orders(self, full):
        assert full.totals["rows"]["in"] == 69659
        assert full.totals["rows"]["used"] + full.totals["rows"]["merged"] == 69659
        assert full.totals["customers"] == 23570
        assert full.totals["amount"]["USD"]["in"] == 2500315.63
        copies = next(c for c in full.checks if c.id == "ledger.duplicates")
        assert copies.value == 255
        assert (
            full.rows.filter((full.rows.amount_minor == 0) & (full.rows.state == "used")).count().execute()
            > 0
        )


def test_summary_of_one_customer():
    bought = purchases([
        ("a", date(2024, 1, 10), 500, "x"),
        ("a", date(2024, 1, 20), 300, "x"),
        ("a", date(2024, 2, 9), 200, "x"),
        ("a", date(2024, 5, 1), 999, "x"),
        ("b", date(2024, 4, 1), 100, "x"),
    ])  # fmt: skip
    found = customer_summary(bought, date(2024, 3, 31)).to_pyarrow().to_pylist()
    assert found == [{
        "customer": "a", "segment": "x", "first_day": date(2024, 1, 10), "frequency": 2, "recency_days": 30,
        "T_days": 81, "spend_minor": 500, "first_minor": 500,
    }]  # fmt: skip


def test_a_customer_who_buys_on_the_last_day():
    found = cells(customer_summary(purchases([("a", date(2024, 1, 1), 0, "all")]), date(2024, 1, 1)))
    assert found.to_dict("records") == [{
        "segment": "all", "frequency": 0, "recency_days": 0, "T_days": 0, "n": 1, "spend_minor": 0,
        "first_minor": 0,
    }]  # fmt: skip


rows = st.lists(
    st.tuples(
        st.sampled_from("abcdefgh"),
        st.integers(0, 120).map(lambda d: date(2024, 1, 1) + timedelta(days=d)),
        st.integers(0, 10_000),
    ),
    min_size=1, max_size=60, unique_by=lambda r: r[:2],
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(rows, st.integers(0, 120), st.integers(0, 60), st.randoms(use_true_random=False))
def test_against_a_plain_count(rows, day, horizon, random):
    """Cells, spend cells and hold-out equal a loop over customers, whatever the order of the rows."""
    origin = date(2024, 1, 1) + timedelta(days=day)
    end = origin + timedelta(days=horizon)
    segment = {c: "early" if c < "e" else "late" for c in "abcdefgh"}
    expected, spend, held = Counter(), Counter(), Counter()
    for customer in sorted({r[0] for r in rows}):
        mine = sorted((d, a) for c, d, a in rows if c == customer)
        seen = [m for m in mine if m[0] <= origin]
        if not seen:
            continue
        first, last = seen[0][0], seen[-1][0]
        key = (segment[customer], len(seen) - 1, (last - first).days, (origin - first).days)
        expected[key] += 1
        if len(seen) > 1:
            spend[(len(seen) - 1, sum(a for _, a in seen[1:]))] += 1
        after = [a for d, a in mine if origin < d <= end]
        held[(*key, len(after))] += 1
    random.shuffle(rows)
    bought = purchases([(c, d, a, segment[c]) for c, d, a in rows])
    summary = customer_summary(bought, origin)

    found = cells(summary)
    assert list(found[["segment", "frequency", "recency_days", "T_days", "n"]].itertuples(index=False)) == [
        (*k, n) for k, n in sorted(expected.items())
    ]
    assert {str(t) for c, t in found.dtypes.items() if c != "segment"} == {"int64"}
    assert [tuple(r) for r in spend_cells(summary).itertuples(index=False)] == [
        (*k, n) for k, n in sorted(spend.items())
    ]
    scored = score_cells(summary)
    assert scored.groupby(list(scored.columns[:4]))["n"].sum().tolist() == found["n"].tolist()
    assert (scored["spend_minor"] * scored["n"]).sum() == found["spend_minor"].sum()
    counted = holdout_cells(holdout(bought, origin, end))
    keys = ["segment", "frequency", "recency_days", "T_days", "n_holdout", "n"]
    assert list(counted[keys].itertuples(index=False)) == [(*k, n) for k, n in sorted(held.items())]
    assert {str(t) for c, t in counted.dtypes.items() if c != "segment"} == {"int64"}
    kept = {c for c, d, _ in rows if d <= origin}
    assert counted["holdout_minor"].sum() == sum(a for c, d, a in rows if c in kept and origin < d <= end)


class TestDaily:
    ROWS = [
        ("a", date(2024, 1, 1), 100, "all"),
        ("b", date(2024, 1, 1), 50, "all"),
        ("a", date(2024, 1, 3), 30, "all"),
        ("c", date(2024, 1, 4), 20, "all"),
        ("c", date(2024, 1, 5), 10, "all"),
    ]

    def test_every_day_of_the_calendar(self):
        found = daily_purchases(purchases(self.ROWS))
        assert found["day"].tolist() == list(pd.date_range("2024-01-01", "2024-01-05"))
        assert found["first"].tolist() == [2, 0, 0, 1, 0]
        assert found["repeat"].tolist() == [0, 0, 1, 0, 1]
        assert found["first_minor"].tolist() == [150, 0, 0, 20, 0]
        assert found["repeat_minor"].tolist() == [0, 0, 30, 0, 10]

    def test_customers_known_at_an_origin(self):
        found = daily_purchases(purchases(self.ROWS), origin=date(2024, 1, 2))
        assert found["repeat"].tolist() == [0, 0, 1]
        assert found["first"].sum() == 2

    def test_nobody(self):
        assert daily_purchases(purchases(self.ROWS), origin=date(2023, 1, 1)).empty

    def test_cdnow_adds_up(self, sample):
        found = daily_purchases(sample.purchases, origin=ORIGIN)
        after = found[found["day"] > pd.Timestamp(ORIGIN)]
        assert found["first"].sum() == 2357
        assert after["repeat"].sum() == 1882
        assert found["first_minor"].sum() + found["repeat_minor"].sum() == 24409194
