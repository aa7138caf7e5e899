"""Small sources written to a folder, and ledgers built from them."""

import pytest
from ledger_reading import AS_OF, HEADER, TODAY

from clvkit.ledger import LedgerSection, build_ledger


@pytest.fixture
def source(tmp_path):
    """Write a file: ``source("a,b\\n", name="x.csv")``."""

    def write(content, name="orders.csv", encoding="utf-8"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


@pytest.fixture
def build(tmp_path):
    """Build a ledger from what was written: ``build(path="orders.csv", decimal=",")``."""

    def make(path="orders.csv", as_of=AS_OF, currency="EUR", today=TODAY, **section):
        section = LedgerSection(path=path, **section)
        return build_ledger(section, as_of=as_of, currency=currency, base=tmp_path, today=today)

    return make


@pytest.fixture
def ledger_of(source, build):
    """A ledger of the rows given, under the usual header."""

    def make(rows, header=HEADER, **more):
        source(header + rows)
        return build(**more)

    return make
