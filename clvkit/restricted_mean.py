"""Restricted mean lifetime: how much of the first τ units a relation lasts on average, with an interval, by group.

The sum of the Kaplan–Meier curve at the units 1 to τ; its variance is Greenwood's, carried through the sum (Klein &
Moeschberger 2003, eq. 4.5.3 and 4.5.4). Unlike a mean lifetime it needs no guess about what comes after the data.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clvkit.holm import holm

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class RestrictedMean:
    """Units lasted of the first ``within``: the mean and its standard error."""

    within: int
    mean: float
    error: float


def restricted_mean(curve: "pd.DataFrame", within: int) -> RestrictedMean:
    """The restricted mean of a curve as `clvkit.contract_survival.survival` makes it.

    NaN where nobody was at risk for so long.
    """
    rows = curve[curve["renewal"].between(1, within)]
    if len(rows) < within:
        return RestrictedMean(within, float("nan"), float("nan"))
    s, left, risk = (rows[name].to_numpy(float) for name in ("survival", "left", "at_risk"))
    ahead = np.cumsum(s[::-1])[::-1]
    stays = risk - left
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.where(stays > 0, left / (risk * stays), 0.0)
    return RestrictedMean(within, float(s.sum()), float(np.sqrt((ahead**2 * step).sum())))


def reaches(curves: "pd.DataFrame", fewest: int) -> dict[str, int]:
    """The last unit at which each group still has ``fewest`` relations at risk; 0 where it never has.

    ``curves`` are as `clvkit.contract_survival.by_group` makes them.
    """
    thick = curves[(curves["renewal"] == 0) | (curves["at_risk"] >= fewest)]
    return {str(name): int(last) for name, last in thick.groupby("group", sort=True)["renewal"].max().items()}


def means_by_group(
    curves: "pd.DataFrame", within: int, interval: float, without: "frozenset[str]" = frozenset()
) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Restricted means of groups, and their differences in pairs; groups in ``without`` were not watched for so long.

    Returns
    -------
    ``group, relations, mean, low, high``; and ``one, other, difference, low, high, p, adjusted`` (Holm), normal intervals.
    """
    import pandas as pd
    from scipy.stats import norm

    z, found, sizes = norm.ppf((1 + interval) / 2), {}, {}
    for name, part in curves.groupby("group", sort=True):
        if name not in without:
            found[name] = restricted_mean(part, within)
            sizes[name] = int(part["at_risk"].iloc[0])
    means = pd.DataFrame(
        [(name, sizes[name], one.mean, max(one.mean - z * one.error, 0.0), min(one.mean + z * one.error, within))
         for name, one in found.items()],
        columns=["group", "relations", "mean", "low", "high"],
    )  # fmt: skip
    names, rows = list(found), []
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            gap = found[one].mean - found[other].mean
            error = float(np.hypot(found[one].error, found[other].error))
            p = float(2 * norm.sf(abs(gap) / error)) if error > 0 else float("nan")
            rows.append((one, other, gap, gap - z * error, gap + z * error, p))
    pairs = pd.DataFrame(rows, columns=["one", "other", "difference", "low", "high", "p"])
    pairs["adjusted"] = holm(pairs["p"])
    return means, pairs
