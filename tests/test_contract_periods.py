"""Billing periods of single contracts, changes of them, terms, notice and contracts side by side: by hand."""

from datetime import date

import pandas as pd
import pytest

from clvkit.contract_calendar import read_months
from clvkit.contract_checks import contract_checks
from clvkit.contracts import Contracts, contracts
from clvkit.contracts_section import ContractsSection

AS_OF = date(2024, 6, 30)
COLUMNS = ["contract", "customer", "start", "end", "plan", "fee", "period", "status"]


def made(*rows, **section) -> Contracts:
    """Contracts of rows ``(contract, customer, start, end)`` and perhaps ``plan, fee, period, status``."""
    filled = [(*row, *[None] * (len(COLUMNS) - len(row))) for row in rows]
    return contracts(pd.DataFrame(filled, columns=COLUMNS), ContractsSection(source="c", **section), AS_OF)


def only(found: Contracts) -> pd.Series:
    assert len(found.relations) == 1
    return found.relations.iloc[0]


def history(found: Contracts) -> list[tuple]:
    columns = ["since", "period_months", "renewals", "ended", "entry"]
    rows = found.histories[columns].astype(
        {"since": str, "period_months": int, "renewals": int, "entry": int}
    )
    return [tuple(row) for row in rows.itertuples(index=False)]


@pytest.mark.parametrize(
    "text, months",
    [("month", 1), ("Month-to-month", 1), ("One year", 12), ("Two year", 24), ("half_year", 6), ("Annual", 12),
     ("12", 12), ("24.0", 24), ("3 months", 3), ("2 years", 24), ("quarterly", 3), (" YEAR ", 12)],
)  # fmt: skip
def test_periods_are_read_in_many_words(text, months):
    assert read_months(pd.Series([text])).tolist() == [months]


@pytest.mark.parametrize("text", ["fortnight", "0", "1.5", "500", "weekly", ""])
def test_what_is_no_period_is_set_aside_with_a_reason(text):
    found = made(("C1", "a", "2024-01-01", None, "p", 1.0, text), ("C2", "b", "2024-01-01", None))
    assert list(found.set_aside["reason"]) == ["unreadable_period"] and list(found.relations["customer"]) == [
        "b"
    ]
    (check,) = contract_checks(found, ContractsSection(source="c"), AS_OF)
    assert check.id == "contracts.unreadable_period" and "C1" in check.message


def test_a_contract_goes_before_its_plan_and_the_plan_before_all():
    found = made(
        ("C1", "a", "2022-01-15", None, "Annual", 120.0),
        ("C2", "b", "2022-01-15", None, "Basic", 10.0),
        ("C3", "c", "2022-01-15", None, "Annual", 200.0, "two years"),
        periods={"Annual": "year"},
    )
    assert list(found.rows["period_months"]) == [12, 1, 24]
    assert list(found.relations["renewals"]) == [2, 29, 1]  # on 30 June 2024
    assert [str(day.date()) for day in found.relations["due"]] == ["2025-01-15", "2024-07-15", "2026-01-15"]
    assert found.periods == (1, 12, 24) and found.cells(period_months=12)["n"].tolist() == [1]


def test_a_plan_that_nobody_has_is_said():
    section = ContractsSection(source="c", periods={"Anual": "year"})
    found = made(("C1", "a", "2022-01-15", None, "Annual", 120.0), periods={"Anual": "year"})
    (_, check, sounds) = contract_checks(found, section, AS_OF)
    assert check.id == "contracts.periods" and "there are Annual" in check.message
    assert (
        sounds.id == "contracts.plan_periods"
        and "'Annual', and are taken to be billed monthly" in sounds.message
    )
    right = ContractsSection(source="c", periods={"Annual": "year"})
    asked = contract_checks(
        made(("C1", "a", "2022-01-15", None, "Annual", 120.0), periods={"Annual": "year"}), right, AS_OF
    )
    assert not [one for one in asked if one.id == "contracts.plan_periods"]


class TestChangeOfPeriod:
    monthly_then_yearly = (
        ("C1", "a", "2022-01-01", "2022-07-31", "Basic", 10.0, "month"),
        ("C2", "a", "2022-08-01", None, "Annual", 100.0, "year"),
    )

    def test_each_stretch_counts_in_its_own_period(self):
        found = made(*self.monthly_then_yearly)
        # seven paid months, each followed by another period: seven renewals, the last of which is the change
        assert history(found) == [("2022-01-01", 1, 7, False, 0), ("2022-08-01", 12, 1, False, 0)]
        one = only(found)
        assert (one["renewals"], one["period_months"], one["switches"]) == (1, 12, 1)
        assert one["start"] == pd.Timestamp("2022-01-01") and one["due"] == pd.Timestamp("2024-08-01")
        (_, check) = contract_checks(found, ContractsSection(source="c"), AS_OF)
        assert check.id == "contracts.switches" and check.value == 1

    def test_leaving_counts_where_it_happened(self):
        first, second = self.monthly_then_yearly
        found = made(first, (*second[:3], "2023-07-31", *second[4:]))
        assert history(found) == [("2022-01-01", 1, 7, False, 0), ("2022-08-01", 12, 0, True, 0)]

    def test_side_by_side_the_longest_decides_and_fees_are_those_of_its_period(self):
        found = made(
            ("C1", "a", "2023-01-01", None, "Annual", 120.0, "year"),
            ("C2", "a", "2023-03-01", None, "Extra", 5.0, "month"),
        )
        one = only(found)
        assert history(found) == [("2023-01-01", 12, 1, False, 0)]
        assert one["fee"] == 120.0 + 12 * 5.0 and one["overlaps"] == 1 and one["switches"] == 0

    def test_once_the_longer_is_cancelled_the_shorter_counts(self):
        found = made(
            ("C1", "a", "2023-01-01", "2024-12-31", "Annual", 120.0, "year"),
            ("C2", "a", "2023-03-01", None, "Extra", 5.0, "month"),
        )
        one = only(found)
        assert (one["period_months"], one["fee"]) == (1, 5.0)
        assert history(found) == [("2023-01-01", 12, 1, False, 0), ("2024-06-30", 1, 0, False, 0)]

    def test_one_period_written_twice_is_one_history(self):
        same = [(*row[:6], None) for row in self.monthly_then_yearly]
        assert history(made(*same)) == [("2022-01-01", 1, 29, False, 0)]


class TestFutureEnds:
    prepaid = ("C1", "a", "2023-01-01", "2024-12-31", "Two years", 200.0, "two years")

    def test_a_term_is_over_when_its_renewal_is_due(self):
        one = only(made(self.prepaid, future_end="renewal_due"))
        assert pd.isna(one["announced"]) and one["due"] == pd.Timestamp("2025-01-01") and one["renewals"] == 0

    def test_otherwise_the_end_is_a_cancellation(self):
        assert only(made(self.prepaid))["announced"] == pd.Timestamp("2024-12-31")

    def test_ends_that_look_like_terms_are_asked_about(self):
        rows = [(f"C{k}", f"k{k}", "2024-01-01", "2024-12-31", "p", 1.0, "year") for k in range(10)]
        checks = {
            check.id: check for check in contract_checks(made(*rows), ContractsSection(source="c"), AS_OF)
        }
        assert checks["contracts.future_end"].status == "review"


class TestNotice:
    def test_what_is_due_within_it_is_decided(self):
        found = made(
            ("C1", "a", "2024-01-15", None),  # 15 July, 15 August and 15 September come before 28 September
            ("C2", "b", "2024-01-15", "2024-08-14"),  # has said so
            ("C3", "c", "2024-01-15", "2024-12-14"),  # has said so early
            ("C4", "d", "2023-01-15", "2023-12-14"),
            notice_days=90,
        )
        assert list(found.relations["renewals"]) == [5, 5, 5, 10]
        assert list(found.relations["decided"]) == [8, 6, 8, 10]
        assert list(found.relations["ended"]) == [False, False, False, True]
        assert [(m, e) for _, _, m, e, _ in history(found)] == [(8, False), (6, True), (8, False), (10, True)]

    def test_without_it_nothing_ahead_is_known(self):
        found = made(("C1", "a", "2024-01-15", None), ("C2", "b", "2024-01-15", "2024-08-14"))
        assert history(found) == [("2024-01-15", 1, 5, False, 0)] * 2

    def test_notice_that_nobody_ever_gives_is_asked_about(self):
        rows = [(f"C{k}", f"k{k}", "2024-01-15", "2024-03-14" if k % 2 else None) for k in range(200)]
        section = {"notice_days": 90}
        checks = {
            c.id: c
            for c in contract_checks(made(*rows, **section), ContractsSection(source="c", **section), AS_OF)
        }
        assert checks["contracts.notice"].status == "review"
        rows += [(f"D{k}", f"d{k}", "2024-01-15", "2024-08-14") for k in range(30)]
        checks = {
            c.id: c
            for c in contract_checks(made(*rows, **section), ContractsSection(source="c", **section), AS_OF)
        }
        assert "contracts.notice" not in checks


def test_a_pause_goes_on_and_is_not_paid():
    found = made(
        ("C1", "a", "2024-01-01", "2024-02-29", "Basic", 10.0),
        ("C2", "a", "2024-03-21", None, "Basic", 10.0),
        ("C3", "b", "2024-01-01", None, "Basic", 10.0, None, "Paused"),
    )
    assert list(found.relations["pauses"]) == [1, 0] and list(found.relations["paused"]) == [False, True]
    assert list(found.relations["fee"]) == [10.0, 0.0] and not found.relations["ended"].any()


class TestSideBySide:
    def test_two_plans_are_summed_and_said(self):
        found = made(
            ("C1", "a", "2024-01-01", None, "Basic", 10.0), ("C2", "a", "2024-02-01", None, "Extra", 5.0)
        )
        (_, check) = contract_checks(found, ContractsSection(source="c"), AS_OF)
        assert only(found)["fee"] == 15.0 and check.id == "contracts.overlaps" and check.status == "info"

    def test_the_same_twice_is_asked_about(self):
        found = made(
            ("C1", "a", "2024-01-01", None, "Basic", 10.0), ("C2", "a", "2024-02-01", None, "Basic", 10.0)
        )
        (_, check) = contract_checks(found, ContractsSection(source="c"), AS_OF)
        assert check.status == "review" and check.value == 1

    def test_one_after_the_other_is_neither(self):
        found = made(
            ("C1", "a", "2024-01-01", "2024-01-31", "Basic", 10.0),
            ("C2", "a", "2024-02-01", None, "Basic", 10.0),
        )
        assert [check.id for check in contract_checks(found, ContractsSection(source="c"), AS_OF)] == [
            "contracts.rows"
        ]


def test_saving_loses_nothing(tmp_path):
    found = made(
        *TestChangeOfPeriod.monthly_then_yearly, ("T1", "b", "2024-01-01", "2024-01-30", "Basic", 0.0)
    )
    found.save(tmp_path)
    again = Contracts.load(tmp_path)
    for name in ("rows", "relations", "histories", "trials"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(found, name))
    assert len(again.trials) == 1
