"""Tables as HTML.

The markup is written here and not by great_tables, which (1.1) puts title and source line into rows of the
head and foot, so that a table over two printed pages repeats its title, has no ``<caption>``, and brings nine
kilobytes of its own style per table into a report that has one style.
"""

from datetime import date
from decimal import Decimal
from html import escape

import pandas as pd

from clvkit import numbers
from clvkit.exhibits import SHORTHAND, Table
from clvkit.publish.words import inline_markdown, joined


def table_html(table: Table) -> str:
    """The table as it stands in a report: message, caption, figures aligned on the right, legend and note.

    The first column names the rows. Money in parentheses is negative, a dash is zero; totals were computed
    from unrounded values.
    """
    columns = list(table.frame.columns)
    formats = {column: table.formats.get(column) or _default(table.frame[column]) for column in columns}
    head = "".join(
        f'<th scope="col"{_aligned(formats[column])}>'
        f"{inline_markdown(str(table.labels.get(column, column)))}</th>"
        for column in columns
    )
    rows = [
        [cell_text(value, formats[column]) for column, value in zip(columns, row, strict=True)]
        for row in table.frame.itertuples(index=False, name=None)
    ]
    last = len(rows) - 1
    body = "".join(
        _row(row, [formats[column] for column in columns], total=table.total and place == last)
        for place, row in enumerate(rows)
    )
    used = {text for row in rows for text in row}
    return (
        f'<div class="clv clv-table" id="table-{table.name}"><table><caption>'
        f'<span class="message">{inline_markdown(table.title)}</span> '
        f'<span class="measure">{inline_markdown(table.caption)}</span></caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{_foot(table, used)}</div>"
    )


def cell_text(value: object, wanted: str) -> str:
    """One value as its cell shows it: rounded half up, missing as ``[x]``."""
    if isinstance(value, str) and value in SHORTHAND:
        return value
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return numbers.NOT_AVAILABLE
    kind, *options = wanted.split(":")
    decimals = int(options.pop()) if options and options[-1].isdigit() else None
    match kind:
        case "text":
            return str(value)
        case "date":
            return numbers.date_words(value)
        case "count":
            return numbers.count(value)
        case "percent":
            return numbers.percent(value, 1 if decimals is None else decimals)
        case "money":
            return numbers.money_cell(value, *(options or ["one"]), digits=decimals or 0)
        case _:
            return numbers.number(value, 2 if decimals is None else decimals)


def _default(column: pd.Series) -> str:
    if pd.api.types.is_datetime64_any_dtype(column) or all(isinstance(value, date) for value in column):
        return "date"
    if pd.api.types.is_integer_dtype(column):
        return "count"
    figures = pd.api.types.is_numeric_dtype(column) or all(
        isinstance(value, Decimal | float) for value in column
    )
    return "number" if figures and len(column) else "text"


def _aligned(wanted: str) -> str:
    return "" if wanted in ("text", "date") else ' class="figure"'


def _row(cells: list[str], formats: list[str], *, total: bool) -> str:
    first = f'<th scope="row"{_aligned(formats[0])}>{escape(joined(cells[0]), quote=False)}</th>'
    rest = "".join(
        f"<td{_aligned(wanted)}>{escape(joined(cell), quote=False)}</td>"
        for cell, wanted in zip(cells[1:], formats[1:], strict=True)
    )
    return f"<tr{' class="total"' if total else ''}>{first}{rest}</tr>"


def _foot(table: Table, used: set[str]) -> str:
    legend = "; ".join(f"{mark} {meaning}" for mark, meaning in SHORTHAND.items() if mark in used)
    lines = [escape(legend)] if legend else []
    if table.note:
        lines.append(inline_markdown(table.note))
    return f'<p class="note">{". ".join(lines)}</p>' if lines else ""
