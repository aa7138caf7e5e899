"""Customers valued as their segment: at its mean, draw by draw, in every figure, and still in the fit."""

from datetime import date

import cdnow_frames
import numpy as np
import pandas as pd
import pytest
from small_company import write_small_study

import clvkit
from clvkit.averaging import COMPANY, MARK, SEGMENT, marked, segment_means, totals
from clvkit.errors import DataError
from clvkit.outcomes import simulate_by_group
from clvkit.sensitivity import SensitivitySection, one_way
from clvkit.valuation import ONE_BY_ONE, Valuation, scores, valuation
from clvkit.value import Future, Terms, ValueSection, pair, sweep

SECTION = ValueSection(margin=0.3, annual_discount_rate=0.1, posterior_draws=50)
MONEY = {"minor_per_unit": 100, "days_per_year": 365.25}
TERMS = [(Terms.of(SECTION, 365.25), Future())]
KEYS = ["segment", "frequency", "recency_days", "T_days", "spend_minor"]


@pytest.fixture(scope="module")
def fits():
    purchases, spend = (cdnow_frames.fit(name) for name in ("paretonbd", "gammagamma"))
    return cdnow_frames.with_posterior(purchases), cdnow_frames.with_posterior(spend, seed=6)


def frames(by_rule):
    """Cells and score cells of the sample in three segments; ``by_rule`` tells each customer's rule, or None."""
    people = cdnow_frames.customers().reset_index(drop=True)
    people = people.assign(segment=np.array(["web", "till", "new"])[np.arange(len(people)) % 3])
    people[MARK] = people.apply(by_rule, axis=1)
    cells = people.groupby(KEYS[:-1], as_index=False)[["n", "spend_minor", "first_minor"]].sum()
    kinds = people.groupby(KEYS, as_index=False)["n"].sum()
    theirs = people[people[MARK].notna()].groupby([*KEYS, MARK], as_index=False)["n"].sum()
    return marked(cells, theirs), marked(kinds, theirs), people


def young(person):
    """Everybody of the segment `new`, and who bought once and late in the others."""
    if person["segment"] == "new":
        return "min_identity_confidence"
    return "min_history_days" if person["T_days"] < 480 and person["frequency"] == 0 else None


@pytest.fixture(scope="module")
def world():
    return frames(young)


@pytest.fixture(scope="module")
def valued(fits, world):
    cells, kinds, _ = world
    return valuation(*fits, cells, kinds, SECTION, as_of=date(1998, 6, 30), grain="month", currency="USD", seed=1,
                     **MONEY)  # fmt: skip


def test_marking_splits_cells_and_loses_nobody(world):
    cells, kinds, people = world
    for frame in (cells, kinds):
        assert frame["n"].sum() == len(people) and (frame["n"] > 0).all()
        by_rule = frame.groupby(frame[MARK].fillna("none"))["n"].sum()
        assert by_rule.to_dict() == people[MARK].fillna("none").value_counts().to_dict()
    assert cells["spend_minor"].sum() == people["spend_minor"].sum()
    assert (kinds["n"] * kinds["spend_minor"]).sum() == people["spend_minor"].sum()


def test_sums_are_the_mean_of_those_who_are_valued_one_by_one_draw_by_draw(fits, world):
    """Written out: value of a segment's own customers over their number, times everybody of the segment."""
    cells, _, _ = world
    draws = pair(*fits, 50)
    codes, names = pd.factorize(cells["segment"])
    (found,) = totals(*fits, draws, cells, [codes], TERMS, 100)[0]
    own = cells[cells[MARK].isna()]
    place = {name: own["segment"] == name for name in names}
    each = {name: sweep(*fits, draws, own[here], [np.zeros(here.sum(), int)], TERMS, 100)[0][0]
            for name, here in place.items() if here.any()}  # fmt: skip
    n = {name: own.loc[here, "n"].sum() for name, here in place.items()}
    assert n["new"] == 0
    everybody = cells.groupby("segment")["n"].sum()
    for what in ("alive", "purchases", "value"):
        company = sum(getattr(one, what)[:, 0] for one in each.values()) / sum(n.values())
        for column, name in enumerate(names):
            mean = getattr(each[name], what)[:, 0] / n[name] if n[name] else company
            np.testing.assert_allclose(getattr(found, what)[:, column], mean * everybody[name], rtol=1e-10)


def test_every_figure_tells_the_same_story(fits, world, valued):
    cells, kinds, _ = world
    equity = valued.estimates["customer_equity"]
    assert set(valued.groups) == {"frequency_class", "cohort", "segment", "valued_as"}
    for groups in valued.groups.values():
        assert groups["value"].sum() == pytest.approx(equity.value, rel=1e-10)
        assert groups["mle"].sum() == pytest.approx(equity.mle, rel=1e-10)
        assert groups["customers"].sum() == valued.customers == cells["n"].sum()
    each = scores(*fits, kinds, SECTION, seed=1, **MONEY)
    assert (each["n"] * each["clv"]).sum() == pytest.approx(equity.value, rel=1e-9)
    assert (each["n"] * each["p_alive"]).sum() == pytest.approx(valued.estimates["customers_alive"].value)
    moved = one_way(*fits, cells, SECTION, SensitivitySection(), currency="USD", **MONEY)
    assert moved.equity == equity
    assert list(valued.groups["valued_as"]["group"]) == [
        "min_history_days",
        "min_identity_confidence",
        ONE_BY_ONE,
    ]
    assert equity.low < equity.value < equity.high


def test_all_of_a_segment_are_worth_the_same_with_the_interval_of_the_mean(fits, world, valued):
    _, kinds, _ = world
    each = scores(*fits, kinds, SECTION, seed=1, **MONEY)
    figures = ["p_alive", "purchases", "clv", "clv_low", "clv_high", "outcome_low", "outcome_high"]
    averaged = each[each[MARK].notna()]
    assert (averaged.groupby("segment")[figures].nunique() == 1).all(axis=None)
    own = each[each[MARK].isna() & (each["segment"] == "web")]
    one = averaged[averaged["segment"] == "web"].iloc[0]
    assert one["clv"] == pytest.approx(np.average(own["clv"], weights=own["n"]), rel=1e-9)
    assert one["clv_low"] < one["clv"] < one["clv_high"]
    assert one["outcome_low"] == 0 < one["clv"] < one["outcome_high"]  # most customers bring nothing
    means = segment_means(*fits, kinds, SECTION, **MONEY).set_index("segment")
    assert means["valued_as"].to_dict() == {"web": SEGMENT, "till": SEGMENT, "new": COMPANY}
    assert means.loc["new", "clv"] == pytest.approx(
        np.average(each.loc[each[MARK].isna(), "clv"], weights=each.loc[each[MARK].isna(), "n"]), rel=1e-9
    )
    assert valued.one_by_one != pytest.approx(valued.estimates["customer_equity"].value, rel=1e-3)


def test_futures_are_those_of_somebody_of_the_segment(fits, world, valued):
    """Their simulated margin has the mean that they are valued at, and luck of its own."""
    _, kinds, _ = world
    draws = pair(*fits, 50)
    often = np.resize(np.arange(50), 400)
    codes, names = pd.factorize(kinds[MARK].fillna(ONE_BY_ONE), sort=True)
    _, (seen,) = simulate_by_group(
        *fits, draws[0][often], draws[1][often], kinds, [codes], *TERMS[0][:1], 100, 7
    )
    groups = valued.groups["valued_as"].set_index("group")
    for column, name in enumerate(names):
        error = seen[:, column].std() / np.sqrt(len(seen))
        assert seen[:, column].mean() == pytest.approx(groups.loc[name, "value"], abs=4 * error)
    outcome = valued.estimates["customer_equity_outcome"]
    assert outcome.low < outcome.value < outcome.high


def test_where_nobody_is_marked_nothing_changes(fits):
    cells, kinds, _ = frames(lambda person: None)
    assert cells[MARK].isna().all()
    draws, codes = pair(*fits, 50), pd.factorize(cells["segment"])[0]
    (found,), (plain,) = (one(*fits, draws, cells, [codes], TERMS, 100)[0] for one in (totals, sweep))
    assert np.array_equal(found.value, plain.value)
    assert len(scores(*fits, kinds, SECTION, **MONEY)) == len(kinds)


def test_somebody_must_be_left(fits):
    cells, kinds, _ = frames(lambda person: "min_history_days")
    with pytest.raises(DataError, match="nobody is left to take the mean of"):
        totals(*fits, pair(*fits, 50), cells, [np.zeros(len(cells), int)], TERMS, 100)
    with pytest.raises(DataError, match="lower at_least"):
        scores(*fits, kinds, SECTION, **MONEY)


def test_saved_and_loaded(valued, tmp_path):
    valued.save(tmp_path)
    loaded = Valuation.load(tmp_path)
    assert loaded.one_by_one == valued.one_by_one
    pd.testing.assert_frame_equal(loaded.groups["valued_as"], valued.groups["valued_as"])


def test_a_study_keeps_them_in_the_fit_and_leaves_the_excluded_out(tmp_path, monkeypatch):
    monkeypatch.setenv("CLVKIT_REPORTS", str(tmp_path / "reports"))
    plain = write_small_study(tmp_path / "params")
    excluded = sorted(pd.read_csv(plain.parent / "small.csv", dtype=str)["customer_id"].unique())[:2]
    rules = {"min_history_days": {"at_least": 480}, "exclude_accounts": {"staff": excluded}}
    run, other = clvkit.open_run(plain), clvkit.open_run(plain, ledger={"inclusion": rules})
    averaged = other.get("averaged")
    assert run.get("averaged").empty
    assert set(averaged["averaged_by"]) == {"min_history_days"} and (averaged["T_days"] < 480).all()
    assert run.cells()["n"].sum() - other.cells()["n"].sum() == 2
    young = other.cells().query("T_days < 480")["n"].sum()  # fitted to all the same
    assert averaged["n"].sum() == young > 10
    everybody = other.everybody().group_by("treatment").agg(n=lambda t: t.count()).to_pyarrow().to_pylist()
    assert {row["treatment"]: row["n"] for row in everybody}["exclude"] == 2
