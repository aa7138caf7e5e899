"""Chapter 01, the customers of the ledger: when they bought, whom the data cover, and how often they came."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit import numbers
from clvkit.chapters.ledger_words import count
from clvkit.customers import daily_purchases
from clvkit.exhibits import Facts, Figure, Sentence, Table
from clvkit.publish import style

if TYPE_CHECKING:
    from datetime import date

    from clvkit.ledger import Ledger

#: Days without a new customer after which acquisition is taken to have ended.
ENDED_AFTER_DAYS = 60

_LIGHT = style.PREVIOUS_BAR["edgecolor"]
_CLASSES = [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 9), (10, 19), (20, None)]


def purchases_per_month(ledger: "Ledger") -> Figure:
    """Purchases per calendar month, the first of each customer apart from the repeat purchases."""
    months = _by_month(ledger)
    whole = months[months["whole"]]
    with style.canvas(height=3.3) as (drawing, axes):
        places = np.arange(len(months))
        axes.bar(places, months["repeat"], width=0.8, **style.HISTORY_BAR)
        axes.bar(places, months["first"], width=0.8, bottom=months["repeat"], **style.PREVIOUS_BAR)
        every = max(1, -(-len(months) // 7))
        axes.set_xticks(places[::every], [f"{month:%b %Y}" for month in months["month"][::every]])
        style.thousands_axis(axes.yaxis)
        axes.set_ylabel("Purchases")
        axes.set_ylim(0, 1.2 * (months["first"] + months["repeat"]).max())
        for place, name, color in ((0.01, "repeat", style.PALETTE[0]), (0.13, "first", _LIGHT)):
            axes.text(place, 0.95, "■", color=color, transform=axes.transAxes, va="center")
            axes.text(place + 0.022, 0.95, name, transform=axes.transAxes, va="center")
    part = "" if months["whole"].all() else " The first and the last month may not be covered whole."
    return Figure(
        "purchases_per_month",
        drawing,
        _months_title(months, whole),
        f"Purchases (a customer's orders of one day are one) per calendar month up to "
        f"{numbers.date_words(ledger.as_of)}: dark repeat purchases, light the first of each customer.{part}",
        alt="Bars by month. First purchases: " + _range(months, "first") + ". Repeat purchases: "
        + _range(months, "repeat") + ".",
        frame=months,
        worry="A month far below its neighbours is more often a hole in the extract than a bad month. A first month full "
        "of new customers may hold old ones whose earlier purchases are not in the extract: their age is understated.",
    )  # fmt: skip


def coverage(ledger: "Ledger") -> Sentence:
    """Whom the data cover, and whom not."""
    first, last = _acquired(ledger)
    gap = (ledger.as_of - last).days
    said = (
        f"The ledger covers the {count(ledger.totals['customers'], 'customer')} who bought for the first time between "
        f"{numbers.date_words(first)} and {numbers.date_words(last)}"
    )
    if gap > ENDED_AFTER_DAYS:
        return Sentence(
            f"{said}, **and nobody who came later**: in the {numbers.count(gap)} days from then to "
            f"{numbers.date_words(ledger.as_of)} there is not one new customer. All figures in this report are about "
            "this group. They do not say what the business as a whole is worth, and nothing in the data shows "
            "whether customers who came later are like these."
        )
    return Sentence(
        f"{said}; the last came {count(gap, 'day')} before {numbers.date_words(ledger.as_of)}. Customers who are yet to "
        "come are in no figure of this report. Who bought only before "
        f"{numbers.date_words(first)} is not in the extract and is not covered either."
    )


def customers(cells: pd.DataFrame, ledger: "Ledger") -> Facts:
    """The customer summary in a few facts."""
    n, unit = cells["n"], 10**ledger.minor_digits
    total, once = n.sum(), n[cells["frequency"] == 0].sum()
    silence = cells["T_days"] - cells["recency_days"]
    repeat_days = (cells["frequency"] * n).sum()
    spend, first = cells["spend_minor"].sum() / unit, cells["first_minor"].sum() / unit
    repeaters = cells[cells["frequency"] > 0]
    items = {
        "Bought once": f"{numbers.count(once)} of {count(total, 'customer')}, {numbers.percent(once / total)}",
        "Purchases per customer": f"{numbers.number((repeat_days + total) / total, 2)} on average, "
        f"{_middle(cells['frequency'] + 1, n)} in the middle",
        "First purchase": f"{numbers.money(first / total, ledger.currency)} on average",
    }
    if repeat_days:
        items["Repeat purchase"] = f"{numbers.money(spend / repeat_days, ledger.currency)} on average"
        items["First to last purchase"] = (
            f"{count(_middle(repeaters['recency_days'], repeaters['n']), 'day')} in the middle of those who came again"
        )
    items["Silent for"] = (
        f"{count(_middle(silence, n), 'day')} in the middle, up to {count(silence.max(), 'day')}"
    )
    items["Watched for"] = f"{numbers.count(cells['T_days'].min())} to {count(cells['T_days'].max(), 'day')}"
    return Facts(items)


def frequencies(cells: pd.DataFrame, ledger: "Ledger") -> Table:
    """Customers and money by number of purchases."""
    unit = 10**ledger.minor_digits
    money = (cells["spend_minor"] + cells["first_minor"]) / unit
    lines = []
    for least, most in _CLASSES:
        here = (cells["frequency"] >= least) & (cells["frequency"] <= (np.inf if most is None else most))
        label = f"{least + 1} and more" if most is None else (
            f"{least + 1}" if least == most else f"{least + 1} to {most + 1}")  # fmt: skip
        lines.append(
            {"purchases": label, "customers": cells.loc[here, "n"].sum(), "revenue": money[here].sum()}
        )
    frame = pd.DataFrame(lines)
    frame = frame[frame["customers"] > 0]
    frame = pd.concat([frame, frame[["customers", "revenue"]].sum().to_frame().T.assign(purchases="All")])
    frame = frame[["purchases", "customers", "revenue"]].astype({"customers": "int64", "revenue": float})
    total = frame.iloc[-1]
    frame["customer_share"] = frame["customers"] / total["customers"]
    frame["revenue_share"] = frame["revenue"] / total["revenue"] if total["revenue"] else np.nan
    top_customers, top_money = _top_tenth(cells, money)
    header = numbers.money_header(ledger.currency)
    return Table(
        "purchase_frequencies",
        frame,
        f"{numbers.percent(top_customers, 0)} of the customers, those who bought most often, brought "
        f"{numbers.percent(top_money, 0)} of the revenue",
        f"Customers by number of purchases up to {numbers.date_words(ledger.as_of)}; revenue in {header}.",
        formats={"customers": "count", "revenue": "money", "customer_share": "percent", "revenue_share": "percent"},
        labels={"purchases": "Purchases", "customers": "Customers", "revenue": f"Revenue, {header}",
                "customer_share": "Of the customers", "revenue_share": "Of the revenue"},
        total=True,
        note="The few who buy often are known well; about the many who bought once the data say little each, and "
        "their value rests on what is assumed of all.",
    )  # fmt: skip


def _top_tenth(cells: pd.DataFrame, money: pd.Series) -> tuple[float, float]:
    """The most frequent buyers down to the number of purchases at which they are nearest to a tenth of all."""
    by = pd.DataFrame({"frequency": cells["frequency"], "n": cells["n"], "money": money})
    by = by.groupby("frequency").sum().sort_index(ascending=False).cumsum()
    by = by / by.iloc[-1] if by["money"].iloc[-1] else by.assign(money=0.0) / by["n"].iloc[-1]
    nearest = (by["n"] - 0.1).abs().idxmin()
    return float(by.loc[nearest, "n"]), float(by.loc[nearest, "money"])


def _by_month(ledger: "Ledger") -> pd.DataFrame:
    """``month``, ``first``, ``repeat`` (purchases) and ``whole`` (the data cover all its days)."""
    days = daily_purchases(ledger.purchases)
    months = days.groupby(days["day"].dt.to_period("M"))[["first", "repeat"]].sum()
    until = pd.Timestamp(ledger.as_of)
    months = months.reindex(pd.period_range(months.index[0], until.to_period("M")), fill_value=0)
    begun = days["day"].iloc[0]
    whole = (months.index.to_timestamp() >= begun.normalize()) & (months.index.end_time.normalize() <= until)
    months.index = months.index.to_timestamp()
    return months.assign(whole=whole).rename_axis("month").reset_index()


def _months_title(months: pd.DataFrame, whole: pd.DataFrame) -> str:
    newest = months.loc[months["first"] > 0, "month"].iloc[-1]
    since = whole[whole["month"] > newest]
    if len(since) >= 2:
        least, most = since["repeat"].min(), since["repeat"].max()
        return (
            f"Since the last new customers of {newest:%B %Y} there have been {numbers.count(least)} to "
            f"{numbers.count(most)} purchases a month, all of them repeat purchases"
        )
    last = (whole if len(whole) else months).iloc[-1]
    both = last["first"] + last["repeat"]
    return f"In {last['month']:%B %Y}, {numbers.count(last['repeat'])} of {numbers.count(both)} purchases were repeat purchases"


def _acquired(ledger: "Ledger") -> "tuple[date, date]":
    """The first days of the first and of the last customer."""
    firsts = ledger.purchases.group_by("customer").agg(day=ledger.purchases.day.min())
    found = firsts.aggregate(first=firsts.day.min(), last=firsts.day.max()).to_pyarrow().to_pylist()[0]
    return found["first"], found["last"]


def _middle(values: pd.Series, n: pd.Series) -> int:
    """Median of values that stand for ``n`` customers each (the lower of two)."""
    order = np.argsort(values.to_numpy(), kind="stable")
    cumulated = np.cumsum(n.to_numpy()[order])
    return int(values.to_numpy()[order][np.searchsorted(cumulated, cumulated[-1] / 2)])


def _range(months: pd.DataFrame, column: str) -> str:
    top = months.loc[months[column].idxmax()]
    first, last = months[column].iloc[0], months[column].iloc[-1]
    return (
        f"{numbers.count(first)} in {months['month'].iloc[0]:%B %Y}, at most {numbers.count(top[column])} in "
        f"{top['month']:%B %Y}, {numbers.count(last)} in {months['month'].iloc[-1]:%B %Y}"
    )
