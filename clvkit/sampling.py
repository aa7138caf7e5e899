"""Posterior sampling: the method that is affordable, and the diagnostics that judge it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from clvkit.laplace import importance
from clvkit.optimum import Peak
from clvkit.processes._posterior import Target, native_expand, native_logp
from clvkit.processes.base import Model, Prior

if TYPE_CHECKING:
    from clvkit.models_section import SamplerSection

COARSE_FROM = 20_000  # cells; with more, chains would take many minutes, and run on times rounded to weeks
_START_SPREAD = 1.5  # chains start this many posterior standard deviations apart, so that R-hat can tell


def sample_posterior(
    target: Target,
    mode: Peak,
    settings: "SamplerSection",
    *,
    cells: int,
    seed: int,
    coarse: Callable[[], Target | None],
) -> tuple[np.ndarray, str, dict]:
    """Draws of the coordinates by the method that the settings ask for, or that the number of cells affords.

    Importance sampling around the mode is taken only where its diagnostics accept it. Where they do not, the
    No-U-Turn sampler runs on the cells, or, from `COARSE_FROM` of them on, on cells ``coarse`` in time (None: there
    are none), and the diagnostics say so.

    Returns
    -------
    draws : (chains, draws, k); one chain of re-sampled draws for ``laplace``.
    method : ``nuts`` or ``laplace``.
    diagnostics : ``r_hat_max``, ``ess_min``, ``divergences``, ``pareto_k``, ``coarsened``.
    """
    diagnostics: dict = {"r_hat_max": None, "divergences": None, "pareto_k": None, "coarsened": False}
    if settings.method == "laplace" or (settings.method == "auto" and cells > settings.nuts_max_cells):
        weighted = importance(target, mode.eta, mode.root(), seed=seed)
        diagnostics |= {"ess_min": weighted.ess, "pareto_k": weighted.pareto_k}
        if weighted.good:
            rng = np.random.default_rng([seed, 1])
            return weighted.resample(len(weighted.eta), rng)[None], "laplace", diagnostics
        coarser = coarse() if cells > COARSE_FROM else None
        if coarser is not None:
            target, diagnostics["coarsened"] = coarser, True
    eta, divergences = nuts(
        target,
        mode.eta,
        mode.root(),
        draws=settings.draws,
        tune=settings.tune,
        chains=settings.chains,
        target_accept=settings.target_accept,
        seed=seed,
    )
    return eta, "nuts", diagnostics | diagnose(eta) | {"divergences": divergences}


def nuts(
    target: Target,
    centre: np.ndarray,
    root: np.ndarray,
    *,
    draws: int,
    tune: int,
    chains: int,
    target_accept: float,
    seed: int,
) -> tuple[np.ndarray, int]:
    """Sample ``target`` by the No-U-Turn sampler of nutpie, whitened by ``centre`` and ``root``.

    Parameters
    ----------
    centre, root : (k,) and (k, k); the sampler moves in ``z`` with ``η = centre + root @ z``. Any choice is
        valid, the mode and the Cholesky factor of the inverse curvature make it fast.

    Returns
    -------
    eta : (chains, draws, k) draws of the coordinates.
    divergences : number of divergent transitions after tuning.
    """
    import nutpie
    from nutpie.compile_pymc import CompiledPyMCModel

    size = len(centre)
    centre, root = np.ascontiguousarray(centre, float), np.ascontiguousarray(root, float)
    model = CompiledPyMCModel(
        dims={}, _coords={}, _shapes={"z": (size,)}, _n_dim=size, n_expanded=size,
        compiled_logp_func=native_logp, compiled_expand_func=native_expand, logp_func=None, expand_func=None,
        initial_point_func=lambda at: _START_SPREAD * np.random.default_rng(at).normal(size=size),
        shared_data={}, shared_var_keys={}, user_data=target.addresses(centre, root),
        shape_info=(["z"], None, [(size,)]), reparameterized_names=[],
    )  # fmt: skip
    trace = nutpie.sample(
        model,
        draws=draws,
        tune=tune,
        chains=chains,
        cores=min(chains, 2),
        seed=seed,
        target_accept=target_accept,
        progress_bar=False,
        save_warmup=False,
    )
    z = trace["posterior"]["z"].values
    return centre + z @ root.T, int(trace["sample_stats"]["diverging"].values.sum())


def diagnose(draws: np.ndarray) -> dict:
    """R-hat and effective sample sizes of (chains, draws, k), the worst ones (Vehtari et al. 2021).

    Chains that do not move have neither: then they are NaN, and no check passes.
    """
    import arviz as az

    ranks = [draws[..., k] for k in range(draws.shape[-1])]
    sizes = [float(az.ess(one, method="bulk")) for one in ranks]
    sizes += [float(az.ess(one, method="tail", prob=(0.05, 0.95))) for one in ranks]
    with np.errstate(invalid="ignore", divide="ignore"):
        return {"r_hat_max": float(np.max([az.rhat(one) for one in ranks])), "ess_min": float(np.min(sizes))}


def pymc_model(model: Model, priors: dict[str, Prior], F: np.ndarray, whole: np.ndarray):
    """The same posterior stated in PyMC: named coordinates and priors, the likelihood as one operation.

    For reading, checking and extending: `nuts` samples the identical log-density without the detour through a
    graph compiler, which would cost seconds at every start. A test holds the two together.
    """
    import pymc as pm
    import pytensor.tensor as pt
    from pytensor.graph.basic import Apply
    from pytensor.graph.op import Op

    target = model.target(F, whole, None)

    class LogLikelihood(Op):
        """Value and gradient of the native likelihood at the coordinates."""

        def make_node(self, eta):
            return Apply(self, [eta], [pt.dscalar(), pt.dvector()])

        def perform(self, node, inputs, outputs):
            value, gradient = target.value_and_gradient(inputs[0])
            outputs[0][0], outputs[1][0] = np.asarray(value), gradient

        def pullback(self, inputs, outputs, cotangents):
            return [cotangents[0] * outputs[1]]

    with pm.Model(coords={"coordinate": list(priors)}) as stated:
        coordinates = [pm.Normal(name, prior.mean, prior.sd) for name, prior in priors.items()]
        pm.Potential("log_likelihood", LogLikelihood()(pt.stack(coordinates))[0])
    return stated
