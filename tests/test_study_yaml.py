import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from study_files import MINIMAL, bad_study, study_folder

from clvkit.errors import StudyError
from clvkit.study import load_study


@pytest.fixture
def folder(tmp_path, monkeypatch):
    return study_folder(tmp_path, monkeypatch)


@pytest.fixture
def message(tmp_path, monkeypatch):
    return bad_study(study_folder(tmp_path, monkeypatch))


class TestFileErrors:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (
                "",
                "the study is empty\n  where: bad.yml\n  next:  copy params/cdnow.yml and change "
                "what differs",
            ),
            (
                "# nothing yet\n",
                "the study is empty\n  where: bad.yml\n  next:  copy params/cdnow.yml and change "
                "what differs",
            ),
            (
                "- a\n- b\n",
                "a study must be a mapping of keys to values, such as 'name: acme' (got a list)\n"
                "  where: bad.yml: line 1",
            ),
            (
                "acme\n",
                "a study must be a mapping of keys to values, such as 'name: acme' (got 'acme')\n"
                "  where: bad.yml: line 1",
            ),
            (
                "value:\n\tmargin: 0.3\n",
                "a tab stands where YAML allows only spaces\n  where: bad.yml: line 2\n"
                "  next:  replace the tab by two spaces",
            ),
            (
                "title: Acme: the study\n",
                "the line has a second ': ', or is indented under a value\n"
                "  where: bad.yml: line 1\n  next:  put text that holds ': ' in quotes, and check "
                "the indentation",
            ),
            (
                "name: a\ntitle: @acme\n",
                "the line is not valid YAML (found character '@' that cannot start any token)\n"
                "  where: bad.yml: line 2\n  next:  put text that starts with a special character in quotes",
            ),
            (
                "name: a\ntitle: *acme\n",
                "the line is not valid YAML (found undefined alias 'acme')\n"
                "  where: bad.yml: line 2\n  next:  put text that starts with a special character in quotes",
            ),
            (
                'path: "c:\\data"\n',
                "the line is not valid YAML (found unknown escape character 'd')\n"
                "  where: bad.yml: line 1\n"
                "  next:  write paths with / or in single quotes; \\ is special inside double quotes",
            ),
            (
                "name: a\n---\nname: b\n",
                "the file holds more than one study ('---' starts a second one)\n"
                "  where: bad.yml: line 2\n  next:  give each study a file of its own",
            ),
            (
                "a: [1, 2\nb: 3\n",
                "the file is not valid YAML near 'b: 3' (expected ',' or ']', but got ':')\n"
                "  where: bad.yml: line 2\n  next:  check brackets, quotes and indentation here and above",
            ),
            (
                "name: a\ntitle: \x07\n",
                "the study holds a control character (U+0007)\n  where: bad.yml: line 2\n  next:  delete it",
            ),
            (
                b"name: a\ntitle: Caf\xe9\n",
                "a study must be encoded in UTF-8 (got the byte 0xE9)\n"
                "  where: bad.yml: line 2\n  next:  save the file as UTF-8 in your editor",
            ),
            (
                "name: &a [*a]\n",
                "the study's aliases (*name) unfold without end\n  where: bad.yml: line 1\n"
                "  next:  write the values out, or use extends",
            ),
            ("[" * 5000, "the study is nested too deeply to be read\n  where: bad.yml"),
            (
                "x" * 300_000,
                "a study must be smaller than 256 kB (got 292 kB)\n  where: bad.yml\n"
                "  next:  give the study (a YAML file), not the data",
            ),
        ],
    )
    def test_files_that_cannot_be_read(self, message, text, said):
        assert message(text) == said

    def test_a_small_file_that_unfolds_into_billions_of_values(self, message):
        rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
        assert message("\n".join(rows)).startswith("the study's aliases (*name) unfold without end")

    def test_a_file_that_is_not_there(self, folder):
        with pytest.raises(StudyError) as caught:
            load_study("acne.yml")
        assert str(caught.value) == "the study acne.yml does not exist\n  next:  did you mean 'acme.yml'?"

    def test_a_file_unlike_any_other(self, folder):
        with pytest.raises(StudyError) as caught:
            load_study("zzz")
        assert str(caught.value) == "the study zzz does not exist\n  next:  studies in that folder: acme.yml"

    def test_a_folder_that_is_not_there(self, folder):
        with pytest.raises(StudyError) as caught:
            load_study("nowhere/acme.yml")
        assert str(caught.value) == "the study nowhere/acme.yml does not exist"

    def test_a_folder_in_place_of_a_study(self, folder):
        with pytest.raises(StudyError) as caught:
            load_study(".")
        assert (
            str(caught.value)
            == "a study must be a file (got the folder .)\n  next:  name one of its files: acme.yml"
        )


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(alphabet="ab01.:-_ \n\t'\"[]{}&*!#|>?~e+é\x85", max_size=40),
    st.sampled_from(["margin: ", "title: "]),
)
def test_whatever_is_written_gives_a_study_or_a_message(folder, text, before):
    (folder / "any.yml").write_text(MINIMAL.replace(before, before + text), encoding="utf-8", newline="")
    try:
        load_study("any.yml")
    except StudyError as error:
        assert "any.yml" in str(error)
