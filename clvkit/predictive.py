"""Posterior predictive checks: whether customers made up by the fitted process look like the customers there are.

Gelman, Meng & Stern (1996), "Posterior Predictive Assessment of Model Fitness", Statistica Sinica 6. A process is
asked to make the same customers again, with the same time under observation, once for each of many posterior
draws; a feature of the data that hardly any of these copies shows is one that the process does not know.
"""

from typing import TYPE_CHECKING

import numpy as np

from clvkit import numbers
from clvkit.checks import Check

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.fit import Fit

RARE = 0.01  # a feature further out than this, on either side, is one the process does not reproduce
FEATURES = {
    "never_repeat": "share of customers without a repeat purchase",
    "purchases": "repeat purchases per customer",
    "spread": "standard deviation of repeat purchases",
    "heavy": "share of customers with 7 repeat purchases or more",
    "silence": "mean silence of repeat customers, as a share of their time under observation",
    "recent": "share of repeat customers whose last purchase lies in the last fifth of their time",
}


def posterior_predictive(fit: "Fit", cells: "pd.DataFrame", seed: int, copies: int = 200) -> "pd.DataFrame":
    """Features of the data and of copies of them that the fitted process makes.

    Parameters
    ----------
    cells : columns ``frequency``, ``recency_days``, ``T_days`` and ``n``.
    copies : one per posterior draw; where there is no posterior, all at the maximum-likelihood estimate.

    Returns
    -------
    DataFrame : one row a feature: ``feature``, ``observed``, ``low, median, high`` (of the copies; 90 %) and
        ``share_above``, the share of copies at least as large (the posterior predictive p-value).
    """
    import pandas as pd

    n, unit = cells["n"].to_numpy(), fit.unit_days
    T = np.repeat(cells["T_days"].to_numpy() / unit, n)
    draws = fit.posterior(copies)
    draws = draws[np.resize(np.arange(len(draws)), copies)]
    made = np.empty((copies, len(FEATURES)))
    for d, parameters in enumerate(draws):
        made[d] = _features(*_again(fit, parameters, T, np.random.default_rng([seed, d])), T, np.ones(T.size))
    seen = _features(cells["frequency"].to_numpy(), cells["recency_days"].to_numpy() / unit,
                     cells["T_days"].to_numpy() / unit, n)  # fmt: skip
    low, median, high = np.quantile(made, [0.05, 0.5, 0.95], axis=0)
    return pd.DataFrame({"feature": list(FEATURES.values()), "observed": seen, "low": low, "median": median,
                         "high": high, "share_above": (made >= seen).mean(axis=0)}, index=list(FEATURES))  # fmt: skip


def _again(fit: "Fit", parameters, T: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Frequency and recency of the same customers, made anew; times in the parameters' unit."""
    if fit.clock is None:
        return fit.model.simulate(parameters, T, rng).summary(T.size)
    from clvkit.clock_past import simulated

    x, recency_days = simulated(fit, parameters, T * fit.unit_days, rng)
    return x, recency_days / fit.unit_days


def _features(x, t_x, T, n) -> np.ndarray:
    """The features, in the order of `FEATURES`, of customers counted ``n`` times each."""
    mean = np.average(x, weights=n)
    silence = (T - t_x)[x > 0] / np.maximum(T[x > 0], 1e-12)
    weight = n[x > 0]
    repeat = (
        (np.average(silence, weights=weight), np.average(silence < 0.2, weights=weight))
        if weight.sum()
        else (0, 0)
    )
    return np.array([np.average(x == 0, weights=n), mean, np.sqrt(np.average((x - mean) ** 2, weights=n)),
                     np.average(x >= 7, weights=n), *repeat])  # fmt: skip


def verdict(fit: "Fit", table: "pd.DataFrame") -> Check:
    """Pass where every feature is one that the process reproduces; review, and which ones, where not."""
    tail = np.minimum(table["share_above"], 1 - table["share_above"])
    odd = table[tail < RARE]
    message = f"Copies made by {fit.model.label} show all {len(table)} features of the customers."
    if len(odd):
        parts = [
            f"{row.feature} ({numbers.number(row.observed, 3)}, in nine of ten copies between "
            f"{numbers.number(row.low, 3)} and {numbers.number(row.high, 3)})"
            for row in odd.itertuples()
        ]
        message = f"Copies made by {fit.model.label} do not show: {'; '.join(parts)}."
    return Check(
        f"fit.{fit.process}.predictive",
        f"{fit.model.label}: copies look like the customers",
        "review" if len(odd) else "pass",
        message,
        value=len(odd),
        threshold=0,
        unit="features not reproduced",
        recommendation="The process lacks something these customers do. Trust totals as far as the back-test bears them "
        "out, and look for seasons, segments or rhythm that it does not know."
        if len(odd)
        else "",
        chapter="04_value",
    )
