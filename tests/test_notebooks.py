"""The notebooks of the checkout: how they are written, and that the runner executes every one of them."""

import ast
import itertools
import re
from pathlib import Path

import nbformat
import pytest
from published import check_page, check_results, read_json
from small_company import write_small_study

from clvkit.publish.execute import run_study
from clvkit.study import load_study

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
STEMS = ["00_summary", "01_ledger", "02_cohorts", "03_retention", "04_value", "04b_contracts", "05_backtest",
         "06_sensitivity"]  # fmt: skip
EXECUTED = [stem for stem in STEMS if stem != "04b_contracts"]  # the small company has no contracts
LONGEST_CELL = 10


def test_the_chapters_are_there():
    assert [path.stem for path in NOTEBOOKS] == STEMS


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def lines(cell):
    return [line for line in cell.source.splitlines() if line.strip() and not line.strip().startswith("#")]


def test_committed_as_written_and_not_as_executed(notebook):
    assert all(not cell.outputs and cell.execution_count is None for cell in code(notebook))
    assert "papermill" not in notebook.metadata and "widgets" not in notebook.metadata
    nbformat.validate(notebook)


def test_one_title_and_prose_first(notebook):
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    opening = "\n".join(
        cell.source for cell in itertools.takewhile(lambda one: one.cell_type == "markdown", notebook.cells)
    )
    assert opening.startswith("# ")
    assert len(re.findall(r"^# ", "\n".join(prose), re.M)) == 1
    assert len(opening.split()) > 40, "the title alone does not say what it is about"


def test_cells_are_short_and_hold_no_logic(notebook):
    for cell in code(notebook):
        assert len(lines(cell)) <= LONGEST_CELL, cell.source
        found = {type(node) for node in ast.walk(ast.parse(cell.source))}
        banned = {ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef, ast.For, ast.While}
        banned |= {ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp, ast.Try, ast.With}
        assert not found & banned, cell.source


def test_parameters_then_the_study_then_the_mark_that_it_finished(notebook):
    cells = code(notebook)
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assert tagged == [cells[0]]
    declared = ast.parse(tagged[0].source).body
    assert all(isinstance(node, ast.Assign) for node in declared)
    assert [node.targets[0].id for node in declared][:2] == ["study", "as_of"]
    assert all("#" in line for line in tagged[0].source.splitlines()), "a parameter without its meaning"
    assert "run = clvkit.open_run(study, as_of=as_of" in cells[1].source
    assert notebook.cells[-1].cell_type == "code" and notebook.cells[-1].source == "run.finish()"
    assert not any("run.finish" in cell.source for cell in cells[:-1])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One run of a few hundred customers."""
    root = tmp_path_factory.mktemp("small")
    study = load_study(write_small_study(root / "params"))
    done = run_study(study, reports=root / "reports")
    assert done.error is None, done.error
    return done


@pytest.mark.slow
class TestEveryNotebookIsExecuted:
    """What the figures are does not matter here."""

    def test_all_of_them_and_nothing_else(self, finished):
        assert (finished.state, finished.exit_code) == ("complete", 0)
        manifest = read_json(finished.folder / "run.json")
        assert [one["notebook"] for one in manifest["notebooks"]] == [*EXECUTED[1:], EXECUTED[0]]
        assert manifest["not_executed"] == [] and manifest["left_out"] == ["04b_contracts"]
        assert {path.stem for path in (finished.folder / "notebooks").glob("*.ipynb")} == set(EXECUTED)

    def test_every_chapter_shows_something(self, finished):
        for stem in EXECUTED:
            executed = nbformat.read(finished.folder / "notebooks" / f"{stem}.ipynb", as_version=4)
            shown = [out for cell in code(executed) for out in cell.outputs if out.metadata.get("clvkit")]
            assert shown, stem
            assert not [out for cell in code(executed) for out in cell.outputs if out.output_type == "error"]

    def test_cells_on_contracts_are_left_out_where_there_are_none(self, finished):
        executed = nbformat.read(finished.folder / "notebooks" / "03_retention.ipynb", as_version=4)
        kept, every = (
            {cell["id"] for cell in one.cells}
            for one in (executed, nbformat.read(NOTEBOOKS[0].parent / "03_retention.ipynb", as_version=4))
        )
        assert {"contract-drivers", "contract-curves", "contract-lifetimes"} <= every - kept
        assert {"kind-of-business", "03-07"} <= kept

    def test_results_have_their_shape(self, finished):
        results = read_json(finished.folder / "results.json")
        check_results(results)
        assert set(results["fits"]) == {"bgnbd", "mbgnbd", "paretonbd", "gammagamma"}
        assert results["fits"]["paretonbd"]["method"] == "nuts"
        assert {one["process"] for one in results["backtests"]} == {"bgnbd", "mbgnbd", "paretonbd"}

    def test_the_page_is_one_anonymous_file(self, finished):
        check_page((finished.folder / "index.html").read_text("utf-8"))
