"""What is wrong with a study, in words: the rule, the value, the nearest valid name, the place."""

import json
import re
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from clvkit.errors import StudyError
from clvkit.rules import RuleBroken, did_you_mean, listed, nearest, rate_hint
from clvkit.study_document import Document, Key, Mark, Problem, dotted

_LIMITS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}
_KINDS = {
    "float_type": "a number",
    "int_type": "a whole number",
    "decimal_type": "a number",
    "decimal_parsing": "a number",
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "string_type": "text",
    "tuple_type": "a list, such as [a, b]",
    "model_type": "a mapping of keys to values",
    "dict_type": "a mapping of keys to values",
    "date_type": "a day written as 1998-06-30",
    "date_parsing": "a day written as 1998-06-30",
}


class InvalidStudy(StudyError):
    """Everything that is wrong with a study, each with its place; ``problems`` lists it one by one."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = tuple(problems)
        if len(self.problems) == 1:
            super().__init__(self.problems[0].message, place=str(self.problems[0].mark))
            return
        lines = [f"the study has {len(self.problems)} errors"]
        for number, problem in enumerate(self.problems, start=1):
            lines += [f"{number:>3}. {problem.message}", f"     where: {problem.mark}"]
        super().__init__("\n".join(lines))


def broken_rule(root: type[BaseModel], error: dict[str, Any], document: Document) -> Problem:
    """One of pydantic's errors as a sentence with its place.

    Parameters
    ----------
    root : the model that was validated.
    error : an item of ``ValidationError.errors()``.
    document : the values that were validated, with their marks.
    """
    kind, key = error["type"], tuple(error["loc"])
    if kind == "extra_forbidden":
        return Problem(_unknown_key(root, key), key, _mark(document, key))
    if kind == "literal_error" and key[-1] == "[key]":
        key = key[:-1]
        message = f"{dotted(key[:-1])} has no entry {key[-1]!r}; {_options(key[-1], error)}"
        return Problem(message, key, _mark(document, key))
    if kind == "missing":
        return Problem(_missing(root, key), key, _mark(document, key))
    rule, hint = _rule(error, document, key)
    broken = (error.get("ctx") or {}).get("error")
    value = error["input"]
    if isinstance(broken, RuleBroken) and broken.at is not None:
        inside = broken.at if isinstance(broken.at, tuple) else (broken.at,)
        key, value = key + inside, value_at(value, inside)[1]
    about_all = kind == "value_error" and isinstance(value, dict | list)
    # What stands under `database` may be an address with a password in it.
    silent = about_all or "(got " in rule or "database" in key
    got = "" if silent else _got(document, key, value)
    message = f"{dotted(key)} {rule}" + (f" ({got})" if got else "") + (f"; {hint}" if hint else "")
    return Problem(message, key, _mark(document, key))


def _rule(error: dict[str, Any], document: Document, key: Key) -> tuple[str, str]:
    """The rule and the hint of an error about a value."""
    kind, context, value = error["type"], error.get("ctx") or {}, error["input"]
    mark = document.marks.get(key, Mark(""))
    if kind == "value_error":
        broken = context["error"]
        return (broken.rule, broken.hint) if isinstance(broken, RuleBroken) else (str(broken), "")
    if kind == "literal_error":
        options = re.findall(r"'([^']*)'", context["expected"])
        return f"must be one of {listed(options)}", _text_hint(value, mark) or did_you_mean(value, options)
    if kind in ("float_type", "int_type", "decimal_type", "decimal_parsing"):
        return f"must be {_KINDS[kind]}", _number_hint(value, whole=kind == "int_type", plain=mark.plain)
    if kind in _LIMITS:
        words, limit = _LIMITS[kind]
        bound = context[limit]
        if not isinstance(bound, int | float):
            return f"must be {words} {bound}", ""
        is_share = words in ("below", "at most") and bound <= 1
        return f"must be {words} {bound:g}", rate_hint(value) if is_share else ""
    if kind in ("string_too_short", "too_short"):
        return "must not be empty", ""
    if kind == "string_too_long":
        return f"must have at most {context['max_length']} character" + "s" * (context["max_length"] != 1), ""
    if kind in ("date_type", "date_parsing"):
        return f"must be {_KINDS[kind]}", _day_hint(value)
    if kind == "tuple_type":
        return f"must be {_KINDS[kind]}", f"write [{value}]" if isinstance(value, str) else ""
    if kind == "string_type":
        return "must be text", _text_hint(value, mark)
    return (f"must be {_KINDS[kind]}" if kind in _KINDS else f"is not valid: {error['msg']}"), ""


def _options(name: object, error: dict[str, Any]) -> str:
    options = re.findall(r"'([^']*)'", error["ctx"]["expected"])
    return did_you_mean(name, options) or f"it may have {listed(options)}"


def _text_hint(value: object, mark: Mark) -> str:
    if isinstance(value, bool) and mark.plain and mark.raw.lower() not in ("true", "false"):
        return f'YAML reads {mark.raw} as {str(value).lower()}: write "{mark.raw}" in quotes'
    if isinstance(value, bool | int | float) and mark.plain:
        return f'write "{mark.raw}" in quotes'
    return ""


def _number_hint(value: object, *, whole: bool, plain: bool) -> str:
    """How to write the number that a text was most likely meant to be."""
    if isinstance(value, float) and whole and value.is_integer():
        return f"write {value:.0f}"
    if not isinstance(value, str):
        return ""
    text = value.strip().replace(" ", "")
    if re.fullmatch(r"[-+]?\d{1,3}([,_']\d{3})+(\.\d+)?", text):
        text = re.sub(r"[,_']", "", text)
        return f"write {text}"
    if re.fullmatch(r"[-+]?\d+,\d+", text):
        return f"write {text.replace(',', '.')}"
    if re.fullmatch(r"[-+]?\d+(\.\d+)?%", text):
        return f"write {float(text[:-1]) / 100:g}, a fraction"
    if power := re.fullmatch(r"([-+]?\d+)(\.\d*)?[eE]([-+]?)(\d+)", text):
        whole_part, fraction, sign, exponent = power.groups()
        scientific = f"{whole_part}.{(fraction or '.0')[1:] or '0'}e{sign or '+'}{exponent}"
        countable = abs(int(exponent)) <= 12  # beyond that nobody counts the zeros
        return f"write {Decimal(text).normalize():f} or {scientific}" if countable else f"write {scientific}"
    if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)", text):
        decimal = re.sub(r"^([-+]?)0+(?=\d)", r"\1", text).lstrip("+")
        return f"write {decimal}" if plain else f"write {decimal} without quotes"
    return ""


def _day_hint(value: object) -> str:
    """The day that was most likely meant, where the text leaves no doubt which it is."""
    text = str(value).strip()
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        return "no calendar has that day"
    if match := re.match(r"(\d{4}-\d{2}-\d{2})[T ]", text):
        return f"write {match[1]}"
    meant = set()
    for form in ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y"):
        try:
            meant.add(datetime.strptime(text, form).date())
        except ValueError:
            continue
    return f"write {meant.pop()}" if len(meant) == 1 else ""


def _got(document: Document, key: Key, fallback: object) -> str:
    """The value as it was given, shortened; defaults are named as such, whole sections not repeated."""
    given, value = value_at(document.values, key)
    if not given:
        value = fallback
    mark = document.marks.get(key, Mark(""))
    if isinstance(value, BaseModel):
        return ""
    if value is None:
        text = "nothing"
    elif isinstance(value, dict | list | tuple):
        text = "a mapping" if isinstance(value, dict) else "a list"
    elif isinstance(value, str | date):
        text = repr(str(value)) if len(str(value)) <= 60 else repr(f"{str(value)[:57]}...")
    else:
        text = mark.raw if mark.plain else json.dumps(value)
    return f"got {text}" if given else f"got {text}, the default"


def value_at(values: Any, key: Key) -> tuple[bool, Any]:
    """Whether the values hold something at ``key``, and what."""
    for step in key:
        if isinstance(values, dict) and step in values:
            values = values[step]
        elif isinstance(values, list | tuple) and isinstance(step, int) and step < len(values):
            values = values[step]
        else:
            return False, None
    return True, values


def _mark(document: Document, key: Key) -> Mark:
    """The mark of a key, of what was given inside it, or of what it would stand in."""
    while key and key not in document.marks:
        within = [mark for place, mark in document.marks.items() if place[: len(key)] == key]
        if within:
            return within[0]
        key = key[:-1]
    return document.marks.get(key, Mark("the study"))


def _unknown_key(root: type[BaseModel], key: Key) -> str:
    model, owner = model_at(root, key[:-1]), dotted(key[:-1]) or "a study"
    name, names = str(key[-1]), list(model.model_fields) if model else []
    close = nearest(name, names)
    if close:
        return f"{owner} has no key {name!r}; did you mean {close!r}?"
    elsewhere = [dotted((*home, name)) for home, section in sections(root) if name in section.model_fields]
    if elsewhere:
        return f"{owner} has no key {name!r}; did you mean {elsewhere[0]}?"
    return f"{owner} has no key {name!r}; its keys are {listed(names)}"


def _missing(root: type[BaseModel], key: Key) -> str:
    model = model_at(root, key[:-1])
    field = model.model_fields[str(key[-1])] if model else None
    about = (field.description or "").split(". ")[0].rstrip(".") if field else ""
    section = model_at(root, key)
    if section is not None:
        required = [name for name, inner in section.model_fields.items() if inner.is_required()]
        needed = required or getattr(section, "at_least", ())
        about = f"it needs at least {listed(needed)}"
    return f"{dotted(key)} is missing: {about}"


def model_at(root: type[BaseModel], key: Key) -> type[BaseModel] | None:
    """The model that describes the mapping at ``key``, or None where there is none."""
    kind: Any = root
    for step in key:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(step))
            kind = field.annotation if field else None
        elif get_origin(kind) in (dict, tuple, list):
            inner = [part for part in get_args(kind) if part is not Ellipsis]
            kind = inner[-1] if inner else None
        else:
            return None
        parts = [part for part in get_args(kind) if part is not type(None)]
        if type(None) in get_args(kind) and len(parts) == 1:
            kind = parts[0]
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def sections(root: type[BaseModel], home: Key = ()) -> Iterable[tuple[Key, type[BaseModel]]]:
    """Every section inside ``root`` with the key it stands under, outermost first."""
    for name in root.model_fields:
        section = model_at(root, (name,))
        if section is not None:
            yield (*home, name), section
            yield from sections(section, (*home, name))


def odd_days(section: BaseModel, document: Document, key: Key = ()) -> Iterator[Problem]:
    """Days that the parser made of something else, such as of the seconds in ``"884822400"``."""
    for name in type(section).model_fields:
        value, here = getattr(section, name), (*key, name)
        if isinstance(value, BaseModel):
            yield from odd_days(value, document, here)
        items = enumerate(value) if isinstance(value, tuple) else ()
        for place, day in [(here, value), *(((*here, number), item) for number, item in items)]:
            given, text = value_at(document.values, place)
            if isinstance(day, date) and given and text != day.isoformat():
                message = f"{dotted(place)} must be {_KINDS['date_type']} (got {text!r})"
                yield Problem(message, place, _mark(document, place))
