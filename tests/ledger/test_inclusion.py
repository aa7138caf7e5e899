"""Rules of inclusion: who is labelled by what, that nobody is lost, and what a rule may not do."""

from datetime import date

import ibis
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from clvkit.errors import DataError, StudyError
from clvkit.ledger.inclusion import InclusionSection, apply, funnel
from clvkit.study_document import Document
from clvkit.study_messages import InvalidStudy, broken_rule

COLUMNS = ["customer", "segment", "frequency", "recency_days", "T_days", "spend_minor", "first_minor", "identity_confidence"]  # fmt: skip
ROWS = [
    ("ann", "web", 0, 0, 400, 0, 1000, 1.0),
    ("bob", "web", 3, 90, 300, 5000, 2000, 1.0),
    ("cyd", "staff", 9, 300, 310, 99000, 1000, 1.0),
    ("dan", "web", 0, 0, 20, 0, 3000, 1.0),
    ("eve", None, 1, 5, 200, 700, 300, 0.4),
    ("t1", "web", 5, 30, 10, 50, 10, 1.0),
]


def summary(rows=ROWS):
    frame = pd.DataFrame(rows, columns=COLUMNS).assign(first_day=date(2024, 1, 1))
    return ibis.memtable(frame, schema={"customer": "string", "segment": "string", "frequency": "int64", "recency_days": "int64",
                                        "T_days": "int64", "spend_minor": "int64", "first_minor": "int64",
                                        "identity_confidence": "float64", "first_day": "date"})  # fmt: skip


SECTION = InclusionSection(
    min_history_days={"at_least": 30},
    min_purchases={"at_least": 2, "below": "include"},
    min_identity_confidence={"at_least": 0.8, "below": "segment_average"},
    exclude_accounts={"test": ["t1"], "fraud": []},
    exclude_where={"staff": {"segment": ["staff"]}},
)


def labels(table):
    return {r["customer"]: (r["inclusion"], r["treatment"]) for r in table.to_pyarrow().to_pylist()}


def test_the_first_rule_that_fits_counts_and_labels_come_last():
    assert labels(apply(summary(), SECTION)) == {
        "ann": ("min_purchases", "include"),
        "bob": (None, "include"),
        "cyd": ("staff", "exclude"),
        "dan": ("min_history_days", "segment_average"),
        "eve": ("min_identity_confidence", "segment_average"),
        "t1": ("test", "exclude"),
    }


def test_the_order_can_be_declared():
    order = (
        "min_history_days",
        "exclude_accounts",
        "exclude_where",
        "min_identity_confidence",
        "min_purchases",
    )
    section = SECTION.model_copy(update={"order": order})
    assert labels(apply(summary(), section))["t1"] == ("min_history_days", "segment_average")
    steps = list(funnel(apply(summary(), section), section)["step"])
    assert steps == ["all customers", "min_history_days", "test", "fraud", "staff", "min_identity_confidence",
                     "min_purchases", "modelled"]  # fmt: skip
    with pytest.raises(ValidationError, match="each of the 6 rules once"):
        InclusionSection(order=("min_purchases",))


def test_the_funnel_adds_up_and_excluded_customers_keep_their_revenue():
    table = apply(summary(), SECTION)
    steps = funnel(table, SECTION).set_index("step")
    assert list(steps["customers"]) == [6, 1, 0, 1, 1, 1, 1, 2]
    assert steps.loc["staff", "revenue_minor"] == 100000
    assert steps.loc["modelled", "revenue_minor"] == 8000
    everybody = table.aggregate(money=(table.spend_minor + table.first_minor).sum()).to_pyarrow().to_pylist()
    assert everybody == [{"money": 112060}] and steps.loc["all customers", "revenue_minor"] == 112060
    assert table.count().to_pyarrow().as_py() == len(ROWS)


customers = st.tuples(
    st.sampled_from(["web", "staff", "till", None]), st.integers(0, 5), st.integers(0, 400), st.integers(0, 10**6),
    st.integers(0, 10**5), st.floats(0, 1),
)  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(st.lists(customers, min_size=1, max_size=30), st.sampled_from(["include", "segment_average"]))
def test_what_leaves_at_each_step_and_what_is_left_make_up_what_came_in(drawn, below):
    rows = [(f"c{i}", segment, x, min(x, days), days, spend if x else 0, first, sure)
            for i, (segment, x, days, spend, first, sure) in enumerate(drawn)]  # fmt: skip
    section = SECTION.model_copy(update={"exclude_accounts": {"test": ("c1", "c5")}})
    section = section.model_copy(
        update={"min_purchases": section.min_purchases.model_copy(update={"below": below})}
    )
    steps = funnel(apply(summary(rows), section), section)
    for measure, left in (("customers", "customers_left"), ("purchases", "purchases_left"), ("revenue_minor", "revenue_left_minor")):  # fmt: skip
        leaving = steps[measure].where(steps["treatment"].isin(["exclude", "segment_average"]), 0)
        assert (steps[left].shift(1).fillna(steps[left].iloc[0]) - leaving == steps[left]).all()
        assert steps[left].iloc[-1] == steps[measure].iloc[-1]
    assert steps["customers"].iloc[0] == len(rows)


def test_customers_who_did_not_return_cannot_be_dropped():
    values = {"min_purchases": {"at_least": 2, "below": "exclude"}}
    with pytest.raises(ValidationError) as caught:
        InclusionSection.model_validate(values)
    # a study shows it as a StudyError that says why, and what to write instead
    problem = broken_rule(InclusionSection, caught.value.errors()[0], Document(values, {}))
    error = InvalidStudy([problem])
    assert isinstance(error, StudyError) and error.exit_code == 2
    assert "did not come back" in str(error) and "segment_average" in str(error)
    assert (
        InclusionSection(min_purchases={"at_least": 1, "below": "exclude"}).min_purchases.below == "exclude"
    )
    with pytest.raises(ValidationError, match="must not exclude by frequency"):
        InclusionSection(exclude_where={"once": {"frequency": ["0"]}})


def test_accounts_are_looked_up_where_customers_have_other_names():
    accounts = ibis.memtable({"account": ["t1", "b7"], "customer": ["ann", "bob"]})
    found = labels(apply(summary(), InclusionSection(exclude_accounts={"test": ["t1"]}), accounts))
    assert found["ann"] == ("test", "exclude") and found["t1"] == (None, "include")


def test_null_and_several_columns():
    section = InclusionSection(exclude_where={"unknown": {"segment": [None], "identity_confidence": ["0.4"]}})
    assert [c for c, (rule, _) in labels(apply(summary(), section)).items() if rule] == ["eve"]
    section = InclusionSection(exclude_where={"staff": {"departement": ["staff"]}})
    with pytest.raises(DataError, match="'departement', which the customer summary does not have"):
        apply(summary(), section)
    assert set(labels(apply(summary(), InclusionSection())).values()) == {(None, "include")}
