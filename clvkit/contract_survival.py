"""Survival of contracts: the share of relations that are still there after so many renewals, together and by group.

Time is counted in renewals, since a contract can only be left at one. A relation that ended after ``renewals`` of them left
at number ``renewals`` + 1; a running one is censored at the last it made. Where ends were recorded from some day on only,
relations older than that come under observation late (left truncation): they are at risk from their next renewal on, and
never before, or the dead would be missing (Klein & Moeschberger 2003, ch. 3 and 4).
"""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from clvkit.contracts import counted, months_between
from clvkit.contracts_section import MONTHS, ContractsSection, Period, months_before
from clvkit.errors import DataError
from clvkit.holm import holm
from clvkit.survival import without_ends

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.contracts import Contracts

#: Groups with fewer relations are put together, as `OTHERS`.
SMALL, OTHERS = 20, "others"
#: As many ends expected before the first one recorded, and none seen, make a snapshot readable in two ways.
MISSING_ENDS = 10.0


def survival(cells: "pd.DataFrame", interval: float) -> "pd.DataFrame":
    """The Kaplan–Meier estimate over renewals, with log-log bands of Greenwood's variance.

    Parameters
    ----------
    cells : ``renewals, ended, entry, n`` as `clvkit.contracts.Contracts.cells` has them.

    Returns
    -------
    One row per renewal from 0 to the last at which anybody was at risk: ``renewal, at_risk, left, survival, low, high``; the
    band is missing where nobody or everybody has left.

    Raises
    ------
    DataError : there is no column that says who has ended.
    """
    import pandas as pd

    if "ended" not in cells:
        raise DataError(
            "survival needs to know which contracts have ended and which run on: the column 'ended' is missing",
            fix="make the cells with clvkit.contracts, which tells the two apart",
        )
    columns = ["renewal", "at_risk", "left", "survival", "low", "high"]
    seen = _seen(cells)
    if seen.empty:
        return pd.DataFrame({name: pd.Series(dtype=float) for name in columns})
    from scipy.stats import norm

    # not lifelines: it refuses curves whose first risk sets run empty, as they may with late entry
    last = int(seen["until"].max())
    until, entry, n = (seen[name].to_numpy(np.int64) for name in ("until", "entry", "n"))
    stays, comes = (np.bincount(at, n, last + 2)[::-1].cumsum()[::-1] for at in (until, entry))
    at_risk = (stays - comes)[1 : last + 1]  # entry < t ≤ until
    ended = seen["ended"].to_numpy(bool)
    left = np.bincount(until[ended], n[ended], last + 1)[1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        stay = np.cumprod(1 - np.where(at_risk > 0, left / at_risk, 0.0))
        greenwood = np.cumsum(np.where(left > 0, left / (at_risk * (at_risk - left)), 0.0))
        spread = norm.ppf((1 + interval) / 2) * np.sqrt(greenwood) / np.log(stay)
        low, high = (stay ** np.exp(sign * spread) for sign in (-1, 1))
    curve = pd.DataFrame(
        {
            "renewal": np.arange(last + 1),
            "at_risk": np.append(n.sum(), at_risk).astype(int),
            "left": np.append(0, left).astype(int),
            "survival": np.append(1.0, stay),
            "low": np.append(1.0, low),
            "high": np.append(1.0, high),
        }
    )
    return without_ends(curve)


def _seen(cells: "pd.DataFrame") -> "pd.DataFrame":
    """Cells (or relations) with ``until``, the renewal they left or were last seen at, without those that never faced one."""
    frame = cells.assign(
        until=cells["renewals"] + cells["ended"].astype(int), ended=cells["ended"].astype(bool)
    )
    return frame[frame["until"] > frame["entry"]]


def by_group(relations: "pd.DataFrame", key: str, interval: float) -> "pd.DataFrame":
    """Curves of groups, with ``group`` in front: by plan, or by ``cohort``, the quarter in which a relation began."""
    import pandas as pd

    named = grouped(relations, key)
    parts = [
        survival(counted(part), interval).assign(group=name)
        for name, part in named.groupby("group", sort=True)
    ]
    return pd.concat(parts, ignore_index=True)


def grouped(relations: "pd.DataFrame", key: str) -> "pd.DataFrame":
    """Relations with ``group``; groups of fewer than `SMALL` relations are one."""
    if key == "cohort":
        name = relations["start"].dt.to_period("Q").astype(str)
    else:
        name = relations[key].fillna("not named").astype(str)
    size = name.map(name.value_counts())
    return relations.assign(group=name.where(size >= SMALL, OTHERS))


@dataclass(frozen=True)
class Comparison:
    """Whether groups differ: ``p`` of all at once, and ``pairs``: ``one, other, p, adjusted`` (Holm)."""

    p: float
    pairs: "pd.DataFrame"


def compare(relations: "pd.DataFrame", key: str) -> Comparison:
    """Log-rank tests of groups against each other, of all and in pairs, the pairs corrected for their number (Holm 1979).

    Delayed entry counts: a relation is compared with those it was at risk together with.
    """
    import pandas as pd

    named = _seen(grouped(relations, key))
    names = sorted(named["group"].unique())
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    found = [_log_rank(named[named["group"].isin(pair)]) for pair in pairs]
    frame = pd.DataFrame(pairs, columns=["one", "other"]).assign(p=found)
    frame["adjusted"] = holm(frame["p"])
    return Comparison(_log_rank(named) if len(names) > 1 else float("nan"), frame)


def differ(relations: "pd.DataFrame", key: str) -> float:
    """P of the log-rank test of all groups at once; NaN with fewer than two, or where nobody left."""
    return _log_rank(_seen(grouped(relations, key)))


def _log_rank(named: "pd.DataFrame") -> float:
    from statsmodels.duration.survfunc import survdiff

    if named["group"].nunique() < 2 or not named["ended"].any():
        return float("nan")
    entry = named["entry"].to_numpy(float)
    _, p = survdiff(
        named["until"].to_numpy(float),
        named["ended"].to_numpy(int),
        named["group"].to_numpy(str),
        entry=entry if entry.any() else None,
    )
    return float(p)


@dataclass(frozen=True)
class Readings:
    """Two ways of reading contracts whose early ends may not have been recorded.

    Attributes
    ----------
    first_end : the day of the first end in the data; of a snapshot, the first on which those who left may have.
    expected : ends that would have been seen before it, had they been recorded, at the rate seen since.
    whole, late : the curve if all were observed from their start, and if only from ``first_end`` on.
    used : which of the two the study takes, ``whole`` or ``late``; None where it settles neither.
    window : of a snapshot, the time before it in which those who left did so by the second reading.
    """

    first_end: date
    expected: float
    whole: "pd.DataFrame"
    late: "pd.DataFrame"
    used: str | None = None
    window: Period | None = None

    def at(self, renewal: int) -> tuple[float, float]:
        """Survival after so many renewals by the two readings; NaN where nobody was at risk so late."""
        return tuple(
            float(curve.loc[curve["renewal"] == renewal, "survival"].squeeze()) if renewal <= curve["renewal"].max() else float("nan")
            for curve in (self.whole, self.late)
        )  # fmt: skip


def two_readings(
    held: "Contracts", section: ContractsSection, interval: float, snapshot: date | None = None
) -> Readings | None:
    """Both readings, where the data leave them open; None where the study settles it, or nothing speaks for the second.

    A ``snapshot`` of that day, which says of each customer how long and whether left, always has two: everybody who ever
    came is in it, or only those who were there a short time before.

    Nobody is seen to leave before the first end in the data. If relations made so many renewals before it that, at the rate
    at which they were left since, `MISSING_ENDS` ends or more were due, either nobody left for that long or nobody
    recorded it.
    """
    import pandas as pd

    relations = held.histories
    if section.observed_from is not None or not held.relations["ended"].any():
        return None
    months, first = relations["period_months"].to_numpy(), held.relations["end"].min()
    window: Period = section.left_within or "quarter"
    if snapshot is not None:
        first = pd.Timestamp(months_before(snapshot, MONTHS[window]))
    entry = np.zeros(len(relations), np.int64)
    old = (relations["since"] < first).to_numpy()
    day = pd.Series(first, index=relations.index[old])
    entry[old] = months_between(relations.loc[old, "since"], day) // months[old]
    late = relations.assign(entry=np.minimum(entry, relations["renewals"]))
    faced = float((late["renewals"] + late["ended"] - late["entry"]).sum())
    expected = float(late["entry"].sum()) * float(late["ended"].sum()) / max(faced, 1.0)
    if expected < MISSING_ENDS and snapshot is None:
        return None
    curves = [survival(counted(one), interval) for one in (relations.assign(entry=0), late)]
    if snapshot is None:
        return Readings(first.date(), expected, *curves)
    return Readings(first.date(), expected, *curves, "late" if section.left_within else "whole", window)


def mean_renewals(curve: "pd.DataFrame", within: int) -> float:
    """Restricted mean: renewals that a relation makes, on average, of the first ``within``.

    Raises
    ------
    DataError : nobody was watched for so long.
    """
    if curve.empty or curve["renewal"].max() < within:
        longest = 0 if curve.empty else int(curve["renewal"].max())
        raise DataError(
            f"a mean over {within} renewals needs relations that were watched for as many (the longest: {longest})",
            fix="take a shorter time",
        )
    return float(curve.loc[curve["renewal"].between(1, within), "survival"].sum())
