"""Currencies, and the ladder from revenue to gross margin: how amounts became the study's, and what rests on estimates."""

from datetime import date
from typing import TYPE_CHECKING

import pandas as pd

from clvkit import numbers
from clvkit.chapters.ledger_words import amount, are, count, groups
from clvkit.exhibits import Sentence, Table
from clvkit.ledger.currencies import digits_of

if TYPE_CHECKING:
    from clvkit.ledger import Ledger, LedgerSection

_METHODS = {
    "transaction_date": "each amount is converted at the last rate known on its day",
    "period_average": "each amount is converted at the average rate of its month",
    "constant": "all amounts are converted at the rate of one day",
    "forward": "amounts after the constant day are converted at forward rates",
}
_STEPS = {
    "revenue_minor": "Revenue before discounts",
    "discounts_minor": "Discounts",
    "refunds_minor": "Refunds",
    "net_revenue_minor": "Net revenue",
    "product_cost_minor": "Cost of the products",
    "gross_margin_minor": "Gross margin",
}
_LEVELS = {
    "product": "the product's own cost",
    "category": "estimated: a share of the amount, by category",
    "segment": "estimated: a share of the amount, by segment",
    "company": "estimated: one share of the amount for all",
}


def conversions(ledger: "Ledger", section: "LedgerSection") -> list[Table | Sentence]:
    """The currencies of what is modelled, the rates used and their age, and what today's rates would change."""
    found = groups(ledger)
    found = found[found["state"].isin(("used", "merged"))]
    foreign = found[found["currency"] != ledger.currency]
    if foreign.empty:
        return [
            Sentence(
                f"**Currencies**: everything that is modelled was booked in {ledger.currency}; nothing was converted."
            )
        ]
    said = ledger.frames["conversions"].set_index("currency")
    last = _last_rates(ledger, section)
    unit, whole = 10**ledger.minor_digits, int(found["value_minor"].sum())
    lines = []
    for code in [ledger.currency, *sorted(set(foreign["currency"]))]:
        here = found[found["currency"] == code]
        amount_here = int(here["amount_minor"].sum()) / 10 ** digits_of(code)
        value = int(here["value_minor"].sum()) / unit
        own = code == ledger.currency
        rate = last.get(code)
        lines.append({
            "currency": code,
            "rows": int(here["rows"].sum()),
            "amount": amount_here,
            "rate": numbers.NOT_APPLICABLE if own or not amount_here else value / amount_here,
            "value": value,
            "share": value * unit / whole if whole else float("nan"),
            "last": numbers.NOT_APPLICABLE if own else None if rate is None else rate,
            "effect": 0.0 if own else float("nan") if rate is None else amount_here * rate - value,
            "oldest": numbers.NOT_APPLICABLE if own or code not in said.index else int(said.loc[code, "oldest_days"]),
            "stale": 0 if own or code not in said.index else int(said.loc[code, "stale"]),
        })  # fmt: skip
    frame = pd.DataFrame(lines)
    stale, converted = int(frame["stale"].sum()), int(foreign["value_minor"].sum())
    age = section.exchange.max_age_days
    money = numbers.money_header(ledger.currency)
    old = (
        f"{count(stale, 'row')} {are(stale)} at a rate older than {count(age, 'day')}."
        if stale
        else f"No rate used is older than {count(age, 'day')}."
    )
    effect = frame["effect"].sum(min_count=len(frame))
    moved = (
        f" At the last rates before the as-of date, the same money would be {amount(round(abs(effect) * unit), ledger.currency)} "
        f"{'more' if effect > 0 else 'less'}."
        if not pd.isna(effect) and effect
        else ""
    )
    return [Table(
        "ledger_currencies",
        frame,
        f"{numbers.percent(converted / whole)} of the money modelled was converted" if whole else "Money was converted",
        f"Used and merged rows by the currency they were booked in: {_METHODS[section.exchange.method]}.",
        formats={"rows": "count", "amount": "money:2", "rate": "number:4", "value": f"money:{ledger.minor_digits}", "share": "percent",
                 "last": "number:4", "effect": f"money:{ledger.minor_digits}", "oldest": "count", "stale": "count"},
        labels={"currency": "Currency", "rows": "Rows", "amount": "Amount", "rate": "Average rate", "value": f"Value, {money}",
                "share": "Of the money", "last": "Last rate", "effect": f"Effect of the last rate, {money}",
                "oldest": "Oldest rate, days", "stale": "Rows at stale rates"},
        note=f"Rates are {money} per unit. {old}{moved} Rows after the as-of date are counted among the stale ones.",
    )]  # fmt: skip


def _last_rates(ledger: "Ledger", section: "LedgerSection") -> dict[str, float]:
    """The last rate of each currency up to the as-of date, from the tables that hold rates."""
    newest: dict[str, tuple[date, float]] = {}
    for name, one in section.by_name().items():
        if one.holds != "rates" or name not in ledger.tables:
            continue
        rates = ledger.tables[name]
        known = rates.filter(rates.date <= ledger.as_of)
        latest = known.group_by("currency").agg(date=known.date.max(), rate=known.rate.argmax(known.date))
        for row in latest.to_pyarrow().to_pylist():
            if row["currency"] not in newest or row["date"] > newest[row["currency"]][0]:
                newest[row["currency"]] = row["date"], float(row["rate"])
    return {code: rate for code, (_, rate) in newest.items()}


def ladder(ledger: "Ledger") -> list[Table | Sentence]:
    """From revenue to gross margin, and how much of the cost is known or estimated."""
    found = ledger.frames.get("ladder")
    if found is None or found.empty:
        return [Sentence(
            "**Margin**: the study does not say what products cost (`ledger.costs`), so there is no ladder from revenue to "
            "gross margin; the margin of the later chapters is the one share that the study assumes.")]  # fmt: skip
    steps, costs, unit = found.iloc[0], ledger.frames["cost_sources"], 10**ledger.minor_digits
    money = numbers.money_header(ledger.currency)
    net = int(steps["net_revenue_minor"])
    frame = pd.DataFrame({
        "step": list(_STEPS.values()),
        "value": [int(steps[name]) / unit for name in _STEPS],
        "share": [int(steps[name]) / net if net else float("nan") for name in _STEPS],
    })  # fmt: skip
    margin = float(frame["share"].iloc[-1])
    guessed = float(costs.loc[costs["estimated"], "share"].sum())
    rests = pd.DataFrame({
        "rests_on": costs["cost_source"].map(_LEVELS),
        "lines": costs["lines"],
        "value": costs["net_revenue_minor"] / unit,
        "share": costs["share"],
        "cost": costs["cost_minor"] / unit,
    })  # fmt: skip
    return [
        Table(
            "ledger_margin",
            frame,
            f"{numbers.percent(margin)} of net revenue is left as gross margin",
            f"From revenue to gross margin, {money}, over all lines that are sales or their refunds.",
            formats={"value": f"money:{ledger.minor_digits}", "share": "percent"},
            labels={"step": "Step", "value": money, "share": "Of net revenue"},
            total=True,
            note="Net revenue is the money of the used and merged rows; orders returned in full stand in revenue and in refunds. A cost that comes back with returned goods is taken off.",
        ),
        Table(
            "ledger_cost_sources",
            rests,
            f"The cost of {numbers.percent(guessed)} of net revenue is estimated",
            f"Net revenue and cost, {money}, by what the cost of a line is taken from.",
            formats={"lines": "count", "value": f"money:{ledger.minor_digits}", "cost": f"money:{ledger.minor_digits}", "share": "percent"},
            labels={"rests_on": "Cost is", "lines": "Lines", "value": f"Net revenue, {money}", "share": "Of net revenue", "cost": f"Cost, {money}"},
            note="An estimated cost is a share of the amount: it cannot show that one product earns less than another.",
        ),
    ]  # fmt: skip
