"""The UCI Online Retail file through params/online_retail.yml: every line accounted for, no giant mistake on top."""

import os
from pathlib import Path

import pytest

from clvkit.ledger import build_ledger
from clvkit.study import load_study

STUDY = Path(__file__).parents[1] / "params" / "online_retail.yml"
LINES = 541_909

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ledger():
    folder = os.environ.get("CLVKIT_SHARED_DATA")
    if folder is None:
        pytest.skip("set CLVKIT_SHARED_DATA to the folder that holds online_retail_2010_2011.csv.gz")
    study = load_study(STUDY)
    section = study.ledger.model_copy(update={"path": Path(study.ledger.path).name})
    ledger = build_ledger(section, as_of=study.as_of, currency=study.currency, base=Path(folder))
    print(ledger.reasons.to_string())
    return ledger


@pytest.fixture(scope="module")
def rows_of(ledger):
    """Rows and amount in minor units of a reason."""
    found = ledger.reasons.groupby("reason")[["rows", "amount"]].sum()
    return {name: (int(one["rows"]), round(one["amount"] * 100)) for name, one in found.iterrows()}


def check(ledger, id_):
    return next(one for one in ledger.checks if one.id == id_)


def test_every_line_is_accounted_for(ledger):
    rows = ledger.totals["rows"]
    assert rows["in"] == LINES == sum(n for state, n in rows.items() if state != "in")
    assert ledger.reasons["rows"].sum() == LINES and ledger.rows.count().execute() == LINES
    excluded = ledger.reasons[ledger.reasons["state"].isin(("excluded", "quarantined"))]
    assert (excluded["reason"] != "").all() and (excluded["meaning"] != "").all()
    assert rows["later"] == 0
    for id_ in ("ledger.rows_balance", "ledger.control_rows", "ledger.money_balances"):
        assert check(ledger, id_).status == "pass", check(ledger, id_).message
    assert ledger.totals["rows"]["quarantined"] / LINES < 0.001


def test_money_balances(ledger):
    states = ledger.totals["amount"]["GBP"]
    assert round(states["in"] * 100) == sum(round(states[state] * 100) for state in states if state != "in")
    assert states["in"] == pytest.approx(
        9_747_747.93, abs=50
    )  # the file's known total, before rounding of lines
    kept = round((states["used"] + states["merged"]) * 100)
    assert kept == ledger.purchases.amount_minor.sum().to_pyarrow().as_py()


def test_cancellations_are_netted(ledger, rows_of):
    refunds = ledger.frames["refunds"].groupby("became")[["rows", "amount_minor"]].sum()
    print(refunds.to_string())
    netted = refunds.loc[refunds.index.str.startswith("netted")].sum()
    assert netted["rows"] > 4000 and netted["amount_minor"] < 0
    assert rows_of["returned_in_full"][1] <= 0
    # What finds no sale is mostly of goods that were bought before the file begins.
    assert refunds.loc["refund_unmatched", "rows"] < 0.25 * netted["rows"]
    assert ledger.purchases.filter(ledger.purchases.amount_minor < 0).count().execute() == 0


def test_giant_mistakes_are_not_on_top(ledger):
    bought = ledger.purchases.to_pyarrow().to_pandas()
    spend = bought.groupby("customer")["amount_minor"].sum().sort_values(ascending=False)
    print(spend.head(10).to_string())
    assert "12346" not in spend.index, "bought 74,215 pieces and cancelled them within sixteen minutes"
    assert 0 < spend["16446"] < 1000, (
        "80,995 pieces, cancelled within twelve minutes, and a few pounds before"
    )
    assert set(spend.index[:3]) == {"14646", "18102", "17450"}
    assert bought["amount_minor"].max() < 7_700_000, "neither of the two orders is left"


def test_guests_are_reported_and_not_modelled(ledger, rows_of):
    lines, minor = rows_of["guest"]
    assert (
        130_000 < lines < 135_080
    )  # 135,080 lines name nobody; some are no sale, by their codes or for nothing
    assert minor > 100_000_000
    assert ledger.purchases.filter(ledger.purchases.customer.isnull()).count().execute() == 0
    assert 4_200 < ledger.totals["customers"] < 4_372


def test_codes_that_are_no_sale_are_out_by_policy(ledger, rows_of):
    for name, least in (("postage", 1_900), ("fees", 80), ("adjustments", 600), ("vouchers", 20)):
        assert rows_of[f"product:{name}"][0] >= least, rows_of
    assert check(ledger, "ledger.duplicates").value > 4_000
