from dataclasses import replace

import cdnow_frames
import numpy as np
import pandas as pd
import pytest

from clvkit.spend import SpendIndependence, spend_independence


def world(rho, customers=3000, seed=1):
    """Spend cells of customers whose mean spend rises with their number of purchases, the more so with rho."""
    rng = np.random.default_rng(seed)
    x = 1 + rng.poisson(3, customers)
    level = np.exp(rho * (x - x.mean()) / x.std())
    means = cdnow_frames.fit("gammagamma").model.simulate_means(np.array([6.25, 8.0, 40.0]), x, rng) * level
    return pd.DataFrame({"frequency": x, "spend_minor": np.rint(100 * x * means).astype(int), "n": 1})


def found(cells, mle=(6.25, 8.0, 40.0), **settings):
    fit = replace(cdnow_frames.fit("gammagamma"), mle=np.array(mle))
    return spend_independence(fit, cells, 100, seed=4, **{"simulations": 200} | settings)


def test_cdnow_is_put_up_for_review():
    # Fader, Hardie & Lee (2005, "RFM and CLV", table 1): mean spend and number of transactions correlate at .11
    at = cdnow_frames.CALIBRATION
    one = spend_independence(cdnow_frames.fit("gammagamma", at), cdnow_frames.spend_cells(at), 100, seed=1)
    assert (one.rho, one.customers, one.simulations) == (pytest.approx(0.11, abs=0.005), 946, 1000)
    assert one.low < 0 < one.high < one.rho
    assert one.p_value < 0.02
    assert (one.check.status, one.check.severity, one.check.chapter) == ("review", "warn", "04_value")
    assert "946 repeat customers" in one.check.message


def test_independent_spend_passes_nine_times_in_ten():
    passed = [found(world(0, 400, seed), simulations=100).check.status == "pass" for seed in range(40)]
    assert sum(passed) >= 30  # 36 expected


def test_a_strong_relation_fails_with_a_warning():
    check = found(world(0.5)).check
    assert (check.status, check.severity) == ("fail", "warn")
    assert "segment" in check.recommendation


def test_a_falling_relation_is_told_as_one():
    one = found(world(-0.12))
    assert one.rho < one.low
    assert one.check.status == "review"
    assert "spend less per purchase" in one.check.recommendation
    assert one.check.threshold == one.low


def test_the_counts_of_cells_are_customers():
    cells = world(0.1, 300)
    twice = found(cells.assign(n=2))
    assert (twice.customers, twice.rho) == (600, pytest.approx(found(cells).rho))
    assert twice.rho == pytest.approx(found(pd.concat([cells, cells])).rho)


def test_a_seed_gives_the_same_again():
    assert found(world(0.1, 300)) == found(world(0.1, 300))


def test_who_spent_nothing_or_never_came_back_is_left_out():
    cells = world(0, 300)
    more = pd.DataFrame({"frequency": [0, 3], "spend_minor": [0, 0], "n": [50, 2]})
    assert found(pd.concat([cells, more])) == found(cells)


def test_equal_numbers_of_purchases_have_no_correlation():
    cells = world(0, 300).assign(frequency=2)
    one = found(cells)
    assert (one.rho, one.low, one.high, one.p_value) == (0, 0, 0, 1)
    assert one.check.status == "pass"


def test_fewer_samples_are_drawn_for_very_many_customers(monkeypatch):
    monkeypatch.setattr("clvkit.spend.MOST_DRAWS", 60_000)
    assert found(world(0, 400), simulations=1000).simulations == 150
    assert found(world(0, 3000), simulations=1000).simulations == 100


@pytest.mark.parametrize(
    ("rho", "status"), [(0.02, "pass"), (0.2, "review"), (-0.2, "review"), (0.31, "fail"), (-0.4, "fail")]
)
def test_the_verdict(rho, status):
    assert SpendIndependence(rho, -0.05, 0.05, 0.5, 100, 1000).check.status == status


def test_a_correlation_above_the_level_never_passes():
    """A few customers have a wide range, which holds even a strong correlation: that is no independence."""
    check = SpendIndependence(0.35, -0.5, 0.5, 0.4, 12, 1000).check
    assert (check.status, check.severity) == ("review", "warn")
    assert "0.3" in check.recommendation
