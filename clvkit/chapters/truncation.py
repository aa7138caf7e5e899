"""Chapter 04: what a log that begins in the middle of the customers' lives means for their value."""

from typing import TYPE_CHECKING

from clvkit import numbers
from clvkit.exhibits import Sentence
from clvkit.valuation import BURN_IN, OLDER

if TYPE_CHECKING:
    from clvkit.valuation import Valuation

_HOW = {
    BURN_IN: (
        "were first seen in the burn-in of the log; old ones among them are taken for new, and they are valued with "
        "parameters that they did not help to fit"
    ),
    OLDER: "are older than the log, and are valued by what they did in it and by their age",
}


def value_of_first(valuation: "Valuation") -> list[Sentence]:
    """Customers and value of those first seen in a burn-in, or older than the log; nothing where nobody is."""
    if "left_truncation" not in valuation.groups:
        return []
    frame = valuation.groups["left_truncation"]
    return [
        Sentence(
            f"{numbers.count(one.customers)} of {numbers.count(valuation.customers)} customers {_HOW[one.group]}. "
            f"They hold {numbers.money(one.value, valuation.currency)} of the value ({numbers.percent(one.share)})."
        )
        for one in frame[frame["group"].isin(_HOW)].itertuples()
    ]
