"""What went wrong with a run, in words: the place, the reason, the next thing to do."""

import errno
import re
import traceback

from clvkit.errors import RunError
from clvkit.publish.kernel import Outcome
from clvkit.publish.making import Making

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_FIX = "free some space, or write elsewhere with --out; what was published before is untouched"
_NEXT = {
    "failed": "open the notebook in JupyterLab and run it up to that cell",
    "died": "give the run more memory, or fewer posterior draws",
    "timed_out": "allow more with --cell-timeout, or find out what is slow",
    "stopped_early": "end the notebook with run.finish(), and let nothing leave it before",
}
# The advice inside a message that an error of this package printed in the kernel.
_ADVICE = re.compile(r"^\s+next:\s+(.+)", re.M)


def outcome_error(outcome: Outcome, making: Making) -> RunError:
    """The error of a notebook that did not complete."""
    making.traceback = outcome.traceback
    making.manifest["stopped"] = {"notebook": outcome.stem, "cell": outcome.cell}
    place = f"{outcome.stem}.ipynb" + (f": cell {outcome.cell}" if outcome.cell else "")
    if any(f"[Errno {number}]" in outcome.error for number in _FULL):
        return RunError("the disk is full", place=place, fix=_FULL_FIX)
    advice = _ADVICE.search(outcome.error)
    return RunError(
        f"{outcome.stem} did not finish: {outcome.message}",
        place=place,
        fix=advice[1] if advice else _NEXT[outcome.state],
    )


def interrupted(making: Making) -> RunError:
    """The error of a run that was told to end."""
    after = f"after {making.outcomes[-1].stem}" if making.outcomes else None
    return RunError("the run was interrupted", place=after, fix="run it again; what is in the store is kept")


def disk_error(error: OSError) -> RunError:
    """The error of a run that could not write, or read what it had written."""
    if error.errno in _FULL:
        return RunError("the disk is full", fix=_FULL_FIX)
    return RunError(f"a file could not be written or read: {error}")


def unexpected(error: Exception, making: Making) -> RunError:
    """The error of a mistake in this package; its traceback goes into the log of the audit file."""
    making.traceback = "".join(traceback.format_exception(error))
    making.progress.lines.append(making.traceback)
    return RunError(
        f"an error in clvkit itself: {type(error).__name__}: {error}",
        fix="run again with --debug and report what it says",
    )
