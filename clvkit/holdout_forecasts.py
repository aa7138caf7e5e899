"""What processes and simple rules forecast for each customer of a hold-out: the back-test's own fits, customer by customer."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

    from clvkit.backtest_results import Backtest

#: Posterior draws over which a customer's forecast is averaged; means of a forecast need far fewer than intervals.
DRAWS = 200


def of_rules(purchases: "ir.Table", tried: "Backtest", minor_per_unit: float) -> "pd.DataFrame":
    """``rule, label, customer, purchases, revenue`` of every simple rule of a back-test; revenue in major units."""
    import pandas as pd

    from clvkit.baselines import RULES, known_each

    rows = known_each(purchases, tried.origin, tried.end, tried.span.window_days).to_pyarrow().to_pandas()
    rows = rows.assign(n=1)
    made = []
    for name in tried.baselines:
        bought, money = RULES[name].forecast(rows, tried.span)
        made.append(pd.DataFrame({"rule": name, "label": RULES[name].label, "customer": rows["customer"],
                                  "purchases": bought, "revenue": money / minor_per_unit}))  # fmt: skip
    columns = ["rule", "label", "customer", "purchases", "revenue"]
    return pd.concat(made, ignore_index=True) if made else pd.DataFrame(columns=columns)


def of_process(summary: "pd.DataFrame", tried: "Backtest", minor_per_unit: float) -> "pd.DataFrame":
    """``purchases`` and ``revenue`` (major units) that a process expects of each row of ``summary`` (a customer at the origin)."""
    import pandas as pd

    from clvkit.forecast import cells_of
    from clvkit.value import Block, Future, Terms, pair

    cells, cell = cells_of(summary.assign(n=1), tried.fit, tried.spend)
    draws = pair(tried.fit, tried.spend, DRAWS)
    terms = Terms(1.0, 0.0, float(tried.horizon_days))
    bought, base, slope = (np.empty(len(cells)) for _ in range(3))
    ordered = np.lexsort((cells["T_days"], cells["frequency"]))
    for part in np.array_split(ordered, max(1, len(cells) * len(draws[0]) // 2_000_000)):
        # Expected spend is affine in a customer's own total, so two of them tell every one.
        one = cells.iloc[part].assign(n=1, spend_minor=0)
        block = Block.of(tried.fit, tried.spend, draws, one, minor_per_unit)
        more = Block.of(tried.fit, tried.spend, draws, one.assign(spend_minor=minor_per_unit), minor_per_unit)
        bought[part] = block.purchases(terms, Future()).mean(axis=0)
        base[part] = block.value(terms, Future()).mean(axis=0)
        slope[part] = more.value(terms, Future()).mean(axis=0) - base[part]
    spent = summary["spend_minor"].to_numpy(float) / minor_per_unit
    return pd.DataFrame(
        {"purchases": bought[cell], "revenue": base[cell] + slope[cell] * spent}, index=summary["customer"]
    )
