"""Spend: whether how much customers spend has to do with how often they buy, as Gamma-Gamma says it has not."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clvkit import numbers
from clvkit.checks import Check

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.fit import Fit

STRONG = 0.3  # a correlation beyond this is more than sampling or a few customers
INTERVAL = 0.9
MOST_DRAWS = 200_000_000  # customers times simulations; fewer simulations do for more customers
FEWEST_SIMULATIONS = 100
MOST_REFUSED = 0.02  # of repeat customers; what they spend is then no small matter
MOST_OF_ONE = 0.01  # of the repeat spend of all; above it, one customer moves the spend model


@dataclass(frozen=True)
class SpendIndependence:
    """The correlation of frequency and mean spend over repeat customers, against the fitted model's own.

    ``rho`` is Pearson's; ``low`` and ``high`` hold 90 % of the correlations in samples of the model, where
    frequency and spend are independent; ``p_value`` is the two-sided share of samples as far out.
    """

    rho: float
    low: float
    high: float
    p_value: float
    customers: int
    simulations: int

    @property
    def check(self) -> Check:
        """Pass inside the model's own range; review outside it; fail where the correlation is strong as well.

        One above `STRONG` is never passed: few customers have a wide range, and say little for independence.
        """
        rho, inside = self.rho, self.low <= self.rho <= self.high
        found = (
            f"Over {numbers.count(self.customers)} repeat customers, purchases and mean spend correlate at "
            f"{numbers.number(rho, 2)}; samples of the model, where they are independent, lie "
            f"{numbers.interval_words(self.low, self.high, INTERVAL)}."
        )
        more = "more" if rho > 0 else "less"
        advice = (
            ""
            if inside and abs(rho) <= STRONG
            else f"So few customers cannot tell a correlation above {STRONG} from none: read value by class with care."
            if inside
            else f"Frequent customers spend {more} per purchase than independence says: compare observed and "
            "expected spend by frequency class, and read value by class with care."
            if abs(rho) <= STRONG
            else "Do not value customers by Gamma-Gamma: set models.spend to by_frequency, or value by segment."
        )
        return Check(
            "spend.independence",
            "Independence of spend and frequency",
            _status(inside, abs(rho) > STRONG),
            found,
            value=rho,
            threshold=self.high if rho > 0 else self.low,
            unit="correlation",
            severity="warn",
            recommendation=advice,
            chapter="04_value",
        )


def _status(inside: bool, strong: bool) -> str:
    return {(True, False): "pass", (False, True): "fail"}.get((inside, strong), "review")


def spend_independence(
    spend_fit: "Fit", spend_cells: "pd.DataFrame", minor_per_unit: float, seed: int, simulations: int = 1000
) -> SpendIndependence:
    """Compare the correlation of frequency and mean spend with what samples of the fitted Gamma-Gamma show.

    Pearson's correlation has no fixed critical value here: amounts are skewed, and means over few purchases
    vary more than means over many. So customers with the same numbers of purchases are drawn from the model at
    its maximum-likelihood estimate, again and again.

    Parameters
    ----------
    spend_cells : ``frequency``, ``spend_minor`` (total of one customer), ``n``; those the fit used count,
        with a repeat purchase and a positive total.
    simulations : samples drawn; fewer (at least 100) where there are very many customers.

    Returns
    -------
    SpendIndependence : the correlation is 0, and inside, where all customers bought equally often.
    """
    used = spend_cells[(spend_cells["frequency"] > 0) & (spend_cells["spend_minor"] > 0)]
    n = used["n"].to_numpy(int)
    x = np.repeat(used["frequency"].to_numpy(float), n)
    rho = _correlation(x, np.repeat(used["spend_minor"].to_numpy() / minor_per_unit, n) / x)
    simulations = min(simulations, max(FEWEST_SIMULATIONS, MOST_DRAWS // max(x.size, 1)))
    null = np.array([
        _correlation(x, spend_fit.model.simulate_means(spend_fit.mle, x, np.random.default_rng([seed, k])))
        for k in range(simulations)
    ])  # fmt: skip
    low, high = np.quantile(null, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    beyond = min(np.sum(null <= rho), np.sum(null >= rho))
    p_value = min(1.0, 2 * (beyond + 1) / (simulations + 1))
    return SpendIndependence(rho, float(low), float(high), float(p_value), int(x.size), simulations)


def _correlation(x: np.ndarray, z: np.ndarray) -> float:
    """Pearson's correlation; 0 where one of the two does not vary."""
    u, v = x - x.mean(), z - z.mean()
    # not np.dot, whose threads wait for each other on a busy machine: a thousand times a few microseconds of work
    uu, vv, uv = (float(np.sum(one * other)) for one, other in ((u, u), (v, v), (u, v)))
    return uv / np.sqrt(uu * vv) if uu * vv > 0 else 0.0


def largest_spender(spend_cells: "pd.DataFrame", currency: str, minor_per_unit: float) -> Check:
    """Whether one customer's repeat spend is large enough to move what everybody is valued at."""
    spend, n = spend_cells["spend_minor"].to_numpy(), spend_cells["n"].to_numpy()
    total, most = float(spend @ n), float(spend.max())
    share = most / total if total > 0 else 0.0
    large = share > MOST_OF_ONE
    return Check(
        "spend.largest",
        "No single customer decides the spend",
        "review" if large else "pass",
        f"The largest repeat spend of one customer is {numbers.money(most / minor_per_unit, currency)}, "
        f"{numbers.percent(share)} of that of all.",
        value=share,
        threshold=MOST_OF_ONE,
        unit="share of repeat spend",
        severity="warn",
        recommendation="Look whether it is a purchase that was cancelled, a wholesaler, or a wrong amount: expected spend of "
        "customers with as few purchases, and of those without any, rises with it."
        if large
        else "",
        chapter="04_value",
    )


#: Why a model of positive amounts cannot hold a customer.
REASONS = {
    "zero": "purchases that add up to nothing",
    "negative": "purchases that add up to less than nothing",
}


def refused(spend_cells: "pd.DataFrame") -> "pd.DataFrame":
    """The rows of ``spend_cells`` that a model of positive amounts cannot hold, with the ``reason``, one of `REASONS`.

    They are repeat customers with a total of zero or less; the models of spend are fitted without them.
    """
    rows = spend_cells[(spend_cells["frequency"] > 0) & (spend_cells["spend_minor"] <= 0)]
    return rows.assign(reason=np.where(rows["spend_minor"] == 0, "zero", "negative")).reset_index(drop=True)


def refused_share(spend_cells: "pd.DataFrame") -> float:
    """Share of repeat customers whose purchases add up to zero or less."""
    repeat = spend_cells.loc[spend_cells["frequency"] > 0, "n"].sum()
    return float(refused(spend_cells)["n"].sum() / repeat) if repeat else 0.0


def refused_check(spend_cells: "pd.DataFrame", currency: str, minor_per_unit: float) -> Check:
    """How many repeat customers the model of spend was fitted without, and why."""
    rows, share = refused(spend_cells), refused_share(spend_cells)
    parts = []
    for reason, words in REASONS.items():
        one = rows[rows["reason"] == reason]
        if len(one):
            money = numbers.money(float(one["n"] @ one["spend_minor"]) / minor_per_unit, currency)
            parts.append(f"{numbers.count(one['n'].sum())} have {words} ({money})")
    found = (
        f"Of the repeat customers {' and '.join(parts)}: a model of positive amounts is fitted without them."
        if parts
        else "All repeat customers spent more than nothing: the model of spend is fitted to every one of them."
    )
    return Check(
        "spend.refused",
        "Every repeat customer's spend is positive",
        "review" if share > MOST_REFUSED else "pass",
        found,
        value=share,
        threshold=MOST_REFUSED,
        unit="share of repeat customers",
        severity="warn",
        recommendation="Look at refunds and vouchers in chapter 1: without these customers the mean spend is too high. They "
        "are listed in the table of what was left out."
        if share > MOST_REFUSED
        else "",
        chapter="04_value",
    )
