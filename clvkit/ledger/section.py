"""What a study says about its ledger: where the rows are, how to read them, which rows to leave out."""

import re
from datetime import date
from decimal import Decimal
from typing import Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from clvkit.rules import RuleBroken, did_you_mean
from clvkit.section import Section

_DATE_DIRECTIVES = set("YymdbBjHIpMSfzaA")
_ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1", "iso-8859-15", "ascii")


class LedgerColumns(Section):
    """Names of the columns in the source. Without a header line, columns are named 1, 2, 3, ..."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    customer: str = Field("customer_id", description="Column that names the customer.")
    date: str = Field("date", description="Column with the day (or moment) of the purchase.")
    amount: str = Field("amount", description="Column with the amount of the row, in the study's currency.")
    line_id: str | None = Field(
        None, description="Column that identifies a row; without it, rows with the same text are duplicates."
    )
    segment: str | None = Field(
        None, description="Column with the customer's segment; the segment of the first purchase counts."
    )


class LedgerSection(Section):
    """Where the rows are, how they are read, and which are left out by policy."""

    path: str = Field(
        description="File, folder or glob with CSV or Parquet files, relative to the study file."
    )
    format: Literal["auto", "csv", "parquet"] = Field(
        "auto", description="Format of the files; auto goes by the ending of the name."
    )
    encoding: str = Field("utf-8", description="Character encoding of CSV files, such as utf-8 or cp1252.")
    delimiter: str = Field(",", description="Character between two columns of a CSV file ('tab' for a tab).")
    header: bool = Field(True, description="Whether the first line of a CSV file names the columns.")
    decimal: Literal[".", ","] = Field(".", description="Decimal sign in amounts written as text.")
    thousands: Literal[",", ".", " ", "'"] | None = Field(
        None, description="Sign between groups of three digits in amounts written as text; none by default."
    )
    columns: LedgerColumns = Field(LedgerColumns(), description="Names of the columns in the source.")
    date_format: str = Field("%Y-%m-%d", description="How dates are written, in strptime's letters.")
    earliest: date = Field(
        date(1980, 1, 1),
        description="First day a purchase can have; earlier dates (1900-01-00, epoch zero) are quarantined.",
    )
    extracted: date | None = Field(
        None, description="Day the extract was made; later dates are quarantined; today if not given."
    )
    missing_words: tuple[str, ...] = Field(
        ("NULL", "null", "None", "NaN", "nan", "NA", "N/A"),
        description="Words that stand for a missing value, besides an empty field.",
    )
    duplicate_lines: Literal["keep", "drop"] = Field(
        "keep", description="What becomes of the second and later copies of a row: used, or excluded."
    )
    zero_amounts: Literal["keep", "exclude", "quarantine"] = Field(
        "keep", description="What becomes of rows with an amount of zero."
    )
    negative_amounts: Literal["exclude", "quarantine"] = Field(
        "exclude", description="What becomes of rows with a negative amount (refunds, corrections)."
    )
    max_quarantined_share: float = Field(
        0.05, ge=0, le=1, description="Largest share of rows in quarantine with which a run still passes."
    )
    control_total: Decimal | None = Field(
        None, description="Sum of all readable amounts that the source must have, in currency units."
    )
    control_rows: int | None = Field(None, ge=0, description="Number of rows that the source must have.")

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            "".encode(value)
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
    def _whole_date(cls, value: str) -> str:
        used = set(re.findall(r"%-?([A-Za-z])", value.replace("%%", "")))
        if unknown := sorted(used - _DATE_DIRECTIVES):
            raise RuleBroken(f"must not use %{unknown[0]}", "a usual format is %Y-%m-%d or %d.%m.%Y")
        if not used & set("Yy") or not ("j" in used or ("d" in used and used & set("mbB"))):
            raise RuleBroken("must say year, month and day", "a usual format is %Y-%m-%d or %d.%m.%Y")
        if "z" in used and not value.endswith("%z"):
            raise RuleBroken("may have the offset %z only at its end")
        return value

    @model_validator(mode="after")
    def _signs_differ(self) -> "LedgerSection":
        if self.thousands == self.decimal:
            raise ValueError(f"thousands and decimal must differ (both are {self.decimal!r})")
        return self
