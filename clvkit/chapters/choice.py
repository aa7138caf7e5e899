"""Chapter 04: whether the process describes its customers, and which process to value with."""

from typing import TYPE_CHECKING

import pandas as pd

from clvkit import numbers
from clvkit.champion import NEAR
from clvkit.exhibits import Sentence, Table

if TYPE_CHECKING:
    from clvkit.champion import Choice
    from clvkit.checks import Check
    from clvkit.fit import Fit
    from clvkit.workbench import Workbench


def copies(fit: "Fit", found: pd.DataFrame) -> Table:
    """Features of the customers beside those of copies that the process made."""
    inside = ((found["observed"] >= found["low"]) & (found["observed"] <= found["high"])).sum()
    return Table(
        "posterior_predictive",
        found.reset_index(drop=True),
        f"{inside} of {len(found)} features of the customers lie within the range of nine in ten copies",
        f"Features of the customers, and of copies of them made by {fit.model.label}: median, and the range that holds "
        "nine in ten of the copies. Share above: of the copies that show at least as much.",
        formats={name: "number:3" for name in ("observed", "low", "median", "high")}
        | {"share_above": "percent"},
        labels={
            "feature": "Feature",
            "observed": "Customers",
            "low": "Copies, low",
            "median": "Median",
            "high": "High",
            "share_above": "Share above",
        },
        note="Near 0 % or 100 % the process does not know the feature. Six features looked at together will show one "
        "near an end now and then without meaning.",
    )


def comparison(choice: "Choice") -> Table:
    """All processes on the history, where the choice was made, and where the error is quoted from."""
    frame = choice.table.sort_values("bic", ignore_index=True)
    columns = ["label", "log_likelihood", "bic"]
    labels = {"label": "Process", "log_likelihood": "Log-likelihood", "bic": "BIC"}
    formats = {"log_likelihood": "number:1", "bic": "number:1"}
    for word, trial in (("chosen", choice.chosen_on), ("quoted", choice.quoted)):
        if trial is None:
            continue
        named = f"from {trial.origin:%b %Y}"
        for key, label, form in (
            ("bias", "Total off", "percent"),
            ("rmse", "Error", "number:3"),
            ("calibration", "Calibration", "number:3"),
            ("coverage", "Coverage", "percent"),
        ):
            column = f"{key}_{word}"
            if frame[column].notna().any():
                columns.append(column)
                labels[column], formats[column] = f"{label}, {named}", form
    champion = frame.set_index("process").loc[choice.champion, "label"]
    if frame["customers"].nunique() > 1:
        columns.insert(1, "customers")
        labels["customers"], formats["customers"] = "Fitted to", "count"
    frame = pd.concat([frame, choice.rules], ignore_index=True)
    where = (
        "no back-test was made"
        if choice.chosen_on is None
        else f"chosen on the forecast {choice.chosen_on.words}"
        + (f", its error quoted from the one {choice.quoted.words}" if choice.quoted else "")
    )
    return Table(
        "champion",
        frame[columns],
        f"{champion} is the champion",
        f"Fits to the whole history, and forecasts from earlier dates: {where}. Total off and error (root mean square "
        "per customer, in purchases) are at maximum likelihood. Calibration: mean gap over tenths of the customers, "
        "in purchases; coverage: share of customers inside their 90 % interval; both of the posterior, where there is "
        "one.",
        labels=labels,
        formats=formats,
        note="Total off: forecast less actual number of purchases, as a share of actual. The champion has the smallest "
        f"such error, sign aside, among the processes whose error per customer is within {numbers.percent(NEAR, 0)} of the "
        "least. The other processes keep their numbers here: they challenge it again next time. Below them stand the simple "
        "rules, which fit nothing and forecast the same customers."
        + (
            " Log-likelihood and BIC compare only between fits to the same customers."
            if "customers" in columns
            else ""
        ),
    )


def one_purchase(run: "Workbench", fit: "Fit") -> Table | Sentence:
    """What is lost by counting a customer's orders of one day, or of one opportunity, as one purchase."""
    period = run.study.models.opportunity
    if period is None:
        from clvkit.goodness import merging_effect

        return merging(merging_effect(run.ledger().purchases, run.study, fit), fit)
    days, kept = (
        int(table.filter(table.day <= run.known_until).count().execute())
        for table in (run.ledger().purchases, run.purchases())
    )
    return Sentence(
        f"In this study a customer's orders of one {period} count as one purchase: {numbers.count(days)} days with orders "
        f"became {numbers.count(kept)} purchases. The last {period} that counts ended on "
        f"{numbers.date_words(run.known_until)}; nothing later is seen by the models. Money is not affected: all orders "
        f"of a {period} count in its amount."
    )


def opportunity(run: "Workbench") -> "Check":
    """Whether the study's period of at most one purchase, or its having none, agrees with the log."""
    from clvkit.opportunities import evidence, opportunity_check

    return opportunity_check(evidence(run.ledger().purchases, run.study.as_of), run.study.models.opportunity)


def merging(found: pd.DataFrame, fit: "Fit") -> Table:
    """What counting a customer's orders of one day as one purchase does to the fit."""
    merged, apart = found.iloc[0], found.iloc[1]
    lost = 1 - merged["repeat_purchases"] / apart["repeat_purchases"]
    change = apart["expected"] / merged["expected"] - 1
    names = {name: name for name in fit.parameters}
    return Table(
        "same_day_merging",
        found,
        f"Merging leaves out {numbers.percent(lost)} of the repeat purchases; without it, "
        f"{numbers.percent(abs(change))} {'more' if change > 0 else 'fewer'} would be expected",
        f"{fit.model.label} at maximum likelihood with a customer's orders of one day counted as one purchase, and each "
        "by itself; expected: purchases of all customers over the next 365 days.",
        formats={"repeat_purchases": "count", "expected": "count"}
        | {name: "number:3" for name in fit.parameters},
        labels={
            "orders_of_a_day": "Orders of a day",
            "repeat_purchases": "Repeat purchases",
            "expected": "Expected",
        }
        | names,
        note="Orders of one day are rarely independent decisions, so the fit without merging takes bursts for "
        "eagerness. Money is not affected: all orders of a day count in its amount.",
    )
