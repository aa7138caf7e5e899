"""The season planted in a company: found again from its purchases, and what the fit is without it."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from companies import STUDY

from clvkit.calendar import make_calendar
from clvkit.calendar_section import CalendarSection
from clvkit.customers import cells, customer_summary, daily_purchases
from clvkit.fitting import fit_process
from clvkit.models_section import ModelsSection
from clvkit.simulate.people import draw_people
from clvkit.simulate.plan import PARAMETERS, SEASON, Plan

START, END = date(2022, 7, 1), date(2024, 12, 31)
TRUE = np.array(list(PARAMETERS.values()))
MODELS = ModelsSection(headline="paretonbd", time_unit="year")


def histories(plan: Plan) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cells and days of a company's people, one purchase a day at most, as a ledger without a defect has them."""
    _, who, when = draw_people(plan)
    day = np.minimum(when.astype(int), plan.days - 1)
    bought = pd.DataFrame({"who": who, "day": day}).drop_duplicates()
    each = bought.groupby("who")["day"].agg(["min", "max", "size"])
    cells_ = pd.DataFrame({
        "frequency": each["size"] - 1, "recency_days": each["max"] - each["min"], "T_days": plan.days - 1 - each["min"],
    })  # fmt: skip
    first = (bought["day"] == bought["who"].map(each["min"])).rename("first")
    daily = first.groupby(bought["day"]).agg(["sum", "size"]).reindex(range(plan.days), fill_value=0)
    days = pd.date_range(plan.start, plan.end)
    return (
        cells_.groupby(list(cells_.columns), as_index=False).size().rename(columns={"size": "n"}),
        pd.DataFrame({
            "day": days, "first": daily["sum"].to_numpy(), "repeat": (daily["size"] - daily["sum"]).to_numpy(),
        }),
    )  # fmt: skip


def covered(months) -> int:
    """How many of the planted factors lie within their intervals."""
    assert all(one.how == "estimated" for one in months)
    return sum(one.low <= true <= one.high for one, true in zip(months, SEASON.values(), strict=True))


def test_the_season_of_the_sample_is_found_again(clean):
    """1,500 customers in 29 months: the study's own calendar."""
    summary = customer_summary(clean.ledger.purchases, STUDY.as_of)
    daily = daily_purchases(clean.ledger.purchases, STUDY.as_of)
    assert STUDY.calendar.season == "estimate"
    found = make_calendar(STUDY.calendar, cells(summary), daily, STUDY.models, STUDY.as_of)
    values = np.array([one.value for one in found.months])
    print("planted and found:", np.round([list(SEASON.values()), values], 2))
    assert found.refused == ()
    assert covered(found.months) >= 8  # of 12 nine times in ten: P(fewer than 8) = 0.4 %
    np.testing.assert_allclose(values, list(SEASON.values()), rtol=0.25)
    assert values.argmax() == 11 and values[10] > 1.1 > values[[0, 1, 6, 7]].max()


def test_a_company_without_a_season_has_none_found():
    """Factors of a company that was written without a season hold 1 as often as they should."""
    histories_ = histories(Plan(1500, 20240117, START, END, (), "EUR", season=False))
    found = make_calendar(CalendarSection(season="estimate"), *histories_, MODELS, END)
    flat = sum(one.low <= 1.0 <= one.high for one in found.months)
    assert flat >= 8  # of 12 nine times in ten: P(fewer than 8) = 0.4 %


@pytest.mark.slow
def test_the_parameters_are_nearer_the_truth_with_the_season_than_without():
    """Three companies of 6,000 customers whose last month is a December: without a season they seem to leave more rarely."""
    inside, apart = 0, []
    for seed in range(3):
        known, daily = histories(Plan(6000, seed, START, END, (), "EUR"))
        found = make_calendar(CalendarSection(season="estimate"), known, daily, MODELS, END)
        inside += covered(found.months)
        fits = [fit_process("paretonbd", known, MODELS, sample=False, **timed) for timed in (found.timed, {})]
        apart.append([np.abs(np.log(one.mle / TRUE)).sum() for one in fits])
        assert fits[0].log_likelihood > fits[1].log_likelihood + 100
    print("sum of |log(estimate / truth)| with and without:", np.round(apart, 2))
    assert inside >= 28  # of 36 nine times in ten: P(fewer than 28) = 1 %
    assert np.mean(apart, axis=0)[0] < np.mean(apart, axis=0)[1]
