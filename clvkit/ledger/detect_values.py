"""How the numbers and dates of a column are written, judged over all its values; see ``detect``."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache

import ibis
import numpy as np
import pyarrow as pa

from clvkit.errors import DataError
from clvkit.ledger.engine import connect, try_strptime
from clvkit.ledger.section import LedgerSection

MISSING = frozenset(("", *LedgerSection.model_fields["missing_words"].default))
_CURRENCY = r"[$€£¥₹]|[A-Z]{3}"
_WITH_SIGN = re.compile(
    rf"(?P<minus>-?)(?P<before>{_CURRENCY})? ?(?P<number>[-+]?\d[\d.,' ]*?) ?(?P<after>{_CURRENCY})?"
)


@dataclass(frozen=True)
class Numbers:
    """How the numbers of a column are written.

    ``read`` of ``values`` follow the signs given; ``currencies`` are signs that stand with them; ``ambiguous``: another pair of signs reads as many, as other numbers.
    """

    decimal: str
    thousands: str | None
    read: int
    values: int
    ambiguous: bool = False
    example: str = ""
    unread: tuple[str, ...] = ()
    currencies: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Share of the values that are numbers."""
        return self.read / self.values if self.values else 0.0


def decimal_sign(values: Iterable[str | None]) -> Numbers:
    """Decimal sign and sign between thousands that read the most values; values that are missing are passed.

    1.234 alone may be a thousand or one and a bit: that is said to be ambiguous.
    """
    counts = Counter(v.strip() for v in values if v is not None and v.strip() not in MISSING)
    total = counts.total()
    signs: Counter[str] = Counter()
    bare: Counter[str] = Counter()
    for text, times in counts.items():
        found = _WITH_SIGN.fullmatch(text)
        if found and (sign := found["before"] or found["after"]):
            signs[sign] += times
            text = found["minus"] + found["number"]
        bare[text] += times
    readings = []
    for point, group in (
        (".", None),
        (",", None),
        (".", ","),
        (",", "."),
        (",", " "),
        (".", "'"),
        (".", " "),
    ):
        whole = r"\d+" if group is None else rf"(?:\d{{1,3}}(?:{re.escape(group)}\d{{3}})+|\d+)"
        mark = re.escape(point)
        form = re.compile(rf"[+-]?(?:{whole}(?:{mark}\d*)?|{mark}\d+)(?:[eE][+-]?\d{{1,3}})?")
        hits = [text for text in bare if form.fullmatch(text)]
        readings.append((sum(bare[text] for text in hits), point, group, set(hits)))
    most = max(count for count, *_ in readings)
    tied = [r for r in readings if r[0] == most]
    _, point, group, hits = tied[0]
    unread = tuple(text for text in bare if text not in hits)[:3]
    three = next((t for t in bare if t in hits and re.fullmatch(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", t)), "")
    ambiguous = bool(three) and len({(r[1], r[2]) for r in tied}) > 1 and _differ(three, tied)
    return Numbers(point, group, most, total, ambiguous, three if ambiguous else "", unread, tuple(signs))


def _differ(text: str, readings: Sequence[tuple]) -> bool:
    return len({text.replace(group or "\0", "").replace(point, ".") for _, point, group, _ in readings}) > 1


@dataclass(frozen=True)
class Reading:
    """One way to read a column's dates.

    ``read`` values follow ``format``, ``unread`` are examples of those that do not, ``monotone`` says that
    the rows are in order of date under it, ``example`` is the day it makes of the column's example.
    """

    format: str
    read: int
    unread: tuple[str, ...]
    first: date
    last: date
    monotone: bool
    example: date | None = None


@dataclass(frozen=True)
class Dates:
    """How the dates of a column may be written.

    ``formats`` read all values, ``partly`` at least half of them; ``ambiguous``: two readings stand side by
    side and differ on ``example``. ``serial`` names numbers that count from a day (``excel serial``, ``epoch
    seconds``, ``epoch milliseconds``), which no format reads.
    """

    values: int
    formats: tuple[Reading, ...] = ()
    partly: tuple[Reading, ...] = ()
    ambiguous: bool = False
    example: str = ""
    serial: str | None = None

    @property
    def rivals(self) -> tuple[Reading, ...]:
        """The readings to choose from, the one with the most values first."""
        return self.formats or self.partly

    @property
    def share(self) -> float:
        """Share of the values that the best reading reads."""
        return self.rivals[0].read / self.values if self.values and self.rivals else 0.0

    @property
    def two_digit_years(self) -> bool:
        """Whether the century is the reader's, not the file's."""
        return any("%y" in r.format for r in self.rivals)

    @property
    def evidence(self) -> str:
        """What the order of the rows says between readings; empty where it says nothing."""
        ordered = [r.format for r in self.rivals if r.monotone]
        if not self.ambiguous or len(ordered) != 1:
            return ""
        return f"the rows are in order of date with {ordered[0]} and not with the other"


def date_formats(values: Iterable[str | None]) -> Dates:
    """The formats that read a column, judged over all values given; missing ones are passed over.

    Values must stand in the order of the rows, which is evidence too.
    """
    texts = [v.strip() for v in values if v is not None and v.strip() not in MISSING]
    serial = _serial(texts)
    shapes: dict[str, tuple[str, int]] = {}
    for text, times in Counter(texts).items():
        shape = re.sub(r"[A-Za-z]+", "a", re.sub(r"\d", "9", text)) if len(text) < 60 else ""
        example, known = shapes.get(shape, (text, 0))
        shapes[shape] = (example, known + times)
    common = sorted(shapes.values(), key=lambda item: -item[1])[:30]
    forms = list(dict.fromkeys(form for example, _ in common for form in _forms(example)))
    if not forms:
        return Dates(len(texts), serial=serial)
    days = _days(texts, forms)
    read = {form: day for form, day in days.items() if (day >= 0).sum() >= len(texts) / 2}
    ranked = sorted(read, key=lambda form: (-int((read[form] >= 0).sum()), forms.index(form)))
    whole = [form for form in ranked if (read[form] >= 0).all()]
    rivals = whole or ranked
    example = _example(texts, read, rivals, bool(whole))
    readings = {form: _reading(texts, form, read[form], example) for form in ranked}
    return Dates(
        len(texts),
        tuple(readings[form] for form in whole),
        tuple(readings[form] for form in ranked if form not in whole),
        example is not None,
        texts[example] if example is not None else "",
        serial,
    )


def _example(texts: list[str], days: dict[str, np.ndarray], rivals: list[str], whole: bool) -> int | None:
    """Place of a value that two readings in the running put on different days; None where they agree."""
    for other in rivals[1:]:
        best, second = days[rivals[0]], days[other]
        # Of readings that both miss values, the lesser is in the running where it reads some the better misses.
        running = whole or ((second >= 0) & (best < 0)).any() or (second >= 0).sum() == (best >= 0).sum()
        differ = np.flatnonzero((best >= 0) & (second >= 0) & (best != second))
        if running and len(differ):
            return int(differ[0])
    return None


def _reading(texts: list[str], form: str, days: np.ndarray, example: int | None) -> Reading:
    there = days[days >= 0]
    steps = np.diff(there)
    missed = list(dict.fromkeys(texts[i] for i in np.flatnonzero(days < 0)[:1000]))[:3]
    shown = example is not None and days[example] >= 0
    return Reading(
        form,
        len(there),
        tuple(missed),
        date.fromordinal(int(there.min())),
        date.fromordinal(int(there.max())),
        bool(steps.any() and ((steps >= 0).all() or (steps <= 0).all())),
        date.fromordinal(int(days[example])) if shown else None,
    )


def days_of(values: Sequence[str | None], form: str) -> np.ndarray:
    """The day of each value read by ``form``, as its proleptic ordinal (int64); -1 where it is not read."""
    return _days(["" if v is None else v.strip() for v in values], [form])[form]


@cache
def _engine() -> ibis.BaseBackend:
    """One private engine for all columns: opening one takes longer than reading a column."""
    return connect()


def _days(texts: list[str], forms: list[str]) -> dict[str, np.ndarray]:
    """Days by format, read by the same function of the engine as the ledger's."""
    con = _engine()
    rows = pa.table({"at": pa.array(range(len(texts)), pa.int64()), "text": pa.array(texts, pa.string())})
    table = con.create_table("texts", rows, overwrite=True)
    columns = {}
    for number, form in enumerate(forms):
        plain, text = form, table.text
        if form.endswith("%z"):
            plain = form.removesuffix("%z").rstrip()
            text = text.re_replace(r"\s*(Z|[+-][0-9]{2}:?[0-9]{2})$", "")
            text = ibis.ifelse(table.text != text, text, ibis.null("string"))
        moment = try_strptime(text, plain)
        sure = text.re_search("^[0-9]") | text.re_search("^[A-Za-z]{3,9}[. ]")
        if re.search(r"%[A-Za-z]%[A-Za-z]", plain):
            sure &= moment.strftime(plain) == text
        sure &= moment.year().between(1900, 2100)
        days = moment.date().epoch_days()
        columns[f"d{number}"] = ibis.ifelse(sure, days, ibis.null("int32"))
    found = table.select("at", **columns).order_by("at").to_pyarrow()
    con.drop_table("texts")
    epoch = date(1970, 1, 1).toordinal()
    result = {}
    for number, form in enumerate(forms):
        days = found[f"d{number}"].cast(pa.int64()).fill_null(-epoch - 1).to_numpy()
        result[form] = days + epoch
    return result


_TIME = re.compile(
    r"(?P<gap>T| |, )(?P<hour>\d{1,2}):\d{2}(?P<second>:\d{2}(?P<part>\.\d{1,6})?)?(?P<half> ?[AaPp][Mm])?"
    r"(?P<offset>(?P<space> ?)(?:Z|[+-]\d{2}:?\d{2}))?"
)


def _forms(text: str) -> list[str]:
    """Formats that ``text`` may follow, the usual one first."""
    for pattern, orders in _DATE_PARTS:
        if (found := re.match(pattern, text)) and (time := _time(text[found.end() :])) is not None:
            sign = found.groupdict().get("sign") or ""
            return [order.replace("~", sign) + time for order in orders]
    return []


_DATE_PARTS = (
    (r"\d{4}(?P<sign>[-/. ])\d{1,2}(?P=sign)\d{1,2}(?!\d)", ("%Y~%m~%d",)),
    (r"\d{1,2}(?P<sign>[-/. ])\d{1,2}(?P=sign)\d{4}(?!\d)", ("%d~%m~%Y", "%m~%d~%Y")),
    (r"\d{1,2}(?P<sign>-)\d{1,2}-\d{2}(?!\d)", ("%d~%m~%y", "%m~%d~%y", "%y~%m~%d")),
    (r"\d{1,2}(?P<sign>[/. ])\d{1,2}(?P=sign)\d{2}(?!\d)", ("%d~%m~%y", "%m~%d~%y")),
    (r"\d{1,2}(?P<sign>[-/. ])[A-Za-z]{3}(?P=sign)\d{4}(?!\d)", ("%d~%b~%Y",)),
    (r"\d{1,2}(?P<sign>[-/. ])[A-Za-z]{3}(?P=sign)\d{2}(?!\d)", ("%d~%b~%y",)),
    (r"\d{1,2}(?P<sign>[-/. ])[A-Za-z]{4,9}(?P=sign)\d{4}(?!\d)", ("%d~%B~%Y",)),
    (r"[A-Za-z]{3} \d{1,2}, \d{4}(?!\d)", ("%b %d, %Y",)),
    (r"[A-Za-z]{4,9} \d{1,2}, \d{4}(?!\d)", ("%B %d, %Y",)),
    (r"\d{14}$", ("%Y%m%d%H%M%S",)),
    (r"\d{8}(?!\d)", ("%Y%m%d", "%d%m%Y", "%m%d%Y")),
    (r"\d{6}(?!\d)", ("%y%m%d", "%d%m%y", "%m%d%y")),
)


def _time(text: str) -> str | None:
    """The format of a time behind a date; None where it is something else."""
    if not text:
        return ""
    if not (found := _TIME.fullmatch(text)):
        return None
    hour = "%I" if found["half"] else "%H"
    form = f"{found['gap']}{hour}:%M"
    form += ":%S" if found["second"] else ""
    form += ".%f" if found["part"] else ""
    form += f"{' ' if found['half'][0] == ' ' else ''}%p" if found["half"] else ""
    return form + (f"{found['space']}%z" if found["offset"] else "")


def _serial(texts: list[str]) -> str | None:
    """Numbers that count from a day: recognised by their range, where nearly all values are in it."""
    ranges = {
        "excel serial": (r"[2-6]\d{4}(\.\d+)?", 20_000, 60_000),
        "epoch seconds": (r"\d{9,10}(\.\d+)?", 3e8, 4.2e9),
        "epoch milliseconds": (r"\d{12,13}", 3e11, 4.2e12),
    }
    for name, (pattern, low, high) in ranges.items():
        for part in (texts[:100], texts):  # most columns are out after a glance
            hits = sum(bool(re.fullmatch(pattern, t)) and low <= float(t) <= high for t in part)
            if not part or hits < 0.95 * len(part):
                break
        else:
            return name
    return None


def ask(dates: Dates, column: str = "date", place: str | None = None) -> DataError:
    """The question an ambiguous column leaves open, as an error to raise or to show.

    Its message gives both readings of the same value and its ``fix`` what to write in the study.
    """
    rivals = [r for r in dates.rivals if r.example]
    said = " or ".join(f"{r.example.day} {r.example:%B %Y}" for r in rivals)
    message = f"the dates in {column!r} can be read in {len(rivals)} ways: {dates.example} is {said}"
    missed = [f"{r.format} does not read {', '.join(r.unread)}" for r in rivals if r.unread]
    message += "".join(f"; {part}" for part in [*missed, dates.evidence] if part)
    choices = " or ".join(f'"{r.format}"' for r in rivals)
    return DataError(message, place=place, fix=f"set ledger.date_format to {choices}, whichever is meant")
