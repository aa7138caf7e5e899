"""A person leaves the tables beside the orders, by whatever account or address these name them, and does not come back."""

import json
from datetime import date

import pyarrow.parquet as pq
import pytest

import clvkit
from clvkit.erasure import erase
from clvkit.errors import StudyError
from clvkit.study import load_study

STUDY = """
name: side
title: Orders, and tables beside them
currency: EUR
as_of: 2024-06-30
ledger:
  sources:
    shop:
      path: shop.csv
      columns: {customer: account, date: day, amount: net}
      extracted: 2024-06-30
    crm:
      holds: customers
      path: crm.csv
      accounts: {shop: account, billing: billing_no}
      keys: {email: email}
      fields: {region: region}
    contracts:
      holds: contracts
      path: contracts.csv
      fields: {contract: contract_no, customer: customer_no, start: start}
      account_space: billing
    tickets:
      holds: tickets
      path: tickets.csv
      fields: {ticket: ticket, customer: email, opened: opened}
  identity: {keys: [record, email]}
value: {margin: 0.3, annual_discount_rate: 0.1}
"""
# The person's number at billing is a mere number, and stands in no order.
WHO = ("SHOP-00003", "4103", "ada.l@example.org")


def person(number):
    return f"SHOP-{number:05d}", f"41{number:02d}", WHO[2] if number == 3 else f"p{number}@example.org"


def write(folder, name, header, rows):
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def study_file(tmp_path, monkeypatch):
    monkeypatch.setenv("CLVKIT_REPORTS", str(tmp_path / "reports"))
    folder = tmp_path / "params"
    folder.mkdir()
    people = [person(number) for number in range(12)]
    orders = [
        (shop, f"2024-0{m}-1{n % 9}", "10.00") for n, (shop, _, _) in enumerate(people) for m in (1, 3, 5)
    ]
    write(folder, "shop", "account,day,net", orders)
    write(folder, "crm", "account,billing_no,email,region", [(*one, "DE") for one in people])
    # 4199 has a contract and is in no other file.
    contracts = [(f"C{n}", billing, "2024-01-01") for n, (_, billing, _) in enumerate(people)]
    write(folder, "contracts", "contract_no,customer_no,start", [*contracts, ("C99", "4199", "2024-01-01")])
    tickets = [(f"T{n}", email.upper(), "2024-02-02") for n, (_, _, email) in enumerate(people)]
    write(folder, "tickets", "ticket,email,opened", tickets)
    path = folder / "side.yml"
    path.write_text(STUDY)
    return path


def customers(ledger, name):
    return ledger.tables[name].to_pyarrow().column("customer").to_pylist()


def traces(folder):
    """Files below a folder in which the person stands: an account or address as a whole cell or word."""
    found = []
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        text = path.read_bytes().decode("latin-1").lower()
        cells = set()
        if path.suffix == ".parquet":
            cells = {str(v).lower() for row in pq.read_table(path).to_pylist() for v in row.values()}
        if {one.lower() for one in WHO} & cells or any(one.lower() in text for one in (WHO[0], WHO[2])):
            found.append(path.relative_to(folder).as_posix())
    return found


def test_tables_name_customers_by_the_pseudonyms_of_the_orders(study_file):
    ledger = clvkit.open_run(study_file).ledger()
    known = set(ledger.purchases.to_pyarrow().column("customer").to_pylist())
    named = customers(ledger, "contracts")
    assert len(named) == 13 and None not in named
    assert known < set(named) and len(set(named) - known) == 1
    # Without a space they stay as they are written.
    assert WHO[2].upper() in customers(ledger, "tickets")


@pytest.mark.parametrize("whom", ["shop:SHOP-00003", "billing:4103"])
def test_a_person_leaves_every_table_and_does_not_come_back(study_file, tmp_path, whom):
    folder = tmp_path / "reports" / "side"
    before = clvkit.open_run(study_file).ledger()
    assert traces(folder)
    certificate = erase(load_study(study_file), whom, by="Ann", today=date(2024, 7, 2), reports=folder.parent)
    assert traces(folder) == [] and certificate.left == [] and certificate.accounts == 2
    assert [one["file"] for one in certificate.own_files] == [
        "shop.csv",
        "crm.csv",
        "contracts.csv",
        "tickets.csv",
    ]
    store = next(path for path in (folder / ".store").iterdir() if (path / "purchases.parquet").exists())
    assert pq.read_metadata(store / "purchases.parquet").num_rows == 33

    again = clvkit.open_run(study_file).ledger()
    assert traces(folder) == []
    assert again.totals["customers"] == 11 and again.totals["rows"]["in"] == before.totals["rows"]["in"]
    assert len(customers(again, "contracts")) == 12 and len(customers(again, "tickets")) == 11
    assert again.tables["crm"].count().execute() == 11
    checks = {check.id: check for check in again.checks}
    for name, kept in (("contracts", 12), ("tickets", 11), ("crm", 11)):
        check = checks[f"ledger.table.{name}"]
        assert check.status == "pass" and f"{kept} of {kept} rows" in check.message
        assert "1 more are of people who were erased" in check.message
    # The first ledger is read where it was kept, and has lost the person there; the others keep their pseudonyms.
    assert set(customers(again, "contracts")) == set(customers(before, "contracts"))
    crosswalk = json.loads((folder / ".crosswalk" / "crosswalk.json").read_text())
    members = pq.read_table(folder / ".crosswalk" / crosswalk["members"]).to_pylist()
    assert len(members) == 23 and not {one["account"] for one in members} & set(WHO)


def test_the_keys_of_a_contract_link_its_customer(study_file):
    """4199 is in no file of customers; the address beside the contract says who it is."""
    source = study_file.with_name("contracts.csv")
    header, *rows = source.read_text().splitlines()
    source.write_text(
        "\n".join([f"{header},mail", *(f"{row}," for row in rows[:-1]), f"{rows[-1]},{WHO[2]}"]) + "\n"
    )
    study_file.write_text(
        STUDY.replace("account_space: billing", "account_space: billing\n      keys: {email: mail}")
    )
    ledger = clvkit.open_run(study_file).ledger()
    named = dict(zip(ledger.tables["contracts"].to_pyarrow().column("contract").to_pylist(),
                     customers(ledger, "contracts"), strict=True))  # fmt: skip
    assert named["C99"] == named["C3"] and len(set(named.values())) == 12


def test_a_space_that_nothing_has_is_refused(study_file):
    study_file.write_text(STUDY.replace("account_space: billing", "account_space: biling"))
    with pytest.raises(StudyError, match="nothing has accounts of 'biling'"):
        load_study(study_file)
    study_file.write_text(STUDY.replace("      account_space: billing\n", "").replace(
        "      keys: {email: email}\n", "      keys: {email: email}\n      account_space: shop\n"))  # fmt: skip
    with pytest.raises(StudyError, match="account_space belongs to a table with the field customer"):
        load_study(study_file)
