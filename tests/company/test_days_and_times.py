"""Days of the business, whatever clock a source writes; and an old as-of date after late rows arrived."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from companies import STUDY, ledger_of, section, written

from clvkit.customers import cells, customer_summary, spend_cells
from clvkit.ledger import LedgerSection, build_ledger

BERLIN = ZoneInfo("Europe/Berlin")
CHANGES = (date(2024, 3, 31), date(2024, 10, 27))  # 23 and 25 hours long
CLOCKS = ((23, 30), (0, 30), (23, 59), (0, 0))
MOMENTS = [datetime(day.year, day.month, day.day, hour, minute, tzinfo=BERLIN)
           for day in CHANGES for hour, minute in CLOCKS]  # fmt: skip
AGAIN = datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1)  # the hour that the clock shows twice
WRITTEN = {
    "offset": ("%Y-%m-%dT%H:%M:%S%z", lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%S%z")),
    "z": ("%Y-%m-%dT%H:%M:%S%z", lambda moment: f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"),
    "literal_z": ("%Y-%m-%dT%H:%M:%SZ", lambda moment: f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"),
    "naive": ("%Y-%m-%d %H:%M:%S", lambda moment: f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"),
}


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """Days by source and amount, of the same moments written in six ways; the amount is the moment's number."""
    folder, sources = tmp_path_factory.mktemp("days"), {}
    moments = [*MOMENTS, AGAIN]
    for name, (form, text) in WRITTEN.items():
        lines = [f"c{k},{text(moment)},{k + 1}" for k, moment in enumerate(moments)]
        (folder / f"{name}.csv").write_text("customer_id,date,amount\n" + "\n".join(lines) + "\n")
        sources[name] = {"path": f"{name}.csv", "date_format": form, "timezone": "Europe/Berlin"}
    utc = [moment.astimezone(UTC) for moment in moments]
    kinds = {
        "parquet": (pa.timestamp("us"), [one.replace(tzinfo=None) for one in utc]),
        "parquet_zone": (pa.timestamp("us", tz="America/New_York"), utc),
    }
    for name, (kind, values) in kinds.items():
        table = pa.table({"customer_id": [f"c{k}" for k in range(len(utc))], "date": pa.array(values, kind),
                          "amount": pa.array(range(1, len(utc) + 1), pa.int64())})  # fmt: skip
        pq.write_table(table, folder / f"{name}.parquet")
        sources[name] = {"path": f"{name}.parquet", "timezone": "Europe/Berlin"}
    ledger = build_ledger(LedgerSection(sources=sources, completeness={"ended": list(sources)}),
                          as_of=date(2024, 12, 31), currency="EUR", base=folder)  # fmt: skip
    rows = ledger.rows.to_pyarrow().to_pylist()
    assert {row["state"] for row in rows} <= {"used", "merged"}
    return {(row["source"], row["amount_minor"] // 100 - 1): row["day"] for row in rows}


@pytest.mark.parametrize("source", [*WRITTEN, "parquet", "parquet_zone"])
def test_a_purchase_late_at_night_is_one_of_that_day(source, days):
    """At half past eleven, and at midnight, on the days of 23 and of 25 hours."""
    got = {f"{moment:%Y-%m-%d %H:%M}": days[source, k] for k, moment in enumerate([*MOMENTS, AGAIN])}
    assert got == {f"{moment:%Y-%m-%d %H:%M}": moment.date() for moment in [*MOMENTS, AGAIN]}


@pytest.mark.slow
def test_an_old_as_of_date_gives_the_old_result_after_late_rows_arrived(tmp_path):
    """What was known then, byte by byte: cells with and without the rows that were loaded a hundred days later."""
    hits = written(tmp_path, ("late_rows",))["late_rows"]
    (file,), then = hits.files, date(2024, 3, 31)
    late = {tuple(one.split("/")) for one in hits.where}
    whole = (tmp_path / file).read_bytes()
    only = section(only=("shop", "shop_refunds", "rates"), drop={"shop": {"keys": {}}}, identity={})
    after = result(tmp_path, only, then)
    today = result(tmp_path, only, STUDY.as_of)
    lines = whole.decode().splitlines(keepends=True)
    (tmp_path / file).write_text("".join(line for line in lines if tuple(line.split(",")[:2]) not in late))
    before = result(tmp_path, only, then)
    assert len(lines) - len((tmp_path / file).read_text().splitlines()) == hits.rows > 20
    assert after == before, "the old result is not what it was"
    assert today != result(tmp_path, only, STUDY.as_of), "the late rows count once they are known"
    assert (then - date(2024, 1, 31)) < timedelta(days=130)


def result(folder, ledger, as_of):
    """Every cell and spend cell as bytes, and the sum of purchases."""
    built = ledger_of(folder, ledger, as_of=as_of)
    summary, files = customer_summary(built.purchases, as_of), []
    for frame in (cells(summary), spend_cells(summary)):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), sink)
        files.append(sink.getvalue().to_pybytes())
    return *files, built.purchases.amount_minor.sum().to_pyarrow().as_py()
