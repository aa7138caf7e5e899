"""What holds for any source: rows and money balance, and neither order nor files matter."""

import csv
import io
import tempfile
from collections import Counter
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_reading import bought

from clvkit.ledger import LedgerSection, build_ledger
from clvkit.ledger.reasons import STATES

HEADER = ["customer_id", "date", "amount", "note"]
cells = {
    "customer": st.sampled_from(["a", "b", "c", 'd "x"', "e,f", "", " ", "NULL"]),
    "date": st.sampled_from(
        ["2024-01-05", "2024-01-06", "2024-03-01", "2024-07-02", "2025-01-01", "", "soon"]
    ),
    "amount": st.one_of(
        st.decimals(-50, 5000, places=2).map(str),
        st.decimals(0, 10, places=4).map(str),
        st.sampled_from(["0", "", "ten", "1e99", "1,5", "-0.00"]),
    ),
    "note": st.sampled_from(["", "x", "two\nlines", "a, b", '5" pipe', '"', "é"]),
}
sound = st.tuples(*cells.values()).map(list)
# A line that is no record: too short, too long, or with a quote that never closes.
broken = st.sampled_from(["a,2024-01-05,1", "a,2024-01-05,1,x,y", 'a,2024-01-05,1,"x"y', "junk"])
sources = st.lists(st.one_of(sound, sound, sound, broken), min_size=1, max_size=40)
policies = st.fixed_dictionaries({
    "zero_amounts": st.sampled_from(["keep", "exclude", "quarantine"]),
    "negative_amounts": st.sampled_from(["exclude", "quarantine"]),
    "duplicate_lines": st.sampled_from(["keep", "drop"]),
})  # fmt: skip
properties = settings(max_examples=6, deadline=None)


def text_of(records):
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for record in records:
        if isinstance(record, str):
            out.write(record + "\n")
        else:
            writer.writerow(record)
    return out.getvalue()


def ledger_of(files, **section):
    """The ledger of a list of files; each source gets one good row, so that something can be used."""
    with tempfile.TemporaryDirectory() as folder:
        for i, records in enumerate(files):
            Path(folder, f"{i}.csv").write_text(text_of(records), encoding="utf-8")
        return build_ledger(
            LedgerSection(path=".", max_quarantined_share=1, **section),
            as_of=date(2024, 6, 30), currency="EUR", base=folder, today=date(2024, 12, 31),
        )  # fmt: skip


GOOD = ["good", "2024-01-05", "1.00", ""]


def minor(text):
    try:
        value = Decimal(text)
    except ArithmeticError:
        return None
    cents = (value * 100).to_integral_value(ROUND_HALF_UP) if abs(value) < 10**12 else None
    return None if cents is None else int(cents)


@properties
@given(sources, policies)
def test_rows_and_money_balance(records, policy):
    ledger = ledger_of([[GOOD, *records]], **policy)
    rows, amount = ledger.totals["rows"], ledger.totals["amount"]["EUR"]
    assert rows["in"] == len(records) + 1 == sum(rows[s] for s in STATES)
    readable = [minor(r[2]) for r in [GOOD, *records] if not isinstance(r, str)]
    cents = {state: round(value * 100) for state, value in amount.items()}
    assert cents["in"] == sum(r for r in readable if r is not None) == sum(cents[s] for s in STATES)
    assert ledger.totals["amount_unreadable"] == len(records) + 1 - sum(r is not None for r in readable)
    assert not any(c.stops for c in ledger.checks)
    assert sum(p[2] for p in bought(ledger)) == cents["used"] + cents["merged"]


@properties
@given(sources, policies, st.randoms(use_true_random=False), st.integers(1, 3))
def test_order_and_files_do_not_matter(records, policy, random, files):
    records = [GOOD, *records]
    shuffled = random.sample(records, len(records))
    parts = [shuffled[i::files] for i in range(files)]
    whole, split = (ledger_of(parts, overlaps="keep", **policy) for parts in ([records], parts))
    assert bought(whole) == bought(split)
    assert whole.totals["rows"] == split.totals["rows"]

    def kept(ledger):
        money = {s: round(a * 100) for s, a in ledger.totals["amount"]["EUR"].items()}
        # Which row of a day counts as its first depends on the order; their sum does not.
        money["used"] += money.pop("merged")
        return money

    assert kept(whole) == kept(split)
    assert Counter(whole.quarantine["reason"]) == Counter(split.quarantine["reason"])


@properties
@given(sources, policies, st.randoms(use_true_random=False))
def test_an_overlap_counts_once(records, policy, random):
    """A file that is there twice, and an extract that holds a part of another, change no purchase."""
    records = [GOOD, *records]
    again = random.sample(records, random.randint(0, len(records)))
    once = ledger_of([records], **policy)
    for files in ([records, records], [records, again], [again, records]):
        found = ledger_of(files, **policy)
        assert bought(found) == bought(once)
        assert not any(check.stops for check in found.checks)
        assert found.totals["rows"]["in"] == sum(map(len, files))


@properties
@given(sources)
def test_every_row_knows_its_line(records):
    """The line a row says it came from holds that row."""
    ledger = ledger_of([[GOOD, *records]])
    lines = text_of([GOOD, *records]).split("\n")
    for row in ledger.rows.to_pyarrow().to_pylist():
        line = lines[row["row"] - 1]
        if row["customer"] is not None:
            assert row["customer"].replace('"', '""') in line
        elif row["reason"] == "row_unparseable":
            assert row["value"] == line
