"""A study whose shop was shut, and had a sale: with and without its windows, and what the report shows of them."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
import yaml

from clvkit import processes
from clvkit.champion import choose
from clvkit.chapters.calendar import exhibits, windows
from clvkit.chapters.choice import comparison
from clvkit.clock import Clock
from clvkit.errors import FitError
from clvkit.study import load_study
from clvkit.workbench import Workbench

AS_OF, DAYS = date(2023, 12, 31), 728
SHUT, SALE = (date(2022, 8, 1), date(2022, 11, 13)), (date(2023, 5, 1), date(2023, 5, 28))
TRUTH = np.array([1.5, 8.0, 0.8, 4.0])  # of MBG/NBD, in weeks
WINDOWS = [
    {"first": str(SHUT[0]), "last": str(SHUT[1]), "reason": "flood", "treatment": "compress", "speed": 0},
    {"first": str(SALE[0]), "last": str(SALE[1]), "reason": "sale", "treatment": "compress", "speed": 2.5},
]


def write_study(folder, customers=2000, seed=4):
    """Two years of a shop that nobody could buy at while it was shut, and everybody bought more at in the sale."""
    rng = np.random.default_rng(seed)
    days = pd.date_range(AS_OF - timedelta(days=DAYS), AS_OF)
    speed = np.ones(len(days))
    for (first, last), factor in ((SHUT, 0.0), (SALE, 2.5)):
        speed[(days >= pd.Timestamp(first)) & (days <= pd.Timestamp(last))] = factor
    clock = Clock.of_days(AS_OF, days[0].date(), speed)
    born = -rng.integers(30, DAYS, customers).astype(float)
    drawn = processes.get("mbgnbd").simulate(TRUTH, -clock.reading(born) / 7, rng)
    moment = clock.moment(clock.reading(born)[drawn.customer] + 7 * drawn.time)
    who = np.concatenate([np.arange(customers), drawn.customer])
    when = np.concatenate([born, np.ceil(moment)])
    orders = pd.DataFrame({"customer_id": who, "date": [AS_OF + timedelta(days=int(day)) for day in when]})
    orders["amount"] = np.round(20 + rng.gamma(4.0, 5.0, len(orders)), 2)
    orders.to_csv(folder / "orders.csv", index=False)
    study = {
        "name": "flooded", "title": "Flooded", "currency": "EUR", "as_of": str(AS_OF),
        "ledger": {"path": "orders.csv", "date_format": "%Y-%m-%d"},
        "models": {"processes": ["mbgnbd"], "headline": "mbgnbd", "sampled": []},
        "calendar": {"windows": WINDOWS},
        "value": {"margin": 0.3, "annual_discount_rate": 0.1, "horizon_months": 12},
        "backtest": {"origins": ["2023-06-30"]},
    }  # fmt: skip
    (folder / "study.yml").write_text(yaml.safe_dump(study, sort_keys=False))
    return folder / "study.yml"


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flooded")
    return Workbench(
        load_study(write_study(folder)), study_folder=folder / "reports", folder=folder / "draft", stem="04_value"
    )  # fmt: skip


@pytest.fixture(scope="module")
def treatments(bench):
    return bench.get("treatments")


def test_results_with_and_without(bench, treatments):
    found = treatments.set_index("how")
    print(found.to_string())
    assert list(found.index) == [
        "nothing acted on",
        "all windows: compress",
        "all windows: estimate",
        "as the study says",
    ]
    assert found["used"].tolist() == [False, False, False, True] and not found["why"].any()
    without, used = found.loc["nothing acted on"], found.loc["as the study says"]
    assert used["rate"] == pytest.approx(TRUTH[0] / TRUTH[1], rel=0.1)
    assert without["rate"] < 0.95 * used["rate"]
    assert used["log_likelihood"] > without["log_likelihood"] + 50
    assert found.loc["all windows: compress", "equity"] == pytest.approx(used["equity"])
    assert found.loc["all windows: estimate", "log_likelihood"] >= used["log_likelihood"] - 1e-3
    assert abs(without["equity"] / used["equity"] - 1) > 0.01
    # what the study uses is what its fits are
    assert bench.fit().mle[1] == pytest.approx(used["alpha"], rel=1e-6)


def test_the_windows_are_among_the_exhibits(bench, treatments):
    shown = {
        one.name: one for one in exhibits(bench.calendar(), treatments, bench.study) if hasattr(one, "name")
    }
    assert list(shown) == ["calendar_windows", "calendar_treatments"]
    listed = shown["calendar_windows"]
    assert listed.title.startswith("Windows of days unlike others: 2 named, of which 2 act on")
    frame = listed.frame.set_index("reason")
    assert frame["speed"].to_dict() == {"flood": 0, "sale": 2.5} and frame.loc["flood", "days"] == 105
    assert set(frame["treatment"]) == {"purchase time at the speed given"}
    beside = shown["calendar_treatments"]
    assert beside.title.startswith("With its calendar the study values the customers ")
    assert beside.frame["how"].tolist()[-1] == "as the study says, used"


def test_a_window_that_is_only_listed_does_not_act(bench):
    listed = [one | {"treatment": "ignore", "speed": 0} for one in WINDOWS]
    study = load_study(
        bench.study_folder.parent / "study.yml", {"calendar": yaml.safe_dump({"windows": listed})}
    )
    table = windows(
        Workbench(study, study_folder=bench.study_folder, folder=bench.folder, stem="04_value").calendar(),
        study,
    )
    assert "of which none act" in table.title and set(table.frame["treatment"]) == {"listed only"}


def test_purchases_in_a_window_that_was_shut_are_told_before_anything_is_fitted(bench, tmp_path):
    listed = [WINDOWS[0] | {"first": "2023-06-01", "last": "2023-06-07"}]
    assert bench.sufficiency()  # in the true window nobody bought
    study = load_study(
        bench.study_folder.parent / "study.yml", {"calendar": yaml.safe_dump({"windows": listed})}
    )
    wrong = Workbench(study, study_folder=tmp_path / "reports", folder=tmp_path / "draft", stem="04_value")
    with pytest.raises(
        FitError, match=r"nothing could be bought from 2023-06-01 to 2023-06-07 .flood., by the study, but"
    ):
        wrong.sufficiency()


def test_the_calendar_has_to_earn_its_place_in_the_comparison(bench):
    tried = {one.process: one for one in bench.backtests()}
    assert set(tried) == {"mbgnbd", "mbgnbd_without_calendar"}
    assert tried["mbgnbd"].fit.clock is not None and tried["mbgnbd_without_calendar"].fit.clock is None
    fits = bench.candidates()
    assert fits["mbgnbd_without_calendar"].label == "MBG/NBD without the calendar"
    assert fits["mbgnbd"].log_likelihood > fits["mbgnbd_without_calendar"].log_likelihood + 100
    choice = choose(fits, bench.backtests(), bench.study.models.valued_with)
    shown = comparison(choice).frame.set_index("label")
    assert {"MBG/NBD", "MBG/NBD without the calendar"} <= set(shown.index)
    assert choice.table.set_index("process").loc["mbgnbd", "refines"] == "mbgnbd_without_calendar"
