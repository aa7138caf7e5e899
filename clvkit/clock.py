"""The clock of purchases: how much purchase time passes in a day, for everybody at once.

A season, a promotion or a closed shop acts on all customers alike: purchases come at the rate λ g(t), and what counts for a
customer is Λ = ∫ g, the purchase time that has passed. Where g is 1, a day is a day; where it is 0, the calendar goes on
and purchase time stands still.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np

from clvkit.errors import FitError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Clock:
    """The speed of purchases by day, around an as-of date.

    Attributes
    ----------
    as_of : the day that times count from; what lies after it is the future.
    edges : (pieces + 1,) whole days from ``as_of``, ascending: the first is before every purchase, the last as far ahead
        as anything is asked. A piece begins after its first edge: the speed of a day holds from the end of the day
        before to its own end, when its purchases are made.
    levels : (pieces,) the speed on each piece: 1 is a usual day.
    """

    as_of: date
    edges: np.ndarray
    levels: np.ndarray

    @classmethod
    def of_days(cls, as_of: date, first: date, speed: np.ndarray) -> "Clock":
        """A clock from the ``speed`` (days,) of each day, the first of them ``first``."""
        begun = (first - as_of).days - 1
        speed = np.asarray(speed, float)
        if not np.all(np.isfinite(speed)) or speed.min() < 0:
            raise FitError(
                f"a clock cannot run backwards (got a speed of {speed.min():g})",
                fix="give speeds of zero or more",
            )
        change = np.flatnonzero(np.concatenate([[True], np.diff(speed) != 0]))
        edges = np.append(change, speed.size) + begun
        return cls(as_of, edges.astype(float), speed[change])

    @property
    def plain(self) -> bool:
        """Whether it is the calendar itself."""
        return bool(np.all(self.levels == 1.0))

    def reading(self, days: np.ndarray) -> np.ndarray:
        """Purchase time at ``days`` from the as-of date, zero at it; below zero before it. Unit: days of speed 1."""
        passed = np.concatenate([[0.0], np.cumsum(np.diff(self.edges) * self.levels)])
        at = np.asarray(days, float)
        if at.size and (at.min() < self.edges[0] or at.max() > self.edges[-1]):
            raise FitError(
                f"the clock of purchases is known from {self.day(self.edges[0])} to {self.day(self.edges[-1])} "
                f"(asked for {self.day(at.min())} to {self.day(at.max())})",
                place="calendar",
                fix="take a shorter horizon, or extend the calendar",
            )
        now = np.interp(0.0, self.edges, passed)
        return np.interp(at, self.edges, passed) - now

    def moment(self, reading: np.ndarray) -> np.ndarray:
        """The days from the as-of date at which purchase time reads so: the inverse of `reading`."""
        at, reading = self.reading(self.edges), np.asarray(reading, float)
        piece = np.clip(np.searchsorted(at, reading) - 1, 0, len(self.levels) - 1)
        speed = np.where(self.levels > 0, self.levels, 1.0)[piece]  # no reading falls inside a standstill
        return self.edges[piece] + (reading - at[piece]) / speed

    def day(self, days: float) -> date:
        """The calendar day so many days from the as-of date."""
        return self.as_of + timedelta(days=int(np.floor(days)))

    def histories(self, recency_days: np.ndarray, T_days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Recency and age in purchase time, two arrays, of customers who first bought ``T_days`` ago."""
        born = self.reading(-np.asarray(T_days, float))
        last = self.reading(np.asarray(recency_days, float) - np.asarray(T_days, float))
        return last - born, -born

    def past(self, unit_days: float) -> tuple[np.ndarray, np.ndarray]:
        """Edges and levels up to the as-of date, edges in units of ``unit_days``."""
        held = self.edges < 0
        return np.append(self.edges[held], 0.0) / unit_days, self.levels[held[:-1]]

    def log_speed(self, day: "pd.Series", repeat: "pd.Series") -> float:
        """Σ log g over repeat purchases: what a likelihood in purchase time lacks to be one in calendar time.

        Parameters
        ----------
        day, repeat : days and the number of repeat purchases on each.

        Raises
        ------
        FitError : a purchase on a day on which the clock stands still.
        """
        import pandas as pd

        used = np.asarray(repeat, float) > 0
        days = (pd.DatetimeIndex(day) - pd.Timestamp(self.as_of)).days.to_numpy()[used]
        places = np.clip(np.searchsorted(self.edges, days) - 1, 0, len(self.levels) - 1)
        speed, n = self.levels[places], np.asarray(repeat, float)[used]
        if (speed == 0).any():
            still = days[speed == 0]
            raise FitError(
                f"{n[speed == 0].sum():,.0f} repeat purchases fall on days on which nothing could be bought, such as "
                f"{self.day(still[0])}",
                place="calendar.windows",
                fix="give the window a speed above 0, or have it estimated",
            )
        return float(n @ np.log(speed))

    def steps(self, horizon_days: float, most_days: float) -> np.ndarray:
        """Moments (days from the as-of date) that part a horizon into steps of at most ``most_days``: from 0 to its end."""
        return np.linspace(0.0, horizon_days, max(1, int(np.ceil(horizon_days / most_days))) + 1)

    def discount(self, edges: np.ndarray, force_per_day: float) -> np.ndarray:
        """Mean discount factor of each step between ``edges``, weighted with the clock's speed in it: (steps,)."""
        grid = np.unique(np.concatenate([np.arange(0.0, edges[-1], 1.0), edges]))
        reading = self.reading(grid)
        weight, middle = np.diff(reading), np.exp(-force_per_day * (grid[1:] + grid[:-1]) / 2)
        step = np.searchsorted(edges, grid[1:]) - 1
        total = np.bincount(step, weights=weight, minlength=len(edges) - 1)
        plain = np.bincount(step, weights=middle, minlength=len(edges) - 1) / np.bincount(step)
        held = np.bincount(step, weights=weight * middle, minlength=len(edges) - 1)
        return np.where(total > 0, held / np.where(total > 0, total, 1.0), plain)

    def to_json(self) -> dict:
        """What `from_json` reads."""
        return {"as_of": self.as_of.isoformat(), "edges": self.edges.tolist(), "levels": self.levels.tolist()}

    @classmethod
    def from_json(cls, made: dict) -> "Clock":
        """Read what `to_json` gave."""
        return cls(date.fromisoformat(made["as_of"]), np.array(made["edges"]), np.array(made["levels"]))
