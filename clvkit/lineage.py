"""Lineage: from a file of the user to every figure that rests on it, and back.

A run's parts say which artifacts each notebook worked with, which sources it read itself, and what it showed; an
artifact's label says what it was made from. A figure is taken to rest on every artifact of its notebook: that is more than it may have used, and never
less.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clvkit.errors import RunError
from clvkit.results import read_parts
from clvkit.rules import did_you_mean, listed
from clvkit.runs import STORE, Run, list_runs
from clvkit.store import canonical_json, sha256_text

#: Name of the source of a study that names none.
ONLY_SOURCE = "orders"


@dataclass(frozen=True, order=True)
class Node:
    """One thing of the graph.

    ``kind`` is ``file`` (``name`` is its path in the study, ``key`` its sha256), ``source`` (``key`` is a hash of the
    files it consisted of), ``artifact`` (``name`` is its kind), ``run``, or ``metric``, ``table`` and ``figure``
    (``key`` is the run's id).
    """

    kind: str
    name: str
    key: str = ""


@dataclass
class Graph:
    """What was made from what: ``edges`` run from a thing to what was made of it."""

    edges: dict[Node, set[Node]] = field(default_factory=dict)

    def add(self, above: Node, below: Node) -> None:
        """Note that ``below`` was made from ``above``."""
        self.edges.setdefault(above, set()).add(below)
        self.edges.setdefault(below, set())

    @property
    def nodes(self) -> list[Node]:
        """Everything there is, sorted."""
        return sorted(self.edges)

    def below(self, *start: Node) -> set[Node]:
        """Everything that was made from these, at any remove."""
        return _reached(self.edges, start)

    def above(self, *start: Node) -> set[Node]:
        """Everything that these were made from, at any remove."""
        back: dict[Node, set[Node]] = {}
        for node, ends in self.edges.items():
            for end in ends:
                back.setdefault(end, set()).add(node)
        return _reached(back, start)

    def to_json(self) -> dict:
        """Nodes and edges as plain JSON; an edge is two places in the list of nodes."""
        nodes = self.nodes
        place = {node: number for number, node in enumerate(nodes)}
        return {
            "nodes": [{"kind": n.kind, "name": n.name, "key": n.key} for n in nodes],
            "edges": sorted([place[n], place[end]] for n in nodes for end in self.edges[n]),
        }


@dataclass(frozen=True)
class Dependents:
    """What rests on a source or a file: run ids, artifacts ``(kind, key)``, and by run id ``(kind, name)``."""

    runs: tuple[str, ...]
    artifacts: tuple[tuple[str, str], ...]
    shown: dict[str, tuple[tuple[str, str], ...]]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics among what is shown, each once."""
        return tuple(sorted({name for one in self.shown.values() for kind, name in one if kind == "metric"}))


def graph(study_folder: Path) -> Graph:
    """Everything that the published runs of a study were made from, and what they show."""
    study_folder = Path(study_folder)
    made, labels = Graph(), _Labels(study_folder / STORE)
    for run in list_runs(study_folder.name, study_folder.parent):
        if run.state == "complete":
            _add_run(made, run, labels)
    return made


def run_graph(run: Run) -> Graph:
    """Everything that one run was made from, and what it shows; the run need not be finished."""
    made = Graph()
    _add_run(made, run, _Labels(_study_folder(run.folder) / STORE))
    return made


def inputs_of(run_folder: Path, metric_id: str) -> list[tuple[str, str]]:
    """The files that a figure of a run rests on, each with the sha256 it had, sorted.

    Parameters
    ----------
    metric_id : a metric of ``results.json``, or a table or figure by its name.

    Raises
    ------
    RunError : the run has no such figure, or the figure rests on no file.
    """
    run_folder = Path(run_folder)
    run = Run.open(run_folder)
    made = run_graph(run)
    shown = [node for node in made.nodes if node.kind in _SHOWN and node.key == run.run_id]
    start = [node for node in shown if node.name == metric_id]
    if not start:
        names = sorted({node.name for node in shown})
        raise RunError(
            f"the run {run.run_id} has no figure {metric_id}",
            place=f"{run.run_id}/results.json",
            fix=did_you_mean(metric_id, names) or f"it has: {listed(names[:30])}",
        )
    files = sorted({(node.name, node.key) for node in made.above(*start) if node.kind == "file"})
    if not files:
        raise RunError(
            f"{metric_id} rests on no source: its notebook used no artifact",
            place=f"{run.run_id}/parts",
            fix="take it from the run's artifacts, or show it as an assumption and not as a metric",
        )
    return files


def depends_on(study_folder: Path, source_or_file: str) -> Dependents:
    """What was made from a source, or from a file by its name or the first eight digits or more of its sha256.

    Raises
    ------
    RunError : no run of the study has read such a source or file.
    """
    made = graph(study_folder)
    known = [node for node in made.nodes if node.kind in ("source", "file")]
    start = [node for node in known if _means(node, source_or_file)]
    if not start:
        names = sorted({node.name for node in known})
        sources = sorted({node.name for node in known if node.kind == "source"})
        raise RunError(
            f"no run of {Path(study_folder).name} has read {source_or_file}",
            fix=did_you_mean(source_or_file, names)
            or f"name one of the sources they have read, or a file of theirs: {listed(sources[:30]) or 'none'}",
        )
    below = made.below(*start)
    shown: dict[str, list[tuple[str, str]]] = {}
    for node in sorted(below):
        if node.kind in _SHOWN:
            shown.setdefault(node.key, []).append((node.kind, node.name))
    return Dependents(
        tuple(sorted(node.key for node in below if node.kind == "run")),
        tuple(sorted((node.name, node.key) for node in below if node.kind == "artifact")),
        {run_id: tuple(names) for run_id, names in shown.items()},
    )


_SHOWN = ("metric", "table", "figure")


class _Labels:
    """Labels of a store's artifacts, each read once; one that is not there any more is None."""

    def __init__(self, root: Path):
        self.root = root
        self._read: dict[str, dict | None] = {}

    def __getitem__(self, key: str) -> dict | None:
        if key not in self._read:
            path = self.root / key / "artifact.json"
            self._read[key] = json.loads(path.read_text("utf-8")) if path.is_file() else None
        return self._read[key]


def _add_run(made: Graph, run: Run, labels: _Labels) -> None:
    node = Node("run", run.study, run.run_id)
    sources = {(file, sha256): source for source, file, sha256 in map(_input, run.manifest["inputs"])}
    for part in read_parts(run.folder):
        used = {
            _add_artifact(made, name.split(":")[0], key, labels, sources)
            for name, key in part["artifacts"].items()
        }
        used |= {
            _add_source(made, name, [read for read, source in sources.items() if source == name])
            for name in part.get("reads", ())
        }
        for above in sorted(used):
            made.add(above, node)
            for shown in _shown(part, run.run_id):
                made.add(above, shown)
        for shown in _shown(part, run.run_id):
            made.edges.setdefault(shown, set())


def _add_artifact(made: Graph, kind: str, key: str, labels: _Labels, sources: dict) -> Node:
    """Add an artifact with what it needs. Where the label is gone, it rests on all that the run has read."""
    node, label = Node("artifact", kind, key), labels[key]
    if node in made.edges:
        return node
    made.edges[node] = set()
    if label is None:
        reads: Iterable[tuple[str, str]] = sources
    else:
        ingredients = label["ingredients"]
        for need, needed in ingredients.get("needs", {}).items():
            made.add(_add_artifact(made, need, needed, labels, sources), node)
        reads = [_input(one)[1:] for one in ingredients.get("inputs", ())]
    consists: dict[str, list[tuple[str, str]]] = {}
    for read in reads:
        consists.setdefault(sources.get(read, ONLY_SOURCE), []).append(read)
    for name, files in consists.items():
        made.add(_add_source(made, name, files), node)
    return node


def _add_source(made: Graph, name: str, files: list[tuple[str, str]]) -> Node:
    source = Node("source", name, sha256_text(canonical_json(sorted(files)))[:12])
    for file, sha256 in files:
        made.add(Node("file", file, sha256), source)
    return source


def _input(one: Any) -> tuple[str, str, str]:
    """``(source, file, sha256)`` of an input as a manifest or a label lists it."""
    if isinstance(one, dict):
        return one.get("source") or ONLY_SOURCE, one["file"], one["sha256"]
    *source, file, sha256 = one
    return source[0] if source else ONLY_SOURCE, file, sha256


def _shown(part: dict, run_id: str) -> Iterator[Node]:
    for metric_id in part["metrics"]:
        yield Node("metric", metric_id, run_id)
    for exhibit in part["exhibits"]:
        yield Node(exhibit["kind"].removesuffix("s"), exhibit["name"], run_id)


def _means(node: Node, text: str) -> bool:
    by_hash = node.kind == "file" and len(text) >= 8 and node.key.startswith(text.lower())
    return node.name == text or by_hash


def _study_folder(run_folder: Path) -> Path:
    return run_folder.resolve().parent.parent


def _reached(edges: dict[Node, set[Node]], start: Iterable[Node]) -> set[Node]:
    found: set[Node] = set()
    waiting = list(start)
    while waiting:
        for node in edges.get(waiting.pop(), ()):
            if node not in found:
                found.add(node)
                waiting.append(node)
    return found
