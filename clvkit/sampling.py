"""Posterior sampling: NUTS on the native log-posterior, and the diagnostics that judge it."""

import numpy as np

from clvkit.errors import FitError
from clvkit.processes._posterior import Target, native_expand, native_logp
from clvkit.processes.base import Model, Prior

_START_SPREAD = 1.5  # chains start this many posterior standard deviations apart, so that R-hat can tell


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
    """R-hat and effective sample sizes of (chains, draws, k), the worst ones (Vehtari et al. 2021)."""
    import arviz as az

    ranks = [draws[..., k] for k in range(draws.shape[-1])]
    sizes = [float(az.ess(one, method="bulk")) for one in ranks]
    sizes += [float(az.ess(one, method="tail", prob=(0.05, 0.95))) for one in ranks]
    return {"r_hat_max": max(float(az.rhat(one)) for one in ranks), "ess_min": min(sizes)}


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


def require_finite(draws: np.ndarray, label: str) -> None:
    """Raise `FitError` where a posterior holds values that are not numbers."""
    if not np.all(np.isfinite(draws)):
        raise FitError(
            f"the posterior of {label} holds values that are not finite",
            fix="look at the priors in models.priors and at the cells the model was fitted to",
        )
