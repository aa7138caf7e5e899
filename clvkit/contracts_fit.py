"""Fitting models of renewals to contract cells, of all contracts together and by segment.

A **contract cell** counts contracts with one history: ``renewals`` made when last seen, whether the contract then
``ended`` (was cancelled at renewal number ``renewals`` + 1), ``entry`` (renewals already made when observation of it
began; 0 where the column is missing) and ``n``. `clvkit.processes.contract` has the models.
"""

from typing import TYPE_CHECKING

import numpy as np

from clvkit.errors import FitError
from clvkit.fitting import _fit, priors_of
from clvkit.rules import listed
from clvkit.segments import SegmentedFit, _fit_packed, segment_names

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.fit import Fit
    from clvkit.models_section import ModelsSection
    from clvkit.processes.contract import Contract

HISTORY = ["renewals", "ended", "entry"]
_LONGER, _SURER = 4, 0.98  # draws per draw asked for, and the acceptance rate, for BdW


def fit_contracts(
    cells: "pd.DataFrame",
    section: "ModelsSection",
    *,
    model: str = "sbg",
    period_days: float,
    sample: bool | None = None,
) -> "Fit":
    """Fit a model of renewals to contract cells.

    Parameters
    ----------
    cells : columns ``renewals``, ``ended``, ``n`` and, where some were not seen from their start, ``entry``; order and
        grouping do not matter.
    model : one of `clvkit.processes.CONTRACT`.
    period_days : from one renewal to the next; the unit of the fit.
    sample : whether to draw a posterior; default: whether ``section.sampled`` names the model.

    Notes
    -----
    The posterior of BdW has four draws for each that ``section.sampler`` asks for.
    Where maximum likelihood runs away, as to contracts that are all alike (no end to their concentration), the fit says
    so in ``at_bound``.

    Raises
    ------
    FitError : a history that no contract can have, and where there is nothing to learn from: no renewal came up, all that
        did were made, or they came up at fewer ages than the model has parameters.
    """
    from clvkit import processes

    chosen = processes.get(model)
    columns = _columns(_merged(cells, chosen))
    _require_something_to_learn(chosen, *columns)
    return _fit(
        chosen,
        columns,
        priors_of(model, section),
        _patient(section) if model == "bdw" else section,
        scale=1.0,
        densities=0.0,
        unit=period_days,
        sample=model in section.sampled if sample is None else sample,
    )


def fit_contracts_by_segment(
    cells: "pd.DataFrame",
    section: "ModelsSection",
    *,
    model: str = "sbg",
    period_days: float,
    sample: bool | None = None,
) -> SegmentedFit:
    """Fit a model of renewals by segment, with partial pooling.

    ``cells`` are as `fit_contracts` takes them, with ``segment``. A segment in which no renewal came up yet has the
    parameters that segments have in general, and one in which nobody left or hardly any age was seen leans on the others.

    Raises
    ------
    FitError : fewer than two segments, or what `fit_contracts` refuses of all contracts together.
    """
    pooled = fit_contracts(cells, section, model=model, period_days=period_days, sample=False)
    packed = {}
    for name, part in cells.groupby(segment_names(cells)):
        columns = _columns(_merged(part, pooled.model))
        packed[str(name)] = *pooled.model.prepare(*columns), round(columns[-1].sum())
    return _fit_packed(
        pooled,
        packed,
        section,
        densities=0.0,
        sample_it=model in section.sampled if sample is None else sample,
    )


def _patient(section: "ModelsSection") -> "ModelsSection":
    """The section with longer chains of smaller steps.

    Few rates of retention hardly tell unlike contracts (low concentration, c > 1) from alike ones whose churn falls: the
    posterior of BdW is a long bent ridge, at whose ends chains of the usual step get stuck. A likelihood of a few dozen
    cells makes the remedy cheap.
    """
    asked = section.sampler
    surer = {"draws": _LONGER * asked.draws, "target_accept": max(_SURER, asked.target_accept)}
    return section.model_copy(update={"sampler": asked.model_copy(update=surer)})


def _merged(cells: "pd.DataFrame", model: "Contract") -> "pd.DataFrame":
    """One row per history that is there, sorted; refused before anything is added up."""
    from clvkit.processes.contract import require_possible

    given = cells.assign(entry=cells["entry"] if "entry" in cells else 0)[[*HISTORY, "n"]]
    require_possible(model.label, *(given[name].to_numpy() for name in (*HISTORY, "n")))
    whole = given.astype({"renewals": np.int64, "ended": bool, "entry": np.int64, "n": float})
    merged = whole[whole["n"] > 0].groupby(HISTORY, as_index=False)["n"].sum()
    return merged.sort_values(HISTORY)


def _columns(merged: "pd.DataFrame") -> tuple[np.ndarray, ...]:
    """What `Model.prepare` takes."""
    return tuple(merged[name].to_numpy() for name in (*HISTORY, "n"))


def _require_something_to_learn(model: "Contract", renewals, ended, entry, n) -> None:
    contracts, came_up = n.sum(), n @ (renewals - entry + ended)
    if not came_up:
        raise FitError(
            f"{model.label} cannot be fitted: none of {contracts:,.0f} contracts has come to a renewal while it was observed",
            fix="take a later as-of date, by which some could have been left",
        )
    if not (n @ ended):
        raise FitError(
            f"{model.label} cannot be fitted: all {came_up:,.0f} renewals that came up were made, so that the likelihood "
            "only grows as churn goes to 0",
            fix="take a later as-of date or more contracts, and see whether the data record how contracts end",
        )
    came = [np.arange(a + 1, m + e + 1) for a, m, e in zip(entry, renewals, ended, strict=True)]
    ages, needed = np.unique(np.concatenate(came)), len(model.parameters)
    if len(ages) < needed:
        simpler = "use sbg, or " if model.name == "bdw" and len(ages) > 1 else ""
        raise FitError(
            f"{model.label} has {needed} parameters, so renewals of at least {needed} different numbers must have come up "
            f"(got renewal {listed(ages)}): of fewer rates of retention no curve can be told",
            fix=f"{simpler}take a later as-of date or contracts that began earlier",
        )
