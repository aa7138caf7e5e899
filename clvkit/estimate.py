"""A number with its interval, its kind and its unit."""

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

Kind = Literal["expected", "outcome"]


@dataclass(frozen=True)
class Estimate:
    """A posterior mean with an equal-tailed interval.

    ``kind`` is ``expected`` (parameter uncertainty only) or ``outcome`` (process and spend noise as
    well). ``mle`` is the plug-in at the maximum-likelihood parameters. ``low`` and ``high`` are ``None``
    where no posterior was drawn.
    """

    value: float
    low: float | None = None
    high: float | None = None
    mle: float | None = None
    kind: Kind = "expected"
    unit: str = ""
    interval: float = 0.9

    @classmethod
    def from_draws(
        cls,
        draws: np.ndarray,
        *,
        interval: float = 0.9,
        mle: float | None = None,
        kind: Kind = "expected",
        unit: str = "",
    ) -> "Estimate":
        """Summarise draws of a total; quantiles are of the total, never sums of quantiles.

        A single draw is an estimate without a posterior, and has no interval.
        """
        tail = (1 - interval) / 2
        low, high = np.quantile(draws, [tail, 1 - tail]).tolist() if np.size(draws) > 1 else (None, None)
        return cls(
            float(np.mean(draws)),
            low,
            high,
            None if mle is None else float(mle),
            kind,
            unit,
            interval,
        )

    def scaled(self, factor: float, unit: str | None = None) -> "Estimate":
        """The same estimate multiplied by a positive known factor (a margin, a unit change)."""
        times = lambda v: None if v is None else v * factor  # noqa: E731
        return Estimate(
            self.value * factor,
            times(self.low),
            times(self.high),
            times(self.mle),
            self.kind,
            self.unit if unit is None else unit,
            self.interval,
        )

    def to_json(self) -> dict:
        """The estimate as ``results.json`` holds it."""
        return asdict(self)
