"""Exhibits: what a chapter shows - tables, figures, sentences, facts."""

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING

from clvkit.numbers import NOT_APPLICABLE, NOT_AVAILABLE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Drawing

#: What stands in a table instead of a number, and what it means.
SHORTHAND = {
    NOT_AVAILABLE: "not available",
    NOT_APPLICABLE: "not applicable",
    "[c]": "suppressed, too few customers",
    "[p]": "provisional",
}

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_FORMATS = re.compile(r"money(:(one|thousand|million|billion))?(:\d)?|(percent|number)(:\d)?|count|text|date")
_CUSTOMER_COLUMNS = {"customer", "customer_id", "pseudonym"}


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"an exhibit's name is lower case letters, digits and _ (got {name!r}); "
            "it becomes the name of a file"
        )


def _check_frame(name: str, frame: "pd.DataFrame") -> None:
    found = sorted(_CUSTOMER_COLUMNS & {str(column) for column in frame.columns})
    if found:
        raise ValueError(
            f"the exhibit {name} has one row per customer (column {found[0]}); "
            "a run holds no customer-level rows: show totals"
        )


@dataclass(frozen=True)
class Table:
    """A table with a message.

    Parameters
    ----------
    name : lower-case name, unique in a run; the CSV is called after it.
    frame : unrounded values, one row per line of the table; missing values show as ``[x]``, and a cell may
        hold one of the texts of :data:`SHORTHAND` itself.
    title : the message, as a sentence.
    caption : measure, coverage and unit; the currency is said here or in a header, not in the cells.
    formats : per column, one of ``money``, ``count``, ``percent``, ``number``, ``text``, ``date``.
        ``:d`` sets the decimals (``number:3``), and money may have a unit (``money:thousand``,
        ``money:million:2``) that the header must then say. Columns left out are shown by what they hold.
    labels : headers; a column left out is called by its name.
    total : whether the last row is a total. It is computed by the caller, from unrounded values.
    note : what would worry us, or how to read it.
    """

    name: str
    frame: "pd.DataFrame"
    title: str
    caption: str
    _: KW_ONLY
    formats: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    total: bool = False
    note: str | None = None

    def __post_init__(self):
        _check_name(self.name)
        _check_frame(self.name, self.frame)
        for what, names in (("formats", self.formats), ("labels", self.labels)):
            unknown = sorted(set(names) - set(self.frame.columns))
            if unknown:
                raise ValueError(f"the table {self.name} has {what} for columns it does not have: {unknown}")
        for column, wanted in self.formats.items():
            if not _FORMATS.fullmatch(wanted):
                raise ValueError(
                    f"the table {self.name} asks for the format {wanted!r} in {column!r}; formats "
                    "are money, count, percent, number, text, date, some with decimals (number:3)"
                )


@dataclass(frozen=True)
class Figure:
    """A figure with a message.

    Parameters
    ----------
    name : lower-case name, unique in a run; the SVG and the CSV are called after it.
    draw : the drawing, made with :mod:`clvkit.publish.style`.
    title : the message, as a sentence.
    caption : measure, coverage, unit and period.
    alt : what a reader who cannot see it must know; required, there is no default.
    frame : the plotted data, unrounded; kept beside the drawing as CSV.
    worry : what would worry us in it.
    """

    name: str
    draw: "Drawing"
    title: str
    caption: str
    _: KW_ONLY
    alt: str
    frame: "pd.DataFrame"
    worry: str | None = None

    def __post_init__(self):
        _check_name(self.name)
        _check_frame(self.name, self.frame)
        if not self.alt.strip():
            raise TypeError(f"the figure {self.name} needs an alt text: say what it shows, in words")


@dataclass(frozen=True)
class Sentence:
    """Prose made from numbers, in Markdown, with the numbers already formatted."""

    text: str


@dataclass(frozen=True)
class Headline:
    """The answer, in one or two sentences of Markdown; page one opens with it in larger type."""

    text: str


@dataclass(frozen=True)
class Facts:
    """Short facts side by side: what each is about, and the fact in Markdown.

    Example: ``Facts({"What it rests on": "a margin of 30 % and a discount rate of 10 % a year"})``.
    """

    items: Mapping[str, str]


Exhibit = Table | Figure | Sentence | Headline | Facts
