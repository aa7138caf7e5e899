"""Customers as a fit sees them: every question about people goes through here, whatever the fit knows of them.

A fit may have one set of parameters for all, or one for each group of customers. What asks for P(alive), for expected
purchases or for a simulated future need not know which.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from clvkit.processes.base import Drawn

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.fit import Fit
    from clvkit.processes.base import Model


@dataclass(frozen=True)
class Histories:
    """What some customers did up to the as-of date, for a fitted process.

    Attributes
    ----------
    x, t_x, T : (rows,) frequency, recency and age, times in the unit of the parameters; of a fit on a clock in the time
        that the process knows (`clvkit.fitting.on_clock`).
    passed : (rows,) purchase time since the first purchase; None without a clock.
    before : (rows,) age when the log begins, of customers older than it, who are seen through the window that the log is
        (`clvkit.processes.window`); below zero for the others; None where nobody is older.
    group : (rows,) the group of each row among those of the fit; None where all share one set of parameters.

    ``draws`` are (draws, k) parameters, or (draws, groups, k) of a fit with groups; one draw is without the first axis.
    """

    fit: "Fit"
    x: np.ndarray
    t_x: np.ndarray
    T: np.ndarray
    group: np.ndarray | None = None
    passed: np.ndarray | None = None
    before: np.ndarray | None = None

    @classmethod
    def of(cls, fit: "Fit", rows: "pd.DataFrame") -> "Histories":
        """The histories of ``rows`` with ``frequency, recency_days, T_days``, and ``segment`` for a fit with groups.

        For a fit on a clock they are those of its as-of date.
        """
        unit, x = fit.unit_days, rows["frequency"].to_numpy(np.int64)
        t_x, T = rows["recency_days"].to_numpy(), rows["T_days"].to_numpy()
        if fit.clock is None:
            before = rows["before_days"].to_numpy() / unit if "before_days" in rows else None
            return cls(fit, x, t_x / unit, T / unit, fit.group_of(rows), before=before)
        last, passed = fit.clock.histories(t_x, T)
        if fit.model.clock_is_time:
            t_x, T = last, passed
        return cls(fit, x, t_x / unit, T / unit, fit.group_of(rows), passed / unit)

    def __len__(self) -> int:
        return len(self.x)

    def take(self, who: np.ndarray) -> "Histories":
        """The histories at the places ``who``, in that order; a place may occur more than once."""
        group = None if self.group is None else self.group[who]
        passed = None if self.passed is None else self.passed[who]
        before = None if self.before is None else self.before[who]
        return replace(
            self, x=self.x[who], t_x=self.t_x[who], T=self.T[who], group=group, passed=passed, before=before
        )

    def repeat(self, times: np.ndarray) -> "Histories":
        """Every history as often as ``times`` (rows,) says: one row for each customer of a cell."""
        return self.take(np.repeat(np.arange(len(self)), times))

    @property
    def model(self) -> "Model":
        """The process; where all are older than the log, as it answers of customers seen through a window."""
        if self.before is None or not np.any(self.before >= 0):
            return self.fit.model
        from clvkit.processes.window import Through

        return Through(self.fit.model, self.before)

    def p_alive(self, draws: np.ndarray) -> np.ndarray:
        """P(alive) at the as-of date: (draws, rows)."""
        model, clock = None, self.fit.clock
        if clock is not None:
            model = self.fit.model.on_clock(*clock.past(self.fit.unit_days))
        return self._each(
            draws, lambda one, drawn: (model or one.model).p_alive(drawn, one.x, one.t_x, one.T)
        )

    def expected(
        self,
        draws: np.ndarray,
        horizon_days: float,
        force: float = 0.0,
        rate: float = 1.0,
        hazard: float = 1.0,
    ) -> np.ndarray:
        """(Discounted) expected purchases of those alive, within ``horizon_days``: (draws, rows).

        ``force`` is the continuous discount rate per unit of time of the fit; see `Process.expected` for the others.
        """
        if self.fit.clock is not None:
            from clvkit.clock_future import expected

            asked = horizon_days, force, rate, hazard
            return self._each(draws, lambda one, drawn: expected(one, drawn, *asked))
        horizon = horizon_days / self.fit.unit_days
        return self._each(
            draws,
            lambda one, drawn: one.model.expected(
                drawn, one.x, one.T, horizon, force, rate, hazard, t_x=one.t_x
            ),
        )

    def stays(self, draws: np.ndarray, horizon_days: float) -> np.ndarray:
        """P(not gone within ``horizon_days``) of those alive at the as-of date: (draws, rows)."""
        horizon, clock = horizon_days / self.fit.unit_days, self.fit.clock
        if (
            clock is not None and self.fit.model.clock_is_time
        ):  # who leaves after purchases leaves by their clock
            horizon = float(clock.reading(np.array([horizon_days]))[0]) / self.fit.unit_days
        return self._each(draws, lambda one, drawn: one.model.stays(drawn, one.x, one.t_x, one.T, horizon))

    def simulate_future(self, parameters: np.ndarray, horizon_days: float, rng: np.random.Generator) -> Drawn:
        """Purchases within ``horizon_days``, one future of everybody; times are days from the as-of date."""
        found = [(at, one._simulated(drawn, horizon_days, rng)) for at, one, drawn in self._parts(parameters)]
        customers = [drawn.customer if at is None else at[drawn.customer] for at, drawn in found]
        return Drawn(np.concatenate(customers), np.concatenate([drawn.time for _, drawn in found]))

    def _simulated(self, parameters: np.ndarray, horizon_days: float, rng: np.random.Generator) -> Drawn:
        """One future of customers who share the parameters; times in days."""
        if self.fit.clock is not None:
            from clvkit.clock_future import simulated

            return simulated(self, parameters, horizon_days, rng)
        unit = self.fit.unit_days
        drawn = self.model.simulate_future(parameters, self.x, self.t_x, self.T, horizon_days / unit, rng)
        return Drawn(drawn.customer, drawn.time * unit)

    def _parts(self, draws: np.ndarray) -> Iterator[tuple[np.ndarray | None, "Histories", np.ndarray]]:
        """Places, histories and parameters of each group that occurs, customers older than the log apart from others.

        Places are None where all are of one kind.
        """
        older = np.zeros(len(self), bool) if self.before is None else self.before >= 0
        if self.group is None and older.all() == older.any():
            yield None, self, draws
            return
        kind = older + (0 if self.group is None else 2 * np.asarray(self.group, np.int64))
        for code in np.unique(kind):
            at = np.flatnonzero(kind == code)
            one = draws if self.group is None else draws[..., code // 2, :]
            yield at, replace(self.take(at), group=None), one

    def _each(self, draws: np.ndarray, ask) -> np.ndarray:
        answers = [(at, np.atleast_2d(ask(one, drawn))) for at, one, drawn in self._parts(draws)]
        if answers and answers[0][0] is None:
            return answers[0][1]
        out = np.empty((len(answers[0][1]) if answers else len(draws), len(self)))
        for at, found in answers:
            out[:, at] = found
        return out


@dataclass(frozen=True)
class Spenders:
    """What the same customers spent on their repeat purchases, for a fitted model of spend.

    ``x`` (rows,) purchases, ``spent`` (rows,) their total in major units, none below zero; ``group`` as in `Histories`.
    """

    fit: "Fit"
    x: np.ndarray
    spent: np.ndarray
    group: np.ndarray | None = None

    @classmethod
    def of(cls, fit: "Fit", rows: "pd.DataFrame", minor_per_unit: float) -> "Spenders":
        """The spend of ``rows`` with ``frequency`` and ``spend_minor``, and ``segment`` for a fit with groups."""
        spent = np.maximum(rows["spend_minor"].to_numpy(), 0) / minor_per_unit
        return cls(fit, rows["frequency"].to_numpy(np.int64), spent, fit.group_of(rows))

    def repeat(self, times: np.ndarray) -> "Spenders":
        """Every row as often as ``times`` (rows,) says."""
        return self.take(np.repeat(np.arange(len(self.x)), times))

    def take(self, who: np.ndarray) -> "Spenders":
        """The rows at the places ``who``, in that order."""
        group = None if self.group is None else self.group[who]
        return replace(self, x=self.x[who], spent=self.spent[who], group=group)

    def expected(self, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Expected spend per purchase as ``base + slope · total of the purchases``: two arrays (draws, rows)."""
        ask = self.fit.model.expected_spend
        if self.group is None:
            return ask(draws, self.x, self.fit.observed)
        base, slope = np.empty((2, len(draws), len(self.x)))
        for code in np.unique(self.group):
            at = np.flatnonzero(self.group == code)
            base[:, at], slope[:, at] = ask(draws[:, code], self.x[at], self.fit.observed)
        return base, slope

    def amounts(self, parameters: np.ndarray, customer: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """An amount for each purchase of ``customer`` (events,) places, at one draw of the parameters."""
        rate, shape = self._rates(parameters, rng)
        return (
            rng.gamma(shape if np.ndim(shape) == 0 else shape[customer], 1.0, customer.size) / rate[customer]
        )

    def _rates(self, parameters, rng) -> tuple[np.ndarray, np.ndarray]:
        """The rate of amounts of each customer, and their shape."""
        draw = self.fit.model.draw_mean_rate
        if self.group is None:
            return draw(parameters, self.x, self.spent, rng), parameters[0]
        rate = np.empty(len(self.x))
        for code in np.unique(self.group):
            at = np.flatnonzero(self.group == code)
            rate[at] = draw(parameters[code], self.x[at], self.spent[at], rng)
        return rate, parameters[self.group, 0]
