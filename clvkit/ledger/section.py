"""What a study says about its ledger: where the rows are, how to read them, which rows to leave out."""

import re
from datetime import date
from decimal import Decimal
from typing import ClassVar, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from clvkit.errors import DataError
from clvkit.ledger.anomalies import AnomaliesSection
from clvkit.ledger.completeness import CompletenessSection
from clvkit.ledger.inclusion import InclusionSection
from clvkit.ledger.policies import (
    BooksSection,
    CatchAllSection,
    CostsSection,
    CurrencySection,
    IdentitySection,
    RefundsSection,
    SharedAccountsSection,
)
from clvkit.ledger.side_fields import CONTRACTS, TABLES, require_fields
from clvkit.rules import RuleBroken, did_you_mean
from clvkit.section import Section

_DATE_DIRECTIVES = set("YymdbBjHIpMSfzaA")
_ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1", "iso-8859-15", "ascii")


class LedgerColumns(Section):
    """Names of the columns in the source. Without a header line, columns are named 1, 2, 3, ..."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    customer: str | None = Field(
        "customer_id",
        description="Column that names the customer; null for refunds that name only their order.",
    )
    date: str = Field("date", description="Column with the day (or moment) of the purchase.")
    amount: str = Field("amount", description="Column with the amount of the row, in the study's currency.")
    line_id: str | None = Field(
        None, description="Column that identifies a row; without it, rows with the same text are duplicates."
    )
    segment: str | None = Field(
        None, description="Column with the customer's segment; the segment of the first purchase counts."
    )
    order: str | None = Field(
        None,
        description="Column with the order or receipt that the row belongs to; of a refund, the one it takes back.",
    )
    refund_of: str | None = Field(
        None, description="Column with the order that a refund takes back, where it is not in `order`."
    )
    product: str | None = Field(None, description="Column with the product of the row.")
    category: str | None = Field(None, description="Column with the product's category.")
    quantity: str | None = Field(None, description="Column with the number of pieces.")
    price: str | None = Field(
        None, description="Column with the price of a piece; times `quantity` it is the amount of a row."
    )
    currency: str | None = Field(None, description="Column with the ISO 4217 code of the row's amounts.")
    discount: str | None = Field(
        None, description="Column with what was taken off the row's price; amounts are after it."
    )
    tax: str | None = Field(None, description="Column with the tax on the row.")
    shipping: str | None = Field(None, description="Column with what was charged for delivery.")
    loaded: str | None = Field(
        None, description="Column with the day or moment at which the row became known to the source."
    )


class SourceSection(Section):
    """Where the rows of one source are, and how they are read."""

    holds: Literal["orders", "refunds", *TABLES] = Field(
        "orders",
        description="What the rows are: orders (negative amounts among them are refunds), refunds (every amount is paid "
        "back), or one of the tables beside them: customers, products, rates, contracts, tickets, behaviour (what customers did, or were measured at, dated), marketing, totals.",
    )
    path: str | None = Field(
        None, description="File, folder or glob with CSV or Parquet files, relative to the study file."
    )
    database: str | None = Field(
        None,
        description="Instead of path: duckdb:FILE, sqlite:FILE, spark, or env:NAME, the environment variable that "
        "holds the address of a PostgreSQL database.",
    )
    bills_of: str | None = Field(
        None,
        description="Instead of path: a source of contracts or survivors whose bills, as they fell due, are the rows.",
    )
    relation: str | None = Field(None, description="With database: the table or view, such as sales.orders.")
    query: str | None = Field(None, description="With database: a query instead of a relation.")
    format: Literal["auto", "csv", "parquet"] = Field(
        "auto", description="Format of the files; auto goes by the ending of the name."
    )
    encoding: str | None = Field(
        "utf-8",
        description="Character encoding of CSV files, such as utf-8 or cp1252; null: found out, or asked about.",
    )
    delimiter: str = Field(",", description="Character between two columns of a CSV file ('tab' for a tab).")
    header: bool = Field(True, description="Whether the first line of a CSV file names the columns.")
    decimal: Literal[".", ","] = Field(".", description="Decimal sign in amounts written as text.")
    thousands: Literal[",", ".", " ", "'"] | None = Field(
        None, description="Sign between groups of three digits in amounts written as text; none by default."
    )
    columns: LedgerColumns = Field(LedgerColumns(), description="Names of the columns in the source.")
    fields: dict[str, str] = Field(
        default_factory=dict,
        description="Columns of a table beside the orders, field: column, such as {date: date, currency: code, rate: rate} "
        "of rates.",
    )
    about: dict[str, str] = Field(
        default_factory=dict,
        description="Of a source that holds customers or contracts: what else is written of them, name: column, such as "
        "{age: age_band}; models.covariates goes by these names of customers, contracts.drivers by those of both.",
    )
    accounts: dict[str, str] = Field(
        default_factory=dict,
        description="Of customers: the column with a person's account in each source, {shop: account, till: card}.",
    )
    account_space: str | None = Field(
        None,
        description="Of a table beside the orders: whose accounts its customers are, a source or a name under accounts of a "
        "source of customers, such as billing; None: they stay as they are written.",
    )
    keys: dict[str, str] = Field(
        default_factory=dict,
        description="Columns that may show that two accounts are one person, kind: column: {email: e_mail}.",
    )
    date_format: str | None = Field(
        "%Y-%m-%d",
        description="How dates are written, in strptime's letters; null: found out, or asked about.",
    )
    timezone: str | None = Field(
        None,
        description="IANA zone whose calendar days count, such as Europe/Berlin: moments in the source are UTC and "
        "are turned into days there. None: the day that is written counts.",
    )
    day_starts: str = Field(
        "00:00", description="With timezone: local time at which a business day begins, as HH:MM."
    )
    currency: str | None = Field(
        None,
        description="ISO 4217 code of all amounts of the source; None: the column, else the study's currency.",
    )
    amount_unit: Literal["major", "minor"] = Field(
        "major", description="Whether amounts are in units of the currency or in its minor units (cents)."
    )
    amount_holds: tuple[Literal["tax", "shipping"], ...] = Field(
        (), description="What the amounts of the source have in them besides the goods: tax, shipping."
    )
    tax_rate: Decimal | None = Field(
        None,
        ge=0,
        lt=1,
        description="Tax in the amounts where no column has it, as a share of the net amount.",
    )
    segment: str | None = Field(None, description="Segment of all rows of the source, instead of a column.")
    id_space: str | None = Field(
        None,
        description="Name shared by sources whose orders and line ids mean the same ones, such as a till and its "
        "predecessor, or a shop and its refunds; None: the source's own.",
    )
    extracted: date | None = Field(
        None, description="Day the extract was made; later dates are quarantined; today if not given."
    )
    missing_words: tuple[str, ...] = Field(
        ("NULL", "null", "None", "NaN", "nan", "NA", "N/A"),
        description="Words that stand for a missing value, besides an empty field.",
    )
    control_total: Decimal | None = Field(
        None, description="Sum of all readable amounts that the source must have, in currency units."
    )
    control_rows: int | None = Field(None, ge=0, description="Number of rows that the source must have.")

    @field_validator("database")
    @classmethod
    def _no_address(cls, value: str | None) -> str | None:
        # With the libraries of the engines, which a study of files needs only later.
        from clvkit.ledger.databases import database_kind

        if value is not None:
            try:
                database_kind(value)
            except DataError as error:
                rule = error.message.removeprefix("ledger.database ")
                raise RuleBroken(rule, error.fix or "") from None
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str | None) -> str | None:
        try:
            "".encode(value or "utf-8")
        except LookupError:
            rule = "must be a character encoding Python knows, such as utf-8, cp1252 or latin-1"
            raise RuleBroken(rule, did_you_mean(value, _ENCODINGS)) from None
        return value

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str) -> str:
        value = {"tab": "\t", r"\t": "\t"}.get(value, value)
        if len(value) != 1 or value in '"\r\n\0':
            raise RuleBroken("must be one character other than a quote or a line end", "a tab is written tab")
        return value

    @field_validator("date_format")
    @classmethod
    def _whole_date(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        used = set(re.findall(r"%-?([A-Za-z])", value.replace("%%", "")))
        if unknown := sorted(used - _DATE_DIRECTIVES):
            raise RuleBroken(f"must not use %{unknown[0]}", "a usual format is %Y-%m-%d or %d.%m.%Y")
        month = bool(used & set("mbB"))
        whole = "j" in used or (month and ("d" in used or info.data.get("holds") in TABLES))
        if not used & set("Yy") or not whole:
            raise RuleBroken("must say year, month and day", "a usual format is %Y-%m-%d or %d.%m.%Y")
        if "z" in used and not value.endswith("%z"):
            raise RuleBroken("may have the offset %z only at its end")
        return value

    @model_validator(mode="after")
    def _signs_differ(self) -> "SourceSection":
        if self.thousands == self.decimal:
            raise ValueError(f"thousands and decimal must differ (both are {self.decimal!r})")
        return self

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        from zoneinfo import available_timezones

        if value is not None and value not in available_timezones():
            rule = "must be an IANA time zone, such as Europe/Berlin"
            raise RuleBroken(rule, did_you_mean(value, sorted(available_timezones())))
        return value

    @field_validator("day_starts")
    @classmethod
    def _time_of_day(cls, value: str) -> str:
        if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value):
            raise RuleBroken(
                "must be a time of day written HH:MM", "a business day that begins at four is 04:00"
            )
        return value

    @model_validator(mode="after")
    def _one_place(self) -> "SourceSection":
        if self.database is None and (self.relation or self.query):
            raise ValueError("relation and query belong to a database; name it in database")
        if self.database is not None and (self.path or bool(self.relation) == bool(self.query)):
            raise ValueError("with a database, give either relation or query, and no path")
        if self.bills_of is not None and (self.path or self.database or self.holds != "orders"):
            raise ValueError("bills_of stands instead of path and database, and its rows are orders")
        if self.holds == "orders" and self.columns.customer is None:
            raise ValueError("columns.customer must name a column; only refunds can do without")
        if self.holds in TABLES:
            require_fields(self)
        elif self.fields or self.account_space or self.about:
            raise ValueError(
                f"fields, about and account_space belong to tables beside the orders; columns of {self.holds} go under columns"
            )
        return self

    @property
    def is_lines(self) -> bool:
        """Whether the rows are order lines or refunds, and not of a table beside them."""
        return self.holds not in TABLES

    def wanted(self) -> dict[str, str]:
        """The columns to be read, by role."""
        if not self.is_lines:
            accounts = {f"account_{source}": column for source, column in self.accounts.items()}
            about = {f"about_{name}": column for name, column in self.about.items()}
            return (
                self.fields | about | accounts | {f"key_{kind}": column for kind, column in self.keys.items()}
            )
        wanted = {role: name for role, name in self.columns if name is not None}
        if self.columns.price is not None:  # the amount is price times quantity
            wanted.pop("amount")
        return wanted | {f"key_{kind}": column for kind, column in self.keys.items()}

    def roles(self) -> tuple[str, ...]:
        """Every role that rows of the source have; those of no column are null."""
        return (
            (*LedgerColumns.model_fields, *(f"key_{kind}" for kind in self.keys))
            if self.is_lines
            else tuple(self.wanted())
        )


class LedgerSection(SourceSection):
    """Where the rows are, how they are read, and which are left out by policy.

    One source is described right here; several stand in ``sources``, by name.
    """

    at_least: ClassVar[tuple[str, ...]] = ("path",)  # what a message asks for where the section is missing

    sources: dict[str, SourceSection] = Field(
        default_factory=dict,
        description="Several sources by name, instead of one described in the section itself.",
    )
    earliest: date = Field(
        date(1980, 1, 1),
        description="First day a purchase can have; earlier dates (1900-01-00, epoch zero) are quarantined.",
    )
    duplicate_lines: Literal["keep", "drop"] = Field(
        "keep",
        description="What becomes of the second and later copies of a row in a file: used, or excluded.",
    )
    overlaps: Literal["once", "keep"] = Field(
        "once",
        description="What becomes of rows that an earlier file has too (overlapping extracts, a file loaded twice): "
        "counted once, or kept. With line ids, the row of the last file counts.",
    )
    zero_amounts: Literal["keep", "exclude", "quarantine"] = Field(
        "keep", description="What becomes of rows with an amount of zero."
    )
    negative_amounts: Literal["net", "exclude", "quarantine"] = Field(
        "exclude",
        description="What becomes of rows with a negative amount: net takes refunds off the orders they belong to.",
    )
    guests: Literal["quarantine", "exclude"] = Field(
        "quarantine",
        description="What becomes of rows without a customer: guests are reported, never modelled as one person.",
    )
    tax: Literal["exclude", "include"] = Field("exclude", description="Whether tax counts in amounts.")
    shipping: Literal["exclude", "include"] = Field(
        "exclude", description="Whether what customers pay for delivery counts in amounts."
    )
    not_sales: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="Product codes that are no sale, by reason: {postage: [POST, DOT], fees: [BANK CHARGES]}; "
        "a * stands for any text.",
    )
    excluded_customers: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="Customers that are left out, by reason: {test: [T-1, T-2], staff: ['S-*']}; * is any text.",
    )
    max_quarantined_share: float = Field(
        0.05, ge=0, le=1, description="Largest share of rows in quarantine with which a run still passes."
    )
    refunds: RefundsSection = Field(
        RefundsSection(), description="With negative_amounts: net, how refunds find their sales."
    )
    exchange: CurrencySection = Field(
        CurrencySection(), description="How amounts in other currencies become amounts in the study's."
    )
    identity: IdentitySection = Field(
        IdentitySection(), description="How accounts that are one person are found."
    )
    catch_all: CatchAllSection = Field(
        CatchAllSection(), description="When one account is put up for review as an account of many people."
    )
    books: BooksSection = Field(
        BooksSection(), description="Which accounts of the general ledger the rows are held against."
    )
    anomalies: AnomaliesSection = Field(
        AnomaliesSection(), description="When a day of the history is put up for review."
    )
    costs: CostsSection | None = Field(
        None, description="What products cost: the margin ladder of the report; None: it has none."
    )
    shared_accounts: SharedAccountsSection | None = Field(
        None,
        description="Accounts that several customers share, and how their money is split; None: there are none.",
    )
    inclusion: InclusionSection = Field(
        InclusionSection(), description="Which customers the models see, and what becomes of the others."
    )
    completeness: CompletenessSection = Field(
        CompletenessSection(), description="How it is told up to which day a source is complete."
    )

    @model_validator(mode="after")
    def _one_or_several(self) -> "LedgerSection":
        one = self.path is not None or self.database is not None
        if one == bool(self.sources):
            raise ValueError("it needs at least path (one source) or sources (several), and not both")
        if len({name.casefold() for name in self.sources}) < len(self.sources):
            raise ValueError("the names of sources must differ by more than capitals")
        for name, source in self.sources.items():
            if not re.fullmatch(r"\w[\w -]{0,59}", name):  # files and tables are called after them
                raise ValueError(
                    f"sources: a name has letters, digits, spaces, _ and -, at most 60 (got {name[:60]!r})"
                )
            if source.bills_of is not None:
                self._bills_of_contracts(name, source.bills_of)
            elif source.path is None and source.database is None:
                raise ValueError(f"sources.{name} needs path or database")
        spaces = {*self.sources, *(space for one in self.sources.values() for space in one.accounts)}
        for name, source in self.sources.items():
            if (space := source.account_space) and space not in spaces:
                hint = (
                    did_you_mean(space, sorted(spaces)) or "name it under accounts of a source of customers"
                )
                raise ValueError(f"sources.{name}.account_space: nothing has accounts of {space!r}; {hint}")
        return self

    def _bills_of_contracts(self, name: str, contracts: str) -> None:
        billed = self.sources.get(contracts)
        if billed is None or billed.holds not in CONTRACTS:
            known = [one for one, source in self.sources.items() if source.holds in CONTRACTS]
            hint = did_you_mean(contracts, known) or "describe a source that holds contracts"
            raise ValueError(f"sources.{name}.bills_of: {contracts!r} holds no contracts; {hint}")
        if "fee" not in billed.fields and "paid" not in billed.fields:
            raise ValueError(
                f"sources.{name}.bills_of: {contracts!r} has no field fee, so that nobody knows what was billed"
            )
        if billed.account_space != name:
            raise ValueError(
                f"sources.{contracts}.account_space must be {name!r}: its bills are of the same accounts"
            )
        if self.database is not None or any(one.database for one in self.sources.values()):
            raise ValueError(f"sources.{name}.bills_of works where all sources are files")

    def by_name(self) -> dict[str, SourceSection]:
        """Every source by its name; a single one is called orders."""
        return dict(self.sources) or {"orders": self}
