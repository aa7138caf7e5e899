"""Layers of studies: a region may say only what the study above lets it say, and a unit no more than its region."""

import pytest

from clvkit.errors import StudyError
from clvkit.study import load_study

GLOBAL = """\
name: world
title: World
currency: EUR
as_of: 2024-01-31
ledger: {path: world.csv}
value: {margin: 0.3, annual_discount_rate: 0.1}
overridable: [currency, ledger, value.margin]
"""
REGION = """\
extends: world.yml
name: dach
title: Region
currency: CHF
ledger:
  path: dach.csv
value:
  margin: 0.25
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "world.yml").write_text(GLOBAL)
    return tmp_path


def test_what_is_on_the_list_may_be_said_otherwise(folder):
    (folder / "dach.yml").write_text(REGION)
    study = load_study("dach.yml")
    assert (study.currency, study.value.margin, study.value.annual_discount_rate) == ("CHF", 0.25, 0.1)
    assert study.title == "Region" and study.ledger.path == "dach.csv"


def test_anything_else_is_refused_with_its_line_and_who_says_so(folder):
    (folder / "dach.yml").write_text(REGION + "  annual_discount_rate: 0.02\nmodels:\n  headline: bgnbd\n")
    with pytest.raises(StudyError) as told:
        load_study("dach.yml")
    text = str(told.value)
    assert "value.annual_discount_rate may not be set here: world.yml lets studies that extend it set" in text
    assert "currency, ledger" in text and "value.margin" in text and "dach.yml: line 9" in text
    assert "models.headline may not be set here" in text and "dach.yml: line 11" in text


def test_a_unit_may_say_no_more_than_its_region(folder):
    (folder / "dach.yml").write_text(REGION + "overridable: [value.margin]\n")
    unit = folder / "shops.yml"
    unit.write_text("extends: dach.yml\nname: shops\nvalue: {margin: 0.2}\n")
    assert load_study("shops.yml").value.margin == 0.2
    unit.write_text("extends: dach.yml\nname: shops\ncurrency: USD\n")
    with pytest.raises(StudyError, match=r"currency may not be set here: dach\.yml lets"):
        load_study("shops.yml")


def test_a_region_cannot_hand_on_what_it_has_not_got(folder):
    (folder / "dach.yml").write_text(REGION + "overridable: [value.margin, models.headline]\n")
    with pytest.raises(StudyError, match=r"overridable may not let others set models\.headline"):
        load_study("dach.yml")


def test_without_a_list_everything_may_be_said_and_with_an_empty_one_nothing(folder):
    (folder / "world.yml").write_text(GLOBAL.replace("overridable: [currency, ledger, value.margin]\n", ""))
    (folder / "dach.yml").write_text(REGION + "models: {headline: bgnbd}\n")
    assert load_study("dach.yml").models.headline == "bgnbd"
    (folder / "world.yml").write_text(GLOBAL.replace("[currency, ledger, value.margin]", "[]"))
    with pytest.raises(
        StudyError, match=r"currency may not be set here: world\.yml lets studies that extend it set nothing"
    ):
        load_study("dach.yml")


def test_the_command_line_may_set_no_more_than_the_file(folder):
    (folder / "dach.yml").write_text(REGION)
    assert load_study("dach.yml", {"value.margin": "0.2"}).value.margin == 0.2
    for over in ({"value.annual_discount_rate": "0.02"}, {"overridable": "null", "models.headline": "bgnbd"}):
        with pytest.raises(
            StudyError, match=r"may not be set here: world\.yml lets studies that extend it set"
        ):
            load_study("dach.yml", over)
    assert load_study("world.yml", {"value.annual_discount_rate": "0.02"}).value.annual_discount_rate == 0.02
