"""The channels of the sample: who was won by which, what that cost, and that nothing of either is lost."""

import csv
from collections import Counter
from datetime import date

import ibis
import pytest
from companies import STUDY

from clvkit.acquisition import NO_CHANNEL, OUTSIDE, economics, outlay_of
from clvkit.customers import cells, customer_summary, spend_cells
from clvkit.fitting import fit_process, fit_spend
from clvkit.ledger.crosswalk import Crosswalk
from clvkit.models_section import ModelsSection
from clvkit.seen import Seen
from clvkit.simulate.sheet import minor_units


def rows_of(clean, name: str) -> list[dict]:
    with (clean.folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def found(clean):
    summary = customer_summary(clean.ledger.purchases, STUDY.as_of)
    models = ModelsSection(headline="bgnbd", sampled=(), time_unit="month")
    fit = fit_process("bgnbd", cells(summary), models, sample=False)
    amounts = fit_spend(spend_cells(summary), models, 100, sample=False)
    members = ibis.memtable(Crosswalk.load(clean.crosswalk).members)
    chosen, torn = Seen(clean.ledger, STUDY, members).channel(STUDY.acquisition.by)
    people = summary.to_pyarrow().to_pandas()
    people["channel"] = people["customer"].map(chosen)
    table = clean.ledger.tables[STUDY.acquisition.spend].to_pyarrow().to_pandas()
    outlay = outlay_of(table, "EUR", 100, STUDY.as_of)
    asked = {"as_of": STUDY.as_of, "minor_per_unit": 100, "days_per_year": 365.25, "seed": 1}
    return people, economics(fit, amounts, people, outlay, STUDY.value, torn=torn, **asked)


def test_spend_ties_to_the_marketing_table(clean, found):
    spend = found[1].outlay
    written, later = Counter(), 0
    for row in rows_of(clean, "marketing/spend.csv"):
        if row["month"] <= "2024-11":
            written[row["channel"]] += minor_units(row["amount"])
        else:
            later += minor_units(row["amount"])
    assert spend.by_channel == written and spend.rest == {"in other months": later}
    assert spend.total == sum(written.values()) + later
    assert [str(one) for one in spend.months] == ["2022-07", "2024-11"]


def test_customers_are_those_of_the_truth(clean, found):
    """By channel, who is in the truth; two records of one household, and whom no account names, are the rest."""
    people, made = found
    truth = Counter(
        row["acquired_by"]
        for row in rows_of(clean, "truth/persons.csv")
        if date.fromisoformat(row["first_day"]) <= STUDY.as_of
    )
    by = made.channels.set_index("channel")
    assert by.index.tolist() == sorted(truth)
    for name, number in truth.items():
        assert by.loc[name, "customers"] == pytest.approx(number, rel=0.06)
        assert by.loc[name, "cac"] == pytest.approx(
            made.outlay.by_channel[name] / 100 / by.loc[name, "customers"], abs=1e-9
        )
    holders = made.holders.set_index("group")
    assert holders["customers"].sum() == len(people) and holders.loc[OUTSIDE, "customers"] == 0
    assert holders.loc[NO_CHANNEL, "customers"] <= 0.02 * len(people) and made.torn < 0.01
    print(made.channels.to_string(), made.holders.to_string(), made.torn)
