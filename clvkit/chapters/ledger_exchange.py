"""What the method of conversion does to revenue and value, and what of the revenue is the movement of exchange rates."""

from typing import TYPE_CHECKING

import pandas as pd

from clvkit import numbers
from clvkit.chapters.ledger_words import amount
from clvkit.exhibits import Table

if TYPE_CHECKING:
    from clvkit.workbench import Workbench

_METHODS = {
    "declared": "As the study says",
    "transaction_date": "Last rate known on the day",
    "period_average": "Average rate of the month",
    "constant": "Rates of the as-of date for all",
}


def methods(run: "Workbench") -> list[Table]:
    """Revenue and value by method, and the effect of exchange rates by year; nothing where all is in one currency."""
    ledger, effect = run.ledger(), run.currency_effect()
    if effect is None:
        return []
    shown = [by_method(effect.methods, ledger.currency, ledger.minor_digits)]
    if effect.months is not None:
        shown.append(by_year(effect.months, ledger.currency, ledger.minor_digits))
    return shown


def by_method(found: pd.DataFrame, currency: str, digits: int) -> Table:
    """Modelled revenue and customer equity under each method, beside the study's."""
    first, unit, money = found.iloc[0], 10**digits, numbers.money_header(currency)
    frame = pd.DataFrame({
        "method": found["method"].map(_METHODS),
        "revenue": found["revenue_minor"] / unit,
        "revenue_change": found["revenue_minor"] / first["revenue_minor"] - 1 if first["revenue_minor"] else float("nan"),
        "equity": found["equity"],
        "equity_change": found["equity"] / first["equity"] - 1,
    })  # fmt: skip
    most = frame.iloc[1:][["revenue_change", "equity_change"]].abs().max()
    what = f"{numbers.percent(most['revenue_change'])} of the revenue"
    if pd.notna(most["equity_change"]):
        what += f" and {numbers.percent(most['equity_change'])} of the value"
    return Table(
        "ledger_exchange_methods",
        frame,
        f"Another method of conversion would change {what} at most",
        f"Used and merged rows converted by each method, and the value of the customers by quick fits to them, {money}.",
        formats={"revenue": f"money:{digits}", "revenue_change": "percent", "equity": "money", "equity_change": "percent"},
        labels={"method": "Method", "revenue": f"Revenue, {money}", "revenue_change": "To the study's", "equity":
                f"Customer equity, {money}", "equity_change": "To the study's value"},
        note="All four are quick fits at maximum likelihood without rules of inclusion, calendar, segments, covariates or treatment of older customers, so that only the method differs; the "
        "value in later chapters is the full one. Purchases and their days are the same under all methods.",
    )  # fmt: skip


def by_year(months: pd.DataFrame, currency: str, digits: int) -> Table:
    """Revenue as converted and at the rates of the as-of date, by year; the difference is the currencies' doing."""
    unit, money = 10**digits, numbers.money_header(currency)
    sums = months.assign(year=pd.to_datetime(months["month"]).dt.year.astype(str))
    sums = sums.groupby("year")[["first_minor", "second_minor", "effect_minor"]].sum().reset_index()
    total = {"year": "All", **sums.iloc[:, 1:].sum().to_dict()}
    sums = pd.concat([sums, pd.DataFrame([total])], ignore_index=True)
    effect = int(total["effect_minor"])
    frame = pd.DataFrame({
        "year": sums["year"],
        "constant": sums["first_minor"] / unit,
        "effect": sums["effect_minor"] / unit,
        "revenue": sums["second_minor"] / unit,
    })  # fmt: skip
    way = "added" if effect > 0 else "took away"
    return Table(
        "ledger_exchange_effect",
        frame,
        f"Exchange rates {way} {amount(abs(effect), currency)} of the revenue, against the rates of the as-of date"
        if effect
        else "Exchange rates changed nothing of the revenue",
        f"Revenue of each year at the rates of the as-of date, what exchange rates did to it, and as it was converted, {money}.",
        formats=dict.fromkeys(("constant", "effect", "revenue"), f"money:{digits}"),
        labels={"year": "Year", "constant": "At the rates of the as-of date", "effect": "Effect of exchange rates",
                "revenue": "As converted"},
        total=True,
        note="A trend in the first column is the customers' doing.",
    )  # fmt: skip
