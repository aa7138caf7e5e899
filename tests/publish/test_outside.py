"""What comes from outside of a run: an interrupt, a scheduler that ends it, a disk that is full."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from toys import FINISH, TABLE, good_notebooks, manifest, snapshot, write_notebook, write_study

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and limits of POSIX")

CHECKOUT = Path(__file__).resolve().parents[2]


def clv(*arguments, preexec_fn=None, **options) -> subprocess.Popen:
    """Start the command as a terminal does: whoever runs the tests may be deaf to Ctrl-C, and hand that on."""

    def listening():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if preexec_fn is not None:
            preexec_fn()

    command = [sys.executable, "-m", "clvkit.cli", *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listening,
        **options,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A study with one published run."""
    root = tmp_path_factory.mktemp("outside")
    study = write_study(root / "params")
    process = clv("run", study, "--notebooks", good_notebooks(root / "notebooks"), "--out", root / "reports")
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert Path(output.splitlines()[-1]).name == "index.html"
    return root, study


def alive(process_id: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(process_id, 0)
        state = Path(f"/proc/{process_id}/stat")
        return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


BUSY = {
    "sleeping": "import time\ntime.sleep(120)",
    "computing": "total = 0\nwhile True:\n    total += sum(range(1000))",
    "deaf": "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(120)",
}


@pytest.mark.parametrize(
    ("how", "number"),
    [
        ("sleeping", signal.SIGINT),
        pytest.param("computing", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("deaf", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("computing", signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_interrupt_while_a_kernel_is_busy(place, tmp_path, how, number):
    root, study = place
    before = snapshot(root / "reports" / "toy" / "2023-07-01")
    mark = tmp_path / "kernel"
    tell = f"import os, pathlib\npathlib.Path({str(mark)!r}).write_text(str(os.getpid()))"
    write_notebook(tmp_path / "notebooks", "01_ledger", TABLE, tell, BUSY[how], FINISH)
    process = clv("run", study, "--notebooks", tmp_path / "notebooks", "--out", root / "reports")
    for _ in range(600):
        if mark.exists() and mark.read_text():
            break
        time.sleep(0.1)
    time.sleep(0.5)
    kernel = int(mark.read_text())
    assert alive(kernel)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.startswith("error: the run was interrupted") and "Traceback" not in errors
    assert not alive(kernel)
    failed = newest(root / "reports" / "toy" / "failed")
    assert manifest(failed)["state"] == "interrupted" and manifest(failed)["exit_code"] == 130
    assert "This run did not finish. Do not use." in (failed / "index.html").read_text()
    assert snapshot(root / "reports" / "toy" / "2023-07-01") == before
    assert not list((root / "reports" / "toy" / ".running").iterdir())


def wait_for_work(process: subprocess.Popen, seconds: float) -> None:
    """Wait until a process has computed for so long; the clock alone says nothing on a busy machine."""
    state = Path(f"/proc/{process.pid}/stat")
    if not state.exists():
        time.sleep(seconds)
        return
    while process.poll() is None:
        used = sum(int(ticks) for ticks in state.read_text().rsplit(")", 1)[1].split()[11:13])
        if used / os.sysconf("SC_CLK_TCK") >= seconds:
            return
        time.sleep(0.02)


@pytest.mark.parametrize("moment", [0.3, pytest.param(1.0, marks=pytest.mark.slow), 2.0])
def test_interrupt_early_publishes_nothing(place, moment):
    root, study = place
    before = snapshot(root / "reports" / "toy" / "2023-07-01")
    write_notebook(root / "endless", "01_ledger", "import time\ntime.sleep(120)", FINISH)
    process = clv("run", study, "--notebooks", root / "endless", "--out", root / "reports")
    wait_for_work(process, moment)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    # before the command has begun, Python itself ends by the signal; a shell calls both 130
    assert process.returncode in (130, -signal.SIGINT), errors
    assert process.returncode == -signal.SIGINT or "Traceback" not in errors
    assert snapshot(root / "reports" / "toy" / "2023-07-01") == before


def newest(folder: Path) -> Path:
    return max(folder.iterdir(), key=lambda path: path.stat().st_mtime)


BIG = (
    "frame = pd.DataFrame({'x': range(400_000)})\nrun.show(Table('big', frame.head(1), 'm', 'c'))\n"
    "frame.to_csv(run.folder / 'tables' / 'big.csv')"
)


@pytest.mark.parametrize(("limit", "where"), [(1_000_000, "01_ledger.ipynb: cell 5"), (10_000, None)])
@pytest.mark.slow
def test_file_size_limit_counts_as_a_full_disk(place, tmp_path, limit, where):
    root, study = place
    before = snapshot(root / "reports" / "toy" / "2023-07-01")
    write_notebook(tmp_path / "notebooks", "01_ledger", TABLE, BIG, FINISH)
    process = clv(
        "run",
        study,
        "--notebooks",
        tmp_path / "notebooks",
        "--out",
        root / "reports",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 3, errors
    assert errors.startswith("error: the disk is full") and "Traceback" not in errors
    assert where is None or where in errors
    failed = newest(root / "reports" / "toy" / "failed")
    assert manifest(failed)["state"] == "failed" and "disk is full" in manifest(failed)["message"]
    assert snapshot(root / "reports" / "toy" / "2023-07-01") == before


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk], capture_output=True
        ).returncode
    ):
        pytest.skip("needs the right to mount a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.slow
def test_full_disk(small_disk, tmp_path):
    study = write_study(tmp_path / "params")
    first = clv("run", study, "--notebooks", good_notebooks(tmp_path / "good"), "--out", small_disk)
    assert first.wait(timeout=120) == 0
    before = snapshot(small_disk / "toy" / "2023-07-01")
    write_notebook(tmp_path / "notebooks", "01_ledger", TABLE, BIG, FINISH)
    process = clv("run", study, "--notebooks", tmp_path / "notebooks", "--out", small_disk)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 3
    assert errors.startswith("error: the disk is full"), errors
    assert snapshot(small_disk / "toy" / "2023-07-01") == before
    assert manifest(newest(small_disk / "toy" / "failed"))["state"] == "failed"


def test_debug_shows_where_a_cell_failed(place, tmp_path):
    root, study = place
    notebooks = write_notebook(tmp_path, "01_ledger", "1 / 0", FINISH).parent
    process = clv("run", study, "--notebooks", notebooks, "--out", root / "reports", "--debug")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 3 and "Traceback" in errors and "1 / 0" in re.sub("\x1b[^m]*m", "", errors)


def test_commands_over_a_run(place):
    root, study = place
    out = ("--out", root / "reports")
    for arguments, words in [
        (("list", *out), "complete"),
        (("list", "toy", *out), "complete"),
        (("list", "nothing", *out), "no runs yet"),
        (("show", "toy@latest", *out), "customers"),
        (("check", study, *out), "Every source row"),
    ]:
        process = clv(*arguments)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0 and words in output, errors
    process = clv("show", "toy@latest", "--json", *out)
    assert json.loads(process.communicate(timeout=60)[0])["study"] == "toy"
    process = clv("check", study, "--set", "sufficiency.min_customers=1000", "--json", *out)
    found = json.loads(process.communicate(timeout=60)[0])
    assert process.returncode == 1 and found["ledger"]["customers"] == 150
