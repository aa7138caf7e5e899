"""Partial pooling: parameters of groups that come from a common normal distribution, sampled exactly.

Coordinates of group g are ``η_g ~ Normal(μ, diag(τ²))`` and its customers add the likelihood L_g(η_g). Gelman & Hill
(2007), ch. 11–13, is the field's account; τ has a half-normal prior (Gelman 2006, "Prior distributions for variance
parameters"), so that thin groups lean on the rest by as much as the data of all groups ask for.

Chains over all coordinates at once crawl where τ is small, and a step of theirs costs the likelihood of everybody, a
dozen times. Here each L_g has a quadratic stand-in ``L̃_g``, its expansion at the conditional mode. Under the stand-ins
everything but τ is normal, so that hyperparameters can be drawn in advance at no cost. A sweep then corrects for what the
stand-ins miss: short Hamiltonian moves for each group's coordinates and for μ, and Metropolis–Hastings for τ, each with the
coordinates carried along at the same place of their conditional distribution (a partially non-centred move:
Papaspiliopoulos, Roberts & Sköld 2007). Acceptance rests on how L_g/L̃_g changes, alone.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from clvkit.optimum import BOUND, hessian

if TYPE_CHECKING:
    from clvkit.processes._posterior import Target

LEAST_SPREAD, MOST_SPREAD = 1e-3, 5.0  # of τ: below, groups are alike to the third digit
_LEAP = 2.0  # by which a spread grows or falls at most between two expansions
_NEAR, _FARTHEST = (
    0.05,
    1.0,
)  # a step of Newton's method: so short it leaves the curvature as it was; the longest
_WORTH_THREADS = 100_000  # numbers in all targets
_VAGUE = 1e4  # standard deviation of the centre where no prior is asked for
_FREEDOM, _POOL, _STEPS = 5, 4_000, 60_000
_STEP, _LEAPS = 0.7, 3  # of the moves along the gradient, in conditional standard deviations
_LOCAL = 1.5  # size of local steps of the spreads, all together, in their standard deviations
_FLAT = 0.7  # power of the density that far proposals come from: what the stand-ins hold for rare is not ruled out


@dataclass(frozen=True)
class StandIns:
    """Quadratic expansions of the log-likelihoods of groups: ``log L̃_g(η) = constant + h'η − ½ η'Λη``.

    ``precision`` (G, k, k) is Λ, positive semi-definite; ``linear`` (G, k) is h; ``constant`` (G,); ``at`` (G, k) is
    where they were made.
    """

    precision: np.ndarray
    linear: np.ndarray
    constant: np.ndarray
    at: np.ndarray

    def value(self, eta: np.ndarray) -> np.ndarray:
        """Log L̃ of each group at ``eta`` (G, k): (G,)."""
        bent = np.einsum("gi,gij,gj->g", eta, self.precision, eta)
        return self.constant + np.sum(self.linear * eta, axis=1) - bent / 2

    def conditional(self, mu: np.ndarray, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean (G, k) and a root (G, k, k) of the covariance of each η_g given the hyperparameters."""
        inverse = np.diag(tau**-2.0)
        lower = np.linalg.cholesky(self.precision + inverse)
        root = np.linalg.inv(lower).transpose(0, 2, 1)
        mean = np.einsum("gij,gkj,gk->gi", root, root, self.linear + mu / tau**2)
        return mean, root


@dataclass(frozen=True)
class Hyper:
    """Normal priors of the centre μ, ``mean`` and ``sd`` (k,), and the scale (k,) of the half-normal prior of τ."""

    mean: np.ndarray
    sd: np.ndarray
    spread: np.ndarray


@dataclass(frozen=True)
class Pooled:
    """The estimate at the maximum of the marginal likelihood, the coordinates integrated out.

    ``centre``, ``spread`` (k,) are μ and τ, ``eta`` (G, k) the coordinates given them, ``log_likelihood`` the marginal one.
    """

    centre: np.ndarray
    spread: np.ndarray
    eta: np.ndarray
    log_likelihood: float
    stand_ins: StandIns


def estimate(targets: "list[Target]", start: np.ndarray, hyper: Hyper | None = None) -> Pooled:
    """Hyperparameters at the top of their marginal likelihood (Laplace's approximation), or posterior given ``hyper``.

    Parameters
    ----------
    targets : flat (without priors): the log-likelihood of each group.
    start : (k,) coordinates of everybody together.

    Notes
    -----
    Expansions and hyperparameters are made in turn until neither moves. A spread that the data put at nothing ends at
    `LEAST_SPREAD`: then all groups have the estimate of all.
    """
    centre, spread = start.copy(), np.full(len(start), 0.3)
    eta, bends = np.tile(start, (len(targets), 1)), None
    for _ in range(30):
        stand_ins = expand(targets, centre, spread, eta, bends)
        eta, bends = stand_ins.at, stand_ins.precision
        new_centre, new_spread = _top(stand_ins, hyper, spread, start)
        moved = np.abs(np.concatenate([new_centre - centre, np.log(new_spread / spread)])).max()
        centre, spread = new_centre, new_spread
        if moved < 1e-4:
            break
    stand_ins = expand(targets, centre, spread, eta)
    top, _, _ = _collapsed(np.log(spread), *_collapsing(stand_ins, hyper, start))
    return Pooled(centre, spread, stand_ins.at, float(stand_ins.constant.sum() + top), stand_ins)


def expand(
    targets: "list[Target]",
    centre: np.ndarray,
    spread: np.ndarray,
    start: np.ndarray,
    bends: np.ndarray | None = None,
) -> StandIns:
    """Stand-ins at the conditional mode of each group, found by Newton's method from ``start`` (G, k).

    ``bends`` (G, k, k) are precisions at ``start``, of an expansion there: where the mode is near they are good enough
    and save most of the passes over the data. Groups are expanded side by side.
    """
    known = [None] * len(targets) if bends is None else bends
    made = each_of(targets, lambda *of: _expanded(*of, centre, spread**-2.0), start, known)
    return StandIns(*(np.array(part) for part in zip(*made, strict=True)))


def each_of(targets: "list[Target]", work, *of) -> list:
    """``work`` on each target and its arguments; side by side where they hold so much that threads are worth it."""
    small = sum(np.size(getattr(target, "F", ())) for target in targets) < _WORTH_THREADS
    return (
        [work(*one) for one in zip(targets, *of, strict=True)] if small else side_by_side(work, targets, *of)
    )


def side_by_side(work, *of) -> list:
    """``work`` on each of the arguments, on all cores: likelihoods hold no lock."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(work, *of))


def _expanded(target: "Target", eta: np.ndarray, bend: np.ndarray | None, centre, inverse):
    """Precision, linear term and constant of one stand-in, and where it was made."""

    def penalty(at):
        return np.sum((at - centre) ** 2 * inverse) / 2

    def bent(at):
        return _positive(-hessian(lambda to: target.value_and_gradient(to)[1], at))

    def begin(at):
        value, gradient = target.value_and_gradient(at)
        return value, gradient, value - penalty(at)

    value, gradient, now = begin(eta)
    bend, bent_at = (bent(eta) if bend is None else bend), eta
    for _ in range(50):
        step = np.linalg.solve(bend + np.diag(inverse), gradient - (eta - centre) * inverse)
        if np.abs(step).max() < 1e-5:
            break
        # an expansion says nothing of places far away, where a likelihood may not even be one of floating-point numbers
        step *= min(1.0, _FARTHEST / np.abs(step).max())
        step = np.clip(eta + step, -BOUND, BOUND) - eta
        if np.abs(step).max() < 1e-5:
            break
        while True:
            there = begin(eta + step)
            if there[2] >= now - 1e-9 * abs(now) or np.abs(step).max() < 1e-6:
                break
            step /= 2
        eta, (value, gradient, now) = eta + step, there
        if np.abs(eta - bent_at).max() > _NEAR:
            bend, bent_at = bent(eta), eta
    linear = gradient + bend @ eta
    return bend, linear, value - linear @ eta + eta @ bend @ eta / 2, eta


def _positive(matrix: np.ndarray) -> np.ndarray:
    """The nearest matrix without a negative eigenvalue."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.maximum(values, 0.0)) @ vectors.T


def _collapsing(stand_ins: StandIns, hyper: Hyper | None, everybody: np.ndarray) -> tuple:
    """What `_collapsed` wants besides τ; without ``hyper`` for the marginal likelihood.

    A coordinate that no group knows anything of, as that of a dropout which never happened, has the centre that
    ``everybody`` together has.
    """
    k = len(everybody)
    flat = hyper or Hyper(everybody, np.full(k, _VAGUE), np.full(k, np.inf))
    return stand_ins.precision, stand_ins.linear, flat.mean, 1 / flat.sd**2, flat.spread, hyper is not None


def _top(
    stand_ins: StandIns, hyper: Hyper | None, start: np.ndarray, everybody: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """μ and τ at the top under the stand-ins, looked for around the spreads ``start``."""
    from scipy.optimize import minimize

    args = _collapsing(stand_ins, hyper, everybody)
    # Far from where they were made stand-ins mislead: after a leap of the spreads the next ones may be flat everywhere.
    near = [np.clip(start * leap, LEAST_SPREAD, MOST_SPREAD) for leap in (1 / _LEAP, _LEAP)]
    bounds = np.log(near).T
    tries = [
        minimize(lambda at: -_collapsed(at, *args)[0], np.clip(first, *bounds.T), bounds=bounds)
        for first in (np.log(start), np.full(len(start), np.log(0.3)))
    ]
    best = min(tries, key=lambda one: one.fun)
    _, centre, _ = _collapsed(best.x, *args)
    return centre, np.exp(best.x)


@njit(cache=True, error_model="numpy")
def _collapsed(log_tau, precision, linear, mean, weight, scale, integrated):
    """Log-density of log τ under the stand-ins, with μ at its best given τ, or ``integrated`` over.

    Returns it with the mean (k,) and the precision (k, k) of μ given τ. ``weight`` is the prior precision of μ (0: flat).
    """
    k = log_tau.size
    inverse = np.exp(-2.0 * log_tau)
    total = 0.0
    about, pull = np.diag(weight), weight * mean
    for g in range(len(linear)):
        lower = np.linalg.cholesky(precision[g] + np.diag(inverse))
        for j in range(k):
            total -= log_tau[j] + np.log(lower[j, j])
        solved = np.linalg.solve(lower, linear[g])
        total += 0.5 * np.sum(solved**2)
        # D − D P⁻¹ D without its cancellation: Λ P⁻¹ D
        rest = np.linalg.solve(lower.T, np.linalg.solve(lower, np.diag(inverse)))
        about += precision[g] @ rest
        pull += rest.T @ linear[g]
    about = (about + about.T) / 2
    centre = np.linalg.solve(about, pull)
    total += 0.5 * np.sum(pull * centre)
    if integrated:
        total -= 0.5 * np.log(np.linalg.det(about))
    for j in range(k):
        if scale[j] < np.inf:
            tau = np.exp(log_tau[j])
            total += log_tau[j] - 0.5 * (tau / scale[j]) ** 2
    return total, centre, about


@njit(cache=True, error_model="numpy")
def _walk(start, root, noise, uniform, low, high, power, precision, linear, mean, weight, scale):
    """A random walk over log τ under the stand-ins; returns (steps, k)."""
    out, at = np.empty(noise.shape), start.copy()
    here, _, _ = _collapsed(at, precision, linear, mean, weight, scale, True)
    for i in range(len(noise)):
        there = at + root @ noise[i]
        if there.min() > low and there.max() < high:
            value, _, _ = _collapsed(there, precision, linear, mean, weight, scale, True)
            if np.log(uniform[i]) < power * (value - here):
                at, here = there, value
        out[i] = at
    return out


def hyper_pool(stand_ins: StandIns, hyper: Hyper, top: np.ndarray, seed: int) -> np.ndarray:
    """Draws of (μ, log τ) from the density under the stand-ins to the power `_FLAT`: (`_POOL`, 2k).

    ``top`` (k,) is τ at the top, where the walk begins.
    """
    rng, size = np.random.default_rng([seed, 71]), len(top)
    args = (stand_ins.precision, stand_ins.linear, hyper.mean, 1 / hyper.sd**2, hyper.spread)
    start, low, high = np.log(top), np.log(LEAST_SPREAD), np.log(MOST_SPREAD)
    root = 0.5 * np.eye(size)
    for steps in (4_000, 8_000, _STEPS):  # the first two learn the shape
        noise = 2.4 / np.sqrt(size) * rng.standard_normal((steps, size))
        walk = _walk(start, root, noise, rng.random(steps), low, high, _FLAT, *args)
        root, start = np.linalg.cholesky(np.cov(walk[steps // 4 :].T) + 1e-6 * np.eye(size)), walk[-1]
    kept = walk[:: _STEPS // _POOL]
    out = np.empty((len(kept), 2 * size))
    for row, log_tau in zip(out, kept, strict=True):
        _, centre, about = _collapsed(log_tau, *args, True)
        row[:size] = centre + np.linalg.solve(np.linalg.cholesky(_FLAT * about).T, rng.standard_normal(size))
        row[size:] = log_tau
    return out


@njit(cache=True, error_model="numpy")
def _joint(mu, log_tau, precision, linear, mean, weight, scale):
    """Log-density of (μ, log τ) under the stand-ins, and in the pool of `hyper_pool`, but for constants."""
    total, centre, about = _collapsed(log_tau, precision, linear, mean, weight, scale, True)
    away, width = mu - centre, 0.5 * np.log(np.linalg.det(about))
    density = total - 0.5 * np.sum(away * (about @ away))
    return density + width, _FLAT * density + width


@dataclass(frozen=True)
class Sampled:
    """Draws: ``eta`` (chains, draws, G, k), ``centre`` and ``spread`` (chains, draws, k); shares of moves taken."""

    eta: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    accepted_groups: float
    accepted_hyper: float
    accepted_centre: float


def sample(
    targets: "list[Target]", found: Pooled, hyper: Hyper, *, draws: int, tune: int, chains: int, seed: int
) -> Sampled:
    """Sample the coordinates of all groups with their hyperparameters, by sweeps as the module says.

    ``found`` is `estimate` given ``hyper``. ``tune`` sweeps of each chain are left out. Each chain begins with a draw of
    its own under the stand-ins; chains run side by side.
    """
    pool = hyper_pool(found.stand_ins, hyper, found.spread, seed)
    shared = together(targets), found.stand_ins, hyper, pool, draws, tune
    made = side_by_side(lambda c: _chain(*shared, np.random.default_rng([seed, c])), range(chains))
    eta, mu, tau, *taken = (np.array(part) for part in zip(*made, strict=True))
    return Sampled(eta, mu, tau, *(float(one.mean()) for one in taken))


def together(targets: "list[Target]"):
    """A function of the coordinates (G, k) of all groups to their log-likelihoods (G,) and gradients (G, k)."""
    from clvkit.processes._posterior import Target, Targets

    if all(isinstance(one, Target) for one in targets):
        return Targets(targets).value_and_gradient

    def one_by_one(eta):
        made = [target.value_and_gradient(one) for target, one in zip(targets, eta, strict=True)]
        return np.array([value for value, _ in made]), np.array([gradient for _, gradient in made])

    return one_by_one


def _chain(exactly, stand_ins: StandIns, hyper: Hyper, pool: np.ndarray, draws: int, tune: int, rng):
    G, k = stand_ins.linear.shape
    args = (stand_ins.precision, stand_ins.linear, hyper.mean, 1 / hyper.sd**2, hyper.spread)
    local = _LOCAL * np.linalg.cholesky(np.cov(pool[:, k:].T).reshape(k, k) + 1e-9 * np.eye(k)) / np.sqrt(k)
    low, high = np.log(LEAST_SPREAD), np.log(MOST_SPREAD)

    def missed(eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log L_g − log L̃_g of each group, −inf where L_g cannot be had; and its gradient (G, k)."""
        exact, slope = exactly(eta)
        stands = stand_ins.linear - np.einsum("gij,gj->gi", stand_ins.precision, eta)
        return np.where(np.isfinite(exact), exact, -np.inf) - stand_ins.value(eta), slope - stands

    def placed(mu: np.ndarray, log_tau: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, ...]:
        """Means and roots of the groups given the hyperparameters, and the coordinates at the places ``z``."""
        mean, root = stand_ins.conditional(mu, np.exp(log_tau))
        return mean, root, mean + np.einsum("gij,gj->gi", root, z)

    start = pool[rng.integers(len(pool))]
    mu, log_tau, z = start[:k], start[k:], rng.standard_normal((G, k))
    mean, root, eta = placed(mu, log_tau, z)
    off, slope = missed(eta)
    kept, hypers = np.empty((draws, G, k)), np.empty((draws, 2 * k))
    taken, hyper_moves = np.zeros(2), 0
    for sweep in range(tune + draws):
        # each group's coordinates, along the gradient; now and then far off, from a heavy-tailed proposal
        if sweep % 5 == 4:
            there = rng.standard_normal((G, k)) / np.sqrt(rng.chisquare(_FREEDOM, (G, 1)) / _FREEDOM)
            moved = mean + np.einsum("gij,gj->gi", root, there)
            off_there, slope_there = missed(moved)
            gain = _light_over_heavy(there) - _light_over_heavy(z)
        else:
            speed, step = rng.standard_normal((G, k)), _STEP * rng.uniform(0.8, 1.2)
            gain = (np.sum(z**2, axis=1) + np.sum(speed**2, axis=1)) / 2
            there, slope_there = z, slope
            speed = speed + step / 2 * (np.einsum("gij,gi->gj", root, slope_there) - there)
            for leap in range(_LEAPS):
                there = there + step * speed
                moved = mean + np.einsum("gij,gj->gi", root, there)
                off_there, slope_there = missed(moved)
                last = step if leap < _LEAPS - 1 else step / 2
                speed = speed + last * (np.einsum("gij,gi->gj", root, slope_there) - there)
            gain = gain - (np.sum(there**2, axis=1) + np.sum(speed**2, axis=1)) / 2
        yes = np.log(rng.random(G)) < off_there - off + gain
        z, eta = np.where(yes[:, None], there, z), np.where(yes[:, None], moved, eta)
        off, slope = np.where(yes, off_there, off), np.where(yes[:, None], slope_there, slope)

        # the spreads by a step nearby, then all hyperparameters by one far off; every coordinate is carried along
        for far in (False, True):
            mu_there, log_there = mu, log_tau + local @ rng.standard_normal(k)
            if far:
                new = pool[rng.integers(len(pool))]
                mu_there, log_there = new[:k], new[k:]
            if not (log_there.min() > low and log_there.max() < high):
                continue
            here, here_pool = _joint(mu, log_tau, *args)
            that, that_pool = _joint(mu_there, log_there, *args)
            mean_there, root_there, moved = placed(mu_there, log_there, z)
            off_there, slope_there = missed(moved)
            gain = that - here - (that_pool - here_pool if far else 0.0)
            if np.log(rng.random()) < off_there.sum() - off.sum() + gain:
                mu, log_tau, mean, root, eta = mu_there, log_there, mean_there, root_there, moved
                off, slope = off_there, slope_there
                hyper_moves += sweep >= tune

        # the centres, along the gradient: what all groups share is where the stand-ins miss most together
        _, centre, about = _collapsed(log_tau, *args, True)
        whiten = np.linalg.inv(np.linalg.cholesky(about)).T
        carried = np.einsum("gij,glj->gil", root, root) * np.exp(-2 * log_tau)  # d η_g / d μ

        def uphill(at, slope, whiten=whiten, carried=carried):
            return whiten.T @ np.einsum("gij,gi->j", carried, slope) - at

        at = np.linalg.solve(whiten, mu - centre)
        speed = rng.standard_normal(k)
        energy = off.sum() - (at @ at + speed @ speed) / 2
        place, off_there, slope_there, step = at, off, slope, _STEP * rng.uniform(0.8, 1.2)
        speed = speed + step / 2 * uphill(place, slope_there)
        for leap in range(_LEAPS):
            place = place + step * speed
            mean_there = mean + np.einsum("gij,j->gi", carried, centre + whiten @ place - mu)
            moved = mean_there + (eta - mean)
            off_there, slope_there = missed(moved)
            speed = speed + (step if leap < _LEAPS - 1 else step / 2) * uphill(place, slope_there)
        climbed = np.log(rng.random()) < off_there.sum() - (place @ place + speed @ speed) / 2 - energy
        if climbed:
            mu, eta, mean, off, slope = centre + whiten @ place, moved, mean_there, off_there, slope_there
        if sweep >= tune:
            kept[sweep - tune], hypers[sweep - tune] = eta, np.concatenate([mu, log_tau])
            taken += yes.mean(), climbed
    return (
        kept,
        hypers[:, :k],
        np.exp(hypers[:, k:]),
        taken[0] / draws,
        hyper_moves / (2 * draws),
        taken[1] / draws,
    )


def _light_over_heavy(z: np.ndarray) -> np.ndarray:
    """Log of the standard normal density over the multivariate t's that proposals come from, but for a constant."""
    square, size = np.sum(z**2, axis=1), z.shape[1]
    return (_FREEDOM + size) / 2 * np.log1p(square / _FREEDOM) - square / 2
