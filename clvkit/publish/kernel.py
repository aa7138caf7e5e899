"""One notebook, executed by Papermill in a kernel of this interpreter, and what became of it."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from clvkit.publish.parameters import INJECTED_ID
from clvkit.recorder import SENTINEL


@dataclass(frozen=True)
class Limits:
    """How long things may take, in seconds: one cell, the whole run, and a kernel's output to arrive."""

    cell: float = 1800
    run: float = 6 * 3600
    output: float = 60


@dataclass(frozen=True)
class Outcome:
    """What became of a notebook: its state (see :data:`clvkit.runs.EXIT_CODES`), where, why, how long."""

    stem: str
    state: str
    seconds: float
    message: str = ""
    cell: int | None = None
    error: str = ""
    traceback: str = ""
    slowest: list[tuple[int, float]] = field(default_factory=list)


class WallLimit(KeyboardInterrupt):
    """The whole run has taken too long; a kind of interrupt, as asyncio lets those through its callbacks."""


def execute(
    notebook: Any,
    output: Path,
    *,
    cwd: Path,
    env: dict[str, str],
    log: Path,
    limits: Limits,
    deadline: float,
    run_id: str | None,
) -> Outcome:
    """Execute a prepared notebook and judge from its outputs whether it finished.

    Papermill stamps cells of a killed or timed-out kernel as completed and returns normally from
    ``sys.exit``. Only the output that ``run.finish()`` leaves, from this run, counts as finished.

    Parameters
    ----------
    notebook : the notebook with its parameters injected.
    output : where the executed notebook is written, also when it does not finish.
    cwd : working directory of the kernel.
    env : environment variables of the kernel, on top of this process's.
    log : file for what the kernel's process prints outside of any cell.
    deadline : moment on ``time.monotonic()`` at which the run's time is up.
    run_id : that the finished mark must carry; None for drafts.

    Raises
    ------
    KeyboardInterrupt : on Ctrl-C, after the kernel was ended.
    OSError : if the output cannot be written.
    """
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    stem = output.stem
    started = time.monotonic()
    trouble: BaseException | None = None
    with open(log, "wb") as console, _alarm(deadline) as out_of_time:
        kernels = _kernel_manager_class(env, console)
        try:
            papermill.execute_notebook(
                notebook,
                str(output),
                kernel_name="python3",
                language="python",
                cwd=str(cwd),
                progress_bar=False,
                log_output=False,
                start_timeout=60,
                iopub_timeout=round(limits.output),
                execution_timeout=max(1, round(min(limits.cell, deadline - started))),
                kernel_manager_class=kernels,
                shutdown_kernel="immediate",
            )
        except (PapermillExecutionError, DeadKernelError, CellTimeoutError, WallLimit, RuntimeError) as error:
            trouble = error
        finally:
            kernels.end_all()
    seconds = time.monotonic() - started
    executed = _without_markers(output) if output.exists() else notebook
    cell = _stopped_at(executed)
    slow = slowest(executed)
    if isinstance(trouble, WallLimit) or out_of_time():
        return Outcome(
            stem, "timed_out", seconds, f"the run reached its limit of {limits.run:g} s", cell, slowest=slow
        )
    match trouble:
        case None if _finished(executed, stem, run_id):
            return Outcome(stem, "complete", seconds, slowest=slow)
        case None:
            return Outcome(
                stem,
                "stopped_early",
                seconds,
                "it ended before its last cell had recorded the results with run.finish()",
                cell,
            )
        case PapermillExecutionError():
            error = f"{trouble.ename}: {trouble.evalue}"
            return Outcome(
                stem, "failed", seconds, _first_line(error), cell, error, "\n".join(trouble.traceback)
            )
        case CellTimeoutError():
            return Outcome(stem, "timed_out", seconds, f"a cell took longer than {limits.cell:g} s", cell)
        case DeadKernelError():
            return Outcome(
                stem, "died", seconds, "its kernel was killed; most often the machine ran out of memory", cell
            )
        case _:
            error = f"{type(trouble).__name__}: {trouble}"
            return Outcome(
                stem, "died", seconds, f"its kernel could not be used ({_first_line(error)})", cell, error
            )


def slowest(notebook: Any, most: int = 3) -> list[tuple[int, float]]:
    """The cells that took longest: (number, seconds); see :func:`numbered`."""
    times = [
        (place, cell.metadata.get("papermill", {}).get("duration") or 0.0)
        for place, cell in numbered(notebook)
        if cell.cell_type == "code"
    ]
    return sorted(times, key=lambda one: -one[1])[:most]


def numbered(notebook: Any) -> list[tuple[int, Any]]:
    """The cells with their numbers from 1, counted as in the notebook one opens: without the injected one."""
    own = [cell for cell in notebook.cells if cell.get("id") != INJECTED_ID]
    return list(enumerate(own, start=1))


def _without_markers(path: Path) -> Any:
    """Read an executed notebook; the cells that Papermill adds to point at an error are taken out of the file."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    own = [cell for cell in notebook.cells if "papermill-error-cell-tag" not in cell.metadata.get("tags", [])]
    if len(own) < len(notebook.cells):
        notebook.cells = own
        nbformat.write(notebook, path)
    return notebook


def _kernel_manager_class(env: dict[str, str], console: IO[bytes]) -> type:
    """A kernel manager that starts this very interpreter, whatever kernels the machine has installed."""
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec

    class ThisInterpreter(AsyncKernelManager):
        started: list["ThisInterpreter"] = []

        def __init__(self, *arguments: Any, **options: Any):
            super().__init__(*arguments, **options)
            if self.has_trait("transport_encryption"):  # since jupyter-client 8.10
                self.transport_encryption = "auto"  # others on the machine must not read along

        @property
        def kernel_spec(self) -> KernelSpec:
            command = [sys.executable, *get_kernel_dict()["argv"][1:]]
            return KernelSpec(**get_kernel_dict() | {"argv": command})

        async def start_kernel(self, **options: Any) -> None:
            self.started.append(self)
            await super().start_kernel(**options, env=os.environ | env, stdout=console, stderr=console)

        @classmethod
        def end_all(cls) -> None:
            """Make sure that no kernel outlives its notebook, also after an interrupt in mid-cleanup."""
            for manager in cls.started:
                process = getattr(manager.provisioner, "process", None)
                if process is not None and process.poll() is None:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        if hasattr(os, "killpg"):
                            os.killpg(process.pid, signal.SIGKILL)
                        else:
                            process.kill()
                    process.wait(timeout=10)

    return ThisInterpreter


@contextlib.contextmanager
def _alarm(deadline: float) -> Iterator[Any]:
    """Raise :class:`WallLimit` in the main thread when the deadline passes; elsewhere only tell of it."""
    usable = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()

    def ring(*_: object) -> None:
        raise WallLimit

    if usable:
        before = signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, max(0.001, deadline - time.monotonic()))
    try:
        yield lambda: time.monotonic() > deadline
    finally:
        if usable:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def _finished(notebook: Any, stem: str, run_id: str | None) -> bool:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    said = [
        output.data[SENTINEL]
        for output in (code[-1].outputs if code else [])
        if output.output_type == "display_data" and SENTINEL in output.data
    ]
    return bool(said) and said[-1] == {"stem": stem, "run_id": run_id}


def _stopped_at(notebook: Any) -> int | None:
    """Number of the last cell that ran."""
    ran = [
        place
        for place, cell in numbered(notebook)
        if cell.cell_type == "code" and cell.metadata.get("papermill", {}).get("start_time")
    ]
    return ran[-1] if ran else None


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "no message"
