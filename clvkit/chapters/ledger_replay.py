"""Whether a run after an erasure still adds up to what was published before it."""

from typing import TYPE_CHECKING

from clvkit import numbers
from clvkit.chapters.ledger_words import amounts, count, listed
from clvkit.checks import Check
from clvkit.erasure.replay import Replay, replay_of

if TYPE_CHECKING:
    from clvkit.workbench import Workbench


def replay(run: "Workbench") -> list[Check]:
    """The check against the run published before an erasure; nothing where there was no such run."""
    settings = run.study.resolved()
    found = replay_of(
        run.study_folder, as_of=run.study.as_of.isoformat(), inputs=run.inputs, settings=settings, ledger=run.ledger()
    )  # fmt: skip
    return [] if found is None else [replay_check(found)]


def replay_check(found: Replay) -> Check:
    """What a replay after erasures says of the published run; ``value`` is that run's id."""
    several = len(found.erasures) > 1
    after = f"erasure{'s' if several else ''} {listed(str(number) for number in found.erasures)}"
    opening = f"This run repeats run {found.run_id} after {after}"
    advice = ""
    if not found.same_inputs:
        said = f"{opening}, from other source files: it does not tie to it, and nothing is put back."
        advice = "Restore the source files of that run to compare the two; its published figures stand."
    else:
        money = f" ({amounts(found.minor)})" if found.minor else ""
        back = f"the {count(found.rows, 'row')}{money} withheld as erased since"
        then, now = found.customers
        if found.ties:
            said = (
                f"{opening}, and equals it in rows and money in, and in every state once {back} are put back. "
                + (
                    f"Of {count(then, 'customer')} {numbers.count(now)} are left; the rest were erased."
                    if now < then
                    else f"It has the same {count(then, 'customer')}."
                )
            )
        else:
            said = (
                f"{opening}, and with {back} put back it is not equal in: {', '.join(found.apart)}. "
                f"It has {count(now, 'customer')}, then {numbers.count(then)}."
            )
            advice = "Find what else changed between the two runs, such as the version of the program; the published figures stand."
    return Check(
        "ledger.replay",
        "A replay after erasure equals what was published",
        "pass" if found.ties else "review",
        said,
        value=found.run_id,
        unit="run",
        recommendation=advice,
        chapter="01_ledger",
    )
