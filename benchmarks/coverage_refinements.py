"""Do the intervals of refinements cover? `python -m benchmarks.coverage_refinements --kind segments --worlds 400 [--jobs 2]`.

Kinds are ``segments`` (partial pooling), ``covariates`` and ``clock`` (a season and a window estimated). Truths are drawn
from the priors that the fit then uses; factors of the calendar, which have no prior, from a distribution of their own.
Every world is one line of a file under benchmarks/.data/coverage, as in `benchmarks.coverage`; ``--report`` sums up what is
there into benchmarks/coverage/refinements.json and benchmarks/COVERAGE_REFINEMENTS.md.
"""

import argparse
import json
import os
import statistics
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from benchmarks import coverage, coverage_worlds
from benchmarks.coverage_judge import LEVEL, exact_interval, judge, power

KINDS = ("segments", "covariates", "clock")
PROCESSES = {
    "segments": ("bgnbd", "paretonbd"),
    "covariates": ("bgnbd", "paretonbd"),
    "clock": ("mbgnbd", "paretonbd"),
}
SIZES = (500, 300, 150, 50)  # customers of each segment: thick ones, and one that has to lean
CUSTOMERS, AGES = 1_000, (26.0, 78.0)
PATTERNS, EFFECT_SD = ("0.0", "0.1", "1.0", "1.1"), 0.5
SPREAD = 0.5  # scale of the half-normal prior of how much segments differ
AS_OF, DAYS, NEWEST = date(2023, 12, 31), 912, 30  # two and a half years of acquisition, for the clock
MONTH_SD, SPEEDS = 0.3, (0.2, 0.8)  # of log month factors; of the window's speed, uniform
FOLDER, PAGE = Path(__file__).parent / "coverage", Path(__file__).parent / "COVERAGE_REFINEMENTS.md"


def sections(process: str, seed: int, draws: int = 500):
    """What the fits of a world are told."""
    from clvkit.models_section import ModelsSection, SamplerSection

    sampler = SamplerSection(method="laplace", draws=draws, tune=500, chains=4, seed=seed)
    return ModelsSection(processes=(process,), headline=process, sampled=(process,), sampler=sampler,
                         segment_spread=SPREAD)  # fmt: skip


def examine(kind: str, process: str, number: int, customers: float = 1.0, draws: int = 500) -> dict:
    """One world: per quantity the truth, the estimate, low, high and the truth's place among the draws.

    ``customers`` scales the size of the world. A world is drawn again by the rule of `benchmarks.coverage_worlds`.
    """
    began, redrawn = time.perf_counter(), 0
    while True:
        rng = np.random.default_rng(
            [coverage_worlds.SEED, 7, KINDS.index(kind), PROCESSES[kind].index(process), number, redrawn]
        )
        drawn = {"segments": _segments, "covariates": _covariates, "clock": _clock}[kind](
            process, customers, rng
        )
        cells = drawn["cells"]
        repeats, repeaters = cells["frequency"].sum(), int((cells["frequency"] > 0).sum())
        few, many = coverage_worlds.LEAST_REPEATS * customers, coverage_worlds.MOST_REPEATS
        if few <= repeats <= many and repeaters >= coverage_worlds.LEAST_REPEATERS * customers:
            break
        redrawn += 1
    found, more = drawn["fit"](
        sections(process, coverage_worlds.SEED + number, draws), np.random.default_rng(number)
    )
    return {"redrawn": redrawn, "repeats": int(repeats), "seconds": round(time.perf_counter() - began, 3)} | more | {
        "found": {name: [float(f"{v:.7g}") for v in one] for name, one in found.items()}
    }  # fmt: skip


def _lives(model, theta, T, rng):
    """Histories of ``T.size`` customers, times in weeks, as a frame of one row each; times in days."""
    import pandas as pd

    x, t_x = model.simulate(theta, T, rng).summary(T.size)
    return pd.DataFrame({"frequency": x, "recency_days": 7 * t_x, "T_days": 7 * T, "n": 1})


def _priors(model):
    return (np.array([getattr(one, name) for one in model.priors.values()]) for name in ("mean", "sd"))


def _segments(process: str, scale: float, rng: np.random.Generator) -> dict:
    import pandas as pd

    from clvkit import processes
    from clvkit.fitting import weighted_median

    model, sizes = processes.get(process), [round(scale * n) for n in SIZES]
    T = rng.uniform(*AGES, sum(sizes))
    unit = weighted_median(T, np.ones(T.size))
    mean, sd = _priors(model)
    centre, spread = rng.normal(mean, sd), np.abs(rng.normal(0, SPREAD, len(mean)))
    eta = centre + spread * rng.standard_normal((len(sizes), len(mean)))
    truth = model.in_unit(model.from_coordinates(eta), unit)
    parts = np.split(np.arange(T.size), np.cumsum(sizes)[:-1])
    cells = pd.concat(
        [_lives(model, truth[g], T[at], rng).assign(segment=f"s{g}") for g, at in enumerate(parts)]
    )

    def fit(section, chance):
        from clvkit.segments import fit_process_by_segment

        one = fit_process_by_segment(process, cells, section, sample=True)
        found = {}
        for word, g in (("thick", 0), ("thin", len(sizes) - 1)):
            for k, name in enumerate(one.parameters):
                found[f"{name}, {word} segment"] = coverage_worlds.against(
                    one.flat[:, g, k], truth[g, k], chance
                )
        spreads = one.spread_draws.reshape(-1, len(mean))
        for k, name in enumerate(model.priors):
            found[f"spread of {name}"] = coverage_worlds.against(spreads[:, k], spread[k], chance)
        return found, {"r_hat": one.diagnostics["r_hat_max"], "ess": one.diagnostics["ess_min"]}

    return {"cells": cells, "fit": fit}


def _covariates(process: str, scale: float, rng: np.random.Generator) -> dict:
    import pandas as pd

    from clvkit import processes
    from clvkit.covariate_levels import Covariate, Design
    from clvkit.covariate_target import moved_by, spread
    from clvkit.fitting import weighted_median

    model, each = processes.get(process), round(scale * CUSTOMERS) // len(PATTERNS)
    both = ("rate", "dropout")
    design = Design((Covariate("plan", both, "categories", ("basic", "gold"), (2 * each, 2 * each)),
                     Covariate("region", both, "categories", ("north", "south"), (2 * each, 2 * each))))  # fmt: skip
    T = rng.uniform(*AGES, each * len(PATTERNS))
    unit = weighted_median(T, np.ones(T.size))
    mean, sd = _priors(model)
    at = np.append(rng.normal(mean, sd), rng.normal(0, EFFECT_SD, len(design.effects)))
    truth = model.in_unit(
        model.from_coordinates(spread(at, design.matrix(PATTERNS), moved_by(design, model))), unit
    )
    parts = np.split(np.arange(T.size), len(PATTERNS))
    cells = pd.concat(
        [_lives(model, truth[g], T[one], rng).assign(pattern=PATTERNS[g]) for g, one in enumerate(parts)]
    )

    def fit(section, chance):
        from clvkit.covariates import fit_process_with_covariates

        one = fit_process_with_covariates(process, cells, design, section, prior_sd=EFFECT_SD, sample=True)
        if one.drawn is None:
            return {}, {"no_posterior": True}
        drawn, found = one.drawn.reshape(-1, len(at)), {}
        for place, (on, covariate, _) in enumerate(design.effects, start=len(mean)):
            name = f"effect of {design.covariates[covariate].name} on {on}"
            found[name] = coverage_worlds.against(drawn[:, place], at[place], chance)
        for k, name in enumerate(one.parameters):
            found[f"{name}, reference"] = coverage_worlds.against(one.flat[:, 0, k], truth[0, k], chance)
        return found, {"pareto_k": one.diagnostics["pareto_k"], "ess": one.diagnostics["ess_min"]}

    return {"cells": cells, "fit": fit}


def _clock(process: str, scale: float, rng: np.random.Generator) -> dict:
    import pandas as pd

    from clvkit import processes
    from clvkit.calendar_section import CalendarSection, Window, normalised
    from clvkit.clock import Clock

    model = processes.get(process)
    months = normalised({month: float(np.exp(rng.normal(0, MONTH_SD))) for month in range(1, 13)})
    slow = float(rng.uniform(*SPEEDS))
    window = Window(first=date(2022, 8, 1), last=date(2022, 9, 30), reason="flood", treatment="estimate")
    days = pd.date_range(AS_OF - timedelta(days=DAYS + 1), AS_OF + timedelta(days=400))
    inside = (days >= pd.Timestamp(window.first)) & (days <= pd.Timestamp(window.last))
    clock = Clock.of_days(
        AS_OF, days[0].date(), np.where(inside, slow, 1.0) * np.array([months[m] for m in days.month])
    )
    size = round(1.5 * scale * CUSTOMERS)
    born = -rng.integers(NEWEST, DAYS, size).astype(float)
    truth = np.array(coverage_worlds.FIXED[process])  # a fixed one: this is about the factors
    customer, passed = _purchases(model, truth, clock, born, rng)
    moment = clock.moment(clock.reading(born)[customer] + passed)
    last = np.zeros(size)
    np.maximum.at(last, customer, moment - born[customer])
    cells = pd.DataFrame(
        {"frequency": np.bincount(customer, minlength=size), "recency_days": last, "T_days": -born, "n": 1}
    )
    repeat = (pd.Timestamp(AS_OF) + pd.to_timedelta(pd.Series(np.ceil(moment)), unit="D")).value_counts()
    first = (pd.Timestamp(AS_OF) + pd.to_timedelta(pd.Series(born), unit="D")).value_counts()
    span = pd.date_range(first.index.min(), AS_OF, name="day")
    daily = pd.DataFrame({"first": first.reindex(span, fill_value=0).to_numpy(),
                          "repeat": repeat.reindex(span, fill_value=0).to_numpy()}, index=span).reset_index()  # fmt: skip

    def fit(section, chance):
        from clvkit.calendar import make_calendar
        from clvkit.fitting import fit_process

        made = make_calendar(
            CalendarSection(windows=(window,), season="estimate"), cells, daily, section, AS_OF
        )
        if made.refused:
            return {}, {"refused": made.refused}
        true = [*months.values(), slow]
        named = [*(f"factor of month {m}" for m in range(1, 13)), "speed of the window"]
        estimates = (*made.months, *made.windows)
        found = {
            name: [t, one.value, one.low, one.high, np.nan]
            for name, t, one in zip(named, true, estimates, strict=True)
        }
        one = fit_process(process, cells, section, sample=True, **made.timed)
        for k, name in enumerate(one.parameters):
            found[name] = coverage_worlds.against(one.flat[:, k], truth[k], chance)
        return found, {"turns": made.turns}

    return {"cells": cells, "fit": fit}


def _purchases(model, truth, clock, born, rng) -> tuple[np.ndarray, np.ndarray]:
    """Who buys, and how much purchase time (days) after the first purchase."""
    if model.clock_is_time:
        drawn = model.simulate(truth, -clock.reading(born) / 7, rng)
        return drawn.customer, drawn.time * 7
    r, alpha, s, beta = truth  # lifetimes by the calendar, purchases by the clock
    rate, dropout = rng.gamma(r, 1 / alpha, born.size), rng.gamma(s, 1 / beta, born.size)
    end = np.minimum(-born, 7 * rng.exponential(1.0, born.size) / dropout)
    lived = clock.reading(born + end) - clock.reading(born)
    customer = np.repeat(np.arange(born.size), rng.poisson(rate * lived / 7))
    return customer, rng.random(customer.size) * lived[customer]


def examined(asked: tuple[str, str, int]) -> dict:
    """`examine`, with a refusal on record; a function of the module, so that other processes find it."""
    return coverage.attempted(examine, asked)


def main(arguments: list[str] | None = None) -> int:
    """Examine the worlds asked for, or report on those that are there; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.coverage_refinements", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--process", help="one of those that the kind is examined with; both by default")
    parser.add_argument("--worlds", type=int, default=400, help="of each process")
    parser.add_argument("--jobs", type=int, default=1, help="worlds examined at the same time")
    parser.add_argument("--report", action="store_true", help="sum up the worlds that were examined")
    options = parser.parse_args(arguments)
    if options.report or options.kind is None:
        return report()
    os.environ |= dict.fromkeys(coverage.ONE_THREAD, "1")
    for process in [options.process] if options.process else PROCESSES[options.kind]:
        path = coverage.lines_of(f"refined-{options.kind}", process)
        coverage.examine_missing(examined, path, options.kind, process, options.worlds, options.jobs)
    return 0


def summed(lines: list[dict]) -> dict:
    """Counts over the worlds of one kind and process."""
    done = [one for one in lines if one.get("found")]
    quantities = {}
    for name in dict.fromkeys(name for one in done for name in one["found"]):
        values = [one["found"][name] for one in done if name in one["found"]]
        covered = sum(low <= truth <= high for truth, _, low, high, _ in values)
        quantities[name] = {"n": len(values), "covered": covered,
                            "below": sum(truth < low for truth, _, low, _, _ in values)}  # fmt: skip
    return {
        "worlds": len(lines),
        "failed": sum("failed" in one for one in lines),
        "silent": sum(not one.get("found") and "failed" not in one for one in lines),
        "redrawn": sum(one.get("redrawn", 0) for one in lines),
        "seconds": round(statistics.median(one["seconds"] for one in done), 1) if done else None,
        "quantities": quantities,
    }


def report() -> int:
    """Write the counts and the page from the worlds examined so far."""
    from benchmarks.coverage_report import commit

    path = FOLDER / "refinements.json"
    found = json.loads(path.read_text("utf-8"))["found"] if path.exists() else {}
    for kind in KINDS:
        for process in PROCESSES[kind]:
            lines = coverage.load(coverage.lines_of(f"refined-{kind}", process))
            if len(lines) >= found.get(f"{kind} {process}", {}).get("worlds", 1):
                found[f"{kind} {process}"] = summed(lines)
    path.write_text(json.dumps({"commit": commit(), "found": found}, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(found), encoding="utf-8")
    print(PAGE.read_text("utf-8"))
    return 0


WORDS = {
    "segments": f"Segments of {', '.join(map(str, SIZES))} customers. Truths come from the priors: centre, spread (half-normal, "
    f"{SPREAD}) and segments around them. Parameters are those of the largest and of the smallest segment.",
    "covariates": f"{CUSTOMERS:,} customers, a quarter in each of four patterns of two covariates, each moving rate and dropout. "
    f"Truths come from the priors, effects from a normal one with a standard deviation of {EFFECT_SD}.",
    "clock": f"{1.5 * CUSTOMERS:,.0f} customers who came over {DAYS / 365:.1f} years; twelve month factors with a standard "
    f"deviation of {MONTH_SD} in logs and one window at a speed between {SPEEDS[0]} and {SPEEDS[1]}, all estimated. Parameters "
    "are CDNOW's, and their intervals take the estimated clock for known.",
}


def page(found: dict) -> str:
    """benchmarks/COVERAGE_REFINEMENTS.md."""
    from benchmarks.coverage_report import LABELS

    verdicts = {(title, name): judge(one["covered"], one["n"]) for title, each in found.items()
                for name, one in each["quantities"].items()}  # fmt: skip
    failing = [
        f"{title} {name} ({verdict.share:.1%})"
        for (title, name), verdict in verdicts.items()
        if not verdict.passes
    ]
    parts = [
        "# Do the intervals of refinements cover?",
        "Intervals are stated for nine times in ten. "
        + (f"None of the {len(verdicts)} rates below excludes 90 %." if not failing
           else f"**90 % is excluded for {len(failing)} of {len(verdicts)} rates: {'; '.join(failing)}.**")
        + f" A rate fails where an exact binomial test excludes 90 % at {LEVEL:.1%}. This page is made by "
        "`python -m benchmarks.coverage_refinements --report`; worlds by `--kind segments`, `covariates` and `clock`.",
    ]  # fmt: skip
    for kind in KINDS:
        parts += [f"## {kind.capitalize()}", WORDS[kind]]
        for process in PROCESSES[kind]:
            each = found.get(f"{kind} {process}")
            if each is None:
                parts.append(f"**{LABELS[process]}**: not examined.")
                continue
            said = [f"{each['redrawn']} drawn again"]
            said += [f"{each['silent']} without an interval"] if each["silent"] else []
            said += [f"{each['failed']} refused"] if each["failed"] else []
            parts.append(f"**{LABELS[process]}**: {each['worlds']} worlds ({', '.join(said)}).")
            rows = ["| quantity | worlds | held the truth | truth below | not excluded at 0.1 % | 80 % would be found | verdict |",
                    "| --- | ---: | ---: | ---: | ---: | ---: | :---: |"]  # fmt: skip
            for name, one in each["quantities"].items():
                low, high = exact_interval(one["covered"], one["n"])
                verdict = verdicts[f"{kind} {process}", name]
                rows.append(f"| {name} | {one['n']} | {one['covered']} ({verdict.share:.1%}) | {one['below']} | {low:.1%} to "
                            f"{high:.1%} | {power(one['n']):.1%} | {'pass' if verdict.passes else '**fail**'} |")  # fmt: skip
            parts.append("\n".join(rows))
    return "\n\n".join(parts).replace("%", " %").replace("  %", " %") + "\n"


if __name__ == "__main__":
    sys.exit(main())
