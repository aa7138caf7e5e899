"""sBG and BdW: contracts that can be left at discrete times, each with a churn probability of its own.

Fader & Hardie (2007), "How to Project Customer Retention", Journal of Interactive Marketing 21(1); Fader, Hardie, Liu,
Davin & Steenburgh (2018), "'How to Project Customer Retention' Revisited: The Role of Duration Dependence", Journal of
Interactive Marketing 43; for values Fader & Hardie (2010), "Customer-Base Valuation in a Contractual Setting: The Perils
of Ignoring Heterogeneity", Marketing Science 29(1).

Time is counted in **renewals made**. A contract begins with its first period, which everybody has. With ``renewals`` m it
is in period m + 1; if it ``ended``, it was cancelled at renewal m + 1, which is the event T = m + 1 of the papers. S(t) is
the probability that renewal t is made, S(0) = 1. Observation that began ``entry`` renewals after the start says nothing of
those, so its likelihood is conditional on S(entry).
"""

import numpy as np

from clvkit.errors import FitError
from clvkit.processes import _contract
from clvkit.processes._contract_sums import log_stay, renewal_sums
from clvkit.processes.base import Model, Prior


class Contract(Model):
    """Renewals of contracts; parameters are ``(k,)`` or ``(draws, k)``, results gain their leading axis.

    Counts of renewals are whole numbers, scalar or ``(contracts,)``; a period is the time from one renewal to the next.
    """

    kernel = "contract"
    scale_parameters = frozenset()  # periods are counted, not measured
    priors = {
        "logit_mean_churn": Prior(
            -1.5,
            1.5,
            "logit of the mean churn probability at the first renewal, first parameter over the sum",
        ),
        "log_concentration": Prior(
            1.0, 1.5, "log of the sum of the two parameters: how alike churn probabilities are"
        ),
    }

    def prepare(self, renewals, ended, entry, n):
        """Pack cells for the likelihood kernel; FitError where a contract cannot have such a history."""
        require_possible(self.label, renewals, ended, entry, n)
        return _contract.prepare(renewals, ended, entry, n)

    def evaluate(self, parameters, F, whole, gradient, alive, cell):
        """The compiled likelihood."""
        return _contract.kernel(parameters, F, whole, gradient, alive, cell)

    def coordinates(self, parameters):
        """Parameters to the coordinates of the priors."""
        return _contract.log_to_coordinates(np.log(parameters))

    def from_coordinates(self, eta):
        """Coordinates of the priors to parameters."""
        churn, alike, *log_c = np.moveaxis(np.asarray(eta, float), -1, 0)
        logs = [alike - np.logaddexp(0, -churn), alike - np.logaddexp(0, churn), *log_c]
        return np.exp(np.stack(logs, axis=-1))

    def cell_log_likelihood(self, parameters, renewals, ended, entry=0) -> np.ndarray:
        """Log-likelihood of one contract of each cell: log of P(T = m + 1) or S(m), over S(entry)."""
        columns = np.broadcast_arrays(*(np.atleast_1d(column) for column in (renewals, ended, entry)))
        F, whole = self.prepare(*columns, np.ones(columns[0].size))
        draws = np.atleast_2d(np.asarray(parameters, float))
        out, none, gradient = np.empty((len(draws), columns[0].size)), np.empty(0), np.empty(draws.shape[1])
        for row, one in zip(out, draws, strict=True):
            self.evaluate(one, F, whole, gradient, none, row)
        return out[0] if np.ndim(parameters) == 1 else out

    def log_likelihood(self, parameters, renewals, ended, entry=0, n=None) -> float:
        """Log-likelihood of all cells, each with count ``n`` (default 1)."""
        each = self.cell_log_likelihood(parameters, renewals, ended, entry)
        return float(each.sum() if n is None else np.asarray(n, float) @ each)

    def survival(self, parameters, t, entry=0) -> np.ndarray:
        """S(t)/S(entry): the share that makes renewal ``t`` of the contracts that made renewal ``entry``.

        Fader & Hardie (2007), eq. 6, and Fader et al. (2018), eq. 3. It is 1 for t up to ``entry``.
        """
        draws, t, entry = self._three(parameters), _whole("t", t), _whole("entry", entry)
        shape, (t, entry) = np.broadcast_shapes(t.shape, entry.shape), np.broadcast_arrays(t, entry)
        out = np.exp(log_stay(draws, entry.ravel(), (t - entry).ravel(), 1.0))
        return _shaped(out, parameters, shape)

    def retention(self, parameters, t) -> np.ndarray:
        """r(t) = S(t)/S(t−1): the share that makes renewal ``t`` ≥ 1 of those that could (2007, eq. 8)."""
        t = _whole("t", t)
        if (t < 1).any():
            raise ValueError("the first renewal is number 1, so there is no rate of retention at renewal 0")
        return self.survival(parameters, t, t - 1)

    def lifetime(self, parameters, discount_per_period, horizon=np.inf) -> np.ndarray:
        """DEL, discounted expected lifetime of a new contract in periods, its first included: scalar or (draws,).

        Σ_{t=0}^{H−1} S(t)/(1+d)^t, the first period in full (2010, eq. 5); ``horizon`` H counts periods.
        """
        later = self.derl(parameters, 0, discount_per_period, np.maximum(horizon - 1, 0))
        first = 1.0 if horizon >= 1 else 0.0
        return first + later / (1 + discount_per_period)

    def derl(self, parameters, renewals, discount_per_period, horizon=np.inf, hazard=1.0) -> np.ndarray:
        """DERL, discounted expected residual lifetime in periods of contracts that stand before a renewal.

        Parameters
        ----------
        renewals : m, renewals made so far; the contract is still active.
        discount_per_period : effective rate d of a period (0.1 is 10 %); 0 is allowed.
        horizon : number of renewals counted, the one at hand being the first; ``inf`` where d ≥ 0.
        hazard : multiplies everybody's −log(1−θ) from the renewal at hand on, so that who left with probability θ leaves
            with 1 − (1−θ)^hazard. What is known of θ, Beta(γ, δ + m^c), stays as the past has left it.

        Returns
        -------
        Σ_{k=1}^{H} S(m+k)/S(m) / (1+d)^{k−1}: the renewal at hand counts in full if it is made, as if it were due now, and
        the period that is running does not count (2010, eq. 6, whose n is m + 1). A renewal that is due a fraction f of
        a period from now is worth (1+d)^−f of it. Infinite where the sum is.
        """
        return self._sums(parameters, renewals, discount_per_period, horizon, hazard)[..., 0]

    def retention_elasticity(self, parameters, renewals, discount_per_period, horizon=np.inf) -> np.ndarray:
        """Per cent by which `derl` grows with 1 % more retention, at every renewal and of every contract.

        With everybody's (1−θ) up by a share ε the chance of k renewals is up by kε, so it is Σ k f(k) / Σ f(k) over the
        terms f of `derl`; for sBG without a horizon ₂F₁(2, β+n; α+β+n; v)/₂F₁(1, β+n; α+β+n; v) with n = m + 1 and
        v = 1/(1+d). Of contracts that are all alike it is (1+d)/(1+d−r).
        """
        plain, weighted = np.moveaxis(self._sums(parameters, renewals, discount_per_period, horizon), -1, 0)
        with np.errstate(invalid="ignore"):
            return np.where(np.isinf(weighted), np.inf, weighted / plain)

    def simulate(self, parameters, periods, rng) -> tuple[np.ndarray, np.ndarray]:
        """New contracts followed over ``periods`` (contracts,) renewals: renewals made, and whether they ended."""
        return self.simulate_future(parameters, np.zeros(np.shape(periods), np.int64), periods, rng)

    def simulate_future(self, parameters, renewals, periods, rng, hazard=1.0):
        """Active contracts with ``renewals`` (contracts,) followed over ``periods`` further ones.

        Returns
        -------
        made, ended : (contracts,) further renewals made, and whether the contract was then cancelled.
        """
        gamma, delta, c = self._three(parameters)[0]
        made, most = np.broadcast_arrays(_whole("renewals", renewals), _whole("periods", periods))
        past = made**c
        with np.errstate(divide="ignore", over="ignore"):
            # renewal m + k is made while (1−θ)^(hazard·((m+k)^c − m^c)) exceeds a uniform number
            lives = rng.standard_exponential(made.shape) / (
                -hazard * np.log1p(-rng.beta(gamma, delta + past))
            )
            reached = made + lives if c == 1 else (past + lives) ** (1 / c)
        more = np.clip(np.floor(reached) - made, 0, most).astype(np.int64)
        return more, more < most

    def _three(self, parameters) -> np.ndarray:
        """Parameters as (draws, 3), c = 1 where the model has none."""
        draws = np.atleast_2d(np.asarray(parameters, float))
        return np.ascontiguousarray(np.column_stack([draws, np.ones(len(draws))])[:, :3])

    def _sums(self, parameters, renewals, discount, horizon, hazard=1.0) -> np.ndarray:
        horizon = float(horizon) if np.isinf(horizon) else float(_whole("horizon", horizon))
        if discount <= -1 or (discount < 0 and np.isinf(horizon)):
            raise ValueError(f"without a horizon the rate of discount must be 0 or more (got {discount:g})")
        if not 0 < hazard < np.inf:
            raise ValueError(f"a multiplier of the hazard must be positive and finite (got {hazard:g})")
        made = _whole("renewals", renewals)
        distinct, where = np.unique(made, return_inverse=True)
        sums = renewal_sums(
            self._three(parameters), distinct, horizon, -np.log1p(float(discount)), float(hazard)
        )
        return _shaped(sums[:, where.ravel()], parameters, (*made.shape, 2))


class ShiftedBetaGeometric(Contract):
    """sBG: the churn probability of a contract, ~ Beta(α, β), is the same at each of its renewals."""

    name, label, source = "sbg", "sBG", "Fader & Hardie 2007"
    parameters = ("alpha", "beta")


class BetaDiscreteWeibull(Contract):
    """BdW: the churn probability at the first renewal is Beta(γ, δ); of one contract it rises later if c > 1, falls if c < 1."""

    name, label, source = "bdw", "BdW", "Fader, Hardie, Liu, Davin & Steenburgh 2018"
    parameters = ("gamma", "delta", "c")
    priors = Contract.priors | {
        "log_c": Prior(
            0.0, 0.5, "log of c: above 0, a contract is the likelier to end the longer it runs; 0 is sBG"
        )
    }


def require_possible(label: str, renewals, ended, entry, n) -> None:
    """Refuse histories that no contract can have.

    Raises
    ------
    FitError : renewals that are not whole numbers, fewer of them than at entry, an end that is neither true nor false, or
        a negative count.
    """
    renewals, entry, n = (np.asarray(column, float) for column in (renewals, entry, n))
    ended = np.asarray(ended)
    known = np.isin(ended, (0, 1))
    rules = {
        "renewals are counted, so they must be whole numbers of 0 or more": _counted(renewals),
        "entry is a count of renewals, so it must be a whole number of 0 or more": _counted(entry),
        "a contract seen from entry on has made at least as many renewals by the end": renewals >= entry,
        "ended must be true or false": known,
        "n counts contracts, so it must be 0 or more and finite": (n >= 0) & (n < np.inf),
    }
    for rule, kept in rules.items():
        if not np.all(kept):
            at = int(np.argmin(kept))
            raise FitError(
                f"{label} cannot be fitted: {rule} (row {at}: renewals {renewals[at]:g}, ended {ended[at]}, entry "
                f"{entry[at]:g}, n {n[at]:g}; {np.size(kept) - np.count_nonzero(kept)} such rows)",
                fix="count completed renewals: 0 in the first period, and entry those made before observation began",
            )


def _counted(values: np.ndarray) -> np.ndarray:
    return (values >= 0) & (values < np.inf) & (values == np.floor(values))


def _whole(name: str, values) -> np.ndarray:
    """Counts as floats; ValueError where they are none."""
    values = np.asarray(values, float)
    if not np.all(_counted(values)):
        raise ValueError(f"{name} must be whole numbers of 0 or more (got {values})")
    return values


def _shaped(out: np.ndarray, parameters, shape: tuple[int, ...]):
    """``out`` (draws, …) as (…) or (draws, …) with the rest in ``shape``."""
    out = out.reshape(len(out), *shape)
    return out[0] if np.ndim(parameters) == 1 else out


SBG, BDW = ShiftedBetaGeometric(), BetaDiscreteWeibull()
