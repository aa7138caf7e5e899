import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from study_files import PARAMS

from clvkit.study import load_study, study_from_resolved
from clvkit.study_schema import json_schema, schema_text
from clvkit.study_yaml import read_file


@pytest.fixture(scope="session")
def validator():
    """A validator of study files by the schema; nbformat brings the library."""
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(json_schema())
    return jsonschema.Draft202012Validator(json_schema())


class TestCommitted:
    @pytest.mark.parametrize("name", ["cdnow.yml", "cdnow_sample.yml"])
    def test_studies_are_valid_and_their_data_there(self, name):
        study = load_study(PARAMS / name)
        assert (study.base / study.ledger.path).is_file()
        assert study.name == Path(name).stem
        assert study_from_resolved(study.resolved(), study.base) == study
        assert (study.as_of, study.backtest.origins, study.backtest.horizon_days) == (
            date(1998, 6, 30),
            (date(1997, 6, 30), date(1997, 9, 30)),
            273,
        )

    def test_the_main_study_shows_every_field(self):
        shown = read_file(PARAMS / "cdnow.yml").values
        missing = missing_keys(load_study(PARAMS / "cdnow.yml").resolved(), shown)
        assert missing == [], "show them in params/cdnow.yml, each with its unit in a comment"

    @pytest.mark.parametrize("path", sorted(PARAMS.glob("*.yml")), ids=lambda path: path.name)
    def test_studies_name_the_schema_and_follow_it(self, path, validator):
        assert path.read_text(encoding="utf-8").startswith(
            "# yaml-language-server: $schema=study.schema.json\n"
        )
        validator.validate(read_file(path).values)

    def test_the_schema_is_current(self):
        assert (PARAMS / "study.schema.json").read_text(encoding="utf-8") == schema_text(), (
            "write it anew: python -m clvkit.study_schema params/study.schema.json"
        )

    def test_the_schema_describes_every_key(self):
        schema = json_schema()
        bare = [
            name
            for part in (schema, *schema["$defs"].values())
            for name, field in part.get("properties", {}).items()
            if not (
                field.get("description")
                or schema["$defs"][field["$ref"].rpartition("/")[2]].get("description")
            )
        ]
        assert bare == []

    @pytest.mark.parametrize(
        ("values", "valid"),
        [
            ({"name": "a"}, False),
            ({"extends": "b.yml", "name": "a"}, True),
            ({"extends": "b.yml"}, False),
            ({"extends": "b.yml", "name": "a", "cohorts": {"grain": "monht"}}, False),
            ({"extends": "b.yml", "name": "a", "vlaue": {}}, False),
        ],
    )
    def test_the_schema_asks_for_what_is_needed(self, validator, values, valid):
        assert validator.is_valid(values) is valid

    def test_importing_the_study_loads_no_heavy_library(self):
        code = (
            "import clvkit.study, sys; print(' '.join(sorted({'pandas', 'numba', 'scipy', 'ibis', "
            "'duckdb', 'pymc', 'lifelines', 'matplotlib', 'papermill'} & set(sys.modules))))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], text=True, capture_output=True, check=True, cwd=PARAMS.parent
        )
        assert done.stdout.split() == []


def missing_keys(full: dict, shown: dict, key: str = "") -> list[str]:
    """The keys of a resolved study that a file does not show."""
    missing = []
    for name, value in full.items():
        here = f"{key}.{name}".lstrip(".")
        if name not in shown:
            missing.append(here)
        elif isinstance(value, dict) and value:
            missing += missing_keys(value, shown[name] or {}, here)
    return missing
