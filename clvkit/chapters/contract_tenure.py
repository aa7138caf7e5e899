"""Chapter 04b: what a contract is worth by its age, how retention rises with it, and what one per cent more of it does."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit import numbers
from clvkit.chapters.drawing import label_ends
from clvkit.contract_calendar import billed_words
from clvkit.contract_rates import retention_rates
from clvkit.exhibits import Figure, Sentence
from clvkit.publish import style

if TYPE_CHECKING:
    from clvkit.chapters.contract_value import Found
    from clvkit.contract_value import ContractValue
    from clvkit.contracts import Contracts
    from clvkit.study import Study

FEWEST = 10  # rates are drawn where so many could be renewed


def exhibits(found: "Found | str", held: "Contracts | None", study: "Study") -> list[Sentence | Figure]:
    """Residual value by tenure, the elasticity to retention, and rates of retention, fitted beside observed."""
    if isinstance(found, str) or held is None:
        return []
    fits, value, _ = found
    shown: list[Sentence | Figure] = []
    if len(value.curve) > 1:
        shown.append(by_tenure(value, study))
    if value.elasticity is not None:
        shown.append(elasticity(value))
    rates = retention_rates(held, fits, study.value.interval, study.value.posterior_draws)
    rates = rates[rates["at_risk"] >= FEWEST]
    for months, part in rates.groupby("period_months"):
        if len(part) > 1:
            shown.append(fitted_rates(part, int(months)))
    return shown


def by_tenure(value: "ContractValue", study: "Study") -> Figure:
    """The residual value of a contract before its next renewal, by renewals made."""
    curve = value.curve
    main = curve.groupby("period_months").size().idxmax()
    own = curve[curve["period_months"] == main]
    with style.canvas(height=3.3) as (drawing, axes):
        ends = []
        for colour, (months, part) in zip(style.PALETTE, curve.groupby("period_months"), strict=False):
            axes.fill_between(
                part["renewals"], part["low"], part["high"], **style.BAND | {"facecolor": colour}
            )
            axes.plot(part["renewals"], part["value"], **style.FORECAST | {"color": colour})
            ends.append(
                (float(part["value"].iloc[-1]), billed_words(months), colour, int(part["renewals"].iloc[-1]))
            )
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, max(end[3] for end in ends))
        style.thousands_axis(axes.yaxis)
        axes.set_xlabel("Renewals made")
        axes.set_ylabel(f"Residual value, {study.currency}")
        label_ends(axes, [end[:3] for end in ends], max(end[3] for end in ends))
    first, last = own.iloc[0], own.iloc[-1]
    low, high = (numbers.money(one["value"], study.currency) for one in (first, last))
    rises = last["value"] > first["value"]
    return Figure(
        "contract_value_curve",
        drawing,
        f"Billed {billed_words(main)}, a contract is worth {low} before its first renewal and {high} after "
        f"{numbers.count(last['renewals'])}",
        f"Expected margin of the renewals within {numbers.number(study.value.horizon_months, 0)} months of the next one, discounted "
        f"to it, for the mean fee of a billing period ({study.currency}); bands {numbers.odds_words(study.value.interval)}.",
        alt=f"Curves of residual value by renewals made, one for each billing period; billed {billed_words(main)} "
        f"{'rising' if rises else 'going'} from {low} to {high}.",
        frame=curve,
        worry="The rise does not say that customers become more loyal: those who were going to leave have left. An average over "
        "all ages undervalues the old contracts and overvalues the new ones."
        if rises
        else None,
    )


def elasticity(value: "ContractValue") -> Sentence:
    """What one per cent more retention does to the value, and where that comes from."""
    one = value.elasticity
    ends = "" if one.low is None else f" ({numbers.interval_words(one.low, one.high, one.interval)})"
    return Sentence(
        f"If 1 % more contracts were kept at every renewal to come (a rate of 80 % would be 80.8 %), the value would grow by "
        f"**{numbers.number(one.value, 2)} %**{ends}. That is Σ k·f(k) / Σ f(k) over the discounted renewals f(k) to come, the k-th "
        "being raised k times; renewals that are sure by a period of notice are not raised. With one rate r of retention for all, "
        "a rate of discount d and no horizon it would be (1 + d)/(1 + d − r)."
    )


def fitted_rates(part: pd.DataFrame, months: int) -> Figure:
    """Rates of retention by number of renewal, observed with those at risk, and as the model has them."""
    last = part.iloc[-1]
    with style.canvas(height=3.5) as (drawing, axes):
        axes.vlines(part["renewal"], part["low"], part["high"], color=style.PREVIOUS["color"], linewidth=2)
        axes.plot(part["renewal"], part["observed"], "o", color=style.PALETTE[0], markersize=4)
        axes.fill_between(part["renewal"], part["fitted_low"], part["fitted_high"], **style.BAND)
        axes.plot(part["renewal"], part["fitted"], **style.FORECAST)
        ticks = part["renewal"].to_numpy()[
            np.unique(np.linspace(0, len(part) - 1, min(len(part), 8)).round().astype(int))
        ]
        at_risk = part.set_index("renewal")["at_risk"]
        axes.set_xticks(ticks, [f"{tick}\n{numbers.count(at_risk[tick])}" for tick in ticks])
        axes.set_ylim(max(0.0, float(part["low"].min()) - 0.05), 1.0)
        style.percent_axis(axes.yaxis)
        axes.set_xlabel("Number of the renewal; below: contracts that could be renewed")
        axes.set_ylabel("Renewed")
    inside = part["fitted"].between(part["low"], part["high"])
    return Figure(
        f"contract_rates_{months}",
        drawing,
        f"Billed {billed_words(months)}: {numbers.percent(part['observed'].iloc[0])} are renewed the first time, and "
        f"{numbers.percent(last['observed'])} at renewal {numbers.count(last['renewal'])}",
        f"Share renewed of the contracts that came to a renewal, to {FEWEST} of them: dots observed, with 90 % intervals (Wilson); "
        "dashed, the model that is used.",
        alt=f"Dots of observed rates of retention by renewal, and a dashed curve of the model, from "
        f"{numbers.percent(part['fitted'].iloc[0])} to {numbers.percent(last['fitted'])}.",
        frame=part,
        worry=None
        if inside.mean() >= 0.75
        else f"The model's rate lies within the interval of what was observed at {numbers.percent(inside.mean(), 0)} of renewals only.",
    )
