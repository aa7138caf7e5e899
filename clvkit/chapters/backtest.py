"""Chapter 05, back-test: how the models did when they were tried on the past, in words and tables."""

from typing import TYPE_CHECKING

import pandas as pd

from clvkit import numbers
from clvkit.backtest_one_time import ONE_TIME, PROCESS
from clvkit.backtest_results import Backtest, Backtests
from clvkit.baselines import RULES, Baseline
from clvkit.exhibits import Facts, Sentence, Table
from clvkit.verdict import adjusted_range

if TYPE_CHECKING:
    from clvkit.estimate import Estimate

#: Whom a line is of.
ALL, ONCE = "All customers", "One-time buyers"
SMALL = 30  # customers; the line of a smaller class is marked
#: Malthouse & Blattberg (2005), four data sets: of the true top fifth missed, of the rest misplaced.
_KNOWN_MISSED, _KNOWN_MISPLACED = 0.55, 0.15

_NONE = (
    "**No back-test was made**: the study names no date to forecast from (`backtest.origins`). How far the value may "
    "be off is then known from the model alone, which takes itself to be right."
)
_ADVICE = {
    "good": "The model did what it promises. Use the value with its interval.",
    "fair": "Use the value, with the wider range beside it, and look at the findings below before relying on one "
    "class of customers.",
    "poor": "Do not rely on the interval of the value alone: use the wider range below. Look in the table by class for "
    "the customers that the error sits with, and find out what changed after the origin before the value goes into a "
    "plan.",
}


def answer(backtests: Backtests) -> Sentence:
    """What the headline process forecast from the latest origin, what happened, and the verdict."""
    b = backtests.latest
    if b is None:
        return Sentence(_NONE)
    made, actual = b.predicted["transactions"], b.actual["transactions"]
    told = f"{numbers.count(made.value)} repeat purchases"
    if made.low is not None:
        ends = numbers.interval_words(made.low, made.high, made.interval, digits=0)
        told += f" ({ends})"
    parts = [
        f"Used on **{numbers.date_words(b.origin)}**, {b.label} forecast {told} within "
        f"{numbers.count(b.horizon_days)} days from the {numbers.count(b.customers)} customers known then. They made "
        f"**{numbers.count(actual)}**: the forecast was **{off(b.accuracy.bias)}**, and for revenue {off(b.bias_value)}.",
        f"Verdict: **{b.verdict.level}**.",
    ]
    earlier = [one for one in backtests.champion[:-1] if one.accuracy.bias is not None]
    biases = [one.accuracy.bias for one in earlier]
    if len(earlier) == 1:
        (one,) = earlier
        parts.append(f"Used on {numbers.date_words(one.origin)} for {numbers.count(one.horizon_days)} days, its "
                     f"forecast of purchases had been {off(one.accuracy.bias)}.")  # fmt: skip
    elif earlier:
        parts.append(f"From {len(biases)} earlier dates its forecasts of purchases had been between "
                     f"{off(min(biases))} and {off(max(biases))}.")  # fmt: skip
    return Sentence(" ".join(parts))


def off(bias: float | None) -> str:
    """An error of a total in words: ``13.3 % too low``; without anything to be a share of, ``above nothing``."""
    return "above nothing" if bias is None else numbers.bias_words(bias)


def metrics(backtests: Backtests) -> dict:
    """The errors of the headline process from the latest origin, by metric id."""
    b = backtests.latest
    if b is None:
        return {}
    unit = "share of actual, negative is too low"
    return {
        "backtest_bias": {"value": b.accuracy.bias, "unit": unit},
        "backtest_bias_value": {"value": b.bias_value, "unit": unit},
    }


def set_up(backtests: Backtests) -> list[Facts]:
    """What was known, what was forecast, and who is in neither."""
    b = backtests.latest
    if b is None:
        return []
    fresh = (
        "Nobody bought for the first time after it."
        if not b.new_customers
        else f"{numbers.count(b.new_customers)} customers first bought after it and are in neither number: a value of "
        "today's customers does not count tomorrow's."
    )
    facts = {
        "What was known": f"{numbers.count(b.customers)} customers and their purchases up to "
        f"{numbers.date_words(b.origin)}. The processes and the spend model were fitted to that alone.",
        "What was forecast": f"Their repeat purchases and revenue from the day after to {numbers.date_words(b.end)}, "
        f"{numbers.count(b.horizon_days)} days; undiscounted, before any margin.",
        "Who is not in it": fresh,
    }  # fmt: skip
    earlier = backtests.champion[:-1]
    if earlier:
        tried = ", ".join(
            f"from {numbers.date_words(one.origin)} to {numbers.date_words(one.end)} "
            f"({numbers.count(one.horizon_days)} days, {numbers.count(one.customers)} customers)"
            for one in earlier
        )
        facts["What was tried before"] = (
            f"The same {tried}. Chapter 4 chooses among the processes by the earliest, whose forecast ends by "
            f"{numbers.date_words(b.origin)} at the latest, so that the errors of this chapter, from then on, had no "
            "part in the choice. Figures and tables below are of the latest unless they say otherwise."
        )
    if untold := [one for one in backtests.champion if one.refused]:
        facts["What was not known then"] = (
            " ".join(f"From {numbers.date_words(one.origin)}: {' '.join(one.refused)}" for one in untold)
            + " These forecasts do without it, and their errors are not those of the study's model as it is now."
        )
    return [Facts(facts)]


def simple_rules(backtests: Backtests) -> list[Sentence]:
    """What each simple rule does, with the days it uses."""
    b = backtests.latest
    if b is None:
        return []
    looks = {
        "last_period": f"Here: the {numbers.count(b.span.window_days)} days up to the origin"
        + ("" if b.span.window_days == b.span.horizon_days
           else f", scaled up by {numbers.number(b.span.horizon_days / b.span.window_days, 2)}"),
        "segment_mean": "Here: the classes of the table below",
        "hiatus": f"Here: a hiatus of {numbers.count(b.span.hiatus_days)} days",
    }  # fmt: skip
    lines = [f"- **{RULES[name].label}**: {RULES[name].words}. {looks[name]}." for name in b.baselines]
    return [Sentence("\n".join(lines) or "**No simple rule was tried**, so the forecast proves nothing.")]


def totals(backtests: Backtests) -> list[Table]:
    """Forecast, interval and what happened, of purchases and of revenue, for every process and simple rule."""
    b = backtests.latest
    if b is None:
        return []
    money = numbers.money_header(backtests.currency)
    return [
        _totals(backtests, "transactions", f"{b.label} forecast purchases {off(b.accuracy.bias)}", "repeat purchases",
                "Purchases", "count"),
        _totals(backtests, "value", f"{b.label} forecast revenue {off(b.bias_value)}",
                f"revenue ({money}; undiscounted, before margin)", f"Revenue, {money}", "money"),
    ]  # fmt: skip


def _totals(backtests: Backtests, what: str, title: str, measure: str, header: str, form: str) -> Table:
    frames, several = [], len(backtests.champion) > 1
    for origin in sorted({b.origin for b in backtests}):
        tried, rows = [b for b in backtests if b.origin == origin], []
        for b in tried:
            made = b.predicted[what]
            bias = b.accuracy.bias if what == "transactions" else b.bias_value
            rows.append(
                (ALL, b.label, made.value, made.low, made.high, made.mle, tried[0].actual[what], bias)
            )
        for one in tried[0].baselines.values():
            value = one.accuracy.predicted if what == "transactions" else one.value
            bias = one.accuracy.bias if what == "transactions" else one.bias_value
            off_by = "[z]" if bias is None else bias
            rows.append((ALL, one.label, value, "[z]", "[z]", "[z]", tried[0].actual[what], off_by))
        for label, line in _of_one_time(tried):
            made, seen = (
                line[name]
                for name in (("predicted", "actual") if what == "transactions" else ("value", "actual_value"))
            )
            rows.append(
                (ONCE, label, made, "[z]", "[z]", "[z]", seen, made / seen - 1 if seen > 0 else "[z]")
            )
        frame = pd.DataFrame(
            rows, columns=["of", "forecast_by", "forecast", "low", "high", "mle", "actual", "bias"]
        )
        frame.insert(0, "days", tried[0].horizon_days)
        frame.insert(0, "origin", origin)
        frames.append(frame)
    frame = pd.concat(frames, ignore_index=True)
    first = backtests.latest
    return Table(
        f"backtest_{'purchases' if what == 'transactions' else 'revenue'}",
        frame if several else frame.drop(columns=["origin", "days"]),
        title,
        f"Total {measure} of the "
        + (f"customers known on each date, over the days after it; the title is of {numbers.date_words(first.origin)}"
           if several else
           f"{numbers.count(first.customers)} customers known on {numbers.date_words(first.origin)}, up to "
           f"{numbers.date_words(first.end)}")
        + f"; intervals hold {numbers.odds_words(first.predicted[what].interval)} if the model is right.",
        formats={name: form for name in ("forecast", "low", "high", "mle", "actual")} | {"bias": "percent"},
        labels=({"origin": "Forecast from", "days": "Days"} if several else {}) | {"of": "Of", "forecast_by": "Forecast by", "forecast": header, "low": "Low",
                "high": "High", "mle": "At maximum likelihood", "actual": "Actual", "bias": "Bias"},
        note="Bias: forecast less actual, as a share of actual; negative is too low. Simple rules state no interval, and the lines of "
        "one-time buyers, who had not bought again by the origin and are among all, have none. "
        "Processes without an interval are fitted by maximum likelihood alone.",
    )  # fmt: skip


def came_back(backtests: Backtests) -> list[Sentence]:
    """How many customers bought at all, which is what a forecast says of customers lost."""
    b = backtests.latest
    if b is None or "buyers" not in b.predicted:
        return []
    made, actual = b.predicted["buyers"], b.actual["buyers"]
    side = "fewer" if actual < made.low else "more" if actual > made.high else None
    seen = f"**{numbers.count(actual)}** of the {numbers.count(b.customers)} customers came back at all; {b.label} "
    seen += f"forecast {numbers.count(made.value)}, "
    seen += numbers.interval_words(made.low, made.high, made.interval, digits=0) + "."
    if side:
        hasty = "gave customers up too early" if side == "more" else "kept customers alive too long"
        seen += f" That is {side} than its range: on the whole it {hasty}, or the shop itself had changed."
    return [Sentence(seen)]


def closeness(backtests: Backtests) -> list[Table]:
    """Errors customer by customer, of every process and simple rule, from the latest origin."""
    b = backtests.latest
    if b is None:
        return []
    tried = [one for one in backtests if one.origin == b.origin]
    named = [(one.label, one.accuracy, one.coverage) for one in tried]
    named += [(one.label, one.accuracy, "[z]") for one in b.baselines.values()]
    columns = ("mae", "rmse", "correlation", "rank_correlation", "wmape", "top_missed")
    frame = pd.DataFrame([
        {"of": ALL, "forecast_by": label} | {name: getattr(found, name) for name in columns} | {"coverage": covered}
        for label, found, covered in named
    ])  # fmt: skip
    once = pd.DataFrame([
        {"of": ONCE, "forecast_by": label} | {name: line[name] if pd.notna(line[name]) else "[z]" for name in columns}
        | {"coverage": "[z]"}
        for label, line in _of_one_time(tried)
    ])  # fmt: skip
    if len(once):
        frame = pd.concat([frame.astype(object), once.astype(object)], ignore_index=True)
    best = min(b.baselines.values(), key=lambda one: one.accuracy.rmse, default=None)
    title = "Nothing simple was tried beside the models"
    if best is not None:
        ahead = b.accuracy.rmse < best.accuracy.rmse
        title = (
            f"For single customers {b.label} comes closer than any simple rule"
            if ahead and b.accuracy.mae < min(one.accuracy.mae for one in b.baselines.values())
            else f"For single customers a simple rule does as well as {b.label}"
        )
    return [Table(
        "backtest_accuracy",
        frame,
        title,
        f"Repeat purchases per customer from {numbers.date_words(b.origin)} to {numbers.date_words(b.end)}, "
        f"forecast against actual, over {numbers.count(b.customers)} customers.",
        formats={name: "number:3" for name in columns} | {
            "wmape": "percent:0", "top_missed": "percent:0", "coverage": "percent"},
        labels={"of": "Of", "forecast_by": "Forecast by", "mae": "Mean absolute error", "rmse": "Root mean squared error",
                "correlation": "Correlation", "rank_correlation": "Rank correlation", "wmape": "wMAPE",
                "top_missed": "Best fifth missed", "coverage": "Inside 90 % interval"},
        note=(_lead_words(b) or "")
        + " One-time buyers had not bought again by the origin; they are among all. Where one forecast holds for all of them, nothing is "
        "correlated with it.",
    )]  # fmt: skip


def _of_one_time(tried: list[Backtest]) -> list[tuple[str, pd.Series]]:
    """The lines of one-time buyers: of each process, then of each simple rule, with their labels."""
    found = []
    for one in tried:
        table = one.tables.get(ONE_TIME, pd.DataFrame({"by": []}))
        found += [(one.label, line) for _, line in table[table["by"] == PROCESS].iterrows()]
    table = tried[0].tables.get(ONE_TIME, pd.DataFrame({"by": []}))
    rules = table[table["by"] != PROCESS]
    return found + [(RULES[line["by"]].label, line) for _, line in rules.iterrows() if line["by"] in RULES]


def _lead_words(b: Backtest) -> str | None:
    """How sure the lead over the best rule is: the errors are of the same customers."""
    best: Baseline | None = min(b.baselines.values(), key=lambda one: one.accuracy.mae, default=None)
    if best is None:
        return None
    lead, low, high = best.mae_lead
    word = "smaller"
    if lead < 0:
        lead, low, high, word = -lead, -high, -low, "larger"
    ends = numbers.interval_words(low, high, b.predicted["transactions"].interval, digits=3)
    return (
        f"The absolute error of {b.label} is {numbers.number(lead, 3)} purchases per customer {word} than that of the "
        f"best rule in this respect, the {best.label.lower()}: {ends} for other such customers."
    )


def order(backtests: Backtests) -> list[Sentence]:
    """Who puts customers in the better order, and how many of the best are missed."""
    b = backtests.latest
    if b is None or b.accuracy.rank_correlation is None:
        return []
    text = (
        f"Of the fifth of customers who went on to buy most, {b.label} missed "
        f"{numbers.percent(b.accuracy.top_missed, 0)}; of the others it took "
        f"{numbers.percent(b.accuracy.rest_misplaced, 0)} for the best. Malthouse & Blattberg (2005) found about "
        f"{numbers.percent(_KNOWN_MISSED, 0)} and {numbers.percent(_KNOWN_MISPLACED, 0)} on four data sets; a forecast "
        "much better than these should be suspected of having seen the future."
    )
    ranked = [one for one in b.baselines.values() if one.accuracy.rank_correlation is not None]
    best = max(ranked, key=lambda one: one.accuracy.rank_correlation, default=None)
    if best is not None:
        own, other = (numbers.number(one.accuracy.rank_correlation, 2) for one in (b, best))
        better = best.accuracy.rank_correlation > b.accuracy.rank_correlation
        text += (
            f" Where only the order of customers matters, the {best.label.lower()} does "
            f"{'better' if better else 'no better'}: its rank correlation with what they did is {other}, against {own} "
            f"for {b.label}."
        )
    return [Sentence(text)]


def by_class(backtests: Backtests, scheme: str = "frequency_class") -> list[Table]:
    """Forecast and actual by class of customers; nothing where the study has no such classes."""
    b = backtests.latest
    if b is None or scheme not in b.tables:
        return []
    frame = b.tables[scheme][
        ["group", "customers", "actual", "predicted", "low", "high", "ape", "wmape"]
    ].copy()
    made, found = b.predicted["transactions"], b.accuracy
    small = frame["customers"] < SMALL
    frame.loc[small, "group"] += " *"
    frame[["ape", "wmape"]] = frame[["ape", "wmape"]].astype(object)
    frame.loc[frame["actual"] == 0, ["ape", "wmape"]] = "[z]"
    size = "[z]" if found.bias is None else abs(found.bias)
    classes = b.tables["frequency_class"]
    once = classes[classes["group"] == "no repeat purchase"]
    if scheme != "frequency_class" and len(once):  # there it is a class
        line = once.iloc[0][["customers", "actual", "predicted", "low", "high", "ape", "wmape"]].to_list()
        frame.loc[len(frame)] = [
            "One-time buyers of all segments",
            *(line if line[1] > 0 else [*line[:-2], "[z]", "[z]"]),
        ]
    frame.loc[len(frame)] = ["All customers", b.customers, found.actual, found.predicted, made.low, made.high,
                             size, "[z]" if found.wmape is None else found.wmape]  # fmt: skip
    return [Table(
        f"backtest_by_{scheme}",
        frame,
        _widest(b.tables[scheme], "with" if scheme == "frequency_class" else "of"),
        f"Repeat purchases from {numbers.date_words(b.origin)} to {numbers.date_words(b.end)} by "
        + ("repeat purchases before it" if scheme == "frequency_class" else "segment")
        + f"; forecast by {b.label}, intervals hold {numbers.odds_words(made.interval)} if it is right.",
        formats={name: "count" for name in ("customers", "actual", "predicted", "low", "high")}
        | {"ape": "percent", "wmape": "percent:0"},
        labels={"group": "Customers with" if scheme == "frequency_class" else "Segment", "customers": "Customers", "actual": "Actual", "predicted": "Forecast",
                "low": "Low", "high": "High", "ape": "Total off", "wmape": "wMAPE"},
        total=True,
        note="Total off, without its sign: of the class as a whole, as a share of actual. wMAPE: the errors of its customers "
        "added up without letting them cancel, as a share of actual. Neither exists where nobody bought."
        + (f" * fewer than {SMALL} customers: mostly chance." if small.any() else ""),
    )]  # fmt: skip


def _widest(frame: pd.DataFrame, joined: str) -> str:
    """The class with the largest gap, as a message."""
    row = frame.loc[(frame["predicted"] - frame["actual"]).abs().idxmax()]
    return (
        f"The widest gap: customers {joined} {row['group']}, {numbers.count(row['predicted'])} purchases forecast, "
        f"{numbers.count(row['actual'])} made"
    )


def verdict(backtests: Backtests) -> list[Sentence]:
    """The verdict, its reason, and what to do."""
    b = backtests.latest
    if b is None:
        return []
    return [Sentence(f"**{b.verdict.level.capitalize()}.** {b.verdict.reason} {_ADVICE[b.verdict.level]}")]


def effect(backtests: Backtests, equity: "Estimate") -> Sentence:
    """What the errors seen put around the value of today."""
    wide = adjusted_range(equity, backtests.champion)
    if wide is None:
        return Sentence(_NONE)
    currency, least, most = backtests.currency, min(1.0, *wide.ratios), max(1.0, *wide.ratios)
    low, high = (equity.value, equity.value) if equity.low is None else (equity.low, equity.high)
    seen = " to ".join(sorted({numbers.number(ratio, 2) for ratio in (min(wide.ratios), max(wide.ratios))}))
    ends = [
        numbers.money(end, currency) + (f" × {numbers.number(factor, 2)}" if factor != 1 else "")
        for end, factor in ((low, least), (high, most))
    ]
    text = (
        f"The model puts customer equity at {numbers.money(equity.value, currency)}, between "
        f"{numbers.money(low, currency)} and {numbers.money(high, currency)} **if it is right**. When it was tried, "
        f"purchases and revenue came to {seen} times what it forecast. With errors as large as these the range is "
        f"{' to '.join(ends)}, that is **{numbers.money(wide.low, currency)} to {numbers.money(wide.high, currency)}**. "
    )
    return Sentence(text + (
        "Since an interval of the model missed what happened, page one states this range beside the value."
        if wide.missed
        else "The intervals of the model held what happened, so page one states the model's own."
    ))  # fmt: skip
