"""How long relations lasted, in whole months or days, and what part of it was watched.

A relation that ended is taken to have left at the end of its last unit, begun units counting in full; one that runs has so many
whole units behind it and is censored. Where ends were recorded from some day on only, older relations are at risk from their
next unit on.
"""

from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from clvkit.contracts import anniversary, months_between
from clvkit.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

#: From this share of ends on that fall on the end of a billing period, relations are taken to end nowhere else.
_AT_RENEWALS = 0.9


def timed(
    relations: "pd.DataFrame", as_of: date, *, time: str = "month", observed_from: date | None = None
) -> "pd.DataFrame":
    """Relations on an axis of months or days, in the columns that survival goes by.

    Parameters
    ----------
    relations : as `clvkit.contracts.Contracts` has them: ``start, end, ended``, and ``period_months`` where they differ.

    Returns
    -------
    The relations with ``renewals`` (whole units made and not left at), ``entry`` (units before it was watched), ``until`` (the
    unit at which it was left or last seen) and ``width`` (units from one chance to leave to the next), in units of ``time``. Who
    ended before ends were recorded is left out.

    Raises
    ------
    DataError : nothing says who has ended.
    """
    import pandas as pd

    if "ended" not in relations:
        raise DataError(
            "survival needs to know which contracts have ended and which run on: the column 'ended' is missing",
            fix="make relations with clvkit.contracts, which tells the two apart",
        )
    out = relations.assign(ended=relations["ended"].astype(bool))
    today = pd.Timestamp(as_of)
    after = (out["end"] + pd.Timedelta(days=1)).where(out["ended"], today)
    whole, begun = _units(out["start"], after, time)
    out["renewals"] = np.where(out["ended"], np.maximum(begun - 1, 0), whole)
    out["until"] = out["renewals"] + out["ended"]
    out["entry"] = 0
    if observed_from is not None:
        seen = pd.Timestamp(observed_from)
        old = out["start"] < seen
        out.loc[old, "entry"] = _units(out.loc[old, "start"], pd.Series(seen, index=out.index[old]), time)[0]
        out = out[~(out["ended"] & (out["until"] <= out["entry"]))]
    out["width"] = 1 if time == "day" else _widths(out)
    return out


def _units(start: "pd.Series", after: "pd.Series", time: str) -> tuple[np.ndarray, np.ndarray]:
    """Units that are whole from ``start`` to ``after``, and those begun."""
    if time == "day":
        days = (after - start).dt.days.to_numpy()
        return days, days
    whole = months_between(start, after)
    return whole, whole + (after > anniversary(start, whole)).to_numpy()


def _widths(timed: "pd.DataFrame") -> np.ndarray:
    """Months from one chance to leave to the next: the billing period, if nearly all ends are at the end of one."""
    if "period_months" not in timed:
        return np.ones(len(timed), np.int64)
    months, width = timed["period_months"].to_numpy(), np.ones(len(timed), np.int64)
    ended, until = timed["ended"].to_numpy(), timed["until"].to_numpy()
    for one in np.unique(months):
        inside = months == one
        ends = until[inside & ended]
        if ends.size and (ends % one == 0).mean() >= _AT_RENEWALS:
            width[inside] = one
    return width


def whole_widths(units: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Units down to the last chance to leave."""
    return units // width * width


def known_at(relations: "pd.DataFrame", day: date) -> "pd.DataFrame":
    """The relations as they were known on an earlier ``day``: those begun by it, and those that had ended before it."""
    import pandas as pd

    then = pd.Timestamp(day)
    out = relations[relations["start"] <= then].copy()
    out["ended"] = out["ended"].astype(bool) & (out["end"] < then)
    out["end"] = out["end"].where(out["ended"])
    out["reason"] = out["reason"].where(out["ended"])
    return out


def rates(timed: "pd.DataFrame", group: "pd.Series", interval: float) -> "pd.DataFrame":
    """How often relations are left per unit watched: ``group, relations, ended, exposure, rate, low, high``.

    ``exposure`` counts units at risk; the interval is exact (Clopper & Pearson 1934), as of ends among them.
    """
    import pandas as pd

    frame = pd.DataFrame(
        {"group": group, "ended": timed["ended"], "exposure": timed["until"] - timed["entry"]}
    )
    found = frame.groupby("group", sort=False).agg(relations=("ended", "size"), ended=("ended", "sum"), exposure=("exposure", "sum"))  # fmt: skip
    return _with_rates(found.reset_index(), interval)


def rates_by_tenure(timed: "pd.DataFrame", edges: tuple[int, ...], interval: float) -> "pd.DataFrame":
    """The same by tenure: ``edges`` are the last units of each class; what comes after is one more."""
    import pandas as pd

    rows, low = [], 0
    until, entry, ended = (timed[name].to_numpy() for name in ("until", "entry", "ended"))
    for high in (*edges, int(until.max(initial=0)) + 1):
        inside = np.minimum(until, high) - np.maximum(entry, low)
        left = ended & (until > low) & (until <= high)
        if (inside > 0).any():
            last = high >= until.max() and high not in edges
            name = f"{low + 1} and more" if last else f"{high}" if high == low + 1 else f"{low + 1} to {high}"
            rows.append((name, int((inside > 0).sum()), int(left.sum()), int(inside.clip(0).sum())))
        low = high
        if high > until.max(initial=0):
            break
    return _with_rates(pd.DataFrame(rows, columns=["group", "relations", "ended", "exposure"]), interval)


def _with_rates(found: "pd.DataFrame", interval: float) -> "pd.DataFrame":
    from scipy.stats import beta

    k, n = found["ended"].to_numpy(float), found["exposure"].to_numpy(float)
    tail = (1 - interval) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        low = np.where(k > 0, beta.ppf(tail, k, n - k + 1), 0.0)
        high = np.where(k < n, beta.ppf(1 - tail, k + 1, n - k), 1.0)
        return found.assign(rate=np.where(n > 0, k / np.maximum(n, 1), np.nan), low=low, high=high)
