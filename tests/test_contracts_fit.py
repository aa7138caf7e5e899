"""Fits of contracts: the papers' estimates, what is refused, entry after the start, segments, and posteriors.

Seeds are fixed; an estimate fails where it lies more than 4 standard errors from the truth.
"""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2
from survivors import BLUE_APRON, HIGH_END, REGULAR, spells

from clvkit import processes
from clvkit.contracts_fit import fit_contracts, fit_contracts_by_segment
from clvkit.errors import FitError
from clvkit.fit import Fit
from clvkit.models_section import ModelsSection
from clvkit.segments import SegmentedFit

SECTION = ModelsSection()
YEAR = {"period_days": 365.25}
KEYS = ["renewals", "ended", "entry"]


def cells_of(alive) -> pd.DataFrame:
    renewals, ended, n = spells(alive)
    return pd.DataFrame({"renewals": renewals, "ended": ended, "n": n})


def world(model, coordinates, contracts, seed, most=9) -> pd.DataFrame:
    """Contracts that began 1 to ``most`` periods ago, with ``age``; one row each."""
    rng, model = np.random.default_rng(seed), processes.get(model)
    age = rng.integers(1, most + 1, contracts)
    made, ended = model.simulate(model.from_coordinates(np.array(coordinates)), age, rng)
    return pd.DataFrame({"renewals": made, "ended": ended, "entry": 0, "n": 1, "age": age})


class TestPublished:
    @pytest.mark.parametrize(
        ("alive", "exact", "height"),
        [
            # Fader & Hardie (2007), appendix B: .704, 1.182 and .668, 3.806 from 7 renewals; digits recomputed
            (REGULAR[:8], (0.70407732, 1.18204308), -1680.2652),
            (HIGH_END[:8], (0.66808832, 3.80609472), -1611.1581),
            # from the 4 renewals of the BdW notebook's `year[:5]`
            (REGULAR[:5], (0.7637, 1.2958), -1401.5594),
            (HIGH_END[:5], (1.2809, 7.7898), -1225.1349),
            # the teaching file on Blue Apron
            (BLUE_APRON, (0.7104, 1.3072), -19863.09),
        ],
    )
    def test_sbg(self, alive, exact, height):
        fit = fit_contracts(cells_of(alive), SECTION, **YEAR)
        np.testing.assert_allclose(fit.mle, exact, rtol=8e-5 if len(str(exact[0])) < 8 else 1e-7)
        assert fit.log_likelihood == pytest.approx(height, abs=5.1e-5 if height > -10_000 else 5e-3)
        assert fit.starts_agreeing > 1 and fit.gradient_norm < 1e-9 and fit.at_bound == ()
        assert fit.customers == alive[0] and fit.unit_days == 365.25

    @pytest.mark.parametrize(
        ("alive", "exact", "height", "ratio", "p"),
        [
            # the notebook with Fader et al. (2018): .5231, .8944, 1.1963 and .2593, 1.7225, 1.5844; digits recomputed
            (REGULAR[:5], (0.52303, 0.89428, 1.19640), -1401.3831, 0.35, 0.553),
            (HIGH_END[:5], (0.25934, 1.72255, 1.58436), -1222.7493, 4.77, 0.029),
        ],
    )
    def test_bdw_against_sbg(self, alive, exact, height, ratio, p):
        sbg, bdw = (fit_contracts(cells_of(alive), SECTION, model=name, **YEAR) for name in ("sbg", "bdw"))
        np.testing.assert_allclose(bdw.mle, exact, rtol=2e-5)
        assert bdw.log_likelihood == pytest.approx(height, abs=5.1e-5)
        twice = 2 * (bdw.log_likelihood - sbg.log_likelihood)
        assert twice == pytest.approx(ratio, abs=5e-3)
        assert chi2.sf(twice, 1) == pytest.approx(p, abs=5.1e-4)


class TestCells:
    @settings(max_examples=5, deadline=None)
    @given(seed=st.integers(0, 10_000))
    def test_order_splitting_and_merging_change_nothing(self, seed):
        rng = np.random.default_rng(seed)
        given = cells_of(HIGH_END[:5]).assign(entry=0)
        split = given.loc[np.repeat(given.index, 2)].reset_index(drop=True)
        first = rng.binomial(given["n"], 0.4)
        split["n"] = np.column_stack([first, given["n"] - first]).ravel()
        shuffled = split.sample(frac=1, random_state=seed)[["n", "entry", "ended", "renewals"]]
        one, other = (fit_contracts(c, SECTION, model="bdw", **YEAR) for c in (given, shuffled))
        np.testing.assert_array_equal(one.mle, other.mle)
        assert (one.log_likelihood, one.cells, one.customers) == (
            other.log_likelihood,
            other.cells,
            other.customers,
        )

    def test_one_row_a_contract_and_numbers_for_truth(self):
        given = cells_of(HIGH_END[:8])
        rows = given.loc[np.repeat(given.index, given["n"])].assign(
            n=1, ended=lambda f: f["ended"].astype(int)
        )
        found = fit_contracts(rows, SECTION, **YEAR)
        np.testing.assert_array_equal(found.mle, fit_contracts(given, SECTION, **YEAR).mle)

    def test_a_fit_is_kept_and_read_again(self, tmp_path):
        fit = fit_contracts(cells_of(REGULAR[:8]), SECTION, **YEAR)
        fit.save(tmp_path)
        again = Fit.load(tmp_path)
        assert again.model.label == "sBG" and np.array_equal(again.mle, fit.mle)


class TestRefused:
    def cells(self, *rows) -> pd.DataFrame:
        return pd.DataFrame(rows, columns=[*KEYS, "n"])

    @pytest.mark.parametrize(
        ("rows", "model", "words"),
        [
            ([(0, False, 0, 70), (3, False, 3, 30)], "sbg", "none of 100 contracts has come to a renewal"),
            ([(3, False, 0, 20), (2, False, 1, 5)], "sbg", "all 65 renewals that came up were made"),
            ([(1.5, True, 0, 20)], "sbg", "whole numbers of 0 or more .row 0: renewals 1.5, ended True, entry 0, n 20"),
            ([(1, True, 2, 20)], "sbg", "at least as many renewals by the end .row 0: renewals 1, ended True, entry 2"),
            ([(1, True, 0, -20)], "sbg", "n counts contracts"),
            ([(1, np.nan, 0, 20)], "sbg", "ended must be true or false"),
            ([(0, True, 0, 20), (1, True, 0, 10), (2, False, 0, 9)], "bdw", r"3 different numbers .* \(got renewal 1, 2\)"),
            ([(4, True, 4, 20), (5, False, 4, 10)], "sbg", r"2 different numbers .* \(got renewal 5\)"),
            ([(0, True, 0, 20), (1, False, 0, 10)], "sbg", r"at least 2 different numbers must .* \(got renewal 1\)"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_learnt_from(self, rows, model, words):
        with pytest.raises(FitError, match=words) as refused:
            fit_contracts(self.cells(*rows), SECTION, model=model, **YEAR)
        assert refused.value.fix

    def test_alike_contracts_run_to_the_bound_and_it_is_said(self):
        """Retention that falls, which sBG cannot have: best are contracts all alike, and nothing limits how alike."""
        given = cells_of([1000, 850, 680, 510, 357])
        fit = fit_contracts(given, SECTION, **YEAR)
        assert fit.at_bound == ("log_concentration",) and np.isnan(fit.se).all()
        churn = (1000 - 357) / (1000 + 850 + 680 + 510)
        np.testing.assert_allclose(fit.model.retention(fit.mle, [1, 5, 20]), 1 - churn, atol=1e-4)
        bdw = fit_contracts(given, SECTION, model="bdw", **YEAR)
        assert bdw.mle[2] > 1 and bdw.log_likelihood > fit.log_likelihood + 5

    def test_segments_are_at_least_two(self):
        with pytest.raises(FitError, match="two segments or more"):
            fit_contracts_by_segment(cells_of(HIGH_END[:8]).assign(segment="a"), SECTION, **YEAR)


class TestTruth:
    @pytest.mark.parametrize(
        ("model", "at"), [("sbg", (-1.3, 1.0)), ("sbg", (-3.0, 3.0)), ("bdw", (-1.5, 0.8, 0.4)), ("bdw", (-1.0, 1.5, -0.5))]
    )  # fmt: skip
    def test_is_found(self, model, at):
        fit = fit_contracts(world(model, at, 30_000, 5), SECTION, model=model, **YEAR)
        truth = fit.model.from_coordinates(np.array(at))
        assert (np.abs(fit.mle - truth) < 4 * fit.se).all()

    def test_customers_who_left_before_observation_began(self):
        """Observed over the last two periods only: as if from the start, churn seems far smaller; with entry it is right."""
        truth = processes.get("sbg").from_coordinates(np.array([-1.0, 1.0]))
        all_of_them = world("sbg", (-1.0, 1.0), 60_000, 8)
        entry = np.maximum(all_of_them["age"] - 2, 0)
        seen = all_of_them.assign(entry=entry)[all_of_them["renewals"] >= entry]  # still there by then
        assert 0.5 < len(seen) / len(all_of_them) < 0.8
        right, naive = (fit_contracts(c, SECTION, **YEAR) for c in (seen, seen.assign(entry=0)))
        assert (np.abs(right.mle - truth) < 4 * right.se).all()
        churn = [1 - fit.model.retention(fit.mle, 1) for fit in (right, naive)]
        assert churn[0] == pytest.approx(truth[0] / truth.sum(), abs=0.01)
        assert churn[1] < 0.75 * churn[0]


class TestPosterior:
    @pytest.mark.parametrize(
        ("model", "alive"),
        [("sbg", HIGH_END[:8]), ("sbg", REGULAR[:5]), ("bdw", HIGH_END[:8]), ("bdw", REGULAR[:5])],
    )
    def test_chains_agree(self, model, alive):
        fit = fit_contracts(cells_of(alive), SECTION, model=model, sample=True, **YEAR)
        assert fit.method == "nuts" and fit.draws.shape[0] == 4
        assert fit.diagnostics["r_hat_max"] < 1.01 and fit.diagnostics["ess_min"] > 400
        assert fit.diagnostics["divergences"] == 0

    def test_it_is_the_posterior(self):
        """Means of both coordinates by a grid over them."""
        given, section = cells_of(HIGH_END[:5]), SECTION
        fit = fit_contracts(given, section, sample=True, **YEAR)
        columns = given.assign(entry=0)[[*KEYS, "n"]].to_numpy().T
        target = fit.model.target(*fit.model.prepare(*(c.astype(int) for c in columns)), fit.priors)
        axes = np.linspace(-2.6, -1.2, 71), np.linspace(-0.5, 7, 151)
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
        height = np.array([target.value_and_gradient(one)[0] for one in grid])
        weight = np.exp(height - height.max())
        mean = weight @ grid / weight.sum()
        found = fit.coordinates()
        error = found.std(axis=0) / np.sqrt(fit.diagnostics["ess_min"])
        assert (np.abs(found.mean(axis=0) - mean) < 4 * error).all()

    def test_laplace(self):
        section = SECTION.model_copy(
            update={"sampler": SECTION.sampler.model_copy(update={"method": "laplace"})}
        )
        fit = fit_contracts(cells_of(REGULAR[:8]), section, sample=True, **YEAR)
        assert fit.method == "laplace" and fit.diagnostics["ess_min"] > 400
        np.testing.assert_allclose(fit.flat.mean(axis=0), fit.mle, rtol=0.1)


@pytest.mark.slow
class TestSegments:
    SIZES = (4000, 2000, 1000, 400, 100, 30, 8, 0)

    def segments(self, model, centre, spread, seed):
        rng = np.random.default_rng(seed)
        eta = np.array(centre) + np.array(spread) * rng.standard_normal((len(self.SIZES), len(centre)))
        parts = [
            world(model, one, size, seed + g).assign(segment=f"s{g}")
            for g, (one, size) in enumerate(zip(eta, self.SIZES, strict=True))
        ]
        parts[-1] = pd.DataFrame([{"renewals": 0, "ended": False, "entry": 0, "n": 5, "segment": "s7"}])
        return pd.concat(parts, ignore_index=True), eta

    def test_thin_ones_lean_on_the_rest(self):
        given, eta = self.segments("sbg", (-1.2, 0.8), (0.6, 0.3), 1)
        fit = fit_contracts_by_segment(given, SECTION, period_days=30)
        model, each = fit.model, fit.model.coordinates(fit.mle)
        assert fit.customers == len(given) + 4 and fit.segments[-1] == "s7"
        np.testing.assert_allclose(each[:3], eta[:3], atol=0.3)
        # five contracts none of which came to a renewal: what segments have in general
        np.testing.assert_allclose(each[-1], fit.centre, atol=1e-5)
        # the fewer contracts, the nearer to the others, by churn at the first renewal
        alone = model.coordinates(fit.alone)
        kept = (each[:, 0] - fit.centre[0]) / (alone[:, 0] - fit.centre[0])
        assert kept[0] == pytest.approx(1, abs=0.05) and kept[6] < 0.8
        thin = slice(4, 7)
        survival = lambda coordinates: model.survival(model.from_coordinates(coordinates), 6)  # noqa: E731
        truth = survival(eta[thin])
        assert np.abs(survival(each[thin]) - truth).mean() < np.abs(survival(alone[thin]) - truth).mean()

    @pytest.mark.parametrize(
        ("model", "centre", "spread"), [("sbg", (-1.2, 0.8), (0.6, 0.3)), ("bdw", (-1.2, 0.8, 0.3), (0.6, 0.3, 0.1))]
    )  # fmt: skip
    def test_posterior(self, model, centre, spread, tmp_path):
        given, eta = self.segments(model, centre, spread, 2)
        fit = fit_contracts_by_segment(given, SECTION, model=model, sample=True, period_days=30)
        assert fit.diagnostics["r_hat_max"] < 1.01 and fit.diagnostics["ess_min"] > 400
        drawn = np.stack([fit.model.survival(fit.flat[:, g], [1, 3, 8]) for g in range(len(eta))], axis=1)
        low, high = np.quantile(drawn, [0.001, 0.999], axis=0)
        truth = np.stack([fit.model.survival(fit.model.from_coordinates(one), [1, 3, 8]) for one in eta])
        assert ((low < truth) & (truth < high)).all()
        width = high - low
        assert (width[0] < width[5]).all()
        fit.save(tmp_path)
        again = SegmentedFit.load(tmp_path)
        np.testing.assert_array_equal(again.mle, fit.mle)
        np.testing.assert_array_equal(again.flat, fit.flat)
