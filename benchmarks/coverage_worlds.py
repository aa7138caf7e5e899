"""Small companies with known truth, fitted and valued: what the intervals said and what was true.

A world is 1,000 customers who came at uniform moments 26 to 78 weeks ago. Times are continuous: merging of
same-day purchases, which every ledger of days has, is another matter. Its truth is a draw from the priors that
the fit will use, or a fixed one. Hold-outs are simulated with the history, as one life that is cut at the
as-of moment, so that they follow from each customer's own rate and dropout.
"""

import math
import time
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

SEED, CUSTOMERS, AGES, HORIZON = 20240117, 1_000, (26.0, 78.0), 39.0  # weeks
LEAST_REPEATS, LEAST_REPEATERS, MOST_REPEATS = 20, 10, 30_000
DRAWS = 400  # of value and of outcomes: what a study takes unless it says otherwise
INTERVAL, MARGIN, RATE, MONTHS, YEAR = 0.9, 0.3, 0.1, 36.0, 365.25
NAMES, TRUTHS = ("bgnbd", "mbgnbd", "paretonbd"), ("prior", "cdnow")
FIXED = {  # weeks and dollars: estimates that the literature gives for CDNOW
    "bgnbd": (0.243, 4.414, 0.793, 2.426),  # Fader, Hardie & Lee (2005)
    "mbgnbd": (0.525, 6.183, 0.891, 1.614),  # Batislam, Denizel & Filiztekin (2007)
    "paretonbd": (0.553, 10.578, 0.606, 11.669),  # Fader, Hardie & Lee (2005)
    "gammagamma": (6.25, 3.74, 15.44),  # Fader & Hardie (2013)
}
RULE = (
    f"a world is drawn again, truth and all, where its history has fewer than {LEAST_REPEATS} repeat purchases, fewer "
    f"than {LEAST_REPEATERS} customers who made one, or more than {MOST_REPEATS:,} repeat purchases"
)


@dataclass(frozen=True)
class World:
    """One company: the truth (weeks, money), histories (customers,) in weeks, and what came in the hold-out."""

    process: str
    truth: np.ndarray
    spend_truth: np.ndarray
    frequency: np.ndarray
    recency: np.ndarray
    T: np.ndarray
    spent: np.ndarray
    purchases: int
    revenue: float
    redrawn: int

    @cached_property
    def cells(self):
        """Every customer as a cell; times in days, whole or not, money in major units."""
        import pandas as pd

        return pd.DataFrame({"frequency": self.frequency, "recency_days": 7 * self.recency, "T_days": 7 * self.T,
                             "n": 1, "spend_minor": self.spent})  # fmt: skip


def draw(process: str, truths: str, number: int, customers: int = CUSTOMERS) -> World:
    """The world of that number; one that the rule refuses is drawn again before anything is fitted to it."""
    redrawn = 0
    while True:
        rng = np.random.default_rng([SEED, NAMES.index(process), TRUTHS.index(truths), number, redrawn])
        world = _one(process, truths, customers, redrawn, rng)
        repeats, repeaters = world.frequency.sum(), np.count_nonzero(world.frequency)
        if LEAST_REPEATS <= repeats <= MOST_REPEATS and repeaters >= LEAST_REPEATERS:
            return world
        redrawn += 1


def _one(process: str, truths: str, customers: int, redrawn: int, rng: np.random.Generator) -> World:
    from clvkit import processes
    from clvkit.fitting import weighted_median

    model, spend = processes.get(process), processes.get("gammagamma")
    T = rng.uniform(*AGES, customers)
    if truths == "prior":
        truth = model.in_unit(from_prior(model, rng), weighted_median(T, np.ones(customers)))
        spend_truth = from_prior(spend, rng)  # whatever the money is: fits are the same in any unit of it
    else:
        truth, spend_truth = np.array(FIXED[process]), np.array(FIXED["gammagamma"])
    life = model.simulate(truth, T + HORIZON, rng)
    p, q, gamma = spend_truth
    rate = rng.gamma(q, 1 / gamma, customers)
    amount = rng.gamma(p, 1.0, life.customer.size) / rate[life.customer]
    known = life.time <= T[life.customer]
    recency = np.zeros(customers)
    np.maximum.at(recency, life.customer[known], life.time[known])
    return World(
        process, truth, spend_truth,
        np.bincount(life.customer[known], minlength=customers), recency, T,
        np.bincount(life.customer[known], weights=amount[known], minlength=customers),
        int(np.count_nonzero(~known)), float(amount[~known].sum()), redrawn,
    )  # fmt: skip


def from_prior(model, rng: np.random.Generator) -> np.ndarray:
    """Unit-free parameters drawn from the model's default priors."""
    mean, sd = (
        np.array([getattr(prior, name) for prior in model.priors.values()]) for name in ("mean", "sd")
    )
    return model.from_coordinates(rng.normal(mean, sd))


def examine(world: World, seed: int, draws: int = DRAWS) -> dict:
    """Fit and value a world; per quantity the truth, the posterior's mean, low and high, and the truth's place.

    Equity's truth is the valuation at the true parameters, given the same histories. Where the mean spend of a draw,
    or of the estimate, is one that the data cannot know, the workbench puts the observed mean in its place: that is no
    longer a posterior whose coverage could be told, ``substituted`` is set and nothing is said about money.
    """
    from clvkit.fitting import fit_process, fit_spend
    from clvkit.models_section import ModelsSection, SamplerSection
    from clvkit.outcomes import simulate_period
    from clvkit.value import Future, Terms, pair, sweep

    began, rng = time.perf_counter(), np.random.default_rng([seed, 1])
    sampler = SamplerSection(method="laplace", draws=500, tune=500, chains=4, seed=seed)
    section = ModelsSection(processes=(world.process,), headline=world.process,
                            sampled=(world.process, "gammagamma"), sampler=sampler)  # fmt: skip
    cells = world.cells
    fit, spend = fit_process(world.process, cells, section), fit_spend(cells, section, 1)
    fitted = time.perf_counter() - began
    found = {}
    for one, truth in ((fit, world.truth), (spend, world.spend_truth)):
        for k, name in enumerate(one.parameters):
            found[name] = against(one.flat[:, k], truth[k], rng)
    purchases, amounts = pair(fit, spend, draws)
    one_group = [np.zeros(len(cells), int)]
    substituted = bool(spend.model.unknown_mean(np.vstack([amounts, spend.mle]), spend.observed).any())
    if not substituted:
        terms = Terms(MARGIN, RATE, MONTHS * YEAR / 12, YEAR)
        plain = replace(spend, observed={})  # the truth is the formula's, whatever was seen
        ask = lambda given: sweep(  # noqa: E731
            fit, plain, given, cells, one_group, [(terms, Future())], 1, money_only=True
        )[0][0].value[:, 0]
        true = ask((world.truth[None], world.spend_truth[None]))[0] if world.spend_truth[1] > 1 else math.inf
        found["equity"] = against(ask((purchases, amounts)), true, rng)
    seen = simulate_period(
        fit, spend, (purchases, amounts), cells, np.array([7 * HORIZON]), one_group, 1, seed
    )
    found["purchases"] = against(seen.transactions, world.purchases, rng)
    if not substituted:
        found["revenue"] = against(seen.value, world.revenue, rng)
    return {
        "redrawn": world.redrawn,
        "repeats": int(world.frequency.sum()),
        "substituted": substituted,
        "method": [fit.method, spend.method],
        "diagnostics": [fit.diagnostics, spend.diagnostics],
        "seconds": [round(fitted, 3), round(time.perf_counter() - began, 3)],
        "found": found,
    }


def against(drawn: np.ndarray, truth: float, rng: np.random.Generator) -> list[float]:
    """Truth, posterior mean, low, high, and the truth's place in the draws (ties broken by chance)."""
    low, high = np.quantile(drawn, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    below, equal = np.count_nonzero(drawn < truth), np.count_nonzero(drawn == truth)
    place = (below + rng.random() * (equal + 1)) / (drawn.size + 1)
    return [float(f"{value:.7g}") for value in (truth, drawn.mean(), low, high, place)]
