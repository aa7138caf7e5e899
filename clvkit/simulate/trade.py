"""What was bought and what came back: the lines of the shop and of the tills, money in minor units."""

import math

import numpy as np
import pandas as pd

from clvkit.simulate.people import Person
from clvkit.simulate.plan import (
    CATEGORIES,
    PRICE_CHANGE,
    PROMOTION_DISCOUNT,
    PROMOTION_PULLED,
    REFUND_MEAN_LAG_DAYS,
    REFUND_SHARE,
    SPEND,
    STORES,
    VAT_PER_MILLE,
    Plan,
    half_up,
)

PER_CATEGORY = 20
PRICES = np.round(np.geomspace(4, 400, PER_CATEGORY), 2)  # list prices, the same ladder in every category
STEP = math.log(100) / (PER_CATEGORY - 1)
POSTAGE, FREE_FROM = 490, 6000  # minor units


def draw_lines(plan: Plan, people: list[Person], who: np.ndarray, when: np.ndarray) -> pd.DataFrame:
    """Every sold line, by time: of persons, and of walk-ins at the till whom nobody knows (person -1).

    ``amount`` is what the system shows (quantity × unit - discount; tax included at the till), ``net`` is
    without tax; ``day`` counts from the start, ``second`` is of the local day.
    """
    rng = plan.random("orders")
    day = np.minimum(when.astype(np.int64), plan.days - 1)
    in_shop = rng.random(who.size) < np.array([p.shop_share for p in people])[who]
    mean = np.array([p.mean_spend for p in people])[who]
    value = rng.gamma(SPEND["p"], 1.0, who.size) / SPEND["p"] * mean
    walk_ins = int(rng.poisson(0.06 * (~in_shop).sum()))
    who = np.concatenate([who, np.full(walk_ins, -1)])
    day = np.concatenate([day, rng.integers(0, plan.days, walk_ins)])
    in_shop = np.concatenate([in_shop, np.zeros(walk_ins, bool)])
    value = np.concatenate([value, rng.gamma(2.0, 12.0, walk_ins)])
    second = np.where(in_shop, _shop_second(day, rng), rng.integers(9 * 3600, 20 * 3600, who.size))
    kept = [_order(people, int(w), bool(s), rng) for w, s in zip(who, in_shop, strict=True)]
    baskets = _baskets(value, rng)
    promoted = pulled = np.zeros(who.size, bool)
    if "promotion" in plan.defects:
        day, promoted, pulled = _pull_forward(plan, people, who, day)
    rows = []
    for i in np.lexsort((second, day)):
        shop, higher = bool(in_shop[i]), "price_change" in plan.defects and day[i] >= plan.price_day
        order = (i, int(who[i]), shop, int(day[i]), int(second[i]), *kept[i])
        price = 1 + PRICE_CHANGE if higher else 1.0
        rows += [
            order + line for line in _price(plan, baskets[i], kept[i][0], shop, price, bool(promoted[i]))
        ]
    names = "purchase person shop day second region store guest channel line sku qty unit discount amount net tax shipping"
    lines = pd.DataFrame(rows, columns=names.split())
    lines["currency"] = lines["region"].map(plan.currency_of)
    lines["order"], lines["pulled"] = _numbers(lines), pulled[lines["purchase"]]
    return _with_account(lines, people)


def _shop_second(day: np.ndarray, rng) -> np.ndarray:
    """From six in the morning to midnight; one in sixteen after it, when UTC still has the day before."""
    awake = rng.integers(6 * 3600, 24 * 3600, day.size)
    night = (rng.random(day.size) < 1 / 16) & (day > 0)
    return np.where(night, rng.integers(0, 3600, day.size), awake)


def _order(people: list[Person], who: int, shop: bool, rng) -> tuple[str, str, bool, str]:
    """Region, store, whether bought as a guest, and channel of one order."""
    store, guest, app = rng.integers(0, 3), rng.random() < 0.04, rng.random() < 0.35
    if shop:
        return people[who].region, "", guest, "app" if app else "web"
    at = (
        next(i for i, s in enumerate(STORES) if s[2] == "AT")
        if who >= 0 and people[who].region == "AT"
        else store
    )
    return STORES[at][2], str(at), False, "store"


def _baskets(value: np.ndarray, rng) -> list[list[tuple[float, int, str, int, float]]]:
    """For each order its lines: net value in the home currency, line, category, quantity, discount share."""
    n, most = value.size, 3
    lines = np.where(value > 10, 1 + rng.binomial(most - 1, 0.15, n), 1)
    share = rng.gamma(4.0, 1.0, (n, most)) * (np.arange(most) < lines[:, None])
    share /= share.sum(axis=1, keepdims=True)
    category = rng.choice(list(CATEGORIES), (n, most), p=[0.25, 0.15, 0.25, 0.1, 0.15, 0.1]).tolist()
    quantity = (1 + rng.binomial(2, 0.12, (n, most))).tolist()
    rebate = np.where(rng.random(n) < 0.15, 0.1, 0.0).tolist()
    each = np.maximum(value[:, None] * share, 1.0).tolist()
    return [
        [(each[i][k], k + 1, category[i][k], quantity[i][k], rebate[i]) for k in range(lines[i])]
        for i in range(n)
    ]


def _price(plan: Plan, basket, region: str, shop: bool, price: float, promoted: bool):
    """The lines of one order: line, sku, quantity, unit, discount, amount, net, tax, shipping."""
    vat, rate = VAT_PER_MILLE[region], plan.first_rate(plan.currency_of(region))
    priced = []
    for value, line, category, quantity, rebate in basket:
        each = value / quantity / (1 - rebate)  # before the discount, without tax, home currency
        sku = f"{category[:2].upper()}{_nearest(each):02d}"
        net_unit = max(round(each * price / rate * 100), 1)
        unit = net_unit if shop else half_up(net_unit * (1000 + vat), 1000)
        off = 1 - (1 - rebate) * (1 - PROMOTION_DISCOUNT * promoted)
        discount = round(quantity * unit * off)
        amount = quantity * unit - discount
        net = amount if shop else half_up(amount * 1000, 1000 + vat)
        tax = half_up(net * vat, 1000) if shop else amount - net
        priced.append((line, sku, quantity, unit, discount, amount, net, tax))
    small = shop and sum(one[6] for one in priced) < FREE_FROM
    return [(*one, POSTAGE if small and one[0] == 1 else 0) for one in priced]


def _nearest(price: float) -> int:
    """The step of the price ladder, from 1, that comes nearest to a price."""
    return 1 + min(max(round((math.log(price / PRICES[0])) / STEP), 0), PER_CATEGORY - 1)


def _pull_forward(plan: Plan, people, who: np.ndarray, day: np.ndarray):
    """Move orders of the eight weeks after the promotion into its two weeks, and say which it discounts and which it moved."""
    rng, first = plan.random("promotion"), plan.promotion_day
    known = np.array([p.arrival for p in people] + [np.inf])[who] < first
    later = known & (day >= first + 14) & (day < first + 70) & (rng.random(who.size) < PROMOTION_PULLED)
    day = np.where(later, first + rng.integers(0, 14, who.size), day)
    return day, (day >= first) & (day < first + 14), later


def _numbers(lines: pd.DataFrame) -> pd.Series:
    """Order and receipt numbers, counted in the order of time, in the shop and in each store."""
    first = lines.drop_duplicates("purchase")
    rank = first.groupby("store").cumcount()
    number = [
        f"W{1000001 + k}" if shop else f"{STORES[int(store)][0]}-{100001 + k}"
        for k, shop, store in zip(rank, first["shop"], first["store"], strict=True)
    ]
    return lines["purchase"].map(dict(zip(first["purchase"], number, strict=True)))


def _with_account(lines: pd.DataFrame, people: list[Person]) -> pd.DataFrame:
    """Add the keys that each system wrote down: ``account`` and ``email`` in the shop, ``card`` at the till."""
    account, email, card = [], [], []
    for person, shop, day, guest in zip(
        lines["person"], lines["shop"], lines["day"], lines["guest"], strict=True
    ):
        who = people[person] if person >= 0 else None
        second = bool(who and shop and who.second_day is not None and day >= who.second_day)
        account.append(who.keys("account")[second] if who and shop and not guest else "")
        email.append(who.emails[second] if who and shop else "")
        card.append(who.keys("card")[0] if who and not shop else "")
    return lines.assign(account=account, email=email, card=card)


def draw_refunds(plan: Plan, lines: pd.DataFrame) -> pd.DataFrame:
    """What comes back, of both systems, also after the end: ``day``, and ``amount`` and ``tax``, positive.

    One row a line, at most. In the shop a part or all of a line; at the till the whole line.
    """
    rng = plan.random("refunds")
    chosen = lines[rng.random(len(lines)) < REFUND_SHARE]
    n = len(chosen)
    lag = 1 + np.floor(rng.exponential(REFUND_MEAN_LAG_DAYS - 0.5, n)).astype(np.int64)
    part = np.where(rng.random(n) < 0.7, 1.0, rng.uniform(0.2, 0.8, n))
    named = rng.random(n) < 0.7
    second = rng.integers(9 * 3600, 18 * 3600, n)
    whole = (~chosen["shop"]) | (part == 1)
    net = np.where(whole, chosen["net"], np.maximum((chosen["net"] * part).astype(np.int64), 1))
    tax = [t if w else half_up(int(k) * VAT_PER_MILLE[r], 1000)
           for t, w, k, r in zip(chosen["tax"], whole, net, chosen["region"], strict=True)]  # fmt: skip
    back = chosen.assign(day=chosen["day"] + lag, second=second, net=net, tax=tax, named=named)
    # A return is written as quantity times price; what does not divide evenly stays with the customer.
    back = back[back["shop"] | (back["amount"] % back["qty"] == 0)]
    return back.sort_values(["day", "second", "order", "line"], ignore_index=True)
