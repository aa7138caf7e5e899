"""What makes relations end sooner or later: Cox regression on drivers, with its checks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clvkit.cox import Cox, concordance, fit_cox, proportional
from clvkit.errors import FitError
from clvkit.holm import holm
from clvkit.relation_drivers import DriverDesign

if TYPE_CHECKING:
    import pandas as pd

#: Fewer ends than this carry no regression; fewer per coefficient than that one, no trust in it.
FEWEST_ENDS, ENDS_EACH = 10, 10
#: Calibration compares so many classes of risk.
FIFTHS = 5
#: Its intervals hold for all classes at once with this probability: a form that is right is seldom put up for review.
CALIBRATED = 0.99
#: Below, a p corrected for the number of tests says that something is told from chance.
LEVEL = 0.05


@dataclass(frozen=True)
class Regression:
    """Cox regression of relations on their drivers.

    Attributes
    ----------
    effects : a row a step, and one for what it is compared with: ``driver, level, relations, ended, multiplier, low, high, p,
        adjusted`` (Holm, over all steps), and ``early, late``, the multiplier up to the median end and from then on.
    tests : a row a driver: ``driver, chi2, df, p, adjusted`` of whether it says anything, and ``ph_chi2, ph_p, ph_adjusted`` of
        whether its multiplier changes with tenure.
    calibration : a row a class of risk: ``risk, relations, predicted, seen, low, high`` share left by ``horizon``; ``seen`` is
        Kaplan–Meier's.
    concordance : of two relations, how often the one with the higher risk is left first.
    ends : counted. ``robust``: whether customers with several relations made the intervals robust ones.
    said : sentences about what was left out.
    """

    effects: "pd.DataFrame"
    tests: "pd.DataFrame"
    calibration: "pd.DataFrame"
    concordance: float
    ends: int
    horizon: int
    robust: bool
    said: tuple[str, ...]


def regress(
    timed: "pd.DataFrame",
    design: DriverDesign,
    *,
    left: "pd.Series",
    interval: float,
    stratify_by: Sequence[str] = (),
    horizon: int | None = None,
) -> Regression:
    """Fit and check a Cox regression.

    Parameters
    ----------
    timed : relations as `clvkit.relation_times.timed` gives them; ``design`` of the same relations.
    left : which of them ended in the way that is looked at; others that ended are censored then.
    stratify_by : drivers whose levels get a hazard of their own.
    horizon : units at which predictions are tried; default: the median of ends, in full dozens where it can be.

    Raises
    ------
    FitError : too few ends, no driver that can be used, or what `clvkit.cox.fit_cox` refuses.
    """
    import pandas as pd

    known = (timed["until"] > timed["entry"]).to_numpy()
    ended = left.to_numpy(bool)
    if (known & ended).sum() < FEWEST_ENDS:
        raise FitError(
            f"drivers cannot be told from {(known & ended).sum()} ends: at least {FEWEST_ENDS} are needed",
            place="contracts.drivers",
        )
    levels = design.levels
    strata = levels[list(stratify_by)].astype(str).agg(" · ".join, axis=1) if stratify_by else pd.Series("all", index=levels.index)  # fmt: skip
    free = design.without(stratify_by)
    free, known, said = without_loyal(free, ended, known)
    if not free.names:
        raise FitError("none of the drivers can be used", place="contracts.drivers", fix="name others")
    t = {name: timed[name].to_numpy(float)[known] for name in ("entry", "until")}
    ended, x, stratum = ended[known], free.x[known], strata.to_numpy(str)[known]
    customer = timed["customer"].to_numpy()[known]
    robust = len(np.unique(customer.astype(str))) < len(customer)
    fit = fit_cox(t["entry"], t["until"], ended, x, free.names, stratum=stratum, cluster=customer if robust else None)  # fmt: skip
    median = float(np.median(t["until"][ended]))
    effects = _effects(fit, free, ended, x, interval)
    effects = effects.merge(
        _in_halves(t, ended, x, free, stratum, median), on=["driver", "level"], how="left"
    )
    effects["adjusted"] = holm(effects["p"])
    at = int(horizon or _horizon(t["until"], median))
    risk = x @ fit.coefficients
    place = np.searchsorted(fit.labels, stratum)
    predicted = 1 - fit.survival(at, x, place)
    trial = calibration(predicted, t["entry"], t["until"], ended, at, CALIBRATED)
    short = len(free.names) * ENDS_EACH
    if ended.sum() < short:
        said.append(
            f"There are {ended.sum()} ends for {len(free.names)} multipliers; with fewer than {ENDS_EACH} for each, the intervals "
            "are too narrow."
        )
    order = (
        concordance(t["entry"], t["until"], ended, risk)
        if len(fit.labels) == 1
        else _within(t, ended, risk, stratum)
    )
    return Regression(
        effects, _tests(fit, free), trial, order, int(ended.sum()), at, robust, (*design.left_out, *said)
    )


def _horizon(until: np.ndarray, median: float) -> int:
    """The unit that predictions are tried at: the median end, in full dozens where somebody was watched for so long."""
    dozen = int(-(-median // 12) * 12)
    return dozen if (until >= dozen).mean() > 0.1 else int(median)


def without_loyal(
    design: DriverDesign, ended: np.ndarray, known: np.ndarray
) -> tuple[DriverDesign, np.ndarray, list[str]]:
    """Leave out levels of which nobody ended, and their relations: their multiplier is 0, and has no interval."""
    from clvkit.relation_drivers import Driver

    said, keep, drivers, at = [], [], [], 0
    for one in design.drivers:
        steps = []
        for step in one.steps:
            column = design.x[:, at] > 0
            if (one.kind == "categories" or step == "missing") and not (column & known & ended).any():
                if (column & known).any():
                    said.append(
                        f"None of the {(column & known).sum()} relations with {one.name} {step} ended; they are left out."
                    )
                known = known & ~column
            else:
                keep.append(at)
                steps.append(step)
            at += 1
        if one.kind == "categories" and steps:
            others = design.x[:, design.places[one.name]].any(axis=1)
            if not (~others & known & ended).any():
                said.append(
                    f"None of the relations with {one.name} {one.reference} ended; {one.name} is left out."
                )
                keep = keep[: len(keep) - len(steps)]
                steps = []
        if steps:
            drivers.append(Driver(one.name, one.kind, tuple(steps), one.reference))
    return DriverDesign(tuple(drivers), design.x[:, keep], design.levels, design.left_out), known, said


def _effects(
    fit: Cox, design: DriverDesign, ended: np.ndarray, x: np.ndarray, interval: float
) -> "pd.DataFrame":
    import pandas as pd
    from scipy.stats import norm

    z, rows, places = norm.ppf((1 + interval) / 2), [], design.places
    for one in design.drivers:
        inside = x[:, places[one.name]]
        if one.kind == "categories":
            plain = ~inside.any(axis=1)
            rows.append(
                (
                    one.name,
                    one.reference,
                    int(plain.sum()),
                    int((plain & ended).sum()),
                    1.0,
                    np.nan,
                    np.nan,
                    np.nan,
                )
            )
        for step, at in zip(one.steps, places[one.name], strict=True):
            b, se = fit.coefficients[at], fit.standard_errors[at]
            counted = x[:, at] > 0 if one.kind == "categories" or step == "missing" else np.ones(len(x), bool)
            rows.append((one.name, step, int(counted.sum()), int((counted & ended).sum()), float(np.exp(b)),
                         float(np.exp(b - z * se)), float(np.exp(b + z * se)), float(2 * norm.sf(abs(b) / se))))  # fmt: skip
    return pd.DataFrame(
        rows, columns=["driver", "level", "relations", "ended", "multiplier", "low", "high", "p"]
    )


def _in_halves(t, ended, x, design, stratum, median) -> "pd.DataFrame":
    """Multipliers up to the median end and from then on; missing where a half is too thin."""
    import pandas as pd

    halves = {
        "early": (t["entry"], np.minimum(t["until"], median), ended & (t["until"] <= median)),
        "late": (np.maximum(t["entry"], median), t["until"], ended),
    }
    every = [(one.name, step) for one in design.drivers for step in one.steps]
    rows = pd.DataFrame(every, columns=["driver", "level"], index=list(design.names)).assign(
        early=np.nan, late=np.nan
    )
    for name, (entry, until, left) in halves.items():
        part = DriverDesign(design.drivers, x, design.levels, ())
        some, inside, _ = without_loyal(part, left, until > entry)
        if not some.names or left[inside].sum() < FEWEST_ENDS:
            continue
        try:
            fit = fit_cox(
                entry[inside],
                until[inside],
                left[inside],
                some.x[inside],
                some.names,
                stratum=stratum[inside],
            )
            rows.loc[list(some.names), name] = np.exp(fit.coefficients)
        except FitError:
            continue
    return rows


def _tests(fit: Cox, design: DriverDesign) -> "pd.DataFrame":
    import pandas as pd

    constant, rows = proportional(fit, design.places), []
    for name, places in design.places.items():
        rows.append((name, *fit.wald(places), *(constant[name][k] for k in (0, 2))))
    found = pd.DataFrame(rows, columns=["driver", "chi2", "df", "p", "ph_chi2", "ph_p"])
    found["adjusted"], found["ph_adjusted"] = holm(found["p"]), holm(found["ph_p"])
    return found


def _within(t, ended, risk, stratum) -> float:
    """Concordance of relations of the same stratum, weighted by their ends."""
    parts = [(concordance(t["entry"][one], t["until"][one], ended[one], risk[one]), ended[one].sum())
             for one in (stratum == name for name in np.unique(stratum))]  # fmt: skip
    known = [(c, n) for c, n in parts if np.isfinite(c)]
    return float(np.average([c for c, _ in known], weights=[n for _, n in known])) if known else float("nan")


def calibration(
    predicted: np.ndarray,
    entry: np.ndarray,
    until: np.ndarray,
    ended: np.ndarray,
    horizon: int,
    interval: float,
) -> "pd.DataFrame":
    """Predicted shares left by ``horizon`` beside those seen, by fifths of risk.

    ``seen`` is one minus the Kaplan–Meier estimate within the class, with late entry; its interval is wide enough to hold for all
    classes at once (Bonferroni). Relations with one prediction stay in one class.
    """
    import pandas as pd

    from clvkit.contract_survival import survival

    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, FIFTHS + 1)[1:-1]))
    classes = np.searchsorted(edges, predicted, side="left")
    used = np.unique(classes)
    wide, rows = 1 - (1 - interval) / len(used), []
    for rank, one in enumerate(used, start=1):
        inside = classes == one
        cells = pd.DataFrame({"renewals": (until - ended)[inside].astype(np.int64), "ended": ended[inside],
                              "entry": entry[inside].astype(np.int64), "n": 1})  # fmt: skip
        curve = survival(cells.groupby(["renewals", "ended", "entry"], as_index=False)["n"].sum(), wide)
        here = curve[curve["renewal"] <= horizon]
        reached = len(curve) and curve["renewal"].max() >= horizon
        s, low, high = here.iloc[-1][["survival", "low", "high"]] if reached else (np.nan,) * 3
        rows.append((rank, int(inside.sum()), predicted[inside].mean(), 1 - s, 1 - high, 1 - low))
    return pd.DataFrame(rows, columns=["risk", "relations", "predicted", "seen", "low", "high"])
