"""The calendar of contracts: months from day to day, and how often a contract is billed."""

from typing import TYPE_CHECKING

import numpy as np

from clvkit.contracts_section import MONTHS, ContractsSection

if TYPE_CHECKING:
    import pandas as pd

#: What a billing period may be called, in months; beside these, a number of months or years.
NAMES: dict[str, int] = MONTHS | {
    "monthly": 1, "m": 1, "month to month": 1, "one month": 1, "quarterly": 3, "q": 3, "half yearly": 6, "semi annual": 6,
    "semiannual": 6, "yearly": 12, "annual": 12, "annually": 12, "y": 12, "one year": 12, "two year": 24, "two yearly": 24,
    "biennial": 24, "three year": 36, "three yearly": 36, "triennial": 36,
}  # fmt: skip
_NUMBER = r"^(?P<count>\d{1,3})(?:\.0+)? ?(?P<unit>m|months?|q|quarters?|y|years?)?$"
MOST_MONTHS = 120  # of a period; ten years are no billing period, but a slip of a unit


def read_months(text: "pd.Series") -> "pd.Series":
    """Billing periods in months, of texts such as ``month``, ``Annual``, ``two years`` or ``24``; NaN where unreadable."""
    import pandas as pd

    plain = text.astype("string").str.strip().str.lower().str.replace(r"[\s_-]+", " ", regex=True)
    known = {name.replace("_", " "): months for name, months in NAMES.items()}
    named = pd.to_numeric(plain.map(known), errors="coerce")
    found = plain.str.extract(_NUMBER)
    times = found["unit"].str[0].map({"m": 1, "q": 3, "y": 12}).fillna(1)
    counted = pd.to_numeric(found["count"], errors="coerce") * times
    months = named.fillna(counted).astype(float)
    return months.where(months.between(1, MOST_MONTHS))


def months_of(rows: "pd.DataFrame", section: ContractsSection) -> "pd.Series":
    """Months from one bill to the next of each contract: its own ``period``, else its plan's, else that of all.

    NaN where the contract names a period that cannot be read.
    """
    of_plan = rows["plan"].map({plan: MONTHS[period] for plan, period in section.periods.items()})
    general = of_plan.astype(float).fillna(float(MONTHS[section.period]))
    return read_months(rows["period"]).where(rows["period"].notna(), general)


def months_between(start: "pd.Series", end: "pd.Series") -> np.ndarray:
    """Whole months from ``start`` to ``end``: a month is over on the same day of the next one, or on its last.

    Two series of dates of one length; ``end`` may not lie before ``start``.
    """
    months = (end.dt.year - start.dt.year) * 12 + end.dt.month - start.dt.month
    early = end.dt.day < np.minimum(start.dt.day, end.dt.days_in_month)
    return (months - early).to_numpy(np.int64)


def anniversary(start: "pd.Series", months: np.ndarray) -> "pd.Series":
    """The same day so many ``months`` later, or the last of that month where it is shorter."""
    import pandas as pd

    first = (start.dt.to_period("M") + months).dt.to_timestamp()
    day = np.minimum(start.dt.day, first.dt.days_in_month)
    return first + pd.to_timedelta(day - 1, unit="D")


def periods_made(since: "pd.Series", after: "pd.Series", months: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Periods of ``months`` that are whole from ``since`` to ``after``, and those begun, the last one in full."""
    whole = months_between(since, after) // months
    return whole, whole + (after > anniversary(since, whole * months)).to_numpy()


def billed_words(months: int) -> str:
    """How a contract is billed, in words: ``monthly``, ``every 18 months``."""
    named = {
        1: "monthly",
        3: "quarterly",
        6: "half-yearly",
        12: "yearly",
        24: "every two years",
        36: "every three years",
    }
    return named.get(int(months), f"every {int(months)} months")
