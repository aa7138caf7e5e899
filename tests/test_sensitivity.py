import cdnow_frames
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.integrate import quad

import clvkit
from clvkit.drivers import DRIVERS
from clvkit.sensitivity import Sensitivity, SensitivitySection, one_way, simple_clv, simple_elasticities
from clvkit.value import Future, Terms, ValueSection, sweep

YEAR = 365.25
VALUE = ValueSection(margin=0.3, annual_discount_rate=0.1, posterior_draws=60)


def moved(fit, value=VALUE, section=None, cells=None):
    spend = cdnow_frames.fit("gammagamma")
    if fit.draws is not None:
        spend = cdnow_frames.with_posterior(spend, seed=6)
    return one_way(
        fit,
        spend,
        cdnow_frames.cells() if cells is None else cells,
        value,
        section or SensitivitySection(),
        currency="USD",
        minor_per_unit=100,
        days_per_year=YEAR,
    )


@pytest.fixture(scope="module")
def pareto():
    """CDNOW's sample with made-up posterior draws."""
    return moved(cdnow_frames.with_posterior(cdnow_frames.fit("paretonbd")))


@pytest.fixture(scope="module")
def plug_in():
    """The same at the maximum-likelihood estimate alone."""
    return moved(cdnow_frames.fit("paretonbd"))


def equity(terms, future, fit=None, cells=None):
    fit, spend = fit or cdnow_frames.fit("paretonbd"), cdnow_frames.fit("gammagamma")
    cells = cdnow_frames.cells() if cells is None else cells
    group = np.zeros(len(cells), int)
    totals = sweep(fit, spend, (fit.mle[None], spend.mle[None]), cells, [group], [(terms, future)], 100)
    return totals[0][0]


class TestSimpleModel:
    # Margin multiples of Gupta, Lehmann & Stuart (2004): r/(1+i-r), by retention and rate
    TABLE = {
        0.6: (1.20, 1.15, 1.11, 1.07),
        0.7: (1.75, 1.67, 1.59, 1.52),
        0.8: (2.67, 2.50, 2.35, 2.22),
        0.9: (4.50, 4.09, 3.75, 3.46),
    }

    @pytest.mark.parametrize("retention", TABLE)
    def test_margin_multiples(self, retention):
        found = [simple_clv(1, retention, rate) for rate in (0.10, 0.12, 0.14, 0.16)]
        assert found == pytest.approx(self.TABLE[retention], abs=0.005)

    @pytest.mark.parametrize(
        ("retention", "elasticity", "bump"),
        [(0.6, 2.154, 2.18), (0.7, 2.667, 2.71), (0.8, 3.500, 3.59), (0.9, 5.091, 5.31)],
    )
    def test_the_retention_elasticity_is_the_formula(self, retention, elasticity, bump):
        found = simple_elasticities(retention, 0.12)
        assert found["retention"] == pytest.approx(elasticity, abs=5e-4)
        assert -found["retention"] / found["discount_rate"] == pytest.approx(1.12 / 0.12)  # 9.33, and not 5
        one_more = simple_clv(1, 1.01 * retention, 0.12) / simple_clv(1, retention, 0.12) - 1
        assert 100 * one_more == pytest.approx(bump, abs=0.005)

    @given(st.floats(0.05, 0.98), st.floats(0.01, 0.5))
    def test_elasticities_are_the_slopes_of_the_formula(self, retention, rate):
        h, value, found = 1e-6, simple_clv(2.0, retention, rate), simple_elasticities(retention, rate)
        by_retention = simple_clv(2.0, retention * (1 + h), rate) - simple_clv(2.0, retention * (1 - h), rate)
        by_rate = simple_clv(2.0, retention, rate * (1 + h)) - simple_clv(2.0, retention, rate * (1 - h))
        assert by_retention / (2 * h * value) == pytest.approx(found["retention"], rel=1e-5)
        assert by_rate / (2 * h * value) == pytest.approx(found["discount_rate"], rel=1e-4, abs=1e-8)

    @pytest.mark.parametrize(("retention", "rate"), [(1.0, 0.0), (1.1, 0.2), (-0.1, 0.1), (0.5, -0.1)])
    def test_what_has_no_value_is_refused(self, retention, rate):
        with pytest.raises(ValueError, match="retention must be"):
            simple_clv(1, retention, rate)


class TestElasticities:
    @pytest.mark.parametrize("rate", [0.0, 0.1])
    def test_the_purchase_rate_has_elasticity_one_in_pareto_nbd(self, rate):
        value = VALUE.model_copy(update={"annual_discount_rate": rate})
        found = moved(cdnow_frames.with_posterior(cdnow_frames.fit("paretonbd")), value).elasticities
        one = found["purchase_rate"]
        assert [one.value, one.low, one.high, one.mle] == pytest.approx([1.0] * 4, abs=1e-10)

    @pytest.mark.parametrize("process", ["bgnbd", "mbgnbd"])
    def test_it_has_less_where_every_purchase_may_be_the_last(self, process):
        few = cdnow_frames.cells().iloc[::7]
        assert 0.5 < moved(cdnow_frames.fit(process), cells=few).elasticities["purchase_rate"].value < 0.99

    def test_value_is_proportional_to_margin_and_spend(self, pareto):
        for name in ("margin", "spend"):
            assert pareto.elasticities[name].value == pytest.approx(1, abs=1e-10)

    def test_the_others_agree_with_quadrature_of_the_model(self, plug_in):
        # expected purchases of a living customer: (r+x)/(alpha+T) times its discounted lifetime
        fit, cells = cdnow_frames.fit("paretonbd"), cdnow_frames.cells()
        r, alpha, s, beta = fit.mle
        x, t_x, T = (
            cells[c].to_numpy() / u for c, u in (("frequency", 1), ("recency_days", 7), ("T_days", 7))
        )
        base, slope = cdnow_frames.fit("gammagamma").model.expected_spend(
            cdnow_frames.fit("gammagamma").mle, x
        )
        weight = fit.model.p_alive(fit.mle, x, t_x, T) * (r + x) / (alpha + T)
        weight = weight * (base * cells["n"] + slope * cells["spend_minor"] / 100)
        ages, at = np.unique(T, return_inverse=True)

        def total(hazard=1.0, rate=0.1, horizon=36 * YEAR / 12 / 7):
            force = np.log1p(rate) * 7 / YEAR
            each = [
                quad(lambda t, age=age: np.exp(-force * t) * (1 + hazard * t / (beta + age)) ** -s, 0, horizon,
                     epsabs=0, epsrel=1e-11)[0]
                for age in ages
            ]  # fmt: skip
            return 0.3 * float(np.sum(weight * np.array(each)[at]))

        assert plug_in.equity.value == pytest.approx(total(), rel=1e-8)
        for name, up, down in (
            ("dropout_hazard", total(hazard=1.01), total(hazard=0.99)),
            ("discount_rate", total(rate=0.101), total(rate=0.099)),
            ("horizon", total(horizon=36.36 * YEAR / 84), total(horizon=35.64 * YEAR / 84)),
        ):
            assert plug_in.elasticities[name].value == pytest.approx((up - down) / 0.02 / total(), rel=1e-6)

    def test_signs_and_sizes_on_cdnow(self, plug_in):
        found = {name: one.value for name, one in plug_in.elasticities.items()}
        assert found["dropout_hazard"] == pytest.approx(-0.165, abs=5e-4)
        assert found["discount_rate"] == pytest.approx(-0.120, abs=5e-4)
        assert found["horizon"] == pytest.approx(0.709, abs=5e-4)

    def test_metrics_are_named_after_their_drivers(self, pareto):
        assert set(pareto.metrics()) == {f"elasticity_{name}" for name in DRIVERS}
        assert {one.unit for one in pareto.metrics().values()} == {"% per %"}


class TestOneWay:
    def test_with_nothing_moved_it_is_the_value(self, plug_in):
        terms = Terms.of(VALUE, YEAR)
        assert plug_in.equity.value == equity(terms, Future()).value.sum()

    def test_only_the_future_is_moved(self, plug_in):
        terms = Terms.of(VALUE, YEAR)
        alive = equity(terms, Future()).alive.sum()
        for name, driver in DRIVERS.items():
            totals = equity(*driver.case(terms, driver.moved(terms, 1.1)))
            assert totals.alive.sum() == alive
            row = plug_in.drivers.set_index("driver").loc[name]
            assert row["equity_up"] == pytest.approx(totals.value.sum(), rel=1e-12)

    def test_the_widest_swing_comes_first_and_ties_keep_their_order(self, pareto):
        assert list(pareto.drivers["driver"]) == list(
            ("purchase_rate", "spend", "margin", "horizon", "dropout_hazard", "discount_rate")
        )

    def test_the_interval_is_the_one_of_the_difference(self, pareto):
        row = pareto.drivers.set_index("driver").loc["margin"]
        assert row["difference_up"] == pytest.approx(0.1 * pareto.equity.value)
        assert row["difference_up_low"] == pytest.approx(0.1 * pareto.equity.low)
        assert row["difference_up_high"] == pytest.approx(0.1 * pareto.equity.high)
        assert row["difference_up_mle"] == pytest.approx(0.1 * pareto.equity.mle)

    def test_without_a_posterior_there_is_no_interval(self, plug_in):
        assert plug_in.equity.low is None
        assert plug_in.drivers["difference_up_low"].isna().all()
        assert plug_in.elasticities["horizon"].high is None

    def test_levels_mean_what_they_say(self):
        one = pd.DataFrame({"segment": "all", "frequency": [3], "recency_days": [200], "T_days": [350],
                            "n": [2], "spend_minor": [24000]})  # fmt: skip
        rows = moved(cdnow_frames.fit("paretonbd"), cells=one).drivers.set_index("driver")
        r, alpha, s, beta = cdnow_frames.fit("paretonbd").mle
        p, q, gamma = cdnow_frames.fit("gammagamma").mle
        year = YEAR / 7
        assert rows.loc["purchase_rate", "base"] == pytest.approx((r + 3) / (alpha + 50) * year, rel=1e-5)
        assert rows.loc["spend", "base"] == pytest.approx(p * (gamma + 120) / (3 * p + q - 1))
        for side, hazard in (("down", 0.9), ("base", 1.0), ("up", 1.1)):
            lost = 1 - (1 + hazard * year / (beta + 50)) ** -s
            assert rows.loc["dropout_hazard", side] == pytest.approx(lost, rel=1e-4)
        assert tuple(rows.loc["horizon", ["down", "base", "up"]]) == pytest.approx((32.4, 36, 39.6))
        assert tuple(rows.loc["discount_rate", ["down", "base", "up"]]) == pytest.approx((0.09, 0.1, 0.11))

    def test_margin_stays_within_the_whole(self):
        found = moved(cdnow_frames.fit("paretonbd"), VALUE.model_copy(update={"margin": 0.96}))
        row = found.drivers.set_index("driver").loc["margin"]
        assert (row["up"], row["factor_up"]) == pytest.approx((1.0, 1 / 0.96))
        assert row["difference_up"] == pytest.approx(found.equity.value * 0.04 / 0.96)
        assert found.elasticities["margin"].value == pytest.approx(1)

    def test_a_margin_of_one_still_has_its_elasticity(self):
        found = moved(cdnow_frames.fit("paretonbd"), VALUE.model_copy(update={"margin": 1.0}))
        assert found.elasticities["margin"].value == pytest.approx(1)

    def test_a_zero_discount_rate_stays_zero(self):
        found = moved(cdnow_frames.fit("paretonbd"), VALUE.model_copy(update={"annual_discount_rate": 0.0}))
        row = found.drivers.set_index("driver").loc["discount_rate"]
        assert (row["factor_down"], row["factor_up"], row["swing"]) == (1, 1, 0)
        assert found.elasticities["discount_rate"].value == 0
        assert (
            0 < found.needed.set_index("driver").loc["discount_rate", "level"] < 1
        )  # a level is found all the same

    def test_the_order_of_cells_does_not_matter(self, plug_in):
        again = moved(
            cdnow_frames.fit("paretonbd"), cells=cdnow_frames.cells().sample(frac=1, random_state=3)
        )
        columns = [column for column in again.drivers if column != "driver"]
        np.testing.assert_allclose(again.drivers[columns], plug_in.drivers[columns], rtol=1e-9, atol=1e-7)

    def test_saved_and_loaded_it_is_the_same(self, pareto, tmp_path):
        pareto.save(tmp_path / "kept")
        again = Sensitivity.load(tmp_path / "kept")
        pd.testing.assert_frame_equal(again.drivers, pareto.drivers)
        pd.testing.assert_frame_equal(again.needed, pareto.needed)
        assert (again.terms, again.equity, again.elasticities) == (
            pareto.terms,
            pareto.equity,
            pareto.elasticities,
        )


class TestNeeded:
    def test_re_inserted_equity_falls_by_that_much(self, plug_in):
        terms = Terms.of(VALUE, YEAR)
        for row in plug_in.needed.itertuples():
            driver = DRIVERS[row.driver]
            to = driver.base(terms) * row.factor
            assert equity(*driver.case(terms, to)).value.sum() == pytest.approx(
                0.9 * plug_in.equity.value, rel=1e-8
            )

    def test_it_is_found_at_the_estimate_also_with_a_posterior(self, pareto, plug_in):
        np.testing.assert_allclose(pareto.needed["factor"], plug_in.needed["factor"])

    def test_what_cannot_do_it_says_so(self):
        found = moved(cdnow_frames.fit("paretonbd"), section=SensitivitySection(fall=0.9)).needed.set_index(
            "driver"
        )
        assert found.loc[["dropout_hazard", "discount_rate"], "factor"].isna().all()
        assert found.loc["purchase_rate", "factor"] == pytest.approx(0.1)
        assert found.loc["margin", "level"] == pytest.approx(0.03)


@pytest.mark.parametrize("field", ["change", "fall", "max_assumption_effect"])
@pytest.mark.parametrize("value", [0, 1, 10, -0.1])
def test_the_section_takes_fractions_only(field, value):
    with pytest.raises(ValidationError, match="must be a fraction between 0 and 1"):
        SensitivitySection(**{field: value})


def test_a_workbench_makes_it_once_and_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setenv("CLVKIT_REPORTS", str(tmp_path))
    study = cdnow_frames.SAMPLE.parents[2] / "params" / "cdnow_sample.yml"
    quick = {"models": {"sampled": [], "processes": ["paretonbd"]}}
    run = clvkit.open_run(study, **quick)
    first = run.sensitivity()
    assert first.equity.value == pytest.approx(run.valuation().estimates["customer_equity"].value, rel=1e-9)
    again = clvkit.open_run(study, **quick)
    assert again.key("sensitivity") == run.key("sensitivity")
    pd.testing.assert_frame_equal(again.sensitivity().drivers, first.drivers)
    # a threshold for review decides nothing here, a larger move does
    threshold = clvkit.open_run(study, **quick, sensitivity={"max_assumption_effect": 0.2})
    assert threshold.key("sensitivity") == run.key("sensitivity")
    assert clvkit.open_run(study, **quick, sensitivity={"change": 0.2}).key("sensitivity") != run.key(
        "sensitivity"
    )
