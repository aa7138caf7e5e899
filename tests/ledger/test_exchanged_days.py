"""Days and months that were exchanged are found by what cannot be read, by the order of a file, or by its days."""

from datetime import date, timedelta

import pytest
from ledger_reading import check

HEADER = "customer_id,date,amount\n"
DAYS = [date(2024, 1, 1) + timedelta(days=k) for k in range(180)]
FORM = {"date_format": "%d/%m/%Y"}


def rows(days, wrong=()):
    """Two rows a day, day first; month first where the day's place is in ``wrong``."""
    text = ""
    for k, one in enumerate(days):
        written = one.strftime("%m/%d/%Y" if k in wrong else "%d/%m/%Y")
        text += f"c{k % 40},{written},10\nc{(k + 7) % 40},{written},12\n"
    return text


def early(days):
    """Places of days whose exchange gives another day."""
    return [k for k, one in enumerate(days) if one.day <= 12 and one.day != one.month]


def found(ledger):
    """The frame as ``{how: rows}``, with the check's status."""
    frame = ledger.frames["exchanged_days"]
    return dict(zip(frame["how"], frame["rows"], strict=True)), check(ledger, "ledger.exchanged_days").status


def test_a_clean_file_has_none(ledger_of):
    assert found(ledger_of(rows(DAYS), **FORM)) == ({}, "pass")


def test_some_early_days_stand_where_the_exchanged_day_belongs(ledger_of):
    wrong = early(DAYS)[::12]
    ledger = ledger_of(rows(DAYS, wrong), extracted=date(2024, 12, 31), **FORM)
    assert found(ledger) == ({"order": 2 * len(wrong)}, "review")
    message = check(ledger, "ledger.exchanged_days").message
    assert f"{2 * len(wrong)} rows in orders.csv (the first is row {2 * wrong[0] + 2})" in message


def test_many_stop_the_run(ledger_of):
    ledger = ledger_of(rows(DAYS, early(DAYS)), extracted=date(2024, 12, 31), **FORM)
    assert found(ledger) == ({"order": 2 * len(early(DAYS))}, "fail")
    assert check(ledger, "ledger.exchanged_days").stops


def test_dates_that_can_only_be_read_the_other_way_tell_of_those_that_cannot(ledger_of):
    wrong = range(60, 121)
    ledger = ledger_of(rows(DAYS, wrong), extracted=date(2024, 12, 31), max_quarantined_share=0.3, **FORM)
    # With those that were read as another day, more than may be in quarantine.
    unreadable = 2 * sum(DAYS[k].day > 12 for k in wrong)
    assert found(ledger) == ({"unreadable": unreadable}, "fail")
    others = ledger.frames["exchanged_days"]["others"].iloc[0]
    assert others == pytest.approx(2 * sum(k in early(DAYS) for k in wrong), rel=0.15)


def test_a_source_with_none_but_early_days(ledger_of):
    kept = [one for one in DAYS if one.day <= 12]
    assert found(ledger_of(rows(kept), **FORM)) == ({"days": 2 * len(kept)}, "fail")


def test_bills_of_the_first_of_the_month_are_no_sign(ledger_of):
    firsts = [one for one in DAYS if one.day == 1] * 20
    assert found(ledger_of(rows(sorted(firsts)), **FORM)) == ({}, "pass")


def test_a_file_in_no_order_of_days_says_nothing(ledger_of):
    """Sorted by customer, as many exports are."""
    text = "".join(sorted(rows(DAYS).splitlines(keepends=True)))
    assert found(ledger_of(text, **FORM)) == ({}, "pass")


def test_a_few_late_bookings_are_no_exchange(ledger_of):
    lines = rows(DAYS).splitlines(keepends=True)
    late = [lines.pop(k) for k in (140, 90, 40)]
    for place, line in zip((300, 250, 200), late, strict=True):
        lines.insert(place, line)
    assert found(ledger_of("".join(lines), **FORM)) == ({}, "pass")


def test_dates_that_no_order_reads_are_not_counted(ledger_of):
    ledger = ledger_of(rows(DAYS) + "c1,31/31/2024,1\n" * 9, max_quarantined_share=1, **FORM)
    assert found(ledger) == ({}, "pass")
