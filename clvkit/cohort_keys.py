"""What cohorts can be formed by: the key of each customer, from the first order and from what customers tables say.

A key has one value for each customer, and it is settled by the first purchase or by what is written of the person; nothing
that a customer did later moves it. Where nothing is known, the value is `NOT_KNOWN`: such customers are a cohort of their
own and are left out of none.
"""

from typing import TYPE_CHECKING

from clvkit.errors import DataError
from clvkit.rules import RuleBroken, did_you_mean, listed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import date

    import ibis.expr.types as ir

    from clvkit.seen import Seen

NOT_KNOWN = "not known"
PERIOD = "period"
#: Keys that need no customers table, and what each is for a reader.
WORDS = {
    PERIOD: "period of the first purchase",
    "segment": "segment",
    "source": "source of the first order",
    "product": "product of the first order",
    "category": "category of the first order",
    "tier": "product tier of the first order",
    "channel": "channel that won the customer",
    "crm_segment": "segment in the customers table",
}
_OF_ORDER = ("source", "product", "category")


def words_of(key: str) -> str:
    """What a key is, for a reader; a name of a customers table stands for itself."""
    return WORDS.get(key, key)


def require_keys(
    schemes: "Mapping[str, Iterable[str]]", tiers: "Mapping[str, object]", written: "Collection[str]"
) -> None:
    """Refuse keys that nothing gives; ``written`` are the names that customers tables have.

    Raises
    ------
    RuleBroken : says which key, of which scheme.
    """
    known = [*(one for one in WORDS if one not in ("tier", "crm_segment")), *written]
    known += ["tier"] * bool(tiers) + ["crm_segment"] * ("segment" in written)
    for name, keys in schemes.items():
        for key in keys:
            if key == "tier" and not tiers:
                raise RuleBroken(
                    "goes by tier, and tiers names none", "add tiers: {basic: [categories]}", at="by"
                )
            if key not in known:
                hint = did_you_mean(key, known) or f"known are {listed(known)}"
                raise RuleBroken(
                    f"names {key!r} in the scheme {name}, which is not known of customers", hint, at="by"
                )


def customer_keys(
    seen: "Seen",
    names: "Collection[str]",
    as_of: "date",
    *,
    tiers: "Mapping[str, Iterable[str]]",
    channel: str | None,
) -> "ir.Table":
    """One row per customer who bought by ``as_of``: ``customer, first_day`` and a column of text for each of ``names``.

    Parameters
    ----------
    names : keys but for the period, which follows from the first day.
    tiers : categories of each product tier.
    channel : the name in a customers table of what won the customer, for the key ``channel``.
    """
    import ibis

    bought = seen.with_segment(seen.ledger.purchases)
    bought = bought.filter(bought.day <= ibis.date(as_of))
    segment = {"segment": bought.segment.min()} if "segment" in names else {}
    first = bought.group_by("customer").agg(first_day=bought.day.min(), **segment)
    for name in names:
        if name == "segment":
            continue
        if name in _OF_ORDER:
            found = _of_first_order(seen, first, name)
        elif name == "tier":
            found = _tiers(_of_first_order(seen, first, "category"), tiers)
        else:
            found = _said(seen, {"channel": channel, "crm_segment": "segment"}.get(name, name), name)
        first = first.left_join(found, "customer").drop("customer_right")
    filled = {name: first[name].cast("string").fill_null(NOT_KNOWN) for name in names}
    return first.mutate(**filled).select("customer", "first_day", *names)


def _said(seen: "Seen", attribute: str | None, name: str) -> "ir.Table":
    """What customers tables say, as ``customer`` and a column ``name``."""
    import ibis

    if attribute is None:
        raise DataError(
            "cohorts go by channel, and the study does not name what says which channel won a customer",
            place="cohorts.by",
            fix="name acquisition.by, use source (of the first order), or name a column of a customers table",
        )
    said = seen.said(attribute)[0].rename(name).rename_axis("customer").reset_index()
    return ibis.memtable(said, schema={"customer": "string", name: "string"})


def _of_first_order(seen: "Seen", first: "ir.Table", column: str) -> "ir.Table":
    """The value that most of the money of the first day went to; of equal ones the first by the alphabet."""
    import ibis

    from clvkit.ledger.engine import bytewise

    rows = seen.ledger.rows
    rows = rows.filter(rows.state.isin(("used", "merged")) & rows.customer.notnull())
    if column == "category":
        rows = _with_category(seen, rows)
    begun = first.select(who="customer", begun="first_day")
    days = rows.join(begun, [rows.customer == begun.who, rows.day == begun.begun])
    days = days.filter(days[column].notnull())
    sums = days.group_by("customer", column).agg(money=days.value_minor.sum())
    place = ibis.row_number().over(group_by="customer", order_by=[ibis.desc("money"), bytewise(sums[column])])
    ranked = sums.mutate(place=place)
    return ranked.filter(ranked.place == 0).select("customer", column)


def _with_category(seen: "Seen", rows: "ir.Table") -> "ir.Table":
    """Rows with the category of their product where they name none themselves."""
    import ibis
    import pandas as pd

    sources = seen.study.ledger.by_name()
    tables = [
        table.select("product", "category").to_pyarrow().to_pandas()
        for name, table in seen.ledger.tables.items()
        if sources[name].holds == "products" and "category" in table.columns
    ]
    if not tables:
        return rows
    known = pd.concat(tables).dropna().drop_duplicates("product").astype(str)
    named = ibis.memtable(
        known.rename(columns={"product": "of_product", "category": "by_product"}),
        schema={"of_product": "string", "by_product": "string"},
    )
    both = rows.left_join(named, rows["product"] == named.of_product)
    return both.mutate(category=ibis.coalesce(both.category, both.by_product)).select(*rows.columns)


def _tiers(categories: "ir.Table", tiers: "Mapping[str, Iterable[str]]") -> "ir.Table":
    """``customer`` and ``tier``: that of the category, null where no tier has it."""
    import ibis

    branches = [(categories.category == one, tier) for tier, among in tiers.items() for one in among]
    tier = ibis.cases(*branches, else_=ibis.null("string")) if branches else ibis.null("string")
    return categories.mutate(tier=tier).select("customer", "tier")
