import re
from dataclasses import replace

import backtest_worlds as worlds
import cdnow_frames
import nbformat
import numpy as np
import pytest
from study_files import PARAMS

from clvkit.backtest_results import Backtests
from clvkit.chapters import backtest as chapter
from clvkit.chapters import backtest_figures as figures
from clvkit.estimate import Estimate
from clvkit.publish import parameters
from clvkit.publish.blocks import facts_html, sentence_html
from clvkit.publish.figures import svg
from clvkit.publish.tables import table_html
from clvkit.study import load_study

EQUITY = Estimate(100_000.0, 90_000.0, 110_000.0, unit="USD")
LISTS = (chapter.set_up, chapter.simple_rules, chapter.totals, chapter.came_back, chapter.closeness, chapter.order,
         chapter.by_class, chapter.verdict, figures.tracking, figures.by_class, figures.calibration)  # fmt: skip
EMPTY = Backtests("paretonbd", "USD")


def html(exhibit):
    """What a reader would see of it."""
    if hasattr(exhibit, "draw"):
        assert exhibit.alt and exhibit.worry
        return svg(exhibit) + exhibit.caption + exhibit.alt
    if hasattr(exhibit, "formats"):
        return table_html(exhibit)
    return facts_html(exhibit) if hasattr(exhibit, "items") else sentence_html(exhibit)


def two_origins():
    section = worlds.SECTION.model_copy(
        update={"origins": (worlds.ORIGIN.replace(month=6), worlds.ORIGIN), "horizon_days": 90}
    )
    return worlds.run(section=section)


@pytest.mark.parametrize("make", LISTS, ids=lambda make: f"{make.__module__[-7:]}.{make.__name__}")
def test_everything_can_be_shown(make):
    for made in (worlds.with_posterior(), worlds.at_mle()):
        for exhibit in make(made):
            assert not re.search(r"\bnan\b|None|\binf\b", html(exhibit))
            title = getattr(exhibit, "title", "")
            assert len(title.split()) <= 15, title
            if title:
                assert exhibit.caption.endswith(".")


def test_without_a_back_test_the_chapter_says_so_and_shows_nothing_else():
    assert "No back-test was made" in chapter.answer(EMPTY).text
    assert "No back-test was made" in chapter.effect(EMPTY, EQUITY).text
    assert [make(EMPTY) for make in LISTS] == [[]] * len(LISTS)
    assert chapter.metrics(EMPTY) == {}


def test_a_hold_out_without_purchases_can_be_told():
    days = cdnow_frames.purchases(str(worlds.ORIGIN))
    rows = zip(days["customer_id"], days["date"].dt.date, days["minor"], strict=True)
    made = worlds.run(worlds.table(rows))
    assert "They made **0**: the forecast was **above nothing**" in chapter.answer(made).text
    assert "none came" in chapter.verdict(made)[0].text
    for make in LISTS:
        for exhibit in make(made):
            assert not re.search(r"\bnan\b|None|\binf\b", html(exhibit))
    assert chapter.by_class(made)[0].frame["ape"].tolist() == ["[z]"] * 7


def test_the_answer_is_made_of_the_numbers():
    text, b = chapter.answer(worlds.with_posterior()).text, worlds.with_posterior().latest
    for words in ("**30 September 1997**", "2,357 customers", "273 days", "**1,882**", "Verdict: **poor**"):
        assert words in text
    assert f"{100 * -b.accuracy.bias:.1f} % too low" in text
    assert f"{100 * -b.bias_value:.1f} % too low" in text
    assert f"nine times in ten between {b.predicted['transactions'].low:,.0f}"[:-1] in text
    assert "nine times in ten" not in chapter.answer(worlds.at_mle()).text


def test_off_says_which_way():
    assert chapter.off(-0.133) == "13.3 % too low"
    assert chapter.off(0.02) == "2.0 % too high"
    assert chapter.off(0.0) == "exactly right"
    assert chapter.off(None) == "above nothing"


def test_totals_hold_every_process_and_every_rule():
    purchases, revenue = chapter.totals(worlds.at_mle())
    names = ["BG/NBD", "MBG/NBD", "Pareto/NBD", "Last period repeated", "Mean of the class", "Hiatus rule"]
    assert purchases.frame["forecast_by"].tolist() == revenue.frame["forecast_by"].tolist() == names * 2
    of_all = purchases.frame[purchases.frame["of"] == "All customers"]
    assert of_all["forecast_by"].tolist() == names and set(of_all["actual"]) == {1882}
    assert purchases.frame["mle"].iloc[2] == pytest.approx(1665.5, abs=0.05)
    assert purchases.frame["low"].iloc[-1] == "[z]"
    assert purchases.title == "Pareto/NBD forecast purchases 11.5 % too low"
    assert "USD" in revenue.labels["forecast"]


def test_one_time_buyers_are_a_line_of_their_own_in_every_table_of_accuracy():
    made = worlds.with_posterior()
    b, (closeness,) = made.latest, chapter.closeness(made)
    once = b.tables["frequency_class"].iloc[0]
    assert once["group"] == "no repeat purchase"
    for table in (*chapter.totals(made), closeness):
        lines = table.frame[table.frame["of"] == "One-time buyers"]
        assert set(lines["forecast_by"]) == set(table.frame["forecast_by"])
    lines = chapter.totals(made)[0].frame.query("of == 'One-time buyers'")
    assert set(lines["actual"]) == {once["actual"]}
    assert lines["forecast"].iloc[0] == pytest.approx(once["predicted"], rel=1e-12)
    # nobody has bought again, so the hiatus rule forecasts nothing of them
    assert lines.set_index("forecast_by")["forecast"]["Hiatus rule"] == 0


def test_revenue_of_one_time_buyers_is_that_of_customers_of_whom_no_repeat_spend_is_known():
    b = worlds.with_posterior().latest
    table = b.tables["one_time"].set_index("by")
    assert 0 < table.loc["process", "value"] < b.predicted["value"].value
    assert table.loc["process", "actual_value"] < b.actual["value"]


def test_several_origins_stand_in_one_table():
    made = two_origins()
    purchases, _ = chapter.totals(made)
    assert purchases.frame["origin"].nunique() == 2 and len(purchases.frame) == 24
    assert purchases.frame.groupby(["origin", "of"])["actual"].unique().str.len().tolist() == [1, 1, 1, 1]
    assert "customers known on each date" in purchases.caption
    assert "origin" not in chapter.totals(worlds.at_mle())[0].frame


def test_earlier_dates_are_told_beside_the_latest():
    made = two_origins()
    first, latest = made.champion
    text = chapter.answer(made).text
    assert "Used on **30 September 1997**" in text and chapter.off(latest.accuracy.bias) in text
    assert (
        f"Used on 30 June 1997 for 90 days, its forecast of purchases had been {chapter.off(first.accuracy.bias)}."
        in text
    )
    (facts,) = chapter.set_up(made)
    told = facts.items["What was tried before"]
    assert "from 30 June 1997 to 28 September 1997 (90 days, 2,357 customers)" in told
    assert "What was tried before" not in chapter.set_up(worlds.at_mle())[0].items
    more = Backtests(
        "paretonbd", "USD", (replace(first, origin=first.origin.replace(month=5)), first, latest)
    )
    assert "From 2 earlier dates its forecasts of purchases had been between" in chapter.answer(more).text


def test_a_miss_at_any_date_puts_the_wider_range_on_page_one():
    latest = worlds.with_posterior().latest
    wide = {name: replace(one, low=0.0, high=1e9) for name, one in latest.predicted.items()}
    held = replace(latest, predicted=wide)
    early = replace(latest, origin=latest.origin.replace(month=6))
    assert (
        "page one states this range"
        in chapter.effect(Backtests("paretonbd", "USD", (early, held)), EQUITY).text
    )
    assert (
        "page one states the model's own"
        in chapter.effect(Backtests("paretonbd", "USD", (held,)), EQUITY).text
    )


def test_a_class_where_nobody_bought_is_not_applicable_and_in_the_total():
    b = worlds.with_posterior().latest
    table = b.tables["frequency_class"].copy()
    quiet = table["group"] == "2 repeats"
    table.loc[quiet, ["actual", "actual_each"]] = 0.0
    table.loc[quiet, ["ape", "wmape"]] = np.nan
    made = Backtests("paretonbd", "USD", (replace(b, tables=b.tables | {"frequency_class": table}),))
    (shown,) = chapter.by_class(made)
    rows = shown.frame.set_index("group")
    assert rows.loc["2 repeats", ["ape", "wmape"]].tolist() == ["[z]", "[z]"]
    assert rows.loc["2 repeats", "predicted"] > 0
    assert rows.iloc[-1]["predicted"] == pytest.approx(rows.iloc[:-1]["predicted"].sum())
    assert shown.total and "[z] not applicable" in table_html(shown)


def test_small_classes_are_marked():
    (shown,) = chapter.by_class(worlds.with_posterior())
    assert "10 or more repeats *" in shown.frame["group"].tolist()  # 29 customers
    assert "fewer than 30" in shown.note


def test_the_title_of_the_accuracy_table_follows_the_numbers():
    made = worlds.at_mle()
    assert "comes closer than any simple rule" in chapter.closeness(made)[0].title
    worse = replace(made.latest, accuracy=replace(made.latest.accuracy, rmse=9.0))
    assert "a simple rule does as well" in chapter.closeness(Backtests("paretonbd", "USD", (worse,)))[0].title


def test_the_range_is_stated_with_its_arithmetic():
    made = worlds.with_posterior()
    b = made.latest
    ratio = b.actual["value"] / b.predicted["value"].value
    text = chapter.effect(made, EQUITY).text
    assert f"USD 90,000 to USD 110,000 × {ratio:.2f}" in text
    assert f"USD 90,000 to USD {110_000 * ratio:,.0f}**" in text


def test_the_tracking_title_dates_the_departure():
    assert re.match(
        r"Since \d+ \w+ 199[78] purchases run above", figures.tracking(worlds.with_posterior())[0].title
    )
    assert (
        figures.tracking(worlds.at_mle())[0].title == "At the end the forecast is 11.5 % below what happened"
    )
    b = worlds.with_posterior().latest
    frame = b.tables["tracking"].assign(high=1e9)
    inside = Backtests("paretonbd", "USD", (replace(b, tables=b.tables | {"tracking": frame}),))
    assert "inside the forecast's range" in figures.tracking(inside)[0].title


def test_the_metrics_are_the_errors():
    b = worlds.with_posterior().latest
    made = chapter.metrics(worlds.with_posterior())
    assert made["backtest_bias"]["value"] == b.accuracy.bias
    assert made["backtest_bias_value"]["value"] == b.bias_value


def test_nothing_shown_has_a_line_per_customer():
    for make in LISTS:
        for exhibit in make(worlds.with_posterior()):
            assert len(getattr(exhibit, "frame", ())) < 100


def test_the_notebook_declares_parameters_of_its_section():
    notebook = nbformat.read(PARAMS.parent / "notebooks" / "05_backtest.ipynb", as_version=4)
    names = parameters.declared(notebook, "05_backtest")
    study = load_study(PARAMS / "cdnow_sample.yml")
    values = parameters.values_for("05_backtest", names, study, "study.yml")
    assert values["origins"] == ["1997-06-30", "1997-09-30"] and values["horizon_days"] == 273
