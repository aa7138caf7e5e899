"""Intervals of contracts cover: short twins of `benchmarks/coverage_contracts.py`, and what its worlds are."""

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # the benchmarks are no part of the package

from clvkit import laplace, processes
from clvkit.contracts import contracts as judged
from clvkit.contracts_section import ContractsSection

coverage, judge, worlds = (
    import_module(f"benchmarks.{name}") for name in ("coverage", "coverage_judge", "coverage_contracts")
)


@pytest.fixture
def one_thread(monkeypatch):
    """Small worlds are faster without pools of threads, those of the algebra library included."""
    from threadpoolctl import threadpool_limits

    monkeypatch.setattr(laplace, "ThreadPoolExecutor", coverage.InTurn)
    with threadpool_limits(1):
        yield


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "model", "feared"), [("prior", "sbg", 0.7), ("prior", "bdw", 0.6), ("late", "sbg", 0.6), ("late", "bdw", 0.5)]
)  # fmt: skip
def test_intervals_cover(one_thread, kind, model, feared):
    """As many worlds as would find a coverage of ``feared`` in every quantity with 95 % power."""
    number = judge.least_worlds(feared)
    lines = [worlds.examine(kind, model, k, contracts=300) for k in range(number)]
    found = worlds.summed(lines)
    assert found["failed"] == 0
    verdicts = {name: judge.judge(one["covered"], one["n"]) for name, one in found["quantities"].items()}
    for name, verdict in verdicts.items():
        print(f"{kind} {model} {name}: {verdict}")
    assert {"share after 12", "share after 12, outcome", "equity", "equity, outcome"} <= set(verdicts)
    assert {name: str(verdict) for name, verdict in verdicts.items() if not verdict.passes} == {}


@pytest.mark.parametrize("model", worlds.MODELS)
def test_contracts_seen_late_are_those_that_were_still_there(model):
    """Renewals, ends and entry as the dates give them are those that were simulated."""
    rng = np.random.default_rng(3)
    truth, table, lasts = worlds.world("late", model, 500, rng)
    section = ContractsSection(source="c", observed_from=worlds.OBSERVED_FROM)
    held = judged(table, section, worlds.AS_OF)
    assert len(held.set_aside) == 0 and len(held.relations) == 500
    found = held.relations.set_index("customer").loc[table["customer"]]
    ended = found["ended"].to_numpy()
    np.testing.assert_array_equal(found["renewals"].to_numpy()[ended], lasts[ended])
    assert (found["renewals"].to_numpy() >= found["entry"].to_numpy()).all() and (found["entry"] > 0).any()
    assert (lasts[~ended] >= found["renewals"].to_numpy()[~ended]).all()
    assert len(truth) == len(processes.get(model).parameters)


def test_what_was_paid_is_what_a_loop_over_renewals_gives():
    import pandas as pd

    rng = np.random.default_rng(5)
    _, table, lasts = worlds.world("fixed", "sbg", 80, rng)
    held = judged(table, ContractsSection(source="c"), worlds.AS_OF)
    relations = held.relations.set_index("customer").loc[table["customer"]].reset_index()
    total = 0.0
    for one, last in zip(relations.itertuples(), lasts, strict=True):
        if one.ended:
            continue
        first = one.start + pd.DateOffset(months=int(one.renewals) + 1)
        ahead = (first - pd.Timestamp(worlds.AS_OF)).days / 365.25
        renewals = min(last - one.renewals, worlds.MONTHS)
        total += sum(worlds.MARGIN * one.fee / (1 + worlds.RATE) ** (ahead + k / 12) for k in range(renewals))
    assert worlds.paid(relations, lasts, 365.25) == pytest.approx(total, rel=1e-9)


def test_a_world_is_the_same_whenever_it_is_drawn(one_thread):
    one, two = (worlds.examine("prior", "sbg", 7, contracts=150) for _ in range(2))
    assert (
        one["found"] == two["found"]
        and one["found"] != worlds.examine("prior", "sbg", 8, contracts=150)["found"]
    )


def test_equity_is_what_the_valuation_of_a_study_says(one_thread):
    """The expected value and its interval from the benchmark's short way and from the valuation itself, on one fit."""
    from clvkit.contract_value import ForAll, contract_value
    from clvkit.contracts_fit import fit_contracts
    from clvkit.models_section import ModelsSection, SamplerSection
    from clvkit.value import ValueSection

    _, table, _ = worlds.world("fixed", "sbg", 200, np.random.default_rng(6))
    section = ContractsSection(source="c")
    held = judged(table, section, worlds.AS_OF)
    models = ModelsSection(sampler=SamplerSection(method="laplace", draws=200, tune=200, chains=2))
    fit = fit_contracts(held.cells(), models, period_days=30.4, sample=True)
    terms = ValueSection(margin=worlds.MARGIN, annual_discount_rate=worlds.RATE, horizon_months=worlds.MONTHS, posterior_draws=100)  # fmt: skip
    found = contract_value(
        fit, held, section, terms, as_of=worlds.AS_OF, currency="EUR", days_per_year=365.25, seed=9
    )
    expected, simulated = worlds.equity(ForAll(fit), held, section, terms, 9)
    assert found.equity.value == pytest.approx(expected.mean(), rel=1e-12) and found.equity.value > 0
    np.testing.assert_allclose(
        np.quantile(simulated, [0.05, 0.95]), [found.outcome.low, found.outcome.high], rtol=1e-9
    )


def test_ties_at_the_ends_of_an_interval_are_broken_by_chance():
    """A count that 40 % of draws have, and that lies at the lower end: held as often as its place says."""
    assert worlds.held_it([0.9, 0.95, 0.9, 1.0, 0.051]) and not worlds.held_it([0.9, 0.95, 0.9, 1.0, 0.049])
    assert worlds.held_it([0.9, 0.95, 0.8, 1.0, float("nan")]) and not worlds.held_it(
        [0.7, 0.9, 0.8, 1.0, float("nan")]
    )


def test_the_page_says_what_failed_and_what_was_not_examined():
    lines = [
        {"seconds": 1.0, "redrawn": 0, "found": {"equity": [1.0, 1.1, 0.5, 0.9, 0.99]}} for _ in range(60)
    ]
    page = worlds.page({"prior sbg": worlds.summed(lines)})
    assert "90 % is excluded for 1 of 1 rates: prior sbg equity (0.0 %)" in page
    assert "**BdW**: not examined." in page and "| equity | 60 | 0 (0.0 %) | 0 | +10.0 % |" in page


def test_the_page_is_what_the_counts_say():
    import json
    from pathlib import Path

    from benchmarks.coverage_contracts import page

    folder = Path(__file__).parents[1] / "benchmarks"
    found = json.loads((folder / "coverage" / "contracts.json").read_text("utf-8"))["found"]
    assert (folder / "COVERAGE_CONTRACTS.md").read_text("utf-8").strip() == page(found).strip()
