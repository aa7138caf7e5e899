"""Do the intervals cover? `python -m benchmarks.coverage --process paretonbd --worlds 400 [--jobs 2] [--truth prior|cdnow]`.

Every world is one line of a file under benchmarks/.data/coverage; worlds that are there already are not done again, so
a run that was stopped goes on where it was. `--report` sums up what is there into benchmarks/coverage and
benchmarks/COVERAGE.md.
"""

import argparse
import json
import multiprocessing
import os
import sys
from pathlib import Path

from benchmarks import coverage_worlds as worlds

HERE = Path(__file__).parent
LINES = HERE / ".data" / "coverage"
# Worlds are small: several at once, each on one thread, take less time than threads that wait for each other.
ONE_THREAD = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "PYTHON_CPU_COUNT",
)


def attempted(examine, asked: tuple[str, str, int]) -> dict:
    """What came of one world, (kind, name, number); a fit that is refused is on record too."""
    import warnings

    import numpy as np

    from clvkit.errors import ClvError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            made = examine(*asked)
    except (ClvError, ArithmeticError, np.linalg.LinAlgError) as error:
        made = {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}
    return {"world": asked[2]} | made


def examine_missing(examined, path: Path, kind: str, name: str, wanted: int, jobs: int) -> None:
    """Add the worlds that ``path`` does not have to it, a line each; ``examined`` takes (kind, name, number)."""
    there = {one["world"] for one in load(path)}
    todo = [(kind, name, k) for k in range(wanted) if k not in there]
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs, initializer=single) as pool, path.open("a") as file:
        for done, one in enumerate(pool.imap_unordered(examined, todo), start=len(there) + 1):
            print(json.dumps(one, separators=(",", ":")), file=file, flush=True)
            if done % 20 == 0 or done == wanted:
                print(f"{kind} {name}: {done} of {wanted} worlds", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Examine the worlds asked for, or report on those that are there; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__.split("\n")[0])
    parser.add_argument("--process", choices=worlds.NAMES, default="paretonbd")
    parser.add_argument("--truth", choices=worlds.TRUTHS, default="prior")
    parser.add_argument("--worlds", type=int, default=400)
    parser.add_argument("--jobs", type=int, default=1, help="worlds examined at the same time")
    parser.add_argument("--report", action="store_true", help="sum up the worlds that were examined")
    options = parser.parse_args(arguments)
    if options.report:
        from benchmarks.coverage_report import report

        return report()
    path = lines_of(options.process, options.truth)
    there = {one["world"] for one in load(path)}
    todo = [(options.process, options.truth, k) for k in range(options.worlds) if k not in there]
    os.environ |= dict.fromkeys(ONE_THREAD, "1")
    context = multiprocessing.get_context("spawn")
    with context.Pool(options.jobs, initializer=single) as pool, path.open("a") as file:
        for done, one in enumerate(pool.imap_unordered(examined, todo), start=len(there) + 1):
            print(json.dumps(one, separators=(",", ":")), file=file, flush=True)
            if done % 20 == 0 or done == options.worlds:
                print(f"{options.process} {options.truth}: {done} of {options.worlds} worlds", flush=True)
    return 0


class InTurn:
    """Stands in for a pool of threads: one thing after the other."""

    def __init__(self, _workers: int):
        pass

    map = staticmethod(map)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def single() -> None:
    """Keep this process to one thread: thousands of likelihoods of a fifth of a millisecond need no pool."""
    from clvkit import laplace

    laplace.ThreadPoolExecutor = InTurn


def examined(asked: tuple[str, str, int]) -> dict:
    """What came of one world; a fit that is refused is on record too."""
    import warnings

    from clvkit.errors import ClvError

    process, truths, number = asked
    world = worlds.draw(process, truths, number)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", RuntimeWarning
            )  # dropout near nothing: the last purchase never comes
            made = worlds.examine(world, worlds.SEED + number)
    except (ClvError, ArithmeticError) as error:
        made = {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}
    return {"world": number} | made


def lines_of(process: str, truths: str) -> Path:
    """The file that the worlds of a process and kind of truth are written to."""
    LINES.mkdir(parents=True, exist_ok=True)
    return LINES / f"{process}-{truths}.jsonl"


def load(path: Path) -> list[dict]:
    """The worlds of a file in order; a last line that was cut off is left out, and cut off for good."""
    if not path.exists():
        return []
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole)
    return sorted((json.loads(line) for line in whole.splitlines()), key=lambda one: one["world"])


if __name__ == "__main__":
    sys.exit(main())
