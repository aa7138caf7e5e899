"""What running contracts are still worth: expected renewals, discounted, times what a renewal leaves as margin.

A relation that runs and has made m renewals is worth, at the moment of its next one, DERL(m) renewals (Fader & Hardie 2010):
the renewal at hand if it is made, and those after it. That moment lies a part of a period ahead, and its payment is discounted
to the as-of date. What has been paid for the running period, be it a month or three years, is no part of it. Renewals within a
period of notice are sure; a relation whose end is announced renews until then and no longer. Fees stay what they are, unless
the study assumes that they grow. Who has left is worth nothing here, whoever may come back; who pauses pays nothing until the
pause is over, and is kept apart; so are trials, which pay nothing yet.
"""

import json
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clvkit.contract_apart import paused_worth, trial_worth
from clvkit.contract_backtest import Held
from clvkit.contract_models import LEVEL, ContractFits, PeriodFits, fit_both
from clvkit.contract_worth import (
    ORDER,
    Money,
    Worth,
    comes,
    horizon_end,
    kinds_of,
    renewals_worth,
    running,
    worth,
)
from clvkit.contracts_section import MONTHS, ContractsSection
from clvkit.estimate import Estimate

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.contracts import Contracts
    from clvkit.fit import Fit
    from clvkit.value import ValueSection

__all__ = ["LEVEL", "ContractFits", "ContractValue", "Held", "PeriodFits", "contract_value", "fit_both", "period_days",
           "renewals_worth", "still_running"]  # fmt: skip
TENURES = ("no renewal yet", "1 or 2 renewals", "3 to 5", "6 to 11", "12 to 23", "24 or more")
MOST_RENEWALS = 60  # that the curve by tenure is shown to
_ESTIMATES = (
    "equity",
    "lifetime",
    "renewals",
    "outcome",
    "plain",
    "elasticity",
    "sure",
    "paused",
    "trials",
    "converts",
)
_FRAMES = ("by_plan", "by_tenure", "by_period", "by_segment", "curve")


def period_days(section: ContractsSection, days_per_year: float) -> float:
    """Mean days from one renewal to the next, of contracts that do not say their own."""
    return MONTHS[section.period] * days_per_year / 12


@dataclass(frozen=True)
class ContractValue:
    """What running contracts are worth.

    Attributes
    ----------
    equity : of all of them, within the horizon; ``lifetime``, without one (None where nothing is discounted).
    outcome : what may come instead of ``equity``, the luck of single relations included.
    renewals : expected renewals within the horizon.
    by_plan, by_tenure, by_period, by_segment : ``group, relations, value, low, high, mean``: by plan now, by renewals made, by
        billing period in months, and by the study's segments (empty where it names none).
    unpriced : running relations without a fee in the study's currency, which are in no value.
    plain : equity with the models without segments; None where segments are not used.
    elasticity : per cent by which equity grows with 1 % more retention at every renewal to come; None where a rule is used.
    sure : the part of equity that a period of notice or an announced end makes certain.
    paused : what relations that are paused would be worth, if they went on at their next renewal; they are not in equity.
    trials : what running trials may become; not in equity. ``converts``, the share of trials that do. None without trials.
    curve : ``period_months, renewals, value, low, high``: of a contract with the mean fee of its period, before its next renewal.
    counts : relations ``announced``, ``paused``, and ``on_trial``.
    draws, outcome_draws : equity of each posterior draw, and what may come in it.
    trial : the projection tried on what came after the study's latest earlier date; None where it names none.
    how : the distribution that contracts which may end on any day are valued with; empty where they renew. ``renewals`` are
        then days under contract.
    """

    equity: Estimate
    lifetime: Estimate | None
    renewals: Estimate
    by_plan: "pd.DataFrame"
    by_tenure: "pd.DataFrame"
    by_period: "pd.DataFrame"
    by_segment: "pd.DataFrame"
    curve: "pd.DataFrame"
    unpriced: int
    outcome: Estimate | None = None
    plain: Estimate | None = None
    elasticity: Estimate | None = None
    sure: Estimate | None = None
    paused: Estimate | None = None
    trials: Estimate | None = None
    converts: Estimate | None = None
    counts: dict[str, int] = field(default_factory=dict)
    draws: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)
    outcome_draws: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)
    trial: Held | None = None
    how: str = ""

    def save(self, folder: Path) -> None:
        """Write the tables as Parquet, the draws as NumPy, and the rest as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in _FRAMES:
            getattr(self, name).to_parquet(folder / f"{name}.parquet", index=False)
        for name in ("draws", "outcome_draws"):
            np.save(folder / f"{name}.npy", getattr(self, name))
        made = {name: (one := getattr(self, name)) and one.to_json() for name in _ESTIMATES}
        said = {"estimates": made, "unpriced": self.unpriced, "counts": self.counts}
        said["how"] = self.how
        said["trial"] = self.trial and self.trial.to_json()
        (folder / "contract_value.json").write_text(json.dumps(said), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "ContractValue":
        """Read what `save` wrote."""
        import pandas as pd

        said = json.loads((folder / "contract_value.json").read_text(encoding="utf-8"))
        made = {name: one and Estimate(**one) for name, one in said["estimates"].items()}
        frames = {name: pd.read_parquet(folder / f"{name}.parquet") for name in _FRAMES}
        drawn = {name: np.load(folder / f"{name}.npy") for name in ("draws", "outcome_draws")}
        trial = said["trial"] and Held.from_json(said["trial"])
        return cls(
            **made,
            **frames,
            **drawn,
            unpriced=said["unpriced"],
            counts=said["counts"],
            trial=trial,
            how=said["how"],
        )


@dataclass(frozen=True)
class ForAll:
    """One fit, or a rule in its place, for contracts of every period and segment."""

    fit: "Fit"
    column: str | None = None

    def of(self, months: int, segment: str | None = None, *, plain: bool = False) -> "Fit":
        """The fit."""
        return self.fit


@dataclass(frozen=True)
class ByPeriod:
    """Fits, or rules in their place, by billing period in months, without segments."""

    fits: "dict[int, Fit]"
    column: str | None = None

    def of(self, months: int, segment: str | None = None, *, plain: bool = False) -> "Fit":
        """That of the period."""
        return self.fits[months]


def contract_value(
    fits: "ContractFits | Fit",
    held: "Contracts",
    section: ContractsSection,
    value: "ValueSection",
    *,
    as_of: date,
    currency: str,
    days_per_year: float,
    seed: int = 0,
) -> ContractValue:
    """Value the running relations of ``held``, draw by draw; ``seed`` is that of the outcome.

    ``fits`` are those of a study, or of each period (`ByPeriod`), or one fit that all relations have.
    """
    fits = fits if hasattr(fits, "of") and hasattr(fits, "column") else ForAll(fits)
    money = Money.of(value, section, days_per_year)
    until = horizon_end(as_of, value.horizon_months, days_per_year)
    every = running(held.relations, fits, money, as_of, until, section.notice_days)
    foreign = every["customer"].isin(foreign_customers(held, currency))
    priced = every["fee"].gt(0) & ~foreign
    # In an order that pseudonyms do not decide: luck is drawn, and floats are added, one relation after the other.
    rows = every[priced].sort_values(ORDER, kind="stable", ignore_index=True)
    kinds, place = kinds_of(rows)
    draws = value.posterior_draws if len(fits_draws(fits, kinds, value.posterior_draws)) > 1 else 1
    paid = rows["paid"].to_numpy(float)
    weight = np.bincount(place, paid, minlength=len(kinds))
    found = worth(fits, kinds, money, draws, more=True)
    made = {"interval": value.interval, "unit": currency}
    equity = found.expected @ weight
    number = np.bincount(place, minlength=len(kinds)).astype(float)
    counted = worth(fits, kinds, money, draws, undiscounted=True).expected @ number
    endless = None if money.net <= 0 else worth(fits, kinds, money, draws, endless=True).expected @ weight
    luck = comes(fits, rows, kinds, place, money, found, seed)
    plain = worth(fits, kinds, money, draws, plain=True).expected @ weight if fits.column else None
    groups = _groups(rows, section)
    tables = {
        name: _by(label, place, found.expected, paid, value.interval, order)
        for name, (label, order) in groups.items()
    }
    apart = every["paused"] & ~foreign
    trials, converts = trial_worth(fits, held, value, money, seed, as_of, currency)
    return ContractValue(
        Estimate.from_draws(equity, **made),
        None if endless is None else Estimate.from_draws(endless, **made),
        Estimate.from_draws(counted, interval=value.interval, unit="days" if getattr(fits, "daily", False) else "renewals"),
        **tables,
        curve=_curve(fits, rows, money, value, draws),
        how=fits.label if getattr(fits, "daily", False) else "",
        unpriced=int((~priced & ~apart).sum()),
        outcome=Estimate.from_draws(luck, **made, kind="outcome"),
        plain=None if plain is None else Estimate.from_draws(plain, **made),
        elasticity=_elasticity(found, weight, value.interval),
        sure=_sure(kinds, weight, money, value.interval, currency),
        paused=paused_worth(fits, every[apart], held, money, draws, made),
        trials=trials,
        converts=converts,
        counts={"announced": int(rows["announced"].notna().sum()), "paused": int(apart.sum()),
                "on_trial": int((held.trials["outcome"] == "running").sum()) if len(held.trials) else 0},
        draws=equity,
        outcome_draws=luck,
    )  # fmt: skip


def fits_draws(fits, kinds: "pd.DataFrame", count: int) -> np.ndarray:
    """The draws of the first kind's fit: as many as a value has, one without a posterior."""
    if kinds.empty:
        return np.zeros((1, 1))
    first = kinds.iloc[0]
    return fits.of(int(first["unit_months"]), str(first["segment"])).posterior(count)


def foreign_customers(held: "Contracts", currency: str) -> set[str]:
    """Customers with a contract in another currency."""
    other = held.rows["currency"].notna() & (held.rows["currency"] != currency)
    return set(held.rows.loc[other, "customer"])


def _groups(
    rows: "pd.DataFrame", section: ContractsSection
) -> "dict[str, tuple[pd.Series, list[str] | None]]":
    """The group of each relation by scheme, and the order of groups where it is not that of their names."""
    import pandas as pd

    from clvkit.contract_models import column_of

    tenure = pd.cut(rows["renewals"].astype(float), [-1, 0, 2, 5, 11, 23, np.inf], labels=list(TENURES))
    months = sorted(rows["period_months"].unique())
    column = column_of(section.segment_by)
    parted = rows.iloc[:0]["segment"] if column is None else rows[column].fillna("not named").astype(str)
    return {
        "by_plan": (rows["last_plan"].fillna("not named").astype(str), None),
        "by_tenure": (tenure.astype(str), list(TENURES)),
        "by_period": (rows["period_months"].astype(str), [str(one) for one in months]),
        "by_segment": (parted, None),
    }


def _by(
    group: "pd.Series", place: np.ndarray, found: np.ndarray, paid: np.ndarray, interval: float,
    order: "list[str] | None" = None,
) -> "pd.DataFrame":  # fmt: skip
    """Sums and means of the relations of each group, with equal-tailed intervals of the sums."""
    import pandas as pd

    tails, rows = [(1 - interval) / 2, (1 + interval) / 2], []
    for name in order or sorted(group.unique()):
        inside = (group == name).to_numpy()
        if not inside.any():
            continue
        total = found @ np.bincount(place[inside], paid[inside], minlength=found.shape[1])
        low, high = np.quantile(total, tails) if len(total) > 1 else (np.nan, np.nan)
        rows.append((name, int(inside.sum()), total.mean(), low, high, total.mean() / inside.sum()))
    columns = ["group", "relations", "value", "low", "high", "mean"]
    return pd.DataFrame(rows, columns=columns).astype({"group": str, "relations": "int64"})


def _elasticity(found: Worth, weight: np.ndarray, interval: float) -> Estimate | None:
    """Per cent more equity with 1 % more retention: Σ k f(k) over Σ f(k), renewals that are sure in the second alone."""
    total = found.expected @ weight
    if found.weighted is None or not found.weighted.any() or not (total > 0).all():
        return None
    return Estimate.from_draws((found.weighted @ weight) / total, interval=interval, unit="% per %")


def _sure(
    kinds: "pd.DataFrame", weight: np.ndarray, money: Money, interval: float, currency: str
) -> Estimate:
    """Margin of renewals that are certain: those within a period of notice, and those before an announced end."""
    from clvkit.contract_worth import UNKNOWN

    certain = np.where(kinds["left"] == UNKNOWN, kinds["sure"], kinds["left"])
    certain = np.minimum(certain, kinds["within"]).astype(float)
    rate = [money.per_period(int(months)) for months in kinds["unit_months"]]
    each = np.array([float(renewals_worth(k, d)) for k, d in zip(certain, rate, strict=True)])
    return Estimate(float(each @ weight), interval=interval, unit=currency)


def _curve(fits, rows: "pd.DataFrame", money: Money, value: "ValueSection", draws: int) -> "pd.DataFrame":
    """The value before its next renewal of a contract with the mean fee of its period, by renewals made."""
    import pandas as pd

    tails, parts = [(1 - value.interval) / 2, (1 + value.interval) / 2], []
    by_period = [] if getattr(fits, "daily", False) else rows.groupby("period_months", sort=True)
    for months, part in by_period:
        most = min(int(part["renewals"].max()), MOST_RENEWALS)
        within = max(int(round(value.horizon_months / months, 9)), 1)
        fit = fits.of(int(months), plain=True)
        drawn = fit.posterior(draws)
        found = fit.model.derl(drawn, np.arange(most + 1), money.per_period(int(months)), within)
        found = np.atleast_2d(found) * money.margin * part["fee"].mean()
        low, high = np.quantile(found, tails, axis=0) if len(drawn) > 1 else np.full((2, most + 1), np.nan)
        parts.append(pd.DataFrame({"period_months": int(months), "renewals": np.arange(most + 1),
                                   "value": found.mean(axis=0), "low": low, "high": high}))  # fmt: skip
    empty = pd.DataFrame(columns=["period_months", "renewals", "value", "low", "high"], dtype=float)
    return pd.concat(parts, ignore_index=True) if parts else empty


def still_running(
    model, draws: np.ndarray, renewals, due, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """How many relations still run when each has come to ``due`` further renewals: two numbers per draw, (draws,) each.

    The first is expected, of parameters alone; the second is simulated, with the luck of single relations. ``renewals`` and
    ``due`` are whole numbers, (relations,), of relations that run.
    """
    histories, count = np.unique(np.column_stack([renewals, due]), axis=0, return_counts=True)
    expected = model.survival(draws, histories.sum(axis=1), histories[:, 0]) @ count
    left = [model.simulate_future(one, renewals, due, rng)[1].sum() for one in draws]
    return expected, len(renewals) - np.array(left)
