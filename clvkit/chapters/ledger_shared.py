"""Accounts that several customers share: how their money is split, and what another rule would make of it."""

from typing import TYPE_CHECKING

import pandas as pd

from clvkit import numbers
from clvkit.chapters.ledger_words import amount, count
from clvkit.exhibits import Table

if TYPE_CHECKING:
    from clvkit.workbench import Workbench

RULES = {
    "equal": "In equal parts",
    "margin": "By each customer's margin",
    "first_touch": "All to whoever came first",
    "none": "Not at all",
}
_HOW = RULES | {
    "stated weights": "By the weights that the study states",
    "one customer": "One customer only",
    "no rule": "Nobody's: no rule",
    "no customer": "Nobody's: no customer is listed",
    "no positive margin": "Nobody's: no customer has a positive margin",
    "no first day": "Nobody's: a first day is missing",
}


def shared(run: "Workbench") -> list[Table]:
    """The declared split and the other rules beside it; nothing where the study declares no shared accounts."""
    from clvkit.artifacts import CROSSWALK
    from clvkit.ledger.files import SHARED
    from clvkit.ledger.shared_totals import shared_totals

    ledger, section = run.ledger(), run.study.ledger.shared_accounts
    if section is None:
        return []
    found = shared_totals(ledger, section, run.study_folder / CROSSWALK, run.study.base)
    run.reads(SHARED)
    if found.split.empty:
        return []
    return [
        split_table(found.split, ledger.currency, ledger.minor_digits),
        rules_table(found.rules, section.rule, ledger.currency, ledger.minor_digits),
    ]


def split_table(split: pd.DataFrame, currency: str, minor_digits: int) -> Table:
    """Accounts, customers and revenue by how they are split (`clvkit.ledger.shared_totals`), with a total."""
    unit, whole = 10**minor_digits, int(split["amount_minor"].sum())
    nobody = split[split["how"].isin([name for name, words in _HOW.items() if words.startswith("Nobody")])]
    frame = pd.DataFrame({
        "how": split["how"].map(_HOW),
        "accounts": split["accounts"],
        "customers": split["customers"],
        "amount": split["amount_minor"] / unit,
        "share": split["amount_minor"] / whole if whole else float("nan"),
    })  # fmt: skip
    total = {"how": "All shared accounts", "accounts": frame["accounts"].sum(), "customers": numbers.NOT_APPLICABLE,
             "amount": whole / unit, "share": 1.0 if whole else float("nan")}  # fmt: skip
    frame = pd.concat([frame.astype({"customers": object}), pd.DataFrame([total])], ignore_index=True)
    left = int(nobody["amount_minor"].sum())
    accounts = count(int(split["accounts"].sum()), "account")
    title = f"{accounts} listed as shared brought {amount(whole, currency)}" + (
        f"; {amount(left, currency)} of it is nobody's" if left else ", and all of it is split"
    )
    money = numbers.money_header(currency)
    return Table(
        "shared_accounts",
        frame,
        title,
        f"Accounts that several customers share, by how their revenue up to the as-of date is split, {money}.",
        formats={"accounts": "count", "customers": "count", "amount": f"money:{minor_digits}", "share": "percent"},
        labels={"how": "Split", "accounts": "Accounts", "customers": "Customers", "amount": f"Revenue, {money}",
                "share": "Of the revenue"},
        total=True,
        note="A customer with a share of several accounts is counted in each line. An account stays one customer to the "
        "models; the split says whose its value is.",
    )  # fmt: skip


def rules_table(rules: pd.DataFrame, declared: str, currency: str, minor_digits: int) -> Table:
    """What each rule would make of the same money; the declared one is marked."""
    unit = 10**minor_digits
    frame = pd.DataFrame({
        "rule": [RULES[rule] + (" (declared)" if rule == declared else "") for rule in rules["rule"]],
        "customers": rules["customers"],
        "largest": rules["largest_minor"] / unit,
        "unassigned": rules["unassigned_minor"] / unit,
        "moved": rules["moved_minor"] / unit,
        "total": rules["total_minor"] / unit,
    })  # fmt: skip
    most, whole = int(rules["moved_minor"].max()), int(rules["total_minor"].iloc[0])
    money = numbers.money_header(currency)
    title = (
        f"Another rule would change whose {numbers.percent(most / whole)} of it is, at most, and would change no total"
        if most and whole > 0
        else "No other rule would change whose it is"
    )
    return Table(
        "shared_accounts_rules",
        frame,
        title,
        f"The same revenue under each rule that the list of members allows, {money}; stated weights hold under all.",
        formats={"customers": "count"} | dict.fromkeys(("largest", "unassigned", "moved", "total"), f"money:{minor_digits}"),
        labels={"rule": "Rule", "customers": "Customers with a share", "largest": "Largest of one customer",
                "unassigned": "Nobody's", "moved": "Another's than declared", "total": f"Total, {money}"},
    )  # fmt: skip
