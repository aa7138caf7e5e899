"""The log-posterior as one native function, compiled once and cached on disk.

The sampler calls it by address, chains run in parallel and nothing is compiled at start-up. The point ``z``
it is asked for is whitened: coordinates ``η = centre + root @ z``, log-parameters by the process's own map,
and independent normal priors on ``η`` (flat where ``sd`` is not positive).
"""

from dataclasses import dataclass

import numpy as np
from numba import carray, cfunc, njit, types
from numba.extending import intrinsic

from clvkit.processes import (
    _betageo,
    _bgbb,
    _cnbd,
    _contract,
    _gammagamma,
    _paretonbd,
    _paretonbd_clock,
    _paretonbd_window,
)

KERNELS = {
    "betageo": 0,
    "paretonbd": 1,
    "gammagamma": 2,
    "paretonbd_window": 3,
    "cnbd": 4,
    "bgbb": 5,
    "paretonbd_clock": 6,
    "contract": 7,
}
_PRIOR, _BOUND = 0.5 * np.log(2 * np.pi), 80.0
_LOGP = types.int64(
    types.uint64, types.CPointer(types.double), types.CPointer(types.double), types.CPointer(types.double),
    types.voidptr,
)  # fmt: skip
_EXPAND = types.int64(
    types.uint64, types.uint64, types.CPointer(types.double), types.CPointer(types.double), types.voidptr
)
_NONE = np.empty(0)


@intrinsic
def _pointer(typing_context, address):
    """The whole number ``address`` as a pointer."""

    def codegen(context, builder, signature, arguments):
        from numba.core import cgutils

        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), codegen


@njit(cache=True, nogil=True, error_model="numpy")
def log_posterior(code, eta, F, I, mean, sd, gradient):  # noqa: E741
    """Log-prior plus log-likelihood at ``eta`` (k,); ``gradient`` (k,) receives the gradient in ``eta``."""
    size = eta.size
    logs, jacobian, slope = np.empty(size), np.empty((size, size)), np.empty(size)
    if code == 0:
        _betageo.coordinates_to_log(eta, logs, jacobian)
    elif code == 1 or code == 3 or code == 6:
        _paretonbd.coordinates_to_log(eta, logs, jacobian)
    elif code == 4:
        _cnbd.coordinates_to_log(eta, I, logs, jacobian)
    elif code == 5:
        _bgbb.coordinates_to_log(eta, logs, jacobian)
    elif code == 7:
        _contract.coordinates_to_log(eta, logs, jacobian)
    else:
        _gammagamma.coordinates_to_log(eta, logs, jacobian)
    for k in range(size):
        if not abs(logs[k]) < _BOUND:
            return -np.inf
    parameters = np.exp(logs)
    none = np.empty(0)
    if code == 0:
        value = _betageo.kernel(parameters, F, I, slope, none, none)
    elif code == 1:
        value = _paretonbd.kernel(parameters, F, I, slope, none, none)
    elif code == 3:
        value = _paretonbd_window.kernel(parameters, F, I, slope, none, none)
    elif code == 4:
        value = _cnbd.kernel(parameters, F, I, slope, none, none)
    elif code == 5:
        value = _bgbb.kernel(parameters, F, I, slope, none, none)
    elif code == 6:
        value = _paretonbd_clock.kernel(parameters, F, I, slope, none, none)
    elif code == 7:
        value = _contract.kernel(parameters, F, I, slope, none, none)
    else:
        value = _gammagamma.kernel(parameters, F, I, slope, none, none)
    for k in range(size):
        gradient[k] = 0.0
        for j in range(size):
            gradient[k] += slope[j] * jacobian[j, k]
        if sd[k] > 0.0:
            score = (eta[k] - mean[k]) / sd[k]
            gradient[k] -= score / sd[k]
            value -= 0.5 * score * score + np.log(sd[k]) + _PRIOR
    return value


@njit(cache=True, nogil=True, error_model="numpy")
def _log_posteriors(code, eta, F, I, at, mean, sd, values, gradients):  # noqa: E741
    """`log_posterior` of several data, laid end to end: those of g end at ``at[g + 1]`` (floats, whole numbers)."""
    for g in range(len(eta)):
        F_g, I_g = F[at[g, 0] : at[g + 1, 0]], I[at[g, 1] : at[g + 1, 1]]
        if I_g.size == 0:  # of nobody
            values[g], gradients[g, :] = 0.0, 0.0
            continue
        values[g] = log_posterior(code, eta[g], F_g, I_g, mean[g], sd[g], gradients[g])


@cfunc(_LOGP, cache=True)
def native_logp(size, z_, gradient_, value_, user_):
    """The log-posterior at the whitened point ``z_``, for the sampler; returns 0, or an error code."""
    carray(value_, 1)[0] = np.nan  # what the sampler sees should anything below go wrong
    user = carray(user_, 9, np.int64)
    z, out = carray(z_, size), carray(gradient_, size)
    F = carray(_pointer(user[1]), user[2], np.float64)
    whole = carray(_pointer(user[3]), user[4], np.int64)
    mean, sd = carray(_pointer(user[5]), size, np.float64), carray(_pointer(user[6]), size, np.float64)
    centre = carray(_pointer(user[7]), size, np.float64)
    root = carray(_pointer(user[8]), (size, size), np.float64)
    eta, gradient = np.empty(size), np.empty(size)
    for k in range(size):
        eta[k] = centre[k]
        for j in range(size):
            eta[k] += root[k, j] * z[j]
    value = log_posterior(user[0], eta, F, whole, mean, sd, gradient)
    if not np.isfinite(value):
        return 4
    for j in range(size):
        out[j] = 0.0
        for k in range(size):
            out[j] += root[k, j] * gradient[k]
        if not np.isfinite(out[j]):
            return 3
    carray(value_, 1)[0] = value
    return 0


@cfunc(_EXPAND, cache=True)
def native_expand(size, expanded, z_, out_, user_):
    """What the sampler stores of a draw: the whitened point itself."""
    z, out = carray(z_, size), carray(out_, expanded)
    for k in range(expanded):
        out[k] = z[k]
    return 0


@dataclass(frozen=True)
class Target:
    """Everything the native log-posterior reads, kept alive for as long as the sampler runs.

    Without data (``F`` and ``I`` empty) it is the log-likelihood of nobody, zero everywhere.
    """

    code: int
    F: np.ndarray
    I: np.ndarray  # noqa: E741
    mean: np.ndarray
    sd: np.ndarray

    def value_and_gradient(self, eta: np.ndarray) -> tuple[float, np.ndarray]:
        """Log-posterior and gradient at the coordinates ``eta`` (k,)."""
        gradient = np.zeros(len(eta))
        if not self.I.size:
            return 0.0, gradient
        value = log_posterior(self.code, np.asarray(eta, float), self.F, self.I, self.mean, self.sd, gradient)
        return value, gradient

    def addresses(self, centre: np.ndarray, root: np.ndarray) -> np.ndarray:
        """The record that `native_logp` receives; ``centre`` (k,) and ``root`` (k, k) must outlive it."""
        at = lambda array: array.ctypes.data  # noqa: E731
        return np.array([self.code, at(self.F), self.F.size, at(self.I), self.I.size, at(self.mean),
                         at(self.sd), at(centre), at(root)], np.int64)  # fmt: skip


class Targets:
    """Several targets of one process, evaluated in one native call so that chains in threads do not wait for each other."""

    def __init__(self, targets: "list[Target]"):
        self.code = targets[0].code
        self.F, self.I = (np.concatenate([getattr(one, name) for one in targets]) for name in "FI")
        sizes = np.array([(one.F.size, one.I.size) for one in targets], np.int64)
        self.at = np.concatenate([np.zeros((1, 2), np.int64), np.cumsum(sizes, axis=0)])
        self.mean, self.sd = (np.stack([getattr(one, name) for one in targets]) for name in ("mean", "sd"))

    def value_and_gradient(self, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log-posteriors (G,) and gradients (G, k) at the coordinates ``eta`` (G, k)."""
        values, gradients = np.empty(len(eta)), np.zeros(eta.shape)
        shared = self.F, self.I, self.at, self.mean, self.sd, values, gradients
        _log_posteriors(self.code, np.ascontiguousarray(eta), *shared)
        return values, gradients
