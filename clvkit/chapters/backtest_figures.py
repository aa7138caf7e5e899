"""Chapter 05, back-test: its figures. What happened is solid, what was forecast hatched or dashed."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit import numbers
from clvkit.backtest_results import Backtest, Backtests
from clvkit.chapters.drawing import label_ends
from clvkit.exhibits import Figure
from clvkit.publish import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


def by_class(backtests: Backtests) -> list[Figure]:
    """Purchases per customer by number of earlier repeat purchases: the conditional expectations."""
    b = backtests.latest
    if b is None:
        return []
    frame = b.tables["frequency_class"]
    ticks = [name.replace(" repeat", "\nrepeat") for name in frame["group"]]
    drawing = _pairs(frame, ticks, "Purchases per customer in the hold-out")
    drift = [
        f"{row.group}: {numbers.number(row.predicted_each, 2)} forecast, {numbers.number(row.actual_each, 2)} actual"
        for row in frame.itertuples()
    ]
    never = frame.iloc[0]
    title = f"{b.label} by class: {_too(never)} for customers with {never['group']}"
    return [Figure(
        "backtest_conditional",
        drawing,
        title,
        f"Mean repeat purchases per customer from {numbers.date_words(b.origin)} to {numbers.date_words(b.end)}, by "
        f"repeat purchases before it. {_reading(b)}",
        alt=f"Pairs of bars by class of customers. {'; '.join(drift)}.",
        frame=frame,
        worry="A forecast that is right in total and wrong in opposite directions by class: the shares of value between "
        "classes would then be wrong. Too little for those who never came back means that the process gives them up "
        "too early.",
    )]  # fmt: skip


def calibration(backtests: Backtests) -> list[Figure]:
    """Customers in order of their forecast, in tenths: what was forecast of each tenth, and what it did."""
    b = backtests.latest
    if b is None:
        return []
    frame, top = b.tables["calibration"], b.tables["calibration"].iloc[-1]
    share = _share(top["actual"], frame["actual"].sum())
    forecast = _share(top["predicted"], frame["predicted"].sum())
    label = "lowest\nforecast"
    ticks = (
        [label, *frame["group"].iloc[1:-1], "highest\nforecast"] if len(frame) > 2 else list(frame["group"])
    )
    return [Figure(
        "backtest_calibration",
        _pairs(frame, ticks, "Purchases per customer in the hold-out"),
        f"The highest tenth by forecast made {share} of the purchases; forecast: {forecast}",
        f"Mean repeat purchases per customer from {numbers.date_words(b.origin)} to {numbers.date_words(b.end)}; tenths "
        f"of customers in order of what {b.label} forecast of them, customers with equal forecasts together. "
        f"{_reading(b)}",
        alt="Pairs of bars for tenths of customers, lowest forecast first: "
        + "; ".join(f"{numbers.number(row.predicted_each, 2)} forecast, {numbers.number(row.actual_each, 2)} actual"
                    for row in frame.itertuples()) + ".",
        frame=frame,
        worry="Solid bars that do not rise from left to right: the forecast does not tell customers apart. Solid bars "
        "above the hatched ones on the left and below them on the right: it tells them apart too boldly.",
    )]  # fmt: skip


def tracking(backtests: Backtests) -> list[Figure]:
    """Repeat purchases added up week by week, before the origin and after it."""
    b = backtests.latest
    if b is None:
        return []
    frame = b.tables["tracking"]
    after, last = frame[frame["days"] >= 0], frame.iloc[-1]
    with style.canvas(height=3.4) as (drawing, axes):
        axes.plot(frame["day"], frame["actual"], **style.HISTORY)
        axes.plot(after["day"], after["predicted"], **style.FORECAST)
        if after["low"].notna().all():
            axes.fill_between(after["day"], after["low"], after["high"], **style.BAND)
        axes.axvline(pd.Timestamp(b.origin), color=style.MUTED, linewidth=0.7)
        axes.set_ylim(bottom=0)
        style.label(axes, pd.Timestamp(b.origin), 0, "forecast from here", color=style.MUTED, dy=8)
        axes.set_ylabel("Repeat purchases, added up")
        style.thousands_axis(axes.yaxis)
        _months(axes)
        ends = [(last["actual"], "actual", style.INK), (last["predicted"], "forecast", style.MUTED)]
        label_ends(axes, ends, last["day"])
    begun = after.iloc[0]["actual"]
    return [Figure(
        "backtest_tracking",
        drawing,
        _tracking_title(b, after),
        f"Repeat purchases of the {numbers.count(b.customers)} customers known on {numbers.date_words(b.origin)}, added "
        f"up by week. Solid: actual. Dashed: forecast by {b.label} from that day"
        + (f"; shaded: its range, {numbers.odds_words(b.predicted['transactions'].interval)} at each week."
           if after["low"].notna().all() else "."),
        alt=f"Line of repeat purchases up to {numbers.date_words(b.end)}: {numbers.count(begun)} before the origin, "
        f"{numbers.count(last['actual'] - begun)} after it, where the forecast line reaches "
        f"{numbers.count(last['predicted'] - begun)}.",
        frame=frame,
        worry="A gap that opens at one moment is an event the history did not hold; one that widens steadily from the "
        "first week means that the process misjudges how fast customers leave. Either is still at work in today's "
        "value.",
    )]  # fmt: skip


def _tracking_title(b: Backtest, after: pd.DataFrame) -> str:
    """From when on what happened left the range, and stayed outside it."""
    if after["low"].isna().any():
        gap = b.accuracy.bias
        if gap is None:
            return "The forecast rises, and nobody bought again"
        return f"At the end the forecast is {numbers.percent(abs(gap))} {'below' if gap < 0 else 'above'} what happened"
    outside = (after["actual"] < after["low"]) | (after["actual"] > after["high"])
    if not outside.iloc[-1]:
        return "At the end the purchases made lie inside the forecast's range"
    since = after.loc[outside[::-1].cumprod()[::-1].astype(bool), "day"].iloc[0]
    side = "above" if after["actual"].iloc[-1] > after["high"].iloc[-1] else "below"
    return f"Since {numbers.date_words(since)} purchases run {side} the forecast's range"


def _pairs(frame: pd.DataFrame, ticks: list[str], measure: str) -> "Drawing":
    """Hatched bars of the forecast with its range, and solid bars of what happened, side by side."""
    places, n = np.arange(len(frame)), frame["customers"].to_numpy(float)
    with style.canvas(height=3.3) as (drawing, axes):
        axes.bar(places - 0.2, frame["predicted_each"], 0.38, **style.FORECAST_BAR)
        axes.bar(places + 0.2, frame["actual_each"], 0.38, **style.HISTORY_BAR)
        tops = frame["predicted_each"].to_numpy()
        if frame["low"].notna().all():
            low, high = frame["low"] / n, frame["high"] / n
            axes.vlines(places - 0.2, low, high, color=style.INK, linewidth=0.9)
            tops = np.maximum(tops, high)
        for place, top, forecast, actual in zip(
            places, tops, frame["predicted_each"], frame["actual_each"], strict=True
        ):
            for at, height, value in ((place - 0.2, top, forecast), (place + 0.2, actual, actual)):
                text = numbers.number(value, 2 if value < 10 else 1)
                axes.annotate(
                    text, (at, height), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=7.5
                )
        axes.set_xticks(places, ticks)
        axes.set_ylabel(measure)
        axes.set_ylim(0, 1.12 * max(tops.max(), frame["actual_each"].max(), 1e-9))
    return drawing


def _months(axes) -> None:
    """Months as ticks of a time axis."""
    from matplotlib.dates import AutoDateLocator, DateFormatter

    axes.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=8))
    axes.xaxis.set_major_formatter(DateFormatter("%b %Y"))


def _reading(b: Backtest) -> str:
    interval = b.predicted["transactions"]
    lines = "" if interval.low is None else (
        f" Lines: the range the model gives, {numbers.odds_words(interval.interval)}.")  # fmt: skip
    return f"Hatched: forecast by {b.label}. Solid: actual.{lines}"


def _share(part: float, whole: float) -> str:
    return numbers.percent(part / whole, 0) if whole else "none"


def _too(row: pd.Series) -> str:
    if not row["actual"]:
        return "nothing was bought"
    gap = row["predicted"] / row["actual"] - 1
    return f"{numbers.percent(abs(gap), 0)} too {'low' if gap < 0 else 'high'}"
