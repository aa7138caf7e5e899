"""Segment means of spend with shrinkage: what a purchase brings, where no model of positive amounts will do.

Amounts may be zero or negative. The mean of a segment is its money over its repeat purchases, drawn towards the mean of
all segments the more, the less the segment itself says (empirical Bayes; the spread of segments by Paule & Mandel 1982).
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clvkit.errors import FitError
from clvkit.estimate import Estimate

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.fit import Fit

PRIOR_CUSTOMERS = 10  # so many customers' worth of the pooled variance enter a segment's own
DRAWS, SEED = 4000, 20240117


def segment_spend(
    score_cells: "pd.DataFrame", minor_per_unit: float, interval: float = 0.9
) -> "pd.DataFrame":
    """Mean amount of a repeat purchase by segment, as seen and drawn towards the mean of all.

    Parameters
    ----------
    score_cells : ``segment, frequency, spend_minor, n``; totals of any sign.

    Returns
    -------
    ``segment`` (text, sorted), ``customers`` and ``purchases`` (repeat ones), ``observed`` (money over purchases; NaN
    without any), ``error`` (its standard error, between customers), ``weight`` (of the segment's own mean), ``mean, sd``
    (posterior), ``low, high`` at ``interval``; amounts in major units.

    Raises
    ------
    FitError : fewer than two repeat customers.
    """
    import pandas as pd
    from scipy.stats import norm

    cells = score_cells.assign(segment=score_cells["segment"].fillna("not named").astype(str))
    codes, names = pd.factorize(cells["segment"], sort=True)
    x, n = cells["frequency"].to_numpy(float), cells["n"].to_numpy(float)
    n = np.where(x > 0, n, 0.0)
    paid = cells["spend_minor"].to_numpy(float) / minor_per_unit
    add = lambda values: np.bincount(codes, weights=values, minlength=len(names))  # noqa: E731
    customers, purchases, money, squares = (add(n * v) for v in (1.0, x, paid, x * x))
    if customers.sum() < 2:
        raise FitError(
            f"no mean amount can be had: {customers.sum():,.0f} customers bought again",
            fix="take a longer period or more customers",
        )
    some = purchases > 0
    observed = np.where(some, money / np.where(some, purchases, 1), np.nan)
    apart = add(n * (paid - np.nan_to_num(observed)[codes] * x) ** 2)
    degrees = np.maximum(customers - 1, 0)
    # residuals in proportion to purchases: variance per squared purchase, the pooled one steadying small segments
    pooled = apart.sum() / squares.sum() * customers.sum() / max(degrees.sum(), 1)
    own = apart / np.where(some, squares, 1) * customers / np.maximum(degrees, 1)
    each = (degrees * own + PRIOR_CUSTOMERS * pooled) / (degrees + PRIOR_CUSTOMERS)
    variance = np.where(some, each * squares / np.where(some, purchases, 1) ** 2, np.inf)
    centre, centre_variance, spread = between(observed[some], variance[some])
    weight = np.where(some, spread / np.where(spread + variance > 0, spread + variance, 1), 0.0)
    mean = centre + weight * np.where(some, observed - centre, 0.0)
    sd = np.sqrt(
        np.where(some, weight * np.where(some, variance, 0), spread) + (1 - weight) ** 2 * centre_variance
    )
    reach = norm.ppf((1 + interval) / 2) * sd
    return pd.DataFrame({
        "segment": names, "customers": customers.astype(int), "purchases": purchases.astype(int), "observed": observed,
        "error": np.where(some, np.sqrt(variance), np.nan), "weight": weight, "mean": mean, "sd": sd,
        "low": mean - reach, "high": mean + reach,
    })  # fmt: skip


def between(observed: np.ndarray, variance: np.ndarray) -> tuple[float, float, float]:
    """Mean of the segments' means, its variance, and their variance beyond chance (Paule & Mandel): 0 where there is none."""
    from scipy.optimize import brentq

    def at(spread):
        w = 1 / (variance + spread)
        centre = w @ observed / w.sum()
        return centre, 1 / w.sum(), w @ (observed - centre) ** 2 - (len(observed) - 1)

    if not np.all(variance > 0):  # amounts that are all alike: nothing to estimate
        variance = np.maximum(variance, 1e-300)
    spread, most = 0.0, float(np.ptp(observed) ** 2) * len(observed)
    if len(observed) > 1 and at(0.0)[2] > 0:
        spread = float(brentq(lambda s: at(s)[2], 0.0, most, xtol=1e-12 * most)) if at(most)[2] < 0 else most
    centre, centre_variance, _ = at(spread)
    return float(centre), float(centre_variance), spread


class MeanOnly:
    """Amounts with a mean and no more: every customer of a segment is expected to spend the segment's mean.

    Parameters are ``shape`` (of gamma amounts, for the luck of single ones) and ``mean``, which may be negative.
    """

    name, label, source = "segment_means", "Segment means", "empirical Bayes over segments"
    parameters = ("shape", "mean")

    def unknown_mean(self, parameters, observed) -> np.ndarray:
        """Never: the mean is an average of what was seen."""
        return np.zeros(np.shape(parameters)[:-1], bool)

    def expected_spend(self, parameters, x, observed=None):
        """Expected spend per purchase as ``base + slope · total``: the mean, whatever the customer spent."""
        mean = np.asarray(parameters, float)[..., 1, None]
        base = np.broadcast_to(mean, (*mean.shape[:-1], np.size(x))).copy()
        return base, np.zeros_like(base)

    def draw_mean_rate(self, parameters, x, total, rng) -> np.ndarray:
        """Shape / mean for everybody; a negative mean makes amounts negative."""
        shape, mean = np.asarray(parameters, float)
        with np.errstate(divide="ignore"):
            return np.full(np.size(x), np.divide(shape, mean))


@dataclass(frozen=True)
class SegmentMeans:
    """Segment means as a model of spend that value, simulation and sensitivity take like a `Fit`.

    ``table`` is what `segment_spend` gives, ``shape`` that of single amounts about their segment's mean. Draws are normal,
    seeded, and independent between segments.
    """

    table: "pd.DataFrame"
    shape: float
    method: str = "empirical bayes"
    unit_days: float = 1.0
    process: str = "segment_means"
    draws = None

    @classmethod
    def of(cls, score_cells: "pd.DataFrame", minor_per_unit: float) -> "SegmentMeans":
        """The means of the segments of ``score_cells``; see `segment_spend`."""
        table = segment_spend(score_cells, minor_per_unit)
        rows = score_cells[score_cells["frequency"] > 0]
        n, x = rows["n"].to_numpy(float), rows["frequency"].to_numpy(float)
        z = rows["spend_minor"].to_numpy() / minor_per_unit / x
        mean = n * x @ z / (n @ x)
        variance = n * x @ (z - mean) ** 2 / n.sum()  # of one amount: averages over x vary x times less
        return cls(table, float(np.clip(mean**2 / variance if variance > 0 else 1e3, 1e-3, 1e3)))

    @property
    def model(self) -> MeanOnly:
        """What `clvkit.histories.Spenders` asks."""
        return MeanOnly()

    @property
    def name(self) -> str:
        """What tells this fit from the others of a study."""
        return self.process

    @property
    def label(self) -> str:
        """The fit as readers know it."""
        return self.model.label

    @property
    def keyed_by(self) -> tuple[str, ...]:
        """The columns that say whose mean a row's is."""
        return ("segment",)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters, in the order of the last axis."""
        return self.model.parameters

    @property
    def customers(self) -> int:
        """Repeat customers."""
        return int(self.table["customers"].sum())

    @property
    def observed(self) -> dict[str, float]:
        """Mean over repeat purchases."""
        return {"mean_spend": float(np.average(self.table["mean"], weights=self.table["purchases"]))}

    @property
    def mle(self) -> np.ndarray:
        """(segments, 2)."""
        return self._with_shape(self.table["mean"].to_numpy(float))

    @cached_property
    def flat(self) -> np.ndarray:
        """Draws (draws, segments, 2)."""
        z = np.random.default_rng(SEED).standard_normal((DRAWS, len(self.table)))
        return self._with_shape(self.table["mean"].to_numpy() + z * self.table["sd"].to_numpy())

    def posterior(self, count: int) -> np.ndarray:
        """At most ``count`` draws (count, segments, 2)."""
        return self.flat[np.linspace(0, DRAWS - 1, min(count, DRAWS)).round().astype(int)]

    def _with_shape(self, mean: np.ndarray) -> np.ndarray:
        return np.stack([np.full_like(mean, self.shape), mean], axis=-1)

    def wider_prior_weights(self, count: int) -> np.ndarray:
        """No prior to widen: all alike."""
        return np.ones(min(count, DRAWS))

    def group_of(self, rows: "pd.DataFrame") -> np.ndarray:
        """The place of each row's segment; rows without the column are all of the only one.

        Raises
        ------
        FitError : a segment that was not seen, or rows without segments where there are several.
        """
        places = {name: place for place, name in enumerate(self.table["segment"])}
        if "segment" not in rows and len(places) == 1:
            return np.zeros(len(rows), np.int64)
        named = rows["segment"].fillna("not named").astype(str) if "segment" in rows else []
        unknown = sorted(set(named) - set(places)) if len(named) else ["(none)"]
        if unknown:
            raise FitError(
                f"segment means know no segment {unknown[0]!r}",
                fix="take means of data with that segment",
            )
        return np.array([places[name] for name in named], np.int64)

    def to_json(self, interval: float = 0.9) -> dict:
        """The means as ``results.json`` holds them under ``fits``."""
        by = {}
        for row in self.table.to_dict("records"):
            one = Estimate.from_draws(
                np.random.default_rng(SEED).normal(row["mean"], row["sd"], DRAWS), interval=interval
            )
            mean = {
                "mle": row["mean"],
                "se": row["sd"],
                "mean": row["mean"],
                "low": one.low,
                "high": one.high,
            }
            by[row["segment"]] = {"customers": int(row["customers"]), "parameters": {"mean": mean}}
        blank = dict.fromkeys(("r_hat_max", "ess_min", "divergences", "pareto_k"))
        return {"by_segment": by, "parameters": {}, "log_likelihood": None, "customers": self.customers,
                "cells": len(self.table), "method": self.method, "diagnostics": blank, "unit_days": 1.0,
                "seconds": 0.0}  # fmt: skip

    def save(self, folder: Path) -> None:
        """Write the means as Parquet and the rest as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        self.table.to_parquet(folder / "segment_means.parquet", index=False)
        (folder / "segment_means.json").write_text(json.dumps({"shape": self.shape}), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "SegmentMeans":
        """Read what `save` wrote."""
        import pandas as pd

        made = json.loads((folder / "segment_means.json").read_text(encoding="utf-8"))
        return cls(pd.read_parquet(folder / "segment_means.parquet"), made["shape"])


class AnySpend:
    """Loads what a study values amounts with: a `Fit`, or `SegmentMeans`."""

    @staticmethod
    def load(folder: Path) -> "SegmentMeans | Fit":
        """Read what either of them saved."""
        if (folder / "segment_means.json").exists():
            return SegmentMeans.load(folder)
        from clvkit.fit import Fit

        return Fit.load(folder)
