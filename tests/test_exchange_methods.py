"""Revenue and value under each method of conversion, and the effect of exchange rates by itself."""

from datetime import date, timedelta

import pytest
from toys import write_study

import clvkit
from clvkit.chapters.ledger_exchange import methods


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Every second customer pays in francs, of which one is worth 1.00 in January, and a tenth more each month."""
    monkeypatch.setenv("CLVKIT_REPORTS", str(tmp_path / "reports"))
    path = write_study(tmp_path / "params", currency="EUR", value="{margin: 0.3, annual_discount_rate: 0.1}")
    source = tmp_path / "params" / "toy.csv"
    header, *lines = source.read_text().splitlines()
    codes = ["CHF" if int(line[6:11]) % 2 else "EUR" for line in lines]
    source.write_text(
        "\n".join(
            [f"{header},currency", *(f"{line},{code}" for line, code in zip(lines, codes, strict=True))]
        )
    )
    days = [date(2023, 1, 1) + timedelta(days=n) for n in range(300)]
    rates = [f"{day},CHF,{1 + 0.1 * (day.month - 1):.2f}" for day in days]
    (tmp_path / "params" / "rates.csv").write_text("\n".join(["date,currency,rate", *rates]) + "\n")
    text = path.read_text().replace(
        "ledger: {path: toy.csv}",
        "ledger: {sources: {shop: {path: toy.csv, columns: {currency: currency}}, rates: {holds: rates, path: rates.csv, "
        "fields: {date: date, currency: currency, rate: rate}}}}",
    )  # fmt: skip
    path.write_text(text)
    return clvkit.open_run(path)


def test_revenue_and_value_by_method_and_the_effect_of_rates_by_itself(run):
    first, second = methods(run)
    found = first.frame.set_index("method")
    rows = run.ledger().rows.to_pyarrow().to_pandas()
    rows = rows[rows["state"].isin(["used", "merged"])]
    francs = rows[rows["currency"] == "CHF"]
    own = rows.loc[rows["currency"] == "EUR", "amount_minor"].sum()
    # As of 1 July a franc is worth 1.60; the average of a month in which the rate stands still is its rate.
    constant = (own + 1.6 * francs["amount_minor"].sum()) / 100
    assert found.loc["Rates of the as-of date for all", "revenue"] == pytest.approx(
        constant, abs=0.01 * len(francs)
    )
    declared = found.loc["As the study says"]
    assert declared["revenue"] == run.ledger().purchases.amount_minor.sum().execute() / 100
    for method in ("Last rate known on the day", "Average rate of the month"):
        assert found.loc[method, "revenue"] == declared["revenue"] and found.loc[method, "equity_change"] == 0
    # Dearer francs make the same purchases worth more, by about as much as revenue.
    change = found.loc["Rates of the as-of date for all"]
    assert change["equity_change"] > 0 and change["equity_change"] == pytest.approx(
        change["revenue_change"], rel=0.5
    )

    total = second.frame.iloc[-1]
    assert total["revenue"] == declared["revenue"] and total["constant"] == change["revenue"]
    assert total["effect"] == pytest.approx(declared["revenue"] - change["revenue"]) and total["effect"] < 0
    assert second.title.startswith("Exchange rates took away EUR")


def test_nothing_is_shown_where_all_is_in_one_currency(tmp_path, monkeypatch):
    monkeypatch.setenv("CLVKIT_REPORTS", str(tmp_path / "reports"))
    assert methods(clvkit.open_run(write_study(tmp_path / "params"))) == []
