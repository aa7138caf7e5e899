"""What the customers are worth: totals, groups, paths and single customers tell one story."""

import math
from datetime import date

import numpy as np
import pandas as pd
import pytest

from clvkit import valuation as module
from clvkit.valuation import Valuation, cohort_labels, frequency_class, scores, valuation, with_noise
from clvkit.value import ValueSection

SECTION = ValueSection(margin=0.3, annual_discount_rate=0.10, horizon_months=36, posterior_draws=50)
PLACE = {"minor_per_unit": 100, "days_per_year": 365.25}


@pytest.fixture(scope="module")
def value(cdnow_posteriors, cdnow_fits, cdnow_cells, cdnow_customers):
    """Value the sample; ``sampled=False`` at the estimates alone."""

    def make(section=SECTION, name="paretonbd", sampled=True, seed=1):
        fits = cdnow_posteriors if sampled else cdnow_fits
        return valuation(
            fits[name], fits["gammagamma"], cdnow_cells, cdnow_customers, section,
            as_of=date(1997, 9, 30), grain="month", currency="USD", seed=seed, **PLACE,
        )  # fmt: skip

    return make


@pytest.fixture(scope="module")
def valued(value):
    return value()


def with_terms(**values):
    return SECTION.model_copy(update=values)


def test_groups_of_every_scheme_add_up_to_equity(valued):
    equity = valued.estimates["customer_equity"]
    assert set(valued.groups) == {"frequency_class", "cohort", "segment"}
    for groups in valued.groups.values():
        assert groups["value"].sum() == pytest.approx(equity.value, rel=1e-10)
        assert groups["mle"].sum() == pytest.approx(equity.mle, rel=1e-10)
        assert groups["share"].sum() == pytest.approx(1)
        assert groups["customers"].sum() == valued.customers == 2357
        assert groups["alive"].sum() == pytest.approx(valued.estimates["customers_alive"].value)
        assert groups["purchases"].sum() == pytest.approx(valued.estimates["purchases_expected"].value)
        assert np.all((groups["low"] < groups["value"]) & (groups["value"] < groups["high"]))
    assert list(valued.groups["cohort"]["group"]) == ["Jan 1997", "Feb 1997", "Mar 1997"]
    assert list(valued.groups["frequency_class"]["customers"]) == [1411, 439, 214, 162, 102, 29]


def test_mean_value_times_customers_is_equity(valued):
    mean, equity = valued.estimates["clv_mean"], valued.estimates["customer_equity"]
    for figure in ("value", "low", "high", "mle"):
        assert getattr(mean, figure) * 2357 == pytest.approx(getattr(equity, figure))


def test_intervals(valued):
    """Expected intervals bracket their figure; outcomes add luck around the same mean, and say so."""
    for estimate in valued.estimates.values():
        assert estimate.low < estimate.value < estimate.high
        assert estimate.low < estimate.mle < estimate.high
        assert estimate.interval == 0.9
    for outcome, expected in (("customer_equity_outcome", "customer_equity"),
                              ("purchases_outcome", "purchases_expected")):  # fmt: skip
        wide, narrow = valued.estimates[outcome], valued.estimates[expected]
        assert (wide.kind, narrow.kind) == ("outcome", "expected")
        assert wide.value == narrow.value and wide.unit == narrow.unit
        assert wide.high - wide.low > narrow.high - narrow.low
    narrower = with_noise(valued.estimates["customer_equity"], np.arange(101.0))
    assert (narrower.low, narrower.high) == pytest.approx((5.0, 95.0))


def test_path_rises_to_the_lifetime(valued):
    path = valued.path
    assert list(path["months"]) == [6, 12, 18, 24, 30, 36, math.inf]
    assert np.all(np.diff(path[["value", "low", "high", "mle"]], axis=0) > 0)
    at_horizon = path[path["months"] == 36].iloc[0]
    assert at_horizon["value"] == valued.estimates["customer_equity"].value
    assert path["value"].iloc[-1] == valued.estimates["customer_equity_lifetime"].value


def test_without_discounting_a_lifetime_has_no_value(value):
    undiscounted = value(with_terms(annual_discount_rate=0.0, posterior_draws=50))
    assert "customer_equity_lifetime" not in undiscounted.estimates
    assert np.isfinite(undiscounted.path["months"]).all()


@pytest.mark.parametrize("months", [0.01, 7.5, 100])
def test_any_horizon(value, months):
    found = value(with_terms(horizon_months=months), sampled=False)
    assert found.path["months"].iloc[-2] == months
    assert np.all(np.diff(found.path["value"]) > 0)


def test_margin_scales_everything(value):
    once, twice = value(sampled=False), value(with_terms(margin=0.6), sampled=False)
    for name in ("customer_equity", "customer_equity_lifetime", "clv_mean"):
        assert twice.estimates[name].value == pytest.approx(2 * once.estimates[name].value)
    assert twice.estimates["customer_equity_outcome"].low == pytest.approx(
        2 * once.estimates["customer_equity_outcome"].low
    )
    assert twice.estimates["purchases_expected"] == once.estimates["purchases_expected"]


@pytest.mark.parametrize("name", ["bgnbd", "paretonbd"])
def test_scores_of_customers_sum_to_equity(value, cdnow_posteriors, cdnow_customers, monkeypatch, name):
    """Each customer valued alone: to a relative 1e-9, also in small blocks."""
    fit, spend = cdnow_posteriors[name], cdnow_posteriors["gammagamma"]
    estimates = value(name=name).estimates
    for block in (module.BLOCK, 30_000):
        monkeypatch.setattr(module, "BLOCK", block)
        each = scores(fit, spend, cdnow_customers, SECTION, **PLACE)
        assert (each["n"] * each["clv"]).sum() == pytest.approx(estimates["customer_equity"].value, rel=1e-9)
    assert np.all((each["clv_low"] < each["clv"]) & (each["clv"] < each["clv_high"]))
    assert np.all((each["p_alive"] > 0) & (each["p_alive"] <= 1))
    bought = (each["n"] * each["purchases"]).sum()
    assert bought == pytest.approx(estimates["purchases_expected"].value, rel=1e-9)
    keys = ["frequency", "recency_days", "T_days", "spend_minor"]
    assert len(each.merge(cdnow_customers, on=keys)) == len(cdnow_customers)


def test_without_a_posterior_there_is_no_interval_but_there_is_luck(value, cdnow_fits, cdnow_customers):
    plain = value(sampled=False)
    equity = plain.estimates["customer_equity"]
    assert equity.low is None and equity.high is None and equity.value == pytest.approx(equity.mle)
    assert plain.groups["cohort"]["low"].isna().all()
    assert plain.wider_priors is None
    outcome = plain.estimates["customer_equity_outcome"]
    assert outcome.low < equity.value < outcome.high


def test_priors_twice_as_wide_matter_little_here(valued):
    equity = valued.estimates["customer_equity"]
    assert equity.low < valued.wider_priors < equity.high
    assert valued.wider_priors != equity.value


def test_the_same_inputs_give_the_same_numbers(value, valued):
    again, other = value(), value(seed=2)
    assert again.estimates == valued.estimates
    pd.testing.assert_frame_equal(again.path, valued.path)
    assert other.estimates["customer_equity"] == valued.estimates["customer_equity"]
    assert other.estimates["customer_equity_outcome"] != valued.estimates["customer_equity_outcome"]


def test_saved_and_loaded(valued, value, tmp_path):
    for made in (valued, value(sampled=False)):
        made.save(tmp_path / str(id(made)))
        loaded = Valuation.load(tmp_path / str(id(made)))
        assert (loaded.estimates, loaded.terms, loaded.customers) == (
            made.estimates,
            made.terms,
            made.customers,
        )
        pd.testing.assert_frame_equal(loaded.path, made.path, check_dtype=False)
        for name, frame in made.groups.items():
            pd.testing.assert_frame_equal(loaded.groups[name], frame)


def test_classes_of_frequency():
    found = frequency_class([0, 1, 2, 3, 4, 5, 9, 10, 300])
    assert list(found.codes) == [0, 1, 2, 3, 3, 4, 4, 5, 5]
    assert list(found.categories) == [label for _, label in module.CLASSES]
    assert list(frequency_class([0, 12]).categories) == ["no repeat purchase", "10 or more repeats"]


@pytest.mark.parametrize("grain", ["day", "week", "month", "quarter"])
def test_cohorts_are_in_order_of_time(grain):
    """The age of a customer tells the day of its first purchase."""
    found = cohort_labels(np.array([0, 29, 30, 272]), date(1997, 9, 30), grain)
    assert list(found.codes) == sorted(found.codes, reverse=True)
    assert len(found.categories) == {"day": 4, "week": 4, "month": 3, "quarter": 2}[grain]
