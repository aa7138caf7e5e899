"""Paired differences of errors over customers, with intervals by drawing the customers anew."""

import numpy as np

AT_ONCE = 20_000_000  # weights held at once


def draws_of_means(each: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Means of the columns of ``each`` (customers, columns) over ``count`` draws of as many customers: (count, columns).

    A draw counts each customer a Poisson(1) number of times, which for many customers is drawing with replacement (Chamandy
    et al. 2012), and all columns share their draws: they are of the same customers, so that differences between them are
    paired.
    """
    rng, n = np.random.default_rng(seed), len(each)
    made, done = np.empty((count, each.shape[1])), 0
    size = max(1, min(count, AT_ONCE // max(n, 1)))
    while done < count:
        weights = rng.poisson(1.0, (min(size, count - done), n)).astype(float)
        totals = np.maximum(weights.sum(axis=1, keepdims=True), 1.0)
        made[done : done + len(weights)] = weights @ each / totals
        done += len(weights)
    return made


def interval_of(draws: np.ndarray, interval: float) -> tuple[np.ndarray, np.ndarray]:
    """Equal-tailed ends of each column."""
    low, high = np.quantile(draws, [(1 - interval) / 2, (1 + interval) / 2], axis=0)
    return low, high
