"""What customers are worth by a rule of retention, beside a model of the same customers.

Of purchases: by a rule with rates, a customer of age T is still one with probability S(T), and brings margin at one rate for
as long: all repeat margin so far over all the time that the rule says customers were there. What is to come of a customer is then
that rate times the discounted S(T + t) to the horizon. By a hiatus, who has been silent for longer is gone and everybody else goes
on at the own rate of the past, for good. Of contracts, the rule takes the place of the model of renewals, and nothing else changes.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clvkit.rule_retention import AsFit, RateRule, RenewalRule, RetentionRuleSection, one_rate, rules_of

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.contract_value import ContractFits, ContractValue
    from clvkit.contracts import Contracts
    from clvkit.contracts_section import ContractsSection
    from clvkit.fit import Fit
    from clvkit.value import Terms, ValueSection

_STEPS = 1000
ONE_RATE = "one_rate"


@dataclass(frozen=True)
class ByRule:
    """What a rule makes of the customers: ``customers`` who are still there by it, and the ``value`` to come in major units."""

    name: str
    label: str
    customers: float
    value: float


def purchases_by_rule(
    rule: RateRule, people: "pd.DataFrame", terms: "Terms", minor_per_unit: float
) -> ByRule:
    """Value the customers by a rule with rates.

    Parameters
    ----------
    people : ``T_days, spend_minor`` (repeat purchases of one customer) and ``n``; ``before_days`` of customers older than the log.
    terms : margin, discount and a finite horizon.
    """
    ages, at = np.unique(_age(people), return_inverse=True)
    n = np.bincount(at, weights=people["n"])
    month = terms.days_per_year / 12
    lived = np.array(
        [np.trapezoid(rule.survival(u / month), u) for u in (np.linspace(0, age, _STEPS) for age in ages)]
    )
    spent = float(people["n"] @ people["spend_minor"]) / minor_per_unit
    rate = terms.margin * spent / max(float(n @ lived), 1e-300)  # a day of a customer who is there
    u = np.linspace(0, terms.horizon_days, _STEPS + 1)
    ahead = rule.survival((ages[:, None] + u) / month) * np.exp(-terms.force(1.0) * u)
    value = rate * float(n @ np.trapezoid(ahead, u, axis=1))
    return ByRule(rule.name, rule.label, float(n @ rule.survival(ages / month)), value)


def purchases_by_hiatus(
    hiatus_days: int, people: "pd.DataFrame", terms: "Terms", minor_per_unit: float
) -> ByRule:
    """Value the customers by a hiatus; ``people`` as above, with ``recency_days``."""
    age, n = _age(people), people["n"].to_numpy(float)
    there = (people["T_days"] - people["recency_days"]).to_numpy() <= hiatus_days
    a_day = (
        np.divide(people["spend_minor"].to_numpy(float), age, out=np.zeros(len(age)), where=there & (age > 0))
        / minor_per_unit
    )
    force = terms.force(1.0)
    days = -np.expm1(-force * terms.horizon_days) / force if force else terms.horizon_days
    label = f"Gone after {hiatus_days:,} days of silence, else as before"
    return ByRule("hiatus", label, float(n @ there), terms.margin * float(n @ a_day) * days)


def _age(people: "pd.DataFrame") -> np.ndarray:
    before = people["before_days"].clip(lower=0) if "before_days" in people else 0
    return (people["T_days"] + before).to_numpy(float)


def purchases_by_rules(
    section: RetentionRuleSection | None, people: "pd.DataFrame", terms: "Terms", minor_per_unit: float
) -> list[ByRule]:
    """What each rule of a study makes of the customers, in the order constant, by_age, hiatus."""
    found = [purchases_by_rule(rule, people, terms, minor_per_unit) for rule in rules_of(section)]
    if section is not None and section.hiatus_days is not None:
        found.append(purchases_by_hiatus(section.hiatus_days, people, terms, minor_per_unit))
    return found


def process_survival(fit: "Fit", draws: np.ndarray, people: "pd.DataFrame", days: np.ndarray) -> np.ndarray:
    """Share of new customers who are still there after ``days``, as a fitted process has it: posterior mean, (days,).

    Where a fit has groups, new customers are mixed as those of ``people`` are.
    """
    from clvkit.customers import GROUPINGS
    from clvkit.histories import Histories

    kinds = [key for key in GROUPINGS if key in people]
    new = (
        people.groupby(kinds, as_index=False, dropna=False)["n"]
        .sum()
        .assign(frequency=0, recency_days=0, T_days=0)
    )
    who, weight = Histories.of(fit, new), new["n"].to_numpy(float) / new["n"].sum()
    there = who.p_alive(draws)
    return np.array([float(((there * who.stays(draws, float(day))) @ weight).mean()) for day in days])


@dataclass(frozen=True)
class ContractsByRule:
    """Renewals by a model and by rules.

    Attributes
    ----------
    curves : ``renewals`` (0 to the last), one column of shares of new contracts that make so many for the model and each rule.
    values : ``name, label, value`` (of running contracts within the horizon, major units), ``gap`` and ``gap_share`` to the model's, which
        is the first row.
    months : between two renewals of the contracts that the curves are of, the period that most have; ``periods``, how many there are.
    """

    model: str
    curves: "pd.DataFrame"
    values: "pd.DataFrame"
    months: int = 1
    periods: int = 1


def contract_rules(
    section: RetentionRuleSection | None, cells: "pd.DataFrame", months: int
) -> dict[str, RenewalRule]:
    """The rules that renewals are held against: those of the study, and one rate for all, that of the data.

    ``cells`` are of `clvkit.contracts.Contracts.cells`; ``months`` is the time between renewals. The one rate is 1, which keeps
    everybody, where no renewal was due.
    """
    from clvkit import numbers
    from clvkit.contract_calendar import billed_words

    columns = [cells[column].to_numpy() for column in ("renewals", "ended", "entry", "n")]
    due = bool(len(cells)) and ((columns[0] + columns[1] - columns[2]) * columns[3]).sum() > 0
    rate = one_rate(*columns) if due else 1.0
    label = f"One rate for all billed {billed_words(months)}, {numbers.percent(rate)}: that of their renewals so far"
    rules = {ONE_RATE: RateRule(ONE_RATE, label, ((1, rate),), months)}
    rules |= {rule.name: rule for rule in rules_of(section)}
    return {name: RenewalRule(rule, months) for name, rule in rules.items()}


def contracts_by_rule(
    fits: "ContractFits",
    value: "ContractValue",
    held: "Contracts",
    section: "ContractsSection",
    rule: RetentionRuleSection | None,
    worth: "ValueSection",
    *,
    renewals: int,
    as_of,
    currency: str,
    days_per_year: float,
) -> ContractsByRule:
    """Curves and values of running contracts by the model in use, by one rate for all, and by the rules of a study.

    Parameters
    ----------
    value : what the model makes of them, of `clvkit.contract_value.contract_value`.
    renewals : how many the curves show.
    """
    import pandas as pd

    from clvkit.contract_value import ByPeriod, contract_value

    used, steps, main = fits.used, np.arange(renewals + 1), fits.main_months
    rules = {months: contract_rules(rule, held.cells(period_months=months), months) for months in fits.parts}
    curves = {"renewals": steps, used.process: survivors(used, steps)}
    rows = [(used.process, used.model.label, value.equity.value)]
    for name, one in rules[main].items():
        curves[name] = one.survival(None, steps)
        every = ByPeriod({months: AsFit(of[name]) for months, of in rules.items()})
        made = contract_value(
            every, held, section, worth, as_of=as_of, currency=currency, days_per_year=days_per_year
        )
        rows.append((name, one.rule.label, made.equity.value))
    values = pd.DataFrame(rows, columns=["name", "label", "value"])
    model = values["value"].iloc[0]
    values["gap"] = values["value"] - model
    values["gap_share"] = values["gap"] / model if model else np.nan
    return ContractsByRule(used.model.label, pd.DataFrame(curves), values, main, len(fits.parts))


def survivors(fit: "Fit", renewals: np.ndarray, draws: int = 400) -> np.ndarray:
    """Share of new contracts that make so many renewals, as a fitted model has it: posterior mean, of `renewals`' shape."""
    drawn = fit.posterior(draws)
    return np.stack([np.atleast_1d(fit.model.survival(drawn, int(t))) for t in renewals]).mean(axis=1)
