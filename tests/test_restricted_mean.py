"""Restricted means: by hand, against a library, and how often intervals hold the truth."""

import numpy as np
import pandas as pd
import pytest
from lifelines import KaplanMeierFitter
from lifelines.utils import restricted_mean_survival_time
from spell_worlds import excluded, spells, too_many

from clvkit.contract_survival import by_group, survival
from clvkit.restricted_mean import means_by_group, reaches, restricted_mean


def cells(seed, count=400, beta=(0.0, 0.0), late=0, hazard=0.08):
    entry, until, ended, _ = spells(seed, count, beta, late=late, hazard=hazard)
    return pd.DataFrame(
        {"renewals": (until - ended).astype(int), "ended": ended, "entry": entry.astype(int), "n": 1}
    )


def test_by_hand():
    frame = pd.DataFrame({"renewals": [0, 1, 3], "ended": [True, True, False], "entry": 0, "n": [2, 3, 5]})
    found = restricted_mean(survival(frame, 0.9), 3)
    # S = 0.8, 0.5, 0.5; after each step what is ahead of it: 1.8, 1.0
    assert found.mean == pytest.approx(1.8)
    assert found.error == pytest.approx(np.sqrt(1.8**2 * 2 / (10 * 8) + 1.0**2 * 3 / (8 * 5)))
    assert np.isnan(restricted_mean(survival(frame, 0.9), 4).mean)


@pytest.mark.filterwarnings("ignore::scipy.integrate.IntegrationWarning")
def test_lifelines():
    frame = cells(1)
    until = frame["renewals"] + frame["ended"]
    fitter = KaplanMeierFitter().fit(until, frame["ended"])
    # the area from 0 to 13 is the sum at 0 to 12; ours leaves out the first unit, in which all are there
    area, variance = restricted_mean_survival_time(fitter, t=13, return_variance=True)
    found = restricted_mean(survival(frame, 0.9), 12)
    assert (
        found.mean == pytest.approx(area - 1, abs=1e-9) and variance > 0
    )  # theirs is of a lifetime, ours of the estimate


def plain(frame):
    """The curve of `survival` without its band, quickly."""
    until, entry, ended = (
        (frame["renewals"] + frame["ended"]).to_numpy(),
        frame["entry"].to_numpy(),
        frame["ended"].to_numpy(),
    )
    t = np.arange(1, until.max() + 1)
    risk = ((entry[:, None] < t) & (until[:, None] >= t)).sum(axis=0)
    left = ((until[:, None] == t) & ended[:, None]).sum(axis=0)
    stays = np.cumprod(1 - left / np.maximum(risk, 1))
    return pd.DataFrame({"renewal": np.append(0, t), "at_risk": np.append(len(frame), risk), "left": np.append(0, left),
                         "survival": np.append(1.0, stays)})  # fmt: skip


def test_the_plain_curve_is_the_curve():
    frame = cells(5, late=6)
    pd.testing.assert_frame_equal(plain(frame), survival(frame, 0.9)[list(plain(frame))], check_dtype=False)


def test_intervals_and_differences_hold_the_truth_as_often_as_they_say():
    # 300 worlds: intervals of 90 % that held 81 % would be found with 95 % power
    truth, held, alarms = np.exp(-0.08 * np.arange(1, 13)).sum(), 0, 0
    for seed in range(300):
        one, other = (
            plain(cells([2, seed, k], 150, late=6)).assign(group=name) for k, name in enumerate("ab")
        )
        means, pairs = means_by_group(pd.concat([one, other]), 12, 0.9)
        row = means.iloc[0]
        held += row["low"] <= truth <= row["high"]
        alarms += pairs["adjusted"].iloc[0] < 0.05
    print(f"{held} of 300 intervals of 90 %, {alarms} false alarms at 5 %")
    assert not excluded(held, 300, 0.9) and not too_many(alarms, 300, 0.05)


def test_groups_that_were_not_watched_for_so_long_are_left_out():
    old, young = cells(3).assign(group="old"), cells(4).assign(group="young")
    young = young[young["renewals"] < 4]
    frame = pd.concat([old, young], ignore_index=True).assign(plan=lambda one: one["group"])
    curves = by_group(frame, "plan", 0.9)
    reach = reaches(curves, 10)
    assert reach["old"] > 12 and reach["young"] <= 4
    means, pairs = means_by_group(curves, 12, 0.9, frozenset({"young"}))
    assert list(means["group"]) == ["old"] and pairs.empty
