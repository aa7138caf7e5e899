"""The champion: which of the fitted processes the value should be computed with, and why.

It is chosen on the earliest back-test, and its error is quoted from the latest: the error on the data that a
choice was made on flatters the choice. The two forecasts share no day (see `clvkit.backtest.horizon_from`).
"""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit import numbers
from clvkit.checks import Check
from clvkit.fit import without_calendar
from clvkit.processes import REGULAR
from clvkit.rules import listed

if TYPE_CHECKING:
    from clvkit.backtest_results import Backtest, Backtests
    from clvkit.fit import Fit

_PLAIN = without_calendar("")
NEAR = (
    0.02  # processes whose error per customer is within this share of the least are told apart by the total
)
TIE = 0.005  # a refinement whose total is better by less than this share has not earned its parameters
SIMPLER = {REGULAR: "mbgnbd"}  # the process that another one is at k = 1
REFINED_BY = {
    "_by_segment": "models.segments",
    "_with_covariates": "models.covariates.use",
}  # the end of a fit's name
MOST_DIGITS = 4  # decimals that near errors are told apart with, in per cent
MEASURES = ("bias", "rmse", "coverage", "calibration")  # of a hold-out


@dataclass(frozen=True)
class Trial:
    """A date that processes were tried from: the ``origin``, and the ``end`` of the forecast."""

    origin: date
    end: date

    @property
    def words(self) -> str:
        """Both days as readers see them."""
        return f"from {numbers.date_words(self.origin)} to {numbers.date_words(self.end)}"


@dataclass(frozen=True)
class Choice:
    """The champion, the reason, and what all processes were compared on.

    ``table`` has one row a fit: ``process`` (its name), ``label``, ``refines`` (the simpler fit that it
    refines: a fit by segment that of all, one on a calendar that without it; None of others), ``log_likelihood``, ``bic`` (on the whole history) and,
    in the trial that was chosen on and the one quoted from, ``bias_…`` (of the number of purchases) and ``rmse_…``
    (purchases per customer), both at maximum likelihood, ``coverage_…`` (share of customers inside their 90 %
    interval), ``calibration_…`` (mean absolute error over tenths of the customers, per customer); NaN where there
    is none. ``customers`` were fitted to: where these differ, likelihoods do not compare. ``quoted`` is None with one
    origin, ``chosen_on`` with none. ``rules`` has one row a simple rule: ``label``, ``bias_…`` and ``rmse_…`` as above.
    """

    champion: str
    headline: str
    chosen_on: Trial | None
    quoted: Trial | None
    table: pd.DataFrame
    rules: pd.DataFrame

    @property
    def reason(self) -> str:
        """Why the champion is the champion, in a sentence, and what it did later, in another."""
        return self._reason(1)

    def _reason(self, digits: int) -> str:
        row = self.table.set_index("process").loc[self.champion]
        if self.chosen_on is None:
            return (
                f"{row['label']} has the lowest BIC{self._among}; the study names no date to try the processes from, so "
                "nothing is known of their errors."
            )
        if np.isnan(row["bias_chosen"]):
            return (
                f"{row['label']} has the lowest BIC{self._among}; {self.chosen_on.words} nobody bought again, so the forecasts "
                "cannot be told apart."
            )
        text = (
            f"{row['label']} forecast the number of purchases {self.chosen_on.words} best, "
            f"{numbers.bias_words(row['bias_chosen'], digits)} at maximum likelihood, among the processes whose error per customer is within "
            f"{numbers.percent(NEAR, 0)} of the least"
        )
        if self.quoted is None:
            return f"{text}; with one back-test only, that error flatters it.{self._rule('chosen')}"
        return f"{text}. {self._later(self.champion, digits)}.{self._rule('quoted')}"

    @property
    def _among(self) -> str:
        """Which processes compare by likelihood, where not all were fitted to the same customers."""
        return (
            "" if self.table["customers"].nunique() == 1 else " of the processes fitted to the same customers"
        )

    def _rule(self, word: str) -> str:
        """How the error per customer of the best simple rule stands beside the champion's, in a sentence."""
        own = self.table.set_index("process").loc[self.champion, f"rmse_{word}"]
        if self.rules.empty or np.isnan(own):
            return ""
        best = self.rules.loc[self.rules[f"rmse_{word}"].idxmin()]
        other = best[f"rmse_{word}"]
        digits = next((d for d in range(2, MOST_DIGITS + 1) if round(own, d) != round(other, d)), MOST_DIGITS)
        beside = "above" if other > own else "below" if other < own else "the same as"
        return (
            f" The best simple rule there, {best['label']}, has an error per customer of {numbers.number(other, digits)}, "
            f"{beside} the {numbers.number(own, digits)} of this process."
        )

    def _later(self, process: str, digits: int = 1) -> str:
        """The error of a process in the trial that had no part in the choice."""
        row = self.table.set_index("process").loc[process]
        when = f"{self.quoted.words[0].upper()}{self.quoted.words[1:]}"
        if np.isnan(row["bias_quoted"]):
            return f"{when}, which had no part in the choice, nobody bought again"
        return f"{when}, which had no part in the choice, it was {numbers.bias_words(row['bias_quoted'], digits)}"

    def check(self) -> Check:
        """Pass where the study values with the champion; review where it does not."""
        same = self.champion == self.headline
        labels = self.table.set_index("process")["label"]
        champion, headline = labels[self.champion], labels[self.headline]
        return Check(
            "fit.champion",
            "The process that the value is computed with",
            "pass" if same else "review",
            self.reason
            if same
            else f"The study values with {headline}. {self._reason(self._digits())}{self._beside()}",
            value=self.champion,
            threshold=self.headline,
            recommendation=""
            if same
            else f"{self._how()}, so that the value is computed with {champion}; or keep {headline} and say in the study why.",
            chapter="04_value",
        )

    def _how(self) -> str:
        """What in the study would make the champion the one that the value is computed with."""
        process, settings = self.champion, []
        if process == without_calendar(process.removesuffix(_PLAIN)):
            process = process.removesuffix(_PLAIN)
            settings.append("calendar.season to 'none' and every window to 'ignore'")
        for suffix, field in REFINED_BY.items():
            if process.endswith(suffix):
                settings.append(f"{field} to 'value'")
            elif self.headline.endswith(suffix):
                settings.append(f"{field} to 'compare'")
            process = process.removesuffix(suffix)
        return f"Set {listed([f'models.headline to {process}', *settings])}"

    def _said(self, process: str, digits: int) -> dict[str, str]:
        """The errors of a process in the trials that it has one in, in words."""
        row = self.table.set_index("process").loc[process]
        trials = (("chosen", self.chosen_on), ("quoted", self.quoted))
        return {
            word: numbers.bias_words(row[f"bias_{word}"], digits)
            for word, trial in trials
            if trial is not None and not np.isnan(row[f"bias_{word}"])
        }

    def _digits(self) -> int:
        """The fewest decimals at which the errors of the champion and the study's process read differently."""
        for digits in range(1, MOST_DIGITS + 1):
            own, other = (self._said(process, digits) for process in (self.champion, self.headline))
            if all(own.get(word) != said for word, said in other.items()):
                return digits
        return 1 if own == other else MOST_DIGITS

    def _beside(self) -> str:
        """What the process of the study did in the same trials, where it is not the champion."""
        row, digits = self.table.set_index("process").loc[self.headline], self._digits()
        own = self._said(self.champion, digits)
        found = [
            said + (", the same to the digit," if own.get(word) == said else "")
            for word, said in self._said(self.headline, digits).items()
        ]
        return f" {row['label']} was {' and then '.join(found).removesuffix(',')}." if found else ""

    def to_json(self) -> dict:
        """``champion`` of ``results.json``: the choice, its reason, and the numbers of every process."""
        rows = self.table.astype(object).where(self.table.notna(), None).set_index("process")
        trials = {"chosen": self.chosen_on, "quoted": self.quoted}
        return {
            "process": self.champion,
            "headline": self.headline,
            "reason": self.reason,
            **{
                word: None if trial is None else {"origin": trial.origin, "end": trial.end}
                for word, trial in trials.items()
            },
            "processes": {
                name: {"log_likelihood": row["log_likelihood"], "bic": row["bic"]}
                | {
                    word: None if trial is None else {key: row[f"{key}_{word}"] for key in MEASURES}
                    for word, trial in trials.items()
                }
                for name, row in rows.iterrows()
            },
        }


def choose(fits: "dict[str, Fit]", backtests: "Backtests", headline: str) -> Choice:
    """Compare the processes on the whole history and on the back-tests, and name the champion.

    A trial in which the study's calendar could not be told yet is of another model, and is left out where there are others.
    """
    whole = {one.origin for one in backtests if not one.refused}
    trials = sorted({(one.origin, one.end) for one in backtests if one.origin in whole or not whole})
    chosen_on = Trial(*trials[0]) if trials else None
    quoted = Trial(*trials[-1]) if len(trials) > 1 else None
    rows = []
    for name, fit in fits.items():
        base = fit.process.partition("-")[0]
        row = {
            "customers": fit.customers,
            "process": name,
            "label": fit.label,
            "refines": without_calendar(base)
            if name == base and without_calendar(base) in fits
            else base
            if name not in (base, without_calendar(base))
            else SIMPLER.get(name),
            "log_likelihood": fit.log_likelihood,
            "bic": fit.aic_bic()[1],
        }
        for trial, word in ((chosen_on, "chosen"), (quoted, "quoted")):
            found = next(
                (b for b in backtests if trial and b.process == name and b.origin == trial.origin), None
            )
            row |= {f"{key}_{word}": value for key, value in _measures(found).items()}
        rows.append(row)
    table = pd.DataFrame(rows)
    return Choice(
        _best(table, headline), headline, chosen_on, quoted, table, _rules(backtests, chosen_on, quoted)
    )


def _rules(backtests: "Backtests", chosen_on: Trial | None, quoted: Trial | None) -> pd.DataFrame:
    """What the simple rules did in the same trials: they are the same whatever the process."""
    rows: dict[str, dict] = {}
    for trial, word in ((chosen_on, "chosen"), (quoted, "quoted")):
        found = next((b for b in backtests if trial and b.origin == trial.origin), None)
        for name, rule in ({} if found is None else found.baselines).items():
            measures = {f"bias_{word}": rule.accuracy.bias, f"rmse_{word}": rule.accuracy.rmse}
            rows[name] = rows.get(name, {"label": rule.label}) | measures
    frame = pd.DataFrame(rows.values())
    return frame.astype({name: float for name in frame if name != "label"})


def _measures(backtest: "Backtest | None") -> dict[str, float]:
    if backtest is None:
        return dict.fromkeys(MEASURES, np.nan)
    tenths = backtest.tables["calibration"]
    gaps = (tenths["predicted"] - tenths["actual"]).abs().sum() / tenths["customers"].sum()
    # at maximum likelihood, which every process has, so that sampled and unsampled ones compare alike
    bias = backtest.at_mle.bias
    return {"bias": np.nan if bias is None else bias, "rmse": backtest.at_mle.rmse,
            "coverage": backtest.coverage, "calibration": gaps}  # fmt: skip


def _best(table: pd.DataFrame, headline: str) -> str:
    tried = table[table["rmse_chosen"].notna() & table["bias_chosen"].notna()]
    if tried.empty:  # a likelihood compares with those of the same customers only
        same = table[table["customers"] == table.set_index("process")["customers"][headline]]
        return str(same.loc[same["bic"].idxmin(), "process"])
    near = tried[tried["rmse_chosen"] <= tried["rmse_chosen"].min() * (1 + NEAR)].set_index("process")
    off = near["bias_chosen"].abs()
    best, simpler = off.idxmin(), near.loc[off.idxmin(), "refines"]
    tie = simpler in near.index and off[simpler] - off[best] < TIE
    return str(simpler if tie else best)
