"""What is wrong with contracts as they are written, each in its own check; and what a reader of them must know."""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from clvkit.checks import Check
from clvkit.contracts import REASONS, Contracts
from clvkit.contracts_section import ContractsSection

if TYPE_CHECKING:
    import pandas as pd

CHAPTER = "03_retention"
_MANY = 0.5  # of ends on an anniversary of the start: then the date is the first day after, by the look of it
_MOST = 0.8  # of running relations with an end ahead: then it is the end of a term, by the look of it
_FEW = 10  # running relations tell no habit
_ENOUGH = 5.0  # ends expected within the period of notice, and none announced


def contract_checks(found: Contracts, section: ContractsSection, as_of: date) -> list[Check]:
    """What is wrong with the contracts, each in its own check; and what is known ahead of the as-of date."""
    from clvkit import numbers

    checks, total = [], len(found.rows) + len(found.trials) + len(found.set_aside)
    for reason, words in REASONS.items():
        bad = found.set_aside.loc[found.set_aside["reason"] == reason, "contract"]
        if len(bad):
            message = f"{numbers.count(len(bad))} of {numbers.count(total)} contracts {words} (such as {bad.iloc[0]}), and are set aside."
            checks.append(_review(reason, "Contracts agree with themselves", message, len(bad), 0, "contracts",
                                  "Correct them in the source and run again."))  # fmt: skip
    if not checks:
        message = f"All {numbers.count(total)} contracts can be used."
        checks.append(Check("contracts.rows", "Contracts agree with themselves", "pass", message, value=0, threshold=0,
                            unit="contracts", chapter=CHAPTER))  # fmt: skip
    return [*checks, *_ahead(found, section, as_of), *_billed(found, section), *_beside(found)]


def _ahead(found: Contracts, section: ContractsSection, as_of: date) -> Iterator[Check]:
    """Ends that lie in the future, and what the study makes of them."""
    from clvkit import numbers

    running = found.relations[~found.relations["ended"]]
    announced = int(running["announced"].notna().sum())
    if len(running) >= _FEW and announced > _MOST * len(running):
        message = (
            f"{numbers.percent(announced / len(running))} of the relations that run have an end after {as_of}, and the study takes "
            "it that they leave then. If contracts are written for a term, and may be renewed at its end, that is not so."
        )
        yield _review("future_end", "What an end in the future says", message, announced / len(running), _MOST, "share",
                      "If these are ends of terms, set contracts.future_end to renewal_due.")  # fmt: skip
    elif announced:
        message = (
            f"{numbers.count(announced)} customers are under contract on {as_of} whose end is announced for a later day; they "
            "count as customers until then, and as not having left."
        )
        yield _info("announced", "Ends that lie in the future", message, announced, "customers")
    if section.notice_days and len(running):
        left = found.histories["ended"].sum()
        days = (running["end"].fillna(np.datetime64(as_of)) - running["start"]).dt.days.sum()
        gone = found.relations[found.relations["ended"]]
        days += (gone["end"] - gone["start"]).dt.days.sum()
        expected = float(left) / max(float(days), 1.0) * len(running) * section.notice_days
        seen = int(
            (running["announced"] <= np.datetime64(as_of) + np.timedelta64(section.notice_days, "D")).sum()
        )
        if expected >= _ENOUGH and not seen:
            message = (
                f"With {section.notice_days} days of notice some {numbers.count(expected)} ends should be announced by {as_of}, "
                "and none is: ends seem to be recorded when they happen, and the value takes renewals for sure that are not."
            )
            yield _review("notice", "Ends are announced as the period of notice says", message, expected, _ENOUGH,
                          "ends", "Record ends when they are announced, or set contracts.notice_days to 0.")  # fmt: skip
    if section.end_is == "last_day" and found.on_anniversary > _MANY:
        message = (
            f"{numbers.percent(found.on_anniversary)} of ends fall on the day of the month on which the contract began, as the "
            "first day after a contract would; the study takes them for the last day."
        )
        yield _review("end_is", "What the end of a contract is", message, found.on_anniversary, _MANY, "share",
                      "If the date is the first day without the contract, set contracts.end_is to first_day_after: each relation "
                      "is counted one renewal too long otherwise.")  # fmt: skip


def _billed(found: Contracts, section: ContractsSection) -> Iterator[Check]:
    """Periods of plans that are not there, and relations that changed theirs."""
    from clvkit import numbers
    from clvkit.rules import listed

    plans = {str(plan) for plan in found.rows["plan"].dropna().unique()} | {
        str(plan) for plan in found.trials["plan"].dropna().unique()
    }
    for name, stated in (("periods", section.periods), ("trial_plans", section.trial_plans)):
        if unknown := sorted(set(stated) - plans):
            message = f"contracts.{name} names {listed(unknown)}, and no contract has such a plan; there are {listed(sorted(plans)) or 'none'}."
            yield _review(name, "Plans of the study are those of the contracts", message, len(unknown), 0, "plans",
                          f"Write the plans under contracts.{name} as the source does.")  # fmt: skip
    from clvkit.contract_calendar import billed_words, read_months

    rows = found.rows[found.rows["plan"].notna()]
    words = rows["plan"].astype(str).str.strip().str.split(r"[\s_-]+").str[-1]
    sounds = read_months(words.where(~words.str.fullmatch(r"\d+"), None))
    odd = rows[sounds.notna() & (sounds != rows["period_months"])]
    if len(odd) and "period" not in section.model_fields_set:
        plan, months = str(odd["plan"].iloc[0]), int(odd["period_months"].iloc[0])
        message = f"{numbers.count(len(odd))} contracts have a plan such as {plan!r}, and are taken to be billed {billed_words(months)}."
        yield _review("plan_periods", "Plans are billed as their names say", message, len(odd), 0, "contracts",
                      f"If {plan!r} is billed otherwise, say so under contracts.periods; if not, state contracts.period.")  # fmt: skip
    switched = int((found.relations["switches"] > 0).sum())
    if switched:
        message = (
            f"{numbers.count(switched)} relations changed how often they are billed. What they did before the change counts for "
            "contracts billed as they were then, and from the change on renewals are counted anew."
        )
        yield _info("switches", "Changes of the billing period", message, switched, "relations")


def _beside(found: Contracts) -> Iterator[Check]:
    """Contracts of one customer side by side: one relation, whose fee is their sum unless they are the same twice."""
    from clvkit import numbers

    beside = int((found.relations["overlaps"] > 0).sum())
    if not beside:
        return
    twice = same_twice(found.rows)
    message = f"{numbers.count(beside)} relations have contracts side by side; each is one relation, and its fee their sum."
    if twice:
        message = message[:-1] + (
            f". {numbers.count(twice)} contracts run beside another of the same customer with the same plan and the same fee, and "
            "may be the same one twice."
        )
        yield _review("overlaps", "No contract is counted twice", message, twice, 0, "contracts",
                      "Look whether these are two contracts; if not, leave one of them out in the source.")  # fmt: skip
    else:
        yield _info("overlaps", "No contract is counted twice", message, beside, "relations")


def same_twice(rows: "pd.DataFrame") -> int:
    """Contracts that begin while another of the same customer, plan and fee runs."""
    import pandas as pd

    forever = pd.Timestamp.max.normalize()
    alike = [rows["customer"], rows["plan"].fillna(""), rows["fee"].fillna(-1.0)]
    ordered = rows.assign(until=rows["end"].fillna(forever)).sort_values(["customer", "start"])
    reach = ordered["until"].groupby([one.loc[ordered.index] for one in alike]).cummax()
    before = reach.groupby([one.loc[ordered.index] for one in alike]).shift()
    return int((before.notna() & (ordered["start"] <= before)).sum())


def _review(name: str, title: str, message: str, value, threshold, unit: str, advice: str) -> Check:
    return Check(f"contracts.{name}", title, "review", message, value=value, threshold=threshold, unit=unit,
                 recommendation=advice, chapter=CHAPTER)  # fmt: skip


def _info(name: str, title: str, message: str, value, unit: str) -> Check:
    return Check(
        f"contracts.{name}", title, "info", message, value=value, unit=unit, severity="info", chapter=CHAPTER
    )
