"""What a company is asked to be, and the facts that every one of them shares."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np

from clvkit.calendar_section import MONTHS, normalised
from clvkit.clock import Clock
from clvkit.errors import StudyError
from clvkit.rules import did_you_mean, listed

YEAR = 365.25
ZONE = ZoneInfo("Europe/Berlin")  # of the stores and of the books
MIN_MONTHS, MIN_CUSTOMERS = 18, 500  # so that every defect has rows, and a month, to itself

PROCESS = "paretonbd"
PARAMETERS = {"r": 0.8, "alpha": 0.3, "s": 0.7, "beta": 1.0}  # years
SPEND = {"p": 5.0, "q": 4.0, "gamma": 30.0}  # net order value, in the home currency at the first day's rate
#: Purchases of everybody in a month as a multiple of what is usual, January first; a year keeps its length.
SEASON = normalised(
    dict(zip(MONTHS, (0.8, 0.85, 0.95, 1.0, 1.0, 0.95, 0.85, 0.85, 0.95, 1.05, 1.35, 1.6), strict=True))
)
REFUND_SHARE, REFUND_MEAN_LAG_DAYS = 0.08, 12.0  # of lines; whole days, at least one
PROMOTION_PULLED, PROMOTION_DISCOUNT, PRICE_CHANGE = 0.3, 0.15, 0.08

IN_EUR = {"EUR": 1.0, "USD": 0.92, "CHF": 1.0, "GBP": 1.16}  # on the first day
LOCAL = {"CH": "CHF", "GB": "GBP"}  # the other regions pay in the home currency
REGIONS = {"DE": 0.55, "AT": 0.15, "CH": 0.15, "GB": 0.15}
VAT_PER_MILLE = {"DE": 190, "AT": 200, "CH": 81, "GB": 200}
STORES = (
    ("01", "Köln", "DE"),
    ("02", "München", "DE"),
    ("03", "Düsseldorf", "DE"),
    ("04", "Wien Praterstraße", "AT"),
)
CATEGORIES = {
    "Küche": 0.55,
    "Bad": 0.5,
    "Wohnen": 0.45,
    "Garten": 0.6,
    "Büro": 0.4,
    "Kinder": 0.5,
}  # cost shares
CHANNELS = {"search": 0.4, "social": 0.25, "affiliate": 0.15, "stores": 0.2}  # that bring new customers

BEHAVIOUR = {
    "price_change": "from the middle month on every price is 8 % higher; buying goes on as before",
    "promotion": "two weeks of 15 % off, into which 30 % of the next eight weeks' orders were pulled forward",
}


@dataclass(frozen=True)
class Plan:
    """The arguments of a company, checked."""

    customers: int
    seed: int
    start: date
    end: date
    defects: tuple[str, ...]
    currency: str
    season: bool = True

    def __post_init__(self):
        if self.currency not in IN_EUR:
            raise StudyError(
                f"currency must be one of {listed(IN_EUR)} (got {self.currency!r})",
                fix=did_you_mean(self.currency, IN_EUR) or "choose one of them",
            )
        if self.customers < MIN_CUSTOMERS:
            raise StudyError(
                f"customers must be at least {MIN_CUSTOMERS} (got {self.customers})",
                fix="ask for more customers",
            )
        if self.start.day != 1 or len(self.months) < MIN_MONTHS:
            raise StudyError(
                f"a company starts on the first of a month and lasts at least {MIN_MONTHS} months "
                f"(got {self.start} to {self.end})",
                fix="choose an earlier start or a later end",
            )

    @cached_property
    def days(self) -> int:
        """Days from the first to the last, both included."""
        return (self.end - self.start).days + 1

    @cached_property
    def months(self) -> list[date]:
        """First days of all months, in order."""
        count = (self.end.year - self.start.year) * 12 + self.end.month - self.start.month + 1
        return [month_after(self.start, k) for k in range(max(count, 0))]

    @cached_property
    def clock(self) -> Clock | None:
        """The clock that purchases run on, in days since the start; None where there is no season.

        Times here begin with the day and a clock's end with it, so that its first piece is the first day.
        """
        if not self.season:
            return None
        speed = np.array([SEASON[self.day(k).month] for k in range(self.days)])
        return Clock.of_days(self.start, self.day(1), speed)

    @property
    def price_day(self) -> int:
        """The day (since the start) from which prices are higher, where they change."""
        return (self.months[len(self.months) // 2] - self.start).days

    @property
    def promotion_day(self) -> int:
        """The first day (since the start) of the promotion, where there is one."""
        return (self.months[len(self.months) * 2 // 3] - self.start).days

    def day(self, number: int) -> date:
        """The date of a day counted from the start."""
        return self.start + timedelta(days=int(number))

    def currency_of(self, region: str) -> str:
        """What a region's customers pay in."""
        return LOCAL.get(region, self.currency)

    def first_rate(self, currency: str) -> float:
        """Home currency per unit of ``currency`` on the first day."""
        return IN_EUR[currency] / IN_EUR[self.currency]

    def random(self, stream: str) -> np.random.Generator:
        """The random numbers of one part of the company; another part's leave them as they are."""
        return np.random.default_rng([self.seed, *stream.encode()])

    def moment(self, day: int, second: int) -> datetime:
        """The local moment of a day and a second of it, by the clock on the wall."""
        return datetime.combine(self.day(day), time(), ZONE) + timedelta(seconds=int(second))


def month_after(first: date, months: int) -> date:
    """The first of the month, ``months`` after that of ``first``."""
    count = first.year * 12 + first.month - 1 + months
    return date(count // 12, count % 12 + 1, 1)


def half_up(numerator: int, denominator: int) -> int:
    """``numerator / denominator`` rounded half away from zero, in integers."""
    sign = -1 if numerator < 0 else 1
    return sign * ((2 * abs(numerator) + denominator) // (2 * denominator))
