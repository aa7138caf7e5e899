"""The words of the history chapter say what its numbers say, and its figures can be drawn and read."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from clvkit.chapters import history as chapter
from clvkit.chapters import history_calendar
from clvkit.ledger.anomalies import FLAG_COLUMNS, AnomaliesSection, IgnoreWindow, flag
from clvkit.ledger.completeness import Completeness
from clvkit.publish.figures import svg
from clvkit.publish.tables import table_html

AS_OF = date(2024, 3, 31)


@pytest.fixture(scope="module")
def daily():
    """Two sources of 400 days; the shop has no rows for a week, the till is loaded twice on a day."""
    rng = np.random.default_rng(4)
    days = pd.date_range("2023-01-01", periods=400)
    frames = []
    for source, level in (("shop", 200), ("a till with a long name", 60)):
        rows = rng.poisson(level * np.where(days.dayofweek == 6, 0.4, 1.0))
        frames.append(pd.DataFrame({"source": source, "currency": "EUR", "day": days, "rows": rows, "copies": 0,
                                    "amount_minor": rows * 1000, "digits": rows * 4, "accounts": rows,
                                    "new_accounts": rows // 5}))  # fmt: skip
    shop, till = frames
    shop = shop[~shop["day"].between("2023-06-05", "2023-06-11")]
    twice = till["day"] == "2023-09-05"
    till.loc[twice, "copies"] = till.loc[twice, "rows"]
    till.loc[twice, ["rows", "amount_minor", "digits"]] *= 2
    return pd.concat([shop, till], ignore_index=True)


@pytest.fixture(scope="module")
def flags(daily):
    return flag(daily, AnomaliesSection())


@pytest.fixture(scope="module")
def found():
    sources = pd.DataFrame({
        "source": ["shop", "till"], "rows": [5000, 900], "first_day": date(2023, 1, 1), "last_day": [AS_OF, date(2024, 3, 2)],
        "first_load": [date(2023, 1, 1), None], "last_load": [AS_OF, None],
        "complete_to": [date(2024, 3, 28), date(2024, 3, 1)], "why": ["latency", "cut off"], "early_rows": 0,
        "rows_a_day": 10.0,
    })  # fmt: skip
    latency = pd.DataFrame({"source": "shop", "lag_days": [0, 1, 2, 3], "rows": [0.5, 0.9, 0.98, 1.0], "money": [0.4, 0.8, 0.9, 1.0]})  # fmt: skip
    quantiles = pd.DataFrame({"source": "shop", "share": [0.5, 0.9, 0.99], "lag_rows": [0.0, 1.0, 3.0], "lag_money": [1.0, 2.0, 3.0]})  # fmt: skip
    return Completeness(sources, latency, quantiles, date(2024, 3, 1))


def test_the_calendar_marks_every_flag_and_tells_it_in_words(daily, flags):
    (figure,) = history_calendar.calendar(daily, flags)
    assert figure.title == "2 runs of days stand off: 1 double load, 1 outage"
    assert "outage of shop from 5 June 2023 to 11 June 2023" in figure.alt
    assert "double load of a till with a long name on 5 September 2023" in figure.alt
    marked = figure.frame[figure.frame["flag"].notna()]
    assert marked.groupby("source").size().to_dict() == {"a till with a long name": 1, "shop": 7}
    assert (marked.loc[marked["source"] == "shop", "rows"] == 0).all()
    drawn = svg(figure)
    assert drawn.startswith("<svg") or "<svg" in drawn
    assert svg(history_calendar.calendar(daily, flags)[0]) == drawn, "the same bytes for the same drawing"


def test_a_calendar_without_flags_says_so(daily):
    none = pd.DataFrame(columns=list(FLAG_COLUMNS))
    (figure,) = history_calendar.calendar(daily, none)
    assert figure.title == "Every day looks like the days around it"
    assert "Flagged: none" in figure.alt
    assert history_calendar.flagged(none) == []
    assert history_calendar.calendar(daily[:0], none) == []


def test_the_table_of_flags_names_the_one_with_most_money(flags):
    (table,) = history_calendar.flagged(flags)
    assert table.title.startswith("The outage of shop from 5 June 2023 to 11 June 2023 touches 1.8 %")
    assert list(table.frame["number"]) == [1, 2]
    assert table.frame.set_index("kind").loc["double load", "seen"] == 2 * table.frame.set_index("kind").loc["double load", "expected"]  # fmt: skip
    assert "double load" in table_html(table)


def test_windows_that_are_ignored_are_printed():
    window = IgnoreWindow(first=date(2020, 3, 16), last=date(2020, 5, 3), reason="shops closed by law")
    (sentence,) = chapter.ignored(AnomaliesSection(ignore=(window,)))
    assert "16 March 2020 to 3 May 2020, all sources: shops closed by law" in sentence.text
    assert chapter.ignored(AnomaliesSection()) == []


def test_complete_to_names_the_source_that_ends_first(found):
    table = chapter.complete_to(found)
    assert table.title == "Data are complete to 1 March 2024, when till ends"
    rows = table.frame.set_index("source")
    assert rows.loc["shop", "rows_99"] == 3 and rows.loc["till", "rows_99"] == "[z]"
    assert "1 March 2024" in table_html(table) or "2024-03-01" in table_html(table)
    text = chapter.answer(found, pd.DataFrame(columns=list(FLAG_COLUMNS)), AS_OF).text
    assert "complete to **1 March 2024**, 30 days before the as-of date" in text
    assert "No run of days" in text


def test_the_lag_chart_speaks_of_the_slowest_source(found):
    (figure,) = chapter.lags(found)
    assert figure.title == "99 % of the rows of shop are there after 3 days"
    assert "shop: 50 % on the day itself" in figure.alt
    assert svg(figure)
    without = Completeness(found.sources, found.latency[:0], found.quantiles[:0], found.cut_off)
    assert chapter.lags(without) == []
    assert set(chapter.complete_to(without).frame["half"]) == {"[z]"}


def test_arrivals_are_shown_where_rows_come_late_and_said_where_they_do_not(found):
    shown = chapter.arrivals(found)
    assert [one.name for one in shown] == ["data_complete_to", "arrival_lags"]
    at_once = found.quantiles.assign(lag_rows=0.0)
    (sentence,) = chapter.arrivals(Completeness(found.sources, found.latency, at_once, found.cut_off))
    assert sentence.text == "By their days of loading, nearly all rows of shop were there on the day itself."
    (sentence,) = chapter.arrivals(
        Completeness(found.sources, found.latency[:0], found.quantiles[:0], found.cut_off)
    )
    assert sentence.text.startswith("No source says when its rows were loaded")


def test_the_funnel_shows_money_in_units_and_what_is_left():
    steps = pd.DataFrame({
        "step": ["all customers", "staff", "min_history_days", "modelled"],
        "treatment": ["", "exclude", "segment_average", ""],
        "customers": [100, 2, 18, 80], "purchases": [300, 40, 20, 240], "revenue_minor": [100000, 30000, 10000, 60000],
        "customers_left": [100, 98, 80, 80], "purchases_left": [300, 260, 240, 240],
        "revenue_left_minor": [100000, 70000, 60000, 60000],
    })  # fmt: skip
    table = chapter.funnel(steps, "EUR", 2)
    assert (
        table.title == "80.0 % of the customers are modelled one by one; they brought 60.0 % of the revenue"
    )
    assert list(table.frame["revenue"]) == [1000, 300, 100, 600]
    assert list(table.frame["step"]) == [
        "All customers",
        "staff",
        "too short a history",
        "Modelled one by one",
    ]
    assert "valued as the segment" in table_html(table)
    assert chapter.funnel(steps.iloc[[0, 0]], "JPY", 0).title == "All customers are modelled one by one"


def test_maturity_speaks_of_the_longest_history():
    table = chapter.maturity(pd.DataFrame({"days": [90, 365], "customers": [8, 2], "share": [0.8, 0.2]}))
    assert table.title == "20.0 % of the customers have been watched for 365 days or more"
    whole = chapter.maturity(pd.DataFrame({"days": [90], "customers": [8], "share": [1.0]}))
    assert whole.title == "Every customer has been watched for 90 days or more"
