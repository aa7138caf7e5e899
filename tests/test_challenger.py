"""The challenger: no worse than knowing nothing where nothing can be learned, found where there is something, refused where not."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from feature_worlds import END, FIRST, ORIGIN, world
from test_segment_rates import judge, worlds_for

from clvkit.challenger import Challenge, Rival, challenge, leaderboard
from clvkit.challenger_section import ChallengerSection
from clvkit.elastic_net import deviance
from clvkit.errors import FitError
from clvkit.feature_gain import FALSE_KEEP, feasibility
from clvkit.time_split import capped, middle, split, train

SECTION = ChallengerSection(use="compare", bootstrap=400)


@pytest.mark.parametrize("name", ["elastic_net", "boosting"])
@pytest.mark.parametrize("seed", range(6))
def test_two_hundred_noise_features_and_five_hundred_customers(name, seed):
    """The error on the hold-out is at most 2 % above that without features, with nothing but noise to learn from."""
    known = world(seed, customers=500, numbers=200)
    parts = split(known, ORIGIN, END)
    only = [column for column in parts.test.features.values if column.startswith("number")]
    assert len(only) == 200
    parts = _with_columns(parts, only)
    y = parts.test.outcomes["purchases"].to_numpy()
    errors = {}
    for one in (name, "mean"):
        predicted = train(parts, "purchases", one, most=30, seed=1).predict(parts.test.features.values)
        errors[one] = np.sqrt(((predicted - y) ** 2).mean())
    assert errors[name] <= 1.02 * errors["mean"], errors


@pytest.mark.parametrize("seed", range(3))
def test_noise_does_not_drown_what_purchases_tell(seed):
    known = world(seed, customers=500, numbers=200)
    parts = split(known, ORIGIN, END)
    y = parts.test.outcomes["purchases"].to_numpy()
    errors = {}
    for name in ("elastic_net", "boosting", "mean"):
        predicted = train(parts, "purchases", name, most=30, seed=1).predict(parts.test.features.values)
        errors[name] = np.sqrt(((predicted - y) ** 2).mean())
    assert errors["elastic_net"] < 0.95 * errors["mean"] and errors["boosting"] < errors["mean"], errors


def _with_columns(parts, columns):
    from dataclasses import replace

    return replace(parts, **{
        name: replace(one, features=replace(one.features, values=one.features.values[columns]))
        for name, one in (("tune", parts.tune), ("train", parts.train), ("test", parts.test))
    })  # fmt: skip


def test_the_windows_follow_each_other_and_end_before_the_hold_out():
    parts = split(world(0), ORIGIN, END)
    assert parts.tune.end == parts.train.origin and parts.train.end == parts.test.origin == ORIGIN
    assert FIRST < parts.tune.origin < parts.train.origin
    assert parts.train.days == parts.test.days  # where the history is long enough
    assert middle(FIRST, FIRST + timedelta(days=100), 400) == FIRST + timedelta(days=50)


def test_nothing_of_the_hold_out_is_learned():
    known = world(1)
    later = known.bought["day"] > pd.Timestamp(ORIGIN)
    other = type(known)(
        known.bought[~later | (np.arange(len(known.bought)) % 3 == 0)],
        known.minor_per_unit,
        known.events,
        known.about,
    )
    for name in ("elastic_net", "boosting"):
        one, two = (
            train(split(part, ORIGIN, END), "purchases", name, most=30, seed=1) for part in (known, other)
        )
        values = known.features(ORIGIN).values
        np.testing.assert_array_equal(one.predict(values), two.predict(values))
        assert one.setting == two.setting


def test_the_cap_holds_and_keeps_what_goes_most_with_the_outcome():
    parts = split(world(2, numbers=40), ORIGIN, END)
    y = parts.train.outcomes["purchases"].to_numpy()
    kept = capped(parts.train.features.values, y, 5)
    assert len(kept) == 5 and not any(name.startswith("number") for name in kept)
    machine = train(parts, "purchases", "elastic_net", most=5, seed=1)
    assert len(machine.columns) <= 5


def test_too_short_a_history_or_too_few_customers_are_refused_with_a_reason():
    known = world(3)
    with pytest.raises(FitError, match="cannot be parted into two windows"):
        split(known, FIRST + timedelta(days=40), END)
    with pytest.raises(FitError, match="too few to learn"):
        split(world(3, customers=60), ORIGIN, END)


class TestLeaderboard:
    outcomes = pd.DataFrame(
        {"purchases": np.repeat([0.0, 1.0, 4.0], 100), "revenue": np.repeat([0.0, 10.0, 40.0], 100)}
    )

    def rival(self, name, kind, error, seed=0):
        noise = np.random.default_rng(seed).normal(0, error, 300)
        return Rival(
            name, name, kind, self.outcomes["purchases"] + noise, self.outcomes["revenue"] + 10 * noise
        )

    def test_a_machine_that_is_far_better_wins(self):
        rivals = [self.rival("elastic_net", "machine", 0.5, 1), self.rival("boosting", "machine", 1.1, 2),
                  self.rival("p", "process", 1.0, 3), self.rival("r", "rule", 1.5, 4)]  # fmt: skip
        board, other, best, winner = leaderboard(rivals, self.outcomes, SECTION)
        assert (other, best, winner) == ("p", "elastic_net", "elastic_net")
        assert list(board["name"]) == ["elastic_net", "p", "boosting", "r"]
        row = board.set_index("name").loc["elastic_net"]
        assert row["gain"] == pytest.approx(0.75, abs=0.06) and row["low"] > 0.6

    def test_a_rule_that_is_better_than_every_machine_and_process_is_what_counts(self):
        rivals = [
            self.rival("elastic_net", "machine", 0.8, 1),
            self.rival("p", "process", 1.0, 3),
            self.rival("r", "rule", 0.5, 4),
        ]
        _, other, _, winner = leaderboard(rivals, self.outcomes, SECTION)
        assert other == "r" and winner is None

    def test_chance_does_not_win(self):
        rivals = [
            self.rival("elastic_net", "machine", 0.99, 1),
            self.rival("boosting", "machine", 1.0, 2),
            self.rival("p", "process", 1.0, 3),
        ]
        board, _, _, winner = leaderboard(rivals, self.outcomes, SECTION)
        assert (
            winner is None
            and board.set_index("name").loc["p", "gain"] != board.set_index("name").loc["p", "gain"]
        )


def test_machines_that_are_alike_rarely_win():
    """Two machines and a process of the same error: one of the machines wins at most one time in ten at 90 %."""
    n, wins = worlds_for(0.1, 0.3), 0
    for seed in range(n):
        rng = np.random.default_rng([7, seed])
        y = rng.poisson(1.0, 400).astype(float)
        outcomes = pd.DataFrame({"purchases": y, "revenue": y})
        rivals = [Rival(name, name, kind, *(2 * [np.abs(1 + rng.normal(0, 0.5, 400))]))
                  for name, kind in (("elastic_net", "machine"), ("boosting", "machine"), ("p", "process"))]  # fmt: skip
        wins += leaderboard(rivals, outcomes, SECTION)[3] is not None
    judge("machines no better than a process that win", wins, n, 0.1, above=True)


@pytest.fixture(scope="module")
def found():
    parts = split(world(11, customers=1500, useful=0.9, noise=2), ORIGIN, END)
    people = parts.test.outcomes
    flat = Rival("p", "A process", "process", np.full(len(people), people["purchases"].mean()),
                 np.full(len(people), people["revenue"].mean()))  # fmt: skip
    return parts, challenge(parts, [flat], SECTION)


def test_a_planted_useful_feature_is_kept_and_planted_noise_dropped(found):
    table = found[1].feasibility.set_index("variable")
    assert table.loc["visits_last", "keep"] and table.loc["visits_last", "low"] > 0.02
    noise = table[table.index.str.startswith("noise")]
    assert len(noise) == 10 and not noise["keep"].any()
    assert table.loc["visits_last", "correlation"] > 0.1
    assert (
        0.5 < table.loc["noise0_count", "coverage"] < 0.75 and table.loc["noise0_count", "latency_days"] > 30
    )


def test_the_driver_is_named_and_missed(found):
    made = found[1]
    assert made.winner in ("elastic_net", "boosting")  # the rival here knows nothing
    assert "visits_last" in list(made.coefficients["feature"][:8])
    rise = made.importance.set_index("feature")
    assert rise.loc["visits_last", "low"] > 0
    values = found[0].test.features.values
    machine = train(found[0], "purchases", made.best_machine, most=SECTION.max_features, seed=SECTION.seed)
    y = found[0].test.outcomes["purchases"].to_numpy()
    worse = deviance(
        y,
        machine.predict(
            values.assign(visits_last=values["visits_last"].sample(frac=1, random_state=3).to_numpy())
        ),
    )
    assert worse.mean() / deviance(y, machine.predict(values)).mean() - 1 == pytest.approx(
        rise.loc["visits_last", "rise"], abs=0.02
    )


def test_it_is_kept_and_read_again(found, tmp_path):
    found[1].save(tmp_path)
    again = Challenge.load(tmp_path)
    pd.testing.assert_frame_equal(again.board, found[1].board)
    assert (again.origin, again.winner, again.settings) == (ORIGIN, found[1].winner, found[1].settings)
    refused = Challenge(None, None, refused="why")
    refused.save(tmp_path / "other")
    assert Challenge.load(tmp_path / "other").refused == "why"


@pytest.mark.slow
def test_a_table_of_noise_rarely_keeps_any_of_it():
    """At most `FALSE_KEEP` of tables with nothing of use; feared is one in five."""
    n = worlds_for(FALSE_KEEP, 0.2)
    kept = 0
    for seed in range(n):
        table = feasibility(split(world(100 + seed, customers=300, noise=2, numbers=2), ORIGIN, END), SECTION)
        assert len(table) == 12
        kept += bool(table["keep"].any())
    judge("tables of noise that keep any of it", kept, n, FALSE_KEEP, above=True)


@pytest.mark.slow
def test_a_useful_feature_is_mostly_kept():
    n = worlds_for(0.9, 0.6)
    kept = 0
    for seed in range(n):
        table = feasibility(
            split(world(500 + seed, customers=1500, useful=0.9, noise=1), ORIGIN, END), SECTION
        )
        kept += bool(table.set_index("variable").loc["visits_last", "keep"])
    judge("useful features kept", kept, n, 0.9, above=False)
