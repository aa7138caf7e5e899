"""What a file looks like: encoding, delimiter, header, numbers and dates, with the evidence for each.

Nothing is decided here. Every answer says whether the data allow another one, so that whoever asks can pass
the question on to the person who knows. Files are looked at in their head, middle and tail; a column is
judged over up to ``MAX_ROWS`` rows and the tail.
"""

import codecs
import csv
import gzip
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa

from clvkit.errors import DataError
from clvkit.ledger.engine import connect, try_strptime
from clvkit.ledger.files import SourceFile, unreadable
from clvkit.ledger.section import LedgerSection
from clvkit.ledger.text import line_batches

PLACE_BYTES = 8 << 20
TAIL_BYTES = 4 << 20
MAX_UNPACKED_BYTES = 1 << 30
MAX_ROWS = 200_000
MAX_FIELDS = 4_000_000
SINGLE_BYTE = ("cp1252", "latin-1", "iso-8859-15", "cp850", "mac-roman")
DELIMITERS = (",", ";", "\t", "|")
MISSING = frozenset(("", *LedgerSection.model_fields["missing_words"].default))
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_TEXT_SIGNS = set("€£¥§°«»–—‘’“”„…·®©™¿¡ºª²\u00a0")


@dataclass(frozen=True)
class Guess:
    """An encoding that reads the file.

    ``certain``: the bytes leave no other; ``score``: share of the
    characters beyond ASCII that make sense in words; ``words``: how it reads the sample words, in the same
    order for all guesses; ``ambiguous``: another guess makes as much sense and reads other words.
    """

    encoding: str
    certain: bool
    score: float
    why: str
    words: tuple[str, ...] = ()
    ambiguous: bool = False


def encodings(path: Path) -> list[Guess]:
    """The encodings that read the file, the most sensible first; those that read it alike count as one.

    Raises
    ------
    DataError : the file is empty, damaged or not text.
    """
    path = Path(path)
    places = _places(path)
    data = b"\n".join(places)
    for mark, name in _MARKS:
        if data.startswith(mark):
            return [Guess(name, True, 1.0, f"starts with the byte-order mark of {name.upper()}")]
    if not data.strip():
        raise DataError(f"{path.name} is empty", place=path.name, fix="check that the export finished")
    for offset, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        half = data[:4096][offset::2]
        if half and half.count(0) > 0.9 * len(half):
            return [Guess(name, False, 1.0, "every other byte is zero, and there is no byte-order mark")]
    # Read as latin-1, which takes any byte, what is refused is what is no text in any encoding.
    next(line_batches(SourceFile(path, path.name, "csv"), "latin-1"), None)
    if b"\0" in data:
        raise DataError(
            f"{path.name} is not a text file: it has bytes of value zero",
            place=path.name,
            fix="name a CSV or Parquet file",
        )
    if data.isascii():
        return [Guess("utf-8", True, 1.0, f"only ASCII in the {len(data):,} bytes looked at")]
    text = data.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    beyond = len(re.findall(r"[^\x00-\x7f]", text))
    if not bad:
        return [Guess("utf-8", True, 1.0, f"valid UTF-8, with {beyond:,} characters beyond ASCII")]
    found = _single_byte(data)
    if beyond > 2 * bad:
        why = f"valid UTF-8 but for {bad:,} of {beyond:,} characters: the file mixes encodings, or is damaged"
        found.insert(0, Guess("utf-8", False, 1 - bad / beyond, why, ambiguous=True))
    return found


def _single_byte(data: bytes) -> list[Guess]:
    samples = list(dict.fromkeys(re.findall(rb"[A-Za-z0-9\x80-\xff]*[\x80-\xff][A-Za-z0-9\x80-\xff]*", data)))
    by_reading: dict[tuple[str, ...], list[str]] = {}
    for name in SINGLE_BYTE:
        try:
            words = tuple(word.decode(name) for word in samples[:5000])
        except UnicodeDecodeError:
            continue
        if not any(unicodedata.category(c) == "Cc" for word in words for c in word):
            by_reading.setdefault(words, []).append(name)
    if not by_reading:
        by_reading[tuple(word.decode("latin-1") for word in samples[:5000])] = ["latin-1"]
    readings = sorted(by_reading.items(), key=lambda item: -round(_sense(item[0]), 2))
    top = _sense(readings[0][0])
    rivals = [words for words, _ in readings if _sense(words) >= 0.9 * top]
    # The words that tell the readings apart say more than those that come first in the file.
    order = sorted(range(len(readings[0][0])), key=lambda i: -len({words[i] for words in rivals}))[:5]
    guesses = []
    for words, names in readings:
        shown = tuple(words[i] for i in order)
        alike = f" ({', '.join(names[1:])} reads the same)" if len(names) > 1 else ""
        why = f"not valid UTF-8; {names[0]}{alike} reads {', '.join(shown)}"
        ambiguous = len(rivals) > 1 and words in rivals
        guesses.append(Guess(names[0], False, _sense(words), why, shown, ambiguous))
    return guesses


def _sense(words: Iterable[str]) -> float:
    """Share of the characters beyond ASCII that are letters where letters belong, or signs of plain text."""
    good = count = 0
    for word in words:
        for before, c, after in zip(" " + word, word, word[1:] + " ", strict=False):
            if c > "\x7f":
                count += 1
                # Capitals and signs inside a word are the mark of a wrong code page: fÅr, MÅller, Stra·e.
                misplaced = c.isupper() and (before.islower() or (before.isalpha() and after.islower()))
                latin = c.isalpha() and unicodedata.name(c, "").startswith("LATIN") and ord(c) < 0x180
                within = before.isalpha() and after.isalpha() and c != "’"
                good += (c in _TEXT_SIGNS and not within) or (latin and not misplaced)
    return good / count if count else 1.0


def _places(path: Path) -> list[bytes]:
    """Head, middle and tail of the file, unpacked, cut where lines end; a small file whole."""
    try:
        with open(path, "rb") as raw:
            if raw.peek(2)[:2] == b"\x1f\x8b":
                return _packed_places(gzip.GzipFile(fileobj=raw))
            size = path.stat().st_size
            head = raw.read(PLACE_BYTES)
            if size <= PLACE_BYTES:
                return [head]
            places = [head]
            for start in (size // 2, max(PLACE_BYTES, size - PLACE_BYTES)):
                raw.seek(start)
                places.append(raw.read(PLACE_BYTES))
            return _cut(places)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path.name} is a damaged gzip file: {error}", place=path.name, fix="copy or export it again"
        ) from error
    except OSError as error:
        raise unreadable(SourceFile(path, path.name, "csv"), error) from error


def _packed_places(stream: gzip.GzipFile) -> list[bytes]:
    """A gzip file has no middle to jump to: all blocks stream past, and the one that tells most is kept."""
    head = middle = last = before = b""
    done = 0
    while done < MAX_UNPACKED_BYTES and (block := stream.read(PLACE_BYTES)):
        head = head or block
        if done and (not middle or (middle.isascii() and not block.isascii())):
            middle = block
        before, last, done = last, block, done + len(block)
    if done <= PLACE_BYTES:
        return [head]
    return _cut([head, middle, last if before is head else (before + last)[-PLACE_BYTES:]])


def _cut(places: list[bytes]) -> list[bytes]:
    """Without the parts of lines at the edges, which may begin or end within a character."""
    head, *others = places
    others = [block[block.find(b"\n") + 1 :] for block in others]
    return [block[: block.rfind(b"\n") + 1] or block for block in (head, *others[:-1])] + others[-1:]


@dataclass(frozen=True)
class Delimiter:
    """A sign that splits the lines into columns: how many, and what share of the lines has that many."""

    sign: str
    columns: int
    share: float
    ambiguous: bool = False


def delimiter(path: Path, encoding: str) -> list[Delimiter]:
    """The signs that split the first lines into the same number of columns, the most sensible first.

    Empty where none makes a table: one column, or free text.
    """
    lines = _head_lines(Path(path), encoding, 1000)
    found = []
    for sign in DELIMITERS:
        rows = _split(lines, sign)
        if not rows:
            continue
        width, times = Counter(len(row) for row in rows).most_common(1)[0]
        if width < 2 or times < 0.6 * len(rows):
            continue
        # A field that holds another sign speaks against this one, unless it is a number: 12,50.
        foreign = sum(
            any(other in field for other in DELIMITERS if other != sign)
            and not re.fullmatch(r"[-+]?[\d.,' ]+", field)
            for row in rows
            for field in row
        )
        fits = (len(rows[0]) == width) - foreign / sum(map(len, rows)) + times / len(rows)
        found.append((fits, Delimiter(sign, width, times / len(rows))))
    found.sort(key=lambda item: (-item[0], -item[1].columns))
    close = len(found) > 1 and found[0][0] - found[1][0] < 0.05
    return [Delimiter(d.sign, d.columns, d.share, close and i < 2) for i, (_, d) in enumerate(found)]


@dataclass(frozen=True)
class Header:
    """Whether the first line names the columns, how sure that is, and why."""

    names: bool
    certain: bool
    why: str


def header(path: Path, encoding: str, sign: str) -> Header:
    """Is the first line names or data? Judged by the columns whose other rows are all numbers or dates."""
    rows = _split(_head_lines(Path(path), encoding, 1000), sign)
    if len(rows) < 2:
        return Header(True, False, "there is one line only")
    first = [field.strip() for field in rows[0]]
    body = [row for row in rows[1:] if len(row) == len(first)]
    typed = [i for i in range(len(first)) if _is_typed(row[i].strip() for row in body)]
    alike = [i for i in typed if _looks_typed(first[i]) or first[i] in MISSING]
    if typed and not alike:
        return Header(True, True, f"{first[typed[0]]!r} stands above numbers or dates")
    if typed and len(alike) == len(typed):
        # Years and quarters as names of columns look like data: with text above text it is anyone's guess.
        return Header(
            False, len(typed) > 1, f"the first line has {first[typed[0]]!r} like the lines below it"
        )
    if typed:
        return Header(
            True, False, f"{first[alike[0]]!r} in the first line is like the lines below, others not"
        )
    again = [name for i, name in enumerate(first) if any(row[i].strip() == name for row in body)]
    if again:
        return Header(False, False, f"{again[0]!r} of the first line stands again below it")
    return Header(True, False, "no column is of numbers or dates, so the lines do not tell")


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


@dataclass(frozen=True)
class Rows:
    """Rows of a file as lists of text, the header among them. ``whole``: none was passed over."""

    rows: list[list[str]]
    whole: bool


def read_rows(path: Path, encoding: str, sign: str) -> Rows:
    """Up to ``MAX_ROWS`` rows from the head and, where there are more, those of the tail."""
    path = Path(path)
    lines = _head_lines(path, encoding, MAX_ROWS + 1)
    width = max(1, len((_split(lines[:1], sign) or [[]])[0]))
    most = min(MAX_ROWS, MAX_FIELDS // width)
    rows = _split(lines[: most + 1], sign)
    if len(lines) <= most:
        return Rows(rows, True)
    tail = _places(path)[-1][-TAIL_BYTES:].split(b"\n", 1)[-1]
    text = tail.decode(encoding if encoding != "utf-16" else "utf-16-le", "replace").splitlines()
    return Rows(rows + [row for row in _split(text, sign) if len(row) == width], False)


def _head_lines(path: Path, encoding: str, most: int) -> list[str]:
    lines: list[str] = []
    for batch in line_batches(SourceFile(path, path.name, "csv"), encoding):
        lines += batch["line"].slice(0, most - len(lines)).to_pylist()
        if len(lines) >= most:
            break
    return lines


def _split(lines: list[str], sign: str) -> list[list[str]]:
    """Rows of a table; none where a quote opens that never closes."""
    try:
        return list(csv.reader(lines, delimiter=sign))
    except csv.Error:
        return []


def _looks_typed(text: str) -> bool:
    return bool(re.fullmatch(r"[-+(]?[$€£¥₹]? ?\d[\d.,' :T/+Z-]*[€$£¥₹)]?", text))


def _is_typed(values: Iterable[str]) -> bool:
    there = [v for v in values if v not in MISSING]
    return bool(there) and sum(map(_looks_typed, there)) >= 0.9 * len(there)
