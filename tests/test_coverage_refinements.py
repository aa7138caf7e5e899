"""Intervals of segments, covariates and calendars cover: short twins of `benchmarks/coverage_refinements.py`."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # the benchmarks are no part of the package

from clvkit import laplace

coverage, judge, refinements = (
    import_module(f"benchmarks.{name}") for name in ("coverage", "coverage_judge", "coverage_refinements")
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
    ("kind", "process", "customers", "feared"),
    [
        ("segments", "bgnbd", 0.3, 0.7),
        ("segments", "paretonbd", 0.3, 0.6),
        ("covariates", "bgnbd", 0.5, 0.6),
        ("clock", "mbgnbd", 1.0, 0.5),
    ],
)
def test_intervals_cover(one_thread, kind, process, customers, feared):
    """As many worlds as would find a coverage of ``feared`` in every quantity with 95 % power."""
    worlds = judge.least_worlds(feared)
    lines = [refinements.examine(kind, process, k, customers, draws=200) for k in range(worlds)]
    found = refinements.summed(lines)
    assert found["failed"] == 0 and found["silent"] <= worlds / 10
    verdicts = {name: judge.judge(one["covered"], one["n"]) for name, one in found["quantities"].items()}
    for name, verdict in verdicts.items():
        print(f"{kind} {process} {name}: {verdict}")
    assert {name: str(verdict) for name, verdict in verdicts.items() if not verdict.passes} == {}


def test_the_page_says_what_failed_and_what_was_not_examined():
    lines = [{"seconds": 1.0, "redrawn": 0, "found": {"r": [1.0, 1.0, 0.5, 0.9, 0.5]}} for _ in range(60)]
    page = refinements.page({"segments bgnbd": refinements.summed(lines)})
    assert "90 % is excluded for 1 of 1 rates: segments bgnbd r (0.0 %)" in page
    assert "**Pareto/NBD**: not examined." in page and "| r | 60 | 0 (0.0 %) |" in page
