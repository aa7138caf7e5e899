"""The renewals to come of running relations, discounted: for every posterior draw, and once for all that are alike.

The value of a relation is what its next renewal would bring on the as-of date, times a number of renewals. That number
depends on its kind alone: its billing period, its segment, the renewals that are decided, how many are sure, how many fit
into the horizon. So numbers are reckoned as (draws, kinds), and relations enter as weights.
"""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from clvkit.contract_calendar import months_between
from clvkit.value import ValueSection, stretch

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.contract_models import ContractFits
    from clvkit.contracts_section import ContractsSection

KIND = ["unit_months", "segment", "decided", "sure", "left", "within"]
DAY = 0  # the unit of contracts that may end on any day, where others have months
UNKNOWN = -1  # how many renewals are left, of relations that nobody has cancelled
ENDLESS = np.int64(2**40)  # renewals of relations that are not limited by a horizon
_FLAT = 1e-5  # a rate per period below which variances are those at it: they divide by its square
SIMULATED = 2_000  # relations whose luck is simulated one by one; of more, the sum is normal
#: Rows of `running` in an order that pseudonyms do not decide: luck is drawn, and floats are added, one after the other.
ORDER = ["unit_months", "segment", "renewals", "decided", "left", "within", "paid", "start", "fee"]


@dataclass(frozen=True)
class Money:
    """How money is reckoned: rates per year, and what a renewal leaves."""

    margin: float
    rate: float
    growth: float = 0.0
    days_per_year: float = 365.25

    @classmethod
    def of(cls, value: ValueSection, section: "ContractsSection", days_per_year: float) -> "Money":
        """As a study states it."""
        return cls(value.margin, value.annual_discount_rate, section.fee_growth, days_per_year)

    @property
    def net(self) -> float:
        """Effective annual rate by which fees of later lose worth, after what they grow."""
        return (1 + self.rate) / (1 + self.growth) - 1

    def per_period(self, months: int) -> float:
        """The net rate of a period of so many months; of a day, where they are `DAY`."""
        years = 1 / self.days_per_year if months == DAY else months / 12
        return (1 + self.net) ** years - 1


def horizon_end(as_of: date, months: float, days_per_year: float) -> date:
    """The last day of a horizon of so many months: by the calendar where they are whole."""
    import pandas as pd

    if months == int(months):
        return (pd.Timestamp(as_of) + pd.DateOffset(months=int(months))).date()
    return (pd.Timestamp(as_of) + pd.Timedelta(days=round(months * days_per_year / 12))).date()


def running(
    relations: "pd.DataFrame", fits, money: Money, as_of: date, until: date, notice_days: int = 0
) -> "pd.DataFrame":
    """Running relations with what their value depends on; renewals count that are due up to ``until``.

    ``fits`` say what parts relations (``column``), and whether they may end on any day (``daily``): then days stand for
    renewals, and ``notice_days`` of them are sure.

    Returns
    -------
    The rows of ``relations`` that run, with ``segment``; ``sure``, renewals that a period of notice makes certain; ``left``,
    those before an announced end, else `UNKNOWN`; ``within``, those due within the horizon; ``of_fee``, the share of a fee
    that the next one brings as margin of the as-of date, and ``paid``, what that is.
    """
    import pandas as pd

    rows, column = relations[~relations["ended"]].reset_index(drop=True), fits.column
    if getattr(fits, "daily", False):
        return _by_day(rows, money, as_of, until, notice_days)
    months, due = rows["period_months"].to_numpy(np.int64), rows["due"]
    announced = rows["announced"].notna().to_numpy()
    left = np.full(len(rows), UNKNOWN, np.int64)
    left[announced] = renewals_due(due[announced], rows.loc[announced, "announced"], months[announced])
    today = pd.Timestamp(as_of)
    within = renewals_due(due, pd.Series(pd.Timestamp(until), index=rows.index), months)
    years = (due - today).dt.days.to_numpy() / money.days_per_year
    sure = np.where(announced, 0, rows["decided"] - rows["renewals"]).clip(min=0)
    segment = "" if column is None else rows[column].fillna("not named").astype(str)
    of_fee = money.margin * (1 + money.net) ** -years
    return rows.assign(unit_months=months, segment=segment, sure=sure, left=left, within=within, of_fee=of_fee,
                       paid=of_fee * rows["fee"].to_numpy(float))  # fmt: skip


def _by_day(rows: "pd.DataFrame", money: Money, as_of: date, until: date, notice_days: int) -> "pd.DataFrame":
    """The same of contracts that may end on any day, and pay as they go."""
    import pandas as pd

    today = pd.Timestamp(as_of)
    announced, within = rows["announced"].notna(), (pd.Timestamp(until) - today).days
    left = (rows["announced"] - today).dt.days.fillna(UNKNOWN).astype("int64")
    tenure = (today - rows["start"]).dt.days + 1  # today is paid for
    sure = np.where(announced, 0, notice_days)
    of_fee = money.margin / (rows["period_months"].to_numpy(float) * money.days_per_year / 12)
    return rows.assign(unit_months=DAY, segment="", decided=tenure + sure, sure=sure, left=left, within=within, of_fee=of_fee,
                       paid=of_fee * rows["fee"].to_numpy(float))  # fmt: skip


def renewals_due(due: "pd.Series", until: "pd.Series", months: np.ndarray) -> np.ndarray:
    """Renewals from ``due`` on, every ``months``, up to ``until``."""
    beyond = (until < due).to_numpy()
    if not len(due):
        return np.zeros(0, np.int64)
    reached = until.where(~beyond, due)
    return np.where(beyond, 0, months_between(due, reached) // months + 1)


def renewals_worth(made, discount: float) -> np.ndarray:
    """So many renewals, discounted per period to the first of them."""
    made = np.asarray(made, float)
    return (1 - (1 + discount) ** -made) * (1 + discount) / discount if discount else made


def kinds_of(rows: "pd.DataFrame") -> "tuple[pd.DataFrame, np.ndarray]":
    """The distinct kinds of rows of `running`, and the place of each row's among them."""
    kinds = rows[KIND].drop_duplicates().sort_values(KIND, ignore_index=True)
    place = rows[KIND].merge(kinds.reset_index(names="place"), on=KIND, how="left")["place"]
    return kinds, place.to_numpy(np.int64)


@dataclass(frozen=True)
class Worth:
    """Numbers of renewals to come, discounted to the next one: (draws, kinds) each.

    ``expected``; ``weighted``, in which the k-th renewal that is not sure counts k times, None where it was not asked for;
    ``variance``, of the luck of one relation.
    """

    expected: np.ndarray
    weighted: np.ndarray | None = None
    variance: np.ndarray | None = None


def worth(
    fits: "ContractFits",
    kinds: "pd.DataFrame",
    money: Money,
    draws: int,
    *,
    endless: bool = False,
    undiscounted: bool = False,
    plain: bool = False,
    hazard: float = 1.0,
    more: bool = False,
) -> Worth:
    """The renewals to come of each kind, by the models of their period and segment.

    Parameters
    ----------
    fits : of every period among the kinds, with ``of(months, segment)``, whose model has ``derl``.
    endless : without the horizon. undiscounted : every renewal counts 1. plain : without segments.
    hazard : multiplies everybody's −log(1 − chance of leaving) from the first renewal on that is not sure.
    more : with ``weighted`` and ``variance``.
    """
    found = {
        name: np.zeros((draws, len(kinds)))
        for name in ("expected", *(("weighted", "variance") if more else ()))
    }
    for (months, segment), part in kinds.groupby(["unit_months", "segment"], sort=True):
        fit = fits.of(int(months), str(segment), plain=plain)
        drawn = stretch(fit.posterior(draws), draws)
        d = 0.0 if undiscounted else money.per_period(int(months))
        for horizon, same in part.groupby("within", sort=True):
            most = np.inf if endless else float(horizon)
            _fill(found, fit.model, drawn, same, d, most, hazard, more)
    return Worth(found["expected"], found.get("weighted"), found.get("variance"))


def _fill(
    found, model, drawn, kinds: "pd.DataFrame", d: float, horizon: float, hazard: float, more: bool
) -> None:
    at, left = kinds.index.to_numpy(), kinds["left"].to_numpy()
    known = left != UNKNOWN
    found["expected"][:, at[known]] = renewals_worth(np.minimum(left[known], horizon), d)
    for sure, same in kinds[~known].groupby("sure", sort=True):
        here, ahead = same.index.to_numpy(), min(float(sure), horizon)
        later, v = horizon - ahead, (1 + d) ** -ahead
        found["expected"][:, here] = renewals_worth(ahead, d)
        if later <= 0:
            continue
        decided = same["decided"].to_numpy(np.int64)
        stays = {} if hazard == 1.0 else {"hazard": hazard}
        expected = np.asarray(model.derl(drawn, decided, d, later, **stays))
        found["expected"][:, here] += v * expected
        if not more:
            continue
        if hasattr(model, "retention_elasticity"):
            found["weighted"][:, here] = v * expected * model.retention_elasticity(drawn, decided, d, later)
        near = d if abs(d) > _FLAT else _FLAT
        one = expected if near == d else model.derl(drawn, decided, near, later)
        two = model.derl(drawn, decided, (1 + near) ** 2 - 1, later)
        u = 1 / (1 + near)  # of K renewals to come, E u^K and E u^2K follow from their sums at two rates
        spread = (1 - (1 - u * u) * two) - (1 - (1 - u) * one) ** 2
        found["variance"][:, here] = v * v * np.maximum(spread, 0.0) / (1 - u) ** 2


def comes(
    fits: "ContractFits",
    rows: "pd.DataFrame",
    kinds: "pd.DataFrame",
    place: np.ndarray,
    money: Money,
    found: Worth,
    seed: int,
) -> np.ndarray:
    """What all relations come to, with the luck of single ones: (draws,).

    Of few relations every life is simulated; of many, the sum is normal, by the exact variance of each.
    """
    rng, draws = np.random.default_rng(seed), len(found.expected)
    paid = rows["paid"].to_numpy(float)
    models = [fits.of(int(m), str(s)) for m, s in zip(kinds["unit_months"], kinds["segment"], strict=True)]
    if len(rows) > SIMULATED or not all(hasattr(one.model, "simulate_future") for one in models):
        weight, square = (np.bincount(place, w, minlength=len(kinds)) for w in (paid, paid**2))
        return found.expected @ weight + np.sqrt(found.variance @ square) * rng.standard_normal(draws)
    total = np.zeros(draws)
    for (months, segment), part in rows.groupby(["unit_months", "segment"], sort=True):
        fit, d = fits.of(int(months), str(segment)), money.per_period(int(months))
        drawn, left = stretch(fit.posterior(draws), draws), part["left"].to_numpy()
        within, sure = part["within"].to_numpy(), part["sure"].to_numpy()
        known, ahead = left != UNKNOWN, np.minimum(sure, within)
        for row, one in enumerate(drawn):
            made, _ = fit.model.simulate_future(one, part["decided"].to_numpy(), within - ahead, rng)
            lives = np.where(known, np.minimum(left, within), ahead + made)
            total[row] += renewals_worth(lives, d) @ part["paid"].to_numpy(float)
    return total
