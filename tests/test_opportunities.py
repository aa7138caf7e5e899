"""Purchases counted by calendar periods, and whether a log is one of them; the study of the 1995 donors.

The gifts of `params/donors.yml` have the frequency and recency of Fader, Hardie & Shang (2010), table 2.
"""

from datetime import date, timedelta
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clvkit import customers, processes
from clvkit.errors import FitError, StudyError
from clvkit.fitting import fit_process, unit_days
from clvkit.models_section import ModelsSection
from clvkit.opportunities import (
    DAYS,
    by_opportunity,
    evidence,
    known_until,
    opportunity_check,
    period_end,
    period_start,
    summary_of,
    trial,
)
from clvkit.study import load_study

ROOT = Path(__file__).parents[1]
DONORS = ROOT / "data_samples" / "donors"
END = date(2001, 12, 31)
DISCRETE = ModelsSection(opportunity="year", processes=("bgbb",), headline="bgbb", sampled=())
GRAINS = pytest.mark.parametrize("grain", DAYS)


def table(customer, day, amount=100) -> ibis.Table:
    """Purchases as a ledger has them: one row per customer and day."""
    frame = pd.DataFrame(
        {"customer": customer, "day": pd.to_datetime(pd.Series(day)).dt.date, "amount_minor": amount}
    )
    return ibis.memtable(frame.drop_duplicates(["customer", "day"]))


@pytest.fixture(scope="module")
def gifts():
    """The sample's gifts as purchases."""
    made = pd.read_parquet(DONORS / "gifts.parquet")
    return table(made["donor_id"], made["date"], made["amount"] * 100)


class TestPeriods:
    @GRAINS
    @given(day=st.dates(date(1970, 1, 1), date(2100, 1, 1)))
    def test_periods_are_those_of_the_calendar(self, grain, day):
        period = pd.Timestamp(day).to_period(
            {"day": "D", "week": "W-SUN", "month": "M", "quarter": "Q", "year": "Y"}[grain]
        )
        assert period_start(day, grain) == period.start_time.date()
        assert period_end(day, grain) == period.end_time.date()
        until = known_until(day, grain)
        assert period_end(until, grain) == until
        assert until <= day < period_end(until + timedelta(days=1), grain) or until == day

    @GRAINS
    def test_the_engine_has_the_same_ends(self, grain):
        days = [date(1999, 12, 1) + timedelta(days=k) for k in range(800)]
        found = by_opportunity(table("a", days), grain).order_by("day").to_pandas()
        assert [pd.Timestamp(day).date() for day in found["day"]] == sorted(
            {period_end(day, grain) for day in days}
        )
        assert found["amount_minor"].sum() == 80_000

    @GRAINS
    def test_times_are_whole_opportunities(self, grain):
        """The n-th end after the first lies n units away, to within what BG/BB takes for whole."""
        ends = sorted({period_end(date(1996, 1, 31) + timedelta(days=k), grain) for k in range(6000)})
        for first in range(14):
            away = np.array([(end - ends[first]).days for end in ends[first:]]) / DAYS[grain]
            assert np.abs(away - np.arange(away.size)).max() < 0.12

    def test_without_a_period_nothing_changes(self):
        purchases = table(["a", "a"], ["2000-01-01", "2000-01-02"])
        assert by_opportunity(purchases, None) is purchases
        assert known_until(END, None) == END
        assert trial(END, 90, None) == (END, 90)

    def test_the_running_period_is_left_out(self):
        purchases = table(
            ["a"] * 5,
            ["1999-03-01", "1999-05-01", "2000-02-01", "2001-01-31", "2002-02-02"],
            [1, 2, 4, 8, 16],
        )
        seen = summary_of(purchases, date(2002, 6, 30), "year").to_pandas().iloc[0]
        assert (seen["frequency"], seen["recency_days"], seen["T_days"]) == (2, 731, 731)
        assert (seen["first_minor"], seen["spend_minor"]) == (3, 12)

    def test_back_tests_begin_and_end_with_periods(self):
        assert trial(date(1998, 7, 1), 1100, "year") == (date(1997, 12, 31), 1096)
        with pytest.raises(StudyError, match=r"at least one year \(got 100 days from 1998-01-05\)"):
            trial(date(1998, 1, 5), 100, "year")


class TestStudies:
    def test_a_horizon_within_one_opportunity_is_refused(self):
        donors = Path(__file__).parents[1] / "params" / "donors.yml"
        with pytest.raises(
            StudyError, match=r"must hold at least one opportunity, a year.*\n?.*give at least 12"
        ):
            load_study(donors, {"value.horizon_months": "6"})

    @GRAINS
    def test_the_unit_is_the_opportunity(self, grain):
        assert unit_days(ModelsSection(opportunity=grain, time_unit="day")) == DAYS[grain]

    @pytest.mark.parametrize("name", ["bgbb", "paretonbd"])
    def test_a_history_of_one_opportunity_is_refused(self, gifts, name):
        known = customers.cells(summary_of(gifts, date(1997, 6, 30), "year"))
        with pytest.raises(FitError, match=r"at least 2 opportunities \(got 1 whole years"):
            fit_process(name, known, DISCRETE)

    def test_purchases_at_any_time_are_refused(self, cdnow_cells):
        section = DISCRETE.model_copy(update={"opportunity": "week"})
        with pytest.raises(FitError, match=r"whole numbers of them|at most once"):
            fit_process("bgbb", cdnow_cells, section)

    def test_the_donors_give_the_published_fit(self, gifts):
        """Table 3: 1.204, .750, .657, 2.783; LL −33,225.6. In the middle of 2002 nothing else is known."""
        cells = customers.cells(summary_of(gifts, date(2002, 6, 30), "year"))
        assert (len(cells), cells["n"].sum()) == (22, 11_104)
        fit = fit_process("bgbb", cells, DISCRETE)
        np.testing.assert_array_equal(fit.mle.round(3), (1.204, 0.750, 0.657, 2.783))
        assert fit.log_likelihood == pytest.approx(-33225.581274, abs=1e-6)
        ahead = fit.model.conditional(
            fit.mle, cells["frequency"], cells["recency_days"] / 365.25, cells["T_days"] / 365.25, 5
        )
        assert cells["n"] @ ahead == pytest.approx(12_884.157, abs=5e-3)

    def test_back_tests_see_whole_years(self, gifts):
        from clvkit.backtest import BacktestSection, back_test

        section = BacktestSection(origins=(date(1998, 3, 1), date(1999, 12, 31)), posterior_draws=50)
        models = ModelsSection(
            opportunity="year", processes=("bgbb", "paretonbd"), headline="bgbb", sampled=()
        )
        found = back_test(
            gifts,
            section,
            models,
            as_of=date(2002, 2, 1),
            currency="USD",
            minor_per_unit=100,
            silence_days=730,
        )
        assert [(b.origin, b.horizon_days) for b in found] == [(date(1997, 12, 31), 730)] * 2 + [
            (date(1999, 12, 31), 731)
        ] * 2
        rows = pd.read_csv(DONORS / "cohort_1995.csv")
        assert found.latest.customers == rows["donors"].sum()
        # 1997 is over: of the last two years every donor's gifts are in the sample
        made = pd.read_parquet(DONORS / "gifts.parquet")
        assert found.latest.actual["transactions"] == (made["date"] > pd.Timestamp("1999-12-31").date()).sum()
        assert abs(found.latest.accuracy.bias) < 0.05


def test_drivers_have_levels_per_opportunity(gifts):
    """The purchase rate is of the year ahead, and the share lost of the gifts of the year after it."""
    from clvkit.fitting import fit_spend
    from clvkit.sensitivity import SensitivitySection, one_way
    from clvkit.value import ValueSection

    summary = summary_of(gifts, END, "year")
    known = customers.cells(summary)
    fit = fit_process("bgbb", known, DISCRETE)
    spend = fit_spend(customers.spend_cells(summary), DISCRETE, 100)
    value = ValueSection(margin=0.8, annual_discount_rate=0.1, horizon_months=60)
    found = one_way(
        fit,
        spend,
        known,
        value,
        SensitivitySection(),
        currency="USD",
        minor_per_unit=100,
        days_per_year=365.25,
    )
    level = found.drivers.set_index("driver")["base"]
    x, last, seen, n = (
        known["frequency"],
        known["recency_days"] / 365.25,
        known["T_days"] / 365.25,
        known["n"],
    )
    first, second = (n @ fit.model.conditional(fit.mle, x, last, seen, years) for years in (1, 2))
    assert level["purchase_rate"] == pytest.approx(
        first / (n @ fit.model.p_alive(fit.mle, x, last, seen)), rel=1e-9
    )
    assert level["dropout_hazard"] == pytest.approx(1 - (second - first) / first, rel=1e-9)


def of_world(draw, customers_=600, seed=7):
    """A log of customers whose purchase days ``draw(rng)`` makes up, from 2000 to 2005."""
    rng = np.random.default_rng(seed)
    each = [np.unique(draw(rng)) for _ in range(customers_)]
    who = np.repeat(np.arange(customers_), [len(days) for days in each])
    return table(who, np.datetime64("2000-01-01") + np.concatenate(each).astype("timedelta64[D]"))


def annual(rng):
    """On any day of some years."""
    years = np.flatnonzero(rng.random(6) < 0.6)
    return years * 365.25 + rng.integers(0, 364, years.size)


def anniversary(rng):
    """Within a few days of the same day of some years."""
    years = np.flatnonzero(rng.random(6) < 0.6)
    return years * 365.25 + rng.integers(20, 340) + rng.integers(-5, 6, years.size)


def monthly(rng):
    """On any day of some months."""
    months = np.flatnonzero(rng.random(72) < 0.4)
    return (
        pd.PeriodIndex.from_ordinals(360 + months, freq="M").start_time - pd.Timestamp(2000, 1, 1)
    ).days + rng.integers(0, 28, months.size)


def saturdays(rng):
    """On the market day of some weeks."""
    return np.flatnonzero(rng.random(200) < 0.3) * 7


def retail(rng):
    """At random, at a rate of one's own, until one leaves."""
    rate, life = rng.gamma(0.6, 1 / 15), rng.exponential(700)
    return _until(rng, rate, life)


def _until(rng, rate, life):
    days = np.cumsum(rng.exponential(1 / max(rate, 1e-3), 80))
    return np.concatenate([[0], days[days < min(life, 2100)]])


def sparse(rng):
    """At random, about once in two years: nobody buys twice in a week, and that means nothing."""
    return _until(rng, 1 / 700, 2100)


class TestEvidence:
    @pytest.mark.parametrize(
        ("draw", "verdict"),
        [
            (annual, "discrete: year"),
            (anniversary, "discrete: year"),
            (monthly, "discrete: month"),
            (saturdays, "discrete: week"),
            (retail, "continuous"),
            (sparse, "continuous"),
        ],
        ids=lambda value: getattr(value, "__name__", value),
    )
    def test_simulated_logs(self, draw, verdict):
        found = evidence(of_world(draw), date(2006, 1, 1))
        assert found.verdict == verdict, found.table.to_string()

    def test_cdnow_buys_at_any_time(self, cdnow_purchases):
        found = evidence(cdnow_purchases, date(1998, 6, 30))
        assert (found.verdict, found.gaps) == ("continuous", 4339)
        assert opportunity_check(found, None).status == "pass"
        check = opportunity_check(found, "month")
        assert check.status == "review"
        assert "merges away" in check.message
        assert "models.opportunity to null" in check.recommendation

    def test_simulated_processes_are_continuous(self):
        """Customers of Pareto/NBD on whole days, at 20 seeds: never taken for discrete."""
        model = processes.get("paretonbd")
        for seed in range(20):
            drawn = model.simulate(
                (0.553, 10.578, 0.606, 11.669), np.full(1500, 78.0), np.random.default_rng(seed)
            )
            first = np.random.default_rng(seed).integers(0, 84, 1500)
            day = np.concatenate([first, first[drawn.customer] + np.ceil(drawn.time * 7).astype(int)])
            purchases = table(
                np.concatenate([np.arange(1500), drawn.customer]),
                np.datetime64("2000-01-01") + day.astype("timedelta64[D]"),
            )
            assert evidence(purchases, date(2006, 1, 1)).verdict == "continuous"

    def test_the_donors(self, gifts):
        found = evidence(gifts, END)
        assert found.verdict == "discrete: year"
        assert found.purchases == 35_719
        assert found.of("year")["together"] == 0
        assert found.of("year")["chance"] > 1000
        check = opportunity_check(found, None)
        assert (check.status, check.id) == ("review", "models.opportunity")
        assert "Set models.opportunity to year and add bgbb" in check.recommendation
        assert opportunity_check(found, "year").status == "pass"
        assert opportunity_check(found, "quarter").status == "info"

    def test_too_few_gaps_tell_nothing(self):
        found = evidence(table(["a", "a", "b"], ["2000-01-01", "2001-01-01", "2000-05-05"]), END)
        assert (found.verdict, opportunity_check(found, "year").status) == ("unknown", "info")


class TestSample:
    def test_gifts_are_made_again(self):
        from clvkit.simulate.donors import gifts

        rows, kept = pd.read_csv(DONORS / "cohort_1995.csv"), pd.read_parquet(DONORS / "gifts.parquet")
        again = gifts(rows)
        pd.testing.assert_frame_equal(again.assign(date=again["date"].dt.date), kept)

    def test_frequency_and_recency_are_as_published(self, gifts):
        cells = customers.cells(summary_of(gifts, END, "year"))
        found = {
            (x, round(t / 365.25), n)
            for x, t, n in zip(cells["frequency"], cells["recency_days"], cells["n"], strict=True)
        }
        rows = pd.read_csv(DONORS / "cohort_1995.csv")
        assert found == set(zip(rows["frequency"], rows["recency"], rows["donors"], strict=True))

    @pytest.mark.slow
    def test_the_whole_run(self, tmp_path):
        """`clv run params/donors.yml` gives the published fit, its five-year forecast, and a value."""
        import json
        import subprocess
        import sys

        done = subprocess.run(
            [sys.executable, "-m", "clvkit.cli", "run", str(ROOT / "params" / "donors.yml"), "--out", str(tmp_path)],
            text=True, capture_output=True, check=False, cwd=ROOT,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        (file,) = tmp_path.rglob("results.json")
        results = json.loads(file.read_text(encoding="utf-8"))
        fit = results["fits"]["bgbb"]
        assert [round(one["mle"], 3) for one in fit["parameters"].values()] == [1.204, 0.750, 0.657, 2.783]
        assert fit["log_likelihood"] == pytest.approx(-33225.581274, abs=1e-6)
        assert results["metrics"]["purchases_expected"]["mle"] == pytest.approx(12_884.157, abs=5e-3)
        assert results["metrics"]["customer_equity"]["low"] < results["metrics"]["customer_equity"]["value"]
        checks = json.loads((file.parent / "checks.json").read_text(encoding="utf-8"))
        (check,) = [one for one in checks if one["id"] == "models.opportunity"]
        assert (check["status"], check["value"]) == ("pass", "discrete: year")
