"""A text file as an export has it: cells, and the habits it is written in."""

import csv
import io
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass
class Sheet:
    """Header and rows, all text, with the file's delimiter and encoding; ``cut``: characters lost at the end."""

    header: list[str]
    rows: list[list[str]] = field(default_factory=list)
    delimiter: str = ","
    encoding: str = "utf-8"
    cut: int = 0

    def at(self, column: str) -> int:
        """The place of a column."""
        return self.header.index(column)

    def bytes(self) -> bytes:
        """The file, with line feeds."""
        text = io.StringIO()
        csv.writer(text, delimiter=self.delimiter, lineterminator="\n").writerows([self.header, *self.rows])
        whole = text.getvalue()
        return whole[: len(whole) - self.cut].encode(self.encoding)


def money(minor: int, decimal: str = ".") -> str:
    """Minor units as a text with two decimals."""
    sign, minor = "-" if minor < 0 else "", abs(int(minor))
    return f"{sign}{minor // 100}{decimal}{minor % 100:02d}"


def minor_units(text: str) -> int:
    """The minor units of a text that `money` wrote, with either decimal sign."""
    return int(text.replace(",", "").replace(".", ""))


def utc(moment: datetime) -> str:
    """A moment with a zone as an ISO text in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
