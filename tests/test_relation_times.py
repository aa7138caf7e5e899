"""How long relations lasted, in months and days, and what of it was watched."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from clvkit.errors import DataError
from clvkit.relation_times import known_at, rates, rates_by_tenure, timed

AS_OF = date(2024, 6, 30)


def relations(*rows, months=1) -> pd.DataFrame:
    """Of ``(start, end)``; no end: it runs."""
    frame = pd.DataFrame(rows, columns=["start", "end"]).apply(pd.to_datetime)
    return frame.assign(ended=frame["end"].notna(), customer=np.arange(len(frame)).astype(str), reason="price", period_months=months)  # fmt: skip


def seen(frame, **said):
    made = timed(frame, AS_OF, **said)
    return [tuple(row) for row in made[["entry", "until", "ended"]].itertuples(index=False)]


def test_months():
    rows = [
        ("2024-01-15", "2024-03-14"),
        ("2024-01-15", "2024-03-15"),
        ("2024-01-15", None),
        ("2024-06-30", None),
        ("2024-01-31", "2024-02-28"),
    ]
    # two whole months; a third begun; five and a half whole; none; to the day before the last of February: one begun
    assert seen(relations(*rows)) == [(0, 2, True), (0, 3, True), (0, 5, False), (0, 0, False), (0, 1, True)]


def test_days():
    rows = [("2024-06-01", "2024-06-10"), ("2024-06-01", "2024-06-01"), ("2024-06-01", None)]
    assert seen(relations(*rows), time="day") == [(0, 10, True), (0, 1, True), (0, 29, False)]


def test_who_ended_before_ends_were_recorded_is_left_out_and_others_come_in_late():
    rows = [
        ("2023-01-01", "2023-06-30"),
        ("2023-01-01", "2024-02-29"),
        ("2023-01-01", None),
        ("2024-03-01", None),
    ]
    assert seen(relations(*rows), observed_from=date(2024, 1, 1)) == [
        (12, 14, True),
        (12, 17, False),
        (0, 3, False),
    ]


def test_annual_relations_end_at_the_end_of_a_year_and_nowhere_else():
    rows = [("2022-01-01", "2022-12-31"), ("2022-01-01", "2023-12-31"), ("2022-03-01", None)]
    assert set(timed(relations(*rows, months=12), AS_OF)["width"]) == {12}
    odd = [*rows, ("2022-01-01", "2022-05-17"), ("2022-01-01", "2023-02-08")]
    assert set(timed(relations(*odd, months=12), AS_OF)["width"]) == {1}


def test_as_known_on_an_earlier_day():
    rows = [
        ("2023-01-01", "2023-06-30"),
        ("2023-01-01", "2024-02-29"),
        ("2023-01-01", None),
        ("2024-03-01", None),
    ]
    frame = known_at(relations(*rows), date(2023, 12, 31))
    assert (
        list(frame["ended"]) == [True, False, False]
        and frame["end"].notna().sum() == 1 == frame["reason"].notna().sum()
    )


def test_censoring_cannot_be_ignored():
    with pytest.raises(DataError, match="the column 'ended' is missing"):
        timed(relations(("2024-01-01", None)).drop(columns="ended"), AS_OF)


def test_rates_are_ends_by_time_watched():
    frame = pd.DataFrame({"entry": [0, 2, 0, 0], "until": [4, 6, 10, 1], "ended": [True, True, False, False]})
    found = rates(frame, pd.Series(["a", "a", "b", "b"]), 0.9).set_index("group")
    assert list(found.loc["a", ["ended", "exposure"]]) == [2, 8] and found.loc["a", "rate"] == 0.25
    exact = binomtest(2, 8).proportion_ci(0.9)
    assert tuple(found.loc["a", ["low", "high"]]) == pytest.approx((exact.low, exact.high))
    assert found.loc["b", "low"] == 0 and found.loc["b", "rate"] == 0


def test_rates_by_tenure_add_up():
    rng = np.random.default_rng(0)
    entry = rng.integers(0, 5, 500)
    frame = pd.DataFrame(
        {"entry": entry, "until": entry + rng.integers(1, 40, 500), "ended": rng.random(500) < 0.5}
    )
    found = rates_by_tenure(frame, (1, 3, 6, 12, 24), 0.9)
    assert (
        found["ended"].sum() == frame["ended"].sum()
        and found["exposure"].sum() == (frame["until"] - frame["entry"]).sum()
    )
    assert list(found["group"])[:3] == ["1", "2 to 3", "4 to 6"] and found["group"].iloc[-1] == "25 and more"
    inside = (frame["entry"] < 3) & (frame["until"] > 1)
    assert found.loc[1, "relations"] == inside.sum()
