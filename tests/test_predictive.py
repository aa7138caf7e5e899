import numpy as np
import pandas as pd
import pytest

from clvkit import processes
from clvkit.fitting import fit_process
from clvkit.models_section import ModelsSection
from clvkit.predictive import FEATURES, posterior_predictive, verdict


def cells_of(x, t_x, T):
    frame = pd.DataFrame({"frequency": x, "recency_days": t_x, "T_days": T})
    return frame.groupby(list(frame), as_index=False).size().rename(columns={"size": "n"})


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(3)
    T = rng.uniform(200, 540, 1500)
    model = processes.get("mbgnbd")
    x, t_x = model.simulate(np.array([0.6, 8.0, 0.6, 1.2]), T / 7, rng).summary(T.size)
    return cells_of(x, t_x * 7, T)


def test_customers_of_the_process_look_like_its_copies(world):
    fit = fit_process("mbgnbd", world, ModelsSection(), sample=False)
    found = posterior_predictive(fit, world, seed=1, copies=100)
    assert list(found.index) == list(FEATURES)
    assert verdict(fit, found).status == "pass"
    again = posterior_predictive(fit, world, seed=1, copies=100)
    pd.testing.assert_frame_equal(found, again)


def test_features_are_those_of_the_data(world):
    fit = fit_process("mbgnbd", world, ModelsSection(), sample=False)
    seen = posterior_predictive(fit, world, seed=1, copies=2)["observed"]
    x, n = world["frequency"], world["n"]
    assert seen["never_repeat"] == pytest.approx(n[x == 0].sum() / n.sum())
    assert seen["purchases"] == pytest.approx((x * n).sum() / n.sum())
    assert seen["heavy"] == pytest.approx(n[x >= 7].sum() / n.sum())


def test_a_rhythm_that_no_process_knows_is_named():
    """Half of the customers never come again, the others every 30 days for ever."""
    T = np.full(1000, 400.0)
    x = np.where(np.arange(1000) < 500, 0, 13)
    clockwork = cells_of(x, 30.0 * x, T)
    fit = fit_process("paretonbd", clockwork, ModelsSection(), sample=False)
    check = verdict(fit, posterior_predictive(fit, clockwork, seed=1, copies=100))
    assert check.status == "review"
    assert "standard deviation" in check.message or "silence" in check.message
