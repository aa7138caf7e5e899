"""Sources that something has gone wrong with: a small valid company, and seeded ways to break its files.

A case is made by its number alone: `make_case(7)` is the same today and tomorrow, alone or among a thousand. It breaks one
thing (every third case two) on one of four levels: the table (cells, columns, rows), the text of a CSV file (quotes, line
ends), its bytes (encodings, damage), or the types of a Parquet file.
"""

import gzip
import io
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SEED = 20240630
COLUMNS = {"customer": "customer", "date": "placed", "amount": "amount", "order": "order", "line_id": "line id",
           "product": "product", "currency": "currency", "quantity": "quantity"}  # fmt: skip
HEADER = [*COLUMNS.values(), "price", "email"]
INJECTIONS = (
    "'; DROP TABLE lines; --", '"; DROP TABLE lines; --', "=cmd|' /C calc'!A0", "<script>alert(1)</script>",
    "${jndi:ldap://x/a}", "../../x", "%s%n%x", "{{7*7}}", "`rm -rf .`", "$(id)", "' OR '1'='1", "{0}", "\\", "\\0", "a\\",
    "%00", "*", "a.*(b", "[", "(?i)", "^$", "\x1f", "\x1e", "\x07", "\x1b[31m", "open:1", "NULL", "None", "NaN", "🙂" * 40,
    "e\u0301", "\u200b", "\u202eabc", "\u2028", "\x85", "\ufeff", "x" * 5000,
)  # fmt: skip
NUMBERS = (
    "", " ", "ten", "true", "1e300", "-1e300", "1e-300", "1e3", "1E+2", "1e999", "1e-999", "1e", "e5", "1_000", "1,000.00",
    "1.000,00", "1'000", "NaN", "-nan", "Infinity", "-inf", "0x1F", "٣٤", "１２", "１２.５", "²", "½", "\u200e12.00",
    "\u202e12.00", "12.00\u200b", "1\u03012", "🙂", "12 €", "$12", "(12.00)", "12-", "--12", "+-1", "+12.00", "1.2.3", ".", "-",
    ".5", "5.", "00012", "0", "-0", "0.004", "0.005", "0.015", "2.675", "999999999999.99", "1000000000000", "1" + "0" * 20,
    "9223372036854775807", "-9223372036854775808", "9" * 400, "0." + "3" * 400, "0." + "0" * 30 + "1", "2024-01-05", "12.3O",
    "1\t2", "1\u00a0000",
)  # fmt: skip
DATES = (
    "", "0", "1", "-1", "45000", "20240105", "1704412800", "1e300", "NaN", "2024-02-30", "2023-02-29", "2024-13-01", "2024-00-10",
    "2024-01-00", "0001-01-01", "0000-01-01", "-2024-01-01", "9999-12-31", "10000-01-01", "99999-01-01", "1900-01-00",
    "1969-12-31", "1970-01-01", "2024-1-5", "05.01.2024", "01/05/24", "2024-01-05T25:00:00", "2024-01-05 12:00", "2024-01-05Z",
    "2024-01-05T23:59:60Z", "epoch", "infinity", "-infinity", "today", "now", "2024-01-05 (BC)", "２０２４-01-05", "٢٠٢٤-٠١-٠٥",
    "\u200e2024-01-05", "2024\u201101\u201105", "yesterday", "true", "2024-W01-1", "2024-001", "2024-01-05+99:99",
    "2024-01-05T10:00:00+0100", "2024-06-31", "2100-01-01", " 2024-01-05 ", "2024-01-05\u00a0",
)  # fmt: skip
CODES = ("", " EUR", *"eur EU EURO € XXX XAU BTC usd JPY KWD CLF TRY ＥＵＲ EÜR 978".split())
OWN_NAMES = "ordinal row file_no record parsed file_row_number typed_day select open:0 whole fields".split()
ODD_NAMES = ("'; DROP TABLE lines; --.csv", "$(id).csv", "`x`.csv", "{{7*7}}.csv", "%s%n.csv", "<b>.csv", "a b'c\"d.csv", "[ab].csv",
             "what?.csv", "-rf.csv", "=1+1.csv", "ünï🙂.csv", "e\u0301\u202e.csv", "a\\b.csv", "x" * 200 + ".csv")  # fmt: skip


@dataclass
class Sheet:
    """A table of text on its way to a file."""

    header: list[str]
    rows: list[list[str]]


@dataclass
class Case:
    """Files to write, and the ledger section that reads them."""

    number: int
    name: str
    files: dict[str, bytes] = field(default_factory=dict)
    section: dict = field(default_factory=dict)
    sheets: dict[str, Sheet] = field(
        default_factory=dict
    )  # of the files that say just this, where that is known
    amount: str = "amount"
    code: str | None = "currency"

    @property
    def pseudonyms(self) -> bool:
        """Whether customers are to be looked for behind accounts."""
        return "identity" in self.section

    def write(self, folder: Path) -> None:
        """Put the files into ``folder``."""
        for name, content in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)


def sheet(rng: random.Random, money: tuple[str, ...], moments: bool, rows: int = 60) -> Sheet:
    """Sixty sound rows of fifteen customers; every twelfth takes back the row before it."""
    made = []
    for n in range(rows):
        day = date(2023, 1, 1) + timedelta(days=rng.randrange(540))
        customer, order, product, code = (
            f"C{rng.randrange(15):03d}",
            f"o{n}",
            f"P{rng.randrange(9)}",
            money[n % len(money)],
        )
        quantity, price = rng.randrange(1, 5), rng.randrange(100, 5000)
        if n % 12 == 11:  # a refund of the row before it, two days later
            customer, order, product, code = (made[-1][at] for at in (0, 3, 5, 6))
            day = date.fromisoformat(made[-1][1][:10]) + timedelta(days=2)
            quantity, price = -1, price // 10
        total = Decimal(quantity * price) / 100
        written = f"{day}T{n % 24:02d}:30:00Z" if moments else day.isoformat()
        made.append([customer, written, f"{total:.2f}", order, f"{n}", product, code, f"{quantity}", f"{price / 100:.2f}",
                     f"{customer.lower()}@acme.test" if n % 3 else ""])  # fmt: skip
    return Sheet(list(HEADER), made)


# --- what can go wrong: the table -------------------------------------------------------------------------------------
def _cells(values: tuple[str, ...], *columns: str) -> Callable:
    """Put odd values into some cells, or into all, of one of ``columns``."""

    def change(rng: random.Random, s: Sheet) -> None:
        here = [n for n, name in enumerate(s.header) if name in columns]
        at = rng.choice(here or range(len(s.header)))
        share = rng.choice((0.02, 0.1, 0.1, 0.5, 1))
        one = rng.choice(values) if rng.random() < 0.5 else None
        for row in s.rows:
            if at < len(row) and rng.random() < share:
                row[at] = one if one is not None else rng.choice(values)

    return change


def _swap(rng: random.Random, s: Sheet) -> None:
    a, b = rng.sample(range(len(s.header)), 2)
    for row in (s.header, *s.rows) if rng.random() < 0.5 else s.rows:
        if max(a, b) < len(row):  # another change may have cut this row short
            row[a], row[b] = row[b], row[a]


def _headers(rng: random.Random, s: Sheet) -> None:
    at = rng.randrange(len(s.header))
    other = rng.choice(s.header)
    s.header[at] = rng.choice(
        (s.header[at].upper(), f" {s.header[at]} ", s.header[at][:-1], other, "", *INJECTIONS)
    )


def _drop_column(rng: random.Random, s: Sheet) -> None:
    at = rng.randrange(len(s.header))
    for row in (s.header, *s.rows):
        del row[at]


def _more_columns(rng: random.Random, s: Sheet) -> None:
    names = rng.choice((["x"], ["amount"], list(INJECTIONS), [f"c{n}" for n in range(3000)], [""] * 2000))
    s.header += names
    for row in s.rows:
        row += [rng.choice(("", "1", "x"))] * len(names)


def _ragged(rng: random.Random, s: Sheet) -> None:
    for row in rng.sample(s.rows, min(8, len(s.rows))):
        row[:] = rng.choice((row[:-1], row[:2], [*row, "more"], row * 3, [""], row * 400))


def _rows(rng: random.Random, s: Sheet) -> None:
    kind = rng.randrange(6)
    if kind == 0:
        s.rows += [list(row) for row in rng.choices(s.rows, k=30)]
    elif kind == 1:
        rng.shuffle(s.rows)
    elif kind == 2:
        s.rows = s.rows[: rng.choice((0, 1, 2))]
    elif kind == 3:
        s.rows = [list(s.rows[0]) for _ in range(60)]
    elif kind == 4:
        s.rows.insert(30, list(s.header))
    else:
        s.rows += [[""] * len(s.header), ["Total", "", "1234.56", *[""] * len(s.header)][: len(s.header)]]


def _column_name(rng: random.Random, columns: dict[str, str], parts: list[Sheet]) -> None:
    """A column with an odd name, which the study names; or one beside it that is nearly called the same."""
    role = rng.choice(list(columns))
    old = columns[role]
    new = rng.choice([*(name.strip() for name in INJECTIONS if name.strip()), *OWN_NAMES])
    like = rng.choice((new.upper(), new.lower(), *(name.title() for name in OWN_NAMES)))
    for s in parts:
        s.header[s.header.index(old)] = new
        if rng.random() < 0.4:
            s.header.append(like)
            s.rows[:] = [[*row, "7"] for row in s.rows]
    columns[role] = new


def _huge(rng: random.Random, s: Sheet) -> None:
    row = rng.choice(s.rows)
    size = rng.choice((100_000, 1_000_000, 1_100_000))
    row[rng.randrange(len(row))] = rng.choice(("x", "9", '"', "'", "é", "-", "0", " ")) * size


# --- the text of a CSV file -------------------------------------------------------------------------------------------
def _quotes(rng: random.Random, text: str) -> str:
    for _ in range(rng.choice((1, 2, 5, 50))):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(('"', '""', '"""', ',"', '",', '"\n', "'")) + text[at:]
    return text


def _line_ends(rng: random.Random, text: str) -> str:
    ends = rng.choice("\r|\r\n|\n \r\n|\n \r|\n\n\n|\r\r\n|\n\r|\u2028|\x0b \n".split("|")).split(" ")
    lines = text.split("\n")
    return "".join(line + rng.choice(ends) for line in lines)


def _delimiter(rng: random.Random, text: str) -> str:
    return text.replace(",", rng.choice((";", "\t", "|", ", ", ",,", "\x1f", " ", "，")))


def _pieces(rng: random.Random, text: str) -> str:
    """A mark in the middle, a line lost or repeated, two files in one."""
    at = rng.randrange(len(text) + 1)
    return rng.choice((
        text[:at] + "\ufeff" + text[at:], "\ufeff\ufeff" + text, text[:at] + "\0" + text[at:], text + text, "\n\n" + text,
        text.split("\n", 1)[-1], f"sep=,\n{text}", f"# made by x\n{text}", text + "(60 rows)\n", "", "\n", "\ufeff", text[:at],
        text[at:], "<html><body>404</body></html>", '{"error": "not allowed"}', text.replace("\n", "", 5),
    ))  # fmt: skip


# --- its bytes --------------------------------------------------------------------------------------------------------
def _encoding(rng: random.Random, raw: bytes) -> bytes:
    text = raw.decode("utf-8", "replace")
    text = text.replace("C00", rng.choice(("Ç€", "Ü", "C00")))
    first, second = (
        rng.choice(("utf-8", "cp1252", "latin-1", "utf-16", "utf-16-le", "utf-16-be", "utf-32")) for _ in "ab"
    )
    if rng.random() < 0.6:
        return text.encode(first, "replace")
    half = len(text) // 2
    return text[:half].encode(first, "replace") + text[half:].encode(second, "replace")


def _flips(rng: random.Random, raw: bytes) -> bytes:
    out = bytearray(raw)
    for _ in range(rng.choice((1, 3, 20, 300)) if out else 0):
        out[rng.randrange(len(out))] = rng.choice(
            (0, 0xFF, 0x80, 0xC3, 0xED, 10, 13, 34, 44, rng.randrange(256))
        )
    return bytes(out)


def _cut(rng: random.Random, raw: bytes) -> bytes:
    at = rng.randrange(len(raw) + 1)
    return rng.choice(
        (raw[:at], raw[:at], raw[at:], raw[: at // 2] + raw[at:], raw + raw[:at], raw[:4], raw[:-1])
    )


# --- the types of a Parquet file --------------------------------------------------------------------------------------
def _kinds(n: int) -> tuple[Callable[[], pa.Array], ...]:
    moment = datetime(2024, 1, 5, 23, 30, tzinfo=UTC)
    return (
        lambda: pa.nulls(n),
        lambda: pa.array([True, False, None] * n, pa.bool_())[:n],
        lambda: pa.array([float("nan"), float("inf"), -float("inf"), 1e300, -0.0, 2.675] * n)[:n],
        lambda: pa.array([1e-300, 12.5, 1e14, 1e13, 0.1 + 0.2, None] * n)[:n],
        lambda: pa.array([2**63 - 1, -(2**63), 0, None] * n, pa.int64())[:n],
        lambda: pa.array([2**64 - 1, 5] * n, pa.uint64())[:n],
        lambda: pa.array([Decimal("1.005"), Decimal("9" * 30)] * n, pa.decimal128(38, 3))[:n],
        lambda: pa.array([date(2024, 1, 5), date(1, 1, 1), date(9999, 12, 31), None] * n)[:n],
        lambda: pa.array([moment, None] * n, pa.timestamp("us", "UTC"))[:n],
        lambda: pa.array([moment, moment] * n, pa.timestamp("ns", "Asia/Tokyo"))[:n],
        lambda: pa.array([2**62, -(2**62), 0] * n, pa.timestamp("us"))[:n],
        lambda: pa.array([2**30, -(2**30)] * n, pa.date32())[:n],
        lambda: pa.array([time(12, 30)] * n, pa.time64("us")),
        lambda: pa.array([timedelta(days=3)] * n, pa.duration("us")),
        lambda: pa.array([b"\xff\xfe\x00", b"12.00"] * n, pa.binary())[:n],
        lambda: pa.array(["12.00", "x", None] * n)[:n].dictionary_encode(),
        lambda: pa.array([["a", "b"], [], None] * n, pa.list_(pa.string()))[:n],
        lambda: pa.array([{"a": 1, "b": "x"}, None] * n)[:n],
        lambda: pa.array([[("k", 1)]] * n, pa.map_(pa.string(), pa.int64())),
        lambda: pa.array([1.5, float("nan")] * n, pa.float32())[:n],
        lambda: pa.array(["12,00", "1.000,50", "nan", "", "0\x00"] * n)[:n],
    )


def _types(rng: random.Random, table: pa.Table) -> pa.Table:
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(table.num_columns)
        table = table.set_column(at, table.column_names[at], rng.choice(_kinds(table.num_rows))())
    return table


CHANGES: dict[str, tuple[str, Callable]] = {
    "amounts": ("table", _cells(NUMBERS, "amount")),
    "dates": ("table", _cells(DATES, "placed")),
    "injections": ("table", _cells(INJECTIONS, "customer", "product", "order", "line id", "email")),
    "flipped bytes": ("bytes", _flips),
    "types": ("typed", _types),
    "quotes": ("text", _quotes),
    "headers": ("table", _headers),
    "encoding": ("bytes", _encoding),
    "line ends": ("text", _line_ends),
    "cut": ("bytes", _cut),
    "quantities": ("table", _cells(NUMBERS, "quantity", "price")),
    "currencies": ("table", _cells(CODES, "currency")),
    "pieces": ("text", _pieces),
    "ragged": ("table", _ragged),
    "swapped": ("table", _swap),
    "rows": ("table", _rows),
    "more columns": ("table", _more_columns),
    "other kinds": ("table", _cells(NUMBERS + DATES + INJECTIONS, *HEADER)),
    "dropped column": ("table", _drop_column),
    "delimiter": ("text", _delimiter),
    "huge": ("table", _huge),
    "column name": ("column", _column_name),
    "file name": ("name", lambda rng: rng.choice(ODD_NAMES)),
}

# --- studies ----------------------------------------------------------------------------------------------------------
_ODD_PATTERNS = ("POST*", "a.*(b", "a.*(b*", "[*", "*\\", "\\", "*'; DROP*", "(?i)*", "^*$", "*{0}*", "%s*", "C00[1]*", "*🙂", "**x",
                 "+*", "${*", "|*")  # fmt: skip
SECTIONS: dict[str, dict] = {
    "plain": {},
    "net": {"negative_amounts": "net", "guests": "exclude", "duplicate_lines": "drop"},
    "rates": {"negative_amounts": "net", "exchange": {"missing": "stale"}},
    "identity": {"identity": {"keys": ["email"]}, "guests": "exclude"},
    "patterns": {
        "not_sales": {"odd": _ODD_PATTERNS},
        "excluded_customers": {"test": _ODD_PATTERNS, "one": ("C003",)},
    },
    "priced": {"zero_amounts": "quarantine", "negative_amounts": "net"},
    "moments": {
        "segment": "shop",
        "overlaps": "keep",
        "refunds": {"unmatched": "net_customer"},
        "negative_amounts": "net",
    },
    "company": {
        "identity": {"keys": ["record", "email"]},
        "costs": {"company": 0.5, "by_category": {"a": 0.4}},
        "guests": "exclude",
    },
    "without ids": {"duplicate_lines": "drop", "zero_amounts": "exclude", "negative_amounts": "quarantine"},
}


def _source(kind: str) -> dict:
    columns = dict(COLUMNS)
    if kind == "priced":
        columns |= {"price": "price"}
    if kind == "without ids":
        columns = {role: name for role, name in columns.items() if role in ("customer", "date", "amount")}
    one: dict = {"columns": columns}
    if kind == "moments":
        one |= {"date_format": "%Y-%m-%dT%H:%M:%S%z", "timezone": "Europe/Berlin"}
    if kind == "identity":
        one |= {"keys": {"email": "email"}}
    return one


def _tables(rng: random.Random, kind: str) -> dict[str, tuple[dict, Sheet]]:
    """The tables beside the orders of a study, as ``holds: (section, sheet)``."""
    if kind == "rates":
        days = [date(2022, 12, 31) + timedelta(days=3 * n) for n in range(185)]
        made = [[d.isoformat(), code, f"{rng.uniform(0.5, 2):.4f}"] for d in days for code in ("USD", "JPY")]
        sheets = {"rates": Sheet(["date", "currency", "rate"], made)}
    elif kind == "company":
        people = [[f"C{n:03d}", f"c{n % 12:03d}@acme.test", "N", "2022-05-01"] for n in range(15)]
        goods = [[f"P{n}", "abc"[n % 3], f"{n + 1}.50", "60.00"] for n in range(9)]
        months = [[f"2023-{n:02d}-01", "sales", f"{n}000.00"] for n in range(1, 13)]
        sheets = {
            "customers": Sheet(["id", "email", "region", "registered"], people),
            "products": Sheet(["product", "category", "unit_cost", "list_price"], goods),
            "totals": Sheet(["date", "account", "amount"], months),
        }
    else:
        return {}
    made = {}
    for holds, one in sheets.items():
        section: dict = {
            "holds": holds,
            "path": f"{holds}.csv",
            "fields": {n: n for n in one.header if n not in ("id", "email")},
        }
        if holds == "customers":
            section |= {"accounts": {"shop": "id"}, "keys": {"email": "email"}}
        made[holds] = section, one
    return made


def csv_text(s: Sheet) -> str:
    """A sheet as CSV: fields with a comma, a quote or a line end in quotes."""

    def written(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"' if any(c in cell for c in ',"\r\n') else cell

    return "".join(",".join(written(cell) for cell in row) + "\n" for row in (s.header, *s.rows))


def _parquet(s: Sheet, rng: random.Random, typed: list[Callable]) -> bytes:
    width = len(s.header)
    rows = [[*row[:width], *[None] * (width - len(row))] for row in s.rows]
    table = pa.Table.from_arrays(
        [pa.array([row[at] for row in rows], pa.string()) for at in range(width)], names=s.header
    )
    for change in typed:
        table = change(rng, table)
    stream = io.BytesIO()
    pq.write_table(table, stream, row_group_size=25)
    return stream.getvalue()


def _content(s: Sheet, form: str, rng: random.Random, changes: dict[str, list[Callable]]) -> bytes:
    if form == "parquet":
        raw = _parquet(s, rng, changes.get("typed", []))
    else:
        text = csv_text(s)
        for change in changes.get("text", []):
            text = change(rng, text)
        raw = text.encode()
    above = form == "csv.gz" and rng.random() < 0.5  # the damage is done to the packed file
    if above:
        raw = gzip.compress(raw, mtime=0)
    for change in changes.get("bytes", []):
        raw = change(rng, raw)
    return gzip.compress(raw, mtime=0) if form == "csv.gz" and not above else raw


def make_case(number: int) -> Case:
    """The case of that number."""
    rng = random.Random(f"{SEED}-{number}")
    names = list(CHANGES)
    wanted = [
        names[number % len(names)],
        *(
            rng.sample(names[: number % len(names)] + names[number % len(names) + 1 :], 1)
            if number % 3 == 2
            else []
        ),
    ]
    changes: dict[str, list[Callable]] = {}
    for name in wanted:
        changes.setdefault(CHANGES[name][0], []).append(CHANGES[name][1])
    kind = rng.choice(list(SECTIONS))
    form = rng.choice(("csv", "csv", "csv", "csv.gz", "parquet"))
    if "typed" in changes:
        form = "parquet"
    elif "text" in changes and form == "parquet":
        form = "csv"
    parts = [sheet(rng, ("EUR", "USD", "JPY") if kind == "rates" else ("EUR",), kind == "moments")]
    if rng.random() < 0.25:  # in two files, of which the second repeats ten rows of the first
        parts = [
            Sheet(list(HEADER), [list(r) for r in rows]) for rows in (parts[0].rows[:35], parts[0].rows[25:])
        ]
    source = _source(kind)
    beside = _tables(rng, kind)
    for change in changes.get("column", []):
        change(rng, source["columns"], parts)
    side = rng.random() < 0.3 and not {"column", "name", "typed"} & set(changes) and bool(beside)
    broken = rng.choice([one for _, one in beside.values()]) if side else parts[-1]
    for change in changes.get("table", []):
        change(rng, broken)
    files = {
        f"shop/{n}.{form}": _content(s, form, rng, changes if s is broken else {})
        for n, s in enumerate(parts)
    }
    for change in changes.get("name", []):
        files[f"shop/{change(rng)}.{form}"] = files.pop(f"shop/{len(parts) - 1}.{form}")
    source["path"] = "shop" if len(files) > 1 or rng.random() < 0.5 else next(iter(files))
    section = dict(SECTIONS[kind])
    if beside:
        section["sources"] = {"shop": source} | {name: one for name, (one, _) in beside.items()}
        files |= {
            one["path"]: _content(s, "csv", rng, changes if s is broken else {}) for one, s in beside.values()
        }
    else:
        section |= source
    # Where only cells and rows were changed, it is known what must be read.
    plain = set(changes) <= {"table", "column", "name"} and kind != "priced"
    known = (
        dict(zip(sorted(name for name in files if name.startswith("shop/")), parts, strict=True))
        if plain
        else {}
    )
    if len(known) > 1 and "name" in changes:
        known = {}
    amount, code = (source["columns"].get(role) for role in ("amount", "currency"))
    return Case(
        number, f"{number}: {' and '.join(wanted)}, {kind}, {form}", files, section, known, amount, code
    )
