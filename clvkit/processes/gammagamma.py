"""Gamma-Gamma: how much a customer spends per purchase, whether or not that depends on how often one buys.

Fader & Hardie (2013), "The Gamma-Gamma Model of Monetary Value"; Fader, Hardie & Lee (2005), "RFM and CLV",
Journal of Marketing Research 42(4). Amounts of one customer are Gamma(p, ν), and ν ~ Gamma(q, γ) across
customers, independently of how often they buy.
"""

import numpy as np

from clvkit.errors import FitError
from clvkit.processes import _gammagamma
from clvkit.processes.base import Model, Prior

FAR = 2.0  # times the observed mean: nearer, a mean is no tail, even where all customers were seen to spend alike
LISTED = 5  # rows named in a refusal
NEXT_TO_ONE = 1e-12  # q − 1 where q is 1 or less: the weight of a customer's own mean is then 1


class GammaGamma(Model):
    """Spend per purchase; ``gamma`` is in units of money."""

    name, label, kernel = "gammagamma", "Gamma-Gamma", "gammagamma"
    source = "Fader & Hardie 2013"
    parameters = ("p", "q", "gamma")
    scale_parameters = frozenset({"gamma"})
    priors = {
        "log_p": Prior(1.0, 1.0, "log of p: how steady one customer's amounts are"),
        "log_q": Prior(1.0, 1.0, "log of q: how alike customers' mean amounts are"),
        "log_typical_spend": Prior(0.0, 1.0, "log of the typical amount pγ/q, per median mean spend"),
    }

    def prepare(self, x, spend, n):
        """Pack spend cells (number of purchases, their total, count of customers).

        Raises
        ------
        FitError : a total that is zero or negative, or of no purchase; the rows are listed.
        """
        _require_positive(self.label, *(np.asarray(column, float) for column in (x, spend, n)))
        return _gammagamma.prepare(x, spend, n)

    def evaluate(self, parameters, F, whole, gradient, alive, cell):
        """The compiled likelihood."""
        return _gammagamma.kernel(parameters, F, whole, gradient, alive, cell)

    def coordinates(self, parameters):
        """(p, q, γ) to the coordinates of the priors."""
        return _gammagamma.log_to_coordinates(np.log(parameters))

    def from_coordinates(self, eta):
        """Coordinates of the priors to (p, q, γ)."""
        lp, lq, typical, *kappa = np.moveaxis(np.asarray(eta, float), -1, 0)
        return np.exp(np.stack([lp, lq, typical + lq - lp, *kappa], axis=-1))

    def unknown_mean(self, parameters, observed: dict[str, float]) -> np.ndarray:
        """Whether parameters (3,) or (draws, 3) give the population a mean spend that the data cannot know.

        The mean pγ/(q − 1) does not exist for q ≤ 1, and just above it is as large as one likes. It is taken for
        unknown where it exceeds ``largest_spend``, the largest average amount that any customer was seen with, and
        twice ``mean_spend``, the mean of those averages: then it speaks of a tail beyond all data.
        """
        p, q, gamma = np.moveaxis(np.asarray(parameters, float), -1, 0)
        mean = p * gamma / np.where(q > 1, q - 1, np.nan)
        return ~(mean <= max(observed["largest_spend"], FAR * observed["mean_spend"]))

    def expected_spend(self, parameters, x, observed: dict[str, float] | None = None):
        """Expected spend per purchase as ``base + slope · (total of x purchases)``.

        Parameters
        ----------
        parameters : (3,) or (draws, 3).
        x : (cells,) number of purchases seen.
        observed : ``mean_spend`` and ``largest_spend``, what takes the place of a mean that the data cannot know
            (see `unknown_mean`) and how that is told; None: the bare formula.

        Returns
        -------
        base, slope : (cells,) or (draws, cells). E[M | x, z̄] = p(γ + x z̄)/(px + q − 1) (eq. 5), which is
            affine in the total, so sums over customers need only the sum of their totals: w z̄ + (1 − w) μ with
            w = px/(px + q − 1) and the population mean μ = pγ/(q − 1). Where the data cannot know μ it is
            ``mean_spend``, and w = px/(px + max(q − 1, 0)), which is 1 for q ≤ 1: a repeat customer is then expected
            to spend her own average. The bare formula is infinite with x = 0 and q ≤ 1.
        """
        parameters = np.asarray(parameters, float)
        if observed:
            p, q, gamma = np.moveaxis(parameters, -1, 0)
            finite = np.maximum(q, 1 + NEXT_TO_ONE)
            seen = np.stack(
                [p, finite, observed["mean_spend"] * (finite - 1) / p], axis=-1
            )  # γ that makes it μ
            parameters = np.where(self.unknown_mean(parameters, observed)[..., None], seen, parameters)
        p, q, gamma = (v[..., None] for v in np.moveaxis(parameters, -1, 0))
        below = p * np.asarray(x, float) + q - 1.0
        with np.errstate(divide="ignore"):
            slope = np.where(below > 0, p / np.where(below > 0, below, 1.0), np.inf)
        return slope * gamma, slope

    def draw_mean_rate(self, parameters, x, total, rng) -> np.ndarray:
        """ν of each customer given x purchases that total ``total``: Gamma(q + px, γ + total)."""
        p, q, gamma = np.asarray(parameters, float)
        return rng.gamma(q + p * np.asarray(x), 1.0) / (gamma + np.asarray(total))

    def simulate_means(self, parameters, x, rng) -> np.ndarray:
        """Mean spend over ``x`` (customers,) purchases of new customers."""
        p, q, gamma = np.asarray(parameters, float)
        x = np.asarray(x)
        return rng.gamma(p * x, 1.0) / (rng.gamma(q, 1 / gamma, x.size) * x)


def _require_positive(label: str, x, spend, n) -> None:
    wrong = np.flatnonzero(~((x >= 1) & (spend > 0) & np.isfinite(spend)))
    if len(wrong):
        rows = [f"row {at}: {x[at]:g} purchases that total {spend[at]:g}" for at in wrong[:LISTED]]
        more = f" and {len(wrong) - LISTED:,} more" if len(wrong) > LISTED else ""
        raise FitError(
            f"{label} is a model of positive amounts; {n[wrong].sum():,.0f} customers have none ({'; '.join(rows)}{more})",
            fix="leave them out, as clvkit.spend.refused lists them, or take the means of segments",
        )


GAMMAGAMMA = GammaGamma()


class ByFrequency(GammaGamma):
    """Gamma-Gamma of amounts over (1 + x)^κ: mean spend per purchase grows with the number of repeat purchases x.

    With κ = 0 it is Gamma-Gamma itself. Parameters are positive throughout, so the fourth is exp(κ), and ``kappa`` its
    coordinate. A customer's level is that of the purchases seen so far and stays there: κ tells who spends more, not
    what a further purchase does to the next. Of customers without a repeat purchase no amount is seen; they are given
    the level of those with one, the nearest that are seen, and the curve is not carried on to 1 + 0.
    """

    name, label = "by_frequency", "Gamma-Gamma by frequency"
    source = "Fader & Hardie 2013, with a scale that depends on frequency"
    parameters = ("p", "q", "gamma", "exp_kappa")
    priors = GammaGamma.priors | {
        "log_typical_spend": Prior(
            0.0, 1.0, "log of the typical amount pγ/q over (1 + x)^κ, per median mean spend"
        ),
        "kappa": Prior(
            0.0, 0.5, "power of 1 + x that mean spend grows with; 0: it does not depend on frequency"
        ),
    }

    def unknown_mean(self, parameters, observed: dict[str, float]) -> np.ndarray:
        """As `GammaGamma.unknown_mean`, of a customer as frequent as those who were seen to buy again."""
        return GAMMAGAMMA.unknown_mean(_at(parameters, observed["log_frequency"]), observed)

    def expected_spend(self, parameters, x, observed: dict[str, float] | None = None):
        """As `GammaGamma.expected_spend`: E[M | x, S] = p ((1 + x)^κ γ + S)/(px + q − 1), affine in the total S.

        ``observed`` also holds ``log_frequency``, the mean of log(1 + x) over repeat customers, weighted with their
        average amounts: where the data cannot know the mean, what takes its place is ``mean_spend`` for such customers,
        and follows the curve for others.
        """
        seen = observed["log_frequency"] if observed else 0.0
        base, slope = GAMMAGAMMA.expected_spend(_at(parameters, seen), x, observed)
        kappa = np.log(np.asarray(parameters, float)[..., 3, None])
        return base * np.exp(kappa * (_log_level(x) - seen)), slope

    def draw_mean_rate(self, parameters, x, total, rng) -> np.ndarray:
        """The rate of each customer's amounts as they are: Gamma(q + px, (1 + x)^κ γ + total)."""
        p, q, gamma, growth = np.asarray(parameters, float)
        return rng.gamma(q + p * np.asarray(x), 1.0) / (gamma * growth ** _log_level(x) + np.asarray(total))

    def simulate_means(self, parameters, x, rng) -> np.ndarray:
        """Mean spend over ``x`` (customers,) purchases of new customers who bought so often."""
        parameters = np.asarray(parameters, float)
        return GAMMAGAMMA.simulate_means(parameters[:3], x, rng) * parameters[3] ** _log_level(x)


def _log_level(x) -> np.ndarray:
    """log(1 + x), and of customers without a repeat purchase that of those with one."""
    return np.log1p(np.maximum(np.asarray(x, float), 1.0))


def _at(parameters, log_level) -> np.ndarray:
    """Gamma-Gamma (…, 3) of amounts as they are at a level log(1 + x); 0: of the amounts over (1 + x)^κ."""
    p, q, gamma, growth = np.moveaxis(np.asarray(parameters, float), -1, 0)
    return np.stack([p, q, gamma * growth**log_level], axis=-1)


BY_FREQUENCY = ByFrequency()
