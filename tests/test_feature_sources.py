"""What a study's tables make features of: tickets by address, refunds by the day they were booked, contracts, a table of behaviour."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
import yaml

from clvkit.errors import DataError, StudyError
from clvkit.study import load_study
from clvkit.workbench import Workbench

FORMAT = {"date_format": "%Y-%m-%d"}


def write(folder, visits, **said):
    """A study of forty customers with every table that features are made of."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    who = np.repeat([f"C{k:02d}" for k in range(40)], 5)
    day = pd.Timestamp("2023-01-01") + pd.to_timedelta(rng.integers(0, 500, len(who)), unit="D")
    orders = pd.DataFrame(
        {"customer": who, "order": np.arange(len(who)), "date": day.strftime("%Y-%m-%d"), "amount": 20.0}
    )
    back = pd.DataFrame([["C00", 9000, "2024-05-30", -20.0]], columns=orders.columns)
    first = orders[orders["customer"] == "C00"].iloc[0]
    back["refund_of"] = int(first["order"])
    pd.concat([orders.assign(refund_of=""), back]).to_csv(folder / "orders.csv", index=False)
    people = pd.DataFrame({"id": [f"C{k:02d}" for k in range(40)], "mail": [f"C{k:02d}@x.test" for k in range(40)],
                           "won": ["search", "mail"] * 20})  # fmt: skip
    people.loc[39, "mail"] = people.loc[38, "mail"]  # an address of two people is nobody's
    people.to_csv(folder / "people.csv", index=False)
    pd.DataFrame(
        {"mail": ["c01@X.test ", "C38@x.test"], "opened": ["2023-06-01", "2023-06-02"], "minutes": [12, 5]}
    ).to_csv(folder / "tickets.csv", index=False)
    pd.DataFrame({"customer": ["C02"], "start": ["2023-02-01"], "end": [""], "fee": [9.5]}).to_csv(
        folder / "plans.csv", index=False
    )
    visits.to_csv(folder / "visits.csv", index=False)
    study = {
        "name": "told", "title": "Told", "currency": "EUR", "as_of": "2024-06-30",
        "ledger": {"negative_amounts": "net", "sources": {
            "shop": {"path": "orders.csv", **FORMAT, "columns": {"customer": "customer", "date": "date", "amount": "amount",
                                                                "order": "order", "refund_of": "refund_of"}},
            "people": {"holds": "customers", "path": "people.csv", "accounts": {"shop": "id"}, "keys": {"email": "mail"},
                       "about": {"won_by": "won"}},
            "tickets": {"holds": "tickets", "path": "tickets.csv", **FORMAT, "fields": {"customer": "mail", "opened": "opened", "minutes": "minutes"}},
            "plans": {"holds": "contracts", "path": "plans.csv", **FORMAT, "account_space": "shop",
                      "fields": {"customer": "customer", "start": "start", "end": "end", "fee": "fee"}},
            "visits": {"holds": "behaviour", "path": "visits.csv", **FORMAT, "account_space": "shop",
                       "fields": {"customer": "customer", "date": "day", "feature": "what", "value": "pages"}},
        }},
        "contracts": {"source": "plans"},
        "challenger": {"use": "compare", "about": ["won_by"]} | said,
        "value": {"margin": 0.4, "annual_discount_rate": 0.1},
    }  # fmt: skip
    path = folder / "told.yml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


VISITS = pd.DataFrame({"customer": ["C03", "C03", "C04"], "day": ["2023-05-01", "2024-06-30", "2023-05-02"], "what": ["site", "app", "site"],
                       "pages": [3, 8, 5]})  # fmt: skip


def bench(tmp_path, visits=VISITS, **said):
    study = load_study(write(tmp_path / "params", visits, **said))
    return Workbench(study, study_folder=tmp_path / "reports", folder=tmp_path / "draft", stem="x")


def features(run, day):
    """The feature table by the account of each customer."""
    from clvkit.ledger.crosswalk import known_members

    made = run.feature_sources.features(day)
    known = known_members(run.ledger().con, run.study_folder / ".crosswalk")
    if known is None:
        return made, made.values
    pairs = known.to_pandas().query("source == 'shop'")
    return made, made.values.rename(index=dict(zip(pairs["customer"], pairs["account"], strict=True)))


def test_every_table_gives_its_features_by_the_day(tmp_path):
    run = bench(tmp_path)
    made, by = features(run, date(2024, 6, 30))
    assert by.loc["C01", ["tickets_count", "tickets_last"]].tolist() == [1, 12]
    assert by["tickets_count"].sum() == 1  # the other address is of two people
    assert by.loc["C00", ["returns_count", "returns_last"]].tolist() == [1, 20]
    assert by.loc["C02", ["contracts_count", "contracts_last"]].tolist() == [1, 9.5]
    assert by.loc["C03", ["site_last", "app_last"]].tolist() == [3, 8] and by.loc["C04", "site_last"] == 5
    assert by["won_by=mail"].sum() + by["won_by=search"].sum() == len(by)
    assert {"tickets_count", "returns_mean", "contracts_recent", "site_count_90", "won_by"} <= set(
        made.others
    )
    made, by = features(run, date(2024, 5, 29))
    assert "app_last" not in by or by["app_last"].sum() == 0  # not yet
    assert by["returns_count"].sum() == 0 and by.loc["C03", "site_last"] == 3


def test_a_table_of_behaviour_that_knows_the_future_raises(tmp_path):
    late = pd.concat([VISITS, VISITS.iloc[:1].assign(day="2024-07-01")])
    with pytest.raises(
        DataError, match=r"the table visits must not be made of anything dated after 2024-06-30"
    ):
        bench(tmp_path, late).feature_sources  # noqa: B018


def test_only_what_the_study_asks_for(tmp_path):
    run = bench(tmp_path, behaviour=["tickets"], about=[])
    made, _ = features(run, date(2024, 6, 30))
    assert {name.partition("_")[0] for name in made.others} == {"tickets"}


def test_a_name_that_no_table_has(tmp_path):
    with pytest.raises(
        StudyError, match=r"names 'won_bye', which no customers table has.*did you mean 'won_by'"
    ):
        bench(tmp_path, about=["won_bye"])
