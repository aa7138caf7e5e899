"""Trials: whether they convert, with those that run counted as long as they were watched; plans changed; who came back."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from spell_worlds import excluded

from clvkit.contract_changes import plan_changes, win_backs
from clvkit.contract_trials import Conversion, conversion
from clvkit.contract_value import ForAll, contract_value
from clvkit.contracts import contracts
from clvkit.contracts_section import ContractsSection
from clvkit.processes import get
from clvkit.value import ValueSection

AS_OF = date(2024, 6, 30)
COLUMNS = ["contract", "customer", "start", "end", "plan", "fee", "period", "status"]
SECTION = ContractsSection(source="c", trial_plans=("trial",))


def held(*rows, section=SECTION):
    filled = [(*row, *[None] * (len(COLUMNS) - len(row))) for row in rows]
    return contracts(pd.DataFrame(filled, columns=COLUMNS), section, AS_OF)


class Known:
    model, mle = get("sbg"), np.array([1.0, 9.0])

    def posterior(self, count):
        return self.mle[None]


class TestWhatIsOne:
    @pytest.mark.parametrize(
        "plan, fee, status",
        [("trial", 0.0, None), ("trial", 5.0, None), ("Basic", 0.0, None), ("Basic", 9.0, "Trial")],
    )
    def test_by_plan_fee_or_status(self, plan, fee, status):
        found = held(
            ("T1", "a", "2024-01-01", "2024-01-14", plan, fee, None, status),
            ("C1", "b", "2024-01-01", None, "Basic", 10.0),
        )
        assert len(found.trials) == 1 and list(found.relations["customer"]) == ["b"]

    def test_a_paid_contract_that_is_paused_is_none_and_where_nobody_pays_nobody_is_on_trial(self):
        paused = held(
            ("C1", "a", "2024-01-01", None, "Basic", 0.0, None, "paused"),
            ("C2", "b", "2024-01-01", None, "Basic", 9.0),
        )
        assert paused.trials.empty and len(paused.relations) == 2
        free = held(("C1", "a", "2024-01-01", None, "Basic", 0.0))
        assert free.trials.empty and len(free.relations) == 1


class TestOutcomes:
    def test_by_hand(self):
        found = held(
            ("T1", "a", "2024-01-01", "2024-01-14", "trial", 0.0),
            ("C1", "a", "2024-01-15", None, "Basic", 10.0),  # converted on day 14
            ("T2", "b", "2024-01-01", "2024-01-14", "trial", 0.0),  # lapsed: nothing came for 31 days
            ("T3", "c", "2024-06-20", None, "trial", 0.0),  # runs
            ("T4", "d", "2024-06-10", "2024-06-23", "trial", 0.0),  # over, and may still convert
            ("T5", "e", "2024-01-01", "2024-01-14", "trial", 0.0),
            ("C5", "e", "2024-04-01", None, "Basic", 10.0),  # much later is not the trial's doing
            ("T6", "f", "2024-01-01", None, "trial", 0.0),
            ("C6", "f", "2024-01-08", None, "Basic", 10.0),  # in the middle of it
        )
        assert list(found.trials["outcome"]) == [
            "converted",
            "lapsed",
            "running",
            "running",
            "lapsed",
            "converted",
        ]
        assert list(found.trials["days"]) == [14, 45, 10, 20, 45, 7]
        assert list(found.relations["customer"]) == ["a", "e", "f"]

    def test_they_do_not_bend_the_curve_of_renewals(self):
        paid = [
            (f"C{k}", f"k{k}", "2024-01-15", "2024-03-14" if k % 3 else None, "Basic", 10.0)
            for k in range(60)
        ]
        free = [(f"T{k}", f"k{k}", "2024-01-01", "2024-01-14", "trial", 0.0) for k in range(60)]
        free += [(f"L{k}", f"l{k}", "2024-01-01", "2024-01-14", "trial", 0.0) for k in range(200)]
        pd.testing.assert_frame_equal(held(*paid, *free).cells(), held(*paid).cells())
        taken_for_contracts = held(
            *paid, *[(*row[:5], 1.0) for row in free], section=ContractsSection(source="c")
        )
        assert not taken_for_contracts.cells().equals(held(*paid).cells())


def decided(days, outcomes, n):
    return pd.DataFrame({"days": np.repeat(days, n), "outcome": np.repeat(outcomes, n)})


class TestConversion:
    def test_where_all_are_decided_it_is_their_share(self):
        found = conversion(decided([14, 45], ["converted", "lapsed"], [60, 40]), 20_000, 0)
        # a Beta of 60 and 40, with half a trial added to either end at the last day
        assert found.share.mean() == pytest.approx(60.5 / 101, abs=0.001)
        assert found.share.std() == pytest.approx(np.sqrt(60.5 * 40.5 / 101**2 / 102), rel=0.03)
        assert found.median_days == 14 and found.counts == {"converted": 60, "lapsed": 40, "running": 0}

    def test_after_the_day_on_which_most_convert_few_still_do(self):
        found = conversion(decided([14, 45], ["converted", "lapsed"], [600, 400]), 2000, 0)
        chance = found.from_age(np.array([0, 13, 14, 44, 45, 300])).mean(axis=0)
        assert chance[0] == pytest.approx(0.6, abs=0.01) and chance[1] == chance[0]
        assert chance[2] < 0.01 and chance[3] == chance[2] and chance[4] == 0 and chance[5] == 0

    def test_all_or_none_is_never_certain(self):
        every = conversion(decided([14], ["converted"], [20]), 4000, 0).share
        none = conversion(decided([45], ["lapsed"], [20]), 4000, 0).share
        assert 0.9 < np.quantile(every, 0.05) < 1 and 0 < np.quantile(none, 0.95) < 0.2

    def test_nothing_decided_is_nothing_known(self):
        assert conversion(decided([14], ["running"], [20]), 100, 0) is None

    def test_intervals_hold_the_truth_though_many_are_still_running(self):
        # 300 worlds: intervals of 90 % that held 80 % would be excluded at 0.1 % with more than 95 % power
        worlds, hits, naive = 300, 0, []
        for seed in range(worlds):
            rng = np.random.default_rng([5, seed])
            begun = rng.integers(0, 90, 250)  # days before today
            converts, early = rng.random(250) < 0.4, rng.integers(1, 15, 250)
            day = np.where(converts, early, 45)
            over = day <= begun
            outcome = np.where(~over, "running", np.where(converts, "converted", "lapsed"))
            found = conversion(
                pd.DataFrame({"days": np.where(over, day, begun), "outcome": outcome}), 400, seed
            )
            low, high = np.quantile(found.share, [0.05, 0.95])
            hits += low <= 0.4 <= high
            naive.append((outcome == "converted").sum() / over.sum())
        print(f"{hits} of {worlds}; a share of those decided is {np.mean(naive):.3f}")
        assert not excluded(hits, worlds, 0.9)
        assert np.mean(naive) > 0.45  # those who lapse are decided later: what one would count is too rosy


class TestWorth:
    value = ValueSection(margin=0.5, annual_discount_rate=0.1, horizon_months=24, posterior_draws=400)

    def test_chance_times_a_new_relation(self):
        rows = []
        for k in range(40):
            rows.append((f"T{k}", f"k{k:02d}", "2024-01-01", "2024-01-14", "trial", 0.0))
            if k % 2:
                rows.append((f"C{k}", f"k{k:02d}", "2024-01-15", None, "Basic", 10.0))
        on = [(f"R{k}", f"r{k}", "2024-06-25", "2024-07-08", "trial", 0.0) for k in range(5)]
        found = held(*rows, *on)
        money = {"as_of": AS_OF, "currency": "EUR", "days_per_year": 365.25}
        worth, without = (
            contract_value(ForAll(Known()), one, SECTION, self.value, **money) for one in (found, held(*rows))
        )
        rate = 1.1 ** (1 / 12) - 1
        model = Known.model
        new = 0.5 * 10 * (1 + model.derl(Known.mle, np.array([0]), rate, 24)[0] / (1 + rate))
        days = (pd.Timestamp("2024-07-09") - pd.Timestamp(AS_OF)).days
        assert worth.converts.value == pytest.approx(0.5, abs=0.02)
        assert worth.trials.low < worth.trials.value < worth.trials.high  # the chance is not known exactly
        assert worth.trials.value == pytest.approx(5 * 0.5 * new * 1.1 ** (-days / 365.25), rel=0.04)
        assert worth.counts["on_trial"] == 5 and without.trials is None
        assert worth.equity.value == pytest.approx(without.equity.value, rel=1e-12)  # kept apart

    def test_no_trials_no_words(self):
        found = contract_value(ForAll(Known()), held(("C1", "a", "2024-01-15", None, "Basic", 10.0)), SECTION, self.value,
                               as_of=AS_OF, currency="EUR", days_per_year=365.25)  # fmt: skip
        assert found.trials is None and found.converts is None

    def test_a_conversion_is_a_table_of_days(self):
        found = conversion(decided([14, 45], ["converted", "lapsed"], [6, 4]), 10, 0)
        assert (
            isinstance(found, Conversion)
            and found.converts.shape == (10, 2)
            and (found.undecided[:, 0] == 1).all()
        )


class TestChanges:
    def test_upgrades_and_downgrades_by_what_a_month_costs(self):
        found = held(
            ("C1", "a", "2024-01-01", "2024-02-29", "Basic", 10.0),
            ("C2", "a", "2024-03-01", None, "Plus", 15.0),  # up by 5
            ("C3", "b", "2023-01-01", "2023-12-31", "Plus", 180.0, "year"),
            ("C4", "b", "2024-01-01", None, "Basic", 10.0),  # down from 15 to 10
            ("C5", "c", "2024-01-01", "2024-02-29", "Basic", 10.0),
            ("C6", "c", "2024-03-01", None, "Basic new", 10.0),  # another name
            ("C7", "d", "2024-01-01", None, "Basic", 10.0),
            ("C8", "d", "2024-03-01", None, "Plus", 15.0),  # beside it: no change, a second one
            ("C9", "e", "2023-01-01", "2023-02-28", "Basic", 10.0),
            ("C10", "e", "2024-03-01", None, "Plus", 15.0),  # a win-back
        )
        made = plan_changes(found, SECTION, "EUR")
        assert made["kind"].tolist() == ["upgrade", "downgrade", "same fee"] and made["changes"].tolist() == [
            1,
            1,
            1,
        ]
        assert made["month"].tolist() == [5.0, -5.0, 0.0] and made["before"].tolist() == [10.0, 15.0, 10.0]

    def test_nobody_moved(self):
        assert plan_changes(held(("C1", "a", "2024-01-01", None, "Basic", 10.0)), SECTION, "EUR").empty


def returned(count, churn, seed):
    """First relations that all ended, and others begun later with a churn of their own."""
    rng, rows = np.random.default_rng(seed), []
    for k in range(count):
        first, second = rng.geometric(0.15), rng.geometric(churn)
        start = pd.Timestamp("2022-01-01") + pd.DateOffset(months=int(first))
        rows.append((f"A{k}", f"k{k}", "2022-01-01", start - pd.Timedelta(days=1), "Basic", 10.0))
        again = pd.Timestamp("2023-06-01")
        end = again + pd.DateOffset(months=int(second)) - pd.Timedelta(days=1)
        if start < pd.Timestamp("2023-03-01"):
            rows.append((f"B{k}", f"k{k}", again, end if end < pd.Timestamp(AS_OF) else None, "Basic", 10.0))
    return held(*rows)


def test_whether_they_leave_sooner_is_tested():
    sooner, alike = win_backs(returned(400, 0.45, 0), 0.9), win_backs(returned(400, 0.15, 1), 0.9)
    assert sooner.p < 1e-6 and sooner.later_share < sooner.first_share - 0.15
    assert alike.p > 0.01 and sooner.returned <= sooner.left <= 400
    assert win_backs(held(("C1", "a", "2024-01-01", None)), 0.9) is None
