"""The company with known truth: what it claims of itself holds, and each defect does what it says and no more."""

import copy
import csv
import json
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.parquet as pq
import pytest

from clvkit import processes
from clvkit.calendar_section import DAYS_OF_MONTH, MONTHS
from clvkit.errors import StudyError
from clvkit.simulate import DEFECTS, write_company
from clvkit.simulate.__main__ import main
from clvkit.simulate.company import build
from clvkit.simulate.people import draw_people
from clvkit.simulate.plan import BEHAVIOUR, PARAMETERS, PRICE_CHANGE, SEASON, SPEND, YEAR, Plan, half_up
from clvkit.simulate.planting import Exports
from clvkit.simulate.sheet import minor_units

SAMPLE = Path(__file__).parents[1] / "data_samples" / "acme"
START, END, SHORT = date(2022, 7, 1), date(2024, 12, 31), date(2023, 12, 31)
PLANTED = [name for name in DEFECTS if name not in BEHAVIOUR]
BERLIN = ZoneInfo("Europe/Berlin")


def _plan(customers=500, seed=7, end=SHORT, defects=(), currency="EUR", season=True) -> Plan:
    return Plan(customers, seed, START, end, tuple(defects), currency, season)


def _read(path: Path, encoding="utf-8", delimiter=",") -> list[dict[str, str]]:
    with path.open(encoding=encoding, newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _local_day(text: str) -> date:
    return datetime.fromisoformat(text).astimezone(BERLIN).date()


@pytest.fixture(scope="module")
def acme(tmp_path_factory):
    """The company of the sample, written today, and its truth."""
    folder = tmp_path_factory.mktemp("acme")
    return folder, write_company(folder)


@pytest.fixture(scope="module")
def shop(acme) -> list[dict[str, str]]:
    return [row for path in sorted((acme[0] / "shop").glob("orders_*.csv")) for row in _read(path)]


@pytest.fixture(scope="module")
def till(acme) -> list[dict[str, str]]:
    return [row for path in sorted((acme[0] / "till").glob("*.csv")) for row in _read(path, "cp1252", ";")]


@pytest.fixture(scope="module")
def legacy(acme) -> list[dict[str, str]]:
    return _read(acme[0] / "legacy" / "till_export.csv")


@pytest.fixture(scope="module")
def refunds(acme) -> list[dict[str, str]]:
    return _read(acme[0] / "shop" / "refunds.csv")


@pytest.fixture(scope="module")
def persons(acme) -> list[dict[str, str]]:
    return _read(acme[0] / "truth" / "persons.csv")


@pytest.fixture(scope="module")
def small():
    """A smaller company, not written."""
    return build(_plan())


# The whole


def test_the_sample_is_what_is_written_today(acme):
    written, committed = _files(acme[0]), _files(SAMPLE)
    assert written.keys() == committed.keys()
    for path, content in committed.items():
        if path.endswith(".parquet"):  # the bytes name the version of the library that wrote them
            assert pq.read_table(acme[0] / path).equals(pq.read_table(SAMPLE / path)), path
        else:
            assert written[path] == content, path
    assert sum(map(len, committed.values())) < 2_000_000


def test_equal_arguments_give_equal_bytes_and_another_seed_another_company(tmp_path):
    asked = {"customers": 500, "end": SHORT, "defects": ("double_load", "missing_date")}
    truth = write_company(tmp_path / "a", seed=7, **asked)
    assert (
        write_company(tmp_path / "b", seed=7, **asked | {"defects": ["missing_date", "double_load"]}) == truth
    )
    assert _files(tmp_path / "a") == _files(tmp_path / "b")
    assert write_company(tmp_path / "c", seed=8, **asked).totals != truth.totals


def test_rows_are_counted(acme):
    folder, truth = acme
    for path, rows in truth.rows.items():
        if path.endswith(".parquet"):
            assert pq.read_table(folder / path).num_rows == rows
        else:
            assert (folder / path).read_bytes().count(b"\n") - 1 == rows, path
    assert truth.defects == []
    assert json.loads((folder / "truth" / "truth.json").read_text(encoding="utf-8"))["rows"] == truth.rows


# Clean is clean


def test_shop_lines_are_whole(shop):
    keys = [(row["order_id"], row["line_no"]) for row in shop]
    assert len(set(keys)) == len(keys)
    for row in shop:
        qty, cash = (
            int(row["qty"]),
            {k: minor_units(row[k]) for k in ("unit_price", "discount", "amount", "tax")},
        )
        assert qty > 0 < cash["amount"]
        assert cash["amount"] == qty * cash["unit_price"] - cash["discount"]
        assert START <= _local_day(row["placed_at"]) <= END
        assert row["loaded_at"] == _local_day(row["placed_at"]).isoformat()
        assert row["email"]
        assert row["currency"] == {"CH": "CHF", "GB": "GBP"}.get(row["country"], "EUR")
    guests = len({row["order_id"] for row in shop if not row["account"]})
    assert 0.02 < guests / len({row["order_id"] for row in shop}) < 0.06


def test_monthly_extracts_follow_the_clock_of_the_shop(acme):
    crossing = 0
    for path in (acme[0] / "shop").glob("orders_*.csv"):
        for row in _read(path):
            assert row["placed_at"][:7] == path.stem.removeprefix("orders_")
            crossing += _local_day(row["placed_at"]).isoformat()[:7] != row["placed_at"][:7]
    assert crossing > 0  # some belong to the next month by the local day


def test_each_refund_has_its_line(shop, refunds):
    lines = {(row["order_id"], row["line_no"]): row for row in shop}
    assert len({(row["order_id"], row["line_no"]) for row in refunds}) == len(refunds) > 100
    lags = []
    for row in refunds:
        line = lines[row["order_id"], row["line_no"]]
        assert row["currency"] == line["currency"]
        assert 0 < minor_units(row["amount"]) <= minor_units(line["amount"])
        assert 0 <= minor_units(row["tax"]) <= minor_units(line["tax"])
        lags.append((_local_day(row["refunded_at"]) - _local_day(line["placed_at"])).days)
    assert min(lags) >= 1
    assert np.mean(lags) == pytest.approx(12.0, abs=4 * 11.5 / len(lags) ** 0.5)


def test_outstanding_refunds_are_of_sales_before_the_end_and_have_not_arrived(acme):
    company = build(Plan(1500, 20240117, START, END, (), "EUR"))
    late = company.back[company.back["day"] > (END - START).days]
    assert len(late) > 5
    sold = set(zip(company.lines["order"], company.lines["line"], strict=True))
    assert set(zip(late["order"], late["line"], strict=True)) <= sold
    for shop_, name in ((True, "net_shop"), (False, "net_till")):
        part = late[late["shop"] == shop_].groupby("currency")["net"].sum().to_dict()
        assert acme[1].outstanding.get(name, {}) == part


def test_till_lines_are_whole_and_returns_name_their_receipt_or_none(till, legacy):
    everywhere = [(row["Beleg"], row["Pos"]) for row in till]
    assert len(set(everywhere)) == len(everywhere)
    receipts = {row["Beleg"] for row in till} | {row["receipt_nr"] for row in legacy}
    named = Counter()
    for row in till:
        qty, unit, off = int(row["Menge"]), minor_units(row["Preis"]), minor_units(row["Rabatt"])
        amount, tax = minor_units(row["Betrag"]), minor_units(row["MwSt"])
        assert amount == qty * unit - off
        rate = 200 if row["Filiale"].startswith("Wien") else 190
        assert amount - tax == half_up(amount * 1000, 1000 + rate)
        if qty < 0:
            named[bool(row["zu_Beleg"])] += 1
            assert row["zu_Beleg"] in receipts | {""}
        else:
            assert amount > 0 and not row["zu_Beleg"]
    assert min(named[True], named[False]) > 10
    anonymous = sum(not row["Kundenkarte"] for row in till) / len(till)
    assert 0.02 < anonymous < 0.12
    assert {"München", "Köln", "Düsseldorf"} <= {row["Filiale"] for row in till}


def test_overlap_of_the_tills_is_identical_in_value(acme, till, legacy):
    old, new = {}, {}
    for row in legacy:
        day = datetime.strptime(row["ts"], "%Y-%m-%d %H:%M")
        assert day.date() <= date(2022, 12, 31)
        if day >= datetime(2022, 12, 1):
            old[row["receipt_nr"], row["line"]] = day, row["card"], int(row["amount_ct"]), int(row["tax_ct"])
    for row in till:
        day = datetime.strptime(row["Datum"], "%d/%m/%Y %H:%M")
        if day < datetime(2023, 1, 1):
            values = day, row["Kundenkarte"], minor_units(row["Betrag"]), minor_units(row["MwSt"])
            new[row["Beleg"], row["Pos"]] = values
    assert len(old) > 20
    assert old == new
    assert acme[1].totals["till_tax_included"]["overlap"] == {"EUR": sum(one[2] for one in old.values())}


def test_rates_cover_all_order_dates_within_three_days(acme, shop):
    rates = {
        (row["date"], row["currency"]): float(row["rate"]) for row in _read(acme[0] / "erp" / "rates.csv")
    }
    assert all(date.fromisoformat(day).weekday() < 5 for day, _ in rates)
    for row in shop:
        day = _local_day(row["placed_at"])
        if row["currency"] != "EUR":
            assert any(((day - timedelta(days=k)).isoformat(), row["currency"]) in rates for k in range(4))
    assert all(0.7 < rate < 1.6 for rate in rates.values())


def test_products_and_their_costs(acme, shop, till):
    products = {row["sku"]: row for row in _read(acme[0] / "erp" / "products.csv")}
    shares = {row["category"] for row in _read(acme[0] / "erp" / "categories.csv")}
    used = {(r["sku"], r["category"]) for r in shop} | {(r["Artikel"], r["Warengruppe"]) for r in till}
    assert all(products[sku]["category"] == category for sku, category in used)
    without = {row["category"] for row in products.values() if not row["unit_cost"]}
    assert without & shares and without - shares  # both steps of the fallback are needed
    assert all(
        minor_units(r["unit_cost"]) < minor_units(r["list_price"])
        for r in products.values()
        if r["unit_cost"]
    )


def test_subscriptions_have_an_invoice_each_month(acme):
    contracts = pq.read_table(acme[0] / "billing" / "contracts.parquet").to_pylist()
    invoices = defaultdict(list)
    for row in pq.read_table(acme[0] / "billing" / "invoices.parquet").to_pylist():
        invoices[row["contract_no"]].append(row)
    assert len(contracts) > 200 and any(c["end"] for c in contracts) and not all(c["end"] for c in contracts)
    assert {c["contract_no"] for c in contracts} == invoices.keys()
    for contract in contracts:
        bills, last = invoices[contract["contract_no"]], contract["end"] or END
        months = [(b["invoice_date"].year * 12 + b["invoice_date"].month) for b in bills]
        assert months == list(range(months[0], months[0] + len(months)))
        assert bills[0]["invoice_date"] == contract["start"]
        assert contract["start"] <= bills[-1]["invoice_date"] <= last
        assert (last - bills[-1]["invoice_date"]).days <= 31
        assert {b["amount"] for b in bills} == {contract["monthly_fee"]}


# The books


def test_general_ledger_ties_to_the_sources_to_the_cent(acme, shop, till, legacy, refunds):
    books: Counter = Counter()
    for row in shop:
        month = _local_day(row["placed_at"]).isoformat()[:7]
        books[month, "revenue_shop", row["currency"]] += minor_units(row["amount"])
        books[month, "vat", row["currency"]] += minor_units(row["tax"])
        books[month, "shipping", row["currency"]] += minor_units(row["shipping"])
    for row in refunds:
        month = _local_day(row["refunded_at"]).isoformat()[:7]
        books[month, "refunds_shop", row["currency"]] -= minor_units(row["amount"])
        books[month, "vat", row["currency"]] -= minor_units(row["tax"])
    receipts = {
        (row["receipt_nr"], row["line"]): (
            row["ts"][:7],
            int(row["pcs"]),
            int(row["amount_ct"]),
            int(row["tax_ct"]),
        )
        for row in legacy
    }
    for row in till:
        month, money = (
            f"{row['Datum'][6:10]}-{row['Datum'][3:5]}",
            (minor_units(row["Betrag"]), minor_units(row["MwSt"])),
        )
        receipts[row["Beleg"], row["Pos"]] = month, int(row["Menge"]), *money
    for month, pieces, amount, tax in receipts.values():
        books[month, "revenue_till" if pieces > 0 else "refunds_till", "EUR"] += amount - tax
        books[month, "vat", "EUR"] += tax
    for row in pq.read_table(acme[0] / "billing" / "invoices.parquet").to_pylist():
        month = row["invoice_date"].isoformat()[:7]
        books[month, "revenue_subscriptions", "EUR"] += int(row["amount"] * 100)
        books[month, "vat", "EUR"] += int(row["tax"] * 100)
    booked = {
        (row["month"], row["account"], row["currency"]): minor_units(row["amount"])
        for row in _read(acme[0] / "erp" / "general_ledger.csv")
    }
    assert {key: minor for key, minor in books.items() if minor} == {k: v for k, v in booked.items() if v}


def test_totals_are_those_of_the_files(acme, shop, till, legacy, refunds):
    totals = acme[1].totals
    for column, kind in (
        ("amount", "net"),
        ("tax", "tax"),
        ("shipping", "shipping"),
        ("discount", "discount"),
    ):
        found: Counter = Counter()
        for row in shop:
            found[row["currency"]] += minor_units(row[column])
        assert totals["sold"][f"{kind}_shop"] == found
    found = Counter()
    for row in refunds:
        found[row["currency"]] += minor_units(row["amount"])
    assert totals["refunded"]["net_shop"] == found
    assert totals["till_tax_included"]["till"] == {"EUR": sum(minor_units(row["Betrag"]) for row in till)}
    assert totals["till_tax_included"]["legacy"] == {"EUR": sum(int(row["amount_ct"]) for row in legacy)}


# The people


def test_keys_and_persons_agree(acme, shop, till, persons):
    crm = _read(acme[0] / "crm" / "customers.csv")
    owner: dict[tuple[str, str], str] = {}
    for row in persons:
        for column, kind in (
            ("accounts", "account"),
            ("loyalty_cards", "card"),
            ("billing_no", "billing"),
            ("emails", "email"),
        ):
            for key in row[column].split():
                assert owner.setdefault((kind, key), row["person"]) == row["person"]
    phones = defaultdict(set)
    for row in persons:
        phones[row["phone"]].add(row["person"])
    assert Counter(len(who) for who in phones.values()) == {1: len(persons) - 6, 2: 3}
    shown = defaultdict(set)
    for row in crm:
        kinds = {"account": "account", "loyalty_card": "card", "billing_no": "billing", "email": "email"}
        people = {owner[kind, row[column]] for column, kind in kinds.items() if row[column]}
        assert len(people) == 1
        (person,) = people
        assert not row["phone"] or person in phones[row["phone"]]
        shown[person].add(row["email"])
    assert shown.keys() == {row["person"] for row in persons}
    several = [row for row in persons if len(row["accounts"].split()) == 2]
    assert len(several) > 20 and all(len(shown[row["person"]] - {""}) == 2 for row in several)
    assert {("account", row["account"]) for row in shop if row["account"]} <= owner.keys()
    assert {("email", row["email"]) for row in shop} <= owner.keys()
    assert {("card", row["Kundenkarte"]) for row in till if row["Kundenkarte"]} <= owner.keys()
    for row in pq.read_table(acme[0] / "billing" / "contracts.parquet").to_pylist():
        person = owner["billing", row["customer_no"]]
        assert row["email"] is None or owner["email", row["email"]] == person
        assert row["email"] or row["phone"]
    assert {("email", row["email"]) for row in _read(acme[0] / "support" / "tickets.csv")} <= owner.keys()


def test_exact_keys_find_every_person(acme, shop, persons):
    """Records that share a key, over CRM, orders and contracts: all of a person are connected."""
    parent: dict = {}

    def root(key):
        while parent.setdefault(key, key) != key:
            key = parent[key]
        return key

    rows = [[(k, r[k]) for k in ("account", "loyalty_card", "billing_no", "email", "phone")]
            for r in _read(acme[0] / "crm" / "customers.csv")]  # fmt: skip
    rows += [[("account", r["account"]), ("email", r["email"])] for r in shop]
    rows += [[("billing_no", r["customer_no"]), ("email", r["email"]), ("phone", r["phone"])]
             for r in pq.read_table(acme[0] / "billing" / "contracts.parquet").to_pylist()]  # fmt: skip
    for row in rows:
        first, *others = [key for key in row if key[1]]
        for other in others:
            parent[root(other)] = root(first)
    kinds = (("accounts", "account"), ("loyalty_cards", "loyalty_card"), ("billing_no", "billing_no"))
    found = [{root((kind, key)) for column, kind in kinds for key in row[column].split()} for row in persons]
    assert all(len(one) == 1 for one in found)
    assert len(set.union(*found)) == len(persons) - 3  # the households, which a phone makes one


def test_truth_counts_the_purchases_of_the_files(acme, shop, till, legacy, persons):
    owner = {
        key: row["person"] for row in persons for key in f"{row['emails']} {row['loyalty_cards']}".split()
    }
    orders = {(owner[row["email"]], row["order_id"]): _local_day(row["placed_at"]) for row in shop}
    for row in legacy:
        if row["card"] and int(row["pcs"]) > 0:
            orders[owner[row["card"]], row["receipt_nr"]] = date.fromisoformat(row["ts"][:10])
    for row in till:
        if row["Kundenkarte"] and int(row["Menge"]) > 0:
            day = datetime.strptime(row["Datum"][:10], "%d/%m/%Y").date()
            orders[owner[row["Kundenkarte"]], row["Beleg"]] = day
    count, first = Counter(person for person, _ in orders), {}
    for (person, _), day in orders.items():
        first[person] = min(day, first.get(person, day))
    assert {row["person"]: int(row["purchases"]) for row in persons} == count
    assert {row["person"]: date.fromisoformat(row["first_day"]) for row in persons} == first
    assert acme[1].purchases == count.total()


def test_histories_follow_the_process():
    """Mean repeats, zero repeats and their variance, of 6,000 customers without a season, against the process itself."""
    plan = _plan(6000, end=END, season=False)
    people, who, when = draw_people(plan)
    assert when.min() >= 0 and when.max() <= plan.days
    ages = (plan.days - np.array([p.arrival for p in people])) / YEAR
    repeats = np.bincount(who, minlength=len(people)) - 1
    process, parameters = processes.get("paretonbd"), list(PARAMETERS.values())
    grid = np.linspace(0, plan.days / YEAR, 25)
    expected = np.interp(ages, grid, process.mean(parameters, grid))
    error = repeats.std() / len(people) ** 0.5
    assert repeats.mean() == pytest.approx(expected.mean(), abs=4 * error)
    none = process.pmf(parameters, 0, ages).mean()
    assert (repeats == 0).mean() == pytest.approx(none, abs=4 * (none * (1 - none) / len(people)) ** 0.5)
    spend = np.array([p.mean_spend for p in people])
    mean = SPEND["p"] * SPEND["gamma"] / (SPEND["q"] - 1)
    assert spend.mean() == pytest.approx(mean, abs=5 * spend.std() / len(people) ** 0.5)


def test_the_season_is_that_of_the_plan_and_moves_nothing_else():
    """Repeat purchases by month against those expected on the calendar, of 20,000 customers with and without a season."""
    season, plain = (draw_people(_plan(20_000, end=END, season=one)) for one in (True, False))
    assert [(p.arrival, p.rate, p.lifetime) for p in season[0]] == [
        (p.arrival, p.rate, p.lifetime) for p in plain[0]
    ]
    plan = _plan(20_000, end=END)
    months = np.array([plan.day(k).month for k in range(plan.days)])
    arrival, rate = (np.array([getattr(p, name) for p in season[0]]) for name in ("arrival", "rate"))
    end = np.minimum(arrival + np.array([p.lifetime for p in season[0]]) * YEAR, plan.days)
    for (_, who, when), speed in ((season, SEASON), (plain, dict.fromkeys(MONTHS, 1.0))):
        repeat, of = when[len(arrival) :], who[len(arrival) :]
        assert (repeat >= arrival[of]).all() and (repeat <= end[of] + 1e-6).all()
        bought = np.bincount(np.minimum(repeat.astype(int), plan.days - 1), minlength=plan.days)
        lived = [
            rate @ np.clip(np.minimum(end, k + 1) - np.maximum(arrival, k), 0, None) for k in range(plan.days)
        ]
        for month in MONTHS:
            expected = speed[month] * np.array(lived)[months == month].sum() / YEAR
            assert bought[months == month].sum() == pytest.approx(expected, abs=4 * expected**0.5)
    days = dict(zip(MONTHS, DAYS_OF_MONTH, strict=True))
    assert sum(SEASON[m] * days[m] for m in MONTHS) == pytest.approx(YEAR)


def test_the_truth_has_the_season(tmp_path, acme):
    factors = {str(month): round(value, 6) for month, value in SEASON.items()}
    written = json.loads((acme[0] / "truth" / "truth.json").read_text(encoding="utf-8"))
    assert written["season"] == {"month_factors": factors}
    truth = write_company(tmp_path, customers=500, end=SHORT, season=False)
    assert truth.season is None
    assert json.loads((tmp_path / "truth" / "truth.json").read_text(encoding="utf-8"))["season"] is None


# Defects


def test_at_least_thirty_are_described():
    assert len(DEFECTS) >= 30
    assert all(one.description and one.name == name for name, one in DEFECTS.items())
    assert {name for name, one in DEFECTS.items() if one.plant is None} == set(BEHAVIOUR)


@pytest.fixture(scope="module")
def clean_bytes(small):
    return {path: sheet.bytes() for path, sheet in small.sheets.items()}


@pytest.mark.parametrize("name", PLANTED)
def test_a_defect_changes_what_it_says_and_nothing_else(name, small, clean_bytes):
    sheets = copy.deepcopy(small.sheets)
    plan = _plan()
    hit = DEFECTS[name].plant(Exports(plan, sheets), plan.random(f"defect {name}"))
    planted = {path: sheet.bytes() for path, sheet in sheets.items()}
    assert clean_bytes.keys() <= planted.keys()
    changed = {path for path in planted if planted[path] != clean_bytes.get(path)}
    assert changed == hit.files
    rows = 0
    for path in changed:
        before, after = (Counter(files.get(path, b"").split(b"\n")[1:]) for files in (clean_bytes, planted))
        gone, come = before - after, after - before
        gone.pop(b"", None), come.pop(b"", None)
        rows += max(gone.total(), come.total())
    assert rows == hit.rows > 0
    assert sum(hit.minor.values()) == _added_money(clean_bytes, planted, changed)


def _added_money(before: dict[str, bytes], after: dict[str, bytes], changed: set[str]) -> int:
    """What changed in the sum of all amounts that can be read: refunds count against sales, unknown currencies not."""

    def total(files, path):
        if path not in files or path.startswith(("crm", "erp")):
            return 0
        till = path.startswith("till/")
        text = files[path].decode("cp1252" if till else "utf-8", errors="replace").splitlines()
        amount, sign = 0, -1 if path.endswith("refunds.csv") else 1
        for row in csv.DictReader(text, delimiter=";" if till else ","):
            cell = row["Betrag" if till else "amount"] or ""
            known = (row.get("currency") or row.get("Währung")) != "EUX"
            if known and cell.replace(",", ".").replace(".", "", 1).lstrip("-").isdigit() and len(cell) < 15:
                amount += sign * minor_units(cell) if not cell.startswith("--") else 0
        return amount

    return sum(total(after, path) - total(before, path) for path in changed)


def test_all_at_once_are_written_and_recorded(tmp_path):
    truth = write_company(tmp_path, customers=500, seed=7, end=SHORT, defects=PLANTED)
    written = json.loads((tmp_path / "truth" / "truth.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in written["defects"]] == PLANTED
    assert written["defects"] == truth.defects
    for one in truth.defects:
        assert one["rows"] > 0 and one["description"]
        assert all((tmp_path / file).exists() for file in one["files"])


def test_a_defect_hits_the_same_alone_and_among_file_defects(small):
    def where(names):
        sheets, plan = copy.deepcopy(small.sheets), _plan()
        exports = Exports(plan, sheets)
        return {name: DEFECTS[name].plant(exports, plan.random(f"defect {name}")).where for name in names}

    alone = where(["missing_amount"]) | where(["double_load"]) | where(["late_rows"])
    assert where(["missing_amount", "late_rows", "double_load"]) == alone


def test_price_change_raises_prices_and_leaves_buying_alone(small):
    plan = _plan(defects=("price_change",))
    other, columns = build(plan), ["order", "line", "day", "second", "account", "card", "qty", "sku"]
    assert other.lines[columns].equals(small.lines[columns])
    ratio = other.lines["unit"] / small.lines["unit"]
    later = small.lines["day"] >= plan.price_day
    assert (ratio[~later] == 1).all()
    # Each of the two prices is rounded to the cent, at the till once before the tax and once after: 2.3 cents of ten euros.
    raised = ratio[later & (small.lines["unit"] > 1000)].to_numpy()
    assert raised == pytest.approx(1 + PRICE_CHANGE, abs=0.0023)
    assert raised.mean() == pytest.approx(1 + PRICE_CHANGE, abs=1e-4)
    prices = other.sheets["erp/price_list.csv"].rows
    assert len(prices) == 2 * len(small.sheets["erp/price_list.csv"].rows)


def test_promotion_pulls_orders_forward(tmp_path, small):
    plan = _plan(defects=("promotion",))
    other = build(plan)
    one, two = (
        c.lines.drop_duplicates("purchase").set_index("purchase").sort_index() for c in (small, other)
    )
    assert (one["person"] == two["person"]).all()
    moved, first = one["day"] != two["day"], plan.promotion_day
    assert (moved == two["pulled"]).all() and moved.sum() > 10
    assert two["day"][moved].between(first, first + 13).all()
    known = one["person"].map(one.groupby("person")["day"].min())
    could = (one["day"].between(first + 14, first + 69)) & (known < first) & (one["person"] >= 0)
    assert not (moved & ~could).any()
    assert moved.sum() / could.sum() == pytest.approx(0.3, abs=4 * (0.21 / could.sum()) ** 0.5)
    truth = write_company(tmp_path, customers=500, seed=7, end=SHORT, defects=("promotion",))
    assert f"{moved.sum()} orders pulled forward" in truth.defects[0]["where"]
    (row,) = _read(tmp_path / "marketing" / "promotions.csv")
    assert (date.fromisoformat(row["start"]) - START).days == first


# What is refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"defects": ("duble_load",)}, "did you mean 'double_load'"),
        ({"currency": "JPY"}, "currency must be one of"),
        ({"customers": 100}, "at least 500"),
        ({"start": date(2022, 7, 2)}, "first of a month"),
        ({"end": date(2023, 6, 30)}, "at least 18 months"),
    ],
)
def test_refused(tmp_path, arguments, words):
    with pytest.raises(StudyError, match=words):
        write_company(tmp_path / "none", **arguments)
    assert not (tmp_path / "none").exists()


def test_command_line(tmp_path, capsys):
    assert main(["--list-defects"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(DEFECTS)
    words = [
        str(tmp_path / "a"),
        "--customers",
        "500",
        "--end",
        "2023-12-31",
        "--defects",
        "outage",
        "--no-season",
    ]
    assert main(words) == 0
    assert json.loads((tmp_path / "a" / "truth" / "truth.json").read_text())["season"] is None
    assert "outage" in capsys.readouterr().out
    assert (tmp_path / "a" / "shop" / "refunds.csv").exists()
    assert main([str(tmp_path / "b"), "--defects", "outtage"]) == 2
    assert "did you mean 'outage'" in capsys.readouterr().err


def test_another_home_currency(tmp_path):
    truth = write_company(tmp_path, customers=500, end=SHORT, currency="CHF")
    assert truth.totals["sold"]["net_shop"].keys() == {"CHF", "GBP"}
    assert {row["currency"] for row in _read(tmp_path / "erp" / "rates.csv")} == {"GBP"}
