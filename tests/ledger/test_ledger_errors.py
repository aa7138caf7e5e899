"""Each kind of bad source has its own message: what is wrong, where, and what to do next."""

import gzip
import os
import random
import resource
import time
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from ledger_reading import check

from clvkit.errors import DataError
from clvkit.ledger import Ledger, LedgerSection
from clvkit.ledger.facts import Control, Facts, Money
from clvkit.ledger.quality import ledger_checks

ROWS = "customer_id,date,amount\nc1,2024-01-05,10.00\n"


def error(build, **section):
    with pytest.raises(DataError) as caught:
        build(**section)
    assert "/tmp/" not in str(caught.value), "an error must not show a machine's folders"
    return caught.value


class TestFiles:
    def test_no_such_file(self, source, build):
        source(ROWS, "data/orders.csv")
        found = error(build, path="data/order.csv")
        assert found.message == "ledger.path matches no file (got 'data/order.csv')"
        assert found.place == "data/order.csv; the nearest folder that exists, data, holds: orders.csv"
        assert "relative" in found.fix or "counts from the folder of the study file" in found.fix

    def test_a_glob_without_match(self, source, build):
        assert "matches no file (got 'data/*.csv')" in error(build, path="data/*.csv").message

    def test_a_folder_without_data(self, source, build):
        source("hello", "data/README.md")
        assert "matches no file (got 'data')" in error(build, path="data").message

    def test_two_formats(self, source, build):
        source(ROWS, "data/a.csv")
        source(b"", "data/b.parquet")
        found = error(build, path="data")
        assert found.message == "ledger.path matches CSV and Parquet files together (2 files)"
        assert "set ledger.format" in found.fix

    def test_an_unknown_ending(self, source, build):
        source(ROWS, "orders.dat")
        found = error(build, path="orders.dat")
        assert found.message == "the format of orders.dat cannot be told from its name"
        assert build(path="orders.dat", format="csv").totals["customers"] == 1

    @pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
    def test_a_file_one_may_not_read(self, source, build):
        source(ROWS).chmod(0)
        assert error(build).message == "orders.csv cannot be read: Permission denied"

    def test_damaged_gzip(self, source, build):
        source(gzip.compress(ROWS.encode() * 200)[:-20], "orders.csv.gz")
        found = error(build, path="orders.csv.gz")
        assert found.message.startswith("orders.csv.gz is a damaged gzip file")

    def test_damaged_parquet(self, source, build):
        source(b"PAR1 and so on", "orders.parquet")
        found = error(build, path="orders.parquet")
        assert found.message.startswith("orders.parquet is not a readable Parquet file")


class TestEmpty:
    def test_empty_file(self, source, build):
        source("")
        found = error(build)
        assert (found.message, found.place) == ("orders.csv is empty", "orders.csv")
        assert found.fix.startswith("check that the export finished")

    @pytest.mark.parametrize("content", ["\n\n\r\n", "\ufeff"])
    def test_nothing_in_any_line(self, source, build, content):
        source(content)
        assert error(build).message == "orders.csv has no line with anything in it"

    @pytest.mark.parametrize("content", [ROWS.splitlines()[0], ROWS.splitlines()[0] + "\n\n"])
    def test_header_only(self, source, build, content):
        source(content)
        found = error(build)
        assert (found.message, found.place) == ("the source has a header and no rows", "orders.csv")

    def test_parquet_without_rows(self, build, tmp_path):
        import pandas as pd

        pd.DataFrame({"customer_id": [], "date": [], "amount": []}).to_parquet(tmp_path / "o.parquet")
        assert error(build, path="o.parquet").message == "the source has no rows"


class TestColumns:
    def test_missing_column_with_a_near_name(self, source, build):
        source("CustomerID,date,amount\nc1,2024-01-05,10\n")
        found = error(build)
        assert found.message == (
            "ledger.columns.customer names 'customer_id', which orders.csv does not have; "
            "did you mean 'CustomerID'? It has: CustomerID, date, amount"
        )
        assert (found.place, found.fix) == (
            "orders.csv: header",
            "set ledger.columns.customer to the right column",
        )

    def test_missing_column_without_a_near_name(self, source, build):
        source("customer_id,date,euros\nc1,2024-01-05,10\n")
        assert error(build).message == (
            "ledger.columns.amount names 'amount', which orders.csv does not have; "
            "it has: customer_id, date, euros"
        )

    def test_missing_in_one_of_the_files(self, source, build):
        source(ROWS, "in/a.csv")
        source("customer_id,date\n", "in/b.csv")
        assert error(build, path="in").place == "in/b.csv: header"

    def test_duplicate_header(self, source, build):
        source("customer_id,date,amount,amount\nc1,2024-01-05,10,11\n")
        found = error(build)
        assert found.message == "the column 'amount' (ledger.columns.amount) stands 2 times"
        assert found.place == "orders.csv: header"

    @pytest.mark.parametrize("sign, words", [(";", "';'"), ("\t", "tab"), ("|", "'|'")])
    def test_wrong_delimiter(self, source, build, sign, words):
        source(ROWS.replace(",", sign))
        found = error(build)
        assert "its header is one column, 'customer_id" in found.message
        assert found.fix == f"set ledger.delimiter: {words}"

    def test_comma_where_another_sign_is_stated(self, source, build):
        source(ROWS)
        assert error(build, delimiter=";").fix == "set ledger.delimiter: ','"

    def test_without_header(self, source, build):
        source("c1,2024-01-05,10\n")
        found = error(build, header=False)
        assert "it has 3 columns and, without a header line, they are named 1 to 3" in found.message


class TestEncoding:
    def test_not_utf8(self, source, build):
        source("customer_id,date,amount\nJosé,2024-01-05,10\n", encoding="cp1252")
        found = error(build)
        assert found.message == "orders.csv is not valid UTF-8: byte 0xE9 in 'José,2024-01-05,10'"
        assert found.place == "orders.csv: byte 27 (line 2)"
        assert "set ledger.encoding" in found.fix and "cp1252" in found.fix

    def test_offset_and_line_count_over_blocks(self, source, build, monkeypatch):
        monkeypatch.setattr("clvkit.ledger.text.BLOCK_BYTES", 100)
        content = b"\xef\xbb\xbf" + ROWS.encode() + b"c1,2024-01-05,1\n" * 50
        source(content + b"\xff\n")
        assert error(build).place == f"orders.csv: byte {len(content):,} (line 53)"

    def test_utf16_by_its_mark(self, source, build):
        source(ROWS, encoding="utf-16")
        found = error(build)
        assert "is written in UTF-16" in found.message
        assert found.fix == "set ledger.encoding: utf-16"

    @pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
    def test_utf16_without_mark(self, source, build, encoding):
        source(ROWS, encoding=encoding)
        assert error(build).fix == f"set ledger.encoding: {encoding}"

    def test_not_the_encoding_stated(self, source, build):
        source(b"customer_id,date,amount\nJos\x81,2024-01-05,10\n")
        found = error(build, encoding="cp1252")
        assert found.message.startswith("orders.csv is not valid CP1252: byte 0x81")
        assert found.place == "orders.csv: byte 27"
        assert found.fix.endswith("often latin-1")

    def test_cut_within_a_character(self, source, build):
        source(ROWS.encode("utf-16")[:-1])
        assert error(build, encoding="utf-16").message == "orders.csv ends within a character of utf-16"


class TestJunk:
    SIZE = 200 << 20

    @pytest.fixture
    def patient(self):
        """The test may take seconds and little memory more than before."""
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        yield
        assert time.monotonic() - start < 10
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB

    @pytest.fixture
    def junk(self, tmp_path):
        def write(start, block):
            with open(tmp_path / "orders.csv", "wb") as file:
                file.write(start)
                for _ in range(self.SIZE // len(block)):
                    file.write(block)

        return write

    def test_random_bytes(self, junk, build, patient):
        junk(b"", random.Random(1).randbytes(1 << 20))
        found = error(build)
        assert found.message == "orders.csv is not a text file: it has bytes of value zero"

    def test_random_bytes_behind_a_good_start(self, junk, build, patient):
        junk(ROWS.encode(), random.Random(1).randbytes(1 << 20))
        assert "is not a text file" in error(build).message

    def test_one_endless_line(self, junk, build, patient):
        junk(b"", b"a" * (1 << 20))
        found = error(build)
        assert found.message == "orders.csv has a line of more than 1,048,576 bytes; it is not a table"
        assert found.place == "orders.csv: line 1"

    def test_lines_of_no_table(self, junk, build, patient):
        junk(b"", b"the quick brown fox\n" * 50_000)
        assert "which orders.csv does not have" in error(build).message

    def test_lines_of_no_table_behind_a_good_header(self, junk, build, patient):
        junk(b"customer_id,date,amount\n", b"the quick brown fox\n" * 50_000)
        found = error(build)
        assert found.message == (
            "none of the first 1,000 rows of orders.csv has the 3 columns of its header; "
            "the first is 'the quick brown fox'"
        )
        assert found.fix.startswith("check ledger.delimiter")

    @pytest.mark.parametrize(
        "start, what",
        [
            (b"PK\x03\x04", "a spreadsheet or zip archive"),
            (b"PAR1", "a Parquet file"),
            (b"\xd0\xcf\x11\xe0", "an old spreadsheet"),
            (b"%PDF", "a PDF document"),
        ],
    )
    def test_other_kinds_of_file(self, source, build, start, what):
        source(start + bytes(range(256)))
        assert error(build).message == f"orders.csv is {what}, not a CSV file"


class TestUseless:
    def test_every_row_in_quarantine_by_its_date(self, ledger_of):
        found = error(ledger_of, rows="c1,31.12.2023,10\nc2,1.2.2024,1\n")
        assert found.message == (
            "none of the source's rows (2) can be used; the most common reason (2 rows): "
            "the date does not follow ledger.date_format, such as '31.12.2023'"
        )
        assert found.place == "orders.csv: line 2"
        assert found.fix == (
            "set ledger.date_format: \"%d.%m.%Y\", which reads the dates in question, such as '31.12.2023'"
        )

    def test_every_row_in_quarantine_by_its_amount(self, ledger_of):
        found = error(ledger_of, rows='c1,2024-01-05,"10,5"\nc2,2024-01-05,"1,25"\n')
        assert "the amount is not a number, such as '10,5'" in found.message
        assert found.fix == "set ledger.decimal: \",\" if amounts such as '10,5' use it as decimal sign"

    def test_every_row_unparseable(self, ledger_of):
        found = error(ledger_of, rows="c1,2024-01-05,10,5\nc2,2024-01-05,1,25\n")
        assert "the line does not split into the columns of its header" in found.message
        assert "a delimiter inside a field needs quotes" in found.fix

    def test_every_customer_missing(self, ledger_of):
        found = error(ledger_of, rows=",2024-01-05,10\n")
        assert found.message == (
            "none of the source's rows (1) can be used; the most common reason (1 row): no customer"
        )

    def test_every_row_excluded(self, ledger_of):
        found = error(ledger_of, rows="c1,2024-01-05,-10\nc1,soon,1\n")
        assert found.message == (
            "none of the source's rows (2) is a purchase: excluded by policy 1, in quarantine 1"
        )

    def test_every_row_after_the_as_of_date(self, ledger_of):
        found = error(ledger_of, rows="c1,2024-07-05,10\n")
        assert found.message == (
            "no purchase is dated up to the as-of date 2024-06-30; the first is of 2024-07-05"
        )

    def test_parquet_places_are_rows(self, tmp_path, build):
        import pandas as pd

        pd.DataFrame({"customer_id": ["a"], "date": ["soon"], "amount": [1.0]}).to_parquet(
            tmp_path / "o.parquet"
        )
        assert error(build, path="o.parquet").place == "o.parquet: row 1"


class TestChecks:
    GOOD = "".join(f"c{i},2024-01-05,1.00\n" for i in range(19))

    def test_a_share_in_quarantine_that_is_allowed(self, ledger_of):
        found = check(ledger_of(self.GOOD + "c1,2024-01-05,ten\n"), "ledger.quarantine")
        assert (found.status, found.value, found.threshold) == ("review", 0.05, 0.05)
        assert found.message == "1 of 20 rows (5.00 %) is in quarantine (1: the amount is not a number)."
        assert "look at the examples" in found.recommendation.lower()

    def test_a_share_in_quarantine_that_is_not(self, ledger_of):
        found = check(
            ledger_of(self.GOOD + "c1,5.1.2024,1\nc1,15.1.2024,1\n,2024-01-05,1\n"), "ledger.quarantine"
        )
        assert found.stops
        assert "2: the date does not follow ledger.date_format; 1: no customer" in found.message
        assert found.recommendation.startswith('Set ledger.date_format: "%d.%m.%Y"')

    def test_nothing_in_quarantine(self, ledger_of):
        found = check(ledger_of(self.GOOD), "ledger.quarantine")
        assert (found.status, found.message) == ("pass", "None of 19 rows had to be put into quarantine.")

    def test_control_total(self, ledger_of):
        good = check(ledger_of(self.GOOD, control_total="19.00"), "ledger.control_total")
        assert good.message == "The source adds up to EUR 19.00, which agrees with the declared EUR 19.00."
        bad = check(ledger_of(self.GOOD, control_total=20.5), "ledger.control_total")
        assert bad.stops and (bad.value, bad.threshold, bad.unit) == (19.0, 20.5, "EUR")
        assert bad.message == "The source adds up to EUR 19.00, EUR 1.50 less than the declared EUR 20.50."

    def test_control_rows(self, ledger_of):
        assert check(ledger_of(self.GOOD, control_rows=19), "ledger.control_rows").status == "pass"
        bad = check(ledger_of(self.GOOD, control_rows=18), "ledger.control_rows")
        assert bad.stops
        assert bad.message == "The source has 19 rows, 1 more than declared (18)."

    def test_no_control(self, ledger_of):
        found = check(ledger_of(self.GOOD), "ledger.control_total")
        assert found.status == "info"
        assert "completeness of the extract was not tested" in found.message

    STATES = {"used": 9, "merged": 1, "later": 0, "excluded": 0, "quarantined": 0}
    MONEY = Money("EUR", 2, 1000, {**dict.fromkeys(STATES, 0), "used": 900, "merged": 100})

    @pytest.mark.parametrize(
        "lost, failing",
        [
            ({"rows_in": 11}, "ledger.rows_balance"),
            ({"money": (replace(MONEY, came_in=1001),)}, "ledger.money_balances"),
            ({"purchase_amount": 999}, "ledger.money_balances"),
            ({"purchase_lines": 9}, "ledger.money_balances"),
            (
                {"money": (MONEY, Money("JPY", 0, 7, {**dict.fromkeys(STATES, 0), "used": 6}))},
                "ledger.money_balances.JPY",
            ),
        ],
    )
    def test_what_does_not_balance_stops(self, lost, failing):
        facts = Facts(
            rows_in=10, rows=self.STATES, money=(self.MONEY,), amount_unreadable=0, kept_value=1000,
            purchase_lines=10, purchase_amount=1000, controls=(Control("orders", 10, self.MONEY),), duplicate_rows=0,
            rounded_rows=0, rounding=Decimal(0), reasons={}, reason_values={}, segment_changes=0,
        )  # fmt: skip
        day = date(2024, 6, 30)
        assert not [c for c in ledger_checks(facts, LedgerSection(path="x"), as_of=day, limit=day) if c.stops]
        found = ledger_checks(replace(facts, **lost), LedgerSection(path="x"), as_of=day, limit=day)
        assert [c.id for c in found if c.stops] == [failing]

    def test_all_checks_belong_to_the_chapter(self, ledger_of):
        assert {c.chapter for c in ledger_of(self.GOOD).checks} == {"01_ledger"}


def test_loading_what_is_not_there(tmp_path):
    with pytest.raises(DataError, match="there is no complete ledger to load"):
        Ledger.load(tmp_path)


def test_today_is_the_limit_where_no_extract_date_is_given(source, build):
    source(f"{ROWS}c2,{date.today()},1\nc3,9999-12-31,1\n")
    ledger = build(today=None)
    assert ledger.totals["rows"] == {
        "in": 3, "used": 1, "merged": 0, "later": 1, "excluded": 0, "quarantined": 1,
    }  # fmt: skip
