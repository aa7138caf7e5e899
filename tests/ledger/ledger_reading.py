"""What tests ask of a ledger."""

from datetime import date

AS_OF = date(2024, 6, 30)
TODAY = date(2024, 7, 31)
HEADER = "customer_id,date,amount\n"


def states(ledger):
    """``{row number: (state, reason)}``."""
    frame = ledger.rows.select("row", "state", "reason").to_pyarrow().to_pylist()
    return {r["row"]: (r["state"], r["reason"]) for r in frame}


def bought(ledger):
    """The purchases as tuples of customer, day, minor units, lines."""
    frame = ledger.purchases.order_by("customer", "day").to_pyarrow().to_pylist()
    return [(p["customer"], p["day"].isoformat(), p["amount_minor"], p["lines"]) for p in frame]


def check(ledger, id_):
    """The check of that id."""
    return next(c for c in ledger.checks if c.id == id_)
