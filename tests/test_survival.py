"""The rule, the estimator, and that the two together find the truth."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from purchase_worlds import START, bgnbd, constant, ledger_of, log_of
from scipy.stats import binomtest, chi2

from clvkit.errors import DataError
from clvkit.survival import curve_at, kaplan_meier, log_rank, run_lengths, spell_cells, spells


def day(number):
    return START + timedelta(days=number)


def judged(days_by_customer, silence_days, as_of):
    log = pd.DataFrame(
        [(name, d) for name, days in days_by_customer.items() for d in days], columns=["customer", "day"]
    )
    table = spells(ledger_of(log), silence_days, "month", day(as_of))
    return table.to_pandas().set_index("customer")


def cells(durations, lost, n=None):
    return pd.DataFrame({"duration_days": durations, "lost": lost, "n": n or [1] * len(durations)})


class TestRule:
    """H = 30 days, as of day 100."""

    @pytest.mark.parametrize(
        ("days", "lost", "returned", "duration"),
        [
            ([0], True, False, 0),  # never bought again, and 30 days have passed
            ([0, 20, 45], True, False, 45),  # fell silent after day 45
            ([0, 20, 51, 60], True, True, 20),  # 31 days without a purchase: lost at 20, though seen again
            ([0, 31], True, True, 0),  # came back too late to count as a second purchase
            ([0, 20, 50, 80], False, False, 70),  # 30 days are no silence yet; judged up to 100 − 30
            (
                [0, 30, 60, 70],
                True,
                False,
                70,
            ),  # exactly 30 days without a purchase are over at the as-of date
            ([0, 30, 60, 71], False, False, 70),  # 29 days are not
            ([70], True, False, 0),  # a window of exactly 30 days is enough to be judged, at 0
            ([71], False, False, -1),  # one day less is not: too new
            ([71, 90], False, False, -1),  # whatever they bought since
        ],
    )
    def test_one_customer(self, days, lost, returned, duration):
        row = judged({"ann": days}, 30, 100).loc["ann"]
        assert (row["lost"], row["returned"], row["duration_days"]) == (lost, returned, duration)

    def test_purchases_after_the_as_of_date_are_unknown(self):
        row = judged({"ann": [0, 20, 101]}, 30, 100).loc["ann"]
        assert (row["lost"], row["returned"], row["duration_days"]) == (True, False, 20)

    def test_in_memory_and_in_the_engine_agree(self):
        rng = np.random.default_rng(5)
        log = log_of(bgnbd, (0.6, 15.0, 1.0, 3.0), np.zeros(400, int), 400, rng)
        repeat = log[log["day"] > 0]
        lengths = run_lengths(repeat["customer"].to_numpy(), repeat["day"].to_numpy(), 400, 45)
        table = spells(ledger_of(log), 45, "month", day(400)).to_pandas()
        table = table.set_index(table["customer"].astype(int)).sort_index()
        lost = table["lost"].to_numpy()
        assert 0 < lost.sum() < 400
        np.testing.assert_array_equal(table["duration_days"][lost], lengths[lost])
        assert (lengths[~lost] > 400 - 45).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 60)), max_size=30), st.integers(1, 20))
def test_run_lengths_follow_the_rule_customer_by_customer(purchases, silence):
    expected = []
    for customer in range(6):
        last = 0
        for d in sorted({d for who, d in purchases if who == customer}):
            if d - last > silence:
                break
            last = d
        expected.append(last)
    who = np.array([c for c, _ in purchases], int)
    when = np.array([d for _, d in purchases], int)
    assert run_lengths(who, when, 6, silence).tolist() == expected


class TestKaplanMeier:
    def test_by_hand(self):
        # Six customers. Day 0: 2 of 6 lost. Day 10: 1 of 4 lost, then 1 censored. Day 25: 1 of 2 lost.
        curve = kaplan_meier(cells([0, 0, 10, 10, 25, 40], [True, True, True, False, True, False]), 0.9)
        assert list(curve["day"]) == [0, 10, 25, 40]
        assert list(curve["at_risk"]) == [6, 4, 2, 1]
        assert list(curve["lost"]) == [2, 1, 1, 0]
        assert list(curve["censored"]) == [0, 1, 0, 1]
        np.testing.assert_allclose(curve["survival"], [4 / 6, 4 / 6 * 3 / 4, 1 / 4, 1 / 4])

    def test_the_band_is_greenwoods_on_the_log_log_scale(self):
        curve = kaplan_meier(cells([0, 0, 10, 10, 25, 40], [True, True, True, False, True, False]), 0.9)
        survival = np.array([4 / 6, 1 / 2, 1 / 4, 1 / 4])
        greenwood = np.cumsum([2 / (6 * 4), 1 / (4 * 3), 1 / (2 * 1), 0])
        reach = 1.6448536269514722 * np.sqrt(greenwood) / np.abs(np.log(survival))
        np.testing.assert_allclose(curve["low"], survival ** np.exp(reach), rtol=1e-10)
        np.testing.assert_allclose(curve["high"], survival ** np.exp(-reach), rtol=1e-10)

    def test_counted_cells_give_the_same_as_single_customers(self):
        durations, lost = [0] * 5 + [7] * 3 + [9] * 4, [True] * 5 + [False] * 3 + [True] * 4
        one_by_one = kaplan_meier(cells(durations, lost), 0.9)
        counted = kaplan_meier(cells([9, 0, 7], [True, True, False], [4, 5, 3]), 0.9)
        pd.testing.assert_frame_equal(counted, one_by_one)

    def test_no_band_before_the_first_loss_and_after_the_last_customer(self):
        curve = kaplan_meier(cells([3, 5, 8], [False, True, True]), 0.9)
        assert list(curve["survival"]) == [1, 1, 0.5, 0]
        assert list(curve["low"].isna()) == [True, True, False, True]

    def test_censoring_cannot_be_ignored(self):
        with pytest.raises(DataError, match="the column 'lost' is missing"):
            kaplan_meier(cells([1, 2], [True, True]).drop(columns="lost"), 0.9)

    def test_nobody_to_judge_is_an_empty_curve(self):
        curve = kaplan_meier(cells([], []), 0.9)
        assert curve.empty
        assert list(curve.columns) == list(kaplan_meier(cells([1], [True]), 0.9).columns)
        read = curve_at(curve, (0, 30))
        assert read["survival"].isna().all()
        assert list(read["at_risk"]) == [0, 0]

    def test_new_customers_add_exposure_and_no_losses(self):
        old = {f"old{i}": [0] + [20] * (i % 2) for i in range(10)}
        before = spell_cells(spells(*self.log(old)))
        new = {f"new{i}": [60, 85] for i in range(7)}  # 40 days watched, judged to day 10, still buying
        after = spell_cells(spells(*self.log(old | new)))
        base, more = kaplan_meier(before, 0.9), kaplan_meier(after, 0.9)
        assert more["lost"].sum() == base["lost"].sum()
        assert more.loc[0, "at_risk"] == base.loc[0, "at_risk"] + 7
        assert curve_at(more, (20,))["at_risk"].item() == curve_at(base, (20,))["at_risk"].item()

    @staticmethod
    def log(customers):
        rows = [(name, d) for name, days in customers.items() for d in days]
        return ledger_of(pd.DataFrame(rows, columns=["customer", "day"])), 30, "month", day(100)


class TestLogRank:
    durations = np.array([0, 0, 0, 5, 9, 9, 0, 0, 3, 5, 5, 12, 20])
    lost = np.array([1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0], bool)
    second = np.repeat([False, True], [6, 7])

    def test_two_groups_by_hand(self):
        observed = expected = variance = 0.0
        for t in np.unique(self.durations[self.lost]):
            here, at_risk = (self.durations == t) & self.lost, self.durations >= t
            n, part = at_risk.sum(), (at_risk & self.second).sum() / at_risk.sum()
            observed += (here & self.second).sum()
            expected += here.sum() * part
            variance += here.sum() * part * (1 - part) * (n - here.sum()) / max(n - 1, 1)
        by_hand = chi2.sf((observed - expected) ** 2 / variance, 1)
        found = log_rank(cells(self.durations, self.lost).assign(group=self.second), "group")
        assert found == pytest.approx(by_hand, rel=1e-9)

    def test_counted_cells_give_the_same_as_single_customers(self):
        n = np.arange(1, 14)
        counted = cells(self.durations, self.lost).assign(group=self.second, n=n)
        single = counted.loc[np.repeat(counted.index, n)].assign(n=1)
        assert log_rank(counted, "group") == pytest.approx(log_rank(single, "group"), rel=1e-9)

    def test_one_group_cannot_differ(self):
        assert np.isnan(log_rank(cells([1, 2], [True, True]).assign(group=1), "group"))


def test_reading_the_curve_between_its_steps_and_beyond_its_end():
    curve = kaplan_meier(cells([0, 10, 10, 25, 40], [True, True, False, True, False]), 0.9)
    read = curve_at(curve, (0, 9, 10, 11, 40, 41))
    np.testing.assert_allclose(read["survival"], [0.8, 0.8, 0.6, 0.6, 0.3, np.nan])
    assert list(read["at_risk"]) == [5, 4, 4, 2, 1, 0]
    thin = curve_at(curve, (0, 11), min_at_risk=3)
    assert list(thin["survival"].isna()) == [False, True]


# --- that a censored window gives what watching for ever would give -----------------------------------

SILENCE, WINDOW = 60, 360
WORLDS = {"bgnbd": (bgnbd, (0.5, 20.0, 0.8, 2.4)), "one rate, nobody leaves": (constant, (1 / 25,))}


def true_survival(simulate, params, ages):
    """S(t) among many customers who are all watched far beyond the last age."""
    size, rng = 200_000, np.random.default_rng(11)
    who, time = simulate(params, np.full(size, WINDOW + SILENCE + 5.0), rng)
    lengths = run_lengths(who, np.maximum(np.rint(time), 1).astype(int), size, SILENCE)
    return np.array([(lengths > age).mean() for age in ages])


def staggered(simulate, params, customers, seed):
    """Cells of customers who arrived evenly over the year before the as-of date."""
    rng = np.random.default_rng(seed)
    first = np.sort(rng.integers(0, WINDOW, customers))
    log = log_of(simulate, params, first, WINDOW, rng)
    opening = first[log["customer"]]
    repeat = log["day"] > opening
    age = (log["day"] - opening)[repeat].to_numpy()
    lengths = run_lengths(log["customer"][repeat].to_numpy(), age, customers, SILENCE)
    limit = WINDOW - first - SILENCE
    lost = lengths <= limit
    last = log.groupby("customer")["day"].max().to_numpy() - first
    return pd.DataFrame(
        {
            "duration_days": np.where(lost, lengths, limit),
            "lost": lost,
            "n": 1,
            "last_seen": np.where(lost, lengths, last),
        }
    )


@pytest.mark.parametrize("world", WORLDS)
def test_the_curve_from_a_short_window_is_the_one_from_watching_for_ever(world):
    simulate, params = WORLDS[world]
    ages = (0, 20, 60, 120, 200)
    seen = staggered(simulate, params, 40_000, seed=3)
    read = curve_at(kaplan_meier(seen[seen["duration_days"] >= 0], 0.999), ages)
    truth = true_survival(simulate, params, ages)
    assert (read["low"] <= truth).all() and (truth <= read["high"]).all()
    assert (read["high"] - read["low"]).max() < 0.05  # a band that would notice


@pytest.mark.parametrize("world", WORLDS)
def test_the_other_ways_to_censor_are_wrong(world):
    simulate, params = WORLDS[world]
    seen = staggered(simulate, params, 40_000, seed=3)
    truth = true_survival(simulate, params, (120,)).item()
    # at the last purchase: the purchases of the last H days count, the losses among them cannot
    at_last = kaplan_meier(seen.assign(duration_days=seen["last_seen"]), 0.999)
    assert curve_at(at_last, (120,))["low"].item() > truth
    # too new to be judged, but counted as at risk on day 0
    with_new = kaplan_meier(seen.assign(duration_days=seen["duration_days"].clip(lower=0)), 0.999)
    assert curve_at(with_new, (0,))["low"].item() > true_survival(simulate, params, (0,)).item()
    # everybody who is not lost yet counted as staying for ever, or as lost
    ignored = kaplan_meier(seen[seen["duration_days"] >= 0].assign(lost=True), 0.999)
    assert curve_at(ignored, (120,))["high"].item() < truth


def test_the_band_covers_the_truth_as_often_as_it_says():
    # 300 companies of 600 customers: a coverage of 0.80 instead of 0.90 would be found with 95 % power.
    simulate, params = WORLDS["bgnbd"]
    ages, companies = (0, 60, 120), 300
    truth = true_survival(simulate, params, ages)
    covered = np.zeros(len(ages), int)
    for seed in range(companies):
        seen = staggered(simulate, params, 600, seed=1000 + seed)
        read = curve_at(kaplan_meier(seen[seen["duration_days"] >= 0], 0.9), ages)
        covered += ((read["low"] <= truth) & (truth <= read["high"])).to_numpy()
    for age, count in zip(ages, covered, strict=True):
        test = binomtest(int(count), companies, 0.9)
        interval = test.proportion_ci(0.999)
        print(
            f"day {age}: {count} of {companies} covered, "
            f"99.9 % interval {interval.low:.3f} to {interval.high:.3f}"
        )
        assert test.pvalue > 0.001
