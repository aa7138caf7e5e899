"""The last steps of a run: results put together, notebooks made free of paths, pages and manifest written."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clvkit import runs
from clvkit.publish.environment import describe, seeds
from clvkit.publish.html import write_pages
from clvkit.publish.making import Making
from clvkit.publish.sanitise import Sanitiser
from clvkit.results import collect, collect_checks, read_parts, stopped_by

if TYPE_CHECKING:
    from clvkit.study import Study


def finish_pages(making: Making, state: str, draft: bool = False) -> list[dict[str, Any]]:
    """Write everything of a run's folder that is made from what its notebooks left; the checks.

    The manifest comes last: it holds the sha256 of every other file.
    """
    with making.progress.stage("making the pages"):
        return _finish(making, state, draft)


def _finish(making: Making, state: str, draft: bool) -> list[dict[str, Any]]:
    started = time.monotonic()
    folder, manifest = making.folder, making.manifest
    sanitiser = Sanitiser(
        {
            "reports": folder.parents[1],
            "study": making.study.base,
            "notebooks": making.notebooks,
            "project": runs.project_root(),
        }
    )
    _clean_notebooks(folder, sanitiser)
    parts = read_parts(folder)
    checks = collect_checks(parts)
    code = runs.EXIT_CODES[state] or (runs.STOP_CHECK_EXIT if stopped_by(checks) else 0)
    manifest |= {
        "state": runs.DRAFT if draft else state,
        "exit_code": code,
        "message": sanitiser.text(str(making.error)) if making.error else "",
        "command": sanitiser.text(manifest["command"]),
        "artifacts": {name: key for part in parts for name, key in part["artifacts"].items()},
        "notebooks": [
            {
                "notebook": one.stem,
                "state": one.state,
                "seconds": round(one.seconds, 2),
                "slowest": [(cell, round(seconds, 2)) for cell, seconds in one.slowest],
            }
            for one in making.outcomes
        ],
        "parameters": parameter_rows(making.study),
        "seeds": seeds(manifest["resolved"]),
        **describe(runs.project_root()),
    }
    results = collect(parts, manifest)
    runs.write_json(folder / "results.json", results)
    runs.write_json(folder / "checks.json", checks)
    manifest |= {"finished": runs.now(), "seconds": round(time.monotonic() - making.began, 2)}
    page_manifest = manifest | {"log": sanitiser.text(_log(making, folder))}
    for warning in write_pages(folder, page_manifest, results, checks, sanitiser):
        making.progress.say(warning, mark="!")
    for log in (folder / "notebooks").glob("*.log"):
        log.unlink()
    manifest["files"] = runs.hash_files(folder)
    making.progress.done(
        "pages",
        time.monotonic() - started,
        f"index.html {(folder / 'index.html').stat().st_size / 1000:,.0f} kB",
    )
    making.save()
    return checks


def parameter_rows(study: "Study") -> list[dict[str, Any]]:
    """Every value of a study by dotted key, with its default, whether it differs, and where it was given."""
    rows: list[dict[str, Any]] = []
    _walk(study, "", study, rows)
    return rows


def _walk(model: Any, prefix: str, study: "Study", rows: list[dict[str, Any]]) -> None:
    from pydantic import BaseModel

    for name, info in type(model).model_fields.items():
        value, key = getattr(model, name), f"{prefix}{name}"
        if isinstance(value, BaseModel):
            _walk(value, f"{key}.", study, rows)
            continue
        required = info.is_required()
        default = None if required else info.get_default(call_default_factory=True)
        where = study.where(key)
        rows.append(
            {
                "name": key,
                "value": _shown(value),
                "default": "(required)" if required else _shown(default),
                "changed": not required and value != default,
                "where": "" if where.endswith("the default") else where,
            }
        )


def _shown(value: Any) -> str:
    from pydantic import TypeAdapter

    plain = TypeAdapter(Any).dump_python(value, mode="json")
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _clean_notebooks(folder: Path, sanitiser: Sanitiser) -> None:
    import nbformat

    for path in sorted((folder / "notebooks").glob("*.ipynb")):
        notebook = sanitiser.notebook(nbformat.read(path, as_version=4), path.name)
        nbformat.write(notebook, path)


def _log(making: Making, folder: Path) -> str:
    """What the terminal showed, then what kernels printed outside of any cell."""
    kernels = [
        f"{path.stem}:\n{text}"
        for path in sorted((folder / "notebooks").glob("*.log"))
        if (text := path.read_text("utf-8", "replace").strip())
    ]
    return "\n".join([*making.progress.lines, *kernels])
