"""Snapshots of the lines: hashes that mind neither order nor engine, and restatements of closed months."""

import random
from datetime import date

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clvkit import versions
from clvkit.errors import DataError
from clvkit.restatement import compare
from clvkit.versions import (
    closed_before,
    content_hash,
    expected_lanes,
    keep_version,
    list_versions,
    row_lanes,
    schema_of,
    schema_of_file,
    snapshot,
)

AS_OF = date(2024, 3, 15)
SCHEMA = pa.schema(
    [
        ("ordinal", pa.int64()),
        ("source", pa.string()),
        ("file", pa.string()),
        ("row", pa.int64()),
        ("line_id", pa.string()),
        ("account", pa.string()),
        ("day", pa.date32()),
        ("quantity", pa.float64()),
        ("currency", pa.string()),
        ("amount_minor", pa.int64()),
        ("reason", pa.string()),
    ]
)


@pytest.fixture
def con():
    return ibis.duckdb.connect()


def lines(count=60):
    """Two sources over January to March; the last of them is open on the 15th."""
    return [
        {
            "ordinal": n,
            "source": ("shop", "till")[n % 2],
            "file": "a.csv",
            "row": n,
            "line_id": f"L{n}",
            "account": f"A{n % 7}" if n % 5 else None,
            "day": date(2024, 1 + n % 3, 1 + n % 14),
            "quantity": n / 3,
            "currency": ("EUR", "USD")[n % 4 == 0],
            "amount_minor": 100 * n - 50,
            "reason": None,
        }
        for n in range(count)
    ]


def table(con, rows, name=None):
    names = [field.name for field in SCHEMA if not rows or field.name in rows[0]]
    schema = pa.schema([SCHEMA.field(n) for n in names])
    return con.create_table(name or ibis.util.gen_name("lines"), pa.Table.from_pylist(rows, schema=schema))


def taken(con, rows, **more):
    made = table(con, rows)
    return made, snapshot(made, as_of=AS_OF, files={"shop": [], "till": []}, **more)


def compared(con, old, new, **more):
    (old_rows, before), (new_rows, after) = taken(con, old), taken(con, new)
    return compare(before, after, old_rows, new_rows, **more)


def without_ids(rows):
    return [{name: value for name, value in row.items() if name != "line_id"} for row in rows]


def test_a_row_hashes_as_it_is_documented(con):
    row = {"account": "Ä7", "amount_minor": -5, "line_id": None, "source": "shop"}
    made = table(con, [row])
    low, high = row_lanes(made)
    found = made.select(low=low, high=high).to_pyarrow().to_pylist()[0]
    assert (found["low"], found["high"]) == expected_lanes(["Ä7", "-5", None, "shop"])


def test_lanes_do_not_depend_on_the_engine_s_short_cut(con, monkeypatch):
    made, found = taken(con, lines())
    monkeypatch.setattr(versions, "_engine", lambda table: "another")
    assert snapshot(made, as_of=AS_OF, files={"shop": [], "till": []}) == found
    low, _ = row_lanes(made)
    assert "0x" not in ibis.to_sql(low.name("low"), dialect="postgres")


def test_the_hash_minds_content_and_neither_order_nor_place(con):
    rows = lines()
    _, found = taken(con, rows)
    shuffled = [dict(row, ordinal=n, row=n + 7, file="b.csv") for n, row in enumerate(rows)]
    random.Random(3).shuffle(shuffled)
    assert taken(con, shuffled)[1] == found
    for name, other in (("account", "A9"), ("quantity", 0.5), ("amount_minor", 1), ("day", None)):
        changed = [dict(row) for row in rows]
        changed[11][name] = other
        sources = taken(con, changed)[1]["sources"]
        assert sources["till"]["content"] != found["sources"]["till"]["content"], name
        assert sources["shop"] == found["sources"]["shop"], name


def test_neighbouring_values_are_not_mistaken_for_each_other():
    assert expected_lanes(["ab", "c"]) != expected_lanes(["a", "bc"])
    assert expected_lanes([None, "-"]) != expected_lanes(["-", None])
    assert content_hash(1, 2, 3) != content_hash(1, 3, 2)


def test_a_snapshot_counts_and_adds_up(con):
    rows = lines()
    _, found = taken(con, rows, schemas={"shop": schema_of([("id", "text")])})
    assert found["as_of"] == "2024-03-15" and set(found["sources"]) == {"shop", "till"}
    for name, source in found["sources"].items():
        own = [row for row in rows if row["source"] == name]
        assert source["rows"] == len(own) == sum(month["rows"] for month in source["months"])
        assert sum(m["amount_minor"] for m in source["months"]) == sum(row["amount_minor"] for row in own)
    assert {m["currency"] for m in found["sources"]["shop"]["months"]} == {"EUR", "USD"}
    assert found["sources"]["shop"]["schema"]["columns"] == [["id", "text"]]
    assert ["amount_minor", "int64"] in found["sources"]["till"]["schema"]["columns"]


def test_one_changed_cell_of_a_closed_month(con):
    new = lines()
    assert new[9]["day"].month == 1
    was, new[9]["amount_minor"] = new[9]["amount_minor"], 123_456
    found = compared(con, lines(), new)
    (month,), (row,) = found.months, found.rows
    assert (month.source, month.month, month.currency) == ("till", "2024-01", "EUR")
    assert month.rows[0] == month.rows[1] and month.amount_minor[1] - month.amount_minor[0] == 123_456 - was
    assert (row.kind, row.source, row.key) == ("changed", "till", {"line_id": "L9"})
    assert row.values == {"amount_minor": (was, 123_456)}
    assert found.restated == found.months and found.counts == {"changed": 1} and found.unlisted == 0


def test_one_changed_cell_without_line_ids(con):
    old, new = without_ids(lines()), without_ids(lines())
    new[9]["account"] = "B1"
    (row,) = compared(con, old, new).rows
    assert (row.kind, row.values) == ("changed", {"account": ("A2", "B1")})
    assert row.key["amount_minor"] == 850


def test_the_open_month_is_not_restated(con):
    new = lines()
    new.append(dict(new[2], ordinal=99, row=99, line_id="L99"))  # March
    new[5]["amount_minor"] = 1  # March, too
    assert (new[2]["day"].month, new[5]["day"].month) == (3, 3)
    found = compared(con, lines(), new)
    assert (found.months, found.rows, found.schema) == ((), (), ())


def test_rows_added_to_and_removed_from_a_closed_month(con):
    new = lines()
    new.append(dict(new[3], ordinal=99, line_id="L99", amount_minor=7))
    gone = new.pop(6)
    found = compared(con, lines(), new)
    assert found.counts == {"added": 1, "removed": 1}
    kinds = {row.kind: row for row in found.rows}
    assert kinds["added"].key == {"line_id": "L99"} and kinds["added"].values["amount_minor"] == (None, 7)
    assert kinds["removed"].values["amount_minor"] == (gone["amount_minor"], None)


def test_a_copy_of_a_row_is_an_addition(con):
    old = without_ids(lines())
    found = compared(con, old, [*old, old[3]])
    assert found.counts == {"added": 1}


def test_a_row_that_moves_to_the_open_month_changed(con):
    new = lines()
    new[9]["day"] = date(2024, 3, 2)
    (row,) = compared(con, lines(), new).rows
    assert (row.kind, row.values) == ("changed", {"day": (date(2024, 1, 10), date(2024, 3, 2))})


def test_what_is_not_listed_is_counted(con, monkeypatch):
    monkeypatch.setattr("clvkit.restatement.LISTED", 4)
    old = without_ids(lines())
    new = [dict(row, amount_minor=row["amount_minor"] + 1) for row in old]
    found = compared(con, old, new)
    closed = sum(row["day"].month < 3 for row in old)
    assert len(found.rows) <= 4 and found.unlisted == 2 * closed - 4


def test_an_erasure_is_not_a_restatement(con):
    old_rows, before = taken(con, lines())
    left = [row for row in lines() if row["account"] != "A2"]
    kept, after = table(con, left), taken(con, left)[1]
    assert compare(before, after, old_rows, kept, erased=True).restated  # the source itself lost the rows
    found = compare(before, after, kept, kept, erased=True)
    assert found.months and not found.restated
    withheld = [
        dict(row, account=None, reason="erased") if row["account"] == "A2" else row for row in lines()
    ]
    new_rows, after = taken(con, withheld)
    found = compare(before, after, kept, new_rows, erased=True)
    assert found.months and not found.restated and not found.rows


def test_what_became_of_a_row_is_not_part_of_it(con):
    ended = [dict(row, reason="same_day") for row in lines()]
    assert taken(con, ended)[1] == taken(con, lines())[1]


def test_a_renamed_column_is_a_schema_change(con, tmp_path):
    schemas = []
    for header in ("id,net", "id,amount"):
        (tmp_path / "shop.csv").write_text(f"{header}\n1,2\n")
        schemas.append({"shop": schema_of_file(tmp_path / "shop.csv")})
    (_, before), (_, after) = taken(con, lines(), schemas=schemas[0]), taken(con, lines(), schemas=schemas[1])
    (change,) = compare(before, after).schema
    assert (change.source, change.added, change.removed, change.retyped) == (
        "shop",
        ("amount",),
        ("net",),
        {},
    )


def test_types_count_and_the_order_of_columns_does_not(tmp_path):
    pq.write_table(pa.table({"a": [1], "b": ["x"]}), tmp_path / "t.parquet")
    found = schema_of_file(tmp_path / "t.parquet")
    assert found == schema_of([("b", "string"), ("a", "int64")])
    assert found["sha256"] != schema_of([("b", "string"), ("a", "double")])["sha256"]
    with pytest.raises(DataError, match=r"gone\.csv"):
        schema_of_file(tmp_path / "gone.csv")


@pytest.mark.parametrize(
    ("as_of", "first_open"),
    [
        (date(2024, 3, 15), date(2024, 3, 1)),
        (date(2024, 3, 31), date(2024, 4, 1)),
        (date(2024, 12, 31), date(2025, 1, 1)),
    ],
)
def test_a_month_is_closed_when_its_last_day_is_known(as_of, first_open):
    assert closed_before(as_of) == first_open


def test_versions_are_kept_in_order_and_once(con, tmp_path):
    _, first = taken(con, lines())
    _, second = taken(con, lines(70))
    names = [
        keep_version(tmp_path, one, run_id=f"r{n}", ledger="k")
        for n, one in enumerate((first, second, first))
    ]
    assert names[0] == names[2] != names[1]
    kept = list_versions(tmp_path)
    assert [(one["number"], one["run_id"], one["version"]) for one in kept] == [
        (1, "r0", names[0]),
        (2, "r1", names[1]),
    ]
    assert kept[0]["snapshot"] == first
