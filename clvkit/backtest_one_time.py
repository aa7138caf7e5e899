"""How every forecast of a back-test did on customers who had bought once: most customers, and the hardest to tell apart.

A process may be right on the whole and wrong on these: one that cannot let them go forecasts too much of them and too little of
others. So they are a line of their own beside all customers.
"""

from typing import TYPE_CHECKING

import numpy as np

from clvkit.accuracy import accuracy
from clvkit.baselines import RULES, Span
from clvkit.histories import Spenders
from clvkit.value import pair

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.backtest_origin import Setting
    from clvkit.fit import Fit

#: Name of the table in `Backtest.tables`, and of the process in its column ``by``.
ONE_TIME, PROCESS = "one_time", "process"
MEASURES = ("mae", "rmse", "correlation", "rank_correlation", "wmape", "top_missed")


def one_time(
    fit: "Fit", spend: "Fit", rows: "pd.DataFrame", each: np.ndarray, span: Span, setting: "Setting"
) -> "pd.DataFrame":
    """Forecast and actual of customers without a repeat purchase at the origin, by the process and by each simple rule.

    Parameters
    ----------
    rows : of `clvkit.baselines.known_customers`; ``each`` (rows,) purchases of one customer that the process forecasts.

    Returns
    -------
    ``by`` (`PROCESS`, or the name of the rule), ``customers, actual, predicted`` (purchases), ``actual_value, value`` (revenue in major
    units) and `MEASURES`; no rows where everybody had bought again.
    """
    import pandas as pd

    once = (rows["frequency"] == 0).to_numpy()
    if not once.any():
        return pd.DataFrame(
            columns=["by", "customers", "actual", "predicted", "actual_value", "value", *MEASURES]
        )
    inside, money = rows[once], setting.minor_per_unit
    n, bought = inside["n"].to_numpy(float), inside["n_holdout"].to_numpy(float)
    _, amounts = pair(fit, spend, setting.section.posterior_draws)
    base, slope = Spenders.of(spend, inside, money).expected(amounts)
    amount = (base + slope * (inside["spend_minor"].to_numpy() / money)).mean(axis=0)
    made = {PROCESS: (each[once], float(n @ (each[once] * amount)))}
    for name in setting.section.baselines:
        purchases, revenue = RULES[name].forecast(rows, span)
        made[name] = purchases[once], float(n @ revenue[once] / money)
    actual = float(inside["holdout_minor"].sum() / money)
    lines = []
    for name, (purchases, value) in made.items():
        found = accuracy(bought, purchases, n)
        lines.append(
            {"by": name, "customers": found.customers, "actual": found.actual, "predicted": found.predicted, "actual_value": actual,
             "value": value} | {measure: getattr(found, measure) for measure in MEASURES}
        )  # fmt: skip
    return pd.DataFrame(lines).astype(dict.fromkeys(MEASURES, float))
