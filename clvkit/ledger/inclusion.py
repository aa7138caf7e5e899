"""Whom the models speak for: rules that leave customers out, value them as their segment, or only label them.

Every customer keeps the actual revenue: rules add two columns to the summary and take no row away, so that
reconciliation still finds everybody. ``treatment`` says what to do with a customer:

- ``include``: modelled like everybody. ``inclusion`` may still name a rule, as a label.
- ``segment_average``: stays in the cells that count models are fitted to; only the customer's own value is replaced
  by the mean of the segment, under the label of the rule.
- ``exclude``: in no cell and no value. For accounts that are no customers: tests, staff, fraud.

A count model must see the customers who did not come back: they are what tells it how fast customers leave. A rule
that excludes by number of purchases, or by anything else that customers did, is refused.
"""

from typing import TYPE_CHECKING, Literal, get_args

from pydantic import Field, field_validator, model_validator

from clvkit.errors import DataError
from clvkit.rules import RuleBroken
from clvkit.section import Section

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

Treatment = Literal["include", "segment_average", "exclude"]
RuleName = Literal["exclude_accounts", "exclude_where", "min_identity_confidence", "min_survey_response", "min_history_days",
                   "min_purchases"]  # fmt: skip
_OUTCOMES = {"frequency", "recency_days", "spend_minor", "first_minor"}


class Least(Section):
    """A least value, and what becomes of customers below it."""

    at_least: float = Field(ge=0, description="Least value; in the unit of the rule.")
    below: Treatment = Field(
        "segment_average",
        description="What becomes of a customer below it: segment_average, exclude, or include (labelled only).",
    )


class LeastResponse(Least):
    """A least response to surveys, as a customers table has it."""

    about: str = Field(
        description="Name of the number in `about` of a customers table, such as surveys answered or a share of them; who has "
        "none counts with 0."
    )


class InclusionSection(Section):
    """Which customers are modelled, valued as their segment, or left out."""

    min_history_days: Least | None = Field(
        None, description="Least time from the first purchase to the as-of date. Unit: days."
    )
    min_purchases: Least | None = Field(
        None, description="Fewest purchase days, the first one counted; cannot exclude. Unit: purchases."
    )
    min_identity_confidence: Least | None = Field(
        None,
        description="Least confidence in who the customer is, as the outside crosswalk of ledger.identity says it; who "
        "rests on exact keys alone has 1. Unit: probability.",
    )
    min_survey_response: LeastResponse | None = Field(
        None,
        description="Least response to surveys, where what customers said decides how far they can be known: {about: answered, "
        "at_least: 1}. Unit: as the table has it.",
    )
    exclude_accounts: dict[str, tuple[str, ...]] = Field(
        {}, description="Accounts that are no customers, by reason: {staff: [a17, a18], test: [t1]}."
    )
    exclude_where: dict[str, dict[str, tuple[str | None, ...]]] = Field(
        {},
        description="Customers left out by what stands in a column of the summary, by reason: "
        "{staff: {segment: [internal]}}; with several columns all must fit, null fits a missing value.",
    )
    order: tuple[RuleName, ...] = Field(
        get_args(RuleName),
        description="Order of the rules: the first that fits a customer counts; rules that only label come last.",
    )

    @property
    def averages(self) -> bool:
        """Whether a rule has customers valued as their segment."""
        least = (
            self.min_history_days,
            self.min_purchases,
            self.min_identity_confidence,
            self.min_survey_response,
        )
        return any(one is not None and one.below == "segment_average" for one in least)

    @field_validator("order")
    @classmethod
    def _each_once(cls, value):
        if len(set(value)) < len(value) or len(value) < len(get_args(RuleName)):
            raise RuleBroken(
                f"must name each of the {len(get_args(RuleName))} rules once", ", ".join(get_args(RuleName))
            )
        return value

    @field_validator("min_purchases")
    @classmethod
    def _keeps_who_did_not_return(cls, value):
        if value is not None and value.below == "exclude" and value.at_least > 1:
            raise RuleBroken(
                "must not exclude customers with few purchases: a count model that never sees the customers who did "
                "not come back takes everybody for loyal, and the value comes out too high",
                "use below: segment_average, which keeps them in the fit, or include, which labels them",
                at="below",
            )
        return value

    @field_validator("min_identity_confidence")
    @classmethod
    def _is_probability(cls, value):
        if value is not None and value.at_least > 1:
            raise RuleBroken("must be at most 1", f"{value.at_least:g} % is written {value.at_least / 100:g}", at="at_least")  # fmt: skip
        return value

    @model_validator(mode="after")
    def _selects_no_outcome(self):
        for reason, columns in self.exclude_where.items():
            for column in _OUTCOMES & set(columns):
                raise RuleBroken(
                    f"must not exclude by {column}, which is what the models explain",
                    "exclude by what a customer is, such as a segment",
                    at=("exclude_where", reason, column),
                )
        return self


def _rules(summary: "ir.Table", section: InclusionSection, accounts: "ir.Table | None"):
    """Label, treatment and condition of each rule that is set, in the order in which they count."""
    found = []
    for name in section.order:
        if name == "exclude_accounts":
            for reason, listed in section.exclude_accounts.items():
                if not listed:
                    continue
                if accounts is None:
                    fits = summary.customer.cast("string").isin(listed)
                else:
                    theirs = accounts.filter(accounts.account.isin(listed)).customer
                    fits = summary.customer.isin(theirs)
                found.append((reason, "exclude", fits))
        elif name == "exclude_where":
            for reason, columns in section.exclude_where.items():
                fits = None
                for column, values in columns.items():
                    one = _fits(_column(summary, column, f"inclusion.exclude_where.{reason}"), values)
                    fits = one if fits is None else fits & one
                if fits is not None:
                    found.append((reason, "exclude", fits))
        elif (rule := getattr(section, name)) is not None:
            if name == "min_identity_confidence":
                value = _column(summary, "identity_confidence", f"inclusion.{name}").fill_null(0.0)
            elif name == "min_survey_response":
                value = _column(summary, "survey_response", f"inclusion.{name}").fill_null(0.0)
            else:
                value = summary.T_days if name == "min_history_days" else summary.frequency + 1
            found.append((name, rule.below, value < rule.at_least))
    return [one for one in found if one[1] != "include"] + [one for one in found if one[1] == "include"]


def _fits(column: "ir.Column", values: tuple[str | None, ...]) -> "ir.BooleanColumn":
    some = column.cast("string").isin([value for value in values if value is not None]).fill_null(False)
    return some | column.isnull() if None in values else some


def _column(summary: "ir.Table", name: str, place: str) -> "ir.Column":
    if name not in summary.columns:
        raise DataError(
            f"{place} asks for the column {name!r}, which the customer summary does not have; it has: "
            + ", ".join(summary.columns),
            place=place,
            fix="name one of these columns, or add the column to the source",
        )
    return summary[name]


def apply(summary: "ir.Table", section: InclusionSection, accounts: "ir.Table | None" = None) -> "ir.Table":
    """The customer summary with ``inclusion`` (the rule that fits, or null) and ``treatment``; all rows stay.

    Parameters
    ----------
    summary : as :func:`clvkit.customers.customer_summary` makes it; ``identity_confidence`` (0 to 1) if a rule asks,
        as :func:`clvkit.ledger.customers.with_confidence` adds it, and ``survey_response``, as `clvkit.seen.Seen` does.
    accounts : ``account, customer``, if customers go by other names than the accounts that the study lists.

    Raises
    ------
    DataError : a rule asks for a column that the summary does not have.
    """
    import ibis

    rules = _rules(summary, section, accounts)
    if not rules:
        return summary.mutate(inclusion=ibis.null("string"), treatment=ibis.literal("include"))
    return summary.mutate(
        inclusion=ibis.cases(*[(fits, label) for label, _, fits in rules], else_=ibis.null("string")),
        treatment=ibis.cases(*[(fits, treatment) for _, treatment, fits in rules], else_="include"),
    )


def funnel(summary: "ir.Table", section: InclusionSection) -> "pd.DataFrame":
    """Customers, purchases and revenue by rule, in the order in which rules count.

    Parameters
    ----------
    summary : the table that :func:`apply` returned for the same section.

    Returns
    -------
    One row for all customers, one per rule of the section, one for those modelled: ``step``; ``treatment`` (empty in
    the first and the last); ``customers, purchases, revenue_minor`` that the rule fits; ``customers_left,
    purchases_left, revenue_left_minor`` still modelled after it. A rule that only labels takes nobody away.
    """
    import pandas as pd

    grouped = summary.group_by("inclusion", "treatment").agg(
        customers=summary.count().cast("int64"),
        purchases=(summary.frequency + 1).sum().cast("int64"),
        revenue_minor=(summary.spend_minor + summary.first_minor).sum().cast("int64"),
    )
    found = grouped.to_pyarrow().to_pandas()
    measures = ["customers", "purchases", "revenue_minor"]
    left = found[measures].sum().astype("int64")
    rows = [{"step": "all customers", "treatment": ""} | left.to_dict() | _left(left)]
    for label, treatment in _labels(section):
        here = (found["inclusion"] == label) & (found["treatment"] == treatment)
        fitted = found.loc[here, measures].sum().astype("int64")
        if treatment != "include":
            left = left - fitted
        rows.append({"step": label, "treatment": treatment} | fitted.to_dict() | _left(left))
    rows.append({"step": "modelled", "treatment": ""} | left.to_dict() | _left(left))
    return pd.DataFrame(rows)


def _left(left: "pd.Series") -> dict:
    return {"customers_left": left["customers"], "purchases_left": left["purchases"],
            "revenue_left_minor": left["revenue_minor"]}  # fmt: skip


def _labels(section: InclusionSection) -> list[tuple[str, str]]:
    """Label and treatment of each rule that is set, in the order in which they count."""
    found: list[tuple[str, str]] = []
    for name in section.order:
        rule = getattr(section, name)
        if name.startswith("exclude"):
            found += [(reason, "exclude") for reason in rule if (reason, "exclude") not in found]
        elif rule is not None:
            found.append((name, rule.below))
    return [one for one in found if one[1] != "include"] + [one for one in found if one[1] == "include"]
