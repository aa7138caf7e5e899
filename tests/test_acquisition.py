"""Acquisition by channel: costs to the cent, values that add up, payback as the curve has it, and no false differences."""

import json
from datetime import date

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from study_files import PARAMS

from clvkit.acquisition import NO_CHANNEL, OUTSIDE, _payback, _quantiles, channel_of, economics, outlay_of
from clvkit.averaging import MARK, totals
from clvkit.chapters import acquisition as words
from clvkit.customers import cells, score_cells, spend_cells
from clvkit.errors import DataError, StudyError
from clvkit.fitting import fit_process, fit_spend
from clvkit.models_section import ModelsSection
from clvkit.segments import fit_process_by_segment, fit_spend_by_segment
from clvkit.simulate.people import draw_people
from clvkit.simulate.plan import SPEND, Plan
from clvkit.study import load_study
from clvkit.value import Future, Terms, ValueSection, pair

START, END = date(2022, 7, 1), date(2024, 12, 31)
VALUE = ValueSection(margin=0.4, annual_discount_rate=0.1)
ASKED = {"as_of": END, "minor_per_unit": 100, "days_per_year": 365.25, "seed": 1}


def world(seed: int, customers: int = 1200, twice: str | None = None) -> pd.DataFrame:
    """A summary of customers alike in all channels, with the ``channel`` that won each; one may spend twice as much."""
    plan = Plan(customers, seed, START, END, (), "EUR", season=False)
    people, who, when = draw_people(plan)
    rng = np.random.default_rng([seed, 1])
    mean = np.array([p.mean_spend * (2 if p.acquired_by == twice else 1) for p in people])
    minor = np.rint(100 * rng.gamma(SPEND["p"], mean[who] / SPEND["p"])).astype(np.int64)
    bought = pd.DataFrame({"who": who, "day": np.minimum(when.astype(int), plan.days - 1), "minor": minor})
    days = bought.groupby(["who", "day"], as_index=False)["minor"].sum()
    each = days.groupby("who").agg(first=("day", "min"), last=("day", "max"), n=("day", "size"),
                                   all=("minor", "sum"), first_minor=("minor", "first"))  # fmt: skip
    return pd.DataFrame({
        "customer": [f"{k:05d}" for k in each.index], "segment": "all", "frequency": each["n"] - 1,
        "recency_days": each["last"] - each["first"], "T_days": plan.days - 1 - each["first"],
        "spend_minor": each["all"] - each["first_minor"], "first_minor": each["first_minor"],
        "channel": [people[k].acquired_by for k in each.index],
    })  # fmt: skip


def fitted(people: pd.DataFrame, sample: bool = False):
    """Purchases and spend, fitted to them."""
    import ibis

    summary = ibis.memtable(people.drop(columns="channel"))
    models = ModelsSection(
        headline="bgnbd", sampled=("bgnbd", "gammagamma") if sample else (), time_unit="month"
    )
    amounts = fit_spend(spend_cells(summary), models, 100, sample=sample)
    return fit_process("bgnbd", cells(summary), models, sample=sample), amounts


def spent(**channels: float) -> pd.DataFrame:
    """A marketing table with the same spend in every month of the world."""
    months = pd.date_range(START, END, freq="MS")
    rows = [(m, name, amount) for m in months for name, amount in channels.items()]
    return pd.DataFrame(rows, columns=["date", "channel", "amount"])


def outlay(table: pd.DataFrame):
    return outlay_of(table, "EUR", 100, END)


@pytest.fixture(scope="module")
def known():
    people = world(1)
    return people, *fitted(people)


class TestSection:
    @pytest.mark.parametrize(
        ("section", "said"),
        [
            ("{by: acquired_by, spend: null}", "acquisition must have spend where it has by"),
            ("{by: acquired_bye, spend: marketing}", "which no customers table has .*did you mean 'acquired_by'"),
            ("{by: acquired_by, spend: tickets}", r"must be a source that holds marketing \(got 'tickets'\)"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_said(self, section, said):
        with pytest.raises(StudyError, match=said):
            load_study(PARAMS / "acme.yml", {"acquisition": section})

    def test_it_is_off_by_default(self):
        study = load_study(PARAMS / "cdnow.yml")
        (said,) = words.exhibits(None, None, study)
        assert "`acquisition` is empty" in said.text and words.checks(None, None) == []
        assert words.as_results(None) == {}


class TestOutlay:
    def test_every_row_is_somewhere(self):
        table = pd.DataFrame(
            [("2024-11-01", "search", 10.01, "EUR"), ("2024-12-01", "search", 0.10, None), ("2024-12-09", None, 5.0, "EUR"),
             ("2025-01-01", "search", 7.0, "EUR"), ("2024-12-01", "social", 3.0, "CHF")],
            columns=["date", "channel", "amount", "currency"],
        )  # fmt: skip
        found = outlay(table)
        assert [str(one) for one in found.months] == ["2024-11", "2024-12"]
        assert found.by_channel == {"search": 1011}
        assert found.rest == {"without a channel": 500, "in other months": 700}
        assert found.abroad == {"CHF": 300} and found.total == 2211

    def test_a_month_that_has_not_ended_does_not_count(self):
        with pytest.raises(DataError, match="no month of spend in EUR has ended by 2024-12-30"):
            outlay_of(spent(search=1.0).tail(1), "EUR", 100, date(2024, 12, 30))


def test_the_most_frequent_channel_counts():
    table = pd.DataFrame(
        {"account_shop": ["a", "a", "a", "b"], "about_by": ["search", "social", "social", " stores "]}
    )
    chosen, torn = channel_of([table], None, "by")
    assert chosen.to_dict() == {"a": "social", "b": "stores"} and torn == 0.5


def test_costs_are_right_to_the_cent_and_all_adds_up(known):
    people, fit, amounts = known
    people = people.assign(channel=people["channel"].where(np.arange(len(people)) % 7 > 0))
    table = spent(search=812.35, social=77.77, affiliate=1500.0, stores=3.33, radio=100.0)
    table = table[table["date"] >= "2023-01-01"]
    found = economics(fit, amounts, people, outlay(table), VALUE, **ASKED)
    by = found.channels.set_index("channel")
    first = pd.Timestamp(END) - pd.to_timedelta(people["T_days"], unit="D")
    for name, monthly in (("search", 812.35), ("social", 77.77), ("affiliate", 1500.0), ("stores", 3.33)):
        won = int(((people["channel"] == name) & (first >= "2023-01-01")).sum())
        assert by.loc[name, "customers"] == won > 50
        assert by.loc[name, "cac"] == pytest.approx(round(24 * monthly * 100) / won / 100, abs=1e-9)
    assert by.loc["radio", "customers"] == 0 and by.loc["radio", "spend"] == 2400.0
    assert np.isnan(by.loc["radio", ["cac", "clv", "apart", "payback"]].astype(float)).all()
    holders = found.holders.set_index("group")
    assert holders["customers"].sum() == len(people)
    assert (
        holders.loc[NO_CHANNEL, "customers"]
        == (people["channel"].isna() & (first >= "2023-01-01").to_numpy()).sum()
    )
    assert holders.loc[OUTSIDE, "customers"] == (first < "2023-01-01").sum()
    assert holders["value"].sum() == pytest.approx(equity(fit, amounts, people), rel=1e-9)


def equity(fit, amounts, people) -> float:
    """Customer equity as the valuation has it: cells of all customers, and no channels."""
    import ibis

    frame = cells(ibis.memtable(people[[c for c in people if c not in ("channel", MARK)]]))
    terms = [(Terms.of(VALUE, 365.25), Future())]
    draws = pair(fit, amounts, VALUE.posterior_draws)
    (one,) = totals(fit, amounts, draws, frame, [np.zeros(len(frame), int)], terms, 100)[0]
    return float(one.value.sum(axis=1).mean())


def test_customers_valued_as_their_segment_are_in_the_sum(known):
    people, fit, amounts = known
    young = people["T_days"] < 60
    marked = people.assign(**{MARK: np.where(young, "min_history_days", None)})
    found = economics(fit, amounts, marked, outlay(spent(search=1.0)), VALUE, **ASKED)
    old = equity(fit, amounts, people[~young])
    expected = old * len(people) / (~young).sum()  # the young at the mean of the others
    assert found.holders["value"].sum() == pytest.approx(expected, rel=1e-9)


def test_payback_is_where_the_curve_reaches_the_cost(known):
    people, fit, amounts = known
    found = economics(fit, amounts, people, outlay(spent(search=1.0, social=900.0)), VALUE, **ASKED)
    by, curve = found.channels.set_index("channel"), found.curve
    mean = SPEND["p"] * SPEND["gamma"] / (SPEND["q"] - 1)
    assert curve["margin"].iloc[0] == pytest.approx(0.4 * mean, rel=0.1)  # the first purchase
    assert (curve["margin"].diff().iloc[1:] > 0).all() and len(curve) == 37
    assert by.loc["search", "payback"] == 0.0  # some cents
    month, cost = by.loc["social", "payback"], by.loc["social", "cac"]
    assert 0 < month < 36 and np.interp(month, curve["months"], curve["margin"]) == pytest.approx(cost)
    assert np.isnan(by.loc["social", "payback_low"])  # maximum likelihood alone has no interval
    assert np.isnan(by.loc["affiliate", "payback"])  # nobody says what it cost


def test_what_is_never_paid_back_is_said_so():
    curve = np.array([[10.0, 20.0, 25.0], [10.0, 30.0, 50.0], [5.0, 6.0, 7.0]])
    months = _payback(curve, 25.0)
    np.testing.assert_allclose(months, [2.0, 0.75, np.inf])
    np.testing.assert_allclose(_quantiles(months, 0.9), [0.75, 2.0, np.inf])
    assert np.isinf(_payback(curve, 51.0)).all() and (_payback(curve, 5.0) == 0).all()


def test_a_posterior_gives_intervals_and_words(known):
    people, *_ = known
    fit, amounts = fitted(people, sample=True)
    table = spent(search=812.35, social=500.0, affiliate=9000.0, stores=3.33)
    found = economics(fit, amounts, people, outlay(table), VALUE, **ASKED)
    by = found.channels.set_index("channel")
    assert (by["low"] < by["clv"]).all() and (by["clv"] < by["high"]).all()
    assert by.loc["social", "payback_low"] < by.loc["social", "payback"] < by.loc["social", "payback_high"]
    assert np.isinf(by.loc["affiliate", "payback"])
    study = load_study(PARAMS / "acme.yml")
    table = words.costs(found, study).frame.set_index("channel")
    assert table.loc["affiliate", "payback"] == "not within 36"
    assert (
        table.loc["stores", "payback"] == "with the first purchase"
        and " to " in table.loc["social", "payback"]
    )
    assert "1 of 4 channels not paid back" in words.costs(found, study).title
    assert json.loads(json.dumps(words.as_results(found), allow_nan=False))["channels"][0]["payback"] is None


@pytest.fixture(scope="module")
def alike(known):
    """In how many worlds whose channels are alike zero lies within one channel's interval, and no channel is said to differ."""
    _, fit, amounts = known
    one, seeds = outlay(spent(search=1.0, social=1.0, affiliate=1.0, stores=1.0)), range(100, 180)
    inside = silent = 0
    for seed in seeds:
        by = economics(fit, amounts, world(seed, 1000), one, VALUE, **ASKED | {"seed": seed}).channels
        social = by.set_index("channel").loc["social"]
        inside += social["apart_low"] <= 0 <= social["apart_high"]
        silent += not by["differs"].any()
    print(
        f"of {len(seeds)} worlds zero is within the interval in {inside}, and no channel is said to differ in {silent}"
    )
    return inside, silent, len(seeds)


@pytest.mark.slow
def test_intervals_of_differences_hold_zero_as_often_as_they_say(alike):
    inside, _, worlds = alike
    assert binom.cdf(inside, worlds, 0.9) > 0.01  # nine times in ten, or chance has it


def test_channels_that_are_alike_are_not_said_to_differ(alike):
    _, silent, worlds = alike
    assert binom.cdf(silent, worlds, 0.9) > 0.01  # all four of them together


def test_a_channel_that_is_worth_more_is_found():
    people = world(3, 2500, twice="social")
    fit, amounts = fitted(people)
    found = economics(fit, amounts, people, outlay(spent(search=1.0)), VALUE, **ASKED)
    by = found.channels.set_index("channel")
    assert by.loc["social", "differs"] and by.loc["social", "apart_low"] > 0
    assert "social more" in words.differences(found, load_study(PARAMS / "acme.yml")).title
    assert (
        by.loc["social", "clv"]
        == pytest.approx(found.holders.set_index("group").loc["social", "value"] / by.loc["social", "customers"])
    )  # fmt: skip


def test_with_the_channel_as_segment_each_pays_back_by_its_own_customers():
    people = world(3, 2500, twice="social")
    people = people.assign(segment=people["channel"])
    models, summary = ModelsSection(headline="bgnbd", time_unit="month"), people.drop(columns="channel")
    import ibis

    table = ibis.memtable(summary)
    fit = fit_process_by_segment("bgnbd", cells(table), models, sample=False)
    amounts = fit_spend_by_segment(score_cells(table), models, 100, sample=False)
    count = people["channel"].value_counts()
    cost = 60.0  # of every customer, by whichever channel, over the thirty months
    found = economics(
        fit,
        amounts,
        people,
        outlay(spent(**{name: cost * n / 30 for name, n in count.items()})),
        VALUE,
        **ASKED,
    )
    by = found.channels.set_index("channel")
    assert found.by_channel and by["cac"].to_numpy() == pytest.approx(cost, rel=1e-4)
    others = by.drop(index="social")["payback"]
    assert by.loc["social", "payback"] < others.min() / 2 and (others < 36).all()
    assert (
        "the kinds of customers that the channel brings"
        in words.costs(found, load_study(PARAMS / "acme.yml")).note
    )
