"""The same cash flows under every method of conversion: modelled revenue, quick value, and the effect of exchange rates.

Purchases and their days are the same under all methods; only what they are worth in the study's currency differs. At the
rates of one day nothing of a trend is a currency's, so that what differs from it is the effect of exchange rates.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import ibis
import pandas as pd

from clvkit.errors import DataError, FitError
from clvkit.ledger.currency import convert, fx_effect
from clvkit.ledger.policies import CurrencySection
from clvkit.refits import point_value

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from clvkit.ledger import Ledger, LedgerSection
    from clvkit.workbench import Workbench

COUNTED = ("used", "merged")


@dataclass(frozen=True)
class CurrencyEffect:
    """What the method of conversion does to revenue and value.

    ``methods`` : ``method, revenue_minor, equity``, the study's own first as `declared`; `constant` is at the rates of
    the as-of date. ``equity`` (major units) is by plug-in of quick refits at maximum likelihood, without rules of
    inclusion, so that nothing but the method differs; missing where the data do not carry a value.
    ``months`` : ``month, first_minor, second_minor, effect_minor``, revenue at the rates of the as-of date, as converted,
    and the difference, which is the effect of exchange rates; None where the as-of date has no rates.
    """

    methods: pd.DataFrame
    months: pd.DataFrame | None

    def save(self, folder: Path) -> None:
        """Write both tables."""
        self.methods.to_parquet(folder / "methods.parquet")
        if self.months is not None:
            self.months.to_parquet(folder / "months.parquet")

    @classmethod
    def load(cls, folder: Path) -> "CurrencyEffect":
        """Read what `save` wrote."""
        months = folder / "months.parquet"
        found = pd.read_parquet(folder / "methods.parquet")
        return cls(found, pd.read_parquet(months) if months.exists() else None)


def currency_effect(bench: "Workbench") -> CurrencyEffect:
    """Revenue and value under each method; rates of any age are used, and a method without any rate is left out."""
    ledger, study = bench.ledger(), bench.study
    rates = rates_of(ledger, study.ledger)
    if rates is None:
        raise DataError(
            "no source holds rates, so there is nothing to convert by",
            place="ledger.sources",
            fix="add a source that holds rates, or leave the effect of currencies out",
        )
    spend = bench.spend_choice().used if bench.values_purchases() else None
    found = []
    for name, exchange in methods(study.ledger, study.as_of).items():
        try:
            bought = purchases_at(ledger, rates, exchange)
            revenue = int(bought.amount_minor.sum().to_pyarrow().as_py() or 0)
        except DataError:  # no rate before a day, whatever its age
            continue
        equity = None
        if spend is not None:
            try:
                equity = point_value(bought, study, bench.minor_per_unit, spend).equity
            except FitError:
                equity = None
        found.append((name, revenue, equity))
    frame = pd.DataFrame(found, columns=["method", "revenue_minor", "equity"]).astype({"equity": float})
    all_ages, counted = methods(study.ledger, study.as_of)["declared"], _counted(ledger)
    try:
        months = fx_effect(counted, rates, constant(study.ledger, ledger.as_of), all_ages, ledger.currency)
    except DataError:  # there is no rate up to the as-of date, as where constant_date lies behind it
        months = None
    return CurrencyEffect(frame, months)


def methods(section: "LedgerSection", as_of: date) -> dict[str, CurrencySection]:
    """The methods that are compared, by name, the study's own first; rates of any age serve."""
    own = section.exchange.model_copy(update={"missing": "stale"})
    others = {
        name: own.model_copy(update={"method": name}) for name in ("transaction_date", "period_average")
    }
    return {"declared": own, **others, "constant": constant(section, as_of)}


def constant(section: "LedgerSection", as_of: date) -> CurrencySection:
    """All money at the last rates of the as-of date."""
    return section.exchange.model_copy(
        update={"method": "constant", "constant_date": as_of, "missing": "stale"}
    )


def rates_of(ledger: "Ledger", section: "LedgerSection") -> "ir.Table | None":
    """``date, currency, rate`` of all sources that hold rates; None where there is none."""
    found = [
        ledger.tables[name].select("date", "currency", "rate")
        for name, one in section.by_name().items()
        if one.holds == "rates" and name in ledger.tables
    ]
    return (ibis.union(*found) if len(found) > 1 else found[0]) if found else None


def purchases_at(ledger: "Ledger", rates: "ir.Table", exchange: CurrencySection) -> "ir.Table":
    """The purchases with their amounts converted by another method; columns as those of the ledger's."""
    valued = convert(_counted(ledger), rates, exchange, ledger.currency)
    days = valued.group_by("customer", "day").agg(
        amount_minor=valued.value_minor.sum().cast("int64"), lines=valued.count()
    )
    segment = ledger.purchases.select("customer", "day", "segment")
    return days.join(segment, ["customer", "day"]).select(
        "customer", "day", "amount_minor", "lines", "segment"
    )


def _counted(ledger: "Ledger") -> "ir.Table":
    rows = ledger.rows.filter(ledger.rows.state.isin(COUNTED))
    return rows.drop("value_minor").mutate(reason=ibis.null("string"))


def has_foreign(ledger: "Ledger") -> bool:
    """Whether something of what is modelled was booked in another currency."""
    rows = ledger.rows
    foreign = rows.filter(rows.state.isin(COUNTED) & (rows.currency != ledger.currency))
    return bool(foreign.limit(1).count().execute())
