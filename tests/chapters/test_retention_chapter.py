import dataclasses
import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clvkit.chapters import retention as chapter
from clvkit.chapters.retention_cohorts import by_cohort_at_ages
from clvkit.ledger import LedgerSection, build_ledger
from clvkit.publish.figures import svg
from clvkit.publish.tables import table_html
from clvkit.retention import ProcessCurve, RetentionSection, measure_retention

SAMPLES = Path(__file__).parents[2] / "data_samples" / "cdnow"
SECTION = RetentionSection()


@pytest.fixture(scope="module")
def ledger():
    section = LedgerSection(path="cdnow_sample.csv")
    return build_ledger(section, as_of=dt.date(1998, 6, 30), currency="USD", base=SAMPLES)


@pytest.fixture(scope="module")
def retention(ledger):
    return measure_retention(ledger.purchases, SECTION, ledger.as_of)


def made_up(retention, shift):
    """A process that follows the customers at a constant distance."""
    day = np.arange(SECTION.horizon_days + 1)
    step = np.searchsorted(retention.curve["day"], day, side="right") - 1
    survival = np.clip(retention.curve["survival"].to_numpy()[step] + shift, 0, 1)
    frame = pd.DataFrame({"day": day, "survival": survival, "low": survival, "high": survival})
    return ProcessCurve("made_up", "Made up", 180, 2357, 2, 0.9, frame)


def test_the_answer_starts_with_those_who_came_again(retention):
    text = chapter.answer(retention, SECTION).text
    start = retention.at((0,))["survival"].item()
    assert f"**{100 * start:.1f} %** bought again within 180 days of their first purchase" in text
    assert "nine times in ten between" in text


def test_the_metrics_are_the_curve_where_enough_are_at_risk(retention):
    metrics = chapter.metrics(retention, SECTION)
    assert list(metrics) == [f"retention_day_{day}" for day in (0, 30, 90, 180, 270)]
    assert metrics["retention_day_0"].value == retention.at((0,))["survival"].item()
    assert all(metric.low < metric.value < metric.high for metric in metrics.values())


def test_counts_add_up(retention):
    frame = chapter.judged(retention).frame
    total, cohorts = frame.iloc[-1], frame.iloc[:-1]
    assert total["label"] == "All"
    for column in ("customers", "too_new", "judged", "lost", "returned", "censored"):
        assert cohorts[column].sum() == total[column]
    assert total["customers"] == 2357


def test_the_table_stops_where_too_few_are_at_risk(retention):
    model = made_up(retention, 0.01)
    table = chapter.at_ages(retention, [model], SECTION)
    assert table.frame["at_risk"].iloc[-1] < SECTION.min_at_risk
    assert np.isnan(table.frame["survival"].iloc[-1])
    assert table.frame["made_up"].notna().all()
    assert table.labels["made_up"] == "Made up"
    assert "[x]" in table_html(table)


def test_the_figure_names_customers_processes_and_those_at_risk(retention):
    figure = chapter.curve(retention, [made_up(retention, 0.01)], SECTION)
    axes = figure.draw.axes[0]
    assert {"customers", "Made up"} <= {text.get_text() for text in axes.texts}
    assert axes.get_xticklabels()[0].get_text() == "0\n2,357"
    assert set(figure.frame["curve"]) == {"customers", "made_up"}
    assert figure.frame.loc[figure.frame["curve"] == "customers", "at_risk"].min() >= SECTION.min_at_risk
    assert svg(figure).startswith("<svg")


def test_the_cohorts_of_cdnow_do_not_differ(retention):
    figure = chapter.by_cohort(retention, SECTION)
    assert figure.title.endswith("no further apart than chance explains")
    assert "Log-rank test that the curves are one: p = " in figure.alt


def test_each_cohort_stands_beside_the_customers_it_rests_on(retention):
    table = by_cohort_at_ages(retention, SECTION)
    assert list(table.frame["cohort"].unique()) == ["Jan 1997", "Feb 1997", "Mar 1997"]
    assert list(table.frame["day"].unique()) == [0, 90, 270]
    first = table.frame.query("day == 0")
    assert first["at_risk"].sum() == retention.total["judged"]
    whole = (first["at_risk"] * first["survival"]).sum() / first["at_risk"].sum()
    assert whole == pytest.approx(retention.at((0,))["survival"].item())
    seen = table.frame.dropna()
    assert (seen["low"] < seen["survival"]).all() and (seen["survival"] < seen["high"]).all()
    assert f"rests on: {seen['at_risk'].min():.0f} customers" in table.title
    assert table_html(table)


def test_cohorts_that_differ_are_called_so(retention):
    figure = chapter.by_cohort(dataclasses.replace(retention, cohorts_p=1e-9), SECTION)
    assert figure.title.endswith("buying, further apart than chance explains")
    assert "p below 0.001" in figure.alt


def test_another_silence_is_shown_beside_the_studys(retention):
    table = chapter.silences(retention, SECTION)
    assert list(table.frame["silence_days"]) == [90, 180, 270]
    assert "<table" in table_html(table)


@pytest.mark.parametrize(
    ("shift", "status", "word"), [(0.01, "pass", ""), (0.06, "review", "high"), (-0.06, "review", "low")]
)
def test_a_process_far_from_the_customers_is_put_up_for_review(retention, shift, status, word):
    check = {c.id: c for c in chapter.checks(retention, [made_up(retention, shift)], SECTION)}[
        "retention.gap.made_up"
    ]
    assert check.status == status
    assert word in check.recommendation
    assert check.value == pytest.approx(shift, abs=0.001)


def test_lost_customers_who_come_back_are_put_up_for_review(retention):
    checks = {check.id: check for check in chapter.checks(retention, [], SECTION)}
    assert checks["retention.returned"].status == "review"
    assert "have bought again since" in checks["retention.returned"].message
    patient = SECTION.model_copy(update={"max_returned": 0.5})
    assert chapter.checks(retention, [], patient)[0].status == "pass"


def test_without_enough_customers_the_chapter_says_so(ledger):
    few = ledger.purchases.filter(ledger.purchases.customer <= "00200")
    retention = measure_retention(few, SECTION, ledger.as_of)
    assert 0 < retention.total["judged"] < SECTION.min_at_risk
    models = [made_up(retention, 0.0)]
    assert "bought again within 180 days" in chapter.answer(retention, SECTION).text
    assert "too few for a curve" in chapter.curve(retention, models, SECTION).title
    assert "too few for a curve" in chapter.at_ages(retention, models, SECTION).title
    assert chapter.by_cohort(retention, SECTION).title == "No cohort is large enough for a curve of its own"
    assert by_cohort_at_ages(retention, SECTION).title == "No cohort has enough customers at risk"
    assert [check.status for check in chapter.checks(retention, models, SECTION)][1:] == ["info", "info"]
    assert table_html(chapter.silences(retention, SECTION))
    assert table_html(chapter.judged(retention))


def test_before_anybody_can_be_judged_the_chapter_says_so(ledger):
    retention = measure_retention(ledger.purchases, SECTION, dt.date(1997, 5, 1))
    assert retention.total["judged"] == 0
    models = [ProcessCurve("made_up", "Made up", 180, 2357, 2, 0.9, pd.DataFrame(
        {"day": np.arange(731), "survival": 0.5, "low": 0.4, "high": 0.6}))]  # fmt: skip
    assert "nothing can be said about retention" in chapter.answer(retention, SECTION).text
    assert chapter.judged(retention).title == "No customer can be judged yet"
    assert svg(chapter.curve(retention, models, SECTION))
    assert svg(chapter.by_cohort(retention, SECTION))
    assert table_html(chapter.at_ages(retention, models, SECTION))
    assert table_html(by_cohort_at_ages(retention, SECTION))
    assert chapter.silences(retention, SECTION).title == "No customer counts as lost after 180 days yet"
    assert [check.status for check in chapter.checks(retention, models, SECTION)] == ["pass", "info", "info"]


def test_no_exhibit_names_a_customer(retention):
    for table in (
        chapter.judged(retention),
        chapter.silences(retention, SECTION),
        chapter.at_ages(retention, [], SECTION),
    ):
        assert not {"customer", "customer_id"} & set(table.frame.columns)
