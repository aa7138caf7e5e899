"""What a headline number rests on, and what rests on a source: the lineage in the order in which things were made."""

from dataclasses import dataclass
from pathlib import Path

from clvkit.errors import RunError
from clvkit.lineage import Graph, Node, depends_on, run_graph
from clvkit.results import read_parts
from clvkit.rules import did_you_mean, listed
from clvkit.runs import Run
from clvkit.store import canonical_json, sha256_text

HEADLINE = "customer_equity"
#: Kinds that use the fit of the headline process: it is theirs by the study's choice, and not by a key of their label.
USE_FIT = ("valuation", "scores", "sensitivity", "spend_values", "dormancy", "grains")

#: What each kind of artifact is, for a reader.
KIND_WORDS = {
    "ledger": "every source row with its state, and the purchases they make",
    "cells": "customers who are alike in frequency, recency and T, counted",
    "contract_fits": "models of renewals fitted to the relations",
    "contract_value": "what running contracts are worth",
    "contract_lifetime": "the days that contracts last, where they may end on any",
    "contract_scores": "what the running contracts of each customer are worth",
    "customer_total": "what customers are worth, by purchases and contracts together",
    "contract_backtests": "renewals forecast from earlier dates, beside what came",
    "contract_curves": "how long relations last by group, and how they end",
    "revenue_retention": "what became of recurring revenue, gross and net",
    "contract_drivers": "what makes relations end sooner or later",
    "contracts": "the contracts, and the relations they make up",
    "spend_cells": "repeat customers who are alike in frequency and spend, counted",
    "score_cells": "customers who are alike in all that value depends on, counted",
    "averaged": "those of them who are valued as their segment",
    "calendar": "the clock of purchases: windows and season, as given or estimated",
    "treatments": "the fit and the value under each treatment of the calendar, by quick fits",
    "fit": "a purchase process fitted to the cells",
    "fit_without_calendar": "the purchase process of the value fitted without the calendar, to compare with",
    "fit_by_segment": "the purchase process of the value fitted by segment",
    "fit_with_covariates": "the purchase process of the value fitted with covariates",
    "spend_by_segment": "the model of spend fitted by segment",
    "gaps": "gaps between purchases of customers alike, added up",
    "truncation": "whether the log begins in the middle of its customers' lives",
    "spend_choice": "which model of spend per purchase is used, and why",
    "spend": "the model of spend per purchase",
    "spend_drift": "whether customers' amounts drift over time",
    "spend_values": "customer equity with each model of spend",
    "valuation": "what all customers are worth, and who holds it",
    "grains": "the value at each grain, what was brought so far, and what is at risk of leaving",
    "dormancy": "customer equity under each treatment of customers who are silent for long",
    "scores": "the value of one customer of each kind",
    "currency_effect": "revenue and value under each method of conversion, by quick fits",
    "merging": "the value with accounts apart and joined, by quick fits",
    "privacy_cost": "the values without columns that may have to go, by quick fits",
    "cohorts": "what customers of each period of acquisition did since",
    "cohort_schemes": "what the cohorts of each scheme of keys did since",
    "retention": "how long customers keep buying",
    "challenge": "machines that learn from features, tried beside the processes",
    "trials": "the cards of new variables on trial",
    "methods": "the customers valued in several ways, side by side",
    "backtests": "every process tried from earlier dates",
    "sensitivity": "what a change in each driver does to customer equity",
}


@dataclass(frozen=True)
class Made:
    """An artifact: its name (``fit:paretonbd``), what it is, its key, and the names of what it was made from."""

    name: str
    words: str
    key: str
    made_from: tuple[str, ...]


@dataclass(frozen=True)
class RestsOn:
    """What a figure of a run rests on.

    Attributes
    ----------
    metric, value, unit : the figure as ``results.json`` has it.
    files : ``(source, file, sha256)`` of every input, sorted.
    artifacts : in the order in which they were made; those of one age by name.
    notebooks : that record the figure.
    """

    metric: str
    value: float | None
    unit: str
    files: tuple[tuple[str, str, str], ...]
    artifacts: tuple[Made, ...]
    notebooks: tuple[str, ...]

    def file_rows(self, most: int = 3) -> list[tuple[str, str, str]]:
        """``(source, files, sha256)`` for a page: each file, or all of a source in one row where it has more than ``most``.

        The hash of such a row is that of the names and hashes of its files.
        """
        rows = []
        for source in dict.fromkeys(source for source, _, _ in self.files):
            mine = [(file, sha256) for one, file, sha256 in self.files if one == source]
            if len(mine) <= most:
                rows += [(source, file, sha256) for file, sha256 in mine]
            else:
                words = f"{len(mine)} files, {mine[0][0]} to {mine[-1][0]}"
                rows.append((source, words, sha256_text(canonical_json(mine))))
        return rows

    def text(self) -> str:
        """The chain to be read in a terminal, from the files to the figure."""
        lines = ["files"]
        lines += [f"  {source}: {file}  sha256 {sha256}" for source, file, sha256 in self.files]
        lines.append("artifacts")
        lines += [
            f"  {one.name}  {one.key[:12]}  from {', '.join(one.made_from)}: {one.words}"
            for one in self.artifacts
        ]
        lines.append(f"notebook\n  {', '.join(self.notebooks)}")
        worth = "not available" if self.value is None else f"{self.value:,.2f} {self.unit}".strip()
        return "\n".join([*lines, f"figure\n  {self.metric}  {worth}"])


def rests_on(run: Run, metric_id: str = HEADLINE) -> RestsOn:
    """Everything between the files of a run and one of its figures.

    A figure is taken to rest on every artifact of its notebook: that is more than it may have used, and never less.

    Raises
    ------
    RunError : the run has no such figure.
    """
    parts = read_parts(run.folder)
    homes = [part for part in parts if metric_id in part["metrics"]]
    if not homes:
        names = sorted({name for part in parts for name in part["metrics"]})
        raise RunError(
            f"the run {run.run_id} has no figure {metric_id}",
            place=f"{run.run_id}/results.json",
            fix=did_you_mean(metric_id, names) or f"it has: {listed(names) or 'none'}",
        )
    graph = run_graph(run)
    above = graph.above(Node("metric", metric_id, run.run_id))
    artifacts = [node for node in above if node.kind == "artifact"]
    called = {key: name for part in parts for name, key in part["artifacts"].items()}
    names = {node: called.get(node.key, node.name) for node in artifacts}
    sources = {node: node.name for node in above if node.kind == "source"}
    headline = run.manifest.get("resolved", {}).get("models", {}).get("headline")
    depth = _depths(graph, artifacts)
    ordered = sorted(artifacts, key=lambda node: (depth[node], names[node], node.key))
    files = {
        (sources[end], node.name, node.key)
        for node in above
        if node.kind == "file"
        for end in graph.edges[node]
        if end in sources
    }
    return RestsOn(
        metric_id,
        homes[0]["metrics"][metric_id].get("value"),
        homes[0]["metrics"][metric_id].get("unit", ""),
        tuple(sorted(files)),
        tuple(
            Made(
                names[node],
                KIND_WORDS.get(node.name, node.name),
                node.key,
                _made_from(graph, node, names | sources, headline),
            )
            for node in ordered
        ),
        tuple(part["stem"] for part in homes),
    )


def headline_of(run: Run) -> RestsOn | None:
    """What customer equity of a run rests on; None where the run gives none."""
    try:
        return rests_on(run)
    except RunError:
        return None


def dependents_text(study_folder: Path, source_or_file: str) -> str:
    """What rests on a source or a file, in every complete run of a study, to be read in a terminal.

    Raises
    ------
    RunError : no run of the study has read such a source or file.
    """
    found = depends_on(study_folder, source_or_file)
    runs, artifacts = len(found.runs), len(found.artifacts)
    lines = [
        f"on {source_or_file} rest {runs} run{'' if runs == 1 else 's'} and {artifacts} artifact{'' if artifacts == 1 else 's'}"
    ]
    for run_id in found.runs:
        shown = found.shown.get(run_id, ())
        lines.append(f"run {run_id}")
        for kind in ("metric", "table", "figure"):
            if names := [name for one, name in shown if one == kind]:
                lines.append(f"  {kind}s: {', '.join(names)}")
    return "\n".join(lines)


def _made_from(graph: Graph, node: Node, names: dict[Node, str], headline: str | None) -> tuple[str, ...]:
    found = {name for above, name in names.items() if node in graph.edges[above]}
    if node.name in USE_FIT:
        found |= {f"fit:{headline}"} & set(names.values())
    return tuple(sorted(found))


def _depths(graph: Graph, artifacts: list[Node]) -> dict[Node, int]:
    """How many artifacts at most lie between the files and each."""
    known: dict[Node, int] = {}

    def depth(node: Node) -> int:
        if node not in known:
            known[node] = 1 + max((depth(one) for one in artifacts if node in graph.edges[one]), default=-1)
        return known[node]

    for node in artifacts:
        depth(node)
    return known
