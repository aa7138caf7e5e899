"""Customers valued as their segment: each at the mean of those of the segment who are valued one by one.

Such customers stay in the cells that models are fitted to. Cells are split into those valued one by one and those
valued as the segment, and every sum is made in one place, draw by draw, so that the mean keeps its interval.
"""

from typing import TYPE_CHECKING

import numpy as np

from clvkit.customers import keys_of
from clvkit.errors import DataError
from clvkit.value import Future, Terms, Totals, pair, sweep

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.fit import Fit
    from clvkit.value import ValueSection

#: Column of cells: the rule by which its customers are valued as their segment; missing: one by one.
MARK = "averaged_by"
OWN, SEGMENT, COMPANY = "customer", "segment average", "company average"


def marked(cells: "pd.DataFrame", averaged: "pd.DataFrame") -> "pd.DataFrame":
    """Cells split by how their customers are valued: as they came, with a column `MARK`.

    Parameters
    ----------
    cells : of `customers.cells` or `customers.score_cells`, everybody in them.
    averaged : of `customers.averaged_cells`: those of them who are valued as their segment.
    """
    import pandas as pd

    if averaged.empty:
        return cells.assign(**{MARK: None})
    if "first_minor" in cells:  # sums over the customers of a cell, where the others have each customer's own
        keys, counts = keys_of(cells), ["n", "spend_minor"]
        averaged = averaged.assign(spend_minor=averaged["spend_minor"] * averaged["n"])
    else:
        keys, counts = [*keys_of(cells), "spend_minor"], ["n"]
    theirs = averaged.groupby([*keys, MARK], as_index=False, dropna=False)[counts].sum()
    taken = theirs.groupby(keys, as_index=False, dropna=False)[counts].sum()
    both = cells[[*keys, *counts]].merge(taken, on=keys, how="left", suffixes=("", "_taken"))
    left = both[keys].assign(
        **{name: both[name] - both[f"{name}_taken"].fillna(0).astype("int64") for name in counts}
    )
    return pd.concat([left[left["n"] > 0].assign(**{MARK: None}), theirs], ignore_index=True)


def is_own(cells: "pd.DataFrame") -> np.ndarray:
    """Whether the customers of each cell are valued one by one: (cells,) of bool; all are where nothing is marked.

    Raises
    ------
    DataError : nobody is, so that there is no mean to take.
    """
    own = cells[MARK].isna().to_numpy() if MARK in cells else np.ones(len(cells), bool)
    if len(own) and not own.any():
        raise DataError(
            "every customer is to be valued as the segment, and nobody is left to take the mean of",
            place="ledger.inclusion",
            fix="lower at_least of its rules, or use below: include, which only labels",
        )
    return own


def totals(
    fit: "Fit",
    spend: "Fit",
    draws: tuple[np.ndarray, np.ndarray],
    cells: "pd.DataFrame",
    groupings: list[np.ndarray],
    cases: list[tuple[Terms, Future]],
    minor_per_unit: float,
    *,
    money_only: bool = False,
) -> list[list[Totals]]:
    """Sums as `clvkit.value.sweep` gives them, with customers of marked cells at the mean of their segment.

    The mean is one of each draw: of alive, purchases and value per customer, over those of the segment who are valued
    one by one, or of the whole company where the segment has none.
    """
    own = is_own(cells)
    asked = {"money_only": money_only}
    if own.all():
        return sweep(fit, spend, draws, cells, groupings, cases, minor_per_unit, **asked)
    segment, _ = segment_codes(cells)
    n, inside = cells["n"].to_numpy(float), [segment[own], *(group[own] for group in groupings)]
    found = sweep(fit, spend, draws, cells[own], inside, cases, minor_per_unit, **asked)
    size = int(segment.max()) + 1
    held = np.bincount(segment[own], weights=n[own], minlength=size)
    into = [_counts(segment[~own], group[~own], n[~own], (size, int(group.max()) + 1)) for group in groupings]
    return [
        [_with_means(one, by_segment, held, count) for one, count in zip(parts, into, strict=True)]
        for by_segment, *parts in found
    ]


def segment_codes(cells: "pd.DataFrame") -> tuple[np.ndarray, np.ndarray]:
    """Number of each cell's segment, from 0, and the names; customers without a segment are one."""
    import pandas as pd

    return pd.factorize(cells["segment"].astype(str), sort=True)


def segment_means(
    fit: "Fit",
    spend: "Fit",
    cells: "pd.DataFrame",
    section: "ValueSection",
    *,
    minor_per_unit: float,
    days_per_year: float,
) -> "pd.DataFrame":
    """What a customer valued as the segment is worth, one row for each segment with such customers.

    Returns
    -------
    ``segment`` (as text), ``valued_as`` (the segment's mean, or the company's), ``p_alive, purchases, clv`` (posterior
    means), ``clv_low, clv_high`` (of the mean: it is surer than any one customer's value).
    """
    import pandas as pd

    own, (segment, names) = is_own(cells), segment_codes(cells)
    terms, tail = Terms.of(section, days_per_year), (1 - section.interval) / 2
    draws = pair(fit, spend, section.posterior_draws)
    (one,) = sweep(fit, spend, draws, cells[own], [segment[own]], [(terms, Future())], minor_per_unit)[0]
    held = np.bincount(segment[own], weights=cells["n"].to_numpy(float)[own], minlength=len(names))
    alive, bought, value = (_means(getattr(one, what), held) for what in ("alive", "purchases", "value"))
    low, high = np.quantile(value, [tail, 1 - tail], axis=0)
    frame = pd.DataFrame(
        {
            "segment": np.asarray(names, dtype=object),
            "valued_as": np.where(held > 0, SEGMENT, COMPANY),
            "p_alive": alive.mean(axis=0),
            "purchases": bought.mean(axis=0),
            "clv": value.mean(axis=0),
            "clv_low": low,
            "clv_high": high,
        }
    )
    return frame[np.bincount(segment[~own], minlength=len(names)) > 0].reset_index(drop=True)


def pools(cells: "pd.DataFrame") -> list[tuple[np.ndarray, np.ndarray]]:
    """For each segment with marked cells: their places, and the places of those whose mean they are valued at."""
    own, (segment, _) = is_own(cells), segment_codes(cells)
    found = []
    for code in np.unique(segment[~own]):
        among = np.flatnonzero(own & (segment == code))
        found.append((np.flatnonzero(~own & (segment == code)), among if len(among) else np.flatnonzero(own)))
    return found


def _counts(segment: np.ndarray, group: np.ndarray, n: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Customers by segment and group: ``shape``."""
    counts = np.zeros(shape)
    np.add.at(counts, (segment, group), n)
    return counts


def _means(total: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Mean per customer of each segment and draw, the company's where a segment holds nobody: (draws, segments)."""
    total = _wide(total, len(held))
    company = total.sum(axis=1, keepdims=True) / held.sum()
    return np.where(held > 0, total / np.maximum(held, 1), company)


def _with_means(one: Totals, by_segment: Totals, held: np.ndarray, count: np.ndarray) -> Totals:
    """The sums of a grouping with those added who are valued at a mean; ``count`` is (segments, groups) of them."""
    parts = (
        _wide(getattr(one, what), count.shape[1]) + _means(getattr(by_segment, what), held) @ count
        for what in ("alive", "purchases", "value")
    )
    return Totals(*parts)


def _wide(total: np.ndarray, columns: int) -> np.ndarray:
    """The same sums with zeros for groups beyond the last one met."""
    return np.pad(total, ((0, 0), (0, columns - total.shape[1])))
