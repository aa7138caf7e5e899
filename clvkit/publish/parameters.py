"""The parameters of a notebook: read from its parameters cell, checked against the study, injected."""

import ast
from pathlib import Path
from typing import Any

from clvkit.errors import StudyError
from clvkit.recorder import plain_json
from clvkit.rules import did_you_mean

#: Notebooks (without number) whose parameters are not those of the one section of their name.
SECTIONS_OF = {"summary": ("report",), "sensitivity": ("sensitivity", "value")}
INJECTED_ID = "injected-parameters"


def sections_of(stem: str) -> tuple[str, ...]:
    """The sections of the study that a notebook's parameters belong to: ``04_value`` → ``value``."""
    name = stem.partition("_")[2] or stem
    return SECTIONS_OF.get(name, (name,))


def declared(notebook: Any, stem: str) -> dict[str, str]:
    """Names that a notebook's parameters cell assigns, each with the source of its default.

    The cell is parsed, so that comments, annotations and strings with ``=`` in them do not matter.

    Raises
    ------
    StudyError : if there is more than one such cell, or it is not plain assignments.
    """
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if not cells:
        return {}
    if len(cells) > 1:
        raise StudyError(
            f"a notebook has one cell tagged parameters (this one has {len(cells)})", place=f"{stem}.ipynb"
        )
    names = {}
    for statement in _parse(cells[0].source, stem).body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                names[name] = ast.unparse(value)
            case ast.Expr(value=ast.Constant()):
                continue
            case _:
                raise StudyError(
                    "the parameters cell holds assignments of one name each "
                    f"(got {ast.unparse(statement)!r})",
                    place=f"{stem}.ipynb",
                    fix="move other code to the next cell",
                )
    return names


def values_for(stem: str, names: dict[str, str], study: Any, study_path: str) -> dict[str, Any]:
    """The value of every declared parameter: the study, its as-of date, and fields of the notebook's sections.

    Fields of the sections that the notebook does not declare stay in the study; that is no error. A declared
    name that no section of its has would silently keep the notebook's default: that is one.

    Raises
    ------
    StudyError : a declared parameter belongs to nothing in the study.
    """
    known = {"study": study_path, "as_of": study.as_of.isoformat()}
    sections = [name for name in sections_of(stem) if getattr(study, name, None) is not None]
    for name in sections:
        known |= getattr(study, name).model_dump(mode="json")
    for name in names:
        if name not in known:
            place = f"the section {' or '.join(map(repr, sections))}" if sections else "the study"
            raise StudyError(
                f"the notebook declares the parameter {name!r}, which {place} does not have",
                place=f"{stem}.ipynb",
                fix=did_you_mean(name, known) or "declared parameters are: " + ", ".join(sorted(known)),
            )
    return {name: plain_json(known[name]) for name in names}


def inject(notebook: Any, stem: str, values: dict[str, Any]) -> Any:
    """The notebook with a cell that sets these parameters, right below its parameters cell.

    Raises
    ------
    StudyError : a value has no parameter of its name in the notebook; Papermill would only log that.
    """
    from papermill.parameterize import parameterize_notebook

    names = declared(notebook, stem)
    for name in values:
        if name not in names:
            raise StudyError(
                f"the notebook has no parameter {name!r}",
                place=f"{stem}.ipynb",
                fix=did_you_mean(name, names) or "its parameters are: " + ", ".join(sorted(names)),
            )
    if not values:
        return notebook
    injected = parameterize_notebook(
        notebook, values, kernel_name="python3", language="python", comment="Set by the run, from the study"
    )
    for cell in injected.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = INJECTED_ID  # Papermill's is random, and would be all that differs between two reports
    return injected


def load(path: Path) -> Any:
    """Read a notebook as Papermill does.

    Raises
    ------
    StudyError : it cannot be read, or has cells that would be skipped without a word.
    """
    from papermill.iorw import load_notebook_node

    try:
        notebook = load_notebook_node(str(path))
    except Exception as error:
        raise StudyError(
            f"the notebook {path.name} cannot be read ({type(error).__name__}: {error})",
            fix="open it in JupyterLab and save it",
        ) from error
    for place, cell in enumerate(notebook.cells, start=1):
        if "skip-execution" in cell.metadata.get("tags", []):
            raise StudyError(
                "a cell is tagged skip-execution; it would be left out of the run without a word",
                place=f"{path.name}: cell {place}",
                fix="remove the tag or the cell",
            )
    return notebook


def _parse(source: str, stem: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise StudyError(
            f"the parameters cell is not Python ({error.msg})",
            place=f"{stem}.ipynb: line {error.lineno} of that cell",
        ) from error
