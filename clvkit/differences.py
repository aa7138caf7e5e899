"""What segments differ in: each one's new customers, alone, drawn towards the rest, and all together."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clvkit import numbers
from clvkit.checks import Check

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.segments import SegmentedFit

INTERVAL, DRAWS, SURE = 0.9, 400, 0.01


@dataclass(frozen=True)
class Heterogeneity:
    """Likelihood-ratio test of one set of parameters for all segments: statistic, degrees of freedom, p-value."""

    statistic: float
    freedom: int
    p_value: float


def heterogeneity(fit: "SegmentedFit") -> Heterogeneity:
    """Whether the segments' customers could all come from one set of parameters.

    Twice the gain of fitting each segment by itself over fitting all together is χ² with (G − 1)k degrees of freedom
    (Wilks 1938) where segments are thick; thin ones make the test a little too ready to say that segments differ.
    """
    from scipy.stats import chi2

    statistic = max(0.0, 2 * (fit.apart - fit.pooled.log_likelihood))
    freedom = (len(fit.segments) - 1) * len(fit.parameters)
    return Heterogeneity(float(statistic), freedom, float(chi2.sf(statistic, freedom)))


def new_customers(fit: "SegmentedFit", days: float = 365.25) -> "pd.DataFrame":
    """Expected repeat purchases of a new customer of each segment within ``days``.

    Returns
    -------
    DataFrame : ``segment``, ``customers``, ``alone`` (fitted to the segment only, at maximum likelihood; NaN where that runs
        away), ``value, low, high`` (by segment, posterior mean and 90 % interval; the estimate alone without a
        posterior), ``all`` (all customers together), ``differs``: the interval of the difference from the mean over
        customers of all segments leaves out zero.
    """
    ask = lambda parameters: fit.model.mean(parameters, days / fit.unit_days)  # noqa: E731
    return _told(fit, ask)


def spend_per_purchase(fit: "SegmentedFit") -> "pd.DataFrame":
    """Mean amount of a purchase over the customers of each segment, in the columns of `new_customers`.

    Where the parameters leave a mean open (see `GammaGamma.unknown_mean`), it is the observed mean of all.
    """
    ask = lambda parameters: fit.model.expected_spend(parameters, np.zeros(1), fit.observed)[0][..., 0]  # noqa: E731
    return _told(fit, ask)


def _told(fit: "SegmentedFit", ask) -> "pd.DataFrame":
    import pandas as pd

    draws = fit.posterior(DRAWS)
    drawn = np.stack([np.atleast_1d(ask(draws[:, g])) for g in range(len(fit.segments))], axis=1)
    weight = fit.customers_of / fit.customers_of.sum()
    away = drawn - drawn @ weight[:, None]
    low, high = np.quantile(drawn, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2], axis=0)
    # Of G segments that are alike, one is outside its interval G times as often: said to differ is who is outside a wider one.
    miss = (1 - INTERVAL) / len(fit.segments)
    below, above = np.quantile(away, [miss / 2, 1 - miss / 2], axis=0)
    sampled = fit.draws is not None
    alone = [
        np.nan if away_ else float(ask(one)) for one, away_ in zip(fit.alone, fit.runs_away, strict=True)
    ]
    return pd.DataFrame({
        "segment": fit.segments,
        "customers": fit.customers_of,
        "alone": alone,
        "value": drawn.mean(axis=0),
        "low": low if sampled else np.nan,
        "high": high if sampled else np.nan,
        "all": float(ask(fit.pooled.mle)),
        "differs": (below > 0) | (above < 0) if sampled else False,
    })  # fmt: skip


def check(fit: "SegmentedFit", valued: bool) -> Check:
    """Whether the segments differ, and whether the value is computed as if they did."""
    test, label = heterogeneity(fit), fit.model.label
    differ = test.p_value < SURE
    found = (
        f"{label} fitted to each of {len(fit.segments)} segments by itself gains "
        f"{numbers.number(test.statistic / 2, 1)} in log-likelihood over one fit of all, for {test.freedom} parameters more "
        f"(p = {numbers.number(test.p_value, 3) if test.p_value >= 0.0005 else 'below 0.001'}): "
        + (
            "segments differ."
            if differ
            else f"below {SURE:g} it would be told from chance, so no segment is said to differ."
        )
    )
    advice = ""
    if differ and not valued:
        advice = "Look at the back-test by segment; where it is better, set models.segments to value."
    if not differ and valued:
        advice = "One fit of all customers says as much: set models.segments to compare."
    return Check(
        f"segments.{fit.process}",
        f"{label}: segments",
        "review" if advice else "pass",
        found,
        value=test.p_value,
        threshold=SURE,
        unit="probability",
        severity="warn",
        recommendation=advice,
        chapter="04_value",
    )
