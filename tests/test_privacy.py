"""Banned columns, retention, masks, secrets, and the cost of doing without a column."""

import json
import os
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import spearmanr

from clvkit.errors import DataError, RunError, StudyError
from clvkit.ledger.columns import open_columns
from clvkit.privacy import PrivacySection, expire, expire_text, masked, refuse_secrets, secret_names
from clvkit.privacy_cost import compare_reduced
from clvkit.store import Store

NAMES = ["id", "E-Mail", "age", "net"]


def test_a_banned_column_is_never_handed_on():
    assert open_columns(NAMES, ["id", "net"], ["e-mail ", "AGE"]) == ["id", "net"]
    assert open_columns(NAMES, ["id"], []) == NAMES


def test_asking_for_a_banned_column_raises():
    with pytest.raises(StudyError, match=r"reads Age, which privacy\.banned_columns forbids"):
        open_columns(NAMES, ["id", "Age"], ["age"])


def artifact(study_folder, kind, days, today):
    store = Store(study_folder / ".store")
    key, _ = store.artifact(
        kind,
        {"days": days},
        make=lambda: "text",
        save=lambda made, folder: (folder / "table.txt").write_text(made),
        load=lambda folder: None,
    )
    _age(store.folder(key), days, today)
    return f".store/{key}"


def _age(folder, days, today):
    moment = (datetime(*today.timetuple()[:3], 12, tzinfo=UTC) - timedelta(days=days)).timestamp()
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (moment, moment))


TODAY = date(2024, 7, 1)


@pytest.fixture
def kept(tmp_path):
    """A study with artifacts of different kinds and ages, a draft and a run that failed."""
    paths = {(kind, days): artifact(tmp_path, kind, days, TODAY)
             for kind, days in (("ledger", 30), ("ledger", 31), ("scores", 90), ("cells", 900))}  # fmt: skip
    for name, days in (("draft", 40), ("failed/aaaa0001", 5)):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "run.json").write_text("{}")
        _age(tmp_path / name, days, TODAY)
    return tmp_path, paths


SECTION = PrivacySection(retention={"ledger": 30, "scores": 89, "draft": 14, "failed": 5})


def test_what_is_past_its_class_goes_and_is_noted(kept):
    folder, paths = kept
    found = expire(folder, SECTION, TODAY)
    assert [(one.kind, one.path, one.age_days, one.class_days) for one in found] == [
        ("scores", paths["scores", 90], 90, 89),
        ("draft", "draft", 40, 14),
        ("ledger", paths["ledger", 31], 31, 30),
    ]
    left = {name: (folder / path).exists() for name, path in paths.items()}
    assert left == {("ledger", 30): True, ("ledger", 31): False, ("scores", 90): False, ("cells", 900): True}
    assert (folder / "failed" / "aaaa0001").exists() and not (folder / "draft").exists()
    noted = [json.loads(line) for line in (folder / "expiries.jsonl").read_text().splitlines()]
    assert [one["path"] for one in noted] == [one.path for one in found] and noted[0]["day"] == "2024-07-01"
    assert expire(folder, SECTION, TODAY) == []


def test_the_list_alone_removes_nothing(kept):
    folder, paths = kept
    assert len(expire(folder, SECTION, TODAY, remove=False)) == 3
    assert (
        all((folder / path).exists() for path in paths.values()) and not (folder / "expiries.jsonl").exists()
    )


def test_the_command_says_what_it_removes(kept):
    folder, _ = kept
    study = SimpleNamespace(name=folder.name, privacy=SECTION)
    listed = expire_text(study, TODAY, reports=folder.parent, remove=False)
    assert listed.startswith("past their time:") and (folder / "draft").exists()
    removed = expire_text(study, TODAY, reports=folder.parent)
    assert "  draft: draft, 40 days old, 14 allowed" in removed and not (folder / "draft").exists()
    assert expire_text(study, TODAY, reports=folder.parent).startswith("nothing is kept longer")
    study.privacy = PrivacySection()
    assert "nothing expires" in expire_text(study, TODAY, reports=folder.parent)


def test_nothing_goes_while_a_run_is_being_made(kept):
    folder, paths = kept
    (folder / ".running" / "bbbb0001").mkdir(parents=True)
    with pytest.raises(RunError, match="bbbb0001"):
        expire(folder, SECTION, TODAY)
    assert all((folder / path).exists() for path in paths.values())


def test_retention_names_what_there_is():
    with pytest.raises(ValidationError, match="did you mean 'scores'"):
        PrivacySection(retention={"score": 30})
    with pytest.raises(ValidationError, match="at least 1 day"):
        PrivacySection(retention={"scores": 0})


def test_a_mask_keeps_the_shape():
    assert masked("Ada L. 12 <a@b.de>") == "Xxx X. 99 <x@x.xx>"
    assert masked(None) is None and masked("") == "" and masked("a\x00\n") == "x··"
    assert masked("Ä" * 100) == "X" * 60 + "…"


@given(st.text(max_size=100))
def test_a_mask_hides_all_letters_and_digits(text):
    shown = masked(text)
    assert len(shown) == min(len(text), 61)
    assert all(sign in "Xx9" for sign in shown if sign.isalnum())


SECRETS = {
    "ledger": {
        "database": "postgres://ann:hunter2@db/sales",
        "dsn": "host=db password=hunter2",
        "sources": [{"api_token": "hunter2"}, {"path": "sales.csv"}],
        "smtp_password": "hunter2",
        "warehouse_url": "https://db.example.org/sales",
    },
    "secret": "env:THE_SECRET",
    "token": None,
    "tokens": "a word that ends otherwise",
}


def test_secrets_are_found_by_name_and_by_value():
    assert secret_names(SECRETS) == [
        "ledger.database",
        "ledger.dsn",
        "ledger.smtp_password",
        "ledger.sources.0.api_token",
    ]


def test_a_study_with_a_secret_is_refused_without_saying_it():
    with pytest.raises(StudyError) as caught:
        refuse_secrets(SECRETS, "params/acme.yml")
    said = str(caught.value)
    assert "env:LEDGER_DATABASE" in said and "params/acme.yml" in said and "hunter2" not in said
    refuse_secrets({"database": "env:WAREHOUSE_URL", "path": "a:b@c.csv"})


def scores(seed=5, customers=400):
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "customer": [f"c{n}" for n in range(customers)],
            "segment": np.where(np.arange(customers) % 3 == 0, "web", "shop"),
            "clv": random.gamma(2, 50, customers).round(),  # with ties
        }
    )


def test_nothing_changes_nothing():
    found = compare_reduced(scores(), scores().drop(columns="segment").sample(frac=1, random_state=1))
    assert (found.mape, found.moved, found.customers) == (0, 0, 400)
    assert found.rank_correlation == pytest.approx(1, abs=1e-12)
    assert list(found.segments["segment"]) == ["shop", "web"]


def test_the_measures_are_those_of_the_books():
    full = scores()
    reduced = full.assign(clv=full["clv"] * 0.5 + np.random.default_rng(6).normal(0, 20, 400))
    found = compare_reduced(full, reduced)
    assert found.rank_correlation == pytest.approx(
        spearmanr(full["clv"], reduced["clv"]).statistic, abs=1e-12
    )
    sums = [frame.groupby(full["segment"])["clv"].sum() for frame in (full, reduced)]
    assert found.mape == pytest.approx(((sums[1] - sums[0]) / sums[0]).abs().mean())
    assert found.moved == pytest.approx(found.up + found.down) and 0 < found.moved < 1
    assert found.moves["customers"].sum() == 400
    assert set(found.table()["value"]) >= {found.mape, found.rank_correlation, found.moved}


def test_two_who_change_places_move():
    full = pd.DataFrame({"customer": list("abcd"), "clv": [1.0, 2, 3, 4]})
    found = compare_reduced(full, full.assign(clv=[1.0, 3, 2, 4]), tiers=2)
    assert (found.moved, found.up, found.down, found.mape) == (0.5, 0.25, 0.25, 0)


def test_kinds_of_customers_count_as_often_as_they_are():
    kinds = scores(customers=60).assign(n=np.arange(60) % 4 + 1)
    lesser = kinds.assign(clv=kinds["clv"] * np.linspace(0.2, 1.5, 60))
    single = [
        frame.loc[frame.index.repeat(frame["n"])].drop(columns="n").assign(customer=range(frame["n"].sum()))
        for frame in (kinds, lesser)
    ]
    one, two = compare_reduced(kinds, lesser), compare_reduced(*single)
    for name in ("mape", "rank_correlation", "moved", "up", "down", "customers"):
        assert getattr(one, name) == pytest.approx(getattr(two, name), abs=1e-12), name


def test_other_customers_cannot_be_compared():
    with pytest.raises(DataError, match="2 of 401 rows differ"):
        compare_reduced(scores(), scores().replace({"customer": {"c0": "new"}}))
    with pytest.raises(DataError, match="reduced scores hold a customer twice"):
        compare_reduced(scores(), scores().replace({"customer": {"c0": "c1"}}))
