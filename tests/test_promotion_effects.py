"""What a promotion added and what it only moved, and amounts at one level of prices."""

from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd
import pytest

from clvkit.errors import DataError
from clvkit.processes import get
from clvkit.promotions import (
    PriceStep,
    PromotionsSection,
    PromotionWindow,
    effect,
    normalised,
    price_factors,
    price_frame,
    quasi_poisson,
)

START, DAYS = date(2022, 1, 1), 912
FIRST, LENGTH, AFTER, PULLED = 600, 14, 56, 0.3
WINDOW = PromotionWindow(
    first=START + timedelta(days=FIRST), last=START + timedelta(days=FIRST + LENGTH - 1), discount=0.15
)
SECTION = PromotionsSection(windows={"sale": WINDOW}, after_days=AFTER)
AS_OF = START + timedelta(days=DAYS - 1)


def log(seed, customers=4000, pulled=PULLED):
    """Pareto/NBD customers; of the orders of eight weeks after the window a share was made in it."""
    rng = np.random.default_rng(seed)
    arrival = rng.random(customers) * DAYS
    drawn = get("paretonbd").simulate(np.array([0.8, 60.0, 0.7, 365.0]), DAYS - arrival, rng)
    who = np.concatenate([np.arange(customers), drawn.customer])
    day = np.floor(np.concatenate([arrival, arrival[drawn.customer] + drawn.time])).astype(int)
    behind = (day >= FIRST + LENGTH) & (day < FIRST + LENGTH + AFTER)
    moved = (arrival[who] < FIRST) & behind & (rng.random(who.size) < pulled)
    day = np.where(moved, FIRST + rng.integers(0, LENGTH, who.size), np.minimum(day, DAYS - 1))
    frame = pd.DataFrame({"customer": who, "day": day}).drop_duplicates()
    frame["day"] = (np.datetime64(START) + frame["day"].to_numpy()).astype("datetime64[s]")
    table = ibis.memtable(frame)
    return table.mutate(day=table.day.cast("date"))


def test_a_planted_pull_forward_is_found_and_nothing_where_there_was_none():
    found = effect(log(0), "sale", SECTION, AS_OF)
    _, low, high = found.pulled_share
    assert low <= PULLED <= high and 0 < low and high - low < 0.2
    assert found.net[1] < 0 < found.net[2], "all that the window had more was moved"
    parts = found.days.groupby("part")["purchases"].sum()
    assert set(parts.index) == {"before", "window", "after", "later"}
    assert found.days["fitted"].sum() == pytest.approx(found.days["purchases"].sum(), rel=1e-6)
    none = effect(log(0, pulled=0.0), "sale", SECTION, AS_OF)
    assert none.pulled_share[1] < 0 < none.pulled_share[2]


@pytest.mark.slow
def test_the_interval_holds_the_planted_share_as_often_as_it_says():
    """40 worlds at 90 %: excluded below 29 at 0.1 %; a coverage of 60 % would be found with 95 % power."""
    found = [effect(log(seed), "sale", SECTION, AS_OF).pulled_share for seed in range(40)]
    held = sum(low <= PULLED <= high for _, low, high in found)
    print(f"covered {held} of 40, mean {np.mean(found, axis=0)[0]:.3f}")
    assert held >= 29
    assert abs(np.mean([value for value, _, _ in found]) - PULLED) < 0.03


def test_a_window_that_is_not_over_or_too_early_is_refused():
    late = PromotionWindow(first=AS_OF - timedelta(days=3), last=AS_OF)
    with pytest.raises(DataError, match="not over"):
        effect(log(0, 50), "x", PromotionsSection(windows={"x": late}), AS_OF)
    early = PromotionWindow(first=START + timedelta(days=20), last=START + timedelta(days=25))
    with pytest.raises(DataError, match="a baseline needs"):
        effect(log(0, 50), "x", PromotionsSection(windows={"x": early}), AS_OF)
    with pytest.raises(ValueError, match="before the first day"):
        PromotionWindow(first=AS_OF, last=START)


def test_quasi_poisson_gives_the_known_answers():
    """With one group per column, rates are ratios of sums; φ is Pearson's χ² over n − k; covariance is φ / total."""
    y, exposure = np.array([3.0, 9.0, 20.0, 10.0]), np.array([1.0, 2.0, 4.0, 4.0])
    design = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], float)
    beta, covariance, dispersion = quasi_poisson(design, y, np.log(exposure))
    assert np.exp(beta) == pytest.approx([12 / 3, 30 / 8])
    mean = exposure * np.repeat([4, 3.75], 2)
    assert dispersion == pytest.approx(max(1, ((y - mean) ** 2 / mean).sum() / 2))
    assert np.diag(covariance) == pytest.approx(dispersion / np.array([12, 30]))


def lines(rows):
    frame = pd.DataFrame(rows, columns=["day", "source", "value_minor"])
    return ibis.memtable(frame, schema={"day": "date", "source": "string", "value_minor": "int64"})


def test_a_pure_relabel_of_list_prices_changes_nothing_at_one_price_level():
    """The same purchases at prices 8 % higher from June on; whole units of 25 minor units stay whole."""
    june, rng = date(2024, 6, 1), np.random.default_rng(1)
    rows = [
        (date(2024, 1, 1) + timedelta(days=k), "shop", int(25 * rng.integers(1, 900))) for k in range(300)
    ]
    relabelled = [(day, source, paid * 108 // 100 if day >= june else paid) for day, source, paid in rows]
    prices = price_frame((PriceStep(day=date(2024, 1, 1), index=1.0), PriceStep(day=june, index=1.08)))
    at_start = normalised(lines(relabelled), prices, date(2024, 1, 1)).to_pandas().sort_values("day")
    assert at_start["normal_minor"].tolist() == [paid for _, _, paid in rows]
    today = normalised(lines(relabelled), prices, date(2024, 12, 31)).to_pandas().sort_values("day")
    assert today["normal_minor"].tolist() == [paid * 108 // 100 for _, _, paid in rows]


def test_prices_of_a_source_count_before_those_of_all():
    days = pd.DataFrame(
        {"day": [date(2024, 1, 1), date(2024, 1, 1), date(2024, 7, 1)], "source": ["till", "shop", "till"]}
    )
    steps = (PriceStep(day=date(2023, 1, 1), index=1.0), PriceStep(day=date(2024, 3, 1), index=1.1),
             PriceStep(day=date(2023, 1, 1), index=1.0, source="till"), PriceStep(day=date(2024, 3, 1), index=1.5, source="till"))  # fmt: skip
    assert price_factors(days, price_frame(steps), date(2024, 12, 1)) == pytest.approx([1.5, 1.1, 1.0])
    with pytest.raises(DataError, match="prices are given by segment"):
        price_factors(days, price_frame((PriceStep(day=START, index=1.0, segment="x"),)), AS_OF)


def seasonal(seed, uplift=0.8):
    """Customers with a peak before Christmas and a quiet February; the window had more, and nothing was moved into it."""
    rng, customers = np.random.default_rng(seed), 5000
    factor = np.array([0.9, 0.7, 0.9, 0.9, 1.0, 0.9, 0.8, 0.9, 0.9, 1.0, 1.5, 1.9])
    arrival = rng.random(customers) * DAYS
    drawn = get("paretonbd").simulate(np.array([0.8, 30.0, 0.7, 365.0]), DAYS - arrival, rng)
    day = np.floor(arrival[drawn.customer] + drawn.time).astype(int)
    month = (np.datetime64(START) + day).astype("datetime64[M]").astype(int) % 12
    inside = (day >= FIRST) & (day < FIRST + LENGTH)
    kept = rng.random(day.size) < factor[month] * np.where(inside, 1 + uplift, 1.0) / 1.9
    who = np.concatenate([np.arange(customers), drawn.customer[kept]])
    frame = pd.DataFrame(
        {"customer": who, "day": np.minimum(np.concatenate([arrival.astype(int), day[kept]]), DAYS - 1)}
    )
    frame["day"] = (np.datetime64(START) + frame["day"].to_numpy()).astype("datetime64[s]")
    table = ibis.memtable(frame.drop_duplicates())
    return table.mutate(day=table.day.cast("date"))


@pytest.mark.slow
def test_a_christmas_peak_is_no_pull_forward():
    """12 worlds at 90 %: fewer than 7 would be excluded at 0.1 %."""
    found = [effect(seasonal(seed), "sale", SECTION, AS_OF) for seed in range(12)]
    pulled = [one.pulled_share for one in found]
    print([np.round(one, 2) for one in pulled], [np.round(one.uplift_share, 2) for one in found])
    assert sum(low <= 0 <= high for _, low, high in pulled) >= 7
    assert abs(np.mean([value for value, _, _ in pulled])) < 0.04
    assert sum(low <= 0.8 <= high for _, low, high in (one.uplift_share for one in found)) >= 7
