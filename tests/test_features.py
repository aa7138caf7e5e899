"""Features as of a day: what they are, and that nothing later gets in."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from feature_worlds import END, ORIGIN, world

from clvkit.errors import DataError
from clvkit.features import attribute_features, event_features, known_at, purchase_features
from clvkit.time_split import snapshot

BOUGHT = pd.DataFrame(
    {
        "customer": ["a", "a", "a", "b"],
        "day": pd.to_datetime(["2023-01-01", "2023-03-02", "2023-04-01", "2023-06-30"]),
        "amount_minor": [1000, 2000, 600, 500],
    }
)


def test_purchase_features_by_hand():
    made = purchase_features(BOUGHT, ORIGIN, 100.0).values
    a = made.loc["a"]
    assert (a["frequency"], a["T_days"], a["silence_days"]) == (2, 180, 90)
    assert a["recency_share"] == 0.5 and a["silence_in_gaps"] == 2.0  # gaps of 60 and 30 days, mean 45
    assert a["gap_variation"] == pytest.approx(np.std([60, 30], ddof=1) / 45)
    assert (a["bought_30"], a["bought_90"], a["bought_180"]) == (0, 0, 2)
    assert (a["spend_total"], a["spend_mean"], a["first_amount"], a["last_amount"]) == (36, 12, 10, 6)
    b = made.loc["b"]
    assert (b["frequency"], b["T_days"], b["bought_30"], b["gap_variation"]) == (0, 0, 1, 1)
    assert made.notna().all(axis=None)


def test_event_features_by_hand():
    events = pd.DataFrame({"customer": ["a", "a", "z"], "day": pd.to_datetime(["2023-01-01", "2023-04-01", "2023-05-01"]),
                           "value": [4.0, 10.0, 1.0]})  # fmt: skip
    made = event_features("tickets", events, pd.Index(["a", "b"]), ORIGIN, "tickets")
    a = made.values.loc["a"]
    assert (a["tickets_count"], a["tickets_count_90"], a["tickets_last"], a["tickets_mean"]) == (2, 0, 10, 7)
    assert a["tickets_recent"] == pytest.approx(0.5)  # 90 days ago
    assert (made.values.loc["b"] == 0).all()
    assert made.coverage("tickets_count") == 0.5 and made.latency("tickets_last") == 90


def test_anything_dated_later_raises():
    later = pd.DataFrame({"customer": ["a"], "day": pd.to_datetime(["2023-07-01"]), "value": [1.0]})
    with pytest.raises(
        DataError, match="the feature visits must not be made of anything dated after 2023-06-30"
    ):
        event_features("visits", later, pd.Index(["a"]), ORIGIN, "visits")
    with pytest.raises(DataError, match=r"purchase features .* \(got 2023-07-01, and 1 such rows\)"):
        purchase_features(pd.concat([BOUGHT, later.assign(amount_minor=1)]), ORIGIN, 100.0)
    same_day = later.assign(day=pd.Timestamp("2023-06-30 23:10"))
    assert (
        event_features("visits", same_day, pd.Index(["a"]), ORIGIN, "visits").values["visits_count"].sum()
        == 1
    )
    assert known_at(later, ORIGIN).empty


def test_features_of_a_day_do_not_change_with_what_came_later():
    known = world(1, useful=0.5, noise=1, numbers=1)
    cut = pd.Timestamp(ORIGIN)
    past = type(known)(
        known.bought[known.bought["day"] <= cut],
        known.minor_per_unit,
        {name: (words, rows[rows["day"] <= cut]) for name, (words, rows) in known.events.items()},
        known.about,
    )
    pd.testing.assert_frame_equal(known.features(ORIGIN).values, past.features(ORIGIN).values)


def test_outcomes_are_what_came_after_and_up_to_the_end():
    known = world(2)
    part = snapshot(known, ORIGIN, END)
    days = known.bought["day"]
    inside = (days > pd.Timestamp(ORIGIN)) & (days <= pd.Timestamp(END))
    theirs = known.bought["customer"].isin(part.outcomes.index)
    assert part.outcomes["purchases"].sum() == (inside & theirs).sum()
    assert part.outcomes["revenue"].sum() == pytest.approx(
        known.bought["amount_minor"][inside & theirs].sum() / 100
    )


def test_what_is_computed_does_not_depend_on_names_or_order():
    known = world(3, noise=1)
    names = {
        one: f"x{hash_ % 99991:05d}{one}"
        for hash_, one in enumerate(sorted(known.bought["customer"].unique())[::-1])
    }
    rename = lambda rows: rows.assign(customer=rows["customer"].map(lambda one: names.get(one, one)))  # noqa: E731
    other = type(known)(
        rename(known.bought).sample(frac=1, random_state=1),
        known.minor_per_unit,
        {name: (words, rename(rows)) for name, (words, rows) in known.events.items()},
        {},
    )
    one, two = (snapshot(part, ORIGIN, END) for part in (known, other))
    np.testing.assert_array_equal(one.features.values.to_numpy(), two.features.values.to_numpy())
    np.testing.assert_array_equal(one.outcomes.to_numpy(), two.outcomes.to_numpy())


def test_what_is_written_of_customers():
    people = pd.Index([f"c{k}" for k in range(60)])
    channel = pd.Series(["search"] * 30 + ["mail"] * 25 + ["rare"] * 5, index=people)
    made = attribute_features("channel", channel, people, ORIGIN)
    assert list(made.values) == ["channel=mail", "channel=search"] and made.values.sum().tolist() == [25, 30]
    age = pd.Series([str(1950 + k) for k in range(59)], index=people[:59])
    made = attribute_features("born", age, people, ORIGIN)
    assert list(made.values) == ["born", "born_missing"] and made.values["born_missing"].sum() == 1
    assert made.coverage("born") == pytest.approx(59 / 60) and np.isnan(made.latency("born"))


def test_features_of_two_days_do_not_go_together():
    one, two = (purchase_features(BOUGHT, day, 100.0) for day in (ORIGIN, date(2023, 7, 1)))
    with pytest.raises(DataError, match="cannot go with"):
        one.joined(two)
    with pytest.raises(DataError, match="is there already"):
        one.joined(one)
