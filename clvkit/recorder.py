"""What a notebook leaves behind: exhibits, headline figures, checks, and the mark that it ended."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from clvkit.checks import Check
from clvkit.errors import RunError
from clvkit.estimate import Estimate
from clvkit.exhibits import Exhibit, Facts, Figure, Headline, Sentence, Table
from clvkit.runs import write_json

#: Media type of the output that the last cell of a finished notebook leaves; nothing else counts as finished.
SENTINEL = "application/vnd.clvkit.finished+json"


class Recorder:
    """Records one notebook's part of a run.

    Parameters
    ----------
    folder : the run's folder, or the study's ``draft/``.
    stem : the notebook's name without its ending.
    run_id : of the run being written; None for drafts, where a repeated name replaces the earlier one.
    """

    def __init__(self, folder: Path, stem: str, run_id: str | None = None):
        self.folder, self.stem, self.run_id = folder, stem, run_id
        self.part: dict[str, Any] = {
            "stem": stem,
            "exhibits": [],
            "metrics": {},
            "checks": [],
            "artifacts": {},
        }

    def show(self, *exhibits: Exhibit | Check | Sequence[Exhibit | Check]) -> None:
        """Display exhibits or checks here and in the report, and keep them with the run.

        A table is kept as ``tables/<name>.csv``, unrounded; a figure as ``figures/<name>.svg`` and the data
        drawn as ``figures/<name>.csv``; checks go into ``checks.json``.

        Raises
        ------
        RunError : if another notebook of this run already shows something of the same name.
        """
        for exhibit in exhibits:
            self._show_one(exhibit)

    def metric(
        self,
        metric_id: str,
        value: Estimate | float | int | None,
        *,
        unit: str | None = None,
        by: Mapping[str, Estimate | float | int | None] | None = None,
    ) -> None:
        """Record a headline figure for ``results.json``.

        Parameters
        ----------
        metric_id : its name in the results, such as ``customer_equity``.
        value : an estimate with its interval, or a plain number; None where it could not be had.
        unit : of a plain number; an estimate carries its own, which this replaces.
        by : the same figure by segment.
        """
        entry = _as_metric(value, unit)
        if by:
            entry["by"] = {str(name): _as_metric(part, unit) for name, part in by.items()}
        self.part["metrics"][metric_id] = entry

    def metrics(self, values: Mapping[str, Any]) -> None:
        """Record several headline figures: by metric id an estimate, or the arguments of `metric`."""
        for metric_id, value in values.items():
            self.metric(metric_id, **(value if isinstance(value, Mapping) else {"value": value}))

    def record(self, section: str, value: Mapping | list) -> None:
        """Record more of ``results.json``: a mapping (``fits``) is merged, a list (``backtests``) grows."""
        if isinstance(value, Mapping):
            self.part.setdefault("results", {}).setdefault(section, {}).update(value)
        else:
            self.part.setdefault("results", {}).setdefault(section, []).extend(value)

    def used(self, name: str, key: str) -> None:
        """Note an artifact that this notebook worked with."""
        self.part["artifacts"][name] = key

    def reads(self, source: str) -> None:
        """Note a source whose files this notebook read without an artifact between."""
        self.part["reads"] = sorted({*self.part.get("reads", ()), source})

    def finish(self) -> None:
        """Write this notebook's part of the results and mark it as finished; every last cell calls it."""
        from IPython.display import display

        self.write()
        said = {"stem": self.stem, "run_id": self.run_id}
        where = f"run {self.run_id}" if self.run_id else f"the draft {os.path.relpath(self.folder)}"
        display(
            {SENTINEL: said, "text/plain": f"{self.stem} is finished; its results are in {where}."},
            raw=True,
            metadata={"clvkit": "finished"},
        )

    def write(self) -> None:
        """Write what was recorded so far to ``parts/<stem>.json``."""
        (self.folder / "parts").mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "parts" / f"{self.stem}.json", plain_json(self.part))

    def _show_one(self, exhibit: Any) -> None:
        from clvkit.publish.blocks import checks_html, facts_html, headline_html, sentence_html

        match exhibit:
            case Table():
                from clvkit.publish.tables import table_html

                self._keep(exhibit, "tables")
                _display("table", table_html(exhibit), exhibit.title)
            case Figure():
                from clvkit.publish.figures import figure_html, svg

                self._keep(exhibit, "figures")
                (self.folder / "figures" / f"{exhibit.name}.svg").write_text(svg(exhibit) + "\n", "utf-8")
                _display("figure", figure_html(exhibit), exhibit.title)
            case Headline():
                _display("headline", headline_html(exhibit), exhibit.text)
            case Sentence():
                _display("sentence", sentence_html(exhibit), exhibit.text)
            case Facts():
                _display(
                    "facts", facts_html(exhibit), "\n".join(f"{k}: {v}" for k, v in exhibit.items.items())
                )
            case Check():
                self._show_one([exhibit])
            case list() | tuple() if not (exhibit and all(isinstance(part, Check) for part in exhibit)):
                self.show(*exhibit)
            case list() | tuple():
                placed = [check if check.chapter else replace(check, chapter=self.stem) for check in exhibit]
                self.part["checks"] += [check.to_json() for check in placed]
                _display("checks", checks_html(placed), "\n".join(f"{c.status}: {c.message}" for c in placed))
            case _:
                raise TypeError(
                    "run.show takes tables, figures, sentences, facts and checks "
                    f"(got {type(exhibit).__name__})"
                )

    def _keep(self, exhibit: Table | Figure, kind: str) -> None:
        path = self.folder / kind / f"{exhibit.name}.csv"
        if self.run_id and path.exists():
            raise RunError(
                f"this run already shows one of its {kind} under the name {exhibit.name}",
                fix="give one of the two another name",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        exhibit.frame.to_csv(path, index=False, lineterminator="\n")
        self.part["exhibits"].append({"kind": kind, "name": exhibit.name, "title": exhibit.title})


def plain_json(value: Any) -> Any:
    """The value with only what JSON knows: NumPy scalars and dates made plain, NaN and infinity made null."""
    match value:
        case Mapping():
            return {str(name): plain_json(part) for name, part in value.items()}
        case list() | tuple():
            return [plain_json(part) for part in value]
        case bool() | str() | None:
            return value
        case date():
            return value.isoformat()
        case Path():
            return value.as_posix()
        case int():
            return int(value)
        case float() | Decimal():
            return float(value) if math.isfinite(value) else None
        case _ if hasattr(value, "tolist"):  # NumPy scalars and arrays
            return plain_json(value.tolist())
        case _:
            raise TypeError(f"results hold plain values (got {type(value).__name__})")


def _as_metric(value: Estimate | float | int | None, unit: str | None) -> dict:
    estimate = (
        value.to_json()
        if isinstance(value, Estimate)
        else {
            "value": value,
            "low": None,
            "high": None,
            "interval": None,
            "kind": None,
            "mle": None,
            "unit": unit or "",
        }
    )
    return estimate | ({"unit": unit} if unit is not None else {})


def _display(kind: str, html: str, text: str) -> None:
    from IPython.display import display

    display({"text/html": html, "text/plain": text}, raw=True, metadata={"clvkit": kind})
