"""Local days on both daylight-saving days, against Python's own time zones, on every engine."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pytest

from clvkit.errors import StudyError
from clvkit.ledger.localdays import check_zone, local_day, minutes_into_day
from clvkit.ledger.relations import open_relation
from clvkit.ledger.scores import write_scores

pytestmark = pytest.mark.engines
ENGINES = ["duckdb", "postgres", "spark"]
ZONES = ["Europe/Berlin", "America/New_York", "Pacific/Auckland", "Australia/Lord_Howe"]


def _changes(zone: str) -> list[datetime]:
    """The instants of 2024 at which the zone's clocks change."""
    hours = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=30 * n) for n in range(366 * 48)]
    offsets = [hour.astimezone(ZoneInfo(zone)).utcoffset() for hour in hours]
    return [hours[n] for n in range(1, len(hours)) if offsets[n] != offsets[n - 1]]


def _moments() -> list[datetime]:
    """Every 10 minutes of two days around each change, with both sides of the second at each midnight."""
    found = set()
    for zone in ZONES:
        changes = _changes(zone)
        assert len(changes) == 2
        for change in changes:
            for step in range(-288, 289):
                moment = change + timedelta(minutes=10 * step)
                found |= {moment, moment - timedelta(microseconds=1)}
    return sorted(found)


MOMENTS = _moments()


@pytest.fixture(scope="module")
def moments(opened):
    """``n, at`` (instant) and ``clock`` (the same in UTC, without a zone), on an engine."""
    table = pa.table(
        {
            "n": pa.array(range(len(MOMENTS)), pa.int64()),
            "at": pa.array(MOMENTS, pa.timestamp("us", "UTC")),
            "clock": pa.array([m.replace(tzinfo=None) for m in MOMENTS], pa.timestamp("us")),
        }
    )

    quote = {"spark": "`", "duckdb": '"', "postgres": '"'}

    def get(engine):
        database = opened(engine)
        write_scores(database, "moments", table)
        # Spark takes every moment as an instant, unless told otherwise.
        clock = "CAST(clock AS TIMESTAMP_NTZ) AS clock" if engine == "spark" else "clock"
        return open_relation(
            database, query=f'SELECT n, "at", {clock} FROM moments'.replace('"', quote[engine])
        )

    return get


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("starts", ["00:00", "04:30"])
def test_days_are_those_of_python(moments, engine, starts):
    table = moments(engine)
    days = {zone: local_day(table["at"], zone, starts) for zone in ZONES}
    days |= {f"{zone} from UTC": local_day(table.clock, zone, starts, written_in="UTC") for zone in ZONES}
    days["as it stands"] = local_day(table.clock, "Europe/Berlin", starts)
    made = table.select("n", **days).order_by("n").to_pyarrow()
    off = timedelta(minutes=minutes_into_day(starts))
    for zone in ZONES:
        wanted = [(m.astimezone(ZoneInfo(zone)).replace(tzinfo=None) - off).date() for m in MOMENTS]
        assert made[zone].to_pylist() == wanted
        assert made[f"{zone} from UTC"].to_pylist() == wanted
    assert made["as it stands"].to_pylist() == [(m.replace(tzinfo=None) - off).date() for m in MOMENTS]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_purchase_at_half_past_eleven_is_of_that_day(opened, engine):
    """On 31 March and 27 October 2024 the clocks of Berlin change."""
    zone = ZoneInfo("Europe/Berlin")
    evenings = [datetime(2024, 3, 31, 23, 30, tzinfo=zone), datetime(2024, 10, 27, 23, 30, tzinfo=zone)]
    write_scores(opened(engine), "evenings", pa.table({"at": pa.array(evenings, pa.timestamp("us", "UTC"))}))
    table = open_relation(opened(engine), "evenings")
    days = table.select(day=local_day(table["at"], "Europe/Berlin")).to_pyarrow()["day"].to_pylist()
    assert sorted(days) == [evening.date() for evening in evenings]


def test_time_zones_are_built_into_duckdb():
    con = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    query = "SELECT install_mode FROM duckdb_extensions() WHERE extension_name = 'icu'"
    assert con.execute(query).fetchone() == ("STATICALLY_LINKED",)


def test_an_unknown_zone_and_a_wrong_time_are_explained():
    with pytest.raises(StudyError, match="did you mean 'Europe/Berlin'"):
        check_zone("Europe/Berln")
    with pytest.raises(StudyError, match="got '25:00'"):
        minutes_into_day("25:00")
