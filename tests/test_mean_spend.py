"""A mean spend that the data cannot know: the value stays a number, rests on what was seen, and says so."""

from dataclasses import replace
from datetime import date

import cdnow_frames
import numpy as np
import pandas as pd
import pytest

from clvkit import processes
from clvkit.chapters import value as chapter
from clvkit.diagnostics import MOST_UNKNOWN, fit_checks
from clvkit.fit import Fit
from clvkit.fitting import fit_spend
from clvkit.forecast import forecast
from clvkit.models_section import ModelsSection
from clvkit.sensitivity import SensitivitySection, one_way
from clvkit.valuation import scores, valuation
from clvkit.value import Future, Terms, ValueSection, sweep

GAMMAGAMMA = processes.get("gammagamma")
SEEN = {"mean_spend": 36.0, "largest_spend": 300.0}
VALUE = ValueSection(margin=0.3, annual_discount_rate=0.1, horizon_months=36, posterior_draws=60)
MONEY = {"minor_per_unit": 100, "days_per_year": 365.25}


def heavy(q=0.7, customers=600, seed=3):
    """Spend cells of customers whose mean amounts have no mean: some are enormous."""
    rng = np.random.default_rng(seed)
    x = rng.geometric(0.4, customers)
    spend = x * GAMMAGAMMA.simulate_means((6.0, q, 15.0), x, rng)
    cells = pd.DataFrame({"frequency": x, "spend_minor": np.maximum(np.round(100 * spend), 1).astype(int)})
    return cells.groupby(["frequency", "spend_minor"], as_index=False).size().rename(columns={"size": "n"})


def with_unknown(share, draws=200):
    """CDNOW's spend with a posterior of which a share of draws has no mean."""
    spend = cdnow_frames.with_posterior(cdnow_frames.fit("gammagamma"), draws=draws)
    drawn = spend.draws.copy()
    drawn[0, : round(share * draws), 1] = 0.9
    return replace(spend, draws=drawn)


def check(spend):
    return next(one for one in fit_checks(spend) if one.id == "fit.gammagamma.mean_spend")


def at(spend, parameters, customers, process="paretonbd"):
    """Value of the customers (frequency, recency, T, spend) at the estimate of the process."""
    fit, terms = cdnow_frames.fit(process), Terms(0.3, 0.10, 3 * 365.25)
    cells = pd.DataFrame(customers, columns=["frequency", "recency_days", "T_days", "spend_minor"]).assign(
        n=1
    )
    each = sweep(fit, spend, (fit.mle[None], np.atleast_2d(parameters)), cells, [np.arange(len(cells))],
                 [(terms, Future())], 100)[0][0]  # fmt: skip
    return each.value[0] / 0.3, each


class TestFormula:
    def test_which_means_the_data_cannot_know(self):
        """None (q ≤ 1), or one above the largest average seen; with μ = pγ/(q − 1) of 90/(q − 1)."""
        q = np.array([0.3, 1.0, 1 + 1e-9, 1.29, 1.31, 3.74])
        draws = np.stack([np.full(6, 6.0), q, np.full(6, 15.0)], axis=1)
        np.testing.assert_array_equal(
            GAMMAGAMMA.unknown_mean(draws, SEEN), [True, True, True, True, False, False]
        )
        assert GAMMAGAMMA.unknown_mean(draws[0], SEEN).shape == ()

    def test_customers_who_all_spend_alike_have_no_tail(self):
        """A mean a little above the one average that was seen is no sign of enormous amounts; twice it is."""
        alike = {"mean_spend": 36.0, "largest_spend": 36.0}
        assert not GAMMAGAMMA.unknown_mean([1e4, 1e4, 36.0], alike)
        assert GAMMAGAMMA.unknown_mean([6.0, 2.0, 12.1], alike)

    @pytest.mark.parametrize("q", [0.05, 0.9, 1.0, 1.0 + 1e-13, 1.2])
    def test_a_weighted_mean_of_own_and_observed_average(self, q):
        x, total = np.array([0, 1, 3, 250]), np.array([0.0, 80.0, 90.0, 1e5])
        base, slope = GAMMAGAMMA.expected_spend((6.0, q, 15.0), x, SEEN)
        weight = np.where(x > 0, 6.0 * x / np.where(x > 0, 6.0 * x + max(q - 1, 0), 1), 0.0)
        own = total / np.maximum(x, 1)
        np.testing.assert_allclose(base + slope * total, weight * own + (1 - weight) * 36.0, rtol=1e-11)

    def test_other_draws_are_not_touched(self):
        draws = np.array([[6.25, 3.74, 15.44], [6.0, 0.9, 15.0], [4.0, 2.5, 20.0]])
        x = np.array([0, 1, 7])
        plain, kept = GAMMAGAMMA.expected_spend(draws, x), GAMMAGAMMA.expected_spend(draws, x, SEEN)
        for one, other in zip(plain, kept, strict=True):
            np.testing.assert_array_equal(one[[0, 2]], other[[0, 2]])
        assert np.isinf(plain[0][1, 0]) and kept[0][1, 0] == pytest.approx(36.0)


class TestFit:
    def test_what_was_seen_travels_with_the_fit(self, tmp_path):
        """Averages per purchase of repeat customers with a positive total, in major units."""
        cells = pd.DataFrame(
            {"frequency": [1, 2, 4, 3, 0], "spend_minor": [1000, 5000, 8000, -10, 0], "n": [2, 1, 1, 9, 9]}
        )
        spend = fit_spend(cells, ModelsSection(), 100, sample=False)
        assert spend.observed == {"mean_spend": (2 * 10 + 25 + 20) / 4, "largest_spend": 25.0}
        spend.save(tmp_path)
        assert Fit.load(tmp_path).observed == spend.observed
        assert cdnow_frames.fit("bgnbd").observed == {}

    def test_cents_and_dollars(self):
        dollars, cents = (fit_spend(heavy(), ModelsSection(), minor, sample=False) for minor in (100, 1))
        for name, seen in dollars.observed.items():
            assert cents.observed[name] == pytest.approx(100 * seen, rel=1e-12)
        x, total = np.array([0, 1, 5]), np.array([0.0, 20.0, 400.0])
        one, other = (fit.model.expected_spend(fit.mle, x, fit.observed) for fit in (dollars, cents))
        np.testing.assert_allclose(
            other[0] + other[1] * 100 * total, 100 * (one[0] + one[1] * total), rtol=1e-9
        )

    def test_heavy_tails_are_named(self):
        spend = fit_spend(heavy(), ModelsSection(), 100, sample=False)
        assert spend.mle[1] < 1
        found = check(spend)
        assert (found.status, found.value) == ("fail", 1.0)
        assert "at the estimate" in found.message and "enormous amounts" in found.message
        assert "chapter 1" in found.recommendation


class TestCheck:
    def test_an_ordinary_spend_passes(self):
        found = check(with_unknown(0))
        assert (found.status, found.value, found.recommendation) == ("pass", 0.0, "")
        assert "the data can know" in found.message

    @pytest.mark.parametrize(
        ("share", "status"), [(0.02, "review"), (MOST_UNKNOWN, "review"), (0.06, "fail")]
    )
    def test_few_draws_are_put_up_for_review_and_many_fail(self, share, status):
        found = check(with_unknown(share))
        assert (found.status, found.value) == (status, share)
        assert f"in {100 * share:.1f} % of the posterior draws" in found.message.replace(
            "\N{NO-BREAK SPACE}", " "
        )
        assert "customers without a repeat purchase rests on the observed mean" in found.message

    def test_an_estimate_without_a_mean_fails_whatever_the_draws(self):
        spend = with_unknown(0)
        found = check(replace(spend, mle=np.array([6.0, 0.8, 15.0])))
        assert (found.status, found.value) == ("fail", 0.0)


class TestValue:
    def test_a_single_purchaser_is_worth_the_observed_mean_and_a_repeater_her_own(self):
        spend, fit = cdnow_frames.fit("gammagamma"), cdnow_frames.fit("paretonbd")
        customers = [(0, 0, 200, 0), (4, 150, 200, 16_000), (4, 150, 200, 400_000)]
        worth, totals = at(spend, (6.0, 0.9, 15.0), customers)
        terms = Terms(0.3, 0.10, 3 * 365.25)
        x, t_x, T = (np.array(column, float) for column in list(zip(*customers, strict=True))[:3])
        bought = fit.model.conditional(
            fit.mle, x.astype(int), t_x / 7, T / 7, terms.horizon_days / 7, terms.force(7)
        )
        np.testing.assert_allclose(worth / bought, [spend.observed["mean_spend"], 40.0, 1000.0], rtol=1e-9)
        assert np.isfinite(totals.value).all()

    @pytest.fixture
    def spend(self):
        return with_unknown(0.25)

    def test_everything_stays_finite(self, spend):
        fit = cdnow_frames.with_posterior(cdnow_frames.fit("paretonbd"))
        cells, customers = cdnow_frames.cells(), cdnow_frames.customers()
        found = valuation(fit, spend, cells, customers, VALUE, as_of=date(1998, 6, 30), grain="month",
                          currency="USD", seed=1, **MONEY)  # fmt: skip
        for one in found.estimates.values():
            assert np.isfinite([one.value, one.low, one.high, one.mle]).all()
        for frame in (*found.groups.values(), found.path.drop(columns="months")):
            assert np.isfinite(frame.select_dtypes("number").to_numpy()).all()
        each = scores(fit, spend, customers.head(40), VALUE, seed=2, **MONEY)
        assert np.isfinite(each[["clv", "clv_low", "clv_high", "outcome_high"]].to_numpy()).all()
        moved = one_way(fit, spend, cells, VALUE, SensitivitySection(), currency="USD", **MONEY)
        assert np.isfinite(moved.drivers.select_dtypes("number").to_numpy()).all()
        rows = customers.assign(n_holdout=0)
        ahead = forecast(
            fit, spend, rows, 90, {}, draws=40, interval=0.9, currency="USD", minor_per_unit=100, seed=3
        )
        assert np.isfinite([ahead.value.value, ahead.value.high, ahead.value.mle]).all()

    def test_the_chapter_says_what_the_value_rests_on(self, spend):
        fit = cdnow_frames.with_posterior(cdnow_frames.fit("paretonbd"))
        cells, customers = cdnow_frames.cells(), cdnow_frames.customers()
        make = {"as_of": date(1998, 6, 30), "grain": "month", "currency": "USD", "seed": 1} | MONEY
        found = valuation(fit, spend, cells, customers, VALUE, **make)
        ordinary = chapter.who_they_are(found, with_unknown(0)).text
        assert "valued at the mean spend of the whole population." in ordinary and "observed" not in ordinary
        said = chapter.who_they_are(found, spend).text.replace("\N{NO-BREAK SPACE}", " ")
        share = found.groups["frequency_class"].set_index("group").loc["no repeat purchase", "share"]
        assert f"hold {100 * share:.1f} % of the value" in said
        assert (
            "in 25.0 % of the posterior draws, at the observed mean of repeat customers' averages, USD 35.78"
            in said
        )
        table = chapter.spend_by_class(
            replace(spend, mle=spend.draws[0, 0], draws=None), cdnow_frames.spend_cells(), 100, "USD"
        )
        assert "valued at the observed mean of repeat customers' averages" in table.note
        assert table.frame["expected"].iloc[0] == pytest.approx(spend.observed["mean_spend"])
