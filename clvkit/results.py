"""The results of a run, put together from what its notebooks recorded."""

from pathlib import Path
from typing import Any

from clvkit.errors import RunError
from clvkit.runs import read_json

SCHEMA = 1


def read_parts(folder: Path) -> list[dict[str, Any]]:
    """What each notebook recorded, in order of their names; the data gate's part comes first."""
    paths = sorted((folder / "parts").glob("*.json"), key=lambda path: (path.stem != "gate", path.stem))
    return [read_json(path) for path in paths]


def collect(parts: list[dict[str, Any]], manifest: dict[str, Any]) -> dict[str, Any]:
    """``results.json``: headline figures, fits, back-tests and the ledger's balance.

    Raises
    ------
    RunError : two notebooks give different values for one metric.
    """
    results: dict[str, Any] = {
        "schema": SCHEMA,
        "run_id": manifest["run_id"],
        "study": manifest["study"],
        "as_of": manifest["as_of"],
        "state": manifest["state"],
        "currency": manifest["resolved"].get("currency"),
        "metrics": {},
        "fits": {},
        "backtests": [],
        "ledger": {},
    }
    source: dict[str, str] = {}
    for part in parts:
        for metric_id, value in part["metrics"].items():
            if results["metrics"].setdefault(metric_id, value) != value:
                raise RunError(
                    f"{source[metric_id]} and {part['stem']} give different values for the metric "
                    f"{metric_id}",
                    fix="record it in one of them",
                )
            source.setdefault(metric_id, part["stem"])
        for section, value in part.get("results", {}).items():
            if isinstance(value, list):
                results.setdefault(section, []).extend(value)
            else:
                results.setdefault(section, {}).update(value)
    return results


def collect_checks(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``checks.json``: every check once, the later finding of two with one id."""
    return list({check["id"]: check for part in parts for check in part["checks"]}.values())


def stopped_by(checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The checks that make the command end with exit code 1."""
    return [check for check in checks if check["status"] == "fail" and check["severity"] == "stop"]


def tally(checks: list[dict[str, Any]]) -> dict[str, int]:
    """How many checks have each status."""
    return {
        status: sum(check["status"] == status for check in checks)
        for status in ("pass", "review", "fail", "info")
    }
