"""What customers of the subscription company will bring after the as-of date: expected from their own chances, and what came.

Both count payments of subscriptions that run on the as-of date, undiscounted, from the day after it to the end of the horizon.
A relation that has ended brings nothing, whoever comes back; a pause is no end. The expectation is a recursion backward in
months: W(plan, k) is what a renewal brings that is due when k whole months of the horizon are left, P(plan, k) what a payment
brings that is made then,

    W(p, k) = (1 − c) [ q Σ_d w_d D^d P(p, k−d) + (1 − q) Σ_r m_pr P(r, k) ],    P(p, k) = fee_p + D^L (1 − θ_p) W(p, k−L),

with θ_p the customer's own chance to leave, c a failed card, q a pause of d months, m_pr a change of plan, L the months of a
period and D the chance to live another month. Who has not given notice by the as-of date has a smaller chance to leave at the
next renewal than θ, by Bayes' rule.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from clvkit.simulate.subscription_lives import TRIALS, Customer, Row
from clvkit.simulate.subscription_plan import (
    CARD_FAILS,
    CONVERTED,
    DEATHS,
    HORIZON_MONTHS,
    MOVES,
    NOTICE_DAYS,
    PAUSE_MONTHS,
    PAUSED,
    TARIFFS,
    TRIAL_DAYS,
    YEAR,
    SubscriptionPlan,
    months_later,
)

MONTHLY_LIFE = float(np.exp(-DEATHS / 12))
PLACE = {one.name: k for k, one in enumerate(TARIFFS)}


@dataclass(frozen=True)
class State:
    """A subscription on the as-of date: ``runs``, ``announced`` (its end), ``paused``, ``trial`` or ``left``."""

    name: str
    row: Row | None = None  # that runs, or that is booked
    due: date | None = None  # the next payment, if it is made


def visible(plan: SubscriptionPlan, row: Row) -> bool:
    """Whether the files of the as-of date show the row."""
    gone = row.cancelled is not None and row.cancelled <= plan.as_of
    seen = row.end is None or plan.observed_from is None or row.end >= plan.observed_from
    return row.booked <= plan.as_of and not gone and seen


def state(plan: SubscriptionPlan, rows: list[Row]) -> State | None:
    """A subscription on the as-of date; None if it had not begun by then."""
    begun = [row for row in rows if row.booked <= plan.as_of]
    if not begun:
        return None
    row = begun[-1]
    gone = row.cancelled is not None and row.cancelled <= plan.as_of
    if gone or (row.end is not None and row.end < plan.as_of):
        return State("left")
    if row.tariff.months == 0:
        return State("trial", row, row.start + timedelta(days=TRIAL_DAYS))
    if row.start > plan.as_of:
        return State("paused", row, row.start)
    ends = row.end is not None and row.known <= plan.as_of
    return State("announced" if ends else "runs", row, _due(row, plan.as_of))


def _due(row: Row, after: date) -> date:
    """The first renewal of a row after a day."""
    offset = row.offset + row.tariff.months
    while (day := months_later(row.anchor, offset)) <= after:
        offset += row.tariff.months
    return day


def expected(plan: SubscriptionPlan, states: list[tuple[Customer, State]]) -> np.ndarray:
    """Payments to come of each subscription, given what is true of its customer: minor units, (subscriptions,)."""
    people = [who for who, _ in states]
    leave = np.array([[who.chance(one.months) for one in TARIFFS] for who in people]).reshape(
        -1, len(TARIFFS)
    )
    fees = np.array([[who.fee(one) for one in TARIFFS] for who in people], float).reshape(leave.shape)
    stays, pays = _recursion(leave, fees)
    out = np.zeros(len(states))
    for i, (who, one) in enumerate(states):
        if one.name in ("left", "announced"):
            continue
        left = _months_left(plan, one)
        if left < 0:
            continue
        lives = float(np.exp(-DEATHS * (one.due - plan.as_of).days / YEAR))
        at = PLACE[one.row.tariff.name] if one.row.tariff.months else PLACE[_tried(one.row)]
        if one.name == "runs":
            months = one.row.tariff.months
            low, high = NOTICE_DAYS[months]
            short = np.clip((one.due - plan.as_of).days - 1 - low, 0, high - low + 1) / (high - low + 1)
            chance = who.chance(months)
            leaves = chance * short / (1 - chance + chance * short)  # given that no notice has come yet
            out[i] = lives * (1 - leaves) * stays[i, at, left]
        else:
            out[i] = lives * (CONVERTED if one.name == "trial" else 1.0) * pays[i, at, left]
    return out


def _tried(row: Row) -> str:
    return next(name for name, trial in TRIALS.items() if trial is row.tariff)


def _months_left(plan: SubscriptionPlan, one: State) -> int:
    """Whole months from the next payment to the end of the horizon; -1 where it lies beyond."""
    anchor = one.due if one.row.tariff.months == 0 else one.row.anchor
    first = (one.due.year - anchor.year) * 12 + one.due.month - anchor.month
    left = -1
    while months_later(anchor, first + left + 1) <= plan.horizon_end:
        left += 1
    return left


def _recursion(leave: np.ndarray, fees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of a renewal that is not left, and of a payment: (subscriptions, plans, months left), see the head of the file."""
    shape = (*leave.shape, HORIZON_MONTHS + 1)
    stays, pays = np.zeros(shape), np.zeros(shape)
    for k in range(HORIZON_MONTHS + 1):
        for p, one in enumerate(TARIFFS):
            later = 0.0
            if k >= one.months:
                later = MONTHLY_LIFE**one.months * (1 - leave[:, p]) * stays[:, p, k - one.months]
            pays[:, p, k] = fees[:, p] + later
        for p, one in enumerate(TARIFFS):
            moved = sum(MOVES[one.name].values())
            on = (1 - moved) * pays[:, p, k]
            for name, share in MOVES[one.name].items():
                on = on + share * pays[:, PLACE[name], k]
            paused = PAUSED if one.months == 1 else 0.0
            after = sum(
                share * MONTHLY_LIFE**d * pays[:, p, k - d] for d, share in PAUSE_MONTHS.items() if k >= d
            )
            stays[:, p, k] = (1 - CARD_FAILS) * (paused * after + (1 - paused) * on)
    return stays, pays


def realised(plan: SubscriptionPlan, rows: list[Row], one: State) -> int:
    """What the subscription did pay within the horizon: minor units."""
    if one.row is None:
        return 0
    relation = max(one.row.relation, 1)  # a trial goes on as the first
    return sum(
        fee
        for row in rows
        if row.relation == relation
        for day, fee in row.paid
        if plan.as_of < day <= plan.horizon_end
    )
