"""Keeping the machine out of what is published: absolute paths become names."""

import site
import sys
import tempfile
from html import escape
from pathlib import Path
from typing import Any


class Sanitiser:
    """Replaces the paths of this machine in texts and notebooks.

    Parameters
    ----------
    named : folders and what to call them, such as ``{"project": Path("/home/ana/clv")}``; they come before
        the interpreter's, the home and the temporary folder, which are always replaced.
    """

    def __init__(self, named: dict[str, Path]):
        places = {
            **named,
            "python": Path(sys.prefix),
            "python-base": Path(sys.base_prefix),
            "python-user": Path(site.getusersitepackages()),
            "temp": Path(tempfile.gettempdir()),
            "home": Path.home(),
        }
        pairs = {}
        for name, place in places.items():
            for path in {place, place.resolve()}:
                if len(path.parts) > 1:  # never the root of the file system
                    for spelled in {str(path), path.as_posix(), str(path).replace("\\", "\\\\")}:
                        pairs.setdefault(spelled, f"<{name}>")
        self.pairs = sorted(pairs.items(), key=lambda pair: (-len(pair[0]), pair[0]))

    def text(self, text: str) -> str:
        """The text with every known path replaced, such as ``<project>/params/cdnow.yml``."""
        for path, name in self.pairs:
            text = text.replace(path, name)
        return text

    def html(self, text: str) -> str:
        """The same for HTML, where ``<`` must be written as an entity."""
        for path, name in self.pairs:
            text = text.replace(escape(path), escape(name)).replace(path, escape(name))
        return text

    def value(self, value: Any, html: bool = False) -> Any:
        """The same for every text inside lists and mappings."""
        match value:
            case str():
                return self.html(value) if html else self.text(value)
            case dict():
                return {name: self.value(part, html or name == "text/html") for name, part in value.items()}
            case list() | tuple():
                return [self.value(part, html) for part in value]
            case _:
                return value

    def notebook(self, notebook: Any, name: str) -> Any:
        """The notebook with outputs, sources and metadata free of paths; ``name`` is that of its file."""
        import nbformat

        about = notebook.metadata.get("papermill", {})
        for path in ("input_path", "output_path"):  # given a notebook, Papermill puts all of it in its place
            if path in about:
                about[path] = name
        return nbformat.from_dict(self.value(dict(notebook)))

    def finds(self, text: str) -> list[str]:
        """The paths of this machine that the text holds."""
        return [path for path, _ in self.pairs if path in text]
