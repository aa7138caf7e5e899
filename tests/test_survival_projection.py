"""Projections: the Kaplan–Meier curve carried on, and tails held back, where many came under observation late."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from clvkit.relation_times import timed
from clvkit.survival_projection import beyond, held_back

AS_OF, SEEN, ORIGIN = date(2024, 6, 30), date(2022, 1, 1), date(2023, 6, 30)


def relations(seed, count=4000, hazard=0.04) -> pd.DataFrame:
    """Monthly relations with one hazard for all; of those that ended before ends were recorded, nothing is known."""
    rng = np.random.default_rng(seed)
    start = pd.Timestamp("2018-01-01") + pd.to_timedelta(rng.integers(0, 2300, count), unit="D")
    lasts = np.ceil(rng.exponential(1 / hazard, count)).astype(int).clip(max=300)
    end = pd.Series(
        [d + pd.DateOffset(months=int(n)) - pd.Timedelta(days=1) for d, n in zip(start, lasts, strict=True)]
    )
    end = end.where(end < pd.Timestamp(AS_OF))
    frame = pd.DataFrame({"customer": np.arange(count).astype(str), "start": start, "end": end, "ended": end.notna(), "reason": None,
                          "period_months": 1})  # fmt: skip
    return frame[~(frame["end"] < pd.Timestamp(SEEN))].reset_index(drop=True)


def tail(frame, observed_from=SEEN):
    said = {"origin": ORIGIN, "as_of": AS_OF, "time": "month", "interval": 0.9, "seed": 1}
    return held_back(frame, None, observed_from=observed_from, **said)


def test_every_method_forecasts_a_constant_hazard():
    found = tail(relations(1))
    assert found.methods["error"].abs().max() < 0.05 and found.relations > 1000
    row = found.methods.set_index("method").loc["Weibull"]
    assert row["low"] <= found.actual <= row["high"]


def test_early_units_that_are_thin_do_not_shift_the_curve():
    # nobody is watched in the first two years but a handful, so that the thick part of the curve begins late
    frame = relations(2)
    old = frame["start"] < pd.Timestamp("2020-01-01")
    frame = pd.concat([frame[old], frame[~old].head(3)], ignore_index=True)
    curve = timed(frame, ORIGIN, observed_from=SEEN)
    assert ((curve["entry"] < 5) & (curve["until"] >= 5)).sum() < 10
    found = tail(frame).methods.set_index("method")["error"]
    assert found["Kaplan–Meier, its last rate carried on"] == pytest.approx(0, abs=0.06)


def test_without_entry_survivors_are_forecast_too_well():
    # the dead of before are missing: counted from their start, those who stayed look loyal
    right, wrong = (tail(relations(3), seen).methods.set_index("method")["error"] for seen in (SEEN, None))
    assert wrong["Weibull"] > right["Weibull"] + 0.02 and abs(right["Weibull"]) < 0.05


def test_beyond_the_units_that_were_fitted():
    frame = timed(relations(4, 20_000), AS_OF, observed_from=SEEN)
    found = beyond(frame, 24).set_index("method")
    truth = np.exp(-0.04 * (found["unit"].iloc[0] - 24))
    assert found.loc["Weibull", "projected"] == pytest.approx(truth, rel=0.15)
    np.testing.assert_allclose(found["seen"], truth, rtol=0.3)
    assert beyond(frame, int(frame["until"].max()) + 1).empty
