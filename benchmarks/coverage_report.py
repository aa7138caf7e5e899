"""What the coverage worlds add up to: a compact results file, two figures and benchmarks/COVERAGE.md."""

import json
import re
import statistics
from pathlib import Path

from benchmarks import coverage, coverage_worlds
from benchmarks.coverage_judge import FEARED, LEVEL, POWER, exact_interval, judge, least_worlds, power

FOLDER = Path(__file__).parent / "coverage"
RESULTS, PAGE = FOLDER / "results.json", Path(__file__).parent / "COVERAGE.md"
WORDS = {"equity": "customer equity", "purchases": "hold-out purchases", "revenue": "hold-out revenue"}
KINDS = {"equity": "expected", "purchases": "outcome", "revenue": "outcome"}
LABELS = {"bgnbd": "BG/NBD", "mbgnbd": "MBG/NBD", "paretonbd": "Pareto/NBD"}


def report() -> int:
    """Write results, figures and page from the worlds examined so far."""
    from benchmarks import coverage_figures

    FOLDER.mkdir(exist_ok=True)
    found = json.loads(RESULTS.read_text(encoding="utf-8"))["found"] if RESULTS.exists() else {}
    found = {truths: found.get(truths, {}) for truths in coverage_worlds.TRUTHS}
    for truths, kept in found.items():
        for name in coverage_worlds.NAMES:
            lines = coverage.load(coverage.lines_of(name, truths))
            if len(lines) >= kept.get(name, {}).get(
                "worlds", 1
            ):  # what was examined elsewhere, and more, stays
                kept[name] = summed(lines)
        found[truths] = {name: kept[name] for name in coverage_worlds.NAMES if name in kept}
    RESULTS.write_text(compact({"schema": 1, "seed": coverage_worlds.SEED, "customers": coverage_worlds.CUSTOMERS,
                                "commit": commit(), "found": found}))  # fmt: skip
    coverage_figures.draw(found, FOLDER)
    PAGE.write_text(page(found))
    print(PAGE.read_text())
    return 0


def summed(lines: list[dict]) -> dict:
    """Counts over the worlds of one process: per quantity how many intervals held the truth, and its places."""
    done = [one for one in lines if "failed" not in one]
    quantities = {}
    names = dict.fromkeys(name for one in done for name in one["found"])
    for name in sorted(
        names, key=lambda name: list(KINDS).index(name) if name in KINDS else -1
    ):  # totals last
        values = [one["found"][name] for one in done if name in one["found"]]
        ratios = [mean / truth - 1 for truth, mean, *_ in values if 0 < truth < float("inf")]
        quantities[name] = {
            "n": len(values),
            "covered": sum(low <= truth <= high for truth, _, low, high, _ in values),
            "below": sum(truth < low for truth, _, low, _, _ in values),
            "off": round(statistics.median(ratios), 4),
            "off_typical": round(statistics.median(abs(ratio) for ratio in ratios), 4),
            "places": [round(place, 3) for *_, place in values],
        }
    chains = [(one["method"][k] == "nuts", one["diagnostics"][k]) for one in done for k in (0, 1)]
    weak = [
        each
        for nuts, each in chains
        if nuts and (each["ess_min"] < 400 or each["divergences"] or each["r_hat_max"] >= 1.01)
    ]
    return {
        "worlds": len(lines),
        "failed": len(lines) - len(done),
        "unfinished": lines[-1]["world"] + 1 - len(lines),
        "redrawn": sum(one["redrawn"] for one in done),
        "substituted": sum(one["substituted"] for one in done),
        "nuts": [sum(one["method"][k] == "nuts" for one in done) for k in (0, 1)],
        "nuts_weak": len(weak),
        "seconds": round(statistics.median(one["seconds"][1] for one in done), 1),
        "quantities": quantities,
    }


def compact(found: dict) -> str:
    """JSON with one line per quantity."""
    text = json.dumps(found, separators=(",", ":"))
    for mark in ('"quantities":{', "]},", '"paretonbd":', '"mbgnbd":', '"bgnbd":', '"cdnow":'):
        text = text.replace(mark, mark + "\n" if mark[-1] in "{," else "\n" + mark)
    return text + "\n"


def commit() -> str:
    """The commit that was measured."""
    import subprocess

    return subprocess.run(["git", "describe", "--always", "--exclude", "*"], cwd=FOLDER.parent, check=True,
                          capture_output=True, text=True).stdout.strip()  # fmt: skip


def page(found: dict) -> str:
    """benchmarks/COVERAGE.md."""
    w = coverage_worlds
    prior, fixed = found["prior"], found["cdnow"]
    verdicts = [
        judge(each["covered"], each["n"]) for one in prior.values() for each in one["quantities"].values()
    ]
    failing = [f"{LABELS[name]} {WORDS.get(what, what)}" for name, one in prior.items()
               for what, each in one["quantities"].items() if not judge(each["covered"], each["n"]).passes]  # fmt: skip
    answer = (
        f"None of the {len(verdicts)} rates below excludes 90 %."
        if not failing
        else f"**90 % is excluded for {len(failing)} of {len(verdicts)} rates: {', '.join(failing)}.**"
    )
    parts = [
        "# Do the intervals cover?",
        f"Intervals are stated for nine times in ten. {answer} This page is made by "
        "`python -m benchmarks.coverage --report` from `benchmarks/coverage/results.json`'s worlds.",
        f"Each world has {w.CUSTOMERS:,} customers who came at uniform moments {w.AGES[0]:.0f} to {w.AGES[1]:.0f} weeks "
        "ago and buy at continuous times. Its truth is drawn from the default priors that the fit then uses, spend "
        f"included; {w.RULE}. The rule looks at the history and not at the truth, so 90 % stays what is to be expected. "
        f"The hold-out is the next {w.HORIZON:.0f} weeks of the same simulated lives. Intervals of equity "
        f"({w.MONTHS:.0f} months, margin {w.MARGIN:.0%}, {w.RATE:.0%} a year) are held against the valuation at the true "
        "parameters, those of the hold-out against what happened. The posterior is importance-sampled around the mode "
        "where its diagnostics accept that, and sampled by NUTS (4 chains of 500 draws) where they do not.",
        *unfinished(prior),
        f"A rate fails where an exact binomial test excludes 90 % at {LEVEL:.1%}. {least_worlds()} worlds find a true "
        f"rate of {FEARED:.0%} with {POWER:.0%} power; the power of each count is in the table. Where the mean spend of a "
        "posterior draw does not exist (q of 1 or less), or exceeds what any customer was seen to spend, the workbench "
        "values with the observed mean instead and says so: such a world says nothing about money, which is why fewer "
        "worlds stand behind equity and revenue.",
        *together(prior),
        *(tables(prior, judged=True)),
        "![Share of intervals that held the truth](coverage/coverage.svg)",
        "Dots are the shares counted and lines the rates not excluded at 0.1 %: filled for truths from the prior, open for "
        "the fixed ones.",
        "Where the truth lies in its posterior should be uniform; lines that leave the band would be too narrow, too "
        "wide or shifted posteriors.",
        "![Places of the truth in its posterior](coverage/places.svg)",
    ]
    if fixed:
        parts += [
            "## Fixed truths",
            "At one truth, and not on average over the prior, 90 % is not owed; what shows here is bias. *Off* is the "
            "median over worlds of posterior mean (or forecast) ÷ truth − 1, *typically* the median of its size. Truths "
            "are the estimates that the literature gives for CDNOW, and for its spend.",
            *(tables(fixed, judged=False)),
        ]
    return re.sub(r"(?<=\d)%", "\N{NO-BREAK SPACE}%", "\n\n".join(parts)) + "\n"


def unfinished(prior: dict) -> list[str]:
    """A warning where a process has too few worlds for its verdicts to mean much."""
    few = {LABELS[name]: one["worlds"] for name, one in prior.items() if one["worlds"] < least_worlds()}
    if not few:
        return []
    counts = ", ".join(f"{label} {worlds}" for label, worlds in few.items())
    return [
        f"**The run is not complete** (worlds so far: {counts}): rates are *open* where 90 % is not excluded and "
        f"{FEARED:.0%} would not yet have been found with {POWER:.0%} power."
    ]


def together(prior: dict) -> list[str]:
    """What the processes share, counted over the worlds of all of them: spend, and the totals."""
    shared = [
        name
        for name in ("p", "q", "gamma", *KINDS)
        if all(name in one["quantities"] for one in prior.values())
    ]
    sums = {
        name: {key: sum(one["quantities"][name][key] for one in prior.values()) for key in ("n", "covered")}
        for name in shared
    }
    if not sums:
        return []
    return [
        f"**All processes together** ({sum(one['worlds'] for one in prior.values())} worlds); if each rate is 90 %, so is "
        "that of all.",
        table(sums, judged=True),
    ]


def verdict_on(each: dict) -> str:
    """A pass only where a failure would have been found."""
    if not judge(each["covered"], each["n"]).passes:
        return "**fail**"
    return "pass" if power(each["n"]) >= POWER else "open"


def tables(found: dict, *, judged: bool) -> list[str]:
    """A table per process, with a line on what was run."""
    made = []
    for name, one in found.items():
        first = (
            f"**{LABELS[name]}**: {one['worlds']} worlds"
            + (f" ({one['redrawn']} drawn again)" if one["redrawn"] else "")
            + (f", {one['failed']} without a fit" if one["failed"] else "")
            + f", {one['substituted']} of them silent about money. NUTS was needed for {one['nuts'][0]} posteriors of the process"
            f" and {one['nuts'][1]} of spend"
            + (
                f"; in {one['nuts_weak']} of them it had fewer than 400 effective draws, an R-hat of 1.01 or more, or "
                "diverged"
                if one["nuts_weak"]
                else ""
            )
            + (
                f". Begun before the last of these worlds and not ended: {one['unfinished']}"
                if one["unfinished"]
                else ""
            )
            + "."
        )
        made += [first, table(one["quantities"], judged=judged)]
    return made


def table(quantities: dict, *, judged: bool) -> str:
    """One line per quantity."""
    rows = ["| quantity | kind | worlds | held the truth | not excluded at 0.1 % | " + (
        "80 % would be found | verdict |" if judged else "off | typically |"), "| --- | --- | ---: | ---: | ---: | ---: | "
        + (":---: |" if judged else "---: |")]  # fmt: skip
    for what, each in quantities.items():
        low, high = exact_interval(each["covered"], each["n"])
        row = [WORDS.get(what, what), KINDS.get(what, "parameter"), each["n"],
               f"{each['covered']} ({each['covered'] / each['n']:.1%})", f"{low:.1%} to {high:.1%}"]  # fmt: skip
        if judged:
            row += [
                f"{power(each['n']):.1%}",
                verdict_on(each),
            ]
        else:
            row += [f"{each['off']:+.1%}", f"{each['off_typical']:.1%}"]
        rows.append("| " + " | ".join(str(value) for value in row) + " |")
    return "\n".join(rows)
