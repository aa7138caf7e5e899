"""Rates of retention by number of the renewal: as they were, and as a model has them."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.contract_models import ContractFits
    from clvkit.contracts import Contracts

LEVEL = 0.9  # of the intervals of what was observed
_COLUMNS = [
    "period_months",
    "renewal",
    "at_risk",
    "renewed",
    "observed",
    "low",
    "high",
    "fitted",
    "fitted_low",
    "fitted_high",
]


def retention_rates(
    held: "Contracts", fits: "ContractFits", interval: float, draws: int = 400
) -> "pd.DataFrame":
    """One row per billing period and renewal that anybody came to.

    Returns
    -------
    ``period_months, renewal``; ``at_risk``, contracts that came to it while they were watched; ``renewed``; ``observed``, the
    share of them, with ``low, high`` (Wilson 1927); ``fitted``, r(t) = S(t)/S(t−1) of the model without segments (Fader & Hardie
    2007, eq. 8), posterior mean with ``fitted_low, fitted_high``.
    """
    import pandas as pd

    parts = []
    for months in held.periods:
        cells = held.cells(period_months=months)
        reached = int((cells["renewals"] + cells["ended"]).max()) if len(cells) else 0
        if not reached:
            continue
        t = np.arange(1, reached + 1)[:, None]
        made, entry, n = (cells[name].to_numpy(np.int64)[None, :] for name in ("renewals", "entry", "n"))
        ended = cells["ended"].to_numpy(bool)[None, :]
        at_risk = ((t > entry) & (t <= made + ended)) @ n[0]
        renewed = ((t > entry) & (t <= made)) @ n[0]
        seen = at_risk > 0
        fit = fits.of(months, plain=True)
        drawn = fit.posterior(draws)
        rate = np.atleast_2d(fit.model.retention(drawn, t[seen, 0]))
        tails = [(1 - interval) / 2, (1 + interval) / 2]
        ends = np.quantile(rate, tails, axis=0) if len(drawn) > 1 else np.full((2, int(seen.sum())), np.nan)
        low, high = wilson(renewed[seen], at_risk[seen], LEVEL)
        parts.append(pd.DataFrame(
            {"period_months": months, "renewal": t[seen, 0], "at_risk": at_risk[seen], "renewed": renewed[seen],
             "observed": renewed[seen] / at_risk[seen], "low": low, "high": high, "fitted": rate.mean(axis=0),
             "fitted_low": ends[0], "fitted_high": ends[1]}))  # fmt: skip
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=_COLUMNS)


def wilson(successes: np.ndarray, n: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval of a proportion."""
    from statistics import NormalDist

    z = NormalDist().inv_cdf((1 + level) / 2)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
