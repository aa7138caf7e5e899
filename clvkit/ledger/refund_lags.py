"""How late refunds come, and how much of what was sold is still to come back.

Sales of last week have had no time to be returned: the share returned so far is too low for them, and lags
seen so far are too short (right truncation). Each lag is therefore measured on the sales that are old
enough to show it, the development of a loss triangle by days (the chain ladder's incremental form; Mack 1993,
ASTIN Bulletin 23, and, for reporting lags, Kalbfleisch and Lawless 1989, JASA 84, 360-372):

    r(l) = refunds that came l days after their sale / sales at least l days old, both in money
    refund rate = sum of r(l) over l;   share arrived by age a = sum of r(l), l ≤ a, over the refund rate

It assumes that the refund rate of a lag does not change from month to month of sale.
"""

from dataclasses import dataclass
from datetime import date

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from clvkit.errors import DataError


@dataclass(frozen=True)
class LagCurve:
    """Refunds by days since the sale.

    Attributes
    ----------
    rate, low, high : share of sales, by money, that comes back within the longest lag, and its interval.
    seen : the share that has come back so by ``as_of``, not corrected: too low while sales are young.
    curve : ``lag_days, refunds, refund_minor, exposed_minor`` (sales at least so old), ``rate`` (r(l)) and
        ``arrived`` (share of a sale's refunds that has arrived at that age; NaN where nothing came back).
    sales : ``day, sale_minor, refund_minor`` (refunds so far of that day's sales, those after the longest lag with them).
    squares : sum of squared refunds by lag, in minor units squared: what intervals are made from.
    """

    as_of: date
    rate: float
    low: float
    high: float
    seen: float
    curve: pd.DataFrame
    sales: pd.DataFrame
    squares: np.ndarray


def lag_curve(
    net: ir.Table,
    as_of: date,
    *,
    amount: str = "amount_minor",
    max_lag_days: int = 366,
    interval: float = 0.9,
) -> LagCurve:
    """The lags of matched refunds, corrected for the time that young sales have not had yet.

    Parameters
    ----------
    net : lines as :func:`clvkit.ledger.refunds.net_lines` returns them; refunds stand on the day of their
        sale. Only rows without a reason and ``returned_in_full`` count.
    as_of : last day on which a refund can be known.
    amount : column with the money, in minor units of one currency.
    max_lag_days : longest lag that is looked at; no lag longer than the oldest sale's age can be.
    interval : probability of the interval around the rate.

    Raises
    ------
    DataError : there is no sale up to ``as_of``, or amounts are in several currencies.
    """
    limit = ibis.date(as_of)
    rows = net.filter(net.reason.isnull() | (net.reason == "returned_in_full"))
    rows = rows.filter((rows.booked_day <= limit) & rows[amount].notnull())
    rows = rows.filter(rows.loaded.isnull() | (rows.loaded <= limit))
    if amount == "amount_minor":
        _refuse_mixture(rows)
    sold = rows.filter(rows[amount] > 0)
    sales = _frame(sold.group_by("day").agg(sale_minor=sold[amount].sum().cast("int64")), "day")
    if sales.empty:
        raise DataError(
            f"there is no sale up to {as_of} to measure refunds on",
            place="as_of",
            fix="use a later as-of date, or leave the estimate of refunds out",
        )
    back = rows.filter((rows[amount] < 0) & (rows.day <= rows.booked_day))
    back = back.mutate(size=-back[amount], lag_days=back.booked_day.delta(back.day, unit="day"))
    square = back.size.cast("decimal(18, 0)") * back.size.cast("decimal(18, 0)")
    refunds = _frame(
        back.group_by("day", "lag_days").agg(
            refunds=back.count(), refund_minor=back["size"].sum().cast("int64"), squares=square.sum()
        ),
        "day",
        "lag_days",
    )
    return curve_of(sales, refunds, as_of, max_lag_days=max_lag_days, interval=interval)


def curve_of(
    sales: pd.DataFrame, refunds: pd.DataFrame, as_of: date, *, max_lag_days: int = 366, interval: float = 0.9
) -> LagCurve:
    """The same from grouped frames.

    Parameters
    ----------
    sales : ``day, sale_minor``.
    refunds : ``day`` (of the sale), ``lag_days, refunds, refund_minor, squares`` (sum of squared amounts); those after
        the longest lag are no part of the curve, and are among the refunds so far.
    """
    age = _ages(sales["day"], as_of)
    longest = int(min(age.max(), max_lag_days))
    exposed = _older_than(age, sales["sale_minor"], longest)
    timely = refunds[refunds["lag_days"] <= longest]
    lag = timely["lag_days"].to_numpy(np.int64)

    def by_lag(column: str) -> np.ndarray:
        return np.bincount(lag, timely[column].to_numpy(float), longest + 1)

    came, squares = by_lag("refund_minor"), by_lag("squares")
    rates = came / exposed
    rate = float(rates.sum())
    low, high = _between(rate, float((squares / exposed**2).sum()), interval)
    curve = pd.DataFrame(
        {
            "lag_days": np.arange(longest + 1),
            "refunds": by_lag("refunds").astype(np.int64),
            "refund_minor": came.astype(np.int64),
            "exposed_minor": exposed.astype(np.int64),
            "rate": rates,
            "arrived": np.cumsum(rates) / rate if rate else np.full(longest + 1, np.nan),
        }
    )
    so_far = refunds.groupby("day")["refund_minor"].sum()
    months = sales.assign(refund_minor=sales["day"].map(so_far).fillna(0).astype(np.int64))
    seen = float(came.sum() / months["sale_minor"].sum())
    return LagCurve(as_of, rate, low, high, seen, curve, months, squares)


def outstanding(curve: LagCurve, interval: float = 0.9) -> pd.DataFrame:
    """Refunds still expected for the sales made up to the as-of date, by month of sale.

    A sale of age a is expected to bring another sum of r(l), l > a, times its amount. The interval is for the
    refunds that will be seen: a gamma distribution with that mean and the variance of a compound Poisson sum
    (mean number × mean squared refund), of what is to come and of what r(l) was measured on.

    Returns
    -------
    ``month`` (first day; the last row, ``NaT``, is the total), ``sale_minor, refund_minor`` (so far),
    ``expected_minor, low_minor, high_minor`` (floats) and ``label``, always ``estimated``. Totals are computed
    as such: the ends of the total's interval are not sums of the months' ends.
    """
    age = _ages(curve.sales["day"], curve.as_of)
    exposed = curve.curve["exposed_minor"].to_numpy(float)
    month = pd.to_datetime(curve.sales["day"]).dt.to_period("M").dt.to_timestamp()
    rows = []
    for key in [*sorted(month.unique()), pd.NaT]:
        here = np.ones(len(age), bool) if key is pd.NaT else (month == key).to_numpy()
        sold, back = curve.sales.loc[here, "sale_minor"], curve.sales.loc[here, "refund_minor"]
        older = _older_than(age[here], sold, len(exposed) - 1)
        younger = float(sold.sum()) - older  # sales that have still to reach that lag
        expected = float((younger * curve.curve["rate"]).sum())
        to_come = float((younger * curve.squares / exposed).sum())
        measured = float((younger**2 * curve.squares / exposed**2).sum())
        low, high = _between(expected, to_come + measured, interval)
        rows.append((key, int(sold.sum()), int(back.sum()), expected, low, high, "estimated"))
    names = ["month", "sale_minor", "refund_minor", "expected_minor", "low_minor", "high_minor", "label"]
    return pd.DataFrame(rows, columns=names)


def _refuse_mixture(rows: ir.Table) -> None:
    found = sorted(rows.select("currency").distinct().to_pyarrow()["currency"].to_pylist())
    if len(found) > 1:
        raise DataError(
            f"refunds are measured in one currency; the lines have {', '.join(found)}",
            place="currency",
            fix="convert the lines first and name the column value_minor",
        )


def _frame(table: ir.Table, *order: str) -> pd.DataFrame:
    return table.order_by(*order).to_pyarrow().to_pandas()


def _ages(days: pd.Series, as_of: date) -> np.ndarray:
    return (pd.Timestamp(as_of) - pd.to_datetime(days)).dt.days.to_numpy()


def _older_than(age: np.ndarray, sold: pd.Series, longest: int) -> np.ndarray:
    """Sales at least ``l`` days old, for l from 0 to ``longest``, in minor units."""
    at = np.bincount(np.minimum(age, longest), sold.to_numpy(float), longest + 1)
    return np.cumsum(at[::-1])[::-1]


def _between(mean: float, variance: float, interval: float) -> tuple[float, float]:
    """Equal-tailed ends of a gamma distribution with this mean and variance; the mean itself without any."""
    from scipy.stats import gamma

    if mean <= 0 or variance <= 0:
        return mean, mean
    tail = (1 - interval) / 2
    low, high = gamma.ppf([tail, 1 - tail], mean**2 / variance, scale=variance / mean)
    return float(low), float(high)
