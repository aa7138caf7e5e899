"""Who may leave within twelve months, of those under contract, and what is worth so much of the value that goes with them."""

from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from clvkit.contract_scores import priced
from clvkit.contract_worth import UNKNOWN, kinds_of, worth

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.contract_models import ContractFits
    from clvkit.contracts import Contracts
    from clvkit.contracts_section import ContractsSection
    from clvkit.value import ValueSection

MONTHS_AHEAD = 12


def contract_risk(
    fits: "ContractFits", held: "Contracts", section: "ContractsSection", value: "ValueSection", *, as_of: date, currency: str,
    days_per_year: float,
) -> "pd.DataFrame | None":  # fmt: skip
    """One row for each running relation with a fee: its value, and the chance that it is left within twelve months.

    A relation can be left when a renewal is due: with k of them due within the year after m made, the chance is 1 − S(m + k)/S(m),
    posterior mean. Renewals under notice are sure, and an end that is announced for the year is one for certain.

    Returns
    -------
    ``plan, period_months, renewals, value`` (major units), ``leaves``; None where contracts may end on any day.
    """
    if getattr(fits, "daily", False):
        return None
    asked = {"as_of": as_of, "currency": currency, "days_per_year": days_per_year}
    rows, money = priced(fits, held, section, value, **asked)
    kinds, place = kinds_of(rows)
    each = worth(fits, kinds, money, value.posterior_draws).expected.mean(axis=0)[place] * rows[
        "paid"
    ].to_numpy(float)
    year, _ = priced(fits, held, section, value.model_copy(update={"horizon_months": MONTHS_AHEAD}), **asked)
    leaves = np.zeros(len(year))
    for (months, segment), part in year.groupby(["unit_months", "segment"]):
        fit, at = fits.of(int(months), str(segment)), part.index.to_numpy()
        draws = fit.posterior(value.posterior_draws)
        made, due = (part[name].to_numpy(np.int64) for name in ("renewals", "within"))
        sure = np.minimum(part["sure"].to_numpy(np.int64), due)
        histories, where = np.unique(np.column_stack([made + due, made + sure]), axis=0, return_inverse=True)
        stays = np.atleast_2d(fit.model.survival(draws, histories[:, 0], histories[:, 1])).mean(axis=0)
        left = part["left"].to_numpy(np.int64)
        leaves[at] = np.where(left == UNKNOWN, 1 - stays[where.ravel()], left <= due)
    plan = rows["last_plan"].fillna("not named").astype(str)
    return rows[["period_months", "renewals"]].assign(plan=plan, value=each, leaves=leaves)


def by_group(found: "pd.DataFrame", key: str) -> "pd.DataFrame":
    """``group, contracts, leaves`` (expected number), ``chance, hazard`` (a year), ``value, at_risk, share`` (of value) by a column."""
    made = found.assign(at_risk=found["value"] * found["leaves"]).groupby(key, sort=True)
    frame = made.agg(
        contracts=("value", "size"),
        leaves=("leaves", "sum"),
        value=("value", "sum"),
        at_risk=("at_risk", "sum"),
    )
    return rated(frame.reset_index(names="group"))


def rated(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The same with ``chance, hazard`` and ``share``."""
    chance = frame["leaves"] / frame["contracts"].clip(lower=1)
    share = frame["at_risk"] / frame["value"].where(frame["value"] > 0)
    hazard = -np.log1p(-chance.clip(upper=1 - 1e-12))
    return frame.assign(chance=chance, hazard=hazard, share=share)


def quadrants(found: "pd.DataFrame") -> "pd.DataFrame":
    """The relations parted at the middle of value and of the chance of leaving: `by_group` of the four kinds."""
    dear, shaky = (found[name] > found[name].median() for name in ("value", "leaves"))
    kind = np.select(
        [dear & shaky, dear & ~shaky, ~dear & shaky],
        [
            "worth more, more likely to leave",
            "worth more, less likely to leave",
            "worth less, more likely to leave",
        ],
        "worth less, less likely to leave",
    )
    return by_group(found.assign(kind=kind), "kind")
