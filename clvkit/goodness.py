"""Goodness of fit: how well a process describes the history it was fitted to, and what it expects next."""

from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from clvkit.histories import Histories

if TYPE_CHECKING:
    import pandas as pd
    from ibis.expr.types import Table as IbisTable

    from clvkit.fit import Fit
    from clvkit.study import Study

PRIOR_DRAWS, PRIOR_SEED, PRIOR_INTERVAL = 20_000, 20240117, 0.9
SILENCE = (
    (30, "silent 30 days or less"),
    (90, "31 to 90 days"),
    (180, "91 to 180 days"),
    (365, "181 to 365 days"),
)
LONGER = "more than a year"


def frequency_histogram(fit: "Fit", cells: "pd.DataFrame", top: int = 7) -> tuple["pd.DataFrame", float]:
    """Customers by number of repeat purchases, counted and expected at the maximum-likelihood estimate.

    Parameters
    ----------
    cells : columns ``frequency``, ``T_days`` and ``n``.
    top : the last class holds all who made that many repeat purchases or more.

    Returns
    -------
    frame : ``frequency`` (0 to ``top``), ``actual``, ``expected``: the sum over customers of the probability of
        that many purchases in a time as long as theirs; the last class is the remainder.
    chi_square : Σ (actual − expected)² / expected over the classes, as in Fader, Hardie & Lee (2005), table 2.
        With many customers it is large for every model: compare it between processes on the same data.
    """
    import pandas as pd

    ages = cells.groupby("T_days")["n"].sum()
    counts = np.arange(top)
    if fit.clock is None:
        chance = fit.model.pmf(fit.mle, counts[:, None], ages.index.to_numpy()[None, :] / fit.unit_days)
    else:
        from clvkit.clock_past import pmf

        chance = pmf(fit, counts, ages.index.to_numpy())
    expected = chance @ ages.to_numpy(float)
    expected = np.append(expected, max(ages.sum() - expected.sum(), 0.0))
    classes = np.minimum(cells["frequency"].to_numpy(), top)
    actual = np.bincount(classes, weights=cells["n"], minlength=top + 1).astype(int)
    frame = pd.DataFrame({"frequency": np.arange(top + 1), "actual": actual, "expected": expected})
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(expected > 0, (actual - expected) ** 2 / expected, np.where(actual > 0, np.inf, 0.0))
    return frame, float(terms.sum())


def tracking(fit: "Fit", first: "pd.Series", repeat: "pd.Series", as_of: date) -> "pd.DataFrame":
    """Repeat purchases week by week, counted and expected at the maximum-likelihood estimate.

    Parameters
    ----------
    first : customers who bought for the first time, by day (index of datetimes; days may be missing).
    repeat : repeat purchases of those customers, by day.
    as_of : last day that is followed. It may lie after the day the fit knew: what is shown then is a forecast.

    Returns
    -------
    DataFrame : one row per week of seven days from the first day of all: ``week`` (from 1), ``end`` (its last
        day), ``days`` (7, fewer in a last week that is not over), ``actual, expected`` within it and
        ``actual_cumulative, expected_cumulative``. Expected is the sum over customers of E[X(t)] at the age
        they have at the end of a day, the difference of two such sums within a week; of a fit on a clock, at the
        purchase time that has passed for them by then.
    """
    import pandas as pd
    from scipy.signal import fftconvolve

    calendar = pd.date_range(first.index.min(), pd.Timestamp(as_of), name="day")
    customers = first.reindex(calendar, fill_value=0).to_numpy(float)
    actual = repeat.reindex(calendar, fill_value=0).to_numpy(float)
    if fit.clock is None:
        by_age = fit.model.mean(
            fit.mle, np.arange(len(calendar)) / fit.unit_days
        )  # age in days, 0 on the first
        cumulative = fftconvolve(customers, by_age)[: len(calendar)]
    else:
        from clvkit.clock_past import expected_by_day

        days = (calendar - pd.Timestamp(fit.clock.as_of)).days.to_numpy()
        cumulative = np.cumsum(expected_by_day(fit, days, customers, days))
    ends = np.append(np.arange(6, len(calendar) - 1, 7), len(calendar) - 1)
    frame = pd.DataFrame({"week": np.arange(1, len(ends) + 1), "end": calendar[ends]})
    frame["days"] = np.diff(ends, prepend=-1)
    for name, total in (("actual", np.cumsum(actual)), ("expected", cumulative)):
        frame[f"{name}_cumulative"] = total[ends]
        frame[name] = np.diff(total[ends], prepend=0.0)
    shown = ["week", "end", "days", "actual", "expected", "actual_cumulative", "expected_cumulative"]
    return frame[shown].astype({"actual": int, "actual_cumulative": int})


def tracking_of(
    fit: "Fit", purchases: "IbisTable", as_of: date, origin: date | None = None
) -> "pd.DataFrame":
    """`tracking` of a ledger's purchases up to ``as_of``; with ``origin``, of customers who came by then only."""
    import ibis

    from clvkit.customers import daily_purchases

    daily = daily_purchases(purchases.filter(purchases.day <= ibis.date(as_of)), origin).set_index("day")
    return tracking(fit, daily["first"], daily["repeat"], as_of)


def conditional_expectations(
    fit: "Fit", cells: "pd.DataFrame", horizon_days: float, draws: int = 200
) -> "pd.DataFrame":
    """Expected purchases per customer in the next ``horizon_days``, by frequency class and time of silence.

    Parameters
    ----------
    cells : columns ``frequency``, ``recency_days``, ``T_days`` and ``n``.
    draws : posterior draws that are averaged over.

    Returns
    -------
    DataFrame : ``frequency_class``, ``recency_band`` (how long ago the last purchase was), both in order;
        ``customers``, ``p_alive`` and ``expected`` (means over them), ``total`` (expected purchases of all).
    """
    import pandas as pd

    from clvkit.valuation import frequency_class

    merged = cells.groupby(["frequency", "recency_days", "T_days"], as_index=False)["n"].sum()
    x, n, who = merged["frequency"].to_numpy(), merged["n"].to_numpy(float), Histories.of(fit, merged)
    parameters = fit.posterior(draws)
    alive, total = np.zeros(len(merged)), np.zeros(len(merged))
    for one in parameters:  # one draw at a time: no (draws, cells) array
        living = who.p_alive(one[None])[0]
        alive += n * living / len(parameters)
        total += n * living * who.expected(one[None], horizon_days)[0] / len(parameters)
    frame = pd.DataFrame({
        "frequency_class": frequency_class(x), "recency_band": _silence(merged["T_days"] - merged["recency_days"]),
        "customers": merged["n"], "p_alive": alive, "total": total,
    })  # fmt: skip
    frame = frame.groupby(["frequency_class", "recency_band"], observed=True, as_index=False).sum()
    frame["p_alive"] /= frame["customers"]
    frame["expected"] = frame["total"] / frame["customers"]
    # readers walk through the bands, and each through the classes
    frame = frame.sort_values(["recency_band", "frequency_class"], ignore_index=True)
    return frame.astype({"frequency_class": str, "recency_band": str})


def _silence(days) -> "pd.Categorical":
    import pandas as pd

    labels = [label for _, label in SILENCE] + [LONGER]
    codes = np.searchsorted([most for most, _ in SILENCE], np.asarray(days), side="left")
    return pd.Categorical.from_codes(codes, labels, ordered=True)


def prior_posterior(fit: "Fit") -> "pd.DataFrame":
    """Prior, posterior and estimate of each parameter, on its natural scale and in the fit's unit.

    Returns
    -------
    DataFrame : one row a parameter, in their order: ``parameter``, ``prior_median, prior_low, prior_high``
        (the range holds nine times in ten, by seeded simulation of the prior), ``posterior_mean,
        posterior_low, posterior_high`` (NaN without a posterior) and ``mle``. A prior's mean is not given:
        on this scale its tail is so long that the mean says nothing.
    """
    import pandas as pd

    rng = np.random.default_rng(PRIOR_SEED)
    mean, sd = _prior_moments(fit)
    drawn = fit.model.from_coordinates(mean + sd * rng.standard_normal((PRIOR_DRAWS, len(mean))))
    drawn = fit.model.in_unit(drawn, fit.scale)
    median, low, high = np.quantile(drawn, [0.5, *_tails()], axis=0)
    frame = pd.DataFrame({
        "parameter": fit.parameters, "prior_median": median, "prior_low": low, "prior_high": high,
    })  # fmt: skip
    return frame.assign(**_posterior(fit, fit.flat), mle=fit.mle)


def prior_posterior_coordinates(fit: "Fit") -> "pd.DataFrame":
    """The same on the unit-free coordinates that the priors are stated on, where prior and posterior compare.

    Returns
    -------
    DataFrame : one row a coordinate: ``coordinate``, ``meaning``, ``prior_mean, prior_low, prior_high``,
        ``posterior_mean, posterior_low, posterior_high``, ``mle`` and ``contraction``: 1 − variance of the
        posterior over variance of the prior, 1 where the data said everything and 0 where they said nothing.
    """
    import pandas as pd
    from scipy.stats import norm

    mean, sd = _prior_moments(fit)
    low, high = (mean + sd * norm.ppf(at) for at in _tails())
    frame = pd.DataFrame({
        "coordinate": list(fit.priors), "meaning": [prior.meaning for prior in fit.priors.values()],
        "prior_mean": mean, "prior_low": low, "prior_high": high,
    })  # fmt: skip
    there = fit.coordinates()
    variance = there.var(axis=0) if fit.draws is not None else np.full(len(mean), np.nan)
    return frame.assign(
        **_posterior(fit, there), mle=fit.coordinates(fit.mle), contraction=1 - variance / sd**2
    )


def _tails() -> tuple[float, float]:
    return (1 - PRIOR_INTERVAL) / 2, (1 + PRIOR_INTERVAL) / 2


def _prior_moments(fit: "Fit") -> tuple[np.ndarray, np.ndarray]:
    priors = list(fit.priors.values())
    return np.array([one.mean for one in priors]), np.array([one.sd for one in priors])


def _posterior(fit: "Fit", draws: np.ndarray) -> dict[str, np.ndarray]:
    names = ("posterior_mean", "posterior_low", "posterior_high")
    if fit.draws is None:
        return {name: np.full(draws.shape[-1], np.nan) for name in names}
    return dict(zip(names, [draws.mean(axis=0), *np.quantile(draws, _tails(), axis=0)], strict=True))


def merging_effect(purchases: "IbisTable", study: "Study", fitted: "Fit") -> "pd.DataFrame":
    """The headline process at maximum likelihood, with a customer's orders of one day merged and not.

    ``fitted`` is that of the study: its process (MBG/CNBD-k keeps its k) and its clock are taken.

    Returns
    -------
    DataFrame : two rows, ``merged`` and ``not merged``: ``repeat_purchases`` of all customers, each parameter of the
        process, and ``expected``, purchases expected of all customers over the next 365 days.
    """
    import ibis
    import pandas as pd

    from clvkit.customers import cells, customer_summary
    from clvkit.fitting import fit_process

    known = purchases.filter(purchases.day <= ibis.date(study.as_of))
    summary = customer_summary(known, study.as_of)
    lines = known.group_by("customer").agg(lines=known.lines.sum().cast("int64"))
    apart = summary.join(lines, "customer").mutate(frequency=lambda t: t.lines - 1)
    rows = []
    for how, counted in (("merged", summary), ("not merged", apart)):
        counts = cells(counted)
        fit = fit_process(
            fitted.process, counts, study.models, sample=False, days_per_year=study.days_per_year, clock=fitted.clock
        )  # fmt: skip
        x, who = counts["frequency"].to_numpy(), Histories.of(fit, counts)
        each = (who.p_alive(fit.mle[None]) * who.expected(fit.mle[None], 365.0))[0]
        rows.append(
            {"orders_of_a_day": how, "repeat_purchases": int((x * counts["n"]).sum())}
            | dict(zip(fit.parameters, fit.mle, strict=True))
            | {"expected": float((each * counts["n"]).sum())}
        )
    return pd.DataFrame(rows)
