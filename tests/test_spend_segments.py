"""Segment means with shrinkage: thin segments lean on the rest, zero and negative totals are held."""

import numpy as np
import pandas as pd
import pytest

from clvkit.errors import FitError
from clvkit.histories import Spenders
from clvkit.spend_segments import SegmentMeans, between, segment_spend


def world(seed, means, customers, spread=0.8):
    rng, parts = np.random.default_rng(seed), []
    for name, (mean, count) in enumerate(zip(means, customers, strict=True)):
        x = rng.geometric(0.4, count)
        paid = x * (mean + 30 * spread * rng.standard_normal(count)) + 10 * np.sqrt(x) * rng.standard_normal(
            count
        )
        parts.append(
            pd.DataFrame(
                {"segment": f"s{name:02d}", "frequency": x, "spend_minor": np.rint(100 * paid).astype(int)}
            )
        )
    return pd.concat(parts, ignore_index=True).assign(n=1)


def test_equal_segments_are_drawn_together_and_different_ones_left_apart():
    equal = segment_spend(world(1, [40] * 8, [200] * 8), 100)
    assert equal["weight"].max() < 0.75
    assert np.ptp(equal["mean"]) < np.ptp(equal["observed"])
    apart = segment_spend(world(1, [10, 40, 80], [400] * 3), 100)
    assert apart["weight"].min() > 0.95


def test_a_thin_segment_borrows_and_a_thick_one_speaks_for_itself():
    found = segment_spend(world(3, [20, 30, 40, 50, 60], [1000, 1000, 1000, 1000, 3]), 100)
    assert found["weight"].iloc[-1] < 0.8 < found["weight"].iloc[0]
    assert found["sd"].iloc[-1] > 3 * found["sd"].iloc[0]


def test_intervals_hold_the_truth_as_often_as_they_say():
    """40 worlds of 10 segments drawn from a normal, 15 to 400 customers each: 90 % intervals, exact binomial."""
    from scipy.stats import binomtest

    held = 0
    for seed in range(40):
        truth = np.random.default_rng(seed).normal(40, 8, 10)
        found = segment_spend(world(seed, truth, [15, 20, 30, 50, 80, 100, 150, 200, 300, 400]), 100)
        held += int(((found["low"] <= truth) & (truth <= found["high"])).sum())
    print(f"{held} of 400 held")
    assert binomtest(held, 400, 0.9).pvalue > 0.001


def test_counts_are_customers_and_order_does_not_matter():
    cells = world(4, [20, 50], [60, 40])
    twice = segment_spend(pd.concat([cells, cells]).sample(frac=1, random_state=1), 100)
    counted = segment_spend(cells.assign(n=2), 100)
    pd.testing.assert_frame_equal(twice, counted)


def test_who_never_bought_again_only_names_a_segment():
    cells = world(5, [20, 50], [60, 40])
    never = pd.DataFrame({"segment": ["new"], "frequency": [0], "spend_minor": [0], "n": [9]})
    found = segment_spend(pd.concat([cells, never]), 100).set_index("segment")
    assert found.loc["new", "customers"] == 0 and found.loc["new", "weight"] == 0
    assert found.loc["new", "mean"] == pytest.approx(found["mean"].iloc[1:].mean(), rel=0.2)
    with pytest.raises(FitError, match="0 customers"):
        segment_spend(never, 100)


def test_negative_means_go_through_value_and_simulation(tmp_path):
    cells = world(6, [-20, 50], [300, 300])
    made = SegmentMeans.of(cells, 100)
    made.save(tmp_path)
    spend = SegmentMeans.load(tmp_path)
    rows = pd.DataFrame({"segment": ["s00", "s01"], "frequency": [0, 4], "spend_minor": [0, 20000]})
    who = Spenders.of(spend, rows, 100)
    base, slope = who.expected(spend.posterior(50))
    assert base.shape == (50, 2) and not slope.any()
    np.testing.assert_allclose(who.expected(spend.mle[None])[0][0], spend.table["mean"])
    paid = who.amounts(spend.mle, np.repeat([0, 1], 100_000), np.random.default_rng(1)).reshape(2, -1)
    np.testing.assert_allclose(paid.mean(axis=1), spend.table["mean"], rtol=0.05)
    with pytest.raises(FitError, match="'elsewhere'"):
        spend.group_of(rows.assign(segment="elsewhere"))


def test_means_that_agree_have_no_spread():
    assert between(np.array([3.0, 3.0, 3.0]), np.array([1.0, 2.0, 3.0]))[::2] == (3.0, 0.0)
    assert between(np.array([5.0]), np.array([2.0])) == (5.0, 2.0, 0.0)
