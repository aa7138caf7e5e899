"""The JSON Schema of a study, from which editors complete and check study files as they are typed.

``python -m clvkit.study_schema params/study.schema.json`` writes it anew after a section has changed.
"""

import json
import sys
from pathlib import Path
from typing import Any

from clvkit.study import Study

_EXTENDS = {
    "type": "string",
    "description": "Another study file, relative to this one, whose values hold where this file is silent.",
}


def json_schema() -> dict[str, Any]:
    """The schema of a study file (JSON Schema, draft 2020-12), with a description of every key.

    A study that extends another may leave out anything but its name, so only files without ``extends``
    must have the required keys; inside sections nothing is required here, and
    :func:`~clvkit.study.load_study` says what is missing from the whole.
    """
    schema = Study.model_json_schema()
    required = schema.pop("required")
    for part in (schema, *schema["$defs"].values()):
        part.pop("required", None)
        for field in part.get("properties", {}).values():
            field.pop("title", None)  # says no more than the key itself
    schema["properties"] = {"extends": _EXTENDS} | schema["properties"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "required": ["name"],
        "if": {"not": {"required": ["extends"]}},
        "then": {"required": required},
    }


def schema_text() -> str:
    """The schema as it stands in ``params/study.schema.json``."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(schema_text(), encoding="utf-8")
