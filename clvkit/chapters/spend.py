"""Chapter 04: which model of spend the value is computed with, what the others would say, and whether amounts drift."""

from typing import TYPE_CHECKING

import pandas as pd

from clvkit import numbers, processes
from clvkit.chapters.fits import parameters, spend_by_class
from clvkit.exhibits import Sentence, Table
from clvkit.spend import REASONS, largest_spender, refused, refused_check

if TYPE_CHECKING:
    from clvkit.checks import Check
    from clvkit.fit import Fit
    from clvkit.spend_choice import SpendChoice
    from clvkit.spend_segments import SegmentMeans
    from clvkit.spend_values import SpendValues
    from clvkit.workbench import Workbench

LABELS = {name: processes.LABELS[name] for name in processes.SPEND} | {"segment_means": "Segment means"}


def of_fit(run: "Workbench", spend: "Fit | SegmentMeans") -> list:
    """The model of spend that is used: observed and expected amounts, its parameters, and whether it was found well."""
    if spend.process == "segment_means":
        return []
    from clvkit import diagnostics, goodness

    return [
        spend_by_class(spend, run.spend_cells(), run.minor_per_unit, run.study.currency),
        parameters(spend, goodness.prior_posterior(spend)),
        *diagnostics.fit_checks(spend),
    ]


def fits(choice: "SpendChoice", spend: "Fit | SegmentMeans") -> dict:
    """What ``results.json`` holds under ``fits``: the model that is used, and Gamma-Gamma beside it where that is another."""
    plain = {name: fit for name, fit in choice.fits.items() if name == "gammagamma"}
    return plain | {spend.process: spend}


def chosen(choice: "SpendChoice") -> list:
    """Why this model of spend is used, in a sentence, and what the tests of it say."""
    said = [Sentence(choice.reason)]
    if choice.kappa is not None and choice.used != "segment_means":
        doubled = numbers.percent(abs(2**choice.kappa - 1))
        way = "more" if choice.kappa > 0 else "less"
        said.append(Sentence(
            f"By frequency, a customer with twice as many purchases (1 + x) spends {doubled} {way} on each of them. Whoever "
            "never bought again is given the level of those who did once, the nearest that was seen."
        ))  # fmt: skip
    return said


def checks(run: "Workbench", choice: "SpendChoice") -> "list[Check]":
    """Independence of spend and frequency, customers who were left out, the largest spender, and drift."""
    cells, currency, unit = run.spend_cells(), run.study.currency, run.minor_per_unit
    independence = [choice.independence.check] if choice.independence else []
    others = [largest_spender(cells, currency, unit)] if len(cells) else []
    drift = run.get("spend_drift").check(run.valuation().path)
    return [*independence, *others, refused_check(cells, currency, unit), drift]


def values(found: "SpendValues", currency: str) -> Table:
    """Customer equity with each model of spend."""
    used = found.equity[found.used].value
    frame = pd.DataFrame([
        {"model": LABELS[name] + (", used" if name == found.used else ""), "value": one.value, "low": one.low,
         "high": one.high, "apart": one.value / used - 1 if used else None}
        for name, one in found.equity.items()
    ])  # fmt: skip
    most = frame["apart"].abs().max() if used else 0.0
    interval = found.equity[found.used].interval
    return Table(
        "spend_models",
        frame,
        f"Another model of spend would move customer equity by {numbers.percent(most)} at most",
        f"Customer equity within the horizon, {currency}, by model of spend; purchases are the same. Ranges hold "
        f"{numbers.percent(interval)}.",
        formats={"value": "money:0", "low": "money:0", "high": "money:0", "apart": "percent:1"},
        labels={"model": "Model of spend", "value": f"Customer equity, {currency}", "low": "Low", "high": "High",
                "apart": "Beside the one used"},
        note="Segment means value every customer of a segment at its mean amount, drawn towards that of all; they hold amounts "
        "of zero and below. Differences larger than a range mean that the choice of the model matters.",
    )  # fmt: skip


def segments(run: "Workbench") -> Table:
    """Mean amount of a repeat purchase by segment, as seen and drawn towards the mean of all."""
    from clvkit.spend_segments import segment_spend

    currency, interval = run.study.currency, run.study.value.interval
    frame = segment_spend(run.get("score_cells"), run.minor_per_unit, interval)
    shown = frame[["segment", "customers", "purchases", "observed", "mean", "low", "high", "weight"]].astype(
        {"observed": object}
    )
    shown.loc[frame["purchases"] == 0, "observed"] = numbers.NOT_APPLICABLE
    lowest, highest = (numbers.money(v, currency) for v in (frame["mean"].min(), frame["mean"].max()))
    one = len(frame) == 1
    alike = not one and lowest == highest
    return Table(
        "spend_segment_means",
        shown,
        f"A repeat purchase brings {lowest} on average"
        if one
        else f"A repeat purchase brings {lowest} in every segment: what differs as seen is put down to chance"
        if alike
        else f"A repeat purchase brings between {lowest} and {highest}, by segment",
        f"Mean amount of a repeat purchase, {currency}: as seen, and drawn towards the mean of all segments the more, the "
        f"less the segment itself says. Ranges hold {numbers.percent(interval)}.",
        formats={"customers": "count", "purchases": "count", "observed": "money:2", "mean": "money:2", "low": "money:2",
                 "high": "money:2", "weight": "percent:0"},
        labels={"segment": "Segment", "customers": "Repeat customers", "purchases": "Repeat purchases",
                "observed": f"As seen, {currency}", "mean": f"With shrinkage, {currency}", "low": "Low", "high": "High",
                "weight": "Weight of its own"},
        note="All amounts count, those of zero and below as well.",
    )  # fmt: skip


def left_out(run: "Workbench") -> list[Table]:
    """Repeat customers whom a model of positive amounts cannot hold, by reason and purchases; none where there are none."""
    rows = refused(run.spend_cells())
    if rows.empty:
        return []
    rows = rows.assign(
        money=rows["n"] * rows["spend_minor"] / run.minor_per_unit, purchases=rows["n"] * rows["frequency"]
    )
    frame = rows.groupby(["reason", "frequency"], as_index=False)[["n", "purchases", "money"]].sum()
    frame["reason"] = frame["reason"].map(REASONS)
    return [Table(
        "spend_left_out",
        frame,
        f"{numbers.count(frame['n'].sum())} repeat customers spent nothing or less, and are not in the model of spend",
        f"Repeat customers with a total of zero or less, by how often they bought again; amounts in {run.study.currency}.",
        formats={"frequency": "count", "n": "count", "purchases": "count", "money": "money:2"},
        labels={"reason": "They have", "frequency": "Repeat purchases of each", "n": "Customers",
                "purchases": "Repeat purchases", "money": f"Amount, {run.study.currency}"},
        note="Their purchases count in the process, as a sign of life; their amounts do not.",
    )]  # fmt: skip
