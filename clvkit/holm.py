"""Holm's (1979) correction of p for the number of tests."""

from collections.abc import Sequence

import numpy as np


def holm(p: Sequence[float]) -> np.ndarray:
    """Corrected p, in the order given; a missing one stays missing and does not count as a test.

    statsmodels has the same, and collects garbage at every call, which costs more than all of a small analysis.
    """
    p = np.asarray(p, float)
    made, known = np.full(p.shape, np.nan), np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    made[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return made
