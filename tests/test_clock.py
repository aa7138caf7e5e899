"""Purchases on a clock: closed weeks, seasons, and what becomes of fits, values and futures on it."""

from datetime import date
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.special import gammaln, logsumexp

from clvkit import processes
from clvkit.clock import Clock
from clvkit.errors import FitError
from clvkit.fit import Fit
from clvkit.fitting import fit_process
from clvkit.histories import Histories
from clvkit.models_section import ModelsSection
from clvkit.processes import _paretonbd, _paretonbd_clock
from clvkit.processes.paretonbd import ParetoNBDOnClock

AS_OF, SECTION = date(2023, 12, 31), ModelsSection()
CDNOW = {"bgnbd": (0.243, 4.414, 0.793, 2.426), "mbgnbd": (0.525, 6.183, 0.891, 1.614),
         "paretonbd": (0.553, 10.578, 0.606, 11.669)}  # fmt: skip
DAYS, SHUT = 728, (7 * 30, 7 * 42)  # weeks 30 to 42 of 104


def shut_clock() -> Clock:
    speed = np.ones(DAYS + 1 + 1100)
    speed[SHUT[0] + 1 : SHUT[1] + 1] = 0.0
    first = pd.Timestamp(AS_OF) - pd.Timedelta(days=DAYS)
    return Clock.of_days(AS_OF, first.date(), speed)


def seasonal_clock() -> Clock:
    """Twice as much in the last quarter of a year as in the rest, on average one."""
    days = pd.date_range("2021-12-31", "2027-12-31")
    speed = np.where(days.month >= 10, 1.6, 0.8)
    return Clock.of_days(AS_OF, days[0].date(), speed)


def world(process, clock, customers, rng, newest=30):
    """Cells (one row a customer) of people who first bought on a day up to ``newest`` days before the as-of date."""
    born = -rng.integers(newest, DAYS, customers).astype(float)
    parameters, model = np.array(CDNOW[process]), processes.get(process)
    age = -clock.reading(born) / 7
    if model.clock_is_time:
        drawn = model.simulate(parameters, age, rng)
        customer, passed = drawn.customer, drawn.time * 7
    else:  # lifetimes by the calendar, purchases by the clock
        r, alpha, s, beta = parameters
        rate, dropout = rng.gamma(r, 1 / alpha, customers), rng.gamma(s, 1 / beta, customers)
        end = np.minimum(-born, 7 * rng.exponential(1.0, customers) / dropout)
        lived = clock.reading(born + end) - clock.reading(born)
        counts = rng.poisson(rate * lived / 7)
        customer = np.repeat(np.arange(customers), counts)
        passed = rng.random(customer.size) * lived[customer]
    day = clock.moment(clock.reading(born)[customer] + passed)
    last = np.zeros(customers)
    np.maximum.at(last, customer, day - born[customer])
    return pd.DataFrame({"frequency": np.bincount(customer, minlength=customers), "recency_days": last, "T_days": -born,
                         "n": 1, "spend_minor": 0}), day  # fmt: skip


def test_a_clock_reads_and_is_read_back():
    clock = shut_clock()
    assert clock.reading(np.array([0.0])) == 0 and not clock.plain
    assert -clock.reading(np.array([-float(DAYS)]))[0] == DAYS - 84
    moments = np.array([-700.0, -600.0, -100.0, 0.0, 50.5])
    np.testing.assert_allclose(clock.moment(clock.reading(moments)), moments, atol=1e-9)
    assert clock.day(-1) == date(2023, 12, 30)
    again = Clock.from_json(clock.to_json())
    np.testing.assert_array_equal(again.levels, clock.levels)
    with pytest.raises(FitError, match="cannot run backwards"):
        Clock.of_days(AS_OF, AS_OF, [-1.0])
    with pytest.raises(FitError, match="known from"):
        clock.reading(np.array([5000.0]))


def test_the_speed_of_a_day_is_that_of_its_purchases():
    clock = Clock.of_days(date(2024, 1, 3), date(2024, 1, 1), [1.0, 3.0, 1.0, 1.0])
    days = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"])
    assert clock.log_speed(days, [2, 5, 7]) == pytest.approx(5 * np.log(3))
    np.testing.assert_allclose(clock.reading(np.array([-2.0, -1.0, 0.0])), [-4.0, -1.0, 0.0])
    still = Clock.of_days(date(2024, 1, 3), date(2024, 1, 1), [1.0, 0.0, 1.0, 1.0])
    with pytest.raises(
        FitError, match="5 repeat purchases fall on days on which nothing could be bought, such as 2024-01-02"
    ):
        still.log_speed(days, [2, 5, 7])


class TestLikelihood:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 20, 300)
    T = np.round(rng.uniform(5, 100, 300))
    t_x = np.minimum(np.maximum(np.where(x > 0, np.round(rng.uniform(0, 1, 300) * T), 0), x > 0), T)
    parameters = np.array(CDNOW["paretonbd"])

    def evaluated(self, kernel, packed, parameters=None):
        gradient, alive, cell = np.empty(4), np.empty(300), np.empty(300)
        at = self.parameters if parameters is None else parameters
        value = kernel(at, *packed, gradient, alive, cell)
        return value, gradient, alive, cell

    def test_a_plain_clock_is_none(self):
        counts = np.ones(300)
        plain = self.evaluated(_paretonbd.kernel, _paretonbd.prepare(self.x, self.t_x, self.T, counts))
        packed = _paretonbd_clock.prepare(
            self.x, self.t_x, self.T, counts, np.array([-200, -50, -20, 0.0]), np.ones(3)
        )
        for one, other in zip(self.evaluated(_paretonbd_clock.kernel, packed), plain, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-7)

    def test_against_quadrature_with_a_standstill(self):
        edges, levels = np.array([-200, -70, -55.5, -20, -10, 0.0]), np.array([1.2, 0.0, 0.7, 2.5, 0.9])
        r, alpha, s, beta = self.parameters
        found = ParetoNBDOnClock(edges, levels).cell_log_likelihood(self.parameters, self.x, self.t_x, self.T)
        for i in range(0, 300, 11):
            born, k = -self.T[i], r + self.x[i]

            def passed(t, born=born):
                return np.sum(
                    np.clip(np.minimum(edges[1:], born + t) - np.maximum(edges[:-1], born), 0, None) * levels
                )

            def f(t, k=k, passed=passed):
                return (alpha + passed(t)) ** -k * (beta + t) ** -(s + 1)

            breaks = [
                self.t_x[i],
                *(e - born for e in edges if self.t_x[i] < e - born < self.T[i]),
                self.T[i],
            ]
            dead = sum(quad(f, a, b, epsabs=0, epsrel=1e-11)[0] for a, b in pairwise(breaks))
            alive = (alpha + passed(self.T[i])) ** -k * (beta + self.T[i]) ** -s
            exact = gammaln(k) - gammaln(r) + r * np.log(alpha) + s * np.log(beta) + np.log(alive + s * dead)
            assert found[i] == pytest.approx(exact, abs=1e-8)

    @pytest.mark.parametrize(
        "parameters", [(0.55, 10.6, 0.6, 11.7), (0.2, 0.05, 3.0, 40.0), (4.0, 60.0, 0.3, 0.02)]
    )
    def test_weeks_that_differ_with_few_and_very_many_purchases(self, parameters):
        rng = np.random.default_rng(1)
        edges, levels = np.arange(-210.0, 1.0, 7.0), rng.gamma(4.0, 0.25, 30)
        levels[[5, 20]] = 0.0
        x = np.array([0, 1, 2, 7, 40, 400, 400, 3000])
        T = np.array([203.0, 200.5, 90.0, 35.0, 150.0, 210.0, 14.0, 190.0])
        t_x = np.array([0.0, 3.0, 89.0, 28.0, 77.3, 1.0, 6.9, 60.0])
        r, alpha, s, beta = parameters
        packed = _paretonbd_clock.prepare(x, t_x, T, np.ones(8), edges, levels)
        gradient, alive, found = np.empty(4), np.empty(8), np.empty(8)
        _paretonbd_clock.kernel(np.array(parameters), *packed, gradient, alive, found)
        nodes, weights = np.polynomial.legendre.leggauss(30)
        for i in range(8):
            born, k, whole = -T[i], r + x[i], []

            def log_clock(t, born=born):
                ran = np.clip(
                    np.minimum(edges[1:], born + t[:, None]) - np.maximum(edges[:-1], born), 0, None
                )
                return np.log(alpha + ran @ levels)

            breaks = np.unique([t_x[i], *(e - born for e in edges if t_x[i] < e - born < T[i]), T[i]])
            for a, b in pairwise(
                np.unique([x for lo, hi in pairwise(breaks) for x in np.linspace(lo, hi, 41)])
            ):
                t = (a + b) / 2 + (b - a) / 2 * nodes
                whole.append(np.log(weights * (b - a) / 2) - k * log_clock(t) - (s + 1) * np.log(beta + t))
            living = -k * log_clock(T[i : i + 1])[0] - s * np.log(beta + T[i])
            dead = np.log(s) + logsumexp(np.concatenate(whole))
            exact = (
                gammaln(k) - gammaln(r) + r * np.log(alpha) + s * np.log(beta) + np.logaddexp(living, dead)
            )
            assert found[i] == pytest.approx(exact, abs=5e-9)
            assert alive[i] == pytest.approx(
                np.exp(living - np.logaddexp(living, dead)), rel=1e-7, abs=1e-300
            )

    def test_the_gradient_is_exact(self):
        edges, levels = np.array([-200, -70, -55.5, -20, 0.0]), np.array([1.2, 0.0, 0.7, 2.5])
        packed = _paretonbd_clock.prepare(self.x, self.t_x, self.T, np.ones(300), edges, levels)
        _, gradient, *_ = self.evaluated(_paretonbd_clock.kernel, packed)
        for j in range(4):
            up, down = self.parameters.copy(), self.parameters.copy()
            up[j], down[j] = up[j] * np.exp(1e-5), down[j] * np.exp(-1e-5)
            rise = [self.evaluated(_paretonbd_clock.kernel, packed, one)[0] for one in (up, down)]
            assert gradient[j] == pytest.approx((rise[0] - rise[1]) / 2e-5, rel=1e-5)


@pytest.mark.parametrize("process", ["bgnbd", "mbgnbd", "paretonbd"])
def test_a_shut_quarter_biases_what_does_not_know_of_it(process):
    # weeks 30 to 42 of 104 shut, 200,000 customers of the first half year
    cells, _ = world(process, shut_clock(), 200_000, np.random.default_rng(7), newest=DAYS - 7 * 26)
    true = CDNOW[process][1]
    untreated = fit_process(process, cells, SECTION, sample=False).mle[1]
    treated = fit_process(process, cells, SECTION, sample=False, clock=shut_clock()).mle[1]
    print(f"{process}: alpha {true}, untreated {untreated:.3f}, treated {treated:.3f}")
    # MBG/NBD takes a part of the standstill for customers who left after their first purchase
    assert abs(untreated / true - 1) > (0.10 if process == "mbgnbd" else 0.20)
    assert abs(treated / true - 1) < 0.05


@pytest.mark.parametrize("process", ["bgnbd", "paretonbd"])
def test_the_right_clock_is_the_likelier_one(process):
    clock = seasonal_clock()
    cells, day = world(process, clock, 6_000, np.random.default_rng(3))
    on = pd.Timestamp(AS_OF) + pd.to_timedelta(np.ceil(day), unit="D")
    repeats = pd.Series(1, on).groupby(level=0).sum().rename_axis("day").rename("repeat").reset_index()
    plain = fit_process(process, cells, SECTION, sample=False)
    right = fit_process(process, cells, SECTION, sample=False, clock=clock, repeats=repeats)
    wrong = Clock(AS_OF, clock.edges, 2.4 - clock.levels)
    turned = fit_process(process, cells, SECTION, sample=False, clock=wrong, repeats=repeats)
    assert right.log_likelihood > plain.log_likelihood + 20 > turned.log_likelihood + 40
    np.testing.assert_allclose(right.mle[1], CDNOW[process][1], rtol=0.25)


@pytest.mark.parametrize("process", ["bgnbd", "mbgnbd", "paretonbd"])
def test_expected_purchases_are_those_of_simulated_futures(process):
    clock = seasonal_clock()
    fit = _fit(process, clock)
    rows = pd.DataFrame({"frequency": [0, 2, 9], "recency_days": [0, 200, 380], "T_days": [250, 300, 400]})
    who, draws = Histories.of(fit, rows), fit.mle[None]
    force = 7 * np.log(1.3) / 365.25
    expected = (who.p_alive(draws) * who.expected(draws, 700.0, force))[0]
    undiscounted = (who.p_alive(draws) * who.expected(draws, 700.0))[0]
    many = who.repeat(np.full(3, 60_000))
    drawn = many.simulate_future(fit.mle, 700.0, np.random.default_rng(1))
    worth = np.exp(-np.log(1.3) * drawn.time / 365.25)
    for counts, exact in ((np.ones_like(worth), undiscounted), (worth, expected)):
        each = np.bincount(drawn.customer, weights=counts, minlength=180_000).reshape(3, -1)
        error = each.std(axis=1) / np.sqrt(60_000)
        assert (np.abs(each.mean(axis=1) - exact) < 4 * error + 5e-4 * exact).all()
    assert 0 < drawn.time.min() and drawn.time.max() <= 700
    last_quarter = (pd.Timestamp(AS_OF) + pd.to_timedelta(drawn.time, unit="D")).month >= 10
    assert (
        last_quarter.mean() > 0.3
    )  # 40 % of a year's purchases, in two years that hold most of two such quarters


def _fit(process, clock) -> Fit:
    model = processes.get(process)
    mle = np.array(CDNOW[process])
    return Fit(process, 7.0, mle, mle * np.nan, 0.0, 0.0, 1, 1, 1.0, model.priors, clock=clock)


@pytest.mark.parametrize("process", ["bgnbd", "paretonbd"])
def test_on_a_plain_clock_everything_is_as_without_one(process):
    clock = Clock.of_days(AS_OF, date(2020, 1, 1), np.ones(6000))
    assert clock.plain
    rows = pd.DataFrame({"frequency": [0, 2, 9], "recency_days": [0, 200, 380], "T_days": [250, 300, 400]})
    on, off = (Histories.of(_fit(process, one), rows) for one in (clock, None))
    draws = np.array([CDNOW[process]])
    np.testing.assert_allclose(on.p_alive(draws), off.p_alive(draws), rtol=1e-9)
    np.testing.assert_allclose(on.expected(draws, 500.0), off.expected(draws, 500.0), rtol=1e-8)
    np.testing.assert_allclose(
        on.expected(draws, 1096.0, 0.0018), off.expected(draws, 1096.0, 0.0018), rtol=3e-4
    )


def test_a_fit_keeps_its_clock(tmp_path):
    fit = _fit("bgnbd", shut_clock())
    fit.save(tmp_path)
    np.testing.assert_array_equal(Fit.load(tmp_path).clock.edges, fit.clock.edges)
    Fit.load(tmp_path)


def test_a_process_without_a_clock_says_so():
    cells, _ = world("bgnbd", shut_clock(), 300, np.random.default_rng(1))
    with pytest.raises(FitError, match="cannot run on a clock"):
        fit_process("bgbb", cells, ModelsSection(opportunity="month", processes=("bgbb",), headline="bgbb", sampled=()),
                    sample=False, clock=shut_clock())  # fmt: skip
