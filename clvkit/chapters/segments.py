"""Chapter 04: what segments differ in, and how far thin ones are drawn towards the rest."""

from typing import TYPE_CHECKING

import numpy as np

from clvkit import differences
from clvkit.exhibits import Sentence, Table

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.checks import Check
    from clvkit.segments import SegmentedFit
    from clvkit.study import Study

MEASURES = {
    "new_customers": ("purchases of a new customer within a year", "number:2"),
    "spend_per_purchase": ("amount of a purchase", "number:2"),
}


def by_segment(
    fit: "SegmentedFit | None", spend: "SegmentedFit | None", currency: str
) -> list[Table | Sentence]:
    """What was found by segment, of purchases and of amounts; a sentence where nothing was fitted by segment."""
    if fit is None:
        return [
            Sentence(
                "The study takes all customers for one population: `models.segments` is `ignore`. Set to `compare`, it fits "
                "each segment of the ledger too, with thin segments leaning on the rest."
            )
        ]
    shown: list[Table | Sentence] = [_table(fit, differences.new_customers(fit), "new_customers", None)]
    if spend is not None:
        shown.append(_table(spend, differences.spend_per_purchase(spend), "spend_per_purchase", currency))
    return shown


def as_results(fit: "SegmentedFit | None", spend: "SegmentedFit | None", interval: float) -> dict:
    """``fits`` of ``results.json``: the fits by segment, by name."""
    return {one.name: one.to_json(interval) for one in (fit, spend) if one is not None}


def checks(fit: "SegmentedFit | None", spend: "SegmentedFit | None", study: "Study") -> "list[Check]":
    """Whether segments differ in how they buy, and in what they spend."""
    valued = study.models.segments == "value"
    return [differences.check(one, valued) for one in (fit, spend) if one is not None]


def _table(fit: "SegmentedFit", found: "pd.DataFrame", name: str, currency: str | None) -> Table:
    what, form = MEASURES[name]
    different = found.loc[found["differs"], "segment"].tolist()
    if fit.draws is None:
        title = f"{what.capitalize()}, by segment"
    elif different and len(found) == 2:
        high, low = found.sort_values("value", ascending=False)["segment"]
        title = f"{what.capitalize()}: higher of {high} than of {low}"
    elif different:
        title = f"{what.capitalize()}: {' and '.join(different)} {'differs' if len(different) == 1 else 'differ'} from the rest"
    else:
        title = f"{what.capitalize()}: no segment differs from the rest for sure"
    gap, left = found["alone"] - found["all"], found["value"] - found["all"]
    with np.errstate(divide="ignore", invalid="ignore"):
        shrunk = np.where(gap.abs() > 1e-9 * found["all"].abs(), 1 - left / gap, np.nan)
    frame = found.assign(shrunk=np.clip(shrunk, 0, 1)).drop(columns="differs")
    unit = f", in {currency}" if currency else ""
    return Table(
        f"segments_{name}",
        frame[["segment", "customers", "alone", "value", "low", "high", "all", "shrunk"]],
        title,
        f"{what.capitalize()}{unit}, as {fit.model.label} has it: fitted to the segment alone, by segment with partial "
        f"pooling ({'mean and 90 % interval' if fit.draws is not None else 'maximum likelihood'}), and to all customers.",
        formats={"customers": "count", "shrunk": "percent"}
        | dict.fromkeys(["alone", "value", "low", "high", "all"], form),
        labels={
            "segment": "Segment",
            "customers": "Repeat customers" if currency else "Customers",
            "alone": "Alone",
            "value": "By segment",
            "low": "Low",
            "high": "High",
            "all": "All together",
            "shrunk": "Drawn in",
        },
        note="Drawn in: the share of the way from the segment's own estimate to that of all; few customers of its own draw a "
        "segment far in; at 0 % it is not drawn at all. Where the estimate of a segment alone runs away, none is shown.",
    )
