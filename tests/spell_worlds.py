"""Relations with known hazards: simulated spells with drivers, late entry and censoring."""

import numpy as np
from scipy.stats import binom

LEVEL = 0.001  # a rate is called broken where it is excluded at this level


def spells(seed, count=600, beta=(0.5, -0.7), *, hazard=0.06, late=0, watched=40, turn=None, after=None):
    """``entry, until, ended, x`` of spells in whole units.

    Each unit a spell ends with probability 1 − exp(−hazard · exp(x · beta)): proportional hazards, seen at whole units. From unit
    ``turn`` on, ``after`` takes the place of ``beta``. Up to ``late`` units have passed before a spell comes under observation.
    """
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.random(count) < 0.4, rng.normal(size=count)]).astype(float)
    limit = rng.exponential(size=count)
    early = hazard * np.exp(x @ np.array(beta))
    lasts = limit / early
    if turn is not None:
        beyond = hazard * np.exp(x @ np.array(after))
        lasts = np.where(lasts > turn, turn + (limit - early * turn) / beyond, lasts)
    lasts = np.ceil(lasts)
    entry = rng.integers(0, late + 1, count).astype(float)
    censored = entry + rng.integers(1, watched, count)
    seen = lasts > entry
    ended = lasts <= censored
    return entry[seen], np.minimum(lasts, censored)[seen], ended[seen], x[seen]


def excluded(hits, worlds, rate):
    """Whether a rate is excluded, at `LEVEL`, by so many hits."""
    return min(binom.cdf(hits, worlds, rate), binom.sf(hits - 1, worlds, rate)) < LEVEL / 2


def too_many(hits, worlds, rate):
    """Whether a rate of no more than ``rate`` is excluded, at `LEVEL`, by so many hits."""
    return binom.sf(hits - 1, worlds, rate) < LEVEL
