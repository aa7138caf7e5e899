"""Errors that a user can act on: the rule, the value, the place, the next step."""


class ClvError(Exception):
    """An error meant for the user.

    Parameters
    ----------
    message : the rule that was broken and the value that broke it.
    place : where it happened, such as ``params/acme.yml: line 14``.
    fix : what to do next.
    """

    exit_code = 3

    def __init__(self, message: str, *, place: str | None = None, fix: str | None = None):
        super().__init__(message)
        self.message, self.place, self.fix = message, place, fix

    def __str__(self) -> str:
        lines = [self.message]
        if self.place:
            lines.append(f"  where: {self.place}")
        if self.fix:
            lines.append(f"  next:  {self.fix}")
        return "\n".join(lines)


class StudyError(ClvError):
    """The study cannot be used as it stands."""

    exit_code = 2


class DataError(ClvError):
    """A source cannot be read as the study describes it."""

    exit_code = 2


class FitError(ClvError):
    """A model cannot be fitted to the data given."""


class RunError(ClvError):
    """A run could not be made, found or published."""
