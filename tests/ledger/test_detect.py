"""What a file looks like: what is certain, what is likely, and what has to be asked."""

import gzip
import random
from datetime import date, timedelta

import pytest

from clvkit.errors import DataError
from clvkit.ledger import detect
from clvkit.ledger.detect import ask, date_formats, decimal_sign, delimiter, encodings, header, read_rows

GERMAN = "Kunde;Straße;Betrag\n1;Müller Bäcker;12,50\n2;Köln;1,00\n"


def formats(values):
    return [r.format for r in date_formats(values).formats]


class TestEncodings:
    @pytest.mark.parametrize(
        ("encoding", "found"), [("utf-8", "utf-8"), ("utf-8-sig", "utf-8"), ("utf-16", "utf-16")]
    )
    def test_what_the_bytes_prove_is_certain(self, source, encoding, found):
        (guess,) = encodings(source(GERMAN, encoding=encoding))
        assert (guess.encoding, guess.certain) == (found, True)

    def test_utf16_without_a_mark_is_not_certain(self, source):
        (guess,) = encodings(source("a,b\n1,2\n" * 20, encoding="utf-16-be"))
        assert (guess.encoding, guess.certain) == ("utf-16-be", False)

    def test_ascii_is_read_by_all(self, source):
        (guess,) = encodings(source("a,b\n1,2\n"))
        assert guess.certain and "ASCII" in guess.why

    def test_windows_text_is_a_guess_with_the_words_it_rests_on(self, source):
        best, *others = encodings(source(GERMAN, encoding="cp1252"))
        assert best.encoding == "cp1252" and not best.certain and not best.ambiguous
        assert "latin-1, iso-8859-15 reads the same" in best.why
        assert set(best.words) == {"Straße", "Müller", "Bäcker", "Köln"}
        assert {g.encoding for g in others} == {"cp850", "mac-roman"}
        assert all(g.score < best.score for g in others)

    @pytest.mark.parametrize("encoding", ["cp850", "mac-roman"])
    def test_other_code_pages_come_first_where_they_make_words(self, source, encoding):
        best = encodings(source(GERMAN, encoding=encoding))[0]
        assert best.encoding == encoding and "Straße" in best.words

    def test_a_letter_that_either_page_makes_sense_of_is_ambiguous(self, source):
        best, second, *_ = encodings(source("name,n\nBäcker,1\n", encoding="cp1252"))
        assert best.ambiguous and second.ambiguous
        assert {best.words, second.words} == {("Bäcker",), ("Bõcker",)}

    def test_the_euro_sign_tells_latin_9_from_latin_1(self, source):
        guesses = encodings(source("price\n5 €\nMüller\nKöln\n", encoding="iso-8859-15"))
        assert guesses[0].encoding == "iso-8859-15" and "€" in guesses[0].words

    def test_a_file_of_two_encodings_says_so(self, source):
        mixed = ("Müller,Köln\n" * 50).encode() + "Bäcker\n".encode("cp1252")
        best = encodings(source(mixed))[0]
        assert best.encoding == "utf-8" and not best.certain and best.ambiguous
        assert "1 of 101" in best.why

    @pytest.mark.parametrize("packed", [False, True])
    @pytest.mark.parametrize("where", ["head", "middle", "tail"])
    def test_head_middle_and_tail_are_looked_at(self, source, monkeypatch, where, packed):
        monkeypatch.setattr(detect, "PLACE_BYTES", 4096)
        lines = ["1;abc\n"] * 6000
        at = {"head": 10, "middle": 3000, "tail": 5990}[where]
        lines[at : at + 600] = ["1;Müller\n"] * len(lines[at : at + 600])
        content = "".join(lines).encode("cp1252")
        path = source(gzip.compress(content) if packed else content)
        assert encodings(path)[0].encoding == "cp1252"

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "is empty"),
            (b" \n\n", "is empty"),
            (b"PK\x03\x04rest", "spreadsheet"),
            (b"PAR1rest", "Parquet"),
            (b"a,b\n1,\0\n", "not a text file"),
            (random.Random(4).randbytes(9000), "not a text file"),
            (gzip.compress(b"a,b\n1,2\n" * 500, mtime=0)[:-20], "damaged gzip"),
        ],
    )
    def test_what_is_no_text_is_refused(self, source, content, said):
        with pytest.raises(DataError, match=said) as caught:
            encodings(source(content))
        assert caught.value.place and caught.value.fix


class TestDelimiterAndHeader:
    @pytest.mark.parametrize(
        ("content", "sign", "columns"),
        [
            ("a,b\n1,2\n", ",", 2),
            (GERMAN, ";", 3),
            ("1;01.02.2024;12,50\n2;02.02.2024;13,50\n", ";", 3),
            ("a\tb\tc\nx, y\tz\t1\nu, v\tw\t2\n", "\t", 3),
            ("a|b\n1|2\n", "|", 2),
            ('a,b\n"x;y",2\n"u;v",3\n', ",", 2),
        ],
    )
    def test_the_sign_that_makes_a_table(self, source, content, sign, columns):
        best = delimiter(source(content), "utf-8")[0]
        assert (best.sign, best.columns, best.ambiguous) == (sign, columns, False)

    def test_no_sign_makes_a_table_of_prose(self, source):
        assert delimiter(source("just words\nof no table\n"), "utf-8") == []

    def test_two_signs_that_split_equally_well_are_ambiguous(self, source):
        found = delimiter(source("1;2,5;3\n4;5,5;6\n", "x.csv"), "utf-8")
        assert found[0].sign == ";"
        found = delimiter(source("a;b,c\n" * 3), "utf-8")
        assert [d.ambiguous for d in found] == [True, True]

    @pytest.mark.parametrize(
        ("content", "names", "certain"),
        [
            ("id,day\n1,2024-01-02\n2,2024-01-03\n", True, True),
            ("1,2024-01-02\n2,2024-01-03\n3,2024-01-03\n", False, True),
            ("a,x\nb,y\nc,z\n", True, False),
            ("a,x\nb,y\na,z\n", False, False),
            ("2023,2024\n1,2\n3,4\n", False, True),
            ("id,2024\n1,2\n3,4\n", True, False),
        ],
    )
    def test_names_or_data(self, source, content, names, certain):
        found = header(source(content), "utf-8", ",")
        assert (found.names, found.certain) == (names, certain) and found.why


class TestNumbers:
    @pytest.mark.parametrize(
        ("values", "signs"),
        [
            (["1.5", "20"], (".", None)),
            (["1,5", "20"], (",", None)),
            (["1,234.50", "2.00"], (".", ",")),
            (["1.234,50", "2,00"], (",", ".")),
            (["1 234,5", "2"], (",", " ")),
            (["1'234.50"], (".", "'")),
            (["-12,50", "NULL", ""], (",", None)),
        ],
    )
    def test_signs(self, values, signs):
        found = decimal_sign(values)
        assert (found.decimal, found.thousands) == signs
        assert found.share == 1 and not found.ambiguous

    def test_one_sign_and_three_digits_may_be_either(self):
        found = decimal_sign(["1.234", "12"])
        assert found.ambiguous and found.example == "1.234"
        assert not decimal_sign(["1.234", "12.5"]).ambiguous
        assert not decimal_sign(["0.125", "12"]).ambiguous

    def test_currency_signs_are_named_and_words_are_not(self):
        assert decimal_sign(["€ 1,50", "2,00 €"]).currencies == ("€",)
        assert decimal_sign(["12.50 USD"]).currencies == ("USD",)
        found = decimal_sign(["RED MUG", "3"])
        assert found.currencies == () and found.unread == ("RED MUG",) and found.share == 0.5


class TestDates:
    @pytest.mark.parametrize(
        ("value", "form"),
        [
            ("2024-01-31", "%Y-%m-%d"),
            ("31.01.2024", "%d.%m.%Y"),
            ("1/31/2024", "%m/%d/%Y"),
            ("31/01/24", "%d/%m/%y"),
            ("20240131", "%Y%m%d"),
            ("31 Jan 2024", "%d %b %Y"),
            ("31-Jan-24", "%d-%b-%y"),
            ("January 31, 2024", "%B %d, %Y"),
            ("2024-01-31 10:20", "%Y-%m-%d %H:%M"),
            ("2024-01-31 10:20:30.125", "%Y-%m-%d %H:%M:%S.%f"),
            ("2024-01-31T10:20:30Z", "%Y-%m-%dT%H:%M:%S%z"),
            ("2024-01-31T10:20:30+02:00", "%Y-%m-%dT%H:%M:%S%z"),
            ("2024-01-31 10:20:30 +0200", "%Y-%m-%d %H:%M:%S %z"),
            ("1/31/2024 3:05 PM", "%m/%d/%Y %I:%M %p"),
        ],
    )
    def test_the_only_format_and_the_ledger_takes_it(self, build, source, value, form):
        found = date_formats([value])
        assert [r.format for r in found.formats] == [form] and not found.ambiguous
        assert found.formats[0].first == date(2024, 1, 31)
        source(f'customer_id;date;amount\nc1;"{value}";1\n')
        assert build(date_format=form, delimiter=";").totals["rows"]["used"] == 1

    def test_days_up_to_twelve_alone_have_to_be_asked(self):
        found = date_formats(["01/02/2024", "03/04/2024"])
        assert found.ambiguous and len(found.formats) == 2 and found.evidence == ""
        error = ask(date_formats(["03/04/2024", "01/02/2024"]), "placed", "orders.csv")
        assert isinstance(error, DataError) and error.place == "orders.csv"
        assert "'placed'" in error.message
        assert "03/04/2024 is 3 April 2024 or 4 March 2024" in error.message
        assert error.fix == 'set ledger.date_format to "%d/%m/%Y" or "%m/%d/%Y", whichever is meant'

    def test_one_value_decides(self):
        found = date_formats(["01/02/2024"] * 500 + ["13/02/2024"])
        assert [r.format for r in found.formats] == ["%d/%m/%Y"] and not found.ambiguous
        assert found.partly[0].format == "%m/%d/%Y" and found.partly[0].unread == ("13/02/2024",)

    def test_dates_that_read_alike_are_not_ambiguous(self):
        assert not date_formats(["05/05/2024", "07/07/2024"]).ambiguous

    def test_rows_in_order_are_evidence_and_still_asked(self):
        days = [date(2024, 1, 5) + timedelta(days=d) for d in (0, 1, 27, 28, 56)]
        found = date_formats([f"{d:%d/%m/%Y}" for d in days])
        assert found.ambiguous
        assert "in order of date with %d/%m/%Y" in found.evidence
        assert found.evidence in ask(found).message

    def test_both_orders_in_one_column_are_asked(self):
        found = date_formats(["13/02/2024", "02/13/2024", "01/02/2024"])
        assert found.formats == () and found.ambiguous
        assert "%d/%m/%Y does not read 02/13/2024" in ask(found).message

    def test_what_is_not_read_is_shown(self):
        found = date_formats(["2024-01-31"] * 9 + ["1900-01-00", "NULL", None])
        assert found.formats == () and found.values == 10
        assert found.partly[0].unread == ("1900-01-00",) and found.share == 0.9

    def test_two_digit_years_are_told(self):
        assert date_formats(["31/01/24"]).two_digit_years
        assert not date_formats(["31/01/2024"]).two_digit_years

    def test_a_two_digit_year_may_come_first(self):
        assert formats(["24-01-12"]) == ["%d-%m-%y", "%y-%m-%d"]

    @pytest.mark.parametrize(
        ("values", "name"),
        [
            (["45292", "45293.5"], "excel serial"),
            (["1704067200", "1704067201"], "epoch seconds"),
            (["1704067200000"], "epoch milliseconds"),
            (["12", "45292"], None),
        ],
    )
    def test_numbers_that_count_from_a_day_are_named(self, values, name):
        assert date_formats(values).serial == name

    def test_other_things_are_no_dates(self):
        for values in ([], [None], ["abc"], ["12.50"], ["99999999"], ["epoch", "infinity"]):
            assert date_formats(values).rivals == ()


class TestRows:
    def test_a_long_file_is_judged_to_its_tail(self, source, monkeypatch):
        monkeypatch.setattr(detect, "MAX_ROWS", 100)
        monkeypatch.setattr(detect, "TAIL_BYTES", 400)
        lines = ["c1,01/02/2024\n"] * 5000 + ["c1,13/02/2024\n"]
        for content in ("".join(lines).encode(), gzip.compress("".join(lines).encode())):
            found = read_rows(source(content), "utf-8", ",")
            assert not found.whole and len(found.rows) < 200
            assert [r.format for r in date_formats([r[1] for r in found.rows]).formats] == ["%d/%m/%Y"]

    def test_a_short_file_is_whole(self, source):
        found = read_rows(source('a,b\n1,"x,y"\n'), "utf-8", ",")
        assert found.whole and found.rows == [["a", "b"], ["1", "x,y"]]
