import nbformat
import pytest
from toys import FINISH, write_notebook, write_study

from clvkit.errors import StudyError
from clvkit.publish import parameters
from clvkit.study import load_study

# Each line is one that papermill's regular expression gives up on.
AWKWARD = '''study = "../params/toy.yml"
as_of: str | None = None
margin = 0.1  # see url?a=b
annual_discount_rate: float = 0.1
"""A remark."""
horizon_months = "a=b"
'''


@pytest.fixture
def study(tmp_path):
    return load_study(write_study(tmp_path, value="{margin: 0.35, annual_discount_rate: 0.1}"))


def read(folder, source, stem="04_value"):
    return parameters.load(write_notebook(folder, stem, FINISH, parameters=source))


def test_declared_reads_what_a_regular_expression_does_not(tmp_path):
    names = parameters.declared(read(tmp_path, AWKWARD), "04_value")
    assert list(names) == ["study", "as_of", "margin", "annual_discount_rate", "horizon_months"]
    assert names["horizon_months"] == "'a=b'"


def test_values_come_from_the_study(tmp_path, study):
    names = parameters.declared(read(tmp_path, AWKWARD), "04_value")
    assert parameters.values_for("04_value", names, study, "params/toy.yml") == {
        "study": "params/toy.yml",
        "as_of": "2023-07-01",
        "margin": 0.35,
        "annual_discount_rate": 0.1,
        "horizon_months": 36,
    }


def test_injected_cell_holds_plain_values_and_a_fixed_id(tmp_path, study):
    notebook = read(tmp_path, "study = None\norigins = ()\nhorizon_days = None", "05_backtest")
    names = parameters.declared(notebook, "05_backtest")
    values = parameters.values_for("05_backtest", names, study, "toy.yml")
    injected = parameters.inject(notebook, "05_backtest", values)
    cell = next(cell for cell in injected.cells if "injected-parameters" in cell.metadata.get("tags", []))
    assert cell.id == parameters.INJECTED_ID
    found = {}
    exec(cell.source, found)
    assert {name: found[name] for name in values} == {"study": "toy.yml", "origins": [], "horizon_days": None}
    nbformat.validate(injected)


def test_sections():
    assert [
        parameters.sections_of(stem) for stem in ("00_summary", "04_value", "06_sensitivity", "scratch")
    ] == [
        ("report",),
        ("value",),
        ("sensitivity", "value"),
        ("scratch",),
    ]


def test_sensitivity_takes_the_terms_of_the_value_as_well(study):
    given = parameters.values_for("06_sensitivity", {"change": "None", "margin": "None"}, study, "toy.yml")
    assert given == {"change": study.sensitivity.change, "margin": study.value.margin}
    with pytest.raises(StudyError, match="the section 'sensitivity' or 'value' does not have"):
        parameters.values_for("06_sensitivity", {"grain": "None"}, study, "toy.yml")


def test_a_value_without_parameter_is_refused(tmp_path):
    notebook = read(tmp_path, "study = None\ncustomers = 3")
    with pytest.raises(StudyError, match="no parameter 'custmers'") as error:
        parameters.inject(notebook, "04_value", {"custmers": 9})
    assert error.value.fix == "did you mean 'customers'?" and error.value.exit_code == 2


def test_a_parameter_without_field_is_refused(tmp_path, study):
    with pytest.raises(StudyError, match="'margn', which the section 'value' does not have") as error:
        parameters.values_for("04_value", {"margn": "None"}, study, "toy.yml")
    assert error.value.fix == "did you mean 'margin'?"


def test_a_skipped_cell_is_refused(tmp_path):
    path = write_notebook(tmp_path, "04_value", FINISH)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].metadata["tags"] = ["skip-execution"]
    nbformat.write(notebook, path)
    with pytest.raises(StudyError, match="without a word"):
        parameters.load(path)


def test_what_is_no_notebook_is_refused(tmp_path):
    path = tmp_path / "01_ledger.ipynb"
    path.write_text("{}")
    with pytest.raises(StudyError, match="cannot be read"):
        parameters.load(path)
