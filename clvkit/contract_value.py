"""What running contracts are still worth: expected renewals, discounted, times what a renewal leaves as margin.

A relation that runs and has made m renewals is worth, at the moment of its next one, DERL(m) renewals (Fader & Hardie 2010):
the renewal at hand if it is made, and those after it. That moment lies a part of a period ahead, and its payment is discounted
to the as-of date. What has been paid for the running period is no part of it. The fee stays what it is; a relation whose end is
announced renews until then and no longer. Who has left is worth nothing here, whoever may come back.
"""

import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clvkit.contracts_section import MONTHS, ContractsSection
from clvkit.errors import FitError
from clvkit.estimate import Estimate

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.contracts import Contracts
    from clvkit.fit import Fit
    from clvkit.models_section import ModelsSection
    from clvkit.value import ValueSection

#: Below, a likelihood-ratio test of BdW against sBG says that a customer's own chance of leaving changes with tenure.
LEVEL = 0.05


def period_days(section: ContractsSection, days_per_year: float) -> float:
    """Mean days from one renewal to the next."""
    return MONTHS[section.period] * days_per_year / 12


@dataclass(frozen=True)
class ContractFits:
    """Both models of renewals; ``bdw`` is None where the data are too few for it, and ``why`` then says so."""

    sbg: "Fit"
    bdw: "Fit | None"
    why: str = ""

    @property
    def ratio(self) -> tuple[float, float]:
        """Likelihood-ratio statistic of BdW against sBG, and its p (χ² with one degree of freedom); NaN without BdW."""
        from scipy.stats import chi2

        if self.bdw is None:
            return float("nan"), float("nan")
        twice = max(2 * (self.bdw.log_likelihood - self.sbg.log_likelihood), 0.0)
        return twice, float(chi2.sf(twice, 1))

    @property
    def used(self) -> "Fit":
        """BdW where the data reject a constant chance of leaving, else sBG: the simpler one wins where nothing is told."""
        return self.bdw if self.bdw is not None and self.ratio[1] < LEVEL else self.sbg

    def save(self, folder: Path) -> None:
        """Write both fits."""
        folder.mkdir(parents=True, exist_ok=True)
        self.sbg.save(folder / "sbg")
        if self.bdw is not None:
            self.bdw.save(folder / "bdw")
        (folder / "why.txt").write_text(self.why, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "ContractFits":
        """Read what `save` wrote."""
        from clvkit.fit import Fit

        bdw = Fit.load(folder / "bdw") if (folder / "bdw").exists() else None
        return cls(Fit.load(folder / "sbg"), bdw, (folder / "why.txt").read_text(encoding="utf-8"))


def fit_both(
    held: "Contracts", section: ContractsSection, models: "ModelsSection", days_per_year: float
) -> ContractFits:
    """Fit sBG and BdW to the relations, each with a posterior.

    Raises
    ------
    FitError : there is nothing to learn from, as nobody left or nobody could.
    """
    from clvkit.contracts_fit import fit_contracts

    asked = {"period_days": period_days(section, days_per_year), "sample": True}
    sbg = fit_contracts(held.cells(), models, model="sbg", **asked)
    try:
        return ContractFits(sbg, fit_contracts(held.cells(), models, model="bdw", **asked))
    except FitError as error:
        return ContractFits(sbg, None, str(error).split("\n", 1)[0])


@dataclass(frozen=True)
class ContractValue:
    """What running contracts are worth.

    Attributes
    ----------
    equity : of all of them, within the horizon; ``lifetime``, without one (None where nothing is discounted).
    outcome : what may come instead of ``equity``, the luck of single relations included.
    by_plan, by_tenure : ``group, relations, value, low, high, mean``: by plan now, and by renewals made.
    unpriced : running relations without a fee in the study's currency, which are in no value.
    renewals : expected renewals within the horizon.
    trial : the projection tried on what came after the study's latest earlier date; None where it names none.
    """

    equity: Estimate
    lifetime: Estimate | None
    renewals: Estimate
    by_plan: "pd.DataFrame"
    by_tenure: "pd.DataFrame"
    unpriced: int
    trial: "Held | None" = None
    outcome: Estimate | None = None

    def save(self, folder: Path) -> None:
        """Write the tables as Parquet and the rest as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("by_plan", "by_tenure"):
            getattr(self, name).to_parquet(folder / f"{name}.parquet", index=False)
        made = {name: one and one.to_json() for name, one in self._estimates.items()}
        tried = self.trial and asdict(self.trial) | {"origin": self.trial.origin.isoformat()}
        said = {"estimates": made, "unpriced": self.unpriced, "trial": tried}
        (folder / "contract_value.json").write_text(json.dumps(said), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "ContractValue":
        """Read what `save` wrote."""
        import pandas as pd

        said = json.loads((folder / "contract_value.json").read_text(encoding="utf-8"))
        made = {name: one and Estimate(**one) for name, one in said["estimates"].items()}
        frames = {name: pd.read_parquet(folder / f"{name}.parquet") for name in ("by_plan", "by_tenure")}
        tried = said["trial"] and Held(
            **said["trial"] | {"origin": date.fromisoformat(said["trial"]["origin"])}
        )
        return cls(**made, **frames, unpriced=said["unpriced"], trial=tried)

    @property
    def _estimates(self) -> dict[str, Estimate | None]:
        return {name: getattr(self, name) for name in ("equity", "lifetime", "renewals", "outcome")}


def contract_value(
    fit: "Fit",
    held: "Contracts",
    section: ContractsSection,
    value: "ValueSection",
    *,
    as_of: date,
    currency: str,
    days_per_year: float,
    seed: int = 0,
) -> ContractValue:
    """Value the running relations of ``held`` by a fitted model of renewals, draw by draw; ``seed`` is that of the outcome."""
    import pandas as pd

    from clvkit.contracts import anniversary, months_between

    running = held.relations[~held.relations["ended"]].reset_index(drop=True)
    foreign = _foreign(held, currency)
    priced = running["fee"].gt(0) & ~running["customer"].isin(foreign)
    rows = running[priced].reset_index(drop=True)
    months = MONTHS[section.period]
    following = anniversary(rows["start"], (rows["renewals"].to_numpy(np.int64) + 1) * months)
    ahead = (following - pd.Timestamp(as_of)).dt.days.to_numpy() / period_days(section, days_per_year)
    rate = (1 + value.annual_discount_rate) ** (months / 12) - 1
    whole = int(round(value.horizon_months / months, 9) // 1)
    made = rows["renewals"].to_numpy(np.int64)
    paid = value.margin * rows["fee"].to_numpy(float) * (1 + rate) ** -ahead  # for a renewal at hand, today
    draws = fit.posterior(value.posterior_draws)
    tenures, place = np.unique(made, return_inverse=True)
    announced = rows["announced"].notna().to_numpy()
    left = np.zeros(len(rows), np.int64)  # renewals before an announced end
    until, first = rows.loc[announced, "announced"], following[announced]
    left[announced] = np.where(
        until < first, 0, months_between(first, np.maximum(until, first)) // months + 1
    )

    def worth(horizon: float, discount: float) -> np.ndarray:
        """Renewals of each relation, discounted to its next one: (draws, relations)."""
        expected = fit.model.derl(draws, tenures, discount, horizon)[:, place]
        return np.where(announced, renewals_worth(np.minimum(left, horizon), discount), expected)

    def comes() -> np.ndarray:
        """What all of them come to, with a simulated life of each: (draws,)."""
        rng, sure = np.random.default_rng(seed), np.minimum(left, whole)
        lives = (
            np.where(announced, sure, fit.model.simulate_future(one, made, whole, rng)[0]) for one in draws
        )
        return np.array([renewals_worth(life, rate) @ paid for life in lives])

    within = worth(whole, rate) * paid
    interval = {"interval": value.interval, "unit": currency}
    lifetime = worth(np.inf, rate) * paid if value.annual_discount_rate > 0 else None
    plan = rows["last_plan"].fillna("not named").astype(str)
    tenure = pd.cut(rows["renewals"], [-1, 0, 2, 5, 11, 23, np.inf], labels=list(TENURES))
    return ContractValue(
        Estimate.from_draws(within.sum(axis=1), **interval),
        None if lifetime is None else Estimate.from_draws(lifetime.sum(axis=1), **interval),
        Estimate.from_draws(worth(whole, 0.0).sum(axis=1), interval=value.interval, unit="renewals"),
        _by(plan, within, value.interval),
        _by(tenure.astype(str), within, value.interval, list(TENURES)),
        int((~priced).sum()),
        outcome=Estimate.from_draws(comes(), **interval, kind="outcome"),
    )


def renewals_worth(made, discount: float):
    """So many renewals, discounted per period to the first of them."""
    made = np.asarray(made, float)
    return (1 - (1 + discount) ** -made) * (1 + discount) / discount if discount else made


TENURES = ("no renewal yet", "1 or 2 renewals", "3 to 5", "6 to 11", "12 to 23", "24 or more")


def _foreign(held: "Contracts", currency: str) -> set[str]:
    """Customers with a contract in another currency."""
    other = held.rows["currency"].notna() & (held.rows["currency"] != currency)
    return set(held.rows.loc[other, "customer"])


def _by(
    group: "pd.Series", drawn: np.ndarray, interval: float, order: "list[str] | None" = None
) -> "pd.DataFrame":
    """Sums and means of the relations of each group, with equal-tailed intervals of the sums."""
    import pandas as pd

    names = [name for name in (order or sorted(group.unique())) if (group == name).any()]
    tails = [(1 - interval) / 2, (1 + interval) / 2]
    rows = []
    for name in names:
        inside = (group == name).to_numpy()
        total = drawn[:, inside].sum(axis=1)
        low, high = np.quantile(total, tails) if len(total) > 1 else (np.nan, np.nan)
        rows.append((name, int(inside.sum()), total.mean(), low, high, total.mean() / inside.sum()))
    return pd.DataFrame(rows, columns=["group", "relations", "value", "low", "high", "mean"])


@dataclass(frozen=True)
class Held:
    """A projection tried on what came after: relations that ran at ``origin``, and how many still did at the as-of date.

    ``expected, low, high`` include the luck of single relations; ``flat`` is what one constant rate of retention forecast.
    """

    origin: date
    relations: int
    actual: int
    expected: float
    low: float
    high: float
    flat: float


def tried(
    table: "pd.DataFrame",
    section: ContractsSection,
    models: "ModelsSection",
    *,
    origin: date,
    as_of: date,
    interval: float,
    days_per_year: float,
    seed: int,
) -> Held:
    """Fit sBG to what was known at ``origin`` and project the relations that ran then to ``as_of``.

    ``table`` is as `clvkit.contracts.contracts` takes it; announced ends and contracts of later are not known at the origin.

    Raises
    ------
    FitError : as `clvkit.contracts_fit.fit_contracts`.
    """
    import pandas as pd

    from clvkit.contracts import contracts, months_between
    from clvkit.contracts_fit import fit_contracts

    before, after = (contracts(table, section, day) for day in (origin, as_of))
    fit = fit_contracts(
        before.cells(), models, model="sbg", period_days=period_days(section, days_per_year), sample=True
    )
    who, later = ["customer", "start"], after.relations[["customer", "start", "ended"]]
    ran = before.relations[~before.relations["ended"]].drop(columns="ended").merge(later, on=who)
    months = MONTHS[section.period]
    until = pd.Series(pd.Timestamp(as_of), index=ran.index)
    due = months_between(ran["start"], until) // months - ran["renewals"].to_numpy()
    rng = np.random.default_rng(seed)
    stay, stays = still_running(fit.model, fit.posterior(400), ran["renewals"].to_numpy(), due, rng)
    low, high = np.quantile(stays, [(1 - interval) / 2, (1 + interval) / 2])
    faced = before.relations["renewals"] + before.relations["ended"] - before.relations["entry"]
    rate = 1 - before.relations["ended"].sum() / faced.clip(lower=0).sum()
    return Held(origin, len(ran), int((~ran["ended"]).sum()), float(stay.mean()), float(low), float(high),
                float((rate**due).sum()))  # fmt: skip


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
