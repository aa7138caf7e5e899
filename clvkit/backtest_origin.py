"""One origin of a back-test: fit on what was known then, forecast, and compare with what happened."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np

from clvkit import customers
from clvkit.accuracy import accuracy, by_group, share
from clvkit.backtest_one_time import ONE_TIME, one_time
from clvkit.backtest_results import Backtest
from clvkit.baselines import RULES, Baseline, Span, known_customers, lead
from clvkit.errors import FitError
from clvkit.fitting import fit_process, fit_spend
from clvkit.forecast import STEP_DAYS, Forecast, forecast, steps_to
from clvkit.processes import REGULAR
from clvkit.rhythm import gap_statistics
from clvkit.segments import segment_names
from clvkit.spend_choice import choose_spend, last_purchases
from clvkit.spend_segments import SegmentMeans
from clvkit.truncation_fit import from_birth, left_in, of_fitted
from clvkit.valuation import frequency_class

if TYPE_CHECKING:
    from collections.abc import Iterator

    import ibis.expr.types as ir
    import pandas as pd

    from clvkit.backtest import BacktestSection
    from clvkit.calendar import Calendar
    from clvkit.calendar_section import CalendarSection
    from clvkit.covariate_levels import Design
    from clvkit.covariates import CovariateFit
    from clvkit.fit import Fit
    from clvkit.models_section import ModelsSection
    from clvkit.segments import SegmentedFit


@dataclass(frozen=True)
class Setting:
    """What all origins and processes of a back-test share."""

    section: "BacktestSection"
    models: "ModelsSection"
    currency: str
    minor_per_unit: float
    hiatus_days: int
    days_per_year: float
    calendar: "CalendarSection | None" = None
    design: "Design | None" = None


def from_origin(purchases: "ir.Table", origin: date, horizon_days: int, setting: Setting) -> list[Backtest]:
    """Try all processes of a study from one origin; see `clvkit.backtest.back_test`."""
    section, models = setting.section, setting.models
    summary = customers.customer_summary(purchases, origin)
    cells = customers.cells(summary)
    if cells.empty:
        raise FitError("no customer had bought yet", fix="choose a later origin")
    history_days = int(cells["T_days"].max()) + 1
    span = Span(horizon_days, min(horizon_days, history_days), setting.hiatus_days)
    end = origin + timedelta(days=horizon_days)
    rows = known_customers(purchases, origin, end, span.window_days)
    n = rows["n"].to_numpy(float)
    actual = {
        "transactions": int(n @ rows["n_holdout"]),
        "value": float(rows["holdout_minor"].sum() / setting.minor_per_unit),
        "buyers": int(n @ (rows["n_holdout"] > 0)),
    }
    known, newcomers = int(n.sum()), _newcomers(purchases, origin, end)
    daily = customers.daily_purchases(purchases, origin)
    classes = {"frequency_class": frequency_class(rows["frequency"])} | _segments(rows)
    made = []
    known_from_birth = of_fitted(summary, models.left_truncation)
    gaps = gap_statistics(purchases, origin, known_from_birth) if REGULAR in models.processes else None
    calendar = _calendar(purchases, origin, summary, left_in(cells, models.left_truncation), setting)
    for fit, spend in _candidates(purchases, origin, summary, cells, setting, gaps, calendar):
        seen = forecast(
            fit,
            spend,
            rows,
            horizon_days,
            classes,
            draws=section.posterior_draws,
            interval=section.interval,
            currency=setting.currency,
            minor_per_unit=setting.minor_per_unit,
            seed=models.sampler.seed,
        )
        predicted = {"transactions": seen.transactions, "value": seen.value}
        bought, by = rows["n_holdout"].to_numpy(float), classes["frequency_class"]
        made.append(
            Backtest(
                origin=origin,
                process=fit.name,
                span=span,
                customers=known,
                new_customers=newcomers,
                fit=fit,
                spend=spend,
                actual=actual,
                predicted=predicted if seen.buyers is None else predicted | {"buyers": seen.buyers},
                accuracy=accuracy(bought, seen.each, n, by),
                at_mle=accuracy(bought, seen.each_mle, n, by),
                coverage=seen.coverage,
                coverage_expected=seen.coverage_expected,
                baselines=_baselines(rows, seen.each, span, setting),
                tables=_tables(rows, seen, daily, origin, horizon_days)
                | {ONE_TIME: one_time(fit, spend, rows, seen.each, span, setting)},
                refused=calendar.refused,
            )
        )
    return made


def _spend(
    purchases: "ir.Table", origin: date, summary: "ir.Table", setting: Setting
) -> "Fit | SegmentMeans":
    """The model of spend that the study asks for, or that the data ask for that were known at the origin."""
    models, money, name = setting.models, setting.minor_per_unit, setting.models.spend
    seen = customers.spend_cells(summary)
    if name == "auto":
        last = last_purchases(purchases.semi_join(summary, "customer"), origin)
        name = choose_spend(seen, last, models, money, models.sampler.seed).used
    if name == "segment_means":
        return SegmentMeans.of(customers.score_cells(summary), money)
    return fit_spend(seen, models, money, model=name)


def _calendar(
    purchases: "ir.Table", origin: date, summary: "ir.Table", cells: "pd.DataFrame", setting: Setting
) -> "Calendar":
    """The study's calendar as it was known at the origin, with factors from purchases up to it."""
    from clvkit.calendar import Calendar, known_at, make_calendar

    section = setting.calendar and known_at(setting.calendar, origin)
    if section is None or not section.acts:
        return Calendar(origin)
    known = of_fitted(summary, setting.models.left_truncation)
    daily = customers.daily_purchases(purchases.semi_join(known, "customer"), origin)
    return make_calendar(section, cells, daily, setting.models, origin, setting.days_per_year)


def _candidates(
    purchases: "ir.Table",
    origin: date,
    summary: "ir.Table",
    cells: "pd.DataFrame",
    setting: Setting,
    gaps: "pd.DataFrame | None",
    calendar: "Calendar",
) -> "Iterator[tuple[Fit | SegmentedFit | CovariateFit, Fit | SegmentedFit]]":
    """Every fit that is tried, with the model of spend that goes with it: each process, and the headline's refinements.

    ``cells`` are of everybody known at the origin. A fit by segment needs two of them that customers to learn from were in
    by then.
    """
    models, money = setting.models, setting.minor_per_unit
    everybody, cells = cells, left_in(cells, models.left_truncation)
    spend = _spend(purchases, origin, summary, setting)
    timed = calendar.timed
    for name in models.processes:
        own = gaps if name == REGULAR else None
        fit = fit_process(name, cells, models, days_per_year=setting.days_per_year, gaps=own, **timed)
        yield fit, spend
    if calendar.clock is not None:
        plain = fit_process(models.headline, cells, models, sample=False, days_per_year=setting.days_per_year)
        yield replace(plain, plain=True), spend
    if models.covariates.use != "ignore" and setting.design is not None:
        from clvkit.covariates import fit_process_with_covariates

        asked = {"prior_sd": models.covariates.prior_sd, "days_per_year": setting.days_per_year}
        yield (
            fit_process_with_covariates(
                models.headline, from_birth(cells), setting.design, models, **asked, **timed
            ),
            spend,
        )
    if models.by_segment and segment_names(from_birth(cells)).nunique() > 1:
        from clvkit.segments import fit_process_by_segment, fit_spend_by_segment

        own = gaps if models.headline == REGULAR else None
        fit = fit_process_by_segment(
            models.headline, from_birth(cells), models, days_per_year=setting.days_per_year, gaps=own,
            known=set(segment_names(everybody)), **timed,
        )  # fmt: skip
        if spend.process != "segment_means":
            spend = fit_spend_by_segment(customers.score_cells(summary), models, money, model=spend.process)
        yield fit, spend


def track(daily: "pd.DataFrame", origin: date, horizon_days: int, seen: Forecast) -> "pd.DataFrame":
    """Cumulative repeat purchases by week, before and after the origin, of customers known at it.

    Returns ``days`` (since the origin), ``day``, ``actual``, and ``predicted, low, high`` from the origin on, all
    counted from the first day of the data, so that the curves continue the history.
    """
    import pandas as pd

    at, steps = pd.Timestamp(origin), steps_to(horizon_days)
    begun = int((at - daily["day"].iloc[0]).days)
    days = np.concatenate([np.arange(0, -begun - 1, -STEP_DAYS)[::-1], steps])
    cumulative = daily.set_index("day")["repeat"].cumsum()
    moments = at + pd.to_timedelta(days, unit="D")
    actual = cumulative.reindex(moments, method="ffill").fillna(0).to_numpy()
    blank = np.full(len(days) - len(steps) - 1, np.nan)
    known = actual[len(blank)]

    def continued(path: np.ndarray) -> np.ndarray:
        return np.concatenate([blank, [known], known + path])

    low, high = seen.path_range
    return pd.DataFrame(
        {
            "days": days,
            "day": moments,
            "actual": actual,
            "predicted": continued(seen.path),
            "low": continued(low),
            "high": continued(high),
        }
    )


def _tables(rows, seen: Forecast, daily, origin: date, horizon_days: int) -> "dict[str, pd.DataFrame]":
    n, bought = rows["n"].to_numpy(float), rows["n_holdout"].to_numpy(float)
    tables = {
        name: by_group(scheme, n, bought, seen.each, tuple(seen.ranges[name]))
        for name, scheme in seen.schemes.items()
    }
    return tables | {"tracking": track(daily, origin, horizon_days, seen)}


def _baselines(rows: "pd.DataFrame", each: np.ndarray, span: Span, setting: Setting) -> dict[str, Baseline]:
    """What the simple rules that the study names would have forecast for the same customers."""
    n, bought = rows["n"].to_numpy(float), rows["n_holdout"].to_numpy(float)
    classes, revenue = frequency_class(rows["frequency"]), rows["holdout_minor"].sum()
    error, made = each - bought, {}
    for name in setting.section.baselines:
        purchases, amounts = RULES[name].forecast(rows, span)
        off = purchases - bought
        made[name] = Baseline(
            name,
            float(n @ amounts / setting.minor_per_unit),
            share(n @ amounts - revenue, revenue),
            accuracy(bought, purchases, n, classes),
            lead(np.abs(off), np.abs(error), n, setting.section.interval),
            lead(off**2, error**2, n, setting.section.interval),
        )
    return made


def _segments(rows: "pd.DataFrame") -> "dict[str, pd.Categorical]":
    """The study's own segments, where it has more than one."""
    import pandas as pd

    named = rows["segment"].fillna("not named").astype(str)
    return {"segment": pd.Categorical(named)} if named.nunique() > 1 else {}


def _newcomers(purchases: "ir.Table", origin: date, end: date) -> int:
    """Customers who first bought after the origin: nobody could forecast them from it."""
    import ibis

    begun = purchases.group_by("customer").agg(first_day=purchases.day.min())
    late = (begun.first_day > ibis.date(origin)) & (begun.first_day <= ibis.date(end))
    return int(begun.filter(late).count().execute())
