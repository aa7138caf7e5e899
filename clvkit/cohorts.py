"""Cohorts: customers grouped by the period of their first purchase, and what each group did since.

`clvkit.cohort_schemes` has cohorts by other keys.

A customer belongs to the one cohort of the calendar period (day, week from Monday, month or quarter) of
the first purchase. The *age* of a purchase is the number of whole calendar periods from the cohort's
period to the period of the purchase: with months, a purchase in March of a customer of January has age 2,
whatever the days. A cell (cohort, age) is *mature* when its period has ended by the as-of date, so that
all customers of the cohort could have bought on each of its days. Immature cells are blank in triangles,
because a low number there says only that the period is not over; a mature cell without purchases is zero.
"""

import json
import re
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from pydantic import Field, field_validator

from clvkit.errors import DataError
from clvkit.rules import RuleBroken
from clvkit.section import Section

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

Grain = Literal["day", "week", "month", "quarter"]
Measure = Literal["customers", "repeat_rate", "purchases", "revenue_minor", "cumulative_minor_per_customer"]

_MONDAY = date(1970, 1, 5)
_KEYS = ["cohort", "age"]


class CohortsSection(Section):
    """How customers are grouped: by the date of their first purchase, and by other keys."""

    by: tuple[str, ...] | dict[str, tuple[str, ...]] = Field(
        ("period",),
        description=(
            "What makes a cohort: a key, or a product of keys such as [period, channel]; or several such schemes by name. Keys: "
            "period (of the first purchase), channel (acquisition.by), segment (as the models see it), source, product, category "
            "or tier (of the first order), crm_segment (the field segment of a customers table), region, and any name that "
            "`about` of a customers table gives. Whoever has no value of a key is in a cohort of its own."
        ),
    )
    tiers: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="Product tiers for the key tier, each with the categories in it: {basic: [socks], premium: [coats]}.",
    )
    flags: tuple[str, ...] = Field(
        (),
        description=(
            "Names of a customers table's about that mark customers, such as a regulatory flag: value at risk is stated by them."
        ),
    )

    grain: Grain = Field("month", description="Calendar period that a cohort's first purchases share.")
    max_periods: int = Field(
        24,
        ge=1,
        description=(
            "Ages that a chart or table shows side by side, counted from the cohort's own period; totals "
            "always count all of them. Unit: periods of the grain."
        ),
    )

    @field_validator("by")
    @classmethod
    def _keys(cls, value):
        schemes = value if isinstance(value, dict) else {"by": value}
        for name, keys in schemes.items():
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
                raise RuleBroken("names schemes in small letters, digits and _, a letter first", at=name)
            if not keys or len(set(keys)) < len(keys):
                raise RuleBroken("must name at least one key, and each once", "such as [period, segment]")
        if not schemes:
            raise RuleBroken("must name at least one scheme", "such as [period]")
        return value

    @field_validator("tiers")
    @classmethod
    def _one_tier_each(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        held = [(category, tier) for tier, among in value.items() for category in among]
        for category, tier in held:
            if sum(one == category for one, _ in held) > 1:
                raise RuleBroken(f"must have each category in one tier (got {category!r} twice)", at=tier)
        return value

    @property
    def schemes(self) -> dict[str, tuple[str, ...]]:
        """The keys of each scheme by its name; a scheme without one is called after its keys."""
        return dict(self.by) if isinstance(self.by, dict) else {"_by_".join(self.by): self.by}


@dataclass(frozen=True)
class CohortTriangles:
    """What each cohort did at each age.

    Attributes
    ----------
    grain, as_of : the scheme and the last day that counts.
    sizes : one row per cohort: ``cohort`` (first day of its period), ``label``, ``customers``,
        ``first_day`` and ``last_day`` (of first purchases), ``complete`` (its own period has ended).
    long : one row per cohort and age up to the period of the as-of date: ``cohort``, ``age`` (periods),
        ``customers`` (who bought), ``repeat_customers`` (who bought after their first day), ``purchases``
        (customer-days), ``revenue_minor`` (integer minor units), ``mature``. Immature cells hold what was
        seen of them, so the columns add up to the ledger.
    """

    grain: Grain
    as_of: date
    sizes: "pd.DataFrame"
    long: "pd.DataFrame"

    def wide(self, measure: Measure, max_periods: int | None = None) -> "pd.DataFrame":
        """A triangle: one row per cohort, one column per age, NaN where the cell is not mature.

        ``customers`` and ``purchases`` are counts, ``revenue_minor`` minor units, ``repeat_rate`` the share
        of the cohort's customers who bought in the period (at age 0: bought again in it after their first
        day), ``cumulative_minor_per_customer`` revenue since the first purchase over customers acquired.
        """
        if measure not in get_args(Measure):
            raise ValueError(f"measure must be one of {', '.join(get_args(Measure))} (got {measure!r})")
        column = {"repeat_rate": "repeat_customers", "cumulative_minor_per_customer": "revenue_minor"}.get(
            measure, measure
        )
        cells = self.long.pivot(index="cohort", columns="age", values=column).astype(float)
        size = self.sizes.set_index("cohort")["customers"]
        if measure == "cumulative_minor_per_customer":
            cells = cells.cumsum(axis=1)
        if measure in ("repeat_rate", "cumulative_minor_per_customer"):
            cells = cells.div(size, axis=0)
        mature = self.long.pivot(index="cohort", columns="age", values="mature").eq(True)
        return cells.where(mature).iloc[:, :max_periods]

    def totals(self) -> "pd.DataFrame":
        """Per cohort: customers, purchases and revenue_minor over all ages, mature or not."""
        sums = self.long.groupby("cohort", as_index=False)[["purchases", "revenue_minor"]].sum()
        return self.sizes.merge(sums, on="cohort")

    def pooled_repeat_rate(self) -> "pd.Series":
        """Repeat rate by age over all cohorts that are mature at that age, weighted by their size."""
        cells = self.long[self.long["mature"]].merge(
            self.sizes[["cohort", "customers"]], on="cohort", suffixes=("", "_acquired")
        )
        sums = cells.groupby("age")[["repeat_customers", "customers_acquired"]].sum()
        return (sums["repeat_customers"] / sums["customers_acquired"]).rename("repeat_rate")

    def spoken_for(self, share: float = 0.5) -> int:
        """The highest age at which cohorts with at least ``share`` of all customers are mature; 0 if none is."""
        cells = self.long[self.long["mature"]].merge(self.sizes[["cohort", "customers"]], on="cohort",
                                                     suffixes=("", "_acquired"))  # fmt: skip
        known = cells.groupby("age")["customers_acquired"].sum()
        return int(
            max((age for age, n in known.items() if n >= share * self.sizes["customers"].sum()), default=0)
        )

    def save(self, folder: Path) -> None:
        """Write the triangles as Parquet and JSON into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        self.sizes.to_parquet(folder / "sizes.parquet", index=False)
        self.long.to_parquet(folder / "long.parquet", index=False)
        scheme = {"grain": self.grain, "as_of": self.as_of.isoformat()}
        (folder / "cohorts.json").write_text(json.dumps(scheme), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "CohortTriangles":
        """Read what :meth:`save` wrote."""
        import pandas as pd

        scheme = json.loads((folder / "cohorts.json").read_text(encoding="utf-8"))
        return cls(
            scheme["grain"],
            date.fromisoformat(scheme["as_of"]),
            pd.read_parquet(folder / "sizes.parquet"),
            pd.read_parquet(folder / "long.parquet"),
        )


def period_index(day: "ir.DateValue", grain: Grain) -> "ir.IntegerValue":
    """Number of the calendar period that a day lies in; differences of it are whole periods."""
    import ibis

    if grain == "month":
        return day.year() * 12 + day.month() - 1
    if grain == "quarter":
        return day.year() * 4 + day.quarter() - 1
    days = day.delta(ibis.literal(_MONDAY, type="date"), unit="day")
    return days if grain == "day" else (days / 7).floor().cast("int64")


def period_start(index: int, grain: Grain) -> date:
    """First day of the calendar period with this number."""
    if grain == "month":
        return date(index // 12, index % 12 + 1, 1)
    if grain == "quarter":
        return date(index // 4, index % 4 * 3 + 1, 1)
    return _MONDAY + timedelta(days=int(index) * (1 if grain == "day" else 7))


def period_label(start: date, grain: Grain) -> str:
    """The name of a period for readers: ``Jan 1997``, ``1997 Q1``, ``week of 6 Jan 1997``, ``6 Jan 1997``."""
    if grain == "month":
        return f"{start:%b %Y}"
    if grain == "quarter":
        return f"{start.year} Q{(start.month + 2) // 3}"
    return f"{'week of ' if grain == 'week' else ''}{start.day} {start:%b %Y}"


def first_purchases(purchases: "ir.Table", grain: Grain) -> "ir.Table":
    """One row per customer: ``customer``, ``first_day``, ``cohort_index`` (number of its period)."""
    first = purchases.group_by("customer").agg(first_day=purchases.day.min())
    return first.mutate(cohort_index=period_index(first.first_day, grain))


def cohort_cells(purchases: "ir.Table", grain: Grain) -> "ir.Table":
    """Sums per cohort and age, in the engine: only cells in which somebody bought.

    Columns: cohort_index, age, customers, repeat_customers, purchases, revenue_minor.
    """
    joined = purchases.join(first_purchases(purchases, grain), "customer")
    dated = joined.mutate(age=period_index(joined.day, grain) - joined.cohort_index)
    return dated.group_by(["cohort_index", "age"]).agg(
        customers=dated.customer.nunique(),
        repeat_customers=dated.customer.nunique(where=dated.day > dated.first_day),
        purchases=dated.count(),
        revenue_minor=dated.amount_minor.sum().cast("int64"),
    )


def cohort_triangles(purchases: "ir.Table", section: CohortsSection, as_of: date) -> CohortTriangles:
    """Group customers by first purchase and add up what each cohort did at each age.

    Parameters
    ----------
    purchases : the ledger's purchases: customer, day, amount_minor; one row per customer and day.
    section : the study's cohorts.
    as_of : last day that counts; later purchases are ignored, as are customers who first bought later.

    Raises
    ------
    DataError : there is no purchase up to the as-of date.
    """
    import ibis
    import pandas as pd

    grain = section.grain
    known = purchases.filter(purchases.day <= ibis.literal(as_of, type="date"))
    first = first_purchases(known, grain)
    sizes = (
        first.group_by("cohort_index")
        .agg(
            customers=first.count(),
            first_day=first.first_day.min(),
            last_day=first.first_day.max(),
        )
        .order_by("cohort_index")
        .to_pandas()
    )
    if sizes.empty:
        raise DataError(
            f"no cohort can be formed: the ledger has no purchase up to {as_of}",
            fix="look at the ledger's dates, or choose a later as_of",
        )
    last = _index_of(as_of, grain)
    cells = _all_cells(cohort_cells(known, grain).to_pandas(), sizes["cohort_index"], last)
    # A period counts in full once its last day is over; the as-of date itself is observed to its end.
    ended = last if period_start(last + 1, grain) <= as_of + timedelta(days=1) else last - 1
    starts = {index: period_start(index, grain) for index in sizes["cohort_index"]}
    cells["mature"] = cells["cohort_index"] + cells["age"] <= ended
    cells.insert(0, "cohort", pd.to_datetime(cells.pop("cohort_index").map(starts)))
    sizes["complete"] = sizes["cohort_index"] <= ended
    sizes.insert(0, "label", [period_label(starts[index], grain) for index in sizes["cohort_index"]])
    sizes.insert(0, "cohort", pd.to_datetime(sizes.pop("cohort_index").map(starts)))
    for column in ("first_day", "last_day"):
        sizes[column] = pd.to_datetime(sizes[column]).astype("datetime64[ns]")
    return CohortTriangles(grain, as_of, sizes, cells)


def _index_of(day: date, grain: Grain) -> int:
    """The same numbering as :func:`period_index`, for one day."""
    if grain == "month":
        return day.year * 12 + day.month - 1
    if grain == "quarter":
        return day.year * 4 + (day.month - 1) // 3
    days = (day - _MONDAY).days
    return days if grain == "day" else days // 7


def _all_cells(seen: "pd.DataFrame", cohorts: "pd.Series", last: int) -> "pd.DataFrame":
    """Every age of every cohort up to the period of the as-of date, zero where nobody bought."""
    import pandas as pd

    ages = [np.arange(last - index + 1) for index in cohorts]
    grid = pd.DataFrame(
        {"cohort_index": np.repeat(cohorts.to_numpy(), [len(a) for a in ages]), "age": np.concatenate(ages)}
    )
    cells = grid.merge(seen, on=["cohort_index", "age"], how="left")
    counts = ["customers", "repeat_customers", "purchases", "revenue_minor"]
    cells[counts] = cells[counts].fillna(0).astype("int64")
    return cells
