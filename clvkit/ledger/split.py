"""From lines to columns: the grammar of a CSV record, and the mending of records over several lines.

A field is either quoted (quotes inside are doubled, line ends and delimiters allowed) or plain (it may hold
a quote, as in ``5" pipe``, but not begin with one). A line that is no whole record, but could be the
beginning of one, is joined with the lines after it up to the first that completes a record of the right
width. If none of the next ``MAX_JOINED_LINES`` does, that one line is unparseable and reading goes on behind
it: a stray quote costs one row, not the rest of the file.
"""

import re
from collections.abc import Iterator, Sequence

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from clvkit.ledger.engine import regexp_extract_all

MAX_JOINED_LINES = 100
_SUSPECTS_AT_ONCE = 5000
_QUOTED = r'"(?:[^"]|"")*"'


def field_pattern(delimiter: str) -> str:
    """Pattern of one field and the delimiter before it; group 1 is the field."""
    stop = re.escape(delimiter)
    return rf"{stop}({_QUOTED}|[^{stop}]*)"


def record_pattern(delimiter: str, quoted: str = _QUOTED) -> str:
    """Pattern of a whole record; ``quoted`` is the pattern of a quoted field."""
    stop = re.escape(delimiter)
    field = rf'(?:{quoted}|[^"{stop}][^{stop}]*|)'
    return rf"^{field}(?:{stop}{field})*$"


def simple_pattern(delimiter: str) -> str:
    """Pattern of a record without a delimiter inside quotes, which may be split at every delimiter."""
    return record_pattern(delimiter, rf'"(?:[^"{re.escape(delimiter)}]|"")*"')


def open_pattern(delimiter: str) -> str:
    """Pattern of the beginning of a record whose last field is quoted and not yet closed."""
    stop = re.escape(delimiter)
    field = rf'(?:{_QUOTED}|[^"{stop}][^{stop}]*|)'
    return rf'^(?:{field}{stop})*"(?:[^"]|"")*$'


def is_simple(line: ir.StringColumn, delimiter: str) -> ir.BooleanColumn:
    """Whether a line is a record that may be split at every delimiter."""
    return ibis.ifelse(line.contains('"'), line.re_search(simple_pattern(delimiter)), True)


def is_record(line: ir.StringColumn, delimiter: str) -> ir.BooleanColumn:
    """Whether a line is a whole record by itself."""
    return line.re_search(record_pattern(delimiter))


def fields(line: ir.StringColumn, delimiter: str) -> ir.ArrayColumn:
    """The fields of a whole record that is not simple, still in their quotes."""
    return regexp_extract_all(ibis.literal(delimiter) + line, field_pattern(delimiter), 1)


def unquote(field: ir.StringColumn) -> ir.StringColumn:
    """A field without its quotes."""
    inner = field.substr(1, field.length() - 2).replace('""', '"')
    return ibis.ifelse(field.startswith('"') & field.endswith('"') & (field.length() > 1), inner, field)


def mend(lines: ir.Table, delimiter: str, widths: Sequence[int]) -> tuple[pa.Table, pa.Table]:
    """Join records that run over several lines.

    Parameters
    ----------
    lines : table with ``ordinal`` (consecutive within a file), ``file_no``, ``line``.
    delimiter : the character between fields.
    widths : number of fields of a record, by ``file_no``.

    Returns
    -------
    ``(joined, absorbed)``: ``ordinal, line`` of records to be put in place of their first line, and
    ``ordinal, file_no`` of the lines that became part of one.
    """
    doubtful = lines.filter(~is_simple(lines.line, delimiter) & ~is_record(lines.line, delimiter)).select(
        "ordinal", "file_no"
    )
    suspects = doubtful.order_by("ordinal").to_pyarrow().to_pylist()
    joiner = _Joiner(delimiter)
    joined, absorbed, done = [], [], -1
    for start in range(0, len(suspects), _SUSPECTS_AT_ONCE):
        part = suspects[start : start + _SUSPECTS_AT_ONCE]
        near = _lines_near(lines, [s["ordinal"] for s in part])
        for ordinal, file_no in (s.values() for s in part):
            if ordinal <= done:
                continue
            following = _following(near, ordinal, file_no)
            text, used = joiner.join(near[ordinal][1], following, widths[file_no])
            if used:
                joined.append((ordinal, text))
                done = used[-1]
                absorbed += [(o, file_no) for o in used if o in near]
    return (
        pa.table(
            {
                "ordinal": pa.array([j[0] for j in joined], pa.int64()),
                "line": pa.array([j[1] for j in joined], pa.string()),
            }
        ),
        pa.table(
            {
                "ordinal": pa.array([a[0] for a in absorbed], pa.int64()),
                "file_no": pa.array([a[1] for a in absorbed], pa.int64()),
            }
        ),
    )


def _lines_near(lines: ir.Table, ordinals: list[int]) -> dict[int, tuple[int, str]]:
    wanted = sorted({o + k for o in ordinals for k in range(MAX_JOINED_LINES + 1)})
    keys = ibis.memtable(pa.table({"ordinal": pa.array(wanted, pa.int64())}))
    found = lines.semi_join(keys, "ordinal").select("ordinal", "file_no", "line").to_pyarrow()
    return {
        o: (f, t)
        for o, f, t in zip(*(found[c].to_pylist() for c in ("ordinal", "file_no", "line")), strict=True)
    }


def _following(near: dict, ordinal: int, file_no: int) -> Iterator[tuple[int, str]]:
    for next_one in range(ordinal + 1, ordinal + MAX_JOINED_LINES + 1):
        at = near.get(next_one)
        if at is None:
            # An empty line inside a quoted field: it was no row of its own, but it is part of this one.
            yield next_one, ""
        elif at[0] != file_no:
            return
        else:
            yield next_one, at[1]


class _Joiner:
    def __init__(self, delimiter: str):
        self.delimiter = delimiter
        self.whole = re.compile(record_pattern(delimiter).replace("$", r"\Z"))
        self.open = re.compile(open_pattern(delimiter).replace("$", r"\Z"))
        self.field = re.compile(field_pattern(delimiter))

    def join(self, first: str, following: Iterator[tuple[int, str]], width: int) -> tuple[str, list[int]]:
        """The record that begins with ``first``, and the ordinals of the further lines it took."""
        parts, used = [first], []
        if not self.open.match(first):
            return first, []
        for ordinal, line in following:
            parts.append(line)
            used.append(ordinal)
            if '"' not in line:
                continue
            text = "\n".join(parts)
            if self.whole.match(text):
                return (
                    (text, used) if len(self.field.findall(self.delimiter + text)) == width else (first, [])
                )
            if not self.open.match(text):
                break
        return first, []
