"""Competing ends: the share of relations that have ended for each reason by each time, of those that could still end otherwise.

The Aalen–Johansen estimate (Aalen & Johansen 1978) with late entry: the share that ends for a reason at t is the share still
there before t times the rate at which those at risk end for it. One minus a Kaplan–Meier curve of one reason, with the others
taken as censored, answers another question, what would come about if nobody could leave otherwise, and is larger. Variance by
the delta method as in Marubini & Valsecchi (1995, ch. 10), bands on the log-log scale.
"""

from typing import TYPE_CHECKING

import numpy as np

from clvkit.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

VOLUNTARY, INVOLUNTARY, UNNAMED = "voluntary", "involuntary", "not named"


def kinds_of_end(relations: "pd.DataFrame", involuntary: tuple[str, ...]) -> "pd.Series":
    """Why each relation ended: `VOLUNTARY`, `INVOLUNTARY` or `UNNAMED`; missing where it runs.

    Where the study names no involuntary reasons, the reasons as they are written.
    """
    reason = relations["reason"].astype("string").str.strip()
    named = reason.notna() & (reason != "")
    if involuntary:
        low = {one.strip().lower() for one in involuntary}
        kind = np.where(reason.str.lower().isin(low).fillna(False), INVOLUNTARY, VOLUNTARY)
        reason = reason.where(~named, kind)
    reason = reason.where(named, UNNAMED).astype(object)
    return reason.where(relations["ended"].astype(bool), None)


def cumulative_incidence(
    entry: np.ndarray, until: np.ndarray, cause: "pd.Series", interval: float
) -> "pd.DataFrame":
    """The Aalen–Johansen estimate of each cause.

    Parameters
    ----------
    entry, until : (relations,) units at which each comes under observation and is last seen; at risk at entry < t ≤ until.
    cause : (relations,) why it ended at ``until``; missing: it runs.

    Returns
    -------
    One row per cause and time at which anybody ended, and time 0: ``cause, time, at_risk, ended`` (for the cause),
    ``incidence, low, high, alone`` (one minus the Kaplan–Meier curve with the other causes as censored).

    Raises
    ------
    DataError : there is nothing that says who ended.
    """
    import pandas as pd
    from scipy.stats import norm

    if cause is None:
        raise DataError(
            "competing ends need to know which relations ended and why: there is no cause",
            fix="give the cause of each end, missing where a relation runs",
        )
    entry, until = np.asarray(entry, float), np.asarray(until, float)
    known = until > entry
    entry, until, cause = (
        entry[known],
        until[known],
        pd.Series(cause).reset_index(drop=True)[known].to_numpy(object),
    )
    ended = pd.notna(cause)
    times = np.unique(until[ended])
    at_risk = np.array([((entry < t) & (until >= t)).sum() for t in times], float)
    of_all = np.array([(ended & (until == t)).sum() for t in times], float)
    before = np.concatenate([[1.0], np.cumprod(1 - of_all / np.maximum(at_risk, 1))])[:-1]
    z, parts = norm.ppf((1 + interval) / 2), []
    for name in sorted({str(one) for one in cause[ended]}):
        mine = np.array([(ended & (until == t) & (cause == name)).sum() for t in times], float)
        found = np.cumsum(before * mine / at_risk)
        variance = _variance(found, before, mine, of_all, at_risk)
        low, high = _band(found, np.sqrt(variance), z)
        alone = 1 - np.cumprod(1 - mine / at_risk)
        rows = {"time": times, "at_risk": at_risk, "ended": mine, "incidence": found, "low": low, "high": high,
                "alone": alone}  # fmt: skip
        first = pd.DataFrame(
            [dict.fromkeys(rows, 0.0) | {"at_risk": float(len(until)), "low": np.nan, "high": np.nan}]
        )
        parts.append(pd.concat([first, pd.DataFrame(rows)], ignore_index=True).assign(cause=name))
    columns = ["cause", "time", "at_risk", "ended", "incidence", "low", "high", "alone"]
    if not parts:
        return pd.DataFrame({name: pd.Series(dtype=object if name == "cause" else float) for name in columns})
    return pd.concat(parts, ignore_index=True)[columns]


def _variance(found, before, mine, of_all, at_risk) -> np.ndarray:
    """Variance of the incidence at each time, all sums being over the times up to it."""
    stays = at_risk - of_all
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.where(stays > 0, of_all / (at_risk * stays), 0.0)
    own = before**2 * mine * (at_risk - mine) / at_risk**3
    shared = before * mine / at_risk**2
    made = [
        np.cumsum(part)
        for part in (greenwood, found * greenwood, found**2 * greenwood, own, shared, found * shared)
    ]
    g0, g1, g2, o, s0, s1 = made
    return np.maximum(found**2 * g0 - 2 * found * g1 + g2 + o - 2 * (found * s0 - s1), 0.0)


def _band(found: np.ndarray, error: np.ndarray, z: float) -> tuple[np.ndarray, np.ndarray]:
    inside = (found > 0) & (found < 1)
    share = np.where(inside, found, 0.5)
    spread = z * error / (share * -np.log(share))
    low, high = (share ** np.exp(sign * spread) for sign in (1, -1))
    return np.where(inside, low, np.nan), np.where(inside, high, np.nan)


def incidence_at(curves: "pd.DataFrame", times: list[int]) -> "pd.DataFrame":
    """The curves read at ``times``: ``time, cause, incidence, low, high, alone``; none beyond the last at which anybody ended."""
    import pandas as pd

    rows = []
    for cause, part in curves.groupby("cause", sort=True):
        for t in times:
            row = part[part["time"] <= t].iloc[-1]
            rows.append((t, cause, *row[["incidence", "low", "high", "alone"]]))
    return pd.DataFrame(rows, columns=["time", "cause", "incidence", "low", "high", "alone"])
