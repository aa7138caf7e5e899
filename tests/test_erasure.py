"""A person leaves a study: no trace of them, published figures as they were, a log that says so."""

import json
import os
import shutil
from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from erasure_world import (
    AS_OF,
    EMAIL,
    OLD,
    SHOP,
    TILL,
    WHO,
    World,
    pseudonym,
    purchase_rows,
    purchases_table,
    traces,
)
from toys import snapshot

from clvkit.customers import cells, customer_summary, score_cells, spend_cells
from clvkit.erasure import (
    Certificate,
    Suppression,
    erase,
    explain,
    finish_interrupted,
    read_log,
    suppressed,
    withhold,
)
from clvkit.erasure.log import add_entry
from clvkit.errors import DataError, RunError
from clvkit.ledger.crosswalk import Crosswalk
from clvkit.publish.inspect import _erasures

TODAY = date(2024, 7, 2)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return World(tmp_path_factory.mktemp("acme")).build()


@pytest.fixture
def world(built, tmp_path):
    """A copy of the world, to be changed."""
    shutil.copytree(built.root, tmp_path / "w", dirs_exist_ok=True)
    copy = World(tmp_path / "w")
    copy.keys, copy.run = built.keys, copy.folder / built.run.relative_to(built.folder)
    return copy


def erased(world, customer=f"shop:{SHOP}", **more):
    return erase(world.study, customer, by="Data protection", today=TODAY, reports=world.reports, **more)


def table(world, kind):
    return pd.read_parquet(world.store.folder(world.keys[kind]) / "table.parquet")


def test_the_search_finds_what_it_looks_for(world):
    """The other tests trust this search."""
    found = traces(world.folder)
    key = world.keys
    assert {
        f".store/{key['ledger']}/purchases.parquet",
        f".store/{key['ledger']}/rows.parquet",
        f".store/{key['ledger']}/ledger.json",
        f".store/{key['old ledger']}/purchases.parquet",
        ".store/.new-killed/purchases.parquet",
        "draft/notebooks/mine.ipynb",
        "exports/scores.csv.gz",
        "exports/cards.parquet",
        "exports/mail.jsonl",
    } <= set(found)
    assert (
        any(name.startswith(".crosswalk/members") for name in found) and ".crosswalk/crosswalk.json" in found
    )


@pytest.mark.parametrize("customer", [pseudonym(WHO), OLD, f"shop:{SHOP}", f"till:{TILL}"])
def test_no_trace_is_left(world, customer):
    own = {path: path.read_bytes() for path in (world.root / "data").iterdir()}
    certificate = erased(world, customer)
    assert traces(world.folder) == []
    assert {path: path.read_bytes() for path in own} == own
    assert certificate.left == [] and certificate.accounts == 2 and certificate.number == 1


def test_others_stay_as_they_were(world):
    erased(world)
    bought = pq.read_table(world.store.folder(world.keys["ledger"]) / "purchases.parquet")
    assert bought.equals(purchases_table([r for r in purchase_rows() if r[0] != pseudonym(WHO)]))
    rows = pd.read_parquet(world.store.folder(world.keys["ledger"]) / "rows.parquet")
    assert set(rows["value"].dropna()) == {"41008,2024-13-01,5", "A41007,1,2"}
    words = json.loads((world.store.folder(world.keys["ledger"]) / "ledger.json").read_text())
    assert [one["row"] for one in words["quarantine"]] == [4]
    assert words["checks"] == [{"id": "rows", "value": 41007, "message": "41007 rows were read"}]
    left = pq.read_table(world.folder / "exports" / "cards.parquet").to_pylist()
    assert [one["source"] for one in left] == ["shop"]
    crosswalk = Crosswalk.load(world.folder / ".crosswalk")
    assert len(crosswalk.members) == 22 and len(crosswalk.events) == 2 and len(crosswalk.erased) == 1
    assert crosswalk.accounts(pseudonym(8)) == [("shop", "SHOP-00008"), ("till", "41008")]


def test_cells_are_those_of_the_others(world):
    """As if they had been made without the person; the cell shared with another customer has one less."""
    before = table(world, "cells")
    erased(world)
    left = customer_summary(
        ibis.memtable(purchases_table([r for r in purchase_rows() if r[0] != pseudonym(WHO)])), AS_OF
    )
    for kind, made in (("cells", cells), ("spend_cells", spend_cells), ("score_cells", score_cells)):
        pd.testing.assert_frame_equal(table(world, kind), made(left))
    assert before["n"].max() == 2 and table(world, "cells")["n"].max() == 1
    assert table(world, "scores")["n"].sum() == 11 and "clv" in table(world, "scores").columns


def test_customers_valued_as_their_segment_are_found_anew(world):
    """Which of those who are alike a table of them holds, nobody can tell: it goes, unless it is empty."""
    label = json.loads((world.store.folder(world.keys["score_cells"]) / "artifact.json").read_text())[
        "ingredients"
    ]
    kept = {}
    for name, rows in (("some", 2), ("none", 0)):
        frame = table(world, "score_cells").head(rows).assign(averaged_by="min_history_days")
        kept[name], _ = world.store.artifact(
            "averaged", label | {"arguments": name}, make=lambda frame=frame: frame,
            save=lambda made, folder: made.to_parquet(folder / "table.parquet", index=False), load=lambda folder: None,
        )  # fmt: skip
    erased(world)
    assert not world.store.folder(kept["some"]).exists() and world.store.complete(kept["none"])


def test_artifacts_stay_complete_under_their_keys(world):
    erased(world)
    for kind, key in world.keys.items():
        assert world.store.complete(key), kind


def test_published_figures_stand(world):
    names = [f"2024-06-30/aaaa0001/{name}" for name in ("results.json", "index.html", "run.json")]
    before = world.hashes()
    certificate = erased(world)
    after = world.hashes()
    assert [before[name] for name in names] == [after[name] for name in names]
    assert certificate.runs == ["aaaa0001"]
    assert certificate.possible == ["2024-06-30/aaaa0001/index.html", "2024-06-30/aaaa0001/results.json"]


def test_a_verification_says_which_erasure(world):
    before = world.hashes()
    certificate = erased(world)
    after = world.hashes()
    changed = {one["file"] for one in certificate.files}
    for name, was in before.items():
        words = explain(world.folder, name, was, after.get(name))
        if name not in changed:
            assert words == "as recorded", name
        elif name in after:
            assert words == "changed by erasure 1", name
        else:
            assert words == "removed by erasure 1", name
    assert explain(world.folder, "exports/mail.jsonl", before["exports/mail.jsonl"], "f" * 64) == "changed"
    second = erased(world, "till:41003")
    name = f".store/{world.keys['ledger']}/purchases.parquet"
    assert second.number == 2
    assert explain(world.folder, name, before[name], world.hashes()[name]) == "changed by erasure 1 and 2"


def test_a_run_says_which_erasure_changed_what_it_rests_on(world):
    run = SimpleNamespace(
        folder=world.folder / "2024-06-30" / "aaaa0001", manifest={"artifacts": dict(world.keys)}
    )
    assert _erasures(run) == []
    erased(world)
    (line,) = _erasures(run)
    assert (
        line.startswith("changed by erasure 1 of ")
        and "ledger" in line
        and "figures of the run stand" in line
    )
    run.manifest["artifacts"] = {"cells": "0" * 64}
    assert _erasures(run) == []


def test_the_log_holds_no_personal_data_and_shows_when_it_was_changed(world):
    erased(world)
    erased(world, "till:41003")
    log = world.folder / "erasures.jsonl"
    text = log.read_text()
    assert not any(word in text for word in (SHOP, f'"{TILL}"', EMAIL, pseudonym(WHO), "SHOP"))
    assert [entry["number"] for entry in read_log(world.folder)] == [1, 2]
    log.write_text(text.replace("2024-07-02", "2024-07-03", 1))
    with pytest.raises(RunError, match="entry 2 does not follow"):
        read_log(world.folder)


def test_the_certificate_says_what_is_left_to_do(world):
    outside = world.root / "mailing.csv"
    outside.write_text(f"customer,clv\n{pseudonym(WHO)},5\n{pseudonym(3)},5\n")
    certificate = erased(world, exports=[outside, world.root / "gone.csv"])
    assert certificate.recipients == ["Mailing house"]
    assert [(one["kind"], one["key"], one["runs"]) for one in certificate.refit] == [
        ("fit", world.keys["fit"], ["aaaa0001"])
    ]
    assert certificate.own_files == [
        {"source": "shop", "file": "shop.csv.gz", "rows": 2},
        {"source": "till", "file": "till.csv", "rows": 2},  # the card, and the e-mail in capitals
        {"source": "export", "file": "mailing.csv", "rows": 1},
    ]
    assert certificate.unsearched == ["bank: not a file; look in the database", "gone.csv: FileNotFoundError"]
    kept = json.loads((world.folder / ".erasure" / "certificate-1.json").read_text())
    assert Certificate.from_json(kept) == certificate
    assert "shop.csv.gz (shop, 2 rows)" in certificate.text() and "Mailing house" in certificate.text()
    one = replace(certificate, accounts=1, own_files=[{"source": "shop", "file": "a.csv", "rows": 1}]).text()
    assert ": 1 account of one person" in one and "a.csv (shop, 1 row)" in one


def test_every_file_of_the_study_that_names_the_person_is_told(world):
    """A table of customers names accounts of other sources, tickets an address that only it has with the account."""
    data, mail = world.root / "data", "only.here@example.org"
    (data / "crm.csv").write_bytes(f"nr,mail,card\n1,{mail},{TILL}\n2,x@example.org,41008\n".encode("utf-16"))
    (data / "tickets.csv").write_text(f"who,topic\n{mail},late\nx@example.org,late\n")
    (data / "outside.csv").write_text(f"source,account,customer\ntill,{TILL},1\nshop,{TILL},2\n")
    (data / "shared.csv").write_text(f"account,customer\n{TILL},1\n41008,2\n")
    written = {"format": "auto", "delimiter": ",", "bills_of": None}
    sources = world.study.ledger.by_name() | {
        "crm": SimpleNamespace(
            path="crm.csv", accounts={"till": "card"}, keys={"email": "mail"}, encoding=None, **written
        ),
        "tickets": SimpleNamespace(path="tickets.csv", encoding="utf-8", **written),
    }
    world.study.ledger = SimpleNamespace(
        by_name=lambda: sources,
        identity=SimpleNamespace(crosswalk="outside.csv"),
        shared_accounts=SimpleNamespace(members="shared.csv", allocation="gone.csv"),
    )
    # What the store has of the tickets: customers are addresses there.
    kept = world.store.folder(world.keys["ledger"]) / "table-tickets.parquet"
    pq.write_table(pa.table({"customer": [mail.upper(), "x@example.org"], "topic": ["late", "late"]}), kept)
    certificate = erased(world)
    told = {one["source"]: one["rows"] for one in certificate.own_files}
    assert (
        told.items()
        >= {"crm": 1, "tickets": 1, "identity.crosswalk": 1, "shared_accounts.members": 1}.items()
    )
    assert "gone.csv: shared_accounts.allocation is not there" in certificate.unsearched
    assert pq.read_table(kept)["customer"].to_pylist() == ["x@example.org"]


def test_the_person_does_not_come_back(world):
    erased(world)
    listed = Suppression.load(world.folder)
    accounts = ibis.memtable(
        {"source": ["shop", "till", "shop", "till", "web"], "account": [SHOP, TILL, TILL, "41008", SHOP]}
    )
    found = suppressed(accounts, listed).to_pyarrow().to_pylist()
    assert sorted((one["source"], one["account"]) for one in found) == [("shop", SHOP), ("till", TILL)]
    assert listed.fingerprint() and Suppression.load(world.root).fingerprint() is None
    assert (world.folder / ".erasure" / "suppressed.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("dialect", ["duckdb", "postgres"])
def test_intake_is_one_expression_on_every_engine(dialect):
    accounts = ibis.table({"source": "string", "account": "string"}, name="accounts")
    listed = Suppression("salt").with_accounts([("shop", SHOP)])
    assert "MD5(" in ibis.to_sql(suppressed(accounts, listed), dialect=dialect).upper()


def test_withheld_rows_name_nobody_and_still_balance():
    listed = Suppression("salt").with_accounts([("shop", SHOP)])
    said = {
        "ordinal": [0, 1, 2, 3],
        "source": ["shop", "shop", "till", "shop"],
        "account": [SHOP, "other", SHOP, None],
        "order_id": ["o1", "o2", "o3", "o4"],
        "amount_minor": [100, 200, 300, 400],
        "reason": ["amount_missing", None, None, "customer_missing"],
        "quarantined": [True, False, False, True],
        "value": [f"{SHOP},x", None, None, "y"],
    }
    lines = ibis.memtable(pa.table(said))
    found = withhold(lines, listed)
    assert found.schema() == lines.schema()
    assert withhold(lines, Suppression("salt")) is lines
    rows = found.order_by("ordinal").to_pyarrow().to_pylist()
    assert rows[0] == {"ordinal": 0, "source": "shop", "account": None, "order_id": None, "amount_minor": 100,
                       "reason": "erased", "quarantined": False, "value": None}  # fmt: skip
    assert rows[1:] == lines.order_by("ordinal").to_pyarrow().to_pylist()[1:]


def test_a_refund_that_names_nobody_goes_with_the_order_of_an_erased_person():
    """It has no account of its own: the order says whose it is; orders of another space are others'."""
    listed = Suppression("salt").with_accounts([("shop", SHOP)])
    said = {
        "ordinal": [0, 1, 2, 3, 4],
        "source": ["shop", "refunds", "refunds", "till", "shop"],
        "space": ["shop", "shop", "shop", "till", "shop"],
        "account": [SHOP, None, None, None, "other"],
        "order_id": ["o1", "o1", "o2", "o1", "o2"],
        "reason": [None] * 5,
        "quarantined": [False] * 5,
    }
    lines = ibis.memtable(pa.table(said | {"reason": pa.array([None] * 5, pa.string())}))
    found = withhold(lines, listed)
    assert found.schema() == lines.schema()
    rows = found.order_by("ordinal").to_pyarrow().to_pylist()
    assert [row["reason"] for row in rows] == ["erased", "erased", None, None, None]
    assert [row["order_id"] for row in rows] == [None, None, "o2", "o1", "o2"]


def stopped(world, at, monkeypatch):
    """Erase, and stop at a renaming as a machine may stop; whether it got that far."""
    replace, calls = os.replace, iter(range(10_000))

    def stopping(source, target):
        if next(calls) == at:
            raise KeyboardInterrupt
        return replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", stopping)
        try:
            erased(world)
        except KeyboardInterrupt:
            return True
    return False


def check_finished(world, before):
    """Go on after a stop, and look at what there is then."""
    finished = finish_interrupted(world.study, reports=world.reports) or erased(world)
    assert finished.number == 1 and finish_interrupted(world.study, reports=world.reports) is None
    assert traces(world.folder) == []
    after = world.hashes()
    assert len(read_log(world.folder)) == 1 and all(map(world.store.complete, world.keys.values()))
    for name, was in before.items():
        assert explain(world.folder, name, was, after.get(name)) not in ("changed", "missing"), name
    assert not (world.folder / ".erasure" / "journal").exists()


@pytest.mark.parametrize("at", [0, 1, 2, 9])  # the request, the plan, the first file, in the middle
def test_an_interrupted_erasure_is_finished(world, at, monkeypatch):
    before = world.hashes()
    assert stopped(world, at, monkeypatch)
    check_finished(world, before)


@pytest.mark.slow
def test_wherever_it_stops_it_is_finished(built, tmp_path, monkeypatch):
    before, at = built.hashes(), 0
    while True:
        shutil.copytree(built.root, tmp_path / f"try{at}")
        copy = World(tmp_path / f"try{at}")
        copy.keys = built.keys
        if not stopped(copy, at, monkeypatch):
            break
        check_finished(copy, before)
        at += 1
    assert at > 12


def test_asking_again_after_a_stop_gives_the_certificate(world, monkeypatch):
    assert stopped(world, 5, monkeypatch)
    assert erased(world).number == 1 and len(read_log(world.folder)) == 1


def test_half_a_line_of_the_log_is_taken_off(world):
    erased(world)
    log = world.folder / "erasures.jsonl"
    whole = log.read_text()
    log.write_text(whole + '{"number": 2, "da')
    add_entry(world.folder, {"number": 2, "files": [], "accounts": []})
    assert log.read_text().startswith(whole) and [one["number"] for one in read_log(world.folder)] == [1, 2]


def test_a_file_that_changes_meanwhile_is_taken_as_it_is_then(world, monkeypatch):
    from clvkit.erasure import carry_out as room

    apply, mail = room._apply, world.folder / "exports" / "mail.jsonl"
    monkeypatch.setattr(room, "_apply", lambda *given: _touch_once(mail) or apply(*given))
    before = world.hashes()
    certificate = erased(world)
    assert traces(world.folder) == [] and '"new": 1' in mail.read_text()
    name = f".store/{world.keys['ledger']}/purchases.parquet"
    assert explain(world.folder, name, before[name], world.hashes()[name]) == "changed by erasure 1"
    assert len({one["file"] for one in certificate.files}) == len(certificate.files)


def _touch_once(mail):
    if '"new"' not in mail.read_text():
        mail.write_text(mail.read_text() + '{"new": 1}\n')


def test_asking_again_and_for_nobody(world):
    erased(world)
    with pytest.raises(DataError, match="was erased by erasure 1 on 2024-07-02"):
        erased(world)
    with pytest.raises(DataError, match="no account of the study"):
        erased(world, "shop:SHOP-99999")
    with pytest.raises(DataError, match=r"neither[\s\S]*bank, shop, till"):
        erased(world, "nobody")
    assert len(read_log(world.folder)) == 1 and not (world.folder / ".erasure" / "journal").exists()


def test_somebody_no_run_has_seen_is_kept_out(world):
    shutil.rmtree(world.folder)
    certificate = erased(world)
    assert certificate.own_files[0]["file"] == "shop.csv.gz"
    # The account, and the address that stands beside it.
    assert len(Suppression.load(world.folder).hashes) == 2


def test_not_while_a_run_is_being_made(world):
    (world.folder / ".running" / "bbbb0001").mkdir(parents=True)
    with pytest.raises(RunError, match="bbbb0001 of this study is being made"):
        erased(world)
    assert traces(world.folder)


def test_one_erasure_at_a_time(world, monkeypatch):
    from clvkit.erasure import carry_out as room

    apply, seen = room._apply, []

    def meanwhile(*given):
        for other in (
            lambda: erased(world, "till:41003"),
            lambda: finish_interrupted(world.study, reports=world.reports),
        ):
            with pytest.raises(RunError, match="another erasure of this study"):
                other()
            seen.append(1)
        return apply(*given)

    monkeypatch.setattr(room, "_apply", meanwhile)
    assert erased(world).number == 1 and len(seen) == 2


def test_a_table_whose_share_cannot_be_told_goes(world):
    ledger = world.store.folder(world.keys["ledger"])
    (ledger / "purchases.parquet").unlink()
    certificate = erased(world)
    assert traces(world.folder) == []
    assert not (world.store.folder(world.keys["cells"]) / "table.parquet").exists()
    gone = {one["file"] for one in certificate.files if one["new"] is None}
    assert f".store/{world.keys['cells']}/artifact.json" in gone


@pytest.mark.slow
def test_a_person_leaves_a_real_run(tmp_path):
    from toys import good_notebooks, write_study

    from clvkit.publish.execute import run_study
    from clvkit.study import load_study

    study = load_study(write_study(tmp_path / "params"))
    done = run_study(study, notebooks=good_notebooks(tmp_path / "notebooks"), reports=tmp_path / "reports")
    assert done.state == "complete", done.error
    folder, published = tmp_path / "reports" / "toy", snapshot(done.folder)
    key = json.loads((done.folder / "run.json").read_text())["artifacts"]["cells"]
    before = pd.read_parquet(folder / ".store" / key / "table.parquet")["n"].sum()
    certificate = erase(study, "orders:SECRET00003", by="Ann", today=TODAY, reports=tmp_path / "reports")
    assert snapshot(done.folder) == published
    assert pd.read_parquet(folder / ".store" / key / "table.parquet")["n"].sum() == before - 1
    assert certificate.own_files == [{"source": "orders", "file": "toy.csv", "rows": 4}]
    for path in folder.rglob("*.parquet"):
        assert "SECRET00003" not in str(pq.read_table(path).to_pylist())
    assert not [name for name, data in snapshot(folder).items() if b"SECRET00003" in data]
