"""A results file: the machine, the versions and one record per measurement; read, added to, summed up."""

import hashlib
import json
import os
import platform
import subprocess
from datetime import date
from pathlib import Path
from statistics import median

from benchmarks.environments import HERE, requirements, versions
from benchmarks.plan import OURS, PEERS

FOLDER = HERE / "results"
SCHEMA = 1


def machine() -> dict:
    """Where it was measured, without anything that names the machine."""
    model = platform.processor() or platform.machine()
    memory = None
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)
    return {"processor": model, "cores": os.cpu_count(), "memory_gib": memory,
            "system": platform.system(), "python": platform.python_version()}  # fmt: skip


def our_versions() -> dict[str, str]:
    """The commit measured, and the packages the time is spent in."""
    from importlib.metadata import version

    packages = ("duckdb", "ibis-framework", "numba", "numpy", "nutpie", "pandas", "scipy")
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True, check=False
    )
    return {"commit": commit.stdout.strip() or "unknown"} | {name: version(name) for name in packages}


def mark(peer: str, data: Path) -> str:
    """What a measurement was made with: the company's folder, and the code of the one who was measured.

    What is measured again on other data, or after the code has changed, replaces what was there.
    """
    if peer == OURS:
        package = HERE.parent / "clvkit"
        files = sorted(
            path for path in package.rglob("*.py") if path.relative_to(package).parts[0] not in _WORDS
        )
    else:
        files = [requirements(peer)]
    code = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]
    return f"{data.name} {code}"


_WORDS = ("chapters", "publish", "cli.py")  # nothing that is measured is in them


def begin() -> dict:
    """A results file without measurements."""
    packages = {peer: our_versions() if peer == OURS else versions(peer) for peer in PEERS}
    return {"schema": SCHEMA, "machine": machine(), "versions": packages, "measurements": []}


def newest() -> Path:
    """The newest results file; FileNotFoundError where there is none."""
    files = sorted(FOLDER.glob("*.json"))
    if not files:
        raise FileNotFoundError(f"no results in {FOLDER.name}/; measure first: make bench")
    return files[-1]


def today() -> Path:
    """The results file of today."""
    return FOLDER / f"{date.today()}.json"


def load(path: Path) -> dict:
    """The results in ``path``, or a new file's."""
    return json.loads(path.read_text("utf-8")) if path.exists() else begin()


def save(path: Path, results: dict) -> None:
    """Write in one step: a run that is stopped leaves what it has measured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8")
    draft.replace(path)


def found(results: dict, work: str, peer: str, size: str) -> list[dict]:
    """The measurements of one work."""
    wanted = (work, peer, size)
    return [one for one in results["measurements"] if (one["work"], one["peer"], one["size"]) == wanted]


def replace(results: dict, work: str, peer: str, size: str, made: list[dict]) -> None:
    """Put ``made`` in the place of all measurements of one work."""
    gone = found(results, work, peer, size)
    results["measurements"] = [one for one in results["measurements"] if one not in gone] + made


def summed(results: dict, work: str, peer: str, size: str) -> dict | None:
    """The measurement with the median time, its repeats counted; a failure where there was one; else None."""
    all_of_it = found(results, work, peer, size)
    if not all_of_it:
        return None
    failed = [one for one in all_of_it if "failed" in one]
    if failed:
        return failed[-1]
    times = [one["seconds"] for one in all_of_it]
    again = [one["again_seconds"] for one in all_of_it if "again_seconds" in one]
    nearest = min(all_of_it, key=lambda one: abs(one["seconds"] - median(times)))
    return nearest | {
        "seconds": median(times),
        "again_seconds": median(again) if again else None,
        "peak_mb": max(one["peak_mb"] for one in all_of_it),
        "repeats": len(times),
        "spread": (min(times), max(times)),
    }


def ratio(results: dict, work: str, peer: str, size: str, key: str = "seconds") -> float | None:
    """The peer's median time over ours; None where one of the two has none.

    A peer's variant of a work (``fit_bgnbd_weighted``) is compared with the work itself.
    """
    ours, theirs = (
        summed(results, work.removesuffix("_weighted"), OURS, size),
        summed(results, work, peer, size),
    )
    if any(one is None or "failed" in one or one[key] is None for one in (ours, theirs)):
        return None
    return theirs[key] / ours[key]
