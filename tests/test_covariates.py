"""Fits with covariates: planted effects are found, none is made up, and nothing depends on how cells are cut."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, binomtest

from clvkit import processes
from clvkit.covariate_levels import Covariate, Design
from clvkit.covariate_target import CovariateTarget, moved_by, spread
from clvkit.covariates import CovariateFit, fit_process_with_covariates
from clvkit.errors import FitError
from clvkit.fitting import fit_process
from clvkit.histories import Histories
from clvkit.models_section import ModelsSection

SECTION = ModelsSection()
CDNOW = {"bgnbd": (0.243, 4.414, 0.793, 2.426), "mbgnbd": (0.525, 6.183, 0.891, 1.614),
         "paretonbd": (0.553, 10.578, 0.606, 11.669)}  # fmt: skip
KEYS = ["pattern", "frequency", "recency_days", "T_days"]
BOTH = ("rate", "dropout")
DESIGN = Design(
    (
        Covariate("plan", BOTH, "categories", ("basic", "gold"), (1, 1), values=("basic", "gold")),
        Covariate("region", BOTH, "categories", ("north", "south"), (1, 1), values=("north", "south")),
    )
)
PATTERNS = ("0.0", "0.1", "1.0", "1.1")
PLANTED = np.array([0.5, -0.3, -0.6, 0.4])  # plan and region on the rate, plan and region on dropout


def world(seed, size, process="bgnbd", effects=PLANTED, *, days=False):
    """Cells of ``size`` customers, a quarter in each pattern; whole days where asked for."""
    rng, model, parts = np.random.default_rng(seed), processes.get(process), []
    at = np.append(model.coordinates(np.array(CDNOW[process])), effects)
    etas = spread(at, DESIGN.matrix(PATTERNS), moved_by(DESIGN, model))
    for pattern, eta in zip(PATTERNS, etas, strict=True):
        T_days = rng.integers(27 * 7, 78 * 7, size // 4)
        x, t_x = model.simulate(model.from_coordinates(eta), T_days / 7, rng).summary(len(T_days))
        recency = np.maximum(np.round(7 * t_x), x > 0) if days else 7 * t_x
        parts.append(
            pd.DataFrame({"pattern": pattern, "frequency": x, "recency_days": recency, "T_days": T_days})
        )
    return pd.concat(parts).assign(n=1).groupby(KEYS, as_index=False)["n"].sum()


def target_of(cells, process="bgnbd"):
    """The log-likelihood with flat priors, of cells in weeks."""
    model, targets = processes.get(process), []
    for _, part in cells.groupby("pattern"):
        times = part["recency_days"].to_numpy() / 7, part["T_days"].to_numpy() / 7
        F, whole = model.prepare(part["frequency"].to_numpy(), *times, part["n"].to_numpy(float))
        targets.append(model.target(F, whole, None))
    flat = np.full(8, np.inf)
    return CovariateTarget(targets, DESIGN.matrix(PATTERNS), moved_by(DESIGN, model), np.zeros(8), flat)


@pytest.fixture(scope="module")
def planted():
    cells = world(1, 6000)
    return fit_process_with_covariates("bgnbd", cells, DESIGN, SECTION, sample=True), cells


@pytest.mark.parametrize("process", ["bgnbd", "mbgnbd", "paretonbd"])
def test_the_gradient_is_the_slope(process):
    target = target_of(world(2, 200, process), process)
    at = np.append(processes.get(process).coordinates(np.array(CDNOW[process])), PLANTED)
    _, gradient = target.value_and_gradient(at)
    step = 1e-5 * np.eye(8)
    slopes = [
        (target.value_and_gradient(at + one)[0] - target.value_and_gradient(at - one)[0]) / 2e-5
        for one in step
    ]
    np.testing.assert_allclose(gradient, slopes, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("process", ["bgnbd", "mbgnbd", "paretonbd"])
def test_parameters_move_as_the_note_has_it(process):
    # Fader & Hardie (2007): alpha exp(-g1'z), and in Pareto/NBD beta exp(-g2'z); r and s are everybody's
    model = processes.get(process)
    at = np.append(model.coordinates(np.array(CDNOW[process])), PLANTED)
    base, _, _, gold_south = model.from_coordinates(
        spread(at, DESIGN.matrix(PATTERNS), moved_by(DESIGN, model))
    )
    np.testing.assert_allclose(base, CDNOW[process])
    assert gold_south[0] == pytest.approx(base[0])
    assert gold_south[1] == pytest.approx(base[1] * np.exp(-(0.5 - 0.3)))
    if process == "paretonbd":
        assert gold_south[2] == pytest.approx(base[2])
        assert gold_south[3] == pytest.approx(base[3] * np.exp(-(-0.6 + 0.4)))
    else:  # the odds of the mean dropout probability
        assert gold_south[2] / gold_south[3] == pytest.approx(base[2] / base[3] * np.exp(-0.6 + 0.4))
        assert gold_south[2] + gold_south[3] == pytest.approx(base[2] + base[3])


@pytest.mark.parametrize("process", ["mbgnbd", "paretonbd"])
def test_planted_effects_are_found(process):
    fit = fit_process_with_covariates(process, world(3, 8000, process), DESIGN, SECTION, sample=False)
    away = (fit.estimate[4:] - PLANTED) / fit.errors[4:]
    assert np.abs(away).max() < 3.5 and fit.errors[4:].max() < 0.15
    assert fit.log_likelihood > fit.pooled.log_likelihood + 50
    assert fit.aic_bic()[1] < fit.pooled.aic_bic()[1]


def test_the_posterior_holds_what_was_planted(planted):
    fit, _ = planted
    assert fit.method == "laplace" and fit.diagnostics["pareto_k"] < 0.7 and fit.diagnostics["ess_min"] > 400
    found = fit.effects(0.999)
    assert (found["low"] < np.exp(PLANTED)).all() and (np.exp(PLANTED) < found["high"]).all()
    assert found["differs"].sum() >= 3
    assert list(found["covariate"]) == ["plan", "region"] * 2 and list(found["step"]) == ["gold", "south"] * 2


def test_without_effects_it_is_the_pooled_fit():
    cells = world(4, 1500)
    held = fit_process_with_covariates("bgnbd", cells, DESIGN, SECTION, prior_sd=1e-5, sample=False)
    pooled = fit_process("bgnbd", cells, SECTION, sample=False)
    np.testing.assert_allclose(held.mle, np.tile(pooled.mle, (4, 1)), rtol=1e-3)
    assert held.log_likelihood == pytest.approx(pooled.log_likelihood, abs=0.01)
    target = target_of(cells)
    at = np.append(pooled.model.coordinates(pooled.mle), np.zeros(4))
    assert target.log_likelihood(at) == pytest.approx(pooled.log_likelihood, rel=1e-12)


def test_order_and_splitting_of_cells_change_nothing():
    cells = world(5, 800, "paretonbd", days=True)
    one = fit_process_with_covariates("paretonbd", cells, DESIGN, SECTION, sample=False)
    halves = pd.concat([cells, cells]).sample(frac=1, random_state=2)
    halves = halves.assign(n=halves["n"] / 2)
    other = fit_process_with_covariates("paretonbd", halves, DESIGN, SECTION, sample=False)
    np.testing.assert_allclose(other.estimate, one.estimate, atol=1e-5)
    assert other.log_likelihood == pytest.approx(one.log_likelihood, rel=1e-9)


def test_the_unit_of_time_changes_no_effect():
    cells = world(6, 1200)
    weeks = fit_process_with_covariates("bgnbd", cells, DESIGN, SECTION, sample=False)
    in_days = SECTION.model_copy(update={"time_unit": "day"})
    days = fit_process_with_covariates("bgnbd", cells, DESIGN, in_days, sample=False)
    np.testing.assert_allclose(days.estimate, weeks.estimate, atol=1e-6)
    np.testing.assert_allclose(days.mle[:, 1], 7 * weeks.mle[:, 1], rtol=1e-6)


def test_a_category_in_which_nobody_came_back_does_not_run_away():
    cells = world(7, 2000)
    gone = cells["pattern"].isin(["1.0", "1.1"])
    cells.loc[gone, ["frequency", "recency_days"]] = 0
    fit = fit_process_with_covariates("bgnbd", cells, DESIGN, SECTION, sample=False)
    assert -6 < fit.estimate[4] < -3 and np.isfinite(fit.errors).all()


def test_a_fit_is_kept_and_read_again(planted, tmp_path):
    fit, cells = planted
    fit.save(tmp_path)
    again = CovariateFit.load(tmp_path)
    np.testing.assert_array_equal(again.draws, fit.draws)
    np.testing.assert_array_equal(again.group_of(cells), fit.group_of(cells))
    assert again.to_json() == fit.to_json() and again.design == fit.design
    assert again.label == "BG/NBD with covariates" and again.name == "bgnbd_with_covariates"
    assert (again.wider_prior_weights(50) > 0).all()


def test_histories_ask_each_pattern_for_its_own(planted):
    fit, cells = planted
    draws, rows = fit.posterior(7), cells.sample(40, random_state=1)
    assert draws.shape == (7, 4, 4) and fit.flat.shape == (4000, 4, 4)
    alive = Histories.of(fit, rows).p_alive(draws)
    for place in (0, 17, 39):
        row, g = rows.iloc[place], fit.patterns.index(rows["pattern"].iloc[place])
        x, t_x, T = int(row["frequency"]), row["recency_days"] / 7, row["T_days"] / 7
        np.testing.assert_allclose(alive[:, place], fit.model.p_alive(draws[:, g], x, t_x, T)[:, 0])


def test_what_cannot_be_fitted_is_refused(planted):
    fit, cells = planted
    with pytest.raises(FitError, match="known to bgnbd, mbgnbd, paretonbd"):
        fit_process_with_covariates("bgbb", cells, DESIGN, SECTION)
    with pytest.raises(FitError, match="2 to 500 patterns \\(got 1\\)"):
        fit_process_with_covariates("bgnbd", cells.assign(pattern="0.0"), DESIGN, SECTION)
    with pytest.raises(FitError, match="do not say which covariates"):
        fit_process_with_covariates("bgnbd", cells.drop(columns="pattern"), DESIGN, SECTION)
    with pytest.raises(FitError, match="needs to know the covariates"):
        fit.group_of(cells.drop(columns="pattern"))
    with pytest.raises(FitError, match="is no pattern of plan, region"):
        DESIGN.matrix(["0.7"])


@pytest.mark.slow
@pytest.mark.parametrize(("process", "worlds"), [("bgnbd", 40), ("paretonbd", 25)])
def test_intervals_hold_the_truth_as_often_as_they_say(process, worlds):
    inside = 0
    rng = np.random.default_rng(8)
    for seed in range(worlds):
        truth = rng.normal(0, 0.5, 4)  # drawn from the prior, where nominal coverage is exact
        fit = fit_process_with_covariates(
            process, world(1000 + seed, 1500, process, truth, days=True), DESIGN, SECTION, sample=True
        )
        found = fit.effects(0.9)
        inside += int(((found["low"] < np.exp(truth)) & (np.exp(truth) < found["high"])).sum())
    n = 4 * worlds  # coefficients of one world are nearly uncorrelated
    interval = binomtest(inside, n).proportion_ci(0.999)
    print(f"{process}: {inside} of {n} inside 90 % intervals ({interval.low:.3f} to {interval.high:.3f})")
    assert interval.low < 0.9 < interval.high


@pytest.mark.slow
def test_effects_that_are_not_there_are_rarely_reported():
    worlds, alarms = 30, 0
    for seed in range(worlds):
        fit = fit_process_with_covariates(
            "bgnbd", world(2000 + seed, 1000, effects=np.zeros(4), days=True), DESIGN, SECTION, sample=True
        )
        alarms += int(fit.effects(0.9)["differs"].sum())
    assert binom.sf(alarms - 1, 4 * worlds, 0.10) > 0.001, f"{alarms} of {4 * worlds}"
