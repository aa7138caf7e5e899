"""Amounts and dates as text: what is read, and how it is rounded."""

import pytest
from ledger_reading import bought, check, states

from clvkit.errors import StudyError
from clvkit.ledger import LedgerSection

AMOUNTS = [
    ("12.34", 1234),
    ("+12.3", 1230),
    ("12", 1200),
    ("12.", 1200),
    (".5", 50),
    ("  7.10 ", 710),
    ("0.125", 13),  # half up, and away from zero
    ("-0.125", -13),
    ("0.124999999999999999999999999", 12),
    ("1.5e3", 150000),
    ("125E-3", 13),
    ("1e-300", 0),
    ("12,34", "amount_unreadable"),
    ("1 000", "amount_unreadable"),
    ("(5.00)", "amount_unreadable"),
    ("\u0661\u0662", "amount_unreadable"),  # digits of another script
    ("5-", "amount_unreadable"),
    ("", "amount_missing"),
    ("9" * 60, "amount_out_of_range"),
]


def minor(ledger_of, texts, **more):
    """Minor units of each text, or the reason there are none."""
    rows = "".join(f'c{i},2024-01-05,"{text}"\n' for i, text in enumerate(texts))
    ledger = ledger_of(
        rows + "last,2024-01-05,0\n", negative_amounts="exclude", max_quarantined_share=1, **more
    )
    found = ledger.rows.to_pyarrow().to_pylist()[:-1]
    return [f["amount_minor"] if f["amount_minor"] is not None else f["reason"] for f in found]


def test_amounts(ledger_of):
    found = minor(ledger_of, [text for text, _ in AMOUNTS])
    assert dict(zip([t for t, _ in AMOUNTS], found, strict=True)) == dict(AMOUNTS)


@pytest.mark.parametrize(
    "text, thousands, expected",
    [
        ("12,34", None, 1234),
        ("1.234,50", ".", 123450),
        ("1.234.567,5", ".", 123456750),
        ("1.23,50", ".", "amount_unreadable"),
        ("1.234", None, "amount_unreadable"),
        ("12.34", ".", "amount_unreadable"),
        ("1 234,5", " ", 123450),
    ],
)
def test_decimal_comma(ledger_of, text, thousands, expected):
    assert minor(ledger_of, [text], decimal=",", thousands=thousands) == [expected]


@pytest.mark.parametrize("currency, expected", [("JPY", 13), ("EUR", 1250), ("KWD", 12499)])
def test_minor_units_of_the_currency(ledger_of, currency, expected):
    text = "12.5" if currency == "JPY" else "12.4985"
    assert minor(ledger_of, [text], currency=currency) == [expected]


def test_rounding_is_counted(ledger_of):
    ledger = ledger_of("c1,2024-01-05,1.005\nc2,2024-01-05,2.001\nc3,2024-01-05,3.010\n")
    found = check(ledger, "ledger.rounding")
    assert found.message == (
        "2 amounts had more decimals than EUR has (2) and were rounded half up, which changed the total by "
        "EUR +0.004."
    )
    assert (found.status, found.value) == ("info", 0.004)
    assert bought(ledger)[0][2] == 101


def test_rounding_of_a_currency_without_minor_units(ledger_of):
    found = check(ledger_of("c1,2024-01-05,99.50\n", currency="JPY"), "ledger.rounding")
    assert found.message.startswith("1 amount had more decimals than JPY has (0) and was rounded half up")


def test_totals_are_exact_at_minor_units(ledger_of):
    # Ten cents ten times is not 1.0 in binary floating point; three times is not 0.3.
    ledger = ledger_of("".join(f"c{i},2024-01-05,0.10\n" for i in range(3)))
    assert ledger.totals["amount"]["EUR"]["in"] == 0.3


def test_unknown_currency(ledger_of):
    with pytest.raises(StudyError, match=r"currency must be an ISO 4217 code .* \(got 'EURO'\)"):
        ledger_of("c1,2024-01-05,1\n", currency="EURO")


@pytest.mark.parametrize(
    "form, text, day",
    [
        ("%d.%m.%Y", "5.1.2024", "2024-01-05"),
        ("%m/%d/%y", "01/05/24", "2024-01-05"),
        ("%Y%m%d", "20240105", "2024-01-05"),
        ("%d %b %Y", "05 Jan 2024", "2024-01-05"),
        ("%Y-%m-%d %H:%M:%S", "2024-01-05 23:59:59", "2024-01-05"),
        # The day is the one written, not the one in UTC.
        ("%Y-%m-%dT%H:%M:%S%z", "2024-01-05T00:30:00+02:00", "2024-01-05"),
        ("%Y-%m-%dT%H:%M:%S%z", "2024-01-05T23:30:00-0500", "2024-01-05"),
        ("%Y-%m-%dT%H:%M:%S%z", "2024-01-05T23:30:00Z", "2024-01-05"),
    ],
)
def test_date_formats(ledger_of, form, text, day):
    assert bought(ledger_of(f"c1,{text},1\n", date_format=form))[0][1] == day


@pytest.mark.parametrize("text", ["2024115", "2024-01-05", "202401050"])
def test_packed_dates_need_all_their_digits(ledger_of, text):
    ledger = ledger_of(f"c1,20240105,1\nc1,{text},1\n", date_format="%Y%m%d", max_quarantined_share=1)
    assert states(ledger)[3] == ("quarantined", "date_unreadable")


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("date_format", "%Y-%m", "must say year, month and day"),
        ("date_format", "%Y-%m-%d %Q", "must not use %Q; a usual format is"),
        ("encoding", "utf-9", "must be a character encoding Python knows.*; did you mean 'utf-8'"),
        ("encoding", "hex", "must be a character encoding Python knows"),
        ("delimiter", "::", "must be one character"),
        ("thousands", ".", "thousands and decimal must differ"),
        ("zero_amounts", "drop", "'keep', 'exclude' or 'quarantine'"),
    ],
)
def test_a_bad_section_is_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        LedgerSection(path="x.csv", **{field: value})


def test_a_tab_may_be_written_as_a_word():
    assert LedgerSection(path="x.csv", delimiter="tab").delimiter == "\t"
