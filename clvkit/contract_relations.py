"""The relations that contracts make up, and the histories of renewals that models are fitted to.

A relation may change its billing period, as from a monthly plan to an annual one. Each time between such changes is a
*stretch* with renewals of its own period, counted from its first day. An earlier stretch says that nobody left while it
lasted, and the change itself is no end; relations billed alike are fitted together, and those billed otherwise apart.
Where several periods run side by side the longest decides, since nobody can leave before it is over.
"""

from typing import TYPE_CHECKING

import numpy as np

from clvkit.contract_calendar import anniversary, months_between, periods_made
from clvkit.contracts_section import ContractsSection

if TYPE_CHECKING:
    import pandas as pd

RELATION = ["customer", "relation", "start", "since", "end", "announced", "due", "plan", "last_plan", "period_months", "fee",
            "paused", "contracts", "changes", "switches", "pauses", "overlaps", "reason", "renewals", "decided", "entry",
            "ended"]  # fmt: skip
HISTORY = ["customer", "relation", "stretch", "since", "plan", "period_months", "renewals", "ended", "entry"]
_DAY = np.timedelta64(1, "D")


def about_of(frame: "pd.DataFrame") -> list[str]:
    """The columns that hold what a source says of contracts beside their fields."""
    return [name for name in frame if name.startswith("about_")]


def relations(
    rows: "pd.DataFrame", section: ContractsSection, today: "pd.Timestamp"
) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Relations and histories; see `clvkit.contracts.Contracts`. ``rows`` are sorted by customer and start."""
    import pandas as pd

    about = about_of(rows)
    if rows.empty:
        return _nobody([*RELATION, *about]), _nobody([*HISTORY, *about])
    frame, forever = _spells(rows, section, today)
    keys = ["customer", "relation"]
    grouped = frame.groupby(keys, sort=True)
    out = grouped.agg(
        start=("start", "min"), until=("until", "max"), plan=("plan", "first"), contracts=("contract", "size"),
        changes=("moved", "sum"), pauses=("paused_before", "sum"), overlaps=("overlapping", "sum"),
    ).reset_index()  # fmt: skip
    if about:  # what was known when the relation began
        out = out.merge(frame.drop_duplicates(keys)[[*keys, *about]], on=keys)
    open_end = out["until"] == forever
    out["ended"] = out["until"] < today
    out["end"] = out["until"].where(out["ended"])
    out["announced"] = out["until"].where(~out["ended"] & ~open_end)
    stretches = _stretches(frame, out, today)
    made = stretches.merge(out[[*keys, "ended", "end", "announced", *about]], on=keys)
    histories = _histories(made, section, today)
    last = histories.drop_duplicates(keys, keep="last").reset_index(
        drop=True
    )  # one row a relation, in its order
    out["since"], out["period_months"] = last["since"], last["period_months"]
    out["switches"], out["decided"], out["entry"] = last["stretch"] - 1, last["renewals"], last["entry"]
    after = (out["end"] + pd.Timedelta(days=1)).fillna(today)
    whole, begun = periods_made(out["since"], after, out["period_months"].to_numpy())
    out["renewals"] = np.where(out["ended"], begun - 1, whole)
    out = out.merge(_at_the_end(frame, out, grouped["until"].transform("max")), on=keys)
    following = anniversary(out["since"], (out["renewals"].to_numpy() + 1) * out["period_months"].to_numpy())
    out["due"] = out.pop("term").fillna(following).where(~out["ended"])
    return out[[*RELATION, *about]], histories[[*HISTORY, *about]]


def _nobody(columns: list[str]) -> "pd.DataFrame":
    """An empty table whose columns have their types."""
    import pandas as pd

    days, flags = {"start", "since", "end", "announced", "due"}, {"ended", "paused"}
    numbers = {"relation", "stretch", "period_months", "contracts", "changes", "switches", "pauses", "overlaps", "renewals",
               "decided", "entry"}  # fmt: skip
    kinds = (
        dict.fromkeys(days, "datetime64[ns]")
        | dict.fromkeys(flags, "bool")
        | dict.fromkeys(numbers, "int64")
        | {"fee": "float64"}
    )
    return pd.DataFrame({name: pd.Series(dtype=kinds.get(name, "object")) for name in columns})


def _spells(
    rows: "pd.DataFrame", section: ContractsSection, today: "pd.Timestamp"
) -> "tuple[pd.DataFrame, pd.Timestamp]":
    """Each contract with its relation, its last day (far in the future where it runs on), and how it follows the one before."""
    import pandas as pd

    forever = pd.Timestamp.max.normalize() - pd.Timedelta(days=20_000)
    until, term = rows["end"].fillna(forever), pd.Series(pd.NaT, index=rows.index, dtype=rows["end"].dtype)
    if section.future_end == "renewal_due":
        written = rows["end"] >= today
        term = (rows["end"] + pd.Timedelta(days=1)).where(written)
        until = until.where(~written, forever)
    reach = until.groupby(rows["customer"]).cummax()
    before = reach.groupby(rows["customer"]).shift()
    gap = (rows["start"] - before).dt.days - 1
    new = before.isna() | (gap > section.win_back_days)
    frame = rows.assign(until=until, term=term, relation=new.groupby(rows["customer"]).cumsum())
    frame["paused_before"], frame["overlapping"] = ~new & (gap > 0), ~new & (gap < 0)
    keys = [frame["customer"], frame["relation"]]
    known = frame["plan"].groupby(keys).ffill().groupby(keys).shift()
    frame["moved"] = frame["plan"].notna() & known.notna() & frame["plan"].ne(known)
    return frame, forever


def _stretches(frame: "pd.DataFrame", out: "pd.DataFrame", today: "pd.Timestamp") -> "pd.DataFrame":
    """``customer, relation, stretch, since, upto, plan, period_months``: ``upto`` is the first day of the next stretch."""
    import pandas as pd

    keys = ["customer", "relation"]
    several = frame.groupby(keys)["period_months"].transform("nunique") > 1
    first = frame.drop_duplicates(keys)
    plain = first[~several.loc[first.index]]
    parts = [
        plain[keys].assign(since=plain["start"], plan=plain["plan"], period_months=plain["period_months"])
    ]
    for key, part in frame[several].groupby(keys, sort=True):
        parts.append(pd.DataFrame(_of_one(part, today)).assign(customer=key[0], relation=key[1]))
    made = pd.concat(parts, ignore_index=True).sort_values([*keys, "since"], ignore_index=True)
    made["stretch"] = made.groupby(keys).cumcount() + 1
    made["upto"] = made.groupby(keys)["since"].shift(-1)
    made["period_months"] = made["period_months"].astype("int64")
    return made


def _of_one(part: "pd.DataFrame", today: "pd.Timestamp") -> list[dict]:
    """The stretches of one relation that is billed by several periods: at any time, the longest that runs."""
    start, until = part["start"].to_numpy(), part["until"].to_numpy()
    months, plans = part["period_months"].to_numpy(), part["plan"].to_numpy()
    end = min(until.max(), np.datetime64(today))
    days = np.unique(np.concatenate([start, until[until < end] + _DAY]))
    made: list[dict] = []
    for day in days[days <= end]:
        here = (start <= day) & (until >= day)
        if not here.any():
            continue
        longest = int(months[here].max())
        if not made or longest != made[-1]["period_months"]:
            made.append({"since": day, "plan": plans[here][-1], "period_months": longest})
    left = int(months[until == until.max()].max())
    if left != made[-1]["period_months"] and until.max() >= np.datetime64(
        today
    ):  # the longer one has been cancelled
        made.append(
            {"since": np.datetime64(today), "plan": plans[until == until.max()][-1], "period_months": left}
        )
    return made


def _histories(made: "pd.DataFrame", section: ContractsSection, today: "pd.Timestamp") -> "pd.DataFrame":
    """Renewals that are decided in each stretch, and whether the relation was left at the next.

    With a period of notice, what happens until it is over is known: an end would have been announced.
    """
    import pandas as pd

    last, one_day = made["upto"].isna(), pd.Timedelta(days=1)
    known = today + pd.Timedelta(days=section.notice_days)
    leaves = made["announced"].notna() & (made["announced"] + one_day <= known)
    after = made["end"].fillna(made["announced"].where(leaves)) + one_day
    after = made["upto"].where(~last, after.fillna(known))
    ended = last & (made["ended"] | leaves)
    months = made["period_months"].to_numpy()
    whole, begun = periods_made(made["since"], after, months)
    made = made.assign(renewals=np.where(ended, begun - 1, whole), ended=ended, entry=0)
    if section.observed_from is not None:
        seen = pd.Series(pd.Timestamp(section.observed_from), index=made.index)
        old = made["since"] < seen
        made.loc[old, "entry"] = months_between(made.loc[old, "since"], seen[old]) // months[old]
    return made


def _at_the_end(frame: "pd.DataFrame", out: "pd.DataFrame", reach: "pd.Series") -> "pd.DataFrame":
    """What holds at the end of each relation: plan, fee by its own period, whether it is paused, when its term is over."""
    keys = ["customer", "relation"]
    last = frame[frame["until"] == reach].merge(
        out[[*keys, "period_months"]], on=keys, suffixes=("", "_of_all")
    )
    last["fee"] = (last["fee"] * last["period_months_of_all"] / last["period_months"]).where(
        ~last["paused"], 0.0
    )
    return (
        last.groupby(keys)
        .agg(last_plan=("plan", "last"), fee=("fee", "sum"), paused=("paused", "all"), reason=("reason", "last"),
             term=("term", "max"))
        .reset_index()
    )  # fmt: skip
