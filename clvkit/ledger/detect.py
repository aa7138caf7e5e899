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
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from clvkit.errors import DataError
from clvkit.ledger.detect_values import (
    MISSING,
    Dates,
    Numbers,
    Reading,
    ask,
    date_formats,
    days_of,
    decimal_sign,
)
from clvkit.ledger.files import SourceFile, unreadable
from clvkit.ledger.text import line_batches

__all__ = [
    "Dates",
    "Delimiter",
    "Guess",
    "Header",
    "Numbers",
    "Reading",
    "Rows",
    "ask",
    "date_formats",
    "days_of",
    "decimal_sign",
    "delimiter",
    "encodings",
    "header",
    "read_rows",
]

PLACE_BYTES = 8 << 20
TAIL_BYTES = 4 << 20
MAX_UNPACKED_BYTES = 1 << 30
MAX_ROWS = 200_000
MAX_FIELDS = 4_000_000
SINGLE_BYTE = ("cp1252", "latin-1", "iso-8859-15", "cp850", "mac-roman")
DELIMITERS = (",", ";", "\t", "|")
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
    runs = re.findall(rb"[A-Za-z0-9\x80-\xff]+", data)
    samples = list(dict.fromkeys(word[:60] for word in runs if not word[:60].isascii()))
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
