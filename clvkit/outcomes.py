"""Outcomes: what could actually happen, purchase by purchase, for amounts that will be observed.

Expected values leave out the luck of single purchases; an outcome interval has it, by simulating every
customer's future once for each posterior draw.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clvkit.histories import Histories, Spenders

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
    each = customers["n"].to_numpy()
    known, spenders = _everyone(fit, spend, customers, minor_per_unit)
    members = [np.repeat(group, each) for group in groupings]
    sizes = [int(group.max()) + 1 for group in groupings]
    force = terms.force(1.0)
    share = terms.kept(np.repeat((customers["T_days"] - customers["recency_days"]).to_numpy(float), each))
    like = _stand_ins(customers, each)
    counts, money = np.empty(len(purchases)), [np.empty((len(purchases), size)) for size in sizes]
    for d, (parameters, amount) in enumerate(zip(purchases, amounts, strict=True)):
        rng = np.random.default_rng([seed, d])
        who = like(np.random.default_rng([seed, d, 1])) if like else None
        drawn = (known if who is None else known.take(who)).simulate_future(
            parameters, terms.horizon_days, rng
        )
        paid = (spenders if who is None else spenders.take(who)).amounts(amount, drawn.customer, rng)
        paid *= (
            terms.margin
            * np.exp(-force * drawn.time)
            * (share if who is None else share[who])[drawn.customer]
        )
        counts[d] = drawn.customer.size
        for one, member, size in zip(money, members, sizes, strict=True):
            one[d] = np.bincount(member[drawn.customer], weights=paid, minlength=size)
    return counts, money


def _everyone(
    fit: "Fit", spend: "Fit", customers: "pd.DataFrame", minor_per_unit: float
) -> tuple[Histories, Spenders]:
    """What each customer did and spent, one row a customer."""
    each = customers["n"].to_numpy()
    spenders = Spenders.of(spend, customers, minor_per_unit)
    return Histories.of(fit, customers).repeat(each), spenders.repeat(each)


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
    who = Histories.of(fit, cells)
    out = np.empty((len(draws), len(cells)), np.int64)
    for d, parameters in enumerate(draws):
        rng = np.random.default_rng([seed, d])
        out[d] = who.simulate_future(parameters, horizon_days, rng).counts(len(cells))
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
    who, spenders = _everyone(fit, spend, customers, minor_per_unit)
    members = [np.repeat(group, customers["n"].to_numpy()) for group in groupings]
    steps, rows = np.asarray(steps_days), len(draws[0])
    out = Simulated(
        np.empty(rows),
        np.empty(rows),
        np.empty(rows),
        [np.empty((rows, int(group.max()) + 1)) for group in groupings],
        np.empty((rows, len(steps))),
    )
    for d, (parameters, amount) in enumerate(zip(*draws, strict=True)):
        rng = np.random.default_rng([seed, d])
        drawn = who.simulate_future(parameters, float(steps[-1]), rng)
        out.transactions[d] = drawn.customer.size
        out.value[d] = np.sum(spenders.amounts(amount, drawn.customer, rng))
        out.buyers[d] = np.unique(drawn.customer).size
        out.path[d] = np.cumsum(
            np.bincount(np.searchsorted(steps, drawn.time), minlength=len(steps))[: len(steps)]
        )
        for group, member in zip(out.groups, members, strict=True):
            group[d] = np.bincount(member[drawn.customer], minlength=group.shape[1])
    return out
