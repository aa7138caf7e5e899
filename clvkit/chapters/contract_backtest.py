"""Chapter 04b: renewals forecast from earlier dates, beside what came."""

from typing import TYPE_CHECKING

import pandas as pd

from clvkit import numbers
from clvkit.contract_backtest import ContractBacktests
from clvkit.contract_verdict import checks as verdict_checks
from clvkit.errors import FitError
from clvkit.exhibits import Sentence, Table

if TYPE_CHECKING:
    from clvkit.checks import Check
    from clvkit.contract_backtest import ContractBacktest
    from clvkit.workbench import Workbench

_WORDS = {"renewals": "Renewals", "value": "Revenue of renewals", "running": "Still running at the end"}


def of_run(run: "Workbench") -> ContractBacktests | None:
    """The back-tests of contracts, judged by the study's thresholds; None where there are no contracts or no origin."""
    held = run.contracts()
    if held is None or held.relations.empty or not run.study.backtest.origins:
        return None
    try:
        return run.get("contract_backtests").judged(run.study.backtest)
    except FitError:
        return None


def exhibits(found: ContractBacktests | None, currency: str) -> list[Sentence | Table]:
    """The verdict, and one table per origin."""
    if found is None:
        return []
    if not found.tried:
        return [
            Sentence("Contracts could not be tried from any earlier date: " + "; ".join(found.refused) + ".")
        ]
    latest = found.latest
    opening = Sentence(
        f"Renewals were forecast from {numbers.date_words(latest.origin)} with what was known that day. **The forecast was "
        f"{latest.verdict.level}.** {latest.verdict.reason}"
    )
    return [opening, *(table(one, currency) for one in found.tried)]


def table(one: "ContractBacktest", currency: str) -> Table:
    """Forecast, range, what came, and simple rules, from one origin."""
    rows = []
    for name, words in _WORDS.items():
        made = one.predicted[name]
        rows.append((words, one.actual[name], made.value, made.low, made.high, one.bias(name),
                     one.baselines["constant_rate"][name], one.baselines["nobody_leaves"][name]))  # fmt: skip
    columns = ["measure", "actual", "forecast", "low", "high", "bias", "constant_rate", "nobody_leaves"]
    bias = one.bias()
    words = "no renewal came" if bias is None else f"renewals were forecast {numbers.bias_words(bias)}"
    return Table(
        f"contract_backtest_{one.origin.isoformat().replace('-', '')}",
        pd.DataFrame(rows, columns=columns).astype({"bias": float}),
        f"From {numbers.date_words(one.origin)}, {words}",
        f"{numbers.count(one.relations)} contracts that ran then, followed to {numbers.date_words(one.end)}: what came, the forecast "
        f"with the range that holds the luck of single contracts, and two simple rules; revenue in {currency}.",
        formats=dict.fromkeys(["actual", "forecast", "low", "high", "constant_rate", "nobody_leaves"], "number:0") | {"bias": "percent"},
        labels={"measure": "Measure", "actual": "Came", "forecast": "Forecast", "low": "from", "high": "to", "bias": "Error",
                "constant_rate": "One rate for all", "nobody_leaves": "Nobody leaves"},
        note="The revenue that came has the fees of its day, the forecast those of the origin.",
    )  # fmt: skip


def checks(found: ContractBacktests | None) -> "list[Check]":
    """One check per rule of the verdict."""
    return [] if found is None else verdict_checks(found)


def as_results(found: ContractBacktests | None) -> list[dict]:
    """Each origin as ``results.json`` holds it."""
    return [] if found is None else [one.to_json() for one in found.tried]
