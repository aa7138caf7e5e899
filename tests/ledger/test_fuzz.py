"""Whatever is done to a source, it is refused in words, or its ledger balances: nothing in between, and nothing hangs."""

import gzip
import io
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from decimal import ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from fuzzing import COLUMNS, HEADER, SEED, Case, csv_text, make_case, sheet
from ledger_reading import AS_OF, TODAY

from clvkit.errors import ClvError
from clvkit.ledger import LedgerSection, build_ledger
from clvkit.ledger.currencies import is_currency, minor_digits
from clvkit.ledger.values import MAX_MINOR

QUICK, ALL = 60, 600
SECONDS = 20  # a case that takes longer hangs
LONGEST = 2000  # characters of a message
STATES = ("used", "merged", "later", "excluded", "quarantined")
MAY_FAIL = re.compile(
    r"ledger[.](quarantine|refunds_unmatched|exchanged_days|control_(total|rows)([.].+)?)"
)  # a source may be as bad as that


class _TookTooLongError(BaseException):
    """Not an Exception: no handler of the code under test may swallow it."""


@contextmanager
def _alarm():
    """Seconds of the processors, as other work may share them; and a waiting that never ends."""

    def ring(*_):
        raise _TookTooLongError(f"still running after {SECONDS} s")

    kinds = (
        (signal.SIGPROF, signal.ITIMER_PROF, SECONDS),
        (signal.SIGALRM, signal.ITIMER_REAL, 30 * SECONDS),
    )
    before = [signal.signal(number, ring) for number, _, _ in kinds]
    for _, timer, seconds in kinds:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for (number, timer, _), old in zip(kinds, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, old)


def _wrong_words(error: ClvError, folder: Path) -> list[str]:
    """What is wrong with the words of a refusal."""
    text = str(error)
    wrong = [] if error.exit_code == 2 else [f"exit code {error.exit_code}"]
    wrong += [f"no {part}" for part in ("message", "place", "fix") if not getattr(error, part)]
    if len(text) > LONGEST:
        wrong.append(f"{len(text):,} characters: {text[:300]}")
    for private in (
        "Traceback",
        str(folder),
        str(Path.cwd()),
        str(Path.home()),
        "site-packages",
        tempfile.gettempdir(),
    ):
        if private in text:
            wrong.append(f"has {private!r}: {text[:600]}")
    return wrong


def _wrong_sums(ledger) -> list[str]:
    """Where the rows and the money of a ledger do not balance, added up anew from its rows."""
    rows, bought = (t.to_pyarrow().to_pylist() for t in (ledger.rows, ledger.purchases))
    wrong = []

    def same(what, found, told):
        if found != told:
            wrong.append(f"{what}: {found} is not {told}")

    by_state = Counter(row["state"] for row in rows)
    same("states", set(by_state) - set(STATES), set())
    came_in = ledger.totals["rows"]["in"]
    same("rows", {"in": len(rows)} | {s: by_state[s] for s in STATES}, ledger.totals["rows"])
    orders = [one["rows"] for one in ledger.inputs if one["source"] in ("shop", "orders")]
    same("rows of the files", sum(orders), came_in)
    same("rows told apart", len({(row["file"], row["row"]) for row in rows}), len(rows))
    same("rows by reason", int(ledger.reasons["rows"].sum()), len(rows))
    sums: dict = {}
    for row in rows:
        each = sums.setdefault(row["currency"], Counter())
        each[row["state"]] += row["amount_minor"] or 0
        each["in"] += row["amount_minor"] or 0
    for code, told in ledger.totals["amount"].items():
        found = sums.pop(code, Counter())
        factor = min((10**d for d in range(5)), key=lambda f: sum(abs(found[s] / f - told[s]) for s in told))
        same(f"money in {code}", {s: found[s] / factor for s in ("in", *STATES)}, told)
        same(f"states of {code}", sum(found[s] for s in STATES), found["in"])
    same("currencies without a total", {code for code, each in sums.items() if any(each.values())}, set())
    days: dict = {}
    for row in rows:
        if row["state"] in ("used", "merged"):
            same(
                f"a customer, day and value of row {row['row']}",
                None in (row["customer"], row["day"], row["value_minor"]),
                False,
            )
            day = days.setdefault((row["customer"], row["day"]), [0, 0])
            day[0] += row["value_minor"] or 0
            day[1] += 1
        if (row["state"] == "used") != (row["reason"] is None):
            wrong.append(f"row {row['row']} is {row['state']} for {row['reason']}")
    same("purchases", days, {(p["customer"], p["day"]): [p["amount_minor"], p["lines"]] for p in bought})
    same("used rows", by_state["used"], len(bought))
    same("days after the as-of date", [d for _, d in days if d is not None and d > AS_OF], [])
    failing = [c.id for c in ledger.checks if c.stops and not MAY_FAIL.fullmatch(c.id)]
    same("failing checks", failing, [])
    json.dumps(ledger.totals, allow_nan=False)
    return wrong


PLAIN_NUMBER = re.compile(r"[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]{1,3})?")


def _minor(text: str | None, code: str) -> int | None:
    """What a text is in minor units of a currency, by the rules of REFERENCE: half up, null where it is no amount."""
    if text is None or not PLAIN_NUMBER.fullmatch(text.strip(" ")):
        return None
    digits = minor_digits(code) if is_currency(code) else 2
    with localcontext(prec=1500, Emin=-999999, Emax=999999):
        minor = (Decimal(text.strip(" ")) * 10**digits).quantize(Decimal(1), ROUND_HALF_UP)
    return int(minor) if abs(minor) < MAX_MINOR else None


def _wrong_amounts(ledger, case) -> list[str]:
    """Amounts that differ from what was written, where it is known what was."""
    wrong = []
    for row in ledger.rows.to_pyarrow().to_pylist():
        sheet = case.sheets.get(row["file"])
        if sheet is None or row["reason"] == "row_unparseable" or sheet.header.count(case.amount) != 1:
            continue
        cells = sheet.rows[row["row"] - (1 if row["file"].endswith("parquet") else 2)]
        at = sheet.header.index(case.amount)
        written = cells[at] if at < len(cells) else None
        expected = _minor(written, row["currency"])
        if row["amount_minor"] != expected:
            wrong.append(f"row {row['row']}: {written!r:.60} is {row['amount_minor']}, not {expected}")
    return wrong[:5]


def _wrong(case, folder: Path) -> tuple[str, list[str]]:
    """How a case ended, and what is wrong with that."""
    case.write(folder)
    section = LedgerSection(**case.section)
    more = {"crosswalk": folder / "people"} if case.pseudonyms else {}
    try:
        with _alarm():
            ledger = build_ledger(section, as_of=AS_OF, currency="EUR", base=folder, today=TODAY, **more)
            found = _wrong_sums(ledger) + _wrong_amounts(ledger, case)
            ledger.con.disconnect()
        return "ledger", found
    except ClvError as error:
        return "refused", _wrong_words(error, folder)
    except (Exception, _TookTooLongError) as error:
        return "broken", [f"{type(error).__name__}: {str(error)[:600]}"]


def _run(numbers, folder: Path) -> Counter:
    """How the cases ended; fails with the words of all that ended badly."""
    endings, failures = Counter(), []
    for number in numbers:
        case, place = make_case(number), folder / str(number)
        ending, wrong = _wrong(case, place)
        endings[ending] += 1
        failures += [f"{case.name}: {one}" for one in wrong]
        shutil.rmtree(place)
    assert not failures, f"{len(failures)} failures\n" + "\n".join(failures)
    return endings


def test_cases_are_the_same_each_time_and_not_each_other():
    cases = [make_case(number) for number in range(QUICK)]
    assert make_case(7) == cases[7]
    assert len({repr(case.files) for case in cases}) == QUICK


def test_a_sound_source_is_read_to_the_cent(tmp_path):
    """What the cases begin as: a refusal of everything would pass the other tests."""
    whole = sheet(random.Random(SEED), ("EUR",), moments=False)
    case = Case(
        0,
        "sound",
        {"shop.csv": csv_text(whole).encode()},
        {"path": "shop.csv", "columns": COLUMNS},
        {"shop.csv": whole},
    )
    assert _wrong(case, tmp_path) == ("ledger", [])
    whole.rows[3][2] = "77.77"  # the file does not say so: the comparison must see it
    assert [one[:16] for one in _wrong(case, tmp_path)[1]] == ["row 5: '77.77' i"]


@pytest.mark.slow
def test_broken_sources_are_refused_in_words_or_balance(tmp_path):
    endings = _run(range(QUICK), tmp_path)
    assert min(endings["ledger"], endings["refused"]) >= QUICK // 5, endings


@pytest.mark.slow
def test_six_hundred_broken_sources_are_refused_in_words_or_balance(tmp_path):
    endings = _run(range(ALL), tmp_path)
    assert sum(endings.values()) == ALL >= 500
    assert min(endings["ledger"], endings["refused"]) >= ALL // 5, endings


@pytest.mark.parametrize(
    "names", [("shop", "Shop"), ("../../x", "till"), ("'; DROP TABLE lines; --", "till"), ("", "till")]
)
def test_names_of_sources_are_names(names):
    sources = {name: {"path": f"{number}.csv"} for number, name in enumerate(names)}
    with pytest.raises(ValueError, match=r"names of sources must differ|a name has letters"):
        LedgerSection(sources=sources)


def _nasty() -> dict[str, tuple[bytes, str]]:
    """What ten of the nastiest files hold, and how each is called."""
    rng = random.Random(SEED)
    whole = csv_text(sheet(rng, ("EUR",), moments=False, rows=240))
    raw, packed = whole.encode(), gzip.compress(whole.encode(), mtime=0)
    table = pa.table({name: ["x", None] * 40 for name in HEADER})
    stream = io.BytesIO()
    pq.write_table(table, stream)
    lines = whole.split("\n")
    return {
        "cut gzip": (packed[: len(packed) // 2], "shop.csv.gz"),
        "cut Parquet": (stream.getvalue()[:-200], "shop.parquet"),
        "no values": (stream.getvalue(), "shop.parquet"),
        "zero bytes": (raw[:4000] + b"\0" * 100 + raw[4000:], "shop.csv"),
        "two encodings": (raw[:5000] + whole[5000:].encode("utf-16"), "shop.csv"),
        "open quote": (raw.replace(b",o5,", b',"o5,'), "shop.csv"),
        "injected": (
            "\n".join(
                [
                    lines[0],
                    *(f"{rng.choice(('=cmd|x', '<script>', '{{7*7}}', '%s%n'))}{line}" for line in lines[1:]),
                ]
            ).encode(),
            "a'; DROP TABLE lines; --.csv",
        ),
        "absurd amounts": (re.sub(rb",[0-9]+[.][0-9]{2},o", b",1e300,o", raw), "shop.csv"),
        "thousands of columns": (whole.replace("\n", "," * 3000 + "\n").encode(), "shop.csv"),
        "a very long line": (raw + b"C001,2024-01-05," + b"9" * 2_000_000, "shop.csv"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("what", _nasty())
def test_check_ends_with_an_exit_code_and_words(what, tmp_path):
    content, name = _nasty()[what]
    (tmp_path / name).write_bytes(content)
    study = {
        "name": "nasty", "title": "Nasty", "currency": "EUR", "as_of": AS_OF.isoformat(),
        "ledger": {"path": name, "columns": COLUMNS, "extracted": TODAY.isoformat()},
        "value": {"margin": 0.3, "annual_discount_rate": 0.1},
    }  # fmt: skip
    (tmp_path / "nasty.yml").write_text(yaml.safe_dump(study), encoding="utf-8")
    call = [sys.executable, "-m", "clvkit.cli", "check", "nasty.yml", "--out", "reports"]
    ended = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    said = ended.stdout + ended.stderr
    assert ended.returncode in (0, 1, 2), said[-2000:]
    assert "Traceback" not in said and str(tmp_path) not in said, said[-2000:]
    if ended.returncode == 2:
        assert "where:" in ended.stderr and "next:" in ended.stderr and len(ended.stderr) < LONGEST, (
            ended.stderr
        )
