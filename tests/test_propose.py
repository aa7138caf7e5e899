"""A study proposed for a file never seen: it is one, and what it is unsure of is marked."""

import contextlib
import csv
import os
import random
import sqlite3
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import ibis
import pandas as pd
import pytest
import yaml

from clvkit.errors import DataError, StudyError
from clvkit.ledger import LedgerColumns, LedgerSection, build_ledger, detect
from clvkit.propose import propose_study, write_proposal
from clvkit.study import load_study

SAMPLES = Path(__file__).parents[1] / "data_samples" / "cdnow"
SHARED = os.environ.get("CLVKIT_SHARED_DATA")


def orders(n=400, seed=7, day="%Y-%m-%d", first=date(2023, 1, 1), span=500):
    """Rows of customers who come back: customer, day, amount."""
    draw = random.Random(seed)
    days = sorted(first + timedelta(days=draw.randrange(span)) for _ in range(n))
    return [
        [f"K{draw.randrange(n // 5):04}", f"{d:{day}}", f"{draw.lognormvariate(3, 0.7):.2f}"] for d in days
    ]


def table(header, rows, sign=","):
    return "".join(sign.join(row) + "\n" for row in ([header, *rows] if header else rows))


@pytest.fixture
def propose(tmp_path):
    """Propose a study for a text: ``propose("a,b\\n")``."""

    def make(content, name="orders.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return propose_study(path, base=tmp_path)

    return make


@pytest.fixture
def ledger(tmp_path):
    """The ledger of a proposal, as a study saved beside its data gives it."""

    def make(proposal):
        (tmp_path / "new.yml").write_text(proposal.yaml)
        study = load_study(tmp_path / "new.yml")
        return build_ledger(study.ledger, as_of=study.as_of, currency=study.currency, base=study.base)

    return make


def doubts(proposal, key):
    """What is marked at a key; each is a comment that opens right above the key's line."""
    found = [d.removeprefix(f"{key}: ") for d in proposal.unsure if d.startswith(f"{key}: ")]
    lines = proposal.yaml.splitlines()
    for doubt in found:
        start = " ".join(doubt.split())[:40]
        at = next(i for i, line in enumerate(lines) if line.strip().startswith(f"# UNSURE: {start}"))
        below = next(line for line in lines[at:] if not line.strip().startswith("#"))
        assert below.strip().startswith(f"{key.split('.')[-1]}:")
    return found


def marks(proposal):
    return {d.split(": ")[0] for d in proposal.unsure}


ALWAYS = {"as_of", "value.margin", "value.annual_discount_rate"}


class TestCdnow:
    @pytest.mark.parametrize("name", ["cdnow.csv", "cdnow_sample.csv"])
    def test_all_rows_are_read(self, tmp_path, name):
        to = tmp_path / "params" / "new.yml"
        printed = write_proposal(SAMPLES / name, to)
        study = load_study(to)
        assert study.as_of == date(1998, 6, 30) and study.currency == "XXX"
        assert study.ledger.columns.customer == "customer_id"
        assert marks(propose_study(SAMPLES / name)) == ALWAYS | {"currency"}
        made = build_ledger(study.ledger, as_of=study.as_of, currency=study.currency, base=study.base)
        rows = made.totals["rows"]
        with open(SAMPLES / name) as file:
            assert rows["used"] + rows["merged"] == rows["in"] == len(file.readlines()) - 1
        assert "currency: no column or sign tells it" in printed and f"clv check {to}" in printed

    @pytest.mark.parametrize("name", ["cdnow.csv", "cdnow_sample.csv"])
    def test_without_a_header(self, propose, ledger, name):
        content = (SAMPLES / name).read_text().split("\n", 1)[1]
        proposal = propose(content)
        wide = name == "cdnow_sample.csv"
        assert proposal.columns == {"customer": "1", "date": "23"[wide], "amount": "45"[wide]}
        assert all(doubts(proposal, f"ledger.columns.{role}") for role in proposal.columns)
        if wide:  # the customer has a second number there, as good as the first
            assert doubts(proposal, "ledger.columns.customer")[0].startswith("1, 2 fit about equally")
        rows = ledger(proposal).totals["rows"]
        assert rows["used"] + rows["merged"] == rows["in"] == content.count("\n")


@pytest.mark.skipif(not SHARED, reason="CLVKIT_SHARED_DATA names no folder")
def test_online_retail(tmp_path):
    proposal = propose_study(Path(SHARED) / "online_retail_2010_2011.csv.gz", base=tmp_path)
    assert proposal.columns == {
        "customer": "CustomerID", "date": "InvoiceDate", "quantity": "Quantity", "price": "UnitPrice",
        "order": "InvoiceNo", "product": "StockCode", "segment": "Country",
    }  # fmt: skip
    assert "guests" in doubts(proposal, "ledger.guests")[0]
    assert "refunds" in doubts(proposal, "ledger.negative_amounts")[0]
    assert 'date_format: "%Y-%m-%d %H:%M:%S"' in proposal.yaml
    assert yaml.safe_load(proposal.yaml)["as_of"] >= date(2011, 12, 8)


class TestFiles:
    def test_a_german_export(self, propose, ledger):
        rows = [[c, d, a.replace(".", ","), "Köln"] for c, d, a in orders(day="%d.%m.%Y")]
        content = table(["Kundennummer", "Bestelldatum", "Umsatz", "Straße"], rows, ";")
        proposal = propose(content, encoding="cp1252")
        assert proposal.columns == {"customer": "Kundennummer", "date": "Bestelldatum", "amount": "Umsatz"}
        (said,) = doubts(proposal, "ledger.encoding")
        assert "cp1252" in said and "Straße" in said
        assert marks(proposal) == ALWAYS | {"currency", "ledger.encoding"}
        made = ledger(proposal).totals["rows"]
        assert made["quarantined"] == 0 and made["in"] == 400
        read = yaml.safe_load(proposal.yaml)["ledger"]
        assert [read[k] for k in ("encoding", "delimiter", "decimal", "date_format")] == [
            "cp1252",
            ";",
            ",",
            "%d.%m.%Y",
        ]

    @pytest.mark.parametrize(
        "names",
        [
            ["Numéro client", "Date commande", "Montant HT"],
            ["ID Cliente", "Fecha", "Importe"],
            ["cust_id", "Order Date", "Net Amount"],
        ],
    )
    def test_other_languages(self, propose, names):
        proposal = propose(table(names, orders()))
        assert [proposal.columns[r] for r in ("customer", "date", "amount")] == names
        assert marks(proposal) == ALWAYS | {"currency"}

    def test_a_tab_file(self, propose, ledger):
        proposal = propose(table(["customer", "date", "amount"], orders(), "\t"), "x.tsv")
        assert ledger(proposal).totals["rows"]["quarantined"] == 0

    def test_a_folder(self, tmp_path, ledger):
        (tmp_path / "in").mkdir()
        for part in range(5):
            content = table(["customer", "date", "amount"], orders(seed=part))
            (tmp_path / "in" / f"{part}.csv").write_text(content)
        proposal = propose_study(tmp_path / "in", base=tmp_path)
        assert "3 of 5 files were looked at" in doubts(proposal, "ledger.path")[0]
        assert ledger(proposal).totals["rows"]["in"] == 2000
        (tmp_path / "in" / "4.csv").write_text("a,b\n1,2\n")
        proposal = propose_study(tmp_path / "in" / "*.csv", base=tmp_path)
        assert (
            "in/4.csv has other columns" in doubts(proposal, "ledger.path")[0]
            or "4.csv" in doubts(proposal, "ledger.path")[0]
        )
        assert proposal.yaml.count("name: study")

    def test_parquet(self, tmp_path, ledger):
        frame = pd.DataFrame(orders(), columns=["customer", "date", "amount"])
        frame = frame.assign(date=pd.to_datetime(frame.date).dt.date, amount=frame.amount.astype(float))
        frame.to_parquet(tmp_path / "orders.parquet")
        proposal = propose_study(tmp_path / "orders.parquet", base=tmp_path)
        assert "date_format" not in proposal.yaml and "decimal" not in proposal.yaml
        assert ledger(proposal).totals["rows"]["quarantined"] == 0

    def test_a_file_that_is_no_parquet(self, tmp_path):
        (tmp_path / "x.parquet").write_bytes(b"PAR1 and no more")
        with pytest.raises(DataError, match="Parquet"):
            propose_study(tmp_path / "x.parquet")

    def test_a_table_of_an_engine(self, tmp_path):
        con = ibis.duckdb.connect(tmp_path / "shop.duckdb")
        frame = pd.DataFrame(orders(), columns=["customer", "date", "amount"])
        frame = frame.assign(date=pd.to_datetime(frame.date), amount=frame.amount.astype(float))
        proposal = propose_study(con.create_table("sales", frame), base=tmp_path)
        assert proposal.columns == {"customer": "customer", "date": "date", "amount": "amount"}
        (tmp_path / "new.yml").write_text(proposal.yaml)
        section = load_study(tmp_path / "new.yml").ledger
        if "database" in LedgerSection.model_fields:
            assert (section.database, section.relation) == ("duckdb:shop.duckdb", "sales")
        else:
            assert doubts(proposal, "ledger.path")

    @pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
    def test_a_table_by_name(self, tmp_path, monkeypatch, ledger, kind):
        frame = pd.DataFrame(orders(), columns=["customer", "date", "amount"]).astype({"amount": float})
        if kind == "sqlite":
            with contextlib.closing(sqlite3.connect(tmp_path / "shop.db")) as con:
                frame.to_sql("sales", con, index=False)
        else:
            con = ibis.duckdb.connect(tmp_path / "shop.db")
            con.create_table("sales", frame)
            con.disconnect()
        monkeypatch.chdir(tmp_path)
        write_proposal(f"{kind}:shop.db", Path("studies/new.yml"), relation="sales")
        study = load_study(tmp_path / "studies" / "new.yml")
        assert (study.ledger.database, study.ledger.relation) == (f"{kind}:../shop.db", "sales")
        assert ledger(propose_study(f"{kind}:shop.db", relation="sales")).totals["rows"]["used"] > 0
        with pytest.raises(DataError, match="has to be named; it has: sales"):
            propose_study(f"{kind}:shop.db")
        with pytest.raises(DataError, match="did you mean 'sales'"):
            propose_study(f"{kind}:shop.db", relation="slaes")
        with pytest.raises(DataError, match="is a database") as error:
            propose_study("shop.db")
        assert f"clv new {kind}:shop.db --relation TABLE" in str(error.value.fix)

    def test_the_address_of_a_server_is_not_repeated(self):
        with pytest.raises(DataError) as error:
            propose_study("postgres://clv:Zitrone7@db/x", relation="sales")
        assert "Zitrone7" not in f"{error.value} {error.value.fix} {error.value.place}"

    @pytest.mark.skipif("database" not in LedgerSection.model_fields, reason="studies read files alone")
    def test_a_table_whose_engine_has_no_file(self, tmp_path):
        frame = pd.DataFrame(orders(), columns=["customer", "date", "amount"])
        proposal = propose_study(ibis.duckdb.connect().create_table("sales", frame), base=tmp_path)
        assert "write where the table lies" in doubts(proposal, "ledger.database")[0]


class TestUnsure:
    """Every mark, on a file that deserves it."""

    HEAD = ["customer", "date", "amount"]

    def test_ambiguous_dates_are_asked(self, propose):
        rows = [[c, f"{i % 12 + 1:02}/{i % 11 + 1:02}/2024", a] for i, (c, _, a) in enumerate(orders())]
        proposal = propose(table(self.HEAD, rows))
        (said,) = doubts(proposal, "ledger.date_format")
        assert "02/02/2024" not in said and " is " in said and 'Write "%d/%m/%Y" or "%m/%d/%Y"' in said

    def test_two_digit_years(self, propose):
        (said,) = doubts(propose(table(self.HEAD, orders(day="%d.%m.%y"))), "ledger.date_format")
        assert "two digits" in said and "2023" in said

    def test_dates_that_are_not_read(self, propose):
        rows = orders()
        rows[5][1] = "1900-01-00"
        (said,) = doubts(propose(table(self.HEAD, rows)), "ledger.date_format")
        assert said == "1 of 400 dates are not read, such as 1900-01-00"

    def test_two_columns_that_fit_equally(self, propose):
        rows = [[c, "A" + c[::-1], d, a] for c, d, a in orders()]
        proposal = propose(table(["customer_id", "account_no", "date", "amount"], rows))
        (said,) = doubts(proposal, "ledger.columns.customer")
        assert said == "customer_id, account_no fit about equally; write the right one"

    def test_a_near_name(self, propose):
        (said,) = doubts(
            propose(table(["custumer_id", "date", "amount"], orders())), "ledger.columns.customer"
        )
        assert "near to the usual" in said

    def test_found_by_content_alone(self, propose):
        proposal = propose(table(["x", "y", "z"], orders()))
        assert proposal.columns == {"customer": "x", "date": "y", "amount": "z"}
        for role in proposal.columns:
            assert "what is in it alone" in doubts(proposal, f"ledger.columns.{role}")[0]

    def test_rows_without_a_customer(self, propose):
        rows = orders()
        rows[3][0] = ""
        (said,) = doubts(propose(table(self.HEAD, rows)), "ledger.guests")
        assert said.startswith("1 row (0.3 %) has no customer. If they are guests, write exclude")

    def test_amounts_below_zero_and_not_numbers(self, propose):
        rows = orders()
        rows[3][2], rows[4][2] = "-5.00", "free"
        proposal = propose(table(self.HEAD, rows))
        (words,) = doubts(proposal, "ledger.columns.amount")
        (below,) = doubts(proposal, "ledger.negative_amounts")
        assert below.startswith("1 of 400 rows is below zero") and "'free'" in words

    def test_what_is_written_as_asked_is_a_study(self, propose, ledger):
        rows = orders()
        rows[3][0], rows[4][2] = "", "-5.00"
        proposal = propose(table(self.HEAD, rows))
        assert ledger(proposal).totals["rows"]["quarantined"] == 1
        text = proposal.yaml.replace("guests: quarantine", "guests: exclude")
        settled = replace(proposal, yaml=text.replace("negative_amounts: exclude", "negative_amounts: net"))
        assert settled.yaml != proposal.yaml and ledger(settled).totals["rows"]["quarantined"] == 0

    def test_a_thousand_or_a_fraction(self, propose):
        rows = [[c, d, f"{i + 1}.{i:03}"] for i, (c, d, _) in enumerate(orders(90))]
        assert "a thousand" in doubts(propose(table(self.HEAD, rows)), "ledger.decimal")[0]

    def test_currency_from_signs(self, propose):
        proposal = propose(table(self.HEAD, [[c, d, f"€{a}"] for c, d, a in orders()]))
        assert "currency: EUR" in proposal.yaml and not doubts(proposal, "currency")
        assert "written with €" in doubts(proposal, "ledger.columns.amount")[0]
        proposal = propose(table(self.HEAD, [[c, d, f"${a}"] for c, d, a in orders()]))
        assert "currency: USD" in proposal.yaml and "Canadian" in doubts(proposal, "currency")[0]
        mixed = [[c, d, f"{'€£'[i % 2]}{a}"] for i, (c, d, a) in enumerate(orders())]
        assert "several signs" in doubts(propose(table(self.HEAD, mixed)), "currency")[0]

    def test_currency_from_a_column(self, propose):
        proposal = propose(table([*self.HEAD, "currency"], [[*row, "GBP"] for row in orders()]))
        assert "currency: GBP" in proposal.yaml and marks(proposal) == ALWAYS
        rows = [[*row, "EUR" if i % 3 else "CHF"] for i, row in enumerate(orders())]
        proposal = propose(table([*self.HEAD, "currency"], rows))
        assert "EUR (266 rows), CHF (134 rows)" in doubts(proposal, "currency")[0]

    def test_a_price_without_a_quantity(self, propose):
        proposal = propose(table(["customer", "date", "unit price"], orders()))
        assert proposal.columns["amount"] == "unit price"
        assert "may be the price of one piece" in doubts(proposal, "ledger.columns.amount")[0]

    def test_a_price_that_may_be_the_amount(self, propose, ledger):
        rows = [[*row, str(i % 4 + 1)] for i, row in enumerate(orders())]
        proposal = propose(table(["customer", "date", "price", "qty"], rows))
        if {"quantity", "price"} <= set(LedgerColumns.model_fields):
            assert "may be the amount of the row" in doubts(proposal, "ledger.columns.price")[0]
            assert ledger(proposal).totals["rows"]["quarantined"] == 0
        else:
            assert "qty x price" in doubts(proposal, "ledger.columns.amount")[0]

    def test_an_amount_beside_a_price(self, propose):
        rows = [[c, d, a, "1", a] for c, d, a in orders()]
        proposal = propose(table([*self.HEAD, "qty", "unit price"], rows))
        assert proposal.columns["amount"] == "amount" and "price" not in proposal.columns

    def test_ids_of_lines_and_orders(self, propose):
        rows = [[f"L{i}", f"R{i // 2}", *row] for i, row in enumerate(orders())]
        proposal = propose(table(["line_id", "Order No", *self.HEAD], rows))
        assert proposal.columns["line_id"] == "line_id" and proposal.columns["order"] == "Order No"
        proposal = propose(table(None, [[*row, f"L{i}"] for i, row in enumerate(orders())]))
        assert proposal.columns["line_id"] == "4" and doubts(proposal, "ledger.columns.line_id")

    def test_a_first_line_that_may_be_data(self, propose):
        assert doubts(propose(table(["customer", "2023-01-01", "amount"], orders())), "ledger.header")

    def test_a_last_day_that_is_cut_off(self, propose):
        first = date(2024, 1, 1)
        rows = [
            [f"K{(7 * i + k) % 90:03}", f"{first + timedelta(days=i)}", f"{k}.50"]
            for i in range(90)
            for k in range(40)
        ]
        proposal = propose(table(self.HEAD, rows[:-35]))
        assert yaml.safe_load(proposal.yaml)["as_of"] == first + timedelta(days=88)
        assert "30 March 2024 has 5 rows where such a weekday has 40" in doubts(proposal, "as_of")[0]
        assert yaml.safe_load(propose(table(self.HEAD, rows)).yaml)["as_of"] == first + timedelta(days=89)

    @pytest.mark.parametrize("last", [5, 18, 25, 40])
    def test_the_last_day_is_complete_by_the_rule_of_the_ledger(self, propose, ledger, last):
        """Whatever the last day has, `clv check` agrees; rows without a customer count in neither."""
        first = date(2024, 1, 1)
        rows = [
            [f"K{(7 * i + k) % 90:03}", f"{first + timedelta(days=i)}", f"{k}.50"]
            for i in range(90)
            for k in range(40)
        ]
        rows = rows[: len(rows) - 40 + last] + [["", f"{first + timedelta(days=89)}", "1.00"]] * 30
        made = ledger(propose(table(self.HEAD, rows)))
        assert next(one for one in made.checks if one.id == "history.complete").status == "pass"
        assert made.as_of == first + timedelta(days=88 if last < 25 else 89)

    def test_a_file_too_long_to_read_whole(self, propose, monkeypatch):
        """What is looked at is a part; the days are counted over all of it."""
        whole = propose(table(self.HEAD, orders()))
        monkeypatch.setattr(detect, "MAX_ROWS", 100)
        monkeypatch.setattr(detect, "TAIL_BYTES", 400)
        for header in (self.HEAD, None):
            proposal = propose(table(header, orders()))
            assert doubts(proposal, "as_of") == doubts(whole, "as_of") == ["the last day that looks complete"]
            assert yaml.safe_load(proposal.yaml)["as_of"] == yaml.safe_load(whole.yaml)["as_of"]
        rows = [[c, d, a] for c, d, a in orders(day="%d/%m/%Y")]
        monkeypatch.setattr("clvkit.propose_days._counted", lambda *_: None)  # no engine reads its encoding
        proposal = propose(table(self.HEAD, rows))
        assert "of the part that was looked at" in doubts(proposal, "as_of")[0]

    def test_columns_without_names_are_shown_masked(self, propose):
        rows = [[c, "A" + c[::-1], d, a] for c, d, a in orders()]
        (said,) = doubts(propose(table(None, rows)), "ledger.columns.customer")
        assert said == "1, 2 fit about equally; write the right one (1 like X9999; 2 like X9999X)"

    @pytest.mark.parametrize("named", [True, False])
    def test_codes_of_fees_among_the_products_are_pointed_out(self, propose, named):
        rows = [
            [c, d, a, "POST" if i % 40 == 7 else f"{20000 + i % 60}B"] for i, (c, d, a) in enumerate(orders())
        ]
        proposal = propose(table([*self.HEAD, "StockCode"] if named else None, rows))
        text = " ".join(proposal.yaml.replace("#", " ").split())
        column = "StockCode" if named else "4"
        assert f"{column} has words among codes with digits: POST (10 rows)." in text
        assert ('write product: "4" here and' in text) is not named
        assert 'not_sales: {fees: ["POST"]}' in text
        assert "not_sales" not in propose(table(self.HEAD, orders())).yaml

    def test_a_study_that_is_printed_says_where_its_path_counts_from(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("orders.csv").write_text(table(self.HEAD, orders()))
        said = "are written for the current one: save it here"
        assert said in " ".join(write_proposal("orders.csv").replace("#", " ").split())
        write_proposal("orders.csv", tmp_path / "params" / "new.yml")
        assert "save it here" not in Path("params/new.yml").read_text()

    def test_what_no_data_tell_is_assumed(self, propose):
        proposal = propose(table(self.HEAD, orders()))
        assert "ASSUMED" in doubts(proposal, "value.margin")[0]
        assert "ASSUMED" in doubts(proposal, "value.annual_discount_rate")[0]

    def test_all_marks_are_in_the_text(self, propose):
        proposal = propose(table(None, [[c, d, f"-{a}"] for c, d, a in orders(day="%d.%m.%y")]))
        assert proposal.yaml.count("# UNSURE:") == len(proposal.unsure) >= 7
        assert all(doubts(proposal, key) for key in marks(proposal))


class TestRefused:
    def test_a_path_that_matches_nothing_counts_from_the_current_folder(self):
        with pytest.raises(DataError, match=r"'nofile\.csv' matches no file") as caught:
            propose_study("nofile.csv")
        assert caught.value.fix == "correct it; it counts from the current folder"

    def test_no_date_says_what_was_found(self, propose):
        with pytest.raises(DataError) as caught:
            propose(table(["customer", "plan", "amount"], [[c, "gold", a] for c, _, a in orders()]))
        assert "no column for the day of the purchase" in caught.value.message
        assert "plan: text, 1 different in 400 rows, such as 'gold'" in caught.value.message

    def test_serial_numbers_of_a_spreadsheet_are_named(self, propose):
        rows = [[c, str(45000 + i // 3), a] for i, (c, _, a) in enumerate(orders())]
        with pytest.raises(DataError) as caught:
            propose(table(["customer", "date", "amount"], rows))
        assert "'date' looks like excel serial numbers" in caught.value.fix

    def test_two_delimiters(self, propose):
        with pytest.raises(DataError, match="two signs split the lines"):
            propose("a;b,c\n" * 3)

    def test_no_customer_and_no_amount(self, propose):
        with pytest.raises(DataError, match="no column for the customer"):
            propose(
                table(["id", "date", "amount"], [[f"N{i}", d, a] for i, (_, d, a) in enumerate(orders())])
            )
        with pytest.raises(DataError, match="no column for the amount"):
            propose(table(["customer", "date", "note"], [[c, d, "x"] for c, d, _ in orders()]))

    @pytest.mark.parametrize(
        "content",
        [b"", b"\n\n", b"customer,date,amount\n", b"words\nof prose\n", random.Random(3).randbytes(5000),
         b"PK\x03\x04xyz", b'a,b\n"' + b"x,1\n" * 60000, b"a,a,a\n,,\n,,\n"],
    )  # fmt: skip
    def test_garbage(self, propose, content):
        with pytest.raises(DataError) as caught:
            propose(content)
        assert caught.value.place and caught.value.fix

    def test_names_that_would_break_yaml(self, propose, ledger, tmp_path):
        names = ['no: "x"\n# UNSURE', "date", "amount"]
        with open(tmp_path / "odd.csv", "w", newline="") as file:
            csv.writer(file).writerows([[names[0].replace("\n", " "), *names[1:]], *orders()])
        assert ledger(propose_study(tmp_path / "odd.csv", base=tmp_path)).totals["rows"]["quarantined"] == 0

    def test_a_file_is_not_overwritten(self, tmp_path):
        (tmp_path / "a.csv").write_text(table(["customer", "date", "amount"], orders()))
        (tmp_path / "mine.yml").write_text("mine")
        with pytest.raises(StudyError, match="not overwritten"):
            write_proposal(tmp_path / "a.csv", tmp_path / "mine.yml")
        assert (tmp_path / "mine.yml").read_text() == "mine"
        assert write_proposal(tmp_path / "a.csv").startswith("# Proposed by")

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(DataError, match="matches no file"):
            propose_study(tmp_path / "none.csv")

    def test_damaged_files_give_an_error_or_a_study(self, tmp_path):
        source = table(["customer", "date", "amount"], orders(120)).encode().split(b"\n")
        outcomes = {"study": 0, "error": 0}
        for seed in range(30):
            draw, lines = random.Random(seed), list(source)
            for _ in range(draw.randrange(1, 4)):
                at = draw.randrange(len(lines))
                kind = draw.randrange(6)
                if kind == 0:
                    lines[at] = draw.randbytes(30).replace(b"\n", b"")
                elif kind == 1:
                    lines = lines[: at + 1]
                elif kind == 2:
                    lines[at] += b'"'
                elif kind == 3:
                    lines[at] = b"x" * 200_000  # a search that tries every start would take minutes
                elif kind == 4:
                    lines = [
                        line + b";" + draw.choice([b"\xe4", b"1e400", b"=1+1", b"nan"]) for line in lines
                    ]
                else:
                    lines[0] = b'=cmd|A1,"x: #\'",amount'
            (tmp_path / "x.csv").write_bytes(b"\n".join(lines))
            try:
                (tmp_path / "x.yml").write_text(propose_study(tmp_path / "x.csv", base=tmp_path).yaml)
                load_study(tmp_path / "x.yml")
                outcomes["study"] += 1
            except DataError as error:
                assert error.place and error.fix
                outcomes["error"] += 1
        assert min(outcomes.values()) >= 5
