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

from clvkit.checks import Check
from clvkit.contracts_section import MONTHS, ContractsSection

if TYPE_CHECKING:
    import pandas as pd

#: Why a row is set aside, and what is said of it.
REASONS = {
    "no_customer": "belong to an account that no source knows",
    "ends_before_it_starts": "end before they start",
    "contradicts_itself": "have one number and different dates or plans",
    "status_contradicts_end": "are called active though they have ended, or ended though they have no end",
}
#: What a status may be called, by what it says.
RUNNING = {"active", "running", "open", "paused", "trial"}
ENDED = {"ended", "cancelled", "canceled", "churned", "closed", "expired", "terminated"}
_MANY = 0.5  # of ends on an anniversary of the start: then the date is the first day after, by the look of it


@dataclass(frozen=True)
class Contracts:
    """The contracts of a study as of a date.

    Attributes
    ----------
    rows : one row per contract in use: ``customer, contract, start, end`` (its last day; NaT where it runs on), ``plan, fee,
        currency, reason``, and ``about_…``, what else the source says of it.
    relations : one row per relation: ``customer, relation`` (1 for the first), ``start, end`` (its last day; NaT: it runs),
        ``announced`` (the last day of a running one, if it is known), ``plan`` (the first one), ``last_plan``, ``fee`` (of
        the last contracts together), ``contracts, changes`` (of plan), ``reason`` (of the end), ``renewals``, ``entry``
        (renewals made before ends were recorded), ``ended``, and ``about_…``, what is said of the first contract.
    set_aside : ``contract, reason`` of rows that cannot be used.
    later, repeated : rows of contracts that begin after the as-of date, and that say the same as another.
    on_anniversary : share of ends that fall on an anniversary of the start.
    """

    rows: "pd.DataFrame"
    relations: "pd.DataFrame"
    set_aside: "pd.DataFrame"
    later: int
    repeated: int
    on_anniversary: float

    def save(self, folder: Path) -> None:
        """Write the tables as Parquet."""
        import pandas as pd

        folder.mkdir(parents=True, exist_ok=True)
        for name in ("rows", "relations", "set_aside"):
            getattr(self, name).to_parquet(folder / f"{name}.parquet", index=False)
        counts = {name: [getattr(self, name)] for name in ("later", "repeated", "on_anniversary")}
        pd.DataFrame(counts).to_parquet(folder / "counts.parquet", index=False)

    @classmethod
    def load(cls, folder: Path) -> "Contracts":
        """Read what `save` wrote."""
        import pandas as pd

        frames = (pd.read_parquet(folder / f"{name}.parquet") for name in ("rows", "relations", "set_aside"))
        counts = pd.read_parquet(folder / "counts.parquet").iloc[0]
        return cls(*frames, int(counts["later"]), int(counts["repeated"]), float(counts["on_anniversary"]))

    def cells(self, by: str | None = None) -> "pd.DataFrame":
        """Relations that are alike, counted: ``renewals, ended, entry, n``, and ``segment``, the column ``by``.

        Relations that ended before ends were recorded have no place in them.
        """
        frame = self.relations[self.relations["renewals"] >= self.relations["entry"]]
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
    table : ``customer``, as the ledger calls them, ``start``, and ``contract, end, plan, fee, currency, status, reason``, null where the
        source does not have them.
    as_of : the last day that counts.
    """
    import pandas as pd

    frame = table.reset_index(drop=True).copy()
    for column in ("contract", "end", "plan", "fee", "currency", "status", "reason"):
        if column not in frame:
            frame[column] = None
    today = pd.Timestamp(as_of)
    frame["start"], frame["end"] = pd.to_datetime(frame["start"]), pd.to_datetime(frame["end"])
    on_anniversary = _on_anniversary(frame)
    if section.end_is == "first_day_after":
        frame["end"] -= pd.Timedelta(days=1)
    frame["fee"] = frame["fee"].astype(float)
    unnamed = frame["contract"].isna()
    frame.loc[unnamed, "contract"] = "row " + frame.index[unnamed].astype(str)
    said = ["customer", "contract", "start", "end", "plan", "fee", "currency", "status", "reason"]
    repeated = frame.duplicated(said)
    frame = frame[~repeated]
    reason = _wrong(frame, today)
    set_aside = frame.assign(reason=reason).loc[reason != "", ["contract", "reason"]]
    good = frame[reason == ""]
    begun = good["start"] <= today
    rows = (
        good[begun].drop(columns="status").sort_values(["customer", "start", "contract"], ignore_index=True)
    )
    return Contracts(
        rows[["customer", "contract", "start", "end", "plan", "fee", "currency", "reason", *about_of(rows)]],
        relations(rows, section, today),
        set_aside.reset_index(drop=True),
        int((~begun).sum()),
        int(repeated.sum()),
        on_anniversary,
    )


def about_of(frame: "pd.DataFrame") -> list[str]:
    """The columns that hold what a source says of contracts beside their fields."""
    return [name for name in frame if name.startswith("about_")]


def _wrong(frame: "pd.DataFrame", today: "pd.Timestamp") -> "pd.Series":
    """Why each row is set aside; empty where it is not."""
    import pandas as pd

    status = frame["status"].astype("string").str.strip().str.lower().fillna("")
    over = frame["end"] < today
    odd = (status.isin(list(RUNNING)) & over) | (status.isin(list(ENDED)) & frame["end"].isna())
    broken = [
        frame["customer"].isna(),
        frame["end"] < frame["start"],
        frame["contract"].duplicated(keep=False),
        odd,
    ]
    return pd.Series(np.select(broken, list(REASONS), ""), index=frame.index)


def _on_anniversary(frame: "pd.DataFrame") -> float:
    """Share of ends that are on the same day of the month as the start (or on the last, where it is shorter)."""
    ended = frame[frame["end"].notna()]
    if ended.empty:
        return 0.0
    day = np.minimum(ended["start"].dt.day, ended["end"].dt.days_in_month)
    return float((ended["end"].dt.day == day).mean())


def months_between(start: "pd.Series", end: "pd.Series") -> np.ndarray:
    """Whole months from ``start`` to ``end``: a month is over on the same day of the next one, or on its last.

    Two series of dates of one length; ``end`` may not lie before ``start``.
    """
    months = (end.dt.year - start.dt.year) * 12 + end.dt.month - start.dt.month
    early = end.dt.day < np.minimum(start.dt.day, end.dt.days_in_month)
    return (months - early).to_numpy(np.int64)


def relations(rows: "pd.DataFrame", section: ContractsSection, today: "pd.Timestamp") -> "pd.DataFrame":
    """The relations that contracts make up; see `Contracts`. ``rows`` are sorted by customer and start."""
    import pandas as pd

    columns = ["customer", "relation", "start", "end", "announced", "plan", "last_plan", "fee", "contracts", "changes",
               "reason", "renewals", "entry", "ended", *about_of(rows)]  # fmt: skip
    if rows.empty:
        return pd.DataFrame(columns=columns)
    forever = pd.Timestamp.max.normalize() - pd.Timedelta(days=20_000)
    until = rows["end"].fillna(forever)
    reach = until.groupby(rows["customer"]).cummax()
    before = reach.groupby(rows["customer"]).shift()
    new = before.isna() | ((rows["start"] - before).dt.days - 1 > section.win_back_days)
    frame = rows.assign(until=until, relation=new.groupby(rows["customer"]).cumsum())
    keys = ["customer", "relation"]
    grouped = frame.groupby(keys, sort=True)
    out = grouped.agg(start=("start", "min"), until=("until", "max"), plan=("plan", "first"), contracts=("contract", "size")).reset_index()  # fmt: skip
    moved = frame["plan"].ne(frame.groupby(keys)["plan"].shift()) & frame["plan"].notna()
    moved &= frame.groupby(keys)["plan"].ffill().groupby([frame[k] for k in keys]).shift().notna()
    out["changes"] = moved.groupby([frame[k] for k in keys]).sum().to_numpy(np.int64)
    # what holds at the end: the contracts that reach it
    last = frame[frame["until"] == grouped["until"].transform("max")]
    ending = last.groupby(keys).agg(last_plan=("plan", "last"), fee=("fee", "sum"), reason=("reason", "last"))
    out = out.merge(ending.reset_index(), on=keys)
    if about := about_of(rows):  # what was known when the relation began
        out = out.merge(frame.drop_duplicates(keys)[[*keys, *about]], on=keys)
    open_end = out["until"] == forever
    out["ended"] = out["until"] < today
    out["end"] = out["until"].where(out["ended"])
    out["announced"] = out["until"].where(~out["ended"] & ~open_end)
    months = MONTHS[section.period]
    after = (out["end"] + pd.Timedelta(days=1)).fillna(today)
    whole = months_between(out["start"], after) // months
    begun = whole + (after > anniversary(out["start"], whole * months))
    out["renewals"] = np.where(out["ended"], begun - 1, whole)
    out["entry"] = 0
    if section.observed_from is not None:
        seen = pd.Series(pd.Timestamp(section.observed_from), index=out.index)
        old = out["start"] < seen
        out.loc[old, "entry"] = months_between(out.loc[old, "start"], seen[old]) // months
    return out[columns]


def anniversary(start: "pd.Series", months: np.ndarray) -> "pd.Series":
    """The same day so many ``months`` later, or the last of that month where it is shorter."""
    import pandas as pd

    first = (start.dt.to_period("M") + months).dt.to_timestamp()
    day = np.minimum(start.dt.day, first.dt.days_in_month)
    return first + pd.to_timedelta(day - 1, unit="D")


def contract_checks(found: Contracts, section: ContractsSection, as_of: date) -> list[Check]:
    """What is wrong with the contracts, each in its own check; and what is known ahead of the as-of date."""
    from clvkit import numbers

    checks, chapter, total = [], "03_retention", len(found.rows) + len(found.set_aside)
    for reason, words in REASONS.items():
        bad = found.set_aside.loc[found.set_aside["reason"] == reason, "contract"]
        if len(bad):
            message = f"{numbers.count(len(bad))} of {numbers.count(total)} contracts {words} (such as {bad.iloc[0]}), and are set aside."
            checks.append(Check(f"contracts.{reason}", "Contracts agree with themselves", "review", message, value=len(bad),
                                threshold=0, unit="contracts", recommendation="Correct them in the source and run again.",
                                chapter=chapter))  # fmt: skip
    if not checks:
        message = f"All {numbers.count(total)} contracts can be used."
        checks.append(Check("contracts.rows", "Contracts agree with themselves", "pass", message, value=0, threshold=0,
                            unit="contracts", chapter=chapter))  # fmt: skip
    announced = int(found.relations["announced"].notna().sum())
    if announced:
        message = (
            f"{numbers.count(announced)} customers are under contract on {as_of} whose end is announced for a later day; they "
            "count as customers until then, and as not having left."
        )
        checks.append(Check("contracts.announced", "Ends that lie in the future", "info", message, value=announced,
                            unit="customers", severity="info", chapter=chapter))  # fmt: skip
    if section.end_is == "last_day" and found.on_anniversary > _MANY:
        message = (
            f"{numbers.percent(found.on_anniversary)} of ends fall on the day of the month on which the contract began, as the "
            "first day after a contract would; the study takes them for the last day."
        )
        checks.append(Check("contracts.end_is", "What the end of a contract is", "review", message,
                            value=found.on_anniversary, threshold=_MANY, unit="share",
                            recommendation="If the date is the first day without the contract, set contracts.end_is to "
                            "first_day_after: each relation is counted one renewal too long otherwise.",
                            chapter=chapter))  # fmt: skip
    return checks
