"""Discounts in margin: the same cash flows with them, without them, and with them as a cost of winning customers."""

from typing import TYPE_CHECKING

import pandas as pd

from clvkit import numbers
from clvkit.exhibits import Table

if TYPE_CHECKING:
    from clvkit.ledger import Ledger
    from clvkit.study import Study


def promotions(ledger: "Ledger", study: "Study") -> list[Table]:
    """Gross margin by how discounts are counted; nothing where the study has no costs, or nothing was discounted."""
    from clvkit.ledger.promotions import promotion_views

    flows, costs = ledger.frames.get("promotion_flows"), study.ledger.costs
    if flows is None or flows.empty or costs is None:
        return []
    views = promotion_views(
        (flows["tenure_days"] / study.days_per_year).tolist(),
        flows["margin_minor"].tolist(),
        flows["incentive_minor"].tolist(),
        study.value.annual_discount_rate,
        amortise_years=costs.promotion_years,
    )
    unit, base = 10**ledger.minor_digits, views.include
    spread = numbers.number(costs.promotion_years * 12, 0)
    rows = [
        ("Taken off when they are given, as in the ladder", views.include),
        (f"As a cost of winning the customer, in {spread} monthly instalments", views.amortise),
        ("As if none had been given", views.exclude),
    ]
    frame = pd.DataFrame({
        "view": [words for words, _ in rows],
        "margin": [value / unit for _, value in rows],
        "difference": [(value - base) / unit for _, value in rows],
        "share": [(value - base) / abs(base) if base else float("nan") for _, value in rows],
    })  # fmt: skip
    money = numbers.money_header(ledger.currency)
    title = "Discounts and the margin that they leave, counted in three ways"
    if base > 0:
        title = f"Without discounts, the same sales would have left {numbers.percent(views.exclude / base - 1)} more margin"
    return [Table(
        "ledger_promotions",
        frame,
        title,
        f"Gross margin of customers' purchases, discounted at {numbers.rate(study.value.annual_discount_rate)} to the day of "
        f"each customer's first one, {money}.",
        formats={"margin": f"money:{ledger.minor_digits}", "difference": f"money:{ledger.minor_digits}", "share": "percent"},
        labels={"view": "Discounts are counted", "margin": f"Margin, {money}", "difference": "Difference", "share": "Of the margin"},
        note="The last line holds only if customers had bought as much at full price, which discounts are given against; so it "
        "is a limit and no forecast. Orders returned in full and guests are left out.",
    )]  # fmt: skip
