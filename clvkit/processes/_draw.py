"""Random numbers that several processes draw in the same way."""

import numpy as np


def scatter(counts: np.ndarray, length: np.ndarray, rng: np.random.Generator):
    """``counts`` uniform moments on [0, length] per customer; two arrays (events,): customer, moment."""
    customer = np.repeat(np.arange(counts.size), counts)
    return customer, rng.random(customer.size) * length[customer]


def expand(counts: np.ndarray, length: np.ndarray, rng: np.random.Generator):
    """``counts`` uniform moments on [0, length] per customer, in order.

    Returns three arrays (events,): customer, moment, and the moment's rank (from 0) within its customer.
    """
    customer, time = scatter(counts, length, rng)
    order = np.lexsort((time, customer))
    first = np.concatenate([[0], np.cumsum(counts)[:-1]]) if counts.size else np.zeros(0, np.int64)
    rank = np.arange(customer.size) - np.repeat(first, counts)
    return customer, time[order], rank


def geometric(p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Flips until the first success, at least 1, as floats; infinite for ``p`` of 0 or next to it."""
    with np.errstate(divide="ignore", over="ignore"):
        return np.maximum(1.0, np.ceil(np.log(1.0 - rng.random(p.shape)) / np.log1p(-p)))
