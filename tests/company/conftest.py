"""The committed sample and two twins of it with defects planted, each read once by the ledger of params/acme.yml."""

import pytest
from companies import FILE_DEFECTS, ROW_DEFECTS, SAMPLE, STUDY, Studied, ledger_of, studied, written

from clvkit.ledger import build_ledger


@pytest.fixture(scope="session")
def clean(tmp_path_factory) -> Studied:
    """The committed sample through the committed study."""
    crosswalk = tmp_path_factory.mktemp("clean")
    ledger = build_ledger(STUDY.ledger, as_of=STUDY.as_of, currency=STUDY.currency, base=STUDY.base,
                          crosswalk=crosswalk)  # fmt: skip
    return studied(SAMPLE, ledger, crosswalk)


def _planted(folder, defects) -> Studied:
    hits = written(folder, defects)
    crosswalk = folder / "crosswalk"
    return studied(folder, ledger_of(folder, crosswalk=crosswalk), crosswalk, hits)


@pytest.fixture(scope="session")
def wrong_rows(tmp_path_factory) -> Studied:
    """The sample's twin with every defect of single rows."""
    return _planted(tmp_path_factory.mktemp("rows"), ROW_DEFECTS)


@pytest.fixture(scope="session")
def wrong_files(tmp_path_factory) -> Studied:
    """The sample's twin with defects of files and weeks, each in a month of its own."""
    return _planted(tmp_path_factory.mktemp("files"), FILE_DEFECTS)
