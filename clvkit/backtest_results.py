"""What back-tests found: kept as JSON and Parquet, and stated as ``results.json`` has it."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from clvkit.accuracy import Accuracy
from clvkit.baselines import Baseline, Span
from clvkit.checks import Check
from clvkit.estimate import Estimate
from clvkit.fit import Fit
from clvkit.verdict import Verdict, checks, judge

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.backtest import BacktestSection
    from clvkit.covariates import CovariateFit
    from clvkit.segments import SegmentedFit


@dataclass(frozen=True)
class Backtest:
    """One process (all customers together, or by segment), fitted on what was known at one origin, and what then happened.

    Attributes
    ----------
    span : forecast horizon, and the days that the simple rules look back on.
    customers, new_customers : known at the origin; and first seen after it, who are in nothing here.
    fit, spend : of purchases and of spend per purchase, at the origin.
    actual, predicted : ``transactions`` (repeat purchase days), ``value`` (revenue in major units, undiscounted,
        no margin) and ``buyers`` (customers who bought at least once; forecast only with a posterior).
    accuracy, at_mle : of the posterior means, and of the plug-in at maximum likelihood.
    coverage, coverage_expected : see `clvkit.forecast.Forecast`.
    tables : ``frequency_class`` and, where the study has segments, ``segment`` (see `clvkit.accuracy.by_group`);
        ``calibration``, the same by tenths of customers in order of their forecast, lowest first; ``tracking``
        with ``days`` since the origin, ``day``, and cumulative repeat purchases ``actual, predicted, low, high``
        (the last three from the origin on); ``one_time``, of customers who had bought once (see `clvkit.backtest_one_time`).
    refused : sentences, one for everything of the study's calendar that could not be told at the origin, and is not in this fit.
    """

    origin: date
    process: str
    span: Span
    customers: int
    new_customers: int
    fit: "Fit | SegmentedFit"
    spend: "Fit | SegmentedFit"
    actual: dict[str, float]
    predicted: dict[str, Estimate]
    accuracy: Accuracy
    at_mle: Accuracy
    coverage: float
    coverage_expected: float
    baselines: dict[str, Baseline]
    tables: "dict[str, pd.DataFrame]"
    verdict: Verdict | None = None
    refused: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The process as readers know it."""
        return self.fit.label

    @property
    def horizon_days(self) -> int:
        """Length of the forecast in days."""
        return self.span.horizon_days

    @property
    def end(self) -> date:
        """Last day of the forecast."""
        return self.origin + timedelta(days=self.horizon_days)

    @property
    def bias_value(self) -> float | None:
        """(Forecast − actual) / actual revenue; None where there was none."""
        actual = self.actual["value"]
        return self.predicted["value"].value / actual - 1 if actual > 0 else None

    @property
    def missed(self) -> bool:
        """Whether purchases or revenue fell outside their outcome interval."""
        made = ((self.predicted[name], self.actual[name]) for name in ("transactions", "value"))
        return any(one.low is not None and not one.low <= actual <= one.high for one, actual in made)

    def to_json(self) -> dict:
        """The back-test as ``results.json`` holds it."""
        measures = self.accuracy.to_json()
        for name in ("customers", "actual", "predicted"):
            del measures[name]
        plug = {name: getattr(self.at_mle, name) for name in ("bias", "mae", "rmse", "correlation", "wmape")}
        groups = self.tables["frequency_class"].astype(object)
        groups = groups.where(groups.notna(), None)
        interval = self.predicted["transactions"].interval
        return {
            "origin": self.origin.isoformat(),
            "end": self.end.isoformat(),
            "horizon_days": self.horizon_days,
            "process": self.process,
            "customers": self.customers,
            "new_customers": self.new_customers,
            "fit": self.fit.to_json(interval),
            "spend_fit": self.spend.to_json(interval),
            "actual": self.actual,
            "predicted": {name: one.to_json() for name, one in self.predicted.items()},
            **measures,
            "bias_value": self.bias_value,
            "mle": plug,
            "coverage_90": self.coverage,
            "coverage_90_expected": self.coverage_expected,
            "segments": groups.to_dict("records"),
            "baselines": {name: one.to_json() for name, one in self.baselines.items()},
            "window_days": self.span.window_days,
            "hiatus_days": self.span.hiatus_days,
            "not_told": list(self.refused),
            "verdict": self.verdict.level if self.verdict else None,
            "reason": self.verdict.reason if self.verdict else None,
        }

    def save(self, folder: Path) -> None:
        """Write the fits, the tables as Parquet, and the rest as JSON; the verdict is not kept."""
        folder.mkdir(parents=True, exist_ok=True)
        self.fit.save(folder / "fit")
        self.spend.save(folder / "spend")
        for name, frame in self.tables.items():
            frame.to_parquet(folder / f"{name}.parquet", index=False)
        made = {name: getattr(self, name) for name in (
            "refused", "process", "customers", "new_customers", "actual", "coverage", "coverage_expected")}  # fmt: skip
        made |= {
            "origin": self.origin.isoformat(),
            "span": asdict(self.span),
            "predicted": {name: asdict(one) for name, one in self.predicted.items()},
            "accuracy": asdict(self.accuracy),
            "at_mle": asdict(self.at_mle),
            "baselines": {name: asdict(one) for name, one in self.baselines.items()},
            "tables": list(self.tables),
        }
        (folder / "backtest.json").write_text(json.dumps(made), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Backtest":
        """Read what `save` wrote."""
        import pandas as pd

        made = json.loads((folder / "backtest.json").read_text(encoding="utf-8"))
        return cls(**made | {
            "refused": tuple(made["refused"]),
            "origin": date.fromisoformat(made["origin"]),
            "span": Span(**made["span"]),
            "fit": _fit(folder / "fit"),
            "spend": _fit(folder / "spend"),
            "predicted": {name: Estimate(**one) for name, one in made["predicted"].items()},
            "accuracy": Accuracy(**made["accuracy"]),
            "at_mle": Accuracy(**made["at_mle"]),
            "baselines": {name: _baseline(one) for name, one in made["baselines"].items()},
            "tables": {name: pd.read_parquet(folder / f"{name}.parquet") for name in made["tables"]},
        })  # fmt: skip


@dataclass(frozen=True)
class Backtests:
    """All back-tests of a study, by origin and then in the order of its processes.

    ``headline`` is the process that the value is computed with: its back-tests are the ones that bind.
    """

    headline: str
    currency: str
    all: tuple[Backtest, ...] = field(default=())

    def __iter__(self) -> Iterator[Backtest]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self.all)

    @property
    def champion(self) -> tuple[Backtest, ...]:
        """The back-tests of the headline process, earliest origin first."""
        return tuple(b for b in self.all if b.process == self.headline)

    @property
    def latest(self) -> Backtest | None:
        """The headline process from the latest origin; None where the study names no origin."""
        return self.champion[-1] if self.champion else None

    def judged(self, section: "BacktestSection") -> "Backtests":
        """The same with verdicts by the study's thresholds."""
        return replace(self, all=tuple(replace(b, verdict=judge(b, section)) for b in self.all))

    def checks(self) -> list[Check]:
        """The checks on the headline process; see `clvkit.verdict.checks`."""
        return checks(self.champion)

    def to_json(self) -> list[dict]:
        """The ``backtests`` of ``results.json``."""
        return [b.to_json() for b in self.all]

    def save(self, folder: Path) -> None:
        """Write every back-test into a folder of its own."""
        names = [f"{b.origin.isoformat()}_{b.process}" for b in self.all]
        for name, b in zip(names, self.all, strict=True):
            b.save(folder / name)
        made = {"headline": self.headline, "currency": self.currency, "all": names}
        (folder / "backtests.json").write_text(json.dumps(made), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Backtests":
        """Read what `save` wrote."""
        made = json.loads((folder / "backtests.json").read_text(encoding="utf-8"))
        return cls(
            made["headline"], made["currency"], tuple(Backtest.load(folder / name) for name in made["all"])
        )


def _fit(folder: Path) -> "Fit | SegmentedFit | CovariateFit":
    """The fit that was kept: of all, by segment or with covariates, or the means of segments."""
    from clvkit.covariates import CovariateFit
    from clvkit.segments import SegmentedFit
    from clvkit.spend_segments import AnySpend

    if (folder / "covariates.json").exists():
        return CovariateFit.load(folder)
    return (SegmentedFit if (folder / "segments.json").exists() else AnySpend).load(folder)


def _baseline(made: dict) -> Baseline:
    leads = {name: tuple(made[name]) for name in ("mae_lead", "mse_lead")}
    return Baseline(**made | leads | {"accuracy": Accuracy(**made["accuracy"])})
