"""What refining the models does in a hold-out, log by log: `python -m benchmarks.logs [--logs cdnow,online_retail]`.

Every process, every refinement and every rule of thumb from two origins: what is chosen is chosen on the early one, what
is said of it comes from the later one. All fits are at maximum likelihood. Logs that cannot be had are left out, and said to be.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import logs_measures, results
from benchmarks.environments import HERE
from benchmarks.logs_data import LOGS, Log, Unavailable
from benchmarks.logs_measures import (
    INTERVAL,
    Errors,
    Measures,
    at_true_total,
    blends,
    of_model,
    of_rule,
    rows_of,
)
from benchmarks.logs_report import section
from benchmarks.report import README, fill
from benchmarks.worlds import SEED

if TYPE_CHECKING:
    from clvkit.backtest_results import Backtest
    from clvkit.calendar_section import CalendarSection

FOLDER = HERE / "logs"
WORDS = ("early", "later")  # the origins, in order
POOLED = ("bgnbd", "mbgnbd", "paretonbd", "mbgcnbd")
REFINED_OF = {"mbgcnbd": "mbgnbd"}  # a process that is another one with something added
NO_SEASON = "less than two years of purchases, or acquisition in less than one of them"
SPEND, RULE = "gammagamma", "last_period"


@dataclass(frozen=True)
class Trial:
    """One call of the back-tests: what is fitted, what the fits are called, and what each is compared with.

    ``kind`` is the refinement, a key of `benchmarks.logs_report.KINDS`; ``suffix`` is added to the names of its fits.
    """

    kind: str
    models: dict
    suffix: str = ""
    calendar: "CalendarSection | None" = None


@dataclass
class Found:
    """What was measured of a log: ``models`` by name, and by origin the errors of each, of the same rows."""

    models: dict[str, dict] = field(default_factory=dict)
    errors: dict[str, dict[str, Errors]] = field(default_factory=lambda: {word: {} for word in WORDS})
    rows: dict = field(default_factory=dict)
    made: dict = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def trials(log: Log, base: str) -> Iterator[Trial]:
    """What is tried of a log besides the pooled processes, as refinements of ``base``."""
    from clvkit.calendar_section import CalendarSection

    alone = {"processes": (base,), "headline": base}
    yield Trial("spend", alone | {"spend": "by_frequency"}, "_spend_by_frequency")
    if log.segments:
        yield Trial("segments", alone | {"segments": "compare"})
    if log.design is not None:
        yield Trial(
            "covariates",
            alone | {"covariates": {"use": "compare", "of": {one.name: {} for one in log.design.covariates}}},
        )
    if log.burn_in_days:
        section = {"treatment": "burn_in", "burn_in_days": log.burn_in_days}
        yield Trial(
            "burn_in",
            {"processes": POOLED, "headline": POOLED[0], "left_truncation": section},
            "_after_burn_in",
        )
    yield Trial("season", alone, "_with_season", log.calendar or CalendarSection(season="estimate"))


def measured(log: Log) -> dict:
    """Everything about one log, as the results file has it."""
    from clvkit.calendar_section import KNOW_A_CLOCK

    found, began = Found(), time.perf_counter()
    _try(log, Trial("pooled", {"processes": POOLED, "headline": POOLED[0]}), found)
    for name in ("last_period", "segment_mean", "hiatus"):
        _rule(log, name, found)
    base = chosen(found, [name for name in KNOW_A_CLOCK if name in found.models])
    for trial in trials(log, base):
        print(f"  {trial.kind}", flush=True)
        _try(log, trial, found)
    _compare(found, base)
    return {
        "title": log.title,
        "about": log.about,
        "segments": log.segments,
        "origins": [one.isoformat() for one in log.origins],
        "customers": {word: int(found.rows[word][0]["n"].sum()) for word in WORDS},
        "horizon_days": {word: found.rows[word][1].horizon_days for word in WORDS},
        "base": base,
        "best": chosen(found, [name for name, one in found.models.items() if one["kind"] != "rule"]),
        "blend": blends(*((found.rows[word][0], found.errors[word][base], found.errors[word][RULE]) for word in WORDS)),
        "at_true_total": {
            word: at_true_total(log, found.made[word, base], found.rows[word][0], RULE, SEED) for word in WORDS
        },
        "models": found.models,
        "refused": found.refused,
        "seconds": time.perf_counter() - began,
    }  # fmt: skip


def chosen(found: Found, names: list[str]) -> str:
    """The champion of the early forecasts, by the rule of `clvkit.champion`.

    Of those whose error per customer is near the least, the one whose total is best; the simpler ones, which come first,
    unless the others are better by more than a tie.
    """
    from clvkit.champion import NEAR, TIE

    early = {name: found.models[name]["early"] for name in names}
    least = min(one["rmse"] for one in early.values())
    near = {name: abs(one["purchases"]) for name, one in early.items() if one["rmse"] <= least * (1 + NEAR)}
    return next(name for name, off in near.items() if off < min(near.values()) + TIE)


def _try(log: Log, trial: Trial, found: Found) -> None:
    """Back-test what a trial asks for, and keep what it adds to the fits there are."""
    from clvkit.backtest import BacktestSection, back_test
    from clvkit.errors import ClvError
    from clvkit.models_section import ModelsSection

    models = ModelsSection(**{"sampled": (), "spend": SPEND} | trial.models)
    section = BacktestSection(
        origins=log.origins, horizon_days=log.horizon_days, baselines=(), interval=INTERVAL,
        posterior_draws=logs_measures.DRAWS,
    )  # fmt: skip
    try:
        made = back_test(
            log.purchases, section, models, as_of=log.as_of, currency=log.currency, minor_per_unit=log.minor_per_unit,
            silence_days=log.silence_days, calendar=trial.calendar, design=log.design,
        )  # fmt: skip
    except ClvError as error:
        found.refused[trial.kind] = f"{error.message}"
        return
    if trial.kind == "season" and any(one.fit.clock is None or one.fit.clock.plain for one in made):
        found.refused[trial.kind] = NO_SEASON
        return
    for one in made:
        word = WORDS[log.origins.index(one.origin)]
        name = f"{one.process}{trial.suffix}"
        if trial.kind != "pooled" and name in found.models and word in found.models[name]:
            continue  # the pooled process beside its refinement
        found.rows.setdefault(word, (rows_of(log, one), one))
        found.made[word, name] = one
        measures, errors = of_model(log, one, found.rows[word][0], SEED)
        _keep(
            found,
            name,
            word,
            measures,
            errors,
            kind=trial.kind,
            label=_label(one, trial),
            refines=_refined(name, trial),
        )


def _refined(name: str, trial: Trial) -> str | None:
    """The fit that another one refines; None for a process by itself."""
    if trial.kind == "pooled":
        return REFINED_OF.get(name)
    return name.removesuffix(trial.suffix).removesuffix("_by_segment").removesuffix("_with_covariates")


def _label(made: "Backtest", trial: Trial) -> str:
    words = {
        "spend": ", spend by frequency",
        "burn_in": ", without a burn-in's customers",
        "season": ", with a season",
    }
    return made.label + words.get(trial.kind, "")


def _rule(log: Log, name: str, found: Found) -> None:
    from clvkit.baselines import RULES

    for word in WORDS:
        rows, made = found.rows[word]
        _keep(
            found,
            name,
            word,
            *of_rule(log, made, rows, name),
            kind="rule",
            label=RULES[name].label,
            refines=None,
        )


def _keep(found: Found, name: str, word: str, measures: Measures, errors: Errors, **about) -> None:
    found.models.setdefault(name, about)[word] = measures.to_json()
    found.models[name].setdefault("labels", {})[word] = about["label"]
    found.errors[word][name] = errors


def _compare(found: Found, base: str) -> None:
    """Put beside every fit by how much its errors are smaller than those of what it refines, and than the rule's."""
    from clvkit.baselines import lead

    for word in WORDS:
        n, errors = found.rows[word][0]["n"].to_numpy(float), found.errors[word]
        for name, one in found.models.items():
            mine = errors[name]
            if one["refines"]:
                old = errors[one["refines"]]
                one[word]["crps_lead"] = lead(old.crps, mine.crps, n, INTERVAL)
                one[word]["mae_lead"] = lead(np.abs(old.mean), np.abs(mine.mean), n, INTERVAL)
            if one["kind"] != "rule":
                rule = np.abs(errors[RULE].mean)
                one[word]["mae_rule"] = lead(rule, np.abs(mine.mean), n, INTERVAL)
                one[word]["median_rule"] = lead(rule, np.abs(mine.median), n, INTERVAL)


def main(arguments: list[str] | None = None) -> int:
    """Try the logs that are asked for, keep what was found, and write it up."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--logs", default=",".join(LOGS), help=f"of {', '.join(LOGS)}; none writes up what there is"
    )
    options = parser.parse_args(arguments)
    path, names = FOLDER / f"{date.today()}.json", [one for one in options.logs.split(",") if one in LOGS]
    kept = load(path)
    if names:
        kept |= {"machine": results.machine(), "versions": results.our_versions()}
    for name in names:
        print(name, flush=True)
        try:
            kept["logs"][name] = measured(LOGS[name]())
        except Unavailable as why:
            kept["logs"].setdefault(name, {"unavailable": str(why)})
        results.save(path, rounded(kept))
    fill(README, "logs", section(kept))
    return 0


def rounded(found):
    """The same with six significant digits, which is more than a hold-out knows."""
    if isinstance(found, dict):
        return {name: rounded(one) for name, one in found.items()}
    if isinstance(found, list | tuple):
        return [rounded(one) for one in found]
    return float(f"{found:.6g}") if isinstance(found, float) else found


def load(path: Path) -> dict:
    """What was found before, by the newest file up to ``path``."""
    files = sorted(one for one in path.parent.glob("*.json") if one.name <= path.name)
    return json.loads(files[-1].read_text("utf-8")) if files else {"logs": {}}


if __name__ == "__main__":
    sys.exit(main())
