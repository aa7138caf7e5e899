"""Drivers of customer equity: what each is, where its level comes from, and how it is moved.

A driver is moved from the as-of date on and not before: P(alive) and the posteriors stay as the data left them.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

from clvkit.value import Future, Terms


@dataclass(frozen=True)
class Driver:
    """One thing that customer equity depends on.

    Attributes
    ----------
    name, label : for results, and for readers.
    meaning : what is moved, and from when, in words.
    unit : of its level, where it has the same one everywhere; spend is in the study's currency.
    source : ``data`` (estimated from purchases) or ``study`` (stated, and not to be tested on the data).
    field : of `Future` (``data``: a multiplier) or `Terms` (``study``: a level).
    least, most : bounds of what it may be moved to, in terms of that field.
    """

    name: str
    label: str
    meaning: str
    unit: str
    source: Literal["data", "study"]
    field: str
    least: float
    most: float

    def base(self, terms: Terms) -> float:
        """What the field is in the study: the level of a term, 1 for a multiplier."""
        return getattr(terms if self.source == "study" else Future(), self.field)

    def moved(self, terms: Terms, factor: float) -> float:
        """The field after multiplying by ``factor``, kept within the driver's bounds."""
        return min(max(self.base(terms) * factor, self.least), self.most)

    def case(self, terms: Terms, value: float) -> tuple[Terms, Future]:
        """Terms and future with this driver at ``value``, all others as in the study."""
        if self.source == "study":
            return replace(terms, **{self.field: value}), Future()
        return terms, replace(Future(), **{self.field: value})


_TINY = 1e-6
DRIVERS: dict[str, Driver] = {
    driver.name: driver
    for driver in (
        Driver(
            "purchase_rate",
            "Purchase rate",
            "how often a living customer buys, from the as-of date on; the level is per year, at the as-of date",
            "purchases a year",
            "data",
            "rate",
            _TINY,
            1e3,
        ),
        Driver(
            "dropout_hazard",
            "Dropout hazard",
            "how readily a living customer leaves for good, from the as-of date on; the level is the share of its "
            "purchasing that leaving takes away within a year",
            "share lost in a year",
            "data",
            "hazard",
            _TINY,
            100.0,
        ),
        Driver(
            "spend",
            "Spend per purchase",
            "the amount of each purchase from the as-of date on; the level is the mean over expected purchases",
            "",
            "data",
            "spend",
            _TINY,
            1e3,
        ),
        Driver(
            "margin",
            "Margin",
            "contribution margin as a share of the amount, on every purchase after the as-of date",
            "share of amounts",
            "study",
            "margin",
            _TINY,
            1.0,
        ),
        Driver(
            "discount_rate",
            "Discount rate",
            "the effective rate a year that margin is discounted with to the as-of date",
            "a year",
            "study",
            "annual_discount_rate",
            0.0,
            1.0,
        ),
        Driver(
            "horizon",
            "Horizon",
            "how far ahead of the as-of date purchases count",
            "months",
            "study",
            "horizon_days",
            1.0,
            math.inf,
        ),
    )
}
