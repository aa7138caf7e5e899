"""Chapter 03, retention: how long customers keep buying, beside what the fitted processes say."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from clvkit import numbers
from clvkit.chapters.drawing import label_ends
from clvkit.checks import Check
from clvkit.estimate import Estimate
from clvkit.exhibits import Figure, Sentence, Table
from clvkit.publish import style
from clvkit.retention import ProcessCurve, Retention, RetentionSection
from clvkit.survival import curve_at

CHAPTER = "03_retention"
MOST_COHORTS = 24
_NAMED_LINES = len(style.PALETTE)


def answer(retention: Retention, section: RetentionSection) -> Sentence:
    """How many bought again in time, and how many were still buying later."""
    total, days = retention.total, retention.silence_days
    if not total["judged"]:
        return Sentence(
            f"None of the {numbers.count(total['customers'])} customers has been watched for {days} days yet, the "
            "silence after which a customer counts as lost: nothing can be said about retention. A shorter "
            "retention.silence_days can be judged sooner."
        )
    read = retention.at(section.ages_days, section.min_at_risk).dropna(subset="survival")
    start = retention.at((0,)).iloc[0]
    parts = [
        f"Of the {numbers.count(total['judged'])} customers watched for {days} days or more, "
        f"**{numbers.percent(start['survival'])}** bought again within {days} days of their first purchase."
    ]
    later = read[read["day"] > 0]
    if len(later):
        last = later.iloc[-1]
        parts.append(
            f"{numbers.count(last['day'])} days after it **{numbers.percent(last['survival'])}** were still "
            f"buying without a silence of more than {days} days"
            + (f", {_interval(last, retention.interval)}." if np.isfinite(last["low"]) else ".")
        )
    return Sentence(" ".join(parts))


def metrics(retention: Retention, section: RetentionSection) -> dict[str, Estimate]:
    """The curve over all customers as headline figures: ``retention_day_0`` and so on."""
    read = retention.at(section.ages_days, section.min_at_risk).dropna(subset="survival")
    return {
        f"retention_day_{row.day}": Estimate(
            row.survival,
            *(None if np.isnan(end) else end for end in (row.low, row.high)),
            unit="share of customers",
            interval=retention.interval,
        )
        for row in read.itertuples()
    }


def judged(retention: Retention) -> Table:
    """What is known of the customers of each cohort: lost, not lost yet, too new to say."""
    columns = ["customers", "too_new", "judged", "lost", "returned", "censored"]
    counts, total = retention.counts, retention.total
    earlier, shown = counts.iloc[:-MOST_COHORTS], counts.iloc[-MOST_COHORTS:]
    lines = [shown[["label", *columns]]]
    if len(earlier):
        lines.insert(0, earlier[columns].sum().to_frame().T.assign(label=f"{len(earlier)} earlier cohorts"))
    lines.append(total[columns].to_frame().T.assign(label="All"))
    frame = pd.concat(lines, ignore_index=True)
    title = "No customer can be judged yet"
    if total["judged"]:
        share = numbers.percent(total["lost"] / total["judged"])
        title = f"{share} of the customers who can be judged have been lost"
    return Table(
        "retention_judged",
        frame[["label", *columns]],
        title,
        f"Customers by {retention.grain} of first purchase; lost: a silence of more than "
        f"{retention.silence_days} days, as of {numbers.date_words(retention.as_of)}.",
        formats=dict.fromkeys(columns, "count"),
        labels={
            "label": "Cohort",
            "customers": "Customers",
            "too_new": "Too new to judge",
            "judged": "Judged",
            "lost": "Lost",
            "returned": "of them seen again",
            "censored": "Not lost yet",
        },
        total=True,
        note="This share grows by itself as time passes and is no measure of retention: read the curves, "
        "which take into account how long each customer was watched.",
    )


def curve(retention: Retention, models: Sequence[ProcessCurve], section: RetentionSection) -> Figure:
    """The customers' curve with its band and the number at risk, beside the processes' curves."""
    seen = retention.curve[retention.curve["at_risk"] >= section.min_at_risk]
    top = max(
        [seen["survival"].max() if len(seen) else 0, *(model.frame["survival"].max() for model in models)]
    )
    reach = max([1, *seen["day"].tail(1), *(int(model.frame["day"].max()) for model in models)])
    with style.canvas(height=3.9) as (drawing, axes):
        axes.fill_between(seen["day"], seen["low"], seen["high"], step="post", **style.BAND)
        axes.step(seen["day"], seen["survival"], where="post", **style.HISTORY)
        ends = []
        for colour, model in zip(style.PALETTE[1:], models, strict=False):
            axes.plot(model.frame["day"], model.frame["survival"], **style.FORECAST | {"color": colour})
            ends.append((model.frame["survival"].iloc[-1], model.label, colour))
        axes.set_xlim(0, reach)
        axes.set_ylim(0, min(1, 1.12 * top) or 1)
        style.percent_axis(axes.yaxis)
        ticks = np.arange(0, reach + 1, _step(reach))
        at_risk = curve_at(retention.curve, tuple(int(tick) for tick in ticks))["at_risk"]
        axes.set_xticks(
            ticks, [f"{tick}\n{numbers.count(n)}" for tick, n in zip(ticks, at_risk, strict=True)]
        )
        axes.set_xlabel("Days since the first purchase; below: customers at risk")
        axes.set_ylabel("Still buying")
        for start in seen.head(1).itertuples():
            style.label(axes, start.day, start.survival, "customers", color=style.PALETTE[0], dx=10, dy=5)
        label_ends(axes, ends, reach)
    frame = pd.concat(
        [seen.assign(curve="customers"), *(model.frame.assign(curve=model.process) for model in models)],
        ignore_index=True,
    )
    said = "; ".join(
        f"{numbers.percent(row.survival)} at day {row.day}"
        for row in retention.at(section.ages_days, section.min_at_risk).itertuples()
        if np.isfinite(row.survival)
    )
    ends_said = [
        f"{model.label} has {numbers.percent(model.frame['survival'].iloc[0])} at day 0 and "
        f"{numbers.percent(model.frame['survival'].iloc[-1])} at day {model.frame['day'].iloc[-1]}."
        for model in models
    ]
    return Figure(
        "retention_curve",
        drawing,
        _curve_title(retention, models, section),
        f"{_measure(retention)}, by days since the first purchase. Solid: Kaplan–Meier estimate with its "
        f"band, {numbers.odds_words(retention.interval)} at each day, to {section.min_at_risk} customers at "
        "risk. Dashed: the same rule on customers simulated from each fitted process.",
        alt=f"Falling curve of customers still buying: {said}. " + " ".join(ends_said),
        frame=frame,
        worry="A dashed curve that leaves the band: the process keeps customers longer, or loses them "
        "sooner, than they go. Beyond the solid line nobody can be compared with; the dashed one forecasts.",
    )


def at_ages(retention: Retention, models: Sequence[ProcessCurve], section: RetentionSection) -> Table:
    """S(t) at chosen ages with its band, the number at risk and the processes' values."""
    frame = retention.at(section.ages_days, section.min_at_risk)
    for model in models:
        frame[model.process] = model.at(section.ages_days)["survival"].to_numpy()
    shown = frame[["day", "at_risk", "survival", "low", "high", *(model.process for model in models)]]
    return Table(
        "retention_at_ages",
        shown,
        _curve_title(retention, (), section),
        f"{_measure(retention)}, all cohorts together; band {numbers.odds_words(retention.interval)} at each "
        "day; days since the first purchase.",
        formats={"day": "count", "at_risk": "count"}
        | dict.fromkeys(["survival", "low", "high", *(model.process for model in models)], "percent"),
        labels={"day": "Days", "at_risk": "At risk", "survival": "Customers", "low": "from", "high": "to"}
        | {model.process: model.label for model in models},
        note=f"Days with fewer than {section.min_at_risk} customers at risk are not available. At risk: "
        "customers not lost before that day who were watched long enough to be judged at it.",
    )


def by_cohort(retention: Retention, section: RetentionSection) -> Figure:
    """One curve per cohort, with bands where they are few."""
    curves = retention.by_cohort[retention.by_cohort["at_risk"] >= section.min_at_risk]
    labels = list(curves["label"].unique())
    reach = curves.groupby("label", sort=False)["day"].max()
    named = labels
    if len(labels) > _NAMED_LINES:
        long = list(reach.index[reach >= 0.2 * reach.max()])
        places = np.linspace(0, len(long) - 1, min(_NAMED_LINES, len(long))).round().astype(int)
        named = [long[place] for place in places]
    with style.canvas(height=3.6) as (drawing, axes):
        for label in (label for label in labels if label not in named):
            part = curves[curves["label"] == label]
            axes.step(part["day"], part["survival"], where="post", **style.PREVIOUS | {"linewidth": 0.8})
        ends = []
        for colour, label in zip(style.PALETTE, named, strict=False):
            part = curves[curves["label"] == label]
            axes.step(part["day"], part["survival"], where="post", **style.HISTORY | {"color": colour})
            if len(named) == len(labels):
                axes.fill_between(
                    part["day"], part["low"], part["high"], step="post", **style.BAND | {"facecolor": colour}
                )
            ends.append((part["survival"].iloc[-1], label, colour))
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        style.percent_axis(axes.yaxis)
        axes.set_xlabel("Days since the first purchase")
        axes.set_ylabel("Still buying")
        label_ends(axes, ends, curves["day"].max() if len(curves) else 0)
    title, said = _compare(curves, section, retention.cohorts_p)
    return Figure(
        "retention_by_cohort",
        drawing,
        title,
        f"{_measure(retention)}, by {retention.grain} of first purchase, to {section.min_at_risk} customers "
        + (
            f"at risk; bands {numbers.odds_words(retention.interval)} at each day."
            if len(named) == len(labels)
            else f"at risk; {len(labels)} cohorts, some of them named."
        ),
        alt=f"Falling curves, one per cohort. {said}",
        frame=curves,
        worry="Newer cohorts below older ones: the curve over all customers then mixes good old ones with "
        "worse new ones, and the processes, which are fitted to all alike, expect too much of the new.",
    )


def silences(retention: Retention, section: RetentionSection) -> Table:
    """What another length of silence would have said."""
    choices = retention.choices
    at_days = choices["at_days"].iloc[0]
    ours = choices[choices["silence_days"] == retention.silence_days].iloc[0]
    columns = ["silence_days", "judged", "repeat_share", "survival", "returned_share"]
    title = f"No customer counts as lost after {retention.silence_days} days yet"
    if ours["lost"]:
        share = numbers.percent(ours["returned_share"], 0)
        title = (
            f"{share} of the customers counted as lost after {retention.silence_days} days bought again since"
        )
    later = "Still buying" if pd.isna(at_days) else f"Still buying at day {int(at_days)}"
    return Table(
        "retention_silences",
        choices[columns],
        title,
        f"The same customers judged by other lengths of silence, all cohorts together, as of "
        f"{numbers.date_words(retention.as_of)}.",
        formats={
            "silence_days": "count",
            "judged": "count",
            "repeat_share": "percent",
            "survival": "percent",
            "returned_share": "percent",
        },
        labels={
            "silence_days": "Days of silence",
            "judged": "Judged",
            "repeat_share": "Bought again in time",
            "survival": later,
            "returned_share": "Of the lost, seen again",
        },
        note="The length of silence is a choice, and retention depends on it: a longer one calls fewer "
        "customers lost who were not, and takes longer to notice those who are. The last column only grows.",
    )


def checks(retention: Retention, models: Sequence[ProcessCurve], section: RetentionSection) -> list[Check]:
    """Whether the rule holds up, and whether the processes agree with the customers."""
    return [
        _returned(retention, section),
        *(_gap(retention, model, section) for model in models),
        _too_new(retention),
    ]


def _returned(retention: Retention, section: RetentionSection) -> Check:
    total = retention.total
    share = total["returned"] / total["lost"] if total["lost"] else 0.0
    good = share <= section.max_returned
    return Check(
        "retention.returned",
        "Lost customers who came back",
        "pass" if good else "review",
        f"Of {numbers.count(total['lost'])} customers counted as lost after {retention.silence_days} days of "
        f"silence, {numbers.count(total['returned'])} ({numbers.percent(share)}) have bought again since.",
        value=float(share),
        threshold=section.max_returned,
        unit="share of the lost",
        chapter=CHAPTER,
        recommendation=""
        if good
        else "Silence is not loss here: read the curve as how long customers buy without "
        "a long break, take P(alive) for who is still a customer, or raise retention.silence_days.",
    )


def _gap(retention: Retention, model: ProcessCurve, section: RetentionSection) -> Check:
    ages = tuple(age for age in section.ages_days if age <= section.horizon_days)
    seen, said = retention.at(ages, section.min_at_risk), model.at(ages)
    gap = (said["survival"] - seen["survival"]).to_numpy()
    title = f"{model.label} beside the customers' curve"
    if np.isnan(gap).all():
        words = f"Fewer than {section.min_at_risk} customers can be judged, too few to compare {model.label} with."
        return Check(f"retention.gap.{model.process}", title, "info", words, severity="info", chapter=CHAPTER)
    worst = int(np.nanargmax(np.abs(gap)))
    good = abs(gap[worst]) <= section.max_gap
    outside = ((said["survival"] < seen["low"]) | (said["survival"] > seen["high"])).sum()
    return Check(
        f"retention.gap.{model.process}",
        title,
        "pass" if good else "review",
        f"{model.label} says {numbers.percent(said['survival'][worst])} at day {ages[worst]}, the customers "
        f"{numbers.percent(seen['survival'][worst])}: the largest gap of {np.isfinite(gap).sum()} ages, at "
        f"{outside} of which the process lies outside the band.",
        value=float(gap[worst]),
        threshold=section.max_gap,
        unit="share of customers",
        chapter=CHAPTER,
        recommendation=""
        if good
        else "Look at the back-test before using this process: it has the customers' "
        f"loyalty too {'high' if gap[worst] > 0 else 'low'}.",
    )


def _too_new(retention: Retention) -> Check:
    total = retention.total
    young = numbers.count(total["too_new"])
    return Check(
        "retention.too_new",
        "Customers too new to be judged",
        "info",
        f"{young} of {numbers.count(total['customers'])} customers first bought less than "
        f"{retention.silence_days} days before {numbers.date_words(retention.as_of)} and are in no curve.",
        value=int(total["too_new"]),
        unit="customers",
        severity="info",
        chapter=CHAPTER,
    )


def _curve_title(retention: Retention, models: Sequence[ProcessCurve], section: RetentionSection) -> str:
    seen = retention.at(section.ages_days, section.min_at_risk).dropna(subset="survival")
    if seen.empty:
        return f"Fewer than {section.min_at_risk} customers can be judged: too few for a curve"
    day, survival = int(seen["day"].iloc[-1]), seen["survival"].iloc[-1]
    title = f"{numbers.percent(survival)} of customers are still buying {day} days after the first purchase"
    at_day = {
        model.label: model.at((day,))["survival"].item() for model in models if day <= len(model.frame) - 1
    }
    return "; ".join([title, *(f"{label} says {numbers.percent(value)}" for label, value in at_day.items())])


def _compare(curves: pd.DataFrame, section: RetentionSection, cohorts_p: float) -> tuple[str, str]:
    """The message of the cohorts' curves: the best and the worst at one age, and whether chance explains it."""
    read = {
        label: curve_at(part, section.ages_days, section.min_at_risk).set_index("day")
        for label, part in curves.groupby("label", sort=False)
    }
    if not read:
        return "No cohort is large enough for a curve of its own", ""
    survival = pd.DataFrame({label: part["survival"] for label, part in read.items()})
    readable = survival.notna().sum(axis=1)
    # the latest age at which at least half of the cohorts can be read, the youngest being left out
    common = readable.index[readable >= max(1, len(read) / 2)]
    if common.empty:
        return "The cohorts cannot be compared at the same age yet", ""
    day = int(common.max())
    row = survival.loc[day].dropna()
    said = "At day {}: {}.".format(
        day, ", ".join(f"{label} {numbers.percent(value)}" for label, value in row.items())
    )
    if len(row) == 1:
        return f"{numbers.percent(row.iloc[0])} of {row.index[0]} are still buying at day {day}", said
    best, worst = row.idxmax(), row.idxmin()
    least, most = numbers.percent(row[worst]), numbers.percent(row[best])
    title = f"At day {day}, {least} ({worst}) to {most} ({best}) are still buying"
    if np.isnan(cohorts_p):
        return title, said
    verdict = (
        "further apart than chance explains" if cohorts_p < 0.01 else "no further apart than chance explains"
    )
    return f"{title}, {verdict}", f"{said} Log-rank test that the curves are one: p {_p_value(cohorts_p)}."


def _measure(retention: Retention) -> str:
    return f"Share of customers without a silence of more than {retention.silence_days} days so far"


def _p_value(p: float) -> str:
    return "below 0.001" if p < 0.001 else f"= {numbers.number(p, 3)}"


def _interval(row: pd.Series, interval: float) -> str:
    return numbers.interval_words(numbers.percent(row["low"]), numbers.percent(row["high"]), interval)


def _step(reach: int) -> int:
    """Days between ticks, so that about eight fit."""
    return next((step for step in (7, 15, 30, 60, 90, 180, 365, 730) if reach / step <= 9), 1825)
