"""Survival of contracts as a study asks for it: drivers with their checks and projections, curves by group, competing ends."""

import json
from dataclasses import dataclass, fields
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clvkit.competing_ends import INVOLUNTARY, cumulative_incidence, kinds_of_end
from clvkit.contract_survival import by_group, compare, differ
from clvkit.contracts_section import as_watched
from clvkit.errors import FitError
from clvkit.relation_drivers import attributes, design
from clvkit.relation_times import rates, rates_by_tenure, timed
from clvkit.restricted_mean import means_by_group, reaches
from clvkit.survival_projection import beyond, fit_lifetimes, held_back, time_ratios
from clvkit.survival_regression import regress

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.contracts import Contracts
    from clvkit.contracts_section import ContractsSection
    from clvkit.models_section import ModelsSection
    from clvkit.workbench import Workbench

#: Curves stop where fewer relations are at risk.
FEWEST = 10
#: Groups are compared in pairs up to this number of them.
MOST_PAIRED = 6
#: Classes of tenure, each up to and with its number of units.
TENURES = {"month": (1, 3, 6, 12, 24, 36, 48, 60), "day": (30, 90, 180, 365, 730, 1095, 1460)}
People = "tuple[list[pd.DataFrame], pd.DataFrame | None]"


class _Kept:
    """Saves tables as Parquet, and the rest as JSON."""

    def save(self, folder: Path) -> None:
        """Write it into ``folder``."""
        import pandas as pd

        folder.mkdir(parents=True, exist_ok=True)
        plain = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, pd.DataFrame):
                value.to_parquet(folder / f"{one.name}.parquet", index=False)
            else:
                plain[one.name] = value
        (folder / "said.json").write_text(json.dumps(plain), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path):
        """Read what `save` wrote."""
        import pandas as pd

        plain = json.loads((folder / "said.json").read_text(encoding="utf-8"))
        plain = {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}
        tables = {path.stem: pd.read_parquet(path) for path in folder.glob("*.parquet")}
        return cls(**plain, **tables)


@dataclass(frozen=True)
class ContractDrivers(_Kept):
    """What makes relations end sooner or later, and how well lifetimes are projected.

    Tables are empty where they could not be had; ``why`` and ``tail_why`` then say why.

    Attributes
    ----------
    effects, tests, calibration : as `clvkit.survival_regression.Regression` has them, with ``concordance, ends, horizon, robust``.
    lifetimes : ``family, parameters, log_likelihood, aic, shape, driven_aic``, one row a lifetime distribution; ``ratios``, the
        time ratios of the best one with drivers, ``ratio_family``.
    tail : methods tried from ``origin``, as `clvkit.survival_projection.Tail` has them, with ``running, stayed``; ``beyond``, tried
        on tenures beyond ``cut``.
    rates : ``driver, group, relations, ended, exposure, rate, low, high``; ``tenures``, the same by tenure.
    time : the unit, month or day. ``censored``: involuntary ends, which the regression takes for censored.
    """

    effects: "pd.DataFrame"
    tests: "pd.DataFrame"
    calibration: "pd.DataFrame"
    lifetimes: "pd.DataFrame"
    ratios: "pd.DataFrame"
    tail: "pd.DataFrame"
    beyond: "pd.DataFrame"
    rates: "pd.DataFrame"
    tenures: "pd.DataFrame"
    time: str
    interval: float
    why: str
    tail_why: str
    notes: tuple[str, ...]
    concordance: float
    ends: int
    censored: int
    horizon: int
    robust: bool
    ratio_family: str
    origin: str
    running: int
    stayed: int
    cut: int
    stratified: tuple[str, ...]
    at_renewals: bool


def contract_drivers(
    held: "Contracts",
    section: "ContractsSection",
    people: People,
    models: "ModelsSection",
    *,
    as_of: date,
    origin: date | None,
    interval: float,
    snapshot: bool = False,
) -> ContractDrivers:
    """Analyse what drives leaving.

    Parameters
    ----------
    section : its ``observed_from`` says since when ends were recorded, of a snapshot as well.
    people : rows of customers tables, and whose the accounts are.
    origin : the earlier date that projections are tried from; None: a quarter of the history before ``as_of``.
    snapshot : whether it is known of those who left how long they had been there, and not when they left.
    """
    import pandas as pd

    said = {"time": section.axis, "observed_from": section.observed_from}
    frame = timed(held.relations, as_of, **said)
    values = attributes(held, section.drivers, people)
    every = design(values) if section.drivers else None
    of_frame = None if every is None else design(values.loc[frame.index])
    kind = kinds_of_end(frame, section.involuntary)
    chosen = frame["ended"] & (kind != INVOLUNTARY)
    none, found, why, notes = pd.DataFrame(), None, "", []
    if of_frame is None:
        why = "The study names no drivers of leaving (contracts.drivers)."
    else:
        try:
            found = regress(frame, of_frame, left=chosen, interval=interval, stratify_by=section.stratify_by)
        except FitError as error:
            why = str(error).splitlines()[0][0].upper() + str(error).splitlines()[0][1:] + "."
        notes = [*(of_frame.left_out if found is None else found.said)]
    if snapshot and found is not None:
        notes.append("What a snapshot says of customers holds on its day, and need not have when they began.")
    lives = fit_lifetimes(frame, of_frame)
    notes += lives.said
    plain = [
        (fit.family, _parameters(fit), fit.log_likelihood, fit.aic, fit.shape,
         lives.driven[fit.family].aic if fit.family in lives.driven else np.nan)
        for fit in lives.plain.values()
    ]  # fmt: skip
    origin = origin or _earlier(held.relations, as_of)
    tail, tail_why = None, ""
    try:
        if snapshot:
            raise FitError("the source is a snapshot: it does not say who was there on an earlier date")
        asked = {"origin": origin, "as_of": as_of, "interval": interval, "seed": models.sampler.seed}
        tail = held_back(held.relations, every, **asked, **said, models=models)
    except FitError as error:
        tail_why = str(error).splitlines()[0][0].upper() + str(error).splitlines()[0][1:] + "."
    cut = int(np.quantile(frame["until"], 0.6)) if len(frame) else 0
    width = int(frame["width"].max()) if len(frame) else 1
    cut = cut // width * width
    by_level = [
        rates(frame, level, interval).assign(driver=name)
        for name, level in (of_frame.levels.items() if of_frame is not None else ())
    ]
    best = lives.best_driven
    return ContractDrivers(
        effects=found.effects if found else none,
        tests=found.tests if found else none,
        calibration=found.calibration if found else none,
        lifetimes=pd.DataFrame(plain, columns=["family", "parameters", "log_likelihood", "aic", "shape", "driven_aic"]),
        ratios=time_ratios(best, of_frame, interval) if best else none,
        tail=tail.methods if tail else none,
        beyond=beyond(frame, cut, models) if cut >= 3 * width and frame["ended"].any() else none,
        rates=pd.concat(by_level, ignore_index=True) if by_level else none,
        tenures=rates_by_tenure(frame, TENURES[section.axis], interval),
        time=section.axis, interval=interval, why=why, tail_why=tail_why, notes=tuple(dict.fromkeys(notes)),
        concordance=found.concordance if found else float("nan"), ends=found.ends if found else int(frame["ended"].sum()),
        censored=int((frame["ended"] & (kind == INVOLUNTARY)).sum()), horizon=found.horizon if found else 0,
        robust=bool(found and found.robust), ratio_family=best.family if best else "", origin=origin.isoformat(),
        running=tail.relations if tail else 0, stayed=tail.actual if tail else 0, cut=cut, stratified=section.stratify_by,
        at_renewals=bool(section.axis == "month" and (frame["until"] % frame["width"] == 0)[frame["ended"]].all() and width > 1),
    )  # fmt: skip


def _parameters(fit) -> str:
    from clvkit import numbers

    names = {"weibull": ("scale", "shape"), "lognormal": ("median", "σ"), "loglogistic": ("median", "shape")}[
        fit.family
    ]
    second = np.exp(fit.estimates[-1]) if fit.family == "lognormal" else fit.shape
    return f"{names[0]} {numbers.number(float(np.exp(fit.estimates[0])), 1)}, {names[1]} {numbers.number(float(second), 2)}"


def _earlier(relations: "pd.DataFrame", as_of: date) -> date:
    first = relations["start"].min().date()
    return as_of - timedelta(days=(as_of - first).days // 4)


@dataclass(frozen=True)
class ContractCurves(_Kept):
    """Curves by group, mean lifetimes within a time, and competing ends.

    Attributes
    ----------
    curves : ``key, group, renewal, at_risk, left, survival, low, high``: key says what parts the groups.
    tests : ``key, p, within``: the log-rank test of all groups, and the units that means are restricted to.
    pairs : ``key, one, other, p, adjusted`` of log-rank tests in pairs, and ``difference, low, high, mean_adjusted`` of means.
    means : ``key, group, relations, mean, low, high``.
    incidence : as `clvkit.competing_ends.cumulative_incidence` gives it; empty where no reason of an end is written.
    time : the unit. ``named``: ends with a reason, of ``ends``.
    """

    curves: "pd.DataFrame"
    tests: "pd.DataFrame"
    pairs: "pd.DataFrame"
    means: "pd.DataFrame"
    incidence: "pd.DataFrame"
    time: str
    interval: float
    ends: int
    named: int
    grouped_ends: bool


def contract_curves(
    held: "Contracts",
    section: "ContractsSection",
    people: People,
    *,
    as_of: date,
    interval: float,
    snapshot: bool = False,
) -> ContractCurves:
    """Curves of relations by when they began, by plan and by each driver; and how they ended.

    Of a ``snapshot`` it is not known when those who left began, so that nothing is said by it.
    """
    import pandas as pd

    frame = timed(held.relations, as_of, time=section.axis, observed_from=section.observed_from)
    period = {"month": "M", "quarter": "Q", "year": "Y"}[section.began_in]
    frame = frame.assign(began=frame["start"].dt.to_period(period).astype(str))
    keys = [] if snapshot else ["began"]
    parted = [section.segment_by] if section.segment_by else []
    names = list(dict.fromkeys(["plan", *parted, *section.drivers]))
    levels = design(attributes(held, names, people).loc[frame.index]).levels
    for name in names:
        if levels[name].nunique() > 1:
            frame[f"by_{name}"] = levels[name]
            keys.append(f"by_{name}")
    parts = {"curves": [], "tests": [], "pairs": [], "means": []}
    watched = frame[frame["until"] > frame["entry"]]
    for key in keys if len(watched) else ():
        name = key.removeprefix("by_")
        curves = by_group(watched, key, interval)
        reach = reaches(curves, FEWEST)
        ordered = sorted(reach.values())
        # young relations cannot have lasted long: half of the times of beginning decide, and all of other groups
        common = ordered[len(ordered) // 2] if key == "began" else ordered[0]
        within = max(min(section.mean_within or common, ordered[-1]), 1)
        young = frozenset(group for group, last in reach.items() if last < within)
        parts["curves"].append(curves.assign(key=name))
        parts["tests"].append(pd.DataFrame([{"key": name, "p": differ(watched, key), "within": within}]))
        means, gaps = means_by_group(curves, within, interval, young)
        parts["means"].append(means.assign(key=name))
        if len(reach) <= MOST_PAIRED:  # more pairs are no table
            pairs = compare(watched, key).pairs
            gaps = gaps.rename(columns={"adjusted": "mean_adjusted"}).drop(columns="p")
            parts["pairs"].append(pairs.merge(gaps, on=["one", "other"], how="left").assign(key=name))
    tables = {
        name: pd.concat(full, ignore_index=True)
        if (full := [one for one in made if len(one)])
        else pd.DataFrame()
        for name, made in parts.items()
    }
    kind = kinds_of_end(watched, section.involuntary)
    named = int((watched["ended"] & watched["reason"].notna()).sum())
    incidence = (
        cumulative_incidence(watched["entry"].to_numpy(), watched["until"].to_numpy(), _few(kind), interval)
        if named
        else pd.DataFrame()
    )
    return ContractCurves(**tables, incidence=incidence, time=section.axis, interval=interval,
                          ends=int(watched["ended"].sum()), named=named, grouped_ends=bool(section.involuntary))  # fmt: skip


def _few(kind: "pd.Series", most: int = 5) -> "pd.Series":
    """The most frequent kinds; what is left is ``other``."""
    often = kind.value_counts().index
    return kind if len(often) <= most else kind.where(kind.isna() | kind.isin(often[: most - 1]), "other")


def _asked(bench: "Workbench") -> tuple:
    """What both analyses of a run start from: contracts, section, people, and the as-of date, interval and kind of source."""
    study = bench.study
    source = study.ledger.by_name()[study.contracts.source]
    section = as_watched(study.contracts, source.extracted)
    said = {"as_of": study.as_of, "interval": study.retention.interval, "snapshot": "tenure" in source.fields}
    return (bench.contracts(), section, bench.seen.known), said


def drivers_of_run(bench: "Workbench") -> ContractDrivers:
    """The drivers of a run's contracts, tried from the study's latest earlier date."""
    asked, said = _asked(bench)
    origin = max(bench.study.backtest.origins, default=None)
    return contract_drivers(*asked, bench.study.models, origin=origin, **said)


def curves_of_run(bench: "Workbench") -> ContractCurves:
    """The curves of a run's contracts."""
    asked, said = _asked(bench)
    return contract_curves(*asked, **said)
