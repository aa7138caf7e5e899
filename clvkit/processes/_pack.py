"""Data of a likelihood as two flat arrays, so that one native signature serves every process.

``F`` holds the floats and ``I`` the integers; ``I`` begins with the offsets of both. A compiled
likelihood then takes ``(parameters, F, I, ...)``, whichever process it belongs to, and a sampler written
in another language can call it through two addresses.
"""

import hashlib
import shutil
from pathlib import Path

import numba
import numpy as np
from numba import njit


def _compiled_home(source: Path = Path(__file__).parent, kept: int = 3) -> str:
    """Where compiled code of exactly these sources is cached; older versions but a few are removed.

    The compiler's own cache looks at the file of a function and not at those of the functions it calls: a kernel that
    was changed would go on in its old form inside a caller that was not.
    """
    text = b"".join(path.read_bytes() for path in sorted(source.glob("*.py")))
    home = source / "__pycache__" / f"compiled-{hashlib.sha256(text).hexdigest()[:12]}"
    others = sorted(
        (one for one in home.parent.glob("compiled-*") if one != home), key=lambda one: one.stat().st_mtime
    )
    for one in others[: max(0, len(others) - kept)]:
        shutil.rmtree(one, ignore_errors=True)
    return str(home)


numba.config.CACHE_DIR = _compiled_home()


def pack(floats: list[np.ndarray], ints: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Lay ``floats`` and ``ints`` end to end; returns ``(F, I)`` to be read by `real` and `whole`."""
    head = len(floats) + len(ints) + 3
    offsets = [len(floats)]
    offsets += list(np.cumsum([0] + [len(f) for f in floats]))
    offsets += list(head + np.cumsum([0] + [len(i) for i in ints]))
    flat_floats = np.concatenate([np.asarray(f, float).ravel() for f in floats])
    flat_ints = np.concatenate([np.asarray(offsets, np.int64)] + [np.asarray(i, np.int64) for i in ints])
    return flat_floats, flat_ints


@njit(cache=True, inline="always")
def real(F, I, k):  # noqa: E741
    """Segment ``k`` of the floats, as a view."""
    return F[I[1 + k] : I[2 + k]]


@njit(cache=True, inline="always")
def whole(I, k):  # noqa: E741
    """Segment ``k`` of the integers, as a view."""
    at = I[0] + 2 + k
    return I[I[at] : I[at + 1]]


def inverse(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct ``values`` and the position of each value among them."""
    distinct, position = np.unique(np.asarray(values, float), return_inverse=True)
    return distinct, position.astype(np.int64)
