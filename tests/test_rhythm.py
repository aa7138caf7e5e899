"""The rhythm of purchases, in logs of whole days: at random where it is, and Erlang where it is that."""

from itertools import pairwise

import ibis
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from clvkit import customers
from clvkit.errors import FitError
from clvkit.fitting import fit_process
from clvkit.models_section import ModelsSection
from clvkit.rhythm import BLOCK, gap_statistics, rhythm, rhythm_check
from tests import cdnow_frames
from tests.rhythm_worlds import day, log_of, purchases_of

PLAIN = ModelsSection()
OFTEN = (
    2.0,
    1.0,
    0.8,
    6.0,
)  # at k = 1 a purchase every three and a half days: merging of days distorts these most
SELDOM = (1.0, 6.0, 0.8, 4.0)


def statistics(log, days):
    return gap_statistics(purchases_of(log), day(days - 1))


def many(k, parameters, worlds, each, days, seed):
    """Rhythms of many small worlds at once: a world is a segment."""
    log = log_of(k, parameters, worlds * each, days, np.random.default_rng(seed), arrivals=days // 3)
    frame = purchases_of(log).to_pandas().assign(segment=(log["customer"] // each).astype(str))
    kinds = {"customer": "string", "day": "date", "amount_minor": "int64", "segment": "string"}
    found = gap_statistics(ibis.memtable(frame, schema=kinds), day(days - 1))
    return [rhythm(one) for _, one in found.groupby("segment")]


def test_statistics_are_those_of_a_plain_count():
    log = log_of(2, OFTEN, 60, 300, np.random.default_rng(1))
    found = statistics(log, 250)
    blocks = {}
    for _, days in log[log["day"] < 250].sort_values("day").groupby("customer")["day"]:
        gaps = [after - before for before, after in pairwise(days)]
        for start in range(0, len(gaps), BLOCK):
            part = gaps[start : start + BLOCK]
            row = blocks.setdefault((len(part), sum(part)), [0, 0, 0.0, 0.0])
            logs = np.log(part).sum()
            row[0], row[1], row[2], row[3] = (
                row[0] + 1,
                row[1] + (start == 0),
                row[2] + logs,
                row[3] + logs**2,
            )
    assert (found["gaps"] == BLOCK).any() and found["segment"].eq("all").all()
    keyed = found.set_index(["gaps", "span_days"])
    assert list(keyed.index) == sorted(blocks)
    for key, (n, first, logs, squares) in blocks.items():
        row = keyed.loc[key]
        assert (row["n"], row["customers"]) == (n, first)
        assert row["log_nanos"] * 1e-9 == pytest.approx(logs, abs=1e-7)
        assert row["square_micros"] * 1e-6 == pytest.approx(squares, rel=1e-3, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("k", "parameters"), [(1, OFTEN), (1, SELDOM), (2, (3.0, 3.0, 0.8, 4.0)), (3, (4.0, 3.0, 0.8, 4.0))]
)
def test_the_interval_holds_the_truth_nine_times_in_ten(k, parameters):
    """100 worlds of 200 customers over a year; a fault that leaves 75 % is found 95 times in 100."""
    found = many(k, parameters, 100, 200, 365, seed=10 + k)
    hits = sum(one.low <= k <= one.high for one in found)
    print(f"k = {k}: {hits} of {len(found)}, mean {np.mean([one.k for one in found]):.3f}")
    assert binomtest(hits, len(found), 0.9).pvalue > 0.001
    assert np.mean([one.k for one in found]) == pytest.approx(k, rel=0.03)


def test_too_little_to_tell():
    few = rhythm(statistics(log_of(1, SELDOM, 12, 200, np.random.default_rng(2)), 200))
    assert not few.known and not few.regular
    daily = pd.DataFrame({"gaps": [5], "span_days": [5], "n": [99], "customers": [99],
                          "log_nanos": [0], "square_micros": [0]})  # fmt: skip
    assert not rhythm(daily).known  # a purchase on every day: the gaps could not have been others
    check = rhythm_check(few, ("bgnbd",))
    assert check.status == "info" and "cannot be told" in check.message and check.value is None


def test_the_check_asks_for_a_regular_process():
    regular = rhythm(statistics(log_of(3, (4.0, 3.0, 0.8, 4.0), 400, 365, np.random.default_rng(3)), 365))
    missing = rhythm_check(regular, ("paretonbd", "mbgnbd"))
    assert missing.status == "review" and "mbgcnbd" in missing.recommendation
    assert rhythm_check(regular, ("paretonbd", "mbgcnbd")).status == "pass"
    at_random = rhythm(statistics(log_of(1, SELDOM, 400, 365, np.random.default_rng(4)), 365))
    check = rhythm_check(at_random, ("paretonbd",))
    assert check.status == "pass" and "as irregular as at random" in check.message


class TestLikelihood:
    """k by likelihood, on the scale of the other processes."""

    @pytest.mark.parametrize(("k", "parameters"), [(1, OFTEN), (3, (4.0, 3.0, 0.8, 4.0))])
    def test_it_finds_k(self, k, parameters):
        log = log_of(k, parameters, 800, 545, np.random.default_rng(k))
        purchases = purchases_of(log)
        cells = customers.cells(customers.customer_summary(purchases, day(544)))
        fit = fit_process("mbgcnbd", cells, PLAIN, gaps=gap_statistics(purchases, day(544)), sample=False)
        assert fit.process == f"mbgcnbd-{k}" and fit.model.k == k
        memoryless = fit_process("mbgnbd", cells, PLAIN, sample=False).log_likelihood
        assert fit.observed["k = 1"] == pytest.approx(memoryless, rel=1e-9)
        assert fit.log_likelihood == max(fit.observed.values())
        assert (fit.log_likelihood > memoryless + 100) == (k > 1)
        in_days = fit_process("mbgcnbd", cells, ModelsSection(time_unit="day"),
                              gaps=gap_statistics(purchases, day(544)), sample=False)  # fmt: skip
        repeats = (cells["frequency"] * cells["n"]).sum()
        assert in_days.log_likelihood == pytest.approx(fit.log_likelihood - repeats * np.log(7), rel=1e-9)
        np.testing.assert_allclose(in_days.mle, fit.mle * [1, 7, 1, 1], rtol=1e-5)

    def test_gaps_are_asked_for(self):
        cells = cdnow_frames.cells()
        with pytest.raises(FitError, match="gap_statistics"):
            fit_process("mbgcnbd", cells, PLAIN)
        wrong = statistics(log_of(1, SELDOM, 50, 200, np.random.default_rng(5)), 200)
        with pytest.raises(FitError, match="repeat purchases"):
            fit_process("mbgcnbd-2", cells, PLAIN, gaps=wrong, sample=False)


def test_cdnow_comes_in_bursts():
    """The 1/10 sample to June 1998: below one, so no regular process is asked for."""
    frame = cdnow_frames.purchases()
    frame = pd.DataFrame({"customer": frame["customer_id"], "day": frame["date"].dt.date,
                          "amount_minor": frame["minor"], "segment": "all"})  # fmt: skip
    kinds = {"customer": "string", "day": "date", "amount_minor": "int64", "segment": "string"}
    purchases = ibis.memtable(frame, schema=kinds)
    from datetime import date

    found = rhythm(gap_statistics(purchases, date(1998, 6, 30)))
    print(found)
    assert found.high < 1.1 and found.low > 0.5
    fit = fit_process("mbgcnbd", cdnow_frames.cells(), PLAIN,
                      gaps=gap_statistics(purchases, date(1998, 6, 30)), sample=False)  # fmt: skip
    print(fit.observed)
    assert fit.process == "mbgcnbd-1"


@pytest.mark.parametrize(
    ("k", "days", "count", "least"),
    [
        (4, 182, 25_000, {"bgnbd": 0.15, "paretonbd": 0.15, "mbgnbd": 0.15}),
        (3, 273, 8_000, {"bgnbd": 0.1, "paretonbd": 0.03, "mbgnbd": 0.05}),
    ],
)
def test_memoryless_processes_expect_too_much_of_regular_customers(k, days, count, least):
    """A purchase every three weeks or so with Erlang gaps, and a hold-out as long as the history.

    Over half a year of Erlang-4 gaps, three or four repeat purchases each, memoryless processes forecast a fifth and more too
    much. The longer the history, the less: over nine months of Erlang-3 gaps, six repeat purchases each, it is 14 % with BG/NBD,
    9 % with MBG/NBD, 5 % with Pareto/NBD. MBG/CNBD-k stays within a few percent.
    """
    log = log_of(k, (4.0, 3.0, 0.8, 4.0), count, 2 * days, np.random.default_rng(6), arrivals=90)
    purchases, origin = purchases_of(log), day(days - 1)
    held = customers.holdout_cells(customers.holdout(purchases, origin, day(2 * days - 1)))
    actual = held["n"].to_numpy() @ held["n_holdout"].to_numpy()
    cells = customers.cells(customers.customer_summary(purchases, origin))
    n = cells["n"].to_numpy()
    history = [
        cells[name].to_numpy() / unit for name, unit in (("frequency", 1), ("recency_days", 7), ("T_days", 7))
    ]
    off, gaps = {}, gap_statistics(purchases, origin)
    for name in ("mbgnbd", "bgnbd", "paretonbd", "mbgcnbd"):
        fit = fit_process(name, cells, PLAIN, gaps=gaps, sample=False)
        off[name] = float(n @ fit.model.conditional(fit.mle, *history, days / 7) / actual - 1)
    print(f"{n @ cells['frequency'] / n.sum():.1f} repeat purchases each; {off}")
    assert abs(off["mbgcnbd"]) < 0.05, off
    assert {name: off[name] for name, bias in least.items() if off[name] <= bias} == {}, off
