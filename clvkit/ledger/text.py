"""The physical lines of a text file as Arrow batches, checked while they stream past.

Splitting lines here, and columns later in the engine, is what makes the count of rows provable: every line
that is not empty becomes exactly one row, whatever is in it. Nothing is guessed and nothing is skipped.
"""

import codecs
import gzip
import zlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clvkit.errors import DataError
from clvkit.ledger.files import SourceFile, unreadable

BLOCK_BYTES = 8 << 20
MAX_LINE_BYTES = 1 << 20
UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def line_batches(file: SourceFile, encoding: str) -> Iterator[pa.RecordBatch]:
    """Stream the lines of ``file`` that are not empty.

    Yields batches with ``row`` (int64, number of the line in the file, from 1) and ``line`` (large_string,
    without its line end). Memory stays within a few blocks whatever the size of the file; compressed
    files (gzip) are read as they stand.

    Raises
    ------
    DataError : the file is empty, is not text, or is not in the encoding stated.
    """
    line_number = 1
    for block in _whole_lines(file, encoding):
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == 10) + 1
        if not len(ends) or ends[-1] != len(block):
            ends = np.append(ends, len(block))
        offsets = np.concatenate([[0], ends]).astype(np.int64)
        lines = pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(block))
        rows = pa.array(np.arange(line_number, line_number + len(ends)))
        line_number += len(ends)
        batch = pa.record_batch({"row": rows, "line": pc.utf8_rtrim(lines, characters="\r\n")})
        yield batch.filter(pc.greater(pc.binary_length(batch["line"]), 0))


def _whole_lines(file: SourceFile, encoding: str) -> Iterator[bytes]:
    """UTF-8 blocks that end where a line ends, without a byte-order mark."""
    done_bytes, done_lines, rest, old_mac = 0, 0, b"", None
    for chunk in _utf8_chunks(file, encoding):
        if old_mac is None:
            # Lines that end in a carriage return alone: spreadsheets of old, and some exports still.
            old_mac = b"\n" not in chunk and b"\r" in chunk
        block = rest + (chunk.replace(b"\r", b"\n") if old_mac else chunk)
        cut = block.rfind(b"\n") + 1
        block, rest = block[:cut], block[cut:]
        if len(rest) > MAX_LINE_BYTES:
            line = done_lines + block.count(b"\n") + 1
            raise DataError(
                f"{file.name} has a line of more than {MAX_LINE_BYTES:,} bytes; it is not a table",
                place=f"{file.name}: line {line}",
                fix="check that ledger.path names the right file and that it is complete",
            )
        if block:
            _check_utf8(block, file, encoding, done_bytes, done_lines)
            yield block if done_bytes else block.removeprefix(codecs.BOM_UTF8)
            done_bytes, done_lines = done_bytes + len(block), done_lines + block.count(b"\n")
    if rest:
        _check_utf8(rest, file, encoding, done_bytes, done_lines)
        yield rest if done_bytes else rest.removeprefix(codecs.BOM_UTF8)
    elif not done_bytes:
        raise DataError(
            f"{file.name} is empty",
            place=file.name,
            fix="check that the export finished, or take the file out of ledger.path",
        )


def _utf8_chunks(file: SourceFile, encoding: str) -> Iterator[bytes]:
    """The bytes of the file in UTF-8, whatever encoding it is stored in."""
    utf8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig", "ascii")
    decoder = codecs.getincrementaldecoder("utf-8" if utf8 else encoding)()
    taken = 0
    for chunk in _chunks(file):
        if not taken:
            _refuse_binary(chunk, file, utf8)
        if not utf8:
            pending = len(decoder.getstate()[0])
            try:
                text = decoder.decode(chunk)
            except UnicodeDecodeError as error:
                raise _wrong_encoding(file, encoding, error, taken - pending + error.start, None) from None
            taken += len(chunk)
            chunk = text.removeprefix("\ufeff").encode()
        else:
            taken += len(chunk)
        if b"\0" in chunk:
            raise _not_text(file)
        yield chunk
    if not utf8 and decoder.getstate()[0]:
        raise DataError(
            f"{file.name} ends within a character of {encoding}",
            place=file.name,
            fix="check that the export finished and that ledger.encoding is right",
        )


def _chunks(file: SourceFile) -> Iterator[bytes]:
    try:
        with open(file.path, "rb") as raw:
            packed = raw.peek(2)[:2] == b"\x1f\x8b"
            stream = gzip.GzipFile(fileobj=raw) if packed else raw
            while chunk := stream.read(BLOCK_BYTES):
                yield chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{file.name} is a damaged gzip file: {error}",
            place=file.name,
            fix="copy or export the file again",
        ) from error
    except OSError as error:
        raise unreadable(file, error) from error


def _refuse_binary(start: bytes, file: SourceFile, utf8: bool) -> None:
    known = {
        b"PK\x03\x04": "a spreadsheet or zip archive",
        b"PAR1": "a Parquet file",
        b"\xd0\xcf\x11\xe0": "an old spreadsheet",
        b"%PDF": "a PDF document",
    }
    for mark, what in known.items():
        if start.startswith(mark):
            fix = (
                "set ledger.format: parquet"
                if mark == b"PAR1"
                else "save the table as CSV and name that file"
            )
            raise DataError(f"{file.name} is {what}, not a CSV file", place=file.name, fix=fix)
    if utf8 and start.startswith(UTF16_MARKS):
        raise DataError(
            f"{file.name} is written in UTF-16 (it starts with a UTF-16 byte-order mark)",
            place=f"{file.name}: byte 0",
            fix="set ledger.encoding: utf-16",
        )
    head = start[:4096]
    if utf8 and b"\0" in head:
        for offset, name in ((1, "utf-16-le"), (0, "utf-16-be")):
            if head[offset::2].count(0) > 0.9 * len(head[offset::2]):
                raise DataError(
                    f"{file.name} looks like UTF-16 without a byte-order mark",
                    place=f"{file.name}: byte {offset}",
                    fix=f"set ledger.encoding: {name}",
                )


def _not_text(file: SourceFile) -> DataError:
    return DataError(
        f"{file.name} is not a text file: it has bytes of value zero",
        place=file.name,
        fix="check that ledger.path names a CSV or Parquet file",
    )


def _check_utf8(block: bytes, file: SourceFile, encoding: str, done_bytes: int, done_lines: int) -> None:
    if codecs.lookup(encoding).name not in ("utf-8", "utf-8-sig", "ascii"):
        return
    try:
        block.decode("utf-8")
    except UnicodeDecodeError as error:
        line = done_lines + block.count(b"\n", 0, error.start) + 1
        raise _wrong_encoding(file, "utf-8", error, done_bytes + error.start, line) from None


def _wrong_encoding(
    file: SourceFile, encoding: str, error: UnicodeDecodeError, offset: int, line: int | None
) -> DataError:
    bad = error.object[error.start]
    around = error.object[max(0, error.start - 60) : error.start + 60]
    near = around.split(b"\n")
    try:
        around.decode("cp1252")
        guess = "cp1252 (Windows and Excel in Western Europe) or latin-1"
    except UnicodeDecodeError:
        guess = "latin-1"
    if encoding == "cp1252":
        guess = "latin-1"
    sample = next((part for part in near if bytes([bad]) in part), around).decode("latin-1")
    where = f"{file.name}: byte {offset:,}" + (f" (line {line:,})" if line else "")
    return DataError(
        f"{file.name} is not valid {encoding.upper()}: byte 0x{bad:02X} in {sample.strip()!r}",
        place=where,
        fix=f"set ledger.encoding to the one the file was written in, often {guess}",
    )
