"""Contracts known by their dates, by a snapshot, or by survivors; and the bills that they make up."""

from datetime import date

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clvkit.contracts_section import ContractsSection, billing
from clvkit.errors import DataError
from clvkit.ledger import build_ledger
from clvkit.ledger.bills import MONTHLY, Billing
from clvkit.ledger.contract_rows import of_survivors
from clvkit.ledger.section import LedgerSection

AS_OF = date(2024, 6, 30)


def section(path="contracts.csv", **contracts) -> LedgerSection:
    said = {"holds": "contracts", "path": path, "account_space": "bills"} | contracts
    return LedgerSection(sources={"contracts": said, "bills": {"bills_of": "contracts"}})


DATED = {"customer": "who", "start": "start", "end": "end", "fee": "fee", "plan": "plan"}
SNAPSHOT = {"customer": "who", "tenure": "months", "left": "left", "fee": "fee"}


def ledger(folder, text, contracts, billed=MONTHLY, as_of=AS_OF):
    (folder / "contracts.csv").write_text(text, encoding="utf-8")
    return build_ledger(contracts, as_of=as_of, currency="EUR", base=folder, today=AS_OF, billing=billed)


def bought(made) -> list[tuple]:
    frame = (
        made.purchases.select("customer", "day", "amount_minor")
        .order_by("customer", "day")
        .to_pyarrow()
        .to_pylist()
    )
    return [(row["customer"], row["day"].isoformat(), row["amount_minor"]) for row in frame]


class TestBills:
    def test_fall_due_from_the_first_day_to_the_last(self, tmp_path):
        text = "who,start,end,fee,plan\na,2024-03-31,,10.50,Basic\nb,2024-01-15,2024-03-14,8,Basic\nc,2024-06-30,,7,Basic\n"
        made = ledger(tmp_path, text, section(fields=DATED))
        assert bought(made) == [
            ("a", "2024-03-31", 1050), ("a", "2024-04-30", 1050), ("a", "2024-05-31", 1050), ("a", "2024-06-30", 1050),
            ("b", "2024-01-15", 800), ("b", "2024-02-15", 800), ("c", "2024-06-30", 700),
        ]  # fmt: skip
        assert made.totals["rows"] | {"in": 7, "used": 7} == made.totals["rows"]

    def test_of_an_end_that_is_the_first_day_without(self, tmp_path):
        text = "who,start,end,fee,plan\na,2024-01-15,2024-03-15,8,Basic\n"
        assert len(bought(ledger(tmp_path, text, section(fields=DATED)))) == 3
        (again := tmp_path / "again").mkdir()
        assert len(bought(ledger(again, text, section(fields=DATED), Billing(end_is_last=False)))) == 2

    def test_by_plan_and_not_of_trials(self, tmp_path):
        text = (
            "who,start,end,fee,plan\na,2022-06-30,,100,Yearly\nb,2024-05-01,,9,Basic\nc,2024-05-01,,0,Trial\n"
        )
        made = ledger(tmp_path, text, section(fields=DATED), Billing(1, (("Yearly", 12),), free=("Trial",)))
        assert [row[0] for row in bought(made)] == ["a", "a", "a", "b", "b"]

    def test_by_what_the_contract_says_itself(self, tmp_path):
        text = "who,start,end,fee,plan,every\na,2022-06-30,,100,Basic,annual\nb,2024-05-01,,9,Basic,\nc,2024-05-01,,9,Basic,now and then\n"
        own = section(fields=DATED | {"period": "every"})
        made = ledger(tmp_path, text, own, billing(ContractsSection(source="contracts")))
        assert [row[0] for row in bought(made)] == ["a", "a", "a", "b", "b"]
        assert made.totals["rows"]["quarantined"] == 1  # of c nobody knows when its bills fell due

    def test_after_the_as_of_date_are_later(self, tmp_path):
        text = "who,start,end,fee,plan\na,2024-01-15,,10,Basic\n"
        told = section(fields=DATED, extracted=AS_OF)
        made = ledger(tmp_path, text, told, as_of=date(2024, 3, 31))
        assert made.totals["rows"]["used"] == 3 and made.totals["rows"]["later"] == 3
        (again := tmp_path / "again").mkdir()  # nobody says that the extract is newer than the as-of date
        made = ledger(again, text, section(fields=DATED), as_of=date(2024, 3, 31))
        assert made.totals["rows"]["used"] == 3 and made.totals["rows"]["later"] == 0

    def test_without_a_fee_are_quarantined_and_counted(self, tmp_path):
        text = "who,start,end,fee,plan\na,2024-01-15,,10,Basic\nb,2024-01-15,,,Basic\n"
        made = ledger(tmp_path, text, section(fields=DATED))
        assert made.totals["rows"]["quarantined"] == 1
        assert made.quarantine["reason"].tolist() == ["amount_missing"]

    def test_in_another_currency(self, tmp_path):
        text = "who,start,end,fee,plan,money\na,2024-06-15,,1000,Basic,JPY\nb,2024-06-15,,10,Basic,EUR\n"
        (tmp_path / "rates.csv").write_text("date,currency,rate\n2024-06-15,JPY,0.006\n", encoding="utf-8")
        known = {
            "rates": {
                "holds": "rates",
                "path": "rates.csv",
                "fields": {n: n for n in ("date", "currency", "rate")},
            }
        }
        both = section(fields=DATED | {"currency": "money"}).model_dump(exclude_unset=True)
        made = ledger(tmp_path, text, LedgerSection(sources=both["sources"] | known))
        assert {code: sums["in"] for code, sums in made.totals["amount"].items()} == {"JPY": 1000, "EUR": 10}

    @given(st.integers(1, 72), st.integers(0, 1_000_000))
    @settings(max_examples=6, deadline=None)
    def test_spread_what_was_paid_and_add_up_to_it(self, tmp_path_factory, tenure, paid):
        folder = tmp_path_factory.mktemp("paid")
        text = f"who,months,left,fee,paid\na,{tenure},No,10,{paid / 100:.2f}\n"
        fields = section(fields=SNAPSHOT | {"paid": "paid"}, extracted=AS_OF)
        made = ledger(folder, text, fields)
        rows = bought(made)
        assert len(rows) == tenure and sum(row[2] for row in rows) == paid
        assert max(row[2] for row in rows) - min(row[2] for row in rows) <= 1


class TestSnapshot:
    TEXT = "who,months,left,fee\na,0,No,10\nb,3,No,10\nc,5,Yes,10\nd,2.5,No,10\ne,4,perhaps,10\n"

    def made(self, folder):
        return ledger(folder, self.TEXT, section(fields=SNAPSHOT, extracted=AS_OF))

    def test_has_the_dates_that_its_tenures_mean(self, tmp_path):
        rows = self.made(tmp_path).tables["contracts"].to_pyarrow().to_pandas().set_index("customer")
        assert [str(day)[:10] for day in rows["start"]] == ["2024-06-30", "2024-03-30", "2024-01-30"]
        assert (
            rows["end"].isna().tolist() == [True, True, False]
            and str(rows.loc["c", "end"])[:10] == "2024-06-29"
        )

    def test_says_what_it_cannot_read(self, tmp_path):
        check = next(one for one in self.made(tmp_path).checks if one.id == "ledger.table.contracts")
        assert check.value == 2 and "tenure is unreadable" in check.message

    def test_bills_a_month_of_tenure_each(self, tmp_path):
        counts = pd.Series([row[0] for row in bought(self.made(tmp_path))]).value_counts().to_dict()
        assert counts == {"b": 3, "c": 5}  # and nothing of a, whose first month is not over

    def test_needs_the_day_it_was_made(self):
        with pytest.raises(ValueError, match="extracted must say on which day"):
            section(fields=SNAPSHOT)

    def test_has_no_dates(self):
        with pytest.raises(ValueError, match="tenure stands instead of dates"):
            section(fields=SNAPSHOT | {"start": "start"}, extracted=AS_OF)


class TestSurvivors:
    def made(self, **changes):
        rows = pd.DataFrame({"age": [0, 1, 2], "survivors": [10, 6, 5], "plan": "Basic", "fee": 9.0, "file_no": 0,
                             "row": [2, 3, 4]}).assign(**changes)  # fmt: skip
        return of_survivors(rows, date(2024, 1, 1), 12, "survivors")

    def test_become_contracts_of_those_who_began(self):
        made = self.made()
        ends = made.groupby(made["end"].dt.strftime("%Y-%m-%d").fillna("runs")).size().to_dict()
        assert ends == {"2022-12-31": 4, "2023-12-31": 1, "runs": 5} and (made["start"] == "2022-01-01").all()
        assert made["customer"].is_unique

    @pytest.mark.parametrize(
        "changes, said",
        [
            ({"survivors": [10, 6, 7]}, "become more: 6 at age 1, 7 at age 2"),
            ({"age": [0, 1, 3]}, "one row for each age from 0 on"),
            ({"survivors": [10, 6.5, 5]}, "counts of customers"),
        ],
    )
    def test_that_cannot_be(self, changes, said):
        with pytest.raises(DataError, match=said):
            self.made(**changes)


@pytest.mark.parametrize(
    "contracts, bills, said",
    [
        ({"fields": {"customer": "who", "start": "start", "end": "end"}}, "contracts", "has no field fee"),
        ({"fields": DATED, "account_space": None}, "contracts", "account_space must be 'bills'"),
        ({"fields": DATED}, "contract", "holds no contracts; did you mean 'contracts'"),
    ],
)
def test_refused(contracts, bills, said):
    source = {"holds": "contracts", "path": "c.csv", "account_space": "bills"} | contracts
    with pytest.raises(ValueError, match=said):
        LedgerSection(sources={"contracts": source, "bills": {"bills_of": bills}})
