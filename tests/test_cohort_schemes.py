"""Cohorts by products of keys: everybody in one, rows that add up to the ledger, cells blank where nobody has got so far."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clvkit.chapters import cohort_schemes as words
from clvkit.cohort_keys import NOT_KNOWN, require_keys
from clvkit.cohort_schemes import Schemes, cohort_schemes
from clvkit.cohorts import CohortsSection
from clvkit.publish.figures import svg
from clvkit.publish.tables import table_html
from clvkit.rules import RuleBroken
from clvkit.seen import Seen
from clvkit.study import load_study

STUDY = """\
name: shop
title: A shop
currency: EUR
as_of: 2024-04-20
ledger:
  sources:
    orders: {path: orders.csv, date_format: "%Y-%m-%d", columns: {customer: who, date: day, amount: amount, line_id: line,
             product: product, category: category, refund_of: refund_of, quantity: pieces}}
    people: {holds: customers, path: people.csv, accounts: {orders: who}, fields: {segment: segment, region: region},
             about: {won_by: won_by, vulnerable: vulnerable}}
    goods: {holds: products, path: goods.csv, fields: {product: product, unit_cost: unit_cost, category: category}}
  negative_amounts: net
  excluded_customers: {}
COSTS
value: {margin: 0.3, annual_discount_rate: 0.1}
"""
ORDERS = """\
who,day,amount,line,product,category,refund_of,pieces
ann,2024-01-31,10.00,1,hat,wear,,1
ann,2024-02-01,5.00,2,sock,wear,,1
bob,2024-01-02,20.01,3,lamp,,,1
bob,2024-01-02,4.00,4,sock,wear,,1
bob,2024-04-05,7.00,5,hat,wear,,1
bob,2024-04-06,-2.00,6,hat,wear,5,1
cyd,2024-02-14,40.00,7,mug,,,2
dan,2024-04-10,1.00,8,hat,wear,,1
"""
PEOPLE = """\
who,segment,region,won_by,vulnerable
ann,private,north,search,no
bob,private,north,social,yes
cyd,business,south,search,no
"""
GOODS = "product,unit_cost,category\nhat,4.00,wear\nlamp,9.99,home\nsock,1.00,wear\nmug,5.00,home\n"
WITH_COSTS = "  costs: {company: 0.5}"


def shop(folder: Path, costs: str = WITH_COSTS, orders: str = ORDERS) -> Seen:
    from clvkit.ledger import build_ledger

    for name, text in (("orders.csv", orders), ("people.csv", PEOPLE), ("goods.csv", GOODS)):
        (folder / name).write_text(text)
    (folder / "shop.yml").write_text(STUDY.replace("COSTS", costs))
    study = load_study(folder / "shop.yml")
    ledger = build_ledger(study.ledger, as_of=study.as_of, currency=study.currency, base=folder)
    return Seen(ledger, study, None)


def made(seen: Seen, channel: str | None = "won_by", **section) -> Schemes:
    return cohort_schemes(seen, CohortsSection(**section), seen.study.as_of, 0.3, channel)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    return shop(tmp_path_factory.mktemp("shop"))


EVERY = {
    "period": ("period",),
    "both": ("channel", "period"),
    "first": ("category",),
    "goods": ("product",),
    "crm": ("crm_segment", "region"),
    "tiers": ("tier",),
    "from_source": ("source",),
}
TIERS = {"cheap": ("wear",), "dear": ("home",)}


@pytest.fixture(scope="module")
def schemes(seen):
    return made(seen, by=EVERY, tiers=TIERS)


def by_name(schemes: Schemes, name: str):
    return next(one for one in schemes if one.name == name)


def test_everybody_is_in_one_cohort_of_each_scheme_and_rows_add_up_to_the_ledger(schemes, seen):
    assert schemes.ledger == {"customers": 4, "purchases": 6, "net_minor": 8501, "gross_minor": 8701,
                              "margin_minor": 8501 - 400 - 100 - 999 - 100 - 1000 - 400}  # fmt: skip
    for scheme in schemes:
        sums = scheme.totals().drop(columns="group").sum()
        assert {name: sums[name] for name in schemes.ledger} == schemes.ledger, scheme.name
        for money in ("gross_minor", "net_minor", "margin_minor"):
            triangle = scheme.triangle(money)
            assert (triangle.drop(columns="total").sum(axis=1) == triangle["total"]).all()
            assert triangle["total"].sum() == schemes.ledger[money]
    assert all(check.status == "pass" for check in words.ties(schemes, seen.ledger))


def test_whoever_has_no_value_of_a_key_is_a_cohort_of_its_own(schemes):
    assert by_name(schemes, "crm").groups == ["business · south", "not known · not known", "private · north"]
    both = by_name(schemes, "both").totals().set_index("group")["customers"].to_dict()
    assert both == {
        f"{NOT_KNOWN} · Apr 2024": 1,
        "search · Jan 2024": 1,
        "search · Feb 2024": 1,
        "social · Jan 2024": 1,
    }


def test_the_first_order_has_the_value_that_most_of_its_money_went_to(schemes):
    """Bob's first order: a lamp of 20.01, whose category the table of products knows, and a sock of 4."""
    assert by_name(schemes, "goods").totals().set_index("group")["customers"].to_dict() == {
        "hat": 2,
        "lamp": 1,
        "mug": 1,
    }
    assert by_name(schemes, "first").totals().set_index("group")["customers"].to_dict() == {
        "home": 2,
        "wear": 2,
    }
    assert by_name(schemes, "tiers").totals().set_index("group")["customers"].to_dict() == {
        "cheap": 2,
        "dear": 2,
    }


def test_triangles_by_hand(schemes):
    period, nan = by_name(schemes, "period"), np.nan
    np.testing.assert_array_equal(
        period.wide("net_minor"), [[3401, 500, 0, nan], [4000, 0, nan, nan], [nan] * 4]
    )
    np.testing.assert_array_equal(period.wide("repeat_rate"), [[0, 0.5, 0, nan], [0, 0, nan, nan], [nan] * 4])
    assert period.triangle("gross_minor")["not_over"].tolist() == [700, 0, 100]
    assert period.triangle("net_minor")["not_over"].tolist() == [500, 0, 100]
    assert period.triangle("net_minor").isna().sum().sum() == 1 + 2 + 4


def test_a_cohort_of_several_periods_is_seen_through_those_who_have_reached_the_age(schemes):
    """Home: Bob of January has reached age 2, Cyd of February age 1."""
    home = by_name(schemes, "first")
    np.testing.assert_array_equal(home.exposure().loc["home"], [2, 2, 1, np.nan])
    np.testing.assert_array_equal(home.wide("net_minor").loc["home"], [2401 + 4000, 0, 0, np.nan])
    assert home.cumulative("net_minor").loc["home", 2] == 6401 / 2


def test_without_costs_the_margin_is_the_studys_share_and_still_adds_up(tmp_path):
    schemes = made(shop(tmp_path, costs=""), by={"a": ("period",), "b": ("channel", "period")})
    assert {scheme.margin_of for scheme in schemes} == {"share"}
    assert schemes.ledger["margin_minor"] == 2550  # 30 % of 85.01 is 25.503
    assert [scheme.totals()["margin_minor"].sum() for scheme in schemes] == [2550, 2550]


def test_the_overlap_with_the_customers_table_counts_everybody(schemes):
    found = schemes.crm.groupby("scheme")["customers"].sum()
    assert set(found) == {4} and len(found) == len(EVERY)
    assert words.association(schemes, by_name(schemes, "crm")) == pytest.approx(1)
    (table,) = words.crm(schemes)
    assert table.frame.iloc[-1]["customers"] == 4 and "Cramér" in table.note
    (check,) = words.crm_checks(schemes)
    assert check.status == "review" and check.value == 0.25  # Dan is in no table


def test_a_scheme_that_loses_a_customer_stops_the_run(schemes, seen):
    from dataclasses import replace

    one = by_name(schemes, "period")
    broken = replace(schemes, schemes=(replace(one, sizes=one.sizes.iloc[:-1]),))
    (check,) = words.ties(broken, seen.ledger)
    assert check.stops and "differs from the ledger's by" in check.message


def test_the_exhibits_can_be_shown(schemes, seen):
    shown = words.exhibits(schemes, seen.ledger, CohortsSection(by=EVERY, tiers=TIERS))
    names = [one.name for one in shown]
    assert len(names) == len(set(names)) and "margin_both" in names and "repeat_rates_period" not in names
    for one in shown:
        assert (svg(one) if hasattr(one, "draw") else table_html(one)).startswith("<")


def test_saved_and_loaded_schemes_are_the_same(schemes, tmp_path):
    schemes.save(tmp_path / "made")
    back = Schemes.load(tmp_path / "made")
    assert back.ledger == schemes.ledger and [one.keys for one in back] == [one.keys for one in schemes]
    for one, other in zip(back, schemes, strict=True):
        assert one.long.equals(other.long) and one.sizes.equals(other.sizes)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"a": ("perod",)}, "did you mean 'period'"),
        ({"a": ("tier",)}, "tiers names none"),
        ({"a": ("crm_segment",)}, "names 'crm_segment'"),
    ],
)
def test_a_key_that_nothing_gives_is_refused(keys, said):
    with pytest.raises(RuleBroken, match=said):
        require_keys(keys, {}, ["region"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"by": ()}, "must name at least one key"),
        ({"by": ("period", "period")}, "and each once"),
        ({"by": {"A b": ("period",)}}, "small letters, digits and _"),
        ({"tiers": {"a": ("x",), "b": ("x",)}}, "each category in one tier"),
    ],
)
def test_what_is_no_scheme_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        CohortsSection(**given)


def test_a_scheme_without_a_name_is_called_after_its_keys():
    assert CohortsSection(by=("period", "segment")).schemes == {"period_by_segment": ("period", "segment")}


days = st.dates(date(2023, 1, 1), date(2024, 4, 20))
lines = st.lists(st.tuples(st.sampled_from("abcdefg"), days, st.integers(1, 10**6), st.sampled_from(["hat", "lamp", "mug"])),
                 min_size=1, max_size=25)  # fmt: skip


@settings(max_examples=6, deadline=None)
@given(lines)
@pytest.mark.slow
def test_every_scheme_ties_to_any_ledger(tmp_path_factory, log):
    rows = [
        f"{who},{day},{amount / 100:.2f},{n},{product},,,1"
        for n, (who, day, amount, product) in enumerate(log)
    ]
    seen = shop(tmp_path_factory.mktemp("any"), orders="\n".join([ORDERS.splitlines()[0], *rows, ""]))
    schemes = made(seen, by={"a": ("channel", "period", "category"), "b": ("product",)})
    assert all(check.status == "pass" for check in words.ties(schemes, seen.ledger))
    assert schemes.ledger["gross_minor"] == sum(amount for _, _, amount, _ in log)


def test_everybody_who_is_valued_is_in_one_group_of_each_grouping(seen, tmp_path):
    """Ann, Bob, Cyd and Dan by product tier, by cohort, and by a mark of the customers table."""
    from clvkit.grains import COHORT, TIER, people_of
    from clvkit.study import with_values
    from clvkit.workbench import Workbench

    section = {"tiers": TIERS, "flags": ["vulnerable"], "by": ["region", "period"], "grain": "quarter"}
    study = with_values(seen.study, {"cohorts": section})
    run = Workbench(study, study_folder=tmp_path / "s", folder=tmp_path / "s" / "draft", stem="x")
    people, keyed = people_of(run)
    assert people["n"].sum() == 4 and people["first_minor"].sum() == 1000 + 2401 + 4000 + 100
    held = {name: people.groupby(column)["n"].sum().to_dict() for name, column in keyed.items()}
    assert held[TIER] == {"cheap": 2, "dear": 2}
    assert held["vulnerable"] == {"yes": 1, "no": 2, NOT_KNOWN: 1}
    assert held[COHORT] == {"north · 2024 Q1": 2, "south · 2024 Q1": 1, f"{NOT_KNOWN} · 2024 Q2": 1}


def test_cohorts_by_channel_need_what_names_it(tmp_path):
    from clvkit.errors import StudyError

    text = STUDY.replace("COSTS", "") + "cohorts: {by: [channel, period]}\n"
    (tmp_path / "shop.yml").write_text(text)
    with pytest.raises(StudyError, match=r"must be given where cohorts[.]by goes by channel"):
        load_study(tmp_path / "shop.yml")
    (tmp_path / "shop.yml").write_text(text.replace("channel", "chanel"))
    with pytest.raises(StudyError, match="did you mean 'channel'"):
        load_study(tmp_path / "shop.yml")
