"""What chapter 4b shows of contracts: every sentence, table and figure is made of the numbers it says."""

from datetime import date
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from clvkit import numbers
from clvkit.chapters import contract_beside, contract_tenure, customer_total
from clvkit.chapters import contract_value as words
from clvkit.contract_models import fit_both
from clvkit.contract_scores import contract_sensitivity
from clvkit.contract_value import contract_value
from clvkit.contracts import contracts
from clvkit.contracts_section import ContractsSection
from clvkit.models_section import ModelsSection, SamplerSection
from clvkit.value import ValueSection

AS_OF, YEAR = date(2024, 6, 30), 365.25
SECTION = ContractsSection(
    source="c", notice_days=30, trial_plans=("trial",), segment_by="plan", periods={"year": "year"}
)
MODELS = ModelsSection(sampler=SamplerSection(method="laplace", draws=200, tune=200, chains=2))
VALUE = ValueSection(margin=0.5, annual_discount_rate=0.1, horizon_months=24, posterior_draws=50)
STUDY = SimpleNamespace(currency="EUR", value=VALUE, contracts=SECTION)
MONEY = {"as_of": AS_OF, "currency": "EUR", "days_per_year": YEAR}


def rows(count=700) -> pd.DataFrame:
    """Monthly contracts of two plans, yearly ones, trials, a pause, and some who came back."""
    rng, made = np.random.default_rng(0), []
    for k in range(count):
        months, plan = (12, "year") if k % 4 == 0 else (1, "basic" if k % 2 else "plus")
        start = pd.Timestamp("2020-07-01") + pd.Timedelta(days=int(rng.integers(0, 1400)))
        churn = rng.beta(*((1.5, 4) if months == 12 else (1, 15) if plan == "basic" else (1, 4)))
        end = (
            start
            + pd.DateOffset(months=int(min(rng.geometric(max(churn, 1e-6)), 150)) * months)
            - pd.Timedelta(days=1)
        )
        made.append(
            (f"C{k}", f"k{k}", start, end if end < pd.Timestamp(AS_OF) else None, plan, 10.0 * months, None)
        )
        if k % 10 == 1 and end < pd.Timestamp("2024-03-01"):
            made.append((f"B{k}", f"k{k}", end + pd.Timedelta(days=60), None, "plus", 15.0, None))
        if k % 7 == 0:
            made.append(
                (
                    f"T{k}",
                    f"t{k}" if k % 2 else f"k{k}",
                    start - pd.Timedelta(days=14),
                    start - pd.Timedelta(days=1),
                    "trial",
                    0.0,
                    None,
                )
            )
    made += [("P1", "p1", pd.Timestamp("2024-01-15"), None, "basic", 10.0, "paused"),
             ("N1", "n1", pd.Timestamp("2024-01-15"), pd.Timestamp("2024-09-14"), "basic", 10.0, None),
             ("R1", "r1", pd.Timestamp("2024-06-25"), None, "trial", 0.0, None)]  # fmt: skip
    frame = pd.DataFrame(made, columns=["contract", "customer", "start", "end", "plan", "fee", "status"])
    return frame.assign(currency="EUR")


@pytest.fixture(scope="module")
def world():
    held = contracts(rows(), SECTION, AS_OF)
    fits = fit_both(held, SECTION, MODELS, YEAR)
    return (fits, contract_value(fits, held, SECTION, VALUE, **MONEY), False), held


def named(shown) -> dict:
    return {one.name: one for one in shown if hasattr(one, "name")}


def test_value_by_period_by_segment_and_by_model(world):
    found, _ = world
    fits, value, _ = found
    shown = words.exhibits(found, None, STUDY)
    tables = named(shown)
    assert list(tables) == ["contract_models", "contract_models_by_segment", "contract_value_by_tenure", "contract_value_by_plan",
                            "contract_value_by_period", "contract_value_by_segment"]  # fmt: skip
    assert numbers.money(value.equity.value, "EUR").split()[1] in shown[0].text
    for name in list(tables)[2:]:
        assert tables[name].frame["value"].iloc[-1] == pytest.approx(value.equity.value, rel=1e-9)
    models = tables["contract_models"]
    assert (
        models.frame["billed"].unique().tolist() == ["monthly", "yearly"]
        and (models.frame["used"] == "yes").sum() == 2
    )
    used = value.plain is not None
    assert (
        used == fits.parts[1].segments_used
        and ("not valued by plan" in tables["contract_models_by_segment"].title) != used
    )
    said = words.as_results(found)
    assert set(said) == {"1", "12"} and said["1"]["relations"] == fits.parts[1].relations
    assert words.metrics(found)["contract_equity_outcome"].kind == "outcome"


def test_curves_and_what_one_per_cent_does(world):
    found, held = world
    shown = contract_tenure.exhibits(found, held, STUDY)
    figures = named(shown)
    assert set(figures) == {"contract_value_curve", "contract_rates_1", "contract_rates_12"}
    curve = figures["contract_value_curve"].frame
    for _, part in curve.groupby("period_months"):
        assert part["value"].is_monotonic_increasing and (part["low"] <= part["high"]).all()
    rates = figures["contract_rates_1"].frame
    assert (rates["at_risk"] >= contract_tenure.FEWEST).all() and rates["at_risk"].is_monotonic_decreasing
    (said,) = [one.text for one in shown if hasattr(one, "text")]
    assert f"**{numbers.number(found[1].elasticity.value, 2)} %**" in said
    assert contract_tenure.exhibits("None.", held, STUDY) == []


def test_what_stands_beside(world):
    found, held = world
    value = found[1]
    shown = contract_beside.exhibits(found, held, STUDY)
    text = " ".join(one.text for one in shown if hasattr(one, "text"))
    assert "30 days of notice" in text and numbers.money(value.sure.value, "EUR") in text
    assert "One contract is paused" in text and numbers.money(value.paused.value, "EUR") in text
    assert (
        f"**{numbers.percent(value.converts.value)}** convert" in text
        and f"{len(held.trials)} trials" in text
    )
    assert "came back" in text and value.counts == {"announced": 1, "paused": 1, "on_trial": 1}
    assert contract_beside.exhibits("None.", held, STUDY) == []


def test_what_moves_it(world):
    found, held = world
    moved = contract_sensitivity(found[0], held, SECTION, VALUE, 0.1, **MONEY)
    shown = customer_total.sensitivity(moved, STUDY, 0.1)
    assert len(shown.frame) == 5 and shown.frame["swing"].iloc[0] == pytest.approx(0.2)
    hazard = moved.set_index("driver").loc["hazard"]
    assert numbers.percent(-hazard["difference_up"] / hazard["equity"]) in shown.title
