import json
from datetime import date, timedelta
from types import SimpleNamespace

import backtest_worlds as worlds
import cdnow_frames
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from study_files import PARAMS

from clvkit import backtest_origin, processes
from clvkit.artifacts import KINDS
from clvkit.backtest import BacktestSection, back_test, horizon_from
from clvkit.backtest_results import Backtests
from clvkit.errors import FitError, StudyError
from clvkit.forecast import expect, forecast, steps_to
from clvkit.models_section import ModelsSection
from clvkit.recorder import plain_json
from clvkit.study import load_study, with_values

# CDNOW sample, calibration to 30 September 1997, hold-out of 39 weeks: total of the plug-in forecast, bias, mean
# absolute and root mean squared error, correlation, recomputed from the published data by closed forms. Actual: 1,882.
GOLDEN = {
    "paretonbd": (1665.5, -0.115, 0.7545, 1.6028, 0.6302),
    "bgnbd": (1653.4, -0.121, 0.7855, 1.6080, 0.6256),
    "mbgnbd": (1576.7, -0.162, 0.7648, 1.6072, 0.6273),
}


@pytest.mark.parametrize("process", GOLDEN)
def test_cdnow_hold_out_at_maximum_likelihood(process):
    b = next(one for one in worlds.at_mle() if one.process == process)
    total, bias, mae, rmse, correlation = GOLDEN[process]
    assert b.actual["transactions"] == 1882
    assert (b.customers, b.horizon_days, b.end) == (2357, 273, date(1998, 6, 30))
    assert b.predicted["transactions"].mle == pytest.approx(total, abs=0.05)
    assert b.at_mle.bias == pytest.approx(bias, abs=0.0005)
    assert b.at_mle.mae == pytest.approx(mae, abs=0.00006)
    assert b.at_mle.rmse == pytest.approx(rmse, abs=0.00006)
    assert b.at_mle.correlation == pytest.approx(correlation, abs=0.00006)


def test_without_a_posterior_the_plug_in_stands_and_no_interval():
    b = worlds.at_mle().latest
    for made in b.predicted.values():
        assert (made.value, made.low, made.high, made.kind) == (made.mle, None, None, "outcome")
    assert "buyers" not in b.predicted
    assert not b.missed
    assert (
        0.9 < b.coverage_expected < 1 and abs(b.coverage - b.coverage_expected) < 0.05
    )  # of single customers
    assert b.accuracy == b.at_mle


def test_the_revenue_is_expected_purchases_times_expected_spend():
    b = worlds.at_mle().latest
    frame = cdnow_frames.customers("1997-09-30")
    unit = b.fit.unit_days
    x, t_x, T = (frame[name].to_numpy() for name in ("frequency", "recency_days", "T_days"))
    base, slope = b.spend.model.expected_spend(b.spend.mle, x)
    each = b.fit.model.conditional(b.fit.mle, x, t_x / unit, T / unit, 273 / unit)
    revenue = np.sum(each * (base + slope * frame["spend_minor"].to_numpy() / 100))
    assert b.predicted["value"].mle == pytest.approx(revenue, rel=1e-9)
    lines = pd.read_csv(cdnow_frames.SAMPLE, parse_dates=["date"])
    assert b.actual["value"] == pytest.approx(
        lines.loc[lines["date"] > "1997-09-30", "amount"].sum(), abs=0.005
    )


@pytest.mark.parametrize("used", ["by_frequency", "segment_means"])
def test_the_model_of_spend_is_chosen_at_the_origin(used, monkeypatch, tmp_path):
    """From repeat customers known then, and from what they had bought by then; kept and read as what it is."""
    asked = []

    def choose(cells, last, *_):
        asked.append((int(cells["n"].sum()), int(last["n"].sum()), int(last["last_minor"] @ last["n"])))
        return SimpleNamespace(used=used)

    monkeypatch.setattr(backtest_origin, "choose_spend", choose)
    models = ModelsSection(processes=("mbgnbd",), headline="mbgnbd", sampled=())
    made = worlds.run(models=models).latest
    days = cdnow_frames.purchases().query("date <= '1997-09-30'").sort_values("date").groupby("customer_id")
    repeaters = days.filter(lambda one: len(one) > 1).groupby("customer_id")
    assert asked == [(len(repeaters), len(repeaters), int(repeaters["minor"].last().sum()))]
    assert made.spend.process == used and made.predicted["value"].mle > 0
    made.save(tmp_path)
    assert type(made).load(tmp_path).spend.process == used


def test_parts_add_up_to_the_totals():
    b = worlds.with_posterior().latest
    made = b.predicted["transactions"]
    for name in ("frequency_class", "calibration"):
        table = b.tables[name]
        assert table["customers"].sum() == 2357
        assert table["actual"].sum() == 1882
        assert table["predicted"].sum() == pytest.approx(made.value)
        assert (table["low"] < table["high"]).all()
    assert b.accuracy.predicted == pytest.approx(made.value)
    assert b.tables["frequency_class"]["group"].iloc[0] == "no repeat purchase"
    assert "segment" not in b.tables


def test_the_tracking_ends_in_the_totals_and_continues_the_history():
    b = worlds.with_posterior().latest
    frame, made = b.tables["tracking"], b.predicted["transactions"]
    known, last = frame.loc[frame["days"] == 0].iloc[0], frame.iloc[-1]
    assert known["actual"] == known["predicted"] == known["low"] == 2457
    assert last["days"] == 273
    assert last["actual"] - 2457 == 1882
    assert last["predicted"] - 2457 == pytest.approx(made.value)
    assert last["low"] - 2457 == pytest.approx(made.low)
    assert last["high"] - 2457 == pytest.approx(made.high)
    assert (frame["actual"].diff().dropna() >= 0).all()
    assert frame.loc[frame["days"] < 0, "predicted"].isna().all()


def test_steps_are_weeks_and_the_end():
    assert steps_to(273).tolist() == list(range(7, 274, 7))
    assert steps_to(10).tolist() == [7, 10]
    assert steps_to(3).tolist() == [3]


def test_posterior_forecasts_have_outcome_intervals():
    b = worlds.with_posterior().latest
    for name in ("transactions", "value", "buyers"):
        made = b.predicted[name]
        assert made.low < made.value < made.high
        assert (made.kind, made.interval) == ("outcome", 0.9)
    spread = (b.predicted["transactions"].high - b.predicted["transactions"].low) / 2
    assert spread > 1.645 * np.sqrt(1665)  # purchases are more scattered than a Poisson count
    assert 0.9 <= b.coverage_expected < 1 and 0.9 < b.coverage < 1
    assert b.actual["buyers"] == 684


def test_the_same_inputs_give_the_same_numbers():
    again = worlds.run_with_posterior()
    assert without_seconds(again.to_json()) == without_seconds(worlds.with_posterior().to_json())
    for name, table in again.latest.tables.items():
        pd.testing.assert_frame_equal(table, worlds.with_posterior().latest.tables[name], check_exact=True)


def test_order_of_the_rows_does_not_matter():
    days = cdnow_frames.purchases().sample(frac=1, random_state=1)
    shuffled = worlds.table(zip(days["customer_id"], days["date"].dt.date, days["minor"], strict=True))
    made = worlds.run(shuffled)
    assert without_seconds(made.to_json()) == without_seconds(worlds.at_mle().to_json())


def test_saved_and_loaded_it_is_the_same(tmp_path):
    for made in (worlds.with_posterior(), worlds.at_mle()):
        folder = tmp_path / str(len(made))
        made.save(folder)
        loaded = Backtests.load(folder).judged(worlds.SECTION)
        assert loaded.to_json() == made.to_json()
        for one, other in zip(loaded, made, strict=True):
            assert one.baselines == other.baselines and one.verdict == other.verdict
            for name, table in one.tables.items():
                pd.testing.assert_frame_equal(table, other.tables[name])


def test_results_json_keeps_its_shape():
    made = json.loads(json.dumps(plain_json(worlds.with_posterior().to_json()), allow_nan=False))
    (one,) = made
    assert {"origin", "horizon_days", "process", "fit", "actual", "predicted", "bias", "mae", "rmse",
            "wmape_by_segment", "coverage_90", "baselines", "verdict"} <= set(one)  # fmt: skip
    assert one["origin"] == "1997-09-30" and one["verdict"] in ("good", "fair", "poor")
    assert {"transactions", "value"} <= set(one["actual"])
    for name in ("transactions", "value"):
        assert {"value", "low", "high", "kind", "mle"} <= set(one["predicted"][name])
    assert {"parameters", "log_likelihood", "diagnostics", "method"} <= set(one["fit"])
    assert set(one["baselines"]) == {"last_period", "segment_mean", "hiatus"}
    for baseline in one["baselines"].values():
        assert {"transactions", "value", "bias", "mae", "rmse", "correlation", "wmape_by_segment"} <= set(
            baseline
        )
    assert one["wmape_by_segment"]["no repeat purchase"] > 1


class TestWhatIsKnown:
    def test_customers_who_come_later_are_not_counted(self):
        late = date(1997, 11, 1)
        days = cdnow_frames.purchases()
        rows = [*zip(days["customer_id"], days["date"].dt.date, days["minor"], strict=True)]
        rows += [(f"new{i}", late + timedelta(days=k), 1000) for i in range(50) for k in range(0, 60, 10)]
        made = worlds.run(worlds.table(rows)).latest
        known = worlds.at_mle().latest
        assert made.new_customers == 50
        assert (made.customers, made.actual, made.accuracy) == (2357, known.actual, known.accuracy)
        pd.testing.assert_frame_equal(made.tables["tracking"], known.tables["tracking"])

    def test_nothing_after_the_origin_enters_the_forecast(self):
        days = cdnow_frames.purchases()
        known = days[days["date"] <= pd.Timestamp(worlds.ORIGIN)]
        rows = zip(known["customer_id"], known["date"].dt.date, known["minor"], strict=True)
        made = worlds.run(worlds.table(rows)).latest
        for name, expected in worlds.at_mle().latest.predicted.items():
            assert made.predicted[name].mle == pytest.approx(expected.mle, rel=1e-12)
        assert made.actual == {"transactions": 0, "value": 0, "buyers": 0}
        assert (made.accuracy.bias, made.bias_value) == (None, None)
        assert set(made.accuracy.wmape_by_segment.values()) == {None}
        assert made.tables["tracking"]["actual"].iloc[-1] == 2457
        assert made.verdict.level == "poor"  # nobody came back: forecasting nothing would have been better

    def test_purchases_beyond_the_horizon_do_not_count(self):
        made = worlds.run(section=worlds.SECTION.model_copy(update={"horizon_days": 91})).latest
        days = cdnow_frames.purchases()
        after = days[(days["date"] > "1997-09-30") & (days["date"] <= "1997-12-30")]
        assert made.actual["transactions"] == len(after)
        assert made.end == date(1997, 12, 30)
        assert made.tables["tracking"]["days"].max() == 91

    def test_segments_have_lines_of_their_own(self):
        days = cdnow_frames.purchases()
        names = np.where(days["customer_id"].str[-1].isin(list("01234")), "north", None)
        rows = zip(days["customer_id"], days["date"].dt.date, days["minor"], names, strict=True)
        table = worlds.run(worlds.table(rows)).latest.tables["segment"]
        assert table["group"].tolist() == ["north", "not named"]
        assert table["actual"].sum() == 1882


class TestDates:
    def test_null_forecasts_to_the_as_of_date(self):
        assert horizon_from(worlds.ORIGIN, BacktestSection(), worlds.AS_OF) == 273
        assert horizon_from(worlds.ORIGIN, BacktestSection(horizon_days=90), worlds.AS_OF) == 90

    def test_the_earliest_of_several_ends_where_the_latest_begins(self):
        first, between = date(1997, 6, 30), date(1997, 7, 31)
        section = BacktestSection(origins=(first, between, worlds.ORIGIN), horizon_days=200)
        days = [horizon_from(origin, section, worlds.AS_OF) for origin in section.origins]
        assert days == [92, 200, 200]
        assert first + timedelta(days=92) == worlds.ORIGIN
        short = section.model_copy(update={"horizon_days": 30})
        assert horizon_from(first, short, worlds.AS_OF) == 30
        assert horizon_from(first, BacktestSection(origins=(first,)), worlds.AS_OF) == 365

    @pytest.mark.parametrize(("days", "room"), [(274, "at most 273"), (400, "at most 273")])
    def test_a_horizon_beyond_the_as_of_date_is_an_error(self, days, room):
        section = BacktestSection(origins=(worlds.ORIGIN,), horizon_days=days)
        with pytest.raises(StudyError, match="must end by the as-of date 1998-06-30") as caught:
            worlds.run(section=section)
        assert room in str(caught.value)

    def test_so_is_an_origin_after_it(self):
        with pytest.raises(StudyError, match="earlier origin"):
            worlds.run(section=BacktestSection(origins=(date(1998, 7, 1),)))

    def test_an_origin_without_history_says_so(self):
        with pytest.raises(FitError, match="the back-test from 1996-12-01: no customer had bought yet"):
            worlds.run(section=BacktestSection(origins=(date(1996, 12, 1),)))

    def test_two_origins_and_all_processes(self):
        section = BacktestSection(origins=(date(1997, 6, 30), worlds.ORIGIN), horizon_days=90)
        made = worlds.run(section=section)
        assert [(b.origin.month, b.process) for b in made] == [
            (month, name) for month in (6, 9) for name in ("bgnbd", "mbgnbd", "paretonbd")
        ]
        assert [b.origin.month for b in made.champion] == [6, 9]
        assert made.latest.origin == worlds.ORIGIN

    def test_no_origin_is_no_back_test(self):
        made = worlds.run(section=BacktestSection())
        assert (len(made), made.latest, made.to_json()) == (0, None, [])


class TestTruth:
    """Purchases drawn from a known Pareto/NBD: the forecast must meet what was drawn."""

    PARAMETERS = (0.9, 9.0, 0.6, 12.0)

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_five_thousand_customers_within_five_per_cent(self, seed):
        process = processes.get("paretonbd")
        purchases = worlds.simulated(process, self.PARAMETERS, 5000, 364, 182, seed)
        models = ModelsSection(processes=("paretonbd",), headline="paretonbd", sampled=())
        section = BacktestSection(origins=(worlds.AS_OF - timedelta(days=182),))
        b = worlds.run(purchases, section, models).latest
        print(
            f"seed {seed}: forecast {b.predicted['transactions'].mle:.0f}, actual {b.actual['transactions']}"
        )
        assert abs(b.accuracy.bias) < 0.05

    def test_customers_lie_inside_their_intervals_as_often_as_the_model_says(self):
        """At the true parameters: the share inside is binomial around what the simulation expects."""
        process, rng, unit, customers = processes.get("paretonbd"), np.random.default_rng(7), 7.0, 6000
        T = rng.integers(30, 60, customers).astype(float)
        drawn = process.simulate(np.array(self.PARAMETERS), T + 26, rng)
        seen = drawn.time <= T[drawn.customer]
        counts = np.bincount(drawn.customer[seen], minlength=customers)
        recency = np.zeros(customers)
        np.maximum.at(recency, drawn.customer[seen], drawn.time[seen])
        rows = pd.DataFrame({
            "frequency": counts, "recency_days": np.round(recency * unit, 3), "T_days": T * unit, "n": 1,
            "spend_minor": 2000 * counts, "n_holdout": np.bincount(drawn.customer[~seen], minlength=customers),
        })  # fmt: skip
        fit = worlds.with_draws(cdnow_frames.fit("paretonbd"), self.PARAMETERS, 250)
        spend = cdnow_frames.with_posterior(cdnow_frames.fit("gammagamma"))
        made = forecast(fit, spend, rows, 182, {}, draws=250, interval=0.9, currency="USD", minor_per_unit=100,
                        seed=3)  # fmt: skip
        inside = round(made.coverage * customers)
        low, high = binom.interval(0.999, customers, made.coverage_expected)
        print(f"{inside} of {customers} inside, expected between {low:.0f} and {high:.0f}")
        assert low <= inside <= high
        assert made.transactions.low <= rows["n_holdout"].sum() <= made.transactions.high


def test_expected_purchases_do_not_depend_on_how_cells_are_cut(monkeypatch):
    fit, spend = cdnow_frames.fit("bgnbd"), cdnow_frames.fit("gammagamma")
    draws = (fit.mle[None] * [[1.0], [1.02]], np.tile(spend.mle, (2, 1)))
    cells = cdnow_frames.cells("1997-09-30")
    whole = expect(fit, spend, draws, cells, np.array([7, 30]), 100)
    monkeypatch.setattr("clvkit.forecast.BLOCK", 200)
    cut = expect(fit, spend, draws, cells, np.array([7, 30]), 100)
    np.testing.assert_allclose(cut.each, whole.each, rtol=1e-9)
    np.testing.assert_allclose(cut.path, whole.path, rtol=1e-9)
    assert cut.value == pytest.approx(whole.value, rel=1e-9)
    assert whole.path[-1] == pytest.approx(cells["n"] @ whole.each)


def test_a_new_threshold_fits_nothing_again():
    study = load_study(PARAMS / "cdnow_sample.yml")
    settings = KINDS["backtests"].settings
    looser = with_values(study, {"backtest": {"fair_bias": 0.2, "poor_bias": 0.4, "max_coverage_gap": 0.3}})
    longer = with_values(study, {"backtest": {"horizon_days": 100}})
    silent = with_values(study, {"retention": {"silence_days": 100}})
    assert settings(looser, {}) == settings(study, {})
    assert settings(longer, {}) != settings(study, {})
    assert settings(silent, {}) != settings(study, {})


def test_the_study_s_rule_for_the_lost_is_the_hiatus():
    assert worlds.run(silence_days=90).latest.span.hiatus_days == 90
    section = worlds.SECTION.model_copy(update={"hiatus_days": 60})
    assert worlds.run(section=section, silence_days=90).latest.span.hiatus_days == 60


@pytest.mark.slow
def test_cdnow_with_a_sampled_posterior():
    models = ModelsSection(
        processes=("paretonbd",), headline="paretonbd", sampled=("paretonbd", "gammagamma")
    )
    section = BacktestSection(origins=(worlds.ORIGIN,))
    made = back_test(worlds.sample(), section, models, as_of=worlds.AS_OF, currency="USD", minor_per_unit=100,
                     silence_days=180).judged(section)  # fmt: skip
    purchases = made.latest.predicted["transactions"]
    assert purchases.mle == pytest.approx(1665.5, abs=0.05)
    assert 1600 < purchases.value < 1665.5  # the posterior is skewed: its mean lies below the plug-in
    assert made.latest.verdict.level == "poor"
    assert {check.id: check.status for check in made.checks()}["backtest.fits"] == "pass"


def without_seconds(made):
    """The results without the time that fits took."""
    for one in made:
        for name in ("fit", "spend_fit"):
            one[name] = {key: value for key, value in one[name].items() if key != "seconds"}
    return made
