"""What a fit on a clock says of its own history: on a plain clock as without one, on another as simulated."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from test_clock import AS_OF, CDNOW, _fit, seasonal_clock

from clvkit import goodness
from clvkit.clock import Clock
from clvkit.clock_past import expected_by_day, pmf, simulated

PLAIN = Clock.of_days(AS_OF, date(2021, 12, 31), np.ones(800))
BORN = -np.array([700.0, 430.0, 90.0, 10.0])
N = np.array([50.0, 20.0, 300.0, 7.0])


@pytest.mark.parametrize("process", ["bgnbd", "paretonbd"])
def test_on_a_plain_clock_tracking_and_frequencies_are_as_without_one(process):
    first = pd.Series(N, pd.Timestamp(AS_OF) + pd.to_timedelta(BORN, unit="D"))
    cells = pd.DataFrame({"frequency": 0, "T_days": -BORN, "n": N})
    on, off = (_fit(process, clock) for clock in (PLAIN, None))
    tracked = [goodness.tracking(fit, first, first * 0, AS_OF)["expected"].to_numpy() for fit in (on, off)]
    np.testing.assert_allclose(*tracked, rtol=1e-4, atol=1e-6)
    classes = [goodness.frequency_histogram(fit, cells)[0]["expected"].to_numpy() for fit in (on, off)]
    np.testing.assert_allclose(*classes, rtol=1e-4)


@pytest.mark.parametrize("process", ["bgnbd", "paretonbd"])
def test_on_a_season_they_are_those_of_customers_made_anew(process):
    fit = _fit(process, seasonal_clock())
    parameters, age = np.array(CDNOW[process]), np.full(40_000, 430.0)
    x, recency = simulated(fit, parameters, age, np.random.default_rng(1))
    assert ((recency > 0) == (x > 0)).all() and recency.max() <= 430
    expected = expected_by_day(fit, np.array([-430.0]), np.array([1.0]), np.arange(-500.0, 1.0))
    assert expected[:71].max() == 0  # nobody has bought again on or before the first day
    assert expected.sum() == pytest.approx(x.mean(), abs=4 * x.std() / 200)
    chance = pmf(fit, np.arange(4), np.array([430.0]))[:, 0]
    np.testing.assert_allclose(chance, np.bincount(x, minlength=4)[:4] / len(x), atol=4 * 0.5 / 200)
