from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from purchase_worlds import START, bgnbd, constant, ledger_of, log_of
from pydantic import ValidationError

from clvkit import retention as retention_module
from clvkit.retention import ProcessCurve, Retention, RetentionSection, measure_retention
from clvkit.survival import curve_at, kaplan_meier, spell_cells, spells

PARAMS, AS_OF_DAY = (0.6, 30.0, 0.8, 2.4), 500
AS_OF = START + timedelta(days=AS_OF_DAY)
SECTION = RetentionSection(
    silence_days=90,
    compare_silence_days=(60, 120),
    ages_days=(0, 30, 90, 180, 365),
    horizon_days=400,
    simulations=10,
    min_at_risk=20,
)


@pytest.fixture(scope="module")
def ledger():
    """3,000 customers who arrive evenly over the 500 days before the as-of date."""
    rng = np.random.default_rng(8)
    return ledger_of(log_of(bgnbd, PARAMS, np.sort(rng.integers(0, AS_OF_DAY, 3000)), AS_OF_DAY, rng))


@pytest.fixture(scope="module")
def retention(ledger) -> Retention:
    return measure_retention(ledger, SECTION, AS_OF)


def test_every_customer_is_lost_or_censored_or_too_new(retention):
    total = retention.total
    assert total["customers"] == 3000
    assert total["judged"] + total["too_new"] == total["customers"]
    assert total["lost"] + total["censored"] == total["judged"]
    assert 0 < total["returned"] < total["lost"]
    assert total["too_new"] > 0
    assert retention.curve["lost"].sum() == total["lost"]
    assert retention.curve["censored"].sum() == total["censored"]


def test_a_cohort_too_new_to_be_judged_is_counted_and_has_no_curve(retention):
    youngest = retention.counts.iloc[-1]
    assert (youngest["judged"], youngest["too_new"]) == (0, youngest["customers"])
    assert youngest["label"] not in set(retention.by_cohort["label"])


def test_each_cohorts_curve_is_the_curve_of_its_customers(retention, ledger):
    cells = spell_cells(spells(ledger, 90, "month", AS_OF))
    first = cells[cells["cohort_index"] == cells["cohort_index"].min()]
    mine = retention.by_cohort[retention.by_cohort["label"] == "Jan 2020"].drop(columns=["cohort", "label"])
    pd.testing.assert_frame_equal(mine.reset_index(drop=True), kaplan_meier(first, 0.9))


def test_the_curve_starts_below_one_at_the_share_who_bought_again_in_time(retention, ledger):
    purchases = ledger.to_pandas()
    purchases["day"] = pd.to_datetime(purchases["day"])
    start = purchases.groupby("customer")["day"].min()
    judged = start[(pd.Timestamp(AS_OF) - start).dt.days >= 90]
    second = purchases[purchases["day"] > purchases["customer"].map(start)].groupby("customer")["day"].min()
    soon = (second.reindex(judged.index) - judged).dt.days <= 90
    assert retention.at((0,))["survival"].item() == pytest.approx(soon.mean(), rel=1e-12)


def test_cohorts_drawn_alike_are_not_told_apart_and_mixed_ones_are(retention):
    assert retention.cohorts_p > 0.01
    rng = np.random.default_rng(4)
    first = np.repeat([0, 40], 1000)
    good, bad = (log_of(bgnbd, (r, 30.0, 0.8, 2.4), first, AS_OF_DAY, rng) for r in (0.9, 0.3))
    mixed = pd.concat([good[good["customer"] < 1000], bad[bad["customer"] >= 1000]])
    assert measure_retention(ledger_of(mixed), SECTION, AS_OF).cohorts_p < 1e-6


def test_a_longer_silence_counts_fewer_as_lost_and_errs_less_often(retention):
    choices = retention.choices
    assert list(choices["silence_days"]) == [60, 90, 120]
    assert choices["repeat_share"].is_monotonic_increasing
    assert choices["survival"].is_monotonic_increasing
    assert choices["returned_share"].is_monotonic_decreasing
    # the longest silence has fewer than 20 customers at risk at a year: compared half a year after the first
    assert set(choices["at_days"]) == {180}
    assert choices.loc[1, "survival"] == retention.at((180,))["survival"].item()


def test_the_order_of_rows_changes_nothing(retention, ledger):
    shuffled = ledger.to_pandas().sample(frac=1, random_state=1)
    import ibis

    again = measure_retention(ibis.memtable(shuffled, schema=ledger.schema()), SECTION, AS_OF)
    for name in ("curve", "by_cohort", "counts", "choices"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(retention, name))


def test_a_business_younger_than_the_silence_cannot_be_judged(ledger):
    young = measure_retention(ledger, SECTION, START + timedelta(days=80))
    total = young.total
    assert (total["judged"], total["too_new"]) == (0, total["customers"])
    assert young.curve.empty
    assert young.by_cohort.empty
    # a shorter silence can be judged
    assert list(young.choices["judged"] > 0) == [True, False, False]
    assert np.isnan(young.cohorts_p)


def test_saved_and_loaded_retention_is_the_same(retention, tmp_path):
    retention.save(tmp_path / "retention")
    loaded = Retention.load(tmp_path / "retention")
    assert (loaded.silence_days, loaded.as_of, loaded.grain, loaded.interval) == (90, AS_OF, "month", 0.9)
    assert loaded.cohorts_p == retention.cohorts_p
    for name in ("curve", "by_cohort", "counts", "choices"):
        pd.testing.assert_frame_equal(getattr(loaded, name), getattr(retention, name))


# --- the same rule on a process ---------------------------------------------------------------------


@pytest.mark.parametrize("unit_days", [1, 7])
def test_the_true_process_gives_the_customers_curve(retention, unit_days):
    params = (PARAMS[0], PARAMS[1] / unit_days, *PARAMS[2:])
    curve = process_curve(bgnbd, params, SECTION, unit_days=unit_days, customers=retention.total["judged"])
    ages = (0, 30, 90, 180, 365)
    seen = curve_at(kaplan_meier_wide(retention), ages)
    said = curve.at(ages)
    assert ((seen["low"] <= said["survival"]) & (said["survival"] <= seen["high"])).all()
    assert curve.frame["survival"].is_monotonic_decreasing
    assert (curve.frame["low"] <= curve.frame["high"]).all()


def process_curve(simulate, params, section=SECTION, **about):
    return retention_module.process_curve(
        simulate, params, section, process="made_up", label="Made up", **{"unit_days": 1} | about
    )


def kaplan_meier_wide(retention):
    """The customers' curve with bands that are wrong once in a thousand."""
    cells = retention.curve.rename(columns={"day": "duration_days"})
    cells = cells.melt("duration_days", ["lost", "censored"], "what", "n")
    return kaplan_meier(cells[cells["n"] > 0].assign(lost=cells["what"] == "lost"), 0.999)


def test_a_constant_rate_has_the_curve_it_must_have():
    # The first silence of more than H days (times rounded) is longer than H + ½ days.
    section = SECTION.model_copy(update={"silence_days": 20, "simulations": 20})
    curve = process_curve(constant, (1 / 10,), section, customers=20_000)
    assert curve.at((0,))["survival"].item() == pytest.approx(1 - np.exp(-20.5 / 10), abs=0.002)


def test_draws_of_parameters_widen_the_band():
    one = process_curve(bgnbd, PARAMS, customers=5000)
    draws = np.tile(PARAMS, (50, 1)) * np.linspace(0.7, 1.4, 50)[:, None] ** [1, 0, 0, 0]
    many = process_curve(bgnbd, draws, customers=5000)
    width = [(c.frame["high"] - c.frame["low"]).iloc[0] for c in (one, many)]
    assert width[1] > 2 * width[0]


def test_the_same_seed_gives_the_same_curve_and_another_one_another():
    first, again = (process_curve(bgnbd, PARAMS, customers=500) for _ in range(2))
    pd.testing.assert_frame_equal(first.frame, again.frame)
    other = process_curve(bgnbd, PARAMS, SECTION.model_copy(update={"seed": 1}), customers=500)
    assert not other.frame.equals(first.frame)


def test_every_fit_gets_its_curve_for_as_many_customers_as_are_judged(retention):
    model = SimpleNamespace(simulate=bgnbd, label="BG/NBD")
    fit = SimpleNamespace(process="bgnbd", model=model, flat=np.array([PARAMS]), unit_days=1)
    (curve,) = retention_module.process_curves([fit], retention, SECTION)
    assert (curve.process, curve.label) == ("bgnbd", "BG/NBD")
    assert curve.customers == retention.total["judged"]


def test_a_process_curve_is_saved_and_read_beyond_its_horizon(tmp_path):
    curve = process_curve(bgnbd, PARAMS, customers=500)
    curve.save(tmp_path / "curve")
    loaded = ProcessCurve.load(tmp_path / "curve")
    pd.testing.assert_frame_equal(loaded.frame, curve.frame)
    assert (loaded.process, loaded.label) == ("made_up", "Made up")
    assert (loaded.silence_days, loaded.customers, loaded.simulations) == (90, 500, 10)
    assert list(loaded.at((400, 401))["survival"].isna()) == [False, True]


# --- the section ------------------------------------------------------------------------------------


def test_ages_are_sorted_and_stated_once():
    assert RetentionSection(ages_days=(180, 0, 180)).ages_days == (0, 180)


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("ages_days", (-1,), "whole days, 0 or more"),
        ("compare_silence_days", (0,), "whole days, 1 or more"),
        ("interval", 90, r"between 0 and 1.*0\.9"),
        ("silence_days", 0, "greater than 0"),
    ],
)
def test_nonsense_is_refused(field, value, rule):
    with pytest.raises(ValidationError, match=rule):
        RetentionSection(**{field: value})
