"""Amounts in whole minor units that add up: parts rounded so that their sum is the total, rounded once."""

import numpy as np

from clvkit.numbers import half_up


def apportion(parts, total: int | None = None) -> np.ndarray:
    """Whole numbers next to ``parts`` (k,) that add up to ``total``, by default their sum rounded half up: (k,) int64.

    The method of largest remainders: each part is rounded down, and what is then missing goes, one by one, to the parts
    with the largest rest; of equal rests to the first. No part moves by a whole unit where ``total`` is the rounded sum.

    Raises
    ------
    ValueError : ``total`` is further from the sum than there are parts, so that it is another quantity.
    """
    parts = np.asarray(parts, float)
    whole = int(half_up(float(parts.sum()))) if total is None else int(total)
    down = np.floor(parts)
    missing = whole - int(down.sum())
    if not 0 <= missing <= len(parts):
        raise ValueError(f"{whole} is not the sum of the parts, which is {parts.sum():.6g}")
    out = down.astype(np.int64)
    out[np.argsort(down - parts, kind="stable")[:missing]] += 1
    return out
