"""The wording of rules that a value of a study broke: the rule, then how to put it right."""

from collections.abc import Iterable
from difflib import get_close_matches


class RuleBroken(ValueError):
    """Raised by a section's validator.

    Parameters
    ----------
    rule : follows the field's name in a sentence, such as ``must be below 1``.
    hint : what to write instead, such as ``10 % is written 0.1``; may be empty.
    at : field or item inside the validated value that the rule is about, such as ``origins`` or
        ``("origins", 0)``.
    """

    def __init__(self, rule: str, hint: str = "", *, at: str | int | tuple[str | int, ...] | None = None):
        super().__init__(f"{rule}; {hint}" if hint else rule)
        self.rule, self.hint, self.at = rule, hint, at


def nearest(name: object, options: Iterable[str]) -> str | None:
    """The option that ``name`` was most likely meant to be, or None when none comes near."""
    by_lower = {option.lower(): option for option in options}
    close = get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def did_you_mean(name: object, options: Iterable[str]) -> str:
    """A hint such as ``did you mean 'month'?``; empty when nothing comes near."""
    close = nearest(name, options)
    return f"did you mean {close!r}?" if close is not None else ""


def listed(options: Iterable[object]) -> str:
    """The options as they stand in a sentence: ``day, week, month``."""
    return ", ".join(str(option) for option in options)


def rate_hint(value: float) -> str:
    """A hint for a rate given in per cent: ``10 % is written 0.1``."""
    return f"{value:g} % is written {value / 100:g}" if 1 <= value <= 100 else ""
