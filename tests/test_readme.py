"""What the README states: places that exist, commands and options that work, a study that is valid."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from clvkit.cli import app
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


def test_the_example_is_a_valid_study(tmp_path):
    (example,) = re.findall(r"```yaml\n(.*?)```", README, re.S)
    path = tmp_path / "acme.yml"
    path.write_text("\n".join(line.removeprefix("   ") for line in example.splitlines()), encoding="utf-8")
    study = load_study(path)
    assert (study.name, study.currency, study.value.margin) == ("acme", "EUR", 0.42)


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
