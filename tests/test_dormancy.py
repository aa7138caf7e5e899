"""Dormant customers: three treatments of their value, for everybody and in every sum."""

import ibis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clvkit.chapters.dormancy import exhibits
from clvkit.customers import cells, customer_summary, score_cells, spend_cells
from clvkit.dormancy import Dormancy, dormancy, gap_quantiles
from clvkit.dormancy_section import DormancySection, kept
from clvkit.errors import StudyError
from clvkit.fitting import fit_process, fit_spend
from clvkit.models_section import ModelsSection
from clvkit.processes import get
from clvkit.study import load_study
from clvkit.valuation import scores, valuation
from clvkit.value import ValueSection

AS_OF = pd.Timestamp("2023-12-31")
VALUE = ValueSection(margin=0.4, annual_discount_rate=0.1, horizon_months=24, posterior_draws=50)
MONEY = {"minor_per_unit": 100, "days_per_year": 365.25}


@pytest.fixture(scope="module")
def company():
    """Purchases, their summary, and both fits."""
    rng, model = np.random.default_rng(2), get("bgnbd")
    born = rng.integers(30, 700, 600)
    drawn = model.simulate(np.array([0.9, 6.0, 0.8, 2.5]), born / 7, rng)
    who = np.concatenate([np.arange(600), drawn.customer])
    ago = np.concatenate([born, np.floor(born[drawn.customer] - 7 * drawn.time)])
    frame = pd.DataFrame({"customer": [f"c{one:03d}" for one in who], "day": (AS_OF - pd.to_timedelta(ago, unit="D")).date,
                          "amount_minor": (2000 * rng.gamma(4, 0.25, len(who))).astype(np.int64) + 1})  # fmt: skip
    bought = ibis.memtable(frame.groupby(["customer", "day"], as_index=False)["amount_minor"].sum())
    summary = customer_summary(bought, AS_OF.date())
    models = ModelsSection(sampled=())
    return (
        bought,
        summary,
        fit_process("bgnbd", cells(summary), models),
        fit_spend(spend_cells(summary), models, 100),
    )


def section(**said) -> ValueSection:
    return VALUE.model_copy(update={"dormancy": DormancySection(**said)})


@given(silence=st.floats(0, 5000), after=st.integers(1, 1000), half=st.floats(1, 1000))
def test_zero_is_at_most_depreciate_is_at_most_retain(silence, after, half):
    zero, some, whole = (float(kept(one, silence, after, half)) for one in ("zero", "depreciate", "retain"))
    assert 0 <= zero <= some <= whole == 1


def test_a_half_life_leaves_exactly_one_half():
    assert kept("depreciate", 200.0 + 90.0, 200.0, 90.0) == 0.5
    assert kept("depreciate", 200.0 + 180.0, 200.0, 90.0) == 0.25
    assert kept("depreciate", 200.0, 200.0, 90.0) == 1.0 and kept("zero", 200.0, 200.0, 90.0) == 1.0


def test_for_every_customer_and_in_the_sum(company):
    _, summary, fit, spend = company
    people, found = score_cells(summary), {}
    for treatment in ("retain", "depreciate", "zero"):
        asked = section(treatment=treatment, after_days=150)
        found[treatment] = scores(fit, spend, people, asked, **MONEY)
        value = valuation(
            fit,
            spend,
            cells(summary),
            people,
            asked,
            as_of=AS_OF.date(),
            grain="month",
            currency="EUR",
            seed=1,
            **MONEY,
        )
        total = float((found[treatment]["clv"] * found[treatment]["n"]).sum())
        assert value.estimates["customer_equity"].value == pytest.approx(total, rel=1e-9)
        assert value.groups["cohort"]["value"].sum() == pytest.approx(total, rel=1e-9)
        outcome = value.estimates["customer_equity_outcome"]
        assert outcome.low < total < outcome.high
    silent = (people["T_days"] - people["recency_days"]).to_numpy() > 150
    zero, some, whole = (found[name]["clv"].to_numpy() for name in ("zero", "depreciate", "retain"))
    assert (zero <= some + 1e-12).all() and (some <= whole + 1e-12).all()
    assert (zero[silent] == 0).all() and (zero[~silent] == whole[~silent]).all()
    assert found["zero"]["p_alive"].equals(
        found["retain"]["p_alive"]
    )  # policy changes value, and no probability


def test_what_is_compared_is_what_the_value_would_be(company):
    bought, summary, fit, spend = company
    asked = section(after_days=150, half_life_days=100.0)
    found = dormancy(fit, spend, cells(summary), bought, asked, as_of=AS_OF.date(), **MONEY)
    for treatment in ("retain", "depreciate", "zero"):
        one = asked.model_copy(
            update={"dormancy": asked.dormancy.model_copy(update={"treatment": treatment})}
        )
        people = scores(fit, spend, score_cells(summary), one, **MONEY)
        assert found.row[treatment] == pytest.approx((people["clv"] * people["n"]).sum(), rel=1e-9)
    assert found.row["retain"] - found.row["zero"] == pytest.approx(found.row["held"], rel=1e-9)
    counted = summary.filter(summary.T_days - summary.recency_days > 150).count().execute()
    assert found.row["customers"] == counted
    by = found.table.set_index("after_days")
    assert (
        by["zero"].is_monotonic_increasing and by["retain"].nunique() == 1
    )  # a longer threshold takes less away


def test_thresholds_are_gaps_that_few_exceed(company):
    bought, *_ = company
    frame = bought.to_pyarrow().to_pandas().sort_values(["customer", "day"])
    gaps = pd.to_datetime(frame["day"]).groupby(frame["customer"]).diff().dt.days.dropna()
    for share, days in zip(
        (0.5, 0.9, 0.95), gap_quantiles(bought, AS_OF.date(), (0.5, 0.9, 0.95)), strict=True
    ):
        assert (gaps <= days).mean() >= share > (gaps <= days - 1).mean()


def test_the_words_and_what_is_kept(company, tmp_path):
    bought, summary, fit, spend = company
    asked = section(treatment="depreciate", after_days=150)
    value = valuation(
        fit,
        spend,
        cells(summary),
        score_cells(summary),
        asked,
        as_of=AS_OF.date(),
        grain="month",
        currency="EUR",
        seed=1,
        **MONEY,
    )
    found = dormancy(fit, spend, cells(summary), bought, asked, as_of=AS_OF.date(), **MONEY)
    found.save(tmp_path)
    again = Dormancy.load(tmp_path)
    pd.testing.assert_frame_equal(again.table, found.table)
    assert (again.after_days, again.treatment, again.half_life_days) == (150, "depreciate", 180.0)
    said, table = exhibits(again, value)
    assert "silent for more than 150 days" in said.text and "halves it for every 180 days" in said.text
    assert "would take" in table.title and list(table.frame["from"]).count("the study's") == 1


def test_nobody_who_bought_twice_has_no_usual_silence(company):
    _, _, fit, spend = company
    once = ibis.memtable(
        pd.DataFrame({"customer": ["a", "b"], "day": [AS_OF.date()] * 2, "amount_minor": 100})
    )
    summary = customer_summary(once, AS_OF.date())
    assert dormancy(fit, spend, cells(summary), once, VALUE, as_of=AS_OF.date(), **MONEY) is None
    assert "Nobody bought twice" in exhibits(None, None)[0].text


def test_a_treatment_needs_a_threshold():
    from study_files import PARAMS

    with pytest.raises(StudyError, match="after_days must be a number of days where treatment is zero"):
        load_study(PARAMS / "cdnow.yml", {"value.dormancy.treatment": "zero"})
    study = load_study(PARAMS / "cdnow.yml", {"value.dormancy": "{treatment: zero, after_days: 180}"})
    assert study.value.dormancy.after_days == 180
