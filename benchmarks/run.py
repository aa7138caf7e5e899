"""Measure: `python -m benchmarks.run [--sizes cdnow,100k,1m] [--work …] [--peers …] [--repeats 3] [--long]`.

Every measurement is a fresh process in its peer's environment. Each is written to the results file at once, and what
is there already is not measured again: a run that was stopped goes on where it was.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from benchmarks import environments, results, worlds
from benchmarks.plan import DEFAULT_SIZES, OURS, PEERS, SIZES, WORKS, Work, plan

ENOUGH_SECONDS = 60  # repeats stop once this much time was measured: a long run varies little
MEASURE = environments.HERE / "workers" / "measure.py"


def main(arguments: list[str] | None = None) -> int:
    """Measure what is asked for and print ratios; returns the exit code."""
    options = _parser().parse_args(arguments)
    path = options.into or results.today()
    kept = results.load(path)
    if kept["machine"] != results.machine():
        print(f"{path.name} was measured on another machine; use another file: --into FILE", file=sys.stderr)
        return 2
    kept["versions"][OURS] = results.our_versions()
    todo = plan(options.work, options.peers, options.sizes, options.long)
    refused = set()
    for peer in {peer for _, peer, _ in todo}:
        try:
            environments.ready(peer)
        except subprocess.CalledProcessError as error:
            print(f"{peer} cannot be installed and is left out: {error}", file=sys.stderr)
            refused.add(peer)
    for work, peer, size in todo:
        if peer not in refused:
            _measure(work, peer, size, kept, path, options)
    print_ratios(kept, todo)
    return 0


def _measure(work: Work, peer: str, size: str, kept: dict, path: Path, options) -> None:
    """One work of one peer, as often as asked for, each time in a new process."""
    mark = results.mark(peer, worlds.folder(work.world, size, options.data))
    made = [
        one for one in results.found(kept, work.name, peer, size) if one["mark"] == mark and not options.again
    ]
    while len(made) < options.repeats:
        if any("failed" in one for one in made) or sum(one["seconds"] for one in made) > ENOUGH_SECONDS:
            return
        files = prepared(work, size, options.data)
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        said = in_process(job_of(work.name, peer, size, files, options.memory_gb), options.limit)
        if work.model and "parameters" in said:
            said["judged"] = _judged(work.model, said["parameters"], size, files, options)
        one = {"work": work.name, "peer": peer, "size": size, "mark": mark, "load": load} | said
        made.append(one)
        results.replace(kept, work.name, peer, size, made)
        results.save(path, kept)
        print(_line(one), flush=True)


def prepared(work: Work, size: str, data: Path) -> dict[str, str]:
    """The files of a company that the work needs, made in another process where they are missing."""
    missing = [need for need in work.needs if not worlds.is_there(work.world, size, need, data)]
    if missing:
        print(f"making {', '.join(missing)} of {work.world} {size}", flush=True)
        command = [sys.executable, "-m", "benchmarks.worlds", str(data), work.world, size, *missing]
        subprocess.run(command, cwd=environments.HERE.parent, check=True)
    folder = worlds.folder(work.world, size, data).resolve()
    names = ("log.parquet", "log.csv", "cells.parquet", "spend_cells.parquet", "score_cells.parquet",
             "summary.parquet", "parameters.json", "draws.npz")  # fmt: skip
    return {name: str(folder / name) for name in names}


def job_of(work: str, peer: str, size: str, files: dict[str, str], memory_gb: float, **more) -> dict:
    """What a worker is told."""
    script = MEASURE.with_name(peer.replace("-", "_") + ".py")
    checkout = str(environments.HERE.parent) if peer == OURS else None
    return {"work": work, "peer": peer, "script": str(script), "as_of": worlds.as_of(size).isoformat(),
            "files": files, "memory_gb": memory_gb, "checkout": checkout} | more  # fmt: skip


def in_process(job: dict, limit: float) -> dict:
    """What a worker says of its job; what kept it from saying anything, where it did not."""
    command = [str(environments.python_of(job["peer"])), "-I", str(MEASURE), json.dumps(job)]
    worker = subprocess.Popen(
        command, cwd=environments.VENVS if environments.VENVS.exists() else None, env=environments.environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        answer, noise = worker.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.communicate()
        return {"failed": f"not finished after {limit:g} s"}
    except BaseException:
        os.killpg(worker.pid, signal.SIGKILL)
        raise
    if answer.strip():
        said = json.loads(answer)
        if "failed" in said:
            print(noise[-3000:], file=sys.stderr)
        return said
    ended = f"signal {-worker.returncode}" if worker.returncode < 0 else f"exit code {worker.returncode}"
    last = (noise.strip().splitlines() or [""])[-1]
    return {"failed": f"ended by {ended}: {last[:300]}"}


def _judged(model: str, parameters: dict, size: str, files: dict[str, str], options) -> float | None:
    """The log-likelihood of the parameters by one likelihood for everyone's."""
    job = job_of("judge", OURS, size, files, options.memory_gb, model=model, parameters=parameters)
    return in_process(job, options.limit).get("log_likelihood")


def _line(one: dict) -> str:
    outcome = one.get("failed") or f"{one['seconds']:9.3f} s  {one['peak_mb']:8.0f} MB"
    return f"{one['size']:>6}  {one['work']:<24} {one['peer']:<16} {outcome}"


def print_ratios(kept: dict, todo: list) -> None:
    """Each peer's time over ours, a line per work and size."""
    print("\ntimes as long as the workbench takes")
    for work, size in dict.fromkeys((work.name, size) for work, _, size in todo):
        ratios = {peer: results.ratio(kept, work, peer, size) for peer in PEERS if peer != OURS}
        said = [f"{peer} {times:.1f}" for peer, times in ratios.items() if times is not None]
        if said:
            print(f"{size:>6}  {work:<24} {'   '.join(said)}")


def _parser() -> argparse.ArgumentParser:
    def several(allowed):
        def chosen(text: str) -> list[str]:
            names = [name.strip() for name in text.split(",") if name.strip()]
            unknown = sorted(set(names) - set(allowed))
            if unknown:
                raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of {', '.join(allowed)}")
            return names

        return chosen

    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--sizes", type=several(SIZES), default=list(DEFAULT_SIZES), help="of " + ",".join(SIZES)
    )
    parser.add_argument("--work", type=several(WORKS), default=list(WORKS), help="of " + ",".join(WORKS))
    parser.add_argument("--peers", type=several(PEERS), default=list(PEERS), help="of " + ",".join(PEERS))
    parser.add_argument("--repeats", type=int, default=3, help="processes per measurement (3)")
    parser.add_argument("--limit", type=float, default=900, help="seconds before one is stopped (900)")
    parser.add_argument("--memory-gb", type=float, default=16, help="memory before one fails (16)")
    parser.add_argument("--long", action="store_true", help="also what takes a peer many minutes")
    parser.add_argument("--again", action="store_true", help="measure anew what the file has already")
    parser.add_argument("--data", type=Path, default=worlds.DATA, help="where the order logs are kept")
    parser.add_argument("--into", type=Path, help="results file to go on with (today's)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
