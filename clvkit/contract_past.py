"""What was known of contracts on an earlier day."""

from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from clvkit.contracts import Contracts, contracts
from clvkit.contracts_section import ContractsSection

if TYPE_CHECKING:
    import pandas as pd


def as_known(table: "pd.DataFrame", section: ContractsSection, day: date) -> Contracts:
    """The contracts of ``table`` (as `clvkit.contracts.contracts` takes it) as they were known on ``day``.

    An end that lies further ahead than the period of notice is not known yet, nor is why, nor what a contract was called
    later; that it was a trial is. Where contracts are written for a term, its end is.
    """
    import pandas as pd

    frame = table.copy()
    if section.future_end == "leaves" and "end" in frame:
        end = pd.to_datetime(frame["end"])
        last = end - pd.Timedelta(days=int(section.end_is == "first_day_after"))
        known = last <= pd.Timestamp(day) + pd.Timedelta(days=section.notice_days)
        frame["end"] = end.where(known)
    if "status" in frame:
        status = frame["status"].astype("string").str.strip().str.lower()
        frame["status"] = np.where(status.eq("trial").fillna(False), "trial", None)
    return contracts(frame, section, day)


def earlier_day(held: Contracts, as_of: date, origins: "tuple[date, ...]") -> date | None:
    """The day to try models from: the latest of ``origins``, else that after three quarters of the time that was watched."""
    if origins:
        return max(origins)
    if held.relations.empty:
        return None
    import pandas as pd

    first, today = held.relations["start"].min(), pd.Timestamp(as_of)
    return (today - (today - first) / 4).date()


def what_came(before: Contracts, after: Contracts) -> "pd.DataFrame":
    """Histories that were open in ``before``, with ``until`` and ``left``: renewals made, and whether left, in ``after``.

    Where the billing period changed in between, until then.
    """
    keys = ["customer", "since", "period_months"]
    running = before.relations.loc[~before.relations["ended"], ["customer", "relation"]]
    last = before.histories.drop_duplicates(["customer", "relation"], keep="last")
    ran = last.merge(running, on=["customer", "relation"])
    ran = ran[~ran["ended"]]
    later = after.histories[[*keys, "renewals", "ended"]]
    later = later.rename(columns={"renewals": "until", "ended": "left"})
    both = ran.merge(later, on=keys)
    return both[both["until"] >= both["renewals"]].reset_index(drop=True)
