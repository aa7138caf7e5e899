"""Files, folders and globs; encodings; quoting; Parquet."""

import gzip
import hashlib
import os
from datetime import date, datetime
from decimal import Decimal

import pandas as pd
import pytest
from ledger_reading import bought, check, states

from clvkit.errors import DataError
from clvkit.ledger import LedgerSection, inputs

ROWS = "customer_id,date,amount\nc1,2024-01-05,10.00\nc2,2024-01-06,2.50\n"
BOUGHT = [("c1", "2024-01-05", 1000, 1), ("c2", "2024-01-06", 250, 1)]


def names(ledger):
    return [i["file"] for i in ledger.inputs]


class TestWhichFiles:
    def test_one_file(self, source, build):
        path = source(ROWS)
        ledger = build()
        assert bought(ledger) == BOUGHT
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert ledger.inputs == [
            {"source": "orders", "file": "orders.csv", "sha256": digest, "bytes": len(ROWS), "rows": 2},
        ]

    def test_a_folder_in_order_of_name(self, source, build):
        source(ROWS.replace("c1", "b1"), "in/b.csv")
        source(ROWS, "in/a.csv")
        source("not data", "in/README.md")
        source(ROWS, "in/.hidden.csv")
        ledger = build("in")
        assert names(ledger) == ["in/a.csv", "in/b.csv"]
        places = ledger.rows.select("file", "row").to_pyarrow().to_pylist()
        assert [(p["file"], p["row"]) for p in places] == [
            ("in/a.csv", 2), ("in/a.csv", 3), ("in/b.csv", 2), ("in/b.csv", 3),
        ]  # fmt: skip

    def test_a_glob(self, source, build):
        source(ROWS, "2023/orders.csv")
        source(ROWS.replace("c1", "c3"), "2024/orders.csv")
        source("x\n1\n", "2024/other.csv")
        ledger = build("*/orders.csv")
        assert names(ledger) == ["2023/orders.csv", "2024/orders.csv"]
        assert ledger.totals["rows"]["in"] == 4

    def test_a_folder_beside_the_study(self, source, build, tmp_path):
        source(ROWS, "data/orders.csv")
        (tmp_path / "params").mkdir()
        from clvkit.ledger import build_ledger

        section = LedgerSection(path="../data/orders.csv")
        ledger = build_ledger(section, as_of=date(2024, 6, 30), currency="EUR", base=tmp_path / "params")
        assert names(ledger) == ["../data/orders.csv"]

    def test_names_are_never_absolute(self, source, build, tmp_path):
        source(ROWS, "deep/in/orders.csv")
        assert names(build(str(tmp_path / "deep/in/orders.csv"))) == ["orders.csv"]
        assert names(build(str(tmp_path / "deep/in"))) == ["in/orders.csv"]
        assert names(build(str(tmp_path / "deep/*/orders.csv"))) == ["deep/in/orders.csv"]

    def test_columns_may_stand_in_another_order_in_another_file(self, source, build):
        source(ROWS, "in/a.csv")
        source("amount,note,date,customer_id\n4.00,hi,2024-01-07,c3\n", "in/b.csv")
        assert bought(build("in")) == [*BOUGHT, ("c3", "2024-01-07", 400, 1)]

    def test_a_file_with_a_header_alone_may_stand_among_others(self, source, build):
        source(ROWS, "in/a.csv")
        source("customer_id,date,amount\n", "in/b.csv")
        assert [i["rows"] for i in build("in").inputs] == [2, 0]

    def test_gzip(self, source, build):
        source(gzip.compress(ROWS.encode()), "orders.csv.gz")
        assert bought(build("orders.csv.gz")) == BOUGHT

    def test_inputs_without_reading_rows(self, source, build, tmp_path):
        source(ROWS)
        found = inputs(LedgerSection(path="orders.csv"), tmp_path)
        assert [{**i, "rows": 2} for i in found] == build().inputs


class TestText:
    @pytest.mark.parametrize(
        "written, stated",
        [("utf-8", "utf-8"), ("utf-8-sig", "utf-8"), ("cp1252", "cp1252"), ("latin-1", "latin-1"),
         ("utf-16", "utf-16"), ("utf-16-le", "utf-16-le"), ("utf-32", "utf-32")],
    )  # fmt: skip
    def test_encodings(self, source, build, written, stated):
        source("customer_id,date,amount,segment\nRené,2024-01-05,1,Köln\n", encoding=written)
        ledger = build(encoding=stated, columns={"segment": "segment"})
        row = ledger.purchases.to_pyarrow().to_pylist()[0]
        assert (row["customer"], row["segment"]) == ("René", "Köln")

    def test_characters_that_lie_across_blocks(self, source, build, monkeypatch):
        monkeypatch.setattr("clvkit.ledger.text.BLOCK_BYTES", 7)
        text = "customer_id,date,amount\n" + "".join(f"Ké€{i},2024-01-05,{i}\n" for i in range(40))
        expected = sorted((f"Ké€{i}", "2024-01-05", 100 * i, 1) for i in range(40))
        for encoding in ("utf-8", "utf-8-sig", "utf-16"):
            source(text, encoding=encoding)
            assert sorted(bought(build(encoding=encoding.removesuffix("-sig")))) == expected

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize("last", [True, False])
    def test_line_ends(self, source, build, end, last):
        source((ROWS if last else ROWS.rstrip()).replace("\n", end))
        assert bought(build()) == BOUGHT

    def test_empty_lines_are_no_rows_but_are_counted_in_line_numbers(self, source, build):
        source("\n\ncustomer_id,date,amount\n\nc1,2024-01-05,10.00\n\r\nc2,2024-01-06,2.50\n\n")
        ledger = build()
        assert ledger.totals["rows"]["in"] == 2
        assert list(states(ledger)) == [5, 7]

    @pytest.mark.parametrize("sign, written", [(";", ";"), ("\t", "tab"), ("|", "|"), ("^", "^"), (" ", " ")])
    def test_delimiters(self, source, build, sign, written):
        source(ROWS.replace(",", sign).replace("c1", f'"c{sign}""1"""'))
        assert set(bought(build(delimiter=written))) == {(f'c{sign}"1"', *BOUGHT[0][1:]), BOUGHT[1]}

    def test_without_header(self, source, build):
        source("x,2024-01-05,c1,10.00\nx,2024-01-06,c2,2.50\n")
        ledger = build(header=False, columns={"customer": 3, "date": 2, "amount": 4})
        assert bought(ledger) == BOUGHT
        assert list(states(ledger)) == [1, 2]


class TestQuotes:
    def read(self, source, build, lines):
        source("customer_id,note,date,amount\n" + lines)
        ledger = build(max_quarantined_share=1)
        assert check(ledger, "ledger.rows_balance").status == "pass"
        return ledger

    def test_quoted_fields(self, source, build):
        lines = '"a,1","say ""hi""",2024-01-05,1\nb,"",2024-01-05,"2"\n"c",5" pipe,2024-01-05,3\n'
        assert bought(self.read(source, build, lines)) == [
            ("a,1", "2024-01-05", 100, 1),
            ("b", "2024-01-05", 200, 1),
            ("c", "2024-01-05", 300, 1),
        ]

    def test_a_record_over_several_lines(self, source, build):
        lines = 'a,"one\n\ntwo, three\nfour",2024-01-05,1\nb,"x\ny",2024-01-05,2\nc,,2024-01-05,3\n'
        ledger = self.read(source, build, lines)
        assert [(p[0], p[2]) for p in bought(ledger)] == [("a", 100), ("b", 200), ("c", 300)]
        assert states(ledger) == {2: ("used", None), 6: ("used", None), 8: ("used", None)}
        assert ledger.inputs[0]["rows"] == 3

    def test_a_line_inside_a_record_that_looks_like_a_row(self, source, build):
        ledger = self.read(source, build, 'a,"one\nb,x,2024-01-05,9\ntwo",2024-01-05,1\nc,,2024-01-05,3\n')
        assert [(p[0], p[2]) for p in bought(ledger)] == [("a", 100), ("c", 300)]

    def test_a_stray_quote_costs_one_row(self, source, build):
        lines = 'a,"oops,2024-01-05,1\n' + "".join(f'b{i},"x",2024-01-05,2\n' for i in range(300))
        ledger = self.read(source, build, lines)
        assert ledger.totals["rows"] == {
            "in": 301, "used": 300, "merged": 0, "later": 0, "excluded": 0, "quarantined": 1,
        }  # fmt: skip
        assert states(ledger)[2] == ("quarantined", "row_unparseable")
        assert ledger.quarantine.loc[0, "value"] == 'a,"oops,2024-01-05,1'

    def test_a_stray_quote_without_any_other_quote(self, source, build):
        lines = 'a,"oops,2024-01-05,1\n' + "".join(f"b{i},x,2024-01-05,2\n" for i in range(300))
        assert self.read(source, build, lines).totals["rows"]["used"] == 300

    def test_a_stray_quote_on_every_line(self, source, build):
        # Two lines with a stray quote each must not be taken for one record over two lines.
        lines = "".join(f'b{i},"x,2024-01-05,2\n' for i in range(6))
        lines += "c,,2024-01-05,1\n"
        ledger = self.read(source, build, lines)
        assert ledger.totals["rows"]["quarantined"] == 6

    def test_a_record_does_not_run_into_the_next_file(self, source, build):
        source('customer_id,date,amount\nc1,2024-01-05,1\nc2,2024-01-05,"1\n', "in/a.csv")
        source('customer_id,date,amount\n",2024-01-05,1\nc4,2024-01-05,1\n', "in/b.csv")
        ledger = build("in", max_quarantined_share=1)
        assert ledger.totals["rows"]["in"] == 4
        assert ledger.totals["rows"]["quarantined"] == 2


class TestParquet:
    FRAME = pd.DataFrame({
        "customer_id": ["c1", "c2", "c1", None],
        "date": [date(2024, 1, 5), date(2024, 1, 6), date(2024, 1, 5), date(2024, 1, 6)],
        "amount": [10.0, 2.5, 0.1, 1.0],
    })  # fmt: skip
    EXPECTED = [("c1", "2024-01-05", 1010, 2), ("c2", "2024-01-06", 250, 1)]

    def put(self, tmp_path, name="orders.parquet", **columns):
        self.FRAME.assign(**columns).to_parquet(tmp_path / name)

    def test_rows_and_states(self, tmp_path, build):
        self.put(tmp_path)
        ledger = build("orders.parquet")
        assert bought(ledger) == self.EXPECTED
        assert states(ledger)[4] == ("quarantined", "customer_missing")
        assert ledger.inputs[0]["rows"] == 4

    @pytest.mark.parametrize(
        "column, values",
        [
            ("date", [datetime(2024, 1, d, 23, 59) for d in (5, 6, 5, 6)]),
            ("date", ["2024-01-05", "2024-01-06", "2024-01-05", "2024-01-06"]),
            ("amount", [Decimal("10.00"), Decimal("2.50"), Decimal("0.10"), Decimal("1.00")]),
            ("amount", ["10", "2.5", "0.1", "1"]),
            ("amount", pd.array([10.0, 2.5, 0.1, 1.0], dtype="float32")),
        ],
        ids=["moments", "dates as text", "decimals", "amounts as text", "short floats"],
    )
    def test_types(self, tmp_path, build, column, values):
        self.put(tmp_path, **{column: values})
        assert bought(build("orders.parquet")) == self.EXPECTED

    def test_numbers_are_read_with_a_point_whatever_the_study_says(self, tmp_path, build):
        self.put(tmp_path)
        assert bought(build("orders.parquet", decimal=",")) == self.EXPECTED

    def test_customers_may_be_numbers(self, tmp_path, build):
        self.put(tmp_path, customer_id=[1, 2, 1, 3])
        assert [b[0] for b in bought(build("orders.parquet"))] == ["1", "2", "3"]

    def test_dates_as_whole_numbers(self, tmp_path, build):
        self.put(tmp_path, date=[20240105, 20240106, 20240105, 20240106])
        assert bought(build("orders.parquet", date_format="%Y%m%d")) == self.EXPECTED

    def test_moments_with_a_zone_are_counted_in_utc_and_say_so(self, tmp_path, build, monkeypatch):
        moments = pd.to_datetime(
            ["2024-01-05T23:30Z", "2024-01-06T00:30Z", "2024-01-05T01:00Z", "2024-01-06T02:00Z"]
        )
        self.put(tmp_path, date=moments.tz_convert("America/New_York"))
        ledger = build("orders.parquet")
        assert bought(ledger) == self.EXPECTED
        assert "days are counted in UTC" in check(ledger, "ledger.note").message

    def test_bad_numbers(self, tmp_path, build):
        self.put(tmp_path, amount=[float("nan"), float("inf"), 1e300, 1.0], customer_id=list("abcd"))
        ledger = build("orders.parquet", max_quarantined_share=1)
        assert [r for _, r in states(ledger).values()] == [
            "amount_missing", "amount_unreadable", "amount_out_of_range", None,
        ]  # fmt: skip

    def test_copies_of_rows(self, tmp_path, build):
        frame = pd.concat([self.FRAME, self.FRAME.iloc[[0]]])
        frame.to_parquet(tmp_path / "orders.parquet")
        ledger = build("orders.parquet", duplicate_lines="drop")
        assert states(ledger)[5] == ("excluded", "duplicate_line")

    def test_a_folder(self, tmp_path, build):
        (tmp_path / "in").mkdir()
        self.put(tmp_path, "in/a.parquet")
        self.put(tmp_path, "in/b.parquet", customer_id=["d", "e", "f", "g"])
        ledger = build("in")
        assert ledger.totals["rows"]["in"] == 8
        assert list(dict.fromkeys(names(ledger))) == ["in/a.parquet", "in/b.parquet"]


def test_csv_and_parquet_give_the_same_ledger(source, tmp_path, build):
    path = source(ROWS + "c1,2024-01-05,1.25\nc3,soon,1\nc3,2024-01-09,-1\n")
    pd.read_csv(path, dtype=str).to_parquet(tmp_path / "orders.parquet")
    from_csv, from_parquet = build(), build("orders.parquet")
    assert bought(from_csv) == bought(from_parquet)
    assert from_csv.totals == from_parquet.totals


def test_save_and_load(source, build, tmp_path):
    from clvkit.ledger import Ledger

    source(ROWS + "c1,2024-01-05,1.25\nc3,soon,1\n")
    ledger = build()
    ledger.save(tmp_path / "saved")
    again = Ledger.load(tmp_path / "saved")
    assert again.rows.to_pyarrow().equals(ledger.rows.to_pyarrow())
    assert again.purchases.to_pyarrow().equals(ledger.purchases.to_pyarrow())
    assert (again.totals, again.inputs, again.checks) == (ledger.totals, ledger.inputs, ledger.checks)
    pd.testing.assert_frame_equal(again.reasons, ledger.reasons)
    pd.testing.assert_frame_equal(again.quarantine, ledger.quarantine)
    assert (again.currency, again.minor_digits, again.as_of) == ("EUR", 2, date(2024, 6, 30))
    files = [name for name in os.listdir(tmp_path / "saved") if not name.startswith("frame-")]
    assert sorted(files) == ["ledger.json", "purchases.parquet", "rows.parquet"]
    for name, frame in ledger.frames.items():
        pd.testing.assert_frame_equal(again.frames[name], frame)


def test_saved_twice_gives_the_same_bytes(source, build, tmp_path):
    source(ROWS)
    for name in ("one", "two"):
        build().save(tmp_path / name)
    for part in ("ledger.json", "purchases.parquet", "rows.parquet"):
        assert (tmp_path / "one" / part).read_bytes() == (tmp_path / "two" / part).read_bytes()


class TestLeftOpen:
    """What a study leaves open is found out where the file leaves one answer, and asked about where it does not."""

    def test_dates_that_read_one_way(self, source, build):
        source("customer_id,date,amount\nc1,03/04/2024,1\nc1,13/04/2024,2\n")
        ledger = build(date_format=None)
        assert [day for _, day, _, _ in bought(ledger)] == ["2024-04-03", "2024-04-13"]
        assert any("follow %d/%m/%Y" in check.message for check in ledger.checks)

    def test_dates_that_read_two_ways(self, source, build):
        source("customer_id,date,amount\nc1,03/04/2024,1\nc1,05/04/2024,2\n")
        with pytest.raises(DataError, match="can be read in 2 ways") as error:
            build(date_format=None)
        assert '"%d/%m/%Y"' in error.value.fix and '"%m/%d/%Y"' in error.value.fix

    def test_dates_of_no_format(self, source, build):
        source("customer_id,date,amount\nc1,soon,1\n")
        with pytest.raises(DataError, match="follow no format"):
            build(date_format=None)

    def test_an_encoding_without_doubt(self, source, build):
        source("customer_id,date,amount\nRené,2024-04-03,1\n", encoding="utf-8")
        assert bought(build(encoding=None))[0][0] == "René"

    def test_an_encoding_that_is_open(self, source, build):
        source("customer_id,date,amount\nRené,2024-04-03,1\n", encoding="cp1252")
        with pytest.raises(DataError, match="several encodings") as error:
            build(encoding=None)
        assert "ledger.encoding" in error.value.fix
