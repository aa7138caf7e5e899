"""The champion: which of the fitted processes the value should be computed with, and why.

It is chosen on the earliest back-test, and its error is quoted from a later one: the error on the data that a
choice was made on flatters the choice.
"""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit import numbers, processes
from clvkit.checks import Check

if TYPE_CHECKING:
    from clvkit.backtest_results import Backtest, Backtests
    from clvkit.fit import Fit

NEAR = (
    0.02  # processes whose error per customer is within this share of the least are told apart by the total
)


@dataclass(frozen=True)
class Choice:
    """The champion, the reason, and what all processes were compared on.

    ``table`` has one row a process: ``process``, ``label``, ``log_likelihood``, ``bic`` (on the whole history) and,
    at the origin chosen on and the one quoted from, ``bias_…`` (of the number of purchases) and ``rmse_…``
    (purchases per customer), both at maximum likelihood, ``coverage_…`` (share of customers inside their 90 % interval), ``calibration_…`` (mean absolute
    error over tenths of the customers, per customer); NaN where there is none. ``quoted`` is None with one origin.
    """

    champion: str
    headline: str
    chosen_on: date | None
    quoted: date | None
    table: pd.DataFrame

    @property
    def reason(self) -> str:
        """Why the champion is the champion, in a sentence."""
        row = self.table.set_index("process").loc[self.champion]
        if self.chosen_on is None:
            return (
                f"{row['label']} has the lowest BIC; the study names no date to try the processes from, so nothing is "
                "known of their errors."
            )
        text = (
            f"{row['label']} forecast the total number of purchases best from {numbers.date_words(self.chosen_on)} "
            f"({numbers.variance(row['bias_chosen'], kind='percent')}) among the processes whose error per customer is "
            f"within {numbers.percent(NEAR, 0)} of the least"
        )
        if self.quoted is None:
            return f"{text}; with one back-test only, that error flatters it."
        return (
            f"{text}. From {numbers.date_words(self.quoted)}, which had no part in the choice, it was "
            f"{numbers.variance(row['bias_quoted'], kind='percent')} off."
        )

    def check(self) -> Check:
        """Pass where the study values with the champion; review where it does not."""
        same = self.champion == self.headline
        champion, headline = (processes.LABELS[name] for name in (self.champion, self.headline))
        return Check(
            "fit.champion",
            "The process that the value is computed with",
            "pass" if same else "review",
            self.reason if same else f"The study values with {headline}. {self.reason}",
            value=self.champion,
            threshold=self.headline,
            recommendation=""
            if same
            else f"Set models.headline to {self.champion} ({champion}), or say why not.",
            chapter="04_value",
        )


def choose(fits: "dict[str, Fit]", backtests: "Backtests", headline: str) -> Choice:
    """Compare the processes on the whole history and on the back-tests, and name the champion."""
    origins = sorted({one.origin for one in backtests})
    chosen_on, quoted = (origins[0] if origins else None), (origins[-1] if len(origins) > 1 else None)
    rows = []
    for name, fit in fits.items():
        row = {
            "process": name,
            "label": fit.model.label,
            "log_likelihood": fit.log_likelihood,
            "bic": fit.aic_bic()[1],
        }
        for origin, word in ((chosen_on, "chosen"), (quoted, "quoted")):
            found = next((b for b in backtests if b.process == name and b.origin == origin), None)
            row |= {f"{key}_{word}": value for key, value in _measures(found).items()}
        rows.append(row)
    table = pd.DataFrame(rows)
    return Choice(_best(table), headline, chosen_on, quoted, table)


def _measures(backtest: "Backtest | None") -> dict[str, float]:
    if backtest is None:
        return dict.fromkeys(("bias", "rmse", "coverage", "calibration"), np.nan)
    tenths = backtest.tables["calibration"]
    gaps = (tenths["predicted"] - tenths["actual"]).abs().sum() / tenths["customers"].sum()
    # at maximum likelihood, which every process has, so that sampled and unsampled ones compare alike
    bias, coverage = backtest.at_mle.bias, backtest.coverage
    return {"bias": np.nan if bias is None else bias, "rmse": backtest.at_mle.rmse,
            "coverage": np.nan if coverage is None else coverage, "calibration": gaps}  # fmt: skip


def _best(table: pd.DataFrame) -> str:
    tried = table[table["rmse_chosen"].notna() & table["bias_chosen"].notna()]
    if tried.empty:
        return str(table.loc[table["bic"].idxmin(), "process"])
    near = tried[tried["rmse_chosen"] <= tried["rmse_chosen"].min() * (1 + NEAR)]
    return str(near.loc[near["bias_chosen"].abs().idxmin(), "process"])
