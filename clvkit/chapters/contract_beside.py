"""Chapter 04b: what stands beside the value of running contracts: notice, pauses, trials, other plans, and who came back."""

from typing import TYPE_CHECKING

from clvkit import numbers
from clvkit.contract_changes import WinBacks, plan_changes, win_backs
from clvkit.exhibits import Sentence, Table

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.chapters.contract_value import Found
    from clvkit.contract_value import ContractValue
    from clvkit.contracts import Contracts
    from clvkit.study import Study

LEVEL = 0.05


def exhibits(found: "Found | str", held: "Contracts | None", study: "Study") -> list[Sentence | Table]:
    """Sentences on what is sure, paused, on trial or won back, and a table of changes of plan."""
    if isinstance(found, str) or held is None:
        return []
    value = found[1]
    shown: list[Sentence | Table] = [
        Sentence(text)
        for text in (_sure(value, study), _paused(value, study), _trials(value, held, study))
        if text
    ]
    moved = plan_changes(held, study.contracts, study.currency)
    if len(moved):
        shown.append(changes(moved, study))
    back = win_backs(held, study.value.interval)
    if back is not None:
        shown.append(Sentence(_back(back)))
    return shown


def _sure(value: "ContractValue", study: "Study") -> str:
    announced, notice = value.counts.get("announced", 0), study.contracts.notice_days
    if not announced and not notice:
        return ""
    text = ""
    if announced:
        text = f"The end of {numbers.count(announced)} of the contracts that run is announced: they count to it, and no further. "
    if notice:
        text += f"With {numbers.count(notice)} days of notice, renewals due in that time are sure where nobody has cancelled. "
    if not value.sure.value:
        return text.strip()
    return text + (
        f"Of the value, {numbers.money(value.sure.value, study.currency)} "
        f"({numbers.percent(value.sure.value / value.equity.value if value.equity.value else 0.0)}) rest on nothing but these dates."
    )


def _paused(value: "ContractValue", study: "Study") -> str:
    paused = value.counts.get("paused", 0)
    if not paused:
        return ""
    worth = "" if value.paused is None else (
        f" If paying goes on at the next renewal, that is worth {numbers.money(value.paused.value, study.currency)} more."
    )  # fmt: skip
    if paused == 1:
        return f"One contract is paused: it has not been left, pays nothing, and is in no value.{worth}"
    return f"{numbers.count(paused)} contracts are paused: they have not been left, pay nothing, and are in no value.{worth}"


def _trials(value: "ContractValue", held: "Contracts", study: "Study") -> str:
    if held.trials.empty:
        return ""
    counts = held.trials["outcome"].value_counts()
    text = (
        f"{numbers.count(len(held.trials))} trials are no contracts that renew, and are kept out of the curves: "
        f"{numbers.count(counts.get('converted', 0))} became a contract, {numbers.count(counts.get('lapsed', 0))} did not, and "
        f"{numbers.count(counts.get('running', 0))} are not decided yet."
    )
    if value.converts is not None:
        one = value.converts
        low, high = (numbers.percent(end) for end in (one.low, one.high))
        text += (
            f" **{numbers.percent(one.value)}** convert ({numbers.interval_words(low, high, one.interval)})."
        )
    if value.trials is not None:
        one = value.trials
        text += (
            " By that, and by what a new contract is worth, those that run are worth "
            f"{numbers.money_with_interval(one.value, one.low, one.high, study.currency, one.interval)}; this is not in the value "
            "of contracts."
        )
    return text


def changes(moved: "pd.DataFrame", study: "Study") -> Table:
    """Upgrades and downgrades, and what they did to fees."""
    ups, downs = (int(moved.loc[moved["kind"] == kind, "changes"].sum()) for kind in ("upgrade", "downgrade"))
    net = float(moved["month"].sum())
    growth = study.contracts.fee_growth
    return Table(
        "contract_changes",
        moved,
        f"{numbers.count(ups)} upgrades and {numbers.count(downs)} downgrades changed what is paid by "
        f"{numbers.money(net, study.currency)} a month",
        "Changes of plan within a relation up to the as-of date, by whether more or less is paid in a month then: mean fee of a month "
        f"before and after, and the sum ({study.currency}).",
        formats={"changes": "count"} | dict.fromkeys(["before", "after", "month"], "money:2"),
        labels={
            "kind": "Change",
            "changes": "Number",
            "before": "Before",
            "after": "After",
            "month": "Together",
        },
        note="The value takes the fee of today for all that is to come"
        + (
            ": changes of plan, and of prices, are not in it (`contracts.fee_growth` is 0, an assumption)."
            if not growth
            else f", and lets it grow by {numbers.rate(growth)} (`contracts.fee_growth`, an assumption)."
        ),
    )


def _back(back: WinBacks) -> str:
    text = (
        f"Of {numbers.count(back.left)} customers who left, {numbers.count(back.returned)} came back, as relations of their own: what "
        "those who have left may still bring is in no value."
    )
    if back.p == back.p:
        told = "the two curves are told apart" if back.p < LEVEL else "the two curves are not told apart"
        text += (
            f" {numbers.percent(back.later_share)} of those who came back made the first renewal, against "
            f"{numbers.percent(back.first_share)} of new customers; {told} (p = {numbers.number(back.p, 3)})."
        )
    return text
