"""Back-tests of contracts: renewals and their revenue forecast from an earlier day, beside what then came.

The relations that ran on that day are followed by their own calendar of renewals. A renewal is made where the relation still
runs on the day it was due, whatever its plan or period has become; what it paid is the fees of that day, for a period of the
length it had at the origin. A forecast that is right about who stays is still off where fees changed.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clvkit.contract_calendar import anniversary
from clvkit.contract_models import ContractFits, fit_both
from clvkit.contract_past import as_known
from clvkit.contract_worth import ORDER, UNKNOWN, Money, kinds_of, renewals_due, running, worth
from clvkit.errors import FitError
from clvkit.estimate import Estimate
from clvkit.value import stretch

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.backtest import BacktestSection
    from clvkit.contracts import Contracts
    from clvkit.contracts_section import ContractsSection
    from clvkit.models_section import ModelsSection
    from clvkit.verdict import Verdict

MEASURES = ("renewals", "value", "running")
BASELINES = {"constant_rate": "one rate of retention for all", "nobody_leaves": "nobody leaves"}


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

    def to_json(self) -> dict:
        """As JSON, the date as text."""
        return asdict(self) | {"origin": self.origin.isoformat()}

    @classmethod
    def from_json(cls, made: dict) -> "Held":
        """What `to_json` made."""
        return cls(**made | {"origin": date.fromisoformat(made["origin"])})


@dataclass(frozen=True)
class ContractBacktest:
    """One origin: what was forecast of the relations that ran then, and what came.

    Attributes
    ----------
    end : the last day of the forecast; ``relations``, those followed; ``label``, the model of most of them.
    actual : ``renewals`` made by then, their ``value`` as revenue, and relations ``running`` on that day.
    expected, predicted : the same as estimates, of parameters alone, and with the luck of single relations (outcome).
    baselines : by rule, the same three numbers.
    by_period : ``months, relations, actual, expected``: renewals by billing period.
    verdict : by the study's thresholds; None until it is judged.
    """

    origin: date
    end: date
    relations: int
    label: str
    actual: dict[str, float]
    expected: dict[str, Estimate]
    predicted: dict[str, Estimate]
    baselines: dict[str, dict[str, float]]
    by_period: "pd.DataFrame"
    verdict: "Verdict | None" = None

    def bias(self, measure: str = "renewals") -> float | None:
        """Forecast over what came, less 1; None where nothing came."""
        came = self.actual[measure]
        return self.expected[measure].value / came - 1 if came > 0 else None

    def error(self, measure: str, baseline: str | None = None) -> float:
        """How far a forecast was from what came, in its unit; of the model, or of a baseline."""
        said = self.expected[measure].value if baseline is None else self.baselines[baseline][measure]
        return abs(said - self.actual[measure])

    @property
    def held(self) -> Held:
        """How many relations still ran, in short."""
        one = self.predicted["running"]
        low, high = (one.value if end is None else end for end in (one.low, one.high))
        return Held(self.origin, self.relations, int(self.actual["running"]), one.value, low, high,
                    self.baselines["constant_rate"]["running"])  # fmt: skip

    def to_json(self) -> dict:
        """As ``results.json`` holds it."""
        made = {"origin": self.origin.isoformat(), "end": self.end.isoformat(), "relations": self.relations,
                "label": self.label, "actual": self.actual, "baselines": self.baselines,
                "expected": {name: one.to_json() for name, one in self.expected.items()},
                "predicted": {name: one.to_json() for name, one in self.predicted.items()},
                "bias": self.bias(), "bias_value": self.bias("value"),
                "by_period": self.by_period.to_dict("records")}  # fmt: skip
        if self.verdict is not None:
            made |= {"verdict": self.verdict.level, "reason": self.verdict.reason}
        return made


@dataclass(frozen=True)
class ContractBacktests:
    """Every origin from which contracts were tried, earliest first; ``refused`` says why of those that could not be."""

    tried: tuple[ContractBacktest, ...]
    refused: tuple[str, ...] = ()

    @property
    def latest(self) -> ContractBacktest | None:
        """That from the latest origin."""
        return self.tried[-1] if self.tried else None

    def judged(self, section: "BacktestSection") -> "ContractBacktests":
        """The same with verdicts by the thresholds of ``section``."""
        from clvkit.contract_verdict import judge

        return replace(self, tried=tuple(replace(one, verdict=judge(one, section)) for one in self.tried))

    def save(self, folder: Path) -> None:
        """Write all as JSON, without verdicts."""
        folder.mkdir(parents=True, exist_ok=True)
        made = [replace(one, verdict=None).to_json() for one in self.tried]
        text = json.dumps({"tried": made, "refused": self.refused})
        (folder / "contract_backtests.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "ContractBacktests":
        """Read what `save` wrote."""
        import pandas as pd

        made = json.loads((folder / "contract_backtests.json").read_text(encoding="utf-8"))
        tried = []
        for one in made["tried"]:
            for name in ("bias", "bias_value"):
                one.pop(name)
            for name in ("origin", "end"):
                one[name] = date.fromisoformat(one[name])
            for name in ("expected", "predicted"):
                one[name] = {measure: Estimate(**said) for measure, said in one[name].items()}
            tried.append(ContractBacktest(**one | {"by_period": pd.DataFrame(one["by_period"])}))
        return cls(tuple(tried), tuple(made["refused"]))


def back_test(
    table: "pd.DataFrame",
    section: "ContractsSection",
    models: "ModelsSection",
    backtest: "BacktestSection",
    *,
    as_of: date,
    currency: str,
    days_per_year: float,
    origins: Sequence[date] | None = None,
) -> ContractBacktests:
    """Forecast renewals from each origin with what was known then, and compare.

    Parameters
    ----------
    table : as `clvkit.contracts.contracts` takes it.
    origins : instead of those of ``backtest``.

    Raises
    ------
    StudyError : a forecast would reach beyond the as-of date.
    """
    from clvkit.backtest import horizon_from

    found, refused = [], []
    for origin in backtest.origins if origins is None else origins:
        end = origin + timedelta(days=horizon_from(origin, backtest, as_of))
        try:
            one = from_origin(
                table,
                section,
                models,
                backtest,
                origin=origin,
                end=end,
                currency=currency,
                days_per_year=days_per_year,
            )
            found.append(one)
        except FitError as error:
            refused.append(f"{origin}: {str(error).splitlines()[0]}")
    return ContractBacktests(tuple(found), tuple(refused))


def from_origin(
    table: "pd.DataFrame",
    section: "ContractsSection",
    models: "ModelsSection",
    backtest: "BacktestSection",
    *,
    origin: date,
    end: date,
    currency: str,
    days_per_year: float,
) -> ContractBacktest:
    """One back-test.

    Raises
    ------
    FitError : nothing could be learnt at the origin, or nothing ran then.
    """
    before, after = as_known(table, section, origin), as_known(table, section, end)
    fits = fit_both(before, section, models, days_per_year)
    money = Money(1.0, 0.0, section.fee_growth, days_per_year)
    rows = running(before.relations, fits, money, origin, end).sort_values(
        ORDER, kind="stable", ignore_index=True
    )
    rows["fee"] = rows["fee"].where(~rows["customer"].isin(_foreign(before, currency)), 0.0)
    came = what_was_paid(rows, before, after, end)
    rows, came = rows[came["known"]].reset_index(drop=True), came[came["known"]].reset_index(drop=True)
    if rows.empty:
        raise FitError("no contract ran then that can be followed", fix="choose a later origin")
    kinds, place = kinds_of(rows)
    draws = backtest.posterior_draws
    expected, outcome = _forecast(fits, rows, kinds, place, money, draws, models.sampler.seed)
    units = {"renewals": "renewals", "value": currency, "running": "relations"}
    shown = {name: {"interval": backtest.interval, "unit": units[name]} for name in MEASURES}
    actual = {name: float(came[name].sum()) for name in MEASURES}
    means = {name: Estimate.from_draws(expected[name], **shown[name]) for name in MEASURES}
    return ContractBacktest(
        origin, end, len(rows), fits.used.label, actual, means,
        {name: replace(Estimate.from_draws(outcome[name], **shown[name], kind="outcome"), value=means[name].value)
         for name in MEASURES},
        _baselines(before, rows, money),
        _by_period(rows, place, came, expected["each"]),
    )  # fmt: skip


def _foreign(held: "Contracts", currency: str) -> set[str]:
    other = held.rows["currency"].notna() & (held.rows["currency"] != currency)
    return set(held.rows.loc[other, "customer"])


def what_was_paid(rows: "pd.DataFrame", before: "Contracts", after: "Contracts", end: date) -> "pd.DataFrame":
    """What came of relations that ran: ``renewals`` made up to ``end``, ``value`` paid for them, and ``running`` on that day.

    ``known`` is false where the relation cannot be found again. One row for each of ``rows``, in their order.
    """
    import pandas as pd

    later = after.relations[["customer", "start", "end", "ended"]].rename(
        columns={"end": "left_on", "ended": "left"}
    )
    both = rows[["customer", "start"]].merge(later, on=["customer", "start"], how="left")
    known = both["left"].notna().to_numpy()
    left = both["left"].fillna(True).astype(bool).to_numpy()
    last = both["left_on"].where(left, pd.Timestamp(end)).fillna(rows["due"] - pd.Timedelta(days=1))
    months = rows["period_months"].to_numpy(np.int64)
    made = renewals_due(rows["due"], last, months)
    each = rows[["customer", "due", "period_months"]].loc[np.repeat(np.arange(len(rows)), made)]
    number = np.concatenate([np.arange(k) for k in made]) if len(made) else np.zeros(0, int)
    each = each.assign(place=np.repeat(np.arange(len(rows)), made))
    each["day"] = anniversary(each["due"], number * each["period_months"].to_numpy())
    paying = after.rows.loc[~after.rows["paused"], ["customer", "start", "end", "fee", "period_months"]]
    pairs = each.merge(paying, on="customer", suffixes=("", "_paid"))
    here = (pairs["start"] <= pairs["day"]) & (pairs["end"].isna() | (pairs["day"] <= pairs["end"]))
    paid = (pairs["fee"].fillna(0.0) * pairs["period_months"] / pairs["period_months_paid"])[here]
    value = np.bincount(pairs.loc[here, "place"], paid.astype(float), minlength=len(rows))
    value = np.where(rows["fee"].to_numpy(float) > 0, value, 0.0)  # what was not forecast is not compared
    return pd.DataFrame({"known": known, "renewals": made, "value": value, "running": ~left})


def _forecast(
    fits: ContractFits,
    rows: "pd.DataFrame",
    kinds: "pd.DataFrame",
    place: np.ndarray,
    money: Money,
    draws: int,
    seed: int,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Renewals, revenue and relations that run, of each draw: expected, and with the luck of single relations."""
    fee = rows["fee"].to_numpy(float)
    number, weight = (np.bincount(place, w, minlength=len(kinds)) for w in (np.ones(len(rows)), fee))
    each = worth(fits, kinds, money, draws, undiscounted=True).expected
    paid = each if money.growth == 0 else worth(fits, kinds, money, draws).expected
    stays = np.zeros((draws, len(kinds)))
    rng = np.random.default_rng(seed)
    outcome = {name: np.zeros(draws) for name in MEASURES}
    for (months, segment), part in kinds.groupby(["unit_months", "segment"], sort=True):
        fit = fits.of(int(months), str(segment))
        drawn, at = stretch(fit.posterior(draws), draws), part.index.to_numpy()
        ahead = np.minimum(part["sure"], part["within"]).to_numpy()
        decided, more = part["decided"].to_numpy(), part["within"].to_numpy() - ahead
        known = (part["left"] != UNKNOWN).to_numpy()
        stays[:, at] = np.atleast_2d(fit.model.survival(drawn, decided + more, decided))
        stays[:, at[known]] = (part["left"] >= part["within"]).to_numpy()[known]
        (mine,) = np.nonzero(np.isin(place, at))
        of = rows.iloc[mine]
        sure, within, left = (of[name].to_numpy() for name in ("sure", "within", "left"))
        sure = np.minimum(sure, within)
        for row, one in enumerate(drawn):
            made, _ = fit.model.simulate_future(one, of["decided"].to_numpy(), within - sure, rng)
            made = np.where(left != UNKNOWN, np.minimum(left, within), sure + made)
            outcome["renewals"][row] += made.sum()
            outcome["value"][row] += made @ fee[mine]
            outcome["running"][row] += (made == within).sum()
    expected = {"renewals": each @ number, "value": paid @ weight, "running": stays @ number, "each": each}
    return expected, outcome


def _baselines(before: "Contracts", rows: "pd.DataFrame", money: Money) -> dict[str, dict[str, float]]:
    """What simple rules forecast: one rate of retention a billing period, from all that was known, and nobody leaving."""
    seen = before.histories[before.histories["renewals"] >= before.histories["entry"]]
    faced = (seen["renewals"] + seen["ended"] - seen["entry"]).groupby(seen["period_months"]).sum()
    ends = seen["ended"].groupby(seen["period_months"]).sum()
    rate = (1 - ends / faced.where(faced > 0)).fillna(1.0).astype(float)
    within, fee = rows["within"].to_numpy(float), rows["fee"].to_numpy(float)
    each = rows["period_months"].map(rate).fillna(1.0).to_numpy(float)
    made = {}
    for name, r in (("constant_rate", each), ("nobody_leaves", np.ones(len(rows)))):
        whole = np.where(r < 1, r * (1 - r**within) / np.where(r < 1, 1 - r, 1.0), within)
        made[name] = {
            "renewals": float(whole.sum()),
            "value": float(whole @ fee),
            "running": float((r**within).sum()),
        }
    return made


def _by_period(
    rows: "pd.DataFrame", place: np.ndarray, came: "pd.DataFrame", each: np.ndarray
) -> "pd.DataFrame":
    frame = rows[["period_months"]].assign(actual=came["renewals"], expected=each.mean(axis=0)[place])
    made = frame.groupby("period_months").agg(relations=("actual", "size"), actual=("actual", "sum"), expected=("expected", "sum"))  # fmt: skip
    return made.reset_index().rename(columns={"period_months": "months"})
