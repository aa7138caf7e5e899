"""How each customer's subscriptions go, month after month, past the as-of date: contracts, notices and payments."""

from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np

from clvkit.simulate.plan import half_up
from clvkit.simulate.subscription_plan import (
    BACK,
    BACK_DAYS,
    BACK_MEAN_DAYS,
    CARD_FAILS,
    CONVERTED,
    DEATHS,
    DISCOUNT_PER_MILLE,
    MOVES,
    MULTIPLIERS,
    NOTICE_DAYS,
    PAUSE_MONTHS,
    PAUSED,
    REASONS,
    SECOND,
    SHARES,
    TARIFFS,
    TRIAL_DAYS,
    TRIED,
    YEAR,
    SubscriptionPlan,
    Tariff,
    chance,
    months_later,
    tariff,
)

#: What a monthly plan is tried as.
TRIALS = {"basic monthly": Tariff("basic trial", 0, 0, 0.0), "plus monthly": Tariff("plus trial", 0, 0, 0.0)}


@dataclass
class Row:
    """A contract. ``end``: its last day, if it ends within the horizon; ``known``: from when the files show it to end."""

    tariff: Tariff
    anchor: date  # payments are due on the anniversaries by the month of this day
    offset: int  # months from the anchor to the start
    start: date
    relation: int  # of the subscription; a win-back is a new one
    booked: date  # from when the files show the row
    end: date | None = None
    known: date | None = None
    notice: date | None = None
    reason: str = ""
    cancelled: date | None = None  # a booked row that never began, as its holder died
    paid: list[tuple[date, int]] = field(default_factory=list)


@dataclass
class Customer:
    """One customer as only the truth knows them."""

    number: int
    arrival: date
    channel: str
    region: str
    offer: str
    birth_year: int
    gender: str
    place: float  # among all customers, by how easily they leave
    death: date
    subscriptions: list[list[Row]] = field(default_factory=list)

    @property
    def multiplier(self) -> float:
        """Of the hazard, for all that acts on it."""
        return float(np.prod([MULTIPLIERS[name][getattr(self, name)] for name in MULTIPLIERS]))

    def chance(self, months: int) -> float:
        """To leave at a renewal of a plan that is paid so many months at a time."""
        return float(chance(self.place, self.multiplier, months))

    def fee(self, of: Tariff) -> int:
        """What a payment for the plan is, in minor units."""
        off = half_up(of.fee * DISCOUNT_PER_MILLE, 1000) if self.offer == "discount" else 0
        return of.fee - off


def draw_customers(plan: SubscriptionPlan) -> list[Customer]:
    """Everybody, by the day they came, with what became of their subscriptions up to the end of the horizon."""
    rng = plan.random("customers")
    days = (plan.as_of - plan.start).days + 1
    arrivals = np.sort(rng.integers(0, days, plan.customers))
    out = []
    for number, arrival in enumerate(arrivals, start=1):
        drawn = {
            name: str(rng.choice(list(shares), p=list(shares.values()))) for name, shares in SHARES.items()
        }
        day = plan.start + timedelta(days=int(arrival))
        lives = min(int(rng.exponential(1 / DEATHS) * YEAR), 36_500)
        out.append(
            Customer(number, day, **drawn, birth_year=int(rng.integers(1945, 2004)),
                     gender=str(rng.choice(["f", "m"])), place=float(rng.random()),
                     death=day + timedelta(days=lives + 1))
        )  # fmt: skip
    lives = plan.random("lives")
    for one in out:
        first = TARIFFS[int(lives.choice(len(TARIFFS), p=[t.share for t in TARIFFS]))]
        one.subscriptions.append(_subscription(plan, one, first, one.arrival, lives, comes_back=True))
        if lives.random() < SECOND:
            later = one.arrival + timedelta(days=int(lives.integers(20, 365)))
            if later < min(one.death, plan.horizon_end):
                second = TARIFFS[int(lives.integers(2))]
                one.subscriptions.append(_subscription(plan, one, second, later, lives, comes_back=False))
    return out


def _subscription(plan, who: Customer, first: Tariff, day: date, rng, *, comes_back: bool) -> list[Row]:
    """All rows of one subscription: a trial, relations, and win-backs of who leaves."""
    rows, relation = [], 1
    if first.months == 1 and comes_back and rng.random() < TRIED:
        trial = Row(
            TRIALS[first.name], day, 0, day, 0, day, end=day + timedelta(days=TRIAL_DAYS - 1), known=day
        )
        rows.append(trial)
        day += timedelta(days=TRIAL_DAYS)
        stays = rng.random() < CONVERTED
        if who.death <= trial.end:
            trial.end = trial.known = who.death
            trial.reason = "death"
            return rows
        trial.reason = "converted" if stays else "trial not continued"
        if not stays or who.death <= day:
            return rows
    while True:
        made = _relation(plan, who, first, day, relation, rng)
        rows += made
        last = made[-1]
        if last.end is None or last.reason in ("death", "pause") or not comes_back:
            return rows
        back = rng.random() < BACK["failed card" if last.reason == "failed card" else "choice"]
        day = last.end + timedelta(days=1 + BACK_DAYS + int(rng.exponential(BACK_MEAN_DAYS)))
        if not back or day >= min(who.death, plan.horizon_end):
            return rows
        first, relation = last.tariff, relation + 1


def _relation(plan, who: Customer, first: Tariff, anchor: date, relation: int, rng) -> list[Row]:
    """The rows of one relation, from its first payment until it ends or the horizon does."""
    rows, offset, now = [], 0, first
    row = Row(now, anchor, 0, anchor, relation, anchor)
    while True:
        if not rows or rows[-1] is not row:
            rows.append(row)
        due = months_later(anchor, offset)
        if due > plan.horizon_end:
            return rows
        row.paid.append((due, who.fee(now)))
        offset += now.months
        following = months_later(anchor, offset)
        last_day = following - timedelta(days=1)
        if who.death < following:
            row.end, row.known, row.reason = who.death, who.death, "death"
            return rows
        if rng.random() < who.chance(now.months):
            low, high = NOTICE_DAYS[now.months]
            row.end, row.notice = last_day, last_day - timedelta(days=int(rng.integers(low, high + 1)))
            row.known, row.reason = row.notice, str(rng.choice(list(REASONS), p=list(REASONS.values())))
            return rows
        if rng.random() < CARD_FAILS:
            row.end, row.known, row.reason = last_day, following, "failed card"
            return rows
        if now.months == 1 and rng.random() < PAUSED:
            row.end, row.known, row.reason = last_day, following, "pause"
            offset += int(rng.choice(list(PAUSE_MONTHS), p=list(PAUSE_MONTHS.values())))
            row = Row(now, anchor, offset, months_later(anchor, offset), relation, following)
            if who.death < row.start:
                row.cancelled = who.death
                return [*rows, row]
            continue
        chosen, reached = rng.random(), 0.0
        for name, share in MOVES[now.name].items():
            reached += share
            if chosen < reached:
                row.end, row.known, row.reason = last_day, following, "plan change"
                now = tariff(name)
                row = Row(now, anchor, offset, following, relation, following)
                break
