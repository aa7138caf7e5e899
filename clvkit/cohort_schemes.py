"""Cohorts by any key or product of keys: triangles of counts, retention, sales and margin, tied to the ledger.

A *scheme* is a product of keys, such as the period of the first purchase and the channel that won the customer. Every customer
is in exactly one of its cohorts. The age of a purchase is counted from the customer's own period of first purchase, whatever
the keys. A cohort that is not of one period holds customers of several, of whom only some have reached an age by the
as-of date: its rates at that age are those of the customers who have (their number is its *exposure*), and its sums too.
What immature cells have brought so far is kept apart, so that a row with it adds up to what the ledger holds.

Money is in whole minor units. *Gross* sales are before refunds, *net* ones after, as the ledger's purchases are. An order that was
returned in full is no purchase and is in neither. The *gross margin* is net sales less the cost of products, where the study
says what they cost; else the study's margin share of net sales, rounded so that cells add up.
"""

import json
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from clvkit.apportion import apportion
from clvkit.cohort_keys import PERIOD, customer_keys
from clvkit.cohorts import Grain, period_index, period_label, period_start

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

    from clvkit.cohorts import CohortsSection
    from clvkit.seen import Seen

Money = Literal["gross_minor", "net_minor", "margin_minor"]
Measure = Literal["customers", "repeat_rate", "purchases", Money]
COUNTS = [
    "customers",
    "repeat_customers",
    "purchases",
    "gross_minor",
    "net_minor",
    "repeat_minor",
    "cost_minor",
]
MARGIN_OF = Literal["costs", "share"]


@dataclass(frozen=True)
class Scheme:
    """The cohorts of one scheme.

    Attributes
    ----------
    sizes : one row per cohort and period of first purchase: ``group`` (the cohort's label), the keys, ``index`` (number of
        the period), ``customers``.
    long : one row per row of ``sizes`` and age: ``group, index, age``, ``customers`` (who bought), ``repeat_customers`` (after
        their first day), ``purchases``, ``gross_minor, net_minor, repeat_minor`` (net, after the first day), ``margin_minor``,
        ``mature``. Immature cells hold what was seen of them.
    """

    name: str
    keys: tuple[str, ...]
    grain: Grain
    as_of: date
    margin_of: MARGIN_OF
    sizes: "pd.DataFrame"
    long: "pd.DataFrame"

    @property
    def groups(self) -> list[str]:
        """The cohorts, in the order of their keys and of time."""
        return list(dict.fromkeys(self.sizes["group"]))

    def exposure(self) -> "pd.DataFrame":
        """Customers of each cohort who have reached an age, its period over: groups by age."""
        cells = self.long[self.long["mature"]].merge(
            self.sizes[["group", "index", "customers"]], on=["group", "index"], suffixes=("_buying", "")
        )
        return self._pivot(cells, "customers")

    def wide(self, measure: Measure) -> "pd.DataFrame":
        """A triangle over mature cells: one row per cohort, one column per age, NaN where no customer has reached it.

        ``repeat_rate`` is the share of the customers who have; the others are counts, or minor units.
        """
        if measure not in (*get_args(Measure)[:3], *get_args(Money)):
            raise ValueError(f"measure must be one of customers, repeat_rate, purchases, gross_minor, net_minor, margin_minor (got {measure!r})")  # fmt: skip
        column = "repeat_customers" if measure == "repeat_rate" else measure
        cells = self._pivot(self.long[self.long["mature"]], column)
        return cells / self.exposure() if measure == "repeat_rate" else cells

    def cumulative(self, money: Money) -> "pd.DataFrame":
        """Money per customer acquired since the first purchase, in minor units: groups by age.

        At each age what customers brought who have reached it is divided by their number, and added up.
        """
        return (self.wide(money) / self.exposure()).cumsum(axis=1)

    def totals(self) -> "pd.DataFrame":
        """Per cohort, all ages, mature or not: ``group, customers, purchases, gross_minor, net_minor, margin_minor``."""
        sums = self.long.groupby("group", sort=False)[["purchases", *get_args(Money)]].sum()
        held = self.sizes.groupby("group", sort=False)["customers"].sum()
        return held.to_frame().join(sums).loc[self.groups].rename_axis("group").reset_index()

    def triangle(self, money: Money) -> "pd.DataFrame":
        """Mature cells by age, then ``not_over`` (what cells not yet over have brought) and ``total``, in minor units.

        Rows add up to the cohort's money in the ledger; cells that nobody has reached are missing, and none is a zero.
        """
        import pandas as pd

        cells = self.wide(money).reindex(self.groups).astype("Int64")
        total = self.totals().set_index("group")[money].astype("Int64")
        over = cells.sum(axis=1)
        return pd.concat([cells, (total - over).rename("not_over"), total.rename("total")], axis=1)

    def _pivot(self, cells: "pd.DataFrame", column: str) -> "pd.DataFrame":
        summed = cells.groupby(["group", "age"])[column].sum().unstack("age")
        ages = np.arange(int(self.long["age"].max()) + 1)
        return summed.reindex(index=self.groups, columns=ages).astype(float)

    def save(self, folder: Path) -> None:
        """Write the tables as Parquet and the rest as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        self.sizes.to_parquet(folder / "sizes.parquet", index=False)
        self.long.to_parquet(folder / "long.parquet", index=False)
        made = {"name": self.name, "keys": self.keys, "grain": self.grain, "as_of": self.as_of.isoformat(),
                "margin_of": self.margin_of}  # fmt: skip
        (folder / "scheme.json").write_text(json.dumps(made), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Scheme":
        """Read what `save` wrote."""
        import pandas as pd

        made = json.loads((folder / "scheme.json").read_text(encoding="utf-8"))
        made |= {"keys": tuple(made["keys"]), "as_of": date.fromisoformat(made["as_of"])}
        return cls(
            **made,
            sizes=pd.read_parquet(folder / "sizes.parquet"),
            long=pd.read_parquet(folder / "long.parquet"),
        )


@dataclass(frozen=True)
class Schemes:
    """The schemes of a study, and what each must add up to.

    ``ledger`` holds ``customers, purchases, net_minor, gross_minor`` and ``margin_minor`` of the ledger, summed without any cohort;
    ``crm`` is ``scheme, group, crm_segment, customers``: how each scheme's cohorts and the segments of a customers table
    overlap, with no rows where no table has segments; ``torn`` the share of customers whose records name several.
    """

    schemes: tuple[Scheme, ...]
    ledger: dict[str, int]
    crm: "pd.DataFrame"
    torn: float = 0.0

    def __iter__(self):
        return iter(self.schemes)

    def save(self, folder: Path) -> None:
        """Write each scheme into a folder of its own."""
        folder.mkdir(parents=True, exist_ok=True)
        for one in self.schemes:
            one.save(folder / one.name)
        self.crm.to_parquet(folder / "crm.parquet", index=False)
        made = {"names": [one.name for one in self.schemes], "ledger": self.ledger, "torn": self.torn}
        (folder / "schemes.json").write_text(json.dumps(made), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Schemes":
        """Read what `save` wrote."""
        import pandas as pd

        made = json.loads((folder / "schemes.json").read_text(encoding="utf-8"))
        found = tuple(Scheme.load(folder / name) for name in made["names"])
        return cls(found, made["ledger"], pd.read_parquet(folder / "crm.parquet"), made["torn"])


def cohort_schemes(
    seen: "Seen", section: "CohortsSection", as_of: date, margin: float, channel: str | None
) -> Schemes:
    """Form the cohorts of every scheme of a study and add up what each did at each age.

    Parameters
    ----------
    margin : share of net sales that is margin, where the ledger's rows do not say what they cost.
    channel : the name in a customers table of what won the customer; see `clvkit.cohort_keys.customer_keys`.
    """
    import ibis
    import pandas as pd

    ledger, schemes = seen.ledger, section.schemes
    names = sorted({key for keys in schemes.values() for key in keys} - {PERIOD})
    crm = [] if not seen.has("segment") else ["crm_segment"]
    known = ledger.purchases.filter(ledger.purchases.day <= ibis.date(as_of))
    people = customer_keys(seen, sorted({*names, *crm}), as_of, tiers=section.tiers, channel=channel)
    people = people.mutate(index=period_index(people.first_day, section.grain)).cache()
    bought = _with_money(ledger.rows, known)
    joined = bought.join(people, "customer")
    joined = joined.mutate(age=period_index(joined.day, section.grain) - joined["index"]).cache()
    costed = "cost_minor" in ledger.rows.columns
    made = []
    for name, keys in schemes.items():
        plain = [key for key in keys if key != PERIOD]
        sizes = people.group_by([*plain, "index"]).agg(customers=people.count()).to_pyarrow().to_pandas()
        made.append(_scheme(name, keys, section.grain, as_of, sizes, _cells(joined, plain), margin, costed))
    total = _ledger_sums(ledger.rows, known, margin, costed)
    overlap = [_overlap(people, one, section.grain) for one in made] if crm else []
    columns = ["scheme", "group", "crm_segment", "customers"]
    return Schemes(
        tuple(made), total, pd.concat(overlap, ignore_index=True) if overlap else pd.DataFrame(columns=columns),
        seen.said("segment")[1] if crm else 0.0,
    )  # fmt: skip


def _with_money(rows: "ir.Table", purchases: "ir.Table") -> "ir.Table":
    """Purchases with ``gross_minor``, and ``cost_minor`` (zero where rows have none), of their customer and day."""
    import ibis

    counted = rows.filter(rows.state.isin(("used", "merged")))
    cost = counted.cost_minor.sum() if "cost_minor" in rows.columns else ibis.literal(0)
    days = counted.group_by(who="customer", on="day").agg(
        gross_minor=counted.value_minor.sum(where=counted.value_minor >= 0).fill_null(0).cast("int64"),
        cost_minor=cost.cast("int64"),
    )
    both = purchases.join(days, [purchases.customer == days.who, purchases.day == days.on])
    return both.select("customer", "day", "amount_minor", "gross_minor", "cost_minor")


def _cells(joined: "ir.Table", keys: list[str]) -> "pd.DataFrame":
    """Sums by key, period and age, of cells in which somebody bought."""
    later = joined.day > joined.first_day
    return joined.group_by([*keys, "index", "age"]).agg(
        customers=joined.customer.nunique(),
        repeat_customers=joined.customer.nunique(where=later),
        purchases=joined.count(),
        gross_minor=joined.gross_minor.sum().cast("int64"),
        net_minor=joined.amount_minor.sum().cast("int64"),
        repeat_minor=joined.amount_minor.sum(where=later).fill_null(0).cast("int64"),
        cost_minor=joined.cost_minor.sum().cast("int64"),
    ).to_pyarrow().to_pandas()  # fmt: skip


def _ledger_sums(rows: "ir.Table", known: "ir.Table", margin: float, costed: bool) -> dict[str, int]:
    """What the cohorts must add up to, summed without them."""
    from clvkit.numbers import half_up

    counted = rows.filter(rows.state.isin(("used", "merged")))
    cost = {"cost": counted.cost_minor.sum()} if costed else {}
    (money,) = counted.aggregate(
        gross=counted.value_minor.sum(where=counted.value_minor >= 0), net=counted.value_minor.sum(), **cost
    ).to_pyarrow().to_pylist()  # fmt: skip
    (count,) = (
        known.aggregate(customers=known.customer.nunique(), purchases=known.count()).to_pyarrow().to_pylist()
    )
    net = int(money["net"] or 0)
    left = net - int(money["cost"] or 0) if costed else int(half_up(margin * net))
    return {name: int(n) for name, n in count.items()} | {
        "net_minor": net, "gross_minor": int(money["gross"] or 0), "margin_minor": left}  # fmt: skip


def _scheme(name, keys, grain: Grain, as_of: date, sizes, seen, margin: float, costed: bool) -> Scheme:
    """Every age of every cohort up to the period of the as-of date, zero where nobody bought."""
    import pandas as pd

    from clvkit.cohorts import _index_of

    plain = [key for key in keys if key != PERIOD]
    sizes = sizes.sort_values([*plain, "index"], ignore_index=True)
    sizes.insert(0, "group", _labels(sizes, keys, grain))
    last = _index_of(as_of, grain)
    ended = last if period_start(last + 1, grain) <= as_of + timedelta(days=1) else last - 1
    ages = [np.arange(last - index + 1) for index in sizes["index"]]
    grid = sizes.loc[np.repeat(sizes.index, [len(a) for a in ages]), ["group", *plain, "index"]]
    cells = grid.assign(age=np.concatenate(ages)).merge(seen, on=[*plain, "index", "age"], how="left")
    cells[COUNTS] = cells[COUNTS].fillna(0).astype("int64")
    if costed:
        cells["margin_minor"] = cells["net_minor"] - cells["cost_minor"]
    else:
        cells["margin_minor"] = apportion(margin * cells["net_minor"].to_numpy(float))
    cells["mature"] = cells["index"] + cells["age"] <= ended
    kept = ["group", "index", "age", *COUNTS[:-1], "margin_minor", "mature"]
    return Scheme(
        name, tuple(keys), grain, as_of, "costs" if costed else "share", sizes, pd.DataFrame(cells[kept])
    )


def _labels(frame: "pd.DataFrame", keys, grain: Grain) -> list[str]:
    """What each cohort is called: its keys in the order of the scheme, the period in words."""
    parts = [
        [period_label(period_start(int(index), grain), grain) for index in frame["index"]] if key == PERIOD
        else frame[key].astype(str).tolist()
        for key in sorted(keys, key=lambda one: one == PERIOD)
    ]  # fmt: skip
    return [" · ".join(found) for found in zip(*parts, strict=True)]


def labels_of(people: "pd.DataFrame", keys, grain: Grain) -> list[str]:
    """The cohort of each row with the keys and ``index``, as `Scheme.sizes` calls it."""
    return _labels(people, keys, grain)


def _overlap(people: "ir.Table", scheme: Scheme, grain: Grain) -> "pd.DataFrame":
    """Customers by cohort and by their segment in a customers table."""
    plain = [key for key in scheme.keys if key != PERIOD]
    by = list(dict.fromkeys([*plain, "index", "crm_segment"]))
    found = people.group_by(by).agg(customers=people.count()).to_pyarrow().to_pandas().sort_values(by)
    found.insert(0, "group", _labels(found, scheme.keys, grain))
    summed = found.groupby(["group", "crm_segment"], sort=False, as_index=False)["customers"].sum()
    return summed.assign(scheme=scheme.name)[["scheme", "group", "crm_segment", "customers"]]
