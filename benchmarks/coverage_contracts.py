"""Do the intervals of contracts cover? `python -m benchmarks.coverage_contracts --kind prior --worlds 400 [--jobs 1]`.

A world is some hundred monthly contracts, written as a table of dates, judged, fitted, projected and valued as a study does.
Kinds are ``prior`` (truths drawn from the priors that the fit then uses), ``fixed`` (truths from the literature, which show
bias) and ``late`` (truths from the priors, ends recorded for the last year only). Every world is one line of a file under
benchmarks/.data/coverage, as in `benchmarks.coverage`; ``--report`` sums up what is there into
benchmarks/coverage/contracts.json and benchmarks/COVERAGE_CONTRACTS.md.
"""

import argparse
import json
import os
import statistics
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np

from benchmarks import coverage, coverage_worlds
from benchmarks.coverage_judge import LEVEL, exact_interval, judge, power

KINDS, MODELS = ("prior", "fixed", "late"), ("sbg", "bdw")
FIXED = {  # Fader & Hardie (2007), High End; its BdW by the notebook of Fader et al. (2018)
    "sbg": (0.668, 3.806),
    "bdw": (0.2593, 1.7225, 1.5844),
}
CONTRACTS, OLDEST_DAYS = 400, 1_460  # begun on any day of the last four years
AS_OF, OBSERVED_FROM = date(2024, 6, 30), date(2023, 7, 1)  # the second for late entry
AHEAD = (1, 12, 24)  # renewals to come
FEE, FEE_SD = 10.0, 0.5  # median, and standard deviation of logs
MARGIN, RATE, MONTHS = 0.5, 0.1, 36
LEAST = 15  # ends seen, and relations that run
DRAWS, PROJECTED = 150, 200  # per chain of the posterior; of them, projected one life at a time
FOLDER, PAGE = Path(__file__).parent / "coverage", Path(__file__).parent / "COVERAGE_CONTRACTS.md"
LABELS = {"sbg": "sBG", "bdw": "BdW"}


def world(
    kind: str, name: str, contracts: int, rng: np.random.Generator
) -> tuple[np.ndarray, object, np.ndarray]:
    """Truth, the table of contracts as of the day, and the renewals that each will have made in the end.

    Late entry: every contract that is there still ran when ends began to be recorded, and its life goes on from the
    renewals that it had made then. Nothing is drawn of those that had gone, so that the number of those who stayed says no
    more of the truth than the likelihood knows.
    """
    import pandas as pd

    from clvkit import processes
    from clvkit.contracts import anniversary, months_between

    model = processes.get(name)
    truth = np.array(FIXED[name]) if kind == "fixed" else coverage_worlds.from_prior(model, rng)
    today, seen = pd.Timestamp(AS_OF), pd.Timestamp(OBSERVED_FROM)
    start = pd.Series(today - pd.to_timedelta(rng.integers(0, OLDEST_DAYS, contracts), unit="D"))
    entry = np.zeros(contracts, np.int64)
    if kind == "late":
        old = start < seen
        entry[old] = months_between(start[old], pd.Series(seen, index=start.index[old]))
    many = np.full(contracts, OLDEST_DAYS // 28 + MONTHS + max(AHEAD))  # beyond all that is asked for
    made = entry + model.simulate_future(truth, entry, many, rng)[0]
    end = anniversary(start, made + 1) - pd.Timedelta(days=1)
    fee = np.round(FEE * np.exp(FEE_SD * rng.standard_normal(contracts)), 2)
    table = pd.DataFrame({"contract": [f"C{k}" for k in range(contracts)], "customer": [f"K{k}" for k in range(contracts)],
                          "start": start, "end": end.where(end < today), "plan": "monthly", "fee": fee,
                          "currency": "EUR"})  # fmt: skip
    return truth, table, made


def examine(kind: str, name: str, number: int, contracts: int = CONTRACTS, draws: int = DRAWS) -> dict:
    """One world: per quantity the truth, the estimate, low, high and the truth's place among the draws.

    A world is drawn again, truth and all, where fewer than ``LEAST`` contracts ended, or run, or where renewals of fewer
    different numbers came up than the model has parameters.
    """
    from clvkit.contract_value import ForAll, period_days, still_running
    from clvkit.contracts import contracts as judged
    from clvkit.contracts_fit import fit_contracts
    from clvkit.contracts_section import ContractsSection
    from clvkit.models_section import ModelsSection, SamplerSection
    from clvkit.value import ValueSection

    began, redrawn = time.perf_counter(), 0
    section = ContractsSection(source="contracts", observed_from=OBSERVED_FROM if kind == "late" else None)
    while True:
        rng = np.random.default_rng(
            [coverage_worlds.SEED, 11, KINDS.index(kind), MODELS.index(name), number, redrawn]
        )
        truth, table, lasts = world(kind, name, contracts, rng)
        held = judged(table, section, AS_OF)
        relations = held.relations.set_index("customer").loc[table["customer"]].reset_index()
        ends, last = int(relations["ended"].sum()), lasts[~relations["ended"].to_numpy()]
        cells = held.cells()
        ages = cells.loc[cells["renewals"] + cells["ended"] > cells["entry"], "renewals"].nunique()
        if min(ends, len(last)) >= LEAST and ages > len(truth):
            break
        redrawn += 1
    sampler = SamplerSection(
        method="laplace", draws=draws, tune=300, chains=4, seed=coverage_worlds.SEED + number
    )
    fit = fit_contracts(cells, ModelsSection(sampler=sampler), model=name, period_days=period_days(section, coverage_worlds.YEAR),
                        sample=True)  # fmt: skip
    posterior, chance = fit.posterior(PROJECTED), np.random.default_rng(number)
    made = relations.loc[~relations["ended"], "renewals"].to_numpy(np.int64)
    found = {}
    for k in AHEAD:
        due = np.full(len(made), k)
        expected, simulated = still_running(
            fit.model, posterior, made, due, np.random.default_rng([number, k])
        )
        exact = still_running(fit.model, truth[None], made, due, chance)[0][0]
        found[f"share after {k}"] = against(expected / len(made), exact / len(made), chance)
        found[f"share after {k}, outcome"] = against(
            simulated / len(made), np.count_nonzero(last >= made + k) / len(made), chance
        )
    value = ValueSection(
        margin=MARGIN, annual_discount_rate=RATE, horizon_months=MONTHS, posterior_draws=PROJECTED
    )
    drawn, simulated = equity(ForAll(fit), held, section, value, number)
    exact = equity(ForAll(replace(fit, draws=truth[None, None], mle=truth)), held, section, value, number)[0]
    found["equity"] = against(drawn, exact[0], chance)
    found["equity, outcome"] = against(simulated, paid(relations, lasts, coverage_worlds.YEAR), chance)
    return {
        "redrawn": redrawn, "ends": ends, "running": len(made), "method": fit.method, "ess": fit.diagnostics["ess_min"], "seconds": round(time.perf_counter() - began, 3),
        "found": {label: [float(f"{v:.7g}") for v in one] for label, one in found.items()},
    }  # fmt: skip


def equity(fits, held, section, value, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Customer equity of contracts as `clvkit.contract_value.contract_value` reckons it: expected, and with luck; (draws,) each."""
    from clvkit.contract_worth import ORDER, Money, comes, horizon_end, kinds_of, running, worth

    money = Money.of(value, section, coverage_worlds.YEAR)
    until = horizon_end(AS_OF, value.horizon_months, coverage_worlds.YEAR)
    rows = running(held.relations, fits, money, AS_OF, until).sort_values(
        ORDER, kind="stable", ignore_index=True
    )
    kinds, place = kinds_of(rows)
    draws = len(fits.fit.posterior(value.posterior_draws))
    found = worth(fits, kinds, money, draws)
    weight = np.bincount(place, rows["paid"], minlength=len(kinds))
    return found.expected @ weight, comes(fits, rows, kinds, place, money, found, seed)


def paid(relations, lasts: np.ndarray, days_per_year: float) -> float:
    """Discounted margin of the renewals that running relations did make within the horizon, by their dates."""
    import pandas as pd

    from clvkit.contracts import anniversary

    total, rate = 0.0, (1 + RATE) ** (1 / 12) - 1
    runs = ~relations["ended"].to_numpy()
    rows, last = relations[runs].reset_index(drop=True), lasts[runs]
    made = rows["renewals"].to_numpy(np.int64)
    due = anniversary(rows["start"], made + 1)
    ahead = (due - pd.Timestamp(AS_OF)).dt.days.to_numpy() / (days_per_year / 12)
    for k in range(MONTHS):  # the renewals after the first are a period apart, as the valuation has it
        there = last >= made + 1 + k
        total += MARGIN * (rows["fee"].to_numpy() * (1 + rate) ** -(ahead + k))[there].sum()
    return float(total)


def against(drawn: np.ndarray, truth: float, chance: np.random.Generator) -> list[float]:
    """As `benchmarks.coverage_worlds.against`."""
    return coverage_worlds.against(np.asarray(drawn, float), float(truth), chance)


def held_it(one: list[float]) -> bool:
    """Whether the interval held the truth; of counts, which have ties at its ends, by the truth's place, ties by chance."""
    truth, _, low, high, place = one
    if np.isnan(place):
        return low <= truth <= high
    tail = (1 - coverage_worlds.INTERVAL) / 2
    return tail <= place <= 1 - tail


def examined(asked: tuple[str, str, int]) -> dict:
    """`examine`, with a refusal on record; a function of the module, so that other processes find it."""
    return coverage.attempted(examine, asked)


def main(arguments: list[str] | None = None) -> int:
    """Examine the worlds asked for, or report on those that are there; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.coverage_contracts", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--model", choices=MODELS, help="both by default")
    parser.add_argument("--worlds", type=int, default=400, help="of each model")
    parser.add_argument("--jobs", type=int, default=1, help="worlds examined at the same time")
    parser.add_argument("--report", action="store_true", help="sum up the worlds that were examined")
    options = parser.parse_args(arguments)
    if options.report or options.kind is None:
        return report()
    os.environ |= dict.fromkeys(coverage.ONE_THREAD, "1")
    for name in [options.model] if options.model else MODELS:
        path = coverage.lines_of(f"contracts-{options.kind}", name)
        coverage.examine_missing(examined, path, options.kind, name, options.worlds, options.jobs)
    return 0


def summed(lines: list[dict]) -> dict:
    """Counts over the worlds of one kind and model."""
    done = [one for one in lines if one.get("found")]
    quantities = {}
    for name in dict.fromkeys(name for one in done for name in one["found"]):
        values = [one["found"][name] for one in done if name in one["found"]]
        errors = [estimate - truth for truth, estimate, *_ in values]
        level = statistics.fmean(truth for truth, *_ in values)
        quantities[name] = {"n": len(values), "covered": sum(map(held_it, values)),
                            "below": sum(truth < low and not held_it([truth, mean, low, high, place])
                                         for truth, mean, low, high, place in values),
                            "bias": round(statistics.fmean(errors) / level, 5) if level else None}  # fmt: skip
    return {
        "worlds": len(lines),
        "failed": sum("failed" in one for one in lines),
        "redrawn": sum(one.get("redrawn", 0) for one in lines),
        "laplace": sum(one.get("method") == "laplace" for one in lines),
        "seconds": round(statistics.median(one["seconds"] for one in done), 1) if done else None,
        "quantities": quantities,
    }


def report() -> int:
    """Write the counts and the page from the worlds examined so far."""
    from benchmarks.coverage_report import commit

    path = FOLDER / "contracts.json"
    found = json.loads(path.read_text("utf-8"))["found"] if path.exists() else {}
    for kind in KINDS:
        for name in MODELS:
            lines = coverage.load(coverage.lines_of(f"contracts-{kind}", name))
            if len(lines) >= found.get(f"{kind} {name}", {}).get("worlds", 1):
                found[f"{kind} {name}"] = summed(lines)
    path.write_text(json.dumps({"commit": commit(), "found": found}, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(found), encoding="utf-8")
    print(PAGE.read_text("utf-8"))
    return 0


WORDS = {
    "prior": "Truths come from the priors that the fit uses: nominal coverage.",
    "fixed": f"Truths are those of the High End data: sBG {FIXED['sbg']}, BdW {FIXED['bdw']}. Coverage under one truth need not be "
    "nominal; the bias is what a prior does to it.",
    "late": f"Truths come from the priors; ends are recorded from {OBSERVED_FROM} on, and contracts that began before enter with "
    "the renewals that they had made by then.",
}


def page(found: dict) -> str:
    """benchmarks/COVERAGE_CONTRACTS.md."""
    verdicts = {(title, name): judge(one["covered"], one["n"]) for title, each in found.items()
                for name, one in each["quantities"].items()}  # fmt: skip
    failing = [
        f"{title} {name} ({verdict.share:.1%})"
        for (title, name), verdict in verdicts.items()
        if not verdict.passes
    ]
    parts = [
        "# Do the intervals of contracts cover?",
        "Intervals are stated for nine times in ten. "
        + (f"None of the {len(verdicts)} rates below excludes 90 %." if not failing
           else f"**90 % is excluded for {len(failing)} of {len(verdicts)} rates: {'; '.join(failing)}.**")
        + f" A rate fails where an exact binomial test excludes 90 % at {LEVEL:.1%}. This page is made by "
        "`python -m benchmarks.coverage_contracts --report`; worlds by `--kind prior`, `fixed` and `late`.",
        f"A world is {CONTRACTS} monthly contracts that began on any day of the four years up to {AS_OF}, as a table of dates. "
        "The *share after k* is that of the running relations which still run after k further renewals, and *equity* the "
        f"discounted margin of their renewals within {MONTHS} months at {RATE:.0%} a year: expected intervals against the conditional "
        "expectation at the true parameters, outcome intervals against what then came. Shares that came are counts, with ties at "
        "the ends of their interval, which are broken by chance. *Bias* is the mean error of the posterior mean, relative to the "
        f"mean truth. A world is drawn again, truth and all, where fewer than {LEAST} contracts ended or run, or too few ages "
        "came up. Posteriors are drawn by importance sampling, and by NUTS where its diagnostics refuse it.",
    ]  # fmt: skip
    for kind in KINDS:
        parts += [f"## {kind.capitalize()}", WORDS[kind]]
        for name in MODELS:
            each = found.get(f"{kind} {name}")
            if each is None:
                parts.append(f"**{LABELS[name]}**: not examined.")
                continue
            said = [
                f"{each['redrawn']} drawn again",
                f"{each['worlds'] - each['failed'] - each['laplace']} by NUTS",
            ]
            said += [f"{each['failed']} refused"] if each["failed"] else []
            parts.append(f"**{LABELS[name]}**: {each['worlds']} worlds ({', '.join(said)}).")
            rows = ["| quantity | worlds | held the truth | truth below | bias | not excluded at 0.1 % | 80 % would be found | verdict |",
                    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | :---: |"]  # fmt: skip
            for label, one in each["quantities"].items():
                low, high = exact_interval(one["covered"], one["n"])
                verdict = verdicts[f"{kind} {name}", label]
                bias = "" if one["bias"] is None else f"{one['bias']:+.1%}"
                rows.append(f"| {label} | {one['n']} | {one['covered']} ({verdict.share:.1%}) | {one['below']} | {bias} | {low:.1%} to "
                            f"{high:.1%} | {power(one['n']):.1%} | {'pass' if verdict.passes else '**fail**'} |")  # fmt: skip
            parts.append("\n".join(rows))
    return "\n\n".join(parts).replace("%", " %").replace("  %", " %") + "\n"


if __name__ == "__main__":
    sys.exit(main())
