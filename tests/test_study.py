from datetime import date
from pathlib import Path

import numpy as np
import pytest
from study_files import MINIMAL, bad_study, changed, study_folder

from clvkit.errors import StudyError
from clvkit.study import load_study, with_values


@pytest.fixture
def folder(tmp_path, monkeypatch):
    return study_folder(tmp_path, monkeypatch)


@pytest.fixture
def message(tmp_path, monkeypatch):
    return bad_study(study_folder(tmp_path, monkeypatch))


class TestReading:
    def test_values_defaults_and_dates(self, folder):
        study = load_study("acme.yml")
        assert (study.name, study.as_of, study.value.margin) == ("acme", date(1998, 6, 30), 0.3)
        assert study.models.processes == ("bgnbd", "mbgnbd", "paretonbd")
        assert study.backtest.origins == ()
        assert study.source_path == "acme.yml"
        assert study.base == folder

    def test_a_study_may_be_anywhere(self, folder):
        assert load_study(str(folder / "acme.yml")) == load_study(Path("acme.yml"))
        assert load_study(folder / "acme.yml").source_path == "acme.yml"

    def test_a_byte_order_mark_is_skipped(self, folder):
        (folder / "acme.yml").write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())
        assert load_study("acme.yml").name == "acme"

    def test_yes_and_no_are_truth_values_where_those_are_wanted(self, folder):
        (folder / "acme.yml").write_text(changed("path: sales.csv", "{path: sales.csv, header: no}"))
        assert load_study("acme.yml").ledger.header is False

    def test_aliases_stand_for_what_they_name(self, folder):
        text = changed("margin: 0.3", "margin: &share 0.3") + "sensitivity: {change: *share}\n"
        (folder / "acme.yml").write_text(text)
        assert load_study("acme.yml").sensitivity.change == 0.3

    def test_where_values_were_given(self, folder):
        (folder / "acme.yml").write_text(
            MINIMAL + "backtest:\n  origins:\n    - 1997-06-30\n    - 1997-09-30\n"
        )
        study = load_study("acme.yml", {"value.margin": "0.4"}, as_of="1998-03-31")
        assert study.where("value.annual_discount_rate") == "acme.yml: line 9"
        assert study.where("value") == "acme.yml: line 7"
        assert study.where("backtest.origins[1]") == "acme.yml: line 13"
        assert study.where("value.margin") == "--set value.margin"
        assert study.where("as_of") == "the as-of date given"
        assert study.where("value.horizon_months") == "acme.yml: not given, the default"


class TestExtends:
    @pytest.fixture
    def child(self, folder):
        (folder / "emea").mkdir()
        (folder / "emea" / "child.yml").write_text(
            "extends: ../acme.yml\nname: child\nvalue:\n  margin: 0.25\nmodels:\n  processes: [paretonbd]\n"
        )
        return folder / "emea" / "child.yml"

    def test_mappings_merge_and_the_rest_replaces(self, child):
        study = load_study("emea/child.yml")
        assert (study.name, study.title) == ("child", "Acme")
        assert (study.value.margin, study.value.annual_discount_rate) == (0.25, 0.1)
        assert study.models.processes == ("paretonbd",)
        assert study.where("value.margin") == "emea/child.yml: line 4"
        assert study.where("value.annual_discount_rate") == "acme.yml: line 9"

    def test_lists_replace_with_their_places(self, folder):
        (folder / "acme.yml").write_text(MINIMAL + "backtest: {origins: [1997-06-30, 1997-09-30]}\n")
        (folder / "b.yml").write_text("extends: acme.yml\nname: b\nbacktest: {origins: [1997-12-31]}\n")
        study = load_study("b.yml")
        assert study.backtest.origins == (date(1997, 12, 31),)
        assert study.where("backtest.origins[1]") == "b.yml: not given, the default"

    def test_a_path_is_relative_to_the_file_that_states_it(self, child):
        study = load_study("emea/child.yml")
        assert study.ledger.path == "../sales.csv"
        assert study.base == child.parent
        assert (study.base / study.ledger.path).resolve() == child.parents[1] / "sales.csv"

    def test_chains(self, child):
        child.with_name("uk.yml").write_text("extends: child.yml\nname: uk\ncurrency: GBP\n")
        study = load_study("emea/uk.yml")
        assert (study.currency, study.value.margin, study.title) == ("GBP", 0.25, "Acme")

    def test_an_error_in_the_parent_names_the_parent(self, child, folder):
        (folder / "acme.yml").write_text(changed("0.1\n", "ten\n"))
        with pytest.raises(StudyError) as caught:
            load_study("emea/child.yml")
        assert str(caught.value) == (
            "value.annual_discount_rate must be a number (got 'ten')\n  where: acme.yml: line 9"
        )

    def test_circles(self, folder):
        (folder / "a.yml").write_text("extends: b.yml\nname: a\n")
        (folder / "b.yml").write_text("extends: sub/../a.yml\nname: b\n")
        with pytest.raises(StudyError) as caught:
            load_study("a.yml")
        assert str(caught.value) == (
            "studies must not extend each other in a circle (a.yml -> b.yml -> a.yml)\n  where: b.yml: line 1"
        )

    def test_a_parent_that_is_not_there(self, message):
        assert message("extends: acne.yml\nname: a\n") == (
            "extends names a study that does not exist (got 'acne.yml')\n"
            "  where: bad.yml: line 1\n"
            "  next:  did you mean 'acme.yml'?"
        )

    def test_a_parent_that_is_not_a_name(self, message):
        assert message("extends: [acme.yml]\nname: a\n") == (
            "extends must be the name of another study file, such as cdnow.yml\n  where: bad.yml: line 1"
        )

    def test_a_child_has_a_name_of_its_own(self, message):
        assert message("extends: acme.yml\ntitle: Child\n") == (
            "name is missing: a study that extends another has a name of its own, for its runs\n  "
            "where: bad.yml"
        )


class TestOverrides:
    def test_are_read_as_yaml(self, folder):
        study = load_study(
            "acme.yml",
            {
                "value.margin": "0.4",
                "backtest.origins": "[1997-09-30]",
                "models.sampler": "{chains: 2}",
                "title": "Acme, again",
                "as_of": "1998-05-31",
                "ledger.header": "false",
                "backtest.horizon_days": "null",
            },
        )
        assert study.value.margin == 0.4
        assert study.backtest.origins == (date(1997, 9, 30),)
        assert (study.models.sampler.chains, study.models.sampler.draws) == (2, 1000)
        assert (study.title, study.as_of, study.ledger.header) == ("Acme, again", date(1998, 5, 31), False)

    def test_the_as_of_date(self, folder):
        assert load_study("acme.yml", as_of=date(1998, 3, 31)) == load_study("acme.yml", as_of="1998-03-31")

    def test_a_path_is_relative_to_the_current_folder(self, folder, monkeypatch):
        (folder / "work").mkdir()
        monkeypatch.chdir(folder / "work")
        study = load_study("../acme.yml", {"ledger.path": "mine.csv"})
        assert study.ledger.path == "work/mine.csv"

    @pytest.mark.parametrize(
        ("key", "text", "said"),
        [
            ("value.margin", "1e-3", "value.margin must be a number (got '1e-3'); write 0.001 or 1.0e-3"),
            (
                "value.margin",
                "030",
                "value.margin is written 030, which YAML reads as the octal number 24; "
                'write 30, or "030" in quotes for text',
            ),
            ("value.margin", "", "value.margin must be a number (got nothing)"),
            ("value.margn", "0.3", "value has no key 'margn'; did you mean 'margin'?"),
            ("margin", "0.3", "a study has no key 'margin'; did you mean value.margin?"),
            ("value.margin.uk", "0.3", "value.margin must be a number (got a mapping)"),
            (
                "value..margin",
                "1",
                "a value is set by its dotted key, such as value.margin=0.4 (got 'value..margin')",
            ),
            ("extends", "b.yml", "extends is read from the study's file alone"),
            (
                "ledger.password",
                "hunter2",
                "ledger.password holds a secret, and studies are copied into every run; "
                "keep it in an environment variable and write password_env: NAME_OF_THE_VARIABLE",
            ),
        ],
    )
    def test_errors_name_the_override(self, folder, key, text, said):
        with pytest.raises(StudyError) as caught:
            load_study("acme.yml", {key: text})
        assert str(caught.value) == f"{said}\n  where: --set {key}"

    def test_text_that_is_not_yaml(self, folder):
        with pytest.raises(StudyError) as caught:
            load_study("acme.yml", {"title": "a: b: c"})
        assert str(caught.value) == (
            "the line has a second ': ', or is indented under a value\n"
            "  where: --set title\n"
            "  next:  put text that holds ': ' in quotes, and check the indentation"
        )


class TestNotebookValues:
    def test_replace_those_of_the_study(self, folder):
        study = load_study("acme.yml")
        other = with_values(
            study,
            {
                "value": {"margin": 0.4, "annual_discount_rate": None, "horizon_months": np.float64(24)},
                "backtest": {"origins": [date(1997, 9, 30)], "horizon_days": np.int64(90)},
                "models": {"sampler": {"chains": 2}},
                "as_of": "1998-05-31",
                "title": None,
            },
        )
        assert (other.value.margin, other.value.annual_discount_rate, other.value.horizon_months) == (
            0.4,
            0.1,
            24,
        )
        assert (other.backtest.origins, other.backtest.horizon_days) == ((date(1997, 9, 30),), 90)
        assert (other.models.sampler.chains, other.models.sampler.draws) == (2, 1000)
        assert (other.as_of, other.title) == (date(1998, 5, 31), "Acme")
        assert other.where("value.margin") == "notebook parameter margin"
        assert other.where("value.annual_discount_rate") == "acme.yml: line 9"
        assert (other.base, other.source_path) == (study.base, study.source_path)
        assert study.value.margin == 0.3

    def test_none_means_as_the_study_says(self, folder):
        study = load_study("acme.yml")
        assert with_values(study, {"value": {"margin": None}, "as_of": None, "ledger": {}}) == study

    def test_errors_name_the_parameter(self, folder):
        with pytest.raises(StudyError) as caught:
            with_values(
                load_study("acme.yml"), {"value": {"margin": 30, "horizn_months": 3}, "as_of": "30 June"}
            )
        assert str(caught.value) == (
            "the study has 3 errors\n"
            "  1. as_of must be a day written as 1998-06-30 (got '30 June')\n"
            "     where: notebook parameter as_of\n"
            "  2. value has no key 'horizn_months'; did you mean 'horizon_months'?\n"
            "     where: notebook parameter horizn_months\n"
            "  3. value.margin must be a fraction above 0 and at most 1 (got 30); 30 % is written 0.3\n"
            "     where: notebook parameter margin"
        )

    def test_a_path_is_relative_to_the_study(self, folder):
        study = load_study("acme.yml")
        assert with_values(study, {"ledger": {"path": "other.csv"}}).ledger.path == "other.csv"
        assert with_values(study, {"ledger": {"path": folder / "x" / "y.csv"}}).ledger.path == "x/y.csv"
