"""Chapter 04: whether customers buy at random or like clockwork, and what regularity the likelihood finds."""

from typing import TYPE_CHECKING

from clvkit import numbers
from clvkit.exhibits import Sentence
from clvkit.processes import REGULAR
from clvkit.rhythm import in_words, rhythm_check

__all__ = ["rhythm_check", "sentence"]

if TYPE_CHECKING:
    from clvkit.calendar import Calendar
    from clvkit.fit import Fit
    from clvkit.rhythm import Rhythm


def sentence(found: "Rhythm", fits: "dict[str, Fit]", calendar: "Calendar") -> Sentence:
    """What the log says about rhythm, and where MBG/CNBD-k is fitted, which k is most likely and by how much."""
    text = in_words(found)
    if found.known and calendar.clock is not None:
        text += (
            " Gaps are counted in days and not on the study's calendar: a season, or a shut week, makes some of them longer and "
            "some shorter, so that customers may be more regular than this says."
        )
    fit = fits.get(REGULAR)
    if fit is None:
        return Sentence(text)
    tried = {int(name.removeprefix("k = ")): value for name, value in fit.observed.items()}
    k = max(tried, key=tried.get)
    if k == 1:
        return Sentence(f"{text} No whole k above 1 is more likely: {fit.label} is MBG/NBD.")
    gain = numbers.number(tried[k] - tried[1], 1)
    return Sentence(
        f"{text} Of whole k, {k} is the most likely ({fit.label}): its log-likelihood is {gain} above that of k = 1, "
        "purchases at random."
    )
