"""The calendar of a study on a date: the clock of purchases that it stands for, with what had to be estimated of it."""

import json
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clvkit import numbers
from clvkit.calendar_section import MONTHS, CalendarSection, Window
from clvkit.clock import Clock
from clvkit.errors import FitError

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.models_section import ModelsSection

AHEAD_DAYS = 51 * 366  # as far as any horizon of a study reaches
#: A season is estimated from two whole years (104 weeks), with first purchases as if spread evenly over a year at least: customers
#: of all ages then buy in every month, in two years at the least.
FEWEST_DAYS, FEWEST_MONTHS = 728, 12.0
FEWEST_PURCHASES = 20  # expected in a window at the usual speed, so that its own can be told
MONTH_NAMES = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
               "November", "December")  # fmt: skip


@dataclass(frozen=True)
class Factor:
    """The speed of the clock in a month of every year, or in a window.

    ``name`` is that of the month or the reason of the window, which ``begins`` on a day; ``how`` is given, estimated or usual; ``purchases`` the
    repeat purchases it was estimated from; ``low`` and ``high`` hold 90 %, None for what is given.
    """

    name: str
    value: float
    how: str
    purchases: int = 0
    low: float | None = None
    high: float | None = None
    begins: str = ""


@dataclass(frozen=True)
class Calendar:
    """A calendar as it is known on a date.

    Attributes
    ----------
    as_of : the date it is known on.
    clock : of purchases; None where the calendar does not act.
    months : the factors of the season; none where there is no season.
    windows : the speeds of the windows that act, in their order.
    refused : sentences, one for everything that was asked for and cannot be told from the data.
    turns : how often factors and the fit were found in turns.
    daily : ``day, first, repeat``: first and repeat purchases of the customers known, by day; None where nothing acts.
    untold : why no season could be told from these data, where none is asked for; empty where one could.
    """

    as_of: date
    clock: Clock | None = None
    months: tuple[Factor, ...] = ()
    windows: tuple[Factor, ...] = ()
    refused: tuple[str, ...] = ()
    turns: int = 0
    daily: "pd.DataFrame | None" = field(default=None, compare=False, repr=False)
    untold: str = ""

    @property
    def timed(self) -> dict:
        """What `clvkit.fitting.fit_process` takes of it."""
        return {"clock": self.clock, "repeats": None if self.clock is None else self.daily}

    def save(self, folder: Path) -> None:
        """Write the days as Parquet and the rest as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        made = {
            "as_of": self.as_of.isoformat(),
            "clock": self.clock and self.clock.to_json(),
            "months": [asdict(one) for one in self.months],
            "windows": [asdict(one) for one in self.windows],
            "refused": list(self.refused),
            "turns": self.turns,
            "untold": self.untold,
        }
        (folder / "calendar.json").write_text(json.dumps(made), encoding="utf-8")
        if self.daily is not None:
            self.daily.to_parquet(folder / "daily.parquet", index=False)

    @classmethod
    def load(cls, folder: Path) -> "Calendar":
        """Read what `save` wrote."""
        import pandas as pd

        made = json.loads((folder / "calendar.json").read_text(encoding="utf-8"))
        days = folder / "daily.parquet"
        return cls(
            date.fromisoformat(made["as_of"]),
            Clock.from_json(made["clock"]) if made["clock"] else None,
            tuple(Factor(**one) for one in made["months"]),
            tuple(Factor(**one) for one in made["windows"]),
            tuple(made["refused"]),
            made["turns"],
            pd.read_parquet(days) if days.exists() else None,
            made["untold"],
        )


def known_at(section: CalendarSection, origin: date) -> CalendarSection:
    """The calendar as it was known on an earlier date: windows that had begun, up to that date.

    Factors of a season that are given are taken to have been known always.
    """
    begun = tuple(
        one.model_copy(update={"last": min(one.last, origin)})
        for one in section.windows
        if one.first <= origin
    )
    return section.model_copy(update={"windows": begun})


def make_calendar(
    section: CalendarSection,
    cells: "pd.DataFrame",
    daily: "pd.DataFrame",
    models: "ModelsSection",
    as_of: date,
    days_per_year: float = 365.25,
) -> Calendar:
    """The clock of a calendar on a date, from one day before the first purchase to the farthest horizon.

    Parameters
    ----------
    cells : of the customers known, as `clvkit.fitting.fit_process` takes them.
    daily : ``day, first, repeat`` of the same customers (`clvkit.customers.daily_purchases`); later days are left out.
    models : the headline process is the one that factors are estimated with; all processes then share the clock.

    Raises
    ------
    FitError : purchases in a window in which nothing could be bought.
    """
    if not section.acts:
        return Calendar(as_of)
    daily = daily.loc[daily["day"].dt.date <= as_of, ["day", "first", "repeat"]].reset_index(drop=True)
    require_possible(section, daily)
    refused, season = [], section.season
    if season == "estimate" and (why := season_unknown(daily, as_of)):
        refused.append(
            f"The season cannot be estimated: {why} No season is taken; `calendar.month_factors` can give one."
        )
        season = "none"
    windows = [one for one in section.windows if one.treatment != "ignore"]
    asked = [one for one in windows if one.treatment == "estimate"]
    for one in asked:
        if why := _window_unknown(one, daily, as_of):
            refused.append(why)
            windows.remove(one)
    speed = Speeds.of(section, windows, season == "estimate", daily["day"].iloc[0].date(), as_of)
    turns = 0
    if speed.groups:
        from clvkit.calendar_fit import estimate

        speed, turns, intervals = estimate(speed, cells, daily, models, days_per_year)
    else:
        intervals = {}
    counts = speed.purchases(daily)

    def factor(name: str, key: str, given: float, begins: str = "") -> Factor:
        if key not in speed.groups:
            return Factor(name, given, "given", begins=begins)
        return Factor(name, speed.groups[key], "estimated", counts[key], *intervals[key], begins)

    months = tuple(factor(MONTH_NAMES[m - 1], f"month {m}", section.shares[m]) for m in MONTHS)
    return Calendar(
        as_of,
        speed.clock(AHEAD_DAYS),
        months if season != "none" else (),
        tuple(
            factor(one.reason, f"window {k}", one.speed, one.first.isoformat())
            for k, one in enumerate(windows)
        ),
        tuple(refused),
        turns,
        daily,
    )


@dataclass(frozen=True)
class Speeds:
    """The speed of every day, with the factors among them that are to be estimated.

    Attributes
    ----------
    first, as_of : first day of the clock, and the day that times count from.
    windows : those that act.
    given : the season's factor by month.
    groups : current values of the factors that are estimated, by ``month 1`` ... and ``window 0`` ...
    """

    first: date
    as_of: date
    windows: tuple[Window, ...]
    given: dict[int, float]
    groups: dict[str, float]

    @classmethod
    def of(cls, section: CalendarSection, windows, season: bool, first: date, as_of: date) -> "Speeds":
        """All factors at their start: usual, or as they are given."""
        groups = {f"month {m}": 1.0 for m in MONTHS} if season else {}
        groups |= {f"window {k}": 1.0 for k, one in enumerate(windows) if one.treatment == "estimate"}
        return cls(first, as_of, tuple(windows), section.shares, groups)

    def _calendar(self, ahead_days: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Days, their months, and the window each lies in (-1: none)."""
        days = np.arange(
            np.datetime64(self.first), np.datetime64(self.as_of) + np.timedelta64(ahead_days + 1, "D")
        )
        months = days.astype("datetime64[M]").astype(int) % 12 + 1
        inside = np.full(len(days), -1)
        for k, one in enumerate(self.windows):
            inside[(days >= np.datetime64(one.first)) & (days <= np.datetime64(one.last))] = k
        return days, months, inside

    def clock(self, ahead_days: int = 0) -> Clock:
        """The clock at the current values, so far beyond the as-of date."""
        _, months, inside = self._calendar(ahead_days)
        by_month = np.array([self.groups.get(f"month {m}", self.given[m]) for m in MONTHS])
        speed = by_month[months - 1]
        for k, one in enumerate(self.windows):
            speed[inside == k] *= self.groups.get(f"window {k}", one.speed)
        return Clock.of_days(self.as_of, self.first, speed)

    def purchases(self, daily: "pd.DataFrame") -> dict[str, int]:
        """Repeat purchases on the days of each factor that is estimated; a window's days with its month's as well."""
        days, months, inside = self._calendar(0)
        n = np.zeros(len(days))
        n[(daily["day"].to_numpy().astype("datetime64[D]") - days[0]).astype(int)] = daily["repeat"]
        counts = {}
        for key in self.groups:
            kind, which = key.split()
            counts[key] = int(n[(months if kind == "month" else inside) == int(which)].sum())
        return counts


def require_possible(section: CalendarSection, daily: "pd.DataFrame") -> None:
    """Refuse a window that the study says was shut, and in which customers bought."""
    days = daily["day"].dt.date
    for place, one in enumerate(section.windows):
        if one.treatment != "compress" or one.speed > 0:
            continue
        bought = int(daily.loc[(days >= one.first) & (days <= one.last), "repeat"].sum())
        if bought:
            raise FitError(
                f"nothing could be bought from {one.first} to {one.last} ({one.reason}), by the study, but "
                f"{numbers.count(bought)} repeat purchases fall on these days",
                place=f"calendar.windows[{place}]",
                fix="give the window a speed above 0, or let it be estimated",
            )


def season_unknown(daily: "pd.DataFrame", as_of: date) -> str | None:
    """Why a season cannot be told from the age of the customers; None where it can. ``daily``: ``day, first``."""
    days = (as_of - daily["day"].iloc[0].date()).days + 1
    first = daily.groupby(daily["day"].dt.to_period("M"))["first"].sum().to_numpy(float)
    months = float(first.sum() ** 2 / (first**2).sum())
    if days >= FEWEST_DAYS and months >= FEWEST_MONTHS:
        return None
    return (
        f"purchases are known for {numbers.count(days)} days ({FEWEST_DAYS} are needed, two whole years), and first purchases "
        f"came as if evenly over {numbers.number(months, 1)} months ({FEWEST_MONTHS:.0f} are needed). With less, season and "
        "age cannot be told apart: what a month does and what becomes of customers of that age are the same."
    )


def _window_unknown(window: Window, daily: "pd.DataFrame", as_of: date) -> str | None:
    """Why the speed of a window cannot be estimated; None where it can."""
    before = (window.first - daily["day"].iloc[0].date()).days
    after = (as_of - window.last).days
    label = f"The speed of the window from {numbers.date_words(window.first)} to {numbers.date_words(window.last)} ({window.reason}) cannot be estimated"
    rest = "It is not acted on; `treatment: compress` gives it a speed."
    if min(before, after) < window.days:
        return (
            f"{label}: it lasts {numbers.count(window.days)} days, with {numbers.count(max(before, 0))} days of purchases "
            f"before it and {numbers.count(max(after, 0))} after it; as many as it lasts are needed on both sides, to tell "
            f"it from customers who leave. {rest}"
        )
    side = timedelta(days=window.days)
    days, repeat = daily["day"].dt.date, daily["repeat"]
    around = (days >= window.first - side) & (days <= window.last + side)
    usual = repeat[around & ~((days >= window.first) & (days <= window.last))].sum() / 2
    if usual < FEWEST_PURCHASES:
        return f"{label}: at the usual speed it would hold {numbers.count(usual)} purchases, and {FEWEST_PURCHASES} are needed. {rest}"
    return None
