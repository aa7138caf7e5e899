import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from clvkit.chapters import cohorts as chapter
from clvkit.cohorts import CohortsSection, cohort_triangles
from clvkit.ledger import LedgerSection, build_ledger
from clvkit.publish.figures import svg
from clvkit.publish.tables import table_html

SAMPLES = Path(__file__).parents[2] / "data_samples" / "cdnow"


def cdnow(as_of, grain="month"):
    section = LedgerSection(path="cdnow_sample.csv")
    ledger = build_ledger(section, as_of=as_of, currency="USD", base=SAMPLES)
    section = CohortsSection(grain=grain)
    return cohort_triangles(ledger.purchases, section, as_of), ledger, section


@pytest.fixture(scope="module")
def months():
    return cdnow(dt.date(1998, 6, 30))


@pytest.fixture(scope="module", params=["day", "week", "quarter"])
def other_grain(request):
    return cdnow(dt.date(1998, 6, 17), request.param)


@pytest.fixture(scope="module")
def too_young():
    """No period is over yet."""
    return cdnow(dt.date(1997, 1, 20))


def test_the_cohorts_tie_to_the_ledger(months, other_grain, too_young):
    for cohorts, ledger, _ in (months, other_grain, too_young):
        checks = chapter.ties(cohorts, ledger)
        assert [check.status for check in checks] == ["pass"] * 3
        assert {check.severity for check in checks} == {"stop"}


def test_a_cohort_that_lost_a_purchase_stops_the_run(months):
    cohorts, ledger, _ = months
    cohorts = type(cohorts)(cohorts.grain, cohorts.as_of, cohorts.sizes, cohorts.long.iloc[:-1])
    checks = {check.id: check for check in chapter.ties(cohorts, ledger)}
    assert checks["cohorts.purchases"].stops
    assert checks["cohorts.revenue"].stops
    assert checks["cohorts.customers"].status == "pass"


def test_sizes_end_in_the_ledgers_totals(months):
    table = chapter.sizes(*months[:2])
    total = table.frame.iloc[-1]
    assert (total["customers"], total["purchases"]) == (2357, 6696)
    assert total["revenue"] == pytest.approx(244091.94, abs=1e-6)
    assert "<table" in table_html(table)


def test_many_cohorts_are_gathered_and_still_add_up():
    cohorts, ledger, _ = cdnow(dt.date(1998, 6, 30), "day")
    frame = chapter.sizes(cohorts, ledger).frame
    assert len(frame) == chapter.MOST_COHORTS + 2
    assert frame["label"].iloc[0] == f"{len(cohorts.sizes) - chapter.MOST_COHORTS} earlier cohorts"
    assert frame["customers"].iloc[:-1].sum() == frame["customers"].iloc[-1] == 2357


def test_the_answer_is_made_from_the_triangles(months):
    cohorts, ledger, _ = months
    text = chapter.answer(cohorts, ledger).text
    assert "**2,357 customers** came in 3 monthly cohorts, from Jan 1997 to Mar 1997." in text
    rate = cohorts.pooled_repeat_rate()[1]
    assert f"**{100 * rate:.1f} %** of them bought again" in text


def test_immature_cells_are_blank_in_the_drawing(months):
    cohorts, _, section = months
    drawn = chapter.repeat_rates(cohorts, section)
    numbers = [text for text in drawn.draw.axes[0].texts]
    # 17 + 16 + 15 mature cells and 17 of the pooled row
    assert len(numbers) == 17 + 16 + 15 + 17
    blank = drawn.frame[~drawn.frame["mature"]]
    assert (drawn.frame["age"].max(), len(blank)) == (17, 0)


def test_the_value_curves_compare_cohorts_at_the_same_age(months):
    cohorts, ledger, section = months
    figure = chapter.value_curves(cohorts, ledger, section)
    value = cohorts.wide("cumulative_minor_per_customer")[15] / 100
    assert figure.title.startswith("15 months on, a customer of Jan 1997 had brought")
    assert f"USD {value.iloc[0]:.2f}" in figure.title
    assert f"USD {value.iloc[-1]:.2f}" in figure.title
    assert np.isnan(figure.frame.set_index("cohort").loc["Mar 1997", "16"])


def test_every_grain_draws(other_grain):
    cohorts, ledger, section = other_grain
    for figure in (
        chapter.repeat_rates(cohorts, section),
        chapter.revenue(cohorts, ledger, section),
        chapter.value_curves(cohorts, ledger, section),
    ):
        assert svg(figure).startswith("<svg")
        assert figure.worry


def test_a_business_whose_first_period_is_not_over_has_words_too(too_young):
    cohorts, ledger, section = too_young
    assert "customers** came in 1 monthly cohort, Jan 1997." in chapter.answer(cohorts, ledger).text
    assert "is not over yet" in chapter.sizes(cohorts, ledger).note
    assert "No cohort has been watched" in chapter.repeat_rates(cohorts, section).title
    assert "No revenue yet" in chapter.revenue(cohorts, ledger, section).title
    assert chapter.value_curves(cohorts, ledger, section).title == "No month is over yet"
