"""One measurement in a fresh process: ``python -I measure.py JOB`` prints one JSON line.

JOB is JSON: ``peer``, ``script`` (the peer's file beside this one), ``work``, ``files``, ``as_of``, ``draws``,
``memory_gb``, ``checkout``. The script's function of that name gets the job, does what is not measured (reading), and returns
the function that is. Nothing but the standard library is imported here: the peers' environments know no more.
"""

import json
import os
import platform
import resource
import runpy
import sys
import time
import traceback
from types import SimpleNamespace

WORTH_REPEATING = 20  # seconds; a second call in the same process tells what the first one paid for once


def peak_mb() -> float:
    """Most memory this process held at once, in MB."""
    unit = 1e6 if platform.system() == "Darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def cpu_seconds() -> float:
    """Time that processors worked for this process and its children, over all threads: other work is not in it."""
    return sum(os.times()[:4])


def limit_memory(gigabytes: float) -> None:
    """Let a process that wants more fail by itself, before the machine stops another one."""
    if platform.system() == "Linux":
        size = int(gigabytes * 1e9)
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def own_words(error: BaseException) -> str:
    """Kind and first lines of an error."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def measure(job: dict) -> dict:
    """What one function took: seconds, peak memory before and at its end, and what it reports itself."""
    limit_memory(job["memory_gb"])
    if job["checkout"]:  # ours alone is told where it is
        sys.path.insert(0, job["checkout"])
    began = time.perf_counter()
    works = runpy.run_path(job["script"])
    imported = time.perf_counter() - began
    said = {"import_seconds": imported, "import_peak_mb": peak_mb()}
    try:
        timed = works[job["work"]](SimpleNamespace(**job))
        began, worked = time.perf_counter(), cpu_seconds()
        made = timed()
        seconds = time.perf_counter() - began
        said |= {"seconds": seconds, "cpu_seconds": cpu_seconds() - worked, "peak_mb": peak_mb()}
        if seconds < WORTH_REPEATING:
            began = time.perf_counter()
            timed()
            said["again_seconds"] = time.perf_counter() - began
        said |= made() if callable(made) else made  # judging a result may take as long as making it
    except Exception as error:  # whatever a library raises is its answer
        traceback.print_exc()
        said |= {"failed": own_words(error), "peak_mb": peak_mb()}
    return said


if __name__ == "__main__":
    line = os.fdopen(os.dup(1), "w")  # libraries print; the answer has the output to itself
    os.dup2(2, 1)
    print(json.dumps(measure(json.loads(sys.argv[1]))), file=line, flush=True)
    os._exit(0)  # some leave threads behind that would keep the process
