import re
from dataclasses import replace
from types import SimpleNamespace

import cdnow_frames
import numpy as np
import pytest

from clvkit.chapters import sensitivity as chapter
from clvkit.drivers import DRIVERS
from clvkit.publish.figures import svg
from clvkit.publish.tables import table_html
from clvkit.sensitivity import SensitivitySection, one_way
from clvkit.value import ValueSection

TABLES = (chapter.levels, chapter.effects, chapter.elasticities, chapter.simple_model)
SENTENCES = (chapter.answer, chapter.needed, chapter.who_decides, chapter.against_simple)


def moved(process="paretonbd", posterior=True, section=None, **value):
    fit, spend = cdnow_frames.fit(process), cdnow_frames.fit("gammagamma")
    if posterior:
        fit, spend = cdnow_frames.with_posterior(fit), cdnow_frames.with_posterior(spend, seed=6)
    return one_way(
        fit,
        spend,
        cdnow_frames.cells(),
        ValueSection(**{"margin": 0.3, "annual_discount_rate": 0.1, "posterior_draws": 60} | value),
        section or SensitivitySection(),
        currency="USD",
        minor_per_unit=100,
        days_per_year=365.25,
    )


@pytest.fixture(scope="module")
def pareto():
    return moved()


@pytest.fixture(scope="module")
def extreme():
    """A margin near its bound, no discounting, half a year, large moves, no posterior."""
    section = SensitivitySection(change=0.25, fall=0.9)
    return moved(posterior=False, section=section, margin=0.97, annual_discount_rate=0.0, horizon_months=7.5)


def valuation(equity):
    return SimpleNamespace(estimates={"customer_equity": SimpleNamespace(value=equity)})


def test_everything_can_be_shown(pareto, extreme):
    for one in (pareto, extreme):
        for make in TABLES:
            table = make(one)
            assert "<table" in table_html(table)
            assert table.title and table.caption
        for make in SENTENCES:
            assert not re.search(r"nan|None|\binf\b|\[x\]", make(one).text)
        figure = chapter.tornado(one)
        assert "<svg" in svg(figure)
        assert figure.alt and figure.worry


def test_the_answer_tells_ties_together(pareto):
    text = chapter.answer(pareto).text
    assert text.startswith("**A purchase rate, spend per purchase or margin 10 % lower takes USD ")
    assert "(10.0 %) off customer equity**" in text
    assert "a horizon 10 % shorter" in text
    assert "a dropout hazard 10 % higher" in text


def test_the_answer_leaves_out_what_moves_nothing(extreme):
    assert "discount rate" not in chapter.answer(extreme).text


def test_what_it_would_take(pareto, extreme):
    text = chapter.needed(pareto).text
    assert "fall by 10 %" in text
    assert "the margin 27 % instead of 30 %" in text
    assert re.search(r"the dropout hazard \d+ % higher", text)
    assert re.search(r"the horizon 31\.\d months instead of 36 months", text)
    text = chapter.needed(extreme).text
    assert "no dropout hazard up to 100 times as high would do it" in text
    assert "no discount rate up to 100 % a year would do it" in text


def test_the_tornado_is_symmetric_and_has_every_driver(pareto):
    figure = chapter.tornado(pareto)
    axes = figure.draw.axes[0]
    low, high = axes.get_xlim()
    assert low == -high
    assert low < pareto.drivers["difference_down"].min()
    assert len(axes.patches) == 2 * len(DRIVERS)
    assert [text.get_text() for text in axes.get_yticklabels()][2] == "Margin, 30 %"
    assert "customer equity, USD" in axes.get_xlabel()
    assert all(driver.label in figure.alt for driver in DRIVERS.values())
    assert list(figure.frame["driver"]) == list(pareto.drivers["driver"])


def test_large_amounts_are_stated_in_thousands(pareto):
    drivers = pareto.drivers.copy()
    amounts = [name for name in drivers if name.startswith(("difference", "swing"))]
    drivers[amounts] *= 1000
    figure = chapter.tornado(replace(pareto, drivers=drivers))
    assert "customer equity, USD thousand" in figure.draw.axes[0].get_xlabel()
    assert "USD thousand" in figure.caption


def test_effects_come_with_intervals_of_the_difference(pareto):
    table = chapter.effects(pareto)
    margin = table.frame.set_index("driver").loc["Margin"]
    assert margin["difference_down_low"] < margin["difference_down"] < margin["difference_down_high"] < 0
    assert "nine times in ten between" in table.title
    assert table.formats["difference_up"] == "money"


def test_without_a_posterior_the_table_says_so(extreme):
    table = chapter.effects(extreme)
    assert table.title.startswith("No posterior was drawn")
    assert "[x] not available" in table_html(table)


def test_what_could_not_be_moved_is_said(pareto, extreme):
    assert chapter.levels(pareto).note is None
    note = chapter.levels(extreme).note
    assert "Margin cannot be above 100 %: it is moved up 3.1 %." in note
    assert "Discount rate is zero" in note


def test_where_levels_come_from(pareto):
    frame = chapter.levels(pareto).frame.set_index("driver")
    assert frame.loc["Margin", "source"] == "stated in the study"
    assert frame.loc["Dropout hazard", "source"] == "estimated from purchases"
    assert tuple(frame.loc["Discount rate", ["down", "base", "up"]]) == (
        "9 % a year",
        "10 % a year",
        "11 % a year",
    )
    assert tuple(frame.loc["Horizon", ["down", "base", "up"]]) == ("32.4 months", "36 months", "39.6 months")


def test_the_purchase_rate_is_explained_where_it_counts_for_less(pareto):
    assert chapter.elasticities(pareto).note is None
    assert "decides more often whether to stay" in chapter.elasticities(moved("bgnbd", posterior=False)).note


@pytest.mark.parametrize(
    ("hazard", "rate", "title"),
    [
        (-0.3, -0.1, "Equity answers 3.0 times as much to dropout as to the discount rate"),
        (-0.1, -0.25, "Equity answers 2.5 times as much to the discount rate as to dropout"),
        (-0.1, -0.101, "Equity answers to dropout and to the discount rate alike"),
        (-0.1, 0.0, "Equity answers to dropout and not to the discount rate"),
    ],
)
def test_dropout_and_discounting_compared(pareto, hazard, rate, title):
    elasticities = dict(pareto.elasticities)
    elasticities["dropout_hazard"] = replace(elasticities["dropout_hazard"], value=hazard)
    elasticities["discount_rate"] = replace(elasticities["discount_rate"], value=rate)
    assert chapter.elasticities(replace(pareto, elasticities=elasticities)).title == title


def test_the_textbook_formula_at_the_studys_rate(pareto):
    frame = chapter.simple_model(pareto).frame.set_index("retention")
    assert frame.loc[0.8, "multiple"] == pytest.approx(0.8 / 0.3)
    assert frame.loc[0.8, "elasticity"] == pytest.approx(1.1 / 0.3)
    assert frame.loc[0.8, "hazard"] == pytest.approx(1.1 / 0.3 * np.log(0.8))
    assert 1 / -np.log(0.8) == pytest.approx(4.48, abs=0.005)  # the 4.5 % that the note tells


def test_the_textbook_has_an_answer_also_where_nobody_leaves(extreme):
    drivers = extreme.drivers.copy()
    drivers.loc[drivers["driver"] == "dropout_hazard", "base"] = -1e-12  # but for rounding
    assert "would give −1.00" in chapter.against_simple(replace(extreme, drivers=drivers)).text


class TestChecks:
    def test_on_cdnow(self, pareto):
        found = chapter.checks(pareto, valuation(pareto.equity.value), SensitivitySection())
        checks = {check.id: check for check in found}
        assert {check.chapter for check in found} == {"06_sensitivity"}
        assert (checks["sensitivity.base"].status, checks["sensitivity.base"].severity) == ("pass", "stop")
        assert checks["sensitivity.margin"].status == "info"
        assert checks["sensitivity.margin"].value == pytest.approx(0.1)
        assert checks["sensitivity.horizon"].status == "info"
        assert checks["sensitivity.discount_rate"].status == "info"
        assert checks["sensitivity.discount_rate"].recommendation == ""

    def test_another_base_stops_the_run(self, pareto):
        found = chapter.checks(pareto, valuation(pareto.equity.value * (1 + 2e-9)), SensitivitySection())
        assert found[0].stops
        assert (
            chapter.checks(pareto, valuation(pareto.equity.value * (1 + 5e-10)), SensitivitySection())[
                0
            ].status
            == "pass"
        )

    def test_the_study_sets_what_is_much(self, pareto):
        strict = SensitivitySection(max_assumption_effect=0.05)
        found = chapter.checks(pareto, valuation(pareto.equity.value), strict)
        assert [check.status for check in found] == ["pass", "review", "info", "review"]
