"""What it would cost to do without columns that the study may have to give up."""

from typing import TYPE_CHECKING

import pandas as pd

from clvkit import numbers
from clvkit.chapters.ledger_words import listed
from clvkit.exhibits import Sentence, Table

if TYPE_CHECKING:
    from clvkit.privacy_cost import PrivacyCost
    from clvkit.workbench import Workbench


def cost(run: "Workbench") -> list[Table | Sentence]:
    """Values and order without the columns of ``privacy.try_without``; nothing where the study lists none."""
    found = run.privacy_cost()
    if found is None:
        return []
    return [measures(found, run.study.privacy.try_without), segments(found, run.study.currency)]


def measures(found: "PrivacyCost", columns: tuple[str, ...]) -> Table:
    """Error of segment values, agreement of the order, and customers in another tier."""
    frame = found.table().astype({"value": object})
    named = [f"“{column}”" for column in columns]
    rank = "" if found.rank_correlation is None else f" and ranks agree to {found.rank_correlation:.3f}"
    frame.loc[frame["value"].isna(), "value"] = numbers.NOT_APPLICABLE
    return Table(
        "privacy_cost",
        frame,
        f"Without {listed(named)}, the value of a segment is off by {numbers.percent(found.mape)} on average{rank}; "
        f"{numbers.percent(found.moved)} of the customers change their tier",
        f"The values of {numbers.count(found.customers)} customers without these columns, beside those with them. Tiers are "
        "tenths of the customers in order of value; the error is a mean over segments, without sign.",
        formats={"value": "number:3"},
        labels={"measure": "Measure", "value": "Share, or correlation"},
        note="Both sides are quick fits at maximum likelihood without rules of inclusion, calendar, segments, covariates or treatment of older customers, so that only the columns differ. A "
        "reading that touched one of the columns would have been refused.",
    )  # fmt: skip


def segments(found: "PrivacyCost", currency: str) -> Table:
    """Value of each segment with and without the columns."""
    frame = found.segments.copy()
    frame["segment"] = frame["segment"].fillna("none")
    worst = frame.loc[frame["error"].abs().idxmax()] if frame["error"].notna().any() else None
    money = numbers.money_header(currency)
    title = "No segment has a value to compare"
    if worst is not None:
        way = "more" if worst["error"] > 0 else "less"
        title = f"The segment “{worst['segment']}” is off most: {numbers.percent(abs(worst['error']))} {way}"
    total = pd.DataFrame([{"segment": "All", **frame[["customers", "full", "reduced"]].sum().to_dict()}])
    total["error"] = total["reduced"] / total["full"] - 1
    frame = pd.concat([frame, total], ignore_index=True)
    return Table(
        "privacy_cost_segments",
        frame[["segment", "customers", "full", "reduced", "error"]],
        title,
        f"Customer equity by segment as it is now, with all columns and without those the study may have to give up, {money}.",
        formats={"customers": "count", "full": "money", "reduced": "money", "error": "percent"},
        labels={"segment": "Segment", "customers": "Customers", "full": f"All columns, {money}",
                "reduced": f"Without them, {money}", "error": "Difference"},
        total=True,
    )  # fmt: skip
