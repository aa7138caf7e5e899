"""Renewals to come, by hand: years and months, prepaid terms, notice, announced ends, pauses, growing fees, luck."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from clvkit import contract_worth
from clvkit.contract_rates import retention_rates, wilson
from clvkit.contract_scores import contract_scores, contract_sensitivity
from clvkit.contract_value import ByPeriod, ContractValue, ForAll, contract_value
from clvkit.contract_worth import Money, horizon_end, renewals_worth
from clvkit.contracts import contracts
from clvkit.contracts_section import ContractsSection
from clvkit.processes import get
from clvkit.value import ValueSection

AS_OF, YEAR = date(2024, 6, 30), 365.25
VALUE = ValueSection(margin=0.5, annual_discount_rate=0.1, horizon_months=36, posterior_draws=50)
FREE = ValueSection(margin=1.0, annual_discount_rate=0.0, horizon_months=36, posterior_draws=50)
MONEY = {"as_of": AS_OF, "currency": "EUR", "days_per_year": YEAR}
COLUMNS = ["contract", "customer", "start", "end", "plan", "fee", "period", "status"]
SBG = (0.764, 1.296)  # Fader & Hardie (2015), of the Regular customers of their paper of 2007


class Known:
    """Parameters that are known, where a fit is asked for."""

    def __init__(self, *parameters, name="sbg", draws=None):
        self.model, self.mle = get(name), np.array(parameters, float)
        self.drawn = self.mle[None] if draws is None else np.asarray(draws, float)

    def posterior(self, count):
        return self.drawn[:count]


class Loyal:
    """Everybody renews."""

    class model:
        @staticmethod
        def derl(parameters, renewals, discount, horizon=np.inf):
            return np.broadcast_to(
                renewals_worth(horizon, discount), (1, len(np.atleast_1d(renewals)))
            ).astype(float)

    @staticmethod
    def posterior(count):
        return np.zeros((1, 1))


def held(*rows, **section):
    """Contracts of rows ``(contract, customer, start, end)`` and perhaps ``plan, fee, period, status``, and their section."""
    filled = [(*row, *[None] * (len(COLUMNS) - len(row))) for row in rows]
    said = ContractsSection(source="c", **section)
    return contracts(pd.DataFrame(filled, columns=COLUMNS), said, AS_OF), said


def valued(*rows, fit=None, value=VALUE, **section) -> ContractValue:
    found, said = held(*rows, **section)
    return contract_value(fit or Known(*SBG), found, said, value, **MONEY)


def stays(made: int, more: int, at=SBG) -> float:
    """S(made + more)/S(made) of sBG, from the product of rates of retention (2007, eq. 8)."""
    alpha, beta = at
    return float(np.prod([(beta + t - 1) / (alpha + beta + t - 1) for t in range(made + 1, made + more + 1)]))


def ahead(day: str) -> float:
    return (pd.Timestamp(day) - pd.Timestamp(AS_OF)).days / YEAR


class TestYears:
    def test_a_yearly_fee_is_paid_at_its_renewals_and_what_is_prepaid_does_not_count(self):
        found = valued(("C1", "a", "2024-01-01", None, "p", 120.0, "year"))
        by_hand = sum(0.5 * 120 * stays(0, k) * 1.1 ** -(ahead("2025-01-01") + k - 1) for k in (1, 2, 3))
        assert found.equity.value == pytest.approx(by_hand, rel=1e-12)
        assert found.renewals.value == pytest.approx(sum(stays(0, k) for k in (1, 2, 3)), rel=1e-12)

    def test_renewals_beyond_the_horizon_are_not_in_it(self):
        rows = ("C1", "a", "2024-06-30", None, "p", 120.0, "year")
        nearer = VALUE.model_copy(update={"horizon_months": 11})
        assert valued(rows, value=nearer).equity.value == 0 and valued(rows, value=nearer).lifetime.value > 0
        exactly = VALUE.model_copy(update={"horizon_months": 12})
        assert valued(rows, value=exactly).equity.value == pytest.approx(
            60 * stays(0, 1) / 1.1 ** ahead("2025-06-30")
        )

    def test_a_term_of_two_years_is_due_when_it_is_over(self):
        rows = ("C1", "a", "2023-01-01", "2024-12-31", "p", 200.0, "two years")
        found = valued(rows, future_end="renewal_due")
        by_hand = sum(0.5 * 200 * stays(0, k) * 1.1 ** -(ahead("2025-01-01") + 2 * (k - 1)) for k in (1, 2))
        assert found.equity.value == pytest.approx(by_hand, rel=1e-12)
        assert valued(rows).equity.value == 0  # taken for a cancellation, it is not renewed

    def test_of_loyal_customers_months_quarters_and_years_come_to_the_same(self):
        rows = [
            ("C1", "a", "2024-06-30", None, "p", 10.0, "month"),
            ("C2", "b", "2024-06-30", None, "p", 30.0, "quarter"),
            ("C3", "c", "2024-06-30", None, "p", 120.0, "year"),
            ("C4", "d", "2024-06-30", None, "p", 360.0, "three years"),
        ]
        each = [valued(row, fit=Loyal(), value=FREE).equity.value for row in rows]
        assert each == [360.0] * 4
        assert valued(*rows, fit=Loyal(), value=FREE).by_period["value"].tolist() == [360.0] * 4

    def test_rates_of_periods_make_up_the_rate_of_a_year(self):
        money = Money(1.0, 0.1)
        assert (1 + money.per_period(1)) ** 12 == pytest.approx(1.1) and money.per_period(
            24
        ) == pytest.approx(0.21)
        # REFERENCE: 10 % p.a. = 0.79741 % per month
        assert money.per_period(1) == pytest.approx(0.0079741, abs=5e-8)

    def test_each_period_has_its_own_chance_of_leaving(self):
        rows = (
            ("C1", "a", "2024-01-01", None, "p", 10.0, "month"),
            ("C2", "b", "2024-01-01", None, "p", 120.0, "year"),
        )
        fits = ByPeriod({1: Known(1.0, 12.0), 12: Known(1.5, 4.0)})
        both = valued(*rows, fit=fits).equity.value
        apart = (
            valued(rows[0], fit=Known(1.0, 12.0)).equity.value
            + valued(rows[1], fit=Known(1.5, 4.0)).equity.value
        )
        assert both == pytest.approx(apart, rel=1e-12)

    @pytest.mark.parametrize(
        # Fader & Hardie (2015), RLV of $100 a period at 10 % after 1, 2 and 5 periods, digits recomputed
        ("start", "published"), [("2023-07-01", 288.22), ("2022-07-01", 393.94), ("2019-07-01", 568.25)],
    )  # fmt: skip
    def test_residual_value_as_published(self, start, published):
        paid = ValueSection(margin=1.0, annual_discount_rate=0.1, horizon_months=36, posterior_draws=50)
        found = valued(("C1", "a", start, None, "p", 100.0, "year"), value=paid)
        assert found.lifetime.value * 1.1 ** ahead("2024-07-01") == pytest.approx(published, abs=0.005)

    def test_one_rate_for_all_undervalues_the_old(self):
        # the same source: a flat rate of .833 makes every contract worth $343
        flat = 100 * 0.833 / (1 - 0.833 / 1.1)
        assert flat == pytest.approx(343, abs=0.5) and flat < 568.25


def test_the_end_of_a_horizon_is_that_of_the_calendar():
    assert horizon_end(date(2024, 8, 31), 18, YEAR) == date(2026, 2, 28)
    assert horizon_end(date(2024, 1, 1), 0.5, YEAR) == date(2024, 1, 16)


class TestNotice:
    row = ("C1", "a", "2024-01-15", None, "p", 10.0)

    def test_renewals_within_it_are_sure(self):
        found = valued(self.row, notice_days=90)  # 15 July, 15 August, 15 September
        rate = 1.1 ** (1 / 12) - 1
        first = 5.0 * 1.1 ** -ahead("2024-07-15")
        sure = sum(first * (1 + rate) ** -k for k in range(3))
        later = sum(first * (1 + rate) ** -(k - 1) * stays(8, k - 3) for k in range(4, 37))
        assert found.sure.value == pytest.approx(sure, rel=1e-12)
        assert found.equity.value == pytest.approx(sure + later, rel=1e-12)

    def test_it_can_only_add(self):
        values = [valued(self.row, notice_days=days).equity.value for days in (0, 30, 90, 400)]
        assert values == sorted(values) and values[0] < values[-1]

    def test_who_gave_notice_pays_until_then(self):
        for days in (0, 90):
            found = valued((*self.row[:3], "2024-09-14", "p", 10.0), notice_days=days)
            assert found.renewals.value == 2 and found.equity.value == pytest.approx(found.sure.value)
            assert found.counts["announced"] == 1

    def test_more_notice_than_horizon_makes_all_of_it_sure(self):
        found = valued(self.row, notice_days=2000)
        assert found.equity.value == pytest.approx(found.sure.value, rel=1e-12) and found.elasticity is None


class TestPauses:
    def test_who_pauses_pays_nothing_and_is_told_apart(self):
        running, paused = (
            ("C1", "a", "2024-01-15", None, "p", 10.0),
            ("C2", "b", "2024-01-15", None, "p", 10.0, None, "paused"),
        )
        found, alone = valued(running, paused), valued(running)
        assert found.equity.value == alone.equity.value and found.unpriced == 0
        assert found.counts["paused"] == 1 and found.paused.value == pytest.approx(
            alone.equity.value, rel=1e-12
        )


class TestFees:
    def test_what_grows_as_it_is_discounted_is_not_discounted(self):
        row = ("C1", "a", "2024-01-15", None, "p", 10.0)
        growing = valued(row, fee_growth=0.1)
        plain = valued(row, value=VALUE.model_copy(update={"annual_discount_rate": 0.0}))
        assert growing.equity.value == pytest.approx(plain.equity.value, rel=1e-12)
        assert growing.lifetime is None  # without end it would be worth anything

    def test_growth_adds_its_share_of_a_year_by_year(self):
        row = ("C1", "a", "2024-06-30", None, "p", 100.0, "year")
        found = valued(row, fit=Loyal(), value=FREE, fee_growth=0.02)
        year = ahead("2025-06-30")
        assert found.equity.value == pytest.approx(sum(100 * 1.02 ** (year + k) for k in range(3)), rel=1e-12)

    def test_side_by_side_fees_count_once_each(self):
        both = valued(("C1", "a", "2024-01-15", None, "p", 10.0), ("C2", "a", "2024-02-15", None, "q", 5.0))
        one = valued(("C1", "a", "2024-01-15", None, "p", 15.0))
        assert (
            both.equity.value == pytest.approx(one.equity.value, rel=1e-12)
            and both.by_plan["relations"].sum() == 1
        )


def many(count=400, seed=3):
    """Monthly and yearly contracts of customers, some with notice given, with their fees."""
    rng = np.random.default_rng(seed)
    start = pd.Timestamp("2021-01-01") + pd.to_timedelta(rng.integers(0, 1200, count), unit="D")
    yearly = rng.random(count) < 0.4
    end = [pd.Timestamp("2024-06-30") + pd.Timedelta(days=int(d)) if u < 0.1 else None for d, u in zip(rng.integers(1, 300, count), rng.random(count), strict=True)]  # fmt: skip
    return [(f"C{k}", f"k{k:04d}", start[k], end[k], "year" if yearly[k] else "month", float(rng.integers(5, 50)), "year" if yearly[k] else "month")
            for k in range(count)]  # fmt: skip


DRAWN = Known(1.0, 9.0, draws=np.exp(np.random.default_rng(0).normal([0.0, 2.2], 0.1, (50, 2))))


@pytest.fixture(scope="module")
def world():
    found, said = held(*many(), notice_days=40)
    return found, said, contract_value(DRAWN, found, said, VALUE, **MONEY)


class TestSums:
    def test_customers_add_up_to_the_total(self, world):
        found, said, value = world
        each = contract_scores(ForAll(DRAWN), found, said, VALUE, **MONEY)
        assert each["clv_contracts"].sum() == pytest.approx(value.equity.value, rel=1e-9)
        assert each["customer"].is_unique and each["customer"].is_monotonic_increasing
        slack = (
            1e-12 * each["clv_contracts"]
        )  # of what is sure all draws are alike, and their mean is rounded
        assert (each["low"] <= each["clv_contracts"] + slack).all()
        assert (each["clv_contracts"] <= each["high"] + slack).all()

    def test_groups_add_up_to_the_total(self, world):
        for name in ("by_plan", "by_tenure", "by_period"):
            assert getattr(world[2], name)["value"].sum() == pytest.approx(world[2].equity.value, rel=1e-9)

    def test_draws_are_those_of_the_total(self, world):
        value = world[2]
        assert value.draws.mean() == pytest.approx(value.equity.value, rel=1e-12) and len(value.draws) == 50
        assert np.quantile(value.draws, 0.05) == pytest.approx(value.equity.low)

    @pytest.mark.slow
    def test_luck_simulated_is_luck_reckoned(self, world, monkeypatch):
        found, said, _ = world
        wide = VALUE.model_copy(update={"posterior_draws": 4000})
        same = Known(1.0, 9.0, draws=np.tile([1.0, 9.0], (4000, 1)))
        simulated = contract_value(same, found, said, wide, **MONEY).outcome_draws
        monkeypatch.setattr(contract_worth, "SIMULATED", 0)
        reckoned = contract_value(same, found, said, wide, **MONEY).outcome_draws
        # the standard error of a standard deviation of 4,000 draws is 1.1 %
        assert simulated.std() == pytest.approx(reckoned.std(), rel=0.07)
        assert simulated.mean() == pytest.approx(reckoned.mean(), abs=5 * simulated.std() / np.sqrt(4000))

    def test_luck_without_discounting_too(self, monkeypatch):
        found, said = held(*many(100))
        wide = FREE.model_copy(update={"posterior_draws": 4000})
        same = Known(1.0, 9.0, draws=np.tile([1.0, 9.0], (4000, 1)))
        simulated = contract_value(same, found, said, wide, **MONEY).outcome_draws
        monkeypatch.setattr(contract_worth, "SIMULATED", 0)
        reckoned = contract_value(same, found, said, wide, **MONEY).outcome_draws
        assert simulated.std() == pytest.approx(reckoned.std(), rel=0.07)

    def test_saving_loses_nothing(self, world, tmp_path):
        value = world[2]
        value.save(tmp_path)
        again = ContractValue.load(tmp_path)
        np.testing.assert_array_equal(again.draws, value.draws)
        assert (again.equity, again.sure, again.elasticity, again.counts) == (
            value.equity,
            value.sure,
            value.elasticity,
            value.counts,
        )
        pd.testing.assert_frame_equal(again.curve, value.curve)


class TestElasticity:
    def test_it_is_what_one_per_cent_more_retention_does(self):
        row, value = ("C1", "a", "2024-01-15", None, "p", 10.0), FREE.model_copy(update={"margin": 0.5})
        found = valued(row, value=value, notice_days=40)  # up to 9 August: one renewal is sure
        more = lambda e: 5.0 * (1 + sum((1 + e) ** k * stays(6, k) for k in range(1, 36)))  # noqa: E731
        numeric = (more(1e-6) - more(-1e-6)) / 2e-6 / more(0.0)
        assert found.elasticity.value == pytest.approx(numeric, rel=1e-6)

    def test_of_contracts_that_are_alike_it_is_the_textbook_one(self):
        # Gupta, Lehmann & Stuart (2004): (1 + i)/(1 + i − r); all alike at r = 0.8, 400 renewals being as good as endless
        far = ValueSection(margin=1.0, annual_discount_rate=0.1, horizon_months=600, posterior_draws=50)
        found = valued(("C1", "a", "2024-01-15", None, "p", 100.0, "year"), fit=Known(2e7, 8e7), value=far)
        assert found.elasticity.value == pytest.approx(1.1 / 0.3, rel=1e-4)

    def test_unlike_contracts_move_more_than_their_mean_rate_says(self):
        # much of their value lies far ahead, with those who hardly ever leave
        found = valued(("C1", "a", "2024-01-15", None, "p", 100.0, "year"), value=ValueSection(margin=1.0, annual_discount_rate=0.1, horizon_months=600, posterior_draws=50))  # fmt: skip
        r = SBG[1] / sum(SBG)
        assert found.elasticity.value > 1.1 / (1.1 - r)


@pytest.fixture(scope="module")
def moved(world):
    rows, said, _ = world
    return contract_sensitivity(ForAll(DRAWN), rows, said, VALUE, 0.1, **MONEY).set_index("driver")


class TestSensitivity:
    def test_fees_and_margin_move_it_one_for_one(self, moved):
        for name in ("margin", "fee"):
            assert moved.loc[name, "difference_up"] == pytest.approx(
                0.1 * moved.loc[name, "equity"], rel=1e-9
            )

    def test_leaving_and_discounting_cost_and_a_longer_horizon_brings(self, moved):
        assert (moved.loc[["hazard", "annual_discount_rate"], "difference_up"] < 0).all()
        assert moved.loc["horizon_months", "difference_up"] > 0
        assert moved["swing"].is_monotonic_decreasing and (moved["equity"] == moved["equity"].iloc[0]).all()

    def test_a_chance_of_leaving_moves_only_what_is_not_sure(self):
        row, said = held(("C1", "a", "2024-01-15", None, "p", 10.0), notice_days=2000)
        fixed = contract_sensitivity(ForAll(DRAWN), row, said, VALUE, 0.5, **MONEY).set_index("driver")
        assert fixed.loc["hazard", "swing"] == 0

    def test_everybodys_hazard_doubled_is_survival_squared_of_each(self):
        row, said = held(("C1", "a", "2024-01-15", None, "p", 10.0))
        alike = ForAll(Known(1e7, 9e7))  # all have 0.9
        found = contract_sensitivity(alike, row, said, FREE, 1.0 - 1e-12, **MONEY).set_index("driver")
        assert found.loc["hazard", "equity_up"] == pytest.approx(
            10 * sum(0.81**k for k in range(1, 37)), rel=1e-5
        )


class TestRates:
    def test_they_are_shares_of_those_who_came_to_a_renewal(self):
        rows = [("C1", "a", "2024-01-15", None), ("C2", "b", "2024-01-15", "2024-02-14"), ("C3", "c", "2024-05-15", None),
                ("C4", "d", "2024-03-15", "2024-05-14")]  # fmt: skip
        found, _ = held(*rows)
        rates = retention_rates(found, ForAll(DRAWN), 0.9)
        assert rates["at_risk"].tolist() == [4, 2, 1, 1, 1] and rates["renewed"].tolist() == [3, 1, 1, 1, 1]
        fitted = DRAWN.model.retention(DRAWN.posterior(400), 2)
        assert (
            rates["fitted"].iloc[1] == pytest.approx(fitted.mean())
            and rates["fitted"].is_monotonic_increasing
        )

    def test_wilson_is_published(self):
        # Newcombe (1998), table I: 81 of 263, 95 %: .2553 to .3662; 0 of 20: 0 to .1611
        low, high = wilson(np.array([81, 0]), np.array([263, 20]), 0.95)
        np.testing.assert_allclose(
            [low[0], high[0], low[1], high[1]], [0.2553, 0.3662, 0.0, 0.1611], atol=5e-5
        )


def test_nobody_under_contract_is_worth_nothing():
    found = valued(("C1", "a", "2023-01-01", "2023-12-31", "p", 10.0))
    assert found.equity.value == 0 and found.by_plan.empty and found.curve.empty
    assert replace(found, unpriced=1).unpriced == 1
