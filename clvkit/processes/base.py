"""What every purchase process offers, in vectorised NumPy and in logs until the last step."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from clvkit.processes import _posterior


@dataclass(frozen=True)
class Prior:
    """A normal prior on one unconstrained, unit-free coordinate of a process."""

    mean: float
    sd: float
    meaning: str


@dataclass(frozen=True)
class Drawn:
    """Purchases that a process made up: one entry per purchase, sorted by customer.

    ``customer`` (events,) indexes the customers asked for, ``time`` (events,) is in the parameters' unit; of a
    history (`Process.simulate`) the times of a customer ascend, of a future they may not.
    """

    customer: np.ndarray
    time: np.ndarray

    def counts(self, customers: int) -> np.ndarray:
        """Purchases per customer, (customers,)."""
        return np.bincount(self.customer, minlength=customers)

    def summary(self, customers: int) -> tuple[np.ndarray, np.ndarray]:
        """Frequency and recency of each customer, two arrays (customers,); recency 0 without a repeat."""
        recency = np.zeros(customers)
        np.maximum.at(recency, self.customer, self.time)
        return self.counts(customers), recency


class Model(ABC):
    """A likelihood with positive parameters and priors on unit-free coordinates."""

    name: str
    label: str
    source: str
    kernel: str  # which native likelihood; a key of `_posterior.KERNELS`
    parameters: tuple[str, ...]
    scale_parameters: frozenset[str]  # those that carry a unit (of time, or of money)
    priors: dict[str, Prior]

    @abstractmethod
    def prepare(self, *columns) -> tuple[np.ndarray, np.ndarray]:
        """Pack cells for the likelihood kernel."""

    @abstractmethod
    def evaluate(self, parameters, F, whole, gradient, alive, cell) -> float:
        """The compiled likelihood; see the kernels for what the output arrays receive."""

    @abstractmethod
    def coordinates(self, parameters: np.ndarray) -> np.ndarray:
        """Parameters (..., k) to the unconstrained coordinates that the priors are stated on."""

    @abstractmethod
    def from_coordinates(self, eta: np.ndarray) -> np.ndarray:
        """Coordinates (..., k) to parameters."""

    def in_unit(self, parameters: np.ndarray, factor: float) -> np.ndarray:
        """Parameters restated after multiplying all times (or amounts) by ``factor``."""
        scale = np.array([factor if name in self.scale_parameters else 1.0 for name in self.parameters])
        return np.asarray(parameters) * scale

    def target(self, F, whole, priors: dict[str, Prior] | None) -> _posterior.Target:
        """The log-posterior of packed, unit-free cells; with ``priors`` None, the log-likelihood."""
        chosen = list(priors.values()) if priors else [Prior(0.0, -1.0, "flat")] * len(self.parameters)
        mean, sd = np.array([p.mean for p in chosen]), np.array([p.sd for p in chosen])
        return _posterior.Target(_posterior.KERNELS[self.kernel], F, whole, mean, sd)


class Process(Model):
    """A stochastic model of repeat purchases with a dropout.

    Parameters arrive as ``(k,)`` or ``(draws, k)``; cell arrays as ``(cells,)``; results are ``(cells,)`` or
    ``(draws, cells)``. Times are in the unit of the parameters throughout.
    """

    discrete = False  # whether times are whole numbers of opportunities, and cannot be stretched

    @abstractmethod
    def expected(self, parameters, x, T, horizon, discount=0.0, rate=1.0, hazard=1.0, t_x=None) -> np.ndarray:
        """(Discounted) expected transactions in the next ``horizon`` of a customer who is alive now.

        ``discount`` is a continuous rate per unit of time; ``horizon`` may be ``inf`` where ``discount`` > 0.
        ``rate`` multiplies the purchase rate and ``hazard`` the dropout hazard from now on. Where purchases come at
        random, the time of the last one says nothing about a customer who is alive; a process of regular purchases
        needs ``t_x``.
        """

    @abstractmethod
    def pmf(self, parameters: np.ndarray, count: np.ndarray, t) -> np.ndarray:
        """P(X(t) = count) for a new customer; ``count`` and ``t`` broadcast."""

    @abstractmethod
    def simulate(self, parameters: np.ndarray, T: np.ndarray, rng: np.random.Generator) -> Drawn:
        """Repeat purchases of new customers observed for ``T`` (customers,)."""

    @abstractmethod
    def simulate_future(self, parameters, x, t_x, T, horizon: float, rng: np.random.Generator) -> Drawn:
        """Purchases in the next ``horizon`` of customers with these histories (times count from now)."""

    @abstractmethod
    def stays(self, parameters, x, t_x, T, horizon) -> np.ndarray:
        """P(not gone within the next ``horizon``) of customers who are alive now, with these histories."""

    def _cells(self, parameters, x, t_x, T, which: int) -> np.ndarray:
        x = np.atleast_1d(np.asarray(x, np.int64))
        F, whole = self.prepare(x, *(np.broadcast_to(v, x.shape) for v in (t_x, T)), np.ones(x.size))
        draws = np.atleast_2d(np.asarray(parameters, float))
        out, empty, gradient = np.empty((len(draws), x.size)), np.empty(0), np.empty(draws.shape[1])
        for row, one in zip(out, draws, strict=True):
            alive, cell = (row, empty) if which == 0 else (empty, row)
            self.evaluate(one, F, whole, gradient, alive, cell)
        return out[0] if np.ndim(parameters) == 1 else out

    def p_alive(self, parameters, x, t_x, T) -> np.ndarray:
        """P(alive | x, t_x, T) at the parameters given."""
        return self._cells(parameters, x, t_x, T, 0)

    def cell_log_likelihood(self, parameters, x, t_x, T) -> np.ndarray:
        """Log-likelihood of one customer of each cell."""
        return self._cells(parameters, x, t_x, T, 1)

    def log_likelihood(self, parameters, x, t_x, T, n=None) -> float:
        """Log-likelihood of all cells, each with count ``n`` (default 1)."""
        x = np.atleast_1d(np.asarray(x, np.int64))
        counts = np.ones(x.size) if n is None else np.asarray(n, float)
        F, whole = self.prepare(x, np.atleast_1d(t_x), np.atleast_1d(T), counts)
        none, gradient = np.empty(0), np.empty(len(self.parameters))
        return self.evaluate(np.asarray(parameters, float), F, whole, gradient, none, none)

    def conditional(self, parameters, x, t_x, T, horizon, discount=0.0) -> np.ndarray:
        """(Discounted) expected transactions given the history: P(alive) times `expected`."""
        return self.p_alive(parameters, x, t_x, T) * self.expected(
            parameters, x, T, horizon, discount, t_x=t_x
        )

    def mean(self, parameters, t) -> np.ndarray:
        """E[X(t)], expected repeat purchases of a new customer by time ``t`` (scalar or array)."""
        zero = np.zeros(1, np.int64)
        values = [self.conditional(parameters, zero, zero, zero, one)[..., 0] for one in np.atleast_1d(t)]
        return np.stack(values, axis=-1) if np.ndim(t) else values[0]
