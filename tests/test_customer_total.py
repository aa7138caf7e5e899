"""Purchases and contracts in one value: by hand, by draws, of single customers, and of a whole study of each kind."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from clvkit.chapters import customer_total as words
from clvkit.contract_export import UNDER_CONTRACT, WITH_CONTRACTS, with_contracts
from clvkit.customer_total import CustomerTotal, customer_total, each_customer, rule_for
from clvkit.export import export_scores
from clvkit.ledger.writeback import SCORES
from clvkit.runs import Run
from clvkit.study import load_study
from clvkit.workbench import Workbench

P, C, U = (
    np.array([100.0, 120.0, 110.0, 90.0]),
    np.array([30.0, 20.0, 25.0, 45.0]),
    np.array([40.0, 50.0, 30.0, 20.0]),
)
MAKE = {"interval": 0.9, "currency": "EUR"}


@pytest.mark.parametrize(
    "kind, billed, valued, rule",
    [("contractual", True, True, "contracts"), ("contractual", False, True, "contracts"), ("non_contractual", False, True, "purchases"),
     ("hybrid", False, True, "added"), ("hybrid", True, True, "instead"), ("hybrid", True, False, "purchases")],
)  # fmt: skip
def test_how_the_two_make_one_value(kind, billed, valued, rule):
    assert rule_for(kind, billed, valued) == rule


class TestTotals:
    @pytest.mark.parametrize(
        "rule, drawn, purchases, contracts",
        [
            ("purchases", P, P, None),
            ("contracts", C, None, C),
            ("added", P + C, P, C),
            ("instead", P - U + C, P - U, C),
        ],
    )
    def test_draw_by_draw(self, rule, drawn, purchases, contracts):
        found = customer_total(rule, P, C, under_contract=U, **MAKE)
        np.testing.assert_allclose(found.draws, drawn)
        assert found.total.value == pytest.approx(drawn.mean()) and found.total.low == pytest.approx(
            np.quantile(drawn, 0.05)
        )
        for part, of in ((found.purchases, purchases), (found.contracts, contracts)):
            assert part is None if of is None else part.value == pytest.approx(of.mean())

    def test_parts_add_up_and_intervals_do_not(self):
        rng = np.random.default_rng(0)
        one, other = rng.normal(100, 10, 4000), rng.normal(50, 10, 4000)
        found = customer_total("added", one, other, **MAKE)
        assert found.total.value == pytest.approx(found.purchases.value + found.contracts.value, rel=1e-12)
        assert found.total.low > found.purchases.low + found.contracts.low + 5

    def test_a_part_without_a_posterior_is_added_to_every_draw(self):
        np.testing.assert_allclose(customer_total("added", P, np.array([5.0]), **MAKE).draws, P + 5)

    def test_a_rule_without_its_parts_is_refused(self):
        with pytest.raises(ValueError, match="needs the draws"):
            customer_total("instead", P, C, **MAKE)

    def test_saving_loses_nothing(self, tmp_path):
        found = customer_total(
            "instead", P, C, under_contract=U, customers={"purchases": 3, "contracts": 2, "both": 0}, **MAKE
        )
        found.save(tmp_path)
        again = CustomerTotal.load(tmp_path)
        assert (again.rule, again.total, again.left_out, again.customers) == (
            found.rule,
            found.total,
            found.left_out,
            found.customers,
        )
        np.testing.assert_array_equal(again.draws, found.draws)


bought = pd.DataFrame(
    {
        "customer": ["a", "b"],
        "p_alive": [0.5, 1.0],
        "clv": [10.0, 20.0],
        "low": [7.0, 16.0],
        "high": [14.0, 26.0],
    }
)
held = pd.DataFrame(
    {"customer": ["b", "c"], "clv_contracts": [5.0, 8.0], "low": [2.0, 6.0], "high": [9.0, 11.0]}
)


class TestEachCustomer:
    def test_added(self):
        found = each_customer(bought, held, "added").set_index("customer")
        assert found["clv"].tolist() == [10.0, 25.0, 8.0] and found["clv_contracts"].tolist() == [
            0.0,
            5.0,
            8.0,
        ]
        # b: half-widths 4 and 3 below, 6 and 4 above
        assert found.loc["b", "low"] == pytest.approx(25 - 5) and found.loc["b", "high"] == pytest.approx(
            25 + np.hypot(6, 4)
        )
        assert found.loc["a", ["low", "high"]].tolist() == [7.0, 14.0] and found.loc[
            "c", ["low", "high"]
        ].tolist() == [6.0, 11.0]

    def test_a_contract_instead_of_its_bills(self):
        found = each_customer(bought, held, "instead").set_index("customer")
        assert found["clv"].tolist() == [10.0, 5.0, 8.0] and found["clv_purchases"].tolist() == [
            10.0,
            0.0,
            0.0,
        ]
        assert found.loc["b", ["low", "high"]].tolist() == [2.0, 9.0]

    def test_contracts_alone_and_purchases_alone(self):
        assert each_customer(bought, held, "contracts")["clv"].tolist() == [0.0, 5.0, 8.0]
        assert each_customer(bought, held, "purchases")["clv"].tolist() == [10.0, 20.0, 0.0]

    @pytest.mark.parametrize("rule", ["added", "instead", "contracts", "purchases"])
    def test_the_two_parts_are_the_whole_and_everybody_is_there_once(self, rule):
        found = each_customer(bought, held, rule)
        assert found["customer"].tolist() == ["a", "b", "c"]
        np.testing.assert_allclose(found["clv"], found["clv_purchases"] + found["clv_contracts"])


def test_blocks_of_scores_are_joined_and_the_rest_comes_last():
    rows = [{"customer": name, "p_alive": 0.5, "expected_purchases": 1.0, "clv": 10.0, "low": 8.0, "high": 12.0, "margin_so_far": 3.0,
             "total": 13.0, "valued_as": "customer", "as_of": date(2024, 6, 30), "run": "r"} for name in "ab"]  # fmt: skip
    batches = [pa.RecordBatch.from_pylist([row], schema=SCORES) for row in rows]
    reader = pa.RecordBatchReader.from_batches(SCORES, batches)
    made = with_contracts(reader, held, "added", as_of=date(2024, 6, 30), run="r").read_all().to_pandas()
    assert made.columns.tolist() == WITH_CONTRACTS.names and made["customer"].tolist() == ["a", "b", "c"]
    assert made["clv"].tolist() == [10.0, 15.0, 8.0] and made["total"].tolist() == [13.0, 18.0, 8.0]
    last = made.iloc[2]
    assert (
        last["valued_as"] == UNDER_CONTRACT
        and last["p_alive"] == 1
        and pd.isna(last["expected_purchases"])
        and last["run"] == "r"
    )


def write(folder: Path, *, billed: bool, kind: str = "hybrid") -> Path:
    """Customers who buy, customers under contract, and some who do both; bills are among the orders, or not."""
    rng, orders, contracts = np.random.default_rng(1), [], []
    days = pd.Timestamp("2022-01-01") + pd.to_timedelta(np.arange(900), unit="D")
    for k in range(240):
        name = f"K{k:03d}"
        if k % 3 != 1:  # a buyer
            for day in rng.choice(900, rng.integers(1, 8), replace=False):
                orders.append((name, days[day].date(), round(float(rng.gamma(6, 5)), 2)))
        if k % 3 != 0:  # under contract
            start = pd.Timestamp("2022-01-01") + pd.Timedelta(days=int(rng.integers(0, 700)))
            last = start + pd.DateOffset(months=int(rng.geometric(rng.beta(1, 9)))) - pd.Timedelta(days=1)
            contracts.append(
                (
                    f"C{k}",
                    name,
                    start.date(),
                    last.date() if last < pd.Timestamp("2024-06-18") else "",
                    "Basic",
                    12.0,
                )
            )
            while billed and start <= min(last, pd.Timestamp("2024-06-18")):
                orders.append((name, start.date(), 12.0))
                start = start + pd.DateOffset(months=1)
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(orders, columns=["customer", "date", "amount"]).to_csv(folder / "orders.csv", index=False)
    pd.DataFrame(contracts, columns=["contract", "customer", "start", "end", "plan", "fee"]).to_csv(
        folder / "contracts.csv", index=False
    )
    study = {
        "name": "both", "title": "Both", "currency": "EUR", "as_of": "2024-06-18", "business_model": kind,
        "ledger": {"sources": {
            "orders": {"path": "orders.csv", "columns": {"customer": "customer", "date": "date", "amount": "amount"}, "date_format": "%Y-%m-%d"},
            "contracts": {"holds": "contracts", "path": "contracts.csv", "account_space": "orders", "date_format": "%Y-%m-%d",
                          "fields": {name: name for name in ("contract", "customer", "start", "end", "plan", "fee")}},
        }},
        "contracts": {"source": "contracts"},
        "models": {"processes": ["bgnbd"], "headline": "bgnbd", "sampled": [],
                   "sampler": {"method": "laplace", "draws": 100, "tune": 100, "chains": 2}},
        "value": {"margin": 0.4, "annual_discount_rate": 0.1, "posterior_draws": 50},
    }  # fmt: skip
    file = folder / "both.yml"
    file.write_text(yaml.safe_dump(study, sort_keys=False))
    return file


def opened(root: Path, **said) -> tuple[Workbench, Run]:
    """The study at hand, and a run of it as far as an export looks."""
    study = load_study(write(root / "params", **said))
    folder = root / "reports" / study.name / study.as_of.isoformat() / "aaaa0001"
    folder.mkdir(parents=True)
    bench = Workbench(study, study_folder=folder.parent.parent, folder=folder, stem="04b_contracts")
    if bench.kind_of_business().used != "contractual":
        bench.valuation()
    bench.get("contract_scores"), bench.get("customer_total")
    manifest = {"run_id": "aaaa0001", "study": study.name, "as_of": study.as_of.isoformat(), "state": "complete",
                "resolved": study.resolved(), "artifacts": bench.part["artifacts"], "command": "clv run both.yml",
                "inputs": bench.inputs}  # fmt: skip
    (folder / "run.json").write_text(json.dumps(manifest))
    return bench, Run.open(folder)


@pytest.mark.parametrize("billed, rule", [(False, "added"), (True, "instead")])
def test_a_hybrid_counts_each_customers_money_once(tmp_path, billed, rule):
    bench, run = opened(tmp_path, billed=billed)
    assert bench.kind_of_business().bills_among_orders == billed
    total, value, bought = bench.get("customer_total"), bench.get("contract_value"), bench.valuation()
    assert total.rule == rule and total.contracts.value == pytest.approx(value.equity.value, rel=1e-12)
    equity = bought.estimates["customer_equity"].value
    if rule == "added":
        assert total.purchases.value == pytest.approx(equity, rel=1e-9)
    else:
        assert total.purchases.value + total.left_out.value == pytest.approx(equity, rel=1e-9)
        assert total.total.value < equity + value.equity.value
    assert total.total.value == pytest.approx(total.purchases.value + total.contracts.value, rel=1e-9)
    done = export_scores(run, str(tmp_path / "scores.csv"), "test")
    frame = pd.read_csv(tmp_path / "scores.csv", dtype={"customer": str})
    assert frame["customer"].is_unique and done.rows == len(frame)
    assert frame["clv_contracts"].sum() == pytest.approx(value.equity.value, rel=1e-9)
    assert frame["clv"].sum() == pytest.approx(total.total.value, rel=1e-6)
    np.testing.assert_allclose(frame["clv"], frame["clv_purchases"] + frame["clv_contracts"])
    under = frame["clv_contracts"] > 0
    counts = total.customers
    assert counts["purchases"] + counts["contracts"] + counts["both"] == (len(frame))
    if rule == "instead":
        assert (frame.loc[under, "clv_purchases"] == 0).all() and under.sum() == counts["contracts"]
    shown = words.exhibits(total, bench.study)
    assert len(shown) == 2 and shown[1].frame["value"].iloc[-1] == total.total.value
    (check,) = words.checks(bench.get("contract_scores"), value)
    assert check.status == "pass" and words.metrics(total)["customer_equity_total"] == total.total


def test_a_contractual_business_is_worth_its_contracts(tmp_path):
    bench, run = opened(tmp_path, billed=True, kind="contractual")
    total, value = bench.get("customer_total"), bench.get("contract_value")
    assert total.rule == "contracts" and total.total.value == value.equity.value and total.purchases is None
    export_scores(run, str(tmp_path / "scores.csv"), "test")
    frame = pd.read_csv(tmp_path / "scores.csv", dtype={"customer": str})
    assert (
        frame["clv"].sum() == pytest.approx(value.equity.value, rel=1e-9)
        and (frame["valued_as"] == UNDER_CONTRACT).all()
    )
    assert len(words.exhibits(total, bench.study)) == 1
    # what was brought and what is to come make the total, of each and of all
    revenue = int(bench.ledger().purchases.amount_minor.sum().execute()) / bench.minor_per_unit
    np.testing.assert_allclose(frame["margin_so_far"] + frame["clv"], frame["total"], rtol=1e-9)
    assert frame["margin_so_far"].sum() == pytest.approx(bench.study.value.margin * revenue, rel=1e-9)
    assert frame["customer"].is_unique and set(frame["p_alive"]) <= {0.0, 1.0}
    methods = bench.methods()
    groups = (
        methods.groups.iloc[:-1] if methods.groups["group"].iloc[-1] == "All customers" else methods.groups
    )
    np.testing.assert_allclose(groups["historical"] + groups["residual"], groups["total"], rtol=1e-9)
    assert groups["total"].notna().all() and methods.scheme == "plan"


def test_a_sum_that_is_off_stops_a_report():
    from types import SimpleNamespace

    from clvkit.estimate import Estimate

    value = SimpleNamespace(equity=Estimate(13.5, unit="EUR"))
    (check,) = words.checks(held, value)
    assert check.status == "fail" and check.stops
