"""Checks that a ledger's frames answer: refunds without a sale, and the age of exchange rates."""

from collections.abc import Mapping

import pandas as pd

from clvkit.checks import Check
from clvkit.ledger.policies import CurrencySection, RefundsSection
from clvkit.numbers import percent

CHAPTER = "01_ledger"


def unmatched_refunds(frames: Mapping[str, pd.DataFrame], section: RefundsSection) -> list[Check]:
    """Whether refunds find their sales, by rows and by money; nothing where none were netted."""
    found = frames.get("refunds")
    if found is None or found.empty:
        return []
    lost = found[found["became"] == "refund_unmatched"]
    rows, whole = int(lost["rows"].sum()), int(found["rows"].sum())
    # Money by currency, as it was booked: what cannot be matched need not have a rate.
    money = found.groupby("currency")["amount_minor"].sum()
    shares = (lost.groupby("currency")["amount_minor"].sum() / money[money != 0]).dropna()
    of_money, code = (float(shares.max()), shares.idxmax()) if len(shares) else (0.0, "")
    share, limit = max(rows / whole, of_money), section.max_unmatched_share
    if not rows:
        message = f"Each of {whole:,} refunds has its sale."
    else:
        message = (
            f"{rows:,} of {whole:,} refunds ({percent(rows / whole)}, and {percent(of_money)} of the money paid back in "
            f"{code}) {'has' if rows == 1 else 'have'} no sale."
        )
    return [
        Check(
            "ledger.refunds_unmatched",
            "Refunds have a sale",
            "fail" if share > limit else "review" if rows else "pass",
            message,
            value=share,
            threshold=limit,
            unit="share of refunds",
            severity="stop",
            recommendation=""
            if not rows
            else "Look at some of them in the source: their sales may lie before the first day of the extract, or the order "
            "may be written otherwise. Without their sales, revenue and value are too high by them; "
            "ledger.refunds.unmatched: net_customer takes them off the customer's latest purchase.",
            chapter=CHAPTER,
        )
    ]


def rate_ages(frames: Mapping[str, pd.DataFrame], section: CurrencySection) -> list[Check]:
    """How old the exchange rates are that amounts were converted at; nothing where none was converted."""
    found = frames.get("conversions")
    if found is None:
        return []
    stale, limit = found[found["stale"] > 0], section.max_age_days
    oldest = int(found["oldest_days"].max())
    each = "; ".join(
        f"{one.stale:,} of {one.lines:,} rows in {one.currency}, at rates up to {one.oldest_days:,} days old"
        for one in stale.itertuples()
    )
    return [
        Check(
            "ledger.rates_age",
            "Exchange rates are of the day",
            "review" if len(stale) else "pass",
            f"Converted at a rate more than {limit} days old: {each}."
            if len(stale)
            else f"No amount was converted at a rate more than {limit} days old; the oldest was {oldest} days old.",
            value=oldest,
            threshold=limit,
            unit="days",
            recommendation="Add the missing rates to the source of rates; ledger.exchange.missing: stop refuses to go on "
            "without them."
            if len(stale)
            else "",
            chapter=CHAPTER,
        )
    ]
