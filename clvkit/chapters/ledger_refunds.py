"""Refunds: what became of them, how long they take, and what is yet to come of the sales made so far."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit import numbers
from clvkit.chapters.ledger_words import amount, count, groups, modelled_minor
from clvkit.exhibits import Figure, Sentence, Table
from clvkit.ledger.currencies import digits_of
from clvkit.ledger.reasons import WORDS
from clvkit.publish import style

if TYPE_CHECKING:
    from clvkit.ledger import Ledger

MONTHS_SHOWN = 12
_BECAME = {
    "netted": "taken off a purchase of an earlier day",
    "netted_same_day": "taken off a purchase of the same day",
    "not_known_yet": "not known yet on the as-of date",
    "returned_in_full": "took an order back whole: the order is no purchase",
    "refund_unmatched": "no sale found",
    "guest": "of guests",
}


def refunds(ledger: "Ledger") -> list[Table | Sentence]:
    """What became of the refunds, by currency; a sentence where nothing was netted."""
    found = ledger.frames.get("refunds")
    if found is None or found.empty:
        rows = ledger.rows
        below = rows.filter((rows.amount_minor < 0) & (rows.state != "quarantined")).count().execute()
        if below:
            return [
                Sentence(
                    f"{count(below, 'row')} with a negative amount {'was' if below == 1 else 'were'} not netted against any sale."
                )
            ]
        return [Sentence("**Refunds**: the sources hold none.")]
    codes = [
        c
        for c in [ledger.currency, *sorted(set(found["currency"]) - {ledger.currency})]
        if c in set(found["currency"])
    ]
    lines = [_added(found[found["became"] == became], codes, _words(became)) for became in _ordered(found)]
    lines.append(_added(found, codes, "All refunds"))
    frame = pd.DataFrame(lines)
    lost = found[found["became"] == "refund_unmatched"]
    whole = int(found["rows"].sum())
    taken = groups(ledger).query("negative and state != 'quarantined'")["value_minor"].sum()
    title = (
        f"{count(whole, 'refund')} {'takes' if whole == 1 else 'take'} back {amount(-taken, ledger.currency)}"
    )
    return [Table(
        "ledger_refunds",
        frame,
        title + ("; none is without a sale" if lost.empty else f"; {count(int(lost['rows'].sum()), 'refund')} found no sale"),
        "Refunds by what became of them, in the currency of each; days from the sale to the refund, on average, of those that "
        "were moved to an earlier day.",
        formats={"rows": "count", "days": "number:1"} | {code: f"money:{digits_of(code)}" for code in codes},
        labels={"became": "Refunds", "rows": "Rows", "days": "Days after the sale"},
        total=True,
        note="All refunds of the sources, those after the as-of date with them, but for rows in quarantine. "
        "Refunds so far of the sales by month are those that were taken off a purchase or took an order back whole.",
    )]  # fmt: skip


def _ordered(found: pd.DataFrame) -> list[str]:
    known = list(_BECAME)
    return sorted(
        set(found["became"]), key=lambda one: (known.index(one) if one in known else len(known), one)
    )


def _words(became: str) -> str:
    return _BECAME.get(became) or WORDS.get(became) or became.partition(":")[2]


def _added(here: pd.DataFrame, codes: list[str], words: str) -> dict:
    moved = here[here["became"].isin(("netted", "returned_in_full"))]
    rows = int(moved["rows"].sum())
    days = float((moved["mean_days"] * moved["rows"]).sum() / rows) if rows else numbers.NOT_APPLICABLE
    sums = {c: int(here.loc[here["currency"] == c, "amount_minor"].sum()) / 10 ** digits_of(c) for c in codes}
    return {"became": words, "rows": int(here["rows"].sum()), **sums, "days": days}


def to_come(ledger: "Ledger") -> list[Figure | Table | Sentence]:
    """Refunds expected of sales made so far: how soon refunds come, and the money by month of sale.

    Needs the frames ``refund_curve`` (``lag_days, refunds, refund_minor, exposed_minor, rate, arrived``), ``refund_rate``
    (one row: ``rate, low, high, seen``) and ``refunds_to_come`` (as :func:`clvkit.ledger.refund_lags.outstanding` returns
    it), in minor units of the study's currency; nothing without them.
    """
    names = ("refund_curve", "refund_rate", "refunds_to_come")
    if any(name not in ledger.frames for name in names):
        return []
    curve, rate, months = (ledger.frames[name] for name in names)
    if not curve["refunds"].sum():
        return [
            Sentence("No refund has been matched to a sale so far, so none is expected of the sales made.")
        ]
    return [_lags(curve, rate.iloc[0], ledger), _months(months, rate.iloc[0], ledger)]


def _lags(curve: pd.DataFrame, rate: pd.Series, ledger: "Ledger") -> Figure:
    frame = curve[["lag_days", "refunds", "arrived"]]
    until = int(frame.loc[frame["refunds"] > 0, "lag_days"].max()) + 1
    shown = frame[frame["lag_days"] <= until]
    half, most = (int(frame.loc[(frame["arrived"] >= share).idxmax(), "lag_days"]) for share in (0.5, 0.95))
    with style.canvas(height=2.7) as (drawing, axes):
        axes.step(shown["lag_days"], shown["arrived"], where="post", **style.HISTORY)
        axes.set_xlim(0, until)
        axes.set_ylim(0, 1.06)
        style.percent_axis(axes.yaxis)
        axes.set_xlabel("days after the sale")
        axes.set_ylabel("of the refunds, by money")
    return Figure(
        "refund_lags",
        drawing,
        f"Half of the refunded money is back after {count(half, 'day')}, 95 % after {count(most, 'day')}",
        "Share of a sale's refunds that has been booked by its age, by money; sales too young to say are allowed for.",
        alt=f"Rising steps: {numbers.percent(float(frame['arrived'].iloc[0]), 0)} on the day of the sale, half after "
        f"{count(half, 'day')}, 95 % after {count(most, 'day')}, the last after {count(until - 1, 'day')}.",
        frame=frame,
        worry=f"{numbers.percent(float(rate['rate']))} of sales by money come back in the end; {numbers.percent(float(rate['seen']))} "
        "have so far. The newest months look better than they are by the difference.",
    )  # fmt: skip


def _months(months: pd.DataFrame, rate: pd.Series, ledger: "Ledger") -> Table:
    unit, money = 10**ledger.minor_digits, numbers.money_header(ledger.currency)
    total, by_month = months[months["month"].isna()], months[months["month"].notna()].sort_values("month")
    whole = total.iloc[0]
    # months of which nothing to speak of is expected any more stand together
    settled = int((by_month["expected_minor"].cumsum() < unit).sum())
    shown = len(by_month) - max(settled, len(by_month) - MONTHS_SHOWN)
    older, newest = by_month.iloc[: len(by_month) - shown], by_month.iloc[len(by_month) - shown :]
    parts = newest.assign(label=[f"{month:%B %Y}" for month in newest["month"]])
    columns = ["sale_minor", "refund_minor", "expected_minor", "low_minor", "high_minor"]
    if len(older):
        # the ends of an interval do not add up, and the table has none for the older months together
        before = (
            older[columns[:3]]
            .sum()
            .to_frame()
            .T.assign(low_minor=np.nan, high_minor=np.nan, label=_up_to(older["month"]))
        )
        parts = pd.concat([before, parts])
    parts = pd.concat([parts, total.assign(label="All sales so far")])
    frame = pd.DataFrame(
        {"month": parts["label"]} | {column[:-6]: parts[column] / unit for column in columns}
    )
    for end in ("low", "high"):
        frame[end] = frame[end].astype(object).where(frame[end].notna(), numbers.NOT_APPLICABLE)
    expected = numbers.money(float(whole["expected_minor"]) / unit, ledger.currency, "one", 0)
    return Table(
        "refunds_to_come",
        frame,
        f"Refunds of about {expected} are yet to come of the sales made so far",
        f"By month of sale, in {money}: sales, refunds booked so far, refunds still expected, and the interval that holds "
        f"them {numbers.odds_words(0.9)}. Estimated.",
        formats={column[:-6]: "money" for column in columns},
        labels={"month": "Sold in", "sale": "Sales", "refund": "Refunds so far", "expected": "Still expected", "low": "At least", "high": "At most"},
        total=True,
        note="Not taken off any figure of this report: purchases stand at what is known on the as-of date. "
        f"The rate of return behind it is {numbers.percent(float(rate['rate']))} of sales "
        f"({numbers.percent(float(rate['low']))} to {numbers.percent(float(rate['high']))}). {_tie(whole, ledger)}",
    )  # fmt: skip


def _up_to(months: pd.Series) -> str:
    """The months that stand together, by name: ``December 2010``, ``December 2010 to March 2011``."""
    first, last = months.iloc[0], months.iloc[-1]
    return f"{first:%B %Y}" + (f" to {last:%B %Y}" if last != first else "")


def _tie(whole: pd.Series, ledger: "Ledger") -> str:
    """How all sales less refunds so far meet what is modelled: apart by orders that were taken back whole, and more."""
    net, modelled = int(whole["sale_minor"]) - int(whole["refund_minor"]), modelled_minor(ledger)
    found = groups(ledger)
    returned = int(found.loc[found["reason"] == "returned_in_full", "value_minor"].sum())
    text = f"All sales less refunds so far are {amount(net, ledger.currency)}"
    if net == modelled:
        return f"{text}, which is what is modelled."
    text += f", and {amount(modelled, ledger.currency)} is modelled"
    if net - modelled == returned:
        return (
            f"{text}: the difference of {amount(returned, ledger.currency)} is what orders that were taken back whole add "
            "up to with their refunds; they are no purchases."
        )
    return f"{text}."
