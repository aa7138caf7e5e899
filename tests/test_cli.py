import os
import subprocess
import sys
from pathlib import Path

import pytest

from clvkit import cli

STUDY = Path(__file__).resolve().parents[1] / "params" / "cdnow_sample.yml"


@pytest.fixture
def clv(capsys):
    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        output = capsys.readouterr()
        return ended.value.code, output.out, output.err

    return call


def busy() -> float:
    """Processor time of the processes started so far; unlike the clock, it does not count waiting for others."""
    return sum(os.times()[2:4])


def test_help_explains_and_starts_fast():
    best = 9.0
    for _ in range(3):
        started = busy()
        done = subprocess.run(
            [sys.executable, "-m", "clvkit.cli", "--help"], capture_output=True, text=True, check=True
        )
        best = min(best, busy() - started)
    assert all(word in done.stdout for word in ("run", "check", "list", "show", "Exit codes"))
    assert best < 0.5, f"clv --help took {best:.2f} s"


@pytest.mark.parametrize("command", ["run", "check", "new", "erase", "expire", "export", "list", "show"])
def test_every_command_has_help(clv, command):
    code, output, _ = clv(command, "--help")
    assert code == 0 and "Usage: clv" in output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], "Missing argument"),
        (["rnu"], "No such command"),
        (["run", "nowhere.yml"], "does not exist"),
        (["run", STUDY, "--set", "value.margin"], "--set takes KEY=VALUE"),
        (["run", STUDY, "--set", "value.margn=0.4"], "did you mean 'margin'?"),
        (["run", STUDY, "--set", "custmers=9"], "custmers"),
        (["check", STUDY, "--as-of", "30.6.1998"], "as_of"),
        (["show", "ffffffff"], "there is no run"),
        (["run", STUDY, "--cell-timeout", "soon"], "--cell-timeout"),
    ],
)
def test_usage_errors_exit_with_2_and_one_readable_block(clv, arguments, words, monkeypatch, tmp_path):
    monkeypatch.setenv("CLVKIT_REPORTS", str(tmp_path))
    code, output, errors = clv(*arguments)
    assert (code, output) == (2, "")
    assert words in errors and "Traceback" not in errors
    assert not list(tmp_path.iterdir())


def test_debug_shows_the_traceback():
    from clvkit.errors import StudyError

    with pytest.raises(StudyError):
        cli.main(["run", "nowhere.yml", "--debug"])
