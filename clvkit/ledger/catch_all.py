"""Accounts that look like many people: guests booked under one number, a house card that the till scans for everybody."""

from collections.abc import Mapping, Sequence

import ibis.expr.types as ir
import pandas as pd

from clvkit.checks import Check
from clvkit.ledger.lines import Reading
from clvkit.ledger.policies import CatchAllSection
from clvkit.ledger.section import LedgerSection
from clvkit.numbers import percent
from clvkit.rules import listed

MOST_FREQUENT = 20  # customers looked at
FEWEST_DAYS = 30  # below this, being far ahead of the next says little
#: Accounts that are nobody's name and may be shown.
NOBODY = frozenset(
    "0 00 000 0000 -1 999 9999 99999 999999 - x xx n/a na none null anonymous anonym unknown unbekannt guest guests gast "
    "gäste invité default dummy cash walk-in walkin".split()
)
COLUMNS = ("source", "shown", "rows", "row_share", "value_minor", "value_share", "days", "days_share", "next_days",
           "kind", "keys", "file", "row")  # fmt: skip


def catch_all_frame(
    lines: ir.Table,
    bought: ir.Table,
    texts: Mapping[str, tuple[Reading, ir.Table]],
    files: Sequence[str],
    section: CatchAllSection,
) -> pd.DataFrame:
    """Accounts that look like many people, the one with most rows first; of those who buy most often.

    Parameters
    ----------
    lines : with ``customer, source, account, ordinal, reason, value_minor``.
    bought : one row per customer and day.
    texts : the rows of each source of orders as read, with what decides how.
    files : their names, by number.

    Returns
    -------
    One row per account: ``source``; ``shown``, its name where that is nobody's, else empty; ``rows, value_minor`` and their
    shares of the source's; ``days`` with a purchase and their share of all such days; ``next_days``, of the next customer;
    ``kind, keys``: the kind of key it has most values of, and how many; ``file, row`` of its first row.
    """
    top = _most_frequent(bought)
    used = lines.filter(lines.reason.isnull() & lines.account.notnull())
    theirs = used.filter(used.customer.isin(list(top["customer"])))
    accounts = theirs.group_by("customer", "source", "account").agg(
        rows=theirs.count().cast("int64"), value_minor=theirs.value_minor.sum().fill_null(0).cast("int64"),
        days=theirs.day.nunique().cast("int64"),
    ).to_pyarrow().to_pandas()  # fmt: skip
    accounts = accounts.merge(_keys(accounts, texts), on=["source", "account"], how="left")
    accounts["keys"] = pd.to_numeric(accounts["keys"]).fillna(0).astype("int64")
    accounts["next_days"] = [_next_days(top, who) for who in accounts["customer"]]
    all_days = int(bought.day.nunique().execute())
    accounts["days_share"] = accounts["days"] / max(all_days, 1)
    ahead = accounts["days"] >= section.times_the_next * accounts["next_days"].clip(lower=1)
    ahead &= (accounts["days_share"] >= section.max_days_share) & (accounts["days"] >= FEWEST_DAYS)
    found = accounts[ahead | (accounts["keys"] > section.max_keys)]
    if found.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    whole = used.group_by("source").agg(
        all_rows=used.count().cast("int64"), all_minor=used.value_minor.sum().fill_null(0).cast("int64")
    ).to_pyarrow().to_pandas()  # fmt: skip
    found = found.merge(whole, on="source").assign(
        row_share=lambda one: one["rows"] / one["all_rows"],
        value_share=lambda one: one["value_minor"] / one["all_minor"].where(one["all_minor"] != 0),
        shown=lambda one: [name if name.strip().casefold() in NOBODY else "" for name in one["account"]],
    )
    found[["file", "row"]] = [_first_row(used, files, one) for one in found.itertuples()]
    return found.sort_values(["rows", "source", "file", "row"], ascending=[False, True, True, True],
                             ignore_index=True)[list(COLUMNS)]  # fmt: skip


def _most_frequent(bought: ir.Table) -> pd.DataFrame:
    """``customer, days`` of those who bought on most days."""
    days = bought.group_by("customer").agg(days=bought.count().cast("int64"))
    return days.order_by(days.days.desc(), "customer").limit(MOST_FREQUENT).to_pyarrow().to_pandas()


def _next_days(top: pd.DataFrame, who: str) -> int:
    """Days of the customer who comes after this one; of the last there is none, and it is its own."""
    mine = int(top.loc[top["customer"] == who, "days"].iloc[0])
    others = top.loc[(top["customer"] != who) & (top["days"] <= mine), "days"]
    return int(others.max()) if len(others) else mine


def _keys(accounts: pd.DataFrame, texts: Mapping[str, tuple[Reading, ir.Table]]) -> pd.DataFrame:
    """``source, account, kind, keys``: the kind of key that each account has most values of."""
    found = [pd.DataFrame(columns=["source", "account", "kind", "keys"])]
    for name, (reading, said) in texts.items():
        mine = accounts.loc[accounts["source"] == name, "account"]
        if not reading.section.keys or mine.empty:
            continue
        theirs = said.filter(said.customer.isin(list(mine)))
        counts = {kind: theirs[f"key_{kind}"].nunique().cast("int64") for kind in reading.section.keys}
        each = theirs.group_by(account="customer").agg(**counts).to_pyarrow().to_pandas().set_index("account")
        best = pd.DataFrame({"kind": each.idxmax(axis=1), "keys": each.max(axis=1)}).reset_index()
        found.append(best.assign(source=name))
    some = [one for one in found if len(one)]
    return pd.concat(some, ignore_index=True) if some else found[0]


def _first_row(used: ir.Table, files: Sequence[str], one) -> tuple[str, int]:
    """File and row in which an account stands first."""
    mine = used.filter((used.source == one.source) & (used.account == one.account))
    first = mine.order_by("ordinal").limit(1).select("file_no", "row").to_pyarrow().to_pylist()[0]
    return files[first["file_no"]], int(first["row"])


def catch_all_checks(frame: pd.DataFrame, section: LedgerSection) -> list[Check]:
    """Whether every account looks like one customer."""
    rule = section.catch_all
    if frame.empty:
        message = (
            f"Nobody buys on {percent(rule.max_days_share)} or more of the days and {rule.times_the_next:g} times as often "
            f"as the next, and no account has more than {rule.max_keys} values of a key."
        )
        return [_check("pass", message, 0, "")]
    said = " ".join(_sentence(one) for one in frame.head(3).itertuples())
    more = f" There are {len(frame) - 3} more." if len(frame) > 3 else ""
    named = [repr(one) for one in frame["shown"] if one]
    example = listed(named) if named else "the account"
    advice = (
        "Look at its first row. If guests are booked under it, leave it out by ledger.excluded_customers: {guests: "
        f"[{example}]}}, so that its money is reported and modelled as nobody's; if it is one customer, raise the limits of "
        "ledger.catch_all."
    )
    return [_check("review", said + more, len(frame), advice)]


def _check(status: str, message: str, value: int, advice: str) -> Check:
    return Check(
        "ledger.catch_all",
        "Every account looks like one customer",
        status,
        message,
        value=value,
        threshold=0,
        unit="accounts",
        recommendation=advice,
        chapter="01_ledger",
    )


def _sentence(one) -> str:
    name = f"The account {one.shown!r} of {one.source}" if one.shown else f"An account of {one.source}"
    keys = f", with {one.keys:,} different values of the key {one.kind}" if one.keys > 1 else ""
    money = f" and {percent(one.value_share)} of the money" if one.value_share == one.value_share else ""
    return (
        f"{name} (first in {one.file}, row {one.row:,}) has {one.rows:,} rows, {percent(one.row_share)} of that source's"
        f"{money}, on {one.days:,} days{keys}; the next customer bought on {one.next_days:,} days."
    )
