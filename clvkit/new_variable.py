"""The trial of a new variable: written down first, tried on two cut-offs, decided once, and kept on a card nobody can edit.

The k-th trial of a study is decided at a level of 5 % / (k (k + 1)); these levels add up to 5 %, so that however many
variables are tried, noise is accepted in all of them together at most one time in twenty (a spending of the level over a
sequence of tests, as Foster & Stine 2008 do it; this sequence needs no plan of how many there will be). A card's hash covers
what was written down and what was found, and the card before it.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clvkit.errors import RunError
from clvkit.feature_gain import Gain, gains
from clvkit.store import canonical_json, sha256_text

if TYPE_CHECKING:
    from clvkit.challenger_section import ChallengerSection, NewVariableSection
    from clvkit.time_split import Split

FALSE_ACCEPT = 0.05
DIGITS = 9  # of gains on a card, whose hash must not depend on the last bit of a sum
DECISIONS = ("accept", "reject", "not tried")


def level_of(number: int) -> float:
    """The chance at most that the ``number``-th trial of a study (from 1) accepts noise."""
    return FALSE_ACCEPT / (number * (number + 1))


@dataclass(frozen=True)
class Card:
    """A trial card.

    Attributes
    ----------
    number : place of the trial in the study, from 1.
    registration : what was written down: the fields of `NewVariableSection`.
    registered_sha256 : hash of the registration alone.
    data : the as-of date, the two cut-offs and a name of the data that it was tried on.
    result : ``gains`` (per cut-off: ``origin, end, customers, gain, low, high, level``), ``coverage``, ``cost_per_year``,
        ``level``, ``decision`` (one of `DECISIONS`) and ``because``.
    previous : hash of the card before; empty for the first.
    sha256 : hash of all of this.
    """

    number: int
    registration: dict
    registered_sha256: str
    data: dict
    result: dict
    previous: str
    sha256: str = ""

    def computed(self) -> str:
        """The hash that the card must have."""
        return sha256_text(canonical_json({k: v for k, v in asdict(self).items() if k != "sha256"}))

    @classmethod
    def of(cls, number: int, registration: dict, data: dict, result: dict, previous: str) -> "Card":
        """A card with its hashes."""
        bare = cls(number, registration, sha256_text(canonical_json(registration)), data, result, previous)
        return cls(**asdict(bare) | {"sha256": bare.computed()})

    @property
    def decision(self) -> str:
        """What was decided."""
        return self.result["decision"]


def require_unedited(cards: "list[Card]") -> None:
    """Refuse cards that are not what they were when the result was found.

    Raises
    ------
    RunError : names the first card that was edited, taken out or put in.
    """
    previous = ""
    for place, card in enumerate(cards, start=1):
        sound = (
            card.number == place
            and card.previous == previous
            and card.registered_sha256 == sha256_text(canonical_json(card.registration))
            and card.sha256 == card.computed()
        )
        if not sound:
            raise RunError(
                f"the trial card {card.number} of {card.registration.get('feature')!r} was changed after its result was known",
                place=f"trial card {place}",
                fix="restore the card; a new hypothesis is a new trial, added at the end of challenger.trials",
            )
        previous = card.sha256


@dataclass(frozen=True)
class Cards:
    """The trial cards of a study, in the order of its trials."""

    all: tuple[Card, ...] = ()

    def save(self, folder: Path) -> None:
        """Write the cards as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cards.json").write_text(json.dumps([asdict(one) for one in self.all]), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Cards":
        """Read what `save` wrote.

        Raises
        ------
        RunError : a card was edited since.
        """
        cards = [Card(**one) for one in json.loads((folder / "cards.json").read_text(encoding="utf-8"))]
        require_unedited(cards)
        return cls(tuple(cards))


def run_trials(parts: "Split | None", section: "ChallengerSection", data: dict, refused: str = "") -> Cards:
    """Try every new variable of a study on two cut-offs: learned before the first, tried up to the second, and once more.

    ``data`` names what it is tried on. Without ``parts`` nothing can be tried, and ``refused`` says why.
    """
    found = {} if parts is None else _found(parts, section)
    cards: list[Card] = []
    for number, one in enumerate(section.trials, start=1):
        result = _tried(parts, one, found.get(number, []), level_of(number), refused)
        previous = cards[-1].sha256 if cards else ""
        cards.append(Card.of(number, one.model_dump(mode="json"), data, result, previous))
    return Cards(tuple(cards))


def _found(parts: "Split", section: "ChallengerSection") -> "dict[int, list[Gain]]":
    """The gains from both cut-offs of every trial whose feature is there on all days, by number."""
    there = {
        number: one.feature
        for number, one in enumerate(section.trials, start=1)
        if all(one.feature in part.features.variables for part in parts.steps)
    }
    asked = {
        "levels": [1 - 2 * level_of(number) for number in there],
        "bootstrap": section.bootstrap,
        "seed": section.seed,
    }
    made: dict[int, list[Gain]] = {number: [] for number in there}
    for learned, tried in ((parts.tune, parts.train), (parts.train, parts.test)):
        for number, gain in zip(
            there, gains(learned, tried, list(there.values()), section.decide_on, **asked), strict=False
        ):
            made[number].append(gain)
    return made


def _tried(
    parts: "Split | None",
    one: "NewVariableSection",
    found: "list[Gain]",
    level: float,
    refused: str,
) -> dict:
    blank = {"gains": [], "coverage": None, "cost_per_year": one.cost_per_year, "level": level}
    if parts is None:
        return blank | {"decision": "not tried", "because": refused}
    missing = [str(part.origin) for part in parts.steps if one.feature not in part.features.variables]
    if missing:
        known = ", ".join(parts.test.features.others) or "none besides purchases"
        return blank | {
            "decision": "not tried",
            "because": f"there is no feature {one.feature} on {missing[0]}; features are {known}",
        }
    if len(found) < 2:
        return blank | {"decision": "not tried", "because": "nobody bought after one of the cut-offs"}
    made = [
        {name: round(value, DIGITS) if isinstance(value, float) else str(value) if name in ("origin", "end") else value
         for name, value in asdict(gain).items()}
        for gain in found
    ]  # fmt: skip
    said = {"gains": made, "coverage": parts.test.features.coverage(one.feature), "cost_per_year": one.cost_per_year, "level": level}  # fmt: skip
    short = [gain for gain in found if gain.gain < one.min_gain]
    if short:
        decision, because = "reject", f"its gain from {short[0].origin} is below the threshold"
    elif found[-1].low <= 0:
        decision, because = (
            "reject",
            f"the interval of its gain from {found[-1].origin} reaches zero or below",
        )
    else:
        decision, because = (
            "accept",
            "its gain reaches the threshold from both cut-offs, and chance is a poor excuse for it",
        )
    return said | {"decision": decision, "because": because}
