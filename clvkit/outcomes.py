"""Outcomes: what could actually happen, purchase by purchase, for amounts that will be observed.

Expected values leave out the luck of single purchases; an outcome interval has it, by simulating every
customer's future once for each posterior draw.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.fit import Fit
    from clvkit.value import Terms


def simulate_outcomes(
    fit: "Fit",
    spend: "Fit",
    purchases: np.ndarray,
    amounts: np.ndarray,
    customers: "pd.DataFrame",
    terms: "Terms",
    minor_per_unit: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Purchases and discounted margin of all customers within the horizon, one total per posterior draw.

    Parameters
    ----------
    purchases, amounts : (draws, k) and (draws, 3) parameters, row by row.
    customers : distinct (``frequency, recency_days, T_days, spend_minor``) with their count ``n``.

    Returns
    -------
    counts, money : (draws,) purchases, and margin in major units.
    """
    one_group = np.zeros(len(customers), int)
    counts, (money,) = simulate_by_group(
        fit, spend, purchases, amounts, customers, [one_group], terms, minor_per_unit, seed
    )
    return counts, money[:, 0]


def simulate_by_group(
    fit: "Fit",
    spend: "Fit",
    purchases: np.ndarray,
    amounts: np.ndarray,
    customers: "pd.DataFrame",
    groupings: list[np.ndarray],
    terms: "Terms",
    minor_per_unit: float,
    seed: int,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The same futures as `simulate_outcomes`, with margin added up by group.

    ``groupings`` are each (rows of ``customers``,) whole numbers from 0. Returns purchases (draws,), and per
    grouping the margin of each group, (draws, groups). Whoever is valued as the segment (`clvkit.averaging`) does what
    somebody of that segment does, drawn anew for every future.
    """
    unit, each = fit.unit_days, customers["n"].to_numpy()
    x, t_x, T = (
        np.repeat(customers[c].to_numpy() / s, each)
        for c, s in (("frequency", 1), ("recency_days", unit), ("T_days", unit))
    )
    x, members = x.astype(np.int64), [np.repeat(group, each) for group in groupings]
    sizes = [int(group.max()) + 1 for group in groupings]
    spent = np.repeat(np.maximum(customers["spend_minor"].to_numpy(), 0) / minor_per_unit, each)
    force, horizon = terms.force(unit), terms.horizon_days / unit
    like = _stand_ins(customers, each)
    counts, money = np.empty(len(purchases)), [np.empty((len(purchases), size)) for size in sizes]
    for d, (parameters, amount) in enumerate(zip(purchases, amounts, strict=True)):
        rng = np.random.default_rng([seed, d])
        who = like(np.random.default_rng([seed, d, 1])) if like else slice(None)
        drawn = fit.model.simulate_future(parameters, x[who], t_x[who], T[who], horizon, rng)
        rate = spend.model.draw_mean_rate(amount, x[who], spent[who], rng)
        paid = rng.gamma(amount[0], 1.0, drawn.customer.size) / rate[drawn.customer]
        paid *= terms.margin * np.exp(-force * drawn.time)
        counts[d] = drawn.customer.size
        for one, member, size in zip(money, members, sizes, strict=True):
            one[d] = np.bincount(member[drawn.customer], weights=paid, minlength=size)
    return counts, money


def _stand_ins(
    customers: "pd.DataFrame", each: np.ndarray
) -> Callable[[np.random.Generator], np.ndarray] | None:
    """A function that says whose history each customer has in one future; None where each has its own."""
    from clvkit.averaging import is_own, pools

    if is_own(customers).all():
        return None
    ends = np.cumsum(each)
    people = [np.concatenate([np.arange(end - n, end) for end, n in zip(ends[rows], each[rows], strict=True)])
              for both in pools(customers) for rows in both]  # fmt: skip

    def drawn(rng: np.random.Generator) -> np.ndarray:
        who = np.arange(ends[-1])
        for mine, among in zip(people[::2], people[1::2], strict=True):
            who[mine] = among[rng.integers(len(among), size=len(mine))]
        return who

    return drawn


def simulate_counts(
    fit: "Fit", draws: np.ndarray, cells: "pd.DataFrame", horizon_days: float, seed: int
) -> np.ndarray:
    """Purchases within the horizon of one customer of each cell, one per posterior draw: (draws, cells)."""
    unit = fit.unit_days
    x, t_x, T = (
        cells["frequency"].to_numpy(),
        cells["recency_days"].to_numpy() / unit,
        cells["T_days"].to_numpy() / unit,
    )
    out = np.empty((len(draws), len(cells)), np.int64)
    for d, parameters in enumerate(draws):
        rng = np.random.default_rng([seed, d])
        out[d] = fit.model.simulate_future(parameters, x, t_x, T, horizon_days / unit, rng).counts(len(cells))
    return out


@dataclass(frozen=True)
class Simulated:
    """What all customers might do within a horizon, one line per posterior draw.

    Attributes
    ----------
    transactions, value : (draws,) purchases, and their undiscounted amounts in major units.
    buyers : (draws,) customers who buy at least once.
    groups : per grouping, (draws, groups) purchases.
    path : (draws, steps) purchases up to each step.
    """

    transactions: np.ndarray
    value: np.ndarray
    buyers: np.ndarray
    groups: list[np.ndarray]
    path: np.ndarray


def simulate_period(
    fit: "Fit",
    spend: "Fit",
    draws: tuple[np.ndarray, np.ndarray],
    customers: "pd.DataFrame",
    steps_days: np.ndarray,
    groupings: list[np.ndarray],
    minor_per_unit: float,
    seed: int,
) -> Simulated:
    """Simulate the purchases and amounts of all customers up to the last of ``steps_days``.

    Parameters
    ----------
    draws : (draws, k) and (draws, 3) parameters, row by row; see `clvkit.value.pair`.
    customers : rows of ``frequency, recency_days, T_days, spend_minor`` with their count ``n``.
    steps_days : (steps,) ascending; the last is the horizon.
    groupings : each (rows,) whole numbers from 0, the group that every row belongs to.
    """
    unit, each = fit.unit_days, customers["n"].to_numpy()
    x = np.repeat(customers["frequency"].to_numpy(np.int64), each)
    t_x, T = (np.repeat(customers[name].to_numpy() / unit, each) for name in ("recency_days", "T_days"))
    spent = np.repeat(np.maximum(customers["spend_minor"].to_numpy(), 0) / minor_per_unit, each)
    members = [np.repeat(group, each) for group in groupings]
    steps, rows = np.asarray(steps_days) / unit, len(draws[0])
    out = Simulated(
        np.empty(rows),
        np.empty(rows),
        np.empty(rows),
        [np.empty((rows, int(group.max()) + 1)) for group in groupings],
        np.empty((rows, len(steps))),
    )
    for d, (parameters, amount) in enumerate(zip(*draws, strict=True)):
        rng = np.random.default_rng([seed, d])
        drawn = fit.model.simulate_future(parameters, x, t_x, T, float(steps[-1]), rng)
        rate = spend.model.draw_mean_rate(amount, x, spent, rng)
        out.transactions[d] = drawn.customer.size
        out.value[d] = np.sum(rng.gamma(amount[0], 1.0, drawn.customer.size) / rate[drawn.customer])
        out.buyers[d] = np.unique(drawn.customer).size
        out.path[d] = np.cumsum(
            np.bincount(np.searchsorted(steps, drawn.time), minlength=len(steps))[: len(steps)]
        )
        for group, member in zip(out.groups, members, strict=True):
            group[d] = np.bincount(member[drawn.customer], minlength=group.shape[1])
    return out
