import json
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from clvkit.checks import Check
from clvkit.errors import RunError
from clvkit.estimate import Estimate
from clvkit.exhibits import Facts, Figure, Headline, Sentence, Table
from clvkit.publish import style
from clvkit.recorder import SENTINEL, Recorder, plain_json

TABLE = Table("by_group", pd.DataFrame({"g": ["a"], "v": [1 / 3]}), "message", "measure")


@pytest.fixture
def displayed(monkeypatch):
    """What was displayed, as (media types, metadata)."""
    seen = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw, metadata: seen.append((data, metadata)))
    return seen


@pytest.fixture
def recorder(tmp_path, displayed):
    return Recorder(tmp_path, "04_value", "aaaa0001")


def recorded(folder, stem="04_value"):
    return json.loads((folder / "parts" / f"{stem}.json").read_text())


def test_a_finished_draft_says_where_it_is(tmp_path, displayed, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Recorder(tmp_path / "toy" / "draft", "04_value").finish()
    assert displayed[-1][0]["text/plain"] == "04_value is finished; its results are in the draft toy/draft."


def test_exhibits_are_shown_and_kept(recorder, displayed, tmp_path):
    with style.canvas() as (drawing, axes):
        axes.plot([1, 2], [1, 2])
    figure = Figure("line", drawing, "m", "c", alt="a", frame=pd.DataFrame({"x": [1]}))
    recorder.show(TABLE, figure, Sentence("one"), [Headline("two"), Facts({"a": "b"})])
    recorder.finish()
    kinds = [metadata["clvkit"] for _, metadata in displayed]
    assert kinds == ["table", "figure", "sentence", "headline", "facts", "finished"]
    assert all({"text/html", "text/plain"} == set(data) for data, _ in displayed[:-1])
    assert displayed[-1][0][SENTINEL] == {"stem": "04_value", "run_id": "aaaa0001"}
    assert (tmp_path / "tables" / "by_group.csv").read_text() == "g,v\na,0.3333333333333333\n"
    assert (tmp_path / "figures" / "line.svg").exists() and (tmp_path / "figures" / "line.csv").exists()
    assert [one["name"] for one in recorded(tmp_path)["exhibits"]] == ["by_group", "line"]


def test_a_name_is_used_once_in_a_run_and_again_in_a_draft(recorder, tmp_path):
    recorder.show(TABLE)
    with pytest.raises(RunError, match="under the name by_group"):
        recorder.show(TABLE)
    draft = Recorder(tmp_path / "draft", "04_value")
    draft.show(TABLE)
    draft.show(TABLE)


def test_metrics_and_results(recorder, tmp_path):
    equity = Estimate(1.5, 1.0, 2.0, 1.4, "expected", "USD")
    recorder.metric("equity", equity, by={"web": equity.scaled(2)})
    recorder.metric("customers", np.int64(150), unit="customers")
    recorder.metric("lift", float("nan"))
    recorder.record("fits", {"bgnbd": {"r": np.float64(0.2)}})
    recorder.record("fits", {"paretonbd": {}})
    recorder.record("backtests", [{"origin": date(1997, 9, 30)}])
    recorder.used("ledger", "k")
    recorder.write()
    said = recorded(tmp_path)
    assert said["metrics"]["equity"] == equity.to_json() | {"by": {"web": equity.scaled(2).to_json()}}
    assert said["metrics"]["customers"] == {
        "value": 150,
        "low": None,
        "high": None,
        "interval": None,
        "kind": None,
        "mle": None,
        "unit": "customers",
    }
    assert said["metrics"]["lift"]["value"] is None
    assert said["results"] == {
        "fits": {"bgnbd": {"r": 0.2}, "paretonbd": {}},
        "backtests": [{"origin": "1997-09-30"}],
    }
    assert said["artifacts"] == {"ledger": "k"}


def test_checks_learn_their_chapter(recorder, tmp_path):
    recorder.show(Check("a", "A", "pass", "m"), [Check("b", "B", "fail", "m", chapter="01_ledger")])
    recorder.write()
    assert [one["chapter"] for one in recorded(tmp_path)["checks"]] == ["04_value", "01_ledger"]


def test_what_is_no_exhibit_is_refused(recorder):
    with pytest.raises(TypeError, match=r"run\.show takes tables"):
        recorder.show("text")


def test_plain_json():
    assert plain_json(
        {1: (np.float64("inf"), Decimal("1.5"), np.array([1, 2]), None, True, date(2024, 1, 1))}
    ) == {"1": [None, 1.5, [1, 2], None, True, "2024-01-01"]}
    with pytest.raises(TypeError, match="plain values"):
        plain_json(object())
