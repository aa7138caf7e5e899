"""Accounts that several customers share: their value split by a declared rule, to the last cent."""

from pathlib import Path

import numpy as np
import pandas as pd

from clvkit.errors import DataError
from clvkit.ledger.identity_tables import read_small_table
from clvkit.ledger.policies import SharedAccountsSection

WEIGHT_TOLERANCE = 1e-6
#: Why an account's value stays with nobody.
NO_RULE, NO_CUSTOMER = "no rule", "no customer"
NO_MARGIN, NO_FIRST_DAY = "no positive margin", "no first day"


def allocate(
    values: pd.DataFrame, members: pd.DataFrame, section: SharedAccountsSection, *, base: Path = Path()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split the value of every account among its customers.

    Parameters
    ----------
    values : ``account, amount_minor`` (int64), one row per account.
    members : ``account, customer``, one row per pair; with ``margin_minor`` for the rule ``margin`` and
        ``first_day`` for ``first_touch``. Accounts with no value in ``values`` are passed over.
    section : the rule. Where the two tables have a column ``source``, it belongs to the account's name.
    base : folder from which the path of the allocation counts.

    Returns
    -------
    The allocation, ``[source,] account, customer, weight, amount_minor`` (weights of an account sum to 1,
    amounts to its value: largest remainder), and the accounts without a rule, ``[source,] account, customers``
    (their number), ``amount_minor, reason``. Those are in the allocation with a missing customer, so that its
    total is that of ``values`` whatever the rule. Both sorted; neither is for a report.

    Raises
    ------
    DataError : an account or a pair stands twice, or stated weights do not sum to 1.
    """
    account = ["source", "account"] if "source" in values.columns else ["account"]
    _refuse_twice(values, account, "values")
    _refuse_twice(members, [*account, "customer"], "members")
    pairs = members[members["customer"].notna()].merge(values[[*account, "amount_minor"]], on=account)
    stated = stated_weights(section, base, account)
    pairs = pairs.merge(stated, on=[*account, "customer"], how="left")
    known = pd.MultiIndex.from_frame(pairs[account]).isin(pd.MultiIndex.from_frame(stated[account]))
    extra = stated.merge(values[[*account, "amount_minor"]], on=account)
    pairs = pd.concat([pairs[~known], extra], ignore_index=True)
    size = pairs.groupby(account, sort=False)["customer"].transform("size").to_numpy()
    share, reason = _shares(pairs, account, section.rule)
    share = np.where(pairs["weight"].notna(), pairs["weight"], np.where(size == 1, 1.0, share))
    pairs = pairs.assign(weight=share, size=size)
    total = pairs.groupby(account, sort=False)["weight"].transform("sum", min_count=1).to_numpy()
    good = np.isfinite(total) & (total > 0)
    whole = pairs[good].assign(weight=pairs.loc[good, "weight"] / total[good])
    whole = whole[whole["weight"] > 0]

    unruled = pairs[~good].groupby(account, sort=False).agg(customers=("size", "first")).reset_index()
    without = values[account].merge(unruled, on=account, how="left")
    has_share = pd.MultiIndex.from_frame(values[account]).isin(pd.MultiIndex.from_frame(whole[account]))
    without = without.assign(amount_minor=values["amount_minor"].to_numpy())[~has_share]
    without = without.assign(reason=np.where(without["customers"].isna(), NO_CUSTOMER, reason))
    without = without.assign(customers=without["customers"].fillna(0).astype(int))
    without = without.sort_values(account, ignore_index=True)

    left = without[[*account, "amount_minor"]].assign(customer=None, weight=1.0)
    split = _whole_units(whole, account)
    columns = [*account, "customer", "weight", "amount_minor"]
    split = pd.concat([part[columns] for part in (split, left) if len(part)] or [split[columns]])
    split = split.astype({"amount_minor": "int64"}).sort_values([*account, "customer"], ignore_index=True)
    return split, without[[*account, "customers", "amount_minor", "reason"]]


def _shares(pairs: pd.DataFrame, account: list[str], rule: str) -> tuple[np.ndarray, str]:
    """What each pair has a claim to, in any unit (all missing or zero: no rule), and why it may have none."""
    if rule == "equal":
        return np.ones(len(pairs)), NO_RULE
    # Where one customer's is missing, nobody knows the share of the others: such an account has no rule.
    keys = [pairs[column] for column in account]
    if rule == "margin":
        _require(pairs, "margin_minor", rule)
        margin = pairs["margin_minor"].astype(float).clip(lower=0)
        return margin.mask(margin.isna().groupby(keys).transform("any")).to_numpy(), NO_MARGIN
    if rule == "first_touch":
        _require(pairs, "first_day", rule)
        day = pd.to_datetime(pairs["first_day"])
        # Several who came on the first day share it.
        first = (day == day.groupby(keys).transform("min")).astype(float)
        return first.mask(day.isna().groupby(keys).transform("any")).to_numpy(), NO_FIRST_DAY
    return np.zeros(len(pairs)), NO_RULE


def _whole_units(pairs: pd.DataFrame, account: list[str]) -> pd.DataFrame:
    """Whole minor units by weight: everybody's part rounded down, what is left to the largest remainders."""
    pairs = pairs.sort_values([*account, "customer"], ignore_index=True)
    amount = pairs["amount_minor"].to_numpy(np.int64)
    fair = np.abs(amount) * pairs["weight"].to_numpy()
    part = np.floor(fair).astype(np.int64)
    ordered = pairs.assign(part=part, rest=fair - part).sort_values(
        [*account, "rest", "customer"], ascending=[True] * len(account) + [False, True]
    )
    groups = ordered.groupby(account, sort=False)
    left = np.abs(ordered["amount_minor"]) - groups["part"].transform("sum")
    # Usually fewer units are left than there are customers; large amounts can be a few units off in floats.
    each, some = np.divmod(left, groups["part"].transform("size"))
    units = ordered["part"] + each + (groups.cumcount() < some)
    return ordered.assign(amount_minor=units * np.sign(ordered["amount_minor"]))


def stated_weights(section: SharedAccountsSection, base: Path, account: list[str]) -> pd.DataFrame:
    """The weights that the study states: ``[source,] account, customer, weight``; none where it states none."""
    columns = [*account, "customer", "weight"]
    if section.allocation is None:
        return pd.DataFrame({c: pd.Series(dtype=float if c == "weight" else object) for c in columns})
    place = "shared_accounts.allocation"
    table = read_small_table(section.allocation, base, place, ("source", "account", "customer")).to_pandas()
    if missing := [column for column in columns if column not in table.columns]:
        raise DataError(
            f"{section.allocation} has no column {missing[0]}; it needs {', '.join(columns)}",
            place=place,
            fix="name the columns so",
        )
    table = table[columns].astype({column: str for column in columns[:-1]})
    table["weight"] = pd.to_numeric(table["weight"], errors="coerce")
    _refuse_twice(table, columns[:-1], section.allocation)
    bad = ~(table["weight"] >= 0)
    if bad.any():
        raise DataError(
            f"a weight must be a number of at least 0; {int(bad.sum())} in {section.allocation} are not",
            place=f"{section.allocation}: row {int(np.flatnonzero(bad)[0]) + 1}",
            fix="state the share of each customer, such as 0.25",
        )
    sums = table.groupby(account)["weight"].sum()
    wrong = sums[(sums - 1).abs() > WEIGHT_TOLERANCE]
    if len(wrong):
        raise DataError(
            f"the weights of an account must sum to 1; those of {len(wrong)} in {section.allocation} do not "
            f"(the first sums to {wrong.iloc[0]:.6g})",
            place=place,
            fix="state shares of 1, such as 0.25 and 0.75",
        )
    return table


def _refuse_twice(table: pd.DataFrame, columns: list[str], what: str) -> None:
    twice = table.duplicated(columns)
    if twice.any():
        raise DataError(
            f"{what} must have one row per {' and '.join(columns)}; {int(twice.sum())} more are there",
            place=f"{what}: row {int(np.flatnonzero(twice)[0]) + 1}",
            fix="add such rows up first",
        )


def _require(pairs: pd.DataFrame, column: str, rule: str) -> None:
    if column not in pairs.columns:
        raise DataError(
            f"the rule {rule} needs the column {column} of members, which is not there",
            place="shared_accounts.rule",
            fix="use the rule equal, or state weights in shared_accounts.allocation",
        )
