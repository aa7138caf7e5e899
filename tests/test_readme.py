"""What the README states: places that exist, commands and options that work, a study that is valid."""

import re
from datetime import date
from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from pydantic import BaseModel

from clvkit.cli import app
from clvkit.errors import StudyError
from clvkit.promotions import price_frame
from clvkit.runs import EXIT_CODES, STOP_CHECK_EXIT
from clvkit.study import Study, load_study

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_links_and_pictures_lead_somewhere():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets and not [target for target in targets if not (ROOT / target).exists()]


def test_named_places_exist():
    table = README[README.index("## Where things are") : README.index("## Re-performing")]
    missing = []
    for line in table.splitlines():
        folder = Path()
        for name in re.findall(r"`([\w/]+(?:\.py|/))`", line.split("|")[1] if "|" in line else ""):
            path = folder / name if (ROOT / folder / name).exists() else Path(name)
            folder = Path("clvkit") if str(path).startswith("clvkit") else folder
            missing += [] if (ROOT / path).exists() else [name]
    assert not missing


def test_make_targets_exist():
    targets = set(re.findall(r"`?make (\w+)`?", README)) - {"it"}
    assert {"report", "test", "lab"} <= targets
    assert not [target for target in targets if not re.search(rf"^{target}:", MAKEFILE, re.M)]


def test_the_number_of_notebooks():
    words = ["five", "six", "seven", "eight", "nine", "ten", "eleven"]
    said = next(word for word in words if f"{word} short notebooks" in README)
    assert words.index(said) + 5 == len(list((ROOT / "notebooks").glob("*.ipynb")))


def test_commands_and_options_exist():
    import typer

    commands = typer.main.get_command(app).commands
    table = README[README.index("| command |") : README.index("| what happened |")]
    assert set(re.findall(r"^\| `clv (\w+)", table, re.M)) == set(commands)
    for line in re.findall(r"^\| `clv \w+.*$", table, re.M):
        command = commands[re.match(r"\| `clv (\w+)", line)[1]]
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", line)) <= known


def test_exit_codes_are_those_of_the_program():
    table = README[README.index("| what happened |") : README.index("Only a complete run")]
    said = {}
    for states, code in re.findall(r"\| ([^|]+) \| (\d+) \|$", table, re.M):
        said |= {state: int(code) for state in re.findall(r"`(\w+)`", states) if state != "complete"}
    assert said == {state: code for state, code in EXIT_CODES.items() if state not in ("complete", "draft")}
    assert re.search(rf"control fails.*\| `complete` \| {STOP_CHECK_EXIT} \|", table)


@pytest.fixture
def examples(tmp_path):
    """The studies that the README shows, each in the file that its first line names; loads one by its name."""
    found = [dedent(one) for one in re.findall(r"^ *```yaml\n(.*?)^ *```$", README, re.S | re.M)]
    for text in found:
        path = tmp_path / re.match(r"# (params/\w+\.yml)\n", text)[1]
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return lambda name, **values: load_study(tmp_path / "params" / f"{name}.yml", values)


def test_the_example_is_a_valid_study(examples):
    study = examples("acme")
    assert (study.name, study.currency, study.value.margin) == ("acme", "EUR", 0.42)


def test_promotions_prices_and_channels_as_the_example_says_them(examples):
    study = examples("acme_promotions")
    assert study.promotions.windows["spring sale"].discount == 0.15 and study.migration.channel == "source"
    assert price_frame(study.promotions.prices)["index"].tolist() == [1.0, 1.08]
    (window,) = study.calendar.windows
    assert study.calendar.acts and window.speed > 1
    assert (window.first, window.last) == (date(2026, 3, 1), date(2026, 3, 14))


def test_what_is_known_of_customers_as_the_example_says_it(examples):
    study = examples("acme_people")
    assert study.models.segment_by == "won_by" and set(study.models.covariates.of) == {"plan"}
    assert study.ledger.by_name()["people"].accounts == {"orders": "id"}


def test_regions_as_the_example_says_them(examples):
    group, north = examples("group"), examples("north")
    assert (north.value.margin, north.value.annual_discount_rate) == (0.38, group.value.annual_discount_rate)
    assert north.ledger.path != group.ledger.path and north.currency == group.currency
    pooled = examples("group_by_region")
    assert pooled.models.segments == "value" and pooled.ledger.columns.segment == "region"
    assert pooled.ledger.path == group.ledger.path


def test_a_region_may_not_say_more_than_the_example_lets_it(examples, tmp_path):
    path = tmp_path / "params" / "north.yml"
    path.write_text(path.read_text("utf-8") + "backtest: {horizon_days: 90}\n", encoding="utf-8")
    with pytest.raises(StudyError, match=r"backtest\.horizon_days may not be set here"):
        examples("north")


def fields(model: type[BaseModel], prefix: str = "") -> set[str]:
    """Every field of a study by dotted key."""
    found = set()
    for name, info in model.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found |= fields(inner, f"{prefix}{name}.")
        else:
            found.add(f"{prefix}{name}")
    return found


def keys(values: dict, prefix: str = "") -> set[str]:
    """Every key of a YAML document by dotted name; an empty mapping counts as a value."""
    found = set()
    for name, value in values.items():
        found |= keys(value, f"{prefix}{name}.") if isinstance(value, dict) and value else {f"{prefix}{name}"}
    return found


@pytest.mark.parametrize("name", ["cdnow.yml"])
def test_the_main_study_shows_every_field(name):
    shown = yaml.safe_load((ROOT / "params" / name).read_text(encoding="utf-8"))
    assert fields(Study) - keys(shown) <= {"extends"}
