"""The values side by side of a study: computed from its purchases, its fits and its challenge, each tried on the same hold-out."""

from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np

from clvkit import numbers
from clvkit.errors import FitError
from clvkit.value_methods import Facts, Methods, assembled

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.backtest_results import Backtest
    from clvkit.value import Terms
    from clvkit.workbench import Workbench


def value_methods(bench: "Workbench") -> Methods:
    """Every way to value that the data allow, of the customers of a study."""
    import pandas as pd

    from clvkit.value import Terms

    study, minor = bench.study, float(bench.minor_per_unit)
    terms = Terms.of(study.value, study.days_per_year)
    history, people = _people(bench, minor)
    per_day = terms.force(1.0)
    whole = np.expm1(-per_day * terms.horizon_days) / -per_day if per_day else terms.horizon_days
    each = pd.DataFrame({"historical": terms.margin * people["spent"]}, index=people.index)
    each["repeated"] = terms.margin * people["lately"] / people.attrs["window_days"] * whole
    tries = _holdout(bench)
    notes: dict[str, str] = {}
    try:
        each["cohort"] = _by_curve(history, bench.known_until, people["T_days"], terms) / minor
    except FitError as error:
        each["cohort"], notes["cohort"] = np.nan, error.message
    each["machine"] = _by_machine(bench, terms, whole, people, notes)
    labels = _labels(bench, people)
    scheme = labels.name
    of_process, equity = _by_process(bench, scheme)
    grouped = each.groupby(labels, observed=True).agg(_sum)
    table = grouped.assign(
        customers=labels.groupby(labels, observed=True).size(), process=of_process.reindex(grouped.index)
    )
    table["repeaters"] = (people["frequency"] > 0).groupby(labels, observed=True).mean()
    values = {
        name: _sum(each[name]) if each[name].notna().all() else np.nan
        for name in ("repeated", "cohort", "machine")
    }
    values["process"] = equity
    values["contracts"] = _contracts(bench, notes)
    table["contracts"] = _contracts_by_group(bench, labels) if np.isfinite(values["contracts"]) else np.nan
    facts = Facts(
        bench.kind_of_business().used,
        float((people["frequency"] > 0).mean()),
        _cycles(bench, people),
        tries["stable"],
        tries["machine"],
        values,
        tries["error"].get("contracts" if bench.contractual else "process"),
    )
    return assembled(table, facts, tries, notes, scheme, study)


def _sum(values: "pd.Series") -> float:
    """The sum of what is known, whatever the order of the customers; NaN where nothing is."""
    import math

    known = values.dropna()
    return math.fsum(known) if len(known) else float("nan")


def _by_process(bench: "Workbench", scheme: str) -> "tuple[pd.Series, float]":
    """Customer equity by group and of all, as chapter 4 has it; none where customers are under contract and nothing else."""
    import pandas as pd

    if bench.contractual:
        return pd.Series(dtype=float), float("nan")
    valuation = bench.valuation()
    groups = valuation.groups[scheme]
    values = groups.assign(group=groups["group"].astype(str)).set_index("group")["value"]
    return values, valuation.estimates["customer_equity"].value


def _people(bench: "Workbench", minor: float) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """All purchases, and one row a customer that the models see: ``segment, frequency, T_days, spent, lately`` (major units)."""
    from clvkit.baselines import known_each

    purchases, until = bench.purchases(), bench.known_until
    summary = bench.summary()
    mine = purchases.semi_join(summary, "customer")
    history = mine.select("customer", "day", "amount_minor").to_pyarrow().to_pandas()
    terms_days = bench.study.value.horizon_months * bench.study.days_per_year / 12
    age = int(summary.T_days.max().to_pyarrow().as_py()) + 1
    window = int(min(terms_days, age))
    frame = known_each(mine, until, until, window).to_pyarrow().to_pandas().sort_values("customer")
    frame = frame.set_index("customer")
    spent = history.groupby("customer")["amount_minor"].sum().reindex(frame.index) / minor
    people = frame[["segment", "frequency", "T_days"]].assign(
        spent=spent, lately=frame["before_minor"] / minor
    )
    people.attrs["window_days"] = window
    return history, people


def _contracts(bench: "Workbench", notes: dict) -> float:
    """What running contracts are worth; NaN where there are none, or the business is treated as one without."""
    from clvkit.chapters.contract_value import of_run

    found = of_run(bench)
    if isinstance(found, str):
        notes["contracts"] = found
        return float("nan")
    if found[2]:
        notes["contracts"] = "their bills are among the orders: not to be added to the values above"
    return found[1].equity.value


def _contracts_by_group(bench: "Workbench", labels: "pd.Series") -> "pd.Series":
    """What the running contracts of each group's customers are worth; those of customers who have paid nothing yet are in none."""
    scores = bench.get("contract_scores").set_index("customer")["clv_contracts"]
    return scores.reindex(labels.index).fillna(0.0).groupby(labels, observed=True).sum()


def _labels(bench: "Workbench", people: "pd.DataFrame") -> "pd.Series":
    """The group of each customer: the segment, else the class of repeat purchases; of contracts alone, the last one's plan."""
    import pandas as pd

    from clvkit.valuation import frequency_class

    if bench.contractual:
        relations = bench.contracts().relations.sort_values(["customer", "relation"])
        plans = relations.groupby("customer")["last_plan"].last()
        return plans.reindex(people.index).fillna("not named").astype(str).rename("plan")

    if people["segment"].astype(str).nunique() > 1:
        return people["segment"].astype(str).rename("segment")
    classes = pd.Series(frequency_class(people["frequency"]), index=people.index, name="frequency_class")
    return classes.cat.rename_categories([str(one) for one in classes.cat.categories])


def _cycles(bench: "Workbench", people: "pd.DataFrame") -> float:
    """How many usual gaps between purchases, or renewals of a contract, the history is long; infinite without any gap."""
    from clvkit.dormancy import gap_quantiles

    if bench.kind_of_business().used == "contractual":
        from clvkit.contract_value import period_days

        study = bench.study
        begun = bench.contracts().relations["start"].min()
        return float((study.as_of - begun.date()).days / period_days(study.contracts, study.days_per_year))
    known = bench.purchases().semi_join(bench.summary(), "customer")
    usual = gap_quantiles(known, bench.known_until, (0.5,))
    return float(people["T_days"].max() / max(usual[0], 1)) if usual else 0.0


def _holdout(bench: "Workbench") -> dict:
    """Errors of each method in the hold-out of the latest back-test; nothing where the study names no earlier date."""
    found = {"error": {}, "error_each": {}, "stable": None, "machine": False}
    study = bench.study
    if bench.contractual:
        return found | _contracts_tried(bench)
    tried = bench.backtests().latest if study.backtest.origins else None
    if tried is None:
        return found
    actual = tried.actual["value"]
    error = tried.bias_value
    found["stable"] = None if error is None else abs(error) <= study.backtest.poor_bias
    found["error"]["process"] = error
    if "last_period" in tried.baselines:
        found["error"]["repeated"] = tried.baselines["last_period"].bias_value
    challenge = bench.challenge()
    rivals = {} if challenge is None or challenge.refused else challenge.board.set_index("name")
    if len(rivals):
        found["machine"] = challenge.winner is not None
        name = challenge.winner or challenge.best_on_revenue
        found["error"]["machine"] = rivals.loc[name, "bias_value"]
        pairs = {"machine": name, "process": tried.process, "repeated": "last_period"}
        found["error_each"] = {k: float(rivals.loc[v, "rmse_value"]) for k, v in pairs.items() if v in rivals.index}  # fmt: skip
    try:
        forecast, came = _cohort_tried(bench, tried)
    except FitError:
        return found
    if actual > 0:
        found["error"]["cohort"] = float(forecast.sum() / actual - 1)
    if len(rivals):
        found["error_each"]["cohort"] = float(np.sqrt(((forecast - came) ** 2).mean()))
    return found


def _contracts_tried(bench: "Workbench") -> dict:
    """Errors on revenue from the latest earlier date: of the models of renewals, and had nobody left and fees stayed."""
    from clvkit.chapters.contract_backtest import of_run

    trials = of_run(bench)
    tried = None if trials is None else trials.latest
    came = 0.0 if tried is None else tried.actual["value"]
    if not came > 0:
        return {}
    error = tried.bias("value")
    repeated = tried.baselines["nobody_leaves"]["value"] / came - 1
    return {
        "error": {"contracts": error, "repeated": repeated},
        "stable": abs(error) <= bench.study.backtest.poor_bias,
    }


def _by_curve(bought: "pd.DataFrame", origin: date, T_days: "pd.Series", terms: "Terms") -> np.ndarray:
    """Margin, in minor units, that the curve of cohorts as of ``origin`` has still to come of customers of each age.

    Ages are months since a customer's own first purchase; an age counts in customers who were watched to its end.

    Raises
    ------
    FitError : too few ages were watched, or nobody came back.
    """
    import pandas as pd

    from clvkit.cohort_curve import DAYS, cohort_curve

    day = pd.to_datetime(bought["day"])
    rows = bought[day <= pd.Timestamp(origin)].assign(day=day)
    first = rows.groupby("customer")["day"].transform("min")
    watched = (pd.Timestamp(origin) - first).dt.days + 1
    month = ((rows["day"] - first).dt.days // DAYS["month"]).astype(int)
    again = (rows["day"] > first) & (watched >= (month + 1) * DAYS["month"])
    born = watched[rows["day"] == first]
    ages = np.arange(int(born.max() // DAYS["month"]))
    cells = pd.DataFrame({"age": ages, "customers": [int((born >= (k + 1) * DAYS["month"]).sum()) for k in ages],
                          "repeat_minor": rows["amount_minor"][again].groupby(month[again]).sum().reindex(ages, fill_value=0)})  # fmt: skip
    distinct, place = np.unique(T_days.to_numpy(float), return_inverse=True)
    return cohort_curve(cells).ahead(distinct, DAYS["month"], terms)[place]


def _cohort_tried(bench: "Workbench", tried: "Backtest") -> tuple[np.ndarray, np.ndarray]:
    """Revenue that the curve of cohorts of the origin forecast for each customer, and what came; major units."""
    from clvkit.baselines import known_each
    from clvkit.challenger_run import tried_purchases
    from clvkit.value import Terms

    minor, purchases = float(bench.minor_per_unit), tried_purchases(bench)
    bought = purchases.select("customer", "day", "amount_minor").to_pyarrow().to_pandas()
    rows = known_each(purchases, tried.origin, tried.end, 1).to_pyarrow().to_pandas()
    made = _by_curve(bought, tried.origin, rows["T_days"], Terms(1.0, 0.0, float(tried.horizon_days)))
    return made / minor, np.maximum(rows["holdout_minor"].to_numpy() / minor, 0)


def _by_machine(
    bench: "Workbench", terms: "Terms", whole: float, people: "pd.DataFrame", notes: dict
) -> np.ndarray:
    """Margin that the better machine expects of each customer within the horizon; NaN where none can be trained."""
    from clvkit.time_split import split, train

    challenge = None if bench.contractual else bench.challenge()
    if challenge is None or challenge.refused:
        why = (
            "it learns from purchases, and these are bills" if bench.contractual else "challenger.use is none"
        )
        notes["machine"] = challenge.refused if challenge else f"not tried: {why}"
        return np.full(len(people), np.nan)
    section = bench.study.challenger
    until = bench.known_until
    try:
        parts = split(bench.feature_sources, until, until + timedelta(days=round(terms.horizon_days)))
        machine = train(
            parts, "revenue", challenge.best_machine, most=section.max_features, seed=section.seed
        )
    except FitError as error:
        notes["machine"] = error.message
        return np.full(len(people), np.nan)
    values = parts.test.features.values
    import pandas as pd

    made = pd.Series(machine.predict(values), index=values.index).reindex(people.index)
    if parts.test.days > parts.train.days:
        seen, ahead = (numbers.count(part.days) for part in (parts.train, parts.test))
        notes["machine"] = f"learned from {seen} days of outcomes, and stretched to {ahead}"
    return terms.margin * made.to_numpy() * whole / terms.horizon_days
