"""Risk sets: who could have ended at each moment at which somebody did, and sums over them.

A spell that comes under observation at ``entry`` and is seen until ``until`` is at risk at the moments t with
entry < t ≤ until (Klein & Moeschberger 2003, ch. 3.4). Sums over risk sets are differences of running sums, so that their cost
is that of sorting, however many spells there are. Ends at one moment are ties; Efron's (1977) averages stand for their order,
which nobody knows.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class RiskSets:
    """Spells of one stratum.

    Attributes
    ----------
    entry, until : (spells,) when each comes under observation and is last seen, in any unit.
    ended : (spells,) whether it ended at ``until``; else it was running still.
    x : (spells, p) drivers.
    """

    entry: np.ndarray
    until: np.ndarray
    ended: np.ndarray
    x: np.ndarray

    @cached_property
    def times(self) -> np.ndarray:
        """The moments at which a spell ended, in order: (k,)."""
        return np.unique(self.until[self.ended])

    @cached_property
    def _first(self) -> np.ndarray:
        return np.searchsorted(self.times, self.entry, side="right")

    @cached_property
    def _after(self) -> np.ndarray:
        return np.searchsorted(self.times, self.until, side="right")

    @cached_property
    def place(self) -> np.ndarray:
        """Of the spells that ended, which of ``times`` it was."""
        return np.searchsorted(self.times, self.until[self.ended])

    @cached_property
    def deaths(self) -> np.ndarray:
        """Spells that ended at each moment: (k,)."""
        return np.bincount(self.place, minlength=self.times.size)

    def at_risk(self, weight: np.ndarray) -> np.ndarray:
        """Sum of ``weight`` over the risk set of each moment: (k,)."""
        size = self.times.size + 1
        # from the end backward, so that small late risk sets are no differences of large sums
        stays = np.bincount(self._after, weight, size)[::-1].cumsum()[::-1]
        comes = np.bincount(self._first, weight, size)[::-1].cumsum()[::-1]
        return stays[1:] - comes[1:]

    def leaving(self, weight: np.ndarray) -> np.ndarray:
        """Sum of ``weight`` over the spells that end at each moment: (k,)."""
        return np.bincount(self.place, weight[self.ended], self.times.size)

    def between(self, steps: np.ndarray) -> np.ndarray:
        """Sum of ``steps`` (k, …) over the moments at which each spell is at risk: (spells, …)."""
        summed = np.concatenate([np.zeros((1, *steps.shape[1:])), np.cumsum(steps, axis=0)])
        return summed[self._after] - summed[np.minimum(self._first, self._after)]

    def moments(self, beta: np.ndarray) -> "Moments":
        """Efron's sums at ``beta``."""
        p = self.x.shape[1]
        score = self.x @ beta
        shift = float(score.max(initial=-np.inf)) if score.size else 0.0
        w = np.exp(score - shift)
        s0, d0 = self.at_risk(w), self.leaving(w)
        s1 = np.stack([self.at_risk(w * self.x[:, i]) for i in range(p)], axis=1)
        d1 = np.stack([self.leaving(w * self.x[:, i]) for i in range(p)], axis=1)
        s2, d2 = np.zeros((2, s0.size, p, p))
        for i in range(p):
            for j in range(i + 1):
                both = w * self.x[:, i] * self.x[:, j]
                s2[:, i, j] = s2[:, j, i] = self.at_risk(both)
                d2[:, i, j] = d2[:, j, i] = self.leaving(both)
        k = np.repeat(np.arange(s0.size), self.deaths)
        earlier = np.arange(k.size) - np.repeat(np.cumsum(self.deaths) - self.deaths, self.deaths)
        a = earlier / self.deaths[k]  # share of the tied ends that are taken to have come before
        phi = s0[k] - a * d0[k]
        c = [
            np.bincount(k, part, s0.size)
            for part in (1 / phi, a / phi, 1 / phi**2, a / phi**2, a**2 / phi**2)
        ]
        mean = s1 * c[0][:, None] - d1 * c[1][:, None]
        cross = s1[:, :, None] * d1[:, None, :]
        spread = (
            s2 * c[0][:, None, None]
            - d2 * c[1][:, None, None]
            - (s1[:, :, None] * s1[:, None, :]) * c[2][:, None, None]
            + (cross + cross.transpose(0, 2, 1)) * c[3][:, None, None]
            - (d1[:, :, None] * d1[:, None, :]) * c[4][:, None, None]
        )
        logs = np.bincount(k, np.log(phi), s0.size) + shift * self.deaths
        seen = np.stack([self.leaving(self.x[:, i]) for i in range(p)], axis=1)
        return Moments(self.leaving(score) - logs, seen - mean, mean, spread, c[0] * np.exp(-shift))


@dataclass(frozen=True)
class Moments:
    """What each moment adds, ties included.

    Attributes
    ----------
    log_likelihood : (k,). ``score``: (k, p), drivers of those who ended less their expectation.
    mean : (k, p), that expectation, of all ends of the moment together. ``spread``: (k, p, p), their variance.
    hazard : (k,), step of the cumulative hazard of a spell with x = 0.
    """

    log_likelihood: np.ndarray
    score: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    hazard: np.ndarray
