"""What joining accounts changes of the value, by a quick fit to each way of counting."""

from typing import TYPE_CHECKING

import pandas as pd

from clvkit import numbers
from clvkit.exhibits import Sentence, Table

if TYPE_CHECKING:
    from clvkit.refits import MergingEffect
    from clvkit.workbench import Workbench


def merging(run: "Workbench") -> list[Table | Sentence]:
    """The effect of merging on customer equity; nothing where the study joins no accounts, or does not want it known."""
    effect = run.merging()
    return [] if effect is None else [table(effect, run.study.currency)]


def table(effect: "MergingEffect", currency: str) -> Table | Sentence:
    """Customers and value with accounts apart and joined."""
    apart, joined = effect.apart, effect.joined
    if apart is None:
        return Sentence(
            "With every account by itself, no process could be fitted: joining them is what makes a value."
        )
    frame = pd.DataFrame(
        [
            {
                "counted_as": words,
                "customers": one.customers,
                "alive": one.alive,
                "each": one.equity / one.customers,
                "equity": one.equity,
            }
            for words, one in (("every account by itself", apart), ("accounts joined", joined))
        ]
    )
    money, change = numbers.money_header(currency), joined.equity / apart.equity - 1
    more = "more" if change > 0 else "less"
    title = (
        f"Joining accounts makes customer equity {numbers.percent(abs(change))} {more}"
        if abs(change) >= 0.0005
        else "Joining accounts leaves customer equity as it is, to within 0.1 %"
    )
    per = joined.equity / joined.customers / (apart.equity / apart.customers) - 1
    return Table(
        "identity_value",
        frame,
        f"{title}, and the value of a customer {numbers.percent(abs(per))} {'more' if per > 0 else 'less'}",
        f"Customers, and what they are worth within the study's horizon, {money}, with accounts apart and joined: the "
        "headline process and the model of spend fitted anew to each at maximum likelihood, without calendar, segments, covariates or treatment of older customers.",
        formats={"customers": "count", "alive": "count", "each": "money:2", "equity": "money"},
        labels={"counted_as": "Counted as", "customers": "Customers", "alive": "Still alive",
                "each": f"Per customer, {money}", "equity": f"Customer equity, {money}"},
        note="Quick fits for comparison: the value that the report states comes from the joined accounts with its posterior, "
        "and with the study's rules of inclusion, which are left aside here.",
    )  # fmt: skip
