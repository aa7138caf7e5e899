"""Trials: contracts that nobody pays for yet. They are no relations that renew; some of them become one.

When a trial *converts* or *lapses* are competing ends of it, seen as days since it began: it converts on the first day of a
paid contract of the same customer, and lapses where none has come within ``win_back_days`` of its last day. The chance of
converting is the cumulative incidence of the first (Aalen & Johansen 1978), in which running trials count as long as they
were watched; counting only trials that are over would miss the slow ones. Its uncertainty is that of the Bayesian bootstrap
(Rubin 1981), with half a trial of either end added, so that a chance of 0 or 1 is never certain.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clvkit.contracts_section import ContractsSection

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["customer", "start", "end", "plan", "outcome", "days"]
CONVERTED, LAPSED, RUNNING = "converted", "lapsed", "running"


def is_trial(rows: "pd.DataFrame", section: ContractsSection) -> "pd.Series":
    """Whether each contract is a trial: by its plan, its status, or a fee of 0 where others pay one."""
    free = rows["fee"].eq(0) & rows["status"].ne("paused") & bool(rows["fee"].gt(0).any())
    return rows["plan"].isin(list(section.trial_plans)) | rows["status"].eq("trial") | free


def trials(
    rows: "pd.DataFrame", paying: "pd.DataFrame", section: ContractsSection, today: "pd.Timestamp"
) -> "pd.DataFrame":
    """One row per trial: ``customer, start, end, plan, outcome`` and ``days`` from its start to its outcome, or to today.

    ``rows`` are the contracts that are trials, ``paying`` the others; both by customer and start.
    """
    import pandas as pd

    if rows.empty:
        return pd.DataFrame(columns=COLUMNS)
    forever = pd.Timestamp.max.normalize() - pd.Timedelta(days=20_000)
    frame = rows.assign(until=rows["end"].fillna(forever)).sort_values(["customer", "start"])
    reach = frame.groupby("customer")["until"].cummax().groupby(frame["customer"]).shift()
    new = reach.isna() | ((frame["start"] - reach).dt.days - 1 > section.win_back_days)
    frame["trial"] = new.groupby(frame["customer"]).cumsum()
    one = frame.groupby(["customer", "trial"]).agg(start=("start", "min"), until=("until", "max"), plan=("plan", "first")).reset_index()  # fmt: skip
    starts = paying[["customer", "start"]].rename(columns={"start": "paid"}).sort_values("paid")
    one = pd.merge_asof(
        one.sort_values("start"), starts, left_on="start", right_on="paid", by="customer", direction="forward"
    )
    grace = pd.Timedelta(days=section.win_back_days + 1)
    open_end = one["until"] == forever
    limit = one["until"].where(open_end, one["until"] + grace)
    converted = one["paid"].notna() & (one["paid"] <= limit)
    lapsed = ~converted & ~open_end & (limit <= today)
    decided = one["paid"].where(converted, limit.where(lapsed, today))
    made = one.assign(
        end=one["until"].where(~open_end),
        outcome=np.select([converted, lapsed], [CONVERTED, LAPSED], RUNNING),
        days=(decided - one["start"]).dt.days.to_numpy(np.int64),
    )
    return made[COLUMNS].sort_values(["customer", "start"], ignore_index=True)


@dataclass(frozen=True)
class Conversion:
    """The chance that a trial converts.

    Attributes
    ----------
    days : (ages,) days since its start at which trials were decided.
    converts : (draws, ages) share converted by each of them; ``undecided`` (draws, ages) share not decided before it.
    counts : trials by outcome.
    median_days : from the start of a trial to its conversion, of those that converted.
    """

    days: np.ndarray
    converts: np.ndarray
    undecided: np.ndarray
    counts: dict[str, int]
    median_days: float

    @property
    def share(self) -> np.ndarray:
        """Chance that a new trial converts, of each draw: (draws,)."""
        return self.converts[:, -1]

    def from_age(self, age: np.ndarray) -> np.ndarray:
        """Chance that trials not decided after so many days still convert: (draws, trials)."""
        place = np.searchsorted(self.days, np.asarray(age), side="right")
        before = np.column_stack([np.zeros(len(self.converts)), self.converts])[:, place]
        left = np.column_stack([self.undecided, np.zeros(len(self.converts))])[:, place]
        return np.where(left > 0, (self.share[:, None] - before) / np.where(left > 0, left, 1.0), 0.0)


def conversion(found: "pd.DataFrame", draws: int, seed: int) -> Conversion | None:
    """The chance of converting, of rows as `trials` gives; None where no trial has been decided."""
    decided = found[found["outcome"] != RUNNING]
    if decided.empty:
        return None
    by = found.groupby(["days", "outcome"]).size().unstack(fill_value=0)
    for outcome in (CONVERTED, LAPSED, RUNNING):
        if outcome not in by:
            by[outcome] = 0
    counts = by[[CONVERTED, LAPSED, RUNNING]].to_numpy(float)
    last = int(np.flatnonzero(counts[:, :2].sum(axis=1))[-1])
    counts[last, :2] += 0.5
    rng = np.random.default_rng(seed)
    weight = rng.standard_gamma(np.broadcast_to(counts, (draws, *counts.shape)))  # gamma(0) is 0
    total = weight.sum(axis=2)
    at_risk = total[:, ::-1].cumsum(axis=1)[:, ::-1]
    ends = weight[:, :, 0] + weight[:, :, 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        stay = np.where(at_risk > 0, 1 - ends / at_risk, 1.0)
        one = np.where(at_risk > 0, weight[:, :, 0] / at_risk, 0.0)
    undecided = np.column_stack([np.ones(draws), np.cumprod(stay, axis=1)[:, :-1]])
    keep = slice(0, last + 1)
    return Conversion(
        by.index.to_numpy(np.int64)[keep],
        np.cumsum(undecided * one, axis=1)[:, keep],
        undecided[:, keep],
        {outcome: int((found["outcome"] == outcome).sum()) for outcome in (CONVERTED, LAPSED, RUNNING)},
        float(found.loc[found["outcome"] == CONVERTED, "days"].median()),
    )
