"""What a line costs, and the ladder from revenue to gross margin, with what rests on estimates.

A product's own cost is taken where it is known; else a share of the amount, by category, by segment, or the
company's. Every line says which of them it rests on.
"""

from decimal import Decimal
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir
import pandas as pd

from clvkit.errors import DataError
from clvkit.ledger.currencies import minor_digits
from clvkit.ledger.policies import LEVELS, CostsSection
from clvkit.ledger.promotions import tenure_flows

if TYPE_CHECKING:
    from clvkit.ledger.tables import SideTable

SHARE_DIGITS = 9


def cost_of_lines(
    lines: ir.Table, products: ir.Table | None, section: CostsSection, *, amount: str = "amount_minor"
) -> ir.Table:
    """Lines with their product cost and what it rests on.

    Parameters
    ----------
    lines : with ``product, category, segment, quantity`` and the amount.
    products : ``product, unit_cost_minor`` (minor units, may have decimals; null: not known) and, if known,
        ``category`` (taken where the line has none); one row per product. None: no product cost is known.
    amount : column of the amount; ``unit_cost_minor`` is in the same currency, so lines in several currencies
        are converted first and this is ``value_minor``.

    Returns
    -------
    ``lines`` with ``cost_minor`` (int64, half away from zero; null where the amount is) and ``cost_source``
    (``product``, ``category``, ``segment``, ``company``). A refund has a negative cost: goods that come back
    are taken to be as good as new.

    Raises
    ------
    DataError : a product stands twice in ``products``, or its unit cost is below zero.
    """
    known = _with_products(lines, products)
    value = known[amount]
    unit = known.known_unit_cost.cast("decimal(20, 6)")
    pieces = known.quantity.cast("decimal(17, 6)").abs()
    # What is given away costs too: where the amount is zero, the quantity says which way the goods went.
    comes_back = (value < 0) | ((value == 0) & (known.quantity < 0))
    size = _half_up((unit * pieces).cast("decimal(37, 12)"))
    of_product = ibis.ifelse(comes_back, -size, size)
    of_product = ibis.ifelse(value.isnull(), ibis.null("int64"), of_product)
    levels = {
        "product": of_product,
        "category": _share_of(value, known.known_category, section.by_category),
        "segment": _share_of(value, known.segment, section.by_segment),
        "company": _times(value, ibis.literal(_share(section.company))),
    }
    asked = [(name, levels[name]) for name in section.hierarchy]
    source = ibis.cases(*((cost.notnull(), name) for name, cost in asked), else_=ibis.null("string"))
    cost = ibis.coalesce(*(cost for _, cost in asked))
    known = known.mutate(cost_minor=cost, cost_source=source)
    return known.select(*lines.columns, "cost_minor", "cost_source")


def costed(lines: ir.Table, tables: list["SideTable"], section: CostsSection, currency: str) -> ir.Table:
    """Converted lines with ``cost_minor`` and ``cost_source``, by the unit costs of the tables that hold products.

    Unit costs are in the study's currency.
    """
    found = [
        one.rows.select(
            "product", "category", unit_cost_minor=one.rows.unit_cost * 10 ** minor_digits(currency)
        )
        for one in tables
        if one.holds == "products"
    ]
    products = (ibis.union(*found) if len(found) > 1 else found[0]) if found else None
    return cost_of_lines(lines, products, section, amount="value_minor")


def margin_ladder(lines: ir.Table, currency: str) -> dict[str, pd.DataFrame]:
    """``ladder``, ``cost_sources`` and ``promotion_flows`` (where discounts were given) of lines as `costed` has them."""
    found = {"ladder": ladder(lines, currency), "cost_sources": cost_sources(lines, currency)}
    if (found["ladder"]["discounts_minor"] != 0).any():
        found["promotion_flows"] = tenure_flows(lines)
    return found


def ladder(lines: ir.Table, currency: str | None = None) -> pd.DataFrame:
    """The steps from revenue to gross margin, by currency.

    Parameters
    ----------
    lines : with ``cost_minor``; rows without a reason and those ``returned_in_full`` count, so that returned
        orders are in revenue and in refunds.
    currency : that of converted lines (``value_minor, discount_value_minor``); by default the amounts as they
        were booked, each currency by itself.

    Returns
    -------
    ``currency, revenue_minor`` (before discounts), ``discounts_minor, refunds_minor`` (both ≤ 0),
    ``net_revenue_minor, product_cost_minor`` (negative: what sales cost, less what came back) and
    ``gross_margin_minor``: each the sum of those between it and the one before. int64.
    """
    rows, value, discount = _counted(lines, currency)
    sale = value >= 0

    def total(column: ir.IntegerValue, where: ir.BooleanValue | None = None) -> ir.IntegerScalar:
        return column.sum(where=where).fill_null(0).cast("int64")

    grouped = rows.group_by(currency=rows.in_currency).agg(
        revenue_minor=total(value + discount, sale),
        discounts_minor=-total(discount, sale),
        refunds_minor=total(value, ~sale),
        net_revenue_minor=total(value),
        product_cost_minor=-total(rows.cost_minor),
        gross_margin_minor=total(value - rows.cost_minor),
    )
    return grouped.order_by("currency").to_pyarrow().to_pandas()


def cost_sources(lines: ir.Table, currency: str | None = None) -> pd.DataFrame:
    """What product cost rests on, by currency: which share of net revenue has a cost that is estimated.

    Arguments as for :func:`ladder`. Returns ``currency, cost_source, lines, net_revenue_minor, cost_minor,
    share`` (of the currency's net revenue; NaN where that is zero) and ``estimated`` (not the product's own
    cost), in the order product, category, segment, company.
    """
    rows, value, _ = _counted(lines, currency)
    rows = rows.mutate(counted_minor=value)
    grouped = rows.group_by(currency=rows.in_currency, cost_source=rows.cost_source).agg(
        lines=rows.count().cast("int64"),
        net_revenue_minor=rows.counted_minor.sum().cast("int64"),
        cost_minor=rows.cost_minor.sum().cast("int64"),
    )
    frame = grouped.to_pyarrow().to_pandas()
    frame["cost_source"] = pd.Categorical(frame["cost_source"], LEVELS, ordered=True)
    frame = frame.sort_values(["currency", "cost_source"], ignore_index=True)
    frame["cost_source"] = frame["cost_source"].astype(str)
    whole = frame.groupby("currency")["net_revenue_minor"].transform("sum")
    frame["share"] = frame["net_revenue_minor"] / whole.where(whole != 0)
    frame["estimated"] = frame["cost_source"] != "product"
    return frame


def _with_products(lines: ir.Table, products: ir.Table | None) -> ir.Table:
    """Lines with ``known_unit_cost`` and ``known_category``."""
    if products is None:
        return lines.mutate(known_unit_cost=ibis.null("decimal(20, 6)"), known_category=lines.category)
    named = products.filter(products["product"].notnull())
    each = named.group_by("product").agg(n=named.count(), least=named.unit_cost_minor.min())
    wrong = each.filter((each.n > 1) | (each.least < 0)).order_by("product").limit(1)
    for row in wrong.to_pyarrow().to_pylist():
        twice = f"a product must stand once in the source of products (it does {row['n']:,} times)"
        raise DataError(
            twice if row["n"] > 1 else f"a unit cost must not be below zero (got {row['least']})",
            place=f"products: {row['product']}",
            fix="keep one row per product, with the cost that holds; leave the cost empty where not known",
        )
    own = products.category if "category" in products.columns else ibis.null("string")
    table = products.select(cost_product="product", known_unit_cost="unit_cost_minor", own_category=own)
    both = lines.left_join(table, lines["product"] == table.cost_product)
    return both.mutate(known_category=ibis.coalesce(both.category, both.own_category))


def _counted(lines: ir.Table, currency: str | None) -> tuple[ir.Table, ir.IntegerValue, ir.IntegerValue]:
    """The rows a ladder counts with ``in_currency``, their amount and their discount."""
    rows = lines.filter(lines.reason.isnull() | (lines.reason == "returned_in_full"))
    if currency is None:
        rows = rows.mutate(in_currency=rows.currency)
        return rows, rows.amount_minor, rows.discount_minor.fill_null(0)
    rows = rows.mutate(in_currency=ibis.literal(currency))
    return rows, rows.value_minor, rows.discount_value_minor.fill_null(0)


def _share(fraction: float) -> Decimal:
    return round(Decimal(str(fraction)), SHARE_DIGITS)


def _share_of(value: ir.IntegerValue, name: ir.StringValue, shares: dict[str, float]) -> ir.IntegerValue:
    """The amount times the share of its category or segment; null where there is none."""
    if not shares:
        return ibis.null("int64")
    branches = [(name == key, ibis.literal(_share(share))) for key, share in shares.items()]
    return _times(value, ibis.cases(*branches, else_=ibis.null()))


def _times(value: ir.IntegerValue, share: ir.Value) -> ir.IntegerValue:
    product = value.abs().cast("decimal(17, 0)") * share.cast(f"decimal(20, {SHARE_DIGITS})")
    size = _half_up(product.cast(f"decimal(37, {SHARE_DIGITS})"))
    return ibis.ifelse(value < 0, -size, size)


def _half_up(number: ir.DecimalValue) -> ir.IntegerValue:
    """Whole minor units of an amount that is not negative, halves up, without leaving exact decimals."""
    return (number + ibis.literal("0.5").cast("decimal(2, 1)")).floor().cast("int64")
