"""What fits of several groups of customers have in common: they refine a fit of all, and know whose parameters a row's are."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from clvkit.fit import Fit
from clvkit.processes.base import Model

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.clock import Clock

HISTORY = ["frequency", "recency_days", "T_days"]


class GroupedFit:
    """A fit with parameters for each group of customers.

    Classes built on it have ``pooled``, the fit of all customers together, and ``customers_of`` (G,) in each group.
    """

    pooled: Fit
    customers_of: np.ndarray

    @property
    def process(self) -> str:
        """Name of the process, or of the model of spend."""
        return self.pooled.process

    @property
    def model(self) -> Model:
        """The model that was fitted."""
        return self.pooled.model

    @property
    def unit_days(self) -> float:
        """Days in the unit of time that parameters are stated in."""
        return self.pooled.unit_days

    @property
    def clock(self) -> "Clock | None":
        """The clock of purchases, as in `Fit`."""
        return self.pooled.clock

    @property
    def observed(self) -> dict[str, float]:
        """What was observed of spend, over all groups; see `Fit`."""
        return self.pooled.observed

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters, in the order of the last axis of every array."""
        return self.model.parameters

    @property
    def customers(self) -> int:
        """Customers of all groups."""
        return int(self.customers_of.sum())


def every(total: int, count: int) -> np.ndarray:
    """At most ``count`` places, evenly spaced from the first to the last of ``total``."""
    return np.linspace(0, total - 1, min(count, total)).round().astype(int)


def histories_by(
    cells: "pd.DataFrame", groups: "pd.Series", pooled: Fit, clock: "Clock | None"
) -> Iterator[tuple[str, tuple[np.ndarray, ...], int]]:
    """Of each group its name, its cells as the columns that `Model.prepare` takes, and its customers.

    ``cells`` are as `clvkit.fitting.fit_process` takes them, ``groups`` (cells,) names. Times are multiples of the scale of
    the fit of all, in the time that its process knows.
    """
    from clvkit.fitting import on_clock

    scale = pooled.scale * pooled.unit_days
    for name, part in cells.groupby(groups):
        one = part.groupby(HISTORY, as_index=False)["n"].sum().sort_values(HISTORY)
        times = [one[key].to_numpy(float) for key in HISTORY[1:]]
        times = times if clock is None else on_clock(pooled.model, clock, *times)
        columns = one["frequency"].to_numpy(np.int64), *(t / scale for t in times), one["n"].to_numpy(float)
        yield str(name), columns, round(one["n"].sum())
