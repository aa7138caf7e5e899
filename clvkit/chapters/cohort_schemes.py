"""Chapter 02: cohorts by other keys than the period, in sales and in margin, and beside the segments of a customers table."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit import numbers
from clvkit.chapters.cohorts import CHAPTER
from clvkit.chapters.drawing import label_ends, triangle
from clvkit.checks import Check
from clvkit.cohort_keys import NOT_KNOWN, PERIOD, words_of
from clvkit.cohort_schemes import Scheme, Schemes
from clvkit.exhibits import Figure, Sentence, Table
from clvkit.publish import style

if TYPE_CHECKING:
    from clvkit.cohorts import CohortsSection
    from clvkit.ledger import Ledger

MOST_ROWS = 40
OTHERS = "all others"
#: More customers than this share without a segment in the customers table are put up for review.
MOST_UNKNOWN = 0.05
Shown = list[Table | Figure | Sentence]


def exhibits(schemes: Schemes, ledger: "Ledger", section: "CohortsSection") -> Shown:
    """Of every scheme: who is in it and what they brought, who came back, the margin triangle, and value per customer."""
    shown: Shown = []
    for scheme in schemes:
        plain = scheme.keys == (PERIOD,)  # whose counts, rates and revenue stand above
        shown += [sizes(scheme, ledger)]
        shown += [] if plain else [repeat_rates(scheme, section)]
        shown += [money_triangle(scheme, ledger, section), value_curves(scheme, ledger, section)]
    return shown


def by_words(scheme: Scheme) -> str:
    """The keys of a scheme in a sentence: ``channel that won the customer and month of the first purchase``."""
    found = [f"{scheme.grain} of the first purchase" if key == PERIOD else words_of(key)
             for key in sorted(scheme.keys, key=lambda one: one == PERIOD)]  # fmt: skip
    return " and ".join(found)


def margin_words(scheme: Scheme) -> str:
    """What the margin of a scheme is made from."""
    return (
        "gross margin: net sales less the cost of products, as the ledger has it"
        if scheme.margin_of == "costs"
        else "margin: the study's share of net sales, as no costs are in the ledger"
    )


def sizes(scheme: Scheme, ledger: "Ledger") -> Table:
    """Customers, sales before and after refunds, and margin of each cohort; adds up to the ledger."""
    unit, money = 10**ledger.minor_digits, numbers.money_header(ledger.currency)
    frame = scheme.totals()
    frame = frame.assign(**{name: frame[f"{name}_minor"] / unit for name in ("gross", "net", "margin")})
    shown = _most(frame)
    total = frame.drop(columns="group").sum().to_frame().T.assign(group="All")
    shown = pd.concat([shown, total], ignore_index=True)
    shown["net_each"], shown["margin_each"] = (shown[one] / shown["customers"] for one in ("net", "margin"))
    columns = ["group", "customers", "purchases", "gross", "net", "margin", "net_each", "margin_each"]
    large = frame[frame["customers"] >= max(30, 0.02 * frame["customers"].sum())]
    each = (large["margin"] / large["customers"]).set_axis(large["group"])
    title = f"By {by_words(scheme)} there are {numbers.count(len(frame))} cohorts, none of them large"
    if len(each) > 1:
        title = (
            f"A customer of {each.idxmax()} has brought {numbers.money(each.max(), ledger.currency)} of margin so far, one of "
            f"{each.idxmin()} {numbers.money(each.min(), ledger.currency)}"
        )
    elif len(each):
        title = f"A customer of {each.index[0]} has brought {numbers.money(each.iloc[0], ledger.currency)} of margin so far"
    return Table(
        f"cohorts_{scheme.name}",
        shown[columns].astype({"customers": int, "purchases": int}),
        title,
        f"Customers by {by_words(scheme)}, with all their purchases up to {numbers.date_words(scheme.as_of)}; sales before and "
        f"after refunds, and {margin_words(scheme)}, {money}; per customer acquired.",
        formats={"customers": "count", "purchases": "count"} | dict.fromkeys(["gross", "net", "margin"], "money")
        | dict.fromkeys(["net_each", "margin_each"], "money:2"),
        labels={"group": "Cohort", "customers": "Customers", "purchases": "Purchases", "gross": f"Gross sales, {money}",
                "net": "Net sales", "margin": "Margin", "net_each": "Net sales each", "margin_each": "Margin each"},
        total=True,
        note="Cohorts that came earlier have had more time to buy: compare them at one age, below."
        if PERIOD in scheme.keys
        else "The mix of older and newer customers may differ between these cohorts: compare them at one age, below.",
    )  # fmt: skip


def repeat_rates(scheme: Scheme, section: "CohortsSection") -> Figure:
    """Heat map of the share of each cohort that bought, by age."""
    kept = _largest(scheme)
    rates = scheme.wide("repeat_rate").loc[kept].iloc[:, 1 : section.max_periods + 1]
    held = scheme.totals().set_index("group")["customers"]
    shown = rates.set_axis([f"{group} ({numbers.count(held[group])})" for group in kept])
    wide = scheme.exposure().loc[kept, 1] if rates.shape[1] else pd.Series(dtype=float)
    first = (
        rates[1][wide >= max(30, 0.02 * held.sum())].dropna() if rates.shape[1] else pd.Series(dtype=float)
    )
    title = f"No large cohort has been watched for a whole {scheme.grain} after its own yet"
    if len(first) > 1:
        title = (
            f"In the {scheme.grain} after the first purchase {numbers.percent(first.max())} of {first.idxmax()} bought again, "
            f"{numbers.percent(first.min())} of {first.idxmin()}"
        )
    elif len(first):
        title = f"In the {scheme.grain} after the first purchase {numbers.percent(first.iloc[0])} of {first.index[0]} bought again"
    frame = scheme.long[["group", "index", "age", "customers", "repeat_customers", "mature"]].merge(
        scheme.sizes[["group", "index", "customers"]],
        on=["group", "index"],
        suffixes=("_buying", "_acquired"),
    )
    return Figure(
        f"repeat_rates_{scheme.name}",
        triangle(shown, lambda rate: numbers.number(100 * rate, 0), _age(scheme)),
        title,
        f"Share who bought in the {scheme.grain}, in %, of the cohort's customers who had reached the age by "
        f"{numbers.date_words(scheme.as_of)}; by {by_words(scheme)}. In brackets: customers. Blank: nobody has.{_left_out(scheme)}",
        alt=f"Triangle of repeat rates, one row per cohort. In the first {scheme.grain} after: "
        + "; ".join(f"{group} {numbers.percent(rate)}" for group, rate in first.items())
        + ".",
        frame=frame,
        worry="Small cohorts move by several points with single orders: look at the numbers in brackets first."
        + ("" if PERIOD in scheme.keys else " Later ages rest on fewer customers, those who came first."),
    )  # fmt: skip


def money_triangle(scheme: Scheme, ledger: "Ledger", section: "CohortsSection") -> Figure:
    """Margin by cohort and age; gross and net sales are in its table."""
    unit, kept = 10**ledger.minor_digits, _largest(scheme)
    cells = scheme.wide("margin_minor").loc[kept].iloc[:, : section.max_periods] / unit
    top = float(np.nanmax(np.abs(cells.to_numpy()), initial=0))
    size = "million" if top >= 1e7 else "thousand" if top >= 1e4 else "one"
    shown = cells / {"one": 1, "thousand": 1e3, "million": 1e6}[size]
    digits = 1 if size != "one" and np.nanmax(np.abs(shown.to_numpy()), initial=0) < 100 else 0
    totals, over = scheme.totals(), np.nansum(scheme.wide("margin_minor").to_numpy())
    own = np.nansum(scheme.wide("margin_minor")[0])
    back = totals["gross_minor"].sum() - totals["net_minor"].sum()
    frame = scheme.long.drop(columns="repeat_minor").assign(
        **{name: scheme.long[f"{name}_minor"] / unit for name in ("gross", "net", "margin")}
    )
    frame = frame.drop(columns=["gross_minor", "net_minor", "margin_minor"])
    returned = (
        f"{numbers.money(back / unit, ledger.currency)} of the sales, {numbers.percent(back / totals['gross_minor'].sum())}, were paid back"
        if back
        else "no refund is in these sales, so that gross and net are one"
    )
    return Figure(
        f"margin_{scheme.name}",
        triangle(shown, lambda value: numbers.number(value, digits), _age(scheme)),
        f"{numbers.percent(own / over, 0)} of the margin came in the {scheme.grain} of the first purchase"
        if over > 0
        else f"No margin yet in a {scheme.grain} that is over",
        f"By {by_words(scheme)} and age in calendar {scheme.grain}s, {numbers.money_header(ledger.currency, size)}; {margin_words(scheme)}. "
        f"Blank: nobody has reached the age. Gross and net sales are in the table beside it; {returned}.{_left_out(scheme)}",
        alt=f"Triangle of margin, one row per cohort and one column per {scheme.grain} of age; in all "
        f"{numbers.money(totals['margin_minor'].sum() / unit, ledger.currency)}.",
        frame=frame,
        worry="Margin that falls from cohort to cohort at one age while sales do not: newer customers buy what earns less, or "
        "are given more off.",
    )  # fmt: skip


def value_curves(scheme: Scheme, ledger: "Ledger", section: "CohortsSection") -> Figure:
    """Cumulative margin per customer acquired, one line per cohort, the largest named."""
    unit, currency = 10**ledger.minor_digits, ledger.currency
    curves = (scheme.cumulative("margin_minor").iloc[:, : section.max_periods] / unit).dropna(how="all")
    held = scheme.totals().set_index("group")["customers"].reindex(curves.index)
    named = list(held.sort_values(ascending=False, kind="stable").index[: len(style.PALETTE)])
    named = [group for group in curves.index if group in named]
    with style.canvas(height=3.6) as (drawing, axes):
        ends = []
        for group in curves.index.difference(named, sort=False):
            axes.plot(curves.columns, curves.loc[group], **style.PREVIOUS | {"linewidth": 0.8})
        for colour, group in zip(style.PALETTE, named, strict=False):
            curve = curves.loc[group].dropna()
            axes.plot(
                curve.index, curve, **style.HISTORY | {"color": colour, "marker": "o", "markersize": 2.5}
            )
            ends.append((curve.iloc[-1], f"{group}  {numbers.number(curve.iloc[-1], 2)}", colour))
        axes.set_ylim(bottom=min(0, np.nanmin(curves.to_numpy(), initial=0)))
        axes.set_xlabel(_age(scheme))
        axes.set_ylabel(f"{currency} of margin per customer acquired")
        style.thousands_axis(axes.yaxis)
        axes.xaxis.get_major_locator().set_params(integer=True)
        label_ends(axes, ends, x=curves.columns.max() if len(curves) else 0)
    return Figure(
        f"value_curves_{scheme.name}",
        drawing,
        _compare(curves.loc[named], scheme, currency),
        f"Margin since the first purchase over customers acquired, {currency}, to the end of each {scheme.grain}; by "
        f"{by_words(scheme)}; {margin_words(scheme)}. "
        + ("The largest cohorts are named." if len(named) < len(curves) else "All cohorts."),
        alt="Rising curves, one per cohort: "
        + "; ".join(
            f"{group} reaches {numbers.money(curves.loc[group].dropna().iloc[-1], currency)}"
            for group in named
        )
        + ".",
        frame=curves.rename_axis("cohort").reset_index().rename(columns=str),
        worry="What it cost to win a customer is not in these curves"
        + (
            "."
            if PERIOD in scheme.keys
            else ", and customers of one cohort may have come at another time than those of another."
        ),
    )


def ties(schemes: Schemes, ledger: "Ledger") -> list[Check]:
    """Whether each scheme has every customer once, and its rows add up to the ledger to the minor unit."""
    checks = []
    for scheme in schemes:
        sums = scheme.totals().drop(columns="group").sum()
        off = {name: int(sums[name]) - expected for name, expected in schemes.ledger.items()}
        worst = max(off, key=lambda name: abs(off[name]))
        tied = not any(off.values())
        money = numbers.money(
            schemes.ledger["net_minor"] / 10**ledger.minor_digits, ledger.currency, "one", ledger.minor_digits
        )
        checks.append(Check(
            f"cohorts.scheme_{scheme.name}",
            f"The cohorts by {by_words(scheme)} add up to the ledger",
            "pass" if tied else "fail",
            f"{numbers.count(schemes.ledger['customers'])} customers are in one of {numbers.count(len(scheme.groups))} cohorts each; their "
            f"purchases, gross and net sales ({money}) and margin add up to the ledger's."
            if tied
            else f"The cohorts' {worst.removesuffix('_minor')} differs from the ledger's by {off[worst]:,}.",
            value=abs(off[worst]), threshold=0, unit="minor units" if worst.endswith("minor") else worst,
            severity="stop", chapter=CHAPTER,
            recommendation="" if tied else "Do not use the figures; customers or rows were lost or counted twice.",
        ))  # fmt: skip
    return checks


def crm(schemes: Schemes) -> Shown:
    """How the cohorts of one scheme and the segments of the customers table overlap, and how much all schemes do.

    The one that is shown is the first that goes by more than the period and not by those segments themselves.
    """
    if schemes.crm.empty:
        return [Sentence("No customers table names segments, so cohorts are not held against any.")]
    others = (one for one in schemes if set(one.keys) - {PERIOD} and "crm_segment" not in one.keys)
    first = next(others, schemes.schemes[0])
    found = schemes.crm[schemes.crm["scheme"] == first.name]
    table = found.pivot(index="group", columns="crm_segment", values="customers").fillna(0).astype(int)
    names = sorted(table.columns, key=lambda one: (one == NOT_KNOWN, one))
    columns = {name: f"crm_{place}" for place, name in enumerate(names)}
    frame = table.reindex(first.groups)[names].rename(columns=columns).reset_index()
    frame["customers"] = frame[list(columns.values())].sum(axis=1)
    frame = _most(frame)
    total = frame.drop(columns="group").sum().to_frame().T.assign(group="All")
    frame = pd.concat([frame, total], ignore_index=True)[["group", *columns.values(), "customers"]]
    told = {one.name: association(schemes, one) for one in schemes}
    return [Table(
        "cohorts_and_crm",
        frame,
        f"Cohorts by {by_words(first)} and the segments of the customers table {_told(told[first.name])}",
        f"Customers by {by_words(first)}, and by segment in the customers table, up to {numbers.date_words(first.as_of)}.",
        formats=dict.fromkeys([*columns.values(), "customers"], "count"),
        labels={"group": "Cohort", "customers": "Customers"} | {column: str(name) for name, column in columns.items()},
        total=True,
        note="Cramér's V is 0 where knowing the cohort says nothing of the segment, and 1 where it says all: "
        + "; ".join(f"by {by_words(one)} {numbers.number(told[one.name], 2)}" for one in schemes)
        + ".",
    )]  # fmt: skip


def crm_checks(schemes: Schemes) -> list[Check]:
    """Whether the customers table has a segment for those who bought, and whether its records agree."""
    if schemes.crm.empty:
        return []
    first = schemes.crm[schemes.crm["scheme"] == schemes.schemes[0].name]
    without = first.loc[first["crm_segment"] == NOT_KNOWN, "customers"].sum() / first["customers"].sum()
    bad = max(without, schemes.torn) > MOST_UNKNOWN
    return [Check(
        "cohorts.crm",
        "The customers table has a segment for every customer",
        "review" if bad else "pass",
        f"{numbers.percent(without)} of the customers have no segment in the customers table, and the records of "
        f"{numbers.percent(schemes.torn)} name several, of which the most frequent one counts.",
        value=float(max(without, schemes.torn)), threshold=MOST_UNKNOWN, unit="share of customers", severity="warn", chapter=CHAPTER,
        recommendation="Bring the segmentation of the customers table up to date before the two are compared." if bad else "",
    )]  # fmt: skip


def association(schemes: Schemes, scheme: Scheme) -> float:
    """Cramér's V of a scheme's cohorts and the segments of the customers table, of customers who have one; NaN without two of each."""
    found = schemes.crm[(schemes.crm["scheme"] == scheme.name) & (schemes.crm["crm_segment"] != NOT_KNOWN)]
    table = found.pivot(index="group", columns="crm_segment", values="customers").fillna(0).to_numpy()
    if min(table.shape, default=0) < 2:
        return float("nan")
    n = table.sum()
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / n
    return float(np.sqrt(((table - expected) ** 2 / expected).sum() / n / (min(table.shape) - 1)))


def _told(v: float) -> str:
    if np.isnan(v):
        return "cannot be compared: there are not two of each"
    return (
        "say nearly the same"
        if v > 0.8
        else "have something to do with each other"
        if v > 0.2
        else "have little to do with each other"
    )


def _age(scheme: Scheme) -> str:
    return f"Whole {scheme.grain}s after the {scheme.grain} of the first purchase"


def _largest(scheme: Scheme) -> list[str]:
    """The cohorts that are shown: all, or the largest ones in the order of the scheme."""
    held = scheme.totals().set_index("group")["customers"]
    kept = set(held.sort_values(ascending=False, kind="stable").index[:MOST_ROWS])
    return [group for group in scheme.groups if group in kept]


def _left_out(scheme: Scheme) -> str:
    return f" The {MOST_ROWS} largest cohorts." if len(scheme.groups) > MOST_ROWS else ""


def _most(frame: pd.DataFrame) -> pd.DataFrame:
    """The largest cohorts in their order, and one line for all others."""
    if len(frame) <= MOST_ROWS:
        return frame
    kept = frame["customers"].rank(method="first", ascending=False) < MOST_ROWS
    rest = frame[~kept].drop(columns="group").sum().to_frame().T.assign(group=OTHERS)
    return pd.concat([frame[kept], rest], ignore_index=True)


def _compare(curves: pd.DataFrame, scheme: Scheme, currency: str) -> str:
    """The best and the worst of the named cohorts, at an age that both have reached."""
    if curves.empty:
        return f"No {scheme.grain} is over yet"
    reached = curves.notna().sum(axis=1)
    among = curves[reached >= min(4, reached.max())]
    age = int(among.notna().all().pipe(lambda ok: ok[ok].index.max()))
    at = among[age]
    if len(at) == 1:
        return f"A customer of {at.index[0]} had brought {numbers.money(at.iloc[0], currency)} of margin by age {age}"
    return (
        f"{age} {scheme.grain}{'' if age == 1 else 's'} on, a customer of {at.idxmax()} had brought {numbers.money(at.max(), currency)} "
        f"of margin, one of {at.idxmin()} {numbers.money(at.min(), currency)}"
    )
