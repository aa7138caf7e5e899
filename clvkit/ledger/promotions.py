"""Incentives in margin: three ways to count discounts, vouchers and referral rewards, and what each says.

A discount takes money off the margin of the order it is given with. Counted there, customers won by vouchers
look poor for ever; left out, they look rich; spread as a cost of winning them, it is an investment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import ibis
import ibis.expr.types as ir
import pandas as pd

from clvkit.errors import StudyError
from clvkit.numbers import half_up

INSTALMENTS_PER_YEAR = 12


@dataclass(frozen=True)
class PromotionViews:
    """Three present values of the same cash flows, in minor units.

    ``include``: margin less incentives, when they are given. ``exclude``: margin as if none were given.
    ``amortise``: all incentives are a cost of acquisition, borne in equal monthly instalments from day 0.
    ``incentives`` is the present value of the incentives as the cash flow they are, so not above zero, and
    ``include - exclude == incentives`` exactly. ``acquisition`` is the undiscounted sum of the incentives, what
    an acquisition cost per customer would have to add.
    """

    include: int
    exclude: int
    amortise: int
    incentives: int
    acquisition: int


def promotion_views(
    years: Sequence[float],
    margin_minor: Sequence[int],
    incentive_minor: Sequence[int],
    annual_discount_rate: float,
    *,
    amortise_years: float = 1.0,
) -> PromotionViews:
    """Value cash flows with incentives included, excluded, and amortised as acquisition cost.

    Parameters
    ----------
    years : time of each cash flow after acquisition, in years.
    margin_minor : margin before incentives, minor units.
    incentive_minor : incentives given with it, ≥ 0, minor units.
    annual_discount_rate : effective rate per year, a fraction; PV = Σ flow · (1 + rate)^−years.
    amortise_years : time over which the acquisition cost is spread, in years; at the end of each month.

    Raises
    ------
    StudyError : an incentive below zero, no time to amortise over, a rate of −1 or less, or columns of
        different length.
    """
    flows = list(zip(years, margin_minor, incentive_minor, strict=False))
    if not len(years) == len(margin_minor) == len(incentive_minor):
        raise _refused("each cash flow needs a time, a margin and an incentive", "give three equal columns")
    if any(given < 0 for given in incentive_minor):
        raise _refused(
            f"incentives must not be below zero (got {min(incentive_minor)})", "give what was granted"
        )
    if amortise_years <= 0:
        raise _refused(f"amortise_years must be above 0 (got {amortise_years:g})", "one year is 1")
    if annual_discount_rate <= -1:
        raise _refused(
            f"annual_discount_rate must be above −1 (got {annual_discount_rate:g})", "10 % is written 0.1"
        )
    growth = 1 + Decimal(str(annual_discount_rate))

    def present(amount: int | Decimal, time: float) -> Decimal:
        return Decimal(amount) * growth ** -Decimal(str(time))

    margin = _minor(sum((present(int(m), t) for t, m, _ in flows), Decimal(0)))
    given = _minor(sum((present(int(g), t) for t, _, g in flows), Decimal(0)))
    total = sum(int(g) for _, _, g in flows)
    count = max(1, round(amortise_years * INSTALMENTS_PER_YEAR))
    times = [amortise_years * (i + 1) / count for i in range(count)]
    spread = _minor(sum((present(Decimal(total) / count, t) for t in times), Decimal(0)))
    return PromotionViews(margin - given, margin, margin - spread, -given, total)


def tenure_flows(
    lines: ir.Table, *, value: str = "value_minor", discount: str = "discount_value_minor"
) -> pd.DataFrame:
    """Cash flows by days since a customer's first purchase, over all customers: what the views value.

    Parameters
    ----------
    lines : with ``day, cost_minor, reason`` and a ``customer`` (else ``source`` and ``account``); rows with a
        reason and guests are left out.
    value, discount : columns with the net amount and with what was taken off it, in minor units of one
        currency. A discount on a refund is not given again.

    Returns
    -------
    Frame of ``tenure_days, margin_minor`` (before discounts: amount + discount − cost) and
    ``incentive_minor``, integers, sorted.
    """
    who = ["customer"] if "customer" in lines.columns else ["source", "account"]
    rows = lines.filter(lines.reason.isnull() & lines[who[-1]].notnull())
    first = rows.group_by(who).agg(first_day=rows.day.min())
    both = rows.join(first, who)
    given = ibis.ifelse(both[value] >= 0, both[discount].fill_null(0), 0)
    both = both.mutate(
        given=given,
        margin=both[value] + given - both.cost_minor,
        tenure_days=both.day.delta(both.first_day, unit="day").cast("int64"),
    )
    grouped = both.group_by("tenure_days").agg(
        margin_minor=both.margin.sum().cast("int64"), incentive_minor=both.given.sum().cast("int64")
    )
    return grouped.order_by("tenure_days").to_pyarrow().to_pandas()


def _minor(value: Decimal) -> int:
    return int(half_up(value))


def _refused(rule: str, fix: str) -> StudyError:
    return StudyError(rule, place="promotions", fix=fix)
