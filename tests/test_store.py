import json
import multiprocessing
import time

import pytest

from clvkit.errors import RunError
from clvkit.store import Store, canonical_json, code_fingerprint, library_versions


def save(value, folder):
    (folder / "value.json").write_text(json.dumps(value))
    (folder / "more").mkdir()
    (folder / "more" / "note.txt").write_text("kept")


def load(folder):
    return json.loads((folder / "value.json").read_text())


class Counter:
    def __init__(self, value):
        self.value, self.calls = value, 0

    def __call__(self):
        self.calls += 1
        return self.value


def keep(store, make, ingredients=None):
    return store.artifact("toy", ingredients or {"a": 1}, make=make, save=save, load=load)


def test_made_once_then_loaded(tmp_path):
    make = Counter([1, 2])
    first, second = keep(Store(tmp_path), make), keep(Store(tmp_path), make)
    assert first == second == (first[0], [1, 2])
    assert make.calls == 1
    assert [path.name for path in tmp_path.iterdir()] == [first[0]]


def test_key_follows_every_ingredient_and_no_order():
    key = Store.key("toy", {"a": 1, "b": {"x": 1, "y": 2}})
    assert key == Store.key("toy", {"b": {"y": 2, "x": 1}, "a": 1})
    assert (
        len(
            {
                key,
                Store.key("other", {"a": 1, "b": {"x": 1, "y": 2}}),
                Store.key("toy", {"a": 1, "b": {"x": 1, "y": 3}}),
            }
        )
        == 3
    )
    with pytest.raises(ValueError):
        canonical_json(float("nan"))


@pytest.mark.parametrize("damage", ["changed", "missing", "unlabelled", "label garbled", "empty folder"])
def test_damaged_artifact_is_made_again(tmp_path, damage):
    store, make = Store(tmp_path), Counter([1])
    key, _ = keep(store, make)
    folder = store.folder(key)
    match damage:
        case "changed":
            (folder / "value.json").write_text("[999]")
        case "missing":
            (folder / "more" / "note.txt").unlink()
        case "unlabelled":
            (folder / "artifact.json").unlink()
        case "label garbled":
            (folder / "artifact.json").write_text("[1]")
        case "empty folder":
            for path in sorted(folder.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
    assert keep(store, make) == (key, [1])
    assert make.calls == 2
    assert [path.name for path in tmp_path.iterdir()] == [key]


def test_nothing_is_left_behind_when_making_or_saving_fails(tmp_path):
    store = Store(tmp_path)

    def broken_save(value, folder):
        (folder / "half").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError):
        store.artifact("toy", {"a": 1}, make=lambda: 1, save=broken_save, load=load)
    assert list(tmp_path.iterdir()) == []


def slow_make():
    time.sleep(0.4)
    return [7]


def keep_in_process(root, results):
    results.put(keep(Store(root), slow_make))


def test_two_processes_make_the_same_artifact(tmp_path):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=keep_in_process, args=(tmp_path, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert all(worker.exitcode == 0 for worker in workers)
    assert found == [found[0]] * 3
    assert [path.name for path in tmp_path.iterdir()] == [found[0][0]]


def test_code_fingerprint_follows_the_source(tmp_path, monkeypatch):
    package = tmp_path / "clvkit_toy_rooms"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "room.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = code_fingerprint(("clvkit_toy_rooms",))
    code_fingerprint.cache_clear()
    assert code_fingerprint(("clvkit_toy_rooms",)) == before
    (package / "room.py").write_text("x = 2\n")
    code_fingerprint.cache_clear()
    assert code_fingerprint(("clvkit_toy_rooms",)) != before
    with pytest.raises(RunError, match="clvkit_no_such_room was not found"):
        code_fingerprint(("clvkit_no_such_room",))


def test_library_versions():
    assert list(library_versions(["pydantic", "numpy"])) == ["numpy", "pydantic"]
