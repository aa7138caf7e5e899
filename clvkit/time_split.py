"""Time-split learning: features of an earlier day, what came between it and the day that is forecast from, and nothing later.

For a forecast from day O over H days a machine learns from the customers known at O₁ = O − L and what they did in the L days up
to O, L being H or, where the history is shorter, half of it. How much it may learn is chosen one step earlier, in the same way:
trained at O₂ on what came up to O₁, tried on what came from O₁ to O. Where L < H, a forecast is stretched to H days; how
customers slow down is read off the step before, whose forecast of what came from O₁ to O is known to have missed by so much.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from clvkit.elastic_net import ElasticNet, deviance, fit_path, largest_penalty
from clvkit.errors import FitError

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.feature_sources import Sources
    from clvkit.features import Features

OUTCOMES = ("purchases", "revenue")
MIXES, PENALTIES = (0.9, 0.1), 8  # shares of lasso, and penalties from the largest down to a five-hundredth
LEAST_DAYS = 14  # of a training window
LEAST_CUSTOMERS, LEAST_BUYERS = 100, 30
LEAVES, TREES, RATE = (4, 8), (25, 50, 100, 200), 0.05
MOST_STRETCH = 3.0  # how far a miss of the step before may pull a forecast
Forecaster = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Snapshot:
    """Customers as of ``origin`` and what they did after it, up to ``end``; rows in an order that names of customers do not decide.

    ``outcomes`` has the columns of `OUTCOMES`.
    """

    features: "Features"
    outcomes: "pd.DataFrame"
    end: date

    @property
    def origin(self) -> date:
        """The day that features are of."""
        return self.features.origin

    @property
    def days(self) -> int:
        """Length of what came after."""
        return (self.end - self.origin).days


def snapshot(sources: "Sources", origin: date, end: date) -> Snapshot:
    """Features as of ``origin`` and outcomes up to ``end``."""
    from dataclasses import replace

    features = sources.features(origin)
    outcomes = sources.bought_between(origin, end, features.values.index)
    keys = [*outcomes.to_numpy().T, *features.values.to_numpy().T[::-1]]
    order = np.lexsort(keys)  # accounts have random names, and numbers must not depend on them
    return Snapshot(
        replace(features, values=features.values.iloc[order],
                known={name: one.reindex(features.values.index).iloc[order] for name, one in features.known.items()}),
        outcomes.iloc[order],
        end,
    )  # fmt: skip


@dataclass(frozen=True)
class Split:
    """The three snapshots of a time split: ``tune`` ends where ``train`` begins, ``train`` where ``test`` does."""

    tune: Snapshot
    train: Snapshot
    test: Snapshot

    @property
    def steps(self) -> tuple[Snapshot, Snapshot, Snapshot]:
        """From the earliest to the latest."""
        return self.tune, self.train, self.test


def split(sources: "Sources", origin: date, end: date) -> Split:
    """The time split for a forecast from ``origin`` to ``end``.

    Raises
    ------
    FitError : the history before the origin is too short to be parted twice, or too few customers bought in a part of it.
    """
    import pandas as pd

    first = pd.to_datetime(sources.bought["day"]).min().date()
    before = middle(first, origin, (end - origin).days)
    earlier = middle(first, before, (origin - before).days)
    if (before - earlier).days < LEAST_DAYS or (earlier - first).days < LEAST_DAYS:
        raise FitError(
            f"{(origin - first).days} days of history before {origin} cannot be parted into two windows to learn from",
            fix=f"choose an origin at least {8 * LEAST_DAYS} days after the first purchase",
        )
    parts = [
        snapshot(sources, one, until) for one, until in ((earlier, before), (before, origin), (origin, end))
    ]
    for part in parts:
        people, buyers = len(part.outcomes), int((part.outcomes["purchases"] > 0).sum())
        if part.end != end and (people < LEAST_CUSTOMERS or buyers < LEAST_BUYERS):
            raise FitError(
                f"{people} customers were known on {part.origin}, and {buyers} of them bought by {part.end}: too few to learn "
                f"from ({LEAST_CUSTOMERS} and {LEAST_BUYERS} are the least)",
                fix="choose a later origin, or do without the challenger",
            )  # fmt: skip
    return Split(*parts)


def middle(first: date, origin: date, horizon_days: int) -> date:
    """Where the window to learn from begins: a horizon before the origin, or half the history where that is shorter."""
    return origin - timedelta(days=min(horizon_days, (origin - first).days // 2))


@dataclass(frozen=True)
class Machine:
    """A trained machine.

    Attributes
    ----------
    name, label : ``elastic_net``, ``boosting`` or ``mean``, and as readers know it.
    outcome : which of `OUTCOMES` it forecasts.
    columns : of the features it learned from, after the cap.
    forecaster : gives the mean over the days it was trained on; ``factor`` makes it one over the days of the forecast.
    setting : how much it learned, as chosen one step earlier, in words.
    net : the regression, of an elastic net; None of others.
    """

    name: str
    label: str
    outcome: str
    columns: tuple[str, ...]
    forecaster: Forecaster
    factor: float
    setting: str
    net: ElasticNet | None = None

    def predict(self, values: "pd.DataFrame") -> np.ndarray:
        """Expected outcome of each customer over the days of the forecast."""
        return self.factor * self.forecaster(values.reindex(columns=self.columns, fill_value=0.0).to_numpy())


LABELS = {
    "elastic_net": "Elastic net",
    "boosting": "Gradient boosting",
    "mean": "Without features: the mean",
}


def capped(values: "pd.DataFrame", outcome: np.ndarray, most: int) -> tuple[str, ...]:
    """The columns that go most with the outcome by rank, at most so many; columns that do not vary are left out."""
    from scipy.stats import rankdata

    varied = [name for name in values.columns if values[name].nunique() > 1]
    if not varied:
        return ()
    ranked = np.column_stack([rankdata(values[name]) for name in varied])
    ranked = (ranked - ranked.mean(axis=0)) / ranked.std(axis=0)
    y = rankdata(outcome)
    linked = np.abs(ranked.T @ (y - y.mean()))
    best = np.argsort(-linked, kind="stable")[:most]
    return tuple(varied[place] for place in sorted(best))


def train(parts: Split, outcome: str, name: str, *, most: int, seed: int) -> Machine:
    """Train a machine for the days of ``parts.test``, how much it learns being chosen before its origin.

    Parameters
    ----------
    name : ``elastic_net``, ``boosting``, or ``mean`` for none.
    most : cap on the number of features.
    """
    tune, now, test = parts.steps
    y_tune, y_now = tune.outcomes[outcome].to_numpy(float), now.outcomes[outcome].to_numpy(float)
    early = capped(tune.features.values, y_tune, most) if name != "mean" else ()
    made = _candidates(name, tune.features.values[list(early)].to_numpy(), y_tune, seed)
    unseen = now.features.values.reindex(columns=early, fill_value=0.0).to_numpy()
    chosen = _simplest(made, unseen, y_now)
    stretch = now.days / tune.days
    forecast = made[chosen].predict(unseen).sum() * stretch
    miss = float(np.clip(y_now.sum() / forecast, 1 / MOST_STRETCH, MOST_STRETCH))
    times = test.days / now.days
    # a stretch of the same proportion misses by as much, in logs
    slow = miss ** (np.log(times) / np.log(stretch)) if times > 1 and stretch > 1 else 1.0
    columns = capped(now.features.values, y_now, most) if made[chosen].settings else ()
    final = _fit(name, made[chosen].settings, now.features.values[list(columns)].to_numpy(), y_now, seed)
    return Machine(
        name,
        LABELS[name],
        outcome,
        columns,
        final.predict,
        float(times * slow),
        made[chosen].words,
        final.net,
    )


@dataclass(frozen=True)
class _Candidate:
    """One setting and what was fitted with it; no settings: the mean, whatever the features."""

    settings: tuple[float, ...]
    words: str
    predict: Forecaster
    net: ElasticNet | None = None


def _mean(y: np.ndarray) -> _Candidate:
    value = float(y.mean())
    return _Candidate((), "no feature", lambda features: np.full(len(features), value))


def _candidates(name: str, features: np.ndarray, y: np.ndarray, seed: int) -> list[_Candidate]:
    """Every setting, the simplest first: the mean, then ever more that is learned."""
    made = [_mean(y)]
    if name == "mean" or not features.shape[1]:
        return made
    if name == "elastic_net":
        by_mix = []
        for mix in MIXES:
            top = largest_penalty(features, y, mix)
            ladder = np.geomspace(top, top / 500, PENALTIES + 1)[1:]
            by_mix.append(
                [_net(one, mix, rung) for rung, one in enumerate(fit_path(features, y, ladder, mix))]
            )
        return made + [one for pair in zip(*by_mix, strict=True) for one in pair]
    grown = {leaves: _grown(features, y, leaves, TREES[-1], seed) for leaves in LEAVES}
    return made + [
        _boosted(grown[leaves], float(y.mean()), leaves, count) for count in TREES for leaves in LEAVES
    ]


def _net(fit: ElasticNet, mix: float, rung: int) -> _Candidate:
    used = int((fit.coefficients != 0).sum())
    return _Candidate(
        (mix, float(rung)), f"{used} of {len(fit.coefficients)} features kept", fit.predict, fit
    )


def _grown(features: np.ndarray, y: np.ndarray, leaves: int, count: int, seed: int):
    from sklearn.ensemble import HistGradientBoostingRegressor

    model = HistGradientBoostingRegressor(
        loss="poisson", learning_rate=RATE, max_iter=count, max_leaf_nodes=leaves,
        min_samples_leaf=max(20, len(y) // 50), l2_regularization=1.0, early_stopping=False, random_state=seed,
    )  # fmt: skip
    with _one_thread():
        return model.fit(features, y / y.mean())


def _one_thread():
    """Trees this small grow faster on one core than on several that wait for each other, and the same on any machine."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="openmp")


def _boosted(model, unit: float, leaves: int, count: int) -> _Candidate:
    """The first ``count`` trees of a model."""

    def predict(x: np.ndarray) -> np.ndarray:
        with _one_thread():
            return unit * next(islice(model.staged_predict(x), count - 1, None))

    return _Candidate((float(leaves), float(count)), f"{count} trees of {leaves} leaves", predict)


def _fit(
    name: str, settings: tuple[float, ...], features: np.ndarray, y: np.ndarray, seed: int
) -> _Candidate:
    """The chosen setting fitted to the window before the origin."""
    if not settings or not features.shape[1]:
        return _mean(y)
    if name == "elastic_net":
        mix, rung = settings
        top = largest_penalty(features, y, mix)
        ladder = np.geomspace(top, top / 500, PENALTIES + 1)[1 : int(rung) + 2]
        return _net(fit_path(features, y, ladder, mix)[-1], mix, int(rung))
    leaves, count = (int(one) for one in settings)
    return _boosted(_grown(features, y, leaves, count, seed), float(y.mean()), leaves, count)


def _simplest(made: list[_Candidate], features: np.ndarray, y: np.ndarray) -> int:
    """The first candidate whose deviance is within a standard error of the least (Breiman et al. 1984).

    Totals are brought to the actual one: what is compared is who buys, and not how busy the time was.
    """
    losses = []
    for one in made:
        predicted = one.predict(features)
        losses.append(deviance(y, predicted * y.sum() / predicted.sum()))
    means = [loss.mean() for loss in losses]
    best = int(np.argmin(means))
    for place, loss in enumerate(losses):
        apart = loss - losses[best]
        if apart.mean() <= apart.std() / np.sqrt(len(y)):
            return place
    return best
