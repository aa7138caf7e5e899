"""The judge of rates: an exact binomial test that fails only where the stated rate is excluded at 0.1 %."""

from dataclasses import dataclass
from functools import cache

STATED, LEVEL, POWER = 0.9, 0.001, 0.95
FEARED = 0.8  # what an interval that says nine times in ten must not be found to do


@dataclass(frozen=True)
class Verdict:
    """``covered`` of ``n`` intervals held the truth; ``low`` to ``high`` are the rates not excluded at 0.1 %."""

    n: int
    covered: int
    low: float
    high: float
    stated: float = STATED

    @property
    def share(self) -> float:
        """The share of intervals that held the truth."""
        return self.covered / self.n if self.n else float("nan")

    @property
    def passes(self) -> bool:
        """Whether the stated rate is one of those that the count does not exclude."""
        return self.low <= self.stated <= self.high

    def __str__(self) -> str:
        return (
            f"{self.covered} of {self.n} ({self.share:.1%}); rates from {self.low:.1%} to {self.high:.1%} are not excluded "
            f"at {LEVEL:.1%}, {self.stated:.0%} {'among them' if self.passes else 'not among them'}"
        )


def judge(covered: int, n: int, stated: float = STATED) -> Verdict:
    """Judge a count by the exact (Clopper–Pearson) interval of its rate."""
    low, high = exact_interval(covered, n)
    return Verdict(n, covered, low, high, stated)


def exact_interval(covered, n: int, level: float = LEVEL) -> tuple:
    """Rates that a count (or each of an array of counts) does not exclude at ``level``, half of it on either side."""
    import numpy as np
    from scipy.stats import beta

    covered = np.asarray(covered)
    low = np.where(covered > 0, beta.ppf(level / 2, np.maximum(covered, 1), n - covered + 1), 0.0)
    high = np.where(covered < n, beta.ppf(1 - level / 2, covered + 1, np.maximum(n - covered, 1)), 1.0)
    return (low, high) if covered.ndim else (float(low), float(high))


@cache
def power(n: int, feared: float = FEARED, stated: float = STATED) -> float:
    """The chance that ``n`` intervals with a true rate of ``feared`` are found out."""
    import numpy as np
    from scipy.stats import binom

    counts = np.arange(n + 1)
    low, high = exact_interval(counts, n)
    return float(binom.pmf(counts[(stated < low) | (stated > high)], n, feared).sum())


@cache
def least_worlds(feared: float = FEARED, wanted: float = POWER) -> int:
    """The number of worlds from which on a true rate of ``feared`` is found with probability ``wanted``."""
    n = 400
    while power(n, feared) >= wanted and n > 1:
        n -= 1
    return n + 1
