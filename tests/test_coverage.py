"""Intervals cover: a short twin of `benchmarks/coverage.py`, its judge, and the worlds that both are told about."""

import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the benchmarks are no part of the package

from clvkit import laplace, processes  # noqa: E402

coverage, coverage_judge, coverage_report, coverage_worlds = (
    import_module(f"benchmarks.{name}")
    for name in ("coverage", "coverage_judge", "coverage_report", "coverage_worlds")
)

NAMES = coverage_worlds.NAMES
SPEND = ("p", "q", "gamma")


def covered(process, worlds, customers, draws):
    """Per quantity, whether each world's interval held the truth."""
    held = {}
    for number in range(worlds):
        world = coverage_worlds.draw(process, "prior", number, customers)
        for name, values in coverage_worlds.examine(world, number, draws)["found"].items():
            truth, _, low, high, _ = values
            held.setdefault(name, []).append(low <= truth <= high)
    return held


def judged(process, *, feared, customers, draws):
    """As many worlds as find a coverage of ``feared`` with 95 % power; prints what was counted."""
    worlds = coverage_judge.least_worlds(feared)
    found = covered(process, worlds, customers, draws)
    assert set(found) == {*processes.get(process).parameters, *SPEND, "equity", "purchases", "revenue"}
    verdicts = {name: coverage_judge.judge(sum(held), len(held)) for name, held in found.items()}
    for name, verdict in verdicts.items():
        print(f"{process} {name}: {verdict}")
    return {name: str(verdict) for name, verdict in verdicts.items() if not verdict.passes}


@pytest.fixture
def one_thread(monkeypatch):
    """Small worlds are faster without pools of threads, those of the algebra library included."""
    from threadpoolctl import threadpool_limits

    monkeypatch.setattr(laplace, "ThreadPoolExecutor", coverage.InTurn)
    with threadpool_limits(1):
        yield


@pytest.mark.slow
def test_intervals_cover_truths_from_the_prior(one_thread):
    """BG/NBD with few worlds: intervals that hold the truth six times in ten would be found out."""
    assert judged("bgnbd", feared=0.6, customers=300, draws=200) == {}


@pytest.mark.slow
@pytest.mark.parametrize("process", NAMES)
def test_intervals_of_every_process_cover_truths_from_the_prior(process, one_thread):
    assert judged(process, feared=0.65, customers=600, draws=300) == {}


class TestJudge:
    def test_the_exact_interval_is_the_textbook_one(self):
        """Clopper & Pearson (1934): 10 of 20 at 95 %; none of n ends at 1 − (level/2)^(1/n)."""
        assert coverage_judge.exact_interval(10, 20, 0.05) == pytest.approx((0.2720, 0.7280), abs=1e-4)
        assert coverage_judge.exact_interval(0, 30, 0.05) == pytest.approx((0, 1 - 0.025 ** (1 / 30)))
        assert coverage_judge.exact_interval(30, 30, 0.05) == pytest.approx((0.025 ** (1 / 30), 1))

    def test_it_fails_where_the_rate_is_excluded_and_only_there(self):
        passes = [coverage_judge.judge(k, 400).passes for k in range(401)]
        first, last = passes.index(True), 400 - passes[::-1].index(True)
        assert all(passes[first : last + 1]) and (first, last) == (339, 378)
        assert "320 of 400 (80.0%)" in str(coverage_judge.judge(320, 400))

    def test_a_true_rate_is_seldom_refused_and_a_feared_one_found(self):
        assert coverage_judge.power(400, feared=0.9) < 0.001
        assert coverage_judge.power(400, feared=0.8) > 0.98
        n = coverage_judge.least_worlds(0.8)
        assert coverage_judge.power(n, 0.8) >= 0.95 > coverage_judge.power(n - 1, 0.8)


class TestWorlds:
    @pytest.mark.parametrize("process", NAMES)
    def test_histories_and_hold_outs_are_what_the_process_says(self, process):
        """At one truth: never-repeaters as the count distribution has them; purchases and revenue of the hold-out
        as expected given the histories, within four standard errors over worlds."""
        model, spend = processes.get(process), processes.get("gammagamma")
        never, bought, paid = [], [], []
        for number in range(60):
            world = coverage_worlds.draw(process, "cdnow", number, 500)
            history = world.frequency, world.recency, world.T
            each = model.conditional(world.truth, *history, coverage_worlds.HORIZON)
            base, slope = spend.expected_spend(world.spend_truth, world.frequency)
            never.append(np.mean(world.frequency == 0) - np.mean(model.pmf(world.truth, 0, world.T)))
            bought.append(world.purchases - each.sum())
            paid.append(world.revenue - each @ (base + slope * world.spent))
        for gap in (never, bought, paid):
            assert abs(np.mean(gap)) < 4 * np.std(gap) / np.sqrt(len(gap))

    @pytest.mark.parametrize("process", NAMES)
    def test_truths_are_draws_from_the_priors(self, process):
        model, rng = processes.get(process), np.random.default_rng(1)
        eta = np.array([model.coordinates(coverage_worlds.from_prior(model, rng)) for _ in range(2000)])
        for k, prior in enumerate(model.priors.values()):
            assert eta[:, k].mean() == pytest.approx(prior.mean, abs=4 * prior.sd / np.sqrt(2000))
            assert eta[:, k].std() == pytest.approx(prior.sd, rel=0.07)

    def test_the_rule_is_kept_and_a_world_is_the_same_every_time(self):
        worlds = [coverage_worlds.draw("mbgnbd", "prior", number) for number in range(40)]
        assert any(world.redrawn for world in worlds)
        for world in worlds:
            assert coverage_worlds.LEAST_REPEATS <= world.frequency.sum() <= coverage_worlds.MOST_REPEATS
            assert np.count_nonzero(world.frequency) >= coverage_worlds.LEAST_REPEATERS
            assert np.all((world.recency <= world.T) & ((world.recency > 0) == (world.frequency > 0)))
        again = coverage_worlds.draw("mbgnbd", "prior", 7)
        np.testing.assert_array_equal(again.recency, worlds[7].recency)
        assert again.revenue == worlds[7].revenue

    def test_where_the_mean_spend_is_substituted_nothing_is_said_about_money(self, one_thread):
        """A truth with q of 0.6 has no mean spend: parameters and purchases are judged, equity and revenue are not."""
        numbers = range(40)
        heavy = next(
            w for n in numbers if (w := coverage_worlds.draw("bgnbd", "prior", n, 300)).spend_truth[1] < 0.6
        )
        found = coverage_worlds.examine(heavy, 1, 100)
        assert found["substituted"] and set(found["found"]) == {"r", "alpha", "a", "b", *SPEND, "purchases"}
        plain = coverage_worlds.examine(coverage_worlds.draw("bgnbd", "cdnow", 0), 1, 100)
        assert not plain["substituted"] and {"equity", "revenue"} <= set(plain["found"])

    def test_the_place_of_a_truth_is_uniform_in_draws_like_it(self):
        rng = np.random.default_rng(2)
        place = [coverage_worlds.against(rng.poisson(2, 99), rng.poisson(2), rng)[-1] for _ in range(4000)]
        assert np.mean(place) == pytest.approx(0.5, abs=4 * np.sqrt(1 / 12 / 4000))
        assert np.std(place) == pytest.approx(np.sqrt(1 / 12), rel=0.05)


class TestReport:
    def test_a_run_that_was_cut_off_goes_on_after_its_last_whole_line(self, tmp_path):
        path = tmp_path / "lines"
        assert coverage.load(path) == []
        path.write_text('{"world":3}\n{"world":1}\n{"wor')
        assert [one["world"] for one in coverage.load(path)] == [1, 3]
        assert path.read_text() == '{"world":3}\n{"world":1}\n'

    def test_the_page_is_what_the_results_say(self):
        """And every rate on it passes, or the page says which does not."""
        kept = json.loads(coverage_report.RESULTS.read_text(encoding="utf-8"))["found"]
        assert coverage_report.PAGE.read_text(encoding="utf-8") == coverage_report.page(kept)
        for one in kept["prior"].values():
            for each in one["quantities"].values():
                assert len(each["places"]) == each["n"] <= one["worlds"] - one["failed"]
