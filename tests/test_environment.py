"""The three lists of packages agree, and nothing is ever taken from where it should not be."""

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ENGINES_TEXT = (ROOT / "engines.lock").read_text(encoding="utf-8")
LOCK_TEXT = (ROOT / "requirements.lock").read_text(encoding="utf-8")
CONDA_TEXT = (ROOT / "environment.yml").read_text(encoding="utf-8")
CONDA = yaml.safe_load(CONDA_TEXT)


def _entries(text: str) -> list[str]:
    """One per requirement: the line that names it, then its hashes on indented lines."""
    return [entry for entry in re.split(r"\n(?=\S)", text) if not entry.startswith("#")]


def _pins(entries: list[str]) -> dict[str, str]:
    requirements = [Requirement(entry.split("\\")[0]) for entry in entries]
    assert all([s.operator for s in r.specifier] == ["=="] for r in requirements)
    return {canonicalize_name(r.name): next(iter(r.specifier)).version for r in requirements}


LOCK_ENTRIES, ENGINES_ENTRIES = _entries(LOCK_TEXT), _entries(ENGINES_TEXT)
LOCK = [Requirement(entry.split("\\")[0]) for entry in LOCK_ENTRIES]
PINS = _pins(LOCK_ENTRIES)
USED = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
ENGINES = [Requirement(text) for text in PROJECT["dependency-groups"]["engines"]]
DEVELOPMENT = [Requirement(text) for text in PROJECT["dependency-groups"]["dev"]]


def _names(requirements: list[Requirement]) -> set[str]:
    return {canonicalize_name(r.name) for r in requirements}


@pytest.mark.parametrize("requirement", USED + DEVELOPMENT, ids=str)
def test_each_dependency_is_locked_within_its_range(requirement):
    assert requirement.specifier, "a dependency without a range"
    assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)])


def test_lock_is_exact_and_hashed():
    assert len(PINS) == len(LOCK) > 100
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}\b", e) for e in LOCK_ENTRIES + ENGINES_ENTRIES)


def test_spark_is_locked_apart_and_within_its_range():
    """So that an installation without it stays small, and none of its packages is pinned twice."""
    pins = _pins(ENGINES_ENTRIES)
    assert all(r.specifier.contains(pins[canonicalize_name(r.name)]) for r in ENGINES)
    assert not set(pins) & set(PINS)


def test_conda_environment_has_the_names_and_pins_of_the_lock():
    listed = CONDA["dependencies"][-1]["pip"]
    assert [str(Requirement(line)) for line in listed] == [str(r) for r in LOCK]


def test_conda_takes_the_python_of_the_checkout():
    version = (ROOT / ".python-version").read_text(encoding="utf-8").strip()
    assert f"python={version}" in CONDA["dependencies"]
    assert SpecifierSet(PROJECT["project"]["requires-python"]).contains(version)


def test_lock_serves_every_supported_python():
    """What only one of them needs is marked by its minor version, and what is asked for serves both."""
    for requirement in LOCK:
        versions = re.findall(r"python_full_version \S+ ['\"]([\d.]+)", str(requirement.marker or ""))
        assert set(versions) <= {"3.13", "3.14", "3.15"}
    on_312 = {"python_full_version": "3.12.1", "python_version": "3.12"}
    names = {
        canonicalize_name(r.name)
        for r in LOCK
        if r.marker is None or Marker(str(r.marker)).evaluate({**on_312, "sys_platform": "linux"})
    }
    assert _names(USED + DEVELOPMENT) <= names


@pytest.mark.parametrize("name", ["pyproject.toml", "requirements.lock", "engines.lock", "environment.yml"])
def test_no_address_and_no_machine_path(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.search(r"https?:|file:|git\+|--(extra-)?index-url|--find-links|\s@\s", text)
    assert not re.search(r"(^|[\s'\"=])(/|~|[A-Z]:\\)\w", text)


def test_the_distribution_cannot_be_mistaken_or_uploaded():
    """`clvkit` on the public index is another project's; it must never be asked for by name."""
    assert PROJECT["project"]["name"] == "clv-workbench"
    assert "Private :: Do Not Upload" in PROJECT["project"]["classifiers"]
    asked_for = _names(USED) | _names(DEVELOPMENT) | set(PINS)
    asked_for |= {canonicalize_name(Requirement(line).name) for line in CONDA["dependencies"][-1]["pip"]}
    assert not asked_for & {"clvkit", "clv-workbench"}
    for name in ["Makefile", ".ci/run", "environment.yml"]:
        assert not re.search(r"install\b.*\sclvkit", (ROOT / name).read_text(encoding="utf-8"))


def _imports(folder: str) -> dict[str, Path]:
    """Top-level modules imported anywhere in a folder, each with a file that does so."""
    found = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module]
            else:
                continue
            found |= {module.split(".")[0]: path for module in modules}
    return found


@pytest.mark.parametrize(
    ("folder", "declared"),
    [("clvkit", USED + ENGINES), ("tests", USED + ENGINES + DEVELOPMENT)],
    ids=["clvkit", "tests"],
)
def test_what_is_imported_is_declared(folder, declared):
    """Not merely brought along by another package, which may drop it.

    A package that is not installed, as Spark need not be, goes by the name of its module.
    """
    own = {"clvkit", "tests", "conftest", "benchmarks"} | {
        path.stem for path in (ROOT / folder).rglob("*.py")
    }
    providers = importlib.metadata.packages_distributions()
    undeclared = {
        module: str(path.relative_to(ROOT))
        for module, path in _imports(folder).items()
        if module not in sys.stdlib_module_names | own
        and not {canonicalize_name(name) for name in providers.get(module, [module])} & _names(declared)
    }
    assert not undeclared


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
class TestFindPython:
    """The interpreter for `.venv` is looked for without surprises."""

    def _run(self, tmp_path, *arguments, path=""):
        environment = {"HOME": str(tmp_path), "PATH": path}
        command = ["/bin/sh", str(ROOT / ".ci" / "find-python"), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    def test_says_what_is_missing(self, tmp_path):
        outcome = self._run(tmp_path)
        assert outcome.returncode == 1
        assert outcome.stdout == ""
        assert "No Python 3.12 or 3.13" in outcome.stderr
        assert "next:" in outcome.stderr

    def test_refuses_one_that_does_not_serve(self, tmp_path):
        outcome = self._run(tmp_path, "/bin/false")
        assert outcome.returncode == 1
        assert "/bin/false is not a Python 3.12 or 3.13" in outcome.stderr

    def test_finds_the_one_it_is_given(self, tmp_path):
        outcome = self._run(tmp_path, sys.executable)
        assert (outcome.returncode, outcome.stderr) == (0, "")
        assert Path(outcome.stdout.strip()).exists()

    def test_finds_one_kept_by_pyenv(self, tmp_path):
        folder = tmp_path / ".pyenv" / "versions" / "3.12.1" / "bin"
        folder.mkdir(parents=True)
        (folder / "python3").symlink_to(sys.executable)
        outcome = self._run(tmp_path)
        assert outcome.returncode == 0, outcome.stderr

    def test_tells_debian_users_about_venv(self, tmp_path):
        """A Python without ensurepip is named, with the package that completes it."""
        fake = tmp_path / "python3"
        fake.write_text(f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n')
        fake.chmod(0o755)
        outcome = self._run(tmp_path, path=str(tmp_path))
        assert outcome.returncode == 1
        assert "cannot make virtual environments" in outcome.stderr
        assert f"python3.{sys.version_info.minor}-venv" in outcome.stderr
