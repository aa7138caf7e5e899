import math
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clvkit import numbers

FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=64)


@pytest.mark.parametrize(
    ("value", "digits", "rounded"),
    [
        (0.5, 0, "1"),
        (1.5, 0, "2"),
        (2.5, 0, "3"),
        (-2.5, 0, "-3"),  # half to even would give 0, 2, 2, -2
        (1234.5, 0, "1235"),
        (2.675, 2, "2.68"),
        (1.005, 2, "1.01"),
        (1250, -2, "1.3E+3"),
        (Decimal("0.125"), 2, "0.13"),
        (np.float64(2.5), 0, "3"),
        (np.int64(7), 1, "7.0"),
        (1e300, 0, "1" + "0" * 300),
    ],
)
def test_half_rounds_away_from_zero_as_in_a_spreadsheet(value, digits, rounded):
    assert numbers.half_up(value, digits) == Decimal(rounded)


@given(FLOATS, st.integers(0, 6))
def test_half_up_is_within_half_a_unit_and_symmetric(value, digits):
    rounded = numbers.half_up(value, digits)
    assert abs(Decimal(repr(value)) - rounded) <= Decimal("0.5").scaleb(-digits)
    assert numbers.half_up(-value, digits) == -rounded


@pytest.mark.parametrize(
    ("currency", "digits"),
    [
        ("USD", 2),
        ("EUR", 2),
        ("JPY", 0),
        ("KWD", 3),
        ("CLF", 4),
        ("ISK", 0),
        ("UYI", 0),
        ("DEM", 2),
        # prices are shown without decimals, amounts have them in ISO 4217
        ("RSD", 2),
        ("IQD", 3),
        ("LBP", 2),
        ("ALL", 2),
    ],
)
def test_minor_units_are_those_of_iso_4217(currency, digits):
    assert numbers.minor_units(currency) == digits


def test_minor_units_of_an_unknown_currency():
    with pytest.raises(ValueError, match=r"currency must be an ISO 4217 code such as USD \(got 'US'\)"):
        numbers.minor_units("US")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (23570, "23,570"),
        (999, "999"),
        (1665.5, "1,666"),
        (-12, "−12"),
        (0.3, "< 1"),
        (-0.3, "> −1"),
        (0.5, "1"),
        (None, "[x]"),
        (math.nan, "[x]"),
        (pd.NA, "[x]"),
        (math.inf, "∞"),
        (np.int64(5), "5"),
        (-0.0, "0"),
    ],
)
def test_count(value, text):
    assert numbers.count(value) == text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.129, 1, "12.9 %"),
        (0.1295, 1, "13.0 %"),
        (0.12345, 2, "12.35 %"),
        (-0.129, 1, "−12.9 %"),
        (0, 1, "0 %"),
        (0.0004, 1, "< 0.1 %"),
        (0.0005, 1, "0.1 %"),
        (-0.0004, 1, "> −0.1 %"),
        (0.004, 0, "< 1 %"),
        (0.9996, 1, "> 99.9 %"),
        (0.996, 0, "> 99 %"),
        (1, 1, "100.0 %"),
        (1.0004, 1, "100.0 %"),
        (12.5, 0, "1,250 %"),
        (None, 1, "[x]"),
        (math.nan, 1, "[x]"),
        (Decimal("0.129"), 1, "12.9 %"),
        (np.float64(0.129), 1, "12.9 %"),
    ],
)
def test_percent(value, digits, text):
    assert numbers.percent(value, digits) == text


@given(st.floats(min_value=5e-324, max_value=1), st.integers(0, 3))
def test_a_small_positive_never_reads_as_zero_and_a_part_never_as_the_whole(value, digits):
    text = numbers.percent(value, digits)
    assert text != f"{0:.{digits}f} %"
    assert value == 1 or text != f"{100:.{digits}f} %"


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (1234.5, 2, "1,234.50"),
        (-1234.565, 2, "−1,234.57"),
        (0.0004, 3, "< 0.001"),
        (-0.0004, 3, "> −0.001"),
        (0, 3, "0.000"),
        (2.5, 0, "3"),
        (None, 2, "[x]"),
        (-math.inf, 2, "−∞"),
    ],
)
def test_number(value, digits, text):
    assert numbers.number(value, digits) == text


@given(FLOATS, st.integers(0, 4))
def test_a_number_reads_back_as_its_rounded_value(value, digits):
    text = numbers.number(value, digits)
    expected = (
        Decimal(repr(value)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
        if abs(value) < 1e20
        else None
    )
    if expected is not None and (expected or not value):
        assert Decimal(text.replace(",", "").replace("−", "-")) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1_100_000, "USD 1.10 million"),
        (1_096_432.12, "USD 1.10 million"),
        (12_345_678, "USD 12.3 million"),
        (123_456_789, "USD 123 million"),
        (1e9, "USD 1.00 billion"),
        (9_996_000, "USD 10.0 million"),
        (244_091.94, "USD 244,092"),
        (999_999.4, "USD 999,999"),
        (999_999.6, "USD 1.00 million"),
        (999_999_999.6, "USD 1.00 billion"),
        (35.1, "USD 35.10"),
        (999.994, "USD 999.99"),
        (999.996, "USD 1,000"),
        (0, "USD 0"),
        (0.001, "USD < 0.01"),
        (-1_100_000, "USD −1.10 million"),
        (-5, "USD −5.00"),
        (None, "[x]"),
        (math.nan, "[x]"),
        (math.inf, "USD ∞"),
        (np.float64(1_100_000), "USD 1.10 million"),
        (Decimal("2500315.63"), "USD 2.50 million"),
    ],
)
def test_money_in_a_sentence(value, text):
    assert numbers.money(value, "USD") == text


def test_money_with_a_chosen_unit_and_other_currencies():
    assert numbers.money(244_091.94, "USD", "thousand") == "USD 244 thousand"
    assert numbers.money(1_100_000, "USD", "one") == "USD 1,100,000"
    assert numbers.money(1_100_000, "USD", "million", 1) == "USD 1.1 million"
    assert numbers.money(123.4, "JPY") == "JPY 123"
    assert numbers.money(5.5, "KWD") == "KWD 5.500"
    assert numbers.money(None, "USD", missing=numbers.NOT_APPLICABLE) == "[z]"


def test_money_with_its_interval_in_one_unit():
    assert (
        numbers.money_with_interval(1_100_000, 1_040_000, 1_170_000, "USD")
        == "USD 1.10 million, nine times in ten between 1.04 and 1.17"
    )
    assert (
        numbers.money_with_interval(1_020_000, 980_000, 1_060_000, "USD", 0.8)
        == "USD 1.02 million, eight times in ten between 0.98 and 1.06"
    )
    assert (
        numbers.money_with_interval(35.1, 30, 1_040.2, "USD")
        == "USD 35.10, nine times in ten between 30.00 and 1,040.20"
    )
    assert numbers.money_with_interval(1_100_000, None, None, "USD") == "USD 1.10 million"


@pytest.mark.parametrize(
    ("value", "unit", "digits", "text"),
    [
        (1234, "one", 0, "1,234"),
        (-1234, "one", 0, "(1,234)"),
        (0, "one", 0, "–"),
        (-0.0, "one", 0, "–"),
        (1234.5, "one", 0, "1,235"),
        (2.5, "one", 0, "3"),
        (-1234.5, "one", 2, "(1,234.50)"),
        (1_234_567, "thousand", 0, "1,235"),
        (1_234_567, "million", 2, "1.23"),
        (0.2, "one", 0, "< 1"),
        (-0.2, "one", 0, "(< 1)"),
        (400, "thousand", 1, "0.4"),
        (None, "one", 0, "[x]"),
        (math.inf, "one", 0, "∞"),
    ],
)
def test_money_in_a_table(value, unit, digits, text):
    assert numbers.money_cell(value, unit, digits) == text


@given(FLOATS, st.integers(0, 3))
def test_money_reads_zero_only_when_it_is(value, digits):
    text = numbers.money_cell(value, digits=digits)
    assert (text == "–") == (value == 0)
    assert text.startswith("(") == (value < 0)
    assert value == 0 or text.strip("()") != f"{0:.{digits}f}"


def test_a_column_of_money_is_stated_in_one_unit():
    assert numbers.unit_for([1.0, None, math.nan, 999_999.0]) == "one"
    assert numbers.unit_for(np.array([1.0, -2e6])) == "thousand"
    assert numbers.unit_for(pd.Series([3e9])) == "million"
    assert numbers.unit_for([]) == "one"
    assert numbers.money_header("USD") == "USD"
    assert numbers.money_header("USD", "thousand") == "USD thousand"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "10 % a year"),
        (0.125, "12.5 % a year"),
        (0.07, "7 % a year"),
        (0, "0 % a year"),
        (1 / 3, "33.3333 % a year"),
        (1, "100 % a year"),
        (-0.02, "−2 % a year"),
        (None, "[x]"),
    ],
)
def test_rate(value, text):
    assert numbers.rate(value) == text


def test_rate_per_month():
    assert numbers.rate(0.008, "month") == "0.8 % a month"


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (0.129, "percent", "+12.9 %"),
        (-0.129, "percent", "−12.9 %"),
        (0, "percent", "0 %"),
        (0.0001, "percent", "< 0.1 %"),
        (1.25, "number", "+1.3"),
        (-1.25, "number", "−1.3"),
        (0, "number", "0.0"),
        (None, "number", "[x]"),
    ],
)
def test_only_variances_carry_a_plus(value, kind, text):
    assert numbers.variance(value, kind=kind) == text


@pytest.mark.parametrize(
    "day", [date(1998, 6, 30), datetime(1998, 6, 30, 12), "1998-06-30", pd.Timestamp("1998-06-30")]
)
def test_days_in_words(day):
    assert numbers.date_words(day) == "30 June 1998"


def test_a_day_that_is_not_known():
    assert numbers.date_words(None) == numbers.date_words(pd.NaT) == "[x]"


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        (0.9, "nine times in ten"),
        (0.90, "nine times in ten"),
        (0.8, "eight times in ten"),
        (0.5, "one time in two"),
        (0.95, "nineteen times in twenty"),
        (0.99, "ninety-nine times in a hundred"),
        (0.85, "85 % of the time"),
        (0.995, "99.5 % of the time"),
    ],
)
def test_odds_in_words(interval, words):
    assert numbers.odds_words(interval) == words


def test_intervals_in_words():
    assert numbers.interval_words(1.04, 1.17) == "nine times in ten between 1.04 and 1.17"
    assert numbers.interval_words(1.04, 1.17, 0.8, digits=1) == "eight times in ten between 1.0 and 1.2"
    assert numbers.interval_words("USD 1.04", "USD 1.17") == "nine times in ten between USD 1.04 and USD 1.17"
    assert numbers.interval_words(None, 1.0) == "[x]"


def test_the_legend_explains_the_shorthand():
    assert numbers.LEGEND == "[x] not available, [z] not applicable"
    assert numbers.count(None, missing=numbers.NOT_APPLICABLE) == "[z]"


def test_amounts_of_one_figure_are_in_one_unit():
    assert numbers.monies([883_539, 1_140_000.4], "GBP") == ["GBP 884 thousand", "GBP 1,140 thousand"]
    assert numbers.monies([12.3, 1_200], "GBP") == ["GBP 12", "GBP 1,200"]
    assert numbers.monies([12.3, 0.5], "GBP") == ["GBP 12.30", "GBP 0.50"]
