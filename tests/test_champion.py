from datetime import date
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from clvkit.champion import choose

FIRST, LATER = date(1997, 6, 30), date(1997, 9, 30)


def fit(name, bic):
    model = SimpleNamespace(label=name.upper())
    return SimpleNamespace(model=model, log_likelihood=-bic / 2, aic_bic=lambda: (bic, bic))


def tried(process, origin, bias, rmse):
    tenths = pd.DataFrame({"predicted": [5.0, 9.0], "actual": [4.0, 11.0], "customers": [10, 10]})
    at_mle = SimpleNamespace(bias=bias, rmse=rmse)
    return SimpleNamespace(
        process=process, origin=origin, at_mle=at_mle, coverage=None, tables={"calibration": tenths}
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
    assert "−30.0 %" in choice.reason
    check = choice.check()
    assert (check.status, check.value) == ("review", "bgnbd")
    assert "models.headline" in check.recommendation


def test_without_a_back_test_the_history_decides():
    choice = choose(FITS, [], "paretonbd")
    assert choice.champion == "mbgnbd"
    assert choice.chosen_on is None
    assert "nothing is known of their errors" in choice.reason


def test_calibration_is_the_gap_per_customer():
    choice = choose(FITS, [tried("bgnbd", FIRST, 0.0, 1.0)], "bgnbd")
    row = choice.table.set_index("process").loc["bgnbd"]
    assert row["calibration_chosen"] == pytest.approx((1 + 2) / 20)
    assert np.isnan(row["coverage_chosen"])
