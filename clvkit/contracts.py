"""Contracts: what is wrong with how they are written, and the relations of customers that they make up.

A *relation* is an unbroken time under contract of one customer: contracts that overlap or follow each other within
``win_back_days`` are one, whatever their plans; a later one is a win-back, a relation of its own. It has *ended* if its
last day lies before the as-of date; an end that is announced for later has not happened yet. Its *renewals* are the times
it could have been left and was not: with T paid periods, the last one begun and not finished counting in full, an ended
relation made T − 1; a running one as many as anniversaries of its first day have passed.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clvkit.contract_calendar import anniversary, months_between, months_of
from clvkit.contract_relations import about_of, relations
from clvkit.contract_trials import is_trial, trials
from clvkit.contracts_section import ContractsSection

if TYPE_CHECKING:
    import pandas as pd

#: Why a row is set aside, and what is said of it.
REASONS = {
    "no_customer": "belong to an account that no source knows",
    "ends_before_it_starts": "end before they start",
    "contradicts_itself": "have one number and different dates or plans",
    "two_statuses": "have one number and two statuses that contradict",
    "status_contradicts_end": "are called active though they have ended, or ended though they have no end",
    "unreadable_period": "are billed by a period that is neither month, quarter, half year, year, two or three years nor a number "
    "of months",
}
#: What a row says beside whose it is and when.
SAID = ("plan", "fee", "period", "currency", "status", "reason")
TABLES = ("rows", "relations", "histories", "trials", "set_aside")
__all__ = [
    "Contracts",
    "about_of",
    "anniversary",
    "contracts",
    "counted",
    "months_between",
    "relations",
    "typed",
]
#: What a status may be called, by what it says.
RUNNING = {"active", "running", "open", "paused"}
ENDED = {"ended", "cancelled", "canceled", "churned", "closed", "expired", "terminated"}


@dataclass(frozen=True)
class Contracts:
    """The contracts of a study as of a date.

    Attributes
    ----------
    rows : one row per contract in use that is no trial: ``customer, contract, start, end`` (its last day; NaT where it runs
        on), ``plan, fee, period_months`` (from bill to bill; the fee is that of such a period), ``currency, reason, paused``
        (as of now), and ``about_…``, what else the source says of it.
    relations : one row per relation: ``customer, relation`` (1 for the first), ``start, end`` (its last day; NaT: it runs),
        ``since`` (first day billed by its period of now; the start, unless that changed), ``announced`` (the last day of a
        running one, if it is known), ``due`` (of the next renewal; NaT where it ended), ``plan`` (the first one),
        ``last_plan, period_months, fee`` (of the last contracts together, for such a period; 0 where ``paused``),
        ``contracts, changes`` (of plan), ``switches`` (of the period), ``pauses`` (gaps bridged), ``overlaps`` (contracts
        that began beside another), ``reason`` (of the end), ``renewals`` (since ``since``), ``decided`` (with those that a
        period of notice makes sure), ``entry`` (renewals made before ends were recorded), ``ended``, and ``about_…``, what
        is said of the first contract.
    histories : what models are fitted to, one row per stretch of a relation that is billed alike: ``customer, relation,
        stretch, since, plan, period_months, renewals, ended, entry, about_…``; see `clvkit.contract_relations`.
    trials : one row per trial; see `clvkit.contract_trials.trials`.
    set_aside : ``contract, reason`` of rows that cannot be used.
    later, repeated : rows of contracts that begin after the as-of date, and that say the same as another.
    on_anniversary : share of ends that fall on an anniversary of the start.
    """

    rows: "pd.DataFrame"
    relations: "pd.DataFrame"
    histories: "pd.DataFrame"
    trials: "pd.DataFrame"
    set_aside: "pd.DataFrame"
    later: int
    repeated: int
    on_anniversary: float

    def save(self, folder: Path) -> None:
        """Write the tables as Parquet."""
        import pandas as pd

        folder.mkdir(parents=True, exist_ok=True)
        for name in TABLES:
            getattr(self, name).to_parquet(folder / f"{name}.parquet", index=False)
        counts = {name: [getattr(self, name)] for name in ("later", "repeated", "on_anniversary")}
        pd.DataFrame(counts).to_parquet(folder / "counts.parquet", index=False)

    @classmethod
    def load(cls, folder: Path) -> "Contracts":
        """Read what `save` wrote."""
        import pandas as pd

        frames = (pd.read_parquet(folder / f"{name}.parquet") for name in TABLES)
        counts = pd.read_parquet(folder / "counts.parquet").iloc[0]
        return cls(*frames, int(counts["later"]), int(counts["repeated"]), float(counts["on_anniversary"]))

    @property
    def periods(self) -> tuple[int, ...]:
        """The billing periods that relations have or had, in months, ascending."""
        return tuple(sorted({int(months) for months in self.histories["period_months"].unique()}))

    def cells(self, by: str | None = None, period_months: int | None = None) -> "pd.DataFrame":
        """Histories that are alike, counted: ``renewals, ended, entry, n``, and ``segment``, the column ``by``.

        Those that ended before ends were recorded have no place in them. ``period_months`` takes those billed so alone.
        """
        frame = self.histories[self.histories["renewals"] >= self.histories["entry"]]
        if period_months is not None:
            frame = frame[frame["period_months"] == period_months]
        if by is None:
            return counted(frame)
        return counted(frame.assign(segment=frame[by].fillna("not named").astype(str)), "segment")


def counted(relations: "pd.DataFrame", *keys: str) -> "pd.DataFrame":
    """Relations that are alike, with their number: ``renewals, ended, entry, n``, and ``keys`` in front."""
    by = [*keys, "renewals", "ended", "entry"]
    return relations.groupby(by, as_index=False).size().rename(columns={"size": "n"})


def contracts(table: "pd.DataFrame", section: ContractsSection, as_of: date) -> Contracts:
    """Judge the rows of a contracts table, and put together the relations of each customer.

    Parameters
    ----------
    table : ``customer``, as the ledger calls them, ``start``, and ``contract, end, plan, fee, period, currency, status,
        reason``, null where the source does not have them.
    as_of : the last day that counts.
    """
    import pandas as pd

    frame = typed(table, section)
    today = pd.Timestamp(as_of)
    on_anniversary = _on_anniversary(frame, section)
    repeated = frame.duplicated(["customer", "contract", "start", "end", *SAID])
    frame = frame[~repeated]
    reason = _wrong(frame, today)
    set_aside = frame.assign(reason=reason).loc[reason != "", ["contract", "reason"]]
    good = frame[reason == ""]
    begun = good["start"] <= today
    rows = good[begun].sort_values(["customer", "start", "contract"], ignore_index=True)
    rows["period_months"] = rows["period_months"].astype("int64")
    on_trial = is_trial(rows, section)
    columns = [
        "customer",
        "contract",
        "start",
        "end",
        "plan",
        "fee",
        "period_months",
        "currency",
        "reason",
        *about_of(rows),
    ]
    paying = rows[~on_trial].reset_index(drop=True)
    paying["paused"] = paying["status"].eq("paused")
    made, histories = relations(paying, section, today)
    return Contracts(
        paying[[*columns, "paused"]],
        made,
        histories,
        trials(rows[on_trial], paying, section, today),
        set_aside.reset_index(drop=True),
        int((~begun).sum()),
        int(repeated.sum()),
        on_anniversary,
    )


def typed(table: "pd.DataFrame", section: ContractsSection) -> "pd.DataFrame":
    """The rows with every column there is to be, dates as such, the end as the last day, and ``period_months``."""
    import pandas as pd

    frame = table.reset_index(drop=True).copy()
    for column in ("contract", "end", *SAID):
        if column not in frame:
            frame[column] = None
    frame["start"], frame["end"] = pd.to_datetime(frame["start"]), pd.to_datetime(frame["end"])
    if section.end_is == "first_day_after":
        frame["end"] -= pd.Timedelta(days=1)
    frame["fee"] = frame["fee"].astype(float)
    frame["status"] = frame["status"].astype("string").str.strip().str.lower().fillna("")
    unnamed = frame["contract"].isna()
    frame.loc[unnamed, "contract"] = "row " + frame.index[unnamed].astype(str)
    frame["period_months"] = months_of(frame, section)
    return frame


def _wrong(frame: "pd.DataFrame", today: "pd.Timestamp") -> "pd.Series":
    """Why each row is set aside; empty where it is not."""
    import pandas as pd

    status = frame["status"]
    over = frame["end"] < today
    odd = (status.isin(list(RUNNING)) & over) | (status.isin(list(ENDED)) & frame["end"].isna())
    twice = frame["contract"].duplicated(keep=False)
    # rows of one number that differ in nothing but what they are called
    rest = [
        name for name in ("contract", "customer", "start", "end", "plan", "fee", "currency") if name in frame
    ]
    alike = frame.duplicated(rest, keep=False)
    broken = [
        frame["customer"].isna(),
        frame["end"] < frame["start"],
        twice & ~alike,
        twice,
        odd,
        frame["period_months"].isna(),
    ]
    return pd.Series(np.select(broken, list(REASONS), ""), index=frame.index)


def _on_anniversary(frame: "pd.DataFrame", section: ContractsSection) -> float:
    """Share of ends, as they are written, on the day of the month of the start (or on the last, where it is shorter)."""
    import pandas as pd

    ended = frame[frame["end"].notna()]
    if ended.empty:
        return 0.0
    written = ended["end"] + pd.Timedelta(days=int(section.end_is == "first_day_after"))
    day = np.minimum(ended["start"].dt.day, written.dt.days_in_month)
    return float((written.dt.day == day).mean())
