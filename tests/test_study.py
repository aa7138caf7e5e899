import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clvkit.errors import StudyError
from clvkit.study import Study, load_study, study_from_resolved, with_values
from clvkit.study_schema import json_schema, schema_text
from clvkit.study_yaml import names_a_secret, read_file

PARAMS = Path(__file__).parents[1] / "params"
MINIMAL = """\
name: acme
title: Acme
currency: USD
as_of: 1998-06-30
ledger:
  path: sales.csv
value:
  margin: 0.3
  annual_discount_rate: 0.1
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with a minimal study; messages name files relative to it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "acme.yml").write_text(MINIMAL)
    return tmp_path


@pytest.fixture
def message(folder):
    """What is said of a study made of the given text."""

    def said(text: str | bytes, **options) -> str:
        data = text if isinstance(text, bytes) else text.encode()
        (folder / "bad.yml").write_bytes(data)
        with pytest.raises(StudyError) as caught:
            load_study("bad.yml", **options)
        assert caught.value.exit_code == 2
        return str(caught.value)

    return said


def changed(old: str, new: str) -> str:
    assert MINIMAL.count(old) == 1
    return MINIMAL.replace(old, new)


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


FIELD_ERRORS = [
    # the rule, the value, the nearest name, the place
    (
        MINIMAL + "cohorts:\n  grain: monht\n",
        11,
        "cohorts.grain must be one of day, week, month, quarter (got 'monht'); did you mean 'month'?",
    ),
    (MINIMAL + "cohorts:\n  grian: month\n", 11, "cohorts has no key 'grian'; did you mean 'grain'?"),
    (MINIMAL + "cohort:\n  grain: month\n", 10, "a study has no key 'cohort'; did you mean 'cohorts'?"),
    (
        MINIMAL + "silence_days: 90\n",
        10,
        "a study has no key 'silence_days'; did you mean retention.silence_days?",
    ),
    (MINIMAL + "sensitivity:\n  xyz: 1\n", 11, "sensitivity has no key 'xyz'; its keys are change"),
    (
        changed("margin: 0.3", "margin: 30"),
        8,
        "value.margin must be a fraction above 0 and at most 1 (got 30); 30 % is written 0.3",
    ),
    (changed("margin: 0.3", "margin: 0"), 8, "value.margin must be a fraction above 0 and at most 1 (got 0)"),
    (
        changed("margin: 0.3", "margin: '0.3'"),
        8,
        "value.margin must be a number (got '0.3'); write 0.3 without quotes",
    ),
    (
        changed("margin: 0.3", "margin: 30 %"),
        8,
        "value.margin must be a number (got '30 %'); write 0.3, a fraction",
    ),
    (changed("margin: 0.3", "margin: 0,3"), 8, "value.margin must be a number (got '0,3'); write 0.3"),
    (changed("margin: 0.3", "margin: yes"), 8, "value.margin must be a number (got yes)"),
    (changed("margin: 0.3", "margin:"), 8, "value.margin must be a number (got nothing)"),
    (changed("margin: 0.3", "margin: [0.3]"), 8, "value.margin must be a number (got a list)"),
    (
        changed("rate: 0.1", "rate: 10"),
        9,
        "value.annual_discount_rate must be a fraction from 0 to below 1 (got 10); 10 % is written 0.1",
    ),
    (
        changed("rate: 0.1", "rate: 1e-1"),
        9,
        "value.annual_discount_rate must be a number (got '1e-1'); write 0.1 or 1.0e-1",
    ),
    (
        changed("rate: 0.1", "rate: 2.5e2"),
        9,
        "value.annual_discount_rate must be a number (got '2.5e2'); write 250 or 2.5e+2",
    ),
    (changed("rate: 0.1", "rate: .nan"), 9, "value.annual_discount_rate must be a finite number (got .nan)"),
    (
        changed("rate: 0.1", "rate: 1.0e+999"),
        9,
        "value.annual_discount_rate must be a finite number (got 1.0e+999)",
    ),
    (MINIMAL + "days_per_year: 52\n", 10, "days_per_year must be at least 360 (got 52)"),
    (MINIMAL + "retention:\n  silence_days: 0\n", 11, "retention.silence_days must be above 0 (got 0)"),
    (
        MINIMAL + "retention:\n  silence_days: 90.0\n",
        11,
        "retention.silence_days must be a whole number (got 90.0); write 90",
    ),
    (
        MINIMAL + "retention:\n  silence_days: 1,000\n",
        11,
        "retention.silence_days must be a whole number (got '1,000'); write 1000",
    ),
    (
        MINIMAL + "retention:\n  silence_days: 0180\n",
        11,
        "retention.silence_days must be a whole number (got '0180'); write 180",
    ),
    (
        MINIMAL + "retention:\n  silence_days: 0150\n",
        11,
        "retention.silence_days is written 0150, which YAML reads as the octal number 104; "
        'write 150, or "0150" '
        "in quotes for text",
    ),
    (
        MINIMAL + "retention:\n  silence_days: 3:00\n",
        11,
        "retention.silence_days is written 3:00, which YAML reads as 180 (base sixty); "
        'write "3:00" in quotes for text',
    ),
    (
        MINIMAL + "retention:\n  silence_days: 0xB4\n",
        11,
        'retention.silence_days is written 0xB4; write 180, or "0xB4" in quotes for text',
    ),
    (MINIMAL + "retention: 180\n", 10, "retention must be a mapping of keys to values (got 180)"),
    (MINIMAL + "retention:\n", 10, "retention must be a mapping of keys to values (got nothing)"),
    (
        changed("title: Acme", "title: no"),
        2,
        'title must be text (got no); YAML reads no as false: write "no" in quotes',
    ),
    (changed("title: Acme", "title: 2024"), 2, 'title must be text (got 2024); write "2024" in quotes'),
    (
        changed("title: Acme", "title: 12:30"),
        2,
        'title is written 12:30, which YAML reads as 750 (base sixty); write "12:30" in quotes for text',
    ),
    (changed("title: Acme", "title: ''"), 2, "title must not be empty (got '')"),
    (
        changed("title: Acme", "title: !!binary aGk="),
        2,
        "title has the tag !!binary; a study holds plain values only",
    ),
    (
        changed("title: Acme", "title: !env ACME"),
        2,
        "title has the tag !env; a study holds plain values only",
    ),
    (
        changed("title: Acme", 'title: "\\ud800"'),
        2,
        "title holds half a character (a lone surrogate); delete it",
    ),
    (
        changed("name: acme", "name: Acme & Co"),
        1,
        "name must be made of small letters, digits, - and _ (got 'Acme & Co'); did you mean 'acme_co'?",
    ),
    (
        changed("USD", "usd"),
        3,
        "currency must be an ISO 4217 code such as USD, EUR or GBP (got 'usd'); did you mean 'USD'?",
    ),
    (
        changed("USD", "€"),
        3,
        "currency must be an ISO 4217 code such as USD, EUR or GBP (got '€'); did you mean 'EUR'?",
    ),
    (changed("USD", "no"), 3, 'currency must be text (got no); YAML reads no as false: write "no" in quotes'),
    (
        changed("1998-06-30", "30/06/1998"),
        4,
        "as_of must be a day written as 1998-06-30 (got '30/06/1998'); write 1998-06-30",
    ),
    (changed("1998-06-30", "05/06/1998"), 4, "as_of must be a day written as 1998-06-30 (got '05/06/1998')"),
    (
        changed("1998-06-30", "1998-6-3"),
        4,
        "as_of must be a day written as 1998-06-30 (got '1998-6-3'); write 1998-06-03",
    ),
    (
        changed("1998-06-30", "19980630"),
        4,
        "as_of must be a day written as 1998-06-30 (got 19980630); write 1998-06-30",
    ),
    (
        changed("1998-06-30", "1998-06-31"),
        4,
        "as_of must be a day written as 1998-06-30 (got '1998-06-31'); no calendar has that day",
    ),
    (
        changed("1998-06-30", "1998-06-30 12:00:00"),
        4,
        "as_of must be a day written as 1998-06-30 (got '1998-06-30 12:00:00'); write 1998-06-30",
    ),
    (changed("1998-06-30", '"884822400"'), 4, "as_of must be a day written as 1998-06-30 (got '884822400')"),
    (
        changed("path: sales.csv", "path: sales.csv\n  decimal: ','\n  thousands: ','"),
        5,
        "ledger thousands and decimal must differ (both are ',')",
    ),
    (
        changed("path: sales.csv", "path: sales.csv\n  control_total: 2,500.10"),
        7,
        "ledger.control_total must be a number (got '2,500.10'); write 2500.10",
    ),
    (
        changed("path: sales.csv", "path: sales.csv\n  max_quarantined_share: 5"),
        7,
        "ledger.max_quarantined_share must be at most 1 (got 5); 5 % is written 0.05",
    ),
    (
        changed("path: sales.csv", "path: sales.csv\n  extracted: 1998-06-01"),
        7,
        "ledger.extracted must not be before the as-of date 1998-06-30 (got '1998-06-01'); days "
        "without data would be "
        "read as customers falling silent",
    ),
    (
        MINIMAL + "models:\n  processes: [bgnbd, paretnbd]\n",
        11,
        "models.processes[1] must be one of bgnbd, mbgnbd, paretonbd (got 'paretnbd'); did you mean "
        "'paretonbd'?",
    ),
    (
        MINIMAL + "models:\n  processes: paretonbd\n",
        11,
        "models.processes must be a list, such as [a, b] (got 'paretonbd'); write [paretonbd]",
    ),
    (
        MINIMAL + "models:\n  headline: bgnbd\n  processes: [paretonbd]\n",
        11,
        "models.headline must be one of the processes fitted: paretonbd (got 'bgnbd')",
    ),
    (
        MINIMAL + "models:\n  priors: {bgnbdd: {r: {mean: 0, sd: 1}}}\n",
        11,
        "models.priors has no entry 'bgnbdd'; did you mean 'bgnbd'?",
    ),
    (
        MINIMAL + "models:\n  priors:\n    bgnbd:\n      r: {mean: 0, sd: 0}\n",
        13,
        "models.priors.bgnbd.r.sd must be above 0 (got 0)",
    ),
    (
        MINIMAL + "models:\n  priors:\n    bgnbd:\n      r: {mean: 0, std: 1, sd: 1}\n",
        13,
        "models.priors.bgnbd.r has no key 'std'; did you mean 'sd'?",
    ),
    (
        MINIMAL + "backtest:\n  origins: [1997-09-30, 1997-06-30]\n",
        11,
        "backtest.origins[1] must come after the origin before it (1997-09-30) (got '1997-06-30'); "
        "list the dates from earliest to latest, each once",
    ),
    (
        MINIMAL + "backtest:\n  origins:\n    - 1997-09-30\n    - 1998-06-30\n",
        13,
        "backtest.origins[1] must be before the as-of date 1998-06-30 (got '1998-06-30'); "
        "a back-test compares a forecast with what happened since",
    ),
    (
        MINIMAL + "backtest:\n  origins: [1997-09-30]\n  horizon_days: 365\n",
        12,
        "backtest.horizon_days must end by the as-of date 1998-06-30; from 1997-09-30 it ends on "
        "1998-09-30 (got 365); "
        "give at most 273, or null to forecast to the as-of date",
    ),
    # what cannot be told from a value
    (changed("title: Acme", "name: acme"), 2, "name is given twice (first on line 1); keep one"),
    (changed("title: Acme", "title: Acme\n? [a, b]\n: 1"), 3, "a key of the study is a list; keys are words"),
    (MINIMAL + "<<: {title: b}\n", 10, "'<<' is not read in a study; write the keys out, or use extends"),
    (
        changed("path: sales.csv", "path: sales.csv\n  api_key: abc123"),
        7,
        "ledger.api_key holds a secret, and studies are copied into every run; keep it in an "
        "environment variable and "
        "write api_key_env: NAME_OF_THE_VARIABLE",
    ),
    (
        changed("sales.csv", "postgresql://me:hunter2@host/sales"),
        6,
        "ledger.path holds a secret, and studies are copied into every run; keep the password in an "
        "environment "
        "variable and name the variable instead",
    ),
]


class TestFieldErrors:
    @pytest.mark.parametrize(
        ("text", "line", "said"), FIELD_ERRORS, ids=[said[:60] for _, _, said in FIELD_ERRORS]
    )
    def test_one_error(self, message, text, line, said):
        found = message(text)
        if "name is given twice" in said:  # the title gave way to the second name
            assert (
                f"1. title is missing: Name of the study as readers see it\n     where: bad.yml\n  2. {said}"
                in found
            )
            assert found.endswith("where: bad.yml: line 2")
        else:
            assert found == f"{said}\n  where: bad.yml: line {line}"

    def test_missing_values_are_described(self, message):
        assert message(changed("  margin: 0.3\n", "")) == (
            "value.margin is missing: Contribution margin as a fraction of the amounts in the "
            "ledger: 0.30 is 30 %\n"
            "  where: bad.yml: line 7"
        )

    def test_all_errors_are_reported_together_in_the_order_of_the_file(self, message):
        assert message("title: Acme\ncurrency: EURO\nas_of: soon\ncohorts: {grain: monht}\npasword: x\n") == (
            "the study has 7 errors\n"
            "  1. name is missing: Short name of the study and of the folder its runs go to: small "
            "letters, digits, "
            "- and _\n"
            "     where: bad.yml\n"
            "  2. ledger is missing: it needs at least path\n"
            "     where: bad.yml\n"
            "  3. value is missing: it needs at least margin, annual_discount_rate\n"
            "     where: bad.yml\n"
            "  4. currency must be an ISO 4217 code such as USD, EUR or GBP (got 'EURO'); did you "
            "mean 'EUR'?\n"
            "     where: bad.yml: line 2\n"
            "  5. as_of must be a day written as 1998-06-30 (got 'soon')\n"
            "     where: bad.yml: line 3\n"
            "  6. cohorts.grain must be one of day, week, month, quarter (got 'monht'); did you mean "
            "'month'?\n"
            "     where: bad.yml: line 4\n"
            "  7. a study has no key 'pasword'; its keys are "
            f"{', '.join(Study.model_fields)}\n"
            "     where: bad.yml: line 5"
        )

    def test_a_default_that_no_longer_fits_is_named_as_one(self, message):
        assert message(MINIMAL + "models:\n  processes: [bgnbd]\n") == (
            "the study has 2 errors\n"
            "  1. models.headline must be one of the processes fitted: bgnbd (got 'paretonbd', the default)\n"
            "     where: bad.yml: line 10\n"
            "  2. models.sampled[0] must be one of the processes fitted (bgnbd) or gammagamma (got "
            "'paretonbd', "
            "the default); add paretonbd to models.processes\n"
            "     where: bad.yml: line 10"
        )

    def test_secrets_are_never_repeated(self, message):
        assert "hunter2" not in message(
            MINIMAL + "warehouse:\n  Password: hunter2\n  url: x://me:hunter2@host\n"
        )

    @pytest.mark.parametrize(
        "name", ["password", "dbPassword", "api_key", "API-KEY", "dsn", "access_token", "secret"]
    )
    def test_keys_that_look_like_secrets(self, name):
        assert names_a_secret(name)

    @pytest.mark.parametrize(
        "name", ["password_env", "dsn_env", "customer_key", "key", "tokens_used", "path", "secretary"]
    )
    def test_keys_that_do_not(self, name):
        assert not names_a_secret(name)

    def test_no_key_of_a_study_looks_like_a_secret(self):
        def keys(part):
            for name, value in part.get("properties", {}).items():
                yield name
                yield from keys(value)

        schema = json_schema()
        assert not [
            name
            for part in (schema, *schema["$defs"].values())
            for name in keys(part)
            if names_a_secret(name)
        ]


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


class TestCommitted:
    @pytest.mark.parametrize("name", ["cdnow.yml", "cdnow_sample.yml"])
    def test_studies_are_valid_and_their_data_there(self, name):
        study = load_study(PARAMS / name)
        assert (study.base / study.ledger.path).is_file()
        assert study.name == Path(name).stem
        assert study_from_resolved(study.resolved(), study.base) == study
        assert (study.as_of, study.backtest.origins, study.backtest.horizon_days) == (
            date(1998, 6, 30),
            (date(1997, 9, 30),),
            273,
        )

    def test_the_main_study_shows_every_field(self):
        shown = read_file(PARAMS / "cdnow.yml").values
        assert missing_keys(load_study(PARAMS / "cdnow.yml").resolved(), shown) == []

    @pytest.mark.parametrize("path", sorted(PARAMS.glob("*.yml")), ids=lambda path: path.name)
    def test_studies_name_the_schema_and_follow_it(self, path):
        assert path.read_text(encoding="utf-8").startswith(
            "# yaml-language-server: $schema=study.schema.json\n"
        )
        jsonschema.Draft202012Validator(json_schema()).validate(read_file(path).values)

    def test_the_schema_is_current(self):
        assert (PARAMS / "study.schema.json").read_text(encoding="utf-8") == schema_text(), (
            "write it anew: python -m clvkit.study_schema params/study.schema.json"
        )

    def test_the_schema_is_valid_and_describes_every_key(self):
        schema = json_schema()
        jsonschema.Draft202012Validator.check_schema(schema)
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
    def test_the_schema_asks_for_what_is_needed(self, values, valid):
        assert jsonschema.Draft202012Validator(json_schema()).is_valid(values) is valid

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
