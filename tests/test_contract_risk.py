"""Which contracts may be left within a year, against the model by hand."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from clvkit.chapters.contract_risk import checks
from clvkit.contract_models import fit_both
from clvkit.contract_risk import by_group, contract_risk, quadrants
from clvkit.contracts import contracts
from clvkit.contracts_section import ContractsSection
from clvkit.models_section import ModelsSection
from clvkit.value import ValueSection

AS_OF = date(2024, 6, 30)
SECTION = ContractsSection(source="contracts", periods={"Annual": "year"})
VALUE = ValueSection(margin=0.5, annual_discount_rate=0.1, horizon_months=24)


@pytest.fixture(scope="module")
def held():
    rng, rows = np.random.default_rng(5), []
    for number in range(600):
        plan = "Annual" if number % 3 == 0 else "Basic"
        step = 12 if plan == "Annual" else 1
        start = pd.Timestamp("2020-01-15") + pd.DateOffset(months=int(rng.integers(0, 50)))
        made = int(rng.geometric(rng.beta(1.2, 6 if step == 1 else 3)))
        end = start + pd.DateOffset(months=made * step) - pd.Timedelta(days=1)
        rows.append(
            (f"C{number}", f"k{number}", start, end if end < pd.Timestamp(AS_OF) else None, plan, 10.0 * step)
        )
    rows.append(("C-soon", "soon", pd.Timestamp("2024-01-15"), pd.Timestamp("2024-09-14"), "Basic", 10.0))
    rows.append(("C-late", "late", pd.Timestamp("2024-01-15"), pd.Timestamp("2026-01-14"), "Basic", 10.0))
    frame = pd.DataFrame(rows, columns=["contract", "customer", "start", "end", "plan", "fee"])
    return contracts(frame, SECTION, AS_OF)


@pytest.fixture(scope="module")
def fits(held):
    return fit_both(held, SECTION, ModelsSection(), 365.25, sample=False)


@pytest.fixture(scope="module")
def found(held, fits):
    return contract_risk(fits, held, SECTION, VALUE, as_of=AS_OF, currency="EUR", days_per_year=365.25)


def test_is_the_model_by_hand(held, fits, found):
    running = held.relations[~held.relations["ended"]].reset_index(drop=True)
    fit, free = fits.of(1), running["announced"].isna() & (running["last_plan"] == "Basic")
    at = int(np.flatnonzero(free)[0])
    made = int(running["renewals"].iloc[at])  # monthly: twelve renewals are due within the year
    said = 1 - float(np.squeeze(fit.model.survival(fit.mle, made + 12, made)))
    assert found["leaves"].iloc[at] == pytest.approx(said, rel=1e-9)
    yearly = int(np.flatnonzero(running["announced"].isna() & (running["last_plan"] == "Annual"))[0])
    of_year, made = fits.of(12), int(running["renewals"].iloc[yearly])
    said = 1 - float(np.squeeze(of_year.model.survival(of_year.mle, made + 1, made)))
    assert found["leaves"].iloc[yearly] == pytest.approx(said, rel=1e-9)


def test_an_announced_end_is_certain_within_the_year_and_none_after_it(held, found):
    running = held.relations[~held.relations["ended"]].reset_index(drop=True)
    chance = found["leaves"].set_axis(running["customer"])
    assert chance["soon"] == 1.0 and chance["late"] == 0.0


def test_groups_and_quadrants_are_the_base(found):
    plans, parts = by_group(found, "plan"), quadrants(found)
    for one in (plans, parts):
        assert one["contracts"].sum() == len(found)
        assert one["value"].sum() == pytest.approx(found["value"].sum(), rel=1e-12)
        assert one["at_risk"].sum() == pytest.approx((found["value"] * found["leaves"]).sum(), rel=1e-12)
    assert checks(found, plans, parts)[0].status == "pass"
    assert checks(found, plans.iloc[:-1], parts)[0].status == "fail"
