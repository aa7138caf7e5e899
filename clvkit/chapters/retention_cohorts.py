"""Chapter 03, retention: the cohorts' curves in numbers, with the customers that each of them rests on."""

import pandas as pd

from clvkit import numbers
from clvkit.exhibits import Table
from clvkit.retention import Retention, RetentionSection
from clvkit.survival import curve_at

MOST_COHORTS = 24
_AGES = 3


def by_cohort_at_ages(retention: Retention, section: RetentionSection) -> Table:
    """S(t) of each cohort with its band and the number at risk, at an early, a middle and a late age.

    Of many cohorts the latest are shown. The ages are taken from the study's, as far as any cohort has
    enough customers at risk.
    """
    everybody = retention.at(section.ages_days, section.min_at_risk).dropna(subset="survival")
    ages = everybody["day"].astype(int).tolist()
    chosen = sorted(
        {ages[round(place * (len(ages) - 1) / (_AGES - 1))] for place in range(_AGES)} if ages else ()
    )
    parts = list(retention.by_cohort.groupby("label", sort=False))[-MOST_COHORTS:]
    rows = [
        {"cohort": label, "day": day, **curve_at(part, (day,), section.min_at_risk).iloc[0].drop("day")}
        for label, part in parts
        for day in chosen
    ]
    columns = ["cohort", "day", "at_risk", "survival", "low", "high"]
    frame = pd.DataFrame(rows, columns=columns).astype({"day": int})
    return Table(
        "retention_by_cohort_at_ages",
        frame,
        _title(frame),
        f"Share of customers without a silence of more than {retention.silence_days} days so far, by "
        f"{retention.grain} of first purchase; band {numbers.odds_words(retention.interval)} at each day; days since "
        "the first purchase.",
        formats={"cohort": "text", "day": "count", "at_risk": "count"}
        | dict.fromkeys(["survival", "low", "high"], "percent"),
        labels={"cohort": "Cohort", "day": "Days", "at_risk": "At risk", "survival": "Customers"}
        | {"low": "from", "high": "to"},
        note=f"Fewer than {section.min_at_risk} customers at risk: not available.",
    )


def _title(frame: pd.DataFrame) -> str:
    """The smallest number that a share in the table rests on."""
    seen = frame.dropna(subset="survival")
    if seen.empty:
        return "No cohort has enough customers at risk"
    least = seen.loc[seen["at_risk"].astype(float).idxmin()]
    return (
        f"The least that any of these shares rests on: {numbers.count(least['at_risk'])} customers of "
        f"{least['cohort']} at day {numbers.count(least['day'])}"
    )
