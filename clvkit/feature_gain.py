"""What a feature adds out of sample: a regression with it against one without it, both learned before the hold-out.

The gain is the share of the deviance of the forecast without the feature that it takes away from customers of later days.
Both forecasts are brought to the same total: what a feature adds is who buys, not how busy the time was.
"""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from clvkit.elastic_net import deviance, fit_path
from clvkit.paired import draws_of_means, interval_of

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.challenger_section import ChallengerSection
    from clvkit.time_split import Snapshot, Split

#: Chance at most that a table in which nothing is of use keeps any of it.
FALSE_KEEP = 0.05
DRAWS_BEYOND = 20  # that the end of an interval must rest on
PENALTY, MIX = 0.002, 0.5  # the same with and without the feature, so that nothing else differs


@dataclass(frozen=True)
class Gain:
    """The gain of one variable in one hold-out: shares of the deviance without it; ``low`` and ``high`` at ``level``."""

    variable: str
    origin: date
    end: date
    customers: int
    gain: float
    low: float
    high: float
    level: float


def gains(
    learned: "Snapshot",
    tried: "Snapshot",
    variables: "list[str]",
    outcome: str,
    *,
    levels: "list[float]",
    bootstrap: int,
    seed: int,
) -> list[Gain]:
    """The gain of each of ``variables`` over the purchase features alone.

    Parameters
    ----------
    learned, tried : snapshots; the regression is fitted to the first, and its deviance is that of the second.
    levels : probability of the two-sided interval of each variable; the rarer what lies beyond, the more draws it rests on.
        What is found of a variable does not depend on which others are asked about.
    """
    y, actual = learned.outcomes[outcome].to_numpy(float), tried.outcomes[outcome].to_numpy(float)
    base = [column for name in learned.features.base for column in learned.features.variables[name].columns]

    def loss(columns: list[str]) -> np.ndarray:
        before = learned.features.values.reindex(columns=columns, fill_value=0.0).to_numpy()
        after = tried.features.values.reindex(columns=columns, fill_value=0.0).to_numpy()
        predicted = fit_path(before, y, [PENALTY], MIX)[0].predict(after)
        return deviance(actual, predicted * actual.sum() / predicted.sum())

    if not variables or not actual.sum() or not y.sum():
        return []
    each = [loss(base)]
    for name in variables:
        # levels that a later day has and an earlier one had not cannot have been learned
        each.append(loss([*base, *learned.features.variables[name].columns]))
    losses = np.column_stack(each)
    counts = [max(bootstrap, int(np.ceil(DRAWS_BEYOND * 2 / (1 - level)))) for level in levels]
    drawn = draws_of_means(losses, max(counts), seed)
    mean, made = losses.mean(axis=0), []
    for k, (name, level, count) in enumerate(zip(variables, levels, counts, strict=True), start=1):
        low, high = interval_of(1 - drawn[:count, k] / drawn[:count, 0], level)
        gain = float(1 - mean[k] / mean[0])
        made.append(Gain(name, tried.origin, tried.end, len(actual), gain, float(low), float(high), level))
    return made


def feasibility(parts: "Split", section: "ChallengerSection") -> "pd.DataFrame":
    """Whether each variable besides purchases is worth having, by the hold-out.

    Returns
    -------
    ``variable, words, coverage`` (share of customers of the hold-out with any), ``latency_days`` (median from the last thing
    seen to the origin; NaN undated), ``correlation`` (of ranks, with revenue in the hold-out; of a category, its multiple
    correlation), ``gain, low, high`` and ``keep``: the whole interval is above zero. Intervals are so wide that a table in
    which nothing is of use keeps any of it with a chance of at most `FALSE_KEEP` (Bonferroni, one-sided).
    """
    import pandas as pd

    features = parts.test.features
    names = [name for name in features.others if name in parts.train.features.variables]
    level = 1 - 2 * FALSE_KEEP / max(len(names), 1)
    asked = {"levels": [level] * len(names), "bootstrap": section.bootstrap, "seed": section.seed}
    found = gains(parts.train, parts.test, names, section.decide_on, **asked)
    rows = [
        {"variable": one.variable, "words": features.variables[one.variable].words, "coverage": features.coverage(one.variable),
         "latency_days": features.latency(one.variable), "correlation": correlation(parts.test, one.variable),
         "gain": one.gain, "low": one.low, "high": one.high, "keep": one.low > 0}
        for one in found
    ]  # fmt: skip
    columns = ["variable", "words", "coverage", "latency_days", "correlation", "gain", "low", "high", "keep"]
    return pd.DataFrame(rows, columns=columns).astype(
        {name: float for name in columns[2:-1]} | {"keep": bool}
    )


def correlation(tried: "Snapshot", name: str) -> float:
    """Rank correlation of a variable with revenue in the hold-out; of several columns, the multiple correlation."""
    from scipy.stats import rankdata

    y = rankdata(tried.outcomes["revenue"])
    columns = tried.features.values[list(tried.features.variables[name].columns)]
    x = (
        np.column_stack([rankdata(columns[one]) for one in columns])
        if columns.shape[1]
        else np.empty((len(y), 0))
    )
    x = x[:, x.std(axis=0) > 0] if x.size else x
    if not x.size or y.std() == 0:
        return float("nan")
    if x.shape[1] == 1:
        return float(np.corrcoef(x[:, 0], y)[0, 1])
    fitted = np.column_stack([np.ones(len(y)), x])
    predicted = fitted @ np.linalg.lstsq(fitted, y, rcond=None)[0]
    return float(predicted.std() / y.std())
