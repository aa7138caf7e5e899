"""What bent the history: channels that customers moved between, promotions, price changes; and how far cohorts have come."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit import numbers
from clvkit.errors import DataError
from clvkit.exhibits import Figure, Sentence, Table
from clvkit.migration import Migration, MigrationSection, channel_days, migration
from clvkit.promotions import Effect, PromotionsSection, effect, price_frame, price_history
from clvkit.publish import style

if TYPE_CHECKING:
    from clvkit.cohorts import CohortTriangles
    from clvkit.fit import Fit
    from clvkit.ledger import Ledger


def channels(ledger: "Ledger", section: MigrationSection) -> list[Table | Sentence]:
    """The migration table, and what changed with those who moved; a sentence where there is nothing to compare."""
    if section.channel is None:
        return [
            Sentence("The study names no channels, so nothing is said of customers who moved between them.")
        ]
    found = migration(channel_days(ledger.rows, section.channel, ledger.as_of), section, ledger.as_of)
    if found is None:
        return [Sentence("All purchases were made in one channel, or on one side of the date compared.")]
    return [matrix(found, ledger), *shifts(found, section)]


def matrix(found: Migration, ledger: "Ledger") -> Table:
    """Customers by their channel before and after the date."""
    unit, money = 10**ledger.minor_digits, numbers.money_header(ledger.currency)
    frame = found.matrix.assign(
        amount_before=found.matrix["amount_before"] / unit, amount_after=found.matrix["amount_after"] / unit
    )
    moved = frame[(frame["before"] != frame["after"]) & (frame["after"] != "no purchase") & (frame["before"] != "no purchase")]  # fmt: skip
    title = (
        f"{numbers.count(moved['customers'].sum())} customers bought mostly in another channel than before"
    )
    return Table(
        "channel_migration",
        frame,
        title,
        f"Customers who first bought before {numbers.date_words(found.split)}, by the channel of most of their purchases in "
        f"the {found.days} days before it and the {found.days} days from it on; amounts, {money}.",
        formats={"customers": "count", "share": "percent", "purchases_before": "count", "purchases_after": "count",
                 "amount_before": "money", "amount_after": "money"},
        labels={"before": "Before", "after": "After", "customers": "Customers", "share": "Of those before",
                "purchases_before": "Purchases before", "purchases_after": "after", "amount_before": f"Amount before, {money}",
                "amount_after": "after"},
        note="A customer is one customer in every channel: moving changes nobody's value by itself. Where fits by segment decide "
        "the value (`models.segments: value`), the segment of a customer's first purchase does: one who is first seen in another "
        "channel may then be worth more or less.",
    )  # fmt: skip


def shifts(found: Migration, section: MigrationSection) -> list[Table]:
    """How purchases and amounts of those who moved changed, over the change of those who stayed."""
    if found.shifts.empty:
        return []
    frame = found.shifts
    first = frame.loc[frame["customers"].idxmax()]
    known = first["frequency_low"] > 1 or first["frequency_high"] < 1
    word = "more" if first["frequency"] > 1 else "less"
    title = (
        f"Who moved from {first['before']} to {first['after']} bought {numbers.percent(abs(first['frequency'] - 1), 0)} {word} "
        "often than those who stayed"
        if known
        else f"Who moved from {first['before']} to {first['after']} bought neither more nor less often, as far as can be told"
    )
    names = {"frequency": "Purchases, times", "amount": "Amount per purchase, times"}
    labels = {"before": "From", "after": "To", "customers": "Customers"}
    for name, words in names.items():
        labels |= {name: words, f"{name}_low": "from", f"{name}_high": "to"}
    return [Table(
        "channel_shifts",
        frame,
        title,
        "Change of those who moved over the change of those who stayed in the channel left, of customers who bought in both "
        f"periods; interval of {numbers.percent(section.interval, 0)}.",
        formats={"customers": "count", **{column: "number:2" for column in frame.columns[3:]}},
        labels=labels,
        note="Whoever moves chooses to: a shift is no proof that the channel caused it.",
    )]  # fmt: skip


def promotions(ledger: "Ledger", section: PromotionsSection) -> list[Table | Sentence]:
    """What each promotion of the study added and pulled forward; a sentence where it names none."""
    if not section.windows:
        return [Sentence("The study names no promotions, so purchases are not split into usual and additional ones.")]  # fmt: skip
    found, lost = [], []
    for name in section.windows:
        try:
            found.append(effect(ledger.purchases, name, section, ledger.as_of))
        except DataError as error:
            lost.append(Sentence(f"Nothing can be said of {name}: {error.message}."))
    return [*([effects(found, section)] if found else []), *lost]


def effects(found: list[Effect], section: PromotionsSection) -> Table:
    """Uplift and pull-forward of promotions, with intervals."""
    rows = []
    for one in found:
        row = {
            "name": one.name,
            "first": one.window.first,
            "last": one.window.last,
            "discount": one.window.discount,
        }
        for key in ("uplift", "uplift_share", "pulled", "pulled_share", "net"):
            row |= dict(zip((key, f"{key}_low", f"{key}_high"), getattr(one, key), strict=True))
        rows.append(row)
    frame = pd.DataFrame(rows)
    one = found[0]
    title = (
        f"{one.name}: {numbers.percent(one.pulled_share[0], 0)} of the purchases of the {section.after_days} days after it "
        f"were made in it already ({numbers.percent(max(one.pulled_share[1], 0), 0)} to {numbers.percent(one.pulled_share[2], 0)})"
        if one.pulled_share[1] > 0
        else f"{one.name}: no purchases were pulled forward, as far as can be told"
    )
    shares = [column for column in frame if "share" in column]
    counts = [
        column for column in frame if column.startswith(("uplift", "pulled", "net")) and column not in shares
    ]
    words = {"uplift": "Purchases added", "uplift_share": "Of usual", "pulled": "Pulled forward", "pulled_share": "Of usual after it",
             "net": "Added in all"}  # fmt: skip
    labels = {"name": "Promotion", "first": "First day", "last": "Last day", "discount": "Discount"}
    for key, text in words.items():
        labels |= {key: text, f"{key}_low": "from", f"{key}_high": "to"}
    return Table(
        "promotion_effects",
        frame,
        title,
        "Repeat purchases of those who were customers before each promotion, against what the days before and long after it "
        f"say is usual; interval of {numbers.percent(section.interval, 0)}.",
        formats={"first": "date", "last": "date", "discount": "percent:0", **dict.fromkeys(shares, "percent:0"),
                 **dict.fromkeys(counts, "count")},
        labels=labels,
        note="Purchases brought by customers who were won in the promotion are not in it. A dip after a promotion is taken for "
        "purchases pulled forward; anything else that kept customers away then would look the same.",
    )  # fmt: skip


def prices(ledger: "Ledger", section: PromotionsSection) -> list[Figure | Sentence]:
    """The history as it was and at today's prices; a sentence where the study has no prices."""
    if not section.prices:
        return [Sentence("The study names no price changes, so amounts are those of their days.")]
    frame = price_history(ledger.rows, price_frame(section.prices), ledger.as_of)
    unit = 10**ledger.minor_digits
    frame = pd.DataFrame({"month": pd.to_datetime(frame["month"]), "raw": frame["raw_minor"] / unit,
                          "normalised": frame["normal_minor"] / unit})  # fmt: skip
    with style.canvas() as (drawing, axes):
        axes.plot(frame["month"], frame["raw"], **style.PREVIOUS)
        axes.plot(frame["month"], frame["normalised"], **style.HISTORY)
        last = frame["month"].iloc[len(frame) // 3]
        at = frame.iloc[len(frame) // 3]
        style.label(axes, last, at["raw"], "as it was", color=style.MUTED, dy=-10)
        style.label(axes, last, at["normalised"], "at today's prices", dy=10)
        axes.set_ylim(bottom=0)
        style.thousands_axis(axes.yaxis)
    change = frame["normalised"].sum() / frame["raw"].sum() - 1 if frame["raw"].sum() else np.nan
    more = "more" if change >= 0 else "less"
    return [Figure(
        "price_history",
        drawing,
        f"At today's prices, the same purchases would have brought {numbers.percent(abs(change))} {more}",
        f"Revenue by month, {numbers.money_header(ledger.currency)}, as it was and at the list prices of "
        f"{numbers.date_words(ledger.as_of)}.",
        alt=f"Two lines of monthly revenue; at today's prices the total is {numbers.percent(abs(change))} {more}.",
        frame=frame,
        worry="The spend of customers who bought before a price change is forecast at the prices they paid. The purchases "
        "themselves are taken as they were: what they would have been at other prices is another question.",
    )]  # fmt: skip


def maturity(cohorts: "CohortTriangles", horizon_days: float, fit: "Fit | None" = None) -> Table:
    """What part of each cohort's life has been seen: mean days since acquisition, of ``horizon_days`` and of purchases.

    ``fit`` adds the share of the repeat purchases expected within the horizon of a new customer that belong to the days
    seen: E[X(t)] / E[X(horizon)].
    """
    sizes = cohorts.sizes
    middle = (
        pd.to_datetime(sizes["first_day"])
        + (pd.to_datetime(sizes["last_day"]) - pd.to_datetime(sizes["first_day"])) / 2
    )
    seen = (pd.Timestamp(cohorts.as_of) - middle).dt.days.to_numpy(float)
    frame = pd.DataFrame({"label": sizes["label"], "customers": sizes["customers"], "days": seen,
                          "of_horizon": np.minimum(seen / horizon_days, 1)})  # fmt: skip
    if fit is not None:
        times = np.minimum(np.append(seen, horizon_days), horizon_days) / fit.unit_days
        expected = fit.model.mean(fit.mle, times)
        frame["of_purchases"] = expected[:-1] / expected[-1]
    young = frame.loc[frame["of_horizon"] < 0.5, "customers"].sum() / max(frame["customers"].sum(), 1)
    labels = {
        "label": "Cohort",
        "customers": "Customers",
        "days": "Days seen",
        "of_horizon": "Of the horizon",
    }
    formats = {"customers": "count", "days": "count", "of_horizon": "percent:0"}
    if fit is not None:
        labels["of_purchases"], formats["of_purchases"] = (
            "Of the repeat purchases expected in it",
            "percent:0",
        )
    return Table(
        "cohort_maturity",
        frame.tail(24).reset_index(drop=True),
        f"Of {numbers.percent(young, 0)} of the customers less than half of the horizon has been seen",
        f"Time from the middle of each cohort's first purchases to {numbers.date_words(cohorts.as_of)}, and its part of "
        f"{numbers.count(horizon_days)} days; the latest 24 cohorts.",
        formats=formats,
        labels=labels,
        note="Totals of young cohorts are small because most of their life is to come, and not because they are bad.",
    )  # fmt: skip
