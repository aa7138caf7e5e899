"""The ledger beside the books: what accounting booked, what the ledger holds, and the months in which they differ."""

from typing import TYPE_CHECKING

import pandas as pd

from clvkit.chapters.ledger_words import count
from clvkit.exhibits import Sentence, Table
from clvkit.ledger.currencies import digits_of

if TYPE_CHECKING:
    from clvkit.ledger import Ledger

MOST_MONTHS = 24
_SAID = {
    "differs": "differs",
    "explained": "within what was set aside",
    "open": "not over on the as-of date",
    "not covered": "no rows in the sources",
}


def books(ledger: "Ledger") -> list[Table | Sentence]:
    """Totals of the months compared, and the months that do not agree; nothing where no books are compared."""
    found = ledger.frames.get("books")
    if found is None or found.empty:
        return []
    judged = found[found["status"].isin(("agrees", "explained", "differs"))]
    if judged.empty:
        return [Sentence("**Books**: no month that accounting booked is one that the sources cover.")]
    return [_totals(judged), *_months(found)]


def _totals(judged: pd.DataFrame) -> Table:
    """One line per comparison and currency."""
    grouped = judged.assign(apart=judged["status"] == "differs").groupby(["comparison", "currency"])
    sums = grouped.agg(
        months=("month", "nunique"),
        booked=("booked_minor", "sum"),
        ledger=("ledger_minor", "sum"),
        gap=("difference_minor", "sum"),
        apart=("apart", "sum"),
    ).reset_index()
    share = sums["gap"] / sums["booked"].abs().where(sums["booked"] != 0)
    apart = int(sums["apart"].sum())
    frame = _in_units(sums, ["booked", "ledger", "gap"]).assign(share=share)
    frame = frame[["comparison", "currency", "months", "booked", "ledger", "gap", "share", "apart"]]
    return Table(
        "ledger_books",
        frame,
        "Sales and refunds are what accounting booked"
        if not apart
        else f"In {count(apart, 'month')} the ledger holds something else than accounting booked",
        "Sums over the months that were over on the as-of date, by account of the general ledger and currency: what was booked, "
        "and what the rows of the sources add up to, those of guests included.",
        formats={"months": "count", "share": "percent", "apart": "count"} | _money(frame, "booked", "ledger", "gap"),
        labels={"comparison": "Compared", "currency": "Currency", "months": "Months", "booked": "Booked", "ledger": "In the ledger",
                "gap": "Difference", "share": "Of what is booked", "apart": "Months that differ"},
        note="Both sides go by the day on which a sale or a refund was booked. Months differ where rows that a rule or a policy "
        "set aside do not explain the difference.",
    )  # fmt: skip


def _months(found: pd.DataFrame) -> list[Table]:
    """The months that do not agree, those that no row explains first."""
    order = {status: place for place, status in enumerate(_SAID)}
    shown = found[found["status"].isin(("differs", "explained"))]
    if shown.empty:
        return []
    shown = shown.sort_values("status", key=lambda one: one.map(order), kind="stable")
    more = f" The first {MOST_MONTHS} of {len(shown)}." if len(shown) > MOST_MONTHS else ""
    shown = shown.head(MOST_MONTHS)
    sums = shown.rename(
        columns={"booked_minor": "booked", "ledger_minor": "ledger", "difference_minor": "gap"}
    )
    frame = _in_units(sums, ["booked", "ledger", "gap"])
    frame = frame.assign(
        month=[f"{month:%B %Y}" for month in frame["month"]], said=frame["status"].map(_SAID)
    )
    frame = frame[["comparison", "month", "currency", "booked", "ledger", "gap", "set_aside", "said"]]
    worst = shown.iloc[0]
    return [Table(
        "ledger_books_months",
        frame,
        f"{worst['comparison'].capitalize()} of {worst['month']:%B %Y} {'are' if worst['comparison'].endswith('s') else 'is'} "
        "not what accounting booked" if worst["status"] == "differs" else "What differs is within what was set aside",
        f"Months and currencies in which ledger and books differ.{more}",
        formats={"set_aside": "count"} | _money(frame, "booked", "ledger", "gap"),
        labels={"comparison": "Compared", "month": "Month", "currency": "Currency", "booked": "Booked", "ledger": "In the ledger",
                "gap": "Difference", "set_aside": "Rows set aside", "said": "The difference"},
        note="A row without a day or an amount is held against every month that its file covers.",
    )]  # fmt: skip


def _in_units(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    unit = frame["currency"].map(lambda code: 10 ** digits_of(code))
    return frame.assign(**{column: frame[column] / unit for column in columns})


def _money(frame: pd.DataFrame, *columns: str) -> dict[str, str]:
    digits = max(digits_of(code) for code in frame["currency"].unique())
    return {column: f"money:{digits}" for column in columns}
