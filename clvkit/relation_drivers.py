"""Drivers of leaving: what was known of each relation when it began, as columns that have a multiplier each.

Categories count against the most frequent one, numbers per a round step near their standard deviation. What is missing is a
level of its own, rare levels are one. What says nothing, or the same as another driver, is left out and said.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clvkit.covariate_levels import FEWEST, KEPT_UP_TO, MISSING, OTHER, RAREST

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.contracts import Contracts

#: A number is shown in so many classes where curves are drawn by it.
_CLASSES = 3


def attributes(
    held: "Contracts", names: Sequence[str], people: "tuple[list[pd.DataFrame], pd.DataFrame | None]"
) -> "pd.DataFrame":
    """What is said of each relation at its start: one column a name, in the order of ``held.relations``.

    Parameters
    ----------
    names : ``plan``; ``fee``, of the contracts a relation began with, a month; or what ``about`` of contracts or customers names.
    people : rows of customers tables, and whose the accounts are; see `clvkit.covariate_people.said_of`.
    """
    import pandas as pd

    from clvkit.covariate_people import most_said, said_of

    relations = held.relations
    out = pd.DataFrame(index=relations.index)
    for name in names:
        if name == "plan":
            out[name] = relations["plan"]
        elif name == "fee":
            out[name] = _fee_at_start(held)
        elif f"about_{name}" in relations:
            out[name] = relations[f"about_{name}"]
        else:
            out[name] = relations["customer"].map(most_said(said_of(name, *people))[0])
        if name != "fee":
            text = out[name].astype("string").str.strip()
            out[name] = text.where(text != "").astype(object)
    return out


def _fee_at_start(held: "Contracts") -> "pd.Series":
    """Fee a month of the contracts that a relation began with, together."""
    rows = held.rows
    months = rows["period_months"] if "period_months" in rows else 1
    first = (
        rows.assign(fee=rows["fee"] / months)
        .groupby(["customer", "start"])["fee"]
        .sum(min_count=1)
        .rename("fee")
    )
    return held.relations.merge(first.reset_index(), on=["customer", "start"], how="left", suffixes=("_now", ""))["fee"].set_axis(held.relations.index)  # fmt: skip


@dataclass(frozen=True)
class Driver:
    """One driver: its kind, the levels or the step that has a multiplier, and what it is compared with."""

    name: str
    kind: str
    steps: tuple[str, ...]
    reference: str | None = None


@dataclass(frozen=True)
class DriverDesign:
    """The drivers of relations, as columns.

    Attributes
    ----------
    drivers : those that are used. ``x``: (relations, p), a column a step, in their order.
    levels : (relations, drivers) the level of each, numbers in classes: what curves are drawn by.
    left_out : sentences about drivers that cannot be used.
    """

    drivers: tuple[Driver, ...]
    x: np.ndarray
    levels: "pd.DataFrame"
    left_out: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """(p,) names of the columns: driver and step."""
        return tuple(f"{one.name}: {step}" for one in self.drivers for step in one.steps)

    @property
    def places(self) -> dict[str, list[int]]:
        """The columns of each driver."""
        found, at = {}, 0
        for one in self.drivers:
            found[one.name] = list(range(at, at + len(one.steps)))
            at += len(one.steps)
        return found

    def without(self, names: Sequence[str]) -> "DriverDesign":
        """The design without some drivers."""
        keep = [at for name, places in self.places.items() if name not in names for at in places]
        left = tuple(one for one in self.drivers if one.name not in names)
        return DriverDesign(left, self.x[:, keep], self.levels, self.left_out)


def design(values: "pd.DataFrame") -> DriverDesign:
    """Columns of the drivers in ``values``, one row a relation; see the head of this module."""
    import pandas as pd

    drivers, columns, said = [], [np.ones((len(values), 1))], []
    levels = pd.DataFrame(index=values.index)
    for name in values:
        driver, x, level = _columns(name, values[name])
        levels[name] = level
        new = _new(np.column_stack(columns), x)
        told = [step for step, is_new in zip(driver.steps, new, strict=True) if not is_new]
        others = _told_by(drivers, columns[1:], x[:, [not one for one in new]]) if drivers else ""
        if not driver.steps:
            said.append(f"{name} is the same for all relations, and says nothing.")
        elif not any(new):
            said.append(f"{name} says nothing that {others} does not say already, and is left out.")
        elif told:
            said.append(f"{name} {' and '.join(told)} is told by {others}, and counts there.")
        if any(new):
            steps = tuple(step for step in driver.steps if step not in told)
            drivers.append(Driver(name, driver.kind, steps, driver.reference))
            columns.append(x[:, new])
    return DriverDesign(tuple(drivers), np.column_stack(columns)[:, 1:], levels, tuple(said))


def _new(known: np.ndarray, x: np.ndarray) -> list[bool]:
    """Which columns of ``x`` say something that those before them do not."""
    found = []
    for column in x.T:
        trial = np.column_stack([known, column])
        rank = np.linalg.matrix_rank(trial / np.maximum(np.abs(trial).max(axis=0), 1e-300))
        found.append(bool(rank == trial.shape[1]))
        known = trial if found[-1] else known
    return found


def _told_by(drivers: list[Driver], columns: list[np.ndarray], x: np.ndarray) -> str:
    """Which drivers say what ``x`` says: one of them alone, or all."""
    for one, column in zip(drivers, columns, strict=True):
        if not any(_new(np.column_stack([np.ones(len(x)), column]), x)):
            return one.name
    return " and ".join(one.name for one in drivers)


def _columns(name: str, value: "pd.Series") -> "tuple[Driver, np.ndarray, pd.Series]":
    import pandas as pd

    missing = value.isna()
    number = pd.to_numeric(value, errors="coerce")
    if (number.notna() | missing).all() and number.nunique() > KEPT_UP_TO:
        step = round_step(float(number.std()))
        x = [((number - number.mean()) / step).fillna(0.0).to_numpy(float)]
        steps = [f"each {step:g} more"]
        if missing.any():
            x.append(missing.to_numpy(float))
            steps.append(MISSING)
        return Driver(name, "number", tuple(steps)), np.column_stack(x), _classes(number)
    level = value.astype(object).where(~missing, MISSING).astype(str)
    sizes = level[~missing].value_counts()
    rare = sizes.index[sizes < max(FEWEST, RAREST * len(level))]
    if len(rare) > 1 and len(rare) < len(sizes):
        level = level.where(~level.isin(rare), OTHER)
    counts = level.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    order = [one for one in counts.index if one not in (OTHER, MISSING)] or list(counts.index)
    reference = order[0]
    steps = [*order[1:], *(one for one in (OTHER, MISSING) if one in counts.index and one != reference)]
    x = (
        np.column_stack([(level == one).to_numpy(float) for one in steps])
        if steps
        else np.zeros((len(level), 0))
    )
    return Driver(name, "categories", tuple(steps), reference), x, level


def _classes(number: "pd.Series") -> "pd.Series":
    """A number in classes of about as many relations, named by their limits."""
    import pandas as pd

    edges = np.unique(np.nanquantile(number, np.linspace(0, 1, _CLASSES + 1)[1:-1]))
    names = [f"up to {edges[0]:g}", *(f"over {a:g} to {b:g}" for a, b in itertools.pairwise(edges)),
             f"over {edges[-1]:g}"]  # fmt: skip
    place = np.searchsorted(edges, number.fillna(edges[0]), side="left")
    return pd.Series(np.array(names, object)[place], index=number.index).where(number.notna(), MISSING)


def round_step(spread: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is no more than ``spread``."""
    power = 10.0 ** np.floor(np.log10(spread))
    return float(next(k * power for k in (5, 2, 1) if k * power <= spread * (1 + 1e-9)))
