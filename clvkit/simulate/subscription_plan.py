"""What is true of the subscription company: plans, who leaves how easily, what acts on it, and how relations go on."""

from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np

from clvkit.errors import StudyError
from clvkit.simulate.plan import month_after

YEAR = 365.25
MIN_CUSTOMERS, MIN_MONTHS = 100, 12
HORIZON_MONTHS = 36  # after the as-of date; so far the truth looks ahead


@dataclass(frozen=True)
class Tariff:
    """A plan: paid for ``months`` at a time, in advance, ``fee`` minor units each time; ``share`` of new customers."""

    name: str
    months: int
    fee: int
    share: float


TARIFFS = (
    Tariff("basic monthly", 1, 990, 0.30),
    Tariff("plus monthly", 1, 1990, 0.17),
    Tariff("plus quarterly", 3, 5400, 0.15),
    Tariff("basic annual", 12, 9900, 0.18),
    Tariff("plus annual", 12, 19900, 0.14),
    Tariff("plus 24 months", 24, 35800, 0.06),
)
#: Chance to leave at a renewal, of customers whom nothing below moves: Beta(α, β) by months paid at a time. A customer has
#: one place in all four distributions: who leaves a monthly plan easily leaves an annual one easily too.
CHANCES = {1: (1.0, 12.0), 3: (1.2, 7.0), 12: (1.5, 4.0), 24: (1.5, 3.0)}
#: By what a value of an attribute multiplies −log(1 − chance to leave), the hazard, of everybody who has it.
MULTIPLIERS = {
    "channel": {"search": 1.0, "social": 1.6, "partner": 1.2, "referral": 0.6},
    "region": {"DE": 1.0, "AT": 1.0, "CH": 0.8},
    "offer": {"full price": 1.0, "discount": 1.4},
}
SHARES = {
    "channel": {"search": 0.4, "social": 0.25, "partner": 0.15, "referral": 0.2},
    "region": {"DE": 0.6, "AT": 0.2, "CH": 0.2},
    "offer": {"full price": 0.75, "discount": 0.25},
}
DISCOUNT_PER_MILLE = 200  # off every fee of who came by the offer "discount", as long as they stay
REASONS = {"price": 0.4, "not used": 0.3, "competitor": 0.2, "moved away": 0.1}  # of leaving by choice
CARD_FAILS = 0.008  # at each renewal that would have been made
DEATHS = 0.006  # a year
#: Days before the end of a period at which notice is given, from and to, by months paid at a time.
NOTICE_DAYS = {1: (0, 20), 3: (0, 60), 12: (20, 120), 24: (30, 180)}
PAUSED, PAUSE_MONTHS = 0.006, {1: 0.7, 2: 0.3}  # at a monthly renewal that is made; for how many months
#: Chance at a renewal that is made to take another plan from then on.
MOVES = {
    "basic monthly": {"plus monthly": 0.015, "basic annual": 0.010},
    "plus monthly": {"basic monthly": 0.010, "plus annual": 0.008},
    "plus quarterly": {"plus annual": 0.030, "basic monthly": 0.020},
    "basic annual": {"plus annual": 0.070},
    "plus annual": {"basic annual": 0.060},
    "plus 24 months": {"plus annual": 0.150},
}
TRIAL_DAYS, TRIED, CONVERTED = 14, 0.4, 0.6  # share of new monthly customers who try first, and who then stay
SECOND = 0.04  # of customers take a second subscription beside the first, up to a year after it
#: Chance to come back after an end for a reason; it takes 75 days and an exponential time of 120 more in the mean.
BACK = {"choice": 0.12, "failed card": 0.35}
BACK_DAYS, BACK_MEAN_DAYS = 75, 120.0


@dataclass(frozen=True)
class SubscriptionPlan:
    """The arguments of a subscription company, checked; ``as_of`` is the last day that its files know of."""

    customers: int
    seed: int
    start: date
    as_of: date
    observed_from: date | None = None
    horizon_end: date = field(init=False)

    def __post_init__(self):
        if self.customers < MIN_CUSTOMERS:
            raise StudyError(
                f"customers must be at least {MIN_CUSTOMERS} (got {self.customers})",
                fix="ask for more customers",
            )
        months = (self.as_of.year - self.start.year) * 12 + self.as_of.month - self.start.month
        if months < MIN_MONTHS:
            raise StudyError(
                f"the company must have sold for at least {MIN_MONTHS} months (got {self.start} to {self.as_of})",
                fix="choose an earlier start or a later as-of date",
            )
        if self.observed_from is not None and not self.start < self.observed_from < self.as_of:
            raise StudyError(
                f"observed_from must lie between {self.start} and {self.as_of} (got {self.observed_from})",
                fix="name a day on which the company had sold for a while, or leave it out",
            )
        object.__setattr__(self, "horizon_end", months_later(self.as_of, HORIZON_MONTHS))

    def random(self, stream: str) -> np.random.Generator:
        """The random numbers of one part of the company; another part's leave them as they are."""
        return np.random.default_rng([self.seed, *stream.encode()])


def months_later(first: date, months: int) -> date:
    """The same day of a later month, or its last."""
    month = month_after(first, months)
    return min(month + timedelta(days=first.day - 1), month_after(month, 1) - timedelta(days=1))


def tariff(name: str) -> Tariff:
    """The plan of that name."""
    return next(one for one in TARIFFS if one.name == name)


def chance(place: float | np.ndarray, multiplier: float | np.ndarray, months: int) -> float | np.ndarray:
    """Chance to leave at a renewal of a plan paid ``months`` at a time, of a customer at that ``place`` (0 to 1)."""
    from scipy.special import betaincinv

    return 1 - (1 - betaincinv(*CHANCES[months], place)) ** multiplier
