"""What it costs to do without a column: values and ranks of the full data against those of the reduced."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clvkit.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class PrivacyCost:
    """The cost of privacy.

    Attributes
    ----------
    mape : mean over segments of the absolute error of their value, as a fraction of the full value.
    rank_correlation : Spearman's, over customers; None where all are worth the same.
    moved : fraction of customers in another tier than before; ``up`` and ``down`` are its parts.
    customers : that were compared.
    segments : DataFrame ``segment, customers, full, reduced, error`` (a fraction of ``full``; NaN where that is 0).
    moves : DataFrame ``tier, reduced_tier, customers``; tier 1 is the most valuable.
    """

    mape: float
    rank_correlation: float | None
    moved: float
    up: float
    down: float
    customers: int
    segments: "pd.DataFrame"
    moves: "pd.DataFrame"

    def save(self, folder: Path) -> None:
        """Write the tables as Parquet and the rest as JSON."""
        self.segments.to_parquet(folder / "segments.parquet", index=False)
        self.moves.to_parquet(folder / "moves.parquet", index=False)
        made = {
            one.name: getattr(self, one.name) for one in fields(self) if one.name not in ("segments", "moves")
        }
        (folder / "privacy_cost.json").write_text(json.dumps(made), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "PrivacyCost":
        """Read what `save` wrote."""
        import pandas as pd

        made = json.loads((folder / "privacy_cost.json").read_text(encoding="utf-8"))
        tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in ("segments", "moves")}
        return cls(**made, **tables)

    def table(self) -> "pd.DataFrame":
        """The measures one by one: ``measure, value``."""
        import pandas as pd

        said = {
            "Error of segment values (MAPE)": self.mape,
            "Rank correlation (Spearman)": self.rank_correlation,
            "Customers in another tier": self.moved,
            "of them in a higher one": self.up,
            "of them in a lower one": self.down,
        }
        return pd.DataFrame({"measure": list(said), "value": list(said.values())})


def compare_reduced(
    full: "pd.DataFrame",
    reduced: "pd.DataFrame",
    *,
    on: Sequence[str] = ("customer",),
    value: str = "clv",
    segment: str = "segment",
    tiers: int = 10,
) -> PrivacyCost:
    """Compare scores made with all columns with those made without the banned ones.

    Parameters
    ----------
    full, reduced : one row per customer, or per kind of customer with their number ``n``; columns ``on`` and
        ``value``. The segments are those of ``full``, which the reduced data may not know any more.
    on : columns that name the same row in both.
    tiers : number of tiers, equal in customers.

    Raises
    ------
    DataError : the two do not hold the same customers, each once.
    """
    import pandas as pd

    on = list(on)
    full, reduced = (frame if "n" in frame else frame.assign(n=1) for frame in (full, reduced))
    for name, frame in (("full", full), ("reduced", reduced)):
        if frame.duplicated(on).any():
            raise DataError(f"the {name} scores hold a customer twice", fix=f"name each by {', '.join(on)}")
    both = full.merge(
        reduced[[*on, value, "n"]], on=on, how="outer", suffixes=("", "_reduced"), indicator=True
    )
    alone = both[(both["_merge"] != "both") | (both["n"] != both["n_reduced"])]
    if len(alone) or not len(both):
        raise DataError(
            f"full and reduced scores do not hold the same customers ({len(alone):,} of {len(both):,} rows differ)",
            fix="score both as of the same date, from the same ledger",
        )
    n, was, now = (both[name].to_numpy(float) for name in ("n", value, f"{value}_reduced"))
    label = both[segment] if segment in both else pd.Series("all", both.index)
    segments = (
        pd.DataFrame({"segment": label, "customers": both["n"], "full": n * was, "reduced": n * now})
        .groupby("segment", as_index=False, dropna=False)
        .sum()
    )
    segments["customers"] = segments["customers"].astype(int)
    held = segments["full"].where(segments["full"] != 0)
    segments["error"] = (segments["reduced"] - segments["full"]) / held.abs()
    ranks, ranks_now = _ranks(was, n), _ranks(now, n)
    tier, tier_now = (_tiers(rank, n.sum(), tiers) for rank in (ranks, ranks_now))
    moves = pd.DataFrame({"tier": tier, "reduced_tier": tier_now, "customers": both["n"].astype(int)})
    return PrivacyCost(
        mape=float(segments["error"].abs().mean()),
        rank_correlation=_correlation(ranks, ranks_now, n),
        moved=float(n[tier != tier_now].sum() / n.sum()),
        up=float(n[tier_now < tier].sum() / n.sum()),
        down=float(n[tier_now > tier].sum() / n.sum()),
        customers=int(n.sum()),
        segments=segments,
        moves=moves.groupby(["tier", "reduced_tier"], as_index=False).sum(),
    )


def _ranks(values: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Mean rank of each row's customers, from 1 for the least; equal values share theirs."""
    distinct, place = np.unique(values, return_inverse=True)
    each = np.bincount(place, weights=n, minlength=len(distinct))
    return (np.cumsum(each) - (each - 1) / 2)[place]


def _tiers(ranks: np.ndarray, customers: float, tiers: int) -> np.ndarray:
    """Tier of each row by its rank, 1 for the most valuable; customers of equal value are never parted."""
    share = (ranks - 0.5) / customers
    return tiers - np.minimum((share * tiers).astype(int), tiers - 1)


def _correlation(one: np.ndarray, two: np.ndarray, n: np.ndarray) -> float | None:
    one, two = (ranks - np.average(ranks, weights=n) for ranks in (one, two))
    scale = np.sqrt((n * one**2).sum() * (n * two**2).sum())
    return float((n * one * two).sum() / scale) if scale > 0 else None
