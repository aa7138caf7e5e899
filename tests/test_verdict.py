from dataclasses import replace

import backtest_worlds as worlds
import pytest

from clvkit.backtest import BacktestSection
from clvkit.estimate import Estimate
from clvkit.verdict import RULES, adjusted_range, checks, judge


def tried(bias=0.0, bias_value=0.0, low=0.9, high=1.1):
    """A real back-test with its totals put where a test wants them; the interval as shares of actual."""
    b = worlds.with_posterior().latest
    purchases, revenue = b.actual["transactions"], b.actual["value"]
    return replace(
        b,
        accuracy=replace(b.accuracy, bias=bias, predicted=purchases * (1 + bias)),
        predicted={
            "transactions": Estimate(purchases * (1 + bias), purchases * low, purchases * high),
            "value": Estimate(revenue * (1 + bias_value), revenue * low, revenue * high),
        },
    )


def level(b, rule, section=worlds.SECTION):
    return {one.rule: one.level for one in judge(b, section).findings}.get(rule)


@pytest.mark.parametrize(
    ("bias", "expected"),
    [
        (0, "good"),
        (0.0499, "good"),
        (-0.0499, "good"),
        (0.051, "fair"),
        (-0.0999, "fair"),
        (0.101, "poor"),
        (-0.13, "poor"),
    ],
)
def test_the_bias_of_the_total_decides(bias, expected):
    assert level(tried(bias), "bias") == expected
    assert level(tried(bias_value=bias), "bias_value") == expected
    assert judge(tried(bias), worlds.SECTION).level == expected
    assert judge(tried(bias_value=bias), worlds.SECTION).level == expected


def test_thresholds_come_from_the_study():
    strict = BacktestSection(fair_bias=0.01, poor_bias=0.02)
    assert judge(tried(0.03), strict).level == "poor"
    lenient = BacktestSection(fair_bias=0.2, poor_bias=0.5)
    assert judge(tried(-0.13), lenient).level == "good"
    with pytest.raises(ValueError, match="must not be below fair_bias"):
        BacktestSection(fair_bias=0.1, poor_bias=0.05)


def test_outside_the_interval_is_fair_at_best():
    assert level(tried(low=0.9, high=0.99), "interval") == "fair"
    assert judge(tried(low=1.01, high=1.2), worlds.SECTION).level == "fair"
    assert level(tried(), "interval") == "good"


def test_a_fit_without_a_posterior_is_not_judged_by_the_interval_of_its_total():
    found = {one.rule for one in worlds.at_mle().latest.verdict.findings}
    assert "interval" not in found
    assert {"bias", "baselines", "baselines_beaten", "coverage"} <= found


@pytest.mark.parametrize(("mae", "rmse", "expected"), [(0.1, 0.1, "good"), (9.0, 0.1, "fair"), (0.1, 9.0, "fair"),
                                                       (9.0, 9.0, "poor")])  # fmt: skip
def test_simple_rules_must_be_beaten(mae, rmse, expected):
    b = tried()
    b = replace(b, accuracy=replace(b.accuracy, mae=mae, rmse=rmse))
    assert level(b, "baselines_beaten") == expected


def test_fewer_customers_inside_than_expected_is_reviewed():
    short = replace(tried(), coverage=0.90, coverage_expected=0.96)
    assert level(short, "coverage") == "fair"
    assert level(replace(short, coverage=0.92), "coverage") == "good"
    assert level(replace(short, coverage=0.99), "coverage") == "good"


def test_a_fit_that_did_not_converge_is_named():
    b = tried()
    odd = replace(b.fit, diagnostics=b.fit.diagnostics | {"r_hat_max": 1.2})
    assert level(replace(b, fit=odd), "fits") == "fair"
    assert level(b, "fits") == "good"


@pytest.mark.parametrize("missing", ["last_period", "segment_mean", "hiatus"])
def test_the_run_fails_where_a_baseline_is_missing(missing):
    b = tried()
    b = replace(b, baselines={name: one for name, one in b.baselines.items() if name != missing})
    b = replace(b, verdict=judge(b, worlds.SECTION))
    assert b.verdict.level == "poor"
    stops = [check for check in checks([b]) if check.stops]
    assert [check.id for check in stops] == ["backtest.baselines"]
    assert missing in stops[0].message


def test_leaving_a_baseline_out_of_the_study_fails_the_run():
    section = worlds.SECTION.model_copy(update={"baselines": ("last_period",)})
    made = worlds.run(section=section)
    assert [check.id for check in made.checks() if check.stops] == ["backtest.baselines"]


def test_no_baseline_at_all_fails_the_run():
    made = worlds.run(section=worlds.SECTION.model_copy(update={"baselines": ()}))
    assert "backtest.baselines" in [check.id for check in made.checks() if check.stops]


def test_a_poor_verdict_does_not_stop_the_run():
    made = worlds.with_posterior()
    assert made.latest.verdict.level == "poor"
    assert not any(check.stops for check in made.checks())
    bias = next(check for check in made.checks() if check.id == "backtest.bias")
    assert (bias.status, bias.chapter, bias.threshold) == ("fail", "05_backtest", 0.10)
    assert bias.value == made.latest.accuracy.bias and bias.recommendation


def test_the_checks_show_the_worst_origin():
    both = [replace(b, verdict=judge(b, worlds.SECTION)) for b in (tried(0.02), tried(-0.2))]
    both = [replace(both[0], origin=both[0].origin.replace(year=1996)), both[1]]
    found = {check.id: check for check in checks(both)}
    assert found["backtest.bias"].value == -0.2
    assert found["backtest.bias"].message == (
        "Forecast from 30 September 1997: purchases were forecast 20.0 % too low (poor beyond 10 %); "
        "from 30 September 1996: good."
    )


def test_of_origins_that_came_out_alike_the_latest_is_told():
    both = [replace(b, verdict=judge(b, worlds.SECTION)) for b in (tried(-0.4), tried(-0.2))]
    both = [replace(both[0], origin=both[0].origin.replace(year=1996)), both[1]]
    found = {check.id: check for check in checks(both)}
    assert found["backtest.bias"].value == -0.2
    assert found["backtest.bias"].message.endswith("; from 30 September 1996: poor.")


def test_no_back_test_is_put_up_for_review():
    (check,) = checks([])
    assert (check.id, check.status) == ("backtest.made", "review")


def test_the_reason_names_everything_that_is_not_good():
    verdict = judge(tried(-0.13, low=0.8, high=0.95), worlds.SECTION)
    assert verdict.level == "poor"
    assert "13.0 % too low" in verdict.reason and "interval" in verdict.reason
    assert verdict.reason[0].isupper() and verdict.reason.endswith(".")
    assert "(good within 5 %)" in judge(tried(0.01), worlds.SECTION).reason


def test_every_rule_has_words():
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert all(rule.title and rule.advice.endswith(".") for rule in RULES)


class TestRange:
    EQUITY = Estimate(100.0, 90.0, 110.0, unit="USD")

    def test_too_low_a_forecast_lifts_the_upper_end(self):
        wide = adjusted_range(self.EQUITY, [tried(-0.2, -0.5)])
        assert (wide.low, wide.high) == (90, pytest.approx(220))  # revenue came to twice the forecast
        assert wide.ratios == pytest.approx((1.25, 2.0))

    def test_too_high_a_forecast_lowers_the_lower_end(self):
        wide = adjusted_range(self.EQUITY, [tried(0.25, 0.0)])
        assert (wide.low, wide.high) == (pytest.approx(72), 110)

    def test_several_back_tests_widen_both_ends(self):
        wide = adjusted_range(self.EQUITY, [tried(0.25), tried(-0.2)])
        assert (wide.low, wide.high) == (pytest.approx(72), pytest.approx(137.5))

    def test_a_forecast_that_was_right_changes_nothing(self):
        wide = adjusted_range(self.EQUITY, [tried()])
        assert (wide.low, wide.high, wide.missed) == (90, 110, False)

    def test_it_says_whether_an_interval_was_missed(self):
        assert adjusted_range(self.EQUITY, [tried(-0.13, low=0.8, high=0.95)]).missed

    def test_without_a_posterior_the_value_stands_for_both_ends(self):
        wide = adjusted_range(Estimate(100.0), [tried(-0.2)])
        assert (wide.low, wide.high) == (100, pytest.approx(125))

    def test_without_back_tests_there_is_none(self):
        assert adjusted_range(self.EQUITY, []) is None
