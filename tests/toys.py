"""A company small enough to be read in a second, and notebooks that do one thing each."""

import csv
import json
from datetime import date, timedelta
from pathlib import Path

import nbformat

PARAMETERS = 'study = "../params/toy.yml"\nas_of = None\n'
OPEN = """import clvkit
from clvkit.exhibits import Facts, Figure, Headline, Sentence, Table

run = clvkit.open_run(study, as_of=as_of)"""
FINISH = "run.finish()"


def write_study(folder: Path, name: str = "toy", customers: int = 150, **values) -> Path:
    """A study over ``customers`` customers; ``values`` are more lines of YAML, already as text."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{name}.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["customer_id", "date", "amount"])
        for number in range(customers):
            first = date(2023, 1, 1) + timedelta(days=number % 80)
            for visit in range(1 + number % 4):
                rows.writerow(
                    [f"SECRET{number:05d}", first + timedelta(days=37 * visit), f"{10 + number % 7}.50"]
                )
    lines = {
        "name": name,
        "title": "Toy company",
        "currency": "USD",
        "as_of": "2023-07-01",
        "ledger": f"{{path: {name}.csv}}",
        "value": "{margin: 0.3, annual_discount_rate: 0.1}",
        **values,
    }
    path = folder / f"{name}.yml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
    return path


def write_notebook(folder: Path, stem: str, *cells: str, parameters: str | None = PARAMETERS) -> Path:
    """A notebook of the usual shape; text that starts with ``#`` and a space is Markdown, the rest is code."""
    folder.mkdir(parents=True, exist_ok=True)
    notebook = nbformat.v4.new_notebook()
    opening = [] if parameters is None else [parameters, OPEN]
    for place, text in enumerate([f"# Chapter {stem}\n\nWhat it is about.", *opening, *cells]):
        markdown = text.startswith(("# ", "## "))
        cell = nbformat.v4.new_markdown_cell(text) if markdown else nbformat.v4.new_code_cell(text)
        cell.id = f"cell-{place}"
        if text == parameters:
            cell.metadata["tags"] = ["parameters"]
        notebook.cells.append(cell)
    path = folder / f"{stem}.ipynb"
    nbformat.write(notebook, path)
    return path


TABLE = """import pandas as pd
frame = pd.DataFrame({"group": ["a", "b"], "amount": [1234.5, -2.5], "share": [0.0004, None]})
run.show(Table("by_group", frame, "Group a brings nearly all of it", "Sales by group. USD.",
               formats={"amount": "money", "share": "percent"}, labels={"amount": "USD"}))"""
FIGURE = """from clvkit.publish import style
with style.canvas() as (drawing, axes):
    axes.plot([1, 2, 3], [3, 1, 2], **style.HISTORY)
run.show(Figure("path", drawing, "It falls and rises", "Sales by month. USD.", alt="A line with a dip.",
                frame=pd.DataFrame({"month": [1, 2, 3], "sales": [3, 1, 2]})))"""


def good_notebooks(folder: Path) -> Path:
    """A summary and a chapter that complete."""
    write_notebook(
        folder,
        "01_ledger",
        "## Rows",
        TABLE,
        FIGURE,
        "import sys\nprint('stdout', sys.executable)\nprint('noise', file=sys.stderr)",
        'run.metric("customers", run.ledger().totals["customers"], unit="customers")',
        FINISH,
    )
    write_notebook(
        folder,
        "00_summary",
        'run.show(Headline("The customers bring **USD 1**."), '
        'Facts({"Whom it covers": "all"}), Sentence("One & two < three."))',
        FINISH,
    )
    return folder


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def manifest(folder: Path) -> dict:
    """A run's ``run.json``."""
    return json.loads((folder / "run.json").read_text())
