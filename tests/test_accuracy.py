import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from clvkit.accuracy import accuracy, by_group, ranks, tenths, top_errors

ACTUAL, PREDICTED = np.array([0.0, 1, 2, 5]), np.array([0.5, 1, 1, 4])


def test_four_customers_by_hand():
    found = accuracy(ACTUAL, PREDICTED, np.ones(4))
    assert (found.customers, found.actual, found.predicted) == (4, 8, 6.5)
    assert found.bias == pytest.approx(-1.5 / 8)
    assert found.mae == pytest.approx(2.5 / 4)  # errors 0.5, 0, 1, 1
    assert found.rmse == pytest.approx(np.sqrt(2.25 / 4))
    assert found.wmape == pytest.approx(2.5 / 8)
    assert found.correlation == pytest.approx(np.corrcoef(ACTUAL, PREDICTED)[0, 1])
    assert found.rank_correlation == pytest.approx(stats.spearmanr(ACTUAL, PREDICTED).statistic)


def test_a_class_without_purchases_has_no_percentage_and_stays_in_the_total():
    classes = pd.Categorical(["never", "never", "often", "often"])
    actual = np.array([0, 0, 2.0, 5])
    found = accuracy(actual, PREDICTED, np.ones(4), classes)
    assert found.wmape_by_segment == {"never": None, "often": pytest.approx(2 / 7)}
    assert found.predicted == 6.5
    assert found.mae == pytest.approx((0.5 + 1 + 1 + 1) / 4)
    frame = by_group(classes, np.ones(4), actual, PREDICTED)
    assert frame["ape"].isna().tolist() == [True, False]
    assert frame["wmape"].isna().tolist() == [True, False]
    assert (frame["predicted"].sum(), frame["customers"].sum()) == (6.5, 4)


def test_nothing_bought_at_all_has_no_bias():
    found = accuracy(np.zeros(3), np.array([0.1, 0.2, 0.3]), np.ones(3))
    assert (found.bias, found.wmape, found.correlation, found.rank_correlation) == (None, None, None, None)
    assert found.mae == pytest.approx(0.2)


rows = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 12), st.integers(1, 5)), min_size=2, max_size=30)


@settings(max_examples=100, deadline=None)
@given(rows)
def test_rows_of_alike_customers_are_the_customers_one_by_one(made):
    actual, predicted, n = (np.array(column, float) for column in zip(*made, strict=True))
    predicted = predicted / 4
    one_by_one = np.repeat(actual, n.astype(int)), np.repeat(predicted, n.astype(int))
    rows_found = accuracy(actual, predicted, n).to_json()
    found = accuracy(*one_by_one, np.ones(len(one_by_one[0]))).to_json()
    for name, value in found.items():
        assert rows_found[name] == (pytest.approx(value, abs=1e-9) if isinstance(value, float) else value), (
            name
        )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_ranks_are_the_mean_ranks_of_ties(values):
    np.testing.assert_allclose(ranks(np.array(values), np.ones(len(values))), stats.rankdata(values))


def test_the_best_fifth_by_hand():
    actual = np.array([9.0, 8, 1, 1, 1, 1, 0, 0, 0, 0])
    predicted = np.array([5.0, 0, 4, 3, 2, 1, 0, 0, 0, 0])  # finds the first, takes the third for the second
    assert top_errors(actual, predicted, np.ones(10)) == (0.5, pytest.approx(1 / 8))


def test_ties_at_the_edge_are_drawn_by_lot():
    assert top_errors(np.arange(10.0), np.ones(10), np.ones(10)) == (pytest.approx(0.8), pytest.approx(0.2))


def test_tenths_rise_and_keep_equal_forecasts_together():
    predicted = np.array([0.3, 0.1, 0.1, 0.7, 0.5, 0.1])
    n = np.array([10.0, 30, 20, 10, 20, 10])
    groups = tenths(predicted, n)
    assert len(set(groups[predicted == 0.1])) == 1
    assert all(np.diff(groups[np.argsort(predicted)]) >= 0)
    assert groups.min() >= 0 and groups.max() == 9
    assert tenths(np.arange(100.0), np.ones(100)).tolist() == [i // 10 for i in range(100)]
