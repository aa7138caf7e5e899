"""The memo on a small company: four sources, three currencies, refunds, an overlap, guests, one person twice."""

import re
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from clvkit.chapters import (
    ledger_currencies,
    ledger_memo,
    ledger_overlaps,
    ledger_people,
    ledger_policies,
    ledger_refunds,
    ledger_sources,
    ledger_worries,
)
from clvkit.checks import Check
from clvkit.customers import customer_summary
from clvkit.exhibits import Figure, Sentence, Table
from clvkit.ledger import LedgerSection, build_ledger
from clvkit.ledger.inclusion import apply
from clvkit.ledger.refund_lags import curve_of, outstanding
from clvkit.publish.figures import svg
from clvkit.publish.tables import table_html

AS_OF = date(2024, 3, 31)
NAMES = ("ann", "bea", "cyd", "ann@home.test", "bea@home.test", "card7", "card8", "Y4")
FILES = {
    "shop/a.csv": """order,line,day,who,mail,net,code
o1,1,2024-01-05,ann,ann@home.test,10.00,EUR
o2,2,2024-01-09,bea,bea@home.test,20.00,CHF
o3,3,2024-01-20,,,5.00,EUR
o4,4,2024-02-30,bea,bea@home.test,1.00,GBP
""",
    "shop/b.csv": """order,line,day,who,mail,net,code
o2,2,2024-01-09,bea,bea@home.test,20.00,CHF
o5,5,2024-02-01,ann,ann@home.test,30.00,GBP
o6,6,2024-02-03,cyd,,8.00,EUR
o7,7,2024-04-02,bea,bea@home.test,7.00,EUR
o8,8,2024-03-03,ann,ann@home.test,0.00,EUR
""",
    "refunds.csv": """order,line,day,net,code
o5,r1,2024-02-11,6.00,GBP
o6,r2,2024-02-13,8.00,EUR
oX,r3,2024-02-15,3.00,EUR
""",
    "till.csv": """receipt,pos,day,card,net
b1,1,2024-01-05,card7,4.00
b2,1,2024-03-10,card8,9.00
b3,1,2024-03-11,Y4,2.00
""",
    "old.csv": """receipt,pos,day,card,cents
b0,1,2024-01-02,card8,600
b1,1,2024-01-05,card7,400
b2,1,2024-03-10,card8,950
""",
    "crm.csv": """who,card,mail
ann,card7,ann@home.test
bea,,bea@home.test
""",
    "rates.csv": "day,code,rate\n" + "".join(f"2024-{m:02d}-{d:02d},{c},{r}\n" for m in (1, 2, 3) for d in range(1, 29)
                                             for c, r in (("CHF", "1.0" + str(m)), ("GBP", "1.2"))),
}  # fmt: skip
SECTION = {
    "sources": {
        "shop": {"path": "shop/*.csv", "segment": "shop", "keys": {"email": "mail"},
                 "columns": {"customer": "who", "date": "day", "amount": "net", "order": "order", "line_id": "line", "currency": "code"}},
        "refunds": {"holds": "refunds", "path": "refunds.csv", "id_space": "shop", "segment": "shop",
                    "columns": {"customer": None, "date": "day", "amount": "net", "order": "order", "line_id": "line", "currency": "code"}},
        "till": {"path": "till.csv", "id_space": "tills", "segment": "till",
                 "columns": {"customer": "card", "date": "day", "amount": "net", "order": "receipt", "line_id": "pos"}},
        "old": {"path": "old.csv", "id_space": "tills", "segment": "till", "amount_unit": "minor",
                "columns": {"customer": "card", "date": "day", "amount": "cents", "order": "receipt", "line_id": "pos"}},
        "crm": {"holds": "customers", "path": "crm.csv", "accounts": {"shop": "who", "till": "card", "old": "card"}, "keys": {"email": "mail"}},
        "rates": {"holds": "rates", "path": "rates.csv", "fields": {"date": "day", "currency": "code", "rate": "rate"}},
    },
    "guests": "exclude",
    "negative_amounts": "net",
    "excluded_customers": {"staff": ["Y*"]},
    "exchange": {"max_age_days": 1, "missing": "stale"},
    "costs": {"company": 0.5},
    "identity": {"keys": ["record", "email"]},
    "inclusion": {"exclude_where": {"only at the till": {"segment": ["till"]}}},
}  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The ledger and its section."""
    folder = tmp_path_factory.mktemp("company")
    (folder / "shop").mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    section = LedgerSection.model_validate(SECTION)
    ledger = build_ledger(section, as_of=AS_OF, currency="EUR", base=folder, crosswalk=folder / "crosswalk")
    return ledger, section


@pytest.fixture(scope="module")
def ledger(built):
    return built[0]


@pytest.fixture(scope="module")
def section(built):
    return built[1]


@pytest.fixture(scope="module")
def everybody(ledger, section):
    return apply(customer_summary(ledger.purchases, AS_OF), section.inclusion, None)


def shown(*exhibits):
    """Exhibits in one list."""
    return [one for some in exhibits for one in (some if isinstance(some, list) else [some])]


def step(ledger, label, everybody=None):
    return ledger_memo.steps(ledger, everybody).set_index("label").loc[label]


def test_the_answer_has_every_currency_and_the_study_s_own(ledger):
    text = ledger_memo.answer(ledger).text
    assert "**18 rows with EUR 53.50, CHF 40.00 and GBP 25.00**, together EUR 122.70, came in" in text
    assert "**6 purchases by 3 customers** up to 31 March 2024, worth EUR 78.50" in text
    assert "10 rows with EUR 44.20 are not among them" in text
    assert "1 row could not be converted and is in no sum in EUR" in text


def test_the_steps_lead_from_the_totals_to_what_is_modelled(ledger, everybody):
    steps = ledger_memo.steps(ledger, everybody)
    changes, levels = steps[steps["kind"] != "level"], steps[steps["kind"] == "level"].set_index("label")
    assert levels.loc["received", "rows_left"] == ledger.totals["rows"]["in"]
    kept = ledger.totals["rows"]["used"] + ledger.totals["rows"]["merged"]
    assert levels.loc["in the ledger", "rows_left"] == kept
    purchases = ledger.purchases.aggregate(lines=ledger.purchases.lines.sum(), minor=ledger.purchases.amount_minor.sum()).to_pandas().iloc[0]  # fmt: skip
    assert tuple(levels.loc["in the ledger", ["rows_left", "value_left_minor"]]) == (
        purchases["lines"],
        purchases["minor"],
    )
    stay = everybody.filter(everybody.treatment != "exclude")
    modelled = (stay.spend_minor + stay.first_minor).sum().execute()
    assert changes["value_minor"].sum() == levels.loc["modelled", "value_left_minor"] == modelled == 6300
    assert changes["rows"].sum() == levels.loc["modelled", "rows_left"] == 6
    by_state = -changes[changes["state"] != ""].groupby("state")["rows"].sum()
    assert by_state.to_dict() == {
        state: ledger.totals["rows"][state] for state in ("quarantined", "excluded", "later")
    }


def test_every_step_has_its_reason_and_its_money(ledger, everybody):
    assert step(ledger, "refunds received")["value_minor"] == -1820
    assert step(ledger, "staff")["words"] == "An account that the study leaves out: staff"
    assert tuple(step(ledger, "rows that two files have")[["rows", "value_minor"]]) == (-2, -2420)
    assert tuple(step(ledger, "rows that were corrected later")[["rows", "value_minor"]]) == (-1, -900)
    assert tuple(step(ledger, "orders returned in full")[["rows", "value_minor"]]) == (-2, 0)
    assert step(ledger, "refunds without a sale")["value_minor"] == 300
    assert step(ledger, "unreadable dates")["unconverted"] == "GBP 1.00 (1 row)"
    assert tuple(step(ledger, "only at the till", everybody)[["rows", "value_minor"]]) == (-2, -1550)


def test_the_waterfall_is_drawn_tabled_and_sampled(ledger, everybody):
    figure, table, samples = ledger_memo.waterfall(ledger, everybody)
    assert isinstance(figure, Figure) and svg(figure).startswith("<svg")
    assert figure.title == "33.3 % of the rows and 51.3 % of the money are modelled"
    assert "Modelled: 6 rows, EUR 63.00." in figure.alt
    assert table.total and list(table.frame["value_left"])[-1] == 63.0
    assert "GBP 1.00 (1 row)" in list(table.frame["unconverted"])
    per_step = samples.frame.groupby("step").size()
    assert (
        set(per_step.index) == set(table.frame.loc[table.frame["state"] != "", "step"])
        and per_step.max() <= 3
    )
    damaged = samples.frame[samples.frame["label"] == "unreadable dates"].iloc[0]
    assert (damaged["file"], damaged["row"], damaged["text"], damaged["amount"]) == (
        "shop/a.csv",
        5,
        "9999-99-99",
        "GBP 1.00",
    )
    assert samples.frame.loc[samples.frame["label"] == "guests", "who"].tolist() == ["none"]


def test_the_waterfall_says_what_is_off_the_amounts_before_it_begins(ledger):
    taxed = LedgerSection(path="o.csv", columns={"tax": "vat"}, amount_holds=["tax"])
    note = ledger_memo.waterfall(ledger, None, taxed)[1].note
    assert note.endswith(" Tax does not count: it is taken off the amounts of orders, which hold it.")
    assert "Tax" not in ledger_memo.waterfall(ledger)[1].note


def test_a_ledger_that_keeps_everything_needs_no_waterfall(tmp_path):
    (tmp_path / "o.csv").write_text("customer_id,date,amount\nann,2024-01-05,2.00\n", encoding="utf-8")
    section = LedgerSection(path="o.csv")
    plain = build_ledger(section, as_of=AS_OF, currency="EUR", base=tmp_path)
    (sentence,) = ledger_memo.waterfall(plain)
    assert (
        sentence.text
        == "All 1 row that came in are modelled, with EUR 2.00: no step takes a row or an amount away."
    )
    assert (
        ledger_sources.by_source(plain)
        == ledger_overlaps.overlaps(plain)
        == ledger_refunds.to_come(plain)
        == []
    )
    said = shown(ledger_refunds.refunds(plain), ledger_currencies.conversions(plain, section), ledger_currencies.ladder(plain),
                 ledger_people.identity(plain), ledger_people.guests(plain),
                 ledger_people.inclusion(plain, customer_summary(plain.purchases, AS_OF), section))  # fmt: skip
    assert len(said) == 6 and all(isinstance(one, Sentence) for one in said)
    (sources, reading) = ledger_sources.sources(plain, section)
    assert (
        sources.frame["rows"].tolist() == [1]
        and reading.text == "It was read as CSV in utf-8, comma between columns."
    )


def test_the_balance_has_a_column_per_currency_and_adds_up(ledger):
    table = ledger_sources.balance(ledger)
    lines, came = table.frame.iloc[:-1], table.frame.iloc[-1]
    for column in ("rows", "EUR", "CHF", "GBP", "amount"):
        assert lines[column].sum() == pytest.approx(came[column], abs=1e-9)
    assert [came[code] for code in ("EUR", "CHF", "GBP")] == [
        ledger.totals["amount"][code]["in"] for code in ("EUR", "CHF", "GBP")
    ]
    assert "1 row could not be converted" in table.note
    assert lines.loc[lines["meaning"].str.startswith("refunds, taken off"), "GBP"].tolist() == [-6.0]


def test_sources_balance_in_each_currency(ledger):
    (table,) = ledger_sources.by_source(ledger)
    assert table.title == "Every source and currency balances"
    frame, states = table.frame, ["used", "merged", "later", "excluded", "quarantined"]
    assert np.allclose(frame[states].sum(axis=1), frame["came"]) and (frame["gap"] == 0).all()
    parts, totals = frame[frame["source"] != "all sources"], frame[frame["source"] == "all sources"]
    assert parts.groupby("currency")["rows"].sum().to_dict() == totals.set_index("currency")["rows"].to_dict()
    broken = replace(
        ledger, totals=ledger.totals | {"amount": ledger.totals["amount"] | {"CHF": {"in": 41.0}}}
    )
    assert ledger_sources.by_source(broken)[0].title == "Money is missing between the source and the ledger"


def test_every_source_is_described(ledger, section):
    lines, tables, reading = ledger_sources.sources(ledger, section)
    assert lines.title == "18 rows of 4 sources, and every one has a state"
    shop = lines.frame.set_index("source").loc["shop"]
    assert (shop["files"], shop["rows"], shop["placed"]) == (2, 9, 9)
    assert shop["first_day"] == date(2024, 1, 5) and shop["last_day"] == date(2024, 4, 2)
    assert tables.frame.set_index("source").loc["crm", ["rows", "used", "rejected"]].tolist() == [2, 2, 0]
    assert "amounts in minor units" in reading.frame.set_index("sources").loc["old", "read_as"]


def test_a_row_that_is_lost_shows(ledger, section):
    inputs = [one | {"rows": one["rows"] + 1} if one["file"] == "till.csv" else one for one in ledger.inputs]
    assert (
        ledger_sources.sources(replace(ledger, inputs=inputs), section)[0].title
        == "1 row of the sources have no state"
    )


def test_overlaps_by_month_and_between_sources(ledger):
    table, between = ledger_overlaps.overlaps(ledger)
    assert between.frame["gap"].abs().max() > 0  # the corrected line
    assert table.title == "3 rows are in two files, 1 of them corrected"
    assert list(table.frame["month"]) == ["January 2024", "January 2024", "March 2024"]
    months = pd.DataFrame({"first": "till", "second": "old", "month": pd.to_datetime(["2024-01-01", "2024-03-01"]), "currency": "EUR",
                           "rows_first": [1, 1], "rows_second": [1, 1], "minor_first": [400, 900], "minor_second": [400, 950]})  # fmt: skip
    two = replace(ledger, frames=ledger.frames | {"overlap_months": months})
    difference = ledger_overlaps.overlaps(two)[1]
    assert difference.title == "till and old differ by up to EUR 0.50 a month"
    assert list(difference.frame["gap"]) == [0.0, 0.5]
    one = replace(ledger, frames=ledger.frames | {"overlap_months": months.head(1)})
    assert ledger_overlaps.overlaps(one)[1].title == "Sources that cover the same days agree to the last row"


def test_refunds_by_what_became_of_them(ledger):
    (table,) = ledger_refunds.refunds(ledger)
    assert table.title == "3 refunds take back EUR 18.20; 1 refund found no sale"
    frame = table.frame.set_index("became")
    assert frame.loc["taken off a purchase of an earlier day", ["rows", "GBP", "days"]].tolist() == [
        1,
        -6.0,
        10.0,
    ]
    assert frame.loc["All refunds", ["rows", "EUR", "GBP"]].tolist() == [3, -11.0, -6.0]


def test_refunds_to_come_are_estimated_where_the_lags_are_known(ledger):
    days = pd.date_range("2024-01-01", AS_OF)
    sales = pd.DataFrame({"day": days, "sale_minor": 10_000})
    back = pd.DataFrame({"day": days[days <= pd.Timestamp("2024-03-21")], "lag_days": 10, "refunds": 1, "refund_minor": 1_000, "squares": 1e6})  # fmt: skip
    curve = curve_of(sales, back, AS_OF)
    rate = pd.DataFrame([{"rate": curve.rate, "low": curve.low, "high": curve.high, "seen": curve.seen}])
    frames = {"refund_curve": curve.curve, "refund_rate": rate, "refunds_to_come": outstanding(curve)}
    figure, table = ledger_refunds.to_come(replace(ledger, frames=ledger.frames | frames))
    assert figure.title == "Half of the refunded money is back after 10 days, 95 % after 10 days"
    assert svg(figure)
    # the sales of the last ten days, EUR 1,000 in all, have a tenth of their money still to give back
    assert table.title == "Refunds of about EUR 100 are yet to come of the sales made so far"
    assert list(table.frame["month"]) == ["January 2024 to February 2024", "March 2024", "All sales so far"]
    assert table.frame["sale"].iloc[:-1].sum() == table.frame["sale"].iloc[-1] == 9_100
    none = {**frames, "refund_curve": curve.curve.assign(refunds=0)}
    assert "none is expected" in ledger_refunds.to_come(replace(ledger, frames=ledger.frames | none))[0].text


def test_currencies_their_rates_and_what_the_last_rate_would_change(ledger, section):
    (table,) = ledger_currencies.conversions(ledger, section)
    frame = table.frame.set_index("currency")
    assert frame.loc["CHF", ["amount", "rate", "value", "last"]].tolist() == [20.0, 1.01, 20.2, 1.03]
    assert frame.loc["CHF", "effect"] == pytest.approx(0.4) and frame.loc["GBP", "effect"] == pytest.approx(0)
    assert frame["value"].sum() == pytest.approx(78.5)
    assert "EUR 0.40 more" in table.note and "No rate used is older than 1 day" in table.note
    stale = ledger.frames["conversions"].assign(stale=[0, 0, 2])
    old = replace(ledger, frames=ledger.frames | {"conversions": stale})
    assert "2 rows are at a rate older than 1 day" in ledger_currencies.conversions(old, section)[0].note


def test_the_margin_ladder_and_what_it_rests_on(ledger):
    steps, rests = ledger_currencies.ladder(ledger)
    assert steps.title == "50.0 % of net revenue is left as gross margin"
    value = steps.frame.set_index("step")["value"]
    assert value["Net revenue"] == pytest.approx(
        value["Revenue before discounts"] + value["Discounts"] + value["Refunds"]
    )
    assert value["Gross margin"] == pytest.approx(value["Net revenue"] + value["Cost of the products"])
    assert rests.title == "The cost of 100.0 % of net revenue is estimated"


def test_who_is_who(ledger):
    sizes, joined, events, review = ledger_people.identity(ledger)
    assert joined.frame["customers"].is_monotonic_decreasing
    assert sizes.title.endswith("1 customer has several")
    assert sizes.frame.set_index("accounts").loc[3, "customers"] == 1
    assert "merged" in events.text and "No link" in review.text
    effect = pd.DataFrame(
        {"counted_as": ["accounts", "customers"], "customers": [4, 2], "purchases": [6, 5], "once": [3, 1]}
    )
    waits = pd.DataFrame(
        {"reason": "bridge", "kind": "email", "value": "a***@h***", "accounts": [3], "links": [False]}
    )
    frames = ledger.frames | {"identity_effect": effect, "identity_review": waits}
    _, merged, _, listed = ledger_people.identity(replace(ledger, frames=frames))
    assert merged.title == "Without joining accounts, 75.0 % instead of 50.0 % would have bought once"
    assert list(merged.frame["each"]) == [1.5, 2.5]
    assert listed.frame["value"].tolist() == ["a***@h***"] and listed.frame["links"].tolist() == [
        "not joined"
    ]


def test_guests_and_inclusion(ledger, section, everybody):
    (guests,) = ledger_people.guests(ledger)
    assert "1 line with EUR 5.00, 4.1 % of the money that came in, is of nobody" in guests.text
    (funnel,) = ledger_people.inclusion(ledger, everybody, section)
    assert funnel.frame["customers_left"].tolist() == [3, 2, 2]


def test_the_policies_of_several_sources(ledger, section):
    text = ledger_policies.policies(ledger, section).text
    assert "(3 rows with EUR −11.00 and GBP −6.00) are refunds" in text
    assert "**Lines without a customer** (1 row) are left out" in text
    assert "**Lines that repeat an earlier line in full**: there are none." in text


def test_checks_are_shown_once_each_and_worries_have_advice(ledger, section):
    groups = [ledger_worries.checks(ledger, name) for name in ("ties", "history", "rows")]
    assert sorted(c.id for group in groups for c in group) == sorted(c.id for c in ledger.checks)
    assert {c.id for c in groups[0]} >= {"ledger.rows_balance", "ledger.money_balances.CHF"}
    text = ledger_worries.worries(ledger, section).text
    said = [line for line in text.splitlines() if line.startswith("- ")]
    assert said and all("*What to do:*" in line for line in said)
    for words in ("Nobody outside vouches", "1 of 3 refunds (33.3 %, and", "1 row could not be converted", "The cost of 100.0 %"):  # fmt: skip
        assert words in text
    books = Check("ledger.books", "The ledger agrees with the books", "pass", "")
    held = replace(ledger, checks=[*ledger.checks, books])
    assert "Nobody outside vouches" not in ledger_worries.worries(held, section).text


def test_nobody_is_named(ledger, section, everybody):
    every = shown(ledger_memo.answer(ledger), ledger_memo.waterfall(ledger, everybody), ledger_sources.balance(ledger),
                  ledger_sources.by_source(ledger), ledger_sources.sources(ledger, section), ledger_overlaps.overlaps(ledger),
                  ledger_refunds.refunds(ledger), ledger_currencies.conversions(ledger, section), ledger_currencies.ladder(ledger),
                  ledger_people.identity(ledger), ledger_people.guests(ledger), ledger_people.inclusion(ledger, everybody, section),
                  ledger_policies.policies(ledger, section), ledger_worries.worries(ledger, section))  # fmt: skip
    pseudonyms = [name for name in ledger.rows.customer.to_pyarrow().to_pylist() if name]
    texts = []
    for one in every:
        texts.append(
            table_html(one) if isinstance(one, Table) else one.text if isinstance(one, Sentence) else one.alt
        )
        if isinstance(one, Table | Figure):
            texts.append(one.frame.to_csv())
    for name in (*NAMES, *pseudonyms):
        assert not [text for text in texts if re.search(rf"\b{re.escape(name)}\b", text)], name


def test_accounts_that_are_no_pseudonyms_are_masked_too(tmp_path):
    lines = "customer_id,date,amount\nann@home.test,2024-01-05,2.00\nann@home.test,2024-05-05,2.00\nK77,2024-05-05,3.00\n"
    (tmp_path / "o.csv").write_text(lines, encoding="utf-8")
    plain = build_ledger(LedgerSection(path="o.csv"), as_of=AS_OF, currency="EUR", base=tmp_path)
    samples = ledger_memo.waterfall(plain)[2]
    assert samples.frame["who"].tolist() == ["X99", "xxx@xxxx.xxxx"]
