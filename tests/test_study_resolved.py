import json
import subprocess
import sys
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from study_files import MINIMAL, PARAMS, changed, study_folder

from clvkit.errors import StudyError
from clvkit.study import Study, load_study, study_from_resolved


@pytest.fixture
def folder(tmp_path, monkeypatch):
    return study_folder(tmp_path, monkeypatch)


class TestResolved:
    def test_is_plain_json_without_absolute_paths(self, folder):
        (folder / "acme.yml").write_text(changed("sales.csv", str(folder / "data" / "sales.csv")))
        study = load_study(folder / "acme.yml")
        assert study.ledger.path == "data/sales.csv"
        assert str(folder) not in json.dumps(study.resolved())

    def test_addresses_with_a_scheme_stay_as_they_are(self, folder):
        (folder / "acme.yml").write_text(changed("sales.csv", "s3://bucket/sales/*.parquet"))
        assert load_study("acme.yml").ledger.path == "s3://bucket/sales/*.parquet"

    def test_rebuilds_the_study(self, folder):
        study = load_study("acme.yml")
        again = study_from_resolved(json.loads(json.dumps(study.resolved())), folder)
        assert again == study
        assert again.fingerprint() == study.fingerprint() == hash_free(study)
        assert again.base == study.base

    def test_is_validated_again(self, folder):
        resolved = load_study("acme.yml").resolved()
        resolved["value"]["margin"] = "0.3"
        with pytest.raises(StudyError) as caught:
            study_from_resolved(resolved, folder)
        assert str(caught.value) == (
            "value.margin must be a number (got '0.3'); write 0.3 without quotes\n  where: the resolved study"
        )

    def test_the_fingerprint_sees_values_and_not_their_places(self, folder):
        (folder / "b.yml").write_text("# moved\n" + MINIMAL + "sensitivity: {change: 0.10}\n")
        study = load_study("acme.yml")
        assert load_study("b.yml").fingerprint() == study.fingerprint()
        assert load_study("b.yml") == study
        assert len({load_study("b.yml"), study}) == 1
        assert load_study("acme.yml", {"value.margin": "0.31"}).fingerprint() != study.fingerprint()
        assert study != "acme"

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        title=st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable()),
        margin=st.floats(min_value=1e-6, max_value=1),
        change=st.floats(min_value=1e-3, max_value=0.999),
        silence=st.integers(1, 10_000),
        as_of=st.dates(date(1990, 1, 1), date(2100, 1, 1)),
        processes=st.sets(st.sampled_from(["bgnbd", "mbgnbd", "paretonbd"]), min_size=1).map(sorted),
    )
    def test_what_is_written_is_what_is_read(self, folder, title, margin, change, silence, as_of, processes):
        values = {
            "name": "any",
            "title": title,
            "currency": "EUR",
            "as_of": as_of.isoformat(),
            "ledger": {"path": "x.csv"},
            "value": {"margin": margin, "annual_discount_rate": 0.0},
            "sensitivity": {"change": change},
            "retention": {"silence_days": silence},
            "models": {"processes": processes, "headline": processes[-1], "sampled": processes},
        }
        (folder / "any.yml").write_text(yaml_of(values), encoding="utf-8")
        study = load_study("any.yml")
        resolved = study.resolved()
        for key, value in values.items():
            assert resolved[key] == value or resolved[key] == resolved[key] | value
        (folder / "again.yml").write_text(yaml_of(resolved), encoding="utf-8")
        assert load_study("again.yml") == study == study_from_resolved(resolved, folder)


def yaml_of(values: dict) -> str:
    """JSON is YAML, but for exponents, which YAML 1.1 wants with a point and a sign."""
    import yaml

    return yaml.safe_dump(values, allow_unicode=True, sort_keys=False)


def hash_free(study: Study) -> str:
    """The fingerprint as another process computes it, whose string hashes differ."""
    code = (
        "import json, sys; from clvkit.study import study_from_resolved; "
        "print(study_from_resolved(json.load(sys.stdin)).fingerprint())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(study.resolved()),
        text=True,
        capture_output=True,
        check=True,
        cwd=PARAMS.parent,
    )
    return done.stdout.strip()
