import json
from datetime import date
from types import SimpleNamespace

import pandas as pd
import pytest

from clvkit.champion import choose
from clvkit.chapters.choice import comparison
from clvkit.recorder import plain_json

FIRST, LATER, AS_OF = date(1997, 6, 30), date(1997, 9, 30), date(1998, 6, 30)


def fit(name, bic, customers=100):
    process = name.removesuffix("_by_segment")
    return SimpleNamespace(
        process=process,
        label=name.upper(),
        log_likelihood=-bic / 2,
        aic_bic=lambda: (bic, bic),
        customers=customers,
    )


RULES = {
    "last_period": SimpleNamespace(
        label="the last period repeated", accuracy=SimpleNamespace(bias=0.2, rmse=1.75)
    ),
    "class_mean": SimpleNamespace(
        label="the mean of the class", accuracy=SimpleNamespace(bias=-0.3, rmse=1.55)
    ),
}


def tried(process, origin, bias, rmse, rules=None):
    tenths = pd.DataFrame({"predicted": [5.0, 9.0], "actual": [4.0, 11.0], "customers": [10, 10]})
    at_mle = SimpleNamespace(bias=bias, rmse=rmse)
    end = LATER if origin == FIRST else AS_OF
    return SimpleNamespace(
        process=process,
        origin=origin,
        end=end,
        at_mle=at_mle,
        coverage=0.93,
        tables={"calibration": tenths},
        baselines=rules or {},
        refused=(),
    )


FITS = {"bgnbd": fit("bgnbd", 110.0), "mbgnbd": fit("mbgnbd", 100.0), "paretonbd": fit("paretonbd", 105.0)}


def test_the_total_decides_among_equals():
    backtests = [
        tried("bgnbd", FIRST, -0.10, 1.61),
        tried("mbgnbd", FIRST, -0.16, 1.60),
        tried("paretonbd", FIRST, 0.08, 1.60),
    ]
    choice = choose(FITS, backtests, "paretonbd")
    assert choice.champion == "paretonbd"
    assert choice.check().status == "pass"
    assert "flatters" in choice.reason  # one date only


def test_a_bad_error_per_customer_rules_a_good_total_out():
    backtests = [
        tried("bgnbd", FIRST, 0.0, 1.70),
        tried("mbgnbd", FIRST, -0.16, 1.60),
        tried("paretonbd", FIRST, 0.20, 1.60),
    ]
    assert choose(FITS, backtests, "mbgnbd").champion == "mbgnbd"


def test_chosen_on_the_first_date_and_quoted_from_the_last():
    backtests = [tried("bgnbd", FIRST, 0.01, 1.0), tried("mbgnbd", FIRST, 0.02, 1.0), tried("paretonbd", FIRST, 0.03, 1.0),
                 tried("bgnbd", LATER, -0.30, 2.0), tried("mbgnbd", LATER, 0.0, 1.0), tried("paretonbd", LATER, 0.0, 1.0)]  # fmt: skip
    choice = choose(FITS, backtests, "paretonbd")
    assert choice.champion == "bgnbd"  # what it did later has no part in the choice
    assert choice.reason == (
        "BGNBD forecast the number of purchases from 30 June 1997 to 30 September 1997 best, 1.0 % too high at maximum "
        "likelihood, among the processes whose error per customer is within 2 % of the least. From 30 September 1997 to 30 June 1998, which "
        "had no part in the choice, it was 30.0 % too low."
    )
    check = choice.check()
    assert (check.status, check.value) == ("review", "bgnbd")
    assert "PARETONBD was 3.0 % too high and then exactly right." in check.message  # what one would give up
    assert "models.headline" in check.recommendation


def test_near_errors_are_told_apart_or_said_to_be_equal():
    far = [tried("bgnbd", FIRST, -0.5, 1.0)]
    near = [tried("mbgnbd", FIRST, -0.18762, 1.0), tried("paretonbd", FIRST, -0.18764, 1.0)]
    message = choose(FITS, far + near, "paretonbd").check().message
    assert "best, 18.762 % too low" in message and "PARETONBD was 18.764 % too low." in message
    equal = [tried("mbgnbd", FIRST, -0.1876, 1.0), tried("paretonbd", FIRST, -0.1876, 1.0)]
    message = choose(FITS, far + equal, "paretonbd").check().message
    assert (
        "best, 18.8 % too low" in message
        and "PARETONBD was 18.8 % too low, the same to the digit." in message
    )


def test_the_results_keep_the_challengers():
    backtests = [tried(name, day, bias, 1.0) for day, bias in ((FIRST, 0.01), (LATER, -0.3)) for name in FITS]
    made = json.loads(json.dumps(plain_json(choose(FITS, backtests, "paretonbd").to_json()), allow_nan=False))
    assert (made["process"], made["headline"]) == ("bgnbd", "paretonbd")
    assert made["reason"].endswith("30.0 % too low.")
    assert made["chosen"] == {"origin": "1997-06-30", "end": "1997-09-30"}
    assert made["quoted"] == {"origin": "1997-09-30", "end": "1998-06-30"}
    assert set(made["processes"]) == set(FITS)
    for name, one in made["processes"].items():
        assert (one["log_likelihood"], one["bic"]) == (FITS[name].log_likelihood, FITS[name].aic_bic()[1])
        assert one["quoted"] == {"bias": -0.3, "rmse": 1.0, "coverage": 0.93, "calibration": 0.15}


def test_where_nobody_bought_the_history_decides():
    backtests = [tried(name, FIRST, None, 1.0) for name in FITS]
    choice = choose(FITS, backtests, "mbgnbd")
    assert choice.champion == "mbgnbd"
    assert "nobody bought again" in choice.reason
    assert choice.to_json()["processes"]["bgnbd"]["chosen"]["bias"] is None


def test_without_a_back_test_the_history_decides():
    choice = choose(FITS, [], "paretonbd")
    assert choice.champion == "mbgnbd"
    assert choice.chosen_on is None
    assert "nothing is known of their errors" in choice.reason


def test_calibration_is_the_gap_per_customer():
    choice = choose(FITS, [tried("bgnbd", FIRST, 0.0, 1.0)], "bgnbd")
    row = choice.table.set_index("process").loc["bgnbd"]
    assert row["calibration_chosen"] == pytest.approx((1 + 2) / 20)
    assert row["coverage_chosen"] == 0.93


def test_a_refinement_has_to_earn_its_parameters():
    fits = FITS | {"paretonbd_by_segment": fit("paretonbd_by_segment", 104.0)}
    others = [tried("bgnbd", FIRST, -0.10, 1.61), tried("mbgnbd", FIRST, -0.16, 1.60)]
    pooled = tried("paretonbd", FIRST, 0.080, 1.60)
    barely = choose(fits, [*others, pooled, tried("paretonbd_by_segment", FIRST, 0.077, 1.60)], "paretonbd")
    assert barely.champion == "paretonbd"
    clearly = choose(fits, [*others, pooled, tried("paretonbd_by_segment", FIRST, 0.02, 1.60)], "paretonbd")
    assert clearly.champion == "paretonbd_by_segment"
    assert clearly.check().recommendation.startswith(
        "Set models.headline to paretonbd, models.segments to 'value', so that the value is computed with PARETONBD_BY_SEGMENT;"
    )


def test_regular_purchases_are_advised_by_their_own_name():
    fits = FITS | {"mbgcnbd": fit("mbgcnbd", 90.0)}
    backtests = [
        tried("bgnbd", FIRST, -0.10, 1.61),
        tried("mbgnbd", FIRST, -0.16, 1.60),
        tried("paretonbd", FIRST, 0.08, 1.60),
        tried("mbgcnbd", FIRST, 0.01, 1.60),
    ]
    advice = choose(fits, backtests, "paretonbd").check().recommendation
    assert advice.startswith("Set models.headline to mbgcnbd, so that the value is computed with")
    refined = FITS | {
        f"paretonbd{end}": fit(f"paretonbd{end}", 104.0) for end in ("_by_segment", "_with_covariates")
    }
    trials = [
        *(tried(name, FIRST, 0.1, 1.6) for name in FITS),
        tried("paretonbd_by_segment", FIRST, 0.1, 1.60),
        tried("paretonbd_with_covariates", FIRST, 0.02, 1.60),
    ]
    advice = choose(refined, trials, "paretonbd_by_segment").check().recommendation
    assert advice.startswith(
        "Set models.headline to paretonbd, models.segments to 'compare', models.covariates.use to 'value', so that"
    )


def test_the_simple_rules_stand_beside_the_processes():
    backtests = [tried(name, FIRST, 0.1, 1.60, RULES) for name in FITS]
    choice = choose(FITS, backtests, "paretonbd")
    assert list(choice.rules["label"]) == ["the last period repeated", "the mean of the class"]
    assert (
        "The best simple rule there, the mean of the class, has an error per customer of 1.55, below the 1.60"
        in choice.reason
    )
    shown = comparison(choice).frame
    assert (
        list(shown["label"].iloc[-2:]) == list(choice.rules["label"])
        and shown["rmse_chosen"].iloc[-1] == 1.55
    )


def test_likelihoods_of_other_customers_do_not_compare():
    fits = FITS | {
        "paretonbd": fit("paretonbd", 205.0, customers=120)
    }  # more customers, hence a worse likelihood
    choice = choose(fits, [], "paretonbd")
    assert choice.champion == "paretonbd" and "of the processes fitted to the same customers" in choice.reason
    assert choose(fits, [], "bgnbd").champion == "mbgnbd"
    assert list(comparison(choice).frame["customers"]) == [100, 100, 120]


def test_a_trial_without_the_calendar_of_the_study_decides_nothing():
    blind = [
        tried(name, FIRST, bias, 1.6) for name, bias in (("bgnbd", 0.0), ("mbgnbd", 0.2), ("paretonbd", 0.1))
    ]
    for one in blind:
        one.refused = ("The season cannot be estimated: ...",)
    seeing = [
        tried("bgnbd", LATER, 0.2, 1.6),
        tried("mbgnbd", LATER, 0.0, 1.6),
        tried("paretonbd", LATER, 0.1, 1.6),
    ]
    choice = choose(FITS, blind + seeing, "paretonbd")
    assert choice.champion == "mbgnbd" and choice.chosen_on.origin == LATER and choice.quoted is None
    assert choose(FITS, blind, "paretonbd").champion == "bgnbd"  # better than nothing


def test_a_calendar_has_to_earn_its_place():
    fits = {"mbgnbd": fit("mbgnbd", 100.0), "mbgnbd_without_calendar": fit("mbgnbd", 104.0)}
    names = list(fits)
    tie = choose(
        fits,
        [tried(name, FIRST, bias, 1.6) for name, bias in zip(names, (0.100, 0.103), strict=True)],
        "mbgnbd",
    )
    assert tie.champion == "mbgnbd_without_calendar"
    assert tie.check().recommendation.startswith(
        "Set models.headline to mbgnbd, calendar.season to 'none' and every window to 'ignore', so that"
    )
    earned = choose(
        fits, [tried(name, FIRST, bias, 1.6) for name, bias in zip(names, (0.01, 0.1), strict=True)], "mbgnbd"
    )
    assert earned.champion == "mbgnbd"
