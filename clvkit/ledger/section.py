"""What a study says about its ledger: where the rows are, how to read them, which rows to leave out."""

import codecs
import re
from datetime import date
from decimal import Decimal
from typing import Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from clvkit.section import Section

_DATE_DIRECTIVES = set("YymdbBjHIpMSfzaA")


class LedgerColumns(Section):
    """Names of the columns in the source. Without a header line, columns are named 1, 2, 3, ..."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    customer: str = Field("customer_id", description="column that names the customer")
    date: str = Field("date", description="column with the day (or moment) of the purchase")
    amount: str = Field("amount", description="column with the amount of the row, in the study's currency")
    line_id: str | None = Field(
        None, description="column that identifies a row; without it, rows with the same text are duplicates"
    )
    segment: str | None = Field(
        None, description="column with the customer's segment; the segment of the first purchase counts"
    )


class LedgerSection(Section):
    """Where the rows are, how they are read, and which are left out by policy."""

    path: str = Field(
        description="file, folder or glob with CSV or Parquet files, relative to the study file"
    )
    format: Literal["auto", "csv", "parquet"] = Field(
        "auto", description="format of the files; auto goes by the ending of the name"
    )
    encoding: str = Field("utf-8", description="character encoding of CSV files, such as utf-8 or cp1252")
    delimiter: str = Field(",", description="character between two columns of a CSV file ('tab' for a tab)")
    header: bool = Field(True, description="whether the first line of a CSV file names the columns")
    decimal: Literal[".", ","] = Field(".", description="decimal sign in amounts written as text")
    thousands: Literal[",", ".", " ", "'"] | None = Field(
        None, description="sign between groups of three digits in amounts written as text; none by default"
    )
    columns: LedgerColumns = Field(LedgerColumns(), description="names of the columns in the source")
    date_format: str = Field("%Y-%m-%d", description="how dates are written, in strptime's letters")
    earliest: date = Field(
        date(1980, 1, 1),
        description="first day a purchase can have; earlier dates (1900-01-00, epoch zero) are quarantined",
    )
    extracted: date | None = Field(
        None, description="day the extract was made; later dates are quarantined; today if not given"
    )
    missing_words: tuple[str, ...] = Field(
        ("NULL", "null", "None", "NaN", "nan", "NA", "N/A"),
        description="words that stand for a missing value, besides an empty field",
    )
    duplicate_lines: Literal["keep", "drop"] = Field(
        "keep", description="what becomes of the second and later copies of a row: used, or excluded"
    )
    zero_amounts: Literal["keep", "exclude", "quarantine"] = Field(
        "keep", description="what becomes of rows with an amount of zero"
    )
    negative_amounts: Literal["exclude", "quarantine"] = Field(
        "exclude", description="what becomes of rows with a negative amount (refunds, corrections)"
    )
    max_quarantined_share: float = Field(
        0.05, ge=0, le=1, description="largest share of rows in quarantine with which a run still passes"
    )
    control_total: Decimal | None = Field(
        None, description="sum of all readable amounts that the source must have, in currency units"
    )
    control_rows: int | None = Field(None, ge=0, description="number of rows that the source must have")

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            codecs.lookup(value)
        except LookupError:
            raise ValueError(
                f"must be an encoding Python knows, such as utf-8, cp1252 or latin-1 (got {value!r})"
            ) from None
        return value

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str) -> str:
        value = {"tab": "\t", r"\t": "\t"}.get(value, value)
        if len(value) != 1 or value in '"\r\n\0':
            raise ValueError(f"must be one character other than a quote or a line end (got {value!r})")
        return value

    @field_validator("date_format")
    @classmethod
    def _whole_date(cls, value: str) -> str:
        used = set(re.findall(r"%-?([A-Za-z])", value.replace("%%", "")))
        if unknown := sorted(used - _DATE_DIRECTIVES):
            raise ValueError(
                f"uses %{unknown[0]}, which is not understood (got {value!r}); a usual format "
                "is %Y-%m-%d or %d.%m.%Y"
            )
        if not used & set("Yy") or not ("j" in used or ("d" in used and used & set("mbB"))):
            raise ValueError(f"must say year, month and day, such as %Y-%m-%d (got {value!r})")
        if "z" in used and not value.endswith("%z"):
            raise ValueError(f"may have the offset %z only at its end (got {value!r})")
        return value

    @model_validator(mode="after")
    def _signs_differ(self) -> "LedgerSection":
        if self.thousands == self.decimal:
            raise ValueError(f"thousands and decimal must differ (both are {self.decimal!r})")
        return self
