"""What customers cost and bring by the channel that won them: acquisition cost, value, and months until it is paid back.

Counted are customers whose first purchase lies in the months with spend, up to the as-of date. A channel's cost is its
spend over its customers. Its customers' value is what is still to come of them, of the same posterior draws as customer
equity, so that channels and the rest add up to it. Whether channels differ is asked of more than these customers: of all
whom a channel brings, so that luck in whom it brought is in the interval (a Bayesian bootstrap over customers, draw by
draw). Payback is the month in which the expected margin of a new customer, its first purchase included, reaches the cost; of
the channel's own customers, where the value is computed by segment or with covariates.
"""

import math
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from clvkit.averaging import MARK, totals
from clvkit.customers import keys_of
from clvkit.errors import DataError
from clvkit.value import BLOCK, Block, Future, Terms, pair, stretch

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.fit import Fit
    from clvkit.value import ValueSection
    from clvkit.workbench import Workbench

NO_CHANNEL, OUTSIDE = "no channel named", "won in other months"
ABROAD = "in other currencies, not converted"
_HISTORY = ("frequency", "recency_days", "T_days", "before_days", "in_burn_in")


@dataclass(frozen=True)
class Outlay:
    """The spend of a marketing table; money in minor units of the study's currency.

    Attributes
    ----------
    months : the first and the last that count, as periods: whole months that the table has spend in, ended by the as-of date.
    by_channel : spend in these months.
    rest : what of the table is not in them, by what it is: without a channel, other months.
    abroad : spend in other currencies, by currency, in their minor units of two digits.
    """

    months: "tuple[pd.Period, pd.Period]"
    by_channel: dict[str, int]
    rest: dict[str, int]
    abroad: dict[str, int]

    @property
    def total(self) -> int:
        """All of the table that is in the study's currency."""
        return sum(self.by_channel.values()) + sum(self.rest.values())


@dataclass(frozen=True)
class Economics:
    """What was found by channel.

    Attributes
    ----------
    outlay : the spend that was counted, and the rest of the table.
    channels : one row a channel: ``channel, customers, spend`` (major units), ``cac``, ``so_far`` (margin a customer has
        brought by the as-of date), ``clv, low, high`` (mean still to come of these customers), ``apart, apart_low,
        apart_high`` (mean of all whom it brings less that of those whom the others bring), ``differs`` (zero is outside an
        interval that is wider for the number of channels), ``payback, payback_low, payback_high`` (months; infinite: not within the horizon).
    holders : ``group, customers, value, low, high``: channels, customers without one, and those won in other months;
        they add up to customer equity.
    curve : ``months, margin, low, high``: expected margin of a new customer, added up, not discounted.
    torn : share of customers whose records name several channels; the most frequent one counts.
    by_channel : whether payback goes by what a channel's own customers are expected to bring, as fits with groups have it.
    """

    outlay: Outlay
    channels: "pd.DataFrame"
    holders: "pd.DataFrame"
    curve: "pd.DataFrame"
    torn: float
    interval: float
    horizon_months: float
    by_channel: bool = False


def of_run(run: "Workbench") -> Economics | None:
    """The economics by channel of a study; None where it names no channels, or its data carry no value."""
    study, section = run.study, run.study.acquisition
    if section.by is None or not run.values_purchases():
        return None
    everybody = run.everybody()
    people = everybody.filter(everybody.treatment != "exclude")
    frame = people.mutate(
        **{MARK: (people.treatment == "segment_average").ifelse(people.inclusion, None)}
    ).to_pyarrow().to_pandas()  # fmt: skip
    chosen, torn = run.seen.channel(section.by)
    frame["channel"] = frame["customer"].map(chosen)
    outlay = outlay_of(
        run.ledger().tables[section.spend].to_pyarrow().to_pandas(), study.currency, run.minor_per_unit, study.as_of
    )  # fmt: skip
    return economics(
        *run.valued_with(), frame, outlay, study.value, as_of=run.known_until, minor_per_unit=run.minor_per_unit,
        days_per_year=study.days_per_year, seed=study.models.sampler.seed, torn=torn,
    )  # fmt: skip


def channel_of(
    tables: "list[pd.DataFrame]", members: "pd.DataFrame | None", name: str
) -> "tuple[pd.Series, float]":
    """The channel of each customer by customer, and the share whose records name several; see `covariate_people`."""
    from clvkit.covariate_people import most_said, said_of

    return most_said(said_of(name, tables, members))


def outlay_of(table: "pd.DataFrame", currency: str, minor_per_unit: float, as_of: date) -> Outlay:
    """The spend of a marketing table (``date, channel, amount``, and ``currency`` where it has one) by channel.

    Raises
    ------
    DataError : no month with spend in the study's currency has ended by the as-of date.
    """
    import pandas as pd

    frame = table.dropna(subset=["date", "amount"])
    minor = (frame["amount"].astype(float) * minor_per_unit).round().astype("int64")
    months = pd.PeriodIndex(pd.to_datetime(frame["date"]), freq="M")
    named = frame["channel"].astype("string").str.strip().fillna("").to_numpy(str)
    home = np.ones(len(frame), bool)
    if "currency" in frame:
        home = (frame["currency"].isna() | (frame["currency"] == currency)).to_numpy()
    ended = home & np.asarray(months.end_time.normalize() <= pd.Timestamp(as_of))
    if not ended.any():
        raise DataError(
            f"no month of spend in {currency} has ended by {as_of}",
            place="acquisition.spend",
            fix="look at the dates and currencies of the marketing table, or leave the section out",
        )
    told = ended & (named != "")
    by = minor[told].groupby(named[told]).sum()
    rest = {"without a channel": int(minor[ended & (named == "")].sum()), "in other months": int(minor[home & ~ended].sum())}  # fmt: skip
    abroad = minor[~home].groupby(frame.loc[~home, "currency"] if (~home).any() else minor[~home]).sum()
    return Outlay(
        (months[ended].min(), months[ended].max()),
        {str(name): int(n) for name, n in by.items()},
        {name: n for name, n in rest.items() if n},
        {str(code): int(n) for code, n in abroad.items()},
    )


def economics(
    fit: "Fit",
    spend: "Fit",
    people: "pd.DataFrame",
    outlay: Outlay,
    section: "ValueSection",
    *,
    as_of: date,
    minor_per_unit: float,
    days_per_year: float,
    seed: int,
    torn: float = 0.0,
) -> Economics:
    """Cost, value and payback by channel.

    Parameters
    ----------
    people : one row per customer: the columns of `customers.customer_summary`, ``channel`` (missing: none is named), and
        `clvkit.averaging.MARK` where some are valued as their segment.
    """
    import pandas as pd

    terms = Terms.of(section, days_per_year)
    age = people["T_days"] + (people["before_days"].clip(lower=0) if "before_days" in people else 0)
    months = pd.PeriodIndex(pd.Timestamp(as_of) - pd.to_timedelta(age, unit="D"), freq="M")
    inside = (months >= outlay.months[0]) & (months <= outlay.months[1])
    names = sorted({*people.loc[inside, "channel"].dropna(), *outlay.by_channel})
    group = people["channel"].fillna(NO_CHANNEL).where(inside, OUTSIDE)
    order = [*names, NO_CHANNEL, OUTSIDE]
    people = people.assign(code=group.map({name: k for k, name in enumerate(order)}).to_numpy(np.int64))
    if MARK not in people:
        people = people.assign(**{MARK: None})
    # One row for customers who are alike in all that value depends on, as `customers.score_cells` has them.
    by = [*keys_of(people), "spend_minor", MARK, "code"]
    cells = people.groupby(by, as_index=False, dropna=False).size().rename(columns={"size": "n"})
    cells[MARK] = cells[MARK].astype(object).where(cells[MARK].notna(), None)
    cells["spend_minor"] *= cells["n"]  # a cell has the sum over its customers
    draws, code, size = pair(fit, spend, section.posterior_draws), cells["code"].to_numpy(), len(order)
    case = [(terms, Future())]
    (found,) = totals(fit, spend, draws, cells, [code], case, minor_per_unit, money_only=True)[0]
    value = np.pad(found.value, ((0, 0), (0, size - found.value.shape[1])))
    customers = np.bincount(code, weights=cells["n"], minlength=size)
    so_far = np.bincount(
        people["code"], weights=people["spend_minor"] + people["first_minor"], minlength=size
    )
    ends = _Ends(section.interval, len(value) > 1)
    low, high = ends(value)
    holders = pd.DataFrame({"group": order, "customers": customers.astype(int), "value": value.mean(axis=0),
                            "low": low, "high": high})  # fmt: skip
    curve = margin_curve(fit, spend, draws, cells, terms, section.horizon_months, minor_per_unit)
    k = len(names)
    with np.errstate(divide="ignore", invalid="ignore"):
        cost = np.array([outlay.by_channel.get(name, np.nan) for name in names]) / minor_per_unit
        cac = np.where(customers[:k] > 0, cost / customers[:k], np.nan)
        each = {name: one[:k] / customers[:k] for name, one in (("clv", value.mean(axis=0)), ("low", low), ("high", high),
                ("so_far", section.margin * so_far / minor_per_unit))}  # fmt: skip
    apart = differences(fit, spend, draws, cells[(code < k) & cells[MARK].isna().to_numpy()], k, terms,
                        minor_per_unit, section.posterior_draws, seed)  # fmt: skip
    apart_low, apart_high = _Ends(section.interval, True)(apart)
    # Of k channels that are alike, one is outside its interval k times as often: said to differ is who is outside a wider one.
    surely = _Ends(1 - (1 - section.interval) / max(k, 1), True)(apart)
    apart_by_channel = bool({*fit.keyed_by, *spend.keyed_by}) and bool((customers[:k] > 0).all())
    curves = [
        margin_curve(fit, spend, draws, cells[code == c], terms, section.horizon_months, minor_per_unit)
        if apart_by_channel
        else curve
        for c in range(k)
    ]
    months_to = np.array([_payback(*one) for one in zip(curves, cac, strict=True)]).reshape(k, -1)
    payback = np.array([_quantiles(one, section.interval) for one in months_to]).reshape(k, 3)
    if len(value) == 1:
        payback[:, [0, 2]] = np.nan
    channels = pd.DataFrame({
        "channel": names, "customers": customers[:k].astype(int), "spend": cost, "cac": cac, **each,
        "apart": apart.mean(axis=0), "apart_low": apart_low, "apart_high": apart_high,
        "differs": (surely[0] > 0) | (surely[1] < 0),
        "payback": payback[:, 1], "payback_low": payback[:, 0], "payback_high": payback[:, 2],
    })  # fmt: skip
    drawn_low, drawn_high = ends(curve)
    shape = pd.DataFrame({"months": np.arange(curve.shape[1]), "margin": curve.mean(axis=0), "low": drawn_low, "high": drawn_high})  # fmt: skip
    return Economics(
        outlay, channels, holders, shape, torn, section.interval, section.horizon_months, apart_by_channel
    )


def margin_curve(
    fit: "Fit",
    spend: "Fit",
    draws: tuple[np.ndarray, np.ndarray],
    cells: "pd.DataFrame",
    terms: Terms,
    months: float,
    minor_per_unit: float,
) -> np.ndarray:
    """Expected margin of a customer who is won on the as-of date, added up, not discounted: (draws, months + 1).

    The first purchase is at month 0. Where a fit has groups, new customers are mixed as the known ones are.
    """
    from clvkit.histories import Histories, Spenders

    kinds = [key for key in keys_of(cells) if key not in _HISTORY]
    new = cells.groupby(kinds, as_index=False, dropna=False)["n"].sum()
    new = new.assign(frequency=0, recency_days=0, T_days=0, spend_minor=0)
    weight = new["n"].to_numpy(float) / new["n"].sum()
    who = Histories.of(fit, new)
    amount, _ = Spenders.of(spend, new, minor_per_unit).expected(draws[1])
    amount, alive = np.broadcast_to(amount, (len(draws[0]), len(new))), who.p_alive(draws[0])
    month = terms.days_per_year / 12
    bought = [np.ones_like(amount)]
    bought += [1 + alive * who.expected(draws[0], one * month) for one in range(1, math.floor(months) + 1)]
    return terms.margin * np.stack([(amount * one) @ weight for one in bought], axis=1)


def differences(
    fit: "Fit",
    spend: "Fit",
    draws: tuple[np.ndarray, np.ndarray],
    cells: "pd.DataFrame",
    channels: int,
    terms: Terms,
    minor_per_unit: float,
    replicates: int,
    seed: int,
) -> np.ndarray:
    """Mean value of the customers that each channel brings less that of the others': (replicates, channels).

    Each replicate weighs the customers anew (Dirichlet weights) under one posterior draw; NaN where a side has nobody.
    """
    rng, code = np.random.default_rng(seed), cells["code"].to_numpy()
    which = stretch(np.arange(len(draws[0])), replicates)
    worth, weight = np.zeros((2, replicates, channels))
    for part in np.array_split(np.arange(len(cells)), max(1, math.ceil(len(cells) * replicates / BLOCK))):
        rows, member = cells.iloc[part], np.eye(channels)[code[part]]
        n = rows["n"].to_numpy(float)
        drawn = rng.gamma(n, 1.0, (replicates, len(part)))
        value = Block.of(fit, spend, draws, rows, minor_per_unit).value(terms, Future())[which]
        worth += (drawn * value / n) @ member
        weight += drawn @ member
    with np.errstate(divide="ignore", invalid="ignore"):
        others = worth.sum(axis=1, keepdims=True) - worth
        weights = weight.sum(axis=1, keepdims=True) - weight
        apart = worth / weight - others / weights
    held = np.bincount(code, minlength=channels)
    return np.where((held > 0) & (held < held.sum()), apart, np.nan)


class _Ends:
    """Both ends of the equal-tailed interval of each column; NaN without a posterior."""

    def __init__(self, interval: float, drawn: bool):
        self.tails, self.drawn = [(1 - interval) / 2, (1 + interval) / 2], drawn

    def __call__(self, draws: np.ndarray) -> np.ndarray:
        return np.quantile(draws, self.tails, axis=0) if self.drawn else np.full((2, draws.shape[1]), np.nan)


def _payback(curve: np.ndarray, cost: float) -> np.ndarray:
    """Months until each draw of the curve reaches a cost, linear within a month; infinite where it does not."""
    if math.isnan(cost):
        return np.full(len(curve), np.nan)
    after = np.argmax(curve >= cost, axis=1)
    rows, before = np.arange(len(curve)), np.maximum(after - 1, 0)
    step = curve[rows, after] - curve[rows, before]
    part = np.where(step > 0, (cost - curve[rows, before]) / np.where(step > 0, step, 1), 0.0)
    found = np.where(after == 0, 0.0, before + part)
    return np.where((curve >= cost).any(axis=1), found, np.inf)


def _quantiles(months: np.ndarray, interval: float) -> np.ndarray:
    """Low end, median and high end; a quantile is one of the draws, so that it may be infinite."""
    if np.isnan(months).any():
        return np.full(3, np.nan)
    return np.quantile(months, [(1 - interval) / 2, 0.5, (1 + interval) / 2], method="inverted_cdf")
