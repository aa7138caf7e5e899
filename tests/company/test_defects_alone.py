"""What stops a study, or changes so much that it needs a company to itself."""

import json
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from companies import STUDY, ledger_of, section, studied, written

from clvkit.errors import DataError, StudyError

SHOP = ("shop", "shop_refunds", "rates")


def shop(**more):
    """The shop alone, without identity."""
    return section(only=SHOP, drop={"shop": {"keys": {}} | more}, identity={})


def test_a_file_in_another_encoding_stops_and_is_named(tmp_path):
    hit = written(tmp_path, ("wrong_encoding_file",))["wrong_encoding_file"]
    (file,) = hit.files
    with pytest.raises(DataError) as caught:
        ledger_of(tmp_path, shop(path=file))
    print(caught.value)
    assert file.split("/")[1] in str(caught.value) and "encoding" in str(caught.value)


@pytest.mark.slow
def test_a_month_without_a_rate_stops_or_is_labelled_by_its_age(tmp_path):
    hit = written(tmp_path, ("missing_rate",))["missing_rate"]
    currency, days = hit.where[0].split()[1], sorted(one.split()[0] for one in hit.where)
    with pytest.raises(DataError, match=f"no rate at most 5 days old for {currency} on") as caught:
        ledger_of(tmp_path, shop())
    assert days[0][:7] in str(caught.value)
    ledger = ledger_of(tmp_path, section(only=SHOP, drop={"shop": {"keys": {}}}, identity={},
                                         exchange={"missing": "stale"}))  # fmt: skip
    frame = ledger.frames["conversions"].set_index("currency")
    print(frame.to_string())
    # The month has 31 days at most; the last rate before it is of a Friday, and the next one of a Monday.
    assert 25 <= frame.loc[currency, "oldest_days"] <= 36 and frame.loc[currency, "stale"] > 5
    assert (frame.drop(currency)["stale"] == 0).all() and (frame.drop(currency)["oldest_days"] <= 5).all()
    company = studied(tmp_path, ledger)
    assert company.findings().keys() == {"ledger.rates_age"}
    label = company.check("ledger.rates_age")
    assert f"rows in {currency}, at rates up to {label.value} days old" in label.message
    assert label.value == frame.loc[currency, "oldest_days"] and label.threshold == 5


@pytest.mark.slow
def test_dates_written_month_first_are_quarantined_where_no_month_has_the_number(tmp_path):
    """The others are read as another day; how many these are is estimated, and stops the run."""
    hit = written(tmp_path, ("swapped_day_month",))["swapped_day_month"]
    company = studied(tmp_path, ledger_of(tmp_path, section(only=("till",), identity={})))
    held = company.rows[company.rows["outcome"] == "date_unreadable"]
    cells = [one["Datum"] for one in company.records(next(iter(hit.files)))]
    assert len(held) == sum(int(text[3:5]) > 12 for text in cells) > 100
    assert set(held["file"]) == hit.files and set(held["key"]) <= set(hit.where)
    assert company.check("ledger.quarantine").status == "fail"
    assert company.check("ledger.exchanged_days").stops
    (found,) = company.ledger.frames["exchanged_days"].itertuples()
    silent = len(set(hit.where)) - len(held)
    assert (found.how, found.rows) == ("unreadable", len(held)) and abs(found.others - silent) <= 0.1 * silent


@pytest.mark.slow
def test_early_days_that_are_exchanged_here_and_there_are_counted(tmp_path):
    """Each of them is a day that there is: only the order of the file tells."""
    hit = written(tmp_path, ("exchanged_early_days",))["exchanged_early_days"]
    company = studied(tmp_path, ledger_of(tmp_path, section(only=("till",), identity={}, completeness={})))
    (found,) = company.ledger.frames["exchanged_days"].itertuples()
    assert (found.how, found.rows, {found.file.split("/")[-1]}) == (
        "order",
        hit.rows,
        {one.split("/")[1] for one in hit.files},
    )
    first = company.rows[(company.rows["row"] == found.row) & company.rows["file"].isin(hit.files)].iloc[0]
    assert first["key"] in hit.where and hit.rows > 30
    # A return of a sale that is now a later day's has lost it.
    assert company.findings().keys() - {"ledger.refunds_unmatched"} == {"ledger.exchanged_days"}


@pytest.mark.slow
def test_a_shared_address_merges_nobody(tmp_path, clean):
    written(tmp_path, ("shared_address",))
    ledger = ledger_of(tmp_path, crosswalk=tmp_path / "crosswalk")
    sizes, before = (one.frames["identity_sizes"] for one in (ledger, clean.ledger))
    print(sizes.to_string(), ledger.frames["identity_review"].to_string())
    assert sizes["accounts"].max() <= before["accounts"].max()
    review = ledger.frames["identity_review"]
    (shared,) = review[review["accounts"] > STUDY.ledger.identity.max_accounts_per_key].itertuples()
    assert shared.kind == "email" and shared.accounts >= 50 and not shared.links
    assert abs(sizes["customers"].sum() - before["customers"].sum()) <= 0.02 * before["customers"].sum()


@pytest.mark.slow
def test_a_banned_column_is_not_read(tmp_path):
    """Nothing of it is in what a ledger leaves, also of lines that do not split, and a study that names it is refused."""
    written(tmp_path, ("wrong_delimiter_line", "bad_amount_text"))
    with pytest.raises(StudyError, match=r"reads email, which privacy\.banned_columns forbids"):
        ledger_of(tmp_path, section(only=("shop",)), banned=("email",))
    ledger = ledger_of(tmp_path, shop(), banned=("Email", "channel"))
    ledger.save(tmp_path / "saved")
    texts = (tmp_path / "saved" / "ledger.json").read_text(encoding="utf-8")
    for path in sorted((tmp_path / "saved").glob("*.parquet")):
        found = pq.read_table(path)
        for name, kind in zip(found.column_names, found.schema.types, strict=True):
            if pa.types.is_string(kind) or pa.types.is_large_string(kind):
                texts += "\n".join(str(one) for one in found[name].unique().to_pylist())
    assert ledger.reasons["rows"].sum() > 4000 and "row_unparseable" in texts
    for trace in (".example", ",web,", ",app,", ";web;", ";app;"):
        assert trace not in texts, f"{trace!r} is in what the ledger left"


@pytest.mark.slow
def test_without_product_costs_the_ladder_falls_back_as_it_says(tmp_path, clean):
    """Unit costs taken away until two lines in five have none: labels and totals, line by line."""
    written(tmp_path)
    file, shares = tmp_path / "erp" / "products.csv", {"Küche": 55, "Garten": 60, "Kinder": 50}
    header, *rows = [line.split(",") for line in file.read_text(encoding="utf-8").splitlines()]
    whole = ladder(
        ledger_of(tmp_path, section(only=(*SHOP, "products"), drop={"shop": {"keys": {}}}, identity={}))
    )
    gone = {row[0] for row in rows if row[3] and int(row[0][2:]) % 2}
    kept = [",".join([*row[:3], "" if row[0] in gone else row[3]]) for row in rows]
    file.write_text("\n".join([",".join(header), *kept]) + "\n", encoding="utf-8")
    less = ladder(
        ledger_of(tmp_path, section(only=(*SHOP, "products"), drop={"shop": {"keys": {}}}, identity={}))
    )
    print(json.dumps([whole, less], indent=1))
    assert whole["revenue"] == less["revenue"]
    moved = 1 - less["lines"]["product"] / whole["lines"]["product"]
    assert 0.3 < moved < 0.7
    assert sum(less["lines"].values()) == sum(whole["lines"].values())
    # What lost its own cost is valued at its category's share where there is one, else at the company's.
    for level, share in (("category", None), ("company", 58)):
        cost, revenue = less["cost"][level], less["net"][level]
        if share is not None:
            assert abs(cost * 100 - share * revenue) <= 100 * less["lines"][level]
        else:
            assert min(shares.values()) * revenue <= cost * 100 <= max(shares.values()) * revenue
        assert less["lines"][level] > whole["lines"].get(level, 0)


def ladder(ledger):
    """Lines, net revenue and cost by what the cost rests on, and net revenue in all; minor units."""
    sources = ledger.frames["cost_sources"].set_index("cost_source")
    step = ledger.frames["ladder"].iloc[0]
    assert -step["product_cost_minor"] == sources["cost_minor"].sum()
    assert step["net_revenue_minor"] == sources["net_revenue_minor"].sum()
    return {"revenue": int(step["net_revenue_minor"]), "lines": _ints(sources["lines"]),
            "net": _ints(sources["net_revenue_minor"]), "cost": _ints(sources["cost_minor"])}  # fmt: skip


def _ints(column) -> Counter:
    return Counter({name: int(value) for name, value in column.items()})


@pytest.mark.slow
def test_guests_under_one_account_are_one_customer_until_the_study_leaves_it_out(tmp_path):
    """Account 0 is nobody; a check says so by its addresses, or without them by its days, and a study names it."""
    hit = written(tmp_path, ("guest_as_one",))["guest_as_one"]
    for more in ({}, {"keys": {}}):
        company = studied(tmp_path, ledger_of(tmp_path, section(only=SHOP, drop={"shop": more}, identity={})))
        found = company.check("ledger.catch_all")
        assert found.status == "review" and found.value == 1 and "The account '0' of shop" in found.message
        assert "{guests: ['0']}" in found.recommendation
    rule = {"excluded_customers": {"guests": ["0"]}, "identity": {}}
    company = studied(tmp_path, ledger_of(tmp_path, section(only=SHOP, drop={"shop": {"keys": {}}}, **rule)))
    assert company.findings() == {}
    out = company.rows[company.rows["outcome"] == "customer:guests"]
    sold = out[out["source"] == "shop"]
    assert len(sold) == hit.rows > 100 and set(sold["key"]) == set(hit.where)
    assert set(out["order"]) == set(sold["order"]), (
        "refunds of such orders are left out with them, and no others"
    )
