"""Channel migration: where customers bought before and after, who moved, and what changed with those who did.

A customer's channel in a period is the one with the most purchase days in it (more money, then the name, settle ties).
Values do not depend on it: a customer is one customer in every channel, and a purchase day counts once. What a move is
worth is compared with those who stayed, because everybody's purchases fade with age: the *shift* of those who moved is
their change from before to after a date over the change of those who stayed in the channel that was left.
"""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from clvkit.section import Section

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

NONE = "no purchase"
LEAST_MOVED = 20  # customers, below whom a shift says nothing


class MigrationSection(Section):
    """What channels are, and the date before and after which customers are compared."""

    channel: Literal["source", "segment"] | None = Field(
        None, description="What tells channels apart: source or segment of a row; null: nothing is said of channels."
    )  # fmt: skip
    day: date | None = Field(
        None,
        description="Day from which a channel was there or changed: customers are compared before it and from it on; "
        "null: the middle of the history.",
    )
    days: int | None = Field(
        None, ge=30, description="Length of each of the two periods compared; null: as long as both can be. Unit: days."
    )  # fmt: skip
    interval: float = Field(0.9, gt=0.4, lt=1, description="Probability of the intervals of the shifts.")


@dataclass(frozen=True)
class Migration:
    """Customers known before a date, by their channel before and after it.

    Attributes
    ----------
    split, days : the first day of the second period, and the length of both.
    matrix : ``before, after`` (channels, or `NONE`), ``customers, share`` (of those in ``before``), ``purchases_before``,
        ``purchases_after`` (purchase days), ``amount_before, amount_after`` (minor units): totals.
    shifts : ``before, after, customers``, and the ratio of changes ``frequency`` and ``amount`` (per purchase), each with
        ``_low`` and ``_high``; one row per move of enough customers, against those who stayed in ``before``.
    """

    split: date
    days: int
    matrix: "pd.DataFrame"
    shifts: "pd.DataFrame"


def channel_days(rows: "ir.Table", channel: str, as_of: date) -> "ir.Table":
    """Purchases by ``customer, day, channel, amount_minor`` of the ledger's counted rows up to ``as_of``.

    Two channels on one day are two rows here; the ledger's purchases have one.
    """
    import ibis

    counted = rows.filter(rows.state.isin(("used", "merged")) & (rows.day <= ibis.date(as_of)))
    counted = counted.mutate(channel=counted[channel])
    return counted.group_by("customer", "day", "channel").agg(
        amount_minor=counted.value_minor.sum().cast("int64")
    )


def migration(bought: "ir.Table", section: MigrationSection, as_of: date) -> Migration | None:
    """Compare channels before and after the date; None where there is one channel, or no time on one side.

    Parameters
    ----------
    bought : ``customer, day, channel, amount_minor`` as `channel_days` gives them.
    """
    import ibis
    import pandas as pd

    channels = bought.select("channel").distinct().count().execute()
    first = bought.day.min().to_pyarrow().as_py()
    if channels < 2 or first is None:
        return None
    split = section.day or first + (as_of - first) / 2
    room = min((split - first).days, (as_of - split).days + 1)
    days = min(section.days or room, room)
    if days < 1:
        return None
    start, end = np.datetime64(split) - days, np.datetime64(split) + days
    begun = bought.group_by("customer").agg(first_day=bought.day.min())
    begun = begun.filter(begun.first_day < ibis.date(split))
    both = bought.join(begun, "customer")
    both = both.filter((both.day >= ibis.date(start.item())) & (both.day < ibis.date(end.item())))
    both = both.mutate(late=both.day >= ibis.date(split))
    parts = both.group_by("customer", "late", "channel").agg(
        n=both.count().cast("int64"), amount=both.amount_minor.sum().cast("int64")
    )
    frame = parts.to_pyarrow().to_pandas()
    if frame.empty:
        return None
    whole = both.group_by("customer", "late").agg(days=both.day.nunique().cast("int64"))
    frame = frame.sort_values(
        ["customer", "late", "n", "amount", "channel"], ascending=[True, True, False, False, True]
    )
    main = frame.groupby(["customer", "late"], as_index=False).agg(
        channel=("channel", "first"), amount=("amount", "sum")
    )
    main = main.merge(whole.to_pyarrow().to_pandas(), on=["customer", "late"])
    wide = main.pivot(index="customer", columns="late", values=["channel", "amount", "days"])
    wide = wide.reindex(columns=pd.MultiIndex.from_product([["channel", "amount", "days"], [False, True]]))
    people = pd.DataFrame({
        "before": wide["channel"][False].fillna(NONE), "after": wide["channel"][True].fillna(NONE),
        "purchases_before": wide["days"][False].astype(float).fillna(0).astype(np.int64),
        "purchases_after": wide["days"][True].astype(float).fillna(0).astype(np.int64),
        "amount_before": wide["amount"][False].astype(float).fillna(0).astype(np.int64),
        "amount_after": wide["amount"][True].astype(float).fillna(0).astype(np.int64),
    })  # fmt: skip
    sums = [name for name in people if name not in ("before", "after")]
    grouped = people.groupby(["before", "after"])
    matrix = grouped[sums].sum().assign(customers=grouped.size()).reset_index()
    matrix["share"] = matrix["customers"] / matrix.groupby("before")["customers"].transform("sum")
    return Migration(
        split,
        days,
        matrix[["before", "after", "customers", "share", *sums]],
        _shifts(people, section.interval),
    )


def _shifts(people: "pd.DataFrame", interval: float) -> "pd.DataFrame":
    """Ratio of the change of those who moved to that of those who stayed, with intervals on the log scale."""
    import pandas as pd
    from scipy.stats import norm

    z = float(norm.ppf((1 + interval) / 2))
    # Both had to buy in both periods: the channel of the silent is not known, and they are in the matrix.
    active = people[(people["before"] != NONE) & (people["after"] != NONE)]
    found = []
    for (before, after), moved in active.groupby(["before", "after"]):
        stayed = active[(active["before"] == before) & (active["after"] == before)]
        if before == after or min(len(moved), len(stayed)) < LEAST_MOVED:
            continue
        row = {"before": before, "after": after, "customers": len(moved)}
        for name, change in (("frequency", _frequency), ("amount", _amount)):
            (m, mv), (s, sv) = change(moved), change(stayed)
            centre, half = m - s, z * np.sqrt(mv + sv)
            row |= {name: np.exp(centre), f"{name}_low": np.exp(centre - half), f"{name}_high": np.exp(centre + half)}  # fmt: skip
        found.append(row)
    columns = ["before", "after", "customers"]
    columns += [f"{name}{end}" for name in ("frequency", "amount") for end in ("", "_low", "_high")]
    return pd.DataFrame(found, columns=columns)


def _frequency(people: "pd.DataFrame") -> tuple[float, float]:
    """Log of purchases after over purchases before, and its variance between customers (delta method)."""
    return _log_ratio(people["purchases_after"], people["purchases_before"])


def _amount(people: "pd.DataFrame") -> tuple[float, float]:
    """Log of the change in the amount per purchase, and its variance: both are ratios of sums over customers."""
    totals = people[["amount_after", "purchases_after", "amount_before", "purchases_before"]].to_numpy(float)
    mean = totals.mean(axis=0)
    if (mean <= 0).any():
        return float("nan"), float("nan")
    influence = (totals / mean - 1) @ np.array([1.0, -1.0, -1.0, 1.0])
    centre = np.log(mean) @ np.array([1.0, -1.0, -1.0, 1.0])
    return float(centre), float(influence.var(ddof=1) / len(totals))


def _log_ratio(top, bottom) -> tuple[float, float]:
    a, b = top.to_numpy(float), bottom.to_numpy(float)
    influence = a / a.mean() - b / b.mean()
    return float(np.log(a.mean() / b.mean())), float(influence.var(ddof=1) / len(a))


def transitions(bought: "ir.Table", grain: str = "quarter") -> "pd.DataFrame":
    """From each period to the next: ``period`` (its first day), ``before, after, customers``, sorted.

    ``grain`` is month, quarter or year. Who bought in only one of two neighbouring periods goes from or to `NONE`.
    """
    import pandas as pd

    unit = {"month": "M", "quarter": "Q", "year": "Y"}[grain]
    each = bought.mutate(period=bought.day.truncate(unit).cast("date"))
    parts = each.group_by("customer", "period", "channel").agg(
        n=each.count().cast("int64"), amount=each.amount_minor.sum().cast("int64")
    )
    frame = parts.to_pyarrow().to_pandas()
    frame["period"] = pd.to_datetime(frame["period"]).dt.to_period(unit)
    frame = frame.sort_values(
        ["customer", "period", "n", "amount", "channel"], ascending=[True, True, False, False, True]
    )
    main = frame.drop_duplicates(["customer", "period"])[["customer", "period", "channel"]]
    following = main.assign(period=main["period"] - 1)
    both = main.merge(following, on=["customer", "period"], how="outer", suffixes=("_before", "_after"))
    both = both[(both["period"] >= main["period"].min()) & (both["period"] < main["period"].max())]
    both = both.fillna({"channel_before": NONE, "channel_after": NONE})
    grouped = both.groupby(["period", "channel_before", "channel_after"]).size().reset_index(name="customers")
    grouped.columns = ["period", "before", "after", "customers"]
    return grouped.assign(period=grouped["period"].dt.start_time)
