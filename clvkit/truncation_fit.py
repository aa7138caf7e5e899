"""Fits to logs that begin in the middle of the customers' lives, by the treatment that the study names."""

from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np

from clvkit.customers import INSIDE, UNDATED
from clvkit.errors import FitError
from clvkit.fitting import _fit, fit_process, priors_of, unit_days, weighted_median
from clvkit.models_section import ModelsSection
from clvkit.processes import window
from clvkit.truncation import Dated

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

    from clvkit.fit import Fit
    from clvkit.truncation import LeftTruncationSection

WINDOW_KEYS = ["frequency", "recency_days", "T_days", "before_days"]


def acquisition_dates(tables: "list[pd.DataFrame]", members: "pd.DataFrame | None") -> "pd.DataFrame":
    """The day of acquisition of each customer.

    Parameters
    ----------
    tables : of sources that hold customers: ``account_<source>`` columns, ``acquired`` and ``registered`` (dates); the
        first counts, the second where there is no first.
    members : ``source, account, customer``; None where customers go by their accounts.

    Returns ``customer, acquired`` (datetime64), one row each, the earliest of several dates.
    """
    import pandas as pd

    found = []
    for table in tables:
        empty = pd.Series(pd.NaT, index=table.index)
        when = pd.to_datetime(table.get("acquired", empty)).fillna(
            pd.to_datetime(table.get("registered", empty))
        )
        for column in (name for name in table.columns if name.startswith("account_")):
            found.append(
                pd.DataFrame(
                    {"source": column.removeprefix("account_"), "account": table[column], "acquired": when}
                )
            )
    every = pd.concat(found) if found else pd.DataFrame(columns=["source", "account", "acquired"])
    every = every.dropna(subset=["account", "acquired"])
    if members is None:
        named = every.rename(columns={"account": "customer"})
    else:
        named = every.merge(members[["source", "account", "customer"]], on=["source", "account"])
    return named.groupby("customer", as_index=False)["acquired"].min()


def with_acquired(purchases: "ir.Table", acquired: "pd.DataFrame | None") -> "ir.Table":
    """The purchases with ``acquired``, the day on which their customer was acquired, null where nobody knows.

    ``acquired`` is what `acquisition_dates` returns; None, where a study does not go by it, gives them as they are.
    """
    import ibis

    if acquired is None or acquired.empty:
        return purchases
    known = ibis.memtable(acquired.assign(acquired=acquired["acquired"].dt.date),
                          schema={"customer": "string", "acquired": "date"})  # fmt: skip
    return purchases.left_join(known, "customer").select(*purchases.columns, "acquired")


def windows(
    purchases: "ir.Table", acquired: "pd.DataFrame", as_of: date, log_start: date | None = None
) -> tuple["pd.DataFrame", Dated]:
    """Cells of customers acquired in the log, and of older ones as the log saw them.

    Parameters
    ----------
    purchases : one row per customer and day. acquired : ``customer, acquired`` of `acquisition_dates`.
    log_start : first day of the log; by default that of the first purchase.

    Returns
    -------
    ``frequency, recency_days, T_days, before_days, n``, sorted: for customers acquired in the log the usual three, from
    their first purchase on, and −1 in ``before_days``; for older ones the purchase days in the log, the time of the last
    and the length of the log, both from the evening before its first day, and their age then. Customers without a date
    are in no cell. And what the dates say.
    """
    import ibis
    import pandas as pd

    known = purchases.filter(purchases.day <= ibis.date(as_of))
    each = known.group_by("customer").agg(first=known.day.min(), last=known.day.max(), days=known.count())
    people = each.to_pyarrow().to_pandas().merge(acquired, on="customer", how="left")
    first, last = pd.to_datetime(people["first"]), pd.to_datetime(people["last"])
    start = pd.Timestamp(log_start) if log_start else first.min()
    opening, end = start - pd.Timedelta(days=1), pd.Timestamp(as_of)
    dated = people["acquired"].notna()
    older = dated & (people["acquired"] < start)
    count = people["days"].to_numpy(np.int64)
    cells = pd.DataFrame({
        "frequency": np.where(older, count, count - 1),
        "recency_days": np.where(older, (last - opening).dt.days, (last - first).dt.days),
        "T_days": np.where(older, (end - opening).days, (end - first).dt.days),
        "before_days": np.where(older, (opening - people["acquired"]).dt.days.fillna(0).clip(lower=0), INSIDE).astype(np.int64),
    })[dated.to_numpy()]  # fmt: skip
    lag = (first - people["acquired"]).dt.days[dated & ~older]
    said = Dated(
        len(people),
        int(dated.sum()),
        int(older.sum()),
        int((lag < 0).sum()),
        float(lag.clip(lower=0).median()) if len(lag) else 0.0,
    )
    return cells.groupby(WINDOW_KEYS, as_index=False).size().rename(columns={"size": "n"}), said


def fit_windows(
    name: str,
    cells: "pd.DataFrame",
    section: ModelsSection,
    *,
    sample: bool | None = None,
    days_per_year: float = 365.25,
) -> "Fit":
    """Fit a process to `windows`: its parameters are those of customers from their acquisition on.

    Pareto/NBD is fitted to all of them, older ones by the likelihood of what they did in the log given that they are in
    it. The others are fitted to the customers acquired in the log: these are watched from their first purchase on, so
    nothing about them is cut off at the left, and leaving older ones out by their date of acquisition selects nobody by
    what they did.

    Raises
    ------
    FitError : nobody was acquired in the log and the process has no likelihood for older customers, or as `fit_process`.
    """
    cells = cells[cells["before_days"] != UNDATED]
    inside = from_birth(cells)
    if name != "paretonbd" or len(inside) == len(cells):
        if inside.empty:
            raise FitError(
                "no customer was acquired in the log, so only paretonbd can be fitted to it",
                fix="set models.processes to [paretonbd], or take a longer log",
            )
        return fit_process(name, inside, section, sample=sample, days_per_year=days_per_year)
    merged = cells.groupby(WINDOW_KEYS, as_index=False)["n"].sum().sort_values(WINDOW_KEYS)
    x, n = merged["frequency"].to_numpy(np.int64), merged["n"].to_numpy(float)
    recency, age, before = (merged[key].to_numpy(float) for key in ("recency_days", "T_days", "before_days"))
    scale, unit = weighted_median(age, n) or float(age.max()), unit_days(section, days_per_year)
    return _fit(
        window.of(name),
        (x, recency / scale, age / scale, np.where(before < 0, INSIDE, before / scale), n),
        priors_of(name, section),
        section,
        scale=scale / unit,
        densities=float((x * n).sum()),
        unit=unit,
        sample=name in section.sampled if sample is None else sample,
    )


def after_burn_in(cells: "pd.DataFrame", burn_in_days: int) -> "pd.DataFrame":
    """Cells without the customers first seen in the first ``burn_in_days`` of the log.

    Raises
    ------
    FitError : nobody is left.
    """
    left = cells[~in_burn_in(cells, burn_in_days)]
    if left.empty:
        raise FitError(
            f"a burn-in of {burn_in_days} days leaves no customer to fit",
            fix="shorten models.left_truncation.burn_in_days, or take a longer log",
        )
    return left


def left_in(cells: "pd.DataFrame", section: "LeftTruncationSection") -> "pd.DataFrame":
    """The cells that processes are fitted to, by the treatment: without a burn-in, and without customers of no known age.

    ``cells`` are all that a date knows; call it once, since what is left begins later.
    """
    if section.treatment == "burn_in" and len(cells):
        return after_burn_in(cells, section.burn_in_days)
    return cells[cells["before_days"] != UNDATED] if "before_days" in cells else cells


def from_birth(cells: "pd.DataFrame") -> "pd.DataFrame":
    """Those of the cells whose customers were watched from their first purchase on."""
    return (
        cells[cells["before_days"] == INSIDE].drop(columns="before_days") if "before_days" in cells else cells
    )


def of_fitted(summary: "ir.Table", section: "LeftTruncationSection") -> "ir.Table":
    """The customers who are fitted, of those watched from their first purchase on; ``summary`` has one row each."""
    if section.treatment == "burn_in":
        longest = summary.T_days.max().to_pyarrow().as_py()
        return (
            summary if longest is None else summary.filter(summary.T_days <= longest - section.burn_in_days)
        )
    return summary.filter(summary.before_days == INSIDE) if "before_days" in summary.columns else summary


def in_burn_in(cells: "pd.DataFrame", burn_in_days: int) -> np.ndarray:
    """Which cells hold customers first seen in the first ``burn_in_days`` of the log: (cells,) booleans."""
    return (cells["T_days"] > cells["T_days"].max() - burn_in_days).to_numpy()


def labelled(cells: "pd.DataFrame", section: "LeftTruncationSection") -> "pd.DataFrame":
    """The cells with ``in_burn_in``, where the study names a burn-in: who is valued and was not fitted."""
    if section.treatment != "burn_in":
        return cells
    return cells.assign(in_burn_in=in_burn_in(cells, section.burn_in_days))


def burn_in_ends(log_start: date, burn_in_days: int) -> date:
    """The last day of the burn-in."""
    return log_start + timedelta(days=burn_in_days - 1)
