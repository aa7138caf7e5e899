"""Cash flows are converted exactly, by a declared method; a rate that is missing stops or says how old it is."""

from datetime import date
from decimal import ROUND_HALF_UP, Decimal

import ibis
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from clvkit.errors import DataError, StudyError
from clvkit.ledger.currencies import minor_digits
from clvkit.ledger.currency import CurrencySection, conversions, convert, forward_rate, fx_effect

CON = ibis.duckdb.connect()
LINES = ibis.schema(
    {
        "ordinal": "int64",
        "day": "date",
        "currency": "string",
        "amount_minor": "int64",
        "discount_minor": "int64",
        "reason": "string",
    }
)
RATES = ibis.schema({"date": "date", "currency": "string", "rate": "decimal(18, 10)"})


def table(name, rows, schema):
    data = {column: [row[i] for row in rows] for i, column in enumerate(schema)}
    return CON.create_table(name, ibis.memtable(data, schema=schema), schema=schema, overwrite=True)


def lines_of(*rows):
    """Lines of (day, currency, amount in minor units), the discount a tenth of it."""
    full = [
        (i, date.fromisoformat(d), code, amount, abs(amount) // 10, None)
        for i, (d, code, amount) in enumerate(rows)
    ]
    return table("lines", full, LINES)


def rates_of(*rows):
    full = [(date.fromisoformat(d), code, Decimal(rate)) for d, code, rate in rows]
    return table("rates", full, RATES)


def values(lines, rates, to="EUR", **section):
    found = convert(lines, rates, CurrencySection(**section), to).order_by("ordinal").to_pyarrow()
    return found.to_pylist()


def test_minor_units_follow_iso_4217():
    assert [minor_digits(code) for code in ("JPY", "USD", "KWD", "CLF")] == [0, 2, 3, 4]


@pytest.mark.parametrize(
    "currency, amount, rate, to, value",
    [
        ("JPY", 1_000, "0.0061", "EUR", 610),  # 1,000 yen are EUR 6.10
        ("KWD", 1_000, "3.02", "EUR", 302),  # 1 dinar is 1,000 fils, and EUR 3.02
        ("CLF", 10_000, "36.5", "EUR", 3_650),
        ("EUR", 610, "163.934", "JPY", 1_000),
        ("EUR", 302, "0.3311258278", "KWD", 1_000),
        ("JPY", 1_000_000, "0.00022", "CLF", 2_200_000),
        ("USD", 5, "0.5", "EUR", 3),  # 2.5 cents: half away from zero
        ("USD", -5, "0.5", "EUR", -3),
        ("USD", 4, "0.62499999", "EUR", 2),
        ("USD", 10**14, "1.1111111111", "EUR", 111_111_111_110_000),
    ],
)
def test_amounts_keep_the_minor_units_of_both_currencies(currency, amount, rate, to, value):
    lines, rates = lines_of(("2024-01-02", currency, amount)), rates_of(("2024-01-02", currency, rate))
    (line,) = values(lines, rates, to)
    assert line["value_minor"] == value and line["converted"] is True
    assert (line["rate_date"], line["rate_age_days"]) == (date(2024, 1, 2), 0)


@settings(max_examples=5, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["USD", "JPY", "KWD", "CLF"]),
            st.integers(-(10**12), 10**12) | st.integers(-60, 60),
            st.decimals("0.0001", "90", places=10),
        ),
        min_size=20,
        max_size=120,
    ),
    st.sampled_from(["EUR", "JPY", "KWD"]),
)
def test_every_line_is_rounded_as_decimal_arithmetic_rounds_it(cases, to):
    # Each case on a day of its own, so that each has its own rate.
    days = [date.fromordinal(730_000 + i).isoformat() for i in range(len(cases))]
    rows = [(d, code, amount) for d, (code, amount, _) in zip(days, cases, strict=True)]
    rates = rates_of(*[(d, code, rate) for d, (code, _, rate) in zip(days, cases, strict=True) if code != to])
    found = values(lines_of(*rows), rates, to)
    for line, (code, amount, rate) in zip(found, cases, strict=True):
        exact = Decimal(amount) * (1 if code == to else rate.scaleb(minor_digits(to) - minor_digits(code)))
        assert line["value_minor"] == int(exact.quantize(Decimal(1), ROUND_HALF_UP))


def test_lines_in_the_studys_currency_are_left_as_they_are():
    (line,) = values(lines_of(("2024-01-02", "EUR", 999)), rates_of(("2024-01-02", "USD", "2")))
    assert (line["value_minor"], line["discount_value_minor"]) == (999, 99)
    assert (line["converted"], line["rate_date"], line["rate_age_days"]) == (False, None, None)


def test_a_weekend_takes_fridays_rate_and_says_its_age():
    rates = rates_of(("2024-01-05", "USD", "0.9"), ("2024-01-08", "USD", "0.8"))
    saturday, monday = values(lines_of(("2024-01-06", "USD", 100), ("2024-01-08", "USD", 100)), rates)
    assert (saturday["value_minor"], saturday["rate_age_days"]) == (90, 1)
    assert (monday["value_minor"], monday["rate_age_days"]) == (80, 0)
    assert saturday["discount_value_minor"] == 9


def test_a_series_that_ended_stops_the_run_and_says_what_is_missing():
    # As the ECB's series of roubles did.
    rates = rates_of(("2022-03-01", "RUB", "0.0085"), ("2022-05-02", "USD", "0.95"))
    lines = lines_of(
        ("2022-03-04", "RUB", 10_000), ("2022-05-01", "RUB", 5_000), ("2022-05-03", "RUB", 5_000)
    )
    with pytest.raises(DataError) as error:
        values(lines, rates)
    assert error.value.message == (
        "no rate at most 5 days old for RUB on 2 days from 2022-05-01 to 2022-05-03 "
        "(2 lines; the last known is up to 63 days old)"
    )
    assert "missing: stale" in error.value.fix

    section = CurrencySection(missing="stale")
    found = values(lines, rates, missing="stale")
    assert [(f["value_minor"], f["rate_age_days"]) for f in found] == [(85, 3), (43, 61), (43, 63)]
    (counted,) = conversions(convert(lines, rates, section, "EUR"), section).to_dict("records")
    assert (counted["lines"], counted["stale"], counted["oldest_days"]) == (3, 2, 63)


def test_no_earlier_rate_at_all_stops_whatever_the_policy():
    with pytest.raises(DataError, match=r"AED on 2024-01-02 \(1 line; none before\)") as error:
        values(lines_of(("2024-01-02", "AED", 1)), rates_of(("2024-02-01", "AED", "0.25")), missing="stale")
    assert "stale" not in error.value.fix


def test_lines_that_are_not_used_need_no_rate():
    lines = lines_of(("2024-01-02", "AED", 1)).mutate(reason=ibis.literal("test_account"))
    (line,) = values(lines, rates_of(("2024-02-01", "USD", "1")))
    assert (line["value_minor"], line["converted"]) == (None, False)


def test_rates_must_be_above_zero_and_one_a_day():
    lines = lines_of(("2024-01-02", "USD", 100))
    with pytest.raises(DataError, match="above zero"):
        values(lines, rates_of(("2024-01-02", "USD", "0")))
    with pytest.raises(DataError, match="must have one rate"):
        values(lines, rates_of(("2024-01-02", "USD", "1"), ("2024-01-02", "USD", "2")))
    with pytest.raises(DataError, match="out of range"):
        values(lines, rates_of(("2024-01-02", "USD", "9000000")))


def test_a_constant_rate_isolates_what_exchange_rates_did():
    rates = rates_of(("2024-01-10", "USD", "0.9"), ("2024-01-20", "USD", "0.7"), ("2024-02-10", "USD", "0.5"))
    lines = lines_of(("2024-01-10", "USD", 1_000), ("2024-02-10", "USD", 1_000), ("2024-02-11", "EUR", 1_000))
    constant = CurrencySection(method="constant", constant_date="2024-01-10")
    by_day = fx_effect(lines, rates, constant, CurrencySection(), "EUR")
    assert by_day["first_minor"].tolist() == [900, 1_900]
    assert by_day["second_minor"].tolist() == [900, 1_500]
    assert by_day["effect_minor"].tolist() == [0, -400]
    average = values(lines, rates, method="period_average")
    assert [a["value_minor"] for a in average] == [800, 500, 1_000]
    same = fx_effect(lines, rates, CurrencySection(), CurrencySection(), "EUR")
    assert set(same["effect_minor"]) == {0}


def test_a_month_without_a_rate_takes_the_month_before_and_its_age():
    rates = rates_of(("2024-01-30", "USD", "0.6"), ("2024-01-31", "USD", "0.8"))
    (line,) = values(lines_of(("2024-02-03", "USD", 100)), rates, method="period_average")
    assert (line["value_minor"], line["rate_age_days"]) == (70, 3)
    with pytest.raises(DataError, match="the last known is up to 11 days old"):
        values(lines_of(("2024-02-11", "USD", 100)), rates, method="period_average")


def test_the_forward_rate_by_interest_parity():
    assert forward_rate(1.10, 0.05, 0.03, 1) == pytest.approx(1.121359, abs=5e-7)
    assert forward_rate(Decimal("1.10"), Decimal("0.03"), Decimal("0.03"), Decimal(7)) == Decimal("1.10")


@pytest.mark.parametrize("years", [0.5, 1, 3])
def test_value_is_the_same_by_forwards_and_by_foreign_rates(years):
    domestic, foreign, spot = 0.05, 0.03, 1.10
    by_forward = 100 * forward_rate(spot, domestic, foreign, years) / (1 + domestic * years)
    by_spot = 100 / (1 + foreign * years) * spot
    assert by_forward == pytest.approx(by_spot, rel=1e-14)
    if years == 1:
        assert by_forward == pytest.approx(106.796117, abs=5e-7)


def test_cash_flows_after_the_date_are_converted_at_forwards():
    rates = rates_of(("2023-01-02", "EUR", "1.2"), ("2024-01-02", "EUR", "1.10"))
    interest = {"USD": 0.05, "EUR": 0.03}
    lines = lines_of(("2023-01-02", "EUR", 10**8), ("2026-01-02", "EUR", 10**8))
    past, future = values(
        lines, rates, "USD", method="forward", constant_date="2024-01-02", interest_rates=interest
    )
    assert past["value_minor"] == 120_000_000
    years = 731 / 365.25
    assert future["value_minor"] == pytest.approx(
        10**8 * 1.1 * (1 + 0.05 * years) / (1 + 0.03 * years), abs=1
    )
    with pytest.raises(StudyError, match="interest rate of EUR"):
        values(
            lines, rates, "USD", method="forward", constant_date="2024-01-02", interest_rates={"USD": 0.05}
        )


@pytest.mark.parametrize(
    "section, word",
    [
        ({"method": "constant"}, "is needed with method constant"),
        ({"method": "forward", "constant_date": "2024-01-01"}, "are needed with method forward"),
    ],
)
def test_a_method_says_what_it_needs(section, word):
    with pytest.raises(ValidationError, match=word):
        CurrencySection(**section)
