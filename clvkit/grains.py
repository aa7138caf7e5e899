"""The same value at four grains, with what customers have brought already, and what is at risk of leaving within a year.

Individual customers, segments, product tiers and cohorts are the same people added up along other lines: each grain is
computed by itself, from the same posterior draws, and their sums must agree. A model of cohorts that looks at no single
customer stands beside them, and its difference is printed.

Three figures of each customer, all posterior means over the horizon of the study:

- ``so_far``: margin brought up to the as-of date, the study's share of net revenue, neither discounted nor projected.
- ``clv``: margin still to come, discounted to the as-of date. ``so_far + clv`` is the total.
- ``at_risk``: clv × P(leaves within a year | a customer today). The two are multiplied draw by draw.

A customer who may have left already has little clv left; the probability of leaving is of who is still there. Who is *gone* in
a year has left by now or leaves within it.
"""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clvkit.averaging import MARK, is_own, totals
from clvkit.cohort_curve import DAYS, cohort_curve
from clvkit.cohort_keys import PERIOD, customer_keys
from clvkit.cohort_schemes import labels_of
from clvkit.cohorts import period_index
from clvkit.customers import keys_of
from clvkit.errors import FitError
from clvkit.value import BLOCK, Block, Future, Terms, pair

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.cohort_schemes import Schemes
    from clvkit.fit import Fit
    from clvkit.workbench import Workbench

INDIVIDUAL, SEGMENT, TIER, COHORT = "individual", "segment", "product tier", "cohort"
OFTEN = "repeat purchases"
HIGH, LOW = "high", "low"


@dataclass(frozen=True)
class Grains:
    """What was found.

    Attributes
    ----------
    grains : ``grain, by, parts, customers, value`` (major units, not rounded), ``seconds``: one row each for the individual,
        segment, product tier (where the orders have products) and cohort.
    groups : by grouping (`SEGMENT`, `TIER`, `COHORT`, `OFTEN`, and each flag of the study): one row a group: ``group, customers,
        alive, so_far, clv, total`` (major units), ``leaves`` (expected number who leave within a year) and ``at_risk``.
    quadrants : ``value`` and ``risk`` (`HIGH` or `LOW`), ``customers, clv, at_risk``; all four, empty ones too.
    mean_clv, mean_risk : what parts high from low: the mean clv of a customer, and the mean probability of being gone in a year.
    curve : ``cohort, customers, individuals, curve``: value of each cohort (of period) by sum of individuals, and by the model of
        cohorts; no rows where there is none, and ``no_curve`` then says why.
    curve_seconds : run time of the model of cohorts.
    """

    grains: "pd.DataFrame"
    groups: "dict[str, pd.DataFrame]"
    quadrants: "pd.DataFrame"
    curve: "pd.DataFrame"
    mean_clv: float
    mean_risk: float
    curve_seconds: float
    no_curve: str = ""

    @property
    def base(self) -> "pd.Series":
        """Sums over all customers, from the individuals: ``customers, alive, so_far, clv, total, leaves, at_risk``."""
        return self.groups[OFTEN].drop(columns="group").sum()

    def save(self, folder: Path) -> None:
        """Write the tables as Parquet and the rest as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        for place, frame in enumerate(self.groups.values()):
            frame.to_parquet(folder / f"group{place}.parquet", index=False)
        for name in ("grains", "quadrants", "curve"):
            getattr(self, name).to_parquet(folder / f"{name}.parquet", index=False)
        made = {name: getattr(self, name) for name in ("mean_clv", "mean_risk", "curve_seconds", "no_curve")}
        (folder / "made.json").write_text(json.dumps(made | {"groups": list(self.groups)}), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Grains":
        """Read what `save` wrote."""
        import pandas as pd

        made = json.loads((folder / "made.json").read_text(encoding="utf-8"))
        names = made.pop("groups")
        frames = {
            name: pd.read_parquet(folder / f"{name}.parquet") for name in ("grains", "quadrants", "curve")
        }
        groups = {name: pd.read_parquet(folder / f"group{place}.parquet") for place, name in enumerate(names)}
        return cls(**frames, groups=groups, **made)


def of_run(run: "Workbench") -> Grains:
    """The value of a study's customers at each grain."""
    study = run.study
    people, keyed = people_of(run)
    return grains(
        *run.valued_with(), people, keyed, run.cohort_schemes(), Terms.of(study.value, study.days_per_year),
        draws=study.value.posterior_draws, minor_per_unit=run.minor_per_unit,
    )  # fmt: skip


def people_of(run: "Workbench") -> "tuple[pd.DataFrame, dict[str, str]]":
    """Customers who are valued, alike ones in one row, and the groupings that they have.

    Returns
    -------
    people : the keys of a cell, ``spend_minor`` (of one customer), `MARK`, ``n``, ``first_minor`` (summed over the n), ``period``
        (number of the period of first purchase), and a column for each grouping.
    keyed : the column of each grouping, by what it is: `SEGMENT`, `TIER`, `COHORT`, and the study's flags.
    """
    import ibis

    study = run.study
    scheme = next(iter(study.cohorts.schemes.values()))
    wanted = set(scheme) - {PERIOD} | set(study.cohorts.flags)
    tier = "tier" if study.cohorts.tiers else "category" if _has_categories(run) else None
    wanted |= {tier} if tier else set()
    asked = {"tiers": study.cohorts.tiers, "channel": study.acquisition.by}
    keys = customer_keys(run.seen, sorted(wanted), study.as_of, **asked)
    keys = keys.mutate(index=period_index(keys.first_day, study.cohorts.grain)).drop("first_day")
    keys = keys.rename({f"key_{name}": name for name in [*wanted, "index"]})
    everybody = run.everybody()
    valued = everybody.filter(everybody.treatment != "exclude")
    mark = (valued.treatment == "segment_average").ifelse(valued.inclusion, ibis.null("string"))
    both = valued.mutate(**{MARK: mark}).join(keys, "customer")
    by = [*keys_of(valued), "spend_minor", MARK, *(f"key_{name}" for name in [*sorted(wanted), "index"])]
    grouped = both.group_by(by).agg(
        n=both.count().cast("int64"), first_minor=both.first_minor.sum().cast("int64")
    )
    people = grouped.to_pyarrow().to_pandas()
    people = people.sort_values(by, ignore_index=True).rename(columns={"key_index": "period"})
    named = {f"key_{name}": name for name in scheme if name != PERIOD} | {"period": "index"}
    people["cohort"] = labels_of(people[list(named)].rename(columns=named), scheme, study.cohorts.grain)
    people["segment_text"] = people["segment"].fillna("not named").astype(str)
    people[MARK] = people[MARK].astype(object).where(people[MARK].notna(), None)
    keyed = {SEGMENT: "segment_text"} | ({TIER: f"key_{tier}"} if tier else {}) | {COHORT: "cohort"}
    return people, keyed | {flag: f"key_{flag}" for flag in study.cohorts.flags}


def _has_categories(run: "Workbench") -> bool:
    """Whether an order of the ledger names a product or its category."""
    rows = run.ledger().rows
    return bool(rows.filter(rows.category.notnull() | rows["product"].notnull()).limit(1).count().execute())


def grains(
    fit: "Fit",
    spend: "Fit",
    people: "pd.DataFrame",
    keyed: dict[str, str],
    schemes: "Schemes",
    terms: Terms,
    *,
    draws: int,
    minor_per_unit: float,
) -> Grains:
    """Value the customers of `people_of` at every grain, and say what is at risk."""
    import pandas as pd

    from clvkit.valuation import frequency_class

    both = pair(fit, spend, draws)
    begun = time.perf_counter()
    each = individuals(fit, spend, both, people, terms, minor_per_unit)
    took = time.perf_counter() - begun
    each["so_far"] = (
        terms.margin * (people["spend_minor"] + people["first_minor"] / people["n"]) / minor_per_unit
    )
    each["total"] = each["so_far"] + each["clv"]
    n = people["n"].to_numpy(float)
    columns = {OFTEN: frequency_class(people["frequency"])} | {name: people[c] for name, c in keyed.items()}
    columns[COHORT] = _in_order(people[keyed[COHORT]], next(iter(schemes)).groups)
    groups = {name: _sums(values, each, n) for name, values in columns.items()}
    rows = [(INDIVIDUAL, "", int(n.sum()), int(n.sum()), float(n @ each["clv"]), took)]
    for grain in (SEGMENT, TIER, COHORT):
        if grain in keyed:
            begun = time.perf_counter()
            value, parts = _by_sweep(fit, spend, both, people, keyed[grain], terms, minor_per_unit)
            rows.append((grain, keyed[grain], parts, int(n.sum()), value, time.perf_counter() - begun))
    frame = pd.DataFrame(rows, columns=["grain", "by", "parts", "customers", "value", "seconds"])
    begun = time.perf_counter()
    curve, why = _by_curve(people, each, n, schemes, terms, minor_per_unit)
    mean, risk = float(n @ each["clv"] / n.sum()), float(n @ (1 - each["alive"] + each["leaves"]) / n.sum())
    return Grains(
        frame, groups, _quadrants(each, n, mean, risk), curve, mean, risk, time.perf_counter() - begun, why
    )


def individuals(
    fit: "Fit", spend: "Fit", draws: tuple, people: "pd.DataFrame", terms: Terms, minor_per_unit: float
) -> "pd.DataFrame":
    """Posterior means of one customer of each row: ``alive, clv, leaves`` (P(a customer today, and gone within a year)), ``at_risk``.

    Those valued as their segment have its means, the company's where the segment has nobody of its own.
    """
    import pandas as pd

    own = is_own(people)
    out = pd.DataFrame(np.nan, index=people.index, columns=["alive", "clv", "leaves", "at_risk"])
    places = np.flatnonzero(own)
    for part in np.array_split(places, max(1, math.ceil(len(places) * len(draws[0]) / BLOCK))):
        block = Block.of(fit, spend, draws, people.iloc[part].assign(n=1), minor_per_unit)
        value, leaving = block.value(terms, Future()), 1 - block.who.stays(draws[0], terms.days_per_year)
        found = block.alive, value, block.alive * leaving, value * leaving
        out.iloc[part] = np.stack([one.mean(axis=0) for one in found], axis=1)
    if not own.all():
        n, names = people["n"].to_numpy(float), list(out)
        weighted = (
            out[own].mul(n[own], axis=0).assign(n=n[own], segment=people.loc[own, "segment"].astype(str))
        )
        sums = weighted.groupby("segment").sum()
        means = sums[names].div(sums["n"], axis=0).reindex(people.loc[~own, "segment"].astype(str))
        company = weighted[names].sum() / weighted["n"].sum()
        out.loc[~own] = means.fillna(company).to_numpy()
    return out


def _sums(values, each: "pd.DataFrame", n: np.ndarray) -> "pd.DataFrame":
    """Sums over the customers of each group."""
    columns = ["alive", "so_far", "clv", "total", "leaves", "at_risk"]
    weighted = each[columns].mul(n, axis=0)
    weighted.insert(0, "customers", n)
    weighted.insert(0, "group", np.asarray(values))
    order = list(values.categories) if hasattr(values, "categories") else sorted(set(values))
    found = weighted.groupby("group").sum().loc[order].reset_index()
    return found.astype({"customers": int, "group": str})


def _in_order(values: "pd.Series", order: list[str]) -> "pd.Categorical":
    """Cohorts in the order of their scheme."""
    import pandas as pd

    known = [one for one in order if one in set(values)]
    return pd.Categorical(values, [*known, *sorted(set(values) - set(known))])


def _by_sweep(fit, spend, draws, people, column, terms, minor_per_unit) -> tuple[float, int]:
    """Value of all groups of a grain, summed group by group from cells, and how many groups there are."""
    import pandas as pd

    keys = [*keys_of(people), MARK, column]
    amounts = people.assign(spend_minor=people["spend_minor"] * people["n"])
    cells = amounts.groupby(keys, as_index=False, dropna=False)[["n", "spend_minor"]].sum()
    cells[MARK] = cells[MARK].astype(object).where(cells[MARK].notna(), None)
    codes, names = pd.factorize(cells[column], sort=True)
    case = [(terms, Future())]
    (found,) = totals(fit, spend, draws, cells, [codes], case, minor_per_unit, money_only=True)[0]
    return float(found.value.mean(axis=0).sum()), len(names)


def _by_curve(people, each, n, schemes: "Schemes", terms, minor_per_unit) -> "tuple[pd.DataFrame, str]":
    """Value of each cohort of period by sum of individuals, and by the curve of cohorts."""
    import pandas as pd

    from clvkit.cohorts import period_label, period_start

    scheme = next(iter(schemes))
    sizes = scheme.sizes.groupby("index")["customers"].sum()
    cells = scheme.long[scheme.long["mature"]].groupby(["index", "age"], as_index=False)["repeat_minor"].sum()
    try:
        if not math.isfinite(terms.horizon_days):
            raise FitError("a curve of cohorts needs a finite horizon")
        curve = cohort_curve(cells.assign(customers=cells["index"].map(sizes)))
    except FitError as error:
        return pd.DataFrame({"cohort": [], "customers": [], "individuals": [], "curve": []}), str(
            error
        ).splitlines()[0]
    age = people["T_days"] + (people["before_days"].clip(lower=0) if "before_days" in people else 0)
    frame = pd.DataFrame(
        {"index": people["period"], "customers": n, "age": n * age, "individuals": n * each["clv"]}
    )
    found = frame.groupby("index").sum().reset_index()
    ahead = curve.ahead(found["age"] / found["customers"], DAYS[scheme.grain], terms) / minor_per_unit
    names = [period_label(period_start(int(one), scheme.grain), scheme.grain) for one in found["index"]]
    return found.assign(
        cohort=names, curve=ahead * found["customers"], customers=found["customers"].astype(int)
    )[["cohort", "customers", "individuals", "curve"]], ""


def _quadrants(each: "pd.DataFrame", n: np.ndarray, mean: float, risk: float) -> "pd.DataFrame":
    """Customers by whether their value, and the probability that they are gone in a year, are at least those of all together."""
    import pandas as pd

    worth = np.where(each["clv"] >= mean, HIGH, LOW)
    leaving = np.where(1 - each["alive"] + each["leaves"] >= risk, HIGH, LOW)
    rows = []
    for value in (HIGH, LOW):
        for likely in (HIGH, LOW):
            inside = (worth == value) & (leaving == likely)
            sums = [float(n[inside] @ each.loc[inside, name]) for name in ("clv", "at_risk")]
            rows.append((value, likely, int(n[inside].sum()), *sums))
    return pd.DataFrame(rows, columns=["value", "risk", "customers", "clv", "at_risk"])
