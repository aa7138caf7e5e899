"""What customers do next where purchases run on a clock: expected purchases and simulated futures."""

from typing import TYPE_CHECKING

import numpy as np

from clvkit.processes._draw import scatter
from clvkit.processes.base import Drawn

if TYPE_CHECKING:
    from clvkit.histories import Histories

QUARTER, MONTH, FAR = (
    91.3125,
    30.4375,
    40 * 365.25,
)  # days; beyond, what is discounted at all is worth nothing


def expected(
    who: "Histories", draws: np.ndarray, horizon_days: float, force: float, rate: float, hazard: float
) -> np.ndarray:
    """(Discounted) expected purchases of those alive, (draws, rows); see `Histories.expected`.

    The horizon is cut into steps, and the purchases of each are discounted at once, by the mean discount factor of its
    days weighted with the clock: what is left out is how purchases fall off within a step, a few parts in ten thousand.
    """
    fit, clock = who.fit, who.fit.clock
    unit, per_day = fit.unit_days, force / fit.unit_days
    if fit.model.clock_is_time:
        edges = clock.steps(min(horizon_days, FAR), QUARTER) if force else np.array([0.0, horizon_days])
        reading = clock.reading(edges) / unit
        asked = draws, who.x, who.T
        if not force:
            return np.atleast_2d(fit.model.expected(*asked, reading[-1], 0.0, rate, hazard))
        factor, total, before = clock.discount(edges, per_day), 0.0, 0.0
        for step, until in enumerate(reading[1:]):
            upto = np.atleast_2d(fit.model.expected(*asked, until, 0.0, rate, hazard)) if until > 0 else 0.0
            total, before = total + factor[step] * (upto - before), upto
        return total
    # customers leave by the calendar: the rate while alive, times the share alive in each step, times its purchase time
    edges = clock.steps(min(horizon_days, FAR), MONTH)
    speed = np.diff(clock.reading(edges)) / np.diff(edges)
    factor = clock.discount(edges, per_day) if force else np.ones(len(speed))
    drawn = np.atleast_2d(draws)
    r, alpha, s, beta = drawn.T[..., None]
    ages, at = np.unique(who.T, return_inverse=True)
    lived, before = np.zeros((len(drawn), len(ages))), 0.0
    for step, until in enumerate(edges[1:] / unit):
        upto = _lived(s, (beta + ages) / hazard, until)
        lived, before = lived + speed[step] * factor[step] * (upto - before), upto
    return rate * (r + who.x) / (alpha + who.passed) * lived[:, at]


def _lived(s: np.ndarray, scale: np.ndarray, until: float) -> np.ndarray:
    """∫_0^until (1 + t/scale)^-s dt: the expected lifetime within a span."""
    length, k = np.log1p(until / scale), s - 1.0
    near = np.abs(k * length) < 1e-10
    return scale * np.where(near, length, -np.expm1(-k * length) / np.where(near, 1.0, k))


def simulated(
    who: "Histories", parameters: np.ndarray, horizon_days: float, rng: np.random.Generator
) -> Drawn:
    """One future of customers who share the parameters; times are days from the as-of date."""
    fit, clock = who.fit, who.fit.clock
    unit, reading = fit.unit_days, float(clock.reading(np.array([horizon_days]))[0])
    if fit.model.clock_is_time:
        drawn = fit.model.simulate_future(parameters, who.x, who.t_x, who.T, reading / unit, rng)
        return Drawn(drawn.customer, clock.moment(drawn.time * unit))
    r, alpha, s, beta = np.asarray(parameters, float)
    alive = rng.random(len(who)) < who.p_alive(np.asarray(parameters)[None])[0]
    rate = rng.gamma(r + who.x, 1.0) / (alpha + who.passed) * alive
    dropout = rng.gamma(s, 1.0, len(who)) / (beta + who.T)
    with np.errstate(divide="ignore"):
        end = np.minimum(horizon_days, unit * rng.exponential(1.0, len(who)) / dropout)
    passed = clock.reading(end)
    customer, time = scatter(rng.poisson(rate * passed / unit), passed, rng)
    return Drawn(customer, clock.moment(time))
