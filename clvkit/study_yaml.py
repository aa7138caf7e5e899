"""Read a study file: YAML with the place of every key, and without YAML's silent surprises.

PyYAML follows YAML 1.1, in which ``no`` is a truth value, ``012`` is ten, ``12:30`` is 750 and ``1e-3``
is text. The reader works on the composed nodes, so that each of these is met with a message that names its
line; what is text to YAML but a number to the user is met when the study is validated, with the same places.
"""

import math
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from clvkit.errors import StudyError
from clvkit.rules import did_you_mean
from clvkit.study_document import Document, Key, Mark, Problem, dotted, nested, shown

MAX_BYTES = 256 * 1024
"""A study is a page or two; something larger is most likely a data file given by mistake."""
MAX_VALUES = 10_000
"""Aliases can make a small file unfold into billions of values; no study has this many."""

_TAG = "tag:yaml.org,2002:"
_RESOLVER = yaml.resolver.Resolver()
_SECRET_WORDS = {
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "secrets",
    "token",
    "apikey",
    "dsn",
    "credential",
    "credentials",
}
_SECRET_PAIRS = {("api", "key"), ("private", "key"), ("access", "key"), ("connection", "string")}
_URL_PASSWORD = re.compile(r"://[^/\s:@]*:[^/\s@]+@")


def read_file(path: Path) -> Document:
    """Read one study file; ``extends`` is left among the values.

    Raises
    ------
    StudyError : the file is missing, is not UTF-8, is not YAML, or is not a mapping. What is wrong with
        single values is listed in ``problems`` instead, so that all of it can be reported together.
    """
    name = shown(path)
    text = _text_of(path, name)
    node = _compose(text, Mark(name), in_file=True)
    if node is None:
        raise StudyError(
            "the study is empty", place=name, fix="copy params/cdnow.yml and change what differs"
        )
    if not isinstance(node, yaml.MappingNode):
        raise StudyError(
            f"a study must be a mapping of keys to values, such as 'name: acme' (got {_kind(node)})",
            place=f"{name}: line {node.start_mark.line + 1}",
        )
    builder = _Builder(name)
    return Document(builder.mapping(node, ()), builder.marks, builder.problems)


def read_value(text: str, key: Key, label: str) -> Document:
    """Read one value given outside a file, such as ``0.4`` for ``value.margin``, under the same rules."""
    node = _compose(text, Mark(label), in_file=False)
    builder = _Builder(label, in_file=False)
    value = None
    if node is not None and builder.allowed(key, node):
        value = builder.build(node, key)
    elif node is None:
        builder.marks[key] = Mark(label, raw="", plain=True)
    return Document(nested(key, value), builder.marks, builder.problems)


def _text_of(path: Path, name: str) -> str:
    if path.is_dir():
        inside = sorted(f.name for f in path.iterdir() if f.suffix in (".yml", ".yaml"))
        raise StudyError(
            f"a study must be a file (got the folder {name})",
            fix=f"name one of its files: {', '.join(inside[:5])}" if inside else None,
        )
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        beside = [f.name for f in path.parent.iterdir()] if path.parent.is_dir() else []
        studies = sorted(n for n in beside if n.endswith((".yml", ".yaml")))
        hint = did_you_mean(path.name, studies)
        fix = hint or (f"studies in that folder: {', '.join(studies[:5])}" if studies else None)
        raise StudyError(f"the study {path} does not exist", fix=fix) from None
    except OSError as error:
        raise StudyError(f"the study cannot be read ({error.strerror})", place=name) from error
    if len(data) > MAX_BYTES:
        raise StudyError(
            f"a study must be smaller than {MAX_BYTES // 1024} kB (got {len(data) // 1024} kB)",
            place=name,
            fix="give the study (a YAML file), not the data",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise StudyError(
            f"a study must be encoded in UTF-8 (got the byte 0x{data[error.start]:02X})",
            place=f"{name}: line {line}",
            fix="save the file as UTF-8 in your editor",
        ) from None


def _compose(text: str, mark: Mark, *, in_file: bool) -> yaml.Node | None:
    """The tree of nodes, or a StudyError in words."""

    def fail(message: str, line: int | None = None, fix: str | None = None) -> StudyError:
        place = str(Mark(mark.file, line)) if in_file else mark.file
        return StudyError(message, place=place, fix=fix)

    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except RecursionError:
        raise fail("the study is nested too deeply to be read") from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        character = f"U+{error.character:04X}"
        raise fail(f"the study holds a control character ({character})", line, "delete it") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1
        raise fail(*_syntax_words(str(error.problem), text.splitlines()[line - 1 : line], line)) from None


def _syntax_words(problem: str, line_text: list[str], line: int) -> tuple[str, int, str]:
    """What is wrong, where, and what to do, for the mistakes that are made most."""
    if "'\\t'" in problem:
        return "a tab stands where YAML allows only spaces", line, "replace the tab by two spaces"
    if "expected a single document" in problem or "another document" in problem:
        return (
            "the file holds more than one study ('---' starts a second one)",
            line,
            "give each study a file of its own",
        )
    if "mapping values are not allowed" in problem:
        return (
            "the line has a second ': ', or is indented under a value",
            line,
            "put text that holds ': ' in quotes, and check the indentation",
        )
    if "undefined alias" in problem or "cannot start any token" in problem:
        return (
            f"the line is not valid YAML ({problem})",
            line,
            "put text that starts with a special character in quotes",
        )
    if "unknown escape character" in problem:
        return (
            f"the line is not valid YAML ({problem})",
            line,
            r"write paths with / or in single quotes; \ is special inside double quotes",
        )
    where = f" near {line_text[0].strip()[:60]!r}" if line_text and line_text[0].strip() else ""
    return (
        f"the file is not valid YAML{where} ({problem})",
        line,
        "check brackets, quotes and indentation here and above",
    )


def _kind(node: yaml.Node) -> str:
    return {yaml.SequenceNode: "a list", yaml.MappingNode: "a mapping"}.get(type(node), repr(node.value)[:60])


class _Builder:
    """Turns nodes into plain values, noting marks and problems on the way."""

    def __init__(self, file: str, *, in_file: bool = True):
        self.file, self.in_file = file, in_file
        self.marks: dict[Key, Mark] = {}
        self.problems: list[Problem] = []
        self._built = 0
        self._open: set[int] = set()

    def mark(self, node: yaml.Node, at: yaml.Node | None = None) -> Mark:
        scalar = isinstance(node, yaml.ScalarNode)
        line = (at or node).start_mark.line + 1 if self.in_file else None
        return Mark(self.file, line, node.value if scalar else "", scalar and node.style is None)

    def problem(self, message: str, key: Key, mark: Mark) -> None:
        self.problems.append(Problem(message, key, mark))

    def build(self, node: yaml.Node, key: Key, at: yaml.Node | None = None) -> Any:
        self.marks[key] = mark = self.mark(node, at)
        self._built += 1
        if self._built > MAX_VALUES or id(node) in self._open:
            raise StudyError(
                "the study's aliases (*name) unfold without end",
                place=str(mark),
                fix="write the values out, or use extends",
            )
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
                return self.mapping(node, key)
            if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
                return [self.build(item, (*key, i)) for i, item in enumerate(node.value)]
            if isinstance(node, yaml.ScalarNode):
                return self.scalar(node, key, mark)
        finally:
            self._open.discard(id(node))
        return self.tagged(node, key, mark)

    def mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        values: dict[str, Any] = {}
        first: dict[str, Mark] = {}
        for name_node, value_node in node.value:
            mark = self.mark(name_node)
            if not isinstance(name_node, yaml.ScalarNode):
                owner = dotted(key) or "the study"
                self.problem(f"a key of {owner} is {_kind(name_node)}; keys are words", key, mark)
                continue
            name = name_node.value
            here = (*key, name)
            if name_node.tag == f"{_TAG}merge":
                self.problem("'<<' is not read in a study; write the keys out, or use extends", here, mark)
            elif name in first:
                before = f" (first on line {first[name].line})" if self.in_file else ""
                self.problem(f"{dotted(here)} is given twice{before}; keep one", here, mark)
            elif self.allowed(here, value_node, name_node):
                first[name] = mark
                values[name] = self.build(value_node, here, name_node)
        return values

    def allowed(self, key: Key, node: yaml.Node, at: yaml.Node | None = None) -> bool:
        """Whether the value may stand in a study; secrets may not, and are never repeated in a message."""
        mark = self.mark(node, at)
        name = str(key[-1])
        text = node.value if isinstance(node, yaml.ScalarNode) else ""
        if names_a_secret(name) and node.tag != f"{_TAG}null":
            fix = f"keep it in an environment variable and write {name}_env: NAME_OF_THE_VARIABLE"
        elif _URL_PASSWORD.search(text):
            fix = "keep the password in an environment variable and name the variable instead"
        else:
            return True
        self.problem(
            f"{dotted(key)} holds a secret, and studies are copied into every run; {fix}",
            key,
            Mark(mark.file, mark.line),
        )
        return False

    def tagged(self, node: yaml.Node, key: Key, mark: Mark) -> None:
        tag = node.tag
        tag = f"!!{tag.removeprefix(_TAG)}" if tag.startswith(_TAG) else tag
        self.problem(f"{dotted(key)} has the tag {tag}; a study holds plain values only", key, mark)

    def scalar(self, node: yaml.ScalarNode, key: Key, mark: Mark) -> Any:
        raw, kind = node.value, node.tag.removeprefix(_TAG)
        implied = _RESOLVER.resolve(yaml.ScalarNode, raw, (mark.plain, not mark.plain))
        if node.tag not in (implied, f"{_TAG}str"):
            return self.tagged(node, key, mark)
        if kind in ("str", "timestamp", "value"):  # a day stays text until the section that wants it reads it
            if any("\ud800" <= character <= "\udfff" for character in raw):
                self.problem(
                    f"{dotted(key)} holds half a character (a lone surrogate); delete it",
                    key,
                    Mark(mark.file, mark.line),
                )
                return ""
            return raw
        if kind == "null":
            return None
        if kind == "bool":
            return raw.lower() in ("yes", "true", "on")
        try:
            number, trap = _number(raw, kind)
        except ValueError:  # 0b_, and whole numbers of thousands of digits
            number, trap = None, f"must be a number (got {raw[:60]!r})"
        if trap:
            self.problem(f"{dotted(key)} {trap}", key, mark)
        return number


def _number(raw: str, kind: str) -> tuple[int | float | None, str]:
    """The number a plain scalar stands for, or what is wrong with the way it is written."""
    digits = raw.replace("_", "")
    sign, body = (digits[0], digits[1:]) if digits[0] in "+-" else ("", digits)
    quoted = f'"{raw}" in quotes for text'
    if ":" in body:
        value = 0.0
        for part in body.split(":"):
            value = value * 60 + float(part)
        return None, f"is written {raw}, which YAML reads as {sign}{value:g} (base sixty); write {quoted}"
    if kind == "int" and re.fullmatch(r"0[0-7]+", body):
        decimal = sign + (body.lstrip("0") or "0")
        return None, (
            f"is written {raw}, which YAML reads as the octal number {sign}{int(body, 8)}; "
            f"write {decimal}, or {quoted}"
        )
    if kind == "int" and body[:2].lower() in ("0x", "0b"):
        return None, f"is written {raw}; write {sign}{int(body, 0)}, or {quoted}"
    if kind == "int":
        return int(digits), ""
    number = math.inf if body.lower() in (".inf", ".nan") else float(digits)
    return (number, "") if math.isfinite(number) else (None, f"must be a finite number (got {raw})")


def names_a_secret(name: str) -> bool:
    """Whether a key looks as if it held a secret; names that end in ``_env`` name a variable instead."""
    words = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower())
    if not words or words[-1] == "env":
        return False
    return bool(_SECRET_WORDS & set(words) or _SECRET_PAIRS & set(pairwise(words)))
