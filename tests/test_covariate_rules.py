"""Levels of covariates: few of them by stated rules, each customer in one, and a word where a value comes too late."""

import numpy as np
import pandas as pd
import pytest

from clvkit.covariate_levels import Design
from clvkit.covariate_rules import after_the_fact, codes, covariate_of, patterns
from clvkit.errors import FitError

RNG = np.random.default_rng(1)


def test_numbers_are_parted_at_their_quantiles():
    values = pd.Series([*range(1, 101), None, None])
    age = covariate_of("age", values, bins=4)
    assert age.edges == (25.0, 50.0, 75.0) and age.customers == (25, 25, 25, 25, 2)
    assert age.levels == ("up to 25", "over 25 to 50", "over 50 to 75", "over 75", "missing")
    np.testing.assert_array_equal(codes(age, pd.Series([25, 25.5, 100, None])), [0, 1, 3, 4])
    assert [step for step, _ in age.steps] == list(age.levels[1:])
    assert "quantiles, 25 and 50 and 75" in age.rule


def test_many_equal_numbers_make_fewer_bins():
    few = covariate_of("visits", pd.Series([0] * 80 + list(range(1, 21))))
    assert few.edges == (0.0,) and few.customers == (80, 20)


def test_few_numbers_are_kept_and_count_in_standard_deviations():
    values = pd.Series([1, 2, 3] * 50 + [None] * 50)
    size = covariate_of("size", values)
    assert size.kind == "number" and size.customers == (50, 50, 50, 50)
    (_, steps), (name, ones) = size.steps
    weights = np.array(size.customers[:3]) / 150
    assert weights @ steps[:3] == pytest.approx(0) and weights @ steps[:3] ** 2 == pytest.approx(1)
    assert steps[3] == 0 and name == "missing" and list(ones) == [0, 0, 0, 1]
    assert covariate_of("flag", pd.Series([0, 1] * 50)).kind == "categories"


def test_categories_go_by_number_and_rare_ones_are_pooled():
    values = pd.Series(["b"] * 500 + ["a"] * 700 + ["rare"] * 5 + ["odd"] * 6 + [None] * 3)
    plan = covariate_of("plan", values, on=["rate"])
    assert plan.levels == ("a", "b", "other", "missing") and plan.customers == (700, 500, 11, 3)
    np.testing.assert_array_equal(codes(plan, pd.Series(["b", "odd", "new", None])), [1, 2, 2, 3])
    assert sum(plan.customers) == len(values)
    design = Design((plan,))
    assert [on for on, _, _ in design.effects] == ["rate"] * 3
    assert Design.from_json(design.to_json()) == design


def test_what_makes_no_levels_is_refused():
    with pytest.raises(FitError, match="the same for everybody \\(x\\)"):
        covariate_of("plan", pd.Series(["x"] * 50))
    with pytest.raises(FitError, match="not a number"):
        covariate_of("plan", pd.Series(["x", "y"]), bins="keep")
    with pytest.raises(FitError, match="more than 20 cannot be kept"):
        covariate_of("age", pd.Series(range(30)), bins="keep")
    with pytest.raises(FitError, match="has no level for 'c'"):
        codes(covariate_of("plan", pd.Series(["a", "b"] * 40)), pd.Series(["c"]))


def test_a_million_customers_with_two_covariates_have_four_patterns():
    people = pd.DataFrame(
        {"plan": RNG.choice(["basic", "gold"], 10**6), "app": RNG.integers(0, 2, 10**6), "age": 1}
    )
    design = Design(tuple(covariate_of(name, people[name]) for name in ("plan", "app")))
    cells = people.assign(pattern=patterns(design, people), frequency=RNG.poisson(1.5, 10**6))
    assert sorted(cells["pattern"].unique()) == ["0.0", "0.1", "1.0", "1.1"]
    assert len(cells.groupby(["pattern", "frequency"])) <= 4 * cells["frequency"].nunique()
    assert design.words("1.0").startswith("plan ")


def test_order_of_customers_changes_no_level():
    values = pd.Series(RNG.choice(["a", "b", "c"], 300))
    assert covariate_of("plan", values) == covariate_of("plan", values.sample(frac=1, random_state=3))


def test_what_is_known_only_later_is_put_up_for_review():
    frequency = pd.Series(RNG.poisson(1.0, 2000))
    plan = pd.Series(RNG.choice(["a", "b"], 2000))
    assert after_the_fact("plan", plan, frequency, 0.0).status == "pass"
    assert "changes in the rows of 20.0%" in after_the_fact("plan", plan, frequency, 0.2).message
    total = 10.0 * (1 + frequency) + RNG.normal(0, 1, 2000)  # a column added up over purchases
    assert "rank correlation" in after_the_fact("total", total, frequency, 0.0).message
    second = plan.where(frequency > 0)  # asked for at the second purchase
    found = after_the_fact("second", second, frequency, 0.0)
    assert found.status == "review" and "missing for 100% of those who never came back" in found.message
