"""Promotions and prices in the history: what a window added, what it only moved, and amounts at one level of prices.

**A window** raises purchases while it lasts, and some of them are later ones made early. The customers who were there
before it are followed: their repeat purchases a day are y, and

    log E[y] = log(usual at these ages) + weekday + season + trend + window + what comes after it (in steps),   Var[y] = φ E[y],

a quasi-Poisson regression (McCullagh & Nelder 1989, ch. 9) on the days before the window, in it, and after it. The
*baseline* is the same without the window and what came after it. *Uplift* is what the window had more than its
baseline, *pull-forward* the share of the baseline of the days after it that is missing there.

**Prices.** An amount at the price level of a day is the amount times the index of that day over the index of its own.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, model_validator

from clvkit.errors import DataError
from clvkit.rules import RuleBroken
from clvkit.section import Section

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

PARTS = 30  # of the customers, left out in turn: how far estimates hang on whom the company has
LEAST_BEFORE, LEAST_PURCHASES = 56, 100  # days, and purchases, without which there is no baseline
YEARS_FOR_SEASON = 2  # cycles from which a season can be told from a trend
PRICE_KEYS = ("product", "category", "source", "segment")


class PromotionWindow(Section):
    """A promotion: its days, and what was taken off."""

    first: date = Field(description="First day of the promotion.")
    last: date = Field(description="Last day of the promotion, counted in.")
    discount: float | None = Field(
        None, gt=0, lt=1, description="What was taken off the price, where it is known. Unit: share of the price."
    )  # fmt: skip

    @model_validator(mode="after")
    def _in_order(self) -> "PromotionWindow":
        if self.last < self.first:
            raise RuleBroken(f"must not be before the first day, {self.first}", at="last")
        return self


class PriceStep(Section):
    """From a day on, prices are at this level."""

    day: date = Field(description="First day on which the prices hold.")
    index: float = Field(gt=0, description="Level of the list prices; 1.08 is 8 % above an index of 1.")
    source: str | None = Field(None, description="The source whose prices these are; null: all.")
    segment: str | None = Field(None, description="The segment whose prices these are; null: all.")


class PromotionsSection(Section):
    """Promotions and list prices of the past."""

    windows: dict[str, PromotionWindow] = Field(
        default_factory=dict,
        description="Promotions by name: {spring sale: {first: 2024-03-01, last: 2024-03-14, discount: 0.15}}.",
    )
    after_days: int = Field(
        56, ge=7, description="Days after a promotion from which purchases may have been pulled forward. Unit: days."
    )  # fmt: skip
    interval: float = Field(0.9, gt=0, lt=1, description="Probability of the intervals of these estimates.")
    prices: tuple[PriceStep, ...] = Field(
        (),
        description="History of the list prices: {day: 2024-01-01, index: 1.08}, for all or for a source or segment.",
    )


@dataclass(frozen=True)
class Effect:
    """What a promotion did to the repeat purchases of those who were customers before it.

    ``days``: ``day`` (datetime64), ``purchases``, ``baseline``, ``fitted``, ``part`` (before, window, after, later).
    ``uplift`` and ``pulled`` are purchases; ``uplift_share`` of the window's baseline, ``pulled_share`` of the baseline
    after it; ``net`` is uplift less what was pulled forward. Each is (value, low, high). ``dispersion`` is φ, at least 1.
    """

    name: str
    window: PromotionWindow
    customers: int
    days: "pd.DataFrame"
    uplift: tuple[float, float, float]
    uplift_share: tuple[float, float, float]
    pulled: tuple[float, float, float]
    pulled_share: tuple[float, float, float]
    net: tuple[float, float, float]
    dispersion: float


def known_pairs(purchases: "ir.Table", first: date, as_of: date) -> "pd.DataFrame":
    """Purchases of those who were customers before ``first``: ``part, day, age`` (days since their first), ``n``.

    ``part`` (0 to `PARTS` − 1) is a random share of the customers, for the jackknife.
    """
    import ibis
    import pandas as pd

    known = purchases.filter(purchases.day <= ibis.date(as_of))
    begun = known.group_by("customer").agg(first_day=known.day.min())
    begun = begun.filter(begun.first_day < ibis.date(first))
    begun = begun.mutate(part=ibis.row_number().over(order_by=begun.customer) % PARTS)
    both = known.join(begun, "customer")
    both = both.mutate(age=both.day.delta(both.first_day, unit="day").cast("int64"))
    pairs = both.group_by("part", "day", "age").agg(n=both.count().cast("int64")).to_pyarrow().to_pandas()
    return pairs.assign(day=pd.to_datetime(pairs["day"])).sort_values(
        ["day", "age", "part"], ignore_index=True
    )


def daily_of_known(pairs: "pd.DataFrame", first: date, as_of: date) -> "pd.DataFrame":
    """Days of `known_pairs`, in order: ``day, acquired`` (so far), ``purchases`` (repeat), ``usual``.

    ``usual`` is what customers of these ages bought a day before ``first``: the rate at age k (days) is
    c · (k + 30)^−u · (k + 365)^−v by regression, so that a fading of purchases with age, and a company whose customers
    grow older, are not taken for an effect of the promotion.
    """
    import pandas as pd

    if pairs.empty:
        return pd.DataFrame({"day": pd.to_datetime([]), "acquired": [], "purchases": [], "usual": []})
    calendar = pd.date_range(pairs["day"].min(), pd.Timestamp(as_of), name="day")
    at = (pairs["day"] - calendar[0]).dt.days.to_numpy()
    age, n = pairs["age"].to_numpy(), pairs["n"].to_numpy(float)
    new = np.bincount(at, weights=n * (age == 0), minlength=len(calendar))
    repeat = np.bincount(at, weights=n * (age > 0), minlength=len(calendar))
    length = (pd.Timestamp(first) - calendar[0]).days
    before = (age > 0) & (at < length)
    made = np.bincount(age[before], weights=n[before], minlength=length)[1:length]
    watched = new[:length].cumsum()[::-1][1:length]  # customers who were seen at age k before the promotion
    rate = _rates_by_age(made, watched, len(calendar))
    usual = np.convolve(new, np.concatenate([[0.0], rate]))[: len(calendar)]
    return pd.DataFrame({"day": calendar, "acquired": new.cumsum(), "purchases": repeat, "usual": usual})


def _rates_by_age(made: np.ndarray, watched: np.ndarray, length: int) -> np.ndarray:
    """Purchases a day of one customer at the ages 1 to ``length``."""
    age = np.arange(1, length + 1, dtype=float)
    terms = np.column_stack([np.ones(length), np.log(age + 30), np.log(age + 365)])
    seen = watched > 0
    if seen.sum() <= terms.shape[1] or not made.sum():
        return np.full(length, max(made.sum(), 0.5) / max(watched.sum(), 1))
    beta, _, _ = quasi_poisson(terms[: len(made)][seen], made[seen], np.log(watched[seen].astype(float)))
    return np.exp(terms @ beta)


def effect(
    purchases: "ir.Table",
    name: str,
    section: PromotionsSection,
    as_of: date,
) -> Effect:
    """Estimate what one of the section's windows did.

    Parameters
    ----------
    purchases : ``customer, day``, one row per customer and day.

    Raises
    ------
    DataError : too little before the window or after it to tell its effect from the days around it.
    """
    window = section.windows[name]
    if window.last >= as_of:
        raise DataError(
            f"the promotion {name!r} is not over by the as-of date {as_of}: nothing says yet what was pulled forward",
            place=f"promotions.windows.{name}",
            fix="take it out of the study until it is",
        )
    pairs = known_pairs(purchases, window.first, as_of)
    days = daily_of_known(pairs, window.first, as_of)
    days = days[days["usual"] > 0].reset_index(drop=True)
    before = (days["day"].dt.date < window.first).to_numpy()
    if before.sum() < LEAST_BEFORE or days.loc[before, "purchases"].sum() < LEAST_PURCHASES:
        raise DataError(
            f"the promotion {name!r} has {int(before.sum())} days and "
            f"{int(days.loc[before, 'purchases'].sum())} repeat purchases before it; a baseline needs {LEAST_BEFORE} and "
            f"{LEAST_PURCHASES}",
            place=f"promotions.windows.{name}",
            fix="take a history that begins earlier, or leave the promotion out",
        )
    others = {other: one for other, one in section.windows.items() if other != name}
    found, dispersion, shown = _estimate(window, days, section, others)
    parts = []
    for part in range(PARTS):
        fewer = daily_of_known(pairs[pairs["part"] != part], window.first, as_of)
        fewer = fewer[fewer["usual"] > 0].reset_index(drop=True)
        parts.append(_estimate(window, fewer, section, others)[0])
    return Effect(
        name,
        window,
        int(days["acquired"].max()),
        shown,
        *_bands(found, np.array(parts), section.interval),
        dispersion,
    )


def _estimate(window, days, section, others) -> tuple[np.ndarray, float, "pd.DataFrame"]:
    """Uplift, its share, pull-forward, its share and the net of both (5,); the dispersion; the days."""
    day = days["day"].to_numpy().astype("datetime64[D]")
    inside = (day >= np.datetime64(window.first)) & (day <= np.datetime64(window.last))
    since = (day - np.datetime64(window.last)).astype(int)
    after = (since > 0) & (since <= section.after_days)
    edges = np.unique(np.linspace(0, section.after_days, 1 + min(4, section.after_days // 7)).astype(int))
    steps = [(since > a) & (since <= b) for a, b in pairwise(edges)]
    base = _baseline_terms(days)
    for other in others.values():  # days under another promotion, or after it, say nothing of the usual
        run = (day >= np.datetime64(other.first)) & (
            day <= np.datetime64(other.last + timedelta(days=section.after_days))
        )
        if (run & ~inside & ~after).any():
            base = np.column_stack([base, run & ~inside & ~after])
    effects = np.column_stack([inside, *(one for one in steps if one.any())]).astype(float)
    y, offset = days["purchases"].to_numpy(float), np.log(days["usual"].to_numpy(float))
    beta, _, dispersion = quasi_poisson(np.column_stack([base, effects]).astype(float), y, offset)
    quiet = base.shape[1]
    baseline = np.exp(offset + base @ beta[:quiet])
    fitted = baseline * np.exp(effects @ beta[quiet:])
    uplift, pulled = (fitted - baseline)[inside].sum(), (baseline - fitted)[after].sum()
    found = [uplift, uplift / baseline[inside].sum(), pulled, pulled / baseline[after].sum(), uplift - pulled]
    part = np.select([inside, after, since > 0], ["window", "after", "later"], "before")
    shown = days[["day", "purchases"]].assign(baseline=baseline, fitted=fitted, part=part)
    return np.array(found), dispersion, shown


def _bands(found: np.ndarray, parts: np.ndarray, interval: float) -> list[tuple[float, float, float]]:
    """Each estimate with its interval, by the jackknife over parts of the customers (Efron & Tibshirani 1993, ch. 11).

    Days are not independent: a few busy customers who come or leave move the level for months. Customers are.
    Totals of the customers without a part are scaled up to all.
    """
    from scipy.stats import t

    full = parts * np.array([PARTS / (PARTS - 1), 1.0, PARTS / (PARTS - 1), 1.0, PARTS / (PARTS - 1)])
    error = np.sqrt((PARTS - 1) / PARTS * ((full - full.mean(axis=0)) ** 2).sum(axis=0))
    half = t.ppf((1 + interval) / 2, PARTS - 1) * error
    return [(float(v), float(v - h), float(v + h)) for v, h in zip(found, half, strict=True)]


def _baseline_terms(days: "pd.DataFrame") -> np.ndarray:
    """Columns of the baseline: level, weekdays, trend, and a season where two years are there to see it."""
    day = days["day"]
    time = (day - day.iloc[0]).dt.days.to_numpy(float)
    columns = [np.ones(len(days))] + [day.dt.dayofweek.to_numpy() == k for k in range(1, 7)]
    along = time / max(time[-1], 1) - 0.5
    columns += [along, along**2]  # bent, so that an error in the rates by age is no effect of the promotion
    if time[-1] >= YEARS_FOR_SEASON * 365:
        columns += [day.dt.month.to_numpy() == k for k in range(2, 13)]  # a Christmas peak is no sine
    return np.column_stack(columns).astype(float)


def quasi_poisson(
    design: np.ndarray, y: np.ndarray, offset: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Coefficients (k,), their covariance (k, k) and the dispersion of a log-linear quasi-Poisson regression.

    Iteratively re-weighted least squares; the dispersion is Pearson's χ² over the degrees of freedom, and counts as
    at least 1, since purchases of independent customers are no more regular than that. Columns that say nothing of their
    own (collinear ones) get the smallest coefficients.

    Raises
    ------
    DataError : fewer rows than coefficients.
    """
    if len(y) <= design.shape[1]:
        raise DataError(
            f"a regression of {len(y)} days on {design.shape[1]} terms has nothing left to judge it by",
            fix="take a longer history",
        )
    mean = np.maximum(y, 0.1) * 0.5 + 0.5 * np.exp(offset) * (y.sum() / np.exp(offset).sum())
    beta, last = np.zeros(design.shape[1]), np.inf
    for _ in range(100):
        score = np.log(mean) - offset + (y - mean) / mean
        root = np.sqrt(mean)
        beta = np.linalg.lstsq(design * root[:, None], score * root, rcond=1e-10)[0]
        mean = np.exp(np.clip(offset + design @ beta, -30, 30))
        deviance = 2 * np.sum(np.where(y > 0, y * np.log(np.maximum(y, 1e-300) / mean), 0) - (y - mean))
        if abs(deviance - last) <= 1e-10 * (abs(deviance) + 1):
            break
        last = deviance
    freedom = len(y) - np.linalg.matrix_rank(design)
    dispersion = max(1.0, float(np.sum((y - mean) ** 2 / mean) / max(freedom, 1)))
    covariance = dispersion * np.linalg.pinv(design.T @ (design * mean[:, None]), rcond=1e-12, hermitian=True)
    return beta, covariance, dispersion


def price_factors(days: "pd.DataFrame", prices: "pd.DataFrame", level: date) -> np.ndarray:
    """What amounts are multiplied with to be at the prices of ``level``: (rows,).

    Parameters
    ----------
    days : ``day`` and the columns that ``prices`` tells prices apart by.
    prices : ``date`` (first day on which it holds), ``index``, and any of `PRICE_KEYS`; a null there fits everything, and
        the row that says more counts before one that says less. Before its first date, a price is the first.

    Raises
    ------
    DataError : prices are told apart by a column that the purchases do not have.
    """
    import pandas as pd

    keys = [key for key in PRICE_KEYS if key in prices and prices[key].notna().any()]
    if lost := [key for key in keys if key not in days]:
        raise DataError(
            f"prices are given by {lost[0]}, which the purchases do not have",
            place="promotions.prices",
            fix="give an index for all, or by " + " or ".join(key for key in PRICE_KEYS if key in days),
        )
    factor, done = np.ones(len(days)), np.zeros(len(days), bool)
    day = pd.to_datetime(days["day"]).to_numpy().astype("datetime64[D]")
    named = prices.astype({key: object for key in keys}).where(prices.notna(), None)
    told = list(dict.fromkeys(named[keys].itertuples(index=False, name=None))) if keys else [()]
    for values in sorted(told, key=lambda one: sum(value is None for value in one)):
        steps, fits = named, ~done
        for key, value in zip(keys, values, strict=True):
            steps = steps[steps[key].isna() if value is None else steps[key] == value]
            if value is not None:
                fits = fits & (days[key] == value).to_numpy()
        steps = steps.sort_values("date")
        since = pd.to_datetime(steps["date"]).to_numpy().astype("datetime64[D]")
        at = lambda when: steps["index"].to_numpy(float)[  # noqa: E731, B023
            np.maximum(np.searchsorted(since, when, "right") - 1, 0)  # noqa: B023
        ]
        factor[fits] = at(np.datetime64(level)) / at(day[fits])
        done |= fits
    return factor


def normalised(
    lines: "ir.Table", prices: "pd.DataFrame", level: date, amount: str = "value_minor"
) -> "ir.Table":
    """The lines with ``normal_minor``: their amounts at the prices of ``level``, rounded half away from zero.

    ``lines`` have ``day`` and ``amount`` in minor units; only their distinct days and keys leave the engine.
    """
    import ibis

    keys = [key for key in PRICE_KEYS if key in prices and prices[key].notna().any() and key in lines.columns]
    days = lines.select("day", *keys).distinct().to_pyarrow().to_pandas()
    table = ibis.memtable(days.assign(price_factor=price_factors(days, prices, level)))
    both = lines.left_join(table, ["day", *keys])
    moved = (both[amount] * both.price_factor).round().cast("int64")
    return both.mutate(normal_minor=moved).select(*lines.columns, "normal_minor")


def price_frame(steps: tuple[PriceStep, ...]) -> "pd.DataFrame":
    """The study's price steps as `price_factors` wants them."""
    import pandas as pd

    rows = [
        {"date": one.day, "index": one.index, "source": one.source, "segment": one.segment} for one in steps
    ]
    return pd.DataFrame(rows, columns=["date", "index", "source", "segment"])


def price_history(rows: "ir.Table", prices: "pd.DataFrame", as_of: date) -> "pd.DataFrame":
    """Money by month, as it was and at the prices of the as-of date: ``month, raw_minor, normal_minor``, sorted."""
    import ibis

    counted = rows.filter(rows.state.isin(("used", "merged")) & (rows.day <= ibis.date(as_of)))
    both = normalised(counted, prices, as_of)
    months = both.group_by(month=both.day.truncate("M").cast("date")).agg(
        raw_minor=both.value_minor.sum().cast("int64"), normal_minor=both.normal_minor.sum().cast("int64")
    )
    return months.order_by("month").to_pyarrow().to_pandas()
