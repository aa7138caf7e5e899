"""Models of renewals for all contracts of a study: by billing period, sBG or BdW, and by segment where that foretells more.

Contracts billed differently have no chance of leaving in common, since a renewal means another thing to them. Those of one
period are fitted by themselves where enough of them ended; a thin period leans on the others, by the partial pooling of
`clvkit.segments`. Within a period, segments are fitted the same way, and are used only if what came after an earlier day was
foretold better with them.
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clvkit.contracts_fit import fit_contracts, fit_contracts_by_segment
from clvkit.contracts_section import ContractsSection
from clvkit.errors import FitError

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.contracts import Contracts
    from clvkit.fit import Fit
    from clvkit.models_section import ModelsSection
    from clvkit.processes.contract import Contract
    from clvkit.segments import SegmentedFit

#: Below, a likelihood-ratio test of BdW against sBG says that a customer's own chance of leaving changes with tenure.
LEVEL = 0.05
#: Contracts of a period are fitted by themselves from so many ends on, where there are other periods to lean on.
ENOUGH_ENDS = 30
#: By how much segments must raise the log-probability of what came after an earlier day: about 7 to 1.
WORTH_IT = 2.0


@dataclass(frozen=True)
class OneOf:
    """One segment of a fit by segment, where a fit is asked for."""

    of: "SegmentedFit"
    segment: str

    @property
    def model(self) -> "Contract":
        """The model that was fitted."""
        return self.of.model

    @property
    def label(self) -> str:
        """The fit as readers know it."""
        return f"{self.model.label}, leaning on the others"

    @property
    def mle(self) -> np.ndarray:
        """The segment's estimate: (k,)."""
        return self.of.mle[self._place]

    def posterior(self, count: int) -> np.ndarray:
        """At most ``count`` draws of its parameters: (draws, k)."""
        return self.of.posterior(count)[:, self._place]

    @property
    def _place(self) -> int:
        return self.of.segments.index(self.segment)


@dataclass(frozen=True)
class PeriodFits:
    """The models of renewals of contracts that are billed every ``months`` months.

    Attributes
    ----------
    relations, ends : histories that were fitted to, and how many of them ended.
    sbg, bdw : by themselves; None where there is too little to learn from, and ``why`` then says so.
    by_segment : the model used, by segment; None where the study names none, or fewer than two are there.
    gain : log-probability of what came after an earlier day by segment over that without; NaN where it was not tried.
    """

    months: int
    relations: int
    ends: int
    sbg: "Fit | None"
    bdw: "Fit | None" = None
    why: str = ""
    by_segment: "SegmentedFit | None" = None
    gain: float = float("nan")

    @property
    def ratio(self) -> tuple[float, float]:
        """Likelihood-ratio statistic of BdW against sBG, and its p (χ² with one degree of freedom); NaN without BdW."""
        from scipy.stats import chi2

        if self.sbg is None or self.bdw is None:
            return float("nan"), float("nan")
        twice = max(2 * (self.bdw.log_likelihood - self.sbg.log_likelihood), 0.0)
        return twice, float(chi2.sf(twice, 1))

    @property
    def used(self) -> "Fit | None":
        """BdW where the data reject a constant chance of leaving, else sBG: the simpler one wins where nothing is told."""
        return self.bdw if self.bdw is not None and self.ratio[1] < LEVEL else self.sbg

    @property
    def segments_used(self) -> bool:
        """Whether value is computed by segment: where that foretold more of what came, or by BIC where nothing came."""
        if self.by_segment is None:
            return False
        if np.isnan(self.gain):
            return self.by_segment.aic_bic()[1] < self.used.aic_bic()[1] - 2 * WORTH_IT
        return self.gain > WORTH_IT


@dataclass(frozen=True)
class ContractFits:
    """The models of renewals of a study, by billing period; ``leaning`` is that of all periods, which thin ones lean on."""

    parts: dict[int, PeriodFits]
    leaning: "SegmentedFit | None" = None
    segment_by: str | None = field(default=None)

    @property
    def main(self) -> PeriodFits:
        """The period with the most relations."""
        return max(self.parts.values(), key=lambda one: (one.sbg is not None, one.relations))

    @property
    def main_months(self) -> int:
        """Months from renewal to renewal in that period."""
        return next(months for months, one in self.parts.items() if one is self.main)

    @property
    def sbg(self) -> "Fit":
        """The sBG of the main period."""
        return self.main.sbg

    @property
    def bdw(self) -> "Fit | None":
        """BdW of the main period."""
        return self.main.bdw

    @property
    def why(self) -> str:
        """Why the main period has no BdW."""
        return self.main.why

    @property
    def ratio(self) -> tuple[float, float]:
        """The test of BdW against sBG in the main period."""
        return self.main.ratio

    @property
    def used(self) -> "Fit":
        """The model of the main period."""
        return self.main.used

    @property
    def column(self) -> str | None:
        """The column of relations and histories that parts them, where any period is valued by segment."""
        parted = any(one.segments_used for one in self.parts.values())
        return column_of(self.segment_by) if parted else None

    def of(self, months: int, segment: str | None = None, *, plain: bool = False) -> "Fit | OneOf":
        """The fit that relations billed every ``months`` months are valued with; ``plain``: without segments."""
        one = self.parts[months]
        if not plain and segment is not None and one.segments_used and segment in one.by_segment.segments:
            return OneOf(one.by_segment, segment)
        return one.used or OneOf(self.leaning, str(months))

    def save(self, folder: Path) -> None:
        """Write every fit."""
        folder.mkdir(parents=True, exist_ok=True)
        said = []
        for months, one in self.parts.items():
            plain = {
                "months": months,
                "relations": one.relations,
                "ends": one.ends,
                "why": one.why,
                "gain": one.gain,
            }
            said.append(plain | {"has": [name for name in _KEPT if getattr(one, name) is not None]})
            for name in said[-1]["has"]:
                getattr(one, name).save(folder / f"{months}_{name}")
        if self.leaning is not None:
            self.leaning.save(folder / "leaning")
        made = {"segment_by": self.segment_by, "parts": said}
        (folder / "fits.json").write_text(json.dumps(made), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "ContractFits":
        """Read what `save` wrote."""
        from clvkit.fit import Fit
        from clvkit.segments import SegmentedFit

        made = json.loads((folder / "fits.json").read_text(encoding="utf-8"))
        kinds = {"sbg": Fit, "bdw": Fit, "by_segment": SegmentedFit}
        parts = {}
        for said in made["parts"]:
            fits = {name: kinds[name].load(folder / f"{said['months']}_{name}") for name in said.pop("has")}
            parts[said["months"]] = PeriodFits(**said, **{"sbg": None} | fits)
        leaning = SegmentedFit.load(folder / "leaning") if (folder / "leaning").exists() else None
        return cls(parts, leaning, made["segment_by"])


_KEPT = ("sbg", "bdw", "by_segment")


def column_of(segment_by: str | None) -> str | None:
    """The column of relations and histories that ``contracts.segment_by`` names."""
    return segment_by if segment_by in (None, "plan") else f"about_{segment_by}"


def fit_both(
    held: "Contracts",
    section: ContractsSection,
    models: "ModelsSection",
    days_per_year: float,
    *,
    before: "Contracts | None" = None,
    sample: bool = True,
) -> ContractFits:
    """Fit sBG and BdW to the histories of each billing period, and by segment where the study asks for it.

    The model that is used has a posterior, unless ``sample`` is false.

    ``before`` are the same contracts as they were known on an earlier day, from which segments are tried.

    Raises
    ------
    FitError : there is nothing to learn from, as nobody left or nobody could.
    """
    if not held.periods:
        raise FitError("no contract had begun", fix="take a later as-of date")
    parts: dict[int, PeriodFits] = {}
    alone = len(held.periods) == 1
    column = column_of(section.segment_by)
    for months in held.periods:
        cells = held.cells(period_months=months)
        ends = int(cells.loc[cells["ended"].astype(bool), "n"].sum())
        counts = {"months": months, "relations": int(cells["n"].sum()), "ends": ends}
        asked = {"period_days": months * days_per_year / 12, "sample": False}
        try:
            if not alone and ends < ENOUGH_ENDS:
                raise FitError(f"only {ends} of them ended")
            sbg = fit_contracts(cells, models, model="sbg", **asked)
        except FitError as error:
            if alone:
                raise
            parts[months] = PeriodFits(**counts, sbg=None, why=str(error).split("\n", 1)[0])
            continue
        one = _with_posterior(
            PeriodFits(**counts, sbg=sbg, **_bdw(cells, models, asked)), cells, models, asked, sample
        )
        if column is not None:
            one = _by_segment(one, held, column, models, asked | {"sample": sample}, before)
        parts[months] = one
    leaning = None
    if any(one.sbg is None for one in parts.values()):
        cells = held.cells("period_months")
        leaning = fit_contracts_by_segment(
            cells, models, model="sbg", period_days=days_per_year / 12, sample=sample
        )
    return ContractFits(parts, leaning, section.segment_by)


def _bdw(cells: "pd.DataFrame", models: "ModelsSection", asked: dict) -> dict:
    try:
        return {"bdw": fit_contracts(cells, models, model="bdw", **asked)}
    except FitError as error:
        return {"why": str(error).split("\n", 1)[0]}


def _with_posterior(
    one: PeriodFits, cells: "pd.DataFrame", models: "ModelsSection", asked: dict, sample: bool
) -> PeriodFits:
    """The fits with the posterior of the one that is used; that of BdW takes far longer, and is mostly not needed."""
    if not sample:
        return one
    name = one.used.process
    return replace(one, **{name: fit_contracts(cells, models, model=name, **asked | {"sample": True})})


def _by_segment(
    one: PeriodFits,
    held: "Contracts",
    column: str,
    models: "ModelsSection",
    asked: dict,
    before: "Contracts | None",
) -> PeriodFits:
    """The fits of a period with that by segment, and what segments foretold from an earlier day."""
    cells, model = held.cells(column, one.months), one.used.process
    if cells["segment"].nunique() < 2:
        return one
    fitted = fit_contracts_by_segment(cells, models, model=model, **asked)
    gain = float("nan") if before is None else _gain(held, before, column, one.months, model, models, asked)
    return replace(one, by_segment=fitted, gain=gain)


def _gain(
    held: "Contracts",
    before: "Contracts",
    column: str,
    months: int,
    model: str,
    models: "ModelsSection",
    asked: dict,
) -> float:
    """Log-probability of what came after ``before``, by segment less together, at estimates of what was known then."""
    from clvkit.contract_past import what_came

    came = what_came(before, held)
    came = came[came["period_months"] == months]
    cells, quick = before.cells(column, months), asked | {"sample": False}
    if came.empty or cells.empty:
        return float("nan")
    try:
        together = fit_contracts(cells, models, model=model, **quick)
        apart = fit_contracts_by_segment(cells, models, model=model, **quick)
    except FitError:
        return float("nan")
    segment = came[column].fillna("not named").astype(str)
    score = lambda at, rows: together.model.log_likelihood(at, rows["until"], rows["left"], rows["renewals"])  # noqa: E731
    total = 0.0
    for name, rows in came.groupby(segment):
        if name in apart.segments:
            total += score(apart.mle[apart.segments.index(name)], rows) - score(together.mle, rows)
    return float(total)
