"""What changed between two versions of the data: schemas, closed months, and their rows with old and new value."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

import ibis

from clvkit.erasure.suppression import REASON
from clvkit.versions import closed_before, content_columns

if TYPE_CHECKING:
    import ibis.expr.types as ir

#: Rows that are listed one by one; what goes beyond is counted and not listed.
LISTED = 10_000


@dataclass(frozen=True)
class SchemaChange:
    """Columns of one source that came, went, or hold another type (``name: (old, new)``)."""

    source: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    retyped: dict[str, tuple[str, str]]


@dataclass(frozen=True)
class MonthChange:
    """A closed month that is not what it was; amounts in minor units of the currency, zero where there was none."""

    source: str
    month: str
    currency: str
    rows: tuple[int, int]
    amount_minor: tuple[int, int]
    explained: bool = False
    """Whether its rows agree all the same: the older version has lost rows to an erasure, and nothing else."""


@dataclass(frozen=True)
class RowChange:
    """One row of a closed month: ``added``, ``removed`` or ``changed``; personal data.

    ``values`` holds old and new value by column: of a changed row the cells that differ, of the others all.
    """

    kind: str
    source: str
    key: dict[str, Any]
    values: dict[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Comparison:
    """The difference of two versions.

    ``rows`` lists at most :data:`LISTED` rows; ``counts`` counts those listed by kind, ``unlisted`` the others.
    """

    schema: tuple[SchemaChange, ...] = ()
    months: tuple[MonthChange, ...] = ()
    rows: tuple[RowChange, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    unlisted: int = 0
    sources_added: tuple[str, ...] = ()
    sources_removed: tuple[str, ...] = ()

    @property
    def restated(self) -> tuple[MonthChange, ...]:
        """Closed months that the source changed; those that only an erasure explains are not among them."""
        return tuple(month for month in self.months if not month.explained)


def compare(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    old_rows: "ir.Table | None" = None,
    new_rows: "ir.Table | None" = None,
    *,
    key: Sequence[str] = ("line_id",),
    erased: bool = False,
) -> Comparison:
    """Find what is restated: changes of months that were closed when the older snapshot was taken.

    Parameters
    ----------
    old, new : what `versions.snapshot` gave.
    old_rows, new_rows : the lines they were taken of, on one engine; without them months are compared, not rows.
    key : columns that name a row within its source. Where the lines lack them, rows are compared as records:
        two that differ in a single cell are one row that changed.
    erased : whether persons were erased since the older snapshot. Months whose rows agree and whose hashes do
        not are then put down to that.
    """
    before, after = old["sources"], new["sources"]
    both = [name for name in before if name in after]
    schema = [_schema_change(name, before[name]["schema"], after[name]["schema"]) for name in both]
    months = [change for name in both for change in _months(name, before[name], after[name], old["as_of"])]
    made = {
        "schema": tuple(change for change in schema if change is not None),
        "months": tuple(months),
        "sources_added": tuple(sorted(set(after) - set(before))),
        "sources_removed": tuple(sorted(set(before) - set(after))),
    }
    if old_rows is None or new_rows is None or not months:
        return Comparison(**made)
    limit = closed_before(date.fromisoformat(old["as_of"]))
    removed, added, unlisted = _differing(old_rows, new_rows, {m.source for m in months}, limit)
    keys = [name for name in key if name in old_rows.columns and name in new_rows.columns]
    if len(keys) == len(key):
        added += _moved(removed, added, new_rows, ["source", *keys], limit)
        rows = _by_key(removed, added, keys)
    else:
        rows = _by_record(removed, added)
    if erased and not rows:
        made["months"] = tuple(MonthChange(**vars(month) | {"explained": True}) for month in months)
    return Comparison(
        **made, rows=tuple(rows), counts=dict(Counter(row.kind for row in rows)), unlisted=unlisted
    )


def _schema_change(source: str, old: Mapping, new: Mapping) -> SchemaChange | None:
    if old["sha256"] == new["sha256"]:
        return None
    before, after = dict(old["columns"]), dict(new["columns"])
    return SchemaChange(
        source,
        tuple(sorted(set(after) - set(before))),
        tuple(sorted(set(before) - set(after))),
        {n: (before[n], after[n]) for n in sorted(set(before) & set(after)) if before[n] != after[n]},
    )


def _months(source: str, old: Mapping, new: Mapping, as_of: str) -> Iterable[MonthChange]:
    """Closed months with another hash. Rows without a day are in no month, and are not compared."""
    first_open = closed_before(date.fromisoformat(as_of)).strftime("%Y-%m")
    before, after = (
        {
            (m["month"], m["currency"] or ""): m
            for m in side["months"]
            if m["month"] and m["month"] < first_open
        }
        for side in (old, new)
    )
    nothing = {"rows": 0, "amount_minor": 0, "content": None}
    for month in sorted({*before, *after}):
        was, now = before.get(month, nothing), after.get(month, nothing)
        if was["content"] != now["content"]:
            yield MonthChange(
                source, *month, (was["rows"], now["rows"]), (was["amount_minor"], now["amount_minor"])
            )


def _differing(
    old_rows: "ir.Table", new_rows: "ir.Table", sources: set[str], limit: date
) -> tuple[list[dict], list[dict], int]:
    """Rows of closed months that one side has more often than the other; and how many were not fetched."""
    columns = [name for name in content_columns(old_rows) if name in new_rows.columns]
    sides = [
        _not_erased(rows)
        .filter(rows.source.isin(sorted(sources)) & (rows.day < ibis.date(limit)))
        .select(*columns)
        .mutate(side=ibis.literal(sign, "int64"))
        for rows, sign in ((old_rows, -1), (new_rows, 1))
    ]
    both = ibis.union(*sides)
    net = both.group_by(*columns).agg(side=both.side.sum().cast("int64"))
    net = net.filter(net.side != 0)
    found = net.order_by(*columns).limit(LISTED).to_pyarrow().to_pylist()
    total = net.aggregate(rows=net.side.abs().sum()).to_pyarrow().to_pylist()[0]["rows"]
    removed = [_without_side(row) for row in found for _ in range(-row["side"])]
    added = [_without_side(row) for row in found for _ in range(row["side"])]
    return removed, added, int(total or 0) - len(removed) - len(added)


def _not_erased(rows: "ir.Table") -> "ir.Table":
    """Without the rows of persons who were erased: the older side has lost theirs."""
    return rows.filter(rows.reason.isnull() | (rows.reason != REASON)) if "reason" in rows.columns else rows


def _without_side(row: dict) -> dict:
    return {name: value for name, value in row.items() if name != "side"}


def _moved(
    removed: list[dict], added: list[dict], new_rows: "ir.Table", keys: list[str], limit: date
) -> list[dict]:
    """Rows that left a closed month for an open one, or lost their day: they changed, and were not removed."""
    there = {tuple(row[k] for k in keys) for row in added}
    gone = sorted({k for row in removed if (k := tuple(row[k] for k in keys)) not in there and None not in k})
    if not gone:
        return []
    wanted = ibis.memtable([dict(zip(keys, one, strict=True)) for one in gone], columns=keys)
    later = new_rows.filter((new_rows.day >= ibis.date(limit)) | new_rows.day.isnull())
    found = later.semi_join(wanted, keys).select(*content_columns(new_rows)).limit(LISTED)
    return found.to_pyarrow().to_pylist()


def _by_key(removed: list[dict], added: list[dict], keys: list[str]) -> list[RowChange]:
    """Pair rows by source and key; a key that either side has more than once pairs nothing."""
    sides = [defaultdict(list), defaultdict(list)]
    for side, rows in zip(sides, (removed, added), strict=True):
        for row in rows:
            side[(row["source"], *(row[k] for k in keys))].append(row)
    changes = []
    for name in sorted({*sides[0], *sides[1]}, key=repr):
        was, now = sides[0][name], sides[1][name]
        if len(was) == len(now) == 1 and None not in name:
            changes.append(_changed(was[0], now[0], dict(zip(keys, name[1:], strict=True))))
        else:
            changes += [_alone("removed", row, keys) for row in was]
            changes += [_alone("added", row, keys) for row in now]
    return changes


def _by_record(removed: list[dict], added: list[dict]) -> list[RowChange]:
    """Pair rows that agree in all cells but one, first those of which there is only one such pair."""
    changes, left = [], list(added)
    alone = []
    by_rest: dict[tuple, list[int]] = defaultdict(list)
    for number, row in enumerate(left):
        for name in row:
            by_rest[(name, _rest(row, name))].append(number)
    taken: set[int] = set()
    for row in removed:
        mates = [n for name in row for n in by_rest.get((name, _rest(row, name)), ()) if n not in taken]
        if mates:
            mate = min(mates)
            taken.add(mate)
            cell = next(name for name in row if row[name] != left[mate].get(name))
            same = {n: v for n, v in row.items() if n not in (cell, "source") and v is not None}
            changes.append(_changed(row, left[mate], same))
        else:
            alone.append(_alone("removed", row, ()))
    alone += [_alone("added", row, ()) for number, row in enumerate(left) if number not in taken]
    return changes + alone


def _rest(row: dict, without: str) -> tuple:
    return tuple(value for name, value in row.items() if name != without)


def _changed(was: dict, now: dict, key: dict[str, Any]) -> RowChange:
    cells = {name: (was[name], now.get(name)) for name in was if was[name] != now.get(name)}
    return RowChange("changed", was["source"], key, cells)


def _alone(kind: str, row: dict, keys: Iterable[str]) -> RowChange:
    place = 0 if kind == "removed" else 1
    values = {
        name: (value, None) if place == 0 else (None, value)
        for name, value in row.items()
        if value is not None and name not in keys and name != "source"
    }
    return RowChange(kind, row["source"], {k: row[k] for k in keys}, values)
