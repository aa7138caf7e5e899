"""What the terminal shows while a run is made."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Progress:
    """One line per stage when it is done, and a spinner while it lasts where the output is a terminal.

    Parameters
    ----------
    quiet : show nothing; for callers that are not a terminal.
    """

    def __init__(self, quiet: bool = False):
        from rich.console import Console

        self.console = Console(
            file=open(os.devnull, "w") if quiet else sys.stdout, highlight=False, soft_wrap=True
        )
        self.lines: list[str] = []

    def say(self, text: str, *, mark: str = " ", style: str = "") -> None:
        """Print a line; it is kept for the log in the audit file."""
        self.lines.append(f"{mark} {text}".rstrip())
        self.console.print(f"{mark} {text}", style=style or None, markup=False)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Show that a stage is under way."""
        if not self.console.is_terminal:
            yield
            return
        with self.console.status(name, spinner="dots"):
            yield

    def done(self, name: str, seconds: float, detail: str = "", *, good: bool = True) -> None:
        """Print the line of a stage that has ended."""
        text = f"{name:<16}{seconds:>7.1f} s"
        self.say(f"{text}   {detail}".rstrip(), mark="✓" if good else "✗", style="" if good else "red")

    def link(self, path: Path) -> None:
        """Print where something lies, as a path that terminals can open."""
        shown = os.path.relpath(path)
        if shown.startswith(".."):
            shown = str(path)
        if self.console.is_terminal:
            from rich.style import Style
            from rich.text import Text

            self.console.print(Text(shown, Style(link=path.resolve().as_uri(), bold=True)))
        else:
            self.console.print(shown, markup=False)


def slowest_words(slowest: list[tuple[int, float]]) -> str:
    """The slowest cells in a few words; cells under half a second are not worth one."""
    slow = [f"cell {cell} {seconds:.1f} s" for cell, seconds in slowest if seconds >= 0.5]
    return f"slowest: {', '.join(slow)}" if slow else ""


def tally_words(tally: dict[str, Any]) -> str:
    """The checks in a few words: ``14 pass, 2 review, 0 fail``."""
    return ", ".join(f"{tally[status]} {status}" for status in ("pass", "review", "fail"))
