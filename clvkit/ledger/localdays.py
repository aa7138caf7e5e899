"""The local calendar day of a moment, the same on every engine, also where the clocks change."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo, available_timezones

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from clvkit.errors import StudyError
from clvkit.ledger.engine import engine_of
from clvkit.rules import did_you_mean

# A cast to a timestamp with a zone drops the zone on every engine (Ibis 12), hence a function of each.
_INSTANT = dt.Timestamp(timezone="UTC")


@ibis.udf.scalar.builtin(name="timezone", signature=((dt.string, _INSTANT), dt.timestamp))
def _clock_at(zone, instant):
    """What clocks in ``zone`` show at an instant (DuckDB, PostgreSQL)."""


@ibis.udf.scalar.builtin(name="timezone", signature=((dt.string, dt.timestamp), _INSTANT))
def _instant_of(zone, clock):
    """The instant at which clocks in ``zone`` show a time (DuckDB, PostgreSQL)."""


@ibis.udf.scalar.builtin
def from_utc_timestamp(moment: datetime, zone: str) -> datetime:
    """What clocks in ``zone`` show at an instant (Spark)."""


@ibis.udf.scalar.builtin
def typeof(moment: datetime) -> str:
    """The engine's name of a type: Ibis gives both of Spark's timestamps as one without a zone."""


@ibis.udf.scalar.builtin
def to_utc_timestamp(moment: datetime, zone: str) -> datetime:
    """The instant at which clocks in ``zone`` show a time (Spark)."""


def local_day(
    moment: ir.TimestampColumn, zone: str, day_starts: str = "00:00", *, written_in: str | None = None
) -> ir.DateColumn:
    """The calendar day on which a purchase counts.

    Parameters
    ----------
    moment : an instant (timestamp with a time zone), or what a clock showed (without one).
    zone : time zone of the business, such as ``Europe/Berlin``.
    day_starts : local time at which the business's day begins, ``HH:MM``; what is sold before it belongs to
        the day before.
    written_in : time zone of clock times in the source, such as ``UTC``; that of the business if not given.

    Raises
    ------
    StudyError : a time zone is unknown, or ``day_starts`` is no time.
    """
    check_zone(zone)
    minutes = minutes_into_day(day_starts)
    shown = moment
    if written_in is not None and check_zone(written_in) != zone:
        shown = _clock(_instant(moment, written_in), zone)
    if engine_of(moment) == "pyspark":
        clock = ibis.ifelse(typeof(moment) == "timestamp", _clock(moment, zone), shown)
    else:
        clock = shown if moment.type().timezone is None else _clock(moment, zone)
    if minutes:
        clock = clock - ibis.interval(minutes=minutes)
    return clock.date()


def check_zone(zone: str) -> str:
    """``zone`` itself, if it names a time zone; StudyError otherwise."""
    # "localtime" and offsets such as "+02:00" mean another thing on each machine and engine.
    if zone in available_timezones() and zone != "localtime":
        ZoneInfo(zone)
        return zone
    hint = did_you_mean(zone, available_timezones())
    raise StudyError(
        f"the time zone {zone!r} is not one of the IANA list{f'; {hint}' if hint else ''}",
        place="ledger.timezone",
        fix="name a place of the zone, such as Europe/Berlin or America/New_York, or UTC",
    )


def minutes_into_day(time: str) -> int:
    """Minutes from midnight to a time of day written ``HH:MM``; StudyError where it is none."""
    found = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", time)
    if found is None:
        raise StudyError(
            f"the start of the day must be a time between 00:00 and 23:59 (got {time!r})",
            place="ledger.day_starts",
            fix='write hours and minutes in quotes, such as "04:00"',
        )
    return 60 * int(found[1]) + int(found[2])


def _clock(instant: ir.TimestampColumn, zone: str) -> ir.TimestampColumn:
    if engine_of(instant) == "pyspark":
        return from_utc_timestamp(instant, zone)
    return _clock_at(zone, instant)


def _instant(clock: ir.TimestampColumn, zone: str) -> ir.TimestampColumn:
    if engine_of(clock) == "pyspark":
        return to_utc_timestamp(clock, zone)
    return _instant_of(zone, clock)
