"""The kinds of artifact: what each is made from, how it is made, kept and read. One row per kind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.study import Study
    from clvkit.workbench import Workbench


@dataclass(frozen=True)
class Kind:
    """How one kind of artifact comes about.

    ``settings`` gives the part of the study that decides its content, ``needs`` the kinds it is made from,
    ``rooms`` the modules whose source counts, ``libraries`` the distributions whose version counts. All of
    them, with the arguments, make its key; a change in any makes it anew, and nothing else does.
    """

    make: Callable[..., Any]
    save: Callable[[Any, Path], object]
    load: Callable[[Path], Any]
    settings: Callable[["Study", Mapping[str, Any]], dict]
    needs: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()


def _make_ledger(bench: "Workbench") -> Any:
    from clvkit.ledger import build_ledger

    study = bench.study
    return build_ledger(study.ledger, as_of=study.as_of, currency=study.currency, base=study.base)


def _load_ledger(folder: Path) -> Any:
    from clvkit.ledger import Ledger

    return Ledger.load(folder)


def _make_cells(bench: "Workbench") -> "pd.DataFrame":
    from clvkit.customers import cells

    return cells(bench.summary())


def _make_spend_cells(bench: "Workbench") -> "pd.DataFrame":
    from clvkit.customers import spend_cells

    return spend_cells(bench.summary())


def _make_score_cells(bench: "Workbench") -> "pd.DataFrame":
    from clvkit.customers import score_cells

    return score_cells(bench.summary())


def _make_fit(bench: "Workbench", process: str) -> Any:
    from clvkit.fitting import fit_process

    study = bench.study
    return fit_process(process, bench.cells(), study.models, days_per_year=study.days_per_year)


def _make_spend(bench: "Workbench") -> Any:
    from clvkit.fitting import fit_spend

    return fit_spend(bench.spend_cells(), bench.study.models, 10 ** bench.ledger().minor_digits)


def _load_fit(folder: Path) -> Any:
    from clvkit.fit import Fit

    return Fit.load(folder)


def _make_valuation(bench: "Workbench") -> Any:
    from clvkit.valuation import valuation

    study = bench.study
    return valuation(
        bench.fit(study.models.headline),
        bench.spend(),
        bench.cells(),
        bench.get("score_cells"),
        study.value,
        as_of=study.as_of,
        grain=study.cohorts.grain,
        currency=study.currency,
        minor_per_unit=10 ** bench.ledger().minor_digits,
        days_per_year=study.days_per_year,
        seed=study.models.sampler.seed,
    )


def _load_valuation(folder: Path) -> Any:
    from clvkit.valuation import Valuation

    return Valuation.load(folder)


def _make_scores(bench: "Workbench") -> "pd.DataFrame":
    from clvkit.valuation import scores

    study = bench.study
    return scores(
        bench.fit(study.models.headline),
        bench.spend(),
        bench.get("score_cells"),
        study.value,
        minor_per_unit=10 ** bench.ledger().minor_digits,
        days_per_year=study.days_per_year,
    )


def _make_sensitivity(bench: "Workbench") -> Any:
    from clvkit.sensitivity import one_way

    study = bench.study
    return one_way(
        bench.fit(study.models.headline),
        bench.spend(),
        bench.cells(),
        study.value,
        study.sensitivity,
        currency=study.currency,
        minor_per_unit=10 ** bench.ledger().minor_digits,
        days_per_year=study.days_per_year,
    )


def _load_sensitivity(folder: Path) -> Any:
    from clvkit.sensitivity import Sensitivity

    return Sensitivity.load(folder)


def _make_backtests(bench: "Workbench") -> Any:
    from clvkit.backtest import back_test

    study, ledger = bench.study, bench.ledger()
    return back_test(
        ledger.purchases,
        study.backtest,
        study.models,
        as_of=study.as_of,
        currency=study.currency,
        minor_per_unit=10**ledger.minor_digits,
        silence_days=study.retention.silence_days,
        days_per_year=study.days_per_year,
    )


def _load_backtests(folder: Path) -> Any:
    from clvkit.backtest_results import Backtests

    return Backtests.load(folder)


def save_frame(frame: "pd.DataFrame", folder: Path) -> None:
    """Keep a table as Parquet."""
    frame.to_parquet(folder / "table.parquet", index=False)


def load_frame(folder: Path) -> "pd.DataFrame":
    """Read a table kept by :func:`save_frame`."""
    import pandas as pd

    return pd.read_parquet(folder / "table.parquet")


def _as_of(study: "Study", _: Mapping[str, Any]) -> dict:
    return {"as_of": study.as_of.isoformat()}


def _source(study: "Study", _: Mapping[str, Any]) -> dict:
    return {
        "as_of": study.as_of.isoformat(),
        "currency": study.currency,
        "ledger": study.ledger.model_dump(mode="json"),
    }


def _fit_settings(study: "Study", arguments: Mapping[str, Any]) -> dict:
    """What decides one fit: its own priors, whether it is sampled and how, and the unit of time."""
    process, models = arguments.get("process", "gammagamma"), study.models.model_dump(mode="json")
    return {
        "priors": models["priors"].get(process, {}),
        "sampled": process in models["sampled"],
        "sampler": models["sampler"],
        "time_unit": models["time_unit"],
        "days_per_year": study.days_per_year,
    }


def _value_settings(study: "Study", _: Mapping[str, Any]) -> dict:
    headline = study.models.headline
    return {
        "process": headline,
        "fit": _fit_settings(study, {"process": headline}),
        "value": study.value.model_dump(mode="json"),
        "grain": study.cohorts.grain,
        "as_of": study.as_of.isoformat(),
        "currency": study.currency,
    }


def _sensitivity_settings(study: "Study", arguments: Mapping[str, Any]) -> dict:
    moved = study.sensitivity.model_dump(mode="json", exclude={"max_assumption_effect"})
    return _value_settings(study, arguments) | {"sensitivity": moved}


def _backtest_settings(study: "Study", _: Mapping[str, Any]) -> dict:
    """All but the thresholds: a new threshold judges anew, and fits nothing."""
    from clvkit.backtest import THRESHOLDS

    return {
        "backtest": study.backtest.model_dump(mode="json", exclude=THRESHOLDS),
        "models": study.models.model_dump(mode="json"),
        "silence_days": study.retention.silence_days,
        "days_per_year": study.days_per_year,
        "as_of": study.as_of.isoformat(),
        "currency": study.currency,
    }


_FITTING = ("clvkit.processes", "clvkit.fitting", "clvkit.fit", "clvkit.optimum", "clvkit.sampling")
_VALUING = (*_FITTING, "clvkit.value", "clvkit.valuation", "clvkit.outcomes", "clvkit.estimate")
_TRYING = (
    "clvkit.accuracy",
    "clvkit.backtest",
    "clvkit.backtest_origin",
    "clvkit.backtest_results",
    "clvkit.baselines",
    "clvkit.customers",
    "clvkit.forecast",
)
_MATHS = ("numpy", "scipy", "numba", "nutpie")

_ENGINE = ("ibis-framework", "duckdb", "pandas")

KINDS: dict[str, Kind] = {
    "ledger": Kind(
        _make_ledger,
        lambda ledger, folder: ledger.save(folder),
        _load_ledger,
        _source,
        rooms=("clvkit.ledger",),
        libraries=_ENGINE,
    ),
    "cells": Kind(
        _make_cells,
        save_frame,
        load_frame,
        _as_of,
        needs=("ledger",),
        rooms=("clvkit.customers",),
        libraries=_ENGINE,
    ),
    "spend_cells": Kind(
        _make_spend_cells,
        save_frame,
        load_frame,
        _as_of,
        needs=("ledger",),
        rooms=("clvkit.customers",),
        libraries=_ENGINE,
    ),
    "score_cells": Kind(
        _make_score_cells,
        save_frame,
        load_frame,
        _as_of,
        needs=("ledger",),
        rooms=("clvkit.customers",),
        libraries=_ENGINE,
    ),
    "fit": Kind(
        _make_fit,
        lambda fit, folder: fit.save(folder),
        _load_fit,
        _fit_settings,
        needs=("cells",),
        rooms=_FITTING,
        libraries=_MATHS,
    ),
    "spend": Kind(
        _make_spend,
        lambda fit, folder: fit.save(folder),
        _load_fit,
        _fit_settings,
        needs=("spend_cells",),
        rooms=_FITTING,
        libraries=_MATHS,
    ),
    "valuation": Kind(
        _make_valuation,
        lambda value, folder: value.save(folder),
        _load_valuation,
        _value_settings,
        needs=("cells", "score_cells", "spend"),
        rooms=_VALUING,
        libraries=_MATHS,
    ),
    "scores": Kind(
        _make_scores,
        save_frame,
        load_frame,
        _value_settings,
        needs=("cells", "score_cells", "spend"),
        rooms=_VALUING,
        libraries=_MATHS,
    ),
    "backtests": Kind(
        _make_backtests,
        lambda tried, folder: tried.save(folder),
        _load_backtests,
        _backtest_settings,
        needs=("ledger",),
        rooms=(*_VALUING, *_TRYING),
        libraries=(*_MATHS, *_ENGINE),
    ),
    "sensitivity": Kind(
        _make_sensitivity,
        lambda moved, folder: moved.save(folder),
        _load_sensitivity,
        _sensitivity_settings,
        needs=("cells", "spend"),
        rooms=(*_VALUING, "clvkit.sensitivity", "clvkit.drivers"),
        libraries=_MATHS,
    ),
}
