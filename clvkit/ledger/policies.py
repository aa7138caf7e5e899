"""What a study says about refunds, currencies, costs and identity: sections alone, which load no engine."""

from datetime import date
from typing import Literal

from pydantic import Field, field_validator, model_validator

from clvkit.rules import RuleBroken, rate_hint
from clvkit.section import Section

Level = Literal["product", "category", "segment", "company"]
LEVELS: tuple[Level, ...] = ("product", "category", "segment", "company")


class RefundsSection(Section):
    """How refunds find their sales, and what becomes of those that find none."""

    match: tuple[Literal["order", "line", "product"], ...] = Field(
        ("order", "line", "product"),
        min_length=1,
        description=(
            "Ways to find a refund's sale, tried in turn: the order it names; the same account, product and "
            "absolute amount; the latest sale of the same customer and product."
        ),
    )
    unmatched: Literal["exclude", "net_customer", "quarantine"] = Field(
        "exclude",
        description=(
            "What becomes of refunds without a sale: left out, netted against the customer's latest "
            "purchase (left out where there is none), or quarantined."
        ),
    )
    max_lag_days: int = Field(
        366, ge=0, description="Longest time from a sale to a refund matched by product alone, in days."
    )
    max_unmatched_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Largest share of refunds without a sale, in rows and in money, with which a run still passes.",
    )


class CurrencySection(Section):
    """How amounts in other currencies become amounts in the study's."""

    method: Literal["transaction_date", "period_average", "constant", "forward"] = Field(
        "transaction_date",
        description=(
            "Rate of a cash flow: the last one known on its day, the average of its calendar month, that of "
            "constant_date for all, or (after constant_date) the forward rate by interest parity."
        ),
    )
    constant_date: date | None = Field(
        None, description="Day whose rates hold for all (constant), or from which forwards run (forward)."
    )
    max_age_days: int = Field(5, ge=0, description="Age up to which a rate counts as current, in days.")
    missing: Literal["stop", "stale"] = Field(
        "stop",
        description="What a rate older than max_age_days does: stop the run, or be used, labelled by its age.",
    )
    interest_rates: dict[str, float] = Field(
        {}, description="Interest rate by currency, for forward: fraction per year, simple interest."
    )

    @model_validator(mode="after")
    def _complete(self) -> "CurrencySection":
        if self.method in ("constant", "forward") and self.constant_date is None:
            raise RuleBroken(
                f"is needed with method {self.method}", "write a day such as 2024-06-30", at="constant_date"
            )
        if self.method == "forward" and not self.interest_rates:
            raise RuleBroken(
                "are needed with method forward", "write for example {USD: 0.05}", at="interest_rates"
            )
        return self


class CatchAllSection(Section):
    """When one account looks like many people: guests booked under 0, a till's house card."""

    max_keys: int = Field(
        10, ge=1, description="Values of one kind of key, such as e-mail addresses, that an account may have."
    )
    max_days_share: float = Field(
        0.05,
        gt=0,
        le=1,
        description="Share of the days with sales on which one customer may buy, if far more often than the next.",
    )
    times_the_next: float = Field(
        2.5, gt=1, description="How many times the days of the next customer count as far more often."
    )


class BooksLine(Section):
    """One comparison: accounts of the general ledger with rows of order sources."""

    accounts: tuple[str, ...] = Field(min_length=1, description="Accounts of the general ledger, added up.")
    sources: tuple[str, ...] = Field(min_length=1, description="Sources whose rows the accounts hold.")
    rows: Literal["sales", "refunds", "both"] = Field(
        "both", description="Whether the accounts hold sales, refunds (below zero), or sales less refunds."
    )


class BooksSection(Section):
    """What the general ledger is compared with, month by month; a source that holds totals gives it."""

    compare: dict[str, BooksLine] = Field(
        {},
        description="Comparisons by name: {shop: {accounts: [revenue_shop], sources: [shop], rows: sales}}.",
    )
    tolerance: float = Field(
        0.01,
        ge=0,
        description="Difference of a month, as a share of what is booked in it, up to which the two agree.",
    )
    max_difference: float = Field(
        0.05,
        ge=0,
        description="Difference over all months, as a share of what is booked, with which a run still passes.",
    )


class IdentitySection(Section):
    """Which accounts are one customer. Customers get random pseudonyms, kept from run to run."""

    keys: tuple[str, ...] = Field(
        (), description="Kinds of keys that link accounts, the strongest first; none: every account is one."
    )
    max_accounts_per_key: int = Field(
        4, ge=2, description="A value that more accounts share than this links nobody, as a shared address."
    )
    max_cluster: int = Field(
        10, ge=2, description="Accounts of one customer above which the weakest keys do not link any more."
    )
    bridges: Literal["hold", "link"] = Field(
        "hold",
        description="Whether a value that alone joins two groups of two or more accounts waits for a review.",
    )
    ignore: tuple[str, ...] = Field(
        (), description="Values that never link, such as info@acme.test; in any way of writing them."
    )
    crosswalk: str | None = Field(
        None,
        description="CSV or Parquet file with source, account, customer, relative to the study file; it wins "
        "over keys. A column confidence (0 to 1) serves inclusion.min_identity_confidence.",
    )

    value_effect: bool = Field(
        True,
        description="Whether the report values the accounts unjoined as well, beside the customers; it reads the sources "
        "once more.",
    )

    @property
    def joins(self) -> bool:
        """Whether accounts can become one customer."""
        return bool(self.keys or self.crosswalk)

    @field_validator("keys")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value) or not all(kind.strip() for kind in value):
            raise RuleBroken("must name each kind of key once", "for example [email, phone, loyalty]")
        return value


class CostsSection(Section):
    """Product cost: the order in which sources of it are asked, and the shares of the estimates."""

    hierarchy: tuple[Level, ...] = Field(
        LEVELS, description="Where a line's cost is looked for, in turn; the last must be company."
    )
    by_category: dict[str, float] = Field(
        {}, description="Product cost by category, as a fraction of the amount."
    )
    by_segment: dict[str, float] = Field(
        {}, description="Product cost by segment, as a fraction of the amount."
    )
    company: float = Field(
        ge=0, le=1, description="Product cost where nothing nearer is known, as a fraction of the amount."
    )
    promotion_years: float = Field(
        1.0,
        gt=0,
        le=20,
        description="Time over which discounts are spread where they are counted as a cost of winning the customer, "
        "from the first purchase on, in years.",
    )

    @field_validator("by_category", "by_segment")
    @classmethod
    def _fractions(cls, value: dict[str, float]) -> dict[str, float]:
        for name, share in value.items():
            if not 0 <= share <= 1:
                raise RuleBroken(f"must be between 0 and 1 (got {share:g})", rate_hint(share), at=name)
        return value

    @field_validator("hierarchy")
    @classmethod
    def _ends_in_company(cls, value: tuple[Level, ...]) -> tuple[Level, ...]:
        if not value or value[-1] != "company" or len(set(value)) != len(value):
            raise RuleBroken(
                "must name each level once and company last",
                "so that every line has a cost: product, company",
            )
        return value


class SharedAccountsSection(Section):
    """How the value of an account that several customers share is split among them."""

    rule: Literal["equal", "margin", "first_touch", "none"] = Field(
        "none",
        description="Split equally, by each customer's margin, all to the customer who came first, or not at all.",
    )
    members: str | None = Field(
        None,
        description="CSV or Parquet file with account, customer (and source, where there are several), relative to the "
        "study file; for the rule margin with margin_minor, for first_touch with first_day.",
    )
    allocation: str | None = Field(
        None,
        description="CSV or Parquet file with account, customer, weight (and source), relative to the study "
        "file; weights of an account sum to 1, and it wins over the rule.",
    )

    @model_validator(mode="after")
    def _names_somebody(self) -> "SharedAccountsSection":
        if self.members is None and self.allocation is None:
            raise RuleBroken("must name the file of who shares which account", "or give weights in allocation", at="members")  # fmt: skip
        return self
