"""What stands around the sales: products, rates, subscriptions, tickets, marketing, and the general ledger."""

from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa

from clvkit.simulate.people import Person
from clvkit.simulate.plan import (
    CATEGORIES,
    CHANNELS,
    LOCAL,
    PRICE_CHANGE,
    PROMOTION_DISCOUNT,
    VAT_PER_MILLE,
    Plan,
    half_up,
    month_after,
)
from clvkit.simulate.sheet import Sheet, money, utc
from clvkit.simulate.trade import PER_CATEGORY, PRICES

PLANS = {"basic": 499, "plus": 999, "pro": 1999}  # net, minor units a month
TOPICS = ("delivery", "return", "invoice", "product", "account")
NO_COST, STATED_SHARE = "Garten", ("Küche", "Garten", "Kinder")


def product_sheets(plan: Plan) -> dict[str, Sheet]:
    """Products, with a cost for most; cost shares of some categories; list prices over time."""
    rng = plan.random("products")
    products = Sheet("sku category list_price unit_cost".split())
    prices = Sheet("sku valid_from list_price".split())
    for category, share in CATEGORIES.items():
        for k in range(PER_CATEGORY):
            sku, price = f"{category[:2].upper()}{k + 1:02d}", round(PRICES[k] * 100)
            cost = round(price * share * rng.uniform(0.9, 1.1))
            known = category != NO_COST and rng.random() > 0.12
            products.rows.append([sku, category, money(price), money(cost) if known else ""])
            prices.rows.append([sku, plan.start.isoformat(), money(price)])
            if "price_change" in plan.defects:
                new = round(price * (1 + PRICE_CHANGE))
                prices.rows.append([sku, plan.day(plan.price_day).isoformat(), money(new)])
    shares = Sheet(["category", "cost_share"], [[c, f"{CATEGORIES[c]:.2f}"] for c in STATED_SHARE])
    return {"erp/products.csv": products, "erp/categories.csv": shares, "erp/price_list.csv": prices}


def rate_sheet(plan: Plan) -> Sheet:
    """Home currency per unit of each other currency, on business days from a week before the start."""
    rng, sheet = plan.random("rates"), Sheet(["date", "currency", "rate"])
    days = [plan.start + timedelta(days=k) for k in range(-7, plan.days)]
    steps = rng.normal(0, 0.003, (len(days), len(LOCAL)))
    for day, step in zip(days, np.cumsum(steps, axis=0), strict=True):
        if day.weekday() < 5:
            for currency, change in zip(LOCAL.values(), step, strict=True):
                if currency != plan.currency:
                    rate = plan.first_rate(currency) * np.exp(change)
                    sheet.rows.append([day.isoformat(), currency, f"{rate:.5f}"])
    return sheet


def billing_tables(plan: Plan, people: list[Person]) -> tuple[pa.Table, pa.Table]:
    """Contracts and invoices. A contract runs until its holder leaves it, month by month; one invoice each month."""
    rng, contracts, invoices = plan.random("billing"), [], []
    for person in people:
        if not person.billing:
            continue
        first = plan.day(min(int(person.arrival) + int(rng.integers(0, 60)), plan.days - 1))
        name = str(rng.choice(list(PLANS), p=[0.5, 0.35, 0.15]))
        leaving = rng.beta(1.0, 12.0)
        lasts = int(rng.geometric(max(leaving, 1e-6)))  # months that are paid
        bills = [
            day
            for k in range(min(lasts, len(plan.months) + 1))
            if (day := _anniversary(first, k)) <= plan.end
        ]
        ends = _anniversary(first, lasts) - timedelta(days=1) if lasts <= len(plan.months) else None
        email, phone = _contact(person, rng)
        number, fee = f"C{30000 + person.number}", PLANS[name]
        tax = half_up(fee * VAT_PER_MILLE[person.region], 1000)
        contracts.append((number, person.billing, email, phone, name, first,
                          ends if ends and ends <= plan.end else None, _decimal(fee), plan.currency))  # fmt: skip
        invoices += [(f"R{number[1:]}-{k + 1:02d}", number, person.billing, day, _decimal(fee), _decimal(tax), plan.currency)
                     for k, day in enumerate(bills)]  # fmt: skip
    invoices.sort(key=lambda one: (one[3], one[0]))
    cash, text, day = pa.decimal128(10, 2), pa.string(), pa.date32()
    return (
        _table(contracts, dict(contract_no=text, customer_no=text, email=text, phone=text, plan=text, start=day,
                               end=day, monthly_fee=cash, currency=text)),
        _table(invoices, dict(invoice_no=text, contract_no=text, customer_no=text, invoice_date=day, amount=cash,
                              tax=cash, currency=text)),
    )  # fmt: skip


def _contact(person: Person, rng) -> tuple[str | None, str | None]:
    """Email and phone of a contract; one of them is always known to the CRM, or the number itself is."""
    main = person.records[0]
    if not main.phone or rng.random() < 0.7:
        return main.email, main.phone or None
    if rng.random() < 0.5:
        return None, main.phone
    person.emails.append(f"billing{person.number}@post.example")
    return person.emails[-1], main.phone


def _anniversary(first: date, months: int) -> date:
    """The same day of a later month, or its last."""
    month = month_after(first, months)
    return min(
        month.replace(day=1) + timedelta(days=first.day - 1), month_after(month, 1) - timedelta(days=1)
    )


def _decimal(minor: int) -> Decimal:
    return Decimal(minor).scaleb(-2)


def _table(rows: list[tuple], types: dict) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [[]] * len(types)
    return pa.table([pa.array(c, t) for c, t in zip(columns, types.values(), strict=True)], names=list(types))


def ticket_sheet(plan: Plan, lines: pd.DataFrame) -> Sheet:
    """Support tickets, after one shop order in ten; those opened after the end are not there."""
    rng, found = plan.random("tickets"), []
    orders = lines[lines["shop"]].drop_duplicates("order")
    for one in orders[rng.random(len(orders)) < 0.1].itertuples():
        opened = one.day + 1 + int(rng.exponential(4.0))
        second, minutes = int(rng.integers(8 * 3600, 17 * 3600)), 3 + int(rng.gamma(2.0, 6.0))
        if opened < plan.days:
            found.append((opened, second, one.email, minutes, str(rng.choice(TOPICS))))
    sheet = Sheet("ticket email opened closed minutes topic".split())
    for k, (day, second, email, minutes, topic) in enumerate(sorted(found)):
        opened, closed = utc(plan.moment(day, second)), utc(plan.moment(day, second + 60 * minutes))
        sheet.rows.append([f"T{50001 + k}", email, opened, closed, str(minutes), topic])
    return sheet


def marketing_sheets(plan: Plan, people: list[Person]) -> dict[str, Sheet]:
    """Spend by month and channel with the target of new customers; and the calendar of promotions."""
    rng, sheet = plan.random("marketing"), Sheet("month channel amount currency new_customers".split())
    won = pd.Series([(plan.day(p.arrival).strftime("%Y-%m"), p.acquired_by) for p in people]).value_counts()
    for month in plan.months:
        for channel in CHANNELS:
            new = int(won.get((month.strftime("%Y-%m"), channel), 0))
            cost = int(1500 * (new + 1) * rng.uniform(0.8, 1.25))
            target = max(round(new * rng.uniform(0.8, 1.3)), 1)
            sheet.rows.append([month.strftime("%Y-%m"), channel, money(cost), plan.currency, str(target)])
    promotions = Sheet("name start end discount_share".split())
    if "promotion" in plan.defects:
        first = plan.promotion_day
        last = plan.day(first + 13).isoformat()
        promotions.rows.append(["two weeks", plan.day(first).isoformat(), last, f"{PROMOTION_DISCOUNT:.2f}"])
    return {"marketing/spend.csv": sheet, "marketing/promotions.csv": promotions}


def general_ledger(plan: Plan, lines: pd.DataFrame, back: pd.DataFrame, invoices: pa.Table) -> Sheet:
    """What accounting booked by local month: revenue net of tax and before refunds, refunds, shipping, VAT."""
    booked: dict[tuple[str, str, str], int] = {}

    def book(day: date, account: str, currency: str, minor: int) -> None:
        key = (day.isoformat()[:7], account, currency)
        booked[key] = booked.get(key, 0) + int(minor)

    for frame, sign, kind in ((lines, 1, "revenue"), (back[back["day"] < plan.days], -1, "refunds")):
        for one in frame.itertuples():
            day = plan.day(one.day)
            book(day, f"{kind}_{'shop' if one.shop else 'till'}", one.currency, sign * one.net)
            book(day, "vat", one.currency, sign * one.tax)
            if sign > 0 and one.shipping:
                book(day, "shipping", one.currency, one.shipping)
    for day, amount, tax, currency in zip(
        *(invoices[c].to_pylist() for c in ("invoice_date", "amount", "tax", "currency")), strict=True
    ):
        book(day, "revenue_subscriptions", currency, amount.scaleb(2))
        book(day, "vat", currency, tax.scaleb(2))
    rows = [
        [month, account, currency, money(minor)]
        for (month, account, currency), minor in sorted(booked.items())
    ]
    return Sheet("month account currency amount".split(), rows)
