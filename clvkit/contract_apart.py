"""What stands beside the value of running contracts: relations that are paused, and trials that may convert."""

from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from clvkit.contract_trials import CONVERTED, RUNNING, conversion
from clvkit.contract_worth import DAY, Money, kinds_of, worth
from clvkit.estimate import Estimate
from clvkit.value import stretch

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.contracts import Contracts
    from clvkit.value import ValueSection

#: As many trials must have converted for their first contracts to say what such a contract is worth.
ENOUGH = 10


def paused_worth(
    fits, rows: "pd.DataFrame", held: "Contracts", money: Money, draws: int, made: dict
) -> Estimate | None:
    """What paused relations would be worth if they went on at their next renewal, at the fee of their last contract.

    ``rows`` are of `clvkit.contract_worth.running`; ``made`` are the interval and the unit.
    """
    if rows.empty:
        return None
    rows = rows.reset_index(drop=True)
    last = held.rows[held.rows["paused"]].groupby("customer")[["fee", "period_months"]].last()
    mine = last.reindex(rows["customer"])
    fee = (
        mine["fee"].to_numpy() * rows["period_months"].to_numpy() / mine["period_months"].to_numpy()
    ).astype(float)
    kinds, place = kinds_of(rows)
    paid = rows["of_fee"].to_numpy(float) * np.nan_to_num(fee)
    total = worth(fits, kinds, money, draws).expected @ np.bincount(place, paid, minlength=len(kinds))
    return Estimate.from_draws(total, **made)


def first_fees(held: "Contracts", currency: str) -> "pd.DataFrame":
    """First contracts of relations that a trial became, or of all where those are few: ``period_months, fee``."""
    begun = held.rows.sort_values(["customer", "start"])
    begun = begun[(begun["fee"] > 0) & (begun["currency"].isna() | (begun["currency"] == currency))]
    first = held.relations[["customer", "start"]].merge(begun, on=["customer", "start"])
    won = held.trials.loc[held.trials["outcome"] == CONVERTED, ["customer", "start", "days"]]
    won = won.assign(start=won["start"] + np.array(won["days"], "timedelta64[D]"))
    theirs = first.merge(won[["customer", "start"]], on=["customer", "start"])
    return (theirs if len(theirs) >= ENOUGH else first)[["period_months", "fee"]]


def trial_worth(
    fits, held: "Contracts", value: "ValueSection", money: Money, seed: int, as_of: date, currency: str
) -> tuple[Estimate | None, Estimate | None]:
    """What running trials may become, and the share of trials that convert; None where there is nothing to tell it from.

    A trial is worth its chance of converting, times a new relation, whose first period is paid when it begins: at the end of
    the trial, or after the usual time where that is not known. It counts within the horizon, of relations as they began so far.
    """
    import pandas as pd

    if held.trials.empty:
        return None, None
    draws = value.posterior_draws  # the chance has an interval though the models of renewals may have none
    found = conversion(held.trials, draws, seed + 1)
    if found is None:
        return None, None
    share = Estimate.from_draws(found.share, interval=value.interval, unit="share")
    on = held.trials[held.trials["outcome"] == RUNNING]
    firsts = first_fees(held, currency)
    if on.empty or firsts.empty:
        return None, share
    chance = found.from_age(on["days"].to_numpy())
    usual = found.median_days if np.isfinite(found.median_days) else 0.0
    end = (on["end"] + pd.Timedelta(days=1)).fillna(on["start"] + pd.Timedelta(days=usual))
    days = (end - pd.Timestamp(as_of)).dt.days.clip(lower=0).to_numpy()
    years = days / money.days_per_year
    new, told = np.zeros(draws), 0
    for months, part in firsts.groupby("period_months"):
        if int(months) not in held.periods:
            continue
        fit = fits.of(int(months), plain=True)
        drawn, within = stretch(fit.posterior(draws), draws), int(value.horizon_months // months)
        if getattr(fits, "daily", False):
            days = months * money.days_per_year / 12
            d, horizon = money.per_period(DAY), value.horizon_months * money.days_per_year / 12
            one = fit.model.derl(drawn, np.zeros(1), d, horizon).reshape(-1) / days
            new, told = new + one * part["fee"].sum(), told + len(part)
            continue
        d = money.per_period(int(months))
        one = 1 + np.asarray(fit.model.derl(drawn, np.zeros(1, np.int64), d, within)).reshape(-1) / (1 + d)
        new, told = new + one * part["fee"].sum(), told + len(part)
    each = money.margin * new / max(told, 1)
    total = (chance * (1 + money.net) ** -years).sum(axis=1) * each
    return Estimate.from_draws(total, interval=value.interval, unit=currency), share
