"""Small study files for tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from clvkit.errors import StudyError
from clvkit.study import load_study

PARAMS = Path(__file__).parents[1] / "params"
MINIMAL = """\
name: acme
title: Acme
currency: USD
as_of: 1998-06-30
ledger:
  path: sales.csv
value:
  margin: 0.3
  annual_discount_rate: 0.1
"""


def changed(old: str, new: str) -> str:
    """The minimal study with one place changed."""
    assert MINIMAL.count(old) == 1
    return MINIMAL.replace(old, new)


def study_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with the minimal study the one to work in; messages name files relative to it."""
    monkeypatch.chdir(folder)
    (folder / "acme.yml").write_text(MINIMAL)
    return folder


def bad_study(folder: Path) -> Callable[[str | bytes], str]:
    """A function that gives what is said of a study made of the given text."""

    def said(text: str | bytes) -> str:
        (folder / "bad.yml").write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(StudyError) as caught:
            load_study("bad.yml")
        assert caught.value.exit_code == 2
        return str(caught.value)

    return said
