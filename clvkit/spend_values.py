"""Customer equity with each of the models of spend, beside the one that is used."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clvkit.averaging import totals
from clvkit.estimate import Estimate
from clvkit.fitting import fit_spend
from clvkit.spend_segments import SegmentMeans
from clvkit.value import Future, Terms, ValueSection, pair

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.fit import Fit
    from clvkit.models_section import ModelsSection
    from clvkit.spend_choice import SpendChoice

SAMPLED_UP_TO = (
    50_000  # spend cells; above, a model that is not used has no interval, which would cost minutes
)


@dataclass(frozen=True)
class SpendValues:
    """Customer equity within the horizon by model of spend (`processes.SPEND` and ``segment_means``), and the one used."""

    used: str
    equity: dict[str, Estimate]

    def to_json(self) -> dict:
        """The estimates as ``results.json`` holds them under ``spend_values``."""
        return {
            "used": self.used,
            "customer_equity": {name: one.to_json() for name, one in self.equity.items()},
        }

    def save(self, folder: Path) -> None:
        """Write them as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "spend_values.json").write_text(json.dumps(self.to_json()), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "SpendValues":
        """Read what `save` wrote."""
        made = json.loads((folder / "spend_values.json").read_text(encoding="utf-8"))
        return cls(made["used"], {name: Estimate(**one) for name, one in made["customer_equity"].items()})


def spend_values(
    fit: "Fit",
    used: "Fit | SegmentMeans",
    choice: "SpendChoice",
    cells: "pd.DataFrame",
    score_cells: "pd.DataFrame",
    section: ValueSection,
    models: "ModelsSection",
    *,
    currency: str,
    minor_per_unit: float,
    days_per_year: float,
) -> SpendValues:
    """Value all customers with each model of spend that can be fitted, purchases being the same.

    Parameters
    ----------
    fit, used : the process and the model of spend that the value is computed with.
    cells : as `clvkit.valuation.valuation` takes them.
    score_cells : ``segment, frequency, spend_minor, n``, which the other models are fitted to.
    """
    terms, everybody = [(Terms.of(section, days_per_year), Future())], [np.zeros(len(cells), int)]

    def equity(spend) -> Estimate:
        def at(draws):
            (found,) = totals(fit, spend, draws, cells, everybody, terms, minor_per_unit, money_only=True)
            return found[0].value[:, 0]

        (mle,) = at((fit.mle[None], spend.mle[None]))
        drawn = at(pair(fit, spend, section.posterior_draws))
        return Estimate.from_draws(drawn, interval=section.interval, mle=mle, unit=currency)

    found = {used.process: equity(used)}
    for name, at_peak in choice.fits.items():
        if name not in found:
            found[name] = equity(_sampled(at_peak, score_cells, models, minor_per_unit))
    if used.process != "segment_means":
        found["segment_means"] = equity(SegmentMeans.of(score_cells, minor_per_unit))
    order = ("gammagamma", "by_frequency", "segment_means")
    return SpendValues(used.process, {name: found[name] for name in order if name in found})


def _sampled(
    fit: "Fit", score_cells: "pd.DataFrame", models: "ModelsSection", minor_per_unit: float
) -> "Fit":
    """A model that is not used, with a quick posterior where one is asked for and costs little."""
    if "gammagamma" not in models.sampled or fit.cells > SAMPLED_UP_TO:
        return fit
    quick = models.model_copy(update={"sampler": models.sampler.model_copy(update={"method": "laplace"})})
    return fit_spend(score_cells, quick, minor_per_unit, model=fit.process, sample=True)
