"""Loads that ran twice, weeks in other units, exports that broke off: each is found where it is, and nothing else is."""

from datetime import date, timedelta

import pytest
from companies import COUNTED

MONTHS = {"outage": "2024-06", "late_rows": "2024-01", "tax_included_mixup": "2023-12", "truncated_file": "2024-03",
          "restated_month": "2024-02", "wrong_delimiter_line": "2024-04", "overlap_extract": "2024-07",
          "double_load": "2024-09", "unit_slip": "2024-08", "giant_cancelled_pair": "2023-11"}  # fmt: skip


def hit_rows(company, name):
    """The ledger's rows of the lines that a defect hit, in whatever file."""
    rows = company.rows
    return rows[rows["source"].isin(("shop", "shop_refunds")) & rows["key"].isin(company.hits[name].where)]


@pytest.mark.parametrize("name", ["double_load", "overlap_extract", "restated_month"])
def test_lines_that_two_files_have_count_once(name, wrong_files):
    hit = wrong_files.hits[name]
    (file,) = hit.files
    month = file.removesuffix(".csv").removesuffix("_copy").removesuffix("_v2")
    rows = wrong_files.rows
    again = wrong_files.rows[
        rows["outcome"].isin(("overlap", "superseded")) & rows["file"].str.startswith(month)
    ]
    in_hit = rows[rows["file"] == file]
    if name == "overlap_extract":
        in_hit = in_hit[in_hit["key"].isin(hit.where)]
    print(f"{name}: {hit.rows} rows planted, {len(again)} out")
    assert len(in_hit) == hit.rows == len(again)
    counted = rows[
        rows["key"].isin(in_hit["key"]) & (rows["source"] == "shop") & (rows["outcome"] == COUNTED)
    ]
    assert not counted["key"].duplicated().any()


def test_the_second_version_of_a_month_counts(wrong_files):
    """Its one amount that differs replaces the first version's, which says so; the others are the same in both."""
    (key,) = wrong_files.hits["restated_month"].where
    rows = wrong_files.rows[(wrong_files.rows["key"] == key) & (wrong_files.rows["source"] == "shop")]
    old, new = (rows[rows["file"].str.endswith("_v2.csv") == second].iloc[0] for second in (False, True))
    assert old["outcome"] == "superseded" and new["outcome"] != "superseded"
    assert wrong_files.reasons()["superseded"] == 1
    assert new["amount_minor"] - old["amount_minor"] == 1000


def test_broken_lines_are_quarantined(wrong_files):
    held = wrong_files.rows[wrong_files.rows["outcome"] == "row_unparseable"]
    planted = [*wrong_files.hits["wrong_delimiter_line"].where, *wrong_files.hits["truncated_file"].where]
    assert sorted(held["key"]) == sorted(planted) and len(planted) == 6
    assert set(held["file"]) == {
        f"shop/orders_{MONTHS[one]}.csv" for one in ("wrong_delimiter_line", "truncated_file")
    }
    assert wrong_files.check("ledger.quarantine").status == "review"


def test_a_giant_pair_nets_to_nothing(clean, wrong_files):
    sale, back = wrong_files.hits["giant_cancelled_pair"].where
    rows = wrong_files.rows.set_index("key").loc[[sale, back]]
    assert rows["amount_minor"].sum() == 0 and rows["amount_minor"].max() == 7_000_000
    assert (rows["customer"] == rows["customer"].iloc[0]).all() and rows["day"].nunique() == 1
    # The customer's day is what it is without the pair: nothing but the other order of the day.
    day, who = rows["day"].iloc[0], rows["customer"].iloc[0]
    others = wrong_files.rows[(wrong_files.rows["customer"] == who) & (wrong_files.rows["day"] == day)]
    theirs = clean.rows[clean.rows["key"].isin(set(others["key"])) & (clean.rows["source"] == "shop")]
    bought = wrong_files.ledger.purchases.to_pyarrow().to_pandas()
    mine = bought[(bought["customer"] == who) & (bought["day"] == day)]["amount_minor"].sum()
    assert mine == theirs.loc[theirs["outcome"] == COUNTED, "value_minor"].sum() < 1_000_000


def flags(company, kind):
    return company.ledger.frames["flags"].query("kind == @kind")


def test_an_outage_is_flagged_on_its_days(clean, wrong_files):
    assert flags(clean, "outage").empty
    (one,) = flags(wrong_files, "outage").itertuples()
    first = date.fromisoformat(MONTHS["outage"] + "-10")
    assert one.source == "shop"
    assert (str(one.first_day)[:10], str(one.last_day)[:10]) == (f"{first}", f"{first + timedelta(days=9)}")


def test_a_slip_of_unit_is_flagged_in_its_week(clean, wrong_files):
    assert flags(clean, "unit_slip").empty
    (one,) = flags(wrong_files, "unit_slip").itertuples()
    first = date.fromisoformat(MONTHS["unit_slip"] + "-01")
    assert one.source == "till" and f"{first}" <= str(one.first_day)[:10]
    assert str(one.last_day)[:10] <= f"{first + timedelta(days=6)}"


def test_nothing_else_is_flagged(wrong_files):
    assert set(wrong_files.ledger.frames["flags"]["kind"]) == {"outage", "unit_slip"}
    assert wrong_files.findings().keys() == {
        "ledger.quarantine", "ledger.overlaps", "history.anomalies", "history.complete", "ledger.over_refunded",
        "ledger.books", "ledger.refunds_unmatched",
    }  # fmt: skip
    # A line that does not split has no order, and a refund of it no sale.
    alone = wrong_files.rows[wrong_files.rows["outcome"] == "refund_unmatched"]
    broken = {one.split("/")[0] for one in wrong_files.hits["wrong_delimiter_line"].where}
    assert len(alone) == 1 and set(alone["order"]) <= broken
    # Two returns of the week of the slip take back a hundred times what their sales had cost.
    assert wrong_files.check("ledger.over_refunded").value <= 2


def test_late_rows_move_the_day_up_to_which_the_shop_is_complete(clean, wrong_files):
    assert clean.check("history.complete").status == "pass"
    late = wrong_files.rows[wrong_files.rows["key"].isin(wrong_files.hits["late_rows"].where)]
    assert len(late[late["source"] == "shop"]) == wrong_files.hits["late_rows"].rows
    latency = wrong_files.ledger.frames["sources"].set_index("source")
    assert latency.loc["shop", "why"] == "latency" and (latency.drop("shop")["why"] != "latency").all()
    assert wrong_files.check("history.complete").status == "fail"


def test_amounts_with_tax_are_seen_against_the_books(wrong_files):
    """A month whose amounts include tax is more than is booked by the tax, in each currency, and is said to look like it."""
    month, minor = MONTHS["tax_included_mixup"], wrong_files.hits["tax_included_mixup"].minor
    books = wrong_files.ledger.frames["books"]
    apart = books[books["status"] == "differs"]
    sales = apart[(apart["comparison"] == "shop sales") & (apart["month"] == month + "-01")].set_index(
        "currency"
    )
    assert set(sales.index) == set(minor)
    for code, value in minor.items():
        # The shop's file is a month by UTC: an hour of its first day is in the books of the month before.
        assert sales["difference_minor"][code] == pytest.approx(value, rel=0.05)
    words = wrong_files.check("ledger.books").message
    assert "shop sales in December 2023: CHF 1,690.90 in the ledger and CHF 1,564.19 booked" in words
    assert all(f"as amounts with tax of {rate}% would be" in words for rate in (8, 19, 20))
    # In euros Germany's 19 % and Austria's 20 % are together, and lie between the two.
    assert (
        "EUR 6,330.78 in the ledger and EUR 5,305.37 booked (+19.3%, as amounts with tax of 19% would be)"
        in words
    )


def test_the_books_differ_in_no_other_months(wrong_files):
    """Sales that are missing, and a week in other units; broken lines, a cancelled order and a corrected amount explain theirs."""
    books = wrong_files.ledger.frames["books"]
    apart = books[books["status"] == "differs"]
    found = {(one.comparison, f"{one.month:%Y-%m}") for one in apart.itertuples()}
    of_outage = {("shop sales", "2024-06"), ("shop refunds", "2024-06"), ("shop refunds", "2024-07")}
    of_slip = {("till sales", MONTHS["unit_slip"]), ("till refunds", MONTHS["unit_slip"])}
    assert found == {("shop sales", MONTHS["tax_included_mixup"])} | of_outage | of_slip
    assert wrong_files.check("ledger.books").status == "fail"
