"""The models' formulas as their papers print them, in 50 digits: slow, literal, and independent of the kernels."""

import mpmath as mp

mp.mp.dps = 50


def _numbers(*values):
    """Doubles as they are, and numbers of 50 digits untouched, so that parameters can be moved by less than a double."""
    return tuple(value if isinstance(value, mp.mpf) else mp.mpf(float(value)) for value in values)


def gradient(function, parameters):
    """d function / d log parameter by central differences in 50 digits: good to 20."""
    logs, step = [mp.log(value) for value in _numbers(*parameters)], mp.mpf(10) ** -12

    def moved(k, by):
        return function([mp.exp(log + by * (j == k)) for j, log in enumerate(logs)])

    return [(moved(k, step) - moved(k, -step)) / (2 * step) for k in range(len(logs))]


def _rising(r, x):
    """Γ(r + x) / Γ(r)."""
    return mp.gammaprod([r + x], [r])


def paretonbd_parts(parameters, x, t_x, T):
    """Likelihood of staying to T, and of dropping out in (t_x, T], by quadrature over the moment of it.

    Schmittlein, Morrison & Colombo (1987), before the integral is written as a hypergeometric function.
    """
    r, alpha, s, beta, t_x, T = _numbers(*parameters, t_x, T)
    front = _rising(r, x) * alpha**r * beta**s
    stayed = front / ((alpha + T) ** (r + x) * (beta + T) ** s)
    if T == t_x:
        return stayed, mp.mpf(0)
    # Over v = log(κ + τ) the steep fall becomes an exponential; relative to its top, since quadrature stops
    # at an absolute error.
    kappa = min(alpha, beta)
    low, high = mp.log(kappa + t_x), mp.log(kappa + T)

    def fall(v):
        tau = mp.exp(v) - kappa
        return (
            mp.exp(v)
            * ((alpha + tau) / (alpha + t_x)) ** (-r - x)
            * ((beta + tau) / (beta + t_x)) ** (-s - 1)
        )

    drop = (r + x) * mp.log((alpha + T) / (alpha + t_x)) + s * mp.log((beta + T) / (beta + t_x))
    ended = mp.quad(fall, mp.linspace(low, high, 2 + int(min(drop / 24, 10))))
    return stayed, front * s * ended * (alpha + t_x) ** (-r - x) * (beta + t_x) ** (-s - 1)


def paretonbd_hypergeometric(parameters, x, t_x, T):
    """Log-likelihood with the Gauss function: Fader & Hardie (2005), note on the Pareto/NBD, eq. 22."""
    r, alpha, s, beta, t_x, T = _numbers(*parameters, t_x, T)
    larger, second = (alpha, s + 1) if alpha >= beta else (beta, r + x)

    def gauss(t):
        at = abs(alpha - beta) / (larger + t)
        return mp.hyp2f1(r + s + x, second, r + s + x + 1, at) / (larger + t) ** (r + s + x)

    inside = 1 / ((alpha + T) ** (r + x) * (beta + T) ** s) + s / (r + s + x) * (gauss(t_x) - gauss(T))
    return mp.log(_rising(r, x) * alpha**r * beta**s * inside)


def paretonbd_expected(parameters, x, T, horizon):
    """Expected transactions of a living customer: Fader & Hardie (2005), note on the Pareto/NBD, eq. 41."""
    r, alpha, s, beta, T, horizon = _numbers(*parameters, T, horizon)
    return (r + x) * (beta + T) / ((alpha + T) * (s - 1)) * (1 - (1 + horizon / (beta + T)) ** (1 - s))


def paretonbd_dert(parameters, x, T, discount):
    """Infinite horizon with Tricomi's Ψ: Fader, Hardie & Lee (2005), "RFM and CLV", eq. 2, given alive."""
    r, alpha, s, beta, T, discount = _numbers(*parameters, T, discount)
    scale = beta + T
    return (r + x) / (alpha + T) * scale**s * discount ** (s - 1) * mp.hyperu(s, s, discount * scale)


def betageo_parts(parameters, x, t_x, T, offset):
    """Likelihood of staying to T, and of dropping out at the last purchase.

    BG/NBD (``offset`` 0): Fader, Hardie & Lee (2005), eq. 6. MBG/NBD (1): Batislam et al. (2007).
    """
    r, alpha, a, b, t_x, T = _numbers(*parameters, t_x, T)
    flips = x + offset
    front = _rising(r, x) * alpha**r
    stayed = front * mp.beta(a, b + flips) / mp.beta(a, b) / (alpha + T) ** (r + x)
    if flips == 0:
        return stayed, mp.mpf(0)
    return stayed, front * mp.beta(a + 1, b + flips - 1) / mp.beta(a, b) / (alpha + t_x) ** (r + x)


def betageo_expected(parameters, x, T, horizon, offset):
    """Expected transactions of a living customer with the Gauss function (FHL 2005, eq. 10, numerator)."""
    r, alpha, a, b, T, horizon = _numbers(*parameters, T, horizon)
    left = b + x + offset
    gauss = mp.hyp2f1(r + x, left, a + left - 1, horizon / (alpha + T + horizon))
    return (a + left - 1) / (a - 1) * (1 - ((alpha + T) / (alpha + T + horizon)) ** (r + x) * gauss)


def betageo_dert(parameters, x, T, discount, offset):
    """Infinite horizon: a living customer who buys at rate λ and leaves with chance p brings λ / (λp + δ).

    Over p ~ Beta that is λ/δ · ₂F₁(1, a; a + b'; −λ/δ) (Euler's integral); over λ ~ Gamma, by the trapezoid rule in
    log λ, good to 1e-16.
    """
    r, alpha, a, b, T, discount = _numbers(*parameters, T, discount)
    shape, scale, left = r + x, alpha + T, b + x + offset
    middle, spread = mp.log(shape / scale), 1 / mp.sqrt(shape)

    def each(u):
        rate = mp.exp(u)
        bought = rate / discount * mp.hyp2f1(1, a, a + left, -rate / discount)
        return mp.exp(shape * (u - middle) - scale * rate + shape) * bought

    low, high = (
        middle - max(40 / (shape + 1), 9 * spread),
        middle + mp.log(1 + 40 / shape) + 9 * min(spread, 1),
    )
    nodes = int((high - low) / min(mp.mpf(1) / 4, 2 * spread / 3)) + 1
    step = (high - low) / nodes
    whole = step * mp.fsum(each(low + k * step) for k in range(nodes + 1))
    return whole * mp.exp(shape * mp.log(shape) - shape) / mp.gamma(shape)


def betageo_pmf(parameters, x, t, offset):
    """P(X(t) = x) of a new customer with its finite sum (FHL 2005, eq. 8)."""
    r, alpha, a, b, t = _numbers(*parameters, t)
    share, never = t / (alpha + t), (alpha / (alpha + t)) ** r
    nbd = [never * _rising(r, j) / mp.factorial(j) * share**j for j in range(x + 1)]
    flips = x + offset
    stayed = mp.beta(a, b + flips) / mp.beta(a, b) * nbd[x]
    return stayed + (mp.beta(a + 1, b + flips - 1) / mp.beta(a, b) * (1 - sum(nbd[:x])) if flips else 0)


def paretonbd_pmf(parameters, x, t):
    """P(X(t) = x) of a new customer, by quadrature over the moment of dropping out."""
    r, alpha, s, beta, t = _numbers(*parameters, t)
    nbd = lambda u: _rising(r, x) / mp.factorial(x) * (alpha / (alpha + u)) ** r * (u / (alpha + u)) ** x  # noqa: E731
    ended = mp.quad(lambda u: s / beta * (beta / (beta + u)) ** (s + 1) * nbd(u), mp.linspace(0, t, 5))
    return (beta / (beta + t)) ** s * nbd(t) + ended


def gammagamma_log_likelihood(parameters, x, mean):
    """Log-density of a mean spend over x purchases: Fader & Hardie (2013), eq. 1a."""
    p, q, gamma, z = _numbers(*parameters, mean)
    ratio = mp.gammaprod([p * x + q], [p * x, q])
    return mp.log(ratio * gamma**q * z ** (p * x - 1) * x ** (p * x) / (gamma + x * z) ** (p * x + q))
