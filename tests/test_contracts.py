"""Contracts as they are written, and the relations they make up."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from study_files import PARAMS

from clvkit.contract_checks import contract_checks
from clvkit.contracts import Contracts, contracts, months_between
from clvkit.contracts_section import ContractsSection
from clvkit.errors import StudyError
from clvkit.study import load_study, study_from_resolved

AS_OF = date(2024, 6, 30)
MONTHLY = ContractsSection(source="contracts")


def made(*rows, section=MONTHLY) -> Contracts:
    """Contracts of rows ``(contract, customer, start, end)`` and perhaps ``plan, fee, status, reason``."""
    names = ["contract", "customer", "start", "end", "plan", "fee", "status", "reason"]
    filled = [(*row, *[None] * (len(names) - len(row))) for row in rows]
    return contracts(pd.DataFrame(filled, columns=names), section, AS_OF)


def only(found: Contracts) -> pd.Series:
    assert len(found.relations) == 1
    return found.relations.iloc[0]


class TestRenewals:
    @pytest.mark.parametrize(
        "start, end, renewals",
        [
            ("2024-01-15", "2024-02-14", 0),  # left at the first renewal
            ("2024-01-15", "2024-03-14", 1),
            ("2024-01-15", "2024-03-20", 2),  # in the third month, which was paid
            ("2024-01-15", "2024-01-20", 0),
            (
                "2024-01-31",
                "2024-02-28",
                0,
            ),  # a month from the 31st is over on the last of February, which is the 29th
            ("2024-01-31", "2024-03-30", 1),
        ],
    )
    def test_of_ended_contracts(self, start, end, renewals):
        one = only(made(("C1", "a", start, end)))
        assert one["ended"] and one["renewals"] == renewals

    @pytest.mark.parametrize(
        "start, renewals",
        [("2024-06-30", 0), ("2024-05-31", 1), ("2024-05-30", 1), ("2024-06-01", 0), ("2023-06-30", 12)],
    )
    def test_of_running_contracts(self, start, renewals):
        one = only(made(("C1", "a", start, None)))
        assert not one["ended"] and one["renewals"] == renewals

    def test_by_the_quarter_and_by_the_year(self):
        rows = ("C1", "a", "2022-01-01", "2023-12-31"), ("C2", "b", "2022-01-01", None)
        quarterly = made(*rows, section=ContractsSection(source="contracts", period="quarter")).relations
        yearly = made(*rows, section=ContractsSection(source="contracts", period="year")).relations
        assert list(quarterly["renewals"]) == [7, 9] and list(yearly["renewals"]) == [1, 2]

    def test_the_first_day_after_is_not_the_last(self):
        row = ("C1", "a", "2024-01-15", "2024-03-15")
        late = ContractsSection(source="contracts", end_is="first_day_after")
        assert only(made(row))["renewals"] == 2 and only(made(row, section=late))["renewals"] == 1

    @given(
        start=st.dates(date(2000, 1, 1), date(2023, 1, 1)), months=st.integers(0, 60), more=st.integers(0, 27)
    )
    @settings(max_examples=200, deadline=None)
    def test_whole_months_are_those_of_the_calendar(self, start, months, more):
        on = pd.Timestamp(start) + pd.DateOffset(months=months)
        two = pd.Series([pd.Timestamp(start)] * 2)
        found = months_between(two, pd.Series([on, on + pd.Timedelta(days=more)]))
        assert found[0] == months and found[1] - months in (0, 1)
        if months:
            before = months_between(two[:1], pd.Series([on - pd.Timedelta(days=1)]))
            assert before[0] == months - 1

    def test_what_was_made_before_ends_were_recorded(self):
        section = ContractsSection(source="contracts", observed_from=date(2024, 1, 1))
        found = made(
            ("C1", "a", "2023-09-01", None),
            ("C2", "b", "2024-02-01", None),
            ("C3", "c", "2023-09-15", "2024-03-14"),
            section=section,
        ).relations  # fmt: skip
        assert list(found["entry"]) == [4, 0, 3] and list(found["renewals"]) == [9, 4, 5]


class TestRelations:
    def test_overlapping_and_following_contracts_are_one_relation(self):
        found = made(
            ("C1", "a", "2023-01-01", "2023-06-30", "basic", 10.0),
            ("C2", "a", "2023-06-01", "2023-12-31", "plus", 20.0),
            ("C3", "a", "2024-01-15", None, "plus", 20.0),
        )
        one = only(found)
        assert (one["contracts"], one["changes"], one["plan"], one["last_plan"]) == (3, 1, "basic", "plus")
        assert not one["ended"] and one["renewals"] == 17 and one["fee"] == 20.0

    def test_a_contract_much_later_is_a_win_back(self):
        found = made(("C1", "a", "2023-01-01", "2023-03-31"), ("C2", "a", "2023-09-01", None)).relations
        assert list(found["relation"]) == [1, 2] and list(found["ended"]) == [True, False]

    def test_a_contract_inside_a_longer_one_does_not_end_it(self):
        found = made(
            ("C1", "a", "2022-01-01", None),
            ("C2", "a", "2022-03-01", "2022-04-30"),
            ("C3", "a", "2024-01-01", None),
        )
        one = only(found)
        assert not one["ended"] and one["start"] == pd.Timestamp("2022-01-01") and one["renewals"] == 29

    def test_an_end_in_the_future_has_not_happened(self):
        found = made(("C1", "a", "2024-01-01", "2024-12-31"))
        one = only(found)
        assert not one["ended"] and pd.isna(one["end"]) and one["announced"] == pd.Timestamp("2024-12-31")
        (check,) = [one for one in contract_checks(found, MONTHLY, AS_OF) if one.id == "contracts.announced"]
        assert check.value == 1 and "announced for a later day" in check.message

    def test_contracts_that_begin_later_are_not_known_yet(self):
        found = made(("C1", "a", "2024-07-01", None), ("C2", "b", "2024-06-30", None))
        assert found.later == 1 and list(found.relations["customer"]) == ["b"]

    def test_contracts_of_one_customer_side_by_side_are_one_relation(self):
        found = made(
            ("C1", "a", "2024-01-01", None, "basic", 10.0), ("C2", "a", "2024-02-01", None, "plus", 5.0)
        )
        assert only(found)["contracts"] == 2 and only(found)["fee"] == 15.0

    def test_the_order_of_rows_does_not_matter(self):
        rows = [
            (f"C{i}", f"k{i % 7}", f"2023-{1 + i % 12:02d}-10", None if i % 3 else f"2024-{1 + i % 5:02d}-09")
            for i in range(40)
        ]
        one, other = made(*rows), made(*rows[::-1])
        pd.testing.assert_frame_equal(one.relations, other.relations)
        pd.testing.assert_frame_equal(one.cells(), other.cells())


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        "reason, rows",
        [
            ("ends_before_it_starts", [("C1", "a", "2024-02-01", "2024-01-31")]),
            ("contradicts_itself", [("C1", "a", "2024-01-01", None), ("C1", "a", "2024-01-01", "2024-02-29")]),
            (
                "two_statuses",
                [("C1", "a", "2024-01-01", None, "basic", 1.0, "active"), ("C1", "a", "2024-01-01", None, "basic", 1.0, "cancelled")],
            ),
            ("status_contradicts_end", [("C1", "a", "2024-01-01", "2024-02-29", "basic", 1.0, "active")]),
            ("status_contradicts_end", [("C1", "a", "2024-01-01", None, "basic", 1.0, "Cancelled ")]),
            ("no_customer", [("C1", None, "2024-01-01", None)]),
        ],
    )  # fmt: skip
    def test_each_has_its_own_reason_and_message(self, reason, rows):
        found = made(*rows, ("C9", "z", "2024-01-01", None))
        assert set(found.set_aside["reason"]) == {reason} and list(found.relations["customer"]) == ["z"]
        (check,) = contract_checks(found, MONTHLY, AS_OF)
        assert check.id == f"contracts.{reason}" and check.status == "review" and "C1" in check.message

    def test_rows_that_say_the_same_count_once(self):
        found = made(("C1", "a", "2024-01-01", None), ("C1", "a", "2024-01-01", None))
        assert found.repeated == 1 and only(found)["contracts"] == 1

    def test_nothing_wrong_is_said(self):
        (check,) = contract_checks(made(("C1", "a", "2024-01-01", None)), MONTHLY, AS_OF)
        assert check.status == "pass"

    def test_ends_on_the_day_of_the_start_are_asked_about(self):
        rows = [(f"C{d}", f"k{d}", f"2024-01-{d:02d}", f"2024-03-{d:02d}") for d in range(1, 20)]
        (_, check) = contract_checks(made(*rows), MONTHLY, AS_OF)
        assert check.id == "contracts.end_is" and check.status == "review"
        late = ContractsSection(source="contracts", end_is="first_day_after")
        assert [one.status for one in contract_checks(made(*rows, section=late), late, AS_OF)] == ["pass"]

    def test_every_row_is_in_one_state(self):
        rng, rows = np.random.default_rng(0), []
        for _i in range(300):
            start = pd.Timestamp("2022-01-01") + pd.Timedelta(days=int(rng.integers(0, 1000)))
            end = None if rng.random() < 0.5 else start + pd.Timedelta(days=int(rng.integers(-20, 500)))
            status = rng.choice([None, "active", "ended"], p=[0.8, 0.1, 0.1])
            rows.append((f"C{rng.integers(0, 250)}", f"k{rng.integers(0, 90)}", start, end, "p", 1.0, status))
        found = made(*rows, *rows[:10])
        assert len(found.rows) + len(found.set_aside) + found.later + found.repeated == 310
        assert found.relations["contracts"].sum() == len(found.rows)


def test_cells_count_relations_and_leave_out_what_could_not_be_seen():
    section = ContractsSection(source="contracts", observed_from=date(2024, 1, 1))
    found = made(
        ("C1", "a", "2023-09-01", None, "basic"),
        ("C2", "b", "2023-09-01", None, "plus"),
        ("C3", "c", "2023-05-01", "2023-08-31", "basic"),  # ended before ends were recorded
        section=section,
    )
    cells = found.cells()
    assert cells.to_dict("records") == [{"renewals": 9, "ended": False, "entry": 4, "n": 2}]
    assert list(found.cells("plan")["segment"]) == ["basic", "plus"]


def test_saving_loses_nothing(tmp_path):
    found = made(("C1", "a", "2024-01-01", None, "basic", 9.99), ("C2", "b", "2024-02-01", "2024-01-01"))
    found.save(tmp_path)
    again = Contracts.load(tmp_path)
    pd.testing.assert_frame_equal(again.relations, found.relations)
    pd.testing.assert_frame_equal(again.set_aside, found.set_aside)
    assert again.on_anniversary == found.on_anniversary


class TestSection:
    @pytest.mark.parametrize(
        "said, message",
        [
            ("memberships", "must be a source that holds contracts"),
            ("contracts", "has no field end: without it nobody could be seen to leave"),
        ],
    )
    def test_what_cannot_be_used_is_refused(self, said, message):
        fields = {"contract": "contract_no", "customer": "customer_no", "start": "start"}
        study = load_study(PARAMS / "acme.yml")
        assert study.contracts.source == "contracts"
        resolved = study.resolved()
        resolved["contracts"]["source"] = said
        resolved["ledger"]["sources"]["contracts"]["fields"] = fields
        with pytest.raises(StudyError, match=message):
            study_from_resolved(resolved, base=study.base)

    def test_whose_the_contracts_are_must_be_said(self):
        resolved = load_study(PARAMS / "acme.yml").resolved()
        resolved["ledger"]["sources"]["contracts"]["account_space"] = None
        with pytest.raises(StudyError, match="has no account_space: nobody knows whose accounts"):
            study_from_resolved(resolved, base=PARAMS)


def test_what_else_is_said_of_a_contract_goes_with_the_relation_as_it_began():
    rows = pd.DataFrame({
        "contract": ["C1", "C2"], "customer": ["a", "a"], "start": ["2024-01-01", "2024-02-01"],
        "end": ["2024-01-31", None], "about_channel": [None, "web"],
    })  # fmt: skip
    found = contracts(rows, MONTHLY, AS_OF)
    assert list(found.rows["about_channel"]) == [None, "web"]
    assert found.relations["about_channel"].isna().tolist() == [True]  # later is not known at the start
