"""Product cost falls back level by level, and the ladder says what rests on estimates."""

from collections import Counter
from decimal import ROUND_HALF_UP, Decimal

import ibis
import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from clvkit.errors import DataError
from clvkit.ledger.costs import CostsSection, cost_of_lines, cost_sources, ladder

CON = ibis.duckdb.connect()
LINES = ibis.schema(
    {
        "ordinal": "int64",
        "product": "string",
        "category": "string",
        "segment": "string",
        "quantity": "float64",
        "currency": "string",
        "amount_minor": "int64",
        "discount_minor": "int64",
        "reason": "string",
    }
)
PRODUCTS = ibis.schema({"product": "string", "unit_cost_minor": "decimal(18, 4)", "category": "string"})
SECTION = CostsSection(by_category={"books": 0.6, "toys": 0.35}, by_segment={"web": 0.5}, company=0.4)


def half_up(value):
    return int(Decimal(value).quantize(Decimal(1), ROUND_HALF_UP))


def table(name, rows, schema):
    data = {column: [row[column] for row in rows] for column in schema}
    return CON.create_table(name, pa.table(data, schema.to_pyarrow()), overwrite=True)


def lines_of(rows):
    usual = {"product": None, "category": None, "segment": "all", "quantity": 1.0, "currency": "EUR"}
    usual |= {"discount_minor": 0, "reason": None}
    return table("lines", [usual | {"ordinal": i} | r for i, r in enumerate(rows)], LINES)


def products_of(*rows):
    return table("products", [dict(zip(PRODUCTS, row, strict=True)) for row in rows], PRODUCTS)


def costed(rows, products, section=SECTION):
    found = cost_of_lines(lines_of(rows), products, section).order_by("ordinal").to_pyarrow().to_pylist()
    return [(f["cost_minor"], f["cost_source"]) for f in found]


@pytest.fixture
def shop():
    """500 lines of 50 products in two categories and two segments, some of them refunds."""
    rng = np.random.default_rng(3)
    category = {f"p{i}": ("books", "toys", None)[i % 3] for i in range(50)}
    unit = {p: Decimal(int(rng.integers(1_000, 900_000))) / 1_000 for p in category}
    rows = []
    for _ in range(500):
        product = f"p{rng.integers(50)}"
        pieces = int(rng.integers(1, 6))
        amount = pieces * int(rng.integers(200, 3_000)) * (-1 if rng.random() < 0.1 else 1)
        rows.append(
            {
                "product": product,
                "category": category[product],
                "segment": ("web", "shop")[int(rng.integers(2))],
                "quantity": float(pieces),
                "currency": ("EUR", "USD")[int(rng.integers(2))],
                "amount_minor": amount,
                "discount_minor": int(rng.integers(0, 100)),
            }
        )
    return rows, unit


def test_without_the_cost_of_40_percent_of_lines_labels_and_totals_are_what_the_fallback_says(shop):
    rows, unit = shop
    dropped, gone = set(), 0
    lines_per_product = Counter(r["product"] for r in rows)
    for product in sorted(unit):
        if gone + lines_per_product[product] <= 0.4 * len(rows):
            dropped.add(product)
            gone += lines_per_product[product]
    assert 0.37 * len(rows) < gone <= 0.4 * len(rows)

    def expected(row):
        sign = -1 if row["amount_minor"] < 0 else 1
        size = abs(row["amount_minor"])
        if row["product"] not in dropped:
            return sign * half_up(unit[row["product"]] * int(row["quantity"])), "product"
        if row["category"]:
            return sign * half_up(
                size * {"books": Decimal("0.6"), "toys": Decimal("0.35")}[row["category"]]
            ), ("category")
        if row["segment"] == "web":
            return sign * half_up(size * Decimal("0.5")), "segment"
        return sign * half_up(size * Decimal("0.4")), "company"

    full = products_of(*[(p, cost, None) for p, cost in unit.items()])
    assert {source for _, source in costed(rows, full)} == {"product"}
    partial = products_of(*[(p, None if p in dropped else cost, None) for p, cost in unit.items()])
    want = [expected(r) for r in rows]
    assert costed(rows, partial) == want
    assert {source for _, source in want} == {"product", "category", "segment", "company"}

    after = cost_of_lines(lines_of(rows), partial, SECTION)
    steps = ladder(after).set_index("currency")
    sources = cost_sources(after)
    for currency in ("EUR", "USD"):
        here = [(r, w) for r, w in zip(rows, want, strict=True) if r["currency"] == currency]
        net = sum(r["amount_minor"] for r, _ in here)
        sales = [r for r, _ in here if r["amount_minor"] >= 0]
        line = steps.loc[currency]
        assert line["discounts_minor"] == -sum(r["discount_minor"] for r in sales)
        assert line["revenue_minor"] == sum(r["amount_minor"] + r["discount_minor"] for r in sales)
        assert line["refunds_minor"] == sum(r["amount_minor"] for r, _ in here if r["amount_minor"] < 0)
        assert (
            line["net_revenue_minor"]
            == net
            == line["revenue_minor"] + line["discounts_minor"] + line["refunds_minor"]
        )
        assert line["product_cost_minor"] == -sum(cost for _, (cost, _) in here)
        assert line["gross_margin_minor"] == net + line["product_cost_minor"]
        part = sources[sources["currency"] == currency].set_index("cost_source")
        assert list(part.index) == ["product", "category", "segment", "company"]
        assert list(part["estimated"]) == [False, True, True, True]
        assert part["share"].sum() == pytest.approx(1)
        for source in part.index:
            held = sum(r["amount_minor"] for r, (_, found) in here if found == source)
            assert part.loc[source, "net_revenue_minor"] == held
            assert part.loc[source, "share"] == pytest.approx(held / net)


def test_costs_are_rounded_per_line_and_follow_the_goods():
    products = products_of(("p", Decimal("0.1250"), None), ("q", Decimal("33.3"), None))
    rows = [
        {"product": "p", "quantity": 4.0, "amount_minor": 100},  # 0.5 of a cent
        {"product": "p", "quantity": 4.0, "amount_minor": -100},
        {"product": "q", "quantity": -3.0, "amount_minor": -300},
        {"product": "q", "quantity": 2.0, "amount_minor": 0},  # given away
        {"product": "q", "quantity": -2.0, "amount_minor": 0},
        {"product": "q", "quantity": None, "amount_minor": 105, "segment": "web"},
        {"product": None, "quantity": 1.0, "amount_minor": None},
    ]
    assert costed(rows, products) == [
        (1, "product"),
        (-1, "product"),
        (-100, "product"),
        (67, "product"),
        (-67, "product"),
        (53, "segment"),
        (None, None),
    ]


def test_the_category_of_the_product_serves_where_the_line_has_none():
    rows = [{"product": "p", "amount_minor": 100}, {"product": "p", "category": "toys", "amount_minor": 100}]
    assert costed(rows, products_of(("p", None, "books"))) == [(60, "category"), (35, "category")]
    assert costed(rows, None) == [(40, "company"), (35, "category")]


def test_the_order_of_levels_is_the_studys():
    section = SECTION.model_copy(update={"hierarchy": ("segment", "product", "company")})
    rows = [{"product": "p", "category": "toys", "segment": s, "amount_minor": 100} for s in ("web", "shop")]
    assert costed(rows, products_of(("p", Decimal(7), None)), section) == [(50, "segment"), (7, "product")]


def test_returned_orders_stand_in_revenue_and_in_refunds_and_other_reasons_in_neither():
    rows = [
        {"amount_minor": 1_000},
        {"amount_minor": 900, "reason": "returned_in_full"},
        {"amount_minor": -900, "reason": "returned_in_full"},
        {"amount_minor": 5_000, "reason": "test_account"},
    ]
    (line,) = ladder(cost_of_lines(lines_of(rows), None, SECTION)).to_dict("records")
    assert (line["revenue_minor"], line["refunds_minor"], line["net_revenue_minor"]) == (1_900, -900, 1_000)
    assert (line["product_cost_minor"], line["gross_margin_minor"]) == (-400, 600)


def test_converted_lines_make_one_ladder():
    rows = [
        {"amount_minor": 1_000, "discount_minor": 100},
        {"amount_minor": 1_000, "discount_minor": 0, "currency": "USD"},
    ]
    lines = lines_of(rows)
    lines = lines.mutate(value_minor=lines.amount_minor * 2, discount_value_minor=lines.discount_minor * 2)
    costs = cost_of_lines(lines, None, SECTION, amount="value_minor")
    (line,) = ladder(costs, "JPY").to_dict("records")
    assert (line["currency"], line["revenue_minor"], line["discounts_minor"]) == ("JPY", 4_200, -200)
    assert line["gross_margin_minor"] == 2_400
    assert list(cost_sources(costs, "JPY")["share"]) == [1.0]


def test_a_source_of_products_that_contradicts_itself_is_refused():
    with pytest.raises(DataError, match="must stand once"):
        costed([{"amount_minor": 1}], products_of(("p", Decimal(1), None), ("p", Decimal(2), None)))
    with pytest.raises(DataError, match="must not be below zero"):
        costed([{"amount_minor": 1}], products_of(("p", Decimal(-1), None)))


@pytest.mark.parametrize(
    "section, word",
    [
        ({"company": 0.4, "hierarchy": ("product",)}, "company last"),
        ({"company": 0.4, "hierarchy": ("product", "product", "company")}, "each level once"),
        ({"company": 0.4, "by_category": {"toys": 35}}, "35 % is written 0.35"),
        ({}, "company"),
    ],
)
def test_a_section_says_what_is_wrong(section, word):
    with pytest.raises(ValidationError, match=word):
        CostsSection(**section)
