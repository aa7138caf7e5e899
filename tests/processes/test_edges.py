"""The edges at which implementations of these models fail, each by name, against 50 digits.

Likelihood and its gradient, P(alive), expected purchases and their discounted sum without end.
"""

import closed_forms
import numpy as np
import pytest
from mpmath import mp

from clvkit import processes

OFTEN = [(161, 20.0, 39.0), (300, 39.0, 39.0), (600, 0.14, 400.0), (600, 100.0, 103.5)]
NOTHING = [(0, 0.0, 0.0), (0, 0.0, 39.0), (0, 0.0, 400.0)]
PLAIN = [*NOTHING, (1, 0.14, 39.0), (3, 38.86, 39.0), (3, 39.0, 39.0)]
BETAGEO = {
    "x in the hundreds": ((0.243, 4.414, 0.793, 2.426), OFTEN),
    "T = t_x": ((0.243, 4.414, 0.793, 2.426), [(1, 39.0, 39.0), (29, 39.0, 39.0)]),
    "T = 0 and x = 0": ((0.243, 4.414, 0.793, 2.426), NOTHING),
    "a + b < 1": ((0.3, 5.0, 0.2, 0.3), PLAIN),
    "a + b next to nothing": ((0.3, 5.0, 1e-4, 1e-4), PLAIN),
    "a = 1": ((0.3, 5.0, 1.0, 2.0), PLAIN),
    "a just below 1": ((0.3, 5.0, 1 - 1e-9, 2.0), PLAIN),
    "a just above 1": ((0.3, 5.0, 1 + 1e-9, 2.0), PLAIN),
    "nobody leaves": ((0.3, 5.0, 1e-8, 3.0), PLAIN),
    "everybody leaves": ((0.3, 5.0, 0.79, 1e-6), PLAIN),
    "customers all unlike": ((1e-3, 4.0, 0.7, 2.0), PLAIN),
    "customers all alike": ((1e3, 1e4, 0.7, 2.0), PLAIN),
    "another program's start": ((1e3, 1e-3, 0.7, 2.0), PLAIN),
}
PARETONBD = {
    "x in the hundreds": ((0.553, 10.578, 0.606, 11.669), OFTEN),
    "T = t_x": ((0.553, 10.578, 0.606, 11.669), [(1, 39.0, 39.0), (29, 39.0, 39.0)]),
    "T = 0 and x = 0": ((0.553, 10.578, 0.606, 11.669), NOTHING),
    "alpha = beta": ((0.5, 10.0, 0.6, 10.0), [*PLAIN, (300, 20.0, 39.0)]),
    "alpha next to beta": ((0.5, 10.0, 0.6, 10.0 * (1 + 1e-12)), [*PLAIN, (300, 20.0, 39.0)]),
    "s = 1": ((0.5, 10.0, 1.0, 11.0), PLAIN),
    "s next to 1": ((0.5, 10.0, 1 - 1e-9, 11.0), PLAIN),
    "s next to nothing": ((0.5, 10.0, 1e-8, 11.0), PLAIN),
    "everybody leaves": ((0.5, 10.0, 50.0, 1e-3), PLAIN),
    "customers all unlike": ((1e-3, 10.0, 0.6, 11.0), PLAIN),
    "customers all alike": ((1e3, 1e4, 500.0, 1e4), PLAIN),
    "another program's start": ((1e3, 1e-3, 0.6, 11.0), PLAIN),
}
EDGES = [
    *(
        pytest.param(name, *edge, id=f"{name}: {words}")
        for name in ("bgnbd", "mbgnbd")
        for words, edge in BETAGEO.items()
    ),
    *(pytest.param("paretonbd", *edge, id=f"paretonbd: {words}") for words, edge in PARETONBD.items()),
]
EACH = pytest.mark.parametrize(("name", "parameters", "histories"), EDGES)


def parts(name, parameters, history):
    """Likelihood of having stayed and of having left, in 50 digits."""
    if name == "paretonbd":
        return closed_forms.paretonbd_parts(parameters, *history)
    return closed_forms.betageo_parts(parameters, *history, processes.get(name).offset)


def total(model, parameters, cells):
    """The compiled log-likelihood of one customer of each cell, and its gradient in the log parameters."""
    packed, gradient = model.prepare(*cells, np.ones(len(cells[0]))), np.empty(len(model.parameters))
    return model.evaluate(np.array(parameters), *packed, gradient, np.empty(0), np.empty(0)), gradient


@EACH
def test_likelihood_and_p_alive(name, parameters, histories):
    model, cells = processes.get(name), [np.array(column) for column in zip(*histories, strict=True)]
    exact = [parts(name, parameters, history) for history in histories]
    np.testing.assert_allclose(
        model.cell_log_likelihood(parameters, *cells),
        [float(mp.log(sum(both))) for both in exact],
        rtol=1e-11,
        atol=2e-9,
    )
    alive = [float(stayed / (stayed + ended)) for stayed, ended in exact]
    np.testing.assert_allclose(model.p_alive(parameters, *cells), alive, rtol=1e-8, atol=1e-300)


@EACH
def test_gradient(name, parameters, histories):
    """Of each history by itself, in the log parameters; the size of what cancels in it is about x."""
    model = processes.get(name)
    for history in histories[-4:]:
        exact = closed_forms.gradient(lambda at, h=history: mp.log(sum(parts(name, at, h))), parameters)
        found = total(model, parameters, [np.array([value]) for value in history])[1]
        np.testing.assert_allclose(
            found,
            [float(one) for one in exact],
            rtol=1e-6,
            atol=1e-9 * (1 + history[0] + max(parameters[2:])),
            err_msg=str(history),
        )


def beside_one(value):
    """The closed forms divide by s − 1 and a − 1, the kernels do not: at 1 they are asked next to it."""
    return value if value != 1 else mp.mpf(1) + mp.mpf(10) ** -25


@EACH
def test_expected_purchases(name, parameters, histories):
    model, (first, second, third, fourth) = processes.get(name), parameters
    for x, T in {(x, T) for x, _, T in histories}:
        for horizon in (0.01, 39.0, 5000.0):
            at = (first, second, beside_one(third), fourth), x, T, horizon
            exact = (
                closed_forms.paretonbd_expected(*at)
                if name == "paretonbd"
                else closed_forms.betageo_expected(*at, model.offset)
            )
            assert model.expected(parameters, x, T, horizon)[0] == pytest.approx(float(exact), rel=2e-8), at


@EACH
def test_discounted_purchases_without_end(name, parameters, histories):
    """DERT given alive: Tricomi's function for Pareto/NBD, an integral of Gauss's for the other two."""
    model = processes.get(name)
    for x, T in {(x, T) for x, _, T in histories[-3:]}:
        if name == "paretonbd":
            exact = closed_forms.paretonbd_dert(parameters, x, T, 0.0018)
        else:
            exact = closed_forms.betageo_dert(parameters, x, T, 0.0018, model.offset)
        assert model.expected(parameters, x, T, np.inf, 0.0018)[0] == pytest.approx(float(exact), rel=1e-8), (
            x,
            T,
        )


@pytest.mark.parametrize("name", ["bgnbd", "mbgnbd"])
def test_all_purchases_to_come_without_discounting(name):
    """E[1/p] exists for a > 1 and is the limit of ever longer horizons; up to 1 it is infinite, and says so."""
    model, x = processes.get(name), np.array([0, 3, 300])
    found = model.expected(
        np.array([(0.3, 5.0, 3.0, 2.0), (0.3, 5.0, 1.0, 2.0), (0.3, 5.0, 0.8, 2.0)]), x, 39.0, np.inf
    )
    np.testing.assert_allclose(found[0], (4.0 + x + model.offset) / 2.0, rtol=1e-14)
    np.testing.assert_allclose(
        found[0, 1:], model.expected((0.3, 5.0, 3.0, 2.0), x[1:], 39.0, 1e15), rtol=1e-6
    )
    assert np.all(found[1:] == np.inf)
    with pytest.raises(ValueError, match="hazard of 1"):
        model.expected((0.3, 5.0, 3.0, 2.0), x, 39.0, np.inf, hazard=1.1)


@pytest.mark.parametrize("name", processes.NAMES)
def test_one_cell_many_times_is_one_customer_many_times(name):
    model, edge = processes.get(name), (BETAGEO if name != "paretonbd" else PARETONBD)["T = t_x"][0]
    one = model.log_likelihood(edge, [3], [12.0], [39.0])
    assert model.log_likelihood(edge, [3], [12.0], [39.0], [1_000_000.0]) == pytest.approx(
        1e6 * one, rel=1e-12
    )


GAMMAGAMMA = {
    "q < 1": (6.0, 0.7, 15.0),
    "q next to nothing": (6.0, 1e-6, 15.0),
    "p next to nothing": (1e-4, 2.0, 15.0),
    "customers all alike": (40.0, 1e5, 1e5),
    "no two amounts of one customer differ": (1e5, 3.0, 1e-3),
}


@pytest.mark.parametrize("parameters", GAMMAGAMMA.values(), ids=GAMMAGAMMA)
@pytest.mark.parametrize(("x", "spend"), [(1, 0.01), (1, 1e6), (3, 90.0), (600, 2e4)])
def test_spend(parameters, x, spend):
    model, cells = processes.get("gammagamma"), (np.array([x]), np.array([spend]))
    density = lambda at: closed_forms.gammagamma_log_likelihood(at, x, mp.mpf(spend) / x)  # noqa: E731
    found, gradient = total(model, parameters, cells)
    assert found == pytest.approx(float(density(parameters)), rel=1e-9, abs=1e-9 + 1e-14 * parameters[0] * x)
    exact = [float(one) for one in closed_forms.gradient(density, parameters)]
    np.testing.assert_allclose(gradient, exact, rtol=1e-6, atol=1e-12 * parameters[0] * x * 30)
