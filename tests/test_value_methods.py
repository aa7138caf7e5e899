"""Ways to value side by side: they add up, are refused with reasons, and the recommendation follows from the facts."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from small_company import write_small_study

from clvkit.chapters import value_methods as words
from clvkit.study import load_study
from clvkit.value_methods import METHODS, Facts, Methods, recommend, refusals
from clvkit.workbench import Workbench

GOOD = Facts("non_contractual", 0.4, 12.0, True, False, {"repeated": 9.0, "cohort": 8.0, "process": 7.0, "machine": 6.0,
             "contracts": float("nan")}, 0.02)  # fmt: skip


def bench(folder, **sections) -> Workbench:
    study = load_study(write_small_study(folder / "params", **sections))
    return Workbench(study, study_folder=folder / "reports", folder=folder / "draft", stem="x")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return bench(
        tmp_path_factory.mktemp("methods"),
        models={"processes": ["paretonbd"]},
        challenger={"use": "compare", "bootstrap": 200},
    )


@pytest.fixture(scope="module")
def found(run):
    return run.methods()


def test_historical_and_residual_are_the_total(found):
    each = found.groups
    assert (each["historical"] + each["residual"] - each["total"]).abs().max() <= 1e-9 * each["total"].max()
    parts, whole = each.iloc[:-1], each.iloc[-1]
    for name in ("customers", "historical", "repeated", "cohort", "process", "machine", "residual", "total"):
        assert parts[name].sum() == pytest.approx(whole[name], rel=1e-9), name


def test_each_way_ties_to_what_it_is_made_of(run, found):
    table, all_ = found.table.set_index("method"), found.groups.iloc[-1]
    sold = float(run.ledger().purchases.amount_minor.sum().execute()) / 100
    assert all_["historical"] == pytest.approx(0.3 * sold, rel=1e-12)
    assert table.loc["process", "value"] == run.valuation().estimates["customer_equity"].value
    latest = run.backtests().latest
    assert table.loc["process", "error"] == latest.bias_value
    assert table.loc["repeated", "error"] == latest.baselines["last_period"].bias_value
    days, rate = 36 * 365.25 / 12, np.log(1.1) / 365.25
    purchases = run.ledger().purchases.to_pandas().assign(day=lambda t: pd.to_datetime(t["day"]))
    first = purchases.groupby("customer")["day"].transform("min")
    window = (pd.Timestamp("1998-06-30") - purchases["day"].min()).days + 1
    again = purchases.loc[purchases["day"] > first, "amount_minor"].sum() / 100
    assert table.loc["repeated", "value"] == pytest.approx(
        0.3 * again / window * (1 - np.exp(-rate * days)) / rate, rel=1e-9
    )
    assert table.loc["machine", "error_each"] > 0 and table["error_each"].notna().sum() == 4


def test_the_forecast_of_a_process_is_the_back_tests_own(run):
    board = run.challenge().board.set_index("name")
    latest = run.backtests().latest
    assert board.loc["paretonbd", "rmse"] == pytest.approx(latest.accuracy.rmse, rel=0.02)  # fewer draws
    assert board.loc["paretonbd", "revenue"] == pytest.approx(latest.predicted["value"].value, rel=0.03)
    for name, one in latest.baselines.items():
        assert board.loc[name, "rmse"] == pytest.approx(one.accuracy.rmse, rel=1e-9)
        assert board.loc[name, "revenue"] == pytest.approx(one.value, rel=1e-9)


def test_it_is_kept_and_said(found, tmp_path):
    found.save(tmp_path)
    again = Methods.load(tmp_path)
    pd.testing.assert_frame_equal(again.groups, found.groups)
    (said,) = words.answer(again)
    assert said.text.startswith("**Recommended: ") and "because" in said.text
    (table,) = words.methods(again)
    assert list(table.frame["label"])[-1] == "Recommended" and len(table.frame) == len(METHODS) + 2
    assert "as if they were still here" in table.frame["verdict"].iloc[1]
    (by,) = words.groups(again)
    assert list(by.frame["group"])[-1] == "All customers"
    assert words.as_results(again)["recommended"] == found.recommended


class TestRefusals:
    def test_few_repeaters(self):
        facts = replace(GOOD, repeaters=0.07)
        assert "7.0 % of customers bought again" in refusals(facts)["process"]
        use, because = recommend(facts)
        assert use == "cohort" and "7.0 %" in because

    def test_less_than_two_cycles(self):
        facts = replace(GOOD, cycles=1.4)
        assert "1.4 usual gaps" in refusals(facts)["process"] and recommend(facts)[0] == "cohort"
        assert "process" not in refusals(replace(GOOD, cycles=2.0, repeaters=0.10))

    def test_less_than_two_renewals(self):
        facts = replace(GOOD, kind="contractual", cycles=1.2, values=GOOD.values | {"contracts": 5.0})
        assert (
            "fewer than two renewals" in refusals(facts)["contracts"] and recommend(facts)[0] == "historical"
        )
        assert recommend(replace(facts, cycles=2.0))[0] == "contracts"

    def test_historical_counts_those_who_left(self):
        assert "those who have left" in refusals(GOOD)["repeated"]

    def test_contractual_refuses_what_goes_by_orders(self):
        facts = replace(GOOD, kind="contractual", values=GOOD.values | {"contracts": 5.0})
        assert set(refusals(facts)) == {"process", "machine", "cohort", "repeated"}
        assert recommend(facts)[0] == "contracts"

    def test_the_machine_is_recommended_only_where_it_won(self):
        assert recommend(GOOD)[0] == "process"
        assert recommend(replace(GOOD, machine=True))[0] == "machine"
        none = replace(GOOD, machine=True, values=GOOD.values | {"machine": float("nan")})
        assert recommend(none)[0] == "process"

    def test_stability_is_said(self):
        assert "its total held" in recommend(GOOD)[1]
        assert "16.0 % too low" in recommend(replace(GOOD, stable=False, error=-0.16))[1]
        assert "has not been tried" in recommend(replace(GOOD, stable=None))[1]

    def test_nothing_but_what_they_brought(self):
        facts = replace(GOOD, repeaters=0.0, values=dict.fromkeys(METHODS, float("nan")))
        assert recommend(facts)[0] == "historical"


class TestWhereItCannotBeDone:
    def test_a_study_of_few_repeaters_has_no_probabilistic_column(self, tmp_path):
        from small_company import SAMPLE  # one purchase each, but for one customer in twenty

        frame = pd.read_csv(SAMPLE)
        once = frame.drop_duplicates("customer_id")
        some = once["customer_id"].iloc[::20]
        kept = pd.concat(
            [
                once,
                frame[
                    frame["customer_id"].isin(some)
                    & frame.index.isin(once.index.symmetric_difference(frame.index))
                ],
            ]
        )
        path = write_small_study(
            tmp_path / "params",
            backtest={"origins": []},
            challenger={"use": "compare"},
            models={"processes": ["paretonbd"]},
        )
        kept.sort_index().to_csv(tmp_path / "params" / "small.csv", index=False)
        study = load_study(path)
        found = Workbench(
            study, study_folder=tmp_path / "reports", folder=tmp_path / "draft", stem="x"
        ).methods()
        assert found.repeaters < 0.1 and found.groups["process"].isna().all()
        row = found.table.set_index("method").loc["process"]
        assert np.isnan(row["value"]) and "bought again" in row["note"] and not row["admitted"]
        assert found.recommended in ("cohort", "historical")

    def test_without_an_origin_everything_says_so(self, tmp_path):
        from clvkit.chapters import challenger

        run = bench(
            tmp_path,
            backtest={"origins": []},
            challenger={"use": "compare"},
            models={"processes": ["paretonbd"]},
        )
        found = run.challenge()
        assert "names no earlier date" in found.refused
        assert "No machine could be tried" in challenger.answer(found)[0].text
        assert challenger.board(found) == challenger.drivers(found) == challenger.feasibility(found) == []
        assert challenger.checks(found)[0].status == "info"
        made = run.methods()
        assert made.recommended == "process" and made.stable is None
        assert (
            made.table.set_index("method")
            .loc["machine", "note"]
            .startswith("the study names no earlier date")
        )

    def test_not_asked_for(self):
        from clvkit.chapters import challenger

        assert "use: none" in challenger.answer(None)[0].text and challenger.checks(None) == []
        assert challenger.as_results(None) is None
