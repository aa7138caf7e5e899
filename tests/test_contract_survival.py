"""Survival of contracts: curves with late entry, groups, and what can be read in two ways."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from lifelines import KaplanMeierFitter
from statsmodels.duration.survfunc import SurvfuncRight

from clvkit.contract_survival import by_group, compare, mean_renewals, survival, two_readings
from clvkit.contracts import contracts
from clvkit.contracts_section import ContractsSection
from clvkit.errors import DataError

AS_OF = date(2024, 6, 30)


def cells(seed=0, count=400, entry=0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    left, watched = rng.geometric(0.1, count), rng.integers(1, 30, count)
    late = rng.integers(0, entry + 1, count)
    frame = pd.DataFrame(
        {"renewals": np.minimum(left - 1, watched), "ended": left <= watched, "entry": late, "n": 1}
    )
    return frame[frame["renewals"] + frame["ended"] > frame["entry"]]


class TestCurve:
    @pytest.mark.parametrize("entry", [0, 8])
    def test_two_libraries_agree(self, entry):
        frame = cells(entry=entry)
        found = survival(frame, 0.9).set_index("renewal")["survival"]
        until = (frame["renewals"] + frame["ended"]).to_numpy(float)
        other = SurvfuncRight(
            until, frame["ended"].to_numpy(int), entry=frame["entry"].to_numpy(float) if entry else None
        )
        for time, probability in zip(other.surv_times, other.surv_prob, strict=True):
            assert found[int(time)] == pytest.approx(probability, abs=1e-12)

    @pytest.mark.parametrize("entry", [0, 8])
    def test_bands_are_those_of_lifelines(self, entry):
        frame = cells(3, entry=entry)
        found = survival(frame, 0.9)
        other = KaplanMeierFitter(alpha=0.1).fit(
            frame["renewals"] + frame["ended"],
            frame["ended"],
            entry=frame["entry"],
            timeline=found["renewal"],
        )
        known = found["low"].notna().to_numpy()
        band = other.confidence_interval_.to_numpy()
        np.testing.assert_allclose(found.loc[known, ["low", "high"]], band[known], atol=1e-12)

    def test_a_first_risk_set_that_runs_empty_is_no_error(self):
        frame = pd.DataFrame(
            {"renewals": [0, 9, 12], "ended": [True, True, False], "entry": [0, 6, 6], "n": [1, 4, 30]}
        )
        found = survival(frame, 0.9).set_index("renewal")
        assert list(found.loc[[1, 5, 10], "at_risk"]) == [1, 0, 34] and found.loc[5, "survival"] == 0

    def test_by_hand(self):
        frame = pd.DataFrame(
            {"renewals": [0, 1, 1, 3], "ended": [True, True, False, False], "entry": 0, "n": [2, 1, 3, 4]}
        )
        found = survival(frame, 0.9)
        assert list(found["at_risk"]) == [10, 10, 5, 4] and list(found["left"]) == [0, 2, 1, 0]
        np.testing.assert_allclose(found["survival"], [1, 0.8, 0.8 * 4 / 5, 0.8 * 4 / 5])

    def test_merged_and_split_cells_give_the_same(self):
        frame = cells(3)
        merged = frame.groupby(["renewals", "ended", "entry"], as_index=False)["n"].sum()
        pd.testing.assert_frame_equal(survival(frame, 0.9), survival(merged, 0.9))

    def test_censoring_cannot_be_ignored(self):
        with pytest.raises(DataError, match="which contracts have ended and which run on"):
            survival(cells().drop(columns="ended"), 0.9)

    def test_new_relations_contribute_exposure_and_nothing_else(self):
        frame = cells(1)
        new = pd.DataFrame({"renewals": [0], "ended": [False], "entry": [0], "n": [500]})
        pd.testing.assert_frame_equal(survival(pd.concat([frame, new]), 0.9), survival(frame, 0.9))

    def test_nobody_yet(self):
        new = pd.DataFrame({"renewals": [0], "ended": [False], "entry": [0], "n": [5]})
        assert survival(new, 0.9).empty

    def test_late_entry_undoes_what_was_not_recorded(self):
        # who left before their fifth renewal is missing for relations of before: without entry, survival is far too high
        rng, count, shown = np.random.default_rng(5), 20_000, []
        left, age = rng.geometric(0.15, count), rng.integers(1, 25, count)
        began = np.maximum(age - 6, 0)  # ends were recorded over the last six renewals only
        seen = left > began
        frame = pd.DataFrame(
            {"renewals": np.minimum(left - 1, age), "ended": left <= age, "entry": began, "n": 1}
        )[seen]
        for one in (frame, frame.assign(entry=0)):
            shown.append(survival(one, 0.9).set_index("renewal")["survival"][8])
        assert shown[0] == pytest.approx(0.85**8, abs=0.02) and shown[1] > 0.85**8 + 0.15

    def test_restricted_mean(self):
        frame = pd.DataFrame({"renewals": [0, 2], "ended": [True, False], "entry": 0, "n": [1, 3]})
        assert mean_renewals(survival(frame, 0.9), 2) == pytest.approx(1.5)
        with pytest.raises(DataError, match="the longest: 2"):
            mean_renewals(survival(frame, 0.9), 3)


def held(*worlds, section=None, seed=0):
    """Contracts of ``(plan, monthly churn, customers)``, begun over four years."""
    rng, rows = np.random.default_rng(seed), []
    for plan, churn, count in worlds:
        for i in range(count):
            start = pd.Timestamp("2020-07-01") + pd.Timedelta(days=int(rng.integers(0, 1400)))
            end = start + pd.DateOffset(months=min(int(rng.geometric(churn)), 90)) - pd.Timedelta(days=1)
            rows.append(
                (f"{plan}{i}", f"{plan}{i}", start, end if end < pd.Timestamp(AS_OF) else pd.NaT, plan)
            )
    frame = pd.DataFrame(rows, columns=["contract", "customer", "start", "end", "plan"])
    return contracts(frame, section or ContractsSection(source="c"), AS_OF)


class TestGroups:
    def test_truly_different_plans_are_found_and_others_not(self):
        found = compare(held(("a", 0.05, 250), ("b", 0.05, 250), ("c", 0.15, 250)).relations, "plan")
        pairs = found.pairs.set_index(["one", "other"])["adjusted"]
        assert (
            found.p < 1e-6 and pairs["a", "c"] < 0.001 and pairs["b", "c"] < 0.001 and pairs["a", "b"] > 0.05
        )
        assert (found.pairs["adjusted"] >= found.pairs["p"]).all()

    def test_small_plans_are_put_together(self):
        found = by_group(held(("a", 0.1, 100), ("b", 0.1, 15), ("c", 0.1, 12)).relations, "plan", 0.9)
        assert sorted(found["group"].unique()) == ["a", "others"]

    def test_cohorts_are_quarters_and_lose_nobody(self):
        relations = held(("a", 0.1, 400)).relations
        found = by_group(relations, "cohort", 0.9)
        assert found["group"].str.fullmatch(r"20\d\dQ[1-4]|others").all()

    @pytest.mark.slow
    def test_alike_groups_are_called_different_as_often_as_said(self):
        # 100 worlds: at 5 % some 5 false alarms; 14 or more would be found in fewer than one of 1,000 suites
        alarms = sum(
            compare(held(("a", 0.1, 60), ("b", 0.1, 60), seed=s).relations, "plan").p < 0.05
            for s in range(100)
        )
        print(f"{alarms} of 100")
        assert alarms < 14

    def test_one_group_has_nothing_to_compare(self):
        found = compare(held(("a", 0.1, 50)).relations, "plan")
        assert np.isnan(found.p) and found.pairs.empty


def of(every, relations):
    """The histories of some relations."""
    return every.histories.merge(relations[["customer", "relation"]], on=["customer", "relation"])


class TestTwoReadings:
    def test_a_snapshot_with_recent_ends_only_is_read_both_ways(self):
        every = held(("a", 0.04, 800))
        recent = every.relations[
            ~every.relations["ended"] | (every.relations["end"] >= pd.Timestamp("2024-03-31"))
        ]
        both = two_readings(
            replace(every, relations=recent, histories=of(every, recent)), ContractsSection(source="c"), 0.9
        )
        whole, late = both.at(36)
        assert both.expected > 100 and late == pytest.approx(0.96**36, abs=0.07) and whole > late + 0.3

    def test_a_complete_history_is_read_one_way(self):
        assert two_readings(held(("a", 0.05, 500)), ContractsSection(source="c"), 0.9) is None

    def test_a_study_that_says_when_it_began_is_believed(self):
        section = ContractsSection(source="c", observed_from=date(2024, 1, 1))
        assert two_readings(held(("a", 0.05, 500), section=section), section, 0.9) is None
