"""What the accounts of a ledger that several customers share come to, and what each rule makes of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit.errors import DataError
from clvkit.ledger.crosswalk import known_members
from clvkit.ledger.identity_tables import read_small_table
from clvkit.ledger.policies import SharedAccountsSection
from clvkit.ledger.shared_accounts import allocate, stated_weights

if TYPE_CHECKING:
    from clvkit.ledger.ledger import Ledger

STATED, ALONE = "stated weights", "one customer"
#: The column of members that a rule needs.
NEEDS = {"equal": None, "margin": "margin_minor", "first_touch": "first_day", "none": None}


@dataclass(frozen=True)
class SharedTotals:
    """Shared accounts without a name in them.

    Attributes
    ----------
    split : ``how`` (a rule, `STATED`, `ALONE`, or why an account has no rule), ``accounts``, ``customers`` (who hold a
        share; the number of members where nobody holds one), ``amount_minor``.
    rules : one row for each rule that the members' columns allow: ``rule``, ``customers`` who hold something,
        ``unassigned_minor`` (held by nobody), ``largest_minor`` (of one customer), ``moved_minor`` (what is another's
        than under the declared rule), ``total_minor`` (the same under all).
    """

    split: pd.DataFrame
    rules: pd.DataFrame


def shared_totals(
    ledger: "Ledger", section: SharedAccountsSection, crosswalk: Path, base: Path
) -> SharedTotals:
    """Split what shared accounts have brought up to the as-of date, by the declared rule and by the others.

    Parameters
    ----------
    crosswalk : folder of the accounts' pseudonyms, which says which rows of the ledger an account has. Where two of a
        customer's accounts are of one source, their rows are told apart no more, and count under the first.
    base : folder that the paths of the section count from.

    Raises
    ------
    DataError : a file cannot be used, a column is missing, or an account is in several sources and none is named.
    """
    members = _members(section, base)
    values = _values(ledger, members, crosswalk)
    account = [column for column in ("source", "account") if column in values]
    stated = stated_weights(section, base, account)
    parts = {}
    for rule, needed in NEEDS.items():
        if rule == section.rule or needed is None or needed in members:
            parts[rule] = allocate(values, members, section.model_copy(update={"rule": rule}), base=base)
    return SharedTotals(
        _split(*parts[section.rule], stated, section.rule, account),
        pd.DataFrame([_under(rule, split, parts[section.rule][0]) for rule, (split, _) in parts.items()]),
    )


def _members(section: SharedAccountsSection, base: Path) -> pd.DataFrame:
    """Who shares which account: the pairs of both files, each once."""
    found = []
    for name in ("members", "allocation"):
        path = getattr(section, name)
        if path is None:
            continue
        place = f"ledger.shared_accounts.{name}"
        table = read_small_table(path, base, place, ("source", "account", "customer")).to_pandas()
        if missing := [column for column in ("account", "customer") if column not in table]:
            raise DataError(
                f"{path} has no column {missing[0]}", place=place, fix="name the columns account, customer"
            )
        found.append(table[[column for column in table if column != "weight"]])
    account = ["source", "account"] if all("source" in one for one in found) else ["account"]
    every = pd.concat(found, ignore_index=True).astype({column: str for column in account})
    return every.drop_duplicates([*account, "customer"], ignore_index=True)


def _values(ledger: "Ledger", members: pd.DataFrame, crosswalk: Path) -> pd.DataFrame:
    """``[source,] account, amount_minor`` of the shared accounts that the ledger knows."""
    known = known_members(ledger.con, crosswalk)
    if known is None:
        raise DataError(
            "accounts cannot be told apart without the study's crosswalk", place="ledger.shared_accounts"
        )
    wanted = sorted(members["account"].unique())
    theirs = (
        known.filter(known.account.isin(wanted))
        .select("source", "account", "customer")
        .to_pyarrow()
        .to_pandas()
    )
    if "source" not in members and theirs.duplicated("account").any():
        raise DataError(
            "an account of shared_accounts is in several sources, where it may be another one",
            place="ledger.shared_accounts.members",
            fix="add a column source to the file",
        )
    rows = ledger.rows
    counts = rows.filter(
        rows.state.isin(["used", "merged"]) & rows.customer.isin(theirs["customer"].unique().tolist())
    )
    sums = counts.group_by("source", "customer").agg(amount_minor=counts.value_minor.sum().cast("int64"))
    both = theirs.sort_values(["source", "account"]).merge(
        sums.to_pyarrow().to_pandas(), on=["source", "customer"]
    )
    again = both.duplicated(["source", "customer"])
    both["amount_minor"] = both["amount_minor"].astype("int64").where(~again, 0)
    account = ["source", "account"] if "source" in members else ["account"]
    both = both.merge(members[account].drop_duplicates(), on=account)
    return both[[*account, "amount_minor"]].reset_index(drop=True)


def _split(
    split: pd.DataFrame, without: pd.DataFrame, stated: pd.DataFrame, rule: str, account: list[str]
) -> pd.DataFrame:
    """Accounts, customers and money by how they were split under the declared rule."""
    whole = split[split["customer"].notna()]
    each = whole.groupby(account, as_index=False).agg(sharers=("customer", "size"))
    listed = pd.MultiIndex.from_frame(each[account]).isin(pd.MultiIndex.from_frame(stated[account]))
    each["how"] = np.where(listed, STATED, np.where(each["sharers"] == 1, ALONE, rule))
    held = whole.merge(each, on=account)
    done = held.groupby("how", as_index=False).agg(
        customers=("customer", "nunique"), amount_minor=("amount_minor", "sum")
    )
    done = done.merge(
        each.groupby("how", as_index=False).size().rename(columns={"size": "accounts"}), on="how"
    )
    left = without.groupby("reason", as_index=False).agg(
        accounts=("customers", "size"), customers=("customers", "sum"), amount_minor=("amount_minor", "sum")
    )
    columns = ["how", "accounts", "customers", "amount_minor"]
    return pd.concat([done[columns], left.rename(columns={"reason": "how"})[columns]], ignore_index=True)


def _under(rule: str, split: pd.DataFrame, declared: pd.DataFrame) -> dict:
    """What a rule makes of the money, and how much of it is somebody else's than under the declared one."""
    mine, theirs = (one.groupby("customer", dropna=False)["amount_minor"].sum() for one in (split, declared))
    apart = mine.subtract(theirs, fill_value=0)
    held = split[split["customer"].notna()].groupby("customer")["amount_minor"].sum()
    return {
        "rule": rule,
        "customers": int((held != 0).sum()),
        "unassigned_minor": int(split.loc[split["customer"].isna(), "amount_minor"].sum()),
        "largest_minor": int(held.max()) if len(held) else 0,
        "moved_minor": int(apart.abs().sum() / 2),
        "total_minor": int(split["amount_minor"].sum()),
    }
