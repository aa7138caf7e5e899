from datetime import date

import backtest_worlds as worlds
import numpy as np
import pandas as pd
import pytest

from clvkit.baselines import RULES, Span, known_customers, lead
from clvkit.verdict import REQUIRED

ORIGIN, END = date(2020, 3, 31), date(2020, 5, 30)
LOG = [
    ("ann", date(2020, 1, 1), 1000),  # first purchase
    (
        "ann",
        date(2020, 1, 31),
        300,
    ),  # 60 days before the origin: the window of 60 days opens on the day after
    ("ann", date(2020, 2, 1), 500),
    ("ann", date(2020, 3, 31), 700),  # on the origin: known
    ("ann", date(2020, 4, 1), 900),  # the day after: hold-out
    ("bob", date(2020, 2, 10), 2000),
    ("bob", date(2020, 5, 30), 100),  # last day of the forecast
    ("bob", date(2020, 5, 31), 100),  # beyond it
    ("cyd", date(2020, 3, 31), 400),  # first bought on the origin
    ("dan", date(2020, 4, 2), 800),  # first bought after it: nobody could know
    ("dan", date(2020, 4, 9), 800),
]


@pytest.fixture(scope="module")
def rows():
    return known_customers(worlds.table(LOG), ORIGIN, END, window_days=60)


def test_what_was_known_and_what_came_by_hand(rows):
    by_age = rows.set_index("T_days")
    assert rows["n"].sum() == 3  # without dan
    assert by_age.loc[90, ["frequency", "recency_days", "spend_minor"]].tolist() == [3, 90, 1500]
    assert by_age.loc[90, ["n_before", "before_minor", "n_holdout", "holdout_minor"]].tolist() == [
        2,
        1200,
        1,
        900,
    ]
    assert by_age.loc[50, ["n_before", "n_holdout", "holdout_minor"]].tolist() == [0, 1, 100]
    assert by_age.loc[0, ["frequency", "n_before", "n_holdout"]].tolist() == [0, 0, 0]


def test_alike_customers_share_a_row():
    log = [(name, date(2020, 3, day), 100) for name in ("a", "b", "c") for day in (1, 5)]
    log += [("a", date(2020, 4, 7), 250), ("b", date(2020, 4, 8), 150)]
    rows = known_customers(worlds.table(log), ORIGIN, END, 60)
    assert rows[["n_holdout", "n", "holdout_minor", "before_minor"]].to_numpy().tolist() == [
        [0, 1, 0, 100],
        [1, 2, 400, 200],
    ]


def test_the_last_period_is_repeated_and_scaled_where_history_is_short(rows):
    purchases, amounts = RULES["last_period"].forecast(rows, Span(60, 60, 30))
    by_age = dict(zip(rows["T_days"], zip(purchases, amounts, strict=True), strict=True))
    assert by_age == {90: (2, 1200), 50: (0, 0), 0: (0, 0)}
    twice, _ = RULES["last_period"].forecast(rows, Span(120, 60, 30))
    assert twice.max() == 4


def test_the_hiatus_rule_gives_up_the_silent_and_lets_others_go_on():
    rows = pd.DataFrame({
        "frequency": [4, 4, 4, 0, 0], "recency_days": [70, 69, 99, 0, 0], "T_days": [100, 100, 100, 100, 0],
        "spend_minor": [400, 400, 800, 0, 0], "n": [1, 1, 1, 1, 1],
    })  # fmt: skip
    purchases, amounts = RULES["hiatus"].forecast(rows, Span(50, 50, 30))
    assert purchases.tolist() == [2, 0, 2, 0, 0]  # silent for exactly the hiatus is not longer than it
    assert amounts.tolist() == [200, 0, 400, 0, 0]


def test_the_class_mean_is_purchases_per_day_of_the_class():
    rows = pd.DataFrame({"frequency": [3, 4, 1, 0], "T_days": [100, 50, 200, 30], "spend_minor": [300, 100, 50, 0],
                         "n": [2, 1, 1, 5]})  # fmt: skip
    purchases, amounts = RULES["segment_mean"].forecast(rows, Span(100, 100, 30))
    both = 100 * (3 * 2 + 4) / 250  # 3 and 4 repeats are one class: 10 purchases in 250 days
    assert purchases.tolist() == pytest.approx([both, both, 0.5, 0])
    assert amounts.tolist() == pytest.approx([100 * 700 / 250] * 2 + [25, 0])


def test_a_class_on_its_first_day_is_forecast_nothing():
    rows = pd.DataFrame({"frequency": [0], "T_days": [0], "spend_minor": [0], "n": [3]})
    assert RULES["segment_mean"].forecast(rows, Span(100, 100, 30))[0].tolist() == [0]


def test_the_lead_is_paired():
    rule, model = np.array([2.0, 3, 4, 5]), np.array([1.0, 2, 3, 4])
    assert lead(rule, model, np.ones(4), 0.9) == (1, 1, 1)  # the same gain for each: nothing uncertain
    value, low, high = lead(np.array([0.0, 2]), np.zeros(2), np.array([50.0, 50]), 0.9)
    assert value == 1
    assert high - 1 == pytest.approx(1.645 * np.sqrt(1 / 100), rel=1e-3)
    assert low == pytest.approx(2 - high)


def test_every_compulsory_rule_exists_with_words():
    assert set(REQUIRED) <= set(RULES)
    assert all(rule.label and rule.words for rule in RULES.values())


def test_cdnow_rules():
    """The data begin 273 days before the origin, so the last period is the whole history."""
    baselines = worlds.at_mle().latest.baselines
    assert list(baselines) == ["last_period", "segment_mean", "hiatus"]
    assert worlds.at_mle().latest.span == Span(273, 273, 180)
    assert baselines["last_period"].accuracy.predicted == 2457  # all repeat purchases before the origin
    for one in baselines.values():
        assert one.accuracy.actual == 1882
        assert (
            one.accuracy.wmape_by_segment["no repeat purchase"] == 1
        )  # forecast nothing, every purchase missed
        assert one.accuracy.rmse > worlds.at_mle().latest.accuracy.rmse
