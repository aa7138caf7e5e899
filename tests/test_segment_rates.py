"""How often segments that are alike are reported as different, and how often those that are different are.

The numbers of worlds are the least at which the rate of false alarms (or the power) that is feared is found with 95 % power
by an exact binomial test that fails only where the stated rate is excluded at 0.1 %. What is feared of false alarms is three
worlds in ten, as with an interval of 90 % for each of three segments and no regard to their number.
"""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta, binom

from clvkit import differences, processes
from clvkit.models_section import ModelsSection
from clvkit.segments import fit_process_by_segment, fit_spend_by_segment

LEVEL, POWER = 0.001, 0.95
FALSE_ALARMS = 1 - differences.INTERVAL  # of worlds in which any segment is reported as different
MUCH_TOO_READY = (
    0.1  # of worlds, for a test at 1 % that is known to be a little too ready where segments are thin
)
FOUND, FEARED = 0.9, 0.6  # worlds with differences, in which they are reported
SIZES, PURCHASES, SPEND = (250, 250, 100), (0.243, 4.414, 0.793, 2.426), (6.25, 3.74, 15.44)
ALIKE, APART = (0.0, 0.0, 0.0), (0.6, -0.6, 0.0)  # of the log of what a segment's customers buy, or spend
SECTION = ModelsSection(segments="compare")
QUICK = SECTION.model_copy(
    update={"sampler": SECTION.sampler.model_copy(update={"draws": 100, "tune": 200, "chains": 2})}
)


def purchases(seed, apart):
    """Cells of segments whose customers buy exp(``apart``) times as often as usual."""
    rng, model, parts = np.random.default_rng(seed), processes.get("bgnbd"), []
    for g, (size, by) in enumerate(zip(SIZES, apart, strict=True)):
        weeks, (r, alpha, a, b) = rng.uniform(27, 78, size), PURCHASES
        x, t_x = model.simulate((r, alpha * np.exp(-by), a, b), weeks, rng).summary(size)
        parts.append(
            pd.DataFrame({"segment": f"s{g}", "frequency": x, "recency_days": 7 * t_x, "T_days": 7 * weeks})
        )
    return pd.concat(parts).assign(n=1)


def amounts(seed, apart):
    """Spend cells of segments whose customers pay exp(``apart``) times as much as usual."""
    rng, model, parts = np.random.default_rng(seed), processes.get("gammagamma"), []
    for g, (size, by) in enumerate(zip(SIZES, apart, strict=True)):
        x = rng.geometric(0.4, size)
        paid = (100 * x * np.exp(by) * model.simulate_means(SPEND, x, rng)).round().astype(int)
        parts.append(pd.DataFrame({"segment": f"s{g}", "frequency": x, "spend_minor": paid, "n": 1}))
    return pd.concat(parts)


def reported(what, seed, apart) -> np.ndarray:
    """Which segments of a world are reported as different."""
    if what == "purchases":
        fit = fit_process_by_segment("bgnbd", purchases(seed, apart), QUICK, sample=True)
        return differences.new_customers(fit)["differs"].to_numpy(bool)
    fit = fit_spend_by_segment(amounts(seed, apart), QUICK, 100, sample=True)
    return differences.spend_per_purchase(fit)["differs"].to_numpy(bool)


def says_so(what, seed) -> bool:
    """Whether the test of one set of parameters for all says of alike segments that they differ."""
    fit = (
        fit_process_by_segment("bgnbd", purchases(seed, ALIKE), SECTION, sample=False)
        if what == "purchases"
        else fit_spend_by_segment(amounts(seed, ALIKE), SECTION, 100, sample=False)
    )
    return differences.heterogeneity(fit).p_value < differences.SURE


@cache
def worlds_for(stated, feared) -> int:
    """From this many worlds on a true rate of ``feared``, above or below ``stated``, is found with 95 % power."""
    if feared < stated:  # then it is worlds in which nothing was found that are too many
        return worlds_for(1 - stated, 1 - feared)
    n = np.arange(1, 4000)
    power = binom.sf(binom.isf(LEVEL, n, stated), n, feared)  # counts above it exclude the stated rate
    return int(n[power < POWER].max()) + 1


def judge(words, count, n, stated, above):
    """Print the rate with the interval of what is not excluded; fail where the stated rate is, on the side feared."""
    low = beta.ppf(LEVEL / 2, count, n - count + 1) if count else 0.0
    high = beta.ppf(1 - LEVEL / 2, count + 1, n - count) if count < n else 1.0
    said = f"{words}: {count} of {n} worlds ({count / n:.1%}; {low:.1%} to {high:.1%}), stated {stated:.0%}"
    print(said)
    chance = binom.sf(count - 1, n, stated) if above else binom.cdf(count, n, stated)
    assert chance > LEVEL, said


def test_the_numbers_of_worlds():
    """What the numbers are for, count by count."""
    for stated, feared in ((0.1, 0.3), (0.9, 0.6)):
        n, power = worlds_for(stated, feared), []
        for worlds in (n - 1, n):
            counts = np.arange(worlds + 1)
            away = binom.sf(counts - 1, worlds, 0.1) if feared == 0.3 else binom.cdf(counts, worlds, 0.9)
            power.append(binom.pmf(counts[away <= LEVEL], worlds, feared).sum())
        assert power[0] < POWER <= power[1]
    assert (worlds_for(0.1, 0.3), worlds_for(0.9, 0.6)) == (85, 42)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["purchases", "spend"])
def test_equal_segments_are_rarely_reported_as_different(what):
    n = worlds_for(FALSE_ALARMS, 0.3)
    alarms = sum(reported(what, 1000 + seed, ALIKE).any() for seed in range(n))
    judge(f"{what}: alike segments reported as different", alarms, n, FALSE_ALARMS, above=True)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["purchases", "spend"])
def test_different_segments_are_reported(what):
    n = worlds_for(FOUND, FEARED)
    found = sum(reported(what, 5000 + seed, APART)[:2].any() for seed in range(n))
    judge(f"{what}: different segments reported", found, n, FOUND, above=False)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["purchases", "spend"])
def test_the_test_of_one_set_of_parameters_holds_its_level(what):
    n = worlds_for(differences.SURE, MUCH_TOO_READY)
    alarms = sum(says_so(what, 20_000 + seed) for seed in range(n))
    judge(f"{what}: alike segments, p below {differences.SURE}", alarms, n, differences.SURE, above=True)
