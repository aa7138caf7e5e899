"""Fits by segment: thin segments lean on the rest, equal ones are not told apart, different ones are."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from clvkit import differences, hierarchy, processes
from clvkit.errors import FitError
from clvkit.fitting import fit_process
from clvkit.hierarchy import Hyper, StandIns, estimate, sample
from clvkit.histories import Histories
from clvkit.models_section import ModelsSection
from clvkit.segments import SegmentedFit, fit_process_by_segment, fit_spend_by_segment

SECTION = ModelsSection(segments="compare")
QUICK = SECTION.model_copy(
    update={"sampler": SECTION.sampler.model_copy(update={"draws": 100, "tune": 200, "chains": 2})}
)
CDNOW = {"bgnbd": (0.243, 4.414, 0.793, 2.426), "paretonbd": (0.553, 10.578, 0.606, 11.669)}  # in weeks
KEYS = ["segment", "frequency", "recency_days", "T_days"]


def company(seed, sizes, process="bgnbd", spread=(0, 0, 0, 0)):
    """Customers by segment, whose coordinates differ by ``spread``; cells, and the true coordinates (G, k)."""
    rng, model = np.random.default_rng(seed), processes.get(process)
    centre = model.coordinates(np.array(CDNOW[process]))
    eta = centre + np.array(spread) * rng.standard_normal((len(sizes), 4))
    parts = []
    for g, (size, one) in enumerate(zip(sizes, eta, strict=True)):
        weeks = rng.uniform(27, 78, size)
        x, t_x = model.simulate(model.from_coordinates(one), weeks, rng).summary(size)
        parts.append(
            pd.DataFrame({"segment": f"s{g}", "frequency": x, "recency_days": 7 * t_x, "T_days": 7 * weeks})
        )
    return pd.concat(parts).assign(n=1).groupby(KEYS, as_index=False)["n"].sum(), eta


def amounts(seed, sizes, spread):
    """Spend cells by segment: Gamma-Gamma whose typical amount differs by ``spread``."""
    rng, parts = np.random.default_rng(seed), []
    for g, size in enumerate(sizes):
        factor, x = np.exp(spread * rng.standard_normal()), rng.geometric(0.4, size)
        spend = 100 * x * factor * processes.get("gammagamma").simulate_means((6.25, 3.74, 15.44), x, rng)
        parts.append(
            pd.DataFrame(
                {"segment": f"s{g}", "frequency": x, "spend_minor": spend.round().astype(int), "n": 1}
            )
        )
    return pd.concat(parts)


class Normal:
    """A likelihood that is a stand-in itself: y ~ Normal(η, se²), a mean of each group."""

    def __init__(self, y, se):
        self.y, self.se = np.array(y, float), np.array(se, float)

    def value_and_gradient(self, eta):
        away = (self.y - eta) / self.se
        return float(-np.sum(away**2) / 2 - np.log(self.se).sum()), away / self.se


@pytest.mark.slow
def test_eight_schools():
    # Gelman et al. (2013), Bayesian Data Analysis, section 5.5: effects of coaching in eight schools.
    y, se = [28, 8, -3, 7, -1, 1, 18, 12], [15, 10, 16, 11, 9, 11, 10, 18]
    targets = [Normal([one / 10], [s / 10]) for one, s in zip(y, se, strict=True)]
    found = estimate(targets, np.zeros(1))
    assert found.spread[0] < 0.01  # the marginal likelihood is highest where schools do not differ
    assert found.centre[0] * 10 == pytest.approx(7.69, abs=0.01)  # the weighted mean of all
    hyper = Hyper(np.zeros(1), np.full(1, 10.0), np.full(1, 2.5))  # nearly flat on the scale of the data
    drawn = sample(
        targets, estimate(targets, np.zeros(1), hyper), hyper, draws=4000, tune=200, chains=2, seed=1
    )
    effects = 10 * drawn.eta.reshape(-1, 8).mean(axis=0)
    # posterior means by quadrature over (mu, tau) with the same priors
    np.testing.assert_allclose(effects, _eight_schools_exactly(np.array(y), np.array(se)), atol=0.35)
    assert drawn.accepted_groups > 0.9 and drawn.accepted_centre > 0.9  # the stand-ins are exact here


def _eight_schools_exactly(y, se):
    mu, tau = np.meshgrid(np.linspace(-60, 70, 651), np.linspace(0.01, 90, 900), indexing="ij")
    log = -(mu**2) / (2 * 100**2) - tau**2 / (2 * 25**2)
    for one, s in zip(y, se, strict=True):
        log = log - np.log(s**2 + tau**2) / 2 - (one - mu) ** 2 / (2 * (s**2 + tau**2))
    weight = np.exp(log - log.max())
    means = [(one / s**2 + mu / tau**2) / (1 / s**2 + 1 / tau**2) for one, s in zip(y, se, strict=True)]
    return np.array([np.sum(weight * mean) / weight.sum() for mean in means])


def test_stand_ins_are_what_they_expand():
    rng = np.random.default_rng(0)
    target = Normal(rng.normal(size=3), [0.5, 1.0, 2.0])
    found = estimate([target, target], np.zeros(3))
    at = rng.normal(size=(2, 3))
    assert isinstance(found.stand_ins, StandIns)
    np.testing.assert_allclose(
        found.stand_ins.value(at), [target.value_and_gradient(a)[0] for a in at], rtol=1e-6
    )


def test_customers_who_all_spend_alike_can_be_fitted_by_segment():
    # q runs away where customers do not differ; beyond the bound of searches rounding looked like curvature
    for seed in range(12):
        rng, parts = np.random.default_rng(seed), []
        for g, size in enumerate((100, 200)):
            x = rng.integers(1, 9, size)
            spend = (rng.gamma(5.0 * x) * 600).astype(int)
            parts.append(pd.DataFrame({"segment": f"s{g}", "frequency": x, "spend_minor": spend, "n": 1}))
        fit = fit_spend_by_segment(pd.concat(parts), ModelsSection(), 100, sample=False)
        assert np.isfinite(fit.mle).all() and (fit.spread < 1).all()
        mean = differences.spend_per_purchase(fit)["value"]
        np.testing.assert_allclose(mean, 30.0, rtol=0.1)  # 5 times 6.00


def test_a_step_into_nowhere_is_not_taken():
    # Newton's step from where a density does not bend leads far away; there rounding may look like a height.
    class Cliff(Normal):
        def value_and_gradient(self, eta):
            if np.abs(eta).max() > 20:
                return 1e9, np.full(len(eta), 1e12)
            return float(np.sum(-np.log(np.cosh(eta - self.y)))), -np.tanh(eta - self.y)

    found = hierarchy.expand([Cliff([8.0], [1.0])], np.zeros(1), np.full(1, 1e3), np.array([[-12.0]]))
    assert found.at[0, 0] == pytest.approx(8.0, abs=1e-3)


def test_expansions_from_those_of_places_nearby_are_as_good():
    rng = np.random.default_rng(4)
    targets = [Normal(rng.normal(size=2), [0.5, 2.0]) for _ in range(3)]
    at, centre, spread = rng.normal(0, 0.01, (3, 2)), np.zeros(2), np.array([0.4, 0.6])
    fresh = hierarchy.expand(targets, centre, spread, at)
    again = hierarchy.expand(targets, centre, spread, fresh.at + 0.001, fresh.precision)
    np.testing.assert_allclose(again.at, fresh.at, atol=1e-5)
    np.testing.assert_allclose(again.value(at), fresh.value(at), rtol=1e-6)


def test_segments_together_are_segments_one_by_one():
    cells, _ = company(3, [200, 100, 50], spread=(0.5, 0.3, 0.4, 0.2))
    model, targets = processes.get("bgnbd"), []
    for _, one in cells.groupby("segment"):
        times = one["recency_days"] / 100, one["T_days"] / 100
        targets.append(model.target(*model.prepare(one["frequency"], *times, one["n"]), None))
    eta = np.random.default_rng(0).normal(0, 0.3, (3, 4))
    values, gradients = hierarchy.together(targets)(eta)
    for g, target in enumerate(targets):
        value, gradient = target.value_and_gradient(eta[g])
        assert values[g] == value
        np.testing.assert_array_equal(gradients[g], gradient)


def test_spreads_do_not_leap_away_from_where_stand_ins_were_made():
    # On a grocer's spend by income a spread went to its bound at once; there no likelihood bent, and there was no centre.
    rng = np.random.default_rng(3)
    targets = [Normal(at, [0.05, 0.05]) for at in rng.normal(0, 3, (6, 2))]
    made = estimate(targets, np.zeros(2))
    assert (made.spread > 1).all()
    _, spread = hierarchy._top(made.stand_ins, None, np.array([0.01, 0.3]), np.zeros(2))
    np.testing.assert_allclose(spread, [0.02, 0.6])  # twice, and not at once where they belong


def test_what_no_segment_knows_anything_of_stays_where_all_are():
    targets = [Normal([at, 0.0], [0.2, np.inf]) for at in (1.0, 1.5, 2.5)]
    for target in targets:
        target.value_and_gradient = lambda eta, t=target: (
            float(-((t.y[0] - eta[0]) ** 2) / 0.08), np.array([(t.y[0] - eta[0]) / 0.04, 0.0])
        )  # fmt: skip
    found = estimate(targets, np.array([1.0, -7.0]))
    np.testing.assert_allclose(found.eta[:, 1], -7.0)
    assert found.centre == pytest.approx([5 / 3, -7.0], abs=1e-5)


@pytest.fixture(scope="module")
def different():
    cells, eta = company(3, [1500, 1200, 900, 60, 15], spread=(0.5, 0.3, 0.4, 0.2))
    return fit_process_by_segment("bgnbd", cells, QUICK, sample=True), cells, eta


def test_thick_segments_speak_and_thin_ones_lean(different):
    fit, _, _ = different
    model, pooled = fit.model, fit.pooled
    eta, alone = (model.coordinates(model.in_unit(one, 1 / pooled.scale)) for one in (fit.mle, fit.alone))
    away, free = np.abs(eta - fit.centre).sum(axis=1), np.abs(alone - fit.centre).sum(axis=1)
    assert (away[:3] / free[:3] > 0.4).all()
    assert away[4] / free[4] < 0.4
    assert fit.diagnostics["accepted_groups"] > 0.5 and fit.diagnostics["accepted_hyper"] > 0.2


def test_the_marginal_likelihood_lies_between_all_and_each(different):
    fit, _, _ = different
    assert fit.pooled.log_likelihood < fit.log_likelihood < fit.apart
    assert differences.heterogeneity(fit).p_value < 1e-6
    assert differences.check(fit, False).status == "review"
    assert differences.check(fit, True).status == "pass"


def test_different_segments_are_found(different):
    fit, _, eta = different
    found = differences.new_customers(fit).set_index("segment")
    truth = np.array([fit.model.mean(fit.model.from_coordinates(one), 365.25 / 7) for one in eta])
    assert found["differs"].any() and not found.loc["s4", "differs"]
    inside = (found["low"] <= truth) & (truth <= found["high"])
    assert inside.sum() >= 3
    assert found["all"].nunique() == 1


def test_a_fit_is_kept_and_read_again(different, tmp_path):
    fit, cells, _ = different
    fit.save(tmp_path)
    again = SegmentedFit.load(tmp_path)
    np.testing.assert_array_equal(again.draws, fit.draws)
    np.testing.assert_array_equal(again.group_of(cells), fit.group_of(cells))
    assert again.to_json() == fit.to_json() and again.label == "BG/NBD by segment"
    assert (again.wider_prior_weights(50) > 0).all()


def test_rows_of_an_unknown_segment_are_refused(different):
    fit, cells, _ = different
    with pytest.raises(FitError, match="knows no segment 'elsewhere'"):
        Histories.of(fit, cells.assign(segment="elsewhere"))
    with pytest.raises(FitError, match="needs two segments or more"):
        fit_process_by_segment("bgnbd", cells.assign(segment="one"), QUICK)


def test_histories_ask_each_segment_for_its_own(different):
    fit, cells, _ = different
    draws, rows = fit.posterior(7), cells.sample(40, random_state=1)
    who = Histories.of(fit, rows)
    alive, coming = who.p_alive(draws), who.expected(draws, 365, 0.002)
    for place in (0, 17, 39):
        row, g = rows.iloc[place], fit.segments.index(rows["segment"].iloc[place])
        x, t_x, T = int(row["frequency"]), row["recency_days"] / 7, row["T_days"] / 7
        np.testing.assert_allclose(alive[:, place], fit.model.p_alive(draws[:, g], x, t_x, T)[:, 0])
        np.testing.assert_allclose(
            coming[:, place], fit.model.expected(draws[:, g], x, T, 365 / 7, 0.002)[:, 0], rtol=1e-7
        )
    future = who.simulate_future(draws[0], 365.0, np.random.default_rng(1))
    assert future.customer.max() < 40 and 0 <= future.time.min() and future.time.max() <= 365


def test_order_and_splitting_of_cells_change_nothing():
    cells, _ = company(5, [200, 150], spread=(0.3, 0.1, 0.1, 0.1))
    one = fit_process_by_segment("paretonbd", cells, QUICK, sample=False)
    halves = pd.concat([cells, cells]).sample(frac=1, random_state=2).assign(n=0.5)
    other = fit_process_by_segment("paretonbd", halves, QUICK, sample=False)
    np.testing.assert_allclose(other.mle, one.mle, rtol=1e-4)
    assert other.log_likelihood == pytest.approx(one.log_likelihood, rel=1e-9)


def test_segments_alike_come_out_alike():
    cells, _ = company(11, [700, 700])
    twice = pd.concat([cells[cells["segment"] == "s0"].assign(segment=name) for name in ("a", "b")])
    fit = fit_process_by_segment("bgnbd", twice, QUICK, sample=False)
    whole = fit_process("bgnbd", twice, SECTION, sample=False)
    np.testing.assert_allclose(fit.mle[0], fit.mle[1], rtol=1e-4)
    np.testing.assert_allclose(fit.mle[0], whole.mle, rtol=0.01)
    assert differences.heterogeneity(fit).p_value > 0.999


def test_spend_by_segment():
    cells = amounts(4, [800, 600, 25], 0.8)
    fit = fit_spend_by_segment(cells, QUICK, 100, sample=True)
    found = differences.spend_per_purchase(fit)
    assert found["differs"].iloc[:2].any() and (found["low"] < found["high"]).all()
    assert fit.name == "gammagamma_by_segment"


def test_a_segment_without_repeat_purchases_has_what_segments_have():
    cells = pd.concat(
        [
            amounts(2, [300, 300], 0.2),
            pd.DataFrame([{"segment": "new", "frequency": 0, "spend_minor": 0, "n": 9}]),
        ]
    )
    fit = fit_spend_by_segment(cells, QUICK, 100, sample=True)
    place = fit.segments.index("new")
    model = fit.model
    eta = model.coordinates(model.in_unit(fit.mle[place], 1 / fit.pooled.scale))
    np.testing.assert_allclose(eta, fit.centre, atol=1e-3)
    assert fit.customers_of[place] == 0


PLANTED = {"bgnbd": (0.8, 6.0, 0.8, 3.0), "mbgnbd": (0.8, 6.0, 0.8, 3.0), "paretonbd": (0.9, 8.0, 0.6, 12.0),
           "mbgcnbd-2": (1.5, 2.5, 0.8, 3.0), "bgbb": (1.2, 1.0, 0.7, 3.5)}  # fmt: skip
COUNTED = ModelsSection(
    opportunity="day", processes=("bgbb",), headline="bgbb", sampled=(), segments="compare"
)
THICK_AND_THIN = (3000, 2400, 1800, 25)
AWAY = np.array(
    [[0.5, 0, 0.3, 0], [-0.5, 0, -0.3, 0], [0, 0, 0, 0], [1.0, 0, -0.5, 0]]
)  # the thin one farthest


def planted(process, seed):
    """Cells of segments whose coordinates lie ``AWAY`` from those of ``PLANTED``, and the parameters of each."""
    rng, model, parts = np.random.default_rng(seed), processes.get(process), []
    truth = model.from_coordinates(model.coordinates(np.array(PLANTED[process])) + AWAY)
    for g, (size, one) in enumerate(zip(THICK_AND_THIN, truth, strict=True)):
        T = rng.integers(5, 12, size).astype(float) if model.discrete else rng.uniform(27, 78, size)
        days, (x, t_x) = (1 if model.discrete else 7), model.simulate(one, T, rng).summary(size)
        parts.append(
            pd.DataFrame({"segment": f"s{g}", "frequency": x, "recency_days": days * t_x, "T_days": days * T})
        )
    return pd.concat(parts).assign(n=1).groupby(KEYS, as_index=False)["n"].sum(), truth


def require_thick_ones_found_and_the_thin_one_drawn_in(fit, truth, mean):
    """``mean`` (parameters) is what segments are compared by."""
    true, found, alone = (
        np.array([float(mean(one)) for one in each]) for each in (truth, fit.mle, fit.alone)
    )
    everybody = float(mean(fit.pooled.mle))
    print(
        f"{fit.name}: true {true.round(2)}, found {found.round(2)}, alone {alone.round(2)}, all {everybody:.2f}"
    )
    np.testing.assert_allclose(found[:3], true[:3], rtol=0.1)
    assert list(np.argsort(found[:3])) == list(np.argsort(true[:3]))
    eta, free = (
        fit.model.coordinates(fit.model.in_unit(one, 1 / fit.pooled.scale)) for one in (fit.mle, fit.alone)
    )
    drawn, own = np.abs(eta - fit.centre).sum(axis=1), np.abs(free - fit.centre).sum(axis=1)
    assert drawn[3] / own[3] < 0.5 and drawn[3] / own[3] < drawn[0] / own[0]
    assert 0 < (found[3] - everybody) / (alone[3] - everybody) < 0.9


@pytest.mark.parametrize("process", PLANTED)
def test_planted_segments_are_found_by_every_process(process):
    cells, truth = planted(process, 3)
    section, ahead = (COUNTED, 10.0) if process == "bgbb" else (SECTION, 52.0)
    fit = fit_process_by_segment(process, cells, section, sample=False)
    require_thick_ones_found_and_the_thin_one_drawn_in(fit, truth, lambda one: fit.model.mean(one, ahead))


@pytest.mark.parametrize(
    ("model", "centre"), [("gammagamma", (6.25, 3.74, 15.44)), ("by_frequency", (6.25, 3.74, 15.44, 1.25))]
)
def test_planted_segments_of_spend_are_found(model, centre):
    rng, of, parts = np.random.default_rng(5), processes.get(model), []
    truth = np.array(centre) * np.array([1.4, 0.7, 1.0, 2.0])[:, None] ** np.array(
        [0, 0, 1, 0][: len(centre)]
    )
    for g, (size, one) in enumerate(zip((1500, 1200, 900, 8), truth, strict=True)):
        x = rng.geometric(0.4, size)
        spend = (100 * x * of.simulate_means(one, x, rng)).round().astype(int)
        parts.append(pd.DataFrame({"segment": f"s{g}", "frequency": x, "spend_minor": spend, "n": 1}))
    fit = fit_spend_by_segment(pd.concat(parts), SECTION, 100, model=model, sample=False)

    def mean(one):
        return fit.model.expected_spend(one, np.zeros(1), fit.observed)[0][..., 0]

    require_thick_ones_found_and_the_thin_one_drawn_in(fit, truth, mean)
    if model == "by_frequency":
        np.testing.assert_allclose(np.log(fit.mle[:3, 3]), np.log(1.25), atol=0.1)


def false_alarms(seeds) -> int:
    """Worlds with equal segments in which any of them is reported as different."""
    alarms = 0
    for seed in seeds:
        cells, _ = company(seed, [250, 250, 100])
        fit = fit_process_by_segment("bgnbd", cells, QUICK, sample=True)
        alarms += differences.new_customers(fit)["differs"].any()
    return alarms


@pytest.mark.slow
def test_equal_segments_are_rarely_reported_as_different():
    worlds = 20
    alarms = false_alarms(range(100, 100 + worlds))
    # a stated rate of at most 10 %, excluded at 0.1 % (six or more of twenty)
    assert binom.sf(alarms - 1, worlds, 0.10) > 0.001, f"{alarms} of {worlds}"


def test_settings_say_what_is_wrong():
    with pytest.raises(ValueError, match="ignore"):
        ModelsSection(segments="yes")
    assert ModelsSection(segments="value").valued_with == "paretonbd_by_segment"
    assert ModelsSection().valued_with == "paretonbd"
