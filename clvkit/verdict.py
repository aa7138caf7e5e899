"""The verdict on a back-test: rules with thresholds from the study, and the range they put around a value."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from clvkit import numbers
from clvkit.checks import Check, Severity

if TYPE_CHECKING:
    from clvkit.backtest import BacktestSection
    from clvkit.backtest_results import Backtest
    from clvkit.estimate import Estimate

CHAPTER = "05_backtest"
REQUIRED = ("last_period", "segment_mean", "hiatus")
LEVELS = ("good", "fair", "poor")
Level = Literal["good", "fair", "poor"]
_STATUS = {"good": "pass", "fair": "review", "poor": "fail"}


@dataclass(frozen=True)
class Finding:
    """What one rule found in one back-test; ``message`` is a clause without a full stop."""

    rule: str
    level: Level
    message: str
    value: float | None = None
    threshold: float | None = None
    unit: str = ""


@dataclass(frozen=True)
class Verdict:
    """``good``, ``fair`` or ``poor``: the worst that any rule found, and why, in one sentence."""

    level: Level
    reason: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Rule:
    """One rule: its name, what it asks, how it is judged, and what to do where it is not met.

    ``judge`` returns None where there is nothing to judge by, such as no posterior.
    """

    id: str
    title: str
    judge: "Callable[[Backtest, BacktestSection], Finding | None]"
    advice: str
    severity: Severity = "warn"


def _bias(
    rule: str, subject: str, bias: float | None, forecast: float, section: "BacktestSection"
) -> Finding | None:
    if bias is None:  # nothing came, so there is no share of it
        wrong = forecast >= 1
        words = f"{subject} forecast to be {numbers.count(forecast)}, and none came"
        return Finding(rule, "poor", words) if wrong else None
    size, fair, poor = abs(bias), section.fair_bias, section.poor_bias
    level = "poor" if size > poor else "fair" if size > fair else "good"
    bound = {
        "poor": f"poor beyond {numbers.percent(poor, 0)}",
        "fair": f"fair from {numbers.percent(fair, 0)} to {numbers.percent(poor, 0)}",
        "good": f"good within {numbers.percent(fair, 0)}",
    }[level]
    limit = poor if level == "poor" else fair
    return Finding(
        rule,
        level,
        f"{subject} forecast {numbers.bias_words(bias)} ({bound})",
        bias,
        limit,
        "share of actual",
    )


def _purchases(b: "Backtest", section: "BacktestSection") -> Finding | None:
    return _bias("bias", "purchases were", b.accuracy.bias, b.accuracy.predicted, section)


def _revenue(b: "Backtest", section: "BacktestSection") -> Finding | None:
    return _bias("bias_value", "revenue was", b.bias_value, b.predicted["value"].value, section)


def _interval(b: "Backtest", section: "BacktestSection") -> Finding | None:
    made, actual = b.predicted["transactions"], b.actual["transactions"]
    if made.low is None:
        return None
    inside = made.low <= actual <= made.high
    ends = f"{numbers.percent(made.interval, 0)} interval from {numbers.count(made.low)} to {numbers.count(made.high)}"
    side = "inside" if inside else "below" if actual < made.low else "above"
    return Finding("interval", "good" if inside else "fair",
                   f"the {numbers.count(actual)} purchases made lie {side} the {ends}", actual,
                   made.low if actual < made.low else made.high, "purchases")  # fmt: skip


def _beats(b: "Backtest", section: "BacktestSection") -> Finding | None:
    if not b.baselines:
        return None
    lost, words = 0, []
    for name, label in (("mae", "absolute error"), ("rmse", "root mean squared error")):
        best = min(b.baselines.values(), key=lambda one: getattr(one.accuracy, name))
        own, other = getattr(b.accuracy, name), getattr(best.accuracy, name)
        lost += own >= other
        words.append(f"{label} {numbers.number(own, 3)} against {numbers.number(other, 3)} of the best simple rule "
                     f"(the {best.label.lower()})")  # fmt: skip
    best = min(one.accuracy.mae for one in b.baselines.values())
    return Finding("baselines_beaten", ("good", "fair", "poor")[lost], " and ".join(words), b.accuracy.mae, best,
                   "purchases per customer")  # fmt: skip


def _covered(b: "Backtest", section: "BacktestSection") -> Finding:
    short = b.coverage_expected - b.coverage
    return Finding("coverage", "good" if short <= section.max_coverage_gap else "fair",
                   f"{numbers.percent(b.coverage)} of customers bought as often as their 90 % interval says, where the "
                   f"model itself expects {numbers.percent(b.coverage_expected)}", b.coverage,
                   b.coverage_expected - section.max_coverage_gap, "share of customers")  # fmt: skip


def _sampled(b: "Backtest", section: "BacktestSection") -> Finding:
    from clvkit.diagnostics import fit_checks

    odd = [
        check for fit in (b.fit, b.spend) for check in fit_checks(fit) if check.status in ("review", "fail")
    ]
    words = f"{odd[0].message[0].lower()}{odd[0].message[1:].rstrip('.')}" if odd else "both fits converged"
    return Finding("fits", "fair" if odd else "good", words, len(odd), 0, "doubts")


def _compared(b: "Backtest", section: "BacktestSection") -> Finding:
    there = [name for name in REQUIRED if name in b.baselines]
    missing = [name for name in REQUIRED if name not in b.baselines]
    words = (f"the baselines {', '.join(missing)} are missing" if missing else
             f"{len(there)} simple rules were tried on the same customers")  # fmt: skip
    return Finding("baselines", "poor" if missing else "good", words, len(there), len(REQUIRED), "baselines")


RULES: tuple[Rule, ...] = (
    Rule("bias", "Forecast of the number of purchases", _purchases,
         "Read the value with the wider range beside it, and look in the tracking figure for the week from which "
         "the forecast goes wrong: a new offer, a season or a price change that the past did not hold."),
    Rule("bias_value", "Forecast of the revenue", _revenue,
         "Read the value with the wider range beside it. Where purchases were forecast better than revenue, it is "
         "the amounts that changed: compare spend per purchase before and after the origin."),
    Rule("interval", "Interval of the forecast", _interval,
         "Do not use the model's own interval alone: it knows nothing of what changed in the market. Use the range "
         "that includes the error seen here."),
    Rule("baselines_beaten", "The model against simple rules", _beats,
         "Use the simple rule for lists of single customers, and this model, if at all, for totals."),
    Rule("coverage", "Intervals of single customers", _covered,
         "Do not read intervals of single customers; look in the table by number of repeat purchases for the "
         "customers who behave differently."),
    Rule("fits", "Convergence of the fits at the origin", _sampled,
         "What chapter 4 advises for the same doubt about a fit holds here; a later origin has more history to fit. "
         "Until then the forecast's interval is not to be trusted."),
    Rule("baselines", "Simple rules to compare with", _compared,
         "List all of last_period, segment_mean and hiatus in backtest.baselines: without them nobody can say "
         "whether the model is worth having.", "stop"),
)  # fmt: skip


def judge(backtest: "Backtest", section: "BacktestSection") -> Verdict:
    """The verdict on one back-test by all rules."""
    found = [finding for rule in RULES if (finding := rule.judge(backtest, section)) is not None]
    level = max((finding.level for finding in found), key=LEVELS.index)
    order = sorted(found, key=lambda finding: -LEVELS.index(finding.level))
    telling = [finding.message for finding in order if finding.level != "good"] or [order[0].message]
    reason = "; ".join(telling)
    return Verdict(level, f"{reason[0].upper()}{reason[1:]}.", tuple(found))


def checks(backtests: Iterable["Backtest"]) -> list[Check]:
    """One check per rule, on the origin where it came out worst; a review where there is no back-test at all.

    Of origins where it came out alike the latest is told; the message names the others with what they came to.
    """
    judged = list(backtests)
    if not judged:
        return [Check("backtest.made", "The model was tried on the past", "review",
                      "The study names no date to forecast from, so nothing here says how far off the value may be.",
                      chapter=CHAPTER, recommendation="Set backtest.origins to a date that leaves about as long after "
                      "it as before it.")]  # fmt: skip
    made = []
    for rule in RULES:
        found = [(b, one) for b in judged for one in b.verdict.findings if one.rule == rule.id]
        if not found:
            continue
        # of equals the latest binds: its history is the one most like today's
        worst, finding = max(found, key=lambda pair: (LEVELS.index(pair[1].level), pair[0].origin))
        others = [
            f"from {numbers.date_words(b.origin)}: {one.level}"
            for b, one in found
            if b.origin != worst.origin
        ]
        beside = f"; {', '.join(others)}" if others else ""
        made.append(Check(
            f"backtest.{rule.id}", rule.title, _STATUS[finding.level],
            f"Forecast from {numbers.date_words(worst.origin)}: {finding.message}{beside}.",
            value=finding.value, threshold=finding.threshold, unit=finding.unit, severity=rule.severity,
            recommendation="" if finding.level == "good" else rule.advice, chapter=CHAPTER,
        ))  # fmt: skip
    return made


@dataclass(frozen=True)
class ErrorRange:
    """A value's range with the errors seen in back-tests.

    ``low`` and ``high`` are the model's interval times the smallest and the largest of 1 and ``ratios``: actual over
    forecast purchases, and actual over forecast revenue, of each back-test. ``missed`` says whether an outcome
    interval did not hold what happened, in one or the other; then the model's interval alone must not be printed.
    """

    low: float
    high: float
    ratios: tuple[float, ...]
    missed: bool


def adjusted_range(value: "Estimate", backtests: Iterable["Backtest"]) -> ErrorRange | None:
    """Widen the interval of a money value so that it includes the errors seen in back-tests.

    A model that forecast three quarters of what came may be as much too low again: its interval [low, high]
    becomes [low · min(1, ratios), high · max(1, ratios)] with ratio = actual / forecast, of purchases and of
    revenue. Without a posterior the value itself stands for both ends. None where there is no back-test to learn
    from.
    """
    tried = list(backtests)
    ratios = tuple(
        b.actual[name] / b.predicted[name].value
        for b in tried
        for name in ("transactions", "value")
        if b.predicted[name].value > 0
    )
    if not ratios:
        return None
    low, high = (value.value, value.value) if value.low is None else (value.low, value.high)
    return ErrorRange(low * min(1.0, *ratios), high * max(1.0, *ratios), ratios, any(b.missed for b in tried))
