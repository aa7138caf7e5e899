"""Chapter 04: customers who bought once, and what BG/NBD makes of them."""

from typing import TYPE_CHECKING

import numpy as np

from clvkit import numbers
from clvkit.checks import Check

if TYPE_CHECKING:
    from clvkit.workbench import Workbench

CHAPTER = "04_value"
ARTEFACT = "bgnbd"


def checks(run: "Workbench") -> list[Check]:
    """The caveat of a run that fits BG/NBD: every one-time buyer is alive in it; nothing where it is not fitted, or nobody is one."""
    models, cells = run.study.models, run.fitted_cells()
    once = cells[cells["frequency"] == 0]
    if ARTEFACT not in models.processes or once.empty:
        return []
    n = once["n"].to_numpy(float)
    alive = {name: _alive(run, name, once, n) for name in models.processes}
    others = [
        f"{run.fit(name).label} {numbers.percent(alive[name], 0)}"
        for name in models.processes
        if name != ARTEFACT
    ]
    heads = models.headline == ARTEFACT
    share = n.sum() / cells["n"].sum()
    beside = f"; of the same customers {' and '.join(others)} are" if others else ""
    return [Check(
        "fit.one_time_buyers",
        "BG/NBD takes every customer without a repeat purchase for alive",
        "review" if heads else "info",
        f"{numbers.count(n.sum())} customers, {numbers.percent(share, 0)}, have not bought again. In BG/NBD each of them is alive with "
        f"probability {numbers.number(alive[ARTEFACT], 0)}, however long ago the purchase: an artefact, as nobody can leave in it before a first repeat "
        f"purchase, and not a finding{beside}. They stay in the fit of every process, which learns from them how soon customers leave.",
        value=float(alive[ARTEFACT]), threshold=None, unit="P(alive) of one-time buyers", severity="warn", chapter=CHAPTER,
        recommendation="Compute the value with MBG/NBD or Pareto/NBD (models.headline), in which a customer can leave after the first purchase."
        if heads
        else "",
    )]  # fmt: skip


def _alive(run: "Workbench", name: str, once, n: np.ndarray) -> float:
    """Mean P(alive) of the customers of ``once`` at the estimate."""
    from clvkit.histories import Histories

    fit = run.fit(name)
    return float(Histories.of(fit, once).p_alive(fit.mle[None])[0] @ n / n.sum())
