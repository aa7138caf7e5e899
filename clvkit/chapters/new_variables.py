"""Chapter 05: the trial cards of new variables, and whether anybody edited one."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from clvkit import numbers
from clvkit.chained_log import add_chained, read_chained
from clvkit.checks import Check
from clvkit.errors import RunError
from clvkit.exhibits import Sentence, Table
from clvkit.new_variable import FALSE_ACCEPT, Card, Cards, require_unedited

if TYPE_CHECKING:
    from clvkit.workbench import Workbench

LOG, WHAT = "trials.jsonl", "trial cards"


def cards(found: Cards, currency: str) -> list[Sentence | Table]:
    """One line a card: what was written down, what was found, and what was decided."""
    if not found.all:
        return [Sentence("No new variable is on trial. `challenger.trials` of the study takes a hypothesis before its result is known.")]  # fmt: skip
    rows = []
    for one in found.all:
        said, result = one.registration, one.result
        gains = {k: gain for k, gain in enumerate(result["gains"])}
        first, last = gains.get(0), gains.get(1)
        rows.append({
            "number": one.number, "feature": said["feature"], "hypothesis": said["hypothesis"], "registered": said["registered"],
            "threshold": said["min_gain"], "first": first["gain"] if first else "[z]", "last": last["gain"] if last else "[z]",
            "low": last["low"] if last else "[z]", "high": last["high"] if last else "[z]",
            "coverage": "[z]" if result["coverage"] is None else result["coverage"], "cost": result["cost_per_year"],
            "decision": f"{result['decision']}: {result['because']}", "card": one.sha256[:12],
        })  # fmt: skip
    frame = pd.DataFrame(rows)
    taken = [one.registration["feature"] for one in found.all if one.decision == "accept"]
    title = (
        f"{len(taken)} of {len(found.all)} new variables {'is' if len(taken) == 1 else 'are'} accepted: {', '.join(taken)}"
        if taken
        else f"None of {len(found.all)} new variables on trial is accepted"
        if len(found.all) > 1
        else "The new variable on trial is not accepted"
    )
    return [Table(
        "new_variable_trials",
        frame,
        title,
        "Share of the error of a forecast by purchases alone that the variable takes away, from an earlier and from the latest "
        f"cut-off; cost in {currency} a year.",
        formats={"threshold": "percent", "coverage": "percent", "cost": "money"}
        | dict.fromkeys(["first", "last", "low", "high"], "percent:2"),
        labels={"number": "No", "feature": "Feature", "hypothesis": "Hypothesis", "registered": "Written down", "threshold": "Threshold",
                "first": "Gain, earlier", "last": "Gain, latest", "low": "Low", "high": "High", "coverage": "Known of", "cost": "Cost",
                "decision": "Decision", "card": "Card"},
        note="A variable is accepted where its gain reaches the threshold from both cut-offs and the interval of the latest is "
        "above zero. Intervals grow wider with every trial, so that all trials of a study together accept noise at most "
        f"{numbers.percent(FALSE_ACCEPT, 0)} of the time. The card is the beginning of a hash of what was written down, what was "
        "found, and the card before.",
    )]  # fmt: skip


def kept(run: "Workbench") -> tuple[Cards, list[Check]]:
    """The cards of a run, added to the study's log of them, and the check that nobody edited any."""
    found = run.trials()
    return found, checks(found, run.study_folder / LOG)


def checks(found: Cards, log: Path) -> list[Check]:
    """Log the cards and tell whether those of the log, and what they say was written down, are as they were.

    A card of an entry that was changed, taken out of the study or put before others after its result was known fails the check.
    """
    if not found.all and not log.is_file():
        return []
    asked = ("trials.cards", "No trial card was edited after its result was known")
    try:
        require_unedited(list(found.all))
        before = [Card(**one["card"]) for one in read_chained(log, WHAT)]
        for card in before:
            if card.sha256 != card.computed():
                raise RunError(
                    f"card {card.number} of {card.registration.get('feature')!r} in {LOG} was edited"
                )
            now = found.all[card.number - 1] if card.number <= len(found.all) else None
            if now is None:
                raise RunError(
                    f"trial {card.number} of {card.registration['feature']!r} was taken out of the study after its result was known"
                )
            if now.registered_sha256 != card.registered_sha256:
                raise RunError(
                    f"what was written down for trial {card.number} was changed after its result was known: it was "
                    f"{card.registration['feature']!r} with a threshold of {numbers.percent(card.registration['min_gain'])}"
                )
        known = {card.sha256 for card in before}
        for card in found.all:
            if card.sha256 not in known and card.decision != "not tried":
                add_chained(log, {"number": len(known) + 1, "card": asdict(card)}, WHAT)
                known.add(card.sha256)
    except (RunError, KeyError, TypeError, ValueError) as error:
        message = error.message if isinstance(error, RunError) else f"{LOG} cannot be read"
        return [Check(*asked, "fail", f"{message[0].upper()}{message[1:]}.", severity="stop", chapter="05_backtest",
                      recommendation="Restore the card or the study's entry; write a new hypothesis down as a new trial, at the end.")]  # fmt: skip
    cards = len(found.all)
    return [Check(*asked, "pass", "The card agrees with its hash and with the log." if cards == 1
                  else f"{cards} cards agree with their hashes and with the log.",
                  value=cards, unit="cards", severity="stop", chapter="05_backtest")]  # fmt: skip


def as_results(found: Cards) -> list[dict]:
    """The cards as ``results.json`` holds them."""
    return [asdict(one) for one in found.all]
