"""The study's section on the ledger: where the data lie and how they are read."""

import codecs
from datetime import date
from typing import Literal

from pydantic import Field, field_validator

from clvkit.rules import RuleBroken, did_you_mean
from clvkit.section import Section


class LedgerColumns(Section):
    """Which column of the source holds what."""

    customer: str = Field("customer_id", min_length=1, description="Column with the customer's identifier.")
    date: str = Field("date", min_length=1, description="Column with the day of the purchase.")
    amount: str = Field("amount", min_length=1, description="Column with the amount, in the study's currency.")
    line_id: str | None = Field(None, description="Column that identifies a source line, if there is one.")
    segment: str | None = Field(None, description="Column with the customer's segment, if there is one.")


class LedgerSection(Section):
    """Where the purchases lie and how their rows are read."""

    path: str = Field(min_length=1, description=(
        "File, folder or pattern (`sales/*.csv`) of the purchases, relative to the study file that states it."))
    format: Literal["auto", "csv", "parquet"] = Field("auto", description=(
        "Format of the files; auto goes by the ending of their names."))
    encoding: str = Field("utf-8", description="Character encoding of CSV files.")
    delimiter: str = Field(",", min_length=1, max_length=1, description="Character between the fields of a CSV row.")
    header: bool = Field(True, description="Whether the first row of a CSV file names the columns.")
    decimal: Literal[".", ","] = Field(".", description="Decimal mark of the amounts.")
    columns: LedgerColumns = Field(default_factory=LedgerColumns, description="Which column holds what.")
    date_format: str = Field("%Y-%m-%d", min_length=1, description=(
        "How days are written, in strptime codes: %d/%m/%Y reads 30/06/1998."))
    extracted: date | None = Field(None, description=(
        "Day the extract was made; rows dated later are quarantined. null: not known."))
    duplicate_lines: Literal["keep", "drop"] = Field("keep", description=(
        "What becomes of a line that repeats another in full: keep it, or drop (exclude) it."))
    zero_amounts: Literal["keep", "exclude", "quarantine"] = Field("keep", description=(
        "What becomes of purchases with an amount of zero."))
    negative_amounts: Literal["exclude", "quarantine"] = Field("quarantine", description=(
        "What becomes of rows with a negative amount, such as returns."))
    control_total: float | None = Field(None, description=(
        "Amount that all rows of the source must add up to, in the study's currency; the run stops if not."))
    control_rows: int | None = Field(None, ge=0, description=(
        "Number of rows that the source must have; the run stops if not."))

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            codecs.lookup(value)
        except LookupError as error:
            known = ("utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1", "iso-8859-15", "ascii")
            raise RuleBroken("must be a known character encoding, such as utf-8, cp1252 or latin-1",
                             did_you_mean(value, known)) from error
        return value
