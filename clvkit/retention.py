"""Retention: how long customers keep buying, beside what a fitted process says of the same thing.

The rule by which a customer counts as lost, and what is done about customers who are only not lost yet,
stand in :mod:`clvkit.survival`.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from pydantic import Field, field_validator

from clvkit.cohorts import Grain, period_label, period_start
from clvkit.rule_retention import RetentionRuleSection
from clvkit.rules import RuleBroken, rate_hint
from clvkit.section import Section
from clvkit.survival import curve_at, kaplan_meier, log_rank, run_lengths, spell_cells, spells

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

    from clvkit.fit import Fit

_COUNTS = ["customers", "judged", "lost", "returned", "censored", "too_new"]


class RetentionSection(Section):
    """When a silent customer is counted as lost, and how retention is shown."""

    silence_days: int = Field(
        180,
        gt=0,
        description=(
            "A customer without a purchase for this many days after the last one is counted as lost; "
            "one whose last purchase is more recent is censored. Unit: days."
        ),
    )
    compare_silence_days: tuple[int, ...] = Field(
        (90, 270), description=("Other lengths of silence that the report compares with. Unit: days.")
    )
    grain: Grain = Field("month", description="Calendar period of first purchase that curves are split by.")
    ages_days: tuple[int, ...] = Field(
        (0, 30, 90, 180, 270, 365),
        min_length=1,
        description=("Durations that tables state retention at. Unit: days since the first purchase."),
    )
    interval: float = Field(0.9, description="Probability that bands are stated for, at each duration.")
    min_at_risk: int = Field(
        30, ge=1, description=("Charts and tables stop where fewer customers than this are still at risk.")
    )
    horizon_days: int = Field(
        730, gt=0, description=("How far a model's curve is carried. Unit: days since the first purchase.")
    )
    simulations: int = Field(40, ge=2, description="Simulated groups of customers behind a model's curve.")
    simulated_customers: int = Field(
        50_000,
        ge=100,
        description=(
            "Most customers in a simulated group; it is otherwise as large as the group in the data."
        ),
    )
    seed: int = Field(20240117, ge=0, description="Seed of the simulations behind a model's curve.")
    max_gap: float = Field(
        0.05,
        description=(
            "A model's curve further than this from the customers' is put up for review. "
            "Unit: share of customers."
        ),
    )
    max_returned: float = Field(
        0.10,
        description=(
            "More than this share of the lost who bought again is put up for review. Unit: share of the lost."
        ),
    )

    rule: RetentionRuleSection | None = Field(
        None,
        description=(
            "Retention as somebody assumes it, to be shown beside the models with the gap in value: {constant: 0.8}, {by_age: {1: "
            "0.63, 2: 0.74}} or {hiatus_days: 365}; null: nothing is assumed."
        ),
    )

    @field_validator("ages_days", "compare_silence_days")
    @classmethod
    def _days(cls, value: tuple[int, ...], info) -> tuple[int, ...]:
        least = 0 if info.field_name == "ages_days" else 1
        if any(days < least for days in value):
            raise RuleBroken(f"must be whole days, {least} or more each")
        return tuple(sorted(set(value)))

    @field_validator("interval", "max_gap", "max_returned")
    @classmethod
    def _share(cls, value: float) -> float:
        if not 0 < value < 1:
            raise RuleBroken("must be a fraction between 0 and 1", rate_hint(value))
        return value


@dataclass(frozen=True)
class Retention:
    """Kaplan–Meier curves of the customers, together and by cohort.

    Attributes
    ----------
    silence_days, as_of, grain, interval : what the curves were made with.
    cohorts_p : p-value of the log-rank test that the cohorts' curves are one; NaN with one cohort.
    curve : the step function over all customers, as :func:`kaplan_meier` gives it.
    by_cohort : the same per cohort, with ``cohort`` (first day of its period) and ``label`` in front.
    counts : one row per cohort: ``cohort``, ``label``, ``customers``, ``judged``, ``lost``, ``returned``
        (lost, and bought again later), ``censored`` (judged, not lost), ``too_new`` (cannot be judged).
    choices : one row per length of silence: ``silence_days``, the counts, ``returned_share`` (of the
        lost), ``repeat_share`` (S(0)) and ``survival`` at ``at_days``, the largest of the ages in the
        study that all these lengths can be judged at.
    """

    silence_days: int
    as_of: date
    grain: Grain
    interval: float
    cohorts_p: float
    curve: "pd.DataFrame"
    by_cohort: "pd.DataFrame"
    counts: "pd.DataFrame"
    choices: "pd.DataFrame"

    @property
    def total(self) -> "pd.Series":
        """The counts over all cohorts."""
        return self.counts[_COUNTS].sum()

    def at(self, ages_days: tuple[int, ...], min_at_risk: int = 1) -> "pd.DataFrame":
        """S(t) with its band and the number at risk, at chosen ages; see :func:`curve_at`."""
        return curve_at(self.curve, ages_days, min_at_risk)

    def save(self, folder: Path) -> None:
        """Write the curves as Parquet and JSON into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("curve", "by_cohort", "counts", "choices"):
            getattr(self, name).to_parquet(folder / f"{name}.parquet", index=False)
        made = {
            "silence_days": self.silence_days,
            "as_of": self.as_of.isoformat(),
            "grain": self.grain,
            "interval": self.interval,
            "cohorts_p": None if np.isnan(self.cohorts_p) else self.cohorts_p,
        }
        (folder / "retention.json").write_text(json.dumps(made), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Retention":
        """Read what :meth:`save` wrote."""
        import pandas as pd

        made = json.loads((folder / "retention.json").read_text(encoding="utf-8"))
        made["as_of"] = date.fromisoformat(made["as_of"])
        made["cohorts_p"] = float("nan") if made["cohorts_p"] is None else made["cohorts_p"]
        frames = {
            name: pd.read_parquet(folder / f"{name}.parquet")
            for name in ("curve", "by_cohort", "counts", "choices")
        }
        return cls(**made, **frames)


def measure_retention(purchases: "ir.Table", section: RetentionSection, as_of: date) -> Retention:
    """Judge every customer and estimate the curves, together, by cohort and for other silences.

    Parameters
    ----------
    purchases : the ledger's purchases: customer, day; one row per customer and day.
    section : the study's retention.
    as_of : last day that counts; later purchases are ignored.

    Returns
    -------
    The curves; without rows when no customer has been watched for ``silence_days``.
    """
    import pandas as pd

    cells = spell_cells(spells(purchases, section.silence_days, section.grain, as_of))
    judged = cells[cells["duration_days"] >= 0]
    curve = kaplan_meier(judged, section.interval)
    parts = [
        kaplan_meier(part, section.interval).assign(cohort_index=index)
        for index, part in judged.groupby("cohort_index")
    ]
    by_cohort = _named(pd.concat(parts or [curve.assign(cohort_index=0)], ignore_index=True), section.grain)
    counts = _named(_counted(cells, "cohort_index").reset_index(), section.grain)
    return Retention(
        silence_days=section.silence_days,
        as_of=as_of,
        grain=section.grain,
        interval=section.interval,
        cohorts_p=log_rank(judged, "cohort_index"),
        curve=curve,
        by_cohort=by_cohort,
        counts=counts,
        choices=_compare(purchases, section, as_of),
    )


def _counted(cells: "pd.DataFrame", key: str) -> "pd.DataFrame":
    """Customers by what is known of them, per value of ``key``."""
    import pandas as pd

    n, judged = cells["n"], cells["duration_days"] >= 0
    return (
        pd.DataFrame(
            {
                key: cells[key],
                "customers": n,
                "judged": n * judged,
                "lost": n * cells["lost"],
                "returned": n * cells["returned"],
                "censored": n * (judged & ~cells["lost"]),
                "too_new": n * ~judged,
            }
        )
        .groupby(key)
        .sum()
    )


def _named(frame: "pd.DataFrame", grain: Grain) -> "pd.DataFrame":
    """Replace ``cohort_index`` by the cohort's first day and its label."""
    import pandas as pd

    starts = [period_start(int(index), grain) for index in frame.pop("cohort_index")]
    frame.insert(0, "cohort", pd.to_datetime(starts))
    frame.insert(1, "label", [period_label(start, grain) for start in starts])
    return frame


def _compare(purchases: "ir.Table", section: RetentionSection, as_of: date) -> "pd.DataFrame":
    """The same curve for other lengths of silence, so that a reader sees what hangs on the choice."""
    import pandas as pd

    silences = sorted({section.silence_days, *section.compare_silence_days})
    curves, rows = {}, []
    for days in silences:
        cells = spell_cells(spells(purchases, days, section.grain, as_of))
        curves[days] = kaplan_meier(cells[cells["duration_days"] >= 0], section.interval)
        rows.append({"silence_days": days, **_counted(cells.assign(all=0), "all").iloc[0]})
    read = {days: curve_at(curve, section.ages_days, section.min_at_risk) for days, curve in curves.items()}
    common = pd.concat(read.values()).groupby("day")["survival"].count()
    at_days = common.index[common == sum(not curve.empty for curve in curves.values())].max()
    frame = pd.DataFrame(rows)
    frame["returned_share"] = frame["returned"] / frame["lost"].where(frame["lost"] > 0)
    frame["repeat_share"] = [curve_at(curve, (0,))["survival"].item() for curve in curves.values()]
    frame["survival"] = [curve.set_index("day")["survival"].get(at_days, np.nan) for curve in read.values()]
    return frame.assign(at_days=at_days)


class Purchases(Protocol):
    """Simulated repeat purchases: index of the customer and time since the first purchase, (m,) each."""

    customer: np.ndarray
    time: np.ndarray


class SimulatesPurchases(Protocol):
    """Draws the repeat purchases of new customers from a process, as ``Process.simulate`` does."""

    def __call__(self, parameters: np.ndarray, T: np.ndarray, rng: np.random.Generator) -> Purchases:
        """Purchases up to T (n,), the lengths of observation in the unit of the parameters (k,)."""
        ...


@dataclass(frozen=True)
class ProcessCurve:
    """The curve of a fitted process, by the rule that the customers are judged by.

    ``frame`` has one row per day from 0 to the horizon: ``day``, ``survival`` (mean over the simulated
    groups), ``low`` and ``high`` (quantiles over them). The band is of kind *outcome*: it holds the
    uncertainty of the parameters, where draws of them were given, and chance in a group of ``customers``.
    """

    process: str
    label: str
    silence_days: int
    customers: int
    simulations: int
    interval: float
    frame: "pd.DataFrame"

    def at(self, ages_days: tuple[int, ...]) -> "pd.DataFrame":
        """Rows of ``frame`` at chosen ages; NaN beyond the horizon."""
        return self.frame.set_index("day").reindex(list(ages_days)).rename_axis("day").reset_index()

    def save(self, folder: Path) -> None:
        """Write the curve as Parquet and JSON into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        self.frame.to_parquet(folder / "frame.parquet", index=False)
        made = {
            key: getattr(self, key)
            for key in ("process", "label", "silence_days", "customers", "simulations", "interval")
        }
        (folder / "process_curve.json").write_text(json.dumps(made), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "ProcessCurve":
        """Read what :meth:`save` wrote."""
        import pandas as pd

        made = json.loads((folder / "process_curve.json").read_text(encoding="utf-8"))
        return cls(**made, frame=pd.read_parquet(folder / "frame.parquet"))


def process_curve(
    simulate: SimulatesPurchases,
    params: np.ndarray,
    section: RetentionSection,
    *,
    unit_days: float,
    customers: int,
    process: str,
    label: str,
) -> ProcessCurve:
    """Retention as a fitted process has it: the same rule applied to customers simulated from it.

    Every simulated customer is followed for ``horizon_days`` + H days, so that nobody is censored and S(t)
    is a plain share. Times are rounded to whole days, at least 1, as the ledger merges what is bought on
    one day and a repeat purchase is never on the day of the first.

    Parameters
    ----------
    simulate : draws repeat purchases; ``processes.get(name).simulate``.
    params : parameters (k,), the same for each group, or draws of them (S, k), spread over the groups.
    section : the study's retention: silence, horizon, number and size of groups, seed, interval.
    unit_days : length of the process's unit of time. Unit: days.
    customers : size of the group in the data (``Retention.total["judged"]``).
    process, label : name of the process, and its name for readers (``Process.name``, ``Process.label``).
    """
    import pandas as pd

    draws = np.atleast_2d(np.asarray(params, float))
    chosen = np.linspace(0, len(draws) - 1, section.simulations).round().astype(int)
    size = min(int(customers), section.simulated_customers)
    follow = np.full(size, (section.horizon_days + section.silence_days) / unit_days)
    curves = np.empty((section.simulations, section.horizon_days + 1))
    seeds = np.random.SeedSequence(section.seed).spawn(section.simulations)
    for group, (draw, seed) in enumerate(zip(chosen, seeds, strict=True)):
        made = simulate(draws[draw], follow, np.random.default_rng(seed))
        day = np.maximum(np.rint(made.time * unit_days), 1).astype("int64")
        lengths = run_lengths(made.customer, day, size, section.silence_days)
        lost = np.bincount(np.minimum(lengths, section.horizon_days + 1), minlength=section.horizon_days + 2)
        curves[group] = 1 - np.cumsum(lost)[:-1] / size
    tail = (1 - section.interval) / 2
    low, high = np.quantile(curves, [tail, 1 - tail], axis=0)
    frame = pd.DataFrame(
        {
            "day": np.arange(section.horizon_days + 1),
            "survival": curves.mean(axis=0),
            "low": low,
            "high": high,
        }
    )
    return ProcessCurve(
        process, label, section.silence_days, size, section.simulations, section.interval, frame
    )


def process_curves(
    fits: "Iterable[Fit]", retention: Retention, section: RetentionSection
) -> list[ProcessCurve]:
    """The curve of every fitted process, for a group as large as the customers who can be judged.

    It is drawn from the posterior where there is one; see :func:`process_curve`.
    """
    total = retention.total
    return [
        process_curve(
            fit.model.simulate,
            fit.flat,
            section,
            unit_days=fit.unit_days,
            customers=total["judged"] or total["customers"],
            process=fit.process,
            label=fit.model.label,
        )
        for fit in fits
    ]
