"""What holds for every likelihood kernel: exact gradients, and cells that only compress."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clvkit import processes

SPEND = processes.SPEND
NAMES = ("bgnbd", "mbgnbd", "paretonbd", *SPEND)
POINTS = {
    "bgnbd": [(0.243, 4.414, 0.793, 2.426), (3.0, 0.5, 40.0, 90.0), (0.05, 60.0, 0.02, 0.3)],
    "mbgnbd": [(0.525, 6.183, 0.891, 1.614), (3.0, 0.5, 40.0, 90.0), (0.05, 60.0, 0.02, 0.3)],
    "paretonbd": [(0.553, 10.578, 0.606, 11.669), (2.0, 0.5, 1.0, 3.0), (0.05, 60.0, 3.5, 0.2)],
    "gammagamma": [(6.25, 3.74, 15.44), (0.3, 1.5, 200.0), (40.0, 12.0, 3.0)],
    "by_frequency": [(6.25, 3.74, 15.44, 1.3), (0.3, 1.5, 200.0, 1.0), (40.0, 12.0, 3.0, 0.6)],
}


def some_cells(name, seed=0, size=60):
    """Random cells as the model's `prepare` takes them: two histories (or one total), then the count."""
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 50, size).astype(float)
    if name in SPEND:
        x = rng.integers(1, 40, size)
        return x, np.round(x * rng.gamma(2.0, 15.0, size), 2) + 0.01, n
    x = np.where(rng.random(size) < 0.3, 0, rng.integers(0, 40, size))
    T = rng.integers(0, 500, size) / 7
    t_x = np.where(x > 0, np.floor(T * 7 * rng.random(size)) / 7, 0.0)
    t_x[:3], x[:3] = T[:3], np.maximum(x[:3], 1)  # bought on the last day
    return x, t_x, T, n


def total(name, parameters, cells):
    """Log-likelihood of the cells and its gradient in the log parameters."""
    model = processes.get(name)
    F, whole = model.prepare(*cells)
    gradient = np.zeros(len(model.parameters))
    value = model.evaluate(np.asarray(parameters, float), F, whole, gradient, np.empty(0), np.empty(0))
    return value, gradient


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("point", [0, 1, 2])
def test_gradient_is_exact(name, point):
    parameters, cells = np.array(POINTS[name][point]), some_cells(name)
    _, gradient = total(name, parameters, cells)
    step, found = 1e-4, []
    for k in range(len(parameters)):
        at = [np.exp(np.log(parameters) + step * m * np.eye(len(parameters))[k]) for m in (-2, -1, 1, 2)]
        low2, low, high, high2 = (total(name, where, cells)[0] for where in at)
        found.append((low2 - 8 * low + 8 * high - high2) / (12 * step))  # five-point rule: error of order h^4
    np.testing.assert_allclose(gradient, found, rtol=1e-6, atol=1e-6 * np.abs(gradient).max())


@pytest.mark.parametrize("name", NAMES)
def test_coordinates_there_and_back(name):
    model = processes.get(name)
    draws = np.array(POINTS[name])
    eta = model.coordinates(draws)
    np.testing.assert_allclose(model.from_coordinates(eta), draws, rtol=1e-12)
    np.testing.assert_allclose(model.from_coordinates(eta[1]), draws[1], rtol=1e-12)
    assert len(model.priors) == eta.shape[1]


@pytest.mark.parametrize("name", NAMES)
def test_gradient_in_the_coordinates_of_the_priors(name):
    model, cells = processes.get(name), some_cells(name)
    target = model.target(*model.prepare(*cells), model.priors)
    eta = model.coordinates(np.array(POINTS[name][0]))
    value, gradient = target.value_and_gradient(eta)
    step, axes = 1e-4, np.eye(len(eta))
    found = [
        sum(
            w * target.value_and_gradient(eta + m * step * axis)[0]
            for w, m in ((1, -2), (-8, -1), (8, 1), (-1, 2))
        )
        / (12 * step)
        for axis in axes
    ]
    np.testing.assert_allclose(gradient, found, rtol=1e-6, atol=1e-6 * np.abs(gradient).max())
    flat, _ = model.target(*model.prepare(*cells), None).value_and_gradient(eta)
    assert flat == pytest.approx(total(name, POINTS[name][0], cells)[0], rel=1e-12)
    scores = [(at - prior.mean) / prior.sd for at, prior in zip(eta, model.priors.values(), strict=True)]
    log_prior = sum(
        -0.5 * z * z - np.log(prior.sd * np.sqrt(2 * np.pi))
        for z, prior in zip(scores, model.priors.values(), strict=True)
    )
    assert value - flat == pytest.approx(log_prior, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_cells_compress_and_order_does_not_matter(name, seed):
    """One row per customer, cells in any order, a cell split in two: the same to a relative 1e-10."""
    cells, parameters = some_cells(name, seed, size=25), POINTS[name][0]
    value, gradient = total(name, parameters, cells)
    n = cells[-1].astype(int)
    shuffled = np.random.default_rng(seed).permutation(np.repeat(np.arange(n.size), n))
    one_by_one = (*(column[shuffled] for column in cells[:-1]), np.ones(n.sum()))
    split = tuple(np.concatenate([column, column[:5]]) for column in cells[:-1])
    split = (*split, np.concatenate([cells[-1] - np.where(np.arange(25) < 5, 0.5, 0), np.full(5, 0.5)]))
    for other in (one_by_one, split):
        again, slope = total(name, parameters, other)
        assert again == pytest.approx(value, rel=1e-10)
        np.testing.assert_allclose(slope, gradient, rtol=1e-9, atol=1e-9 * np.abs(gradient).max())


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.sampled_from([1 / 365.25, 1 / 7, 0.01, 7.0, 100.0]))
def test_another_unit_only_adds_its_jacobian(name, seed, factor):
    """A density of x moments (or of one mean amount) in another unit; gradients in log parameters stay."""
    model, cells, parameters = processes.get(name), some_cells(name, seed, size=25), np.array(POINTS[name][0])
    value, gradient = total(name, parameters, cells)
    rescaled = (cells[0], *(column * factor for column in cells[1:-1]), cells[-1])
    again, slope = total(name, model.in_unit(parameters, factor), rescaled)
    densities = np.sum(cells[-1] * (1 if name in SPEND else cells[0]))
    assert again == pytest.approx(value - densities * np.log(factor), rel=1e-10)
    np.testing.assert_allclose(slope, gradient, rtol=1e-8, atol=1e-8 * np.abs(gradient).max())


@pytest.mark.parametrize("name", processes.NAMES)
@pytest.mark.parametrize("tiny", [1e-17, 1e-30])
def test_parameters_next_to_nothing(name, tiny):
    """Samplers go there: the answer is a number, or a refusal, and never an exception inside compiled code."""
    model = processes.get(name)
    for at in range(4):
        parameters = np.array([1.0, 1.0, 0.5, 0.5])
        parameters[at] = tiny
        values = model.cell_log_likelihood(parameters, [0, 1, 2], [0.0, 0.5, 0.5], [1.0, 1.0, 1.0])
        assert not np.isnan(values).any()
        alive = model.p_alive(parameters, [0, 1, 2], [0.0, 0.5, 0.5], [1.0, 1.0, 1.0])
        assert ((alive >= 0) & (alive <= 1)).all()
