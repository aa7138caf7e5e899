"""What happened to contracts beside renewing and ending: other plans at other fees, and customers who came back."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clvkit.contract_survival import differ, survival
from clvkit.contracts import counted

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.contracts import Contracts
    from clvkit.contracts_section import ContractsSection

SAME = 0.005  # a fee that differs by less, as a share, is the same one
OVERLAP_DAYS = 31  # a plan that ends so soon after another began was left for it
KINDS = ("upgrade", "downgrade", "same fee")


def plan_changes(held: "Contracts", section: "ContractsSection", currency: str) -> "pd.DataFrame":
    """Changes from one plan to another within a relation, by what became of the fee.

    Returns
    -------
    ``kind`` (of `KINDS`), ``changes``, ``before`` and ``after``, the mean fee of a month, and ``month``, by how much all of them
    together changed what is paid in a month; only kinds that occurred. Contracts in another currency are left out.
    """
    import pandas as pd

    rows = held.rows[held.rows["currency"].isna() | (held.rows["currency"] == currency)]
    rows = rows.assign(month=rows["fee"] / rows["period_months"]).sort_values(["customer", "start"])
    last = rows.groupby("customer")[["plan", "end", "month"]].shift()
    gap = (rows["start"] - last["end"]).dt.days - 1
    moved = rows["plan"].notna() & last["plan"].notna() & (rows["plan"] != last["plan"])
    moved &= gap.between(-OVERLAP_DAYS, section.win_back_days) & rows["month"].gt(0) & last["month"].gt(0)
    ratio = rows.loc[moved, "month"] / last.loc[moved, "month"] - 1
    kind = np.select([ratio > SAME, ratio < -SAME], KINDS[:2], KINDS[2])
    found = pd.DataFrame(
        {"kind": kind, "before": last.loc[moved, "month"], "after": rows.loc[moved, "month"]}
    )
    by = found.groupby("kind").agg(
        changes=("before", "size"), before=("before", "mean"), after=("after", "mean")
    )
    by = by.reindex([one for one in KINDS if one in by.index]).reset_index()
    return by.assign(month=(by["after"] - by["before"]) * by["changes"])


@dataclass(frozen=True)
class WinBacks:
    """Customers who left and came back: their later relations beside the first ones, in the commonest billing period.

    ``returned`` of ``left`` customers whose first relation ended have another one. ``first, later`` are relations that could be
    renewed; ``first_share, later_share`` the shares that made the first renewal; ``p`` of a log-rank test of both curves, NaN
    where there is nothing to compare.
    """

    left: int
    returned: int
    first: int
    later: int
    first_share: float
    later_share: float
    p: float


def win_backs(held: "Contracts", interval: float) -> WinBacks | None:
    """Whether win-backs leave sooner than new customers; None where nobody came back."""
    relations = held.relations
    if relations.empty or not (relations["relation"] > 1).any():
        return None
    gone = set(relations.loc[(relations["relation"] == 1) & relations["ended"], "customer"])
    returned = set(relations.loc[relations["relation"] > 1, "customer"])
    months = held.histories["period_months"].mode().iloc[0]
    rows = held.histories[held.histories["period_months"] == months]
    rows = rows[rows["renewals"] + rows["ended"] > rows["entry"]]
    named = rows.assign(comeback=np.where(rows["relation"] > 1, "later", "first"))
    shares, counts = {}, {}
    for name in ("first", "later"):
        part = named[named["comeback"] == name]
        curve = survival(counted(part), interval) if len(part) else None
        shares[name] = (
            float(curve["survival"].iloc[1]) if curve is not None and len(curve) > 1 else float("nan")
        )
        counts[name] = len(part)
    return WinBacks(len(gone), len(gone & returned), counts["first"], counts["later"], shares["first"], shares["later"],
                    differ(named, "comeback"))  # fmt: skip
