"""What a run was made with: code, lock file, interpreter, libraries."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import clvkit
from clvkit.store import sha256_file

#: Libraries whose version can change a number or a page.
LIBRARIES = (
    "arviz",
    "duckdb",
    "ibis-framework",
    "lifelines",
    "matplotlib",
    "nbclient",
    "nbconvert",
    "numba",
    "numpy",
    "nutpie",
    "pandas",
    "papermill",
    "pyarrow",
    "pydantic",
    "pymc",
    "pytensor",
    "scipy",
)


def describe(root: Path) -> dict[str, Any]:
    """Code commit and dirty flag, hash of the lock file, versions and machine, for the manifest.

    ``commit`` and ``dirty`` are None where the checkout has no git; ``lock_sha256`` where there is no lock.
    """
    lock = root / "requirements.lock"
    return {
        "code": {"version": clvkit.__version__, **_checkout(root)},
        "lock_sha256": sha256_file(lock) if lock.is_file() else None,
        "versions": {"python": platform.python_version(), **_installed(LIBRARIES)},
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "implementation": sys.implementation.name,
        },
    }


def seeds(resolved: dict[str, Any], at: str = "") -> dict[str, int]:
    """Every seed that the study fixes, by its dotted key."""
    found = {}
    for name, value in resolved.items():
        if isinstance(value, dict):
            found |= seeds(value, f"{at}{name}.")
        elif name == "seed":
            found[f"{at}{name}"] = value
    return found


def _checkout(root: Path) -> dict[str, Any]:
    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=30
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    changes = git("status", "--porcelain") if commit else None
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _installed(names: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
