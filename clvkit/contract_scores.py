"""What each customer's contract is worth, and what a change in one assumption does to all of them together."""

from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from clvkit.contract_worth import Money, horizon_end, kinds_of, running, worth

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.contract_models import ContractFits
    from clvkit.contracts import Contracts
    from clvkit.contracts_section import ContractsSection
    from clvkit.value import ValueSection

#: What is moved, and what it is; the first three are stated in the study, the others follow from the data.
DRIVERS = {
    "margin": ("Margin", "share of fees"),
    "annual_discount_rate": ("Discount rate", "a year"),
    "horizon_months": ("Horizon", "months"),
    "hazard": ("Chance of leaving", "times −log(1 − chance) of every renewal to come"),
    "fee": ("Fees", "times those of today"),
}


def priced(
    fits: "ContractFits", held: "Contracts", section: "ContractsSection", value: "ValueSection", as_of: date, currency: str,
    days_per_year: float,
) -> "tuple[pd.DataFrame, Money]":  # fmt: skip
    """Running relations with a fee in the study's currency, as `clvkit.contract_worth.running` has them, and the money."""
    from clvkit.contract_value import foreign_customers

    money = Money.of(value, section, days_per_year)
    until = horizon_end(as_of, value.horizon_months, days_per_year)
    rows = running(held.relations, fits, money, as_of, until, section.notice_days)
    foreign = rows["customer"].isin(foreign_customers(held, currency))
    return rows[rows["fee"].gt(0) & ~foreign].reset_index(drop=True), money


def contract_scores(
    fits: "ContractFits", held: "Contracts", section: "ContractsSection", value: "ValueSection", *, as_of: date, currency: str,
    days_per_year: float,
) -> "pd.DataFrame":  # fmt: skip
    """The value of the running contracts of each customer, in the order of their names.

    Returns
    -------
    ``customer, clv_contracts, low, high``: posterior mean and equal-tailed interval, in major units; NaN for the interval
    without a posterior. The means add up to the equity of `clvkit.contract_value.contract_value`.
    """
    import pandas as pd

    rows, money = priced(fits, held, section, value, as_of, currency, days_per_year)
    if rows.empty:
        return pd.DataFrame({"customer": pd.Series(dtype=str)} | {name: pd.Series(dtype=float) for name in ("clv_contracts", "low", "high")})  # fmt: skip
    kinds, place = kinds_of(rows)
    first = fits.of(int(kinds["unit_months"].iloc[0]), str(kinds["segment"].iloc[0]))
    sampled = len(first.posterior(value.posterior_draws)) > 1
    found = worth(fits, kinds, money, value.posterior_draws if sampled else 1).expected
    tails = [(1 - value.interval) / 2, (1 + value.interval) / 2]
    low, high = np.quantile(found, tails, axis=0) if sampled else np.full((2, len(kinds)), np.nan)
    paid = rows["paid"].to_numpy(float)
    made = {"clv_contracts": found.mean(axis=0), "low": low, "high": high}
    frame = pd.DataFrame(
        {"customer": rows["customer"].astype(str)} | {name: one[place] * paid for name, one in made.items()}
    )
    # a customer has one running relation: contracts side by side are one
    return frame.sort_values("customer", ignore_index=True)


def contract_sensitivity(
    fits: "ContractFits", held: "Contracts", section: "ContractsSection", value: "ValueSection", change: float, *, as_of: date,
    currency: str, days_per_year: float,
) -> "pd.DataFrame":  # fmt: skip
    """Contract equity with each driver alone moved by ``change`` (a fraction), down and up, the widest swing first.

    The past stays as it is: a chance of leaving is moved for renewals to come alone, and not for those that are sure.

    Returns
    -------
    ``driver, label, unit, base, down, up`` (levels), ``equity, equity_down, equity_up`` (posterior means),
    ``difference_down, difference_up`` with ``…_low, …_high`` (draw by draw; NaN without a posterior), and ``swing``.
    """
    import pandas as pd

    asked = {"as_of": as_of, "currency": currency, "days_per_year": days_per_year}

    def equity(stated: "ValueSection", hazard: float = 1.0, fee: float = 1.0) -> np.ndarray:
        rows, money = priced(fits, held, section, stated, **asked)
        kinds, place = kinds_of(rows)
        weight = fee * np.bincount(place, rows["paid"].to_numpy(float), minlength=len(kinds))
        return worth(fits, kinds, money, value.posterior_draws, hazard=hazard).expected @ weight

    base, rows = equity(value), []
    tails = [(1 - value.interval) / 2, (1 + value.interval) / 2]
    for name, (label, unit) in DRIVERS.items():
        stated = hasattr(value, name)
        level = getattr(value, name) if stated else 1.0
        row = {"driver": name, "label": label, "unit": unit, "base": level, "equity": base.mean()}
        for side, factor in (("down", 1 - change), ("up", 1 + change)):
            moved = min(level * factor, 1.0) if name == "margin" else level * factor
            drawn = (
                equity(value.model_copy(update={name: moved})) if stated else equity(value, **{name: moved})
            )
            gap = drawn - base
            row |= {side: moved, f"equity_{side}": drawn.mean(), f"difference_{side}": gap.mean()}
            sampled = np.ptp(base) > 0
            row |= dict(zip((f"difference_{side}_low", f"difference_{side}_high"),
                            np.quantile(gap, tails) if sampled else (np.nan, np.nan), strict=True))  # fmt: skip
        row["swing"] = abs(row["equity_up"] - row["equity_down"])
        rows.append(row)
    return pd.DataFrame(rows).sort_values("swing", ascending=False, kind="stable", ignore_index=True)
