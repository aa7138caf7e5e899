import datetime as dt
from dataclasses import replace

import cdnow_frames
import ibis
import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.stats import nbinom, norm

from clvkit import goodness, processes

END = dt.date(1998, 6, 30)


def ledger_purchases():
    days = cdnow_frames.purchases()
    frame = pd.DataFrame({
        "customer": days["customer_id"], "day": days["date"].dt.date, "amount_minor": days["minor"], "segment": "all",
    })  # fmt: skip
    schema = {"customer": "string", "day": "date", "amount_minor": "int64", "segment": "string"}
    return ibis.memtable(frame, schema=schema)


class TestFrequencyHistogram:
    @pytest.mark.parametrize(
        ("process", "chi_square"),
        # BG/NBD as recomputed from Fader, Hardie & Lee (2005); Pareto/NBD as the quadrature below gives it
        [("bgnbd", 4.8211), ("paretonbd", 11.9900)],
    )
    def test_cdnow(self, process, chi_square):
        at = cdnow_frames.CALIBRATION
        frame, found = goodness.frequency_histogram(cdnow_frames.fit(process, at), cdnow_frames.cells(at))
        assert list(frame["actual"]) == [1411, 439, 214, 100, 62, 38, 29, 64]
        assert found == pytest.approx(chi_square, abs=5e-4)
        assert frame["expected"].sum() == pytest.approx(2357)

    def test_pareto_nbd_agrees_with_plain_quadrature(self):
        at = cdnow_frames.CALIBRATION
        fit, cells = cdnow_frames.fit("paretonbd", at), cdnow_frames.cells(at)
        r, alpha, s, beta = fit.mle

        def chance(x, t):
            ended = quad(
                lambda u: s / beta * (1 + u / beta) ** -(s + 1) * nbinom.pmf(x, r, alpha / (alpha + u)), 0, t
            )
            return (1 + t / beta) ** -s * nbinom.pmf(x, r, alpha / (alpha + t)) + ended[0]

        ages = cells.groupby("T_days")["n"].sum()
        for x in (0, 1, 5):
            expected = sum(n * chance(x, age / 7) for age, n in ages.items())
            frame, _ = goodness.frequency_histogram(fit, cells)
            assert frame["expected"][x] == pytest.approx(expected, rel=1e-7)

    def test_the_last_class_takes_the_rest(self):
        at = cdnow_frames.CALIBRATION
        fit, cells = cdnow_frames.fit("bgnbd", at), cdnow_frames.cells(at)
        wide, narrow = (goodness.frequency_histogram(fit, cells, top)[0] for top in (7, 2))
        assert list(narrow["frequency"]) == [0, 1, 2]
        assert narrow["actual"].iloc[-1] == wide["actual"].iloc[2:].sum()
        assert narrow["expected"].iloc[-1] == pytest.approx(wide["expected"].iloc[2:].sum())

    def test_a_class_nobody_is_in_counts_nothing(self):
        fit = cdnow_frames.fit("bgnbd")
        cells = pd.DataFrame({"frequency": [0, 0], "T_days": [70, 70], "n": [3, 2]})
        frame, chi_square = goodness.frequency_histogram(fit, cells, 3)
        assert list(frame["actual"]) == [5, 0, 0, 0]
        assert np.isfinite(chi_square)


class TestTracking:
    def test_expected_is_the_sum_over_customers(self):
        fit, frame = cdnow_frames.fit("bgnbd"), goodness.tracking_of(
            cdnow_frames.fit("bgnbd"), ledger_purchases(), END)  # fmt: skip
        ages = cdnow_frames.customers().groupby("T_days")["n"].sum()
        total = np.sum(ages * fit.model.mean(fit.mle, ages.index.to_numpy() / 7))
        assert frame["expected_cumulative"].iloc[-1] == pytest.approx(total, rel=1e-10)
        assert frame["expected"].sum() == pytest.approx(total)
        early = cdnow_frames.customers()["first"]
        at_week_5 = (pd.Timestamp("1997-02-04") - early[early <= "1997-02-04"]).dt.days / 7
        assert frame["expected_cumulative"][4] == pytest.approx(
            fit.model.mean(fit.mle, at_week_5.to_numpy()).sum()
        )

    def test_actual_is_what_was_bought(self):
        frame = goodness.tracking_of(cdnow_frames.fit("bgnbd"), ledger_purchases(), END)
        repeats = cdnow_frames.purchases().query("repeat")
        assert list(frame["week"]) == list(range(1, 79))  # 546 days are 78 weeks
        assert frame["days"].eq(7).all()
        assert frame["actual"].sum() == frame["actual_cumulative"].iloc[-1] == len(repeats)
        assert frame["actual"][10] == repeats["date"].between("1997-03-12", "1997-03-18").sum()
        assert frame["end"].iloc[-1] == pd.Timestamp(END)

    def test_a_forecast_follows_the_customers_known_at_the_origin(self):
        at = cdnow_frames.CALIBRATION
        fit = cdnow_frames.fit("bgnbd", at)
        origin = dt.date.fromisoformat(at)
        frame = goodness.tracking_of(fit, ledger_purchases(), END, origin).set_index("week")
        # holdout of the sample: 1,882 repeat purchases in 39 weeks; the fit knew 2,457 before
        assert frame.loc[39, "actual_cumulative"] == 2457
        assert frame.loc[78, "actual_cumulative"] - frame.loc[39, "actual_cumulative"] == 1882
        before = frame.loc[39, "expected_cumulative"]
        assert before == pytest.approx(2457, rel=0.03)

    def test_a_week_that_is_not_over_says_how_long_it_was(self):
        days = pd.date_range("2024-01-01", periods=2)
        first, repeat = pd.Series([10, 5], index=days), pd.Series([0, 1], index=days)
        frame = goodness.tracking(cdnow_frames.fit("bgnbd"), first, repeat, dt.date(2024, 1, 10))
        assert list(frame["days"]) == [7, 3]
        assert list(frame["actual"]) == [1, 0]
        fit = cdnow_frames.fit("bgnbd")
        ends = fit.model.mean(fit.mle, np.array([9, 8]) / 7)
        assert frame["expected_cumulative"].iloc[-1] == pytest.approx(10 * ends[0] + 5 * ends[1])

    def test_the_first_days_alone_are_one_week(self):
        first = pd.Series([4], index=pd.DatetimeIndex(["2024-01-01"]))
        frame = goodness.tracking(cdnow_frames.fit("bgnbd"), first, first * 0, dt.date(2024, 1, 1))
        assert list(frame["days"]) == [1]
        assert frame["expected_cumulative"][0] == pytest.approx(0, abs=1e-12)


class TestConditionalExpectations:
    def test_they_add_up_to_the_whole(self):
        fit, cells = cdnow_frames.fit("paretonbd"), cdnow_frames.cells()
        frame = goodness.conditional_expectations(fit, cells, 273)
        t_x, T = cells["recency_days"] / 7, cells["T_days"] / 7
        each = fit.model.conditional(fit.mle, cells["frequency"], t_x, T, 39.0)
        assert frame["customers"].sum() == 2357
        assert frame["total"].sum() == pytest.approx((each * cells["n"]).sum())
        assert (frame["total"] / frame["customers"]).to_numpy() == pytest.approx(frame["expected"].to_numpy())

    def test_one_customer_is_the_published_one(self):
        # x = 2, t_x = 30.43, T = 38.86 weeks: 1.226 purchases in the next 39 (Hardie's note, at its MLE)
        cells = pd.DataFrame({"frequency": [2], "recency_days": [213], "T_days": [272], "n": [1]})
        frame = goodness.conditional_expectations(
            cdnow_frames.fit("bgnbd", cdnow_frames.CALIBRATION), cells, 273
        )
        assert frame["expected"][0] == pytest.approx(1.226, abs=1e-3)
        assert (frame["frequency_class"][0], frame["recency_band"][0]) == ("2 repeats", "31 to 90 days")

    def test_bands_and_classes_are_in_order(self):
        frame = goodness.conditional_expectations(cdnow_frames.fit("paretonbd"), cdnow_frames.cells(), 365)
        bands = [label for _, label in goodness.SILENCE] + [goodness.LONGER]
        assert list(dict.fromkeys(frame["recency_band"])) == bands
        first = frame[frame["recency_band"] == bands[0]]
        assert list(first["frequency_class"])[-1] == "10 or more repeats"
        assert first["expected"].is_monotonic_increasing

    def test_with_a_posterior_it_is_the_mean_over_draws(self):
        fit, cells = cdnow_frames.with_posterior(cdnow_frames.fit("paretonbd"), 10), cdnow_frames.cells()
        frame = goodness.conditional_expectations(fit, cells, 273, draws=10)
        each = fit.model.conditional(
            fit.flat, cells["frequency"], cells["recency_days"] / 7, cells["T_days"] / 7, 39.0
        )
        assert frame["total"].sum() == pytest.approx((each.mean(axis=0) * cells["n"]).sum())


class TestPriorPosterior:
    def test_on_the_natural_scale(self):
        fit = cdnow_frames.with_posterior(cdnow_frames.fit("paretonbd"), 400)
        frame = goodness.prior_posterior(fit).set_index("parameter")
        assert list(frame.index) == ["r", "alpha", "s", "beta"]
        # log r is normal with mean 0 and sd 1
        assert frame.loc["r", "prior_median"] == pytest.approx(1, abs=0.03)
        assert frame.loc["r", "prior_high"] == pytest.approx(np.exp(norm.ppf(0.95)), rel=0.05)
        assert frame.loc["alpha", "mle"] == pytest.approx(fit.mle[1])
        assert frame.loc["s", "posterior_mean"] == pytest.approx(fit.flat[:, 2].mean())
        assert (frame["prior_low"] < frame["posterior_low"]).all()
        assert (frame["posterior_high"] < frame["prior_high"]).all()
        pd.testing.assert_frame_equal(frame, goodness.prior_posterior(fit).set_index("parameter"))

    def test_a_prior_moves_with_the_unit_of_time(self):
        fit = cdnow_frames.fit("paretonbd")
        days = replace(fit, unit_days=1.0, mle=fit.model.in_unit(fit.mle, 7), scale=fit.scale * 7)
        weekly, daily = (goodness.prior_posterior(one).set_index("parameter") for one in (fit, days))
        ratio = daily["prior_high"] / weekly["prior_high"]
        assert ratio.to_numpy() == pytest.approx([1, 7, 1, 7])

    def test_on_the_coordinates(self):
        fit = cdnow_frames.with_posterior(cdnow_frames.fit("gammagamma"), 400)
        frame = goodness.prior_posterior_coordinates(fit).set_index("coordinate")
        assert list(frame.index) == list(processes.get("gammagamma").priors)
        assert frame.loc["log_p", "prior_low"] == pytest.approx(1 - norm.ppf(0.95))
        assert frame.loc["log_p", "mle"] == pytest.approx(np.log(fit.mle[0]))
        assert frame["contraction"].between(0.9, 1).all()

    def test_without_a_posterior_its_columns_are_empty(self):
        for show in (goodness.prior_posterior, goodness.prior_posterior_coordinates):
            frame = show(cdnow_frames.fit("bgnbd"))
            assert frame[["posterior_mean", "posterior_low", "posterior_high"]].isna().all(axis=None)
            assert frame["mle"].notna().all()
