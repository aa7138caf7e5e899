"""The verdict on a back-test of contracts: the rules of `clvkit.verdict`, asked of renewals."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from clvkit import numbers
from clvkit.checks import Check
from clvkit.contract_backtest import BASELINES, ContractBacktest, ContractBacktests
from clvkit.verdict import LEVELS, Finding, Verdict, _bias

if TYPE_CHECKING:
    from clvkit.backtest import BacktestSection

CHAPTER = "04b_contracts"
_STATUS = {"good": "pass", "fair": "review", "poor": "fail"}
RULES = {
    "bias": ("Forecast of the number of renewals",
             "Look in chapter 3 whether newer contracts are left sooner than older ones were: the model learns from all."),
    "bias_value": ("Forecast of the revenue of renewals",
                   "Where renewals were forecast better than revenue, fees changed: set contracts.fee_growth, or read the "
                   "changes of plan."),
    "interval": ("Interval of the forecast of renewals",
                 "Do not use the model's own interval alone: it knows nothing of what changed in the market."),
    "baselines_beaten": ("The model of renewals against simple rules",
                         "Use one rate of retention, if that did better, and look why contracts are more alike than the model "
                         "takes them to be."),
}  # fmt: skip


def judge(one: ContractBacktest, section: "BacktestSection") -> Verdict:
    """The verdict on one back-test by all rules, with the study's thresholds."""
    found = [
        _bias("bias", "renewals were", one.bias(), one.expected["renewals"].value, section),
        _bias(
            "bias_value", "revenue of renewals was", one.bias("value"), one.expected["value"].value, section
        ),
        _interval(one),
        _beats(one),
    ]
    found = [finding for finding in found if finding is not None]
    level = max((finding.level for finding in found), key=LEVELS.index)
    order = sorted(found, key=lambda finding: -LEVELS.index(finding.level))
    telling = [finding.message for finding in order if finding.level != "good"] or [order[0].message]
    reason = "; ".join(telling)
    return Verdict(level, f"{reason[0].upper()}{reason[1:]}.", tuple(found))


def _interval(one: ContractBacktest) -> Finding | None:
    made, actual = one.predicted["renewals"], one.actual["renewals"]
    if made.low is None:
        return None
    inside = made.low <= actual <= made.high
    side = "inside" if inside else "below" if actual < made.low else "above"
    ends = f"{numbers.percent(made.interval, 0)} interval from {numbers.count(made.low)} to {numbers.count(made.high)}"
    return Finding("interval", "good" if inside else "fair", f"the {numbers.count(actual)} renewals made lie {side} the {ends}",
                   actual, made.low if actual < made.low else made.high, "renewals")  # fmt: skip


def _beats(one: ContractBacktest) -> Finding:
    own = one.error("renewals")
    others = {name: one.error("renewals", name) for name in one.baselines}
    lost = sum(error < own for error in others.values())
    words = " and ".join(f"{numbers.count(error)} where {BASELINES[name]}" for name, error in others.items())
    words = words.replace("where one rate of retention for all", "with one rate of retention for all")
    return Finding("baselines_beaten", ("good", "fair", "poor")[lost],
                   f"the forecast of renewals was {numbers.count(own)} off, against {words}", own, min(others.values()),
                   "renewals")  # fmt: skip


def checks(found: ContractBacktests) -> list[Check]:
    """One check per rule, on the origin where it came out worst, and one for origins that could not be tried."""
    made = list(_refused(found.refused))
    for rule, (title, advice) in RULES.items():
        pairs = [(b, one) for b in found.tried if b.verdict for one in b.verdict.findings if one.rule == rule]
        if not pairs:
            continue
        worst, finding = max(pairs, key=lambda pair: (LEVELS.index(pair[1].level), pair[0].origin))
        others = [
            f"from {numbers.date_words(b.origin)}: {one.level}"
            for b, one in pairs
            if b.origin != worst.origin
        ]
        beside = f"; {', '.join(others)}" if others else ""
        made.append(Check(
            f"contract_backtest.{rule}", title, _STATUS[finding.level],
            f"Forecast from {numbers.date_words(worst.origin)}: {finding.message}{beside}.",
            value=finding.value, threshold=finding.threshold, unit=finding.unit,
            recommendation="" if finding.level == "good" else advice, chapter=CHAPTER,
        ))  # fmt: skip
    return made


def _refused(reasons: Iterable[str]) -> Iterable[Check]:
    for reason in reasons:
        yield Check("contract_backtest.made", "Contracts were tried on the past", "review",
                    f"From one earlier date nothing could be forecast ({reason}).", chapter=CHAPTER,
                    recommendation="Choose a later date in backtest.origins.")  # fmt: skip
