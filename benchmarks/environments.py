"""One virtual environment per peer, from its list of exact versions; a peer's Python never sees the checkout."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.plan import OURS, PEERS

HERE = Path(__file__).parent
VENVS = HERE / ".venvs"
#: Variables by which a Python, or what it imports, would look into other folders.
NOT_PASSED = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONSTARTUP", "MPLBACKEND")


def python_of(peer: str) -> Path:
    """The interpreter a peer's work runs in; ours is the one that runs this."""
    return Path(sys.executable) if peer == OURS else VENVS / peer / "bin" / "python"


def requirements(peer: str) -> Path:
    """The peer's list of packages."""
    return HERE / "peers" / f"{peer}.txt"


def versions(peer: str) -> dict[str, str]:
    """Package and version of every line of the peer's list."""
    lines = requirements(peer).read_text("utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def label(peer: str) -> str:
    """The peer's name with its version."""
    if peer == OURS:
        return PEERS[peer][0]
    pins = {name.lower(): version for name, version in versions(peer).items()}
    return f"{PEERS[peer][0]} {pins[PEERS[peer][1]]}"


def ready(peer: str) -> None:
    """Make the peer's environment, if it is not what its list says.

    Raises
    ------
    subprocess.CalledProcessError : a package cannot be had.
    """
    if peer == OURS:
        return
    folder, wanted = VENVS / peer, hashlib.sha256(requirements(peer).read_bytes()).hexdigest()
    stamp = folder / ".complete"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"installing {label(peer)} into {folder.relative_to(HERE.parent)}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True, env=environment())
    command = [
        str(python_of(peer)),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
    ]
    done = subprocess.run(
        [*command, "-r", str(requirements(peer))],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        done.check_returncode()
    stamp.write_text(wanted)


def environment() -> dict[str, str]:
    """The environment variables of a measurement."""
    kept = {name: value for name, value in os.environ.items() if name not in NOT_PASSED}
    # what pytensor compiles stays with the environments and out of the home folder
    return kept | {"PYTENSOR_FLAGS": f"base_compiledir={VENVS / 'pytensor'}", "MPLBACKEND": "agg"}
