"""The crosswalk: saved whole or not at all, read back as it was, found and erased."""

import hashlib
import os
import stat
from datetime import date

import pandas as pd
import pyarrow as pa
import pytest

from clvkit.errors import DataError
from clvkit.ledger import crosswalk as module
from clvkit.ledger.crosswalk import Crosswalk, known_members, new_pseudonyms, save_members
from clvkit.ledger.engine import connect
from clvkit.ledger.identity import IdentitySection, assign, resolve

SECTION = IdentitySection(keys=("email",))
FIRST, SECOND = date(2024, 1, 31), date(2024, 2, 29)
ACCOUNTS = pd.DataFrame({"source": ["shop", "shop", "till", "till"], "account": ["a", "b", "a", "c"]})
LINKS = pd.DataFrame(
    {
        "source": ["shop", "till", "shop"],
        "account": ["b", "c", "a"],
        "kind": "email",
        "value": ["x@y"] * 2 + ["z@y"],
    }
)


@pytest.fixture
def made():
    """A crosswalk with a merge in its log and a note in its review list."""
    one = resolve(ACCOUNTS, None, SECTION, as_of=FIRST)
    many = pd.DataFrame(
        {"source": "web", "account": list("12345"), "kind": "email", "value": "info@acme.test"}
    )
    return resolve(ACCOUNTS, pd.concat([LINKS, many]), SECTION, one, as_of=SECOND)


def same(one, two):
    assert one.members.equals(two.members)
    pd.testing.assert_frame_equal(one.events.reset_index(drop=True), two.events)
    pd.testing.assert_frame_equal(one.review, two.review)
    assert one.erased == two.erased


def test_read_back_it_is_the_same_and_resolves_to_the_same(tmp_path, made):
    assert (len(made.events), len(made.review)) == (1, 1)
    made.save(tmp_path / "x")
    read = Crosswalk.load(tmp_path / "x")
    same(made, read)
    again = resolve(ACCOUNTS, LINKS, SECTION, read, as_of=SECOND)
    assert again.members.equals(made.members)
    assert len(again.events) == 1


def test_where_none_was_saved_it_is_empty(tmp_path):
    read = Crosswalk.load(tmp_path / "none")
    assert len(read.members) == 0
    read.save(tmp_path / "none")
    same(read, Crosswalk.load(tmp_path / "none"))


def test_only_the_owner_may_read_it_and_no_old_file_stays(tmp_path, made):
    for _ in range(2):
        made.save(tmp_path / "x")
    files = sorted((tmp_path / "x").iterdir())
    assert [file.suffix for file in files] == [".json", ".parquet"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o700


def test_a_save_that_breaks_off_leaves_the_old_one(tmp_path, made, monkeypatch):
    made.save(tmp_path)
    broken = made.without(made.find("shop", "b"), as_of=SECOND)

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        broken.save(tmp_path)
    monkeypatch.undo()
    same(made, Crosswalk.load(tmp_path))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 99}', '{"format": 1, "members": "gone.parquet"}'])
def test_a_damaged_one_is_an_error_and_not_a_new_start(tmp_path, text):
    (tmp_path / "crosswalk.json").write_text(text)
    with pytest.raises(DataError):
        Crosswalk.load(tmp_path)


def test_find_by_source_and_account(made):
    shop, till = made.find("shop", "a"), made.find("till", "a")
    assert shop != till
    assert made.find("shop", "b") == made.find("till", "c") == made.find(None, "c")
    assert made.find("shop", "nobody") is None
    assert made.accounts(made.find(None, "b")) == [("shop", "b"), ("till", "c")]
    with pytest.raises(DataError, match="2 customers in different sources"):
        made.find(None, "a")


def test_sizes_add_up(made):
    assert made.sizes().values.tolist() == [[1, 7], [2, 1]]


def test_erasure_leaves_a_hash_only(tmp_path, made):
    gone = made.find("shop", "b")
    made.save(tmp_path)
    made.without(gone, as_of=SECOND).save(tmp_path)
    read = Crosswalk.load(tmp_path)
    assert read.find("shop", "b") is None
    assert len(read.members) == len(made.members) - 2
    assert read.erased == [
        {
            "number": 1,
            "pseudonym_sha256": hashlib.sha256(gone.encode()).hexdigest(),
            "accounts": 2,
            "as_of": "2024-02-29",
        }
    ]
    assert "erased 1" in set(read.events["into"])
    text = read.members.to_pandas().to_csv() + (tmp_path / "crosswalk.json").read_text()
    assert gone not in text
    with pytest.raises(DataError, match="no account"):
        read.without(gone, as_of=SECOND)
    back = resolve(ACCOUNTS, LINKS, SECTION, read, as_of=SECOND)
    assert back.find("shop", "b") != gone
    assert back.erased == read.erased


def test_pseudonyms_are_distinct_and_quickly_made():
    names = new_pseudonyms(200_000)
    names.validate(full=True)
    assert pa.compute.count_distinct(names).as_py() == 200_000
    assert set("".join(names[:2000].to_pylist())) == set("0123456789abcdef")
    assert len(new_pseudonyms(0)) == 0


def test_what_the_engine_assigned_is_saved_from_the_engine(tmp_path, made):
    made.save(tmp_path)
    con = connect()
    new = con.create_table("new", pd.DataFrame({"source": ["shop", "web"], "account": ["b", "9"]}))
    members = assign(con, new, known_members(con, tmp_path), as_of=SECOND)
    save_members(con, members, tmp_path)
    read = Crosswalk.load(tmp_path)
    assert len(read.members) == len(made.members) + 1
    assert read.find("shop", "b") == made.find("shop", "b")
    assert read.find("web", "9") not in made.members["customer"].to_pylist()
    pd.testing.assert_frame_equal(read.review, made.review)
    assert {stat.S_IMODE(os.stat(file).st_mode) for file in tmp_path.iterdir()} == {0o600}
    assert known_members(con, tmp_path / "none") is None
    # With keys from now on, nobody is renamed.
    keyed = resolve(ACCOUNTS, LINKS, SECTION, read, as_of=SECOND)
    assert keyed.members.equals(read.members)
