"""Retention by rule beside a model: both curves, and what the choice does to the value; an assumption, not an estimate."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit import numbers
from clvkit.chapters.drawing import label_ends
from clvkit.chapters.value_holders import horizon_words
from clvkit.contract_calendar import billed_words
from clvkit.exhibits import Figure, Sentence, Table
from clvkit.publish import style
from clvkit.rule_retention import LABEL, rules_of
from clvkit.rule_value import (
    ONE_RATE,
    ByRule,
    ContractsByRule,
    contracts_by_rule,
    process_survival,
    purchases_by_rules,
)

if TYPE_CHECKING:
    from clvkit.contract_value import ContractFits, ContractValue
    from clvkit.workbench import Workbench

_AT_MONTHS = (12, 24, 36)
RENEWALS = 36
#: What the survivors of a table are counted of.
COHORT = 10_000
Shown = list[Table | Figure | Sentence]

_NAMES = {
    "constant": "one rate",
    "by_age": "rates by age",
    "hiatus": "hiatus",
    ONE_RATE: "one rate, of the data",
}
_NONE = (
    "The study assumes no retention by rule (`retention.rule`). Where nobody has followed customers over time, a rate is often "
    "assumed; here the data say more."
)


def purchases(run: "Workbench") -> Shown:
    """The rules of a study beside the process that values its purchases: curves of new customers, and values."""
    section, study = run.study.retention.rule, run.study
    if section is None or not run.carries_value():
        return [Sentence(_NONE)]
    from clvkit.value import Terms, pair

    fit, spend = run.valued_with()
    people, terms = run.get("score_cells"), Terms.of(study.value, study.days_per_year)
    valuation = run.valuation()
    months = np.arange(int(study.value.horizon_months) + 1)
    draws, _ = pair(fit, spend, min(study.value.posterior_draws, 100))
    curves = {
        "months": months,
        "model": process_survival(fit, draws, people, months * study.days_per_year / 12),
    }
    curves |= {rule.name: rule.survival(months) for rule in rules_of(section)}
    if section.hiatus_days is not None:
        curves["hiatus"] = _hiatus_curve(run, section.hiatus_days, months * study.days_per_year / 12)
    equity, alive = (valuation.estimates[name].value for name in ("customer_equity", "customers_alive"))
    model = ByRule("model", fit.label, alive, equity)
    found = purchases_by_rules(section, people, terms, run.minor_per_unit)
    frame = pd.DataFrame(curves)
    return [
        _curve(frame, fit.label, [one.label for one in found]),
        _values(frame, model, found, study.currency, study.value.horizon_months),
    ]


def _hiatus_curve(run: "Workbench", hiatus_days: int, days: np.ndarray) -> np.ndarray:
    """Share of customers without so long a silence up to each age, by Kaplan–Meier; NaN beyond what can be judged."""
    from clvkit.survival import kaplan_meier, spell_cells, spells

    section = run.study.retention
    cells = spell_cells(spells(run.ledger().purchases, hiatus_days, section.grain, run.study.as_of))
    curve = kaplan_meier(cells[cells["duration_days"] >= 0], section.interval)
    curve = curve[curve["at_risk"] >= section.min_at_risk]
    if curve.empty:
        return np.full(len(days), np.nan)
    at = np.searchsorted(curve["day"].to_numpy(), days, side="right") - 1
    share = np.where(at >= 0, curve["survival"].to_numpy()[np.maximum(at, 0)], 1.0)
    return np.where(days <= curve["day"].max(), share, np.nan)


def _curve(frame: pd.DataFrame, label: str, labels: list[str]) -> Figure:
    names = [name for name in frame if name not in ("months", "model")]
    with style.canvas(height=3.4) as (drawing, axes):
        ends = []
        lines = [("model", label, style.HISTORY), *((name, _NAMES[name], style.FORECAST) for name in names)]
        for colour, (name, said, line) in zip(style.PALETTE, lines, strict=False):
            curve = frame.set_index("months")[name].dropna()
            axes.plot(curve.index, curve, **line | {"color": colour})
            if len(curve):
                ends.append((curve.iloc[-1], f"{said}  {numbers.percent(curve.iloc[-1], 0)}", colour))
        axes.set_ylim(0, 1)
        style.percent_axis(axes.yaxis)
        axes.set_xlabel("months since the first purchase")
        axes.set_ylabel("still customers")
        label_ends(axes, ends, x=frame["months"].max())
    last = int(frame["months"].iloc[-1])
    at = frame.set_index("months")
    told = [
        (name, m)
        for name in names
        for m in (*_AT_MONTHS, last)
        if m in at.index and not np.isnan(at.loc[m, name])
    ]
    name, month = max(
        told, key=lambda one: abs(at.loc[one[1], one[0]] - at.loc[one[1], "model"]), default=("model", last)
    )
    return Figure(
        "rule_curves",
        drawing,
        f"After {month} months {label} has {numbers.percent(at.loc[month, 'model'], 0)} of new customers left, "
        + (f"the rule “{_NAMES[name]}” {numbers.percent(at.loc[month, name], 0)}" if told else "the rules say nothing of that age"),
        f"Share of new customers who are still customers. Solid: {label}, fitted to the purchases. Dashed: {'; '.join(labels)}: each {LABEL}.",
        alt=f"Falling curves. {label}: "
        + ", ".join(f"{numbers.percent(frame['model'].iloc[m])} after {m} months" for m in _AT_MONTHS if m <= last)
        + ".",
        frame=frame,
        worry="A rule with one rate falls on and on. Real customers differ: who is likely to leave leaves early, and the curve of those who "
        "are left flattens. A hiatus counts a long silence as leaving, and so some who will be back.",
    )  # fmt: skip


def _values(frame: pd.DataFrame, model: ByRule, found: list[ByRule], currency: str, months: float) -> Table:
    curves, rows = frame.set_index("months"), []
    for one in (model, *found):
        shares = {f"month_{m}": curves[one.name].get(m, np.nan) for m in _AT_MONTHS}
        rows.append({"what": one.label, "kind": "estimate" if one is model else LABEL, **shares, "customers": one.customers,
                     "value": one.value, "gap": one.value - model.value,
                     "gap_share": one.value / model.value - 1 if model.value else np.nan})  # fmt: skip
    shown = pd.DataFrame(rows).astype({"gap": object, "gap_share": object})
    shown.loc[0, ["gap", "gap_share"]] = "[z]"
    far = max(found, key=lambda one: abs(one.value - model.value))
    gap = far.value - model.value
    money = numbers.money_header(currency)
    shares = [f"month_{m}" for m in _AT_MONTHS]
    return Table(
        "rule_values",
        shown,
        f"By the rule “{far.label}” the customers would be worth {numbers.money(abs(gap), currency)} {'more' if gap > 0 else 'less'} than by "
        f"{model.label}",
        f"Share of new customers left after so many months; customers who are left today; value still to come {horizon_words(months)}, and "
        f"its gap to the model's, {money}.",
        formats=dict.fromkeys(shares, "percent:0") | {"customers": "count", "value": "money", "gap": "money", "gap_share": "percent"},
        labels={"what": "By", "kind": "Which is", "customers": "Left today", "value": f"Value, {money}", "gap": "Gap", "gap_share": "of the model's"}
        | {name: f"Month {m}" for name, m in zip(shares, _AT_MONTHS, strict=True)},
        note="By a rule with rates a customer who is there brings margin at one rate, that of all repeat purchases so far over the time that the "
        "rule says customers were there. Nothing in the data stands behind a rule: use it where there are no data, and not because its value is "
        "the higher one.",
    )  # fmt: skip


def contracts(run: "Workbench", found: "tuple[ContractFits, ContractValue, bool] | str") -> Shown:
    """Renewals by the model in use, by one rate for all, and by the rules of a study; nothing where no contracts are valued.

    Parameters
    ----------
    found : of `clvkit.chapters.contract_value.of_run`.
    """
    if isinstance(found, str):
        return []
    study, (fits, value, *_) = run.study, found
    made = contracts_by_rule(
        fits, value, run.contracts(), study.contracts, study.retention.rule, study.value,
        renewals=RENEWALS, as_of=study.as_of, currency=study.currency, days_per_year=study.days_per_year,
    )  # fmt: skip
    return [
        contract_curves(made),
        contract_values(made, study.currency, study.value.horizon_months),
    ]


def contract_curves(made: ContractsByRule) -> Figure:
    """Survivors by renewal, of the model and of every rule."""
    frame, last = made.curves, int(made.curves["renewals"].iloc[-1])
    names = [name for name in frame if name != "renewals"]
    model = names[0]
    with style.canvas(height=3.4) as (drawing, axes):
        ends = []
        for colour, name in zip(style.PALETTE, names, strict=False):
            line, said = (style.HISTORY, made.model) if name == model else (style.FORECAST, _NAMES[name])
            axes.plot(frame["renewals"], frame[name], **line | {"color": colour})
            ends.append(
                (frame[name].iloc[-1], f"{said}  {numbers.count(COHORT * frame[name].iloc[-1])}", colour)
            )
        axes.set_ylim(0, 1)
        style.percent_axis(axes.yaxis)
        axes.set_xlabel("renewals made")
        axes.set_ylabel("still under contract")
        label_ends(axes, ends, x=last)
    at = min(24, last)
    row = frame.set_index("renewals").loc[at]
    labels = made.values.set_index("name")["label"]
    return Figure(
        "rule_curves_contracts",
        drawing,
        f"Of {numbers.count(COHORT)} new contracts {numbers.count(COHORT * row[model])} make {at} renewals by {made.model}, "
        f"{numbers.count(COHORT * row[ONE_RATE])} if one rate held for all",
        f"Share of new contracts billed {billed_words(made.months)} by renewals made; at the right, survivors of {numbers.count(COHORT)}. "
        f"Solid: {made.model}, fitted to the renewals. Dashed: {'; '.join(labels[name] for name in names[1:])}: each {LABEL}.",
        alt="Falling curves. "
        + "; ".join(f"{labels[name]}: {numbers.percent(row[name])} after {at} renewals" for name in names)
        + ".",
        frame=frame,
        worry="One rate for all falls ever further below the data: those who are likely to leave leave first, and the rate of those who stay rises. "
        "It is right for the renewals that it was taken from, and wrong for those to come.",
    )  # fmt: skip


def contract_values(made: ContractsByRule, currency: str, months: float) -> Table:
    """Survivors at a few renewals and the value of running contracts, by the model and by every rule."""
    curves, frame = made.curves.set_index("renewals"), made.values
    at = [t for t in (1, 6, 12, 24, 36) if t in curves.index]
    shown = pd.DataFrame({"what": frame["label"], "kind": ["estimate", *[LABEL] * (len(frame) - 1)]})
    for t in at:
        shown[f"renewal_{t}"] = [COHORT * curves.loc[t, name] for name in frame["name"]]
    shown["value"] = frame["value"]
    shown["gap"], shown["gap_share"] = frame["gap"].astype(object), frame["gap_share"].astype(object)
    shown.loc[0, ["gap", "gap_share"]] = "[z]"
    flat = frame.set_index("name").loc[ONE_RATE]
    money = numbers.money_header(currency)
    return Table(
        "rule_values_contracts",
        shown,
        f"If one rate held for all, running contracts would be worth {numbers.percent(abs(flat['gap_share']))} "
        f"{'more' if flat['gap'] > 0 else 'less'} than by {made.model}",
        f"Of {numbers.count(COHORT)} new contracts, those that make so many renewals; expected margin of the renewals of running contracts "
        f"{horizon_words(months)}, and its gap to the model's, {money}.",
        formats={f"renewal_{t}": "count" for t in at} | {"value": "money", "gap": "money", "gap_share": "percent"},
        labels={"what": "By", "kind": "Which is", "value": f"Value, {money}", "gap": "Gap", "gap_share": "of the model's"}
        | {f"renewal_{t}": f"Renewal {t}" for t in at},
        note="The value is of contracts that run, most of which have made renewals before: the model knows that those stay longer, and a rate for all "
        "does not. "
        + ("Where contracts are billed in several ways, each has a rate and a model of its own, and renewals are of those that most have. " if made.periods > 1 else "")
        + "A rule states what nobody has measured, and is not chosen for the value that it gives.",
    )  # fmt: skip
