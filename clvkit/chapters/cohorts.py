"""Chapter 02, cohorts: what customers of each period of acquisition did since."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit import numbers
from clvkit.chapters.drawing import label_ends, triangle
from clvkit.chapters.ledger_words import modelled_minor
from clvkit.checks import Check
from clvkit.cohorts import CohortsSection, CohortTriangles
from clvkit.exhibits import Figure, Sentence, Table
from clvkit.publish import style

if TYPE_CHECKING:
    from clvkit.ledger import Ledger

CHAPTER = "02_cohorts"
MOST_COHORTS = 24
_NAMED_LINES = len(style.PALETTE)
_ADJECTIVE = {"day": "daily", "week": "weekly", "month": "monthly", "quarter": "quarterly"}


def answer(cohorts: CohortTriangles, ledger: "Ledger") -> Sentence:
    """How many came, how many bought again, and what a customer has brought."""
    sizes, grain = cohorts.sizes, cohorts.grain
    first, last = _called(sizes["label"].iloc[0]), _called(sizes["label"].iloc[-1])
    acquired = numbers.count(sizes["customers"].sum())
    groups = _plural(len(sizes), f"{_ADJECTIVE[grain]} cohort")
    came = f"from {first} to {last}" if len(sizes) > 1 else first
    parts = [f"**{acquired} customers** came in {groups}, {came}."]
    rates = cohorts.pooled_repeat_rate().drop(index=0, errors="ignore").loc[: max(1, cohorts.spoken_for())]
    if len(rates):
        parts.append(
            f"In the {grain} after the {grain} of their first purchase "
            f"**{numbers.percent(rates.iloc[0])}** of them bought again"
            + (
                f", {rates.index[-1]} {grain}s after it {numbers.percent(rates.iloc[-1])}."
                if len(rates) > 1
                else "."
            )
        )
    worth = cohorts.wide("cumulative_minor_per_customer").iloc[0].dropna()
    if len(worth):
        brought = numbers.money(worth.iloc[-1] / 10**ledger.minor_digits, ledger.currency)
        at_once = numbers.money(worth.iloc[0] / 10**ledger.minor_digits, ledger.currency)
        parts.append(
            f"A customer of {first} has brought **{brought}** of revenue, {at_once} of it in the "
            f"{grain} of the first purchase."
        )
    return Sentence(" ".join(parts))


def sizes(cohorts: CohortTriangles, ledger: "Ledger") -> Table:
    """How many customers each cohort has, and what they bought; adds up to the ledger."""
    frame = cohorts.totals()
    frame["revenue"] = frame["revenue_minor"] / 10**ledger.minor_digits
    largest = frame.loc[frame["customers"].idxmax()]
    shown = _latest(frame)
    total = pd.DataFrame(
        {
            "label": ["All"],
            "customers": [frame["customers"].sum()],
            "first_day": [frame["first_day"].min()],
            "last_day": [frame["last_day"].max()],
            "purchases": [frame["purchases"].sum()],
            "revenue": [frame["revenue"].sum()],
        }
    )
    shown = pd.concat([shown, total], ignore_index=True)
    shown["per_customer"] = shown["revenue"] / shown["customers"]
    columns = ["label", "customers", "first_day", "last_day", "purchases", "revenue", "per_customer"]
    share = largest["customers"] / frame["customers"].sum()
    title = (
        f"The largest cohort, {_called(largest['label'])}, holds {numbers.percent(share, 0)} of all customers"
        if len(frame) > 1
        else f"All customers belong to one cohort, {largest['label']}"
    )
    unfinished = frame.loc[~frame["complete"], "label"]
    money = numbers.money_header(ledger.currency)
    return Table(
        "cohort_sizes",
        shown[columns],
        title,
        f"Customers by {cohorts.grain} of first purchase, with all their purchases up to "
        f"{numbers.date_words(cohorts.as_of)}; revenue as in the ledger, {money}.",
        formats={
            "customers": "count",
            "first_day": "date",
            "last_day": "date",
            "purchases": "count",
            "revenue": "money",
            "per_customer": "money:2",
        },
        labels={
            "label": "Cohort",
            "customers": "Customers",
            "first_day": "First acquired",
            "last_day": "Last acquired",
            "purchases": "Purchases",
            "revenue": f"Revenue, {money}",
            "per_customer": f"Per customer, {money}",
        },
        total=True,
        note="Older cohorts have had more time to buy: compare cohorts at the same age, below, and not here."
        + (f" {unfinished.iloc[-1]} is not over yet; more customers may join it." if len(unfinished) else ""),
    )


def ties(cohorts: CohortTriangles, ledger: "Ledger") -> list[Check]:
    """Whether the triangles, immature cells included, add up to the ledger's purchases and money."""
    digits = ledger.minor_digits

    def money(minor: int) -> str:
        return numbers.money(minor / 10**digits, ledger.currency, "one", digits)

    pairs = [
        (
            "customers",
            "Every customer is in one cohort",
            "customers",
            numbers.count,
            cohorts.sizes["customers"].sum(),
            ledger.totals["customers"],
        ),
        (
            "purchases",
            "The cohorts' purchases add up to the ledger's",
            "purchases",
            numbers.count,
            cohorts.long["purchases"].sum(),
            ledger.totals["rows"]["used"],
        ),
        (
            "revenue",
            "The cohorts' revenue adds up to the ledger's",
            "of revenue",
            money,
            cohorts.long["revenue_minor"].sum(),
            modelled_minor(ledger),
        ),
    ]
    checks = []
    for name, title, what, words, found, expected in pairs:
        same = int(found) == expected
        checks.append(
            Check(
                f"cohorts.{name}",
                title,
                "pass" if same else "fail",
                f"The cohorts hold {words(found)} {what}, the ledger {words(expected)}.",
                value=int(found),
                threshold=expected,
                unit="minor units" if name == "revenue" else name,
                severity="stop",
                chapter=CHAPTER,
                recommendation=""
                if same
                else "Do not use the figures; customers were lost or counted twice.",
            )
        )
    return checks


def repeat_rates(cohorts: CohortTriangles, section: CohortsSection) -> Figure:
    """Heat map of the share of each cohort that bought, by age."""
    grain = cohorts.grain
    rates = cohorts.wide("repeat_rate", section.max_periods + 1).drop(columns=0)
    pooled = cohorts.pooled_repeat_rate().reindex(rates.columns)
    shown = rates.tail(MOST_COHORTS).set_axis(_row_labels(cohorts)[-MOST_COHORTS:])
    shown = pd.concat([shown, pooled.to_frame("All cohorts").T])
    seen = pooled.dropna().loc[: max(1, cohorts.spoken_for())]  # of the oldest cohorts alone no more is said
    if len(seen) > 1:
        title = (
            f"{numbers.percent(seen.iloc[0])} buy again in the {grain} after their first, "
            f"{numbers.percent(seen.iloc[-1])} {seen.index[-1]} {grain}s after it"
        )
    elif len(seen):
        title = f"{numbers.percent(seen.iloc[0])} buy again in the {grain} after their first"
    else:
        title = f"No cohort has been watched for a whole {grain} after its own yet"
    frame = cohorts.long[["cohort", "age", "customers", "mature"]].merge(
        cohorts.sizes[["cohort", "label", "customers"]], on="cohort", suffixes=("_buying", "_acquired")
    )
    drawing = triangle(shown, lambda rate: numbers.number(100 * rate, 0), _age_label(grain), last_apart=True)
    return Figure(
        "repeat_rates",
        drawing,
        title,
        f"Share of the cohort's customers who bought in the {grain}, in %, by age in calendar {grain}s. "
        f"In brackets: customers of the cohort. Blank: the {grain} is not over, by "
        f"{numbers.date_words(cohorts.as_of)}{_shown(cohorts)}.",
        alt=f"Triangle of repeat rates, one row per cohort and one column per {grain} of age. All cohorts: "
        + (
            ", ".join(f"{numbers.percent(rate)} at age {age}" for age, rate in seen.iloc[:6].items())
            if len(seen)
            else "no complete cell yet"
        )
        + ".",
        frame=frame,
        worry="A row paler than those above it at the same age: newer customers come back less. A pale "
        f"diagonal is a bad {grain} for all. A cell says who bought in that {grain}, not who is still a "
        "customer: the absent may come back.",
    )


def revenue(cohorts: CohortTriangles, ledger: "Ledger", section: CohortsSection) -> Figure:
    """Revenue triangle: money by cohort and age."""
    grain = cohorts.grain
    cells = cohorts.wide("revenue_minor", section.max_periods) / 10**ledger.minor_digits
    largest = float(np.nanmax(cells.to_numpy(), initial=0))
    unit = "million" if largest >= 1e7 else "thousand" if largest >= 1e4 else "one"
    divisor = {"one": 1, "thousand": 1e3, "million": 1e6}[unit]
    shown = cells.tail(MOST_COHORTS).set_axis(_row_labels(cohorts)[-MOST_COHORTS:]) / divisor
    mature = cohorts.wide("revenue_minor") / 10**ledger.minor_digits
    all_money, own = mature.sum().sum(), mature[0].sum()
    title = (
        f"{numbers.percent(own / all_money, 0)} of the revenue came in the {grain} of the first purchase"
        if all_money
        else "No revenue yet in a period that is over"
    )
    frame = cohorts.long[["cohort", "age", "mature"]].assign(
        revenue=cohorts.long["revenue_minor"] / 10**ledger.minor_digits
    )
    blank = (
        ""
        if cohorts.long["mature"].all()
        else (
            f"; blank where the {grain} is not over, though the totals above count what it has brought so far"
        )
    )
    return Figure(
        "revenue_triangle",
        triangle(shown, lambda value: numbers.number(value, 0), _age_label(grain)),
        title,
        f"Revenue by cohort and age in calendar {grain}s, {numbers.money_header(ledger.currency, unit)}, "
        f"up to {numbers.date_words(cohorts.as_of)}{_shown(cohorts)}{blank}.",
        alt=f"Triangle of revenue with one row per cohort and one column per {grain} of age. In their own "
        f"{grain} the cohorts brought {numbers.money(own, ledger.currency)}, in all {grain}s that are over "
        f"{numbers.money(all_money, ledger.currency)}.",
        frame=frame.merge(cohorts.sizes[["cohort", "label"]], on="cohort"),
        worry=f"A share of the first {grain} that rises from cohort to cohort: they come once. Revenue "
        "that holds up along a row while the repeat rate above falls rests on ever fewer customers.",
    )


def value_curves(cohorts: CohortTriangles, ledger: "Ledger", section: CohortsSection) -> Figure:
    """Cumulative revenue per customer acquired, one line per cohort."""
    grain, currency = cohorts.grain, ledger.currency
    curves = cohorts.wide("cumulative_minor_per_customer", section.max_periods) / 10**ledger.minor_digits
    curves.index = cohorts.sizes["label"].to_list()
    curves = curves.dropna(how="all")
    named = _named(curves)
    with style.canvas(height=3.6) as (drawing, axes):
        ends = []
        for label, curve in curves.iterrows():
            if label not in named:
                axes.plot(curve.index, curve, **style.PREVIOUS | {"linewidth": 0.8})
        for colour, label in zip(style.PALETTE, named, strict=False):
            curve = curves.loc[label].dropna()
            marks = {"marker": "o", "markersize": 3} if len(curve) == 1 else {}
            axes.plot(curve.index, curve, **style.HISTORY | {"color": colour} | marks)
            ends.append((curve.iloc[-1], f"{label}  {numbers.number(curve.iloc[-1], 2)}", colour))
        axes.set_ylim(bottom=0)
        axes.set_xlabel(_age_label(grain))
        axes.set_ylabel(f"{currency} per customer acquired")
        style.thousands_axis(axes.yaxis)
        axes.xaxis.get_major_locator().set_params(integer=True)
        label_ends(axes, ends, x=curves.columns.max())
    return Figure(
        "value_curves",
        drawing,
        _compare(curves, grain, currency),
        f"Revenue since the first purchase over customers acquired, {currency}, to the end of each {grain}; "
        + (f"{len(curves)} cohorts, some of them named." if len(named) < len(curves) else "all cohorts."),
        alt="Rising curves, one per cohort: "
        + "; ".join(
            f"{label} reaches {numbers.money(curves.loc[label].dropna().iloc[-1], currency)} at age "
            f"{curves.loc[label].dropna().index[-1]}"
            for label in named
        )
        + ".",
        frame=curves.rename_axis("cohort").reset_index().rename(columns=str),
        worry="Curves of newer cohorts that run below those of older ones at the same age. This is revenue, "
        "before any cost; it is what customers brought so far, not what they are worth.",
    )


def _row_labels(cohorts: CohortTriangles) -> list[str]:
    return [f"{row.label} ({numbers.count(row.customers)})" for row in cohorts.sizes.itertuples()]


def _shown(cohorts: CohortTriangles) -> str:
    return f"; the latest {MOST_COHORTS} cohorts" if len(cohorts.sizes) > MOST_COHORTS else ""


def _called(label: str) -> str:
    """A cohort's label inside a sentence."""
    return f"the {label}" if label.startswith("week") else label


def _age_label(grain: str) -> str:
    return f"Whole {grain}s after the {grain} of the first purchase"


def _latest(frame: pd.DataFrame) -> pd.DataFrame:
    """The latest cohorts, and one line for all earlier ones when there are many."""
    earlier = frame.iloc[:-MOST_COHORTS]
    if earlier.empty:
        return frame
    line = pd.DataFrame(
        {
            "label": [_plural(len(earlier), "earlier cohort")],
            "customers": [earlier["customers"].sum()],
            "first_day": [earlier["first_day"].min()],
            "last_day": [earlier["last_day"].max()],
            "purchases": [earlier["purchases"].sum()],
            "revenue": [earlier["revenue"].sum()],
        }
    )
    return pd.concat([line, frame.iloc[-MOST_COHORTS:]], ignore_index=True)


def _named(curves: pd.DataFrame) -> list[str]:
    """Cohorts to name in a chart: all when they are few, else spread from the oldest to the newest."""
    if len(curves) <= _NAMED_LINES:
        return list(curves.index)
    watched = curves.notna().sum(axis=1)
    long = list(watched.index[watched >= 0.2 * watched.max()])
    places = np.linspace(0, len(long) - 1, min(_NAMED_LINES, len(long))).round().astype(int)
    return [long[place] for place in places]


def _compare(curves: pd.DataFrame, grain: str, currency: str) -> str:
    """The oldest cohort and the newest that is old enough, at the same age."""
    watched = curves.notna().sum(axis=1)
    old_enough = curves[watched >= min(4, watched.max())] if len(curves) else curves
    if old_enough.empty:
        return f"No {grain} is over yet"
    oldest, newest = old_enough.index[0], old_enough.index[-1]
    age = old_enough.loc[newest].last_valid_index()
    then, now = (numbers.money(curves.loc[label, age], currency) for label in (oldest, newest))
    if oldest == newest:
        return f"A customer of {_called(oldest)} had brought {then} {_plural(age, grain)} later"
    later = f"{_plural(age, grain)} on, a customer of {_called(oldest)} had brought {then}"
    return f"{later}, one of {_called(newest)} {now}"


def _plural(number: int, noun: str) -> str:
    return f"{numbers.count(number)} {noun}" + ("" if number == 1 else "s")
