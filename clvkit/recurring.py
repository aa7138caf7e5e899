"""Recurring revenue of contracts: what each customer's contracts bring a month, on any day, in whole minor units.

A fee is spread evenly over the months that it pays for, half up to the minor unit, contract by contract; everything that follows is
integers, and adds up exactly. A contract counts from its first day to its last. A gap that a relation bridges (a pause, a change
of plan) counts with the contract before it: a pause is no loss. An end counts on the first day without the contract.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clvkit.contracts_section import MONTHS, ContractsSection

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Recurring:
    """Contracts with their monthly revenue.

    Attributes
    ----------
    rows : ``customer, start, until`` (last day; far away where it runs on), ``plan`` and ``monthly``, minor units a month.
    foreign, free : contracts left out for their currency, and because they have no fee.
    """

    rows: "pd.DataFrame"
    foreign: int
    free: int

    def on(self, day) -> "pd.Series":
        """Monthly revenue of each customer who has any on a day: int64 minor units by customer."""
        there = self.rows[(self.rows["start"] <= day) & (self.rows["until"] >= day)]
        return there.groupby("customer")["monthly"].sum()

    def plans_on(self, day) -> "pd.Series":
        """The plan that brings the most on a day, by customer."""
        there = self.rows[(self.rows["start"] <= day) & (self.rows["until"] >= day)]
        largest = there.sort_values("monthly", kind="stable").groupby("customer")["plan"].last()
        return largest.fillna("not named").astype(str)

    def first_days(self) -> "pd.Series":
        """The first day with revenue of each customer."""
        return self.rows.groupby("customer")["start"].min()


def spread(fee_minor: np.ndarray, months: np.ndarray) -> np.ndarray:
    """Fees over the months that they pay for, half up: int64 minor units a month."""
    fee, months = np.asarray(fee_minor, np.int64), np.asarray(months, np.int64)
    return (2 * fee + months) // (2 * months)


def recurring(
    rows: "pd.DataFrame", section: ContractsSection, *, currency: str, minor_per_unit: int
) -> Recurring:
    """The monthly revenue of contracts, ``rows`` as `clvkit.contracts.Contracts` has them.

    Parameters
    ----------
    currency : contracts in another one are left out, and counted; those that name none are in it.
    """
    import pandas as pd

    other = rows["currency"].notna() & (rows["currency"] != currency)
    free = ~other & ~rows["fee"].gt(0)
    forever = pd.Timestamp.max.normalize() - pd.Timedelta(days=20_000)
    frame = rows[~other & ~free].assign(until=lambda f: f["end"].fillna(forever))
    months = frame["period_months"] if "period_months" in frame else MONTHS[section.period]
    minor = np.rint(frame["fee"].to_numpy(float) * minor_per_unit).astype(np.int64)
    frame["monthly"] = spread(minor, np.broadcast_to(months, len(frame)))
    kept = frame[["customer", "start", "until", "plan", "monthly"]].sort_values(
        ["customer", "start"], ignore_index=True
    )
    return Recurring(bridged(kept, section.win_back_days), int(other.sum()), int(free.sum()))


def bridged(rows: "pd.DataFrame", days: int) -> "pd.DataFrame":
    """The rows, with those that end before a gap of at most so many days reaching up to its end."""
    import pandas as pd

    if rows.empty:
        return rows
    reach = rows.groupby("customer")["until"].cummax()
    before = reach.groupby(rows["customer"]).shift()
    gap = (rows["start"] - before).dt.days - 1
    short = gap.gt(0) & gap.le(days)
    ends = pd.DataFrame({"customer": rows["customer"], "until": before, "bridge": rows["start"] - pd.Timedelta(days=1)})[short]  # fmt: skip
    found = rows.merge(ends.drop_duplicates(["customer", "until"]), on=["customer", "until"], how="left")
    return rows.assign(until=found["bridge"].fillna(found["until"]).to_numpy())
