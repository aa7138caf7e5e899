"""What a fit on a clock of purchases says of the history it was fitted to: by day, by customer, and made anew."""

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln

from clvkit.processes._draw import scatter

if TYPE_CHECKING:
    from clvkit.clock import Clock
    from clvkit.fit import Fit

KNOTS = 600  # at which the curve of a new customer's purchases is known; cubic between them
BLOCK = 2_000_000  # first days times days held at once


def expected_by_day(
    fit: "Fit", first_days: np.ndarray, customers: np.ndarray, days: np.ndarray, clock: "Clock | None" = None
) -> np.ndarray:
    """Expected repeat purchases on each of ``days``, at the maximum-likelihood estimate: (days,).

    Parameters
    ----------
    fit : of a process that can run on a clock; its groups, if any, are not told apart.
    first_days : (first,) whole days of first purchases, counted from the as-of date of the clock (below zero before it).
    customers : (first,) how many there were on each.
    days : (days,) whole days in a row, ascending, counted in the same way.
    clock : of purchases; by default the fit's.

    Notes
    -----
    With M(t) = E[X(t)] of a new customer, the sum over first days s of n(s) (M(Λ(d) - Λ(s)) - M(Λ(d-1) - Λ(s))) where
    customers leave at purchases only; E[λ] g(d) times the customers' expected lifetime within the day where they leave by
    the calendar. On a day itself nobody who first bought on it has bought again.
    """
    clock = fit.clock if clock is None else clock
    born, n = np.asarray(first_days, float), np.asarray(customers, float)
    edges = np.append(days[0] - 1.0, np.asarray(days, float))
    unit, out = fit.unit_days, np.zeros(len(edges))
    if fit.model.clock_is_time:
        read, began = clock.reading(edges) / unit, clock.reading(born) / unit
        curve = _new_customer(fit, float(read[-1] - began.min()))
        for part in np.array_split(np.arange(len(edges)), max(1, len(edges) * len(born) // BLOCK)):
            passed = np.maximum(read[part, None] - began[None, :], 0.0)
            out[part] = curve(passed) @ n
        return np.diff(out)
    r, alpha, s, beta = np.asarray(fit.mle, float)
    age = np.arange(edges[-1] - born.min() + 1) / unit
    lived = np.concatenate([[0.0], np.diff(_lived(s, beta, age))])  # of one customer, on the day of each age
    by_day = np.zeros(int(edges[-1] - born.min()) + 1)
    by_day[(born - born.min()).astype(int)] = n
    from scipy.signal import fftconvolve

    alive = fftconvolve(by_day, lived)[: len(by_day)]
    at = (np.asarray(days, float) - born.min()).astype(int)
    living = np.where(at >= 0, np.maximum(alive[np.clip(at, 0, None)], 0.0), 0.0)
    return r / alpha * np.diff(clock.reading(edges)) * living


def _new_customer(fit: "Fit", until: float):
    """E[X(t)] of a new customer up to ``until``, as a cubic spline in log(1 + t/unit): exact to about 1e-7 of its end."""
    from scipy.interpolate import CubicSpline

    knots = np.expm1(np.linspace(0.0, np.log1p(max(until, 1e-6)), KNOTS))
    spline = CubicSpline(np.log1p(knots), fit.model.mean(fit.mle, knots))
    return lambda t: spline(np.log1p(t))


def _lived(s: float, beta: float, until: np.ndarray) -> np.ndarray:
    """∫_0^until (1 + t/beta)^-s dt, the expected lifetime of a new customer within each span."""
    from clvkit.clock_future import _lived as lived

    return lived(np.asarray(s), np.asarray(beta), until)


def pmf(fit: "Fit", count: np.ndarray, T_days: np.ndarray) -> np.ndarray:
    """P(X = count) at the as-of date of customers who first bought ``T_days`` before it: (count, T_days).

    Where customers leave by the calendar, a mixture over the day on which they did.
    """
    clock, unit, count = fit.clock, fit.unit_days, np.asarray(count)
    T_days = np.asarray(T_days, float)
    if fit.model.clock_is_time:
        _, passed = clock.histories(np.zeros_like(T_days), T_days)
        return fit.model.pmf(fit.mle, count[:, None], passed[None, :] / unit)
    r, alpha, s, beta = np.asarray(fit.mle, float)
    constant = gammaln(r + count) - gammaln(r) - gammaln(count + 1)
    out = np.empty((len(count), len(T_days)))
    for place, age in enumerate(T_days):
        moments = np.append(np.arange(0.0, age, 1.0), age)  # from the first purchase
        passed = (clock.reading(moments - age) - clock.reading(np.array([-age]))) / unit
        left = -np.diff((1 + moments / unit / beta) ** -s)
        middle = (passed[1:] + passed[:-1]) / 2
        weight = np.append(left, (1 + age / unit / beta) ** -s)
        at = np.append(middle, passed[-1])[None, :]
        logs = constant[:, None] - r * np.log1p(at / alpha)
        with np.errstate(divide="ignore", invalid="ignore"):
            power = np.where(count[:, None] > 0, count[:, None] * np.log(at / (alpha + at)), 0.0)
        out[:, place] = np.exp(logs + power) @ weight
    return out


def simulated(fit: "Fit", parameters: np.ndarray, T_days: np.ndarray, rng: np.random.Generator):
    """Frequency and recency (in days) of customers who first bought ``T_days`` ago, made anew: two arrays (customers,)."""
    clock, unit, born = fit.clock, fit.unit_days, -np.asarray(T_days, float)
    began = clock.reading(born)
    if fit.model.clock_is_time:
        drawn = fit.model.simulate(parameters, -began / unit, rng)
        customer, passed = drawn.customer, drawn.time * unit
    else:
        r, alpha, s, beta = np.asarray(parameters, float)
        rate, dropout = rng.gamma(r, 1 / alpha, born.size), rng.gamma(s, 1 / beta, born.size)
        with np.errstate(divide="ignore"):
            end = np.minimum(-born, unit * rng.exponential(1.0, born.size) / dropout)
        lived = clock.reading(born + end) - began
        customer, passed = scatter(rng.poisson(rate * lived / unit), lived, rng)
    last = np.zeros(born.size)
    if len(customer):
        np.maximum.at(last, customer, clock.moment(began[customer] + passed) - born[customer])
    return np.bincount(customer, minlength=born.size), last
