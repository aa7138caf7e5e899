"""What knowing more costs: `python -m benchmarks.refinements [--work posterior_50,point_20]`.

Fits by segment and on a clock, each in a fresh process: a posterior of 50 segments of CDNOW's size, and point fits of a
million customers in 20 segments on a clock of weeks.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from benchmarks import results, tables
from benchmarks.big import peak_gb
from benchmarks.environments import HERE
from benchmarks.report import README, fill
from benchmarks.worlds import PARAMETERS, SEED

FOLDER, DAYS, AS_OF = HERE / "refinements", 730, date(2023, 12, 31)
CDNOW = (189, 274)  # days since the first purchase, as in its calibration
SPREAD = (0.3, 0.1, 0.2, 0.1)  # of the segments' coordinates: rates a third apart


@dataclass(frozen=True)
class Work:
    """One fit: of which process, how many segments of how many customers, on a clock, with a posterior."""

    process: str
    segments: int
    customers: int
    clock: bool
    sample: bool
    label: str


WORKS = {
    "posterior_50_bgnbd": Work("bgnbd", 50, 2_357, False, True, "BG/NBD, posterior by segment"),
    "posterior_50_paretonbd": Work("paretonbd", 50, 2_357, False, True, "Pareto/NBD, posterior by segment"),
    "point_20_bgnbd": Work("bgnbd", 20, 50_000, True, False, "BG/NBD, point fit by segment, clock of weeks"),
    "point_20_paretonbd": Work(
        "paretonbd", 20, 50_000, True, False, "Pareto/NBD, point fit by segment, clock of weeks"
    ),
    "point_1_paretonbd": Work(
        "paretonbd", 1, 1_000_000, True, False, "Pareto/NBD, point fit of all, clock of weeks"
    ),
}


def weekly_clock():
    """A clock whose speed changes every week: a season, with weeks that differ by chance."""
    from clvkit.clock import Clock

    rng = np.random.default_rng(SEED)
    week = np.arange(DAYS + 2) // 7
    season = 1 + 0.4 * np.cos(2 * np.pi * 7 * week / 365.25)
    speed = season * np.exp(0.15 * rng.standard_normal(week[-1] + 1))[week]
    return Clock.of_days(AS_OF, AS_OF - timedelta(days=DAYS), speed / speed.mean())


def cells_of(work: Work, clock):
    """Customers of each segment as cells of whole days; lifetimes on the clock too, which speed does not depend on."""
    import pandas as pd

    from clvkit import processes

    rng, model = np.random.default_rng([SEED, work.segments]), processes.get(work.process)
    centre, parts = model.coordinates(np.array(PARAMETERS[work.process])), []
    for segment in range(work.segments):
        eta = centre + np.array(SPREAD) * rng.standard_normal(4) * (work.segments > 1)
        born = -rng.integers(*((1, DAYS) if work.clock else CDNOW), work.customers).astype(float)
        age = -born if clock is None else -clock.reading(born)
        drawn = model.simulate(model.from_coordinates(eta), age / 7, rng)
        passed = 7 * drawn.time
        if clock is not None:
            passed = clock.moment(clock.reading(born)[drawn.customer] + passed) - born[drawn.customer]
        day = np.maximum(np.ceil(passed), 1)
        once = pd.DataFrame({"who": drawn.customer, "day": day}).drop_duplicates()
        last = once.groupby("who")["day"].max().reindex(range(work.customers), fill_value=0)
        frame = pd.DataFrame({"frequency": np.bincount(once["who"], minlength=work.customers),
                              "recency_days": np.minimum(last.to_numpy(), -born), "T_days": -born})  # fmt: skip
        keys = ["frequency", "recency_days", "T_days"]
        parts.append(
            frame.groupby(keys, as_index=False)
            .size()
            .rename(columns={"size": "n"})
            .assign(segment=f"s{segment:02d}")
        )
    return pd.concat(parts, ignore_index=True)


def measured(name: str) -> dict:
    """One work of this process."""
    from clvkit.fitting import fit_process
    from clvkit.models_section import ModelsSection
    from clvkit.segments import fit_process_by_segment

    work, models = WORKS[name], ModelsSection()
    clock = weekly_clock() if work.clock else None
    cells = cells_of(work, clock)
    fit_by = fit_process_by_segment if work.segments > 1 else fit_process
    few = cells.groupby("segment").sample(60, random_state=SEED)
    fit_by(work.process, few, models, sample=False, clock=clock)  # compiled code is loaded
    began = time.perf_counter()
    fit = fit_by(work.process, cells, models, sample=work.sample, clock=clock)
    made = {"seconds": time.perf_counter() - began, "peak_gb": peak_gb(), "cells": len(cells)}
    return made | {"customers": int(cells["n"].sum())} | {
        key: fit.diagnostics.get(key) for key in ("r_hat_max", "ess_min")
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Measure what is asked for and keep it; ``--inside`` is the process that is measured."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", default=",".join(WORKS), help=f"of {', '.join(WORKS)}")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--inside", metavar="WORK", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside:
        print(json.dumps(measured(options.inside)))
        return 0
    path = FOLDER / f"{date.today()}.json"
    found = json.loads(path.read_text("utf-8")) if path.exists() else {}
    found |= {"machine": results.machine(), "versions": results.our_versions()}
    for name in options.work.split(","):
        command = [sys.executable, "-m", "benchmarks.refinements", "--inside", name]
        found[name] = []
        for _ in range(options.repeats):
            said = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            found[name].append(json.loads(said.stdout))
            print(f"{name:24} {found[name][-1]}", flush=True)
            FOLDER.mkdir(exist_ok=True)
            path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    fill(README, "refinements", section(found))
    return 0


def section(found: dict) -> str:
    """What was measured, as Markdown."""
    rows, where = [], found["machine"]
    for name, work in WORKS.items():
        if name in found:
            made = sorted(found[name], key=lambda one: one["seconds"])[len(found[name]) // 2]
            judged = (
                ""
                if made["ess_min"] is None
                else f"R-hat {made['r_hat_max']:.3f}, ESS {made['ess_min']:,.0f}"
            )
            rows.append([work.label, str(work.segments), f"{made['customers']:,}", f"{made['cells']:,}",
                         str(len(found[name])), tables.number(made["seconds"]), f"{made['peak_gb']:.1f}", judged])  # fmt: skip
    header = ["fit", "segments", "customers", "cells", "runs", "seconds", "peak GB", "diagnostics"]
    return (
        f"Medians over fresh processes ({where['cores']} cores, commit {found['versions']['commit']}), compiled code loaded "
        "before.\n\n" + tables.table(header, rows)
    )


if __name__ == "__main__":
    sys.exit(main())
