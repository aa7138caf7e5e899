"""Dormant customers: how many there are beyond a silence, what they hold, and customer equity under each treatment.

P(alive) falls with silence by itself. A rule of dormancy goes further, by policy and not by evidence: it writes value off that
the process still sees. So all treatments stand side by side, with what each takes away.
"""

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clvkit.dormancy_section import TREATMENTS, DormancySection, Treatment
from clvkit.estimate import Estimate
from clvkit.value import Future, Terms, pair

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

    from clvkit.fit import Fit
    from clvkit.value import ValueSection

#: Shares of gaps that thresholds are tried at, beside the study's.
QUANTILES = (0.90, 0.95, 0.99)


@dataclass(frozen=True)
class Dormancy:
    """Customer equity by threshold and treatment.

    Attributes
    ----------
    table : one row per threshold: ``after_days``, ``from`` (``study``, or the share of gaps that are no longer), ``customers``
        beyond it, ``held`` (their value as the process leaves it), and customer equity under ``retain``, ``depreciate`` and
        ``zero``, each with ``…_low`` and ``…_high`` (missing without a posterior). Money in major units.
    after_days : the threshold of the study, or of its quantile. ``treatment`` and ``half_life_days`` are the study's.
    """

    table: "pd.DataFrame"
    after_days: int
    treatment: Treatment
    half_life_days: float
    interval: float

    @property
    def row(self) -> "pd.Series":
        """The line of the study's threshold."""
        return self.table[self.table["after_days"] == self.after_days].iloc[0]

    def save(self, folder: Path) -> None:
        """Write the table as Parquet, the rest in its columns."""
        folder.mkdir(parents=True, exist_ok=True)
        kept = {name: getattr(self, name) for name in ("treatment", "half_life_days", "interval")}
        self.table.assign(study=self.after_days, **kept).to_parquet(folder / "dormancy.parquet", index=False)

    @classmethod
    def load(cls, folder: Path) -> "Dormancy":
        """Read what `save` wrote."""
        import pandas as pd

        frame = pd.read_parquet(folder / "dormancy.parquet")
        first, extra = frame.iloc[0], ["study", "treatment", "half_life_days", "interval"]
        return cls(frame.drop(columns=extra), int(first["study"]), first["treatment"],
                   float(first["half_life_days"]), float(first["interval"]))  # fmt: skip


def gap_quantiles(purchases: "ir.Table", as_of: date, shares: tuple[float, ...]) -> "list[int] | None":
    """Days that so large a share of gaps between successive purchases do not exceed; None without a gap.

    Only gaps that have ended are in it: of customers who are silent now the gap is longer, if it ever ends.
    """
    import ibis

    known = purchases.filter(purchases.day <= ibis.date(as_of)).select("customer", "day").distinct()
    ordered = ibis.window(group_by="customer", order_by="day")
    gaps = known.mutate(gap=known.day.delta(known.day.lag().over(ordered), unit="day").cast("int64"))
    counted = gaps.filter(gaps.gap.notnull()).group_by("gap").agg(n=lambda t: t.count()).order_by("gap")
    frame = counted.to_pyarrow().to_pandas()
    if frame.empty:
        return None
    reached = frame["n"].cumsum().to_numpy() / frame["n"].sum()
    return [int(frame["gap"].iloc[min(np.searchsorted(reached, share), len(frame) - 1)]) for share in shares]


def dormancy(
    fit: "Fit",
    spend: "Fit",
    cells: "pd.DataFrame",
    purchases: "ir.Table",
    section: "ValueSection",
    *,
    as_of: date,
    minor_per_unit: float,
    days_per_year: float,
) -> Dormancy | None:
    """Equity under every treatment; None where nobody bought twice, so that there is no usual silence.

    ``cells`` are as `clvkit.valuation.valuation` takes them, ``purchases`` one row per customer and day.
    """
    import pandas as pd

    from clvkit.averaging import is_own, totals

    said: DormancySection = section.dormancy
    shares = tuple(sorted({*QUANTILES, said.quantile}))
    found = gap_quantiles(purchases, as_of, shares)
    if found is None:
        return None
    origin = {days: f"{share:.0%}" for share, days in zip(shares, found, strict=True)}
    own_days = said.after_days or found[shares.index(said.quantile)]
    if said.after_days:
        origin[own_days] = "study"
    thresholds = sorted(origin)
    plain = replace(Terms.of(section, days_per_year), dormant="retain", half_life_days=said.half_life_days)
    cases = [
        (replace(plain, dormant=treatment, dormant_after_days=float(days)), Future())
        for days in thresholds
        for treatment in TREATMENTS
    ]
    silence, n = (cells["T_days"] - cells["recency_days"]).to_numpy(), cells["n"].to_numpy()
    whole, asleep = [np.zeros(len(cells), int)], [(silence > days).astype(int) for days in thresholds]
    draws = pair(fit, spend, section.posterior_draws)
    equity = [
        one[0].value[:, 0]
        for one in totals(fit, spend, draws, cells, whole, cases, minor_per_unit, money_only=True)
    ]
    held = totals(fit, spend, draws, cells, asleep, [(plain, Future())], minor_per_unit, money_only=True)[0]
    own = is_own(cells)
    rows = []
    for place, days in enumerate(thresholds):
        row = {"after_days": days, "from": origin[days], "customers": int(n[(silence > days) & own].sum()),
               "held": float(held[place].value[:, 1:].sum(axis=1).mean())}  # fmt: skip
        for treatment, drawn in zip(TREATMENTS, equity[3 * place : 3 * place + 3], strict=True):
            one = Estimate.from_draws(drawn, mle=float(drawn.mean()), interval=section.interval, unit="")
            row |= {treatment: one.value, f"{treatment}_low": one.low, f"{treatment}_high": one.high}
        rows.append(row)
    table = pd.DataFrame(rows)
    ends = [f"{treatment}_{end}" for treatment in TREATMENTS for end in ("low", "high")]
    return Dormancy(
        table.astype(dict.fromkeys(ends, float)),
        own_days,
        said.treatment,
        said.half_life_days,
        section.interval,
    )
