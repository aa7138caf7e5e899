"""Revenue retention: what became of the recurring revenue of a day, gross (GRR) and net (NRR), under a named convention.

For each customer the monthly revenue before and after a period differ by one movement: *new* (the first time ever), *won back*,
*expansion*, *contraction* or *churn*. Start and movements add up to the end, in whole minor units.

    GRR = (start − contraction − churn) / start,     NRR = GRR + expansion / start.

Per customer what is kept is min(before, after), so that GRR cannot exceed 100 %. Intervals are bootstraps over customers, drawn
as multinomial counts of customers whose revenue moved alike, which is the same thing.
"""

import json
from dataclasses import asdict, dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clvkit.contracts_section import ContractsSection
from clvkit.recurring import Recurring, recurring

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.contracts import Contracts

MOVES = ("new", "won_back", "expansion", "contraction", "churn")
RATES = ("gross", "net", "logos")
DRAWS, FEWEST = 1000, 10  # of the bootstrap; customers below whom an interval says nothing
_FREQUENCY = {"month": "M", "quarter": "Q", "year": "Y"}


@dataclass(frozen=True)
class RevenueRetention:
    """Movements of recurring revenue; money in minor units a month.

    Attributes
    ----------
    periods : one row per whole period: ``period, opened, closed`` (the days between whose ends it lies), ``start``, the movements
        (all of them positive), ``end``, ``customers, kept`` (at its start, and of them at its end), and each rate of `RATES`
        with ``…_low`` and ``…_high`` (NaN where nothing was at its start, or too few customers were).
    year : one row of the same, over the twelve months up to the as-of date; empty where the contracts are younger.
    by_plan, by_cohort : rows of ``group`` and the same over these twelve months: by the plan that brought most at their start, and
        by year of the first contract.
    convention, period : as the study says.
    foreign, free : contracts left out for their currency, and because they have no fee.
    minor_per_unit : minor units in one of the currency.
    """

    periods: "pd.DataFrame"
    year: "pd.DataFrame"
    by_plan: "pd.DataFrame"
    by_cohort: "pd.DataFrame"
    convention: str
    period: str
    interval: float
    foreign: int
    free: int
    minor_per_unit: int

    def save(self, folder: Path) -> None:
        """Write the tables as Parquet and the rest as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        said = {name: value for name, value in asdict(self).items() if name not in TABLES}
        for name in TABLES:
            getattr(self, name).to_parquet(folder / f"{name}.parquet", index=False)
        (folder / "revenue_retention.json").write_text(json.dumps(said), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "RevenueRetention":
        """Read what `save` wrote."""
        import pandas as pd

        said = json.loads((folder / "revenue_retention.json").read_text(encoding="utf-8"))
        return cls(**{name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}, **said)


TABLES = ("periods", "year", "by_plan", "by_cohort")


def revenue_retention(
    held: "Contracts",
    section: ContractsSection,
    as_of: date,
    *,
    currency: str,
    minor_per_unit: int,
    interval: float = 0.9,
    seed: int = 0,
) -> RevenueRetention:
    """Movements of the recurring revenue of contracts in each whole period up to ``as_of``, and over its last twelve months.

    Where ends were recorded from some day on only, nothing is said of periods that open before it: who had left is not there.
    """
    import pandas as pd

    asked = section.revenue_retention
    found = recurring(held.rows, section, currency=currency, minor_per_unit=minor_per_unit)
    first = found.first_days()
    rng = np.random.default_rng(seed)
    days = _boundaries(found, section, as_of, asked.period)
    made, rows = None, []
    for opened, closed in pairwise(days):
        before = found.on(opened) if made is None else made
        made = found.on(closed)
        moved = movements(before, made, first, opened)
        label = str(closed.to_period(_FREQUENCY[asked.period]))
        rows.append({"period": label, "opened": opened, "closed": closed} | summary(moved, asked.convention, interval, rng))  # fmt: skip
    today = pd.Timestamp(as_of)
    opened = today - pd.DateOffset(years=1)
    year, by_plan, by_cohort = [], [], []
    if _watched(found, section, opened):
        moved = movements(found.on(opened), found.on(today), first, opened)
        year = [{"period": "12 months", "opened": opened, "closed": today} | summary(moved, asked.convention, interval, rng)]  # fmt: skip
        plans = found.plans_on(opened).reindex(moved.index)
        cohorts = first.reindex(moved.index).dt.year.astype("Int64").astype(str)
        there = moved["before"] > 0
        by_plan = by_group(moved[there], plans[there], asked.convention, interval, rng)
        by_cohort = by_group(moved[there], cohorts[there], asked.convention, interval, rng)
    columns = ["start", *MOVES, "end", "customers", "kept", *(f"{rate}{end}" for rate in RATES for end in ("", "_low", "_high"))]  # fmt: skip
    dated, grouped = ["period", "opened", "closed", *columns], ["group", *columns]
    return RevenueRetention(
        pd.DataFrame(rows, columns=dated), pd.DataFrame(year, columns=dated),
        pd.DataFrame(by_plan, columns=grouped), pd.DataFrame(by_cohort, columns=grouped),
        asked.convention, asked.period, interval, found.foreign, found.free, minor_per_unit,
    )  # fmt: skip


def _boundaries(found: Recurring, section: ContractsSection, as_of: date, period: str) -> list:
    """Last days of whole periods, from the one before the first contract began, or since ends were recorded."""
    import pandas as pd

    if found.rows.empty:
        return []
    kind, last = _FREQUENCY[period], pd.Timestamp(as_of) + pd.Timedelta(days=1)
    since = found.rows["start"].min()
    if section.observed_from is not None:
        since = max(since, pd.Timestamp(section.observed_from))
    start = since.to_period(kind)
    if section.observed_from is not None and start.start_time <= pd.Timestamp(section.observed_from):
        start += 1
    end = last.to_period(kind)  # the period that the day after the as-of date lies in is not whole
    return [
        one.start_time.normalize() - pd.Timedelta(days=1) for one in pd.period_range(start, end, freq=kind)
    ]


def _watched(found: Recurring, section: ContractsSection, day) -> bool:
    """Whether there was revenue on a day, and those who left after it are known."""
    import pandas as pd

    if section.observed_from is not None and day < pd.Timestamp(section.observed_from):
        return False
    return len(found.on(day)) > 0


def movements(before: "pd.Series", after: "pd.Series", first: "pd.Series", opened) -> "pd.DataFrame":
    """``before, after`` and the movement of each customer who had or has revenue: int64, one row per customer.

    ``before`` and ``after`` are monthly revenue by customer, ``first`` each customer's first day with revenue, and ``opened`` the
    day at whose end the period opens.
    """
    import pandas as pd

    frame = pd.DataFrame({"before": before, "after": after}).fillna(0).astype("int64")
    b, a = frame["before"], frame["after"]
    come, fresh = (b == 0) & (a > 0), first.reindex(frame.index) > opened
    frame["new"] = a.where(come & fresh, 0)
    frame["won_back"] = a.where(come & ~fresh, 0)
    frame["expansion"] = (a - b).where((b > 0) & (a > b), 0)
    frame["contraction"] = (b - a).where((a > 0) & (a < b), 0)
    frame["churn"] = b.where((b > 0) & (a == 0), 0)
    return frame


def _parts(moved: "pd.DataFrame", convention: str) -> np.ndarray:
    """What each customer adds to the numerators of `RATES`, and to their denominators: (customers, 5) integers.

    Columns: kept gross, kept net, kept as customer, revenue at the start, customer at the start.
    """
    b, a = (moved[name].to_numpy(np.int64) for name in ("before", "after"))
    held = b > 0
    gross = np.minimum(b, a)
    if convention == "without_contraction":
        gross = np.where(held & (a > 0), b, 0)
    net = gross + moved["expansion"].to_numpy(np.int64)
    if convention == "win_backs_expansion":
        net = net + moved["won_back"].to_numpy(np.int64)
    return np.column_stack([gross, net, held & (a > 0), b, held]).astype(np.int64)


def rates(totals: np.ndarray) -> np.ndarray:
    """GRR, NRR and retention of customers of sums of `_parts`: (…, 3); NaN where nothing was there at the start."""
    totals = np.asarray(totals, float)
    below = totals[..., [3, 3, 4]]
    return np.divide(totals[..., :3], below, out=np.full(below.shape, np.nan), where=below > 0)


def summary(moved: "pd.DataFrame", convention: str, interval: float, rng: np.random.Generator) -> dict:
    """Sums of a period's movements, and its rates with intervals; see `RevenueRetention.periods`."""
    parts = _parts(moved, convention)
    totals = parts.sum(axis=0)
    out = {"start": int(moved["before"].sum())} | {name: int(moved[name].sum()) for name in MOVES}
    out |= {"end": int(moved["after"].sum()), "customers": int(totals[4]), "kept": int(totals[2])}
    kinds, n = np.unique(parts[parts.any(axis=1)], axis=0, return_counts=True)
    low = high = np.full(3, np.nan)
    if totals[4] >= FEWEST and len(kinds) > 1:
        drawn = rates(rng.multinomial(n.sum(), n / n.sum(), size=DRAWS) @ kinds)
        low, high = np.nanquantile(drawn, [(1 - interval) / 2, (1 + interval) / 2], axis=0)
    for k, (name, value) in enumerate(zip(RATES, rates(totals), strict=True)):
        out |= {name: float(value), f"{name}_low": float(low[k]), f"{name}_high": float(high[k])}
    return out


def by_group(
    moved: "pd.DataFrame", group: "pd.Series", convention: str, interval: float, rng: np.random.Generator
) -> list[dict]:
    """`summary` of the customers of each group, the groups by name."""
    return [
        {"group": name} | summary(moved[(group == name).to_numpy()], convention, interval, rng)
        for name in sorted(group.dropna().unique())
    ]
