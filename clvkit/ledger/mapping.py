"""Which columns the sources have, and what the study makes of each."""

import csv
from collections.abc import Collection, Iterable

import pandas as pd
import pyarrow.parquet as pq

from clvkit.ledger.columns import names_in_order
from clvkit.ledger.database_source import SourceTable
from clvkit.ledger.files import SourceFile
from clvkit.ledger.lines import Reading
from clvkit.ledger.section import SourceSection
from clvkit.ledger.text import line_batches

#: What stands in place of a role: the study names no role for the column, or it must not be read.
UNUSED, BANNED = "", "banned"


def mapping_frame(
    readings: Iterable[Reading], files: Iterable[SourceFile | SourceTable], banned: Collection[str]
) -> pd.DataFrame:
    """``source, column, role``: every column of every source, one row for each role it has.

    The names alone are looked at, of banned columns too. A table of a database is asked for no banned column, not even
    for its name.
    """
    closed = {name.strip().casefold() for name in banned}
    sections = {reading.name: reading.section for reading in readings}
    names: dict[str, dict[str, None]] = {name: {} for name in sections}
    for file in files:
        names[file.source] |= dict.fromkeys(_names(file, sections[file.source]))
    rows = []
    for source, section in sections.items():
        roles: dict[str, list[str]] = {}
        for role, column in section.wanted().items():
            roles.setdefault(column, []).append(role)
        for column in names[source]:
            here = [BANNED] if column.strip().casefold() in closed else roles.get(column, [UNUSED])
            rows += [(source, column, role) for role in here]
    return pd.DataFrame(rows, columns=["source", "column", "role"])


def _names(file: SourceFile | SourceTable, section: SourceSection) -> list[str]:
    if isinstance(file, SourceTable):
        return list(file.table.columns)
    if file.format == "parquet":
        return list(pq.read_schema(file.path).names)
    for batch in line_batches(file, section.encoding):
        if len(batch):
            first = next(csv.reader([batch["line"][0].as_py()], delimiter=section.delimiter), [])
            return [name.strip() for name in first] if section.header else names_in_order(len(first))
    return []
