"""Whose covariates are whose: what customers tables say of each customer, and the pattern of levels that follows."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from clvkit.covariate_levels import PATTERN, Design
from clvkit.covariate_rules import covariate_of, patterns

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

    from clvkit.covariate_section import CovariateSection


@dataclass(frozen=True)
class People:
    """What is written of the customers.

    Attributes
    ----------
    values : indexed by customer, one column for each covariate, missing where nothing is written.
    changed : by covariate, the share of customers whose rows do not agree; of them the value that most of their rows have
        counts, the first by the alphabet of several.
    design : the covariates and their levels, of these customers.
    """

    values: "pd.DataFrame"
    changed: Mapping[str, float]
    design: Design

    @cached_property
    def pattern(self) -> "pd.Series":
        """The pattern of each customer, by customer."""
        return patterns(self.design, self.values)

    def with_pattern(self, purchases: "ir.Table") -> "ir.Table":
        """The purchases with ``pattern``, that of their customer."""
        import ibis

        frame = self.pattern.rename_axis("customer").reset_index()
        known = ibis.memtable(frame, schema={"customer": "string", PATTERN: "string"})
        return purchases.inner_join(known, "customer").select(*purchases.columns, PATTERN)


def people(
    tables: "list[pd.DataFrame]",
    members: "pd.DataFrame | None",
    customers: "Collection[str]",
    of: "Mapping[str, CovariateSection]",
) -> People:
    """What customers tables say of ``customers``, and the levels that it makes.

    Parameters
    ----------
    tables : rows of customers tables: ``account_<source>``, and ``about_<name>`` or a field of that name.
    members : ``source, account, customer``; None where customers go by their accounts.
    customers : everybody who bought; whoever no table names has no value of any covariate.
    of : the covariates of the study, by name.

    Raises
    ------
    FitError : a covariate is the same for everybody, or not what the study takes it for.
    """
    import pandas as pd

    everybody = pd.Index(sorted(customers), name="customer")
    values, changed = pd.DataFrame(index=everybody), {}
    for name in of:
        said = said_of(name, tables, members)
        said = said[said["customer"].isin(everybody)]
        chosen, changed[name] = most_said(said)
        values[name] = chosen.reindex(everybody)
    design = Design(
        tuple(covariate_of(name, values[name], on=one.on, bins=one.bins) for name, one in of.items())
    )
    return People(values, changed, design)


def most_said(said: "pd.DataFrame") -> "tuple[pd.Series, float]":
    """The value that most rows of each customer have, by customer, and the share of customers whose rows do not agree.

    Of several that as many rows have, the first by the alphabet counts; ``said`` is what `said_of` returns.
    """
    counts = said.groupby(["customer", "value"], as_index=False).size()
    counts = counts.sort_values(["customer", "size", "value"], ascending=[True, False, True])
    chosen = counts.drop_duplicates("customer").set_index("customer")["value"]
    torn = counts.loc[counts["customer"].duplicated(keep=False), "customer"].nunique()
    return chosen, torn / max(len(chosen), 1)


def said_of(name: str, tables: "list[pd.DataFrame]", members: "pd.DataFrame | None") -> "pd.DataFrame":
    """``customer, value`` (text) of every row that says something of a customer."""
    import pandas as pd

    found = [pd.DataFrame({"customer": pd.Series(dtype=str), "value": pd.Series(dtype=str)})]
    for table in tables:
        column = next((c for c in (f"about_{name}", name) if c in table), None)
        for account in (c for c in table.columns if column and c.startswith("account_")):
            one = pd.DataFrame({"source": account.removeprefix("account_"), "account": table[account],
                                "value": table[column]}).dropna()  # fmt: skip
            one["value"] = one["value"].astype(str).str.strip()
            if members is None:
                found.append(one.rename(columns={"account": "customer"})[["customer", "value"]])
            else:
                found.append(one.merge(members, on=["source", "account"])[["customer", "value"]])
    every = pd.concat(found, ignore_index=True)
    return every[every["value"] != ""]
