"""Lifetime distributions beside each other, and tried on a held-back tail."""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from clvkit.contract_survival import survival
from clvkit.contracts import counted
from clvkit.errors import FitError
from clvkit.parametric_survival import FAMILIES, LABELS, ParametricFit, fit_parametric
from clvkit.relation_drivers import DriverDesign
from clvkit.relation_times import known_at, timed, whole_widths
from clvkit.survival_regression import without_loyal

if TYPE_CHECKING:
    import pandas as pd

_DRAWS = 400
_THICK, _LAST = (
    10,
    6,
)  # relations at risk that a Kaplan–Meier step needs; steps whose rate is carried on beyond them


@dataclass(frozen=True)
class Lifetimes:
    """The three lifetime distributions, without drivers and with them.

    Attributes
    ----------
    plain, driven : fits by family; those that could not be had are missing, and ``said`` says why.
    """

    plain: dict[str, ParametricFit]
    driven: dict[str, ParametricFit]
    said: tuple[str, ...]

    @property
    def best(self) -> "ParametricFit | None":
        """The one with the lowest AIC without drivers."""
        return min(self.plain.values(), key=lambda one: one.aic, default=None)

    @property
    def best_driven(self) -> "ParametricFit | None":
        """The one with the lowest AIC with drivers."""
        return min(self.driven.values(), key=lambda one: one.aic, default=None)


def on_chances(frame: "pd.DataFrame") -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Entry, until, ended and width with running relations seen to their last chance to leave, and no further."""
    width, ended = frame["width"].to_numpy(), frame["ended"].to_numpy(bool)
    until = frame["until"].to_numpy()
    seen = np.where(ended, until, whole_widths(until, width))
    return (
        whole_widths(frame["entry"].to_numpy(), width),
        seen,
        ended,
        np.where(until % width, until % width, width),
    )


def fit_lifetimes(frame: "pd.DataFrame", design: DriverDesign | None) -> Lifetimes:
    """Fit every family to relations as `clvkit.relation_times.timed` gives them, of the same rows as ``design``."""
    entry, until, ended, width = on_chances(frame)
    plain, driven, said = {}, {}, []
    if design is not None:  # levels that nobody left share the hazard of what theirs is compared with
        design = without_loyal(design, ended, until > entry)[0]
    for family in FAMILIES:
        try:
            plain[family] = fit_parametric(family, entry, until, ended, width=width)
            if design is not None and design.names:
                driven[family] = fit_parametric(
                    family, entry, until, ended, design.x, design.names, width=width
                )
        except FitError as error:
            said.append(str(error).splitlines()[0].capitalize() + ".")
    return Lifetimes(plain, driven, tuple(said))


def time_ratios(fit: ParametricFit, design: DriverDesign, interval: float) -> "pd.DataFrame":
    """By how much each step stretches time: ``driver, level, ratio, low, high``; above 1, relations last longer.

    The level that the others of a driver are compared with has 1 and no interval.
    """
    import pandas as pd
    from scipy.stats import norm

    z, se, rows = norm.ppf((1 + interval) / 2), np.sqrt(np.diag(fit.covariance))[1:-1], []
    for one in design.drivers:
        at = [k for k, name in enumerate(fit.names) if name in {f"{one.name}: {step}" for step in one.steps}]
        if at and one.reference is not None:
            rows.append((one.name, one.reference, 1.0, np.nan, np.nan))
        for k in at:
            b = fit.estimates[1 + k]
            level = fit.names[k].removeprefix(f"{one.name}: ")
            rows.append((one.name, level, *(float(np.exp(b + side * z * se[k])) for side in (0, -1, 1))))
    return pd.DataFrame(rows, columns=["driver", "level", "ratio", "low", "high"])


@dataclass(frozen=True)
class Tail:
    """Projections tried on what came after ``origin``.

    Attributes
    ----------
    relations : that ran at the origin. ``actual``: of them, those that still ran at the as-of date.
    methods : ``method, expected, low, high, error``: relations forecast to run still, with the luck of single relations and what
        is not known of the parameters; ``error`` is the forecast's over what came, less 1. No interval where none is computed.
    """

    origin: date
    as_of: date
    relations: int
    actual: int
    methods: "pd.DataFrame"


def held_back(
    relations: "pd.DataFrame",
    design: DriverDesign | None,
    *,
    origin: date,
    as_of: date,
    time: str,
    observed_from: date | None,
    interval: float,
    seed: int,
    models=None,
) -> Tail:
    """Fit every method to what was known at ``origin``, and project the relations that ran then to ``as_of``.

    ``models``, the section of that name, adds sBG, where all relations have one billing period.

    Raises
    ------
    FitError : no relation ran at the origin, or none had ended by it.
    """
    import pandas as pd

    said = {"time": time, "observed_from": observed_from}
    before = timed(known_at(relations, origin), origin, **said)
    running = before[~before["ended"]]
    if running.empty or not before["ended"].any():
        raise FitError(f"nothing can be tried from {origin}: no relation ran then, or none had ended")
    now = timed(relations.loc[running.index].assign(ended=False, end=pd.NaT), as_of, **said)
    stays = int((~relations.loc[running.index, "ended"].astype(bool)).sum())
    rows = [_kaplan_meier(before, running, now)]
    fits = fit_lifetimes(before, None if design is None else _rows(design, before.index))
    if models is not None and before["width"].nunique() == 1 and time == "month":
        rows += _sbg(before, running, now, models)
    width = running["width"].to_numpy()
    made, due = (whole_widths(one["until"].to_numpy(), width) for one in (running, now))
    for fit, driven in [(one, False) for one in fits.plain.values()] + [
        (one, True) for one in fits.driven.values()
    ]:
        x = None
        if driven:
            every = _rows(design, running.index)
            keep = [every.names.index(name) for name in fit.names]
            x = every.x[:, keep]
        expected = float(fit.remaining(made, due - made, x).sum())
        luck = _drawn(fit, made, due - made, x, seed)
        low, high = np.quantile(luck, [(1 - interval) / 2, (1 + interval) / 2]).clip(0, len(running))
        rows.append((LABELS[fit.family] + (" with drivers" if driven else ""), expected, low, high))
    methods = pd.DataFrame(rows, columns=["method", "expected", "low", "high"])
    methods["error"] = methods["expected"] / stays - 1 if stays else np.nan
    return Tail(origin, as_of, len(running), stays, methods)


def _drawn(fit: ParametricFit, made: np.ndarray, ahead: np.ndarray, x, seed: int) -> np.ndarray:
    """Draws of how many still run, of the parameters and of the luck of each relation: (draws,)."""
    rng, found = np.random.default_rng(seed), []
    for one in fit.draws(_DRAWS, seed):
        p = fit.remaining(made, ahead, x, one)
        found.append(rng.normal(p.sum(), np.sqrt((p * (1 - p)).sum())))
    return np.array(found)


def _rows(design: DriverDesign, index) -> DriverDesign:
    """The design of some of its relations."""
    at = design.levels.index.get_indexer(index)
    return DriverDesign(design.drivers, design.x[at], design.levels.iloc[at], design.left_out)


def _kaplan_meier(before, running, now) -> tuple:
    """The curve, and beyond it the rate of its last steps carried on."""
    curve = survival(counted(before), 0.9)
    steps = curve[curve["renewal"] > 0]  # one a unit
    thick = steps[steps["at_risk"] >= _THICK]
    last = thick.tail(_LAST * int(before["width"].max()))
    rate = 1 - last["left"].sum() / max(last["at_risk"].sum(), 1)
    reach = int(now["until"].max()) + 1
    stays = np.full(
        reach, rate
    )  # where few are at risk, early or late, the rate of the last well-known steps
    known = thick[thick["renewal"] <= reach]
    stays[known["renewal"].to_numpy(int) - 1] = 1 - known["left"] / known["at_risk"]
    s = np.append(1.0, np.cumprod(stays))
    made, due = running["until"].to_numpy(), now["until"].to_numpy()
    stay = np.divide(s[due], s[made], out=np.zeros(len(made)), where=s[made] > 0)
    return "Kaplan–Meier, its last rate carried on", float(stay.sum()), np.nan, np.nan


def _sbg(before, running, now, models) -> list[tuple]:
    from clvkit.contracts_fit import fit_contracts

    width = int(before["width"].iloc[0])
    entry, until, ended, _ = on_chances(before)
    periods = before.assign(renewals=(until - ended) // width, entry=entry // width)
    periods = periods[periods["renewals"] >= periods["entry"]]
    try:
        fit = fit_contracts(counted(periods), models, model="sbg", period_days=30.4375 * width, sample=False)
    except FitError:
        return []
    made, due = (one["until"].to_numpy() // width for one in (running, now))
    stay = fit.model.survival(fit.mle, due, made)
    return [("sBG", float(np.sum(stay)), np.nan, np.nan)]


def beyond(frame: "pd.DataFrame", cut: int, models=None) -> "pd.DataFrame":
    """Fit to the first ``cut`` units alone and project the curve to the last that was watched well.

    Returns
    -------
    ``method, unit, projected, seen, low, high, error``: survival to ``unit`` of those there at ``cut``; ``seen`` with its band
    is Kaplan–Meier's. Empty where nothing comes after the cut.
    """
    import pandas as pd

    columns = ["method", "unit", "projected", "seen", "low", "high", "error"]
    curve = survival(counted(frame), 0.9)
    thick = curve[(curve["at_risk"] >= _THICK) & (curve["renewal"] > 0)]
    cells = frame[frame["until"] > cut].assign(entry=lambda one: one["entry"].clip(lower=cut))
    later = survival(counted(cells), 0.9)
    unit = int(thick["renewal"].max()) if len(thick) else 0
    if unit <= cut or later.empty:
        return pd.DataFrame(columns=columns)
    seen = later.loc[later["renewal"] == unit, ["survival", "low", "high"]].iloc[0]
    ended = frame["ended"] & (frame["until"] <= cut)
    short = frame.assign(until=frame["until"].clip(upper=cut), ended=ended)
    short = short.assign(renewals=short["until"] - ended)
    short = short[short["until"] > short["entry"]]
    try:
        fits = fit_lifetimes(short, None).plain.values()
    except FitError:
        fits = []
    rows = [
        (LABELS[fit.family], float(fit.remaining(np.array([cut]), np.array([unit - cut]))[0])) for fit in fits
    ]
    if models is not None and short["width"].nunique() == 1 and cut % int(short["width"].iloc[0]) == 0:
        width = int(short["width"].iloc[0])
        at = short.head(1).assign(until=cut)
        rows += [
            (name, value)
            for name, value, *_ in _sbg(short, at, at.assign(until=unit // width * width), models)
        ]
    found = pd.DataFrame(rows, columns=["method", "projected"]).assign(
        unit=unit, **seen.rename({"survival": "seen"})
    )
    return found.assign(error=found["projected"] / found["seen"] - 1)[columns]
