"""Is there enough data for a value? The gate before any model is fitted."""

from datetime import date, timedelta
from typing import TYPE_CHECKING

from pydantic import Field

from clvkit.checks import Check
from clvkit.numbers import date_words, percent
from clvkit.section import Section

if TYPE_CHECKING:
    import pandas as pd


class SufficiencySection(Section):
    """The least data with which a study may state a value."""

    min_customers: int = Field(100, ge=1, description="Fewest customers.")
    min_repeat_customers: int = Field(30, ge=1, description="Fewest customers who bought on a second day.")
    min_repeat_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Smallest share of customers who bought on a second day; below it, review.",
    )
    min_history_days: int = Field(
        90, ge=1, description="Fewest days from the first purchase to the as-of date."
    )
    max_days_since_last_purchase: int = Field(
        90, ge=0, description="Most days between the last purchase of all and the as-of date."
    )
    min_contract_ends: int = Field(
        10, ge=1, description="Fewest contracts that have ended, where customers are under contract."
    )


def sufficiency_checks(cells: "pd.DataFrame", section: SufficiencySection, as_of: date) -> list[Check]:
    """Test whether the data can carry a value; what fails says what is missing and what to do.

    Parameters
    ----------
    cells : ``frequency, recency_days, T_days, n`` as :func:`clvkit.customers.cells` gives them.
    section : the study's limits.
    as_of : the date the cells are as of.
    """
    customers = int(cells["n"].sum())
    repeaters = int(cells.loc[cells["frequency"] >= 1, "n"].sum())
    history = int(cells["T_days"].max()) if customers else 0
    silence = int((cells["T_days"] - cells["recency_days"]).min()) if customers else 0
    checks = [_customers(customers, section)]
    if customers:
        checks += [
            _repeaters(customers, repeaters, section),
            _history(history, section, as_of),
            _silence(silence, section, as_of),
        ]
        if repeaters:
            checks.append(_repeat_share(customers, repeaters, section))
    return checks


def contract_sufficiency(relations: "pd.DataFrame", section: SufficiencySection) -> list[Check]:
    """Test whether contracts can carry a value.

    Parameters
    ----------
    relations : ``customer, ended``, one row per relation.
    """
    checks = [_customers(int(relations["customer"].nunique()), section)]
    if len(relations):
        ends, running, need = (
            int(relations["ended"].sum()),
            int((~relations["ended"]).sum()),
            section.min_contract_ends,
        )
        checks.append(_check(
            "contract_ends", "Enough contracts that have ended", ends >= need,
            f"{ends:,} of {len(relations):,} contracts {'has' if ends == 1 else 'have'} ended; a value needs at least {need:,}.",
            "Use a longer extract, or one that keeps contracts which have ended: how long those that run will last is learnt "
            "from them.",
            value=ends, threshold=need, unit="contracts"))  # fmt: skip
        checks.append(_check(
            "contracts_running", "Contracts that run", running > 0,
            f"{running:,} of {len(relations):,} contracts {'runs' if running == 1 else 'run'} on the as-of date.",
            "Check the as-of date, and that the extract holds contracts that run (their end is empty).",
            value=running, threshold=1, unit="contracts"))  # fmt: skip
    return checks


def _check(id_: str, title: str, good: bool, message: str, advice: str, **more) -> Check:
    return Check(
        f"sufficiency.{id_}",
        title,
        "pass" if good else "fail",
        message,
        severity="stop",
        recommendation="" if good else advice,
        chapter="01_ledger",
        **more,
    )


def _customers(customers: int, section: SufficiencySection) -> Check:
    need = section.min_customers
    good = customers >= need
    there = {0: "There is no customer", 1: "There is one customer"}.get(
        customers, f"There are {customers:,} customers"
    )
    advice = (
        "Use a source with more customers: a longer extract, or several regions in one study; one customer's "
        "history says nothing about how customers differ."
        if customers <= 1
        else "Use a source with more customers: a longer extract, or several regions in one study. "
        "sufficiency.min_customers can be lowered, and the intervals will show what that costs."
    )
    return _check(
        "customers",
        "Enough customers",
        good,
        f"{there}; a value needs at least {need:,}.",
        advice,
        value=customers,
        threshold=need,
        unit="customers",
    )


def _repeaters(customers: int, repeaters: int, section: SufficiencySection) -> Check:
    need = section.min_repeat_customers
    good = repeaters >= need
    if not repeaters:
        who = "The one customer has not" if customers == 1 else f"None of the {customers:,} customers has"
        message = f"{who} bought on a second day; a value needs at least {need:,} customers who came back."
        advice = (
            "Check that ledger.columns.customer names the customer and not the order or the session: an id "
            "that is new with each purchase looks exactly like this. If it is right, wait for repeat "
            "purchases; there is nothing yet to learn return from."
        )
    else:
        verb = "customer has" if repeaters == 1 else "customers have"
        message = (
            f"{repeaters:,} of {customers:,} {verb} bought on a second day; a value needs at least {need:,}."
            if customers > 1
            else f"One customer has bought on a second day; a value needs at least {need:,}."
        )
        advice = (
            "Use a longer extract, so that more customers have had time to come back, or lower "
            "sufficiency.min_repeat_customers knowing that the intervals will be wide."
        )
    return _check(
        "repeat_customers",
        "Enough customers who came back",
        good,
        message,
        advice,
        value=repeaters,
        threshold=need,
        unit="customers",
    )


def _history(history: int, section: SufficiencySection, as_of: date) -> Check:
    need = section.min_history_days
    first = as_of - timedelta(days=history)
    days = "1 day" if history == 1 else f"{history:,} days"
    return _check(
        "history",
        "A long enough history",
        history >= need,
        f"The history covers {days}, from the first purchase on {date_words(first)} to {date_words(as_of)}; a value "
        f"needs at least {need:,}.",
        f"Use an extract that begins earlier, or an as-of date of {date_words(first + timedelta(days=need))} or later: "
        "customers who have left cannot yet be told from customers who pause.",
        value=history,
        threshold=need,
        unit="days",
    )


def _silence(silence: int, section: SufficiencySection, as_of: date) -> Check:
    limit = section.max_days_since_last_purchase
    last = as_of - timedelta(days=silence)
    days = "1 day" if silence == 1 else f"{silence:,} days"
    return _check(
        "last_purchase",
        "Purchases up to the as-of date",
        silence <= limit,
        f"The last purchase of any customer is of {date_words(last)}, {days} before the as-of date {date_words(as_of)}; "
        f"at most {limit:,} are allowed.",
        f"The extract seems to end before the as-of date, and the models would take the silence for "
        f"customers lost. Use a newer extract, or an as-of date of about {date_words(last)}; if the business did "
        "stop selling, raise sufficiency.max_days_since_last_purchase.",
        value=silence,
        threshold=limit,
        unit="days",
    )


def _repeat_share(customers: int, repeaters: int, section: SufficiencySection) -> Check:
    share, need = repeaters / customers, section.min_repeat_share
    good = share >= need
    return Check(
        "sufficiency.repeat_share",
        "A share of customers comes back",
        "pass" if good else "review",
        f"{percent(share)} of customers have bought on a second day; below {percent(need)} the figures want a second "
        "look.",
        value=share,
        threshold=need,
        unit="share of customers",
        severity="warn",
        recommendation="" if good else "Check that one customer keeps one id over all purchases.",
        chapter="01_ledger",
    )
