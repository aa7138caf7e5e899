"""Which kind of business a log is of: four simulated ones, and what a study may say against it."""

from datetime import date

import ibis
import numpy as np
import pandas as pd
import pytest

from clvkit.business_model import FEW, KindOfBusiness, kind_checks, kind_of_business
from clvkit.contracts import contracts
from clvkit.contracts_section import ContractsSection
from clvkit.opportunities import evidence

AS_OF, BEGIN = date(2024, 6, 30), pd.Timestamp("2021-07-01")
DAYS = (pd.Timestamp(AS_OF) - BEGIN).days


def judged(bought: pd.DataFrame, held: pd.DataFrame | None = None, declared="auto") -> KindOfBusiness:
    frame = bought.assign(day=pd.to_datetime(bought["day"]).dt.date).drop_duplicates(["customer", "day"])
    purchases = ibis.memtable(frame, schema={"customer": "string", "day": "date"})
    relations = None if held is None else contracts(held, ContractsSection(source="c"), AS_OF).relations
    return kind_of_business(purchases, relations, AS_OF, evidence(purchases, AS_OF), declared)


def subscriptions(count: int, seed=0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Monthly contracts, and their bills a day or two late."""
    rng, held, bills = np.random.default_rng(seed), [], []
    for i in range(count):
        start = BEGIN + pd.Timedelta(days=int(rng.integers(0, DAYS - 60)))
        lasts = min(int(rng.geometric(rng.beta(1.0, 9.0))), 60)
        end = start + pd.DateOffset(months=lasts) - pd.Timedelta(days=1)
        held.append((f"s{i}", start, end if end < pd.Timestamp(AS_OF) else pd.NaT))
        for k in range(lasts):
            day = start + pd.DateOffset(months=k) + pd.Timedelta(days=int(rng.integers(0, 3)))
            if day <= pd.Timestamp(AS_OF):
                bills.append((f"s{i}", day))
    return pd.DataFrame(bills, columns=["customer", "day"]), pd.DataFrame(
        held, columns=["customer", "start", "end"]
    )


def shop(count: int, seed=1, name="r") -> pd.DataFrame:
    """Purchases at any time, by customers who fall silent."""
    rng, bought = np.random.default_rng(seed), []
    for i in range(count):
        first = rng.integers(0, DAYS - 30)
        gone = first + rng.exponential(400)
        times = first + np.cumsum(np.concatenate([[0.0], rng.exponential(50, 40)]))
        bought += [(f"{name}{i}", BEGIN + pd.Timedelta(days=int(t))) for t in times if t <= min(gone, DAYS)]
    return pd.DataFrame(bought, columns=["customer", "day"])


def charity(count: int, seed=2) -> pd.DataFrame:
    """At most one gift a year, towards its end."""
    rng, given = np.random.default_rng(seed), []
    for i in range(count):
        for year in range(2018, 2024):
            if year == 2018 or rng.random() < 0.6:
                given.append(
                    (f"d{i}", pd.Timestamp(year, 11, 15) + pd.Timedelta(days=int(rng.integers(0, 40))))
                )
    return pd.DataFrame(given, columns=["customer", "day"])


class TestFourLogs:
    def test_a_monthly_subscription(self):
        found = judged(*subscriptions(300))
        assert found.verdict == "contractual" and found.admissible == ("sbg", "bdw")
        assert found.buying_freely == 0 and found.under_contract == 1
        assert found.bills_among_orders and found.billed == 1

    def test_a_shop(self):
        found = judged(shop(300))
        assert found.verdict == "non_contractual" and found.admissible == ("bgnbd", "mbgnbd", "paretonbd")
        assert found.opportunity is None and found.repeaters > 0.5

    def test_a_charity(self):
        found = judged(charity(300))
        assert (
            found.verdict == "non_contractual"
            and found.admissible == ("bgbb",)
            and found.opportunity == "year"
        )

    def test_a_shop_with_subscribers(self):
        bills, held = subscriptions(150)
        found = judged(pd.concat([bills, shop(200), shop(60, 5, "s")]), held)
        assert found.verdict == "hybrid" and {"sbg", "paretonbd"} <= set(found.admissible)
        assert (
            found.only_purchases == 200 and 54 <= found.both <= 60
        )  # a purchase may fall on the day of a bill


def test_a_contract_column_that_is_hardly_filled_is_a_warning():
    bills, held = subscriptions(9)
    found = judged(pd.concat([bills, shop(291)]), held)
    assert found.verdict == "non_contractual" and found.under_contract == pytest.approx(0.03)
    checks = {one.id: one for one in kind_checks(found)}
    assert (
        checks["business_model.few_contracts"].status == "review"
        and "3.0 %" in checks["business_model.few_contracts"].message
    )


def test_a_study_may_overrule_and_is_told():
    bills, held = subscriptions(150)
    everything = pd.concat([bills, shop(200)])
    contractual = judged(everything, held, "contractual")
    assert (
        contractual.verdict == "hybrid"
        and contractual.used == "contractual"
        and contractual.admissible == ("sbg", "bdw")
    )
    assert "overrules" in contractual.sentence()
    (_, told) = kind_checks(contractual)
    assert (
        told.id == "business_model.purchases" and told.status == "review" and "200 customers" in told.message
    )
    (_, told) = kind_checks(judged(everything, held, "non_contractual"))
    assert told.id == "business_model.contracts" and "150 customers" in told.message
    (agreed,) = kind_checks(judged(everything, held, "hybrid"))
    assert "overrules" not in agreed.message


def test_bills_are_told_from_purchases_at_the_ends_of_months():
    held = pd.DataFrame({"customer": ["a"], "start": [pd.Timestamp("2023-01-31")], "end": [pd.NaT]})
    bills = pd.DataFrame(
        {"customer": "a", "day": pd.to_datetime(["2023-01-31", "2023-02-28", "2023-03-31", "2023-05-01"])}
    )
    assert judged(bills, held).both == 0
    besides = pd.concat([bills, pd.DataFrame({"customer": ["a"], "day": [pd.Timestamp("2023-04-14")]})])
    assert judged(besides, held).both == 1


def test_orders_without_bills_are_told_from_orders_with_them():
    _, held = subscriptions(150)
    besides = judged(shop(150, 5, "s"), held)
    assert besides.both > 100 and not besides.bills_among_orders and besides.billed < 0.35


def test_after_a_contract_has_ended_a_purchase_is_no_bill():
    held = pd.DataFrame(
        {"customer": ["a"], "start": [pd.Timestamp("2023-01-10")], "end": [pd.Timestamp("2023-03-09")]}
    )
    bought = pd.DataFrame(
        {"customer": "a", "day": pd.to_datetime(["2023-01-10", "2023-02-10", "2023-08-10"])}
    )
    assert judged(bought, held).both == 1


def test_every_rule_has_evidence_and_every_model_a_reason():
    bills, held = subscriptions(150)
    found = judged(pd.concat([bills, shop(200)]), held)
    rules, models = found.rules(), found.models()
    assert len(rules) == 5 and rules["found"].str.contains(r"\d").sum() >= 4
    assert (models["because"] != "").all() and models["admitted"].isin(["yes", "beside", "no"]).all()
    assert list(models.loc[models["admitted"] == "yes", "model"]) == [
        "sBG (shifted beta-geometric)", "BdW (beta-discrete-Weibull)", "BG/NBD", "MBG/NBD", "Pareto/NBD",
    ]  # fmt: skip
    assert set(models.loc[models["admitted"] != "yes", "model"]) == {"BG/BB", "Machine learning"}
    assert found.customers == found.only_contract + found.both + found.only_purchases
    assert FEW < found.under_contract < 1 - FEW


def test_models_that_are_not_admitted_say_why():
    free, bound = judged(shop(200)).models(), judged(*subscriptions(200)).models()
    why = free.set_index("model").loc["sBG (shifted beta-geometric)"]
    assert why["admitted"] == "no" and "nobody is seen to leave" in why["because"]
    why = bound.set_index("model").loc[["Pareto/NBD", "Machine learning"]]
    assert (
        (why["admitted"] == "no").all()
        and "bills" in why["because"].iloc[0]
        and "read" in why["because"].iloc[1]
    )
