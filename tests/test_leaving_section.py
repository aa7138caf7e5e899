"""What a study may say of drivers, protected names and strata."""

from types import SimpleNamespace

import pytest

from clvkit.contracts_section import ContractsSection
from clvkit.leaving_section import known_names, require_drivers
from clvkit.rules import RuleBroken


def source(holds, fields=(), about=(), accounts=()):
    return SimpleNamespace(holds=holds, fields=dict.fromkeys(fields, "x"), about=dict.fromkeys(about, "x"), accounts=dict.fromkeys(accounts, "x"))  # fmt: skip


LEDGER = SimpleNamespace(
    by_name=lambda: {
        "deals": source("contracts", ("customer", "start", "end", "plan"), ("term", "gender")),
        "people": source("customers", ("region",), ("channel", "senior"), ("deals",)),
        "unlinked": source("customers", (), ("nobody_knows",)),
    }
)


def refused(**said):
    with pytest.raises(RuleBroken) as broken:
        require_drivers(ContractsSection(source="deals", **said), LEDGER, "deals")
    return str(broken.value), broken.value.at


def test_names_of_contracts_and_of_customers_are_known():
    assert known_names(LEDGER, "deals") == ["channel", "gender", "region", "senior", "term"]
    said = {
        "drivers": ("plan", "term", "channel", "region"),
        "stratify_by": ("plan",),
        "protected": ("gender", "senior"),
    }
    require_drivers(ContractsSection(source="deals", **said), LEDGER, "deals")


@pytest.mark.parametrize("name", ["gender", "senior"])
def test_what_is_protected_is_no_driver_and_no_segment(name):
    text, at = refused(drivers=("plan", name), protected=("gender", "senior"))
    assert f"names {name!r}, which contracts.protected keeps out of every model" in text and at == (
        "drivers",
        1,
    )
    text, at = refused(segment_by=name, protected=("gender", "senior"))
    assert "keeps out of every model" in text and at == "segment_by"


@pytest.mark.parametrize(
    ("said", "says", "at"),
    [
        ({"drivers": ("chanel",)}, "did you mean 'channel'?", ("drivers", 0)),
        ({"drivers": ("fee",)}, "neither the source 'deals' nor a customers table has", ("drivers", 0)),
        ({"drivers": ("nobody_knows",)}, "neither the source", ("drivers", 0)),
        ({"drivers": ("plan", "plan")}, "twice", ("drivers", 1)),
        ({"protected": ("gendr",)}, "did you mean 'gender'?", ("protected", 0)),
        ({"protected": ("plan",)}, "neither the source", ("protected", 0)),
        (
            {"drivers": ("plan",), "stratify_by": ("term",)},
            "must be among the drivers (got 'term')",
            ("stratify_by", 0),
        ),
    ],
)
def test_slips_are_told(said, says, at):
    text, place = refused(**said)
    assert says in text and place == at
