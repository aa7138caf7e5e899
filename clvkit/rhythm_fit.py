"""MBG/CNBD-k by likelihood: k, and what the gaps between purchases say for and against it."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln

from clvkit.compositions import log_constants
from clvkit.errors import FitError
from clvkit.rhythm import NANO

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.fit import Fit
    from clvkit.models_section import ModelsSection

PATIENCE = 2  # values of k in a row that are less likely than the best, before no further one is tried


def gap_log_density(gaps: "pd.DataFrame", k: int, unit_days: float) -> float:
    """What single gaps add to the log-likelihood of MBG/CNBD-k, in ``unit_days``: ``Σ (k-1) log gap - log (k-1)!``.

    It holds no parameter of the process, but decides between one ``k`` and another, and between them and processes
    that have no such term, to which a gap of any length is as good as another.

    Gaps are whole days, of at least one. To densities of continuous gaps, Poisson customers who buy every few days
    then look regular, since purchases an hour apart are never seen. So the shares that gaps have in their sum count with
    their probability in whole days (`clvkit.compositions`) instead of their density, relative to the same at k = 1,
    which leaves the scale that the other processes are on.
    """
    count, logs = _count(gaps), NANO * int(gaps["log_nanos"].sum())
    density = (k - 1) * (logs - count * np.log(unit_days)) - count * gammaln(k)
    if k == 1:
        return float(density)
    blocks = gaps.groupby(["gaps", "span_days"], as_index=False)["n"].sum()
    n, m, span = (blocks[name].to_numpy(np.int64) for name in ("n", "gaps", "span_days"))
    return float(density + n @ (_whole_days(m, span, k) - _whole_days(m, span, 1)))


def _whole_days(m: np.ndarray, span: np.ndarray, k: int) -> np.ndarray:
    """Log of how much more likely the shares of ``m`` gaps in ``span`` days are in whole days than they are dense."""
    continuous = m * gammaln(k) + (k * m - 1) * np.log(span) - gammaln(k * m)
    return continuous - log_constants(m, span, float(k))


def _count(gaps: "pd.DataFrame") -> int:
    return int(gaps["gaps"] @ gaps["n"])


def with_gaps(fit: "Fit", gaps: "pd.DataFrame | None", repeats: float) -> "Fit":
    """An MBG/CNBD-k fit with the log-likelihood of the whole purchase log, of ``repeats`` purchases; NaN without gaps.

    Raises `FitError` where the gaps are not those between the purchases of the cells.
    """
    if gaps is None:
        return replace(fit, log_likelihood=np.nan)
    if _count(gaps) != repeats:
        raise FitError(
            f"{fit.model.label} needs the gaps of the customers it is fitted to: {_count(gaps):,} gaps were given for "
            f"{repeats:,.0f} repeat purchases",
            fix="make both from the same purchases up to the same day",
        )
    return replace(fit, log_likelihood=fit.log_likelihood + gap_log_density(gaps, fit.model.k, fit.unit_days))


def fit_regular(
    cells: "pd.DataFrame",
    section: "ModelsSection",
    gaps: "pd.DataFrame | None",
    *,
    sample: bool | None = None,
    days_per_year: float = 365.25,
) -> "Fit":
    """MBG/CNBD-k with the k of the highest likelihood, from 1 to `clvkit.processes.cnbd.LARGEST`.

    The fit carries its k in the name of its process (``mbgcnbd-3``), and in ``observed`` the log-likelihood of each k
    tried (``k = 1``, ``k = 2``, …). A posterior is sampled at that k: its uncertainty holds none of k.
    """
    from clvkit.fitting import fit_process
    from clvkit.processes import LABELS, REGULAR
    from clvkit.processes.cnbd import LARGEST

    if gaps is None:
        raise FitError(
            f"{LABELS[REGULAR]} cannot be fitted: how regular purchases are is not in the cells, but in the gaps between "
            "purchases",
            fix="give fit_process the gaps, from clvkit.rhythm.gap_statistics, or name a k, as in mbgcnbd-3",
        )
    found: dict[int, Fit] = {}
    for k in range(1, LARGEST + 1):
        found[k] = fit_process(
            f"{REGULAR}-{k}", cells, section, sample=False, days_per_year=days_per_year, gaps=gaps
        )
        best = max(found, key=lambda one: found[one].log_likelihood)
        if k - best >= PATIENCE:
            break
    fit = found[best]
    if REGULAR in section.sampled if sample is None else sample:
        fit = fit_process(fit.process, cells, section, sample=True, days_per_year=days_per_year, gaps=gaps)
    seconds = sum(one.seconds for one in found.values()) + (fit.seconds if fit.draws is not None else 0.0)
    return replace(
        fit, seconds=seconds, observed={f"k = {k}": one.log_likelihood for k, one in found.items()}
    )
