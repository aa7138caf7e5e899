"""Chapter 04, first half: the processes that were fitted, how sure their parameters are, how well they fit."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit import numbers, processes
from clvkit.chapters.drawing import label_ends
from clvkit.diagnostics import unknown_mean_spend
from clvkit.exhibits import Figure, Sentence, Table
from clvkit.goodness import LONGER, SILENCE
from clvkit.publish import style
from clvkit.valuation import CLASSES, frequency_class

if TYPE_CHECKING:
    from clvkit.fit import Fit

UNITS = {1.0: "day", 7.0: "week"}


def unit_of(fit: "Fit") -> str:
    """The unit of time that a fit's parameters are stated in, in words."""
    for most, name in ((31, "month"), (92, "quarter")):
        if fit.unit_days <= most:
            return UNITS.get(fit.unit_days, name)
    return "year"


def comparison(fits: "dict[str, Fit]", headline: str) -> Table:
    """Every process at its maximum-likelihood estimate, best first by BIC."""
    rows = [
        {
            "process": fit.model.label,
            "customers": fit.customers,
            "parameters": ", ".join(
                f"{name} {numbers.number(value, 3)}"
                for name, value in zip(fit.parameters, fit.mle, strict=True)
            ),
            "log_likelihood": fit.log_likelihood,
            "bic": fit.aic_bic()[1],
            "method": "posterior" if fit.draws is not None else "maximum likelihood",
        }
        for fit in fits.values()
    ]
    frame = pd.DataFrame(rows).sort_values("bic", ignore_index=True)
    first, chosen = fits[headline], fits[headline].model.label
    same = (
        frame["customers"] == first.customers
    )  # a likelihood compares with those of the same customers only
    frame["behind"] = (frame["bic"] - frame.loc[same, "bic"].min()).where(same)
    best = frame.loc[same, "process"].iloc[0]
    title = (
        f"{best} describes these purchases best, and the value is computed with it"
        if best == chosen
        else f"{best} describes these purchases best; the study computes the value with {chosen}"
    )
    return Table(
        "processes",
        frame[
            [
                "process",
                *([] if same.all() else ["customers"]),
                "parameters",
                "log_likelihood",
                "bic",
                "behind",
                "method",
            ]
        ],
        title if len(frame) > 1 else f"One process was fitted, {chosen}",
        f"Fitted to {numbers.count(first.customers)} customers in {numbers.count(first.cells)} cells; times in "
        f"{unit_of(first)}s. All have four parameters. BIC = parameters × log(customers) − 2 × log-likelihood; "
        "lower is better."
        + (
            ""
            if same.all()
            else " Processes that were fitted to other customers do not compare by it, and are left open."
        ),
        formats={"log_likelihood": "number:1", "bic": "number:1", "behind": "number:1"}
        | ({} if same.all() else {"customers": "count"}),
        labels=({} if same.all() else {"customers": "Customers"})
        | {
            "process": "Process",
            "parameters": "Maximum-likelihood estimate",
            "log_likelihood": "Log-likelihood",
            "bic": "BIC",
            "behind": "Behind the best",
            "method": "Intervals from",
        },
        note="A better fit to the past is not yet a better forecast: chapter 5 compares the processes on purchases "
        "they had not seen. A difference in BIC under about 6 is weak evidence.",
    )


def as_results(fits: "dict[str, Fit]", interval: float) -> dict[str, dict]:
    """The fits by name as ``results.json`` holds them."""
    return {name: fit.to_json(interval) for name, fit in fits.items()}


def parameters(fit: "Fit", prior_posterior: pd.DataFrame) -> Table:
    """Prior, posterior and maximum likelihood of each parameter, side by side."""
    unit = (
        f"times in {unit_of(fit)}s"
        if fit.process not in processes.SPEND
        else "gamma in the currency of the ledger"
    )
    moved = prior_posterior.assign(
        shift=(prior_posterior["posterior_mean"] - prior_posterior["mle"]).abs()
        / np.where(np.isfinite(fit.se), fit.se, np.nan)
    )
    worst = moved.loc[moved["shift"].idxmax()] if moved["shift"].notna().any() else None
    frame = prior_posterior.assign(se=fit.se)[
        [
            "parameter",
            "prior_low",
            "prior_high",
            "mle",
            "se",
            "posterior_mean",
            "posterior_low",
            "posterior_high",
        ]
    ]
    title = f"The data, not the prior, decide the parameters of {fit.model.label}"
    unknown = [name for name, se in zip(fit.parameters, fit.se, strict=True) if not np.isfinite(se)]
    if unknown or fit.at_bound:
        title = f"The data do not determine {', '.join(unknown or fit.at_bound)} of {fit.model.label}: the prior does"
    elif worst is not None and worst["shift"] > 1:
        title = (
            f"{worst['parameter']} of {fit.model.label} lies {numbers.number(worst['shift'], 1)} standard errors "
            "from its maximum-likelihood estimate: data and prior pull at it"
        )
    return Table(
        f"parameters_{fit.name}",
        frame,
        title,
        f"Posterior means and ranges that hold nine times in ten, {unit}; the prior's range likewise. "
        f"{fit.model.source}.",
        formats={name: "number:3" for name in frame.columns if name != "parameter"},
        labels={
            "parameter": "Parameter",
            "prior_low": "Prior, low",
            "prior_high": "Prior, high",
            "mle": "Maximum likelihood",
            "se": "Standard error",
            "posterior_mean": "Posterior mean",
            "posterior_low": "Posterior, low",
            "posterior_high": "Posterior, high",
        },
        note="It would worry us if a posterior filled its prior's range: the data would then say little. A skewed "
        "posterior has its mean beside the maximum-likelihood estimate even where the prior is flat.",
    )


def histogram(fit: "Fit", frame: pd.DataFrame, chi_square: float) -> Figure:
    """Customers by number of repeat purchases, in the data and in the model."""
    labels = [str(v) for v in frame["frequency"]]
    labels[-1] += "+"
    gap = (frame["expected"] - frame["actual"]).abs() / frame["actual"].sum()
    at = int(gap.idxmax())
    with style.canvas(height=2.9) as (drawing, axes):
        places = np.arange(len(frame))
        axes.bar(places - 0.2, frame["actual"], 0.38, **style.HISTORY_BAR)
        axes.bar(places + 0.2, frame["expected"], 0.38, **style.FORECAST_BAR)
        axes.set_xticks(places, labels)
        axes.set_xlabel("repeat purchases up to the as-of date")
        style.thousands_axis(axes.yaxis)
        style.label(axes, -0.2, frame["actual"].iloc[0], "counted", dx=-2, dy=7, ha="center")
        style.label(axes, 0.4, frame["expected"].iloc[0], "model", dx=4, dy=0)
    return Figure(
        "frequency_histogram",
        drawing,
        f"{fit.model.label} puts {numbers.percent(gap.sum() / 2)} of the customers in another class than they are in",
        f"Customers by number of repeat purchases: counted (solid) and expected from {fit.model.label} at its "
        f"maximum-likelihood estimate (hatched). Chi-square over these classes {numbers.number(chi_square, 1)}.",
        alt=f"Bar chart of {numbers.count(frame['actual'].sum())} customers by repeat purchases. "
        f"{numbers.count(frame['actual'].iloc[0])} have none, the model expects "
        f"{numbers.count(frame['expected'].iloc[0])}. The largest gap is at {labels[at]}.",
        frame=frame,
        worry="A class that is far off at many purchases worries us most: few customers, much of the value.",
    )


def tracking(fit: "Fit", frame: pd.DataFrame) -> Figure:
    """Repeat purchases per week and added up, in the data and in the model."""
    last = frame.iloc[-1]
    gap = last["expected_cumulative"] / last["actual_cumulative"] - 1
    with style.canvas(height=2.9, columns=2) as (drawing, axes):
        for panel, suffix in zip(axes, ("", "_cumulative"), strict=True):
            weeks = frame[frame["days"] == 7] if suffix == "" else frame  # a week that is not over looks low
            panel.plot(weeks["week"], weeks[f"actual{suffix}"], **style.HISTORY)
            panel.plot(weeks["week"], weeks[f"expected{suffix}"], **style.FORECAST)
            panel.set_title("per week" if suffix == "" else "added up")
            panel.set_xlabel("week since the first purchase of all")
            panel.set_ylim(bottom=0)
            style.thousands_axis(panel.yaxis)
        ends = [
            (last["actual_cumulative"], "counted", style.INK),
            (last["expected_cumulative"], "model", style.MUTED),
        ]
        label_ends(axes[1], ends, last["week"])
    size = numbers.percent(abs(gap))
    said = f"{size} more" if gap > 0.0005 else f"{size} fewer" if gap < -0.0005 else "just as many"
    return Figure(
        "tracking",
        drawing,
        f"Over the whole history {fit.model.label} expects {said} repeat purchases than there were".replace(
            "just as many repeat purchases than", "just as many repeat purchases as"
        ),
        f"Repeat purchases of all customers, counted (solid) and expected from {fit.model.label} (dashed).",
        alt=f"Two line charts of repeat purchases over {len(frame)} weeks. In total there were "
        f"{numbers.count(last['actual_cumulative'])}, the model expects {numbers.count(last['expected_cumulative'])}.",
        frame=frame,
        worry="Bumps that the model misses are seasons and campaigns that it does not know: the calendar is where it learns of them. A gap that keeps widening at "
        "the end would mean that customers behave differently now than the whole history says.",
    )


def conditional(fit: "Fit", frame: pd.DataFrame, horizon_words: str) -> Figure:
    """Expected purchases by how often and how recently somebody bought."""
    bands = [
        band for band in (*(name for _, name in SILENCE), LONGER) if (frame["recency_band"] == band).any()
    ]
    classes = [name for _, name in CLASSES if (frame["frequency_class"] == name).any()]
    ends = []
    with style.canvas(height=3.3) as (drawing, axes):
        for band, colour in zip(bands, style.PALETTE, strict=False):
            rows = frame[frame["recency_band"] == band].set_index("frequency_class").reindex(classes)
            axes.plot(
                range(len(classes)), rows["expected"], marker="o", markersize=4, color=colour, linewidth=1.4
            )
            known = rows["expected"].last_valid_index()
            if known is not None:
                ends.append((rows.loc[known, "expected"], band, colour))
        axes.set_xticks(range(len(classes)), [label.replace(" repeat", "\nrepeat", 1) for label in classes])
        axes.set_xlim(right=len(classes) - 0.9)
        axes.set_ylim(bottom=0)
        label_ends(axes, ends, len(classes) - 0.9)
    best = frame.loc[frame["expected"].idxmax()]
    return Figure(
        "conditional_expectations",
        drawing,
        "Who bought often and lately is expected to buy most",
        f"Expected purchases per customer {horizon_words}, by repeat purchases so far and by how long ago the last "
        f"one was; {fit.model.label} at its posterior mean.",
        alt=f"Lines of expected purchases rising with past purchases, one for each time since the last purchase. "
        f"Highest: {numbers.number(best['expected'], 1)} for customers with {best['frequency_class']}, "
        f"{best['recency_band']}.",
        frame=frame,
        worry="For a customer long silent, more purchases in the past can mean fewer in the future: the same silence "
        "is then stronger evidence of having left.",
    )


def independence(found, spend: "Fit") -> Sentence:
    """What the test of Gamma-Gamma's assumption found, in a sentence."""
    return Sentence(found.check.message)


def spend_by_class(spend: "Fit", spend_cells: pd.DataFrame, minor_per_unit: float, currency: str) -> Table:
    """Mean spend per repeat purchase by frequency class, observed and expected."""
    cells = spend_cells[spend_cells["frequency"] > 0]
    x, n = cells["frequency"].to_numpy(), cells["n"].to_numpy()
    paid = cells["spend_minor"].to_numpy() / minor_per_unit
    base, slope = spend.model.expected_spend(spend.mle, x, spend.observed)
    classes = frequency_class(x)
    frame = pd.DataFrame(
        {"group": classes, "customers": n, "mean": n * paid / x, "expected": n * (base + slope * paid)}
    )
    sums = frame.groupby("group", observed=True).sum()
    never_base, _ = spend.model.expected_spend(spend.mle, np.zeros(1), spend.observed)
    rows = pd.DataFrame(
        {
            "group": sums.index.astype(str),
            "customers": sums["customers"].to_numpy(),
            "observed": (sums["mean"] / sums["customers"]).to_numpy(),
            "expected": (sums["expected"] / sums["customers"]).to_numpy(),
        }
    )
    never = {
        "group": "no repeat purchase",
        "customers": np.nan,
        "observed": np.nan,
        "expected": never_base[0],
    }
    rows = pd.concat([pd.DataFrame([never]), rows], ignore_index=True).astype(
        {"customers": object, "observed": object}
    )
    rows.loc[0, ["customers", "observed"]] = numbers.NOT_APPLICABLE
    low, high = rows["observed"].iloc[1:].min(), rows["observed"].iloc[1:].max()
    return Table(
        "spend_by_class",
        rows,
        f"A repeat purchase brought between {numbers.money(low, currency)} and {numbers.money(high, currency)}, "
        "by how often people bought",
        f"Mean amount per repeat purchase, {currency}: observed, and expected for the next one from "
        f"{spend.model.label}, which draws a customer's own mean towards everybody's, the more so the fewer purchases there are.",
        formats={"customers": "count", "observed": "money:2", "expected": "money:2"},
        labels={
            "group": "Customers with",
            "customers": "Customers",
            "observed": f"Observed mean, {currency}",
            "expected": f"Expected next, {currency}",
        },
        note=f"Customers without a repeat purchase are valued at {mean_for_never(spend, currency)}; their first purchase "
        "is not used."
        + (
            ""
            if spend.process == "by_frequency"
            else " If frequent customers spend more per purchase, that assumption understates the frequent."
        ),
    )


def mean_for_never(spend: "Fit", currency: str) -> str:
    """What customers without a repeat purchase are valued at, in words: the model's mean, or the observed one."""
    if spend.process == "segment_means":
        return "the mean amount of their segment, as everybody is"
    share, where = unknown_mean_spend(spend)
    own = "the mean spend of the whole population"
    if spend.process == "by_frequency":
        own = "the mean spend of customers who bought again once, the nearest that were seen"
    if not where:
        return own
    stand_in = f"the observed mean of repeat customers' averages, {numbers.money(spend.observed['mean_spend'], currency)}"
    why = "a few enormous amounts make the model's own mean one that the data cannot know"
    return (
        f"{stand_in}, since {why}" if share == 1 else f"{own} or, {where}, at {stand_in}, since there {why}"
    )


def labels_of(names) -> str:
    """Process names as readers know them."""
    return ", ".join(processes.LABELS[name] for name in names)
