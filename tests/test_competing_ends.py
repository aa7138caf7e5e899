"""Competing ends: by hand, against a library, and on worlds with known hazards."""

import numpy as np
import pandas as pd
import pytest
from lifelines import AalenJohansenFitter
from spell_worlds import excluded

from clvkit.competing_ends import (
    INVOLUNTARY,
    UNNAMED,
    VOLUNTARY,
    cumulative_incidence,
    incidence_at,
    kinds_of_end,
)
from clvkit.errors import DataError

RATES = {"choice": 0.08, "card": 0.03}


def spells(seed, count=500, late=0, whole=True):
    """``entry, until, cause`` of relations that end by choice or by a failed card, at known rates."""
    rng = np.random.default_rng(seed)
    lasts = rng.exponential(1 / sum(RATES.values()), count)
    cause = rng.choice(list(RATES), count, p=np.array(list(RATES.values())) / sum(RATES.values())).astype(
        object
    )
    lasts = np.ceil(lasts) if whole else lasts
    entry = rng.integers(0, late + 1, count).astype(float)
    last = entry + (rng.integers(1, 30, count) if whole else rng.uniform(0, 30, count))
    seen = lasts > entry
    ended = lasts <= last
    return (
        entry[seen],
        np.minimum(lasts, last)[seen],
        pd.Series(np.where(ended, cause, None)[seen], dtype=object),
    )


def truth(t, cause):
    """The share that has ended for a cause by t."""
    total = sum(RATES.values())
    return RATES[cause] / total * (1 - np.exp(-total * t))


def test_by_hand():
    # 10 at risk: at 1 two end by choice and one by card; one censored at 1; at 2 one of 6 by choice; at 3 one of 5 by card
    until = [1, 1, 1, 1, 2, 3, 3, 3, 3, 3]
    cause = pd.Series(["a", "a", "b", None, "a", "b", None, None, None, None], dtype=object)
    found = cumulative_incidence(np.zeros(10), until, cause, 0.9).set_index(["cause", "time"])
    assert list(found.loc["a", "at_risk"]) == [10, 10, 6, 5]
    np.testing.assert_allclose(found.loc["a", "incidence"], [0, 0.2, 0.2 + 0.7 / 6, 0.2 + 0.7 / 6])
    np.testing.assert_allclose(found.loc["b", "incidence"], [0, 0.1, 0.1, 0.1 + 0.7 * 5 / 6 / 5])
    np.testing.assert_allclose(found.loc["a", "alone"], [0, 0.2, 1 - 0.8 * 5 / 6, 1 - 0.8 * 5 / 6])
    # at the first time, the variance is that of a share: 0.2 · 0.8 / 10
    z, share = 1.6448536, 0.2
    spread = z * np.sqrt(0.2 * 0.8 / 10) / (share * -np.log(share))
    np.testing.assert_allclose(
        found.loc[("a", 1.0), ["low", "high"]].astype(float), share ** np.exp([spread, -spread]), rtol=1e-6
    )


def test_lifelines_without_ties():
    _, until, cause = spells(1, whole=False)
    found = cumulative_incidence(np.zeros(len(until)), until, cause, 0.9)
    codes = cause.map({"choice": 1, "card": 2}).fillna(0).astype(int)
    for name, code in (("choice", 1), ("card", 2)):
        other = AalenJohansenFitter(alpha=0.1).fit(until, codes, event_of_interest=code)
        part = found[(found["cause"] == name) & (found["time"] > 0)]
        np.testing.assert_allclose(
            part["incidence"], other.cumulative_density_.loc[part["time"]].iloc[:, 0], atol=1e-12
        )
        inside = part[part["incidence"] > 0]
        band = np.sort(other.confidence_interval_.loc[inside["time"]].to_numpy(), axis=1)
        np.testing.assert_allclose(
            inside[["low", "high"]], band, rtol=0.05
        )  # theirs sums the variance a step later


@pytest.mark.parametrize("late", [0, 10])
def test_all_causes_and_those_still_there_are_everybody(late):
    from clvkit.contract_survival import survival

    entry, until, cause = spells(2, late=late)
    found = cumulative_incidence(entry, until, cause, 0.9)
    ended = cause.notna().to_numpy()
    cells = pd.DataFrame(
        {"renewals": (until - ended).astype(int), "ended": ended, "entry": entry.astype(int), "n": 1}
    )
    curve = survival(cells, 0.9).set_index("renewal")["survival"]
    last = found.groupby("cause").tail(1)
    assert last["incidence"].sum() + curve[int(last["time"].iloc[0])] == pytest.approx(1, abs=1e-12)
    for _, part in found.groupby("cause"):
        assert (part["incidence"].diff().dropna() >= 0).all() and (
            part["alone"] >= part["incidence"] - 1e-12
        ).all()


@pytest.mark.parametrize("late", [0, 15])
def test_the_truth_is_found_and_alone_overstates_it(late):
    entry, until, cause = spells(3, 30_000, late)
    found = incidence_at(cumulative_incidence(entry, until, cause, 0.9), [5, 15, 25]).set_index(
        ["cause", "time"]
    )
    for cause_, t in found.index:
        assert found.loc[(cause_, t), "incidence"] == pytest.approx(truth(t, cause_), abs=0.015)
    alone = found.loc[("card", 25), "alone"]
    assert alone == pytest.approx(1 - np.exp(-0.03 * 25), abs=0.03) and alone > 1.6 * truth(25, "card")


def test_bands_hold_the_truth_as_often_as_they_say():
    # 300 worlds: bands of 90 % that held 81 % would be found with 95 % power
    held = 0
    for seed in range(300):
        found = cumulative_incidence(*spells([4, seed], 250, late=8), 0.9)
        row = incidence_at(found, [12]).set_index("cause").loc["card"]
        held += row["low"] <= truth(12, "card") <= row["high"]
    print(f"{held} of 300 bands of 90 %")
    assert not excluded(held, 300, 0.9)


def test_kinds_of_end():
    relations = pd.DataFrame(
        {"reason": ["price", "Failed card ", None, "", "death"], "ended": [True, True, True, True, False]}
    )
    assert list(kinds_of_end(relations, ("failed card", "death"))) == [
        VOLUNTARY,
        INVOLUNTARY,
        UNNAMED,
        UNNAMED,
        None,
    ]
    assert list(kinds_of_end(relations, ())) == ["price", "Failed card", UNNAMED, UNNAMED, None]


def test_censoring_cannot_be_ignored():
    with pytest.raises(DataError, match="which relations ended and why"):
        cumulative_incidence([0.0], [1.0], None, 0.9)


def test_nobody_ended():
    assert cumulative_incidence([0.0], [1.0], pd.Series([None], dtype=object), 0.9).empty
